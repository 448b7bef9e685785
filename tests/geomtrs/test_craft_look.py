"""A second look: what a change model does not see in the pictures goes to the audit desk, and not into the set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geomtrs.cli import main
from geomtrs.craft.audit.items import TripletSet
from geomtrs.craft.ledger import UNCORRECTED, Ledger
from geomtrs.craft.look import SecondLook, no_more, seen
from geomtrs.craft.pairs import list_pairs, read_pair
from geomtrs.craft.protocols import Bool, Candidate, Finding, Phrased
from geomtrs.craft.run import craft
from geomtrs.models.differencing import Differencing
from tests.geomtrs.test_craft import BUILT, HEIGHT, LABELS, WIDTH, kept, write_pairs

NOT_THERE = (slice(60, 84), slice(84, 108))  # a label says that something was built there


@pytest.fixture
def mislabelled(tmp_path: Path) -> Path:
    folder = write_pairs(tmp_path, pairs=1)
    path = folder / "labelB" / "p0.png"
    label = np.array(Image.open(path))
    label[NOT_THERE] = 7
    Image.fromarray(label).save(path)
    return folder


def test_a_sentence_that_only_the_labels_bear_out_goes_to_the_desk(mislabelled: Path, tmp_path: Path) -> None:
    looked = replace(LABELS, verifier=SecondLook(Differencing()))
    craft(mislabelled, tmp_path / "rules", LABELS)
    craft(mislabelled, tmp_path / "looked", looked)
    doubted = {one.id for one in kept(tmp_path / "looked", UNCORRECTED)}
    by_rules, by_both = ({one.id for one in kept(tmp_path / name)} for name in ("rules", "looked"))
    assert by_both
    assert by_both < by_rules == by_both | doubted
    with Ledger(tmp_path / "looked") as ledger:
        failed = {check.rule for one in doubted for check in ledger.checks()[one] if not check.passed}
    assert {"seen"} <= failed <= {"seen", "all"}
    first = TripletSet(tmp_path / "looked").items[0]
    assert first.id in doubted


def probability(where: Bool) -> np.ndarray:
    return np.where(where, np.float32(0.8), np.float32(0.01))


def square(*places: tuple[slice, slice]) -> Bool:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for place in places:
        mask[place] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "faintly", "plainly"),
    [
        (square(BUILT), True, True),
        (square(NOT_THERE), False, False),
        (square(BUILT, NOT_THERE), True, False),
        (square((slice(5, 25), slice(83, 109))), True, True),
        (square((slice(0, 60), slice(60, 120))), False, False),
    ],
    ids=["as it is", "elsewhere", "one of two", "a pixel too large", "far too large"],
)
def test_a_mask_fits_where_the_model_sees_it_up_to_its_edge(mask: Bool, faintly: bool, plainly: bool) -> None:
    told = probability(square(BUILT)), mask, np.ones_like(mask)
    assert seen(*told, plainly=False).passed is faintly
    assert seen(*told, plainly=True).passed is plainly


TOP_LEFT, SMALL = (slice(6, 24), slice(10, 34)), (slice(60, 70), slice(84, 94))


@pytest.mark.parametrize(
    ("wording", "sentence", "elsewhere", "content"),
    [
        ("all-of-a-kind", "all the new buildings", (), True),
        ("all-of-a-kind", "all the new buildings", (SMALL,), False),
        ("count", "the two new buildings", (SMALL,), False),
        ("relation", "the new buildings beside the trees", (NOT_THERE,), True),
        ("place", "the new buildings in the northern half", (NOT_THERE,), True),
        ("place", "the new buildings in the northern half", (TOP_LEFT,), False),
        ("rank", "the largest new building", (SMALL,), True),
        ("rank", "the largest new building", (NOT_THERE,), False),
        ("rank", "the smallest new building", (NOT_THERE,), True),
        ("size", "the new buildings larger than 100 square metres", (SMALL,), True),
        ("size", "the new buildings larger than 100 square metres", (NOT_THERE,), False),
        ("size", "the new buildings smaller than 100 square metres", (NOT_THERE,), True),
    ],
)
def test_nothing_that_would_be_meant_as_well_is_seen_elsewhere(
    wording: str, sentence: str, elsewhere: tuple[tuple[slice, slice], ...], content: bool
) -> None:
    mask = square(BUILT)
    said = Phrased(0, "appear", sentence, wording, mask, np.ones_like(mask))
    assert no_more(probability(square(BUILT, *elsewhere)), said).passed is content


def test_elsewhere_it_is_as_plain_as_half_of_what_it_is_in_the_mask() -> None:
    mask = square(BUILT)
    said = Phrased(0, "appear", "all the new buildings", "all-of-a-kind", mask, np.ones_like(mask))
    faint = np.where(square(NOT_THERE), np.float32(0.3), np.float32(0.01))
    assert no_more(np.where(mask, np.float32(0.8), faint), said).passed
    assert not no_more(np.where(mask, np.float32(0.5), faint), said).passed


def test_of_unlabelled_pairs_a_wrong_mask_is_found_before_it_is_phrased(tmp_path: Path) -> None:
    pair = read_pair(list_pairs(write_pairs(tmp_path, pairs=1, labels=False))[0])
    finding = Finding("appeared", "buildings", (), "the buildings that appeared")
    look = SecondLook(Differencing())
    for where, right in ((BUILT, True), (NOT_THERE, False)):
        candidate = Candidate(finding, square(where), np.ones(pair.shape, bool))
        words = {check.rule: check.passed for check in look.candidate(pair, candidate, [])}
        assert words["seen"] is right


def test_a_model_does_not_judge_its_own_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = write_pairs(tmp_path, labels=False)
    options = ["-q", "the new buildings", "--segmenter", "differencing", "--second-look", "differencing"]
    with pytest.raises(SystemExit) as ended:
        main(["craft", "run", str(pairs), "-o", str(tmp_path / "out"), *options])
    assert ended.value.code == 2
    assert "which cuts out the masks" in capsys.readouterr().err
