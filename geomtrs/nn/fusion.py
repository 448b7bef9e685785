"""Temporal fusion: the maps of two dates become one map of what changed from the first to the second."""

from __future__ import annotations

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
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming normal, fan-out, ReLU gain for every convolution; biases 0; norms 1 and 0 (§3.2)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Two maps (B, C, H, W) → one (B, C, H, W)."""
        a, b = self.t1_proj(before), self.t2_proj(after)
        signed = b - a
        size = signed.abs()
        difference = self.diff_encoder(torch.cat([signed, size], 1))
        fused = self.fuse(torch.cat([a, b, size, difference], 1))
        gate = self.gate(torch.cat([a, b], 1))  # (B, C, 1, 1)
        return self.activation(self.out_norm(fused + gate * difference + (a + b) / 2))  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
