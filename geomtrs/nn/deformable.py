"""The published pixel decoder: multi-scale deformable attention over three levels, one FPN step (mtrefseg-r1 §3.6).

Zhu et al. 2021 (deformable attention), Cheng et al. 2022 (Mask2Former); in plain PyTorch, on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geomtrs.nn.layers import upsample_to

HEADS, LEVELS, POINTS = 8, 3, 4
_TEMPERATURE = 10000.0


class DeformableAttention(nn.Module):
    """Each place reads a few learned offsets of every level."""

    def __init__(self, width: int) -> None:
        """Keys sampling_offsets, attention_weights, value_proj, output_proj."""
        super().__init__()
        self.sampling_offsets = nn.Linear(width, HEADS * LEVELS * POINTS * 2)
        self.attention_weights = nn.Linear(width, HEADS * LEVELS * POINTS)
        self.value_proj, self.output_proj = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.sampling_offsets.weight)
        angle = torch.arange(HEADS) * (2 * math.pi / HEADS)
        ring = torch.stack([angle.cos(), angle.sin()], -1)
        ring = (ring / ring.abs().amax(-1, keepdim=True))[:, None, None] * torch.arange(1, POINTS + 1)[:, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(ring.expand(HEADS, LEVELS, POINTS, 2).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)

    def forward(self, query: Tensor, centres: Tensor, value: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Query and value (B, P, D) over all levels, centres (P, 2) as x, y in 0..1 → (B, P, D).

        sizes  (height, width) of each level, in the order in which the places are laid out
        """
        b, places, width = query.shape
        # Places and what is read there in float32: bf16 cannot tell neighbours on a map of 128 apart.
        offsets = self.sampling_offsets(query).float().view(b, places, HEADS, LEVELS, POINTS, 2)
        weights = self.attention_weights(query).view(b, places, HEADS, LEVELS * POINTS).float().softmax(-1)
        weights = weights.view(b, places, HEADS, LEVELS, POINTS)
        values = self.value_proj(value).float().view(b, places, HEADS, width // HEADS)
        total = values.new_zeros(b * HEADS, width // HEADS, places)
        first = 0
        for level, (h, w) in enumerate(sizes):
            ground = values[:, first : first + h * w].permute(0, 2, 3, 1).reshape(b * HEADS, width // HEADS, h, w)
            first += h * w
            size = values.new_tensor([w, h])
            where = centres[:, None, None] + offsets[:, :, :, level] / size  # (B, P, heads, points, xy)
            grid = (2 * where - 1).transpose(1, 2).flatten(0, 1)  # (B heads, P, points, xy)
            read = nn.functional.grid_sample(ground, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            share = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]  # (B heads, 1, P, points)
            total = total + (read * share).sum(-1)
        result: Tensor = self.output_proj(total.view(b, width, places).transpose(1, 2).to(query.dtype))
        return result


class DeformableLayer(nn.Module):
    """Deformable self-attention and feed-forward, the norm after each sum."""

    def __init__(self, width: int, hidden: int) -> None:
        """Keys self_attn, norm1, linear1, linear2, norm2."""
        super().__init__()
        self.self_attn = DeformableAttention(width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor, position: Tensor, centres: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """A map `x` and its position encoding (B, P, D); values come from `x` alone."""
        x = self.norm1(x + self.self_attn(x + position, centres, x, sizes))
        result: Tensor = self.norm2(x + self.linear2(self.linear1(x).relu()))
        return result


class DeformableEncoder(nn.Module):
    """The layers, and an embedding of each level."""

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        """Keys level_embed and encoder.layers."""
        super().__init__()
        self.level_embed = nn.Parameter(torch.randn(LEVELS, width))
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(DeformableLayer(width, hidden) for _ in range(layers))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, D, h, w), coarsest first → the same shapes."""
        sizes = [(m.shape[2], m.shape[3]) for m in maps]
        x = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], 1)
        position = torch.cat(
            [sine_positions(m).flatten(1).T + self.level_embed[level] for level, m in enumerate(maps)], 0
        )[None]
        centres = torch.cat([_centres(h, w) for h, w in sizes]).to(x.device)
        layers = self.encoder.layers
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            x = layer(x, position, centres, sizes)
        parts = torch.split(x, [h * w for h, w in sizes], 1)
        return [p.transpose(1, 2).reshape(m.shape) for p, m in zip(parts, maps, strict=True)]


class LevelMaps(NamedTuple):
    """What the published mask decoder and the conditioning read of a pair of images."""

    features: Tensor  # (B, D, H/4, W/4)
    levels: list[Tensor]  # three maps (B, D, h, w), coarsest first
    coarse: Tensor  # (B, C, H/32, W/32) fused, as it came in


class DeformablePixelDecoder(nn.Module):
    """The fused pyramid → mask features at stride 4 and three levels for the mask decoder."""

    def __init__(self, channels: tuple[int, int, int, int] = (128, 256, 512, 1024), width: int = 256) -> None:
        """`channels` from stride 4 to stride 32."""
        super().__init__()
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1), nn.GroupNorm(32, width)) for c in reversed(channels[1:])
        )
        self.transformer = DeformableEncoder(width, 4 * width, layers=6)
        self.mask_features = nn.Conv2d(width, width, 1)
        self.adapter_1 = nn.Sequential(nn.Conv2d(channels[0], width, 1), nn.GroupNorm(32, width), nn.ReLU())
        self.layer_1 = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(32, width), nn.ReLU())

    def forward(self, fused: Sequence[Tensor], pyramid: Sequence[Tensor] = ()) -> LevelMaps:
        """Fused maps at strides 4, 8, 16, 32 → features and levels; the dates' own maps are not looked at."""
        del pyramid
        fine, *rest = fused
        levels = self.transformer([proj(m) for proj, m in zip(self.input_proj, reversed(rest), strict=True)])
        lateral = self.adapter_1(fine)
        merged = self.layer_1(lateral + upsample_to(levels[-1], lateral))
        return LevelMaps(self.mask_features(merged), levels, rest[-1])


def sine_positions(like: Tensor) -> Tensor:
    """Sine position encoding (D, h, w) of a map (B, D, h, w): the first half of the channels for y, then x (§3.6)."""
    _, width, h, w = like.shape
    half = width // 2
    speed = _TEMPERATURE ** (2 * (torch.arange(half, device=like.device, dtype=torch.float32) // 2) / half)

    def encoded(count: int) -> Tensor:
        place = torch.arange(1, count + 1, device=like.device, dtype=torch.float32)
        angle = (place / (count + 1e-6) * (2 * math.pi))[:, None] / speed
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], -1).flatten(1)  # (count, D / 2)

    y, x = encoded(h).T[:, :, None].expand(half, h, w), encoded(w).T[:, None].expand(half, h, w)
    return torch.cat([y, x]).to(like.dtype)


def _centres(height: int, width: int) -> Tensor:
    """(h w, 2): x, y of pixel centres in 0..1."""
    y, x = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).flatten(0, 1)
