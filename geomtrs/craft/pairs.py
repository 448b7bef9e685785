"""Pairs as they lie on disk: folders with A and B, with labels and masks where there are some.

Beside `A/` and `B/` may be `labelA/`, `labelB/` and `mask/`, with `samples.jsonl` (a line a pair: name, scene, gsd_m,
direction, change_class) and `classes.json` (value → name). What lies in rasters is cut by `rasters`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomtrs.craft.perceive import things_by_name
from geomtrs.craft.protocols import Pair
from geomtrs.data.astray import LABELS, PLANES, astray
from geomtrs.data.labels import ANYTHING, THINGS, LabelRule, Labels, mask_means, rule_of
from geomtrs.data.mtrefseg21k import PICTURE_SUFFIXES
from geomtrs.data.pairs import read_list
from geomtrs.data.pictures import marks_of, read_labels, read_picture
from geomtrs.errors import DataError
from geomtrs.hashing import file_hash

_QUIET = (".webp", *PICTURE_SUFFIXES)
_SUFFIXES = (*_QUIET, *map(str.upper, _QUIET))
_CLASSES = 'what label values mean, such as {"1": "building"}'
_IGNORED = 255  # whatever it is called
_NOTHING = {"", "unlabelled", "unlabeled", "ignore", "ignored", "unknown", "no data", "nodata", "void"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A pair as it lies on disk, before anything of it is read."""

    id: str
    name: str
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON

    def path(self, plane: str) -> Path | None:
        """The file of A, B, mask, labelA or labelB."""
        paths = (self.folder / plane / f"{self.name}{suffix}" for suffix in _SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    @property
    def classes(self) -> Path:
        """Where it is written what the values of its labels mean."""
        return self.folder / "classes.json"

    def files(self) -> dict[str, Path]:
        """What is read of it, by plane; labels only with the classes that say what they mean."""
        found = {plane: path for plane in PLANES if (path := self.path(plane))}
        if rule_of(self.folder.name, self.name) is not None or not found.keys() >= {*LABELS}:
            return found
        if self.classes.is_file():
            return found | {"classes": self.classes}
        return {plane: path for plane, path in found.items() if plane not in LABELS}

    def changed(self, hashes: Mapping[str, str]) -> list[str]:
        """Which of its masks and labels are others than those of these hashes."""
        now = {plane: file_hash(path) for plane, path in self.files().items() if plane not in "AB"}
        before = {plane: value for plane, value in hashes.items() if plane not in "AB"}
        if before.keys() == now.keys() - {"classes"}:  # crafted before they were told
            now.pop("classes", None)
        if "classes" not in before:  # crafted when labels that nothing explains were told, too
            now |= {plane: file_hash(path) for plane in before if plane not in now and (path := self.path(plane))}
        return sorted(plane for plane in now.keys() | before.keys() if now.get(plane) != before.get(plane))

    def read(self) -> Pair:
        """As `read_pair`."""
        return read_pair(self)


def list_pairs(source: Path) -> list[Listed]:
    """Every pair of a folder, set by set, in the order of its list or of its names; single dates are left out."""
    found = [one for folder in _sets(source) for one in _listed(folder) if one.path("A") and one.path("B")]
    if not found:
        there = "no pair in A and B" if source.is_dir() else "no such folder"
        raise DataError(
            source, found=there, wanted=f"A and B with pictures of the same names ({' '.join(_QUIET)})",
            remedy="check the path, or rename the pictures",
        )  # fmt: skip
    return found


def unread(source: Path) -> list[str]:
    """A line for what lies in a folder of pairs and is not read, though it may be meant to be."""
    told: list[str] = []
    for folder in _sets(source):
        listed = [one for one in _listed(folder) if one.path("A")]
        mine = [one for one in listed if one.path("B")]
        alone = [one.name for one in listed if not one.path("B")]
        if alone and not (folder / "samples.jsonl").is_file():
            told.append(f"{folder}: {len(alone)} pictures of A are left out: B has none called {alone[0]}")
        told += astray(folder, [one.name for one in mine], _SUFFIXES)
        classes = folder / "classes.json"
        labelled = any(one.path("labelA") and one.path("labelB") for one in mine)
        if labelled and not classes.is_file() and all(rule_of(folder.name, one.name) is None for one in mine):
            told.append(str(DataError(classes, found="no such file", wanted=_CLASSES, remedy="write it")))
    return told


def first_labels(source: Path) -> tuple[tuple[str, str], LabelRule] | None:
    """Those of both dates of the first pair that has them, and how they read; None where no pair has."""
    for one in list_pairs(source):
        files, rule = one.files(), _rule_for(one)
        if rule is not None and files.keys() >= {*LABELS}:
            return (str(files["labelA"]), str(files["labelB"])), rule
    return None


def read_pair(listed: Listed) -> Pair:
    """Raises DataError where a file does not read or the planes are of several sizes."""
    paths = listed.files()
    pictures = {plane: read_picture(paths[plane]) for plane in "AB"}
    readers = {"mask": marks_of, "labelA": read_labels, "labelB": read_labels}
    planes = {plane: read(paths[plane]) for plane, read in readers.items() if plane in paths}
    shape = pictures["A"].shape[:2]
    for plane, array in (pictures | planes).items():
        if array.shape[:2] != shape:
            raise DataError(
                paths[plane], found=f"{array.shape[:2]} rows and columns", wanted=f"{shape}, as the earlier picture",
                remedy="bring the pair to one size",
            )  # fmt: skip
    gsd, place = listed.facts.get("gsd_m"), listed.facts.get("scene")
    return Pair(
        id=listed.id,
        place=f"{listed.folder.name}/{place}" if place else listed.id,
        before=pictures["A"],
        after=pictures["B"],
        files=(paths["A"].resolve(), paths["B"].resolve()),
        hashes={plane: file_hash(path) for plane, path in paths.items()},
        gsd_m=float(gsd) if gsd else None,
        labels=_labels(listed, planes, shape),
    )


def rule_of_classes(classes: Mapping[str, str]) -> LabelRule:
    """How label values read, by the names of their classes.

    A class with exactly a thing's name is that thing; one that has the name within ("forest and other vegetation") may
    be it; every other is something else. Raises ValueError for a value that no label can have.
    """
    names = {int(value): re.sub(r"\(.*?\)", "", name).strip().lower() for value, name in classes.items()}
    for value in [value for value in names if not 0 <= value < _IGNORED]:
        if names.pop(value) not in _NOTHING:
            raise ValueError(f"a class of value {value}: those of labels are 0 to {_IGNORED - 1}")
    things = things_by_name()
    present = {value: things[name] for value, name in names.items() if name in things}
    ignored = tuple(value for value, name in names.items() if name in _NOTHING)
    within = {
        thing: tuple(
            value
            for value, name in names.items()
            if value not in present and any(things.get(word) == thing for word in re.findall(r"[a-z-]+", name))
        )
        for thing in set(present.values())
    }
    return LabelRule(present, within, (*ignored, _IGNORED))


def _sets(source: Path) -> list[Path]:
    """The folder itself or those in it, but hidden ones, which are other programs' or half made."""
    if _is_set(source):
        return [source]
    return sorted(one for one in source.iterdir() if one.name[0] != "." and _is_set(one)) if source.is_dir() else []


def _is_set(folder: Path) -> bool:
    return (folder / "A").is_dir() and (folder / "B").is_dir()


def _listed(folder: Path) -> Iterator[Listed]:
    if (folder / "samples.jsonl").is_file():
        seen: set[str] = set()
        for facts in read_list(folder, keys=("name", "gsd_m")):
            if str(facts["name"]) in seen:
                raise DataError(
                    folder / "samples.jsonl", found=f"{facts['name']} twice", wanted="one line a pair",
                    remedy="take a line out",
                )  # fmt: skip
            seen.add(str(facts["name"]))
            yield Listed(f"{folder.name}/{facts['name']}", str(facts["name"]), folder, facts)
        return
    pictures = [path for path in (folder / "A").iterdir() if path.suffix in _SUFFIXES and path.name[0] != "."]
    for name in sorted({path.stem for path in pictures}):
        yield Listed(f"{folder.name}/{name}", name, folder)


def _labels(listed: Listed, planes: Mapping[str, NDArray[np.uint8]], shape: tuple[int, ...]) -> Labels | None:
    """What is known of the pair; None where nothing is."""
    mask = planes.get("mask")
    still = np.zeros(shape, bool) if mask is None else mask == 0
    if planes.keys() >= {*LABELS} and (rule := _rule_for(listed)) is not None:
        return Labels.by_rule(rule, planes["labelA"], planes["labelB"], still)
    if mask is None:
        return None
    means = mask_means(listed.folder.name, listed.name) or str(listed.facts.get("change_class", "")).lower()
    thing = THINGS.index(things[means]) if means in (things := things_by_name()) else ANYTHING
    return Labels.by_mask(still, thing, listed.facts.get("direction"))


def read_classes(path: Path) -> LabelRule:
    """How label values read, by a file of value → name. Raises DataError where it does not read."""
    try:
        return rule_of_classes(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(path, found=str(error), wanted=_CLASSES, remedy="mend the file") from error


def _rule_for(listed: Listed) -> LabelRule | None:
    known = rule_of(listed.folder.name, listed.name)
    return known or (read_classes(listed.classes) if listed.classes.is_file() else None)
