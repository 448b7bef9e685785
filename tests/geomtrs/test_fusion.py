"""The change-aware fusion block against the published code's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from geomtrs.nn.fusion import ChangeAwareFusion
from tests.geomtrs.parity import seeded_input, seeded_weight

FIXTURE = Path(__file__).parents[1] / "data" / "parity" / "fusion_change_aware.npz"
LEVELS = {"res2": (32, 16), "res3": (64, 8), "res4": (24, 4), "res5": (128, 2)}
TOLERANCE = 5e-5


def published(level: str) -> ChangeAwareFusion:
    """The block with weights seeded by the published checkpoint's keys."""
    block = ChangeAwareFusion(LEVELS[level][0]).eval()
    prefix = f"change_feature_fusion.blocks.{level}."
    block.load_state_dict({k: seeded_weight(prefix + k, tuple(v.shape)) for k, v in block.state_dict().items()})
    return block


def inputs(level: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Both dates' seeded maps."""
    channels, side = LEVELS[level]
    first, second = (seeded_input(f"fusion.{level}.t{t}", (2, channels, side, side)) for t in (1, 2))
    return first, second


@pytest.mark.parametrize("level", LEVELS)
def test_fusion_agrees_with_the_published_code(level: str) -> None:
    with torch.inference_mode():
        found = published(level)(*inputs(level)).numpy()
    assert np.abs(found - np.load(FIXTURE)[f"y_{level}"]).max() < TOLERANCE


def test_fusion_of_swapped_dates_is_another_answer() -> None:
    first, second = inputs("res2")
    with torch.inference_mode():
        found = published("res2")(second, first).numpy()
    assert np.abs(found - np.load(FIXTURE)["y_res2"]).max() > 100 * TOLERANCE


def test_fusion_notices_one_moved_gate_bias() -> None:
    block = published("res2")
    with torch.inference_mode():
        bias = block.gate.get_parameter("3.bias")
        bias[0] += 0.05
        found = block(*inputs("res2")).numpy()
    assert np.abs(found - np.load(FIXTURE)["y_res2"]).max() > 10 * TOLERANCE
