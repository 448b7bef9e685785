"""What differs between two dates: read from labels, from sentences that the user brings, or asked of a chat model."""

from __future__ import annotations

import base64
import email.utils
import http.client
import ipaddress
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from geomtrs.craft.grid import CELLS, cells_of, sheets
from geomtrs.craft.protocols import KINDS, Ask, CraftError, Finding, Kind, Labels, Pair, Question, Reply, Way
from geomtrs.craft.segment import state_of
from geomtrs.data.expressions import NAMES, TRUE_NAMES
from geomtrs.data.labels import ANYTHING, PRESENT, THINGS
from geomtrs.data.patches import patches_of
from geomtrs.errors import DataError, QueryError
from geomtrs.models.differencing import direction
from geomtrs.query import Query

_SENTENCES: dict[Way, str] = {
    "appeared": "the {noun} that appeared",
    "disappeared": "the {noun} that disappeared",
    "changed": "the {noun} that changed",
    "replaced": "{source} replaced by {noun}",
}
_WAY: Mapping[Kind, Way] = {"appear": "appeared", "disappear": "disappeared", "change": "changed"}

TURNS = 3  # answers to one question that may be unusable before the pair fails
ATTEMPTS = 5  # at a server that is busy or broken
LONGEST_WAIT_S = 120.0  # that a server may ask for
ANSWER_TOKENS = 1024
LONGEST_NOUN = 100  # characters
_ARTICLE = re.compile(r"^(?:(?:the|an?|new|newly) )+")
PROMPT = """Two pictures of one place from above, the earlier date at the left, the later at the right. The first
picture shows both dates whole under a 3 x 3 grid with the name of each cell; the second shows the cell "{cell}" of
both dates enlarged.
Name every difference that lies in the cell "{cell}". For each: its kind (appear: it is there only at the later date;
disappear: only at the earlier; change: it is there at both dates and looks different), what it is as a short noun
phrase with its visible attributes and without article, place or the words new or old, and every cell of the grid that
it reaches into. Light, shadow, season, haze and viewing angle are no differences. No difference is an answer too."""
SCHEMA: Mapping[str, Any] = {  # Any: JSON
    "type": "object",
    "additionalProperties": False,
    "required": ["findings"],
    "properties": {
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["kind", "what", "cells"],
                "properties": {
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "what": {"type": "string"},
                    "cells": {"type": "array", "items": {"type": "string", "enum": list(CELLS)}},
                },
            },
        }
    },
}


@dataclass(frozen=True, slots=True)
class LabelPerceiver:
    """Findings are what the labels of both dates tell: each thing that came, went, took another's place or changed."""

    name: str = "labels"

    def perceive(self, pair: Pair, ask: Ask) -> list[Finding]:
        """Raises DataError for a pair without labels."""
        if pair.labels is None:
            raise DataError(
                pair.id, found="neither labels nor a mask", wanted="labels to read findings from",
                remedy="add them, or choose another --perceiver",
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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks OpenAI's chat protocol, by its base URL ("http://127.0.0.1:8000/v1").

    key           sent with each request, written nowhere
    allow_upload  the one host beside this machine that pictures may be sent to
    sleep         waits so many seconds

    Raises QueryError for a URL with a user, password or query in it, which would be written to the ledger, and for a
    host elsewhere that is not allowed.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    allow_upload: str | None = None
    timeout_s: float = 120.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        """Check once; nobody checks again."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise QueryError("--chat", found=repr(parts.scheme), wanted="http://HOST:PORT/v1", remedy="mend the URL")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise QueryError(
                "--chat", found="a user, password or query in the URL", wanted="a URL that may be written down",
                remedy="give a key by --key-env",
            )  # fmt: skip
        if not self.local and parts.hostname != self.allow_upload:
            raise QueryError(
                "--chat", found=f"{parts.hostname}, which is not this machine", wanted="pictures that stay here",
                remedy=f"add --allow-upload {parts.hostname} if they may leave",
            )  # fmt: skip
        if self.key is not None and not (self.key and self.key.isascii() and self.key.isprintable()):
            raise QueryError("--key-env", found="a key with odd characters", wanted="plain ASCII", remedy="set it anew")

    @property
    def host(self) -> str:
        """The one in the URL."""
        return urlsplit(self.url).hostname or ""

    @property
    def local(self) -> bool:
        """It is this machine by its name or number."""
        return self.host == "localhost" or _loopback(self.host)

    def post(self, document: Mapping[str, Any]) -> Reply:
        """The model's answer; raises CraftError once the server was busy, broken or mute too often, or refuses."""
        reason = ""
        for attempt in range(ATTEMPTS):
            wait_s = 0.5 * 2**attempt
            try:
                status, after, body = self._exchange(json.dumps(document).encode())
                if status == 200:
                    return self._reply(body)
                reason = f"status {status}: {self._shown(body)}"
                if status not in (408, 425, 429) and status < 500:
                    break
                wait_s = wait_s if after is None else after
            except ValueError as error:  # an answer that is not the protocol's
                reason = f"no answer of the chat protocol ({self._shown(str(error).encode())})"
            except (OSError, http.client.HTTPException) as error:
                reason = f"{type(error).__name__}: {self._shown(str(error).encode())}"
            if wait_s > LONGEST_WAIT_S:
                reason += f"; it asks to wait {wait_s:.0f} s"
                break
            if attempt + 1 < ATTEMPTS:
                self.sleep(wait_s)
        raise CraftError(
            self.url,
            found=reason,
            wanted=f"an answer of {self.model}",
            remedy="see to the server, then run the same again",
        )

    def _exchange(self, body: bytes) -> tuple[int, float | None, bytes]:
        """Status, seconds to wait if told, and content. No proxy and no redirection is followed: both would carry the
        pictures, and the key, to another host.
        """
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.host, parts.port, timeout=self.timeout_s)
        try:
            connection.connect()
            if self.local and not _loopback(str(connection.sock.getpeername()[0])):
                raise CraftError(
                    self.url, found=f"{self.host} on another machine", wanted="this machine",
                    remedy="name it by its number, 127.0.0.1",
                )  # fmt: skip
            headers = {"Content-Type": "application/json"}
            if self.key is not None:
                headers["Authorization"] = f"Bearer {self.key}"
            connection.request("POST", f"{parts.path.rstrip('/')}/chat/completions", body, headers)
            response = connection.getresponse()
            return response.status, _seconds(response.getheader("Retry-After")), response.read()
        finally:
            connection.close()

    def _reply(self, body: bytes) -> Reply:
        """Raises ValueError for what is not the protocol's."""
        try:
            document = json.loads(body)
            message = document["choices"][0]["message"]
            used = document.get("usage") or {}
            text = json.dumps({"refusal": message["refusal"]}) if message.get("refusal") else message["content"] or ""
            counts = int(used.get("prompt_tokens") or 0), int(used.get("completion_tokens") or 0)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__} {error}") from error
        return Reply(self._without_key(str(text)), *counts)

    def _shown(self, text: bytes) -> str:
        return self._without_key(" ".join(text.decode("utf-8", "replace").split()))[:200]

    def _without_key(self, text: str) -> str:
        """A server may say back what it was sent."""
        return text if self.key is None else text.replace(self.key, "***")


@dataclass(frozen=True, slots=True)
class ChatPerceiver:
    """A model with eyes is shown each cell of the grid at both dates and asked what differs there."""

    endpoint: Endpoint

    @property
    def name(self) -> str:
        """The model and where it is."""
        return f"{self.endpoint.model} at {self.endpoint.url}"

    def perceive(self, pair: Pair, ask: Ask) -> list[Finding]:
        """What it named, cell by cell; the same thing of several cells is one finding."""
        named: dict[tuple[Kind, str], set[str]] = {}
        for cell, pictures in sheets(pair.before, pair.after):
            for kind, noun, cells in self._look(pair, cell, pictures, ask):
                named.setdefault((kind, noun), set()).update(cells)
        things = things_by_name()
        found = []
        for (kind, noun), reached in named.items():
            thing = things.get(noun.lower())
            found.append(
                Finding(
                    way=_WAY[kind],
                    noun=noun,
                    cells=tuple(cell for cell in CELLS if cell in reached),
                    sentence=_SENTENCES[_WAY[kind]].format(noun=noun),
                    thing=None if thing is None else THINGS.index(thing),
                )
            )
        return found

    def _look(
        self, pair: Pair, cell: str, pictures: tuple[bytes, bytes], ask: Ask
    ) -> list[tuple[Kind, str, list[str]]]:
        prompt = PROMPT.format(cell=cell)
        reason = ""
        for turn in range(TURNS):
            question = Question("perceive", self.name, prompt, pictures, turn)
            text = ask(question, partial(self.endpoint.post, self._document(question)))
            try:
                return _named(text)
            except ValueError as error:
                reason = str(error)
        raise CraftError(
            pair.id, found=f"{TURNS} answers about {cell} that cannot be used ({reason})", wanted="JSON by the schema",
            remedy="try another model",
        )  # fmt: skip

    def _document(self, question: Question) -> dict[str, Any]:
        shown = [f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" for picture in question.pictures]
        content = [
            {"type": "text", "text": question.prompt},
            *({"type": "image_url", "image_url": {"url": x}} for x in shown),
        ]
        schema = {"name": "differences", "strict": True, "schema": SCHEMA}
        return {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "seed": question.turn,
            "max_tokens": ANSWER_TOKENS,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }


def things_by_name() -> dict[str, str]:
    """Each name of a thing, singular and plural, without those that two things share."""
    names: dict[str, set[str]] = {}
    for thing in THINGS:
        for name in (thing, *(one.lstrip("~") for one in NAMES[thing])):
            for form in {name, name.removesuffix("s"), f"{name}s"}:
                names.setdefault(form, set()).add(thing)
    return {name: things.pop() for name, things in names.items() if len(things) == 1}


def _named(text: str) -> list[tuple[Kind, str, list[str]]]:
    """Kind, noun and cells of every difference in an answer; raises ValueError where it is not as the schema wants."""
    begin, end = text.find("{"), text.rfind("}")
    document = json.loads(text[begin : end + 1]) if begin >= 0 else None
    if isinstance(document, dict) and "refusal" in document:
        raise ValueError(f"refused: {str(document['refusal'])[:100]}")
    if not isinstance(document, dict) or not isinstance(document.get("findings"), list):
        raise ValueError("no list of findings")
    out: list[tuple[Kind, str, list[str]]] = []
    for one in document["findings"]:
        kind, what, cells = (
            (one.get(key) for key in ("kind", "what", "cells")) if isinstance(one, dict) else (None,) * 3
        )
        listed: list[Any] = cells if isinstance(cells, list) else [None]
        noun = _ARTICLE.sub("", " ".join(what.split())).strip(" .") if isinstance(what, str) else ""
        if kind not in KINDS or not 0 < len(noun) <= LONGEST_NOUN or any(cell not in CELLS for cell in listed):
            raise ValueError(f"a finding that is not as asked: {json.dumps(one)[:100]}")
        out.append((kind, noun, listed))
    return out


def _seconds(told: str | None) -> float | None:
    """Of a Retry-After header, which is a number or a date; None where it is neither."""
    if told is None:
        return None
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except ValueError:
        return None


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
    words = _SENTENCES[way].format(noun=noun, source="" if source is None else noun_of(source))
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
