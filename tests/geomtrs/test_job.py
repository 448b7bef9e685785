"""The main job end to end on tiny rasters: what is asked comes out, in the right place, under the right names."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

import geomtrs
from geomtrs.errors import JobError, ModelError, QueryError
from geomtrs.events import Stage
from geomtrs.job import rerun
from geomtrs.outputs.verify import verify
from tests.geomtrs.conftest import APPEARED, GONE, HEIGHT, WIDTH, changed, ground
from tiling.errors import GridError, OutputError, SourceError

Pair = tuple[str, str]
SMALL = {"model": "differencing", "tile_px": 64, "block_tiles": 2}
NEW, LOST = "the roofs that appeared", "the roofs that disappeared"


def read(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as raster:
        pixels: NDArray[np.uint8] = raster.read(1)
        return pixels


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_one_sentence_of_two_dates_gives_the_files_of_the_contract(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    geomtrs.detect(*pair, query=NEW, out=out, **SMALL)
    assert visible(out) == {
        "mask.tif",
        "mask.qml",
        "probability.tif",
        "probability.qml",
        "coverage.tif",
        "changes.gpkg",
        "preview.png",
        "item.json",
        "run.json",
        "checksums.json",
    }


def test_what_appeared_is_found_where_it_is_and_nothing_else(pair: Pair, tmp_path: Path) -> None:
    geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", **SMALL)
    mask = read(tmp_path / "out" / "mask.tif")
    assert (mask[APPEARED] == 1).mean() > 0.97
    grown = np.zeros_like(mask, bool)
    grown[APPEARED[0].start - 3 : APPEARED[0].stop + 3, APPEARED[1].start - 3 : APPEARED[1].stop + 3] = True
    assert not mask[~grown].any()


def test_the_output_grid_is_bit_equal_to_the_first_date_a1(pair: Pair, tmp_path: Path) -> None:
    geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", **SMALL)
    for name in ("mask.tif", "probability.tif", "coverage.tif"):
        with rasterio.open(pair[0]) as wanted, rasterio.open(tmp_path / "out" / name) as found:
            assert (found.transform, found.crs, found.shape) == (wanted.transform, wanted.crs, wanted.shape)


def test_one_change_is_one_polygon_with_its_area_and_dates(pair: Pair, tmp_path: Path) -> None:
    table = geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", **SMALL).polygons
    assert len(table) == 1
    assert (table["date_from"][0], table["date_to"][0]) == ("2019", "2023")
    assert table["area_m2"][0] == pytest.approx(30 * 50 * 4, rel=0.15)


def test_appeared_and_disappeared_answer_differently_b2(pair: Pair, tmp_path: Path) -> None:
    geomtrs.detect(*pair, query=[NEW, LOST], out=tmp_path / "out", **SMALL)
    appeared = read(tmp_path / "out" / "mask_the-roofs-that-appeared.tif")
    gone = read(tmp_path / "out" / "mask_the-roofs-that-disappeared.tif")
    assert (appeared[APPEARED] == 1).mean() > 0.97
    assert (gone[GONE] == 1).mean() > 0.97
    assert not (appeared & gone).any()


def test_swapped_dates_swap_the_answers_b7(pair: Pair, tmp_path: Path) -> None:
    geomtrs.detect(*pair, query=NEW, out=tmp_path / "a", **SMALL)
    geomtrs.detect(*pair[::-1], query=LOST, out=tmp_path / "b", **SMALL)
    assert (read(tmp_path / "a" / "mask.tif") == read(tmp_path / "b" / "mask.tif")).all()


def test_three_dates_are_compared_in_pairs_in_order_a7(raster: Callable[..., Path], tmp_path: Path) -> None:
    quiet = ground()
    images = [raster(tmp_path / f"t_{year}0601.tif", pixels) for year, pixels in
              ((2019, quiet), (2020, changed(quiet)), (2021, quiet))]  # fmt: skip
    geomtrs.detect(*images, query=NEW, out=tmp_path / "out", **SMALL)
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
    geomtrs.detect(first, halves, query=NEW, out=tmp_path / "out", **SMALL)
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
    result = geomtrs.detect(*images, query=NEW, out=tmp_path / "out", **SMALL)
    assert (read(tmp_path / "out" / "mask.tif") == 255).all()
    assert (read(tmp_path / "out" / "coverage.tif") == 11).all()
    assert len(result.polygons) == 0
    assert any("b.tif" in warning and "observed" in warning for warning in result.run["warnings"])


def test_paths_with_spaces_unicode_and_apostrophes_work_a15(raster: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "L'été à côté ☀"
    images = raster(folder / "t 2019 – ü.tif", ground()), raster(folder / "it's 2020.tif", changed(ground()))
    result = geomtrs.detect(*images, query=NEW, out=folder / "out — 1", formats=["shp", "geojson"], **SMALL)
    assert (read(folder / "out — 1" / "mask.tif")[APPEARED] == 1).any()
    assert verify(result.folder) == []


def test_an_unaskable_sentence_leaves_no_trace_b4(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(QueryError):
        geomtrs.detect(*pair, query="a" * 10_000, out=tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()


def test_any_sentence_survives_in_every_output_b5(pair: Pair, tmp_path: Path) -> None:
    sentence = 'the “new” roofs / père\'s & <b> "ü" 屋根 \\ .. 100% that appeared'
    out = tmp_path / "out"
    formats = ["shp", "parquet", "fgb", "geojson"]
    geomtrs.detect(*pair, query=sentence, out=out, formats=formats, **SMALL)
    with rasterio.open(out / "mask.tif") as mask, rasterio.open(out / "probability.tif") as probability:
        assert mask.descriptions == probability.descriptions == (sentence,)
    tables = [
        geopandas.read_file(out / f"changes.{suffix}", layer="changes") for suffix in ("gpkg", "shp", "fgb", "geojson")
    ]
    for table in (*tables, geopandas.read_parquet(out / "changes.parquet")):
        assert table["query"].tolist() == [sentence]
    assert json.loads((out / "run.json").read_text("utf-8"))["queries"][0]["text"] == sentence
    assert sentence in json.loads((out / "item.json").read_text("utf-8"))["properties"]["title"]


def test_sentences_of_one_slug_do_not_overwrite_each_other_b6(pair: Pair, tmp_path: Path) -> None:
    geomtrs.detect(*pair, query=["roofs: appeared!", "roofs appeared"], out=tmp_path / "out", **SMALL)
    assert {"mask_roofs-appeared.tif", "mask_roofs-appeared-2.tif"} <= visible(tmp_path / "out")
    layers = [name for name, _ in pyogrio.list_layers(tmp_path / "out" / "changes.gpkg") if name != "layer_styles"]
    assert layers == ["changes_roofs-appeared", "changes_roofs-appeared-2"]


def test_each_of_ten_sentences_equals_its_single_run_b6(pair: Pair, tmp_path: Path) -> None:
    sentences = [f"{what} that {how}" for what in "abcde" for how in ("appeared", "disappeared")]
    geomtrs.detect(*pair, query=sentences, out=tmp_path / "all", **SMALL)
    for number in (0, 9):
        geomtrs.detect(*pair, query=sentences[number], out=tmp_path / str(number), **SMALL)
        name = f"probability_{sentences[number].replace(' ', '-')}.tif"
        assert (read(tmp_path / "all" / name) == read(tmp_path / str(number) / "probability.tif")).all()


def test_workers_do_not_change_a_byte_of_the_mask_c9(pair: Pair, tmp_path: Path) -> None:
    masks = set()
    for workers in (1, 2, 4):
        out = tmp_path / str(workers)
        geomtrs.detect(*pair, query=NEW, out=out, model="differencing", tile_px=32, block_tiles=1, workers=workers)
        masks.add((out / "mask.tif").read_bytes())
    assert len(masks) == 1


def test_tiles_do_not_change_the_answer_of_a_local_filter_c2(pair: Pair, tmp_path: Path) -> None:
    geomtrs.detect(*pair, query=NEW, out=tmp_path / "one", model="differencing")
    geomtrs.detect(*pair, query=NEW, out=tmp_path / "many", **SMALL)
    assert (read(tmp_path / "one" / "probability.tif") == read(tmp_path / "many" / "probability.tif")).all()


def test_an_area_of_interest_crops_and_clips(pair: Pair, tmp_path: Path) -> None:
    with rasterio.open(pair[0]) as raster:
        left, top = raster.xy(50, 90, offset="ul")
        right, bottom = raster.xy(80, 120, offset="ul")
    box = f"{left},{bottom},{right},{top}"
    result = geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", aoi=box, aoi_crs="EPSG:32633", **SMALL)
    assert read(tmp_path / "out" / "mask.tif").shape == (30, 30)
    assert result.polygons.total_bounds == pytest.approx((left, bottom, right, top), abs=30)
    assert result.polygons["area_m2"].sum() < 30 * 30 * 4


def test_a_run_tells_its_device_scene_and_tiles_before_it_works(pair: Pair, tmp_path: Path) -> None:
    events: list[object] = []
    geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", on_event=events.append, **SMALL)
    stages = [event for event in events if isinstance(event, Stage)]
    assert [stage.name for stage in stages[:3]] == ["device", "scene", "tiles"]
    assert "220 x 150 px · 2 m · EPSG:32633" in stages[1].text


def test_the_record_tells_time_by_part_and_peak_memory(pair: Pair, tmp_path: Path) -> None:
    run = geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", **SMALL).run
    assert {"open images", "read", "model", "write rasters", "find polygons", "total"} <= set(run["timing_s"])
    assert run["peak_bytes"] > 10_000_000


def test_a_run_is_repeated_bit_by_bit_from_its_record_d8(pair: Pair, tmp_path: Path) -> None:
    geomtrs.detect(*pair, query=[NEW, LOST], out=tmp_path / "a", threshold=0.3, **SMALL)
    rerun(tmp_path / "a" / "run.json", out=tmp_path / "b")
    for name in sorted(path.name for path in (tmp_path / "a").glob("*.tif")):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_run_over_other_bytes_is_not_called_a_repetition_d8(
    pair: Pair, raster: Callable[..., Path], tmp_path: Path
) -> None:
    geomtrs.detect(*pair, query=NEW, out=tmp_path / "a", **SMALL)
    raster(Path(pair[1]), ground(7))
    with pytest.raises(JobError, match=r"2023\.tif"):
        rerun(tmp_path / "a" / "run.json", out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_good_run_verifies_and_a_flipped_byte_is_named_d12(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    geomtrs.detect(*pair, query=NEW, out=out, **SMALL)
    assert verify(out) == []
    content = bytearray((out / "mask.tif").read_bytes())
    content[len(content) // 2] ^= 1
    (out / "mask.tif").write_bytes(content)
    assert {finding.file for finding in verify(out)} == {"mask.tif"}


def test_existing_outputs_are_kept_unless_told_otherwise(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    geomtrs.detect(*pair, query=NEW, out=out, **SMALL)
    before = (out / "mask.tif").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        geomtrs.detect(*pair, query=LOST, out=out, **SMALL)
    assert (out / "mask.tif").read_bytes() == before
    geomtrs.detect(*pair, query=LOST, out=out, overwrite=True, **SMALL)
    assert (out / "mask.tif").read_bytes() != before
    assert verify(out) == []


def test_an_unknown_model_is_refused_before_anything_is_written_e7(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean differencing"):
        geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", model="diferencing")
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_refused_before_any_pixel_is_read_e7(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--weights"):
        geomtrs.detect("none-a.tif", "none-b.tif", query=NEW, out=tmp_path / "out", weights=tmp_path / "no")


def test_one_image_is_asked_wrongly(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="two or more"):
        geomtrs.detect(pair[0], query=NEW, out=tmp_path / "out", **SMALL)


@pytest.mark.parametrize("content", [None, b"only words", b"II*\x00\x08\x00\x00\x00"])
def test_what_is_no_raster_is_refused_by_name_and_leaves_nothing_e2(
    content: bytes | None, pair: Pair, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.tif"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(SourceError, match=r"bad\.tif"):
        geomtrs.detect(pair[0], bad, query=NEW, out=tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()


def test_an_area_elsewhere_is_refused_and_leaves_nothing(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(GridError):
        geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", aoi="100,10,101,11", **SMALL)
    assert not (tmp_path / "out").exists()


def test_a_folder_below_a_file_is_refused_as_an_output(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="choose another --out"):
        geomtrs.detect(*pair, query=NEW, out=tmp_path / "file" / "out", **SMALL)


def test_a_plan_names_alignment_and_tiles_and_writes_nothing_a2(pair: Pair, tmp_path: Path) -> None:
    before = visible(tmp_path)
    found = geomtrs.plan(*pair, **SMALL)
    assert [date["alignment"] for date in found.to_dict()["dates"]] == ["equal", "equal"]
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    assert "2019.tif · 2019 · equal" in str(found)
    assert visible(tmp_path) == before


def test_plain_pictures_are_answered_in_pixels(tmp_path: Path) -> None:
    from PIL import Image

    for name, pixels in (("a.png", ground()), ("b.png", changed(ground()))):
        Image.fromarray(np.moveaxis(pixels, 0, -1)).save(tmp_path / name)
    result = geomtrs.detect(
        tmp_path / "a.png", tmp_path / "b.png", query=NEW, out=tmp_path / "out", pixels=True, **SMALL
    )
    assert result.polygons["area_px"].tolist() == pytest.approx([30 * 50], rel=0.2)
    assert result.polygons["area_m2"].isna().all()


def test_nothing_is_printed_by_the_library(
    pair: Pair, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", **SMALL)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
