"""Sentences about a thing beside another, in two: what is asked for, and what it must lie near.

Nano reads every pixel of its maps by the same linear query, and so cannot tell what lies beside the pixel: it is asked
for both, and `nn/beside.py` keeps what of the one lies near the other. What is not surely such a sentence stays whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

# As nano is asked for it → as a sentence may call it.
_OTHERS: Mapping[str, str] = {
    "roads": r"roads?|streets?|highways?|motorways?|avenues?|lanes?|paved roads?|dirt roads?",
    "water": r"water|rivers?|lakes?|ponds?|canals?|streams?|reservoirs?|sea|(?:coast|shore)(?:line)?|river ?banks?",
    "trees": r"trees|forests?|woods?|woodlands?",
    "fields": r"fields?|farmland|cropland",
    "buildings": r"buildings?|houses?",
}
_BESIDE = re.compile(
    r"^(?P<head>.+?) (?:(?:that|which) (?:is|are|was|were|lies?|lay|stands?|stood) )?"
    r"(?:situated |located |standing |lying )?"
    r"(?:right |directly )?(?:beside|next to|along(?:side)?|adjacent to|close to|near(?: to)?|bordering|"
    r"(?:at|on|along) the (?:edges?|banks?|shores?|sides?) of|(?P<at>at)) "
    r"(?:(?:the|an?|some|any) )?(?P<new>(?:new|newly built) )?"
    rf"(?:{'|'.join(f'(?P<{name}>{words})' for name, words in _OTHERS.items())})(?P<edge>'s edge)?"
    r"(?P<clause> (?:that|which) (?:were|are|have been|appeared|disappeared|vanished)\b[a-z ]*)?[.?!]*$",
    re.IGNORECASE,
)


# What turns the neighbour round ("not near the road"), but not what tells of coming and going ("not there before").
_DENIED = re.compile(
    r"(?:\b(?:not|never|nowhere|neither|except|excluding|but(?! not)|rather than|instead of|other than)\b|n't\b)"
    r"(?! (?:(?:yet|previously|been) )*(?:there|present|visible|seen|exist(?:ing)?|before|now)\b)|\bno longer$",
    re.IGNORECASE,
)


# "Near a road and near water": one of them is not the other.
_TWICE = re.compile(r"\b(?:near|next to|close to|beside|along(?:side)?|adjacent to)\b|\b(?:and|or)$", re.IGNORECASE)


class Beside(NamedTuple):
    """A sentence in two: what is asked for, and what it must lie near."""

    head: str
    other: str  # in the plural
    arrived: bool  # the other has to have come between the dates; else it is there at the later one

    @property
    def near(self) -> str:
        """The other as a person would name it: "new roads", "water"."""
        return f"new {self.other}" if self.arrived else self.other


def read_beside(sentence: str) -> Beside | None:
    """The sentence in two; None where it names no neighbour, two, denies it, or names one that is not known here."""
    match = _BESIDE.match(sentence)
    if match is None or (match["at"] and not match["edge"]):  # "at the road" may be anywhere
        return None
    if _DENIED.search(match["head"].replace("’", "'")) or _TWICE.search(match["head"]):
        return None
    other = next(name for name in _OTHERS if match[name])
    if re.search(rf"\b(?:{_OTHERS[other]})\b", match["head"], re.IGNORECASE):
        return None  # a thing beside others of its kind: its own presence would be near everywhere
    return Beside(match["head"] + (match["clause"] or ""), other, match["new"] is not None)
