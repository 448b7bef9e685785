"""The published checkpoint's names for what `MTRefSeg` calls its own way (mtrefseg-r1 §9)."""

from __future__ import annotations

import torch

from geomtrs.models.mtrefseg import BaseParams, build_base

SIDE_PX = 1024  # the projector's norms have a weight for each place, so no other size is taken

# Where each part lies in the published checkpoint; the first prefix that fits counts.
PUBLISHED_PREFIXES = {
    "encoder.": "model.vision_tower.",
    "language.projector.": "model.mm_projector.",
    "language.phi.": "model.",
    "language.conditioning.": "",
    "language.": "",
    "fusion.": "change_feature_fusion.",
    "mask_decoder.": "predictor.",
}


def published_key(key: str) -> str:
    """Our key as the published checkpoint spells it."""
    for ours, theirs in PUBLISHED_PREFIXES.items():
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def published_shapes(params: BaseParams | None = None) -> dict[str, tuple[int, ...]]:
    """Every key of a published checkpoint of these sizes, buffers among them, with its shape; takes no memory."""
    return dict(network_keys(params).values())


def network_keys(params: BaseParams | None = None) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Our key → (the published one, shape) of every parameter and buffer."""
    with torch.device("meta"):
        network = build_base(params or BaseParams())
    return {key: (published_key(key), tuple(value.shape)) for key, value in network.state_dict().items()}
