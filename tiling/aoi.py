"""The area of interest: four numbers or a vector file, as one geometry with a CRS."""

from __future__ import annotations

import math
from pathlib import Path

import shapely
from odc.geo.crs import CRS
from odc.geo.geom import Geometry

from tiling.errors import GridError
from tiling.ground import parse_crs

_LONLAT = CRS("EPSG:4326")


def read_aoi(spec: str | Path, crs: CRS | None = None) -> Geometry:
    """The polygons of a vector file, or of a bbox ``"W,S,E,N"``, as one geometry.

    crs  that of a bbox (EPSG:4326 unless given), and of a file that has none of its own
    Raises GridError when it cannot be read, holds no polygon, or the bbox is not W < E, S < N.
    """
    numbers = _numbers(spec)
    if numbers is None:
        return _read_file(spec, crs)
    west, south, east, north = numbers
    if not (west < east and south < north):
        raise GridError(
            "AOI",
            found=f"the bbox {spec}",
            wanted="W,S,E,N with W < E and S < N",
            remedy="order the numbers so; across the antimeridian give a projected --aoi-crs",
        )
    return Geometry(shapely.box(west, south, east, north), crs or _LONLAT)


def _numbers(spec: str | Path) -> tuple[float, float, float, float] | None:
    parts = str(spec).split(",")
    if len(parts) != 4:
        return None
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError:
        return None
    return (west, south, east, north) if all(map(math.isfinite, (west, south, east, north))) else None


def _read_file(path: str | Path, crs: CRS | None) -> Geometry:
    # Imported here: a run without a vector AOI needs no second GDAL in its process.
    from pyogrio.errors import DataSourceError
    from pyogrio.raw import read

    try:
        meta, _, wkb, _ = read(str(path), columns=[])
    except (DataSourceError, ValueError, OSError) as error:
        found = f"a file that does not open ({error})" if Path(path).exists() else "no such file"
        raise GridError(
            path, found=found, wanted="a vector file of polygons, or W,S,E,N", remedy="check --aoi"
        ) from error
    shapes = shapely.from_wkb([one for one in wkb if one is not None]) if wkb is not None else []
    polygons = [shapely.force_2d(shapely.make_valid(one)) for one in shapes if one.geom_type.endswith("Polygon")]
    area = shapely.union_all(polygons) if polygons else shapely.Polygon()
    if area.is_empty:
        kinds = ", ".join(sorted({one.geom_type for one in shapes})) or "nothing"
        raise GridError(path, found=kinds, wanted="at least one polygon", remedy="draw the AOI as polygons")
    own = parse_crs(meta["crs"], str(path)) if meta["crs"] else crs
    if own is None:
        raise GridError(path, found="no CRS", wanted="a CRS", remedy="--aoi-crs EPSG:…")
    return Geometry(area, own)
