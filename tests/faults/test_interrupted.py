"""A cluster that ends: by Ctrl-C, or with its run, in seconds, whatever its workers are at (E9)."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
import psutil
import pytest

from tests.faults.dawdling import strip
from tests.faults.interrupted import BLOCKS
from tests.tiling.fakes import BoxModel, box_change, whole
from tiling.blend import quantise
from tiling.cluster import local_cluster
from tiling.engine import run
from tiling.store import BlockStore

log = logging.getLogger(__name__)

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups are POSIX")


@posix
@pytest.mark.slow
def test_a_cluster_whose_worker_died_twice_while_it_was_started_closes_e9() -> None:
    with local_cluster(1, 1) as cluster:
        (nanny,) = cluster.workers.values()
        first = nanny.pid
        os.kill(first, signal.SIGKILL)
        second = successor(nanny, first)
        os.kill(second, signal.SIGKILL)
        successor(nanny, second)
        time.sleep(3)  # the third one has started, and its word went to the one who waits for the second
        began = time.monotonic()
    assert time.monotonic() - began < 5


def successor(nanny: object, pid: int) -> int:
    """The process that a nanny starts after that of `pid` died."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        now: int | None = getattr(nanny, "pid", None)
        if now not in {None, pid}:
            assert now is not None
            return now
        time.sleep(0.01)
    raise AssertionError("no successor")


@posix
@pytest.mark.slow
def test_ctrl_c_while_a_worker_is_started_again_ends_within_five_seconds_e9(tmp_path: Path) -> None:
    assert interrupted(tmp_path, Random(1)) < 5


@posix
@pytest.mark.slow
def test_ctrl_c_while_a_worker_hears_nothing_ends_within_five_seconds_e9(tmp_path: Path) -> None:
    assert interrupted(tmp_path, Random(3), signal.SIGSTOP) < 5


@posix
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ctrl_c_at_twenty_moments_ends_within_five_seconds_every_time_e9(tmp_path: Path) -> None:
    random = Random(2)
    taken = [interrupted(tmp_path / str(number), random) for number in range(20)]
    log.info("20 interrupted, the longest took %.1f s to end", max(taken))
    assert max(taken) < 5


def workers(pid: int) -> list[int]:
    """Processes of the workers of a run."""
    return [one.pid for one in psutil.Process(pid).children(recursive=True) if "spawn_main" in " ".join(one.cmdline())]


def interrupted(folder: Path, random: Random, fate: int = signal.SIGKILL) -> float:
    """Seconds from Ctrl-C to the end of a run, a worker of which just met its `fate`; it then goes on to the whole."""
    words = [sys.executable, "-m", "tests.faults.interrupted", str(folder)]
    with subprocess.Popen(words, start_new_session=True, stderr=subprocess.PIPE) as process:
        while len(list(folder.glob("*.block"))) < 2:
            assert process.poll() is None
            time.sleep(0.1)
        os.kill(random.choice(workers(process.pid)), fate)
        time.sleep(random.uniform(0, 3))
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the run and to its workers
        assert process.wait(60) == 130
        taken = time.monotonic() - began
    source, made = strip(BLOCKS)
    store = BlockStore(folder, made.id)
    done = store.done()
    report = run(made, source, lambda: BoxModel(2), store)
    log.info("over after %.1f s, %d of %d blocks done, %d computed after it", taken, len(done), BLOCKS, report.computed)
    assert report.reused == len(done)
    assert np.array_equal(whole(store, made), quantise(box_change(source.pixels, 2)))
    return taken
