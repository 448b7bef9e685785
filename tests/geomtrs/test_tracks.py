"""Polygons of a series joined into tracks: each in one of them, as its overlaps say."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geomtrs.outputs.tracks import TRACK_FIELDS, tracks
from geomtrs.outputs.vector import FIELDS
from geomtrs.outputs.verify import verify
from geomtrs.result import ChangeResult
from tests.geomtrs.conftest import ask, ground, write
from tiling.errors import OutputError

DATES = ("2019", "2021", "2023", None)


def table_of(boxes: list[tuple[float, float, float, float]], pair: NDArray[np.intp]) -> geopandas.GeoDataFrame:
    geometry = shapely.box(*np.array(boxes, float).reshape(-1, 4).T)
    columns = dict.fromkeys(FIELDS, 0) | {"query": "roofs", "date_from": None}
    frame = geopandas.GeoDataFrame(columns, index=range(len(boxes)), geometry=geometry, crs="EPSG:32633")
    frame = frame.assign(id=range(1, len(boxes) + 1), area_m2=frame.area, date_to=[DATES[number] for number in pair])
    return frame[[*FIELDS, "geometry"]].astype(FIELDS)


def joined(table: geopandas.GeoDataFrame, pair: NDArray[np.intp]) -> list[set[int]]:
    """The same, step by step: sets of rows."""
    sets = [{row} for row in range(len(table))]
    for a, one in enumerate(table.geometry):
        for b, other in enumerate(table.geometry):
            if pair[a] != pair[b] and one.intersection(other).area >= 0.5 * min(one.area, other.area):
                mine, theirs = (next(s for s in sets if row in s) for row in (a, b))
                if mine is not theirs:
                    sets.remove(theirs)
                    mine |= theirs
    return sets


side = st.integers(0, 12)
boxes = st.lists(st.tuples(side, side, st.integers(1, 6), st.integers(1, 6), st.integers(0, 2)), max_size=14)


@given(drawn=boxes)
@settings(max_examples=120, deadline=None)
def test_polygons_are_one_track_when_overlaps_join_them(drawn: list[tuple[int, int, int, int, int]]) -> None:
    drawn = sorted(drawn, key=lambda box: box[4])
    pair = np.array([box[4] for box in drawn], np.intp)
    table = table_of([(x, y, x + wide, y + tall) for x, y, wide, tall, _ in drawn], pair)
    found = tracks(table, pair)
    assert {frozenset(rows) for rows in found.groupby("track").indices.values()} == set(
        map(frozenset, joined(table, pair))
    )
    assert found["area_m2"].sum() == table["area_m2"].sum()
    assert list(found["id"]) == list(table["id"])
    for _, one in found.assign(pair=pair).groupby("track"):
        assert set(one["first_seen"]) == {DATES[one["pair"].min()]}
        assert set(one["last_seen"]) == {DATES[one["pair"].max()]}


def test_tracks_are_numbered_in_the_order_of_the_table() -> None:
    pair = np.array([0, 0, 1, 1], np.intp)
    table = table_of([(20, 0, 30, 10), (0, 0, 10, 10), (0, 0, 10, 8), (50, 50, 51, 51)], pair)
    assert list(tracks(table, pair)["track"]) == [1, 2, 2, 3]


def test_a_date_that_is_not_known_is_null_not_that_of_a_neighbour() -> None:
    pair = np.array([2, 3], np.intp)
    found = tracks(table_of([(0, 0, 10, 10), (0, 0, 10, 10)], pair), pair)
    assert list(found["first_seen"]) == ["2023", "2023"]
    assert found["last_seen"].isna().all()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ChangeResult:
    """A thing that appears and grows, date by date; another that is only there once."""
    base = tmp_path_factory.mktemp("series")
    paths = []
    for number, reach in enumerate((0, 30, 50, 70)):
        image = ground()
        image[:, 60:90, 80 : 80 + reach] = 245
        if number == 2:
            image[:, 110:130, 30:60] = 245
        paths.append(str(write(base / f"{2019 + number}.tif", image)))
    return ask(*paths, query=["roofs that appeared", "roofs that were added"], out=base / "out")


def test_the_tracks_of_a_run_hold_every_polygon_once(series: ChangeResult) -> None:
    found = series.tracks
    assert set(found.columns) == {*TRACK_FIELDS, "geometry"}
    assert found["area_m2"].sum() == series.polygons["area_m2"].sum()
    assert len(found) == len(series.polygons)
    assert found.crs == series.polygons.crs


def test_a_run_with_tracks_is_sound_and_its_record_names_them(series: ChangeResult) -> None:
    assert verify(series.folder) == []
    assert [output["file"] for output in series.run["outputs"] if output["role"] == "tracks"] == ["tracks.gpkg"]


def test_two_dates_have_no_tracks(pair: tuple[str, str], tmp_path: Path) -> None:
    result = ask(*pair, query="roofs that appeared", out=tmp_path / "out")
    assert not (result.folder / "tracks.gpkg").exists()
    with pytest.raises(OutputError, match="three dates"):
        _ = result.tracks
