"""Weights and inputs "seeded by name", so that numbers of the published code can be met without its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn


def uniform(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Float32 in [-1, 1), a function of the key alone (Philox stream seeded by its SHA-256)."""
    seed = int.from_bytes(hashlib.sha256(key.encode("ascii")).digest()[:8], "little")
    raw = np.random.Philox(key=seed).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(40)).astype(np.float32) * np.float32(2**-24) * 2 - 1).reshape(shape)


# Norms over a whole map: weights and biases of three dimensions that count as those of a norm.
_JOINT_NORMS = tuple(f"mm_projector.norm{n}." for n in (1, 2))


def seeded_weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """The weight of that checkpoint key."""
    u = uniform(key, shape)
    joint = any(norm in key for norm in _JOINT_NORMS)
    if key.endswith("weight") and (len(shape) == 1 or joint):
        return torch.from_numpy(1 + np.float32(0.1) * u)
    if len(shape) >= 2 and not joint:
        return torch.from_numpy(np.float32(np.sqrt(3 / np.prod(shape[1:]))) * u)
    return torch.from_numpy(np.float32(0.05) * u)


def seeded_input(tag: str, shape: tuple[int, ...], low: float = -2, high: float = 2) -> Tensor:
    """The input of that tag, uniform in (low, high)."""
    u = uniform(f"input:{tag}", shape)
    return torch.from_numpy((u + 1) * np.float32((high - low) / 2) + np.float32(low))


def seed_by_name(module: nn.Module, prefix: str, spell: Callable[[str], str] = str) -> nn.Module:
    """The module in evaluation mode, each parameter seeded by its key in the published checkpoint; buffers stay.

    `spell` tells the published key of one of ours where a prefix does not suffice.
    """
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.copy_(seeded_weight(prefix + spell(key), tuple(parameter.shape)))
    return module.eval()
