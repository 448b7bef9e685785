"""What is known of the public sets beside their labels: how often each is drawn, what it never shows, whom it lends to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomtrs.data.composite import (
    AIRCRAFT,
    BARE,
    BOAT,
    CLEARED,
    CLOUDS,
    ICE,
    NOT_YET,
    POOL,
    ROAD,
    ROOF,
    RUIN,
    SOLAR,
    STREET,
    TREE,
    WATER,
    YARD,
)
from geomtrs.data.labels import ABSENT, MASK_MEANS, PRESENT, RULES, THINGS, UNKNOWN

# Things that sets which do not label them hardly ever show: absent there, with the exceptions named.
ASSUMED_ABSENT = ("solar", "aircraft", "burnt", "landslide", "ice")
NOT_ASSUMED = {"drawn", "landsat_worldcover", "river_floods", "timelapse_weak/columbia", "xbd_guatemala"}
# Where one of these is, there is none of that.
_NEVER_BOTH = {
    "ice": ("water", "tree", "field", "town", "road"),
    "burnt": ("water", "ice"),
    "landslide": ("water", "ice"),
}
# What certain sets never show, though they do not label it: else a pond may pass for a roof unpunished.
SURELY_ABSENT: Mapping[str, tuple[str, ...]] = {
    "naip_potholes": ("building", "town", "car", "boat", "pool"),
    "amazon_forest": ("building", "car", "boat", "pool"),
    "karabuk_fires": ("building", "car", "boat", "pool"),
    "timelapse_weak/columbia": ("building", "town", "car", "pool", "road", "field"),
}

# How often a set is drawn, against 1 for a set of medium size; noisy and narrow sets are drawn less.
WEIGHTS: Mapping[str, float] = {
    "levir_cd": 9, "levir_cd_more": 6, "gz_cd": 5, "fotbcd": 2, "river_floods": 5, "naip_potholes": 4, "urban_trees_ca": 3,
    "airchange": 1.2, "dsifn": 1, "dsifn_cities": 0.4, "joplin_tornado": 0.8, "kahramanmaras_quake": 1, "karabuk_fires": 2.5,
    "cd_figures": 1.5, "cd_samples": 0.5, "timelapse_weak": 1, "xbd_guatemala": 0.5, "flood_aerial": 0.5, "dronedeploy": 0.7,
    "swiss_drone": 0.2, "oil_palm": 0.5, "india_s2": 2.5, "korea_s2": 1.5, "amazon_forest": 1.5, "dubai": 1.6, "loveda_potsdam_samples": 1.0,
    "penang_google": 1.2, "estonia_objects": 1.5, "landsat_worldcover": 3.0, "coast_water": 0.5, "drawn": 4, "ca_pools": 1.5, "landslides": 1.3,
}  # fmt: skip

# Sets whose mask stands for "what changed": what they leave out is no change worth a mention there.
CHANGE_SETS = {
    "airchange",
    "levir_cd",
    "levir_cd_more",
    "gz_cd",
    "fotbcd",
    "dsifn",
    "dsifn_cities",
    "cd_samples",
    "naip_potholes",
}

# Sets of like ground resolution lend each other pieces.
FINE = {"dronedeploy", "estonia_objects", "kampala_buildings", "gsi_roads", "gsi_solar", "swiss_drone", "oil_palm", "drone_cars",
        "ca_pools", "cil_roads", "loveda_potsdam_samples", "fotbcd"}  # fmt: skip
COARSE = {
    "amazon_forest",
    "india_s2",
    "korea_s2",
    "landsat_worldcover",
    "river_floods",
    "karabuk_fires",
    "dsifn_cities",
    "timelapse_weak",
}


def alike(name: str, sets: Sequence[str]) -> list[str]:
    """Those of `sets` that have a ground resolution like that of set `name`."""
    group = next((g for g in (FINE, COARSE) if name in g), None)
    return [one for one in sets if (one in group if group else one not in FINE | COARSE)]


# Sets whose green ground may be made to look burnt: woods and fields from far enough for a fire to fit in.
MAY_BURN = {
    "amazon_forest",
    "drawn",
    "karabuk_fires",
    "korea_s2",
    "landsat_worldcover",
    "naip_potholes",
    "river_floods",
    "ru_forest",
}
# Sets from so far that a drawn town, road or glacier looks real among their pixels.
MAY_GROW = {
    "amazon_forest",
    "india_s2",
    "karabuk_fires",
    "korea_s2",
    "landsat_worldcover",
    "naip_potholes",
    "river_floods",
    "timelapse_weak",
}
MASK_PRESENT, MASK_ABSENT = 1, 2  # raw values written for sets whose mask alone is the label


# What ground lacks before something is drawn at the other date, and what it may be known to have instead.
_LACKING = (("town", "building", "road", "ice", "aircraft", "boat", "solar", "pool"), ("tree",), ("bare",), ("water",))
_GROUNDS = ("tree", "grass", "field", "water", "bare")


def _rules() -> tuple[dict[str, int], NDArray[np.uint8]]:
    """Rule numbers by key, and all their tables (rules, things, 256); number 0 knows nothing."""
    tables = [np.full((len(THINGS), 256), UNKNOWN, np.uint8)]
    numbers = {}
    for key, rule in RULES.items():
        table = rule.tables()
        if key not in NOT_ASSUMED:
            for thing in ASSUMED_ABSENT:
                row = table[THINGS.index(thing)]
                if (row == UNKNOWN).all():
                    row[:] = ABSENT
        for thing, others in _NEVER_BOTH.items():
            row, there = table[THINGS.index(thing)], table[[THINGS.index(other) for other in others]] == PRESENT
            row[there.any(0) & (row == UNKNOWN)] = ABSENT
        for thing in SURELY_ABSENT.get(key, ()):
            table[THINGS.index(thing)] = ABSENT
        numbers[key] = len(tables)
        tables.append(table)
    for thing in sorted(set(MASK_MEANS.values()) - {"anything"}):
        table = np.full((len(THINGS), 256), UNKNOWN, np.uint8)
        table[THINGS.index(thing), MASK_PRESENT] = PRESENT
        table[THINGS.index(thing), MASK_ABSENT] = ABSENT
        for other in ASSUMED_ABSENT:
            table[THINGS.index(other)] = ABSENT
        numbers[f"mask/{thing}"] = len(tables)
        tables.append(table)
    # Scorched ground: what stood there may stand still or not.
    numbers["scorched"] = len(tables)
    tables.append(np.full((len(THINGS), 256), UNKNOWN, np.uint8))
    tables[-1][THINGS.index("burnt"), 1] = PRESENT
    numbers["grown"] = len(tables)
    tables.append(_grown())
    return numbers, np.stack(tables)


def _grown() -> NDArray[np.uint8]:
    """Of what is drawn: what grows in a yard, whether a road is in a town, and what a cloud hides, is not said."""
    table = np.full((len(THINGS), 256), UNKNOWN, np.uint8)
    for thing in ("water", "field", "boat", "pool", *ASSUMED_ABSENT):
        table[THINGS.index(thing), [ROOF, STREET, YARD, ROAD]] = ABSENT
    for thing in ("tree", "grass", "bare"):
        table[THINGS.index(thing), [ROOF, STREET, ROAD]] = ABSENT
    table[:, [ICE, AIRCRAFT, BOAT, SOLAR, POOL, WATER]] = ABSENT
    table[THINGS.index("water"), POOL] = UNKNOWN  # some call it so
    for thing in ("tree", "water", "building", "town", "pool", "boat", "car", *ASSUMED_ABSENT):
        table[THINGS.index(thing), [BARE, CLEARED]] = ABSENT
    table[THINGS.index("grass"), BARE] = ABSENT
    table[[THINGS.index("burnt"), THINGS.index("landslide")], BARE] = UNKNOWN
    for thing in ("building", "water", "pool", *ASSUMED_ABSENT):
        table[THINGS.index(thing), [RUIN, TREE]] = ABSENT
    hiding = CLOUDS + 1 + np.arange(len(THINGS))
    table[:, CLOUDS + 1 : CLOUDS + 2 + len(THINGS)] = ABSENT
    table[np.arange(len(THINGS)), hiding] = UNKNOWN
    table[THINGS.index("ice"), CLOUDS : CLOUDS + 2 + len(THINGS)] = ABSENT  # which clouds are taken for
    for thing, there in (
        ("town", [ROOF, STREET, YARD]), ("building", [ROOF]), ("road", [STREET, ROAD]), ("ice", [ICE]),
        ("aircraft", [AIRCRAFT]), ("boat", [BOAT]), ("solar", [SOLAR]), ("tree", [TREE]),
        ("bare", [BARE]), ("pool", [POOL]), ("water", [WATER]),
    ):  # fmt: skip
        table[THINGS.index(thing), there] = PRESENT
    for number, (things, ground) in enumerate(product(_LACKING, (None, *_GROUNDS)), NOT_YET):
        table[[THINGS.index(thing) for thing in things], number] = ABSENT
        if ground is not None:
            table[THINGS.index(ground), number] = PRESENT
    return table


def not_yet(states: NDArray[np.uint8], thing: str) -> NDArray[np.integer[Any]]:
    """(…) raw labels, by the rule of what is drawn, of ground of states (…, things) that lacks a drawn `thing`."""
    lacking = next(number for number, things in enumerate(_LACKING) if thing in things)
    has = states[..., [THINGS.index(ground) for ground in _GROUNDS]] == PRESENT
    return NOT_YET + lacking * (1 + len(_GROUNDS)) + np.where(has.any(-1), 1 + has.argmax(-1), 0)


RULE_NUMBERS, RULE_TABLES = _rules()
