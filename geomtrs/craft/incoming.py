"""Decisions that a labelling team made elsewhere, in Label Studio or a tool of COCO, kept as the desk keeps its own.

The file is one that `geomtrs craft export` wrote, after people worked on it: the triplet's id in it says what is meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geomtrs.craft.audit.decisions import Decision, append, keep_mask, read, standing
from geomtrs.craft.codes import of_brush, of_coco
from geomtrs.craft.ledger import UNCORRECTED, Ledger, Triplet, read_mask
from geomtrs.craft.protocols import Bool
from geomtrs.errors import DataError, QueryError

_FIT = re.compile(r"[^\w-]+")


@dataclass(frozen=True, slots=True)
class _Word:
    """What a file says of a triplet; words and mask as they are in it, mended or not."""

    item: str
    by: str
    rejected: str = ""  # why
    sentence: str | None = None
    mask: Bool | None = None


def take_in(folder: Path, file: Path, *, auditor: str | None = None) -> dict[str, int]:
    """How many triplets were accepted, of those mended, and rejected by a file; said again it adds nothing.

    auditor  whose word it is; None = whom the file names, or the kind of file

    Raises DataError for a file that is neither, that names a triplet of another set, or whose masks have another size.
    """
    with Ledger(folder) as ledger:
        items = {one.id: one for one in (*ledger.triplets(), *ledger.triplets(UNCORRECTED))}
    masks = {item: read_mask(folder, one.mask) for item, one in items.items()}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        source = "label studio" if isinstance(document, list) else "coco"
        words = list(_label_studio(document, masks) if isinstance(document, list) else _coco(document, items, masks))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            file, found=f"{type(error).__name__}: {error}", wanted="what geomtrs craft export wrote and people changed",
            remedy="export it from the labelling tool as JSON, or as COCO",
        ) from error  # fmt: skip
    counts = {"accepted": 0, "mended": 0, "rejected": 0}
    said: dict[str, list[Decision]] = {}
    for word in words:
        decision = _decision(folder, word, items[word.item], masks[word.item], auditor or word.by, source)
        counts["rejected" if decision.verdict == "reject" else "accepted"] += 1
        counts["mended"] += bool(decision.sentence or decision.mask)
        said.setdefault(decision.auditor, []).append(decision)
    for name, decisions in said.items():
        before = {item: replace(one, at="") for item, one in standing(read(folder, name)).items()}
        new = [one for one in decisions if before.get(one.item) != replace(one, at="")]
        if new:
            append(folder, new)
    return counts


def _decision(folder: Path, word: _Word, triplet: Triplet, mask: Bool, auditor: str, source: str) -> Decision:
    name = _FIT.sub("-", auditor).strip("-")[:40] or source.replace(" ", "-")
    if word.rejected:
        return Decision(triplet.id, "reject", name, reason=word.rejected, source=source)
    sentence = word.sentence if word.sentence and word.sentence != triplet.sentence else None
    mended = None if word.mask is None or np.array_equal(word.mask, mask) else keep_mask(folder, word.mask)
    try:
        return Decision(triplet.id, "accept", name, sentence=sentence, mask=mended, source=source)
    except QueryError as error:
        raise DataError(
            f"triplet {triplet.id}", found=repr(sentence), wanted="a sentence that can be asked", remedy="mend it there"
        ) from error


def _label_studio(tasks: Sequence[Any], masks: Mapping[str, Bool]) -> Iterator[_Word]:
    """The last annotation of each person about a task; one without any says nothing."""
    for task in tasks:
        item = str(task["data"]["triplet"])
        if item not in masks:
            raise ValueError(f"triplet {item} is not of this set")
        annotations = sorted(task.get("annotations", ()), key=lambda one: str(one.get("updated_at", "")))
        last = {_person(one): one for one in annotations}
        for by, one in last.items():
            if one.get("was_cancelled"):
                yield _Word(item, by, rejected="skipped")
            else:
                yield _annotation(item, by, one["result"], masks[item].shape)


def _annotation(item: str, by: str, results: Sequence[Any], shape: tuple[int, ...]) -> _Word:
    mask, sentence, verdict = np.zeros(shape, bool), None, ""
    for one in results:
        value = one["value"]
        if one["type"] == "brushlabels":
            mask |= of_brush(value["rle"], (shape[0], shape[1]))
        elif one["type"] == "textarea" and one["from_name"] == "sentence":
            sentence = " ".join(" ".join(value["text"]).split())
        elif one["type"] == "choices":
            verdict = str(value["choices"][0])
    if verdict == "reject" or not mask.any():
        return _Word(item, by, rejected="rejected" if verdict == "reject" else "no mask is left")
    return _Word(item, by, sentence=sentence, mask=mask)


def _person(annotation: Mapping[str, Any]) -> str:
    by = annotation.get("completed_by")
    name = by.get("email") or by.get("id") if isinstance(by, dict) else by
    return "label-studio" if name is None else f"label-studio-{name}"


def _coco(document: Mapping[str, Any], items: Mapping[str, Triplet], masks: Mapping[str, Bool]) -> Iterator[_Word]:
    """Annotations that are there are accepted; those that are gone, of a picture that is there, rejected."""
    there: set[str] = set()
    for one in document["annotations"]:
        item = str(one["triplet"])
        if item not in items:
            raise ValueError(f"triplet {item} is not of this set")
        shape = masks[item].shape
        mask = of_coco(one["segmentation"], (shape[0], shape[1]))
        there.add(item)
        word = _Word(item, "coco", sentence=one.get("caption"), mask=mask)
        yield word if mask.any() else _Word(item, "coco", rejected="no mask is left")
    for image in document["images"]:
        for item in sorted(set(image["triplets"]) - there):
            yield _Word(item, "coco", rejected="taken out")
