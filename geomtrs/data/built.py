"""Blocks that are built on: houses, flats, industry, car parks."""

import numpy as np

from geomtrs.data.layout import Frame, Rect
from geomtrs.data.looks import Colour, colour
from geomtrs.data.plots import Plot, Style, area_m2, draw_tint, draw_tree, near, scatter
from geomtrs.data.things import Box, BoxKind, Ground, Road, Thing

_HALLS: tuple[Colour, ...] = (
    (0.82, 0.82, 0.81),
    (0.62, 0.64, 0.65),
    (0.35, 0.47, 0.62),
    (0.52, 0.33, 0.28),
    (0.45, 0.52, 0.48),
    (0.70, 0.66, 0.58),
)


def _house(rng: np.random.Generator, style: Style, at: tuple[float, float], angle: float, length: float) -> list[Thing]:
    """A house: main roof, perhaps a wing, perhaps panels."""
    draw = rng.random()
    kind: BoxKind = "gable" if draw < style.gable_share else "hip" if draw < 0.55 + 0.4 * style.gable_share else "flat"
    roof = near(rng, style.roofs[int(rng.integers(len(style.roofs)))], 0.06)
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
                near(rng, (0.12, 0.15, 0.24), 0.05),
            )
        )
    return parts


def fill_houses(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Rows of lots; every second pair of rows has a lane between."""
    plot = Plot(always=[Ground(frame.outline(rect), style.yard, draw_tint(rng))])
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
        house.insert(0, Box("slab", drive, (3.2, size * 0.9), angle, near(rng, style.climate.concrete, 0.07)))
        plot.parking.append((*drive, angle + np.pi / 2))
    if rng.random() < 0.3:
        house.append(
            Box("flat", beside(-size * 0.75, size * 0.5), (4.0, 3.2), angle, near(rng, (0.55, 0.52, 0.49), 0.1), 2.5)
        )
    plot.lots.append(house)
    if rng.random() < style.pools:
        spot = beside(rng.uniform(-3, 3), size * rng.uniform(0.75, 0.95))
        water = Box("pool", spot, (rng.uniform(6, 10), rng.uniform(3, 5)), angle, near(rng, (0.34, 0.57, 0.60), 0.06))
        plot.lots.append(
            [
                Box(
                    "slab",
                    spot,
                    (water.size[0] + 3, water.size[1] + 3),
                    angle,
                    near(rng, style.climate.concrete, 0.05),
                ),
                water,
            ]
        )
    for _ in range(int(rng.poisson(style.trees))):
        far = size * rng.uniform(0.65, 1.1)
        turn = rng.uniform(0, 2 * np.pi)
        plot.lots.append([draw_tree(rng, (at[0] + far * np.cos(turn), at[1] + far * np.sin(turn)))])


def fill_flats(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Large blocks of flats with lawns and parking."""
    plot = Plot(always=[Ground(frame.outline(rect), "lawn" if rng.random() < 0.7 else "paved", draw_tint(rng))])
    u0, v0, u1, v1 = rect
    depth, gap = float(rng.uniform(11, 18)), float(rng.uniform(14, 30))
    roof = near(rng, (0.55, 0.53, 0.51), 0.12)
    height = float(rng.uniform(9, 32))
    v = v0 + gap / 2 + depth / 2
    while v + depth / 2 < v1:
        u = u0 + rng.uniform(3, 8)
        while u + 18 < u1:
            length = min(float(rng.uniform(20, 60)), u1 - u - 2)
            centre = frame.point(u + length / 2, v)
            angle = frame.angle(u + length / 2, v)
            block: list[Thing] = [Box("flat", centre, (length, depth), angle, near(rng, roof, 0.03), height)]
            for _ in range(int(rng.integers(1, 5))):
                shift = rng.uniform(-0.4, 0.4) * length
                spot = (centre[0] + shift * np.cos(angle), centre[1] + shift * np.sin(angle))
                block.append(
                    Box(
                        "flat",
                        spot,
                        (rng.uniform(2, 5), rng.uniform(2, 4)),
                        angle,
                        near(rng, (0.5, 0.5, 0.5), 0.15),
                        0.0,
                    )
                )
            plot.lots.append(block)
            for k in range(int(length / 3)):
                plot.parking.append((*frame.point(u + 3 * k, v + depth / 2 + 5), angle + np.pi / 2))
            u += length + rng.uniform(8, 20)
        v += depth + gap
    plot.lots.extend(
        [draw_tree(rng, at)] for at in scatter(rng, frame, rect, int(area_m2(rect) / 10000 * 10 * style.trees))
    )
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
            paint = near(rng, _HALLS[int(rng.integers(len(_HALLS)))], 0.06)
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
    plot = Plot(always=[Ground(frame.outline(rect), "paved", draw_tint(rng))])
    u0, v0, u1, v1 = rect
    for row, v in enumerate(np.arange(v0 + 4, v1 - 4, 8.5).tolist()):
        for u in np.arange(u0 + 3, u1 - 3, 2.7).tolist():
            angle = frame.angle(u, v) + np.pi / 2
            plot.parking.append((*frame.point(u, v), angle))
            if rng.random() < 0.9:
                plot.always.append(Box("slab", frame.point(u + 1.35, v), (4.8, 0.18), angle, (0.85, 0.85, 0.84)))
        if row % 3 == 0 and style.trees > 1:
            plot.lots.extend(
                [draw_tree(rng, frame.point(u, v + 4), 1.6)] for u in np.arange(u0 + 6, u1 - 6, 18.0).tolist()
            )
    return plot
