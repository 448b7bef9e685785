"""The authors' checkpoint as a folder of ours: safetensors, config, tokenizer, card (mtrefseg-r1 §9).

Every key is taken once, in the shape the network has; nothing is executed: torch files are read weights only.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geomtrs.errors import ModelError
from geomtrs.models.mtrefseg import BaseParams
from geomtrs.models.published import network_keys
from geomtrs.models.published_model import TOKENIZER, config_of, tokenizer_files, write_folder
from geomtrs.nn.phi import PhiParams

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLE = ("model.safetensors", "pytorch_model.bin", "mp_rank_00_model_states.pt")


def convert(checkpoint: Path, out: Path) -> list[str]:
    """Writes `out` from the authors' files; returns keys that were there and that the network does not know.

    checkpoint  a file, or a folder with one, with shards and their index, and with the tokenizer's files

    Raises ModelError naming the key, what was found and what is wanted, for a file that is cut off, a key that is
    missing or has another shape, a pickle of anything but tensors, and a folder without a tokenizer.
    """
    files = weight_files(checkpoint)
    tokenizer = tokenizer_files(files[0].parent)
    if not any(path.name == TOKENIZER[0] for path in tokenizer) and len(tokenizer) < 2:
        raise ModelError(
            files[0].parent,
            found="no tokenizer",
            wanted=f"{TOKENIZER[0]}, or {TOKENIZER[1]} and {TOKENIZER[2]}",
            remedy="copy them from the folder of Phi-1.5 that the checkpoint began with",
        )
    found: dict[str, Tensor] = {}
    origin: dict[str, Path] = {}
    for path in files:
        for key, value in read_file(path):
            if key in found:
                raise ModelError(path, found=f"{key} once more", wanted="every key once", remedy=f"see {origin[key]}")
            found[key], origin[key] = value, path
    params = params_of(found, checkpoint)
    keys = network_keys(params)
    weights = {ours: _taken(found, theirs, shape, checkpoint) for ours, (theirs, shape) in keys.items()}
    document = config_of(params, source=checkpoint.name)
    write_folder(out, weights, document, tokenizer=tokenizer, card=_card(checkpoint, params))
    return sorted(found.keys() - {theirs for theirs, _ in keys.values()})


def weight_files(checkpoint: Path) -> list[Path]:
    """The files that hold the weights: the one that was named, or a folder's single file or shards."""
    if checkpoint.is_file():
        return [checkpoint]
    for name in _INDEXES:
        if (checkpoint / name).is_file():
            index = json.loads((checkpoint / name).read_text(encoding="utf-8"))
            return [checkpoint / shard for shard in sorted(set(index["weight_map"].values()))]
    for name in _SINGLE:
        if (checkpoint / name).is_file():
            return [checkpoint / name]
    raise ModelError(
        checkpoint,
        found="no weights",
        wanted=f"a file, or a folder with one of {', '.join((*_SINGLE, *_INDEXES))}",
        remedy="check the path",
    )


def read_file(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Keys and tensors of one file; DeepSpeed keeps them below `module`. Raises ModelError for any other content."""
    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a pickle of another age: read or refused all the same
                state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise ModelError(path, found="no such file", wanted="a part of the checkpoint", remedy="copy it") from None
    except pickle.UnpicklingError as error:
        raise ModelError(
            path,
            found=f"a pickle of more than tensors ({str(error).splitlines()[0]})",
            wanted="tensors alone: nothing in a checkpoint is executed",
            remedy="take the checkpoint from where you trust it",
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ModelError(
            path,
            found=f"a file that does not read ({str(error).splitlines()[0]})",
            wanted="a whole checkpoint file",
            remedy="copy it again: it may be cut off",
        ) from None
    if isinstance(state, Mapping) and isinstance(state.get("module"), Mapping):
        state = state["module"]
    if not isinstance(state, Mapping):
        raise ModelError(path, found=type(state).__name__, wanted="keys and tensors", remedy="check the path")
    yield from ((str(key), value) for key, value in state.items() if isinstance(value, Tensor))


def params_of(found: Mapping[str, Tensor], checkpoint: Path) -> BaseParams:
    """Sizes that a checkpoint may choose: layers and vocabulary of the language model, the kind of fusion."""
    layers = {int(m[1]) for key in found if (m := re.match(r"model\.layers\.(\d+)\.", key))}
    embedding = found.get("model.embed_tokens.weight")
    if not layers or embedding is None:
        raise ModelError(
            checkpoint,
            found="no model.layers or no model.embed_tokens.weight",
            wanted="a checkpoint of MTRefSeg-R1 in the authors' layout",
            remedy="check that it is the whole model, not an adapter",
        )
    fusions = [key.split(".")[3] for key in found if key.startswith("change_feature_fusion.blocks.res2.")]
    marks = {"gate": "change_aware", "merge": "abs_diff", "fuse": "concat_conv"}  # the first that is there tells
    kind = next((kind for mark, kind in marks.items() if mark in fusions), "avg")
    language = replace(PhiParams(), layers=max(layers) + 1, vocabulary=len(embedding))
    return BaseParams(fusion=kind, language=language)


def _taken(found: Mapping[str, Tensor], key: str, shape: tuple[int, ...], checkpoint: Path) -> Tensor:
    value = found.get(key)
    if value is None or tuple(value.shape) != shape:
        raise ModelError(
            checkpoint,
            found=f"{key}: {'nothing' if value is None else tuple(value.shape)}",
            wanted=str(shape),
            remedy="take the checkpoint of the whole model, merged where it was trained with LoRA",
        )
    return value


def _card(checkpoint: Path, params: BaseParams) -> str:
    return (
        f"# base, converted from {checkpoint.name}\n\n"
        f"Fusion {params.fusion}, {params.language.layers} language layers. Licence and training data are those of the "
        "checkpoint it was made of; geomtrs changed names, not numbers.\n"
    )
