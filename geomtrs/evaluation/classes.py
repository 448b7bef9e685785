"""How well each class of each set is found: every tile asked the same plain sentence, whatever is on it.

The cases of `evaluate` are drawn; here nothing is. "The buildings that appeared" is asked of every pair whose labels
tell it, tiles without any included, so that F1 over pixels can stand beside what is published of binary change
detection. Of nano alone, presence at one date is asked too: of the maps inside it, on pictures of one date.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geomtrs.data.expressions import TRUE_NAMES
from geomtrs.data.labels import PRESENT, THINGS, UNKNOWN, rule_of
from geomtrs.data.pairs import Pack, Sample
from geomtrs.data.patches import States, arrivals
from geomtrs.data.val_cases import read_labels
from geomtrs.evaluation.measures import FEW_PLACES
from geomtrs.evaluation.metrics import Sample as Counted
from geomtrs.evaluation.metrics import compare, ratio_interval
from geomtrs.evaluation.report import Table
from geomtrs.evaluation.runner import Progress
from geomtrs.models.base import ChangeModel, PairAnswers
from geomtrs.models.enlarging import enlarged, reduced
from geomtrs.models.nano import Nano
from geomtrs.query import Query

THRESHOLD = 0.5
# Halves of one set: its published figures are of both, so they have a row together besides.
LEVIR, TOGETHER = "levir_cd and levir_cd_more", ("levir_cd", "levir_cd_more")


@dataclass(frozen=True, slots=True)
class Row:
    """One class of one set, over pixels of all its tiles; low and high are of F1 over places, None with too few.

    asked  appeared, disappeared, or present: at one date
    """

    set: str
    thing: str
    asked: str
    tiles: int
    with_target: int
    places: int
    iou: float
    f1: float
    precision: float | None
    recall: float | None
    low: float | None
    high: float | None


Found = dict[tuple[str, str, str], list[tuple[str, Counted]]]  # by set, thing and what is asked: place and pixels


def class_rows(
    model: ChangeModel, pack: Pack, *, split: str = "val", sets: Collection[str] | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> list[Row]:  # fmt: skip
    """A row for every set, thing and direction that the labels of a split tell, if some tile has any of it.

    seed  draws the places of the intervals
    """
    found: Found = defaultdict(list)
    chosen = [one for one in pack.samples if one.split == split and (sets is None or one.set in sets)]
    for done, sample in enumerate(chosen):
        if not sample.alone:
            for thing, direction, counted in _changes(model, pack, sample):
                found[sample.set, thing, direction].append((sample.scene, counted))
        elif isinstance(model, Nano):
            for thing, counted in _presences(model, pack, sample):
                found[sample.set, thing, "present"].append((sample.scene, counted))
        if progress is not None:
            progress(sum(len(tiles) for tiles in found.values()), done + 1)
    both = {name for name, _, _ in found} >= {*TOGETHER}
    for (name, thing, asked), tiles in list(found.items()):
        if both and name in TOGETHER:
            found[LEVIR, thing, asked] += tiles
    return [_row(key, tiles, seed) for key, tiles in sorted(found.items()) if any(one.target for _, one in tiles)]


def class_tables(rows: list[Row]) -> tuple[Table, ...]:
    """A line a row, change and presence apart, and of presence the mean over rows."""
    tables = []
    for title, present in (("Change by set and class", False), ("Presence at one date by set and class", True)):
        some = [row for row in rows if (row.asked == "present") == present]
        if some:
            each = [row.iou for row in some if row.set != LEVIR]
            mean = float(np.mean(each))
            note = (
                "Every tile asked the same sentence; per cent, over pixels whose labels are known. Interval of F1 over "
                f"places. Mean IoU over the {len(each)} rows of one set: {mean * 100:.1f}."
            )
            tables.append(Table(title, note, _HEAD, tuple(_cells(row) for row in some)))
    return tuple(tables)


_HEAD = ("set", "class", "asked", "F1", "95 %", "IoU", "precision", "recall", "tiles", "with target", "places")


def _cells(row: Row) -> tuple[str, ...]:
    def percent(value: float | None) -> str:
        return "–" if value is None else f"{value * 100:.1f}"

    between = "too few" if row.low is None or row.high is None else f"{row.low * 100:.1f} to {row.high * 100:.1f}"
    shares = (percent(value) for value in (row.iou, row.precision, row.recall))
    counts = (str(count) for count in (row.tiles, row.with_target, row.places))
    return row.set, row.thing, row.asked, percent(row.f1), between, *shares, *counts


def _changes(model: ChangeModel, pack: Pack, sample: Sample) -> Iterator[tuple[str, str, Counted]]:
    """What came and what went of each thing that the labels tell of."""
    labelled, before, after = read_labels(pack, sample), pack.plane(sample, "A"), pack.plane(sample, "B")
    if labelled is None or before is None or after is None:
        return
    states: dict[str, States] = {
        "appeared": arrivals(labelled.after, labelled.before, labelled.still, labelled.about),
        "disappeared": arrivals(labelled.before, labelled.after, labelled.still, labelled.about),
    }
    asked = [(thing, way) for way, told in states.items() for thing in range(len(THINGS)) if _told(told[thing])]
    if not asked:
        return
    queries = [Query(f"the {_name(THINGS[thing])} that {way}") for thing, way in asked]
    answers = PairAnswers(model, model.prepare(queries), ((0, 1),), model.tile_spec.times(sample.gsd_m))
    probability, _ = answers(np.stack([before, after]).transpose(0, 3, 1, 2)[None])
    said = probability[0] >= THRESHOLD
    for (thing, way), mask in zip(asked, said, strict=True):
        yield THINGS[thing], way, _counted(mask, states[way][thing])


def _presences(model: Nano, pack: Pack, sample: Sample) -> Iterator[tuple[str, Counted]]:
    """Each thing that the label of a single date tells of."""
    rule, image, raw = rule_of(sample.set, sample.name), pack.plane(sample, "A"), pack.plane(sample, "labelA")
    if rule is None or image is None or raw is None:
        return
    states = rule.tables()[:, raw]
    asked = [thing for thing in range(len(THINGS)) if _told(states[thing])]
    if not asked:
        return
    times = model.tile_spec.times(sample.gsd_m)
    features = model.features(enlarged(np.stack([image, image]).transpose(0, 3, 1, 2)[None], times))
    prepared = model.prepare([Query(f"the {_name(THINGS[thing])} that appeared") for thing in asked])
    there = reduced(model.presence(features, prepared)[0, 0].astype(np.float32), times) >= 0.5
    for thing, mask in zip(asked, there, strict=True):
        yield THINGS[thing], _counted(mask, states[thing])


def _name(thing: str) -> str:
    return TRUE_NAMES[thing][0].lstrip("~")


def _told(state: NDArray[np.uint8]) -> bool:
    return bool((state != UNKNOWN).any())


def _counted(mask: NDArray[np.bool_], state: NDArray[np.uint8]) -> Counted:
    known = state != UNKNOWN
    return compare(mask[known], state[known] == PRESENT)


def _row(key: tuple[str, str, str], tiles: list[tuple[str, Counted]], seed: int) -> Row:
    places = [place for place, _ in tiles]
    hits, marked, true = (
        np.array([getattr(one, of) for _, one in tiles], np.float64) for of in ("intersection", "predicted", "target")
    )
    low = high = None
    if len(set(places)) >= FEW_PLACES:
        low, high = ratio_interval(2 * hits, marked + true, places, seed=seed)
    both = float(marked.sum() + true.sum())
    return Row(
        *key, tiles=len(tiles), with_target=int((true > 0).sum()), places=len(set(places)),
        iou=float(hits.sum() / (both - hits.sum())), f1=float(2 * hits.sum() / both),
        precision=float(hits.sum() / marked.sum()) if marked.any() else None, recall=float(hits.sum() / true.sum()),
        low=low, high=high,
    )  # fmt: skip
