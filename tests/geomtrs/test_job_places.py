"""Places of every awkward kind, end to end: several dates, tiles, strips, holes, odd paths, no place at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine

import geomtrs
from geomtrs.errors import QueryError
from geomtrs.outputs.verify import verify
from tests.geomtrs.conftest import APPEARED, GONE, HEIGHT, WIDTH, ask, changed, ground, read, visible
from tiling.errors import GridError, OutputError, SourceError
from tiling.grid import ground_resolution_m, source_geobox

Pair = tuple[str, str]
NEW, LOST = "the roofs that appeared", "the roofs that disappeared"


def test_three_dates_are_compared_in_pairs_in_order_a7(raster: Callable[..., Path], tmp_path: Path) -> None:
    quiet = ground()
    images = [raster(tmp_path / f"t_{year}0601.tif", pixels) for year, pixels in
              ((2019, quiet), (2020, changed(quiet)), (2021, quiet))]  # fmt: skip
    ask(*images, query=NEW, out=tmp_path / "out")
    first = read(tmp_path / "out" / "mask_20190601-20200601.tif")
    second = read(tmp_path / "out" / "mask_20200601-20210601.tif")
    assert first[75, 100] == 1
    assert not first[GONE].any()
    assert second[30, 185] == 1
    assert not second[APPEARED].any()
    table = geopandas.read_file(tmp_path / "out" / "changes.gpkg", layer="changes")
    assert list(zip(table["date_from"], table["date_to"], strict=True)) == [
        ("2019-06-01", "2020-06-01"),
        ("2020-06-01", "2021-06-01"),
    ]
    assert table["id"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("pairs", "when"),
    [
        ("first-last", [("2019", "2022")]),
        ("all", [("2019", "2020"), ("2019", "2022"), ("2021", "2022")]),
    ],
)
def test_pairs_tell_between_which_dates_a_thing_appeared_a7(
    raster: Callable[..., Path], tmp_path: Path, pairs: Literal["first-last", "all"], when: list[tuple[str, str]]
) -> None:
    """It came, went and came again."""
    there = ground()
    there[:, *APPEARED] = 245
    images = [
        raster(tmp_path / f"{year}.tif", there if year in (2020, 2022) else ground())
        for year in (2019, 2020, 2021, 2022)
    ]
    table = ask(*images, query=NEW, out=tmp_path / "out", pairs=pairs).polygons
    assert list(zip(table["date_from"], table["date_to"], strict=True)) == when
    names = {f"mask_{before}-{after}.tif" for before, after in when} if pairs == "all" else {"mask.tif"}
    for name in names:
        assert (read(tmp_path / "out" / name)[APPEARED] == 1).mean() > 0.97


def test_a_date_of_several_files_is_one_date(raster: Callable[..., Path], tmp_path: Path) -> None:
    quiet = ground()
    first = raster(tmp_path / "a.tif", quiet)
    halves = []
    after = changed(quiet)
    for name, columns in (("w", slice(0, 120)), ("e", slice(120, WIDTH))):
        path = tmp_path / f"b_{name}.tif"
        with rasterio.open(first) as source:
            profile = source.profile | {"width": columns.stop - columns.start}
            profile["transform"] = source.transform @ Affine.translation(columns.start, 0)
        with rasterio.open(path, "w", **profile) as target:
            target.write(after[:, :, columns])
        halves.append(path)
    ask(first, halves, query=NEW, out=tmp_path / "out")
    assert (read(tmp_path / "out" / "mask.tif")[APPEARED] == 1).mean() > 0.97


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 90), (90, 1), (30, 20)])
def test_places_smaller_than_a_tile_are_answered_a12(
    height: int, width: int, raster: Callable[..., Path], tmp_path: Path
) -> None:
    dark, bright = (np.full((3, height, width), value, np.uint8) for value in (20, 240))
    images = raster(tmp_path / "a.tif", dark), raster(tmp_path / "b.tif", bright)
    geomtrs.detect(*images, query=NEW, out=tmp_path / "out", model="differencing")
    assert (read(tmp_path / "out" / "mask.tif") == 1).all()
    assert verify(tmp_path / "out") == []


def test_a_date_without_any_data_is_not_observed_and_no_error_a14(raster: Callable[..., Path], tmp_path: Path) -> None:
    images = (
        raster(tmp_path / "a.tif", ground(), nodata=0),
        raster(tmp_path / "b.tif", np.zeros((3, HEIGHT, WIDTH), np.uint8), nodata=0),
    )
    result = ask(*images, query=NEW, out=tmp_path / "out")
    assert (read(tmp_path / "out" / "mask.tif") == 255).all()
    assert (read(tmp_path / "out" / "coverage.tif") == 11).all()
    assert len(result.polygons) == 0
    assert any("b.tif" in warning and "observed" in warning for warning in result.run["warnings"])


def test_paths_with_spaces_unicode_and_apostrophes_work_a15(raster: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "L'été à côté ☀"
    images = raster(folder / "t 2019 – ü.tif", ground()), raster(folder / "it's 2020.tif", changed(ground()))
    result = ask(*images, query=NEW, out=folder / "out — 1", formats=["shp", "geojson"])
    assert (read(folder / "out — 1" / "mask.tif")[APPEARED] == 1).any()
    assert verify(result.folder) == []


@pytest.mark.parametrize(
    "lies", [Affine.scale(2, 2), Affine(0, 2, 0, -2, 0, 0), Affine.rotation(30) @ Affine.scale(2, -2)],
    ids=["south-up", "quarter turn", "turned by 30 degrees"],
)  # fmt: skip
def test_a_thing_in_a_raster_that_lies_otherwise_has_its_place_and_area_a13_d5(
    pair: Pair, tmp_path: Path, lies: Affine
) -> None:
    affine = Affine.translation(500_003.5, 5_100_007.25) @ lies
    for path in pair:
        with rasterio.open(path, "r+") as raster:
            raster.transform = affine
    result = ask(*pair, query=NEW, out=tmp_path / "out", formats=["geojson"])
    rows, columns = APPEARED
    (outline,) = result.polygons.geometry
    middle = affine @ ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
    assert outline.centroid.coords[0] == pytest.approx(middle, abs=1)
    assert result.polygons["area_m2"][0] == pytest.approx(outline.area, rel=0.005)
    shape = json.loads((tmp_path / "out" / "changes.geojson").read_text("utf-8"))["features"][0]["geometry"]
    assert shapely.LinearRing(shape["coordinates"][0]).is_ccw
    assert verify(result.folder) == []


def test_a_scene_across_180_degrees_is_answered_in_a_projected_crs_a18(pair: Pair, tmp_path: Path) -> None:
    for path in pair:
        with rasterio.open(path, "r+") as raster:
            raster.crs = "+proj=laea +lat_0=-17 +lon_0=180 +datum=WGS84"
            raster.transform = Affine(2.0, 0.0, -210.0, 0.0, -2.0, 150.0)
    result = ask(*pair, query=NEW, out=tmp_path / "out", aoi="179.99,-17.01,180.01,-16.99", formats=["geojson"])
    assert read(tmp_path / "out" / "mask.tif").shape == (HEIGHT, WIDTH)
    (outline,) = result.polygons.geometry
    assert outline.bounds[0] < 0 < outline.bounds[2]
    assert result.polygons["area_m2"][0] == pytest.approx(outline.area, rel=0.005)
    west, _, east, _ = json.loads((tmp_path / "out" / "item.json").read_text("utf-8"))["bbox"]
    assert east < 0 < west
    assert verify(result.folder) == []


@pytest.mark.parametrize(
    ("aoi", "wanted"),
    [("-180,-90,180,90", (True, True)), ("-180,-90,0,90", (False, True)), ("100,-60,180,0", (True, False))],
)
def test_a_large_area_keeps_its_side_of_180_degrees_c12_a18(
    pair: Pair, tmp_path: Path, aoi: str, wanted: tuple[bool, bool]
) -> None:
    left, top = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32701", always_xy=True).transform(180, -17)
    affine = Affine(10.0, 0.0, left - 5 * WIDTH, 0.0, -10.0, top)
    for path in pair:
        with rasterio.open(path, "r+") as raster:
            raster.crs, raster.transform = "EPSG:32701", affine
    ask(*pair, query=NEW, out=tmp_path / "out", aoi=aoi)
    with rasterio.open(tmp_path / "out" / "coverage.tif") as raster:
        observed = np.zeros((HEIGHT, WIDTH), bool)
        column = round((raster.transform.c - affine.c) / 10)
        observed[: raster.height, column : column + raster.width] = raster.read(1) == 1
    x, y = affine @ (np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5))
    lon, _ = pyproj.Transformer.from_crs("EPSG:32701", "EPSG:4326", always_xy=True).transform(x, y)
    for side, asked in zip((lon > 0, lon < 0), wanted, strict=True):
        assert observed[side].mean() == pytest.approx(float(asked), abs=0.02)


def test_an_area_of_interest_crops_and_clips(pair: Pair, tmp_path: Path) -> None:
    with rasterio.open(pair[0]) as raster:
        left, top = raster.xy(50, 90, offset="ul")
        right, bottom = raster.xy(80, 120, offset="ul")
    box = f"{left},{bottom},{right},{top}"
    result = ask(*pair, query=NEW, out=tmp_path / "out", aoi=box, aoi_crs="EPSG:32633")
    assert read(tmp_path / "out" / "mask.tif").shape == (30, 30)
    assert result.polygons.total_bounds == pytest.approx((left, bottom, right, top), abs=30)
    assert result.polygons["area_m2"].sum() < 30 * 30 * 4


def test_landsat_pixels_are_not_too_coarse_for_a_model_of_30_m(pair: Pair) -> None:
    for path in pair:
        with rasterio.open(path, "r+") as raster:
            raster.transform = Affine(30, 0, 500_000, 0, -30, 5_100_000)
    assert max(ground_resolution_m(source_geobox(pair[0]))) > 30
    assert not any("trained at" in note for note in geomtrs.plan(*pair).scene.notes)


def test_a_crs_of_an_area_that_there_is_not_is_refused_by_its_option(pair: Pair) -> None:
    with pytest.raises(GridError, match="--aoi-crs: found 'EPSG:99999'"):
        geomtrs.plan(*pair, aoi="1,2,3,4", aoi_crs="EPSG:99999")


def test_an_area_of_interest_of_the_whole_world_leaves_nothing_out_c12(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=NEW, out=tmp_path / "out")
    ask(*pair, query=NEW, out=tmp_path / "world", aoi="-180,-90,180,90")
    assert (read(tmp_path / "world" / "mask.tif") == read(tmp_path / "out" / "mask.tif")).all()
    assert (read(tmp_path / "world" / "mask.tif")[APPEARED] == 1).any()


def test_one_image_is_asked_wrongly(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="two or more"):
        ask(pair[0], query=NEW, out=tmp_path / "out")


@pytest.mark.parametrize("content", [None, b"only words", b"II*\x00\x08\x00\x00\x00"])
def test_what_is_no_raster_is_refused_by_name_and_leaves_nothing_e2(
    content: bytes | None, pair: Pair, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.tif"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(SourceError, match=r"bad\.tif"):
        ask(pair[0], bad, query=NEW, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_area_elsewhere_is_refused_and_leaves_nothing(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(GridError):
        ask(*pair, query=NEW, out=tmp_path / "out", aoi="100,10,101,11")
    assert not (tmp_path / "out").exists()


def test_a_folder_below_a_file_is_refused_as_an_output(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="choose another --out"):
        ask(*pair, query=NEW, out=tmp_path / "file" / "out")


def test_a_plan_names_alignment_and_tiles_and_writes_nothing_a2(pair: Pair, tmp_path: Path) -> None:
    before = visible(tmp_path)
    found = geomtrs.plan(*pair, model="differencing")
    assert [date["alignment"] for date in found.to_dict()["dates"]] == ["equal", "equal"]
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    assert "2019.tif · 2019 · equal" in str(found)
    assert visible(tmp_path) == before


def test_a_plan_names_the_offset_of_a_date_aside_and_writes_the_answer_on_the_first_grid_a2(
    pair: Pair, tmp_path: Path
) -> None:
    with rasterio.open(pair[0]) as first, rasterio.open(pair[1], "r+") as second:
        wanted = first.transform
        second.transform = wanted @ Affine.translation(0.2, -0.2)
    assert "2023.tif · 2023 · warped (offset +0.20, -0.20 px)" in str(geomtrs.plan(*pair, model="differencing"))
    ask(*pair, query=NEW, out=tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "mask.tif") as mask:
        assert mask.transform == wanted


def test_plain_pictures_are_answered_in_pixels(tmp_path: Path) -> None:
    from PIL import Image

    for name, pixels in (("a.png", ground()), ("b.png", changed(ground()))):
        Image.fromarray(np.moveaxis(pixels, 0, -1)).save(tmp_path / name)
    result = ask(tmp_path / "a.png", tmp_path / "b.png", query=NEW, out=tmp_path / "out", pixels=True)
    assert result.polygons["area_px"].tolist() == pytest.approx([30 * 50], rel=0.2)
    assert result.polygons["area_m2"].isna().all()
