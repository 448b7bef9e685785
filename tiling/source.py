"""One raster's three bands and which of its pixels were observed, on the raster's own grid."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.windows import Window

from tiling.bands import BandLabels
from tiling.errors import SourceError
from tiling.grid import open_once, unreadable
from tiling.remote import is_remote, patiently
from tiling.sparse import held

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

AlphaRule = Literal["auto", "yes", "no"]
Sign: TypeAlias = Callable[[str], str]
T = TypeVar("T")

_OPEN_PER_THREAD = 64
_SAMPLED_PX = 512
_SAMPLED = 4  # a side


class OpenFiles:
    """Datasets opened when first asked for, one set per thread (GDAL's handles may not be shared).

    Pickles as an empty set, so whatever holds one can travel to another process. A thread keeps the last 64.

    given  rasters that are no files, by name: anything that reads as a rasterio dataset does; they travel along
    sign   makes of an address one that may be read for a while; asked whenever a remote file is opened
    """

    def __init__(self, given: Mapping[str, Any] | None = None, sign: Sign | None = None) -> None:  # Any: rasterio's
        self._local = threading.local()
        self._given, self._sign = dict(given or {}), sign

    def get(self, path: str) -> DatasetReader:
        """The open dataset; SourceError when it does not open."""
        return self.reading(path, lambda dataset: dataset)

    def _open(self, path: str) -> DatasetReader:
        """The open dataset, opened by one attempt where it is not."""
        if path in self._given:
            return self._given[path]
        mine: OrderedDict[str, DatasetReader] = self._local.__dict__.setdefault("datasets", OrderedDict())
        if path in mine:
            mine.move_to_end(path)
            return mine[path]
        try:
            mine[path] = open_once(path) if self._sign is None or "://" not in path else _signed(path, self._sign)
        except (RasterioError, OSError) as error:
            raise unreadable(path, error) from error
        if len(mine) > _OPEN_PER_THREAD:
            mine.popitem(last=False)[1].close()
        return mine[path]

    def reading(self, path: str, read: Callable[[DatasetReader], T]) -> T:
        """What `read` makes of the open dataset; a remote one is opened and signed anew where it does not read."""
        if path in self._given or not is_remote(path):
            return read(self._open(path))
        return patiently(lambda: read(self._open(path)), partial(self._forget, path))

    def _forget(self, path: str) -> None:
        mine: OrderedDict[str, DatasetReader] = self._local.__dict__.get("datasets", OrderedDict())
        if path in mine:
            mine.pop(path).close()

    def close(self) -> None:
        """Close what this thread has open (files that are open cannot be replaced on Windows)."""
        mine: OrderedDict[str, DatasetReader] = self._local.__dict__.pop("datasets", OrderedDict())
        for dataset in mine.values():
            dataset.close()

    def __reduce__(self) -> tuple[Any, ...]:  # Any: the pickle protocol's own type
        return OpenFiles, (self._given, self._sign)


class _Named:
    """A dataset under the address that was signed, so that no signature is written anywhere."""

    def __init__(self, dataset: DatasetReader, name: str) -> None:
        self._dataset, self.name = dataset, name

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - whatever a dataset has
        return getattr(self._dataset, attribute)


def _signed(path: str, sign: Sign) -> DatasetReader:
    link = sign(path)
    try:
        return cast("DatasetReader", _Named(open_once(link), path))
    except RasterioError as error:
        raise RasterioIOError(str(error).replace(link, path)) from None


@dataclass(frozen=True, slots=True)
class Source:
    """Bands on one grid and the rule that tells which pixels were observed.

    A pixel is a hole when all used bands hold their nodata value, when any is NaN or infinite, when the internal mask
    or the alpha band says so, when its palette entry is transparent, or when the file does not hold its block.

    paths    the file of each channel: one name repeated, or one file a band
    bands    the band (from 1) of each channel in its file
    nodata   the nodata value of each channel, None where there is none or it is NaN
    gain     255 for 1-bit rasters, so that they become black and white; 1 for the rest
    palette  the (one) band is an index into a colour table, expanded on reading
    masked   the files carry a mask of their own
    alpha    the band that is transparency, None where there is none
    """

    paths: tuple[str, ...]
    bands: tuple[int, ...]
    geobox: GeoBox
    dtype: str
    nodata: tuple[float | None, ...]
    gain: float = 1.0
    palette: bool = False
    masked: bool = False
    alpha: int | None = None


def band_labels(dataset: DatasetReader, alpha: int | None) -> BandLabels:
    """What the raster says of its bands."""
    return BandLabels(
        name=dataset.name,
        colours=tuple(one.name for one in dataset.colorinterp),
        descriptions=tuple(text or "" for text in dataset.descriptions),
        alpha=alpha,
    )


def describe_source(
    dataset: DatasetReader,
    bands: Sequence[int],
    *,
    alpha: int | None = None,
    nodata: float | None = None,
    geobox: GeoBox,
) -> Source:
    """The source that reads these bands (from 1) of a raster.

    nodata  stands in for what the file declares
    geobox  the raster's grid (source_geobox)
    Raises SourceError for complex samples.
    """
    dtypes = [dataset.dtypes[band - 1] for band in bands]
    if any(dtype.startswith("complex") for dtype in dtypes):
        raise SourceError(
            dataset.name,
            found=f"complex samples ({dtypes[0]})",
            wanted="real samples",
            remedy="gdal_translate of a derived band: DERIVED_SUBDATASET:AMPLITUDE:FILE",
        )
    palette = dataset.colorinterp[bands[0] - 1] == ColorInterp.palette
    bits = dataset.tags(bands[0], ns="IMAGE_STRUCTURE").get("NBITS", "8")
    gain = 255.0 / (2 ** int(bits) - 1) if dtypes[0] == "uint8" and int(bits) < 8 and not palette else 1.0
    flags = dataset.mask_flag_enums[bands[0] - 1]
    return Source(
        paths=(dataset.name,) * len(bands),
        bands=tuple(bands),
        geobox=geobox,
        dtype="uint8" if palette else str(np.result_type(*dtypes)),
        nodata=tuple(_not_nan(_declared_nodata(dataset, band) if nodata is None else nodata) for band in bands),
        gain=gain,
        palette=palette,
        masked=MaskFlags.per_dataset in flags and not {MaskFlags.alpha, MaskFlags.nodata} & set(flags),
        alpha=alpha,
    )


def alpha_band(dataset: DatasetReader, rule: AlphaRule) -> tuple[int | None, str | None]:
    """The band (from 1) that is transparency, and a note for the user where its tag is not believed.

    auto  the band tagged alpha, where its values are 0 and full alone (looked up in up to 16 windows of 512 px)
    yes   the band tagged alpha, or the last of two or four
    no    none
    """
    if rule == "no":
        return None, None
    tagged = [i for i, one in enumerate(dataset.colorinterp, 1) if one == ColorInterp.alpha]
    if rule == "yes":
        band = tagged[0] if tagged else dataset.count if dataset.count in (2, 4) else None
        return band, None
    if not tagged or dataset.count == 1:
        return None, None
    if _is_transparency(dataset, tagged[0]):
        return tagged[0], None
    note = (
        f"{dataset.name}: band {tagged[0]} is tagged alpha but holds more than 0 and full: taken as data "
        "(near infrared, perhaps); --alpha yes believes the tag"
    )
    return None, note


def samples(dataset: DatasetReader, band: int) -> Iterator[NDArray[np.generic]]:
    """What a band holds in up to 16 windows (h, w) of 512 px, spread over the raster, read as they are asked for.

    Raises SourceError with file and window when the data cannot be read.
    """
    height, width = min(dataset.height, _SAMPLED_PX), min(dataset.width, _SAMPLED_PX)
    for top in np.unique(np.linspace(0, dataset.height - height, _SAMPLED).astype(int)):
        for left in np.unique(np.linspace(0, dataset.width - width, _SAMPLED).astype(int)):
            window = Window(int(left), int(top), width, height)
            try:
                values: NDArray[np.generic] = dataset.read(band, window=window)
            except (RasterioError, OSError) as error:
                raise _damaged(dataset.name, window, error) from error
            yield values


def read_native(source: Source, files: OpenFiles, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Pixels (C, h, w) in the raster's type and observed (h, w) of a window, which may reach beyond the raster.

    Pixels that were not observed are 0. Raises SourceError with file and window when the data cannot be read.
    """
    height, width = source.geobox.shape
    left, top = max(int(window.col_off), 0), max(int(window.row_off), 0)
    right = min(int(window.col_off + window.width), width)
    bottom = min(int(window.row_off + window.height), height)
    shape = (int(window.height), int(window.width))
    if right <= left or bottom <= top:
        return np.zeros((len(source.bands), *shape), source.dtype), np.zeros(shape, bool)
    inner = Window(left, top, right - left, bottom - top)
    pixels, observed = _read(source, files, inner, (bottom - top, right - left))
    if observed.shape == shape:
        return pixels, observed
    row, column = top - int(window.row_off), left - int(window.col_off)
    place = (slice(row, row + bottom - top), slice(column, column + right - left))
    padded, seen = np.zeros((len(pixels), *shape), pixels.dtype), np.zeros(shape, bool)
    padded[:, *place], seen[place] = pixels, observed
    return padded, seen


def sample_native(source: Source, files: OpenFiles, window: Window, stride: int) -> NDArray[np.float64]:
    """Observed pixels (C, N) of every ``stride``-th row and column of a window inside the raster, from overviews."""
    shape = (math.ceil(window.height / stride), math.ceil(window.width / stride))
    pixels, observed = _read(source, files, window, shape)
    return pixels[:, observed].astype(np.float64)


def _read(
    source: Source, files: OpenFiles, window: Window, shape: tuple[int, int]
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Pixels and observed of a window inside the raster, decimated (nearest) when ``shape`` is smaller than it."""
    observed = np.ones(shape, bool)
    planes: dict[tuple[str, int], NDArray[np.generic]] = {}
    for path in dict.fromkeys(source.paths):
        bands = sorted({band for one, band in zip(source.paths, source.bands, strict=True) if one == path})
        try:
            data, seen = files.reading(path, partial(_read_file, source, bands, window, shape))
        except (RasterioError, OSError, ValueError) as error:
            raise _damaged(path, window, error) from error
        observed &= seen
        planes.update({(path, band): plane for band, plane in zip(bands, data, strict=True)})
    channels = [planes[key] for key in zip(source.paths, source.bands, strict=True)]
    observed &= ~_holes(channels, source.nodata)
    if source.palette:
        pixels, opaque = _expand(channels[0], files.get(source.paths[0]).colormap(source.bands[0]))
        observed &= opaque
    else:
        pixels = np.stack(channels).astype(source.dtype, copy=False)
    if source.gain != 1:
        pixels = (pixels * source.gain).astype(source.dtype)
    if not observed.all():
        pixels[:, ~observed] = 0
    return pixels, observed


def _read_file(
    source: Source, bands: Sequence[int], window: Window, shape: tuple[int, int], dataset: DatasetReader
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Bands of one file, and what its mask and alpha say was observed."""
    data = dataset.read(bands, window=window, out_shape=(len(bands), *shape), resampling=Resampling.nearest)
    observed = np.ones(shape, bool)
    if source.masked:
        observed &= dataset.read_masks(bands[0], window=window, out_shape=shape) > 0
    if source.alpha is not None:
        observed &= dataset.read(source.alpha, window=window, out_shape=shape) > 0
    if shape == (window.height, window.width) or not is_remote(dataset.name):  # a sample is not worth a remote index
        there = held(dataset, bands, window, shape)
        observed &= True if there is None else there
    return data, observed


def _holes(channels: Sequence[NDArray[np.generic]], nodata: Sequence[float | None]) -> NDArray[np.bool_]:
    """Where all bands hold nodata or any is not finite: one band that is 0 may be real water."""
    all_nodata = np.ones(channels[0].shape, bool)
    not_finite = np.zeros(channels[0].shape, bool)
    done: dict[int, NDArray[np.bool_]] = {}  # a repeated band is looked at once
    for plane, value in zip(channels, nodata, strict=True):
        if id(plane) not in done:
            done[id(plane)] = _equals(plane, value)
            if plane.dtype.kind == "f":
                not_finite |= ~np.isfinite(plane)
        all_nodata &= done[id(plane)]
    return all_nodata | not_finite


def _equals(plane: NDArray[np.generic], value: float | None) -> NDArray[np.bool_]:
    """Where a band holds its nodata value; nowhere when its type cannot hold that value."""
    if value is None:
        return np.zeros(plane.shape, bool)
    if plane.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(plane == np.asarray(value).astype(plane.dtype))
    limits = np.iinfo(cast("np.dtype[np.integer]", plane.dtype))
    if value != int(value) or not limits.min <= value <= limits.max:
        return np.zeros(plane.shape, bool)
    return np.asarray(plane == int(value))


def _expand(
    index: NDArray[np.generic], colormap: dict[int, tuple[int, int, int, int]]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Red, green, blue (3, h, w) of palette indices, and where they are opaque; entries not told are black."""
    table = np.zeros((int(np.iinfo(cast("np.dtype[np.integer]", index.dtype)).max) + 1, 4), np.uint8)
    table[:, 3] = 255
    for entry, colour in colormap.items():
        table[entry] = colour
    return np.moveaxis(table[index, :3], -1, 0).copy(), table[index, 3] > 0


def _declared_nodata(dataset: DatasetReader, band: int) -> float | None:
    value = dataset.nodatavals[band - 1]
    listed = dataset.tags().get("NODATA_VALUES", "").split()  # GDAL's other way: one pixel value for the whole file
    if value is None and len(listed) == dataset.count:
        return float(listed[band - 1])
    return value if value is None else float(value)


def _not_nan(value: float | None) -> float | None:
    """NaN is a hole whatever is declared, and would make two equal sources differ."""
    return None if value is None or math.isnan(value) else value


def _is_transparency(dataset: DatasetReader, band: int) -> bool:
    """Whether a band holds 0 and full alone. Native windows: averaged overviews would blur a real alpha band."""
    dtype = dataset.dtypes[band - 1]
    full = 1.0 if dtype.startswith("float") else float(np.iinfo(dtype).max)
    allowed = [0, full] if dtype == "uint8" else [0, 255, full]
    return all(np.isin(values, allowed).all() for values in samples(dataset, band))


def _damaged(path: str, window: Window, error: Exception) -> SourceError:
    place = f"columns {window.col_off}+{window.width}, rows {window.row_off}+{window.height}"
    return SourceError(
        path,
        found=f"data that cannot be read at {place} ({error.__cause__ or error})",
        wanted="a whole file",
        remedy="copy or download the file again",
    )
