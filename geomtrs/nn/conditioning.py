"""From what the language model says of an expression to the query of the mask decoder (mtrefseg-r1 §3.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Resampler(nn.Module):
    """One look of the pooled sentence at the places of the coarsest fused map (Perceiver style)."""

    def __init__(self, width: int, heads: int) -> None:
        """Keys norm_media, norm_latents, to_q, to_kv, to_out."""
        super().__init__()
        self.heads = heads
        self.norm_media, self.norm_latents = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, places: Tensor, text: Tensor) -> Tensor:
        """Places (B, P, D), text (B, 1, D) → what it saw (B, 1, D); the text is among the keys."""
        latent = self.norm_latents(text)
        k, v = self.to_kv(torch.cat([self.norm_media(places), latent], 1)).chunk(2, -1)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.to_q(latent), k, v))
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        result: Tensor = self.to_out(seen.transpose(1, 2).flatten(2))
        return result


class ResamplerLayers(nn.Module):
    """Layers of look and feed-forward, each added to what went in, and a norm; published with one layer."""

    def __init__(self, width: int, heads: int, depth: int = 1) -> None:
        """Keys layers.N.0 (look), layers.N.1 (feed-forward) and norm."""
        super().__init__()

        def feed_forward() -> nn.Sequential:
            return nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width, bias=False), nn.GELU(), nn.Linear(width, width, bias=False)
            )

        self.layers = nn.ModuleList(nn.ModuleList([Resampler(width, heads), feed_forward()]) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, places: Tensor, text: Tensor) -> Tensor:
        """Places (B, P, D), text (B, 1, D) → (B, 1, D)."""
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            look, feed_forward = layer
            text = text + look(places, text)
            text = text + feed_forward(text)
        result: Tensor = self.norm(text)
        return result


class Conditioning(nn.Module):
    """The mean state of an expression, once as it is and once after a look at the image, becomes one mask query.

    The published code pushes every single token through the same look and drops the results; only the mean counts
    (§3.5, "dead computation"), so only the mean is computed.
    """

    def __init__(self, *, language: int = 2048, coarse: int = 1024, width: int = 512, query: int = 256) -> None:
        """Widths of the language states, the coarsest map, the look and the query."""
        super().__init__()
        self.text_projector = nn.Linear(language, width)
        self.origin_SEG_token_projector = nn.Linear(language, width)
        self.local_project = nn.Linear(coarse, width)
        self.d_layers = ResamplerLayers(width, heads=8)
        self.SEG_token_projector = nn.Linear(2 * width, query)

    def forward(self, pooled: Tensor, coarse: Tensor) -> Tensor:
        """Mean states (B, language) over the expression's places, fused coarsest map (B, C, h, w) → (B, 1, query)."""
        origin = self.origin_SEG_token_projector(pooled)[:, None]
        places = self.local_project(coarse.flatten(2).transpose(1, 2))
        detail = self.d_layers(places, self.text_projector(pooled)[:, None])
        query: Tensor = self.SEG_token_projector(torch.cat([origin, detail], -1))
        return query


def pooled(states: Tensor, spans: list[tuple[int, int]]) -> Tensor:
    """States (B, L, D) averaged over each row's expression, words and closing token alike (end exclusive)."""
    return torch.stack([row[first:last].mean(0) for row, (first, last) in zip(states, spans, strict=True)])
