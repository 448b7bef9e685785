"""A run as the QGIS project of its folder: polygons over masks and probabilities over the images they were found in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from geomtrs.finish import Answered
from geomtrs.naming import Channel
from geomtrs.outputs import project, style
from geomtrs.outputs.project import Group, Layer, Project
from geomtrs.scene import Scene
from tiling.layer import DateLayer, Part

Bounds = tuple[float, float, float, float]
_COLOURS = ("red", "green", "blue")
# Around the polygons: a tenth of their extent, at least so many pixels.
_MARGIN, _MARGIN_PX = 0.1, 50


def write_run_project(job: Answered, found: Bounds | None) -> Path:
    """project.qgz of a run's folder; `found` are the bounds of its polygons. Raises OutputError."""
    path = job.folder / project.NAME
    project.write_project(path, run_project(job, found))
    return path


def run_project(job: Answered, found: Bounds | None) -> Project:
    """Polygons shown over the last image of each pair; probability, mask and coverage are there to be switched on."""
    crs = job.plan.geobox.crs
    polygons = [
        Layer(
            query.text,
            "polygons",
            f"./changes.gpkg|layername={layer}",
            crs,
            style.polygon_renderer(query.text),
            dated=_dated(job.scene),
        )
        for query, layer in zip(job.spec.queries, job.names.layers, strict=True)
    ]
    members: tuple[Layer | Group, ...] = (
        Group("polygons", polygons),
        _answers(job, "mask", style.mask_pipe),
        _answers(job, "probability", lambda _: style.probability_pipe()),
        Layer("coverage", "raster", "./coverage.tif", crs, shown=False),
        *(_images(job) if crs is not None else ()),  # QGIS draws a plain picture elsewhere than its pixels are
    )
    days = sorted(date for date in job.scene.dates if date)
    span = (days[0], days[-1]) if _dated(job.scene) else None
    title = "; ".join(query.text for query in job.spec.queries)
    return Project(title, crs, _view(job, found), members, span, token=job.plan.id)


def pair_text(dates: tuple[str | None, str | None]) -> str:
    """`2019 → 2023`."""
    return " → ".join(date or "?" for date in dates)


def _dated(scene: Scene) -> bool:
    return all(scene.dates[date] for pair in scene.pairs for date in pair)


def _answers(job: Answered, kind: str, look: Callable[[str], str]) -> Group:
    """A layer a sentence, in a group for each pair of dates where there are several."""
    by_pair: dict[int, list[Layer]] = {}
    titles: dict[int, str] = {}
    for channel in job.names.channels():
        text = job.spec.queries[channel.query].text
        source = f"./{channel.file(kind, 'tif')}"
        layer = Layer(text, "raster", source, job.plan.geobox.crs, look(text))
        by_pair.setdefault(channel.pair, []).append(layer)
        titles[channel.pair] = _pair_title(job, channel)
    if len(by_pair) == 1:
        return Group(kind, by_pair[0], shown=False)
    return Group(kind, [Group(titles[pair], layers) for pair, layers in by_pair.items()], shown=False)


def _pair_title(job: Answered, channel: Channel) -> str:
    dates = job.dates_of(channel)
    return pair_text(dates) if all(dates) else str(channel.span)


def _images(job: Answered) -> Iterator[Group]:
    """The dates, the last one on top; the first two are called before and after where there are no others."""
    layers = job.scene.stack.layers
    names = ["before", "after"] if len(layers) == 2 else [f"date {number}" for number in range(1, len(layers) + 1)]
    for number in reversed(range(len(layers))):
        date = job.scene.dates[number]
        yield Group(f"{names[number]} · {date}" if date else names[number], _files(job.folder, layers[number]))


def _files(folder: Path, date: DateLayer) -> list[Layer]:
    """The rasters of a date, the first that observed a pixel on top, as the model saw them: bands and stretch."""
    return [layer for part in date.parts for layer in _part(folder, date, part)]


def _part(folder: Path, date: DateLayer, part: Part) -> Iterator[Layer]:
    source = part.source
    low, high = (
        [ends[channel] / source.gain for channel in part.channels] for ends in (date.stretch.low, date.stretch.high)
    )
    if len(set(source.paths)) == 1 and len(source.paths) == 3:
        look = "" if source.palette else style.image_pipe(source.bands, low, high)  # QGIS knows the colour table
        yield Layer(
            _stem(source.paths[0]), "raster", project.source_of(source.paths[0], folder), source.geobox.crs, look
        )
        return
    for index, channel in enumerate(part.channels):  # one file a band: QGIS shows one file at a time
        look = style.image_pipe((source.bands[index],), (low[index],), (high[index],))
        path = source.paths[index]
        name = f"{_stem(path)} ({_COLOURS[channel]})"
        yield Layer(name, "raster", project.source_of(path, folder), source.geobox.crs, look)


def _stem(path: str) -> str:
    """The name of a file, without what an address asks for."""
    name = re.split(r"[/\\]", path.partition("?")[0] if "://" in path else path)[-1]
    return name.rpartition(".")[0] or name


def _view(job: Answered, found: Bounds | None) -> Bounds:
    """The polygons and some ground of the grid around them, all of it where there are none."""
    grid = job.plan.geobox.boundingbox
    if found is None:
        return grid.left, grid.bottom, grid.right, grid.top
    left, bottom, right, top = found
    affine = job.plan.geobox.affine
    pixel = max(math.hypot(affine.a, affine.d), math.hypot(affine.b, affine.e))
    margin = max(_MARGIN * max(right - left, top - bottom), _MARGIN_PX * pixel)
    return (
        max(left - margin, grid.left),
        max(bottom - margin, grid.bottom),
        min(right + margin, grid.right),
        min(top + margin, grid.top),
    )
