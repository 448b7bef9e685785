"""Blocks answered on Dask: tasks name blocks, workers hold plan, files and model, and few tasks are under way.

A task carries a block's place and returns a few numbers. Its future is released as soon as it is done, so the death of
a worker costs the blocks it was at, and never a finished one (distributed#8182).
"""

# mypy: allow-untyped-calls
# distributed ships types for a part of its functions only; what they return is given a type here.

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from time import monotonic, sleep
from typing import Any

import dask.config
import rasterio
from dask.utils import parse_timedelta
from distributed import (
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    Nanny,
    Worker,
    WorkerPlugin,
    as_completed,
    get_worker,
)
from distributed.comm.addressing import get_address_host_port
from distributed.scheduler import NoValidWorkerError

from tiling.answer import BlockWork, BlockWorker, failed_block
from tiling.errors import BlockError, NoWorkersError
from tiling.mosaic import GDAL_CACHE_BYTES
from tiling.plan import Block
from tiling.retry import tried

_PER_THREAD = 2  # blocks under way: one at work, one waiting for the thread
_THREADS_KNOWN_S = 2.0  # for so long, since workers come and go
_REGISTRATIONS = 6  # each meets other workers: those that died are gone from the scheduler's list
_KILLED_AGAIN_S = 0.2
_CLOSED_S = 0.5  # what workers get to end by themselves: Ctrl-C shall be over in five seconds (E9)
_TOLD_WITHIN_S = 2.0  # what workers get to hear that a run is over
_NEVER = "365 days"
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one signal that ends a process, by this name
_FIRST_PAUSE_S = 0.1  # before the plugin is registered again
_LOOKED_S = 0.02  # between two looks whether a block has ended
_COUNTED_S = 1.0  # between two questions whether a worker is there, while no block ends
_TOLD_S = 3.0  # without a worker, until the user is told: one that died was replaced by then, mostly
_WORKERS_WITHIN = "5 minutes"


@contextmanager
def connected(
    client: Client | None, *, scheduler: str | None, processes: int | None, threads: int, gpus: Sequence[str] = ()
) -> Iterator[Client]:
    """The client that was handed in, one of a running scheduler, or one of a local cluster that ends with the context.

    processes  of the local cluster; None for threads of this process
    gpus       see local_cluster
    """
    if client is not None:
        yield client
        return
    with ExitStack() as opened:
        if scheduler is None:
            address: str | LocalCluster = opened.enter_context(local_cluster(processes, threads, gpus))
        else:
            address = scheduler
        try:
            if scheduler is not None and not scheduler.startswith("inproc:"):
                get_address_host_port(scheduler)  # a client that was made of no address takes a minute to go
            found = opened.enter_context(Client(address, set_as_default=False))
        except (OSError, ValueError) as error:  # nobody there; no address
            raise NoWorkersError(
                scheduler,
                found=f"no scheduler ({error})",
                wanted="the address of a running Dask scheduler, as tcp://head:8786",
                remedy="start one with dask scheduler, or leave --scheduler out",
            ) from error
        yield found


@contextmanager
def local_cluster(processes: int | None, threads: int, gpus: Sequence[str] = ()) -> Iterator[LocalCluster]:
    """A cluster of this machine that replaces each worker that dies, and ends in seconds however many of them just did.

    processes  one worker each; None for a worker in this process, which ends after the model's current batch
    gpus       what CUDA calls them: each worker process sees one, in turn; none: all see all
    """
    # Dask looks for a dead worker's successor once, after 15 s; one that was killed as well by then is given up, and a
    # cluster that was unlucky with all its workers would keep a run waiting for ever.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": _NEVER}):
        made = LocalCluster(
            n_workers=processes or 1,
            threads_per_worker=threads,
            processes=processes is not None,
            worker_class=partial(_nanny, gpus) if processes is not None else None,
            memory_limit=0,  # Dask would pause and kill by what the process holds, GDAL and model included
            dashboard_address="127.0.0.1:0",  # None would be port 8787, which another run may have
        )
        try:
            yield made
        finally:
            _close(made)


def _nanny(gpus: Sequence[str], address: str, *, name: int, **options: Any) -> Nanny:  # noqa: ANN401 - Dask's own
    """What starts a worker process, and starts it again, with the same one GPU."""
    env = {"CUDA_VISIBLE_DEVICES": gpus[name % len(gpus)]} if gpus else None
    return Nanny(address, name=name, env=env, **options)


def _close(cluster: LocalCluster) -> None:
    """Ends a cluster; worker processes that take their time are killed, for they hold nothing that is not in the store.

    A worker that dies while it is started is started anew, but the one who waits for the first may take the word of the
    second (WorkerProcess._wait_until_connected in distributed 2026.7): the nanny then takes it to be starting for ever,
    and closing would wait for that. The death of the process ends the wait.
    """
    nannies, closed = list(cluster.workers.values()), threading.Event()
    threading.Thread(target=_kill_slow, args=(nannies, closed), name="cluster-close", daemon=True).start()
    try:
        cluster.close()
    finally:
        closed.set()


def _kill_slow(nannies: Sequence[Nanny | Worker], closed: threading.Event) -> None:
    """Kills the processes of workers after a while, until the cluster is closed; a worker of this process has none."""
    pause_s = _CLOSED_S
    while not closed.wait(pause_s):
        for nanny in nannies:
            pid = getattr(nanny, "pid", None)
            if pid is not None:
                with suppress(ProcessLookupError, PermissionError):  # it ended; on Windows it is just ending
                    os.kill(pid, _KILL)
        pause_s = _KILLED_AGAIN_S


def threads_of(client: Client) -> int:
    """Threads of all workers at this moment, at least one."""
    threads: dict[str, int] = client.nthreads()
    return max(1, sum(threads.values()))


def on_cluster(
    client: Client,
    worker: BlockWorker,
    blocks: Iterable[Block],
    *,
    memory_bytes: int | None,
    on_waiting: Callable[[str], None],
) -> Iterator[tuple[Block, BlockWork | BlockError]]:
    """Each block with its outcome, as they end; when the iterator is closed, what is under way is called off.

    memory_bytes  budget of all blocks under way: the first is sent alone, and tells what one of them takes
    on_waiting    is told the scheduler's address where no worker is there for some seconds

    Raises what a block raised other than BlockError; NoWorkersError where no worker comes within Dask's
    `distributed.scheduler.no-workers-timeout`, 5 minutes where that is not set, or the scheduler is gone.
    """
    name = f"tiling-{worker.plan.id[:8]}-{uuid.uuid4().hex[:8]}"
    _register(client, _BlockPlugin(name, worker))
    under_way: dict[Future[BlockWork], tuple[Block, int]] = {}
    ended = as_completed(loop=client.loop)  # without it, the default client would be asked for, and there is none
    limit, present = _Limit(client, memory_bytes), _Presence(client, on_waiting)
    waiting = iter(blocks)

    def send(block: Block, deaths: int) -> None:
        future = client.submit(_answer, name, block.row, block.col, key=f"{name}-{block.id}-{deaths}", pure=False)
        under_way[future] = block, deaths
        ended.add(future)

    def fill() -> None:
        while len(under_way) < limit.now() and (block := next(waiting, None)) is not None:
            send(block, 0)

    try:
        fill()
        while under_way:
            while not ended.has_ready():
                present.look()
                sleep(_LOOKED_S)
            future = next(ended)
            block, deaths = under_way.pop(future)
            outcome = _outcome(future, block, deaths=deaths, retries=worker.retries, present=present)
            if outcome is None:
                send(block, deaths + 1)
                continue
            if isinstance(outcome, BlockWork):
                limit.learn(outcome.nbytes)
            future.release()
            fill()
            yield block, outcome
    finally:
        client.cancel(list(under_way), force=True)
        # A worker that dies at this moment has stopped, one that just began holds nothing yet; the others were told.
        with suppress(OSError, KeyError):
            # It stops the blocks at work. Dask would try for 30 s to reach a worker that just died.
            if client.scheduler is not None:  # as it is where the client was closed
                client.sync(client.scheduler.unregister_worker_plugin, name=name, callback_timeout=_TOLD_WITHIN_S)


def _outcome(
    future: Future[BlockWork], block: Block, *, deaths: int, retries: int, present: _Presence
) -> BlockWork | BlockError | None:
    """What came of a block that ended; None where its worker died and the block may be tried again.

    Raises as `on_cluster` does.
    """
    if future.cancelled():  # nobody else calls blocks off while they are waited for
        raise present.lost("no scheduler any more")
    error = future.exception()
    if error is None:
        work: BlockWork = future.result()
        return work
    if isinstance(error, KilledWorker):
        return None if deaths < retries else failed_block(block, error, attempts=deaths + 1)
    if isinstance(error, BlockError):
        return error
    if isinstance(error, NoValidWorkerError):  # of the scheduler's own patience
        raise present.lost(f"no worker ({error})") from error
    raise error


class _BlockPlugin(WorkerPlugin):
    """Holds on each Dask worker what all blocks of a run share."""

    def __init__(self, name: str, worker: BlockWorker) -> None:
        self.name, self.worker = name, worker

    def setup(self, worker: Worker) -> None:
        """Bounds GDAL's cache: left to itself it takes 5 % of the machine's memory in each process."""
        del worker
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            pass  # the bound is the process's own and outlives the environment

    def teardown(self, worker: Worker) -> None:
        """Blocks at work stop before the model's next batch."""
        del worker
        self.worker.stop()


def _register(client: Client, plugin: _BlockPlugin) -> None:
    """Every worker has the plugin, and those that come later will; again where a worker dies while it is told."""
    # CommClosedError is an OSError; the scheduler keeps the plugin for late workers.
    register = partial(client.register_plugin, plugin)
    tried(register, attempts=_REGISTRATIONS, pause_s=_FIRST_PAUSE_S, failures=(OSError,))


def _answer(name: str, row: int, col: int) -> BlockWork:
    """The task: answers the block at this place of the plan that the worker holds."""
    plugin = get_worker().plugins[name]
    if not isinstance(plugin, _BlockPlugin):
        raise TypeError(f"plugin {name} of this worker is a {type(plugin).__name__}")
    block = plugin.worker.plan.block_at(row, col)
    if block is None:
        raise LookupError(f"the plan has no block at {row}, {col}")
    return plugin.worker.answer(block)


class _Presence:
    """Whether workers are there: the user is told when none is, and after a while the run is given up.

    A cluster of someone else's may have none yet, or none any more; Dask waits for ever, without a word.
    """

    def __init__(self, client: Client, on_waiting: Callable[[str], None]) -> None:
        self._client, self._on_waiting = client, on_waiting
        self._address = str(getattr(client.scheduler, "address", "the cluster"))  # none where it is closed
        told = dask.config.get("distributed.scheduler.no-workers-timeout") or _WORKERS_WITHIN
        self._within_s = float(parse_timedelta(told, default="s"))
        self._seen_at = self._asked_at = monotonic()
        self._told = False

    def look(self) -> None:
        """Asks the scheduler now and then. Raises NoWorkersError where none was there for too long."""
        now = monotonic()
        if now - self._asked_at < _COUNTED_S:
            return
        self._asked_at = now
        there = False
        with suppress(OSError):  # the scheduler is gone, for now at least
            there = bool(self._client.nthreads())
        if there:
            self._seen_at, self._told = now, False
        elif now - self._seen_at > self._within_s:
            raise self.lost(f"no worker for {now - self._seen_at:.0f} s")
        elif not self._told and now - self._seen_at > _TOLD_S:
            self._told = True
            self._on_waiting(self._address)

    def lost(self, found: str) -> NoWorkersError:
        """The error for a cluster that will answer no more."""
        return NoWorkersError(
            self._address,
            found=found,
            wanted="a scheduler with workers",
            remedy="start them, then run the same again: finished blocks are kept",
        )


class _Limit:
    """How many blocks may be under way: two for each thread of the cluster, fewer where memory does not suffice."""

    def __init__(self, client: Client, memory_bytes: int | None) -> None:
        self._client, self._memory_bytes = client, memory_bytes
        self._largest = 0
        self._threads, self._asked_at = 1, -_THREADS_KNOWN_S

    def learn(self, nbytes: int) -> None:
        """Takes in what one block held."""
        self._largest = max(self._largest, nbytes)

    def now(self) -> int:
        """Blocks that may be under way at this moment."""
        if monotonic() - self._asked_at >= _THREADS_KNOWN_S:
            self._threads, self._asked_at = threads_of(self._client), monotonic()
        by_threads = _PER_THREAD * self._threads
        if self._memory_bytes is None:
            return by_threads
        return min(by_threads, max(1, self._memory_bytes // self._largest) if self._largest else 1)
