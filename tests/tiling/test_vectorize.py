"""Polygons of a mask that arrives in windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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


masks = hnp.arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)))


@given(mask=masks, side=st.integers(1, 20))
def test_polygons_of_windows_equal_those_of_the_whole_mask_c6(mask: NDArray[np.bool_], side: int) -> None:
    probability = np.where(mask, 250, 0).astype(np.uint8)
    ours = found(probability, side)
    whole = [
        shapely.make_valid(shapely.geometry.shape(s), method="structure", keep_collapsed=False)
        for s, _ in rasterio.features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=grid(mask.shape).affine)
    ]
    assert len(ours) == len(whole)
    theirs = set(shapely.to_wkb(shapely.normalize(whole)).tolist()) if whole else set()
    assert set(shapely.to_wkb(shapely.normalize(ours.geometry)).tolist()) == theirs


@given(mask=masks, side=st.integers(1, 20))
def test_areas_are_pixel_counts_and_every_polygon_is_valid_c7_d10(mask: NDArray[np.bool_], side: int) -> None:
    ours = found(np.where(mask, 200, 0).astype(np.uint8), side)
    assert ours.area_px.sum() == mask.sum()
    assert np.allclose(shapely.area(ours.geometry), ours.area_px * 100.0)
    assert shapely.is_valid(ours.geometry).all()


@given(mask=masks, side=st.integers(1, 20))
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


def test_existence_is_the_largest_of_the_tiles_it_lies_in() -> None:
    probability = np.full((4, 8), 250, np.uint8)
    tiles = ((Window(0, 0, 4, 4), 0.25), (Window(4, 0, 4, 4), 0.75))
    part = Part(Window(0, 0, 8, 4), probability, tiles)
    assert polygons([part], grid((4, 8)), threshold=125).exist_p.tolist() == [0.75]


def test_an_empty_mask_gives_an_empty_table_d9() -> None:
    ours = found(np.zeros((5, 5), np.uint8))
    assert len(ours) == 0
    assert ours.area_px.dtype == np.int64


def test_a_south_up_and_a_rotated_grid_keep_their_place_a13() -> None:
    probability = np.zeros((6, 6), np.uint8)
    probability[1, 2] = 250
    for affine in (Affine(10, 0, 100, 0, 10, 200), Affine.translation(100, 200) @ Affine.rotation(30) @ Affine.scale(10, -10)):
        ours = polygons(cut(probability, 2), grid((6, 6), affine), threshold=125)
        assert shapely.contains_xy(ours.geometry[0], *(affine @ (2.5, 1.5)))
        assert np.isclose(shapely.area(ours.geometry[0]), 100)
