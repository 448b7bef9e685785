"""The bi-temporal sets of torchgeo as labelled pairs for stage 1: two pictures, where they differ, and what that means.

torchgeo is an extra: nothing of it is imported before a set is opened, and nothing is ever downloaded. A set becomes a
folder of its own in a folder of sets (`pairs.py`), or the folders A, B and masks that the published stage 1 reads.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from geomtrs.data.whole import whole_folder
from geomtrs.errors import DataError, MissingExtra, QueryError

_LIBRARIES: list[torch.library.Library] = []  # what they declare lasts as long as they do
_RGB = ("B04", "B03", "B02")  # of Sentinel-2
_PERCENTILES = (1, 99)  # of a pair's two dates together, band by band, become 0 and 255


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a set of torchgeo means.

    name       of our set: what its mask is about stands in `labels.py`
    splits     its splits and ours
    direction  "appear", "disappear" or "unknown", of the thing that the mask is about
    least      the least value of its mask that is a change; below, a damaged house still stands
    scene      of the sample's name: samples of one scene stay together in intervals and splits
    options    for its class
    labelled   the mask is a label of the later date too, by the rule of the set
    """

    name: str
    splits: Mapping[str, str]
    direction: str
    gsd_m: float | None
    file: Callable[[Any, int], str]  # the data set is torchgeo's, which ships no types
    least: int = 1
    scene: Callable[[str], str] = str
    options: Mapping[str, object] | None = None
    labelled: bool = False


def _disaster(name: str) -> str:
    return name.rpartition("_")[0]


ADAPTERS: Mapping[str, Adapter] = {
    "LEVIRCD": Adapter(
        "levir_cd", {"train": "train", "val": "val", "test": "test"}, "appear", 0.5,
        lambda data, i: Path(data.files[i]["image1"]).stem,
    ),
    "LEVIRCDPlus": Adapter(
        "levir_cd_plus", {"train": "train", "test": "test"}, "appear", 0.5,
        lambda data, i: Path(data.files[i]["image1"]).stem,
    ),
    "OSCD": Adapter(
        "oscd", {"train": "train", "test": "test"}, "unknown", 10.0,
        lambda data, i: str(data.files[i]["region"]), options={"bands": _RGB},
    ),
    "XView2": Adapter(
        "xview2", {"train": "train", "test": "test"}, "disappear", None,
        lambda data, i: Path(data.files[i]["image1"]).stem.removesuffix("_pre_disaster"), least=3, scene=_disaster,
    ),
    "BRIGHTDFC2025": Adapter(
        "bright", {"train": "train", "val": "val"}, "disappear", None,
        lambda data, i: Path(data.sample_paths[i]["image_pre"]).stem.removesuffix("_pre_disaster"), least=3,
        scene=_disaster,
    ),
    "CaBuAr": Adapter(
        "cabuar", {"train": "train", "val": "val", "test": "test"}, "appear", 20.0,
        lambda data, i: str(data.uuids[i]), options={"bands": _RGB}, labelled=True,
    ),
    "ChaBuD": Adapter(
        "chabud", {"train": "train", "val": "val"}, "appear", 10.0,
        lambda data, i: str(data.uuids[i]), options={"bands": _RGB}, labelled=True,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """One pair with its mask; name and scene are of the set, split is ours."""

    name: str
    before: NDArray[np.uint8]  # (H, W, 3)
    after: NDArray[np.uint8]  # (H, W, 3)
    mask: NDArray[np.bool_]  # (H, W)
    split: str
    of: Adapter


def ensure_torchvision() -> str:
    """How torchvision can be imported after this call: "native", "declared", or "absent" where it is not installed.

    Built for CUDA it fails over a torch for CPU, whose operators it decorates before they exist; they are declared
    first then (torchvision 0.28.0 over torch 2.13.0). Boxes cannot be suppressed so, which nothing here asks for.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "absent"
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    else:
        del torchvision
        return "native"
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # of torch
    for operator in ("nms", "qnms"):
        signature = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(signature)  # type: ignore[no-untyped-call]  # of torch
    _LIBRARIES.append(library)
    import torchvision

    return "declared"


def read_pairs(name: str, root: Path, *, split: str | None = None) -> Iterator[LabelledPair]:
    """The pairs of a set of torchgeo that lies in `root`, split after split.

    Pictures deeper than 8 bits are stretched over both dates at once, so that no change of light is made or undone.
    Raises QueryError for an unknown set or split, MissingExtra without torchgeo, DataError where the set is not there.
    """
    adapter = _known(name, ADAPTERS, "a set of torchgeo")
    chosen = dict(adapter.splits)
    if split is not None:
        chosen = {split: _known(split, adapter.splits, f"a split of {name}")}
    sets = _sets()
    from torchgeo.datasets import DatasetNotFoundError

    for theirs, ours in chosen.items():
        try:
            data = getattr(sets, name)(root=root, split=theirs, **(adapter.options or {}))
        except (DatasetNotFoundError, OSError) as error:
            raise DataError(
                root, found=f"no {name} of split {theirs}", wanted="its files as torchgeo lays them out",
                remedy="check the path; geomtrs downloads nothing",
            ) from error  # fmt: skip
        except ImportError as error:
            raise MissingExtra(str(error.name), found="not installed", wanted=f"to read {name}", remedy=_PIP) from error
        for i in range(len(data)):
            sample = data[i]
            before, after = _as_bytes(sample["image"].numpy())
            mask = sample["mask"].numpy().reshape(before.shape[:2]) >= adapter.least
            yield LabelledPair(adapter.file(data, i), before, after, mask, ours, adapter)


def write_set(folder: Path, pairs: Iterator[LabelledPair]) -> int:
    """Writes a labelled set that `geomtrs data pack` reads from the folder around it, and returns how many pairs.

    Its name must be that of the set, by which its labels are read. Raises DataError otherwise, where `folder` holds
    something, and where there is no pair; nothing is left then.
    """
    lines = []
    with whole_folder(folder) as temporary:
        for pair in pairs:
            if pair.of.name != folder.name:
                raise DataError(
                    folder, found=f"a folder called {folder.name}", wanted=f"one called {pair.of.name}",
                    remedy=f"write to {folder.parent / pair.of.name}",
                )  # fmt: skip
            for plane, pixels in _planes(pair).items():
                file = temporary / plane / f"{pair.name}{'.webp' if plane in 'AB' else '.png'}"
                file.parent.mkdir(exist_ok=True)
                Image.fromarray(pixels).save(file, lossless=True)  # which PNG is anyway
            facts = {"name": pair.name, "scene": pair.of.scene(pair.name), "split": pair.split,
                     "direction": pair.of.direction if pair.mask.any() else "none", "gsd_m": pair.of.gsd_m}  # fmt: skip
            lines.append(json.dumps(facts))
        _refuse_none(folder, len(lines))
        (temporary / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def write_published(folder: Path, pairs: Iterator[LabelledPair]) -> int:
    """Writes A, B and masks as the published stage 1 reads them, and returns how many pairs; raises as `write_set`."""
    count = 0
    with whole_folder(folder) as temporary:
        for name in ("A", "B", "masks"):
            (temporary / name).mkdir()
        for pair in pairs:
            for name, pixels in (("A", pair.before), ("B", pair.after), ("masks", pair.mask.astype(np.uint8) * 255)):
                Image.fromarray(pixels).save(temporary / name / f"{pair.name}.png")
            count += 1
        _refuse_none(folder, count)
    return count


_PIP = "pip install 'geomtrs[torchgeo]'"


def _sets() -> Any:  # noqa: ANN401 - a module that ships no types
    """`torchgeo.datasets`."""
    if importlib.util.find_spec("torchgeo") is None:
        raise MissingExtra("torchgeo", found="not installed", wanted="to read its sets", remedy=_PIP)
    ensure_torchvision()
    import torchgeo.datasets

    return torchgeo.datasets


def _known(name: str, among: Mapping[str, Any], what: str) -> Any:  # noqa: ANN401 - whatever the mapping holds
    if name not in among:
        raise QueryError(what, found=repr(name), wanted=f"one of {', '.join(among)}", remedy="name one of them")
    return among[name]


def _as_bytes(dates: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two dates (2, C, H, W) as pictures (H, W, 3) of bytes; grey is repeated."""
    dates = dates[:, [0] * 3] if dates.shape[1] == 1 else dates[:, :3]
    if dates.max(initial=0) > 255:
        low, high = np.percentile(dates, _PERCENTILES, axis=(0, 2, 3), keepdims=True)
        dates = (dates - low) / np.maximum(high - low, 1) * 255
    first, last = np.ascontiguousarray(dates.clip(0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1))
    return first, last


def _planes(pair: LabelledPair) -> dict[str, NDArray[np.uint8]]:
    mask = pair.mask.astype(np.uint8) * 255
    planes = {"A": pair.before, "B": pair.after, "mask": mask}
    if pair.of.labelled:  # outside the mask nothing is told: an older scar may be there at both dates
        planes |= {"labelA": 255 - mask, "labelB": np.where(pair.mask, 1, 255).astype(np.uint8)}
    return planes


def _refuse_none(folder: Path, count: int) -> None:
    if not count:
        raise DataError(folder, found="no pair", wanted="one at least", remedy="check the set's folder and --split")
