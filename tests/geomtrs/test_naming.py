"""Names of outputs say what they must, and never collide."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from geomtrs.naming import Names, names
from geomtrs.query import Query

HOUSES, WATER = Query("new houses"), Query("the water that appeared", "Wässer")


def masks(found: Names) -> list[str]:
    return [channel.file("mask", "tif") for channel in found.channels()]


def test_one_sentence_of_two_dates_has_the_plain_names() -> None:
    found = names([HOUSES], ["2019", "2023"], [(0, 1)])
    assert [path.name for path in found.targets(Path("out"), ["gpkg", "shp"])][:5] == [
        "mask.tif",
        "probability.tif",
        "preview.png",
        "changes.gpkg",
        "changes.shp",
    ]


def test_several_sentences_are_told_apart_by_their_slugs_b6() -> None:
    found = names([HOUSES, WATER, HOUSES], ["2019", "2023"], [(0, 1)])
    assert masks(found) == ["mask_new-houses.tif", "mask_wasser.tif", "mask_new-houses-2.tif"]
    assert found.vectors("gpkg") == ("changes.gpkg",)
    assert found.vectors("fgb")[0] == "changes_new-houses.fgb"


def test_several_pairs_are_told_apart_by_their_dates_a7() -> None:
    found = names([HOUSES], ["2019", "2020-05-01", "2021"], [(0, 1), (1, 2)])
    assert masks(found) == ["mask_2019-20200501.tif", "mask_20200501-2021.tif"]


def test_channels_go_pair_by_pair() -> None:
    found = names([HOUSES, WATER], [None, None, None], [(0, 1), (1, 2)])
    assert [(channel.pair, channel.query) for channel in found.channels()] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [channel.number for channel in found.channels()] == [0, 1, 2, 3]
    assert masks(found)[2] == "mask_new-houses_2-3.tif"


@given(st.lists(st.sampled_from(["a b", "a-b", "A b!", "c"]), min_size=1, max_size=8), st.integers(2, 5))
def test_no_two_outputs_share_a_name_b6(texts: list[str], dates: int) -> None:
    pairs = [(i, i + 1) for i in range(dates - 1)]
    found = names([Query(text) for text in texts], ["2019"] * dates, pairs).targets(Path(), ["gpkg", "shp"])
    assert len({path.name.lower() for path in found}) == len(found)
