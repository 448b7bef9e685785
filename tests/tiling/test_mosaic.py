"""The mosaic: of a local filter it is the filter of the whole raster, and a file is there whole or not at all."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from tests.tiling.fakes import BoxModel, ConstantModel, answer_all, box_change, grid, noise_source, whole
from tiling.blend import UNOBSERVED, quantise
from tiling.errors import OutputError, StoreError
from tiling.mosaic import Part, RasterSpec, coverage, coverage_windows, probability, windows, write_cog
from tiling.plan import Plan, plan
from tiling.stack import FAILED, OBSERVED, OUTSIDE_AOI
from tiling.vectorize import polygons

MASK = RasterSpec(nodata=255, description="the sentence", colormap={0: (0, 0, 0, 0), 1: (255, 0, 0, 255)})
PROBABILITY = RasterSpec(nodata=255, scale=0.004, resampling="average", tags={"QUERY": "été — 'quoted'"})


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    halo, feather = draw(st.integers(0, 6)), draw(st.integers(0, 5))
    core = draw(st.integers(max(7, 2 * feather), 30))
    return plan(
        grid(draw(st.integers(1, 80)), draw(st.integers(1, 80))),
        tile_px=core + 2 * (halo + feather),
        halo_px=halo,
        feather_px=feather,
        block_tiles=draw(st.integers(1, 4)),
    )


@given(made=plans(), value=st.floats(0, 1, width=32))
@settings(max_examples=25)
def test_a_constant_model_makes_a_constant_mosaic_c1(made: Plan, value: float) -> None:
    with TemporaryDirectory() as folder:
        store = answer_all(made, noise_source(*made.shape), ConstantModel(value), Path(folder))
        assert (whole(store, made) == quantise(np.full(1, value, np.float32))).all()


@given(made=plans(), seed=st.integers(0, 2**32 - 1), holes=st.booleans())
def test_the_mosaic_of_a_local_filter_is_the_filter_of_the_raster_bit_for_bit_c2(
    made: Plan, seed: int, holes: bool
) -> None:
    source = noise_source(*made.shape, seed, holes=holes)
    expected = quantise(box_change(source.pixels, made.halo_px))
    expected[source.coverage != OBSERVED] = UNOBSERVED
    with TemporaryDirectory() as folder:
        store = answer_all(made, source, BoxModel(made.halo_px), Path(folder), seed=seed)
        assert np.array_equal(whole(store, made), expected)


def test_a_filter_wider_than_the_halo_would_be_noticed_c2(tmp_path: Path) -> None:
    source = noise_source(60, 50)
    made = plan(source.geobox, tile_px=24, halo_px=2, feather_px=2, block_tiles=2)
    store = answer_all(made, source, BoxModel(radius=3), tmp_path)
    assert not np.array_equal(whole(store, made), quantise(box_change(source.pixels, 3)))


def test_each_query_has_a_mosaic_of_its_own(tmp_path: Path) -> None:
    source = noise_source(60, 50)
    made = plan(source.geobox, tile_px=24, halo_px=2, feather_px=2, block_tiles=2)
    store = answer_all(made, source, BoxModel(radius=2, queries=2), tmp_path)
    change = box_change(source.pixels, 2)
    assert np.array_equal(whole(store, made, 0), quantise(change))
    assert np.array_equal(whole(store, made, 1), quantise(1 - change))


def test_windows_partition_the_grid_in_row_major_order_and_name_every_tile(tmp_path: Path) -> None:
    source = noise_source(60, 50)
    made = plan(source.geobox, tile_px=24, halo_px=2, feather_px=2, block_tiles=2)
    parts = list(windows(answer_all(made, source, BoxModel(2), tmp_path), made, 0))
    corners = [(part.window.row_off, part.window.col_off) for part in parts]
    assert corners == sorted(corners)
    assert sum(part.window.width * part.window.height for part in parts) == 60 * 50
    assert [tile for part in parts for tile in part.tiles] == [(t.core, 0.75) for b in made.blocks for t in b.tiles]


def test_ground_out_of_the_plan_is_not_observed_and_says_why_c12(tmp_path: Path) -> None:
    source = noise_source(200, 160)
    corner = source.geobox[:3, :3].extent
    made = plan(source.geobox, tile_px=32, halo_px=4, feather_px=2, block_tiles=2, aoi=corner)
    store = answer_all(made, source, BoxModel(4), tmp_path)
    parts = list(windows(store, made, 0))
    kept = made.blocks[0].tiles[0].core
    raster, cover = whole(store, made), np.full(made.shape, 9, np.uint8)
    for window, codes in coverage_windows(store, made):
        cover[window.toslices()] = codes
    inside = np.zeros(made.shape, np.bool_)
    inside[kept.toslices()] = True
    assert len(parts) == 20
    assert (raster[~inside] == UNOBSERVED).all()
    assert np.array_equal(raster[inside], quantise(box_change(source.pixels, 4))[inside])
    assert (cover[~inside] == OUTSIDE_AOI).all()
    assert (cover[inside] == OBSERVED).all()


def test_a_block_that_failed_is_unobserved_and_says_why_and_its_neighbours_keep_their_answer(tmp_path: Path) -> None:
    source = noise_source(60, 60)
    made = plan(source.geobox, tile_px=24, halo_px=2, feather_px=2, block_tiles=2)
    store = answer_all(made, source, BoxModel(2), tmp_path)
    broken = made.blocks[0]
    store.put_failed(broken.id, "the file is truncated")
    expected = quantise(box_change(source.pixels, 2))
    expected[broken.core.toslices()] = UNOBSERVED
    assert np.array_equal(whole(store, made), expected)
    assert (coverage(store, made, broken) == FAILED).all()


def test_a_missing_block_is_an_error_and_never_blank(tmp_path: Path) -> None:
    source = noise_source(60, 60)
    made = plan(source.geobox, tile_px=24, halo_px=2, feather_px=2, block_tiles=2)
    store = answer_all(made, source, BoxModel(2), tmp_path)
    (store.folder / f"{made.blocks[1].id}.block").unlink()
    with pytest.raises(StoreError, match=made.blocks[1].id):
        probability(store, made, made.blocks[0], 0)


def test_a_change_across_four_tile_corners_is_one_polygon_c15(tmp_path: Path) -> None:
    source = noise_source(64, 64)
    source.pixels[:] = 0
    source.pixels[1, :, 20:44, 22:42] = 255  # tiles of 16 px, blocks of 32: the corner of four blocks is at 32, 32
    made = plan(source.geobox, tile_px=24, halo_px=2, feather_px=2, block_tiles=2)
    store = answer_all(made, source, BoxModel(0), tmp_path)
    found = polygons(windows(store, made, 0), made.geobox, threshold=125)
    assert len(found.area_px) == 1
    assert int(found.area_px[0]) == 24 * 20


def blocks_of(raster: NDArray[np.generic], side: int) -> list[Part]:
    height, width = raster.shape
    return [
        (window, raster[window.toslices()])
        for row in range(0, height, side)
        for col in range(0, width, side)
        for window in [Window(col, row, min(side, width - col), min(side, height - row))]
    ]


def striped_mask(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    squares = rng.integers(0, 2, (-(-height // 40), -(-width // 40)), dtype=np.uint8)
    mask: NDArray[np.uint8] = np.kron(squares, np.ones((40, 40), np.uint8))[:height, :width]
    mask[: height // 5] = 255
    return mask


@pytest.mark.parametrize("spec", [MASK, PROBABILITY], ids=["mask", "probability"])
def test_a_written_raster_is_a_valid_cog_d1(tmp_path: Path, spec: RasterSpec) -> None:
    path = tmp_path / "an answer's été.tif"
    write_cog(path, grid(1300, 900), blocks_of(striped_mask(1300, 900), 300), spec=spec)
    valid, errors, warned = cog_validate(str(path), strict=True)
    assert valid, (errors, warned)


def test_a_mask_holds_its_three_values_and_so_do_its_overviews_d2(tmp_path: Path) -> None:
    path, mask = tmp_path / "mask.tif", striped_mask(1300, 900)
    write_cog(path, grid(1300, 900), blocks_of(mask, 300), spec=MASK)
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(1), mask)
        assert dataset.nodata == 255
        levels = len(dataset.overviews(1))
    assert levels > 0
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as overview:
            assert set(np.unique(overview.read(1))) <= {0, 1, 255}


def test_a_raster_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    write_cog(path, grid(70, 50), blocks_of(striped_mask(70, 50), 32), spec=PROBABILITY)
    with rasterio.open(path) as dataset:
        assert dataset.crs == rasterio.CRS.from_epsg(32633)
        assert dataset.transform == grid(70, 50).affine
        assert (dataset.scales, dataset.offsets) == ((0.004,), (0.0,))
        assert dataset.tags()["QUERY"] == "été — 'quoted'"
        assert dataset.compression.name == "deflate"
    write_cog(path, grid(70, 50), blocks_of(striped_mask(70, 50), 32), spec=MASK)
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("the sentence",)
        assert dataset.colormap(1)[1] == (255, 0, 0, 255)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (3, 5)])
def test_the_smallest_rasters_are_written_a12(tmp_path: Path, shape: tuple[int, int]) -> None:
    raster = striped_mask(*shape)
    write_cog(tmp_path / "m.tif", grid(*shape), blocks_of(raster, 64), spec=MASK)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert np.array_equal(dataset.read(1), raster)


@pytest.mark.parametrize(
    "transform", [Affine.rotation(30) @ Affine.scale(2, -2), Affine.scale(2, 2), Affine.identity()], ids=str
)
def test_rotated_south_up_and_plain_grids_keep_their_transform_a13(tmp_path: Path, transform: Affine) -> None:
    crs = None if transform == Affine.identity() else "EPSG:32633"
    geobox, raster = GeoBox((40, 30), transform, crs), striped_mask(40, 30)
    write_cog(tmp_path / "m.tif", geobox, blocks_of(raster, 16), spec=MASK)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.transform.almost_equals(transform, precision=1e-9)
        assert np.array_equal(dataset.read(1), raster)


def test_the_same_parts_make_the_same_bytes_in_any_order_c9(tmp_path: Path) -> None:
    parts = blocks_of(striped_mask(700, 900), 256)
    for name, given_parts in (("a.tif", parts), ("b.tif", parts[::-1])):
        write_cog(tmp_path / name, grid(700, 900), given_parts, spec=MASK)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_parts_that_leave_ground_out_are_refused_and_nothing_appears_e2(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="partition"):
        write_cog(tmp_path / "m.tif", grid(64, 64), blocks_of(striped_mask(64, 64), 32)[1:], spec=MASK)
    assert not list(tmp_path.iterdir())


def test_parts_that_break_off_leave_the_old_file_alone_e2(tmp_path: Path) -> None:
    path, parts = tmp_path / "m.tif", blocks_of(striped_mask(64, 64), 32)
    write_cog(path, grid(64, 64), parts, spec=MASK)
    before = path.read_bytes()

    def broken() -> Iterator[Part]:
        yield parts[0]
        raise StoreError("r000c001", found="damage", wanted="a block", remedy="resume")

    with pytest.raises(StoreError):
        write_cog(path, grid(64, 64), broken(), spec=MASK)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("limit", [20_000, 300_000])
def test_a_full_disk_is_an_error_with_path_and_bytes_and_leaves_nothing_e2(tmp_path: Path, limit: int) -> None:
    noise = np.random.default_rng(0).integers(0, 250, (600, 700), dtype=np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OutputError, match=r"p\.tif.*2,097,152 bytes"):
            write_cog(tmp_path / "p.tif", grid(600, 700), blocks_of(noise, 128), spec=PROBABILITY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_an_error_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"only 1,000 bytes free.*524,288 bytes"):
        write_cog(tmp_path / "m.tif", grid(64, 64), iter(()), spec=MASK)


def test_a_target_below_a_regular_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"m\.tif.*remedy"):
        write_cog(tmp_path / "file" / "m.tif", grid(64, 64), blocks_of(striped_mask(64, 64), 32), spec=MASK)


_KILLED_WRITER = """
import os, signal, sys
import numpy as np
from pathlib import Path
from odc.geo.geobox import GeoBox
from affine import Affine
from rasterio.windows import Window
from tiling.mosaic import RasterSpec, write_cog
def parts():
    for row in range(0, 2048, 512):
        yield Window(0, row, 2048, 512), np.ones((512, 2048), np.uint8)
    if sys.argv[2] == "parts":
        os.kill(os.getpid(), signal.SIGKILL)
real = os.fsync
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
write_cog(Path(sys.argv[1]), GeoBox((2048, 2048), Affine(1, 0, 5, 0, -1, 5), "EPSG:32633"), parts(), spec=RasterSpec())
"""


@pytest.mark.parametrize("moment", ["parts", "fsync"])
def test_a_killed_writer_leaves_nothing_under_the_name_and_the_next_one_clears_up_e2(
    tmp_path: Path, moment: str
) -> None:
    path = tmp_path / "mask.tif"
    ended = subprocess.run([sys.executable, "-c", _KILLED_WRITER, os.fspath(path), moment], check=False)
    assert ended.returncode == -9
    assert not path.exists()
    write_cog(path, grid(64, 64), blocks_of(striped_mask(64, 64), 32), spec=MASK)
    assert list(tmp_path.iterdir()) == [path]
