"""How a date looks: its light, its season and the sensor that took it. Everything here may differ between two dates of one place."""

import io
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Colour: TypeAlias = tuple[float, float, float]
"""sRGB, each 0..1."""


@dataclass(frozen=True, slots=True)
class Climate:
    """What the ground is made of: the same at every date of a place."""

    grass: Colour
    straw: Colour
    """Grass when it is dry."""
    crown: Colour
    soil: Colour
    sand: Colour
    asphalt: Colour
    concrete: Colour
    water: Colour
    leafless: float
    """Share of trees that lose their leaves."""


CLIMATES: tuple[Climate, ...] = (
    Climate((0.33, 0.39, 0.22), (0.55, 0.50, 0.35), (0.17, 0.23, 0.13), (0.47, 0.39, 0.30), (0.66, 0.60, 0.49), (0.40, 0.40, 0.41), (0.63, 0.62, 0.59), (0.13, 0.19, 0.19), 0.7),
    Climate((0.44, 0.43, 0.29), (0.62, 0.55, 0.41), (0.23, 0.26, 0.16), (0.62, 0.52, 0.40), (0.78, 0.70, 0.57), (0.47, 0.46, 0.45), (0.74, 0.71, 0.66), (0.16, 0.27, 0.27), 0.1),
    Climate((0.28, 0.38, 0.19), (0.48, 0.45, 0.28), (0.13, 0.22, 0.11), (0.53, 0.34, 0.24), (0.68, 0.55, 0.42), (0.36, 0.36, 0.36), (0.60, 0.58, 0.54), (0.29, 0.27, 0.20), 0.05),
    Climate((0.37, 0.41, 0.27), (0.60, 0.55, 0.40), (0.20, 0.25, 0.15), (0.55, 0.46, 0.36), (0.72, 0.66, 0.56), (0.52, 0.51, 0.50), (0.70, 0.68, 0.65), (0.11, 0.22, 0.24), 0.4),
    Climate((0.30, 0.36, 0.25), (0.46, 0.43, 0.33), (0.15, 0.20, 0.14), (0.36, 0.31, 0.26), (0.55, 0.51, 0.45), (0.33, 0.33, 0.35), (0.55, 0.55, 0.55), (0.10, 0.14, 0.16), 0.5),
)  # fmt: skip
"""Temperate, arid, tropical, mediterranean, northern: read off orthophotos by eye; draw_climate mixes and shakes them."""


@dataclass(frozen=True, slots=True)
class Look:
    """One date's light, season and sensor."""

    sun: tuple[float, float]
    """Metres of shadow (x right, y down) per metre of height."""
    shadow: float
    """Darkness of a shadow, 0..1."""
    dryness: float
    bare_branches: float
    gain: Colour
    gamma: float
    contrast: float
    saturation: float
    """1 = as it is, 0 = grey."""
    haze: float
    haze_colour: Colour
    blur_px: float
    sharpen: float
    noise: float
    jpeg_quality: int
    shift_px: tuple[float, float]
    """Misregistration (x, y), pixels."""


def draw_climate(rng: np.random.Generator) -> Climate:
    """A climate between two of CLIMATES, every colour shaken a little."""
    first, second = (CLIMATES[i] for i in rng.choice(len(CLIMATES), 2))
    part = float(rng.beta(0.5, 0.5))

    def between(name: str) -> Colour:
        mixed = (1 - part) * np.array(getattr(first, name)) + part * np.array(getattr(second, name))
        mixed = mixed * rng.uniform(0.85, 1.18) + rng.normal(0, 0.015, 3)
        return colour(mixed)

    return Climate(
        grass=between("grass"),
        straw=between("straw"),
        crown=between("crown"),
        soil=between("soil"),
        sand=between("sand"),
        asphalt=between("asphalt"),
        concrete=between("concrete"),
        water=between("water"),
        leafless=(1 - part) * first.leafless + part * second.leafless,
    )


def draw_look(rng: np.random.Generator, *, climate: Climate) -> Look:
    """One date's look, independent of the other date's."""
    azimuth = rng.uniform(0, 2 * np.pi) if rng.random() < 0.1 else rng.normal(-np.pi / 2, 0.75)
    length = float(np.clip(1 / np.tan(np.radians(rng.uniform(24, 72))), 0.3, 2.2))
    warm = rng.normal(0, 0.05)
    return Look(
        sun=(length * float(np.cos(azimuth)), length * float(np.sin(azimuth))),
        shadow=float(rng.uniform(0.4, 0.7)),
        dryness=float(rng.beta(0.9, 1.3)),
        bare_branches=float(rng.beta(0.3, 0.9)) * climate.leafless,
        gain=colour(rng.uniform(0.78, 1.2) * np.array([1 + warm, 1 + rng.normal(0, 0.025), 1 - warm]), high=2.0),
        gamma=float(rng.uniform(0.8, 1.3)),
        contrast=float(rng.uniform(0.85, 1.25)),
        saturation=float(rng.uniform(0.4, 0.9)),
        haze=float(rng.beta(0.7, 5)),
        haze_colour=colour(np.array([0.66, 0.70, 0.74]) + rng.normal(0, 0.03, 3)),
        blur_px=float(rng.choice([rng.uniform(0.25, 0.6), rng.uniform(0.5, 1.3)])),
        sharpen=float(rng.choice([0.0, rng.uniform(0.2, 1.0)])),
        noise=float(rng.choice([rng.uniform(0.001, 0.006), rng.uniform(0.004, 0.018)])),
        jpeg_quality=int(rng.integers(55, 97)),
        shift_px=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5))),
    )


def colour(values: NDArray[np.float64], *, high: float = 1.0) -> Colour:
    """Three numbers kept within 0..high."""
    red, green, blue = np.clip(values, 0.0, high).tolist()
    return red, green, blue


def photograph(rgb: NDArray[np.float32], look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The ground as the sensor delivers it: (H, W, 3) float32 reflected light 0..1 → uint8 of the same shape."""
    height, width = rgb.shape[:2]
    seen = np.empty_like(rgb)
    grey = rgb.mean(axis=2)
    grain = rng.standard_normal((height, width), dtype=np.float32)
    for band in range(3):
        mixed = grey + np.float32(look.saturation) * (rgb[:, :, band] - grey)
        light = ndimage.gaussian_filter(mixed, look.blur_px, mode="nearest")
        if look.sharpen:
            light += look.sharpen * (light - ndimage.gaussian_filter(light, look.blur_px + 0.8, mode="nearest"))
        light = ndimage.shift(light, look.shift_px[::-1], order=1, mode="nearest")
        light = np.clip(light * look.gain[band], 0, None) ** np.float32(look.gamma)
        light = (light - 0.38) * look.contrast + 0.38
        light = light * (1 - look.haze) + look.haze_colour[band] * look.haze
        # Most grain of a demosaiced picture is common to the bands.
        noise = 0.8 * grain + 0.6 * rng.standard_normal((height, width), dtype=np.float32)
        seen[:, :, band] = light + look.noise * noise
    picture = Image.fromarray((np.clip(seen, 0, 1) * 255 + 0.5).astype(np.uint8))
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=look.jpeg_quality)
    return np.asarray(Image.open(packed))
