"""A Dask cluster of two worker processes: one scene spread over it, and many small ones at once (G6)."""

# mypy: allow-untyped-calls
# Dask ships types for a part of its functions only.

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask.config
import pytest
from distributed import Client, LocalCluster

import geomtrs
from geomtrs.archive.batch import SceneEnded
from geomtrs.archive.ledger import rows
from geomtrs.outputs.verify import verify
from tests.geomtrs.conftest import ask
from tests.geomtrs.test_archive import SENTENCE, SLOW, archive
from tiling.errors import NoWorkersError

RASTERS = ("mask.tif", "probability.tif", "coverage.tif")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of the scheduler of two workers, each a process of its own."""
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, memory_limit=0, dashboard_address="127.0.0.1:0"
    ) as made:
        yield made.scheduler_address


def test_a_scene_on_two_worker_processes_gives_the_bytes_of_one_run_alone_g6(
    pair: tuple[str, str], cluster: str, tmp_path: Path
) -> None:
    spread = ask(*pair, query=SENTENCE, out=tmp_path / "spread", scheduler=cluster, block_tiles=1)
    alone = ask(*pair, query=SENTENCE, out=tmp_path / "alone", block_tiles=1)
    for name in RASTERS:
        assert (spread.folder / name).read_bytes() == (alone.folder / name).read_bytes()
    with Client(cluster, set_as_default=False) as client:
        assert len(client.nthreads()) == 2  # and nothing of the run is left on them
        assert not any(name.startswith("tiling-") for names in client.run(_plugins).values() for name in names)


def _plugins(dask_worker: object) -> list[str]:
    return list(dask_worker.plugins)  # type: ignore[attr-defined]  # a distributed Worker


def test_many_small_scenes_are_spread_over_a_cluster_each_with_its_own_bytes_g6(cluster: str, tmp_path: Path) -> None:
    archive(tmp_path / "in", 6)
    (tmp_path / "in" / "broken_2019.tif").write_bytes(b"no")
    running: list[int] = []

    def look(event: object) -> None:
        if isinstance(event, SceneEnded):
            running.append([row.status for row in rows(tmp_path / "out" / "ledger.gpkg")].count("running"))

    how = {"query": SENTENCE, "model": "differencing"}
    result = geomtrs.batch(tmp_path / "in", out=tmp_path / "out", scheduler=cluster, on_event=look, **how)
    assert result.counts == {"done": 6, "failed": 1}
    assert max(running) == 3  # of four at work, one has ended
    alone = geomtrs.batch(tmp_path / "in", out=tmp_path / "alone", **how)
    assert [row.polygons for row in result.rows] == [row.polygons for row in alone.rows]
    for row in result.rows[:2]:
        assert verify(tmp_path / "out" / row.scene.id) == []
        for name in RASTERS:
            here, there = (tmp_path / out / row.scene.id / name for out in ("out", "alone"))
            assert here.read_bytes() == there.read_bytes()


def test_a_batch_that_meets_a_cluster_without_workers_stops_and_leaves_every_scene_to_be_done_e13(
    tmp_path: Path,
) -> None:
    archive(tmp_path / "in", 3)
    how = {"query": SENTENCE, "model": "differencing", "out": tmp_path / "out"}
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as empty,
        dask.config.set({"distributed.scheduler.no-workers-timeout": 0.5}),
        pytest.raises(NoWorkersError, match="no worker for"),
    ):
        geomtrs.batch(tmp_path / "in", scheduler=empty.scheduler_address, **how)
    assert {row.status for row in rows(tmp_path / "out" / "ledger.gpkg")} == {"pending"}
    assert geomtrs.batch(tmp_path / "in", **how).counts == {"done": 3}


@pytest.mark.slow
def test_killed_with_several_scenes_at_work_only_the_unfinished_ones_are_asked_again_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 6)
    out = tmp_path / "out"
    words = ["batch", str(tmp_path / "in"), "-q", SENTENCE, "-o", str(out), "--model", "differencing", "--at-once", "3"]
    with subprocess.Popen([sys.executable, "-c", SLOW, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("2/6"):
                break
        process.kill()
    done = {row.scene.id for row in rows(out / "ledger.gpkg") if row.status == "done"}
    assert 2 <= len(done) < 6
    asked: list[str] = []
    result = geomtrs.batch(
        tmp_path / "in",
        query=SENTENCE,
        model="differencing",
        out=out,
        at_once=3,
        on_event=lambda event: asked.append(event.scene_id) if isinstance(event, SceneEnded) else None,
    )
    assert result.counts == {"done": 6}
    assert not done & set(asked)


def test_ctrl_c_with_several_scenes_at_work_leaves_them_pending_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 5)

    def interrupted(event: object) -> None:
        if isinstance(event, SceneEnded):
            raise KeyboardInterrupt

    how = {"query": SENTENCE, "model": "differencing", "out": tmp_path / "out", "at_once": 2}
    with pytest.raises(KeyboardInterrupt):
        geomtrs.batch(tmp_path / "in", on_event=interrupted, **how)
    states = [row.status for row in rows(tmp_path / "out" / "ledger.gpkg")]
    assert set(states) == {"done", "pending"}
    assert geomtrs.batch(tmp_path / "in", **how).counts == {"done": 5}
