"""What the labels of the training sets say about each thing: true, false or not known, pixel by pixel.

No set labels everything. A building mask says nothing of trees, "vegetation" is neither tree nor not tree, so each
set has a rule, and every (set, thing) pair becomes a table of 256 entries: raw label → ABSENT, PRESENT or UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

THINGS = (
    "building", "road", "water", "tree", "field", "grass", "bare", "car", "boat",
    "aircraft", "solar", "pool", "landslide", "burnt", "ice", "palm", "town",
)  # fmt: skip
ANYTHING = len(THINGS)  # the code of "whatever changed", after the things
UNLABELLED = len(THINGS) + 1  # things that no set labels and no picture here shows: whoever asks is answered nothing
ABSENT, PRESENT, UNKNOWN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How raw label values of one set read; a thing that is not named in `present` is unknown everywhere."""

    present: Mapping[int, str]
    unknown: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # values that may or may not be the thing
    ignore: tuple[int, ...] = (255,)  # values that say nothing of any thing

    def tables(self) -> NDArray[np.uint8]:
        """(things, 256): ABSENT, PRESENT or UNKNOWN for each raw value."""
        tables = np.full((len(THINGS), 256), UNKNOWN, np.uint8)
        for thing in set(self.present.values()):
            row = tables[THINGS.index(thing)]
            row[:] = ABSENT
            for value, name in self.present.items():
                if name == thing:
                    row[value] = PRESENT
            row[list(self.unknown.get(thing, ()))] = UNKNOWN
            row[list(self.ignore)] = UNKNOWN
        return tables


_ROAD, _TREE, _WATER, _BUILDING, _SOLAR = (
    LabelRule({1: thing}) for thing in ("road", "tree", "water", "building", "solar")
)
_WORLDCOVER = {1: "tree", 3: "grass", 4: "field", 5: "town", 6: "bare", 7: "water"}
_WORLDCOVER_UNSURE = {"tree": (2, 8), "grass": (2, 8, 9), "field": (3, 2), "water": (8,), "bare": (10, 9, 3)}

# Labels of crafted sets: 1 … 17 a thing is there, CRAFTED_NOT + 1 … that it is not, and nothing of the others.
CRAFTED_NOT = 100
_TOGETHER = (("pool", "water"), ("boat", "water"), ("car", "road"), ("palm", "tree"), ("landslide", "bare"))


def _may_be(one: str, other: str) -> bool:
    """Both may be said of one pixel."""
    return "town" in (one, other) or (one, other) in _TOGETHER or (other, one) in _TOGETHER


_CRAFTED = LabelRule(
    dict(enumerate(THINGS, 1)),
    {
        thing: tuple(
            value
            for i, other in enumerate(THINGS, 1)
            if other != thing
            for value in ((CRAFTED_NOT + i, i) if _may_be(thing, other) else (CRAFTED_NOT + i,))
        )
        for thing in THINGS
    },
    (0, 255),
)

# Keys are set names, or set/prefix where parts of a set mean different things.
RULES: Mapping[str, LabelRule] = {
    "amazon_forest": _TREE,
    "ca_pools": LabelRule({1: "pool"}),
    "cabuar": LabelRule({1: "burnt"}),
    "cd_figures": LabelRule({3: "tree", 4: "water", 5: "building"}),
    "chabud": LabelRule({1: "burnt"}),
    "cil_roads": _ROAD,
    "coast_water": _WATER,
    "drone_cars": LabelRule({1: "car"}),
    "crafted": _CRAFTED,
    "dronedeploy": LabelRule({1: "building", 4: "water", 6: "car"}, ignore=(0, 255)),
    "dubai": LabelRule({1: "building", 2: "bare", 3: "road", 5: "water"}, ignore=(0, 255)),
    "epfl_roads": _ROAD,
    "estonia_objects": LabelRule({1: "car", 3: "car", 6: "car", 2: "aircraft", 4: "boat", 5: "building"}),
    "flood_aerial": _WATER,
    "fotbcd": _BUILDING,
    "gsi_roads": _ROAD,
    "gsi_solar": _SOLAR,
    "india_s2": LabelRule({1: "town", 3: "water"}, ignore=(0, 255)),
    "joplin_tornado": _BUILDING,
    "kahramanmaras_quake": LabelRule({1: "building", 2: "building"}),
    "kampala_buildings": _BUILDING,
    "karabuk_fires": LabelRule({1: "burnt"}),
    "korea_s2": LabelRule({1: "town", 2: "road", 3: "field", 4: "tree"}),
    "landsat_worldcover": LabelRule(_WORLDCOVER, _WORLDCOVER_UNSURE, (0, 255)),
    "landslides": LabelRule({1: "landslide"}),
    "loveda_potsdam_samples": LabelRule(
        {2: "building", 3: "road", 4: "water", 5: "bare", 6: "tree", 7: "field", 9: "grass", 10: "tree", 11: "car"},
        {"road": (8, 12), "bare": (1, 8, 12), "tree": (1,), "grass": (1, 7), "field": (1, 9), "car": (1, 2, 3, 12)},
        (0, 255),
    ),
    "mass_roads": _ROAD,
    "naip_potholes": _WATER,
    "nrel_solar": _SOLAR,
    "oil_palm": LabelRule({1: "palm"}),
    "penang_google": LabelRule(
        {1: "building", 2: "road", 3: "water", 4: "tree"}, {"tree": (0,), "building": (0,), "road": (0, 4)}
    ),
    "river_floods": LabelRule(_WORLDCOVER, _WORLDCOVER_UNSURE, (0, 255)),
    "ru_forest": _TREE,
    "spacenet_roads": _ROAD,
    "swiss_drone": LabelRule({2: "building", 6: "tree", 7: "car"}, {"tree": (4,)}, (0, 255)),
    "timelapse_weak/brazil": LabelRule({4: "tree"}),
    "timelapse_weak/columbia": LabelRule({1: "water", 2: "ice"}),
    "timelapse_weak/dubai": _WATER,
    "timelapse_weak/kuwait": LabelRule({1: "water", 6: "road"}),
    "urban_trees_ca": LabelRule({1: "tree"}, {"tree": (2,)}),
    "xbd_guatemala": _BUILDING,
    "drawn": LabelRule(
        {1: "building", 2: "road", 3: "water", 4: "tree", 5: "field", 6: "grass", 7: "bare", 8: "car", 9: "boat",
         10: "solar", 11: "pool", 12: "burnt"},
        {"road": (8,), "water": (9, 11)},
    ),
}  # fmt: skip

# Sets whose mask alone tells the change: the thing it is about. "anything" = whatever changed.
MASK_MEANS: Mapping[str, str] = {
    "levir_cd": "building",
    "levir_cd_more": "building",
    "levir_cd_plus": "building",
    "xview2": "building",
    "bright": "building",
    "gz_cd": "building",
    "fotbcd": "building",
    "dsifn": "building",
    "dsifn_cities": "town",
    "cd_samples": "building",
    "airchange": "anything",
    "oscd": "anything",
}


def mask_means(set_name: str, sample: str) -> str | None:
    """What a sample's mask alone tells the change of; None where its set is none of those."""
    means = MASK_MEANS.get(set_name)
    return "anything" if means and sample.startswith("sysu") else means  # those of cd_samples show any change


def rule_of(set_name: str, sample: str) -> LabelRule | None:
    """The rule for a sample's labels, or None where the set has none."""
    return RULES.get(f"{set_name}/{sample.split('_', 1)[0]}") or RULES.get(set_name)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What is known of a pair: (things, H, W) states of both dates, where nothing changed, and of what that tells all.

    still   (H, W)
    about   things, or ANYTHING, that changed wherever `still` is False
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    still: NDArray[np.bool_]
    about: frozenset[int] = frozenset()

    @classmethod
    def by_rule(
        cls, rule: LabelRule, first: NDArray[np.uint8], last: NDArray[np.uint8], still: NDArray[np.bool_]
    ) -> Self:
        """As raw labels (H, W) of both dates read."""
        tables = rule.tables()
        return cls(tables[:, first], tables[:, last], still)

    @classmethod
    def by_mask(cls, still: NDArray[np.bool_], thing: int, direction: str | None) -> Self:
        """As a mask tells all of the change of one thing: where it was at either date too, if it went one way."""
        without, with_it = (np.full((len(THINGS), *still.shape), UNKNOWN, np.uint8) for _ in range(2))
        if thing != ANYTHING and direction in ("appear", "disappear"):
            without[thing][~still], with_it[thing][~still] = ABSENT, PRESENT
        dates = (with_it, without) if direction == "disappear" else (without, with_it)
        return cls(*dates, still, frozenset({thing}))
