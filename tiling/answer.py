"""One block, answered: read once, its tiles shown to the model, their probabilities blended into whole sums."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from tiling.blend import quantise, tile_weights
from tiling.errors import BlockError, OutputError, RefusedError, StoreError, TilingError
from tiling.plan import Block, Plan, Tile, margins, within
from tiling.stack import OBSERVED, OUTSIDE_AOI
from tiling.store import BlockStore, Json

_FIRST_PAUSE_S = 0.1  # before a block is tried again; doubled each time

# One model is at work at a time in a process, whichever of several runs asks it.
_TURN = threading.Lock()

_log = logging.getLogger(__name__)


class TileModel(Protocol):
    """What answers tiles; made once per worker process by a picklable factory, and called by one thread at a time."""

    def __call__(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(N, T, C, H, W) uint8 → probability (N, Q, H, W) and existence (N, Q), float32 in [0, 1]."""


@runtime_checkable
class PlacedModel(Protocol):
    """A TileModel that is also told which tiles it sees, where it keeps or recalls something of each."""

    def at(
        self, tiles: NDArray[np.uint8], places: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the call without places gives; `places` are row and column of each tile in the tile grid."""


class TilePixels(Protocol):
    """What a source returns: pixels (T, C, h, w) uint8 and coverage (h, w) uint8, codes of `tiling.stack`."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(T, C, h, w), holes filled."""

    @property
    def coverage(self) -> NDArray[np.uint8]:
        """(h, w): OBSERVED where every date shows the ground."""


class TileSource(Protocol):
    """Where pixels come from; a `Stack`, or anything else that is picklable and may be read by several threads."""

    @property
    def geobox(self) -> GeoBox:
        """The grid of the pixels."""

    def read(self, window: Window) -> TilePixels:
        """The pixels of a window of the grid."""


ModelFactory: TypeAlias = Callable[[], TileModel]


class StoppedError(Exception):
    """The run was called off while this block was at work."""


@dataclass(frozen=True, slots=True)
class BlockWork:
    """What a worker tells of a finished block: seconds by part, and about how many bytes it held at its peak."""

    seconds: Mapping[str, float]
    nbytes: int


class BlockWorker:
    """Answers blocks of one plan into its store, in as many threads as call it; holds the one model of the process.

    Pickles without its model, which is made by `factory` when the first block asks for it.
    """

    def __init__(
        self, plan: Plan, stack: TileSource, factory: ModelFactory, store: BlockStore, *, batch: int, retries: int
    ) -> None:
        self.plan, self.stack, self.factory, self.store = plan, stack, factory, store
        self.batch, self.retries = batch, retries
        self._model: TileModel | None = None
        self._turn = _TURN
        self._stop = threading.Event()

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Everything but the model, the lock and the stop sign, which belong to the process."""
        return _rebuild, (self.plan, self.stack, self.factory, self.store, self.batch, self.retries)

    def stop(self) -> None:
        """Blocks at work give up after the model's current batch, and no further one begins."""
        self._stop.set()

    def answer(self, block: Block) -> BlockWork:
        """The block is in the store for good.

        Raises BlockError when it failed in every attempt, StoreError or DiskFullError when it cannot be saved,
        StoppedError after `stop`, and whatever the factory raises: those would fail for every other block too.
        """
        model = self._made_model()
        pause_s = _FIRST_PAUSE_S
        for attempt in range(self.retries + 1):
            try:
                return self._attempt(block, model)
            except (StoreError, OutputError, StoppedError):
                raise
            except RefusedError as error:  # and would be again
                raise failed_block(block, error, attempts=attempt + 1) from error
            except Exception as error:  # noqa: BLE001 - whatever a model or a file does, the block is named
                _log.info("block %s, attempt %d of %d: %s", block.id, attempt + 1, self.retries + 1, error)
                last = error
            if attempt < self.retries and self._stop.wait(pause_s):
                raise StoppedError
            pause_s *= 2
        raise failed_block(block, last, attempts=self.retries + 1) from last

    def _made_model(self) -> TileModel:
        with self._turn:
            if self._model is None:
                self._model = self.factory()
            return self._model

    def _attempt(self, block: Block, model: TileModel) -> BlockWork:
        if self.store.has(block.id):  # by a worker that died before it could say so
            return BlockWork(dict.fromkeys(("read", "model", "blend", "write"), 0.0), 0)
        arrays, meta = answer_block(
            block, self.stack, model, self.plan, batch=self.batch, turn=self._turn, stop=self._stop
        )
        began = perf_counter()
        self.store.put(block.id, arrays, meta)
        return BlockWork({**meta["seconds"], "write": perf_counter() - began}, meta["nbytes"])


def answer_block(
    block: Block,
    stack: TileSource,
    model: TileModel,
    plan: Plan,
    *,
    batch: int,
    turn: AbstractContextManager[object],
    stop: threading.Event | None = None,
) -> tuple[dict[str, NDArray[np.generic]], dict[str, Json]]:
    """Arrays and meta of a block, as the store keeps them.

    turn  held while the model is at work on this block, so that several threads can share it
    stop  when it is set, StoppedError is raised before the model's next batch

    Arrays: "coverage" (h, w) uint8 and for each query q "core/q" (h, w) uint16 over the core, "n/q", "ne/q" … over the
    margins; coverage alone where no tile's core has an observed pixel. Raises ValueError for an answer that has the
    wrong shape or is no probability.
    """
    began = perf_counter()
    read = stack.read(block.read)
    cover = _core_coverage(block, read.coverage)
    tiles = [tile for tile in block.tiles if (cover[within(tile.core, block.core)] == OBSERVED).any()]
    seconds = {"read": perf_counter() - began, "model": 0.0, "blend": 0.0}
    sums: NDArray[np.uint16] | None = None
    existence: dict[tuple[int, int], list[float]] = {}
    with turn:
        for group in _batches(tiles, batch):
            if stop is not None and stop.is_set():
                raise StoppedError
            began = perf_counter()
            shown = np.stack([read.pixels[:, :, *within(tile.read, block.read)] for tile in group])  # (N, T, C, H, W)
            answered = perf_counter()
            places = [(tile.row, tile.col) for tile in group]
            told = model.at(shown, places) if isinstance(model, PlacedModel) else model(shown)
            probability, exists = told  # (N, Q, H, W), (N, Q)
            seconds["model"] += perf_counter() - answered
            _check_shapes(shown, probability, exists)
            if sums is None:
                sums = np.zeros((exists.shape[1], block.answer.height, block.answer.width), np.uint16)
            for tile, p, e in zip(group, probability, exists, strict=True):
                _add(sums, block, tile, p, tile_weights(plan, tile))
                existence[tile.row, tile.col] = [float(value) for value in e]
            seconds["blend"] += perf_counter() - began
    seconds["blend"] = max(0.0, seconds["blend"] - seconds["model"])
    arrays: dict[str, NDArray[np.generic]] = {"coverage": cover} | _parts(block, sums)
    held = read.pixels.nbytes + read.coverage.nbytes + sum(array.nbytes for array in arrays.values())
    meta: dict[str, Json] = {
        "existence": [existence[tile.row, tile.col] for tile in tiles],
        "tiles": [[tile.row, tile.col] for tile in tiles],
        "seconds": seconds,
        "nbytes": 2 * held,  # reading and compressing each hold a copy
    }
    return arrays, meta


def failed_block(block: Block, error: BaseException, *, attempts: int) -> BlockError:
    """The error that names the block's window, the file at fault where the error knows it, and the reason."""
    rows = f"rows {block.core.row_off}..{block.core.row_off + block.core.height}"
    cols = f"columns {block.core.col_off}..{block.core.col_off + block.core.width}"
    reason = f"{error.found} ({error.wanted})" if isinstance(error, TilingError) else f"{type(error).__name__}: {error}"
    return BlockError(
        error.file if isinstance(error, TilingError) else f"block {block.id}",
        found=f"{reason} in {rows}, {cols} (block {block.id}), {attempts} attempt{'' if attempts == 1 else 's'}",
        wanted="an answer for every block",
        remedy="mend the cause, then resume: finished blocks are kept",
    )


def _core_coverage(block: Block, coverage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Coverage over the block's core; tiles that the area of interest left out of the plan were not even read."""
    cover = np.full((block.core.height, block.core.width), OUTSIDE_AOI, np.uint8)
    for tile in block.tiles:
        cover[within(tile.core, block.core)] = coverage[within(tile.core, block.read)]
    return cover


def _batches(tiles: Iterable[Tile], size: int) -> Iterator[Sequence[Tile]]:
    """Tiles of one shape together, at most `size` at once: who is with whom depends on the block alone (C9)."""
    by_shape: dict[tuple[int, int], list[Tile]] = defaultdict(list)
    for tile in tiles:
        by_shape[tile.read.height, tile.read.width].append(tile)
    for alike in by_shape.values():
        for first in range(0, len(alike), size):
            yield alike[first : first + size]


def _check_shapes(shown: NDArray[np.uint8], probability: NDArray[np.float32], existence: NDArray[np.float32]) -> None:
    count, height, width = shown.shape[0], *shown.shape[-2:]
    queries = existence.shape[-1]
    if existence.shape != (count, queries) or probability.shape != (count, queries, height, width):
        raise ValueError(
            f"the model answered {probability.shape} and {existence.shape} to tiles of {shown.shape}; "
            f"wanted ({count}, Q, {height}, {width}) and ({count}, Q)"
        )
    if not ((existence >= 0) & (existence <= 1)).all():
        raise ValueError("the model answered an existence outside of 0..1")


def _add(
    sums: NDArray[np.uint16],
    block: Block,
    tile: Tile,
    probability: NDArray[np.float32],
    weights: NDArray[np.uint16],
) -> None:
    """Adds a tile's weighted answer: probability (Q, H, W) over its read window, weights over its answer window."""
    rows, cols = within(tile.answer, tile.read)
    for total, p in zip(sums, probability[:, rows, cols], strict=True):
        total[within(tile.answer, block.answer)] += quantise(p) * weights


def _parts(block: Block, sums: NDArray[np.uint16] | None) -> dict[str, NDArray[np.generic]]:
    windows = {"core": block.core} | margins(block)
    return {
        f"{name}/{query}": total[within(window, block.answer)]
        for query, total in enumerate(() if sums is None else sums)
        for name, window in windows.items()
    }


def _rebuild(
    plan: Plan, stack: TileSource, factory: ModelFactory, store: BlockStore, batch: int, retries: int
) -> BlockWorker:
    return BlockWorker(plan, stack, factory, store, batch=batch, retries=retries)
