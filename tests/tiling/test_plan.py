"""The plan: cores partition the grid, windows nest, and nothing but the numbers decides (C4)."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import numpy as np
import pytest
from affine import Affine
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, box, multipolygon
from rasterio.warp import transform_geom
from rasterio.windows import Window

from tiling.errors import GridError
from tiling.ground import lonlat
from tiling.plan import Plan, grow, overlap, plan, within
from tiling.stack import OBSERVED, Stack


def grid(height: int, width: int) -> GeoBox:
    return GeoBox((height, width), Affine(10, 0, 600_003.5, 0, -10, 5_100_007.25), "EPSG:32633")


class Numbers(NamedTuple):
    tile_px: int = 40
    halo_px: int = 4
    feather_px: int = 2
    block_tiles: int = 2
    token: str = ""


@st.composite
def any_numbers(draw: st.DrawFn) -> Numbers:
    halo, feather = draw(st.integers(0, 9)), draw(st.integers(0, 5))
    core = draw(st.integers(max(6, 2 * feather), 40))
    return Numbers(core + 2 * (halo + feather), halo, feather, draw(st.integers(1, 4)))


USUAL = Numbers()


def cut(geobox: GeoBox, n: Numbers = USUAL, aoi: Geometry | None = None) -> Plan:
    tile_px, halo_px, feather_px, block_tiles, token = n
    return plan(
        geobox, tile_px=tile_px, halo_px=halo_px, feather_px=feather_px, block_tiles=block_tiles, token=token, aoi=aoi
    )


sides = st.integers(1, 90)


@given(height=sides, width=sides, n=any_numbers())
def test_every_pixel_belongs_to_one_core_of_a_tile_and_of_a_block(height: int, width: int, n: Numbers) -> None:
    made = cut(grid(height, width), n)
    tiles, blocks = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for block in made.blocks:
        blocks[block.core.toslices()] += 1
        for tile in block.tiles:
            tiles[tile.core.toslices()] += 1
    assert (tiles == 1).all()
    assert (blocks == 1).all()


@given(height=sides, width=sides, n=any_numbers())
def test_core_lies_in_answer_lies_in_read_lies_in_the_block_read(height: int, width: int, n: Numbers) -> None:
    for block in cut(grid(height, width), n).blocks:
        for tile in block.tiles:
            assert overlap(tile.answer, tile.core) == tile.core
            assert overlap(tile.read, tile.answer) == tile.answer
            assert overlap(block.read, tile.read) == tile.read
            assert overlap(block.answer, tile.answer) == tile.answer


@given(height=sides, width=sides, n=any_numbers())
def test_a_tile_reads_no_more_than_its_side_and_the_whole_side_away_from_the_border(
    height: int, width: int, n: Numbers
) -> None:
    made = cut(grid(height, width), n)
    inner = Window(0, 0, width, height)
    for tile in (tile for block in made.blocks for tile in block.tiles):
        unclipped = Window(
            tile.col * made.core_px - made.halo_px - made.feather_px,
            tile.row * made.core_px - made.halo_px - made.feather_px,
            made.tile_px,
            made.tile_px,
        )
        whole_core = tile.core.width == tile.core.height == made.core_px
        if whole_core:
            assert tile.read == overlap(unclipped, inner)


@given(height=sides, width=sides, n=any_numbers())
def test_equal_numbers_give_equal_plans_with_equal_ids_c4(height: int, width: int, n: Numbers) -> None:
    one, other = cut(grid(height, width), n), cut(grid(height, width), n)
    assert one == other
    assert one.id == other.id


@pytest.mark.parametrize(
    "changed",
    [
        USUAL._replace(tile_px=41),
        USUAL._replace(halo_px=3),
        USUAL._replace(feather_px=3),
        USUAL._replace(block_tiles=3),
        USUAL._replace(token="other"),
    ],
)
def test_any_other_number_gives_another_id_c4(changed: Numbers) -> None:
    assert cut(grid(100, 90)).id != cut(grid(100, 90), changed).id


def test_a_crs_spelt_otherwise_gives_no_other_id_c4() -> None:
    frame = grid(100, 90)
    spelt = GeoBox(frame.shape, frame.affine, CRS("EPSG:32633").to_wkt())
    assert spelt == frame
    assert cut(spelt).id == cut(frame).id


def test_the_place_on_the_ground_is_part_of_the_id_c4() -> None:
    assert cut(grid(100, 90)).id != cut(grid(100, 90).translate_pix(1, 0)).id


@given(height=sides, width=sides, n=any_numbers())
def test_a_plan_comes_back_from_json_equal(height: int, width: int, n: Numbers) -> None:
    made = cut(grid(height, width), n._replace(token="t"))
    back = Plan.from_json(made.to_json())
    assert back == made
    assert back.id == made.id


def test_a_plan_with_an_area_of_interest_comes_back_from_json_equal() -> None:
    made = cut(grid(300, 200), aoi=islands())
    assert Plan.from_json(made.to_json()) == made


def test_a_plan_of_a_picture_without_crs_comes_back_from_json_equal() -> None:
    made = cut(GeoBox((50, 70), Affine.identity(), None))
    assert Plan.from_json(made.to_json()) == made


def test_a_plan_survives_pickling() -> None:
    made = cut(grid(300, 200))
    assert made.id
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own bytes


def islands() -> Geometry:
    """A rectangle of one pixel near the upper left and another near the lower right of a 300 × 200 grid."""
    frame = grid(300, 200)
    corners = []
    for row, col in ((5, 5), (290, 190)):
        ground = frame[row : row + 1, col : col + 1].extent.boundingbox
        corners.append(box(*ground.bbox, crs=frame.crs))
    return multipolygon([[list(c.exterior.coords)] for c in corners], crs=frame.crs)


def test_only_tiles_that_touch_the_area_of_interest_are_in_the_plan_c12() -> None:
    made = cut(grid(300, 200), aoi=islands())
    assert [(t.row, t.col) for b in made.blocks for t in b.tiles] == [(0, 0), (10, 6)]
    assert [b.read for b in made.blocks] == [b.tiles[0].read for b in made.blocks]


def test_an_area_of_interest_in_longitude_and_latitude_chooses_the_same_tiles_c12() -> None:
    frame = grid(300, 200)
    lonlat = Geometry(transform_geom("EPSG:32633", "EPSG:4326", islands().json), "EPSG:4326")
    assert cut(frame, aoi=lonlat).blocks == cut(frame, aoi=islands()).blocks


@given(
    lon=st.floats(16.25, 16.4),
    lat=st.floats(46.0, 46.1),
    half=st.floats(-4.5, 2.3).map(lambda power: 10**power),  # in degrees: a pixel to the whole world
    flat=st.floats(0.05, 1),
)
@example(lon=0, lat=0, half=180, flat=0.5)
def test_the_plan_holds_the_tiles_whose_pixels_the_area_touches_be_it_tiny_or_the_world_c12(
    lon: float, lat: float, half: float, flat: float
) -> None:
    frame, doubt = grid(300, 200), 3
    west, east = max(-180, lon - half), min(180, lon + half)
    aoi = box(west, max(-90, lat - half * flat), east, min(90, lat + half * flat), "EPSG:4326")
    touched, around = inside(frame, aoi), inside(frame.pad(doubt), aoi)
    try:
        planned = {(tile.row, tile.col) for block in cut(frame, aoi=aoi).blocks for tile in block.tiles}
    except GridError:
        planned = set()
    for tile in (tile for block in cut(frame).blocks for tile in block.tiles):
        rows, cols = tile.core.toslices()
        if (tile.row, tile.col) in planned:
            assert around[rows.start : rows.stop + 2 * doubt, cols.start : cols.stop + 2 * doubt].any()
        else:
            assert not touched[rows, cols].any()


def inside(frame: GeoBox, aoi: Geometry) -> NDArray[np.bool_]:
    """Which pixels of a grid a stack takes to be in the area of interest."""
    height, width = frame.shape
    return np.asarray(Stack(frame, (), aoi=aoi).read(Window(0, 0, width, height)).coverage == OBSERVED)


@pytest.mark.parametrize("west", [-180, -90, 0, 90])
def test_an_area_in_degrees_lies_on_its_own_side_of_a_pole_in_the_grid_c12(west: int) -> None:
    frame = GeoBox((200, 260), Affine(20_000, 0, -2.6e6, 0, -20_000, 2.0e6), "EPSG:3413")
    lon, lat = lonlat(frame, *np.meshgrid(np.arange(260) + 0.5, np.arange(200) + 0.5))
    wanted = (lon > west) & (lon < west + 90) & (lat > 70) & (lat < 80)
    found = inside(frame, box(west, 70, west + 90, 80, "EPSG:4326"))
    assert wanted.sum() > 5000
    assert found[wanted].mean() > 0.99
    assert found.sum() < 1.1 * wanted.sum()  # what is touched is in it


def test_an_area_that_touches_no_tile_is_refused_c12() -> None:
    frame = grid(300, 200)
    with pytest.raises(GridError, match="AOI: found ground 11"):
        cut(frame, aoi=box(11, 46, 12, 47, "EPSG:4326"))


def test_a_block_outside_the_plan_still_has_its_place() -> None:
    made = cut(grid(300, 200), aoi=islands())
    assert made.block_at(2, 1) is None
    assert made.block_core(2, 1) == Window(56, 112, 56, 56)
    assert made.block_at(0, 0) == made.blocks[0]


@pytest.mark.parametrize(
    "wrong",
    [
        Numbers(tile_px=15),  # 2 · 4 of halo + 4 · 2 of feather = 16
        Numbers(halo_px=-1),
        Numbers(feather_px=-1),
        Numbers(block_tiles=0),
    ],
)
def test_numbers_that_leave_no_core_are_refused(wrong: Numbers) -> None:
    with pytest.raises(GridError, match="wanted"):
        cut(grid(100, 90), wrong)


@given(row=st.integers(0, 40), col=st.integers(0, 40), by=st.integers(0, 30))
def test_a_grown_window_finds_the_old_one_in_its_array(row: int, col: int, by: int) -> None:
    raster = np.arange(60 * 50).reshape(60, 50)
    window = Window(col, row, 7, 5)
    grown = grow(window, by, (60, 50))
    assert (raster[grown.toslices()][within(window, grown)] == raster[window.toslices()]).all()


def test_windows_that_only_share_an_edge_do_not_overlap() -> None:
    assert overlap(Window(0, 0, 4, 4), Window(4, 0, 4, 4)) is None
