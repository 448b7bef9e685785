"""Referring sentences with their masks, told from what labels say of two dates.

A sentence is only as true as its labels: where they leave open whether it holds, the pixel is not `known`.
`predicate.py` reads the same sentences by other means.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import combinations
from typing import Literal, TypeVar

import numpy as np
from scipy import ndimage

from geomtrs.data.expressions import Direction, Expression, spoken
from geomtrs.data.labels import ABSENT, ANYTHING, PRESENT, THINGS, UNKNOWN
from geomtrs.data.patches import PATCH_PX, Bool, Patches, States, any_of, arrivals, both_of, inside, nowhere, patches_of
from geomtrs.data.phrases import BESIDE, PLACES, both, limits, phrases, ranked, sayings
from geomtrs.grammar import ScenePart, read

Kind = Literal[
    "direction", "changed", "from-to", "all-of-a-kind", "several kinds", "rank", "size", "count", "place", "relation",
    "grew", "shrank", "absent",
]  # fmt: skip
_T = TypeVar("_T")

APART = 0.85  # one size is told from another, or from a limit, that is 15 % larger
TYPOS = 0.015
GREW = 1.3  # of an area that has grown; one that grew by less is not known to have or not to have
MOSTLY, HARDLY = 0.8, 0.2  # a patch lies in a place with so much of it, or does not; between them it is not known
BESIDE_M, BESIDE_PX = 6.0, 3.0  # at most so far away; three times as far is not beside
_A_KIND = 2  # sentences of one kind, at most
_SINGLE = ("building", "car", "boat", "aircraft", "pool", "landslide", "palm")  # a patch is commonly one of them
_GROWING = ("building", "water", "tree", "field", "grass", "bare", "solar", "landslide", "burnt", "ice", "town")
_STANDING = ("building", "tree", "field", "grass", "bare", "pool", "solar", "water", "landslide")  # beside something
_OPPOSITE: dict[Direction, Direction] = {"appeared": "disappeared", "disappeared": "appeared"}
_RANKS = ((1, 0), (1, 0), (2, 0), (3, 0), (1, 1), (1, 2))  # how many, after how many
_MEANINGS: tuple[tuple[int, Direction], ...] = (
    *((t, d) for t in range(len(THINGS)) for d in _OPPOSITE),
    (ANYTHING, "changed"),
)
_SAID: tuple[Kind, ...] = ("direction", "all-of-a-kind", "changed", "from-to", "absent")
_ALL = re.compile(r"^(?:show me )?(?:all|every)\b")


@dataclass(frozen=True)
class Referring:
    """A sentence about two dates, and where it holds.

    known   where the labels tell; `mask` lies within
    thing   index into THINGS, or ANYTHING; of several the first; `source` is what was there before, for from-to
    part    what `grammar.read` takes out of the sentence
    held_out  its surface form is for the paraphrase test: by the words the model is asked, without opener
    swapped_empty  a directed sentence, known to hold nowhere when the dates are swapped
    twin    the same meaning in a surface form that is held out where this one is not, or the other way; None = no such
    """

    sentence: str
    mask: Bool  # (H, W)
    known: Bool  # (H, W)
    kind: Kind
    thing: int
    direction: Direction
    source: int | None = None
    part: ScenePart = field(default_factory=ScenePart)
    held_out: bool = False
    swapped_empty: bool = False
    twin: str | None = None


class _Pair:
    """What is known of each change between two dates; patches are found once."""

    def __init__(
        self, dates: tuple[States, States], still: Bool, rng: np.random.Generator, gsd_m: float | None, about: set[int]
    ) -> None:
        self.before, self.after = dates
        self.rng, self.gsd_m = rng, gsd_m
        self.come = arrivals(self.after, self.before, still, about)
        self.gone = arrivals(self.before, self.after, still, about)
        changed = np.full((len(THINGS) + 1, *still.shape), UNKNOWN, np.uint8)
        changed[:-1] = any_of(self.come, self.gone)
        changed[ANYTHING] = any_of(*changed[:-1])
        for thing in about:
            changed[thing] = np.where(still, ABSENT, PRESENT)
        self.states: dict[Direction, States] = {"appeared": self.come, "disappeared": self.gone, "changed": changed}
        self.patches = cache(lambda thing, direction: patches_of(self.states[direction][thing]))

    def nowhere(self, thing: int, direction: Direction) -> bool:
        """Known to be nowhere."""
        return nowhere(self.states[direction][thing])

    def directed(self) -> Iterator[tuple[int, Direction, Patches]]:
        """A few of the things that came or went, with their patches, in no order."""
        pairs = [(thing, d) for thing in range(len(THINGS)) for d in _OPPOSITE if self.patches(thing, d).areas_px.size]
        for thing, direction in shuffled(self.rng, pairs)[: 2 * _A_KIND]:
            yield thing, direction, self.patches(thing, direction)

    def turned(self, most: int) -> list[tuple[int, int]]:
        """(source, thing) of some things that went and others that came, wherever."""
        come, gone = ([t for t in range(len(THINGS)) if self.patches(t, d).areas_px.size] for d in _OPPOSITE)
        return shuffled(self.rng, ((s, t) for s in gone for t in come if s != t))[:most]

    def told(self, text: str, kind: Kind, thing: int, direction: Direction, where: tuple[Bool, Bool]) -> Referring:
        """The sentence with its mask and known, and what follows from its words."""
        asked, part = read(text)
        held_out = Expression(asked, thing, direction).held_out
        one_way = direction in _OPPOSITE and self.nowhere(thing, _OPPOSITE[direction])
        return Referring(text, *where, kind, thing, direction, None, part, held_out, one_way)


def refer(
    before: States, after: States, still: Bool, *, rng: np.random.Generator,
    gsd_m: float | None = None, about: Collection[int] = (), typos: bool = False,
) -> list[Referring]:  # fmt: skip
    """Distinct sentences about two dates, a few of each kind that the labels allow, about a third of them absent.

    before, after  (things, H, W) ABSENT, PRESENT or UNKNOWN for each of THINGS; north is up
    still   (H, W) where nothing changed of the things that have labels here; may be False everywhere
    gsd_m   metres per pixel; None = no sentence in square metres
    about   things (or ANYTHING) that `still` tells all of: changed wherever it is False, unchanged elsewhere
    typos   one word in a hundred is misspelt, for training

    The same generator state gives the same sentences.
    """
    pair = _Pair((before, after), still, rng, gsd_m, set(about))
    true: dict[str, Referring] = {}
    finders = (_directions, _all_of_a_kind, _changed, _replacements, _several, _ranks, _sizes, _counts, _places,
               _relations, _growth)  # fmt: skip
    for finder in finders:
        for said in list(finder(pair))[:_A_KIND]:
            if said.mask.any():
                true.setdefault(said.sentence, said)
    wanted = int(len(true) / 2 + rng.random()) if true else _A_KIND
    absent = _absent(pair, wanted, set(true))
    return [_spoken(said, rng, typos=typos) for said in (*true.values(), *absent)]


def shuffled(rng: np.random.Generator, items: Iterable[_T]) -> list[_T]:
    """The items in no order."""
    items = list(items)
    return [items[i] for i in rng.permutation(len(items))]


def _one(rng: np.random.Generator, items: Sequence[_T]) -> _T:
    return items[int(rng.integers(len(items)))]


def _directions(pair: _Pair) -> Iterator[Referring]:
    """What came or went, all of it."""
    for thing, direction, found in pair.directed():
        said = [e.text for e in sayings()[thing, direction, None] if not _ALL.match(e.text)]
        if len(found.areas_px) == 1 and found.exact and THINGS[thing] in _SINGLE and pair.rng.random() < 0.5:
            said = ["the " + text for text in phrases(THINGS[thing], direction, one=True, measured=True)]
        yield pair.told(_one(pair.rng, said), "direction", thing, direction, found.chosen(found.areas_px > 0))


def _all_of_a_kind(pair: _Pair) -> Iterator[Referring]:
    """The same in words that say that all are meant."""
    for thing, direction, found in pair.directed():
        said = [e.text for e in sayings()[thing, direction, None] if _ALL.match(e.text)]
        said += [f"all the {text}" for text in phrases(THINGS[thing], direction, one=False, measured=False)]
        yield pair.told(_one(pair.rng, said), "all-of-a-kind", thing, direction, found.chosen(found.areas_px > 0))


def _changed(pair: _Pair) -> Iterator[Referring]:
    """What came or went, whichever; ANYTHING where that is known."""
    for thing in shuffled(pair.rng, range(len(THINGS) + 1)):
        found = pair.patches(thing, "changed")
        if found.areas_px.size and found.known.mean() > 1 / 2:  # not where all that is known is the change
            said = _one(pair.rng, sayings()[thing, "changed", None]).text
            yield pair.told(said, "changed", thing, "changed", found.chosen(found.areas_px > 0))


def _replacements(pair: _Pair) -> Iterator[Referring]:
    """One thing went where another came."""
    for source, thing in pair.turned(6 * _A_KIND):
        found = patches_of(both_of(pair.gone[source], pair.come[thing]))
        if found.areas_px.size:
            yield _replaced(pair, source, thing, "from-to", found)


def _replaced(pair: _Pair, source: int, thing: int, kind: Kind, found: Patches) -> Referring:
    text = _one(pair.rng, sayings()[thing, "replaced", source]).text
    said = pair.told(text, kind, thing, "replaced", found.chosen(found.areas_px > 0))
    back = nowhere(both_of(pair.gone[thing], pair.come[source]))
    return replace(said, source=source, swapped_empty=back)


def _several(pair: _Pair) -> Iterator[Referring]:
    """Two things that went the same way."""
    for (first, direction, _), (second, same, _) in combinations(pair.directed(), 2):
        if direction == same:
            found = patches_of(any_of(pair.states[direction][first], pair.states[direction][second]))
            text = _one(pair.rng, both(THINGS[first], THINGS[second], direction))
            said = pair.told(text, "several kinds", first, direction, found.chosen(found.areas_px > 0))
            yield replace(said, swapped_empty=said.swapped_empty and pair.nowhere(second, _OPPOSITE[direction]))


def _ranks(pair: _Pair) -> Iterator[Referring]:
    """The largest or smallest patches of a change that is known everywhere."""
    for thing, direction, found in pair.directed():
        for largest, (count, skip) in shuffled(pair.rng, ((x, y) for x in (True, True, False) for y in _RANKS)):
            order = np.argsort(-found.areas_px if largest else found.areas_px, kind="stable")
            sizes = found.areas_px[order]
            edges = [i for i in (skip, skip + count) if i]
            named = order[: skip + count]
            # A speck is not sure to be smaller, nor is a patch that is cut sure to be small.
            blurred = found.specks and (not largest or sizes[: skip + count].min() < PATCH_PX / APART)
            blurred |= not largest and bool(found.cut[named].any())
            if not found.complete or blurred or count + skip >= len(sizes):
                continue
            if all(min(sizes[i - 1 : i + 1]) <= APART * max(sizes[i - 1 : i + 1]) for i in edges):
                which = np.isin(np.arange(len(sizes)), order[skip : skip + count])
                part = ScenePart(largest=largest, count=count, skip=skip)
                for text in _read_back(pair, ranked(THINGS[thing], direction, part), part):
                    yield pair.told(text, "rank", thing, direction, found.chosen(which))
                break


def _counts(pair: _Pair) -> Iterator[Referring]:
    """All of a change, where there are so many patches, whichever way corners are counted."""
    for thing, direction, found in pair.directed():
        count = len(found.areas_px)
        if found.exact and 2 <= count <= 9 and ndimage.label(found.labels > 0, np.ones((3, 3)))[1] == count:
            part = ScenePart(count=count)
            for text in _read_back(pair, ranked(THINGS[thing], direction, part), part):
                yield pair.told(text, "count", thing, direction, found.chosen(found.areas_px > 0))


def _sizes(pair: _Pair) -> Iterator[Referring]:
    """Patches over or under a limit that no patch comes near, some patch on either side; a cut one may be larger."""
    for thing, direction, found in pair.directed() if pair.gsd_m is not None else ():
        areas = found.areas_px * (pair.gsd_m or 0) ** 2
        for words, part in shuffled(pair.rng, limits()):
            limit = part.least or part.most
            assert limit is not None
            over = areas > limit.area_m2
            near = (areas > APART * limit.area_m2) & (areas < limit.area_m2 / APART)
            which = over if part.least else ~over & ~found.cut
            if which.any() and (~which & (over | ~found.cut)).any() and not near.any():
                one = which.sum() == 1 and found.exact and not (found.cut & ~over).any()
                heads = phrases(THINGS[thing], direction, one=one, measured=True, middle=words)
                for text in _read_back(pair, [f"the {head}" for head in heads], part):
                    yield pair.told(text, "size", thing, direction, found.chosen(which, found.cut & ~over))
                break


def _places(pair: _Pair) -> Iterator[Referring]:
    """Patches that lie in a part of the picture, others not."""
    for thing, direction, found in pair.directed():
        for place, words in shuffled(pair.rng, PLACES.items()):
            shares = found.shares(inside(place, found.labels.shape))
            which, unsure = shares >= MOSTLY, (shares < MOSTLY) & (shares > HARDLY)
            if which.any() and (shares <= HARDLY).any():
                one = which.sum() == 1 and found.exact and not unsure.any() and THINGS[thing] in _SINGLE
                heads = phrases(THINGS[thing], direction, one=one, measured=False, tail=_one(pair.rng, words))
                for text in _read_back(pair, [f"the {head}" for head in heads], ScenePart(place=place)):
                    yield pair.told(text, "place", thing, direction, found.chosen(which, unsure))
                break


def _read_back(pair: _Pair, texts: Sequence[str], part: ScenePart) -> list[str]:
    """One of the sentences that the product understands as meant."""
    return next(([text] for text in shuffled(pair.rng, texts) if read(text)[1] == part), [])


def _relations(pair: _Pair) -> Iterator[Referring]:
    """Patches beside another thing of the later date, others not."""
    near = max(2.0, BESIDE_M / pair.gsd_m) if pair.gsd_m else BESIDE_PX
    for thing, direction, found in pair.directed():
        for other in shuffled(pair.rng, BESIDE):
            state = pair.after[THINGS.index(other)]
            if THINGS[thing] not in _STANDING or other == THINGS[thing] or not (state == PRESENT).any():
                continue
            index = np.arange(1, len(found.areas_px) + 1)
            away = ndimage.minimum(ndimage.distance_transform_edt(state != PRESENT), found.labels, index)
            perhaps = ndimage.minimum(ndimage.distance_transform_edt(state == ABSENT), found.labels, index)
            which = away <= near
            unsure = ~which & (perhaps <= 3 * near)
            if which.any() and not (which | unsure).all():
                one = which.sum() == 1 and found.exact and not unsure.any() and THINGS[thing] in _SINGLE
                heads = phrases(THINGS[thing], direction, one=one, measured=False, tail=_one(pair.rng, BESIDE[other]))
                text = "the " + _one(pair.rng, heads)
                yield pair.told(text, "relation", thing, direction, found.chosen(which, unsure))
                break


def _growth(pair: _Pair) -> Iterator[Referring]:
    """The new part of patches that were there before and are larger by a third, or the lost part of smaller ones."""
    for thing, direction, _ in pair.directed():
        kind: Kind = "grew" if direction == "appeared" else "shrank"
        old, more, less = pair.before[thing], pair.come[thing], pair.gone[thing]
        if kind == "shrank":
            old, more, less = pair.after[thing], less, more
        labels, count = ndimage.label((old == PRESENT) | (more == PRESENT))
        was, won, lost = (ndimage.sum_labels(s == PRESENT, labels, range(1, count + 1)) for s in (old, more, less))
        open_ = ndimage.binary_dilation((old == UNKNOWN) | (more == UNKNOWN) | (less == UNKNOWN))
        touched = ndimage.maximum(open_, labels, range(1, count + 1)) if count else np.zeros(0)
        now = was + won - lost
        little = (was > 0) & ((was < PATCH_PX) | (won < PATCH_PX) | ((now > was) & (now < GREW * was)))
        unsure = (won > 0) & ((touched > 0) | little)
        which = ~unsure & (was > 0) & (won > 0) & (now >= GREW * was)
        if THINGS[thing] in _GROWING and which.any() and (kind == "grew" or THINGS[thing] != "building"):
            one = which.sum() == 1 and not unsure.any()
            head = _one(pair.rng, phrases(THINGS[thing], kind, one=one, measured=True))
            at = np.append(False, which)[labels] & (more == PRESENT)
            known = (more != UNKNOWN) & ~(np.append(False, unsure)[labels] & (more == PRESENT))
            yield pair.told(f"the {head}", kind, thing, direction, (at & known, known))


def _absent(pair: _Pair, wanted: int, said: set[str]) -> list[Referring]:
    """What is known to be nowhere: half of it about what went the other way."""
    hard: list[Callable[[], Referring]] = []
    easy: list[Callable[[], Referring]] = []
    for thing, direction in _MEANINGS:
        if pair.nowhere(thing, direction):
            turned = direction == "changed" or pair.patches(thing, _OPPOSITE[direction]).areas_px.size
            found = pair.patches(thing, direction)
            for text in shuffled(pair.rng, (e.text for e in sayings()[thing, direction, None]))[:3]:
                tell = partial(pair.told, text, "absent", thing, direction, found.chosen(found.areas_px > 0))
                (hard if turned else easy).append(tell)
    for source, thing in pair.turned(2 * _A_KIND):
        state = both_of(pair.gone[source], pair.come[thing])
        if nowhere(state):
            hard.append(partial(_replaced, pair, source, thing, "absent", patches_of(state)))
    hard, easy = shuffled(pair.rng, hard), shuffled(pair.rng, easy)
    out: dict[str, Referring] = {}
    while len(out) < wanted and (hard or easy):
        absent = (hard if hard and (len(out) % 2 == 0 or not easy) else easy).pop()()
        if absent.sentence not in said:
            out[absent.sentence] = absent
    return list(out.values())


def _spoken(said: Referring, rng: np.random.Generator, *, typos: bool) -> Referring:
    """As somebody would type it: with an opener at times, and now and then a slip in a word that the grammar leaves."""
    opener = int(rng.integers(1024))
    text, twin = spoken(said.sentence, opener), _twin(said)
    words = text.split()
    for i, slip in enumerate(rng.random(len(words)) < TYPOS) if typos else ():
        if slip and len(words[i]) > 3:
            at = int(rng.integers(1, len(words[i]) - 2))
            word = words[i][:at] + words[i][at + 1] + words[i][at] + words[i][at + 2 :]
            slipped = " ".join([*words[:i], word, *words[i + 1 :]])
            text = slipped if read(slipped)[1] == said.part else text
            words = text.split()
    text = text if read(text)[1] == said.part else said.sentence
    return replace(said, sentence=text, twin=None if twin is None else spoken(twin, opener))


def _twin(said: Referring) -> str | None:
    """Of sentences that are wholly a saying: those with words about the scene have no others of their meaning."""
    if said.kind not in _SAID:
        return None
    forms = [e.text for e in sayings()[said.thing, said.direction, said.source] if e.held_out != said.held_out]
    # By the words and not by the generator, whose draws make the sentences themselves.
    return forms[zlib.crc32(said.sentence.encode()) % len(forms)] if forms else None
