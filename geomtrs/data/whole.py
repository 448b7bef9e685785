"""A folder that is whole or is not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geomtrs.errors import DataError


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` to write in, which takes its name at the end, or is removed after an error.

    Raises DataError where `folder` holds something already, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(folder, found="something there", wanted="a new folder", remedy="name another, or move it away")
    refuse_unwritable(folder)
    folder = folder.absolute()
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists() and folder.samefile(Path.cwd()):  # who works in it stays there
            for path in temporary.iterdir():
                path.rename(folder / path.name)
            return
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_unwritable(folder: Path) -> None:
    """Raises DataError where that folder cannot be made or written in; nothing is made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        found = "a folder that is not yours to write in" if there.is_dir() else "a file"
        raise DataError(there, found=found, wanted=f"a place for {folder.name}", remedy="name another with --out")
