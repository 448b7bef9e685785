"""The two stages: temporal change without words, then language. A plain loop; checkpoints go on where they stopped."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from geomtrs.models.mtrefseg import MTRefSeg
from geomtrs.nn.efficientnet import EfficientNetLite0
from geomtrs.nn.mask_decoder import SentenceQuery
from geomtrs.nn.reader import WordReader
from geomtrs.training.losses import existence_loss, mask_loss
from geomtrs.training.samples import Batch

log = logging.getLogger(__name__)

Ask = Callable[[Tensor], SentenceQuery]  # questions (B, K, 3) → queries with fields (B, K, …)


@dataclass(frozen=True, slots=True)
class Settings:
    """How one stage goes; rates are those of the head, the encoder learns at `encoder_rate` of them."""

    seconds: float  # wall-clock budget: the schedule follows time, so a busy machine still ends at rate zero
    rate: float = 1e-3
    encoder_rate: float = 0.15
    weight_decay: float = 0.02
    warmup: float = 0.02  # share of the budget
    clip: float = 1.0
    ema: float = 0.998
    frozen_blocks: int = 4
    bf16: bool = True
    save_every_s: float = 240


def parameter_groups(model: MTRefSeg, extra: nn.Module, settings: Settings) -> list[dict[str, object]]:
    """Encoder and the rest at their rates; the language tower and the first encoder blocks are frozen."""
    reader = model.language
    assert isinstance(reader, WordReader)
    reader.tower.requires_grad_(False)
    encoder = model.encoder
    assert isinstance(encoder, EfficientNetLite0)
    for frozen in (encoder.stem, *list(encoder.blocks)[: settings.frozen_blocks]):
        frozen.requires_grad_(False)
    slow = [p for p in encoder.parameters() if p.requires_grad]
    ids = {id(p) for p in encoder.parameters()} | {id(p) for p in reader.tower.parameters()}
    fast = [p for p in model.parameters() if id(p) not in ids] + list(extra.parameters())
    return [
        {"params": slow, "lr": settings.rate * settings.encoder_rate, "peak": settings.rate * settings.encoder_rate},
        {"params": fast, "lr": settings.rate, "peak": settings.rate},
    ]


def step_loss(model: MTRefSeg, ask: Ask, batch: Batch, *, bf16: bool) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch and its parts: answer, presence at each date, existence, direction."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        maps = model.maps(batch.images.float())
    maps = type(maps)(*(m.float() for m in maps))
    query = ask(batch.questions)
    answer = model.answer(maps, query)
    assert answer.presence_before is not None
    assert answer.presence_after is not None
    presence = torch.cat([answer.presence_before.flatten(0, 1), answer.presence_after.flatten(0, 1)])
    presence_states = batch.presence.transpose(1, 2).transpose(0, 1).flatten(0, 2)
    direction = nn.functional.cross_entropy(query.direction.flatten(0, 1), batch.questions[..., 1].flatten())
    parts = {
        "mask": mask_loss(answer.mask.flatten(0, 1), batch.answers.flatten(0, 1)),
        "presence": mask_loss(presence, presence_states),
        "existence": 0.3 * existence_loss(answer.existence.flatten(), batch.existence.flatten()),
        "direction": 0.1 * direction,
    }
    return sum(parts.values(), torch.zeros(())), {name: float(part.detach()) for name, part in parts.items()}


def train(
    model: MTRefSeg,
    extra: nn.Module,
    ask: Ask,
    batches: Iterator[Batch],
    settings: Settings,
    folder: Path,
    *,
    stage: str,
) -> MTRefSeg:
    """Trains for `settings.seconds` and returns the averaged model; `folder` gets log.jsonl and `<stage>.pt`.

    A `<stage>.pt` that is there is continued: weights, averages, optimiser and the time already spent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = parameter_groups(model, extra, settings)
    optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, betas=(0.9, 0.98))
    average, average_extra = deepcopy(model).eval(), deepcopy(extra).eval()
    modules = {"model": model, "extra": extra, "average": average, "average_extra": average_extra}
    spent, steps = _restore(folder / f"{stage}.pt", modules, optimiser)
    model.train()
    saved = last = time.monotonic()
    with (folder / "log.jsonl").open("a", encoding="utf-8") as lines:
        while spent < settings.seconds:
            done = spent / settings.seconds
            warm = min(1.0, done / settings.warmup)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            loss, parts = step_loss(model, ask, next(batches), bf16=settings.bf16)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            norm = nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], settings.clip)  # type: ignore[attr-defined]  # groups are optimiser dicts
            if torch.isfinite(norm):
                optimiser.step()
            steps += 1
            _average(average, model, settings.ema, steps)
            _average(average_extra, extra, settings.ema, steps)
            now = time.monotonic()
            spent, last = spent + now - last, now
            if steps % 20 == 0:
                lines.write(
                    json.dumps(
                        {"stage": stage, "step": steps, "s": round(spent), "loss": float(loss.detach()), **parts}
                    )
                    + "\n"
                )
                lines.flush()
            if now - saved > settings.save_every_s or spent >= settings.seconds:
                _save(
                    folder / f"{stage}.pt",
                    modules,
                    optimiser,
                    {"spent": spent, "steps": steps, "settings": asdict(settings)},
                )
                saved = now
    return average


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float, steps: int) -> None:
    decay = min(decay, (1 + steps) / (10 + steps))
    for mine, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mine.dtype.is_floating_point:
            mine.lerp_(theirs, 1 - decay)
        else:
            mine.copy_(theirs)


def _save(
    path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer, progress: Mapping[str, object]
) -> None:
    """Everything a run needs to go on, under a temporary name first."""
    state = {name: module.state_dict() for name, module in modules.items()}
    temporary = path.with_suffix(".tmp")
    torch.save({**state, "optimiser": optimiser.state_dict(), **progress}, temporary)
    temporary.replace(path)


def _restore(path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer) -> tuple[float, int]:
    """Seconds and steps already spent; the modules and the optimiser as they were then."""
    if not path.exists():
        return 0.0, 0
    state = torch.load(path, weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state[name])
    optimiser.load_state_dict(state["optimiser"])
    log.info("%s: continued at %d s, step %d", path, state["spent"], state["steps"])
    return state["spent"], state["steps"]
