"""Triplets of two pictures, a sentence and a mask written as a split that both published readers read back."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geomtrs.data.mtrefseg21k import PICTURE_SUFFIXES, SENTENCES, Rule, read_split
from geomtrs.data.pictures import read_picture
from geomtrs.data.whole import whole_folder
from geomtrs.errors import DataError

# What Windows, macOS and Linux all take as the name of a file.
FILE_NAME = re.compile(r'(?![. ])[^<>:"/\\|?*\x00-\x1f]{1,100}(?<![. ])')


@dataclass(frozen=True, slots=True)
class Triplet:
    """A pair, a sentence and its mask, to be written: pictures (H, W, 3) uint8 or files, the mask (H, W) bool.

    Triplets of one name are sentences about one pair, so their pictures must be the same.
    """

    name: str
    before: NDArray[np.uint8] | Path
    after: NDArray[np.uint8] | Path
    mask: NDArray[np.bool_]
    sentence: str


def write_split(folder: Path, triplets: Iterable[Triplet]) -> int:
    """Writes a split that both rules read back to the same triplets, and returns how many there are.

    Masks are PNG of 0 and 255; pictures given as files of a suffix that is looked for are copied, others become PNG.
    Everything is written beside `folder`, listed again by both rules, then renamed. Raises DataError where `folder`
    holds something, a name cannot be that of a file, or pictures and masks do not fit; nothing is left behind then.
    """
    with whole_folder(folder) as temporary:
        for name in ("A", "B", "masks", SENTENCES):
            (temporary / name).mkdir()
        count = _write(temporary, triplets)
        for rule in Rule:
            listing = read_split(temporary, rule=rule)
            if len(listing.samples) != count or (listing.broken and count):
                raise DataError(
                    folder, found=f"{len(listing.samples)} samples by the rule of {rule}", wanted=f"{count} as written",
                    remedy="check the disk, then write again",
                )  # fmt: skip
    return count


@dataclass(slots=True)
class _Written:
    """A pair on its way to the disk: its pictures are there, its sentences still gather."""

    name: str
    digest: str
    shape: tuple[int, int]
    pictures: tuple[str, str]  # file names in A and B
    sentences: list[str]


def _write(folder: Path, triplets: Iterable[Triplet]) -> int:
    """Pictures and masks as the triplets come, the JSON files at the end."""
    pairs: dict[str, _Written] = {}  # by name without case, since some systems ignore it
    for triplet in triplets:
        digest = _digest(triplet.before) + _digest(triplet.after)
        pair = pairs.get(triplet.name.casefold())
        if pair is None:
            pair = pairs[triplet.name.casefold()] = _begin(folder, triplet, digest)
        if (pair.name, pair.digest) != (triplet.name, digest):
            raise DataError(
                triplet.name, found="another pair of that name", wanted="a name for each pair", remedy="rename one"
            )
        mask = np.asarray(triplet.mask, np.bool_)
        if mask.shape != pair.shape:
            raise _other_size(triplet.name, "a mask", mask.shape, pair.shape)
        (folder / "masks" / pair.name).mkdir(exist_ok=True)
        _write_png(folder / "masks" / pair.name / f"{len(pair.sentences)}.png", mask.astype(np.uint8) * 255)
        pair.sentences.append(triplet.sentence)
    for pair in pairs.values():
        document = {
            "sample_id": pair.name,
            "img_A": pair.pictures[0],
            "img_B": pair.pictures[1],
            "referring_expressions": pair.sentences,
            "mask": [f"{pair.name}/{place}.png" for place in range(len(pair.sentences))],
        }
        text = json.dumps(document, ensure_ascii=False, indent=1)
        (folder / SENTENCES / f"{pair.name}.json").write_text(text, encoding="utf-8")
    return sum(len(pair.sentences) for pair in pairs.values())


def _begin(folder: Path, triplet: Triplet, digest: str) -> _Written:
    name = triplet.name
    if not FILE_NAME.fullmatch(name):
        raise DataError(
            repr(name), found="a name that no file can have everywhere", remedy="rename the pair",
            wanted='at most 100 characters without / \\ : * ? " < > |, no dot or space at its ends',
        )  # fmt: skip
    before, shape = _write_picture(folder / "A", name, triplet.before)
    after, later = _write_picture(folder / "B", name, triplet.after)
    if later != shape:
        raise _other_size(name, "a later picture", later, shape)
    return _Written(name, digest, shape, (before, after), [])


def _write_picture(folder: Path, name: str, picture: NDArray[np.uint8] | Path) -> tuple[str, tuple[int, int]]:
    """The file's name, and (H, W)."""
    pixels = read_picture(picture) if isinstance(picture, Path) else picture
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(
            name, found=f"a picture {pixels.shape} of {pixels.dtype}", wanted="(H, W, 3) of uint8",
            remedy="give three bands of bytes",
        )  # fmt: skip
    suffix = picture.suffix.lower() if isinstance(picture, Path) else ".png"
    if isinstance(picture, Path) and suffix in PICTURE_SUFFIXES:
        shutil.copyfile(picture, folder / f"{name}{suffix}")
    else:
        suffix = ".png"
        _write_png(folder / f"{name}{suffix}", pixels)
    return f"{name}{suffix}", (pixels.shape[0], pixels.shape[1])


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(path)
    with Image.open(path) as image:
        if not np.array_equal(np.asarray(image), pixels):
            raise DataError(
                path, found="other pixels when read back", wanted="those written", remedy="check the disk, then repeat"
            )


def _digest(picture: NDArray[np.uint8] | Path) -> str:
    content = picture.read_bytes() if isinstance(picture, Path) else np.ascontiguousarray(picture).tobytes()
    return hashlib.sha256(content).hexdigest()


def _other_size(name: str, what: str, found: tuple[int, ...], wanted: tuple[int, int]) -> DataError:
    return DataError(
        name, found=f"{what} of {found}", wanted=f"{wanted} rows and columns, as its earlier picture",
        remedy="bring the pair to one size",
    )  # fmt: skip
