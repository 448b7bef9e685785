"""Stage 1 asks without words: a learned query per thing stands where the sentence will be."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geomtrs.data.labels import THINGS
from geomtrs.nn.mask_decoder import DIRECTIONS, SentenceQuery

_SURE = 8.0  # logit of the direction that is asked, against 0 of the others


class CodeTable(nn.Module):
    """(thing, direction, source) by number → the query that a sentence of that meaning should become."""

    def __init__(self, width: int) -> None:
        """One row a thing, one for "whatever changed", one for all that no set labels."""
        super().__init__()
        self.thing = nn.Parameter(torch.randn(len(THINGS) + 2, width + 1) * 0.5)
        self.change = nn.Parameter(torch.randn(len(THINGS) + 2, width) * 0.5)

    def forward(self, questions: Tensor) -> SentenceQuery:
        """Questions (…, 3) int64: thing, direction, source (-1 = none) → fields (…, D).

        Of two things that went the same way a sentence asks for what lies between them.
        """
        thing, direction, source = questions.unbind(-1)
        logits = torch.nn.functional.one_hot(direction, len(DIRECTIONS)) * _SURE
        other = torch.where((source >= 0) & (direction != DIRECTIONS.index("replaced")), source, thing)
        asked, change = ((table[thing] + table[other]) / 2 for table in (self.thing, self.change))
        return SentenceQuery(asked, self.thing[source.clamp(min=0)], change, logits)
