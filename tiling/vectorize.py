"""Windows of a mask → polygons, equal to those of the whole mask at once.

Each window is labelled alone. Pieces that meet across a window's edge are one region: connected components over the
pairs of piece numbers along the seams. Outlines come from the lattice points at which they turn (tiling.rings); those
on a seam are found last, when the pixels of both sides are known, so nothing is cut there and nothing is unioned.
Memory follows the outlines and the seams, not the raster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window
from scipy import ndimage, sparse

from tiling.blend import SCALE
from tiling.rings import Corners, corners, join_corners, outlines


class AnsweredWindow(Protocol):
    """What is known of one window of the grid."""

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
    """Regions of a mask, ordered by their first pixel in row-major order; all fields are of one length."""

    geometry: NDArray[np.object_]  # shapely polygons in CRS coordinates
    area_px: NDArray[np.int64]
    prob_mean: NDArray[np.float64]  # 0..1, over the pixels of the polygon
    prob_max: NDArray[np.float64]
    exist_p: NDArray[np.float64]  # largest existence of the tiles it lies in
    edge: NDArray[np.bool_]  # a side of it lies against ground that was not observed

    def __len__(self) -> int:
        """How many polygons."""
        return len(self.geometry)


def polygons(parts: Iterable[AnsweredWindow], geobox: GeoBox, *, threshold: int) -> Polygons:
    """The 4-connected regions where threshold <= stored probability <= 250, as valid polygons with their holes.

    parts      cells of a grid of rows and columns of windows, in any order; a cell that is missing was not observed
    threshold  on the stored value, 0..250

    An empty mask gives an empty result of the same fields. Raises ValueError for a threshold out of range.
    """
    if not 0 <= threshold <= SCALE:
        raise ValueError(f"threshold {threshold}; wanted a stored probability, 0 to {SCALE}")
    pieces, seams = _Pieces(), _Seams((geobox.height, geobox.width))
    for part in parts:
        _add_window(part, threshold, pieces, seams)
    if not pieces.count:
        return _nothing()
    numbers, blind = seams.pairs()
    table = np.concatenate(pieces.tables)
    table["edge"][blind - 1] = True
    count, region = _regions(numbers, pieces.count)
    points = join_corners([*pieces.corners, *seams.corners()])
    points = replace(points, piece=region[points.piece - 1], other=region[points.other - 1])
    return _summed(table, region, shapely.transform(outlines(points, count), _to_ground(geobox.affine)))


# One row a piece, numbered from 1 in the order of rows: 0 is "no piece".
_PIECE = np.dtype(
    [("first", "i8"), ("area", "i8"), ("total", "i8"), ("highest", "u1"), ("exist_p", "f8"), ("edge", "?")]
)
_Side = Literal["before", "after"]


@dataclass
class _Pieces:
    """What was found inside windows."""

    count: int = 0
    tables: list[NDArray[np.void]] = field(default_factory=list)
    corners: list[Corners] = field(default_factory=list)


@dataclass
class _Line:
    """The pixels along one side of a seam, over the whole grid: piece numbers, and which were not observed."""

    numbers: NDArray[np.int64]
    blind: NDArray[np.bool_]


class _Seams:
    """The lattice lines along which windows meet, the grid's border among them; axis 0 are rows, 1 are columns."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.lines: dict[tuple[int, int, _Side], _Line] = {}

    def add(self, window: Window, labels: NDArray[np.int32], before: int, blind: NDArray[np.bool_]) -> None:
        """The outermost pixels of a window; (h, w) labels, from 1 after the `before` pieces there are, and flags."""
        offsets = int(window.row_off), int(window.col_off)
        for axis in (0, 1):
            along = slice(offsets[1 - axis], offsets[1 - axis] + labels.shape[1 - axis])
            ends: tuple[tuple[_Side, int], ...] = ("after", 0), ("before", labels.shape[axis] - 1)
            for side, index in ends:
                line = self._line(axis, offsets[axis] + index + (side == "before"), side)
                label = labels.take(index, axis)
                line.numbers[along] = np.where(label > 0, label + np.int64(before), 0)
                line.blind[along] = blind.take(index, axis)

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pieces that meet across a seam, (n, 2); pieces that lie against unobserved ground across one."""
        met, blind = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
        for axis in (0, 1):
            for position in self._positions(axis):
                before, after = self._line(axis, position, "before"), self._line(axis, position, "after")
                both = (before.numbers > 0) & (after.numbers > 0)
                met.append(np.unique(np.stack([before.numbers[both], after.numbers[both]], 1), axis=0))
                blind.append(before.numbers[after.blind & (before.numbers > 0)])
                blind.append(after.numbers[before.blind & (after.numbers > 0)])
        return np.concatenate(met), np.concatenate(blind)

    def corners(self) -> list[Corners]:
        """Turning points on the seams: on lattice rows, their crossings with columns too; on columns, between rows."""
        found, rows = [], self._positions(0)
        for y in rows:
            strip = np.stack([self._line(0, y, "before").numbers, self._line(0, y, "after").numbers])
            found.append(corners(np.pad(strip, ((0, 0), (1, 1))), -1, y - 1))
        for x in self._positions(1):
            strip = np.stack([self._line(1, x, "before").numbers, self._line(1, x, "after").numbers], 1)
            points = corners(strip, x - 1, 0)
            found.append(points.at(~np.isin(points.y, rows)))
        return found

    def _positions(self, axis: int) -> list[int]:
        return sorted({position for of, position, _ in self.lines if of == axis})

    def _line(self, axis: int, position: int, side: _Side) -> _Line:
        key = (axis, position, side)
        if key not in self.lines:
            # Ground that no window fills was not observed, but beyond the grid's border there is none to observe.
            blind = 0 < position < self.shape[axis]
            length = self.shape[1 - axis]
            self.lines[key] = _Line(np.zeros(length, np.int64), np.full(length, blind))
        return self.lines[key]


def _add_window(part: AnsweredWindow, threshold: int, pieces: _Pieces, seams: _Seams) -> None:
    """Labels one window; its pieces take the numbers after those before it."""
    top, left = int(part.window.row_off), int(part.window.col_off)
    probability = part.probability
    blind = probability > SCALE
    labels, count = ndimage.label((probability >= threshold) & ~blind, output=np.int32)
    seams.add(part.window, labels, pieces.count, blind)
    if not count:
        return
    table = np.zeros(count + 1, _PIECE)  # row 0 is what is out
    inside = np.flatnonzero(labels)
    label, value = labels.ravel()[inside], probability.ravel()[inside]
    first = np.empty(count + 1, np.int64)
    first[label[::-1]] = inside[::-1]  # of several values the last one stays: the first pixel
    rows, columns = np.divmod(first, labels.shape[1])
    table["first"] = (rows + top) * seams.shape[1] + columns + left
    table["area"] = np.bincount(label, minlength=count + 1)
    table["total"] = np.bincount(label, value, count + 1)  # sums of bytes, exact in float64
    np.maximum.at(table["highest"], label, value)
    for tile, existence in part.tiles:
        here = np.zeros(count + 1, bool)
        here[labels[_rows_and_columns(tile, top, left)]] = True
        table["exist_p"][here] = np.maximum(table["exist_p"][here], existence)
    if blind.any():
        for piece, neighbour in _neighbours(labels, blind):
            table["edge"][piece[neighbour]] = True
    points = corners(labels, left, top)
    pieces.corners.append(replace(points, piece=points.piece + pieces.count, other=points.other + pieces.count))
    pieces.tables.append(table[1:])
    pieces.count += count


def _rows_and_columns(tile: Window, top: int, left: int) -> tuple[slice, slice]:
    """A tile's core within a window that begins at (top, left)."""
    row, column = int(tile.row_off) - top, int(tile.col_off) - left
    return (
        slice(max(0, row), max(0, row + int(tile.height))),
        slice(max(0, column), max(0, column + int(tile.width))),
    )


def _neighbours(
    labels: NDArray[np.int32], blind: NDArray[np.bool_]
) -> list[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
    """Each pixel's piece beside the flag of its neighbour, once a direction."""
    return [
        (labels[1:], blind[:-1]),
        (labels[:-1], blind[1:]),
        (labels[:, 1:], blind[:, :-1]),
        (labels[:, :-1], blind[:, 1:]),
    ]


def _regions(met: NDArray[np.int64], count: int) -> tuple[int, NDArray[np.int64]]:
    """How many regions the pieces make, and the region (from 0) of each piece."""
    links = sparse.coo_array((np.ones(len(met), np.int8), (met[:, 0] - 1, met[:, 1] - 1)), shape=(count, count))
    regions, region = sparse.csgraph.connected_components(links, directed=False)
    return int(regions), region.astype(np.int64)


def _summed(table: NDArray[np.void], region: NDArray[np.int64], geometry: NDArray[np.object_]) -> Polygons:
    """One row a region from one row a piece, in the order of first pixels; geometry (regions,)."""
    order = np.argsort(region, kind="stable")
    sorted_table, start = table[order], np.searchsorted(region[order], np.arange(len(geometry)))
    first = np.minimum.reduceat(sorted_table["first"], start)
    area = np.add.reduceat(sorted_table["area"], start)
    by_first = np.argsort(first)
    return Polygons(
        geometry=geometry[by_first],
        area_px=area[by_first],
        prob_mean=(np.add.reduceat(sorted_table["total"], start) / area / SCALE)[by_first],
        prob_max=np.maximum.reduceat(sorted_table["highest"], start)[by_first] / SCALE,
        exist_p=np.maximum.reduceat(sorted_table["exist_p"], start)[by_first],
        edge=np.logical_or.reduceat(sorted_table["edge"], start)[by_first],
    )


def _nothing() -> Polygons:
    none = np.zeros(0)
    return Polygons(np.zeros(0, object), none.astype(np.int64), none, none, none, none.astype(bool))


def _to_ground(affine: Affine) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Lattice coordinates (n, 2) → CRS coordinates (n, 2)."""

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points[:, 0], points[:, 1]
        # Term by term as rasterio does, so that the same corner has the same bits in either's polygons.
        return np.stack([affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f], 1)

    return move
