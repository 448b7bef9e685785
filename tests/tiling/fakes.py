"""A source and models small enough to check a whole raster by hand: exact in whole numbers, whatever the window."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from tiling.answer import BlockWorker, TileModel
from tiling.mosaic import windows
from tiling.plan import Plan
from tiling.stack import OBSERVED
from tiling.store import BlockStore


def grid(height: int, width: int) -> GeoBox:
    """10 m pixels whose origin lies on no whole pixel."""
    return GeoBox((height, width), Affine(10, 0, 600_003.5, 0, -10, 5_100_007.25), "EPSG:32633")


@dataclass(frozen=True)
class Pixels:
    pixels: NDArray[np.uint8]
    coverage: NDArray[np.uint8]


@dataclass(frozen=True)
class ArraySource:
    """Two dates held in memory: pixels (2, 3, H, W), coverage (H, W)."""

    geobox: GeoBox
    pixels: NDArray[np.uint8]
    coverage: NDArray[np.uint8]

    def read(self, window: Window) -> Pixels:
        rows, cols = window.toslices()
        return Pixels(self.pixels[:, :, rows, cols], self.coverage[rows, cols])


def noise_source(height: int, width: int, seed: int = 0, *, holes: bool = False) -> ArraySource:
    """Noise at two dates, with rectangles of holes on request."""
    rng = np.random.default_rng(seed)
    coverage = np.full((height, width), OBSERVED, np.uint8)
    for _ in range(4 if holes else 0):
        row, col = int(rng.integers(0, height)), int(rng.integers(0, width))
        coverage[row : row + int(rng.integers(1, height + 1)), col : col + int(rng.integers(1, width + 1))] = 10
    pixels = rng.integers(0, 256, (2, 3, height, width), dtype=np.uint8)
    return ArraySource(grid(height, width), pixels, coverage)


def box_change(pixels: NDArray[np.uint8], radius: int) -> NDArray[np.float32]:
    """(2, 3, H, W) → (H, W): mean absolute difference in a square around each pixel, black beyond the array.

    Whole numbers up to the last division, so that a window around a pixel gives it the bits that the raster gives.
    """
    difference = np.abs(pixels[1].astype(np.int64) - pixels[0]).sum(axis=0)
    side = 2 * radius + 1
    table = np.pad(difference, radius + 1).cumsum(axis=0).cumsum(axis=1)
    total = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    height, width = difference.shape
    mean: NDArray[np.float32] = (total[:height, :width] / (3 * 255 * side * side)).astype(np.float32)
    return mean


@dataclass
class BoxModel:
    """A local filter of the given radius; one answer for each query, the second upside down in value."""

    radius: int
    queries: int = 1
    shown: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.shown.append(tiles.shape)
        change = np.stack([box_change(tile, self.radius) for tile in tiles])
        answers = [change if query % 2 == 0 else 1 - change for query in range(self.queries)]
        return np.stack(answers, axis=1), np.full((len(tiles), self.queries), 0.75, np.float32)


@dataclass
class ConstantModel:
    """The same probability everywhere."""

    value: float

    def __call__(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return (
            np.full((len(tiles), 1, *tiles.shape[-2:]), self.value, np.float32),
            np.ones((len(tiles), 1), np.float32),
        )


def answer_all(plan: Plan, source: ArraySource, model: TileModel, folder: Path, *, seed: int = 0) -> BlockStore:
    """The store of all blocks, answered in a random order."""
    store = BlockStore(folder, plan.id)
    worker = BlockWorker(plan, source, lambda: model, store, batch=3, retries=0)
    for index in np.random.default_rng(seed).permutation(len(plan.blocks)):
        worker.answer(plan.blocks[index])
    return store


def whole(store: BlockStore, plan: Plan, query: int = 0) -> NDArray[np.uint8]:
    """The mosaic as one array, (H, W); what no window holds is 254, which is no answer."""
    raster = np.full(plan.shape, 254, np.uint8)
    for part in windows(store, plan, query):
        raster[part.window.toslices()] = part.probability
    return raster
