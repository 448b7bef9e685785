"""Whether a sentence says no more than a finding: a word that is neither the finding's nor plain English refuses it.

Words are allowed by a list and none is merely forbidden, so what nobody thought of is refused: a wrong noun, another
kind of change, a number, a size, a neighbour that was not found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from geomtrs.craft.protocols import Check, Finding, Way
from geomtrs.data.expressions import NAMES
from geomtrs.data.labels import ANYTHING, THINGS

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
# Whole turns of phrase, for words that alone would say too much: "not", "no", "is".
_PHRASES: Mapping[Way, tuple[str, ...]] = {
    "appeared": ("not there before", "not been there before", "was not there", "were not there"),
    "disappeared": ("no longer there", "not there any more", "no longer exist", "is gone", "are gone"),
    "changed": (),
    "replaced": ("in place of", "gave way to", "made way for"),
}
_PLAIN = """a all an and any are at been by date dates every find first from has have highlight image images in is it
    its later earlier locate mark me now of on one picture place scene second segment show some that the their them
    there these this those to was were what where which"""
_OF_WAYS: Mapping[Way, str] = {
    "appeared": """new newly added appear appeared appears arrived built came come constructed created emerged erected
        installed laid placed planted recent recently set up""",
    "disappeared": """cleared demolished disappear disappeared disappears felled former gone left lost missing razed
        removed taken away torn down vanished""",
    "changed": "altered change changed changes different differ differently looks modified transformed",
    "replaced": "became become changed converted into replaced replacing turned transformed with",
}


def held(sentence: str, finding: Finding) -> Check:
    """Every noun, kind and relation of the sentence is in the finding, whose noun and kind are in the sentence."""
    text = " ".join(sentence.lower().split())
    said_way = any(phrase in text for phrase in _PHRASES[finding.way])
    for phrase in _PHRASES[finding.way]:
        text = text.replace(phrase, " ")
    words = _WORD.findall(text)
    nouns = _nouns(finding)
    own = {word for name in nouns for word in _WORD.findall(name)}
    places = {word for cell in finding.cells for word in _place_words(cell)}
    turns = set(_OF_WAYS[finding.way].split())
    allowed = {*_PLAIN.split(), *turns, *own, *places}
    alien = [word for word in words if word not in allowed]
    if alien:
        return Check("facts", False, f"not in the finding: {', '.join(dict.fromkeys(alien))}")
    spoken = " ".join(words)
    if not any(" ".join(_WORD.findall(noun)) in spoken for noun in nouns):
        return Check("facts", False, f"does not name {finding.noun}")
    if not said_way and not turns & set(words):
        return Check("facts", False, f"does not say that it {finding.way}")
    return Check("facts", True, f"says no more than {finding.sentence!r}")


def _nouns(finding: Finding) -> set[str]:
    """What may be called the thing: the finding's own noun, its head, and every name of a thing of the labels."""
    own = finding.noun.lower()
    nouns = {own, own.split(" with ")[0], own.split(" of ")[0]}
    for thing in (finding.thing, finding.source):
        if thing is not None and thing != ANYTHING:
            nouns |= {name.lstrip("~") for name in NAMES[THINGS[thing]]}
    nouns |= {noun.removesuffix("s") for noun in nouns}
    return nouns


def _place_words(cell: str) -> set[str]:
    """Ways to say a cell: top-left is also upper left, left and top."""
    parts = cell.split("-")
    other = {"top": "upper", "bottom": "lower", "mid": "middle", "center": "centre"}
    return {*parts, *(other[part] for part in parts if part in other), "corner", "side", "part", "edge", "middle"}
