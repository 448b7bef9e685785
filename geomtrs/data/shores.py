"""Water that comes, goes and changes its colour in real pictures: floods, lakes that dry, bars of rivers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.composite import WATER, Scene, blend, blob, log_uniform, rough, some_of

_COLOURS = np.array(
    [
        [22, 32, 46],
        [24, 38, 26],
        [50, 64, 62],
        [98, 88, 66],
        [132, 112, 84],
        [64, 118, 120],
        [124, 130, 128],
        [66, 84, 150],
        [118, 140, 196],
        [44, 38, 98],
    ]
)
"""Clear and deep, with plants, shallow, brown in two tones, turquoise, shining, and blue as stretched bands show it."""


def tinge(scene: Scene, wet: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """The water within `wet` in other colours, with what can be seen in it; it is the same water."""
    if not wet.any():
        return
    own = rng.uniform(0.2, 1.2) * (scene.image - scene.image[wet].mean(0))
    blend(scene, _colour(rng) + own, wet, int(rng.integers(1, 4)))


def flood(scene: Scene, where: NDArray[np.bool_], wet: NDArray[np.bool_], rng: np.random.Generator, rule: int) -> None:
    """Water lies within `where`, at times like that within `wet`, labelled WATER; `rule` reads it.

    What is below shows through a little.
    """
    own = rng.uniform(0, 0.25)
    colour = scene.image[wet].mean(0) if wet.any() and rng.random() < 0.6 else _colour(rng)
    tone = 1 + rng.uniform(0, 0.12) * rough(rng, (4, 12, 64), fall=0.4)
    picture = colour * tone[..., None] * (1 - own) + scene.image * own
    blend(scene, picture, where, int(rng.integers(1, 5)))
    scene.raw[where], scene.rule[where] = WATER, rule


def basin(wet: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(H, W) where water may rise: along the shore of what is `wet`, else in hollows."""
    if wet.any() and rng.random() < 0.5:
        return _beyond(wet, rng)
    return np.asarray(ndimage.binary_opening(blob(rng, log_uniform(rng, (0.004, 0.35))), iterations=2), bool)


def bars(wet: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(H, W) what falls dry of what is `wet`, which is not empty: along shores, in the midst, or all of some of it."""
    kind = rng.random()
    if kind < 0.45:
        dry = _beyond(~wet, rng)
    elif kind < 0.75:
        dry = wet & blob(rng, rng.uniform(0.05, 0.5))
    else:
        dry = some_of(wet, (0.3, 0.6, 1.0), rng)
    return np.asarray(ndimage.binary_opening(dry), bool)


def _beyond(where: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A strip along the outer side of `where`, of uneven width."""
    away = ndimage.distance_transform_edt(~where)
    width_px = log_uniform(rng, (2, 40)) * (1 + rng.uniform(0.2, 1) * rough(rng, (4, 12, 40), fall=0.5))
    return np.asarray((away > 0) & (away < width_px))


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3,) a colour of water from above."""
    first, second = _COLOURS[rng.integers(len(_COLOURS), size=2)]
    share = rng.random()
    return np.asarray((share * first + (1 - share) * second) * rng.uniform(0.6, 1.3) * rng.uniform(0.93, 1.07, 3))
