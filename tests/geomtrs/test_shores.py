"""Water drawn, dried up and coloured in real pictures: only what is said to change changes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from geomtrs.data.composite import CROP_PX, WATER, Scene
from geomtrs.data.labels import ABSENT, PRESENT, THINGS
from geomtrs.data.shores import bars, basin, flood, tinge
from geomtrs.training.sets import RULE_NUMBERS, RULE_TABLES

GROWN, LAKES = RULE_NUMBERS["grown"], RULE_NUMBERS["naip_potholes"]


def lake() -> tuple[Scene, NDArray[np.bool_]]:
    """Green ground with a blue lake in the midst, and where it is."""
    image = np.full((CROP_PX, CROP_PX, 3), (60, 95, 50), np.uint8)
    y, x = np.mgrid[:CROP_PX, :CROP_PX]
    wet = np.hypot(y - 120, x - 140) < 60
    image[wet] = 30, 50, 80
    return Scene(image, wet.astype(np.uint8), np.full(wet.shape, LAKES, np.uint8)), wet


def states(scene: Scene, thing: str) -> NDArray[np.uint8]:
    known: NDArray[np.uint8] = RULE_TABLES[scene.rule, THINGS.index(thing), scene.raw]
    return known


@pytest.mark.parametrize("seed", range(6))
def test_a_lake_in_other_colours_is_the_same_lake(seed: int) -> None:
    scene, wet = lake()
    tinge(scene, wet, np.random.default_rng(seed))
    assert ((states(scene, "water") == PRESENT) == wet).all()
    inner = np.hypot(*np.mgrid[-120:136, -140:116]) < 50
    outer = np.hypot(*np.mgrid[-120:136, -140:116]) > 70
    assert np.abs(scene.image[inner] - np.array([30.0, 50, 80])).max() > 6
    assert (scene.image[outer] == (60, 95, 50)).all()


@pytest.mark.parametrize("thing", ["burnt", "landslide", "ice"])
def test_a_lake_that_grew_dark_or_shines_is_known_to_be_no(thing: str) -> None:
    """Also where a set does not label it: an answer there is an error in training."""
    scene, wet = lake()
    scene.rule[:], scene.raw[wet] = RULE_NUMBERS["landsat_worldcover"], 7
    assert (states(scene, thing)[wet] == ABSENT).all()


@pytest.mark.parametrize("seed", range(8))
def test_what_falls_dry_was_water_and_at_times_all_of_it(seed: int) -> None:
    _, wet = lake()
    dry = bars(wet, np.random.default_rng(seed))
    assert dry.any()
    assert not (dry & ~wet).any()


@pytest.mark.parametrize("seed", range(8))
def test_a_flood_is_water_and_nothing_else_where_it_rose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene, wet = lake()
    risen = basin(wet, rng) & ~wet
    flood(scene, risen, wet, rng, GROWN)
    assert risen.any()
    assert ((scene.raw == WATER) == risen).all()
    assert (states(scene, "water")[risen | wet] == PRESENT).all()
    assert (states(scene, "water")[~risen & ~wet] == ABSENT).all()
    assert (states(scene, "tree")[risen] == ABSENT).all()


def test_what_dries_and_rises_is_small_and_large() -> None:
    _, wet = lake()
    dry = [bars(wet, np.random.default_rng(seed)).sum() / wet.sum() for seed in range(60)]
    risen = [(basin(wet, np.random.default_rng(seed)) & ~wet).mean() for seed in range(60)]
    assert min(dry) < 0.1
    assert max(dry) > 0.9
    assert min(risen) < 0.02
    assert max(risen) > 0.2
