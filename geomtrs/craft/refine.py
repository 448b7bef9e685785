"""A mask and its words go back to the judge until it is content: the words change, or the segmenter is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from geomtrs.craft.grid import cells_of
from geomtrs.craft.perceive import SENTENCES, things_by_name
from geomtrs.craft.protocols import (
    Ask,
    Bool,
    Box,
    Candidate,
    Check,
    Finding,
    Judge,
    Judgement,
    Pair,
    Prompt,
    Segmenter,
    Verifier,
)
from geomtrs.data.labels import THINGS
from geomtrs.data.patches import PATCH_PX


def refine(
    pair: Pair,
    finding: Finding,
    others: Sequence[Candidate],
    ask: Ask,
    *,
    segmenter: Segmenter,
    verifier: Verifier,
    judge: Judge,
    rounds: int,
) -> tuple[Candidate, tuple[Check, ...]]:
    """The finding with the last mask it got, every rule's word on it, and all that the judge said, in its order.

    others  candidates of the pair before it
    rounds  how often it is mended, at most; what is not right then fails its check
    """
    prompt = Prompt()
    candidate = segmenter.segment(pair, finding, prompt)
    said: list[str] = []
    for turn in range(rounds + 1):
        checks = verifier.candidate(pair, candidate, others)
        word = judge.judge(pair, candidate, checks, ask)
        said.append(word.verdict + (f" ({word.why})" if word.why else ""))
        if word.verdict == "right" or turn == rounds:
            break
        mended, prompt = _mended(pair, candidate, prompt, word, segmenter)
        if mended.finding == candidate.finding and np.array_equal(mended.mask, candidate.mask):
            break  # asked again it would say the same
        candidate = mended
    return candidate, (*checks, Check("judge", word.verdict == "right", ", then ".join(said)))


def _mended(
    pair: Pair, candidate: Candidate, prompt: Prompt, word: Judgement, segmenter: Segmenter
) -> tuple[Candidate, Prompt]:
    """What the judge's word makes of a candidate, and how the segmenter was asked for it."""
    finding, box = candidate.finding, word.box or prompt.box
    if word.verdict == "wrong words" and word.noun is not None:
        return replace(candidate, finding=_named(finding, word.noun)), prompt
    if word.verdict == "wrong kind" and word.way is not None:
        words = SENTENCES[word.way].format(noun=finding.noun, source=finding.noun)
        return _again(pair, replace(finding, way=word.way, source=None, sentence=words), prompt, segmenter), prompt
    if word.verdict == "too much":
        tidy = _tidy(candidate, box)
        if not np.array_equal(tidy.mask, candidate.mask) and tidy.mask.any():
            return tidy, replace(prompt, box=box)
        prompt = Prompt(prompt.more - 1, box)
    elif word.verdict == "too little":
        prompt = Prompt(prompt.more + 1, box)
    elif word.verdict == "wrong place" and (word.cells or word.box):
        finding, prompt = replace(finding, cells=word.cells or finding.cells), Prompt(prompt.more, word.box)
    else:
        return candidate, prompt
    return _again(pair, finding, prompt, segmenter), prompt


def _again(pair: Pair, finding: Finding, prompt: Prompt, segmenter: Segmenter) -> Candidate:
    return _tidy(segmenter.segment(pair, finding, prompt), prompt.box)


def _named(finding: Finding, noun: str) -> Finding:
    """The same with other words; a thing again where they are one's name."""
    thing = things_by_name().get(noun.lower())
    words = SENTENCES[finding.way].format(noun=noun, source=noun)
    return replace(finding, noun=noun, sentence=words, thing=None if thing is None else THINGS.index(thing))


def _tidy(candidate: Candidate, box: Box | None) -> Candidate:
    """Without dust, without what nobody knows, and within the box; cells that are empty now are no longer named."""
    mask = candidate.mask & candidate.known
    if box is not None:
        mask &= within(box, mask.shape)
    labels, _ = ndimage.label(mask)
    large = np.bincount(labels.ravel()) >= PATCH_PX
    large[0] = False
    mask = large[labels]
    held = set(cells_of(mask))
    cells = tuple(cell for cell in candidate.finding.cells if cell in held) or candidate.finding.cells
    return Candidate(replace(candidate.finding, cells=cells), mask, candidate.known)


def within(box: Box, shape: tuple[int, ...]) -> Bool:
    """(H, W), True in the box."""
    height, width = shape
    left, top, right, bottom = box
    inside = np.zeros(shape, bool)
    inside[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    return inside
