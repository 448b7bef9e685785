"""Temporal fusion: the maps of two dates become one map of what changed from the first to the second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from geomtrs.nn.layers import ActivationName, ConvNormAct, NormName, make_activation, make_norm


class ChangeAwareFusion(nn.Module):
    """The change-aware block of MTRefSeg-R1 (mtrefseg-r1 §3.2): signed and absolute difference, gated.

    Not symmetric: `forward(a, b)` tells what changed from a to b, `forward(b, a)` the reverse.
    Defaults are the published ones; the embedded model passes batch norm and ReLU, which fold and cost less.
    """

    def __init__(self, channels: int, *, norm: NormName = "group", activation: ActivationName = "gelu") -> None:
        """All layers keep `channels`."""
        super().__init__()

        def layer(c_in: int, kernel: int) -> ConvNormAct:
            return ConvNormAct(c_in, channels, kernel, norm=norm, activation=activation)

        self.t1_proj = layer(channels, 1)
        self.t2_proj = layer(channels, 1)
        self.diff_encoder = nn.Sequential(layer(2 * channels, 3), layer(channels, 3))
        self.fuse = nn.Sequential(layer(4 * channels, 1), layer(channels, 3))
        hidden = max(channels // 4, 32)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(2 * channels, hidden, 1, bias=False),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )
        self.out_norm = make_norm(norm, channels)
        self.activation = make_activation(activation)
        start_weights(self)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Two maps (B, C, H, W) → one (B, C, H, W)."""
        a, b = self.t1_proj(before), self.t2_proj(after)
        signed = b - a
        size = signed.abs()
        difference = self.diff_encoder(torch.cat([signed, size], 1))
        fused = self.fuse(torch.cat([a, b, size, difference], 1))
        gate = self.gate(torch.cat([a, b], 1))  # (B, C, 1, 1)
        return self.activation(self.out_norm(fused + gate * difference + (a + b) / 2))  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class ConcatFusion(nn.Module):
    """`concat_conv` of the published ablation (mtrefseg-r1 §3.2): both maps side by side through convolutions."""

    def __init__(self, channels: int, *, norm: NormName = "group", activation: ActivationName = "gelu") -> None:
        """Keys fuse and out_norm."""
        super().__init__()
        layer = partial(ConvNormAct, norm=norm, activation=activation)
        self.fuse = nn.Sequential(layer(2 * channels, channels, 1), layer(channels, channels, 3))
        self.out_norm = make_norm(norm, channels)
        self.activation = make_activation(activation)
        start_weights(self)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Two maps (B, C, H, W) → one."""
        fused = self.fuse(torch.cat([before, after], 1)) + (before + after) / 2
        return self.activation(self.out_norm(fused))  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class DifferenceFusion(nn.Module):
    """`abs_diff` (§3.2): the absolute difference beside the mean; not to be told which date came first."""

    def __init__(self, channels: int, *, norm: NormName = "group", activation: ActivationName = "gelu") -> None:
        """Keys diff_encoder, merge and out_norm."""
        super().__init__()
        layer = partial(ConvNormAct, norm=norm, activation=activation)
        self.diff_encoder = nn.Sequential(layer(channels, channels, 3), layer(channels, channels, 3))
        self.merge = nn.Sequential(layer(2 * channels, channels, 1), layer(channels, channels, 3))
        self.out_norm = make_norm(norm, channels)
        self.activation = make_activation(activation)
        start_weights(self)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Two maps (B, C, H, W) → one."""
        difference = self.diff_encoder((after - before).abs())
        merged = self.merge(torch.cat([(before + after) / 2, difference], 1))
        return self.activation(self.out_norm(merged))  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class MeanFusion(nn.Module):
    """`avg` (§3.2): the mean of both dates; nothing to learn."""

    def __init__(self, channels: int, *, norm: NormName = "group", activation: ActivationName = "gelu") -> None:
        """As its siblings; any map is averaged."""
        super().__init__()
        del channels, norm, activation

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Two maps (B, C, H, W) → one."""
        return (before + after) / 2


# By the names of the published ablation; change_aware is its default.
FUSIONS: Mapping[str, Callable[..., nn.Module]] = {
    "change_aware": ChangeAwareFusion,
    "concat_conv": ConcatFusion,
    "abs_diff": DifferenceFusion,
    "avg": MeanFusion,
}


class OneWayFusion(nn.Module):
    """Published: a block of one kind at each level, from the first date to the second (mtrefseg-r1 §3.2)."""

    def __init__(self, widths: Sequence[int], kind: str = "change_aware") -> None:
        """`widths` from stride 4 to stride 32; raises KeyError for a kind that FUSIONS does not have."""
        super().__init__()
        self.blocks = nn.ModuleDict({f"res{i + 2}": FUSIONS[kind](width) for i, width in enumerate(widths)})

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Maps (2 B, C, h, w), first dates first → (B, C, h, w) each."""
        count = pyramid[0].shape[0] // 2
        return [fuse(m[:count], m[count:]) for fuse, m in zip(self.blocks.values(), pyramid, strict=True)]


class BothWaysFusion(nn.Module):
    """Embedded: each level is made narrow, then the change-aware block reads it forwards and backwards.

    Swapping the dates swaps the halves of the result, so *appeared* and *disappeared* swap by construction.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int], kind: str = "change_aware") -> None:
        """`channels` of the encoder and `widths` of the blocks, from stride 4 to stride 32; `kind` of FUSIONS."""
        super().__init__()
        self.reduce = nn.ModuleList(
            ConvNormAct(c, w, 1, norm="batch", activation="none") for c, w in zip(channels, widths, strict=True)
        )
        self.blocks = nn.ModuleList(FUSIONS[kind](w, norm="batch", activation="relu") for w in widths)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Maps (2 B, C, h, w), first dates first → (2 B, width, h, w): B from first to second, B the other way."""
        count = pyramid[0].shape[0] // 2  # not len(): tracing would make it a constant
        fused = []
        for level, reduce, block in zip(pyramid, self.reduce, self.blocks, strict=True):
            narrow = reduce(level)
            fused.append(block(narrow, torch.cat([narrow[count:], narrow[:count]])))
        return fused


def start_weights(fusion: nn.Module) -> None:
    """Kaiming normal, fan-out, ReLU gain for every convolution; biases 0; norms 1 and 0 (§3.2)."""
    for module in fusion.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
