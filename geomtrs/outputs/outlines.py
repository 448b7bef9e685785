"""Polygons as short lists of whole numbers, simplified for the eye alone."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geomtrs.outputs.shape import moved

MOST_POLYGONS = 4000
# Two numbers of up to six digits each: with this many corners a page holds about 1 MB of outlines.
MOST_CORNERS = 90_000
# Of a drawn pixel: what a simplified outline may stray by, and the grid its corners lie on.
STRAY, STEP = 0.5, 0.1


@dataclass(frozen=True, slots=True)
class Outlines:
    """What can be drawn of a table.

    rows   rows of the table that are drawn, the largest polygon first
    rings  of each of them, its rings as x0, y0, x1, y1, … in steps from the grid's corner
    step   in pixels of the grid
    notes  what was left out or made simpler
    """

    rows: list[int]
    rings: list[list[list[int]]]
    step: float
    notes: tuple[str, ...]


def outlines(polygons: geopandas.GeoDataFrame, geobox: GeoBox, *, finest_px: float) -> Outlines:
    """The largest polygons of a table on the pixels of a grid.

    finest_px  side of a pixel that is drawn, in pixels of the grid: nothing finer need be kept
    """
    size = polygons["area_px"].to_numpy()
    rows = np.argsort(-size, kind="stable")[:MOST_POLYGONS]
    notes = [f"the {len(rows):,} largest of {len(size):,} polygons are drawn"] if len(rows) < len(size) else []
    lattice = moved(polygons.geometry.to_numpy()[rows], ~geobox.affine)
    stray = STRAY * finest_px
    drawn = shapely.simplify(lattice, stray)
    while shapely.get_num_coordinates(drawn).sum() > MOST_CORNERS and stray < max(geobox.shape):
        stray *= 2
        drawn = shapely.simplify(lattice, stray)
    if stray > STRAY * finest_px:
        notes.append(f"outlines are drawn to {stray:.3g} px of the images")
    step = STEP * finest_px
    return Outlines(rows.tolist(), [_rings(polygon, step) for polygon in drawn], step, tuple(notes))


def _rings(polygon: shapely.Geometry, step: float) -> list[list[int]]:
    return [_whole(shapely.get_coordinates(ring) / step) for ring in shapely.get_rings(polygon)]


def _whole(corners: NDArray[np.float64]) -> list[int]:
    numbers: list[int] = np.rint(corners[:-1]).astype(np.int64).ravel().tolist()  # the last corner is the first
    return numbers
