"""Referring sentences: each is read a second time by other means, and its mask must come out the same."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from geomtrs.data.labels import ABSENT, ANYTHING, PRESENT, RULES, THINGS, UNKNOWN
from geomtrs.data.pairs import Pack, read_folder, write_pack
from geomtrs.data.phrases import sayings
from geomtrs.data.predicate import holds
from geomtrs.data.referring import Referring, refer
from geomtrs.data.scenes import draw_scene
from geomtrs.data.val_cases import cases, read_labels
from geomtrs.grammar import ScenePart, read

SCENES = 14
BUILDING, WATER, TREE, ROAD = (THINGS.index(name) for name in ("building", "water", "tree", "road"))


@cache
def drawn(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """States of a drawn scene."""
    pair, tables = draw_scene(np.random.default_rng(seed), (192, 192)), RULES["drawn"].tables()
    return tables[:, pair.labels_before], tables[:, pair.labels_after], np.zeros((192, 192), bool)


@cache
def told(seed: int) -> list[Referring]:
    return refer(*drawn(seed), rng=np.random.default_rng(seed), gsd_m=0.5)


def nothing(shape: tuple[int, int] = (48, 64)) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """Two dates where buildings, roads, water and trees are labelled and none is there."""
    states = np.full((len(THINGS), *shape), UNKNOWN, np.uint8)
    states[[BUILDING, ROAD, WATER, TREE]] = ABSENT
    return states, states.copy(), np.zeros(shape, bool)


def assert_second_reading(
    said: list[Referring], before: NDArray[np.uint8], after: NDArray[np.uint8], still: NDArray[np.bool_], **more: object
) -> None:
    for one in said:
        mask, known = holds(one.sentence, before, after, still, **more)
        assert not (one.known & ~known).any(), one.sentence
        assert np.array_equal(one.mask[one.known], mask[one.known]), one.sentence
        assert not (one.mask & ~one.known).any(), one.sentence


@st.composite
def label_maps(
    draw: st.DrawFn,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], float | None, set[int]]:
    """Rectangles of some things on both dates, specks, pixels not known, and at times a mask of what is still."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = np.zeros((2, 48, 64), np.uint8)
    for _ in range(draw(st.integers(1, 14))):
        row, column, height, width = rng.integers((0, 0, 1, 1), (48, 64, 20, 24))
        dates = draw(st.sampled_from([(0,), (1,), (0, 1)]))
        for date in dates:
            labels[date, row : row + height, column : column + width] = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 255]))
    rule = RULES["loveda_potsdam_samples"] if draw(st.booleans()) else RULES["drawn"]
    tables = rule.tables()
    still = np.zeros((48, 64), bool)
    about: set[int] = set()
    if draw(st.booleans()):
        still = labels[0] == labels[1]
        still[rng.integers(48) :] = True
        about = set(draw(st.lists(st.sampled_from([BUILDING, WATER, ANYTHING]), max_size=2)))
    return tables[:, labels[0]], tables[:, labels[1]], still, draw(st.sampled_from([None, 0.3, 0.5, 10.0])), about


@settings(max_examples=60, deadline=None)
@given(label_maps(), st.integers(0, 2**32 - 1))
def test_every_sentence_about_random_labels_is_confirmed_by_a_second_reading(
    maps: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], float | None, set[int]], seed: int
) -> None:
    before, after, still, gsd_m, about = maps
    said = refer(before, after, still, rng=np.random.default_rng(seed), gsd_m=gsd_m, about=about)
    assert_second_reading(said, before, after, still, gsd_m=gsd_m, about=about)


@pytest.mark.parametrize("seed", range(SCENES))
def test_every_sentence_about_a_drawn_scene_is_confirmed_by_a_second_reading(seed: int) -> None:
    assert_second_reading(told(seed), *drawn(seed), gsd_m=0.5)


def test_every_kind_is_told_and_about_a_third_is_absent() -> None:
    kinds = Counter(one.kind for seed in range(SCENES) for one in told(seed))
    assert set(kinds) == {
        "direction", "changed", "from-to", "all-of-a-kind", "several kinds", "rank", "size", "count", "place",
        "relation", "grew", "shrank", "absent",
    }  # fmt: skip
    assert 0.25 < kinds["absent"] / kinds.total() < 0.4
    assert all(one.mask.any() == (one.kind != "absent") for seed in range(SCENES) for one in told(seed))


def test_the_words_about_the_scene_are_read_back_as_meant_b9() -> None:
    parts = [one for seed in range(SCENES) for one in told(seed)]
    assert all(read(one.sentence)[1] == one.part for one in parts)
    with_part = {"rank", "size", "count", "place"}
    assert all((one.part != ScenePart()) == (one.kind in with_part) for one in parts)


def test_the_same_seed_tells_the_same_sentences() -> None:
    again = refer(*drawn(3), rng=np.random.default_rng(3), gsd_m=0.5)
    assert [one.sentence for one in again] == [one.sentence for one in told(3)]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(again, told(3), strict=True))


def test_no_sentence_is_told_twice_of_one_pair() -> None:
    for seed in range(SCENES):
        asked = [read(one.sentence) for one in told(seed)]
        assert len(asked) == len(told(seed))
        assert len({one.sentence for one in told(seed)}) == len(told(seed))


def test_swapped_dates_turn_what_appeared_into_what_disappeared() -> None:
    (before, after, still), empty = drawn(1), 0
    turned = {"appeared": "disappeared", "disappeared": "appeared"}
    for one in told(1):
        mask, known = holds(one.sentence, after, before, still, 0.5)
        if one.swapped_empty:
            empty += 1
            assert not mask.any()
            assert known.mean() > 0.95
        if one.kind == "direction":
            opposite = sayings()[one.thing, turned[one.direction], None][0].text
            assert np.array_equal(holds(opposite, before, after, still)[0], mask)
    assert empty > 0


def test_a_rank_of_one_has_one_patch_and_is_the_largest_or_smallest() -> None:
    from scipy import ndimage

    ranks = [one for seed in range(SCENES) for one in told(seed) if one.kind == "rank" and one.part.count == 1]
    assert len(ranks) > 3
    assert all(ndimage.label(one.mask)[1] == 1 for one in ranks)


def test_of_two_buildings_nearly_as_large_none_is_called_the_largest() -> None:
    before, after, still = nothing()
    after[BUILDING, 5:15, 5:15] = after[BUILDING, 30:40, 30:39] = PRESENT
    said = [one for seed in range(20) for one in refer(before, after, still, rng=np.random.default_rng(seed))]
    assert "rank" not in {one.kind for one in said}
    assert {"count", "direction"} <= {one.kind for one in said}


def test_where_a_pixel_is_not_known_nothing_is_counted_or_ranked() -> None:
    before, after, still = nothing()
    after[BUILDING, 5:15, 5:15] = after[BUILDING, 30:36, 30:36] = PRESENT
    after[BUILDING, 40, 60] = before[BUILDING, 40, 60] = UNKNOWN
    said = [one for seed in range(20) for one in refer(before, after, still, rng=np.random.default_rng(seed))]
    assert not {"count", "rank"} & {one.kind for one in said}
    assert not any(one.known[40, 60] for one in said if one.thing == BUILDING)


def test_a_speck_is_neither_told_nor_denied() -> None:
    before, after, still = nothing()
    after[BUILDING, 5:15, 5:15] = after[BUILDING, 30, 30:33] = PRESENT
    (one, *_) = refer(before, after, still, rng=np.random.default_rng(0))
    assert one.mask.sum() == 100
    assert not one.known[30, 30:33].any()


def test_a_lake_that_grew_is_told_by_its_new_part_and_a_new_pond_is_not_one() -> None:
    before, after, still = nothing()
    before[WATER, 10:20, 10:20] = after[WATER, 10:20, 10:24] = after[WATER, 30:40, 40:50] = PRESENT
    grown = [one for seed in range(10) for one in refer(before, after, still, rng=np.random.default_rng(seed))]
    masks = [one.mask for one in grown if one.kind == "grew"]
    assert masks
    assert all(mask.sum() == 40 and mask[10:20, 20:24].all() for mask in masks)


def test_beside_the_road_is_near_and_not_far() -> None:
    before, after, still = nothing()
    before[ROAD, :, 20:24] = after[ROAD, :, 20:24] = PRESENT
    after[BUILDING, 5:15, 26:36] = after[BUILDING, 30:40, 50:60] = PRESENT
    beside = [one for seed in range(10) for one in refer(before, after, still, rng=np.random.default_rng(seed))]
    masks = [one.mask for one in beside if one.kind == "relation"]
    assert masks
    assert all(mask[5:15, 26:36].all() and mask.sum() == 100 for mask in masks)


def test_a_twin_has_the_same_mask_by_a_second_reading_and_is_held_out_where_its_sentence_is_not() -> None:
    twins = [(seed, one) for seed in range(4) for one in told(seed) if one.twin is not None]
    assert len(twins) > 20
    for seed, one in twins:
        assert one.twin is not None
        assert np.array_equal(*(holds(text, *drawn(seed), 0.5)[0] for text in (one.sentence, one.twin))), one.twin
        held_out = {
            text: any(e.held_out and text.endswith(e.text) for e in sayings()[one.thing, one.direction, one.source])
            for text in (one.sentence, one.twin)
        }
        assert held_out[one.twin] != one.held_out


def test_a_slip_of_the_finger_leaves_the_words_about_the_scene() -> None:
    slipped = [
        (plain, one)
        for seed in range(4)
        for plain, one in zip(
            told(seed), refer(*drawn(seed), rng=np.random.default_rng(seed), gsd_m=0.5, typos=True), strict=False
        )
    ]
    assert any(plain.sentence != one.sentence for plain, one in slipped)
    assert all(read(one.sentence)[1] == one.part for _, one in slipped)


@pytest.mark.parametrize(
    "sentence",
    [
        "the brick buildings that were built",
        "buildings that were not demolished",
        "the new buildings beside the barn",
        "the felled trees and the new buildings",
        "flooded farmland",
        "the buildings",
        "",
    ],
)
def test_of_a_sentence_that_is_not_wholly_read_nothing_is_known(sentence: str) -> None:
    mask, known = holds(sentence, *drawn(1), 0.5)
    assert not mask.any()
    assert not known.any()


def test_every_saying_means_to_the_second_reader_what_it_means_to_the_first() -> None:
    for (thing, direction, source), expressions in sayings().items():
        before, after, still = (np.zeros(s, np.uint8) for s in ((17, 6, 12), (17, 6, 12), (6, 12)))
        wanted = np.zeros((6, 12), bool)
        if direction in ("disappeared", "changed"):
            before[thing % 17, :, :4], wanted[:, :4] = PRESENT, True
        if direction in ("appeared", "changed"):
            after[thing % 17, :, 8:], wanted[:, 8:] = PRESENT, True
        if direction == "replaced" and source is not None:
            before[source, :, :4], after[thing, :, :4], wanted[:, :4] = PRESENT, PRESENT, True
            after[source, :, 8:], before[thing, :, 8:] = PRESENT, PRESENT
        for expression in expressions:
            mask, known = holds(expression.text, before, after, still != 0)
            assert known.all(), expression.text
            assert np.array_equal(mask, wanted), expression.text


def write_set(root: Path) -> None:
    """A made set "fotbcd" of two pairs with a new building and one date alone, and a "levir_cd" tile without change."""
    ground = np.full((96, 64, 3), 100, np.uint8)
    label = np.zeros((96, 64), np.uint8)
    label[20:50, 10:40] = 1
    for name, samples in (("fotbcd", ("a", "b", "single")), ("levir_cd", ("still",))):
        lines = []
        for sample in samples:
            planes = {"A": ground, "B": ground + 9, "mask": label * 255, "labelA": label * 0, "labelB": label}
            if sample == "single":
                planes = {"A": ground, "labelA": label}
            if sample == "still":
                planes = {"A": ground, "B": ground + 9, "mask": label * 0}
            for plane, pixels in planes.items():
                (root / name / plane).mkdir(parents=True, exist_ok=True)
                file = root / name / plane / f"{sample}.{'webp' if plane in 'AB' else 'png'}"
                Image.fromarray(pixels).save(file, **({"lossless": True} if plane in "AB" else {}))
            facts = {"name": sample, "scene": f"at {sample}", "split": "val", "direction": "none", "gsd_m": 0.5}
            lines.append(json.dumps(facts))
        (root / name / "samples.jsonl").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    write_set(tmp_path / "sets")
    write_pack(tmp_path / "pack", read_folder(tmp_path / "sets"))
    return Pack(tmp_path / "pack")


def test_a_case_carries_the_tile_as_it_is_with_its_set_and_place(pack: Pack) -> None:
    found = list(cases(pack, sets=["fotbcd"]))
    assert {(case.set, case.place) for case in found} == {("fotbcd", "at a"), ("fotbcd", "at b")}
    assert all(case.before.shape == (96, 64, 3) and case.mask.shape == case.known.shape == (96, 64) for case in found)
    assert all(case.mask[20:50, 10:40].all() for case in found if not case.empty)
    assert {case.kind for case in found} >= {"direction", "absent"}


def test_a_third_of_the_cases_is_absent_and_no_pair_has_more_than_asked_for(pack: Pack) -> None:
    found = list(cases(pack, sets=["fotbcd"], per_pair=6))
    assert max(Counter(case.place for case in found).values()) <= 6
    assert 0.2 < sum(case.empty for case in found) / len(found) < 0.6


def test_a_tile_without_change_of_buildings_has_only_absent_cases(pack: Pack) -> None:
    found = list(cases(pack, sets=["levir_cd"]))
    assert found
    assert all(case.empty and case.known.all() for case in found)


def test_cases_are_the_same_again_and_confirmed_by_a_second_reading(pack: Pack) -> None:
    assert [c.sentence for c in cases(pack, seed=5)] == [c.sentence for c in cases(pack, seed=5)]
    assert list(cases(pack, split="train")) == []
    labels = {(s.set, s.scene): read_labels(pack, s) for s in pack.samples}
    for case in cases(pack):
        told_of = labels[case.set, case.place]
        assert told_of is not None
        mask, known = holds(
            case.sentence, told_of.before, told_of.after, told_of.still, case.gsd_m, about=told_of.about
        )  # fmt: skip
        assert not (case.known & ~known).any()
        assert np.array_equal(mask[case.known], case.mask[case.known])
