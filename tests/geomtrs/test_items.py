"""A date may be a STAC item: it is answered as the raster that it names."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio

import geomtrs
from geomtrs.errors import QueryError
from geomtrs.items import open_items
from tests.faults.server import serve
from tests.geomtrs.conftest import ask, changed, ground, write
from tests.geomtrs.test_cli import geomtrs as command
from tests.geomtrs.test_cli import refused
from tiling.errors import SourceError

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
NEW = "the roofs that appeared"


def item(path: Path, assets: dict[str, dict[str, Any]], moment: str = "2020-05-01T10:00:00Z", **more: object) -> str:
    """An item, plain JSON as others write it."""
    document = {
        "type": "Feature", "stac_version": "1.0.0", "id": path.stem, "links": [], "geometry": None,
        "properties": {"datetime": moment}, "assets": assets, **more,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return str(path)


def asset(href: str, *roles: str, **more: object) -> dict[str, Any]:
    return {"href": href, "type": COG, "roles": list(roles or ("data",)), **more}


@pytest.fixture
def undated(tmp_path: Path) -> tuple[str, str]:
    """Two rasters whose names hold no date."""
    before = ground()
    return (
        str(write(tmp_path / "in" / "before.tif", before)),
        str(write(tmp_path / "in" / "after.tif", changed(before))),
    )


@pytest.fixture
def items(undated: tuple[str, str], tmp_path: Path) -> tuple[str, str]:
    """An item for each, elsewhere on the disk, with relative addresses."""
    return (
        item(tmp_path / "stac" / "a.json", {"image": asset("../in/before.tif")}, "2019-06-01T10:00:00Z"),
        item(tmp_path / "stac" / "b.geojson", {"image": asset("../in/after.tif")}, "2023-06-01T10:00:00Z"),
    )


def files_of(*dates: object) -> list[list[str]]:
    return [[Path(file).name for file in files] for files in open_items(dates)[0]]


def test_an_item_is_answered_as_its_raster_is_with_its_own_date(
    items: tuple[str, str], undated: tuple[str, str], tmp_path: Path
) -> None:
    of_items = ask(*items, query=NEW, out=tmp_path / "items")
    of_files = ask(*undated, query=NEW, out=tmp_path / "files", dates="2019-06-01,2023-06-01")
    assert (of_items.mask.to_numpy() == 1).any()
    assert np.array_equal(of_items.mask.to_numpy(), of_files.mask.to_numpy())
    assert of_items.polygons.drop(columns="geometry").equals(of_files.polygons.drop(columns="geometry"))


def test_the_plan_of_items_is_that_of_their_rasters(items: tuple[str, str], undated: tuple[str, str]) -> None:
    found, wanted = geomtrs.plan(*items).to_dict(), geomtrs.plan(*undated).to_dict()
    assert [date.pop("date") for date in found["dates"]] == ["2019-06-01", "2023-06-01"]
    assert [Path(date["files"][0]).resolve() for date in found["dates"]] == [Path(path) for path in undated]
    assert (found["grid"], found["tiles"]) == (wanted["grid"], wanted["tiles"])


def test_a_run_of_items_is_repeated_without_them(items: tuple[str, str], tmp_path: Path) -> None:
    first = ask(*items, query=NEW, out=tmp_path / "out")
    for path in items:
        Path(path).unlink()
    again = geomtrs.rerun(tmp_path / "out" / "run.json", out=tmp_path / "again")
    assert np.array_equal(first.mask.to_numpy(), again.mask.to_numpy())
    assert set(again.polygons["date_from"]) == {"2019-06-01"}


def test_dates_that_are_said_outrank_names_and_names_outrank_an_item(
    items: tuple[str, str], pair: tuple[str, str]
) -> None:
    named = item(Path(pair[0]).with_name("c.json"), {"image": asset("./2019.tif")})
    assert [date["date"] for date in geomtrs.plan(named, items[1]).to_dict()["dates"]] == ["2019", "2023-06-01"]
    said = geomtrs.plan(named, items[1], dates="2001,2002").to_dict()
    assert [date["date"] for date in said["dates"]] == ["2001", "2002"]


def test_a_raster_beside_an_item_keeps_the_date_of_its_tag(items: tuple[str, str], tmp_path: Path) -> None:
    tagged = write(tmp_path / "tagged.tif", ground(), TIFFTAG_DATETIME="2018:03:04 10:00:00")
    assert [date["date"] for date in geomtrs.plan(tagged, items[1]).to_dict()["dates"]] == ["2018-03-04", "2023-06-01"]


def test_what_shows_colours_is_chosen_before_what_is_data(tmp_path: Path) -> None:
    for name in ("b8", "tci"):
        write(tmp_path / f"{name}.tif", ground())
    thumbnail = {"href": "t.png", "type": "image/png", "roles": ["visual"]}
    assets = {"thumbnail": thumbnail, "nir": asset("b8.tif"), "image": asset("tci.tif", "visual")}
    by_role = item(tmp_path / "a.json", assets)
    by_key = item(tmp_path / "b.json", {"nir": asset("b8.tif"), "visual": asset("tci.tif")})
    assert files_of(by_role, by_key) == [["tci.tif"], ["tci.tif"]]


def bands(folder: Path, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """One band a file, called so that nobody knows which is which."""
    whole = write(folder / "whole.tif", pixels)
    with rasterio.open(whole) as raster:
        for number, name in enumerate("xyz", 1):
            with rasterio.open(folder / f"{name}.tif", "w", **{**raster.profile, "count": 1}) as band:
                band.write(raster.read(number), 1)


def colour(href: str, name: str, key: str) -> dict[str, Any]:
    field, name_field = {"eo:bands": ("eo:bands", "common_name"), "bands": ("bands", "eo:common_name")}[key]
    return asset(href, **{field: [{"name": "B", name_field: name}]})


@pytest.mark.parametrize("key", ["eo:bands", "bands", ""])
def test_red_green_and_blue_of_an_item_are_one_date_in_that_order(key: str, tmp_path: Path) -> None:
    before = ground()
    dates = []
    for name, pixels in (("a", before), ("b", changed(before))):
        bands(tmp_path / name, pixels)
        told = {"blue": "z.tif", "nir": "whole.tif", "green": "y.tif", "red": "x.tif"}
        assets = {
            f"B{number}" if key else called: colour(href, called, key) if key else asset(href)
            for number, (called, href) in enumerate(told.items())
        }
        dates.append(item(tmp_path / name / "item.json", assets))
    assert files_of(*dates) == [["x.tif", "y.tif", "z.tif"]] * 2
    of_items = ask(*dates, query=NEW, out=tmp_path / "items")
    of_files = ask(tmp_path / "a" / "whole.tif", tmp_path / "b" / "whole.tif", query=NEW, out=tmp_path / "files")
    assert np.array_equal(of_items.mask.to_numpy(), of_files.mask.to_numpy())


def test_bands_of_an_item_are_not_taken_for_tiles_beside_another(undated: tuple[str, str], tmp_path: Path) -> None:
    bands(tmp_path, ground())
    of_bands = item(tmp_path / "a.json", {"red": asset("x.tif"), "green": asset("y.tif"), "blue": asset("z.tif")})
    with pytest.raises(SourceError, match=r"a\.json: found an item of one band a file.*gdalbuildvrt"):
        open_items([[of_bands, undated[0]]])


def test_an_item_may_be_one_tile_of_a_date(items: tuple[str, str], undated: tuple[str, str]) -> None:
    assert open_items([[items[0], undated[1]]])[1] == ("2019-06-01",)
    assert files_of([items[0], undated[1]]) == [["before.tif", "after.tif"]]


def test_an_item_in_a_file_needs_no_pystac(items: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pystac", None)
    assert files_of(*items) == [["before.tif"], ["after.tif"]]


def test_an_item_of_pystac_is_answered_as_its_file_is(items: tuple[str, str]) -> None:
    objects = [pystac.Item.from_file(path) for path in items]
    assert geomtrs.plan(*objects).to_dict() == geomtrs.plan(*items).to_dict()


def test_an_item_of_pystac_that_lies_nowhere_names_addresses_only(undated: tuple[str, str], tmp_path: Path) -> None:
    made = pystac.Item("a", None, None, dt.datetime(2020, 5, 1, tzinfo=dt.UTC), {})
    made.add_asset("image", pystac.Asset("https://host/x.tif", media_type=COG))
    assert open_items([made]) == ([["https://host/x.tif"]], ("2020-05-01",))
    made.add_asset("visual", pystac.Asset(undated[0], media_type=COG))
    for told in (None, str(tmp_path / "never_written.json"), undated[0]):
        if told:
            made.set_self_href(told)
        with pytest.raises(SourceError, match=r"may not name.*remedy: save the item"):
            open_items([made])


@pytest.mark.parametrize("address", ["a/item.json", "collections/x/items/S2B_33TVM"])
def test_an_item_at_an_address_is_read_with_a_suffix_or_as_an_api_names_it(address: str, tmp_path: Path) -> None:
    item(tmp_path / address, {"image": asset("/in/x.tif")})
    with serve(tmp_path, "503", 0.3, seed=3) as served:
        found, days = open_items([f"{served.address}/{address}"])
    assert (found, days) == ([[f"{served.address}/in/x.tif"]], ("2020-05-01",))


def test_what_lies_beside_an_item_at_an_address_is_found_there(tmp_path: Path) -> None:
    item(tmp_path / "a" / "item.json", {"image": asset("../in/x.tif")})
    with serve(tmp_path) as served:
        assert open_items([f"{served.address}/a/item.json"])[0] == [[f"{served.address}/in/x.tif"]]


@pytest.mark.parametrize("scheme", ["file://", "/vsicurl/file://", "vrt://"])
def test_an_item_at_an_address_names_no_file_of_this_machine(
    scheme: str, undated: tuple[str, str], tmp_path: Path
) -> None:
    item(tmp_path / "item.json", {"image": asset(f"{scheme}{undated[0]}")})
    with serve(tmp_path) as served, pytest.raises(SourceError, match=r"item\.json: found a raster .* may not name"):
        open_items([f"{served.address}/item.json"])


def test_a_path_in_an_item_at_an_address_is_one_of_its_server(undated: tuple[str, str], tmp_path: Path) -> None:
    item(tmp_path / "item.json", {"image": asset(undated[0])})
    with serve(tmp_path) as served:
        assert open_items([f"{served.address}/item.json"])[0] == [[f"{served.address}{undated[0]}"]]


def test_an_address_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    with serve(tmp_path) as served, pytest.raises(SourceError, match=r"none\.json: found no answer .*404"):
        open_items([f"{served.address}/none.json"])


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"type": "Catalog"}, "a STAC catalogue"),
        ({"type": "Collection"}, "a STAC collection"),
        ({"type": "FeatureCollection", "features": []}, "a STAC item collection"),
    ],
)
def test_a_catalogue_is_no_date_and_batch_is_named(more: dict[str, object], found: str, tmp_path: Path) -> None:
    path = item(tmp_path / "a.json", {}, **more)
    with pytest.raises(QueryError, match=rf"a\.json: found {found}; wanted one item.*remedy: geomtrs batch"):
        open_items([path, path])


def test_a_catalogue_of_pystac_is_no_date_either() -> None:
    with pytest.raises(QueryError, match="found a STAC catalogue"):
        open_items([pystac.Catalog("a", "images")])


BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "no raster": ({"assets": {"t": {"href": "t.png", "type": "image/png"}}}, "no raster among its assets"),
    "gone": ({"assets": {"visual": {"href": "gone.tif"}}}, r"a raster .*gone\.tif that is not there"),
    "too long": ({"assets": {"visual": {"href": "x" * 9000}}}, "that is not there"),
    "no assets": ({"assets": None}, "does not read"),
    "a list": ({"assets": ["x"]}, "does not read"),
    "no date": ({"properties": {"datetime": "soon"}, "assets": {"visual": {"href": "a.json"}}}, "does not read"),
    "orders": ({"assets": {"visual": {"href": "/vsicurl/http://127.0.0.1:9/x"}}}, "may not name"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_item_that_gives_no_raster_is_an_error_that_names_it(kind: str, tmp_path: Path) -> None:
    more, words = BROKEN[kind]
    path = item(tmp_path / "a.json", {})
    Path(path).write_text(json.dumps({**json.loads(Path(path).read_text()), **more}))
    with pytest.raises(SourceError, match=rf"a\.json: found .*{words}.*remedy"):
        open_items([path])


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"type": "FeatureCollection", "features": []}', "[" * 100_000])
def test_json_that_is_no_stac_is_left_to_what_opens_rasters(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    dates = [str(tmp_path / "a.json"), str(tmp_path / "none.json")]
    assert open_items(dates) == (dates, (None, None))


def test_the_command_line_takes_items(items: tuple[str, str]) -> None:
    done = command("plan", *items)
    assert done.returncode == 0, done.stderr
    assert "date 1  before.tif · 2019-06-01" in done.stdout
    assert command("plan", "--date", items[0], "--date", items[1]).stdout == done.stdout


def test_the_command_line_says_what_to_do_with_a_catalogue(items: tuple[str, str], tmp_path: Path) -> None:
    path = item(tmp_path / "catalog.json", {}, type="Catalog")
    refused(command("plan", items[0], path), 2, "a STAC catalogue", "geomtrs batch")


def test_the_command_line_names_an_item_that_is_not_there(items: tuple[str, str], tmp_path: Path) -> None:
    refused(command("plan", items[0], str(tmp_path / "none.json")), 1, "none.json")
