"""What is laid into a crop beside what its labels say: pieces of other pictures, burnt ground, towns, ice and roads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.data.afar import array, freeze, overcast, pave, settle, tongue
from geomtrs.data.cleared import clear, dig, plots
from geomtrs.data.composite import CROP_PX, Scene, blob, lay_in, log_uniform, piece_mask, ruin, scorch, some_of
from geomtrs.data.crowns import leafy, plant, stand
from geomtrs.data.labels import PRESENT, THINGS, UNKNOWN
from geomtrs.data.parked import AIRCRAFT_PX, BOATS_PX, SHIPS_PX, park
from geomtrs.data.shores import bars, basin, flood, tinge
from geomtrs.training.sets import COARSE, MAY_BURN, MAY_GROW, RULE_NUMBERS, RULE_TABLES, alike, not_yet

_OWN_SHARE = 0.4  # of the pieces: from the same set
_BURNT_SHARE, _BURNT_AREA = 0.25, (0.004, 0.4)  # of the pairs that are composed, and of their ground
_TOWN_SHARE, _ICE_SHARE, _ROAD_SHARE = 0.5, 0.25, 0.5  # of the pairs from afar that are composed
_SOLAR_SHARE, _SHIP_SHARE, _CLOUD_SHARE = 0.15, 0.3, 0.12  # of the same; ships where there is water
_RUIN_SHARE = 0.35  # of the composed pairs from near that show buildings
_CLEARED_SHARE = 0.15  # of all composed pairs
_PLANE_SHARE, _TREE_SHARE, _POOL_SHARE = 0.07, 0.25, 0.12  # of the composed pairs from near
_BOAT_SHARE = 0.3  # of the same where there is water
_DRY_SHARE, _TINGED_SHARE = 0.25, 0.4  # of the composed pairs that show water, and of their dates
_FLOOD_SHARE, _FLOOD_SHARE_AFAR = 0.05, 0.15  # of the composed pairs

Lend = Callable[[str], Scene]
"""A crop of some picture of a set."""


def compose(
    name: str, before: Scene, after: Scene, lend: Lend, sets: Sequence[str], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Lays pieces of other pictures into one date of a crop of set `name` or into both.

    Returns where (H, W) only one date has them, which is a change. `sets` are those that may lend.
    """
    laid = np.zeros((CROP_PX, CROP_PX), bool)
    near = alike(name, sets)
    for _ in range(int(rng.choice([0, 1, 1, 2, 3]))):
        donor = lend(name if rng.random() < _OWN_SHARE else near[int(rng.integers(len(near)))])
        states = RULE_TABLES[donor.rule[0, 0], :, donor.raw]  # one rule a donor
        things = [t for t in range(len(THINGS)) if (states[..., t] == PRESENT).any()]
        present = states[..., rng.choice(things)] == PRESENT if things else np.zeros((CROP_PX, CROP_PX), bool)
        mask = piece_mask(donor, present, rng)
        into_both = rng.random() < 0.25
        for scene in (before, after) if into_both else ((after,) if rng.random() < 0.5 else (before,)):
            lay_in(scene, donor, mask, rng)
        laid = laid & ~mask if into_both else laid | mask
    if name in MAY_BURN and rng.random() < _BURNT_SHARE:
        date = after if rng.random() < 0.5 else before
        ragged = blob(rng, log_uniform(rng, _BURNT_AREA))
        burnt = ndimage.binary_opening(ragged & ~_there(date, "water", "building", "town"), iterations=2)
        scorch(date, burnt, rng, RULE_NUMBERS["scorched"])
        laid |= burnt
    bare, grown = (before, after) if rng.random() < 0.5 else (after, before)
    if rng.random() < _CLEARED_SHARE:
        cleared = plots(rng) & ~_there(bare, "water", "building", "town", "road", "ice", "pool")
        clear(bare, cleared, rng, RULE_NUMBERS["grown"])
        _not_yet(grown, cleared & leafy(grown), "bare")
        laid |= cleared
    laid |= _rise(bare, grown, rng, _FLOOD_SHARE_AFAR if name in COARSE | MAY_GROW else _FLOOD_SHARE)
    if name in MAY_GROW:
        laid |= _grow(bare, grown, rng)
    elif name not in COARSE:
        laid |= _destroy(bare, rng)
        laid |= _park(bare, grown, rng) | _plant(bare, grown, rng) | _dig(bare, grown, rng)
    if name in COARSE and rng.random() < _CLOUD_SHARE:
        overcast(bare, RULE_TABLES[grown.rule, :, grown.raw], rng, RULE_NUMBERS["grown"])
    return laid


def _rise(bare: Scene, grown: Scene, rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """At times water in `grown` that `bare` has not, drawn into `grown` or dried up in `bare`: where it changed."""
    rule = RULE_NUMBERS["grown"]
    changed = np.zeros((CROP_PX, CROP_PX), bool)
    wet = _there(bare, "water")
    if wet.any() and rng.random() < _DRY_SHARE:
        changed = bars(wet, rng)
        clear(bare, changed, rng, rule, green=0.1)  # else taken for water with plants
    for date in (bare, grown):
        if rng.random() < _TINGED_SHARE:
            tinge(date, _there(date, "water"), rng)
    if rng.random() < share:
        taken = ("water", "building", "town", "ice", "pool", "boat", "car", "solar", "aircraft")
        wet = _there(grown, "water")
        risen = basin(wet, rng) & ~_there(grown, *taken) & ~_there(bare, "water")
        flood(grown, risen, wet, rng, rule)
        _not_yet(bare, risen & leafy(bare), "water")
        changed = changed | risen
    return changed


def _destroy(date: Scene, rng: np.random.Generator) -> NDArray[np.bool_]:
    """At times some or all of the buildings of a date lie in ruins: where."""
    standing = _there(date, "building")
    if not standing.any() or rng.random() >= _RUIN_SHARE:
        return np.zeros((CROP_PX, CROP_PX), bool)
    return ruin(date, some_of(standing, (0.2, 0.5, 1.0), rng), rng, RULE_NUMBERS["grown"])


def _park(bare: Scene, grown: Scene, rng: np.random.Generator) -> NDArray[np.bool_]:
    """At times boats or aircraft that `grown` has and `bare` has not: where they lie."""
    rule, wet = RULE_NUMBERS["grown"], _there(grown, "water") & _there(bare, "water")
    where = np.zeros((CROP_PX, CROP_PX), bool)
    for afloat, share in ((True, _BOAT_SHARE), (False, _PLANE_SHARE)):
        if rng.random() < share:
            free = wet if afloat else ~_there(grown, "water", "building", "tree", "boat", "car")
            new = park(grown, free, rng, rule, afloat=afloat, lengths_px=BOATS_PX if afloat else AIRCRAFT_PX)
            _not_yet(bare, new, "boat" if afloat else "aircraft")
            where |= new
    return where


def _plant(bare: Scene, grown: Scene, rng: np.random.Generator) -> NDArray[np.bool_]:
    """At times single trees that `grown` has, and `bare` has not or has in part: where they are new."""
    nowhere = np.zeros((CROP_PX, CROP_PX), bool)
    if rng.random() >= _TREE_SHARE:
        return nowhere
    old, taken = nowhere.copy(), nowhere.copy()
    for date in (bare, grown):
        old |= _there(date, "tree") | leafy(date)
        taken |= _there(date, "water", "building", "car", "boat", "pool", "road")
    heights, rule = stand(~old & ~taken, rng), RULE_NUMBERS["grown"]
    where = (heights > 0) & ~old
    if not where.any():
        return nowhere
    stay = some_of(where, (0.3, 0.6), rng) if rng.random() < 0.5 else nowhere
    plant(grown, where, heights, rng, rule)  # each date in its own light
    plant(bare, stay, np.where(stay, heights, -1), rng, rule)
    new = where & ~stay
    _not_yet(bare, new, "tree")
    return new


def _dig(bare: Scene, grown: Scene, rng: np.random.Generator) -> NDArray[np.bool_]:
    """At times pools that `grown` has and `bare` has not: where they are."""
    if rng.random() >= _POOL_SHARE:
        return np.zeros((CROP_PX, CROP_PX), bool)
    taken = ("water", "building", "road", "pool")
    pools = dig(grown, ~(_there(grown, *taken) | _there(bare, *taken)), rng, RULE_NUMBERS["grown"])
    _not_yet(bare, pools, "pool")
    return pools


def _there(scene: Scene, *things: str) -> NDArray[np.bool_]:
    """(H, W) where its labels say that one of these things is."""
    states = RULE_TABLES[scene.rule, :, scene.raw]
    return np.asarray((states[..., [THINGS.index(thing) for thing in things]] == PRESENT).any(-1))


def _grow(bare: Scene, grown: Scene, rng: np.random.Generator) -> NDArray[np.bool_]:
    """At times a town, ice, a solar farm, a road or ships that `grown` has and `bare` has not: where they lie."""
    rule = RULE_NUMBERS["grown"]
    town = ice = road = solar = ships = np.zeros((CROP_PX, CROP_PX), bool)
    taken = _there(grown, "water", "town")
    if rng.random() < _TOWN_SHARE:
        town = grow_town(bare, grown, ~(taken | _there(bare, "town")), rng)
    if rng.random() < _ICE_SHARE:
        ice = _ice(bare, grown, ~town, rng)
    if rng.random() < _SOLAR_SHARE:
        solar = array(grown, ~_there(grown, "water", "town", "ice"), rng, rule)
    if rng.random() < _ROAD_SHARE:
        road = pave(grown, ~_there(grown, "water"), rng, rule)
    if rng.random() < _SHIP_SHARE:
        wet = _there(grown, "water") & _there(bare, "water")
        ships = park(grown, wet, rng, rule, afloat=True, lengths_px=SHIPS_PX)
    for where, thing in ((town, "town"), (ice, "ice"), (solar, "solar"), (road, "road"), (ships, "boat")):
        _not_yet(bare, where, thing)
    return town | ice | solar | road | ships


def grow_town(bare: Scene, grown: Scene, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draws a town where it is `free`, of which `bare` has a part or nothing: where only `grown` has it."""
    town = ndimage.binary_opening(blob(rng, rng.uniform(0.02, 0.35)) & free, iterations=2)
    old = town & blob(rng, rng.uniform(0.2, 0.6))
    same = int(rng.integers(1 << 30))  # the same streets at both dates
    settle(grown, town, np.random.default_rng(same), RULE_NUMBERS["grown"])
    if rng.random() < 0.4:
        return np.asarray(town)
    settle(bare, old, np.random.default_rng(same), RULE_NUMBERS["grown"])
    return np.asarray(town & ~old)


def _ice(bare: Scene, grown: Scene, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draws ice, over water or what is `free`, which `bare` has in part or not at all: where only `grown` has it."""
    rule, wet = RULE_NUMBERS["grown"], _there(grown, "water")
    across = None
    if rng.random() < 0.4:
        ice, lost, across = tongue(rng)
    else:
        ice = ndimage.binary_opening(blob(rng, rng.uniform(0.05, 0.6)), iterations=2)
        lost = ice & blob(rng, rng.uniform(0.1, 0.5))
    ice &= wet if (ice & wet).mean() > 0.02 and rng.random() < 0.5 else free
    same = int(rng.integers(1 << 30))  # the same ice at both dates, under each date's light
    freeze(grown, ice, np.random.default_rng(same), rule, across)
    if rng.random() < 0.4:
        return ice
    freeze(bare, ice & ~lost, np.random.default_rng(same), rule, across)
    return ice & lost


def _not_yet(bare: Scene, where: NDArray[np.bool_], thing: str) -> None:
    """What is drawn anywhere was hardly there before, whether a label says so or not."""
    states = RULE_TABLES[bare.rule[where], :, bare.raw[where]]  # (N, things)
    unsaid = states[:, THINGS.index(thing)] == UNKNOWN
    rows, columns = (line[unsaid] for line in np.nonzero(where))
    bare.raw[rows, columns], bare.rule[rows, columns] = not_yet(states[unsaid], thing), RULE_NUMBERS["grown"]
