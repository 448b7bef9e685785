"""The picture shows the right thing at the right place, in every shape of scene."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image, ImageDraw
from rasterio.windows import Window

from geomtrs.outputs.furniture import ground_of, hatch, round_length, scale_bar
from geomtrs.outputs.lettering import draw_words, font_of, wrap, writable
from geomtrs.outputs.look import Look, SceneReader, largest_of, mean_of, reduce_pieces, smaller
from geomtrs.outputs.preview import Caption, draw_preview, largest_at, overlay, place_text, write_preview
from geomtrs.outputs.raster import write_answer
from geomtrs.outputs.style import ANSWER_COLOUR
from geomtrs.outputs.tones import MIDDLE, Tones
from tests.geomtrs.answered import GEOBOX, THRESHOLD, drawn_look, drawn_stack, known_answer, stored
from tiling.errors import OutputError


def utm(shape: tuple[int, int], affine: Affine | None = None) -> GeoBox:
    return GeoBox(shape, affine or Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")


def flat(shape: tuple[int, int], probability: NDArray[np.uint8], geobox: GeoBox | None = None) -> Look:
    grey = np.full((*shape, 3), 120, np.uint8)
    return Look(grey, grey, probability, geobox or utm(shape))


def answer_pixels(picture: Image.Image) -> NDArray[np.bool_]:
    """Where the picture has the pure colour of the answer's outline."""
    pure: NDArray[np.bool_] = (np.asarray(picture) == np.array(ANSWER_COLOUR, np.uint8)).all(axis=-1)
    return pure


def test_d11_the_outline_lies_around_the_change_in_the_third_panel() -> None:
    probability = np.zeros((200, 200), np.uint8)
    probability[20:120, 60:160] = 200
    outlined = answer_pixels(draw_preview(flat((200, 200), probability), Caption("s"), threshold=THRESHOLD))
    rows, cols = np.nonzero(outlined[:-70])  # without the legend below
    panel, left, top = 508, 1600 - 24 - 508 - 2, 98  # third of three panels, below a title of one line
    wanted = (left + 0.3 * panel, left + 0.8 * panel, top + 0.1 * panel, top + 0.6 * panel)
    assert np.abs(np.array([cols.min(), cols.max(), rows.min(), rows.max()]) - wanted).max() < 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (300, 40), (40, 300), (150, 200), (200, 200)])
def test_a_scene_of_any_shape_is_a_picture_of_1600_px(shape: tuple[int, int]) -> None:
    """A12"""
    picture = draw_preview(drawn_look(utm(shape), np.full(shape, 200, np.uint8)), Caption("s"), threshold=THRESHOLD)
    assert picture.width == 1600
    assert 150 < picture.height < 1700


def test_wide_scenes_are_shown_below_each_other() -> None:
    probability = np.zeros((50, 600), np.uint8)
    probability[10:40, 500:] = 250
    outlined = answer_pixels(draw_preview(flat((50, 600), probability), Caption("s"), threshold=THRESHOLD))
    rows, _ = np.nonzero(outlined[:-70])
    assert rows.min() > 300


def test_the_same_input_gives_the_same_picture(tmp_path: Path) -> None:
    """C9"""
    for name in ("a.png", "b.png"):
        write_preview(tmp_path / name, drawn_look(), Caption("s", "2019"), threshold=THRESHOLD)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(("value", "words"), [(0, "nothing found"), (255, "nothing observed")])
def test_an_empty_answer_is_said_in_words(value: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """B3"""
    said: list[str] = []
    monkeypatch.setattr("geomtrs.outputs.preview._say", lambda panel, text: said.append(text))
    draw_preview(flat((90, 90), np.full((90, 90), value, np.uint8)), Caption("s"), threshold=THRESHOLD)
    assert said == [words]


def test_unobserved_ground_is_hatched_and_the_rest_is_not() -> None:
    picture = np.full((30, 40, 3), 90, np.uint8)
    where = np.zeros((30, 40), bool)
    where[:, :20] = True
    hatched = hatch(picture, where)
    assert (hatched[:, 20:] == 90).all()
    assert len(np.unique(hatched[:, :20])) == 2


def test_what_changed_keeps_its_own_look_below_the_tint() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    changed = np.zeros((40, 40), bool)
    changed[10:30, 10:30] = True
    shown = overlay(picture, changed)
    inside = np.corrcoef(picture[10:30, 10:30].ravel(), shown[10:30, 10:30].ravel())[0, 1]
    assert inside > 0.8


def test_a_small_change_gets_a_closer_look() -> None:
    small, large = np.zeros((400, 400), np.uint8), np.zeros((400, 400), np.uint8)
    small[200:206, 100:108] = 200
    large[50:350, 50:350] = 200
    with_zoom = draw_preview(flat((400, 400), small), Caption("s"), threshold=THRESHOLD)
    without = draw_preview(flat((400, 400), large), Caption("s"), threshold=THRESHOLD)
    assert with_zoom.height > without.height + 300


def test_the_closer_look_is_around_the_largest_change() -> None:
    probability = np.zeros((400, 400), np.uint8)
    probability[30:32, 30:32] = 250
    probability[300:312, 200:212] = 150
    asked: list[Window] = []

    def closer(window: Window) -> Look:
        asked.append(window)
        return flat((400, 400), probability).part(window)

    draw_preview(flat((400, 400), probability), Caption("s"), threshold=THRESHOLD, closer=closer)
    rows, cols = asked[0].toslices()
    assert rows.start < 300
    assert cols.start < 200
    assert rows.stop > 312
    assert cols.stop > 212


def test_a_change_in_the_corner_is_looked_at_within_the_scene() -> None:
    probability = np.zeros((400, 500), np.uint8)
    probability[397:, 497:] = 250
    asked: list[Window] = []

    def closer(window: Window) -> Look:
        asked.append(window)
        return flat((400, 500), probability).part(window)

    draw_preview(flat((400, 500), probability), Caption("s"), threshold=THRESHOLD, closer=closer)
    assert asked[0].row_off + asked[0].height <= 400
    assert asked[0].col_off + asked[0].width <= 500


def test_a_plain_picture_has_neither_scale_nor_place() -> None:
    plain = GeoBox((90, 120), Affine.identity(), None)
    assert place_text(plain) == ""
    assert ground_of(plain).north is None
    assert draw_preview(drawn_look(plain), Caption("s"), threshold=THRESHOLD).width == 1600


@pytest.mark.parametrize(
    ("affine", "wanted"),
    [
        (Affine(10, 0, 500_000, 0, -10, 5_000_000), 90),
        (Affine(10, 0, 500_000, 0, 10, 5_000_000), -90),
        (Affine(0, 10, 500_000, 10, 0, 5_000_000), 0),
        (Affine(8.66, 5, 500_000, 5, -8.66, 5_000_000), 60),
    ],
    ids=["north-up", "south-up", "transposed", "rotated"],
)
def test_a13_the_arrow_points_north(affine: Affine, wanted: float) -> None:
    """Degrees counter-clockwise from the right, on the central meridian of the zone."""
    north = ground_of(utm((3, 5), affine)).north
    assert north is not None
    assert math.degrees(math.atan2(-north[1], north[0])) == pytest.approx(wanted, abs=0.1)


def test_grid_north_is_not_true_north_at_the_edge_of_a_zone() -> None:
    north = ground_of(GeoBox((400, 400), Affine(30, 0, 203_000, 0, -30, 3_604_000), "EPSG:32651")).north
    assert north is not None
    assert math.degrees(math.atan2(north[0], -north[1])) == pytest.approx(1.66, abs=0.1)


def test_pixels_of_degrees_are_narrow_in_the_north() -> None:
    """A6"""
    ground = ground_of(GeoBox((100, 100), Affine(0.001, 0, 10, 0, -0.001, 60.05), "EPSG:4326"))
    assert ground.pixel_aspect == pytest.approx(0.5, abs=0.01)


@given(most=st.floats(0.01, 1e7))
def test_scale_bars_are_round_and_as_long_as_fits(most: float) -> None:
    length = round_length(most)
    assert most / 2.5 < length <= most * (1 + 1e-6)
    assert f"{length:e}"[0] in "125"


@pytest.mark.parametrize(("metres", "text"), [(0.6, "100 m"), (30, "5 km"), (0.004, "1 m"), (0.0005, "10 cm")])
def test_a_scale_bar_says_its_length(metres: float, text: str) -> None:
    pixels, found = scale_bar(metres, 320)
    assert found == text
    assert pixels <= 320


@given(words=st.text(st.sampled_from("abcdefgh ÄÖé漢"), min_size=1, max_size=300))
def test_lines_fit_and_are_at_most_two(words: str) -> None:
    font = font_of(30)
    lines = wrap(words, font, 400, most=2)
    assert len(lines) <= 2
    assert all(font.getlength(line) <= 400 for line in lines)


def test_a_sentence_that_does_not_fit_ends_in_an_ellipsis() -> None:
    assert wrap("the new roads " * 30, font_of(30), 600, most=2)[-1].endswith("…")


def test_b5_letters_that_the_font_lacks_are_written_plainly() -> None:
    assert writable("über Straße, Łódź: é 漢", font_of(20)).startswith("uber Strasse, Lodz: e ")
    assert writable("lakes ≥ 0.5 ha, ponds ≤ 20 m²", font_of(20)) == "lakes >= 0.5 ha, ponds <= 20 m2"


def test_a_dull_picture_is_brightened_and_a_bright_one_left_alone() -> None:
    rng = np.random.default_rng(0)
    dull, bright = rng.integers(20, 60, (50, 50, 3), dtype=np.uint8), rng.integers(0, 255, (50, 50, 3), dtype=np.uint8)
    valid = np.ones((50, 50), bool)
    assert np.ptp(Tones.of(dull, valid).apply(dull).astype(int)) > 2 * np.ptp(dull.astype(int))
    assert Tones.of(bright, valid).apply(bright) is bright


def test_tones_are_spread_between_the_percentiles_of_what_was_observed() -> None:
    random = np.random.default_rng(3)
    picture = (random.gamma(2, (8, 12, 20), (61, 53, 3))).clip(0, 120).astype(np.uint8)
    valid = random.random((61, 53)) > 0.2
    low, high = np.percentile(picture[valid], (1, 99), axis=0)
    gain = np.clip(235 / (high - low), 1, 3)
    middle = np.median(np.clip((picture[valid] - low) * gain + 10, 0, 255)) / 255
    tones = Tones.of(picture, valid)
    assert tones.low == pytest.approx(low)
    assert tones.gain == pytest.approx(gain)
    assert tones.gamma == pytest.approx(np.clip(math.log(MIDDLE) / math.log(middle), 0.6, 1))


def test_a_closer_look_has_the_tones_of_the_whole() -> None:
    dull = np.random.default_rng(0).integers(20, 60, (50, 50, 3), dtype=np.uint8)
    tones = Tones.of(dull, np.ones((50, 50), bool))
    assert np.array_equal(tones.apply(dull[10:20]), tones.apply(dull)[10:20])


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 60),
    cols=st.integers(1, 60),
    seed=st.integers(0, 9),
)
def test_no_changed_pixel_is_lost_at_any_size(height: int, width: int, rows: int, cols: int, seed: int) -> None:
    flags = np.zeros((height, width), bool)
    flags[seed % height, seed % width] = True
    assert largest_at(flags, (rows, cols)).any()


@given(height=st.integers(1, 70), width=st.integers(1, 70), factor=st.integers(1, 9), piece=st.integers(1, 40))
def test_pieces_read_one_by_one_give_the_same_as_all_at_once(height: int, width: int, factor: int, piece: int) -> None:
    values = np.random.default_rng(height).integers(0, 256, (2, height, width), dtype=np.uint8)

    def read(window: Window) -> NDArray[np.uint8]:
        rows, cols = window.toslices()
        return values[:, rows, cols]

    whole = Window(0, 0, width, height)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geomtrs.outputs.look.PIECE_PX", piece)
        pieces = [reduce_pieces(read, whole, factor, kind) for kind in (mean_of, largest_of)]
    for kind, found in zip((mean_of, largest_of), pieces, strict=True):
        assert found.shape == (2, math.ceil(height / factor), math.ceil(width / factor))
        assert np.array_equal(found, reduce_pieces(read, whole, factor, kind))


def test_one_changed_pixel_of_a_large_scene_survives_and_unobserved_does_not_hide_it() -> None:
    cells = np.full((1, 1, 8, 1, 8), 255, np.uint8)
    assert largest_of(cells).item() == 255
    cells[0, 0, 3, 0, 3] = 7
    assert largest_of(cells).item() == 7


def test_the_grid_made_smaller_keeps_its_corner() -> None:
    grid = smaller(GEOBOX, 7)
    assert tuple(grid.shape) == (14, 20)
    assert (grid.affine.c, grid.affine.f, grid.affine.a) == (GEOBOX.affine.c, GEOBOX.affine.f, 70.0)


def test_a_scene_is_looked_at_whole_and_closer(tmp_path: Path) -> None:
    store, work = stored(tmp_path / "blocks", known_answer())
    probability = write_answer(tmp_path, store=store, plan=work, query=0, sentence="s", threshold=THRESHOLD).probability
    reader = SceneReader(drawn_stack(), probability, max_px=50)
    whole, closer = reader.whole(), reader.closer(Window(10, 5, 12, 9))
    assert tuple(whole.geobox.shape) == (32, 47)
    rows, cols = slice(15, 42), slice(30, 66)  # 3 pixels of the scene are one of the whole
    assert np.array_equal(closer.probability, known_answer().probability[rows, cols])
    assert np.array_equal(closer.before, np.moveaxis(drawn_stack().pixels[0, :, rows, cols], 0, -1))


def test_c8_pieces_not_the_scene_are_read(tmp_path: Path) -> None:
    """Memory: no window that is asked of the stack is larger than a piece."""
    shape = (2500, 5000)
    geobox, sizes = utm(shape), []

    def read(window: Window) -> SimpleNamespace:
        sizes.append((window.height, window.width))
        return SimpleNamespace(pixels=np.zeros((2, 3, window.height, window.width), np.uint8))

    stack = SimpleNamespace(geobox=geobox, read=read)
    probability = tmp_path / "probability.tif"
    write_empty(probability, shape)
    look = SceneReader(stack, probability).whole()
    assert tuple(look.geobox.shape) == (500, 1000)
    assert max(max(size) for size in sizes) <= 2048


def write_empty(path: Path, shape: tuple[int, int]) -> None:
    import rasterio

    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": shape[0], "width": shape[1], "tiled": True}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=utm(shape).affine, sparse_ok=True, **profile):
        pass


def test_arrays_that_do_not_lie_on_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="the grid is"):
        flat((20, 30), np.zeros((20, 30), np.uint8), utm((30, 20)))


def test_e2_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"preview\.png"):
        write_preview(tmp_path / "file" / "preview.png", drawn_look(), Caption("s"), threshold=THRESHOLD)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_2_of_a_square_metre_is_raised() -> None:
    page = Image.new("L", (200, 60), 255)
    draw_words(ImageDraw.Draw(page), (0, 0), "m2", 40, 0)
    ink = np.asarray(page) < 128
    split = int(font_of(40).getlength("m"))
    letter, digit = (np.flatnonzero(part.any(axis=1)) for part in (ink[:, :split], ink[:, split:]))
    assert digit.max() < letter.max() - 5
