"""The published learning rate against the values of the published runs."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from geomtrs.training.schedule import learning_rate

STORED = json.loads((Path(__file__).parents[1] / "data" / "parity" / "schedule.json").read_text(encoding="utf-8"))


def rate(step: int) -> float:
    return learning_rate(step, steps=STORED["steps"], warmup=STORED["warmup"], base=STORED["base"])


@pytest.mark.parametrize("step", STORED["values"])
def test_the_rate_is_the_one_that_was_logged(step: str) -> None:
    assert rate(int(step)) == pytest.approx(STORED["values"][step], rel=0, abs=1e-12)


def test_the_rate_climbs_to_its_base_and_falls_to_nothing() -> None:
    rates = [rate(step) for step in range(STORED["steps"] + 1)]
    assert rates[0] == rates[-1] == 0
    assert max(rates) == rates[STORED["warmup"]] == STORED["base"]
    assert all(a < b for a, b in pairwise(rates[: STORED["warmup"] + 1]))
    assert all(a > b for a, b in pairwise(rates[STORED["warmup"] :]))


def test_a_run_without_a_climb_starts_at_its_base() -> None:
    assert learning_rate(0, steps=4, warmup=0, base=1e-4) == 1e-4
    assert learning_rate(4, steps=4, warmup=4, base=1e-4) == 1e-4


@pytest.mark.parametrize("step", [-1, 1521])
def test_a_step_outside_the_run_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="wanted 0 to 1520"):
        rate(step)
