"""The place that is asked about: its dates on one grid, its tiles, and what the user should know beforehand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from odc.geo.crs import CRS
from odc.geo.geom import Geometry

from geomtrs import dates as dating
from geomtrs.arrays import PREFIX, ArrayRaster
from geomtrs.beside import read_beside
from geomtrs.errors import JobError, QueryError
from geomtrs.grammar import doubts
from geomtrs.inputs import date_of
from geomtrs.models.base import ModelCard, TileSpec
from geomtrs.query import Query
from geomtrs.signing import signer
from geomtrs.spec import JobSpec
from tiling.aoi import read_aoi
from tiling.grid import geobox_to_dict, ground_resolution_m
from tiling.ground import parse_crs
from tiling.layer import DateLayer
from tiling.plan import Plan
from tiling.plan import plan as plan_blocks
from tiling.register import RELIABLE
from tiling.source import OpenFiles
from tiling.stack import Stack, StackOptions, open_stack


@dataclass(frozen=True, slots=True)
class Scene:
    """Two or more dates of one place.

    stack  the dates on the output grid
    aoi    the area of interest, None: everything
    dates  `YYYY-MM-DD`, `YYYY` or None for each acquisition
    pairs  which of them are compared, as indices (before, after)
    notes  warnings for the user
    times  how many times as large the model is shown the pixels
    """

    stack: Stack
    aoi: Geometry | None
    dates: tuple[str | None, ...]
    pairs: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]
    times: int = 1

    @property
    def line(self) -> str:
        """One line for people: dates, size, resolution, CRS."""
        height, width = self.stack.geobox.shape
        crs = self.stack.geobox.crs
        ground = f" · {_pixel_m(self.stack):.3g} m · {_crs_name(crs)}" if crs is not None else ""
        return f"{len(self.dates)} dates · {width} x {height} px{ground}"


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a run would do, before it does: printed by `geomtrs plan`."""

    spec: JobSpec
    scene: Scene
    plan: Plan

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: grid, dates, tiles, notes."""
        height, width = self.plan.shape
        return {
            "grid": geobox_to_dict(self.plan.geobox),
            "width": width,
            "height": height,
            "dates": [
                {
                    "date": date,
                    "files": list(layer.files),
                    "bands": list(layer.bands),
                    "alignment": layer.alignment.kind,
                    "offset_px": list(layer.alignment.offset_px),
                    "shift": _shift(layer),
                }
                for date, layer in zip(self.scene.dates, self.scene.stack.layers, strict=True)
            ],
            "pairs": [list(pair) for pair in self.scene.pairs],
            "tile_px": self.plan.tile_px,
            "halo_px": self.plan.halo_px,
            "feather_px": self.plan.feather_px,
            "enlarge": self.scene.times,
            "tiles": self.plan.tile_count,
            "blocks": len(self.plan.blocks),
            "notes": list(self.scene.notes),
        }

    def __str__(self) -> str:
        """Lines for people."""
        found = self.to_dict()
        lines = [f"scene   {self.scene.line}"]
        for number, date in enumerate(found["dates"], start=1):
            x, y = date["offset_px"]
            name = re.split(r"[/\\]", date["files"][0])[-1]
            more = f" + {len(date['files']) - 1} files" if len(date["files"]) > 1 else ""
            lines.append(
                f"date {number}  {name}{more} · {date['date'] or 'date unknown'} · {date['alignment']} "
                f"(offset {x:+.2f}, {y:+.2f} px){_shift_text(date['shift'])}"
            )
        lines.append(f"tiles   {tiles_line(self.plan, self.scene)}")
        lines.extend(f"note    {note}" for note in found["notes"])
        return "\n".join(lines)


def tiles_line(plan: Plan, scene: Scene) -> str:
    """One line for people: how the scene is cut."""
    shown = f" · shown {scene.times} times as large" if scene.times != 1 else ""
    return f"{plan.tile_count} of {plan.tile_px} px, halo {plan.halo_px} px · {len(plan.blocks)} blocks{shown}"


def asked_lines(queries: Sequence[Query]) -> list[str]:
    """What was understood of each sentence that has words about the scene: asked "new buildings" · kept largest 1."""
    return [f"asked   “{query.model_text}” · {query.scene_part}" for query in queries if query.scene_part]


def sentence_notes(queries: Sequence[Query], card: ModelCard) -> tuple[str, ...]:
    """What is to be minded of the sentences, whatever the images."""
    return (*_language_notes(queries, card), *_size_notes(queries), *_neighbour_notes(queries, card))


def open_scene(spec: JobSpec, card: ModelCard, arrays: Mapping[str, ArrayRaster] | None = None) -> Scene:
    """The images of a spec on one grid. Raises SourceError or GridError where they cannot be.

    arrays  images that are no files, by the names that the spec has for them
    """
    _refuse_lost_arrays(spec, arrays or {})
    aoi = area_of(spec)
    stack = open_stack(spec.images, stack_options(spec), aoi, OpenFiles(arrays, signer(spec.run.sign)))
    _refuse_limits_without_ground(spec, stack)
    found = tuple(dated(files, arrays or {}) for files in spec.images)
    dates = spec.dates or tuple(date.text for date in found)
    notes = (
        *stack.notes,
        *(date.note for date in found if date.note and spec.dates is None),
        *dating.order_notes(dates),
        *(() if spec.pixels else _resolution_notes(stack, card.tile_spec)),
        *sentence_notes(spec.queries, card),
    )
    pairs, times = dating.pairs(len(dates), spec.pairs), _times(spec, stack, card.tile_spec)
    return Scene(stack, aoi, dates, pairs, tuple(dict.fromkeys(notes)), times)


def area_of(spec: JobSpec) -> Geometry | None:
    """The area of interest of a spec; None where it has none. Raises OptionError where it does not read."""
    if spec.aoi is None:
        return None
    return read_aoi(spec.aoi, parse_crs(spec.aoi_crs, "--aoi-crs") if spec.aoi_crs else None)


def recall_scene(spec: JobSpec, card: ModelCard, stack: Stack, dates: tuple[str | None, ...]) -> Scene:
    """The scene as an earlier run found it; no image is opened. Raises QueryError as `open_scene` does for words."""
    _refuse_limits_without_ground(spec, stack)
    notes = sentence_notes(spec.queries, card)
    stack = replace(stack, files=OpenFiles(sign=signer(spec.run.sign)))
    pairs, times = dating.pairs(len(dates), spec.pairs), _times(spec, stack, card.tile_spec)
    return Scene(stack, stack.aoi, dates, pairs, notes, times)


def stack_options(spec: JobSpec) -> StackOptions:
    """What tiling is told of the spec."""
    return StackOptions(
        bands=spec.bands,
        nodata=spec.nodata,
        alpha=spec.alpha,
        assume_crs=spec.assume_crs,
        resampling=spec.resampling,
        cloud_masks=spec.cloud_masks,
        registration=spec.register,
        max_shift_px=spec.max_shift_px,
        pixels=spec.pixels,
    )


def plan_scene(spec: JobSpec, scene: Scene, tile: TileSpec, token: str) -> Plan:
    """Tiles and blocks of the scene, as the model wants them: shown to it enlarged, a tile covers less ground."""
    return plan_blocks(
        scene.stack.geobox,
        tile_px=spec.tile_px or tile.tile_px // scene.times,
        halo_px=tile.halo_px // scene.times,
        feather_px=tile.feather_px // scene.times,
        block_tiles=spec.block_tiles,
        token=token,
        aoi=scene.aoi,
    )


def _times(spec: JobSpec, stack: Stack, tile: TileSpec) -> int:
    """How many times as large the model is shown the pixels: as told, else as it wants them for their ground."""
    placed = not spec.pixels and stack.geobox.crs is not None
    return spec.enlarge or tile.times(_pixel_m(stack) if placed else None)


def _pixel_m(stack: Stack) -> float:
    """Ground resolution along the coarser side: 30 m of a UTM grid may be 30.01 m of ground."""
    return float(f"{max(ground_resolution_m(stack.geobox)):.3g}")


def dated(files: Sequence[str], arrays: Mapping[str, ArrayRaster]) -> dating.Dated:
    """When an acquisition was: an array by its time, files by their names and tags."""
    return dating.Dated(arrays[files[0]].day) if files[0] in arrays else date_of(files)


def _shift(layer: DateLayer) -> dict[str, Any] | None:
    """Measured against the first date, in pixels to the right and down; None where it was not measured."""
    shift = layer.shift_px
    if shift is None:
        return None
    corrected = list(layer.applied_shift_px)
    return {"dx_px": shift.dx_px, "dy_px": shift.dy_px, "reliability": shift.reliability, "corrected_px": corrected}


def _shift_text(shift: dict[str, Any] | None) -> str:
    if shift is None:
        return ""
    trusted = "" if shift["reliability"] >= RELIABLE else f": below {RELIABLE:g}, not to be trusted"
    return f" · shift {shift['dx_px']:+.2f}, {shift['dy_px']:+.2f} px (reliability {shift['reliability']:.2f}{trusted})"


def _crs_name(crs: CRS) -> str:
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs.proj.name)


def _resolution_notes(stack: Stack, tile: TileSpec) -> tuple[str, ...]:
    coarser = _pixel_m(stack)
    finest, coarsest = tile.gsd_m
    if finest <= coarser <= coarsest:
        return ()
    return (f"pixels of {coarser:.3g} m: the model was trained at {finest:g} to {coarsest:g} m, expect less of it",)


def _language_notes(queries: Sequence[Query], card: ModelCard) -> tuple[str, ...]:
    if card.languages != ("en",):
        return ()
    told = f"{card.name} knows what appeared, disappeared or changed, not what stayed or is left out"
    notes = []
    for query in queries:
        denials = ", ".join(dict.fromkeys(word.lower() for word in _DENIALS.findall(query.model_text)))
        if not query.seems_english:
            notes.append(f"“{query.text}” does not look English; {card.name} reads English only")
        elif denials:
            notes.append(f"“{denials}” may go unheeded: {told}")
    return tuple(dict.fromkeys(notes))


# Not those that tell of coming and going: "not there before", "do not exist any more".
_DENIALS = re.compile(
    r"\b(unchanged|remained|stayed|except|excluding|other than|without|but no|neither|never"
    r"|(?:all|any\w*|every\w*) (?:\w+ ){0,3}but(?! (?:not|gone|now)\b)"
    r"|(?:not|(?:do|did|is|are|was|were|has|have)n't)"
    r"(?! (?:(?:yet|previously|been) )*(?:there|present|exist|visible|seen|built|before|now)"
    r"|.* any ?(?:more|longer)\b))\b",
    re.IGNORECASE,
)
# "Between the two dates", "between 2016 and 2020" are times.
_TIMES = (
    r"(?:the |these )?(?:two |both |early |late |mid[- ]?)?(?:dates|images|pictures|photos|years|first|\d{4}|january|"
    r"february|march|april|may|june|july|august|september|october|november|december|spring|summer|autumn|fall|winter)\b"
)
_NEIGHBOURS = re.compile(
    rf"\b(beside|next to|between(?! {_TIMES})|along|adjacent to|near|nearest|around|surrounded by|"
    r"(?:away|far) from|opposite|inside|outside|within (?:the|an?))\b",
    re.IGNORECASE,
)


def _size_notes(queries: Sequence[Query]) -> tuple[str, ...]:
    """Sizes that stay in a sentence, where the model cannot measure them, or that may be meant otherwise."""
    return tuple(dict.fromkeys(line for query in queries if not query.whole for line in doubts(query.text)))


def _neighbour_notes(queries: Sequence[Query], card: ModelCard) -> tuple[str, ...]:
    """Words that need a neighbour stay with the model, which sees a tile and its halo."""
    notes = []
    for query in queries:
        apart = read_beside(query.model_text) if card.asks_beside and not query.whole else None
        words = ", ".join(dict.fromkeys(word.lower() for word in _NEIGHBOURS.findall(query.model_text)))
        if apart is not None:
            notes.append(f"“{apart.head}” is kept within a few pixels of {apart.near}, tile by tile")
        elif words and card.asks_beside:
            told = f"{card.name} understands sentences that end as “… along the new road” does, or “… beside a river”"
            notes.append(f"“{words}” may go unheeded: {told}")
        elif words:
            notes.append(f"“{words}” is judged within a tile and its surroundings")
    return tuple(dict.fromkeys(notes))


def _refuse_lost_arrays(spec: JobSpec, arrays: Mapping[str, ArrayRaster]) -> None:
    """Raises JobError for an array of a run that died with the process that held it."""
    for name in spec.files:
        if name.startswith(PREFIX) and name not in arrays:
            raise JobError(
                name,
                found="an array that was held by another process",
                wanted="the array itself",
                remedy="call geomtrs.detect again with the same arrays: finished blocks are kept",
            )


def _refuse_limits_without_ground(spec: JobSpec, stack: Stack) -> None:
    """Raises QueryError for an area in m² where pixels have none."""
    if stack.geobox.crs is not None:
        return
    for query in spec.queries:
        if query.scene_part.least or query.scene_part.most:
            raise QueryError(
                f"“{query.text}”",
                found="a size on the ground, and pictures without a CRS",
                wanted="a rank or a place, or images with a CRS",
                remedy="leave the size out, name the CRS with --assume-crs, or ask with --scope tile",
            )
