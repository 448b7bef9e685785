"""item.json is a STAC item that others can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pystac.extensions.projection import ProjectionExtension
from shapely.geometry import shape

from geomtrs.outputs.record import Output
from geomtrs.outputs.stac import EXTENSIONS, ItemFacts, footprint, item
from tests.geomtrs.answered import GEOBOX, SENTENCE, finished_run

OUTPUTS = (
    Output("mask.tif", "mask", SENTENCE, "2019", "2023"),
    Output("probability.tif", "probability", SENTENCE),
    Output("coverage.tif", "coverage"),
    Output("changes.gpkg", "polygons"),
    Output("changes.cpg", "polygons"),
    Output("mask.qml", "style", SENTENCE),
    Output("item.json", "item"),
)


def facts(geobox: GeoBox = GEOBOX, dates: tuple[str | None, ...] = ("2019-05-04", "2023")) -> ItemFacts:
    inputs = ("/data/a é.tif", "https://example.org/b.tif")
    return ItemFacts("out", geobox, dates, inputs, (SENTENCE,), "2026-11-24T11:37:05Z", {"geomtrs": "0.1.0"})


def validate(document: dict[str, Any]) -> None:
    """Against the core schemas that pystac carries: no network."""
    core = {**document, "stac_extensions": []}  # the schemas of extensions lie on the net; their fields have own tests
    pystac.Item.from_dict(json.loads(json.dumps(core))).validate()


CASES = {
    "UTM": GEOBOX,
    "degrees": GeoBox((50, 80), Affine(0.01, 0, 10, 0, -0.02, 65), "EPSG:4326"),
    "no code": GeoBox((50, 80), Affine(100, 0, 0, 0, -100, 0), "+proj=laea +lat_0=50 +lon_0=10 +ellps=WGS84"),
    "across 180 degrees": GeoBox((50, 80), Affine(5000, 0, 400_000, 0, -5000, 7_500_000), "EPSG:32660"),
    "a plain picture": GeoBox((50, 80), Affine.identity(), None),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dates", [("2019-05-04", "2023"), (None, None), (None, "1985")])
def test_d7_the_item_is_valid_stac(name: str, dates: tuple[str | None, ...]) -> None:
    validate(item(facts(CASES[name], dates), OUTPUTS))


def test_d7_the_item_of_a_run_is_valid_and_its_assets_are_there(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    document = json.loads((folder / "item.json").read_text(encoding="utf-8"))
    validate(document)
    assert all((folder / asset["href"]).is_file() for asset in document["assets"].values())


def test_d7_pystac_reads_the_projection() -> None:
    read = pystac.Item.from_dict(item(facts(), OUTPUTS))
    projection = ProjectionExtension.ext(read)
    assert projection.code == "EPSG:32633"
    assert projection.shape == list(GEOBOX.shape)
    assert projection.transform == list(GEOBOX.affine)[:6]
    assert projection.bbox == [500_003.5, 5_099_047.25, 501_403.5, 5_100_007.25]


def test_d7_a_crs_without_a_code_is_told_in_wkt() -> None:
    properties = item(facts(CASES["no code"]), OUTPUTS)["properties"]
    assert properties["proj:code"] is None
    assert properties["proj:wkt2"].startswith("PROJCRS")


def test_d7_bands_say_how_to_read_them() -> None:
    """Fields of raster 2.0.0 and of STAC 1.1 for bands."""
    assets = item(facts(), OUTPUTS)["assets"]
    (band,) = assets["probability.tif"]["bands"]
    assert band["raster:scale"] == 0.004
    assert (band["nodata"], band["data_type"], band["description"]) == (255, "uint8", SENTENCE)
    assert band["raster:spatial_resolution"] == pytest.approx(10, rel=1e-3)
    assert "nodata" not in assets["coverage.tif"]["bands"][0]


def test_d7_processing_says_what_made_it() -> None:
    document = item(facts(), OUTPUTS)
    assert document["properties"]["processing:software"] == {"geomtrs": "0.1.0"}
    assert SENTENCE in document["properties"]["processing:lineage"]
    assert document["stac_extensions"] == list(EXTENSIONS)


def test_inputs_are_links_that_hold_outside_the_folder() -> None:
    links = [link["href"] for link in item(facts(), OUTPUTS)["links"]]
    assert links[0].startswith("file://")
    assert links[0].endswith("/data/a%20%C3%A9.tif")
    assert links[1] == "https://example.org/b.tif"


@pytest.mark.parametrize(
    ("dates", "start", "end"),
    [
        (("2019-05-04", "2023"), "2019-05-04T00:00:00Z", "2023-12-31T23:59:59Z"),
        (("2024-02", "2024-02"), "2024-02-01T00:00:00Z", "2024-02-29T23:59:59Z"),
        ((None, "2000-12-31"), "2000-12-31T00:00:00Z", "2000-12-31T23:59:59Z"),
    ],
)
def test_the_time_is_the_span_of_the_known_dates(dates: tuple[str | None, ...], start: str, end: str) -> None:
    properties = item(facts(dates=dates), OUTPUTS)["properties"]
    assert (properties["datetime"], properties["start_datetime"], properties["end_datetime"]) == (None, start, end)


def test_unknown_dates_are_said_not_invented() -> None:
    properties = item(facts(dates=(None, None)), OUTPUTS)["properties"]
    assert properties["datetime"] == "2026-11-24T11:37:05Z"
    assert "not known" in properties["description"]


def test_the_footprint_holds_the_centre_of_the_grid() -> None:
    geometry, bbox = footprint(GEOBOX)
    assert geometry is not None
    assert bbox is not None
    assert shape(geometry).contains(shapely.Point(15.009, 46.05))
    assert shape(geometry).exterior.is_ccw
    assert bbox == pytest.approx(list(shape(geometry).bounds))


def test_d5_ground_across_180_degrees_is_cut_in_two() -> None:
    geometry, bbox = footprint(CASES["across 180 degrees"])
    assert geometry is not None
    assert bbox is not None
    parts = shape(geometry)
    assert parts.geom_type == "MultiPolygon"
    assert len(parts.geoms) == 2
    assert bbox[0] > bbox[2]
    assert -180 <= parts.bounds[0] < parts.bounds[2] <= 180
