"""Ground that is drawn and rasters that are written in the test run: tiny, never square, off-grid."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
import rasterio.warp
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.uint8]

UTM = "EPSG:32633"
ORIGIN = Affine(10.0, 0.0, 500_003.7, 0.0, -10.0, 5_100_041.3)


class WriteRaster(Protocol):
    """Write an array (bands, rows, columns) below the test's folder; answers its path."""

    def __call__(
        self,
        name: str,
        pixels: NDArray[np.generic],
        *,
        transform: Affine = ORIGIN,
        crs: str | None = UTM,
        nodata: float | None = None,
        colours: tuple[ColorInterp, ...] | None = None,
        descriptions: tuple[str, ...] | None = None,
        mask: NDArray[np.bool_] | None = None,
        **options: object,
    ) -> str: ...


def write_below(
    folder: Path,
    name: str,
    pixels: NDArray[np.generic],
    *,
    transform: Affine = ORIGIN,
    crs: str | None = UTM,
    nodata: float | None = None,
    colours: tuple[ColorInterp, ...] | None = None,
    descriptions: tuple[str, ...] | None = None,
    mask: NDArray[np.bool_] | None = None,
    **options: object,
) -> str:
    """Write an array (bands, rows, columns) as a raster, GeoTIFF unless told otherwise."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, rows, columns = pixels.shape
    profile = {
        "driver": "GTiff",
        "count": bands,
        "height": rows,
        "width": columns,
        "dtype": pixels.dtype.name,
        "transform": transform,
        "crs": crs,
        "nodata": nodata,
        **options,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture is meant to have no place
        dataset = rasterio.open(path, "w", **profile)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), dataset:
        dataset.write(pixels)
        if colours is not None:
            dataset.colorinterp = colours
        if descriptions is not None:
            dataset.descriptions = descriptions
        if mask is not None:
            dataset.write_mask(mask)
    return str(path)


def texture(rows: int, columns: int, seed: int = 5) -> Pixels:
    """Smooth random ground (3, rows, columns) uint8: sums of noise at three scales, values 20 to 235."""
    rng = np.random.default_rng(seed)
    planes = []
    for _ in range(3):
        scales = [gaussian_filter(rng.normal(size=(rows, columns)), s, mode="wrap") * s for s in (1, 3, 9)]
        ground = np.sum(scales, axis=0)
        planes.append(20 + 215 * (ground - ground.min()) / (ground.max() - ground.min()))
    return np.stack(planes).astype(np.uint8)


def regrid(geobox: GeoBox, crs: str) -> GeoBox:
    """A grid in another CRS over the same ground, with as many rows and columns."""
    height, width = geobox.shape
    left, bottom, right, top = rasterio.warp.transform_bounds(str(geobox.crs), crs, *geobox.boundingbox)
    transform = Affine((right - left) / width, 0, left, 0, (bottom - top) / height, top)
    return GeoBox((height, width), transform, crs)
