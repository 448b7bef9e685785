"""Drawn pairs: a made-up place at two dates, with exact labels of both.

They carry grammar and geometry (where, beside, how many, which direction), not the texture of the world: a score on
them is a score on drawn truth and never a claim of accuracy.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geomtrs.data.drawing import Canvas, paint
from geomtrs.data.ground import draw_grain, fractal
from geomtrs.data.landuse import FILLERS, Use
from geomtrs.data.layout import Frame, Rect, Seam, draw_frame, inset, part_of, split, wander
from geomtrs.data.looks import Climate, draw_climate, draw_look, photograph
from geomtrs.data.plots import CARS, Plot, Pose, Style, draw_style
from geomtrs.data.things import CLASSES, Box, Ground, Points, Road, Thing, Tree

__all__ = ["CLASSES", "DrawnPair", "draw_scene"]

_GSD_RANGE_M = (0.1, 10.0)

_ZONES: dict[str, dict[Use, float]] = {
    "village": {
        "houses": 6,
        "field": 2,
        "grass": 2,
        "forest": 1,
        "orchard": 1,
        "industry": 0.5,
        "lake": 0.4,
        "bare": 0.4,
    },
    "town": {"houses": 5, "flats": 3, "carpark": 1, "industry": 1, "grass": 1.2, "bare": 0.6},
    "farm": {"field": 6, "orchard": 1, "grass": 1, "forest": 1, "solar": 0.5, "houses": 0.7, "lake": 0.4, "bare": 0.4},
    "works": {"industry": 5, "carpark": 1.5, "bare": 1.5, "grass": 1, "solar": 1, "field": 0.6},
    "wild": {"forest": 4, "grass": 3, "burnt": 0.7, "lake": 0.8, "bare": 0.7, "houses": 0.3},
    "dry": {"desert": 4, "bare": 2, "houses": 2, "industry": 0.7, "solar": 0.7, "grass": 0.7, "field": 0.5},
    "water": {"lake": 4, "grass": 2, "houses": 1, "field": 2, "forest": 1},
}
"""Weights of the uses of a block; a scene mixes one or two zones."""

_TURNS: dict[Use, tuple[Use, ...]] = {
    "houses": ("field", "grass", "bare", "forest", "desert"),
    "flats": ("bare", "grass", "field", "houses"),
    "industry": ("field", "bare", "grass", "desert"),
    "carpark": ("grass", "bare", "field"),
    "field": ("houses", "solar", "bare", "lake", "industry", "grass", "orchard", "flats"),
    "orchard": ("field", "bare", "houses"),
    "grass": ("houses", "burnt", "forest", "lake", "bare", "carpark", "solar", "flats"),
    "forest": ("grass", "bare", "burnt", "houses"),
    "bare": ("houses", "flats", "industry", "grass", "lake", "solar", "carpark"),
    "solar": ("field", "grass", "bare"),
    "lake": ("grass", "field", "bare"),
    "burnt": ("grass", "forest"),
    "desert": ("houses", "solar", "industry", "bare", "lake"),
}
"""What a use may become. Which date shows which is drawn by coin, so every change is seen in both directions."""


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """A drawn place at two dates on one grid."""

    before: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    after: NDArray[np.uint8]
    labels_before: NDArray[np.uint8]
    """(H, W), values of CLASSES; exact on the grid, though each picture may lie up to half a pixel aside."""
    labels_after: NDArray[np.uint8]
    gsd_m: float
    """Metres per pixel."""


@dataclass(frozen=True, slots=True)
class _Habits:
    """How lively one place is: drawn once a scene."""

    change: float
    """Share of blocks whose use changes."""
    renewal: float
    """Share of single houses, pools and trees that come or go."""
    street: float
    """Share of seams that are streets."""
    new_street: float
    parked: tuple[float, float]
    """Share of parking places taken at each date."""
    traffic: float
    """Cars per 100 m of road."""


@dataclass(frozen=True, slots=True)
class _Dates:
    """The things to be seen at each of the two dates."""

    first: list[Thing]
    second: list[Thing]

    def both(self, things: list[Thing]) -> None:
        self.first.extend(things)
        self.second.extend(things)


def draw_scene(rng: np.random.Generator, shape: tuple[int, int], *, gsd_m: float = 0.5) -> DrawnPair:
    """A made-up place at two dates; the same generator state gives the same bytes.

    shape   (H, W) pixels
    gsd_m   metres per pixel, 0.1 to 10; things have their size in metres

    Raises ValueError for an empty shape or a gsd_m outside that range. 0.1 s for 256² and 6 s for 2048² on one core.
    """
    if min(shape) < 1 or not _GSD_RANGE_M[0] <= gsd_m <= _GSD_RANGE_M[1]:
        raise ValueError(
            f"found shape {shape} at {gsd_m} m; wanted at least 1 × 1 pixels at {_GSD_RANGE_M[0]} to {_GSD_RANGE_M[1]} m"
        )
    size_m = (shape[1] * gsd_m, shape[0] * gsd_m)
    climate = draw_climate(rng)
    dates = _lay_out(rng, size_m, climate, gsd_m)
    grain = draw_grain(rng, shape, gsd_m=gsd_m)
    relief = 1 + np.float32(rng.uniform(0, 0.06)) * fractal(rng, shape, cell_px=max(4.0, 90 / gsd_m), octaves=2)
    seed = int(rng.integers(2**31))
    first_look = draw_look(rng, climate=climate)
    second_look = draw_look(rng, climate=climate)
    if rng.random() < 0.3:
        second_look = replace(
            second_look, sun=first_look.sun, dryness=first_look.dryness, bare_branches=first_look.bare_branches
        )
    pictures: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.uint8]] = []
    for things, look in ((dates.first, first_look), (dates.second, second_look)):
        canvas = Canvas(np.zeros((*shape, 3), np.float32), np.zeros(shape, np.uint8), gsd_m, grain, climate, look, seed)
        paint(canvas, things)
        np.multiply(canvas.rgb, relief[:, :, None], out=canvas.rgb)
        pictures.append(photograph(canvas.rgb, look, rng))
        labels.append(canvas.labels)
    return DrawnPair(pictures[0], pictures[1], labels[0], labels[1], gsd_m)


def _lay_out(rng: np.random.Generator, size_m: tuple[float, float], climate: Climate, gsd_m: float) -> _Dates:
    """The whole place in things."""
    frame, style, habits = draw_frame(rng, size_m), draw_style(rng, climate), _draw_habits(rng)
    reach = 0.55 * float(np.hypot(*size_m)) + 15
    # Coarse pixels want coarse blocks, else a scene is a thousand houses of ten pixels.
    block_m = float(rng.uniform(45, 150)) * max(1.0, gsd_m / 0.7) ** 0.5
    blocks, seams = split(rng, (-reach, -reach, reach, reach), block_m=block_m)
    zones = [_ZONES[name] for name in rng.choice(list(_ZONES), 2)]
    grass = Ground(
        np.array([[-9.0, -9], [size_m[0] + 9, -9], [size_m[0] + 9, size_m[1] + 9], [-9, size_m[1] + 9]]), "grass"
    )
    dates = _Dates([grass], [grass])
    border = np.array(size_m)
    lean = rng.normal(0, 1, 2)
    for block in blocks:
        inner = inset(block, float(rng.uniform(1.5, 6.5)))
        if inner is None or _outside(frame.outline(block), border):
            continue
        middle = np.array([(inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2])
        zone = zones[int(lean @ middle + rng.normal(0, 0.2 * reach) > 0)]
        _lay_block(rng, dates, frame, inner, style, habits, zone)
    for seam in seams:
        _lay_seam(rng, dates, frame, seam, style, habits, border)
    if rng.random() < 0.18:
        _lay_river(rng, dates, size_m)
    if rng.random() < 0.5:
        dates.first[:], dates.second[:] = dates.second[:], dates.first[:]
    return dates


def _draw_habits(rng: np.random.Generator) -> _Habits:
    calm = rng.random() < 0.12
    return _Habits(
        change=0.0 if calm else float(rng.beta(1.2, 2.2)),
        renewal=0.0 if calm else float(rng.beta(0.8, 6)),
        street=float(rng.uniform(0.25, 1.0)),
        new_street=0.0 if calm else float(rng.beta(0.6, 6)),
        parked=(float(rng.beta(1.5, 1.5)), float(rng.beta(1.5, 1.5))),
        traffic=float(rng.gamma(1.2, 0.9)),
    )


def _outside(points: Points, border: Points) -> bool:
    """Whether none of an outline can show in the scene, with room for shadows and what hangs over."""
    return bool((points.max(axis=0) < -25).any() or (points.min(axis=0) > border + 25).any())


def _choose(rng: np.random.Generator, weights: dict[Use, float]) -> Use:
    uses = list(weights)
    share = np.array([weights[use] for use in uses])
    return uses[int(rng.choice(len(uses), p=share / share.sum()))]


def _lay_block(
    rng: np.random.Generator,
    dates: _Dates,
    frame: Frame,
    rect: Rect,
    style: Style,
    habits: _Habits,
    zone: dict[Use, float],
) -> None:
    """One block: as it always was, or of another use at one of the dates, whole or in part."""
    use = _choose(rng, zone)
    plot = FILLERS[use](rng, frame, rect, style)
    if rng.random() >= habits.change:
        _show(rng, dates, plot, habits, at=(True, True))
        return
    turns = _TURNS[use]
    other = turns[int(rng.integers(len(turns)))]
    first = bool(rng.random() < 0.5)
    natural = other in ("lake", "forest", "burnt", "bare", "grass", "solar", "carpark") and use not in (
        "houses",
        "flats",
        "industry",
    )
    if natural and rng.random() < 0.6:
        _show(rng, dates, plot, habits, at=(True, True))
        place = part_of(rng, rect)
        overlay = FILLERS[other](rng, frame, place, style)
        del overlay.always[: 1 if other in ("forest", "lake", "burnt") else 0]
        _clear(dates, frame.outline(place), at=(first, not first))
        _show(rng, dates, overlay, habits, at=(first, not first))
    else:
        _show(rng, dates, plot, habits, at=(not first, first))
        _show(rng, dates, FILLERS[other](rng, frame, rect, style), habits, at=(first, not first))


def _clear(dates: _Dates, outline: Points, *, at: tuple[bool, bool]) -> None:
    """Remove what stands within the outline's bounds, so that it does not grow through what is laid over it."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    for things, cleared in zip((dates.first, dates.second), at, strict=True):
        if cleared:
            things[:] = [
                t for t in things if not isinstance(t, Box | Tree) or not ((t.centre > low) & (t.centre < high)).all()
            ]


def _show(rng: np.random.Generator, dates: _Dates, plot: Plot, habits: _Habits, *, at: tuple[bool, bool]) -> None:
    """Put a plot into the dates at which it is there; where it is there at both, some of its lots come or go."""
    lists = (dates.first, dates.second)
    for there, things, seasonal in zip(at, lists, plot.seasonal, strict=True):
        if there:
            things.extend(plot.always + seasonal)
    for lot in plot.lots:
        gone = int(rng.integers(2)) if all(at) and rng.random() < habits.renewal else -1
        for k, things in enumerate(lists):
            if at[k] and k != gone:
                things.extend(lot)
            elif k == gone and isinstance(lot[-1], Box) and lot[-1].kind != "pool" and rng.random() < 0.5:
                house = lot[-1]
                things.append(
                    Box("scar", house.centre, (house.size[0] + 5, house.size[1] + 5), house.angle, (0.52, 0.45, 0.36))
                )
    stays = rng.random(len(plot.parking)) < 0.25
    lasting = rng.random(len(plot.parking))
    for k, things in enumerate(lists):
        if at[k]:
            taken = np.where(stays, lasting, rng.random(len(plot.parking))) < habits.parked[k]
            things.extend(_vehicle(rng, pose) for pose, here in zip(plot.parking, taken, strict=True) if here)
            things.extend(_boat(rng, pose) for pose in plot.moorings if rng.random() < 0.5)


def _vehicle(rng: np.random.Generator, pose: Pose) -> Box:
    x, y, angle = pose
    paint = CARS[int(rng.integers(len(CARS)))]
    turn = float(rng.choice([0.0, np.pi])) + float(rng.normal(0, 0.03))
    if rng.random() < 0.04:
        return Box("lorry", (x, y), (float(rng.uniform(8, 15)), 2.6), angle + turn, paint, 3.2)
    return Box("car", (x, y), (float(rng.uniform(3.9, 5.1)), float(rng.uniform(1.75, 2.1))), angle + turn, paint, 1.5)


def _boat(rng: np.random.Generator, pose: Pose) -> Box:
    length = float(rng.gamma(3, 3.2)) + 4
    return Box("boat", pose[:2], (length, length * float(rng.uniform(0.24, 0.36))), pose[2], (0.86, 0.86, 0.85), 1.2)


def _lay_seam(
    rng: np.random.Generator, dates: _Dates, frame: Frame, seam: Seam, style: Style, habits: _Habits, border: Points
) -> None:
    """A seam is a street, a track, a row of trees or nothing; a street may be new, or paved anew."""
    line = frame.line(np.array(seam.start), np.array(seam.end))
    if _outside(line, border):
        return
    if rng.random() > habits.street:
        if rng.random() < 0.4:
            spots = line[rng.random(len(line)) < 0.7] + rng.normal(0, 1.0, 2)
            dates.both(
                [
                    Tree((x, y), float(rng.uniform(1.5, 4)), 6.0, (1.0, 1.0, float(rng.uniform(0.9, 1.1))))
                    for x, y in spots.tolist()
                ]
            )
        return
    wide = float(rng.uniform(9, 17)) if seam.depth < 2 and rng.random() < 0.5 else float(rng.uniform(4, 8.5))
    paved = bool(wide > 8.5 or rng.random() < 0.7)
    road = Road(
        line,
        wide,
        paved=paved,
        marked=paved and rng.random() < 0.5,
        shoulder_m=float(rng.uniform(0.8, 2.2)) * float(rng.random() < 0.5),
        tone=float(rng.uniform(0.85, 1.2)),
    )
    there = (True, True)
    if rng.random() < habits.new_street:
        first = bool(rng.random() < 0.5)
        there = (first, not first)
    for things, shown in zip((dates.first, dates.second), there, strict=True):
        if shown:
            things.append(road)
            things.extend(_traffic(rng, road, habits.traffic))
    if rng.random() < 0.25 and style.trees > 0.5:
        avenue = (
            line[::2]
            + rng.normal(0, 0.3, 2)
            + (wide / 2 + 3) * np.array([np.cos(frame.theta + 1.57), np.sin(frame.theta + 1.57)])
        )
        dates.both([Tree((x, y), 2.6, 7.0, (1.0, float(rng.uniform(0.9, 1.15)), 1.0)) for x, y in avenue.tolist()])


def _traffic(rng: np.random.Generator, road: Road, per_100_m: float) -> list[Thing]:
    if not road.paved:
        return []
    step = np.diff(road.line, axis=0)
    length = float(np.linalg.norm(step, axis=1).sum())
    cars: list[Thing] = []
    for k in rng.integers(0, len(step), int(rng.poisson(per_100_m * length / 100))).tolist():
        heading = float(np.arctan2(step[k, 1], step[k, 0]))
        lane = float(rng.choice([-1, 1])) * road.width_m * 0.25
        x, y = (road.line[k] + rng.random() * step[k] + lane * np.array([-np.sin(heading), np.cos(heading)])).tolist()
        cars.append(_vehicle(rng, (x, y, heading)))
    return cars


def _lay_river(rng: np.random.Generator, dates: _Dates, size_m: tuple[float, float]) -> None:
    """A river with banks through the whole place; it may be lower at one date. Nothing keeps standing in it."""
    line = wander(rng, size_m)
    wide = float(rng.uniform(6, min(60.0, 0.3 * max(size_m) + 8)))
    low = wide * (float(rng.uniform(0.4, 0.85)) if rng.random() < 0.35 else 1.0)
    bank = float(rng.uniform(1.5, 6))
    heading = np.gradient(line, axis=0)
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    normal = np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    edge = rng.normal(0, 0.03 * wide + 0.3, (2, len(line)))

    def ribbon(width: float) -> Points:
        sides = [line + side * (width / 2 + edge[k])[:, None] * normal for k, side in ((0, 1), (1, -1))]
        return np.concatenate([sides[0], sides[1][::-1]])

    for things, width in ((dates.first, wide), (dates.second, low)):
        things[:] = [
            t for t in things if not isinstance(t, Box | Tree) or _distance(line, t.centre) > wide / 2 + bank + 3
        ]
        things.append(Ground(ribbon(wide + 2 * bank), "sand" if low < wide or rng.random() < 0.4 else "scrub"))
        things.append(Ground(ribbon(width), "water", (1.0, 1.0, 1.0), 0.3, 6.0, 0.015))
        for k in np.nonzero(rng.random(len(line)) < 0.05 * (wide > 14))[0].tolist():
            x, y = (line[k] + rng.uniform(-0.2, 0.2) * wide * normal[k]).tolist()
            things.append(_boat(rng, (x, y, float(np.arctan2(heading[k, 1], heading[k, 0])))))


def _distance(line: Points, point: tuple[float, float]) -> float:
    return float(np.sqrt(((line - np.array(point)) ** 2).sum(axis=1).min()))
