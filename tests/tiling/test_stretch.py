"""One stretch per date: percentiles of what was observed, nothing done to eight bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.tiling.rasters import Pixels
from tiling.stretch import IDENTITY, Stretch, scene_stretch


@given(pixels=arrays(np.uint8, (3, 4, 5)))
def test_eight_bits_pass_unchanged(pixels: Pixels) -> None:
    assert np.array_equal(IDENTITY.apply(pixels), pixels)
    assert scene_stretch(list(pixels.reshape(3, -1).astype(float)), "uint8").is_identity


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_low_becomes_black_and_high_white_and_beyond_is_clipped(low: float, width: float) -> None:
    stretch = Stretch((low,), (low + width,))
    pixels = np.array([low - width, low, low + width, low + 3 * width])
    assert stretch.apply(pixels[None, None])[0, 0, [0, 3]].tolist() == [0, 255]


def test_percentiles_are_taken_per_band() -> None:
    """A4: 2 and 98 percent."""
    ramp = np.arange(10_001.0)
    stretch = scene_stretch([ramp, ramp * 2, ramp + 50], "uint16")
    assert stretch.low == pytest.approx((200, 400, 250))
    assert stretch.high == pytest.approx((9800, 19_600, 9850))


def test_tiny_reflectances_fill_the_range() -> None:
    """A5: 0.01 to 0.15 is a picture, not black."""
    values = np.linspace(0.01, 0.15, 1000)
    result = scene_stretch([values], "float32").apply(values.astype(np.float32)[None, None])
    assert (result.min(), result.max()) == (0, 255)
    assert 120 < np.median(result) < 135


def test_a_constant_band_is_middle_grey() -> None:
    stretch = scene_stretch([np.full(9, 4000.0)], "uint16")
    assert stretch.apply(np.full((1, 1, 2), 4000, np.uint16)).tolist() == [[[128, 128]]]


def test_a_few_bright_pixels_on_black_are_stretched_over_their_extremes() -> None:
    stretch = scene_stretch([np.array([0.0] * 99 + [7000.0])], "uint16")
    assert (stretch.low, stretch.high) == ((0,), (7000,))


def test_no_observed_pixel_gives_a_stretch_all_the_same() -> None:
    """A14."""
    assert scene_stretch([np.zeros(0)] * 3, "uint16").high == (255, 255, 255)


def test_an_inverted_stretch_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="not below"):
        Stretch((1.0,), (1.0,))


def test_a_value_far_below_the_others_is_black_without_a_warning() -> None:
    """Such as -3.4e38, a nodata value that was not declared."""
    pixels = np.array([[[np.finfo(np.float32).min, 0.0, 0.25]]], np.float32)
    assert Stretch((0.0,), (0.25,)).apply(pixels).tolist() == [[[0, 0, 255]]]
