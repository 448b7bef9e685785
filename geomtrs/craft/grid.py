"""The 3 × 3 grid by which a place in a picture is told: its cells, their words, and pictures that show it.

"Grid-position enhancement" of the published pipeline (arXiv 2606.00987): a grid with its words over both dates, and
each cell enlarged beside the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geomtrs.outputs.encoding import jpeg
from geomtrs.outputs.lettering import font_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CELLS = (
    "top-left", "top-center", "top-right", "mid-left", "center", "mid-right", "bottom-left", "bottom-center",
    "bottom-right",
)  # fmt: skip
SIDE = 3
HELD, TOGETHER = 0.1, 0.9  # a cell is named when it holds so much of a mask, and the fullest until they hold so much
SHOWN_PX = 640  # the longer side of a picture that is shown
CLOSEST = 4  # times that a cell is enlarged, at most: beyond it nothing more is seen, at more tokens and more time
GAP_PX = 8
_LINE, _PAPER = (255, 230, 0), (32, 32, 32)


def window(cell: str, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a cell; the nine share no pixel and leave none out."""
    row, column = divmod(CELLS.index(cell), SIDE)
    down, across = ([n * i // SIDE for i in range(SIDE + 1)] for n in shape[:2])
    return slice(down[row], down[row + 1]), slice(across[column], across[column + 1])


def shares(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(9,) of the mask that lies in each cell; zeros for an empty one."""
    inside = np.array([mask[window(cell, mask.shape)].sum() for cell in CELLS], float)
    held: NDArray[np.float64] = inside / max(1.0, inside.sum())
    return held


def cells_of(mask: NDArray[np.bool_]) -> tuple[str, ...]:
    """The cells that hold a tenth of the mask or more, and together nearly all of it, in reading order."""
    held = shares(mask)
    order = np.argsort(-held, kind="stable")
    before = np.cumsum(held[order]) - held[order]
    named = {int(i) for i, sum_ in zip(order, before, strict=True) if held[i] >= HELD or (held[i] and sum_ < TOGETHER)}
    return tuple(cell for i, cell in enumerate(CELLS) if i in named)


def inside(cells: Collection[str], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W), True in these cells."""
    where = np.zeros(shape, bool)
    for cell in cells:
        where[window(cell, shape)] = True
    return where


def around(cells: Collection[str]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the box around cells, as shares of the picture; the whole where none is named."""
    spans = [window(cell, (SIDE, SIDE)) for cell in cells or CELLS]
    rows, columns = ([span[axis].start for span in spans] for axis in (0, 1))
    return min(columns) / SIDE, min(rows) / SIDE, (max(columns) + 1) / SIDE, (max(rows) + 1) / SIDE


def with_grid(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at its shown size, with the lines of the grid and the word of each cell in its corner."""
    image = Image.fromarray(_shown(picture))
    pen = ImageDraw.Draw(image)
    shape = (image.height, image.width)
    font = font_of(max(9, min(shape) // 40))
    for cell in CELLS:
        rows, columns = window(cell, shape)
        pen.rectangle((columns.start, rows.start, columns.stop - 1, rows.stop - 1), outline=_LINE)
        at = (columns.start + 3, rows.start + 2)
        pen.rectangle(pen.textbbox(at, cell, font=font), fill=_PAPER)
        pen.text(at, cell, font=font, fill=_LINE)
    return np.asarray(image)


def near(before: NDArray[np.uint8], after: NDArray[np.uint8], cell: str) -> Image.Image:
    """One cell of both dates side by side, as large as the whole is shown, and enlarged CLOSEST times at most."""
    cut = window(cell, before.shape)
    cells = [Image.fromarray(np.ascontiguousarray(date[cut])) for date in (before, after)]
    size = _size(cells[0].height, cells[0].width, min(SHOWN_PX, CLOSEST * max(cells[0].size)))
    sheet = Image.new("RGB", (2 * size[0] + GAP_PX, size[1]), _PAPER)
    for i, one in enumerate(cells):
        sheet.paste(one.resize(size, Image.Resampling.BICUBIC), (i * (size[0] + GAP_PX), 0))
    return sheet


def beside(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Both dates in one picture, the earlier at the left."""
    height = max(before.shape[0], after.shape[0])
    sheet = np.full((height, before.shape[1] + GAP_PX + after.shape[1], 3), _PAPER[0], np.uint8)
    sheet[: before.shape[0], : before.shape[1]] = before
    sheet[: after.shape[0], before.shape[1] + GAP_PX :] = after
    return sheet


def overlaid(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture with the mask tinted and outlined, for whoever judges it."""
    out = picture.copy()
    edge = mask ^ (mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1))
    out[mask] = (out[mask] * 0.65 + np.array(_LINE) * 0.35).astype(np.uint8)
    out[edge] = _LINE
    return out


def sheets(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    """Each cell with what a perceiver is shown of it, as JPEG: both dates under the grid, the cell of both near."""
    whole = jpeg(beside(with_grid(before), with_grid(after)))
    for cell in CELLS:
        yield cell, (whole, jpeg(near(before, after, cell)))


def _shown(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    way = Image.Resampling.BICUBIC if max(height, width) < SHOWN_PX else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize(_size(height, width, SHOWN_PX), way))


def _size(height: int, width: int, longest_px: int) -> tuple[int, int]:
    """Width and height with the longer one as told."""
    scale = longest_px / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))
