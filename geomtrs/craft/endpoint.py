"""A server that speaks OpenAI's chat protocol: pictures stay here unless they may leave."""

from __future__ import annotations

import email.utils
import hashlib
import http.client
import ipaddress
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from geomtrs.craft.protocols import CraftError, Question, Reply, StoppedError
from geomtrs.errors import QueryError
from geomtrs.outputs.encoding import data_uri

ATTEMPTS = 5  # at a server that is busy or broken
LONGEST_WAIT_S = 120.0  # that a server may ask for
ANSWER_TOKENS = 1024
REFUSALS = (401, 402, 403, 404)  # of whoever asks, whatever is asked: an expired key, an empty purse, another model
_REMEDY = "see to the server and the key, then run the same again"


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

    @property
    def name(self) -> str:
        """The model and where it is."""
        return f"{self.model} at {self.url}"

    def say(self, question: Question, schema: Mapping[str, Any]) -> Reply:
        """The model's answer. Raises CraftError once the server was busy, broken or mute too often for this question,
        and StoppedError where it will take no other either: out of reach, or a key, model or address it refuses.
        """
        body = json.dumps(self._document(question, schema)).encode()
        reason = ""
        for attempt in range(ATTEMPTS):
            wait_s = 0.5 * 2**attempt
            try:
                status, after, said = self._exchange(body)
                if status == 200:
                    return self._reply(said)
                reason = f"status {status}: {self._shown(said)}"
                if status in REFUSALS:
                    raise self._stopped(reason)
                if status not in (408, 425, 429) and status < 500:
                    break
                wait_s = wait_s if after is None else after
            except ValueError as error:  # an answer that is not the protocol's
                reason = f"no answer of the chat protocol ({self._shown(str(error).encode())})"
            except (OSError, http.client.HTTPException) as error:
                reason = f"{type(error).__name__}: {self._shown(str(error).encode())}"
                if isinstance(error, (ConnectionRefusedError, socket.gaierror)) and attempt + 1 == ATTEMPTS:
                    raise self._stopped(reason) from error
            if wait_s > LONGEST_WAIT_S:
                reason += f"; it asks to wait {wait_s:.0f} s"
                break
            if attempt + 1 < ATTEMPTS:
                self.sleep(wait_s)
        raise CraftError(self.url, found=reason, wanted=f"an answer of {self.model}", remedy=_REMEDY)

    def _stopped(self, reason: str) -> StoppedError:
        return StoppedError(self.url, found=reason, wanted=f"a server that answers for {self.model}", remedy=_REMEDY)

    def _document(self, question: Question, schema: Mapping[str, Any]) -> dict[str, Any]:
        shown = [data_uri(picture, "jpeg") for picture in question.pictures]
        content = [
            {"type": "text", "text": question.prompt},
            *({"type": "image_url", "image_url": {"url": x}} for x in shown),
        ]
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "seed": question.turn,
            "max_tokens": ANSWER_TOKENS,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": question.stage, "strict": True, "schema": schema},
            },
        }

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
            # The same for the same request, also by a later run: a server that heeds it does not charge for it twice.
            same = hashlib.blake2b(body, digest_size=16).hexdigest()
            headers = {"Content-Type": "application/json", "Idempotency-Key": same}
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
