"""Polygons of a mask that arrives in windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from tiling.vectorize import Polygons, polygons

UTM = "EPSG:32633"


@dataclass(frozen=True)
class Part:
    """One answered window."""

    window: Window
    probability: NDArray[np.uint8]
    tiles: tuple[tuple[Window, float], ...] = ()


def cut(probability: NDArray[np.uint8], side: int, existence: float = 1.0) -> list[Part]:
    """Windows of at most `side` pixels that partition the array; one tile a window."""
    height, width = probability.shape
    parts = []
    for row in range(0, height, side):
        for column in range(0, width, side):
            piece = probability[row : row + side, column : column + side]
            window = Window(column, row, piece.shape[1], piece.shape[0])
            parts.append(Part(window, piece, ((window, existence),)))
    return parts


def grid(shape: tuple[int, int], affine: Affine | None = None) -> GeoBox:
    """A 10 m grid with an origin off the round numbers."""
    return GeoBox(shape, affine or Affine(10, 0, 500_003, 0, -10, 5_200_007), UTM)


def found(probability: NDArray[np.uint8], side: int = 1000) -> Polygons:
    """Polygons of the array, cut into windows."""
    return polygons(cut(probability, side), grid(probability.shape), threshold=125)


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Drawn pixel by pixel, or noise of any density: that has the holes, pinches and saddles of a real answer."""
    shape = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    if draw(st.booleans()):
        return draw(hnp.arrays(bool, shape))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return generator.random(shape) < draw(st.floats(0.2, 0.9))


def whole_mask(mask: NDArray[np.bool_]) -> set[bytes]:
    """GDAL's polygons of a mask, made valid and normalised."""
    shapes = rasterio.features.shapes(
        mask.astype(np.uint8), mask=mask, connectivity=4, transform=grid(mask.shape).affine
    )
    geometry = np.array([shapely.geometry.shape(one) for one, _ in shapes], object)
    valid = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
    return set(shapely.to_wkb(shapely.normalize(valid)).tolist())


def exactly(polygons: NDArray[np.object_]) -> set[bytes]:
    """The same of ours."""
    return set(shapely.to_wkb(shapely.normalize(polygons)).tolist())


@given(mask=masks(), side=st.integers(1, 20))
def test_polygons_of_windows_equal_those_of_the_whole_mask_c6(mask: NDArray[np.bool_], side: int) -> None:
    probability = np.where(mask, 250, 0).astype(np.uint8)
    ours = found(probability, side)
    assert exactly(ours.geometry) == whole_mask(mask)
    assert len(ours) == len(whole_mask(mask))


@pytest.mark.parametrize("density", [0.4, 0.6, 0.9])
def test_dense_noise_over_many_windows_equals_the_whole_mask_c6(density: float) -> None:
    mask = np.random.default_rng(5).random((300, 211)) < density
    ours = found(np.where(mask, 250, 0).astype(np.uint8), 64)
    assert shapely.is_valid(ours.geometry).all()
    assert exactly(ours.geometry) == whole_mask(mask)


def test_the_order_of_windows_changes_nothing_c6() -> None:
    mask = np.random.default_rng(6).random((40, 50)) < 0.6
    probability = np.where(mask, 250, 0).astype(np.uint8)
    parts = cut(probability, 9)
    backwards = polygons(parts[::-1], grid(mask.shape), threshold=125)
    forwards = polygons(parts, grid(mask.shape), threshold=125)
    assert shapely.equals_identical(backwards.geometry, forwards.geometry).all()
    assert np.array_equal(backwards.area_px, forwards.area_px)


@given(mask=masks(), side=st.integers(1, 20))
def test_areas_are_pixel_counts_and_every_polygon_is_valid_c7_d10(mask: NDArray[np.bool_], side: int) -> None:
    ours = found(np.where(mask, 200, 0).astype(np.uint8), side)
    assert ours.area_px.sum() == mask.sum()
    assert np.allclose(shapely.area(ours.geometry), ours.area_px * 100.0)
    assert shapely.is_valid(ours.geometry).all()


@given(mask=masks(), side=st.integers(1, 20))
def test_the_windows_change_neither_order_nor_attributes(mask: NDArray[np.bool_], side: int) -> None:
    ramp = np.arange(mask.size).reshape(mask.shape) % 100 + 130
    probability = np.where(mask, ramp, 0).astype(np.uint8)
    ours, whole = found(probability, side), found(probability)
    assert np.array_equal(ours.area_px, whole.area_px)
    assert np.allclose(ours.prob_mean, whole.prob_mean)
    assert np.array_equal(ours.prob_max, whole.prob_max)


def test_a_change_over_four_corners_is_one_polygon_c15() -> None:
    probability = np.zeros((40, 40), np.uint8)
    probability[15:25, 15:25] = 250
    ours = found(probability, 20)
    assert len(ours) == 1
    assert shapely.get_num_coordinates(ours.geometry[0]) == 5


def test_a_hole_is_kept() -> None:
    probability = np.full((30, 30), 250, np.uint8)
    probability[10:20, 10:20] = 0
    ours = found(probability, 7)
    assert len(ours) == 1
    assert shapely.get_num_interior_rings(ours.geometry[0]) == 1


def test_diagonal_neighbours_are_two_polygons() -> None:
    assert len(found(np.where(np.eye(2, dtype=bool), 250, 0).astype(np.uint8), 1)) == 2


def test_the_threshold_is_on_the_stored_value_and_unobserved_is_out() -> None:
    probability = np.array([[124, 125, 250, 255]], np.uint8)
    assert found(probability).area_px.tolist() == [2]


@given(side=st.integers(1, 12))
def test_a_polygon_beside_unobserved_ground_says_so_in_any_windows(side: int) -> None:
    probability = np.zeros((12, 12), np.uint8)
    probability[2:4, 2:4] = 250
    probability[8:10, 5:8] = 250
    probability[8:10, 8:] = 255
    assert found(probability, side).edge.tolist() == [False, True]


def test_a_window_that_is_missing_was_not_observed() -> None:
    probability = np.zeros((8, 8), np.uint8)
    probability[1, 3] = probability[6, 1] = 250
    parts = [part for part in cut(probability, 4) if (part.window.row_off, part.window.col_off) != (0, 4)]
    assert polygons(parts, grid((8, 8)), threshold=125).edge.tolist() == [True, False]


def test_the_border_of_the_grid_is_not_unobserved_ground() -> None:
    assert found(np.full((3, 5), 250, np.uint8), 2).edge.tolist() == [False]


def test_a_hole_that_touches_the_outside_at_a_corner_stays_a_hole() -> None:
    probability = np.full((4, 4), 250, np.uint8)
    probability[0, 0] = probability[1, 1] = 0
    ours = found(probability, 3)
    assert shapely.is_valid(ours.geometry).all()
    assert shapely.get_num_interior_rings(ours.geometry).tolist() == [1]


def test_existence_is_the_largest_of_the_tiles_it_lies_in() -> None:
    probability = np.full((4, 8), 250, np.uint8)
    tiles = ((Window(0, 0, 4, 4), 0.25), (Window(4, 0, 4, 4), 0.75))
    part = Part(Window(0, 0, 8, 4), probability, tiles)
    assert polygons([part], grid((4, 8)), threshold=125).exist_p.tolist() == [0.75]


def test_a_threshold_beyond_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 250"):
        polygons([], grid((2, 2)), threshold=255)


def test_an_empty_mask_gives_an_empty_table_d9() -> None:
    ours = found(np.zeros((5, 5), np.uint8))
    assert len(ours) == 0
    assert ours.area_px.dtype == np.int64


def test_a_south_up_and_a_rotated_grid_keep_their_place_a13() -> None:
    probability = np.zeros((6, 6), np.uint8)
    probability[1, 2] = 250
    for affine in (
        Affine(10, 0, 100, 0, 10, 200),
        Affine.translation(100, 200) @ Affine.rotation(30) @ Affine.scale(10, -10),
    ):
        ours = polygons(cut(probability, 2), grid((6, 6), affine), threshold=125)
        assert shapely.contains_xy(ours.geometry[0], *(affine @ (2.5, 1.5)))
        assert np.isclose(shapely.area(ours.geometry[0]), 100)
