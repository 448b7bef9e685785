"""Accuracy and area of a map from a sample of it that was judged, with the intervals that a report needs.

The stratified estimators of Olofsson et al. 2014 (Good practices for estimating area and assessing accuracy of land
change, Remote Sensing of Environment 148, equations 1 to 11). The strata are the classes of the map; the unit is the
pixel: polygons differ in size, so a count of right polygons says nothing of area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.96  # as the paper rounds it


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with half the width of its 95 % interval; None where the sample cannot tell."""

    value: float | None
    half_width: float | None

    def __str__(self) -> str:
        """`0.88 ± 0.07`."""
        told = ["not known" if one is None else f"{one:.2f}" for one in (self.value, self.half_width)]
        return told[0] if self.value is None else " ± ".join(told)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a judged sample says of a map; one entry a class, shares of the whole area."""

    overall: Estimate
    users: tuple[Estimate, ...]  # of what the map calls so, the share that is so
    producers: tuple[Estimate, ...]  # of what is so, the share that the map calls so
    shares: tuple[Estimate, ...]  # of the area that is so

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def stratified_accuracy(counts: NDArray[np.int64], weights: Sequence[float]) -> Accuracy:
    """Accuracy and area shares with 95 % intervals from a stratified random sample of pixels.

    counts   (classes, classes): pixels of the sample by class of the map (rows) and class found by a person (columns)
    weights  share of the whole area of each class of the map

    A class of the map with no pixel in the sample leaves all but the others' user's accuracies unknown, unless its
    weight is 0; one with a single pixel leaves the intervals unknown. Raises ValueError where shapes do not fit.
    """
    n = np.asarray(counts, np.float64)
    w = np.asarray(weights, np.float64)
    if n.shape != (len(w), len(w)) or not np.isclose(w.sum(), 1):
        raise ValueError(f"counts {n.shape}, weights {weights}: wanted a square of their number, weights that sum to 1")
    rows = n.sum(1)
    used = w > 0
    within = np.divide(n, rows[:, None], out=np.full_like(n, np.nan), where=rows[:, None] > 0)  # n_ij / n_i.
    within[~used & (rows == 0)] = 0
    spare = np.where(rows > 1, rows - 1, np.nan)
    spare[~used] = 1
    cells = w[:, None] * within  # p_ij, equation 4
    user = np.diag(within)
    shares = cells.sum(0)  # equation 9
    spread = np.sqrt((w[:, None] ** 2 * within * (1 - within) / spare[:, None]).sum(0))  # equation 10
    overall = np.diag(cells).sum()
    overall_spread = np.sqrt((w**2 * user * (1 - user) / spare).sum())  # equation 5
    producer = np.divide(np.diag(cells), shares, out=np.full_like(w, np.nan), where=shares > 0)
    return Accuracy(
        overall=_estimate(overall, overall_spread),
        users=tuple(map(_estimate, user, np.sqrt(user * (1 - user) / spare))),  # equation 6
        producers=tuple(map(_estimate, producer, _producer_spread(w, within, spare, producer, shares))),
        shares=tuple(map(_estimate, shares, spread)),
    )


def _producer_spread(
    w: NDArray[np.float64],
    within: NDArray[np.float64],
    spare: NDArray[np.float64],
    producer: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Standard errors of the producer's accuracies, equation 7 with areas as shares of the whole."""
    user = np.diag(within)
    own = w**2 * (1 - producer) ** 2 * user * (1 - user) / spare
    missed = w[:, None] ** 2 * within * (1 - within) / spare[:, None]
    np.fill_diagonal(missed, 0)
    spread = np.sqrt(own + producer**2 * missed.sum(0))
    return np.asarray(np.divide(spread, shares, out=np.full_like(w, np.nan), where=shares > 0))


def _estimate(value: float, spread: float) -> Estimate:
    half = Z_95 * float(spread)
    return Estimate(float(value) if np.isfinite(value) else None, half if np.isfinite(half) else None)
