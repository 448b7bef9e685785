"""What goes from stage to stage of a crafted set, and what each stage is.

Every stage may be replaced alone: by labels, by rules, by a model here or elsewhere. `name` says in the ledger which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray

from geomtrs.data.labels import Labels
from geomtrs.errors import GeomtrsError

Bool = NDArray[np.bool_]
Kind = Literal["appear", "disappear", "change"]
Way = Literal["appeared", "disappeared", "changed", "replaced"]  # as the sentences of geomtrs.data name them

KINDS: tuple[Kind, ...] = ("appear", "disappear", "change")  # 0, 1, 2 in what is exported
KIND_OF: Mapping[Way, Kind] = {
    "appeared": "appear",
    "disappeared": "disappear",
    "changed": "change",
    "replaced": "change",
}
WAY_OF: Mapping[Kind, Way] = {"appear": "appeared", "disappear": "disappeared", "change": "changed"}
Verdict = Literal["right", "too much", "too little", "wrong place", "wrong kind", "wrong words"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class CraftError(GeomtrsError, RuntimeError):
    """A pair of which nothing can be made, or a model elsewhere that does not answer as it should."""


class StoppedError(CraftError):
    """Nothing can be asked of any pair now: the budget is spent or the model out of reach; the rest waits."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a pair lies: its CRS as EPSG:N or WKT, and a, b, c, d, e, f of x = a·column + b·row + c, y = d·… + f."""

    crs: str
    transform: tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two pictures of one place, (H, W, 3) uint8, and what is known of them.

    id      "set/name", the same in every run
    place   pairs of one place never lie in two splits
    files   the pictures' own
    hashes  of the bytes of every file read, by plane
    ground  None for plain photographs, which have pixels alone
    seen    share of the pixels that were observed at both dates
    """

    id: str
    place: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    files: tuple[Path, Path]
    hashes: Mapping[str, str]
    gsd_m: float | None = None
    labels: Labels | None = None
    ground: Ground | None = None
    seen: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.before.shape[0], self.before.shape[1]

    @property
    def digest(self) -> str:
        """Of all that was read: equal digests give equal triplets."""
        told = repr((self.id, self.place, self.gsd_m, self.ground, sorted(self.hashes.items())))
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()

    def rng(self, seed: int) -> np.random.Generator:
        """The same for a pair whatever was crafted before it."""
        return np.random.default_rng([seed, *hashlib.blake2b(self.id.encode(), digest_size=16).digest()])


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference that somebody names: what, which way, in which cells of the grid.

    noun      what it is, without article or place ("white statues")
    sentence  asks for it, without its place
    thing     of `geomtrs.data.labels`, where it is one; `source` is what was there before, for replacements
    """

    way: Way
    noun: str
    cells: tuple[str, ...]
    sentence: str
    thing: int | None = None
    source: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON

    @property
    def kind(self) -> Kind:
        """Of the three kinds of the published set."""
        return KIND_OF[self.way]

    @property
    def placed(self) -> str:
        """The sentence with its place in the words of the grid."""
        return f"{self.sentence} in {' and '.join(self.cells)}" if self.cells else self.sentence

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "cells": list(self.cells), "kind": self.kind}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        told = {key: value for key, value in document.items() if key != "kind"}
        return cls(**{**told, "cells": tuple(told["cells"])})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finding with its mask; `known` is where it can be right or wrong at all."""

    finding: Finding
    mask: Bool  # (H, W)
    known: Bool  # (H, W)


@dataclass(frozen=True, slots=True)
class Phrased:
    """A sentence that a person would use, and its mask; `number` is the candidate that it is about, from 0."""

    number: int
    kind: Kind
    sentence: str
    wording: str  # how it refers: direction, rank, place, relation, …
    mask: Bool  # (H, W)
    known: Bool  # (H, W)
    held: tuple[Check, ...] = ()  # what its writer found when it held the words to the facts


@dataclass(frozen=True, slots=True)
class Check:
    """One judgement: which rule, whether it is content, and what it saw."""

    rule: str
    passed: bool
    saw: str


Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture


@dataclass(frozen=True, slots=True)
class Prompt:
    """How a segmenter is asked again: for so much more (or less, below 0) than at first, and within a box."""

    more: int = 0
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge says of a sentence and its mask, and what would be right instead, as far as it says."""

    verdict: Verdict
    why: str = ""
    noun: str | None = None
    way: Way | None = None
    cells: tuple[str, ...] = ()
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said, as it said it."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked; equal questions about one pair are asked once.

    turn  how often the same was answered before in a way that cannot be used
    """

    stage: str
    model: str
    prompt: str
    pictures: tuple[bytes, ...]
    turn: int = 0

    @property
    def hashes(self) -> tuple[str, ...]:
        """Of the pictures."""
        return tuple(hashlib.blake2b(picture, digest_size=16).hexdigest() for picture in self.pictures)


class Ask(Protocol):
    """Puts a question to a model, unless the ledger has the answer."""

    def __call__(self, question: Question, call: Callable[[], Reply]) -> str:
        """The text of the answer, which is on disk before it is returned; `call` gets it where it is not there yet."""


class Perceiver(Protocol):
    """Names what differs."""

    @property
    def name(self) -> str:
        """For the ledger."""

    def perceive(self, pair: Pair, ask: Ask) -> list[Finding]:
        """All that it sees; nothing is an answer too. Raises CraftError where it cannot tell."""


class Speaker(Protocol):
    """A model that sees pictures and answers in words, elsewhere or in this process."""

    @property
    def name(self) -> str:
        """For the ledger."""

    def say(self, question: Question, schema: Mapping[str, Any]) -> Reply:
        """Its answer, which should be JSON of the schema. Raises CraftError where there is none."""


class Segmenter(Protocol):
    """Says where a finding is."""

    @property
    def name(self) -> str:
        """For the ledger."""

    def segment(self, pair: Pair, finding: Finding, prompt: Prompt = Prompt()) -> Candidate:
        """The finding with a mask, which may be empty."""


class Verifier(Protocol):
    """Judges by rules, by other means than those that proposed."""

    @property
    def name(self) -> str:
        """For the ledger."""

    def candidate(self, pair: Pair, candidate: Candidate, others: Sequence[Candidate]) -> tuple[Check, ...]:
        """Every rule's word on a mask; `others` are the candidates before it."""

    def sentence(self, pair: Pair, phrased: Phrased, others: Sequence[Phrased]) -> tuple[Check, ...]:
        """Every rule's word on a sentence; `others` are the sentences before it."""


class Judge(Protocol):
    """Looks at a mask over both dates, and says what is wrong with it."""

    @property
    def name(self) -> str:
        """For the ledger."""

    def judge(self, pair: Pair, candidate: Candidate, checks: Sequence[Check], ask: Ask) -> Judgement:
        """Its word; `checks` are the rules'."""


class Phraser(Protocol):
    """Finds words."""

    @property
    def name(self) -> str:
        """For the ledger."""

    def phrase(self, pair: Pair, checked: Mapping[int, Candidate], rng: np.random.Generator, ask: Ask) -> list[Phrased]:
        """Sentences about the candidates that passed, by their numbers; the same where generator and answers are."""
