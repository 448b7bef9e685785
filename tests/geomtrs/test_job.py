"""The main job end to end on tiny rasters: what is asked comes out, in the right place, under the right names."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

import geomtrs
from geomtrs.cli import main
from geomtrs.errors import JobError
from geomtrs.events import Stage
from geomtrs.outputs.verify import verify
from geomtrs.result import ChangeResult
from tests.geomtrs.conftest import APPEARED, GONE, ask, changed, ground, read, visible, write
from tests.geomtrs.test_resume import Dies
from tiling.errors import OutputError

Pair = tuple[str, str]
NEW, LOST = "the roofs that appeared", "the roofs that disappeared"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> ChangeResult:
    """One run of one sentence that all tests look at and none changes."""
    folder = tmp_path_factory.mktemp("done")
    images = write(folder / "2019.tif", ground()), write(folder / "2023.tif", changed(ground()))
    return ask(*images, query=NEW, out=folder / "out")


def test_one_sentence_of_two_dates_gives_the_files_of_the_contract(done: ChangeResult) -> None:
    assert visible(done.folder) == {
        "mask.tif",
        "mask.qml",
        "probability.tif",
        "probability.qml",
        "coverage.tif",
        "changes.gpkg",
        "preview.png",
        "project.qgz",
        "item.json",
        "run.json",
        "checksums.json",
    }


def test_what_appeared_is_found_where_it_is_and_nothing_else(done: ChangeResult) -> None:
    mask = read(done.folder / "mask.tif")
    assert (mask[APPEARED] == 1).mean() > 0.97
    grown = np.zeros_like(mask, bool)
    grown[APPEARED[0].start - 3 : APPEARED[0].stop + 3, APPEARED[1].start - 3 : APPEARED[1].stop + 3] = True
    assert not mask[~grown].any()


def test_the_output_grid_is_bit_equal_to_the_first_date_a1(done: ChangeResult) -> None:
    for name in ("mask.tif", "probability.tif", "coverage.tif"):
        with rasterio.open(done.folder.parent / "2019.tif") as wanted, rasterio.open(done.folder / name) as found:
            assert (found.transform, found.crs, found.shape) == (wanted.transform, wanted.crs, wanted.shape)


def test_one_change_is_one_polygon_with_its_area_and_dates(done: ChangeResult) -> None:
    table = done.polygons
    assert len(table) == 1
    assert (table["date_from"][0], table["date_to"][0]) == ("2019", "2023")
    assert table["area_m2"][0] == pytest.approx(30 * 50 * 4, rel=0.15)


def test_appeared_and_disappeared_answer_differently_b2(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=[NEW, LOST], out=tmp_path / "out")
    appeared = read(tmp_path / "out" / "mask_the-roofs-that-appeared.tif")
    gone = read(tmp_path / "out" / "mask_the-roofs-that-disappeared.tif")
    assert (appeared[APPEARED] == 1).mean() > 0.97
    assert (gone[GONE] == 1).mean() > 0.97
    assert not (appeared & gone).any()


def test_swapped_dates_swap_the_answers_b7(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=NEW, out=tmp_path / "a")
    ask(*pair[::-1], query=LOST, out=tmp_path / "b")
    assert (read(tmp_path / "a" / "mask.tif") == read(tmp_path / "b" / "mask.tif")).all()


def test_workers_do_not_change_a_byte_of_the_mask_c9(pair: Pair, tmp_path: Path) -> None:
    masks = set()
    for workers in (1, 2, 4):
        out = tmp_path / str(workers)
        geomtrs.detect(*pair, query=NEW, out=out, model="differencing", tile_px=32, block_tiles=1, workers=workers)
        masks.add((out / "mask.tif").read_bytes())
    assert len(masks) == 1


@pytest.mark.slow
def test_worker_processes_do_not_change_a_byte_of_the_mask_c9(pair: Pair, tmp_path: Path) -> None:
    threads = ask(*pair, query=NEW, out=tmp_path / "threads", block_tiles=1)
    processes = ask(*pair, query=NEW, out=tmp_path / "processes", block_tiles=1, processes=2)
    assert (threads.folder / "mask.tif").read_bytes() == (processes.folder / "mask.tif").read_bytes()


@pytest.mark.slow
def test_a_cluster_that_is_there_is_used_g6(pair: Pair, tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0")  # type: ignore[no-untyped-call]
    with cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]  # distributed leaves them untyped
        mine = ask(*pair, query=NEW, out=tmp_path / "client", block_tiles=1, client=client)
        theirs = ask(*pair, query=NEW, out=tmp_path / "scheduler", block_tiles=1, scheduler=cluster.scheduler_address)
    assert (mine.folder / "mask.tif").read_bytes() == (theirs.folder / "mask.tif").read_bytes()


def test_the_command_line_gives_the_same_bytes_as_python_f6(done: ChangeResult, tmp_path: Path) -> None:
    images = [str(done.folder.parent / name) for name in ("2019.tif", "2023.tif")]
    options = ["--model", "differencing", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main(["detect", *images, "-q", NEW, "-o", str(tmp_path / "out"), *options])
    assert ended.value.code == 0
    # The command line has no option for tiles, and a local filter needs none.
    assert (read(tmp_path / "out" / "probability.tif") == read(done.folder / "probability.tif")).all()
    python = geomtrs.detect(*images, query=NEW, out=tmp_path / "python", model="differencing")
    for name in ("mask.tif", "probability.tif", "coverage.tif"):
        assert (tmp_path / "out" / name).read_bytes() == (python.folder / name).read_bytes()


def test_tiles_do_not_change_the_answer_of_a_local_filter_c2(pair: Pair, tmp_path: Path) -> None:
    geomtrs.detect(*pair, query=NEW, out=tmp_path / "one", model="differencing")
    ask(*pair, query=NEW, out=tmp_path / "many")
    assert (read(tmp_path / "one" / "probability.tif") == read(tmp_path / "many" / "probability.tif")).all()


def test_a_run_tells_its_device_scene_and_tiles_before_it_works(pair: Pair, tmp_path: Path) -> None:
    events: list[object] = []
    ask(*pair, query=NEW, out=tmp_path / "out", on_event=events.append)
    stages = [event for event in events if isinstance(event, Stage)]
    assert [stage.name for stage in stages[:3]] == ["device", "scene", "tiles"]
    assert "220 x 150 px · 2 m · EPSG:32633" in stages[1].text


def test_the_record_tells_time_by_part_and_peak_memory(done: ChangeResult) -> None:
    run = done.run
    assert {"open images", "read", "model", "write rasters", "find polygons", "total"} <= set(run["timing_s"])
    assert run["peak_bytes"] > 10_000_000


def test_a_run_is_repeated_bit_by_bit_from_its_record_d8(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=[NEW, LOST], out=tmp_path / "a", threshold=0.3)
    geomtrs.rerun(tmp_path / "a" / "run.json", out=tmp_path / "b")
    for name in sorted(path.name for path in (tmp_path / "a").glob("*.tif")):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_run_over_other_bytes_is_not_called_a_repetition_d8(
    pair: Pair, raster: Callable[..., Path], tmp_path: Path
) -> None:
    ask(*pair, query=NEW, out=tmp_path / "a")
    raster(Path(pair[1]), ground(7))
    with pytest.raises(JobError, match=r"2023\.tif"):
        geomtrs.rerun(tmp_path / "a" / "run.json", out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_good_run_verifies_and_a_flipped_byte_is_named_d12(done: ChangeResult, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.folder, out)
    assert verify(out) == []
    content = bytearray((out / "mask.tif").read_bytes())
    content[len(content) // 2] ^= 1
    (out / "mask.tif").write_bytes(content)
    assert {finding.file for finding in verify(out)} == {"mask.tif"}


def test_existing_outputs_are_kept_unless_told_otherwise(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ask(*pair, query=NEW, out=out)
    before = (out / "mask.tif").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        ask(*pair, query=LOST, out=out)
    assert (out / "mask.tif").read_bytes() == before
    ask(*pair, query=LOST, out=out, overwrite=True)
    assert (out / "mask.tif").read_bytes() != before
    assert verify(out) == []


@pytest.fixture
def earlier(pair: Pair, tmp_path: Path) -> Path:
    """The answers to two sentences about three dates, with a shapefile of each, and two files of the user."""
    third = write(tmp_path / "in" / "2024.tif", ground())
    out = ask(*pair, third, query=[NEW, LOST], out=tmp_path / "out", formats=["shp"]).folder
    (out / "mask_mine.tif").write_bytes(b"mine")
    (out / "notes.txt").write_bytes(b"mine")
    return out


def test_overwrite_leaves_nothing_of_the_earlier_answer_and_all_that_is_the_users(
    pair: Pair, earlier: Path, done: ChangeResult
) -> None:
    ask(*pair, query=NEW, out=earlier, overwrite=True)
    assert visible(earlier) == visible(done.folder) | {"mask_mine.tif", "notes.txt"}
    assert verify(earlier) == []


def test_styles_and_shapefiles_of_the_same_name_are_replaced_in_place(pair: Pair, tmp_path: Path) -> None:
    out = ask(*pair, query=NEW, out=tmp_path / "out", formats=["shp"]).folder
    before = visible(out)
    seen: list[set[str]] = []

    def look(event: object) -> None:
        if isinstance(event, Stage) and event.name == "polygons":
            seen.append(visible(out))

    ask(*pair, query=LOST, out=out, formats=["shp"], overwrite=True, on_event=look)
    assert seen == [before - {"checksums.json", "run.json", "item.json", "project.qgz"} | {".geomtrs"}]
    assert visible(out) == before


def test_an_earlier_answer_is_whole_until_the_next_one_is_written(pair: Pair, earlier: Path) -> None:
    before = visible(earlier)
    with pytest.raises(KeyboardInterrupt):
        ask(*pair, query=NEW, out=earlier, overwrite=True, on_event=Dies(1))
    assert visible(earlier) == before | {".geomtrs"}
    assert verify(earlier) == []


def test_an_altered_list_of_the_earlier_answer_deletes_nothing(pair: Pair, earlier: Path) -> None:
    listed = (earlier / "checksums.json").read_text("utf-8")
    (earlier / "checksums.json").write_text(listed.replace("coverage.tif", "notes.txt"), encoding="utf-8")
    before = visible(earlier)
    ask(*pair, query=NEW, out=earlier, overwrite=True)
    assert before <= visible(earlier)


def test_what_the_next_run_reads_of_the_earlier_answer_stays(pair: Pair, earlier: Path) -> None:
    area = earlier / "changes_the-roofs-that-appeared.shp"
    ask(*pair, query=NEW, out=earlier, overwrite=True, aoi=area)
    assert len(geopandas.read_file(area)) == 2


def test_nothing_is_printed_by_the_library(
    pair: Pair, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ask(*pair, query=NEW, out=tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
