"""A tile of any size in the model's square and back, half-pixel exact (mtrefseg-r1 §2.1; case C13)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Of 8-bit R, G, B; padding comes before normalisation, so a padded place holds -mean / std.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where an image of height x width lies in a square: its box there, pixels."""

    height: int
    width: int
    side: int
    box_height: int
    box_width: int
    top: int
    left: int

    @classmethod
    def of(cls, height: int, width: int, side: int) -> Letterbox:
        """The longer side fills the square, the other is cut to whole pixels; an odd rest goes below and right."""
        if width > height:
            box_width, box_height = side, max(1, int(height * (side / width)))
        else:
            box_width, box_height = max(1, int(width * (side / height))), side
        return cls(height, width, side, box_height, box_width, (side - box_height) // 2, (side - box_width) // 2)

    def enter(self, images: Tensor) -> Tensor:
        """8-bit images (B, 3, height, width) → normalised (B, 3, side, side), bilinear without antialiasing."""
        x = images.float()
        if (self.box_height, self.box_width) != (self.height, self.width):
            size = (self.box_height, self.box_width)
            x = torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False).round()
        below, right = self.side - self.top - self.box_height, self.side - self.left - self.box_width
        x = torch.nn.functional.pad(x, (self.left, right, self.top, below))
        mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        return (x - mean) / std

    def enter_mask(self, masks: Tensor) -> Tensor:
        """Masks (B, height, width) of any integer type → (B, side, side): nearest places, nothing around them."""

        def places(box: int, source: int) -> Tensor:
            return (torch.arange(box, dtype=torch.float64) * (source / box)).floor().long().clamp(max=source - 1)

        rows, cols = places(self.box_height, self.height), places(self.box_width, self.width)
        inside = masks[:, rows][:, :, cols]
        square = masks.new_zeros((len(masks), self.side, self.side))
        square[:, self.top : self.top + self.box_height, self.left : self.left + self.box_width] = inside
        return square

    def leave(self, logits: Tensor) -> Tensor:
        """Logits (B, Q, h, w) over the whole square, of any stride → (B, Q, height, width)."""
        square = torch.nn.functional.interpolate(
            logits, size=(self.side, self.side), mode="bilinear", align_corners=False
        )
        rows, cols = slice(self.top, self.top + self.box_height), slice(self.left, self.left + self.box_width)
        inside = square[..., rows, cols]
        if inside.shape[-2:] == (self.height, self.width):
            return inside
        size = (self.height, self.width)
        return torch.nn.functional.interpolate(inside, size=size, mode="bilinear", align_corners=False)
