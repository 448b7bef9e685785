"""Rings from the lattice points at which outlines turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from tiling.rings import Corners, corners, outlines


def of(labels: list[list[int]]) -> Corners:
    """Turning points of labels that begin at the lattice's origin, regions numbered from 0."""
    points = corners(np.pad(np.array(labels), 1), -1, -1)
    return replace(points, piece=points.piece - 1, other=points.other - 1)


def rings(labels: list[list[int]]) -> NDArray[np.object_]:
    """One polygon a label."""
    return outlines(of(labels), int(np.max(labels)))


def test_a_pixel_has_four_corners_and_is_a_unit_square() -> None:
    assert rings([[0, 0], [0, 1]])[0].equals_exact(shapely.normalize(shapely.box(1, 1, 2, 2)), 0, normalize=True)


def test_a_straight_run_leaves_no_vertex() -> None:
    assert shapely.get_num_coordinates(rings([[1, 1, 1, 1]])[0]) == 5


def test_two_regions_that_touch_at_a_point_keep_their_own_outlines() -> None:
    assert shapely.area(rings([[1, 0], [0, 2]])).tolist() == [1.0, 1.0]


def test_a_region_that_meets_itself_at_a_point_has_a_hole_there() -> None:
    ring = rings([[1, 1, 1], [1, 0, 1], [1, 1, 0]])[0]
    assert ring.is_valid
    assert len(ring.interiors) == 1


def test_the_order_of_the_points_does_not_matter() -> None:
    points = of([[1, 1, 0, 2], [1, 0, 2, 2], [1, 1, 0, 2]])
    shuffled = np.random.default_rng(0).permutation(len(points.x))
    again = outlines(points.at(shuffled), 2)
    assert shapely.equals_exact(shapely.normalize(again), shapely.normalize(outlines(points, 2)), 0).all()
