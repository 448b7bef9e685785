"""item.json: the outputs of a run as one STAC item (1.1.0), with the `proj`, `raster` and `processing` extensions.

Written as plain JSON: whoever reads it needs pystac, the run does not.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping

from geomtrs.outputs.lonlat import cut_at_180
from geomtrs.outputs.publish import json_bytes, publish
from geomtrs.outputs.record import Output, crs_name
from tiling.blend import SCALE, UNOBSERVED
from tiling.grid import ground_resolution_m
from tiling.ground import apply_affine, boundary_px, lonlat

NAME = "item.json"
STAC_VERSION = "1.1.0"
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_TYPES = {
    ".tif": COG,
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".fgb": "application/vnd.flatgeobuf",
    ".geojson": "application/geo+json",
    ".shp": "application/vnd.shp",
    ".png": "image/png",
    ".json": "application/json",
    ".qml": "application/xml",
    ".qgz": "application/x-qgis-project-container",
}
_ROLES = {
    "mask": ["data"],
    "probability": ["data", "confidence"],
    "coverage": ["data-mask"],
    "polygons": ["data"],
    "tracks": ["data"],
    "preview": ["overview"],
    "style": ["style"],
    "project": ["style"],
    "failures": ["metadata"],
}


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What an item says beside its assets.

    name         id of the item
    geobox       grid of the rasters
    dates        of all acquisitions in order, `YYYY[-MM[-DD]]` or None
    inputs       paths or URLs of the images
    queries      the sentences
    created      UTC, ISO 8601
    software     name → version
    """

    name: str
    geobox: GeoBox
    dates: Sequence[str | None]
    inputs: Sequence[str]
    queries: Sequence[str]
    created: str
    software: Mapping[str, str]


def write_item(folder: Path, facts: ItemFacts, outputs: Sequence[Output]) -> dict[str, Any]:
    """item.json of a folder; returns what it says. Raises OutputError when it cannot be written."""
    document = item(facts, outputs)
    publish(folder / NAME, json_bytes(document))
    return document


def item(facts: ItemFacts, outputs: Sequence[Output]) -> dict[str, Any]:
    """The item; assets have relative addresses, so that the folder can be moved."""
    geometry, bbox = footprint(facts.geobox)
    document: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": facts.name,
        "geometry": geometry,
        "properties": {
            **_times(facts.dates, facts.created),
            "created": facts.created,
            "title": "; ".join(facts.queries),
            **_projection(facts.geobox),
            "processing:lineage": f"changes between {len(facts.dates)} dates: {'; '.join(facts.queries)}",
            "processing:datetime": facts.created,
            "processing:software": dict(facts.software),
        },
        "links": [_link(path) for path in facts.inputs],
        "assets": {
            **{output.file: _asset(output, facts.geobox) for output in outputs if output.role != "item"},
            "run.json": {
                "href": "./run.json",
                "type": "application/json",
                "roles": ["metadata"],
                "title": "record of the run",
            },
        },
    }
    if bbox is not None:
        document["bbox"] = bbox
    return document


def footprint(geobox: GeoBox) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Outline in lon/lat as GeoJSON and its bbox, (None, None) without a CRS.

    Ground that crosses 180° is cut there in two, its bbox has west > east (RFC 7946 §3.1.9, §5.2).
    """
    if geobox.crs is None:
        return None, None
    lon, lat = lonlat(geobox, *boundary_px(geobox))
    lat = np.clip(lat, -90, 90)
    # Each step is far below 180°: a larger one is the jump at the antimeridian.
    lon = np.unwrap(lon, period=360)
    lon -= 360 * np.floor((lon.min() + 180) / 360)
    outline = shapely.make_valid(shapely.Polygon(np.column_stack([lon, lat])))
    outline = shapely.orient_polygons(outline)
    west, south, east, north = outline.bounds
    if east > 180:
        outline = cut_at_180(outline)
        east -= 360
    # Nine decimals are a tenth of a millimetre.
    return _rounded(mapping(outline)), [round(float(value), 9) for value in (west, south, east, north)]


def _times(dates: Sequence[str | None], created: str) -> dict[str, Any]:
    """The span of the dates; when none is known, the time of the run stands in, and the description says so."""
    known = sorted(date for date in dates if date)
    if not known:
        return {
            "datetime": created,
            "description": "The dates of the images are not known: datetime is that of the run.",
        }
    start, end = _moment(known[0], last=False), _moment(known[-1], last=True)
    return {"datetime": None, "start_datetime": start, "end_datetime": end}


def _moment(date: str, *, last: bool) -> str:
    """First or last second of a year, month or day."""
    parts = [int(part) for part in date.split("-")]
    first = dt.datetime(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)
    if not last:
        return f"{first.isoformat()}Z"
    if len(parts) == 3:
        after = first + dt.timedelta(days=1)
    elif len(parts) == 2:
        after = (first + dt.timedelta(days=31)).replace(day=1)
    else:
        return f"{parts[0]:04d}-12-31T23:59:59Z"
    return f"{(after - dt.timedelta(seconds=1)).isoformat()}Z"


def _projection(geobox: GeoBox) -> dict[str, Any]:
    grid: dict[str, Any] = {"proj:shape": list(geobox.shape), "proj:transform": list(geobox.affine)[:6]}
    if geobox.crs is None:
        return {"proj:code": None, **grid}
    code = crs_name(geobox.crs)
    crs = {"proj:code": code} if code else {"proj:code": None, "proj:wkt2": geobox.crs.to_wkt()}
    x, y = apply_affine(geobox.affine, *boundary_px(geobox))
    return {**crs, **grid, "proj:bbox": [float(side) for side in (x.min(), y.min(), x.max(), y.max())]}


def _asset(output: Output, geobox: GeoBox) -> dict[str, Any]:
    suffix = PurePosixPath(output.file).suffix.lower()
    span = "–".join(date for date in (output.date_from, output.date_to) if date)
    title = " · ".join(part for part in (output.role, output.query, span) if part)
    asset: dict[str, Any] = {"href": f"./{output.file}", "title": title, "roles": _ROLES[output.role]}
    if suffix in _TYPES:
        asset["type"] = _TYPES[suffix]
    if suffix == ".tif":
        asset["bands"] = [_band(output, geobox)]
    return asset


def _band(output: Output, geobox: GeoBox) -> dict[str, Any]:
    band: dict[str, Any] = {"name": output.role, "data_type": "uint8", "raster:sampling": "area"}
    if output.query:
        band["description"] = output.query
    if output.role != "coverage":
        band["nodata"] = UNOBSERVED
    if output.role == "probability":
        band |= {"raster:scale": 1 / SCALE, "raster:offset": 0}
    if geobox.crs is not None:
        band["raster:spatial_resolution"] = round(sum(ground_resolution_m(geobox)) / 2, 6)
    return band


def _link(path: str) -> dict[str, Any]:
    return {"rel": "derived_from", "href": _href(path), "title": re.split(r"[/\\]", path)[-1]}


def _href(path: str) -> str:
    """An address: URLs as they are, paths as file URLs, GDAL's own paths as text."""
    if "://" in path or path.startswith("/vsi"):
        return path
    return Path(path).absolute().as_uri()


def _rounded(geometry: dict[str, Any]) -> dict[str, Any]:
    def tidy(value: object) -> object:
        if isinstance(value, list | tuple):
            return [tidy(part) for part in value]
        assert isinstance(value, float | int)  # GeoJSON coordinates are nothing else
        return round(float(value), 9)

    return {"type": geometry["type"], "coordinates": tidy(geometry["coordinates"])}
