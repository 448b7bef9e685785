"""Losses over states: what is not known adds nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from geomtrs.data.labels import ABSENT, PRESENT, UNKNOWN


def mask_loss(logits: Tensor, states: Tensor) -> Tensor:
    """Binary cross-entropy plus dice of N masks: logits (N, h, w) float, states (N, H, W) uint8 → scalar.

    Logits are enlarged to the size of the states. Each mask counts once, however much of it is known; dice only where
    the target is not empty (an empty target has no overlap to gain), with the smoothing 1 of mtrefseg-r1 §5.
    """
    logits = torch.nn.functional.interpolate(
        logits[:, None].float(), size=states.shape[-2:], mode="bilinear", align_corners=False
    )[:, 0]
    known, target = (states != UNKNOWN).float(), (states == PRESENT).float()
    area = known.sum((1, 2))
    some = area > 0
    if not some.any():
        return logits.sum() * 0
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, weight=known, reduction="none")
    per_mask = bce.sum((1, 2)) / area.clamp(min=1)
    p = logits.sigmoid() * known
    overlap = (p * target).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (p.sum((1, 2)) + target.sum((1, 2)) + 1)
    there = target.sum((1, 2)) > 0
    return per_mask[some].mean() + (dice[there].sum() / there.sum().clamp(min=1))


def existence_loss(logits: Tensor, states: Tensor) -> Tensor:
    """Binary cross-entropy of existence logits (N,) against states (N,); a scalar, 0 where nothing is known."""
    known = states != UNKNOWN
    if not known.any():
        return logits.sum() * 0
    target = (states[known] != ABSENT).float()
    return torch.nn.functional.binary_cross_entropy_with_logits(logits[known].float(), target)
