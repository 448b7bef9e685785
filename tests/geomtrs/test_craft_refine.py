"""The refine loop: what a judge says is wrong with a mask is mended, and new words say no more than was found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geomtrs.craft.calls import Budget
from geomtrs.craft.facts import held
from geomtrs.craft.judge import ChatJudge, RuleJudge
from geomtrs.craft.ledger import KEPT, UNCORRECTED, Ledger
from geomtrs.craft.outline import fullness
from geomtrs.craft.pairs import list_pairs, read_pair
from geomtrs.craft.perceive import LabelPerceiver
from geomtrs.craft.phrase import ChatPhraser, GrammarPhraser
from geomtrs.craft.protocols import Ask, Bool, Candidate, Check, Finding, Judgement, Pair, Phrased, Prompt, Verdict
from geomtrs.craft.refine import refine
from geomtrs.craft.run import Parts, craft
from geomtrs.craft.segment import LabelSegmenter, ModelSegmenter
from geomtrs.craft.verify import RuleVerifier
from geomtrs.models.differencing import Differencing
from tests.geomtrs.test_craft import BUILT, FELLED, HEIGHT, HOUSE, WIDTH, Stub, kept, no_model, seen, write_pairs

HOUSES = Finding("appeared", "houses", ("top-right",), "the houses that appeared")


class Painted:
    """Answers each call with the next of some masks, and remembers how it was asked."""

    name = "painted"

    def __init__(self, *masks: Bool) -> None:
        self.masks, self.asked = list(masks), [Prompt()][:0]

    def segment(self, pair: Pair, finding: Finding, prompt: Prompt = Prompt()) -> Candidate:  # noqa: B008 - frozen
        self.asked.append(prompt)
        return Candidate(finding, self.masks[min(len(self.asked), len(self.masks)) - 1], np.ones(pair.shape, bool))


class Says:
    """A judge that says what it is told, word by word."""

    name = "told"

    def __init__(self, *words: Judgement) -> None:
        self.words = list(words)

    def judge(self, pair: Pair, candidate: Candidate, checks: Sequence[Check], ask: Ask) -> Judgement:
        return self.words.pop(0)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_pairs(tmp_path, pairs=2, labels=False)


@pytest.fixture
def pair(plain: Path) -> Pair:
    return read_pair(list_pairs(plain)[0])


def built() -> Bool:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[BUILT] = True
    return mask


def test_rules_drop_the_dust_and_what_lies_beside_the_named_cells(pair: Pair) -> None:
    mask = built()
    mask[FELLED] = True
    mask[40:50:3, 40:60:3] = True
    mended, checks = refine(
        pair, HOUSES, [], no_model, segmenter=Painted(mask), verifier=RuleVerifier(), judge=RuleJudge(), rounds=2
    )
    assert np.array_equal(mended.mask, built())
    assert checks[-1].passed
    assert checks[-1].saw.startswith("too much")
    assert checks[-1].saw.endswith("then right")


@pytest.mark.parametrize(("verdict", "more"), [("too much", -1), ("too little", 1)])
def test_a_segmenter_is_asked_again_for_more_or_less(pair: Pair, verdict: Verdict, more: int) -> None:
    segmenter = Painted(built(), built() | np.roll(built(), 3, 0))
    box = (0.5, 0.0, 1.0, 0.5)
    words = Judgement(verdict, box=box), Judgement("right")
    refine(pair, HOUSES, [], no_model, segmenter=segmenter, verifier=RuleVerifier(), judge=Says(*words), rounds=2)
    assert segmenter.asked == [Prompt(), Prompt(more, box)]


def test_wrong_words_change_the_words_and_leave_the_mask(pair: Pair) -> None:
    said = Says(Judgement("wrong words", noun="buildings"), Judgement("right"))
    mended, _ = refine(
        pair, HOUSES, [], no_model, segmenter=Painted(built()), verifier=RuleVerifier(), judge=said, rounds=1
    )
    assert mended.finding.sentence == "the buildings that appeared"
    assert np.array_equal(mended.mask, built())


def test_a_wrong_kind_turns_the_sentence(pair: Pair) -> None:
    said = Says(Judgement("wrong kind", way="disappeared"), Judgement("right"))
    mended, _ = refine(
        pair, HOUSES, [], no_model, segmenter=Painted(built()), verifier=RuleVerifier(), judge=said, rounds=1
    )
    assert (mended.finding.kind, mended.finding.sentence) == ("disappear", "the houses that disappeared")


def test_what_is_never_right_is_uncorrected_after_so_many_rounds(plain: Path, tmp_path: Path) -> None:
    class Never:
        name = "never"
        asked = 0

        def judge(self, pair: Pair, candidate: Candidate, checks: Sequence[Check], ask: Ask) -> Judgement:
            self.asked += 1
            return Judgement("too little", f"look {self.asked}")

    judge = Never()
    masks = [built() | np.roll(built(), shift, 0) for shift in range(6)]
    with Stub([{}, {}, {"findings": [HOUSE]}]) as stub:
        parts = Parts(seen(stub), Painted(*masks), RuleVerifier(), GrammarPhraser(), judge, rounds=3)
        counts = craft(plain, tmp_path / "out", parts, limit=1)
    assert judge.asked == 4
    assert counts["findings"] == {UNCORRECTED: 1}
    assert counts["failed_rules"] == {"judge": 1}
    assert not kept(tmp_path / "out")


def test_a_model_that_sees_judges_the_overlay_and_moves_the_mask_k1(plain: Path, tmp_path: Path) -> None:
    wrong = {"verdict": "wrong place", "why": "it is further up", "kind": "appear", "what": "house",
             "cells": ["top-right"], "box": [600, 0, 1000, 400]}  # fmt: skip
    steps = [*[{}] * 2, {"findings": [HOUSE | {"cells": ["center", "top-right"]}]}, *[{}] * 6]
    words = [{"text": json.dumps(one)} for one in (wrong, {**wrong, "verdict": "right"})]
    with Stub([*steps, *words]) as stub:
        speaker = seen(stub).speaker
        parts = Parts(seen(stub), ModelSegmenter(Differencing()), RuleVerifier(), GrammarPhraser(), ChatJudge(speaker))
        craft(plain, tmp_path / "out", parts, limit=1)
        judged = stub.asked[9]
        assert '"the white house that appeared in top-right and center"' in judged["messages"][0]["content"][0]["text"]
        assert len(judged["messages"][0]["content"]) == 3
    with Ledger(tmp_path / "out") as ledger:
        ((facts, checks, decision),) = ledger._rows("SELECT facts, checks, decision FROM findings")
    assert decision == KEPT
    assert json.loads(facts)["cells"] == ["top-right"]
    assert json.loads(checks)[-1]["saw"] == "wrong place (it is further up), then right (it is further up)"


@pytest.mark.parametrize(
    ("sentence", "fits"),
    [
        ("the white statues that were placed", True),
        ("show me the newly placed white statues in the top right corner", True),
        ("the statues that were placed", False),
        ("white statues not there before", True),
        ("the white statues that were removed", False),
        ("the white fountains that appeared", False),
        ("the two white statues that appeared", False),
        ("the white statues that appeared near the lake", False),
        ("the white statues that did not appear", False),
        ("the white statues", False),
        ("what appeared there", False),
    ],
)
def test_new_words_say_no_more_than_was_found(sentence: str, fits: bool) -> None:
    statues = Finding("appeared", "white statues", ("top-right",), "the white statues that appeared")
    assert held(sentence, statues).passed == fits


def test_names_of_a_thing_of_the_labels_stand_for_each_other() -> None:
    found = Finding("disappeared", "trees", (), "the trees that disappeared", thing=3)
    assert held("the woods that were cleared", found).passed == held("the forest that was cleared", found).passed
    assert not held("the houses that were cleared", found).passed


def test_a_model_s_wordings_are_refused_where_they_add_to_the_facts_and_the_plain_one_stays(
    tmp_path: Path,
) -> None:
    pairs = write_pairs(tmp_path, pairs=1)
    told = {"sentences": ["the newly constructed buildings", "the newly built hospital beside the river"]}
    with Stub(always={"text": json.dumps(told)}) as stub:
        words = ChatPhraser(seen(stub).speaker, GrammarPhraser(), ways=2)
        counts = craft(pairs, tmp_path / "out", Parts(LabelPerceiver(), LabelSegmenter(), RuleVerifier(), words))
        assert not stub.asked[0]["messages"][0]["content"][1:]
    model = [one for one in kept(tmp_path / "out", UNCORRECTED) if one.wording == "model"]
    assert "the newly built hospital beside the river" in {one.sentence for one in model}
    assert counts["failed_rules"]["facts"] >= 1
    assert {one.wording for one in kept(tmp_path / "out")} - {"model"}


def test_the_cost_is_counted_over_runs_and_stops_before_it_is_passed_k2(plain: Path, tmp_path: Path) -> None:
    price = Budget(cost=0.08, price_in=1.0, price_out=2.0)  # a call of the stub has 9 tokens in and 2 out: 0.013
    with Stub(always={"findings": []}) as stub:
        parts = Parts(seen(stub), ModelSegmenter(Differencing()), RuleVerifier(), GrammarPhraser())
        counts = craft(plain, tmp_path / "out", parts, budget=price)
        assert len(stub.asked) == 6
        assert "--max-cost" in counts["stopped"]
        assert craft(plain, tmp_path / "out", parts, budget=price)["calls"]["made"] == 6
        whole = craft(plain, tmp_path / "out", parts, budget=replace(price, cost=1.0))
        assert (whole["pairs"], len(stub.asked)) == ({"done": 2}, 18)


DUST = [(slice(40, 42), slice(left, left + 2)) for left in range(10, 60, 10)]


def ruled(pair: Pair, wording: str, *places: tuple[slice, slice]) -> dict[str, bool]:
    """By rule, whether it is content with a sentence about what appeared in these places."""
    mask = np.zeros(pair.shape, bool)
    for place in places:
        mask[place] = True
    said = Phrased(0, "appear", "the new buildings", wording, mask, np.ones(pair.shape, bool))
    return {check.rule: check.passed for check in RuleVerifier().sentence(pair, said, [])}


@pytest.mark.parametrize(
    ("places", "visible"),
    [
        ([(slice(6, 11), slice(84, 89))], False),
        ([(slice(6, 8), slice(0, 90))], False),
        (DUST, False),
        ([BUILT, *DUST], True),
        ([BUILT], True),
        ([(slice(0, 2), slice(0, 90)), (slice(2, 3), slice(0, 90))], True),
    ],
    ids=["too small", "a sliver", "dust", "a house among dust", "a house", "cut off by the picture's edge"],
)
def test_a_mask_too_small_to_see_or_a_mere_sliver_is_refused(
    places: list[tuple[slice, slice]], visible: bool, pair: Pair
) -> None:
    assert ruled(pair, "direction", *places)["visible"] is visible


LANE = (slice(40, 42), slice(10, 80))


def painted(pair: Pair, *places: tuple[slice, slice]) -> Pair:
    """White there at the later date."""
    after = pair.after.copy()
    for place in places:
        after[place] = 230
    return replace(pair, after=after)


def test_a_narrow_thing_is_seen_where_it_stands_out_at_its_date(pair: Pair) -> None:
    assert not ruled(pair, "direction", LANE)["visible"]
    assert ruled(painted(pair, LANE), "direction", LANE)["visible"]
    assert not ruled(replace(pair, before=painted(pair, LANE).after), "direction", LANE)["visible"]


def test_the_seam_of_a_house_is_not_seen_however_white_the_house_is(pair: Pair) -> None:
    house = (slice(36, 48), slice(0, WIDTH))
    assert not ruled(painted(pair, house), "direction", (slice(36, 38), slice(0, WIDTH)))["visible"]


def test_what_is_ranked_or_counted_is_no_dust(pair: Pair) -> None:
    assert ruled(pair, "direction", BUILT, *DUST)["alone"]
    assert not ruled(pair, "count", BUILT, *DUST)["alone"]


def test_the_stairs_of_a_slanting_house_are_no_notches() -> None:
    rows, columns = np.indices((40, 40)) - 20
    house = (abs(rows + columns) <= 8) & (abs(rows - columns) <= 12)
    assert fullness(house) == pytest.approx(1, abs=0.05)
    house[20:, 20:] = False
    assert fullness(house) < 0.8


def test_what_is_ranked_or_counted_stands_alone(pair: Pair) -> None:
    two_in_one = (BUILT, (slice(23, 42), slice(107, 118)))
    assert ruled(pair, "direction", *two_in_one)["alone"]
    for wording in ("rank", "size", "count"):
        assert not ruled(pair, wording, *two_in_one)["alone"]
        assert ruled(pair, wording, BUILT)["alone"]


def test_what_should_not_be_there_yet_does_not_stand_out(pair: Pair) -> None:
    assert ruled(pair, "direction", BUILT)["once"]
    assert not ruled(replace(pair, before=pair.after), "direction", BUILT)["once"]
    assert not ruled(pair, "direction", FELLED)["once"]  # trees that went, said to have come


def test_another_thing_in_its_place_does_not_say_that_it_was_there(pair: Pair) -> None:
    other = pair.before.copy()
    other[BUILT] = 20  # a pond, before a white house
    assert ruled(replace(pair, before=other), "direction", BUILT)["once"]
    other[BUILT] = 200
    assert not ruled(replace(pair, before=other), "direction", BUILT)["once"]
