"""The polygon table and its formats."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.geom import box

from geomtrs.outputs.vector import FIELDS, FORMATS, TableSettings, table, write
from tiling.errors import OutputError
from tiling.vectorize import Polygons

SENTENCE = "the «new» houses / sheds, \"all\" of Müller's 東"
UTM = GeoBox((100, 100), Affine(10, 0, 500_000, 0, -10, 6_650_000), "EPSG:32633")


def read(path: Path) -> geopandas.GeoDataFrame:
    """The one table of a file; a GeoPackage also lists its styles, so the layer is named."""
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return pyogrio.read_dataframe(path, layer="changes" if path.suffix == ".gpkg" else None)


def polygons(*shapes: shapely.Polygon, edge: bool = False) -> Polygons:
    """Polygons with made attributes."""
    n = len(shapes)
    return Polygons(np.array(shapes, object), np.full(n, 100), np.full(n, 0.75), np.full(n, 0.9), np.full(n, 0.95), np.full(n, edge))


def square(size: float = 100, x: float = 500_100, y: float = 6_649_500) -> shapely.Polygon:
    """A square of `size` metres."""
    return shapely.box(x, y, x + size, y + size)


def one(**settings: float) -> geopandas.GeoDataFrame:
    """A table of one square of a hectare."""
    return table(polygons(square()), UTM, query=SENTENCE, dates=("2019-01-01", None), settings=TableSettings(**settings))


def test_the_table_has_the_one_set_of_fields_in_order() -> None:
    frame = one()
    assert list(frame.columns) == [*FIELDS, "geometry"]
    assert all(len(name) <= 10 for name in FIELDS)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857", "EPSG:4326"])
def test_a_hectare_at_60_north_has_its_area_in_every_crs_d13_a6(crs: str) -> None:
    utm = geopandas.GeoSeries([square()], crs="EPSG:32633")
    shape = utm.segmentize(5).to_crs(crs).iloc[0]
    left, _, right, top = shape.bounds
    grid = GeoBox((10, 10), Affine((right - left) / 10, 0, left, 0, -(right - left) / 20, top), crs)
    frame = table(polygons(shape), grid, query="x", dates=(None, None))
    assert frame["area_m2"].iloc[0] == pytest.approx(10_000, rel=0.005)
    assert frame["perimeter"].iloc[0] == pytest.approx(400, rel=0.005)


def test_polygons_are_clipped_to_the_aoi_before_they_are_measured() -> None:
    aoi = box(500_000, 6_649_000, 500_150, 6_650_000, "EPSG:32633")
    frame = table(polygons(square()), UTM, query="x", dates=(None, None), aoi=aoi)
    assert frame["area_m2"].iloc[0] == pytest.approx(5_000, rel=0.005)


def test_min_and_max_area_are_inclusive_limits_d14() -> None:
    small, large = square(50), square(200, x=500_400)
    for settings, count in ((TableSettings(min_area_m2=5_000), 1), (TableSettings(max_area_m2=5_000), 1), (TableSettings(), 2)):
        assert len(table(polygons(small, large), UTM, query="x", dates=(None, None), settings=settings)) == count


def test_holes_below_the_limit_are_filled_and_shared_edges_stay_d14() -> None:
    ring = shapely.Polygon(square(300).exterior, [square(20, 500_150, 6_649_600).exterior])
    beside = shapely.box(500_400, 6_649_500, 500_500, 6_649_800)
    frame = table(polygons(ring, beside), UTM, query="x", dates=(None, None), settings=TableSettings(fill_holes_m2=1_000))
    assert frame.geometry.count_interior_rings().sum() == 0
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())


def test_what_is_narrower_than_twice_the_shift_is_a_sliver() -> None:
    thin = shapely.box(500_000, 6_649_000, 500_500, 6_649_010)
    frame = table(polygons(thin, square()), UTM, query="x", dates=(None, None), settings=TableSettings(shift_px=0.8))
    assert frame["sliver"].tolist() == [1, 0]


def test_a_plain_picture_has_pixels_and_no_square_metres() -> None:
    grid = GeoBox((10, 10), Affine.identity(), None)
    frame = table(polygons(shapely.box(1, 1, 4, 4)), grid, query="x", dates=(None, None))
    assert frame["area_m2"].isna().all()
    assert frame["area_px"].tolist() == [9]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_back_count_area_and_the_sentence_b5(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"changes of Müller's.{suffix}"
    write(path, {"changes": one()}, {"changes": SENTENCE})
    frame = read(path)
    assert frame["query"].tolist() == [SENTENCE]
    assert frame["area_m2"].iloc[0] == pytest.approx(10_000, rel=0.005)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("suffix", [f for f in FORMATS if f != "geojson"])
def test_zero_polygons_are_a_typed_layer_d9(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"changes.{suffix}"
    write(path, {"changes": table(polygons(), UTM, query="x", dates=(None, None))}, {"changes": "x"})
    frame = read(path)
    assert len(frame) == 0
    assert set(FIELDS) <= set(frame.columns)
    if suffix != "parquet":
        assert pyogrio.read_info(path, layer=0)["geometry_type"] == "Polygon"


def test_a_geopackage_has_a_layer_a_sentence_each_styled_d3(tmp_path: Path) -> None:
    path = tmp_path / "changes.gpkg"
    write(path, {"houses": one(), "water": one()}, {"houses": "new houses", "water": "new water"})
    assert set(pyogrio.list_layers(path)[:, 0]) >= {"houses", "water"}
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles").fetchall()
        version = database.execute("PRAGMA user_version").fetchone()[0]
    assert {row[0] for row in rows} == {"houses", "water"}
    assert all(row[1:3] == ("geom", 1) and "categorizedSymbol" in row[3] for row in rows)
    assert version == 10200  # 1.2: QGIS 3.22 warns of newer ones


def test_a_shapefile_has_projection_and_utf8_and_cuts_long_sentences_d4(tmp_path: Path) -> None:
    frame = table(polygons(square()), UTM, query="ü" * 200, dates=(None, None))
    notes = write(tmp_path / "changes.shp", {"changes": frame}, {"changes": "x"})
    assert "254 bytes" in notes[0]
    assert "UTM" in (tmp_path / "changes.prj").read_text()
    assert (tmp_path / "changes.cpg").read_text() == "UTF-8"
    assert pyogrio.read_dataframe(tmp_path / "changes.shp")["query"].iloc[0] == "ü" * 127


def test_a_shapefile_over_two_gigabytes_is_refused_before_writing_d4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geomtrs.outputs.vector.SHP_BYTES", 100)
    with pytest.raises(OutputError, match="2 GB"):
        write(tmp_path / "changes.shp", {"changes": one()}, {"changes": "x"})
    assert list(tmp_path.iterdir()) == []


def test_geojson_is_lon_lat_with_right_handed_rings_d5(tmp_path: Path) -> None:
    write(tmp_path / "changes.geojson", {"changes": one()}, {"changes": "x"})
    document = json.loads((tmp_path / "changes.geojson").read_text())
    ring = shapely.LinearRing(document["features"][0]["geometry"]["coordinates"][0])
    assert ring.is_ccw
    assert -180 <= ring.bounds[0] <= 180
    assert 59 < ring.bounds[1] < 61


def test_geoparquet_has_a_bbox_covering_d6(tmp_path: Path) -> None:
    path = tmp_path / "changes.parquet"
    write(path, {"changes": one()}, {"changes": "x"})
    geo = json.loads(pyarrow.parquet.read_schema(path).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert "bbox" in geo["columns"]["geometry"]["covering"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"changes\.gpkg"):
        write(tmp_path / "file" / "changes.gpkg", {"changes": one()}, {"changes": "x"})
