"""Words about the scene in the whole job: equal to a filter made by hand, and the mask follows (B8)."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

import geomtrs
from geomtrs.errors import QueryError
from geomtrs.outputs.raster import may_lack_place
from geomtrs.outputs.verify import verify
from geomtrs.query import Query
from tests.geomtrs.conftest import ask, read, write

HEIGHT, WIDTH = 200, 260
# Sizes in pixels of 2 m: 6 x 6 = 144 m², 20 x 30 = 2400 m², 12 x 12 = 576 m², 40 x 10 = 1600 m².
SQUARES = ((10, 20, 6, 6), (60, 100, 20, 30), (150, 30, 12, 12), (140, 200, 40, 10))


def place(folder: Path, crs: str | None = "EPSG:32633", transform: Affine | None = None) -> tuple[str, str]:
    """Two dates; on the second four bright things, over tiles of 64 px and their corners."""
    folder.mkdir(parents=True, exist_ok=True)
    quiet = np.random.default_rng(0).integers(90, 104, (3, HEIGHT, WIDTH), dtype=np.uint8)
    after = quiet.copy()
    for top, left, height, width in SQUARES:
        after[:, top : top + height, left : left + width] = 245
    paths = []
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": HEIGHT, "width": WIDTH, "crs": crs}
    for name, pixels in (("2019", quiet), ("2023", after)):
        path = folder / f"{name}.tif"
        where = transform or Affine(2.0, 0.0, 500_003.5, 0.0, -2.0, 5_100_007.25)
        with may_lack_place(), rasterio.open(path, "w", transform=where if crs else None, **profile) as raster:
            raster.write(pixels)
        paths.append(str(path))
    return paths[0], paths[1]


@pytest.fixture(scope="module")
def all_of_it(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[str, str], geopandas.GeoDataFrame]:
    folder = tmp_path_factory.mktemp("all")
    images = place(folder)
    found = ask(*images, query="the things that appeared", out=folder / "out").polygons
    assert len(found) == 4
    return images, found


MIDDLE = 500_003.5 + WIDTH, 5_100_007.25 - HEIGHT  # of pixels of 2 m; no thing lies across it in these cases
CASES = [
    ("the largest thing that appeared", lambda f: f.nlargest(1, "area_m2")),
    ("the two smallest things that appeared", lambda f: f.nsmallest(2, "area_m2")),
    ("the things that appeared over 500 m²", lambda f: f[f.area_m2 > 500]),
    ("the things that appeared under 0.1 ha", lambda f: f[f.area_m2 < 1000]),
    ("the things that appeared over a quarter of an acre", lambda f: f[f.area_m2 > 1011.7]),
    ("the things that appeared over 10,000 sq ft", lambda f: f[f.area_m2 > 929.03]),
    ("the things that appeared in the northern half", lambda f: f[f.representative_point().y > 5_100_007.25 - HEIGHT]),
    ("the things that appeared in the lower right", lambda f: f.cx[MIDDLE[0] :, : MIDDLE[1]]),
    (
        "the largest thing that appeared in the south-west",
        lambda f: f.cx[: MIDDLE[0], : MIDDLE[1]].nlargest(1, "area_m2"),
    ),
    ("the things that appeared over 900 ha", lambda f: f[:0]),
]


@pytest.mark.parametrize(("sentence", "by_hand"), CASES, ids=[case[0] for case in CASES])
def test_words_about_the_scene_equal_a_filter_by_hand_and_the_mask_follows_b8(
    all_of_it: tuple[tuple[str, str], geopandas.GeoDataFrame], tmp_path: Path, sentence: str, by_hand: object
) -> None:
    images, found = all_of_it
    result = ask(*images, query=sentence, out=tmp_path / "out")
    wanted = by_hand(found)  # type: ignore[operator]  # a filter of the table
    assert sorted(result.polygons.area_m2.round(3)) == sorted(wanted.area_m2.round(3))
    mask = read(tmp_path / "out" / "mask.tif")
    assert (mask == 1).sum() == wanted.area_px.sum()
    assert verify(tmp_path / "out") == []


def test_the_largest_is_that_of_each_pair_of_dates_b8_a7(tmp_path: Path) -> None:
    quiet = np.random.default_rng(0).integers(90, 104, (3, HEIGHT, WIDTH), dtype=np.uint8)
    images = []
    for year, there in ((2019, ()), (2020, SQUARES[:2]), (2021, SQUARES)):
        pixels = quiet.copy()
        for top, left, height, width in there:
            pixels[:, top : top + height, left : left + width] = 245
        images.append(write(tmp_path / f"{year}.tif", pixels))
    found = ask(*images, query="the largest thing that appeared", out=tmp_path / "out").polygons
    assert found["date_to"].tolist() == ["2020", "2021"]
    assert found["area_m2"].tolist() == pytest.approx([2400, 1600], rel=0.25)
    masks = [read(tmp_path / "out" / f"mask_{span}.tif") for span in ("2019-2020", "2020-2021")]
    assert [int((mask == 1).sum()) for mask in masks] == found["area_px"].tolist()


def test_what_was_understood_is_told_and_kept_in_the_record_b8(
    all_of_it: tuple[tuple[str, str], geopandas.GeoDataFrame], tmp_path: Path
) -> None:
    told: list[str] = []
    ask(
        *all_of_it[0],
        query="the largest thing that appeared over 500 m²",
        out=tmp_path / "out",
        on_event=lambda event: told.append(str(getattr(event, "text", ""))),
    )
    line = "asked   “the thing that appeared” · kept area_m2 > 500 · largest 1"
    assert line in told
    answer = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["queries"][0]
    assert (answer["model_text"], answer["kept"]) == (
        "the thing that appeared",
        "kept area_m2 > 500 · largest 1",
    )


def test_the_same_part_is_kept_in_any_crs_b8(tmp_path: Path) -> None:
    degrees = Affine(2e-5, 0.0, 15.0, 0.0, -2e-5, 46.0)
    images = place(tmp_path / "in", "EPSG:4326", degrees)
    result = ask(*images, query="the things that appeared in the northern half", out=tmp_path / "out")
    assert len(result.polygons) == 2
    assert shapely.get_y(result.polygons.geometry.representative_point()).min() > 46.0 - HEIGHT * 1e-5


@pytest.mark.parametrize(
    "lies", [Affine.scale(2, 2), Affine(0, 2, 0, -2, 0, 0), Affine.rotation(30) @ Affine.scale(2, -2)],
    ids=["south-up", "quarter turn", "turned by 30 degrees"],
)  # fmt: skip
def test_north_is_on_the_ground_however_the_raster_lies_b8_a13(tmp_path: Path, lies: Affine) -> None:
    affine = Affine.translation(500_003.5, 5_100_007.25) @ lies
    corners = [(affine @ (column, row))[1] for column in (0, WIDTH) for row in (0, HEIGHT)]
    places = [affine @ (left + width / 2, top + height / 2) for top, left, height, width in SQUARES]
    wanted = sorted((x, y) for x, y in places if y > (min(corners) + max(corners)) / 2)
    images = place(tmp_path / "in", "EPSG:32633", affine)
    found = ask(*images, query="the things that appeared in the northern half", out=tmp_path / "out").polygons
    middles = shapely.get_coordinates(found.geometry.centroid)
    assert 0 < len(wanted) < len(SQUARES)
    assert np.array(sorted(middles.tolist())) == pytest.approx(np.array(wanted), abs=1)


def test_the_middle_is_that_of_the_area_of_interest_b8(tmp_path: Path) -> None:
    images = place(tmp_path / "in")
    west, north = 500_003.5, 5_100_007.25
    aoi = f"{west},{north - 2 * HEIGHT},{west + 2 * WIDTH},{north - 2 * 55}"  # without the first thing
    result = ask(
        *images, query="the things that appeared in the north", out=tmp_path / "out", aoi=aoi, aoi_crs="EPSG:32633"
    )
    assert list(result.polygons.area_m2.round(-3)) == [3000]


def test_an_area_of_the_whole_world_does_not_move_the_middle_b8(
    all_of_it: tuple[tuple[str, str], geopandas.GeoDataFrame], tmp_path: Path
) -> None:
    images, found = all_of_it
    north = ask(*images, query="the things that appeared in the north", out=tmp_path / "out", aoi="-180,-90,180,90")
    y = shapely.get_y(found.geometry.representative_point())
    assert sorted(north.polygons.area_m2) == sorted(found.area_m2[y > MIDDLE[1]])


def test_scope_tile_asks_the_whole_sentence(
    all_of_it: tuple[tuple[str, str], geopandas.GeoDataFrame], tmp_path: Path
) -> None:
    result = ask(*all_of_it[0], query="the largest thing that appeared", out=tmp_path / "out", scope="tile")
    assert len(result.polygons) == 4
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["queries"][0]["model_text"] == "the largest thing that appeared"
    again = geomtrs.rerun(tmp_path / "out" / "run.json", out=tmp_path / "again")
    assert len(again.polygons) == 4


def test_a_rerun_keeps_the_same_polygons_d8(
    all_of_it: tuple[tuple[str, str], geopandas.GeoDataFrame], tmp_path: Path
) -> None:
    ask(*all_of_it[0], query="the largest thing that appeared", out=tmp_path / "out")
    geomtrs.rerun(tmp_path / "out" / "run.json", out=tmp_path / "again")
    assert (tmp_path / "out" / "mask.tif").read_bytes() == (tmp_path / "again" / "mask.tif").read_bytes()


def test_a_size_on_the_ground_is_refused_where_pictures_have_none(tmp_path: Path) -> None:
    images = place(tmp_path / "in", None)
    with pytest.raises(QueryError, match="a size on the ground"):
        ask(*images, query="the things that appeared over 5 m²", out=tmp_path / "out", pixels=True)
    result = ask(*images, query="the largest thing that appeared", out=tmp_path / "ranked", pixels=True)
    assert len(result.polygons) == 1
    assert result.polygons.area_px[0] > 500


def test_a_query_says_what_it_understood() -> None:
    query = Query("the largest new building")
    assert query.model_text == "the new building"
    assert str(query.scene_part) == "kept largest 1"
    assert not Query("the largest new building", whole=True).scene_part
