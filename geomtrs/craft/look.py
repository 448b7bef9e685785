"""A second look: the rules, and a change model that is asked the same of the pictures alone.

Labels may be wrong where the pictures are plain. What a model that learned on other places does not see stays
uncorrected: it is shown at the audit desk and not exported. It is no judge of masks that it drew itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.craft.outline import opened
from geomtrs.craft.protocols import Bool, Candidate, Check, Pair, Phrased, Verifier
from geomtrs.craft.segment import Sight
from geomtrs.craft.verify import IN_CELLS, RuleVerifier, broad_px, least_px
from geomtrs.data.patches import inside
from geomtrs.data.readings import reading_of
from geomtrs.grammar import ScenePart
from geomtrs.models.base import ChangeModel
from geomtrs.query import Query

FAINT = 0.05  # mean probability over a mask that may be right: a small model is shy of what it is seldom wrong about
SEEN, MOSTLY = 0.3, 0.8  # mean probability over a patch that is seen, and so much of a mask is in such patches
AGREED = 0.4  # IoU of a mask with what the model sees in and around it, a pixel as much as it is likely
THERE = 1 / 2  # probability from which something is plainly there, or half of that in the mask where it is less
MORE, ONE_MORE = 1 / 2, 1 / 16  # of a mask: so much may be seen elsewhere in all, and in one patch that is large enough
ALL = (  # wordings that mean all of a thing
    "direction", "changed", "all-of-a-kind", "from-to", "several kinds", "count", "grew", "shrank",
)  # fmt: skip
TIMES = 1.5  # as likely within a mask as in the ring around it, or the mask lies aside
NEAR_PX, FAR_PX = 2, 8  # the ring
RIM, RIM_PX, CORE_PX = 0.35, 3, 7  # as likely along the edge of a mask as in its middle, or the mask is too large


class SecondLook:
    """The rules' word, and whether a change model sees in the pictures what a mask and its words claim."""

    def __init__(self, model: ChangeModel, rules: Verifier = RuleVerifier()) -> None:  # noqa: B008 - frozen
        """`model` should have drawn none of the masks."""
        self._sight, self._rules = Sight(model), rules
        self.sight = self._sight.name
        self.name = f"{rules.name}, seen by {self.sight}"

    def candidate(self, pair: Pair, candidate: Candidate, others: Sequence[Candidate]) -> tuple[Check, ...]:
        """Of a mask from labels the rules' word alone: people should see its sentences, whatever the model sees."""
        checks = self._rules.candidate(pair, candidate, others)
        if pair.labels is not None or not candidate.mask.any():
            return checks
        query = Query(candidate.finding.sentence, whole=True)
        return *checks, seen(self._sight.probability(pair, query), candidate.mask, candidate.known, plainly=False)

    def sentence(self, pair: Pair, phrased: Phrased, others: Sequence[Phrased]) -> tuple[Check, ...]:
        """The model is asked without rank, size, number and place, which say which patches are meant."""
        checks = self._rules.sentence(pair, phrased, others)
        if not phrased.mask.any():
            return checks
        probability = self._sight.probability(pair, Query(phrased.sentence))
        said = seen(probability, phrased.mask, phrased.known, plainly=True)
        return *checks, said, no_more(probability, phrased)


def seen(probability: NDArray[np.float32], mask: Bool, known: Bool, *, plainly: bool) -> Check:
    """The model sees the mask more than what is around it, and up to its edge.

    plainly  it sees nearly every patch, and much the same outline
    """
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    means = np.asarray(ndimage.mean(probability, labels, range(1, count + 1)))
    share = float(sizes[means >= SEEN].sum() / sizes.sum())
    near, far = (ndimage.binary_dilation(mask, iterations=px) for px in (NEAR_PX, FAR_PX))
    about = far & known
    agreed = float(np.minimum(probability, mask)[about].sum() / np.maximum(probability, mask)[about].sum())
    inside, around = float(probability[mask].mean()), _middle(probability[far & ~near & known])
    # The picture's edge is no edge of a mask.
    rim, core = (ndimage.binary_erosion(mask, iterations=px, border_value=1) for px in (RIM_PX, CORE_PX))
    edge = float(probability[mask & ~rim].mean()) if core.any() and not rim.all() else inside
    middle = float(probability[core].mean()) if core.any() else inside
    enough = share >= MOSTLY and agreed >= AGREED if plainly else inside >= FAINT
    fits = enough and inside >= TIMES * around and edge >= RIM * middle
    return Check(
        "seen",
        fits,
        f"{share:.0%} of it; likely by {inside:.2f}, around it by {around:.2f}, along its edge by {edge:.2f}; "
        f"IoU {agreed:.2f}",
    )


def no_more(probability: NDArray[np.float32], phrased: Phrased) -> Check:
    """The model sees no patch elsewhere that would be meant as well: none that a person misses where the sentence means
    all of a thing, or all of it in a place; none larger than the smallest of the mask where it means what is large.
    """
    mask, reading = phrased.mask, reading_of(phrased.sentence)
    part = reading.part if reading is not None else ScenePart()
    large = (part.largest is True and not part.skip) or part.least is not None
    every = phrased.wording in ALL or (phrased.wording == "place" and part.place is not None)
    if not (large or every):
        return Check("all", True, "what is elsewhere is not meant")
    there = min(THERE, float(probability[mask].mean()) / 2)
    elsewhere = (probability >= there) & phrased.known & ~ndimage.binary_dilation(mask, iterations=NEAR_PX)
    patches = ndimage.label(opened(elsewhere, broad_px(mask) / 2))[0]  # a rim is none
    sizes = np.bincount(patches.ravel())[1:]
    if part.place is not None:
        held = np.bincount(patches[inside(part.place, mask.shape)], minlength=sizes.size + 1)[1:]
        sizes = sizes[held >= IN_CELLS * sizes]
    total, one, within = int(sizes.sum()), int(sizes.max(initial=0)), int(mask.sum())
    smallest = int(np.bincount(ndimage.label(mask)[0].ravel())[1:].min())
    most = max(ONE_MORE * within, least_px(mask)) if every else smallest
    fits = one <= most and (not every or total <= MORE * within)
    return Check("all", fits, f"{total} px elsewhere, {one} of them in one patch; the mask has {within}")


def _middle(probability: NDArray[np.float32]) -> float:
    """The median; 0 where there is nothing."""
    return float(np.median(probability)) if probability.size else 0.0
