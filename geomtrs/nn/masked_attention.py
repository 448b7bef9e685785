"""The published mask decoder: nine layers, each looking only where the mask so far says (mtrefseg-r1 §3.7).

Cheng et al. 2022, Mask2Former; one query from a sentence (stage 2), or a hundred learned ones (stage 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geomtrs.nn.deformable import LevelMaps, sine_positions
from geomtrs.nn.mask_decoder import Answer

LEVELS = 3


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn, self.norm = nn.MultiheadAttention(width, heads, batch_first=True), nn.LayerNorm(width)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        query = x + position
        result: Tensor = self.norm(x + self.self_attn(query, query, x, need_weights=False)[0])
        return result


class _CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn, self.norm = nn.MultiheadAttention(width, heads, batch_first=True), nn.LayerNorm(width)

    def forward(self, x: Tensor, position: Tensor, keys: Tensor, values: Tensor, blocked: Tensor) -> Tensor:
        mask = blocked.repeat_interleave(self.multihead_attn.num_heads, 0)  # the same for all heads
        seen = self.multihead_attn(x + position, keys, values, attn_mask=mask, need_weights=False)[0]
        result: Tensor = self.norm(x + seen)
        return result


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear1, self.linear2, self.norm = nn.Linear(width, hidden), nn.Linear(hidden, width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(x + self.linear2(self.linear1(x).relu()))
        return result


class _Perceptron(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = self.layers
        x = first(x)
        for layer in rest:
            x = layer(x.relu())
        return x


class MaskedAttentionDecoder(nn.Module):
    """Queries → mask logits, refined layer by layer."""

    def __init__(self, *, width: int = 256, heads: int = 8, hidden: int = 2048, layers: int = 9) -> None:
        """Keys as in the published checkpoint below `predictor.`, those that nothing reads among them."""
        super().__init__()
        self.transformer_self_attention_layers = nn.ModuleList(_SelfAttention(width, heads) for _ in range(layers))
        self.transformer_cross_attention_layers = nn.ModuleList(_CrossAttention(width, heads) for _ in range(layers))
        self.transformer_ffn_layers = nn.ModuleList(_FeedForward(width, hidden) for _ in range(layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.query_feat, self.query_embed = nn.Embedding(100, width), nn.Embedding(100, width)
        self.level_embed = nn.Embedding(LEVELS, width)
        self.mask_embed = _Perceptron(width, 3)
        # In the published checkpoint, and without any effect (§3.7): kept, so that it is loaded and saved whole.
        self.SEG_query_embed, self.new_query_embed = nn.Embedding(101, width), nn.Embedding(1, width)
        self.SEG_proj, self.CLASS_proj = _Perceptron(width, 2), _Perceptron(width, 2)

    def forward(self, maps: LevelMaps, query: Tensor) -> Answer:
        """Queries (B, Q, D) of sentences → logits of the last head; an empty mask is the published way of "no"."""
        mask = self.heads(maps, query)[-1]
        return Answer(mask, mask.new_full(mask.shape[:2], torch.inf))

    def heads(self, maps: LevelMaps, query: Tensor | None = None) -> list[Tensor]:
        """Mask logits (B, Q, H/4, W/4) of every prediction head, the last one the answer.

        query  (B, Q, D) from sentences, without a position; None: the hundred learned ones of stage 1 (§4)
        """
        features, levels, _ = maps
        if query is None:
            x = self.query_feat.weight.expand(len(features), -1, -1)
            position = self.query_embed.weight.expand(len(features), -1, -1)
        else:
            x, position = query, torch.zeros_like(query)
        values = [m.flatten(2).transpose(1, 2) + self.level_embed.weight[i] for i, m in enumerate(levels)]
        keys = [v + sine_positions(m).flatten(1).T for v, m in zip(values, levels, strict=True)]
        heads = [self._predict(x, features)]
        layers = zip(
            self.transformer_cross_attention_layers,
            self.transformer_self_attention_layers,
            self.transformer_ffn_layers,
            strict=True,
        )
        for number, (look, among, feed_forward) in enumerate(layers):
            level = number % LEVELS
            blocked = blocked_places(heads[-1], levels[level].shape[-2:])
            x = feed_forward(among(look(x, position, keys[level], values[level], blocked), position))
            heads.append(self._predict(x, features))
        return heads

    def _predict(self, x: Tensor, features: Tensor) -> Tensor:
        return torch.einsum("bqd,bdhw->bqhw", self.mask_embed(self.decoder_norm(x)), features)


def blocked_places(logits: Tensor, size: torch.Size) -> Tensor:
    """(B, Q, h w) bool: True where the mask so far says no; a query that would see nothing sees everything."""
    smaller = nn.functional.interpolate(logits.detach(), size=size, mode="bilinear", align_corners=False)
    blocked = (smaller.sigmoid() < 0.5).flatten(2)
    return blocked & ~blocked.all(-1, keepdim=True)
