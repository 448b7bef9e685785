"""Sentences as the user wrote them, checked once: what the model is asked, how files are named after them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geomtrs.errors import QueryError
from geomtrs.grammar import ScenePart, read

MAX_CHARACTERS = 512
SLUG_CHARACTERS = 40

# Control characters, half surrogates and line separators would break a layer name, a log line or a JSON reader.
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_ENGLISH = re.compile(
    r"\b(a|all|an|and|are|by|from|has|have|in|is|it|near|new|of|on|or|that|the|there|to|was|were|where|with)\b"
)
_FOREIGN = re.compile(
    r"\b(aus|qui|les|des|une|du|dans|sur|los|las|el|del|una|por|nuevos|edificios|der|das|und|ein|eine|wurden|neue"
    r"|il|gli|della|delle|nel|che|nuovi|os|uma|novos|foram|het|een|nieuwe|nya|och|som)\b"
)


@dataclass(frozen=True, slots=True)
class Query:
    """One sentence asked of a place, e.g. `Query("the buildings that appeared")`.

    text  the sentence; white space around it is dropped
    name  what files and layers are called after, instead of the sentence
    whole  ask it tile by tile as it stands, words about the scene among the others (--scope tile)

    Raises QueryError when either is empty, too long or holds control characters.
    """

    text: str
    name: str | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        """Check both texts; nobody checks again."""
        object.__setattr__(self, "text", _checked(self.text, "sentence"))
        if self.name is not None:
            object.__setattr__(self, "name", _checked(self.name, "name of a sentence"))

    @property
    def slug(self) -> str:
        """Lower-case ASCII letters, digits and hyphens, at most 40: safe in a file name anywhere."""
        label = self.name or self.text
        ascii_only = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:SLUG_CHARACTERS].rstrip("-")
        # A sentence in another script leaves nothing; a digest keeps it apart from others and the same in every run.
        return slug or f"query-{hashlib.blake2b(label.encode(), digest_size=4).hexdigest()}"

    @property
    def scene_part(self) -> ScenePart:
        """Words about the whole scene (rank, size, number, place): what is kept of the finished polygons."""
        return ScenePart() if self.whole else read(self._composed)[1]

    @property
    def model_text(self) -> str:
        """What the model is asked: the sentence without its scene part, in composed Unicode, single spaces."""
        return self._composed if self.whole else read(self._composed)[0]

    @property
    def _composed(self) -> str:
        return " ".join(unicodedata.normalize("NFC", self.text).split())

    @property
    def seems_english(self) -> bool:
        """False when the script or the small words are another language's; a hint for a warning, not a judge."""
        words = self.model_text.lower()
        if any("LATIN" not in unicodedata.name(letter, "") for letter in words if letter.isalpha()):
            return False
        return not _FOREIGN.search(words) or bool(_ENGLISH.search(words))

    def to_dict(self) -> dict[str, str | bool | None]:
        """As run.json keeps it."""
        whole: dict[str, str | bool | None] = {"whole": True} if self.whole else {}
        return {"text": self.text, "name": self.name, **whole}


def parse_queries(sentences: Sequence[str | Query], file: str | Path | None = None) -> tuple[Query, ...]:
    """At least one query: those given, then those of a UTF-8 file, one a line, `name<TAB>sentence` allowed.

    Raises QueryError for a sentence that means nothing or is there twice, for none at all, and for a file that cannot
    be read.
    """
    given = [sentence if isinstance(sentence, Query) else Query(sentence) for sentence in sentences]
    queries = (*given, *(_read(Path(file)) if file is not None else ()))
    if not queries:
        raise QueryError(
            file or "query",
            found="no sentence",
            wanted="at least one",
            remedy='ask with -q "the buildings that appeared"',
        )
    ((text, times),) = Counter(query.text for query in queries).most_common(1)
    if times > 1:  # tables tell the answers to sentences apart by their words
        raise QueryError(file or "query", found=f"{text!r} twice", wanted="each sentence once", remedy="leave one out")
    return queries


def slugs(queries: Sequence[Query]) -> tuple[str, ...]:
    """One slug for each query, all different: the second of two equal ones ends in -2."""
    taken: list[str] = []
    for query in queries:
        slug, number = query.slug, 1
        while slug in taken:
            number += 1
            slug = f"{query.slug[: SLUG_CHARACTERS - len(f'-{number}')].rstrip('-')}-{number}"
        taken.append(slug)
    return tuple(taken)


def _checked(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise QueryError(what, found=f"a {type(text).__name__}", wanted="text", remedy="write it as a sentence")
    stripped = text.strip()
    if not stripped:
        raise QueryError(what, found="nothing", wanted="some words", remedy="write what changed, in quotes")
    if len(stripped) > MAX_CHARACTERS:
        raise QueryError(
            f"{what} '{_start(stripped)}…'",
            found=f"{len(stripped)} characters",
            wanted=f"at most {MAX_CHARACTERS}",
            remedy="say it shorter, or ask several sentences",
        )
    bad = sorted({f"U+{ord(letter):04X}" for letter in stripped if unicodedata.category(letter) in _FORBIDDEN})
    if bad:
        raise QueryError(
            f"{what} '{_start(stripped)}'",
            found=f"control characters {', '.join(bad[:4])}",
            wanted="plain text on one line",
            remedy="remove them",
        )
    return stripped


def _start(text: str) -> str:
    return "".join(letter if unicodedata.category(letter) not in _FORBIDDEN else "?" for letter in text[:40])


def _read(file: Path) -> tuple[Query, ...]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(
            file,
            found=str(getattr(error, "strerror", None) or "bytes that are not UTF-8"),
            wanted="a text file with one sentence a line",
            remedy="check the path given to --queries",
        ) from error
    queries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, tab, sentence = line.partition("\t")
        try:
            queries.append(Query(sentence, name.strip() or None) if tab else Query(line))
        except QueryError as error:
            raise QueryError(
                f"{file}, line {number}", found=error.found, wanted=error.wanted, remedy=error.remedy
            ) from error
    return tuple(queries)
