"""The published losses of MTRefSeg-R1: masks matched and compared at random points, and the answer's words (§5).

Points as in Cheng et al. 2022, Mask2Former: most of them where a mask is least sure, the rest anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

POINTS = 12544  # a mask is compared at; 112 squared
CANDIDATES = 3  # points looked at for each that is used
UNSURE = 0.75  # share of the points that lies where the logits are nearest to 0
BCE_WEIGHT = DICE_WEIGHT = 5.0
IGNORED = -100  # label of a token that is not asked for

Draw = Callable[[tuple[int, ...]], Tensor]  # a shape → numbers uniform in [0, 1)


class SetLoss(NamedTuple):
    """What the masks of every prediction head cost; heads in their order, the answer's last."""

    total: Tensor  # scalar: 5 bce + 5 dice, summed over the heads
    bce: Tensor  # (heads,)
    dice: Tensor  # (heads,)
    matched: Tensor  # (heads, B, M) int64: the query that each target was given to


def set_loss(heads: Sequence[Tensor], targets: Tensor, *, draw: Draw = torch.rand, points: int = POINTS) -> SetLoss:
    """Each target pays for one query of each head, the one it costs least with; other queries pay nothing.

    heads    logits (B, Q, h, w) of every prediction head, the answer's last
    targets  (B, M, H, W) of 0 and 1, an empty one like any other; published M is 1. No more than Q.
    draw     asked in the published order: the last head before the first; of each, (1, points, 2) for every image,
             then (B M, 3 points, 2), then (B M, points - 0.75 points, 2)

    All heads weigh alike. Raises ValueError where there are fewer queries than targets or a logit is not a number.
    """
    if heads[-1].shape[1] < targets.shape[1]:
        raise ValueError(f"{targets.shape[1]} targets cannot be given to {heads[-1].shape[1]} queries")
    targets = targets.float()
    last, *others = (_head_loss(logits.float(), targets, draw, points) for logits in (heads[-1], *heads[:-1]))
    bce, dice, matched = (torch.stack(values) for values in zip(*others, last, strict=True))
    return SetLoss((BCE_WEIGHT * bce + DICE_WEIGHT * dice).sum(), bce, dice, matched)


def language_loss(hidden: Tensor, lm_head_weight: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each labelled token given what stands before it, the mean over them all; a scalar (§2.5, §5).

    hidden          (B, L, D) states after the last norm
    lm_head_weight  (V, D); scores are computed where a token is labelled, nowhere else
    labels          (B, L) int64, -100 where nothing is asked; the first position is never asked for

    0 where nothing is labelled.
    """
    following = labels[:, 1:]
    asked = following != IGNORED
    if not asked.any():
        return hidden.sum() * 0
    return functional.cross_entropy(hidden[:, :-1][asked] @ lm_head_weight.T, following[asked])


def match(logits: Tensor, targets: Tensor, places: Tensor) -> Tensor:
    """The query given to each target of one image, (M,) int64, so that all together cost least (Hungarian).

    logits (Q, h, w), targets (M, H, W), places (1, points, 2) shared by all of them; Q is not less than M.
    """
    with torch.no_grad():
        found, wanted = sampled(logits[None], places)[0], sampled(targets[None], places)[0]  # (Q | M, points)
        yes, no = functional.softplus(-found), functional.softplus(found)  # the cost of a point that is 1, that is 0
        bce = (yes @ wanted.T + no @ (1 - wanted).T) / found.shape[1]
        p = found.sigmoid()
        dice = 1 - (2 * p @ wanted.T + 1) / (p.sum(1)[:, None] + wanted.sum(1) + 1)
        cost = BCE_WEIGHT * bce + DICE_WEIGHT * dice  # (Q, M)
    _, queries = linear_sum_assignment(cost.T.cpu().numpy())
    return torch.as_tensor(queries, device=logits.device)


def chosen_points(logits: Tensor, draw: Draw, points: int = POINTS) -> Tensor:
    """Places (N, points, 2) to compare N masks (N, h, w) at: first the least sure of three times as many, then any."""
    unsure = int(UNSURE * points)
    candidates = draw((len(logits), CANDIDATES * points, 2)).to(logits)
    with torch.no_grad():
        nearest = sampled(logits[:, None], candidates)[:, 0].abs().topk(unsure, dim=1, largest=False).indices
    kept = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
    return torch.cat([kept, draw((len(logits), points - unsure, 2)).to(logits)], 1)


def sampled(masks: Tensor, places: Tensor) -> Tensor:
    """Bilinear values (N, C, points) of masks (N, C, h, w) at places (N, points, 2): x then y, 0 to 1 edge to edge.

    Beyond the centres of the outermost pixels they fall towards 0.
    """
    values = functional.grid_sample(masks, 2 * places[:, :, None] - 1, padding_mode="zeros", align_corners=False)
    return values[..., 0]


def bce_loss(logits: Tensor, wanted: Tensor, masks: float) -> Tensor:
    """Binary cross-entropy at points: logits and wanted (N, points) → the sum of the masks' means over `masks`."""
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1).sum() / masks


def dice_loss(logits: Tensor, wanted: Tensor, masks: float) -> Tensor:
    """One minus dice at points, smoothed by 1: logits and wanted (N, points) → the sum over masks by `masks`."""
    p = logits.sigmoid()
    overlap = (2 * (p * wanted).sum(1) + 1) / (p.sum(1) + wanted.sum(1) + 1)
    return (1 - overlap).sum() / masks


def _head_loss(logits: Tensor, targets: Tensor, draw: Draw, points: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bce, dice and the matched queries (B, M) of one head; asks for its random numbers in the published order."""
    matched = torch.stack(
        [match(of, to, draw((1, points, 2)).to(logits)) for of, to in zip(logits.detach(), targets, strict=True)]
    )
    images = torch.arange(len(logits), device=logits.device)[:, None]
    given, wanted = logits[images, matched].flatten(0, 1), targets.flatten(0, 1)  # (B M, h, w), (B M, H, W)
    places = chosen_points(given.detach(), draw, points)
    found, asked = sampled(given[:, None], places)[:, 0], sampled(wanted[:, None], places)[:, 0]
    return bce_loss(found, asked, len(given)), dice_loss(found, asked, len(given)), matched
