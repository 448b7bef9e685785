"""Blocks and tiles of a raster: a pure function of its grid and a few numbers.

A tile is the unit of the model, a block of k × k tiles the unit of scheduling and of durability. Each has windows:

    core    pixels it alone answers for; cores partition the grid from its origin
    answer  core grown by the feather, the band where neighbouring tiles are cross-faded
    read    answer grown by the halo, which is context only

All are clipped to the grid. Tiles are counted over the scene, not over the block: each is computed exactly once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.windows import Window

from tiling.errors import GridError
from tiling.grid import geobox_from_dict, geobox_to_dict
from tiling.ground import aoi_px, elsewhere


@dataclass(frozen=True, slots=True)
class Tile:
    """One unit of the model. `row` and `col` count tiles of the whole grid; windows are in pixels of the grid."""

    row: int
    col: int
    core: Window  # pixels this tile answers for
    answer: Window  # core grown by the feather
    read: Window  # answer grown by the halo


@dataclass(frozen=True, slots=True)
class Block:
    """One unit of work: up to k × k tiles. `row` and `col` count blocks of the whole grid.

    core    the rectangle of the grid this block answers for, whether or not all of its tiles are in the plan
    answer  core grown by the feather
    read    what has to be read: the smallest window over the reads of its tiles
    tiles   those that touch the area of interest, in row-major order
    """

    row: int
    col: int
    core: Window
    answer: Window
    read: Window
    tiles: tuple[Tile, ...]

    @property
    def id(self) -> str:
        """Name of the block in the store and in messages, such as ``r003c012``."""
        return f"r{self.row:03d}c{self.col:03d}"


@dataclass(frozen=True)
class Plan:
    """All blocks that have to be answered, in row-major order.

    token  hash of everything else that decides the answer (inputs, settings, model, queries), given by the caller
    """

    geobox: GeoBox
    tile_px: int
    halo_px: int
    feather_px: int
    block_tiles: int
    token: str
    blocks: tuple[Block, ...]

    @property
    def core_px(self) -> int:
        """Side of a tile's core, in pixels."""
        return self.tile_px - 2 * (self.halo_px + self.feather_px)

    @property
    def block_px(self) -> int:
        """Side of a block's core, in pixels."""
        return self.core_px * self.block_tiles

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid, in pixels."""
        return int(self.geobox.shape[0]), int(self.geobox.shape[1])

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of tiles that cover the grid."""
        return _cells(self.shape[0], self.core_px), _cells(self.shape[1], self.core_px)

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of blocks that cover the grid, those out of the plan included."""
        return _cells(self.shape[0], self.block_px), _cells(self.shape[1], self.block_px)

    @property
    def tile_count(self) -> int:
        """Tiles of all blocks of the plan."""
        return sum(len(block.tiles) for block in self.blocks)

    @cached_property
    def id(self) -> str:
        """Hash (32 hex digits) of grid, tile numbers, tiles in the plan and token: equal ids, equal answers."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    @cached_property
    def _places(self) -> dict[tuple[int, int], int]:
        return {(block.row, block.col): index for index, block in enumerate(self.blocks)}

    def block_at(self, row: int, col: int) -> Block | None:
        """The block at this place of the block grid; None where the plan has none or the grid ends."""
        index = self._places.get((row, col))
        return None if index is None else self.blocks[index]

    def block_core(self, row: int, col: int) -> Window:
        """The rectangle of the block at this place of the block grid, in the plan or not."""
        return _cell(row, col, self.block_px, self.shape)

    def tile(self, row: int, col: int) -> Tile:
        """The tile at this place of the tile grid, in the plan or not."""
        core = _cell(row, col, self.core_px, self.shape)
        answer = grow(core, self.feather_px, self.shape)
        return Tile(row, col, core, answer, grow(answer, self.halo_px, self.shape))

    def to_json(self) -> str:
        """The plan as JSON text: the numbers it is made from, and the tiles where an area of interest chose some."""
        rows, cols = self.tile_shape
        chosen = None
        if self.tile_count < rows * cols:
            chosen = [[tile.row, tile.col] for block in self.blocks for tile in block.tiles]
        fields = {
            **geobox_to_dict(self.geobox),
            "tile_px": self.tile_px,
            "halo_px": self.halo_px,
            "feather_px": self.feather_px,
            "block_tiles": self.block_tiles,
            "token": self.token,
            "tiles": chosen,
        }
        return json.dumps(fields, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Plan:
        """The plan that `to_json` wrote, equal in every field."""
        fields = json.loads(text)
        empty = Plan(
            geobox_from_dict(fields),
            fields["tile_px"],
            fields["halo_px"],
            fields["feather_px"],
            fields["block_tiles"],
            fields["token"],
            blocks=(),
        )
        rows, cols = empty.tile_shape
        if fields["tiles"] is None:
            return _with_tiles(empty, np.ones((rows, cols), np.bool_))
        chosen = np.zeros((rows, cols), np.bool_)
        for row, col in fields["tiles"]:
            chosen[row, col] = True
        return _with_tiles(empty, chosen)


def plan(
    geobox: GeoBox,
    *,
    tile_px: int,
    halo_px: int,
    feather_px: int,
    block_tiles: int,
    token: str = "",
    aoi: Geometry | None = None,
) -> Plan:
    """Blocks over the grid, without those that the area of interest does not touch.

    tile_px      side of the window a tile reads; its core is 2 · (halo_px + feather_px) smaller
    halo_px      context around a tile's answer, dropped afterwards: at least the receptive field of a local filter
    feather_px   half the width of the band, centred on a core's border, where neighbours are cross-faded; 0 for none
    block_tiles  side of a block, in tiles
    aoi          area of interest in any CRS; one pixel of doubt is kept around it

    Raises GridError when the numbers leave no room for a core, or the area of interest touches no tile.
    """
    _check(tile_px, halo_px, feather_px, block_tiles)
    empty = Plan(geobox, tile_px, halo_px, feather_px, block_tiles, token, blocks=())
    chosen = np.ones(empty.tile_shape, np.bool_) if aoi is None else _touching(empty, aoi)
    return _with_tiles(empty, chosen)


def margins(block: Block) -> dict[str, Window]:
    """The parts of the block's answer outside of its core, by compass direction; each lies in one neighbour's core.

    Only those that exist: none without a feather, none beyond the grid.
    """
    core, answer = block.core, block.answer
    row0, row1 = core.row_off, core.row_off + core.height
    col0, col1 = core.col_off, core.col_off + core.width
    rows = {"n": (answer.row_off, row0), "": (row0, row1), "s": (row1, answer.row_off + answer.height)}
    cols = {"w": (answer.col_off, col0), "": (col0, col1), "e": (col1, answer.col_off + answer.width)}
    return {
        vertical + horizontal: Window(left, top, right - left, bottom - top)
        for vertical, (top, bottom) in rows.items()
        for horizontal, (left, right) in cols.items()
        if vertical + horizontal and bottom > top and right > left
    }


def grow(window: Window, by_px: int, shape: tuple[int, int]) -> Window:
    """The window grown on all four sides, clipped to a raster of this shape (rows, columns)."""
    row0, col0 = max(0, window.row_off - by_px), max(0, window.col_off - by_px)
    row1 = min(shape[0], window.row_off + window.height + by_px)
    col1 = min(shape[1], window.col_off + window.width + by_px)
    return Window(col0, row0, col1 - col0, row1 - row0)


def within(window: Window, origin: Window) -> tuple[slice, slice]:
    """Rows and columns of `window` in an array that holds the pixels of `origin`."""
    row, col = window.row_off - origin.row_off, window.col_off - origin.col_off
    return slice(row, row + window.height), slice(col, col + window.width)


def overlap(one: Window, other: Window) -> Window | None:
    """The pixels both windows hold; None when they hold none in common."""
    row0, col0 = max(one.row_off, other.row_off), max(one.col_off, other.col_off)
    row1 = min(one.row_off + one.height, other.row_off + other.height)
    col1 = min(one.col_off + one.width, other.col_off + other.width)
    return Window(col0, row0, col1 - col0, row1 - row0) if row1 > row0 and col1 > col0 else None


def _check(tile_px: int, halo_px: int, feather_px: int, block_tiles: int) -> None:
    found = f"tile {tile_px} px, halo {halo_px} px, feather {feather_px} px, blocks of {block_tiles} tiles"
    if halo_px < 0 or feather_px < 0 or block_tiles < 1:
        raise GridError(
            "plan", found=found, wanted="halo and feather ≥ 0, blocks ≥ 1", remedy="give whole numbers in these ranges"
        )
    # A narrower core would be crossed by the bands of both its borders at once: three tiles in one pixel.
    least = 2 * halo_px + max(4 * feather_px, 1)
    if tile_px < least:
        raise GridError(
            "plan", found=found, wanted=f"tile ≥ {least} px", remedy="take larger tiles, or less halo and feather"
        )


def _cells(length: int, step: int) -> int:
    return -(-length // step)


def _cell(row: int, col: int, step: int, shape: tuple[int, int]) -> Window:
    row0, col0 = row * step, col * step
    return Window(col0, row0, min(step, shape[1] - col0), min(step, shape[0] - row0))


def _with_tiles(empty: Plan, chosen: NDArray[np.bool_]) -> Plan:
    """The plan whose tiles are those that are True in `chosen`, (tile rows, tile columns)."""
    return Plan(
        empty.geobox,
        empty.tile_px,
        empty.halo_px,
        empty.feather_px,
        empty.block_tiles,
        empty.token,
        blocks=tuple(_blocks(empty, chosen)),
    )


def _blocks(empty: Plan, chosen: NDArray[np.bool_]) -> Iterator[Block]:
    k = empty.block_tiles
    rows, cols = empty.block_shape
    for row in range(rows):
        for col in range(cols):
            places = np.argwhere(chosen[row * k : (row + 1) * k, col * k : (col + 1) * k])
            if not len(places):
                continue
            tiles = tuple(empty.tile(row * k + int(i), col * k + int(j)) for i, j in places)
            core = empty.block_core(row, col)
            yield Block(row, col, core, grow(core, empty.feather_px, empty.shape), _union(t.read for t in tiles), tiles)


def _union(windows: Iterable[Window]) -> Window:
    found: Sequence[Window] = tuple(windows)
    row0, col0 = min(w.row_off for w in found), min(w.col_off for w in found)
    row1 = max(w.row_off + w.height for w in found)
    col1 = max(w.col_off + w.width for w in found)
    return Window(col0, row0, col1 - col0, row1 - row0)


def _touching(empty: Plan, aoi: Geometry) -> NDArray[np.bool_]:
    """(tile rows, tile columns), True where a tile's core, one pixel wider, touches the area of interest."""
    area = aoi_px(empty.geobox, aoi)
    rows, cols = empty.tile_shape
    row0, col0 = np.arange(rows)[:, None] * empty.core_px, np.arange(cols)[None, :] * empty.core_px
    row1 = np.minimum(row0 + empty.core_px, empty.shape[0])
    col1 = np.minimum(col0 + empty.core_px, empty.shape[1])
    boxes = shapely.box(col0 - 1, row0 - 1, col1 + 1, row1 + 1)
    shapely.prepare(area)
    touches: NDArray[np.bool_] = shapely.intersects(area, boxes)
    if not touches.any():
        raise elsewhere(aoi, empty.geobox)
    return touches
