"""Files made to do harm: they end in one line that says what they wanted, before memory, disk or network is touched."""

from __future__ import annotations

import json
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import ClassVar
from zipfile import ZIP_DEFLATED, ZipFile

import geopandas
import numpy as np
import psutil
import pytest
import rasterio
import rasterio.shutil
import shapely
from odc.geo.geom import Geometry
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.windows import Window

from geomtrs.archive.scene import Selection, safe_name
from geomtrs.archive.stac import stac_images
from geomtrs.errors import QueryError
from geomtrs.inputs import fingerprint
from geomtrs.items import located_href
from tests.faults.headers import claim, patched
from tests.faults.mutants import alone, command
from tests.tiling.rasters import texture, write_below
from tiling.aoi import read_aoi
from tiling.errors import GridError, SourceError
from tiling.grid import open_quietly, source_geobox
from tiling.guard import BLOCK_MB, RASTER_GPX
from tiling.source import OpenFiles, alpha_band, describe_source, read_native
from tiling.stack import open_stack
from tiling.tiff import largest_block_bytes
from tiling.vrt import TRUST

SMALL = zlib.compress(bytes(1 << 20))
BANDS = "".join(
    f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename relativeToVRT="{{relative}}">{{file}}'
    f"</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
    for band in (1, 2, 3)
)
HEAD = (
    '<VRTDataset rasterXSize="80" rasterYSize="60"><SRS>EPSG:32633</SRS>'
    "<GeoTransform>500003.7, 10, 0, 5100041.3, 0, -10</GeoTransform>"
)


class Stranger(BaseHTTPRequestHandler):
    """A server that nobody should ask."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a server; a test that made anybody ask it fails."""
    Stranger.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
    assert Stranger.asked == []


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return Path(write_below(tmp_path, "image.tif", texture(60, 80)))


def virtual(path: Path, file: str, *, relative: int = 0, more: str = "", head: str = HEAD) -> str:
    """A VRT of three bands of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}{more}{BANDS.format(file=file, relative=relative)}</VRTDataset>", encoding="utf-8")
    return str(path)


def refused(path: str, *words: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_quietly(path).close()
    assert all(word in str(caught.value) for word in words), caught.value


# --- what one read may cost


@pytest.mark.parametrize(
    ("width", "height", "layout"),
    [
        (65_536, 65_536, {"block": (65_536, 65_536)}),
        (40_000, 40_000, {"rows": 20_000}),
        (2_000_000_000, 2, {"rows": 1}),
    ],
)
def test_a_block_of_gigabytes_is_refused_before_memory_is_touched(
    width: int, height: int, layout: dict[str, int], tmp_path: Path
) -> None:
    path = claim(tmp_path / "bomb.tif", width, height, **layout, data=SMALL)
    held = psutil.Process().memory_info().rss
    refused(str(path), "strip or tile", "at most 256 MB", BLOCK_MB)
    assert psutil.Process().memory_info().rss - held < 50e6


def test_the_command_line_says_so_in_one_line_with_little_memory(image: Path, tmp_path: Path) -> None:
    path = claim(tmp_path / "bomb.tif", 40_000, 40_000, rows=20_000, data=SMALL)
    words = ("detect", str(image), str(path), "-q", "roofs", "--model", "differencing", "-o", str(tmp_path / "out"))
    ended = alone(command, *words, log=tmp_path / "log")
    assert (ended.code, ended.fault) == (1, "")
    assert "error: " in ended.said
    assert "bomb.tif: found a strip or tile of 2,289 MB" in ended.said


def test_the_limit_is_raised_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = claim(tmp_path / "large.tif", 20_000, 20_000, rows=10_000, data=SMALL)
    refused(str(path), BLOCK_MB)
    monkeypatch.setenv(BLOCK_MB, "600")
    open_quietly(path).close()
    monkeypatch.setenv(BLOCK_MB, "much")
    refused(str(path), BLOCK_MB, "'much'", "a number")


def test_an_overview_or_a_mask_of_gigabytes_is_refused_too(tmp_path: Path) -> None:
    path = write_below(tmp_path, "plain.tif", texture(64, 64))
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2], Resampling.nearest)
    large = claim(tmp_path / "large.tif", 65_536, 65_536, block=(65_536, 65_536), data=SMALL)
    large.rename(f"{path}.msk")
    refused(path, "strip or tile")


def test_an_honest_mosaic_of_200_000_squared_opens_and_reads_its_windows(tmp_path: Path) -> None:
    path = tmp_path / "country.tif"
    profile = {
        "driver": "GTiff",
        "count": 3,
        "dtype": "uint8",
        "height": 200_000,
        "width": 200_000,
        "crs": "EPSG:32633",
    }
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "compress": "deflate"}
    pixels = texture(512, 512)
    place = rasterio.Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 5_100_000.0)
    with rasterio.open(path, "w", transform=place, BIGTIFF="YES", interleave="pixel", **profile, **tiles) as raster:
        raster.write(pixels, window=Window(102_400, 51_200, 512, 512))
    files = OpenFiles()
    source = describe_source(files.get(str(path)), [1, 2, 3], geobox=source_geobox(path))
    read, observed = read_native(source, files, Window(102_400, 51_200, 512, 512))
    assert observed.all()
    assert np.array_equal(read, pixels)


def test_a_tall_strip_that_gdal_reads_by_rows_is_no_bomb(tmp_path: Path) -> None:
    path = claim(tmp_path / "tall.tif", 40_000, 40_000, rows=40_000, data=SMALL)
    assert largest_block_bytes(path) == 3 * 40_000
    open_quietly(path).close()


def test_more_pixels_than_can_be_planned_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "planet.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 1 << 20, "width": 1 << 20, "sparse_ok": True}
    tiles = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "crs": "EPSG:32633", "BIGTIFF": "YES"}
    with rasterio.open(path, "w", transform=rasterio.Affine(2.0, 0, 5e5, 0, -2.0, 5e6), **profile, **tiles):
        pass
    refused(str(path), "1,048,576 x 1,048,576 pixels", "at most 100 billion", RASTER_GPX)
    monkeypatch.setenv(RASTER_GPX, "2000")
    open_quietly(path).close()


def test_far_tiles_of_one_date_do_not_span_a_grid_that_cannot_be_planned(tmp_path: Path) -> None:
    far = rasterio.Affine(0.01, 0.0, 500_000.0, 0.0, -0.01, 5_100_000.0)
    near = rasterio.Affine(0.01, 0.0, 506_000.0, 0.0, -0.01, 5_092_000.0)
    tiles = [write_below(tmp_path, f"{n}.tif", texture(20, 20), transform=place) for n, place in enumerate((far, near))]
    with pytest.raises(SourceError, match=RASTER_GPX):
        open_stack([tiles])


def test_a_zip_that_inflates_without_end_is_read_as_far_as_it_is_needed(tmp_path: Path) -> None:
    whole = Path(write_below(tmp_path, "inside.tif", texture(60, 80)))
    with ZipFile(tmp_path / "bomb.zip", "w", ZIP_DEFLATED) as archive, archive.open("inside.tif", "w") as inside:
        inside.write(whole.read_bytes())
        for _ in range(400):
            inside.write(bytes(1 << 20))
    held = psutil.Process().memory_info().rss
    with open_quietly(f"/vsizip/{tmp_path / 'bomb.zip'}/inside.tif") as raster:
        assert np.array_equal(raster.read(), texture(60, 80))
    assert psutil.Process().memory_info().rss - held < 50e6


# --- what a file may name


@pytest.mark.parametrize("relative", [0, 1])
def test_a_vrt_on_this_disk_may_name_files_of_it(relative: int, image: Path, tmp_path: Path) -> None:
    beside = virtual(tmp_path / "mosaic" / "a.vrt", "../image.tif" if relative else str(image), relative=relative)
    of_it = virtual(tmp_path / "b.vrt", "mosaic/a.vrt", relative=1)
    for path in (beside, of_it):
        with open_quietly(path) as raster:
            assert np.array_equal(raster.read(), texture(60, 80))


def test_a_warped_vrt_of_a_file_is_one_like_others(image: Path, tmp_path: Path) -> None:
    with rasterio.open(image) as source, rasterio.vrt.WarpedVRT(source, crs="EPSG:3857") as warped:
        rasterio.shutil.copy(warped, tmp_path / "warped.vrt", driver="VRT")
    with open_quietly(tmp_path / "warped.vrt") as raster:
        assert raster.read().any()


@pytest.mark.parametrize(
    "name",
    [
        "/vsicurl/{host}/x.tif", "{host}/x.tif", "/vsis3/bucket/x.tif", "/vsizip//tmp/x.zip/x.tif", "WMS:{host}",
        'PG:"host=db"', "<GDAL_WMS/>", "vrt://{host}/x.tif", r"\\host\share\x.tif", "../../../vsicurl/{host}/x.tif",
    ],
)  # fmt: skip
def test_a_vrt_that_names_what_is_no_file_of_this_machine_is_refused(name: str, stranger: str, tmp_path: Path) -> None:
    told = name.format(host=stranger).replace("<", "&lt;")
    refused(virtual(tmp_path / "a.vrt", told), "a.vrt", "a VRT with", TRUST)
    refused(virtual(tmp_path / "b.vrt", "a.vrt", relative=1), "a.vrt", "a VRT with")


BY_OTHER_WAYS = {
    "overviews": (
        '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/{host}/x</MDI></Metadata>',
        "/vsicurl/",
    ),
    "python": (
        '<VRTRasterBand band="4"><PixelFunctionLanguage>Python</PixelFunctionLanguage></VRTRasterBand>',
        "code of its own",
    ),
    "raw bytes": (
        '<VRTRasterBand subClass="VRTRawRasterBand"><SourceFilename>/etc/hostname</SourceFilename></VRTRasterBand>',
        "raw bytes",
    ),
    "attribute": (
        '<VRTRasterBand band="4"><SimpleSource SourceFilename="{host}/x.tif"/></VRTRasterBand>',
        "http",
    ),
    "lower case": (
        '<vrtrasterband band="4"><sourcefilename><a/>/vsicurl/{host}/x.tif</sourcefilename></vrtrasterband>',
        "/vsicurl/",
    ),
}


@pytest.mark.parametrize(("more", "word"), BY_OTHER_WAYS.values(), ids=BY_OTHER_WAYS)
def test_a_vrt_may_not_reach_out_by_other_ways(
    more: str, word: str, stranger: str, image: Path, tmp_path: Path
) -> None:
    refused(virtual(tmp_path / "a.vrt", str(image), more=more.format(host=stranger)), word)


def test_a_vrt_with_entities_is_refused_unread(image: Path, tmp_path: Path) -> None:
    letters = "abcdefghi"
    bomb = "".join(f'<!ENTITY {two} "{f"&{one};" * 9}">' for one, two in pairwise(letters))
    head = f'<!DOCTYPE v [<!ENTITY a "aaaaaaaaa">{bomb}]>{HEAD}'
    refused(virtual(tmp_path / "a.vrt", str(image), head=head, more="<SRS>&i;</SRS>"), "a document type")


def test_metadata_of_a_vrt_may_hold_addresses_that_nobody_follows(image: Path, tmp_path: Path) -> None:
    more = '<Metadata><MDI key="LICENCE">https://creativecommons.org/licenses/by/4.0/</MDI></Metadata>'
    open_quietly(virtual(tmp_path / "a.vrt", str(image), more=more)).close()


@pytest.mark.parametrize("name", ["service.xml", "service.tif", "service.vrt"])
def test_a_file_that_is_the_address_of_a_service_is_no_raster(name: str, stranger: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{stranger}/${{z}}/${{x}}.png</ServerUrl></Service><DataWindow>'
        "<UpperLeftX>-20037508</UpperLeftX><UpperLeftY>20037508</UpperLeftY><LowerRightX>20037508</LowerRightX>"
        "<LowerRightY>-20037508</LowerRightY><TileLevel>1</TileLevel></DataWindow><BandsCount>3</BandsCount></GDAL_WMS>"
    )
    refused(str(tmp_path / name), "names others", TRUST)
    refused(virtual(tmp_path / "of.vrt", name, relative=1), "no raster")


def test_overviews_that_lie_elsewhere_are_refused(stranger: str, image: Path) -> None:
    Path(f"{image}.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">'
        f"/vsicurl/{stranger}/x.ovr</MDI></Metadata></PAMDataset>"
    )
    refused(str(image), "overviews in /vsicurl/")


def test_who_trusts_a_file_may_say_so(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = virtual(tmp_path / "a.vrt", f"/vsisubfile/0_{image.stat().st_size},{image}")
    refused(path, TRUST)
    monkeypatch.setenv(TRUST, "1")
    with open_quietly(path) as raster:
        assert np.array_equal(raster.read(), texture(60, 80))


def test_a_vrt_that_lies_on_a_server_or_in_an_archive_names_nothing(image: Path, tmp_path: Path) -> None:
    virtual(tmp_path / "a.vrt", str(image))
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.vrt", "a.vrt")
    refused(f"/vsizip/{tmp_path / 'a.zip'}/a.vrt", "not on this disk")


def test_a_vrt_of_a_bomb_is_one(tmp_path: Path) -> None:
    claim(tmp_path / "bomb.tif", 40_000, 40_000, rows=20_000, data=SMALL)
    refused(virtual(tmp_path / "a.vrt", "bomb.tif", relative=1), "a.vrt", "strip or tile")


# --- blocks that are not there


@pytest.mark.parametrize("compress", [None, "deflate"])
def test_a_block_of_size_0_is_not_observed_instead_of_black(compress: str | None, tmp_path: Path) -> None:
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32, "interleave": "pixel", "compress": compress}
    whole = Path(write_below(tmp_path, "whole.tif", texture(64, 96), **tiles))
    hurt = patched(whole, tmp_path / "hurt.tif", 325, 4, 0)  # second row, second column
    files = OpenFiles()
    source = describe_source(files.get(str(hurt)), [1, 2, 3], geobox=source_geobox(hurt))
    pixels, observed = read_native(source, files, Window(0, 0, 96, 64))
    lost = np.zeros((64, 96), bool)
    lost[32:, 32:64] = True
    assert np.array_equal(observed, ~lost)
    assert np.array_equal(pixels[:, observed], texture(64, 96)[:, observed])


def test_blocks_that_were_never_written_are_not_observed(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": 64, "width": 96, "sparse_ok": True}
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=rasterio.Affine(2.0, 0, 5e5, 0, -2.0, 5e6), **profile, **tiles) as raster:
        raster.write(texture(32, 96), window=Window(0, 0, 96, 32))
    files = OpenFiles()
    source = describe_source(files.get(str(path)), [1, 2, 3], geobox=source_geobox(path))
    observed = read_native(source, files, Window(5, 10, 80, 40))[1]
    assert observed[:22].all()
    assert not observed[22:].any()


@pytest.mark.parametrize(
    ("height", "options"), [(3000, {"compress": "deflate"}), (3000, {}), (3000, {"blockysize": 1})]
)
def test_strips_of_a_whole_file_are_all_there(height: int, options: dict[str, object], tmp_path: Path) -> None:
    path = write_below(tmp_path, "strips.tif", texture(height, 16), **{"blockysize": height, **options})
    files = OpenFiles()
    source = describe_source(files.get(path), [1, 2, 3], geobox=source_geobox(path))
    assert read_native(source, files, Window(0, 900, 16, 200))[1].all()


@pytest.mark.parametrize(("tag", "value"), [(324, 10_000_000), (324, 0), (325, 7)])
def test_a_block_that_lies_beyond_the_file_is_an_error_with_its_window(tag: int, value: int, tmp_path: Path) -> None:
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32, "interleave": "pixel", "compress": "deflate"}
    hurt = patched(Path(write_below(tmp_path, "a.tif", texture(64, 96), **tiles)), tmp_path / "hurt.tif", tag, 1, value)
    files = OpenFiles()
    source = describe_source(files.get(str(hurt)), [1, 2, 3], geobox=source_geobox(hurt))
    with pytest.raises(SourceError, match=r"hurt\.tif.*columns 32\+32, rows 0\+32"):
        read_native(source, files, Window(32, 0, 32, 32))


def test_a_head_that_gdal_gives_up_on_late_is_an_error_of_the_file_or_a_plain_picture_e11(tmp_path: Path) -> None:
    points = [GroundControlPoint(row, col, 5e5 + col, 5.1e6 - row) for row in (0, 50) for col in (0, 60)]
    whole = Path(write_below(tmp_path, "whole.tif", texture(60, 80), transform=None, gcps=points))
    key, lost = struct.pack("<2H", 1026, 34737), struct.pack("<2H", 1026, 42929)  # in a tag that there is not
    whole.write_bytes(whole.read_bytes().replace(key, lost))
    with pytest.raises(SourceError, match=r"whole\.tif"):
        source_geobox(whole)
    assert alpha_band(OpenFiles().get(str(whole)), "auto") == (None, None)


# --- areas of interest


DAMAGED_AREAS = {
    "GML": ("a.gml", lambda content: content[: len(content) // 2]),
    "FlatGeobuf": ("a.fgb", lambda content: content[: len(content) * 2 // 3]),
    "KML": ("a.kml", lambda content: re.sub(rb"<coordinates>[^ ]+ ", b"<coordinates>15,46.2 ", content)),
    "ESRI Shapefile": ("a.shp", lambda content: content[:-24] + bytes(24)),
}


@pytest.mark.parametrize(("driver", "how"), DAMAGED_AREAS.items(), ids=DAMAGED_AREAS)
def test_a_damaged_area_is_an_error_of_the_file_e11(
    driver: str, how: tuple[str, Callable[[bytes], bytes]], tmp_path: Path
) -> None:
    area = geopandas.GeoDataFrame(geometry=[shapely.box(15, 46, 15.1, 46.1)], crs="EPSG:4326")
    path, damage = tmp_path / how[0], how[1]
    area.to_file(path, driver=driver, engine="pyogrio")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(GridError, match=how[0]):
        read_aoi(path)


def test_an_area_that_has_no_place_in_the_crs_of_the_images_is_an_error_e11(image: Path) -> None:
    area = Geometry(shapely.box(15, 46, 1e6, 1e7), "EPSG:4326")
    with pytest.raises(GridError, match="no place in WGS 84"):
        open_stack([[str(image)]], aoi=area)


def test_a_shapefile_with_half_a_crs_is_an_error_of_the_file_e11(tmp_path: Path) -> None:
    area = geopandas.GeoDataFrame(geometry=[shapely.box(5e5, 5e6, 6e5, 6e6)], crs="EPSG:32633")
    area.to_file(tmp_path / "a.shp", engine="pyogrio")
    prj = tmp_path / "a.prj"
    prj.write_text(prj.read_text()[:-40])
    with pytest.raises(GridError, match=r"a\.shp"):
        read_aoi(tmp_path / "a.shp")


REACHING_OUT = [
    (
        "a.vrt",
        "<OGRVRTDataSource><OGRVRTLayer><SrcDataSource>/vsicurl/{host}/x</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>",
        "a virtual layer",
    ),
    ("a.xml", "<OGRWFSDataSource><URL>{host}</URL></OGRWFSDataSource>", "a service"),
    ("a.json", '{{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read {host}/x"}}', "a command"),
    ("a.kml", '<!DOCTYPE k [<!ENTITY a "aaaa">]><kml><Document><name>&a;</name></Document></kml>', "document type"),
]


@pytest.mark.parametrize(("name", "text", "word"), REACHING_OUT)
def test_an_area_that_reaches_out_is_refused(name: str, text: str, word: str, stranger: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text.format(host=stranger))
    with pytest.raises(GridError, match=word):
        read_aoi(tmp_path / name)


@pytest.mark.parametrize("corner", ["NaN, 46.1", "1e999, 46.1", '"x", 46.1', "null, 46.1"])
def test_an_area_with_a_corner_that_is_nowhere_is_an_error(corner: str, tmp_path: Path) -> None:
    ring = f"[[15, 46], [15.1, 46], [{corner}], [15, 46]]"
    (tmp_path / "a.geojson").write_text(f'{{"type": "Polygon", "coordinates": [{ring}]}}')
    with pytest.raises(GridError, match=r"a\.geojson"):
        read_aoi(tmp_path / "a.geojson")


@pytest.mark.slow
def test_an_area_of_a_million_corners_is_one(tmp_path: Path) -> None:
    turn = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    ring = np.column_stack([15 + 0.1 * np.cos(turn), 46 + 0.1 * np.sin(turn)]).round(9).tolist()
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}))
    assert read_aoi(tmp_path / "a.geojson").geom.area == pytest.approx(np.pi / 100, rel=1e-4)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b.tif"])
def test_a_name_that_no_file_can_have_is_no_such_file(name: str) -> None:
    with pytest.raises(SourceError, match=r"does not open|no such file"):
        source_geobox(name)
    with pytest.raises(GridError, match=r"does not open|no such file"):
        read_aoi(name)


def test_a_file_that_is_no_raster_is_still_fingerprinted(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text('{"type": "Polygon", "coordinates": []}')
    (found,) = fingerprint([str(tmp_path / "a.geojson")])
    assert found.header is not None


# --- catalogues


@pytest.mark.parametrize(
    "href",
    ["file:///etc/hostname", "/etc/hostname", "../x.tif", "/vsicurl/http://h/x", "vrt:///x", "C:\\x.tif", "PG:db"],
)
def test_an_item_from_elsewhere_names_no_file_of_this_machine(href: str) -> None:
    assert located_href(href, here=False) is None


@pytest.mark.parametrize("href", ["/vsis3/b/x.tif", "vrt:///x.tif", "zip:///x.zip", "x\0.tif"])
def test_an_item_on_this_disk_gives_gdal_no_orders(href: str) -> None:
    assert located_href(href, here=True) is None


def test_an_item_on_this_disk_names_files_and_addresses(tmp_path: Path) -> None:
    path = str(tmp_path / "a b.tif")
    assert located_href(path, here=True) == path
    assert located_href(Path(path).as_uri(), here=True) == path
    for here in (True, False):
        assert located_href("https://h/x.tif", here=here) == "https://h/x.tif"


def item(folder: Path, href: str, **properties: object) -> dict[str, object]:
    """An item of a catalogue."""
    ring = [[15, 46], [15.1, 46], [15.1, 46.1], [15, 46]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": folder.name, "bbox": [15, 46, 15.1, 46.1], "links": [],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": "2020-01-01T00:00:00Z", **properties},
        "assets": {"visual": {"href": href, "type": "image/tiff"}},
    }  # fmt: skip


def test_an_item_that_does_not_read_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    items = [
        item(tmp_path / "cloud", "a.tif", **{"eo:cloud_cover": "much"}),
        item(tmp_path / "shape", "a.tif", **{"proj:shape": ["x"]}),
        item(tmp_path / "orders", "/vsicurl/http://127.0.0.1:9/x.tif"),
        item(tmp_path / "good", "a.tif"),
    ]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    images, left = stac_images(str(tmp_path / "items.json"), Selection())
    assert [image.name for image in images] == ["good"]
    assert [scene.id for scene in left] == ["cloud", "shape", "orders"]
    assert "may not name" in left[2].reason


def test_a_catalogue_that_links_itself_is_an_error(tmp_path: Path) -> None:
    links = [{"rel": rel, "href": "./catalog.json"} for rel in ("root", "child")]
    document = {"type": "Catalog", "id": "a", "stac_version": "1.0.0", "description": "round", "links": links}
    (tmp_path / "catalog.json").write_text(json.dumps(document))
    with pytest.raises(QueryError, match="RecursionError"):
        stac_images(str(tmp_path / "catalog.json"), Selection())


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a\0b", "CON", "nul.txt", "com1", "x" * 400, "..", "~", " "]
)
def test_a_scene_is_called_so_that_its_folder_lies_in_that_of_the_answers(name: str, tmp_path: Path) -> None:
    safe = safe_name(name)
    assert (tmp_path / safe).resolve().parent == tmp_path.resolve()
    assert len(safe) <= 90
    assert not safe.casefold().startswith(("con", "nul", "com1"))
