"""A good run is found good; whatever was changed in it is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from geomtrs.outputs import record
from geomtrs.outputs.checksums import entry, gpkg_parts, read_checksums, write_checksums
from geomtrs.outputs.raster import write_mask
from geomtrs.outputs.record import read_run
from geomtrs.outputs.verify import Finding, input_notes, verify
from geomtrs.result import ChangeResult
from tests.geomtrs.answered import GEOBOX, SENTENCE, THRESHOLD, KnownAnswer, finished_run
from tiling.errors import OutputError
from tiling.stack import OBSERVED

FORMATS = ("gpkg", "shp", "parquet", "fgb", "geojson")
FILES = (
    "mask.tif", "mask.qml", "probability.tif", "probability.qml", "coverage.tif", "changes.gpkg", "changes.shp",
    "changes.shx", "changes.dbf", "changes.prj", "changes.cpg", "changes.parquet", "changes.fgb", "changes.geojson",
    "preview.png", "project.qgz", "item.json", "run.json", "checksums.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run of été"), formats=FORMATS)


@pytest.fixture
def run(good: Path, tmp_path: Path) -> Path:
    """A copy of the good run that a test may damage."""
    return shutil.copytree(good, tmp_path / "out")


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_d12_a_good_run_is_sound(good: Path) -> None:
    assert {path.name for path in good.iterdir()} == set(FILES)
    assert verify(good) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.31, 0.5, 0.77, 1.0])
def test_d12_one_flipped_byte_in_any_output_is_named(run: Path, name: str, place: float) -> None:
    size = (run / name).stat().st_size
    flip(run / name, min(size - 1, round(place * size)))
    assert name in {finding.file for finding in verify(run)}


@pytest.mark.parametrize("position", [0, 18, 24, 27, 28, 44, 92, 95, 96, 99])
def test_d12_a_flipped_byte_in_the_header_of_a_geopackage_is_named(run: Path, position: int) -> None:
    flip(run / "changes.gpkg", position)
    assert "changes.gpkg" in {finding.file for finding in verify(run)}


def test_d12_flips_all_over_a_geopackage_are_named(run: Path) -> None:
    original = (run / "changes.gpkg").read_bytes()
    wanted = read_checksums(run)["changes.gpkg"]
    from geomtrs.outputs.checksums import difference

    for position in np.random.default_rng(0).integers(0, len(original), 60):
        flip(run / "changes.gpkg", int(position))
        assert difference(run / "changes.gpkg", wanted), position
        (run / "changes.gpkg").write_bytes(original)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_d12_a_geopackage_that_a_gis_only_touched_is_sound(run: Path, mode: str) -> None:
    """QGIS opens with a write-ahead log and goes back; the header counts that as writes."""
    with closing(sqlite3.connect(run / "changes.gpkg")) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("CREATE TABLE qgis_was_here (a)")
        database.execute("DROP TABLE qgis_was_here")
        database.commit()
        database.execute("PRAGMA journal_mode = delete")
    assert entry(run / "changes.gpkg")["hash"] != read_checksums(run)["changes.gpkg"]["hash"]
    assert verify(run) == []


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("UPDATE changes SET area_m2 = area_m2 + 1 WHERE id = 1", "layer changes"),
        ("UPDATE changes SET query = 'another'", "layer changes"),
        ("ALTER TABLE changes ADD COLUMN mine TEXT", "layer changes"),
        ("UPDATE layer_styles SET styleQML = 'other'", "styles"),
    ],
)
def test_d12_a_geopackage_that_was_edited_is_named_with_the_part(run: Path, statement: str, part: str) -> None:
    with closing(sqlite3.connect(run / "changes.gpkg")) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')  # they call functions that only a GIS has
        database.execute(statement)
    findings = verify(run)
    assert findings == [Finding("changes.gpkg", f"other content than was written: {part}")]


def test_looking_at_a_geopackage_does_not_change_it(run: Path) -> None:
    before = (run / "changes.gpkg").read_bytes()
    gpkg_parts(run / "changes.gpkg")
    verify(run)
    assert (run / "changes.gpkg").read_bytes() == before
    assert not list(run.glob("*-wal")) + list(run.glob("*-shm"))


@pytest.mark.parametrize("name", [name for name in FILES if name != "checksums.json"])
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    assert Finding(name, "missing") in verify(run)


def test_missing_checksums_are_named(run: Path) -> None:
    (run / "checksums.json").unlink()
    assert verify(run) == [Finding("checksums.json", "missing")]


def test_a_shortened_file_says_both_sizes(run: Path) -> None:
    content = (run / "preview.png").read_bytes()
    (run / "preview.png").write_bytes(content[:-10])
    assert verify(run) == [Finding("preview.png", f"{len(content) - 10} bytes, {len(content)} written")]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="finished run"):
        verify(tmp_path)


def recheck(run: Path) -> list[str]:
    """What verify says when the checksums were made after the damage: the content must betray it then."""
    write_checksums(run, [path for path in run.iterdir() if path.name != "checksums.json"])
    return [str(finding) for finding in verify(run)]


def test_a_plain_tiff_in_place_of_a_cog_is_named(run: Path) -> None:
    with rasterio.open(run / "mask.tif") as raster:
        values, profile = raster.read(1), raster.profile
    profile.update(driver="GTiff", tiled=False)
    for key in ("blockxsize", "blockysize", "tiled", "interleave"):
        profile.pop(key, None)
    with rasterio.open(run / "mask.tif", "w", **profile) as raster:
        raster.write(values, 1)
        raster.set_band_description(1, SENTENCE)
    assert recheck(run) == ["mask.tif: not a Cloud Optimized GeoTIFF"]


def test_a_blank_mask_from_a_killed_writer_is_named(run: Path) -> None:
    """E2: it opens cleanly and reads all zeros, a perfect false "no change"."""
    with rasterio.open(run / "probability.tif") as raster:
        zeros = run.parent / "zeros.tif"
        with rasterio.open(zeros, "w", **{**raster.profile, "driver": "GTiff"}) as blank:
            blank.write(np.zeros(raster.shape, np.uint8), 1)
    write_mask(run / "mask.tif", zeros, GEOBOX, sentence=SENTENCE, threshold=THRESHOLD)
    assert recheck(run) == ["mask.tif: observed elsewhere than coverage.tif says"]


def test_a_mask_of_another_sentence_is_named(run: Path) -> None:
    write_mask(run / "mask.tif", run / "probability.tif", GEOBOX, sentence="another", threshold=THRESHOLD)
    assert recheck(run) == ["mask.tif: answers another sentence than run.json says"]


def test_records_that_disagree_about_the_polygons_are_named(run: Path) -> None:
    document = read_run(run)
    document["queries"][0]["polygons"] += 1
    (run / "run.json").write_text(json.dumps(document), encoding="utf-8")
    assert recheck(run) == ["changes.gpkg: 2 polygons, 3 in run.json"]


def test_d10_an_invalid_geometry_is_named(run: Path) -> None:
    bow_tie = shapely.to_geojson(shapely.Polygon([(15, 46), (15.1, 46.1), (15.1, 46), (15, 46.1)]))
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(bow_tie)}
    (run / "changes.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert recheck(run) == ["changes.geojson: layer changes holds invalid geometries"]


def test_inputs_that_were_changed_later_are_a_note_not_a_fault(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    assert input_notes(folder) == ()
    (tmp_path / "in" / "2019.tif").write_bytes(b"something else")
    assert len(input_notes(folder)) == 1
    assert verify(folder) == []


def test_a_run_that_found_nothing_is_sound(tmp_path: Path) -> None:
    """B3"""
    nothing = KnownAnswer(np.zeros(GEOBOX.shape, np.uint8), np.full(GEOBOX.shape, OBSERVED, np.uint8))
    assert verify(finished_run(tmp_path, nothing)) == []


def test_a_run_over_plain_pictures_is_sound(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, geobox=GeoBox(GEOBOX.shape, Affine.identity(), None))
    assert verify(folder) == []
    assert ChangeResult(folder).polygons["area_m2"].isna().all()


def test_the_record_may_not_be_left_out_of_the_checksums(run: Path) -> None:
    write_checksums(run, [run / "mask.tif"])
    assert f"checksums.json: does not hold {record.NAME}" in [str(finding) for finding in verify(run)]
