"""Swin-B as MTRefSeg-R1 uses it: window 12, four outputs with a norm each (mtrefseg-r1 §3.1; Liu et al. 2021).

Ours rather than a library's: the published maps are padded after the norm and padded places take part in attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_MASKED = -100.0  # added between places that lie apart on the ground (§3.1), not minus infinity


@dataclass(frozen=True, slots=True)
class SwinParams:
    """Sizes of the encoder; the defaults are the published ones."""

    width: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 12


class WindowAttention(nn.Module):
    """Self-attention inside windows of `window` x `window` with a learned bias for each relative place."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        """Keys as published: qkv, proj, relative_position_bias_table and its index, a buffer."""
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_places(window))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Windows (N, W, C), W = window², mask (windows of one image, W, W) or None → the same shape."""
        count, size, width = x.shape
        q, k, v = self.qkv(x).view(count, size, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        bias = bias.view(size, size, self.heads).permute(2, 0, 1)[None].to(q.dtype)  # (1, heads, W, W)
        if mask is not None:
            bias = (bias + mask[:, None].to(q.dtype)).repeat(count // len(mask), 1, 1, 1)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        projected: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return projected


class SwinBlock(nn.Module):
    """x + attention(norm(x)); x + mlp(norm(x)); every second block looks through windows shifted by half."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        """`shift` in places: 0 or half a window."""
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, H, W, C) → the same shape; `mask` is the stage's, used where windows are shifted."""
        _, height, width, _ = x.shape
        y = nn.functional.pad(self.norm1(x), (0, 0, 0, -width % self.window, 0, -height % self.window))
        if self.shift:
            y = y.roll((-self.shift, -self.shift), (1, 2))
        y = self.attn(to_windows(y, self.window), mask if self.shift else None)
        y = from_windows(y, self.window, len(x), height, width)
        if self.shift:
            y = y.roll((self.shift, self.shift), (1, 2))
        x = x + y[:, :height, :width]
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        """Keys fc1 and fc2."""
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) → (…, C)."""
        result: Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return result


class PatchMerging(nn.Module):
    """Four neighbours become one place of twice the width; odd sides are padded by one."""

    def __init__(self, width: int) -> None:
        """Keys norm and reduction."""
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H / 2, W / 2, 2 C)."""
        x = nn.functional.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        four = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        result: Tensor = self.reduction(self.norm(four))
        return result


class PatchEmbed(nn.Module):
    """4 x 4 pixels become one place; a norm follows."""

    def __init__(self, width: int) -> None:
        """Keys proj and norm."""
        super().__init__()
        self.proj, self.norm = nn.Conv2d(3, width, 4, stride=4), nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, ceil(H / 4), ceil(W / 4), C)."""
        image = nn.functional.pad(image, (0, -image.shape[3] % 4, 0, -image.shape[2] % 4))
        result: Tensor = self.norm(self.proj(image).permute(0, 2, 3, 1))
        return result


class SwinStage(nn.Module):
    """Blocks at one width, and the merging that leads to the next stage."""

    def __init__(self, width: int, depth: int, heads: int, window: int, *, last: bool) -> None:
        """Keys blocks and, but for the last stage, downsample."""
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(SwinBlock(width, heads, window, (i % 2) * (window // 2)) for i in range(depth))
        self.downsample = None if last else PatchMerging(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape; merging is left to the caller, who keeps this map."""
        mask = shift_mask(x.shape[1], x.shape[2], self.window).to(x.device)
        for block in self.blocks:
            x = block(x, mask)
        return x


class Swin(nn.Module):
    """An image to four maps at strides 4, 8, 16 and 32."""

    def __init__(self, params: SwinParams | None = None) -> None:
        """Keys as in the published checkpoint below `model.vision_tower.`."""
        super().__init__()
        p = params or SwinParams()
        widths = [p.width << level for level in range(len(p.depths))]
        last = len(widths) - 1
        self.patch_embed = PatchEmbed(p.width)
        self.layers = nn.ModuleList(
            SwinStage(width, depth, heads, p.window, last=level == last)
            for level, (width, depth, heads) in enumerate(zip(widths, p.depths, p.heads, strict=True))
        )
        for level, width in enumerate(widths):
            self.add_module(f"norm{level}", nn.LayerNorm(width))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised image (B, 3, H, W) → maps (B, C << l, H / (4 << l), W / (4 << l)), sides rounded up.

        Each output has a norm of its own; the map that goes on to the next stage has none.
        """
        x, maps = self.patch_embed(image), []
        for level, stage in enumerate(self.layers):
            x = stage(x)
            maps.append(self.get_submodule(f"norm{level}")(x).permute(0, 3, 1, 2).contiguous())
            assert isinstance(stage, SwinStage)
            x = stage.downsample(x) if stage.downsample is not None else x
        return maps


def relative_places(window: int) -> Tensor:
    """(W, W) int64, W = window²: row of the bias table for each pair of places of a window."""
    place = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    apart = place[:, :, None] - place[:, None, :] + window - 1  # (2, W, W), rows then columns
    return apart[0] * (2 * window - 1) + apart[1]


def shift_mask(height: int, width: int, window: int) -> Tensor:
    """(windows, W, W): -100 between places of a shifted map (H, W, padded to windows) that are no neighbours."""
    shift = window // 2
    regions = []
    for side in (height, width):
        padded = side + -side % window
        place = torch.arange(padded)
        regions.append((place >= padded - window).long() + (place >= padded - shift).long())
    region = to_windows((3 * regions[0][:, None] + regions[1])[None, :, :, None], window)[..., 0]  # (windows, W)
    return torch.where(region[:, None] == region[:, :, None], 0.0, _MASKED)


def to_windows(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C), sides multiples of the window → (windows, window², C)."""
    b, height, width, c = x.shape
    x = x.view(b, height // window, window, width // window, window, c)
    return x.transpose(2, 3).reshape(-1, window * window, c)


def from_windows(x: Tensor, window: int, batch: int, height: int, width: int) -> Tensor:
    """What `to_windows` cut, put together: (B, H, W, C) with sides rounded up to windows."""
    rows, cols = -(-height // window), -(-width // window)
    x = x.view(batch, rows, cols, window, window, x.shape[-1]).transpose(2, 3)
    return x.reshape(batch, rows * window, cols * window, x.shape[-1])
