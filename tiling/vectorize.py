"""Blocks of a mask → polygons, joined exactly across block edges.

Each window is polygonised alone, in whole pixel coordinates; pieces that meet across a window's edge are joined by
connected components over the shared edge runs, and only those are unioned. The result equals polygonising the whole
mask at once, whatever the windows (a property test holds it). Memory follows the pieces, not the raster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window
from scipy import ndimage, sparse

PROBABILITY_SCALE = 250  # a stored probability of 250 is 1.0; above lies "not observed"


class AnsweredWindow(Protocol):
    """What is known of one window of the grid; windows of one call partition the grid, in any order."""

    @property
    def window(self) -> Window:
        """Whole pixels of the grid."""

    @property
    def probability(self) -> NDArray[np.uint8]:
        """(h, w): 0..250, 255 where not observed."""

    @property
    def tiles(self) -> tuple[tuple[Window, float], ...]:
        """Core window (in pixels of the grid) and existence of each tile in it."""


@dataclass(frozen=True)
class Polygons:
    """Connected parts of a mask, ordered by their first pixel in row-major order; all fields are of one length."""

    geometry: NDArray[np.object_]  # shapely polygons in CRS coordinates
    area_px: NDArray[np.int64]
    prob_mean: NDArray[np.float64]  # 0..1, over the pixels of the polygon
    prob_max: NDArray[np.float64]
    exist_p: NDArray[np.float64]  # largest existence of the tiles it lies in
    edge: NDArray[np.bool_]  # touches ground that was not observed

    def __len__(self) -> int:
        """How many polygons."""
        return len(self.geometry)


def polygons(parts: Iterable[AnsweredWindow], geobox: GeoBox, *, threshold: int) -> Polygons:
    """The 4-connected regions where threshold <= stored probability <= 250, as valid polygons with their holes.

    parts      windows that partition the grid (or the part of it that was answered), in any order
    threshold  on the stored value, 0..250

    An empty mask gives an empty result of the same fields.
    """
    pieces, seams = _Pieces(), _Seams(geobox.shape)
    for part in parts:
        _add_window(part, threshold, pieces, seams, geobox.shape[1])
    return _join(pieces, seams, geobox.affine)


@dataclass
class _Pieces:
    """Columns of a table with one row a piece; numbers are 1-based, 0 is "no piece"."""

    geometry: list[shapely.Polygon] = field(default_factory=list)
    columns: list[NDArray[np.float64]] = field(default_factory=list)  # (n, 5): first pixel, area, sum, max, existence
    edges: list[NDArray[np.bool_]] = field(default_factory=list)


class _Seams:
    """Piece numbers and unobserved flags along both sides of every window edge."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.lines: dict[tuple[str, int, str], tuple[NDArray[np.int64], NDArray[np.bool_]]] = {}

    def put(self, axis: str, position: int, side: str, start: int, numbers: NDArray[np.int64], blind: NDArray[np.bool_]) -> None:
        """The pixels just before or after the seam at `position`, from `start` along it."""
        if not 0 < position < self.shape[0 if axis == "row" else 1]:
            return
        key = (axis, position, side)
        if key not in self.lines:
            length = self.shape[1 if axis == "row" else 0]
            self.lines[key] = np.zeros(length, np.int64), np.zeros(length, bool)
        line, flags = self.lines[key]
        line[start : start + len(numbers)] = numbers
        flags[start : start + len(numbers)] = blind

    def meetings(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(pairs (n, 2) of pieces that touch across a seam, pieces that touch unobserved ground across one)."""
        pairs, blind = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
        for (axis, position, side), (before, before_blind) in self.lines.items():
            if side == "before" and (axis, position, "after") in self.lines:
                after, after_blind = self.lines[axis, position, "after"]
                both = (before > 0) & (after > 0)
                pairs.append(np.unique(np.stack([before[both], after[both]], 1), axis=0))
                blind += [before[after_blind & (before > 0)], after[before_blind & (after > 0)]]
        return np.concatenate(pairs), np.unique(np.concatenate(blind))


def _add_window(part: AnsweredWindow, threshold: int, pieces: _Pieces, seams: _Seams, grid_width: int) -> None:
    row, column = int(part.window.row_off), int(part.window.col_off)
    probability = part.probability
    mask = (probability >= threshold) & (probability <= PROBABILITY_SCALE)
    blind = probability > PROBABILITY_SCALE
    labels, count = ndimage.label(mask, output=np.int32)
    numbers = np.where(mask, labels.astype(np.int64) + len(pieces.geometry), 0)
    height, width = mask.shape
    for axis, position, side, start, line in (
        ("row", row, "after", column, 0),
        ("row", row + height, "before", column, -1),
        ("column", column, "after", row, 0),
        ("column", column + width, "before", row, -1),
    ):
        along = (line, slice(None)) if axis == "row" else (slice(None), line)
        seams.put(axis, position, side, start, numbers[along], blind[along])
    if count == 0:
        return
    flat = labels.ravel()
    values = probability.ravel().astype(np.float64)
    area = np.bincount(flat, minlength=count + 1)[1:]
    total = np.bincount(flat, values, count + 1)[1:]
    index = np.arange(1, count + 1)
    highest = ndimage.maximum(probability, labels, index)
    first = np.unique(flat, return_index=True)[1][-count:]
    first_pixel = (first // width + row) * grid_width + first % width + column
    existence = np.zeros(count + 1)
    for tile, value in part.tiles:
        rows = slice(max(0, int(tile.row_off) - row), max(0, int(tile.row_off + tile.height) - row))
        columns = slice(max(0, int(tile.col_off) - column), max(0, int(tile.col_off + tile.width) - column))
        inside = np.unique(labels[rows, columns])
        existence[inside] = np.maximum(existence[inside], value)
    near_blind = np.zeros(count + 1, bool)
    if blind.any():
        near_blind[np.unique(labels[ndimage.binary_dilation(blind)])] = True
    geometry: list[shapely.Polygon | None] = [None] * count
    shapes = rasterio.features.shapes(labels, mask=mask, connectivity=4, transform=Affine.translation(column, row))
    for shape, label in shapes:
        rings = shape["coordinates"]
        geometry[int(label) - 1] = shapely.Polygon(rings[0], rings[1:])
    pieces.geometry += [g for g in geometry if g is not None]
    pieces.columns.append(np.stack([first_pixel, area, total, highest, existence[1:]], 1).astype(np.float64))
    pieces.edges.append(near_blind[1:])


def _join(pieces: _Pieces, seams: _Seams, affine: Affine) -> Polygons:
    count = len(pieces.geometry)
    if count == 0:
        empty = np.zeros(0)
        return Polygons(np.zeros(0, object), empty.astype(np.int64), empty, empty, empty, empty.astype(bool))
    table = np.concatenate(pieces.columns)
    edge = np.concatenate(pieces.edges)
    pairs, blind = seams.meetings()
    edge[blind - 1] = True
    links = sparse.coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0] - 1, pairs[:, 1] - 1)), shape=(count, count))
    groups, group = sparse.csgraph.connected_components(links, directed=False)
    first, exist_p, prob_max = np.full(groups, np.inf), np.zeros(groups), np.zeros(groups)
    np.minimum.at(first, group, table[:, 0])
    np.maximum.at(prob_max, group, table[:, 3])
    np.maximum.at(exist_p, group, table[:, 4])
    area, total = np.bincount(group, table[:, 1], groups), np.bincount(group, table[:, 2], groups)
    touches = np.bincount(group, edge, groups) > 0
    order = np.argsort(first, kind="stable")
    geometry = shapely.transform(_union_groups(pieces.geometry, group, groups), _to_ground(affine))
    return Polygons(
        geometry=geometry[order],
        area_px=area[order].astype(np.int64),
        prob_mean=(total / area / PROBABILITY_SCALE)[order],
        prob_max=prob_max[order] / PROBABILITY_SCALE,
        exist_p=exist_p[order],
        edge=touches[order],
    )


def _union_groups(geometry: list[shapely.Polygon], group: NDArray[np.int32], groups: int) -> NDArray[np.object_]:
    """One valid polygon a group, in whole pixel coordinates."""
    members = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[members], np.arange(groups + 1))
    pieces = np.array(geometry, object)
    # GDAL lets a ring touch itself at a pixel corner (4-connectivity); rings must not, so the ring is cut there.
    broken = ~shapely.is_valid(pieces)
    pieces[broken] = shapely.make_valid(pieces[broken], method="structure", keep_collapsed=False)
    joined = np.empty(groups, object)
    sizes = np.diff(starts)
    joined[sizes == 1] = pieces[members[starts[:-1][sizes == 1]]]
    for g in np.flatnonzero(sizes > 1):
        union = shapely.union_all(pieces[members[starts[g] : starts[g + 1]]], grid_size=1)
        joined[g] = _without_collinear(union)
    return joined


def _without_collinear(polygon: shapely.Polygon) -> shapely.Polygon:
    """The same polygon without vertices that lie on a straight run: block edges leave them behind."""

    def corners(ring: shapely.LinearRing) -> NDArray[np.float64]:
        points = shapely.get_coordinates(ring)[:-1]
        ahead, behind = np.roll(points, -1, 0) - points, points - np.roll(points, 1, 0)
        return points[ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]]

    return shapely.Polygon(corners(polygon.exterior), [corners(ring) for ring in polygon.interiors])


class _to_ground:
    """Pixel coordinates (n, 2) → CRS coordinates (n, 2)."""

    def __init__(self, affine: Affine) -> None:
        self.matrix = np.array([[affine.a, affine.b], [affine.d, affine.e]])
        self.origin = np.array([affine.c, affine.f])

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points @ self.matrix.T + self.origin
