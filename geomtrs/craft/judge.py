"""Who looks at a mask over both dates and says what is wrong with it: rules, or a model that sees.

"Iterative correction & refinement" of the published pipeline (arXiv 2606.00987, its figure). What follows from the word
is in `refine`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import ndimage

from geomtrs.craft.chat import CELLS_SCHEMA, KIND_SCHEMA, answered, closed, read_cells, read_noun
from geomtrs.craft.grid import around, beside, inside, overlaid, with_grid
from geomtrs.craft.protocols import (
    KINDS,
    VERDICTS,
    WAY_OF,
    Ask,
    Bool,
    Box,
    Candidate,
    Check,
    Judgement,
    Pair,
    Question,
    Speaker,
)
from geomtrs.data.patches import PATCH_PX
from geomtrs.outputs.encoding import jpeg

PER_MILLE = 1000.0
DUST = 0.02  # of a mask in pieces of less than PATCH_PX pixels
PROMPT = """One place from above, the earlier date at the left, the later at the right, under a 3 x 3 grid with the name
of each cell. The first picture is plain; in the second a mask is tinted yellow at both dates. The mask should cover
exactly what this sentence asks for, and nothing else: "{sentence}".
Say whether it is right, too much, too little, in the wrong place, of the wrong kind (appear: it is there only at the
later date; disappear: only at the earlier; change: at both dates, and looks different) or whether the words do not fit
what the mask covers. Then say what would be right: the kind, what it is as a short noun phrase without article, place
or the words new or old, the cells of the grid that it reaches into, and the box around it as left, top, right, bottom
in thousandths of one date's width and height."""
SCHEMA = closed({
    "verdict": {"type": "string", "enum": list(VERDICTS)},
    "why": {"type": "string"},
    "kind": KIND_SCHEMA,
    "what": {"type": "string"},
    "cells": CELLS_SCHEMA,
    "box": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 1000}},
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class RuleJudge:
    """Says of a model's mask what the rules can mend: dust, what lies beside the named cells, and too little or much.

    What labels say is right or not, and no asking again makes it other.
    """

    name: str = "rules"

    def judge(self, pair: Pair, candidate: Candidate, checks: Sequence[Check], ask: Ask) -> Judgement:
        """By the checks that failed, and the dust."""
        finding, mask = candidate.finding, candidate.mask
        failed = {check.rule: check.saw for check in checks if not check.passed}
        if pair.labels is not None and finding.thing is not None and (not failed or "kind" in failed):
            return Judgement("wrong kind", failed["kind"]) if failed else Judgement("right")
        if "size" in failed:
            return Judgement("too little" if mask.sum() < PATCH_PX else "too much", failed["size"])
        if "cells" in failed:
            partly = bool(mask[inside(finding.cells, pair.shape)].any())
            return Judgement("too much" if partly else "wrong place", failed["cells"], box=around(finding.cells))
        if (share := _dust(mask)) > DUST:
            return Judgement("too much", f"{share:.0%} of it is dust")
        if failed:
            return Judgement("wrong kind" if "kind" in failed else "wrong place", "; ".join(failed.values()))
        return Judgement("right")


@dataclass(frozen=True, slots=True)
class ChatJudge:
    """A model with eyes is shown the pair, the mask over it and the sentence."""

    speaker: Speaker

    @property
    def name(self) -> str:
        """That of the model."""
        return self.speaker.name

    def judge(self, pair: Pair, candidate: Candidate, checks: Sequence[Check], ask: Ask) -> Judgement:
        """Its word. Raises CraftError where no answer of it can be used. Nothing is asked of an empty mask."""
        if not candidate.mask.any():
            return Judgement("too little", "the mask is empty")
        dates = pair.before, pair.after
        plain = jpeg(beside(*(with_grid(date) for date in dates)))
        shown = jpeg(beside(*(with_grid(overlaid(date, candidate.mask)) for date in dates)))
        prompt = PROMPT.format(sentence=candidate.finding.placed)
        question = Question("judge", self.name, prompt, (plain, shown))
        return answered(self.speaker, question, SCHEMA, _judgement, pair, ask)


def _judgement(document: Mapping[str, Any]) -> Judgement:
    """What an answer says; raises ValueError where it is not as the schema wants."""
    verdict, kind = document.get("verdict"), document.get("kind")
    if verdict not in VERDICTS or (verdict == "wrong kind" and kind not in KINDS):
        raise ValueError(f"no judgement: {str(document)[:100]}")
    if verdict == "right":
        return Judgement("right", str(document.get("why", ""))[:200])
    return Judgement(
        verdict,
        str(document.get("why", ""))[:200],
        noun=read_noun(document.get("what")) if verdict == "wrong words" else None,
        way=WAY_OF[kind] if verdict == "wrong kind" and kind in KINDS else None,
        cells=read_cells(document.get("cells", [])),
        box=_read_box(document.get("box")),
    )


def _read_box(told: object) -> Box | None:
    """As shares of the picture; None where none is told, ValueError where it is no box."""
    if not told:
        return None
    if not isinstance(told, list) or len(told) != 4 or not all(isinstance(x, int | float) for x in told):
        raise ValueError(f"no box: {told}")
    left, top, right, bottom = (min(max(x / PER_MILLE, 0.0), 1.0) for x in told)
    if right <= left or bottom <= top:
        raise ValueError(f"an empty box: {told}")
    return left, top, right, bottom


def _dust(mask: Bool) -> float:
    """Share of a mask in pieces too small to be sure of."""
    labels, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1)) if count else [0]
    small = sum(size for size in sizes if size < PATCH_PX)
    return float(small / max(1, mask.sum()))
