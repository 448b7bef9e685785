"""What a block is used for: each use fills a plan rectangle with things."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from geomtrs.data.layout import Frame, Rect, blob, inset, part_of, roughen
from geomtrs.data.looks import Climate, Colour, colour
from geomtrs.data.things import Box, BoxKind, Cover, Ground, Road, Thing, Tree

Use: TypeAlias = Literal[
    "houses", "flats", "industry", "carpark", "field", "orchard", "grass", "forest", "bare", "solar", "lake", "burnt", "desert"
]  # fmt: skip
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
_HALLS: tuple[Colour, ...] = (
    (0.82, 0.82, 0.81),
    (0.62, 0.64, 0.65),
    (0.35, 0.47, 0.62),
    (0.52, 0.33, 0.28),
    (0.45, 0.52, 0.48),
    (0.70, 0.66, 0.58),
)
CARS: tuple[Colour, ...] = (
    (0.88, 0.88, 0.88), (0.75, 0.76, 0.78), (0.12, 0.12, 0.13), (0.22, 0.23, 0.25), (0.45, 0.46, 0.48), (0.52, 0.13, 0.12),
    (0.18, 0.27, 0.45), (0.60, 0.55, 0.45), (0.86, 0.86, 0.84),
)  # fmt: skip


def draw_style(rng: np.random.Generator, climate: Climate) -> Style:
    """One place's style; places differ more than the houses of one place."""
    count = int(rng.integers(1, 5))
    roofs = tuple(_near(rng, ROOFS[i], 0.05) for i in rng.choice(len(ROOFS), count, replace=False))
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


def _near(rng: np.random.Generator, base: Colour, spread: float) -> Colour:
    return colour(np.array(base) * rng.uniform(1 - 2 * spread, 1 + 2 * spread) + rng.normal(0, spread / 5, 3))


def _tint(rng: np.random.Generator, spread: float = 0.1) -> Colour:
    return colour(rng.uniform(1 - 1.5 * spread, 1 + 1.5 * spread) * (1 + rng.normal(0, spread / 2, 3)), high=2.0)


def _tree(rng: np.random.Generator, at: tuple[float, float], radius_m: float | None = None) -> Tree:
    radius = float(rng.uniform(1.6, 4.6)) if radius_m is None else radius_m
    return Tree(at, radius, radius * float(rng.uniform(1.3, 2.6)), _tint(rng, 0.16))


def _scatter(rng: np.random.Generator, frame: Frame, rect: Rect, count: int) -> list[tuple[float, float]]:
    uv = rng.uniform(rect[:2], rect[2:], (count, 2))
    return [(x, y) for x, y in frame.xy(uv).tolist()] if count else []


def _area(rect: Rect) -> float:
    return (rect[2] - rect[0]) * (rect[3] - rect[1])


def _house(rng: np.random.Generator, style: Style, at: tuple[float, float], angle: float, length: float) -> list[Thing]:
    """A house: main roof, perhaps a wing, perhaps panels."""
    draw = rng.random()
    kind: BoxKind = "gable" if draw < style.gable_share else "hip" if draw < 0.55 + 0.4 * style.gable_share else "flat"
    roof = _near(rng, style.roofs[int(rng.integers(len(style.roofs)))], 0.06)
    depth = length * float(rng.uniform(0.55, 0.85))
    height = float(rng.uniform(4, 8.5))
    parts: list[Thing] = [Box(kind, at, (length, depth), angle, roof, height)]
    sine, cosine = np.sin(angle), np.cos(angle)
    if rng.random() < 0.45:
        side = float(rng.choice([-1, 1]))
        wing = (length * 0.45, depth * float(rng.uniform(0.7, 1.1)))
        du, dv = side * length * 0.27, depth * 0.5
        centre = (at[0] + du * cosine - dv * sine, at[1] + du * sine + dv * cosine)
        parts.append(Box(kind, centre, (wing[1], wing[0]), angle + np.pi / 2, roof, height * 0.9))
    if rng.random() < style.rooftop_solar:
        dv = -depth * 0.24
        parts.append(
            Box(
                "panel",
                (at[0] - dv * sine, at[1] + dv * cosine),
                (length * 0.5, depth * 0.3),
                angle,
                _near(rng, (0.12, 0.15, 0.24), 0.05),
            )
        )
    return parts


def fill_houses(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Rows of lots; every second pair of rows has a lane between."""
    plot = Plot(always=[Ground(frame.outline(rect), style.yard, _tint(rng))])
    u0, v0, u1, v1 = rect
    along_u = (u1 - u0) >= (v1 - v0)
    length, depth = (u1 - u0, v1 - v0) if along_u else (v1 - v0, u1 - u0)
    lot_depth = style.lot_m * rng.uniform(1.0, 1.7)
    rows = max(1, int(depth / lot_depth))
    paved_lane = rng.random() < 0.8
    fill = rng.uniform(0.6, 1.0)

    def plan(s: float, t: float) -> tuple[float, float]:
        return (u0 + s, v0 + t) if along_u else (u0 + t, v0 + s)

    for row in range(1, rows, 2):
        lane = row * depth / rows
        if rows > 2:
            line = frame.line(np.array(plan(-3, lane)), np.array(plan(length + 3, lane)))
            plot.always.append(
                Road(line, float(rng.uniform(4.5, 7)), paved=paved_lane, shoulder_m=1.5 * float(rng.random() < 0.4))
            )
    turn = 0.0 if along_u else np.pi / 2
    for row in range(rows):
        front = -1 if row % 2 else 1
        lots = max(1, int(length / style.lot_m))
        for k in range(lots):
            if rng.random() > fill:
                continue
            s = (k + 0.5) * length / lots + rng.normal(0, 0.8)
            t = (row + 0.5) * depth / rows + rng.normal(0, 1.0)
            u, v = plan(s, t)
            size = min(style.house_m * rng.uniform(0.8, 1.25), 0.92 * length / lots, 1.1 * depth / rows)
            _fill_lot(rng, plot, frame, style, (u, v, frame.angle(u, v) + turn + (np.pi if front < 0 else 0), size))
    return plot


def _fill_lot(
    rng: np.random.Generator, plot: Plot, frame: Frame, style: Style, lot: tuple[float, float, float, float]
) -> None:
    """A house with drive, garden and trees; lot = (u, v, angle on the ground, house length)."""
    u, v, angle, size = lot
    at = frame.point(u, v)
    angle += float(rng.choice([0, np.pi / 2], p=[0.75, 0.25])) + float(rng.normal(0, 0.03))

    def beside(right: float, down: float) -> tuple[float, float]:
        return (
            at[0] + right * np.cos(angle) - down * np.sin(angle),
            at[1] + right * np.sin(angle) + down * np.cos(angle),
        )

    house = _house(rng, style, at, angle, size)
    if rng.random() < 0.7:
        drive = beside(size * 0.45, -size * 0.75)
        house.insert(0, Box("slab", drive, (3.2, size * 0.9), angle, _near(rng, style.climate.concrete, 0.07)))
        plot.parking.append((*drive, angle + np.pi / 2))
    if rng.random() < 0.3:
        house.append(
            Box("flat", beside(-size * 0.75, size * 0.5), (4.0, 3.2), angle, _near(rng, (0.55, 0.52, 0.49), 0.1), 2.5)
        )
    plot.lots.append(house)
    if rng.random() < style.pools:
        spot = beside(rng.uniform(-3, 3), size * rng.uniform(0.75, 0.95))
        water = Box("pool", spot, (rng.uniform(6, 10), rng.uniform(3, 5)), angle, _near(rng, (0.34, 0.57, 0.60), 0.06))
        plot.lots.append(
            [
                Box(
                    "slab",
                    spot,
                    (water.size[0] + 3, water.size[1] + 3),
                    angle,
                    _near(rng, style.climate.concrete, 0.05),
                ),
                water,
            ]
        )
    for _ in range(int(rng.poisson(style.trees))):
        far = size * rng.uniform(0.65, 1.1)
        turn = rng.uniform(0, 2 * np.pi)
        plot.lots.append([_tree(rng, (at[0] + far * np.cos(turn), at[1] + far * np.sin(turn)))])


def fill_flats(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Large blocks of flats with lawns and parking."""
    plot = Plot(always=[Ground(frame.outline(rect), "lawn" if rng.random() < 0.7 else "paved", _tint(rng))])
    u0, v0, u1, v1 = rect
    depth, gap = float(rng.uniform(11, 18)), float(rng.uniform(14, 30))
    roof = _near(rng, (0.55, 0.53, 0.51), 0.12)
    height = float(rng.uniform(9, 32))
    v = v0 + gap / 2 + depth / 2
    while v + depth / 2 < v1:
        u = u0 + rng.uniform(3, 8)
        while u + 18 < u1:
            length = min(float(rng.uniform(20, 60)), u1 - u - 2)
            centre = frame.point(u + length / 2, v)
            angle = frame.angle(u + length / 2, v)
            block: list[Thing] = [Box("flat", centre, (length, depth), angle, _near(rng, roof, 0.03), height)]
            for _ in range(int(rng.integers(1, 5))):
                shift = rng.uniform(-0.4, 0.4) * length
                spot = (centre[0] + shift * np.cos(angle), centre[1] + shift * np.sin(angle))
                block.append(
                    Box(
                        "flat",
                        spot,
                        (rng.uniform(2, 5), rng.uniform(2, 4)),
                        angle,
                        _near(rng, (0.5, 0.5, 0.5), 0.15),
                        0.0,
                    )
                )
            plot.lots.append(block)
            for k in range(int(length / 3)):
                plot.parking.append((*frame.point(u + 3 * k, v + depth / 2 + 5), angle + np.pi / 2))
            u += length + rng.uniform(8, 20)
        v += depth + gap
    plot.lots.extend([_tree(rng, at)] for at in _scatter(rng, frame, rect, int(_area(rect) / 10000 * 10 * style.trees)))
    return plot


def fill_industry(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Halls on paved ground, lorries beside them."""
    del style  # halls look alike everywhere
    plot = Plot(always=[Ground(frame.outline(rect), "paved", colour(rng.uniform(0.95, 1.45) * np.ones(3), high=2.0))])
    u0, v0, u1, v1 = rect
    columns, rows = max(1, int((u1 - u0) / rng.uniform(50, 95))), max(1, int((v1 - v0) / rng.uniform(40, 80)))
    for i in range(columns):
        for j in range(rows):
            wide, tall = (u1 - u0) / columns, (v1 - v0) / rows
            u, v = u0 + (i + 0.5) * wide, v0 + (j + 0.5) * tall
            size = (wide * float(rng.uniform(0.5, 0.82)), tall * float(rng.uniform(0.45, 0.78)))
            turn = 0.0 if size[0] > size[1] else np.pi / 2
            paint = _near(rng, _HALLS[int(rng.integers(len(_HALLS)))], 0.06)
            hall = Box(
                "hall",
                frame.point(u, v),
                (max(size), min(size)),
                frame.angle(u, v) + turn,
                paint,
                float(rng.uniform(6, 14)),
            )
            plot.lots.append([hall])
            plot.parking.extend(
                (*frame.point(u - size[0] / 2 + 4 * k, v + size[1] / 2 + 5), frame.angle(u, v) + np.pi / 2)
                for k in range(int(size[0] / 4))
            )
    return plot


def fill_carpark(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Rows of bays, islands with small trees."""
    plot = Plot(always=[Ground(frame.outline(rect), "paved", _tint(rng))])
    u0, v0, u1, v1 = rect
    for row, v in enumerate(np.arange(v0 + 4, v1 - 4, 8.5).tolist()):
        for u in np.arange(u0 + 3, u1 - 3, 2.7).tolist():
            angle = frame.angle(u, v) + np.pi / 2
            plot.parking.append((*frame.point(u, v), angle))
            if rng.random() < 0.9:
                plot.always.append(Box("slab", frame.point(u + 1.35, v), (4.8, 0.18), angle, (0.85, 0.85, 0.84)))
        if row % 3 == 0 and style.trees > 1:
            plot.lots.extend([_tree(rng, frame.point(u, v + 4), 1.6)] for u in np.arange(u0 + 6, u1 - 6, 18.0).tolist())
    return plot


def _crop(rng: np.random.Generator, climate: Climate) -> tuple[Colour, float, float]:
    """(colour, distance of rows m, contrast) of what grows, or of the ploughed soil."""
    kind = int(rng.integers(6))
    base = (climate.grass, climate.straw, climate.soil, climate.crown, (0.44, 0.47, 0.24), climate.sand)[kind]
    period = float(rng.choice([rng.uniform(1.4, 3.2), rng.uniform(4, 7), rng.uniform(14, 27)]))
    return _near(rng, base, 0.08), period, float(rng.uniform(0.02, 0.14)) * (0.6 if period > 10 else 1.0)


def fill_field(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """One to five strips of crops, sown anew between the dates."""
    plot = Plot()
    u0, v0, u1, v1 = rect
    along_u = rng.random() < 0.5
    cuts = np.sort(np.concatenate([[0, 1], rng.uniform(0.1, 0.9, int(rng.integers(0, 5)))])).tolist()
    for low, high in zip(cuts, cuts[1:], strict=False):
        strip = (
            (u0 + low * (u1 - u0), v0, u0 + high * (u1 - u0), v1)
            if along_u
            else (u0, v0 + low * (v1 - v0), u1, v0 + high * (v1 - v0))
        )
        outline = frame.outline(strip)
        angle = frame.angle((strip[0] + strip[2]) / 2, (strip[1] + strip[3]) / 2) + (np.pi / 2 if along_u else 0.0)
        first = _crop(rng, style.climate)
        second = _crop(rng, style.climate) if rng.random() < 0.7 else first
        for things, (tint, period, strength) in zip(plot.seasonal, (first, second), strict=True):
            things.append(Ground(outline, "field", tint, angle, period, strength))
    return plot


def fill_orchard(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Trees in rows on grass or soil; single trees keep their label, the ground between is a field."""
    base = style.climate.soil if rng.random() < 0.5 else style.climate.grass
    plot = Plot(always=[Ground(frame.outline(rect), "field", _near(rng, base, 0.06))])
    u0, v0, u1, v1 = rect
    gap = float(rng.uniform(4.5, 9))
    radius = gap * float(rng.uniform(0.25, 0.42))
    tint = _tint(rng, 0.15)
    for u in np.arange(u0 + gap, u1 - gap / 2, gap).tolist():
        for v in np.arange(v0 + gap, v1 - gap / 2, gap * 0.9).tolist():
            if rng.random() < 0.95:
                x, y = frame.point(u + rng.normal(0, 0.25), v + rng.normal(0, 0.25))
                plot.always.append(Tree((x, y), radius * float(rng.uniform(0.8, 1.1)), 3.5, tint))
    return plot


def _fill_open(cover: Cover, trees: float) -> Callable[[np.random.Generator, Frame, Rect, Style], Plot]:
    """A filler of one cover with scattered trees (per hectare)."""

    def fill(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
        del style  # open ground has none
        period, strength = (
            (float(rng.uniform(3, 8)), float(rng.uniform(0.02, 0.06))) if rng.random() < 0.35 else (0.0, 0.0)
        )
        plot = Plot(always=[Ground(frame.outline(rect), cover, _tint(rng), rng.uniform(0, np.pi), period, strength)])
        if cover in ("bare", "sand") and rng.random() < 0.6:
            patch = frame.xy(blob(rng, part_of(rng, rect, share=(0.2, 0.6))))
            plot.always.append(Ground(roughen(rng, patch, 0.5), "sand" if cover == "bare" else "bare", _tint(rng)))
        count = int(rng.poisson(trees * rng.gamma(1, 1) * _area(rect) / 10000))
        plot.lots.extend([_tree(rng, at)] for at in _scatter(rng, frame, rect, min(count, 120)))
        return plot

    return fill


def fill_grass(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Meadow, park or scrub with trees and perhaps a path."""
    cover: Cover = "scrub" if rng.random() < 0.45 else "grass" if rng.random() < 0.6 else "lawn"
    plot = _fill_open(cover, 9.0)(rng, frame, rect, style)
    if rng.random() < 0.35:
        ends = rng.uniform(rect[:2], rect[2:], (2, 2))
        plot.always.append(
            Road(
                frame.line(ends[0], ends[1]),
                float(rng.uniform(1.5, 3)),
                paved=False,
                tone=float(rng.uniform(0.8, 1.05)),
            )
        )
    return plot


def fill_forest(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Closed canopy with a ragged edge over grass."""
    outline = frame.outline(rect) if rng.random() < 0.5 else frame.xy(blob(rng, rect, roughness=0.35))
    canopy = Ground(
        roughen(rng, outline, 1.3), "forest", _tint(rng, 0.14), period_m=style.crown_m * float(rng.uniform(0.7, 1.2))
    )
    return Plot(always=[Ground(frame.outline(rect), "scrub", _tint(rng)), canopy])


def fill_solar(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Rows of tables within a fence's strip of grass."""
    del style  # panels look alike everywhere
    inner = inset(rect, 5.0) or rect
    angle = frame.angle((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2) * float(rng.random() < 0.7)
    tables = Ground(frame.outline(inner), "solar", _tint(rng), angle, float(rng.uniform(4.5, 9)))
    return Plot(always=[Ground(frame.outline(rect), "grass", _tint(rng)), tables])


def fill_lake(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Still water with a bank, in grass; fish ponds are straight."""
    del style  # water is of the climate
    straight = rng.random() < 0.3
    shore = frame.outline(rect) if straight else frame.xy(blob(rng, rect, roughness=0.3))
    middle = shore.mean(axis=0)
    shrink = 1 - rng.uniform(2, 5) / max(12.0, float(np.abs(shore - middle).max()))
    water = Ground(
        roughen(rng, middle + (shore - middle) * shrink, 0.4),
        "water",
        _tint(rng, 0.18),
        rng.uniform(0, np.pi),
        5.0,
        0.02,
    )
    bank: Cover = "scrub" if rng.random() < 0.5 else "sand"
    plot = Plot(always=[Ground(frame.outline(rect), "grass", _tint(rng)), Ground(shore, bank, _tint(rng)), water])
    room = 0 if straight else int(_area(rect) / 2500)  # nobody sails on a fish pond
    for _ in range(int(rng.integers(0, 1 + room))):
        turn, far = rng.uniform(0, 2 * np.pi), 0.55 * np.sqrt(rng.random())
        x, y = (middle + far * shrink * (shore[int(rng.integers(len(shore)))] - middle)).tolist()
        plot.moorings.append((x, y, turn))
    return plot


def fill_burnt(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Burnt ground with a ragged edge, in grass."""
    del style  # ash is ash
    scar = roughen(rng, frame.xy(blob(rng, rect, roughness=0.5)), 1.2)
    return Plot(always=[Ground(frame.outline(rect), "scrub", _tint(rng)), Ground(scar, "burnt", _tint(rng, 0.15))])


FILLERS: dict[Use, Callable[[np.random.Generator, Frame, Rect, Style], Plot]] = {
    "houses": fill_houses,
    "flats": fill_flats,
    "industry": fill_industry,
    "carpark": fill_carpark,
    "field": fill_field,
    "orchard": fill_orchard,
    "grass": fill_grass,
    "forest": fill_forest,
    "bare": _fill_open("bare", 1.0),
    "solar": fill_solar,
    "lake": fill_lake,
    "burnt": fill_burnt,
    "desert": _fill_open("sand", 2.0),
}
