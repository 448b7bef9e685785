"""Fixtures of the tests of tiling."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.tiling.rasters import Pixels, WriteRaster, texture, write_below


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """Write rasters below the test's folder."""
    return partial(write_below, tmp_path)


@pytest.fixture
def scene_pixels() -> Pixels:
    """A picture (3, 64, 96) uint8 with something to see at every scale."""
    return texture(64, 96)
