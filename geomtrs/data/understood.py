"""How nano understands a sentence: the thing that it looks for, and which way that went.

What nano asks of a pixel is a vector, and two sentences mean the same to it as far as theirs are alike. So the vectors
of plain sentences about each thing, "new roads" and "roads that disappeared", tell which one a sentence means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.nn.functional import normalize

from geomtrs.beside import Beside, read_beside
from geomtrs.data.expressions import TRUE_NAMES, all_expressions, unlabelled_expressions
from geomtrs.data.labels import ANYTHING, THINGS
from geomtrs.grammar import ScenePart
from geomtrs.models.nano import Nano
from geomtrs.nn.mask_decoder import DIRECTIONS
from geomtrs.query import Query

_PLAIN = ("new {}", "{} that disappeared")
_OTHERS = 66  # sentences about things that no set labels: one each
_TAKEN_FOR = (*THINGS, "anything", None)


@dataclass(frozen=True, slots=True)
class Understood:
    """What nano takes a sentence for.

    thing      one of THINGS, or "anything"; None = nothing that it knows, which is answered with nothing
    direction  appeared, disappeared, changed or replaced
    source     for replaced: the thing before
    beside     what it has to lie near
    part       what geomtrs keeps of the polygons
    likeness   cosine to the nearest plain sentence about the thing, 1 = the same
    """

    sentence: str
    thing: str | None
    direction: str
    source: str | None
    beside: Beside | None
    part: ScenePart
    likeness: float

    def __str__(self) -> str:
        """As a person would say it: `building replaced tree · beside new roads · kept largest 1`."""
        said = [f"{self.thing or 'something unknown'} {self.direction}{f' {self.source}' if self.source else ''}"]
        if self.beside is not None:
            said.append(f"beside {self.beside.near}")
        return " · ".join([*said, *([str(self.part)] if self.part else [])])


def understand(model: Nano, sentences: Sequence[str]) -> list[Understood]:
    """What nano takes each sentence for; no image is looked at."""
    plain = _plain(model)
    queries = [Query(sentence) for sentence in sentences]
    asked = model.prepare(queries).sentences
    likeness = _likeness(asked.thing[0], plain)  # (Q, things + 2)
    sources = _likeness(asked.source[0], plain[: len(THINGS)]).argmax(-1)
    out = []
    for i, query in enumerate(queries):
        direction = DIRECTIONS[int(asked.direction[0, i].argmax())]
        out.append(
            Understood(
                query.text,
                _TAKEN_FOR[int(likeness[i].argmax())],
                direction,
                THINGS[int(sources[i])] if direction == "replaced" else None,
                read_beside(query.model_text),
                query.scene_part,
                float(likeness[i].amax()),
            )
        )
    return out


def _likeness(asked: Tensor, plain: Sequence[Tensor]) -> Tensor:
    """(Q, n): cosine to that of the plain sentences of each of n meanings which is nearest."""
    asked = normalize(asked, dim=-1)
    return torch.stack([(asked @ normalize(one, dim=-1).T).amax(-1) for one in plain], dim=-1)


def _plain(model: Nano) -> list[Tensor]:
    """What plain sentences ask of a pixel (n, D): about each thing, about anything, and about the unknown."""
    told = [[form.format(TRUE_NAMES[thing][0].lstrip("~")) for form in _PLAIN] for thing in THINGS]
    told.append([said.text for said in all_expressions() if said.thing == ANYTHING])
    told.append([said.text for said in islice(unlabelled_expressions(), _OTHERS)])
    return [model.prepare([Query(text) for text in texts]).sentences.thing[0] for texts in told]
