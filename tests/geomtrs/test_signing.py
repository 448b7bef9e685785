"""Addresses that must be signed, and whose signatures expire before the run ends (G1)."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import rasterio
from affine import Affine

from geomtrs.errors import QueryError
from geomtrs.signing import signer
from tests.geomtrs.conftest import ask
from tests.geomtrs.test_cli import geomtrs as command
from tests.geomtrs.test_cli import refused
from tiling.errors import SourceError

NEW = "the roofs that appeared"
LASTS = 12  # requests for which a signature holds: some to open a file, then some of its parts


class Expiring(ThreadingHTTPServer):
    """Serves a folder by ranges to those who bring a signature that still holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left: dict[str, int] = {}
        self.lock = threading.Lock()
        self.refused = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    def sign(self, address: str) -> str:
        token = secrets.token_hex(8)
        with self.lock:
            self.left[token] = LASTS
        return f"{address}?sig={token}"

    def takes(self, token: str) -> bool:
        with self.lock:
            self.left[token] = self.left.get(token, 0) - 1
            self.refused += self.left[token] < 0
            return self.left[token] >= 0


class _Handler(BaseHTTPRequestHandler):
    server: Expiring
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, *, body: bool = True) -> None:
        parts = urlsplit(self.path)
        file = self.server.folder / parts.path.lstrip("/")
        if not file.is_file():
            return self._end(404, b"")
        if not self.server.takes(parse_qs(parts.query).get("sig", [""])[0]):
            return self._end(403, b"")
        content = file.read_bytes()
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        return self._end(206 if "Range" in self.headers else 200, part if body else b"", len(part), span)

    def _end(self, code: int, content: bytes, length: int = 0, span: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        if code == 206:
            self.send_header("Content-Range", span)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Expiring]:
    """Two dates of noise, some 3 MB each, so that they are read in many requests."""
    folder = tmp_path / "served"
    folder.mkdir()
    rng = np.random.default_rng(0)
    before = rng.integers(90, 104, (3, 900, 1100), dtype=np.uint8)
    after = before.copy()
    after[:, 600:700, 300:420] = 245
    for year, pixels in ((2019, before), (2023, after)):
        profile = {"height": 900, "width": 1100, "count": 3, "dtype": "uint8", "tiled": True, "blockxsize": 128,
                   "blockysize": 128, "crs": "EPSG:32633", "transform": Affine(2, 0, 5e5, 0, -2, 51e5)}  # fmt: skip
        with rasterio.open(folder / f"{year}.tif", "w", **profile) as raster:
            raster.write(pixels)
    with Expiring(folder) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving
        serving.shutdown()


def addresses(server: Expiring) -> list[str]:
    return [f"http://127.0.0.1:{server.server_address[1]}/{year}.tif" for year in (2019, 2023)]


def test_links_that_expire_during_the_run_are_signed_again_g1(server: Expiring, tmp_path: Path) -> None:
    result = ask(*addresses(server), query=NEW, out=tmp_path / "out", tile_px=256, sign=server.sign)
    files = [server.folder / f"{year}.tif" for year in (2019, 2023)]
    local = ask(*files, query=NEW, out=tmp_path / "local", tile_px=256)
    assert server.refused > 0
    assert np.array_equal(result.mask.to_numpy(), local.mask.to_numpy())
    assert (result.mask.to_numpy() == 1).any()


def test_no_signature_is_written_down_g1(server: Expiring, tmp_path: Path) -> None:
    ask(*addresses(server), query=NEW, out=tmp_path / "out", tile_px=256, sign=server.sign)
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert not any(token.encode() in content for token in server.left), path.name


def test_a_link_that_cannot_be_read_at_all_is_named_without_its_signature_g1(server: Expiring, tmp_path: Path) -> None:
    gone = addresses(server)[1].replace("2023", "2024")
    with pytest.raises(SourceError) as caught:
        ask(addresses(server)[0], gone, query=NEW, out=tmp_path / "out", sign=server.sign)
    assert gone in str(caught.value)
    assert not any(token in str(caught.value) for token in server.left)


@pytest.mark.parametrize("told", ["nothing", "no.such.module:sign", "json:no_such", "json:decoder"])
def test_a_function_that_is_none_is_asked_wrongly_g1(told: str) -> None:
    with pytest.raises(QueryError, match="module:function"):
        signer(told)


def test_the_command_takes_the_name_of_a_function_g1(server: Expiring, tmp_path: Path) -> None:
    words = ["detect", *addresses(server), "-q", NEW, "-o", str(tmp_path / "out"), "--model", "differencing"]
    refused(command(*words, "--sign", "json"), 2, "--sign")
    assert not (tmp_path / "out").exists()
