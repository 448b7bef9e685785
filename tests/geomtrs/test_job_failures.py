"""A block that cannot be answered: the run stops there and keeps the rest, or goes on and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import geomtrs
from geomtrs.models.differencing import Differencing
from geomtrs.outputs.verify import verify
from tests.geomtrs.conftest import GONE, ask, read, visible
from tiling.engine import Started
from tiling.errors import BlockError

Pair = tuple[str, str]
NEW = "the roofs that appeared"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A model that fails where something went: in one block of four."""
    whole = Differencing.features

    def features(self: Differencing, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        if (tiles[:, 1] == 5).any():
            raise RuntimeError("out of luck")
        return whole(self, tiles)

    monkeypatch.setattr(Differencing, "features", features)
    return monkeypatch


def test_a_failed_block_stops_the_run_and_is_named_c11(pair: Pair, tmp_path: Path, broken: pytest.MonkeyPatch) -> None:
    with pytest.raises(BlockError, match="out of luck") as caught:
        ask(*pair, query=NEW, out=tmp_path / "out", retries=0)
    assert "--keep-going" in caught.value.remedy or "resume" in caught.value.remedy
    assert visible(tmp_path / "out") == {".geomtrs"}


def test_resume_does_only_what_is_missing_c11(pair: Pair, tmp_path: Path, broken: pytest.MonkeyPatch) -> None:
    with pytest.raises(BlockError):
        ask(*pair, query=NEW, out=tmp_path / "out", retries=0)
    broken.undo()
    events: list[object] = []
    geomtrs.resume(tmp_path / "out", on_event=events.append)
    assert next(event for event in events if isinstance(event, Started)).reused >= 1
    ask(*pair, query=NEW, out=tmp_path / "whole")
    assert (tmp_path / "out" / "mask.tif").read_bytes() == (tmp_path / "whole" / "mask.tif").read_bytes()


def test_keep_going_leaves_the_block_out_and_says_so(pair: Pair, tmp_path: Path, broken: pytest.MonkeyPatch) -> None:
    result = ask(*pair, query=NEW, out=tmp_path / "out", retries=0, keep_going=True)
    assert (read(result.folder / "coverage.tif")[GONE] == 3).all()
    assert (read(result.folder / "mask.tif")[GONE] == 255).all()
    assert read(result.folder / "mask.tif")[75, 100] == 1
    (failed,) = result.run["failed_blocks"]
    assert "out of luck" in failed["reason"]
    (feature,) = json.loads((result.folder / "failures.geojson").read_text("utf-8"))["features"]
    assert feature["properties"] == failed
    assert feature["geometry"]["type"] == "Polygon"
    assert verify(result.folder) == []


def test_a_run_without_failures_leaves_no_list_of_them(pair: Pair, tmp_path: Path) -> None:
    assert "failures.geojson" not in visible(ask(*pair, query=NEW, out=tmp_path / "out").folder)
