"""Damage that is met half-way: the error names file and window, what is finished is kept, and goes on once mended."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.windows import Window

import geomtrs
from geomtrs.errors import JobError
from geomtrs.events import Listener, silent
from geomtrs.job import StartOptions
from geomtrs.outputs.verify import verify
from geomtrs.result import ChangeResult
from tests.faults import killer
from tests.faults.server import serve
from tests.geomtrs.conftest import read
from tests.geomtrs.test_cli import geomtrs as run
from tests.geomtrs.test_cli import refused
from tests.tiling.rasters import texture, write_below
from tiling.engine import BlockDone
from tiling.errors import BlockError, SourceError
from tiling.grid import source_geobox
from tiling.source import OpenFiles, describe_source, read_native
from tiling.stack import FAILED

Pair = tuple[str, str]


SIDE = 1100  # more than a million pixels: the sample of a scene is read from the overview, damage is met by a block
OPTIONS: StartOptions = {"model": "differencing", "tile_px": 400, "block_tiles": 1, "register": "off", "retries": 0}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Two dates of nine blocks, with an overview."""
    folder, random = tmp_path_factory.mktemp("large"), np.random.default_rng(2)
    before = random.integers(90, 104, (3, SIDE, SIDE), dtype=np.uint8)
    after = before.copy()
    after[:, 300:340, 300:360] = 245
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate", "interleave": "pixel"}
    paths = []
    for name, pixels in (("2019.tif", before), ("2023.tif", after)):
        paths.append(write_below(folder, name, pixels, **tiles))
        with rasterio.open(paths[-1], "r+") as raster:
            raster.build_overviews([2], Resampling.nearest)
    return paths[0], paths[1]


def ask(pair: tuple[str, ...], out: Path, on_event: Listener = silent, **options: Unpack[StartOptions]) -> ChangeResult:
    """A run of nine blocks."""
    return geomtrs.detect(*pair, query=killer.SENTENCE, out=out, on_event=on_event, **{**OPTIONS, **options})


@pytest.fixture(scope="module")
def undisturbed(large: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ask(large, tmp_path_factory.mktemp("whole") / "out").folder


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Zeros over the data of one tile in the middle; afterwards the file is back, with its times, as from a backup."""
    whole, times = path.read_bytes(), path.stat()
    with rasterio.open(path) as raster:
        start = int(raster.get_tag_item("BLOCK_OFFSET_4_4", "TIFF", bidx=1))
    path.write_bytes(whole[:start] + bytes(4096) + whole[start + 4096 :])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def gone_on(out: Path) -> int:
    """Ends a run; how many of its finished blocks it computed again."""
    done, computed = killer.finished_blocks(out), set[str]()
    assert done, "some blocks were finished before the damage was met"
    geomtrs.resume(out, on_event=lambda event: computed.add(event.block_id) if isinstance(event, BlockDone) else None)
    assert verify(out) == []
    return len(done & computed)


def test_damage_met_half_way_ends_the_run_which_goes_on_when_the_file_is_back_a16(
    large: Pair, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with damaged(Path(large[1])), pytest.raises(BlockError) as caught:
        ask(large, out)
    assert re.search(r"2023\.tif: found data that cannot be read at columns \d+\+\d+, rows \d+\+\d+", str(caught.value))
    assert "resume" in caught.value.remedy
    assert [path.name for path in out.iterdir()] == [".geomtrs"]
    assert gone_on(out) == 0
    assert killer.answer(out) == killer.answer(undisturbed)


def test_another_file_in_its_place_is_not_gone_on_with_a16(large: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with damaged(Path(large[1])), pytest.raises(BlockError):
        ask(large, out)
    Path(large[1]).touch()
    with pytest.raises(JobError, match=r"input .*2023\.tif: changed since"):
        geomtrs.resume(out)


def test_keep_going_leaves_out_what_is_lost_and_answers_the_rest_a16(
    large: Pair, undisturbed: Path, tmp_path: Path
) -> None:
    with damaged(Path(large[1])):
        result = ask(large, tmp_path / "out", keep_going=True)
    lost = read(result.folder / "coverage.tif") == FAILED
    mask, whole = read(result.folder / "mask.tif"), read(undisturbed / "mask.tif")
    assert lost.any()
    assert not lost.all()
    assert (mask[lost] == 255).all()
    assert np.array_equal(mask[~lost], whole[~lost])
    assert all("2023.tif" in block["file"] for block in result.run["failed_blocks"])
    assert verify(result.folder) == []


@pytest.mark.slow
def test_what_a_server_garbles_ends_the_run_which_goes_on_when_it_is_well_a16(large: Pair, tmp_path: Path) -> None:
    folder, out = Path(large[0]).parent, tmp_path / "out"
    requests: list[int] = []
    with serve(folder) as served:
        ask(
            tuple(f"{served.address}/{Path(path).name}" for path in large),
            tmp_path / "whole",
            on_event=lambda event: requests.append(served.told()[0]) if isinstance(event, BlockDone) else None,
        )
    with serve(folder, "garble", 1.0, after=requests[3]) as served:
        with pytest.raises(BlockError, match=r"127\.0\.0\.1.*data that cannot be read at columns"):
            ask(tuple(f"{served.address}/{Path(path).name}" for path in large), out)
        served.heal()
        assert gone_on(out) == 0
    assert np.array_equal(read(out / "mask.tif"), read(tmp_path / "whole" / "mask.tif"))


def test_a_vrt_over_a_file_that_is_gone_names_it_and_the_window_a16(pair: Pair, tmp_path: Path) -> None:
    part = tmp_path / "part.tif"
    rasterio.shutil.copy(pair[1], part, driver="GTiff")
    rasterio.shutil.copy(part, tmp_path / "all.vrt", driver="VRT")
    part.unlink()
    words = ("-q", killer.SENTENCE, "-o", str(tmp_path / "out"), "--model", "differencing")
    done = run("detect", pair[0], str(tmp_path / "all.vrt"), *words)
    refused(done, 1, "all.vrt", "part.tif: No such file", "columns 0+110, rows 0+84")
    assert not (tmp_path / "out").exists()


def test_a_tiff_that_is_cut_names_the_window_a16(tmp_path: Path) -> None:
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate", "interleave": "pixel"}
    whole = Path(write_below(tmp_path, "whole.tif", texture(96, 96), **tiles))
    rasterio.shutil.copy(whole, tmp_path / "cut.tif", driver="GTiff", **tiles)  # its directory comes first
    cut = tmp_path / "cut.tif"
    os.truncate(cut, cut.stat().st_size // 2)
    files = OpenFiles()
    source = describe_source(files.get(str(cut)), [1, 2, 3], geobox=source_geobox(cut))
    assert read_native(source, files, Window(0, 0, 96, 32))[1].all()
    with pytest.raises(SourceError, match=r"cut\.tif: found data that cannot be read at columns 64\+32, rows 64\+32"):
        read_native(source, files, Window(64, 64, 32, 32))
