"""What is known of the changes between two dates, and the patches they form.

A state is ABSENT, PRESENT or UNKNOWN (`labels.py`). Patches are 4-connected and have 8 pixels at least; what is smaller
is a speck, of which nobody can be sure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.labels import ABSENT, PRESENT, UNKNOWN
from geomtrs.grammar import Place

PATCH_PX = 8
# By 3 · the state at the date where a thing arrived + the state at the other: there and not there before, or not so.
_ARRIVED = np.array([[ABSENT] * 3, [PRESENT, ABSENT, UNKNOWN], [UNKNOWN, ABSENT, UNKNOWN]], np.uint8).ravel()
# A thing is nowhere where so much of the picture is known to be without it, and none is known to have it.
NOWHERE = 0.98

Bool = NDArray[np.bool_]
States = NDArray[np.uint8]


@dataclass(frozen=True)
class Patches:
    """The patches of one state (H, W): 1 … n in `labels`."""

    labels: NDArray[np.int64]
    areas_px: NDArray[np.int64]  # (n,)
    cut: Bool  # (n,) next to the picture's edge or to a pixel not known: it may be larger
    known: Bool  # (H, W) without specks
    complete: bool  # every pixel is known
    specks: bool

    @property
    def exact(self) -> bool:
        """Neither a pixel nor a speck leaves open how many there are."""
        return self.complete and not self.specks

    def shares(self, where: Bool) -> NDArray[np.float64]:
        """(n,) share of each patch that lies there."""
        return np.asarray(np.bincount(self.labels[where], minlength=len(self.areas_px) + 1)[1:] / self.areas_px)

    def chosen(self, which: Bool, unsure: Bool | None = None) -> tuple[Bool, Bool]:
        """Mask and known where some patches (n,) are chosen and others may be unsure."""
        known = self.known if unsure is None else self.known & ~np.append(False, unsure)[self.labels]
        return np.append(False, which)[self.labels] & known, known


def patches_of(state: States) -> Patches:
    """Where the state is PRESENT."""
    there, known = state == PRESENT, state != UNKNOWN
    if not there.any():  # of most things in most pictures
        none = np.broadcast_to(np.int64(0), state.shape)  # a picture of zeros that takes no memory
        return Patches(none, none[0, :0], there[0, :0], known, bool(known.all()), specks=False)
    labels, count = ndimage.label(there)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    large = areas >= PATCH_PX
    large[0] = False
    specks = (labels > 0) & ~large[labels]
    labels = (np.cumsum(large) * large)[labels]
    cut = np.zeros(int(large.sum()), bool)
    if cut.size:
        beyond = _beside(state == UNKNOWN)
        cut = np.bincount(labels[beyond], minlength=len(cut) + 1)[1:] > 0
    return Patches(labels, areas[large], cut, known & ~specks, bool(known.all()), bool(specks.any()))


def _beside(where: Bool) -> Bool:
    """(H, W), True at the picture's edge and next to where it is True, by slices: a quarter of ndimage's time."""
    near = np.zeros_like(where)
    near[[0, -1]] = near[:, [0, -1]] = True
    near[1:] |= where[:-1]
    near[:-1] |= where[1:]
    near[:, 1:] |= where[:, :-1]
    near[:, :-1] |= where[:, 1:]
    return near


def arrivals(there: States, other: States, still: Bool, about: Collection[int]) -> States:
    """(things, H, W): PRESENT where a thing is at one date and not at the other, ABSENT where either fails.

    still, about  as in `refer`
    """
    out = np.full_like(there, UNKNOWN)
    quiet = bool(still.any())
    for thing, (here, gone, answer) in enumerate(zip(there, other, out, strict=True)):
        labelled = bool((here != UNKNOWN).any() or (gone != UNKNOWN).any())
        if labelled:
            answer[:] = _ARRIVED[3 * here + gone]
        if quiet and (labelled or thing in about):
            answer[still] = ABSENT
    return out


def any_of(*states: States) -> States:
    """PRESENT where one is, ABSENT where all are."""
    out = np.full_like(states[0], UNKNOWN)
    out[np.logical_and.reduce([s == ABSENT for s in states])] = ABSENT
    out[np.logical_or.reduce([s == PRESENT for s in states])] = PRESENT
    return out


def both_of(first: States, second: States) -> States:
    """PRESENT where both are, ABSENT where one is."""
    out = np.full_like(first, UNKNOWN)
    out[(first == ABSENT) | (second == ABSENT)] = ABSENT
    out[(first == PRESENT) & (second == PRESENT)] = PRESENT
    return out


def nowhere(state: States) -> bool:
    """Known to be nowhere."""
    return not (state == PRESENT).any() and bool((state == ABSENT).mean() >= NOWHERE)


def inside(place: Place, shape: tuple[int, ...]) -> Bool:
    """(H, W) where the middle of a pixel lies in that part of the picture; north is up."""
    down, across = ((np.arange(n) + 0.5) / n for n in shape)
    if place.middle:
        rows, columns = (np.abs(x - 0.5) <= place.share / 2 for x in (down, across))
        return np.logical_and.outer(rows, columns)
    rows, columns = np.ones(shape[0], bool), np.ones(shape[1], bool)
    if place.vertical is not None:
        rows = down <= place.share if place.vertical in ("north", "upper") else down >= 1 - place.share
    if place.horizontal is not None:
        columns = across <= place.share if place.horizontal in ("west", "left") else across >= 1 - place.share
    return np.logical_and.outer(rows, columns)
