"""The grid an answer is given on: that of the first date, cropped to the ground all dates share."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyproj
import shapely
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj.exceptions import CRSError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from tiling.aoi import read_aoi
from tiling.errors import GridError, OptionError, SourceError
from tiling.ground import (
    antimeridian,
    aoi_px,
    apply_affine,
    compose,
    crs_of,
    elsewhere,
    footprint_px,
    lonlat,
    lonlat_extent,
    parse_crs,
    to_pixels,
)
from tiling.guard import local_path, open_guarded
from tiling.remote import is_remote, patiently

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

__all__ = [
    "Alignment",
    "align",
    "geobox_from_dict",
    "geobox_to_dict",
    "ground_resolution_m",
    "open_once",
    "open_quietly",
    "output_geobox",
    "read_aoi",
    "source_geobox",
    "union_geobox",
    "unreadable",
    "window_geobox",
]

_QUIET = threading.RLock()

SAME_GRID_PX = 0.01
"""Two grids are one when no corner of a raster is further from the other grid's lattice than this."""

_INSIDE_PX = 1e-6  # a pixel whose centre lies on the very edge of a date belongs to neither side of float noise


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a date lies on the reference grid.

    kind       equal: same lattice, same origin; shifted: same lattice, origin whole pixels aside; warped: the rest
    offset_px  (x right, y down) of the date's origin on the reference grid, in reference pixels
    """

    kind: Literal["equal", "shifted", "warped"]
    offset_px: tuple[float, float]


def source_geobox(
    path_or_dataset: str | Path | DatasetReader, assume_crs: str | None = None, *, pixels: bool = False
) -> GeoBox:
    """The grid a raster lies on. ``assume_crs`` is used only where the file has none.

    pixels  take it as a plain picture: a grid of pixels without a CRS, whatever the file says
    Raises SourceError when the file does not open, has no CRS or no geotransform (only GCPs, only RPCs), GridError when
    it is in degrees and reaches beyond 180° east or west.
    """
    if isinstance(path_or_dataset, str | Path):
        try:
            with open_quietly(path_or_dataset) as dataset:
                return source_geobox(dataset, assume_crs, pixels=pixels)
        except (RasterioError, OSError) as error:
            raise unreadable(path_or_dataset, error) from error
    dataset = path_or_dataset
    if pixels:
        return GeoBox((dataset.height, dataset.width), Affine.identity(), None)
    _refuse_without_place(dataset)
    crs = _dataset_crs(dataset, assume_crs)
    geobox = GeoBox((dataset.height, dataset.width), dataset.transform, crs)
    if abs(geobox.affine.determinant) == 0:
        raise SourceError(
            dataset.name,
            found="a geotransform of zero area",
            wanted="pixels with an extent on the ground",
            remedy="gdal_edit.py -a_ullr ULX ULY LRX LRY FILE",
        )
    _refuse_antimeridian(dataset.name, geobox)
    return geobox


def open_quietly(path: str | Path) -> DatasetReader:
    """The open dataset; a remote one is tried again where it does not open. Raises as `open_once`."""
    return patiently(partial(open_once, path)) if is_remote(str(path)) else open_once(path)


def open_once(path: str | Path) -> DatasetReader:
    """The open dataset, without rasterio's warning that a picture has no place: what that means is said by errors.

    Raises SourceError where the file names or costs more than it may (tiling.guard), RasterioError where it does not
    open.
    """
    # Filters of warnings are the process's: threads that change them at once may leave each other's behind. A server
    # may take its time, and holds nobody up.
    alone = nullcontext() if is_remote(str(path)) else _QUIET
    with alone, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return open_guarded(str(path))


def unreadable(path: object, error: Exception) -> SourceError:
    """The error for a file that GDAL does not open."""
    name = str(path)
    here = local_path(name)
    if here is not None and not here.exists() and ":" not in here.name:
        return SourceError(name, found="no such file", wanted="a raster", remedy="check the path")
    if here is not None and here.is_dir():
        remedy = "name the files of one place, or hand the folder to geomtrs batch"
        return SourceError(name, found="a folder", wanted="a raster", remedy=remedy)
    return SourceError(
        name,
        found=f"a file that does not open ({error})",
        wanted="a raster that GDAL reads",
        remedy="gdalinfo FILE says what GDAL makes of it",
    )


def align(reference: GeoBox, source: GeoBox) -> Alignment:
    """How ``source`` lies on the grid of ``reference``; see Alignment."""
    if reference.crs != source.crs:
        x, y = to_pixels(reference, source, np.zeros(1), np.zeros(1))
        return Alignment("warped", (float(x[0]), float(y[0])))
    to_reference = compose(~reference.affine, source.affine)
    offset = (to_reference.c, to_reference.f)
    whole = (round(offset[0]), round(offset[1]))
    height, width = source.shape
    columns, rows = np.array([0.0, width, 0.0, width]), np.array([0.0, 0.0, height, height])
    x, y = apply_affine(to_reference, columns, rows)
    if max(np.abs(x - columns - whole[0]).max(), np.abs(y - rows - whole[1]).max()) > SAME_GRID_PX:
        return Alignment("warped", offset)
    if whole == (0, 0):
        return Alignment("equal", (0.0, 0.0))
    return Alignment("shifted", (float(whole[0]), float(whole[1])))


def output_geobox(
    reference: GeoBox, others: Sequence[GeoBox], aoi: Geometry | None = None, *, names: Sequence[str] = ()
) -> GeoBox:
    """The reference grid cropped, on whole pixels, to the ground shared with all others and to the AOI.

    A pixel belongs to the shared ground when its centre does, and to the AOI when it touches it. Pixel size and
    rotation are bit-equal to the reference's; where nothing is cropped the reference itself is returned.

    names  what to call the dates in an error, the reference first
    Raises GridError with both extents in lon/lat.
    """
    labels = [*names, *(f"date {i + 1}" for i in range(len(names), len(others) + 1))]
    shared: shapely.Geometry = shapely.box(0, 0, reference.width, reference.height)
    for geobox, label in zip(others, labels[1:], strict=True):
        common = shared.intersection(footprint_px(reference, geobox, name=label))
        window = _centres_inside(common)
        if window is None:
            raise GridError(
                label,
                found=f"ground {lonlat_extent(geobox)}",
                wanted=f"ground shared with {labels[0]} ({lonlat_extent(reference)})",
                remedy="check that the files show one place",
            )
        shared = common
    window = _centres_inside(shared) or (0, 0, reference.width, reference.height)
    if aoi is not None:
        window = _touched(aoi_px(reference, aoi), window, reference=reference, aoi=aoi)
    left, top, right, bottom = window
    if window == (0, 0, reference.width, reference.height):
        return reference
    return window_geobox(reference, Window(left, top, right - left, bottom - top))


def union_geobox(parts: Sequence[GeoBox]) -> GeoBox:
    """The grid of the first part, grown on whole pixels until it covers them all (tiles of one mosaic)."""
    first = parts[0]
    bounds = np.array([footprint_px(first, part).bounds for part in parts])
    left, top = np.floor(bounds[:, :2].min(axis=0) + SAME_GRID_PX).astype(int)
    right, bottom = np.ceil(bounds[:, 2:].max(axis=0) - SAME_GRID_PX).astype(int)
    return window_geobox(first, Window(int(left), int(top), int(right - left), int(bottom - top)))


def window_geobox(geobox: GeoBox, window: Window) -> GeoBox:
    """The grid of a window of ``geobox``; the window may reach beyond it."""
    transform = compose(geobox.affine, Affine.translation(window.col_off, window.row_off))
    return GeoBox((int(window.height), int(window.width)), transform, geobox.crs)


def ground_resolution_m(geobox: GeoBox) -> tuple[float, float]:
    """Metres on the ground per pixel (x, y) at the centre of the grid, along geodesics, whatever the CRS."""
    height, width = geobox.shape
    column, row = width / 2, height / 2
    columns = np.array([column - 0.5, column + 0.5, column, column])
    rows = np.array([row, row, row - 0.5, row + 0.5])
    lon, lat = lonlat(geobox, columns, rows)
    geod = crs_of(geobox).proj.get_geod() or pyproj.Geod(ellps="WGS84")
    metres = geod.inv(lon[[0, 2]], lat[[0, 2]], lon[[1, 3]], lat[[1, 3]])[2]
    return float(metres[0]), float(metres[1])


def geobox_to_dict(geobox: GeoBox) -> dict[str, Any]:
    """A geobox as JSON: crs (EPSG code, WKT, or null), transform (six numbers, row-major), shape (rows, columns).

    One that was read back is written as it was.
    """
    crs = geobox.crs
    # PROJ names the axes of a CRS with a datum shift in full only after it has read its own WKT.
    return {
        "crs": None if crs is None else f"EPSG:{crs.epsg}" if crs.epsg else CRS(crs.to_wkt()).to_wkt(),
        "transform": list(geobox.affine)[:6],
        "shape": list(geobox.shape),
    }


def geobox_from_dict(record: dict[str, Any]) -> GeoBox:
    """The geobox that geobox_to_dict wrote, its transform bit-equal."""
    rows, columns = record["shape"]
    return GeoBox((rows, columns), Affine(*record["transform"]), record["crs"])


def _centres_inside(ground: shapely.Geometry) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the pixels whose centres lie in the bounds of ``ground`` (in pixels), if any do."""
    if ground.is_empty or ground.area == 0:
        return None
    x0, y0, x1, y1 = ground.bounds
    left, top = math.ceil(x0 - 0.5 + _INSIDE_PX), math.ceil(y0 - 0.5 + _INSIDE_PX)
    right, bottom = math.floor(x1 + 0.5 - _INSIDE_PX), math.floor(y1 + 0.5 - _INSIDE_PX)
    return (left, top, right, bottom) if right > left and bottom > top else None


def _touched(
    area: shapely.Geometry, window: tuple[int, int, int, int], *, reference: GeoBox, aoi: Geometry
) -> tuple[int, int, int, int]:
    """The window cropped to the pixels that the AOI (in pixels) touches."""
    if 0 < area.area < 1:
        raise OptionError(
            "AOI",
            found=f"an area of {area.area:.3g} pixels",
            wanted="at least one pixel",
            remedy="draw a larger AOI, or check its CRS (--aoi-crs)",
        )
    left, top, right, bottom = window
    inside = area.intersection(shapely.box(left, top, right, bottom))
    if inside.is_empty or inside.area == 0:
        raise elsewhere(aoi, window_geobox(reference, Window(left, top, right - left, bottom - top)))
    x0, y0, x1, y1 = inside.bounds
    return (
        max(left, math.floor(x0 + _INSIDE_PX)),
        max(top, math.floor(y0 + _INSIDE_PX)),
        min(right, math.ceil(x1 - _INSIDE_PX)),
        min(bottom, math.ceil(y1 - _INSIDE_PX)),
    )


def _refuse_without_place(dataset: DatasetReader) -> None:
    if not dataset.transform.is_identity:
        return
    points, crs = dataset.gcps
    if points:
        code = crs.to_string() if crs else "EPSG:4326"
        found, remedy = (
            f"{len(points)} ground control points and no geotransform",
            f"gdalwarp -tps -t_srs {code} IN OUT",
        )
    elif dataset.rpcs is not None:
        found, remedy = "RPCs and no geotransform", "gdalwarp -rpc -t_srs EPSG:4326 IN OUT"
    else:
        found = "no geotransform"
        remedy = "--pixels for a plain picture, else gdal_translate -a_ullr ULX ULY LRX LRY -a_srs EPSG:… IN OUT"
    raise SourceError(dataset.name, found=found, wanted="a raster with a place on the ground", remedy=remedy)


def _dataset_crs(dataset: DatasetReader, assume_crs: str | None) -> CRS:
    if not dataset.crs:
        if assume_crs is None:
            raise SourceError(dataset.name, found="no CRS", wanted="a CRS", remedy="--assume-crs EPSG:… if you know it")
        return parse_crs(assume_crs, "--assume-crs")
    try:
        crs = CRS(dataset.crs.to_wkt())
    except (CRSError, ValueError) as error:
        raise SourceError(
            dataset.name,
            found="a CRS that PROJ does not read",
            wanted="a CRS",
            remedy="gdal_edit.py -a_srs EPSG:… FILE",
        ) from error
    if not (crs.geographic or crs.projected):
        raise SourceError(
            dataset.name,
            found=f"a {crs.proj.type_name.lower()}",
            wanted="a geographic or projected CRS",
            remedy="gdal_edit.py -a_srs EPSG:… FILE",
        )
    return crs


def _refuse_antimeridian(name: object, geobox: GeoBox) -> None:
    if not crs_of(geobox).geographic:
        return
    left, _, right, _ = geobox.boundingbox
    slack = abs(geobox.affine.a) + abs(geobox.affine.b)  # global rasters stick out by part of a pixel
    if left < -180 - slack or right > 180 + slack:
        raise antimeridian(name, geobox)
