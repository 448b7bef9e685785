"""Cross-fade in whole numbers: weights of all tiles add up to 256, so a constant stays and order does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from tiling.blend import FULL_WEIGHT, SCALE, UNOBSERVED, quantise, settle, tile_weights
from tiling.plan import Plan, plan


def cut(height: int, width: int, core_px: int, feather_px: int) -> Plan:
    grid = GeoBox((height, width), Affine(10, 0, 600_000, 0, -10, 5_100_000), "EPSG:32633")
    return plan(grid, tile_px=core_px + 2 * feather_px, halo_px=0, feather_px=feather_px, block_tiles=2)


def summed(made: Plan) -> NDArray[np.uint32]:
    total = np.zeros(made.shape, np.uint32)
    for block in made.blocks:
        for tile in block.tiles:
            total[tile.answer.toslices()] += tile_weights(made, tile)
    return total


sides = st.integers(1, 80)
feathers = st.integers(0, 12)


@given(height=sides, width=sides, feather_px=feathers, more=st.integers(1, 20))
def test_weights_of_all_tiles_add_up_to_one_everywhere_c3(height: int, width: int, feather_px: int, more: int) -> None:
    assert (summed(cut(height, width, 2 * feather_px + more, feather_px)) == FULL_WEIGHT).all()


@given(height=sides, width=sides, feather_px=feathers, more=st.integers(1, 20))
def test_a_tile_weighs_at_least_a_quarter_in_its_own_core(height: int, width: int, feather_px: int, more: int) -> None:
    made = cut(height, width, 2 * feather_px + more, feather_px)
    for tile in (tile for block in made.blocks for tile in block.tiles):
        row, col = tile.core.row_off - tile.answer.row_off, tile.core.col_off - tile.answer.col_off
        core = tile_weights(made, tile)[row : row + tile.core.height, col : col + tile.core.width]
        assert core.min() >= FULL_WEIGHT // 4


@given(feather_px=st.integers(1, 24))
def test_a_weight_never_rises_while_its_tile_fades_out(feather_px: int) -> None:
    made = cut(1, 200, 2 * feather_px + 1, feather_px)
    first = tile_weights(made, made.blocks[0].tiles[0])[0].astype(int)
    assert (np.diff(first) <= 0).all()


def test_answers_that_ramp_differently_tile_by_tile_join_without_a_step_c3() -> None:
    feather_px = 16
    made = cut(64, 256, 64, feather_px)
    sums = np.zeros(made.shape, np.uint16)
    for tile in (tile for block in made.blocks for tile in block.tiles):
        answer = np.full((tile.answer.height, tile.answer.width), 50 + 150 * (tile.col % 2), np.uint16)
        sums[tile.answer.toslices()] += answer * tile_weights(made, tile)
    steps = np.abs(np.diff(settle(sums).astype(int), axis=1))
    assert steps.max() <= -(-150 // 16)  # one sixteenth of the difference at a time


@given(value=st.floats(0, 1, width=32), feather_px=feathers)
def test_a_constant_answer_comes_back_as_it_was_quantised_c1(value: float, feather_px: int) -> None:
    made = cut(61, 47, 2 * feather_px + 5, feather_px)
    sums = np.zeros(made.shape, np.uint16)
    stored = quantise(np.full((1, 1), value, np.float32))[0, 0]
    for tile in (tile for block in made.blocks for tile in block.tiles):
        sums[tile.answer.toslices()] += stored * tile_weights(made, tile)
    assert (settle(sums) == stored).all()


@given(value=st.integers(0, SCALE), weight=st.integers(1, FULL_WEIGHT))
def test_a_pixel_answered_by_some_of_its_tiles_keeps_their_value(value: int, weight: int) -> None:
    sums, weights = np.full((1, 1), value * weight, np.uint16), np.full((1, 1), weight, np.uint16)
    assert settle(sums, weights)[0, 0] == value


@given(total=st.integers(0, SCALE * FULL_WEIGHT))
def test_both_ways_of_settling_agree_where_all_tiles_answered(total: int) -> None:
    sums = np.full((1, 1), total, np.uint16)
    assert settle(sums)[0, 0] == settle(sums, np.full((1, 1), FULL_WEIGHT, np.uint16))[0, 0]


def test_a_pixel_nobody_answered_is_not_observed() -> None:
    nothing = np.zeros((1, 1), np.uint16)
    assert settle(nothing, nothing)[0, 0] == UNOBSERVED


@given(value=st.floats(0, 1, width=32))
def test_a_probability_is_stored_to_the_nearest_of_250_steps(value: float) -> None:
    stored = int(quantise(np.full(1, value, np.float32))[0])
    assert abs(stored / SCALE - value) <= 0.5 / SCALE + 1e-6


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.1])
def test_an_answer_that_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="check what the model returns"):
        quantise(np.array([0.5, wrong], np.float32))


def test_rounding_of_a_model_just_outside_of_the_range_is_clipped() -> None:
    assert quantise(np.array([-1e-6, 1 + 1e-6], np.float32)).tolist() == [0, SCALE]
