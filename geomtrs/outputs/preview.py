"""The picture of an answer: before, after, and the answer laid over the after date, with the sentence above.

One row (or, for wide scenes, one column) of panels that share one crop; below it a row of three closer looks when the
largest change is small in the scene. Proportions are those of the ground, not of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image, ImageDraw
from rasterio.windows import Window
from scipy import ndimage

from geomtrs.outputs.encoding import png
from geomtrs.outputs.furniture import (
    INK,
    PAPER,
    centre_lonlat,
    draw_north,
    draw_scale_bar,
    ground_of,
    hatch,
    hatch_swatch,
    scale_bar,
)
from geomtrs.outputs.lettering import draw_words, font_of, wrap
from geomtrs.outputs.look import Look
from geomtrs.outputs.publish import publish
from geomtrs.outputs.style import ANSWER_COLOUR
from geomtrs.outputs.tones import Tones
from tiling.blend import SCALE, UNOBSERVED

WIDTH, MARGIN, GAP = 1600, 24, 14
LABEL_H, FOOT_H = 34, 60
# How tall a panel may be in a layout of so many columns: the whole then fits a screen at half its size.
MOST_H = {3: 1000, 2: 520, 1: 450}
MUTED = (96, 96, 102)
# Panels side by side compare best; another layout has to show them so many times larger.
WORTH_FEWER = 1.25
# A strip thinner than this is drawn thicker than it is, or a scene one pixel wide would be a line.
THINNEST = 1 / 16
# A closer look shows at least this many pixels a side, and at most this share of the scene's.
ZOOM_LEAST_PX = 64
ZOOM_MOST_OF_SCENE = 0.4


@dataclass(frozen=True, slots=True)
class Caption:
    """What is written on the picture.

    sentence   what was asked
    date_from, date_to   dates of the two panels, None where unknown
    summary    one line under the sentence, e.g. "12 polygons · 3.4 ha"; empty for none
    """

    sentence: str
    date_from: str | None = None
    date_to: str | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """How pixels become a picture, the same in the whole scene and in the closer look."""

    before: Tones
    after: Tones
    threshold: int


def write_preview(
    path: Path,
    look: Look,
    caption: Caption,
    *,
    threshold: int,
    closer: Callable[[Window], Look] | None = None,
) -> None:
    """preview.png: see `draw_preview`; under its name only when complete. Raises OutputError where it cannot be."""
    publish(path, png(draw_preview(look, caption, threshold=threshold, closer=closer), level=3))


def draw_preview(
    look: Look, caption: Caption, *, threshold: int, closer: Callable[[Window], Look] | None = None
) -> Image.Image:
    """The picture as RGB, 1600 px wide.

    threshold  on stored values: a pixel is changed if threshold <= probability <= 250
    closer     reads a window of the look's grid again with more pixels; without it the pixels at hand are enlarged
    """
    window = _worth_zooming(look, threshold)
    observed = look.probability != UNOBSERVED
    shown = Shown(Tones.of(look.before, observed), Tones.of(look.after, observed), threshold)
    bands = [_scene_band(look, caption, shown, window)]
    if window is not None:
        bands.append(_zoom_band(closer(window) if closer else look.part(window), shown))
    header = _header(caption, _outcome(look.probability, threshold))
    height = header.height + sum(band.height for band in bands)
    canvas = Image.new("RGB", (WIDTH, height), PAPER)
    top = 0
    for band in (header, *bands):
        canvas.paste(band, (0, top))
        top += band.height
    return canvas


def _header(caption: Caption, outcome: str) -> Image.Image:
    """The sentence in at most two lines, below it what came out."""
    title, small = font_of(30), font_of(20)
    lines = wrap(f"“{caption.sentence}”", title, WIDTH - 2 * MARGIN, most=2)
    words = " · ".join(part for part in (outcome, caption.summary) if part)
    notes = wrap(words, small, WIDTH - 2 * MARGIN, most=1) if words else []
    canvas = Image.new("RGB", (WIDTH, MARGIN - 4 + 40 * len(lines) + 30 * len(notes) + 4), PAPER)
    draw = ImageDraw.Draw(canvas)
    top = MARGIN - 8
    for line in lines:
        draw_words(draw, (MARGIN, top), line, 30, INK)
        top += 40
    for line in notes:
        draw_words(draw, (MARGIN, top), line, 20, MUTED)
    return canvas


def _outcome(probability: NDArray[np.uint8], threshold: int) -> str:
    if (probability == UNOBSERVED).all():
        return "nothing observed"
    return "" if _changed(probability, threshold).any() else "nothing found"


def _scene_band(look: Look, caption: Caption, shown: Shown, zoom: Window | None) -> Image.Image:
    """The three panels of the whole scene, their titles and the footer."""
    size, columns = _panel_size(look)
    panels = _panels(look, size, shown)
    if columns == 2:
        panels.append(_probability_panel(look, size))
    if zoom is not None:
        for panel in panels:
            _frame(panel, zoom, look)
    empty = _outcome(look.probability, shown.threshold)
    if empty:
        _say(panels[2], empty)
    titles = (_dated("before", caption.date_from), _dated("after", caption.date_to), "answer", "probability")
    return _band(panels, titles[: len(panels)], columns, look, legend=True)


def _zoom_band(look: Look, shown: Shown) -> Image.Image:
    size, columns = _panel_size(look, columns=3)
    titles = ("before, closer", "after, closer", "answer, closer")
    return _band(_panels(look, size, shown), titles, columns, look, legend=False)


def _panel_size(look: Look, columns: int | None = None) -> tuple[tuple[int, int], int]:
    """(width, height) of a panel, and 3, 2 or 1 columns: fewer where that shows the scene much larger."""
    height, width = look.geobox.shape
    aspect = min(max(width * ground_of(look.geobox).pixel_aspect / height, THINNEST), 1 / THINNEST)

    def fit(count: int) -> tuple[int, int]:
        most_w = (WIDTH - 2 * MARGIN - (count - 1) * GAP) // count
        panel_w = min(most_w, round(MOST_H[count] * aspect))
        return max(1, panel_w), max(1, round(panel_w / aspect))

    if columns is None:
        columns = 3
        for fewer in (2, 1):
            if math.prod(fit(fewer)) > WORTH_FEWER * math.prod(fit(columns)):
                columns = fewer
    return fit(columns), columns


def _panels(look: Look, size: tuple[int, int], shown: Shown) -> list[Image.Image]:
    """before, after, answer at the panel's size."""
    shape = size[1], size[0]
    changed = largest_at(_changed(look.probability, shown.threshold), shape)
    # A drawn pixel is hatched only when nothing it stands for was observed.
    unobserved = ~largest_at(look.probability != UNOBSERVED, shape)
    before, after = shown.before.apply(_fitted(look.before, size)), shown.after.apply(_fitted(look.after, size))
    return [Image.fromarray(hatch(picture, unobserved)) for picture in (before, after, overlay(after, changed))]


def _probability_panel(look: Look, size: tuple[int, int]) -> Image.Image:
    """White where the model is sure of no, the answer's colour where it is sure of yes."""
    shape = size[1], size[0]
    observed = look.probability != UNOBSERVED
    share = largest_at(np.where(observed, look.probability, 0), shape)[..., None] / np.float32(SCALE)
    shade = np.rint(245 + (np.array(ANSWER_COLOUR, np.float32) - 245) * share).astype(np.uint8)
    return Image.fromarray(hatch(shade, ~largest_at(observed, shape)))


def overlay(picture: NDArray[np.uint8], changed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) in pale grey, changed pixels (H, W) in their own colour under a tint and an outline."""
    colour = picture.astype(np.float32)
    grey = (colour @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    calm = 0.2 * colour + 0.8 * (0.5 * grey + 105)
    strong = np.array(ANSWER_COLOUR, np.float32)
    shown = np.where(changed[..., None], 0.68 * colour + 0.32 * strong, calm)
    # Outside, so that what changed stays visible: a line 2 px wide, and a pale one that parts it from dark ground.
    line = ndimage.binary_dilation(changed, iterations=2) & ~changed
    rim = ndimage.binary_dilation(changed, iterations=3) & ~changed & ~line
    shown[rim] = 0.3 * shown[rim] + 0.7 * 255
    shown[line] = strong
    result: NDArray[np.uint8] = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return result


Values = TypeVar("Values", np.bool_, np.uint8)


def largest_at(values: NDArray[Values], shape: tuple[int, int]) -> NDArray[Values]:
    """Values (H, W) on another shape: a pixel has the largest of all that it stands for, so nothing small gets lost."""
    for axis, count in enumerate(shape):
        size = values.shape[axis]
        starts = np.arange(count) * size // count
        # Enlarging repeats pixels; making smaller joins all between one start and the next.
        values = values.take(starts, axis) if count >= size else np.maximum.reduceat(values, starts, axis)
    return values


def _changed(probability: NDArray[np.uint8], threshold: int) -> NDArray[np.bool_]:
    changed: NDArray[np.bool_] = (probability >= threshold) & (probability != UNOBSERVED)
    return changed


def _fitted(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pixels at a panel's size: smoothed when made smaller or a little larger, as squares when each becomes large."""
    large = size[0] >= 4 * pixels.shape[1] or size[1] >= 4 * pixels.shape[0]
    method = Image.Resampling.NEAREST if large else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(pixels).resize(size, method))


def _worth_zooming(look: Look, threshold: int) -> Window | None:
    """A window (pixels of the look) around the largest cluster of change if it is small in the scene, else None."""
    changed = _changed(look.probability, threshold)
    height, width = changed.shape
    if not changed.any() or min(height, width) < ZOOM_LEAST_PX:
        return None
    reach = max(1, max(height, width) // 200)
    near = ndimage.maximum_filter(changed, size=2 * reach + 1)
    labels, count = ndimage.label(near, structure=np.ones((3, 3), bool))
    largest = 1 + int(np.argmax(ndimage.sum_labels(changed, labels, np.arange(1, count + 1))))
    rows, cols = ndimage.find_objects(labels, largest)[largest - 1]
    # On the ground 4:3, half as much again as the change itself, and never so close that pixels turn into plates.
    aspect = ground_of(look.geobox).pixel_aspect
    tall = max(1.5 * (rows.stop - rows.start), 1.5 * (cols.stop - cols.start) * aspect * 3 / 4, ZOOM_LEAST_PX)
    wide = tall * 4 / 3 / aspect
    if tall > ZOOM_MOST_OF_SCENE * height or wide > ZOOM_MOST_OF_SCENE * width:
        return None
    top = int(np.clip((rows.start + rows.stop - tall) / 2, 0, height - tall))
    left = int(np.clip((cols.start + cols.stop - wide) / 2, 0, width - wide))
    return Window(left, top, int(wide), int(tall))


def _frame(panel: Image.Image, window: Window, look: Look) -> None:
    """The place of the closer look, drawn on a panel of the whole."""
    height, width = look.geobox.shape
    x, y = panel.width / width, panel.height / height
    left, top = window.col_off * x, window.row_off * y
    right, bottom = left + window.width * x, top + window.height * y
    draw = ImageDraw.Draw(panel)
    draw.rectangle((left, top, right, bottom), outline=INK, width=4)
    draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=PAPER, width=2)


def _say(panel: Image.Image, words: str) -> None:
    """Words in the middle of a panel, on a plate; on a panel too narrow for them only the line above says it."""
    draw, font = ImageDraw.Draw(panel), font_of(26)
    centre = (panel.width / 2, panel.height / 2)
    left, top, right, bottom = draw.textbbox(centre, words, font=font, anchor="mm")
    if right - left + 28 > panel.width or bottom - top + 20 > panel.height:
        return
    draw.rounded_rectangle((left - 14, top - 10, right + 14, bottom + 10), radius=6, fill=PAPER, outline=MUTED)
    draw.text(centre, words, font=font, fill=INK, anchor="mm")


def _band(panels: list[Image.Image], titles: tuple[str, ...], columns: int, look: Look, *, legend: bool) -> Image.Image:
    """Panels with their titles, in a row or a column, and the footer below them."""
    wide, tall = panels[0].size
    rows = math.ceil(len(panels) / columns)
    canvas = Image.new("RGB", (WIDTH, rows * (tall + LABEL_H) + FOOT_H), PAPER)
    draw, font = ImageDraw.Draw(canvas), font_of(20)
    start = (WIDTH - columns * wide - (columns - 1) * GAP) // 2
    for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        left = start + (number % columns) * (wide + GAP)
        top = (number // columns) * (tall + LABEL_H)
        draw.text((left, top + LABEL_H - 6), title, font=font, fill=INK, anchor="ls")
        canvas.paste(panel, (left, top + LABEL_H))
    _footer(canvas, look, panels[0].size, legend=legend)
    return canvas


def _footer(canvas: Image.Image, look: Look, panel: tuple[int, int], *, legend: bool) -> None:
    """Legend and place at the left, scale bar and north at the right."""
    draw, font, middle = ImageDraw.Draw(canvas), font_of(18), canvas.height - FOOT_H / 2
    left = float(MARGIN)
    if legend:
        left = _legend(canvas, left, middle, hatched=bool((look.probability == UNOBSERVED).any()))
    draw.text((left, middle), place_text(look.geobox), font=font, fill=MUTED, anchor="lm")
    ground = ground_of(look.geobox)
    height, width = look.geobox.shape
    if ground.metres is None:
        return
    right = float(WIDTH - MARGIN)
    metres_x, metres_y = ground.metres
    if ground.north is not None:
        draw_north(draw, (right - 26, middle), (ground.north[0] * metres_x, ground.north[1] * metres_y), font_of(16))
        right -= 76
    # Along the longer side: the shorter one may be drawn wider than it is (THINNEST).
    along = metres_x * width / panel[0] if panel[0] >= panel[1] else metres_y * height / panel[1]
    draw_scale_bar(draw, right, middle, scale_bar(along, min(320.0, 0.4 * max(panel))), font)


def _legend(canvas: Image.Image, left: float, middle: float, *, hatched: bool) -> float:
    """Swatches with their names; returns the x behind them."""
    draw, font, wide, tall = ImageDraw.Draw(canvas), font_of(18), 30, 18
    entries = ["changed", "not observed"] if hatched else ["changed"]
    for name in entries:
        box = (round(left), round(middle - tall / 2), round(left) + wide, round(middle + tall / 2))
        if name == "changed":
            tint = tuple(round(0.68 * 150 + 0.32 * part) for part in ANSWER_COLOUR)
            draw.rectangle(box, fill=tint, outline=ANSWER_COLOUR, width=2)
        else:
            canvas.paste(hatch_swatch((wide, tall)), box[:2])
        draw.text((left + wide + 8, middle), name, font=font, fill=INK, anchor="lm")
        left += wide + 8 + draw.textlength(name, font=font) + 26
    return left


def place_text(geobox: GeoBox) -> str:
    """The centre in degrees; nothing for a picture without a CRS."""
    if geobox.crs is None:
        return ""
    lon, lat = centre_lonlat(geobox)
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return ""
    lon = (lon + 180) % 360 - 180
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}  {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def _dated(name: str, date: str | None) -> str:
    return f"{name} · {date}" if date else name
