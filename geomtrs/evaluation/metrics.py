"""Scores of binary masks by the published protocol (mtrefseg-r1 §7), and how far they would vary over other places.

One sample is one sentence about one pair. What is counted twice in the published runs is counted twice here only if it
is handed in twice.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PRECISION_AT = (0.5, 0.6, 0.7, 0.8, 0.9)
EPSILON = 1e-6  # added to every union, so a small mask scores a little below its ratio
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Sample:
    """How one prediction meets its target, in pixels."""

    intersection: int
    union: int
    predicted: int
    target: int

    @property
    def iou(self) -> np.float32:
        """Intersection over union; 1 where both are empty, 0 where one of them is."""
        if not self.union:
            return np.float32(1)
        return np.float32(self.intersection) / (np.float32(self.union) + np.float32(EPSILON))


@dataclass(frozen=True, slots=True)
class Score:
    """Shares, 0 to 1, of some samples, and what was empty among them."""

    samples: int
    miou: float  # mean of the samples' own IoU
    oiou: float  # of all pixels together: large masks weigh more
    precision: tuple[float, ...]  # share of samples with an IoU of at least each of PRECISION_AT
    miou_of_nonempty: float  # as miou, without the samples whose target is empty; nan where that is all of them
    empty_targets: int
    empty_predictions: int
    empty_both: int

    @property
    def false_alarms(self) -> int:
        """Samples with an empty target and a prediction that is not."""
        return self.empty_targets - self.empty_both

    @property
    def misses(self) -> int:
        """Samples with a target and an empty prediction."""
        return self.empty_predictions - self.empty_both


def compare(predicted: ArrayLike, target: ArrayLike) -> Sample:
    """The sample of two masks (H, W) of one shape, where all but 0 counts as in; raises ValueError for two shapes."""
    found, wanted = np.asarray(predicted) != 0, np.asarray(target) != 0
    if found.shape != wanted.shape:
        raise ValueError(f"a prediction of {found.shape} cannot be compared with a target of {wanted.shape}")
    return Sample(*(int(np.count_nonzero(m)) for m in (found & wanted, found | wanted, found, wanted)))


def score(samples: Sequence[Sample]) -> Score:
    """The published figures of these samples; raises ValueError where there are none."""
    if not samples:
        raise ValueError("a score needs at least one sample")
    iou = np.array([s.iou for s in samples], np.float32)
    predicted, target = (np.array([getattr(s, area) for s in samples]) > 0 for area in ("predicted", "target"))
    intersection, union = sum(s.intersection for s in samples), sum(s.union for s in samples)
    return Score(
        samples=len(samples),
        miou=float(iou.mean(dtype=np.float64)),
        oiou=intersection / (union + EPSILON) if union else 1.0,
        # compared as float32: 72 of 80 is at least 0.9 there, and 8 of 10 with the epsilon is not 0.8
        precision=tuple(float((iou >= np.float32(least)).mean()) for least in PRECISION_AT),
        miou_of_nonempty=float(iou[target].mean(dtype=np.float64)) if target.any() else float("nan"),
        empty_targets=int((~target).sum()),
        empty_predictions=int((~predicted).sum()),
        empty_both=int((~target & ~predicted).sum()),
    )


def bootstrap_interval(
    values: ArrayLike, places: Sequence[Hashable], *, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Low and high end of the mean over other places like these: percentiles of 10 000 resamples of the places.

    values  (N,) of the samples: their IoU, or whether each was a hit
    places  the place of each sample. Tiles of one place resemble each other, so places are drawn, not samples:
            drawing samples would give an interval that is too narrow.

    (nan, nan) where all samples are of one place, which tells nothing of others. Raises ValueError where there is no
    sample, or another number of places than of values.
    """
    return ratio_interval(values, np.ones(len(places)), places, seed=seed, level=level)


def ratio_interval(
    parts: ArrayLike, wholes: ArrayLike, places: Sequence[Hashable], *, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """As `bootstrap_interval`, of sum(parts) / sum(wholes), both (N,): of a share of pixels, or of an area to another.

    Draws whose wholes are nothing are left out.
    """
    above, below = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    if not above.shape == below.shape == (len(places),) or not above.size:
        raise ValueError(f"found values of shape {above.shape} and {len(places)} places; wanted one place for each")
    numbers: dict[Hashable, int] = {}
    place = np.array([numbers.setdefault(p, len(numbers)) for p in places])
    if len(numbers) == 1:
        return float("nan"), float("nan")
    sums, counts = (np.bincount(place, x, len(numbers)).astype(np.float64) for x in (above, below))
    means = _resampled_means(sums, counts, np.random.default_rng(seed))
    low, high = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Means of all samples of as many places as there are, each place drawn anew; nan where nothing is counted."""
    means = np.full(RESAMPLES, np.nan)
    for i in range(RESAMPLES):
        drawn = generator.integers(len(sums), size=len(sums))
        if whole := counts[drawn].sum():
            means[i] = sums[drawn].sum() / whole
    return means
