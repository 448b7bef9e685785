"""Ground laid bare and pools dug in real pictures: what is said of them, and of what they replace, is true."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from geomtrs.data.cleared import clear, dig, plots
from geomtrs.data.composite import BARE, CROP_PX, POOL, Scene
from geomtrs.data.labels import ABSENT, PRESENT, THINGS, UNKNOWN
from geomtrs.training.sets import RULE_NUMBERS, RULE_TABLES, not_yet

GROWN = RULE_NUMBERS["grown"]


def green() -> Scene:
    zero = np.zeros((CROP_PX, CROP_PX), np.uint8)
    return Scene(np.full((CROP_PX, CROP_PX, 3), (40, 75, 35), np.uint8), zero, zero.copy())


def states(scene: Scene, thing: str) -> NDArray[np.uint8]:
    known: NDArray[np.uint8] = RULE_TABLES[scene.rule, THINGS.index(thing), scene.raw]
    return known


@pytest.mark.parametrize("seed", range(8))
def test_cleared_ground_has_no_tree_is_paler_and_says_nothing_of_what_is_around(seed: int) -> None:
    rng, scene = np.random.default_rng(seed), green()
    where = plots(rng)
    clear(scene, where, rng, GROWN)
    bare = scene.raw == BARE
    assert (states(scene, "tree")[where] == ABSENT).all()
    assert (states(scene, "building")[where] == ABSENT).all()
    assert ((states(scene, "bare") == PRESENT) == bare).all()
    assert not scene.rule[~where].any()
    assert where.sum() == 0 or scene.image[where].mean() > scene.image[~where].mean()


def test_plots_are_small_and_large_but_never_the_whole_picture() -> None:
    shares = [plots(np.random.default_rng(seed)).mean() for seed in range(60)]
    assert min(shares) < 0.03
    assert 0.2 < max(shares) < 0.9


@pytest.mark.parametrize("seed", range(5))
def test_a_dug_pool_is_blue_on_free_ground_and_nothing_else_than_a_pool(seed: int) -> None:
    scene, free = green(), np.zeros((CROP_PX, CROP_PX), bool)
    free[40:200, 60:220] = True
    where = dig(scene, free, np.random.default_rng(seed), GROWN)
    assert where.any()
    assert not (where & ~free).any()
    assert ((scene.raw == POOL) == where).all()
    assert (states(scene, "pool")[where] == PRESENT).all()
    assert (states(scene, "tree")[where] == ABSENT).all()
    assert (states(scene, "water")[where] == UNKNOWN).all()
    red, _, blue = scene.image[where].mean(0)
    assert blue > red
    assert not dig(green(), ~free & free, np.random.default_rng(seed), GROWN).any()


def test_a_forest_that_lacks_a_drawn_town_is_forest_still() -> None:
    unknown = np.full((1, 2, len(THINGS)), UNKNOWN, np.uint8)
    unknown[0, 0, THINGS.index("tree")] = PRESENT
    numbers = not_yet(unknown, "town")
    table = RULE_TABLES[GROWN]
    forest, untold = (table[:, number] for number in numbers[0])
    assert forest[THINGS.index("tree")] == PRESENT
    assert untold[THINGS.index("tree")] == UNKNOWN
    assert {forest[THINGS.index("town")], untold[THINGS.index("town")]} == {ABSENT}


def test_ground_that_lacks_a_drawn_tree_may_well_be_a_town() -> None:
    number = not_yet(np.full((1, 1, len(THINGS)), UNKNOWN, np.uint8), "tree")[0, 0]
    lacking = RULE_TABLES[GROWN, :, number]
    assert lacking[THINGS.index("tree")] == ABSENT
    assert (np.delete(lacking, THINGS.index("tree")) == UNKNOWN).all()
