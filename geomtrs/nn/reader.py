"""How a sentence becomes a query: by words alone (small model), or by a language model that has seen both dates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geomtrs.nn.conditioning import Conditioning
from geomtrs.nn.language import BertTower
from geomtrs.nn.mask_decoder import SentenceHead, SentenceQuery
from geomtrs.nn.phi import Kept, Phi
from geomtrs.nn.projector import TokenProjector

Ids = tuple[int, ...]


class WordReader(nn.Module):
    """Words alone: a sentence asks the same of every image, so it is read once a run."""

    def __init__(self, tower: BertTower, head: SentenceHead) -> None:
        """Keys tower and head."""
        super().__init__()
        self.tower, self.head = tower, head

    def see(self, pyramid: Sequence[Tensor]) -> list[Kept]:
        """Nothing: the words do not look."""
        del pyramid
        return []

    def forward(self, ids: Tensor, seen: Sequence[Kept] = (), coarse: Tensor | None = None) -> SentenceQuery:
        """Token ids (L,) of one sentence → its query, fields (1, …)."""
        del seen, coarse
        real = torch.ones_like(ids, dtype=torch.bool)[None]
        query: SentenceQuery = self.head(self.tower(ids[None], real))
        return query


class ImageReader(nn.Module):
    """Published: the language model reads the prompt with both dates in it, then the expression (mtrefseg-r1 §2.4).

    What it read up to the expression is kept for every sentence, and nothing after the expression is computed: it
    cannot reach the mask.
    """

    def __init__(
        self, phi: Phi, projector: TokenProjector, conditioning: Conditioning, prompt: tuple[Ids, Ids, Ids]
    ) -> None:
        """`prompt`: ids before, between and after the images."""
        super().__init__()
        self.phi, self.projector, self.conditioning, self.prompt = phi, projector, conditioning, prompt
        width, words = phi.params.width, phi.params.vocabulary
        self.lm_head = nn.Linear(width, words, bias=False)  # for the language loss alone
        self.seg_query = nn.Parameter(torch.zeros(100, width))  # published, and read by nothing

    def see(self, pyramid: Sequence[Tensor]) -> list[Kept]:
        """Maps of both dates, first dates first → what the language model keeps of the prompt up to the expression."""
        tokens = self.projector(pyramid[-1])  # (2 B, 64, D)
        count = len(tokens) // 2

        def text(ids: Ids) -> Tensor:
            embedded: Tensor = self.phi.embed_tokens(torch.tensor(ids, device=tokens.device))
            return embedded.expand(count, -1, -1)

        before, between, after = (text(ids) for ids in self.prompt)
        _, kept = self.phi(torch.cat([before, tokens[:count], between, tokens[count:], after], 1))  # (B, 206, D)
        seen: list[Kept] = kept
        return seen

    def forward(self, ids: Tensor, seen: Sequence[Kept], coarse: Tensor) -> Tensor:
        """Ids (n,) of one expression with its closing token, what was seen, the coarsest fused map → (B, 1, 256)."""
        words = self.phi.embed_tokens(ids).expand(len(coarse), -1, -1)
        states, _ = self.phi(words, prefix=list(seen))
        query: Tensor = self.conditioning(states.mean(1), coarse)
        return query
