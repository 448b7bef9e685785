"""The plan, run: block after block read, answered, blended and kept, in this process or on Dask.

A worker holds one model and a few threads. Each thread takes a block, reads it, waits for the model's turn, answers,
and saves; so reading and saving of some blocks hide behind the model at work on another. What a run leaves is in the
store alone: a run that died is continued by running the same plan into the same store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import rasterio
from rasterio.windows import Window

from tiling.answer import BlockWork, BlockWorker, ModelFactory, TileModel, TilePixels, TileSource, answer_block
from tiling.errors import BlockError
from tiling.mosaic import GDAL_CACHE_BYTES
from tiling.plan import Block, Plan
from tiling.store import BlockStore

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "BlockDone",
    "BlockFailed",
    "BlockFailure",
    "EngineSettings",
    "Event",
    "Finished",
    "ModelFactory",
    "RunReport",
    "Started",
    "TileModel",
    "TilePixels",
    "TileSource",
    "Waiting",
    "answer_block",
    "run",
]

Answers: TypeAlias = Callable[[Iterable[Block]], Iterator[tuple[Block, BlockWork | BlockError]]]

# So few are done before a cluster has earned its start and end, 1.7 s on two cores (16 Mpx are nine blocks).
_IN_PROCESS_BLOCKS = 16
_PARTS = ("read", "model", "blend", "write")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a run goes; nothing here changes a byte of the answer, except `batch` within the model's own rounding.

    processes       of the local cluster; None for one a GPU, without GPUs for threads of this process
    gpus            what CUDA calls the GPUs of this machine, where there are several: a worker process sees one
    blocks_at_once  in each process: one at the model, the others reading or saving
    batch           tiles the model is given at once, at most
    memory_bytes    budget of the blocks at work, all processes together: fewer are at work where it does not suffice
    retries         further attempts at a block that raised
    keep_going      a block that failed for good is recorded, and the run goes on
    scheduler       address of a running Dask cluster
    """

    processes: int | None = None
    gpus: tuple[str, ...] = ()
    blocks_at_once: int = 2
    batch: int = 1
    memory_bytes: int | None = None
    retries: int = 2
    keep_going: bool = False
    scheduler: str | None = None


@dataclass(frozen=True, slots=True)
class BlockFailure:
    """A block without an answer: its core window (pixels of the grid), the file at fault where known, the reason."""

    block_id: str
    window: Window
    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did.

    total, reused, computed  blocks of the plan, those found in the store, those answered now
    failed                   blocks without an answer; empty unless the run was told to keep going
    seconds                  by part (read, model, blend, write), summed over blocks and threads
    wall_s                   from start to end
    """

    total: int
    reused: int
    computed: int
    failed: tuple[BlockFailure, ...]
    seconds: Mapping[str, float]
    wall_s: float


@dataclass(frozen=True, slots=True)
class Started:
    """The store was looked through; work begins."""

    total: int
    reused: int


@dataclass(frozen=True, slots=True)
class BlockDone:
    """A block is in the store for good. `seconds` is its own time; `n_done` counts the reused ones too."""

    block_id: str
    seconds: float
    n_done: int
    total: int


@dataclass(frozen=True, slots=True)
class BlockFailed:
    """A block failed for good, and the run goes on without it."""

    failure: BlockFailure


@dataclass(frozen=True, slots=True)
class Waiting:
    """A cluster has no worker at this moment; `text` is one line for people."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All blocks of the plan are answered or recorded as failed."""

    report: RunReport


Event: TypeAlias = Started | BlockDone | BlockFailed | Waiting | Finished


def run(
    plan: Plan,
    stack: TileSource,
    factory: ModelFactory,
    store: BlockStore,
    *,
    settings: EngineSettings | None = None,
    on_event: Callable[[Event], None] | None = None,
    client: Client | None = None,
) -> RunReport:
    """All blocks of the plan are in the store, those that were there already untouched.

    factory   makes the model on the worker: picklable, called once per process
    client    a Dask client to run on; else settings.scheduler; else a local cluster, or this thread for a few blocks
    on_event  is called in this thread with each event

    Raises BlockError, naming window, file and reason, when a block failed for good and settings.keep_going is off;
    StoreError or DiskFullError when a block cannot be saved; NoWorkersError where the cluster has no workers; whatever
    the factory raises. Finished blocks are kept in every case, and KeyboardInterrupt ends the run after the model's
    current batch.
    """
    settings, began = settings or EngineSettings(), perf_counter()
    notify = on_event or (lambda _event: None)
    store.sweep()
    done = store.done()
    todo = [block for block in plan.blocks if block.id not in done]
    reused, computed, failed = len(plan.blocks) - len(todo), 0, list[BlockFailure]()
    seconds = dict.fromkeys(_PARTS, 0.0)
    notify(Started(len(plan.blocks), reused))
    worker = BlockWorker(plan, stack, factory, store, batch=settings.batch, retries=settings.retries)
    with _workers(worker, len(todo), settings, client, notify) as answers:
        for block, outcome in answers(todo):
            if isinstance(outcome, BlockError):
                if not settings.keep_going:
                    raise outcome
                failure = BlockFailure(block.id, block.core, outcome.file, outcome.found)
                store.put_failed(block.id, str(outcome))
                failed.append(failure)
                notify(BlockFailed(failure))
                continue
            computed += 1
            for part in _PARTS:
                seconds[part] += outcome.seconds[part]
            notify(BlockDone(block.id, sum(outcome.seconds.values()), reused + computed, len(plan.blocks)))
    report = RunReport(len(plan.blocks), reused, computed, tuple(failed), seconds, perf_counter() - began)
    notify(Finished(report))
    return report


@contextmanager
def _workers(
    worker: BlockWorker, blocks: int, settings: EngineSettings, client: Client | None, notify: Callable[[Event], None]
) -> Iterator[Answers]:
    """What answers blocks: this thread for a few of them, else Dask; ended when the context is left."""
    alone = client is None and settings.scheduler is None and settings.processes is None
    if alone and blocks <= _IN_PROCESS_BLOCKS:
        # Left to itself GDAL caches 5 % of the machine's memory.
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            yield lambda todo: _one_by_one(worker, todo)
        return
    from tiling.cluster import connected, on_cluster

    def waiting(address: str) -> None:
        notify(Waiting(f"waiting for workers at {address}"))

    with connected(
        client,
        scheduler=settings.scheduler,
        processes=settings.processes or len(settings.gpus) or None,
        threads=settings.blocks_at_once,
        gpus=settings.gpus,
    ) as found:
        yield lambda todo: on_cluster(found, worker, todo, memory_bytes=settings.memory_bytes, on_waiting=waiting)


def _one_by_one(worker: BlockWorker, blocks: Iterable[Block]) -> Iterator[tuple[Block, BlockWork | BlockError]]:
    for block in blocks:
        try:
            yield block, worker.answer(block)
        except BlockError as error:
            yield block, error
