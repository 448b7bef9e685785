"""Coarse pixels shown to a model larger than they are: it was trained on finer ones, and sees little in a few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def enlarged(tiles: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """(…, H, W) → (…, times x H, times x W), bilinear, half-pixel exact; `times` is a power of two."""
    while times > 1:
        for axis in (-2, -1):
            tiles = _doubled(tiles, axis)
        times //= 2
    return tiles


def reduced(probability: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """(…, times x H, times x W) → (…, H, W): the mean over what each pixel was shown as."""
    if times == 1:
        return probability
    *others, height, width = probability.shape
    blocks = probability.reshape(*others, height // times, times, width // times, times)
    return np.asarray(blocks.mean((-3, -1)))


def _doubled(pixels: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Twice as long along an axis: each new pixel is three quarters its own and one of the neighbour's."""
    lines = np.moveaxis(pixels, axis, 0).astype(np.uint16)
    before = np.concatenate([lines[:1], lines[:-1]])
    after = np.concatenate([lines[1:], lines[-1:]])
    both = np.stack([3 * lines + before, 3 * lines + after], 1)
    out: NDArray[np.uint8] = ((both + 2) // 4).astype(np.uint8).reshape(-1, *lines.shape[1:])
    return np.moveaxis(out, 0, axis)
