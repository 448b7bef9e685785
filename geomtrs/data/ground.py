"""Textures of the ground: noise and patterns as arrays, no places and no things."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field: TypeAlias = NDArray[np.float32]


def fractal(rng: np.random.Generator, shape: tuple[int, int], *, cell_px: float, octaves: int) -> Field:
    """Smooth noise of mean 0 and deviation about 1, (H, W) float32; each octave halves the cell and the strength."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    power = 0.0
    for octave in range(octaves):
        cell = max(1.0, cell_px / 2**octave)
        rows, columns = int(height / cell) + 3, int(width / cell) + 3
        knots = rng.standard_normal((rows, columns)).astype(np.float32)
        reach = (0.5, 0.5, 0.5 + width / cell, 0.5 + height / cell)
        smooth = Image.fromarray(knots).resize((width, height), Image.Resampling.BICUBIC, box=reach)
        total += np.asarray(smooth) * np.float32(0.5**octave)
        power += 0.25**octave
    return total / np.float32(0.72 * np.sqrt(power))


@dataclass(frozen=True, slots=True)
class Grain:
    """Noise of one place, each (H, W) float32: what stays when the light changes."""

    fine: Field
    """About one pixel to a metre."""
    clump: Field
    """Tufts, stains: metres."""
    broad: Field
    """Soil and wetness: tens of metres."""


def draw_grain(rng: np.random.Generator, shape: tuple[int, int], *, gsd_m: float) -> Grain:
    """The grain of a place of this shape at this ground resolution."""
    return Grain(
        fine=fractal(rng, shape, cell_px=max(1.0, 0.6 / gsd_m), octaves=1),
        clump=fractal(rng, shape, cell_px=max(1.5, rng.uniform(4, 9) / gsd_m), octaves=3),
        broad=fractal(rng, shape, cell_px=max(3.0, rng.uniform(30, 70) / gsd_m), octaves=3),
    )


def stripes(x: Field, y: Field, *, angle: float, period_px: float) -> Field:
    """Parallel waves across the direction `angle` (radians), -1..1; flat where the period is under two pixels."""
    if period_px < 2.0:
        return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    phase = (y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))) * np.float32(2 * np.pi / period_px)
    return np.asarray(np.sin(phase), np.float32)


@dataclass(frozen=True, slots=True)
class Crowns:
    """A closed canopy seen from above, each (H, W) float32."""

    height: Field
    """0 in the gaps, towards 1 on the tops."""
    kind: Field
    """0..1, one value for each tree."""
    slope: Field
    """-1..1, positive where the crown faces the sun."""


_TABLE = 61


def crowns(rng: np.random.Generator, x: Field, y: Field, *, cell_px: float, sun: tuple[float, float]) -> Crowns:
    """Domes on a shaken grid of cell_px: x (1, W) and y (H, 1) are pixel coordinates of the scene, so patches agree where they meet."""
    table = rng.random((5, _TABLE, _TABLE), dtype=np.float32)
    cell = np.float32(max(cell_px, 2.2))
    column, row = np.floor(x / cell).astype(np.int64), np.floor(y / cell).astype(np.int64)
    shape = np.broadcast_shapes(x.shape, y.shape)
    height, kind, slope = (np.zeros(shape, np.float32) for _ in range(3))
    norm = np.hypot(*sun) + 1e-6
    towards = (np.float32(-sun[0] / norm), np.float32(-sun[1] / norm))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            i, j = (row + down) % _TABLE, (column + right) % _TABLE
            shake_x, shake_y, size, tint, tall = table[:, i, j]
            across = x / cell - (column + right) - shake_x
            along = y / cell - (row + down) - shake_y
            reach = 0.45 + 0.5 * size
            dome = (1 - (across**2 + along**2) / reach**2) * (0.55 + 0.45 * tall)
            wins = dome > height
            np.copyto(height, dome, where=wins)
            np.copyto(kind, tint, where=wins)
            np.copyto(slope, (across * towards[0] + along * towards[1]) / reach, where=wins)
    return Crowns(np.sqrt(height), kind, slope)
