"""Where pixels lie on the earth: from one raster's lattice to lon/lat, to another's, and polygons between them."""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj.exceptions import CRSError

from tiling.errors import GridError, OptionError

_POINTS_PER_SIDE = 33


def parse_crs(text: object, option: str) -> CRS:
    """A CRS from what a user wrote; OptionError names the option, or the file, it came by."""
    try:
        return CRS(text)
    except (CRSError, ValueError, TypeError) as error:
        raise OptionError(
            option, found=f"{text!r}", wanted="a CRS", remedy="write it as EPSG:32633, a WKT or a PROJ string"
        ) from error


def crs_of(geobox: GeoBox) -> CRS:
    """The CRS of a grid that must have one."""
    if geobox.crs is None:
        raise GridError("grid", found="no CRS", wanted="a CRS", remedy="--assume-crs EPSG:…")
    return geobox.crs


def apply_affine(
    affine: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The affine map of many points, element by element: a point's result does not depend on its neighbours."""
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def compose(outer: Affine, inner: Affine) -> Affine:
    """The map that does ``inner``, then ``outer``. Spelt out: affine 2 knows only ``*``, affine 3.1 warns of it."""
    a, b = outer.a * inner.a + outer.b * inner.d, outer.a * inner.b + outer.b * inner.e
    d, e = outer.d * inner.a + outer.e * inner.d, outer.d * inner.b + outer.e * inner.e
    c = outer.a * inner.c + outer.b * inner.f + outer.c
    f = outer.d * inner.c + outer.e * inner.f + outer.f
    return Affine(a, b, c, d, e, f)


def lonlat(
    geobox: GeoBox, columns: NDArray[np.float64], rows: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Degrees east and north (EPSG:4326) of pixel coordinates; 0, 0 is the outer corner of the first pixel."""
    x, y = apply_affine(geobox.affine, columns, rows)
    lon, lat = crs_of(geobox).transformer_to_crs(CRS("EPSG:4326"), always_xy=True)(x, y)
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def lonlat_extent(geobox: GeoBox) -> str:
    """The ground a grid covers, for people: ``11.2000..11.9000 lon 46.1000..46.6000 lat``."""
    if geobox.crs is None:
        return f"{geobox.width} × {geobox.height} px of a picture without a place"
    lon, lat = lonlat(geobox, *boundary_px(geobox))
    lon, lat = lon[np.isfinite(lon)], lat[np.isfinite(lat)]
    if not lon.size or not lat.size:
        return "nowhere on earth"
    return f"{lon.min():.4f}..{lon.max():.4f} lon {lat.min():.4f}..{lat.max():.4f} lat"


def to_pixels(
    reference: GeoBox, geobox: GeoBox, columns: NDArray[np.float64], rows: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel coordinates of ``geobox`` as pixel coordinates of ``reference``; inf where PROJ has no answer."""
    if reference.crs == geobox.crs:
        return apply_affine(compose(~reference.affine, geobox.affine), columns, rows)
    x, y = apply_affine(geobox.affine, columns, rows)
    x, y = crs_of(geobox).transformer_to_crs(crs_of(reference), always_xy=True)(x, y)
    return apply_affine(~reference.affine, np.asarray(x, np.float64), np.asarray(y, np.float64))


def footprint_px(reference: GeoBox, geobox: GeoBox, *, name: object = "a date") -> shapely.Geometry:
    """The ground of ``geobox`` as a polygon in pixels of ``reference``; empty where it cannot be expressed there."""
    columns, rows = boundary_px(geobox)
    x, y = to_pixels(reference, geobox, columns, rows)
    if reference.crs != geobox.crs and crs_of(reference).geographic:
        turn_px = 180 / max(abs(reference.affine.a), abs(reference.affine.b))
        if np.abs(np.diff(x)).max() > turn_px:
            raise antimeridian(name, geobox)
    if np.isfinite(x).all() and np.isfinite(y).all():
        return shapely.make_valid(shapely.Polygon(np.column_stack([x, y])))
    return _footprint_through_other(reference, geobox)


def aoi_px(reference: GeoBox, aoi: Geometry) -> shapely.Geometry:
    """The AOI as a polygon in pixels of ``reference``, its straight edges followed across the change of CRS."""
    inverse = ~reference.affine
    ground = aoi_in(_near(aoi, reference), crs_of(reference))
    pixels = shapely.transform(ground, lambda xy: np.column_stack(apply_affine(inverse, xy[:, 0], xy[:, 1])))
    return shapely.make_valid(pixels)


def aoi_in(aoi: Geometry, crs: CRS) -> shapely.Geometry:
    """The AOI in another CRS, with points added along its edges where the CRS differs.

    Raises OptionError where it has no CRS, or a corner has no place in the other one.
    """
    if aoi.crs is None:
        raise OptionError("AOI", found="no CRS", wanted="a CRS", remedy="--aoi-crs EPSG:…")
    if aoi.crs == crs or aoi.geom.is_empty:
        return aoi.geom
    left, bottom, right, top = aoi.geom.bounds
    dense = shapely.segmentize(aoi.geom, max(right - left, top - bottom) / _POINTS_PER_SIDE or 1.0)
    project = aoi.crs.transformer_to_crs(crs, always_xy=True)
    there = shapely.transform(dense, lambda xy: np.column_stack(project(xy[:, 0], xy[:, 1])))
    if not np.isfinite(shapely.get_coordinates(there)).all():
        raise OptionError(
            "AOI",
            found=f"corners that have no place in {crs.proj.name}",
            wanted="an area that can be drawn there",
            remedy="draw it closer around the images, or check its CRS (--aoi-crs)",
        )
    return there


def off_earth(left: float, bottom: float, right: float, top: float) -> bool:
    """These bounds are no degrees."""
    return bool(left < -360 or right > 360 or bottom < -90 or top > 90)


def _near(aoi: Geometry, reference: GeoBox) -> Geometry:
    """The AOI no farther from the grid than the grid is large: what lies farther, a projection bends at will."""
    crs = aoi.crs
    if crs is None or crs == reference.crs or (crs.geographic and off_earth(*aoi.geom.bounds)):
        return aoi
    place = apply_affine(reference.affine, *boundary_px(reference))
    x, y = (np.asarray(side) for side in crs_of(reference).transformer_to_crs(crs, always_xy=True)(*place))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return aoi
    turns = [0.0]
    if crs.geographic and np.ptp(x) > 180 >= np.ptp(x % 360):  # across 180°: there longitudes run on beyond it
        x, turns = x % 360, [0.0, 360.0]
    reach = max(np.ptp(x), np.ptp(y))
    west, east = x.min() - reach, x.max() + reach
    if len(turns) > 1:  # once round the earth at most, else ground would be there twice
        west, east = max(west, np.mean(x) - 180), min(east, np.mean(x) + 180)
    around = shapely.box(west, y.min() - reach, east, y.max() + reach)
    turned = [shapely.transform(aoi.geom, lambda xy, turn=turn: xy + np.array([turn, 0.0])) for turn in turns]
    return Geometry(shapely.union_all([one.intersection(around) for one in turned]), crs)


def elsewhere(aoi: Geometry, geobox: GeoBox) -> OptionError:
    """The error for an AOI that touches none of a grid."""
    west, south, east, north = aoi_in(aoi, CRS("EPSG:4326")).bounds
    return OptionError(
        "AOI",
        found=f"ground {west:.4f}..{east:.4f} lon {south:.4f}..{north:.4f} lat",
        wanted=f"ground inside the dates ({lonlat_extent(geobox)})",
        remedy="check the AOI's place and CRS (--aoi-crs); a bbox is W,S,E,N",
    )


def antimeridian(name: object, geobox: GeoBox) -> GridError:
    """The error for a raster in degrees that crosses 180°, with the gdalwarp line that mends it."""
    lon, lat = lonlat(geobox, np.array([geobox.width / 2]), np.array([geobox.height / 2]))
    return GridError(
        name,
        found=f"ground across the antimeridian ({lonlat_extent(geobox)})",
        wanted="longitudes from -180 to 180, or a projected CRS",
        remedy=f'gdalwarp -t_srs "+proj=laea +lat_0={lat[0]:.0f} +lon_0={lon[0]:.0f}" IN OUT',
    )


def boundary_px(geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns and rows around the outer edge, closed, clockwise on the pixel lattice."""
    height, width = geobox.shape
    along = np.linspace(0.0, 1.0, _POINTS_PER_SIDE)
    columns = np.concatenate([along, np.ones_like(along), along[::-1], np.zeros_like(along)]) * width
    rows = np.concatenate([np.zeros_like(along), along, np.ones_like(along), along[::-1]]) * height
    return columns, rows


def _footprint_through_other(reference: GeoBox, geobox: GeoBox) -> shapely.Geometry:
    """The shared ground found on the other raster's lattice: the way when that raster is larger than our projection."""
    x, y = to_pixels(geobox, reference, *boundary_px(reference))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return shapely.Polygon()
    common = shapely.make_valid(shapely.Polygon(np.column_stack([x, y]))).intersection(
        shapely.box(0, 0, geobox.width, geobox.height)
    )
    if common.is_empty:
        return common
    common = shapely.segmentize(common, max(x.max() - x.min(), y.max() - y.min()) / _POINTS_PER_SIDE)

    def back(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(to_pixels(reference, geobox, xy[:, 0], xy[:, 1]))

    return shapely.make_valid(shapely.transform(common, back))
