"""Stage 1 without words, stage 2 with them: what is asked, and by which weights each begins."""

from __future__ import annotations

import pickle
import struct
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from geomtrs.data.expressions import Expression, all_expressions, paired_expressions, spoken, unlabelled_expressions
from geomtrs.errors import JobError
from geomtrs.models.mtrefseg import MTRefSeg
from geomtrs.nn.efficientnet import convert_lite0
from geomtrs.nn.language import BertTower
from geomtrs.nn.mask_decoder import DIRECTIONS, SentenceHead, SentenceQuery
from geomtrs.training.codes import CodeTable

MAX_TOKENS = 20  # of a training sentence; longer ones are cut
START_1 = "EfficientNet-Lite0's weights"
START_2 = f"stage1.pt of the same fusion, {START_1}, or a folder of nano's weights"


class SentenceBank:
    """Token states of the training sentences, each computed when it is first asked: the tower is frozen in stage 2."""

    def __init__(self, tower: BertTower, tokenizer: Tokenizer, expressions: Sequence[Expression], *, seed: int) -> None:
        """Each expression gets an opener ("show", "find", none) once."""
        generator = torch.Generator().manual_seed(seed)
        openers = torch.randint(1000, (len(expressions),), generator=generator).tolist()
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding(length=MAX_TOKENS)
        self.tower, self.tokenizer = tower, tokenizer
        self.ids, self.real = self.encode([spoken(e.text, o) for e, o in zip(expressions, openers, strict=True)])
        self.states = torch.zeros(*self.ids.shape, tower.params.width, dtype=torch.float16)  # (N, L, D)
        self.known = torch.zeros(len(expressions), dtype=torch.bool)
        self.by_meaning: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        self.meanings = torch.tensor([meaning_of(e) for e in expressions])  # (N, 3)
        for i, expression in enumerate(expressions):
            self.by_meaning[meaning_of(expression)].append(i)
        self.generator = generator

    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Ids (N, L) of sentences, and which are no padding (N, L) bool."""
        encoded = self.tokenizer.encode_batch(texts)
        return torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded]).bool()

    def read_anew(self, tower: BertTower) -> None:
        """States of another tower from now on."""
        self.tower = tower
        self.known[:] = False

    def weights(self) -> Tensor:
        """(N,) how often to draw each sentence: all meanings alike, but those of two things less.

        They are many and would crowd out "appeared" and "disappeared" otherwise.
        """
        return torch.tensor(
            [1.0 / len(self.by_meaning[m]) * (0.06 if m[2] >= 0 else 1.0) for m in map(tuple, self.meanings.tolist())]
        )

    def pick(self, questions: Tensor) -> Tensor:
        """Questions (…, 3) → the number of a sentence of each meaning, drawn anew each time."""
        flat = questions.flatten(0, -2).tolist()
        # From torch's own stream, which the loop sets at every step: a resumed run picks what it would have picked.
        draws = torch.randint(1 << 30, (len(flat),)).tolist()
        picked = []
        for (thing, direction, source), draw in zip(flat, draws, strict=True):
            options = self.by_meaning[thing, direction, source]
            picked.append(options[draw % len(options)])
        return torch.tensor(picked).view(questions.shape[:-1])

    def ask(self, head: SentenceHead, numbers: Tensor) -> SentenceQuery:
        """Numbers of sentences (…) → queries with fields (…, D)."""
        flat = numbers.flatten()
        self._know(torch.unique(flat[~self.known[flat]]))
        real = self.real[flat]
        length = int(real.sum(1).max())
        device = head.slots.device
        query = head(self.states[flat, :length].float().to(device), real[:, :length].to(device))
        return SentenceQuery(*(f.unflatten(0, numbers.shape) for f in query))

    def _know(self, numbers: Tensor) -> None:
        """Computes the states of these sentences (M,)."""
        device = self.tower.positions.device
        for part in torch.split(numbers, 256) if len(numbers) else ():  # torch splits nothing into one part of nothing
            with torch.no_grad():
                states = self.tower(self.ids[part].to(device), self.real[part].to(device))
            self.states[part] = states.half().cpu()
        self.known[numbers] = True


def meaning_of(expression: Expression) -> tuple[int, int, int]:
    """Thing, direction and the other thing (-1 = none) by number."""
    source = -1 if expression.source is None else expression.source
    return expression.thing, DIRECTIONS.index(expression.direction), source


def training_expressions() -> list[Expression]:
    """All sentences but the held-out tenth."""
    return [e for e in chain(all_expressions(), paired_expressions(), unlabelled_expressions()) if not e.held_out]


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
    weights = bank.weights()
    for _ in range(steps):
        numbers = torch.multinomial(weights, 128, generator=bank.generator)
        target = SentenceQuery(*(field[numbers].detach() for field in targets))
        loss = distance(bank.ask(head, numbers), target, bank.meanings[numbers, 1])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
    return float(loss.detach())


def distance(query: SentenceQuery, target: SentenceQuery, directions: Tensor) -> Tensor:
    """Between what N sentences ask and should ask; directions are numbers (N,).

    A source counts only where one is replaced.
    """
    replaced = directions == DIRECTIONS.index("replaced")
    loss = nn.functional.mse_loss(query.thing, target.thing) + nn.functional.mse_loss(query.change, target.change)
    if replaced.any():
        loss = loss + nn.functional.mse_loss(query.source[replaced], target.source[replaced])
    return loss + 0.5 * nn.functional.cross_entropy(query.direction, directions)


def read_state(path: Path, wanted: str) -> dict[str, Any]:  # Any: tensors, and what else torch keeps beside them
    """What torch saved there, executing nothing; raises JobError for anything else than what is `wanted`."""
    if path.is_file():
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, struct.error, RuntimeError, EOFError, OSError, ValueError) as error:
            found = f"no weights that read ({(str(error) or type(error).__name__).splitlines()[0]})"
        else:
            if isinstance(state, dict):
                return state
            found = f"a {type(state).__name__}"
    else:
        found = "a folder" if path.is_dir() else "no such file"
    raise JobError(path, found=found, wanted=wanted, remedy="check start in the config, or --start")


def start_stage2(model: MTRefSeg, checkpoint: Path, width: int) -> CodeTable | None:
    """Loads the averaged weights of stage 1 into the image parts and returns its code table.

    An ImageNet state of the encoder is taken too: stage 2 then begins without a first one, and there is no code table.
    Raises JobError where the checkpoint is neither, or of another fusion.
    """
    state = read_state(checkpoint, START_2)
    if "_conv_stem.weight" in state:
        model.encoder.load_state_dict(convert_lite0(state))
        return None
    image = {k: v for k, v in state.get("average", {}).items() if not k.startswith("language.")}
    missing, unexpected = model.load_state_dict(image, strict=False)
    other = unexpected + [key for key in missing if not key.startswith("language.")]
    other += [] if state.get("average_extra") else ["no code table"]  # as in stage2.pt
    if other:
        raise JobError(
            checkpoint,
            found=f"other parts than this network's ({other[0]} and {len(other) - 1} more)",
            wanted=START_2,
            remedy="name it as start in the config, or mend fusion",
        )
    codes = CodeTable(width)
    codes.load_state_dict(state["average_extra"])
    return codes
