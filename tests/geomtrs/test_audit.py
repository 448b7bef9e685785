"""`geomtrs audit` on a crafted set: who may ask, what is kept and when, what auditors agree on, what is exported."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from geomtrs.cli import main
from geomtrs.craft.audit.agreement import agreement, cohens_kappa, last_words, review, settle
from geomtrs.craft.audit.decisions import (
    Decision,
    append,
    decisions_file,
    keep_mask,
    mended_mask,
    read,
    read_all,
    standing,
)
from geomtrs.craft.audit.items import TripletSet
from geomtrs.craft.audit.server import PAGE
from geomtrs.craft.export import export
from geomtrs.craft.ledger import KEPT, UNCORRECTED, Ledger, Triplet, read_mask
from geomtrs.craft.protocols import Bool
from geomtrs.craft.run import craft
from geomtrs.data.mtrefseg21k import read_split
from geomtrs.data.pictures import read_mask as read_png_mask
from geomtrs.errors import DataError, QueryError
from tests.geomtrs.desks import Address, command, desk_of, ids, opened
from tests.geomtrs.test_craft import HEIGHT, LABELS, WIDTH, write_pairs


@pytest.fixture(scope="module")
def crafted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pairs, some twenty sentences; the first triplet of the ledger is one that a rule refused."""
    base = tmp_path_factory.mktemp("crafted")
    craft(write_pairs(base), base / "set", LABELS)
    with Ledger(base / "set") as ledger, ledger._changing():
        failed = json.dumps(
            [{"rule": "size", "passed": True, "saw": "9 px"}, {"rule": "twin", "passed": False, "saw": "1"}]
        )
        first = ledger._database.execute("SELECT min(id) FROM triplets").fetchone()
        ledger._database.execute(
            "UPDATE triplets SET decision = ?, checks = ? WHERE id = ?", (UNCORRECTED, failed, *first)
        )
    return base / "set"


@pytest.fixture
def folder(crafted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crafted, tmp_path / "set"))


def triplets(folder: Path, decision: str = KEPT) -> list[Triplet]:
    with Ledger(folder) as ledger:
        return ledger.triplets(decision)


def png_of(mask: Bool) -> bytes:
    """As a canvas gives it: colour where it is painted, nothing elsewhere."""
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    rgba[mask] = (255, 210, 63, 255)
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG")
    return buffer.getvalue()


def lines(folder: Path, auditor: str = "ann") -> list[dict[str, object]]:
    return [json.loads(line) for line in decisions_file(folder, auditor).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 403),
        ("/items", {}, 403),
        ("/wrongtoken/items", {}, 403),
        ("items", {"Host": "desk.example:80"}, 403),
        ("items", {"Host": "127.0.0.1:1"}, 403),
        ("items", {"Origin": "http://desk.example"}, 403),
        ("items", {"Origin": "null"}, 403),
        ("../../../etc/passwd", {}, 400),
        ("picture/..%2f..%2fledger.sqlite/before", {}, 400),
        ("mask/..\\ledger", {}, 400),
        ("%2e%2e/ledger.sqlite", {}, 400),
        ("/../etc/passwd", {}, 400),
    ],
)
def test_only_the_desks_own_page_is_answered_k5(folder: Path, path: str, headers: dict[str, str], status: int) -> None:
    with opened(desk_of(folder)) as address:
        for method in ("GET", "POST"):
            answer = address["ann"].ask(path, method, **headers)
            assert answer.status == status
            assert re.fullmatch(rb"refused: [^\n]+\n", answer.content)
            assert answer.headers["content-type"].startswith("text/plain")


def test_a_refused_decision_leaves_nothing(folder: Path) -> None:
    item = triplets(folder)[0].id
    word = json.dumps({"item": item, "verdict": "reject"}).encode()
    with opened(desk_of(folder)) as address:
        assert address["ann"].ask("decide", "POST", word, Origin="http://desk.example").status == 403
        assert address["ann"].decide("nothing", "accept").status == 400
        assert address["ann"].decide(item, "burn").status == 400
        assert address["ann"].decide(item, "undo").status == 400
        assert address["ann"].decide(item, "accept", sentence=" ").status == 400
        assert address["ann"].decide(item, "accept", mask="0" * 32).status == 500
        assert address["ann"].ask("decide", "POST", b"[").status == 400
    assert not decisions_file(folder, "ann").exists()


def test_the_page_asks_for_nothing_elsewhere_k5(folder: Path) -> None:
    with opened(desk_of(folder)) as address:
        answers = {name: address["ann"].ask("" if name == "index.html" else name) for name in PAGE}
        assert address["ann"].ask("desk.py").status == 404
    for answer in answers.values():
        assert answer.status == 200
        assert b"://" not in answer.content
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert set(PAGE) == {one.name for one in files("geomtrs.craft.audit").joinpath("page").iterdir()}


def test_what_a_rule_refused_comes_first_with_the_rule_first(folder: Path) -> None:
    with opened(desk_of(folder)) as address:
        listed = address["ann"].ask("items").document
    first, *others = listed["items"]
    assert first["id"] == triplets(folder, UNCORRECTED)[0].id
    assert [check["rule"] for check in first["checks"]] == ["twin", "size"]
    assert all(check["passed"] for item in others for check in item["checks"])
    assert len(listed["items"]) == len(triplets(folder)) + 1


def test_pictures_and_masks_are_those_of_the_set(folder: Path) -> None:
    one = next(one for one in triplets(folder) if one.kind == "appear")
    with opened(desk_of(folder)) as address:
        picture = address["ann"].ask(f"picture/{one.id}/after")
        mask = address["ann"].ask(f"mask/{one.id}")
        assert address["ann"].ask(f"picture/{one.id}/elsewhere").status == 404
        assert address["ann"].ask("picture/0123/before").status == 400
    there = read_mask(folder, one.mask)
    with Image.open(io.BytesIO(picture.content)) as shown, Image.open(one.files[1]) as crafted:
        means = [np.asarray(image)[there].mean() for image in (shown, crafted)]
    assert means[0] == pytest.approx(means[1], abs=3)  # JPEG
    with Image.open(io.BytesIO(mask.content)) as shown:
        assert ((np.asarray(shown) > 0) == there).all()


def test_a_decision_is_flushed_to_the_disk_before_it_is_answered_k3(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        if os.fstat(descriptor).st_ino == decisions_file(folder, "ann").stat().st_ino:
            flushed.append(len(lines(folder)))

    monkeypatch.setattr(os, "fsync", watched)
    with opened(desk_of(folder)) as address:
        for number, item in enumerate(ids(address["ann"])[:3], 1):
            assert address["ann"].decide(item, "accept").status == 200
            assert flushed == list(range(1, number + 1))


def test_an_undo_is_a_line_of_its_own_and_brings_back_the_word_before_k3(folder: Path) -> None:
    with opened(desk_of(folder)) as address:
        ann = address["ann"]
        one, other = ids(ann)[:2]
        ann.decide(one, "accept")
        ann.decide(other, "reject", reason="the words do not fit")
        ann.decide(one, "reject")
        assert ann.ask("undo", "POST").document == {
            "item": one, "said": {"verdict": "accept", "reason": "", "sentence": None, "mask": None},
        }  # fmt: skip
        assert ann.ask("undo", "POST").document == {"item": other, "said": None}
        assert ann.ask("undo", "POST").document["item"] == one
        assert ann.ask("undo", "POST").document == {"item": None, "said": None}
    assert [line["verdict"] for line in lines(folder)] == ["accept", "reject", "reject", "undo", "undo", "undo"]
    assert standing(read(folder, "ann")) == {}


def test_a_mended_mask_is_kept_beside_the_set_under_its_hash_k3(folder: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[3:9, 4:20] = True
    with opened(desk_of(folder)) as address:
        item = ids(address["ann"])[1]
        name = address["ann"].ask(f"mask/{item}", "PUT", png_of(mask)).document["mask"]
        assert address["ann"].decide(item, "accept", mask=name).status == 200
        shown = address["ann"].ask(f"mask/{item}?name={name}")
        for content in (png_of(mask[1:]), png_of(mask & False), b"no picture"):
            assert address["ann"].ask(f"mask/{item}", "PUT", content).status == 400
    assert (mended_mask(folder, name) == mask).all()
    with Image.open(io.BytesIO(shown.content)) as image:
        assert ((np.asarray(image) > 0) == mask).all()
    assert [path.name for path in (folder / "audit" / "masks").rglob("*.png")] == [f"{name}.png"]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_and_opened_again_every_answered_decision_is_there_k3(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with command(folder, "--auditor", "ann") as (process, (ann,)):
        decided = ids(ann)[:10]
        for item in decided:
            assert ann.decide(item, "reject", reason="killed soon").status == 200
        process.send_signal(signal.SIGKILL)
        process.wait()
    with decisions_file(folder, "ann").open("ab") as file:
        file.write(b'{"item": "torn", "verd')
    notes: list[str] = []
    assert [one.item for one in read(folder, "ann", notes.append)] == decided
    assert "torn" in notes[0]
    with opened(desk_of(folder)) as address:
        listed = address["ann"].ask("items").document
        assert {item["id"] for item in listed["items"] if item["said"]} == set(decided)
        address["ann"].decide(decided[0], "accept")
    assert [line["item"] for line in lines(folder)] == [*decided, decided[0]]


def test_two_auditors_at_once_write_a_file_each_and_see_only_who_decided_k3(folder: Path) -> None:
    with command(folder, "--auditor", "ann") as (_, (ann,)), opened(desk_of(folder, "ben", "cy")) as address:
        item = ids(ann)[0]
        for one, verdict in ((ann, "accept"), (address["ben"], "reject"), (address["cy"], "accept")):
            assert one.decide(item, verdict).status == 200
        (shown,) = [one for one in ann.ask("items").document["items"] if one["id"] == item]
        assert main_code("audit", str(folder), "--auditor", "ann", "--no-browser") == 1
    assert shown["said"]["verdict"] == "accept"
    assert shown["by"] == ["ben", "cy"]
    assert "reject" not in json.dumps(shown)
    assert {name: [one.verdict for one in said] for name, said in read_all(folder).items()} == {
        "ann": ["accept"], "ben": ["reject"], "cy": ["accept"],
    }  # fmt: skip


def test_a_line_that_is_no_decision_is_named(folder: Path) -> None:
    append(folder, [Decision("a", "accept", "ann"), Decision("b", "accept", "ann")])
    path = decisions_file(folder, "ann")
    path.write_bytes(path.read_bytes().replace(b'"accept"', b'"perhaps"', 1))
    with pytest.raises(DataError, match=r"ann\.jsonl: found line 1"):
        read(folder, "ann")


@pytest.mark.parametrize("name", ["../ann", "a/b", "", "a" * 60, ".ann", "a\nb"])
def test_an_auditors_name_is_that_of_a_file(name: str) -> None:
    with pytest.raises(QueryError, match="auditor"):
        Decision("a", "accept", name)


def test_kappa_is_that_of_the_worked_example() -> None:
    """20 both accept, 15 both reject, 5 and 10 one against the other: 0.7 seen, 0.5 by chance."""
    said = [("accept", "accept")] * 20 + [("reject", "reject")] * 15 + [("accept", "reject")] * 5
    said += [("reject", "accept")] * 10
    one, other = ({str(i): verdicts[side] for i, verdicts in enumerate(said)} for side in (0, 1))
    assert cohens_kappa(one, other) == pytest.approx(0.4)
    assert cohens_kappa({"a": "accept"}, {"a": "accept"}) is None
    assert cohens_kappa({"a": "accept"}, {"b": "accept"}) is None


def square(left: int) -> Bool:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:10, left : left + 10] = True
    return mask


def test_agreement_on_masks_is_their_mean_iou(folder: Path) -> None:
    a, b = (item.id for item in TripletSet(folder).items[:2])
    for auditor, left in (("ann", 0), ("ben", 5)):
        name = keep_mask(folder, square(left))
        append(folder, [Decision(a, "accept", auditor, mask=name), Decision(b, "reject", auditor)])
    (found,) = agreement(last_words(folder), lambda word: mended_mask(folder, str(word.mask)))
    assert found["mean_iou"] == pytest.approx(50 / 150)
    assert (found["shared"], found["same"], found["masks"], found["kappa"]) == (2, 2, 1, 1.0)


@pytest.mark.parametrize(
    ("other", "stands"),
    [
        (Decision("a", "accept", "ben"), True),
        (Decision("a", "reject", "ben"), False),
        (Decision("a", "accept", "ben", sentence="other words"), False),
    ],
)
def test_an_item_stands_where_its_auditors_say_the_same(other: Decision, stands: bool) -> None:
    words = {"ann": {"a": Decision("a", "accept", "ann")}, "ben": {"a": other}}
    settled = settle(words, lambda _: square(0))
    assert set(settled.decisions) == ({"a"} if stands else set())
    assert settled.disputed == (set() if stands else {"a"})


@pytest.mark.parametrize(("left", "stands"), [(0, True), (1, True), (5, False)])
def test_mended_masks_that_nearly_agree_are_one(folder: Path, left: int, stands: bool) -> None:
    names = [keep_mask(folder, square(0)), keep_mask(folder, square(left))]
    words = {
        auditor: {"a": Decision("a", "accept", auditor, mask=name, at=str(i))}
        for i, (auditor, name) in enumerate(zip(("ann", "ben"), names, strict=True))
    }
    settled = settle(words, lambda word: mended_mask(folder, str(word.mask)))
    assert bool(settled.decisions) == stands
    if stands:
        assert settled.decisions["a"].mask == names[1]


def test_the_export_holds_what_people_accepted_as_they_mended_it(folder: Path, tmp_path: Path) -> None:
    kept, (refused,) = triplets(folder), triplets(folder, UNCORRECTED)
    out, words, drawn, split = kept[:4]
    name = keep_mask(folder, square(7))
    said = [
        Decision(out.id, "reject", "ann"), Decision(words.id, "accept", "ann", sentence="the long grey roofs"),
        Decision(drawn.id, "accept", "ann", mask=name), Decision(split.id, "accept", "ann"),
        Decision(refused.id, "accept", "ann"), Decision("of no triplet here", "accept", "ann"),
    ]  # fmt: skip
    append(folder, said)
    append(folder, [Decision(split.id, "reject", "ben")])
    count = export(folder, tmp_path / "all", "mtrefseg21k", val=0)
    only = export(folder, tmp_path / "only", "mtrefseg21k", val=0, audited_only=True)
    table = pd.read_parquet(tmp_path / "all" / "triplets.parquet").set_index("id")
    assert count == len(kept) + 1 - 2
    assert only == 3
    assert {out.id, split.id}.isdisjoint(table.index)
    assert refused.id in table.index
    assert table.loc[words.id, "sentence"] == "the long grey roofs"
    assert table.loc[drawn.id, "mask_hash"] == name
    samples = read_split(tmp_path / "only" / "train_FINAL_CLEAN").samples
    assert any((read_png_mask(one.mask) == square(7)).all() for one in samples if one.sentence == drawn.sentence)
    sheet = (tmp_path / "all" / "datasheet.md").read_text(encoding="utf-8")
    assert "(ann, ben): 3 accepted, 2 mended, 1 rejected, 1 disputed" in sheet


def test_without_decisions_the_export_is_what_it_was(folder: Path) -> None:
    kept = triplets(folder)
    assert review(folder, kept, triplets(folder, UNCORRECTED), audited_only=False).triplets == kept


def test_a_mended_mask_that_was_changed_since_is_refused(folder: Path, tmp_path: Path) -> None:
    name = keep_mask(folder, square(0))
    append(folder, [Decision(triplets(folder)[0].id, "accept", "ann", mask=name)])
    (path,) = (folder / "audit").rglob(f"{name}.png")
    Image.fromarray(square(1)).convert("L").save(path)
    with pytest.raises(DataError, match="another mask"):
        export(folder, tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()


def main_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_report_counts_by_auditor_and_says_how_far_they_agree(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [item.id for item in TripletSet(folder).items[:4]]
    for auditor, verdicts in (("ann", "aarr"), ("ben", "arrr")):
        said = zip(items, verdicts, strict=True)
        append(folder, [Decision(item, "accept" if v == "a" else "reject", auditor) for item, v in said])
    assert main_code("audit", str(folder), "--report", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["auditors"]["ann"]["accepted"] == 2
    assert (found["settled"], found["disputed"]) == (3, 1)
    assert found["agreement"][0]["kappa"] == pytest.approx(0.5)
    assert main_code("audit", str(folder), "--report") == 0
    assert "ann and ben: 4 shared, 3 alike, κ 0.50" in capsys.readouterr().out


def test_the_same_seed_gives_everybody_the_same_sample(folder: Path) -> None:
    one, same, other = ([item.id for item in TripletSet(folder, sample=5, seed=seed).items] for seed in (1, 1, 2))
    assert one == same != other
    assert len(one) == 5
    assert set(one) < {item.id for item in TripletSet(folder, sample=9, seed=1).items}


def test_without_the_extra_the_error_names_the_pip_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main_code("audit", str(folder), "--no-browser") == 1
    assert "pip install 'geomtrs[audit]'" in capsys.readouterr().err


def test_a_port_that_is_taken_and_a_folder_that_is_nothing_are_one_line_each(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(desk_of(folder, "cy")) as address:
        assert main_code("audit", str(folder), "--no-browser", "--port", str(address["cy"].port)) == 1
    assert "remedy: another --port, or 0" in capsys.readouterr().err
    assert main_code("audit", str(tmp_path), "--no-browser") == 1
    assert "ledger.sqlite" in capsys.readouterr().err


def test_ctrl_c_closes_the_desk_and_is_no_failure(folder: Path) -> None:
    with command(folder, "--auditor", "ann") as (process, (ann,)):
        assert ann.decide(ids(ann)[0], "accept").status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert not list((folder / "audit").glob(".*.lock"))


def test_a_decision_comes_back_from_its_line_as_it_was(folder: Path) -> None:
    word = Decision("a", "accept", "ann", sentence=" the été roofs ", mask="0" * 32, source="coco")
    append(folder, [word])
    assert read(folder, "ann") == [word]
    assert word.sentence == "the été roofs"


def test_addresses_of_two_auditors_differ(folder: Path) -> None:
    with opened(desk_of(folder, "ann", "ben")) as address:
        assert isinstance(address["ann"], Address)
        assert address["ann"].token != address["ben"].token
        assert address["ben"].ask("items").document["auditor"] == "ben"


def test_the_desk_of_a_crafted_set_opens_without_what_reads_rasters_and_vectors(folder: Path) -> None:
    """They take longer to import than all else takes until the page is there."""
    code = (
        "import sys; from geomtrs.cli.audit import _open; from geomtrs.craft.audit import desk, server\n"
        "from pathlib import Path; _open(Path(sys.argv[1]), None, 0)\n"
        "sys.exit(','.join({'geopandas', 'pandas', 'rasterio', 'scipy', 'torch'} & {*sys.modules}) or None)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr.strip()) == (0, "")
