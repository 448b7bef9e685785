"""project.qgz: what is in it, and what QGIS makes of it where it is installed."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.crs import CRS

import geomtrs
from geomtrs.outputs.checksums import difference, entry
from geomtrs.outputs.project import Group, Layer, Project, document, project_text, source_of, write_project
from geomtrs.outputs.style import ANSWER_COLOUR, FILL_ALPHA
from geomtrs.outputs.verify import Finding, verify
from geomtrs.result import ChangeResult
from tests.geomtrs.conftest import HEIGHT, WIDTH, ask, changed, ground, write
from tests.geomtrs.pyqgis import qgis

UTM = CRS("EPSG:32633")
BANDS = ("red", "green", "blue")
NEW, GONE = 'the "new" <roofs> & Häuser of Müller\'s', "the trees that disappeared"
# What a query may hold: any text but control characters, half surrogates and line separators.
sentences = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn")), min_size=1, max_size=40)


def project(title: str = "t", **parts: Any) -> Project:  # noqa: ANN401 (parts of a project)
    layer = Layer(title, "raster", "./mask.tif", UTM)
    return dataclasses.replace(Project(title, UTM, (0.0, 0.0, 1.0, 1.0), (layer,), None, "token"), **parts)


def read(folder: Path) -> ET.Element:
    return ET.fromstring(project_text(folder / "project.qgz"))


def tree(group: ET.Element | None, path: str = "", *, shown: bool = True) -> Iterator[tuple[str, bool]]:
    """Every layer as group/group/name, and whether it is shown: it and all its groups are checked."""
    assert group is not None
    for child in group:
        checked = shown and child.get("checked") == "Qt::Checked"
        if child.tag == "layer-tree-layer":
            yield path + child.attrib["name"], checked
        elif child.tag == "layer-tree-group":
            yield from tree(child, f"{path}{child.attrib['name']}/", shown=checked)


def look(folder: Path, name: str) -> ET.Element:
    """The layer of a project that is called so."""
    return next(one for one in read(folder).iter("maplayer") if one.findtext("layername") == name)


def series(folder: Path, names: tuple[str, ...] = ("2019-05-01.tif", "2021-06-01.tif", "2023-07-01.tif")) -> list[str]:
    """Three dates: a thing that appears at the second, and one more at the third."""
    first = ground()
    second = changed(first)
    third = second.copy()
    third[:, 100:130, 20:60] = 245
    return [str(write(folder / name, pixels)) for name, pixels in zip(names, (first, second, third), strict=True)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ChangeResult:
    """Two sentences of two dates that nothing changes."""
    base = tmp_path_factory.mktemp("Müller's run")
    images = series(base / "in")[:2]
    return ask(*images, query=[NEW, GONE], out=base / "out")


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> ChangeResult:
    """One sentence of three dates."""
    base = tmp_path_factory.mktemp("series")
    return ask(*series(base), query="roofs that appeared", out=base / "out")


@given(sentence=sentences)
def test_any_sentence_gives_well_formed_xml_that_holds_it_b5(sentence: str) -> None:
    root = ET.fromstring(document(project(sentence, members=(Group(sentence, project(sentence).members),))))
    assert root.findtext("title") == sentence
    assert list(tree(root.find("layer-tree-group"))) == [(f"{sentence}/{sentence}", True)]


def test_the_answers_lie_over_the_images_and_only_what_is_plain_is_shown_at_first(run: ChangeResult) -> None:
    assert list(tree(read(run.folder).find("layer-tree-group"))) == [
        (f"polygons/{NEW}", True),
        (f"polygons/{GONE}", True),
        (f"mask/{NEW}", False),
        (f"mask/{GONE}", False),
        (f"probability/{NEW}", False),
        (f"probability/{GONE}", False),
        ("coverage", False),
        ("after · 2021-06-01/2021-06-01", True),
        ("before · 2019-05-01/2019-05-01", True),
    ]


def test_several_pairs_have_a_group_each(dated: ChangeResult) -> None:
    found = [name for name, _ in tree(read(dated.folder).find("layer-tree-group"))]
    assert found[:3] == [
        "polygons/roofs that appeared",
        "mask/2019-05-01 → 2021-06-01/roofs that appeared",
        "mask/2021-06-01 → 2023-07-01/roofs that appeared",
    ]
    assert found[-3:] == [
        f"date {n} · {day}/{day}" for n, day in ((3, "2023-07-01"), (2, "2021-06-01"), (1, "2019-05-01"))
    ]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/data/run/2019.tif", "./2019.tif"),
        ("/data/run/in/2019.tif", "./in/2019.tif"),
        ("/data/2019 of Müller's.tif", "../2019 of Müller's.tif"),
        ("/data/in/2019.tif", "../in/2019.tif"),
        ("/archive/2019.tif", "/archive/2019.tif"),
        ("/data/in/../../archive/2019.tif", "/data/in/../../archive/2019.tif"),
        ("file:///data/a%20b.tif", "../a b.tif"),
        ("https://example.org/2019.tif?key=1", "/vsicurl/https://example.org/2019.tif?key=1"),
        ("s3://bucket/2019.tif", "/vsis3/bucket/2019.tif"),
        ("/vsizip/data.zip/2019.tif", "/vsizip/data.zip/2019.tif"),
    ],
)
def test_what_lies_below_or_beside_is_named_relatively_the_rest_as_gdal_finds_it(path: str, source: str) -> None:
    assert source_of(path, Path("/data/run")) == source


def test_a_folder_that_is_moved_with_its_images_names_nothing_outside(run: ChangeResult) -> None:
    sources = [layer.findtext("datasource") or "" for layer in read(run.folder).iter("maplayer")]
    assert {source[:4] for source in sources} == {"./ch", "./ma", "./pr", "./co", "../i"}


def test_equal_projects_are_equal_bytes_whenever_they_are_written(tmp_path: Path) -> None:
    for name in ("one.qgz", "other.qgz"):
        write_project(tmp_path / name, project())
    with zipfile.ZipFile(tmp_path / "one.qgz") as archive:
        assert [entry.date_time for entry in archive.infolist()] == [(1980, 1, 1, 0, 0, 0)]
    assert (tmp_path / "one.qgz").read_bytes() == (tmp_path / "other.qgz").read_bytes()


def test_the_same_run_once_more_writes_the_same_project(tmp_path: Path) -> None:
    images = series(tmp_path)[:2]
    first = (ask(*images, query=NEW, out=tmp_path / "out").folder / "project.qgz").read_bytes()
    assert (ask(*images, query=NEW, out=tmp_path / "out", overwrite=True).folder / "project.qgz").read_bytes() == first


def test_images_are_drawn_by_the_bands_and_the_stretch_that_the_model_saw(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("2019.tif", "2021.tif"):
        profile = {"driver": "GTiff", "count": 4, "dtype": "uint16", "height": HEIGHT, "width": WIDTH}
        with rasterio.open(
            tmp_path / name, "w", crs="EPSG:32633", transform=Affine(2, 0, 5e5, 0, -2, 51e5), **profile
        ) as raster:
            raster.write(rng.integers(200, 4000, (4, HEIGHT, WIDTH), dtype=np.uint16))
    done = ask(tmp_path / "2019.tif", tmp_path / "2021.tif", query=NEW, out=tmp_path / "out", bands="4,3,2")
    renderer = look(done.folder, "2021").find("pipe/rasterrenderer")
    assert renderer is not None
    assert [renderer.get(f"{colour}Band") for colour in ("red", "green", "blue")] == ["4", "3", "2"]
    stretch = done.run["stack"]["layers"][1]["stretch"]
    assert stretch["low"][0] > 200
    for index, colour in enumerate(("red", "green", "blue")):
        drawn = renderer.find(f"{colour}ContrastEnhancement")
        assert drawn is not None
        assert float(drawn.findtext("minValue") or "nan") == stretch["low"][index]
        assert float(drawn.findtext("maxValue") or "nan") == stretch["high"][index]


def test_polygons_know_their_time_where_the_dates_are_known(dated: ChangeResult, tmp_path: Path) -> None:
    assert look(dated.folder, "roofs that appeared").find("temporal") is not None
    assert read(dated.folder).findtext(".//TemporalRange/start") == "2019-05-01T00:00:00Z"
    unknown = ask(*series(tmp_path, ("a.tif", "b.tif", "c.tif")), query=NEW, out=tmp_path / "out")
    assert read(unknown.folder).find(".//temporal") is None
    assert read(unknown.folder).find(".//TemporalRange") is None


def test_the_map_opens_on_the_polygons_without_any_on_all_of_the_grid(dated: ChangeResult, tmp_path: Path) -> None:
    def corners(folder: Path) -> list[float]:
        view = read(folder).find("ProjectViewSettings/DefaultViewExtent")
        assert view is not None
        return [float(view.attrib[name]) for name in ("xmin", "ymin", "xmax", "ymax")]

    left, bottom, right, top = dated.polygons.total_bounds
    wanted = [left - 100, bottom - 100, right + 100, top + 100]  # 50 px of 2 m, as far as the grid goes
    with rasterio.open(dated.folder / "coverage.tif") as raster:
        grid = raster.bounds
    assert corners(dated.folder) == pytest.approx(
        [max(wanted[0], grid.left), max(wanted[1], grid.bottom), min(wanted[2], grid.right), min(wanted[3], grid.top)]
    )
    images = [str(write(tmp_path / name, ground())) for name in ("2019.tif", "2021.tif")]
    with rasterio.open(images[0]) as raster:
        assert corners(ask(*images, query=NEW, out=tmp_path / "out").folder) == list(raster.bounds)


def test_the_project_is_part_of_the_record_and_sound(run: ChangeResult) -> None:
    assert {"file": "project.qgz", "role": "project"}.items() <= run.run["outputs"][-2].items()
    assert "project.qgz" in json.loads((run.folder / "item.json").read_bytes())["assets"]
    assert verify(run.folder) == []


def test_a_project_that_its_user_saved_is_no_fault_d12(tmp_path: Path) -> None:
    done = ask(*series(tmp_path)[:2], query=NEW, out=tmp_path / "out")
    write_project(done.folder / "project.qgz", project("mine"))
    assert verify(done.folder) == []
    (done.folder / "project.qgz").write_bytes(b"PK no more")
    assert [finding.file for finding in verify(done.folder)] == ["project.qgz"]
    (done.folder / "project.qgz").unlink()
    assert Finding("project.qgz", "missing") in verify(done.folder)


def test_a_project_that_unpacks_to_more_than_any_project_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path / "project.qgz", project())
    monkeypatch.setattr("geomtrs.outputs.project._LARGEST", 1000)
    with pytest.raises(ValueError, match="more than any project has"):
        project_text(tmp_path / "project.qgz")


def test_each_flipped_byte_of_a_project_is_noticed_d12(tmp_path: Path) -> None:
    path = tmp_path / "project.qgz"
    write_project(path, project())
    wanted, content = entry(path), path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
        assert difference(path, wanted), f"byte {position} of {len(content)}"


def test_plain_pictures_are_left_out_since_qgis_draws_them_elsewhere(tmp_path: Path) -> None:
    done = ask(*series(tmp_path)[:2], query=NEW, out=tmp_path / "out", pixels=True)
    found = [name for name, _ in tree(read(done.folder).find("layer-tree-group"))]
    assert found == [f"polygons/{NEW}", f"mask/{NEW}", f"probability/{NEW}", "coverage"]


def test_a_batch_has_one_project_of_its_polygons_and_its_scenes(tmp_path: Path) -> None:
    series(tmp_path / "in")
    geomtrs.batch(tmp_path / "in", query=NEW, out=tmp_path / "out", model="differencing")
    root = read(tmp_path / "out")
    assert list(tree(root.find("layer-tree-group"))) == [(f"polygons/{NEW}", True), ("scenes", True)]
    assert [layer.findtext("datasource") for layer in root.iter("maplayer")] == [
        "./all.gpkg|layername=changes", "./ledger.gpkg|layername=scenes",
    ]  # fmt: skip
    assert look(tmp_path / "out", NEW).find("temporal") is not None


# --- with QGIS itself

OPENED = """
from qgis.gui import QgsMapCanvas
project, canvas = QgsProject.instance(), QgsMapCanvas()
canvas.setObjectName("theMapCanvas"); canvas.resize(400, 400)
read = project.read(sys.argv[1])
if len(sys.argv) > 2: project.write(sys.argv[2])
print(json.dumps({
    "read": read,
    "crs": project.crs().authid(),
    "title": project.title(),
    "invalid": [layer.source() for layer in project.mapLayers().values() if not layer.isValid()],
    "layers": [{"name": node.name(), "shown": node.isVisible(), "renderer": node.layer().renderer().type(),
        "crs": node.layer().crs().authid(), "dated": node.layer().temporalProperties().isActive()}
        for node in project.layerTreeRoot().findLayers()],
    "canvas": [canvas.extent().xMinimum(), canvas.extent().yMinimum(), canvas.extent().xMaximum(),
        canvas.extent().yMaximum()],
    "months": project.timeSettings().timeStepUnit() == QgsUnitTypes.TemporalMonths,
}))
"""


@pytest.mark.qgis
def test_qgis_opens_the_project_with_every_layer_valid_and_styled_d3(run: ChangeResult) -> None:
    found = qgis(OPENED, run.folder / "project.qgz", gui=True)
    assert (found["read"], found["invalid"], found["crs"]) == (True, [], "EPSG:32633")
    assert found["title"] == f"{NEW}; {GONE}"
    assert [(one["name"], one["renderer"], one["dated"]) for one in found["layers"]] == [
        (NEW, "categorizedSymbol", True),
        (GONE, "categorizedSymbol", True),
        (NEW, "paletted", False),
        (GONE, "paletted", False),
        (NEW, "singlebandpseudocolor", False),
        (GONE, "singlebandpseudocolor", False),
        ("coverage", "paletted", False),
        ("2021-06-01", "multibandcolor", False),
        ("2019-05-01", "multibandcolor", False),
    ]
    assert {one["crs"] for one in found["layers"]} == {"EPSG:32633"}
    left, bottom, right, top = run.polygons.total_bounds
    shown = found["canvas"]
    assert shown[0] < left < right < shown[2]
    assert shown[1] < bottom < top < shown[3]
    assert shown[2] - shown[0] < 3 * (right - left + 200)
    assert found["months"]


@pytest.mark.qgis
def test_a_project_that_qgis_saved_is_whole_and_still_relative(tmp_path: Path) -> None:
    done = ask(*series(tmp_path)[:2], query=NEW, out=tmp_path / "out")
    before = (done.folder / "project.qgz").read_bytes()
    qgis(OPENED, done.folder / "project.qgz", done.folder / "project.qgz", gui=True)
    assert (done.folder / "project.qgz").read_bytes() != before
    assert verify(done.folder) == []
    (tmp_path / "2021-06-01.tif").rename(tmp_path / "elsewhere.tif")
    moved = qgis(OPENED, done.folder.rename(tmp_path / "moved") / "project.qgz", gui=True)
    assert moved["invalid"] == [str(tmp_path / "2021-06-01.tif")]


@pytest.mark.qgis
def test_qgis_draws_the_polygon_in_its_colour_over_the_last_image_d3(dated: ChangeResult) -> None:
    script = """
project = QgsProject.instance(); project.read(sys.argv[1])
image = draw(shown(project), QgsRectangle(*map(float, sys.argv[2:6])), project.crs(), 150, 220)
print(json.dumps([image.pixelColor(x, y).getRgb()[:3] for y, x in ((75, 100), (115, 40), (10, 10), (30, 185))]))
"""
    with rasterio.open(dated.folder / "coverage.tif") as raster:
        bounds = [str(side) for side in raster.bounds]
    appeared, later, ground_there, gone = qgis(script, dated.folder / "project.qgz", *bounds)
    answer = [245 + (part - 245) * FILL_ALPHA / 255 for part in ANSWER_COLOUR]
    assert appeared == pytest.approx(answer, abs=3)
    assert later == pytest.approx(answer, abs=3)
    assert all(88 <= value <= 106 for value in ground_there)  # as it is in the file, not stretched
    assert max(gone) < 10


@pytest.mark.qgis
def test_the_temporal_controller_shows_the_polygons_of_the_time_h19(dated: ChangeResult) -> None:
    script = """
project = QgsProject.instance(); project.read(sys.argv[1])
(layer,) = [one for one in project.mapLayers().values() if one.type() == QgsMapLayer.VectorLayer]
counts = []
for start, end in (("2019-06-01", "2019-07-01"), ("2022-01-01", "2022-02-01"), ("2010-01-01", "2011-01-01"),
        ("2019-01-01", "2024-01-01")):
    context = QgsVectorLayerTemporalContext(); context.setLayer(layer)
    moments = [QDateTime.fromString(day + "T00:00:00", Qt.ISODate) for day in (start, end)]
    words = layer.temporalProperties().createFilterString(context, QgsDateTimeRange(*moments))
    counts.append(len(list(layer.getFeatures(QgsFeatureRequest().setFilterExpression(words)))))
images = [draw([layer], layer.extent(), layer.crs(), 100, 100, moments=moments) for moments in
    (("2019-06-01T00:00:00", "2019-07-01T00:00:00"), ("2010-01-01T00:00:00", "2011-01-01T00:00:00"))]
coloured = [any(image.pixelColor(x, y).getRgb()[:3] != (255, 255, 255) for x in range(100) for y in range(100))
    for image in images]
print(json.dumps([counts, coloured]))
"""
    counts, coloured = qgis(script, dated.folder / "project.qgz")
    table = dated.polygons
    assert counts == [
        int((table["date_to"] == "2021-06-01").sum()),
        int((table["date_from"] == "2021-06-01").sum()),
        0,
        len(table),
    ]
    assert min(counts[0], counts[1]) > 0
    assert coloured == [True, False]


@pytest.mark.qgis
def test_qgis_opens_the_project_of_a_batch(tmp_path: Path) -> None:
    series(tmp_path / "in")
    geomtrs.batch(tmp_path / "in", query=NEW, out=tmp_path / "out", model="differencing")
    found = qgis(OPENED, tmp_path / "out" / "project.qgz", gui=True)
    assert (found["read"], found["invalid"], found["crs"]) == (True, [], "EPSG:4326")
    assert [(one["name"], one["renderer"]) for one in found["layers"]] == [
        (NEW, "categorizedSymbol"),
        ("scenes", "categorizedSymbol"),
    ]


@pytest.mark.qgis
def test_qgis_opens_bands_and_tiles_in_files_of_their_own_and_colour_tables(tmp_path: Path) -> None:
    place = Affine(2, 0, 5e5, 0, -2, 51e5)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 60, "width": 80, "crs": "EPSG:32633"}
    values = np.random.default_rng(0).integers(0, 3, (60, 80), dtype=np.uint8)
    for year in ("2019", "2021"):
        for band in BANDS:
            with rasterio.open(tmp_path / f"{band}_{year}.tif", "w", transform=place, **profile) as raster:
                raster.write(values * 80, 1)
    with rasterio.open(tmp_path / "classes_2023.tif", "w", transform=place, **profile) as raster:
        raster.write(values, 1)
        raster.write_colormap(1, {0: (0, 0, 0), 1: (200, 0, 0), 2: (0, 0, 200)})
    dates = [[tmp_path / f"{band}_{year}.tif" for band in BANDS] for year in ("2019", "2021")]
    done = ask(*dates, tmp_path / "classes_2023.tif", query=NEW, out=tmp_path / "out")
    found = qgis(OPENED, done.folder / "project.qgz", gui=True)
    assert found["invalid"] == []
    bands = [(f"{band}_{year} ({band})", "singlebandgray") for year in ("2021", "2019") for band in BANDS]
    assert [(one["name"], one["renderer"]) for one in found["layers"][-7:]] == [("classes_2023", "paletted"), *bands]
