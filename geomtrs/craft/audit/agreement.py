"""What several auditors say together: how often they agree, what stands, and the triplets that are left."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geomtrs.craft.audit.decisions import Decision, mended_mask, read_all, standing
from geomtrs.craft.ledger import Triplet, read_mask
from geomtrs.craft.protocols import Bool
from geomtrs.craft.verify import iou

SAME_MASK = 0.8  # IoU from which two masks of an item are one

Words = Mapping[str, Mapping[str, Decision]]  # auditor → item → last word
Masks = Callable[[Decision], Bool]  # the mask that a word leaves the item with


@dataclass(frozen=True, slots=True)
class Settled:
    """What stands: a decision an item, and the items about which auditors differ."""

    decisions: Mapping[str, Decision]
    disputed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Triplets after people looked at them.

    triplets  those that are left, with their mended words and masks
    mended    ids of those whose mask lies among the mended ones
    counts    accepted, mended (of the accepted), rejected, disputed, not looked at
    """

    triplets: Sequence[Triplet]
    mended: frozenset[str]
    counts: Mapping[str, int]
    auditors: tuple[str, ...]


def last_words(folder: Path) -> dict[str, dict[str, Decision]]:
    """Of every auditor of a folder, by item."""
    return {name: standing(lines) for name, lines in read_all(folder).items()}


def settle(words: Words, masks: Masks) -> Settled:
    """An item stands as its auditors say, where they say the same: verdict, words, and masks that overlap by IoU 0.8.

    Of masks that are nearly the same, the one of the last word is taken.
    """
    decisions, disputed = {}, set()
    for item in sorted({item for said in words.values() for item in said}):
        said = sorted((one[item] for one in words.values() if item in one), key=lambda word: word.at)
        if all(_same(said[-1], other, masks) for other in said[:-1]):
            decisions[item] = said[-1]
        else:
            disputed.add(item)
    return Settled(decisions, frozenset(disputed))


def cohens_kappa(one: Mapping[str, str], other: Mapping[str, str]) -> float | None:
    """Agreement of two people on the items that both judged, beyond what chance gives.

    None where both say the same of everything (chance alone would), or share no item. Cohen 1960, equation 1.
    """
    shared = sorted(one.keys() & other.keys())
    if not shared:
        return None
    observed = sum(one[item] == other[item] for item in shared) / len(shared)
    first, second = (Counter(said[item] for item in shared) for said in (one, other))
    chance = sum(first[verdict] * second[verdict] for verdict in first) / len(shared) ** 2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def agreement(words: Words, masks: Masks) -> list[dict[str, Any]]:
    """For every two auditors: shared items, κ on accept or reject, mean IoU of the masks that either of them mended."""
    found = []
    for (name, one), (with_, other) in itertools.combinations(sorted(words.items()), 2):
        shared = one.keys() & other.keys()
        verdicts = [{item: word.verdict for item, word in said.items()} for said in (one, other)]
        mended = [
            iou(masks(one[item]), masks(other[item]))
            for item in sorted(shared)
            if one[item].verdict == other[item].verdict == "accept" and (one[item].mask or other[item].mask)
        ]
        found.append({
            "auditors": [name, with_],
            "shared": len(shared),
            "same": sum(one[item].verdict == other[item].verdict for item in shared),
            "kappa": cohens_kappa(*verdicts),
            "masks": len(mended),
            "mean_iou": sum(mended) / len(mended) if mended else None,
        })  # fmt: skip
    return found


def review(folder: Path, kept: Sequence[Triplet], refused: Sequence[Triplet], *, audited_only: bool) -> Reviewed:
    """The triplets of a crafted set that are left: accepted ones, mended as people say, and kept ones nobody saw.

    refused       triplets that a rule refused: in only where people accepted them
    audited_only  leaves out what nobody saw
    """
    by_id = {one.id: one for one in (*kept, *refused)}
    words = {
        name: {item: word for item, word in said.items() if item in by_id} for name, said in last_words(folder).items()
    }

    def mask(word: Decision) -> Bool:
        return mended_mask(folder, word.mask) if word.mask else read_mask(folder, by_id[word.item].mask)

    settled = settle(words, mask)
    accepted = {item: word for item, word in settled.decisions.items() if word.verdict == "accept"}
    unseen = [one.id for one in kept if one.id not in settled.decisions and one.id not in settled.disputed]
    left = accepted.keys() | (set() if audited_only else set(unseen))
    triplets = [_mended(folder, one, accepted.get(one.id)) for one in by_id.values() if one.id in left]
    changed = [word for word in accepted.values() if word.mask or word.sentence]
    counts = {
        "accepted": len(accepted), "mended": len(changed), "rejected": len(settled.decisions) - len(accepted),
        "disputed": len(settled.disputed), "not looked at": len(unseen),
    }  # fmt: skip
    return Reviewed(
        triplets=sorted(triplets, key=lambda one: one.pair),
        mended=frozenset(item for item, word in accepted.items() if word.mask),
        counts=counts,
        auditors=tuple(sorted(name for name, said in words.items() if said)),
    )


def _same(one: Decision, other: Decision, masks: Masks) -> bool:
    if one.verdict != other.verdict:
        return False
    if one.verdict == "reject":
        return True
    said = [None if word.sentence is None else " ".join(word.sentence.lower().split()) for word in (one, other)]
    return said[0] == said[1] and (one.mask == other.mask or iou(masks(one), masks(other)) >= SAME_MASK)


def _mended(folder: Path, triplet: Triplet, word: Decision | None) -> Triplet:
    if word is None:
        return triplet
    sentence = word.sentence or triplet.sentence
    if word.mask is None:
        return replace(triplet, sentence=sentence)
    return replace(triplet, sentence=sentence, mask=word.mask, pixels=int(mended_mask(folder, word.mask).sum()))
