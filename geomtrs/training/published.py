"""Training of the published size by the published recipe and its ablations (mtrefseg-r1 §4 to §6).

Stage 1 gives one change mask a pair to a hundred learned queries; stage 2 asks sentences and trains everything. Step i
reads samples drawn from (seed, epoch) and random numbers from (seed, i, process), so a run that was killed goes on to
the same numbers.

What differs from the published runs: the encoder has no stochastic depth and encodes an image once for both paths;
weights are float32 and bf16 is autocast, where the authors keep bf16 weights beside float32 copies; each of several
processes holds the whole optimiser, and they average their gradients once a step (no ZeRO).
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils.checkpoint import checkpoint

from geomtrs.data.mtrefseg21k import SENTENCE
from geomtrs.data.pictures import content_of
from geomtrs.device import Device, autocast, choose
from geomtrs.errors import JobError
from geomtrs.models.checkpoint import read_config
from geomtrs.models.mtrefseg import BaseParams, MTRefSeg
from geomtrs.models.prompt import load_tokenizer
from geomtrs.models.published import SIDE_PX
from geomtrs.models.published_model import (
    FAMILY,
    WEIGHTS,
    config_of,
    network_of,
    params_from,
    tokenizer_files,
    write_folder,
)
from geomtrs.nn.conditioning import pooled
from geomtrs.nn.fusion import OneWayFusion
from geomtrs.nn.masked_attention import MaskedAttentionDecoder
from geomtrs.nn.reader import ImageReader
from geomtrs.training.config import StageConfig
from geomtrs.training.loop import Settings, Told, refuse_other_settings, save_state, stop_if_hopeless, take_step
from geomtrs.training.lora import add_adapters, merge_adapters
from geomtrs.training.point_losses import IGNORED, language_loss, set_loss
from geomtrs.training.published_samples import ANSWER, UNASKED, Batch, Place, Samples, batches, read_samples
from geomtrs.training.schedule import learning_rate

VISUAL = ("encoder.", "fusion.", "pixel_decoder.", "mask_decoder.", "language.seg_query")  # what stage 1 trains
_MAY_DIFFER = ("out", "language", "device", "workers", "save_every", "look_every")  # when going on

log = logging.getLogger(__name__)

Loss = Callable[[MTRefSeg, Batch, Device], dict[str, Tensor]]


def stage1(config: StageConfig, told: Told | None = None, *, side_px: int = SIDE_PX) -> Path:
    """Change without words, or all on one fixed sentence (`end_to_end`); returns a folder for --weights or stage 2.

    Of the config's, `encoder_rate`, `frozen_blocks` and `ema` are the small model's and mean nothing here. The fusion
    is the config's: with fresh weights where `start` has another kind. Raises JobError for data that make no step, a
    start that is not named and a loss that is no number; ModelError for weights that do not read.
    """
    return _stage(config, told, side_px, stage="stage1", words=config.end_to_end)


def stage2(config: StageConfig, told: Told | None = None, *, side_px: int = SIDE_PX) -> Path:
    """Change with words, every sentence a sample; returns a folder for --weights. Raises as stage 1.

    The fusion is the one that `start` was trained with, whatever the config says. The projector takes the published
    square alone.
    """
    return _stage(config, told, side_px, stage="stage2", words=True)


def visual_loss(network: MTRefSeg, batch: Batch, device: Device) -> dict[str, Tensor]:
    """The masks of a hundred learned queries, matched to the one mask of each pair (§4)."""
    with autocast(device):
        heads = _decoder(network).heads(network.maps(batch.dates))
    return {"mask": _mask_loss(heads, batch)}


def referring_loss(network: MTRefSeg, batch: Batch, device: Device) -> dict[str, Tensor]:
    """The masks of the one query, and the words of the answer (§2.4, §2.5, §5).

    The prompt up to the expression is read first and kept, which gives the states of one sequence: reading is causal.
    """
    reader = _reader(network)
    place, lengths = torch.arange(batch.ids.shape[1], device=batch.ids.device), batch.lengths[:, None]
    real = place < lengths + len(ANSWER)
    labels = batch.ids.masked_fill(~real | (place < lengths + UNASKED), IGNORED)
    with autocast(device):
        look = network.look(batch.dates)
        words = reader.phi.embed_tokens(batch.ids) * real[..., None]  # (B, L, D)
        states, _ = reader.phi(words, real, look.seen)
        sentence = pooled(states, [(0, length) for length in batch.lengths.tolist()])
        heads = _decoder(network).heads(look.maps, reader.conditioning(sentence, look.coarse))
    words_loss = language_loss(states.float(), reader.lm_head.weight, labels)
    return {"mask": _mask_loss(heads, batch), "language": words_loss}


def _stage(config: StageConfig, told: Told | None, side_px: int, *, stage: str, words: bool) -> Path:
    with _place(config) as place:
        torch.manual_seed(config.seed)
        network, params, start = _begin(config, keep_fusion=stage == "stage2")
        samples = read_samples(
            config, place, side_px, tokenizer=load_tokenizer(start) if words else None,
            sentence=SENTENCE if stage == "stage1" else None,
        )  # fmt: skip
        if config.lora_rank:
            add_adapters(network, config.lora_rank)
        elif not words:
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name.startswith(VISUAL))
        if words:
            for layer in _reader(network).phi.layers:  # computed again for the gradient, as published
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
        loss = referring_loss if words else visual_loss
        _train(config, network.to(place.device.name), samples, loss, place, stage=stage, told=told)
        folder = Path(config.out) / "base"
        if place.rank == 0:
            merge_adapters(network)
            _export(folder, network, params, start, config)
    return folder


@contextmanager
def _place(config: StageConfig) -> Iterator[Place]:
    """The process that runs this among those that torchrun started, alone without it; they leave together."""
    rank, world, local = (int(os.environ.get(n, d)) for n, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    device = choose(config.device, config.precision)
    if world > 1 and device.name.startswith("cuda"):
        device = choose(f"cuda:{local}", config.precision)
        torch.cuda.set_device(local)
    if device.precision == "fp16":  # its gradients would have to be scaled
        device = replace(device, precision="fp32")
    if world > 1:
        dist.init_process_group("nccl" if device.name.startswith("cuda") else "gloo")
    yield Place(rank, world, device)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def _begin(config: StageConfig, *, keep_fusion: bool) -> tuple[MTRefSeg, BaseParams, Path]:
    """The network of `start` in float32, what it is now, and the folder."""
    if config.start is None:
        raise JobError(
            "start", found="nothing", wanted="a folder of the published size", remedy="make it by geomtrs model start"
        )
    start = Path(config.start)
    if not (start / "config.json").is_file():
        raise JobError(
            start, found="no config.json", wanted="a folder of the published size",
            remedy="make it by geomtrs model start, or check start in the config",
        )  # fmt: skip
    stored = read_config(start, FAMILY, (WEIGHTS, "tokenizer.json"))
    network, params = network_of(start, stored).float(), params_from(stored["params"])
    if params.fusion != config.fusion and not keep_fusion:
        params = replace(params, fusion=config.fusion)
        network.fusion = OneWayFusion([params.encoder.width << level for level in range(4)], params.fusion)
    return network, params, start


def _train(
    config: StageConfig,
    network: MTRefSeg,
    samples: Samples,
    loss: Loss,
    place: Place,
    *,
    stage: str,
    told: Told | None,
) -> None:
    """Trains to the end; `out` gets log.jsonl and a checkpoint, and one that is there is continued."""
    folder, per_epoch = Path(config.out), len(samples) // (config.batch * config.accumulate * place.world)
    folder.mkdir(parents=True, exist_ok=True)
    steps = config.steps or per_epoch * (config.epochs or 1)
    warmup = math.ceil(config.warmup * steps)
    learned = nn.ParameterList(p for p in network.parameters() if p.requires_grad)
    on_gpu = place.device.name.startswith("cuda")
    optimiser = torch.optim.AdamW(
        learned, lr=config.rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=config.weight_decay, fused=on_gpu or None
    )
    path = folder / f"{stage}.pt"
    settings: dict[str, object] = {**config.to_dict(), **_learned_from(config, samples), "processes": place.world}
    spent, first = _restore(path, learned, optimiser, settings)
    network.train()
    stream, last, bad = batches(config, samples, place, first, steps), time.monotonic(), 0
    for step in range(first, steps):
        torch.manual_seed((config.seed * 1_000_003 + step) * 4096 + place.rank)
        rate = learning_rate(step, steps=steps, warmup=warmup, base=config.rate)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        parts = _gradients(config, network, stream, loss, place)
        total = sum(parts.values())
        bad = 0 if take_step(optimiser, Settings(clip=config.clip)) else bad + 1
        now = time.monotonic()
        spent, last, over = spent + now - last, now, step + 1 == steps
        stop_if_hopeless(bad, path, total, steps=steps, over=over)
        if place.rank == 0:
            facts = {"step": step + 1, "s": round(spent, 1), "loss": total, **parts, "rate": rate}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"stage": stage, **facts}) + "\n")
            if told is not None:
                told({**facts, "share": (step + 1) / steps})
            if over or ((step + 1) % config.save_every == 0 and bad == 0):
                save_state(
                    path, {"learned": learned}, optimiser, {"spent": spent, "steps": step + 1, "settings": settings}
                )


def _learned_from(config: StageConfig, samples: Samples) -> dict[str, str]:
    """Data and start by what is in them: folders that were moved are the same."""
    asked = json.dumps([(one.name, one.sentence) for one in samples.triplets]).encode()
    hashes = read_config(Path(str(config.start)), FAMILY)["files"]
    pictures = dict.fromkeys(path for one in samples.triplets for path in (one.before, one.after))
    return {
        "data": f"{len(samples)} samples, {blake2b(asked).hexdigest()[:12]}",
        "files": content_of(pictures, (one.mask for one in samples.triplets if one.mask is not None)),
        "start": f"weights {hashes[WEIGHTS][:12]}",
    }


def _gradients(
    config: StageConfig, network: MTRefSeg, stream: Iterator[Batch], loss: Loss, place: Place
) -> dict[str, float]:
    """The mean gradient over batches and processes lies in the parameters; returns the parts of the mean loss."""
    sums: dict[str, Tensor] = {}
    for _ in range(config.accumulate):
        batch = Batch(*(part.to(place.device.name) for part in next(stream)))
        parts = loss(network, batch, place.device)
        (torch.stack(list(parts.values())).sum() / config.accumulate).backward()  # type: ignore[no-untyped-call]
        for name, part in parts.items():
            sums[name] = sums.get(name, torch.zeros_like(part)) + part.detach() / config.accumulate
    if place.world > 1:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]  # the same ones in every process
        for value in (*gradients, *sums.values()):
            dist.all_reduce(value.div_(place.world))
    return {name: float(part) for name, part in sums.items()}


def _restore(
    path: Path, learned: nn.Module, optimiser: torch.optim.Optimizer, settings: Mapping[str, object]
) -> tuple[float, int]:
    """Seconds and steps already spent, everything as it was then; JobError where the settings were others."""
    if not path.exists():
        return 0.0, 0
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)  # Any: tensors and settings
    before = {"files": settings["files"], **state["settings"]}  # it may be from before they were told
    refuse_other_settings(path, before, settings, _MAY_DIFFER)
    learned.load_state_dict(state["learned"])
    optimiser.load_state_dict(state["optimiser"])
    log.info("%s: continued at %d s, step %d", path, state["spent"], state["steps"])
    return state["spent"], state["steps"]


def _export(folder: Path, network: MTRefSeg, params: BaseParams, start: Path, config: StageConfig) -> None:
    """A folder for --weights, in float32: another stage goes on from exactly these weights."""
    told = {key: value for key, value in config.to_dict().items() if key not in ("data", "out", "start", "language")}
    document = config_of(params, source="geomtrs train") | {"training": told}
    write_folder(folder, network.state_dict(), document, tokenizer=tokenizer_files(start), card=_CARD)


_CARD = """# base, trained by `geomtrs train`

Licence and figures: those of the weights it began with and of the data it learned from.
"""


def _mask_loss(heads: list[Tensor], batch: Batch) -> Tensor:
    if not all(bool(logits.isfinite().all()) for logits in heads):  # nothing to match: the step is not made
        return torch.stack([logits.float().sum() for logits in heads]).sum() * math.nan
    return set_loss(heads, batch.mask, draw=partial(torch.rand, device=batch.mask.device)).total


def _decoder(network: MTRefSeg) -> MaskedAttentionDecoder:
    assert isinstance(network.mask_decoder, MaskedAttentionDecoder)
    return network.mask_decoder


def _reader(network: MTRefSeg) -> ImageReader:
    assert isinstance(network.language, ImageReader)
    return network.language
