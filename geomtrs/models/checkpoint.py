"""Weights on disk: safetensors, quantised where it costs nothing, checked against a hash before anything is read.

A folder holds `config.json` (family, params, calibration, hashes), `model.safetensors` (image parts and heads),
`language.safetensors` (the tower, a file of its own: only the step without pictures changes it),
`tokenizer.json` and `card.md`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from geomtrs.errors import ModelError
from geomtrs.hashing import file_hash

FILES = ("model.safetensors", "language.safetensors", "tokenizer.json")


def quantise(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with one float16 scale a row (`<name>.scale`), everything else as float16.

    Row-wise symmetric rounding moves MiniLM's token states by 0.6 % rms.
    """
    packed = {}
    for name, weight in weights.items():
        if weight.ndim == 2 and weight.numel() > 4096:
            scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127
            packed[name] = (weight / scale).round().to(torch.int8)
            packed[f"{name}.scale"] = scale.half()
        else:
            packed[name] = weight.half()
    return packed


def dequantise(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """float32 weights of `quantise`."""
    return {
        name: weight.float() * packed[f"{name}.scale"].float() if f"{name}.scale" in packed else weight.float()
        for name, weight in packed.items()
        if not name.endswith(".scale")
    }


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """A safetensors file of these weights, written under a temporary name and renamed."""
    temporary = path.with_suffix(".tmp")
    temporary.touch()
    mode = temporary.stat().st_mode
    save_file({k: v.contiguous() for k, v in weights.items()}, temporary)
    temporary.chmod(mode)  # safetensors makes files that nobody else may read
    temporary.replace(path)


def write_config(folder: Path, config: Mapping[str, Any], files: Sequence[str] = FILES) -> None:  # Any: JSON values
    """`config.json` with the hashes of these files, which lie in the folder now."""
    hashes = {name: file_hash(folder / name) for name in files}
    text = json.dumps({**config, "files": hashes}, indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def read_config(folder: Path, family: str, files: Sequence[str] = FILES) -> dict[str, Any]:  # Any: JSON values
    """The configuration of a checkpoint folder of this family, which holds `files`; ModelError for anything else."""
    path = folder / "config.json"
    wanted = f"a checkpoint folder of {family} with config.json, {', '.join(files)}"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(path, found="no such file", wanted=wanted, remedy="check --weights, or leave it out") from None
    except ValueError as error:
        raise ModelError(
            path, found=f"broken JSON ({error})", wanted=wanted, remedy="take the checkpoint again"
        ) from None
    found = config.get("family") if isinstance(config, dict) else None
    if found != family:
        raise ModelError(
            path, found=f"weights of {found or 'no model of ours'}", wanted=wanted, remedy="check --model and --weights"
        )
    return dict(config)


def read_weights(folder: Path, name: str, config: Mapping[str, Any]) -> dict[str, Tensor]:  # Any: JSON values
    """Float32 weights of one file, after its hash agreed with the configuration (E7); never unpickles (E8)."""
    data = verified_bytes(folder, name, config)
    try:
        return dequantise(load(data))
    except (SafetensorError, ValueError) as error:
        raise ModelError(
            folder / name,
            found=f"not safetensors ({error})",
            wanted="the file that config.json names",
            remedy="take the checkpoint again",
        ) from None


def verified_bytes(folder: Path, name: str, config: Mapping[str, Any]) -> bytes:  # Any: JSON values
    """The bytes of a checkpoint file whose hash config.json names; raises ModelError where they differ."""
    path, wanted = folder / name, str(config.get("files", {}).get(name))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(path, found=str(error), wanted="a readable file", remedy="take the checkpoint again") from None
    found = hashlib.blake2b(data, digest_size=16).hexdigest()
    if found != wanted:
        raise ModelError(
            path,
            found=f"hash {found[:12]}",
            wanted=f"hash {wanted[:12]} (config.json)",
            remedy="take the checkpoint again: this file is damaged or of another one",
        )
    return data
