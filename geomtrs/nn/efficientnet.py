"""EfficientNet-Lite0 as a feature encoder: four maps, batch norms already folded into the convolutions.

Architecture: Tan and Le 2019 (arXiv 1905.11946), "lite" variant (ReLU6, no squeeze-and-excite, fixed stem).
Weights come folded (`convert_lite0`), so there is no norm to keep in a mode: training moves the folded
weights at a low rate, inference runs them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

# kernel, stride, expansion, output channels, repeats
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32
FEATURE_CHANNELS = (24, 40, 112, 320)
FEATURE_BLOCKS = (2, 4, 10, 15)  # last block at strides 4, 8, 16, 32
_BATCH_NORM_EPS = 1e-3


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding for even inputs: the odd pixel goes right and below."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        """Symmetric padding at stride 1, where both agree; explicit padding at stride 2."""
        super().__init__(c_in, c_out, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H / stride, W / stride) for H, W divisible by the stride."""
        if self.stride[0] == 2:
            total = self.kernel_size[0] - 2
            x = nn.functional.pad(x, (total // 2, total - total // 2) * 2)
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Expand 1 x 1, depthwise k x k, project 1 x 1; the input is added where shapes allow."""

    def __init__(self, c_in: int, c_out: int, *, kernel: int, stride: int, expansion: int) -> None:
        """Without `expand` where the expansion is 1."""
        super().__init__()
        width = c_in * expansion
        self.expand = SameConv(c_in, width, 1) if expansion != 1 else None
        self.depthwise = SameConv(width, width, kernel, stride=stride, groups=width)
        self.project = SameConv(width, c_out, 1)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H / stride, W / stride)."""
        wide = x if self.expand is None else nn.functional.relu6(self.expand(x))
        y: Tensor = self.project(nn.functional.relu6(self.depthwise(wide)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Maps of 24, 40, 112 and 320 channels at strides 4, 8, 16 and 32."""

    channels = FEATURE_CHANNELS
    mean, std = 127.0, 128.0  # of an 8-bit value, as in ImageNet training of the lite family

    def __init__(self) -> None:
        """2.94 M parameters, without the classifier."""
        super().__init__()
        self.stem = SameConv(3, STEM_CHANNELS, 3, stride=2)
        blocks: list[nn.Module] = []
        c_in = STEM_CHANNELS
        for kernel, stride, expansion, c_out, repeats in STAGES:
            for i in range(repeats):
                blocks.append(
                    InvertedResidual(c_in, c_out, kernel=kernel, stride=stride if i == 0 else 1, expansion=expansion)
                )
                c_in = c_out
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) float in 0..255, H and W divisible by 32 → maps at strides 4, 8, 16, 32."""
        x = nn.functional.relu6(self.stem((x - self.mean) / self.std))
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in FEATURE_BLOCKS:
                maps.append(x)
        return maps


def convert_lite0(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ImageNet state of `efficientnet-lite0` (batch norms apart) → our folded keys.

    Each batch norm y = (x - m) / sqrt(v + eps) * g + b becomes weight and bias of the convolution before it.
    The classifier (`_conv_head`, `_bn1` at the top, `_fc`) is left out. Raises KeyError for a missing key.
    """

    def fold(conv: str, norm: str, name: str) -> dict[str, Tensor]:
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPS)
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        return {f"{name}.weight": state[f"{conv}.weight"] * scale[:, None, None, None], f"{name}.bias": bias}

    folded = fold("_conv_stem", "_bn0", "stem")
    for i in range(sum(stage[-1] for stage in STAGES)):
        ours, theirs = f"blocks.{i}", f"_blocks.{i}"
        if f"{theirs}._expand_conv.weight" in state:
            folded |= fold(f"{theirs}._expand_conv", f"{theirs}._bn0", f"{ours}.expand")
        folded |= fold(f"{theirs}._depthwise_conv", f"{theirs}._bn1", f"{ours}.depthwise")
        folded |= fold(f"{theirs}._project_conv", f"{theirs}._bn2", f"{ours}.project")
    return folded
