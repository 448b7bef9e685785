"""Towns, roads, solar farms, ice and clouds drawn into real pictures from afar: labelled ones are few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.composite import (
    CLOUDS,
    CROP_PX,
    ICE,
    ROAD,
    ROOF,
    SOLAR,
    STREET,
    YARD,
    Scene,
    blend,
    log_uniform,
    rough,
)
from geomtrs.data.labels import PRESENT, THINGS

_TINTS = np.array([[1, 1, 1], [1.02, 1, 0.96], [0.95, 0.98, 1.05], [1.15, 0.95, 0.85], [0.7, 0.9, 1.25]])


def settle(scene: Scene, where: NDArray[np.bool_], rng: np.random.Generator, rule: int) -> None:
    """A built-up area within `where`: streets, roofs of a few pixels with shadows, yards; `rule` reads the labels."""
    u, v = _turned(rng)
    graded = rng.random() < 0.3  # ground laid out for a new quarter or for halls: bare, wide streets, few roofs yet
    block = rng.uniform(10, 45, 2) if graded else log_uniform(rng, (3, 22)) * rng.uniform(0.8, 1.25, 2)
    lots = rng.integers(2, 5, 2)
    road_px = rng.uniform(0.9, 3) if graded else min(rng.uniform(0.7, 1.8), block.min() / 4)
    street = (u % block[0] < road_px) | (v % block[1] < road_px)
    lot_u, lot_v = u / block[0] * lots[0], v / block[1] * lots[1]
    chance = _chances(lot_u, lot_v, rng)
    margin = rng.uniform(0.05, 0.3)
    within = (np.abs(lot_u % 1 - 0.5) < 0.5 - margin) & (np.abs(lot_v % 1 - 0.5) < 0.5 - margin)
    roof = within & ~street & (chance < (rng.uniform(0.05, 0.7) if graded else rng.uniform(0.35, 0.95)))
    shade = np.roll(roof, rng.integers(-1, 2, 2), (0, 1)) & ~roof

    around = scene.image[where].mean(0) if where.any() else scene.image.mean((0, 1))
    grey = np.full(3, around.mean())
    yard = (around + (grey - around) * rng.uniform(0, 0.8)) * rng.uniform(0.7, 1.25)
    green = around * np.array([0.55, rng.uniform(0.7, 0.95), 0.5])
    if graded:
        yard = grey * rng.uniform(1, 1.9) * np.array([rng.uniform(1, 1.15), 1, rng.uniform(0.75, 1)])
    leafy = (chance * 7919 % 1) < rng.uniform(0, 0.1 if graded else 0.5)
    picture = np.where(leafy[..., None], green, yard)
    picture = picture * (1 + 0.12 * rng.standard_normal((CROP_PX, CROP_PX, 1)))
    tint = _TINTS[rng.integers(0, len(_TINTS), rng.integers(1, 4))]  # a town has a few kinds of roofs
    bright = rng.uniform(0.75, 1.7) * max(70.0, float(grey[0]))
    kind = (chance * 104729 % 1 * len(tint)).astype(int)
    tone = 0.7 + 0.6 * (chance * 15485863 % 1)
    picture[roof] = (bright * tint[kind] * tone[..., None])[roof]
    picture[shade] *= rng.uniform(0.45, 0.8)
    picture[street] = yard * rng.uniform(0.5, 1.5)
    blur = rng.uniform(0.35, 0.8)
    picture = ndimage.gaussian_filter(picture, (blur, blur, 0))
    blend(scene, picture, where, int(rng.integers(1, 4)))
    labels = np.where(roof, ROOF, np.where(street, STREET, YARD)).astype(np.uint8)
    scene.raw[where], scene.rule[where] = labels[where], rule


def pave(scene: Scene, free: NDArray[np.bool_], rng: np.random.Generator, rule: int) -> NDArray[np.bool_]:
    """A road through what is `free`, or a ring or a net of them, bright or dark; where they lie, labelled ROAD."""
    width_px, kind = rng.uniform(1.2, 4.5), rng.random()
    if kind < 0.5:
        where = _road(width_px, rng)
    else:
        where = _ring(width_px, rng) if kind < 0.75 else _net(min(width_px, 3), rng)
    where &= free
    grey = scene.image.mean()
    tone = rng.uniform(1.25, 2.2) if rng.random() < 0.7 else rng.uniform(0.35, 0.7)
    picture = np.full((CROP_PX, CROP_PX, 3), grey * tone) * np.array([1.05, 1, rng.uniform(0.85, 1)])
    blend(scene, picture, where, 1)
    scene.raw[where], scene.rule[where] = ROAD, rule
    return where


def _road(width_px: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Straight or bent; at times it ends, or turns a corner."""
    u, v = _turned(rng, bend=40)
    where = np.abs(u - np.median(u) - rng.uniform(-80, 80)) < width_px / 2
    if rng.random() < 0.5:
        end = float(np.quantile(v, rng.uniform(0.3, 0.7)))
        where &= v < end
        if rng.random() < 0.5:
            where |= (np.abs(v - end) < width_px / 2) & (u > np.median(u[where]) if where.any() else True)
    return np.asarray(where)


def _ring(width_px: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A rectangle with round corners around some point, or the part of it on one side."""
    u, _, outside = _around(rng, (40, 130), round_px=float(rng.uniform(5, 40)))
    where = np.abs(outside) < width_px / 2
    return np.asarray(where & (u > rng.uniform(-60, 20)) if rng.random() < 0.6 else where)


def _net(width_px: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Streets laid out in a rectangle before anything stands along them."""
    u, v, outside = _around(rng, (20, 90), round_px=0)
    mesh_px = rng.uniform(14, 60, 2)
    return np.asarray(((u % mesh_px[0] < width_px) | (v % mesh_px[1] < width_px)) & (outside < width_px))


def _around(
    rng: np.random.Generator, half_px: tuple[float, float], *, round_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates from some point, and the distance from a rectangle around it, below 0 within; all in pixels."""
    u, v = _turned(rng)
    row, column = rng.integers(CROP_PX, size=2)
    u, v = u - u[row, column], v - v[row, column]
    beyond = np.abs(np.stack([u, v])) - rng.uniform(*half_px, (2, 1, 1)) + round_px
    return u, v, np.hypot(*np.maximum(beyond, 0)) + np.minimum(beyond.max(0), 0) - round_px


def array(scene: Scene, free: NDArray[np.bool_], rng: np.random.Generator, rule: int) -> NDArray[np.bool_]:
    """A solar farm on what is `free`: dark, bluish blocks of rows with tracks between them; where it lies."""
    u, v = _turned(rng)
    row, column = rng.integers(CROP_PX, size=2)
    u0, v0, half = u[row, column], v[row, column], rng.uniform(6, 60, 2)
    block, track_px = rng.uniform(6, 35, 2), rng.uniform(0, 1.8)
    chance = _chances(u / block[0], v / block[1], rng)
    where = (np.abs(u - u0) < half[0]) & (np.abs(v - v0) < half[1]) & (chance < rng.uniform(0.6, 1.2)) & free
    track = where & ((u % block[0] < track_px) | (v % block[1] < track_px))
    rows = np.where(u % rng.uniform(2, 6) < 1, rng.uniform(1, 1.8), 1.0)
    dark = rng.uniform(0.35, 0.8) * min(130.0, float(scene.image.mean()))
    panels = dark * np.array([rng.uniform(0.7, 1), rng.uniform(0.85, 1), rng.uniform(1, 1.45)])
    picture = (rows * (1 + 0.08 * rng.standard_normal((CROP_PX, CROP_PX))))[..., None] * panels
    picture[track] = dark * rng.uniform(1.2, 2.5)
    blur = rng.uniform(0.3, 0.9)
    blend(scene, ndimage.gaussian_filter(picture, (blur, blur, 0)), where, 1)
    scene.raw[where], scene.rule[where] = SOLAR, rule
    return np.asarray(where)


def freeze(
    scene: Scene,
    where: NDArray[np.bool_],
    rng: np.random.Generator,
    rule: int,
    across: NDArray[np.float64] | None = None,
) -> None:
    """Glacier ice or snow within `where`: in lines along its flow, grained, or thin enough for the ground to show.

    `across` is the coordinate across the flow, in pixels; without it the ice flows anywhere.
    From grey and bluish to as white as can be, which is how most sensors see it; blue where the sun does not reach.
    """
    u = _turned(rng, bend=60)[0] if across is None else across
    white, kind = rng.uniform(165, 290), rng.random()
    if kind < 0.45:
        lines = sum(ndimage.gaussian_filter1d(rng.standard_normal(2048), s, mode="wrap") * s**0.5 for s in (1, 3, 10))
        bright = white * (1 + rng.uniform(0.01, 0.12) * np.interp(u % 2048, np.arange(2048), lines))
    elif kind < 0.7:
        bright = white * (1 + rng.uniform(0.0, 0.16) * rough(rng, (8, 32, 128), fall=0.35))
    else:
        grey = scene.image.mean(-1)
        bright = white + (grey - (grey[where].mean() if where.any() else 0)) * rng.uniform(0.3, 1.2)
    if rng.random() < 0.3:
        stripes = np.interp(u % 256, np.arange(256), ndimage.gaussian_filter1d(rng.random(256), 3, mode="wrap"))
        bright = bright * np.where(stripes < np.quantile(stripes, rng.uniform(0.03, 0.25)), rng.uniform(0.4, 0.8), 1)
    picture = bright[..., None] * np.sort([rng.uniform(0.8, 1), rng.uniform(0.9, 1), 1])
    if rng.random() < 0.5:
        shade = np.clip(rough(rng, (6, 20), fall=0.6) * rng.uniform(0.1, 0.5), 0, 0.6)[..., None]
        picture = picture * (1 - shade * np.array([1, 0.8, 0.5]))
    blend(scene, picture, where, int(rng.integers(1, 4)))
    scene.raw[where], scene.rule[where] = ICE, rule


def tongue(rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """A bent band that ends within the picture, as a glacier in its valley does, its last part, what runs across."""
    u, v = _turned(rng, bend=50)
    width_px = rng.uniform(16, 90) * (1 + 0.3 * rough(rng, (3, 9), fall=0.5))
    v += rng.uniform(0, 12) * rough(rng, (6, 24), fall=0.5)  # it ends raggedly
    end = float(np.quantile(v, rng.uniform(0.4, 0.95)))
    where = (np.abs(u - np.median(u) - rng.uniform(-60, 60)) < width_px / 2) & (v < end)
    return where, where & (v > end - rng.uniform(15, 90)), u


def overcast(scene: Scene, other: NDArray[np.uint8], rng: np.random.Generator, rule: int) -> None:
    """Clouds over one date, with their shadows. What another date shows there is not known to be gone; nothing is seen.

    `other` are that date's states (H, W, things); `rule` reads the labels.
    """
    noise = rough(rng, (3, 8, 24, 64), fall=0.8)
    low = np.quantile(noise, rng.uniform(0.65, 0.97))
    thick = np.clip((noise - low) / (noise.max() - low) * rng.uniform(1.5, 6), 0, 1) * rng.uniform(0.6, 1)
    cast = ndimage.shift(thick, rng.uniform(-45, 45, 2), order=1)[..., None] * rng.uniform(0.2, 0.7)
    white = rng.uniform(195, 265) * np.array([rng.uniform(0.94, 1), 0.99, 1])
    picture = scene.image * (1 - cast) * (1 - thick[..., None]) + white * thick[..., None]
    scene.image = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    where, hidden = thick > 0.3, other == PRESENT
    count = hidden.sum(-1)
    one = CLOUDS + 1 + np.where(count == 1, hidden.argmax(-1), len(THINGS))
    scene.raw[where] = np.where(count > 1, CLOUDS, one)[where]
    scene.rule[where] = rule


def _chances(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) a number in 0..1 for each cell of a grid, given where pixels lie on it in cells."""
    return np.asarray(rng.random((64, 64))[np.floor(u).astype(int) % 64, np.floor(v).astype(int) % 64])


def _turned(rng: np.random.Generator, bend: float = 8) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two coordinates in pixels along and across, turned by chance and at times bent."""
    y, x = np.mgrid[:CROP_PX, :CROP_PX].astype(float)
    angle = rng.uniform(0, np.pi)
    strength = bend * rng.random() if rng.random() < 0.6 else 0.0
    wave = strength * ndimage.zoom(rng.standard_normal((5, 5)), CROP_PX / 5, order=3)[:CROP_PX, :CROP_PX]
    return np.cos(angle) * x + np.sin(angle) * y + wave + 1024, np.cos(angle) * y - np.sin(angle) * x - wave + 1024
