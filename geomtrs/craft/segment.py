"""Where a finding is: read from labels, or asked of a change model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geomtrs.craft.protocols import Candidate, Finding, Labels, Pair, Way
from geomtrs.data.labels import ANYTHING, THINGS
from geomtrs.data.patches import any_of, arrivals, both_of, patches_of
from geomtrs.errors import DataError


@dataclass(frozen=True, slots=True)
class LabelSegmenter:
    """The mask of a finding is where the labels of both dates bear it out, without specks."""

    name: str = "labels"

    def segment(self, pair: Pair, finding: Finding) -> Candidate:
        """Raises DataError for a pair without labels, or a finding that is no thing of theirs."""
        if pair.labels is None or finding.thing is None:
            raise DataError(
                pair.id, found="no labels for this finding", wanted="labels of both dates, or a mask",
                remedy="choose another segmenter",
            )  # fmt: skip
        found = patches_of(state_of(pair.labels, finding.way, finding.thing, finding.source))
        mask, known = found.chosen(found.areas_px > 0)
        return Candidate(finding, mask, known)


def state_of(labels: Labels, way: Way, thing: int, source: int | None = None) -> NDArray[np.uint8]:
    """(H, W) PRESENT where a thing went that way, ABSENT where it surely did not, else UNKNOWN."""
    if way == "replaced" and source is not None:
        return both_of(_came(labels, thing), _came(_turned(labels), source))
    if way == "changed":
        things = range(len(THINGS)) if thing == ANYTHING else (thing,)
        if thing in labels.about:
            return np.where(labels.still, np.uint8(0), np.uint8(1))
        return any_of(*(_came(date, one) for one in things for date in (labels, _turned(labels))))
    return _came(labels if way == "appeared" else _turned(labels), thing)


def _turned(labels: Labels) -> Labels:
    """The dates swapped."""
    return Labels(labels.after, labels.before, labels.still, labels.about)


def _came(labels: Labels, thing: int) -> NDArray[np.uint8]:
    one = slice(thing, thing + 1)
    about = {0} if thing in labels.about else set()
    state: NDArray[np.uint8] = arrivals(labels.after[one], labels.before[one], labels.still, about)[0]
    return state
