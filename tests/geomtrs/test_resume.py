"""A run that died goes on where it was; another one is refused in its folder, naming the difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import geomtrs
from geomtrs.errors import JobError
from geomtrs.lock import only_one
from geomtrs.options import Options
from geomtrs.outputs.verify import verify
from tests.geomtrs.conftest import ask, ground
from tiling.engine import BlockDone, Started
from tiling.errors import OutputError, TilingError

Pair = tuple[str, str]
NEW, LOST = "the roofs that appeared", "the roofs that disappeared"


class Dies:
    """Listens, and interrupts the run once `blocks` are done."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.seen: list[object] = []

    def __call__(self, event: object) -> None:
        self.seen.append(event)
        if isinstance(event, BlockDone) and event.n_done >= self.blocks:
            raise KeyboardInterrupt


def die(pair: Pair, out: Path, blocks: int = 3) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(*pair, query=NEW, out=out, on_event=Dies(blocks))


def started(events: list[object]) -> Started:
    return next(event for event in events if isinstance(event, Started))


def test_an_interrupted_run_leaves_no_output_and_no_lock_e2_e9(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    die(pair, out)
    assert [path.name for path in out.iterdir()] == [".geomtrs"]
    with only_one(out / ".geomtrs" / "lock"):
        pass


def test_resume_ends_with_the_bytes_of_an_undisturbed_run(pair: Pair, tmp_path: Path) -> None:
    die(pair, tmp_path / "out")
    events: list[object] = []
    geomtrs.resume(tmp_path / "out", on_event=events.append)
    assert started(events).reused >= 3
    ask(*pair, query=NEW, out=tmp_path / "whole")
    for name in ("mask.tif", "probability.tif", "coverage.tif"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert verify(tmp_path / "out") == []


def test_the_same_detect_continues_a_run_that_died(pair: Pair, tmp_path: Path) -> None:
    die(pair, tmp_path / "out")
    events: list[object] = []
    ask(*pair, query=NEW, out=tmp_path / "out", on_event=events.append)
    assert started(events).reused >= 3


def test_a_run_may_go_on_with_other_workers(pair: Pair, tmp_path: Path) -> None:
    die(pair, tmp_path / "out")
    result = ask(*pair, query=NEW, out=tmp_path / "out", workers=1)
    assert result.run["job"]["spec"]["run"]["workers"] == 1


@pytest.mark.parametrize(
    ("query", "options", "named"),
    [
        (NEW, {"threshold": 0.6}, "threshold: 0.5, not 0.6"),
        (LOST, {}, "disappeared"),
        (NEW, {"tile_px": 48}, "tile_px: 64, not 48"),
        (NEW, {"min_area_m2": 9.0}, "min_area_m2"),
    ],
)
def test_another_job_in_the_folder_is_refused_naming_the_difference_e12(
    query: str, options: Options, named: str, pair: Pair, tmp_path: Path
) -> None:
    die(pair, tmp_path / "out")
    with pytest.raises(JobError, match=named):
        ask(*pair, query=query, out=tmp_path / "out", **options)


def test_other_weights_are_refused_e12(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    die(pair, tmp_path / "out")
    monkeypatch.setattr("geomtrs.models.differencing.Differencing.weights_hash", "f" * 32)
    with pytest.raises(JobError, match="model_hash"):
        geomtrs.resume(tmp_path / "out")


def test_changed_inputs_are_refused_by_name_e12(pair: Pair, raster: Callable[..., Path], tmp_path: Path) -> None:
    die(pair, tmp_path / "out")
    raster(Path(pair[1]), ground(3))
    with pytest.raises(JobError, match=r"input .*2023\.tif"):
        geomtrs.resume(tmp_path / "out")


def test_fresh_starts_over_e12(pair: Pair, tmp_path: Path) -> None:
    die(pair, tmp_path / "out")
    events: list[object] = []
    ask(*pair, query=LOST, out=tmp_path / "out", fresh=True, on_event=events.append)
    assert started(events).reused == 0
    assert verify(tmp_path / "out") == []


def test_a_second_run_in_the_folder_is_refused_while_one_goes_e6(pair: Pair, tmp_path: Path) -> None:
    refused: list[TilingError] = []

    def intrude(event: object) -> None:
        if isinstance(event, Started):
            with pytest.raises(JobError, match="another run in this folder") as caught:
                ask(*pair, query=NEW, out=tmp_path / "out")
            refused.append(caught.value)

    ask(*pair, query=NEW, out=tmp_path / "out", on_event=intrude)
    assert len(refused) == 1
    assert verify(tmp_path / "out") == []


def test_the_store_goes_after_the_outputs_unless_it_is_kept(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=NEW, out=tmp_path / "a")
    assert not (tmp_path / "a" / ".geomtrs").exists()
    ask(*pair, query=NEW, out=tmp_path / "b", keep_store=True)
    assert list((tmp_path / "b" / ".geomtrs" / "blocks").glob("*"))


def test_a_kept_store_serves_the_same_run_once_more(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=NEW, out=tmp_path / "out", keep_store=True)
    events: list[object] = []
    ask(*pair, query=NEW, out=tmp_path / "out", overwrite=True, on_event=events.append)
    assert started(events).reused == started(events).total


def test_a_kept_store_does_not_stand_in_the_way_of_another_run(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=NEW, out=tmp_path / "out", keep_store=True)
    with pytest.raises(OutputError, match="--overwrite"):
        ask(*pair, query=LOST, out=tmp_path / "out")
    events: list[object] = []
    ask(*pair, query=LOST, out=tmp_path / "out", overwrite=True, on_event=events.append)
    assert started(events).reused == 0
    assert verify(tmp_path / "out") == []


def test_a_run_that_died_while_it_wrote_outputs_goes_on(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError("preview.png", found="No space left on device", wanted="room", remedy="free some space")

    monkeypatch.setattr("geomtrs.finish.write_preview", full)
    with pytest.raises(OutputError, match="preview"):
        ask(*pair, query=NEW, out=tmp_path / "out")
    monkeypatch.undo()
    assert not (tmp_path / "out" / "run.json").exists()
    events: list[object] = []
    geomtrs.resume(tmp_path / "out", on_event=events.append)
    assert started(events).reused == started(events).total
    assert verify(tmp_path / "out") == []


def test_resume_of_a_finished_run_is_its_result(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=NEW, out=tmp_path / "out")
    assert len(geomtrs.resume(tmp_path / "out").polygons) == 1


def test_there_is_nothing_to_resume_in_any_folder(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no run that began here"):
        geomtrs.resume(tmp_path)


def test_a_damaged_job_file_is_refused_with_a_remedy(pair: Pair, tmp_path: Path) -> None:
    die(pair, tmp_path / "out")
    (tmp_path / "out" / ".geomtrs" / "job.json").write_text("{")
    with pytest.raises(JobError, match="--fresh"):
        geomtrs.resume(tmp_path / "out")


def test_the_spec_lies_in_the_folder_from_the_start(pair: Pair, tmp_path: Path) -> None:
    die(pair, tmp_path / "out", blocks=1)
    job = json.loads((tmp_path / "out" / ".geomtrs" / "job.json").read_text("utf-8"))
    assert job["spec"]["queries"] == [{"text": NEW, "name": None}]


def test_a_run_on_many_blocks_goes_on_too(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(*pair, query=NEW, out=tmp_path / "out", block_tiles=1, on_event=Dies(5))
    events: list[object] = []
    geomtrs.resume(tmp_path / "out", on_event=events.append)
    assert 5 <= started(events).reused < started(events).total
    assert verify(tmp_path / "out") == []


def began_on(document: Path, scheduler: str) -> None:
    """As if the run had begun on another cluster."""
    document.write_text(
        document.read_text("utf-8").replace('"scheduler": null', f'"scheduler": "{scheduler}"'), "utf-8"
    )


@pytest.mark.slow
def test_a_run_goes_on_on_another_cluster_than_it_began_on_g6(pair: Pair, tmp_path: Path) -> None:
    from distributed import LocalCluster

    die(pair, tmp_path / "out")
    began_on(tmp_path / "out" / ".geomtrs" / "job.json", "tcp://127.0.0.1:1")
    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:  # type: ignore[no-untyped-call]
        geomtrs.resume(tmp_path / "out", scheduler=cluster.scheduler_address)
    assert verify(tmp_path / "out") == []


def test_the_same_detect_without_the_cluster_goes_on_here_g6(pair: Pair, tmp_path: Path) -> None:
    die(pair, tmp_path / "out")
    began_on(tmp_path / "out" / ".geomtrs" / "job.json", "tcp://127.0.0.1:1")
    events: list[object] = []
    ask(*pair, query=NEW, out=tmp_path / "out", on_event=events.append)
    assert started(events).reused >= 3


def test_a_run_is_repeated_here_whatever_cluster_it_ran_on_d8(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=NEW, out=tmp_path / "out")
    began_on(tmp_path / "out" / "run.json", "tcp://127.0.0.1:1")
    again = geomtrs.rerun(tmp_path / "out" / "run.json", out=tmp_path / "again")
    assert again.run["job"]["spec"]["run"]["scheduler"] is None
