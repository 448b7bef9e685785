"""Dates come from names, tags or the user; the order of the arguments always wins."""

from __future__ import annotations

import datetime as dt

import pytest

from geomtrs.dates import in_name, of_files, order_notes, pair_labels, pairs, parse
from geomtrs.errors import QueryError


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("1990.tif", "1990"),
        ("m_4709963_se_14_1_20090818.tif", "2009-08-18"),
        ("S2A_MSIL2A_20190612T100031_N0500.jp2", "2019-06-12"),
        ("town-2021-05-03.tif", "2021-05-03"),
        ("2019_town_20190612.tif", "2019-06-12"),
        ("https://host/2001/town.tif", None),
        ("C:\\2001\\town.tif", None),
        ("row_034032.tif", None),
        ("20191399.tif", None),
    ],
)
def test_the_one_date_in_a_file_name_is_found_a7(name: str, date: str | None) -> None:
    assert in_name(name).text == date


def test_two_dates_in_a_name_leave_it_unknown_with_a_note() -> None:
    found = in_name("LC08_034032_20160723_20180131_01.tif")
    assert found.text is None
    assert "2016-07-23, 2018-01-31" in (found.note or "")


def test_a_tag_dates_a_file_whose_name_does_not() -> None:
    assert of_files(["town.tif"], {"TIFFTAG_DATETIME": "2019:06:12 10:00:00"}).text == "2019-06-12"


def test_a_name_outranks_a_tag_that_may_be_the_day_of_processing() -> None:
    assert of_files(["2018.tif"], {"TIFFTAG_DATETIME": "2019:06:12 10:00:00"}).text == "2018"


def test_tiles_of_one_day_share_its_date() -> None:
    assert of_files(["a_20190612.tif", "b_20190612.tif", "index.tif"], {}).text == "2019-06-12"


def test_tiles_of_two_days_have_no_date_and_a_note() -> None:
    found = of_files(["a_20190612.tif", "b_20190613.tif"], {})
    assert found.text is None
    assert "several dates" in (found.note or "")


def test_said_dates_are_normalised_and_may_be_unknown() -> None:
    assert parse("2019,,20210503", 3) == ("2019", None, "2021-05-03")


def test_said_dates_may_be_numbers_and_days() -> None:
    assert parse([2019, dt.date(2023, 5, 1)], 2) == ("2019", "2023-05-01")


@pytest.mark.parametrize("text", ["2019", "2019,soon", "2019,2020-02-30"])
def test_said_dates_that_are_none_or_too_few_are_refused(text: str) -> None:
    with pytest.raises(QueryError, match="--dates"):
        parse(text, 2)


def test_dates_against_the_order_are_warned_of() -> None:
    assert len(order_notes(["2023", "2019-05-01", None, "2020"])) == 1


def test_a_year_does_not_contradict_a_day_in_it() -> None:
    assert order_notes(["2019-05-01", "2019"]) == ()


def test_two_images_of_one_date_get_a_word() -> None:
    (note,) = order_notes(["2020-05-01", None, "2020-05-01"])
    assert "two images are of 2020-05-01" in note


def test_dates_are_compared_in_their_order_a7() -> None:
    assert pairs(3) == ((0, 1), (1, 2))
    assert pairs(3, "first-last") == ((0, 2),)
    assert pairs(3, "all") == ((0, 1), (0, 2), (1, 2))


def test_one_image_is_not_enough() -> None:
    with pytest.raises(QueryError, match="two or more"):
        pairs(1)


def test_pairs_are_named_by_their_dates() -> None:
    assert pair_labels(["2019", "2020-05-01", "2021"], ((0, 1), (1, 2))) == ("2019-20200501", "20200501-2021")


@pytest.mark.parametrize("dates", [["2019", None, "2021"], ["2019", "2019", "2019"]])
def test_pairs_are_named_by_ordinals_when_dates_do_not_tell_them_apart(dates: list[str | None]) -> None:
    assert pair_labels(dates, ((0, 1), (1, 2))) == ("1-2", "2-3")
