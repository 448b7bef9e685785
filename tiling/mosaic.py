"""Finished blocks → rasters: sums of neighbours added and settled, then streamed into Cloud Optimized GeoTIFFs.

Memory is a block and its neighbours' margins. A raster appears under its name only after all of it was read back.
"""

from __future__ import annotations

import glob
import hashlib
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError  # what copying raises is no RasterioError; rasterio.errors does not have it
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from tiling.blend import FULL_WEIGHT, UNOBSERVED, settle, tile_weights
from tiling.errors import OutputError
from tiling.libtiff import hush
from tiling.plan import Block, Plan, grow, margins, overlap, within
from tiling.room import free_bytes, no_room, unwritten
from tiling.stack import FAILED, OBSERVED, OUTSIDE_AOI
from tiling.store import BlockStore, sync_folder

GDAL_CACHE_BYTES = 64 * 2**20  # GDAL's own default is 5 % of the machine's memory

Part: TypeAlias = tuple[Window, NDArray[np.generic]]

_COG_SIDE = 512
# Where the margin of each name lies, seen from the block that holds it: rows down, columns to the right.
_SIDES = {
    "n": (-1, 0), "s": (1, 0), "w": (0, -1), "e": (0, 1), "nw": (-1, -1), "ne": (-1, 1), "sw": (1, -1), "se": (1, 1),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """What was answered over one block's core, for one query.

    window       pixels of the grid
    probability  (h, w) uint8: 0..250 in steps of 1/250, 255 where not observed
    coverage     (h, w) uint8: why a pixel was or was not looked at, codes of `tiling.stack`
    tiles        core window (pixels of the grid) and existence, 0..1, of each tile that was answered
    """

    window: Window
    probability: NDArray[np.uint8]
    coverage: NDArray[np.uint8]
    tiles: tuple[tuple[Window, float], ...]


@dataclass(frozen=True, slots=True)
class RasterSpec:
    """What a raster says of itself.

    dtype        numpy's name of its type
    nodata       value where nothing was looked at; None when every value means something
    description  of its one band
    scale        factor from stored to true values
    colormap     value → (red, green, blue, alpha), 0..255; uint8 only
    resampling   of its overviews: "mode" and "nearest" invent no value
    tags         further metadata of the file
    """

    dtype: str = "uint8"
    nodata: float | None = None
    description: str = ""
    scale: float | None = None
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    resampling: Literal["mode", "average", "nearest"] = "mode"
    tags: Mapping[str, str] = field(default_factory=dict)


def probability(store: BlockStore, plan: Plan, block: Block, query: int) -> NDArray[np.uint8]:
    """Stored probability over the block's core, (h, w) uint8: 0..250, and 255 where not observed.

    Raises StoreError when the block or one of its neighbours in the plan is neither answered nor recorded as failed.
    """
    return _observed_only(_settled(store, plan, block, query), coverage(store, plan, block))


def coverage(store: BlockStore, plan: Plan, block: Block) -> NDArray[np.uint8]:
    """Codes of `tiling.stack` over the block's core, (h, w) uint8; FAILED in all tiles of a block that failed.

    Raises StoreError when the block is neither answered nor recorded as failed.
    """
    if "coverage" in store.names(block.id):
        return store.get(block.id, "coverage").astype(np.uint8, copy=False)
    failed = np.full((block.core.height, block.core.width), OUTSIDE_AOI, np.uint8)
    for tile in block.tiles:
        failed[within(tile.core, block.core)] = FAILED
    return failed


def windows(store: BlockStore, plan: Plan, query: int) -> Iterator[BlockAnswer]:
    """Answers of all of the grid for one query, block by block in row-major order; the windows partition the grid.

    Blocks out of the plan hold 255 and coverage 0. Raises StoreError as `probability` does.
    """
    for window, block in _places(plan):
        if block is None:
            shape = (window.height, window.width)
            yield BlockAnswer(window, np.full(shape, UNOBSERVED, np.uint8), np.full(shape, OUTSIDE_AOI, np.uint8), ())
            continue
        cover = coverage(store, plan, block)
        meta = store.meta(block.id)
        tiles = tuple(
            (plan.tile(row, col).core, float(existence[query]))
            for (row, col), existence in zip(meta.get("tiles", []), meta.get("existence", []), strict=True)
        )
        yield BlockAnswer(window, _observed_only(_settled(store, plan, block, query), cover), cover, tiles)


def coverage_windows(store: BlockStore, plan: Plan) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """Coverage of all of the grid, block by block in row-major order; 0 out of the plan. Raises as `coverage`."""
    for window, block in _places(plan):
        if block is None:
            yield window, np.full((window.height, window.width), OUTSIDE_AOI, np.uint8)
        else:
            yield window, coverage(store, plan, block)


def write_cog(path: Path, geobox: GeoBox, parts: Iterable[Part], *, spec: RasterSpec) -> None:
    """The file at `path` is a Cloud Optimized GeoTIFF of one band, and holds exactly the parts; else it is not touched.

    geobox  grid of the raster; one without CRS makes a plain picture
    parts   windows that partition the grid, and their pixels, (h, w) of `spec.dtype`

    An existing file is replaced; whether it may be is the caller's question. The parts go through an uncompressed
    GeoTIFF beside the target, since overviews need all pixels twice. Raises DiskFullError, OutputError when the folder
    cannot be written or the file reads back otherwise than it was written.
    """
    path = Path(path)
    _remove_leftovers(path)
    hush()
    working, finished = (path.with_name(f".{path.name}.{os.getpid()}.{kind}.tif") for kind in ("working", "cog"))
    try:
        _check_room(path, geobox, spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a plain picture has no place, and need not
            written = _write_working(working, geobox, parts, spec)
            _in_background(lambda: _convert(working, finished, spec))
            if not _reads_back(finished, written):
                raise RasterioError("other pixels when read back than were written")
        with finished.open("rb") as file:
            os.fsync(file.fileno())
        finished.replace(path)
        sync_folder(path.parent)
    except OutputError:
        raise
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise unwritten(path, error, _bytes_needed(geobox, spec)) from error
    finally:
        _remove_leftovers(path)


def _places(plan: Plan) -> Iterator[tuple[Window, Block | None]]:
    rows, cols = plan.block_shape
    for row in range(rows):
        for col in range(cols):
            yield plan.block_core(row, col), plan.block_at(row, col)


def _observed_only(stored: NDArray[np.uint8], cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    stored[cover != OBSERVED] = UNOBSERVED
    return stored


def _settled(store: BlockStore, plan: Plan, block: Block, query: int) -> NDArray[np.uint8]:
    """Own sums and the margins that neighbours hold of this core, as stored probability."""
    answered = _answered(store, block)
    if not answered:
        return np.full((block.core.height, block.core.width), UNOBSERVED, np.uint8)
    sums = store.get(block.id, f"core/{query}").astype(np.uint16, copy=False)
    for side, (down, right) in _SIDES.items() if plan.feather_px else ():
        neighbour = plan.block_at(block.row - down, block.col - right)  # whose margin on this side is our ground
        theirs = set() if neighbour is None else _answered(store, neighbour)
        if neighbour is None or not theirs:
            continue
        answered |= theirs
        margin = margins(neighbour)[side]
        sums[within(margin, block.core)] += store.get(neighbour.id, f"{side}/{query}").astype(np.uint16, copy=False)
    return settle(sums, _weights(plan, block.core, answered))


def _answered(store: BlockStore, block: Block) -> set[tuple[int, int]]:
    """Rows and columns of the tiles that hold an answer: all but those without an observed pixel."""
    return {(row, col) for row, col in store.meta(block.id).get("tiles", [])}


def _weights(plan: Plan, core: Window, answered: set[tuple[int, int]]) -> NDArray[np.uint16] | None:
    """What the weights of the answered tiles add up to over a block's core; None when that is 256 everywhere."""
    rows, cols = plan.tile_shape
    reach = grow(core, plan.feather_px, plan.shape)
    weights: NDArray[np.uint16] | None = None
    for row in range(reach.row_off // plan.core_px, min(rows, -(-(reach.row_off + reach.height) // plan.core_px))):
        for col in range(reach.col_off // plan.core_px, min(cols, -(-(reach.col_off + reach.width) // plan.core_px))):
            tile = plan.tile(row, col)
            common = overlap(tile.answer, core)
            if (row, col) in answered or common is None:
                continue
            if weights is None:
                weights = np.full((core.height, core.width), FULL_WEIGHT, np.uint16)
            weights[within(common, core)] -= tile_weights(plan, tile)[within(common, tile.answer)]
    return weights


def _write_working(path: Path, geobox: GeoBox, parts: Iterable[Part], spec: RasterSpec) -> list[tuple[Window, bytes]]:
    """An uncompressed GeoTIFF of the parts, and a hash of each part to compare with later."""
    height, width = geobox.shape
    profile: dict[str, Any] = {  # creation options have no common type
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": spec.dtype,
        "crs": None if geobox.crs is None else rasterio.CRS.from_wkt(geobox.crs.to_wkt()),
        "transform": geobox.affine,
        "nodata": spec.nodata,
        "tiled": True,
        "blockxsize": _COG_SIDE,
        "blockysize": _COG_SIDE,
        "sparse_ok": True,
        "bigtiff": "IF_SAFER",
    }
    written: list[tuple[Window, bytes]] = []
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), _opened(path, profile) as dataset:
        _describe(dataset, spec)
        for window, pixels in parts:
            dataset.write(pixels.astype(spec.dtype, copy=False), 1, window=window)
            written.append((window, _hash(pixels.astype(spec.dtype, copy=False))))
    pixels_written = sum(window.height * window.width for window, _ in written)
    if pixels_written != height * width:
        raise ValueError(
            f"{path}: the parts hold {pixels_written} pixels, the grid {height * width}; they must partition it"
        )
    return written


def _opened(path: Path, profile: Mapping[str, Any]) -> DatasetWriter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a plain picture has no place, and need not
        return rasterio.open(path, "w", **profile)


def _describe(dataset: DatasetWriter, spec: RasterSpec) -> None:
    """Everything a COG says of itself is said before it is made: a tag added later would break its layout."""
    if spec.description:
        dataset.set_band_description(1, spec.description)
    if spec.scale is not None:
        dataset.scales, dataset.offsets = (spec.scale,), (0.0,)
    if spec.colormap is not None:
        dataset.write_colormap(1, dict(spec.colormap))
    if spec.tags:
        dataset.update_tags(**spec.tags)


def _convert(working: Path, finished: Path, spec: RasterSpec) -> None:
    smooth = spec.resampling == "average"
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        rasterio.shutil.copy(
            working,
            finished,
            driver="COG",
            compress="DEFLATE",
            # On a probability the predictor saves a fifth; level 2 costs 4 % of size for 1.7 times the speed.
            predictor="YES" if smooth else "NO",
            level=2 if smooth else 6,
            blocksize=_COG_SIDE,
            bigtiff="IF_SAFER",
            overview_resampling=spec.resampling.upper(),
            num_threads="ALL_CPUS",
        )


def _reads_back(finished: Path, written: Iterable[tuple[Window, bytes]]) -> bool:
    """Whether every part reads as it was written: GDAL may close a file on a full disk without a word."""
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), rasterio.open(finished) as dataset:
        return all(_hash(dataset.read(1, window=window)) == expected for window, expected in written)


def _in_background(work: Callable[[], None]) -> None:
    """Does the work in a thread of its own, so that Ctrl-C is met at once and not when GDAL returns."""
    failed: list[BaseException] = []

    def caught() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failed.append(error)

    thread = threading.Thread(target=caught, name="cog", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    if failed:
        raise failed[0]


def _hash(pixels: NDArray[np.generic]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def _remove_leftovers(path: Path) -> None:
    """Removes what a writer of this file left beside it, killed or not."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tif*"):
        with suppress(OSError):
            leftover.unlink()


def _check_room(path: Path, geobox: GeoBox, spec: RasterSpec) -> None:
    """Raises DiskFullError where not even the working file fits."""
    free, needed = free_bytes(path.parent), _bytes_needed(geobox, spec)
    if free is not None and free < needed // 2:
        raise no_room(path, f"only {free:,} bytes free", needed)


def _bytes_needed(geobox: GeoBox, spec: RasterSpec) -> int:
    """The uncompressed working file, and at worst as much again."""
    height, width = (-(-int(side) // _COG_SIDE) * _COG_SIDE for side in geobox.shape)
    return 2 * height * width * np.dtype(spec.dtype).itemsize
