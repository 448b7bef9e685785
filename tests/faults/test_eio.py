"""A disk that fails half-way: one line and an exit code, nothing half-written, and a run that goes on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geomtrs.outputs.verify import verify
from tests.faults import killer
from tests.faults.eio import FailingDisk, On, failing
from tests.faults.test_damaged import ask, gone_on, large, undisturbed
from tests.geomtrs.conftest import read
from tests.geomtrs.test_cli import refused
from tiling.stack import FAILED

__all__ = ["failing", "large", "undisturbed"]

Pair = tuple[str, str]
SENTENCE = ("-q", killer.SENTENCE, "--model", "differencing")
pytestmark = pytest.mark.slow  # a command each


def begin(pair: Pair, out: Path, *, keep_going: bool = False) -> None:
    """The run of nine blocks, for the command line to go on with."""
    killer.begin(lambda stop: ask(pair, out, on_event=stop, keep_going=keep_going))


def share_of(file: str, share: float) -> int:
    return int(share * Path(file).stat().st_size)


@pytest.mark.parametrize("share", [0.5, 0.65, 0.8])
def test_an_input_whose_disk_fails_half_way_ends_the_run_which_goes_on_e3(
    failing: FailingDisk, large: Pair, undisturbed: Path, tmp_path: Path, share: float
) -> None:
    out = tmp_path / "out"
    begin(large, out)
    done = failing.run("read", "2023.tif", share_of(large[1], share), "resume", str(out))
    refused(done, 1, "2023.tif: found data that cannot be read at columns", "resume")
    assert [path.name for path in out.iterdir()] == [".geomtrs"]
    assert gone_on(out) == 0
    assert killer.answer(out) == killer.answer(undisturbed)


def test_an_input_whose_disk_fails_at_once_is_named_with_the_reason_e3(
    failing: FailingDisk, large: Pair, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = failing.run("read", "2023.tif", 0, "detect", *large, *SENTENCE, "-o", str(out))
    refused(done, 1, "2023.tif", "Input/output error")
    assert not out.exists()


def test_keep_going_leaves_out_what_a_failing_disk_lost_e3(
    failing: FailingDisk, large: Pair, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    begin(large, out, keep_going=True)
    done = failing.run("read", "2023.tif", share_of(large[1], 0.5), "resume", str(out))
    assert done.returncode == 3, done.stderr
    lost = read(out / "coverage.tif") == FAILED
    assert lost.any()
    assert not lost.all()
    mask = read(out / "mask.tif")
    assert (mask[lost] == 255).all()
    assert np.array_equal(mask[~lost], read(undisturbed / "mask.tif")[~lost])
    listed = json.loads((out / "failures.geojson").read_text("utf-8"))["features"]
    assert listed
    assert all(feature["properties"]["file"].endswith("2023.tif") for feature in listed)
    assert verify(out) == []


ONS: tuple[On, ...] = ("write", "fsync")
OUTPUTS = [
    "r000c001.block", "probability.tif", "mask.tif", "coverage.tif", "changes.gpkg", "preview.png", "project.qgz",
    "item.json", "run.json", "checksums.json",
]  # fmt: skip


HALF_WAY = [("write", "probability.tif", 300_000), ("write", "changes.gpkg", 50_000)]


@pytest.mark.parametrize(("on", "file", "after"), [*((on, file, 0) for file in OUTPUTS for on in ONS), *HALF_WAY])
def test_an_output_whose_disk_fails_is_named_and_the_run_goes_on_e3(
    failing: FailingDisk, large: Pair, undisturbed: Path, tmp_path: Path, on: On, file: str, after: int
) -> None:
    out, stem = tmp_path / "out", file.partition(".")[0]
    begin(large, out)
    done = failing.run(on, f".{stem}.", after, "resume", str(out))
    refused(done, 1, f"/{file}: found ")
    whole = {path.name for path in out.iterdir()} - {".geomtrs"}
    assert file not in whole
    assert "checksums.json" not in whole
    for path in whole:
        if path.endswith(".tif"):
            with rasterio.open(out / path) as raster:
                raster.read()
    assert not [path for path in out.iterdir() if re.fullmatch(r"\..*(part|tmp|tif|gpkg.*)", path.name)]
    assert gone_on(out) == 0
    assert killer.answer(out) == killer.answer(undisturbed)
