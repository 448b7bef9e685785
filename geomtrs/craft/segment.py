"""Where a finding is: read from labels, or asked of a change model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.craft.grid import inside
from geomtrs.craft.protocols import Bool, Candidate, CraftError, Finding, Pair, Prompt, Way
from geomtrs.data.labels import ANYTHING, THINGS, Labels
from geomtrs.data.patches import any_of, arrivals, both_of, patches_of
from geomtrs.errors import DataError
from geomtrs.models.base import LARGEST_PX, ChangeModel, Features, PairAnswers
from geomtrs.query import Query

STEP = 0.15  # of probability, by which a model is asked for more or for less
KEPT_PAIRS = 8  # of which a model's features are kept
ONCE = Prompt()


@dataclass(frozen=True, slots=True)
class LabelSegmenter:
    """The mask of a finding is where the labels of both dates bear it out, without specks."""

    name: str = "labels"

    def segment(self, pair: Pair, finding: Finding, prompt: Prompt = ONCE) -> Candidate:
        """The same however often it is asked.

        Raises DataError for a pair without labels, or a finding that is no thing of theirs.
        """
        if pair.labels is None or finding.thing is None:
            raise DataError(
                pair.id, found="no labels for this finding", wanted="labels of both dates, or a mask",
                remedy="choose another segmenter",
            )  # fmt: skip
        found = patches_of(state_of(pair.labels, finding.way, finding.thing, finding.source))
        mask, known = found.chosen(found.areas_px > 0)
        return Candidate(finding, mask, known)


class Sight:
    """What a change model sees of a pair, looked at whole; safe to ask from several threads."""

    def __init__(self, model: ChangeModel) -> None:
        """`name` tells the model and its weights."""
        self.name = f"{model.name} {model.weights_hash[:12]}"
        self._model = model
        self._lock = threading.Lock()  # one model, one look at a time
        self._seen: dict[str, list[Features]] = {}  # the pairs looked at last, each asked several questions

    def probability(self, pair: Pair, query: Query) -> NDArray[np.float32]:
        """(H, W) in 0 … 1, that the sentence holds at a pixel. Raises CraftError for a pair that is too large."""
        refuse_large(pair)
        times = self._model.tile_spec.times(pair.gsd_m)
        times = times if times * max(pair.shape) <= LARGEST_PX else 1
        with self._lock:
            answers = PairAnswers(self._model, self._model.prepare([query]), ((0, 1),), times)
            probability, _ = answers.tell(self._look(pair, answers))
        return np.asarray(probability[0, 0])

    def _look(self, pair: Pair, answers: PairAnswers) -> list[Features]:
        if pair.digest not in self._seen:
            dates = np.stack([pair.before, pair.after]).transpose(0, 3, 1, 2)[None]  # (1, 2, 3, H, W)
            self._seen[pair.digest] = answers.look(np.ascontiguousarray(dates))
            if len(self._seen) > KEPT_PAIRS:
                del self._seen[next(iter(self._seen))]
        return self._seen[pair.digest]


class ModelSegmenter:
    """The mask of a finding is what a change model answers to its sentence, of that the parts in the cells it names."""

    def __init__(self, model: ChangeModel, *, threshold: float = 0.5) -> None:
        """`threshold` is the probability from which a pixel counts."""
        self._sight, self._threshold = Sight(model), threshold
        self.name = self._sight.name

    def segment(self, pair: Pair, finding: Finding, prompt: Prompt = ONCE) -> Candidate:
        """For more or less the threshold moves a STEP.

        Raises CraftError for a pair that is too large to be looked at whole.
        """
        probability = self._sight.probability(pair, Query(finding.sentence, whole=True))
        threshold = min(max(self._threshold - STEP * prompt.more, STEP), 1 - STEP / 2)
        mask = in_cells(probability >= threshold, finding.cells)
        return Candidate(finding, mask, np.ones(pair.shape, bool))


def refuse_large(pair: Pair) -> None:
    """Raises CraftError for a pair that is too large to be looked at whole."""
    if max(pair.shape) > LARGEST_PX:
        raise CraftError(
            pair.id, found=f"{pair.shape} rows and columns", wanted=f"at most {LARGEST_PX} of each",
            remedy="cut the pair into tiles",
        )  # fmt: skip


def in_cells(mask: Bool, cells: Sequence[str]) -> Bool:
    """The pieces of a mask that lie half or more in these cells; all of them where none is named."""
    labels, count = ndimage.label(mask)
    if not cells or not count:
        return mask
    named = inside(cells, mask.shape)
    held = ndimage.sum_labels(named, labels, range(count + 1)) >= np.bincount(labels.ravel()) / 2
    return np.asarray(held[labels] & (labels > 0), bool)


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
