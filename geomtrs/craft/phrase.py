"""Words for what was found and checked: the grammar of the labels where there are some, else plain forms; or a model's,
held to the facts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geomtrs.craft.chat import answered, closed
from geomtrs.craft.facts import held
from geomtrs.craft.protocols import KIND_OF, Ask, Candidate, Finding, Pair, Phrased, Question, Speaker, Way
from geomtrs.data.expressions import unopened
from geomtrs.data.labels import ANYTHING, THINGS
from geomtrs.data.phrases import sayings
from geomtrs.data.referring import Referring, refer

_PLAIN: Mapping[Way, tuple[str, ...]] = {
    "appeared": ("the new {noun}", "the {noun} that appeared"),
    "disappeared": ("the {noun} that disappeared", "the {noun} that vanished"),
    "changed": ("the {noun} that changed", "the changed {noun}"),
    "replaced": ("the {noun} that changed",),
}
DRAWS = 8  # of the grammar, until a pair has as many sentences as are wanted
MOST_WORDS = 25  # of a model's sentence
PROMPT = """A person looks at two pictures of one place and wants this marked: "{sentence}". Say the same in {count}
other ways that a person would use, short and plain. Name no other thing, number, size, colour, cause, time or neighbour
than that sentence does, and keep whether it appeared, disappeared or changed."""
SCHEMA = closed({"sentences": {"type": "array", "items": {"type": "string"}}})


@dataclass(frozen=True, slots=True)
class GrammarPhraser:
    """Sentences of `geomtrs.data.referring` about the findings that passed; of an unlabelled pair, plain forms of them.

    most  sentences about one pair
    """

    most: int = 6

    @property
    def name(self) -> str:
        """With what decides how many."""
        return f"grammar, at most {self.most} a pair"

    def phrase(self, pair: Pair, checked: Mapping[int, Candidate], rng: np.random.Generator, ask: Ask) -> list[Phrased]:
        """No sentence about what is nowhere, and none in a form that is kept for the paraphrase test."""
        if not checked:
            return []
        if pair.labels is None:
            return [phrased for number, one in checked.items() for phrased in _plain(number, one, rng)][: self.most]
        labels = pair.labels
        out: dict[str, Phrased] = {}
        for _ in range(DRAWS):  # of two sentences of each kind that the labels allow
            said = refer(labels.before, labels.after, labels.still, rng=rng, gsd_m=pair.gsd_m, about=labels.about)
            for one in (said[i] for i in rng.permutation(len(said))):
                number = _about(one, checked)
                if number is not None and one.kind != "absent" and not one.held_out:
                    found = Phrased(number, KIND_OF[one.direction], one.sentence, one.kind, one.mask, one.known)
                    out.setdefault(unopened(one.sentence.lower()), found)
            if len(out) >= self.most:
                break
        return list(out.values())[: self.most]


@dataclass(frozen=True, slots=True)
class ChatPhraser:
    """Beside the plain sentence of each finding, the wordings of a model that say no more than the finding does.

    ways  wordings asked for of each finding; a refused one stays in the ledger as uncorrected, the plain one is kept
    """

    speaker: Speaker
    plain: GrammarPhraser = GrammarPhraser()
    ways: int = 3

    @property
    def name(self) -> str:
        """With what decides how many."""
        return f"{self.speaker.name}, {self.ways} ways beside {self.plain.name}"

    def phrase(self, pair: Pair, checked: Mapping[int, Candidate], rng: np.random.Generator, ask: Ask) -> list[Phrased]:
        """The plain sentences, then a model's of each finding spoken of. Raises CraftError where it is mute."""
        said = self.plain.phrase(pair, checked, rng, ask)
        for number in sorted({one.number for one in said}):
            candidate = checked[number]
            finding = candidate.finding
            prompt = PROMPT.format(sentence=finding.placed, count=self.ways)
            question = Question("phrase", self.name, prompt, ())
            for text in answered(self.speaker, question, SCHEMA, _wordings, pair, ask)[: self.ways]:
                said.append(_held(text, number, candidate, finding))
        return said


def absent_sentences(pair: str, things: Mapping[str, Collection[str]], most: int) -> list[str]:
    """Sentences about things that came and went nowhere, the same for a pair whenever it is asked for."""
    rng = np.random.default_rng([*hashlib.blake2b(pair.encode(), digest_size=16).digest()])
    said = [
        [one.text for one in sayings()[THINGS.index(thing), way, None] if not one.held_out]
        for thing in sorted({one for some in things.values() for one in some})
        for way in ("appeared", "disappeared", "changed")
    ]
    return [said[i][int(rng.integers(len(said[i])))] for i in rng.permutation(len(said))[:most]]


def _wordings(document: Mapping[str, Any]) -> list[str]:
    """The sentences of an answer; raises ValueError where they are none."""
    told = document.get("sentences")
    if not isinstance(told, list) or not all(isinstance(one, str) and one.strip() for one in told):
        raise ValueError("no list of sentences")
    return [" ".join(one.split()).strip(" .") for one in told]


def _held(text: str, number: int, candidate: Candidate, finding: Finding) -> Phrased:
    check = held(" ".join(text.split()[: MOST_WORDS + 1]), finding)
    return Phrased(number, finding.kind, text, "model", candidate.mask, candidate.known, (check,))


def _about(said: Referring, checked: Mapping[int, Candidate]) -> int | None:
    """The candidate that a sentence is about; None where what it is about was not found, or did not pass."""
    for number, candidate in checked.items():
        finding = candidate.finding
        same_way = said.direction in (finding.way, "changed")
        same_source = said.source is None or finding.source == said.source
        if same_way and same_source and said.thing in (finding.thing, ANYTHING):
            return number
    return None


def _plain(number: int, candidate: Candidate, rng: np.random.Generator) -> Iterator[Phrased]:
    """The finding's own sentence, and one of the plain forms with its place; of a user's own sentence nothing else."""
    finding = candidate.finding
    own = Phrased(number, finding.kind, finding.sentence, "direction", candidate.mask, candidate.known)
    yield own
    if finding.attributes.get("asked"):
        return
    forms = _PLAIN[finding.way]
    where = f" in the {' and the '.join(finding.cells)}" if 0 < len(finding.cells) <= 2 else ""
    text = forms[int(rng.integers(len(forms)))].format(noun=finding.noun) + where
    if text != finding.sentence:
        yield replace(own, sentence=text, wording="place" if where else "direction")
