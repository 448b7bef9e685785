"""The last step of a stage of sentences: those that it seldom asked come to ask what most of their meaning ask.

There are thirty thousand sentences and a dozen questions a picture, so many a sentence is never asked, and may stay
read the wrong way round ("logging roads" as roads that went). This step looks at no picture: what a sentence asks is
fitted to the median of its meaning where it is far from it, and kept as it is where not.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, mse_loss

from geomtrs.nn.mask_decoder import DIRECTIONS, SentenceHead, SentenceQuery
from geomtrs.training.stages import SentenceBank

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
    # Meanings are drawn alike, those of two things less, as they are many.
    weights = torch.tensor(
        [(0.06 if m[2] >= 0 else 1.0) / len(bank.by_meaning[m]) for m in map(tuple, bank.meanings.tolist())]
    )
    optimiser = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for _ in range(steps):
        draws = ((astray, _ASTRAY), (~astray, _KEPT))
        numbers = torch.cat([torch.multinomial(weights * of, some, replacement=True) for of, some in draws])
        loss = _distance(bank.ask(head, numbers), SentenceQuery(*(field[numbers] for field in target)))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
    return count


def _distance(query: SentenceQuery, target: SentenceQuery) -> Tensor:
    """Between what N sentences ask and what they should; a thing before counts only where one is replaced."""
    replaced = target.direction == _REPLACED
    loss = mse_loss(query.thing, target.thing) + mse_loss(query.change, target.change)
    if replaced.any():
        loss = loss + mse_loss(query.source[replaced], target.source[replaced])
    return loss + 0.5 * cross_entropy(query.direction, target.direction)


def _targets(asked: SentenceQuery, bank: SentenceBank) -> tuple[SentenceQuery, Tensor]:
    """What each sentence should ask, directions as numbers (N,), and which are far from it, (N,) bool."""
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
    return SentenceQuery(thing, source, change, bank.meanings[:, 1]), astray
