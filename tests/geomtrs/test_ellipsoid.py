"""Areas and perimeters on the ellipsoid, against pyproj's geodesic ones."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
import shapely.affinity
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from geomtrs.outputs.ellipsoid import measure

GEOD = pyproj.Geod(ellps="WGS84")


def grid(crs: str | None) -> GeoBox:
    """A grid in a CRS; where it lies does not matter here."""
    return GeoBox((10, 10), Affine.identity(), crs)


@given(lon=st.floats(-179, 178), lat=st.floats(-89, 88), wide=st.floats(1e-4, 1), tall=st.floats(1e-4, 1))
def test_a_box_in_degrees_has_its_geodesic_area_anywhere_a6(lon: float, lat: float, wide: float, tall: float) -> None:
    box = shapely.box(lon, lat, lon + wide, lat + tall)
    area, perimeter = measure(np.array([box], object), grid("EPSG:4326"))
    geodesic = GEOD.geometry_area_perimeter(shapely.segmentize(box, 0.005))
    assert area[0] == pytest.approx(abs(geodesic[0]), rel=1e-6)
    assert perimeter[0] == pytest.approx(geodesic[1], rel=1e-6)


def test_a_polygon_across_180_degrees_has_its_area_a18() -> None:
    box = np.array([shapely.box(-5_000, -5_000, 5_000, 5_000)], object)
    assert measure(box, grid("+proj=laea +lat_0=-17 +lon_0=180"))[0][0] == pytest.approx(1e8, rel=1e-6)


def test_a_polygon_around_the_pole_has_its_area_less_that_of_its_hole() -> None:
    disc, hole = shapely.Point(0, 0).buffer(50_000), shapely.Point(20_000, 0).buffer(10_000)
    crs = "+proj=laea +lat_0=90 +lon_0=0"  # keeps areas
    area = measure(np.array([disc - hole, disc, hole], object), grid(crs))[0]
    assert area == pytest.approx([disc.area - hole.area, disc.area, hole.area], rel=1e-6)


def test_the_length_of_a_hole_counts() -> None:
    ring = shapely.box(0, 0, 300, 300) - shapely.box(100, 100, 200, 200)
    utm = shapely.affinity.translate(ring, 500_000)
    perimeter = measure(np.array([utm], object), grid("EPSG:32633"))[1]
    assert perimeter[0] == pytest.approx(1_600, rel=1e-3)


def test_one_polygon_does_not_change_the_measure_of_another() -> None:
    near, far = shapely.box(10, 60, 10.1, 60.1), shapely.box(-170, -40, -169, -39)
    together = measure(np.array([near, far], object), grid("EPSG:4326"))
    apart = [measure(np.array([one], object), grid("EPSG:4326")) for one in (near, far)]
    assert np.array_equal(together, np.concatenate(apart, axis=1))


def test_without_a_crs_there_are_no_square_metres() -> None:
    area, perimeter = measure(np.array([shapely.box(0, 0, 3, 1)], object), grid(None))
    assert np.isnan(area).all()
    assert perimeter.tolist() == [8]


def test_no_polygons_have_no_measures() -> None:
    assert [len(part) for part in measure(np.zeros(0, object), grid("EPSG:4326"))] == [0, 0]
