"""run.json and the small files: complete, readable, whole or not there."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from pathlib import Path

import pytest

from geomtrs.outputs.publish import json_bytes, publish
from geomtrs.outputs.record import read_run, role_of, versions
from tests.geomtrs.answered import GEOBOX, SENTENCE, finished_run
from tiling.errors import OutputError
from tiling.grid import geobox_from_dict


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"))


def test_d8_the_record_holds_all_that_decides_the_answer(folder: Path) -> None:
    run = read_run(folder)
    assert set(run) == {
        "format", "created", "versions", "job", "dates", "pairs", "grid", "stack", "plan", "device", "queries",
        "coverage", "timing_s", "peak_bytes", "features_bytes", "warnings", "failed_blocks", "outputs",
    }  # fmt: skip
    assert {"path", "size", "mtime_ns", "header"} == set(run["job"]["inputs"][0])


def test_d8_the_grid_comes_back_bit_by_bit(folder: Path) -> None:
    assert geobox_from_dict(read_run(folder)["grid"]) == GEOBOX


def test_b5_the_sentence_is_whole_in_the_record(folder: Path) -> None:
    assert read_run(folder)["queries"][0]["text"] == SENTENCE
    assert SENTENCE.replace('"', '\\"') in (folder / "run.json").read_text(encoding="utf-8")


def test_every_file_of_the_folder_is_in_the_record(folder: Path) -> None:
    told = {output["file"] for output in read_run(folder)["outputs"]}
    assert told | {"run.json", "checksums.json"} == {path.name for path in folder.iterdir()}


def test_ground_by_coverage_is_in_the_record_in_square_metres(folder: Path) -> None:
    totals = read_run(folder)["coverage"]
    assert sum(total["pixels"] for total in totals) == 96 * 140
    assert sum(total["area_m2"] for total in totals) == pytest.approx(96 * 140 * 100, rel=2e-3)


def test_times_are_utc(folder: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", read_run(folder)["created"])


def test_versions_name_both_gdals() -> None:
    found = versions()
    assert found["gdal (rasterio)"] != ""
    assert found["gdal (pyogrio)"].count(".") == 2


@pytest.mark.parametrize("content", [None, "", "[]", '{"format": 99}', "{"])
def test_e10_a_folder_without_a_readable_record_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(OutputError, match=r"run\.json: found .*; wanted .*; remedy: "):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("mask.tif", "mask"),
        ("mask_new-roads_2019-2023.tif", "mask"),
        ("probability.qml", "style"),
        ("changes_new-roads.geojson", "polygons"),
        ("changes.cpg", "polygons"),
        ("coverage.tif", "coverage"),
        ("project.qgz", "project"),
        ("item.json", "item"),
    ],
)
def test_names_of_files_tell_what_they_are(name: str, role: str) -> None:
    assert role_of(name) == role


def test_a_name_that_is_no_output_is_refused() -> None:
    with pytest.raises(ValueError, match="notes"):
        role_of("notes.txt")


def test_e2_a_published_file_is_whole_and_alone(tmp_path: Path) -> None:
    publish(tmp_path / "a b.json", b"1" * 3_000_000)
    publish(tmp_path / "a b.json", b"22")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a b.json", b"22")]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_published_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    publish(tmp_path / "ours", b"1")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "other")}
    assert len(modes) == 1


def test_e3_a_full_disk_leaves_the_old_file_and_says_what_it_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run.json"
    publish(target, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device; wanted room for 5 bytes; remedy: free"):
        publish(target, b"newer")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("run.json", b"old")]


def test_e2_a_file_that_reads_back_otherwise_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"other")
    with pytest.raises(OutputError, match="other bytes when read back"):
        publish(tmp_path / "run.json", b"mine")
    assert list(tmp_path.iterdir()) == []


def test_json_is_written_one_way_and_refuses_nan() -> None:
    assert json_bytes({"é": [1]}) == json.dumps({"é": [1]}, ensure_ascii=False, indent=2).encode() + b"\n"
    with pytest.raises(ValueError, match="JSON"):
        json_bytes({"a": float("nan")})
