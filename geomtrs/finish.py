"""Finished blocks → the files of product.md §3. All of them are made from the store alone, and can be made again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import geopandas
import numpy as np
import pandas as pd

from geomtrs.clock import Clock
from geomtrs.earlier import forget_earlier
from geomtrs.events import Listener, Stage
from geomtrs.features import keep_look, kept_look
from geomtrs.memory import give_back
from geomtrs.naming import Channel, Names
from geomtrs.outputs import tracks, vector
from geomtrs.outputs.keep import kept
from geomtrs.outputs.look import SceneReader, TornStack
from geomtrs.outputs.preview import Caption, write_preview
from geomtrs.outputs.publish import json_bytes, publish
from geomtrs.outputs.raster import AnswerRasters, CoverageTotal, stored_threshold, write_answer, write_coverage
from geomtrs.outputs.record import read_run
from geomtrs.outputs.shape import Shaping
from geomtrs.outputs.stac import footprint
from geomtrs.result import area_text
from geomtrs.scene import Scene
from geomtrs.spec import JobSpec
from tiling.engine import BlockFailure
from tiling.grid import window_geobox
from tiling.layer import DateLayer
from tiling.mosaic import windows
from tiling.plan import Plan
from tiling.register import RELIABLE
from tiling.store import BlockStore
from tiling.vectorize import polygons

_ASIDE_PX = 8192 * 8192

P = ParamSpec("P")
T = TypeVar("T")

_SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
_FOLLOWED_BY = {".tif": (".qml",), ".shp": _SHAPEFILE}


@dataclass(frozen=True, slots=True)
class Answered:
    """A run whose blocks are done: what was asked of what, and where the answers lie."""

    folder: Path
    spec: JobSpec
    scene: Scene
    names: Names
    plan: Plan
    store: BlockStore

    @property
    def threshold(self) -> int:
        """On stored values."""
        return stored_threshold(self.spec.threshold)

    def dates_of(self, channel: Channel) -> tuple[str | None, str | None]:
        """Dates before and after."""
        before, after = self.scene.pairs[channel.pair]
        return self.scene.dates[before], self.scene.dates[after]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a run: files in the order they were made, polygons by layer and the bounds of them all (None
    without one), ground by coverage, warnings.
    """

    files: tuple[Path, ...]
    polygons: Mapping[str, int]
    bounds: tuple[float, float, float, float] | None
    coverage: tuple[CoverageTotal, ...]
    notes: tuple[str, ...]


def write_outputs(job: Answered, failed: Sequence[BlockFailure], clock: Clock, on_event: Listener) -> Written:
    """Every output but the record, each under its name only when it is complete (E2).

    Raises OutputError where a file cannot be written, StoreError where a block is missing.
    """
    _forget_earlier(job)
    readers = _readers(job, torn=bool(failed))
    # Pictures read the dates while polygons are found, and are drawn while these are written. Nothing goes on beside
    # the rasters: it would cost a third more memory, for a fraction of a second.
    with _aside(job) as aside:
        ahead = {} if isinstance(aside, AtOnce) else readers
        dates_read = [aside.submit(_read_dates, job, pair, reader) for pair, reader in ahead.items()]
        on_event(Stage("polygons", "finding polygons"))
        with clock.part("find polygons"):
            tables = {channel.number: _table(job, channel) for channel in job.names.channels()}
            for done in dates_read:
                done.result()
        give_back()
        on_event(Stage("rasters", "writing rasters"))
        with clock.part("write rasters"):
            rasters = {channel.number: _write_rasters(job, channel, tables) for channel in job.names.channels()}
            coverage = _write_coverage(job, anew=bool(failed))
        give_back()
        # Before anything goes on beside it: regularizing silences warnings, of all threads at once.
        with clock.part("shape polygons"):
            outlines = {number: _reshaped(job, table) for number, table in tables.items()}
            layers, told = _layers(job, outlines)
        drawn = aside.submit(_draw_all, job, rasters, readers, tables)
        on_event(Stage("vectors", "writing polygons"))
        with clock.part("write polygons"):
            vectors, notes = _write_vectors(job, layers)
            vectors += _write_tracks(job, layers, outlines)
        with clock.part("wait for previews"):
            previews = drawn.result()
    give_back()
    files = [path for found in rasters.values() for path in (found.mask, found.probability, *found.styles)]
    return Written(
        files=(*files, job.folder / "coverage.tif", *vectors, *previews, *_write_failures(job, failed)),
        polygons={name: len(frame) for name, frame in layers.items()},
        bounds=_bounds(layers),
        coverage=coverage,
        notes=(*told, *notes),
    )


def _forget_earlier(job: Answered) -> None:
    """Nothing is left of an earlier answer but what is replaced now, is the user's, or is read by this run."""
    ours = {path.name for path in job.names.targets(job.folder, job.spec.formats)}
    ours |= {f"{Path(name).stem}{part}" for name in ours for part in _FOLLOWED_BY.get(Path(name).suffix, ())}
    forget_earlier(job.folder, but=ours, read=job.spec.files)


def _write_rasters(job: Answered, channel: Channel, tables: Mapping[int, geopandas.GeoDataFrame]) -> AnswerRasters:
    chosen = bool(job.spec.queries[channel.query].scene_part)
    return write_answer(
        job.folder,
        store=job.store,
        plan=job.plan,
        query=channel.number,
        sentence=job.spec.queries[channel.query].text,
        threshold=job.threshold,
        slug=channel.slug,
        span=channel.span,
        keep=tables[channel.number].geometry.to_numpy() if chosen else None,
    )


def _write_coverage(job: Answered, *, anew: bool) -> tuple[CoverageTotal, ...]:
    """coverage.tif and its totals. A further sentence has those of the run that kept the features: a copy does."""
    path = job.folder / "coverage.tif"
    if job.spec.features is None or anew:
        return write_coverage(path, store=job.store, plan=job.plan, dates=len(job.scene.dates))
    first = Path(job.spec.features)
    publish(path, (first / path.name).read_bytes())
    return tuple(CoverageTotal(**total) for total in read_run(first)["coverage"])


def _layers(
    job: Answered, tables: Mapping[int, geopandas.GeoDataFrame]
) -> tuple[dict[str, geopandas.GeoDataFrame], list[str]]:
    """One table a sentence, its pairs below each other, numbered through; and what there is to say of them.

    tables  of each channel, by its number
    """
    parts: dict[str, list[geopandas.GeoDataFrame]] = {name: [] for name in job.names.layers}
    for channel in job.names.channels():
        parts[job.names.layers[channel.query]].append(tables[channel.number])
    layers: dict[str, geopandas.GeoDataFrame] = {}
    told: list[str] = []
    for name, frames in parts.items():
        told += [note for frame in frames for note in frame.attrs.get("notes", ())]
        # An empty frame would decide the types of the whole; one of them stands for all when nothing was found.
        filled = [frame for frame in frames if len(frame)] or frames[:1]
        layers[name] = pd.concat(filled, ignore_index=True)
        layers[name]["id"] = range(1, len(layers[name]) + 1)
    return layers, told


def _bounds(layers: Mapping[str, geopandas.GeoDataFrame]) -> tuple[float, float, float, float] | None:
    boxes = [frame.total_bounds for frame in layers.values() if len(frame)]
    if not boxes:
        return None
    left, bottom, right, top = zip(*boxes, strict=True)
    return float(min(left)), float(min(bottom)), float(max(right)), float(max(top))


def _table(job: Answered, channel: Channel) -> geopandas.GeoDataFrame:
    before, after = (job.scene.stack.layers[index] for index in job.scene.pairs[channel.pair])
    found = polygons(windows(job.store, job.plan, channel.number), job.plan.geobox, threshold=job.threshold)
    settings = replace(_limits(job), shift_px=left_shift_px(before, after))
    query = job.spec.queries[channel.query]
    table = vector.table(
        found,
        job.plan.geobox,
        query=query.text,
        dates=job.dates_of(channel),
        settings=settings,
        aoi=job.scene.aoi,
    )
    if query.scene_part:
        notes = table.attrs["notes"]
        table = table[kept(table, query.scene_part, job.plan.geobox, job.scene.aoi)].reset_index(drop=True)
        table.attrs["notes"] = notes
    return table


def _reshaped(job: Answered, table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """As it is written: the mask and the pictures keep the outlines that the pixels have."""
    shaping = Shaping(job.spec.simplify_m, job.spec.regularize)
    return vector.reshaped(table, job.plan.geobox, _limits(job), shaping) if shaping else table


def _limits(job: Answered) -> vector.TableSettings:
    return vector.TableSettings(job.spec.min_area_m2, job.spec.max_area_m2, job.spec.fill_holes_m2)


def left_shift_px(before: DateLayer, after: DateLayer) -> float:
    """How far the two dates still lie apart after what was corrected, in pixels; 0 where it is not known."""
    (x0, y0), (x1, y1) = (_residual(layer) for layer in (before, after))
    return math.hypot(x1 - x0, y1 - y0)


def _residual(layer: DateLayer) -> tuple[float, float]:
    if layer.shift_px is None or layer.shift_px.reliability < RELIABLE:
        return 0.0, 0.0
    corrected_x, corrected_y = layer.applied_shift_px
    return layer.shift_px.dx_px - corrected_x, layer.shift_px.dy_px - corrected_y


def _write_vectors(job: Answered, layers: Mapping[str, geopandas.GeoDataFrame]) -> tuple[list[Path], list[str]]:
    sentences = dict(zip(job.names.layers, (query.text for query in job.spec.queries), strict=True))
    files: list[Path] = []
    notes: list[str] = []
    for suffix in job.spec.formats:
        for name in job.names.vectors(suffix):
            path = job.folder / name
            mine = layers if suffix == "gpkg" else {path.stem: layers[path.stem]}
            notes += vector.write(path, mine, {layer: sentences[layer] for layer in mine})
            parts = [path.with_suffix(part) for part in _SHAPEFILE] if suffix == "shp" else [path]
            files += [part for part in parts if part.exists()]  # a plain picture has no .prj
    return files, notes


def _write_tracks(
    job: Answered, layers: Mapping[str, geopandas.GeoDataFrame], outlines: Mapping[int, geopandas.GeoDataFrame]
) -> list[Path]:
    """tracks.gpkg, a layer a sentence, where there are several pairs of dates.

    outlines  the parts of `layers`, by channel
    """
    if not job.names.tracked:
        return []
    path = job.folder / tracks.NAME
    counts: dict[str, list[int]] = {name: [] for name in layers}
    for channel in job.names.channels():  # pair by pair, as the rows of a layer
        counts[job.names.layers[channel.query]].append(len(outlines[channel.number]))
    tracked = {
        name.replace("changes", "tracks", 1): tracks.tracks(
            frame, np.repeat(np.arange(len(counts[name])), counts[name])
        )
        for name, frame in layers.items()
    }
    sentences = dict(zip(tracked, (query.text for query in job.spec.queries), strict=True))
    vector.write(path, tracked, sentences)
    return [path]


def _write_failures(job: Answered, failed: Sequence[BlockFailure]) -> list[Path]:
    """failures.geojson: the ground of blocks that were given up, in lon/lat, with file, window and reason."""
    if not failed:
        return []
    path = job.folder / "failures.geojson"
    features = [
        {
            "type": "Feature",
            "geometry": footprint(window_geobox(job.plan.geobox, failure.window))[0],
            "properties": failure_facts(failure),
        }
        for failure in failed
    ]
    publish(path, json_bytes({"type": "FeatureCollection", "features": features}))
    return [path]


def failure_facts(failure: BlockFailure) -> dict[str, object]:
    """A failed block as run.json and failures.geojson keep it; the window is column, row, width, height in pixels."""
    window = [int(number) for number in failure.window.flatten()]
    return {"id": failure.block_id, "window": window, "file": failure.file, "reason": failure.reason}


def _aside(job: Answered) -> Executor:
    """A second thread, or none.

    None for plain pictures: warnings about their want of a CRS are silenced, and Python silences for all threads at
    once. None for large scenes either: there it saves little, and memory must not grow with the scene (C8).
    """
    geobox = job.plan.geobox
    if geobox.crs is None or geobox.width * geobox.height > _ASIDE_PX:
        return AtOnce()
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="outputs")


class AtOnce(Executor):
    """Does what it is given before it answers."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future that is done."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for, as from a thread
            done.set_exception(error)
        return done


def _readers(job: Answered, *, torn: bool) -> dict[int, SceneReader]:
    """By pair of dates: what its pictures look at, read once for all its sentences.

    torn  blocks failed: pictures do without what cannot be read, as the answer does
    """
    readers: dict[int, SceneReader] = {}
    stack = TornStack(job.scene.stack, len(job.scene.stack.layers)) if torn else job.scene.stack
    for channel in job.names.channels():
        probability = job.folder / channel.file("probability", "tif")
        readers.setdefault(channel.pair, SceneReader(stack, probability, dates=job.scene.pairs[channel.pair]))
    return readers


def _read_dates(job: Answered, pair: int, reader: SceneReader) -> None:
    """The dates are there for the pictures of a pair: as they were kept with the features, else from the images."""
    if not reader.has_read:
        dates = job.scene.pairs[pair]
        known = None if job.spec.features is None else kept_look(Path(job.spec.features), dates)
        read = reader.read_dates(known)
        if job.spec.keep_features:
            keep_look(job.folder, dates, read)


def _draw_all(
    job: Answered,
    rasters: Mapping[int, AnswerRasters],
    readers: Mapping[int, SceneReader],
    tables: Mapping[int, geopandas.GeoDataFrame],
) -> list[Path]:
    """A picture for each channel; `tables` say how many polygons it shows."""
    for pair, reader in readers.items():
        _read_dates(job, pair, reader)
    previews = []
    for channel in job.names.channels():
        made = rasters[channel.number]
        mask = made.mask if job.spec.queries[channel.query].scene_part else None
        reader = readers[channel.pair].of(made.probability, mask)
        previews.append(_draw(job, channel, reader, tables[channel.number]))
    return previews


def _draw(job: Answered, channel: Channel, reader: SceneReader, table: geopandas.GeoDataFrame) -> Path:
    path = job.folder / channel.file("preview", "png")
    before, after = job.dates_of(channel)
    caption = Caption(job.spec.queries[channel.query].text, before, after, summary=_summary(table))
    write_preview(path, reader.whole(), caption, threshold=job.threshold, closer=reader.closer)
    return path


def _summary(table: geopandas.GeoDataFrame) -> str:
    """How many polygons and how much ground: "12 polygons · 3.4 ha"; nothing for none."""
    if not len(table):
        return ""
    count = vector.polygons_text(len(table))
    if table["area_m2"].isna().all():
        return f"{count} · {table['area_px'].sum():,} px"
    return f"{count} · {area_text(float(table['area_m2'].sum()))}"
