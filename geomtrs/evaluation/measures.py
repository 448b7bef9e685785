"""What a model is worth to an analyst: the published figures, and whether it reads the sentence, the order and absence.

Only pixels whose labels are known count, in every figure. Intervals are of 95 %, over other places like these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from geomtrs.evaluation.metrics import PRECISION_AT, Sample, Score, bootstrap_interval, compare, ratio_interval, score
from geomtrs.evaluation.runner import Answered
from geomtrs.query import Query

FEW_PLACES = 5  # with fewer, an interval would pretend to know other places
BINS = 15
TILE_PX = 512**2  # false polygons are counted over as many pixels


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answered case in numbers: small, so that all of an evaluation stay in memory.

    false_polygons  4-connected parts of the answer where nothing was to be found, else 0
    swapped_px      known pixels that the swapped order was answered with; None where it was not asked
    other_iou       IoU of the answer to another true sentence of the pair with this one's truth; None without such
    other_truth     IoU of that sentence's truth with this one's: what other_iou would be of a perfect model
    twin_iou        IoU of the answer to the same meaning in the other kind of words; None where the case has no twin
    tiled_iou       IoU of the answer of the picture in tiles; None where it was not cut
    bins            (3, BINS) of the pixels' probability: how many, sum of probability, how many hold; None where
                    words about the scene were applied after the model
    """

    sentence: str
    set: str
    place: str
    kind: str
    thing: str | None
    held_out: bool
    gsd_m: float | None
    pair: int
    known_px: int
    sample: Sample
    existence: float
    seconds: float
    false_polygons: int
    swapped_px: int | None
    other_iou: float | None
    other_truth: float | None
    twin_iou: float | None
    tiled_iou: float | None
    bins: NDArray[np.float64] | None

    @property
    def absent(self) -> bool:
        """Nothing was to be found."""
        return self.sample.target == 0

    @property
    def iou(self) -> float:
        """By the published rule."""
        return float(self.sample.iou)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over cases and its interval; low and high are None where there are too few places for one."""

    value: float | None
    cases: int
    places: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The published figures of some cases, with the interval of their mIoU."""

    name: str
    score: Score
    miou: Mean


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be taken at their word.

    ece    expected calibration error: mean distance of what was said from what held
    said   mean probability in each bin, None where nothing lies in it
    held   share that held in each bin
    count  how many lie in each bin
    """

    ece: float | None
    said: tuple[float | None, ...]
    held: tuple[float | None, ...]
    count: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """Events over an exposure, with its exact Poisson interval."""

    events: int
    exposure: float
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Area:
    """Predicted over true area of a thing; None where there is none in truth. Low and high are over places."""

    thing: str
    cases: int
    ratio: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Measures:
    """Everything that is told of a model on some cases; a measure that no case asks for has no value.

    held_out, seen  of cases that have a twin: mIoU of the form that training has not seen, and of the other
    whole, tiled    of pictures that were cut into tiles: mIoU of them whole, and in tiles
    """

    pairs: int
    unlabelled: int  # cases without a known pixel; they count nowhere
    seconds_per_pair: float
    all: Group
    with_target: Group | None
    kinds: tuple[Group, ...]
    sets: tuple[Group, ...]
    swap: Mean
    swapped_empty: Mean
    sentence: Mean
    sentence_of_perfect: float | None
    absence: Mean
    false_m2_per_km2: float | None
    false_polygons: Rate
    held_out: Mean
    seen: Mean
    paraphrase_gap: Mean
    whole: Mean
    tiled: Mean
    tiling_gap: Mean
    pixels: Calibration
    existence: Calibration
    areas: tuple[Area, ...]

    def to_dict(self) -> dict[str, object]:
        """As JSON takes it; what is not a number is null."""
        return {key: finite(value) for key, value in (asdict(self) | {"precision_at": list(PRECISION_AT)}).items()}


def outcome(of_pair: Sequence[Answered], place: int) -> Outcome:
    """One of the answers about a pair in numbers."""
    one = of_pair[place]
    case, known = one.case, one.case.known
    truth = case.mask[known]
    found = compare(one.mask[known], truth)
    other = _another(of_pair, place)

    def iou_of(mask: NDArray[np.bool_] | None) -> float | None:
        return None if mask is None else float(compare(mask[known], truth).iou)

    return Outcome(
        sentence=case.sentence,
        set=case.set,
        place=case.place,
        kind=case.kind,
        thing=case.thing,
        held_out=case.held_out,
        gsd_m=case.gsd_m,
        pair=one.pair,
        known_px=int(np.count_nonzero(known)),
        sample=found,
        existence=one.existence,
        seconds=one.seconds,
        false_polygons=0 if found.target else int(ndimage.label(one.mask & known)[1]),
        swapped_px=None if one.swapped is None else int(np.count_nonzero(one.swapped & known)),
        other_iou=iou_of(None if other is None else other.mask),
        other_truth=iou_of(None if other is None else other.case.mask),
        twin_iou=iou_of(one.twin),
        tiled_iou=iou_of(one.tiled),
        bins=None if Query(case.sentence).scene_part else reliability(one.probability[known], truth),
    )


def measure(found: Iterable[Outcome], *, seed: int = 0) -> Measures | None:
    """All measures of some outcomes; None where no case has a known pixel. `seed` draws the places of the intervals."""
    everything = list(found)
    rows = [row for row in everything if row.known_px]
    if not rows:
        return None

    def mean(some: Sequence[Outcome], value: Callable[[Outcome], float]) -> Mean:
        return _mean([value(row) for row in some], [row.place for row in some], seed)

    def group(name: str, some: Sequence[Outcome]) -> Group:
        return Group(name, score([row.sample for row in some]), mean(some, lambda row: row.iou))

    present = [row for row in rows if not row.absent]
    absent = [row for row in rows if row.absent]
    swapped = [row for row in rows if row.swapped_px is not None]
    told_apart = [row for row in present if row.other_iou is not None]
    twins = [row for row in rows if row.twin_iou is not None]
    cut = [row for row in rows if row.tiled_iou is not None]

    def forms(row: Outcome) -> tuple[float, float]:
        """Held out, seen."""
        both = row.iou, row.twin_iou or 0.0
        return both if row.held_out else both[::-1]

    asked = [row for row in rows if row.bins is not None]
    return Measures(
        pairs=len({row.pair for row in rows}),
        unlabelled=len(everything) - len(rows),
        seconds_per_pair=sum(row.seconds for row in everything) / len({row.pair for row in everything}),
        all=group("all", rows),
        with_target=group("with a target", present) if present else None,
        kinds=tuple(group(name, some) for name, some in _by(rows, lambda row: row.kind)),
        sets=tuple(group(name, some) for name, some in _by(rows, lambda row: row.set)),
        swap=mean([row for row in swapped if not row.absent], lambda row: row.iou * (row.swapped_px == 0)),
        swapped_empty=mean(swapped, lambda row: float(row.swapped_px == 0)),
        sentence=mean(told_apart, lambda row: row.iou - (row.other_iou or 0.0)),
        sentence_of_perfect=float(np.mean([1 - (row.other_truth or 0.0) for row in told_apart]))
        if told_apart
        else None,
        absence=mean(absent, lambda row: float(row.sample.predicted == 0)),
        false_m2_per_km2=_false_area(absent),
        false_polygons=poisson_rate(
            sum(row.false_polygons for row in absent), sum(row.known_px for row in absent) / TILE_PX
        ),
        held_out=mean(twins, lambda row: forms(row)[0]),
        seen=mean(twins, lambda row: forms(row)[1]),
        paraphrase_gap=mean(twins, lambda row: forms(row)[0] - forms(row)[1]),
        whole=mean(cut, lambda row: row.iou),
        tiled=mean(cut, lambda row: row.tiled_iou or 0.0),
        tiling_gap=mean(cut, lambda row: (row.tiled_iou or 0.0) - row.iou),
        pixels=calibration(np.sum([row.bins for row in asked if row.bins is not None], axis=0) if asked else None),
        existence=calibration(
            reliability(np.array([row.existence for row in asked]), np.array([not row.absent for row in asked]))
            if asked
            else None
        ),
        areas=tuple(_area(name, some, seed) for name, some in _by(rows, lambda row: row.thing or "") if name),
    )


def reliability(probability: NDArray[np.floating], holds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(3, BINS) of probabilities (N,) and whether they held: how many, their sum, how many held."""
    place = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    return np.stack(
        [
            np.bincount(place, weights, BINS).astype(np.float64)
            for weights in (None, np.asarray(probability, np.float64), holds.astype(np.float64))
        ]
    )


def calibration(bins: NDArray[np.float64] | None) -> Calibration:
    """What `reliability` gathered, as shares; empty where there is nothing."""
    count, total, held = np.zeros((3, BINS)) if bins is None else bins
    there = count > 0
    safe = np.where(there, count, 1)
    said, hits = total / safe, held / safe
    error = float((np.abs(said - hits) * count).sum() / count.sum()) if there.any() else None

    def shown(values: NDArray[np.float64]) -> tuple[float | None, ...]:
        return tuple(float(value) if known else None for value, known in zip(values, there, strict=True))

    return Calibration(error, shown(said), shown(hits), tuple(int(n) for n in count))


def poisson_rate(events: int, exposure: float) -> Rate:
    """Events per unit with the exact interval of Garwood (1936); without exposure there is no rate."""
    if not exposure:
        return Rate(events, 0.0, None, None, None)
    low = float(stats.chi2.ppf(0.025, 2 * events)) / 2 if events else 0.0
    high = float(stats.chi2.ppf(0.975, 2 * events + 2)) / 2
    return Rate(events, exposure, events / exposure, low / exposure, high / exposure)


def finite(value: Any) -> Any:  # noqa: ANN401 - JSON values, and values of this package that become such
    """As JSON takes it: values as objects, what is not a number as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return finite(asdict(value))
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _another(of_pair: Sequence[Answered], place: int) -> Answered | None:
    """The next true sentence of the pair, in a circle, that means something else; None where there is none."""
    case = of_pair[place].case
    if not case.mask[case.known].any():
        return None
    for other in (*of_pair[place + 1 :], *of_pair[:place]):
        mask = other.case.mask
        # A paraphrase has the same truth and would only be the same question again.
        if mask.any() and not np.array_equal(mask[case.known], case.mask[case.known]):
            return other
    return None


def _mean(values: Sequence[float], places: Sequence[str], seed: int) -> Mean:
    count = len(set(places))
    if not values:
        return Mean(None, 0, 0)
    mean = float(np.mean(values))
    if count < FEW_PLACES:
        return Mean(mean, len(values), count)
    return Mean(mean, len(values), count, *bootstrap_interval(values, places, seed=seed))


def _by(rows: Sequence[Outcome], key: Callable[[Outcome], str]) -> Iterator[tuple[str, list[Outcome]]]:
    named: dict[str, list[Outcome]] = {}
    for row in rows:
        named.setdefault(key(row), []).append(row)
    yield from sorted(named.items())


def _false_area(absent: Sequence[Outcome]) -> float | None:
    """Square metres that were marked on a square kilometre where nothing was to be found."""
    placed = [(row.sample.predicted, row.known_px, row.gsd_m**2) for row in absent if row.gsd_m]
    ground = sum(known * pixel for _, known, pixel in placed)
    return sum(marked * pixel for marked, _, pixel in placed) / (ground / 1e6) if ground else None


def _area(name: str, rows: Sequence[Outcome], seed: int) -> Area:
    # Pixels of different size do not add up: in m² where all are known, else in pixels.
    metres = all(row.gsd_m for row in rows)
    true, said = (
        [getattr(row.sample, which) * ((row.gsd_m or 1.0) ** 2 if metres else 1.0) for row in rows]
        for which in ("target", "predicted")
    )
    if not any(true):
        return Area(name, len(rows), None)
    places = [row.place for row in rows]
    between = ratio_interval(said, true, places, seed=seed) if len(set(places)) >= FEW_PLACES else (None, None)
    return Area(name, len(rows), math.fsum(said) / math.fsum(true), *between)
