"""Scores against those of the published evaluation on sixteen masks, and what their intervals mean."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from geomtrs.evaluation.metrics import PRECISION_AT, Sample, Score, bootstrap_interval, compare, score

PARITY = Path(__file__).parents[1] / "data" / "parity"
STORED = json.loads((PARITY / "metrics.json").read_text(encoding="utf-8"))
CASES = STORED["per_case"]


def samples() -> list[Sample]:
    """The sixteen, the last one a repeat."""
    with np.load(PARITY / "metrics.npz") as stored:
        predicted, target = (np.unpackbits(stored[name]).reshape(16, 64, 64) for name in ("pred", "gt"))
    return [compare(p, t) for p, t in zip(predicted, target, strict=True)]


def percent(share: float) -> float:
    return round(100 * float(share), 4)


def printed(found: Score) -> dict[str, float]:
    """The score under the names of the published printout."""
    precision = {f"val_Prec@{k}": percent(p) for k, p in zip(PRECISION_AT, found.precision, strict=True)}
    return precision | {
        "epoch": 1.0,
        "val_mIoU": percent(found.miou),
        "val_oIoU": percent(found.oiou),
        "val_total_samples": found.samples,
        "val_nonempty_gt": found.samples - found.empty_targets,
        "val_empty_gt": found.empty_targets,
        "val_empty_pred": found.empty_predictions,
        "val_empty_both": found.empty_both,
        "val_empty_gt_nonempty_pred_fp": found.false_alarms,
        "val_nonempty_gt_empty_pred_fn": found.misses,
    }


@pytest.mark.parametrize("number", range(16), ids=[case["name"] for case in CASES])
def test_a_sample_is_scored_as_published(number: int) -> None:
    sample, wanted = samples()[number], CASES[number]
    areas = (sample.intersection, sample.union, sample.predicted, sample.target)
    assert areas == tuple(wanted[name] for name in ("I", "U", "pred_area", "gt_area"))
    assert percent(sample.iou) == wanted["iou_pct_4dec"]
    hits = {str(k): bool(p) for k, p in zip(PRECISION_AT, score([sample]).precision, strict=True)}
    assert hits == wanted["hits"]


def test_all_samples_are_scored_as_published_with_the_repeat() -> None:
    assert printed(score(samples())) == STORED["all"]


def test_all_samples_are_scored_as_published_without_the_repeat() -> None:
    assert printed(score(samples()[:-1])) == STORED["all_without_duplicate"]


def test_a_lone_sample_with_nothing_in_it_is_perfect() -> None:
    assert printed(score([samples()[5]])) == STORED["only_empty_both"]
    assert math.isnan(score([samples()[5]]).miou_of_nonempty)


def test_samples_without_a_target_can_be_left_out() -> None:
    kept = [s for s in samples() if s.target]
    assert score(samples()).miou_of_nonempty == score(kept).miou == score(kept).miou_of_nonempty
    assert len(kept) == 14


def test_two_shapes_are_refused_and_so_is_nothing() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="at least one sample"):
        score([])


def test_tiles_of_one_place_do_not_make_the_interval_narrower() -> None:
    places = [f"place {n}" for n in range(20)]
    values = np.random.default_rng(0).random(20)
    once = bootstrap_interval(values, places, seed=1)
    often = bootstrap_interval(np.repeat(values, 50), np.repeat(places, 50).tolist(), seed=1)
    assert often == pytest.approx(once)
    as_if_apart = bootstrap_interval(np.repeat(values, 50), list(range(1000)), seed=1)
    assert as_if_apart[1] - as_if_apart[0] < 0.2 * (once[1] - once[0])


def test_the_interval_is_that_of_the_normal_law_where_places_are_many() -> None:
    values = np.random.default_rng(0).random(400)
    low, high = bootstrap_interval(values, list(range(400)), seed=0)
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    narrow = bootstrap_interval(values, list(range(400)), seed=0, level=0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_a_seed_gives_the_same_interval_in_whatever_names_the_places_have() -> None:
    values = [0.1, 0.4, 0.4, 0.9]
    assert bootstrap_interval(values, ["a", "b", "b", "c"], seed=3) == bootstrap_interval(values, [7, 5, 5, 1], seed=3)


def test_one_place_tells_nothing_of_others() -> None:
    assert all(math.isnan(end) for end in bootstrap_interval([0.2, 0.8], ["here", "here"], seed=0))


def test_every_value_needs_its_place() -> None:
    with pytest.raises(ValueError, match="wanted one place for each"):
        bootstrap_interval([0.2, 0.8], ["here"], seed=0)
