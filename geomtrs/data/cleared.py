"""Ground laid bare, forest cleared and pools dug in real pictures: what few pairs of dates show, and many ask about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.composite import BARE, CLEARED, CROP_PX, POOL, Scene, blend, blob, log_uniform, rough

POOLS_PX = 5.0, 26.0  # lengths
_SOILS = np.array([[1, 0.9, 0.75], [1, 0.78, 0.62], [1, 0.68, 0.52], [1, 0.97, 0.92], [0.85, 0.72, 0.6]])


def plots(rng: np.random.Generator) -> NDArray[np.bool_]:
    """(H, W) a few plots with straight sides, or ragged ones, as ground is cleared."""
    if rng.random() < 0.4:
        return np.asarray(ndimage.binary_opening(blob(rng, log_uniform(rng, (0.01, 0.4))), iterations=2), bool)
    angle, side_px = rng.uniform(0, np.pi), log_uniform(rng, (10, 110))
    ragged = rng.uniform(0, 0.12) * side_px * rough(rng, (12, 40), fall=0.4)
    where = np.zeros((CROP_PX, CROP_PX), bool)
    middle = rng.uniform(0, CROP_PX, 2)
    for _ in range(int(rng.choice([1, 1, 2, 3, 6]))):
        half = side_px * rng.uniform(0.25, 0.9, 2)
        u, v = _around(middle, angle)
        where |= (np.abs(u + ragged) < half[0]) & (np.abs(v + ragged) < half[1])
        middle = middle + rng.normal(0, side_px * 1.3, 2)
    return where


def clear(scene: Scene, where: NDArray[np.bool_], rng: np.random.Generator, rule: int, *, green: float = 0.3) -> None:
    """Within `where` lies bare soil, labelled BARE, or, so often, low green, labelled CLEARED; `rule` reads them."""
    bare = rng.random() >= green
    tint = _SOILS[rng.integers(len(_SOILS))] * rng.uniform(0.95, 1.05, 3)
    if not bare:
        tint = np.array([rng.uniform(0.7, 0.95), 1, rng.uniform(0.45, 0.75)])
    bright = (rng.uniform(100, 240) if bare else rng.uniform(80, 170)) * (
        1 + rng.uniform(0.02, 0.13) * rough(rng, (6, 24, 96), fall=0.3)
    )
    if rng.random() < 0.4:  # tracks of machines, or rows
        y, x = np.mgrid[:CROP_PX, :CROP_PX]
        angle = rng.uniform(0, np.pi)
        across = np.cos(angle) * x + np.sin(angle) * y + rng.uniform(0, 6) * rough(rng, (4, 9), fall=0.5)
        rows = np.sin(2 * np.pi * across / rng.uniform(2.5, 18))
        bright = bright * (1 + rng.uniform(0.02, 0.08) * rows)
    own = rng.uniform(0, 0.3)
    picture = bright[..., None] * tint * (1 - own) + scene.image * own
    blur = rng.uniform(0.3, 0.9)
    blend(scene, ndimage.gaussian_filter(picture, (blur, blur, 0)), where, int(rng.integers(1, 4)))
    scene.raw[where], scene.rule[where] = BARE if bare else CLEARED, rule


def dig(scene: Scene, free: NDArray[np.bool_], rng: np.random.Generator, rule: int) -> NDArray[np.bool_]:
    """Up to six pools, oblong or round, with pale rims, where they fit in on what is `free`; where their water is."""
    length_px = log_uniform(rng, POOLS_PX)
    roomy = ndimage.minimum_filter(free, 2 * int(np.ceil(length_px * 0.7)) + 1, mode="constant")
    places = np.argwhere(roomy)
    deep = np.full((CROP_PX, CROP_PX), -9.0)
    if not len(places):
        return deep > 0
    heading = rng.uniform(0, np.pi)
    for _ in range(int(rng.choice([1, 1, 2, 3, 6]))):
        middle = places[rng.integers(len(places))]
        angle = heading + rng.choice([0, np.pi / 2])
        half = length_px / 2 * np.array([rng.uniform(0.7, 1.1), rng.uniform(0.35, 0.7)])
        u, v = _around(middle, angle)
        round_by = rng.choice([2.0, 3.0, 12.0])  # an ellipse, a rounded and a sharp oblong
        away = (np.abs(u / half[0]) ** round_by + np.abs(v / half[1]) ** round_by) ** (1 / round_by)
        deep = np.maximum(deep, (1 - away) * half[1])  # px from the rim inwards
    where = deep > 0
    rim_px = rng.uniform(0, 2.2) * length_px / 16
    water = rng.uniform(120, 235) * np.array([rng.uniform(0.25, 0.7), rng.uniform(0.8, 1), 1.0])
    picture = water * (1 + 0.05 * rng.standard_normal((CROP_PX, CROP_PX, 1)))
    picture[~where] = rng.uniform(170, 245)
    blur = rng.uniform(0.3, 0.7)
    blend(scene, ndimage.gaussian_filter(picture, (blur, blur, 0)), deep > -rim_px, 1)
    scene.raw[where], scene.rule[where] = POOL, rule
    return np.asarray(where)


def _around(middle: NDArray[Any], angle: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two coordinates (H, W) in pixels from a middle (row, column), along an angle and across it."""
    y, x = np.mgrid[:CROP_PX, :CROP_PX].astype(float)
    down, right = y - middle[0], x - middle[1]
    return np.cos(angle) * right + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * right
