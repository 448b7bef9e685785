"""Towns, roads, ice and clouds drawn into real pictures: what is said of them is true of what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.afar import array, freeze, overcast, pave, settle, tongue
from geomtrs.data.composite import CROP_PX, Scene, blob
from geomtrs.data.labels import ABSENT, PRESENT, THINGS, UNKNOWN
from geomtrs.data.pairs import Pack, write_pack
from geomtrs.training.composing import grow_town
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


@pytest.mark.parametrize("seed", range(20))
def test_drawn_roads_are_thin_go_far_and_are_no_town(seed: int) -> None:
    scene = plain()
    road = pave(scene, np.ones((CROP_PX, CROP_PX), bool), np.random.default_rng(seed), GROWN)
    assert 0.0005 < road.mean() < 0.1
    assert ndimage.binary_erosion(road, np.ones((9, 9))).sum() < 0.1 * road.sum()
    assert max(road.any(0).sum(), road.any(1).sum()) > 20
    assert (states(scene, "road")[road] == PRESENT).all()
    assert (states(scene, "town")[road] == UNKNOWN).all()


def test_a_road_may_be_one_a_ring_that_encloses_ground_or_a_net_of_many_blocks() -> None:
    kinds = set()
    for seed in range(40):
        road = pave(plain(), np.ones((CROP_PX, CROP_PX), bool), np.random.default_rng(seed), GROWN)
        enclosed, count = ndimage.label(~road)
        kinds.add("net" if count > 8 else "ring" if count == 2 and enclosed[0, 0] == enclosed[-1, -1] else "other")
    assert kinds == {"net", "ring", "other"}


def test_a_town_grows_out_of_the_streets_that_were_there_before() -> None:
    """What stands at both dates is no change; without such towns everything built would pass for new."""
    grew = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        bare, grown = plain(), plain()
        new = grow_town(bare, grown, np.ones((CROP_PX, CROP_PX), bool), rng)
        then, now = (states(scene, "town") == PRESENT for scene in (bare, grown))
        assert (now & ~then == new).all()
        assert not (then & ~now).any()
        if then.any():
            grew += 1
            same = then & (states(bare, "road") == states(grown, "road"))
            assert same.sum() > 0.99 * then.sum()
    assert 2 < grew < 12


def test_drawn_ice_is_bright_and_nothing_but_ice() -> None:
    rng = np.random.default_rng(4)
    scene, where = plain(), blob(rng, 0.3)
    freeze(scene, where, rng, GROWN)
    assert (states(scene, "ice")[where] == PRESENT).all()
    assert all((states(scene, thing)[where] == ABSENT).all() for thing in THINGS if thing != "ice")
    assert np.median(scene.image[where]) > np.median(plain().image)


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_solar_farm_lies_on_free_ground_and_is_darker_than_it(seed: int) -> None:
    scene, free = plain(), np.ones((CROP_PX, CROP_PX), bool)
    free[: CROP_PX // 2] = False
    where = array(scene, free, np.random.default_rng(seed), GROWN)
    assert not (where & ~free).any()
    assert (states(scene, "solar")[where] == PRESENT).all()
    assert (states(scene, "building")[where] == ABSENT).all()
    assert (states(scene, "solar")[~where] == UNKNOWN).all()
    if where.any():
        assert np.median(scene.image[where]) < np.median(plain().image) - 15


@pytest.mark.parametrize("seed", range(6))
def test_a_glacier_ends_within_the_picture_and_loses_the_last_of_its_tongue(seed: int) -> None:
    ice, last, _ = tongue(np.random.default_rng(seed))
    assert 0.005 < ice.mean() < 0.5
    assert last.any()
    assert not (last & ~ice).any()
    near = ndimage.binary_dilation(last, iterations=3) & ice
    assert (near & ~last).any() or (last == ice).all()  # what is lost hangs on what is left


def test_what_a_cloud_hides_is_not_known_to_be_gone_and_nothing_new_is_seen_under_it() -> None:
    clouded, states_below = plain(), np.full((CROP_PX, CROP_PX, len(THINGS)), ABSENT, np.uint8)
    tree, town = THINGS.index("tree"), THINGS.index("town")
    states_below[:, : CROP_PX // 2, tree] = PRESENT
    states_below[: CROP_PX // 2, : CROP_PX // 2, town] = PRESENT
    overcast(clouded, states_below, np.random.default_rng(1), GROWN)
    under = clouded.rule == GROWN
    both, one = under & (states_below[..., town] == PRESENT), under & (states_below[..., tree] == PRESENT)
    one &= ~both
    none = under & ~both & ~one
    assert min(both.sum(), one.sum(), none.sum()) > 50
    assert (states(clouded, "tree")[one] == UNKNOWN).all()
    assert (states(clouded, "town")[one] == ABSENT).all()
    assert (states(clouded, "tree")[both] == UNKNOWN).all()
    assert all((states(clouded, thing)[none] == ABSENT).all() for thing in THINGS)
    assert (states(clouded, "ice")[under] == ABSENT).all()  # white as it is
    assert clouded.image[under].mean() > plain().image[under].mean() + 20


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
