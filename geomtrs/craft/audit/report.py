"""What an audit says so far: how much is decided, how far auditors agree, and for a run its accuracy and area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geomtrs.craft.audit.agreement import Masks, Settled, agreement, last_words, settle
from geomtrs.craft.audit.answers import Answer, RunAnswers
from geomtrs.craft.audit.decisions import Decision, mended_mask
from geomtrs.craft.audit.items import Audited, Item
from geomtrs.craft.protocols import Bool
from geomtrs.evaluation.area import Accuracy, Estimate, stratified_accuracy
from geomtrs.result import area_text


def report(folder: Path, audited: Audited) -> dict[str, Any]:
    """Counts by auditor, agreement of every two, what stands; for the sample of a run also accuracy and area."""
    items = {item.id: item for item in audited.items}
    every = last_words(folder)
    words = {name: {item: word for item, word in said.items() if item in items} for name, said in every.items()}
    masks = _masks(folder, audited, items)
    settled = settle(words, masks)
    found: dict[str, Any] = {
        "items": len(items),
        "auditors": {name: _counts(said.values(), len(every[name]) - len(said)) for name, said in words.items()},
        "agreement": agreement(words, masks),
        "settled": len(settled.decisions),
        "disputed": len(settled.disputed),
    }
    if isinstance(audited, RunAnswers) and any(place.points for place in audited.places.values()):
        found["estimates"] = [_estimated(audited, answer, settled, masks) for answer in audited.answers]
    return found


def report_lines(found: Mapping[str, Any]) -> list[str]:
    """The report for people."""
    lines = [f"{found['settled']:,} of {found['items']:,} items stand, {found['disputed']:,} disputed"]
    for name, counts in found["auditors"].items():
        lines.append(f"  {name:12} " + ", ".join(f"{count:,} {what}" for what, count in counts.items() if count))
    for one in found["agreement"]:
        kappa = "not defined (one of the two verdicts alone)" if one["kappa"] is None else f"{one['kappa']:.2f}"
        told = f"  {' and '.join(one['auditors'])}: {one['shared']:,} shared, {one['same']:,} alike, κ {kappa}"
        lines.append(told + (f", mended masks IoU {one['mean_iou']:.2f} ({one['masks']})" if one["masks"] else ""))
    for one in found.get("estimates", ()):
        lines += _estimate_lines(one)
    return lines


def _masks(folder: Path, audited: Audited, items: Mapping[str, Item]) -> Masks:
    def mask(word: Decision) -> Bool:
        return mended_mask(folder, word.mask) if word.mask else audited.mask(items[word.item])

    return mask


def _counts(said: Collection[Decision], elsewhere: int) -> dict[str, int]:
    verdicts = Counter(word.verdict for word in said)
    mended = sum(word.verdict == "accept" and bool(word.mask or word.sentence) for word in said)
    return {
        "decided": sum(verdicts.values()), "accepted": verdicts["accept"], "mended": mended,
        "rejected": verdicts["reject"], "of items not among these": elsewhere,
    }  # fmt: skip


def _estimated(run: RunAnswers, answer: Answer, settled: Settled, masks: Masks) -> dict[str, Any]:
    """Olofsson's estimate for one answer; pixels whose item is not settled are not in it."""
    counts = np.zeros((2, 2), np.int64)
    waiting = 0
    for item, place in run.places.items():
        if place.answer is not answer:
            continue
        word = settled.decisions.get(item)
        if word is None:
            waiting += len(place.points)
            continue
        for row, column in place.points:
            at = (row - place.window.row_off) // place.factor, (column - place.window.col_off) // place.factor
            counts[int(place.outline is None), int(not _changed(word, place.outline is not None, at, masks))] += 1
    mapped = min(1.0, float(answer.table["area_px"].sum()) / run.observed_px)
    accuracy = stratified_accuracy(counts, (mapped, 1 - mapped))
    return {
        "sentence": answer.query, "dates": answer.when, "pixels": counts.tolist(), "waiting": waiting,
        "mapped_share": mapped, "observed_m2": run.observed_m2, **_named(accuracy),
    }  # fmt: skip


def _changed(word: Decision, found: bool, at: tuple[int, int], masks: Masks) -> bool:
    """Whether a person says that the sentence holds at this pixel of the item's window."""
    if found:
        return word.verdict == "accept" and bool(masks(word)[at])
    if word.mask:
        return bool(masks(word)[at])
    return word.verdict == "reject"


def _named(accuracy: Accuracy) -> dict[str, Any]:
    told = accuracy.to_dict()
    return {
        "overall": told["overall"], "users": told["users"][0], "producers": told["producers"][0],
        "changed_share": told["shares"][0],
    }  # fmt: skip


def _estimate_lines(one: Mapping[str, Any]) -> list[str]:
    (right, wrong), (missed, quiet) = one["pixels"]
    share, ground = one["changed_share"], one["observed_m2"]
    lines = [
        f"“{one['sentence']}” {one['dates']}",
        f"  judged pixels    {right + wrong} where something was found, {right} of them right",
        f"                   {missed + quiet} where nothing was found, {missed} of them missed",
        *([f"  still to judge   {one['waiting']} pixels of the sample"] if one["waiting"] else []),
    ]
    names = {"users": "user's accuracy", "producers": "producer's", "overall": "overall"}
    lines += [f"  {name:16} {Estimate(**one[key])}" for key, name in names.items()]
    if share["value"] is not None and ground is not None:
        half = "not known" if share["half_width"] is None else area_text(share["half_width"] * ground)
        lines.append(f"  changed area     {area_text(share['value'] * ground)} ± {half} "
                     f"(the polygons hold {area_text(one['mapped_share'] * ground)})")  # fmt: skip
    return lines
