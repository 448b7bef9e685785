"""Audited polygons of a run as labelled pairs to learn from, in the folder format of `geomtrs.data.pairs`.

The scene is cut into squares that share no pixel. A square is written when somebody decided about something in it and
nothing in it still waits: its mask holds the accepted polygons, as they were mended, and not the rejected ones.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.windows import Window

from geomtrs.craft.audit.agreement import last_words, settle
from geomtrs.craft.audit.answers import Answer, RunAnswers, burnt
from geomtrs.craft.audit.decisions import Decision, mended_mask
from geomtrs.craft.protocols import Bool
from geomtrs.data.whole import whole_folder
from geomtrs.errors import DataError
from geomtrs.outputs.encoding import png, webp
from tiling.mosaic import GDAL_CACHE_BYTES

TILE_PX = 256
LEAST_PX = 64  # of a square at the edge of the scene
VAL = 5  # of so many squares one is kept for measuring


@dataclass(frozen=True, slots=True)
class Written:
    """Squares written, and squares left out because something in them still waits or was missed and not drawn."""

    squares: int
    waiting: int


def write_labels(folder: Path, out: Path) -> Written:
    """The audited squares of a run under `out`, a set a sentence, as `geomtrs data pack` reads them.

    Raises DataError where `out` holds something or nothing was decided. Nothing is left behind then.
    """
    run = RunAnswers(folder)
    with whole_folder(out) as temporary:
        waiting = [_write_set(run, answer, temporary / answer.name) for answer in run.answers]
        squares = len(list(temporary.glob("*/mask/*.png")))
        if not squares:
            raise DataError(
                folder, found="no square in which everything is decided", wanted="one at least",
                remedy="geomtrs audit DIR, then again",
            )  # fmt: skip
    return Written(squares, sum(waiting))


def _write_set(run: RunAnswers, answer: Answer, out: Path) -> int:
    """Writes what is decided about one answer; how many squares wait."""
    words = settle(last_words(run.folder), lambda word: _mask(run, word)).decisions
    rows = {row: words.get(run.polygon_id(answer, row)) for row in range(len(answer.outlines))}
    tree, waiting, facts = shapely.STRtree(answer.outlines), 0, []
    for window in _squares(run.stack.geobox.shape):
        within = tree.query(shapely.box(*window_bounds(window)), predicate="intersects").tolist()
        said = {row: rows[row] for row in within}
        if not any(said.values()):
            continue
        if not all(said.values()):
            waiting += 1
            continue
        mask = np.zeros((window.height, window.width), bool)
        for row, word in said.items():
            assert word is not None
            if word.verdict == "accept":
                mask |= _part(run, answer, row, word, window)
        facts.append(_write_square(run, answer, window, mask, out))
    if facts:
        (out / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in facts), encoding="utf-8")
    return waiting


def _part(run: RunAnswers, answer: Answer, row: int, word: Decision, window: Window) -> Bool:
    """(H, W) of a square: what it holds of an accepted polygon, as it was mended."""
    if word.mask is None:
        return burnt(answer.outlines[row], window)
    place = run.places[word.item]
    whole = np.zeros((window.height, window.width), bool)
    mended = mended_mask(run.folder, word.mask).repeat(place.factor, 0).repeat(place.factor, 1)
    down, across = int(place.window.row_off - window.row_off), int(place.window.col_off - window.col_off)
    top, left = max(0, down), max(0, across)
    bottom, right = min(window.height, down + place.window.height), min(window.width, across + place.window.width)
    if top < bottom and left < right:
        whole[top:bottom, left:right] = mended[top - down : bottom - down, left - across : right - across]
    return whole


def _write_square(run: RunAnswers, answer: Answer, window: Window, mask: Bool, out: Path) -> dict[str, object]:
    """Writes both dates and the mask; what is known of the square."""
    name = f"{window.row_off}_{window.col_off}"
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        pixels = run.stack.read(window).pixels
    for side, date in zip("AB", answer.dates, strict=True):
        (out / side).mkdir(parents=True, exist_ok=True)
        (out / side / f"{name}.webp").write_bytes(webp(np.moveaxis(pixels[date], 0, -1)))
    (out / "mask").mkdir(exist_ok=True)
    (out / "mask" / f"{name}.png").write_bytes(png(mask.astype(np.uint8) * np.uint8(255)))
    metres = run.run["grid"]["pixel_m"]
    lot = hashlib.blake2b(name.encode(), digest_size=2).digest()
    return {
        "name": name, "scene": f"{run.title}_{name}", "gsd_m": None if metres is None else max(metres),
        "split": "val" if int.from_bytes(lot) % VAL == 0 else "train", "direction": None, "sentence": answer.query,
    }  # fmt: skip


def _mask(run: RunAnswers, word: Decision) -> Bool:
    if word.mask:
        return mended_mask(run.folder, word.mask)
    place = run.places.get(word.item)
    if place is None or place.outline is None:  # of a sample's window, or of a run before this one
        return np.zeros((1, 1), bool)
    return burnt(place.outline, place.window, place.factor)


def _squares(shape: Sequence[int]) -> Iterator[Window]:
    height, width = shape
    for top, left in itertools.product(range(0, height, TILE_PX), range(0, width, TILE_PX)):
        window = Window(left, top, min(TILE_PX, width - left), min(TILE_PX, height - top))
        if min(window.width, window.height) >= LEAST_PX:
            yield window


def window_bounds(window: Window) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels of the grid."""
    return window.col_off, window.row_off, window.col_off + window.width, window.row_off + window.height
