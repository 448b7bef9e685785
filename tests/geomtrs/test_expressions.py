"""Sentences of training: each is English by a rule of its own, which knows nothing of the templates' marks."""

from __future__ import annotations

import re
from collections import defaultdict

from geomtrs.data.expressions import NAMES, SINGULARS, all_expressions, paired_expressions, spoken
from geomtrs.data.labels import THINGS
from tests.geomtrs.test_referring import SCENES, told

# Written down by hand: what English says of the nouns that sentences about change have.
MASS = {
    "water", "forest", "woodland", "cover", "cropland", "farmland", "land", "grass", "grassland", "vegetation",
    "ground", "soil", "sand", "earth", "debris", "ice", "snow", "area", "greenery", "everything", "anything", "city",
    "asphalt", "flood", "construction", "growth", "retreat", "part", "expansion",
}  # fmt: skip
PLURAL = {"aircraft", "houses", "metres", "woods"}
COUNTED = {
    "building", "house", "home", "structure", "warehouse", "factory", "shed", "roof", "block", "villa", "road",
    "street", "highway", "track", "bridge", "lake", "pond", "river", "reservoir", "tree", "grove", "lawn", "meadow",
    "pasture", "lot", "site", "car", "vehicle", "truck", "van", "boat", "ship", "vessel", "yacht", "barge", "plane",
    "airplane", "aeroplane", "jet", "panel", "farm", "field", "pool", "landslide", "failure", "mudslide", "scar",
    "glacier", "palm", "settlement", "forest", "town", "village", "neighbourhood", "area", "body", "difference",
    "stretch", "patch", "array", "bed", "greenhouse", "hangar", "school", "office",
}  # fmt: skip
PREPOSITIONS = {"of", "in", "on", "by", "from", "to", "into", "beside", "along", "where", "for", "at", "near"}
DETERMINERS = {"the", "a", "an", "any", "every", "each", "which", "one"}
SINGULAR_VERBS, PLURAL_VERBS = {"was", "is", "has", "exists"}, {"were", "are", "have", "exist"}


def is_plural(noun: str) -> bool:
    """By the ending, and by the list of what ends otherwise."""
    return noun in PLURAL or (noun.endswith("s") and not noun.endswith("ss") and noun != "debris")


def errors(sentence: str) -> list[str]:
    """What is wrong with the number of a noun or verb, a word beside it in each."""
    words = re.findall(r"[\w'-]+", sentence.lower())
    found = []
    for i, (word, following) in enumerate(zip(words, [*words[1:], ""], strict=True)):
        before = words[:i]
        if word in SINGULAR_VERBS | PLURAL_VERBS and before:
            subject = _subject(before)
            if subject and (word in PLURAL_VERBS) != is_plural(subject) and " and " not in sentence:
                found.append(f"{subject} {word}")
        if word in {"every", "each", "a", "an"}:
            nouns = [w for w in words[i + 1 :] if w in COUNTED | MASS or is_plural(w)]
            heads = [w for w in nouns if not (w in words[:-1] and words[words.index(w) + 1] in nouns)]
            noun = next(iter(heads), "")
            if noun not in COUNTED:
                found.append(f"{word} … {noun}")
        ends = following not in COUNTED | MASS and not is_plural(following)
        start = max((j for j, w in enumerate(before) if w in PREPOSITIONS), default=-1)  # a new phrase begins
        stuff = before[-2:] in (["stretch", "of"], ["stretches", "of"])
        if word in COUNTED - MASS and ends and not stuff and not DETERMINERS & set(before[start + 1 :]):
            found.append(f"{word} without an article")
        if word == following:
            found.append(f"{word} {word}")
    return found


def _subject(before: list[str]) -> str:
    """The noun that the verb is about: "patches" of "the patches of trees over 300 m² that"; none after "there"."""
    if before[-1] == "there":
        return ""
    while before[-1] in {"that", "longer", "no"}:
        before = before[:-1]
    if before[-1] in {"smallest", "largest", "biggest"}:
        return ""
    for i, word in enumerate(before[1:], 1):
        if word in {"of", "over", "under", "larger", "smaller"} and before[i - 1] not in {
            "largest",
            "smallest",
            "biggest",
        }:
            return before[i - 1]
    return before[-1]


def test_the_rule_finds_what_is_wrong() -> None:
    for wrong in (
        "land that were flooded", "every new buildings", "water that exist now but not before", "removed road",
        "the city that were built", "every new ice", "buildings that was built", "the the city", "the loss of ship",
    ):  # fmt: skip
        assert errors(wrong), wrong


def test_every_sentence_of_training_agrees_in_number() -> None:
    wrong = {e.text: found for e in (*all_expressions(), *paired_expressions()) if (found := errors(e.text))}
    assert wrong == {}


def test_what_stood_there_before_agrees_with_its_verb() -> None:
    for expression in all_expressions():
        if stood := re.search(r"where there (was|were) (.+) before$", expression.text):
            assert (stood[1] == "were") == is_plural(stood[2].split()[-1]), expression.text


def test_every_sentence_about_a_scene_agrees_in_number() -> None:
    wrong = {one.sentence: found for seed in range(SCENES) for one in told(seed) if (found := errors(one.sentence))}
    assert wrong == {}


def test_no_sentence_that_is_told_says_why_or_when() -> None:
    claims = re.compile(r"year|tornado|earthquake|wildfire|disaster|recent|grew|grown|plant|abandon|collaps|complet")
    assert not [e.text for e in all_expressions() if e.told and claims.search(e.text)]
    assert not [e.text for e in all_expressions() if "since last year" in e.text]


def test_every_meaning_has_sentences_that_are_told_and_others_that_are_kept_out() -> None:
    meanings = defaultdict(list)
    for expression in all_expressions():
        meanings[expression.thing, expression.direction, expression.source].append(expression)
    assert len(meanings) == len(THINGS) * 3 + len(THINGS) * (len(THINGS) - 1) + 1
    assert all(any(e.told for e in said) for said in meanings.values())
    plain = [said for (_, _, source), said in meanings.items() if source is None]
    assert sum(any(e.held_out for e in said) for said in plain) > 45


def test_one_of_a_thing_is_no_name_of_many() -> None:
    for thing in THINGS:
        assert not set(SINGULARS[thing]) & {name.lstrip("~") for name in NAMES[thing]} - MASS


def test_what_begins_as_a_question_gets_no_opener() -> None:
    for text in ("where did trees appear", "find the new roads", "from grass to water", "which cars appeared?"):
        assert {spoken(text, opener) for opener in range(20)} == {text}
    assert "please mark new roads" in {spoken("new roads", opener) for opener in range(20)}
