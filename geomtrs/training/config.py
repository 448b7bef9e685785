"""One training stage as a TOML file: it fills one frozen value; an unknown key is an error that names the nearest."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NoReturn

from geomtrs.errors import QueryError

Model = Literal["nano", "base"]
Fusion = Literal["change_aware", "concat_conv", "abs_diff", "avg"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """What one stage learns from, begins with, and how it goes; paths are relative to where the command runs.

    data         nano: a folder of sets (data.pairs) or a pack of it; base: a split in the layout of MTRefSeg-21K
    val          nano: a JSON file of the scenes of each set that are kept for validation; else samples.jsonl says which
    sets         only these sets of the folder; empty: all
    drawn        nano: so many drawn scenes beside those of a folder; a pack has its own
    out          checkpoints, log.jsonl and pictures go here; a stage that died in it is continued
    absent       nano: asked about things that are not there too; only without them can one see what they teach
    start        nano stage 1: EfficientNet-Lite0 weights; stage 2: stage1.pt, a folder of nano's weights to go on
                 from, or EfficientNet-Lite0 to do without stage 1; base: a folder that `geomtrs model start` or
                 `model convert` made
    language     nano: a folder with MiniLM's model.safetensors and tokenizer.json
    steps        how many; exactly one of steps, epochs and minutes (a schedule by the clock repeats to no numbers)
    batch        samples of a step; gradients of `accumulate` such batches are added
    rate         of the head; the encoder learns at `encoder_rate` of it
    warmup       share of the stage
    clip         largest gradient norm; 0: none
    ema          decay of the averaged weights; 0: none
    precision    auto, fp32 or bf16
    keep_norms   nano: statistics of batch norms stay as they are, for going on with few pictures
    agree        nano stage 2: steps after `steps` or `minutes` that look at no picture (training.agreeing); 0: none
    fusion       one of the published kinds; nano's stage 2 is told the one of its stage 1
    lora_rank    base: 0 trains whole layers, else low-rank adapters on every linear layer but the language head
    end_to_end   base: stage 1 trains everything on one fixed sentence (the published e2e ablation)
    """

    model: Model
    data: str
    out: str
    start: str | None = None
    language: str | None = None
    val: str | None = None
    sets: tuple[str, ...] = ()
    drawn: int = 320
    absent: bool = True
    steps: int | None = None
    epochs: int | None = None
    minutes: float | None = None
    batch: int = 12
    accumulate: int = 1
    rate: float = 1e-3
    encoder_rate: float = 0.15
    frozen_blocks: int = 4
    weight_decay: float = 0.02
    warmup: float = 0.02
    clip: float = 1.0
    ema: float = 0.998
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    seed: int = 0
    workers: int = 1
    save_every: int = 100
    look_every: int = 200
    keep_norms: bool = False
    agree: int = 0
    fusion: Fusion = "change_aware"
    lora_rank: int = 0
    end_to_end: bool = False

    def __post_init__(self) -> None:
        """Raise QueryError for numbers that mean nothing."""
        told = [name for name in ("steps", "epochs", "minutes") if getattr(self, name) is not None]
        if len(told) != 1:
            raise QueryError(
                "config",
                found=" and ".join(told) or "neither steps, epochs nor minutes",
                wanted="exactly one of steps, epochs, minutes",
                remedy="write one of them",
            )
        for name in ("batch", "accumulate", "save_every", "look_every"):
            _positive(name, getattr(self, name))
        _positive(told[0], getattr(self, told[0]))
        _positive("rate", self.rate)
        if self.model == "nano":
            for name in ("lora_rank", "end_to_end"):
                if value := getattr(self, name):
                    _refuse(name, value, "it of base alone")
        for name, (least, most) in _WITHIN.items():
            value = getattr(self, name)
            if not least <= value <= most or value == math.inf:
                _refuse(name, value, f"{least} to {most}" if most < math.inf else f"{least} or more")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def read_config(path: Path, **told: object) -> StageConfig:
    """The stage that a file describes; `told` (of the command line, None = not said) goes before it.

    Raises QueryError for a file that does not read, an unknown key, a missing one and a value of another kind.
    """
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise QueryError(path, found="no such file", wanted="a TOML file", remedy="see configs/") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise QueryError(
            path, found=f"a file that does not read ({error})", wanted="TOML", remedy="see configs/nano_stage1.toml"
        ) from None
    document |= {name: value for name, value in told.items() if value is not None}
    if any(told.get(name) is not None for name in ("steps", "minutes", "epochs")):
        for name in ("steps", "minutes", "epochs"):
            if told.get(name) is None:
                document.pop(name, None)
    return _filled(document, path)


def _filled(document: Mapping[str, Any], path: Path) -> StageConfig:
    known = {one.name: one for one in fields(StageConfig)}
    for name in document:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            remedy = f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
            raise QueryError(f"{path}: {name}", found="an unknown key", wanted="one that geomtrs knows", remedy=remedy)
    values: dict[str, Any] = {  # Any: each is checked below
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    for name, value in values.items():
        _same_kind(path, name, value, str(known[name].type))
    try:
        return StageConfig(**values)
    except TypeError as error:
        raise QueryError(
            path, found=str(error), wanted="model, data and out at least", remedy="see configs/nano_stage1.toml"
        ) from None


_KINDS: Mapping[str, tuple[type, ...]] = {
    "int": (int,), "int | None": (int,), "float": (int, float), "float | None": (int, float), "str": (str,),
    "str | None": (str,), "bool": (bool,), "tuple[str, ...]": (tuple,),
}  # fmt: skip
_ANY = 0, math.inf
_WITHIN: Mapping[str, tuple[int, float]] = {
    "drawn": _ANY, "agree": _ANY, "clip": _ANY, "encoder_rate": _ANY, "weight_decay": _ANY, "seed": _ANY,
    "workers": _ANY, "lora_rank": _ANY, "warmup": (0, 1), "ema": (0, 1), "frozen_blocks": (0, 16),
}  # fmt: skip
_CHOICES = {"Model": Model, "Fusion": Fusion}


def _same_kind(path: Path, name: str, value: object, kind: str) -> None:
    choices = getattr(_CHOICES.get(kind), "__args__", ("auto", "fp32", "bf16") if kind.startswith("Literal") else None)
    wanted = _KINDS.get(kind)
    wrong = value not in choices if choices else wanted and not isinstance(value, wanted)
    wrong = wrong or (isinstance(value, tuple) and not all(isinstance(one, str) for one in value))
    if wrong or (isinstance(value, bool) and kind != "bool"):
        text = ", ".join(choices) if choices else "a list of names" if wanted == (tuple,) else kind
        raise QueryError(f"{path}: {name}", found=repr(value), wanted=text, remedy="correct it")


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:  # no number (NaN) is not either
        _refuse(name, value, "more than 0")


def _refuse(name: str, value: object, wanted: str) -> NoReturn:
    raise QueryError(f"config: {name}", found=repr(value), wanted=wanted, remedy="correct it")
