"""MTRefSeg-R1: two dates and a sentence → where it holds (arXiv 2606.00987). One network, two sizes.

    dates ─ encoder ─ fusion ─ pixel decoder ─ mask decoder ─► mask, existence
               │                    │               ▲
               └──────► language ───┴──► query ─────┘
                            ▲
                         sentence

How parts are chosen: `build` takes what a preset says and makes the five parts, which know nothing of each other.

| part          | nano (runs on a laptop)              | base (as published, key for key)                  |
|---------------|--------------------------------------|---------------------------------------------------|
| encoder       | EfficientNet-Lite0                   | Swin-B, window 12                                 |
| fusion        | change-aware, narrow, both ways      | change_aware, concat_conv, abs_diff or avg        |
| pixel decoder | two light pyramids: dates, changes   | multi-scale deformable attention                  |
| language      | four layers of MiniLM, words alone   | Phi-1.5, which sees 64 tokens of each date first  |
| mask decoder  | presence at each date, and existence | nine layers of masked attention                   |

The small model reads a sentence once a run; the published one reads it anew for every pair of images. It encodes each
image once (the published code does so twice), which changes nothing but the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from geomtrs.models.prompt import AFTER_IMAGES, BEFORE_IMAGES, BETWEEN_IMAGES
from geomtrs.nn.conditioning import Conditioning
from geomtrs.nn.deformable import DeformablePixelDecoder
from geomtrs.nn.efficientnet import EfficientNetLite0
from geomtrs.nn.fusion import BothWaysFusion, OneWayFusion
from geomtrs.nn.language import BertParams, BertTower
from geomtrs.nn.mask_decoder import Answer, PresenceMaskDecoder, SentenceHead
from geomtrs.nn.masked_attention import MaskedAttentionDecoder
from geomtrs.nn.phi import Kept, Phi, PhiParams
from geomtrs.nn.pixel_decoder import PresencePixelDecoder
from geomtrs.nn.projector import TokenProjector
from geomtrs.nn.reader import ImageReader, WordReader
from geomtrs.nn.swin import Swin, SwinParams

# What a pixel decoder hands to the mask decoder that belongs to it, and a reader's query for it: a preset pairs them,
# `ImageMaps` with `SentenceQuery` or `LevelMaps` with a tensor, so the assembly need not know which.
Maps = Any
AnyQuery = Any

TOWER = "language.tower."  # how the keys of the small model's language tower begin


@dataclass(frozen=True, slots=True)
class NanoParams:
    """What the embedded network is; saved with its weights."""

    fusion_widths: tuple[int, int, int, int] = (32, 64, 96, 128)
    width: int = 64
    fusion: str = "change_aware"
    language: BertParams = field(default_factory=BertParams)


@dataclass(frozen=True, slots=True)
class BaseParams:
    """What the published network is; the defaults are its own sizes."""

    fusion: str = "change_aware"
    encoder: SwinParams = field(default_factory=SwinParams)
    language: PhiParams = field(default_factory=PhiParams)


class Look(NamedTuple):
    """What a pair of images gives to every sentence about it."""

    maps: Maps
    coarse: Tensor  # (B, C, H/32, W/32) fused
    seen: list[Kept]  # what the language model keeps of the images; empty where words alone are read


class MTRefSeg(nn.Module):
    """Two dates and sentences → logits at a quarter of the resolution."""

    def __init__(
        self,
        *,
        encoder: nn.Module,
        fusion: nn.Module,
        pixel_decoder: nn.Module,
        language: nn.Module,
        mask_decoder: nn.Module,
    ) -> None:
        """Parts are handed in; none is looked up here."""
        super().__init__()
        self.encoder, self.fusion, self.pixel_decoder = encoder, fusion, pixel_decoder
        self.language, self.mask_decoder = language, mask_decoder

    def look(self, dates: Tensor) -> Look:
        """Dates (B, 2, 3, H, W) → what serves every sentence about them; each image is encoded once.

        The small encoder takes 0..255 and sides divisible by 32, the published one normalised squares of 1024.
        """
        pyramid, fused = self._fused(dates)
        return Look(self.pixel_decoder(fused, pyramid), fused[-1], self.language.see(pyramid))  # type: ignore[operator]  # nn.Module.__getattr__

    def maps(self, dates: Tensor) -> Maps:
        """The image side alone: all that stage 1, without words, trains and asks (mtrefseg-r1 §4); any size."""
        pyramid, fused = self._fused(dates)
        return self.pixel_decoder(fused, pyramid)

    def ask(self, ids: Tensor, look: Look | None = None) -> AnyQuery:
        """Token ids (L,) of one sentence → its query; `look` may be left out where words alone are read."""
        return self.language(ids) if look is None else self.language(ids, look.seen, look.coarse)

    def answer(self, maps: Maps, query: AnyQuery) -> Answer:
        """Maps of B pairs and Q queries each → mask logits (B, Q, H/4, W/4) and existence logits (B, Q)."""
        answer: Answer = self.mask_decoder(maps, query)
        return answer

    def _fused(self, dates: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Four maps (2 B, C, H/s, W/s), first dates first, and the fused ones."""
        pyramid = self.encoder(dates.transpose(0, 1).flatten(0, 1))
        return pyramid, self.fusion(pyramid)


def build(params: NanoParams | BaseParams) -> MTRefSeg:
    """The network of a preset with fresh weights; on `torch.device("meta")` no memory is taken."""
    return build_nano(params) if isinstance(params, NanoParams) else build_base(params)


def outline(params: NanoParams) -> MTRefSeg:
    """The embedded network with whatever lay in its memory: for weights that are assigned at once."""
    with _Unset():
        return build_nano(params)


class _Unset(TorchFunctionMode):
    """Nothing is drawn by lot. On the meta device nothing is either, but torch imports its compiler there: 1.2 s."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 - torch's own signature
        told = kwargs or {}
        if func in _INITIALISERS or getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else told["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **told)


_INITIALISERS = {Tensor.normal_, Tensor.uniform_}


def build_nano(params: NanoParams) -> MTRefSeg:
    """The embedded network."""
    channels = EfficientNetLite0.channels
    tower = BertTower(params.language)
    return MTRefSeg(
        encoder=EfficientNetLite0(),
        fusion=BothWaysFusion(channels, params.fusion_widths, params.fusion),
        pixel_decoder=PresencePixelDecoder(channels, params.fusion_widths, params.width),
        language=WordReader(tower, SentenceHead(params.language.width, params.width)),
        mask_decoder=PresenceMaskDecoder(params.width),
    )


def build_base(params: BaseParams) -> MTRefSeg:
    """The published network."""
    a, b, c, d = (params.encoder.width << level for level in range(4))
    width = params.language.width
    prompt = BEFORE_IMAGES, BETWEEN_IMAGES, AFTER_IMAGES
    return MTRefSeg(
        encoder=Swin(params.encoder),
        fusion=OneWayFusion((a, b, c, d), params.fusion),
        pixel_decoder=DeformablePixelDecoder((a, b, c, d)),
        language=ImageReader(
            Phi(params.language), TokenProjector(d, width), Conditioning(language=width, coarse=d), prompt
        ),
        mask_decoder=MaskedAttentionDecoder(),
    )
