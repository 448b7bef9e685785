"""A block with what fills it, the style that the blocks of a place share, and what every use draws."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from geomtrs.data.layout import Frame, Rect
from geomtrs.data.looks import Climate, Colour, colour
from geomtrs.data.things import Cover, Thing, Tree

Pose: TypeAlias = tuple[float, float, float]
"""(x, y, angle): a place where a car or boat may stand."""


@dataclass(frozen=True, slots=True)
class Style:
    """What the builders of one place have in common."""

    climate: Climate
    roofs: tuple[Colour, ...]
    house_m: float
    """Usual length of a house."""
    lot_m: float
    gable_share: float
    trees: float
    """Trees in a garden, on average."""
    pools: float
    """Share of gardens with a pool."""
    rooftop_solar: float
    crown_m: float
    yard: Cover


@dataclass(frozen=True, slots=True)
class Plot:
    """A filled block."""

    always: list[Thing] = field(default_factory=list)
    lots: list[list[Thing]] = field(default_factory=list)
    """Groups that may each come or go by themselves: a house with its garage, a pool, a tree."""
    seasonal: tuple[list[Thing], list[Thing]] = field(default_factory=lambda: ([], []))
    """Drawn at the first, at the second date: crops."""
    parking: list[Pose] = field(default_factory=list)
    moorings: list[Pose] = field(default_factory=list)


ROOFS: tuple[Colour, ...] = (
    (0.56, 0.33, 0.24), (0.47, 0.27, 0.20), (0.62, 0.42, 0.30), (0.36, 0.34, 0.33), (0.27, 0.27, 0.29), (0.50, 0.46, 0.42),
    (0.42, 0.36, 0.31), (0.66, 0.64, 0.61), (0.80, 0.79, 0.76), (0.37, 0.43, 0.40), (0.38, 0.42, 0.48), (0.58, 0.52, 0.44),
)  # fmt: skip
CARS: tuple[Colour, ...] = (
    (0.88, 0.88, 0.88), (0.75, 0.76, 0.78), (0.12, 0.12, 0.13), (0.22, 0.23, 0.25), (0.45, 0.46, 0.48), (0.52, 0.13, 0.12),
    (0.18, 0.27, 0.45), (0.60, 0.55, 0.45), (0.86, 0.86, 0.84),
)  # fmt: skip


def draw_style(rng: np.random.Generator, climate: Climate) -> Style:
    """One place's style; places differ more than the houses of one place."""
    count = int(rng.integers(1, 5))
    roofs = tuple(near(rng, ROOFS[i], 0.05) for i in rng.choice(len(ROOFS), count, replace=False))
    dry = climate.leafless < 0.2
    house = float(rng.uniform(8.5, 17))
    return Style(
        climate=climate,
        roofs=roofs,
        house_m=house,
        lot_m=house * float(rng.uniform(1.25, 2.4)),
        gable_share=float(rng.beta(0.8, 0.8)),
        trees=float(rng.gamma(1.5, 1.1)),
        pools=float(rng.beta(0.6, 4)) * (2 if dry else 1),
        rooftop_solar=float(rng.beta(0.5, 5)),
        crown_m=float(rng.uniform(5, 10)),
        yard="bare" if rng.random() < (0.4 if dry else 0.08) else "lawn",
    )


def near(rng: np.random.Generator, base: Colour, spread: float) -> Colour:
    """A colour about as far from `base` as `spread` says."""
    return colour(np.array(base) * rng.uniform(1 - 2 * spread, 1 + 2 * spread) + rng.normal(0, spread / 5, 3))


def draw_tint(rng: np.random.Generator, spread: float = 0.1) -> Colour:
    """What a cover's colour is multiplied by in one place."""
    return colour(rng.uniform(1 - 1.5 * spread, 1 + 1.5 * spread) * (1 + rng.normal(0, spread / 2, 3)), high=2.0)


def draw_tree(rng: np.random.Generator, at: tuple[float, float], radius_m: float | None = None) -> Tree:
    """A tree, of a usual size where none is told."""
    radius = float(rng.uniform(1.6, 4.6)) if radius_m is None else radius_m
    return Tree(at, radius, radius * float(rng.uniform(1.3, 2.6)), draw_tint(rng, 0.16))


def scatter(rng: np.random.Generator, frame: Frame, rect: Rect, count: int) -> list[tuple[float, float]]:
    """Places anywhere in a plan rectangle, (x, y) on the ground."""
    uv = rng.uniform(rect[:2], rect[2:], (count, 2))
    return [(x, y) for x, y in frame.xy(uv).tolist()] if count else []


def area_m2(rect: Rect) -> float:
    """Of a plan rectangle."""
    return (rect[2] - rect[0]) * (rect[3] - rect[1])
