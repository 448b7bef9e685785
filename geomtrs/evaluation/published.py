"""The published protocol on a split of MTRefSeg-21K (mtrefseg-r1 §7): everything is scored in the 1024 letterbox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from geomtrs.data.cases import Case
from geomtrs.data.mtrefseg21k import Listing
from geomtrs.evaluation.metrics import Sample, Score, compare, score
from geomtrs.evaluation.runner import Progress, answers, pairs
from geomtrs.evaluation.source import cases_of
from geomtrs.models.base import ChangeModel
from geomtrs.models.letterbox import Letterbox
from geomtrs.models.published import SIDE_PX
from geomtrs.query import Query

THRESHOLD = 0.5


def evaluate_published(
    model: ChangeModel, listing: Listing, *, limit: int | None = None, progress: Progress | None = None
) -> Score:
    """The published figures; each sentence is a sample, and each pair is looked at once for its sentences.

    Truth enters the square by nearest. `base` answers in the square, padding included, and is asked each sentence as
    it stands, as published; any other model answers the tile at its own pixels as the product does, and its mask
    enters the square as the truth does. Raises DataError where a file cannot be read, ValueError without a sample.
    """
    return score(list(_samples(model, islice(cases_of(listing, ""), limit), progress)))


def _samples(model: ChangeModel, cases: Iterable[Case], progress: Progress | None) -> Iterator[Sample]:
    if model.name == "base":
        for case, found in _in_the_square(model, cases, progress):
            yield compare(found, in_square(case.mask))
    else:
        for one in answers(model, cases, threshold=THRESHOLD, progress=progress):
            yield compare(in_square(one.mask), in_square(one.case.mask))


def in_square(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A mask (H, W) in the model's square (1024, 1024), by nearest; 0 around it."""
    letterbox = Letterbox.of(mask.shape[0], mask.shape[1], SIDE_PX)
    square: NDArray[np.uint8] = letterbox.enter_mask(torch.from_numpy(mask.astype(np.uint8))[None])[0].numpy()
    return square


def _in_the_square(
    model: ChangeModel, cases: Iterable[Case], progress: Progress | None
) -> Iterator[tuple[Case, NDArray[np.bool_]]]:
    """What `base` marks of its whole square: a picture that fills it is not led out of it."""
    whole = Letterbox.of(SIDE_PX, SIDE_PX, SIDE_PX)
    done = 0
    for number, group in enumerate(pairs(cases), start=1):
        dates = np.stack([group[0].before, group[0].after]).transpose(0, 3, 1, 2)[None]  # (1, 2, 3, H, W)
        look = model.features(np.ascontiguousarray(dates))._replace(letterbox=whole)
        for case in group:
            # One at a time: a sentence takes 4 MB of the square, and the pictures are looked at once anyway.
            prepared = model.prepare([Query(case.sentence, whole=True)])
            yield case, model.answer(look, prepared).probability[0, 0] > THRESHOLD
        done += len(group)
        if progress is not None:
            progress(done, number)
