"""The one way into a raster that somebody else made: what it may cost to read, and what it may name.

Limits hold for what one read costs, not for honest size: a tiled raster of 200,000 x 200,000 pixels is read window by
window. Three variables of the environment raise them (on the workers of a cluster, too):

GEOMTRS_MAX_BLOCK_MB      decoded size of one strip or tile, all bands that are stored together: 256
GEOMTRS_MAX_RASTER_GPX    pixels of one raster, or of the grid of an answer, in billions: 100
GEOMTRS_TRUST_REFERENCES  1: files may name others in any way GDAL knows, services and code included
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.env import ensure_env_with_credentials
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from tiling.errors import RefusedError
from tiling.tiff import largest_block_bytes
from tiling.vrt import TRUST, head_of, is_vrt, vrt_sources

BLOCK_MB = "GEOMTRS_MAX_BLOCK_MB"
RASTER_GPX = "GEOMTRS_MAX_RASTER_GPX"
_DEFAULTS = {BLOCK_MB: 256.0, RASTER_GPX: 100.0}

# Formats whose files are addresses of services, or lists of any other file.
_NAMING_OTHERS = frozenset(
    {
        "DAAS", "EEDA", "EEDAI", "GTI", "HTTP", "KMLSUPEROVERLAY", "MRF", "NGW", "OGCAPI", "PLMOSAIC", "PostGISRaster",
        "STACIT", "STACTA", "VRT", "WCS", "WMS", "WMTS",
    }
)  # fmt: skip
_BESIDE = (".ovr", ".msk", ".ovr.msk", ".msk.ovr")
# Formats that are decoded as a whole, whatever window is read.
_WHOLE = frozenset({"WEBP"})


def open_guarded(path: str) -> DatasetReader:
    """The open dataset, when what it costs is within the limits and what it names may be named.

    Raises RefusedError where it is not; RasterioError, OSError where it does not open.
    """
    # Read with the head and not when it is needed: where a part of the index cannot be read, GDAL gives zeros.
    with rasterio.Env(GTIFF_USE_DEFER_STRILE_LOADING="NO"):
        dataset = rasterio.open(path) if trusting() else _open_alone(path)
    try:
        _read_head(dataset)
        refuse_too_many(path, dataset.height, dataset.width)
        _refuse_costly(path, dataset)
        if not trusting():
            _refuse_strange_overviews(path, dataset)
    except (RefusedError, RasterioError):
        dataset.close()
        raise
    return dataset


def trusting() -> bool:
    """Whether files may name others in any way."""
    return os.environ.get(TRUST, "").strip().lower() in {"1", "yes", "true", "on"}


def local_path(path: str) -> Path | None:
    """The file on this machine that a name means; None for addresses, GDAL's own names, and what can be no name."""
    if not path.startswith("file://") and ("://" in path or path.startswith("/vsi")):
        return None
    file = Path(url2pathname(urlparse(path).path) if path.startswith("file://") else path)
    try:
        file.exists()
    except (OSError, ValueError):  # too long, or with a NUL in it
        return None
    return file


def refuse_too_many(name: object, height: int, width: int) -> None:
    """Raises RefusedError for more pixels than can be planned."""
    most = _limit(RASTER_GPX)
    if height * width > most * 1e9:
        raise RefusedError(
            name,
            found=f"{width:,} x {height:,} pixels",
            wanted=f"at most {most:g} billion",
            remedy=f"crop it, or set {RASTER_GPX} higher if you trust the file",
        )


def _open_alone(path: str) -> DatasetReader:
    """The dataset, opened by none of the drivers that name others; of a VRT, what it names was looked at before."""
    here = local_path(path)
    head = b"" if here is None else head_of(here)
    if here is not None and is_vrt(head):
        for file in vrt_sources(here):
            _refuse_large_block(path, largest_block_bytes(file))
        drivers = ["VRT"]
    else:
        with rasterio.Env() as env:
            drivers = sorted(set(env.drivers()) - _NAMING_OTHERS)
    try:
        # rasterio.open takes one driver only; the dataset itself takes a list.
        dataset = ensure_env_with_credentials(DatasetReader)(path, driver=drivers)
    except RasterioError as error:
        text = head.lstrip()[:1] in {b"<", b"{"} and "supported file format" in str(error)
        if text or (here is None and path.lower().endswith(".vrt")) or path.startswith("vrt://"):
            raise RefusedError(
                path,
                found="a file that names others (a service, a catalogue, a VRT that is not on this disk)",
                wanted="a raster",
                remedy=f"copy what it names, or set {TRUST}=1 if you trust it",
            ) from error
        raise
    return dataset


def _read_head(dataset: DatasetReader) -> None:
    """Reads the head now: where GDAL gives up on a part of it, the first question is answered by an error of no class.

    Raises RasterioIOError where it does.
    """
    try:
        for fact in ("crs", "transform", "gcps", "colorinterp", "nodatavals", "descriptions"):
            getattr(dataset, fact)
        if dataset.transform.is_identity:  # RPCs may lie in files beside: a server is asked for 36 names of them
            _ = dataset.rpcs
    except CPLE_BaseError as error:
        raise RasterioIOError(str(error)) from error


def _refuse_strange_overviews(path: str, dataset: DatasetReader) -> None:
    """Raises RefusedError where overviews or masks are not in the file nor in a TIFF beside it."""
    named = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    here = local_path(path)
    beside = [] if here is None else _beside(here)
    strange = named or next((file.name for file in beside if head_of(file).lstrip()[:1] == b"<"), None)
    if strange:
        remedy = f"take it away, or set {TRUST}=1 if you trust it"
        raise RefusedError(path, found=f"overviews in {strange}", wanted="some in the file itself", remedy=remedy)


def _refuse_costly(path: str, dataset: DatasetReader) -> None:
    """Raises RefusedError where one block of the image, its overviews or its mask takes too much memory."""
    _refuse_large_block(path, _block_bytes(dataset))
    here = local_path(path)
    if here is not None:
        for file in (here, *_beside(here)):
            if file.is_file():
                _refuse_large_block(path, largest_block_bytes(file))
        return
    for level in range(len(dataset.overviews(1)) if dataset.count and dataset.driver == "GTiff" else 0):
        with rasterio.open(path, overview_level=level) as overview:
            _refuse_large_block(path, _block_bytes(overview))


def _beside(file: Path) -> list[Path]:
    """Where GDAL looks for overviews and masks of a file."""
    return [file.with_name(file.name + suffix) for suffix in _BESIDE]


def _block_bytes(dataset: DatasetReader) -> int:
    """Of the largest block, decoded, with the bands that are stored in it together."""
    together = dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL" else 1
    whole = dataset.height * dataset.width if dataset.driver in _WHOLE else 0
    pixels = max((max(rows * columns, whole) for rows, columns in dataset.block_shapes), default=0)
    sizes = (4 if dtype == "complex_int16" else np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    return pixels * together * max(sizes, default=0)


def _refuse_large_block(path: str, size: int) -> None:
    most = _limit(BLOCK_MB)
    if size > most * (1 << 20):
        raise RefusedError(
            path,
            found=f"a strip or tile of {size / (1 << 20):,.0f} MB, decoded",
            wanted=f"at most {most:g} MB",
            remedy=f"gdal_translate -co TILED=YES on another machine, or set {BLOCK_MB} higher if you trust the file",
        )


def _limit(name: str) -> float:
    told = os.environ.get(name)
    try:
        limit = _DEFAULTS[name] if told is None else float(told)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise RefusedError(
            name, found=repr(told), wanted="a number above 0", remedy=f"unset it: {_DEFAULTS[name]:g} holds"
        )
    return limit
