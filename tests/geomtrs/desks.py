"""Desks to ask: a crafted set, a server on 127.0.0.1 in a thread or in a process of its own, requests as they come."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geomtrs.craft.audit.desk import Desk
from geomtrs.craft.audit.items import TripletSet
from geomtrs.craft.audit.server import HOST, web_server


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.content)


@dataclass(frozen=True)
class Address:
    """Where an auditor's page is."""

    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/{self.token}/"

    def ask(self, path: str, method: str = "GET", content: bytes | None = None, **headers: str) -> Answered:
        """Sent as it is written, with nothing tidied on the way; a path from `/` on is the whole of it."""
        line = http.client.HTTPConnection(HOST, self.port, timeout=20)
        where = path if path.startswith("/") else f"/{self.token}/{path}"
        line.putrequest(method, where, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            line.putheader(name, value)
        if content is not None:
            line.putheader("Content-Length", str(len(content)))
        line.endheaders(content)
        answer = line.getresponse()
        answered = Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        line.close()
        return answered

    def decide(self, item: str, verdict: str, **more: str) -> Answered:
        return self.ask("decide", "POST", json.dumps({"item": item, "verdict": verdict, **more}).encode())


@contextmanager
def opened(desk: Desk) -> Iterator[dict[str, Address]]:
    """The desk's own server in a thread; addresses by auditor."""
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        server = web_server(desk, port)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield {auditor: Address(port, token) for token, auditor in desk.tokens.items()}
        finally:
            server.should_exit = True
            thread.join()


def desk_of(folder: Path, *auditors: str) -> Desk:
    return Desk(folder, TripletSet(folder), auditors or ("ann",))


@contextmanager
def command(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[Address]]]:
    """`geomtrs audit` as a user starts it; killed at the end."""
    names = [options[i + 1] for i, option in enumerate(options) if option == "--auditor"]
    process = subprocess.Popen(
        [sys.executable, "-m", "geomtrs", "audit", str(folder), "--no-browser", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=os.environ,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, [_address(process.stdout.readline(), name) for name in names]
    finally:
        process.kill()
        process.communicate()


def _address(line: str, auditor: str) -> Address:
    name, _, url = line.strip().rpartition("  ")
    assert name == auditor, line
    parts = urlsplit(url)
    assert parts.port is not None
    return Address(parts.port, parts.path.strip("/"))


def ids(address: Address) -> Sequence[str]:
    return [item["id"] for item in address.ask("items").document["items"]]
