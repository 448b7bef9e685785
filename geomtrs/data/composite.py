"""Training pairs from real pixels: crops of labelled pairs, and single dates with labelled pieces laid in.

Every pixel carries a raw label and the number of the rule that reads it (`labels.py`), so labels of different sets
meet in one picture and each stays true only of what its set labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

CROP_PX = 256
TARGET_STRIDE = 2  # labels are compared at half resolution

# Raw labels of what is drawn into pictures.
ROOF, STREET, YARD, ROAD, ICE, AIRCRAFT, BOAT, RUIN, SOLAR, TREE, BARE, CLEARED, POOL, WATER = range(1, 15)
CLOUDS = 31  # hiding several things; the numbers after it hide one of the things each, and the one after them nothing
NOT_YET = (
    64  # for the date that lacks what is drawn; the numbers after it tell what it lacks and has (training/sets.py)
)


@dataclass
class Scene:
    """One date under construction: pixels and labels of the same (H, W)."""

    image: NDArray[np.uint8]  # (H, W, 3)
    raw: NDArray[np.uint8]  # (H, W) label as its set writes it
    rule: NDArray[np.uint8]  # (H, W) number of the rule that reads `raw`

    def copy(self) -> Scene:
        """A scene that may be drawn on."""
        return Scene(self.image.copy(), self.raw.copy(), self.rule.copy())


def crop(plane: NDArray[np.uint8], top: float, left: float, side: float, *, nearest: bool) -> NDArray[np.uint8]:
    """A square of `side` source pixels, resampled to CROP_PX; outside the plane it is reflected."""
    height, width = plane.shape[:2]
    pad = max(0, int(np.ceil(max(-top, -left, top + side - height, left + side - width))) + 1)
    if pad:
        plane = np.pad(plane, ((pad, pad), (pad, pad), (0, 0))[: plane.ndim], mode="symmetric")
    box = (left + pad, top + pad, left + pad + side, top + pad + side)
    method = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(plane).resize((CROP_PX, CROP_PX), method, box=box))


def some_of(where: NDArray[np.bool_], shares: Sequence[float], rng: np.random.Generator) -> NDArray[np.bool_]:
    """About one of `shares` of the components of `where`, which is not empty: one of them at least."""
    labels, count = ndimage.label(where)
    keep = rng.random(count + 1) < rng.choice(shares)
    keep[int(rng.integers(1, count + 1))] = True
    keep[0] = False
    return np.asarray(keep[labels], bool)


def piece_mask(scene: Scene, present: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where to cut a piece: some components of what is `present`, grown by a few pixels, else a random blob."""
    if present.any() and rng.random() < 0.85:
        some = some_of(present, (0.3, 0.6, 1.0), rng)
        return np.asarray(ndimage.binary_dilation(some, iterations=int(rng.integers(1, 5))), bool)
    noise = ndimage.zoom(rng.standard_normal((6, 6)), CROP_PX / 6, order=3)[:CROP_PX, :CROP_PX]
    return np.asarray(noise > np.quantile(noise, rng.uniform(0.7, 0.95)))


def lay_in(base: Scene, donor: Scene, mask: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """The masked part of the donor replaces that of the base, with a soft edge and partly matched colour."""
    if not mask.any():
        return
    piece = donor.image.astype(np.float32)
    match = rng.uniform(0, 0.5)
    piece += match * (base.image[mask].mean(0) - donor.image[mask].mean(0))
    blend(base, piece, mask, int(rng.integers(1, 6)))
    base.raw[mask], base.rule[mask] = donor.raw[mask], donor.rule[mask]


def blend(scene: Scene, picture: NDArray[np.floating[Any]], where: NDArray[np.bool_], edge_px: int) -> None:
    """The scene's pixels within `where` become those of the picture, with an edge so soft; labels stay as they are."""
    soft = ndimage.uniform_filter(where.astype(np.float32), edge_px)[..., None]
    scene.image = np.clip(np.rint(scene.image * (1 - soft) + picture * soft), 0, 255).astype(np.uint8)


def log_uniform(rng: np.random.Generator, between: tuple[float, float]) -> float:
    """A size or a share between two, as often half the one as twice it."""
    return float(np.exp(rng.uniform(*np.log(between))))


def blob(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """A ragged patch, or several, over about a share of the crop: noise of three sizes, cut where it is highest."""
    noise = rough(rng, (4, 16, 64), fall=0.7)
    return np.asarray(noise > np.quantile(noise, 1 - share))


def rough(rng: np.random.Generator, sides: Sequence[int], *, fall: float) -> NDArray[np.float64]:
    """(H, W) noise of several sizes, given by how many knots a side has; the finer ones weaker by `fall`."""
    layers = [
        ndimage.zoom(rng.standard_normal((side, side)), CROP_PX / side, order=1) / (side / sides[0]) ** fall
        for side in sides
    ]
    return np.asarray(sum(layers))


def scorch(scene: Scene, where: NDArray[np.bool_], rng: np.random.Generator, rule: int) -> None:
    """Ground within `where` looks burnt: dark, nearly grey, brownish or purple, its texture left; `rule` reads 1 there.

    Burnt ground has few labelled pictures, and its colours differ by sensor and stretch more than by place.
    """
    pixels = scene.image.astype(np.float32)
    grey = pixels.mean(-1, keepdims=True)
    tint = np.array([rng.uniform(0.85, 1.4), rng.uniform(0.5, 0.95), rng.uniform(0.65, 1.3)], np.float32)
    burnt = (grey + (pixels - grey) * rng.uniform(0.1, 0.5)) * rng.uniform(0.3, 0.75) * tint
    blend(scene, burnt, where, int(rng.integers(1, 5)))
    scene.raw[where], scene.rule[where] = 1, rule


def ruin(scene: Scene, where: NDArray[np.bool_], rng: np.random.Generator, rule: int) -> NDArray[np.bool_]:
    """What stands within `where` lies in heaps, spilt over its edges; returns where they are, labelled RUIN.

    Heaps are its own pixels shuffled in lumps, greyer and dusty, with dark gaps.
    """
    around = ndimage.binary_dilation(where, iterations=int(rng.integers(1, 5)))
    heaps = np.asarray(where | (around & (rough(rng, (24, 64), fall=0.3) > -0.5)))
    lump = int(rng.integers(1, 5))
    side = -(-CROP_PX // lump)

    def in_lumps(noise: NDArray[np.float64]) -> NDArray[np.float64]:
        return noise.repeat(lump, -1).repeat(lump, -2)[..., :CROP_PX, :CROP_PX]

    moved = np.rint(in_lumps(rng.normal(0, rng.uniform(2, 9), (2, side, side)))).astype(int)
    y, x = np.clip(np.indices((CROP_PX, CROP_PX)) + moved, 0, CROP_PX - 1)
    picture = scene.image[y, x].astype(np.float32)
    grey = picture.mean(-1, keepdims=True)
    dust = rng.uniform(110, 210) * np.array([1, rng.uniform(0.92, 1), rng.uniform(0.82, 1)])
    own = rng.uniform(0.4, 0.9)
    picture = (grey + (picture - grey) * rng.uniform(0.2, 0.9)) * own + dust * (1 - own)
    picture *= 1 + rng.uniform(0.08, 0.35) * in_lumps(rng.standard_normal((side, side)))[..., None]
    gaps = rough(rng, (40, 100), fall=0.2)
    picture[gaps > np.quantile(gaps, rng.uniform(0.75, 0.97))] *= rng.uniform(0.25, 0.6)
    blur = rng.uniform(0.3, 0.9)
    blend(scene, ndimage.gaussian_filter(picture, (blur, blur, 0)), heaps, int(rng.integers(1, 4)))
    scene.raw[heaps], scene.rule[heaps] = RUIN, rule
    return heaps
