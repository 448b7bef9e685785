"""Which models there are, what they are, and one of them loaded: our own and those that other packages register."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from geomtrs.device import Device, choose, plain, with_engine
from geomtrs.errors import MissingExtra, ModelError
from geomtrs.models import differencing
from geomtrs.models.base import ChangeModel, ModelCard, PairAnswers
from geomtrs.models.cards import BASE_CARD, NANO_CARD, weights_hash
from geomtrs.query import Query

GROUP = "geomtrs.models"
WEIGHTS = Path(__file__).parent / "weights"


class Family(Protocol):
    """What a package registers under the entry point group `geomtrs.models`."""

    @property
    def card(self) -> ModelCard:
        """What a user should know of it."""

    def load(self, weights: Path | None, device: Device) -> ChangeModel:
        """The model, ready to answer. `weights` is the folder the user named, None for the family's own."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A family of this package: its card and how it is loaded."""

    card: ModelCard
    loader: Callable[[Path | None, Device], ChangeModel]

    def load(self, weights: Path | None, device: Device) -> ChangeModel:
        """The model, ready to answer."""
        return self.loader(weights, device)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a worker comes to its model: picklable, and called once in each process.

    weights_hash  what the client found; a worker that sees other weights refuses to answer
    times         how many times as large the model is shown the pixels
    loaded        the model where it was loaded already; it stays behind when the recipe travels
    """

    name: str
    weights: str | None
    device: Device
    weights_hash: str
    queries: tuple[Query, ...]
    pairs: tuple[tuple[int, int], ...]
    times: int = 1
    loaded: ChangeModel | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Recipe], tuple[object, ...]]:
        """Travels without the model."""
        return Recipe, (self.name, self.weights, self.device, self.weights_hash, self.queries, self.pairs, self.times)

    def __call__(self) -> PairAnswers:
        """The model, with the sentences prepared. Raises ModelError where it cannot be had here as it was there."""
        model = self.loaded or last(self.name, self.weights, self.device, self.weights_hash)
        if model.weights_hash != self.weights_hash:
            raise ModelError(
                self.weights or self.name,
                found=f"weights {model.weights_hash[:12]} on this worker",
                wanted=f"weights {self.weights_hash[:12]}, as where the run began",
                remedy="install the same geomtrs on all workers",
            )
        return PairAnswers(model, model.prepare(self.queries), self.pairs, self.times)


def names() -> tuple[str, ...]:
    """All models that can be asked for, the built-in ones first."""
    return (*_built_in(), *sorted(_registered()))


def describe(name: str, *, weights: str | Path | None = None) -> ModelCard:
    """The card of a model; nothing is loaded. weights_hash is None where no weights are installed.

    Raises ModelError for an unknown name.
    """
    card = _family(name).card
    folder = Path(weights) if weights is not None else WEIGHTS / name
    found = _hash(folder / "config.json")
    if found is None:
        return card
    text = folder / "card.md"
    return replace(
        card,
        weights=str(folder),
        weights_hash=found,
        size_bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        text=text.read_text(encoding="utf-8") if text.is_file() else card.text,
    )


def load(
    name: str, *, weights: str | Path | None = None, device: str | Device = "auto", precision: str = "auto"
) -> ChangeModel:
    """The model, its weights checked by its family against their hashes before anything is made of them.

    weights    folder of a checkpoint of this family; None: the packaged one
    device     auto, cpu, cuda, cuda:N, or a Device that was chosen before
    precision  auto, fp32, bf16, fp16

    Raises ModelError for an unknown name (naming the nearest), for weights that are missing, damaged or foreign.
    """
    family = _family(name)
    folder = Path(weights) if weights is not None else None
    if folder is not None and not folder.exists():
        raise ModelError(
            folder, found="nothing", wanted=f"weights of {name}", remedy="check the path given to --weights"
        )
    chosen = device if isinstance(device, Device) else device_of(name, device, precision)
    try:
        model = family.load(folder, chosen)
    except (ModelError, MissingExtra):
        raise
    except MemoryError as error:
        raise ModelError(
            folder or name,
            found="not enough memory",
            wanted=f"room for {name}",
            remedy="close other programs or use --device cpu",
        ) from error
    # A loader may meet anything in a damaged file; the user gets one line, --debug the cause.
    except Exception as error:
        raise ModelError(
            folder or name,
            found=f"weights that do not load ({type(error).__name__}: {error})",
            wanted=f"whole weights of {name}",
            remedy="take them again from where they came, or leave --weights out",
        ) from error
    return model


@lru_cache(maxsize=1)
def last(name: str, weights: str | None, device: Device, weights_hash: str | None) -> ChangeModel:
    """The model of the last run in this process, or another one loaded: loading and compiling take a second or more."""
    del weights_hash  # other weights in the same folder are another model
    return load(name, weights=weights, device=device)


def device_of(
    name: str, device: str = "auto", precision: str = "auto", threads: int | None = None, engine: str = "auto"
) -> Device:
    """Where the model will run; the one family without torch does not import it, only nano has another engine."""
    if name == differencing.CARD.name:
        return plain(threads)
    chosen = choose(device, precision, threads)
    return with_engine(chosen, engine) if name == NANO_CARD.name else chosen


def _built_in() -> dict[str, Family]:
    return {
        "nano": BuiltIn(NANO_CARD, _load_nano),
        "base": BuiltIn(BASE_CARD, _load_base),
        "differencing": BuiltIn(differencing.CARD, _load_differencing),
    }


def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _built_in()}


def _family(name: str) -> Family:
    built_in = _built_in()
    if name in built_in:
        return built_in[name]
    registered = _registered()
    if name not in registered:
        known = (*built_in, *sorted(registered))
        near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
        remedy = f"did you mean {near[0]}?" if near else "see geomtrs model list"
        raise ModelError(f"model {name}", found="no such model", wanted=f"one of {', '.join(known)}", remedy=remedy)
    try:
        family: Family = registered[name].load()
    except Exception as error:  # another package's import may fail in any way; the user gets one line
        raise ModelError(
            f"model {name}",
            found=f"{registered[name].value} does not import ({type(error).__name__}: {error})",
            wanted="an installed family",
            remedy="reinstall the package it comes from",
        ) from error
    return family


def _load_differencing(weights: Path | None, device: Device) -> ChangeModel:
    if weights is not None:
        raise ModelError(
            weights, found="weights", wanted="none: differencing has nothing to learn", remedy="leave --weights out"
        )
    return differencing.Differencing()


def _load_nano(weights: Path | None, device: Device) -> ChangeModel:
    folder = weights or WEIGHTS / "nano"
    if not (folder / "model.safetensors").is_file():
        raise ModelError(
            folder,
            found="no model.safetensors",
            wanted="the weights of nano",
            remedy="reinstall geomtrs, name a folder with --weights, or ask --model differencing",
        )
    # torch is imported here and nowhere above: listing models costs nothing.
    from geomtrs.models.nano import load_nano

    return load_nano(folder, device)


def _load_base(weights: Path | None, device: Device) -> ChangeModel:
    if weights is None:
        raise ModelError(
            "model base",
            found="no weights",
            wanted="a folder that geomtrs model convert made",
            remedy="name it with --weights; geomtrs model show base says where weights are to be had",
        )
    from geomtrs.models.published_model import load_published

    return load_published(weights, device)


def _hash(config: Path) -> str | None:
    """The hash of a checkpoint's weights; None where its config.json does not read."""
    try:
        return weights_hash(json.loads(config.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
