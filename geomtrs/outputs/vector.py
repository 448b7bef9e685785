"""Polygons with the one set of fields, in every format a GIS reads."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from geomtrs.outputs.style import write_layer_styles
from tiling.errors import OutputError
from tiling.vectorize import Polygons

Format = Literal["gpkg", "shp", "parquet", "fgb", "geojson"]
FORMATS: tuple[Format, ...] = ("gpkg", "shp", "parquet", "fgb", "geojson")
DRIVERS: Mapping[str, str] = {"gpkg": "GPKG", "shp": "ESRI Shapefile", "fgb": "FlatGeobuf", "geojson": "GeoJSON"}

# Names of at most ten characters, so that a shapefile needs no renaming; product.md §3.
FIELDS: Mapping[str, str] = {
    "id": "int64", "query": "object", "date_from": "object", "date_to": "object", "area_m2": "float64", "perimeter": "float64",
    "prob_mean": "float64", "prob_max": "float64", "exist_p": "float64", "edge": "int32", "sliver": "int32", "area_px": "int64",
}  # fmt: skip

SHP_BYTES = 2**31 - 1
SHP_TEXT_BYTES = 254
_DENSE_M = 1000.0  # edges are cut to this length before they are projected for areas


@dataclass(frozen=True, slots=True)
class TableSettings:
    """What of the polygons enters the table; areas in m², None = no limit."""

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
    """One row a polygon with FIELDS, clipped to the AOI, areas and perimeters on the ellipsoid (WGS 84), after clipping.

    Without a CRS (plain pictures) `area_m2` is null and `perimeter` is in pixels.
    """
    settings = settings or TableSettings()
    geometry, row = found.geometry, np.arange(len(found))
    if aoi is not None and len(found):
        area = aoi.to_crs(geobox.crs).geom if geobox.crs is not None else aoi.geom
        clipped = shapely.intersection(geometry, area)
        parts, row = shapely.get_parts(clipped, return_index=True)
        keep = (shapely.get_dimensions(parts) == 2) & (shapely.area(parts) > 0)
        geometry, row = parts[keep], row[keep]
    if settings.fill_holes_m2 is not None:
        geometry = _fill_holes(geometry, geobox, settings.fill_holes_m2)
    area_m2, perimeter = measure(geometry, geobox)
    pixel = abs(geobox.affine.determinant)
    area_px = np.rint(shapely.area(geometry) / pixel).astype(np.int64)
    side = pixel**0.5
    width_px = 2 * shapely.area(geometry) / np.maximum(shapely.length(geometry), 1e-12) / side
    frame = geopandas.GeoDataFrame(
        {
            "id": np.arange(1, len(geometry) + 1),
            "query": np.full(len(geometry), query, object),
            "date_from": np.full(len(geometry), dates[0], object),
            "date_to": np.full(len(geometry), dates[1], object),
            "area_m2": area_m2,
            "perimeter": perimeter,
            "prob_mean": found.prob_mean[row],
            "prob_max": found.prob_max[row],
            "exist_p": found.exist_p[row],
            "edge": found.edge[row].astype(np.int32),
            "sliver": (width_px < 2 * settings.shift_px).astype(np.int32),
            "area_px": area_px,
        },
        geometry=geometry,
        crs=geobox.crs.to_wkt() if geobox.crs is not None else None,
    )
    size = frame["area_m2"] if geobox.crs is not None else frame["area_px"]
    keep = np.ones(len(frame), bool)
    if settings.min_area_m2 is not None:
        keep &= (size >= settings.min_area_m2).to_numpy()
    if settings.max_area_m2 is not None:
        keep &= (size <= settings.max_area_m2).to_numpy()
    frame = frame[keep].reset_index(drop=True)
    frame["id"] = np.arange(1, len(frame) + 1)
    return frame


def measure(geometry: NDArray[np.object_], geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(area in m², perimeter in m) on the ellipsoid; (NaN, CRS units) without a CRS.

    Areas in a Lambert azimuthal equal-area projection about the grid's centre, which keeps the ellipsoid's areas
    exactly; perimeters as sums of geodesics. Edges are densified to a kilometre first.
    """
    if geobox.crs is None or len(geometry) == 0:
        return np.full(len(geometry), np.nan), np.asarray(shapely.length(geometry), np.float64)
    degrees = geobox.crs.geographic
    dense = shapely.segmentize(geometry, _DENSE_M / 111_000 if degrees else _DENSE_M)
    to_lonlat = pyproj.Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True)
    coordinates, index = shapely.get_coordinates(dense, return_index=True)
    lon, lat = to_lonlat.transform(coordinates[:, 0], coordinates[:, 1])
    equal_area = pyproj.Proj(f"+proj=laea +lat_0={np.mean(lat):.6f} +lon_0={np.mean(lon):.6f} +ellps=WGS84")
    flat = shapely.set_coordinates(dense.copy(), np.stack(equal_area(lon, lat), 1))
    _, _, step = pyproj.Geod(ellps="WGS84").inv(lon[:-1], lat[:-1], lon[1:], lat[1:])
    rings, ring_index = shapely.get_coordinates(shapely.get_rings(dense), return_index=True)
    same_ring = ring_index[1:] == ring_index[:-1]  # a step between rings is no edge
    assert len(rings) == len(coordinates)
    perimeter = np.bincount(index[1:][same_ring], np.asarray(step)[same_ring], len(geometry))
    return np.asarray(shapely.area(flat), np.float64), perimeter


def _fill_holes(geometry: NDArray[np.object_], geobox: GeoBox, limit_m2: float) -> NDArray[np.object_]:
    """Holes smaller than the limit are filled."""
    filled = geometry.copy()
    for i in np.flatnonzero(shapely.get_num_interior_rings(geometry) > 0):
        holes = np.array([shapely.Polygon(ring) for ring in geometry[i].interiors], object)
        sizes = measure(holes, geobox)[0] if geobox.crs is not None else shapely.area(holes)
        filled[i] = shapely.Polygon(geometry[i].exterior, [h.exterior for h, s in zip(holes, sizes, strict=True) if s >= limit_m2])
    return filled


def write(path: Path, layers: Mapping[str, geopandas.GeoDataFrame], sentences: Mapping[str, str]) -> list[str]:
    """Writes layers to `path`, whose suffix is the format; returns notes for the user.

    layers     layer name → table; only a GeoPackage takes more than one
    sentences  layer name → sentence, for the styles

    Written under a temporary name, re-opened and counted, flushed, renamed. Raises OutputError where that fails.
    """
    suffix = path.suffix.removeprefix(".")
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.stem}.{token}{path.suffix}")
    notes: list[str] = []
    try:
        if suffix == "gpkg":
            _write_gpkg(temporary, layers, sentences)
        else:
            (frame,) = layers.values()
            notes = _write_single(temporary, frame, suffix)
        for name, frame in layers.items():
            _check(temporary, path, name if suffix == "gpkg" else None, frame)
        _publish(temporary, path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(path, found=str(error), wanted="a vector file written", remedy="free some space or choose another --out") from error
    except pyogrio.errors.DataSourceError as error:
        raise OutputError(path, found=str(error), wanted="a vector file written", remedy="free some space or choose another --out") from error
    finally:
        for left in path.parent.glob(f".{path.stem}.{token}*"):
            left.unlink(missing_ok=True)
    return notes


def _write_gpkg(path: Path, layers: Mapping[str, geopandas.GeoDataFrame], sentences: Mapping[str, str]) -> None:
    for name, frame in layers.items():
        # Version 1.2: QGIS 3.22 warns of the 1.4 that GDAL writes by itself.
        pyogrio.write_dataframe(
            frame, path, driver="GPKG", layer=name, geometry_type="Polygon", append=path.exists(),
            dataset_options={"VERSION": "1.2"}, layer_options={"GEOMETRY_NAME": "geom"},
        )  # fmt: skip
    write_layer_styles(path, dict(sentences))


def _write_single(path: Path, frame: geopandas.GeoDataFrame, suffix: str) -> list[str]:
    if suffix == "parquet":
        frame.to_parquet(path, schema_version="1.1.0", write_covering_bbox=True)
        return []
    if suffix == "geojson":
        lonlat = frame.to_crs("EPSG:4326") if frame.crs is not None else frame
        pyogrio.write_dataframe(lonlat, path, driver="GeoJSON", geometry_type="Polygon", layer_options={"RFC7946": "YES"})
        return []
    if suffix != "shp":
        pyogrio.write_dataframe(frame, path, driver=DRIVERS[suffix], geometry_type="Polygon")
        return []
    points = int(shapely.get_num_coordinates(frame.geometry.to_numpy()).sum())
    size = 100 + len(frame) * (8 + 44 + 4) + points * 16
    records = len(frame) * (SHP_TEXT_BYTES + 2 * 10 + 8 * 24)
    if max(size, records) > SHP_BYTES:
        raise OutputError(path.name, found=f"{max(size, records):,} bytes", wanted="a shapefile below 2 GB", remedy="--format gpkg or --min-area")
    cut, notes = _cut_texts(frame)
    with warnings.catch_warnings():
        # GDAL says of every float field that its width is reduced, though no digit of ours is lost.
        warnings.simplefilter("ignore", RuntimeWarning)
        pyogrio.write_dataframe(cut, path, driver="ESRI Shapefile", geometry_type="Polygon", encoding="UTF-8")
    return notes


def _cut_texts(frame: geopandas.GeoDataFrame) -> tuple[geopandas.GeoDataFrame, list[str]]:
    """The sentence cut to what a shapefile holds, at a character's end."""
    long = [text for text in frame["query"].unique() if len(text.encode()) > SHP_TEXT_BYTES]
    if not long:
        return frame, []
    cut = frame.copy()
    cut["query"] = [text.encode()[:SHP_TEXT_BYTES].decode("utf-8", "ignore") for text in frame["query"]]
    return cut, [f"the shapefile holds the first {SHP_TEXT_BYTES} bytes of the sentence; run.json has it whole"]


def _check(temporary: Path, path: Path, layer: str | None, frame: geopandas.GeoDataFrame) -> None:
    """The file re-opens with as many features as were written."""
    if path.suffix == ".parquet":
        found = len(pd.read_parquet(temporary, columns=["id"]))
    else:
        found = pyogrio.read_info(temporary, layer=layer, force_feature_count=True)["features"]
    if found != len(frame):
        raise OutputError(path, found=f"{found} features read back", wanted=str(len(frame)), remedy="check the disk, then run again")


def _publish(temporary: Path, path: Path) -> None:
    """Renames every file of the data set, the one with the suffix itself last."""
    for part in sorted(temporary.parent.glob(f"{temporary.stem}.*"), key=lambda p: p == temporary):
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path.with_name(path.stem + part.suffix))
