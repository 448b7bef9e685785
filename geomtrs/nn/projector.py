"""From the coarsest map of one date to 64 tokens of the language model (mtrefseg-r1 §3.3)."""

from __future__ import annotations

from torch import Tensor, nn


class TokenProjector(nn.Module):
    """Two strided convolutions with joint norms and a 1 x 1; no activation anywhere. Takes 32 x 32 maps only."""

    def __init__(self, c_in: int = 1024, width: int = 2048, side: int = 32) -> None:
        """The norms have a weight for each place, so the side of the map is fixed."""
        super().__init__()
        self.proj1 = nn.Conv2d(c_in, width, 3, stride=2, padding=1)
        self.norm1 = nn.LayerNorm([width, side // 2, side // 2])
        self.proj2 = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.norm2 = nn.LayerNorm([width, side // 4, side // 4])
        self.fc = nn.Conv2d(width, width, 1)

    def forward(self, coarse: Tensor) -> Tensor:
        """(B, c_in, 32, 32) → tokens (B, 64, width), row by row."""
        x = self.norm2(self.proj2(self.norm1(self.proj1(coarse))))
        tokens: Tensor = self.fc(x).flatten(2).transpose(1, 2)
        return tokens
