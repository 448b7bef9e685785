"""Eight bits for display and models: one stretch per date, of the whole scene, never of a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOW_PERCENT, HIGH_PERCENT = 2, 98


@dataclass(frozen=True, slots=True)
class Stretch:
    """A linear map per band: ``low`` becomes 0, ``high`` 255, beyond is clipped."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse a stretch that turns nothing into something."""
        if len(self.low) != len(self.high) or any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"stretch low {self.low} is not below high {self.high} in every band")

    @property
    def is_identity(self) -> bool:
        """Whether eight-bit pixels stay as they are."""
        return set(self.low) == {0.0} and set(self.high) == {255.0}

    def apply(self, pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Pixels (C, h, w) of any real type as uint8, rounded to nearest."""
        if self.is_identity:
            if pixels.dtype == np.uint8:
                return np.asarray(pixels, np.uint8)
            return np.asarray(np.clip(np.rint(pixels.astype(np.float32)), 0, 255), np.uint8)
        work = np.result_type(pixels.dtype, np.float32)  # float64 only for types that float32 cannot hold
        result = np.empty(pixels.shape, np.uint8)
        for band, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            with np.errstate(over="ignore"):  # infinity is clipped, too
                scaled = (pixels[band].astype(work) - work.type(low)) * work.type(255 / (high - low))
            result[band] = np.clip(np.rint(scaled), 0, 255)
        return result


IDENTITY = Stretch((0.0,) * 3, (255.0,) * 3)


def scene_stretch(sample: Sequence[NDArray[np.float64]], dtype: str) -> Stretch:
    """The stretch of a date from observed pixels of each band: 2nd to 98th percentile, identity for uint8.

    A band whose percentiles meet is stretched over its extremes, a constant one becomes middle grey; without observed
    pixels 0..255 is kept.
    """
    if dtype == "uint8":
        return IDENTITY
    ranges = [_range(band) for band in sample]
    return Stretch(tuple(low for low, _ in ranges), tuple(high for _, high in ranges))


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 255.0
    low, high = (float(one) for one in np.percentile(values, [LOW_PERCENT, HIGH_PERCENT]))
    if low >= high:
        low, high = float(values.min()), float(values.max())
    if low >= high:
        half = max(abs(low) * 1e-6, 0.5)
        return low - half, high + half
    return low, high
