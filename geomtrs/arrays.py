"""Labelled arrays as dates: an xarray.DataArray looks to `tiling` like an open raster, read window by window.

A dask-backed array stays lazy: of a window only the chunks it touches are computed, in the thread that reads.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from geomtrs.errors import QueryError

if TYPE_CHECKING:
    import xarray
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.enums import ColorInterp, MaskFlags
    from rasterio.windows import Window

PREFIX = "array:"


def is_array(source: object) -> TypeGuard[xarray.DataArray | xarray.Dataset]:
    """Whether a date is an array of xarray; known without importing it."""
    return type(source).__module__.partition(".")[0] == "xarray"


@dataclass(frozen=True)
class ArrayRaster:
    """What `tiling` reads of an open raster, of an array: bands from 1, windows in pixels, as rasterio names them."""

    name: str
    array: xarray.DataArray  # (band, y, x)
    nodatavals: tuple[float | None, ...]  # of every band

    driver = "MEM"
    gcps = ((), None)
    rpcs = None
    subdatasets = ()

    @property
    def count(self) -> int:
        """Bands."""
        return int(self.array.shape[0])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.array.shape[1])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.array.shape[2])

    @cached_property
    def transform(self) -> Affine:
        """From pixels to the ground; the identity where the coordinates do not tell."""
        found: Affine = self.array.rio.transform(recalc=True)
        return found

    @cached_property
    def crs(self) -> CRS | None:
        """As rioxarray or odc-geo wrote it."""
        return self.array.rio.crs

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The type of every band."""
        return (str(self.array.dtype),) * self.count

    @property
    def colorinterp(self) -> tuple[ColorInterp, ...]:
        """Nothing is known of colours but by name."""
        from rasterio.enums import ColorInterp

        return (ColorInterp.undefined,) * self.count

    @cached_property
    def descriptions(self) -> tuple[str | None, ...]:
        """Names of the bands: labels of their dimension, or long_name as rioxarray keeps it."""
        labels = self.array.coords.get(self.array.dims[0])
        if labels is not None and labels.dtype.kind in "UO":
            return tuple(str(label) for label in labels.to_numpy())
        told = self.array.attrs.get("long_name")
        return tuple(told) if isinstance(told, list | tuple) and len(told) == self.count else (None,) * self.count

    @property
    def day(self) -> str | None:
        """`YYYY-MM-DD` of a scalar coordinate `time`."""
        time = self.array.coords.get("time")
        if time is None or time.size != 1 or time.dtype.kind != "M":
            return None
        return str(time.to_numpy().astype("M8[D]").item())

    @property
    def mask_flag_enums(self) -> tuple[list[MaskFlags], ...]:
        """Holes are told by nodata and NaN alone."""
        from rasterio.enums import MaskFlags

        return ([MaskFlags.all_valid],) * self.count

    def tags(self, *_: int, ns: str | None = None) -> dict[str, str]:
        """None."""
        del ns
        return {}

    def read(
        self, bands: int | Sequence[int], *, window: Window, out_shape: tuple[int, ...] | None = None, **_: object
    ) -> NDArray[np.generic]:
        """Pixels of a window, decimated to the last two of `out_shape`: (bands, h, w), or (h, w) of one band."""
        import dask.base

        rows, columns = (
            _picked(int(start), int(length), wanted)
            for start, length, wanted in zip(
                (window.row_off, window.col_off),
                (window.height, window.width),
                out_shape[-2:] if out_shape else (None, None),
                strict=True,
            )
        )
        wanted = [band - 1 for band in bands] if isinstance(bands, Sequence) else bands - 1
        picked = self.array.data[wanted][..., rows, :][..., columns]
        # In this thread: on a Dask worker any other way would wait for threads that wait for this one.
        (pixels,) = dask.base.compute(picked, scheduler="synchronous")  # type: ignore[no-untyped-call]  # dask's
        return np.asarray(pixels)

    def close(self) -> None:
        """Nothing is open."""


def open_arrays(dates: Sequence[object]) -> tuple[list[Any], dict[str, ArrayRaster]]:
    """The dates with each array replaced by its name, and the arrays by name: equal arrays have equal names.

    Raises QueryError for an array that is no image of one date.
    """
    named: list[Any] = []  # Any: whatever else a date may be
    arrays: dict[str, ArrayRaster] = {}
    for date in dates:
        if not is_array(date):
            named.append(date)
            continue
        raster = _raster(date)
        arrays[raster.name] = raster
        named.append(raster.name)
    return named, arrays


def _raster(source: xarray.DataArray | xarray.Dataset) -> ArrayRaster:
    import dask.base
    import odc.geo.xr
    import rioxarray
    import xarray

    del odc, rioxarray  # they are imported for what they add to arrays
    # Joining the bands of a data set drops their attributes and encoding.
    array, parts = (
        (source.to_dataarray("band"), source.values()) if isinstance(source, xarray.Dataset) else (source, [source])
    )
    nodata = tuple(_nodata(part) for part in parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is wrong with the place is said by the error
        geobox, crs = array.odc.geobox, array.rio.crs
    called = "image" if array.name is None else str(array.name)[:20]
    name = f"array {called}"
    if crs is None:
        remedy = "array.rio.write_crs('EPSG:…'), or array.odc.assign_crs('EPSG:…')"
        raise QueryError(name, found="no CRS", wanted="a CRS", remedy=remedy)
    if geobox is None or not all(_is_even(array.coords.get(one)) for one in array.odc.spatial_dims):
        remedy = "array.odc.reproject or array.interp brings it on an even grid"
        raise QueryError(name, found=f"{dict(array.sizes)}", wanted="evenly spaced rows and columns", remedy=remedy)
    down, right = array.odc.spatial_dims
    others = [str(name) for name in array.dims if name not in (down, right)]
    array = array.squeeze([name for name in others if array.sizes[name] == 1 and name != "band"])
    others = [str(name) for name in array.dims if name not in (down, right)]
    if len(others) > 1:
        raise QueryError(
            name,
            found=f"dimensions {', '.join(map(str, array.dims))}",
            wanted="bands, y and x of one date",
            remedy=f"give one date each: array.isel({others[0]}=0), array.isel({others[0]}=1)",
        )
    array = (
        array.transpose(others[0], down, right) if others else array.expand_dims("band").transpose("band", down, right)
    )
    nodata *= len(array) // len(nodata)
    return ArrayRaster(f"{PREFIX}{called}-{dask.base.tokenize(array, nodata)[:16]}", array, nodata)


def _nodata(array: xarray.DataArray) -> float | None:
    """As rioxarray finds it in attributes or encoding, or odc-geo in `nodata`."""
    found = array.rio.nodata
    value = array.attrs.get("nodata") if found is None else found
    return None if value is None else float(value)


def _is_even(coordinate: xarray.DataArray | None) -> bool:
    """Whether rows or columns are equally far apart; those without a coordinate are."""
    steps = np.diff(np.asarray(() if coordinate is None else coordinate, float))
    return not len(steps) or bool(np.ptp(steps) <= 1e-3 * abs(float(steps.mean())))


def _picked(start: int, length: int, wanted: int | None) -> slice | NDArray[np.intp]:
    """Rows or columns of a window: all of them, or every n-th, as GDAL decimates to the nearest."""
    if wanted is None or wanted == length:
        return slice(start, start + length)
    return start + np.floor((np.arange(wanted) + 0.5) * length / wanted).astype(np.intp)
