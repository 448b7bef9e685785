"""Masks as others write them: COCO's run lengths and polygons, Label Studio's brush; each read back as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rasterio.features
import shapely

from geomtrs.craft.protocols import Bool

_RUN_BITS = (3, 4, 8, 16)  # of the lengths in a run-length code of Label Studio
_HALF = 127  # of the brush's 255, from which a pixel counts


def coco_rle(mask: Bool) -> dict[str, list[int]]:
    """The mask as COCO's uncompressed run lengths: column by column, beginning with what is outside."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs: list[int] = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def brush_rle(mask: Bool) -> list[int]:
    """The mask as Label Studio's brush: bytes of the run-length code of its RGBA picture, 255 inside and 0 outside."""
    flat = np.repeat(mask.ravel(), 4)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    parts = [f"{flat.size:032b}", f"{7:05b}", *(f"{bits - 1:04b}" for bits in _RUN_BITS)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value, left = "11111111" if flat[start] else "00000000", length
        while left:
            now = min(left, 1 << _RUN_BITS[-1])
            size = next(i for i, bits in enumerate(_RUN_BITS) if now <= 1 << bits)
            parts.append(f"1{size:02b}{now - 1:0{_RUN_BITS[size]}b}{value}")
            left -= now
    text = "".join(parts)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def of_coco(told: Mapping[str, Any] | Sequence[Sequence[float]], shape: tuple[int, int]) -> Bool:
    """(H, W) of a segmentation: run lengths, written out or packed in a text, or polygons by the centres of pixels.

    Raises ValueError where it is none, or of another size.
    """
    if not isinstance(told, Mapping):
        outlines = [shapely.Polygon(np.reshape(one, (-1, 2))) for one in told]
        return np.asarray(rasterio.features.rasterize(outlines, shape), bool) if outlines else np.zeros(shape, bool)
    counts = told["counts"]
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if tuple(told["size"]) != shape or sum(runs) != shape[0] * shape[1] or min(runs) < 0:
        raise ValueError(f"run lengths of {told['size']}, wanted {shape}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(flat.reshape(shape[::-1]).T)


def of_brush(code: Sequence[int], shape: tuple[int, int]) -> Bool:
    """(H, W) of a brush of Label Studio: the first channel of its RGBA picture. Raises ValueError where it is none."""
    bits = "".join(f"{byte:08b}" for byte in code)
    try:
        length, word = int(bits[:32], 2), int(bits[32:37], 2) + 1
        sizes = [int(bits[37 + 4 * i : 41 + 4 * i], 2) + 1 for i in range(4)]
        at, values = 53, bytearray()
        while len(values) < length:
            series, size = bits[at] == "1", sizes[int(bits[at + 1 : at + 3], 2)]
            run = int(bits[at + 3 : at + 3 + size], 2) + 1
            at += 3 + size
            for _ in range(1 if series else run):
                values += bytes([int(bits[at : at + word], 2)]) * (run if series else 1)
                at += word
    except (IndexError, ValueError) as error:
        raise ValueError("a brush that is cut off") from error
    if length != 4 * shape[0] * shape[1]:
        raise ValueError(f"a brush of {length // 4} pixels, wanted {shape}")
    return np.frombuffer(bytes(values[:length]), np.uint8).reshape(*shape, 4)[..., 0] > _HALF


def _unpacked(text: str) -> list[int]:
    """Run lengths of a text of COCO: five bits a character from 48 on, lowest first; from the fourth on differences."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
