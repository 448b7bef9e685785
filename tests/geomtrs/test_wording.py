"""Freely worded sentences that teach nano words: complete, about one thing, and silent about the scene."""

from __future__ import annotations

from collections import Counter

import numpy as np

from geomtrs.data.expressions import NAMES, UNLABELLED_NAMES
from geomtrs.data.labels import ANYTHING, THINGS, UNLABELLED
from geomtrs.data.wording import _words, worded
from geomtrs.query import Query


def test_worded_sentences_are_complete_and_say_nothing_of_the_scene() -> None:
    rng = np.random.default_rng(0)
    for said in (worded(rng) for _ in range(3000)):
        assert said.text == " ".join(said.text.split())
        assert not set("{}~;") & set(said.text), said.text
        assert not Query(said.text).scene_part, said.text


def test_worded_sentences_mean_every_thing_each_way_replacements_anything_and_the_unknown() -> None:
    rng = np.random.default_rng(1)
    drawn = [worded(rng) for _ in range(6000)]
    ways = Counter((said.thing, said.direction) for said in drawn)
    for thing in range(len(THINGS)):
        assert all(ways[thing, way] for way in ("appeared", "disappeared", "changed", "replaced"))
    assert ways[ANYTHING, "changed"]
    assert ways[UNLABELLED, "appeared"]
    assert ways[UNLABELLED, "disappeared"]
    assert all((said.source is not None) == (said.direction == "replaced") for said in drawn)
    assert len({said.text for said in drawn}) > 5500


def test_worded_sentences_are_the_same_for_the_same_seed() -> None:
    first, second = ([worded(rng) for _ in range(50)] for rng in (np.random.default_rng(3), np.random.default_rng(3)))
    assert first == second


def test_no_noun_names_two_things() -> None:
    words = _words()
    names = {thing: {*NAMES[thing], *words["nouns"][thing]} for thing in THINGS}
    names["unknown"] = {*UNLABELLED_NAMES, *words["unknown"]}
    owners = Counter(name.lstrip("~") for some in names.values() for name in some)
    assert [name for name, count in owners.items() if count > 1] == []
    for way in ("come", "gone"):
        assert all(set(verbs) <= set(THINGS) for verbs in words[way].values())
