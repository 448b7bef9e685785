"""The last step of a stage of sentences: those that it seldom asked come to ask what most of their meaning ask.

There are thirty thousand sentences and a dozen questions a picture, so many a sentence is never asked, and may stay
read the wrong way round ("logging roads" as roads that went). This step looks at no picture: what a sentence asks is
fitted to the median of its meaning where it is far from it, and kept as it is where not.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from geomtrs.nn.mask_decoder import DIRECTIONS, SentenceHead, SentenceQuery
from geomtrs.training.stages import SentenceBank, distance

ALIKE = 0.93  # cosine from which two sentences ask for the same thing
_READ_AT_ONCE, _ASTRAY, _KEPT = 512, 96, 160  # sentences
_APPEARED, _REPLACED = DIRECTIONS.index("appeared"), DIRECTIONS.index("replaced")
_RATE = 2e-4


def agree(head: SentenceHead, bank: SentenceBank, *, steps: int) -> int:
    """Fits the head in so many steps; returns how many sentences had gone astray."""
    head.eval().requires_grad_(True)
    with torch.no_grad():
        parts = [bank.ask(head, numbers) for numbers in torch.split(torch.arange(len(bank.ids)), _READ_AT_ONCE)]
    asked = SentenceQuery(*(torch.cat(fields) for fields in zip(*parts, strict=True)))
    target, astray = _targets(asked, bank)
    count = int(astray.sum())
    if not count or astray.all():
        return count
    weights = bank.weights()
    optimiser = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for _ in range(steps):
        draws = ((astray, _ASTRAY), (~astray, _KEPT))
        numbers = torch.cat([torch.multinomial(weights * of, some, replacement=True) for of, some in draws])
        wanted = SentenceQuery(*(field[numbers] for field in target))
        loss = distance(bank.ask(head, numbers), wanted, bank.meanings[numbers, 1])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
    return count


def _targets(asked: SentenceQuery, bank: SentenceBank) -> tuple[SentenceQuery, Tensor]:
    """What each sentence should ask, and which are far from it or go another way, (N,) bool."""
    usual = {
        meaning: SentenceQuery(*(field[numbers].median(0).values for field in asked))
        for meaning, numbers in bank.by_meaning.items()
    }
    # A thing before is known best from all that replaced it.
    befores = {
        s: torch.stack([q.source for m, q in usual.items() if m[1] == _REPLACED and m[2] == s]).median(0).values
        for s in {m[2] for m in usual if m[1] == _REPLACED}
    }
    thing, source, change = asked.thing.clone(), asked.source.clone(), asked.change.clone()
    astray = torch.zeros(len(thing), dtype=torch.bool)
    for meaning, some in bank.by_meaning.items():
        numbers = torch.tensor(some)
        plain = usual.get((meaning[0], _APPEARED, -1), usual[meaning]) if meaning[1] == _REPLACED else usual[meaning]
        far = cosine_similarity(asked.thing[numbers], plain.thing[None]) < ALIKE
        far |= asked.direction[numbers].argmax(1) != meaning[1]
        if meaning[1] == _REPLACED:
            far |= cosine_similarity(asked.source[numbers], befores[meaning[2]][None]) < ALIKE
            source[numbers[far]] = befores[meaning[2]]
        thing[numbers[far]], change[numbers[far]] = plain.thing, usual[meaning].change
        astray[numbers] = far
    return SentenceQuery(thing, source, change, asked.direction), astray
