"""What the directories of a TIFF say of its blocks, read without GDAL: some ten thousand files in a second."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SPLIT_ROWS = 2000
"""A lone strip that is taller GDAL reads, and shows, row by row."""

_MOST_DIRECTORIES = 64
_MOST_TAGS = 4096
_FORMATS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # of the types that sizes are written in
_WIDTH, _HEIGHT, _BITS, _SAMPLES, _STRIP_ROWS, _PLANAR = 256, 257, 258, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_WANTED = {_WIDTH, _HEIGHT, _BITS, _SAMPLES, _STRIP_ROWS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT}


def largest_block_bytes(path: Path) -> int:
    """Bytes of the largest block, decoded, of all images, overviews and masks in a TIFF; 0 where the file is none.

    What cannot be followed is left to GDAL, which refuses it when it is read.
    """
    with path.open("rb") as file:
        return max((_block_bytes(tags) for tags in _directories(file)), default=0)


def _directories(file: BinaryIO) -> Iterator[dict[int, int]]:
    """The first value of each wanted tag, directory by directory."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return
    version = struct.unpack_from(f"{order}H", head, 2)[0]
    if version not in (42, 43) or (version == 43 and len(head) < 16):
        return
    big = version == 43
    place = struct.unpack_from(f"{order}Q", head, 8)[0] if big else struct.unpack_from(f"{order}I", head, 4)[0]
    count_format, entry_format, link_format = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    seen: set[int] = set()
    while place and place not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(place)
        try:
            file.seek(place)
            (count,) = struct.unpack(order + count_format, file.read(struct.calcsize(order + count_format)))
            entries = [file.read(20 if big else 12) for _ in range(min(count, _MOST_TAGS))]
            (place,) = struct.unpack(order + link_format, file.read(struct.calcsize(order + link_format)))
            told = [struct.unpack(order + entry_format, entry) for entry in entries]
            yield {tag: _first(file, order, kind, number, at) for tag, kind, number, at in told if tag in _WANTED}
        except (struct.error, OSError, OverflowError, KeyError):
            return


def _first(file: BinaryIO, order: str, kind: int, number: int, at: bytes) -> int:
    """The first value of an entry: in it, or where it points to when they are too many for it."""
    layout = order + _FORMATS[kind]
    if struct.calcsize(layout) * number > len(at):
        file.seek(struct.unpack(order + ("Q" if len(at) == 8 else "I"), at)[0])
        at = file.read(8)
    return int(struct.unpack_from(layout, at)[0])


def _block_bytes(tags: dict[int, int]) -> int:
    width, height = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    together = tags.get(_SAMPLES, 1) if tags.get(_PLANAR, 1) == 1 else 1
    rows = min(tags.get(_STRIP_ROWS, height), height)
    if rows == height and height > SPLIT_ROWS:
        rows = 1
    pixels = tags[_TILE_WIDTH] * tags.get(_TILE_HEIGHT, 0) if _TILE_WIDTH in tags else width * rows
    return pixels * together * max(1, tags.get(_BITS, 1) // 8)
