"""Words for what was found and checked: the grammar of the labels where there are some, else plain forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from geomtrs.craft.protocols import KIND_OF, Candidate, Pair, Phrased, Way
from geomtrs.data.labels import ANYTHING
from geomtrs.data.referring import Referring, refer

_PLAIN: Mapping[Way, tuple[str, ...]] = {
    "appeared": ("the new {noun}", "the {noun} that appeared"),
    "disappeared": ("the {noun} that disappeared", "the {noun} that vanished"),
    "changed": ("the {noun} that changed", "the changed {noun}"),
    "replaced": ("the {noun} that changed",),
}


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

    def phrase(self, pair: Pair, checked: Mapping[int, Candidate], rng: np.random.Generator) -> list[Phrased]:
        """No sentence about what is nowhere, and none in a form that is kept for the paraphrase test."""
        if not checked:
            return []
        if pair.labels is None:
            return [phrased for number, one in checked.items() for phrased in _plain(number, one, rng)][: self.most]
        labels = pair.labels
        said = refer(
            labels.before, labels.after, labels.still, rng=rng, gsd_m=pair.gsd_m, about=labels.about
        )  # one draw: two sentences of each kind that the labels allow
        out = []
        for one in (said[i] for i in rng.permutation(len(said))):
            number = _about(one, checked)
            if number is not None and one.kind != "absent" and not one.held_out:
                out.append(Phrased(number, KIND_OF[one.direction], one.sentence, one.kind, one.mask, one.known))
        return out[: self.most]


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
