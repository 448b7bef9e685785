"""A disk that fills up while a run is at work on it: one line and exit 1, nothing half-written, and the run goes on."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

import geomtrs
from geomtrs.archive.ledger import rows
from geomtrs.outputs.verify import verify
from geomtrs.state import blocks_folder
from tests.faults import killer
from tests.geomtrs.test_archive import SENTENCE, archive

log = logging.getLogger(__name__)

ROOM_BYTES = 24 * 2**20

# The command line, and a file beside the outputs that takes all of the disk but so many bytes when an event is told.
FILLS = """
import os, sys
from pathlib import Path
from geomtrs.cli import main, progress
at, left, ballast = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
said = progress._stage_line
def fill(event=None):
    if getattr(event, "name", type(event).__name__) == at and not ballast.exists():
        disk = os.statvfs(ballast.parent)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(disk.f_frsize, disk.f_bavail * disk.f_frsize - left))
    if event is not None:
        said(event)
fill()
progress._stage_line = fill
main(sys.argv[4:])
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, small and in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(place)]
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only who may mount has a disk that can be filled up")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def undisturbed(pair: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a run with room enough answers."""
    out = tmp_path_factory.mktemp("whole") / "out"
    killer.ask(pair, out)
    return killer.answer(out)


def filled(disk: Path, at: str, left: int, *words: str) -> str:
    """The one line of a command that met a full disk, "" where the room sufficed; there is room again afterwards."""
    ballast = disk / "ballast"
    command = [sys.executable, "-c", FILLS, at, str(left), str(ballast), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    ballast.unlink()
    if done.returncode == 0:
        return ""
    assert done.returncode == 1, done.stderr
    line: str
    (line,) = re.findall(r"^error: .*", done.stderr, re.MULTILINE)
    assert done.stderr.endswith(f"{line}\n"), "something else was said after it"
    assert "_tiff" not in done.stderr
    assert re.search(r"wanted room for [\d,]+ bytes; remedy: free some space", line)
    return line


def begin(pair: tuple[str, str], out: Path) -> None:
    """The run of twelve blocks, for the command line to go on with."""
    killer.begin(lambda stop: killer.ask(pair, out, on_event=stop))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "left", "file"),
    [
        ("NoneType", 0, "lock"),
        ("tiles", 0, "blocks"),
        ("tiles", 40_000, r"r\d+c\d+\.block"),
        ("rasters", 0, r"probability\.tif"),
        ("rasters", 270_000, r"probability\.tif"),
        ("vectors", 0, r"changes\.gpkg"),
        ("vectors", 80_000, r"changes\.gpkg"),
        ("vectors", 200_000, r"preview\.png"),
    ],
)
def test_a_disk_that_fills_up_costs_nothing_that_is_finished_e3(
    pair: tuple[str, str], disk: Path, undisturbed: dict[str, object], at: str, left: int, file: str
) -> None:
    out = disk / "out"
    begin(pair, out)
    line = filled(disk, at, left, "resume", str(out))
    assert re.search(rf"/{file}: found ", line)
    assert not (out / "checksums.json").exists()
    assert killer.resumed(pair, out) == 0
    assert killer.answer(out) == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_wherever_a_disk_fills_up_the_run_goes_on_to_the_same_bytes_e3(
    pair: tuple[str, str], disk: Path, undisturbed: dict[str, object]
) -> None:
    random, met = Random(5), list[str]()
    for number in range(20):
        out = disk / str(number)
        begin(pair, out)
        at, most = random.choice([("tiles", 50_000), ("rasters", 400_000), ("vectors", 350_000)])
        left = random.randrange(most)
        line = filled(disk, at, left, "resume", str(out))
        log.info("%d bytes left at %s: %s", left, at, line or "enough")
        met += [Path(line.split(": found")[0]).name] if line else []
        assert killer.resumed(pair, out) == 0
        assert killer.answer(out) == undisturbed
        shutil.rmtree(out)
    log.info("%d of 20 disks were full, met by %s; none cost a run", len(met), ", ".join(dict.fromkeys(met)))
    assert len(set(met)) > 3


def test_blocks_that_were_finished_before_the_disk_was_full_are_kept_e3(pair: tuple[str, str], disk: Path) -> None:
    begin(pair, disk / "out")
    filled(disk, "tiles", 40_000, "resume", str(disk / "out"))
    assert 0 < len(list(blocks_folder(disk / "out").glob("*.block"))) < 12


@pytest.mark.slow
def test_a_batch_stops_on_a_full_disk_with_its_ledger_whole_and_goes_on_e3(disk: Path, tmp_path: Path) -> None:
    archive(tmp_path / "in", 3)
    out = disk / "out"
    words = ["batch", str(tmp_path / "in"), "-q", SENTENCE, "-o", str(out), "--model", "differencing"]
    filled(disk, "SceneEnded", 30_000, *words)
    assert next(row.status for row in rows(out / "ledger.gpkg")) == "done"
    assert "failed" not in [row.status for row in rows(out / "ledger.gpkg")]
    result = geomtrs.batch(tmp_path / "in", query=SENTENCE, out=out, model="differencing")
    assert result.counts == {"done": 3}
    assert all(verify(out / row.scene.id) == [] for row in result.rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "left", "file"),
    [
        ("NoneType", 20_000, "ledger.gpkg"),
        ("Scenes", 0, "ledger.gpkg"),
        ("merge", 0, "all.parquet"),
        ("merge", 165_000, "summary.html"),
    ],
)
def test_a_ledger_and_the_page_of_a_batch_say_so_too_e3(
    disk: Path, tmp_path: Path, at: str, left: int, file: str
) -> None:
    archive(tmp_path / "in", 2)
    words = ["batch", str(tmp_path / "in"), "-q", SENTENCE, "-o", str(disk / "out"), "--model", "differencing"]
    assert f"/{file}: found " in filled(disk, at, left, *words)
    assert geomtrs.batch(tmp_path / "in", query=SENTENCE, out=disk / "out", model="differencing").exit_code == 0
