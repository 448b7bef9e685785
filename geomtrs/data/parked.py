"""Aircraft and boats drawn into real pictures from near, where labelled ones are few: outlines, shadow, paint.

Three of the training pictures show aircraft. Their outline is what tells them, and that can be drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from geomtrs.data.composite import AIRCRAFT, BOAT, CROP_PX, Scene, log_uniform

_FINER = 4  # outlines are drawn so much larger, then averaged

SHIPS_PX, BOATS_PX, AIRCRAFT_PX = (3.0, 10.0), (9.0, 34.0), (14.0, 70.0)  # lengths: ships from afar

Outline = list[list[tuple[float, float]]]  # polygons, heading along x, in lengths of the thing


def park(
    scene: Scene,
    free: NDArray[np.bool_],
    rng: np.random.Generator,
    rule: int,
    *,
    afloat: bool,
    lengths_px: tuple[float, float],
) -> NDArray[np.bool_]:
    """Up to nine boats (`afloat`) or aircraft, alike and heading alike, on what is `free`; where they lie.

    Nothing is drawn where one would not fit; their length lies between `lengths_px`. `rule` reads the labels.
    """
    length_px = log_uniform(rng, lengths_px)
    outline = _hull(rng) if afloat else _aeroplane(rng)
    heading = rng.uniform(0, 2 * np.pi)
    gap = length_px * rng.uniform(0.35, 1.2) if afloat else length_px * rng.uniform(1.05, 1.7)
    row = heading + np.pi / 2
    roomy = ndimage.minimum_filter(free, 2 * int(np.ceil(length_px * 0.6)) + 1, mode="constant")
    places = np.argwhere(roomy)
    inked = np.zeros((CROP_PX, CROP_PX), np.float32)
    if not len(places):
        return inked > 0
    y, x = places[rng.integers(len(places))]
    for k in range(int(rng.choice([1, 1, 2, 3, 5, 9]))):
        cx, cy = x + k * gap * np.cos(row), y + k * gap * np.sin(row)
        column, line = round(cx), round(cy)
        if 0 <= line < CROP_PX and 0 <= column < CROP_PX and roomy[line, column]:
            turn = 0.0 if rng.random() < 0.8 else rng.normal(0, 0.2)
            inked = np.maximum(inked, _ink(outline, (cx, cy), length_px, heading + turn))
    paint = _paint(rng, afloat=afloat)
    shift = rng.uniform(-0.12, 0.12, 2) * length_px * (0.5 if afloat else 1.0)
    shade = ndimage.shift(inked, shift, order=1) * (1 - inked) * rng.uniform(0.2, 0.6)
    grain = 1 + 0.06 * rng.standard_normal((CROP_PX, CROP_PX, 1))
    soft = ndimage.gaussian_filter(inked, rng.uniform(0.3, 0.8))[..., None]
    picture = scene.image * (1 - shade[..., None]) * (1 - soft) + paint * grain * soft
    scene.image = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    where = inked > 0.4
    scene.raw[where], scene.rule[where] = BOAT if afloat else AIRCRAFT, rule
    return where


def _paint(rng: np.random.Generator, *, afloat: bool) -> NDArray[np.float64]:
    """(3,) mostly white, at times grey, dark or coloured."""
    kind = rng.random()
    if kind < 0.65:
        return rng.uniform(185, 250) * np.array([1, 1, rng.uniform(0.94, 1.02)])
    if kind < 0.9 or not afloat:
        return rng.uniform(80, 165) * np.array([1, rng.uniform(0.97, 1.03), rng.uniform(0.9, 1.08)])
    return rng.uniform(40, 200, 3)


def _ink(outline: Outline, centre: tuple[float, float], length_px: float, heading: float) -> NDArray[np.float32]:
    """(H, W) share of each pixel that the outline covers."""
    canvas = Image.new("L", (CROP_PX * _FINER, CROP_PX * _FINER))
    pen = ImageDraw.Draw(canvas)
    cos, sin = np.cos(heading) * length_px, np.sin(heading) * length_px
    for polygon in outline:
        points = [(centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v) for u, v in polygon]
        pen.polygon([(px * _FINER, py * _FINER) for px, py in points], fill=255)
    small = canvas.resize((CROP_PX, CROP_PX), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def _aeroplane(rng: np.random.Generator) -> Outline:
    """Fuselage, swept or straight wings, tailplane, and engines under the wings of some."""
    half, span = rng.uniform(0.035, 0.06), rng.uniform(0.38, 0.6)
    root, sweep, chord = rng.uniform(0.0, 0.15), rng.uniform(0.0, 0.35), rng.uniform(0.14, 0.26)
    tail_span, tail_sweep = span * rng.uniform(0.3, 0.45), sweep * 0.6
    fuselage = [
        (0.5, 0),
        (0.44, half),
        (-0.35, half),
        (-0.5, half * 0.3),
        (-0.5, -half * 0.3),
        (-0.35, -half),
        (0.44, -half),
    ]
    parts: Outline = [fuselage]
    tip = chord * rng.uniform(0.25, 0.6)
    engines = int(rng.choice([0, 1, 1, 2]))
    for side in (1, -1):
        parts.append(
            [(root, 0), (root - sweep * span, side * span), (root - sweep * span - tip, side * span), (root - chord, 0)]
        )
        parts.append([(-0.36, 0), (-0.36 - tail_sweep * tail_span, side * tail_span),
                      (-0.42 - tail_sweep * tail_span, side * tail_span), (-0.49, 0)])  # fmt: skip
        for k in range(engines):
            at = span * (0.36 + 0.26 * k)
            front = root - sweep * at + 0.06
            parts.append([(front, side * (at - 0.018)), (front, side * (at + 0.018)),
                          (front - 0.12, side * (at + 0.018)), (front - 0.12, side * (at - 0.018))])  # fmt: skip
    return parts


def _hull(rng: np.random.Generator) -> Outline:
    """A pointed bow, straight sides and a flat or rounded stern."""
    half, bow, stern = rng.uniform(0.1, 0.2), rng.uniform(0.1, 0.4), rng.uniform(0.6, 1.0)
    return [
        [
            (0.5, 0),
            (0.5 - bow, half),
            (-0.42, half),
            (-0.5, half * stern),
            (-0.5, -half * stern),
            (-0.42, -half),
            (0.5 - bow, -half),
        ]
    ]
