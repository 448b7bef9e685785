"""Room on a disk: one wording for what could not be written, whoever noticed, GDAL, SQLite, Arrow or the system."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from tiling.errors import DiskFullError, OutputError, TilingError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FREE_SOME = "free some space, then run the same again: what is finished is kept"


def free_bytes(folder: Path) -> int | None:
    """What the disk of a folder has left; None where the folder cannot be asked."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def unwritten(
    path: Path,
    error: Exception,
    nbytes: int,
    *,
    kind: type[TilingError] = OutputError,
    remedy: str = "check the folder and its rights, or choose another",
) -> TilingError:
    """The error for a file that was not written: DiskFullError for want of room, else one of `kind`.

    nbytes  what the file takes, about
    remedy  where room is not what is wanting

    The system tells by a number, libraries in words of their own; so where there is no number the disk is asked, while
    what was written in part still lies there.
    """
    reason = (isinstance(error, OSError) and error.strerror) or str(error.__cause__ or error) or type(error).__name__
    free = free_bytes(path.parent)
    known = error.errno if isinstance(error, OSError) else None
    if known in _FULL or (known is None and free is not None and free < nbytes):
        return no_room(path, reason if known else f"a full disk, {free:,} bytes free", nbytes)
    wanted = f"a folder that can be written, with room for {nbytes:,} bytes"  # a quota looks like room to who asks
    return kind(path, found=reason, wanted=wanted, remedy=remedy)


def no_room(path: Path, found: str, nbytes: int) -> DiskFullError:
    """The error for a file that the disk has no room for."""
    return DiskFullError(path, found=found, wanted=f"room for {nbytes:,} bytes", remedy=_FREE_SOME)
