"""Outlines of the regions of a mask as rings, from the lattice points at which they turn.

A pixel lattice point sees four pixels. Where one or three of them are in, or two across a diagonal, an outline turns
there; everywhere else it runs straight or is absent. Along a lattice row the turning points pair up into horizontal
sides, along a lattice column into vertical ones, so the points alone, in any order, give the rings: no outline is ever
cut at a window's edge, so none has to be put together again.

Coordinates are those of the lattice: x right, y down, whole numbers; 0, 0 is the outer corner of the first pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

# Bits of the four pixels around a lattice point: 1 above left, 2 above right, 4 below left, 8 below right.
_SADDLES = (6, 9)
_TURNS = np.isin(np.arange(16), (1, 2, 4, 8, 7, 11, 13, 14, *_SADDLES))
# With what is in on the right hand: arrives vertically and leaves horizontally (the other turns do the opposite).
_LEAVES_FLAT = np.isin(np.arange(16), (1, 8, 11, 13, 9))
# The sides that meet at the point; of a saddle, those of its upper pixel (the lower one has the other two).
_EAST = np.isin(np.arange(16), (2, 8, 7, 13, 6))
_SOUTH = np.isin(np.arange(16), (4, 8, 7, 11))
# A pixel (row, column of the four) that is in; of a saddle, the upper one.
_FIRST = np.array([0, 0, 1, 0, 2, 0, 1, 0, 3, 0, 0, 0, 0, 0, 1, 0])


@dataclass(frozen=True, slots=True)
class Corners:
    """Lattice points at which outlines turn; all arrays (N,)."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    code: NDArray[np.uint8]  # which of the four pixels are in
    piece: NDArray[np.int64]  # number of the piece that turns here; at a saddle, that of the upper pixel
    other: NDArray[np.int64]  # at a saddle, that of the lower pixel; else the same again

    def at(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Corners:
        """Some of the points, by flags (N,) or by their numbers."""
        return Corners(self.x[which], self.y[which], self.code[which], self.piece[which], self.other[which])


def corners(labels: NDArray[np.integer], x: int, y: int) -> Corners:
    """The turning points strictly inside an array of piece numbers (h, w), 0 for out.

    x, y  lattice coordinates of the array's outer corner
    """
    inside: NDArray[np.uint8] = (labels > 0).view(np.uint8)
    pairs = inside[:-1] | np.left_shift(inside[1:], 2)  # (h - 1, w): two pixels above each other
    codes: NDArray[np.uint8] = pairs[:, :-1] | np.left_shift(pairs[:, 1:], 1)
    rows, columns = np.nonzero(_TURNS[codes])
    code: NDArray[np.uint8] = codes[rows, columns]
    first = _FIRST[code]
    # The lower pixel of a saddle lies across the diagonal from the upper one: 3 - 0 or 3 - 1.
    second = np.where(np.isin(code, _SADDLES), 3 - first, first)
    piece, other = (labels[rows + pixel // 2, columns + pixel % 2].astype(np.int64) for pixel in (first, second))
    return Corners(columns + (x + 1), rows + (y + 1), code, piece, other)


def join_corners(parts: Sequence[Corners]) -> Corners:
    """All points of several sets that have none in common."""
    return Corners(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "code", "piece", "other"))
    )


def outlines(points: Corners, regions: int) -> NDArray[np.object_]:
    """The polygons (regions,) of 4-connected regions, in lattice coordinates, each with its holes.

    points   all turning points; here `piece` and `other` number the regions, from 0
    regions  how many there are

    They are valid: a ring that would touch itself at a saddle of its own region is two rings instead.
    """
    # Sorted, so that where a ring begins does not depend on the order in which windows came.
    sides = _sides(points.at(np.lexsort((points.x, points.y))))
    flat, steep = _partners(sides.y, sides.x, sides.east), _partners(sides.x, sides.y, sides.south)
    starts = np.flatnonzero(sides.leaves_flat)  # each is the start of a horizontal side, and a ring alternates
    place = np.empty(len(sides.x), np.int64)
    place[starts] = np.arange(len(starts))
    order, first = _cycles(place[steep[flat[starts]]])
    begin, end = starts[order], flat[starts[order]]
    coordinates = np.empty((2 * len(order), 2))
    coordinates[0::2] = np.stack([sides.x[begin], sides.y[begin]], 1)
    coordinates[1::2] = np.stack([sides.x[end], sides.y[end]], 1)
    ring = np.repeat(np.arange(len(first)), np.diff(first, append=len(order)))
    after = steep[end]  # where the vertical side that follows ends
    area = np.add.reduceat(sides.x[end] * (sides.y[after] - sides.y[end]), first)
    region = sides.region[begin[first]]
    rings = shapely.linearrings(coordinates, indices=np.repeat(ring, 2))
    shells_first = np.lexsort((area < 0, region))
    polygons: NDArray[np.object_] = shapely.polygons(rings[shells_first], indices=region[shells_first])
    if len(polygons) != regions:
        raise AssertionError(f"{len(polygons)} outlines for {regions} regions")
    return polygons


@dataclass(frozen=True, slots=True)
class _Sides:
    """One turn of one outline: where, and towards which side each of its two legs lies; a saddle is two of them."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    east: NDArray[np.bool_]
    south: NDArray[np.bool_]
    leaves_flat: NDArray[np.bool_]
    region: NDArray[np.int64]


def _sides(points: Corners) -> _Sides:
    saddle = np.flatnonzero(np.isin(points.code, _SADDLES))
    east, south = _EAST[points.code], _SOUTH[points.code]
    # Two pixels that touch at a point only are apart, each outline turns around its own pixel. When both belong to one
    # region, that outline meets itself here: swapping its legs parts it into two rings that touch at the point.
    swapped = points.piece[saddle] == points.other[saddle]
    south[saddle] = swapped
    return _Sides(
        x=np.concatenate([points.x, points.x[saddle]]),
        y=np.concatenate([points.y, points.y[saddle]]),
        east=np.concatenate([east, ~east[saddle]]),
        south=np.concatenate([south, ~swapped]),
        leaves_flat=np.concatenate([_LEAVES_FLAT[points.code], _LEAVES_FLAT[points.code[saddle]]]),
        region=np.concatenate([points.piece, points.other[saddle]]),
    )


def _partners(line: NDArray[np.int64], along: NDArray[np.int64], ahead: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each turn the one at the other end of its leg along a lattice line.

    In the order of the line, legs that lie ahead and legs that lie behind take turns: each pair is one side.
    """
    key = (line * (along.max(initial=0) + 1) + along) * 2 + ahead
    order = np.argsort(key, kind="stable")
    partner = np.empty(len(order), np.int64)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner


def _cycles(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cycles of a permutation, one after the other: (members in the order of the cycle, where each cycle begins).

    By pointer doubling: about log2(longest cycle) passes, none of them a Python loop over members.
    """
    least, jump = np.arange(len(following)), following
    while True:
        lower = np.minimum(least, least[jump])
        if np.array_equal(lower, least):
            break
        least, jump = lower, jump[jump]
    last = least == np.arange(len(following))  # the least member ends its cycle
    jump = np.where(last, np.arange(len(following)), following)
    steps = (~last).astype(np.int64)
    while (further := steps[jump]).any():
        steps, jump = steps + further, jump[jump]
    order = np.lexsort((-steps, least))
    return order, np.flatnonzero(np.diff(least[order], prepend=-1))
