"""A folder that is whole or is not there."""

from __future__ import annotations

import glob
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from geomtrs.errors import DataError


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` to write in, which takes its name at the end, or is removed after an error.

    Each process writes in one of its own; of several that make the same folder the first has it. What a process of this
    machine left that is gone is removed. Raises DataError where `folder` holds something already, at the end too, or
    cannot be made.
    """
    _refuse_full(folder)
    refuse_unwritable(folder)
    folder = folder.absolute()
    temporary = _temporary(folder)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _refuse_full(folder)
        if folder.exists() and folder.samefile(Path.cwd()):  # who works in it stays there
            for path in temporary.iterdir():
                path.rename(folder / path.name)
            return
        if folder.exists():
            folder.rmdir()
        try:
            temporary.rename(folder)
        except OSError:  # another was quicker by so little
            _refuse_full(folder)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_full(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(folder, found="something there", wanted="a new folder", remedy="name another, or move it away")


def _temporary(folder: Path) -> Path:
    """That of this process, not there yet; those of the dead are removed, unless of another machine: who knows."""
    stem, host = f".{folder.name[:50]}", socket.gethostname()[:30]  # as long as file systems take
    for left in folder.parent.glob(f"{glob.escape(stem)}.*-*.part"):
        its_host, _, pid = left.name.removeprefix(f"{stem}.").removesuffix(".part").rpartition("-")
        mine = its_host == host and pid.isdecimal()
        if mine and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    return folder.with_name(f"{stem}.{host}-{os.getpid()}.part")


def refuse_unwritable(folder: Path) -> None:
    """Raises DataError where that folder cannot be made or written in; nothing is made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        found = "a folder that is not yours to write in" if there.is_dir() else "a file"
        raise DataError(there, found=found, wanted=f"a place for {folder.name}", remedy="name another with --out")
