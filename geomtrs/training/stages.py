"""Stage 1 without words, stage 2 with them: what is asked, and by which weights each begins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from geomtrs.data.expressions import Expression, all_expressions, spoken
from geomtrs.models.mtrefseg import MTRefSeg
from geomtrs.nn.language import BertTower
from geomtrs.nn.mask_decoder import DIRECTIONS, SentenceHead, SentenceQuery
from geomtrs.training.codes import CodeTable

MAX_TOKENS = 20  # of a training sentence; longer ones are cut


class SentenceBank:
    """Token states of every training sentence, computed once: the tower is frozen in stage 2."""

    def __init__(self, tower: BertTower, tokenizer: Tokenizer, expressions: Sequence[Expression], *, seed: int) -> None:
        """Each expression gets an opener ("show", "find", none) once."""
        generator = torch.Generator().manual_seed(seed)
        openers = torch.randint(1000, (len(expressions),), generator=generator).tolist()
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding(length=MAX_TOKENS)
        encoded = tokenizer.encode_batch([spoken(e.text, o) for e, o in zip(expressions, openers, strict=True)])
        ids = torch.tensor([e.ids for e in encoded])
        real = torch.tensor([e.attention_mask for e in encoded]).bool()
        with torch.inference_mode():
            states = torch.cat(
                [tower(i, r).half() for i, r in zip(torch.split(ids, 256), torch.split(real, 256), strict=True)]
            )
        self.states, self.real = states.clone(), real  # (N, L, D) float16, (N, L) bool
        self.by_meaning: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        self.meanings = torch.tensor([_meaning(e) for e in expressions])  # (N, 3)
        for i, expression in enumerate(expressions):
            self.by_meaning[_meaning(expression)].append(i)
        self.generator = generator

    def pick(self, questions: Tensor) -> Tensor:
        """Questions (…, 3) → the number of a sentence of each meaning, drawn anew each time."""
        flat = questions.flatten(0, -2).tolist()
        draws = torch.randint(1 << 30, (len(flat),), generator=self.generator).tolist()
        picked = []
        for (thing, direction, source), draw in zip(flat, draws, strict=True):
            options = self.by_meaning[thing, direction, source if direction == len(DIRECTIONS) - 1 else -1]
            picked.append(options[draw % len(options)])
        return torch.tensor(picked).view(questions.shape[:-1])

    def ask(self, head: SentenceHead, numbers: Tensor) -> SentenceQuery:
        """Numbers of sentences (…) → queries with fields (…, D)."""
        flat = numbers.flatten()
        real = self.real[flat]
        length = int(real.sum(1).max())
        query = head(self.states[flat, :length].float(), real[:, :length])
        return SentenceQuery(*(f.unflatten(0, numbers.shape) for f in query))


def _meaning(expression: Expression) -> tuple[int, int, int]:
    source = -1 if expression.source is None else expression.source
    return expression.thing, DIRECTIONS.index(expression.direction), source


def training_expressions() -> list[Expression]:
    """All sentences but the held-out tenth."""
    return [e for e in all_expressions() if not e.held_out]


def teach_meanings(
    head: SentenceHead, bank: SentenceBank, codes: CodeTable, *, steps: int, rate: float = 1e-3
) -> float:
    """Fits the sentence head to the queries of stage 1, without images; returns the last loss.

    A sentence begins stage 2 asking what its code asked, so that the images need not teach it what words mean.
    """
    optimiser = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    head.train()
    targets = codes(bank.meanings)
    loss = torch.zeros(())
    # Meanings are drawn alike: the many from-to pairs would crowd out "appeared" and "disappeared" otherwise.
    weights = torch.tensor(
        [1.0 / len(bank.by_meaning[m]) * (0.06 if m[2] >= 0 else 1.0) for m in map(tuple, bank.meanings.tolist())]
    )
    for _ in range(steps):
        numbers = torch.multinomial(weights, 128, generator=bank.generator)
        query = bank.ask(head, numbers)
        thing, source, change, _ = (t[numbers].detach() for t in targets)
        replaced = bank.meanings[numbers, 2] >= 0
        loss = nn.functional.mse_loss(query.thing, thing) + nn.functional.mse_loss(query.change, change)
        if replaced.any():
            loss = loss + nn.functional.mse_loss(query.source[replaced], source[replaced])
        loss = loss + 0.5 * nn.functional.cross_entropy(query.direction, bank.meanings[numbers, 1])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
    return float(loss.detach())


def start_stage2(model: MTRefSeg, checkpoint: Path, width: int) -> CodeTable:
    """Loads the averaged weights of stage 1 into the image parts and returns its code table."""
    state = torch.load(checkpoint, weights_only=True)
    image = {k: v for k, v in state["average"].items() if not k.startswith("language.")}
    missing, unexpected = model.load_state_dict(image, strict=False)
    assert not unexpected
    assert all(k.startswith("language.") for k in missing)
    codes = CodeTable(width)
    codes.load_state_dict(state["average_extra"])
    return codes
