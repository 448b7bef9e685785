"""Sentences and models, end to end: what survives in the outputs, and what is refused before anything is written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import pytest
import rasterio

import geomtrs
from geomtrs.data.expressions import all_expressions
from geomtrs.errors import ModelError, QueryError
from tests.geomtrs.conftest import ask, read, visible

Pair = tuple[str, str]
NEW, LOST = "the roofs that appeared", "the roofs that disappeared"


def test_an_unaskable_sentence_leaves_no_trace_b4(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(QueryError):
        ask(*pair, query="a" * 10_000, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_any_sentence_survives_in_every_output_b5(pair: Pair, tmp_path: Path) -> None:
    sentence = 'the “new” roofs / père\'s & <b> "ü" 屋根 \\ .. 100% that appeared'
    out = tmp_path / "out"
    formats = ["shp", "parquet", "fgb", "geojson"]
    ask(*pair, query=sentence, out=out, formats=formats)
    with rasterio.open(out / "mask.tif") as mask, rasterio.open(out / "probability.tif") as probability:
        assert mask.descriptions == probability.descriptions == (sentence,)
    tables = [
        geopandas.read_file(out / f"changes.{suffix}", layer="changes") for suffix in ("gpkg", "shp", "fgb", "geojson")
    ]
    for table in (*tables, geopandas.read_parquet(out / "changes.parquet")):
        assert table["query"].tolist() == [sentence]
    assert json.loads((out / "run.json").read_text("utf-8"))["queries"][0]["text"] == sentence
    assert sentence in json.loads((out / "item.json").read_text("utf-8"))["properties"]["title"]


def test_sentences_of_one_slug_do_not_overwrite_each_other_b6(pair: Pair, tmp_path: Path) -> None:
    ask(*pair, query=["roofs: appeared!", "roofs appeared"], out=tmp_path / "out")
    assert {"mask_roofs-appeared.tif", "mask_roofs-appeared-2.tif"} <= visible(tmp_path / "out")
    layers = [name for name, _ in pyogrio.list_layers(tmp_path / "out" / "changes.gpkg") if name != "layer_styles"]
    assert layers == ["changes_roofs-appeared", "changes_roofs-appeared-2"]


def test_each_of_ten_sentences_equals_its_single_run_b6(pair: Pair, tmp_path: Path) -> None:
    sentences = [f"{what} that {how}" for what in "abcde" for how in ("appeared", "disappeared")]
    ask(*pair, query=sentences, out=tmp_path / "all")
    for number in (0, 9):
        ask(*pair, query=sentences[number], out=tmp_path / str(number))
        name = f"probability_{sentences[number].replace(' ', '-')}.tif"
        assert (read(tmp_path / "all" / name) == read(tmp_path / str(number) / "probability.tif")).all()


def test_an_unknown_model_is_refused_before_anything_is_written_e7(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean differencing"):
        geomtrs.detect(*pair, query=NEW, out=tmp_path / "out", model="diferencing")
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_refused_before_any_pixel_is_read_e7(tmp_path: Path) -> None:
    dates = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for date in dates:
        date.write_bytes(b"no raster, which would be said if it were read")
    with pytest.raises(ModelError, match="--weights"):
        geomtrs.detect(*dates, query=NEW, out=tmp_path / "out", weights=tmp_path / "no")


@pytest.mark.parametrize(("model", "warned"), [("nano", True), ("base", False), ("differencing", False)])
def test_another_language_is_warned_of_where_the_model_reads_english_alone(
    pair: Pair, model: str, *, warned: bool
) -> None:
    options: dict[str, Any] = {"query": "les maisons qui ont disparu", "model": model}
    notes = geomtrs.plan(*pair, **options).scene.notes
    assert any("does not look English" in note for note in notes) is warned


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("buildings that did not change", "not"),
        ("roads without change", "without"),
        ("unchanged lakes", "unchanged"),
        ("everything but houses", "everything but"),
    ],
)
def test_a_sentence_about_what_stayed_is_answered_with_a_word_of_warning(pair: Pair, sentence: str, word: str) -> None:
    options: dict[str, Any] = {"query": sentence}
    notes = geomtrs.plan(*pair, **options).scene.notes
    assert any(note.startswith(f"“{word}” may go unheeded: nano knows what appeared") for note in notes)


def test_a_size_that_stays_in_the_sentence_is_told_b9(pair: Pair) -> None:
    options: dict[str, Any] = {"query": "new buildings over 500 m"}
    assert any(
        note.startswith("“over 500” is left in the sentence") for note in geomtrs.plan(*pair, **options).scene.notes
    )


@pytest.mark.parametrize(
    "when", ["between 2016 and 2020", "between the two dates", "between the first and the last", "between May and July"]
)
def test_between_two_dates_is_no_neighbour(pair: Pair, when: str) -> None:
    options: dict[str, Any] = {"query": f"trees that were felled {when}"}
    assert not any("between" in note for note in geomtrs.plan(*pair, **options).scene.notes)


def test_no_sentence_that_nano_learned_is_told_to_go_unheeded(pair: Pair) -> None:
    learned = [one.text for one in all_expressions() if re.search(r"\b(no|not|never)\b|n't", one.text)]
    assert learned
    options: dict[str, Any] = {"query": learned}
    assert not any("unheeded" in note for note in geomtrs.plan(*pair, **options).scene.notes)
