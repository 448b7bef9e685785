"""Places to ask about: tiny GeoTIFFs, never square, with a known change, written anew for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geomtrs.events import Listener, silent
from geomtrs.job import StartOptions, detect
from geomtrs.options import DateSource
from geomtrs.result import ChangeResult

HEIGHT, WIDTH = 150, 220
APPEARED = (slice(60, 90), slice(80, 130))  # over tile and block corners of 64 px tiles
GONE = (slice(20, 40), slice(170, 200))


def ground(seed: int = 0) -> NDArray[np.uint8]:
    """(3, H, W) quiet ground."""
    return np.random.default_rng(seed).integers(90, 104, (3, HEIGHT, WIDTH), dtype=np.uint8)


def write(path: Path, pixels: NDArray[np.uint8], *, nodata: float | None = None, **tags: str) -> Path:
    """A GeoTIFF of 2 m pixels in UTM 33 N with an origin off any round number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": pixels.shape[1], "width": pixels.shape[2]}
    transform = Affine(2.0, 0.0, 500_003.5, 0.0, -2.0, 5_100_007.25)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, nodata=nodata, **profile) as raster:
        raster.write(pixels)
        raster.update_tags(**tags)
    return path


def changed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A bright thing more, a dark one where there was ground."""
    after = pixels.copy()
    after[:, *APPEARED] = 245
    after[:, *GONE] = 5
    return after


def ask(
    *images: DateSource,
    query: str | list[str],
    out: Path,
    on_event: Listener = silent,
    **options: Unpack[StartOptions],
) -> ChangeResult:
    """`detect` with differencing and tiles small enough that the place has several blocks."""
    told: StartOptions = {"model": "differencing", "tile_px": 64, "block_tiles": 2}
    told |= options
    return detect(*images, query=query, out=out, on_event=on_event, **told)


def read(path: Path) -> NDArray[np.uint8]:
    """The first band."""
    with rasterio.open(path) as raster:
        pixels: NDArray[np.uint8] = raster.read(1)
        return pixels


def visible(folder: Path) -> set[str]:
    """Names of what lies in a folder."""
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Two dates with one thing that appeared and one that went."""
    before = ground()
    return (
        str(write(tmp_path / "in" / "2019.tif", before)),
        str(write(tmp_path / "in" / "2023.tif", changed(before))),
    )


@pytest.fixture
def raster() -> Callable[..., Path]:
    """Writes a GeoTIFF: see `write`."""
    return write
