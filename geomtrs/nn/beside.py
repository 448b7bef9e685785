"""What lies beside something else, read from the logits of both."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

# Cells of four pixels: 12 px are near (6 m at half a metre); a patch that is near is kept so far from there (32 m).
NEAR_CELLS, REACH_CELLS = 3, 16
# Added to the other's logits: a road need not be sure for a house to stand beside it. Measured over 120 sentences about
# composites of val: mIoU 13.8 asked whole, 19.0 without their neighbour, 19.9 with 0 here, 21.5 with 1, 20.3 with 2.
LENIENT = 1.5


def keep_beside(asked: Tensor, other: Tensor) -> Tensor:
    """Logits (B, H, W) of what is asked, no higher than the other's within NEAR_CELLS of the same patch.

    The other's count LENIENT more. A patch is followed for REACH_CELLS from where it is near: grey-scale reconstruction
    by dilation (Vincent 1993).
    """
    kept = torch.minimum(asked, max_pool2d(other + LENIENT, 2 * NEAR_CELLS + 1, stride=1, padding=NEAR_CELLS))
    for _ in range(REACH_CELLS):
        kept = torch.minimum(asked, max_pool2d(kept, 3, stride=1, padding=1))
    return kept
