"""The main job on one page: images and sentences in, masks, polygons and a picture out.

    paths, sentences ─ spec ─► model ─► scene ─► plan ─► blocks ─► mosaics ─► polygons ─► record

Each stage lives elsewhere: tiling for rasters and workers, models for answers, outputs for files, state for what a
folder remembers of a run that died.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import rasterio

from geomtrs.arrays import ArrayRaster, open_arrays
from geomtrs.asking import Asked, ask_model
from geomtrs.clock import Clock, time_text
from geomtrs.device import several_gpus
from geomtrs.errors import JobError
from geomtrs.events import Listener, Stage
from geomtrs.features import Kept, forget, model_of, read_kept, size_bytes, source_of
from geomtrs.finish import Answered, write_outputs
from geomtrs.inputs import fingerprint, refuse_missing
from geomtrs.items import open_items
from geomtrs.lock import only_one
from geomtrs.memory import PeakMemory, give_back, left_for_blocks
from geomtrs.models import catalog
from geomtrs.naming import names
from geomtrs.notebook import listener
from geomtrs.options import DateSource, Options, job_spec
from geomtrs.outputs.publish import sweep
from geomtrs.outputs.shape import check_regularizer
from geomtrs.query import Query
from geomtrs.recording import Cost, read_record, write_record
from geomtrs.scene import JobPlan, Scene, asked_lines, dated, open_scene, plan_scene, recall_scene, tiles_line
from geomtrs.signing import signer
from geomtrs.spec import JobSpec
from geomtrs.state import DONE, JobState, begin, blocks_folder, clear, end, hidden, read_state
from tiling.engine import EngineSettings
from tiling.engine import run as answer_blocks
from tiling.mosaic import GDAL_CACHE_BYTES
from tiling.stack import Stack
from tiling.store import BlockStore

if TYPE_CHECKING:
    from distributed import Client

    from geomtrs.result import ChangeResult


class StartOptions(Options, total=False):
    """Options, and how a run begins.

    overwrite  replace outputs of an earlier run
    fresh      forget a run that did not end in this folder
    client     a running Dask client, instead of a cluster of our own
    """

    overwrite: bool
    fresh: bool
    client: Client | None


@dataclass(frozen=True, slots=True)
class Start:
    """How a run begins: see StartOptions.

    arrays     images that are no files, by their names in the spec
    replacing  the option by which a user of this verb says `overwrite`; None where it has none
    """

    overwrite: bool = False
    fresh: bool = False
    client: Client | None = None
    arrays: Mapping[str, ArrayRaster] = field(default_factory=dict)
    replacing: str | None = "--overwrite"


def detect(
    *images: DateSource,
    query: str | Query | Sequence[str | Query],
    out: str | os.PathLike[str],
    on_event: Listener | None = None,
    **options: Unpack[StartOptions],
) -> ChangeResult:
    """The answers to sentences about two or more images of one place, as files in a folder.

    images    rasters in order of time: paths, URLs, open datasets, xarray.DataArrays (of dask: read window by window),
              STAC items (paths, URLs, pystac.Items); a date of several files is a list of them
    query     one sentence or several
    out       folder of the outputs; a run that died in it is continued
    on_event  is told of every stage and block; None: a line that renews itself in a notebook, else nothing
    options   see geomtrs.options.Options and StartOptions

    Raises QueryError for what was asked wrongly, ModelError, SourceError, GridError, BlockError, OutputError and
    JobError: all of them TilingError, one line each.
    """
    told: dict[str, Any] = dict(options)
    overwrite, fresh, client = told.pop("overwrite", False), told.pop("fresh", False), told.pop("client", None)
    spec, arrays = _spec_of(images, query, out, told)
    return run_job(spec, Start(overwrite, fresh, client, arrays), on_event)


def resume(
    folder: str | os.PathLike[str],
    *,
    scheduler: str | None = None,
    on_event: Listener | None = None,
    client: Client | None = None,
) -> ChangeResult:
    """The answers of a run that did not end, only the missing blocks computed; those of one that did, as they lie.

    scheduler   address of another cluster than the run began on; `detect` once more goes on without any

    Raises JobError where there is no run, or its inputs or weights have changed.
    """
    from geomtrs.result import ChangeResult

    path = Path(folder)
    state = read_state(path)
    if state is None:
        if (path / "run.json").is_file():
            _tidy(path)
            return ChangeResult(path)
        raise JobError(
            path,
            found="no run that began here",
            wanted="the folder of a run",
            remedy="check it, or run detect; a batch goes on by its own command",
        )
    spec = replace(state.spec, out=str(path.absolute()))
    run = replace(spec.run, scheduler=scheduler or spec.run.scheduler)
    return run_job(spec.running(run), Start(client=client), on_event)


def rerun(
    record: str | os.PathLike[str], *, out: str | os.PathLike[str], on_event: Listener | None = None
) -> ChangeResult:
    """The same run once more, from its run.json alone: equal masks, bit by bit, on the same processor (D8).

    Raises JobError where the record does not read, or inputs or weights are not those of the first run.
    """
    state, device = read_record(Path(record))
    spec = replace(state.spec, out=str(Path(out).absolute()))
    run = replace(spec.run, precision=device.precision, engine=device.engine, threads=device.threads, batch=state.batch)
    run = replace(run, scheduler=None)  # a cluster changes no byte, and may be gone
    return run_job(spec.running(run), Start(replacing=None), on_event, repeats=state)


def plan(*images: DateSource, **options: Unpack[Options]) -> JobPlan:
    """What `detect` would do: the grid, how each date lies on it, the shift between dates, tiles; no model is asked.

    Raises as `detect` does for images that cannot be used.
    """
    told: dict[str, Any] = dict(options)
    spec, arrays = _spec_of(images, told.pop("query", "change"), told.pop("out", "."), told)
    card = catalog.describe(spec.model, weights=spec.weights)
    scene = open_scene(spec, card, arrays)
    return JobPlan(spec, scene, plan_scene(spec, scene, card.tile_spec, token=""))


def run_job(spec: JobSpec, start: Start, on_event: Listener | None, *, repeats: JobState | None = None) -> ChangeResult:
    """The job itself, stage by stage. `repeats` is the run that must be repeated exactly."""
    from geomtrs.result import ChangeResult

    if spec.regularize:
        check_regularizer()
    clock, folder, on_event = Clock(), Path(spec.out), on_event or listener()
    # Left to itself GDAL caches 5 % of the machine's memory.
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), _owned(folder), PeakMemory() as memory:
        refuse_missing(spec.files, spec.aoi)  # before the model is loaded, which takes seconds
        with clock.part("load model"):
            asked = ask_model(spec)
        with clock.part("open images"):
            kept = None if spec.features is None else read_kept(Path(spec.features))
            scene = _scene(spec, asked, kept, start.arrays)
        on_event(Stage("device", f"device  {asked.device.description}"))
        on_event(Stage("scene", f"scene   {scene.line}"))
        for line in asked_lines(spec.queries):
            on_event(Stage("asked", line))
        device = asked.device
        state = JobState(
            spec,
            fingerprint(spec.files),
            asked.model.weights_hash,
            device.precision,
            device.engine,
            asked.batch(spec),
        )
        state = state if kept is None else kept.seen(state)
        _refuse_other(repeats, state)
        called = names(spec.queries, scene.dates, scene.pairs)
        work = plan_scene(spec, scene, asked.model.tile_spec, state.token(scene.stack.to_dict()))
        settings = replace(_settings(state), gpus=several_gpus(spec.run.device, asked.device))
        targets = called.targets(folder, spec.formats)
        begin(folder, state, targets, overwrite=start.overwrite, fresh=start.fresh, replacing=start.replacing)
        if not spec.keep_features:
            forget(folder)  # of the run whose outputs are replaced
        on_event(Stage("tiles", f"tiles   {tiles_line(work, scene)}"))
        store = BlockStore(blocks_folder(folder), work.id)
        with clock.part("answer blocks"):
            model, source = (
                model_of(state, asked.recipe(spec, scene), scene, work),
                source_of(spec.features, scene),
            )
            report = answer_blocks(
                work, source, model, store, settings=settings, on_event=on_event, client=start.client
            )
        give_back()
        answered = Answered(folder, spec, scene, called, work, store)
        written = write_outputs(answered, report.failed, clock, on_event)
        cost = Cost({**clock.seconds(), **report.seconds}, memory.bytes, report.failed, size_bytes(folder))
        write_record(answered, written, state, asked.device, cost)
        end(folder, keep_store=spec.run.keep_store)
        answered_blocks = report.total - len(report.failed)
        on_event(
            Stage("done", f"done    {answered_blocks} of {report.total} blocks · {time_text(clock.seconds()['total'])}")
        )
    return ChangeResult(folder)


def _spec_of(
    images: Sequence[DateSource],
    query: str | Query | Sequence[str | Query],
    out: str | os.PathLike[str],
    told: dict[str, Any],  # Any: values of every option
) -> tuple[JobSpec, dict[str, ArrayRaster]]:
    """What was said as a spec, whose images are rasters only, and those of them that are arrays by their names."""
    files, days = open_items(images, signer(told.get("sign")))
    named, arrays = open_arrays(files)
    spec = job_spec(named, query, out, **told)
    if spec.dates is None and any(days):  # an item knows its day, which its rasters need not
        known = tuple(day or dated(date, arrays).text for day, date in zip(days, spec.images, strict=True))
        spec = replace(spec, dates=known)
    return spec, arrays


def _scene(spec: JobSpec, asked: Asked, kept: Kept | None, arrays: Mapping[str, ArrayRaster]) -> Scene:
    """The images opened, or recalled as they were when their features were kept."""
    if kept is None:
        return open_scene(spec, asked.card, arrays)
    return recall_scene(spec, asked.card, Stack.from_dict(dict(kept.stack)), kept.dates)


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """The folder is there and nobody else's; one that was made for nothing is taken away again."""
    made = not folder.exists()
    try:
        with only_one(hidden(folder) / "lock"):
            sweep(folder)
            sweep(hidden(folder))
            yield
    finally:
        for empty in (hidden(folder), *([folder] if made else [])):
            with suppress(OSError):  # it holds something, as it should
                empty.rmdir()


def _tidy(folder: Path) -> None:
    """What a run that was killed at its very end left beside its outputs is gone; blocks that are kept stay."""
    left = hidden(folder)
    if left.is_dir() and not (left / DONE).exists() and os.access(left, os.W_OK):
        with _owned(folder):
            clear(folder)


def _settings(state: JobState) -> EngineSettings:
    run = state.spec.run
    return EngineSettings(
        processes=run.processes,
        blocks_at_once=run.workers,
        batch=state.batch,
        memory_bytes=None if run.memory_bytes is None else left_for_blocks(run.memory_bytes),
        retries=run.retries,
        keep_going=run.keep_going,
        scheduler=run.scheduler,
    )


def _refuse_other(wanted: JobState | None, found: JobState) -> None:
    """A run is repeated only over the same bytes and weights."""
    differences = wanted.differences(found) if wanted is not None else ()
    if differences:
        raise JobError(
            found.spec.out,
            found=f"another state than that of the record ({'; '.join(differences[:3])})",
            wanted="the same inputs and weights",
            remedy="put them back as they were, or run detect anew",
        )
