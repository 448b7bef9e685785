"""Labelled pairs and single dates in folders, and the same packed into one memory-mapped file for training.

Folder format: `<set>/A/<name>.webp`, `B/`, `mask/<name>.png`, `labelA/`, `labelB/`, and `samples.jsonl` with one
object a line (name, scene, gsd_m, split, direction, change_class, …).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geomtrs.errors import DataError

PLANES = ("A", "B", "mask", "labelA", "labelB")


@dataclass(frozen=True, slots=True)
class Sample:
    """One tile: where its planes lie in the pack (byte offsets; -1 = it has no such plane) and what is known of it."""

    set: str
    name: str
    scene: str
    split: str
    height: int
    width: int
    gsd_m: float | None
    direction: str | None
    offsets: tuple[int, int, int, int, int]  # of PLANES
    absent: tuple[str, ...] = ()  # things that are nowhere at either date, whatever its labels leave open
    unchanged: tuple[str, ...] = ()  # things that came and went nowhere

    @property
    def alone(self) -> bool:
        """It is a picture of one date."""
        return self.offsets[1] < 0


class Pack:
    """Samples with their pixels in one memory-mapped file: opened in no time, shared between processes."""

    def __init__(self, folder: Path) -> None:
        """Opens `pixels.bin` and `index.json`; raises FileNotFoundError where they are not."""
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        lists = ("offsets", "absent", "unchanged")
        self.samples = tuple(Sample(**{**row, **{key: tuple(row.get(key, ())) for key in lists}}) for row in index)
        self._bytes = np.memmap(folder / "pixels.bin", np.uint8, mode="r")

    def plane(self, sample: Sample, name: str) -> NDArray[np.uint8] | None:
        """(H, W, 3) for A and B, (H, W) for masks and labels; None where the sample has no such plane."""
        offset = sample.offsets[PLANES.index(name)]
        if offset < 0:
            return None
        shape = (sample.height, sample.width, 3) if name in "AB" else (sample.height, sample.width)
        return self._bytes[offset : offset + int(np.prod(shape))].reshape(shape)


def read_folder(
    root: Path, sets: Sequence[str] | None = None, *, val: Mapping[str, Collection[str]] | None = None
) -> Iterator[tuple[dict[str, object], dict[str, NDArray[np.uint8]]]]:
    """Each sample's facts (its line of samples.jsonl, plus `set`) and its planes by name, set after set.

    val  the scenes of each set that are kept for validation, whatever samples.jsonl says; a set without any is trained
    """
    for folder in sorted(p for p in root.iterdir() if (p / "samples.jsonl").exists()):
        if sets is not None and folder.name not in sets:
            continue
        for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines():
            facts = json.loads(line) | {"set": folder.name}
            if val is not None:
                facts["split"] = "val" if facts["scene"] in val.get(folder.name, ()) else "train"
            planes = {}
            for plane in PLANES:
                suffix = ".webp" if plane in "AB" else ".png"
                path = folder / plane / f"{facts['name']}{suffix}"
                if path.exists():
                    image = Image.open(path).convert("RGB") if plane in "AB" else Image.open(path).convert("L")
                    planes[plane] = np.asarray(image)
            yield facts, planes


def read_places(path: Path) -> dict[str, list[str]]:
    """Set → scenes, of a JSON file; raises DataError where it is something else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(scenes, list) for scenes in document.values()):
            raise ValueError("no list of scenes")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            path, found=str(error), wanted='{"set": ["scene", …], …}', remedy="see configs/nano_val.json"
        ) from error
    return {str(name): [str(scene) for scene in scenes] for name, scenes in document.items()}


def write_pack(folder: Path, samples: Iterator[tuple[dict[str, object], dict[str, NDArray[np.uint8]]]]) -> int:
    """Packs samples into `folder` and returns how many; planes of one sample must be of one size."""
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    with (folder / "pixels.bin").open("wb") as pixels:
        for facts, planes in samples:
            offsets = []
            for plane in PLANES:
                offsets.append(pixels.tell() if plane in planes else -1)
                if plane in planes:
                    pixels.write(np.ascontiguousarray(planes[plane]).tobytes())
            height, width = planes["A"].shape[:2]
            gsd, direction = facts.get("gsd_m"), facts.get("direction")
            sample = Sample(
                set=str(facts["set"]), name=str(facts["name"]), scene=str(facts["scene"]), split=str(facts["split"]),
                height=height, width=width, gsd_m=float(str(gsd)) if gsd else None,
                direction=str(direction) if direction else None,
                offsets=(offsets[0], offsets[1], offsets[2], offsets[3], offsets[4]),
                absent=_names(facts, "absent"), unchanged=_names(facts, "unchanged"),
            )  # fmt: skip
            index.append(asdict(sample))
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return len(index)


def _names(facts: Mapping[str, object], key: str) -> tuple[str, ...]:
    names = facts.get(key, ())
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()
