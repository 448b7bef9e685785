"""Rasters, tables and archive runs are cut in tiles that know their place on the ground."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from geomtrs.archive.ledger import NAME, create
from geomtrs.archive.scene import Scene
from geomtrs.cli import main
from geomtrs.craft.export import export
from geomtrs.craft.ledger import Ledger
from geomtrs.craft.pairs import read_classes
from geomtrs.craft.protocols import Ground
from geomtrs.craft.rasters import Sources, list_tiles
from geomtrs.craft.run import craft
from geomtrs.data.labels import ABSENT, PRESENT, THINGS, UNKNOWN
from geomtrs.errors import DataError, JobError, QueryError
from tests.geomtrs.test_craft import LABELS, content, kept
from tiling.errors import SourceError

HEIGHT, WIDTH = 150, 200
TRANSFORM = Affine(0.5, 0, 600_000, 0, -0.5, 5_300_000)
BUILT = slice(20, 50), slice(130, 170)


def write_raster(path: Path, bands: NDArray[np.uint8], transform: Affine | None = TRANSFORM) -> Path:
    told = {} if transform is None else {"crs": "EPSG:32633", "transform": transform}
    count, height, width = bands.shape
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype="uint8", **told) as file:
        file.write(bands)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """before.tif, after.tif and their labels on a grid of their own; a building is built, the corner has no data."""
    folder = tmp_path / "scene"
    folder.mkdir()
    rng = np.random.default_rng(1)
    before = rng.integers(90, 110, (3, HEIGHT, WIDTH)).astype(np.uint8)
    after, labels = before.copy(), np.zeros((2, HEIGHT, WIDTH), np.uint8)
    after[(slice(None), *BUILT)], labels[(1, *BUILT)] = 230, 1
    write_raster(folder / "site_2019.tif", before)
    write_raster(folder / "site_2021.tif", after)
    wide = Affine(0.5, 0, 600_000 - 10, 0, -0.5, 5_300_000 + 10)  # labels reach further, as a cadastre does
    for date, year in enumerate((2019, 2021)):
        padded = np.pad(labels[date], 20)[None]
        write_raster(folder / f"labels_{year}.tif", padded, wide)
    (folder / "classes.json").write_text(json.dumps({"0": "other", "1": "building"}), encoding="utf-8")
    return folder


def sources(scene: Path, **told: object) -> Sources:
    images = scene / "site_2019.tif", scene / "site_2021.tif"
    return Sources(images, (scene / "labels_2019.tif", scene / "labels_2021.tif"), **{"tile_px": 100, **told})


def test_two_rasters_are_cut_in_tiles_that_partition_them_and_keep_their_ground_k1(scene: Path, tmp_path: Path) -> None:
    tiles = list_tiles(sources(scene), tmp_path / "out")
    hits = np.zeros((HEIGHT, WIDTH), int)
    for tile in tiles:
        hits[tile.window.toslices()] += 1
    assert (hits == 1).all()
    last = tiles[-1].read()
    assert last.ground == Ground("EPSG:32633", tuple(TRANSFORM * Affine.translation(100, 75))[:6])
    assert last.gsd_m == pytest.approx(0.5, rel=1e-3)
    assert {tile.read().place for tile in tiles} == {"site"}


def test_a_crafted_scene_has_its_sentences_on_the_ground_k4(scene: Path, tmp_path: Path) -> None:
    craft(sources(scene), tmp_path / "out", LABELS)
    found = kept(tmp_path / "out")
    assert found
    assert all(not one.files[0].is_relative_to(scene) for one in found)
    export(tmp_path / "out", tmp_path / "set", "coco")
    table = geopandas.read_parquet(tmp_path / "set" / "triplets.parquet")
    whole = table[table["wording"] == "all-of-a-kind"].to_crs("EPSG:32633")
    left, top = TRANSFORM * (BUILT[1].start, BUILT[0].start)
    right, bottom = TRANSFORM * (BUILT[1].stop, BUILT[0].stop)
    assert whole.geometry.iloc[0].bounds == pytest.approx((left, bottom, right, top), abs=0.01)
    assert set(table["crs"]) == {"EPSG:32633"}


def test_a_set_of_tiles_may_be_moved(scene: Path, tmp_path: Path) -> None:
    craft(sources(scene), tmp_path / "out", LABELS)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert export(tmp_path / "moved", tmp_path / "set", "mtrefseg21k")


def test_a_table_tells_pairs_places_and_labels_and_photographs_have_pixels_k1(scene: Path, tmp_path: Path) -> None:
    for name in ("site_2019", "site_2021"):
        with rasterio.open(scene / f"{name}.tif") as file:
            Image.fromarray(file.read().transpose(1, 2, 0)).save(scene / f"{name}.png")
    for year in (2019, 2021):
        with rasterio.open(scene / f"labels_{year}.tif") as file:
            Image.fromarray(file.read(1)[20:-20, 20:-20]).save(scene / f"labels_{year}.png")
    columns = ("before", "after", "before_labels", "after_labels", "place")
    rows = [
        [f"{stem}.{end}" for stem in ("site_2019", "site_2021", "labels_2019", "labels_2021")] + [place]
        for end, place in (("tif", "north"), ("png", "street"))
    ]
    pd.DataFrame(rows, columns=columns).to_csv(scene / "pairs.csv", index=False)
    pd.DataFrame(rows, columns=columns).to_parquet(scene / "pairs.parquet")
    for name in ("pairs.csv", "pairs.parquet"):
        out = tmp_path / f"out-{name}"
        craft(Sources((scene / name,), tile_px=300), out, LABELS)
        found = {one.place: one for one in kept(out)}
        assert set(found) == {"north", "street"}
        assert found["street"].ground is None
        assert found["north"].ground is not None
        with Ledger(out) as ledger:
            (told,) = ledger._rows("SELECT ground FROM pairs WHERE place = 'street'")
        assert told == ('"pixels"',)


def test_the_scenes_of_an_archive_run_are_cut_as_well_k1(scene: Path, tmp_path: Path) -> None:
    images = tuple(str(scene / f"site_{year}.tif") for year in (2019, 2021))
    (tmp_path / "batch").mkdir()
    scenes = [Scene("north-1", images), Scene("alone", images[:1], status="skipped", reason="no other date")]
    create(tmp_path / "batch" / NAME, {}, scenes, fresh=True)
    tiles = list_tiles(Sources((tmp_path / "batch",)), tmp_path / "out")
    assert [tile.row.place for tile in tiles] == ["north-1"]
    assert tiles[0].read().labels is None


def test_ground_that_was_not_observed_is_not_known(scene: Path, tmp_path: Path) -> None:
    with rasterio.open(scene / "site_2021.tif", "r+") as file:
        file.nodata = 0
        pixels = file.read()
        pixels[:, :60] = 0
        file.write(pixels)
    tiles = list_tiles(sources(scene), tmp_path / "out")
    first = tiles[0].read()
    assert first.labels is not None
    assert first.seen == pytest.approx(0.2)
    assert (first.labels.after[:, :60] == 2).all()
    assert not kept_of_first(scene, tmp_path)


def state_of_buildings(folder: Path, values: NDArray[Any], crs: str | None, nodata: int | None = None) -> list[int]:
    """What labels of these values, (H, W) with 1 for building, say of buildings in their first row."""
    for name, bands in (("before", np.full((3, *values.shape), 90, np.uint8)), ("labels", values[None])):
        told = {"crs": crs, "transform": TRANSFORM, "nodata": nodata if name == "labels" else None}
        height, width = values.shape
        with rasterio.open(
            folder / f"{name}.tif", "w", "GTiff", width, height, len(bands), dtype=bands.dtype, **told
        ) as file:
            file.write(bands)
    (folder / "classes.json").write_text(json.dumps({"0": "other", "1": "building"}), encoding="utf-8")
    images, labels = ((folder / f"{name}.tif",) * 2 for name in ("before", "labels"))
    (tile,) = list_tiles(Sources(images, labels), folder / "out")
    found = tile.read().labels
    assert found is not None
    return list(found.after[THINGS.index("building"), 0])


@pytest.mark.parametrize("crs", ["EPSG:32633", None])
def test_labels_that_are_nodata_or_no_byte_say_nothing(crs: str | None, tmp_path: Path) -> None:
    values = np.resize(np.array([0, 1, 257, -3, 9, 255], np.int16), (4, 6))
    assert state_of_buildings(tmp_path, values, crs, nodata=9) == [ABSENT, PRESENT, *[UNKNOWN] * 4]


@pytest.mark.parametrize("crs", ["EPSG:32633", None])
def test_labels_of_signed_bytes_are_read_k1(crs: str | None, tmp_path: Path) -> None:
    values = np.resize(np.array([0, 1, -128, -1], np.int8), (3, 4))
    assert state_of_buildings(tmp_path, values, crs) == [ABSENT, PRESENT, UNKNOWN, UNKNOWN]


def test_coloured_labels_are_refused_and_not_read_by_their_red_k1(scene: Path, tmp_path: Path) -> None:
    write_raster(scene / "labels_2021.tif", np.zeros((3, HEIGHT, WIDTH), np.uint8))
    with pytest.raises(SourceError, match=r"labels_2021.tif: found 3 bands; wanted labels of one band"):
        list_tiles(sources(scene), tmp_path)[0].read()


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"0": "other", "255": "building"}, "a class of value 255"),
        ({"0": "other", "1000": "building"}, "a class of value 1000"),
        ({"-1": "building"}, "a class of value -1"),
        ({"1": {"name": "building"}}, "expected string"),
    ],
)
def test_classes_that_no_label_can_have_are_refused_k1(tmp_path: Path, told: object, found: str) -> None:
    (tmp_path / "classes.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(DataError, match=f"classes.json: found {found}"):
        read_classes(tmp_path / "classes.json")


def test_classes_may_name_what_is_nothing_by_any_value_and_begin_with_a_byte_order_mark_k1(tmp_path: Path) -> None:
    words = json.dumps({"1": "building", "255": "ignore", "-9999": "no data"})
    (tmp_path / "classes.json").write_text(words, encoding="utf-8-sig")
    rule = read_classes(tmp_path / "classes.json")
    assert (rule.present, rule.ignore) == ({1: "building"}, (255,))


def kept_of_first(scene: Path, tmp_path: Path) -> list[str]:
    """Sentences about the two upper tiles, most of which was not observed."""
    craft(sources(scene), tmp_path / "seen", LABELS)
    return [one.sentence for one in kept(tmp_path / "seen") if "/00000_" in one.pair]


def test_what_is_no_pair_is_refused_with_what_was_wanted(scene: Path, tmp_path: Path) -> None:
    (scene / "classes.json").unlink()
    with pytest.raises(DataError, match="--classes"):
        list_tiles(sources(scene), tmp_path)
    with pytest.raises(QueryError, match="two rasters"):
        Sources((scene, scene, scene))
    (scene / "bad.csv").write_text("before,later\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="row 1"):
        list_tiles(Sources((scene / "bad.csv",)), tmp_path)


def test_the_command_line_crafts_two_rasters_to_the_same_bytes_twice_k2(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(scene / f"site_{year}.tif") for year in (2019, 2021)]
    labels = [word for year in (2019, 2021) for word in ("--labels", str(scene / f"labels_{year}.tif"))]
    for name in ("one", "two"):
        for arguments in (
            ["craft", "run", *images, *labels, "-o", str(tmp_path / name), "--tile-px", "100", "--quiet"],
            ["craft", "export", str(tmp_path / name), "-o", str(tmp_path / f"{name}-set")],
        ):
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert ended.value.code == 0, capsys.readouterr().err
    assert content(tmp_path / "one-set") == content(tmp_path / "two-set")


def test_label_rasters_that_were_changed_since_are_not_gone_on_with_k2(scene: Path, tmp_path: Path) -> None:
    craft(sources(scene), tmp_path / "out", LABELS)
    (scene / "labels_2021.tif").touch()
    craft(sources(scene), tmp_path / "out", LABELS)
    with rasterio.open(scene / "labels_2021.tif", "r+") as file:
        file.write(np.zeros((1, file.height, file.width), np.uint8))
    with pytest.raises(JobError, match=r"site/00000_00000 crafted with another labels"):
        craft(sources(scene), tmp_path / "out", LABELS)


def test_a_source_that_cannot_be_read_leaves_no_set_that_refuses_the_right_one(scene: Path, tmp_path: Path) -> None:
    (scene / "labels_2021.tif").rename(scene / "labels.tif")
    with pytest.raises(SourceError, match=r"labels_2021\.tif: found no such file"):
        craft(sources(scene), tmp_path / "out", LABELS)
    assert not (tmp_path / "out").exists()
