"""Things → light and labels: one date of a scene painted from the ground up."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from geomtrs.data.ground import Field, Grain, crowns, stripes
from geomtrs.data.looks import Climate, Colour, Look
from geomtrs.data.things import BOX_LABEL, BUILDINGS, CLASSES, COVER_LABEL, Box, Ground, Points, Road, Thing, Tree

_PANEL: Colour = (0.13, 0.17, 0.27)
_ASH: Colour = (0.17, 0.15, 0.135)
_SHADE = np.array([0.88, 0.98, 1.12], np.float32)
"""Shadows are lit by the sky: a little blue."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """One date being painted."""

    rgb: NDArray[np.float32]
    """(H, W, 3), 0..1."""
    labels: NDArray[np.uint8]
    """(H, W), values of CLASSES."""
    gsd_m: float
    grain: Grain
    climate: Climate
    look: Look
    seed: int
    """Of the textures that every patch of the scene shares."""


def paint(canvas: Canvas, things: Iterable[Thing]) -> None:
    """Fill the canvas: ground, roads, low things, shadows, buildings, canopy; within each of these in the order given."""
    todo = list(things)
    for thing in todo:
        if isinstance(thing, Ground) and thing.cover != "forest":
            _paint_ground(canvas, thing)
    for thing in todo:
        if isinstance(thing, Road):
            _paint_road(canvas, thing)
    for thing in todo:
        if isinstance(thing, Box) and thing.kind not in BUILDINGS and thing.kind != "panel":
            _paint_box(canvas, thing)
    _cast_shadows(canvas, todo)
    for thing in todo:
        if isinstance(thing, Box) and (thing.kind in BUILDINGS or thing.kind == "panel"):
            _paint_box(canvas, thing)
    for thing in todo:
        if isinstance(thing, Ground) and thing.cover == "forest":
            _paint_ground(canvas, thing)
        elif isinstance(thing, Tree):
            _paint_tree(canvas, thing)


@dataclass(frozen=True, slots=True)
class _Patch:
    """The part of the canvas that a thing may touch."""

    at: tuple[slice, slice]
    x: Field
    """(1, w) pixel coordinates of the centres."""
    y: Field
    """(h, 1)."""


def _patch(canvas: Canvas, low: Points, high: Points) -> _Patch | None:
    """Pixels between two corners (pixel coordinates), or None where that is outside the canvas."""
    height, width = canvas.labels.shape
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    right, bottom = min(width, int(high[0]) + 2), min(height, int(high[1]) + 2)
    if left >= right or top >= bottom:
        return None
    x = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
    return _Patch((slice(top, bottom), slice(left, right)), x, y)


def _inside(patch: _Patch, outline_px: Points) -> NDArray[np.bool_]:
    rows, columns = patch.at
    mask = Image.new("L", (columns.stop - columns.start, rows.stop - rows.start))
    shifted = outline_px - (columns.start + 0.5, rows.start + 0.5)
    ImageDraw.Draw(mask).polygon(shifted.ravel().tolist(), fill=1)
    return np.asarray(mask).astype(bool)


def _frayed(canvas: Canvas, patch: _Patch, mask: NDArray[np.bool_], by_m: float) -> NDArray[np.bool_]:
    """The mask with an edge that nobody drew with a ruler: by about so many metres to either side."""
    soft = ndimage.gaussian_filter(mask.astype(np.float32), by_m / canvas.gsd_m, mode="nearest")
    ragged = np.clip(0.2 * canvas.grain.clump[patch.at] + 0.1 * canvas.grain.fine[patch.at], -0.4, 0.4)  # no holes
    return np.asarray(soft + ragged > 0.5)


def _paint_ground(canvas: Canvas, ground: Ground) -> None:
    outline = ground.outline / canvas.gsd_m
    patch = _patch(canvas, outline.min(axis=0), outline.max(axis=0))
    if patch is None:
        return
    inside = _inside(patch, outline)
    if not inside.any():
        return
    if ground.cover not in ("paved", "solar", "forest"):
        inside = _frayed(canvas, patch, inside, 1.0)
    rgb = _cover_rgb(canvas, ground, patch)
    np.copyto(canvas.rgb[patch.at], rgb, where=inside[:, :, None])
    canvas.labels[patch.at][inside] = COVER_LABEL[ground.cover]


def _cover_rgb(canvas: Canvas, ground: Ground, patch: _Patch) -> NDArray[np.float32]:
    """(h, w, 3) light of a cover."""
    fine, clump, broad = canvas.grain.fine[patch.at], canvas.grain.clump[patch.at], canvas.grain.broad[patch.at]
    climate, look = canvas.climate, canvas.look
    tint = np.array(ground.tint, np.float32)
    if ground.cover == "forest":
        return _forest_rgb(canvas, ground, patch)
    if ground.cover in ("grass", "lawn", "scrub"):
        dry = np.clip(look.dryness * (0.45 if ground.cover == "lawn" else 1.0) + 0.22 * broad + 0.1 * clump, 0, 1)[
            :, :, None
        ]
        rgb = (np.array(climate.grass, np.float32) * (1 - dry) + np.array(climate.straw, np.float32) * dry) * tint
        worn = np.clip(0.9 * broad + 0.5 * clump - 1.1, 0, 0.55)[:, :, None] * np.float32(ground.cover != "scrub")
        rgb = rgb * (1 - worn) + np.array(climate.soil, np.float32) * worn
        tufts = (0.14, 0.14) if ground.cover == "scrub" else (0.05, 0.09)
        tone = 1 + tufts[0] * clump + tufts[1] * fine
        if ground.cover == "scrub":
            tone -= 0.3 * np.clip(2 * clump - 1.4, 0, 1)
    elif ground.cover == "solar":
        return _solar_rgb(canvas, ground, patch)
    else:
        base, speckle = {
            "field": (np.ones(3, np.float32), (0.035, 0.05, 0.07)),
            "bare": (np.array(climate.soil, np.float32), (0.09, 0.06, 0.09)),
            "sand": (np.array(climate.sand, np.float32), (0.05, 0.05, 0.06)),
            "paved": (np.array(climate.asphalt, np.float32), (0.04, 0.035, 0.03)),
            "water": (np.array(climate.water, np.float32), (0.012, 0.035, 0.04)),
            "burnt": (np.array(_ASH, np.float32), (0.26, 0.16, 0.12)),
        }[ground.cover]
        rgb = np.broadcast_to(base * tint, (*fine.shape, 3))
        tone = 1 + speckle[0] * clump + speckle[1] * fine + speckle[2] * broad
    if ground.strength and ground.period_m:
        rows = stripes(patch.x, patch.y, angle=ground.angle, period_px=ground.period_m / canvas.gsd_m)
        tone = tone + 0.6 * ground.strength * rows * np.clip(0.7 + 0.5 * broad + 0.25 * clump, 0, 1.6)
    return np.asarray(rgb * np.maximum(tone, 0.1)[:, :, None], np.float32)


def _forest_rgb(canvas: Canvas, ground: Ground, patch: _Patch) -> NDArray[np.float32]:
    canopy = crowns(
        np.random.default_rng(canvas.seed),
        patch.x,
        patch.y,
        cell_px=ground.period_m / canvas.gsd_m,
        sun=canvas.look.sun,
    )
    light = (0.35 + 0.65 * canopy.height) * (1 + 0.3 * canopy.slope * canopy.height) * (0.86 + 0.3 * canopy.kind)
    light *= 1 + 0.1 * canvas.grain.broad[patch.at] + 0.15 * canvas.grain.fine[patch.at]
    rgb = _leaf(canvas, (canopy.kind * 7.3) % 1.0) * np.array(ground.tint, np.float32)
    return np.asarray(rgb * np.maximum(light, 0.1)[:, :, None] * np.float32(1.12), np.float32)


def _leaf(canvas: Canvas, evergreen: Field) -> NDArray[np.float32]:
    """(…, 3) colour of crowns: those with little of `evergreen` (0..1) stand leafless in winter."""
    bare = (evergreen < canvas.look.bare_branches).astype(np.float32)[..., None] * np.float32(0.8)
    twigs = np.array([0.36, 0.32, 0.28], np.float32)
    return np.asarray(np.array(canvas.climate.crown, np.float32) * (1 - bare) + twigs * bare, np.float32)


def _solar_rgb(canvas: Canvas, ground: Ground, patch: _Patch) -> NDArray[np.float32]:
    turf = Ground(ground.outline, "grass", ground.tint)
    rgb = _cover_rgb(canvas, turf, patch)
    period = max(ground.period_m / canvas.gsd_m, 1.0)
    sine, cosine = np.float32(np.sin(ground.angle)), np.float32(np.cos(ground.angle))
    across, along = patch.y * cosine - patch.x * sine, patch.x * cosine + patch.y * sine
    on_table = (across / period) % 1 < 0.62
    on_table &= (along / (ground.period_m * 5.3 / canvas.gsd_m)) % 1 < 0.95
    sheen = 1 + 0.10 * np.sin(along * np.float32(0.9 / canvas.gsd_m)) + 0.05 * canvas.grain.broad[patch.at]
    panels = np.array(_PANEL, np.float32) * sheen[:, :, None]
    if period < 2.5:
        return np.asarray(0.62 * panels + 0.38 * rgb, np.float32)
    shaded = (across / period) % 1 > 0.85
    rgb = np.where(shaded[:, :, None], rgb * 0.6, rgb)
    return np.where(on_table[:, :, None], panels, rgb)


def _paint_road(canvas: Canvas, road: Road) -> None:
    line = road.line / canvas.gsd_m
    reach = (road.width_m / 2 + road.shoulder_m) / canvas.gsd_m + 1
    patch = _patch(canvas, line.min(axis=0) - reach, line.max(axis=0) + reach)
    if patch is None:
        return
    grain = (
        1
        + 0.05 * canvas.grain.fine[patch.at]
        + 0.04 * canvas.grain.clump[patch.at]
        + 0.05 * canvas.grain.broad[patch.at]
    )
    if road.shoulder_m:
        verge = _along(patch, line, (road.width_m + 2 * road.shoulder_m) / canvas.gsd_m)
        verge = _frayed(canvas, patch, verge, 0.2 if road.paved else 0.6)  # pavements are laid, tracks are worn
        colour = np.array(canvas.climate.concrete if road.paved else canvas.climate.sand, np.float32)
        if road.paved:
            colour = (colour + np.array(canvas.climate.asphalt, np.float32)) * np.float32(0.5)  # as dirty as the road
        np.copyto(canvas.rgb[patch.at], colour * grain[:, :, None], where=verge[:, :, None])
        canvas.labels[patch.at][verge] = CLASSES["other"]
    strip = _along(patch, line, road.width_m / canvas.gsd_m)
    strip = _frayed(canvas, patch, strip, 0.25 if road.paved else 0.7)
    colour = np.array(canvas.climate.asphalt if road.paved else canvas.climate.sand, np.float32) * np.float32(road.tone)
    np.copyto(canvas.rgb[patch.at], colour * grain[:, :, None], where=strip[:, :, None])
    canvas.labels[patch.at][strip] = CLASSES["road"]
    if road.marked:
        # A painted line is 15 cm wide: it fades with the pixel's size, and wears off.
        paint_share = min(0.75, 0.17 / canvas.gsd_m) * np.clip(0.8 + 0.5 * canvas.grain.clump[patch.at], 0.1, 1)
        for offset in (0.0, -road.width_m / 2 + 0.4, road.width_m / 2 - 0.4):
            mark = _along(patch, _beside(line, offset / canvas.gsd_m), 1.0) & strip
            if offset == 0.0:
                mark &= ((patch.x + patch.y) * canvas.gsd_m) % 9 < 4.5
            canvas.rgb[patch.at][mark] += (0.92 - canvas.rgb[patch.at][mark]) * paint_share[mark][:, None]


def _along(patch: _Patch, line_px: Points, width_px: float) -> NDArray[np.bool_]:
    rows, columns = patch.at
    mask = Image.new("L", (columns.stop - columns.start, rows.stop - rows.start))
    shifted = line_px - (columns.start + 0.5, rows.start + 0.5)
    ImageDraw.Draw(mask).line(shifted.ravel().tolist(), fill=1, width=max(1, round(width_px)), joint="curve")
    return np.asarray(mask).astype(bool)


def _beside(line: Points, offset: float) -> Points:
    """The line moved sideways by offset."""
    heading = np.gradient(line, axis=0)
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
    return np.asarray(line + offset * np.stack([-heading[:, 1], heading[:, 0]], axis=1))


def _cast_shadows(canvas: Canvas, things: Iterable[Thing]) -> None:
    """Darken the ground behind everything tall. Roofs and crowns are painted afterwards, so they keep the light."""
    height, width = canvas.labels.shape
    dark = Image.new("L", (width, height))
    pen = ImageDraw.Draw(dark)
    sun = np.array(canvas.look.sun)
    for thing in things:
        if isinstance(thing, Box) and thing.height_m:
            corners = box_corners(thing) / canvas.gsd_m
            _sweep(pen, corners, sun * thing.height_m / canvas.gsd_m)
        elif isinstance(thing, Tree):
            x, y = np.array(thing.centre) / canvas.gsd_m
            r = 0.9 * thing.radius_m / canvas.gsd_m
            # Crowns begin low: from above a tree's shadow hangs on to it and no trunk is seen in it.
            reach = sun * min(0.75 * thing.height_m, 1.9 * thing.radius_m / (np.hypot(*sun) + 1e-6))
            dx, dy = reach / canvas.gsd_m
            pen.line((x, y, x + dx, y + dy), fill=255, width=max(1, round(1.8 * r)))
            pen.ellipse((x + dx - r, y + dy - r, x + dx + r, y + dy + r), fill=255)
        elif isinstance(thing, Ground) and thing.cover == "forest":
            for step in (0.3, 0.65, 1.0):
                moved = (thing.outline + sun * 9.0 * step) / canvas.gsd_m
                pen.polygon(moved.ravel().tolist(), fill=255)
    shade = np.asarray(dark).astype(np.float32) / 255
    if shade.any():
        shade = ndimage.gaussian_filter(shade, 0.4 / canvas.gsd_m)
        lit = 1 - canvas.look.shadow * shade
        canvas.rgb[...] *= lit[:, :, None] + (_SHADE - 1) * (0.35 * shade)[:, :, None]


def _sweep(pen: ImageDraw.ImageDraw, corners: Points, move: Points) -> None:
    """All ground that a moved polygon passes over."""
    pen.polygon((corners + move).ravel().tolist(), fill=255)
    for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        pen.polygon([*first.tolist(), *second.tolist(), *(second + move).tolist(), *(first + move).tolist()], fill=255)


def box_corners(box: Box) -> Points:
    """(4, 2) metres, in turn."""
    half = np.array(box.size) / 2
    local = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    sine, cosine = np.sin(box.angle), np.cos(box.angle)
    return np.asarray(local @ np.array([[cosine, sine], [-sine, cosine]]) + np.array(box.centre))


def _paint_box(canvas: Canvas, box: Box) -> None:
    centre = np.array(box.centre) / canvas.gsd_m
    half = np.array(box.size) / 2 / canvas.gsd_m
    reach = float(np.hypot(*half)) + 1
    patch = _patch(canvas, centre - reach, centre + reach)
    if patch is None:
        return
    sine, cosine = np.float32(np.sin(box.angle)), np.float32(np.cos(box.angle))
    x, y = patch.x - np.float32(centre[0]), patch.y - np.float32(centre[1])
    along, across = x * cosine + y * sine, y * cosine - x * sine
    reach_along, reach_across = half[0] - abs(along), half[1] - abs(across)
    if box.kind == "boat":
        reach_across = reach_across - half[1] * np.clip(along / half[0], 0, 1) ** 2
    cover = np.clip(reach_along + 0.5, 0, 1) * np.clip(reach_across + 0.5, 0, 1)
    tone = _box_tone(canvas, box, (along, across), (reach_along, reach_across))
    tone *= 1 + 0.035 * canvas.grain.fine[patch.at] + 0.03 * canvas.grain.clump[patch.at]
    colour = np.array(box.colour, np.float32)
    rgb = canvas.rgb[patch.at]
    rgb += (colour * tone[:, :, None] - rgb) * np.asarray(cover, np.float32)[:, :, None]
    canvas.labels[patch.at][cover > 0.5] = BOX_LABEL[box.kind]


def _box_tone(canvas: Canvas, box: Box, place: tuple[Field, Field], inward: tuple[Field, Field]) -> Field:
    """Light on a box, (h, w): `place` along and across its middle, `inward` the distance to its sides, all in pixels."""
    along, across = place
    to_sun = -np.array(canvas.look.sun) / (np.hypot(*canvas.look.sun) + 1e-6)
    facing_along = float(to_sun @ (np.cos(box.angle), np.sin(box.angle)))
    facing_across = float(to_sun @ (-np.sin(box.angle), np.cos(box.angle)))
    side = np.sign(across) * np.float32(facing_across)
    metre = 1 / canvas.gsd_m
    match box.kind:
        case "gable":
            return np.asarray(1 + 0.27 * side, np.float32)
        case "hip":
            end = inward[0] < inward[1]
            return np.asarray(1 + 0.27 * np.where(end, np.sign(along) * np.float32(facing_along), side), np.float32)
        case "flat":
            edge = np.minimum(inward[0], inward[1])
            wall_side = np.maximum(
                np.sign(along) * facing_along * (inward[0] < metre),
                np.sign(across) * facing_across * (inward[1] < metre),
            )
            return np.asarray(
                1 + 0.16 * (edge < 0.5 * metre) - 0.22 * (wall_side > 0.3) * (edge >= 0.5 * metre), np.float32
            )
        case "hall":
            ribs = stripes(along, across, angle=np.pi / 2, period_px=2.4 * metre)
            skylight = (
                (abs(across) > 0.2 * box.size[1] * metre)
                & (abs(across) < 0.3 * box.size[1] * metre)
                & ((along / (9 * metre)) % 1 < 0.35)
            )
            return np.asarray(1 + 0.10 * side + 0.03 * ribs + 0.14 * skylight, np.float32)
        case "car":
            glass = (along > 0.05 * box.size[0] * metre) & (along < 0.24 * box.size[0] * metre)
            return np.asarray(1 - 0.55 * glass - 0.0 * across, np.float32)
        case "lorry":
            return np.asarray(1 - 0.4 * (along > 0.3 * box.size[0] * metre) - 0.0 * across, np.float32)
        case "pool":
            return np.asarray(1 + 0.15 * (np.minimum(inward[0], inward[1]) < 0.7 * metre), np.float32)
        case "panel":
            return np.asarray(
                1 + 0.12 * stripes(along, across, angle=0.0, period_px=2 * metre) - 0.0 * along, np.float32
            )
        case _:
            return np.ones(np.broadcast_shapes(along.shape, across.shape), np.float32)


def _paint_tree(canvas: Canvas, tree: Tree) -> None:
    centre = np.array(tree.centre) / canvas.gsd_m
    r = max(tree.radius_m / canvas.gsd_m, 0.6)
    patch = _patch(canvas, centre - 1.4 * r, centre + 1.4 * r)
    if patch is None:
        return
    x, y = (patch.x - np.float32(centre[0])) / np.float32(r), (patch.y - np.float32(centre[1])) / np.float32(r)
    ragged = canvas.grain.clump[patch.at]
    fine = canvas.grain.fine[patch.at]
    lobes = 0.09 * np.sin(3 * np.arctan2(y, x) + 40 * tree.tint[0]) + 0.06 * np.sin(
        5 * np.arctan2(y, x) + 70 * tree.tint[1]
    )
    away = np.sqrt(x * x + y * y) + lobes + 0.13 * ragged + 0.12 * fine
    cover = np.clip((1 - away) * np.float32(r) + 0.5, 0, 1)
    towards = -np.array(canvas.look.sun) / (np.hypot(*canvas.look.sun) + 1e-6)
    facing = x * np.float32(towards[0]) + y * np.float32(towards[1])
    light = (1.08 - 0.2 * away + 0.28 * facing) * (1 + 0.2 * fine + 0.14 * ragged)
    leafless = (tree.tint[0] * 97.0) % 1.0
    colour = _leaf(canvas, np.array([leafless], np.float32))[0] * np.array(tree.tint, np.float32)
    rgb = canvas.rgb[patch.at]
    rgb += (colour * np.maximum(light, 0.15)[:, :, None] - rgb) * np.asarray(cover, np.float32)[:, :, None]
    canvas.labels[patch.at][cover > 0.5] = CLASSES["tree"]
