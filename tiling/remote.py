"""Rasters behind an address: how long a request may take, and how often one that failed is made again."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import rasterio
from rasterio.errors import RasterioError

from tiling.errors import RefusedError, SourceError
from tiling.retry import tried

T = TypeVar("T")

ATTEMPTS = 4
"""So often a remote file is opened and read before it is given up."""

PATIENCE_S = 45.0
"""After so long no further attempt begins, so that a server that stalls is given up within about a minute."""

_FIRST_PAUSE_S = 0.2
_PATIENCE = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_LOW_SPEED_TIME": "10",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.1",
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # else half an answer is kept, and read again when the file is reopened
    "GTIFF_USE_DEFER_STRILE_LOADING": "NO",  # see tiling.guard; overviews are opened while they are read
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",  # no listing; EMPTY_DIR would lose a mask that lies beside a file
}


def is_remote(path: str) -> bool:
    """Whether a path is an address that GDAL asks a server for."""
    return "://" in path or path.startswith(("/vsicurl", "/vsis3", "/vsigs", "/vsiaz"))


def patiently(work: Callable[[], T], forget: Callable[[], None] = lambda: None) -> T:
    """What `work` makes of a remote file, under bounds of time, tried again a few times; `forget` comes in between.

    The one loop there is: `work` opens and reads by itself, and is not made of what is tried again already.
    What the environment says of these options goes first. Raises what the last attempt raised.
    """
    told = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    with rasterio.Env(**told):  # options belong to a thread
        return tried(
            work,
            attempts=ATTEMPTS,
            pause_s=_FIRST_PAUSE_S,
            failures=(RasterioError, OSError, SourceError),
            final=(RefusedError,),
            between=forget,
            within_s=PATIENCE_S,
        )
