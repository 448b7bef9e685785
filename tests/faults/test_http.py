"""Rasters behind a server that answers some requests badly: the pixels of the local file, or a bounded error."""

from __future__ import annotations

import logging
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from tests.faults.headers import claim
from tests.faults.server import serve
from tiling.errors import RefusedError, SourceError
from tiling.grid import source_geobox
from tiling.guard import BLOCK_MB
from tiling.source import OpenFiles, Source, describe_source, read_native

log = logging.getLogger(__name__)

WINDOWS = [Window(col, row, 256, 256) for row in (0, 512) for col in (256, 768)]


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,024 x 1,024 pixels of noise in tiles of 256, which do not compress."""
    path = tmp_path_factory.mktemp("served") / "noise.tif"
    pixels = np.random.default_rng(7).integers(1, 256, (3, 1024, 1024), dtype=np.uint8)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": 1024, "width": 1024, "tiled": True}
    place = Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 5_100_000.0)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=place, **profile, blockxsize=256, blockysize=256) as out:
        out.write(pixels)
    return path


def pixels(path: str) -> list[NDArray[np.generic]]:
    """Four windows, as a block reads them."""
    files = OpenFiles()
    source = describe_source(files.get(path), [1, 2, 3], geobox=source_geobox(path))
    return [read_native(source, files, window)[0] for window in WINDOWS]


def test_a_remote_raster_reads_few_bytes_more_than_its_windows_need_a19(raster: Path) -> None:
    with serve(raster.parent) as served:
        assert np.array_equal(pixels(f"{served.address}/{raster.name}"), pixels(str(raster)))
        bytes_sent = served.told()[2]
    assert bytes_sent <= 1.2 * 3 * 256 * 256 * len(WINDOWS)


@pytest.mark.parametrize("kind", ["503", "reset"])
def test_requests_that_fail_now_and_then_change_no_pixel_e5(raster: Path, kind: str) -> None:
    with serve(raster.parent, kind, 0.3, seed=3) as served:
        assert np.array_equal(pixels(f"{served.address}/{raster.name}"), pixels(str(raster)))
        assert served.told()[1] > 0


def test_a_server_that_refuses_every_request_ends_in_an_error_that_names_the_address_e5(raster: Path) -> None:
    with serve(raster.parent, "503", 1.0) as served, pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        pixels(f"{served.address}/{raster.name}")


def test_an_index_of_blocks_that_is_not_served_is_an_error_and_no_hole_e5(raster: Path) -> None:
    def opened(address: str) -> tuple[OpenFiles, Source]:
        files = OpenFiles()
        return files, describe_source(files.get(address), [1, 2, 3], geobox=source_geobox(address))

    with serve(raster.parent) as served:
        opened(f"{served.address}/{raster.name}")
        requests = served.told()[0]
    with serve(raster.parent, "403", 1.0, after=requests) as served:
        files, source = opened(f"{served.address}/{raster.name}")
        with pytest.raises(SourceError, match="data that cannot be read"):
            read_native(source, files, WINDOWS[0])


def test_a_refusal_is_final_and_costs_no_more_requests_than_opening_e5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = claim(tmp_path / "bomb.tif", 20_000, 20_000, rows=10_000, data=zlib.compress(bytes(1 << 20)))
    with serve(tmp_path) as served:
        address = f"{served.address}/{bomb.name}"
        with pytest.raises(RefusedError, match=f"{address}: found a strip or tile"):
            OpenFiles().get(address)
        refused = served.told()[0]
        monkeypatch.setenv(BLOCK_MB, "600")
        files = OpenFiles()
        files.get(address)
        opened = served.told()[0] - refused
        files.close()
    assert 0 < refused <= opened


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 4])  # met while the file is opened; while it is read
def test_a_read_from_a_server_that_stalls_is_given_up_after_about_a_minute_e5(raster: Path, after: int) -> None:
    source = describe_source(OpenFiles().get(str(raster)), [1, 2, 3], geobox=source_geobox(str(raster)))
    with serve(raster.parent, "stall", 1.0, after=after) as served:
        address = f"{served.address}/{raster.name}"
        began = time.monotonic()
        with pytest.raises(SourceError, match=address):
            read_native(replace(source, paths=(address,) * 3), OpenFiles(), WINDOWS[0])
        taken = time.monotonic() - began
        requests, met, _ = served.told()
    log.info("stall after %d requests: %d of %d stalled, given up after %.1f s", after, met, requests, taken)
    assert taken < 75


KINDS = ("403", "404", "429", "500", "503", "reset", "stall")


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_faults_end_in_the_same_pixels_or_a_bounded_error_e5(raster: Path, kind: str, share: float) -> None:
    began, outcome = time.monotonic(), "equal pixels"
    with serve(raster.parent, kind, share) as served:
        address = f"{served.address}/{raster.name}"
        try:
            assert np.array_equal(pixels(address), pixels(str(raster)))
        except SourceError as error:
            outcome = str(error)
        requests, met, _ = served.told()
    taken = time.monotonic() - began
    log.info("%s at %d %%: %d of %d requests failed, %.1f s, %s", kind, 100 * share, met, requests, taken, outcome)
    assert bool(met) == bool(share)
    assert outcome == "equal pixels" or address in outcome
    assert taken < 240  # four windows
