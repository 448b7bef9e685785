"""Each class of each set is asked the same of every tile, and its row adds up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from geomtrs.data.pairs import Pack, read_folder, write_pack
from geomtrs.errors import DataError, QueryError
from geomtrs.evaluation.classes import class_rows, class_tables
from geomtrs.evaluation.evaluate import evaluate_by_class, load
from geomtrs.evaluation.source import Source, open_source
from geomtrs.models.base import Answer, TileSpec
from geomtrs.models.nano import Nano
from geomtrs.query import Query
from tests.geomtrs.test_evaluation import code_of
from tests.geomtrs.test_referring import write_set

BUILDING = (slice(20, 50), slice(10, 40))  # of the made set, on two pairs of three


class Half:
    """Finds the left half of the building that appeared, on every tile, and of nothing else."""

    name, weights_hash = "half", "0"
    tile_spec = TileSpec(tile_px=64, halo_px=0, feather_px=0)

    def prepare(self, queries: Sequence[Query]) -> list[str]:
        return [query.model_text for query in queries]

    def features(self, tiles: NDArray[np.uint8]) -> object:
        return tiles.shape[-2:]

    def answer(self, features: object, prepared: list[str]) -> Answer:
        assert isinstance(features, tuple)
        probability = np.zeros((1, len(prepared), *features), np.float32)
        for i, text in enumerate(prepared):
            if text == "the buildings that appeared":
                probability[0, i, 20:50, 10:25] = 1
        return Answer(probability, np.ones((1, len(prepared)), np.float32))


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    write_set(tmp_path / "sets")
    write_pack(tmp_path / "pack", read_folder(tmp_path / "sets"))
    return Pack(tmp_path / "pack")


def test_a_row_adds_up_the_pixels_of_all_tiles_of_a_class(pack: Pack) -> None:
    (row,) = class_rows(Half(), pack)
    assert (row.set, row.thing, row.asked) == ("fotbcd", "building", "appeared")
    assert (row.tiles, row.with_target, row.places) == (2, 2, 2)
    assert (row.precision, row.recall) == (1, 0.5)
    assert (row.f1, row.iou) == pytest.approx((2 / 3, 0.5))
    assert row.low is None  # two places tell nothing of others


def test_pixels_that_are_not_known_count_in_no_row(pack: Pack, tmp_path: Path) -> None:
    label = np.zeros((96, 64), np.uint8)
    label[BUILDING] = 1
    label[20:50, 10:25] = 255  # all that is marked
    for path in (tmp_path / "sets" / "fotbcd" / "labelB").iterdir():
        Image.fromarray(label).save(path)
    write_pack(tmp_path / "unknown", read_folder(tmp_path / "sets"))
    (row,) = class_rows(Half(), Pack(tmp_path / "unknown"))
    assert (row.precision, row.recall) == (None, 0)


def test_a_tile_without_any_counts_against_what_is_marked_there(pack: Pack, tmp_path: Path) -> None:
    lines = (tmp_path / "sets" / "levir_cd" / "samples.jsonl").read_text(encoding="utf-8")
    for plane in ("A", "B", "mask"):
        for path in (tmp_path / "sets" / "levir_cd" / plane).iterdir():
            path.with_stem("full").write_bytes(path.read_bytes())
    full = np.zeros((96, 64), np.uint8)
    full[BUILDING] = 255
    Image.fromarray(full).save(tmp_path / "sets" / "levir_cd" / "mask" / "full.png")
    facts = json.loads(lines) | {"name": "full", "direction": "appear"}
    (tmp_path / "sets" / "levir_cd" / "samples.jsonl").write_text(f"{lines}\n{json.dumps(facts)}", encoding="utf-8")
    write_pack(tmp_path / "two", read_folder(tmp_path / "sets"))
    (row,) = class_rows(Half(), Pack(tmp_path / "two"), sets=["levir_cd"])
    assert (row.set, row.tiles, row.with_target) == ("levir_cd", 2, 1)
    assert (row.precision, row.recall) == (0.5, 0.5)


def test_presence_is_asked_of_pictures_of_one_date_by_the_small_model_alone(pack: Pack) -> None:
    model = load("nano", device="cpu")
    assert isinstance(model, Nano)
    rows = [row for row in class_rows(model, pack) if row.asked == "present"]
    assert [(row.set, row.thing, row.tiles) for row in rows] == [("fotbcd", "building", 1)]
    (single,) = (sample for sample in pack.samples if sample.name == "single")
    image = pack.plane(single, "A")
    assert image is not None
    features = model.features(np.stack([image, image]).transpose(0, 3, 1, 2)[None])
    there = model.presence(features, model.prepare([Query("the buildings that appeared")]))
    assert there.shape == (1, 2, 1, 96, 64)
    assert np.array_equal(there[0, 0], there[0, 1])  # both dates are the same picture
    assert rows[0].recall == there[0, 0, 0][BUILDING].mean()
    assert not [row for row in class_rows(Half(), pack) if row.asked == "present"]


def test_the_tables_tell_the_mean_over_rows(pack: Pack) -> None:
    (table,) = class_tables(class_rows(Half(), pack))
    assert "Mean IoU over the 1 rows of one set: 50.0" in table.note
    assert table.rows[0][:5] == ("fotbcd", "building", "appeared", "66.7", "too few")


def test_classes_are_asked_on_the_command_line(pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("evaluate", str(tmp_path / "pack"), "--classes", "--model", "differencing", "-o", str(tmp_path / "out"))
    assert code_of(*asked) == 0
    assert "| fotbcd | building | appeared |" in capsys.readouterr().out
    document = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert document["classes"][0]["tiles"] == 2
    with open_source(tmp_path / "pack") as source:
        tables, files = evaluate_by_class(Half(), source, tmp_path / "again")
    assert [file.name for file in files] == ["report.json", "table.md"]
    assert tables


def test_classes_want_labelled_sets(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="wanted labelled sets"):
        evaluate_by_class(Half(), Source("made", 0, lambda: iter([])), tmp_path)


def test_classes_that_no_label_tells_are_refused(pack: Pack, tmp_path: Path) -> None:
    with open_source(tmp_path / "pack", sets=["levir_cd"]) as source, pytest.raises(DataError, match="found no class"):
        evaluate_by_class(Half(), source, tmp_path / "out")


@pytest.mark.parametrize("option", [("--limit", "1"), ("--threshold", "0.4"), ("--tiled", "256"), ("--per-pair", "2")])
def test_what_classes_cannot_follow_is_refused(
    pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    asked = ("evaluate", str(tmp_path / "pack"), "--classes", "--model", "differencing", "-o", str(tmp_path / "out"))
    assert code_of(*asked, *option) == 2
    assert f"{option[0]}: found beside --classes" in capsys.readouterr().err


def test_halves_of_a_set_have_a_row_together_only_where_both_are(tmp_path: Path) -> None:
    write_set(tmp_path / "sets")
    shutil.rmtree(tmp_path / "sets" / "levir_cd")
    (tmp_path / "sets" / "fotbcd").rename(tmp_path / "sets" / "levir_cd")
    path = tmp_path / "sets" / "levir_cd" / "samples.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("none", "appear"), encoding="utf-8")
    write_pack(tmp_path / "pack", read_folder(tmp_path / "sets"))
    assert {row.set for row in class_rows(Half(), Pack(tmp_path / "pack"))} == {"levir_cd"}
    shutil.copytree(tmp_path / "sets" / "levir_cd", tmp_path / "sets" / "levir_cd_more")
    write_pack(tmp_path / "both", read_folder(tmp_path / "sets"))
    tiles = {row.set: row.tiles for row in class_rows(Half(), Pack(tmp_path / "both"))}
    assert tiles == {"levir_cd": 2, "levir_cd_more": 2, "levir_cd and levir_cd_more": 4}
