"""`geomtrs craft`: a user's pairs become checked sentences with masks; killed, it goes on; others read the exports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from geomtrs.cli import main
from geomtrs.craft import grid
from geomtrs.craft.export import brush_rle, coco_rle, export, split_places
from geomtrs.craft.ledger import KEPT, UNCORRECTED, Ledger, Triplet, read_mask
from geomtrs.craft.perceive import LabelPerceiver
from geomtrs.craft.phrase import GrammarPhraser
from geomtrs.craft.protocols import Ask, Bool, Candidate, Finding, Pair, Phrased
from geomtrs.craft.run import Parts, craft, list_pairs, read_pair, rule_of_classes
from geomtrs.craft.segment import LabelSegmenter
from geomtrs.craft.verify import RuleVerifier, iou
from geomtrs.data.labels import THINGS
from geomtrs.data.mtrefseg21k import Rule, read_split
from geomtrs.data.mtrefseg21k import read_mask as read_png_mask
from geomtrs.errors import DataError, JobError, QueryError

HEIGHT, WIDTH = 90, 120
BUILT, FELLED = (slice(6, 24), slice(84, 108)), (slice(60, 84), slice(8, 34))
LABELS = Parts(LabelPerceiver(), LabelSegmenter(), RuleVerifier(), GrammarPhraser())


def write_pairs(root: Path, *, pairs: int = 4, places: int = 2, labels: bool = True) -> Path:
    """A folder of one's own: buildings come at the top right, trees go at the bottom left; nothing else."""
    rng = np.random.default_rng(5)
    folder = root / "yard"
    for plane in ("A", "B", "labelA", "labelB") if labels else ("A", "B"):
        (folder / plane).mkdir(parents=True)
    for i in range(pairs):
        ground = rng.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        dates, classes = [ground, ground.copy()], [np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2)]
        down = slice(BUILT[0].start + 3 * i, BUILT[0].stop + 3 * i)
        dates[1][down, BUILT[1]], classes[1][down, BUILT[1]] = 230, 7
        dates[0][FELLED], classes[0][FELLED] = (20, 80, 20), 3
        for side, picture, label in zip("AB", dates, classes, strict=True):
            Image.fromarray(picture).save(folder / side / f"p{i}.png")
            if labels:
                Image.fromarray(label).save(folder / f"label{side}" / f"p{i}.png")
    facts = [{"name": f"p{i}", "scene": f"s{i % places}", "gsd_m": 0.5} for i in range(pairs)]
    (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, facts)), encoding="utf-8")
    classes_ = {"0": "other", "3": "trees", "7": "Buildings (all)", "255": "ignore"}
    (folder / "classes.json").write_text(json.dumps(classes_), encoding="utf-8")
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kept(folder: Path, decision: str = KEPT) -> list[Triplet]:
    with Ledger(folder) as ledger:
        return ledger.triplets(decision)


def of_coco(told: dict[str, list[int]]) -> Bool:
    """As pycocotools reads run lengths: columns first, outside first."""
    rows, columns = told["size"]
    values = np.arange(len(told["counts"])) % 2 == 1
    return np.repeat(values, told["counts"]).reshape(columns, rows).T


def of_brush(code: Sequence[int], shape: tuple[int, int]) -> Bool:
    """As Label Studio's own decoder reads it."""
    bits, at = "".join(f"{byte:08b}" for byte in code), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    length, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < length:
        series, run = take(1), take(sizes[take(2)]) + 1
        values += [take(word)] * run if series else [take(word) for _ in range(run)]
    rgba = np.array(values).reshape(*shape, 4)
    assert (rgba == rgba[..., :1]).all()
    mask: Bool = rgba[..., 0] > 127
    return mask


def test_labelled_pairs_become_sentences_that_hold_where_their_masks_are_k1(pairs: Path, tmp_path: Path) -> None:
    counts = craft(pairs, tmp_path / "out", LABELS)
    assert counts["pairs"] == {"done": 4}
    assert counts["findings"] == {KEPT: 8}
    assert counts["calls"]["made"] == 0
    found = kept(tmp_path / "out")
    assert {one.kind for one in found} >= {"appear", "disappear"}
    for one in found:
        mask, noun = read_mask(tmp_path / "out", one.mask), one.finding["noun"]
        assert mask.sum() == one.pixels
        assert (one.kind == "change") == (one.wording in ("changed", "from-to"))
        if one.wording == "direction":
            assert mask[FELLED if noun == "trees" else BUILT].any()
        if one.finding["way"] == "appeared" and one.kind != "change":
            assert not mask[FELLED].any()


def test_every_record_says_what_proposed_and_what_judged_it(pairs: Path, tmp_path: Path) -> None:
    craft(pairs, tmp_path / "out", LABELS, limit=1)
    with Ledger(tmp_path / "out") as ledger:
        (finding, *_) = ledger._rows("SELECT perceiver, segmenter, verifier, checks, decision FROM findings")
        (triplet, *_) = ledger._rows("SELECT phraser, verifier, checks, decision FROM triplets")
        ((hashes, digest),) = ledger._rows("SELECT hashes, digest FROM pairs WHERE status = 'done'")
    assert finding[:3] == ("labels", "labels", "rules")
    assert [check["rule"] for check in json.loads(finding[3])] == ["size", "cells", "kind", "own mask"]
    assert triplet[:2] == ("grammar", "rules")
    assert [check["rule"] for check in json.loads(triplet[2])] == ["size", "known", "twin", "reads back"]
    assert set(json.loads(hashes)) == {"A", "B", "labelA", "labelB"}
    assert len(digest) == 32


def test_a_finding_names_the_cells_that_hold_it(pairs: Path) -> None:
    pair = read_pair(list_pairs(pairs)[0])
    findings = {one.noun: one for one in LabelPerceiver().perceive(pair, no_model)}
    assert findings["buildings"].cells == ("top-right",)
    assert findings["buildings"].kind == "appear"
    assert findings["trees"].cells[-1] == "bottom-left"
    assert findings["trees"].kind == "disappear"
    assert Finding.from_dict(json.loads(json.dumps(findings["trees"].to_dict()))) == findings["trees"]


def no_model(*_: object) -> str:
    raise AssertionError("a model was asked")


def test_the_rules_refuse_what_was_spoiled(pairs: Path) -> None:
    pair = read_pair(list_pairs(pairs)[0])
    good = [LabelSegmenter().segment(pair, one) for one in LabelPerceiver().perceive(pair, no_model)]
    rules = RuleVerifier()
    come, gone = good[:2]
    spoiled = {
        "kind": Candidate(gone.finding, np.roll(gone.mask, 5, 1), gone.known),
        "cells": Candidate(come.finding, gone.mask, come.known),
        "size": Candidate(come.finding, np.zeros_like(come.mask), come.known),
        "own mask": come,
    }
    for rule, one in spoiled.items():
        others = [come] if rule == "own mask" else []
        assert rule in [check.rule for check in rules.candidate(pair, one, others) if not check.passed]
    assert all(check.passed for i, one in enumerate(good) for check in rules.candidate(pair, one, good[:i]))


def test_killed_between_pairs_it_goes_on_to_the_same_bytes_k2(pairs: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    craft(pairs, whole, LABELS, at_once=3)
    command = [sys.executable, "-m", "geomtrs", "craft", "run", str(pairs), "-o", str(cut), "--at-once", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "1 of 4 pairs" in process.stderr.readline()
        process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    with Ledger(cut) as ledger:
        assert "pending" in ledger.statuses().values()
    perceived: list[str] = []

    class Counting(LabelPerceiver):
        def perceive(self, pair: Pair, ask: Ask) -> list[Finding]:
            perceived.append(pair.id)
            return super().perceive(pair, ask)

    with Ledger(cut) as ledger:
        waiting = [one for one, status in ledger.statuses().items() if status == "pending"]
    craft(pairs, cut, Parts(Counting(), LABELS.segmenter, LABELS.verifier, LABELS.phraser))
    assert perceived == waiting
    for folder in (whole, cut):
        export(folder, tmp_path / f"{folder.name}-set", "mtrefseg21k", val=0.3)
    assert content(tmp_path / "whole-set") == content(tmp_path / "cut-set")


def test_a_pair_that_cannot_be_read_fails_alone_and_is_tried_again(pairs: Path, tmp_path: Path) -> None:
    path = pairs / "labelB" / "p2.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    counts = craft(pairs, tmp_path / "out", LABELS)
    assert counts["pairs"] == {"done": 3, "failed": 1}
    assert "p2.png" in counts["failed"]["yard/p2"]
    path.write_bytes(whole)
    assert craft(pairs, tmp_path / "out", LABELS)["pairs"] == {"done": 4}


def test_another_set_is_refused_in_the_same_folder(pairs: Path, tmp_path: Path) -> None:
    craft(pairs, tmp_path / "out", LABELS, limit=1)
    with pytest.raises(JobError, match="another seed"):
        craft(pairs, tmp_path / "out", LABELS, seed=1)


def test_classes_are_things_by_their_names_and_unsure_where_a_name_holds_one() -> None:
    rule = rule_of_classes({"1": "forest", "2": "forest and other vegetation", "4": "Car (parked)", "9": "unlabelled"})
    assert rule.present == {1: "tree", 4: "car"}
    assert rule.unknown["tree"] == (2,)
    assert set(rule.ignore) == {9, 255}


def test_a_mask_alone_tells_what_changed(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, pairs=1, labels=False)
    (folder / "mask").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[BUILT] = 255
    Image.fromarray(mask).save(folder / "mask" / "p0.png")
    facts = {"name": "p0", "change_class": "building", "direction": "appear"}
    for told, way in ((facts, "appeared"), (facts | {"direction": "mixed"}, "changed"), ({"name": "p0"}, "changed")):
        (folder / "samples.jsonl").write_text(json.dumps(told), encoding="utf-8")
        pair = read_pair(list_pairs(folder)[0])
        (finding,) = LabelPerceiver().perceive(pair, no_model)
        assert finding.way == way
        assert (finding.thing == THINGS.index("building")) == ("change_class" in told)
        candidate = LabelSegmenter().segment(pair, finding)
        assert iou(candidate.mask, mask > 0) == 1
        assert all(check.passed for check in RuleVerifier().candidate(pair, candidate, []))


def test_the_export_is_a_set_that_both_published_readers_read_k4(pairs: Path, tmp_path: Path) -> None:
    craft(pairs, tmp_path / "crafted", LABELS)
    count = export(tmp_path / "crafted", tmp_path / "set", "mtrefseg21k", val=0.3, licence="CC BY 4.0")
    splits = [tmp_path / "set" / name for name in ("train_FINAL_CLEAN", "val_FINAL_CLEAN")]
    table = pd.read_parquet(tmp_path / "set" / "triplets.parquet")
    assert len(table) == count == len(kept(tmp_path / "crafted"))
    assert table.groupby("place")["split"].nunique().max() == 1
    assert set(table["split"]) == {"train", "val"}
    for rule in Rule:
        read = [one for split in splits for one in read_split(split, rule=rule).samples]
        assert sorted(one.sentence for one in read) == sorted(table["sentence"])
        areas = [int(read_png_mask(one.mask).sum()) for one in read if one.mask is not None]
        assert sorted(areas) == sorted(table["pixels"])
    sheet = (tmp_path / "set" / "datasheet.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in sheet
    assert f"| train | {(table['split'] == 'train').sum()} |" in sheet


def test_coco_and_label_studio_hold_the_same_masks_k4(pairs: Path, tmp_path: Path) -> None:
    crafted = tmp_path / "crafted"
    craft(pairs, crafted, LABELS)
    for name in ("coco", "labelstudio"):
        export(crafted, tmp_path / name, name)
    masks = {one.id: read_mask(crafted, one.mask) for one in kept(crafted)}
    seen = set()
    for split in ("train", "val"):
        document = json.loads((tmp_path / "coco" / f"{split}.json").read_text(encoding="utf-8"))
        images = {image["id"]: image for image in document["images"]}
        for one in document["annotations"]:
            assert np.array_equal(of_coco(one["segmentation"]), masks[one["triplet"]])
            left, top, width, height = one["bbox"]
            assert masks[one["triplet"]][top : top + height, left : left + width].sum() == one["area"]
            assert (tmp_path / "coco" / images[one["image_id"]]["file_name"]).is_file()
            seen.add(one["triplet"])
    assert seen == set(masks)
    tasks = json.loads((tmp_path / "labelstudio" / "tasks.json").read_text(encoding="utf-8"))
    for task in tasks:
        value = task["predictions"][0]["result"][0]["value"]
        assert np.array_equal(of_brush(value["rle"], (HEIGHT, WIDTH)), masks[task["data"]["triplet"]])
        assert (tmp_path / "labelstudio" / task["data"]["after"].split("?d=")[1]).is_file()
    assert len(tasks) == len(masks)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_run_lengths_hold_any_mask(share: float) -> None:
    mask = np.random.default_rng(1).random((37, 300)) < share
    assert np.array_equal(of_coco(coco_rle(mask)), mask)
    assert np.array_equal(of_brush(brush_rle(mask), (37, 300)), mask)


def test_an_export_refuses_pictures_that_changed_since_and_leaves_nothing(pairs: Path, tmp_path: Path) -> None:
    craft(pairs, tmp_path / "crafted", LABELS)
    Image.new("RGB", (WIDTH, HEIGHT)).save(pairs / "A" / "p1.png")
    with pytest.raises(DataError, match="the picture that was crafted"):
        export(tmp_path / "crafted", tmp_path / "set", "coco")
    with pytest.raises(QueryError, match="labelstudio"):
        export(tmp_path / "crafted", tmp_path / "set", "yolo")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crafted", "yard"]


def test_places_are_split_whole_and_one_is_always_left_to_train() -> None:
    def some(place: str, count: int) -> list[Triplet]:
        facts: Any = ("", "", "", "", "", "", 1, {}, place, None, (Path(), Path()), {})
        return [Triplet(*facts)] * count

    splits = split_places([*some("a", 5), *some("b", 3), *some("c", 2)], val=1.0)
    assert sorted(splits.values()) == ["train", "val", "val"]
    assert split_places(some("a", 3), val=0.5) == {"a": "train"}
    assert set(split_places([*some("a", 1), *some("b", 1)], val=0.0).values()) == {"train"}


def test_the_command_line_crafts_tells_and_exports_k1(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    for arguments in (
        ["craft", "run", str(pairs), "-o", out, "--quiet", "--per-pair", "3"],
        ["craft", "status", out, "--json"],
        ["craft", "export", out, "-o", str(tmp_path / "set")],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    ran, told = capsys.readouterr().out.split("\n{", 1)
    assert ran.startswith(out)
    status, exported = ("{" + told).strip().splitlines()
    count = json.loads(status)["triplets"][KEPT]
    assert exported == f"{tmp_path / 'set'}: {count} sentences"


def test_uncorrected_sentences_stay_in_the_ledger_and_out_of_the_export(pairs: Path, tmp_path: Path) -> None:
    class Liar(GrammarPhraser):
        def phrase(self, pair: Pair, checked: Mapping[int, Candidate], rng: np.random.Generator) -> list[Phrased]:
            said = super().phrase(pair, checked, rng)
            return [*said, replace(said[0], mask=np.roll(said[0].mask, 4, 0)), said[0]]

    parts = Parts(LABELS.perceiver, LABELS.segmenter, LABELS.verifier, Liar())
    counts = craft(pairs, tmp_path / "out", parts, limit=1)
    assert counts["triplets"][UNCORRECTED] == 1  # and what was said twice of one mask is one triplet
    assert counts["failed_rules"] == {"twin": 1, "reads back": 1}
    assert export(tmp_path / "out", tmp_path / "set", "coco") == counts["triplets"][KEPT] == len(kept(tmp_path / "out"))


def test_the_cells_of_the_grid_share_no_pixel_and_leave_none_out() -> None:
    hits = np.zeros((100, 71), int)
    for cell in grid.CELLS:
        hits[grid.window(cell, hits.shape)] += 1
    assert (hits == 1).all()
    corner = np.zeros((90, 90), bool)
    corner[2:20, 70:88] = True
    assert grid.cells_of(corner) == ("top-right",)
    assert grid.cells_of(np.zeros((9, 9), bool)) == ()
    assert set(grid.cells_of(np.ones((90, 90), bool))) == set(grid.CELLS)
