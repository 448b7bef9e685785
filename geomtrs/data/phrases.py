"""Phrases for what labels tell, in the right number: no word claims more than a label does.

`expressions.py` says which of its sentences are told by any label of a thing; here is what one patch and several
patches are called, and where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from geomtrs.areas import ACRE_M2, SQUARE_FOOT_M2
from geomtrs.data.expressions import TRUE_NAMES, Expression, all_expressions, in_number
from geomtrs.grammar import Limit, Place, ScenePart, write

_UNITS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "building": (("building", "buildings"), ("structure", "structures")),
    "road": (("stretch of road", "stretches of road"),),
    "water": (("stretch of water", "stretches of water"), ("patch of water", "patches of water")),
    "tree": (("patch of trees", "patches of trees"),), "field": (("patch of farmland", "patches of farmland"),),
    "grass": (("patch of grass", "patches of grass"),), "bare": (("patch of bare ground", "patches of bare ground"),),
    "car": (("car", "cars"), ("vehicle", "vehicles")), "boat": (("boat", "boats"), ("vessel", "vessels")),
    "aircraft": (("plane", "planes"),), "solar": (("solar array", "solar arrays"),),
    "pool": (("pool", "pools"), ("swimming pool", "swimming pools")), "landslide": (("landslide", "landslides"),),
    "burnt": (("burnt area", "burnt areas"), ("burned area", "burned areas")),
    "ice": (("patch of ice", "patches of ice"),), "palm": (("palm tree", "palm trees"),),
    "town": (("patch of urban land", "patches of urban land"),),
}  # fmt: skip
# What grew or shrank is whole; what came or went may be the shore of a lake that stays, so it is no lake.
_WHOLE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "water": (("body of water", "bodies of water"), ("water body", "water bodies")),
}  # fmt: skip

# Words that stand before a noun, and clauses that stand behind it.
_NEW: Mapping[str, tuple[str, ...]] = {"appeared": ("new", "newly appeared"), "disappeared": ("vanished",)}
_THAT: Mapping[str, tuple[str, ...]] = {
    "appeared": ("that appeared", "that {was} not there before"),
    "disappeared": ("that disappeared", "that {is} gone", "that {is} no longer there"),
    "grew": ("that {has} grown", "that grew", "that {has} expanded"),
    "shrank": ("that {has} shrunk", "that shrank", "that {has} receded"),
}
_OWN_NEW: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("building", "appeared"): ("newly built",), ("building", "disappeared"): ("demolished", "removed"),
    ("road", "appeared"): ("newly built",), ("tree", "disappeared"): ("felled", "cleared"),
    ("water", "disappeared"): ("dried up",), ("pool", "appeared"): ("newly built",),
}  # fmt: skip
_OWN_THAT: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("building", "appeared"): ("that {was} built",), ("building", "disappeared"): ("that {was} demolished",),
    ("road", "appeared"): ("that {was} built",), ("tree", "disappeared"): ("that {was} felled", "that {was} cleared"),
    ("water", "disappeared"): ("that dried up",), ("car", "appeared"): ("that arrived",),
    ("car", "disappeared"): ("that left",), ("boat", "appeared"): ("that arrived",),
    ("boat", "disappeared"): ("that left",), ("ice", "disappeared"): ("that melted",),
    ("building", "grew"): ("that {was} extended", "that {was} enlarged"),
}  # fmt: skip

BESIDE: Mapping[str, tuple[str, ...]] = {
    "road": ("beside the road", "next to a road", "along the road"),
    "water": ("at the water's edge", "beside the water", "next to the water"),
    "building": ("beside a building", "next to buildings"), "tree": ("beside trees", "next to trees"),
    "field": ("beside a field", "next to fields"),
}  # fmt: skip
PLACES: Mapping[Place, tuple[str, ...]] = {
    **{Place(side, None, share): (f"in the {side}ern {part}", f"in the {side}ern {part} of the image")
       for side in ("north", "south") for share, part in ((1 / 2, "half"), (1 / 3, "third"))},
    **{Place(None, side, share): (f"in the {side}ern {part}", f"in the {side}ern {part} of the scene")
       for side in ("east", "west") for share, part in ((1 / 2, "half"), (1 / 3, "third"))},
    **{Place(ns, ew): (f"in the {ns}-{ew}", f"in the {ns}{ew}", f"in the {ns}-{ew}ern part")
       for ns in ("north", "south") for ew in ("east", "west")},
    **{Place(tb, lr): (f"in the {tb} {lr}", f"in the {said} {lr} corner", f"at the {said} {lr} of the image")
       for tb, said in (("upper", "top"), ("lower", "bottom")) for lr in ("left", "right")},
    Place("upper"): ("in the upper half", "in the top half"),
    Place("lower"): ("in the lower half", "in the bottom half"),
    Place(None, "left"): ("in the left half", "on the left side"),
    Place(None, "right"): ("in the right half", "on the right side"),
    Place(): ("in the centre", "in the center of the image", "in the middle"),
    Place(share=1 / 3): ("in the middle third",),
}  # fmt: skip
_SUPERLATIVES: Mapping[bool | None, tuple[str, ...]] = {True: ("largest", "biggest"), False: ("smallest",), None: ("",)}
_NUMBERS = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ROUND, _FEW = (50, 100, 150, 200, 300, 500, 1000, 2000, 5000), (2, 3, 5, 10, 20, 50)
_AREAS = (("m²", 1.0, _ROUND), ("square metres", 1.0, _ROUND), ("square meters", 1.0, _ROUND), ("ha", 1e4, _FEW),
          ("hectares", 1e4, _FEW), ("acres", ACRE_M2, _FEW), ("sq ft", SQUARE_FOOT_M2, _ROUND))  # fmt: skip
_LEAST = (("over", False), ("larger than", False), ("of more than", False), ("of at least", True))
_MOST = (("under", False), ("smaller than", False), ("of at most", True))


@cache
def sayings() -> Mapping[tuple[int, str, int | None], tuple[Expression, ...]]:
    """By thing, direction and source: what expressions.py says and every label of the thing bears out."""
    out: dict[tuple[int, str, int | None], list[Expression]] = {}
    for said in all_expressions():
        if said.told:
            out.setdefault((said.thing, said.direction, said.source), []).append(said)
    return {key: tuple(said) for key, said in out.items()}


def phrases(thing: str, direction: str, *, one: bool, measured: bool, tail: str = "", middle: str = "") -> list[str]:
    """Heads without an article, "new building", "buildings {middle} that were built {tail}", all of one number.

    direction  appeared, disappeared, grew or shrank
    measured   the patches themselves are meant ("patches of trees"), not just the stuff ("trees", "tree cover")
    """
    if measured or one:
        units = _WHOLE.get(thing, _UNITS[thing]) if direction in ("grew", "shrank") else _UNITS[thing]
        nouns = [unit[0 if one else 1] for unit in units]
    else:
        nouns = list(TRUE_NAMES[thing])
    new = _NEW.get(direction, ()) + _OWN_NEW.get((thing, direction), ())
    that = _OWN_THAT.get((thing, direction), ()) + (
        () if (thing, direction) == ("building", "grew") else _THAT[direction]
    )
    out = [f"{word} {noun.lstrip('~')} {middle} {tail}" for noun in nouns for word in new]
    for noun in nouns:
        out += [f"{noun.lstrip('~')} {middle} {in_number(clause, one=one or noun[0] == '~')} {tail}" for clause in that]
    return [" ".join(text.split()) for text in out]


def both(first: str, second: str, direction: str) -> list[str]:
    """Phrases for two things that went the same way."""
    names = [(a.lstrip("~"), b.lstrip("~")) for a in TRUE_NAMES[first] for b in TRUE_NAMES[second]]
    out = [f"{new} {a} and {b}" for a, b in names for new in _NEW[direction]]
    return out + [f"the {a} and {b} {in_number(that, one=False)}" for a, b in names for that in _THAT[direction]]


def ranked(thing: str, direction: str, part: ScenePart) -> list[str]:
    """Sentences that keep so many of the largest, of the smallest or of all patches."""
    assert part.count is not None
    one = part.count == 1
    number = ("", "", "second", "third")[part.skip + 1] if part.skip else _NUMBERS[part.count]
    out = []
    for head in phrases(thing, direction, one=one, measured=True):
        out.append(write(head, part))
        for word in _SUPERLATIVES[part.largest]:
            out.append(" ".join(f"the {number} {word} {head}".split()))
            if one and not part.skip and " that " not in head:
                out.append(f"the {head} that is the {word}")
    if one and not part.skip:
        of_all = phrases(thing, direction, one=False, measured=True)
        out += [f"the {word} of the {head}" for head in of_all for word in _SUPERLATIVES[part.largest]]
    return out


def limits() -> Iterator[tuple[str, ScenePart]]:
    """Words for every limit of an area, and what they keep."""
    for unit, size_m2, numbers in _AREAS:
        for number in numbers:
            for words, inclusive in _LEAST:
                yield f"{words} {number:,} {unit}", ScenePart(least=Limit(number * size_m2, inclusive))
            for words, inclusive in _MOST:
                yield f"{words} {number:,} {unit}", ScenePart(most=Limit(number * size_m2, inclusive))
