"""A Dask cluster of someone else's without workers, or whose scheduler is gone: told, and given up in the end."""

# mypy: allow-untyped-calls
# distributed ships types for a part of its functions only.

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import dask.config
import pytest
from distributed import LocalCluster

from geomtrs.events import silent
from tests.faults import killer
from tests.faults.dawdling import dawdling, strip
from tests.geomtrs.test_cli import geomtrs as command
from tiling.engine import BlockDone, EngineSettings, RunReport, Waiting, run
from tiling.errors import NoWorkersError
from tiling.store import BlockStore

Pair = tuple[str, str]
Process: TypeAlias = "subprocess.Popen[bytes]"


@contextmanager
def dask_process(*words: str) -> Iterator[Process]:
    """A scheduler or a worker, as an operator starts it; killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "dask", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, Process]]:
    """The address of a scheduler in a process of its own, without a worker, and the process."""
    told = folder / "scheduler.json"
    where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told))
    with dask_process("scheduler", *where) as process:
        while not (told.exists() and told.stat().st_size):  # it is there before it is written
            time.sleep(0.05)
        yield json.loads(told.read_text("utf-8"))["address"], process


def worker(address: str) -> AbstractContextManager[Process]:
    """One that is not replaced when it dies."""
    return dask_process("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard")


def run_strip(folder: Path, address: str, on_event: Callable[[object], None] = silent) -> RunReport:
    """A run of twelve blocks that take half a second each."""
    source, made = strip(12)
    settings = EngineSettings(scheduler=address)
    return run(made, source, dawdling, BlockStore(folder, made.id), settings=settings, on_event=on_event)


def patience(seconds: float) -> AbstractContextManager[object]:
    """How long this process waits for workers."""
    return dask.config.set({"distributed.scheduler.no-workers-timeout": seconds})


def test_a_cluster_without_workers_is_given_up_and_named_e13(tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        patience(0.5),
        pytest.raises(NoWorkersError, match=r"no worker for .*run the same again") as raised,
    ):
        run_strip(tmp_path, cluster.scheduler_address)
    assert raised.value.file == cluster.scheduler_address


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://head"])
def test_an_address_without_a_scheduler_is_named_e13(tmp_path: Path, address: str) -> None:
    quick = dask.config.set({"distributed.comm.timeouts.connect": 0.5})
    with quick, pytest.raises(NoWorkersError, match=f"{address}: found no scheduler"):
        run_strip(tmp_path, address)


@pytest.mark.slow
def test_the_command_says_that_it_waits_for_workers_and_goes_on_when_they_are_there_e13(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT", "6s")
    words = ["detect", *pair, "-q", killer.SENTENCE, "--model", "differencing", "-o", str(tmp_path / "out")]
    monkeypatch.chdir(tmp_path)
    with scheduler(tmp_path) as (address, _):
        refused = command(*words, "--scheduler", address)
        assert refused.returncode == 1
        assert f"waiting for workers at {address}\n" in refused.stderr
        assert refused.stderr.splitlines()[-1].startswith(f"error: {address}: found no worker for ")
        with worker(address):
            assert command(*words, "--scheduler", address).returncode == 0
    assert command(*words[:-1], str(tmp_path / "alone")).returncode == 0
    assert killer.answer(tmp_path / "out") == killer.answer(tmp_path / "alone")


@pytest.mark.slow
def test_a_cluster_that_loses_its_workers_in_the_middle_is_given_up_and_its_blocks_are_kept_e13(
    tmp_path: Path,
) -> None:
    events: list[object] = []
    with scheduler(tmp_path) as (address, _), worker(address) as first:

        def listen(event: object) -> None:
            events.append(event)
            if isinstance(event, BlockDone):
                first.kill()

        with patience(5), pytest.raises(NoWorkersError, match=address):
            run_strip(tmp_path / "store", address, listen)
        assert [event for event in events if isinstance(event, Waiting)] == [
            Waiting(f"waiting for workers at {address}")
        ]
        with worker(address):
            report = run_strip(tmp_path / "store", address)
    assert (report.reused > 0, report.reused + report.computed) == (True, 12)


@pytest.mark.slow
def test_a_run_that_waits_for_workers_goes_on_with_those_that_come_e13(tmp_path: Path) -> None:
    with scheduler(tmp_path) as (address, _), ExitStack() as opened:

        def listen(event: object) -> None:
            if isinstance(event, Waiting):
                opened.enter_context(worker(address))

        assert run_strip(tmp_path / "store", address, listen).computed == 12


@pytest.mark.slow
def test_a_scheduler_that_dies_in_the_middle_ends_the_run_in_one_line_e13(tmp_path: Path) -> None:
    with scheduler(tmp_path) as (address, process), worker(address):

        def listen(event: object) -> None:
            if isinstance(event, BlockDone):
                process.kill()

        with pytest.raises(NoWorkersError, match=f"{address}: found no scheduler any more"):
            run_strip(tmp_path / "store", address, listen)
