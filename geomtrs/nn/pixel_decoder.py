"""Pixel decoders of the small model: feature pyramids of separable convolutions, top down."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from geomtrs.nn.layers import ConvNormAct, NormName, SeparableConv, upsample_to
from geomtrs.nn.mask_decoder import ImageMaps


class LightPixelDecoder(nn.Module):
    """Maps at strides 4, 8, 16, 32 → one map of `width` channels at stride 4, with context from all of them.

    Lin et al. 2017 (arXiv 1612.03144) with separable 5 x 5 smoothing in place of dense 3 x 3.
    """

    def __init__(self, channels: Sequence[int], width: int, *, norm: NormName = "batch") -> None:
        """`channels` from stride 4 to stride 32."""
        super().__init__()
        self.lateral = nn.ModuleList(ConvNormAct(c, width, 1, norm=norm, activation="none") for c in channels)
        self.smooth = nn.ModuleList(SeparableConv(width, width, norm=norm) for _ in channels)
        self.output = nn.Conv2d(width, width, 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Fine to coarse maps → (pixel embedding (B, D, H/4, W/4), coarsest map (B, D, H/32, W/32))."""
        levels = list(zip(maps, self.lateral, self.smooth, strict=True))
        coarse_map, lateral, smooth = levels[-1]
        coarsest: Tensor = smooth(lateral(coarse_map))
        x = coarsest
        for fine, lateral, smooth in reversed(levels[:-1]):
            y = lateral(fine)
            x = smooth(y + upsample_to(x, y))
        return self.output(x), coarsest


class PresencePixelDecoder(nn.Module):
    """One pyramid for what is there at each date, one for what changed between them."""

    def __init__(self, channels: Sequence[int], fused: Sequence[int], width: int) -> None:
        """`channels` of the encoder's maps and `fused` of the fused ones, from stride 4 to stride 32."""
        super().__init__()
        self.dates, self.changes = LightPixelDecoder(channels, width), LightPixelDecoder(fused, width)

    def forward(self, fused: Sequence[Tensor], pyramid: Sequence[Tensor]) -> ImageMaps:
        """Maps of both directions and of both dates, (2 B, C, h, w) each → what the presence mask decoder reads."""
        count = pyramid[0].shape[0] // 2
        embedding, _ = self.dates(pyramid)
        change, coarse = self.changes(fused)
        return ImageMaps(
            embedding[:count], embedding[count:], change[:count], change[count:], coarse[:count], coarse[count:]
        )
