"""The polygon table and its formats."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas
import numpy as np
import pyarrow
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, box
from rasterio.windows import Window

from geomtrs.outputs import formats
from geomtrs.outputs.vector import FIELDS, FORMATS, TableSettings, table, write
from tiling.errors import OutputError
from tiling.mosaic import BlockAnswer
from tiling.vectorize import Polygons
from tiling.vectorize import polygons as vectorized

SENTENCE = 'the «new» houses / sheds, "all" of Müller\'s 東'
UTM = GeoBox((100, 100), Affine(10, 0, 500_000, 0, -10, 6_650_000), "EPSG:32633")
PICTURE = GeoBox((100, 100), Affine.identity(), None)
TYPED = [name for name in FORMATS if name != "geojson"]


def polygons(*shapes: shapely.Geometry, edge: bool = False) -> Polygons:
    """Polygons with made attributes."""
    n = len(shapes)
    return Polygons(
        geometry=np.array(shapes, object),
        area_px=np.full(n, 100),
        prob_mean=np.full(n, 0.75),
        prob_max=np.full(n, 0.9),
        exist_p=np.full(n, 0.95),
        edge=np.full(n, edge),
    )


def square(size: float = 100, x: float = 500_100, y: float = 6_649_500) -> shapely.Geometry:
    """A square of `size` metres."""
    return shapely.box(x, y, x + size, y + size)


def rows(
    *shapes: shapely.Geometry, geobox: GeoBox = UTM, query: str = SENTENCE, aoi: Geometry | None = None, **limits: float
) -> geopandas.GeoDataFrame:
    """Their table."""
    settings = TableSettings(**limits)
    dates = ("2019-01-01", None)
    return table(polygons(*shapes), geobox, query=query, dates=dates, settings=settings, aoi=aoi)


def save(path: Path, frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The table written and read again as a user would."""
    write(path, {"changes": frame}, {"changes": SENTENCE})
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return pyogrio.read_dataframe(path, layer="changes" if path.suffix == ".gpkg" else None)


def noise(shape: tuple[int, int], density: float) -> Polygons:
    """Polygons of a noisy mask on a 10 m grid: holes in them, polygons in those, neighbours at corners."""
    mask = np.random.default_rng(11).random(shape) < density
    probability: NDArray[np.uint8] = np.where(mask, 250, 0).astype(np.uint8)
    window = Window(0, 0, shape[1], shape[0])
    answer = BlockAnswer(window, probability, np.ones(shape, np.uint8), ((window, 1.0),))
    return vectorized([answer], UTM, threshold=125)


def test_the_table_has_the_one_set_of_fields_in_order() -> None:
    frame = rows(square())
    assert list(frame.columns) == [*FIELDS, "geometry"]
    assert frame.dtypes.astype(str)[list(FIELDS)].to_dict() == dict(FIELDS)


def test_no_field_needs_more_than_the_ten_characters_of_a_shapefile_d4() -> None:
    assert all(len(name) <= 10 for name in FIELDS)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857", "EPSG:4326"])
def test_a_hectare_at_60_north_has_its_area_in_every_crs_d13_a6(crs: str) -> None:
    shape = geopandas.GeoSeries([square()], crs="EPSG:32633").segmentize(5).to_crs(crs).iloc[0]
    left, _, right, top = shape.bounds
    grid = GeoBox((10, 10), Affine((right - left) / 10, 0, left, 0, -(right - left) / 20, top), crs)
    frame = rows(shape, geobox=grid)
    assert frame["area_m2"].iloc[0] == pytest.approx(10_000, rel=0.005)
    assert frame["perimeter"].iloc[0] == pytest.approx(400, rel=0.005)


def test_polygons_are_clipped_to_the_aoi_before_they_are_measured() -> None:
    aoi = box(500_000, 6_649_000, 500_150, 6_650_000, "EPSG:32633")
    frame = rows(square(), aoi=aoi)
    assert frame["area_m2"].iloc[0] == pytest.approx(5_000, rel=0.005)
    assert frame["area_px"].tolist() == [50]


def test_a_polygon_that_the_aoi_cuts_in_two_is_two_rows() -> None:
    u_shape = square(100) - shapely.box(500_120, 6_649_520, 500_180, 6_649_700)
    assert len(rows(u_shape, aoi=box(500_000, 6_649_550, 501_000, 6_650_000, "EPSG:32633"))) == 2


def test_an_aoi_in_degrees_clips_where_its_edges_run() -> None:
    left, bottom, right, top = geopandas.GeoSeries([square(50)], crs="EPSG:32633").to_crs("EPSG:4326").total_bounds
    frame = rows(square(), aoi=box(left, bottom, right, top, "EPSG:4326"))
    assert frame["area_m2"].iloc[0] == pytest.approx(2_500, rel=0.01)


def test_what_an_aoi_leaves_of_a_polygon_is_at_least_a_pixel_d10() -> None:
    touching = box(500_000, 6_649_000, 500_101, 6_649_505, "EPSG:32633")
    assert len(rows(square(), aoi=touching)) == 0


def test_min_area_is_an_inclusive_limit_d14() -> None:
    small, large = square(50), square(200, x=500_400)
    limit = rows(large)["area_m2"].iloc[0]
    assert rows(small, large, min_area_m2=limit)["area_m2"].tolist() == [limit]


def test_max_area_is_an_inclusive_limit_d14() -> None:
    small, large = square(50), square(200, x=500_400)
    limit = rows(small)["area_m2"].iloc[0]
    assert rows(small, large, max_area_m2=limit)["area_m2"].tolist() == [limit]


def test_ids_run_from_one_without_gaps_whatever_is_left_out() -> None:
    assert rows(square(50), square(200, x=500_400), square(210, x=500_700), min_area_m2=5_000)["id"].tolist() == [1, 2]


def test_what_limits_did_to_the_area_is_said_d14() -> None:
    (note,) = rows(square(100), square(200, x=500_400), min_area_m2=20_000).attrs["notes"]
    assert note.startswith("1 polygon left out by their area")
    assert "(-20.00%)" in note


def test_what_filling_did_to_the_area_is_said_d14() -> None:
    ring = square(100) - square(20, x=500_140, y=6_649_540)
    (note,) = rows(ring, fill_holes_m2=1_000).attrs["notes"]
    assert note.startswith("1 holes filled")
    assert "(+4.17%)" in note


def test_a_table_without_limits_has_nothing_to_say() -> None:
    assert rows(square()).attrs["notes"] == []


@pytest.mark.parametrize("density", [0.45, 0.65, 0.8])
def test_after_filling_polygons_are_valid_and_still_share_their_edges_d14_d10(density: float) -> None:
    found = noise((80, 90), density)
    settings = TableSettings(fill_holes_m2=1_000, min_area_m2=250)
    frame = table(found, UTM, query="x", dates=(None, None), settings=settings)
    assert frame.geometry.is_valid.all()
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    assert frame["area_px"].min() >= 3
    assert len(frame) < len(found)


def test_area_px_of_a_table_without_limits_is_that_of_the_mask_c7() -> None:
    found = noise((40, 50), 0.5)
    frame = table(found, UTM, query="x", dates=(None, None))
    assert frame["area_px"].tolist() == found.area_px.tolist()


def test_what_is_nowhere_wider_than_twice_the_shift_is_a_sliver() -> None:
    strip, diagonal = square(10).union(shapely.box(500_100, 6_649_500, 500_400, 6_649_510)), square(30)
    assert rows(strip, diagonal, shift_px=0.8)["sliver"].tolist() == [1, 0]


def test_a_winding_strip_is_a_sliver_however_large_its_bounds() -> None:
    corner = shapely.box(500_100, 6_649_500, 500_400, 6_649_510) | shapely.box(500_100, 6_649_500, 500_110, 6_649_900)
    assert rows(corner, shift_px=0.8)["sliver"].tolist() == [1]


def test_with_dates_that_lie_together_nothing_is_a_sliver() -> None:
    assert rows(square(10))["sliver"].tolist() == [0]


def test_a_plain_picture_has_pixels_and_no_square_metres() -> None:
    frame = rows(shapely.box(1, 1, 4, 4), geobox=PICTURE)
    assert frame["area_m2"].isna().all()
    assert frame["area_px"].tolist() == [9]
    assert frame["perimeter"].tolist() == [12]


def test_limits_of_a_plain_picture_are_in_pixels() -> None:
    assert rows(shapely.box(1, 1, 4, 4), shapely.box(6, 6, 8, 8), geobox=PICTURE, min_area_m2=9)[
        "area_px"
    ].tolist() == [9]


@pytest.mark.parametrize("suffix", FORMATS)
def test_sentence_dates_and_areas_survive_in_every_format_b5_a15(suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder of Müller's 東"
    folder.mkdir()
    frame = save(folder / f"changes.{suffix}", rows(square()))
    assert frame["query"].tolist() == [SENTENCE]
    assert frame["area_m2"].iloc[0] == pytest.approx(10_000, rel=0.005)
    assert str(frame["date_from"].iloc[0]).startswith("2019-01-01")
    assert frame["date_to"].isna().all()
    assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize("suffix", TYPED)
def test_zero_polygons_are_a_typed_layer_d9(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"changes.{suffix}"
    frame = save(path, rows())
    assert len(frame) == 0
    assert frame.crs == "EPSG:32633"
    if suffix == "parquet":
        schema = pyarrow.parquet.read_schema(path)
        assert pyarrow.types.is_large_string(schema.field("date_to").type)
        assert schema.field("area_m2").type == pyarrow.float64()
    else:
        info = pyogrio.read_info(path, layer=0)
        assert info["geometry_type"] == "Polygon"
        kinds = dict(zip(info["fields"], info["ogr_types"], strict=True))
        assert kinds["date_to"] == "OFTString"
        assert kinds["area_m2"] == "OFTReal"
        assert set(FIELDS) == set(kinds)


def test_zero_polygons_are_an_empty_geojson(tmp_path: Path) -> None:
    assert len(save(tmp_path / "changes.geojson", rows())) == 0


@pytest.mark.parametrize("suffix", TYPED)
def test_a_plain_picture_is_written_without_a_crs(suffix: str, tmp_path: Path) -> None:
    frame = save(tmp_path / f"changes.{suffix}", rows(shapely.box(1, 1, 4, 4), geobox=PICTURE))
    assert frame["area_m2"].isna().all()
    assert frame["area_px"].tolist() == [9]


def test_a_plain_picture_as_geojson_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="without a CRS"):
        save(tmp_path / "changes.geojson", rows(shapely.box(1, 1, 4, 4), geobox=PICTURE))
    assert list(tmp_path.iterdir()) == []


def test_a_geopackage_has_a_layer_a_sentence_and_version_1_2_d3(tmp_path: Path) -> None:
    path = tmp_path / "changes.gpkg"
    write(path, {"houses": rows(square()), "water": rows()}, {"houses": "new houses", "water": "new water"})
    assert set(pyogrio.list_layers(path)[:, 0]) == {"houses", "water", "layer_styles"}
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10200,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_shapefile_has_projection_and_utf8_d4(tmp_path: Path) -> None:
    save(tmp_path / "changes.shp", rows(square()))
    assert "UTM" in (tmp_path / "changes.prj").read_text()
    assert (tmp_path / "changes.cpg").read_text() == "UTF-8"


def test_a_long_sentence_is_cut_at_a_character_and_said_in_a_shapefile_d4(tmp_path: Path) -> None:
    path = tmp_path / "changes.shp"
    notes = write(path, {"changes": rows(square(), query="東" * 200)}, {"changes": "x"})
    assert "254 bytes" in notes[0]
    assert pyogrio.read_dataframe(path)["query"].tolist() == ["東" * 84]


def test_a_shapefile_over_two_gigabytes_is_refused_before_writing_d4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geomtrs.outputs.formats.SHP_BYTES", 100)
    with pytest.raises(OutputError, match="2 GB"):
        save(tmp_path / "changes.shp", rows(square()))
    assert list(tmp_path.iterdir()) == []


def test_what_a_shapefile_will_take_is_not_guessed_too_low_d4(tmp_path: Path) -> None:
    frame = table(noise((60, 60), 0.5), UTM, query=SENTENCE, dates=(None, None))
    save(tmp_path / "changes.shp", frame)
    largest = max((tmp_path / f"changes.{part}").stat().st_size for part in ("shp", "dbf"))
    assert largest <= formats.shp_bytes(frame) <= 2 * largest


def test_the_spatial_index_of_an_older_shapefile_does_not_stay_behind(tmp_path: Path) -> None:
    stale = tmp_path / "changes.qix"
    stale.write_bytes(b"of other polygons")
    save(tmp_path / "changes.shp", rows(square()))
    assert not stale.exists()


def test_geojson_is_lon_lat_with_right_handed_rings_d5(tmp_path: Path) -> None:
    save(tmp_path / "changes.geojson", rows(square() - square(20, x=500_140, y=6_649_540)))
    document = json.loads((tmp_path / "changes.geojson").read_text(encoding="utf-8"))
    shell, hole = (shapely.LinearRing(ring) for ring in document["features"][0]["geometry"]["coordinates"])
    assert (shell.is_ccw, hole.is_ccw) == (True, False)
    assert 14 < shell.bounds[0] < 16
    assert 59 < shell.bounds[1] < 61
    assert "crs" not in document


@pytest.mark.parametrize("wide", [5_000, 800_000])
def test_geojson_splits_a_polygon_at_the_antimeridian_a18(wide: float, tmp_path: Path) -> None:
    crs = "+proj=laea +lat_0=-17 +lon_0=180 +datum=WGS84"
    grid = GeoBox((100, 100), Affine(wide / 25, 0, -2 * wide, 0, -wide / 25, 2 * wide), crs)
    frame = save(tmp_path / "changes.geojson", rows(shapely.box(-wide, -wide, wide, wide), geobox=grid))
    west, east = shapely.get_parts(frame.geometry.to_numpy()[0])
    assert sorted([west.bounds[0] < 0, east.bounds[0] < 0]) == [False, True]
    assert max(part.bounds[2] - part.bounds[0] for part in (west, east)) < 10
    assert frame.geometry.is_valid.all()


def test_geoparquet_has_a_bbox_covering_d6(tmp_path: Path) -> None:
    path = tmp_path / "changes.parquet"
    save(path, rows(square()))
    geo = json.loads(pyarrow.parquet.read_schema(path).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]


def test_geoparquet_reads_a_part_by_its_bbox_d6(tmp_path: Path) -> None:
    path = tmp_path / "changes.parquet"
    save(path, rows(square(50), square(50, x=500_600)))
    assert geopandas.read_parquet(path, bbox=(500_550, 6_649_000, 501_000, 6_650_000))["id"].tolist() == [2]


@pytest.mark.parametrize("suffix", FORMATS)
def test_writing_over_a_file_replaces_it(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"changes.{suffix}"
    save(path, rows(square(), square(x=500_400)))
    assert len(save(path, rows(square()))) == 1


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_polygon_that_is_missing_is_noticed_when_read_back_e2(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"changes.{suffix}"
    save(path, rows(square()))
    both = rows(square(), square(x=500_400))
    assert formats.difference(path, "changes", both) == ("1 polygons", "2")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_field_that_is_missing_is_noticed_when_read_back_e2(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"changes.{suffix}"
    frame = rows(square())
    save(path, frame)
    found, _ = formats.difference(path, "changes", frame.assign(more=1)) or ("", "")
    assert found.startswith("fields")


def test_a_moved_vertex_is_noticed_when_read_back_e2(tmp_path: Path) -> None:
    path = tmp_path / "changes.fgb"
    save(path, rows(square()))
    assert formats.difference(path, "changes", rows(square(99))) == ("other geometries", "those that were written")


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_does_not_read_back_is_not_published_e2(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "difference", lambda *_: ("other geometries", "those that were written"))
    with pytest.raises(OutputError, match="other geometries read back"):
        save(tmp_path / f"changes.{suffix}", rows(square()))
    assert list(tmp_path.iterdir()) == []


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Writing further fails as on a full disk."""
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_is_one_error_and_leaves_nothing_behind_e2_e10(suffix: str, tmp_path: Path) -> None:
    frame = table(noise((100, 100), 0.4), UTM, query=SENTENCE, dates=(None, None))
    with no_file_beyond(20_000), pytest.raises(OutputError, match=rf"changes\.{suffix}: found "):
        save(tmp_path / f"changes.{suffix}", frame)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"changes\.gpkg"):
        save(tmp_path / "file" / "changes.gpkg", rows(square()))


@pytest.mark.parametrize("suffix", TYPED)
def test_polygons_off_any_round_number_are_read_back_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    off = GeoBox((100, 100), Affine(0.6, 0, 487_900.123, 0, -0.6, 5_208_497.457), "EPSG:26914")
    mask = (np.random.default_rng(3).random((100, 100)) < 0.55).astype(np.uint8) * 200
    window = BlockAnswer(Window(0, 0, 100, 100), mask, np.ones_like(mask), ((Window(0, 0, 100, 100), 0.9),))
    frame = table(vectorized([window], off, threshold=125), off, query="new", dates=(None, None))
    assert len(save(tmp_path / f"changes.{suffix}", frame)) == len(frame) > 50


def test_a_moved_corner_is_noticed_in_a_shapefile(tmp_path: Path) -> None:
    frame = rows(square(), square(x=501_000))
    path = tmp_path / "changes.shp"
    write(path, {"changes": frame}, {"changes": SENTENCE})
    moved = frame.set_geometry([square(size=100.5), frame.geometry[1]], crs=frame.crs)
    assert formats.difference(path, "changes", frame) is None
    assert formats.difference(path, "changes", moved) is not None
