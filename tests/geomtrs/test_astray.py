"""Labels that lie where nobody looks, or say nothing, are told of: what was found, what was wanted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geomtrs.cli.app import main
from tests.geomtrs.test_craft import pairs as pairs  # noqa: PLC0414 - a fixture
from tests.geomtrs.test_craft_rasters import scene as scene  # noqa: PLC0414 - a fixture
from tests.geomtrs.test_craft_rasters import write_raster
from tests.geomtrs.test_learning import write_set
from tests.geomtrs.test_mtrefseg21k import saved


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command writes to stderr."""
    with pytest.raises(SystemExit):
        main([str(argument) for argument in arguments])
    return capsys.readouterr().err


def rename(folder: Path, change: str) -> None:
    for file in folder.iterdir():
        file.rename(file.with_name(file.stem + change))


def test_folders_that_are_called_otherwise_than_labels_are_named_k1(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in "AB":
        (pairs / f"label{side}").rename(pairs / f"labels_{side}")
    told = said(capsys, "craft", "run", pairs, "-o", tmp_path / "out", "--quiet")
    assert "yard: found labels_A, labels_B and no labelA or labelB; wanted labels in labelA and labelB" in told


def test_labels_that_are_called_otherwise_than_their_pictures_are_named_k1(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rename(pairs / "labelB", "_label.png")
    told = said(capsys, "craft", "run", pairs, "-o", tmp_path / "out", "--quiet")
    assert "labelB: found p0_label.png, and nothing for 4 of 4 pairs; wanted p0.png" in told
    assert "labelA" not in told


def test_labels_without_the_meaning_of_their_values_are_named_k1(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "classes.json").unlink()
    told = said(capsys, "craft", "run", pairs, "-o", tmp_path / "out", "--quiet")
    assert "classes.json: found no such file; wanted what label values mean" in told


def test_pictures_of_one_date_are_counted_where_they_are_left_out_k1(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "samples.jsonl").unlink()
    (pairs / "B" / "p2.png").unlink()
    told = said(capsys, "craft", "run", pairs, "-o", tmp_path / "out", "--quiet")
    assert "yard: 1 pictures of A are left out: B has none called p2" in told


def test_a_set_whose_labels_are_read_is_told_nothing_of_k1(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "craft", "run", pairs, "-o", tmp_path / "out", "--quiet") == ""


def test_values_that_are_no_things_are_told_beside_those_that_are_k1(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for year in (2019, 2021):
        write_raster(scene / f"labels_{year}.tif", np.full((1, 150, 200), year - 2000, np.uint8))
    images = [scene / f"site_{year}.tif" for year in (2019, 2021)]
    labels = [word for year in (2019, 2021) for word in ("--labels", scene / f"labels_{year}.tif")]
    told = said(capsys, "craft", "run", *images, *labels, "-o", tmp_path / "out", "--quiet")
    assert "labels_2019.tif has 19; labels_2021.tif has 21; none of them is a thing: those are 1 (building)" in told


def test_classes_none_of_which_is_a_thing_are_told_with_the_things_k1(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "classes.json").write_text(json.dumps({"3": "Gehölz", "7": "Bauwerk"}), encoding="utf-8")
    told = said(capsys, "craft", "run", pairs, "-o", tmp_path / "out", "--quiet")
    assert "no class is called as a thing is (building, road, water" in told


def test_pack_and_info_name_labels_that_are_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path / "sets", pairs=2)
    rename(tmp_path / "sets" / "fotbcd" / "mask", "_mask.png")
    for command in (("pack", tmp_path / "sets", "-o", tmp_path / "pack"), ("info", tmp_path / "sets")):
        assert "mask: found 0_mask.png, and nothing for 2 of 2 pairs; wanted 0.png" in said(capsys, "data", *command)


def test_pack_tells_samples_without_labels_from_sets_without_a_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path / "sets", pairs=2)
    for plane in ("mask", "labelA", "labelB"):
        (tmp_path / "sets" / "fotbcd" / plane).rename(tmp_path / plane)
    told = said(capsys, "data", "pack", tmp_path / "sets", "-o", tmp_path / "pack")
    assert "fotbcd: 2 of 2 samples say nothing: they have no file in labelA or mask" in told


def test_info_names_pictures_and_folders_of_masks_that_are_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for plane in ("A", "B", "mask"):
        (tmp_path / plane).mkdir()
        saved(tmp_path / plane / "one.png", np.zeros((4, 6), np.uint8))
    Image.new("RGB", (6, 4)).save(tmp_path / "A" / "two.webp")
    with pytest.raises(SystemExit):
        main(["data", "info", str(tmp_path)])
    told = capsys.readouterr()
    assert "two.webp: found no picture; wanted one of .jpg" in told.out
    assert "found A, B, mask; wanted masks, without which nothing is learned" in told.err
