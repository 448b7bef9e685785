"""Mountains with ice drawn from afar: what is said of both dates is true, and only ice and what is below it differ."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from geomtrs.data.composite import CROP_PX, Scene
from geomtrs.data.labels import ABSENT, PRESENT, THINGS
from geomtrs.data.peaks import raise_peaks
from geomtrs.training.sets import RULE_NUMBERS, RULE_TABLES

GROWN = RULE_NUMBERS["grown"]


def empty() -> Scene:
    zero = np.zeros((CROP_PX, CROP_PX), np.uint8)
    return Scene(np.zeros((CROP_PX, CROP_PX, 3), np.uint8), zero, zero.copy())


def states(scene: Scene, thing: str) -> NDArray[np.uint8]:
    known: NDArray[np.uint8] = RULE_TABLES[scene.rule, THINGS.index(thing), scene.raw]
    return known


@pytest.mark.parametrize("seed", range(12))
def test_ice_is_lost_where_that_is_said_and_nowhere_else(seed: int) -> None:
    bare, grown = empty(), empty()
    more = raise_peaks(bare, grown, np.random.default_rng(seed), GROWN)
    before, after = (states(scene, "ice") for scene in (grown, bare))
    assert set(np.unique(before)) <= {ABSENT, PRESENT}
    assert ((before == PRESENT) & (after == ABSENT) == more).all()
    assert not ((before == ABSENT) & (after == PRESENT)).any()
    far = ~more & (grown.raw == bare.raw)
    assert np.abs(bare.image[far].astype(int) - grown.image[far]).mean() < 8


def test_mountains_lose_much_ice_little_and_none_over_water_and_over_land() -> None:
    shares, wet = [], []
    for seed in range(40):
        bare, grown = empty(), empty()
        more = raise_peaks(bare, grown, np.random.default_rng(seed), GROWN)
        shares.append(more.mean())
        wet.append((states(bare, "water")[more] == PRESENT).any())
    assert min(shares) == 0
    assert max(shares) > 0.08
    assert 8 < sum(wet) < 32
