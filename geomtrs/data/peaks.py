"""Mountains with snow and glaciers from afar, drawn whole: no labelled picture that may be learned from shows any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.afar import freeze, tongue
from geomtrs.data.composite import BARE, CLEARED, CROP_PX, ICE, TREE, Scene, rough
from geomtrs.data.shores import flood

_RIDGE_SIDES = (2, 4, 8, 16, 32, 64)  # knots a side


def raise_peaks(bare: Scene, grown: Scene, rng: np.random.Generator, rule: int) -> NDArray[np.bool_]:
    """Both dates become the same mountains, with more ice at `grown`: where it is more. `rule` reads the labels.

    Mostly the glacier is longer, where there is water or open ground else; at times there is more snow on the heights.
    """
    valley, lost, across = tongue(rng)
    if rng.random() < 0.2:
        lost = np.zeros_like(valley)  # the glacier stays as it is
    lake = ndimage.binary_dilation(lost, iterations=int(rng.integers(1, 12))) if rng.random() < 0.6 else lost & ~lost
    lake = lake & ~(valley & ~lost)
    height = _heights(valley | lake, rng)
    shade = _shade(height, rng)
    line = np.quantile(height, rng.uniform(0.3, 1))
    lines = line, line - (rng.uniform(0, 0.15) if rng.random() < 0.5 else 0)
    ground, codes = _ground(height, shade, rng)
    same = int(rng.integers(1 << 30))  # the same water, ice and snow at both dates
    for date, ice, snowline in ((bare, valley & ~lost, lines[0]), (grown, valley, lines[1])):
        date.image, date.raw, date.rule = ground.copy(), codes.copy(), np.full_like(codes, rule)
        flood(date, lake, lake & ~lake, np.random.default_rng(same), rule)
        freeze(date, ice, np.random.default_rng(same), rule, across)
        _snow(date, (height > snowline) & ~valley & ~lake, shade, np.random.default_rng(same))
    return np.asarray((grown.raw == ICE) & (bare.raw != ICE))


def _heights(valley: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) ridged noise from 0 to 1, lower towards a valley and flat in it."""
    total = np.zeros((CROP_PX, CROP_PX))
    for octave, side in enumerate(_RIDGE_SIDES):
        noise = ndimage.zoom(rng.standard_normal((side + 3, side + 3)), CROP_PX / side, order=3)
        total -= np.abs(noise[8 : 8 + CROP_PX, 8 : 8 + CROP_PX]) / 2**octave
    total = (total - total.min()) / (total.max() - total.min())
    away = np.clip(ndimage.distance_transform_edt(~valley) / rng.uniform(15, 50), 0, 1)
    floor = rng.uniform(0.15, 0.8)
    return np.asarray(total * (floor + (1 - floor) * away))


def _shade(height: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) light on slopes: 1 on flat ground, more towards the sun."""
    down, right = np.gradient(height)
    angle = rng.uniform(0, 2 * np.pi)
    facing = np.cos(angle) * right + np.sin(angle) * down
    return np.asarray(np.clip(1 + rng.uniform(8, 25) * facing, 0.3, 1.6))


def _ground(
    height: NDArray[np.float64], shade: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image and labels of forest, meadows and rock, one above the other."""
    uneven = height + 0.08 * rough(rng, (8, 32, 96), fall=0.3)
    trees, meadows = np.sort(rng.uniform(-0.1, 0.6, 2))
    green, rock = rng.uniform(0.6, 1.2), rng.uniform(70, 150)
    colours = np.array(
        [
            np.array([38, 56, 34]) * green,
            np.array([105, 110, 62]) * green,
            rock * np.array([rng.uniform(1, 1.2), 1, rng.uniform(0.8, 1)]),
        ]
    )
    zone = (uneven > trees).astype(int) + (uneven > meadows)
    picture = ndimage.gaussian_filter(colours[zone], (1.5, 1.5, 0)) * shade[..., None]
    picture *= 1 + 0.06 * rng.standard_normal((CROP_PX, CROP_PX, 1))
    return np.clip(picture, 0, 255).astype(np.uint8), np.array([TREE, CLEARED, BARE], np.uint8)[zone]


def _snow(scene: Scene, where: NDArray[np.bool_], shade: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Snow within `where`, in patches at its edge and blue in the shade."""
    where = where & (rough(rng, (32, 96), fall=0.2) > rng.uniform(-4, -1))
    light = np.clip(shade, 0.45, 1.15)[..., None] ** np.array([1.1, 1, 0.8])
    white = rng.uniform(190, 275) * light
    scene.image[where] = np.clip(white, 0, 255).astype(np.uint8)[where]
    scene.raw[where] = ICE
