"""How sure the small model may be: one temperature for mask logits, one for existence (Guo et al. 2017).

Fitted on scenes that training did not see. The mask's is fitted where the sentence holds in the tile, since existence
is multiplied to it everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from geomtrs.data.labels import PRESENT, UNKNOWN
from geomtrs.models.mtrefseg import MTRefSeg
from geomtrs.training.loop import Ask, Told, counted
from geomtrs.training.samples import Batch

PIXELS = 4096  # of each answer: more move no temperature
_SEARCH = -1.6, 2.3  # of the logarithm
_COUNTED = 4  # batches from one line of progress to the next


@torch.inference_mode()
def calibrate(model: MTRefSeg, ask: Ask, batches: Sequence[Batch], told: Told | None = None) -> dict[str, float]:
    """`mask_temperature` and `existence_temperature` of a model in evaluation mode on these batches.

    Either is left out where they do not tell it.
    """
    masks, truths, exists, there = [], [], [], []
    generator = torch.Generator().manual_seed(0)
    count = counted(told, "calibration", len(batches))
    for number, batch in enumerate(batches):
        if number % _COUNTED == 0:
            count(number)
        answer = model.answer(model.maps(batch.images.float()), ask(batch.questions))
        logits = torch.nn.functional.interpolate(
            answer.mask, size=batch.answers.shape[-2:], mode="bilinear", align_corners=False
        )
        holds = batch.existence == PRESENT
        for mask, states in zip(logits[holds], batch.answers[holds], strict=True):
            known = torch.nonzero(states.flatten() != UNKNOWN)[:, 0]
            chosen = known[torch.randint(len(known), (min(PIXELS, len(known)),), generator=generator)]
            masks.append(mask.flatten()[chosen])
            truths.append(states.flatten()[chosen] == PRESENT)
        sure = batch.existence != UNKNOWN
        exists.append(answer.existence[sure])
        there.append(batch.existence[sure] == PRESENT)
    count(len(batches))
    return _fitted("mask_temperature", masks, truths) | _fitted("existence_temperature", exists, there)


def _fitted(name: str, logits: list[Tensor], truths: list[Tensor]) -> dict[str, float]:
    """Nothing where all is true or all is not, or where the best lies at an end of the search."""
    truth = torch.cat(truths) if truths else torch.zeros(0, dtype=torch.bool)
    if not truth.any() or truth.all():
        return {}
    found = temperature(torch.cat(logits), truth)
    return {name: round(found, 3)} if min(abs(math.log(found) - end) for end in _SEARCH) > 0.01 else {}


def temperature(logits: Tensor, truth: Tensor) -> float:
    """The T in 0.2..10 for which sigmoid(logits / T) has the least cross-entropy with truth, both (N,)."""
    wanted = truth.double()

    def cost(log_t: float) -> float:
        scaled = logits.double() / torch.tensor(log_t).exp()
        return float(torch.nn.functional.binary_cross_entropy_with_logits(scaled, wanted))

    found = minimize_scalar(cost, bounds=_SEARCH, method="bounded")
    return float(torch.tensor(float(found.x)).exp())
