"""A run in a process of its own that is killed without warning, and what the same folder holds once it went on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import geomtrs
from geomtrs.events import Listener, silent
from geomtrs.job import detect
from geomtrs.outputs.checksums import read_checksums
from geomtrs.outputs.verify import verify
from geomtrs.state import blocks_folder
from tiling.engine import BlockDone
from tiling.store import BlockStore

SENTENCE = "the roofs that appeared"
# What tells of the run beside the answer: when it was, how long it took.
OF_THE_RUN = {"run.json", "item.json"}

# Children of a process that has everything imported start in milliseconds, so that kills meet the run and not imports.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.killer", "distributed", "geomtrs.models.differencing"])


def ask(pair: tuple[str, ...], out: Path, scheduler: str | None = None, on_event: Listener = silent) -> None:
    """A run of twelve blocks over the small place."""
    options = {"model": "differencing", "tile_px": 32, "block_tiles": 1, "scheduler": scheduler}
    detect(*pair, query=SENTENCE, out=out, on_event=on_event, **options)


def start(pair: tuple[str, str], out: Path, scheduler: str | None = None) -> BaseProcess:
    """The same run, begun in a process that leads a group of its own."""
    process = _CONTEXT.Process(target=_ask_alone, args=(pair, out, scheduler))
    process.start()
    return process


class BegunError(Exception):
    """Ends a run before its first block."""


def begin(run: Callable[[Listener], object]) -> None:
    """A run that is told to this listener is written down and not begun, for the command line to go on with."""

    def stop(event: object) -> None:
        if getattr(event, "name", "") == "tiles":
            raise BegunError

    with suppress(BegunError):
        run(stop)


def kill_client(process: BaseProcess) -> None:
    """SIGKILL to the process that began the run, alone: workers of a cluster are still at its blocks."""
    process.kill()
    process.join()


def kill_group(process: BaseProcess) -> None:
    """SIGKILL to the run and everything it started, at one blow."""
    assert process.pid is not None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # killed before it led a group, or over already
        process.kill()
    process.join()


def resumed(pair: tuple[str, ...], out: Path, scheduler: str | None = None) -> int:
    """Makes the run end where it was killed; how many finished blocks it computed again. What it left is sound (E2)."""
    left = {path.name for path in out.iterdir() if not path.name.startswith(".")} if out.exists() else set()
    began = (out / ".geomtrs" / "job.json").exists()
    if left and not began:
        assert verify(out) == [], "a folder without a job that goes on holds a whole answer"
    done, computed = finished_blocks(out), set[str]()

    def listen(event: object) -> None:
        if isinstance(event, BlockDone):
            computed.add(event.block_id)

    if began or left:  # where a whole answer is left, what lies beside it goes
        geomtrs.resume(out, on_event=listen)
    else:  # killed before it had begun
        ask(pair, out, scheduler, on_event=listen)
    assert verify(out) == []
    assert [path for path in out.rglob("*") if path.name.startswith(".")] == []
    return len(done & computed)


def answer(out: Path) -> dict[str, object]:
    """Digest of every output but the records of the run; of a GeoPackage, which tells its hour, of its content."""
    entries = read_checksums(out).items()
    return {name: entry.get("parts", entry["hash"]) for name, entry in entries if name not in OF_THE_RUN}


def _ask_alone(pair: tuple[str, str], out: Path, scheduler: str | None) -> None:
    os.setsid()
    ask(pair, out, scheduler)


def finished_blocks(out: Path) -> set[str]:
    """Those that lie in the store of a run that did not end."""
    claim = blocks_folder(out) / "store.json"
    if not claim.exists():
        return set()
    return BlockStore(blocks_folder(out), json.loads(claim.read_text("utf-8"))["plan"]).done()
