"""Words about the scene applied to its polygons: place, size and rank in ground units (product.md §2, B8)."""

from __future__ import annotations

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from geomtrs.grammar import Limit, Place, ScenePart
from geomtrs.outputs.shape import moved
from tiling.ground import aoi_px, apply_affine


def kept(
    frame: geopandas.GeoDataFrame, part: ScenePart, geobox: GeoBox, aoi: Geometry | None = None
) -> NDArray[np.bool_]:
    """(N,) which rows of a table (`vector.table`) the words leave: by place and limits, of those by rank.

    Places are told by a polygon's representative point: compass points against the bounds of the grid, or of the AOI on
    it, in its CRS; "upper", "left" and the middle against the picture, as it lies in the file. Without a CRS north is
    up, and ranks go by pixels; limits need a CRS (`open_scene` refuses them without).
    """
    keep = np.ones(len(frame), bool)
    if part.place is not None:
        keep &= _there(frame.geometry.to_numpy(), part.place, geobox, aoi)
    size = frame["area_px" if geobox.crs is None else "area_m2"].to_numpy(np.float64)
    for limit, sign in ((part.least, 1), (part.most, -1)):
        if limit is not None:
            keep &= _beyond(size * sign, Limit(limit.area_m2 * sign, limit.inclusive))
    if part.count is None:
        return keep
    value = frame["prob_mean"].to_numpy() if part.largest is None else size if part.largest else -size
    rows = np.flatnonzero(keep)
    chosen = rows[np.argsort(-value[rows], kind="stable")][part.skip : part.skip + part.count]
    ranked = np.zeros(len(frame), bool)
    ranked[chosen] = True
    return ranked


def _beyond(size: NDArray[np.float64], limit: Limit) -> NDArray[np.bool_]:
    return size >= limit.area_m2 if limit.inclusive else size > limit.area_m2


def _there(geometry: NDArray[np.object_], place: Place, geobox: GeoBox, aoi: Geometry | None) -> NDArray[np.bool_]:
    points = shapely.point_on_surface(geometry)
    x, y = shapely.get_x(points), shapely.get_y(points)
    column, row = apply_affine(~geobox.affine, x, y)
    across, down = column / geobox.shape.x, row / geobox.shape.y  # 0..1 in the picture
    if place.middle:
        return (np.abs(across - 0.5) <= place.share / 2) & (np.abs(down - 0.5) <= place.share / 2)
    if geobox.crs is None:
        northern, eastern = 1 - down, across
    else:
        area = geobox.extent.geom
        if aoi is not None:
            area = area.intersection(moved(aoi_px(geobox, aoi), geobox.affine))
        left, bottom, right, top = area.bounds
        northern = (y - bottom) / (top - bottom)
        eastern = (x - left) / (right - left)
    share = {"north": northern, "south": 1 - northern, "upper": 1 - down, "lower": down,
             "east": eastern, "west": 1 - eastern, "left": 1 - across, "right": across}  # fmt: skip
    there = np.ones(len(points), bool)
    for side in (place.vertical, place.horizontal):
        if side is not None:
            there &= share[side] >= 1 - place.share
    return there
