"""Words about the scene: what is read of a sentence, what is left to the model, and that writing and reading agree."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomtrs.areas import ACRE_M2, SQUARE_FOOT_M2
from geomtrs.data.expressions import all_expressions
from geomtrs.data.phrases import limits as written_limits
from geomtrs.grammar import Limit, Place, ScenePart, doubts, read, write

LARGEST = ScenePart(largest=True, count=1)
NORTH = ScenePart(place=Place("north"))


def over(area_m2: float) -> ScenePart:
    return ScenePart(least=Limit(area_m2, inclusive=False))


@pytest.mark.parametrize(
    ("sentence", "asked", "part"),
    [
        ("the largest new building", "the new building", LARGEST),
        ("The Biggest new building", "the new building", LARGEST),
        ("the largest of the new buildings", "the new buildings", LARGEST),
        ("the new building that is the largest", "the new building", LARGEST),
        ("the two smallest ponds that appeared", "the ponds that appeared", ScenePart(largest=False, count=2)),
        (
            "list the five largest areas of deforestation",
            "list the areas of deforestation",
            ScenePart(None, None, None, True, 5),
        ),
        ("show me the 3 largest new roofs", "show me the new roofs", ScenePart(largest=True, count=3)),
        ("top 5 largest new roofs", "the new roofs", ScenePart(largest=True, count=5)),
        ("only the largest new building", "the new building", LARGEST),
        ("the 3rd largest new building", "the new building", ScenePart(largest=True, count=1, skip=2)),
        ("the second largest new building", "the new building", ScenePart(largest=True, count=1, skip=1)),
        ("the two new houses", "the new houses", ScenePart(count=2)),
        ("the new buildings over 500 m²", "the new buildings", over(500)),
        ("new buildings larger than 500 square metres", "new buildings", over(500)),
        ("new buildings of more than 1,500 sq m", "new buildings", over(1500)),
        ("fields over 2.5 ha that disappeared", "fields that disappeared", over(25000)),
        ("new fields over 3 acres", "new fields", over(3 * ACRE_M2)),
        ("new houses over 1,000 sq ft", "new houses", over(1000 * SQUARE_FOOT_M2)),
        ("lakes over 2 km² that appeared", "lakes that appeared", over(2e6)),
        ("new fields of at least half a hectare", "new fields", ScenePart(least=Limit(5000))),
        ("new fields of 2 ha or more", "new fields", ScenePart(least=Limit(20000))),
        ("new huts under 30 m2", "new huts", ScenePart(most=Limit(30, inclusive=False))),
        ("ponds between 1 and 2 ha that dried up", "ponds that dried up", ScenePart(Limit(1e4), Limit(2e4))),
        ("the new buildings in the northern half", "the new buildings", ScenePart(place=Place("north"))),
        ("new water in the upper left", "new water", ScenePart(place=Place("upper", "left"))),
        ("felled trees in the south-west", "felled trees", ScenePart(place=Place("south", "west"))),
        ("new roads at the bottom of the image", "new roads", ScenePart(place=Place("lower"))),
        ("new roads in the centre of the scene", "new roads", ScenePart(place=Place())),
        ("new roads in the central part of the image", "new roads", ScenePart(place=Place())),
        ("new roads in the northern region", "new roads", ScenePart(place=Place("north"))),
        ("new roads in the north near the river", "new roads near the river", ScenePart(place=Place("north"))),
        ("new roads in the south-east quadrant", "new roads", ScenePart(place=Place("south", "east"))),
        ("new roads on the right-hand side", "new roads", ScenePart(place=Place(None, "right"))),
        ("new roads over 500 m² and in the north", "new roads", ScenePart(Limit(500, False), place=Place("north"))),
        ("what changed in the eastern third", "what changed", ScenePart(place=Place(None, "east", 1 / 3))),
        (
            "the two largest new buildings over 500 m² in the north",
            "the new buildings",
            ScenePart(least=Limit(500, inclusive=False), place=Place("north"), largest=True, count=2),
        ),
    ],
)
def test_words_about_the_scene_are_taken_out_and_understood_b8(sentence: str, asked: str, part: ScenePart) -> None:
    assert read(sentence) == (asked, part)


@pytest.mark.parametrize(
    "sentence",
    [
        "the largest city's airport",
        "a two-lane road",
        "the two lane road that was built",
        "new houses in the north of the river",
        "solar panels on the left side of the road",
        "trees felled in the middle of the field",
        "houses over 500 m from the road",
        "the northern suburbs that grew",
        "the new buildings in the central business district",
        "new buildings in the north or in the south",
        "new buildings in the city centre and in the north",
        "the three-storey buildings",
        "the buildings near the largest lake",
        "new houses in Upper Left Street",
        "the largest part of the forest that was cleared",
        "the bridge over the river",
        "the changes between the two images",
        "{n} visible only in the second image",
        "the largest",
        "over 500 m²",
        "a swimming pool with 25 m lanes",
        "4 lane highways that were built",
        "the 2 ha fields that disappeared",
        "the 20 m² sheds that appeared",
        "the 20 MW solar farms that appeared",
        "5 star hotels that were built",
        "two or three new houses",
        "the three or four largest new lakes",
    ],
)
def test_a_sentence_that_merely_contains_such_a_word_is_not_cut_b9(sentence: str) -> None:
    assert read(sentence) == (sentence, ScenePart())


@pytest.mark.parametrize(
    "sentence",
    [
        "new buildings, but not in the north",
        "new buildings except those in the south",
        "new buildings everywhere but in the centre",
        "new buildings that aren't in the middle",
        "new buildings not over 500 m²",
        "new buildings except those of more than 500 m²",
        "new buildings that do not cover between 100 and 500 m²",
        "everything but buildings over 500 m²",
        "new roads but no buildings over 500 m²",
        "changes excluding fields of 2 ha or more",
    ],
)
def test_words_about_the_scene_that_are_denied_are_not_taken_for_their_opposite_b9(sentence: str) -> None:
    assert read(sentence) == (sentence, ScenePart())


@pytest.mark.parametrize(
    "sentence",
    [
        "new houses in the north, and trees felled in the south",
        "the largest new building and the largest new lake",
        "new buildings over 2 ha or under 500 m²",
        "new buildings over 200 m² and trees that disappeared",
        "new ponds of 2 ha or more and new roads",
        "two thirds of the forest that was cleared",
        "two or three new ponds",
        "the two new ponds and the three new roads",
        "new fields in the upper half over 1 ha and in the lower half over 2 ha",
        "the two new houses and the new road",
        "the largest new lake and the road",
        "the largest and the smallest new lake",
        "new houses in the north and in the south",
        "new houses in the north, east and west",
        "new houses on the left or on the right",
        "buildings in the right image that are missing in the left",
        "more than 2 ha of new forest",
    ],
)
def test_of_two_things_at_once_or_a_share_of_one_nothing_is_kept_by_half_b9(sentence: str) -> None:
    assert read(sentence) == (sentence, ScenePart())


@pytest.mark.parametrize(
    ("size", "part"),
    [
        ("> 500 m²", over(500)),
        (">500m2", over(500)),
        (">= 0.5 ha", ScenePart(Limit(5000))),
        ("≥ .5 ha", ScenePart(Limit(5000))),
        ("of 1½ ha or more", ScenePart(Limit(15_000))),
        ("with a footprint of 500 m² or above", ScenePart(Limit(500))),
        ("500 m² and up", ScenePart(Limit(500))),
        ("500 m² or below", ScenePart(most=Limit(500))),
        ("not exceeding 500 m²", ScenePart(most=Limit(500))),
        ("that don't exceed 500 m²", ScenePart(most=Limit(500))),
        ("over ½ ha", over(5000)),
        ("larger than half hectare", over(5000)),
        ("up to a quarter hectare", ScenePart(most=Limit(2500))),
        ("=> 2 ha", ScenePart(Limit(20_000))),
        ("> = 2 ha", ScenePart(Limit(20_000))),
        ("⩾ 2 ha", ScenePart(Limit(20_000))),
        ("=< 2 ha", ScenePart(most=Limit(20_000))),
        ("≦ 2 ha", ScenePart(most=Limit(20_000))),
        ("< 30 m^2", ScenePart(most=Limit(30, inclusive=False))),
        ("<= 1 acre", ScenePart(most=Limit(ACRE_M2))),
        ("(> 500 m²)", over(500)),
        (", area > 500 m²", over(500)),
        ("with area > 500 m²", over(500)),
        ("whose area is over 500 m²", over(500)),
        ("whose footprint exceeds 500 m²", over(500)),
        ("that exceed 500 sq. m.", over(500)),
        ("greater than or equal to 500 m²", ScenePart(Limit(500))),
        ("equal to or larger than 500 m²", ScenePart(Limit(500))),
        ("less than or equal to 500 m²", ScenePart(most=Limit(500))),
        ("with a minimum area of 500 m²", ScenePart(Limit(500))),
        ("min. 500 sq metres", ScenePart(Limit(500))),
        ("larger then 500 sqm", over(500)),
        ("at least 2 acres", ScenePart(Limit(2 * ACRE_M2))),
        ("> 100 m² and < 500 m²", ScenePart(Limit(100, inclusive=False), Limit(500, inclusive=False))),
        ("of 100–500 m²", ScenePart(Limit(100), Limit(500))),
        ("500 to 1000 m²", ScenePart(Limit(500), Limit(1000))),
        ("from 500 to 1000 m²", ScenePart(Limit(500), Limit(1000))),
        ("ranging in size from 500 m² up to 1 ha", ScenePart(Limit(500), Limit(10_000))),
        ("in the range of 500 to 1000 m²", ScenePart(Limit(500), Limit(1000))),
        ("with areas from half a hectare to two hectares", ScenePart(Limit(5000), Limit(20_000))),
    ],
)
def test_a_size_is_read_as_people_write_it_b8(size: str, part: ScenePart) -> None:
    assert read(f"new buildings {size}".replace(" ,", ",")) == ("new buildings", part)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("1,5", 1.5), ("0,25", 0.25), ("0,250", 0.25), ("10,00", 10), ("1,000", 1000), ("1,250.5", 1250.5),
        ("1 000", 1000), ("1'000", 1000), ("1.250", 1.25), ("1.234,5", 1234.5), ("1.000.000", 1e6), ("1,000,000", 1e6),
    ],
)  # fmt: skip
def test_a_comma_parts_thousands_before_three_digits_and_is_decimal_else_b8(number: str, value: float) -> None:
    assert read(f"new fields over {number} ha") == ("new fields", over(value * 1e4))
    assert read(f"new fields of {number} ha or more") == ("new fields", ScenePart(Limit(value * 1e4)))


@pytest.mark.parametrize(
    "size",
    ["of 1/2 ha or more", "of twenty five ha or more", "of two and a half ha or more", "over twenty-five ha",
     "over 2-3 ha", "between 2 and 1 ha", "within 100 m of a river", "longer than 200 m",
     "over 2 ha/year", "of 2-3 ha per year", "with over 2 AC units",
     "over 2 million m²", "over 1e4 m2", "over 500", "fewer than ten", "steeper than 30 degrees",
     "larger than before", "that grew by 20 %", "of 1 ha and above the river", "> 500 m", "not > 500 m²", "-> 2 ha",
     "> 2 ha or < 500 m²",
     "of 500+ m²", "that grew from 1 to 2 ha", "that shrank in size from 500 m² up to 1 ha"],
)  # fmt: skip
def test_a_size_that_is_not_sure_is_left_whole_and_told_b9(size: str) -> None:
    sentence = f"new fields {size}"
    assert read(sentence) == (sentence, ScenePart())
    (line,) = doubts(sentence)
    assert "is left in the sentence" in line


@pytest.mark.parametrize(
    ("sentence", "left", "read_as"),
    [
        ("the largest changes", "largest", "ranks are read by area and with how many"),  # which of them?
        ("all but the largest new building", "largest", "ranks"),
        ("the top three new lakes", "top three", "ranks"),
        ("the longest new road", "longest", "ranks"),
        ("the larger of the two new lakes", "larger", "ranks"),
        ("new buildings north of the river", "north", "of places only parts of the scene are read"),
        ("new buildings to the left of the road", "to the left", "of places"),
        ("new buildings in the north or in the south", "north", "of places"),
        ("new buildings in the NE corner", "NE", "of places"),
    ],
)
def test_a_rank_or_a_place_that_is_left_to_the_model_is_told_b9(sentence: str, left: str, read_as: str) -> None:
    assert read(sentence) == (sentence, ScenePart())
    (line,) = doubts(sentence)
    assert line.startswith(f"“{left}” is left in the sentence: {read_as}")


@pytest.mark.parametrize(
    "sentence", ["new buildings ne of", "the cars that left", "trees left standing that were felled"]
)
def test_words_that_only_look_like_places_are_not_told_b9(sentence: str) -> None:
    assert doubts(sentence) == ()


def test_units_of_air_conditioning_are_no_acres_b9() -> None:
    assert read("roofs with 5-10 AC units") == ("roofs with 5-10 AC units", ScenePart())
    assert read("new fields of 5-10 ac") == ("new fields", ScenePart(Limit(5 * ACRE_M2), Limit(10 * ACRE_M2)))


@pytest.mark.parametrize(
    ("sentence", "asked", "part"),
    [
        ("the two new houses and sheds", "the new houses and sheds", ScenePart(count=2)),
        ("new lakes in the middle of the park in the north", "new lakes in the middle of the park", NORTH),
        ("in the north of the image, the new lakes", "the new lakes", NORTH),
    ],
)
def test_what_is_sure_is_still_read_beside_other_words_b8(sentence: str, asked: str, part: ScenePart) -> None:
    assert read(sentence) == (asked, part)


def test_a_sign_that_binds_two_limits_goes_with_them_b8() -> None:
    assert read("houses ≥ 100 m² & ≤ 200 m²") == ("houses", ScenePart(Limit(100), Limit(200)))
    assert read("houses over 100 m² & trees") == ("houses over 100 m² & trees", ScenePart())


def test_limits_that_leave_nothing_are_told_b8() -> None:
    (line,) = doubts("new buildings over 1 ha but under 500 m²")
    assert line.endswith("is answered with nothing: no area is both (kept area_m2 > 10000 · area_m2 < 500)")


@pytest.mark.parametrize(
    ("size", "area_m2", "told"),
    [
        ("1.000 m²", 1000, "“1.000 m²” is read as 1000 m²; if 1 m² is meant, write it so"),
        ("1.250 ft²", 1250 * SQUARE_FOOT_M2, "“1.250 ft²” is read as 1250 ft²; if 1.25 ft² is meant, write it so"),
        ("1.250 ha", 12_500, "“1.250 ha” is read as 1.25 ha; if 1250 ha is meant, write it so"),
        ("1,250 ha", 12_500_000, "“1,250 ha” is read as 1250 ha; if 1.25 ha is meant, write it so"),
    ],
)
def test_a_number_that_may_be_a_thousand_times_as_large_is_told_as_it_is_read_b8(
    size: str, area_m2: float, told: str
) -> None:
    assert read(f"new fields over {size}") == ("new fields", over(area_m2))
    assert doubts(f"new fields over {size}") == (told,)


@pytest.mark.parametrize("size", ["1,000 m²", "0.250 ha", "1.5 ha", "1,5 ha", "1.000.000 m²", "1,250 acres"])
def test_a_number_that_can_be_read_in_one_way_leaves_no_doubt_b8(size: str) -> None:
    assert doubts(f"new fields over {size}") == ()


def test_no_sentence_that_training_writes_leaves_a_doubt_about_a_size_b9() -> None:
    assert [e.text for e in all_expressions() if doubts(e.text)] == []


def test_every_limit_that_training_writes_is_read_as_it_is_meant_b9() -> None:
    for words, part in written_limits():
        assert read(f"buildings {words} that appeared") == ("buildings that appeared", part)
        assert doubts(f"new buildings {words}") == ()


def test_no_sentence_that_training_writes_without_such_words_is_cut_b9() -> None:
    cut = [e.text for e in all_expressions() if read(e.text)[1]]
    assert cut == []


areas = st.floats(0.5, 1e6).map(lambda x: float(f"{x:.6g}"))
limits = st.builds(Limit, areas, st.booleans())
shares = st.sampled_from([1 / 2, 1 / 3, 1 / 4])
one_side = st.one_of(
    st.builds(Place, st.sampled_from(["north", "south", "upper", "lower"]), st.none(), shares),
    st.builds(Place, st.none(), st.sampled_from(["east", "west", "left", "right"]), shares),
)
corners = st.one_of(
    st.builds(Place, st.sampled_from(["north", "south"]), st.sampled_from(["east", "west"])),
    st.builds(Place, st.sampled_from(["upper", "lower"]), st.sampled_from(["left", "right"])),
)
places = st.one_of(one_side, corners, st.builds(Place, st.none(), st.none(), shares))


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, ScenePart]:
    """A head in the number that its rank wants, and what is kept."""
    things = draw(st.sampled_from(["building", "house", "pond", "road", "swimming pool", "solar panel"]))
    largest, count, skip = draw(st.sampled_from([None, True, False])), draw(st.none() | st.integers(1, 30)), 0
    if largest is None and count == 1:
        count = None
    if count is None:
        largest = None
    if largest is not None and count == 1:
        skip = draw(st.integers(0, 3))
    plural = count != 1
    head = f"new {things}{'s' if plural else ''}"
    least, most, place = draw(st.none() | limits), draw(st.none() | limits), draw(st.none() | places)
    return head, ScenePart(least, most, place, largest, count, skip)


@given(asked())
def test_what_is_written_is_read_as_the_same_b9(case: tuple[str, ScenePart]) -> None:
    head, part = case
    text, found = read(write(head, part))
    assert text.removeprefix("the ") == head
    for mine, theirs in ((found.least, part.least), (found.most, part.most)):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert math.isclose(mine.area_m2, theirs.area_m2, rel_tol=1e-9)
            assert mine.inclusive == theirs.inclusive
    assert (found.place, found.largest, found.count, found.skip) == (part.place, part.largest, part.count, part.skip)


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    asked_text, part = read(text)
    assert part or asked_text == " ".join(text.replace("’", "’").split())


def test_what_was_understood_reads_as_a_line() -> None:
    _, part = read("the largest new building over 500 m² in the north")
    assert str(part) == "kept in the north half · area_m2 > 500 · largest 1"
