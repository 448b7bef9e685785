"""From token states and image maps to mask logits and existence: presence at each date first, change from both.

Presence of the referred thing at each date is read from that date's own pixels, so every single-date label teaches
change (single-temporal supervision, Zheng et al. 2021, arXiv 2108.07002). With presence logits l1, l2 and the fused
maps F(1→2), F(2→1):

    appeared    = softmin(l2, -l1) + v · F(1→2)
    disappeared = softmin(l1, -l2) + v · F(2→1)
    changed     = softmax of the two
    replaced    = softmin(l1 of the thing before, l2 of the thing after) + v · F(1→2)

Swapping the dates swaps appeared and disappeared by construction.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

DIRECTIONS = ("appeared", "disappeared", "changed", "replaced")


class ImageMaps(NamedTuple):
    """What the image gives to every sentence; `coarse` are stride-32 maps of F(1→2) and F(2→1)."""

    before: Tensor  # (B, D, H/4, W/4) pixel embedding of the first date
    after: Tensor  # (B, D, H/4, W/4) of the second
    forward: Tensor  # (B, D, H/4, W/4) change from first to second
    backward: Tensor  # (B, D, H/4, W/4) change from second to first
    coarse_forward: Tensor  # (B, D, H/32, W/32)
    coarse_backward: Tensor  # (B, D, H/32, W/32)


class SentenceQuery(NamedTuple):
    """What a sentence asks of any image; N sentences (or B x Q of them, flattened alike for all fields)."""

    thing: Tensor  # (N, D + 1) presence query and bias of the thing referred to
    source: Tensor  # (N, D + 1) of the thing it replaced
    change: Tensor  # (N, D) query on the fused maps
    direction: Tensor  # (N, 4) logits over DIRECTIONS


class Answer(NamedTuple):
    """Logits of one batch of images and Q sentences each; presence only where a decoder tells it."""

    mask: Tensor  # (B, Q, H/4, W/4)
    existence: Tensor  # (B, Q); infinite where a decoder has no say in it
    presence_before: Tensor | None = None  # (B, Q, H/4, W/4)
    presence_after: Tensor | None = None  # (B, Q, H/4, W/4)


class SentenceHead(nn.Module):
    """Token states → queries: learned slots (thing, source, change) read the tokens by cross-attention."""

    def __init__(self, text_width: int, width: int, *, hidden: int = 192, layers: int = 2) -> None:
        """`width` is that of the pixel embedding."""
        super().__init__()
        self.project = nn.Linear(text_width, hidden)
        self.slots = nn.Parameter(torch.randn(3, hidden) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(hidden, 4, 2 * hidden, dropout=0.1, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.thing = nn.Linear(hidden, width + 1)
        self.source = nn.Linear(hidden, width + 1)
        self.change = nn.Linear(hidden, width)
        self.direction = nn.Linear(hidden, len(DIRECTIONS))

    def forward(self, states: Tensor, real: Tensor | None = None) -> SentenceQuery:
        """Token states (N, L, text width), real (N, L) bool → queries of N sentences; without it, all tokens are real.

        Not to be told of padding where there is none saves half a second: torch imports its compiler to look at it.
        """
        memory = self.project(states)
        x = self.slots.expand(len(states), -1, -1)  # (N, 3, hidden)
        padding = None if real is None else ~real
        for layer in self.layers:
            x = layer(x, memory, memory_key_padding_mask=padding)
        thing, source, change = self.norm(x).unbind(1)
        return SentenceQuery(self.thing(thing), self.source(source), self.change(change), self.direction(change))


def softmin(a: Tensor, b: Tensor) -> Tensor:
    """Smooth minimum of two logits: the logit that both hold, when they are independent and sure."""
    return -torch.logaddexp(-a, -b)


class PresenceMaskDecoder(nn.Module):
    """Sentence queries x image maps → mask logits at stride 4 and an existence logit."""

    def __init__(self, width: int, *, heads: int = 4) -> None:
        """`width` of the pixel embedding and of the queries."""
        super().__init__()
        self.look = nn.MultiheadAttention(width, heads, batch_first=True)
        self.refine = nn.Linear(2 * width, width)
        nn.init.zeros_(self.refine.weight)  # the image refines the change query only once training asks for it
        nn.init.zeros_(self.refine.bias)
        self.existence = nn.Sequential(nn.Linear(3 * width + 2, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, maps: ImageMaps, query: SentenceQuery) -> Answer:
        """Fields of `query` are (B, Q, …); maps are (B, …). Nothing of one sentence reaches another."""
        width = maps.before.shape[1]
        direction = query.direction.softmax(-1)[..., None, None]  # (B, Q, 4, 1, 1)
        thing, bias = query.thing[..., :width], query.thing[..., width, None, None]
        source, source_bias = query.source[..., :width], query.source[..., width, None, None]

        def dot(q: Tensor, m: Tensor) -> Tensor:
            return torch.einsum("bqd,bdhw->bqhw", q * width**-0.5, m)

        before, after = dot(thing, maps.before) + bias, dot(thing, maps.after) + bias
        forward_query, forward_seen = self._look(query.change, maps.coarse_forward)
        backward_query, backward_seen = self._look(query.change, maps.coarse_backward)
        change_forward, change_backward = dot(forward_query, maps.forward), dot(backward_query, maps.backward)
        appeared = softmin(after, -before) + change_forward
        disappeared = softmin(before, -after) + change_backward
        replaced = softmin(dot(source, maps.before) + source_bias, after) + change_forward
        changed = torch.logaddexp(appeared, disappeared)
        mask = (
            direction[:, :, 0] * appeared
            + direction[:, :, 1] * disappeared
            + direction[:, :, 2] * changed
            + direction[:, :, 3] * replaced
        )  # (B, Q, H/4, W/4)
        backwards = query.direction.softmax(-1)[..., 1:2]
        seen = forward_seen * (1 - backwards) + backward_seen * backwards
        existence = self.existence(torch.cat([query.thing[..., :width], query.change, seen, _peaks(mask)], -1))
        return Answer(mask, existence[..., 0], before, after)

    def _look(self, change: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """The change query after a look at the coarse map: refined (B, Q, D), and what it saw (B, Q, D)."""
        memory = coarse.flatten(2).transpose(1, 2)  # (B, H W / 1024, D)
        seen, _ = self.look(change, memory, memory, need_weights=False)
        return change + self.refine(torch.cat([change, seen], -1)), seen


def _peaks(mask: Tensor) -> Tensor:
    """(B, Q, 2): highest logit after 4 x 4 averaging and the mean over the tile, without gradient to the mask."""
    logits = mask.detach().clamp(-12, 12)
    side = 4 if min(logits.shape[-2:]) >= 4 else 1
    smooth = nn.functional.avg_pool2d(logits, side)
    return torch.stack([smooth.amax((-2, -1)), logits.sigmoid().mean((-2, -1))], -1)
