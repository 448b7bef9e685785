"""Many scenes asked the same, each as `detect` asks it, each in a folder of its own; on a cluster several at once.

source ─ discover ─► scenes ─ ledger ─► detect, scene by scene ─► merge ─► summary
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from geomtrs.archive import ledger as ledgers
from geomtrs.archive.asked import Asked, SceneOptions, asked_of, start_of
from geomtrs.archive.begin import only_batch, open_ledger
from geomtrs.archive.ledger import Ledger, Row
from geomtrs.archive.merge import merge
from geomtrs.archive.scene import Scene
from geomtrs.archive.showing import show_batch
from geomtrs.archive.summary import summarize, write_failures
from geomtrs.asking import ask_model
from geomtrs.errors import ModelError
from geomtrs.events import Listener, Stage
from geomtrs.finish import AtOnce
from geomtrs.job import Start, run_job
from geomtrs.notebook import listener
from geomtrs.query import Query
from geomtrs.result import ChangeResult, area_text
from geomtrs.scene import asked_lines, sentence_notes
from tiling.engine import Waiting
from tiling.errors import DiskFullError, NoWorkersError, OutputError, TilingError

if TYPE_CHECKING:
    import geopandas
    from distributed import Client

# Pictures and polygons of all scenes at work are made by this process.
_MOST_AT_ONCE = 16

log = logging.getLogger(__name__)


class BatchOptions(SceneOptions, total=False):
    """SceneOptions, and how a batch begins.

    limit    only the first so many scenes; the others stay pending
    fresh    forget an earlier batch in this folder, and replace its outputs
    at_once  scenes at work at once; None: one, and on a cluster as many as its workers have threads
    """

    limit: int | None
    fresh: bool
    at_once: int | None


@dataclass(frozen=True, slots=True)
class Scenes:
    """A batch begins: `total` scenes are to be asked, `n_done` of them were answered before."""

    text: str
    total: int
    n_done: int


@dataclass(frozen=True, slots=True)
class SceneEnded:
    """One scene is over; `text` is its line for people."""

    text: str
    total: int
    n_done: int
    scene_id: str
    status: str
    reason: str


@dataclass(frozen=True)
class BatchResult:
    """The answers to a whole archive in a folder; nothing is read before it is asked for."""

    folder: Path

    @cached_property
    def rows(self) -> list[Row]:
        """Every scene and what became of it."""
        return ledgers.rows(self.folder / ledgers.NAME)

    @property
    def counts(self) -> dict[str, int]:
        """How many scenes are done, failed, skipped, pending."""
        states = [row.status for row in self.rows]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    @property
    def polygons(self) -> geopandas.GeoDataFrame:
        """All changed things of all scenes, in lon/lat; `scene_id` says of which."""
        import geopandas

        return geopandas.read_parquet(self.folder / "all.parquet")

    def scene(self, scene_id: str) -> ChangeResult:
        """The answers of one scene."""
        return ChangeResult(self.folder / scene_id)

    @property
    def exit_code(self) -> int:
        """0 all is done, 3 some scenes, or blocks of them, failed, 1 nothing could be done."""
        wrong = any(row.status == "failed" or (row.status == "done" and row.reason) for row in self.rows)
        return 0 if not wrong else 3 if any(row.status == "done" for row in self.rows) else 1


def batch(
    source: str | os.PathLike[str],
    *,
    query: str | Query | Sequence[str | Query],
    out: str | os.PathLike[str],
    on_event: Listener | None = None,
    **options: Unpack[BatchOptions],
) -> BatchResult:
    """The answers to sentences about every scene of an archive; a batch that died in `out` goes on.

    source    a folder of rasters, a CSV or Parquet of pairs (before, after), a STAC catalogue
    on_event  is told of every scene that ends; None: a line that renews itself in a notebook, else nothing
    options   see SceneOptions and BatchOptions

    A scene that fails is named with its reason, the others go on. Raises QueryError for what was asked wrongly,
    ModelError where the model cannot be had, JobError where another batch lies in the folder; DiskFullError for want of
    room, NoWorkersError for want of workers, which the other scenes would not have either: the same again goes on.
    """
    told: dict[str, Any] = dict(options)
    on_event = on_event or listener("scenes")
    limit, fresh, at_once = told.pop("limit", None), told.pop("fresh", False), told.pop("at_once", None)
    asked = asked_of(os.fspath(source), query, os.fspath(out), **told)
    scenes = asked.scenes()
    model = ask_model(asked.spec)
    model_hash = model.model.weights_hash
    for line in (
        *asked_lines(asked.spec.queries),
        *(f"note    {n}" for n in sentence_notes(asked.spec.queries, model.card)),
    ):
        on_event(Stage("asked", line))
    with only_batch(asked.folder), open_ledger(asked.folder, asked.record(model_hash), scenes, fresh=fresh) as ledger:
        wanted = [scene for scene in scenes if scene.status == "pending"][:limit]
        try:
            left = _unanswered(asked, wanted, ledger, model_hash, fresh=fresh)
            _ask_all(asked, left, ledger, on_event, total=len(wanted), at_once=at_once)
        finally:
            write_failures(asked.folder, ledgers.rows(ledger.path))
        on_event(Stage("merge", "merge   all polygons of all scenes"))
        rows = ledgers.rows(ledger.path)
        merged = merge(asked.folder, asked.spec.queries, rows)
        summarize(asked.folder, asked.spec.queries, rows, merged)
        show_batch(asked.folder, asked.spec.queries, rows, merged)
    result = BatchResult(asked.folder)
    on_event(Stage("done", f"done    {' · '.join(f'{count} {state}' for state, count in result.counts.items())}"))
    return result


def _ask_all(
    asked: Asked,
    left: Sequence[tuple[Scene, Start]],
    ledger: Ledger,
    on_event: Listener,
    *,
    total: int,
    at_once: int | None,
) -> None:
    """Every scene that is not answered yet, and its state in the ledger before and after."""
    done = total - len(left)
    before = f", {done} of them answered before" if done else ""
    on_event(Scenes(f"scenes  {total}{before}", total, done))
    for number, (scene, future) in enumerate(_ended(asked, left, ledger, at_once, on_event), start=done + 1):
        status: Literal["done", "failed"] = "failed"
        try:
            facts = _facts(future.result())
            status = "done"
        except TilingError as error:
            if isinstance(error, ModelError | DiskFullError | NoWorkersError):  # the same for every scene
                with suppress(OutputError):  # no room for this either: found running, it is begun again
                    ledger.set(scene.id, "pending")
                raise
            facts = {"reason": str(error)}
        except Exception as error:  # whatever is wrong with one scene, the others are asked
            log.debug("%s", scene.id, exc_info=True)
            facts = {"reason": " ".join(f"{type(error).__name__}: {error}".split())}
        except BaseException:
            ledger.set(scene.id, "pending")
            raise
        ledger.set(scene.id, status, **facts)
        line = f"{number}/{total}  {scene.id}  {_told(status, facts)}"
        on_event(SceneEnded(line, total, number, scene.id, status, facts["reason"]))


def _ended(
    asked: Asked, left: Sequence[tuple[Scene, Start]], ledger: Ledger, at_once: int | None, on_event: Listener
) -> Iterator[tuple[Scene, Future[ChangeResult]]]:
    """Scenes as they end, a few of them at work at once; those are called off when the iterator is closed.

    The ledger is written by this thread alone. Of a cluster, all scenes share one client.
    """
    stop = threading.Event()
    under_way: dict[Future[ChangeResult], Scene] = {}
    with ExitStack() as opened:
        client, threads = _client(asked.spec.run.scheduler, opened)
        threads = at_once or min(_MOST_AT_ONCE, threads)
        pool = opened.enter_context(AtOnce() if threads == 1 else ThreadPoolExecutor(threads, "scene"))
        waiting = iter(left)
        try:
            while True:
                for scene, start in islice(waiting, threads - len(under_way)):
                    ledger.set(scene.id, "running")
                    begun = replace(start, client=client, replacing="--fresh")
                    under_way[pool.submit(run_job, asked.of(scene), begun, partial(_heard, stop, on_event))] = scene
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future
        finally:
            stop.set()
            for scene in under_way.values():
                ledger.set(scene.id, "pending")


def _client(scheduler: str | None, opened: ExitStack) -> tuple[Client | None, int]:
    """The client of a running cluster and the threads of its workers; none and one where there is no cluster."""
    if scheduler is None:
        return None, 1
    from tiling.cluster import connected, threads_of

    client = opened.enter_context(connected(None, scheduler=scheduler, processes=None, threads=1))
    return client, threads_of(client)


def _heard(stop: threading.Event, on_event: Listener, event: object) -> None:
    """Listens to a scene, tells what it waits for, and ends it when the batch has ended: finished blocks are kept."""
    if stop.is_set():
        raise KeyboardInterrupt
    if isinstance(event, Waiting):
        on_event(event)


def _unanswered(
    asked: Asked, scenes: Sequence[Scene], ledger: Ledger, model_hash: str, *, fresh: bool
) -> list[tuple[Scene, Start]]:
    if fresh:
        return [(scene, Start(overwrite=True, fresh=True)) for scene in scenes]
    left = []
    known = ledger.statuses()
    for scene in scenes:
        start = start_of(asked.of(scene), model_hash, replaces=ledger.replaces)
        if start is not None:
            left.append((scene, start))
        elif known[scene.id] != "done":  # killed between its last file and the ledger
            ledger.set(scene.id, "done", **_facts(ChangeResult(asked.folder / scene.id)))
    return left


def _facts(result: ChangeResult) -> dict[str, Any]:
    """What the ledger tells of an answer."""
    failed = len(result.run.get("failed_blocks", ()))
    return {
        "reason": f"{failed} of its blocks failed" if failed else "",
        "polygons": sum(query["polygons"] for query in result.run["queries"]),
        "area_m2": result.area_m2(),
        "seconds": result.run["timing_s"].get("total"),
    }


def _told(status: str, facts: Mapping[str, Any]) -> str:
    if status == "failed":
        return f"failed  {facts['reason']}"
    note = f" · {facts['reason']}" if facts["reason"] else ""
    return f"{facts['polygons']} found · {area_text(facts['area_m2'])} · {facts['seconds']:.1f} s{note}"
