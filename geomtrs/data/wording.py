"""Sentences as people word them, drawn without end: more nouns, verbs and turns than the grammar of `expressions.py`.

The grammar is listed, because the pictures of training ask it and tests check it; this only teaches words, without
pictures (`training/agreeing.py`). The words are in `wording.toml`. Each sentence is put together from a noun, a way of
coming or going that the noun can have, a frame and, at times, a time, a place or a cause: these name other things,
which must not be taken for the one that is asked for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from geomtrs.data.expressions import NAMES, UNLABELLED_NAMES, Direction, Expression, in_number
from geomtrs.data.labels import ANYTHING, THINGS, UNLABELLED

# Shares of the sentences: about any change, about things that no set labels, about replacements; then of the plain ones
# those of a change either way, and those that are a turn of their own.
_ANYTHING, _UNKNOWN, _REPLACED, _EITHER, _TURN = 0.04, 0.13, 0.18, 0.12, 0.25
_CAUSE, _PLACE, _TIME, _OPENER, _SLIP = 0.2, 0.25, 0.2, 0.4, 0.06
_ASKING = ("where ", "which ", "what ", "how ", "did ", "is ", "are ", "has ", "have ", "who ",
           "compare ", "monitor ", "track ")  # fmt: skip


def worded(rng: np.random.Generator) -> Expression:
    """A sentence and what it means."""
    draw, words = rng.random(), _words()
    if draw < _ANYTHING:
        return _expression(_asked(_one(words["anything"], rng), rng), ANYTHING, "changed")
    if draw < _ANYTHING + _UNKNOWN:
        direction: Direction = "appeared" if rng.random() < 0.6 else "disappeared"
        name = _one((*UNLABELLED_NAMES, *words["unknown"]), rng)
        return _expression(_said(name, _one(THINGS, rng), direction, rng), UNLABELLED, direction)
    thing, source = (int(one) for one in rng.choice(len(THINGS), 2, replace=False))
    if draw < _ANYTHING + _UNKNOWN + _REPLACED:
        return _expression(_replaced(THINGS[thing], THINGS[source], rng), thing, "replaced", source)
    if rng.random() < _EITHER:
        direction = "changed"
    else:
        direction = "appeared" if rng.random() < 0.5 else "disappeared"
    turns = words["turns"][direction].get(THINGS[thing], ())
    if turns and rng.random() < _TURN:
        return _expression(_asked(_tailed(_one(turns, rng), (), rng), rng), thing, direction)
    return _expression(_said(_noun(THINGS[thing], rng), THINGS[thing], direction, rng), thing, direction)


def _expression(text: str, thing: int, direction: Direction, source: int | None = None) -> Expression:
    return Expression(text, thing, direction, source, told=False)


def _said(name: str, thing: str, direction: Direction, rng: np.random.Generator) -> str:
    """A noun and which way it went; verbs are those of `thing`."""
    words = _words()
    if direction == "changed":
        frame, why = _one(words["changing"], rng), ()
    else:
        way = "come" if direction == "appeared" else "gone"
        why = words[f"causes_{way}"]
        frame = _frame(name, thing, way, rng)
    mass = name[0] == "~"
    if mass and "{many}" in frame:
        frame = f"{{n}} that {direction}"
    frame = in_number(frame, one=mass).replace("{has}", "has" if mass else "have")
    bare = name.lstrip("~")
    return _asked(_tailed(frame.format(n=bare, many=bare), why, rng), rng)


def _frame(name: str, thing: str, way: str, rng: np.random.Generator) -> str:
    """A frame for a noun ({n}, {many}) with its verb in it."""
    words = _words()
    own = {kind: verbs.get(thing, ()) for kind, verbs in words[way].items()}
    done, make, single = own["done"], own["make"], _single(name)
    draw = rng.random()
    if draw < 0.32 and done:
        return _one(words["done"], rng).replace("{v}", _one(done, rng))
    if draw < 0.5:
        return _one(words["does"], rng).replace("{v}", _one((*words[f"any_{way}"], *own["does"] * 2), rng))
    if draw < 0.64:
        return _one(words["has_done"], rng).replace("{v}", _one((*words[f"any_has_{way}"], *own["has_done"] * 2), rng))
    if draw < 0.72 and make:
        somebody = _one(words["somebody"], rng)
        return _one(words["makes"], rng).replace("{v}", _one(make, rng)).replace("{who}", somebody)
    if draw < 0.82 and single is not None:
        one = _one(words[f"one_{way}"], rng)
        return one.replace("{one}", single).replace("{v}", _one(done or ("found",), rng))
    return _one(words[f"frames_{way}"], rng)


def _replaced(thing: str, source: str, rng: np.random.Generator) -> str:
    n, s = (_one_or_more(_noun(one, rng), rng) for one in (thing, source))
    text = _one(_words()["replacing"], rng).format(
        n=n[0], s=s[0], sis="is" if s[1] else "are", swas="was" if s[1] else "were", nwas="was" if n[1] else "were"
    )
    return _asked(_tailed(text, (), rng), rng)


def _one_or_more(name: str, rng: np.random.Generator) -> tuple[str, bool]:
    """A noun as it is, or one of it with an article; and whether its verb is in the singular."""
    single = _single(name)
    if single is not None and rng.random() < 0.25:
        return f"{_one(('a', 'the'), rng)} {single}", True
    return name.lstrip("~"), name[0] == "~"


def _noun(thing: str, rng: np.random.Generator) -> str:
    """The commoner names of the grammar as often as the others together."""
    return _one((*NAMES[thing] * 2, *_words()["nouns"][thing]), rng)


def _single(name: str) -> str | None:
    """One of them, where dropping an s tells it."""
    if name[0] == "~" or " of " in name or not name.endswith("s") or name.endswith(("ss", "ches", "shes", "oes")):
        return None
    return f"{name[:-3]}y" if name.endswith("ies") else name[:-1]


def _tailed(text: str, why: Sequence[str], rng: np.random.Generator) -> str:
    """With a cause, a place or a time at times."""
    for tails, share in ((why, _CAUSE), (_words()["places"], _PLACE), (_words()["times"], _TIME)):
        if tails and rng.random() < share:
            text = f"{text} {_one(tails, rng)}"
    return text


def _asked(text: str, rng: np.random.Generator) -> str:
    """With an opener and a quantifier at times, a question mark, and now and then a slip of the finger."""
    asks = text.startswith(_ASKING)
    if not asks:
        if rng.random() < 0.75:
            text = f"{_one(_words()['quantifiers'], rng)} {text}"
        if rng.random() < _OPENER:
            text = f"{_one(_words()['openers'], rng)} {text}"
    if rng.random() < (0.5 if asks else 0.03):
        text += "?"
    return _slipped(text, rng) if rng.random() < _SLIP else text


def _slipped(text: str, rng: np.random.Generator) -> str:
    """A letter lost, doubled or swapped with the next."""
    at, slip = int(rng.integers(1, max(2, len(text) - 2))), int(rng.integers(3))
    if not text[at : at + 2].isalpha():
        return text
    middle = ("", text[at] * 2, text[at : at + 2][::-1])[slip]
    return text[:at] + middle + text[at + (2 if slip == 2 else 1) :]


def _one(of: Sequence[str], rng: np.random.Generator) -> str:
    return of[int(rng.integers(len(of)))]


@cache
def _words() -> dict[str, Any]:  # Any: lists of words, and tables of them
    """`wording.toml`."""
    return _parted(tomllib.loads((Path(__file__).parent / "wording.toml").read_text(encoding="utf-8")))


def _parted(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _parted(value) if isinstance(value, dict) else tuple(" ".join(one.split()) for one in value.split(";"))
        for key, value in table.items()
    }
