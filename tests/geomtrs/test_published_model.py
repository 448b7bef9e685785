"""`base` in the whole job: letterbox, weights from a folder, georeferenced answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

import geomtrs
from geomtrs.errors import ModelError
from geomtrs.models import catalog
from geomtrs.models.checkpoint import write_config, write_weights
from geomtrs.models.letterbox import Letterbox
from geomtrs.models.mtrefseg import BaseParams, build_base
from geomtrs.models.published import published_key
from geomtrs.models.published_model import WEIGHTS, config_of
from geomtrs.nn.phi import PhiParams
from geomtrs.query import Query
from tests.geomtrs.parity import seed_by_name

GPT2 = Path(__file__).parents[1] / "data" / "gpt2"
PREPROCESS = Path(__file__).parents[1] / "data" / "parity"
SMALL = BaseParams(language=PhiParams(layers=2))


@settings(deadline=None, max_examples=40)
@given(st.integers(20, 300), st.integers(20, 300), st.data())
def test_a_one_pixel_dot_comes_back_at_its_own_pixel_c13(height: int, width: int, data: st.DataObject) -> None:
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    image = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    image[..., row, col] = 255
    letterbox = Letterbox.of(height, width, 512)
    back = letterbox.leave(letterbox.enter(image)[:, :1])[0, 0]
    assert tuple(back.shape) == (height, width)
    assert divmod(int(back.argmax()), width) == (row, col)


@pytest.mark.parametrize(
    ("size", "box"),
    [((1024, 1024), (1024, 1024, 0, 0)), ((37, 53), (714, 1024, 155, 0)), ((100, 30), (1024, 307, 0, 358))],
)
def test_the_longer_side_fills_the_square_and_the_other_is_cut_to_whole_pixels(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    found = Letterbox.of(*size, 1024)
    assert (found.box_height, found.box_width, found.top, found.left) == box


def test_padding_is_black_before_it_is_normalised() -> None:
    padded = Letterbox.of(10, 40, 40).enter(torch.full((1, 3, 10, 40), 255, dtype=torch.uint8))
    assert padded[0, :, 0, 0].tolist() == pytest.approx([-2.117904, -2.035714, -1.804444], abs=1e-5)


def test_base_without_weights_says_what_it_wants_e7() -> None:
    with pytest.raises(ModelError, match="geomtrs model convert"):
        catalog.load("base")


def test_the_card_of_base_tells_where_weights_come_from() -> None:
    assert "model convert" in catalog.describe("base").text


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the network with two language layers, seeded by name."""
    folder = tmp_path_factory.mktemp("base")
    network = seed_by_name(build_base(SMALL), "", published_key)
    write_weights(folder / WEIGHTS, network.state_dict())
    for packed in GPT2.glob("*.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    write_config(folder, config_of(SMALL, source="seeded"), (WEIGHTS, "vocab.json", "merges.txt"))
    return folder


@pytest.mark.slow
def test_the_whole_job_runs_with_base_and_keeps_its_place(weights: Path, tmp_path: Path) -> None:
    transform = from_origin(500_000, 4_000_000, 0.5, 0.5)
    profile = {"driver": "GTiff", "width": 1500, "height": 1100, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    pixels = np.random.default_rng(0).integers(0, 255, (2, 3, 1100, 1500), np.uint8)
    paths = [tmp_path / "before.tif", tmp_path / "after.tif"]
    for path, date in zip(paths, pixels, strict=True):
        with rasterio.open(path, "w", transform=transform, **profile) as target:
            target.write(date)
    result = geomtrs.detect(
        *paths, query=["the new houses", "the felled trees"], out=tmp_path / "out", model="base", weights=str(weights)
    )
    for path in (result.folder).glob("probability_*.tif"):
        with rasterio.open(path) as raster:
            assert raster.transform == transform
            assert raster.shape == (1100, 1500)
            assert (raster.read(1) != 255).all()
    assert len(list(result.folder.glob("mask_*.tif"))) == 2
    peak = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))["peak_bytes"]
    print(f"peak memory {peak / 1e9:.1f} GB")  # noqa: T201 - a figure to read with -s
    assert peak > 500e6  # it was watched: the weights alone take more


@pytest.mark.slow
def test_a_further_key_and_a_flipped_byte_are_refused_e7(weights: Path, tmp_path: Path) -> None:
    whole = (weights / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (tmp_path / "config.json").write_bytes((weights / "config.json").read_bytes())
    with pytest.raises(ModelError, match="damaged or of another"):
        catalog.load("base", weights=tmp_path, device="cpu")


@pytest.mark.slow
def test_memory_that_does_not_suffice_for_one_tile_says_what_to_do_e4(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = catalog.load("base", weights=weights, device="cpu")

    def short_of_memory(_: torch.Tensor) -> object:
        raise torch.cuda.OutOfMemoryError("made up")

    monkeypatch.setattr(model.network, "look", short_of_memory)  # type: ignore[attr-defined]  # a PublishedModel
    with pytest.raises(ModelError, match="--precision bf16"):
        model.features(np.zeros((1, 2, 3, 64, 64), np.uint8))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_the_processor(weights: Path) -> None:
    tiles = np.random.default_rng(0).integers(0, 255, (1, 2, 3, 256, 256), np.uint8)
    answers = []
    for device, precision in (("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "bf16")):
        model = catalog.load("base", weights=weights, device=device, precision=precision)
        asked = model.prepare([Query("the new houses")])
        answers.append(model.answer(model.features(tiles), asked).probability)
    assert np.abs(answers[1] - answers[0]).max() < 1e-2
    masks = [a > 0.5 for a in answers]
    assert (masks[2] & masks[0]).sum() / max((masks[2] | masks[0]).sum(), 1) >= 0.99


@pytest.mark.slow
def test_out_of_memory_halves_the_batch_e4(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = catalog.load("base", weights=weights, device="cpu")
    sizes: list[int] = []

    def short_of_memory(dates: torch.Tensor) -> int:
        sizes.append(len(dates))
        if len(dates) > 1:
            raise torch.cuda.OutOfMemoryError("made up")
        return len(sizes)  # instead of a look, which takes half a minute

    monkeypatch.setattr(model.network, "look", short_of_memory)  # type: ignore[attr-defined]  # a PublishedModel
    features = model.features(np.zeros((2, 2, 3, 64, 64), np.uint8))
    assert sizes == [2, 1, 1]
    assert features.looks == [2, 3]
