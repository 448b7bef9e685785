"""libtiff kept from standard error: what it has to say reaches us as GDAL's error as well.

GDAL takes libtiff's messages, but for those of its own writes to the disk, which libtiff prints itself, past everybody,
once for each block that a full disk refuses.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil


@cache
def hush() -> None:
    """No copy of libtiff in this process prints any more; where they cannot be found, nothing changes."""
    with suppress(psutil.Error, AttributeError):  # macOS does not tell what a process has loaded
        loaded = {one.path for one in psutil.Process().memory_maps() if "libtiff" in Path(one.path).name}
        for path in loaded:
            with suppress(OSError, AttributeError):
                ctypes.CDLL(path).TIFFSetErrorHandler(None)
