"""Labelled pairs in folders: what cannot be read is refused by its set, its sample or its line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geomtrs.cli.app import main
from geomtrs.data.pairs import Pack, read_folder, read_places, torn_scenes, write_pack
from geomtrs.data.pictures import read_labels
from geomtrs.errors import DataError
from tests.geomtrs.test_learning import write_set

LINE = {"name": "0", "scene": "s0", "split": "train", "direction": "appear", "gsd_m": 0.5}


@pytest.fixture
def fotbcd(tmp_path: Path) -> Path:
    """One labelled set of two pairs, in the folder `sets`."""
    write_set(tmp_path / "sets", pairs=2)
    return tmp_path / "sets" / "fotbcd"


def pack(fotbcd: Path) -> int:
    """How many samples its folder of sets makes."""
    return write_pack(fotbcd.parents[1] / "packed", read_folder(fotbcd.parent))


def listed(fotbcd: Path, *lines: object) -> None:
    """Its list, of these lines alone."""
    (fotbcd / "samples.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")


def code_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def test_a_set_that_is_half_made_is_none(fotbcd: Path) -> None:
    shutil.copytree(fotbcd, fotbcd.parent / ".fotbcd.part")
    assert pack(fotbcd) == 2


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ([1, 2], r"line 2: \[1, 2\]; wanted an object"),
        ({"name": None}, "line 2: name null; wanted"),
        ({"name": "../A/1"}, r"line 2: name .../A/1.; wanted a file in the folder"),
        ({"name": "C:/1"}, "line 2: name .C:/1.; wanted a file in the folder"),
        ({"scene": None}, "line 2: scene null; wanted"),
        ({"split": None}, "line 2: split null; wanted"),
        ({"gsd_m": "half"}, "line 2: gsd_m .half.; wanted metres above 0"),
        ({"gsd_m": -1}, "line 2: gsd_m -1; wanted metres above 0"),
        ({"gsd_m": 0}, "line 2: gsd_m 0; wanted metres above 0"),
        ({"absent": ["watr"]}, r"line 2: absent \[.watr.\]; wanted a list of building, road, "),
        ({"unchanged": "water"}, "line 2: unchanged .water.; wanted a list of building, road, "),
    ],
)
def test_a_fact_that_means_nothing_is_refused_by_its_line(fotbcd: Path, facts: object, words: str) -> None:
    listed(fotbcd, LINE, LINE | facts if isinstance(facts, dict) else facts)
    with pytest.raises(DataError, match=r"fotbcd.samples\.jsonl: found " + words):
        pack(fotbcd)


def test_a_line_that_is_no_json_is_refused_by_its_number(fotbcd: Path) -> None:
    (fotbcd / "samples.jsonl").write_text('\n{"name": ', encoding="utf-8")
    with pytest.raises(DataError, match=r"samples\.jsonl: found line 2: .*; wanted an object"):
        pack(fotbcd)


def test_a_list_in_another_encoding_is_refused_by_its_file(fotbcd: Path) -> None:
    (fotbcd / "samples.jsonl").write_bytes('{"name": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"samples\.jsonl: found .*; wanted text in UTF-8"):
        pack(fotbcd)


def test_blank_lines_and_a_byte_order_mark_are_passed_over(fotbcd: Path) -> None:
    text = (fotbcd / "samples.jsonl").read_text(encoding="utf-8")
    (fotbcd / "samples.jsonl").write_text(f"\ufeff{text}\n\n", encoding="utf-8")
    assert pack(fotbcd) == 2


def rename(fotbcd: Path, plane: str, suffix: str) -> None:
    next((fotbcd / plane).glob("1.*")).rename(fotbcd / plane / f"1{suffix}")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda one: (one / "A" / "1.webp").unlink(), r"A.1\.webp: found no such file"),
        (lambda one: rename(one, "A", ".WEBP"), r"A.1\.webp: found 1\.WEBP; wanted 1\.webp"),
        (lambda one: rename(one, "B", ".png"), r"B.1\.webp: found 1\.png; wanted 1\.webp"),
        (lambda one: rename(one, "mask", ".tif"), r"mask.1\.png: found 1\.tif; wanted 1\.png"),
        (lambda one: (one / "B" / "1.webp").write_bytes(b"RIFF"), r"B.1\.webp: found UnidentifiedImageError"),
    ],
)
def test_a_plane_that_cannot_be_read_is_refused_by_its_file(
    fotbcd: Path, harm: Callable[[Path], None], words: str
) -> None:
    harm(fotbcd)
    with pytest.raises(DataError, match=r"fotbcd." + words):
        pack(fotbcd)


@pytest.mark.parametrize("verb", [("data", "pack"), ("evaluate", "--model", "differencing"), ("bench",)])
def test_an_output_below_a_file_is_refused_before_anything_is_read(
    fotbcd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    (fotbcd / "A" / "0.webp").unlink()  # it would be missed, if it came to that
    assert code_of(*verb, fotbcd.parent, "-o", tmp_path / "file" / "out") in (1, 2)
    assert "file: found a file" in capsys.readouterr().err


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    "harm",
    [
        lambda one: (one / "pixels.bin").unlink(),
        lambda one: (one / "pixels.bin").write_bytes((one / "pixels.bin").read_bytes()[:-1]),
        lambda one: (one / "index.json").write_text("[]", encoding="utf-8"),
        lambda one: (one / "index.json").write_text('{"set": 1}', encoding="utf-8"),
        lambda one: edit(one / "index.json", '"absent": []', '"absent": ["watr"]'),
    ],
)
def test_a_pack_that_is_not_whole_is_refused(fotbcd: Path, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    pack(fotbcd)
    harm(tmp_path / "packed")
    with pytest.raises(DataError, match=r"packed: found .*; wanted a whole pack"):
        Pack(tmp_path / "packed")


def test_a_pack_that_cannot_be_written_is_refused(fotbcd: Path) -> None:
    with pytest.raises(DataError, match=r"found .*; wanted room for a pack"):
        write_pack(fotbcd / "samples.jsonl" / "pack", read_folder(fotbcd.parent))


@pytest.mark.parametrize("plane", ["B", "mask", "labelB"])
def test_planes_of_two_sizes_are_refused_by_their_sample(fotbcd: Path, plane: str) -> None:
    small = np.zeros((64, 32, 3) if plane == "B" else (64, 32), np.uint8)
    Image.fromarray(small).save(next((fotbcd / plane).glob("1.*")))
    with pytest.raises(DataError, match=rf"fotbcd/1: found {plane} of 32 × 64 pixels; wanted 256 × 256, as A"):
        pack(fotbcd)


def test_a_name_that_stands_twice_in_a_set_is_refused(fotbcd: Path) -> None:
    listed(fotbcd, LINE, LINE)
    with pytest.raises(DataError, match=r"fotbcd/0: found the name twice"):
        pack(fotbcd)


def test_a_scene_to_learn_from_and_to_be_tested_on_is_refused(fotbcd: Path) -> None:
    listed(fotbcd, LINE | {"split": "val"}, LINE | {"name": "1"})
    with pytest.raises(DataError, match=r'fotbcd/1: found scene s0 in train and val.*with {"fotbcd": \["s0"\]} in'):
        pack(fotbcd)


def test_the_remedy_for_a_torn_scene_makes_it_whole(fotbcd: Path, tmp_path: Path) -> None:
    listed(fotbcd, LINE | {"split": "val"}, LINE | {"name": "1"})
    (told,) = torn_scenes(fotbcd)
    assert "1 of 1 scenes are in train and val (s0)" in told
    (tmp_path / "val.json").write_text(told[told.index("{") : told.index("}") + 1], encoding="utf-8")
    samples = read_folder(fotbcd.parent, val=read_places(tmp_path / "val.json"))
    assert write_pack(tmp_path / "pack", samples) == 2


def test_a_set_without_torn_scenes_is_told_nothing_of(fotbcd: Path) -> None:
    assert torn_scenes(fotbcd) == []


def test_a_scene_may_be_learned_from_and_be_in_another_set_for_validation(fotbcd: Path) -> None:
    write_set(fotbcd.parents[1] / "more", pairs=1)
    (fotbcd.parents[1] / "more" / "fotbcd").rename(fotbcd.parent / "levir_cd")
    listed(fotbcd.parent / "levir_cd", LINE | {"split": "val"})
    assert pack(fotbcd) == 3


def test_pack_names_what_teaches_nothing(fotbcd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fotbcd.parents[1] / "more").mkdir()
    write_set(fotbcd.parents[1] / "more", pairs=3)
    (fotbcd.parents[1] / "more" / "fotbcd").rename(fotbcd.parent / "mystery")
    listed(fotbcd, LINE | {"direction": "appeared"}, LINE | {"name": "1", "scene": "s1"})
    assert code_of("data", "pack", fotbcd.parent, "-o", tmp_path / "pack") == 0
    said = capsys.readouterr()
    assert "note  mystery: 3 of 3 samples say nothing" in said.err
    assert "note  fotbcd: direction appeared (1 sample)" in said.err
    assert said.err.count("note") == 2
    assert "5 samples (5 train)" in said.out


def test_pack_names_pairs_without_a_later_picture_and_splits_that_are_not_learned_from(
    fotbcd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fotbcd / "B" / "0.webp").rename(fotbcd / "B" / "zero.webp")
    listed(fotbcd, LINE, LINE | {"name": "1", "scene": "s1", "split": "Train"})
    assert code_of("data", "pack", fotbcd.parent, "-o", tmp_path / "pack") == 0
    told = capsys.readouterr().err
    assert "fotbcd: 1 of 2 samples have no picture in B, and pass for one date" in told
    assert "fotbcd: 1 samples of split Train, which is neither train nor val" in told


@pytest.mark.parametrize(
    ("val", "said"),
    [
        ({"fotbcd": ["s1", "S0"]}, "note  fotbcd: 1 scenes named for validation are of no sample, the first S0"),
        ({"Fotbcd": ["s1"]}, "note  none of fotbcd is named for validation: all of it is learned from"),
        ({"fotbcd": ["s1"], "another": ["s7"]}, ""),
    ],
)
def test_pack_names_places_for_validation_that_are_not_there(
    fotbcd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], val: dict[str, list[str]], said: str
) -> None:
    (tmp_path / "val.json").write_text(json.dumps(val), encoding="utf-8")
    assert code_of("data", "pack", fotbcd.parent, "-o", tmp_path / "pack", "--val", tmp_path / "val.json") == 0
    assert capsys.readouterr().err.strip() == said


def test_a_mask_with_a_palette_marks_nothing_at_its_first_colour(fotbcd: Path) -> None:
    marks = np.array(Image.open(fotbcd / "mask" / "0.png")) // 255
    image = Image.fromarray(marks, "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(fotbcd / "mask" / "0.png")
    (_, planes), *_ = read_folder(fotbcd.parent)
    assert np.array_equal(planes["mask"], marks)


@pytest.mark.parametrize("plane", ["labelA", "labelB"])
def test_labels_deeper_than_a_byte_are_refused_by_their_file(fotbcd: Path, plane: str) -> None:
    (fotbcd / plane).mkdir(exist_ok=True)
    Image.fromarray(np.full((96, 96), 300, np.uint16)).save(fotbcd / plane / "0.png")
    with pytest.raises(DataError, match=rf"{plane}/0.png: found numbers from 300 to 300; wanted labels"):
        pack(fotbcd)


def test_labels_of_colours_are_refused_and_not_read_by_their_grey(fotbcd: Path) -> None:
    (fotbcd / "labelB").mkdir(exist_ok=True)
    Image.new("RGB", (96, 96), (200, 0, 0)).save(fotbcd / "labelB" / "0.png")
    with pytest.raises(DataError, match=r"labelB/0.png: found colours \(RGB\); wanted labels"):
        pack(fotbcd)


def test_labels_without_a_rule_are_not_read_and_may_be_colours(fotbcd: Path) -> None:
    (fotbcd / "labelB").mkdir(exist_ok=True)
    Image.new("RGB", (96, 96), (200, 0, 0)).save(fotbcd / "labelB" / "0.png")
    fotbcd.rename(fotbcd.with_name("mine"))
    assert pack(fotbcd) == 2


@pytest.mark.filterwarnings("error")
def test_labels_that_are_no_numbers_are_refused_without_a_warning(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "label.tif")
    with pytest.raises(DataError, match=r"label\.tif: found numbers from nan to nan"):
        read_labels(tmp_path / "label.tif")


def test_a_pack_is_written_into_the_empty_folder_that_one_is_in(
    fotbcd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert code_of("data", "pack", fotbcd.parent, "-o", ".") == 0
    assert sorted(path.name for path in Path().iterdir()) == ["index.json", "pixels.bin"]


@pytest.mark.parametrize("kind", ["deep", "palette", "grey in three bands", "one bit"])
def test_labels_are_read_by_their_numbers_however_they_are_stored(tmp_path: Path, kind: str) -> None:
    numbers = np.eye(8, dtype=np.uint8)
    image = Image.fromarray(numbers)
    if kind == "palette":
        image = Image.fromarray(numbers, "P")
        image.putpalette([0, 0, 0, 200, 30, 10])
    if kind == "deep":
        image = Image.fromarray(numbers.astype(np.uint16))
    if kind == "grey in three bands":
        image = image.convert("RGB")
    if kind == "one bit":
        image = Image.fromarray(numbers.astype(bool))
    image.save(tmp_path / "label.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "label.png"), numbers)
