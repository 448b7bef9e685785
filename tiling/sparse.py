"""Blocks that a GeoTIFF does not hold: GDAL reads them as zeros, yet nobody ever saw that ground.

A writer that was killed leaves such blocks, damage to the list of sizes does, and GDAL leaves them out on purpose where
all is nodata. None of them is an observation, so none may pass for ground that did not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from tiling.tiff import SPLIT_ROWS

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


def held(
    dataset: DatasetReader, bands: Sequence[int], window: Window, shape: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Where the file holds these bands, over a window read into ``shape`` (h, w); None where it holds all of it."""
    if dataset.driver != "GTiff":
        return None
    rows, columns = dataset.block_shapes[bands[0] - 1]
    # Of a lone strip that is shown as rows GDAL knows the place of the first alone.
    if rows == 1 and dataset.height > SPLIT_ROWS and _is_lone_strip(dataset, bands[0]):
        return None
    y = _blocks(window.row_off, window.height, shape[0], rows)
    x = _blocks(window.col_off, window.width, shape[1], columns)
    together = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL"
    stored = bands[:1] if together else bands
    there = np.array(
        [
            [all(_place(dataset, band, column, row) for band in stored) for column in range(x[0], x[-1] + 1)]
            for row in range(y[0], y[-1] + 1)
        ]
    )
    return None if there.all() else np.asarray(there[np.ix_(y - y[0], x - x[0])])


def _blocks(first: float, length: float, count: int, size: int) -> NDArray[np.int64]:
    """The block of each of ``count`` pixels that stand for a side of a window, the nearest ones."""
    return ((first + (np.arange(count) + 0.5) * length / count) // size).astype(np.int64)


def _is_lone_strip(dataset: DatasetReader, band: int) -> bool:
    first, second, last = (_place(dataset, band, 0, row) for row in (0, 1, dataset.height - 1))
    return first and not second and not last


def _place(dataset: DatasetReader, band: int, column: int, row: int) -> bool:
    return dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band) is not None
