"""SIGKILL of client, group and workers at random moments: the run goes on and ends with the bytes of one left alone."""

# mypy: allow-untyped-calls
# distributed ships types for a part of its functions only.

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import dask.config
import numpy as np
import pytest
from distributed import Client, LocalCluster

from geomtrs.state import blocks_folder
from tests.faults import killer
from tests.faults.dawdling import dawdling, strip
from tests.tiling.fakes import BoxModel, box_change, whole
from tiling.answer import BlockWorker
from tiling.blend import quantise
from tiling.cluster import local_cluster
from tiling.engine import BlockDone, EngineSettings, run
from tiling.store import BlockStore

log = logging.getLogger(__name__)

Pair = tuple[str, str]
Whole = tuple[dict[str, object], float]


@pytest.fixture(scope="session")
def undisturbed(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """What nobody disturbed answers, and how long it took in a process of its own."""
    out = tmp_path_factory.mktemp("whole") / "out"
    killer.start(pair, tmp_path_factory.mktemp("first") / "out").join()  # the first of its kind imports
    began = time.monotonic()
    killer.start(pair, out).join()
    return killer.answer(out), time.monotonic() - began


def test_a_run_killed_with_all_its_processes_goes_on_e1(pair: Pair, tmp_path: Path, undisturbed: Whole) -> None:
    kill_and_go_on(pair, tmp_path, undisturbed, kills=2, seed=1)


def test_what_a_run_killed_at_its_very_end_left_is_taken_away_e1(pair: Pair, tmp_path: Path) -> None:
    killer.ask(pair, tmp_path / "out")
    left = blocks_folder(tmp_path / "out")
    left.mkdir(parents=True)
    (left / "0-0.block").touch()
    (left.parent / "lock").touch()
    for part in (".preview.png.77-0a1b2c3d.part", ".changes.77-0a1b2c3d.gpkg-journal", ".mask.tif.77.working.tif"):
        (tmp_path / "out" / part).touch()
    killer.resumed(pair, tmp_path / "out")
    assert not left.parent.exists()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_run_killed_with_all_its_processes_twenty_times_goes_on_every_time_e1(
    pair: Pair, tmp_path: Path, undisturbed: Whole
) -> None:
    kill_and_go_on(pair, tmp_path, undisturbed, kills=20, seed=2)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_client_killed_twenty_times_while_its_cluster_lives_goes_on_every_time_e1(
    pair: Pair, tmp_path: Path, undisturbed: Whole, cluster: LocalCluster
) -> None:
    kill_and_go_on(pair, tmp_path, undisturbed, kills=20, seed=3, scheduler=cluster.scheduler_address)


def kill_and_go_on(
    pair: Pair, folder: Path, undisturbed: Whole, *, kills: int, seed: int, scheduler: str | None = None
) -> None:
    """So many runs, each killed once at a random moment of its life; on a cluster the client is killed alone."""
    random, (whole, taken) = Random(seed), undisturbed
    met = 0
    for number in range(kills):
        out = folder / str(number)
        process = killer.start(pair, out, scheduler)
        process.join(random.uniform(0, taken))
        alive = process.is_alive()
        met += alive
        (killer.kill_group if scheduler is None else killer.kill_client)(process)
        again = killer.resumed(pair, out, scheduler)
        log.info("kill %d, run alive %s: %d finished blocks computed again", number + 1, alive, again)
        assert again == 0
        assert killer.answer(out) == whole
    log.info("%d of %d kills met a living run, none was lost", met, kills)
    assert met


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes; a nanny replaces each that dies."""
    with local_cluster(2, 1) as made:
        yield made


@pytest.mark.slow
def test_a_worker_that_dies_as_the_run_begins_does_not_end_it_e13(tmp_path: Path, cluster: LocalCluster) -> None:
    source, made = strip(1)
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2)
        pid = next(one.pid for one in cluster.workers.values() if one.pid is not None)
        os.kill(pid, signal.SIGKILL)  # the scheduler still counts on it when it tells its workers of the run
        report = run(made, source, lambda: BoxModel(2), BlockStore(tmp_path, made.id), client=client)
    assert report.computed == len(made.blocks)


def visible_gpu() -> str | None:
    """What CUDA would see in the process that is asked."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.slow
def test_each_worker_sees_a_gpu_of_its_own_and_so_does_its_successor_g6() -> None:
    with local_cluster(2, 1, gpus=("3", "5")) as made, Client(made, set_as_default=False) as client:
        assert sorted(client.run(visible_gpu).values()) == ["3", "5"]
        os.kill(made.workers[0].pid, signal.SIGKILL)
        time.sleep(1)  # until the scheduler has noticed
        client.wait_for_workers(2, timeout=60)
        assert sorted(client.run(visible_gpu).values()) == ["3", "5"]


@pytest.mark.slow
def test_a_dead_worker_is_replaced_however_long_its_successor_takes_e13() -> None:
    impatient = {"distributed.deploy.lost-worker-timeout": "100ms"}
    with dask.config.set(impatient), local_cluster(1, 1) as made, Client(made, set_as_default=False) as client:
        os.kill(made.workers[0].pid, signal.SIGKILL)
        time.sleep(1)  # until the scheduler has noticed
        client.wait_for_workers(1, timeout=60)
        time.sleep(3)  # given up, it would be stopped as soon as it has started
        assert len(made.workers) == len(client.nthreads()) == 1


@pytest.mark.slow
def test_a_run_outlives_its_workers_e13(tmp_path: Path, cluster: LocalCluster) -> None:
    outlive(tmp_path, cluster, Reaper(cluster, tmp_path, pauses=[1.0] * 2), blocks=12)


def test_a_block_that_a_dead_worker_left_finished_is_not_answered_again_e13(tmp_path: Path) -> None:
    source, made = strip(1)
    model = BoxModel(2)
    worker = BlockWorker(made, source, lambda: model, BlockStore(tmp_path, made.id), batch=1, retries=0)
    worker.answer(made.blocks[0])
    worker.answer(made.blocks[0])
    assert len(model.shown) == 1


@pytest.mark.slow
def test_a_worker_killed_every_five_seconds_for_a_minute_e13(tmp_path: Path, cluster: LocalCluster) -> None:
    outlive(tmp_path, cluster, Reaper(cluster, tmp_path, pauses=[5.0] * 12), blocks=260)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_killed_twenty_times_at_random_moments_e1(tmp_path: Path, cluster: LocalCluster) -> None:
    random = Random(4)
    outlive(tmp_path, cluster, Reaper(cluster, tmp_path, pauses=[random.uniform(1, 6) for _ in range(20)]), blocks=280)


class Reaper(threading.Thread):
    """Kills a worker after every pause, one after the other, and notes which blocks were written more than once."""

    def __init__(self, cluster: LocalCluster, folder: Path, pauses: list[float]) -> None:
        super().__init__(daemon=True)
        self.cluster, self.folder, self.pauses = cluster, folder, pauses
        self.kills, self.over = 0, threading.Event()
        self.inodes: dict[str, set[int]] = {}

    def run(self) -> None:
        """Until the pauses or the run are over."""
        for number, pause in enumerate(self.pauses):
            until = time.monotonic() + pause
            while time.monotonic() < until:
                self.look()
                if self.over.wait(0.1):
                    return
            pid = list(self.cluster.workers.values())[number % 2].pid
            if pid is not None:  # its nanny may not have another one yet
                os.kill(pid, signal.SIGKILL)
                self.kills += 1

    def look(self) -> None:
        """Notes the file of every finished block: one that is written again is another file."""
        for path in self.folder.glob("*.block"):
            self.inodes.setdefault(path.name, set()).add(path.stat().st_ino)


def outlive(folder: Path, cluster: LocalCluster, reaper: Reaper, *, blocks: int) -> None:
    """A run whose workers are killed ends, with every block once and each pixel right."""
    source, made = strip(blocks)
    store = BlockStore(folder, made.id)
    done: list[str] = []
    with Client(cluster, set_as_default=False) as client:
        reaper.start()
        report = run(
            made,
            source,
            dawdling,
            store,
            settings=EngineSettings(retries=5),
            on_event=lambda event: done.append(event.block_id) if isinstance(event, BlockDone) else None,
            client=client,
        )
    reaper.over.set()
    reaper.join()
    reaper.look()
    log.info("%d kills, %d of %d blocks", reaper.kills, report.computed, len(made.blocks))
    assert reaper.kills >= min(2, len(reaper.pauses))
    assert sorted(done) == sorted(block.id for block in made.blocks)
    assert all(len(inodes) == 1 for inodes in reaper.inodes.values()), "a finished block was computed again"
    assert np.array_equal(whole(store, made), quantise(box_change(source.pixels, 2)))
