"""MTRefSeg-R1 as published: Swin-B, Phi-1.5 and a masked-attention decoder (arXiv 2606.00987; mtrefseg-r1 §1, §3).

    two dates ─ encoder ─┬─ projector ─► 64 tokens a date ─┐
                         └─ fusion ─► pixel decoder        ├─► language ─► mean over the expression ─ conditioning
                                        │                  │                                              │
                                        └──────────────────┴──────────────────── mask decoder ◄───────── query

`look` is for a pair of images, `ask` for each sentence: the images are encoded once (the published code does it
twice), the language model keeps what it read up to the expression, and nothing after the expression is computed,
since it cannot reach the mask (§2.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geomtrs.models.prompt import AFTER_IMAGES, BEFORE_IMAGES, BETWEEN_IMAGES
from geomtrs.nn.conditioning import Conditioning
from geomtrs.nn.deformable import DeformablePixelDecoder
from geomtrs.nn.fusion import FUSIONS
from geomtrs.nn.masked_attention import MaskedAttentionDecoder
from geomtrs.nn.phi import Kept, Phi, PhiParams
from geomtrs.nn.projector import TokenProjector
from geomtrs.nn.swin import Swin, SwinParams

SIDE_PX = 1024  # the projector's norms have a weight for each place, so no other size is taken

# Where each part lies in the published checkpoint; the first prefix that fits counts.
PUBLISHED_PREFIXES = {
    "encoder.": "model.vision_tower.",
    "projector.": "model.mm_projector.",
    "language.": "model.",
    "fusion.": "change_feature_fusion.blocks.",
    "mask_decoder.": "predictor.",
    "conditioning.": "",
}


@dataclass(frozen=True, slots=True)
class BaseParams:
    """What the published network is; the defaults are its own sizes."""

    fusion: str = "change_aware"
    encoder: SwinParams = field(default_factory=SwinParams)
    language: PhiParams = field(default_factory=PhiParams)


class PairLook(NamedTuple):
    """What a pair of images gives to every sentence about it."""

    features: Tensor  # (B, 256, H/4, W/4)
    levels: list[Tensor]  # three maps (B, 256, h, w), coarsest first
    coarse: Tensor  # (B, 1024, H/32, W/32) fused
    prefix: list[Kept]  # of the language model: system text and both images


class Base(nn.Module):
    """The published network; for its parts see the modules of `geomtrs.nn`."""

    def __init__(self, params: BaseParams | None = None) -> None:
        """Fresh weights; on `torch.device("meta")` no memory is taken."""
        super().__init__()
        p = params or BaseParams()
        widths = [p.encoder.width << level for level in range(4)]
        self.seg_query = nn.Parameter(torch.zeros(100, p.language.width))  # published, and read by nothing
        self.encoder = Swin(p.encoder)
        self.projector = TokenProjector(widths[-1], p.language.width)
        self.language = Phi(p.language)
        self.lm_head = nn.Linear(p.language.width, p.language.vocabulary, bias=False)
        self.conditioning = Conditioning(language=p.language.width, coarse=widths[-1])
        self.fusion = nn.ModuleDict({f"res{i + 2}": FUSIONS[p.fusion](width) for i, width in enumerate(widths)})
        self.pixel_decoder = DeformablePixelDecoder((widths[0], widths[1], widths[2], widths[3]))
        self.mask_decoder = MaskedAttentionDecoder()

    def look(self, before: Tensor, after: Tensor) -> PairLook:
        """Normalised images (B, 3, 1024, 1024) → what every sentence about them needs; each is encoded once."""
        count = len(before)
        pyramid = self.encoder(torch.cat([before, after]))
        fused = [fuse(m[:count], m[count:]) for fuse, m in zip(self.fusion.values(), pyramid, strict=True)]
        features, levels = self.pixel_decoder(fused)
        tokens = self.projector(pyramid[-1])
        _, prefix = self.language(self._prompted(tokens[:count], tokens[count:]))
        return PairLook(features, levels, fused[-1], prefix)

    def change_maps(self, before: Tensor, after: Tensor) -> list[Tensor]:
        """Stage 1, without words (§4): logits (B, 100, H/4, W/4) of every head; any image size."""
        count = len(before)
        pyramid = self.encoder(torch.cat([before, after]))
        fused = [fuse(m[:count], m[count:]) for fuse, m in zip(self.fusion.values(), pyramid, strict=True)]
        heads: list[Tensor] = self.mask_decoder(*self.pixel_decoder(fused))
        return heads

    def ask(self, look: PairLook, expression: Tensor) -> Tensor:
        """Ids (n,) of one expression with its closing token → its query (B, 1, 256) on the images."""
        words = self.language.embed_tokens(expression).expand(len(look.features), -1, -1)
        states, _ = self.language(words, prefix=look.prefix)
        query: Tensor = self.conditioning(states.mean(1), look.coarse)
        return query

    def answer(self, look: PairLook, query: Tensor) -> Tensor:
        """Mask logits (B, 1, H/4, W/4); above 0 the sentence holds."""
        logits: Tensor = self.mask_decoder(look.features, look.levels, query)[-1]
        return logits

    def _prompted(self, first: Tensor, second: Tensor) -> Tensor:
        """Embeddings (B, 206, D) of the prompt up to the expression, the tokens (B, 64, D) of both dates in it."""

        def text(ids: tuple[int, ...]) -> Tensor:
            embedded: Tensor = self.language.embed_tokens(torch.tensor(ids, device=first.device))
            return embedded.expand(len(first), -1, -1)

        return torch.cat([text(BEFORE_IMAGES), first, text(BETWEEN_IMAGES), second, text(AFTER_IMAGES)], 1)


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
        network = Base(params)
    return {key: (published_key(key), tuple(value.shape)) for key, value in network.state_dict().items()}
