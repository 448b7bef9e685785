"""A finished folder as arrays, polygons and a page of a notebook."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import geopandas
import numpy as np
import pytest
from PIL import Image

from geomtrs.errors import MissingExtra
from geomtrs.outputs.record import read_run
from geomtrs.result import ChangeResult, area_text
from tests.geomtrs.answered import GEOBOX, SENTENCE, KnownAnswer, finished_run, known_answer
from tests.geomtrs.conftest import ask
from tiling.errors import OutputError
from tiling.stack import OBSERVED

# rioxarray multiplies transforms by `*`, of which affine 3.1 says that it will be deprecated some day.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ChangeResult:
    return ChangeResult(finished_run(tmp_path_factory.mktemp("run of été")))


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> ChangeResult:
    empty = KnownAnswer(np.zeros(GEOBOX.shape, np.uint8), np.full(GEOBOX.shape, OBSERVED, np.uint8))
    return ChangeResult(finished_run(tmp_path_factory.mktemp("empty"), empty))


def test_the_mask_is_a_labelled_array_that_was_not_read_yet(result: ChangeResult) -> None:
    mask = result.mask
    assert mask.dims == ("y", "x")
    assert mask.chunks is not None
    assert mask.dtype == np.uint8
    assert np.array_equal(mask.to_numpy() == 255, known_answer().coverage != OBSERVED)


def test_the_probability_is_0_to_1_and_nan_where_not_observed(result: ChangeResult) -> None:
    stored = known_answer().probability
    wanted = np.where(stored == 255, np.nan, stored / 250)
    assert np.allclose(result.probability.to_numpy(), wanted, equal_nan=True)


def test_coverage_is_the_array_of_codes(result: ChangeResult) -> None:
    assert np.array_equal(result.coverage.to_numpy(), known_answer().coverage)


def test_arrays_know_their_place(result: ChangeResult) -> None:
    assert result.mask.rio.crs.to_epsg() == 32633
    assert result.mask.rio.transform() == GEOBOX.affine


def test_polygons_have_fields_crs_and_the_sentence(result: ChangeResult) -> None:
    polygons = result.polygons
    assert len(polygons) == 2
    assert polygons.crs.to_epsg() == 32633
    assert set(polygons["query"]) == {SENTENCE}
    assert polygons["area_m2"].sum() > 0


def test_b3_an_empty_answer_has_all_columns(result: ChangeResult, nothing: ChangeResult) -> None:
    assert list(nothing.polygons.columns) == list(result.polygons.columns)
    assert len(nothing.polygons) == 0


def test_the_preview_is_a_picture(result: ChangeResult) -> None:
    assert result.preview.size[0] == 1600


def test_queries_and_run_come_from_the_record(result: ChangeResult) -> None:
    assert result.queries == (SENTENCE,)
    assert result.run["plan"]["blocks"] > 0


def test_several_answers_lie_along_a_dimension_of_their_own(result: ChangeResult, tmp_path: Path) -> None:
    run = read_run(result.folder)
    mask = next(output for output in run["outputs"] if output["role"] == "mask" and output["file"].endswith("tif"))
    run["outputs"].append({**mask, "query": "another", "date_from": "2020"})
    for path in result.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    masks = ChangeResult(tmp_path).mask
    assert masks.dims == ("answer", "y", "x")
    assert list(masks["query"].to_numpy()) == [SENTENCE, "another"]
    assert masks.sizes["answer"] == 2


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "fgb", "parquet", "shp"])
def test_polygons_go_to_a_file_of_any_format(result: ChangeResult, tmp_path: Path, suffix: str) -> None:
    path = result.to_file(tmp_path / f"found.{suffix}")
    read = geopandas.read_parquet(path) if suffix == "parquet" else geopandas.read_file(path, layer=0)
    assert len(read) == 2


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "fgb", "parquet", "shp"])
def test_polygons_of_several_sentences_go_to_one_file_numbered_through(
    pair: tuple[str, str], tmp_path: Path, suffix: str
) -> None:
    found = ask(*pair, query=["the roofs that appeared", "whatever changed"], out=tmp_path / "out")
    path = found.to_file(tmp_path / f"found.{suffix}")
    read = geopandas.read_parquet(path) if suffix == "parquet" else geopandas.read_file(path, layer=0)
    assert sorted(read["id"]) == [1, 2, 3]
    assert read["query"].value_counts().to_dict() == {"the roofs that appeared": 1, "whatever changed": 2}


def test_a_suffix_in_capitals_is_the_same_format(result: ChangeResult, tmp_path: Path) -> None:
    path = result.to_file(tmp_path / "found.GPKG")
    assert path == tmp_path / "found.gpkg"
    assert len(geopandas.read_file(path, layer=0)) == 2


@pytest.mark.parametrize("name", ["found.kml", "found"])
def test_e10_a_format_that_is_not_written_is_refused_naming_those_that_are(
    result: ChangeResult, tmp_path: Path, name: str
) -> None:
    with pytest.raises(OutputError, match=r"wanted gpkg, shp, parquet, fgb, geojson"):
        result.to_file(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


class Page(HTMLParser):
    """What a browser would fetch, and the text that it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link"}
        assert tag != "iframe" or dict(attrs)["sandbox"] == "allow-scripts"
        self.sources += [value for name, value in attrs if name in {"src", "href"} and value]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(result: ChangeResult) -> Page:
    page = Page()
    page.feed(result._repr_html_())
    return page


def test_f3_the_notebook_shows_picture_and_table_without_a_network(result: ChangeResult) -> None:
    page = page_of(result)
    assert len(page.sources) == 1
    kind, _, data = page.sources[0].partition(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == result.preview.size
    text = " ".join(page.text)
    assert SENTENCE in text
    assert "2 found" in text
    assert "no data at date 2" in text


def test_f3_the_table_has_the_largest_polygon_first(result: ChangeResult) -> None:
    areas = re.findall(r"<td>([\d.,]+) (ha|m²|km²)</td>", result._repr_html_())
    assert areas == [("8.3", "ha"), ("2,402", "m²")]


def test_f3_nothing_found_is_said(nothing: ChangeResult) -> None:
    assert "nothing found" in " ".join(page_of(nothing).text)


def test_b5_a_sentence_cannot_break_the_page(result: ChangeResult, tmp_path: Path) -> None:
    for path in result.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    run = read_run(tmp_path)
    run["queries"][0]["text"] = "<script>alert(1)</script>"
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    assert "<script>" not in ChangeResult(tmp_path)._repr_html_()


def test_a_map_can_be_drawn_of_something_and_of_nothing(result: ChangeResult, nothing: ChangeResult) -> None:
    assert result.explore().get_bounds() != nothing.explore().get_bounds()


def test_e10_plain_pictures_have_no_place_on_a_map(pair: tuple[str, str], tmp_path: Path) -> None:
    found = ask(*pair, query="the roofs that appeared", out=tmp_path / "out", pixels=True)
    with pytest.raises(OutputError, match="to_html"):
        found.explore()


def test_a_map_without_folium_names_the_extra(result: ChangeResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "folium", None)
    with pytest.raises(MissingExtra, match=r"pip install 'geomtrs\[notebook\]'"):
        result.explore()


def test_e10_a_folder_without_a_run_says_so_at_first_use(tmp_path: Path) -> None:
    result = ChangeResult(tmp_path)
    assert repr(result) == f"ChangeResult({str(tmp_path)!r})"
    with pytest.raises(OutputError, match=r"run\.json: found no such file"):
        _ = result.run


def test_f1_importing_the_result_imports_no_arrays_and_no_model() -> None:
    code = (
        "import geomtrs.result, sys; print([m for m in ('torch', 'xarray', 'rioxarray', 'folium') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("area", "text"), [(0, "0 m²"), (320.4, "320 m²"), (41_000, "4.1 ha"), (999_000, "99.9 ha"), (12e6, "12.0 km²")]
)
def test_areas_are_told_in_the_unit_that_reads_best(area: float, text: str) -> None:
    assert area_text(area) == text
