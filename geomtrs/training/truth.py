"""What is true of a pair for each question that can be asked of it: present, absent or not known, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geomtrs.data.composite import Scene
from geomtrs.data.labels import ABSENT, ANYTHING, PRESENT, THINGS, UNKNOWN, UNLABELLED, mask_means
from geomtrs.data.pairs import Sample
from geomtrs.data.patches import any_of
from geomtrs.nn.mask_decoder import DIRECTIONS
from geomtrs.training.sets import CHANGE_SETS

APPEARED, DISAPPEARED, CHANGED, REPLACED = range(len(DIRECTIONS))


@dataclass(frozen=True, slots=True)
class Question:
    """A thing (ANYTHING or UNLABELLED too), a direction by number, and a second thing where one is named.

    For replacements that is the thing before; else it went the same way, and both are meant.
    """

    thing: int
    direction: int
    source: int = -1


def anything_of(
    sample: Sample, before: Scene, after: Scene, still: NDArray[np.bool_], laid: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """(H, W) state of "whatever changed": known everywhere only where nothing unmarked can change."""
    if sample.set == "drawn":
        return np.where(before.raw != after.raw, PRESENT, ABSENT).astype(np.uint8)
    if sample.alone:
        return np.where(laid, PRESENT, ABSENT).astype(np.uint8)
    whole = sample.set in CHANGE_SETS or sample.name.startswith("sysu")
    return np.where(~still | laid, PRESENT, ABSENT if whole else UNKNOWN).astype(np.uint8)


def about_of(sample: Sample) -> int | None:
    """The thing that a pair's mask tells all changes of; None where labels of the dates tell more than the mask."""
    meant = mask_means(sample.set, sample.name)
    if meant in (None, "anything") or sample.offsets[2] < 0:
        return None
    return THINGS.index(meant)


@dataclass(frozen=True)
class Truth:
    """What is known of a pair: states (things, h, w) of both dates, and of what changed.

    still     (h, w) where its mask says that nothing changed
    marked    (h, w) where its mask says that something did
    anything  (h, w) state of "whatever changed"
    about     the one thing that the mask is about, if it is about one
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    still: NDArray[np.bool_]
    marked: NDArray[np.bool_]
    anything: NDArray[np.uint8]
    about: int | None
    unchanged: tuple[int, ...] = ()  # things that came and went nowhere

    @cached_property
    def come(self) -> NDArray[np.uint8]:
        """(things, h, w): PRESENT where a thing is there at the second date and not at the first."""
        return self._change(self.after, self.before)

    @cached_property
    def gone(self) -> NDArray[np.uint8]:
        """As `come`, the other way."""
        return self._change(self.before, self.after)

    def changed(self, thing: int) -> NDArray[np.uint8]:
        """(h, w): came or went; a mask about the thing tells so even where it does not tell which."""
        come, gone = self.come[thing], self.gone[thing]
        out = np.full(come.shape, UNKNOWN, np.uint8)
        out[(come == ABSENT) & (gone == ABSENT)] = ABSENT
        out[(come == PRESENT) | (gone == PRESENT)] = PRESENT
        if thing == self.about:
            out[(out == UNKNOWN) & self.marked] = PRESENT
        return out

    def _change(self, there: NDArray[np.uint8], gone: NDArray[np.uint8]) -> NDArray[np.uint8]:
        out = np.full_like(there, UNKNOWN)
        out[(there == ABSENT) | (gone == PRESENT)] = ABSENT
        out[(there == PRESENT) & (gone == ABSENT)] = PRESENT
        known = (there != UNKNOWN).any((-2, -1)) | (gone != UNKNOWN).any((-2, -1))
        if self.about is not None:
            known[self.about] = True  # a tile without any change of it teaches what is none
        out[known[:, None, None] & self.still] = ABSENT
        out[list(self.unchanged)] = ABSENT
        return out


def told(questions: list[Question], truth: Truth) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Of K questions: presence of the thing at both dates (K, 2, h, w), the answer (K, h, w), existence (K,)."""
    come, gone = truth.come, truth.gone
    size = truth.before.shape[1:]
    presence = np.full((len(questions), 2, *size), UNKNOWN, np.uint8)
    answers = np.full((len(questions), *size), UNKNOWN, np.uint8)
    for k, question in enumerate(questions):
        t = question.thing
        if t == ANYTHING:
            answers[k] = truth.anything
            continue
        if t == UNLABELLED:
            answers[k], presence[k] = ABSENT, ABSENT
            continue
        s = question.source
        presence[k, 0], presence[k, 1] = truth.before[t], truth.after[t]
        if question.direction == REPLACED:
            answers[k][(gone[s] == PRESENT) & (come[t] == PRESENT)] = PRESENT
            answers[k][(gone[s] == ABSENT) | (come[t] == ABSENT)] = ABSENT
        elif s >= 0:
            states = come if question.direction == APPEARED else gone
            answers[k] = any_of(states[t], states[s])
            for date, there_then in enumerate((truth.before, truth.after)):
                presence[k, date] = any_of(there_then[t], there_then[s])
        elif question.direction == CHANGED:
            answers[k] = truth.changed(t)
        else:
            answers[k] = come[t] if question.direction == APPEARED else gone[t]
    there = (answers == PRESENT).sum((1, 2)) >= 8
    nowhere = (answers == ABSENT).mean((1, 2)) > 0.98
    existence = np.where(there, PRESENT, np.where(nowhere, ABSENT, UNKNOWN)).astype(np.uint8)
    return presence, answers, existence
