"""Labels that lie where nobody looks for them: in folders of other names, or under other names than their pictures'."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from geomtrs.errors import DataError

LABELS = "labelA", "labelB"
PLANES = "A", "B", "mask", *LABELS
"""The folders of a labelled set."""
_PICTURES = (".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg", ".bmp")


def astray(folder: Path, names: Collection[str], suffixes: Sequence[str]) -> list[str]:
    """A line for whatever of a labelled set is not read, and would be under the right name: found, wanted, remedy.

    names     of its pairs
    suffixes  under which their labels are looked for
    """
    strange = [one.name for one in _folders(folder) if one.name not in PLANES and any(map(_is_picture, one.iterdir()))]
    lacking = [plane for plane in LABELS if not (folder / plane).is_dir()]
    told = []
    if strange and lacking:
        told.append(
            DataError(
                folder, found=f"{', '.join(strange)} and no {' or '.join(lacking)}",
                wanted="labels in labelA and labelB, where something changed in mask",
                remedy="rename the folders; others are not read",
            )
        )  # fmt: skip
    for plane in ("mask", *LABELS):
        there = {one.name for one in (folder / plane).iterdir()} if (folder / plane).is_dir() else set[str]()
        without = [name for name in names if there.isdisjoint(f"{name}{suffix}" for suffix in suffixes)]
        of_none = sorted(there - {f"{name}{suffix}" for name in names for suffix in suffixes})
        if without and of_none:
            told.append(
                DataError(
                    folder / plane, found=f"{of_none[0]}, and nothing for {len(without)} of {len(names)} pairs",
                    wanted=f"{without[0]}.png and so on, as their pictures are called",
                    remedy="rename the files; others are not read",
                )
            )  # fmt: skip
    return [str(one) for one in told]


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _PICTURES
