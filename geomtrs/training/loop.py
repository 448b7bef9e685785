"""The loop of both stages of the small model: plain, killed and resumed to the same numbers.

Batch i is drawn from (seed, i) and step i's random numbers from (seed, i) too, so a run that goes on at step i computes
what an undisturbed one would have. Only a schedule by minutes instead of steps cannot repeat.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from geomtrs.errors import JobError
from geomtrs.models.mtrefseg import TOWER, MTRefSeg
from geomtrs.nn.efficientnet import EfficientNetLite0
from geomtrs.nn.mask_decoder import SentenceQuery
from geomtrs.nn.reader import WordReader
from geomtrs.training.losses import existence_loss, mask_loss
from geomtrs.training.samples import Batch

log = logging.getLogger(__name__)

Ask = Callable[[Tensor], SentenceQuery]  # questions (B, K, 3) → queries with fields (B, K, …)
Batches = Callable[[int], Iterator[Batch]]  # endless, from the batch of this number on
Told = Callable[[dict[str, float]], None]  # is told of every line of the log, and of what comes after the steps

_MAY_DIFFER = ("save_every", "look_every", "log_every", "device")  # when a stage goes on
_BAD_STEPS = 20  # steps in a row without a finite gradient after which there is nothing to hope for
_BAD_STEPS_AT_END = 2  # one moves nothing and does no harm
_LOWER = "lower rate or set precision = 'fp32'; the last good checkpoint is kept and goes on from there"


@dataclass(frozen=True, slots=True)
class Settings:
    """How one stage goes; rates are those of the head, the encoder learns at `encoder_rate` of them."""

    steps: int | None = None
    seconds: float | None = None  # wall-clock budget where steps are not given: a busy machine still ends at rate zero
    rate: float = 1e-3
    encoder_rate: float = 0.15
    weight_decay: float = 0.02
    warmup: float = 0.02  # share of the stage
    clip: float = 1.0
    ema: float = 0.998
    frozen_blocks: int = 4
    keep_norms: bool = False  # statistics of batch norms: of a few pictures they tell less than those of the start
    bf16: bool = True
    device: str = "cpu"
    seed: int = 0
    accumulate: int = 1
    log_every: int = 20
    save_every: int = 100
    look_every: int = 200

    def share_done(self, steps: int, seconds: float) -> float:
        """How much of the stage is behind, 0..1."""
        if self.steps is not None:
            return steps / self.steps
        return min(1.0, seconds / self.seconds) if self.seconds else 1.0


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


def step_loss(
    model: MTRefSeg, ask: Ask, batch: Batch, *, bf16: bool, device: str = "cpu"
) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch and its parts: answer, presence at each date, existence, direction."""
    batch = batch.to(device)
    with torch.autocast(device.split(":", maxsplit=1)[0], dtype=torch.bfloat16, enabled=bf16):
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
    total = sum(parts.values(), torch.zeros((), device=device))
    return total, {name: float(part.detach()) for name, part in parts.items()}


def train(
    model: MTRefSeg,
    extra: nn.Module,
    ask: Ask,
    batches: Batches,
    settings: Settings,
    folder: Path,
    *,
    stage: str,
    learns_from: Mapping[str, object] | None = None,
    look: Callable[[MTRefSeg, int], Mapping[str, float]] | None = None,
    told: Told | None = None,
) -> MTRefSeg:
    """Trains to the end of the stage and returns the averaged model; `folder` gets log.jsonl and `<stage>.pt`.

    A `<stage>.pt` that is there is continued: weights, averages, optimiser, steps and the time already spent. It has to
    have been made with these settings, and of what `learns_from` tells.
    `look` is asked of the averaged model every so many steps (validation, pictures); what it says goes into the log.

    Raises JobError where the loss is no number any more; the last good checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, extra = model.to(settings.device), extra.to(settings.device)
    optimiser = torch.optim.AdamW(
        parameter_groups(model, extra, settings), weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    average, average_extra = deepcopy(model).eval(), deepcopy(extra).eval()
    modules = {"model": model, "extra": extra, "average": average, "average_extra": average_extra}
    decisive = asdict(settings) | dict(learns_from or {})
    spent, steps = _restore(folder / f"{stage}.pt", modules, optimiser, decisive)
    _learns(model, settings)
    last, bad = time.monotonic(), 0
    stream = batches(steps * settings.accumulate)
    with (folder / "log.jsonl").open("a", encoding="utf-8") as lines:
        while (done := settings.share_done(steps, spent)) < 1:
            _set_rates(optimiser, settings, done)
            torch.manual_seed(settings.seed * 1_000_003 + steps)
            loss, parts = _gradients(model, ask, stream, optimiser, settings)
            bad = 0 if take_step(optimiser, settings) else bad + 1
            steps += 1
            _average(average, model, settings.ema, steps)
            _average(average_extra, extra, settings.ema, steps)
            now = time.monotonic()
            spent, last = spent + now - last, now
            over = settings.share_done(steps, spent) >= 1
            stop_if_hopeless(bad, folder / f"{stage}.pt", loss, steps=steps, over=over)
            facts: dict[str, float] = {"step": steps, "s": round(spent, 1), "loss": loss, **parts}
            if look is not None and (steps % settings.look_every == 0 or over):
                facts |= look(average, steps)
            if steps == 1 or steps % settings.log_every == 0 or over or len(facts) > 3 + len(parts):
                lines.write(json.dumps({"stage": stage, **facts}) + "\n")
                lines.flush()
                if told is not None:
                    told(facts | {"share": settings.share_done(steps, spent)})
            if (steps % settings.save_every == 0 and bad == 0) or over:
                progress = {"spent": spent, "steps": steps, "settings": decisive}
                save_state(folder / f"{stage}.pt", modules, optimiser, progress)
    return average


def counted(told: Told | None, part: str, of: int) -> Callable[[int], None]:
    """Tells how many steps of a `part` after the training are done, and the seconds since now."""
    begun = time.monotonic()

    def count(done: int) -> None:
        if told is not None:
            told({part: done, "of": of, "share": done / of, "s": time.monotonic() - begun})

    return count


def _learns(model: MTRefSeg, settings: Settings) -> None:
    model.train()
    for module in model.modules():
        if settings.keep_norms and isinstance(module, nn.BatchNorm2d):
            module.eval()


def _set_rates(optimiser: torch.optim.Optimizer, settings: Settings, done: float) -> None:
    """Linear warm-up, then a cosine to a fiftieth."""
    warm = min(1.0, (done + 1e-9) / settings.warmup) if settings.warmup else 1.0
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def _gradients(
    model: MTRefSeg, ask: Ask, stream: Iterator[Batch], optimiser: torch.optim.Optimizer, settings: Settings
) -> tuple[float, dict[str, float]]:
    optimiser.zero_grad(set_to_none=True)
    total, sums = 0.0, dict[str, float]()
    for _ in range(settings.accumulate):
        loss, parts = step_loss(model, ask, next(stream), bf16=settings.bf16, device=settings.device)
        (loss / settings.accumulate).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total += float(loss.detach()) / settings.accumulate
        for name, part in parts.items():
            sums[name] = sums.get(name, 0.0) + part / settings.accumulate
    return total, sums


def take_step(optimiser: torch.optim.Optimizer, settings: Settings) -> bool:
    """False where the gradient was no number: nothing was moved."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, settings.clip or math.inf)
    if not torch.isfinite(norm):
        return False
    optimiser.step()
    return True


def stop_if_hopeless(bad: int, checkpoint: Path, loss: float, *, steps: int, over: bool) -> None:
    """Raises JobError after too many `bad` steps in a row: fewer where the stage is `over` after so many steps."""
    if bad >= (min(_BAD_STEPS_AT_END, steps) if over else _BAD_STEPS):
        raise JobError(
            checkpoint,
            found=f"{bad} steps in a row without a finite gradient (loss {loss})",
            wanted="a loss that is a number",
            remedy=_LOWER,
        )


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float, steps: int) -> None:
    decay = min(decay, (1 + steps) / (10 + steps)) if decay else 0.0
    for mine, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mine.dtype.is_floating_point:
            mine.lerp_(theirs, 1 - decay)
        else:
            mine.copy_(theirs)


def save_state(
    path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer, progress: Mapping[str, object]
) -> None:
    """Everything a run needs to go on, under a temporary name first; a full disk leaves the one before.

    Raises JobError for weights that are no numbers: nobody could go on from them.
    """
    state = {name: _learned(module) for name, module in modules.items()}
    refuse_no_numbers(path, {key: value for part in state.values() for key, value in part.items()})
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save({**state, "optimiser": optimiser.state_dict(), **progress}, file)
            file.flush()
            os.fsync(file.fileno())  # else a machine that stops may keep the name and not the weights
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise JobError(
            path,
            found=f"a checkpoint that cannot be written ({str(error).splitlines()[0]})",
            wanted=f"about {sum(p.numel() for m in modules.values() for p in m.parameters()) * 8 / 1e6:.0f} MB",
            remedy="free some space, then run the same command: it goes on from the checkpoint before",
        ) from None


def refuse_no_numbers(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Raises JobError naming the first of `weights` that holds an infinity or no number."""
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise JobError(path, found=f"weights that are no numbers ({name})", wanted="finite weights", remedy=_LOWER)


def _learned(module: nn.Module) -> dict[str, Tensor]:
    """State without the language tower, which is frozen: half the size."""
    return {key: value for key, value in module.state_dict().items() if not key.startswith(TOWER)}


def refuse_other_settings(
    path: Path, before: Mapping[str, object], now: Mapping[str, object], may_differ: Collection[str]
) -> None:
    """Raises JobError naming what a stage that is to go on was told otherwise; `may_differ` decides no number."""
    other = [
        f"{name}: {before.get(name)!r}, not {value!r}"
        for name, value in now.items()
        if name not in may_differ and before.get(name) != value
    ]
    if other:
        raise JobError(
            path,
            found=f"a stage of other settings ({'; '.join(other[:3])})",
            wanted="the same, to go on with it",
            remedy="choose another --out, or put config and data back",
        )


def _restore(
    path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer, settings: Mapping[str, object]
) -> tuple[float, int]:
    """Seconds and steps already spent; the modules and the optimiser as they were then.

    Raises JobError where the stage began with other settings: it would not end as either of them says.
    """
    if not path.exists():
        return 0.0, 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    before = {**settings, **asdict(Settings()), **state["settings"]}  # it may be from before there was such a setting
    refuse_other_settings(path, before, settings, _MAY_DIFFER)
    for name, module in modules.items():
        module.load_state_dict(state[name], strict=False)
    optimiser.load_state_dict(state["optimiser"])
    log.info("%s: continued at %d s, step %d", path, state["spent"], state["steps"])
    return state["spent"], state["steps"]
