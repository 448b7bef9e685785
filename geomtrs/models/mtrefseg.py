"""MTRefSeg-R1 assembled from its parts: encoder, fusion, pixel decoder, language tower, mask decoder.

A size is a choice of parts (arXiv 2606.00987 for the idea). `nano` is the embedded one: EfficientNet-Lite0,
change-aware fusion at reduced width, a light pixel decoder, four layers of MiniLM and the presence mask decoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from geomtrs.nn.efficientnet import EfficientNetLite0
from geomtrs.nn.fusion import ChangeAwareFusion
from geomtrs.nn.language import BertParams, BertTower
from geomtrs.nn.layers import ConvNormAct
from geomtrs.nn.mask_decoder import Answer, ImageMaps, PresenceMaskDecoder, SentenceHead, SentenceQuery
from geomtrs.nn.pixel_decoder import LightPixelDecoder


@dataclass(frozen=True, slots=True)
class NanoParams:
    """What the embedded network is; saved with its weights."""

    fusion_widths: tuple[int, int, int, int] = (32, 64, 96, 128)
    width: int = 64
    language: BertParams = field(default_factory=BertParams)


class MTRefSeg(nn.Module):
    """Two dates and sentences → mask logits, existence logits."""

    def __init__(
        self,
        *,
        encoder: nn.Module,
        reduce: nn.ModuleList,
        fusion: nn.ModuleList,
        date_decoder: nn.Module,
        change_decoder: nn.Module,
        language: nn.Module,
        sentence_head: nn.Module,
        mask_decoder: nn.Module,
    ) -> None:
        """Parts are handed in; none is looked up here."""
        super().__init__()
        self.encoder, self.reduce, self.fusion = encoder, reduce, fusion
        self.date_decoder, self.change_decoder = date_decoder, change_decoder
        self.language, self.sentence_head, self.mask_decoder = language, sentence_head, mask_decoder

    def look(self, dates: Tensor) -> ImageMaps:
        """Dates (B, 2, 3, H, W) float in 0..255, sides divisible by 32 → maps that serve every sentence."""
        b = dates.shape[0]  # not len(): tracing would make it a constant
        pyramid = self.encoder(dates.transpose(0, 1).flatten(0, 1))  # 4 x (2 B, C, H/s, W/s), first dates first
        embedding, _ = self.date_decoder(pyramid)
        fused = []
        for level, reduce, fusion in zip(pyramid, self.reduce, self.fusion, strict=True):
            narrow = reduce(level)
            swapped = torch.cat([narrow[b:], narrow[:b]])
            fused.append(fusion(narrow, swapped))  # (2 B, …): first to second date, then second to first
        change, coarse = self.change_decoder(fused)
        return ImageMaps(embedding[:b], embedding[b:], change[:b], change[b:], coarse[:b], coarse[b:])

    def read(self, states: Tensor, real: Tensor) -> SentenceQuery:
        """Token states (N, L, D) of the language tower, real (N, L) bool → queries of N sentences."""
        query: SentenceQuery = self.sentence_head(states, real)
        return query

    def answer(self, maps: ImageMaps, query: SentenceQuery) -> Answer:
        """Image maps of B tiles, queries with fields (B, Q, …) → logits at stride 4."""
        answer: Answer = self.mask_decoder(maps, query)
        return answer


def build_nano(params: NanoParams) -> MTRefSeg:
    """The embedded network with fresh weights."""
    channels = EfficientNetLite0.channels
    widths = params.fusion_widths
    return MTRefSeg(
        encoder=EfficientNetLite0(),
        reduce=nn.ModuleList(
            ConvNormAct(c, w, 1, norm="batch", activation="none") for c, w in zip(channels, widths, strict=True)
        ),
        fusion=nn.ModuleList(ChangeAwareFusion(w, norm="batch", activation="relu") for w in widths),
        date_decoder=LightPixelDecoder(channels, params.width),
        change_decoder=LightPixelDecoder(widths, params.width),
        language=BertTower(params.language),
        sentence_head=SentenceHead(params.language.width, params.width),
        mask_decoder=PresenceMaskDecoder(params.width),
    )
