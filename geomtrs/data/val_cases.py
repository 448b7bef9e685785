"""Cases for evaluation from the labelled pairs of a pack: tiles as they are, with sentences of every kind.

Samples of one date have no case: what they show has not changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from scipy import ndimage

from geomtrs.data.cases import Case
from geomtrs.data.labels import ABSENT, ANYTHING, THINGS, Labels, mask_means, rule_of
from geomtrs.data.pairs import Pack, Sample
from geomtrs.data.referring import Referring, refer, shuffled

# Things that no pair of these sets shows, though none is labelled for them; left out where they may.
_NEVER_SHOWN = ("aircraft", "ice", "landslide", "burnt")
_MAY_SHOW: Mapping[str, tuple[str, ...]] = {
    "crafted": _NEVER_SHOWN,
    "kahramanmaras_quake": ("landslide",),
    "karabuk_fires": ("landslide", "burnt"),
    "river_floods": ("landslide", "burnt"),
    "timelapse_weak": _NEVER_SHOWN,
    "xbd_guatemala": ("landslide", "burnt"),
    "xview2": ("landslide", "burnt"),
    "bright": ("landslide", "burnt"),
    "cabuar": ("landslide", "burnt"),
    "chabud": ("landslide", "burnt"),
    "oscd": ("aircraft",),
    "airchange": ("burnt",),
    "drawn": ("aircraft", "ice", "landslide", "burnt"),
}
# Sets whose labels miss some things or draw them roughly: whether, but not how many, how large or how near.
_ROUGH = ("urban_trees_ca", "river_floods", "timelapse_weak")
_MEASURED = ("rank", "count", "size", "grew", "shrank", "relation")
_LEAST_PX = 32  # a case asks for something that can be seen


def cases(
    pack: Pack, *, split: str = "val", per_pair: int = 8, seed: int = 0, sets: Collection[str] | None = None
) -> Iterator[Case]:
    """Up to `per_pair` sentences about each pair of a split, about a third of them absent; in the pack's order.

    What is asked of a pair follows from the seed, its set and its name, whatever else is in the pack. A pair whose
    labels tell no change and no absence has no case.
    """
    for sample in pack.samples:
        if sample.split != split or (sets is not None and sample.set not in sets):
            continue
        labelled, before, after = read_labels(pack, sample), pack.plane(sample, "A"), pack.plane(sample, "B")
        if labelled is None or before is None or after is None:
            continue
        rng = np.random.default_rng([seed, zlib.crc32(f"{sample.set}/{sample.name}".encode())])
        said = refer(
            labelled.before, labelled.after, labelled.still, rng=rng, gsd_m=sample.gsd_m, about=labelled.about
        )  # fmt: skip
        for one in _spread([s for s in said if _worth_asking(s, sample.set)], per_pair, rng):
            yield Case(
                before, after, one.sentence, one.mask, one.known, sample.set, sample.scene, one.kind,
                gsd_m=sample.gsd_m, thing="anything" if one.thing == ANYTHING else THINGS[one.thing],
                direction=one.direction, held_out=one.held_out, swapped_empty=one.swapped_empty, twin=one.twin,
            )  # fmt: skip


def read_labels(pack: Pack, sample: Sample) -> Labels | None:
    """What is known of a pair at its own size; None for a single date, and where its set says too little."""
    mask, first, last = (pack.plane(sample, name) for name in ("mask", "labelA", "labelB"))
    if sample.alone:
        return None
    still = np.zeros((sample.height, sample.width), bool) if mask is None else mask == 0
    rule = rule_of(sample.set, sample.name)
    if rule is not None and first is not None and last is not None:
        labels = Labels.by_rule(rule, first, last, still)
    elif mask is not None and (meant := mask_means(sample.set, sample.name)) is not None:
        labels = Labels.by_mask(still, ANYTHING if meant == "anything" else THINGS.index(meant), sample.direction)
    else:
        return None
    for name in {*sample.absent} | set(_NEVER_SHOWN) - {*_MAY_SHOW.get(sample.set, ())}:
        labels.before[THINGS.index(name)] = labels.after[THINGS.index(name)] = ABSENT
    return labels


def _worth_asking(said: Referring, set_name: str) -> bool:
    """Not what such labels cannot bear out, and no mask that is mostly slivers: two outlines that disagree."""
    if said.kind == "absent":
        return True
    solid = ndimage.binary_opening(said.mask, np.ones((3, 3))).sum()
    rough = set_name in _ROUGH and said.kind in _MEASURED
    return not rough and said.mask.sum() >= _LEAST_PX and 2 * solid >= said.mask.sum()


def _spread(said: list[Referring], most: int, rng: np.random.Generator) -> list[Referring]:
    """A third of them absent, the others of as many kinds as there are."""
    absent = shuffled(rng, (s for s in said if s.kind == "absent"))
    seen: dict[str, int] = {}
    turns = []
    true = shuffled(rng, (s for s in said if s.kind != "absent"))
    for one in true:
        turns.append(seen.get(one.kind, 0))
        seen[one.kind] = turns[-1] + 1
    true = [true[i] for i in np.argsort(turns, kind="stable")]
    third = min(int(most / 3 + rng.random()), len(absent), len(true) // 2 if true else 2)
    return [*true[: most - third], *absent[:third]]
