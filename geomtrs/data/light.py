"""The same ground otherwise lit: another light, season, sensor or stretch, in which nothing came or went."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage


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


def false_colours(images: Sequence[NDArray[np.uint8]], rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """The same dates as if infrared bands were shown: guessed from colours, green ground shines and water is dark."""
    shine, dark = rng.uniform(1.0, 4.0), rng.uniform(1.0, 4.0)
    level, level_far = rng.uniform(0.45, 1.1), rng.uniform(0.5, 1.4)  # roofs and bare ground shine beyond near infrared
    order = int(rng.integers(3))
    made = []
    for image in images:
        pixels = image.astype(np.float32)
        red, green, _ = np.moveaxis(pixels, -1, 0)
        bright = pixels.mean(-1)
        smooth = ndimage.uniform_filter(pixels, (5, 5, 1))  # JPEG keeps colours in blocks
        r, g, b = np.moveaxis(smooth / (smooth.mean(-1, keepdims=True) + 16), -1, 0)
        leafy = np.clip((g - np.maximum(r, b)) * shine, 0, 1)
        wet = np.clip((np.maximum(g, b) - r) * dark, 0, 1) * (1 - leafy)
        near = (bright * level * (1 - leafy) + (90 + bright) * leafy) * (1 - 0.8 * wet)
        far = bright * level_far * (1 - 0.4 * leafy) * (1 - 0.9 * wet)
        bands = ((near, red, green), (far, near, red), (red, near, far))[order]
        made.append(np.clip(np.stack(bands, -1), 0, 255).astype(np.uint8))
    return made


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
