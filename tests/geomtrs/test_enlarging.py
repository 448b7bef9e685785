"""Coarse pixels shown to the model larger than they are: exactly, on the same grid of answers, and with a say in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import geomtrs
from geomtrs.errors import QueryError
from geomtrs.models.base import TileSpec
from geomtrs.models.enlarging import enlarged, reduced
from tests.geomtrs.test_cli import geomtrs as command


def coarse(pair: tuple[str, str], gsd_m: float) -> tuple[str, str]:
    """The pair on pixels of another size."""
    for path in pair:
        with rasterio.open(path, "r+") as raster:
            raster.transform = Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_100_000)
    return pair


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_enlarged_pixels_are_those_of_a_bilinear_zoom(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    zoomed = Image.fromarray(pixels).resize((2 * width, 2 * height), Image.Resampling.BILINEAR)
    assert np.abs(enlarged(pixels, 2).astype(int) - np.asarray(zoomed)).max() <= 1


@given(st.sampled_from([1, 2, 4]), st.integers(1, 9), st.integers(1, 9))
def test_what_is_the_same_everywhere_stays_so_there_and_back(times: int, height: int, width: int) -> None:
    tiles = np.full((1, 2, 3, height, width), 77, np.uint8)
    larger = enlarged(tiles, times)
    assert larger.shape == (1, 2, 3, times * height, times * width)
    assert (larger == 77).all()
    back = reduced(larger[0].astype(np.float32) / 255, times)
    assert back.shape == (2, 3, height, width)
    assert back == pytest.approx(77 / 255)


def test_nano_is_shown_pixels_from_4_m_on_twice_as_large(pair: tuple[str, str]) -> None:
    assert geomtrs.plan(*coarse(pair, 3.9)).to_dict()["enlarge"] == 1
    found = geomtrs.plan(*coarse(pair, 10.0)).to_dict()
    assert (found["enlarge"], found["tile_px"], found["halo_px"]) == (2, 256, 8)
    assert "shown 2 times as large" in str(geomtrs.plan(*pair))


def test_plain_pictures_and_other_models_are_shown_as_they_are(pair: tuple[str, str]) -> None:
    coarse(pair, 10.0)
    assert geomtrs.plan(*pair, pixels=True).to_dict()["enlarge"] == 1
    assert geomtrs.plan(*pair, model="differencing").to_dict()["enlarge"] == 1
    assert TileSpec(tile_px=64, halo_px=0, feather_px=0).times(1000.0) == 1
    assert TileSpec(tile_px=64, halo_px=0, feather_px=0, double_m=4.0).times(None) == 1


def test_the_answer_lies_on_the_grid_of_the_images_and_the_record_says_how_it_was_found(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    found = geomtrs.detect(*coarse(pair, 10.0), query="the buildings that appeared", out=tmp_path / "out")
    with rasterio.open(pair[0]) as image, rasterio.open(found.folder / "mask.tif") as mask:
        assert (mask.shape, mask.transform, mask.crs) == (image.shape, image.transform, image.crs)
    record = json.loads((found.folder / "run.json").read_text(encoding="utf-8"))
    assert record["plan"]["enlarge"] == 2
    again = geomtrs.rerun(found.folder / "run.json", out=tmp_path / "again")
    assert (again.folder / "mask.tif").read_bytes() == (found.folder / "mask.tif").read_bytes()


def test_enlarged_images_are_answered_as_the_same_images_on_a_finer_grid(
    pair: tuple[str, str], tmp_path: Path, raster: Callable[..., Path]
) -> None:
    finer = []
    for path in pair:
        with rasterio.open(path) as image:
            finer.append(str(raster(tmp_path / "finer" / Path(path).name, enlarged(image.read(), 2))))
    options = {"query": "the buildings that appeared", "precision": "fp32", "engine": "torch"}
    small = geomtrs.detect(*pair, out=tmp_path / "small", enlarge=2, tile_px=2048, **options)
    large = geomtrs.detect(*finer, out=tmp_path / "large", enlarge=1, tile_px=4096, **options)
    with rasterio.open(small.folder / "probability.tif") as one, rasterio.open(large.folder / "probability.tif") as two:
        there, wanted = one.read(1).astype(float), two.read(1).astype(np.float32)
    assert np.abs(there - reduced(wanted, 2)).max() <= 1.5  # both are stored in steps of 1/250
    assert there.max() > 50


def test_who_wants_it_quick_leaves_it_out_and_other_sizes_are_refused(pair: tuple[str, str]) -> None:
    coarse(pair, 10.0)
    done = command("plan", *pair, "--enlarge", "1", "--json")
    assert json.loads(done.stdout)["enlarge"] == 1
    with pytest.raises(QueryError, match="--enlarge: found 3; wanted 1, 2 or 4"):
        geomtrs.plan(*pair, enlarge=3)
