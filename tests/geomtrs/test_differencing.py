"""The control model: a local filter without learning that knows two directions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geomtrs.models.base import ChangeModel, PairAnswers
from geomtrs.models.differencing import RADIUS_PX, Differencing, direction
from geomtrs.query import Query

APPEARED, GONE, ANY = Query("the roofs that appeared"), Query("the roofs that disappeared"), Query("roofs")


def pair(rng: np.random.Generator, height: int = 40, width: int = 56) -> NDArray[np.uint8]:
    """(1, 2, 3, H, W) noise with a bright square at the second date and a dark one."""
    tiles = rng.integers(90, 110, (1, 2, 3, height, width), dtype=np.uint8)
    tiles[0, 1, :, 8:18, 8:18] += 120
    tiles[0, 1, :, 24:34, 30:40] -= 80
    return tiles


def ask(tiles: NDArray[np.uint8], *queries: Query) -> NDArray[np.float32]:
    model = Differencing()
    return model.answer(model.features(tiles), model.prepare(queries)).probability


def test_it_is_a_change_model() -> None:
    assert isinstance(Differencing(), ChangeModel)


def test_what_changed_is_found_and_nothing_else() -> None:
    found = ask(pair(np.random.default_rng(0)), ANY)[0, 0] >= 0.5
    assert found[13, 13]
    assert found[29, 35]
    assert found.sum() <= 2 * 12 * 12


def test_appeared_and_disappeared_have_different_answers_b2() -> None:
    found = ask(pair(np.random.default_rng(0)), APPEARED, GONE)[0] >= 0.5
    assert found[0, 13, 13]
    assert not found[0, 29, 35]
    assert found[1, 29, 35]
    assert not found[1, 13, 13]


@given(st.integers(0, 2**32 - 1))
def test_swapped_dates_swap_appeared_and_disappeared_b7(seed: int) -> None:
    tiles = pair(np.random.default_rng(seed), 12, 17 + seed % 30)
    assert (ask(tiles, APPEARED, GONE) == ask(tiles[:, ::-1], GONE, APPEARED)).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_a_pixel_does_not_depend_on_its_tile_c2(seed: int, top: int, left: int) -> None:
    tiles = np.random.default_rng(seed).integers(0, 256, (1, 2, 3, 40, 40), dtype=np.uint8)
    part = ask(np.ascontiguousarray(tiles[..., top:, left:]), APPEARED)
    whole = ask(tiles, APPEARED)[..., top:, left:]
    assert (part[..., RADIUS_PX:, RADIUS_PX:] == whole[..., RADIUS_PX:, RADIUS_PX:]).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_strips_and_single_pixels_are_answered_a12(height: int, width: int) -> None:
    tiles = np.zeros((2, 2, 3, height, width), np.uint8)
    tiles[:, 1] = 255
    answer = ask(tiles, ANY)
    assert answer.shape == (2, 1, height, width)
    assert (answer == 1).all()


def test_existence_is_always_one() -> None:
    model = Differencing()
    answer = model.answer(model.features(np.zeros((3, 2, 3, 4, 4), np.uint8)), model.prepare([ANY, GONE]))
    assert (answer.existence == np.ones((3, 2))).all()


def test_another_number_of_dates_is_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match=r"wanted \(N, 2, C, H, W\)"):
        Differencing().features(np.zeros((1, 3, 3, 4, 4), np.uint8))


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("the buildings that appeared", "appeared"),
        ("newly built roads", "appeared"),
        ("Forest that was cleared", "disappeared"),
        ("houses that are no longer there", "disappeared"),
        ("new houses where trees were removed", "either"),
        ("renewal", "either"),
    ],
)
def test_the_direction_is_read_from_whole_words(text: str, way: str) -> None:
    assert direction(text) == way


def test_pairs_and_sentences_are_channels_in_order_a7() -> None:
    rng = np.random.default_rng(1)
    tiles = rng.integers(0, 256, (2, 3, 3, 8, 8), dtype=np.uint8)
    model = Differencing()
    probability, existence = PairAnswers(model, model.prepare([APPEARED, GONE]), ((0, 1), (1, 2)))(tiles)
    assert probability.shape == (2, 4, 8, 8)
    assert existence.shape == (2, 4)
    assert (probability[:, 2:] == ask(np.ascontiguousarray(tiles[:, 1:]), APPEARED, GONE)).all()


def test_it_runs_without_torch() -> None:
    code = "import sys; from geomtrs.models.catalog import load; load('differencing'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
