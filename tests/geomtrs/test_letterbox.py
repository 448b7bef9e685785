"""Images and masks in the model's square, against what the published code made of them (parity.md §4.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from geomtrs.models.letterbox import MEAN, STD, Letterbox
from tests.geomtrs.parity import uniform

PARITY = Path(__file__).parents[1] / "data" / "parity"
CASES = json.loads((PARITY / "preprocess.json").read_text(encoding="utf-8"))["cases"]
SMALL = [case for case in CASES if case["size"] == 64]


def stored(name: str) -> NDArray[np.uint8]:
    with np.load(PARITY / "preprocess.npz") as arrays:
        found: NDArray[np.uint8] = arrays[name]
    return found


def image(case: dict[str, Any]) -> torch.Tensor:  # Any: JSON values
    u = uniform(f"input:pre.img{case['case']}", (*case["in_hw"], 3))
    grey = np.floor((u + 1) * np.float32(128)).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(grey.transpose(2, 0, 1)))[None]


def entered(case: dict[str, Any]) -> torch.Tensor:
    return Letterbox.of(case["in_hw"][0], case["in_hw"][1], case["size"]).enter(image(case))[0]


def as_bytes(normalised: torch.Tensor) -> NDArray[np.int16]:
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    grey: NDArray[np.int16] = (normalised * std + mean).round().numpy().astype(np.int16)
    return grey


@pytest.mark.parametrize("case", CASES, ids=lambda c: "x".join(map(str, c["in_hw"])))
def test_images_lie_in_the_published_box(case: dict[str, Any]) -> None:
    box = Letterbox.of(case["in_hw"][0], case["in_hw"][1], case["size"])
    found = [box.top, box.top + box.box_height, box.left, box.left + box.box_width]
    assert found == case["content_box_y0y1x0x1"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "x".join(map(str, c["in_hw"])))
def test_images_are_resized_within_one_grey_level_of_the_published_code(case: dict[str, Any]) -> None:
    small = case["size"] == 64
    wanted = stored(f"c{case['case']}_uint8_chw" if small else f"c{case['case']}_uint8_chw_s16").astype(np.int16)
    step = 1 if small else 16
    assert np.abs(as_bytes(entered(case))[:, ::step, ::step] - wanted).max() <= 1


@pytest.mark.parametrize("case", CASES, ids=lambda c: "x".join(map(str, c["in_hw"])))
def test_normalised_images_have_the_published_statistics(case: dict[str, Any]) -> None:
    found, wanted = entered(case), case["stats_norm"]
    assert float(found.mean()) == pytest.approx(wanted["mean"], abs=5e-3)  # a third of a grey level
    assert float(found.min()) == pytest.approx(wanted["min"], abs=1e-5)


@pytest.mark.parametrize("case", SMALL, ids=lambda c: "x".join(map(str, c["in_hw"])))
def test_masks_equal_those_of_the_published_code(case: dict[str, Any]) -> None:
    mask = torch.from_numpy(uniform(f"input:pre.mask{case['case']}", tuple(case["in_hw"])) > 0.2)
    found = Letterbox.of(case["in_hw"][0], case["in_hw"][1], 64).enter_mask(mask[None].byte())[0].numpy()
    assert np.array_equal(np.packbits(found), stored(f"c{case['case']}_mask"))
    assert int(found.sum()) == case["mask_ones"]
