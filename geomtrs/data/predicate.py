"""Where a sentence holds by the labels, read from its words alone: the check on whoever wrote it.

Nothing here is shared with `referring.py`: words are found by patterns, patches by a graph of pixels, distances by a
tree of points. What a kind of sentence means is under the function that judges it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from geomtrs.data.labels import ABSENT, ANYTHING, PRESENT, THINGS, UNKNOWN
from geomtrs.grammar import Place, ScenePart, read

_Bool = NDArray[np.bool_]
_States = NDArray[np.uint8]
_Patch = tuple[NDArray[np.intp], NDArray[np.intp]]
_Judged = tuple[_Bool, _Bool]  # (H, W) where it holds, (H, W) where that is known

_WORDS = {
    "palm": r"palm trees?|palms?", "landslide": r"landslides?|slope failures?|slopes that slid",
    "burnt": r"(?:burnt|burned|scorched) (?:areas?|ground|land)|land that burned|areas burned|fire scar|after the fire",
    "solar": r"solar (?:panels?|arrays?)|photovoltaic panels?", "pool": r"(?:swimming )?pools?",
    "aircraft": r"(?:air|aero)?planes?", "boat": r"boats?|vessels?", "car": r"cars?|vehicles?",
    "ice": r"ice(?: cover)?", "town": r"built-up (?:areas?|land)|urban land", "bare": r"bare (?:ground|soil|land)",
    "field": r"fields?|farmland|cropland|farm land", "grass": r"grass|low vegetation", "tree": r"trees?(?: cover)?",
    "road": r"roads?|asphalt", "water": r"water(?: body| bodies)?|flood(?:ed|ing)?|inundated|areas that fell dry",
    "building": r"buildings?|structures?|constructions|new construction(?=$)",
}  # fmt: skip  # "palm trees" come first: they are no trees
_NAMED = re.compile("|".join(rf"(?P<{thing}>\b(?:{pattern})(?!\w))" for thing, pattern in _WORDS.items()))
_CHANGED = re.compile(r"\bchang|\baltered|\bmodified|\bdifferen|appeared or disappeared|added or removed")
_GONE = re.compile(
    r"\b(?:disappear|vanish|remov|lost\b|loss\b|gone\b|no longer there|missing|former\b|taken away|demoli|destroy|"
    r"torn|knocked down|razed|felled|cut\b|cleared|dried up|fell dry|emerged from|left\b|departed|drove away|filled in|"
    r"moved away|sailed away|flew away|dismantled|melted|recovery)|before but not now|only in the (?:earlier|first)"
)
_CAME = re.compile(
    r"\b(?:appear|new\b|newly|add|erected|constructed|construction\b|gained|installed|arrived|came|fresh|burned by|"
    r"slid$|that burned|the fire scar$|put up|flood|inundated|under water now|built between|(?:were|was|been) built)|"
    r"not there before|absent in the first|only in the (?:later|second)"
)
_CROSS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
_GROWN = re.compile(r"\b(?:grown|grew|expanded|extended|enlarged)\b")
_SHRUNK = re.compile(r"\b(?:shrunk|shrank|receded)\b")
_SOURCE_FIRST = re.compile(
    r"\breplaced by|that became|turned into|converted to|transformed into|that gave way to|from .* to "
)
_SOURCE_LAST = re.compile(r"where there (?:was|were)|took the place of|on former|that replaced")
_BESIDE = re.compile(r" (?:beside|next to|along|at) (?:the |a )?(?P<other>[a-z]+)(?:'s edge)?$")


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
    sentence: str,
    before: _States,
    after: _States,
    still: _Bool,
    gsd_m: float | None = None,
    *,
    about: Collection[int] = (),
) -> _Judged:
    """(H, W) where the sentence holds and (H, W) where that is known; nothing is known of what cannot be read.

    The other arguments are those of `refer`. A patch is 4-connected and has 8 pixels or more; of less nothing is known.
    """
    asked, part = read(sentence)
    asked = asked.lower().strip(" ?.")
    told = _Told(before, after, still, frozenset(about))
    beside = _BESIDE.search(asked)
    named = [THINGS.index(str(m.lastgroup)) for m in _NAMED.finditer(asked[: beside.start()] if beside else asked)]
    grown, shrunk = bool(_GROWN.search(asked)), bool(_SHRUNK.search(asked))
    if len(named) == 2 and (_SOURCE_FIRST.search(asked) or _SOURCE_LAST.search(asked)):
        source, thing = named if _SOURCE_FIRST.search(asked) else named[::-1]
        (came, not_came), (went, not_went) = told.came(thing), told.turned().came(source)
        return _without_specks(came & went, not_came | not_went)
    if named and (grown or shrunk):
        return _grown(told if grown else told.turned(), named[0])
    if _CHANGED.search(asked):
        return _without_specks(*told.changed(named[0] if named else ANYTHING))
    gone, come = bool(_GONE.search(asked)), bool(_CAME.search(asked))
    if not named or gone == come:
        return np.zeros_like(still), np.zeros_like(still)
    each = [(told.turned() if gone else told).came(thing) for thing in named]
    yes, no = np.any([y for y, _ in each], axis=0), np.all([n for _, n in each], axis=0)
    if beside:
        other = next((str(m.lastgroup) for m in _NAMED.finditer(beside["other"])), "")
        return _beside(yes, no, after[THINGS.index(other)], gsd_m)
    return _kept(yes, no, part, gsd_m)


def _patches(where: _Bool) -> list[_Patch]:
    """Rows and columns of the pixels of each 4-connected piece, by a graph of neighbours."""
    rows, columns = np.nonzero(where)
    if not len(rows):
        return []
    number = np.full(where.shape, -1)
    number[where] = np.arange(len(rows))
    down, across = (
        np.stack([a.ravel(), b.ravel()]) for a, b in ((number[1:], number[:-1]), (number[:, 1:], number[:, :-1]))
    )
    first, second = (edges := np.concatenate([down, across], axis=1))[:, (edges >= 0).all(0)]
    graph = coo_array((np.ones(len(first)), (first, second)), (len(rows), len(rows)))
    _, piece = connected_components(graph, directed=False)
    order = np.argsort(piece, kind="stable")
    ends = np.cumsum(np.bincount(piece))[:-1]
    return list(zip(np.split(rows[order], ends), np.split(columns[order], ends), strict=True))


def _without_specks(yes: _Bool, no: _Bool) -> _Judged:
    mask = np.zeros_like(yes)
    for patch in _patches(yes):
        mask[patch] = len(patch[0]) >= 8
    return mask, mask | no


def _kept(yes: _Bool, no: _Bool, part: ScenePart, gsd_m: float | None) -> _Judged:
    """What the words about the scene leave: place and limits decide on each patch alone, a rank on what those leave.

    Four fifths of a patch in a place are in it, a fifth is not. A patch at the picture's edge, or at pixels not known,
    may be larger than it looks. A rank or a number is told only where every pixel is.
    """
    mask, known = _without_specks(yes, no)
    patches = [patch for patch in _patches(yes) if len(patch[0]) >= 8]
    left = []
    for patch in patches:
        verdicts = [_in_place(patch, part.place, yes.shape)] if part.place else []
        if part.least or part.most:
            verdicts.append(_in_size(patch, part, len(patch[0]) * gsd_m**2, yes | no) if gsd_m else UNKNOWN)
        mask[patch] = not verdicts or min(verdicts) == PRESENT
        if ABSENT not in verdicts:
            known[patch] = UNKNOWN not in verdicts
            left.append(patch)
        else:
            mask[patch] = False
    if part.count is not None:
        chosen = sorted(left, key=lambda patch: len(patch[0]), reverse=bool(part.largest))[part.skip :][: part.count]
        mask[:] = False
        for patch in chosen:
            mask[patch] = True
        told = bool((yes | no).all()) and (part.largest is not None or len(left) in (0, part.count))
        known &= told
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
    mask, known = _without_specks(yes, no)
    there, perhaps = (np.argwhere(where) for where in (other == PRESENT, other != ABSENT))
    for patch in _patches(yes):
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
        touching = any(
            open_[rows + 1 + i, columns + 1 + j].any() for i, j in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
        )
        if touching or (old and (old < 8 or gain < 8 or old < now < 1.3 * old)):
            known[at] = False
        elif old:
            mask[at] = now >= 1.3 * old
    return mask, known
