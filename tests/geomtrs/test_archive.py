"""Many scenes in one run: found by place and date, asked one by one, killed and gone on with, added up (G1 to G5)."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pystac
import pytest
import rasterio
import shapely
from affine import Affine

import geomtrs
from geomtrs.archive.batch import BatchResult, SceneEnded, Scenes
from geomtrs.archive.begin import open_ledger
from geomtrs.archive.ledger import rows
from geomtrs.archive.merge import FIELDS, without_doubles
from geomtrs.archive.pairing import scenes_of
from geomtrs.archive.plan import plan_batch
from geomtrs.archive.scene import Image, Scene
from geomtrs.archive.verify import verify_batch
from geomtrs.errors import GeomtrsError, JobError, QueryError
from geomtrs.outputs.verify import verify
from tests.geomtrs.test_cli import geomtrs as command
from tests.geomtrs.test_cli import refused
from tiling.errors import GridError

SENTENCE = "the roofs that appeared"
HEIGHT, WIDTH = 60, 80


def image(path: Path, *, thing: tuple[slice, slice] | None = None, east_px: int = 0) -> Path:
    """A raster of 2 m pixels, `east_px` of them further east; with a bright thing or without."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(east_px).integers(90, 104, (3, HEIGHT, WIDTH), dtype=np.uint8)
    if thing is not None:
        pixels[:, *thing] = 245
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": HEIGHT, "width": WIDTH}
    transform = Affine(2.0, 0.0, 500_003.5 + 2 * east_px, 0.0, -2.0, 5_100_007.25)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as raster:
        raster.write(pixels)
    return path


THING = (slice(20, 40), slice(30, 50))


def pair(folder: Path, name: str, *, east_px: int = 0, thing: tuple[slice, slice] = THING) -> tuple[Path, Path]:
    """Two dates of a place, the second with a thing more."""
    before = image(folder / f"{name}_2019.tif", east_px=east_px)
    return before, image(folder / f"{name}_2023.tif", east_px=east_px, thing=thing)


def archive(folder: Path, count: int = 3) -> Path:
    """Places beside each other."""
    for n in range(count):
        pair(folder, f"tile{n}", east_px=200 * n)
    return folder


def ask(source: Path, out: Path, **options: object) -> BatchResult:
    return geomtrs.batch(source, query=SENTENCE, out=out, model="differencing", **options)


def table(path: Path, lines: Iterable[Mapping[str, object]]) -> Path:
    frame = pd.DataFrame(list(lines))
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def names(scenes: Iterable[Scene]) -> list[str]:
    return [scene.id for scene in scenes]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished batch of two scenes that share ground, one that is broken and one without a second date."""
    base = tmp_path_factory.mktemp("batch")
    pair(base / "in" / "west", "a", thing=(slice(20, 40), slice(60, 75)))
    pair(base / "in" / "east", "b", east_px=50, thing=(slice(20, 40), slice(10, 25)))  # the same thing
    (base / "in" / "broken_2019.tif").write_bytes(b"II*\x00 no more")
    image(base / "in" / "alone_2020.tif", east_px=1000)
    ask(base / "in", base / "out")
    return base


# --- G1: what a scene is


def test_pairs_of_a_folder_are_found_by_place_and_date_wherever_they_lie_g1(tmp_path: Path) -> None:
    for year, folder in (("2019", "x"), ("2021-06-03", "y/z"), ("20230101", "x")):
        image(tmp_path / folder / f"north_{year}.tif")
        image(tmp_path / folder / f"south_{year}.tif", east_px=500)
    found = plan_batch(tmp_path).scenes
    assert [tuple(Path(path).name for path in scene.images) for scene in found] == [
        ("north_2019.tif", "north_2021-06-03.tif"),
        ("south_2019.tif", "south_2021-06-03.tif"),
        ("north_2021-06-03.tif", "north_20230101.tif"),
        ("south_2021-06-03.tif", "south_20230101.tif"),
    ]
    assert names(found)[2] == "y-z-north_20210603-20230101"


def test_less_than_half_of_the_ground_in_common_is_no_pair_g1(tmp_path: Path) -> None:
    image(tmp_path / "a_2019.tif")
    image(tmp_path / "b_2023.tif", east_px=WIDTH // 2 - 1)
    image(tmp_path / "c_2024.tif", east_px=WIDTH + 10)
    found = plan_batch(tmp_path)
    assert names(found.scenes) == ["a_2019-2023"]
    assert [(scene.id, scene.reason) for scene in found.left] == [("c_2024", "no other date of this place")]


def test_dates_may_stand_in_the_folders_g1(tmp_path: Path) -> None:
    image(tmp_path / "2019" / "a.tif")
    image(tmp_path / "2023" / "a.tif")
    (scene,) = plan_batch(tmp_path).scenes
    assert scene.dates == ("2019", "2023")


def test_all_dates_of_a_place_may_be_one_scene_g1(tmp_path: Path) -> None:
    for year in (2019, 2021, 2023):
        image(tmp_path / f"a_{year}.tif")
    (scene,) = plan_batch(tmp_path, series=True).scenes
    assert len(scene.images) == 3


def test_files_of_one_date_go_with_those_of_their_own_name_g1(tmp_path: Path) -> None:
    for year in (2019, 2023):
        for kind in ("pan", "rgb"):
            image(tmp_path / f"{kind}_{year}.tif")
    assert names(plan_batch(tmp_path).scenes) == ["pan_2019-2023", "rgb_2019-2023"]
    assert names(plan_batch(tmp_path, pattern="rgb*").scenes) == ["rgb_2019-2023"]


def test_a_copy_of_an_image_is_left_out_by_name_g1(tmp_path: Path) -> None:
    pair(tmp_path / "a", "x")
    image(tmp_path / "copy" / "x_2019.tif")
    found = plan_batch(tmp_path)
    assert names(found.scenes) == ["a-x_2019-2023"]
    assert "the same place and date as" in found.left[0].reason


def test_the_outputs_are_no_source_g1(tmp_path: Path) -> None:
    archive(tmp_path, 1)
    ask(tmp_path, tmp_path / "out")
    assert names(plan_batch(tmp_path, out=tmp_path / "out").scenes) == ["tile0_2019-2023"]


def test_outputs_are_no_source_however_their_folder_is_spelt_g1(tmp_path: Path) -> None:
    archive(tmp_path, 1)
    image(tmp_path / "out" / "half_written_2019.tif")
    found = plan_batch(tmp_path, out=tmp_path / "in" / ".." / "out")
    assert (names(found.scenes), names(found.left)) == (["tile0_2019-2023"], [])


def test_outputs_of_earlier_batches_and_runs_are_no_source_g1(tmp_path: Path) -> None:
    images = pair(tmp_path / "in", "tile0")
    ask(tmp_path / "in", tmp_path / "batch")
    for out in ("run", "in"):  # beside the images too
        geomtrs.detect(*images, query=SENTENCE, out=tmp_path / out, model="differencing")
    found = plan_batch(tmp_path, out=tmp_path / "next")
    assert (names(found.scenes), names(found.left)) == (["in-tile0_2019-2023"], [])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_names_pairs_beside_it_g1(tmp_path: Path, suffix: str) -> None:
    pair(tmp_path / "in", "a")
    pair(tmp_path / "in", "b", east_px=300)
    lines = [
        {"before": "in/a_2019.tif", "after": "in/a_2023.tif", "scene_id": "first", "date_before": "2018-05-01"},
        {"before": "in/b_2019.tif", "after": "in/b_2023.tif", "scene_id": None, "date_before": None},
    ]
    first, second = plan_batch(table(tmp_path / f"pairs.{suffix}", lines)).scenes
    assert (first.id, first.dates) == ("first", ("2018-05-01", "2023"))
    assert (second.id, second.dates) == ("b_2019-2023", None)
    assert first.images[0] == str(tmp_path / "in" / "a_2019.tif")
    assert first.pixels == HEIGHT * WIDTH


def test_a_row_has_its_own_area_of_interest_g1(tmp_path: Path) -> None:
    before, after = pair(tmp_path, "a")
    west, south, east, north = 15.0, 46.0, 15.0008, 46.2  # the western part of the image
    line = {"before": before.name, "after": after.name, "scene_id": "a", "aoi": f"{west},{south},{east},{north}"}
    result = ask(table(tmp_path / "pairs.csv", [line]), tmp_path / "out")
    assert result.scene("a").run["grid"]["shape"][1] < WIDTH


def test_the_area_of_a_row_lies_beside_its_table_whatever_its_name_g1(tmp_path: Path) -> None:
    before, after = pair(tmp_path, "a")
    line = {"before": before.name, "after": after.name, "scene_id": "a", "aoi": "north, east, south, west.gpkg"}
    (scene,) = plan_batch(table(tmp_path / "pairs.csv", [line])).scenes
    assert scene.aoi == str(tmp_path / "north, east, south, west.gpkg")


def test_scenes_beside_the_area_of_interest_are_left_out_g1(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    found = plan_batch(tmp_path / "in", aoi="15.0,46.0,15.001,46.2")
    assert names(found.scenes) == ["tile0_2019-2023"]
    assert found.left[0].reason == "outside the area of interest"


def test_a_crs_of_the_area_that_is_none_is_refused_by_name_g1(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    with pytest.raises(GridError, match="--aoi-crs: found 'EPSG:99999'"):
        plan_batch(tmp_path / "in", aoi="15.0,46.0,15.001,46.2", aoi_crs="EPSG:99999")


def catalogue(folder: Path, clouds: dict[str, float]) -> Path:
    """A static STAC catalogue of the archive's images, written with relative addresses."""
    top = pystac.Catalog("top", "images")
    for path in sorted((folder / "in").glob("*.tif")):
        with rasterio.open(path) as raster:
            ground = shapely.box(*rasterio.warp.transform_bounds(raster.crs, "EPSG:4326", *raster.bounds))
        moment = datetime(int(path.stem[-4:]), 6, 1, tzinfo=UTC)
        properties = {"eo:cloud_cover": clouds.get(path.stem, 0.0)}
        item = pystac.Item(path.stem, shapely.geometry.mapping(ground), list(ground.bounds), moment, properties)
        item.add_asset("thumbnail", pystac.Asset(str(path.with_suffix(".png")), media_type="image/png"))
        item.add_asset("image", pystac.Asset(str(path), media_type=pystac.MediaType.COG, roles=["data"]))
        top.add_item(item)
    top.normalize_and_save(str(folder / "stac"), pystac.CatalogType.SELF_CONTAINED)
    return folder / "stac" / "catalog.json"


def test_a_static_stac_catalogue_is_asked_less_its_clouds_g1(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    source = catalogue(tmp_path, {"tile1_2023": 35.0})
    found = plan_batch(source)
    assert names(found.scenes) == ["tile0_20190601-20230601"]
    assert ("tile1_2023", "cloud cover 35 %, above 20 %") in [(scene.id, scene.reason) for scene in found.left]
    assert len(plan_batch(source, max_cloud=40).scenes) == 2
    result = ask(source, tmp_path / "out")
    assert result.exit_code == 0
    assert set(result.polygons["date_to"]) == {"2023-06-01"}


class Api(BaseHTTPRequestHandler):
    """The least that is a STAC API: a landing page, and a search that answers with all items."""

    items: ClassVar[list[dict[str, object]]] = []
    asked: ClassVar[list[dict[str, object]]] = []

    def do_GET(self) -> None:
        here = f"http://{self.headers['Host']}"
        conforms = [f"https://api.stacspec.org/v1.0.0/{name}" for name in ("core", "item-search")]
        search = {"rel": "search", "href": f"{here}/search", "type": "application/geo+json", "method": "POST"}
        links = [{"rel": rel, "href": here, "type": "application/json"} for rel in ("self", "root")]
        page = {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "api",
            "description": "an API",
            "conformsTo": conforms,
        }
        self.answer({**page, "links": [*links, search]})

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer({"type": "FeatureCollection", "features": self.items, "links": []})

    def answer(self, document: dict[str, object]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def test_a_stac_api_is_searched_g1(tmp_path: Path) -> None:
    archive(tmp_path / "in", 1)
    top = pystac.Catalog.from_file(str(catalogue(tmp_path, {})))
    Api.items = [item.to_dict(include_self_link=False, transform_hrefs=False) for item in top.get_items()]
    for item in Api.items:
        item["links"] = []
        item["assets"] = {"image": {**item["assets"]["image"], "href": f"https://images.example/{item['id']}.tif"}}  # type: ignore[index]  # as pystac writes items
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(QueryError, match="--collection"):
            plan_batch(address)
        found = plan_batch(address, collections=["c"], bbox="15,46,15.1,46.1", datetime="2019/2023")
        server.shutdown()
    assert names(found.scenes) == ["tile0_20190601-20230601"]
    assert found.scenes[0].images[0] == "https://images.example/tile0_2019.tif"
    assert Api.asked[0]["collections"] == ["c"]
    assert Api.asked[0]["bbox"] == [15.0, 46.0, 15.1, 46.1]


# --- G2: bad scenes


def test_a_bad_scene_does_not_stop_the_others_and_is_named_g2(answered: Path) -> None:
    result = BatchResult(answered / "out")
    assert result.counts == {"done": 2, "skipped": 1, "failed": 1}
    assert result.exit_code == 3
    failures = json.loads((answered / "out" / "failures.geojson").read_text(encoding="utf-8"))
    (properties,) = [feature["properties"] for feature in failures["features"]]
    assert properties["scene_id"] == "broken_2019"
    assert "does not open" in properties["reason"]
    page = (answered / "out" / "summary.html").read_text(encoding="utf-8")
    assert "broken_2019" in page
    assert "does not open" in page


def test_a_scene_that_fails_while_it_is_asked_is_named_and_tried_again_g2(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    lines = [{"before": f"in/tile{n}_2019.tif", "after": f"in/tile{n}_2023.tif", "scene_id": f"s{n}"} for n in (0, 1)]
    source = table(tmp_path / "pairs.csv", lines)
    hidden = (tmp_path / "in" / "tile0_2023.tif").rename(tmp_path / "in" / "hidden.tif")
    result = ask(source, tmp_path / "out")
    assert {row.scene.id: row.status for row in result.rows} == {"s0": "failed", "s1": "done"}
    assert "no such file" in result.rows[0].reason
    hidden.rename(tmp_path / "in" / "tile0_2023.tif")
    assert ask(source, tmp_path / "out").counts == {"done": 2}
    assert not (tmp_path / "out" / "failures.geojson").exists()


def test_nothing_that_could_be_done_is_a_failure_g2(tmp_path: Path) -> None:
    source = table(tmp_path / "pairs.csv", [{"before": "a.tif", "after": "b.tif", "scene_id": "gone"}])
    assert ask(source, tmp_path / "out").exit_code == 1


# --- G3: killed and gone on with

# Each block takes a while, so that the batch is killed in the middle of the second scene.
SLOW = """
import sys, time
from geomtrs.cli import main
from geomtrs.models.differencing import Differencing
whole = Differencing.features
def features(self, tiles):
    time.sleep(0.3)
    return whole(self, tiles)
Differencing.features = features
main(sys.argv[1:])
"""


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}


def test_killed_and_started_again_only_the_unfinished_scenes_are_asked_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in")
    out = tmp_path / "out"
    words = ["batch", str(tmp_path / "in"), "-q", SENTENCE, "-o", str(out), "--model", "differencing"]
    with subprocess.Popen([sys.executable, "-c", SLOW, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("1/3"):
                break
        process.kill()
    assert [row.status for row in rows(out / "ledger.gpkg")].count("done") == 1
    first = stamps(out / "tile0_2019-2023")
    events: list[object] = []
    result = ask(tmp_path / "in", out, on_event=events.append)
    assert [(event.total, event.n_done) for event in events if isinstance(event, Scenes)] == [(3, 1)]
    assert [event.scene_id for event in events if isinstance(event, SceneEnded)] == [
        "tile1_2019-2023",
        "tile2_2019-2023",
    ]
    assert stamps(out / "tile0_2019-2023") == first
    assert result.counts == {"done": 3}
    assert verify(out / "tile1_2019-2023") == []


# Dies in the middle of a change that is already in part in the file.
DIES = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE scenes SET status = 'running', reason = hex(zeroblob(3000))")
os._exit(1)
"""


def test_a_ledger_of_which_a_change_was_half_written_reads_as_before_it_g3(tmp_path: Path) -> None:
    scenes = [Scene(f"s{n}", ("a.tif", "b.tif"), ground=shapely.box(n, 0, n + 1, 1)) for n in range(50)]
    open_ledger(tmp_path, {}, scenes, fresh=False).__exit__()
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "ledger.gpkg")], check=False)
    assert (tmp_path / "ledger.gpkg-journal").exists()
    assert {row.status for row in rows(tmp_path / "ledger.gpkg")} == {"pending"}
    assert len(pyogrio.read_dataframe(tmp_path / "ledger.gpkg", layer="scenes")) == 50


def test_a_scene_that_was_done_before_the_ledger_knew_is_not_asked_again_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 1)
    ask(tmp_path / "in", tmp_path / "out")
    with closing(sqlite3.connect(tmp_path / "out" / "ledger.gpkg")) as database, database:
        database.execute("UPDATE scenes SET status = 'running', polygons = NULL")
    before = stamps(tmp_path / "out" / "tile0_2019-2023")
    (row,) = ask(tmp_path / "in", tmp_path / "out").rows
    assert (row.status, row.polygons) == ("done", 1)
    assert stamps(tmp_path / "out" / "tile0_2019-2023") == before


def test_an_image_that_was_written_to_since_is_asked_again_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    ask(tmp_path / "in", tmp_path / "out")
    before = stamps(tmp_path / "out" / "tile1_2019-2023")
    image(tmp_path / "in" / "tile0_2023.tif")
    result = ask(tmp_path / "in", tmp_path / "out")
    assert [row.polygons for row in result.rows] == [0, 1]
    assert stamps(tmp_path / "out" / "tile1_2019-2023") == before


def test_a_scene_whose_folder_is_gone_is_asked_again_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    ask(tmp_path / "in", tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "tile1_2019-2023")
    assert ask(tmp_path / "in", tmp_path / "out", limit=1).counts == {"done": 1, "pending": 1}
    assert ask(tmp_path / "in", tmp_path / "out").counts == {"done": 2}


def test_scenes_that_are_new_in_the_source_are_asked_too_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 1)
    ask(tmp_path / "in", tmp_path / "out")
    archive(tmp_path / "more", 2)
    for path in (tmp_path / "more").glob("tile1_*"):
        path.rename(tmp_path / "in" / path.name)
    assert ask(tmp_path / "in", tmp_path / "out").counts == {"done": 2}


def test_ctrl_c_leaves_the_scene_pending_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)

    def interrupted(event: object) -> None:
        if isinstance(event, SceneEnded):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path / "in", tmp_path / "out", on_event=interrupted)
    assert [row.status for row in rows(tmp_path / "out" / "ledger.gpkg")] == ["done", "pending"]
    assert ask(tmp_path / "in", tmp_path / "out").counts == {"done": 2}


@pytest.mark.parametrize(
    ("options", "named"),
    [({"threshold": 0.6}, "threshold: 0.5, not 0.6"), ({"min_area_m2": 50.0}, "min_area_m2"), ({}, "queries")],
)
def test_another_question_is_refused_by_name_unless_fresh_g3(
    answered: Path, options: dict[str, float], named: str
) -> None:
    sentence = SENTENCE if options else "the roofs that disappeared"
    with pytest.raises(JobError, match=named):
        geomtrs.batch(answered / "in", query=sentence, out=answered / "out", model="differencing", **options)


def test_another_sentence_is_told_in_words_not_in_json_g3(answered: Path) -> None:
    with pytest.raises(JobError) as caught:
        geomtrs.batch(answered / "in", query="new lakes", out=answered / "out", model="differencing")
    assert f"queries: “{SENTENCE}”, not “new lakes”" in str(caught.value)
    assert "{" not in str(caught.value)


def test_a_batch_is_verified_scene_by_scene_d12(answered: Path, tmp_path: Path) -> None:
    shutil.copytree(answered / "out", tmp_path / "out")
    assert verify_batch(tmp_path / "out") == []
    mask = next((tmp_path / "out").glob("east-b*")) / "mask.tif"
    mask.write_bytes(mask.read_bytes()[:-1])
    (tmp_path / "out" / "summary.html").unlink()
    shutil.rmtree(next((tmp_path / "out").glob("west-a*")))
    done = command("verify", str(tmp_path / "out"))
    assert done.returncode == 1
    for words in ("summary.html: missing", "east-b_2019-2023/mask.tif: ", "west-a_2019-2023: "):
        assert words in done.stdout


def test_fresh_starts_over_and_goes_on_without_it_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    ask(tmp_path / "in", tmp_path / "out")
    result = ask(tmp_path / "in", tmp_path / "out", fresh=True, limit=1, threshold=0.6)
    assert result.counts == {"done": 1, "pending": 1}
    result = ask(tmp_path / "in", tmp_path / "out", threshold=0.6)
    assert result.counts == {"done": 2}
    assert [result.scene(row.scene.id).run["job"]["spec"]["threshold"] for row in result.rows] == [0.6, 0.6]


def test_two_batches_in_one_folder_are_refused_g3(answered: Path) -> None:
    from geomtrs.lock import only_one

    with only_one(answered / "out" / ".geomtrs" / "lock"), pytest.raises(JobError, match="another run"):
        ask(answered / "in", answered / "out")


def test_the_ledger_opens_in_a_gis_while_the_batch_runs_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    seen: list[list[str]] = []

    def look(event: object) -> None:
        frame = pyogrio.read_dataframe(tmp_path / "out" / "ledger.gpkg", layer="scenes")
        assert frame.crs == "EPSG:4326"
        assert shapely.is_valid(frame.geometry).all()
        seen.append(list(frame["status"]))

    ask(tmp_path / "in", tmp_path / "out", on_event=look)
    assert seen == [["pending", "pending"], ["done", "pending"], *[["done", "done"]] * 3]


# --- G4: added up


def test_a_thing_in_two_scenes_is_in_the_merged_tables_once_g4(answered: Path) -> None:
    result = BatchResult(answered / "out")
    assert [row.polygons for row in result.rows if row.status == "done"] == [1, 1]
    merged = result.polygons
    assert len(merged) == 1
    assert merged.crs == "EPSG:4326"
    assert merged["scene_id"][0] in {"east-b_2019-2023", "west-a_2019-2023"}
    layer = pyogrio.read_dataframe(answered / "out" / "all.gpkg", layer="changes")
    assert layer[["id", "scene_id"]].values.tolist() == merged[["id", "scene_id"]].values.tolist()


def test_a_thing_across_180_degrees_is_merged_in_its_own_place_g4_a18(tmp_path: Path) -> None:
    for path in pair(tmp_path / "in", "fiji"):
        with rasterio.open(path, "r+") as raster:
            raster.crs = "+proj=laea +lat_0=-17 +lon_0=180 +datum=WGS84"
            raster.transform = Affine(2.0, 0.0, -80.0, 0.0, -2.0, 60.0)
    result = ask(tmp_path / "in", tmp_path / "out")
    for table in (result.polygons, pyogrio.read_dataframe(tmp_path / "out" / "all.gpkg", layer="changes")):
        assert len(table) == 1
        sides = shapely.get_parts(table.geometry.to_numpy()[0])
        west, _, east, _ = shapely.bounds(sides).T
        assert sorted(np.sign(west).tolist()) == [-1, 1]
        assert (east - west).max() < 0.001
        assert table.geometry.is_valid.all()
    assert verify_batch(tmp_path / "out") == []


def found(*things: tuple[str, float, float, str]) -> geopandas.GeoDataFrame:
    """Things as (scene, west edge, prob_mean, date_to), each a square of one degree."""
    frame = pd.DataFrame({name: pd.Series([0] * len(things)) for name in FIELDS}).astype(FIELDS)
    frame["query"] = "q"
    for n, name in enumerate(("scene_id", None, "prob_mean", "date_to")):
        if name:
            frame[name] = pd.Series([thing[n] for thing in things], dtype=FIELDS[name])
    squares = [shapely.box(thing[1], 0, thing[1] + 1, 1) for thing in things]
    return geopandas.GeoDataFrame(frame, geometry=squares, crs="EPSG:4326")


@pytest.mark.parametrize(
    ("things", "kept"),
    [
        ((("a", 0.0, 0.7, "2023"), ("b", 0.1, 0.9, "2023")), [0.9]),
        ((("a", 0.0, 0.7, "2023"), ("b", 0.5, 0.9, "2023")), [0.7, 0.9]),  # IoU 1/3
        ((("a", 0.0, 0.7, "2023"), ("a", 0.1, 0.9, "2023")), [0.7, 0.9]),  # of one scene
        ((("a", 0.0, 0.7, "2023"), ("b", 0.1, 0.9, "2024")), [0.7, 0.9]),  # of other dates
        ((("a", 0.0, 0.8, "2023"), ("b", 0.1, 0.8, "2023"), ("c", 0.0, 0.6, "2023")), [0.8]),
        ((), []),
    ],
)
def test_of_doubles_the_surer_one_stays_g4(
    things: tuple[tuple[str, float, float, str], ...], kept: list[float]
) -> None:
    left = without_doubles(found(*things))
    assert left["prob_mean"].tolist() == kept
    assert left["id"].tolist() == list(range(1, len(kept) + 1))


def test_every_sentence_has_its_layer_and_an_empty_answer_is_typed_g4(tmp_path: Path) -> None:
    archive(tmp_path / "in", 1)
    sentences = [SENTENCE, "the roofs that disappeared"]
    result = geomtrs.batch(tmp_path / "in", query=sentences, out=tmp_path / "out", model="differencing")
    counts = {
        name: len(pyogrio.read_dataframe(tmp_path / "out" / "all.gpkg", layer=name))
        for name in ("changes_the-roofs-that-appeared", "changes_the-roofs-that-disappeared")
    }
    assert counts == {"changes_the-roofs-that-appeared": 1, "changes_the-roofs-that-disappeared": 0}
    assert result.polygons["query"].tolist() == [SENTENCE]


def test_the_scenes_are_a_stac_collection_g4(answered: Path) -> None:
    collection = pystac.Collection.from_file(answered / "out" / "collection.json")
    assert sorted(item.id for item in collection.get_items()) == ["east-b_2019-2023", "west-a_2019-2023"]
    assert collection.extent.temporal.to_dict()["interval"] == [["2019-01-01T00:00:00Z", "2023-12-31T23:59:59Z"]]


def test_the_summary_needs_no_network_g4(answered: Path) -> None:
    page = (answered / "out" / "summary.html").read_text(encoding="utf-8")
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("data:image/jpeg;base64,") == 2


def test_the_summary_names_bad_images_without_their_folders_g2(answered: Path) -> None:
    page = (answered / "out" / "summary.html").read_text(encoding="utf-8")
    assert "broken_2019.tif: found" in page
    assert str(answered / "in") not in page


# --- G5 and F6: quickly planned, the same bytes


def test_a_thousand_places_are_paired_each_with_its_own_g5() -> None:
    def at(n: int, year: int) -> Image:
        ground = shapely.box(n % 40, n // 40, n % 40 + 1.1, n // 40 + 1.1)
        return Image(f"{n:04}_{year}.tif", f"{n:04}", f"{n:04}", str(year), ground, 1024**2)

    scenes = scenes_of([at(n, year) for n in range(1000) for year in (2019, 2023)])
    assert [scene.images for scene in scenes] == [(f"{n:04}_2019.tif", f"{n:04}_2023.tif") for n in range(1000)]


def test_a_table_of_a_thousand_scenes_is_planned_and_kept_whole_g5(tmp_path: Path) -> None:
    before, after = pair(tmp_path, "a")
    lines = [{"before": before.name, "after": after.name, "scene_id": f"s{n:04}"} for n in range(1000)]
    found = plan_batch(table(tmp_path / "pairs.csv", lines))
    assert names(found.scenes) == [f"s{n:04}" for n in range(1000)]
    assert found.megapixels == pytest.approx(1000 * HEIGHT * WIDTH / 1e6)
    assert found.bytes == before.stat().st_size + after.stat().st_size
    with open_ledger(tmp_path, {}, found.scenes, fresh=False) as ledger:
        ledger.set("s0999", "failed", "why")
    kept = rows(tmp_path / "ledger.gpkg")
    assert [row.scene.id for row in kept] == names(found.scenes)
    assert (kept[-1].status, kept[-1].reason) == ("failed", "why")


def test_a_batch_gives_the_bytes_of_a_single_run_f6(tmp_path: Path) -> None:
    before, after = pair(tmp_path / "in", "a")
    ask(tmp_path / "in", tmp_path / "out")
    geomtrs.detect(before, after, query=SENTENCE, out=tmp_path / "single", model="differencing")
    for name in ("mask.tif", "probability.tif", "coverage.tif"):
        single = (tmp_path / "single" / name).read_bytes()
        assert (tmp_path / "out" / "a_2019-2023" / name).read_bytes() == single, name


# --- the command


def test_a_dry_run_lists_the_scenes_and_writes_nothing(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    there = sorted(tmp_path.rglob("*"))
    done = command("batch", str(tmp_path / "in"), "-q", SENTENCE, "-o", str(tmp_path / "out"), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "tile1_2019-2023" in done.stdout
    assert "2 scenes" in done.stdout
    assert sorted(tmp_path.rglob("*")) == there


def test_the_command_says_a_line_a_scene_and_what_failed(tmp_path: Path) -> None:
    archive(tmp_path / "in", 1)
    (tmp_path / "in" / "broken_2019.tif").write_bytes(b"no")
    words = ["batch", str(tmp_path / "in"), "-q", SENTENCE, "-o", str(tmp_path / "out"), "--model", "differencing"]
    done = command(*words)
    assert done.returncode == 3, done.stderr
    assert "1/1  tile0_2019-2023  1 found" in done.stderr
    assert "1 failed" in done.stderr
    assert str(tmp_path / "out" / "summary.html") in done.stdout
    quiet = command(*words, "--quiet")
    assert (quiet.returncode, quiet.stdout) == (3, "")
    assert quiet.stderr.endswith("summary.html says why\n")
    assert quiet.stderr.startswith("1 of 2 scenes failed: ")


def test_what_is_understood_of_the_sentences_and_what_is_not_is_said_once_b8(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    asked = ["-q", "new roofs > 20 m²", "-q", "new roofs over 20 m"]
    done = command("batch", str(tmp_path / "in"), *asked, "-o", str(tmp_path / "out"), "--model", "differencing")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("asked   “new roofs” · kept area_m2 > 20\n") == 1
    assert done.stderr.count("note    “over 20” is left in the sentence") == 1


@pytest.mark.parametrize(
    ("columns", "words"), [({"first": "a.tif", "after": "b.tif"}, ["before"]), ({"before": "a", "after": "b"}, [])]
)
def test_a_table_that_is_none_is_asked_wrongly(tmp_path: Path, columns: dict[str, str], words: list[str]) -> None:
    if not words:
        columns = {**columns, "scene_id": "../out"}
        words = ["scene_id"]
    source = table(tmp_path / "pairs.csv", [columns])
    with pytest.raises(QueryError, match=words[0]):
        plan_batch(source)


def test_a_source_that_is_none_is_asked_wrongly(tmp_path: Path) -> None:
    refused(command("batch", str(tmp_path / "none"), "-q", SENTENCE, "-o", str(tmp_path / "out")), 2, "no such folder")


def test_a_folder_without_a_pair_says_why(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    with pytest.raises(GeomtrsError, match="no date in its name"):
        ask(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
