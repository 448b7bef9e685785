"""Shifts between dates are measured to a fraction of a pixel, and said to be unsure where they are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage

from tests.tiling.rasters import texture
from tiling.register import Reader, estimate_shift


def reader(image: NDArray[np.float32], observed: NDArray[np.bool_] | None = None) -> Reader:
    """A reader over arrays."""
    seen = np.ones(image.shape, bool) if observed is None else observed

    def read(window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        cut = window.toslices()
        return image[cut], seen[cut]

    return read


def shifted_pair(dx: float, dy: float, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A ground and itself moved right by dx and down by dy, in other light and with noise."""
    rng = np.random.default_rng(3)
    ground = texture(shape[0] + 120, shape[1] + 120)[0].astype(np.float32)
    moved = ndimage.shift(ground, (dy, dx), order=3, mode="nearest")
    cut = np.s_[60:-60, 60:-60]
    noisy = 0.6 * moved[cut] + 40 + rng.normal(0, 3, shape)
    return ground[cut], noisy.astype(np.float32)


@pytest.mark.parametrize("shape", [(256, 256), (600, 700), (300, 1100), (64, 90)])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, -0.5), (3.0, 1.3)])
def test_small_shifts_are_measured_within_a_fifth_of_a_pixel_in_every_window(
    shape: tuple[int, int], shift: tuple[float, float]
) -> None:
    """A20: 0.5 and 3 px."""
    first, second = shifted_pair(*shift, shape)
    measured = estimate_shift(reader(first), reader(second), shape)
    assert measured is not None
    assert (measured.dx_px, measured.dy_px) == pytest.approx(shift, abs=0.2)
    assert measured.reliability > 0.6
    for window in measured.windows:
        assert (window.dx_px, window.dy_px) == pytest.approx(shift, abs=0.2)


def test_a_shift_of_forty_pixels_is_measured() -> None:
    """A20: what cannot be corrected is still known."""
    first, second = shifted_pair(40, -12, (600, 700))
    measured = estimate_shift(reader(first), reader(second), (600, 700))
    assert measured is not None
    assert (measured.dx_px, measured.dy_px) == pytest.approx((40, -12), abs=0.2)
    assert measured.reliability > 0.4


def test_different_grounds_are_not_trusted() -> None:
    first, second = texture(512, 512, 1)[0].astype(np.float32), texture(512, 512, 2)[0].astype(np.float32)
    measured = estimate_shift(reader(first), reader(second), (512, 512))
    assert measured is not None
    assert measured.reliability < 0.4


def test_a_hole_is_not_taken_for_content() -> None:
    """The edge of a fixed hole does not pull the estimate to zero."""
    first, second = shifted_pair(3, 2, (300, 300))
    observed = np.ones((300, 300), bool)
    observed[:, :110] = False
    second[~observed] = 0
    measured = estimate_shift(reader(first), reader(second, observed), (300, 300))
    assert measured is not None
    assert (measured.dx_px, measured.dy_px) == pytest.approx((3, 2), abs=0.3)


@pytest.mark.parametrize("shape", [(1, 1), (40, 500)])
def test_too_small_a_ground_gives_no_estimate(shape: tuple[int, int]) -> None:
    image = np.zeros(shape, np.float32)
    assert estimate_shift(reader(image), reader(image), shape) is None


def test_a_flat_or_unobserved_ground_gives_no_estimate() -> None:
    flat, ground = np.full((256, 256), 9, np.float32), texture(256, 256)[0].astype(np.float32)
    nothing = np.zeros((256, 256), bool)
    assert estimate_shift(reader(flat), reader(ground), (256, 256)) is None
    assert estimate_shift(reader(ground, nothing), reader(ground), (256, 256)) is None
