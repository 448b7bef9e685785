"""The last step of a stage of sentences: what has the same meaning comes to ask the same, however it is worded.

There are thirty thousand sentences and a dozen questions a picture, so many a sentence is never asked, and what people
type is worded otherwise still ("which barns got panels"). This step looks at no picture: sentences of the grammar that
went astray and freely worded ones (`data/wording.py`) are fitted to what their meaning usually asks, and the others are
kept as they are. The language tower learns here, and only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from geomtrs.data.wording import worded
from geomtrs.nn.mask_decoder import DIRECTIONS, SentenceQuery
from geomtrs.nn.reader import WordReader
from geomtrs.training.loop import Told, counted
from geomtrs.training.stages import SentenceBank, distance, meaning_of

ALIKE = 0.93  # cosine from which two sentences ask for the same thing
_READ_AT_ONCE, _ASTRAY, _KEPT, _WORDED = 512, 32, 64, 144  # sentences
_APPEARED, _REPLACED = DIRECTIONS.index("appeared"), DIRECTIONS.index("replaced")
_COUNTED = 20  # steps from one line of progress to the next
_RATE, _TOWER_RATE = 6e-4, 0.1  # the tower at a share of the head's

Usual = Mapping[tuple[int, int, int], SentenceQuery]  # what a meaning asks: fields (D,)


def agree(
    reader: WordReader, bank: SentenceBank, *, steps: int, seed: int = 0, bf16: bool = False, told: Told | None = None
) -> int:
    """Fits head and tower in so many steps; returns how many sentences of the bank had gone astray."""
    counted(told, "words", steps)(0)  # all sentences are read first
    reader.eval().requires_grad_(True)
    reader.tower.words.requires_grad_(False)  # rare words would be left behind
    with torch.no_grad():
        parts = [bank.ask(reader.head, numbers) for numbers in torch.split(torch.arange(len(bank.ids)), _READ_AT_ONCE)]
    asked = SentenceQuery(*(torch.cat(fields) for fields in zip(*parts, strict=True)))
    usual = _usual(asked, bank)
    astray = _astray(asked, usual, bank)
    target = _where(astray, _stack([usual[tuple(meaning)] for meaning in bank.meanings.tolist()]), asked)
    learning = [list(reader.head.parameters()), [p for p in reader.tower.parameters() if p.requires_grad]]
    rates = [_RATE, _RATE * _TOWER_RATE]
    groups = [{"params": some, "lr": rate} for some, rate in zip(learning, rates, strict=True)]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps)
    weights, fresh = bank.weights(), _fresh(usual, bank, seed)
    draws = [(weights * of, min(some, int(of.sum()))) for of, some in ((astray, _ASTRAY), (~astray, _KEPT)) if of.any()]
    count = counted(told, "words", steps)
    for done in range(1, steps + 1):
        numbers = torch.cat([torch.multinomial(each, some, replacement=True) for each, some in draws])
        loss = torch.zeros(())
        kept = bank.ids[numbers], bank.real[numbers], _of(target, numbers), bank.meanings[numbers, 1]
        for ids, real, wanted, directions in (kept, next(fresh)):
            length = int(real.sum(1).max())
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                states = reader.tower(ids[:, :length], real[:, :length])
            loss = loss + distance(reader.head(states.float(), real[:, :length]), wanted, directions)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
        if done % _COUNTED == 0 or done == steps:
            count(done)
    bank.read_anew(reader.tower)
    return int(astray.sum())


def _fresh(usual: Usual, bank: SentenceBank, seed: int) -> Iterator[tuple[Tensor, Tensor, SentenceQuery, Tensor]]:
    """Endless: ids and which are real of freely worded sentences, what they should ask, and their directions."""
    rng = np.random.default_rng([seed, 5])
    while True:
        said = [one for one in (worded(rng) for _ in range(_WORDED)) if meaning_of(one) in usual and not one.held_out]
        meanings = [meaning_of(one) for one in said]
        ids, real = bank.encode([one.text for one in said])
        yield ids, real, _stack([usual[m] for m in meanings]), torch.tensor([m[1] for m in meanings])


def _usual(asked: SentenceQuery, bank: SentenceBank) -> Usual:
    """The median of what the sentences of each meaning ask; a replacement asks what those of its two things do."""
    median = {
        meaning: SentenceQuery(*(field[numbers].median(0).values for field in asked))
        for meaning, numbers in bank.by_meaning.items()
    }
    # A thing before is known best from all that replaced it.
    befores = {
        s: torch.stack([q.source for m, q in median.items() if m[1] == _REPLACED and m[2] == s]).median(0).values
        for s in {m[2] for m in median if m[1] == _REPLACED}
    }
    for m, q in median.items():
        if m[1] == _REPLACED:
            thing = median.get((m[0], _APPEARED, -1), q).thing
            median[m] = q._replace(thing=thing, source=befores[m[2]])
    return median


def _astray(asked: SentenceQuery, usual: Usual, bank: SentenceBank) -> Tensor:
    """Which sentences are far from what their meaning asks, or go another way, (N,) bool."""
    astray = torch.zeros(len(asked.thing), dtype=torch.bool)
    for meaning, numbers in bank.by_meaning.items():
        far = cosine_similarity(asked.thing[numbers], usual[meaning].thing[None]) < ALIKE
        far |= asked.direction[numbers].argmax(1) != meaning[1]
        if meaning[1] == _REPLACED:
            far |= cosine_similarity(asked.source[numbers], usual[meaning].source[None]) < ALIKE
        astray[numbers] = far
    return astray


def _stack(queries: list[SentenceQuery]) -> SentenceQuery:
    return SentenceQuery(*(torch.stack(fields) for fields in zip(*queries, strict=True)))


def _of(query: SentenceQuery, numbers: Tensor) -> SentenceQuery:
    return SentenceQuery(*(field[numbers] for field in query))


def _where(chosen: Tensor, these: SentenceQuery, others: SentenceQuery) -> SentenceQuery:
    return SentenceQuery(*(torch.where(chosen[:, None], a, b) for a, b in zip(these, others, strict=True)))
