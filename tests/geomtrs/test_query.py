"""Sentences are checked once, survive unharmed, and name files safely."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomtrs.errors import QueryError
from geomtrs.query import MAX_CHARACTERS, Query, parse_queries, slugs

TEXTS = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=80).filter(
    lambda text: bool(text.strip())
)


@pytest.mark.parametrize(
    "text", ["", "   ", "a" * 513, "a" * 10_000, "new\x00houses", "new\nhouses", "tab\there", "half\ud800"]
)
def test_a_sentence_that_means_nothing_is_refused_b4(text: str) -> None:
    with pytest.raises(QueryError, match="remedy: "):
        Query(text)


def test_a_sentence_that_is_not_text_is_refused_b4() -> None:
    with pytest.raises(QueryError, match="found a int"):
        parse_queries([5])  # type: ignore[list-item]


def test_the_longest_sentence_allowed_is_accepted_b4() -> None:
    assert len(Query("a" * MAX_CHARACTERS).text) == MAX_CHARACTERS


@given(TEXTS)
def test_the_words_of_any_sentence_survive_b5(text: str) -> None:
    assert Query(text).text == text.strip()


@given(TEXTS)
def test_the_slug_of_any_sentence_is_a_safe_file_name_b5(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", Query(text).slug)
    assert len(Query(text).slug) <= 40


def test_a_slug_keeps_letters_without_their_accents_b5() -> None:
    assert Query('São "Paulo"/../new').slug == "sao-paulo-new"


def test_sentences_in_another_script_have_slugs_of_their_own_b5() -> None:
    assert Query("新しい建物").slug != Query("消えた建物").slug


@given(st.lists(TEXTS, min_size=1, max_size=12))
def test_no_two_sentences_of_a_run_share_a_slug_b6(texts: list[str]) -> None:
    names = slugs([Query(text) for text in texts] * 2)
    assert len(set(names)) == len(names)
    assert all(len(name) <= 40 for name in names)


def test_the_second_of_two_equal_slugs_ends_in_two_b6() -> None:
    assert slugs([Query("New houses!"), Query("new houses"), Query("new houses 2")]) == (
        "new-houses",
        "new-houses-2",
        "new-houses-2-2",
    )


def test_a_name_decides_the_slug() -> None:
    assert Query("the buildings that appeared", "Built").slug == "built"


def test_the_model_is_asked_in_single_spaces_and_composed_letters() -> None:
    assert Query("cafe\u0301s   that appeared").model_text == "caf\u00e9s that appeared"


def test_a_file_gives_one_sentence_a_line_with_names_before_a_tab(tmp_path: Path) -> None:
    file = tmp_path / "ask me.txt"
    file.write_text("\ufeffthe new roads\n\nwater\tthe water that “appeared”\n", encoding="utf-8")
    assert parse_queries(["the new houses"], file) == (
        Query("the new houses"),
        Query("the new roads"),
        Query("the water that “appeared”", "water"),
    )


def test_a_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "ask.txt"
    file.write_text("fine\nname\t\n", encoding="utf-8")
    with pytest.raises(QueryError, match="line 2"):
        parse_queries([], file)


def test_a_file_that_is_not_text_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "ask.bin"
    file.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(QueryError, match=r"ask\.bin: found bytes that are not UTF-8"):
        parse_queries([], file)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"none\.txt"):
        parse_queries([], tmp_path / "none.txt")


def test_the_same_sentence_under_two_names_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ask.txt"
    file.write_text("built\tthe new houses\n", encoding="utf-8")
    with pytest.raises(QueryError, match="found 'the new houses' twice"):
        parse_queries(["the new roads", Query("the new houses ", "grown")], file)


def test_no_sentence_at_all_is_refused() -> None:
    with pytest.raises(QueryError, match="no sentence"):
        parse_queries([])


@pytest.mark.parametrize(
    ("text", "english"),
    [("the new houses", True), ("solar panels", True), ("les maisons qui ont disparu", False), ("新しい建物", False)],
)
def test_another_language_is_noticed(text: str, english: bool) -> None:
    assert Query(text).seems_english is english
