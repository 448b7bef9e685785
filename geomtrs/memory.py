"""The most memory that a run had, over all of its processes: the sum of their proportional set sizes."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from contextlib import suppress
from types import TracebackType

import psutil

from geomtrs.errors import QueryError

# One look costs a few milliseconds where the process is large; blocks last seconds.
INTERVAL_S = 0.25
# What comes beside the blocks: Dask, GDAL's cache, rasters and pictures after them (measured over 14000 x 14000 px).
RESERVE_BYTES = 350_000_000


def now() -> int:
    """Bytes of this process and its children; shared pages count once (PSS), or fully where the system cannot say."""
    root = psutil.Process(os.getpid())
    return sum(_size(process) for process in (root, *root.children(recursive=True)))


def left_for_blocks(promise: int) -> int:
    """Bytes that blocks at work may take, so that all processes together keep the promise.

    Raises QueryError where what is loaded already leaves nothing.
    """
    left = promise - now() - RESERVE_BYTES
    if left <= 0:
        raise QueryError(
            "--memory",
            found=f"{promise / 1e6:.0f} MB",
            wanted=f"at least {(promise - left) / 1e6 + 50:.0f} MB for this model and these images",
            remedy="promise more, or leave it out",
        )
    return left


def give_back() -> None:
    """Hands the pages of freed arrays back to the system, where glibc would keep them for each thread that is gone.

    Measured: 600 instead of 740 MB at the end of a run over 8000 x 8000 px. Elsewhere the allocator does as it likes.
    """
    gc.collect(1)  # arrays in young cycles; a walk over all of torch would take longer than writing a raster
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library without it, musl for one
            ctypes.CDLL(None).malloc_trim(0)


class PeakMemory:
    """A context that watches from a thread of its own; `bytes` is the peak so far."""

    def __init__(self) -> None:
        """Nothing is watched until it is entered."""
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="geomtrs-memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        """Start watching."""
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching, after one last look."""
        self._done.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._done.wait(INTERVAL_S):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, now())


def _size(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
    except psutil.AccessDenied:
        return _resident(process)
    except psutil.Error:  # it ended while we looked
        return 0
    return int(getattr(info, "pss", 0) or info.rss)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
