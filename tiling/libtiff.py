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

_MAPS = Path("/proc/self/maps")


@cache
def hush() -> None:
    """No copy of libtiff in this process prints any more; where they cannot be found, nothing changes."""
    for path in {path for path in _loaded() if "libtiff" in Path(path).name}:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(path).TIFFSetErrorHandler(None)


def _loaded() -> list[str]:
    """Paths of what this process has loaded; none where the system does not tell, as macOS."""
    with suppress(OSError):  # psutil asks Linux for the size of each as well, a fifth of a second under torch
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
        return [path for line in lines for path in line.split(maxsplit=5)[5:]]
    with suppress(psutil.Error, AttributeError):
        return [one.path for one in psutil.Process().memory_maps()]
    return []
