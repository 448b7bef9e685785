"""Labelled pairs and single dates in folders, and the same packed into one memory-mapped file for training.

Folder format: `<set>/A/<name>.webp`, `B/`, `mask/<name>.png`, `labelA/`, `labelB/`, and `samples.jsonl` with one
object a line (name, scene, gsd_m, split, direction, change_class, …).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from geomtrs.data.astray import LABELS, PLANES, astray
from geomtrs.data.labels import THINGS, mask_means, rule_of
from geomtrs.data.pictures import content_of, marks_of, read_labels, read_picture
from geomtrs.errors import DataError

_READERS = {"A": read_picture, "B": read_picture, "mask": marks_of, "labelA": read_labels, "labelB": read_labels}
_SUFFIXES = (".webp", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")  # of pictures that people have, read or not

_DIRECTIONS = ("appear", "disappear", "mixed", "none", "unknown")

Planes = dict[str, NDArray[np.uint8]]
Facts = dict[str, object]


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
    digest: str = ""  # of its planes, so that index.json is another where a mask is; packs of before have none

    @property
    def alone(self) -> bool:
        """It is a picture of one date."""
        return self.offsets[1] < 0


class Pack:
    """Samples with their pixels in one memory-mapped file: opened in no time, shared between processes."""

    def __init__(self, folder: Path) -> None:
        """Opens `pixels.bin` and `index.json`; raises DataError where they are not, or not whole."""
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            lists = ("offsets", "absent", "unchanged")
            self.samples = tuple(Sample(**{**row, **{key: tuple(row.get(key, ())) for key in lists}}) for row in index)
            self._bytes = np.memmap(folder / "pixels.bin", np.uint8, mode="r")
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise _no_pack(folder, str(error)) from error
        if unknown := {thing for one in self.samples for thing in (*one.absent, *one.unchanged)} - {*THINGS}:
            raise _no_pack(folder, f"{', '.join(sorted(unknown))} among the things of index.json")
        planes = (
            (one, plane) for one in self.samples for plane, at in zip(PLANES, one.offsets, strict=True) if at >= 0
        )
        if self._bytes.size != (told := sum(math.prod(_shape(*plane)) for plane in planes)):
            raise _no_pack(folder, f"pixels.bin of {self._bytes.size} bytes where index.json tells {told}")

    def plane(self, sample: Sample, name: str) -> NDArray[np.uint8] | None:
        """(H, W, 3) for A and B, (H, W) for masks and labels; None where the sample has no such plane."""
        offset, shape = sample.offsets[PLANES.index(name)], _shape(sample, name)
        return None if offset < 0 else self._bytes[offset : offset + math.prod(shape)].reshape(shape)


def _shape(sample: Sample, plane: str) -> tuple[int, ...]:
    return (sample.height, sample.width, 3) if plane in "AB" else (sample.height, sample.width)


def _no_pack(folder: Path, found: str) -> DataError:
    return DataError(folder, found=found, wanted="a whole pack", remedy="make it again: geomtrs data pack")


def read_folder(
    root: Path, sets: Sequence[str] | None = None, *, val: Mapping[str, Collection[str]] | None = None
) -> Iterator[tuple[Facts, Planes]]:
    """Each sample's facts (its line of samples.jsonl, plus `set`) and its planes by name, set after set.

    val  the scenes of each set that are kept for validation, whatever samples.jsonl says; a set without any is trained

    Raises DataError with the line or the file that cannot be read.
    """
    for folder in set_folders(root, sets):
        for facts in read_list(folder, val=None if val is None else val.get(folder.name, ())):
            yield facts, _read_planes(folder, str(facts["name"]))


def count_folder(root: Path, sets: Sequence[str] | None = None) -> int:
    """How many samples `read_folder` would give.

    Raises DataError where there is none, where one of `sets` is not there, and where a list does not read.
    """
    folders = set_folders(root, sets) if root.is_dir() else []
    if missing := sorted({*(sets or ())} - {folder.name for folder in folders}):
        raise DataError(
            root, found=f"no {', '.join(missing)}", wanted="a folder with a samples.jsonl for each of sets",
            remedy="check data and sets in the config",
        )  # fmt: skip
    count = sum(len(read_list(folder, val=())) for folder in folders)
    if not count:
        one, found = (root / "samples.jsonl").is_file(), "no sample" if root.is_dir() else "no such folder"
        raise DataError(
            root, found="a single set" if one else found, wanted="a folder of sets with a samples.jsonl each",
            remedy="name the folder around it" if one else "name another folder",
        )  # fmt: skip
    return count


def folder_content(root: Path, sets: Sequence[str] | None = None) -> dict[str, str]:
    """What `read_folder` would read: `files` as `content_of`, lists counting as masks; `pictures` by their bytes.

    The pictures stand apart since packs of before tell of their sizes alone. Packing takes much longer than to read
    4,800 of them (120 MB), 0.3 s beside 0.35 s for the rest.
    """
    pictures, masks = list[Path](), list[Path]()
    for folder in set_folders(root, sets):
        masks.append(folder / "samples.jsonl")
        for facts in read_list(folder, val=()):
            for plane in PLANES:
                path = _file(folder, plane, str(facts["name"]))
                if path.is_file():
                    (pictures if plane in "AB" else masks).append(path)
    return {"files": content_of(pictures, masks), "pictures": content_of((), pictures)}


def _file(folder: Path, plane: str, name: str) -> Path:
    return folder / plane / f"{name}{'.webp' if plane in 'AB' else '.png'}"


def set_folders(root: Path, sets: Sequence[str] | None = None) -> list[Path]:
    """The folders of labelled sets in `root`, in order; of `sets` alone. Hidden ones are others', or half made."""
    named = (folder for folder in sorted(root.iterdir()) if sets is None or folder.name in sets)
    return [folder for folder in named if folder.name[0] != "." and (folder / "samples.jsonl").exists()]


def unread_labels(folder: Path) -> list[str]:
    """A line for whatever of a set's labels lies where nobody looks, as `astray`."""
    return astray(folder, [str(facts["name"]) for facts in read_list(folder, val=())], (".png",))


def read_list(folder: Path, *, val: Collection[str] | None = None, keys: Collection[str] | None = None) -> list[Facts]:
    """What samples.jsonl says of each sample of a set, plus `set`; raises DataError with the line at fault.

    val   the scenes that are kept for validation, whatever the list says
    keys  of those that are looked at: else all that training wants
    """
    path = folder / "samples.jsonl"
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(path, found=str(error), wanted="text in UTF-8", remedy="save it so") from error
    samples = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            facts = json.loads(line)
        except ValueError as error:
            raise _wrong(path, number, str(error), "an object of JSON") from error
        if not isinstance(facts, dict):
            raise _wrong(path, number, line, "an object of JSON")
        if val is not None:
            facts["split"] = "val" if str(facts.get("scene")) in val else "train"
        for key, (holds, wanted) in _WANTED.items():
            if (keys is None or key in keys) and not holds(facts.get(key)):
                raise _wrong(path, number, f"{key} {json.dumps(facts.get(key), ensure_ascii=False)}", wanted)
        samples.append(facts | {"set": folder.name})
    return samples


def _wrong(path: Path, number: int, found: str, wanted: str) -> DataError:
    return DataError(path, found=f"line {number}: {found}", wanted=wanted, remedy="mend the line")


def _said(value: object) -> bool:
    return isinstance(value, str | int) and value != ""


def _stays(value: object) -> bool:
    """It names no file outside the folder, on any system."""
    path = PureWindowsPath(str(value))
    return _said(value) and not path.anchor and ".." not in path.parts


def _metres(value: object) -> bool:
    try:
        return value is None or 0 < float(str(value)) < math.inf
    except ValueError:
        return False


def _things(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(one in THINGS for one in value))


_LIST = (_things, f"a list of {', '.join(THINGS)}")
_WANTED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "name": (_stays, "a file in the folder, without its suffix"),
    "scene": (_said, "its place, by which samples stay together"),
    "split": (_said, "train or val"),
    "gsd_m": (_metres, "metres above 0, or null"),
    "absent": _LIST,
    "unchanged": _LIST,
}


def _read_planes(folder: Path, name: str) -> Planes:
    """The planes that a sample has, of labels those that a rule reads.

    Raises DataError for one that is there under another suffix alone, or cannot be read.
    """
    planes = {}
    for plane, read in _READERS.items():
        if plane in LABELS and rule_of(folder.name, name) is None:
            continue  # they may be colours, for people to look at
        path = _file(folder, plane, name)
        if not path.exists():
            others = (path.with_name(path.stem + one) for suffix in _SUFFIXES for one in (suffix, suffix.upper()))
            other = next((one for one in others if one.exists()), None)
            if other is not None:
                raise DataError(path, found=other.name, wanted=path.name, remedy="write it so")
            if plane != "A":
                continue
        planes[plane] = read(path)
    return planes


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


def write_pack(folder: Path, samples: Iterator[tuple[Facts, Planes]]) -> int:
    """Packs samples into `folder` and returns how many.

    Raises DataError where it cannot be written, and for a sample whose planes differ in size, whose name stands twice
    in its set, or whose scene is both to learn from and to be tested on.
    """
    names: set[tuple[str, str]] = set()
    splits: dict[tuple[str, str], set[str]] = {}  # of scenes
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "pixels.bin").open("wb") as pixels:
            index = []
            for facts, planes in samples:
                sample = _packed(pixels, facts, planes)
                _refuse_again(sample, names, splits)
                index.append(asdict(sample))
        (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    except OSError as error:
        raise DataError(
            folder, found=str(error), wanted="room for a pack", remedy="make room, or pack elsewhere"
        ) from error
    return len(index)


def _packed(pixels: BinaryIO, facts: Facts, planes: Planes) -> Sample:
    """The sample, its planes written."""
    height, width = planes["A"].shape[:2]
    for plane, values in planes.items():
        if values.shape[:2] != (height, width):
            raise DataError(
                f"{facts['set']}/{facts['name']}", found=f"{plane} of {values.shape[1]} × {values.shape[0]} pixels",
                wanted=f"{width} × {height}, as A", remedy="bring its pictures and labels to one size",
            )  # fmt: skip
    offsets, digest = [], hashlib.blake2b(digest_size=8)
    for plane in PLANES:
        offsets.append(pixels.tell() if plane in planes else -1)
        if plane in planes:
            content = np.ascontiguousarray(planes[plane]).tobytes()
            pixels.write(content)
            digest.update(content)
    gsd, direction = facts.get("gsd_m"), facts.get("direction")
    return Sample(
        set=str(facts["set"]), name=str(facts["name"]), scene=str(facts["scene"]), split=str(facts["split"]),
        height=height, width=width, gsd_m=float(str(gsd)) if gsd else None,
        direction=str(direction) if direction else None,
        offsets=(offsets[0], offsets[1], offsets[2], offsets[3], offsets[4]),
        absent=_names(facts, "absent"), unchanged=_names(facts, "unchanged"), digest=digest.hexdigest(),
    )  # fmt: skip


def _refuse_again(sample: Sample, names: set[tuple[str, str]], splits: dict[tuple[str, str], set[str]]) -> None:
    """Notes the sample's name, and the split of its scene; raises DataError where they contradict those before."""
    file = f"{sample.set}/{sample.name}"
    if (sample.set, sample.name) in names:
        raise DataError(file, found="the name twice", wanted="one line a sample", remedy="take a line out of its list")
    names.add((sample.set, sample.name))
    of_scene = splits.setdefault((sample.set, sample.scene), set())
    of_scene.add(sample.split)
    if of_scene >= {"train", "val"}:
        raise DataError(
            file, found=f"scene {sample.scene} in train and val", wanted="each scene in one of them",
            remedy=f"mend the splits, or say which scenes are tested on: {_val_file(sample.set, sample.scene)}",
        )  # fmt: skip


def torn_scenes(folder: Path) -> list[str]:
    """A line where scenes of a set are both learned from and tested on, as its list says: no pack takes them so."""
    splits: dict[str, set[str]] = {}
    for facts in read_list(folder):
        splits.setdefault(str(facts["scene"]), set()).add(str(facts["split"]))
    torn = [scene for scene, found in splits.items() if found >= {"train", "val"}]
    if not torn:
        return []
    which = f"{len(torn)} of {len(splits)} scenes are in train and val ({', '.join(torn)})"
    return [f"{folder}: {which}; say which are tested on: {_val_file(folder.name, torn[0])}"]


def _val_file(set_name: str, scene: str) -> str:
    return f"geomtrs data pack --val FILE, or val of a config, with {json.dumps({set_name: [scene]})} in the file"


def untaught(samples: Sequence[Sample]) -> list[str]:
    """A line for each set of which nothing can be learned, or in part, and for each fact that says nothing.

    So is it for pairs that lack their later picture: of a set of pairs, it is probably called otherwise.
    """
    every = Counter(one.set for one in samples)
    silent = Counter((one.set, _why_silent(one)) for one in samples if not tells(one))
    splits = Counter((one.set, one.split) for one in samples if one.split not in ("train", "val"))
    alone = Counter(one.set for one in samples if one.alone)
    ways = Counter((one.set, one.direction) for one in samples if one.direction not in (None, *_DIRECTIONS))
    return [
        *(f"{name}: {count} of {every[name]} samples say nothing: {why}" for (name, why), count in silent.items()),
        *(f"{name}: direction {way} ({count} sample{'s' if count > 1 else ''}) says nothing; known are "
          f"{', '.join(_DIRECTIONS)}" for (name, way), count in ways.items()),
        *(f"{name}: {count} samples of split {split}, which is neither train nor val: nothing is learned of them"
          for (name, split), count in splits.items()),
        *(f"{name}: {count} of {every[name]} samples have no picture in B, and pass for one date"
          for name, count in alone.items() if count < every[name]),
    ]  # fmt: skip


def unkept(samples: Sequence[Sample], val: Mapping[str, Collection[str]]) -> list[str]:
    """A line for each set of which scenes are named for validation that no sample is of, and where no set is named."""
    there: dict[str, set[str]] = {}
    for one in samples:
        there.setdefault(one.set, set()).add(one.scene)
    if not there.keys() & val.keys():
        return [f"none of {', '.join(there)} is named for validation: all of it is learned from"]
    lost = {name: sorted({*val[name]} - scenes) for name, scenes in there.items() if name in val}
    return [
        f"{name}: {len(scenes)} scenes named for validation are of no sample, the first {scenes[0]}"
        for name, scenes in lost.items()
        if scenes
    ]


def _why_silent(sample: Sample) -> str:
    wanted = ["labelA"] * (rule_of(sample.set, sample.name) is not None)
    wanted += ["mask"] * (mask_means(sample.set, sample.name) is not None)
    if wanted:
        return f"they have no file in {' or '.join(wanted)}"
    return "geomtrs/data/labels.py has neither a rule for their labels nor what their mask means"


def tells(sample: Sample) -> bool:
    """Its labels have a rule, or its mask a meaning."""
    labelled, masked = (sample.offsets[PLANES.index(plane)] >= 0 for plane in ("labelA", "mask"))
    rule, means = rule_of(sample.set, sample.name), mask_means(sample.set, sample.name)
    return (rule is not None and labelled) or (means is not None and masked)


def _names(facts: Mapping[str, object], key: str) -> tuple[str, ...]:
    names = facts.get(key, ())
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()
