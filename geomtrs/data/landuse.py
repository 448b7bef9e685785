"""What a block is used for: each use fills a plan rectangle with things."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from geomtrs.data.built import fill_carpark, fill_flats, fill_houses, fill_industry
from geomtrs.data.layout import Frame, Rect, blob, inset, part_of, roughen
from geomtrs.data.looks import Climate, Colour
from geomtrs.data.plots import Plot, Style, area_m2, draw_tint, draw_tree, near, scatter
from geomtrs.data.things import Cover, Ground, Road, Tree

Use: TypeAlias = Literal[
    "houses", "flats", "industry", "carpark", "field", "orchard", "grass", "forest", "bare", "solar", "lake", "burnt", "desert"
]  # fmt: skip


def _crop(rng: np.random.Generator, climate: Climate) -> tuple[Colour, float, float]:
    """(colour, distance of rows m, contrast) of what grows, or of the ploughed soil."""
    kind = int(rng.integers(6))
    base = (climate.grass, climate.straw, climate.soil, climate.crown, (0.44, 0.47, 0.24), climate.sand)[kind]
    period = float(rng.choice([rng.uniform(1.4, 3.2), rng.uniform(4, 7), rng.uniform(14, 27)]))
    return near(rng, base, 0.08), period, float(rng.uniform(0.02, 0.14)) * (0.6 if period > 10 else 1.0)


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
    plot = Plot(always=[Ground(frame.outline(rect), "field", near(rng, base, 0.06))])
    u0, v0, u1, v1 = rect
    gap = float(rng.uniform(4.5, 9))
    radius = gap * float(rng.uniform(0.25, 0.42))
    tint = draw_tint(rng, 0.15)
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
        plot = Plot(
            always=[Ground(frame.outline(rect), cover, draw_tint(rng), rng.uniform(0, np.pi), period, strength)]
        )
        if cover in ("bare", "sand") and rng.random() < 0.6:
            patch = frame.xy(blob(rng, part_of(rng, rect, share=(0.2, 0.6))))
            plot.always.append(Ground(roughen(rng, patch, 0.5), "sand" if cover == "bare" else "bare", draw_tint(rng)))
        count = int(rng.poisson(trees * rng.gamma(1, 1) * area_m2(rect) / 10000))
        plot.lots.extend([draw_tree(rng, at)] for at in scatter(rng, frame, rect, min(count, 120)))
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
        roughen(rng, outline, 1.3),
        "forest",
        draw_tint(rng, 0.14),
        period_m=style.crown_m * float(rng.uniform(0.7, 1.2)),
    )
    return Plot(always=[Ground(frame.outline(rect), "scrub", draw_tint(rng)), canopy])


def fill_solar(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Rows of tables within a fence's strip of grass."""
    del style  # panels look alike everywhere
    inner = inset(rect, 5.0) or rect
    angle = frame.angle((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2) * float(rng.random() < 0.7)
    tables = Ground(frame.outline(inner), "solar", draw_tint(rng), angle, float(rng.uniform(4.5, 9)))
    return Plot(always=[Ground(frame.outline(rect), "grass", draw_tint(rng)), tables])


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
        draw_tint(rng, 0.18),
        rng.uniform(0, np.pi),
        5.0,
        0.02,
    )
    bank: Cover = "scrub" if rng.random() < 0.5 else "sand"
    plot = Plot(
        always=[Ground(frame.outline(rect), "grass", draw_tint(rng)), Ground(shore, bank, draw_tint(rng)), water]
    )
    room = 0 if straight else int(area_m2(rect) / 2500)  # nobody sails on a fish pond
    for _ in range(int(rng.integers(0, 1 + room))):
        turn, far = rng.uniform(0, 2 * np.pi), 0.55 * np.sqrt(rng.random())
        x, y = (middle + far * shrink * (shore[int(rng.integers(len(shore)))] - middle)).tolist()
        plot.moorings.append((x, y, turn))
    return plot


def fill_burnt(rng: np.random.Generator, frame: Frame, rect: Rect, style: Style) -> Plot:
    """Burnt ground with a ragged edge, in grass."""
    del style  # ash is ash
    scar = roughen(rng, frame.xy(blob(rng, rect, roughness=0.5)), 1.2)
    return Plot(
        always=[Ground(frame.outline(rect), "scrub", draw_tint(rng)), Ground(scar, "burnt", draw_tint(rng, 0.15))]
    )


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
