"""Addresses that must be signed, and whose signatures expire before the run ends (G1)."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

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

# Serves a folder by ranges. A signature holds for 12 requests: some to open a file, then some of its parts. A process
# of its own, since rasterio may keep Python waiting while it waits for an answer.
SERVER = """
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

uses, refused = Counter(), []

class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        parts = urlsplit(self.path)
        file = Path(sys.argv[1], parts.path.lstrip("/"))
        if parts.path == "/refused":
            return self.end(200, str(len(refused)).encode())
        if not file.is_file():
            return self.end(404, b"")
        uses[parts.query] += 1
        if not parts.query or uses[parts.query] > 12:
            refused.append(parts.query)
            return self.end(403, b"")
        content = file.read_bytes()
        if "Range" not in self.headers:
            return self.end(200, content, body)
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        self.end(206, part, body, f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")

    def end(self, code, content, body=True, span=None):
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@dataclass
class Expiring:
    """The server: its folder and port, and every signature that was given out."""

    folder: Path
    port: int
    given: list[str] = field(default_factory=list)

    def sign(self, address: str) -> str:
        self.given.append(secrets.token_hex(8))
        return f"{address}?{self.given[-1]}"

    @property
    def refused(self) -> int:
        with urlopen(f"http://127.0.0.1:{self.port}/refused") as answer:
            return int(answer.read())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Expiring]:
    """Two dates of noise, some 0.7 MB each, so that they are read in many requests."""
    folder = tmp_path / "served"
    folder.mkdir()
    before = np.random.default_rng(0).integers(90, 104, (3, 450, 550), dtype=np.uint8)
    after = before.copy()
    after[:, 300:350, 150:210] = 245
    for year, pixels in ((2019, before), (2023, after)):
        profile = {"height": 450, "width": 550, "count": 3, "dtype": "uint8", "tiled": True, "blockxsize": 64,
                   "blockysize": 64, "crs": "EPSG:32633", "transform": Affine(2, 0, 5e5, 0, -2, 51e5)}  # fmt: skip
        with rasterio.open(folder / f"{year}.tif", "w", **profile) as raster:
            raster.write(pixels)
    with subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Expiring(folder, int(process.stdout.readline()))
        process.kill()


def addresses(server: Expiring) -> list[str]:
    return [f"http://127.0.0.1:{server.port}/{year}.tif" for year in (2019, 2023)]


def test_links_that_expire_during_the_run_are_signed_again_g1(server: Expiring, tmp_path: Path) -> None:
    result = ask(*addresses(server), query=NEW, out=tmp_path / "out", tile_px=128, sign=server.sign)
    files = [server.folder / f"{year}.tif" for year in (2019, 2023)]
    local = ask(*files, query=NEW, out=tmp_path / "local", tile_px=128)
    assert server.refused > 0
    assert np.array_equal(result.mask.to_numpy(), local.mask.to_numpy())
    assert (result.mask.to_numpy() == 1).any()


def test_no_signature_is_written_down_g1(server: Expiring, tmp_path: Path) -> None:
    ask(*addresses(server), query=NEW, out=tmp_path / "out", tile_px=128, sign=server.sign)
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert not any(token.encode() in content for token in server.given), path.name


def test_a_link_that_cannot_be_read_at_all_is_named_without_its_signature_g1(server: Expiring, tmp_path: Path) -> None:
    gone = addresses(server)[1].replace("2023", "2024")
    with pytest.raises(SourceError) as caught:
        ask(addresses(server)[0], gone, query=NEW, out=tmp_path / "out", sign=server.sign)
    assert gone in str(caught.value)
    assert not any(token in str(caught.value) for token in server.given)


@pytest.mark.parametrize("told", ["nothing", "no.such.module:sign", "json:no_such", "json:decoder"])
def test_a_function_that_is_none_is_asked_wrongly_g1(told: str) -> None:
    with pytest.raises(QueryError, match="module:function"):
        signer(told)


def test_the_command_takes_the_name_of_a_function_g1(server: Expiring, tmp_path: Path) -> None:
    words = ["detect", *addresses(server), "-q", NEW, "-o", str(tmp_path / "out"), "--model", "differencing"]
    refused(command(*words, "--sign", "json"), 2, "--sign")
    assert not (tmp_path / "out").exists()
