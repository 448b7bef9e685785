"""Outlines made simpler: edges that neighbours share stay shared, right angles are right on the ground (D14)."""

from __future__ import annotations

import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

import geomtrs
from geomtrs.cli import main
from geomtrs.errors import MissingExtra
from geomtrs.outputs.shape import Shaping, moved, shaped
from geomtrs.outputs.verify import verify
from tests.geomtrs.conftest import ask, read
from tiling.grid import ground_resolution_m

UTM = GeoBox((60, 80), Affine(2, 0, 500_003.5, 0, -2, 5_100_007.25), "EPSG:32633")
DEGREES = GeoBox((120, 160), Affine(1e-5, 0, 11, 0, -1e-5, 60), "EPSG:4326")  # pixels twice as high as wide


def polygons_of(mask: NDArray[np.bool_], geobox: GeoBox) -> NDArray[np.object_]:
    """Polygons of a mask as a run makes them: connected by edges, not by corners."""
    found = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=geobox.affine)
    return np.array([shapely.geometry.shape(polygon) for polygon, _ in found])


def turned(width: float, height: float, degrees: float, geobox: GeoBox) -> NDArray[np.object_]:
    """A rectangle on the ground (metres) around the grid's middle, as pixels hold it."""
    x, y = ground_resolution_m(geobox)
    box = shapely.affinity.rotate(shapely.box(-width / 2, -height / 2, width / 2, height / 2), degrees)
    rows, columns = geobox.shape
    lattice = moved(np.array([box]), Affine.translation(columns / 2, rows / 2) @ Affine.scale(1 / x, 1 / y))
    return polygons_of(rasterio.features.rasterize(lattice, geobox.shape) > 0, geobox)


def corners_of(polygon: shapely.Polygon, geobox: GeoBox) -> NDArray[np.float64]:
    """Angles at the corners of the outer ring, degrees on the ground."""
    x, y = ground_resolution_m(geobox)
    (ground,) = moved(np.array([polygon]), Affine.scale(x, y) @ ~geobox.affine)
    corners = shapely.get_coordinates(ground.exterior)[:-1]
    ahead, behind = np.roll(corners, -1, 0) - corners, np.roll(corners, 1, 0) - corners
    cosine = (ahead * behind).sum(1) / (np.hypot(*ahead.T) * np.hypot(*behind.T))
    angles: NDArray[np.float64] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return angles


@given(seed=st.integers(0, 10_000), share=st.floats(0.2, 0.8), metres=st.floats(0.5, 12))
@settings(max_examples=60, deadline=None)
def test_d14_simplified_neighbours_still_share_corners_and_none_is_lost(seed: int, share: float, metres: float) -> None:
    mask = np.random.default_rng(seed).random((30, 40)) < share
    whole = polygons_of(mask, UTM)
    simple, _ = shaped(whole, UTM, Shaping(simplify_m=metres))
    assert len(simple) == len(whole)
    assert shapely.is_valid(simple).all()
    assert not shapely.is_empty(simple).any()
    assert shapely.coverage_is_valid(simple)
    assert shapely.get_num_coordinates(simple).sum() <= shapely.get_num_coordinates(whole).sum()


def test_d14_a_larger_tolerance_leaves_fewer_corners_and_nearly_the_area() -> None:
    rows, columns = np.indices(UTM.shape)
    disc = polygons_of((rows - 30) ** 2 + (columns - 40) ** 2 < 400, UTM)
    corners = []
    for metres in (2.0, 4.0, 8.0):
        (simple,) = shaped(disc, UTM, Shaping(simplify_m=metres))[0]
        assert simple.area == pytest.approx(disc[0].area, rel=0.03)
        corners.append(len(simple.exterior.coords))
    assert corners == sorted(corners, reverse=True)
    assert corners[-1] < len(disc[0].exterior.coords) / 3


@pytest.mark.parametrize("geobox", [UTM, DEGREES], ids=["metres", "degrees"])
@pytest.mark.parametrize("angle", [0, 20, 33])
def test_d14_a_turned_roof_gets_right_angles_on_the_ground(geobox: GeoBox, angle: float) -> None:
    roof = turned(50, 26, angle, geobox)
    (made,), _ = shaped(roof, geobox, Shaping(regularize=True))
    assert np.abs(corners_of(made, geobox) - 90).max() < 1.5
    assert len(made.exterior.coords) <= min(len(roof[0].exterior.coords), 21)
    assert made.intersection(roof[0]).area / made.union(roof[0]).area > 0.9


def test_d14_regularized_outlines_lie_over_no_neighbour_and_those_that_would_stay() -> None:
    mask = np.random.default_rng(7).random((40, 50)) < 0.55
    whole = polygons_of(mask, UTM)
    made, notes = shaped(whole, UTM, Shaping(regularize=True))
    assert shapely.is_valid(made).all()
    tree = shapely.STRtree(made)
    first, second = tree.query(made, predicate="intersects")
    pairs = first < second
    assert shapely.area(shapely.intersection(made[first[pairs]], made[second[pairs]])).max() < 1e-9
    assert "outlines stay" in notes[0]


def test_d14_the_mask_stays_and_the_drift_is_told(pair: tuple[str, str], tmp_path: Path) -> None:
    plain = ask(*pair, query="the roofs that appeared", out=tmp_path / "plain")
    simple = ask(*pair, query="the roofs that appeared", out=tmp_path / "simple", simplify_m=6, min_area_m2=100)
    assert np.array_equal(read(plain.folder / "mask.tif"), read(simple.folder / "mask.tif"))
    assert len(simple.polygons) == len(plain.polygons) > 0
    assert simple.polygons.get_coordinates().shape[0] < plain.polygons.get_coordinates().shape[0]
    assert any("made simpler" in note and "%" in note for note in simple.run["warnings"])
    drift = simple.polygons["area_m2"].sum() / plain.polygons["area_m2"].sum() - 1
    assert f"({drift:+.2%})" in " ".join(simple.run["warnings"])
    assert verify(simple.folder) == []


def test_d14_limits_of_area_leave_polygons_out_and_the_mask_as_it_is(pair: tuple[str, str], tmp_path: Path) -> None:
    query = ["the roofs that appeared", "whatever changed"]
    plain = ask(*pair, query=query, out=tmp_path / "plain")
    limited = ask(*pair, query=query, out=tmp_path / "limited", min_area_m2=3000, max_area_m2=10_000)
    assert sorted(plain.polygons["area_m2"] > 3000) == [False, True, True]
    assert (limited.polygons["area_m2"] > 3000).all()
    assert len(limited.polygons) == 2
    for mask in sorted(plain.folder.glob("mask_*.tif")):
        assert np.array_equal(read(limited.folder / mask.name), read(mask))


def test_f6_simplified_outlines_are_the_same_from_command_python_and_batch(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-q", "the roofs that appeared", "--model", "differencing", "--simplify", "5", "--regularize"]
    with pytest.raises(SystemExit) as ended:
        main(["detect", *pair, *words, "-o", str(tmp_path / "a")])
    assert ended.value.code == 0
    assert "made simpler" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(Path(pair[0]).parent), *words, "-o", str(tmp_path / "b")])
    assert ended.value.code == 0
    python = geomtrs.detect(
        *pair, query=words[1], out=tmp_path / "c", model="differencing", simplify_m=5, regularize=True
    )
    (scene,) = (path.parent for path in (tmp_path / "b").glob("*/run.json"))
    for folder in (tmp_path / "a", scene):
        found = geopandas.read_file(folder / "changes.gpkg", layer="changes")
        assert found.geometry.geom_equals_exact(python.polygons.geometry, 0).all()


def test_regularizing_without_its_library_is_refused_before_anything_is_read(
    pair: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "buildingregulariser", None)
    with pytest.raises(MissingExtra, match=r"pip install 'geomtrs\[shapes\]'"):
        ask(*pair, query="the roofs that appeared", out=tmp_path / "out", regularize=True)
    assert not (tmp_path / "out").exists()
