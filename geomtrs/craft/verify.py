"""Rules that judge what was proposed, by other means than those that proposed it.

Sentences about labelled pairs are read back to a mask by `geomtrs.data.predicate`; pairs without labels are judged by
how unlike their pictures are inside the mask against outside it: over 213 pairs of ten sets that refused 55 % of masks
laid elsewhere and 15 % of the true ones, so it is a sieve and no judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.craft.grid import CELLS, shares
from geomtrs.craft.outline import contrast, fullness, opened
from geomtrs.craft.protocols import Bool, Candidate, Check, Pair, Phrased
from geomtrs.data.expressions import unopened
from geomtrs.data.labels import ABSENT, PRESENT
from geomtrs.data.patches import PATCH_PX
from geomtrs.data.predicate import holds

WHOLE = 0.9  # of the picture: a mask so large tells of light or season
DUPLICATE = 0.8  # IoU of two masks of one kind
IN_CELLS = 0.8  # of a mask in the cells that were named
LEAST_PX, LEAST = 32, 1 / 1000  # of a mask that somebody is to look at: pixels, and the share of its picture
SEEN = 1 / 50  # of the picture's longer side: what is narrower is a hair of ten pixels where the picture fills a desk
SOLID = 0.8  # so much of a mask is wider than that, or half as wide and stands out
ALONE, DUST = 0.9, 0.1  # of its hull that a patch fills where it is counted: two houses in one and a torn shore do not;
# and so many of the patches may be smaller than SEEN squared
DISTINCT, TWICE = 1.25, 0.2  # deviations by which something stands out; so much of a mask may when it is not there
NO_SEAM = 1.5  # deviations: half of what is around a seam is as it is itself, so it reaches 1.41 at most
MEASURED = ("rank", "size", "count")  # wordings that are wrong where one patch is two things, or two are one
KNOWN = 0.95  # of the picture, else too much of the truth is a guess
READS_BACK = 0.95  # IoU of a sentence's mask with what its words mean by the labels
WINDOW_PX, SMOOTH_PX = 15, 9  # over which texture is compared, and over which unlikeness is averaged


@dataclass(frozen=True, slots=True)
class RuleVerifier:
    """Nothing but rules, each with a name that the ledger and the audit show."""

    name: str = "rules"

    def candidate(self, pair: Pair, candidate: Candidate, others: Sequence[Candidate]) -> tuple[Check, ...]:
        """Every rule's word on a mask; an empty one gets no further."""
        pixels = int(candidate.mask.sum())
        size = Check("size", PATCH_PX <= pixels <= WHOLE * candidate.mask.size, f"{pixels} px of {candidate.mask.size}")
        if not pixels:
            return (size,)
        return size, _cells(candidate), _kind(pair, candidate), _own(candidate, others)

    def sentence(self, pair: Pair, phrased: Phrased, others: Sequence[Phrased]) -> tuple[Check, ...]:
        """Every rule's word on a sentence."""
        pixels = int(phrased.mask.sum())
        known = float(phrased.known.mean())
        twins = [other for other in others if _bare(other.sentence) == _bare(phrased.sentence)]
        return (
            Check("size", PATCH_PX <= pixels <= WHOLE * phrased.mask.size, f"{pixels} px of {phrased.mask.size}"),
            Check("known", known >= KNOWN, f"{known:.1%} of the picture"),
            _visible(pair, phrased),
            _alone(phrased),
            _once(pair, phrased),
            Check("twin", not twins, f"{len(twins)} earlier sentences like it"),
            _read_back(pair, phrased),
        )


def unlikeness(pair: Pair) -> NDArray[np.float64]:
    """(H, W) in 0 … 1: how unlike the dates are at a pixel among those of the pair, in colour and in texture alike.

    Colour is the largest difference of the bands after the dates were brought to one mean and deviation a band;
    texture is one less the correlation of the grey values around a pixel. Either alone fails on whole sets: colour
    where the seasons differ, texture where the dates are a pixel or two aside.
    """
    first, last = (picture.astype(np.float32) for picture in (pair.before, pair.after))
    grey = [ndimage.gaussian_filter(picture.mean(-1), 1.5) for picture in (first, last)]
    last = (last - last.mean((0, 1))) / (last.std((0, 1)) + 1) * (first.std((0, 1)) + 1) + first.mean((0, 1))
    both = [np.abs(first - last).max(-1), 1 - _correlation(*grey)]
    ranks = [ndimage.uniform_filter(one, SMOOTH_PX).ravel().argsort(kind="stable").argsort() for one in both]
    return np.asarray((ranks[0] + ranks[1]) / (2 * ranks[0].size)).reshape(pair.shape)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) of the pixels around each."""
    means = [ndimage.uniform_filter(x, WINDOW_PX) for x in (one, other)]
    spread = [
        np.maximum(ndimage.uniform_filter(x * x, WINDOW_PX) - mean**2, 1)
        for x, mean in zip((one, other), means, strict=True)
    ]
    shared = ndimage.uniform_filter(one * other, WINDOW_PX) - means[0] * means[1]
    return np.asarray(shared / np.sqrt(spread[0] * spread[1]), np.float32)


def least_px(mask: Bool) -> float:
    """From so many pixels a patch is large enough that somebody is asked to look at it."""
    return float(max(LEAST_PX, LEAST * mask.size))


def broad_px(mask: Bool) -> float:
    """From so many pixels across a patch is seen whatever its colour."""
    return SEEN * float(max(mask.shape))


def _visible(pair: Pair, phrased: Phrased) -> Check:
    """It is large enough to be seen, and neither the seam of two outlines that disagree nor a hair nobody finds.

    What is narrow counts where it stands out at its date, as a car does; a seam has on one side what it is itself.
    """
    mask = phrased.mask
    pixels, width = int(mask.sum()), broad_px(mask)
    broad = opened(mask, width / 2)
    narrow = ndimage.label(opened(mask & ~broad, width / 4))[0]
    apart = np.abs(contrast(narrow, (pair.before, pair.after))).max(1)
    there = {"appear": apart[1], "disappear": apart[0]}.get(phrased.kind, apart.max(0))
    plain = int(broad.sum()), int(np.bincount(narrow.ravel())[1:][there >= NO_SEAM].sum())
    told = f"{pixels} px of {mask.size}, {plain[0]} of them wider than {width:.0f} px and {plain[1]} that stand out"
    return Check("visible", pixels >= least_px(mask) and sum(plain) >= SOLID * pixels, told)


def _alone(phrased: Phrased) -> Check:
    """What is counted or ranked is one thing a patch, as far as its outline tells, and no dust."""
    if phrased.wording not in MEASURED:
        return Check("alone", True, "nothing is counted")
    least, width = fullness(phrased.mask), broad_px(phrased.mask)
    labels, count = ndimage.label(phrased.mask)
    dust = int((np.bincount(labels.ravel())[1:] < width**2).sum())
    told = f"a patch fills {least:.0%} of its hull; {dust} of {count} are dust"
    return Check("alone", least >= ALONE and dust <= DUST * count, told)


def _once(pair: Pair, phrased: Phrased) -> Check:
    """What is not there yet, or any more, does not stand out from what is around it: else the labels err.

    Where it stands out the other way round than at its own date, as a lake does where a bright field was, something
    else is in its place.
    """
    patches = ndimage.label(phrased.mask)[0]
    told = contrast(patches, (pair.before, pair.after))
    apart = np.abs(told).max(1)
    turned = ((told[0] * told[1]).sum(0) < 0) & (apart[::-1] >= DISTINCT)
    apart = np.where(turned, 0, apart)
    sizes = np.bincount(patches.ravel())[1:]
    wrong = {"appear": apart[0], "disappear": apart[1]}.get(phrased.kind)
    if wrong is None:  # of a change: the date that the labels tell, if they tell one
        came, went = _ways(pair, patches)
        wrong = np.where(came > went, apart[0], np.where(went > came, apart[1], apart.min(0)))
    share = float(sizes[wrong >= DISTINCT].sum() / max(1, sizes.sum()))
    return Check("once", share <= TWICE, f"{share:.0%} of it stands out when it should not be there")


def _ways(pair: Pair, patches: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """(n,) pixels of each patch where something came, and where something went, by the labels."""
    count = int(patches.max()) + 1
    if pair.labels is None:
        return [np.zeros(count - 1, np.int64)] * 2
    dates = pair.labels.before, pair.labels.after
    moved = [((one == ABSENT) & (other == PRESENT)).any(0) for one, other in (dates, dates[::-1])]
    return [np.bincount(patches[way], minlength=count)[1:] for way in moved]


def _bare(sentence: str) -> str:
    """What is asked, whatever it opens with: "find the new houses" says no more than "the new houses"."""
    return unopened(" ".join(sentence.lower().split()))


def iou(one: Bool, other: Bool) -> float:
    """Of two masks; two empty ones are alike."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def _cells(candidate: Candidate) -> Check:
    """Most of the mask lies in the cells that were named, and each of them holds a part."""
    named = candidate.finding.cells
    if not named:
        return Check("cells", True, "none was named")
    held = dict(zip(CELLS, shares(candidate.mask), strict=True))
    inside = float(sum(held[cell] for cell in named))
    without = [cell for cell in named if held[cell] == 0]
    told = f"{inside:.0%} in {', '.join(named)}" + (f"; nothing in {', '.join(without)}" if without else "")
    return Check("cells", inside >= IN_CELLS and not without, told)


def _kind(pair: Pair, candidate: Candidate) -> Check:
    """By labels the words of the finding mean its mask; else the pictures differ more inside it than outside."""
    finding = candidate.finding
    if pair.labels is not None and finding.thing is not None:
        fits, known = _meant(pair, finding.sentence, candidate.mask, candidate.known)
        return Check("kind", known and fits >= READS_BACK, f"IoU {fits:.2f} with what its words mean")
    apart, mask = unlikeness(pair), candidate.mask
    inside, outside = float(apart[mask].mean()), float(apart[~mask].mean()) if (~mask).any() else 0.0
    told = f"the dates are unlike by {inside:.2f} inside and {outside:.2f} outside"
    return Check("kind", inside > outside, told)


def _own(candidate: Candidate, others: Sequence[Candidate]) -> Check:
    """No finding of the same kind before it has its mask, unless it is of another thing."""
    alike = [
        iou(candidate.mask, other.mask)
        for other in others
        if other.finding.kind == candidate.finding.kind
        and (other.finding.thing is None or other.finding.thing == candidate.finding.thing)
        and other.finding.source == candidate.finding.source
    ]
    most = max(alike, default=0.0)
    return Check("own mask", most <= DUPLICATE, f"IoU {most:.2f} with another of its kind")


def _read_back(pair: Pair, phrased: Phrased) -> Check:
    if pair.labels is None:
        return Check("reads back", True, "no labels to read it by")
    fits, known = _meant(pair, phrased.sentence, phrased.mask, phrased.known)
    told = f"IoU {fits:.2f} with what it means by the labels" if known else "its words are not understood"
    return Check("reads back", known and fits >= READS_BACK, told)


def _meant(pair: Pair, sentence: str, mask: Bool, known: Bool) -> tuple[float, bool]:
    """IoU of the mask with what the sentence means by the labels, where both know; and whether it is understood."""
    labels = pair.labels
    assert labels is not None
    meant, sure = holds(sentence, labels.before, labels.after, labels.still, pair.gsd_m, about=labels.about)
    both = sure & known
    return iou(mask & both, meant & both), bool((sure & mask).any())
