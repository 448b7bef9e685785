"""The embedded model as callers see it: numpy in, numpy out, and the sentence decides."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray

from geomtrs.device import choose
from geomtrs.models.base import ChangeModel
from geomtrs.models.nano import Nano, load_nano
from geomtrs.query import Query


@pytest.fixture(scope="module")
def nano() -> Nano:
    """The packaged model in float32."""
    return load_nano(None, choose("cpu", "fp32", threads=1))


@pytest.fixture(scope="module")
def prairie() -> NDArray[np.uint8]:
    """The real pair that ships: (1, 2, 3, 512, 512), lakes that grew over fields."""
    dates = []
    with resources.as_file(resources.files("geomtrs.data") / "sample") as folder:
        for path in sorted(Path(folder).glob("*.tif")):
            with rasterio.open(path) as raster:
                dates.append(raster.read([1, 2, 3])[:, :512, :512])
    return np.stack(dates)[None]


def answer(nano: Nano, tiles: NDArray[np.uint8], *sentences: str) -> NDArray[np.float32]:
    """Final probability (N, Q, H, W)."""
    found = nano.answer(nano.features(tiles), nano.prepare([Query(s) for s in sentences]))
    return found.probability * found.existence[..., None, None]


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union; 0 for two empty masks."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def test_nano_is_a_change_model(nano: Nano) -> None:
    assert isinstance(nano, ChangeModel)


def test_a_sentence_changes_the_answer_b2(nano: Nano, prairie: NDArray[np.uint8]) -> None:
    masks = (
        answer(nano, prairie, "the water that appeared", "the buildings that appeared", "the water that disappeared")[0]
        > 0.5
    )
    assert masks[0].mean() > 0.05
    assert iou(masks[0], masks[1]) < 0.2
    assert iou(masks[0], masks[2]) < 0.1


def test_swapped_dates_swap_appeared_and_disappeared_b7(nano: Nano, prairie: NDArray[np.uint8]) -> None:
    appeared = answer(nano, prairie, "the water that appeared") > 0.5
    swapped = answer(nano, prairie[:, ::-1], "the water that disappeared") > 0.5
    assert iou(appeared, swapped) > 0.9


def test_something_that_is_not_there_is_not_found_b3(nano: Nano, prairie: NDArray[np.uint8]) -> None:
    masks = answer(nano, prairie, "the aircraft that appeared", "solar panels that were built", "ships that left") > 0.5
    assert masks.mean() < 0.002


def test_nothing_changes_between_a_date_and_itself(nano: Nano, prairie: NDArray[np.uint8]) -> None:
    same = prairie[:, [0, 0]]
    assert (answer(nano, same, "the water that appeared", "what changed") > 0.5).mean() < 0.01


def test_each_of_ten_sentences_equals_its_single_run_b6(nano: Nano, prairie: NDArray[np.uint8]) -> None:
    sentences = [
        f"the {thing} that {verb}"
        for thing in ("lakes", "houses", "trees", "fields", "roads")
        for verb in ("appeared", "were removed")
    ]
    together = answer(nano, prairie[..., :256, :256], *sentences)
    for i, sentence in enumerate(sentences):
        alone = answer(nano, prairie[..., :256, :256], sentence)
        assert np.abs(together[:, i] - alone[:, 0]).max() <= 1 / 250


@pytest.mark.parametrize("shape", [(1, 1), (33, 70), (64, 1)])
def test_tiles_of_any_size_are_answered_at_their_own_pixels_a12(
    nano: Nano, prairie: NDArray[np.uint8], shape: tuple[int, int]
) -> None:
    height, width = shape
    assert answer(nano, prairie[..., :height, :width], "new water").shape == (1, 1, height, width)


def test_batch_size_does_not_change_the_answer_c10(nano: Nano, prairie: NDArray[np.uint8]) -> None:
    tiles = np.concatenate([prairie[..., :256, :256], prairie[..., 256:, 256:]])
    together = answer(nano, tiles, "new water")
    alone = np.concatenate([answer(nano, tiles[i : i + 1], "new water") for i in range(2)])
    assert np.abs(together - alone).max() <= 1e-3


def test_a_letter_case_does_not_change_the_answer(nano: Nano, prairie: NDArray[np.uint8]) -> None:
    small = prairie[..., :128, :128]
    assert np.array_equal(answer(nano, small, "New Water"), answer(nano, small, "new water"))


def test_a_dot_on_the_models_map_comes_back_at_its_own_pixels_c13(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    """The map has a stride of 4 and covers 224 x 160 px, reflected from 215 x 150."""
    tiles = np.zeros((1, 2, 3, 215, 150), np.uint8)
    prepared = nano.prepare([Query("the water that appeared")])
    with torch.inference_mode():
        found = nano.network.answer(nano.features(tiles).maps, prepared.sentences)
    assert found.mask.shape[-2:] == (224 // 4, 160 // 4)
    dot = torch.full_like(found.mask, -20.0)
    dot[..., 30, 17] = 20.0
    monkeypatch.setattr(nano.network, "answer", lambda _maps, _query: found._replace(mask=dot))
    probability = nano.answer(nano.features(tiles), prepared).probability[0, 0]
    assert probability.shape == (215, 150)
    rows, cols = np.nonzero(probability > 0.5)
    # Pixel centres of cell (30, 17) are rows 120..123 and columns 68..71: the dot is centred there to half a pixel.
    assert (rows.mean(), cols.mean()) == (4 * 30 + 1.5, 4 * 17 + 1.5)


def test_neither_loading_nor_reading_a_sentence_needs_a_compiler_of_torch() -> None:
    """They are made of hundreds of modules: loading took six times as long with them, half a second the sentence."""
    load = "from geomtrs.models import catalog; from geomtrs.query import Query"
    read = "catalog.load('nano', device='cpu').prepare([Query('new roads')])"
    code = f"import sys; {load}; {read}; print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
