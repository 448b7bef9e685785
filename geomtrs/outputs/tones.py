"""Dull pictures made legible: one rule for a whole scene, so that a closer look shows the same tones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A picture whose tones span more than this is shown as it is.
BRIGHT = 170
# Dark pictures are lifted until the middle of their tones is here, 0 to 1.
MIDDLE = 0.36
_LEVELS = np.arange(256.0)


@dataclass(frozen=True, slots=True)
class Tones:
    """How a date is brightened: (value - low) · gain band by band, then a gamma; None where it is shown as it is."""

    low: NDArray[np.float64] | None
    gain: NDArray[np.float64] | None
    gamma: float

    @classmethod
    def of(cls, picture: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Tones:
        """From the valid pixels (H, W) of a picture (H, W, 3).

        Band by band takes the haze off, which is blue. At most threefold, so that a dark lake does not turn into noise.
        """
        if not valid.any():
            return cls(None, None, 1)
        counts = [np.bincount(picture[..., band][valid], minlength=256) for band in range(3)]
        low, high = (np.array([_quantile(_LEVELS, count, share) for count in counts]) for share in (0.01, 0.99))
        if high.max() - low.min() > BRIGHT:
            return cls(None, None, 1)
        gain = np.clip(235 / np.maximum(high - low, 1), 1, 3)
        # A few bright roofs hold the gain down: the middle of the tones is lifted besides.
        spread = np.clip((_LEVELS[:, None] - low) * gain + 10, 0, 255).T.ravel()  # (3 · 256,)
        order = np.argsort(spread)
        middle = _quantile(spread[order], np.concatenate(counts)[order], 0.5) / 255
        gamma = float(np.clip(math.log(MIDDLE) / math.log(max(middle, 0.01)), 0.6, 1)) if middle < MIDDLE else 1.0
        return cls(low, gain, gamma)

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H, W, 3), or any part of it, in these tones."""
        if self.low is None or self.gain is None:
            return picture
        spread = np.clip((picture - self.low) * self.gain + 10, 0, 255)
        lifted: NDArray[np.uint8] = np.rint(255 * (spread / 255) ** self.gamma).astype(np.uint8)
        return lifted


def _quantile(values: NDArray[np.float64], counts: NDArray[np.int64], share: float) -> float:
    """Of ascending values, each there so many times: a million pixels have 256 tones, and need no sorting."""
    place = share * (int(counts.sum()) - 1)
    below, above = values[np.searchsorted(np.cumsum(counts), (math.floor(place), math.ceil(place)), side="right")]
    return float(below + (above - below) * (place % 1))
