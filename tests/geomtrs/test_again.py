"""A further sentence about a scene whose image features were kept: the head's cost, a full run's answer."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

import geomtrs
from geomtrs.device import choose
from geomtrs.errors import JobError, QueryError
from geomtrs.features import OF_THE_ANSWER, features_folder, keep_look, kept_look, read_kept
from geomtrs.models.nano import load_nano
from geomtrs.options import Options
from geomtrs.outputs.verify import verify
from geomtrs.query import Query
from geomtrs.result import ChangeResult
from geomtrs.state import JobState
from tests.geomtrs.test_cli import geomtrs as command
from tests.geomtrs.test_cli import refused
from tests.geomtrs.test_resume import Dies, started
from tiling.errors import OutputError, StoreError

FIRST, FURTHER = "the buildings that appeared", "the water that appeared"
# int8 maps: stated in the documentation. Measured 0.008 and 2e-5.
PROBABILITY, FLIPPED = 0.012, 1e-3
# fp32 by torch: the same on every processor; small tiles, so that there are several.
HOW: Options = {"engine": "torch", "precision": "fp32", "threads": 1, "tile_px": 160, "block_tiles": 2}
KEEP: Options = {**HOW, "keep_features": True}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A part of the real pair that ships, never square; the second date has a corner without data."""
    folder = tmp_path_factory.mktemp("in")
    made = []
    with resources.as_file(resources.files("geomtrs.data") / "sample") as sample:
        for path, year in zip(sorted(Path(sample).glob("*.tif")), (2009, 2014), strict=True):
            window = Window(120, 100, 260, 210)
            with rasterio.open(path) as raster:
                pixels = raster.read([1, 2, 3], window=window)
                profile = {"crs": raster.crs, "transform": raster.window_transform(window)}
            if year == 2014:
                pixels[:, :120, :110] = 0
            shape = {"count": 3, "height": 210, "width": 260}
            with rasterio.open(
                folder / f"{year}.tif", "w", driver="GTiff", dtype="uint8", nodata=0, **shape, **profile
            ) as to:
                to.write(np.where(pixels == 0, 0, np.maximum(pixels, 1)) if year == 2009 else pixels)
            made.append(str(folder / f"{year}.tif"))
    return made[0], made[1]


@pytest.fixture(scope="module")
def first(pair: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> ChangeResult:
    out = tmp_path_factory.mktemp("runs") / "out"
    return geomtrs.detect(*pair, query=FIRST, out=out, **KEEP)


@pytest.fixture
def mine(first: ChangeResult, tmp_path: Path) -> ChangeResult:
    """A copy of the first run, to be spoilt."""
    shutil.copytree(first.folder, tmp_path / "out")
    return ChangeResult(tmp_path / "out")


@pytest.fixture(scope="module")
def further(first: ChangeResult) -> ChangeResult:
    return first.ask(FURTHER, out=first.folder.parent / "further")


def test_the_answer_is_that_of_a_full_run_but_for_the_rounding(
    pair: tuple[str, str], further: ChangeResult, tmp_path: Path
) -> None:
    whole = geomtrs.detect(*pair, query=FURTHER, out=tmp_path / "whole", **HOW)
    asked, wanted = further.probability.to_numpy(), whole.probability.to_numpy()
    assert np.array_equal(np.isnan(asked), np.isnan(wanted))
    assert np.isnan(asked).any()
    assert np.nanmax(np.abs(asked - wanted)) <= PROBABILITY
    assert (further.mask.to_numpy() != whole.mask.to_numpy()).mean() <= FLIPPED
    assert whole.mask.to_numpy().max() == 255
    assert (whole.mask.to_numpy() == 1).mean() > 0.01
    assert (further.folder / "coverage.tif").read_bytes() == (whole.folder / "coverage.tif").read_bytes()


def test_features_of_images_whose_crs_has_a_datum_shift_are_found_again(pair: tuple[str, str], tmp_path: Path) -> None:
    images = [shutil.copy(path, tmp_path) for path in pair]
    for path in images:
        with rasterio.open(path, "r+") as raster:
            raster.crs = "+proj=utm +zone=33 +ellps=intl +towgs84=-87,-98,-121"
    kept = geomtrs.detect(*images, query=FIRST, out=tmp_path / "out", **KEEP)
    assert verify(kept.ask(FURTHER).folder) == []


def test_keeping_features_changes_no_byte_of_the_answer(
    pair: tuple[str, str], first: ChangeResult, tmp_path: Path
) -> None:
    plain = geomtrs.detect(*pair, query=FIRST, out=tmp_path / "plain", **HOW)
    assert np.array_equal(plain.probability.to_numpy(), first.probability.to_numpy(), equal_nan=True)
    assert np.array_equal(plain.mask.to_numpy(), first.mask.to_numpy())


def test_a_further_sentence_is_a_run_of_its_own_that_says_where_its_features_come_from(
    first: ChangeResult, further: ChangeResult
) -> None:
    assert verify(further.folder) == []
    assert verify(first.folder) == []
    spec = further.run["job"]["spec"]
    assert spec["features"] == str(first.folder)
    assert [query["text"] for query in spec["queries"]] == [FURTHER]
    assert further.run["dates"] == first.run["dates"]
    assert further.run["features_bytes"] == 0


def test_it_lies_inside_the_first_run_under_a_name_of_its_own(mine: ChangeResult) -> None:
    sealed = (mine.folder / "checksums.json").read_bytes()
    folders = [mine.ask(words).folder.name for words in ("New roads", "new ROADS", ["new roads", "a lake"])]
    assert folders == ["ask-new-roads", "ask-new-roads-2", "ask-new-roads-and-1-more"]
    with pytest.raises(OutputError, match="--overwrite"):
        mine.ask("New roads")
    assert mine.ask("New roads", overwrite=True).folder.name == "ask-new-roads"
    assert (mine.folder / "checksums.json").read_bytes() == sealed


def test_what_was_said_of_the_first_answer_holds_until_it_is_said_anew(mine: ChangeResult) -> None:
    spec = mine.ask(FURTHER, threshold=0.6, formats=["fgb"]).run["job"]["spec"]
    assert (spec["threshold"], spec["formats"], spec["tile_px"]) == (0.6, ["gpkg", "fgb"], 160)
    assert (mine.folder / "ask-the-water-that-appeared" / "changes.fgb").exists()


def test_a_sentence_asked_again_is_repeated_bit_by_bit_from_its_record_d8(
    further: ChangeResult, tmp_path: Path
) -> None:
    again = geomtrs.rerun(further.folder / "run.json", out=tmp_path / "again")
    assert (again.folder / "mask.tif").read_bytes() == (further.folder / "mask.tif").read_bytes()


def test_a_further_sentence_costs_the_model_less_than_15_percent(pair: tuple[str, str]) -> None:
    model = load_nano(None, choose("cpu", "fp32", threads=1))
    tiles = np.random.default_rng(0).integers(0, 255, (1, 2, 3, 256, 256), np.uint8)
    prepared = model.prepare([Query(FURTHER)])
    packed = model.pack(model.features(tiles))

    def seconds(action: Callable[[], object]) -> float:
        taken = []
        for _ in range(5):
            began = time.process_time()
            action()
            taken.append(time.process_time() - began)
        return statistics.median(taken)

    whole = seconds(lambda: model.answer(model.features(tiles), prepared))
    assert seconds(lambda: model.answer(model.unpack(packed), prepared)) <= 0.15 * whole


def test_its_size_is_told_and_about_17_bytes_a_pixel_that_is_shown(first: ChangeResult) -> None:
    held = sum(path.stat().st_size for path in features_folder(first.folder).iterdir() if path.suffix != ".json")
    assert first.run["features_bytes"] == held
    tile = max(path.stat().st_size for path in features_folder(first.folder).glob("t*.block"))
    shown = 320 * 288  # the largest tile, of 148 x 144 pixels of 5 m, twice as large and up to a multiple of 32
    assert 16.0 <= tile / shown <= 17.5  # 4 maps of 64 channels at a quarter of the side, int8


def alike(one: ChangeResult, other: ChangeResult) -> bool:
    """Their pictures, but for the few pixels of the answer that features of 8 bit move."""
    return bool((np.asarray(one.preview) != np.asarray(other.preview)).any(-1).mean() < 0.002)


def test_its_picture_shows_the_dates_that_were_kept_beside_the_features(
    mine: ChangeResult, further: ChangeResult
) -> None:
    kept = kept_look(mine.folder, (0, 1))
    assert kept is not None
    assert alike(mine.ask(FURTHER), further)
    keep_look(mine.folder, (0, 1), np.zeros_like(kept))
    dark = np.asarray(mine.ask(FURTHER, out=mine.folder / "dark").preview)
    assert dark.mean() < np.asarray(further.preview).mean() - 10


@pytest.mark.parametrize("spoilt", [b"", b"PK no more", None])
def test_without_a_sound_picture_of_the_dates_it_reads_the_images(
    mine: ChangeResult, further: ChangeResult, spoilt: bytes | None
) -> None:
    look = features_folder(mine.folder) / "look-0-1.npz"
    if spoilt is None:
        content = bytearray(look.read_bytes())
        content[len(content) // 2] ^= 255
        spoilt = bytes(content)
    look.write_bytes(spoilt)
    assert alike(mine.ask(FURTHER), further)


def test_its_coverage_and_the_totals_are_those_of_the_first_run(first: ChangeResult, further: ChangeResult) -> None:
    assert (further.folder / "coverage.tif").read_bytes() == (first.folder / "coverage.tif").read_bytes()
    assert further.run["coverage"] == first.run["coverage"]


# --- what is refused, by name


def test_a_run_without_features_is_refused(pair: tuple[str, str], mine: ChangeResult, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run\.json"):
        geomtrs.ask(tmp_path / "nothing", FURTHER)
    shutil.rmtree(features_folder(mine.folder))
    with pytest.raises(JobError, match="--keep-features"):
        mine.ask(FURTHER)


def test_features_of_other_weights_are_refused_by_name(mine: ChangeResult) -> None:
    kept = features_folder(mine.folder) / "features.json"
    document = json.loads(kept.read_text("utf-8"))
    document["state"]["model_hash"] = "e" * 32
    kept.write_text(json.dumps(document), "utf-8")
    with pytest.raises(JobError, match="model_hash"):
        mine.ask(FURTHER)


@pytest.mark.parametrize(
    ("field", "value"), [("tile_px", 192), ("register", "off"), ("aoi", "-99.1,47.1,-99.0,47.2"), ("model", "other")]
)
def test_features_of_another_grid_or_way_to_read_are_refused_by_name(
    mine: ChangeResult, field: str, value: object
) -> None:
    kept = features_folder(mine.folder) / "features.json"
    document = json.loads(kept.read_text("utf-8"))
    document["state"]["spec"][field] = value
    kept.write_text(json.dumps(document), "utf-8")
    with pytest.raises(JobError, match=field):
        read_kept(mine.folder).seen(JobState.from_dict(mine.run["job"]))


def test_features_of_other_images_are_refused_by_name(mine: ChangeResult) -> None:
    kept = features_folder(mine.folder) / "features.json"
    document = json.loads(kept.read_text("utf-8"))
    document["state"]["inputs"][1]["header"] = "0" * 32
    kept.write_text(json.dumps(document), "utf-8")
    with pytest.raises(JobError, match=r"input .*2014\.tif"):
        mine.ask(FURTHER)


def test_a_damaged_tile_stops_the_run_and_is_named(mine: ChangeResult) -> None:
    tile = min(features_folder(mine.folder).glob("*.block"))
    content = bytearray(tile.read_bytes())
    content[-1000] ^= 255
    tile.write_bytes(content)
    with pytest.raises(StoreError, match=f"{tile.name}.*--keep-features"):
        mine.ask(FURTHER)


def test_the_first_run_is_not_written_over(mine: ChangeResult) -> None:
    with pytest.raises(QueryError, match="--out"):
        mine.ask(FURTHER, out=mine.folder, overwrite=True)
    assert features_folder(mine.folder).exists()


def test_a_coverage_that_was_altered_is_refused(mine: ChangeResult) -> None:
    path = mine.folder / "coverage.tif"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(JobError, match=r"coverage\.tif"):
        mine.ask(FURTHER)


def test_a_model_whose_features_cannot_be_kept_says_so_in_one_line(pair: tuple[str, str], tmp_path: Path) -> None:
    words = ["detect", *pair, "-q", FIRST, "-o", str(tmp_path / "out"), "--model", "differencing", "--keep-features"]
    refused(command(*words), 2, "differencing")
    with pytest.raises(QueryError, match="differencing"):
        geomtrs.detect(*pair, query=FIRST, out=tmp_path / "out", model="differencing", keep_features=True)


# --- what dies goes on


def test_a_run_that_died_ends_with_all_its_features(pair: tuple[str, str], first: ChangeResult, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        geomtrs.detect(*pair, query=FIRST, out=tmp_path / "out", on_event=Dies(1), **KEEP)
    events: list[object] = []
    result = geomtrs.resume(tmp_path / "out", on_event=events.append)
    assert started(events).reused >= 1
    kept = {path.name for path in features_folder(result.folder).glob("*.block")}
    assert kept == {path.name for path in features_folder(first.folder).glob("*.block")}
    assert result.ask(FURTHER).run["queries"][0]["text"] == FURTHER


def test_a_further_sentence_that_died_goes_on(mine: ChangeResult, further: ChangeResult) -> None:
    with pytest.raises(KeyboardInterrupt):
        mine.ask(FURTHER, on_event=Dies(1))
    events: list[object] = []
    result = geomtrs.resume(mine.folder / "ask-the-water-that-appeared", on_event=events.append)
    assert started(events).reused >= 1
    assert np.array_equal(result.mask.to_numpy(), further.mask.to_numpy())


def test_features_go_with_the_outputs_they_belong_to(mine: ChangeResult, pair: tuple[str, str]) -> None:
    geomtrs.detect(*pair, query=FURTHER, out=mine.folder, overwrite=True, **HOW)
    assert not features_folder(mine.folder).exists()


def test_images_that_were_written_anew_are_asked_once_detect_has_kept_their_features(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    images = [shutil.copy(path, tmp_path) for path in pair]
    geomtrs.detect(*images, query=FIRST, out=tmp_path / "out", **KEEP)
    Path(images[0]).touch()
    result = geomtrs.detect(*images, query=FIRST, out=tmp_path / "out", overwrite=True, **KEEP)
    assert result.ask(FURTHER).run["queries"][0]["text"] == FURTHER


# --- the command


def test_further_answers_go_with_the_features_they_were_asked_of_but_not_what_is_the_users(
    mine: ChangeResult, pair: tuple[str, str]
) -> None:
    gone, noted = mine.ask(FURTHER).folder, mine.ask("new roads").folder
    (noted / "notes.txt").write_text("mine", encoding="utf-8")
    (mine.folder / "ask-me.txt").write_text("mine", encoding="utf-8")
    (mine.folder / "ask-nobody").mkdir()
    geomtrs.detect(*pair, query=FIRST, out=mine.folder, overwrite=True, **HOW)
    assert not gone.exists()
    assert [path.name for path in noted.iterdir()] == ["notes.txt"]
    assert (mine.folder / "ask-me.txt").exists()
    assert (mine.folder / "ask-nobody").exists()
    assert verify(mine.folder) == []


def test_a_further_answer_that_the_next_run_reads_stays(mine: ChangeResult, pair: tuple[str, str]) -> None:
    area = mine.ask(FURTHER).folder / "changes.gpkg"
    before = area.read_bytes()
    options: Options = {**HOW, "aoi": area}
    geomtrs.detect(*pair, query=FIRST, out=mine.folder, overwrite=True, **options)
    assert area.read_bytes() == before


def test_the_command_asks_again_and_tells_the_size(mine: ChangeResult) -> None:
    done = command("ask", str(mine.folder), "-q", FURTHER, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert str(mine.folder / "ask-the-water-that-appeared" / "changes.gpkg") in done.stdout


def test_the_command_shapes_the_further_answer_as_python_does(mine: ChangeResult) -> None:
    told = ["--simplify", "3", "--min-area", "400", "--max-area", "1e6", "--fill-holes", "50", "--format", "fgb"]
    done = command("ask", str(mine.folder), "-q", FURTHER, *told, "--no-regularize", "--threshold", "0.6")
    assert done.returncode == 0, done.stderr
    spec = ChangeResult(mine.folder / "ask-the-water-that-appeared").run["job"]["spec"]
    found = {name: spec[name] for name in sorted(OF_THE_ANSWER)}
    assert found == {
        "fill_holes_m2": 50, "formats": ["gpkg", "fgb"], "max_area_m2": 1e6, "min_area_m2": 400, "regularize": False,
        "simplify_m": 3, "threshold": 0.6,
    }  # fmt: skip
