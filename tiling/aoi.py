"""The area of interest: four numbers or a vector file, as one geometry with a CRS."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import shapely
from odc.geo.crs import CRS
from odc.geo.geom import Geometry

from tiling.errors import OptionError
from tiling.ground import off_earth, parse_crs
from tiling.guard import local_path, trusting
from tiling.vrt import TRUST, is_markup

_LONLAT = CRS("EPSG:4326")

# pyogrio's errors are RuntimeErrors, GEOS's ShapelyErrors; of some damaged files pyogrio says IndexError, of a
# GeoParquet in name only geopandas says KeyError or TypeError.
_UNREADABLE = (RuntimeError, ValueError, OSError, LookupError, TypeError, shapely.errors.ShapelyError)
_PARQUET = (".parquet", ".geoparquet", ".pq")
_HEAD_BYTES = 65_536
_STRANGERS = {
    b"<ogrvrt": "a virtual layer, which names other sources",
    b"<ogrwfsdatasource": "the address of a service",
    b"gdal_streamed_alg": "a command of GDAL",
    b"<!doctype": "a document type",
    b"<!entity": "entities",
}


def read_aoi(spec: str | Path, crs: CRS | None = None) -> Geometry:
    """The polygons of a vector file, or of a bbox ``"W,S,E,N"``, as one geometry.

    crs  that of a bbox (EPSG:4326 unless given), and of a file that has none of its own
    Raises OptionError when it cannot be read, holds no polygon, has another CRS than is said, or the bbox is not W < E,
    S < N, or no degrees.
    """
    numbers = bbox_of(str(spec))
    if numbers is None:
        return _read_file(spec, crs)
    west, south, east, north = numbers
    if not (west < east and south < north):
        raise OptionError(
            "AOI",
            found=f"the bbox {spec}",
            wanted="W,S,E,N with W < E and S < N",
            remedy="order the numbers so; across the antimeridian give a projected --aoi-crs",
        )
    if crs is None and off_earth(*numbers):
        raise OptionError(
            "AOI",
            found=f"the bbox {spec}",
            wanted="degrees (EPSG:4326), or their CRS",
            remedy="say it: --aoi-crs EPSG:…",
        )
    return Geometry(shapely.box(west, south, east, north), crs or _LONLAT)


def bbox_of(text: str) -> tuple[float, float, float, float] | None:
    """The four numbers of ``"W,S,E,N"``; None for any other text, which names a file then."""
    numbers = numbers_of(text)
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None


def numbers_of(text: str) -> tuple[float, ...]:
    """The numbers that a text with commas is made of, however many; none where anything else is in it."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def _read_file(path: str | Path, crs: CRS | None) -> Geometry:
    _refuse_strangers(path)
    try:
        layers, told, wkb = _geoparquet(path) if str(path).lower().endswith(_PARQUET) else _first_layer(path)
        with np.errstate(invalid="ignore"):  # said below
            shapes = shapely.from_wkb([one for one in wkb if one is not None])
        if not np.isfinite(shapely.get_coordinates(shapes)).all():
            raise ValueError("corners that are no numbers")
        polygons = [shapely.force_2d(shapely.make_valid(one)) for one in shapes if one.geom_type.endswith("Polygon")]
        area = shapely.union_all(polygons) if polygons else shapely.Polygon()
    except _UNREADABLE as error:
        here = local_path(str(path))
        found = "no such file" if here is not None and not here.exists() else f"a file that does not open ({error})"
        raise OptionError(
            path, found=found, wanted="a vector file of polygons, or W,S,E,N", remedy="check --aoi"
        ) from error
    if len(layers) > 1:
        found, remedy = f"layers {', '.join(layers)}", "save the one of the area as a file of its own"
        raise OptionError(path, found=found, wanted="one layer of polygons", remedy=remedy)
    if area.is_empty:
        kinds = ", ".join(sorted({one.geom_type for one in shapes})) or "nothing"
        raise OptionError(path, found=kinds, wanted="at least one polygon", remedy="draw the AOI as polygons")
    own = parse_crs(told, str(path)) if told else crs
    if own is None:
        raise OptionError(path, found="no CRS", wanted="a CRS", remedy="--aoi-crs EPSG:…")
    if own.geographic and off_earth(*area.bounds):  # GeoJSON that says nothing passes for EPSG:4326
        if crs is None or crs.geographic:
            raise OptionError(path, found="numbers that are no degrees", wanted="their CRS", remedy="--aoi-crs EPSG:…")
        own = crs
    if crs is not None and not own.proj.equals(crs.proj, ignore_axis_order=True):
        raise OptionError(
            path,
            found=f"a CRS of its own, {_name(own)}",
            wanted=f"{_name(crs)}, as --aoi-crs says",
            remedy="leave --aoi-crs out, or save the file with the CRS that its numbers are in",
        )
    return Geometry(area, own)


def _name(crs: CRS) -> str:
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs.proj.name)


def _first_layer(path: str | Path) -> tuple[list[str], str | None, Iterable[bytes | None]]:
    """The layers that have shapes; CRS and shapes of the first."""
    # Imported here: a run without a vector AOI needs no second GDAL in its process.
    from pyogrio import list_layers
    from pyogrio.raw import read

    with warnings.catch_warnings():  # what GDAL takes with a word of warning, an open ring, is refused by who asks
        warnings.simplefilter("ignore", RuntimeWarning)
        layers = [name for name, kind in list_layers(str(path)) if kind is not None]  # tables have no shapes
        meta, _, wkb, _ = read(str(path), layer=layers[0] if layers else 0, columns=[])
    return layers, meta["crs"], () if wkb is None else wkb


def _geoparquet(path: str | Path) -> tuple[list[str], str | None, Iterable[bytes | None]]:
    """As of `_first_layer`; the GDAL of pyogrio's wheels reads no Parquet."""
    from geopandas import read_parquet

    table = read_parquet(path)
    return [table.geometry.name], table.crs and table.crs.to_wkt(), table.geometry.to_wkb()


def _refuse_strangers(path: str | Path) -> None:
    """Raises OptionError for a text that makes GDAL read other files, ask services or run its commands."""
    file = local_path(str(path))
    if file is None or trusting() or not file.is_file():
        return
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES).lower()
    found = next((what for mark, what in _STRANGERS.items() if mark in head), None)
    if found is not None and is_markup(head):
        remedy = f"save the polygons themselves (GeoPackage), or set {TRUST}=1 if you trust it"
        raise OptionError(path, found=found, wanted="a vector file that names no others", remedy=remedy)
