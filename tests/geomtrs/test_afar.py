"""Towns, roads and ice drawn into real pictures: what is said of them is true of what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.afar import freeze, pave, settle
from geomtrs.data.composite import CROP_PX, Scene, blob, recolour, stretch, wither
from geomtrs.data.labels import ABSENT, PRESENT, THINGS, UNKNOWN
from geomtrs.data.pairs import Pack, write_pack
from geomtrs.training.samples import PairSampler
from geomtrs.training.sets import RULE_NUMBERS, RULE_TABLES
from geomtrs.training.truth import APPEARED, DISAPPEARED

GROWN = RULE_NUMBERS["grown"]


def plain() -> Scene:
    noise = np.random.default_rng(3).integers(-12, 12, (CROP_PX, CROP_PX, 3))
    nothing = np.zeros((CROP_PX, CROP_PX), np.uint8)
    return Scene((np.array([150, 130, 100]) + noise).astype(np.uint8), nothing, nothing.copy())


def states(scene: Scene, thing: str) -> NDArray[np.uint8]:
    known: NDArray[np.uint8] = RULE_TABLES[scene.rule, THINGS.index(thing), scene.raw]
    return known


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_town_is_town_where_it_lies_and_says_nothing_elsewhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene, before, where = plain(), plain(), blob(rng, 0.2)
    settle(scene, where, rng, GROWN)
    assert (states(scene, "town")[where] == PRESENT).all()
    assert (states(scene, "water")[where] == ABSENT).all()
    assert (states(scene, "town")[~where] == UNKNOWN).all()
    far = ~ndimage.binary_dilation(where, np.ones((3, 3)), iterations=2)
    assert np.array_equal(scene.image[far], before.image[far])
    assert (scene.image != before.image).any(-1)[where].mean() > 0.9


def test_roofs_of_a_drawn_town_are_buildings_and_streets_are_roads_but_never_both() -> None:
    rng = np.random.default_rng(1)
    scene = plain()
    settle(scene, np.ones((CROP_PX, CROP_PX), bool), rng, GROWN)
    building, road = states(scene, "building") == PRESENT, states(scene, "road") == PRESENT
    assert building.mean() > 0.05
    assert road.mean() > 0.05
    assert not (building & road).any()


def test_a_drawn_road_is_thin_goes_far_and_is_no_town() -> None:
    rng = np.random.default_rng(2)
    scene = plain()
    road = pave(scene, rng, GROWN)
    rows, cols = np.nonzero(road)
    assert 0.001 < road.mean() < 0.06
    assert max(np.ptp(rows), np.ptp(cols)) > CROP_PX / 4
    assert (states(scene, "road")[road] == PRESENT).all()
    assert (states(scene, "town")[road] == UNKNOWN).all()


def test_drawn_ice_is_bright_and_nothing_but_ice() -> None:
    rng = np.random.default_rng(4)
    scene, where = plain(), blob(rng, 0.3)
    freeze(scene, where, rng, GROWN)
    assert (states(scene, "ice")[where] == PRESENT).all()
    assert all((states(scene, thing)[where] == ABSENT).all() for thing in THINGS if thing != "ice")
    assert np.median(scene.image[where]) > np.median(plain().image)


def test_towns_are_learned_from_sets_that_have_no_labelled_pair_of_them(tmp_path: Path) -> None:
    """Forest labels alone say nothing of towns; drawn ones are asked of all the same, and where they are not."""
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 140, (CROP_PX, CROP_PX, 3), dtype=np.uint8)
    facts = {
        "set": "amazon_forest",
        "name": "am_1",
        "scene": "am",
        "gsd_m": 10.0,
        "direction": "none",
        "split": "train",
    }
    write_pack(tmp_path, [(facts, {"A": picture, "labelA": np.zeros((CROP_PX, CROP_PX), np.uint8)})])
    sampler = PairSampler(Pack(tmp_path), rng)
    asked = set()
    for _ in range(60):
        drawn = sampler.draw()
        for question, existence, answer in zip(drawn.questions, drawn.existence, drawn.answers, strict=True):
            if question.thing == THINGS.index("town") and existence == PRESENT and (answer == ABSENT).any():
                asked.add(question.direction)
    assert asked >= {APPEARED, DISAPPEARED}


def test_a_stretched_picture_fills_its_range_in_every_band_and_keeps_the_order_of_its_pixels() -> None:
    rng = np.random.default_rng(0)
    dull = rng.integers(90, 140, (64, 64, 3), dtype=np.uint8)
    bright = stretch(dull, rng)
    assert all(np.ptp(bright[..., band]) == 255 for band in range(3))
    order = np.argsort(dull[..., 0].ravel(), kind="stable")
    assert (np.diff(bright[..., 0].ravel()[order].astype(int)) >= 0).all()


def test_a_recoloured_picture_comes_as_near_to_the_colours_of_another_as_its_share_says() -> None:
    rng = np.random.default_rng(8)
    mine = rng.normal((90, 110, 70), 20, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    other = rng.normal((150, 120, 100), 30, (32, 48, 3)).clip(0, 255).astype(np.uint8)
    apart = [abs(recolour(mine, other, share).mean((0, 1)) - other.mean((0, 1))).max() for share in (0.0, 0.5, 1.0)]
    assert apart[2] < 2 < apart[1] < 0.6 * apart[0]
    assert np.array_equal(recolour(mine, other, 0.0), mine)


def test_withered_ground_loses_its_green_and_roofs_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    picture = np.full((8, 8, 3), (120, 122, 124), np.uint8)
    picture[:, :4] = 60, 130, 50
    dry = wither(picture, rng).astype(int)
    assert (dry[:, :4, 1] - dry[:, :4, 0] < 45).all()  # 70 before
    assert (abs(dry[:, 4:] - picture[:, 4:]) <= 1).all()
