"""Styles: what is in them, and what QGIS makes of them where it is installed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from geomtrs.outputs.style import ANSWER_COLOUR, mask_qml, polygon_qml, probability_qml
from geomtrs.outputs.vector import table, write
from tests.geomtrs.pyqgis import qgis
from tiling.vectorize import Polygons

SENTENCE = 'the «new» houses & sheds <all> "of" Müller\'s -- 東'
UTM = GeoBox((10, 10), Affine(10, 0, 500_000, 0, -10, 6_650_000), "EPSG:32633")
# What a query may hold: any text but control characters, half surrogates and line separators.
sentences = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn")), min_size=1, max_size=40)


def styled(path: Path) -> Path:
    """A GeoPackage of two layers, with a polygon that touches unobserved ground."""
    square = shapely.box(500_020, 6_649_920, 500_060, 6_649_980)
    ones = np.ones(1)
    found = Polygons(np.array([square], object), np.array([24]), ones, ones, ones, np.array([True]))
    frame = table(found, UTM, query=SENTENCE, dates=(None, None))
    write(path, {"houses": frame, "water": frame[:0]}, {"houses": SENTENCE, "water": "new water"})
    return path


@given(sentence=sentences)
def test_any_sentence_gives_well_formed_xml_that_holds_it_b5(sentence: str) -> None:
    category = ET.fromstring(polygon_qml(sentence)).find(".//category[@value='0']")
    entry = ET.fromstring(mask_qml(sentence)).find(".//paletteEntry[@value='1']")
    assert category is not None
    assert category.get("label") == sentence
    assert entry is not None
    assert entry.get("label") == sentence
    assert ET.fromstring(probability_qml(sentence)).find(".//rasterrenderer") is not None


def test_polygons_are_filled_by_a_third_and_strongly_outlined() -> None:
    layers = ET.fromstring(polygon_qml(SENTENCE)).findall(".//symbol/layer")
    properties = [{one.get("k"): one.get("v") for one in layer.iter("prop")} for layer in layers]
    rgb = ",".join(map(str, ANSWER_COLOUR))
    assert [one["color"] for one in properties] == [f"{rgb},89"] * 2
    assert [one["outline_color"] for one in properties] == [f"{rgb},255"] * 2
    assert [one["outline_style"] for one in properties] == ["solid", "dash"]


def test_every_layer_has_a_default_style_in_layer_styles_d3(tmp_path: Path) -> None:
    with closing(sqlite3.connect(styled(tmp_path / "changes.gpkg"))) as database:
        found = database.execute(
            "SELECT f_table_name, f_table_catalog, f_table_schema, f_geometry_column, useAsDefault, styleQML "
            "FROM layer_styles ORDER BY f_table_name"
        ).fetchall()
        contents = database.execute("SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'").fetchall()
    assert [row[:5] for row in found] == [("houses", "", "", "geom", 1), ("water", "", "", "geom", 1)]
    assert found[0][5] == polygon_qml(SENTENCE)
    assert contents == [("attributes",)]


def test_the_styles_do_not_hide_the_layers_from_readers(tmp_path: Path) -> None:
    assert len(geopandas.read_file(styled(tmp_path / "changes.gpkg"), layer="houses")) == 1


@pytest.mark.qgis
def test_qgis_opens_the_polygons_styled_d3(tmp_path: Path) -> None:
    script = """
layer = QgsVectorLayer(f"{sys.argv[1]}|layername=houses", "houses", "ogr")
renderer = layer.renderer()
categories = renderer.categories()
symbol = categories[0].symbol()
print(json.dumps({"valid": layer.isValid(), "count": layer.featureCount(), "renderer": renderer.type(),
    "attribute": renderer.classAttribute(), "labels": [c.label() for c in categories],
    "fill": symbol.color().getRgb(), "line": symbol.symbolLayer(0).strokeColor().getRgb(),
    "crs": layer.crs().authid(), "labelled": layer.labelsEnabled()}))
"""
    found = qgis(script, str(styled(tmp_path / "changes of Müller's.gpkg")))
    assert found == {
        "valid": True,
        "count": 1,
        "renderer": "categorizedSymbol",
        "attribute": "edge",
        "labels": [SENTENCE, f"{SENTENCE} (touches unobserved ground)"],
        "fill": [*ANSWER_COLOUR, 89],
        "line": [*ANSWER_COLOUR, 255],
        "crs": "EPSG:32633",
        "labelled": False,
    }


@pytest.mark.qgis
def test_qgis_draws_the_polygon_in_the_colour_of_the_answer_d3(tmp_path: Path) -> None:
    script = """
from qgis.PyQt.QtCore import QSize
layer = QgsVectorLayer(f"{sys.argv[1]}|layername=houses", "houses", "ogr")
settings = QgsMapSettings()
settings.setLayers([layer]); settings.setExtent(QgsRectangle(500000, 6649900, 500100, 6650000))
settings.setDestinationCrs(layer.crs()); settings.setOutputSize(QSize(200, 200))
job = QgsMapRendererParallelJob(settings); job.start(); job.waitForFinished()
image = job.renderedImage()
print(json.dumps({"inside": image.pixelColor(80, 100).getRgb()[:3], "outside": image.pixelColor(180, 20).getRgb()[:3]}))
"""
    found = qgis(script, str(styled(tmp_path / "changes.gpkg")))
    over_white = [round(255 + (part - 255) * 89 / 255) for part in ANSWER_COLOUR]
    assert found["outside"] == [255, 255, 255]
    assert found["inside"] == pytest.approx(over_white, abs=3)


@pytest.mark.qgis
@pytest.mark.parametrize(("qml", "renderer"), [(mask_qml, "paletted"), (probability_qml, "singlebandpseudocolor")])
def test_qgis_takes_the_style_beside_a_raster(qml: Callable[[str], str], renderer: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=10, height=10, count=1, dtype="uint8", crs="EPSG:32633", transform=UTM.affine
    ) as raster:
        raster.write(np.eye(10, dtype=np.uint8), 1)
    path.with_suffix(".qml").write_text(qml(SENTENCE), encoding="utf-8")
    script = """
layer = QgsRasterLayer(sys.argv[1], "mask")
print(json.dumps({"valid": layer.isValid(), "renderer": layer.renderer().type()}))
"""
    assert qgis(script, str(path)) == {"valid": True, "renderer": renderer}
