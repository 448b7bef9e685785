"""Rasters of an answer hold what was answered, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from geomtrs.outputs.raster import (
    AnswerRasters,
    CoverageTotal,
    coverage_codes,
    stem,
    stored_threshold,
    write_answer,
    write_coverage,
)
from tests.geomtrs.answered import GEOBOX, SENTENCE, SHAPE, THRESHOLD, KnownAnswer, known_answer, stored
from tiling.ground import apply_affine
from tiling.stack import OBSERVED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rasters of été")


@pytest.fixture(scope="module")
def rasters(folder: Path) -> AnswerRasters:
    store, work = stored(folder / "blocks", known_answer())
    return write_answer(folder, store=store, plan=work, query=0, sentence=SENTENCE, threshold=THRESHOLD)


@pytest.fixture(scope="module")
def totals(folder: Path) -> tuple[CoverageTotal, ...]:
    store, work = stored(folder / "blocks-of-coverage", known_answer())
    return write_coverage(folder / "coverage.tif", store=store, plan=work, dates=2)


def test_d1_all_rasters_are_valid_cogs(folder: Path, rasters: AnswerRasters, totals: tuple[CoverageTotal, ...]) -> None:
    assert totals
    for path in (rasters.mask, rasters.probability, folder / "coverage.tif"):
        valid, errors, _ = cog_validate(path, quiet=True)
        assert valid, errors


def test_the_probability_raster_holds_the_stored_answer(rasters: AnswerRasters) -> None:
    with rasterio.open(rasters.probability) as raster:
        assert np.array_equal(raster.read(1), known_answer().probability)


def test_gdal_reads_the_probability_as_0_to_1(rasters: AnswerRasters) -> None:
    with rasterio.open(rasters.probability) as raster:
        assert raster.scales == (0.004,)
        assert raster.nodata == 255


def test_d2_the_mask_holds_0_1_and_255_alone_and_255_is_its_nodata(rasters: AnswerRasters) -> None:
    with rasterio.open(rasters.mask) as raster:
        assert set(np.unique(raster.read(1))) == {0, 1, 255}
        assert raster.nodata == 255


def test_the_mask_is_one_from_the_threshold_on(rasters: AnswerRasters) -> None:
    probability = known_answer().probability
    with rasterio.open(rasters.mask) as raster:
        assert np.array_equal(raster.read(1) == 1, (probability >= THRESHOLD) & (probability != 255))


def test_unobserved_ground_is_255_never_0(rasters: AnswerRasters) -> None:
    with rasterio.open(rasters.mask) as raster:
        assert np.array_equal(raster.read(1) == 255, known_answer().coverage != OBSERVED)


def test_d2_overviews_of_the_mask_hold_no_invented_value(tmp_path: Path) -> None:
    shape = (700, 1100)
    geobox = GeoBox(shape, GEOBOX.affine, GEOBOX.crs)
    noise = np.random.default_rng(0).integers(0, 251, shape, dtype=np.uint8)
    store, work = stored(tmp_path / "blocks", KnownAnswer(noise, np.full(shape, OBSERVED, np.uint8)), geobox)
    mask = write_answer(tmp_path, store=store, plan=work, query=0, sentence="s", threshold=THRESHOLD).mask
    with rasterio.open(mask) as raster:
        assert raster.overviews(1)
        for level in range(len(raster.overviews(1))):
            with rasterio.open(mask, overview_level=level) as overview:
                assert set(np.unique(overview.read(1))) <= {0, 1}


def test_overviews_are_the_mode_of_the_mask_and_the_mean_of_the_probability(tmp_path: Path) -> None:
    shape = (700, 1100)
    squares = np.tile(np.array([[240, 240], [240, 20]], np.uint8), (shape[0] // 2, shape[1] // 2))
    geobox = GeoBox(shape, GEOBOX.affine, GEOBOX.crs)
    store, work = stored(tmp_path / "blocks", KnownAnswer(squares, np.full(shape, OBSERVED, np.uint8)), geobox)
    made = write_answer(tmp_path, store=store, plan=work, query=0, sentence="s", threshold=THRESHOLD)
    for path, wanted in ((made.mask, 1), (made.probability, (3 * 240 + 20) // 4)):
        with rasterio.open(path, overview_level=0) as overview:
            assert overview.shape == (350, 550)
            assert (overview.read(1) == wanted).all()


def test_b5_the_sentence_is_the_description_of_mask_and_probability(rasters: AnswerRasters) -> None:
    for path in (rasters.mask, rasters.probability):
        with rasterio.open(path) as raster:
            assert raster.descriptions == (SENTENCE,)
            assert raster.tags()["GEOMTRS_QUERY"] == SENTENCE


def test_the_grid_is_that_of_the_plan_bit_by_bit(rasters: AnswerRasters) -> None:
    with rasterio.open(rasters.mask) as raster:
        assert raster.transform == GEOBOX.affine
        assert raster.shape == SHAPE
        assert raster.crs.to_epsg() == 32633


def test_the_mask_shows_its_colours_without_a_sidecar(rasters: AnswerRasters) -> None:
    with rasterio.open(rasters.mask) as raster:
        colours = raster.colormap(1)
    assert colours[1][:3] == (230, 0, 110)


def test_qgis_styles_lie_beside_the_rasters(rasters: AnswerRasters) -> None:
    assert [path.name for path in rasters.styles] == ["mask.qml", "probability.qml"]
    assert all(path.read_text(encoding="utf-8").startswith("<!DOCTYPE qgis") for path in rasters.styles)


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    """E2"""
    store, work = stored(tmp_path / "blocks", known_answer())
    out = tmp_path / "out"
    out.mkdir()
    write_answer(out, store=store, plan=work, query=0, sentence="s", threshold=1, slug="new-roads", span="2019-2023")
    kinds = ("mask", "probability")
    wanted = {f"{kind}_new-roads_2019-2023.{suffix}" for kind in kinds for suffix in ("tif", "qml")}
    assert {path.name for path in out.iterdir()} == wanted


def test_coverage_says_why_a_pixel_was_not_looked_at(folder: Path, totals: tuple[CoverageTotal, ...]) -> None:
    assert totals
    with rasterio.open(folder / "coverage.tif") as raster:
        assert np.array_equal(raster.read(1), known_answer().coverage)
        assert raster.nodata is None


def test_coverage_totals_count_every_pixel_once(totals: tuple[CoverageTotal, ...]) -> None:
    coverage = known_answer().coverage
    assert {total.code: total.pixels for total in totals} == {
        int(code): int(count) for code, count in zip(*np.unique(coverage, return_counts=True), strict=True)
    }


def test_a21_a_cloud_is_told_from_a_hole(totals: tuple[CoverageTotal, ...]) -> None:
    assert [total.meaning for total in totals] == ["observed", "cloud by the mask given", "no data at date 2"]


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 6_660_000)),
        ("EPSG:4326", Affine(0.01, 0, 10, 0, -0.02, 65)),
        ("EPSG:32633", Affine(43.3, -25, 500_000, 25, 43.3, 6_660_000)),
    ],
    ids=["utm", "degrees over two of latitude", "rotated and south-up"],
)
def test_ground_by_coverage_is_its_area_on_the_ellipsoid(tmp_path: Path, crs: str, affine: Affine) -> None:
    """A6: the northern half of a grid in degrees is smaller than the southern one."""
    geobox = GeoBox((100, 60), affine, crs)
    coverage = np.full((100, 60), OBSERVED, np.uint8)
    coverage[:50] = 10
    probability = np.where(coverage == OBSERVED, 0, 255).astype(np.uint8)
    store, work = stored(tmp_path / "blocks", KnownAnswer(probability, coverage), geobox)
    totals = write_coverage(tmp_path / "coverage.tif", store=store, plan=work, dates=1)
    corners = np.array([(0, 50), (60, 50), (60, 100), (0, 100)])
    ring = np.concatenate([np.linspace(a, b, 50) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    x, y = apply_affine(affine, *ring.T)
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    wanted = abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0])
    assert totals[0].area_m2 == pytest.approx(wanted, rel=1e-4)


def test_a_plain_picture_has_pixels_but_no_area(tmp_path: Path) -> None:
    geobox = GeoBox((20, 30), Affine.identity(), None)
    answer = KnownAnswer(np.zeros((20, 30), np.uint8), np.full((20, 30), OBSERVED, np.uint8))
    store, work = stored(tmp_path / "blocks", answer, geobox)
    (total,) = write_coverage(tmp_path / "coverage.tif", store=store, plan=work, dates=2)
    assert (total.pixels, total.area_m2) == (600, None)


@pytest.mark.parametrize("shape", [(1, 1), (1, 130), (130, 1)])
def test_a12_rasters_of_one_pixel_and_of_strips(tmp_path: Path, shape: tuple[int, int]) -> None:
    geobox = GeoBox(shape, GEOBOX.affine, GEOBOX.crs)
    answer = KnownAnswer(np.full(shape, 250, np.uint8), np.full(shape, OBSERVED, np.uint8))
    store, work = stored(tmp_path / "blocks", answer, geobox)
    mask = write_answer(tmp_path, store=store, plan=work, query=0, sentence="s", threshold=THRESHOLD).mask
    with rasterio.open(mask) as raster:
        assert (raster.read(1) == np.ones(shape)).all()


@given(threshold=st.floats(0.001, 1))
def test_a_stored_value_is_over_the_threshold_when_its_probability_is(threshold: float) -> None:
    stored_value = stored_threshold(threshold)
    assert stored_value / 250 >= threshold - 1e-8
    assert stored_value == 1 or (stored_value - 1) / 250 < threshold


def test_a_threshold_that_is_a_stored_value_is_that_value() -> None:
    assert [stored_threshold(value * 0.004) for value in range(1, 251)] == list(range(1, 251))


def test_names_have_slug_and_span_only_where_given() -> None:
    assert stem("mask") == "mask"
    assert stem("mask", slug="new-roads", span="2019-2023") == "mask_new-roads_2019-2023"


def test_every_date_has_a_code_of_its_own() -> None:
    assert {10, 11, 12} <= set(coverage_codes(3))
