"""Single trees drawn into real pictures from near: few labels tell, by the pixel, which tree is new or gone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.composite import CROP_PX, TREE, Scene, log_uniform, rough

RADII_PX = 2.5, 16.0  # of crowns


def leafy(scene: Scene) -> NDArray[np.bool_]:
    """(H, W) where it is dark and green, as crowns are: a tree may stand there, labelled or not."""
    pixels = ndimage.uniform_filter(scene.image.astype(np.float32), (3, 3, 1))
    greener = pixels[..., 1] - np.maximum(pixels[..., 0], pixels[..., 2])
    return np.asarray((greener > 3) & (pixels.mean(-1) < scene.image.mean()))


def plant(
    scene: Scene,
    where: NDArray[np.bool_],
    heights: NDArray[np.float64],
    rng: np.random.Generator,
    rule: int,
) -> None:
    """Crowns within `where`, lit from one side, with their shadows; `rule` reads the labels.

    `heights` (H, W) are 1 in the middle of a crown, 0 at its edge and less outside.
    """
    sun = rng.uniform(0, 2 * np.pi)
    towards = np.array([np.sin(sun), np.cos(sun)])
    soft_heights = ndimage.gaussian_filter(np.clip(heights, 0, 1), 0.8)
    slope = np.gradient(soft_heights, axis=(0, 1))
    lit = -(slope[0] * towards[0] + slope[1] * towards[1])
    lit /= np.abs(lit).max() + 1e-6
    leaves = rough(rng, (48, 110, 200), fall=0.1)
    bright = _green(scene, rng) * (1 + rng.uniform(0.2, 0.7) * lit + rng.uniform(0.05, 0.2) * leaves)[..., None]
    length = rng.uniform(0.2, 1.2) * np.sqrt(max(1.0, where.sum() / max(1, ndimage.label(where)[1])))
    cast = np.zeros(where.shape, bool)
    for part in (0.35, 0.7, 1.0):
        cast |= ndimage.shift(where.astype(np.uint8), -towards * length * part, order=0) > 0
    shade = ndimage.gaussian_filter((cast & ~where).astype(np.float32), 0.6)[..., None] * rng.uniform(0.25, 0.65)
    soft = ndimage.gaussian_filter(where.astype(np.float32), rng.uniform(0.4, 0.9))[..., None]
    picture = scene.image * (1 - shade) * (1 - soft) + bright * soft
    scene.image = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    scene.raw[where], scene.rule[where] = TREE, rule


def stand(free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) heights of up to 24 crowns of like size, scattered, in a row or in a clump, whose middles are `free`."""
    radius = log_uniform(rng, RADII_PX)
    heights = np.full((CROP_PX, CROP_PX), -1.0)
    places = np.argwhere(free)
    if not len(places):
        return heights
    y, x = np.mgrid[:CROP_PX, :CROP_PX].astype(float)
    ragged = rng.uniform(0.1, 0.35) * rough(rng, (24, 64), fall=0.3)
    kind, row = rng.random(), rng.uniform(0, 2 * np.pi)
    first, gap = places[rng.integers(len(places))].astype(float), radius * rng.uniform(1.6, 4)
    for k in range(int(rng.choice([1, 2, 4, 8, 16, 24]))):
        if kind < 0.4:
            middle = places[rng.integers(len(places))].astype(float)
        elif kind < 0.75:
            middle = first + k * gap * np.array([np.sin(row), np.cos(row)]) + rng.normal(0, radius * 0.2, 2)
        else:
            middle = first + rng.normal(0, radius * 2.5, 2)
        line, column = np.rint(middle).astype(int)
        if 0 <= line < CROP_PX and 0 <= column < CROP_PX and free[line, column]:
            own = radius * np.exp(rng.normal(0, 0.2))
            away = np.hypot(y - middle[0], x - middle[1]) / own
            heights = np.maximum(heights, np.sqrt(np.clip(1 - (away * (1 + ragged)) ** 2, 0, 1)) - 0.15)
    return heights


def _green(scene: Scene, rng: np.random.Generator) -> NDArray[np.float64]:
    """(3,) that of the picture's own trees where it shows some, at times another."""
    own = scene.image[leafy(scene)]
    if len(own) > 200 and rng.random() < 0.7:
        return np.asarray(own.mean(0) * rng.uniform(0.8, 1.25))
    return rng.uniform(35, 115) * np.array([rng.uniform(0.6, 1.0), 1, rng.uniform(0.5, 0.9)])
