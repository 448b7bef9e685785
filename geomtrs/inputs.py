"""What the files of a run were when it began, so that it is never continued or repeated over others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geomtrs.arrays import PREFIX
from geomtrs.dates import Dated, of_files
from tiling.errors import OptionError, SourceError
from tiling.grid import open_quietly

HEADER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file as it was: size in bytes, time of its last change, BLAKE2b of its first 64 KiB; None where remote."""

    path: str
    size: int | None = None
    mtime_ns: int | None = None
    header: str | None = None

    @property
    def content(self) -> tuple[str, int | None, str | None]:
        """What makes it the same file wherever its clock stands."""
        return self.path, self.size, self.header

    def to_dict(self) -> dict[str, Any]:
        """As job.json and run.json keep it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> InputFile:
        """What `to_dict` wrote."""
        return cls(**document)


def fingerprint(paths: Iterable[str]) -> tuple[InputFile, ...]:
    """Each file once, in order; a raster made of others (VRT, sidecar masks) is followed by them."""
    seen: dict[str, InputFile] = {}
    for path in paths:
        for part in (path, *_parts(path)):
            if part not in seen:
                seen[part] = _look(part)
    return tuple(seen.values())


def refuse_missing(paths: Iterable[str], area: str | None) -> None:
    """Raises SourceError for a file of this machine that is not there, OptionError where it is that of the area.

    What only GDAL can find is left to it.
    """
    for path in map(Path, paths):
        if path.is_absolute() and ":" not in path.name and not str(path).startswith("/vsi") and not path.exists():
            kind = OptionError if str(path) == area else SourceError
            raise kind(path, found="no such file", wanted="a file that can be read", remedy="check the path")


def changes(before: Sequence[InputFile], now: Sequence[InputFile]) -> tuple[str, ...]:
    """Which inputs are not what they were, each in a few words."""
    found = {file.path: file for file in now}
    told = []
    for file in before:
        other = found.get(file.path)
        if other is None:
            told.append(f"input {file.path}: no longer used")
        elif other.content != file.content:
            told.append(f"input {file.path}: {other.size} bytes now, {file.size} then, other content")
        elif other.mtime_ns != file.mtime_ns:
            told.append(f"input {file.path}: changed since")
    return (*told, *(f"input {path}: was not used" for path in found if path not in {file.path for file in before}))


def date_of(files: Sequence[str]) -> Dated:
    """When an acquisition was, by the names and tags of its files."""
    return of_files(files, _tags(files[0]))


def _look(path: str) -> InputFile:
    file = Path(path)
    try:
        facts = file.stat()
        with file.open("rb") as opened:
            head = opened.read(HEADER_BYTES)
    except OSError:  # a URL, a path inside an archive, a folder of a driver: GDAL reads it, we only name it
        return InputFile(path)
    return InputFile(path, facts.st_size, facts.st_mtime_ns, hashlib.blake2b(head, digest_size=16).hexdigest())


def _parts(path: str) -> tuple[str, ...]:
    """The files behind a raster. Statistics that a GIS puts beside it (.aux.xml) may come and go."""
    with _opened(path) as raster:
        return () if raster is None else tuple(str(file) for file in raster.files if not str(file).endswith(".aux.xml"))


def _tags(path: str) -> dict[str, str]:
    with _opened(path) as raster:
        return {} if raster is None else {**raster.tags(), **raster.tags(ns="IMAGERY")}


@contextmanager
def _opened(path: str) -> Iterator[DatasetReader | None]:
    """The raster; None for a vector file, and for one that open_stack refuses with better words."""
    if path.startswith(PREFIX):  # its name is made of what is in it
        yield None
        return
    try:
        raster = open_quietly(path)
    except (RasterioIOError, SourceError):
        yield None
        return
    with raster:
        yield raster
