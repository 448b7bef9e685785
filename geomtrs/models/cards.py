"""What a user should know of the two sizes of MTRefSeg-R1; told without torch, so that listing models costs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from geomtrs.models.base import ModelCard, TileSpec

NANO_CARD = ModelCard(
    name="nano",
    summary="MTRefSeg-R1 at a laptop's size: EfficientNet-Lite0, change-aware fusion, MiniLM, presence mask decoder",
    licence="research use only: some training sets allow no other (see its card)",
    trained_on="public change and land-cover sets, composites of them, drawn scenes",
    # 512 px tiles are the fastest on processors (cache); reads begin on multiples of 32 for one patch grid a scene.
    tile_spec=TileSpec(tile_px=512, halo_px=16, feather_px=16, gsd_m=(0.2, 30.0), batch=1, double_m=4.0),
    languages=("en",),
    asks_beside=True,
)

BASE_CARD = ModelCard(
    name="base",
    summary="MTRefSeg-R1 as published: Swin-B, change-aware fusion, Phi-1.5, masked-attention decoder; bring weights",
    licence="that of the weights you bring; none were published when this was written",
    trained_on="MTRefSeg-21K, where the weights are the authors'",
    tile_spec=TileSpec(tile_px=1024, halo_px=64, feather_px=32, gsd_m=(0.2, 10.0), batch=1),
    text=(
        "Weights: geomtrs model convert CHECKPOINT -o DIR makes DIR of the authors' files, then --model base "
        "--weights DIR.\nThe code and its data: github.com/LiBingyu01/MTRefSeg (arXiv 2606.00987).\n"
        "Memory: weights 6.6 GB in fp32, 3.3 GB in bf16, and about 8.4 GB or 4.4 GB at the peak on a processor.\n"
        "Time on two cores with AVX-512: 28 s per Mpx in fp32, 13 s in bf16 where the processor has it; a further "
        "sentence 3 % of that. On a GPU: not measured yet."
    ),
)


def weights_hash(config: Mapping[str, Any]) -> str:  # Any: JSON values
    """Digest of a checkpoint's config.json, which holds the hash of each of its files: so of everything learned."""
    return hashlib.blake2b(json.dumps(config, sort_keys=True).encode(), digest_size=16).hexdigest()
