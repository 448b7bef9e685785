"""Areas and lengths of polygons on the WGS 84 ellipsoid, whatever the CRS, all at once."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

_GEOD = pyproj.Geod(ellps="WGS84")
_EDGE_M = 1000.0
_DEGREE_M = 111_320.0


def measure(geometry: NDArray[np.object_], geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(area in m², perimeter in m) of polygons (N,) in the CRS of the grid; (NaN, CRS units) without a CRS.

    An edge is the line that is straight in the CRS; it is followed in steps of a kilometre. Perimeters are sums of
    geodesics. Areas are exact on the authalic sphere, which keeps those of the ellipsoid (Snyder, USGS PP 1395, §3),
    in Lambert's equal-area projection about each polygon itself: no polygon is far from its centre, nor cut at 180°.
    """
    count = len(geometry)
    if geobox.crs is None or count == 0:
        return np.full(count, np.nan), np.asarray(shapely.length(geometry), np.float64)
    step = _EDGE_M / _DEGREE_M if geobox.crs.geographic else _EDGE_M
    rings, polygon = shapely.get_rings(shapely.segmentize(geometry, step), return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    to_lonlat = geobox.crs.transformer_to_crs("EPSG:4326", always_xy=True)
    lon, lat = (np.asarray(degrees, np.float64) for degrees in to_lonlat(points[:, 0], points[:, 1]))
    owner = polygon[ring]  # the polygon of each point
    edge = np.flatnonzero(ring[1:] == ring[:-1])
    length = np.asarray(_GEOD.inv(lon[edge], lat[edge], lon[edge + 1], lat[edge + 1])[2])
    first = np.searchsorted(owner, np.arange(count))
    x, y = _equal_area(lon, lat, lon[first][owner], lat[first][owner])
    twice = np.bincount(ring[edge], x[edge] * y[edge + 1] - x[edge + 1] * y[edge], len(rings))
    # Rings may run either way; the first of a polygon is its shell, the others are holes.
    sign = np.where(np.diff(polygon, prepend=-1) > 0, 0.5, -0.5)
    area = np.bincount(polygon, sign * np.abs(twice), count)
    return np.asarray(area, np.float64), np.asarray(np.bincount(owner[edge], length, count), np.float64)


def _equal_area(
    lon: NDArray[np.float64], lat: NDArray[np.float64], lon0: NDArray[np.float64], lat0: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Metres from (lon0, lat0), point by point, in Lambert's azimuthal equal-area projection of the authalic sphere."""
    sine, sine0 = _authalic_sine(lat), _authalic_sine(lat0)
    cosine, cosine0 = np.sqrt(1 - sine**2), np.sqrt(1 - sine0**2)
    turn = np.radians(lon - lon0)
    scale = _radius() * np.sqrt(2 / (1 + sine0 * sine + cosine0 * cosine * np.cos(turn)))
    return scale * cosine * np.sin(turn), scale * (cosine0 * sine - sine0 * cosine * np.cos(turn))


def _authalic_sine(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sine of the authalic latitude of geodetic latitudes in degrees, at most 1 (Snyder 3-11)."""
    return np.clip(_zone(np.sin(np.radians(lat))) / _zone(np.ones(1)), -1, 1)


def _radius() -> float:
    """Of the sphere whose area is the ellipsoid's, in metres (Snyder 3-13)."""
    return float(_GEOD.a * np.sqrt(_zone(np.ones(1))[0] / 2))


def _zone(sine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Snyder's q (3-12): the area between the equator and the latitude of a sine, in units of 2π a²."""
    eccentricity = float(np.sqrt(_GEOD.es))
    bent = eccentricity * sine
    area: NDArray[np.float64] = (1 - _GEOD.es) * (sine / (1 - bent**2) + np.arctanh(bent) / eccentricity)
    return area
