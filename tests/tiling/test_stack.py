"""Dates on one grid: the right place, the right bands, holes that are holes, the same pixel from any window."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, box, multipolygon
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from tests.tiling.rasters import ORIGIN, UTM, Pixels, WriteRaster, regrid, texture, write_below
from tiling.errors import GridError, SourceError
from tiling.source import OpenFiles
from tiling.stack import (
    CLOUD,
    HOLE_AT_DATE,
    OBSERVED,
    OUTSIDE_AOI,
    Stack,
    StackOptions,
    StackTile,
    open_stack,
)

WHOLE = Window(0, 0, 96, 64)
GRID = GeoBox((64, 96), ORIGIN, UTM)
QUIET = StackOptions(registration="off")


def whole(stack: Stack) -> StackTile:
    """The stack read in one window."""
    rows, columns = stack.geobox.shape
    return stack.read(Window(0, 0, columns, rows))


def warped_to(geobox: GeoBox, pixels: Pixels) -> Pixels:
    """The ground of GRID as GDAL shows it on another grid (bilinear, exact); 0 outside."""
    result = np.zeros((len(pixels), *geobox.shape), np.uint8)
    rasterio.warp.reproject(
        pixels,
        result,
        src_transform=ORIGIN,
        src_crs=UTM,
        dst_transform=geobox.affine,
        dst_crs=str(geobox.crs),
        resampling=Resampling.bilinear,
        tolerance=0,
    )
    return result


def test_dates_on_one_grid_are_read_as_they_lie_in_their_files(write_raster: WriteRaster) -> None:
    """A1: grid of the first date, uint8 untouched."""
    first, second = texture(64, 96, 1), texture(64, 96, 2)
    stack = open_stack([[write_raster("a.tif", first)], [write_raster("b.tif", second)]])
    tile = whole(stack)
    assert stack.geobox == GRID
    assert [layer.alignment.kind for layer in stack.layers] == ["equal", "equal"]
    assert np.array_equal(tile.pixels, np.stack([first, second]))
    assert (tile.coverage == OBSERVED).all()


def test_a_date_shifted_by_whole_pixels_is_cut_out_exactly(write_raster: WriteRaster) -> None:
    ground = texture(80, 110)
    moved = Affine(10, 0, ORIGIN.c + 70, 0, -10, ORIGIN.f - 50)
    paths = [write_raster("a.tif", ground), write_raster("b.tif", ground[:, 5:, 7:], transform=moved)]
    tile = whole(stack := open_stack([[path] for path in paths], QUIET))
    assert stack.layers[1].alignment.kind == "shifted"
    assert stack.layers[1].alignment.offset_px == (7.0, 5.0)
    assert np.array_equal(tile.pixels[0], tile.pixels[1])


def test_a_date_a_fifth_of_a_pixel_aside_is_resampled_onto_the_first_grid(write_raster: WriteRaster) -> None:
    """A2: one row more, 0.2 px aside; content lands where bilinear interpolation puts it."""
    ramp = np.tile(np.arange(96, dtype=np.uint8) * 2, (3, 65, 1))
    aside = Affine(10, 0, ORIGIN.c + 2, 0, -10, ORIGIN.f + 2)
    paths = [write_raster("a.tif", ramp[:, :64]), write_raster("b.tif", ramp, transform=aside)]
    stack = open_stack([[path] for path in paths], QUIET)
    assert stack.geobox == GRID
    assert stack.layers[1].alignment.kind == "warped"
    expected = np.rint(np.arange(1, 95) * 2 - 0.4)  # column c of the first lies 0.2 px left of column c of the second
    assert (whole(stack).pixels[1][:, 5:60, 1:95] == expected).all()


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3857"])
def test_a_date_in_another_crs_lands_where_gdal_puts_it(write_raster: WriteRaster, crs: str) -> None:
    """A3: UTM, geographic, Web Mercator."""
    ground = texture(64, 96)
    other = regrid(GRID, crs)
    path = write_raster("b.tif", texture(64, 96, 9), transform=other.affine, crs=crs)
    stack = open_stack([[write_raster("a.tif", ground)], [path]], QUIET)
    tile = whole(stack)
    with rasterio.open(path) as dataset:
        expected = np.zeros((3, 64, 96), np.float32)
        rasterio.warp.reproject(
            dataset.read().astype(np.float32),
            expected,
            src_transform=other.affine,
            src_crs=crs,
            dst_transform=ORIGIN,
            dst_crs=UTM,
            resampling=Resampling.bilinear,
            tolerance=0,
        )
    inner = np.s_[:, 3:-3, 3:-3]
    assert np.abs(tile.pixels[1][inner].astype(float) - expected[inner]).max() <= 1


@given(left=st.integers(0, 95), top=st.integers(0, 63), width=st.integers(1, 96), height=st.integers(1, 64))
def test_a_pixel_does_not_depend_on_the_window_it_is_read_in(
    three_dates: Stack, left: int, top: int, width: int, height: int
) -> None:
    """C2: what makes the mosaic of a local filter equal to the filter of the whole raster."""
    rows, columns = three_dates.geobox.shape
    window = Window(left, top, min(width, columns - left), min(height, rows - top))
    part, everything = three_dates.read(window), whole(three_dates)
    cut = window.toslices()
    assert np.array_equal(part.coverage, everything.coverage[cut])
    looked_at = part.coverage == OBSERVED
    assert np.array_equal(part.pixels[:, :, looked_at], everything.pixels[:, :, *cut][:, :, looked_at])


@pytest.fixture(scope="module")
def three_dates(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack of three awkward dates: holes, another CRS, and pixels a third as large, half a pixel aside."""
    folder = tmp_path_factory.mktemp("three")
    ground = texture(64, 96)
    holed = ground.copy()
    holed[:, 10:20, 30:50] = 0
    lonlat = regrid(GRID, "EPSG:4326")
    fine = Affine(10 / 3, 0, ORIGIN.c - 5, 0, -10 / 3, ORIGIN.f + 5)
    dates = [
        write_below(folder, "a.tif", holed, nodata=0),
        write_below(folder, "b.tif", warped_to(lonlat, ground), transform=lonlat.affine, crs="EPSG:4326", nodata=0),
        write_below(folder, "c.tif", texture(195, 294, 3).astype(np.uint16) * 40, transform=fine),
    ]
    stack = open_stack([[path] for path in dates], QUIET)
    assert stack.geobox.shape == (64, 96)
    return stack


def test_sixteen_bits_are_stretched_once_for_the_whole_date(write_raster: WriteRaster) -> None:
    """A4: uint16, four bands, nodata 0: percentiles of the scene's valid pixels, whatever window is read."""
    ground = np.concatenate([texture(64, 96), texture(64, 96, 8)[:1]]).astype(np.uint16) * 100
    ground[:, :8, :8] = 0
    stack = open_stack([[write_raster("a.tif", ground, nodata=0)]])
    layer, tile = stack.layers[0], whole(stack)
    valid = ground[:3, (ground != 0).any(axis=0)]
    assert layer.bands == (1, 2, 3)
    assert layer.stretch.low == pytest.approx(np.percentile(valid, 2, axis=1))
    assert layer.stretch.high == pytest.approx(np.percentile(valid, 98, axis=1))
    assert (tile.coverage[:8, :8] == HOLE_AT_DATE).all()
    assert (tile.coverage == HOLE_AT_DATE).sum() == 64
    assert np.array_equal(stack.read(Window(60, 20, 9, 9)).pixels, tile.pixels[:, :, 20:29, 60:69])


def test_one_band_that_is_nodata_is_real_ground(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A hole is nodata in all used bands: water is 0 in one."""
    scene_pixels[0, 10:20, 10:20] = 0
    tile = whole(open_stack([[write_raster("a.tif", scene_pixels, nodata=0)]]))
    assert (tile.coverage == OBSERVED).all()


def test_floats_are_holes_where_any_band_is_nan(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A5: float32 reflectance with NaN in one band, infinity in another."""
    ground = scene_pixels.astype(np.float32) / 2000
    ground[1, 5, 6] = np.nan
    ground[2, 7, 8] = np.inf
    stack = open_stack([[write_raster("a.tif", ground)]])
    tile = whole(stack)
    assert np.argwhere(tile.coverage == HOLE_AT_DATE).tolist() == [[5, 6], [7, 8]]
    assert tile.pixels[0, :, 20:].std() > 30


@pytest.mark.parametrize("nodata", [-9999.0, float("nan"), -3.4028234663852886e38])
def test_a_floats_nodata_value_is_compared_in_its_own_type(write_raster: WriteRaster, nodata: float) -> None:
    ground = texture(64, 96).astype(np.float32)
    ground[:, 3, 4] = nodata
    tile = whole(open_stack([[write_raster("a.tif", ground, nodata=nodata)]]))
    assert np.argwhere(tile.coverage != OBSERVED).tolist() == [[3, 4]]


def test_a_nodata_value_can_be_told(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A black collar of a raster that declares none."""
    scene_pixels[:, :, :5] = 0
    path = write_raster("a.tif", scene_pixels)
    assert (whole(open_stack([[path]])).coverage == OBSERVED).all()
    told = whole(open_stack([[path]], StackOptions(nodata=0)))
    assert (told.coverage[:, :5] == HOLE_AT_DATE).all()


def test_the_internal_mask_makes_holes(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    mask = np.ones((64, 96), bool)
    mask[30:, 90:] = False
    tile = whole(open_stack([[write_raster("a.tif", scene_pixels, mask=mask)]]))
    assert np.array_equal(tile.coverage == OBSERVED, mask)


def test_an_alpha_band_of_0_and_255_makes_holes(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    stack = open_stack([[rgba(write_raster, scene_pixels, half_transparent())]])
    assert np.array_equal(whole(stack).coverage == OBSERVED, half_transparent() == 255)
    assert stack.notes == ()


def test_near_infrared_that_is_tagged_alpha_is_data_and_said_so(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    stack = open_stack([[rgba(write_raster, scene_pixels, scene_pixels[0])]])
    assert (whole(stack).coverage == OBSERVED).all()
    assert any("band 4 is tagged alpha" in note for note in stack.notes)


@pytest.mark.parametrize(("rule", "holes"), [("yes", 1), ("no", 0)])
def test_what_is_told_of_alpha_decides(
    write_raster: WriteRaster, scene_pixels: Pixels, rule: Literal["yes", "no"], holes: int
) -> None:
    infrared = scene_pixels[0].copy()
    infrared[2, 3] = 0
    path = rgba(write_raster, scene_pixels, infrared)
    options = StackOptions(alpha=rule)
    assert (whole(open_stack([[path]], options)).coverage == HOLE_AT_DATE).sum() == holes


def rgba(write_raster: WriteRaster, colours: Pixels, alpha: Pixels) -> str:
    """A raster of red, green, blue and a band tagged alpha."""
    tags = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    return write_raster("rgba.tif", np.concatenate([colours, alpha[None]]), colours=tags)


def half_transparent() -> Pixels:
    """An alpha band, 255 but for a corner."""
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:20, :30] = 0
    return alpha


def test_holes_hold_the_median_colour_at_all_dates(write_raster: WriteRaster) -> None:
    """A hole shows no edge that another date does not show too."""
    first, second = texture(64, 96, 1), texture(64, 96, 2)
    second[:, 40:, 50:] = 0
    stack = open_stack([[write_raster("a.tif", first)], [write_raster("b.tif", second, nodata=0)]])
    tile = whole(stack)
    assert (tile.coverage[40:, 50:] == HOLE_AT_DATE + 1).all()
    for date in (0, 1):
        hole = tile.pixels[date][:, 40:, 50:].reshape(3, -1)
        assert (hole == np.array(stack.layers[date].fill)[:, None]).all()
    assert np.abs(np.array(stack.layers[0].fill) - np.median(first, axis=(1, 2))).max() <= 1


def test_the_first_date_with_a_hole_is_the_one_that_is_told(write_raster: WriteRaster) -> None:
    first, second = texture(64, 96, 1), texture(64, 96, 2)
    first[:, :10], second[:, :20] = 0, 0
    stack = open_stack([[write_raster(f"{i}.tif", p, nodata=0)] for i, p in enumerate((first, second))], QUIET)
    coverage = whole(stack).coverage
    assert (coverage[:10] == HOLE_AT_DATE).all()
    assert (coverage[10:20] == HOLE_AT_DATE + 1).all()


def test_a_hole_keeps_its_place_and_size_when_warped(write_raster: WriteRaster) -> None:
    """Holes neither grow nor bleed: values beside them stay in the range of the ground."""
    ground = np.full((3, 64, 96), 200, np.uint8)
    ground[:, 20:30, 40:60] = 0
    aside = Affine(10, 0, ORIGIN.c + 3, 0, -10, ORIGIN.f + 3)
    stack = open_stack(
        [[write_raster("a.tif", texture(64, 96))], [write_raster("b.tif", ground, nodata=0, transform=aside)]], QUIET
    )
    tile = whole(stack)
    assert (tile.coverage == HOLE_AT_DATE + 1).sum() == pytest.approx(200, abs=95)  # and a rim outside the date
    assert (tile.coverage[20:30, 40:60] == HOLE_AT_DATE + 1).all()
    assert set(np.unique(tile.pixels[1])) == {200}


def test_a_date_without_a_single_observed_pixel_is_all_holes_and_said_so(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    """A14: no error, a warning."""
    empty = write_raster("empty.tif", np.zeros((3, 64, 96), np.uint8), nodata=0)
    stack = open_stack([[write_raster("a.tif", scene_pixels)], [empty]])
    assert (whole(stack).coverage == HOLE_AT_DATE + 1).all()
    assert any("empty.tif: nothing was observed" in note for note in stack.notes)


def test_reading_stops_when_nothing_is_left_to_observe(
    write_raster: WriteRaster, scene_pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C5: a later date is not read under a hole of an earlier one."""
    holed = scene_pixels.copy()
    holed[:, :32] = 0
    paths = [write_raster("a.tif", holed, nodata=0), write_raster("b.tif", scene_pixels)]
    stack = open_stack([[path] for path in paths], QUIET)
    asked: list[str] = []
    reading = OpenFiles.reading

    def noted(self: OpenFiles, path: str, read: Callable[[DatasetReader], object]) -> object:
        asked.append(path)
        return reading(self, path, read)

    monkeypatch.setattr(OpenFiles, "reading", noted)
    stack.read(Window(0, 0, 96, 32))
    assert set(asked) == {paths[0]}


def test_band_names_numbers_and_one_band_repeated_choose_the_bands(write_raster: WriteRaster) -> None:
    ground = np.stack([np.full((64, 96), value, np.uint8) for value in (10, 20, 30, 40)])
    path = write_raster("a.tif", ground, descriptions=("blue", "green", "red", "nir"), photometric="MINISBLACK")

    def shown(bands: tuple[int | str, ...] | None) -> list[int]:
        pixels = open_stack([[path]], StackOptions(bands=bands)).read(Window(0, 0, 1, 1)).pixels
        return [int(value) for value in pixels[0, :, 0, 0]]

    assert shown(None) == [30, 20, 10]
    assert shown(("nir", "red", "green")) == [40, 30, 20]
    assert shown((1, "4", "green")) == [10, 40, 20]
    assert shown((4,)) == [40, 40, 40]


def test_a_single_band_is_repeated(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    tile = whole(open_stack([[write_raster("a.tif", scene_pixels[:1])]]))
    assert np.array_equal(tile.pixels[0], np.repeat(scene_pixels[:1], 3, axis=0))


def test_a_band_that_is_not_there_is_refused_with_those_that_are(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    path = write_raster("a.tif", scene_pixels, descriptions=("red", "green", "blue"))
    with pytest.raises(SourceError, match=r"a\.tif: found 3 bands \(red, green, blue\); wanted band swir"):
        open_stack([[path]], StackOptions(bands=("swir",)))


def test_different_band_counts_use_the_common_colours_and_say_so(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    """A10."""
    tags = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
    four = np.concatenate([scene_pixels[::-1], scene_pixels[:1]])
    paths = [
        write_raster("rgb.tif", scene_pixels),
        write_raster("bgrn.tif", four, colours=tags, photometric="MINISBLACK"),
    ]
    stack = open_stack([[path] for path in paths])
    tile = whole(stack)
    assert np.array_equal(tile.pixels[0], tile.pixels[1])
    assert any("have 3, 4 bands: red, green, blue are used" in note for note in stack.notes)


def test_grey_beside_colours_needs_bands_to_be_told(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A10: an error only where no common colours are and --bands does not resolve it."""
    dates = [[write_raster("rgb.tif", scene_pixels)], [write_raster("grey.tif", scene_pixels[:1])]]
    with pytest.raises(SourceError, match=r"grey\.tif: found 1 band; .*--bands 1"):
        open_stack(dates)
    tile = whole(open_stack(dates, StackOptions(bands=(1,))))
    assert np.array_equal(tile.pixels[0], tile.pixels[1])


def test_a_palette_is_expanded_to_its_colours(write_raster: WriteRaster) -> None:
    """A11."""
    index = np.indices((64, 96)).sum(axis=0).astype(np.uint8)[None] % 3
    path = write_raster("palette.tif", index)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255), 1: (0, 255, 0, 255), 2: (0, 0, 255, 255)})
    pixels = whole(open_stack([[path]])).pixels[0]
    assert np.array_equal(pixels.argmax(axis=0), index[0])
    assert set(np.unique(pixels)) == {0, 255}


def test_one_bit_becomes_black_and_white(write_raster: WriteRaster) -> None:
    """A11."""
    bits = (np.indices((64, 96)).sum(axis=0) % 2).astype(np.uint8)[None]
    pixels = whole(open_stack([[write_raster("bits.tif", bits, nbits=1)]])).pixels[0]
    assert np.array_equal(pixels[0], bits[0] * 255)


def test_complex_samples_are_refused(write_raster: WriteRaster) -> None:
    """A11."""
    with pytest.raises(SourceError, match=r"sar\.tif: found complex samples"):
        open_stack([[write_raster("sar.tif", np.ones((1, 4, 5), np.complex64))]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (5, 3)])
@pytest.mark.parametrize("aside", [0.0, 3.0])
def test_rasters_smaller_than_a_tile_are_read(write_raster: WriteRaster, shape: tuple[int, int], aside: float) -> None:
    """A12: also one pixel, one row, one column; also warped."""
    ground = np.arange(3 * shape[0] * shape[1], dtype=np.uint8).reshape(3, *shape)
    moved = Affine(10, 0, ORIGIN.c + aside, 0, -10, ORIGIN.f - aside)
    stack = open_stack([[write_raster("a.tif", ground)], [write_raster("b.tif", ground, transform=moved)]])
    tile = whole(stack)
    assert stack.geobox.shape == shape
    assert np.array_equal(tile.pixels[0], ground)
    assert (tile.coverage == OBSERVED).all()
    assert stack.layers[1].shift_px is None


def test_a_south_up_raster_is_the_same_ground_upside_down(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A13."""
    south_up = Affine(10, 0, ORIGIN.c, 0, 10, ORIGIN.f - 640)
    path = write_raster("b.tif", scene_pixels[:, ::-1], transform=south_up)
    tile = whole(open_stack([[write_raster("a.tif", scene_pixels)], [path]], QUIET))
    assert np.array_equal(tile.pixels[0], tile.pixels[1])


def test_a_south_up_first_date_keeps_its_own_grid(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A13: and the other date is turned onto it."""
    south_up = Affine(10, 0, ORIGIN.c, 0, 10, ORIGIN.f - 640)
    first = write_raster("a.tif", scene_pixels[:, ::-1], transform=south_up)
    stack = open_stack([[first], [write_raster("b.tif", scene_pixels)]], QUIET)
    tile = whole(stack)
    assert list(stack.geobox.affine) == list(south_up)
    assert np.array_equal(tile.pixels[0], tile.pixels[1])


def test_a_quarter_turn_is_the_same_ground_turned(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A13: rows run east, columns south."""
    turned = Affine(0, 10, ORIGIN.c, -10, 0, ORIGIN.f)
    path = write_raster("b.tif", scene_pixels.transpose(0, 2, 1), transform=turned)
    tile = whole(open_stack([[write_raster("a.tif", scene_pixels)], [path]], QUIET))
    assert np.array_equal(tile.pixels[0], tile.pixels[1])


def test_a_rotated_raster_lands_in_its_place(write_raster: WriteRaster) -> None:
    """A13: a bright cross at a known place, seen through a grid turned by 30 degrees."""
    cosine, sine = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turned = Affine(10 * cosine, 10 * sine, ORIGIN.c - 100, 10 * sine, -10 * cosine, ORIGIN.f - 300)
    ground = np.full((3, 130, 130), 50, np.uint8)
    ground[:, 60:63, 70:73] = 250  # centre of the square at column 71.5, row 61.5
    path = write_raster("b.tif", ground, transform=turned)
    stack = open_stack([[write_raster("a.tif", texture(64, 96))], [path]], QUIET)
    bright = np.argwhere(whole(stack).pixels[1, 0] > 200)
    x, y = turned.a * 71.5 + turned.b * 61.5 + turned.c, turned.d * 71.5 + turned.e * 61.5 + turned.f
    affine = stack.geobox.affine
    place = ((affine.f - y) / 10 - 0.5, (x - affine.c) / 10 - 0.5)
    assert bright.mean(axis=0) == pytest.approx(place, abs=0.3)


@pytest.mark.parametrize("name", ["with space.tif", "Zürich ä.tif", "l'été.tif", "日本/東京 (1).tif", "a#b&c.tif"])
def test_any_path_is_opened(write_raster: WriteRaster, scene_pixels: Pixels, name: str) -> None:
    """A15."""
    tile = whole(open_stack([[write_raster(name, scene_pixels)]]))
    assert np.array_equal(tile.pixels[0], scene_pixels)


def test_dates_without_common_ground_are_refused_by_name(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A8."""
    far = write_raster("far.tif", scene_pixels, transform=Affine(10, 0, 700_000, 0, -10, 5_000_000))
    with pytest.raises(GridError, match=r"far\.tif: found ground .*a\.tif"):
        open_stack([[write_raster("a.tif", scene_pixels)], [far]])


def test_a_date_without_crs_proceeds_with_an_assumed_one(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A9."""
    dates = [[write_raster("a.tif", scene_pixels)], [write_raster("bare.tif", scene_pixels, crs=None)]]
    with pytest.raises(SourceError, match=r"bare\.tif: found no CRS"):
        open_stack(dates)
    stack = open_stack(dates, StackOptions(assume_crs=UTM))
    assert stack.layers[1].alignment.kind == "equal"


def test_a_truncated_file_names_itself_and_the_window(write_raster: WriteRaster) -> None:
    """A16: damage that is met while reading."""
    path = Path(write_raster("cut.tif", texture(256, 256)))
    stack = open_stack([[str(path)]], QUIET)
    stack.close()
    path.write_bytes(path.read_bytes()[:90_000])
    with pytest.raises(SourceError, match=r"cut\.tif: found data that cannot be read at columns 0\+256, rows 200\+56"):
        stack.read(Window(0, 200, 256, 56))


def test_tiles_of_a_mosaic_are_one_date(write_raster: WriteRaster) -> None:
    """The first file that observed a pixel gives it; ground between tiles is a hole of that date."""
    ground = texture(64, 96)
    east = Affine(10, 0, ORIGIN.c + 500, 0, -10, ORIGIN.f)
    mosaic = [write_raster("w.tif", ground[:, :, :40]), write_raster("e.tif", ground[:, :, 50:], transform=east)]
    stack = open_stack([[write_raster("a.tif", ground)], mosaic], QUIET)
    tile = whole(stack)
    assert stack.layers[1].files == tuple(mosaic)
    assert (tile.coverage[:, 40:50] == HOLE_AT_DATE + 1).all()
    observed = tile.coverage == OBSERVED
    assert observed.sum() == 64 * 86
    assert np.array_equal(tile.pixels[1][:, observed], ground[:, observed])


def test_a_mosaic_as_first_date_gives_its_union_as_grid(write_raster: WriteRaster) -> None:
    ground = texture(64, 96)
    east = Affine(10, 0, ORIGIN.c + 480, 0, -10, ORIGIN.f)
    mosaic = [write_raster("w.tif", ground[:, :, :48]), write_raster("e.tif", ground[:, :, 48:], transform=east)]
    stack = open_stack([mosaic, [write_raster("a.tif", ground)]], QUIET)
    tile = whole(stack)
    assert stack.geobox == GRID
    assert np.array_equal(tile.pixels[0], tile.pixels[1])


def test_one_band_a_file_is_one_date(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """Files in the order given are red, green, blue; a hole is nodata in all of them."""
    scene_pixels[0, 4, 4] = 0
    scene_pixels[:, 5, 5] = 0
    files = [write_raster(f"band{i}.tif", plane[None], nodata=0) for i, plane in enumerate(scene_pixels)]
    stack = open_stack([files])
    tile = whole(stack)
    assert np.argwhere(tile.coverage != OBSERVED).tolist() == [[5, 5]]
    assert np.array_equal(tile.pixels[0][:, 10:], scene_pixels[:, 10:])


@pytest.mark.parametrize("order", ["rgb", "grb", "bgr"])
@pytest.mark.parametrize("kind", ["alpha", "mask"])
def test_what_one_band_file_says_of_its_holes_is_read_from_it_alone(
    write_raster: WriteRaster, scene_pixels: Pixels, kind: str, order: str
) -> None:
    """Red alone carries transparency; wherever it is named, its holes are those of the date."""
    there = np.ones((64, 96), bool)
    there[7, 9] = False
    files = {name: write_raster(f"{name}.tif", plane[None]) for name, plane in zip("rgb", scene_pixels, strict=True)}
    if kind == "alpha":
        planes = np.stack([scene_pixels[0], np.where(there, 255, 0).astype(np.uint8)])
        files["r"] = write_raster("r.tif", planes, alpha="yes")
    else:
        files["r"] = write_raster("r.tif", scene_pixels[:1], mask=there)
    tile = whole(open_stack([[files[name] for name in order]]))
    shown = np.stack([scene_pixels["rgb".index(name)] for name in order])
    assert np.argwhere(tile.coverage != OBSERVED).tolist() == [[7, 9]]
    assert np.array_equal(tile.pixels[0][:, there], shown[:, there])


def test_a_mask_beside_one_band_file_makes_no_holes_of_the_zeros_of_others(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    scene_pixels[1, 4, 4] = 0
    files = [write_raster("r.tif", scene_pixels[:1], mask=np.ones((64, 96), bool))]
    files += [write_raster(f"{i}.tif", scene_pixels[i : i + 1], nodata=0) for i in (1, 2)]
    assert (whole(open_stack([files])).coverage == OBSERVED).all()


def test_four_bits_beside_eight_are_brightened_alone(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    files = [write_raster("r.tif", scene_pixels[:1] >> 4, nbits=4)]
    files += [write_raster(f"{i}.tif", scene_pixels[i : i + 1]) for i in (1, 2)]
    tile = whole(open_stack([files]))
    assert np.array_equal(tile.pixels[0], np.stack([(scene_pixels[0] >> 4) * 17, *scene_pixels[1:]]))


def test_more_band_files_are_sorted_out_by_their_names(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    names = [
        "LC08_034032_sr_band5.tif",
        "LC08_034032_sr_band2.tif",
        "LC08_034032_sr_band4.tif",
        "LC08_034032_sr_band3.tif",
    ]
    planes = [scene_pixels[0], scene_pixels[2], scene_pixels[0], scene_pixels[1]]
    files = [write_raster(name, plane[None]) for name, plane in zip(names, planes, strict=True)]
    stack = open_stack([files])
    assert stack.layers[0].bands == (3, 4, 2)
    assert np.array_equal(whole(stack).pixels[0], scene_pixels)


def test_band_files_of_different_pixel_size_lie_on_the_first_ones_grid(write_raster: WriteRaster) -> None:
    """Sentinel-2 comes as 10 m and 20 m bands."""
    fine, coarse = np.full((1, 64, 96), 90, np.uint8), np.full((1, 32, 48), 30, np.uint8)
    twice = Affine(20, 0, ORIGIN.c, 0, -20, ORIGIN.f)
    files = [write_raster("r.tif", fine), write_raster("g.tif", fine), write_raster("n.tif", coarse, transform=twice)]
    tile = whole(open_stack([files]))
    assert tile.pixels[0, :, 30, 40].tolist() == [90, 90, 30]
    assert (tile.coverage == OBSERVED).all()


def test_a_finer_date_is_averaged_not_picked_from(write_raster: WriteRaster) -> None:
    """Pixels a fourth as large: each pixel of the grid is the mean of sixteen."""
    rng = np.random.default_rng(1)
    fine = rng.integers(0, 256, (3, 256, 384)).astype(np.uint8)
    quarter = Affine(2.5, 0, ORIGIN.c, 0, -2.5, ORIGIN.f)
    stack = open_stack(
        [[write_raster("a.tif", texture(64, 96))], [write_raster("b.tif", fine, transform=quarter)]], QUIET
    )
    means = fine.reshape(3, 64, 4, 96, 4).mean(axis=(2, 4))
    assert np.abs(whole(stack).pixels[1] - means).max() <= 0.51


def test_a_cloud_mask_is_left_out_and_told(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A21: a raster, non-zero under clouds, on a grid of its own; and the stretch does not see the cloud."""
    cloudy = scene_pixels.astype(np.uint16)
    cloudy[:, 20:40, 30:60] = 60_000
    mask = np.zeros((1, 32, 48), np.uint8)
    mask[0, 10:20, 15:30] = 1
    coarse = Affine(20, 0, ORIGIN.c, 0, -20, ORIGIN.f)
    clouds = write_raster("clouds.tif", mask, transform=coarse)
    dates = [[write_raster("a.tif", cloudy)], [write_raster("b.tif", scene_pixels)]]
    stack = open_stack(dates, StackOptions(cloud_masks=(clouds, None)))
    coverage = whole(stack).coverage
    assert (coverage[20:40, 30:60] == CLOUD).all()
    assert (coverage == CLOUD).sum() == 600
    assert max(stack.layers[0].stretch.high) < 256


def test_bits_of_a_quality_band_are_clouds(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A21: Landsat's pixel_qa tells cloud in bit 5, shadow in bit 3; as a band of the same file."""
    quality = np.full((64, 96), 322, np.int16)
    quality[:5], quality[5:9] = 352, 328
    path = write_raster("a.tif", np.concatenate([scene_pixels.astype(np.int16), quality[None]]))
    stack = open_stack([[path]], StackOptions(cloud_masks=(f"{path}:4&0x28",)))
    coverage = whole(stack).coverage
    assert (coverage[:9] == CLOUD).all()
    assert (coverage[9:] == OBSERVED).all()


SCL = np.full((1, 64, 96), 4, np.uint8)  # vegetation
SCL[0, :5], SCL[0, 5:9], SCL[0, 60:], SCL[0, 9, :8] = 9, 3, 6, 0


def test_values_of_a_classification_are_clouds_and_its_other_classes_are_ground_a21(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    path, scl = write_raster("a.tif", scene_pixels), write_raster("scl.tif", SCL, nodata=0)
    stack = open_stack([[path]], StackOptions(cloud_masks=(f"{scl}=3,8,9,10",)))
    assert ((whole(stack).coverage == CLOUD) == np.isin(SCL[0], (3, 9))).all()
    assert Stack.from_dict(json.loads(json.dumps(stack.to_dict()))).layers == stack.layers


@pytest.mark.parametrize("nodata", [None, 0])
def test_a_classification_given_whole_is_refused_with_the_values_to_name_a21(
    write_raster: WriteRaster, scene_pixels: Pixels, nodata: int | None
) -> None:
    path, scl = write_raster("a.tif", scene_pixels), write_raster("scl.tif", SCL, nodata=nodata)
    with pytest.raises(SourceError, match=r"scl\.tif: found the values .* SCL; .*--cloud-mask scl\.tif=3,8,9,10"):
        open_stack([[path]], StackOptions(cloud_masks=(scl,)))


def test_a_quality_band_given_whole_is_refused_with_its_bits_to_name_a21(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    quality = np.full((1, 64, 96), 21824, np.uint16)
    quality[0, :5] = 22280
    path, qa = write_raster("a.tif", scene_pixels), write_raster("qa.tif", quality)
    told = "bits as those of Landsat’s QA_PIXEL"
    with pytest.raises(SourceError, match=rf"qa\.tif: found the values 21824, 22280, {told}; .*qa\.tif&0x18"):
        open_stack([[path]], StackOptions(cloud_masks=(qa,)))


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ((0, 4, 8), "the values 4, 8, classes as those of Sentinel-2’s SCL"),  # nothing but plants and clouds
        ((4,), "the value 4, classes as those of Sentinel-2’s SCL"),
        ((0, 8, 9, 11), "the values 8, 9, 11, classes as those of Sentinel-2’s SCL"),
        ((0, 1, 4), "the values 1, 4, classes as those of Sentinel-2’s SCL"),  # or Fmask's, where 1 is water
        ((0, 21824, 22280), "the values 21824, 22280, bits as those of Landsat’s QA_PIXEL"),
        ((322,), "the value 322, and nowhere 0"),
        ((322, 352), "the values 322, 352, none of them 0"),
    ],
)
def test_a_window_that_holds_few_classes_is_refused_as_the_whole_would_be_a21(
    write_raster: WriteRaster, scene_pixels: Pixels, levels: tuple[int, ...], told: str
) -> None:
    mask = np.resize(np.array(levels, np.uint16), (1, 64, 96))
    path, clouds = write_raster("a.tif", scene_pixels), write_raster("clouds.tif", mask, nodata=0)
    with pytest.raises(SourceError, match=rf"clouds\.tif: found {told};"):
        open_stack([[path]], StackOptions(cloud_masks=(clouds,)))


@pytest.mark.parametrize(
    "levels",
    [
        (0, 1), (0, 1, 2, 3, 4), (0, 1, 2, 3), (0, 255), (0, 1, 255), (1,), (255,), (0, 3, 80, 100), (0, 8, 9),
        (0, 1024, 2048), tuple(range(0, 60_000, 64)),
    ],
)  # fmt: skip
def test_a_mask_that_is_clear_somewhere_or_cloud_alone_is_taken_a21(
    write_raster: WriteRaster, scene_pixels: Pixels, levels: tuple[int, ...]
) -> None:
    mask = np.resize(np.array(levels, np.uint16), (1, 64, 96))
    path, clouds = write_raster("a.tif", scene_pixels), write_raster("clouds.tif", mask, nodata=0)
    stack = open_stack([[path]], StackOptions(cloud_masks=(clouds,)))
    assert ((whole(stack).coverage == CLOUD) == (mask[0] != 0)).all()


@pytest.mark.parametrize("levels", [(0, 2, 6), (1, 2), (60, 100), tuple(range(9))])
def test_a_mask_that_looks_like_classes_and_is_not_is_taken_by_the_bits_that_its_refusal_names_a21(
    write_raster: WriteRaster, scene_pixels: Pixels, levels: tuple[int, ...]
) -> None:
    mask = np.resize(np.array(levels, np.uint8), (1, 64, 96))
    path, clouds = write_raster("a.tif", scene_pixels), write_raster("udm.tif", mask)
    with pytest.raises(SourceError, match=r"'udm\.tif&0xff' where all but 0 is cloud"):
        open_stack([[path]], StackOptions(cloud_masks=(clouds,)))
    stack = open_stack([[path]], StackOptions(cloud_masks=(f"{clouds}&0xff",)))
    assert ((whole(stack).coverage == CLOUD) == (mask[0] != 0)).all()


def test_a_mask_of_nothing_but_clouds_is_named_where_nothing_is_left_a21(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    path, clouds = write_raster("a.tif", scene_pixels), write_raster("clouds.tif", np.ones((1, 64, 96), np.uint8))
    stack = open_stack([[path]], StackOptions(cloud_masks=(clouds,)))
    assert stack.notes == (
        f"{path}: nothing was observed on the ground the dates share, or the cloud mask {clouds} covers it all",
    )


def test_no_bit_of_a_coarser_quality_band_gets_lost_a21(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """Those of MODIS are 32 bits of 500 m: float32 holds 24 of them."""
    quality = np.full((1, 32, 48), 1 << 30, np.uint32)
    quality[0, :10] |= 1
    coarse = Affine(20, 0, ORIGIN.c, 0, -20, ORIGIN.f)
    clouds = write_raster("quality.tif", quality, transform=coarse)
    stack = open_stack([[write_raster("a.tif", scene_pixels)]], StackOptions(cloud_masks=(f"{clouds}&1",)))
    assert (whole(stack).coverage[:20] == CLOUD).all()
    assert (whole(stack).coverage[20:] == OBSERVED).all()


def test_a_cloud_mask_of_another_place_is_refused_a21(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    far = Affine(10, 0, ORIGIN.c + 100_000, 0, -10, ORIGIN.f)
    clouds = write_raster("clouds.tif", np.eye(64, 96, dtype=np.uint8)[None], transform=far)
    with pytest.raises(GridError, match=r"clouds\.tif: found a cloud mask of 16\..* lon .*; wanted .*\(15\.0"):
        open_stack([[write_raster("a.tif", scene_pixels)]], StackOptions(cloud_masks=(clouds,)))


@pytest.mark.parametrize(("columns", "told"), [(96, None), (48, "50%"), (95, None)])
def test_ground_beyond_a_cloud_mask_is_clear_and_said_so_a21(
    write_raster: WriteRaster, scene_pixels: Pixels, columns: int, told: str | None
) -> None:
    mask = np.zeros((1, 64, columns), np.uint8)
    mask[:, :20] = 1
    path, clouds = write_raster("a.tif", scene_pixels), write_raster("clouds.tif", mask)
    stack = open_stack([[path]], StackOptions(cloud_masks=(clouds,)))
    assert (whole(stack).coverage == CLOUD).sum() == 20 * columns
    assert [note for note in stack.notes if "clouds.tif" in note] == (
        [f"{clouds}: the cloud mask covers {told} of the ground, the rest counts as clear"] if told else []
    )


def test_a_cloud_mask_for_each_date_or_none(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    path = write_raster("a.tif", scene_pixels)
    with pytest.raises(SourceError, match="found 1 masks; wanted one for each of 2 dates"):
        open_stack([[path], [path]], StackOptions(cloud_masks=(path,)))


def test_only_pixels_the_aoi_touches_count(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """C12: two far islands; the ground between is outside, and still shown to a model as context."""
    x, y = ORIGIN.c, ORIGIN.f
    islands = [
        [[(x + 11, y - 11), (x + 49, y - 11), (x + 49, y - 49), (x + 11, y - 49)]],
        [[(x + 911, y - 611), (x + 949, y - 611), (x + 949, y - 629), (x + 911, y - 629)]],
    ]
    stack = open_stack([[write_raster("a.tif", scene_pixels)]], aoi=multipolygon(islands, UTM))
    tile = whole(stack)
    assert stack.geobox.shape == (62, 94)
    assert (stack.geobox.affine.c, stack.geobox.affine.f) == pytest.approx((x + 10, y - 10))
    assert (tile.coverage == OBSERVED).sum() == 16 + 8
    assert (tile.coverage[:4, :4] == OBSERVED).all()
    assert (tile.coverage == OUTSIDE_AOI).sum() == 62 * 94 - 24
    assert np.array_equal(tile.pixels[0], scene_pixels[:, 1:63, 1:95])


def test_the_stretch_does_not_depend_on_the_aoi(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    path = write_raster("a.tif", scene_pixels.astype(np.uint16) * 9)
    aoi = box(ORIGIN.c + 100, ORIGIN.f - 200, ORIGIN.c + 300, ORIGIN.f - 100, UTM)
    assert open_stack([[path]], aoi=aoi).layers[0].stretch == open_stack([[path]]).layers[0].stretch


def test_plain_pictures_lie_pixel_on_pixel(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    paths = [
        write_raster(f"{i}.png", scene_pixels, driver="PNG", crs=None, transform=Affine.identity()) for i in (1, 2)
    ]
    stack = open_stack([[path] for path in paths], StackOptions(pixels=True))
    assert stack.geobox.crs is None
    assert np.array_equal(whole(stack).pixels[1], scene_pixels)


def test_plain_pictures_of_two_sizes_are_named_and_dates_on_the_ground_are_not(
    write_raster: WriteRaster, scene_pixels: Pixels
) -> None:
    paths = [[write_raster("a.tif", scene_pixels)], [write_raster("b.tif", scene_pixels[:, :-40, :-20])]]
    (note,) = open_stack(paths, StackOptions(pixels=True, registration="off")).notes
    rows, columns = scene_pixels.shape[1:]
    assert f"b.tif: {columns - 20} × {rows - 40} pixels where {paths[0][0]} has {columns} × {rows}" in note
    assert not open_stack(paths, StackOptions(registration="off")).notes


def test_content_shifted_by_three_pixels_is_taken_back_on_request(write_raster: WriteRaster) -> None:
    """A20: warned of by default, corrected by translation, sub-pixel, and recorded."""
    ground = texture(340, 420)
    dates = [[write_raster("a.tif", ground[:, 10:310, 10:390])], [write_raster("b.tif", ground[:, 8:308, 7:387])]]
    warned = open_stack(dates)
    assert any("shifted by 3.6 px (+3.0 right, +2.0 down" in note for note in warned.notes)
    assert warned.layers[1].applied_shift_px == (0.0, 0.0)
    mended = open_stack(dates, StackOptions(registration="translation"))
    assert mended.layers[1].applied_shift_px == pytest.approx((3, 2), abs=0.05)
    tile = whole(mended)
    both = tile.coverage == OBSERVED
    assert both.mean() > 0.95
    difference = np.abs(tile.pixels[0].astype(int) - tile.pixels[1])[:, both]
    assert difference.mean() < 1.5


def test_a_shift_beyond_the_allowed_one_is_refused_with_the_option(write_raster: WriteRaster) -> None:
    """A20: 40 px, --max-shift named."""
    ground = texture(360, 460)
    dates = [[write_raster("a.tif", ground[:, 50:350, 50:450])], [write_raster("b.tif", ground[:, 50:350, 10:410])]]
    with pytest.raises(GridError, match=r"b\.tif: found content shifted by 40\.0 px .*--max-shift 41"):
        open_stack(dates, StackOptions(registration="translation"))
    wider = StackOptions(registration="translation", max_shift_px=50)
    assert open_stack(dates, wider).layers[1].applied_shift_px == pytest.approx((40, 0), abs=0.1)


def test_a_stack_survives_json_and_pickle(three_dates: Stack, write_raster: WriteRaster) -> None:
    clouds = write_raster("clouds.tif", np.zeros((1, 64, 96), np.uint8), nodata=float("nan"), dtype="float32")
    path = write_raster("a.tif", texture(64, 96))
    aoi = Geometry(box(ORIGIN.c, ORIGIN.f - 300, ORIGIN.c + 333.3, ORIGIN.f, UTM).geom, UTM)
    clouded = open_stack([[path], [path]], StackOptions(cloud_masks=(None, f"{clouds}&8")), aoi)
    for stack in (three_dates, clouded):
        assert Stack.from_dict(json.loads(json.dumps(stack.to_dict(), allow_nan=False))).to_dict() == stack.to_dict()
        travelled = pickle.loads(pickle.dumps(stack))  # noqa: S301 (our own bytes)
        assert travelled == stack
        assert np.array_equal(whole(travelled).pixels, whole(stack).pixels)


def test_threads_read_side_by_side(three_dates: Stack) -> None:
    """Each opens its own datasets, so no handle is shared."""
    expected = whole(three_dates).pixels
    ready = threading.Barrier(4)

    def read(_: int) -> Pixels:
        ready.wait()
        return whole(three_dates).pixels

    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(pixels, expected) for pixels in pool.map(read, range(4)))


def test_a_window_outside_the_grid_is_a_programming_error(three_dates: Stack) -> None:
    with pytest.raises(ValueError, match="not inside the grid"):
        three_dates.read(Window(90, 0, 10, 10))


@pytest.mark.parametrize("dates", [[], [[]]])
def test_no_date_and_no_file_are_refused(dates: list[list[str]]) -> None:
    with pytest.raises(SourceError, match="wanted at least one"):
        open_stack(dates)
