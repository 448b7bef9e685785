"""Where a sentence holds by the labels, read from its words alone: the check on whoever wrote it.

Nothing here is shared with `referring.py`: words are read by `readings.py`, patches are found by a graph of pixels,
distances by a tree of points. What a kind of sentence means is under the function that judges it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from geomtrs.data.labels import ABSENT, ANYTHING, PRESENT, THINGS, UNKNOWN
from geomtrs.data.readings import reading_of
from geomtrs.grammar import Place, ScenePart

_Bool = NDArray[np.bool_]
_States = NDArray[np.uint8]
_Patch = tuple[NDArray[np.intp], NDArray[np.intp]]
_Judged = tuple[_Bool, _Bool]  # (H, W) where it holds, (H, W) where that is known

_CROSS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class _Told:
    """The states of two dates and what is known not to have changed."""

    before: _States
    after: _States
    still: _Bool
    about: frozenset[int]

    def turned(self) -> _Told:
        """The dates swapped."""
        return _Told(self.after, self.before, self.still, self.about)

    def came(self, thing: int) -> tuple[_Bool, _Bool]:
        """Where a thing came, and where it surely did not."""
        before, after = self.before[thing], self.after[thing]
        labelled = thing in self.about or bool((before != UNKNOWN).any() or (after != UNKNOWN).any())
        quiet = self.still if labelled else np.zeros_like(self.still)
        came = (before == ABSENT) & (after == PRESENT) & ~quiet
        return came, quiet | (before == PRESENT) | (after == ABSENT)

    def changed(self, thing: int) -> tuple[_Bool, _Bool]:
        """Where it came or went, and where it surely did neither."""
        if thing in self.about:
            return ~self.still, self.still
        if thing == ANYTHING:
            each = [self.changed(t) for t in range(len(THINGS))]
            return np.any([yes for yes, _ in each], axis=0), np.all([no for _, no in each], axis=0)
        (came, not_came), (went, not_went) = self.came(thing), self.turned().came(thing)
        return came | went, not_came & not_went


def holds(
    sentence: str, before: _States, after: _States, still: _Bool, gsd_m: float | None = None, *,
    about: Collection[int] = (),
) -> _Judged:  # fmt: skip
    """(H, W) where the sentence holds and (H, W) where that is known; nothing is known of what cannot be read.

    The other arguments are those of `refer`. A patch is 4-connected and has 8 pixels or more; of less nothing is known.
    """
    reading, told = reading_of(sentence), _Told(before, after, still, frozenset(about))
    unread = np.zeros_like(still), np.zeros_like(still)
    if reading is None or (reading.part and (reading.beside is not None or reading.direction in ("grew", "shrank"))):
        return unread
    first, last = (told.turned(), told) if reading.direction in ("disappeared", "shrank") else (told, told.turned())
    if reading.direction in ("grew", "shrank"):
        return _grown(first, reading.things[0]) if len(reading.things) == 1 and reading.beside is None else unread
    each = [first.came(thing) for thing in reading.things]
    if reading.direction == "changed":
        each = [told.changed(thing) for thing in reading.things or (ANYTHING,)]
    yes, no = np.any([y for y, _ in each], axis=0), np.all([n for _, n in each], axis=0)
    if reading.source is not None:
        went, not_went = last.came(reading.source)
        yes, no = yes & went, no | not_went
    if reading.beside is not None:
        return _beside(yes, no, after[reading.beside], gsd_m)
    return _kept(yes, no, reading.part, gsd_m)


def _patches(where: _Bool) -> list[_Patch]:
    """Rows and columns of the pixels of each 4-connected piece, by a graph of neighbours."""
    lines = np.flatnonzero(where.any(1))
    if not len(lines):
        return []
    top = int(lines[0])
    where = where[top : lines[-1] + 1]
    rows, columns = np.nonzero(where)
    number = np.empty(where.shape, np.int32)
    number[where] = np.arange(len(rows))
    down, across = where[1:] & where[:-1], where[:, 1:] & where[:, :-1]
    first = np.concatenate([number[1:][down], number[:, 1:][across]])
    second = np.concatenate([number[:-1][down], number[:, :-1][across]])
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), (len(rows), len(rows)))
    _, piece = connected_components(graph, directed=False)
    rows += top
    order = np.argsort(piece, kind="stable")
    ends = np.cumsum(np.bincount(piece))[:-1]
    return list(zip(np.split(rows[order], ends), np.split(columns[order], ends), strict=True))


def _without_specks(yes: _Bool, no: _Bool) -> tuple[_Bool, _Bool, list[_Patch]]:
    """As _Judged, with the patches that are no specks."""
    mask, patches = np.zeros_like(yes), [patch for patch in _patches(yes) if len(patch[0]) >= 8]
    for patch in patches:
        mask[patch] = True
    return mask, mask | no, patches


def _kept(yes: _Bool, no: _Bool, part: ScenePart, gsd_m: float | None) -> _Judged:
    """What the words about the scene leave: place and limits decide on each patch alone, a rank on what those leave.

    Four fifths of a patch in a place are in it, a fifth is not. A patch at the picture's edge, or at pixels not known,
    may be larger than it looks. A rank or a number is told only where every pixel is.
    """
    mask, known, patches = _without_specks(yes, no)
    left = []
    for patch in patches:
        verdicts = [_in_place(patch, part.place, yes.shape)] if part.place else []
        if part.least or part.most:
            verdicts.append(_in_size(patch, part, len(patch[0]) * gsd_m**2, yes | no) if gsd_m else UNKNOWN)
        mask[patch], known[patch] = ABSENT not in verdicts, ABSENT in verdicts or UNKNOWN not in verdicts
        left += [] if ABSENT in verdicts else [patch]
    if part.count is not None:
        chosen = sorted(left, key=lambda patch: len(patch[0]), reverse=bool(part.largest))[part.skip :][: part.count]
        mask[:] = False
        for patch in chosen:
            mask[patch] = True
        known &= (yes | no).all() and all(known[patch].all() for patch in left)
        known &= part.largest is not None or len(left) in (0, part.count)
    return mask & known, known


def _in_place(patch: _Patch, place: Place, shape: tuple[int, ...]) -> int:
    down, across = ((x + 0.5) / n for x, n in zip(patch, shape, strict=True))
    from_side = {"north": down, "upper": down, "south": 1 - down, "lower": 1 - down, None: 0 * down,
                 "west": across, "left": across, "east": 1 - across, "right": 1 - across}  # fmt: skip
    if place.middle:
        reach = 2 * np.maximum(abs(down - 0.5), abs(across - 0.5))
    else:
        reach = np.maximum(from_side[place.vertical], from_side[place.horizontal])
    share = float((reach <= place.share).mean())
    return PRESENT if share >= 0.8 else ABSENT if share <= 0.2 else UNKNOWN


def _in_size(patch: _Patch, part: ScenePart, area_m2: float, told: _Bool) -> int:
    around = np.pad(told, 1, constant_values=False)
    larger = not all(around[patch[0] + 1 + i, patch[1] + 1 + j].all() for i, j in _CROSS)
    most, least = part.most, part.least
    if most and (area_m2 > most.area_m2 or (area_m2 == most.area_m2 and not most.inclusive)):
        return ABSENT
    if least and (area_m2 < least.area_m2 or (area_m2 == least.area_m2 and not least.inclusive)):
        return UNKNOWN if larger else ABSENT
    return UNKNOWN if most and larger else PRESENT


def _beside(yes: _Bool, no: _Bool, other: _States, gsd_m: float | None) -> _Judged:
    """Patches with the other thing within 6 m and 2 pixels (3 pixels without metres); beyond three times that not."""
    near = max(2.0, 6 / gsd_m) if gsd_m else 3.0
    mask, known, patches = _without_specks(yes, no)
    there, perhaps = (np.argwhere(where) for where in (other == PRESENT, other != ABSENT))
    for patch in patches:
        points = np.stack(patch, axis=1)
        away = cKDTree(there).query(points)[0].min() if len(there) else np.inf
        mask[patch] &= bool(away <= near)
        if away > near and len(perhaps) and cKDTree(perhaps).query(points)[0].min() <= 3 * near:
            known[patch] = False
    return mask & known, known


def _grown(told: _Told, thing: int) -> _Judged:
    """The new part of what was there before, with what is left of it, and is a third larger (1.3 times) now.

    Nothing is known of new parts that make it larger by less, of old or new parts under 8 pixels, and beside pixels not
    known.
    """
    (came, not_came), (went, not_went) = told.came(thing), told.turned().came(thing)
    was = told.before[thing] == PRESENT
    open_ = np.pad((told.before[thing] == UNKNOWN) | ~(came | not_came) | ~(went | not_went), 1)
    mask, known = np.zeros_like(came), came | not_came
    for rows, columns in _patches(was | came):
        new = came[rows, columns]
        old, gain = int(was[rows, columns].sum()), int(new.sum())
        now = old + gain - int(went[rows, columns].sum())
        at = rows[new], columns[new]
        touching = any(open_[rows + 1 + i, columns + 1 + j].any() for i, j in _CROSS)
        if touching or (old and (old < 8 or gain < 8 or old < now < 1.3 * old)):
            known[at] = False
        elif old:
            mask[at] = now >= 1.3 * old
    return mask, known
