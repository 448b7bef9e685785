"""What nano takes sentences for that nobody taught it word by word."""

from __future__ import annotations

import pytest

from geomtrs.data.expressions import all_expressions
from geomtrs.data.understood import understand
from geomtrs.device import choose
from geomtrs.models.nano import Nano, load_nano
from tests.geomtrs.test_cli import geomtrs

UNTAUGHT = {
    "Where were houses built?": "building appeared",
    "houses that did not exist before": "building appeared",
    "recently built dwellings": "building appeared",
    "Find all of the newly constructed residential buildings, please.": "building appeared",
    "the destruction of buildings": "building disappeared",
    "houses destroyed by the flood": "building disappeared",
    "flood extent": "water appeared",
    "where did the lake expand": "water appeared",
    "the lake dried out": "water disappeared",
    "tree removal": "tree disappeared",
    "forest that was cut down for farming": "tree disappeared",
    "forest turned into fields": "field replaced tree",
    "houses where there was forest": "building replaced tree",
    "highway construction": "road appeared",
    "photovoltaic power plant that was built": "solar appeared",
    "ships that left the harbour": "boat disappeared",
    "the glacier that shrank": "ice disappeared",
    "new clouds": "something unknown appeared",
}


@pytest.fixture(scope="module")
def nano() -> Nano:
    """The packaged model in float32."""
    return load_nano(None, choose("cpu", "fp32", threads=1))


def test_untaught_sentences_are_taken_for_what_they_say_b2(nano: Nano) -> None:
    taught = {said.text for said in all_expressions() if not said.held_out}
    assert not taught & set(UNTAUGHT)
    assert {one.sentence: str(one) for one in understand(nano, list(UNTAUGHT))} == UNTAUGHT


def test_words_about_the_scene_and_a_neighbour_are_told_apart(nano: Nano) -> None:
    (one,) = understand(nano, ["the two largest new ponds along the new road"])
    assert str(one) == "water appeared · beside new roads · kept largest 2"


def test_a_change_without_a_thing_is_anything(nano: Nano) -> None:
    assert [one.thing for one in understand(nano, ["what changed", "any difference"])] == ["anything", "anything"]


def test_the_command_says_what_a_sentence_is_taken_for() -> None:
    done = geomtrs("model", "read", "forest turned into fields", "new clouds", "new roads over 2 m")
    assert done.returncode == 0, done.stderr
    *read, told = done.stdout.splitlines()
    assert read == [
        "forest turned into fields  field replaced tree",
        "new clouds                 something unknown appeared",
        "new roads over 2 m         road appeared",
    ]
    assert told.strip().startswith("“over 2” is left in the sentence")
