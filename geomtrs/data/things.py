"""What stands on drawn ground. Positions and sizes in metres from the scene's upper left corner (x right, y down), angles in radians."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geomtrs.data.looks import Colour

CLASSES: dict[str, int] = {
    "other": 0,
    "building": 1,
    "road": 2,
    "water": 3,
    "tree": 4,  # single trees and forest
    "field": 5,
    "grass": 6,
    "bare": 7,
    "car": 8,
    "boat": 9,
    "solar": 10,
    "pool": 11,
    "burnt": 12,
}
"""Label of each class in a drawn scene. "other" is paved ground, yards and whatever has no name."""

Cover: TypeAlias = Literal[
    "grass", "lawn", "scrub", "field", "bare", "sand", "paved", "water", "burnt", "forest", "solar"
]
BoxKind: TypeAlias = Literal["gable", "hip", "flat", "hall", "panel", "car", "lorry", "boat", "pool", "slab", "scar"]
Points: TypeAlias = NDArray[np.float64]
"""(N, 2) metres."""


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """An area of one cover."""

    outline: Points
    cover: Cover
    tint: Colour = (1.0, 1.0, 1.0)
    """Factor on the cover's colour; for a field the crop's colour itself."""
    angle: float = 0.0
    period_m: float = 0.0
    """Distance of rows; 0 = none. For a forest the distance of crowns."""
    strength: float = 0.0
    """Contrast of rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Road:
    """A way along a line."""

    line: Points
    width_m: float
    paved: bool = True
    marked: bool = False
    shoulder_m: float = 0.0
    """Light strip (pavement, gravel) on each side; not part of the label."""
    tone: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """A rectangular thing: `size` = (along `angle`, across it)."""

    kind: BoxKind
    centre: tuple[float, float]
    size: tuple[float, float]
    angle: float
    colour: Colour
    height_m: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree with its own crown."""

    centre: tuple[float, float]
    radius_m: float
    height_m: float
    tint: Colour


Thing: TypeAlias = Ground | Road | Box | Tree

BUILDINGS: frozenset[str] = frozenset({"gable", "hip", "flat", "hall"})

COVER_LABEL: dict[Cover, int] = {
    "grass": CLASSES["grass"],
    "lawn": CLASSES["grass"],
    "scrub": CLASSES["grass"],
    "field": CLASSES["field"],
    "bare": CLASSES["bare"],
    "sand": CLASSES["bare"],
    "paved": CLASSES["other"],
    "water": CLASSES["water"],
    "burnt": CLASSES["burnt"],
    "forest": CLASSES["tree"],
    "solar": CLASSES["solar"],
}

BOX_LABEL: dict[BoxKind, int] = {
    "gable": CLASSES["building"],
    "hip": CLASSES["building"],
    "flat": CLASSES["building"],
    "hall": CLASSES["building"],
    "panel": CLASSES["solar"],
    "car": CLASSES["car"],
    "lorry": CLASSES["car"],
    "boat": CLASSES["boat"],
    "pool": CLASSES["pool"],
    "slab": CLASSES["other"],
    "scar": CLASSES["bare"],
}
