"""Tables of polygons → files of a GIS, one function a format, and what reading them back must give."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import geopandas
import numpy as np
import pyarrow
import pyarrow.parquet
import pyogrio
import shapely
from numpy.typing import NDArray

from geomtrs.outputs.style import write_layer_styles

SHP_BYTES = 2**31 - 1
SHP_TEXT_BYTES = 254


def write_gpkg(path: Path, layers: Mapping[str, geopandas.GeoDataFrame], sentences: Mapping[str, str]) -> None:
    """A layer a table, styled."""
    for name, frame in layers.items():
        # Version 1.2: QGIS 3.22 warns of the 1.4 that GDAL writes by itself.
        options = {"dataset_options": {"VERSION": "1.2"}, "layer_options": {"GEOMETRY_NAME": "geom"}}
        # Of a batch, where what crosses 180° has two parts.
        several = (shapely.get_type_id(frame.geometry.to_numpy()) == shapely.GeometryType.MULTIPOLYGON).any()
        kind = "MultiPolygon" if several else "Polygon"
        _write(frame, path, "GPKG", layer=name, geometry_type=kind, append=path.exists(), **options)
    write_layer_styles(path, dict(sentences))


def write_fgb(path: Path, layer: str, frame: geopandas.GeoDataFrame) -> None:
    """FlatGeobuf with its spatial index, so features are in the order of that.

    layer  is written into the file, which would else be called after its temporary name for ever
    """
    _write(frame, path, "FlatGeobuf", layer=layer, geometry_type="Polygon")


def write_geojson(path: Path, frame: geopandas.GeoDataFrame) -> None:
    """RFC 7946: lon/lat, shells counter-clockwise, a polygon across 180° in two parts."""
    _write(frame, path, "GeoJSON", layer_options={"RFC7946": "YES", "WRITE_NAME": "NO"})


def write_parquet(path: Path, frame: geopandas.GeoDataFrame) -> None:
    """GeoParquet 1.1 with a bbox a row."""
    # pandas would put its notes to itself into the file.
    bare = frame.copy(deep=False)
    bare.attrs = {}
    bare.to_parquet(path, schema_version="1.1.0", write_covering_bbox=True)


def write_shp(path: Path, frame: geopandas.GeoDataFrame) -> list[str]:
    """A shapefile in UTF-8; returns what it could not hold. `shp_bytes` says beforehand whether it would fit."""
    cut, notes = _cut_texts(frame)
    _write(cut, path, "ESRI Shapefile", geometry_type="Polygon", encoding="UTF-8")
    return notes


def shp_bytes(frame: geopandas.GeoDataFrame) -> int:
    """At least the size of the largest file of the shapefile: shapes or attributes."""
    geometry = frame.geometry.to_numpy()
    rings = int((shapely.get_num_interior_rings(geometry) + 1).sum())
    shapes = 100 + len(frame) * (8 + 44) + rings * 4 + int(shapely.get_num_coordinates(geometry).sum()) * 16
    # GDAL makes text 80 wide unless it needs more, floats 24, integers 18 or less.
    query = min(SHP_TEXT_BYTES, max((len(text.encode()) for text in frame["query"].unique()), default=0))
    record = max(80, query) + (len(frame.columns) - 2) * 24 + 2 * (80 - 24)
    return max(shapes, 32 * (len(frame.columns) + 1) + len(frame) * (1 + record))


def difference(path: Path, layer: str, frame: geopandas.GeoDataFrame) -> tuple[str, str] | None:
    """(found, wanted) where a file that was written is not what the table is; None when it is.

    Fields and their types, ids and, but for GeoJSON, which moves polygons to lon/lat, every coordinate bit for bit;
    a shapefile turns rings round and begins them elsewhere, which changes nothing but the last bit of an area.
    """
    fields = [name for name in frame.columns if name != "geometry"]
    if path.suffix == ".geojson" and not len(frame):
        fields = []  # GeoJSON has no schema: it cannot say what it would have held
    kinds = {name: np.dtype(frame[name].dtype).kind if frame[name].dtype != "string" else "O" for name in fields}
    read = _read_parquet if path.suffix == ".parquet" else _read_ogr
    found_kinds, identifiers, geometry = read(path, layer)
    if path.suffix == ".geojson":
        kinds, found_kinds = dict.fromkeys(kinds, ""), dict.fromkeys(found_kinds, "")  # read: guessed from values
    if found_kinds != kinds:
        return f"fields {found_kinds}", f"{kinds}"
    if len(geometry) != len(frame):
        return f"{len(geometry)} polygons", str(len(frame))
    if not len(frame):
        return None
    order = np.argsort(identifiers, kind="stable")  # FlatGeobuf has its own order
    if not np.array_equal(identifiers[order], frame["id"]):
        return "other ids", "those that were written"
    if path.suffix == ".geojson":
        return None
    found, wanted = geometry[order], frame.geometry.to_numpy()
    other = shapely.area(found) != shapely.area(wanted)
    same = shapely.equals_exact(shapely.normalize(found[other]), shapely.normalize(wanted[other]), tolerance=0.0)
    return None if same.all() else ("other geometries", "those that were written")


def _write(frame: geopandas.GeoDataFrame, path: Path, driver: str, **options: object) -> None:
    with warnings.catch_warnings():
        # A plain picture has no CRS, and that is meant.
        warnings.filterwarnings("ignore", category=UserWarning, message="'crs' was not provided")
        pyogrio.write_dataframe(frame, path, driver=driver, use_arrow=True, **options)


def _read_ogr(path: Path, layer: str) -> tuple[dict[str, str], NDArray[np.int64], NDArray[np.object_]]:
    """Fields with their kinds, ids, geometries."""
    name = layer if path.suffix == ".gpkg" else None
    info = pyogrio.read_info(path, layer=name)
    kinds = {field: np.dtype(kind).kind for field, kind in zip(info["fields"], info["dtypes"], strict=True)}
    if not kinds:
        return kinds, np.zeros(0, np.int64), np.zeros(0, object)
    _, _, geometry, (identifiers,) = pyogrio.raw.read(path, layer=name, columns=["id"])
    return kinds, identifiers, shapely.from_wkb(geometry)


def _read_parquet(path: Path, _: str) -> tuple[dict[str, str], NDArray[np.int64], NDArray[np.object_]]:
    content = pyarrow.parquet.read_table(path)
    kinds = {
        field.name: "O" if pyarrow.types.is_large_string(field.type) or pyarrow.types.is_string(field.type)
        else np.dtype(field.type.to_pandas_dtype()).kind
        for field in content.schema
        if field.name not in {"geometry", "bbox"}
    }  # fmt: skip
    return kinds, content["id"].to_numpy(), shapely.from_wkb(content["geometry"].to_numpy())


def _cut_texts(frame: geopandas.GeoDataFrame) -> tuple[geopandas.GeoDataFrame, list[str]]:
    """The sentence cut to what a shapefile holds, at a character's end."""
    if all(len(text.encode()) <= SHP_TEXT_BYTES for text in frame["query"].unique()):
        return frame, []
    short = [text.encode()[:SHP_TEXT_BYTES].decode("utf-8", "ignore") for text in frame["query"]]
    note = f"the shapefile holds the first {SHP_TEXT_BYTES} bytes of the sentence; run.json has it whole"
    return frame.assign(query=short).astype({"query": "string"}), [note]
