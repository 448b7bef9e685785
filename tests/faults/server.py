"""A file server on 127.0.0.1 that answers range requests, and answers a share of them badly."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import ClassVar


@dataclass
class Faults:
    """Which share of the requests goes wrong, and how: a status (403, 404, 429, 500, 503), `reset`, `stall`, `garble`.

    after  so many requests go well first: the file opens, and the fault is met while it is read
    """

    kind: str = ""
    share: float = 0.0
    seed: int = 1
    after: int = 0
    stall_s: float = 30.0
    met: int = 0
    requests: int = 0
    bytes_sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """The draws are a function of the seed."""
        self._random = Random(self.seed)

    def strikes(self) -> bool:
        """Whether this request goes wrong."""
        with self.lock:
            self.requests += 1
            struck = self.requests > self.after and self._random.random() < self.share
            self.met += struck
            return struck


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: ClassVar[Path]
    faults: ClassVar[Faults]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        struck = self.faults.strikes()
        if struck and self.faults.kind.isdigit():
            self._refuse(int(self.faults.kind))
            return
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self._refuse(404)
            return
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]) if asked and asked[2] else size - 1, size - 1)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if not body:
            return
        with path.open("rb") as file:
            file.seek(first)
            content = file.read(last - first + 1)
        garbled = struck and self.faults.kind == "garble"
        if garbled:
            content, struck = bytes(byte ^ 0x55 for byte in content), False
        if struck:
            content = content[: len(content) // 2]
        with self.faults.lock:
            self.faults.bytes_sent += len(content)
        self.wfile.write(content)
        if struck:
            self.wfile.flush()
            if self.faults.kind == "stall":
                time.sleep(self.faults.stall_s)
            self.close_connection = True
            self.connection.close()

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: requests are counted, not told."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that went away is no error of ours."""


@dataclass(frozen=True)
class Served:
    """A folder behind an address, and how many requests, faults and bytes there were so far."""

    address: str
    _pipe: Connection

    def told(self) -> tuple[int, int, int]:
        """Requests, those that went wrong, bytes sent."""
        self._pipe.send("tell")
        told: tuple[int, int, int] = self._pipe.recv()
        return told

    def heal(self) -> None:
        """From now on every request goes well."""
        self._pipe.send("heal")
        self._pipe.recv()


@contextmanager
def serve(folder: Path, kind: str = "", share: float = 0.0, **more: float) -> Iterator[Served]:
    """The folder, served while the context lasts; by another process, since GDAL keeps this one's threads waiting."""
    here, there = Pipe()
    process = get_context("forkserver").Process(target=_serve, args=(folder, kind, share, more, there), daemon=True)
    process.start()
    try:
        yield Served(here.recv(), here)
    finally:
        process.kill()
        process.join()


def _serve(folder: Path, kind: str, share: float, more: dict[str, float], pipe: Connection) -> None:
    faults = Faults(kind, share, **more)
    handler = type("Handler", (_Handler,), {"folder": folder, "faults": faults})
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    pipe.send(f"http://127.0.0.1:{server.server_address[1]}")
    while asked := pipe.recv():
        if asked == "heal":
            faults.share = 0.0
        pipe.send((faults.requests, faults.met, faults.bytes_sent))
