"""Memory follows the settings of a run, not the size of the scene."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from geomtrs.errors import QueryError
from geomtrs.memory import left_for_blocks
from tests.geomtrs.conftest import ask

RUN = """
import sys, geomtrs
before, after, out, memory = sys.argv[1:]
run = geomtrs.detect(before, after, query="what appeared", out=out, model="differencing", memory=memory or None).run
print(run["peak_bytes"])
"""


def draw(folder: Path, side: int) -> list[str]:
    """Two dates of a sparse scene, a bright square in each 1024 px."""
    quiet = np.repeat(np.kron(np.arange(80, 120, dtype=np.uint8)[:32], np.ones((1024, 32), np.uint8))[None], 3, 0)
    changed = quiet.copy()
    changed[:, 100:140, 100:140] = 250
    paths = []
    for name, cell in (("a.tif", quiet), ("b.tif", changed)):
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "tiled": True, "compress": "deflate"}
        place = {"crs": "EPSG:32633", "transform": Affine(1, 0, 5e5, 0, -1, 5e6), "width": side, "height": side}
        paths.append(str(folder / name))
        with rasterio.open(folder / name, "w", **profile, **place) as raster:
            for top in range(0, side, 1024):
                for left in range(0, side, 1024):
                    height, width = min(1024, side - top), min(1024, side - left)
                    raster.write(cell[:, :height, :width], window=Window(left, top, width, height))
    return paths


def peak(folder: Path, side: int, memory: str = "") -> int:
    """Bytes that a run in a process of its own had at most."""
    folder.mkdir()
    words = [*draw(folder, side), str(folder / "out"), memory]
    done = subprocess.run([sys.executable, "-c", RUN, *words], check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout))


def test_a_promise_that_cannot_be_kept_is_refused_before_the_work() -> None:
    with pytest.raises(QueryError, match=r"at least \d+ MB"):
        left_for_blocks(50_000_000)


def test_a_refused_promise_leaves_no_folder_and_no_job(pair: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="--memory"):
        ask(*pair, query="what appeared", out=tmp_path / "out", memory="60MB")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_scene_c8(tmp_path: Path) -> None:
    small, large = peak(tmp_path / "small", 5_000), peak(tmp_path / "large", 10_000)
    assert large < 1.2 * small


@pytest.mark.slow
def test_the_promise_of_memory_is_kept(tmp_path: Path) -> None:
    assert peak(tmp_path / "run", 8_000, "700MB") <= 700_000_000
