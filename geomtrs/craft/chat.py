"""What a model that sees is asked: what differs in each cell of the grid; and how its answers are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from geomtrs.craft.grid import CELLS, sheets
from geomtrs.craft.perceive import SENTENCES, things_by_name
from geomtrs.craft.protocols import KINDS, WAY_OF, Ask, CraftError, Finding, Kind, Pair, Question, Speaker
from geomtrs.data.labels import THINGS

_T = TypeVar("_T")

TURNS = 3  # answers to one question that may be unusable before the pair fails
LONGEST_NOUN = 100  # characters
_ARTICLE = re.compile(r"^(?:(?:the|an?|new|newly) )+")
PROMPT = """Two pictures of one place from above, the earlier date at the left, the later at the right. The first
picture shows both dates whole under a 3 x 3 grid with the name of each cell; the second shows the cell "{cell}" of
both dates enlarged.
Name every difference that lies in the cell "{cell}". For each: its kind (appear: it is there only at the later date;
disappear: only at the earlier; change: it is there at both dates and looks different), what it is as a short noun
phrase with its visible attributes and without article, place or the words new or old, and every cell of the grid that
it reaches into. Light, shadow, season, haze and viewing angle are no differences. No difference is an answer too."""


def closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with exactly these keys."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": dict(properties),
    }


KIND_SCHEMA: Mapping[str, Any] = {"type": "string", "enum": list(KINDS)}
CELLS_SCHEMA: Mapping[str, Any] = {"type": "array", "items": {"type": "string", "enum": list(CELLS)}}
SCHEMA = closed({
    "findings": {
        "type": "array",
        "items": closed({"kind": KIND_SCHEMA, "what": {"type": "string"}, "cells": CELLS_SCHEMA}),
    }
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChatPerceiver:
    """A model with eyes is shown each cell of the grid at both dates and asked what differs there."""

    speaker: Speaker

    @property
    def name(self) -> str:
        """That of the model."""
        return self.speaker.name

    def perceive(self, pair: Pair, ask: Ask) -> list[Finding]:
        """What it named, cell by cell; the same thing of several cells is one finding."""
        named: dict[tuple[Kind, str], set[str]] = {}
        for cell, pictures in sheets(pair.before, pair.after):
            question = Question("perceive", self.name, PROMPT.format(cell=cell), pictures)
            for kind, noun, cells in answered(self.speaker, question, SCHEMA, _named, pair, ask):
                named.setdefault((kind, noun), set()).update(cells)
        things = things_by_name()
        found = []
        for (kind, noun), reached in named.items():
            thing = things.get(noun.lower())
            found.append(
                Finding(
                    way=WAY_OF[kind],
                    noun=noun,
                    cells=tuple(cell for cell in CELLS if cell in reached),
                    sentence=SENTENCES[WAY_OF[kind]].format(noun=noun),
                    thing=None if thing is None else THINGS.index(thing),
                )
            )
        return found


def answered(
    speaker: Speaker,
    question: Question,
    schema: Mapping[str, Any],
    read: Callable[[dict[str, Any]], _T],
    pair: Pair,
    ask: Ask,
) -> _T:
    """What `read` makes of the answer; asked anew where it raises ValueError, or the answer is no JSON object.

    Raises CraftError once TURNS answers could not be used.
    """
    reason = ""
    for turn in range(TURNS):
        now = Question(question.stage, question.model, question.prompt, question.pictures, turn)
        text = ask(now, partial(speaker.say, now, schema))
        try:
            return read(_object(text))
        except ValueError as error:
            reason = str(error)
    raise CraftError(
        pair.id, found=f"{TURNS} answers of {speaker.name} to {question.stage} that cannot be used ({reason})",
        wanted="JSON by the schema", remedy="try another model",
    )  # fmt: skip


def read_noun(told: object) -> str:
    """A noun phrase without article, place or point; raises ValueError where it is none, or too long."""
    noun = _ARTICLE.sub("", " ".join(told.split())).strip(" .") if isinstance(told, str) else ""
    if not 0 < len(noun) <= LONGEST_NOUN:
        raise ValueError(f"no noun phrase: {json.dumps(told)[:100]}")
    return noun


def read_cells(told: object) -> tuple[str, ...]:
    """Cells of the grid in its order; raises ValueError where one is none."""
    if not isinstance(told, list) or any(cell not in CELLS for cell in told):
        raise ValueError(f"no cells of the grid: {json.dumps(told)[:100]}")
    return tuple(cell for cell in CELLS if cell in told)


def _object(text: str) -> dict[str, Any]:
    """The JSON object in an answer, which may have words around it."""
    begin, end = text.find("{"), text.rfind("}")
    document = json.loads(text[begin : end + 1]) if begin >= 0 else None
    if not isinstance(document, dict):
        raise ValueError("no JSON object")
    if "refusal" in document:
        raise ValueError(f"refused: {str(document['refusal'])[:100]}")
    return document


def _named(document: Mapping[str, Any]) -> list[tuple[Kind, str, tuple[str, ...]]]:
    """Kind, noun and cells of every difference in an answer."""
    if not isinstance(document.get("findings"), list):
        raise ValueError("no list of findings")
    out: list[tuple[Kind, str, tuple[str, ...]]] = []
    for one in document["findings"]:
        if not isinstance(one, dict) or one.get("kind") not in KINDS:
            raise ValueError(f"a finding that is not as asked: {json.dumps(one)[:100]}")
        out.append((one["kind"], read_noun(one.get("what")), read_cells(one.get("cells"))))
    return out
