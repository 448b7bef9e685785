"""What a plain sentence about change says: of which things, in which direction, where; None where a word is not known.

A reader of its own, by patterns, for checking sentences that others wrote. It knows few words and guesses none:
"the brick buildings that were built" is not read, because "brick" is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from geomtrs.data.labels import THINGS
from geomtrs.grammar import ScenePart, read

_WORDS = {
    "palm": r"palm trees?|palms?", "landslide": r"landslides?|slope failures?|slopes that slid",
    "burnt": r"(?:burnt|burned|scorched) (?:areas?|ground|land)|land that burned|areas burned|fire scar|after the fire",
    "solar": r"solar (?:panels?|arrays?)|photovoltaic panels?", "pool": r"(?:swimming )?pools?",
    "aircraft": r"(?:air|aero)?planes?", "boat": r"boats?|vessels?", "car": r"cars?|vehicles?",
    "ice": r"ice(?: cover)?", "town": r"built-up (?:areas?|land)|urban land", "bare": r"bare (?:ground|soil|land)",
    "field": r"(?:farm )?fields?|farmland|cropland|farm land", "grass": r"grass|low vegetation",
    "tree": r"trees?(?: cover)?", "road": r"roads?|asphalt", "building": r"buildings?|structures?|constructions",
    "water": r"(?:open |surface )?water(?: body| bodies)?|flood(?:ed|ing)?|inundated|areas that fell dry",
}  # fmt: skip  # "palm trees" come first: they are no trees
_NAMED = re.compile("|".join(rf"(?P<{thing}>\b(?:{pattern})(?!\w))" for thing, pattern in _WORDS.items()))
_CHANGED = re.compile(
    r"\b(?:chang(?:e|es|ed)|altered|modified|differen(?:t|ces?)|(?:appear|add)ed or (?:disappear|remov)ed)\b"
)
_GONE = re.compile(
    r"\b(?:disappear(?:ed|ance)?|vanished|removed|lost|loss|gone|no longer (?:there|exists?)|missing|former|demolished|"
    r"demolition|destroyed|torn (?:down|up)|knocked down|razed|felled|cut(?: down)?|cleared|dried up|fell dry|"
    r"filled in|emerged from|(?:drove|moved|sailed|flew) away|left|departed|dismantled|melted|recovery after|"
    r"there before but not now|only in the (?:earlier|first))\b"
)
_CAME = re.compile(
    r"\b(?:appear(?:ed|ance)?|new|newly(?: built)?|added|additional|erected|constructed|construction|gained|installed|"
    r"arrived|came(?: into being)?|fresh|burned by fire|slid|that burned|the fire scar$|put up|flood(?:ed|ing)?|"
    r"inundated|under water now|built between|(?:were|was|been) built|not there before|absent in the first|"
    r"now but not before|only in the (?:later|second))\b"
)
_GROWN = re.compile(r"\b(?:grown|grew|expanded|extended|enlarged)\b")
_SHRUNK = re.compile(r"\b(?:shrunk|shrank|receded)\b")
_SOURCE_FIRST = re.compile(
    r"\b(?:replaced by|became|(?:turned|transformed) into|converted to|gave way to|from (?=.* to ))"
)
_SOURCE_LAST = re.compile(r"\b(?:where there (?:was|were)|took the place of|on(?: former)?|that replaced)\b")
_BESIDE = re.compile(r" (?:beside|next to|along|at) (?:the |a )?(?P<other>[a-z]+)(?:'s edge)?$")
# What says nothing by itself. "Not" is none of them, nor is any word that would narrow what is asked for.
_PLAIN = re.compile(
    r"\b(?:an?|all|am|and|any|anything|areas?|are|at|before|between|bodies|body|both|dates|did|earlier|every|everything|exists?|"
    r"find|first|for|from|has|have|highlight|i|images?|in|is|land|later|looking|mark|map|me|now|of|patch|patches|please|present|"
    r"second|segment|show|since|something|stretch|stretches|that|the|then|there|to|two|visible|was|were|what|where|which)\b"
)


@dataclass(frozen=True)
class Reading:
    """What a sentence says.

    things     indices into THINGS; none = whatever changed
    direction  as in expressions.py; grew and shrank are about the change of one extent
    source     what was there before, for replaced
    beside     the thing that is near
    """

    things: tuple[int, ...]
    direction: Literal["appeared", "disappeared", "changed", "replaced", "grew", "shrank"]
    part: ScenePart
    source: int | None = None
    beside: int | None = None


def reading_of(sentence: str) -> Reading | None:
    """None where the sentence has an unknown word, no direction, or two."""
    asked, part = read(sentence)
    asked = asked.lower().strip(" ?.")
    place = _BESIDE.search(asked)
    head = asked[: place.start()] if place else asked
    things, near = _things(head), _things(place["other"]) if place else ()
    if _unread(head) or (place and len(near) != 1):
        return None
    beside = near[0] if near else None
    if len(things) == 2 and (_SOURCE_FIRST.search(head) or _SOURCE_LAST.search(head)):
        source, thing = things if _SOURCE_FIRST.search(head) else things[::-1]
        return Reading((thing,), "replaced", part, source, beside)
    if len(things) > 1 + len(re.findall(r"\band\b", head)):  # "flooded farmland" is not flood and farmland
        return None
    grew, shrank = bool(_GROWN.search(head)), bool(_SHRUNK.search(head))
    if things and (grew or shrank):
        return Reading(things, "grew" if grew else "shrank", part, None, beside)
    if _CHANGED.search(head):
        return Reading(things, "changed", part, None, beside)
    gone, come = bool(_GONE.search(head)), bool(_CAME.search(head))
    if not things or gone == come:
        return None
    return Reading(things, "disappeared" if gone else "appeared", part, None, beside)


def _things(text: str) -> tuple[int, ...]:
    return tuple(THINGS.index(str(match.lastgroup)) for match in _NAMED.finditer(text))


def _unread(text: str) -> bool:
    """Some word is in no pattern."""
    read_at: set[int] = set()
    for pattern in (_PLAIN, _NAMED, _SOURCE_FIRST, _SOURCE_LAST, _CHANGED, _CAME, _GONE, _GROWN, _SHRUNK):
        for match in pattern.finditer(text):
            read_at.update(range(*match.span()))
    return any(match.start() not in read_at for match in re.finditer(r"[\w'-]+", text))
