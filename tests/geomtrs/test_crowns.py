"""Single trees drawn into real pictures: labelled by the pixel, round, on free ground, never where one may stand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.composite import CROP_PX, Scene
from geomtrs.data.crowns import leafy, plant, stand
from geomtrs.data.labels import ABSENT, PRESENT, THINGS, UNKNOWN
from geomtrs.training.sets import RULE_NUMBERS, RULE_TABLES

EVERYWHERE = np.ones((CROP_PX, CROP_PX), bool)


def plain() -> Scene:
    zero = np.zeros((CROP_PX, CROP_PX), np.uint8)
    return Scene(np.full((CROP_PX, CROP_PX, 3), 150, np.uint8), zero, zero.copy())


def planted(seed: int) -> tuple[Scene, NDArray[np.bool_]]:
    """A plain scene with crowns, and where they are."""
    rng, scene = np.random.default_rng(seed), plain()
    heights = stand(EVERYWHERE, rng)
    plant(scene, heights > 0, heights, rng, RULE_NUMBERS["grown"])
    return scene, heights > 0


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_tree_is_a_tree_where_it_lies_green_and_darker_than_the_ground(seed: int) -> None:
    scene, where = planted(seed)
    tree = RULE_TABLES[scene.rule, THINGS.index("tree"), scene.raw]
    assert where.any()
    assert (tree[where] == PRESENT).all()
    assert (tree[~where] == UNKNOWN).all()
    assert (RULE_TABLES[scene.rule, THINGS.index("building"), scene.raw][where] == ABSENT).all()
    red, green, blue = scene.image[where].mean(0)
    assert green > max(red, blue)
    assert green < 150


@pytest.mark.parametrize("seed", range(5))
def test_its_shadow_darkens_the_ground_beside_it_and_is_no_tree(seed: int) -> None:
    scene, where = planted(seed)
    beside = ndimage.binary_dilation(where, iterations=3) & ~ndimage.binary_dilation(where)
    assert scene.image[beside].mean() < 149
    assert not scene.rule[beside].any()


def test_middles_of_crowns_lie_on_free_ground_alone() -> None:
    free = EVERYWHERE.copy()
    free[:, : CROP_PX // 2] = False
    for seed in range(20):
        heights = stand(free, np.random.default_rng(seed))
        middles = (heights == ndimage.maximum_filter(heights, 5)) & (heights > 0.8)
        assert not ndimage.binary_erosion(middles & ~free, iterations=1).any()
        assert np.argwhere(heights > 0)[:, 1].mean() >= CROP_PX // 2 - 1
    assert not (stand(~EVERYWHERE, np.random.default_rng(0)) > 0).any()


def test_dark_green_ground_may_bear_a_tree_and_a_lawn_or_asphalt_may_not() -> None:
    scene = plain()
    scene.image[:, :80] = 40, 75, 35
    scene.image[:, 80:160] = 140, 200, 120
    scene.image[:, 200:] = 60, 60, 62
    found = leafy(scene)
    assert found[:, :78].all()
    assert not found[:, 82:].any()
