"""Training pairs from real pixels: crops of labelled pairs, and single dates with labelled pieces laid in.

Every pixel carries a raw label and the number of the rule that reads it (`labels.py`), so labels of different sets
meet in one picture and each stays true only of what its set labels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

CROP_PX = 256
TARGET_STRIDE = 2  # labels are compared at half resolution


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


def piece_mask(scene: Scene, present: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where to cut a piece: some components of what is `present`, grown by a few pixels, else a random blob."""
    if present.any() and rng.random() < 0.85:
        labels, count = ndimage.label(present)
        keep = rng.random(count + 1) < rng.choice([0.3, 0.6, 1.0])
        keep[int(rng.integers(1, count + 1))] = True
        keep[0] = False
        return np.asarray(ndimage.binary_dilation(keep[labels], iterations=int(rng.integers(1, 5))), bool)
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
    tint = np.array([rng.uniform(0.9, 1.35), rng.uniform(0.7, 0.95), rng.uniform(0.75, 1.2)], np.float32)
    burnt = (grey + (pixels - grey) * rng.uniform(0.1, 0.5)) * rng.uniform(0.3, 0.75) * tint
    blend(scene, burnt, where, int(rng.integers(1, 5)))
    scene.raw[where], scene.rule[where] = 1, rule


def stretch(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each band between its own percentiles, as `tiling.stretch` reads what is deeper than eight bits."""
    share = rng.uniform(0.5, 4)
    low, high = np.percentile(image.reshape(-1, 3), [share, 100 - share], axis=0)
    out: NDArray[np.uint8] = np.clip((image - low) / np.maximum(high - low, 16) * 255, 0, 255).astype(np.uint8)
    return out


def wither(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What is green turns brown or pale, as between seasons: the same ground, nothing came or went."""
    pixels = image.astype(np.float32)
    bright = pixels.mean(-1, keepdims=True)
    green = (pixels[..., 1:2] - np.maximum(pixels[..., :1], pixels[..., 2:])) / (bright + 8)  # turquoise water is not
    share = np.clip(green * rng.uniform(3, 8), 0, 1) * rng.uniform(0.5, 1)
    dry = bright * np.array([rng.uniform(1, 1.3), rng.uniform(0.88, 1.04), rng.uniform(0.6, 0.9)], np.float32)
    dry *= rng.uniform(0.9, 1.25)
    out: NDArray[np.uint8] = np.clip(pixels * (1 - share) + dry * share, 0, 255).astype(np.uint8)
    return out


def recolour(image: NDArray[np.uint8], other: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The same ground by a share in the colours of another picture: mean and spread of each band, at most doubled."""
    mean = image.mean((0, 1))
    gain = np.clip((other.std((0, 1)) + 4) / (image.std((0, 1)) + 4), 0.5, 2.0)
    moved = (image - mean) * gain + other.mean((0, 1))
    out: NDArray[np.uint8] = np.clip(image + share * (moved - image), 0, 255).astype(np.uint8)
    return out


def light(image: NDArray[np.uint8], rng: np.random.Generator, strength: float = 1.0) -> NDArray[np.uint8]:
    """The same ground under other light: gain, gamma, cast and haze per band; at times blur, noise or JPEG."""
    gamma = np.exp(rng.normal(0, 0.22 * strength)) * np.exp(rng.normal(0, 0.06 * strength, 3))
    gain = np.exp(rng.normal(0, 0.15 * strength)) * np.exp(rng.normal(0, 0.07 * strength, 3))
    haze = np.clip(rng.normal(0, 0.06 * strength), -0.1, 0.25)
    ramp = np.linspace(0, 1, 256)[:, None]
    table = np.clip((ramp**gamma * gain * (1 - abs(haze)) + haze) * 255, 0, 255).astype(np.uint8)  # (256, 3)
    out = np.stack([table[image[..., c], c] for c in range(3)], -1)
    if rng.random() < 0.15 * strength:
        grey = out.mean(-1, keepdims=True)
        out = np.clip(grey + (out - grey) * rng.uniform(0, 1.3), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        out = np.asarray(Image.fromarray(out).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3))))
    if rng.random() < 0.2:
        out = np.clip(out + rng.normal(0, rng.uniform(2, 9), out.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        buffer = io.BytesIO()
        Image.fromarray(out).save(buffer, "JPEG", quality=int(rng.integers(35, 90)))
        out = np.asarray(Image.open(buffer))
    return out
