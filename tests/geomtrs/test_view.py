"""An answer as one page: what is in it, read as a program would; browsers are in test_view_browser.py."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from geomtrs.cli import main
from geomtrs.outputs import outlines
from geomtrs.outputs.pictures import encoded
from geomtrs.result import ChangeResult
from tests.geomtrs.conftest import APPEARED, WIDTH, ask, changed, ground, write
from tiling.errors import OutputError

SENTENCES = ["the roofs that appeared", 'roofs that went </script><img src=x onerror="window.met=1"> & more']


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ChangeResult:
    """Three dates: a thing comes, another goes, then all is as before."""
    base = tmp_path_factory.mktemp("three dates")
    images = [ground(), changed(ground()), ground()]
    paths = [str(write(base / f"{2019 + 2 * n}.tif", image)) for n, image in enumerate(images)]
    return ask(*paths, query=SENTENCES, out=base / "out")


def data_of(page: str) -> dict[str, Any]:
    """What the page carries for its script."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    document: dict[str, Any] = json.loads(found[1])
    return document


def test_f3_the_command_writes_a_page_with_every_sentence_and_pair(
    result: ChangeResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["view", str(result.folder), "-o", str(tmp_path / "page.html")])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    data = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert {(answer["text"], answer["pair"]) for answer in data["answers"]} == {
        (s, p) for s in SENTENCES for p in (0, 1)
    }
    assert len(data["pictures"]) == 3
    assert sum(len(answer["rows"]) for answer in data["answers"]) == len(result.polygons)


def test_f3_the_page_refers_to_nothing_outside_itself(result: ChangeResult, tmp_path: Path) -> None:
    page = result.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r'id="data">.*?</script>', "", page, flags=re.DOTALL))
    assert "default-src 'none'" in page


def test_f3_rows_are_sorted_by_area_and_name_their_outline(result: ChangeResult, tmp_path: Path) -> None:
    data = data_of(result.to_html(tmp_path / "page.html").read_text(encoding="utf-8"))
    area = 1 + data["fields"].index("area_m2")
    for answer in data["answers"]:
        sizes = [row[area] for row in answer["rows"]]
        assert sizes == sorted(sizes, reverse=True)
    rows, columns = APPEARED
    ring = data["outlines"][data["answers"][0]["rows"][0][0]][0]
    corners = np.array(ring).reshape(-1, 2) * data["step"]
    # differencing smooths before it compares, so a thing is a pixel larger than it was drawn
    assert np.abs(corners.min(0) - [columns.start, rows.start]).max() <= 1
    assert np.abs(corners.max(0) - [columns.stop, rows.stop]).max() <= 1


def test_b5_a_sentence_cannot_end_the_element_that_carries_it(result: ChangeResult, tmp_path: Path) -> None:
    page = result.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert {answer["text"] for answer in data_of(page)["answers"]} == set(SENTENCES)


def test_f3_a_notebook_gets_the_same_page_in_a_frame(result: ChangeResult, tmp_path: Path) -> None:
    shown = result._repr_html_()
    frame = re.search(r'srcdoc="([^"]*)"', shown)
    assert frame
    assert html.unescape(frame[1]) == result.to_html(tmp_path / "page.html").read_text(encoding="utf-8")


def test_images_that_are_gone_are_told_and_the_polygons_still_shown(tmp_path: Path, pair: tuple[str, str]) -> None:
    folder = ask(*pair, query=SENTENCES[0], out=tmp_path / "out").folder
    Path(pair[1]).unlink()
    data = data_of(ChangeResult(folder).to_html(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert data["pictures"] == []
    assert data["answers"][0]["rows"]
    assert any("2023.tif" in note for note in data["notes"])


def test_a_large_scene_says_at_what_reduction_it_is_shown(tmp_path: Path) -> None:
    strip = np.full((3, 8, 4100), 120, np.uint8)
    images = [str(write(tmp_path / f"{year}.tif", strip)) for year in (2019, 2023)]
    result = ask(*images, query="roofs that appeared", out=tmp_path / "out")
    data = data_of(result.to_html(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert any("4,100 × 8 px, shown at 1:3" in note for note in data["notes"])


def test_a_plain_picture_has_no_place_and_says_so_by_pixels(tmp_path: Path) -> None:
    paths = []
    for name, image in (("a.png", ground()), ("b.png", changed(ground()))):
        paths.append(tmp_path / name)
        Image.fromarray(np.moveaxis(image, 0, -1)).save(paths[-1])
    result = ask(*paths, query="roofs that appeared", out=tmp_path / "out", pixels=True)
    data = data_of(result.to_html(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert data["grid"]["lattice"] is None
    assert data["answers"][0]["rows"][0][1 + data["fields"].index("area_m2")] is None


def test_degrees_at_the_nodes_are_those_of_the_projection(result: ChangeResult, tmp_path: Path) -> None:
    data = data_of(result.to_html(tmp_path / "page.html").read_text(encoding="utf-8"))
    with rasterio.open(result.folder / "coverage.tif") as raster:
        x, y = raster.transform @ (WIDTH, 0)
        (lon,), (lat,) = rasterio.warp.transform(raster.crs, "EPSG:4326", [x], [y])
    n = data["grid"]["lattice"]["n"]
    assert data["grid"]["lattice"]["lon"][n] == pytest.approx(lon, abs=1e-7)
    assert data["grid"]["lattice"]["lat"][n] == pytest.approx(lat, abs=1e-7)


def test_pictures_become_worse_then_smaller_until_they_fit() -> None:
    noise = np.random.default_rng(5).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    texts, scale = encoded([Image.fromarray(noise)] * 2, most_bytes=20_000)
    assert sum(map(len, texts)) <= 20_000
    assert scale < 1
    assert encoded([Image.fromarray(noise)])[1] == 1


def test_many_polygons_are_drawn_as_far_as_a_page_can_hold_them(
    result: ChangeResult, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(outlines, "MOST_POLYGONS", 1)
    data = data_of(ChangeResult(result.folder).to_html(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(data["outlines"]) == 1
    assert any("the 1 largest of" in note for note in data["notes"])


def test_e10_a_folder_without_a_run_writes_no_page(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run\.json: found no such file"):
        ChangeResult(tmp_path).to_html(tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
