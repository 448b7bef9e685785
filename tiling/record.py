"""Dates of a stack as JSON and back: run.json holds them, and a worker elsewhere reads the same pixels from them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import shapely
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from tiling.grid import Alignment, geobox_from_dict, geobox_to_dict
from tiling.layer import CloudMask, DateLayer, Part
from tiling.register import LocalShift, Shift
from tiling.source import Source
from tiling.stretch import Stretch
from tiling.warp import Placement

Json = dict[str, Any]  # Any: JSON is checked by the constructors it is handed to


def layer_to_dict(layer: DateLayer) -> Json:
    """A date of a stack as JSON."""
    return {one.name: _plain(getattr(layer, one.name)) for one in dataclasses.fields(layer)}


def layer_from_dict(record: Json) -> DateLayer:
    """The date that layer_to_dict wrote, equal to it."""
    clouds, shift = record["clouds"], record["shift_px"]
    first, second, third = record["bands"]
    red, green, blue = record["fill"]
    return DateLayer(
        files=tuple(record["files"]),
        bands=(first, second, third),
        parts=tuple(_part(part) for part in record["parts"]),
        alignment=_alignment(record["alignment"]),
        stretch=Stretch(tuple(record["stretch"]["low"]), tuple(record["stretch"]["high"])),
        fill=(red, green, blue),
        clouds=None
        if clouds is None
        else CloudMask(_part(clouds["part"]), clouds["bits"], tuple(clouds.get("values", ()))),
        shift_px=None if shift is None else _shift(shift),
        applied_shift_px=_pair(record["applied_shift_px"]),
    )


def aoi_to_dict(aoi: Geometry) -> Json:
    """An area of interest as JSON: its CRS and its WKB in hexadecimal, so that no digit is lost."""
    return {"crs": str(aoi.crs), "wkb": shapely.to_wkb(aoi.geom, hex=True)}


def aoi_from_dict(record: Json) -> Geometry:
    """The area that aoi_to_dict wrote."""
    return Geometry(shapely.from_wkb(record["wkb"]), record["crs"])


def _plain(value: object) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, GeoBox):
        return geobox_to_dict(value)
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no nan; float() reads it back
    return value


def _part(record: Json) -> Part:
    source, placement = record["source"], record["placement"]
    rows, columns = placement["factor"]
    return Part(
        source=Source(
            **{
                **source,
                "paths": tuple(source["paths"]),
                "bands": tuple(source["bands"]),
                "geobox": geobox_from_dict(source["geobox"]),
                "nodata": tuple(None if one is None else float(one) for one in source["nodata"]),
            }
        ),
        channels=tuple(record["channels"]),
        placement=Placement(
            _alignment(placement["alignment"]), placement["step_px"], (rows, columns), _pair(placement["shift_px"])
        ),
    )


def _alignment(record: Json) -> Alignment:
    return Alignment(record["kind"], _pair(record["offset_px"]))


def _shift(record: Json) -> Shift:
    return Shift(**{**record, "windows": tuple(LocalShift(**one) for one in record["windows"])})


def _pair(record: list[float]) -> tuple[float, float]:
    x, y = record
    return float(x), float(y)
