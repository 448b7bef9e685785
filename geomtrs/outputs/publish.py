"""Small whole files, put under their final name only once they are on disk and read back equal.

Everything that fits in memory (PNG, JSON) goes through here; COGs and vector layers do the same in their own writers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from tiling.errors import OutputError
from tiling.room import unwritten
from tiling.store import sync_folder

# What this module, the vector layers and the COGs are called until they are whole: each name has its process in it.
_PART = re.compile(r"\..+\.\d+(-[0-9a-f]{8}\..+|\.(working|cog)\.tif.*)")


def publish(path: Path, content: bytes) -> None:
    """The file holds exactly `content`; a reader sees the old file or the new one, never a part.

    Written beside the target, flushed to disk, read back and compared, then renamed. Raises DiskFullError, OutputError
    when the folder cannot be written or the bytes read back differ; nothing is left behind then.
    """
    temporary = path.with_name(f".{path.name[:60]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        # Opened plainly: an output gets the permissions of any other file, which mkstemp would not give.
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if temporary.read_bytes() != content:
            raise OutputError(
                path,
                found="other bytes when read back than were written",
                wanted=f"{len(content)} bytes as written",
                remedy="check the disk, then run again",
            )
        temporary.replace(path)
        sync_folder(path.parent)
    except OutputError:
        raise
    except OSError as error:
        raise unwritten(path, error, len(content)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sweep(folder: Path) -> None:
    """No part of an output is left by a process that was killed; for whoever alone writes there."""
    for path in folder.glob(".*"):
        if _PART.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def json_bytes(document: Mapping[str, object]) -> bytes:
    """The document as UTF-8 JSON, indented, one way only: equal documents give equal bytes.

    Raises ValueError for NaN and infinities, which JSON does not know.
    """
    return (json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()
