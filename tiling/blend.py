"""Cross-fade of neighbouring tiles in whole numbers, so that adding is exact and its order does not matter.

Across the band of 2 · feather_px pixels centred on a core's border one tile fades out in sixteenths while its neighbour
fades in; the two weights of an axis add up to 16 everywhere, so the products of both axes add up to 256. A probability
is stored as 0..250, and 250 · 256 = 64,000 fits uint16.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiling.plan import Plan, Tile

SCALE = 250  # a probability of 1, as it is stored
UNOBSERVED = 255  # stored where nothing was looked at
FULL_WEIGHT = 256  # weights of all tiles over one pixel

_AXIS_WEIGHT = 16
_TOLERANCE = 1e-3  # what rounding in a model may put outside of 0..1


def quantise(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The probabilities in steps of 1/250, halves to even: float32 in [0, 1] of any shape → uint8 0..250.

    Raises ValueError for NaN and for values outside of [0, 1]: such an answer is no probability.
    """
    if probability.size:
        low, high = float(probability.min()), float(probability.max())
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):  # written so that NaN fails
            raise ValueError(f"probabilities between {low} and {high}; wanted 0..1: check what the model returns")
    steps = probability * np.float32(SCALE)
    np.rint(steps, out=steps)
    np.clip(steps, 0, SCALE, out=steps)
    return steps.astype(np.uint8)


def tile_weights(plan: Plan, tile: Tile) -> NDArray[np.uint16]:
    """Weights 0..256 over the tile's answer window, (h, w) uint16, read-only; all tiles add up to 256 everywhere."""
    rows, cols = plan.tile_shape
    return _product(
        _Axis(tile.core.height, plan.feather_px, tile.row > 0, tile.row < rows - 1, tile.answer.height),
        _Axis(tile.core.width, plan.feather_px, tile.col > 0, tile.col < cols - 1, tile.answer.width),
    )


def settle(sums: NDArray[np.uint16], weights: NDArray[np.uint16] | None = None) -> NDArray[np.uint8]:
    """Weighted sums → stored probability 0..250, halves up, (h, w) uint8.

    weights  what the weights of the tiles that answered add up to, where that is not 256 everywhere: a tile that was
             skipped leaves its share to its neighbours. Pixels of weight 0 have no answer and become 255.
    """
    if weights is None:
        return ((sums + np.uint16(FULL_WEIGHT // 2)) >> 8).astype(np.uint8)  # 64,000 + 128 still fits
    divisor = np.maximum(weights, 1).astype(np.uint32)
    stored = ((2 * sums.astype(np.uint32) + divisor) // (2 * divisor)).astype(np.uint8)
    stored[weights == 0] = UNOBSERVED
    return stored


class _Axis(NamedTuple):
    """One axis of a tile: its core, the bands it shares, and how many pixels of its answer lie on the grid."""

    core_px: int
    feather_px: int
    fades_in: bool  # has a neighbour before it
    fades_out: bool  # has a neighbour after it
    answer_px: int


def _axis_weights(axis: _Axis) -> NDArray[np.uint16]:
    band = 2 * axis.feather_px
    place = 2 * np.arange(band) + 1
    rising = (16 * place + band) // (2 * band) if band else place  # halves up; at least 8 inside the own core
    before = axis.feather_px if axis.fades_in else 0
    weights = np.full(before + axis.core_px + axis.feather_px, _AXIS_WEIGHT, np.uint16)
    if axis.fades_in:
        weights[:band] = rising[: len(weights)]
    if axis.fades_out:
        weights[len(weights) - band :] = _AXIS_WEIGHT - rising
    return weights[: axis.answer_px]


@lru_cache(maxsize=64)  # a plan has at most nine kinds of tiles, and a few more where the grid ends
def _product(rows: _Axis, cols: _Axis) -> NDArray[np.uint16]:
    weights = _axis_weights(rows)[:, None] * _axis_weights(cols)[None, :]
    weights.flags.writeable = False
    return weights
