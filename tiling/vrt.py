"""Which files a VRT names: on this machine alone, by plain names, and no code to run.

A VRT on the user's own disk may name any file there, beside it or elsewhere: gdalbuildvrt writes such names, and
whoever could put the VRT there could have put copies of the files. It may not make GDAL speak to servers, run Python,
read a file that is no raster, or hand a name to a driver of its choice. A VRT that lies elsewhere may name nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tiling.errors import SourceError

TRUST = "GEOMTRS_TRUST_REFERENCES"
"""The variable of the environment by which files may name others in any way."""

HEAD_BYTES = 1024
"""So far into a file GDAL looks for the start of a VRT."""

_DEEPEST = 4  # a VRT of VRTs of VRTs of rasters
_FILES = {"sourcefilename", "sourcedataset", "dempath", "sourceuri"}  # GDAL takes element names in any case
_SUBCLASSES = {"vrtrawrasterband": "a band of raw bytes", "vrtprocesseddataset": "processing steps"}
_DRIVER_SPEAKS = re.compile(r"\s*([A-Za-z][\w+.-]+:|<|[/\\]vsi|\\\\)", re.IGNORECASE)
_ADDRESS = re.compile(r"://|[/\\]vsi[a-z0-9]+[/\\]", re.IGNORECASE)
_TILE_INDEX = re.compile(r"\.gti(\.\w+)?$", re.IGNORECASE)


def head_of(path: Path) -> bytes:
    """The first bytes of a file; nothing where there is none. Raises SourceError for a pipe or a device."""
    if path.is_file():
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    if path.exists() and not path.is_dir():
        raise SourceError(path, found="a pipe or a device", wanted="a raster file", remedy="copy it to a file")
    return b""


def is_vrt(head: bytes) -> bool:
    """Whether GDAL takes a file that begins so for a VRT."""
    return b"<VRTDataset" in head


def is_markup(head: bytes) -> bool:
    """Whether a file that begins so is XML or JSON, after a mark of its byte order."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"<", b"{", b"["}


def vrt_sources(path: Path) -> list[Path]:
    """The files that a VRT reads, those of VRTs in it included, each once.

    Raises SourceError for whatever it may not name, and for one that GDAL might read otherwise than we do.
    """
    found: dict[Path, None] = {}
    _collect(path, found, deep=1)
    return list(found)


def _collect(path: Path, found: dict[Path, None], *, deep: int) -> None:
    if deep > _DEEPEST:
        raise _refused(path, f"a VRT {deep} deep in others")
    for name, value in _said(path):
        _refuse_strangers(path, name, value)
        if name not in _FILES or not value.strip():
            continue
        for place in {path.absolute().parent / value, Path(value).absolute()}:  # relativeToVRT or not
            head = head_of(place)
            if not head or place in found:
                continue
            found[place] = None
            if is_vrt(head):
                _collect(place, found, deep=deep + 1)
            elif is_markup(head) or _TILE_INDEX.search(value):
                raise _refused(path, f"{value}, which is no raster but names others")


def _said(path: Path) -> Iterator[tuple[str, str]]:
    """Elements and attributes with what they hold, names in lower case, without free metadata, which names nothing."""
    with path.open("rb") as file:
        if any(b"<!DOCTYPE" in chunk.upper() for chunk in iter(lambda: file.read(1 << 20), b"")):
            raise _refused(path, "a document type")
    free = 0
    try:
        for event, element in ElementTree.iterparse(path, events=("start", "end")):
            name = element.tag.rpartition("}")[2].lower()
            is_free = name == "metadata" and not {key.lower() for key in element.attrib} - {"format"}
            if event == "start":
                free += is_free
                continue
            if not free:
                yield name, "".join([element.text or "", *(child.tail or "" for child in element)])
                yield from ((key.rpartition("}")[2].lower(), value) for key, value in element.attrib.items())
            free -= is_free
            tail = element.tail  # text of its parent
            element.clear()
            element.tail = tail
    except ElementTree.ParseError as error:
        raise _refused(path, f"XML that is not well formed ({error})") from error


def _refuse_strangers(path: Path, name: str, value: str) -> None:
    if name in {"pixelfunctioncode", "pixelfunctionlanguage"} and value.strip().lower() not in {"", "c"}:
        raise _refused(path, "a pixel function with code of its own")
    if name == "subclass" and value.strip().lower() in _SUBCLASSES:
        raise _refused(path, _SUBCLASSES[value.strip().lower()])
    if _ADDRESS.search(value) or (name in _FILES and _DRIVER_SPEAKS.match(value)):
        raise _refused(path, " ".join(value.split())[:120])


def _refused(path: Path, found: str) -> SourceError:
    return SourceError(
        path,
        found=f"a VRT with {found}",
        wanted="one that names files of this machine alone",
        remedy=f"gdal_translate it to a GeoTIFF, or set {TRUST}=1 if you trust it",
    )
