"""Where things are: a bent street grid, its blocks, lines and blobs. Plan coordinates (u, v) are straight, ground (x, y) is bent; both metres."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from geomtrs.data.things import Points

Rect: TypeAlias = tuple[float, float, float, float]
"""(u0, v0, u1, v1) in plan coordinates."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Straight plan → bent ground: turned by theta about the centre, then bent by slow waves."""

    centre: tuple[float, float]
    theta: float
    bend_m: tuple[float, float]
    wave_m: tuple[float, float]
    phase: tuple[float, float]

    def xy(self, uv: Points) -> Points:
        """(N, 2) plan → (N, 2) ground."""
        u, v = uv[:, 0], uv[:, 1]
        bent_u = u + self.bend_m[0] * np.sin(2 * np.pi * v / self.wave_m[0] + self.phase[0])
        bent_v = v + self.bend_m[1] * np.sin(2 * np.pi * u / self.wave_m[1] + self.phase[1])
        sine, cosine = np.sin(self.theta), np.cos(self.theta)
        return np.stack(
            [bent_u * cosine - bent_v * sine + self.centre[0], bent_u * sine + bent_v * cosine + self.centre[1]], axis=1
        )

    def point(self, u: float, v: float) -> tuple[float, float]:
        """One plan point on the ground."""
        x, y = self.xy(np.array([[u, v]]))[0].tolist()
        return x, y

    def angle(self, u: float, v: float) -> float:
        """Direction of the plan's u axis on the ground, radians."""
        ends = self.xy(np.array([[u - 1.0, v], [u + 1.0, v]]))
        return float(np.arctan2(ends[1, 1] - ends[0, 1], ends[1, 0] - ends[0, 0]))

    def outline(self, rect: Rect) -> Points:
        """A plan rectangle's border on the ground, a point about every 8 m."""
        u0, v0, u1, v1 = rect
        corners = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1], [u0, v0]])
        return np.concatenate([self.line(a, b)[:-1] for a, b in zip(corners, corners[1:], strict=False)])

    def line(self, start: Points, end: Points) -> Points:
        """A plan segment on the ground, a point about every 8 m."""
        steps = max(2, int(np.hypot(*(end - start)) / 8) + 1)
        return self.xy(np.linspace(start, end, steps))


def draw_frame(rng: np.random.Generator, size_m: tuple[float, float]) -> Frame:
    """A frame about the middle of a scene of size_m = (width, height)."""
    straight = rng.random() < 0.35
    bend = (0.0, 0.0) if straight else tuple(rng.uniform(0, 14, 2).tolist())
    wave = tuple(rng.uniform(140, 420, 2).tolist())
    phase = tuple(rng.uniform(0, 2 * np.pi, 2).tolist())
    return Frame((size_m[0] / 2, size_m[1] / 2), float(rng.uniform(-np.pi / 2, np.pi / 2)), bend, wave, phase)


@dataclass(frozen=True, slots=True)
class Seam:
    """A line between two blocks."""

    start: tuple[float, float]
    end: tuple[float, float]
    depth: int
    """0 for the first cut through the scene; streets get smaller with depth."""


def split(rng: np.random.Generator, rect: Rect, *, block_m: float) -> tuple[list[Rect], list[Seam]]:
    """Cut a rectangle until every block is about block_m long: blocks partition it, seams are the cuts."""
    blocks: list[Rect] = []
    seams: list[Seam] = []
    todo = [(rect, 0)]
    while todo:
        (u0, v0, u1, v1), depth = todo.pop()
        wide, tall = u1 - u0, v1 - v0
        if max(wide, tall) < block_m * rng.uniform(0.8, 1.8):
            blocks.append((u0, v0, u1, v1))
            continue
        cut = rng.uniform(0.35, 0.65)
        if wide > tall:
            middle = u0 + cut * wide
            seams.append(Seam((middle, v0), (middle, v1), depth))
            todo += [((u0, v0, middle, v1), depth + 1), ((middle, v0, u1, v1), depth + 1)]
        else:
            middle = v0 + cut * tall
            seams.append(Seam((u0, middle), (u1, middle), depth))
            todo += [((u0, v0, u1, middle), depth + 1), ((u0, middle, u1, v1), depth + 1)]
    return blocks, seams


def inset(rect: Rect, by_m: float) -> Rect | None:
    """The rectangle without a border of by_m, or None where nothing is left."""
    u0, v0, u1, v1 = rect
    inner = (u0 + by_m, v0 + by_m, u1 - by_m, v1 - by_m)
    return inner if inner[2] - inner[0] > 4 and inner[3] - inner[1] > 4 else None


def blob(rng: np.random.Generator, rect: Rect, *, roughness: float = 0.2) -> Points:
    """A rounded natural outline inside a plan rectangle, (N, 2) plan."""
    u0, v0, u1, v1 = rect
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(turn)
    for harmonic in range(2, 8):
        radius += rng.normal(0, roughness / harmonic) * np.cos(harmonic * turn + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius / max(1.0, radius.max()), 0.25, 1.0)
    return np.stack(
        [(u0 + u1) / 2 + (u1 - u0) / 2 * radius * np.cos(turn), (v0 + v1) / 2 + (v1 - v0) / 2 * radius * np.sin(turn)],
        axis=1,
    )


def part_of(rng: np.random.Generator, rect: Rect, *, share: tuple[float, float] = (0.35, 0.85)) -> Rect:
    """A rectangle of a random share of each side, somewhere within."""
    u0, v0, u1, v1 = rect
    wide, tall = (u1 - u0) * rng.uniform(*share), (v1 - v0) * rng.uniform(*share)
    left, top = rng.uniform(u0, u1 - wide), rng.uniform(v0, v1 - tall)
    return (left, top, left + wide, top + tall)


def roughen(rng: np.random.Generator, outline: Points, by_m: float) -> Points:
    """The outline with twice the points, each moved by about by_m: an edge that nobody measured."""
    between = (outline + np.roll(outline, -1, axis=0)) / 2
    dense = np.stack([outline, between], axis=1).reshape(-1, 2)
    return np.asarray(dense + rng.normal(0, by_m, dense.shape))


def wander(rng: np.random.Generator, size_m: tuple[float, float]) -> Points:
    """A winding line from edge to edge through the scene (ground metres): rivers and old roads."""
    width, height = size_m
    reach = 0.75 * float(np.hypot(width, height))
    steps = max(8, int(2 * reach / 12))
    along = np.linspace(-reach, reach, steps)
    wave = rng.uniform(0.5, 1.3) * np.clip(reach, 60, 400)
    aside = sum(
        rng.normal(0, 0.10 / k) * wave * np.sin(2 * np.pi * k * along / wave + rng.uniform(0, 2 * np.pi))
        for k in (1, 2, 3)
    ) + rng.uniform(-0.3, 0.3) * min(size_m)
    heading = rng.uniform(0, np.pi)
    x = width / 2 + along * np.cos(heading) - aside * np.sin(heading)
    y = height / 2 + along * np.sin(heading) + aside * np.cos(heading)
    return np.stack([x, y], axis=1)
