"""The engine: every block once, whatever happens to the others, and the same bytes however many work at it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.windows import Window

from tests.tiling import fakes
from tests.tiling.fakes import ArraySource, BoxModel, Pixels, box_change, noise_source, whole
from tiling.answer import BlockWorker
from tiling.blend import quantise
from tiling.engine import (
    BlockDone,
    BlockFailed,
    EngineSettings,
    Event,
    Finished,
    Started,
    TileModel,
    answer_block,
    run,
)
from tiling.errors import BlockError, RefusedError, SourceError
from tiling.mosaic import RasterSpec, coverage, windows, write_cog
from tiling.plan import Plan, plan
from tiling.stack import CLOUD, FAILED, HOLE_AT_DATE, OBSERVED
from tiling.store import BlockStore

THREADS = EngineSettings(blocks_at_once=3, batch=4)


def cut(source: ArraySource) -> Plan:
    """Tiles of 24 px that answer for 16; blocks of 2 × 2 tiles."""
    return plan(source.geobox, tile_px=24, halo_px=2, feather_px=2, block_tiles=2)


def box() -> TileModel:
    return BoxModel(2)


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def ids(self) -> list[str]:
        return [event.block_id for event in self.events if isinstance(event, BlockDone)]


@pytest.mark.parametrize("shape", [(60, 50), (150, 130)], ids=["in process", "on Dask"])
def test_a_run_leaves_every_block_in_the_store_c2(tmp_path: Path, shape: tuple[int, int]) -> None:
    source = noise_source(*shape)
    made = cut(source)
    store = BlockStore(tmp_path, made.id)
    report = run(made, source, box, store, settings=THREADS)
    assert store.done() == {block.id for block in made.blocks}
    assert np.array_equal(whole(store, made), quantise(box_change(source.pixels, 2)))
    assert (report.total, report.reused, report.computed) == (len(made.blocks), 0, len(made.blocks))


def test_a_few_blocks_are_answered_without_dask() -> None:
    script = (
        "import sys, tempfile, pathlib\n"
        "from tests.tiling.fakes import BoxModel, noise_source\n"
        "from tiling.engine import run\nfrom tiling.plan import plan\nfrom tiling.store import BlockStore\n"
        "source = noise_source(60, 50)\n"
        "made = plan(source.geobox, tile_px=24, halo_px=2, feather_px=2, block_tiles=2)\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    run(made, source, lambda: BoxModel(2), BlockStore(pathlib.Path(folder), made.id))\n"
        "assert 'distributed' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_events_tell_the_start_each_block_once_and_the_end(tmp_path: Path) -> None:
    source, told = noise_source(150, 130), Recorder()
    made = cut(source)
    run(made, source, box, BlockStore(tmp_path, made.id), settings=THREADS, on_event=told)
    assert told.events[0] == Started(len(made.blocks), 0)
    assert sorted(told.ids()) == [block.id for block in made.blocks]
    assert [e.n_done for e in told.events if isinstance(e, BlockDone)] == [*range(1, len(made.blocks) + 1)]
    assert isinstance(told.events[-1], Finished)


def test_a_second_run_computes_only_the_blocks_that_are_missing(tmp_path: Path) -> None:
    source, told = noise_source(150, 130), Recorder()
    made = cut(source)
    store = BlockStore(tmp_path, made.id)
    run(made, source, box, store, settings=THREADS)
    lost, damaged = made.blocks[3].id, made.blocks[7].id
    (tmp_path / f"{lost}.block").unlink()
    (tmp_path / f"{damaged}.block").write_bytes((tmp_path / f"{damaged}.block").read_bytes()[:-1])
    report = run(made, source, box, store, settings=THREADS, on_event=told)
    assert sorted(told.ids()) == [lost, damaged]
    assert report.reused == len(made.blocks) - 2


def test_a_report_sums_the_seconds_of_each_part(tmp_path: Path) -> None:
    source = noise_source(150, 130)
    made = cut(source)
    report = run(made, source, box, BlockStore(tmp_path, made.id), settings=THREADS)
    assert set(report.seconds) == {"read", "model", "blend", "write"}
    assert all(seconds > 0 for seconds in report.seconds.values())


def mask_bytes(folder: Path, settings: EngineSettings) -> bytes:
    source = noise_source(150, 130, holes=True)
    made = cut(source)
    store = BlockStore(folder / "store", made.id)
    run(made, source, box, store, settings=settings)
    parts = ((part.window, (part.probability >= 83).astype(np.uint8)) for part in windows(store, made, 0))
    write_cog(folder / "mask.tif", made.geobox, parts, spec=RasterSpec(nodata=255))
    return (folder / "mask.tif").read_bytes()


def test_the_number_of_threads_changes_no_byte_of_the_mask_c9(tmp_path: Path) -> None:
    made = {mask_bytes(tmp_path / str(n), EngineSettings(blocks_at_once=n, batch=4)) for n in (1, 3)}
    assert len(made) == 1


@pytest.mark.slow
def test_the_number_of_worker_processes_changes_no_byte_of_the_mask_c9(tmp_path: Path) -> None:
    carried_by_value()
    settings = [EngineSettings(processes=n, blocks_at_once=1, batch=4) for n in (None, 1, 2)]
    assert len({mask_bytes(tmp_path / str(index), s) for index, s in enumerate(settings)}) == 1


def carried_by_value() -> None:
    """Worker processes cannot import the tests."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cloudpickle.register_pickle_by_value(fakes)


@pytest.mark.parametrize("batch", [2, 5, 100])
def test_the_batch_changes_no_probability_by_more_than_a_thousandth_c10(tmp_path: Path, batch: int) -> None:
    source = noise_source(150, 130)
    made = cut(source)
    rasters = []
    for size in (1, batch):
        store = BlockStore(tmp_path / str(size), made.id)
        run(made, source, box, store, settings=EngineSettings(batch=size))
        rasters.append(whole(store, made).astype(int))
    assert np.abs(rasters[0] - rasters[1]).max() == 0


def test_tiles_are_batched_with_others_of_their_shape_and_never_beyond_the_batch() -> None:
    source, model = noise_source(40, 33), BoxModel(2)
    made = cut(source)
    answer_block(made.blocks[0], source, model, made, batch=3, turn=nullcontext())
    assert all(shape[0] <= 3 for shape in model.shown)
    assert sum(shape[0] for shape in model.shown) == len(made.blocks[0].tiles)


def test_tiles_without_an_observed_pixel_are_not_shown_to_the_model_c5() -> None:
    source, model = noise_source(64, 64), BoxModel(2)
    source.coverage[:] = HOLE_AT_DATE
    source.coverage[20, 3] = OBSERVED  # in the core of the tile in the second row, first column
    made = cut(source)
    arrays, meta = answer_block(made.blocks[0], source, model, made, batch=1, turn=nullcontext())
    assert meta["tiles"] == [[1, 0]]
    assert len(model.shown) == 1
    assert np.array_equal(arrays["coverage"], source.coverage[:32, :32])


def test_a_block_without_an_observed_pixel_never_sees_the_model_and_keeps_its_reason_c5(tmp_path: Path) -> None:
    source, model = noise_source(60, 50), BoxModel(2)
    source.coverage[:] = CLOUD
    made = cut(source)
    store = BlockStore(tmp_path, made.id)
    run(made, source, lambda: model, store)
    assert model.shown == []
    assert (coverage(store, made, made.blocks[0]) == CLOUD).all()
    assert (whole(store, made) == 255).all()


@dataclass(frozen=True)
class DamagedSource(ArraySource):
    """A source with a pixel in whose neighbourhood nothing can be read, as often as `file` says, or always."""

    damaged: tuple[int, int] = (70, 70)
    file: Path | None = None  # holds how many more times reading fails

    def read(self, window: Window) -> Pixels:
        (row0, row1), (col0, col1) = window.toranges()
        if row0 <= self.damaged[0] < row1 and col0 <= self.damaged[1] < col1 and self._fails():
            raise SourceError("after.tif", found="a truncated strip", wanted="pixels", remedy="fetch it again")
        return super().read(window)

    def _fails(self) -> bool:
        if self.file is None:
            return True
        left = int(self.file.read_text())
        self.file.write_text(str(left - 1))
        return left > 0


def damaged(source: ArraySource, file: Path | None = None) -> DamagedSource:
    return DamagedSource(source.geobox, source.pixels, source.coverage, file=file)


def test_a_block_that_fails_once_is_tried_again_c11(tmp_path: Path) -> None:
    source = noise_source(150, 130)
    made = cut(source)
    (tmp_path / "left").write_text("1")
    store = BlockStore(tmp_path / "store", made.id)
    report = run(made, damaged(source, tmp_path / "left"), box, store, settings=THREADS)
    assert report.failed == ()
    assert store.done() == {block.id for block in made.blocks}


def test_a_block_that_keeps_failing_stops_the_run_with_window_file_and_reason_and_the_rest_is_kept_c11(
    tmp_path: Path,
) -> None:
    source, told = noise_source(150, 130), Recorder()
    made = cut(source)
    store = BlockStore(tmp_path, made.id)
    with pytest.raises(
        BlockError, match=r"^after\.tif: .*truncated strip.*rows 64\.\.96, columns 64\.\.96.*3 attempts"
    ):
        run(made, damaged(source), box, store, settings=THREADS, on_event=told)
    assert store.done() >= set(told.ids())
    assert made.block_at(2, 2) is not None
    kept = store.done()
    resumed = run(made, source, box, store, settings=THREADS)
    assert resumed.reused == len(kept)
    assert np.array_equal(whole(store, made), quantise(box_change(source.pixels, 2)))


def test_a_raster_that_is_refused_is_not_tried_again_e11(tmp_path: Path) -> None:
    class Refusing(DamagedSource):
        def read(self, window: Window) -> Pixels:
            try:
                return super().read(window)
            except SourceError as error:
                raise RefusedError(error.file, found="a bomb", wanted="a raster", remedy="keep off") from None

    source = noise_source(150, 130)
    made = cut(source)
    with pytest.raises(BlockError, match=r"a bomb .*, 1 attempt;"):
        run(
            made,
            Refusing(source.geobox, source.pixels, source.coverage),
            box,
            BlockStore(tmp_path, made.id),
            settings=THREADS,
        )


def test_a_run_told_to_keep_going_lists_what_failed_and_marks_its_ground_c11(tmp_path: Path) -> None:
    source, told = noise_source(150, 130), Recorder()
    made = cut(source)
    store = BlockStore(tmp_path, made.id)
    report = run(made, damaged(source), box, store, settings=replace(THREADS, keep_going=True), on_event=told)
    (failure,) = report.failed
    assert (failure.block_id, failure.file) == ("r002c002", "after.tif")
    assert failure.window == Window(64, 64, 32, 32)
    assert BlockFailed(failure) in told.events
    block = made.block_at(2, 2)
    assert block is not None
    assert (coverage(store, made, block) == FAILED).all()
    assert report.computed == len(made.blocks) - 1


def test_a_later_run_tries_failed_blocks_again(tmp_path: Path) -> None:
    source = noise_source(150, 130)
    made = cut(source)
    store = BlockStore(tmp_path, made.id)
    run(made, damaged(source), box, store, settings=replace(THREADS, keep_going=True))
    assert run(made, source, box, store, settings=THREADS).computed == 1
    assert store.failed() == {}


@dataclass
class WrongModel:
    kind: str

    def __call__(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probability, existence = BoxModel(2)(tiles)
        if self.kind == "not a number":
            probability[0, 0, 5, 5] = np.nan
        elif self.kind == "too small":
            probability = probability[..., :-1]
        else:
            existence = existence + 1
        return probability, existence


@pytest.mark.parametrize("kind", ["not a number", "too small", "existence"])
def test_an_answer_that_is_none_fails_its_block_c11(tmp_path: Path, kind: str) -> None:
    source = noise_source(60, 50)
    made = cut(source)
    with pytest.raises(BlockError, match="ValueError"):
        run(made, source, lambda: WrongModel(kind), BlockStore(tmp_path, made.id), settings=EngineSettings(retries=0))


@pytest.mark.parametrize("shape", [(60, 50), (150, 130)], ids=["in process", "on Dask"])
def test_a_model_that_cannot_be_made_is_its_own_error(tmp_path: Path, shape: tuple[int, int]) -> None:
    def broken() -> TileModel:
        raise LookupError("no such weights")

    source = noise_source(*shape)
    made = cut(source)
    with pytest.raises(LookupError, match="no such weights"):
        run(made, source, broken, BlockStore(tmp_path, made.id), settings=THREADS)


def test_a_model_is_made_once_however_many_threads_ask(tmp_path: Path) -> None:
    source = noise_source(150, 130)
    made = cut(source)
    births: list[int] = []

    def factory() -> TileModel:
        births.append(threading.get_ident())
        time.sleep(0.05)
        return BoxModel(2)

    worker = BlockWorker(made, source, factory, BlockStore(tmp_path, made.id), batch=1, retries=0)
    threads = [threading.Thread(target=worker.answer, args=(block,)) for block in made.blocks[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(births) == 1


@dataclass
class NotingModel(BoxModel):
    """A model that is also told which tiles it sees."""

    places: list[tuple[int, int]] = field(default_factory=list)

    def at(
        self, tiles: NDArray[np.uint8], places: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert len(tiles) == len(places)
        self.places += places
        return self(tiles)


def test_a_model_that_asks_for_it_is_told_the_place_of_every_tile(tmp_path: Path) -> None:
    source, model = noise_source(60, 50), NotingModel(2)
    made = cut(source)
    run(made, source, lambda: model, BlockStore(tmp_path, made.id))
    assert sorted(model.places) == sorted((tile.row, tile.col) for block in made.blocks for tile in block.tiles)
