"""One date on the reference grid: the files it is made of, its bands, its stretch, its clouds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from tiling.bands import BandLabels, choose_bands
from tiling.clouds import cloud_name, refuse_classes
from tiling.errors import SourceError
from tiling.grid import Alignment, align, source_geobox, union_geobox
from tiling.ground import footprint_px
from tiling.register import Shift
from tiling.source import (
    AlphaRule,
    OpenFiles,
    Source,
    alpha_band,
    band_labels,
    describe_source,
    sample_native,
)
from tiling.stretch import Stretch, scene_stretch
from tiling.warp import Kernel, Placement, place, read_placed, source_window

_SAMPLE_PX = 1 << 20
_CLEAR_WINDOW_PX = 128
_CLEAR_WINDOWS = 8  # a side


@dataclass(frozen=True, slots=True)
class ReadRules:
    """How files are understood, the same for all dates; see StackOptions for the meaning of each."""

    bands: tuple[int | str, ...] | None
    nodata: float | None
    alpha: AlphaRule
    assume_crs: str | None
    pixels: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A source and where it lies on the grid; ``channels`` says which of red, green, blue (0, 1, 2) it fills."""

    source: Source
    channels: tuple[int, ...]
    placement: Placement


@dataclass(frozen=True, slots=True)
class CloudMask:
    """A raster that is not zero where a date shows no ground; with ``bits``, where one of these bits is set.

    values  it shows none where the raster has one of these; none: see above
    """

    part: Part
    bits: int | None
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DateLayer:
    """One date of a stack.

    files             what it is made of, as given
    bands             the bands (from 1) shown as red, green, blue; of several one-band files, the file's number
    parts             what is read, the first that observed a pixel wins
    alignment         how it lies on the grid of the first date, before that is cropped
    stretch           pixels to eight bits
    fill              its median colour, shown where nothing was observed
    clouds            the user's cloud mask
    shift_px          displacement measured against the first date; None for that one, and where none could be measured
    applied_shift_px  (x, y) displacement taken back on reading
    """

    files: tuple[str, ...]
    bands: tuple[int, int, int]
    parts: tuple[Part, ...]
    alignment: Alignment
    stretch: Stretch
    fill: tuple[int, int, int]
    clouds: CloudMask | None = None
    shift_px: Shift | None = None
    applied_shift_px: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class OpenedDate:
    """A date before a grid is agreed on.

    sources     what is read, with the channels (0, 1, 2) each fills
    geobox      the ground it covers: for a mosaic the union of its tiles on the first one's lattice
    data_bands  bands without transparency, the fewest of its files
    known       the files say which band is which colour
    """

    files: tuple[str, ...]
    sources: tuple[tuple[Source, tuple[int, ...]], ...]
    bands: tuple[int, int, int]
    geobox: GeoBox
    data_bands: int
    known: bool
    notes: tuple[str, ...]


def open_date(paths: Sequence[str], rules: ReadRules, files: OpenFiles) -> OpenedDate:
    """A date as its files tell it: one raster, tiles of a mosaic, or one band a file over the same ground.

    Raises SourceError, GridError for files that cannot be used.
    """
    if not paths:
        raise SourceError("date", found="no file", wanted="at least one", remedy="name the rasters of each date")
    opened = [_open_file(path, rules, files) for path in paths]
    if _is_band_per_file(opened):
        return _bands_of_files(paths, opened, rules, files)
    sources, chosen = [], []
    for path, one in zip(paths, opened, strict=True):
        choice = choose_bands(one.labels, rules.bands)
        chosen.append(choice)
        source = describe_source(files.get(path), choice.bands, alpha=one.alpha, nodata=rules.nodata, geobox=one.geobox)
        sources.append((source, (0, 1, 2)))
    return OpenedDate(
        files=tuple(paths),
        sources=tuple(sources),
        bands=chosen[0].bands,
        geobox=opened[0].geobox if len(opened) == 1 else union_geobox([one.geobox for one in opened]),
        data_bands=min(
            3 if source.palette else one.data_bands for one, (source, _) in zip(opened, sources, strict=True)
        ),
        known=all(choice.known or source.palette for choice, (source, _) in zip(chosen, sources, strict=True)),
        notes=tuple(one.note for one in opened if one.note),
    )


def lay_date(
    date: OpenedDate, clouds: CloudMask | None, *, reference: GeoBox, scene: GeoBox, grid: GeoBox, files: OpenFiles
) -> tuple[DateLayer, bool]:
    """The date on ``grid``, and whether anything of it was observed.

    clouds     the date's cloud mask on ``grid``; what it covers has no part in stretch and fill
    reference  the first date's grid, which the layer's alignment tells of
    scene      the ground all dates share, whole: stretch and fill are its, whatever the area of interest
    """
    parts = tuple(Part(source, channels, place(source.geobox, grid)) for source, channels in date.sources)
    sample = _sample(date, scene, files) if clouds is None else _sample_clear(date, clouds, scene, files)
    dtype = str(np.result_type(*(source.dtype for source, _ in date.sources)))
    stretch = scene_stretch(sample, dtype)
    medians = np.array([np.median(band) if band.size else 0.0 for band in sample])
    red, green, blue = (int(value) for value in stretch.apply(medians[:, None, None])[:, 0, 0])
    layer = DateLayer(date.files, date.bands, parts, _alignment(reference, date), stretch, (red, green, blue), clouds)
    return layer, all(band.size for band in sample)


def shifted(layer: DateLayer, shift_px: tuple[float, float], grid: GeoBox) -> DateLayer:
    """The layer with a displacement (x, y) of its content, in pixels of the grid, taken back, its clouds with it."""

    def moved(part: Part) -> Part:
        return replace(part, placement=place(part.source.geobox, grid, shift_px=shift_px))

    clouds = None if layer.clouds is None else replace(layer.clouds, part=moved(layer.clouds.part))
    parts = tuple(moved(part) for part in layer.parts)
    return replace(layer, parts=parts, clouds=clouds, applied_shift_px=shift_px)


def open_cloud_mask(spec: str, rules: ReadRules, grid: GeoBox, files: OpenFiles) -> CloudMask:
    """The cloud mask that a text names (see cloud_name): without bits or values, whatever is not zero is cloud."""
    name = cloud_name(spec)
    path, band = name.path, name.band
    dataset = files.get(path)
    if not 1 <= band <= dataset.count:
        raise SourceError(
            path, found=f"{dataset.count} bands", wanted=f"band {band} as cloud mask", remedy="give PATH:BAND"
        )
    if name.bits is None and not name.values:
        files.reading(path, lambda opened: refuse_classes(opened, name))
    geobox = source_geobox(dataset, rules.assume_crs, pixels=rules.pixels)
    source = replace(describe_source(dataset, [band], geobox=geobox), palette=False, gain=1.0)
    source = replace(source, dtype=dataset.dtypes[band - 1])
    return CloudMask(Part(source, (0,), place(geobox, grid)), name.bits, name.values)


def mask_share(clouds: CloudMask, grid: GeoBox) -> float:
    """How much of a grid's ground the raster of a cloud mask covers, 0 to 1."""
    source = clouds.part.source
    lies = footprint_px(grid, source.geobox, name=source.paths[0])
    whole = shapely.box(0, 0, grid.width, grid.height)
    return float(lies.intersection(whole).area / whole.area)


def read_layer(
    layer: DateLayer, files: OpenFiles, grid: GeoBox, window: Window, kernel: Kernel
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Stretched pixels (3, h, w) uint8 and observed (h, w) of a window of the grid."""
    pixels, observed = _read_parts(layer.parts, files, grid, window, kernel)
    return layer.stretch.apply(pixels), observed


def read_clouds(layer: DateLayer, files: OpenFiles, grid: GeoBox, window: Window) -> NDArray[np.bool_]:
    """Where the date's cloud mask (h, w) is set; ground the mask does not cover counts as clear."""
    if layer.clouds is None:
        return np.zeros((int(window.height), int(window.width)), bool)
    return _cloudy(layer.clouds, files, grid, window)


@dataclass(frozen=True, slots=True)
class _OpenedFile:
    geobox: GeoBox
    labels: BandLabels
    alpha: int | None
    note: str | None

    @property
    def data_bands(self) -> int:
        return len(self.labels.colours) - (self.alpha is not None)


def _open_file(path: str, rules: ReadRules, files: OpenFiles) -> _OpenedFile:
    dataset = files.get(path)
    if dataset.count == 0:
        inside = dataset.subdatasets[0] if dataset.subdatasets else "one of the rasters in it"
        raise SourceError(path, found="a container without bands", wanted="one raster", remedy=f"name {inside}")
    geobox = source_geobox(dataset, rules.assume_crs, pixels=rules.pixels)
    alpha, note = files.reading(path, lambda opened: alpha_band(opened, rules.alpha))  # it looks at pixels
    return _OpenedFile(geobox, band_labels(dataset, alpha), alpha, note)


def _is_band_per_file(opened: Sequence[_OpenedFile]) -> bool:
    """Several one-band files of one extent; their pixels may differ in size."""
    if len(opened) < 2 or any(one.data_bands != 1 for one in opened):
        return False
    first = opened[0].geobox
    height, width = first.shape
    for one in opened[1:]:
        if first.crs != one.geobox.crs:
            return False
        left, top, right, bottom = footprint_px(first, one.geobox).bounds
        slack = max(1.0, abs(one.geobox.affine.a / first.affine.a))
        if max(abs(left), abs(top), abs(right - width), abs(bottom - height)) > slack:
            return False
    return True


def _bands_of_files(
    paths: Sequence[str], opened: Sequence[_OpenedFile], rules: ReadRules, files: OpenFiles
) -> OpenedDate:
    stems = tuple(one.labels.descriptions[0] or Path(path).stem for path, one in zip(paths, opened, strict=True))
    labels = BandLabels(paths[0], ("undefined",) * len(paths), stems)
    # Three files are red, green, blue in the order given: the user who lists three has chosen.
    wanted = (1, 2, 3) if rules.bands is None and len(paths) == 3 else rules.bands
    choice = choose_bands(labels, wanted)
    singles = [
        describe_source(files.get(paths[i]), [1], alpha=opened[i].alpha, nodata=rules.nodata, geobox=opened[i].geobox)
        for i in (band - 1 for band in choice.bands)
    ]
    # One source has one grid, one alpha band, one mask or none, one gain.
    groups: dict[tuple[GeoBox, int | None, bool, float], list[int]] = {}
    for channel, one in enumerate(singles):
        groups.setdefault((one.geobox, one.alpha, one.masked, one.gain), []).append(channel)
    sources = []
    for channels in groups.values():
        alike = [singles[channel] for channel in channels]
        joined = replace(
            alike[0],
            paths=tuple(one.paths[0] for one in alike),
            bands=(1,) * len(alike),
            dtype=str(np.result_type(*(one.dtype for one in alike))),
            nodata=tuple(one.nodata[0] for one in alike),
            palette=False,
        )
        sources.append((joined, tuple(channels)))
    return OpenedDate(
        files=tuple(paths),
        sources=tuple(sources),
        bands=choice.bands,
        geobox=opened[0].geobox,
        data_bands=len(paths),
        known=choice.known,
        notes=tuple(one.note for one in opened if one.note),
    )


def _alignment(reference: GeoBox, date: OpenedDate) -> Alignment:
    """That of the date's own lattice, warped when one of its files does not lie on it."""
    whole = align(reference, date.geobox)
    odd = any(align(date.geobox, source.geobox).kind == "warped" for source, _ in date.sources)
    return Alignment("warped", whole.offset_px) if odd else whole


def _read_parts(
    parts: Sequence[Part], files: OpenFiles, grid: GeoBox, window: Window, kernel: Kernel
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Pixels (3, h, w), not yet stretched, and observed (h, w): the first part that observed a pixel gives it."""
    if len(parts) == 1:
        return read_placed(parts[0].source, parts[0].placement, files, grid, window, kernel)
    shape = (int(window.height), int(window.width))
    result = np.zeros((3, *shape), np.float32)
    seen = np.zeros((3, *shape), bool)
    for part in parts:
        channels = list(part.channels)
        if source_window(part.source.geobox, part.placement, grid, window) is None or seen[channels].all():
            continue
        pixels, observed = read_placed(part.source, part.placement, files, grid, window, kernel)
        for plane, channel in zip(pixels, channels, strict=True):
            new = observed & ~seen[channel]
            result[channel][new] = plane[new]
            seen[channel] |= new
    return result, np.asarray(seen.all(axis=0))


def _sample(date: OpenedDate, scene: GeoBox, files: OpenFiles) -> list[NDArray[np.float64]]:
    """Observed values of each channel over the scene, from about a million pixels of each."""
    windows = []
    for source, channels in date.sources:
        whole = Window(0, 0, scene.width, scene.height)
        window = source_window(source.geobox, place(source.geobox, scene), scene, whole)
        if window is not None:
            windows.append((source, channels, window))
    total = sum(window.width * window.height * len(channels) / 3 for _, channels, window in windows)
    stride = max(1, math.ceil(math.sqrt(total / _SAMPLE_PX)))
    values: list[list[NDArray[np.float64]]] = [[np.zeros(0)] for _ in range(3)]
    for source, channels, window in windows:
        sample = sample_native(source, files, window, stride)
        for channel, band in zip(channels, sample, strict=True):
            values[channel].append(band)
    return [np.concatenate(parts) for parts in values]


def _sample_clear(date: OpenedDate, clouds: CloudMask, scene: GeoBox, files: OpenFiles) -> list[NDArray[np.float64]]:
    """Observed values of each channel where no cloud is, from up to 64 windows spread over the scene."""
    parts = [Part(source, channels, place(source.geobox, scene)) for source, channels in date.sources]
    mask = replace(clouds, part=replace(clouds.part, placement=place(clouds.part.source.geobox, scene)))
    values: list[list[NDArray[np.float64]]] = [[np.zeros(0)] for _ in range(3)]
    height, width = min(scene.height, _CLEAR_WINDOW_PX), min(scene.width, _CLEAR_WINDOW_PX)
    tops = {int(top) for top in np.linspace(0, scene.height - height, _CLEAR_WINDOWS)}
    lefts = {int(left) for left in np.linspace(0, scene.width - width, _CLEAR_WINDOWS)}
    for top in sorted(tops):
        for left in sorted(lefts):
            window = Window(left, top, width, height)
            pixels, observed = _read_parts(parts, files, scene, window, "nearest")
            clear = observed & ~_cloudy(mask, files, scene, window)
            for channel in range(3):
                values[channel].append(pixels[channel, clear].astype(np.float64))
    return [np.concatenate(bands) for bands in values]


def _cloudy(clouds: CloudMask, files: OpenFiles, grid: GeoBox, window: Window) -> NDArray[np.bool_]:
    part = clouds.part
    values = read_placed(part.source, part.placement, files, grid, window, "nearest")[0][0]
    if clouds.values:
        return np.isin(values, clouds.values)
    if clouds.bits is None:
        return np.asarray(values != 0)
    return np.asarray((values.astype(np.int64) & clouds.bits) != 0)
