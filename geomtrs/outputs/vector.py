"""Polygons as one table with one set of fields, and its way into files."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from geomtrs.outputs import formats
from geomtrs.outputs.ellipsoid import measure
from geomtrs.outputs.holes import fill_holes
from geomtrs.outputs.shape import Shaping, moved, shaped
from tiling.errors import OutputError
from tiling.ground import aoi_px
from tiling.room import unwritten
from tiling.store import sync_folder
from tiling.vectorize import Polygons

__all__ = ["FIELDS", "FORMATS", "UNWRITABLE", "TableSettings", "measure", "reshaped", "table", "write"]

FORMATS = ("gpkg", "shp", "parquet", "fgb", "geojson")

# Names of at most ten characters, so that a shapefile needs no renaming; product.md §3.
FIELDS: Mapping[str, str] = {
    "id": "int64",
    "query": "string",
    "date_from": "string",
    "date_to": "string",
    "area_m2": "float64",
    "perimeter": "float64",
    "prob_mean": "float64",
    "prob_max": "float64",
    "exist_p": "float64",
    "edge": "int32",
    "sliver": "int32",
    "area_px": "int64",
}

# What a GIS keeps beside a file that it has open; left behind, it would be taken for that of the new one.
_COMPANIONS = {".shp": (".prj", ".qix", ".sbn", ".sbx"), ".gpkg": (".gpkg-wal", ".gpkg-shm")}
UNWRITABLE = (
    OSError,
    sqlite3.Error,
    pyarrow.ArrowException,
    DataLayerError,
    DataSourceError,
    FeatureError,
    FieldError,
    GeometryError,
)


@dataclass(frozen=True, slots=True)
class TableSettings:
    """What of the polygons enters the table; areas in m² (without a CRS in pixels), None = no limit."""

    min_area_m2: float | None = None
    max_area_m2: float | None = None
    fill_holes_m2: float | None = None
    shift_px: float = 0.0  # local shift between the dates: what is narrower than twice this is a sliver


def table(
    found: Polygons,
    geobox: GeoBox,
    *,
    query: str,
    dates: tuple[str | None, str | None],
    settings: TableSettings | None = None,
    aoi: Geometry | None = None,
) -> geopandas.GeoDataFrame:
    """One row a polygon with FIELDS, clipped to the AOI; areas and perimeters on the ellipsoid, after clipping.

    Without a CRS (plain pictures) `area_m2` is null and `perimeter` is in pixels. Clipped parts below one pixel are
    left out. How the settings changed number and area is in `attrs["notes"]`, a list of lines for the user.
    """
    settings = settings or TableSettings()
    geometry, row = found.geometry, np.arange(len(found))
    if aoi is not None:
        geometry, row = _clip(geometry, geobox, aoi)
    statistics = pd.DataFrame(
        {
            "prob_mean": found.prob_mean[row],
            "prob_max": found.prob_max[row],
            "exist_p": found.exist_p[row],
            "edge": found.edge[row],
            "weight": found.area_px[row],
        }
    )
    notes: list[str] = []
    sizes = partial(_sizes, geobox=geobox)
    if settings.fill_holes_m2 is not None:
        before = sizes(geometry)
        geometry, statistics, filled = fill_holes(geometry, statistics, settings.fill_holes_m2, sizes)
        notes += [_drift(f"{filled} holes filled", before, sizes(geometry), geobox)] if filled else []
    frame = _frame(shapely.orient_polygons(geometry), statistics, geobox, settings.shift_px)
    frame = frame.assign(query=query, date_from=dates[0], date_to=dates[1], id=0)[[*FIELDS, "geometry"]].astype(FIELDS)
    return _within(frame, geobox, settings, notes)


def reshaped(
    frame: geopandas.GeoDataFrame, geobox: GeoBox, settings: TableSettings, shaping: Shaping
) -> geopandas.GeoDataFrame:
    """The table with new outlines, their sizes measured again and the limits held again; notes tell the drift."""
    if not len(frame):
        return frame
    geometry, notes = shaped(frame.geometry.to_numpy(), geobox, shaping)
    geometry, told = shapely.orient_polygons(geometry), list(frame.attrs["notes"])
    before, after = (_sizes(outlines, geobox) for outlines in (frame.geometry.to_numpy(), geometry))
    told += [_drift(f"outlines of {polygons_text(len(frame))} made simpler", before, after, geobox), *notes]
    area_m2, perimeter = measure(geometry, geobox)
    area_px = np.rint(shapely.area(moved(geometry, ~geobox.affine)))
    made = frame.set_geometry(geometry, crs=frame.crs).assign(area_m2=area_m2, perimeter=perimeter, area_px=area_px)
    return _within(made.astype(FIELDS), geobox, settings, told)


def _within(
    frame: geopandas.GeoDataFrame, geobox: GeoBox, settings: TableSettings, notes: list[str]
) -> geopandas.GeoDataFrame:
    """The rows between the limits, numbered; what was left out is told."""
    size = frame["area_px" if geobox.crs is None else "area_m2"].to_numpy()
    least, most = settings.min_area_m2, settings.max_area_m2
    keep = ~(size < (-np.inf if least is None else least)) & ~(size > (np.inf if most is None else most))
    if not keep.all():
        left_out = polygons_text(int((~keep).sum()))
        notes = [*notes, _drift(f"{left_out} left out by their area", size, size[keep], geobox)]
    frame = frame[keep].assign(id=np.arange(1, keep.sum() + 1)).reset_index(drop=True)
    frame.attrs["notes"] = notes
    return frame


def write(path: Path, layers: Mapping[str, geopandas.GeoDataFrame], sentences: Mapping[str, str]) -> list[str]:
    """Writes layers to `path`, whose suffix is the format; returns notes for the user.

    layers     layer name → table; only a GeoPackage takes more than one
    sentences  layer name → sentence, for the styles

    Written under a temporary name, closed, re-opened and compared with the tables, flushed, renamed. Raises OutputError
    where that fails (DiskFullError for want of room), for another suffix, where a shapefile would pass 2 GB, and for a
    GeoJSON without a place on the ground.
    """
    if path.suffix[1:] not in FORMATS:
        remedy = "give the file one of these suffixes"
        raise OutputError(path, found=path.suffix or "no suffix", wanted=", ".join(FORMATS), remedy=remedy)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        notes = _write(temporary, path, layers, sentences)
        for name, frame in layers.items():
            if different := formats.difference(temporary, name, frame):
                found, wanted = different
                remedy = "check the disk, then run again"
                raise OutputError(path, found=f"{found} read back", wanted=wanted, remedy=remedy)
        _publish(temporary, path)
    except OutputError:
        raise
    except UNWRITABLE as error:
        raise unwritten(path, error, sum(_bytes_needed(frame) for frame in layers.values())) from error
    finally:
        for left in _files(temporary):
            left.unlink(missing_ok=True)
    return notes


def _bytes_needed(frame: geopandas.GeoDataFrame) -> int:
    """At least what a layer takes in any format: a GeoPackage begins at 100 kB."""
    return formats.shp_bytes(frame) * 3 // 2 + 150_000


def _write(
    temporary: Path, path: Path, layers: Mapping[str, geopandas.GeoDataFrame], sentences: Mapping[str, str]
) -> list[str]:
    if path.suffix == ".gpkg":
        formats.write_gpkg(temporary, layers, sentences)
        return []
    ((layer, frame),) = layers.items()
    if path.suffix == ".fgb":
        formats.write_fgb(temporary, layer, frame)
        return []
    if path.suffix == ".geojson" and frame.crs is None:
        remedy = "--format gpkg, shp, parquet or fgb"
        raise OutputError(path, found="polygons without a CRS", wanted="lon/lat", remedy=remedy)
    if path.suffix == ".shp":
        size = formats.shp_bytes(frame)
        if size > formats.SHP_BYTES:
            remedy = "--format gpkg, or fewer polygons by --min-area"
            raise OutputError(path, found=f"{size:,} bytes", wanted="a shapefile below 2 GB", remedy=remedy)
        return formats.write_shp(temporary, frame)
    writers = {".geojson": formats.write_geojson, ".parquet": formats.write_parquet}
    writers[path.suffix](temporary, frame)
    return []


def _clip(geometry: NDArray[np.object_], geobox: GeoBox, aoi: Geometry) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """The parts inside the AOI, and the row that each is of: a polygon that the AOI cuts in two becomes two."""
    area = aoi.geom if geobox.crs is None else moved(aoi_px(geobox, aoi), geobox.affine)
    shapely.prepare(area)
    whole = shapely.covers(area, geometry)
    clipped = geometry.copy()
    clipped[~whole] = shapely.intersection(geometry[~whole], area)
    parts, row = shapely.get_parts(clipped, return_index=True)
    # A polygon beside the AOI may share lines and points with it: they have no area.
    pixel = abs(geobox.affine.determinant)
    keep = whole[row] | (shapely.area(parts) >= pixel * (1 - 1e-6))
    return parts[keep], row[keep]


def _frame(
    geometry: NDArray[np.object_], statistics: pd.DataFrame, geobox: GeoBox, shift_px: float
) -> geopandas.GeoDataFrame:
    """What is known of each polygon but for the question."""
    area_m2, perimeter = measure(geometry, geobox)
    lattice = moved(geometry, ~geobox.affine)
    columns = {
        "area_m2": area_m2,
        "perimeter": perimeter,
        "sliver": _narrower(lattice, 2 * shift_px),
        "area_px": np.rint(shapely.area(lattice)),
    }
    crs = None if geobox.crs is None else geobox.crs.to_wkt()
    return geopandas.GeoDataFrame(statistics.assign(**columns), geometry=geometry, crs=crs)


def _narrower(lattice: NDArray[np.object_], width_px: float) -> NDArray[np.bool_]:
    """Polygons in pixels that are nowhere as wide as this: nothing is left of them when half of it is taken off."""
    narrow = np.zeros(len(lattice), bool)
    if width_px > 0:
        left, top, right, bottom = shapely.bounds(lattice).T
        narrow = np.minimum(right - left, bottom - top) < width_px  # most slivers, without the work below
        inside = shapely.buffer(lattice[~narrow], -width_px / 2 * (1 - 1e-9), join_style="mitre")
        narrow[~narrow] = shapely.is_empty(inside)
    return narrow


def _sizes(geometry: NDArray[np.object_], geobox: GeoBox) -> NDArray[np.float64]:
    """In m², without a CRS in pixels: what limits are compared with."""
    return np.asarray(shapely.area(geometry), np.float64) if geobox.crs is None else measure(geometry, geobox)[0]


def polygons_text(count: int) -> str:
    """`1 polygon`, `1,234 polygons`."""
    return f"{count:,} polygon{'' if count == 1 else 's'}"


def _drift(what: str, before: NDArray[np.float64], after: NDArray[np.float64], geobox: GeoBox) -> str:
    """One line: what was done, and what became of the area."""
    unit = "px" if geobox.crs is None else "m²"
    old, new = before.sum(), after.sum()
    return f"{what}: {old:,.0f} {unit} became {new:,.0f} {unit} ({(new - old) / old:+.2%})"


def _files(main: Path) -> list[Path]:
    """The files of a data set that exist, the one with the suffix itself last."""
    if not main.parent.is_dir():
        return []
    return sorted((file for file in main.parent.iterdir() if file.stem == main.stem), key=lambda file: file == main)


def _publish(temporary: Path, path: Path) -> None:
    """Renames every file of the data set, the one with the suffix itself last: who sees that one sees all."""
    parts = _files(temporary)
    for part in parts:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
    for suffix in _COMPANIONS.get(path.suffix, ()):
        path.with_suffix(suffix).unlink(missing_ok=True)
    for part in parts:
        part.replace(path.with_suffix(part.suffix))
    sync_folder(path.parent)
