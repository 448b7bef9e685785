"""Language tower of the small model: the first layers of a BERT encoder, token states out.

BERT: Devlin et al. 2019 (arXiv 1810.04805). Weights come from all-MiniLM-L6-v2 (Apache-2.0), its first layers only:
pooled sentence vectors do not separate "built" from "demolished", the token states do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class BertParams:
    """Size of the tower; defaults are those of MiniLM-L6 cut to four layers."""

    vocabulary: int = 30522
    width: int = 384
    layers: int = 4
    heads: int = 12
    hidden: int = 1536
    max_tokens: int = 128


class BertLayer(nn.Module):
    """Self-attention and feed-forward, each added and normed after (post-norm)."""

    def __init__(self, params: BertParams) -> None:
        """Separate query, key and value projections, as in the source weights."""
        super().__init__()
        self.heads = params.heads
        self.query = nn.Linear(params.width, params.width)
        self.key = nn.Linear(params.width, params.width)
        self.value = nn.Linear(params.width, params.width)
        self.attended = nn.Linear(params.width, params.width)
        self.attended_norm = nn.LayerNorm(params.width, eps=1e-12)
        self.grow = nn.Linear(params.width, params.hidden)
        self.shrink = nn.Linear(params.hidden, params.width)
        self.norm = nn.LayerNorm(params.width, eps=1e-12)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Tokens x (Q, L, D), real (Q, L) bool → (Q, L, D)."""

        def split(y: Tensor) -> Tensor:
            return y.view(*y.shape[:2], self.heads, -1).transpose(1, 2)  # (Q, heads, L, D / heads)

        attended = nn.functional.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x)), attn_mask=real[:, None, None, :]
        )
        x = self.attended_norm(x + self.attended(attended.transpose(1, 2).flatten(2)))
        y: Tensor = self.norm(x + self.shrink(nn.functional.gelu(self.grow(x))))
        return y


class BertTower(nn.Module):
    """Token states of a sentence."""

    def __init__(self, params: BertParams) -> None:
        """One sentence type, so its constant embedding is part of the position table."""
        super().__init__()
        self.params = params
        self.words = nn.Embedding(params.vocabulary, params.width)
        self.positions = nn.Parameter(torch.zeros(params.max_tokens, params.width))
        self.norm = nn.LayerNorm(params.width, eps=1e-12)
        self.layers = nn.ModuleList(BertLayer(params) for _ in range(params.layers))

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        """Token ids (Q, L) int64, real (Q, L) bool (False = padding) → states (Q, L, D)."""
        x: Tensor = self.norm(self.words(ids) + self.positions[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x, real)
        return x


def convert_minilm(state: dict[str, Tensor], params: BertParams) -> dict[str, Tensor]:
    """Keys of `sentence-transformers/all-MiniLM-L6-v2` → ours; the layers beyond `params.layers` are left out."""
    ours = {
        "words.weight": state["embeddings.word_embeddings.weight"],
        "positions": state["embeddings.position_embeddings.weight"][: params.max_tokens]
        + state["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": state["embeddings.LayerNorm.weight"],
        "norm.bias": state["embeddings.LayerNorm.bias"],
    }
    names = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attended": "attention.output.dense",
        "attended_norm": "attention.output.LayerNorm",
        "grow": "intermediate.dense",
        "shrink": "output.dense",
        "norm": "output.LayerNorm",
    }
    for i in range(params.layers):
        for name, theirs in names.items():
            for part in ("weight", "bias"):
                ours[f"layers.{i}.{name}.{part}"] = state[f"encoder.layer.{i}.{theirs}.{part}"]
    return ours
