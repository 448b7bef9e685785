"""A raster read on the reference grid, so that a pixel's value never depends on the window it is read in.

GDAL's warper is not used for two reasons: its per-band nodata and alpha rules are not ours, and its coordinates carry
the float noise of the window, which flips roundings (a shift of half a pixel makes every second average a tie).
Here coordinates are computed for whole-grid pixel numbers, element by element.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from tiling.grid import Alignment, align
from tiling.ground import apply_affine, compose, to_pixels
from tiling.source import OpenFiles, Source, read_native

Kernel = Literal["bilinear", "cubic", "nearest"]

_LATTICE_STEPS = (64, 32, 16, 8, 4, 2)
_LATTICE_ERROR_PX = 0.005
_STRIP_ROWS = 128  # working arrays of one strip stay in the processor's cache
_SOURCE_PX_AT_ONCE = 1 << 24
_REACH = 2  # source pixels a cubic kernel takes on each side


@dataclass(frozen=True, slots=True)
class Placement:
    """How a source is read on a grid.

    alignment  equal and shifted are plain windows; warped is resampled
    step_px    spacing of the lattice on which coordinates of another CRS are exact, linear between
    factor     (y, x) source pixels averaged into one before resampling, where the source is at least twice finer
    shift_px   (x, y) estimated displacement of the source's content, in grid pixels, taken back on reading
    """

    alignment: Alignment
    step_px: int = 1
    factor: tuple[int, int] = (1, 1)
    shift_px: tuple[float, float] = (0.0, 0.0)


def place(source: GeoBox, grid: GeoBox, *, shift_px: tuple[float, float] = (0.0, 0.0)) -> Placement:
    """The placement of a source's grid on ``grid``: a function of the two alone."""
    alignment = align(grid, source)
    if shift_px != (0.0, 0.0):
        alignment = Alignment("warped", alignment.offset_px)
    if alignment.kind != "warped":
        return Placement(alignment)
    return Placement(alignment, _lattice_step(source, grid), _averaging(source, grid), shift_px)


def read_placed(
    source: Source, placement: Placement, files: OpenFiles, grid: GeoBox, window: Window, kernel: Kernel
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Pixels (C, h, w) and observed (h, w) of a window of ``grid``; 0 where not observed.

    Plain windows and the nearest pixels keep the source's type, others are float32. Resampled pixels are observed when
    the source pixel under their centre is; holes get no weight, so they neither grow nor bleed.
    """
    if placement.alignment.kind != "warped":
        right, down = (int(offset) for offset in placement.alignment.offset_px)
        moved = Window(window.col_off - right, window.row_off - down, window.width, window.height)
        return read_native(source, files, moved)
    shape = (int(window.height), int(window.width))
    pixels = np.zeros((len(source.bands), *shape), source.dtype if kernel == "nearest" else np.float32)
    observed = np.zeros(shape, bool)
    factor = (1, 1) if kernel == "nearest" else placement.factor
    for part in _affordable(source, placement, grid, window):
        bounds = _source_bounds(source.geobox, placement, grid, part)
        if bounds is None:
            continue
        rows, columns = _whole_cells(bounds, factor, source.geobox)
        native = Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
        data, seen = box_mean(*read_native(source, files, native), factor)
        origin = (rows[0] // factor[0], columns[0] // factor[1])
        for strip in _strips(part):
            x, y = source_coordinates(source.geobox, placement, grid, strip)
            top, left = int(strip.row_off - window.row_off), int(strip.col_off - window.col_off)
            target = (slice(top, top + int(strip.height)), slice(left, left + int(strip.width)))
            pixels[:, *target], observed[target] = resample(
                data, seen, x / factor[1], y / factor[0], origin=origin, kernel=kernel
            )
    return pixels, observed


def source_window(source: GeoBox, placement: Placement, grid: GeoBox, window: Window) -> Window | None:
    """The part of a source that a window of ``grid`` is read from, with some margin; None when they do not meet."""
    bounds = _source_bounds(source, placement, grid, window)
    if bounds is None:
        return None
    left, top, right, bottom = bounds
    return Window(left, top, right - left, bottom - top)


def source_coordinates(
    source: GeoBox, placement: Placement, grid: GeoBox, window: Window
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Source pixel coordinates x, y (h, w) of the centres of a window of ``grid``; nan where there are none."""
    columns = np.arange(window.col_off, window.col_off + window.width) + (0.5 + placement.shift_px[0])
    rows = np.arange(window.row_off, window.row_off + window.height) + (0.5 + placement.shift_px[1])
    if source.crs == grid.crs:
        return apply_affine(compose(~source.affine, grid.affine), columns[None, :], rows[:, None])
    step = placement.step_px
    first_column, first_row = math.floor(columns[0] / step), math.floor(rows[0] / step)
    node_columns = np.arange(first_column, math.floor(columns[-1] / step) + 2) * float(step)
    node_rows = np.arange(first_row, math.floor(rows[-1] / step) + 2) * float(step)
    node_x, node_y = to_pixels(source, grid, *np.meshgrid(node_columns, node_rows))
    across = _between(columns / step, first_column)
    down = _between(rows / step, first_row)
    return _bilinear(node_x, across, down), _bilinear(node_y, across, down)


def resample(
    pixels: NDArray[np.generic],
    observed: NDArray[np.bool_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    origin: tuple[int, int],
    kernel: Kernel,
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Values (C, h, w) and observed (h, w) at coordinates x, y (h, w) of the array that starts at ``origin``.

    pixels (C, H, W), 0 where not observed (H, W); origin (row, column) of their first pixel in the coordinates' frame

    The nearest are of the pixels' own type, since codes and bits are no amounts; others are float32.
    """
    height, width = observed.shape
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, -1.0), np.where(known, y, -1.0)
    column = np.floor(x).astype(np.int64) - origin[1]
    row = np.floor(y).astype(np.int64) - origin[0]
    inside = known & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    padded_width = width + 2 * _REACH
    seen = np.pad(observed, _REACH).ravel()
    here = np.where(inside, (row + _REACH) * padded_width + column + _REACH, 0)
    result = seen.take(here) & inside
    if kernel == "nearest":
        values = np.stack([np.pad(plane, _REACH).ravel().take(here) for plane in pixels])
        values[:, ~result] = 0
        return values, result
    first_x, weights_x = _taps(x, kernel)
    first_y, weights_y = _taps(y, kernel)
    start = (first_y - origin[0] + _REACH) * padded_width + first_x - origin[1] + _REACH
    start = np.where(inside, start, 0)
    planes = [np.pad(plane, _REACH).ravel() for plane in pixels]
    weights = seen.astype(np.float32)
    total = np.zeros((len(planes), *x.shape), np.float32)
    norm = np.zeros(x.shape, np.float32)
    for down, weight_y in enumerate(weights_y):
        for across, weight_x in enumerate(weights_x):
            index = start + (down * padded_width + across)
            weight = weight_y * weight_x * weights.take(index, mode="clip")
            norm += weight
            for channel, plane in enumerate(planes):
                total[channel] += weight * plane.take(index, mode="clip")
    total /= np.where(result, norm, 1)
    total[:, ~result] = 0
    return total, result


def box_mean(
    pixels: NDArray[np.generic], observed: NDArray[np.bool_], factor: tuple[int, int]
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Means over cells of factor (y, x) pixels, over those observed; a cell is observed when half of it is.

    The last cell of a row or column may be cut off by the raster's end.
    """
    if factor == (1, 1):
        return pixels, observed
    height, width = observed.shape
    short = (-height % factor[0], -width % factor[1])
    rows, columns = (height + short[0]) // factor[0], (width + short[1]) // factor[1]

    def cells(plane: NDArray[np.generic]) -> NDArray[np.float32]:
        whole = np.pad(plane, ((0, short[0]), (0, short[1]))) if any(short) else plane
        split = whole.reshape(rows, factor[0], columns, factor[1])
        return np.asarray(split.sum(axis=(1, 3), dtype=np.float32))

    count = cells(observed)
    size = cells(np.ones_like(observed))
    seen = count * 2 >= size
    means = np.stack([cells(plane) for plane in pixels]) / np.maximum(count, 1)
    means[:, ~seen] = 0
    return means.astype(np.float32), seen


def _taps(position: NDArray[np.float64], kernel: Kernel) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
    """The first source pixel of the kernel and the weights of it and the following ones, along one axis."""
    base = np.floor(position - 0.5)
    t = (position - 0.5 - base).astype(np.float32)
    first = base.astype(np.int64)
    if kernel == "bilinear":
        return first, [1 - t, t]
    # Catmull-Rom (Keys 1981, a = -1/2), GDAL's cubic
    return first - 1, [
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]


def _between(position: NDArray[np.float64], first: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index of the lattice node before each position, and the share of the way to the next."""
    node = np.floor(position)
    return node.astype(np.int64) - first, position - node


def _bilinear(
    nodes: NDArray[np.float64],
    across: tuple[NDArray[np.int64], NDArray[np.float64]],
    down: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    column, u = across
    row, v = down
    with np.errstate(invalid="ignore"):  # inf - inf where the projection has no answer
        lines = nodes[row] * (1 - v)[:, None] + nodes[row + 1] * v[:, None]
        return np.asarray(lines[:, column] * (1 - u) + lines[:, column + 1] * u)


def _lattice_step(source: GeoBox, grid: GeoBox) -> int:
    """The widest spacing at which linear interpolation between exact coordinates errs by less than 1/200 pixel."""
    if source.crs == grid.crs:
        return 1
    height, width = grid.shape
    columns, rows = (np.linspace(0, size, 9) for size in (width, height))
    column, row = (axis.ravel() for axis in np.meshgrid(columns, rows))
    for step in _LATTICE_STEPS:
        exact = np.stack(to_pixels(source, grid, column, row))
        corners = [
            np.stack(to_pixels(source, grid, column + dx, row + dy))
            for dx in (-step / 2, step / 2)
            for dy in (-step / 2, step / 2)
        ]
        with np.errstate(invalid="ignore"):
            error = np.abs(np.mean(corners, axis=0) - exact)
        if np.nanmax(np.where(np.isfinite(error), error, 0)) < _LATTICE_ERROR_PX:
            return step
    return 1


def _averaging(source: GeoBox, grid: GeoBox) -> tuple[int, int]:
    """Source pixels (y, x) under one grid pixel, whole, at the middle of the grid; 1 where below two."""
    height, width = grid.shape
    columns = width / 2 + np.array([-0.5, 0.5, 0, 0])
    rows = height / 2 + np.array([0, 0, -0.5, 0.5])
    x, y = to_pixels(source, grid, columns, rows)
    scale_x, scale_y = math.hypot(x[1] - x[0], x[3] - x[2]), math.hypot(y[1] - y[0], y[3] - y[2])
    fits = math.isfinite(scale_x) and math.isfinite(scale_y)
    return (max(1, math.floor(scale_y + 0.01)), max(1, math.floor(scale_x + 0.01))) if fits else (1, 1)


def _affordable(source: Source, placement: Placement, grid: GeoBox, window: Window) -> list[Window]:
    """The window, halved until the source pixels under each part fit the memory of one read."""
    bounds = _source_bounds(source.geobox, placement, grid, window)
    if bounds is None:
        return []
    left, top, right, bottom = bounds
    if (right - left) * (bottom - top) <= _SOURCE_PX_AT_ONCE or max(window.height, window.width) <= 1:
        return [window]
    if window.height >= window.width:
        half = window.height // 2
        first = Window(window.col_off, window.row_off, window.width, half)
        second = Window(window.col_off, window.row_off + half, window.width, window.height - half)
    else:
        half = window.width // 2
        first = Window(window.col_off, window.row_off, half, window.height)
        second = Window(window.col_off + half, window.row_off, window.width - half, window.height)
    return [part for one in (first, second) for part in _affordable(source, placement, grid, one)]


def _source_bounds(
    source: GeoBox, placement: Placement, grid: GeoBox, window: Window
) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the source pixels that a window needs, clipped to the raster, if there are any."""
    columns = np.linspace(window.col_off, window.col_off + window.width, 33) + placement.shift_px[0]
    rows = np.linspace(window.row_off, window.row_off + window.height, 33) + placement.shift_px[1]
    x, y = to_pixels(source, grid, *np.meshgrid(columns, rows))
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    if not x.size or not y.size:
        return None
    # One pixel more than the kernel's reach, in cells of the averaging, for the curve between the 33 points.
    margin_x, margin_y = (_REACH + 1) * placement.factor[1], (_REACH + 1) * placement.factor[0]
    height, width = source.shape
    left, top = max(0, math.floor(x.min()) - margin_x), max(0, math.floor(y.min()) - margin_y)
    right, bottom = min(width, math.ceil(x.max()) + margin_x), min(height, math.ceil(y.max()) + margin_y)
    return (left, top, right, bottom) if right > left and bottom > top else None


def _whole_cells(
    bounds: tuple[int, int, int, int], factor: tuple[int, int], source: GeoBox
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns grown to whole averaging cells, counted from the raster's origin, so that cells never move."""
    left, top, right, bottom = bounds
    height, width = source.shape
    rows = (top - top % factor[0], min(height, bottom + -bottom % factor[0]))
    columns = (left - left % factor[1], min(width, right + -right % factor[1]))
    return rows, columns


def _strips(window: Window) -> list[Window]:
    top, bottom = int(window.row_off), int(window.row_off + window.height)
    return [
        Window(window.col_off, row, window.width, min(_STRIP_ROWS, bottom - row))
        for row in range(top, bottom, _STRIP_ROWS)
    ]
