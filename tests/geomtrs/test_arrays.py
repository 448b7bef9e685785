"""xarray in, xarray out, lazily: an array is a date as a file is, and what is lazy stays so (A17)."""

# mypy: allow-untyped-calls
# Dask ships types for a part of its functions only.

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import dask.array
import numpy as np
import odc.geo.xr
import pytest
import rasterio
import rioxarray
import xarray
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

import geomtrs
from geomtrs.arrays import ArrayRaster, open_arrays
from geomtrs.errors import JobError, QueryError
from geomtrs.result import ChangeResult
from tests.geomtrs.conftest import HEIGHT, WIDTH, ask, changed, ground

# rioxarray multiplies transforms by `*`, of which affine 3.1 says that it will be deprecated some day.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

NEW = "the roofs that appeared"
Pair = tuple[str, str]


def opened(path: str, **how: object) -> xarray.DataArray:
    array = rioxarray.open_rasterio(path, **how)
    assert isinstance(array, xarray.DataArray)
    return array


@pytest.fixture
def of_files(pair: Pair, tmp_path: Path) -> ChangeResult:
    return ask(*pair, query=NEW, out=tmp_path / "files")


FORMS: dict[str, Callable[[xarray.DataArray], xarray.DataArray | xarray.Dataset]] = {
    "in memory": lambda array: array.load(),
    "of dask": lambda array: array.chunk({"x": 64, "y": 50}),
    "bands last": lambda array: array.transpose("y", "x", "band"),
    "a data set of bands": lambda array: array.to_dataset("band").rename({1: "red", 2: "green", 3: "blue"}),
    "of one time": lambda array: array.expand_dims(time=[np.datetime64("2020-05-01", "ns")]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_array_is_answered_as_its_file_is_a17(form: str, pair: Pair, of_files: ChangeResult, tmp_path: Path) -> None:
    result = ask(*(FORMS[form](opened(path)) for path in pair), query=NEW, out=tmp_path / "arrays")
    assert np.array_equal(result.mask.to_numpy(), of_files.mask.to_numpy())
    assert result.run["grid"] == of_files.run["grid"]
    assert (result.mask.to_numpy() == 1).any()


def test_an_open_dataset_is_answered_as_its_file_is_a17(pair: Pair, of_files: ChangeResult, tmp_path: Path) -> None:
    with rasterio.open(pair[0]) as before, rasterio.open(pair[1]) as after:
        result = ask(before, after, query=NEW, out=tmp_path / "open")
    assert np.array_equal(result.mask.to_numpy(), of_files.mask.to_numpy())


class Counted:
    """A dask array of an image whose chunks count how often they are computed."""

    def __init__(self, pixels: NDArray[np.uint8], chunk: int) -> None:
        self.calls: dict[tuple[int, ...], int] = {}
        lock = threading.Lock()

        def make(block_info: dict[None, dict[str, list[tuple[int, int]]]]) -> NDArray[np.uint8]:
            (_, bands), (top, bottom), (left, right) = ((a, b) for a, b in block_info[None]["array-location"])
            with lock:
                self.calls[top, left] = self.calls.get((top, left), 0) + 1
            return pixels[:bands, top:bottom, left:right]

        sides = [tuple(min(chunk, length - n) for n in range(0, length, chunk)) for length in pixels.shape[1:]]
        self.array = dask.array.map_blocks(
            make, chunks=((3,), *sides), dtype=np.uint8, meta=np.zeros((0, 0, 0), np.uint8)
        )


def labelled(data: dask.array.Array, like: str) -> xarray.DataArray:
    """The array on the ground of a raster, from its upper left corner on."""
    with rasterio.open(like) as raster:
        box = GeoBox(data.shape[1:], raster.transform, raster.crs)
    return xarray.DataArray(data, coords=odc.geo.xr.xr_coords(box), dims=("band", "y", "x"))


def test_a_window_computes_the_chunks_it_touches_and_no_other_a17(pair: Pair) -> None:
    counted = Counted(changed(ground()), 50)
    (name,), rasters = open_arrays([labelled(counted.array, pair[1])])
    pixels = rasters[name].read([1, 3], window=Window(60, 10, 30, 35))
    assert counted.calls == {(0, 50): 1}
    assert np.array_equal(pixels, changed(ground())[[0, 2], 10:45, 60:90])


def test_a_lazy_array_is_computed_chunk_by_chunk_a_few_times_a17(pair: Pair, tmp_path: Path) -> None:
    counted = [Counted(pixels, 50) for pixels in (ground(), changed(ground()))]
    result = ask(*(labelled(one.array, pair[0]) for one in counted), query=NEW, out=tmp_path / "out", register="off")
    assert (result.mask.to_numpy() == 1).any()
    for one in counted:
        assert one.calls.keys() == {(y, x) for y in range(0, HEIGHT, 50) for x in range(0, WIDTH, 50)}
        # For the stretch, for each block whose window touches it, for two pictures.
        assert max(one.calls.values()) <= 1 + 4 + 2


@pytest.mark.slow
def test_a_lazy_array_is_never_held_whole_a17(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    height, width = 2300, 4700
    chunks = (3, 512, 512)
    dates = [dask.array.from_array(np.broadcast_to(np.uint8(n), (3, height, width)), chunks) for n in (90, 240)]
    read, largest = ArrayRaster.read, []

    def watched(
        self: ArrayRaster, bands: int | Sequence[int], *, window: Window, **how: tuple[int, ...]
    ) -> NDArray[np.generic]:
        pixels = read(self, bands, window=window, **how)
        largest.append(pixels.shape[-1] * pixels.shape[-2])
        return pixels

    monkeypatch.setattr(ArrayRaster, "read", watched)
    result = ask(*(labelled(data, pair[0]) for data in dates), query=NEW, out=tmp_path / "out", tile_px=512)
    assert (result.mask.to_numpy() == 1).all()
    assert max(largest) < height * width / 2


def test_an_array_tells_its_date_a17(pair: Pair, tmp_path: Path) -> None:
    before, after = (
        opened(path).assign_coords(time=np.datetime64(day, "ns"))
        for path, day in zip(pair, ("2018-02-03", "2022-07-01"), strict=True)
    )
    assert ask(before, after, query=NEW, out=tmp_path / "out").run["dates"] == ["2018-02-03", "2022-07-01"]


def test_a_file_beside_an_array_keeps_the_date_of_its_name_a17(pair: Pair, tmp_path: Path) -> None:
    after = shutil.copy(pair[1], tmp_path / "after_2022.tif")
    before = opened(pair[0]).assign_coords(time=np.datetime64("2018-02-03", "ns"))
    assert geomtrs.plan(before, after).scene.dates == ("2018-02-03", "2022")


def test_holes_of_an_array_are_nan_and_nodata_a17(pair: Pair, tmp_path: Path) -> None:
    before, after = (opened(path).astype("float32") for path in pair)
    result = ask(before.where(before.x > before.x[30]), after.rio.write_nodata(245), query=NEW, out=tmp_path / "out")
    mask = result.mask.to_numpy()
    assert (mask[:, :30] == 255).all()
    assert (mask[60:90, 80:130] == 255).all()


def test_holes_of_a_data_set_are_the_nodata_of_its_bands_a17(pair: Pair, tmp_path: Path) -> None:
    after = opened(pair[1]).to_dataset("band").rename({1: "red", 2: "green", 3: "blue"})
    for band in after.values():
        band.attrs["nodata"] = 245  # as odc.stac.load tells it
    mask = ask(pair[0], after, query=NEW, out=tmp_path / "out").mask.to_numpy()
    assert (mask[60:90, 80:130] == 255).all()


def test_bands_of_a_data_set_keep_each_its_own_nodata_a17(pair: Pair) -> None:
    bands = opened(pair[0]).to_dataset("band").rename({1: "red", 2: "green", 3: "blue"})
    bands["red"].attrs["nodata"] = 0
    bands["blue"] = bands["blue"].rio.write_nodata(7)
    (bare, told), rasters = open_arrays([opened(pair[0]).to_dataset("band").rename({1: "a", 2: "b", 3: "c"}), bands])
    assert rasters[told].nodatavals == (0, None, 7)
    assert rasters[bare].nodatavals == (None, None, None)


def test_the_same_pixels_with_another_nodata_are_another_array_a17(pair: Pair) -> None:
    plain, holed = (opened(pair[0]).to_dataset("band").rename({1: "r", 2: "g", 3: "b"}) for _ in range(2))
    holed["r"].attrs["nodata"] = 0
    (first, second), _ = open_arrays([plain, holed])
    assert first != second


def test_the_answers_are_lazy_arrays_that_know_their_grid_a17(of_files: ChangeResult, pair: Pair) -> None:
    with rasterio.open(pair[0]) as raster:
        grid = GeoBox(raster.shape, raster.transform, raster.crs)
    for array in (of_files.mask, of_files.probability):
        assert dask.base.is_dask_collection(array)
        assert array.odc.geobox == grid
        assert array.rio.crs.to_epsg() == 32633


def test_arrays_travel_to_worker_processes(pair: Pair, of_files: ChangeResult, tmp_path: Path) -> None:
    arrays = [opened(path, chunks={"x": 64, "y": 64}) for path in pair]
    result = ask(*arrays, query=NEW, out=tmp_path / "out", processes=1)
    assert np.array_equal(result.mask.to_numpy(), of_files.mask.to_numpy())


def test_a_run_that_died_goes_on_with_the_same_array_and_with_no_other(pair: Pair, tmp_path: Path) -> None:
    from tests.geomtrs.test_resume import Dies, started

    arrays = [opened(path) for path in pair]
    with pytest.raises(KeyboardInterrupt):
        ask(*arrays, query=NEW, out=tmp_path / "out", on_event=Dies(2))
    with pytest.raises(JobError, match="same arrays"):
        geomtrs.resume(tmp_path / "out")
    with pytest.raises(JobError, match="images"):
        ask(arrays[0], arrays[1] + 1, query=NEW, out=tmp_path / "out")
    events: list[object] = []
    ask(*arrays, query=NEW, out=tmp_path / "out", on_event=events.append)
    assert started(events).reused >= 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda array: array.drop_vars("spatial_ref"), "write_crs"),
        (lambda array: xarray.concat([array, array], "time"), r"isel\(time=0\)"),
        (lambda array: array.isel(x=[0, 1, 5, 9]), "evenly spaced"),
        (lambda array: xarray.DataArray(array.to_numpy(), dims=("band", "y", "x")), "write_crs"),
    ],
)
def test_an_array_that_is_no_date_is_refused_with_the_remedy_a17(
    spoil: Callable[[xarray.DataArray], xarray.DataArray], words: str, pair: Pair, tmp_path: Path
) -> None:
    with pytest.raises(QueryError, match=words):
        ask(pair[0], spoil(opened(pair[1])), query=NEW, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
