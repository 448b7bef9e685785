"""Convolution, norm and activation as one layer, and the folding of its norm for inference."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

NormName = Literal["group", "batch", "none"]
ActivationName = Literal["gelu", "relu", "none"]


def group_count(channels: int) -> int:
    """32 where it divides the channels, else the first of 16, 8, 4, 2 that does, else 1 (mtrefseg-r1 §3.2)."""
    return next((groups for groups in (32, 16, 8, 4, 2) if channels % groups == 0), 1)


def make_norm(norm: NormName, channels: int) -> nn.Module:
    """The norm layer of that name; `none` passes its input through."""
    if norm == "group":
        return nn.GroupNorm(group_count(channels), channels)
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def make_activation(activation: ActivationName) -> nn.Module:
    """The activation of that name; `none` passes its input through."""
    if activation == "gelu":
        return nn.GELU()
    return nn.ReLU() if activation == "relu" else nn.Identity()


class ConvNormAct(nn.Sequential):
    """Convolution (padding k // 2) → norm → activation: "CNA" in mtrefseg-r1 §3.2; keys `0` and `1`."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        norm: NormName = "group",
        activation: ActivationName = "gelu",
        groups: int = 1,
    ) -> None:
        """A convolution without bias where a norm follows, since the norm has one."""
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups, bias=norm == "none"),
            make_norm(norm, c_out),
            make_activation(activation),
        )


class SeparableConv(nn.Sequential):
    """Depthwise k x k, then 1 x 1, each with norm and ReLU: wide context for few multiplications."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 5, *, norm: NormName = "batch") -> None:
        """Keys `0` (depthwise) and `1` (pointwise)."""
        super().__init__(
            ConvNormAct(c_in, c_in, kernel, norm=norm, activation="relu", groups=c_in),
            ConvNormAct(c_in, c_out, 1, norm=norm, activation="relu"),
        )


def fold_batch_norms(module: nn.Module) -> None:
    """Every batch norm that follows a convolution in a `ConvNormAct` becomes part of its weights, in place.

    The module must be in evaluation mode: running statistics are folded. The result is equal to 1e-5.
    """
    for child in module.modules():
        if isinstance(child, ConvNormAct) and isinstance(child[1], nn.BatchNorm2d):
            conv = child[0]
            assert isinstance(conv, nn.Conv2d)
            child[0] = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), child[1].eval())
            child[1] = nn.Identity()


def upsample_to(coarse: Tensor, fine: Tensor) -> Tensor:
    """The coarse map bilinearly enlarged to the size of the fine one (half-pixel centres)."""
    return nn.functional.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
