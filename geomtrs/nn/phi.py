"""Phi-1.5 as MTRefSeg-R1 reads it: hidden states of given embeddings, causal, a prefix kept (mtrefseg-r1 §3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class PhiParams:
    """Sizes of the language model; the defaults are the published ones."""

    vocabulary: int = 50297
    width: int = 2048
    layers: int = 24
    heads: int = 32
    hidden: int = 8192
    rotary: int = 32  # dimensions of a head that are turned by place
    base: float = 10000.0


class Kept(NamedTuple):
    """Keys and values (B, heads, L, head) of one layer: what a prefix leaves for what follows it."""

    keys: Tensor
    values: Tensor


class PhiAttention(nn.Module):
    """Causal self-attention; the fused projection holds query, key and value head by head."""

    def __init__(self, params: PhiParams) -> None:
        """Keys query_key_value and dense."""
        super().__init__()
        self.heads, self.rotary, self.base = params.heads, params.rotary, params.base
        self.query_key_value = nn.Linear(params.width, 3 * params.width)
        self.dense = nn.Linear(params.width, params.width)

    def forward(self, x: Tensor, mask: Tensor, prefix: Kept | None) -> tuple[Tensor, Kept]:
        """States (B, L, D), additive mask (B or 1, 1, L, P + L) with P kept places → (B, L, D), and what is kept."""
        b, length, width = x.shape
        q, k, v = self.query_key_value(x).view(b, length, self.heads, 3, width // self.heads).permute(3, 0, 2, 1, 4)
        start = 0 if prefix is None else prefix.keys.shape[2]
        q, k = (self._turned(part, start) for part in (q, k))
        if prefix is not None:
            k, v = torch.cat([prefix.keys, k], 2), torch.cat([prefix.values, v], 2)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.dense(seen.transpose(1, 2).flatten(2)), Kept(k, v)

    def _turned(self, x: Tensor, start: int) -> Tensor:
        """Rotary places: dimension i of the first half turns with i of the second (half-split)."""
        half = self.rotary // 2
        speed = self.base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
        angle = torch.arange(start, start + x.shape[2], device=x.device, dtype=torch.float32)[:, None] * speed
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)


class PhiMlp(nn.Module):
    """Linear, GELU by tanh, linear."""

    def __init__(self, params: PhiParams) -> None:
        """Keys fc1 and fc2."""
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(params.width, params.hidden), nn.Linear(params.hidden, params.width)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        result: Tensor = self.fc2(nn.functional.gelu(self.fc1(x), approximate="tanh"))
        return result


class PhiLayer(nn.Module):
    """x + attention(h) + mlp(h), h = norm(x): both at once, one norm."""

    def __init__(self, params: PhiParams) -> None:
        """Keys input_layernorm, self_attn, mlp."""
        super().__init__()
        self.input_layernorm = nn.LayerNorm(params.width)
        self.self_attn, self.mlp = PhiAttention(params), PhiMlp(params)

    def forward(self, x: Tensor, mask: Tensor, prefix: Kept | None) -> tuple[Tensor, Kept]:
        """See `PhiAttention.forward`."""
        h = self.input_layernorm(x)
        seen, kept = self.self_attn(h, mask, prefix)
        return x + seen + self.mlp(h), kept


class Phi(nn.Module):
    """Embeddings in, hidden states after the last norm out."""

    def __init__(self, params: PhiParams | None = None) -> None:
        """Keys as in the published checkpoint below `model.`."""
        super().__init__()
        self.params = params or PhiParams()
        self.embed_tokens = nn.Embedding(self.params.vocabulary, self.params.width)
        self.layers = nn.ModuleList(PhiLayer(self.params) for _ in range(self.params.layers))
        self.final_layernorm = nn.LayerNorm(self.params.width)

    def forward(
        self, embeddings: Tensor, real: Tensor | None = None, prefix: list[Kept] | None = None
    ) -> tuple[Tensor, list[Kept]]:
        """Hidden states (B, L, D) of embeddings (B, L, D), and what every layer keeps for what may follow.

        real    (B, L) bool, False where a shorter sequence is padded at its end
        prefix  kept by an earlier call for the places before these
        """
        length = embeddings.shape[1]
        before = prefix[0].keys.shape[2] if prefix else 0
        allowed = torch.ones(length, before + length, dtype=torch.bool, device=embeddings.device).tril(before)[None]
        if real is not None:
            earlier = real.new_ones(len(real), before)
            allowed = allowed & torch.cat([earlier, real], 1)[:, None]
        least = torch.finfo(embeddings.dtype).min
        mask = torch.zeros_like(allowed, dtype=embeddings.dtype).masked_fill(~allowed, least)[:, None]
        x, kept = embeddings, []
        for number, layer in enumerate(self.layers):
            x, mine = layer(x, mask, prefix[number] if prefix else None)
            kept.append(mine)
        return self.final_layernorm(x), kept
