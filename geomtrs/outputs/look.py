"""What the preview looks at: both dates and the answer over one window, small enough to draw.

A scene of any size is read in pieces and made smaller piece by piece, so memory follows the picture, not the scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from geomtrs.outputs.raster import may_lack_place
from tiling.errors import SourceError
from tiling.grid import window_geobox
from tiling.ground import compose
from tiling.mosaic import GDAL_CACHE_BYTES

# Pieces read at once; a multiple of usual file tiles, so that few tiles are decoded for two pieces.
PIECE_PX = 2048
_TORN_PX = 64


@dataclass(frozen=True, slots=True)
class Look:
    """One place on one grid: before, after (H, W, 3) uint8; probability (H, W) uint8, 0..250, 255 not observed."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    probability: NDArray[np.uint8]
    geobox: GeoBox

    def __post_init__(self) -> None:
        """Raise ValueError when the arrays do not lie on the grid."""
        shape = tuple(self.geobox.shape)
        found = (self.before.shape, self.after.shape, self.probability.shape)
        if found != ((*shape, 3), (*shape, 3), shape):
            raise ValueError(f"before, after, probability have shapes {found}; the grid is {shape}")

    def part(self, window: Window) -> Look:
        """The same look over a window of its own grid."""
        rows, cols = window.toslices()
        before, after, probability = (array[rows, cols] for array in (self.before, self.after, self.probability))
        return Look(before, after, probability, window_geobox(self.geobox, window))


class Pixels(Protocol):
    """What a stack's read gives: pixels (T, 3, H, W) uint8."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(T, 3, H, W) uint8."""


class Stack(Protocol):
    """Dates on one grid (tiling.stack.Stack)."""

    @property
    def geobox(self) -> GeoBox:
        """The grid of the run."""

    def read(self, window: Window) -> Pixels:
        """Pixels of all dates in a window."""


@dataclass(frozen=True, slots=True)
class _Black:
    """Pixels of ground that cannot be read."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TornStack:
    """A stack, black where its files cannot be read: what a run had to leave out, its picture cannot show."""

    stack: Stack
    dates: int

    @property
    def geobox(self) -> GeoBox:
        """The grid of the run."""
        return self.stack.geobox

    def read(self, window: Window) -> Pixels:
        """Pixels of a window; where a part cannot be read, that part alone is black, to squares of some 64 px."""
        try:
            return self.stack.read(window)
        except SourceError:
            black = np.zeros((self.dates, 3, int(window.height), int(window.width)), np.uint8)
        if max(window.height, window.width) > _TORN_PX:
            for part in _quarters(window):
                rows = slice(part.row_off - window.row_off, part.row_off - window.row_off + part.height)
                cols = slice(part.col_off - window.col_off, part.col_off - window.col_off + part.width)
                black[..., rows, cols] = self.read(part).pixels
        return _Black(black)


@dataclass(frozen=True, slots=True)
class SceneReader:
    """Looks at a scene: the whole of it made smaller, or a part of it at full size if that fits.

    stack        the dates
    probability  the probability raster of the answer, on the stack's grid
    dates        which two dates are before and after
    mask         the mask of the answer, where words about the scene left some of it out; what it has not is not shown
    max_px       the longer side of a look is at most this
    """

    stack: Stack
    probability: Path
    dates: tuple[int, int] = (0, 1)
    mask: Path | None = None
    max_px: int = 1024
    _whole: list[NDArray[np.uint8]] = field(default_factory=list, repr=False, compare=False)

    def of(self, probability: Path, mask: Path | None = None) -> SceneReader:
        """A reader of another answer about the same dates, which are not read again for the whole scene."""
        return replace(self, probability=probability, mask=mask)

    @property
    def has_read(self) -> bool:
        """Whether the dates of the whole scene are at hand."""
        return bool(self._whole)

    def read_dates(self, known: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Both dates of the whole scene made smaller, (6, H', W'), read once for every answer about them.

        known  what an earlier call returned for the same dates: they are not read then
        """
        if not self._whole:
            height, width = self.stack.geobox.shape
            factor = self._factor(height, width)
            if known is None or known.shape != (6, math.ceil(height / factor), math.ceil(width / factor)):
                known = self._dates(Window(0, 0, width, height))
            self._whole.append(known)
        return self._whole[0]

    def whole(self) -> Look:
        """The whole scene."""
        height, width = self.stack.geobox.shape
        return self._look(Window(0, 0, width, height), self.read_dates())

    def closer(self, window: Window) -> Look:
        """A window of `whole()`'s grid (pixels of that grid), read again with as many pixels as `max_px` allows."""
        factor = self._factor(*self.stack.geobox.shape)
        height, width = self.stack.geobox.shape
        left, top = window.col_off * factor, window.row_off * factor
        right, bottom = left + window.width * factor, top + window.height * factor
        part = Window(left, top, min(right, width) - left, min(bottom, height) - top)
        return self._look(part, self._dates(part))

    def _factor(self, height: int, width: int) -> int:
        return max(1, math.ceil(max(height, width) / self.max_px))

    def _dates(self, window: Window) -> NDArray[np.uint8]:
        """Both dates (6, H', W') of a window, made smaller."""
        read = self.stack.read
        wanted = list(self.dates)

        def dates(piece: Window) -> NDArray[np.uint8]:
            return read(piece).pixels[wanted].reshape(-1, piece.height, piece.width)  # (2 · 3, h, w)

        # A cache bounded here as elsewhere: GDAL's own default is a share of the machine's memory.
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            return reduce_pieces(dates, window, self._factor(window.height, window.width), mean_of)

    def _look(self, window: Window, pixels: NDArray[np.uint8]) -> Look:
        factor = self._factor(window.height, window.width)
        with ExitStack() as opened:
            opened.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
            opened.enter_context(may_lack_place())
            raster = opened.enter_context(rasterio.open(self.probability))
            mask = opened.enter_context(rasterio.open(self.mask)) if self.mask else None

            def answer(piece: Window) -> NDArray[np.uint8]:
                values: NDArray[np.uint8] = raster.read(window=piece)
                if mask is not None:
                    values[mask.read(window=piece) == 0] = 0
                return values

            probability = reduce_pieces(answer, window, factor, largest_of)[0]
        before, after = np.moveaxis(pixels.reshape(2, 3, *probability.shape), 1, -1)
        return Look(before, after, probability, smaller(window_geobox(self.stack.geobox, window), factor))


def _quarters(window: Window) -> list[Window]:
    """The window in two halves or four quarters, whole pixels each."""
    halves = [
        [(start, length // 2), (start + length // 2, length - length // 2)] if length > 1 else [(start, length)]
        for start, length in ((window.row_off, window.height), (window.col_off, window.width))
    ]
    return [Window(left, top, width, height) for top, height in halves[0] for left, width in halves[1]]


def reduce_pieces(
    read: Callable[[Window], NDArray[np.uint8]],
    window: Window,
    factor: int,
    reduction: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """The window made `factor` times smaller, (N, ceil(H / factor), ceil(W / factor)), read in pieces.

    read       (N, h, w) of a window
    reduction  (N, H', factor, W', factor) → (N, H', W')

    The last row and column stand for fewer pixels when the size is no multiple of `factor`: their edge is repeated.
    """
    step = max(1, PIECE_PX // factor) * factor
    rows = []
    for top in range(0, window.height, step):
        height = min(step, window.height - top)
        parts = []
        for left in range(0, window.width, step):
            width = min(step, window.width - left)
            piece = read(Window(window.col_off + left, window.row_off + top, width, height))
            parts.append(reduction(_cells(piece, factor)))
        rows.append(np.concatenate(parts, axis=2))
    return np.concatenate(rows, axis=1)


def mean_of(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Imagery: the mean of each cell, as an eye would see it from farther away."""
    # Rows first: whole rows add up fast, and what is left for the slow direction is `factor` times less.
    total = cells.sum(axis=2, dtype=np.uint32).sum(axis=3, dtype=np.uint32)
    count = cells.shape[2] * cells.shape[4]
    mean: NDArray[np.uint8] = ((total + count // 2) // count).astype(np.uint8)
    return mean


def largest_of(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Probability: the largest observed value of each cell; 255 only where nothing of it was observed.

    The mean would sink a house under the threshold as soon as it is smaller than a cell, and the picture would say
    "nothing" where the layer holds a polygon.
    """
    # 255 + 1 wraps to 0: "not observed" becomes the smallest value, so that any observed one wins.
    shifted = cells + np.uint8(1)
    largest: NDArray[np.uint8] = shifted.max(axis=2).max(axis=3) - np.uint8(1)
    return largest


def _cells(piece: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """(N, h, w) as (N, H', factor, W', factor), its last row and column repeated where a cell is not full."""
    down, right = -piece.shape[1] % factor, -piece.shape[2] % factor
    if down or right:
        piece = np.pad(piece, ((0, 0), (0, down), (0, right)), mode="edge")
    n, height, width = piece.shape
    return piece.reshape(n, height // factor, factor, width // factor, factor)


def smaller(geobox: GeoBox, factor: int) -> GeoBox:
    """The grid of cells of factor × factor pixels, from the same corner; the last ones may reach beyond it."""
    height, width = geobox.shape
    shape = (math.ceil(height / factor), math.ceil(width / factor))
    return GeoBox(shape, compose(geobox.affine, Affine.scale(factor)), geobox.crs)
