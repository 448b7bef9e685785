"""Polygons in lon/lat: what crosses 180° lies in two parts, one on either side (RFC 7946 §3.1.9)."""

from __future__ import annotations

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray


def in_lonlat(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The table in EPSG:4326. Without the cut a polygon across 180° would reach round the whole earth."""
    made = table.to_crs("EPSG:4326")
    if table.crs.is_geographic:
        return made
    geometry = made.geometry.to_numpy().copy()
    west, _, east, _ = shapely.bounds(geometry).T
    for row in np.flatnonzero(east - west > 180):
        geometry[row] = cut_at_180(shapely.transform(geometry[row], _eastward))
    return made.set_geometry(geometry, crs=made.crs)


def cut_at_180(outline: shapely.Geometry) -> shapely.Geometry:
    """A polygon whose longitudes run on beyond 180°, as it lies from -180° to 180°."""
    here = shapely.intersection(outline, shapely.box(-180, -90, 180, 90))
    there = shapely.intersection(outline, shapely.box(180, -90, 540, 90))
    there = shapely.transform(there, lambda xy: xy - np.array([360.0, 0.0]))
    parts = [part for side in (here, there) for part in shapely.get_parts(side) if part.area > 0]
    return shapely.orient_polygons(parts[0] if len(parts) == 1 else shapely.multipolygons(parts))


def _eastward(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Western longitudes counted on from 180°."""
    east: NDArray[np.float64] = xy + np.array([360.0, 0.0]) * (xy[:, :1] < 0)
    return east
