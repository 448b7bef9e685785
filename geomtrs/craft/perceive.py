"""What differs between two dates: read from labels, or from sentences that the user brings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from geomtrs.craft.grid import cells_of
from geomtrs.craft.protocols import Ask, Finding, Pair, Way
from geomtrs.craft.segment import state_of
from geomtrs.data.expressions import NAMES, TRUE_NAMES
from geomtrs.data.labels import ANYTHING, PRESENT, THINGS, Labels
from geomtrs.data.patches import nowhere, patches_of
from geomtrs.errors import DataError
from geomtrs.models.differencing import direction
from geomtrs.query import Query

SENTENCES: dict[Way, str] = {
    "appeared": "the {noun} that appeared",
    "disappeared": "the {noun} that disappeared",
    "changed": "the {noun} that changed",
    "replaced": "{source} replaced by {noun}",
}


@dataclass(frozen=True, slots=True)
class LabelPerceiver:
    """Findings are what the labels of both dates tell: each thing that came, went, took another's place or changed."""

    name: str = "labels"

    def perceive(self, pair: Pair, ask: Ask) -> list[Finding]:
        """Raises DataError for a pair without labels."""
        if pair.labels is None:
            raise DataError(
                pair.id, found="neither labels nor a mask", remedy="add them, or ask with --query or --chat",
                wanted="labelA and labelB, or mask, beside A and B; of rasters --labels, or label columns of a table",
            )  # fmt: skip
        return list(_read(pair.labels))


@dataclass(frozen=True, slots=True)
class SentencePerceiver:
    """Findings are the sentences that the user brings, asked of every pair."""

    sentences: tuple[str, ...]

    @property
    def name(self) -> str:
        """With the sentences, since another list makes another set."""
        return f"sentences {json.dumps(self.sentences, ensure_ascii=False)}"

    def perceive(self, pair: Pair, ask: Ask) -> list[Finding]:
        """One for each sentence; where it is, and whether, is the segmenter's to say."""
        ways: Mapping[str, Way] = {"appeared": "appeared", "disappeared": "disappeared", "either": "changed"}
        texts = [Query(text).text for text in self.sentences]
        return [Finding(ways[direction(text)], text, (), text, attributes={"asked": True}) for text in texts]


def quiet(labels: Labels) -> dict[str, list[str]]:
    """Things that the labels know to be nowhere at either date, and others that they know not to have changed anywhere.

    Under "absent" and "unchanged", as `samples.jsonl` has them.
    """
    absent = [t for t in range(len(THINGS)) if nowhere(labels.before[t]) and nowhere(labels.after[t])]
    others = (t for t in range(len(THINGS)) if t not in absent)
    still = [t for t in others if nowhere(state_of(labels, "changed", t))]
    return {"absent": [THINGS[t] for t in absent], "unchanged": [THINGS[t] for t in still]}


def things_by_name() -> dict[str, str]:
    """Each name of a thing, singular and plural, without those that two things share."""
    names: dict[str, set[str]] = {}
    for thing in THINGS:
        for name in (thing, *(one.lstrip("~") for one in NAMES[thing])):
            for form in {name, name.removesuffix("s"), f"{name}s"}:
                names.setdefault(form, set()).add(thing)
    return {name: things.pop() for name, things in names.items() if len(things) == 1}


def _read(labels: Labels) -> Iterator[Finding]:
    moved: dict[str, list[int]] = {"appeared": [], "disappeared": []}
    ways: tuple[Way, ...] = ("appeared", "disappeared")
    seen = [thing for thing in range(len(THINGS)) if _labelled(labels, thing)]
    for way in ways:
        for thing in seen:
            for finding in _found(labels, way, thing):
                moved[way].append(thing)
                yield finding
    for source in moved["disappeared"]:
        for thing in moved["appeared"]:
            if source != thing:
                yield from _found(labels, "replaced", thing, source)
    for thing in sorted(labels.about - {*moved["appeared"], *moved["disappeared"]}):
        yield from _found(labels, "changed", thing)


def _labelled(labels: Labels, thing: int) -> bool:
    return bool((labels.before[thing] == PRESENT).any() or (labels.after[thing] == PRESENT).any())


def _found(labels: Labels, way: Way, thing: int, source: int | None = None) -> Iterator[Finding]:
    """One finding, or none where no patch is large enough to be sure of."""
    found = patches_of(state_of(labels, way, thing, source))
    if not found.areas_px.size:
        return
    mask, _ = found.chosen(found.areas_px > 0)
    noun = "" if thing == ANYTHING else noun_of(thing)
    words = SENTENCES[way].format(noun=noun, source="" if source is None else noun_of(source))
    yield Finding(
        way=way,
        noun=noun or "change",
        cells=cells_of(mask),
        sentence=words if noun else "everything that changed",
        thing=thing,
        source=source,
        attributes={
            "patches": len(found.areas_px),
            "pixels": int(found.areas_px.sum()),
            "largest_px": int(found.areas_px.max()),
            "exact": found.exact,
        },
    )


def noun_of(thing: int) -> str:
    """The first name that is true of all of them, in the plural."""
    return TRUE_NAMES[THINGS[thing]][0].lstrip("~")
