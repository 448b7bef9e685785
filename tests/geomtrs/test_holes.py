"""Small holes filled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
from numpy.typing import NDArray

from geomtrs.outputs.holes import fill_holes


def filled(limit: float, *shapes: shapely.Polygon) -> tuple[NDArray[np.object_], pd.DataFrame, int]:
    """Holes of planar size below the limit filled; probabilities 0.5, 0.6, … and weights of the areas."""
    geometry = np.array(shapes, object)
    probability = 0.5 + np.arange(len(shapes)) / 10
    statistics = pd.DataFrame(
        {
            "prob_mean": probability,
            "prob_max": probability,
            "exist_p": probability,
            "edge": np.arange(len(shapes)) == len(shapes) - 1,
            "weight": shapely.area(geometry),
        }
    )
    return fill_holes(geometry, statistics, limit, shapely.area)


def ring(outer: float, inner: float) -> shapely.Polygon:
    """A square with a square hole, both about the origin; half sides."""
    return shapely.box(-outer, -outer, outer, outer) - shapely.box(-inner, -inner, inner, inner)


def test_only_holes_below_the_limit_are_filled() -> None:
    both = shapely.box(0, 0, 10, 10) - shapely.box(1, 1, 2, 2) - shapely.box(4, 4, 8, 8)
    geometry, _, count = filled(16, both)
    assert count == 1
    assert shapely.area(geometry).tolist() == [84]


def test_a_polygon_in_a_filled_hole_becomes_part_of_the_one_around_it() -> None:
    geometry, statistics, _ = filled(50, ring(5, 3), shapely.box(-1, -1, 1, 1))
    assert shapely.area(geometry).tolist() == [100]
    assert statistics["prob_max"].tolist() == [0.6]
    assert statistics["edge"].tolist() == [True]
    assert statistics["prob_mean"].tolist() == [pytest.approx((0.5 * 64 + 0.6 * 4) / 68)]


def test_polygons_in_holes_in_holes_all_go_to_the_outermost() -> None:
    geometry, statistics, _ = filled(1e9, shapely.box(-1, -1, 1, 1), ring(4, 2), ring(9, 6))
    assert shapely.area(geometry).tolist() == [324]
    assert len(statistics) == 1


def test_a_hole_above_the_limit_keeps_what_lies_in_it() -> None:
    geometry, _, count = filled(1, ring(5, 3), shapely.box(-1, -1, 1, 1))
    assert count == 0
    assert len(geometry) == 2


def test_no_polygons_have_no_holes() -> None:
    geometry, statistics, count = filled(5)
    assert (len(geometry), len(statistics), count) == (0, 0, 0)
