"""TIFFs that claim more than they hold: a header written by hand, a few bytes of data behind it."""

from __future__ import annotations

import struct
from pathlib import Path

_PLACE = [
    (33550, 12, struct.pack("<3d", 2, 2, 0)),  # pixel size
    (33922, 12, struct.pack("<6d", 0, 0, 0, 500_003.5, 5_100_007.25, 0)),  # upper left corner
    (34735, 3, struct.pack("<16H", 1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)),  # EPSG:32633
]
_SIZES = {3: 2, 4: 4, 12: 8}
_DEFLATE = 8


def claim(
    path: Path, width: int, height: int, *, block: tuple[int, int] | None = None, rows: int = 0, data: bytes = b""
) -> Path:
    """A TIFF of three bytes a pixel in tiles of ``block`` (rows, columns), or strips of ``rows``, all of one data."""
    tags = [(256, 4, _long(width)), (257, 4, _long(height)), (258, 3, struct.pack("<3H", 8, 8, 8))]
    tags += [(259, 3, _short(_DEFLATE)), (262, 3, _short(2)), (277, 3, _short(3)), (284, 3, _short(1)), *_PLACE]
    if block is None:
        count = -(-height // rows)
        tags.append((278, 4, _long(rows)))
    else:
        count = -(-height // block[0]) * -(-width // block[1])
        tags += [(322, 4, _long(block[1])), (323, 4, _long(block[0]))]
    offsets, sizes = (273, 279) if block is None else (324, 325)
    head = 8 + 2 + 12 * (len(tags) + 2) + 4
    place = head + sum(len(value) for _, _, value in tags if len(value) > 4) + 2 * (4 * count if count > 1 else 0)
    tags += [(offsets, 4, _long(place) * count), (sizes, 4, _long(len(data)) * count)]
    entries, values = b"", b""
    for tag, kind, value in sorted(tags):
        entries += struct.pack("<HHI", tag, kind, len(value) // _SIZES[kind])
        entries += value.ljust(4, b"\0") if len(value) <= 4 else _long(head + len(values))
        values += value if len(value) > 4 else b""
    path.write_bytes(b"II*\0" + _long(8) + struct.pack("<H", len(tags)) + entries + _long(0) + values + data)
    return path


def patched(path: Path, target: Path, tag: int, index: int, value: int) -> Path:
    """A copy of a classic little-endian TIFF with one value of one tag replaced."""
    content = bytearray(path.read_bytes())
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        found, kind, number, where = struct.unpack_from("<HHII", content, entry)
        if found == tag:
            start = where if number * _SIZES[kind] > 4 else entry + 8
            struct.pack_into("<H" if kind == 3 else "<I", content, start + index * _SIZES[kind], value)
            target.write_bytes(content)
            return target
    raise ValueError(f"no tag {tag} in {path}")


def _long(value: int) -> bytes:
    return struct.pack("<I", value)


def _short(value: int) -> bytes:
    return struct.pack("<H", value)
