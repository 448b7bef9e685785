"""What was kept, as others read it: splits of MTRefSeg-21K, COCO, tasks for Label Studio; each with a datasheet.

The same ledger gives the same bytes. A place lies in one split only, so that no test is on ground that was learned.
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

import geopandas
import numpy as np
import pandas as pd
import pyproj
import rasterio.features
import shapely
from affine import Affine

from geomtrs.craft.audit.agreement import Reviewed, review
from geomtrs.craft.audit.decisions import mended_mask
from geomtrs.craft.audit.items import thing_of
from geomtrs.craft.codes import brush_rle, coco_rle
from geomtrs.craft.croissant import NAME as CROISSANT
from geomtrs.craft.croissant import croissant
from geomtrs.craft.ledger import UNCORRECTED, Ledger, Quiet, Triplet, read_mask
from geomtrs.craft.phrase import absent_sentences
from geomtrs.craft.protocols import KINDS, Bool, Ground
from geomtrs.craft.teach import SET, write_taught
from geomtrs.data import pictures, triplets
from geomtrs.data.whole import whole_folder
from geomtrs.errors import DataError, QueryError
from geomtrs.hashing import file_hash
from geomtrs.outputs.encoding import png
from geomtrs.outputs.publish import json_bytes

Format = Literal["mtrefseg21k", "coco", "labelstudio", "pairs"]
FORMATS: tuple[Format, ...] = get_args(Format)
SPLITS = {"train": "train_FINAL_CLEAN", "val": "val_FINAL_CLEAN"}  # as the published code looks for them

_LOCAL = "/data/local-files/?d="  # how Label Studio names files of a folder that it serves


@dataclass(frozen=True, slots=True)
class _Set:
    """What is exported: the kept triplets, the name of each pair's files, the split of each place."""

    folder: Path
    triplets: Sequence[Triplet]
    names: Mapping[str, str]
    splits: Mapping[str, str]
    reviewed: Reviewed
    quiet: Sequence[Quiet]
    absent: int

    def of(self, split: str) -> list[Triplet]:
        return [one for one in self.triplets if self.splits[one.place] == split]

    def split_of(self, quiet: Quiet) -> str:
        """Places where nothing was found are not split: they are learned from."""
        return self.splits.get(quiet.place, "train")

    def mask(self, triplet: Triplet) -> Bool:
        return (mended_mask if triplet.id in self.reviewed.mended else read_mask)(self.folder, triplet.mask)


def export(
    folder: Path,
    out: Path,
    format_: str,
    *,
    val: float = 0.2,
    licence: str = "not stated",
    audited_only: bool = False,
    absent: int = 0,
) -> int:
    """The kept triplets of a crafted set in a new folder, less what people rejected or differ about, as they mended it.

    val           at least this share of the sentences goes to the second split, by whole places; 0 = none
    licence       of the pictures, for the datasheet
    audited_only  nothing that no person has accepted
    absent        sentences about what is nowhere in a pair by its labels, at most, with empty masks; of mtrefseg21k

    How many there are is returned.

    Raises QueryError for an unknown format or for absent sentences in another, DataError where nothing was kept, `out`
    holds something, or a picture or mask is no longer the one that was crafted. Nothing is left behind then.
    """
    _refuse_wrongly_asked(format_, absent, audited_only=audited_only)
    with Ledger(folder) as ledger:
        kept, refused, asked = ledger.triplets(), ledger.triplets(UNCORRECTED), ledger.asked
        quiet = ledger.quiet()
    reviewed = review(folder, kept, refused, audited_only=audited_only)
    triplets = reviewed.triplets
    if not triplets:
        raise _nothing(folder, audited_only=audited_only)
    spoken = {one.pair for one in triplets}
    # Where nothing was found the labels speak alone, which no person has seen.
    silent = (format_ == "pairs" or absent > 0) and not audited_only
    quiet = [one for one in quiet if one.pair in spoken or (silent and not one.changed)]
    names, splits = _names(one.pair for one in quiet), split_places(triplets, val=val)
    crafted = _Set(folder, triplets, names, splits, reviewed, quiet, absent)
    _refuse_changed(quiet)
    with whole_folder(out) as temporary:
        writers: dict[str, Callable[[_Set, Path], None]] = {
            "mtrefseg21k": _as_mtrefseg21k, "coco": _as_coco, "labelstudio": _as_label_studio, "pairs": _as_pairs,
        }  # fmt: skip
        writers[format_](crafted, temporary)
        _placed(_table(crafted), crafted).to_parquet(temporary / "triplets.parquet", index=False)
        sheet = _datasheet(crafted, asked, refused=len(refused), licence=licence)
        (temporary / "datasheet.md").write_text(sheet, encoding="utf-8")
        told = f"{len(triplets)} sentences about what changed between two pictures of a place, each with its mask."
        sets = ", ".join(sorted({one.pair.split("/")[0] for one in triplets}))  # no folder's name: equal bytes
        described = json_bytes(croissant(temporary, name=sets, description=told, licence=licence))
        (temporary / CROISSANT).write_bytes(described)
    return len(triplets)


def _nothing(folder: Path, *, audited_only: bool) -> DataError:
    found = "no triplet that a person accepted" if audited_only else "no triplet that was kept"
    remedy = "geomtrs audit DIR, or leave --audited-only out" if audited_only else "see craft status DIR"
    return DataError(folder, found=found, wanted="one at least", remedy=remedy)


def _refuse_wrongly_asked(format_: str, absent: int, *, audited_only: bool) -> None:
    if format_ not in FORMATS:
        raise QueryError("--format", found=repr(format_), wanted=", ".join(FORMATS), remedy="name one of them")
    if absent and (format_ != "mtrefseg21k" or audited_only):
        raise QueryError(
            "--absent", found=f"--format {format_}{' --audited-only' * audited_only}",
            wanted="mtrefseg21k, whoever has seen them", remedy="leave --absent out",
        )  # fmt: skip


def split_places(triplets: Sequence[Triplet], *, val: float) -> dict[str, str]:
    """The split of each place, in the order of a hash of their names; one place stays in train whatever `val` is."""
    counts = Counter(one.place for one in triplets)
    order = sorted(counts, key=lambda place: hashlib.blake2b(place.encode(), digest_size=8).hexdigest())
    splits, held = dict.fromkeys(order, "train"), 0
    for place in order[:-1]:
        if held >= val * len(triplets):
            break
        splits[place] = "val"
        held += counts[place]
    return splits


def _as_mtrefseg21k(crafted: _Set, out: Path) -> None:
    for split, name in SPLITS.items():
        some = [*_written(crafted, crafted.of(split)), *_nowhere(crafted, split)]
        if some:
            triplets.write_split(out / name, some)


def _as_pairs(crafted: _Set, out: Path) -> None:
    """What training of nano reads; DataError where no sentence is about a thing that it can learn."""
    taught = {pair: list(some) for pair, some in groupby(crafted.triplets, key=lambda one: one.pair)}
    facts = [
        write_taught(
            out / SET,
            crafted.names[one.pair],
            crafted.split_of(one),
            one,
            [(triplet, crafted.mask(triplet)) for triplet in taught.get(one.pair, ())],
            crafted.folder,
        )
        for one in crafted.quiet
    ]
    lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in facts if one is not None]
    if not lines:
        raise DataError(
            crafted.folder, found="no sentence about a thing that came or went", wanted="one of the 17 things of nano",
            remedy="--format mtrefseg21k holds every sentence, for a model of the published size",
        )  # fmt: skip
    (out / SET / "samples.jsonl").write_text("".join(lines), encoding="utf-8")


def _written(crafted: _Set, some: Iterable[Triplet]) -> Iterator[triplets.Triplet]:
    for one in some:
        yield triplets.Triplet(crafted.names[one.pair], *one.files, crafted.mask(one), one.sentence)


def _nowhere(crafted: _Set, split: str) -> Iterator[triplets.Triplet]:
    """Sentences with empty masks, which the format allows: one of seven is so in its remote-sensing val split."""
    for one in crafted.quiet:
        if crafted.split_of(one) == split:
            for sentence in absent_sentences(one.pair, one.things, crafted.absent):
                yield triplets.Triplet(crafted.names[one.pair], *one.files, np.zeros(one.shape, bool), sentence)


def _as_coco(crafted: _Set, out: Path) -> None:
    files = _copy(crafted, out)
    categories = {name: i for i, name in enumerate(sorted({thing_of(one) for one in crafted.triplets}), 1)}
    pairs = {pair: i for i, pair in enumerate(sorted(crafted.names), 1)}
    numbers = {one.id: i for i, one in enumerate(crafted.triplets, 1)}
    ids: dict[str, list[str]] = {}
    for one in crafted.triplets:
        ids.setdefault(one.pair, []).append(one.id)
    for split in SPLITS:
        images: dict[str, dict[str, Any]] = {}
        annotations = []
        for one in crafted.of(split):
            mask = crafted.mask(one)
            images[one.pair] = {
                "id": pairs[one.pair], "file_name": files[one.pair][1], "file_name_before": files[one.pair][0],
                "height": mask.shape[0], "width": mask.shape[1], "place": one.place, "gsd_m": one.gsd_m,
                "triplets": ids[one.pair],
            }  # fmt: skip
            annotations.append({
                "id": numbers[one.id], "image_id": pairs[one.pair], "category_id": categories[thing_of(one)],
                "segmentation": coco_rle(mask), "area": int(mask.sum()), "bbox": _bounds(mask), "iscrowd": 0,
                "caption": one.sentence, "kind": one.kind, "triplet": one.id,
            })  # fmt: skip
        document = {
            "info": {"description": "sentences about what changed between file_name_before and file_name"},
            "categories": [{"id": i, "name": name, "supercategory": "change"} for name, i in categories.items()],
            "images": list(images.values()),
            "annotations": annotations,
        }
        if annotations:
            (out / f"{split}.json").write_bytes(json_bytes(document))


def _as_label_studio(crafted: _Set, out: Path) -> None:
    files = _copy(crafted, out)
    tasks = []
    for one in crafted.triplets:
        mask = crafted.mask(one)
        before, after = files[one.pair]
        size = {"original_width": mask.shape[1], "original_height": mask.shape[0], "image_rotation": 0}
        value = {"format": "rle", "rle": brush_rle(mask), "brushlabels": [one.kind]}
        told = [
            {"id": f"{one.id}-mask", "from_name": "mask", "to_name": "after", "type": "brushlabels", **size,
             "value": value},
            {"id": f"{one.id}-words", "from_name": "sentence", "to_name": "after", "type": "textarea",
             "value": {"text": [one.sentence]}},
        ]  # fmt: skip
        data = {
            "before": _LOCAL + before, "after": _LOCAL + after, "sentence": one.sentence, "kind": one.kind,
            "place": one.place, "split": crafted.splits[one.place], "triplet": one.id,
        }  # fmt: skip
        tasks.append({"data": data, "predictions": [{"model_version": "geomtrs craft", "result": told}]})
    (out / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    labels = "".join(f'<Label value="{kind}"/>' for kind in KINDS)
    (out / "labels.xml").write_text(
        '<View><Header value="$sentence"/><Image name="before" value="$before"/>'
        '<Image name="after" value="$after" zoom="true"/>'
        f'<BrushLabels name="mask" toName="after">{labels}</BrushLabels>'
        '<Choices name="verdict" toName="after"><Choice value="accept"/><Choice value="reject"/></Choices>'
        '<TextArea name="sentence" toName="after" editable="true"/></View>\n',
        encoding="utf-8",
    )


def _copy(crafted: _Set, out: Path) -> dict[str, tuple[str, str]]:
    """Pictures of every pair under A and B, upright; their files relative to `out`."""
    files = {}
    for one in {one.pair: one for one in crafted.triplets}.values():
        pair = []
        for side, file in zip("AB", one.files, strict=True):
            (out / side).mkdir(exist_ok=True)
            name = f"{side}/{crafted.names[one.pair]}.png"
            (out / name).write_bytes(png(pictures.read_picture(file)))
            pair.append(name)
        files[one.pair] = (pair[0], pair[1])
    return files


def _refuse_changed(pairs: Sequence[Quiet]) -> None:
    for one in pairs:
        for side, file in zip("AB", one.files, strict=True):
            if not file.is_file() or file_hash(file) != one.hashes[side]:
                raise DataError(
                    file, found="other bytes" if file.is_file() else "no such file",
                    wanted="the picture that was crafted", remedy="put it back, or craft into a new folder",
                )  # fmt: skip


def _names(pairs: Iterable[str]) -> dict[str, str]:
    """A file name for each pair, the same on every system; a digest keeps those apart that would be alike."""
    pairs = sorted(set(pairs))
    plain = {pair: re.sub(r"[^A-Za-z0-9._-]+", "_", pair).strip("._")[:80] or "pair" for pair in pairs}
    often = Counter(name.casefold() for name in plain.values())
    digest = {pair: hashlib.blake2b(pair.encode(), digest_size=4).hexdigest() for pair in pairs}
    return {pair: name if often[name.casefold()] == 1 else f"{name}_{digest[pair]}" for pair, name in plain.items()}


def _bounds(mask: Bool) -> list[int]:
    """Left, top, width, height."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _table(crafted: _Set) -> pd.DataFrame:
    """A row a triplet."""
    return pd.DataFrame([
        {
            "id": one.id, "pair": one.pair, "file": crafted.names[one.pair], "split": crafted.splits[one.place],
            "place": one.place, "sentence": one.sentence, "kind": KINDS.index(one.kind), "kind_name": one.kind,
            "wording": one.wording, "class": thing_of(one), "cells": " ".join(one.finding["cells"]),
            "pixels": one.pixels, "gsd_m": one.gsd_m, "before_hash": one.hashes["A"], "after_hash": one.hashes["B"],
            "mask_hash": one.mask,
            "crs": one.ground.crs if one.ground else "pixels",
        }
        for one in crafted.triplets
    ])  # fmt: skip


def _placed(table: pd.DataFrame, crafted: _Set) -> pd.DataFrame:
    """With the masks' outlines on the ground in longitude and latitude, where a pair has a ground; else as it is."""
    if not any(one.ground for one in crafted.triplets):
        return table
    outlines = [None if one.ground is None else _outline(crafted.mask(one), one.ground) for one in crafted.triplets]
    placed: pd.DataFrame = geopandas.GeoDataFrame(table, geometry=outlines, crs="EPSG:4326")
    return placed


def _outline(mask: Bool, ground: Ground) -> shapely.Geometry:
    found = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, transform=Affine(*ground.transform))
    parts = shapely.multipolygons([shapely.geometry.shape(one) for one, _ in found])
    move = pyproj.Transformer.from_crs(ground.crs, "EPSG:4326", always_xy=True)
    return shapely.transform(parts, lambda xy: np.stack(move.transform(xy[:, 0], xy[:, 1]), axis=1))


def _datasheet(crafted: _Set, asked: Mapping[str, Any], *, refused: int, licence: str) -> str:
    words = [len(one.sentence.split()) for one in crafted.triplets]
    lines = [
        "# Datasheet", "",
        f"{len(crafted.triplets)} sentences with masks, {len(crafted.names)} pairs, {len(crafted.splits)} places.",
        f"{refused} sentences were refused by a rule; they are here only where people accepted them.",
        _people(crafted.reviewed), "",
        "## Made by", "", *(f"- {part}: {asked[part]}" for part in ("perceiver", "segmenter", "verifier", "phraser")),
        f"- seed: {asked['seed']}", "", "## Licence of the pictures", "", licence, "",
        f"## Sentences: {min(words)} to {max(words)} words, {statistics.fmean(words):.1f} in the mean", "",
    ]  # fmt: skip
    for title, of in _COUNTED.items():
        counts = Counter(of(crafted, one) for one in crafted.triplets)
        lines += [f"| {title} | sentences |", "|---|---:|"]
        lines += [f"| {name} | {count} |" for name, count in sorted(counts.items(), key=lambda x: (-x[1], x[0]))]
        lines.append("")
    return "\n".join(lines)


def _people(reviewed: Reviewed) -> str:
    """Who looked at them, and what they said."""
    if not reviewed.auditors:
        return "No person has looked at them yet."
    counts = ", ".join(f"{count} {what}" for what, count in reviewed.counts.items())
    return f"People looked at them ({', '.join(reviewed.auditors)}): {counts}. Rejected and disputed ones are not here."


_COUNTED: Mapping[str, Callable[[_Set, Triplet], str]] = {
    "split": lambda crafted, one: crafted.splits[one.place],
    "kind": lambda _, one: one.kind,
    "class": lambda _, one: thing_of(one),
    "wording": lambda _, one: one.wording,
    "set": lambda _, one: one.pair.split("/")[0],
}
