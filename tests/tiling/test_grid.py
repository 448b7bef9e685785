"""The grid of the answer: that of the first date, cropped; and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, box
from rasterio.control import GroundControlPoint
from rasterio.windows import Window

from tests.tiling.rasters import Pixels, WriteRaster, regrid
from tiling.errors import GridError, SourceError
from tiling.grid import (
    align,
    geobox_from_dict,
    geobox_to_dict,
    ground_resolution_m,
    output_geobox,
    read_aoi,
    source_geobox,
    union_geobox,
    window_geobox,
)
from tiling.ground import aoi_in

REFERENCE = GeoBox((64, 96), Affine(10, 0, 500_003.7, 0, -10, 5_100_041.3), "EPSG:32633")


def moved(right: float, down: float, shape: tuple[int, int] = (64, 96)) -> GeoBox:
    """The reference grid's lattice, its origin some pixels aside."""
    x, y = REFERENCE.affine.c + 10 * right, REFERENCE.affine.f - 10 * down
    return GeoBox(shape, Affine(10, 0, x, 0, -10, y), "EPSG:32633")


def test_the_same_grid_is_equal_and_nothing_is_cropped() -> None:
    """A1: transform, CRS and size bit-equal to the first date."""
    assert align(REFERENCE, moved(0, 0)).kind == "equal"
    assert output_geobox(REFERENCE, [moved(0, 0)]) == REFERENCE


@given(right=st.integers(-90, 90), down=st.integers(-60, 60))
def test_whole_pixels_aside_is_shifted_and_the_crop_keeps_the_lattice(right: int, down: int) -> None:
    other = moved(right, down)
    alignment = align(REFERENCE, other)
    assert alignment.offset_px == (float(right), float(down))
    assert alignment.kind == ("equal" if right == down == 0 else "shifted")
    grid = output_geobox(REFERENCE, [other])
    assert grid.shape == (64 - abs(down), 96 - abs(right))
    assert list(grid.affine)[:2] == list(REFERENCE.affine)[:2]
    column, row = ((grid.affine.c - REFERENCE.affine.c) / 10, (REFERENCE.affine.f - grid.affine.f) / 10)
    assert (column, row) == pytest.approx((max(0, right), max(0, down)), abs=1e-6)


def test_a_fifth_of_a_pixel_aside_is_warped_and_the_offset_is_told() -> None:
    """A2: the second date has one row more and lies 0.2 px aside."""
    alignment = align(REFERENCE, moved(0.2, -0.2, (65, 96)))
    assert alignment.kind == "warped"
    assert alignment.offset_px == pytest.approx((0.2, -0.2))


def test_a_pixel_size_that_drifts_by_a_pixel_over_the_raster_is_warped() -> None:
    drifting = GeoBox((64, 96), Affine(10.1, 0, 500_003.7, 0, -10.1, 5_100_041.3), "EPSG:32633")
    assert align(REFERENCE, drifting).kind == "warped"


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32632"])
def test_a_date_in_another_crs_is_warped_and_its_origin_told_in_reference_pixels(crs: str) -> None:
    """A3: UTM, geographic, Web Mercator."""
    other = regrid(REFERENCE, crs)
    alignment = align(REFERENCE, other)
    assert alignment.kind == "warped"
    assert np.abs(alignment.offset_px).max() < 20
    assert output_geobox(REFERENCE, [other]) == REFERENCE


@given(right=st.floats(-95, 95), down=st.floats(-63, 63))
def test_a_pixel_is_in_the_overlap_when_its_centre_is(right: float, down: float) -> None:
    other = moved(right, down)
    columns = [c for c in range(96) if right < c + 0.5 < right + 96]
    rows = [r for r in range(64) if down < r + 0.5 < down + 64]
    if not columns or not rows:
        with pytest.raises(GridError):
            output_geobox(REFERENCE, [other])
        return
    grid = output_geobox(REFERENCE, [other])
    assert abs(grid.shape[0] - len(rows)) <= 1
    assert abs(grid.shape[1] - len(columns)) <= 1


def test_no_overlap_names_both_extents_in_degrees() -> None:
    """A8: one line, both extents in lon/lat."""
    with pytest.raises(GridError, match=r"b\.tif: found ground 15\..*lon.*lat; wanted .*a\.tif \(15\.0") as caught:
        output_geobox(REFERENCE, [moved(5000, 0)], names=["a.tif", "b.tif"])
    assert "\n" not in str(caught.value)


def test_three_dates_that_overlap_in_pairs_only_are_refused() -> None:
    with pytest.raises(GridError, match="date 3"):
        output_geobox(REFERENCE, [moved(60, 0), moved(-60, 0)])


def test_tiles_of_a_mosaic_grow_the_first_ones_lattice() -> None:
    union = union_geobox([moved(0, 0), moved(96, 64), moved(-10, 0)])
    assert union.shape == (128, 10 + 192)
    assert align(REFERENCE, union).offset_px == (-10, 0)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3857"])
def test_an_aoi_crops_to_the_pixels_it_touches(crs: str) -> None:
    """C12: whatever the AOI's CRS."""
    x, y = REFERENCE.affine.c, REFERENCE.affine.f
    square = box(x + 205, y - 395, x + 301, y - 301, "EPSG:32633")
    aoi = Geometry(aoi_in(square, CRS(crs)), crs)
    grid = output_geobox(REFERENCE, [], aoi)
    assert align(REFERENCE, grid).offset_px == (20, 30)
    assert grid.shape == (10, 11)


@pytest.mark.parametrize(
    ("aoi", "found"),
    [
        (box(500_100, 5_100_000, 500_103, 5_100_003, "EPSG:32633"), "0.09 pixels"),
        (box(600_000, 5_000_000, 601_000, 5_001_000, "EPSG:32633"), "ground 16."),
        (box(-99, 0, -98, 1, "EPSG:4326"), "ground -99."),  # where the projection of the dates has no number
    ],
)
def test_an_aoi_below_one_pixel_or_outside_is_refused(aoi: Geometry, found: str) -> None:
    """C12: both are errors."""
    with pytest.raises(GridError, match=f"AOI: found .*{found}"):
        output_geobox(REFERENCE, [moved(3, 0)], aoi)


def test_an_aoi_larger_than_the_projection_reaches_crops_nothing() -> None:
    assert output_geobox(REFERENCE, [], box(-180, -90, 180, 90, "EPSG:4326")) == REFERENCE


@given(left=st.integers(-50, 200), top=st.integers(-50, 200), width=st.integers(1, 99), height=st.integers(1, 99))
def test_a_windows_grid_agrees_with_rasterio(left: int, top: int, width: int, height: int) -> None:
    window = Window(left, top, width, height)
    grid = window_geobox(REFERENCE, window)
    x, y = rasterio.transform.xy(REFERENCE.affine, top, left, offset="ul")
    assert grid.shape == (height, width)
    assert (grid.affine.c, grid.affine.f) == pytest.approx((x, y))


def test_ground_resolution_of_degrees_is_metres_and_not_square_at_sixty_north() -> None:
    """A6: at 60° N a degree of longitude is half a degree of latitude."""
    geobox = GeoBox((100, 100), Affine(1e-4, 0, 10, 0, -1e-4, 60.005), "EPSG:4326")
    x, y = ground_resolution_m(geobox)
    assert x == pytest.approx(5.58, abs=0.01)
    assert y == pytest.approx(11.14, abs=0.01)


def test_ground_resolution_of_web_mercator_is_not_its_own_metres() -> None:
    x, y = ground_resolution_m(GeoBox((10, 10), Affine(10, 0, 0, 0, -10, 8_399_738), "EPSG:3857"))
    assert (x, y) == pytest.approx((5.0, 5.0), rel=0.01)


def test_ground_resolution_honours_rotation() -> None:
    turned = Affine(6.0, 8.0, 500_000, 8.0, -6.0, 5_100_000)
    assert ground_resolution_m(GeoBox((10, 10), turned, "EPSG:32633")) == pytest.approx((10, 10), rel=1e-3)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "+proj=laea +lat_0=10 +lon_0=-81 +datum=WGS84 +units=m"])
def test_a_geobox_survives_json_bit_for_bit(crs: str) -> None:
    geobox = GeoBox((3, 7), Affine(0.1, 0.02, 1 / 3, 0.01, -0.1, 46.1), crs)
    assert geobox_from_dict(json.loads(json.dumps(geobox_to_dict(geobox)))) == geobox


def test_a_geobox_with_a_datum_shift_is_spelt_alike_after_it_was_read_back() -> None:
    geobox = GeoBox((3, 7), Affine(10, 0, 0, 0, -10, 0), "+proj=utm +zone=33 +ellps=intl +towgs84=1,2,3,4,5,6,7")
    told = geobox_to_dict(geobox)
    assert geobox_to_dict(geobox_from_dict(told)) == told


def test_a_raster_without_crs_is_refused_unless_one_is_assumed(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A9."""
    path = write_raster("bare.tif", scene_pixels, crs=None)
    with pytest.raises(SourceError, match=r"bare\.tif: found no CRS; .*--assume-crs"):
        source_geobox(path)
    assert source_geobox(path, "EPSG:32633").crs == CRS("EPSG:32633")


def test_an_assumed_crs_does_not_override_the_files(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    assert source_geobox(write_raster("a.tif", scene_pixels), "EPSG:4326").crs == CRS("EPSG:32633")


def test_a_crs_that_is_none_is_named_with_its_option(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    path = write_raster("bare.tif", scene_pixels, crs=None)
    with pytest.raises(GridError, match="--assume-crs: found 'EPSG:no'"):
        source_geobox(path, "EPSG:no")


def test_a_raster_with_control_points_alone_is_refused_by_name(tmp_path: Path) -> None:
    """A13: GCP-only, with the gdalwarp line."""
    path = tmp_path / "swath.tif"
    points = [GroundControlPoint(r, c, 10 + c / 100, 60 - r / 100) for r in (0, 9) for c in (0, 9)]
    with rasterio.open(
        path, "w", driver="GTiff", width=10, height=10, count=1, dtype="uint8", gcps=points, crs="EPSG:4326"
    ) as dataset:
        dataset.write(np.ones((1, 10, 10), np.uint8))
    with pytest.raises(SourceError, match=r"swath\.tif: found 4 ground control points.*gdalwarp -tps"):
        source_geobox(path)


def test_a_plain_picture_has_no_place_unless_taken_as_pixels(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    path = write_raster("photo.png", scene_pixels, driver="PNG", crs=None, transform=Affine.identity())
    with pytest.raises(SourceError, match="no geotransform"):
        source_geobox(path, "EPSG:32633")
    geobox = source_geobox(path, pixels=True)
    assert geobox.crs is None
    assert geobox.shape == (64, 96)


def test_degrees_beyond_180_are_refused_with_the_mending_line(write_raster: WriteRaster, scene_pixels: Pixels) -> None:
    """A18: in EPSG:4326."""
    path = write_raster("pacific.tif", scene_pixels, transform=Affine(0.1, 0, 175, 0, -0.1, 10), crs="EPSG:4326")
    with pytest.raises(GridError, match=r"pacific\.tif: found ground across the antimeridian.*gdalwarp -t_srs"):
        source_geobox(path)


def test_a_projected_grid_crosses_the_antimeridian() -> None:
    """A18: in UTM zone 60 the two sides of 180° are neighbours."""
    west = GeoBox((50, 400), Affine(1000, 0, 500_000, 0, -1000, 1_000_000), "EPSG:32660")
    east = GeoBox((50, 400), Affine(1000, 0, 600_000, 0, -1000, 1_000_000), "EPSG:32660")
    east = regrid(east, "EPSG:32601")
    grid = output_geobox(west, [east])
    assert grid.shape[0] == 50
    assert abs(align(west, grid).offset_px[0] - 100) < 5


def test_a_missing_file_and_a_text_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found no such file"):
        source_geobox(tmp_path / "none.tif")
    text = tmp_path / "text.tif"
    text.write_text("not a raster")
    with pytest.raises(SourceError, match=r"text\.tif: found a file that does not open"):
        source_geobox(text)


def test_a_bbox_is_lonlat_unless_told_otherwise() -> None:
    assert read_aoi("11.5,46.25,12,47").boundingbox == (11.5, 46.25, 12, 47)
    assert read_aoi("11.5,46.25,12,47").crs == CRS("EPSG:4326")
    assert read_aoi("1,2,3,4", CRS("EPSG:32633")).crs == CRS("EPSG:32633")


@pytest.mark.parametrize("spec", ["12,46,11,47", "11,47,12,46", "1,1,1,1"])
def test_a_bbox_in_the_wrong_order_is_refused(spec: str) -> None:
    with pytest.raises(GridError, match="W < E"):
        read_aoi(spec)


def test_a_bbox_that_is_no_degrees_asks_for_its_crs() -> None:
    with pytest.raises(GridError, match=r"wanted degrees .*remedy: say it: --aoi-crs"):
        read_aoi("500100,5099800,500200,5099900")
    assert read_aoi("500100,5099800,500200,5099900", CRS("EPSG:32633")).crs == CRS("EPSG:32633")
    assert read_aoi("170,-20,190,-10").boundingbox == (170, -20, 190, -10)


def test_of_several_layers_none_is_taken_for_the_area_unasked(tmp_path: Path) -> None:
    area = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    for name in ("parks", "lakes"):
        area.to_file(tmp_path / "town.gpkg", layer=name)
    with pytest.raises(GridError, match="found layers parks, lakes"):
        read_aoi(tmp_path / "town.gpkg")


def test_a_table_beside_the_area_is_no_layer_of_it(tmp_path: Path) -> None:
    area = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    pyogrio.write_dataframe(pandas.DataFrame({"style": ["red"]}), tmp_path / "town.gpkg", layer="layer_styles")
    area.to_file(tmp_path / "town.gpkg", layer="town")
    assert read_aoi(tmp_path / "town.gpkg").boundingbox == (0, 0, 1, 1)


def test_a_vector_file_gives_the_union_of_its_polygons(tmp_path: Path) -> None:
    path = tmp_path / "l'île un.geojson"
    squares = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [
            [[x, 46], [x + 1, 46], [x + 1, 47], [x, 47], [x, 46]]
        ]}}
        for x in (11, 13)
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": squares}), encoding="utf-8")
    aoi = read_aoi(path)
    assert aoi.geom.area == pytest.approx(2)
    assert aoi.crs == CRS("EPSG:4326")


def test_a_crs_that_is_not_the_files_own_is_refused_and_one_for_a_file_without_is_taken(tmp_path: Path) -> None:
    path, bare = tmp_path / "a.shp", tmp_path / "bare.shp"
    area = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32633")
    area.to_file(path)
    area.to_file(bare)
    bare.with_suffix(".prj").unlink()
    with pytest.raises(GridError, match=r"a\.shp: found a CRS of its own, EPSG:32633; wanted EPSG:4326, as --aoi-crs"):
        read_aoi(path, CRS("EPSG:4326"))
    assert read_aoi(path, CRS("+proj=utm +zone=33 +datum=WGS84")).crs == CRS("EPSG:32633")
    assert read_aoi(bare, CRS("EPSG:4326")).crs == CRS("EPSG:4326")


def test_a_geojson_of_projected_numbers_is_read_in_the_crs_that_is_said(tmp_path: Path) -> None:
    """GDAL takes GeoJSON without a word about its CRS for degrees."""
    path = tmp_path / "a.geojson"
    square = shapely.geometry.mapping(shapely.box(500000, 5100000, 500100, 5100100))
    path.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": square}), encoding="utf-8")
    assert read_aoi(path, CRS("EPSG:32633")).crs == CRS("EPSG:32633")
    with pytest.raises(GridError, match="numbers that are no degrees; wanted their CRS; remedy: --aoi-crs"):
        read_aoi(path)


def test_a_geoparquet_gives_the_same_area_as_a_geopackage(tmp_path: Path) -> None:
    area = geopandas.GeoDataFrame({"name": ["park"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32633")
    area.to_parquet(tmp_path / "a.parquet")
    area.to_file(tmp_path / "a.gpkg")
    assert read_aoi(tmp_path / "a.parquet") == read_aoi(tmp_path / "a.gpkg")


def test_a_parquet_without_shapes_is_refused_by_name(tmp_path: Path) -> None:
    pandas.DataFrame({"name": ["park"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(GridError, match=r"a\.parquet: found a file that does not open"):
        read_aoi(tmp_path / "a.parquet")


@pytest.mark.parametrize("content", ["{}", '{"type": "Point", "coordinates": [1, 2]}'])
def test_a_vector_file_without_polygons_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "aoi.geojson"
    path.write_text(content)
    with pytest.raises(GridError, match=r"aoi\.geojson"):
        read_aoi(path)


def test_an_aoi_file_that_is_missing_is_named() -> None:
    with pytest.raises(GridError, match=r"none\.gpkg: found no such file"):
        read_aoi("none.gpkg")
