"""OpenVINO computes what torch computes, on any shape, and a run says and keeps which of them it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import geomtrs
from geomtrs.device import choose, with_engine
from geomtrs.errors import QueryError
from geomtrs.models import catalog
from geomtrs.models.base import ChangeModel
from geomtrs.query import Query

SAMPLE = sorted((Path(geomtrs.__file__).parent / "data" / "sample").glob("*.tif"))
WATER = [Query("the water that appeared"), Query("the trees that disappeared")]


def nano(engine: str) -> ChangeModel:
    return catalog.load("nano", device=catalog.device_of("nano", "cpu", "fp32", 1, engine))


@pytest.fixture(scope="module")
def torch_nano() -> ChangeModel:
    return nano("torch")


@pytest.fixture(scope="module")
def compiled_nano() -> ChangeModel:
    return nano("openvino")


def real_tile(height: int, width: int) -> NDArray[np.uint8]:
    dates = []
    for path in SAMPLE[:2]:
        with rasterio.open(path) as raster:
            dates.append(raster.read((1, 2, 3))[:, :height, :width])
    return np.stack(dates)[None]


@pytest.mark.parametrize("shape", [(512, 512), (512, 200), (97, 64)], ids=["whole tile", "edge tile", "corner"])
def test_both_engines_answer_alike_in_fp32(
    torch_nano: ChangeModel, compiled_nano: ChangeModel, shape: tuple[int, int]
) -> None:
    tile = real_tile(*shape)
    ours = torch_nano.answer(torch_nano.features(tile), torch_nano.prepare(WATER))
    theirs = compiled_nano.answer(compiled_nano.features(tile), compiled_nano.prepare(WATER))
    assert theirs.probability.shape == (1, 2, *shape)
    assert np.abs(ours.probability - theirs.probability).max() < 2e-3
    assert np.abs(ours.existence - theirs.existence).max() < 2e-3


def test_a_tile_has_one_answer_however_often_it_is_asked_c9(compiled_nano: ChangeModel) -> None:
    tile = real_tile(512, 512)
    prepared = compiled_nano.prepare(WATER)
    first, second = (compiled_nano.answer(compiled_nano.features(tile), prepared).probability for _ in range(2))
    assert np.array_equal(first, second)


def test_several_tiles_at_once_are_answered_like_one(compiled_nano: ChangeModel) -> None:
    tile = real_tile(256, 256)
    prepared = compiled_nano.prepare(WATER)
    alone = compiled_nano.answer(compiled_nano.features(tile), prepared).probability
    both = compiled_nano.answer(compiled_nano.features(np.concatenate([tile, tile])), prepared).probability
    assert np.abs(both - alone).max() < 1e-4


def test_auto_takes_openvino_on_a_cpu_for_the_model_that_has_it() -> None:
    assert catalog.device_of("nano", "cpu").engine == "openvino"
    assert catalog.device_of("differencing").engine == "torch"


def test_an_engine_that_is_not_there_is_refused_with_a_remedy() -> None:
    with pytest.raises(QueryError, match="remedy: choose one of them"):
        with_engine(choose("cpu"), "onnx")


def test_the_record_names_the_engine_and_a_rerun_uses_it_d8(tmp_path: Path) -> None:
    first = geomtrs.detect(*SAMPLE[:2], query="the water that appeared", out=tmp_path / "a", engine="torch")
    assert json.loads((tmp_path / "a" / "run.json").read_text(encoding="utf-8"))["device"]["engine"] == "torch"
    again = geomtrs.rerun(tmp_path / "a" / "run.json", out=tmp_path / "b")
    with rasterio.open(first.folder / "probability.tif") as one, rasterio.open(again.folder / "probability.tif") as two:
        assert np.array_equal(one.read(), two.read())
    assert json.loads((tmp_path / "b" / "run.json").read_text(encoding="utf-8"))["device"]["engine"] == "torch"
