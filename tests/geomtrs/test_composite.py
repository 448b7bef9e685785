"""What becomes of real pixels when pieces are laid in, burnt or broken."""

from __future__ import annotations

import numpy as np
import pytest

from geomtrs.data.composite import CROP_PX, Scene, ruin
from geomtrs.data.labels import ABSENT, PRESENT, THINGS, UNKNOWN
from geomtrs.training.sets import RULE_NUMBERS, RULE_TABLES


@pytest.mark.parametrize("seed", range(5))
def test_a_building_in_ruins_is_no_building_and_its_heaps_lie_over_and_around_it(seed: int) -> None:
    pixels = np.random.default_rng(7).integers(90, 130, (CROP_PX, CROP_PX, 3), dtype=np.uint8)
    stood = np.zeros((CROP_PX, CROP_PX), bool)
    stood[60:100, 80:140] = True
    pixels[stood] = 190, 90, 70
    zero = np.zeros((CROP_PX, CROP_PX), np.uint8)
    scene = Scene(pixels.copy(), zero, zero.copy())
    heaps = ruin(scene, stood, np.random.default_rng(seed), RULE_NUMBERS["grown"])
    building = RULE_TABLES[scene.rule, THINGS.index("building"), scene.raw]
    assert heaps[stood].all()
    assert stood.sum() < heaps.sum() < 2 * stood.sum()
    assert (building[heaps] == ABSENT).all()
    assert (building[~heaps] == UNKNOWN).all()
    assert not (RULE_TABLES[scene.rule, :, scene.raw] == PRESENT).any()
    assert scene.image[stood].std(0).mean() > 8  # a plain roof is broken up
    assert np.array_equal(scene.image[:40], pixels[:40])
