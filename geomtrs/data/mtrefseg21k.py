"""MTRefSeg-21K and folders like it: pairs of pictures of any size, sentences about what changed, and their masks.

A split is `A/<name>.jpg`, `B/<name>.jpg`, `masks/<id>/<i>.png` and `referring_expression/<id>.json`, an object with
`sample_id`, `img_A`, `img_B`, `referring_expressions` and `mask` or `masks`. Without the last folder (how the data of
the published stage 1 lie) each pair has the one sentence SENTENCE. The published code (arXiv 2606.00987) reads this
by two rules, one in training and one in evaluation; both are here, and what they pass over in silence is listed.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from geomtrs.data.pictures import read_mask, read_picture
from geomtrs.data.torchgeo import ensure_torchvision
from geomtrs.errors import DataError, QueryError

SENTENCE = "the changed area between the two images"  # of a pair without sentences of its own
SPLITS = (
    "train_FINAL_CLEAN", "val_FINAL_CLEAN", "NS_FINAL_CLEAN_train", "NS_FINAL_CLEAN_val", "RS_FINAL_CLEAN_train",
    "RS_FINAL_CLEAN_val",
)  # fmt: skip
SENTENCES = "referring_expression"  # the folder of the JSON files
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")  # in the order they are looked for
MASK_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
PLAIN_MASK_SUFFIXES = (".png", ".tif", ".tiff")  # where there are no sentences


class Rule(StrEnum):
    """How masks are found, pictures named by default and samples called.

    TRAINING is the default: its i-th sentence gets the i-th mask there is, so it finds masks under every fallback and
    whatever they are called. EVALUATION wants a mask named i, does not look for a single mask under the name of the
    JSON file, indexes a mask given as text by character, and cannot read `mask` as null or as an object.
    """

    TRAINING = "training"
    EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True)
class Sample:
    """One sentence about one pair; `mask` is None only in a split that has no folder of masks at all."""

    name: str
    before: Path
    after: Path
    mask: Path | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A file of a split that is passed over, or not read as it was probably meant: what was found and wanted."""

    path: Path
    reason: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a split by one of the rules, in its order, and what is not read."""

    samples: tuple[Sample, ...]
    broken: tuple[Broken, ...]


def splits(root: Path) -> tuple[Path, ...]:
    """The splits in a folder, the published ones first: `root` itself where it has A and B, else folders that have."""
    if _is_split(root):
        return (root,)
    inside = root.iterdir() if root.is_dir() else ()
    folders = [folder for folder in inside if folder.is_dir() and not folder.name.startswith(".")]
    published = {name: place for place, name in enumerate(SPLITS)}
    found = [folder for folder in folders if folder.name in published or _is_split(folder)]
    return tuple(sorted(found, key=lambda folder: (published.get(folder.name, len(SPLITS)), folder.name)))


def read_split(folder: Path, *, rule: str = Rule.TRAINING, split: str = "val") -> Listing:
    """Samples of a split as the published reader of that rule lists them, names and order included.

    By the rule of evaluation a folder without A, B and masks is taken for the root of several splits, and `split`
    read; by that of training `split` means nothing. Raises DataError where there is no split, and, by the rule of
    evaluation, at a JSON file whose list of masks is not one; QueryError for an unknown rule.
    """
    rule = _rule(rule)
    root = _root(folder, rule, split)
    reading = _with_sentences(root, rule) if (root / SENTENCES).is_dir() else _without_sentences(root)
    found = tuple(reading)
    return Listing(
        tuple(one for one in found if isinstance(one, Sample)), tuple(one for one in found if isinstance(one, Broken))
    )


def dataset_base() -> type[object]:
    """The class of torchgeo for data without geography where torchgeo is installed, else that of torch."""
    if importlib.util.find_spec("torchgeo") is None:
        return Dataset
    ensure_torchvision()
    from torchgeo.datasets import NonGeoDataset

    base: type[object] = NonGeoDataset
    return base


if TYPE_CHECKING:
    _Base = Dataset[dict[str, Tensor | str]]
else:
    _Base = dataset_base()


class ReferringPairs(_Base):
    """A split as a map-style data set; satellite tiles and street photographs alike, each at its own size.

    An item is as torchgeo's are: `image` (2, 3, H, W) float32 of 0 to 255, earlier and later, `mask` (1, H, W) int64 of
    0 and 1 where there is one; and `sentence` and `name`. Sizes differ between items: collate one at a time, or bring
    them to one size by `transforms`, which is given the item. A file that cannot be read, or of another size than its
    pair, raises DataError when its item is asked for.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        rule: str = Rule.TRAINING,
        split: str = "val",
        transforms: Callable[[dict[str, Tensor | str]], dict[str, Tensor | str]] | None = None,
    ) -> None:
        self.listing = read_split(Path(folder), rule=rule, split=split)
        self.transforms = transforms

    def __len__(self) -> int:
        """Sentences, not pairs."""
        return len(self.listing.samples)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        sample = self.listing.samples[index]
        before, after = read_picture(sample.before), read_picture(sample.after)
        if before.shape != after.shape:
            raise DataError(
                sample.after, found="{1} × {0} px".format(*after.shape), wanted="{1} × {0} px".format(*before.shape),
                remedy="bring the pair to one size",
            )  # fmt: skip
        image = torch.from_numpy(np.stack([before, after])).permute(0, 3, 1, 2).float()  # (2, 3, H, W)
        item: dict[str, Tensor | str] = {"image": image, "sentence": sample.sentence, "name": sample.name}
        if sample.mask is not None:
            item["mask"] = torch.from_numpy(read_mask(sample.mask)[None].astype(np.int64))
        return item if self.transforms is None else self.transforms(item)


def _rule(rule: str) -> Rule:
    try:
        return Rule(rule)
    except ValueError as error:
        raise QueryError("rule", found=repr(rule), wanted=" or ".join(Rule), remedy="name one of them") from error


def _is_split(folder: Path) -> bool:
    return (folder / "A").is_dir() and (folder / "B").is_dir()


def _root(folder: Path, rule: Rule, split: str) -> Path:
    if rule is Rule.EVALUATION and not all((folder / name).is_dir() for name in ("A", "B", "masks")):
        folder /= split
    if not (folder / SENTENCES).is_dir() and not (folder / "A").is_dir():
        raise DataError(
            folder, found=f"neither {SENTENCES} nor A", wanted="a split: A, B, masks and its sentences",
            remedy="name the folder of one split",
        )  # fmt: skip
    return folder


def _with_sentences(root: Path, rule: Rule) -> Iterator[Sample | Broken]:
    files = sorted((root / SENTENCES).glob("*.json"), key=lambda file: file.name)
    if not files:
        yield Broken(root / SENTENCES, "found no JSON; wanted a file for each pair, or no such folder")
    pictures = {side: _names(root / side) for side in "AB"}
    for file in files:
        try:
            yield from tuple(_read_file(file, pictures, rule))
        except OSError as error:  # a name that no file can have
            yield Broken(file, f"found {error.strerror} at a name in it; wanted names of files")


def _read_file(file: Path, pictures: Mapping[str, Collection[str]], rule: Rule) -> Iterator[Sample | Broken]:
    """Samples of one pair, or the first reason why it has none, then sentences without a mask."""
    root = file.parent.parent
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        yield Broken(file, f"found {type(error).__name__} ({error}); wanted JSON")
        return
    if not isinstance(facts, dict):
        yield Broken(file, f"found {_described(facts)}; wanted an object")
        return
    sample_id = _text(facts, "sample_id", file.stem)
    default = sample_id if rule is Rule.TRAINING else file.stem
    pair = []
    for side in "AB":
        stem = _cut(_text(facts, f"img_{side}", default))
        name = _look_up(stem, pictures[side], PICTURE_SUFFIXES)
        if name is None:
            yield Broken(file, _no_picture(side, stem, pictures[side]))
            return
        pair.append(root / side / name)
    sentences = facts.get("referring_expressions")
    if not sentences or not isinstance(sentences, (list, str)):
        yield Broken(file, f"found {_described(sentences)} as referring_expressions; wanted a list of sentences")
        return
    if isinstance(sentences, str):
        yield Broken(
            file, "found one text as referring_expressions; wanted a list: each character counts as a sentence"
        )
    masks = _Masks(file, facts, sample_id, rule)
    for place, sentence in enumerate(sentences):
        mask = masks.of(place)
        if not isinstance(sentence, str):
            yield Broken(file, f"found {_described(sentence)} as sentence {place}; wanted text")
        elif mask is None and masks.folder.is_dir():
            yield Broken(file, f"found no mask for sentence {place}; wanted {masks.wanted(place)}")
        elif mask is not None and not _lies_in(root, mask):
            yield Broken(file, f"found {mask} as the mask of sentence {place}; wanted a file in {root}")
        else:
            name = sample_id if rule is Rule.TRAINING else f"{sample_id}_{place}"
            yield Sample(name, pair[0], pair[1], mask, sentence)


class _Masks:
    """Where the masks of one JSON file are, by one rule: named in it, in a folder of the pair, or one for all."""

    def __init__(self, file: Path, facts: Mapping[str, object], sample_id: str, rule: Rule) -> None:
        self.file, self.rule = file, rule
        self.folder = file.parent.parent / "masks"
        self.names = tuple(dict.fromkeys((sample_id, file.stem)))
        self.declared = facts["mask"] if "mask" in facts else facts.get("masks", [])
        filled = (found for name in self.names if (found := _in_order(self.folder / name)))
        self.numbered = next(filled, ()) if rule is Rule.TRAINING else ()

    def of(self, place: int) -> Path | None:
        """The mask of the sentence at `place`, counted from 0."""
        name = self._declared(place)
        if name and (self.folder / name).is_file():
            return self.folder / name
        return next((path for path in self._undeclared(place) if path.is_file()), None)

    def wanted(self, place: int) -> str:
        """What would have been found."""
        named = "the mask number" if self.rule is Rule.TRAINING else "a mask named"
        return f"{named} {place} in masks/{self.names[0]}, or masks/{self.names[0]}.png"

    def _declared(self, place: int) -> str | None:
        declared = self.declared
        if self.rule is Rule.TRAINING and not isinstance(declared, list):
            return None
        if not isinstance(declared, (list, str)) and declared != {}:
            raise DataError(
                self.file, found=f"{_described(declared)} as its masks, which the published evaluation cannot read",
                wanted="a list", remedy="mend the file, or read by the rule of training",
            )  # fmt: skip
        entry = declared[place] if isinstance(declared, (list, str)) and place < len(declared) else None
        name = entry.get("path") if isinstance(entry, dict) else entry
        return name if isinstance(name, str) else None

    def _undeclared(self, place: int) -> Iterator[Path]:
        if self.rule is Rule.TRAINING:
            yield from self.numbered[place : place + 1]
        else:
            yield from (self.folder / name / f"{place}{suffix}" for name in self.names for suffix in MASK_SUFFIXES)
        for name in self.names if self.rule is Rule.TRAINING else self.names[:1]:
            yield from (self.folder / f"{name}{suffix}" for suffix in MASK_SUFFIXES)


def _without_sentences(root: Path) -> Iterator[Sample | Broken]:
    """Pairs by stem; a stem that A has under two suffixes is listed twice, as the published readers do."""
    earlier, later, masks = (_names(root / name) for name in ("A", "B", "masks"))
    for name in sorted(earlier):
        stem = _cut(name)
        if not name.lower().endswith(PICTURE_SUFFIXES):
            if not name.startswith("."):
                yield Broken(root / "A" / name, f"found no picture; wanted one of {' '.join(PICTURE_SUFFIXES)}")
            continue
        before, after = (_look_up(stem, names, PICTURE_SUFFIXES) for names in (earlier, later))
        mask = _look_up(stem, masks, PLAIN_MASK_SUFFIXES)
        if before is None:
            yield Broken(root / "A" / name, _no_picture("A", stem, earlier))
        elif after is None:
            yield Broken(root / "A" / name, _no_picture("B", stem, later))
        elif mask is None and (root / "masks").is_dir():
            yield Broken(
                root / "A" / name, f"found no mask; wanted masks/{stem} with one of {' '.join(PLAIN_MASK_SUFFIXES)}"
            )
        else:
            yield Sample(
                stem, root / "A" / before, root / "B" / after, root / "masks" / mask if mask else None, SENTENCE
            )


def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def _in_order(folder: Path) -> tuple[Path, ...]:
    """The masks in a folder: numbers by value, then other names."""
    found = [folder / name for name in _names(folder) if name.lower().endswith(MASK_SUFFIXES)]
    number = {path: int(path.stem) if path.stem.isdecimal() else None for path in found}
    return tuple(sorted(found, key=lambda path: (number[path] is None, number[path] or 0, path.name)))


def _cut(name: str) -> str:
    """Without what follows the last dot, also where that was no suffix: as the published readers do."""
    return name.rpartition(".")[0] or name


def _look_up(stem: str, names: Collection[str], suffixes: Sequence[str]) -> str | None:
    # In the names of the folder, not on the disk: some systems would find s.JPG under s.jpg, and give other lists.
    return next((stem + suffix for suffix in suffixes if stem + suffix in names), None)


def _no_picture(side: str, stem: str, names: Collection[str]) -> str:
    loud = _look_up(stem, names, tuple(suffix.upper() for suffix in PICTURE_SUFFIXES))
    return f"found {loud or 'no picture'}; wanted {side}/{stem} with one of {' '.join(PICTURE_SUFFIXES)}"


def _lies_in(root: Path, path: Path) -> bool:
    """By its name: links lead where whoever made them wants them to."""
    return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(root))


def _text(facts: Mapping[str, object], key: str, default: str) -> str:
    value = facts.get(key)
    return default if value is None or value == "" else str(value)


def _described(value: object) -> str:
    """A value of a JSON file, for a line of text."""
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}…"
