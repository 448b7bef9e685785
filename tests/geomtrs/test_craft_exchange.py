"""What people decided in other tools comes back, and what was crafted teaches nano."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geomtrs.cli import main
from geomtrs.craft.audit.decisions import Decision, append, mended_mask, read, read_all, standing
from geomtrs.craft.codes import brush_rle, coco_rle, of_brush, of_coco
from geomtrs.craft.export import export
from geomtrs.craft.incoming import take_in
from geomtrs.craft.ledger import read_mask
from geomtrs.craft.run import craft
from geomtrs.data.labels import ABSENT, PRESENT, RULES, THINGS, UNKNOWN
from geomtrs.data.mtrefseg21k import Rule, read_split
from geomtrs.data.pairs import Pack, read_folder, write_pack
from geomtrs.data.val_cases import cases, read_labels
from geomtrs.errors import DataError
from geomtrs.training.samples import PairSampler
from geomtrs.training.truth import APPEARED, DISAPPEARED
from tests.geomtrs.test_craft import BUILT, FELLED, HEIGHT, LABELS, WIDTH, kept, write_pairs


@pytest.fixture
def crafted(tmp_path: Path) -> Path:
    craft(write_pairs(tmp_path), tmp_path / "crafted", LABELS)
    return tmp_path / "crafted"


def changed(path: Path, change: Callable[[Any], object]) -> Path:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_masks_come_back_from_others_as_they_went(share: float) -> None:
    mask = np.random.default_rng(1).random((37, 300)) < share
    assert np.array_equal(of_coco(coco_rle(mask), mask.shape), mask)
    assert np.array_equal(of_brush(brush_rle(mask), mask.shape), mask)


def test_packed_run_lengths_and_polygons_of_coco_are_read() -> None:
    plain = np.zeros((5, 6), bool)
    plain[1:4, 2:4] = True
    runs = coco_rle(plain)["counts"]
    assert runs == [11, 3, 2, 3, 11]
    assert np.array_equal(of_coco({"size": [5, 6], "counts": _packed(runs)}, (5, 6)), plain)
    assert np.array_equal(of_coco([[2, 1, 4, 1, 4, 4, 2, 4]], (5, 6)), plain)
    with pytest.raises(ValueError, match="wanted"):
        of_coco(coco_rle(plain), (6, 5))


def _packed(runs: list[int]) -> str:
    """As rleToString of cocoapi writes them."""
    text = ""
    for i, run in enumerate(runs):
        value, more = run - (runs[i - 2] if i > 2 else 0), True
        while more:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            text += chr((bits | 32 if more else bits) + 48)
    return text


def test_label_studio_tells_what_was_accepted_mended_and_rejected_k4(crafted: Path, tmp_path: Path) -> None:
    export(crafted, tmp_path / "ls", "labelstudio")
    one, two, three, four, *_ = kept(crafted)
    smaller = read_mask(crafted, two.mask)
    smaller[np.flatnonzero(smaller.any(1))[0]] = False

    def work(tasks: Any) -> None:  # noqa: ANN401 - JSON
        for task in tasks:
            result = task.pop("predictions")[0]["result"]
            item, by = task["data"]["triplet"], {"completed_by": {"email": "anna@example.org"}}
            task["annotations"] = []
            if item == one.id:
                task["annotations"] = [{"result": result, **by}]
            elif item == two.id:
                result[0]["value"]["rle"] = brush_rle(smaller)
                result[1]["value"]["text"] = ["the new sheds"]
                task["annotations"] = [{"result": result, **by}]
            elif item == three.id:
                task["annotations"] = [{"result": [], **by}]
            elif item == four.id:
                verdict = {"type": "choices", "from_name": "verdict", "value": {"choices": ["reject"]}}
                task["annotations"] = [{"result": [*result, verdict], **by}]

    file = changed(tmp_path / "ls" / "tasks.json", work)
    counts = take_in(crafted, file)
    assert counts == {"accepted": 2, "mended": 1, "rejected": 2}
    ((name, decisions),) = read_all(crafted).items()
    words = standing(decisions)
    assert name == "label-studio-anna-example-org"
    assert words[one.id].verdict == "accept"
    assert words[one.id].mask is words[one.id].sentence is None
    assert words[two.id].sentence == "the new sheds"
    assert np.array_equal(mended_mask(crafted, words[two.id].mask or ""), smaller)
    assert {words[three.id].reason, words[four.id].reason} == {"no mask is left", "rejected"}
    assert take_in(crafted, file) == counts
    assert len(read(crafted, name)) == 4  # said again it adds nothing
    left = {json.loads(line)["data"]["triplet"] for line in _tasks(crafted, tmp_path / "again")}
    assert three.id not in left
    assert four.id not in left


def _tasks(crafted: Path, out: Path) -> list[str]:
    export(crafted, out, "labelstudio")
    return [json.dumps(task) for task in json.loads((out / "tasks.json").read_text(encoding="utf-8"))]


def test_coco_tells_what_was_taken_out_and_mended_k4(
    crafted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(crafted, tmp_path / "coco", "coco", val=0)

    def work(document: Any) -> None:  # noqa: ANN401 - JSON
        document["annotations"].pop(0)
        document["annotations"][0]["segmentation"] = [[84, 6, 100, 6, 100, 20, 84, 20]]

    file = changed(tmp_path / "coco" / "train.json", work)
    with pytest.raises(SystemExit) as ended:
        main(["craft", "import", str(crafted), str(file), "--auditor", "anna"])
    assert ended.value.code == 0
    count = len(kept(crafted))
    assert f"{count - 1} accepted, 1 mended, 1 rejected" in capsys.readouterr().out
    words = standing(read(crafted, "anna"))
    assert [one.reason for one in words.values() if one.verdict == "reject"] == ["taken out"]
    (mended,) = [one.mask for one in words.values() if one.mask]
    assert mended_mask(crafted, mended).sum() == 16 * 14


@pytest.mark.parametrize(
    "change",
    [
        lambda tasks: tasks[0]["data"].update(triplet="0123456789abcdef"),
        lambda tasks: tasks[0].update(annotations=[{"result": [{"type": "brushlabels", "value": {"rle": [1, 2]}}]}]),
    ],
    ids=["another set's", "cut off"],
)
def test_a_file_of_something_else_is_refused_and_decides_nothing_k4(
    change: Callable[[Any], object], crafted: Path, tmp_path: Path
) -> None:
    export(crafted, tmp_path / "ls", "labelstudio")
    with pytest.raises(DataError, match="wanted what geomtrs craft export wrote"):
        take_in(crafted, changed(tmp_path / "ls" / "tasks.json", change))
    assert not read_all(crafted)


def test_what_was_accepted_becomes_labels_that_training_reads(crafted: Path, tmp_path: Path) -> None:
    built = {one.finding["noun"]: one for one in kept(crafted) if one.pair == "yard/p0"}
    assert set(built) == {"buildings", "trees"}
    trees = [one.id for one in kept(crafted) if one.pair == "yard/p0" and one.finding["noun"] == "trees"]
    append(crafted, [Decision(item, "reject", "anna") for item in trees])
    export(crafted, tmp_path / "set", "pairs", val=0.3)
    assert write_pack(tmp_path / "pack", read_folder(tmp_path / "set")) == 4
    pack = Pack(tmp_path / "pack")
    first = next(one for one in pack.samples if one.name == "yard_p0")
    told = read_labels(pack, first)
    assert told is not None
    building, tree = THINGS.index("building"), THINGS.index("tree")
    assert (told.before[building][BUILT] == ABSENT).all()
    assert (told.after[building][BUILT] == PRESENT).all()
    assert (told.before[tree][FELLED] == UNKNOWN).all()  # rejected: nothing is told of it
    assert {one.split for one in pack.samples} == {"train", "val"}
    assert any(case.thing == "building" for split in ("train", "val") for case in cases(pack, split=split))


def test_what_labels_know_to_be_nowhere_is_learned_k4(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, pairs=3)
    for name, house in (("p1", 7), ("p2", 0)):  # a house that stands, and nothing; in both nothing changed
        for side in "AB":
            label = np.zeros((HEIGHT, WIDTH), np.uint8)
            label[BUILT] = house
            Image.fromarray(label).save(folder / f"label{side}" / f"{name}.png")
    craft(folder, tmp_path / "crafted", LABELS)
    export(tmp_path / "crafted", tmp_path / "set", "pairs", val=0)
    write_pack(tmp_path / "pack", read_folder(tmp_path / "set"))
    pack = Pack(tmp_path / "pack")
    told = {one.name: (set(one.absent), set(one.unchanged)) for one in pack.samples}
    assert told == {
        "yard_p0": (set(), set()),
        "yard_p1": ({"tree"}, {"building"}),
        "yard_p2": ({"building", "tree"}, set()),
    }
    said = [case for case in cases(pack, split="train") if case.mask.sum() == 0]
    assert {case.thing for case in said} >= {"building", "tree"}
    pack.samples = tuple(one for one in pack.samples if one.unchanged)
    sampler = PairSampler(pack, np.random.default_rng(0))
    nowhere = {
        (question.thing, question.direction)
        for drawn in (sampler.draw() for _ in range(40))
        if PRESENT not in drawn.existence  # nothing was laid in
        for question, state in zip(drawn.questions, drawn.existence, strict=True)
        if state == ABSENT
    }
    building, tree = THINGS.index("building"), THINGS.index("tree")
    for thing in (building, tree):
        assert {(thing, APPEARED), (thing, DISAPPEARED)} <= nowhere
    export(tmp_path / "crafted", tmp_path / "published", "mtrefseg21k", val=0)
    assert [path.stem for path in (tmp_path / "published").rglob("A/*.png")] == ["yard_p0"]
    export(tmp_path / "crafted", tmp_path / "nowhere", "mtrefseg21k", val=0, absent=2)
    for rule in Rule:
        samples = read_split(tmp_path / "nowhere" / "train_FINAL_CLEAN", rule=rule).samples
        empty = [one for one in samples if one.mask is not None and not np.asarray(Image.open(one.mask)).any()]
        assert {one.before.stem for one in empty} == {"yard_p1", "yard_p2"}
        assert len(empty) == len({one.sentence for one in empty}) == 4


def test_values_of_crafted_labels_tell_a_thing_and_nothing_that_may_be_there_with_it() -> None:
    tables = RULES["crafted"].tables()
    pool, water, road = (THINGS.index(name) for name in ("pool", "water", "road"))
    assert (tables[pool, pool + 1], tables[water, pool + 1], tables[road, pool + 1]) == (PRESENT, UNKNOWN, ABSENT)
    assert (tables[pool, 100 + pool + 1], tables[road, 100 + pool + 1]) == (ABSENT, UNKNOWN)
    assert (tables[:, 0] == UNKNOWN).all()
