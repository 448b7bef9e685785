"""What an earlier answer left in the folder of a new one, and what of it goes."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from geomtrs.outputs import checksums
from geomtrs.outputs.record import read_run
from geomtrs.state import hidden
from tiling.errors import OutputError

ASKED = "ask-"  # how folders of further sentences begin, in that of the run whose features they were asked of
_RECORDS = ("checksums.json", "run.json", "item.json", "project.qgz", "failures.geojson")


def forget_earlier(folder: Path, *, but: Collection[str], read: Collection[str]) -> None:
    """Neither the records of an earlier answer are left, which are not true any more, nor files that it alone had.

    but   names of what is written anew, and replaced only then
    read  paths that the new run reads: they stay, with the files beside them

    Answers to further sentences go with it, since the features that they were asked of go. What neither listed as its
    own stays.
    """
    needed = {(path.parent, path.stem) for path in map(Path, read)}
    if checksums.listed(folder):
        for further in _further(folder):
            _forget(further, (), needed)
            with suppress(OSError):  # it holds something that is the user's
                further.rmdir()
    _forget(folder, but, needed)


def _further(folder: Path) -> list[Path]:
    """Folders of finished runs that were asked of the features of this one."""
    return [path for path in folder.glob(f"{ASKED}*") if not hidden(path).exists() and _asked(path)]


def _asked(folder: Path) -> bool:
    try:
        return read_run(folder)["job"]["spec"]["features"] is not None
    except (OutputError, KeyError, TypeError):
        return False


def _forget(folder: Path, but: Collection[str], needed: Collection[tuple[Path, str]]) -> None:
    gone = checksums.listed(folder) - set(but)
    for path in list(folder.iterdir()):
        if path.name in gone and (path.parent, path.stem) not in needed:
            path.unlink()
    for record in _RECORDS:
        (folder / record).unlink(missing_ok=True)
