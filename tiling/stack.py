"""The dates of one place on one grid: read(window) gives pixels of all of them, and why a pixel is or is not there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.windows import Window

from tiling.errors import GridError, SourceError
from tiling.grid import geobox_from_dict, geobox_to_dict, output_geobox
from tiling.ground import aoi_px, lonlat_extent
from tiling.guard import refuse_too_many
from tiling.layer import (
    CloudMask,
    DateLayer,
    OpenedDate,
    ReadRules,
    lay_date,
    mask_share,
    open_cloud_mask,
    open_date,
    read_clouds,
    read_layer,
    shifted,
)
from tiling.record import aoi_from_dict, aoi_to_dict, layer_from_dict, layer_to_dict
from tiling.register import RELIABLE, Reader, Shift, estimate_shift
from tiling.source import AlphaRule, OpenFiles
from tiling.warp import Kernel

Registration = Literal["check", "translation", "off"]

OUTSIDE_AOI = 0
OBSERVED = 1
CLOUD = 2
FAILED = 3
HOLE_AT_DATE = 10
"""HOLE_AT_DATE + k: nothing was observed at date k (from 0), the first such date."""

_WARN_SHIFT_PX = 1.5
_APPLY_SHIFT_PX = 0.1
_MASK_SHARE = 0.98  # masks of coarser pixels may end within one of theirs


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How dates are understood and laid on one grid.

    bands         three bands (or one, repeated), numbers from 1 or names; None: as the files say, else the first three
    nodata        stands in for the nodata value the files declare
    alpha         auto: an alpha band counts when it holds 0 and full alone; yes: always; no: never
    assume_crs    CRS of files that have none
    resampling    for dates that do not lie on the first one's lattice
    cloud_masks   for each date a raster that is not zero under clouds (see cloud_name) or None; empty: none
    registration  check: measure and warn; translation: take the measured shift back; off: neither
    max_shift_px  a larger measured shift is not corrected but refused
    pixels        plain pictures: no place on the ground, pixel lies on pixel
    """

    bands: tuple[int | str, ...] | None = None
    nodata: float | None = None
    alpha: AlphaRule = "auto"
    assume_crs: str | None = None
    resampling: Kernel = "bilinear"
    cloud_masks: tuple[str | None, ...] = ()
    registration: Registration = "check"
    max_shift_px: float = 16
    pixels: bool = False


@dataclass(frozen=True, slots=True)
class StackTile:
    """A window of a stack: pixels (T, 3, h, w) uint8, coverage (h, w) uint8 (codes of this module).

    Where a date, or a cloud mask, left a hole, all dates hold their median colour: no edge shows that is no change.
    """

    pixels: NDArray[np.uint8]
    coverage: NDArray[np.uint8]


@dataclass(frozen=True)
class Stack:
    """Dates on one grid. Holds paths and numbers only, so it pickles; files open when first read, once per thread.

    geobox      the output grid
    layers      one per date, in the order given
    resampling  kernel for warped dates
    aoi         area of interest; coverage is OUTSIDE_AOI in pixels it does not touch
    notes       what the user should know
    """

    geobox: GeoBox
    layers: tuple[DateLayer, ...]
    resampling: Kernel = "bilinear"
    aoi: Geometry | None = None
    notes: tuple[str, ...] = ()
    files: OpenFiles = field(default_factory=OpenFiles, repr=False, compare=False)

    def read(self, window: Window) -> StackTile:
        """All dates in a window inside the grid; SourceError with file and window when data cannot be read.

        Reading stops at the date that leaves nothing observed in the window.
        """
        rows, columns = self.geobox.shape
        left, top, width, height = (int(n) for n in (window.col_off, window.row_off, window.width, window.height))
        if left < 0 or top < 0 or left + width > columns or top + height > rows or min(width, height) < 1:
            raise ValueError(f"{window} is not inside the grid of {columns} × {rows} px")
        inside = self._inside_aoi(window)
        observed = np.ones((height, width), bool)
        coverage = np.where(inside, OBSERVED, OUTSIDE_AOI).astype(np.uint8)
        pixels = np.empty((len(self.layers), 3, height, width), np.uint8)
        for date, layer in enumerate(self.layers):
            if not (observed & inside).any():
                break
            pixels[date], seen = read_layer(layer, self.files, self.geobox, window, self.resampling)
            coverage[inside & observed & ~seen] = HOLE_AT_DATE + date
            observed &= seen
            if layer.clouds is not None and observed.any():
                cloudy = read_clouds(layer, self.files, self.geobox, window)
                coverage[inside & observed & cloudy] = CLOUD
                observed &= ~cloudy
        if not (observed & inside).any():
            observed[:] = False  # some dates may not have been read
        for date, layer in enumerate(self.layers):
            pixels[date][:, ~observed] = np.array(layer.fill, np.uint8)[:, None]
        return StackTile(pixels, coverage)

    def close(self) -> None:
        """Close the files this thread has open."""
        self.files.close()

    def to_dict(self) -> dict[str, Any]:
        """The stack as JSON; ``from_dict`` reads it back equal."""
        return {
            "geobox": geobox_to_dict(self.geobox),
            "layers": [layer_to_dict(layer) for layer in self.layers],
            "resampling": self.resampling,
            "aoi": None if self.aoi is None else aoi_to_dict(self.aoi),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Stack:
        """The stack that ``to_dict`` wrote. Nothing is opened."""
        return cls(
            geobox=geobox_from_dict(record["geobox"]),
            layers=tuple(layer_from_dict(layer) for layer in record["layers"]),
            resampling=record["resampling"],
            aoi=None if record["aoi"] is None else aoi_from_dict(record["aoi"]),
            notes=tuple(record["notes"]),
        )

    def _inside_aoi(self, window: Window) -> NDArray[np.bool_]:
        shape = (int(window.height), int(window.width))
        if self.aoi is None:
            return np.ones(shape, bool)
        area = shapely.transform(aoi_px(self.geobox, self.aoi), lambda xy: xy - (window.col_off, window.row_off))
        if not area.intersects(shapely.box(0, 0, shape[1], shape[0])):
            return np.zeros(shape, bool)
        return np.asarray(rasterio.features.rasterize([area], shape, all_touched=True) > 0)


def open_stack(
    dates: Sequence[Sequence[str]],
    options: StackOptions | None = None,
    aoi: Geometry | None = None,
    files: OpenFiles | None = None,
) -> Stack:
    """The dates on the grid of the first, cropped to the ground they share and to the AOI.

    dates  for each date the files it is made of: one raster, tiles of a mosaic, or one band a file
    files  where they are opened: what is named there need not be a file

    Raises SourceError for files that cannot be used, GridError when no grid can be agreed on or a shift that should be
    corrected is larger than ``max_shift_px``. What is odd but usable is told in ``Stack.notes``.
    """
    options = options or StackOptions()
    _check_counts(dates, options)
    files = files or OpenFiles()
    rules = ReadRules(options.bands, options.nodata, options.alpha, options.assume_crs, options.pixels)
    opened = [open_date([str(path) for path in paths], rules, files) for paths in dates]
    notes = [note for date in opened for note in date.notes] + _band_notes(opened, options)
    geoboxes, names = [date.geobox for date in opened], [", ".join(date.files) for date in opened]
    if options.pixels:
        notes += _size_notes(geoboxes, names)
    scene = output_geobox(geoboxes[0], geoboxes[1:], names=names)
    grid = scene if aoi is None else output_geobox(geoboxes[0], geoboxes[1:], aoi, names=names)
    refuse_too_many(names[0], grid.height, grid.width)
    layers = []
    for index, date in enumerate(opened):
        spec = options.cloud_masks[index] if options.cloud_masks else None
        clouds = None if spec is None else open_cloud_mask(spec, rules, grid, files)
        notes += [] if clouds is None else _mask_notes(clouds, scene, grid)
        layer, observed = lay_date(date, clouds, reference=geoboxes[0], scene=scene, grid=grid, files=files)
        if not observed:
            under = "" if spec is None else f", or the cloud mask {spec} covers it all"
            notes.append(f"{names[index]}: nothing was observed on the ground the dates share{under}")
        layers.append(layer)
    registered, shift_notes = _register(layers, grid, options, files)
    return Stack(grid, registered, options.resampling, aoi, (*notes, *shift_notes), files)


def _check_counts(dates: Sequence[Sequence[str]], options: StackOptions) -> None:
    if not dates:
        raise SourceError("dates", found="none", wanted="at least one", remedy="name the rasters")
    if options.cloud_masks and len(options.cloud_masks) != len(dates):
        raise SourceError(
            "cloud masks",
            found=f"{len(options.cloud_masks)} masks",
            wanted=f"one for each of {len(dates)} dates",
            remedy="give a mask, or none, for every date",
        )


def _band_notes(opened: Sequence[OpenedDate], options: StackOptions) -> list[str]:
    """What to say of bands; SourceError when some dates have colours, others not, and no bands were asked for."""
    if options.bands is not None:
        return []
    grey = [date for date in opened if date.data_bands < 3]
    if grey and len(grey) < len(opened):
        raise SourceError(
            grey[0].files[0],
            found=f"{grey[0].data_bands} band{'s' * (grey[0].data_bands > 1)}",
            wanted="red, green and blue as in the other dates",
            remedy="--bands 1 compares the first band of each",
        )
    notes = []
    counts = [date.data_bands for date in opened]
    if len(set(counts)) > 1:
        used = "; ".join(f"{date.files[0]}: {', '.join(map(str, date.bands))}" for date in opened)
        notes.append(f"the dates have {', '.join(map(str, counts))} bands: red, green, blue are used (bands {used})")
    untold: dict[tuple[int, int, int], list[str]] = {}
    for date in opened:
        if not date.known and date.data_bands >= 3:
            untold.setdefault(date.bands, []).append(date.files[0])
    for bands, names in untold.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        taken = ", ".join(map(str, bands))
        notes.append(f"{names[0]}{more}: no band says its colour, {taken} are taken as red, green, blue (--bands)")
    return notes


def _mask_notes(clouds: CloudMask, scene: GeoBox, grid: GeoBox) -> list[str]:
    """What to say of ground that a cloud mask leaves out; GridError for one of another place.

    scene, grid  the ground all dates share, and what the area of interest leaves of it
    """
    source = clouds.part.source
    if not mask_share(clouds, scene):
        raise GridError(
            source.paths[0],
            found=f"a cloud mask of {lonlat_extent(source.geobox)}",
            wanted=f"one of the ground of the dates ({lonlat_extent(scene)})",
            remedy="check the files and their order: one mask for each date",
        )
    share = mask_share(clouds, grid)
    if share >= _MASK_SHARE:
        return []
    return [f"{source.paths[0]}: the cloud mask covers {share:.0%} of the ground, the rest counts as clear"]


def _size_notes(geoboxes: Sequence[GeoBox], names: Sequence[str]) -> list[str]:
    """Plain pictures have no place: of two sizes, that they show the same from the corner on is a guess."""
    sizes = [f"{geobox.width} × {geobox.height}" for geobox in geoboxes]
    return [
        f"{name}: {size} pixels where {names[0]} has {sizes[0]}: the upper left corners are laid on each other"
        for name, size in zip(names, sizes, strict=True)
        if size != sizes[0]
    ]


def _register(
    layers: Sequence[DateLayer], grid: GeoBox, options: StackOptions, files: OpenFiles
) -> tuple[tuple[DateLayer, ...], list[str]]:
    """The layers with their measured shifts, corrected where asked for, and what to say about it."""
    if options.registration == "off":
        return tuple(layers), []
    first, *others = layers
    reference = _brightness(first, grid, options.resampling, files)
    result, notes = [first], []
    for layer in others:
        shift = estimate_shift(
            reference, _brightness(layer, grid, options.resampling, files), (grid.height, grid.width)
        )
        measured = replace(layer, shift_px=shift)
        if shift is None:
            result.append(measured)
            continue
        trusted = shift.reliability >= RELIABLE
        if options.registration == "translation":
            if trusted and shift.length_px > options.max_shift_px:
                raise _too_far(layer, shift, options.max_shift_px)
            if trusted and shift.length_px >= _APPLY_SHIFT_PX:
                measured = shifted(measured, (shift.dx_px, shift.dy_px), grid)
                notes.append(f"{layer.files[0]}: {_told(shift)} taken back")
            elif not trusted:
                notes.append(f"{layer.files[0]}: no shift could be measured reliably, none is corrected")
        elif trusted and shift.length_px > _WARN_SHIFT_PX:
            notes.append(f"{layer.files[0]}: {_told(shift)}; --register translation corrects it")
        result.append(measured)
    return tuple(result), notes


def _brightness(layer: DateLayer, grid: GeoBox, kernel: Kernel, files: OpenFiles) -> Reader:
    def read(window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        pixels, observed = read_layer(layer, files, grid, window, kernel)
        clear = observed & ~read_clouds(layer, files, grid, window)
        return pixels.mean(axis=0, dtype=np.float32), clear

    return read


def _told(shift: Shift) -> str:
    return (
        f"content shifted by {shift.length_px:.1f} px ({shift.dx_px:+.1f} right, {shift.dy_px:+.1f} down, "
        f"reliability {shift.reliability:.2f})"
    )


def _too_far(layer: DateLayer, shift: Shift, max_shift_px: float) -> GridError:
    return GridError(
        layer.files[0],
        found=_told(shift),
        wanted=f"a shift of at most {max_shift_px:g} px",
        remedy=f"--max-shift {math.ceil(shift.length_px + 0.1)} if it is right, else georeference the file again",
    )
