"""Drawn scene pairs: deterministic, labelled exactly, with changes in both directions."""

from __future__ import annotations

import numpy as np
import pytest

from geomtrs.data.scenes import CLASSES, DrawnPair, draw_scene


def draw(seed: int, shape: tuple[int, int] = (96, 128), gsd_m: float = 1.0) -> DrawnPair:
    """A small scene."""
    return draw_scene(np.random.default_rng(seed), shape, gsd_m=gsd_m)


def test_pictures_and_labels_are_of_one_shape() -> None:
    pair = draw(0)
    assert pair.before.shape == pair.after.shape == (96, 128, 3)
    assert pair.labels_before.shape == pair.labels_after.shape == (96, 128)


def test_the_same_seed_draws_the_same_scene() -> None:
    first, second = draw(3), draw(3)
    assert np.array_equal(first.before, second.before)
    assert np.array_equal(first.labels_after, second.labels_after)


def test_labels_are_known_classes() -> None:
    labels = np.unique([draw(seed).labels_after for seed in range(4)])
    assert set(labels.tolist()) <= set(CLASSES.values())


def test_buildings_appear_and_disappear_over_a_few_scenes() -> None:
    pairs = [draw(seed, (192, 192)) for seed in range(8)]
    building = CLASSES["building"]
    came = sum(int(((p.labels_after == building) & (p.labels_before != building)).sum()) for p in pairs)
    went = sum(int(((p.labels_before == building) & (p.labels_after != building)).sum()) for p in pairs)
    assert came > 100
    assert went > 100


def test_light_differs_between_the_dates() -> None:
    pair = draw(1)
    still = pair.labels_before == pair.labels_after
    assert np.abs(pair.before[still].mean(0) - pair.after[still].mean(0)).max() > 2


@pytest.mark.parametrize("gsd_m", [0.3, 2.0])
def test_any_ground_resolution_of_the_range_is_drawn(gsd_m: float) -> None:
    assert draw(2, gsd_m=gsd_m).before.std() > 5
