"""`geomtrs craft`: a user's pairs become checked sentences with masks; killed, it goes on; others read the exports."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from geomtrs.cli import main
from geomtrs.craft import grid
from geomtrs.craft.calls import Budget
from geomtrs.craft.chat import ChatPerceiver
from geomtrs.craft.codes import brush_rle, coco_rle
from geomtrs.craft.endpoint import Endpoint
from geomtrs.craft.export import export, split_places
from geomtrs.craft.ledger import KEPT, UNCORRECTED, Ledger, Triplet, read_mask
from geomtrs.craft.pairs import list_pairs, read_pair, rule_of_classes
from geomtrs.craft.perceive import LabelPerceiver, SentencePerceiver
from geomtrs.craft.phrase import GrammarPhraser
from geomtrs.craft.protocols import Ask, Bool, Candidate, Finding, Pair, Perceiver, Phrased
from geomtrs.craft.run import Parts, craft
from geomtrs.craft.segment import LabelSegmenter, ModelSegmenter
from geomtrs.craft.verify import RuleVerifier, iou, unlikeness
from geomtrs.data.labels import THINGS
from geomtrs.data.mtrefseg21k import Rule, read_split
from geomtrs.data.pictures import read_mask as read_png_mask
from geomtrs.errors import DataError, JobError, QueryError
from geomtrs.hashing import file_hash
from geomtrs.models import catalog
from geomtrs.models.differencing import Differencing

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
    assert [check["rule"] for check in json.loads(finding[3])] == ["size", "cells", "kind", "own mask", "judge"]
    assert triplet[:2] == ("grammar, at most 6 a pair", "rules")
    assert [check["rule"] for check in json.loads(triplet[2])] == [
        "size", "known", "visible", "alone", "once", "twin", "reads back",
    ]  # fmt: skip
    assert set(json.loads(hashes)) == {"A", "B", "labelA", "labelB", "classes"}
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
        def phrase(
            self, pair: Pair, checked: Mapping[int, Candidate], rng: np.random.Generator, ask: Ask
        ) -> list[Phrased]:
            said = super().phrase(pair, checked, rng, ask)
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


def test_what_a_perceiver_is_shown_has_the_grid_and_the_cell_of_both_dates(pairs: Path) -> None:
    pair = read_pair(list_pairs(pairs)[0])
    whole, near = (
        np.asarray(Image.open(io.BytesIO(one))) for one in dict(grid.sheets(pair.before, pair.after))["top-right"]
    )
    assert whole.shape == (480, 2 * grid.SHOWN_PX + grid.GAP_PX, 3)
    across = grid.CLOSEST * -(-WIDTH // 3)  # of a cell
    assert near.shape == (grid.CLOSEST * HEIGHT // 3, 2 * across + grid.GAP_PX, 3)
    lines = grid.with_grid(pair.before)
    edges = [grid.window(cell, lines.shape) for cell in grid.CELLS]
    assert all((lines[rows.start, columns.start] == (255, 230, 0)).all() for rows, columns in edges)
    assert near[:, :across].max() < 140  # no building yet
    assert near[:, across + grid.GAP_PX :].max() > 200
    assert [*grid.sheets(pair.before, pair.after)] == [*grid.sheets(pair.before, pair.after)]


KEY = "sk-not-to-be-written-0123456789"
HOUSE = {"kind": "appear", "what": "the new white house", "cells": ["top-right"]}
Step = Mapping[str, Any]  # what the server does with one request


class Stub:
    """A server of the chat protocol on this machine that does as it is told, request by request, then says nothing."""

    def __init__(self, steps: Sequence[Step] = (), *, always: Step | None = None) -> None:
        self.steps, self.always = list(steps), always or {"findings": []}
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.same: list[str | None] = []  # idempotency keys
        self.lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # else each answer waits 40 ms

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with stub.lock:
                    stub.asked.append(json.loads(body))
                    stub.keys.append(self.headers.get("Authorization"))
                    stub.same.append(self.headers.get("Idempotency-Key"))
                    step = stub.steps.pop(0) if stub.steps else stub.always
                stub.answer(self, step)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self) -> Stub:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, step: Step) -> None:
        time.sleep(step.get("late", 0))
        text = step.get("text", json.dumps({"findings": step.get("findings", [])}))
        message = {"content": text, "refusal": step.get("refusal")}
        reply = {"choices": [{"message": message}], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
        body = step.get("body", json.dumps(reply)).encode()
        with suppress(OSError):  # the client may have gone
            handler.send_response(step.get("status", 200))
            for name, value in step.get("headers", {}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body) + step.get("missing", 0)))
            handler.end_headers()
            handler.wfile.write(body)


def seen(stub: Stub, waits: list[float] | None = None, **told: Any) -> ChatPerceiver:  # noqa: ANN401 - of an endpoint
    sleep = [].append if waits is None else waits.append
    return ChatPerceiver(Endpoint(stub.url, "eyes", sleep=sleep, **{"timeout_s": 5.0, **told}))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_pairs(tmp_path, pairs=2, labels=False)


def with_model(perceiver: Perceiver) -> Parts:
    """Masks by plain difference, which sees the drawn changes well."""
    return Parts(perceiver, ModelSegmenter(Differencing()), RuleVerifier(), GrammarPhraser())


def test_a_chat_model_is_shown_each_cell_and_what_it_names_is_cut_out_k1(plain: Path, tmp_path: Path) -> None:
    with Stub([{}, {}, {"findings": [HOUSE]}]) as stub:
        counts = craft(plain, tmp_path / "out", with_model(seen(stub)), limit=1)
        assert len(stub.asked) == 9
    assert counts["calls"] == {"made": 9, "tokens_in": 81, "tokens_out": 18, "unanswered": 0}
    (request, *_) = stub.asked
    text, *pictures = request["messages"][0]["content"]
    assert 'the cell "top-left"' in " ".join(text["text"].split())
    assert [one["image_url"]["url"][:23] for one in pictures] == ["data:image/jpeg;base64,"] * 2
    assert request["response_format"]["json_schema"]["schema"]["required"] == ["findings"]
    found = kept(tmp_path / "out")
    assert {one.sentence for one in found} >= {"the white house that appeared"}
    truth = np.zeros((HEIGHT, WIDTH), bool)
    truth[BUILT] = True
    assert all(iou(read_mask(tmp_path / "out", one.mask), truth) > 0.6 for one in found)


@pytest.mark.parametrize(
    ("steps", "waits"),
    [
        ([{"status": 429, "headers": {"Retry-After": "7"}}], [7.0]),
        ([{"status": 500, "body": "no"}, {"status": 503}], [0.5, 1.0]),
        ([{"missing": 500}], [0.5]),
        ([{"body": '{"choices": []}'}], [0.5]),
        ([{"late": 0.6}], [0.5]),
        ([{"text": '{"findings": [{"kind": "app'}], []),
        ([{"text": '{"findings": [{"kind": "moved", "what": "car", "cells": ["center"]}]}'}], []),
        ([{"refusal": "I cannot help with that"}], []),
    ],
    ids=["429", "5xx", "cut off", "no choices", "timeout", "half JSON", "other kind", "refusal"],
)
def test_a_server_that_stumbles_is_asked_again(
    steps: list[Step], waits: list[float], plain: Path, tmp_path: Path
) -> None:
    waited: list[float] = []
    with Stub(steps) as stub:
        counts = craft(plain, tmp_path / "out", with_model(seen(stub, waited, timeout_s=0.3)), limit=1)
        assert counts["pairs"] == {"done": 1}
        assert len(stub.asked) == 9 + len(steps)
        # What is sent again is sent under the same key; asked anew, with another seed, it is another question.
        assert len(set(stub.same)) == len({json.dumps(one) for one in stub.asked})
    assert waited == waits


@pytest.mark.parametrize(
    ("always", "said", "requests"),
    [
        ({"status": 500}, "status 500", 5),
        ({"status": 422, "body": f"bad key {KEY}"}, r"bad key \*\*\*", 1),
        ({"status": 302, "headers": {"Location": "http://192.0.2.1/"}}, "status 302", 1),
        ({"status": 429, "headers": {"Retry-After": "9999"}}, "asks to wait 9999 s", 1),
        ({"text": "sorry"}, "3 answers of eyes at .* to perceive that cannot be used", 3),
    ],
    ids=["5xx", "other", "redirect", "long wait", "no JSON"],
)
def test_a_server_that_never_answers_fails_the_pair_with_its_reason(
    always: Step, said: str, requests: int, plain: Path, tmp_path: Path
) -> None:
    with Stub(always=always) as stub:
        counts = craft(plain, tmp_path / "out", with_model(seen(stub, key=KEY)), limit=1)
        assert len(stub.asked) == requests
    assert counts["pairs"] == {"failed": 1}
    assert re.search(said, counts["failed"]["yard/p0"])


def test_stopped_by_the_budget_it_goes_on_without_a_call_made_twice_k2(plain: Path, tmp_path: Path) -> None:
    with Stub([{}, {}, {"findings": [HOUSE]}], always={"text": "{"}) as stub:
        stub.always = {"findings": [HOUSE]}
        whole = craft(plain, tmp_path / "whole", with_model(seen(stub)))
        asked = [json.dumps(one) for one in stub.asked]
        assert len(asked) == len(set(asked)) == 18
        stub.steps, stub.asked = [{}, {}, {"findings": [HOUSE]}], []
        for most, status in ((4, {"pending": 2}), (13, {"done": 1, "pending": 1})):
            counts = craft(plain, tmp_path / "cut", with_model(seen(stub)), budget=Budget(most))
            assert (counts["pairs"], counts["calls"]["made"]) == (status, most)
            assert f"no more than {most}" in counts["stopped"]
        assert craft(plain, tmp_path / "cut", with_model(seen(stub)))["triplets"] == whole["triplets"]
        assert sorted(json.dumps(one) for one in stub.asked) == sorted(asked)
    for name in ("whole", "cut"):
        export(tmp_path / name, tmp_path / f"{name}-set", "mtrefseg21k")
    assert content(tmp_path / "whole-set") == content(tmp_path / "cut-set")


def test_the_key_is_sent_and_written_nowhere_k5(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRAFT_TEST_KEY", KEY)
    out = tmp_path / "out"
    with Stub([{"text": f"you sent {KEY}"}, {"findings": [HOUSE]}], always={"status": 400, "body": KEY}) as stub:
        options = ["--chat-model", "eyes", "--key-env", "CRAFT_TEST_KEY", "--segmenter", "differencing"]
        with pytest.raises(SystemExit) as ended:
            main(["--debug", "craft", "run", str(plain), "-o", str(out), "--chat", stub.url, *options])
        assert ended.value.code == 3
        assert set(stub.keys) == {f"Bearer {KEY}"}
        assert KEY not in repr(seen(stub, key=KEY))
    told = capsys.readouterr()
    assert "status 400" in told.out
    assert KEY not in told.out + told.err
    assert not [name for name, bytes_ in content(out).items() if KEY.encode() in bytes_]


@pytest.mark.parametrize(
    ("url", "told", "said"),
    [
        ("https://api.example.com/v1", {}, "--allow-upload api.example.com"),
        ("http://192.168.1.7:8000/v1", {"allow_upload": "192.168.1.8"}, "which is not this machine"),
        ("http://127.0.0.1.example.com/v1", {}, "which is not this machine"),
        (f"http://user:{KEY}@127.0.0.1/v1", {}, "--key-env"),
        (f"http://127.0.0.1/v1?key={KEY}", {}, "--key-env"),
        ("ftp://127.0.0.1/v1", {}, "http://HOST:PORT"),
        ("http://127.0.0.1/v1", {"key": f"{KEY}\n"}, "odd characters"),
    ],
)
def test_no_picture_leaves_the_machine_unasked_and_no_url_holds_a_key_k5(
    url: str, told: dict[str, str], said: str
) -> None:
    with pytest.raises(QueryError, match=re.escape(said)) as refused:
        Endpoint(url, "eyes", **told)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_this_machine_needs_no_leave(host: str) -> None:
    assert Endpoint(f"http://{host}:8000/v1", "eyes").local


def test_an_allowed_host_may_be_sent_to() -> None:
    assert not Endpoint("https://api.example.com/v1", "eyes", allow_upload="api.example.com").local


def test_sentences_of_the_user_are_cut_out_by_a_model_of_unlabelled_pairs_k1(plain: Path, tmp_path: Path) -> None:
    came, went = "the bright house that appeared", "the bright house that was removed"
    counts = craft(plain, tmp_path / "out", with_model(SentencePerceiver((came, went))))
    assert counts["pairs"] == {"done": 2}
    # Nothing became darker; and where trees were felled it is brighter as well, which a new house does not explain.
    assert counts["failed_rules"] == {"once": 2, "size": 2, "judge": 2}
    (one, *_) = kept(tmp_path / "out", UNCORRECTED)
    assert (one.sentence, one.kind) == (came, "appear")
    assert read_mask(tmp_path / "out", one.mask)[BUILT].mean() > 0.9


def test_a_model_s_mask_keeps_the_parts_in_the_cells_that_were_named(plain: Path) -> None:
    pair = read_pair(list_pairs(plain)[0])
    segmenter = ModelSegmenter(Differencing())
    everywhere = segmenter.segment(pair, Finding("changed", "change", (), "what changed"))
    there = segmenter.segment(pair, Finding("changed", "change", ("bottom-left",), "what changed"))
    assert everywhere.mask[BUILT].any()
    assert everywhere.mask[FELLED].any()
    assert not there.mask[BUILT].any()
    assert np.array_equal(there.mask[FELLED], everywhere.mask[FELLED])


@pytest.mark.slow
def test_nano_cuts_out_what_is_asked_of_unlabelled_pairs_k1(plain: Path) -> None:
    pair = read_pair(list_pairs(plain)[0])
    segmenter = ModelSegmenter(catalog.load("nano", device="cpu"))
    assert re.fullmatch("nano [0-9a-f]{12}", segmenter.name)
    asked = Finding("appeared", "buildings", (), "the buildings that appeared")
    first, again = (segmenter.segment(pair, asked) for _ in range(2))
    assert first.mask.shape == pair.shape
    assert np.array_equal(first.mask, again.mask)


def test_the_dates_are_most_unlike_where_something_changed(plain: Path) -> None:
    pair = read_pair(list_pairs(plain)[0])
    apart, still = unlikeness(pair), np.ones(pair.shape, bool)
    for place in (BUILT, FELLED):
        still[place] = False
        assert apart[place].mean() > 0.8
    assert apart[still].mean() < 0.5
    assert 0 <= apart.min() <= apart.max() < 1


def test_a_mask_with_a_palette_marks_nothing_at_its_first_colour(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, pairs=1, labels=False)
    (folder / "mask").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[BUILT] = 1
    image = Image.fromarray(mask, "P")
    image.putpalette([255, 255, 255, 200, 0, 0])
    image.save(folder / "mask" / "p0.png")
    pair = read_pair(list_pairs(folder)[0])
    (finding,) = LabelPerceiver().perceive(pair, no_model)
    assert iou(LabelSegmenter().segment(pair, finding).mask, mask > 0) == 1


def test_a_set_of_before_that_tells_of_labels_without_classes_is_gone_on_with_k2(pairs: Path, tmp_path: Path) -> None:
    (pairs / "classes.json").unlink()
    (one, *_) = list_pairs(pairs)
    told = {plane: file_hash(pairs / plane / "p0.png") for plane in ("A", "B", "labelA", "labelB")}
    assert one.changed(told) == []
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.uint8)).save(pairs / "labelA" / "p0.png")
    assert one.changed(told) == ["labelA"]


@pytest.mark.parametrize("redrawn", ["labelB/p1.png", "classes.json", "mask/p1.png"])
def test_labels_that_were_changed_since_are_not_gone_on_with_k2(pairs: Path, tmp_path: Path, redrawn: str) -> None:
    craft(pairs, tmp_path / "out", LABELS, limit=2)
    craft(pairs, tmp_path / "out", LABELS, limit=3)
    if redrawn == "classes.json":
        (pairs / redrawn).write_text('{"3": "building", "7": "trees"}', encoding="utf-8")
    else:
        (pairs / redrawn).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(pairs / redrawn)
    with pytest.raises(JobError, match=f"crafted with another {Path(redrawn).parts[0].removesuffix('.json')}"):
        craft(pairs, tmp_path / "out", LABELS)


def test_labels_whose_meaning_comes_later_are_not_passed_over_k2(pairs: Path, tmp_path: Path) -> None:
    classes = (pairs / "classes.json").read_text(encoding="utf-8")
    (pairs / "classes.json").unlink()
    (pairs / "mask").mkdir()
    for name in ("p0", "p1", "p2", "p3"):
        Image.fromarray(np.full((HEIGHT, WIDTH), 255, np.uint8)).save(pairs / "mask" / f"{name}.png")
    craft(pairs, tmp_path / "out", LABELS)
    (pairs / "classes.json").write_text(classes, encoding="utf-8")
    with pytest.raises(JobError, match="another classes, labelA, labelB"):
        craft(pairs, tmp_path / "out", LABELS)


def test_a_set_that_nobody_has_audited_says_so_where_only_audited_ones_are_wanted(pairs: Path, tmp_path: Path) -> None:
    craft(pairs, tmp_path / "out", LABELS)
    with pytest.raises(DataError, match=r"found no triplet that a person accepted; .*geomtrs audit DIR"):
        export(tmp_path / "out", tmp_path / "mine", "mtrefseg21k", audited_only=True)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"name": "../../private/A/p0"}', r"name \"../../private/A/p0\"; wanted a file in the folder"),
        ('{"name": "p0", "gsd_m": "fine"}', r"gsd_m \"fine\"; wanted metres"),
        ('{"name": "p0"}\n{"name": "p0"}', "p0 twice"),
        ("[1]", r"line 1: \[1\]"),
    ],
)
def test_a_line_of_the_list_that_names_no_pair_of_the_set_is_refused_k2(line: str, found: str, pairs: Path) -> None:
    (pairs / "samples.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=found):
        list_pairs(pairs)


@pytest.mark.parametrize("text", ['\ufeff{"name": "p0"}', '{"name": "p0"}\n\n', '{"name": "p0", "of": "a\u2028b"}'])
def test_a_list_reads_as_training_reads_it_k2(text: str, pairs: Path) -> None:
    (pairs / "samples.jsonl").write_text(text, encoding="utf-8")
    assert [one.name for one in list_pairs(pairs)] == ["p0"]


def test_a_list_that_is_no_utf8_is_refused_by_its_file_k2(pairs: Path) -> None:
    (pairs / "samples.jsonl").write_bytes('{"name": "p0", "scene": "Zürich"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"samples\.jsonl: found 'utf-8' codec"):
        list_pairs(pairs)


def test_pictures_with_loud_suffixes_are_pairs_too_and_hidden_files_are_none_k2(pairs: Path) -> None:
    (pairs / "samples.jsonl").unlink()
    for side in "AB":
        (pairs / side / "p0.png").rename(pairs / side / "p0.PNG")
        (pairs / side / "._p1.png").write_bytes(b"of another system")
    assert [one.name for one in list_pairs(pairs)] == ["p0", "p1", "p2", "p3"]


def test_a_set_that_is_half_made_is_none_k2(pairs: Path) -> None:
    shutil.copytree(pairs, pairs.parent / ".half.part")
    assert {one.folder.name for one in list_pairs(pairs.parent)} == {pairs.name}
