"""Sets of torchgeo, made small in their own layouts, read by torchgeo itself and written as pairs for stage 1."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from geomtrs.cli import main
from geomtrs.data.labels import ABSENT, ANYTHING, PRESENT, THINGS
from geomtrs.data.mtrefseg21k import SENTENCE, ReferringPairs, read_split
from geomtrs.data.pairs import Pack, read_folder, write_pack
from geomtrs.data.pictures import read_mask
from geomtrs.data.torchgeo import ADAPTERS, LabelledPair, ensure_torchvision, read_pairs, write_set
from geomtrs.data.val_cases import read_labels
from geomtrs.errors import DataError, MissingExtra, QueryError

torchgeo = pytest.mark.torchgeo
HEIGHT, WIDTH = 40, 64
PATCH = (slice(8, 20), slice(30, 50))


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def mask(value: int = 255) -> NDArray[np.uint8]:
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    plane[PATCH] = value
    return plane


def saved(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def located(path: Path, pixels: NDArray[np.uint8]) -> None:
    """A GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = np.atleast_3d(pixels).transpose(2, 0, 1)
    profile = {"driver": "GTiff", "count": len(bands), "dtype": "uint8", "height": HEIGHT, "width": WIDTH}
    transform = Affine(0.5, 0.0, 9.7, 0.0, -0.5, 1.8)
    with rasterio.open(path, "w", crs="EPSG:32632", transform=transform, **profile) as raster:
        raster.write(bands)


def levir(root: Path) -> None:
    for split in ("train", "val", "test"):
        for number, folder in enumerate(("A", "B")):
            saved(root / folder / f"{split}_1.png", picture(number))
        saved(root / "label" / f"{split}_1.png", mask())


def levir_plus(root: Path) -> None:
    for split in ("train", "test"):
        for number, folder in enumerate(("A", "B")):
            saved(root / "LEVIR-CD+" / split / folder / f"{split}_1.png", picture(number))
        saved(root / "LEVIR-CD+" / split / "label" / f"{split}_1.png", mask())


def oscd(root: Path) -> None:
    onera = "Onera Satellite Change Detection dataset"
    bands = [f"B{n:02}" for n in range(1, 9)] + ["B8A", "B09", "B10", "B11", "B12"]
    for split, region in (("Train", "aguasclaras"), ("Test", "rio")):
        for date in (1, 2):
            for i, band in enumerate(bands):
                plane = (picture(date)[..., 0].astype(np.uint16) + 100 * i) * 8
                saved(root / f"{onera} - Images" / region / f"imgs_{date}_rect" / f"S2_{band}.tif", plane)
        dates = root / f"{onera} - Images" / region / "dates.txt"
        dates.write_text("date_1: 20150808\ndate_2: 20160905\n", encoding="utf-8")
        saved(root / f"{onera} - {split} Labels" / region / "cm" / "cm.png", mask())


def xview(root: Path) -> None:
    for split, name in (("train", "joplin-tornado_00000001"), ("test", "joplin-tornado_00000002")):
        for number, date in enumerate(("pre", "post")):
            saved(root / split / "images" / f"{name}_{date}_disaster.png", picture(number))
        before, after = mask(1), mask(4)
        before[30:36, 4:10], after[30:36, 4:10] = 1, 2  # damaged, and standing
        for date, plane in (("pre", before), ("post", after)):
            saved(root / split / "targets" / f"{name}_{date}_disaster_target.png", plane)


def bright(root: Path) -> None:
    folder = root / "dfc25_track2_trainval"
    for name, one in (("train_setlevel", "bata_00000001"), ("holdout_setlevel", "bata_00000002"), ("val_setlevel", "")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(f"{one}\n" if one else "", encoding="utf-8")
        if one:
            located(folder / "train" / "pre-event" / f"{one}_pre_disaster.tif", picture(0))
            located(folder / "train" / "post-event" / f"{one}_post_disaster.tif", picture(1)[..., 0])
            located(folder / "train" / "target" / f"{one}_building_damage.tif", mask(3))


def burnt(*files: str) -> Callable[[Path], None]:
    """Both sets of burnt ground: one file of groups, whose test fold has a file of its own."""

    def make(root: Path) -> None:
        import h5py

        root.mkdir(parents=True)
        for file in files:
            with h5py.File(root / file, "w") as archive:
                for name, fold in (("aaa_0", 1), ("bbb_0", 0)) if "test" not in file else (("ccc_0", "chabud"),):
                    group = archive.create_group(name)
                    group.attrs["fold"] = fold
                    for number, date in enumerate(("pre_fire", "post_fire")):
                        bands = np.repeat(picture(number)[..., :1].astype(np.uint16) * 20, 12, axis=2)
                        group[date] = bands + np.arange(12, dtype=np.uint16)
                    group["mask"] = mask(1)[..., None].astype(np.uint16)

    return make


MAKERS: Mapping[str, Callable[[Path], None]] = {
    "LEVIRCD": levir,
    "LEVIRCDPlus": levir_plus,
    "OSCD": oscd,
    "XView2": xview,
    "BRIGHTDFC2025": bright,
    "CaBuAr": burnt("512x512.hdf5", "chabud_test.h5"),
    "ChaBuD": burnt("train_eval.hdf5"),
}
MEANT = {"levir_cd": "building", "levir_cd_plus": "building", "oscd": None, "xview2": "building", "bright": "building",
         "cabuar": "burnt", "chabud": "burnt"}  # fmt: skip


def ran(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    return int(done.value.code or 0)


@torchgeo
def test_torchvision_can_be_imported_and_is_declared_once() -> None:
    assert ensure_torchvision() in {"native", "declared"}
    assert ensure_torchvision() == "native"
    import torchvision.transforms

    assert torchvision.transforms.Resize(4) is not None


@torchgeo
@pytest.mark.parametrize("name", ADAPTERS)
def test_each_set_reads_as_two_pictures_and_where_they_differ(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path / "raw")
    pairs = list(read_pairs(name, tmp_path / "raw"))
    assert [pair.split for pair in pairs] == list(ADAPTERS[name].splits.values())
    for pair in pairs:
        assert pair.before.shape == pair.after.shape == (HEIGHT, WIDTH, 3)
        assert np.array_equal(pair.mask, mask() > 0)
        assert pair.before.min() == 0
        assert pair.before.std() > 40
        assert not np.array_equal(pair.before, pair.after)
    if name in ("LEVIRCD", "LEVIRCDPlus", "XView2"):
        assert np.array_equal(pairs[0].before, picture(0))


@torchgeo
@pytest.mark.parametrize("name", ADAPTERS)
def test_each_set_packs_and_its_labels_say_what_came_or_went(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = ADAPTERS[name]
    MAKERS[name](tmp_path / "raw")
    assert ran("data", "torchgeo", name, str(tmp_path / "raw"), "-o", str(tmp_path / "sets" / adapter.name)) == 0
    assert ("scenes are in train and val (bata)" in capsys.readouterr().err) == (name == "BRIGHTDFC2025")
    val: dict[str, list[str]] | None = {} if name == "BRIGHTDFC2025" else None  # its own splits share disasters
    write_pack(tmp_path / "pack", read_folder(tmp_path / "sets", val=val))
    sample = Pack(tmp_path / "pack").samples[0]
    labelled = read_labels(Pack(tmp_path / "pack"), sample)
    assert labelled is not None
    assert (sample.split, sample.gsd_m) == ("train", adapter.gsd_m)
    assert np.array_equal(~labelled.still, mask() > 0)
    meant = MEANT[adapter.name]
    if meant is None:
        assert labelled.about == {ANYTHING}
    else:
        states = {"appear": (ABSENT, PRESENT), "disappear": (PRESENT, ABSENT)}[adapter.direction]
        dates = (labelled.before, labelled.after)
        assert tuple(int(date[THINGS.index(meant)][10, 40]) for date in dates) == states


@torchgeo
def test_the_published_layout_reads_as_stage_1_does(tmp_path: Path) -> None:
    levir(tmp_path / "raw")
    asked = ("data", "torchgeo", "LEVIRCD", str(tmp_path / "raw"), "--published", "--split", "train")
    assert ran(*asked, "-o", str(tmp_path / "out")) == 0
    (sample,) = read_split(tmp_path / "out").samples
    assert (sample.name, sample.sentence) == ("train_1", SENTENCE)
    assert sample.mask is not None
    assert np.array_equal(read_mask(sample.mask), mask() > 0)


@torchgeo
def test_pairs_with_sentences_are_a_data_set_of_torchgeo(tmp_path: Path) -> None:
    from torchgeo.datasets import LEVIRCD, NonGeoDataset

    levir(tmp_path / "raw")
    assert ran("data", "torchgeo", "LEVIRCD", str(tmp_path / "raw"), "--published", "-o", str(tmp_path / "out")) == 0
    ours, theirs = ReferringPairs(tmp_path / "out"), LEVIRCD(tmp_path / "raw", "train")
    assert isinstance(ours, NonGeoDataset)
    item = next(item for item in ours if item["name"] == "train_1")
    for key in ("image", "mask"):
        assert item[key].dtype == theirs[0][key].dtype
        assert np.array_equal(item[key].numpy(), theirs[0][key].numpy())


@torchgeo
def test_a_set_that_is_not_there_is_one_line_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("data", "torchgeo", "LEVIRCD", str(tmp_path / "nowhere"), "-o", str(tmp_path / "sets" / "levir_cd"))
    assert ran(*asked) == 1
    assert "no LEVIRCD of split train" in capsys.readouterr().err
    assert not list((tmp_path / "sets").iterdir())


def test_without_torchgeo_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchgeo" else there(name))
    with pytest.raises(MissingExtra, match=r"pip install 'geomtrs\[torchgeo\]'"):
        next(read_pairs("LEVIRCD", tmp_path))


def test_an_unknown_set_or_split_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="wanted one of LEVIRCD, LEVIRCDPlus"):
        next(read_pairs("LEVIR", tmp_path))
    with pytest.raises(QueryError, match="wanted one of train, test"):
        next(read_pairs("OSCD", tmp_path, split="val"))


def made_pair() -> LabelledPair:
    return LabelledPair("one", picture(0), picture(1), mask() > 0, "train", ADAPTERS["LEVIRCD"])


def test_a_set_is_written_under_its_own_name_or_not_at_all(tmp_path: Path) -> None:
    assert write_set(tmp_path / "levir_cd", iter([made_pair()])) == 1
    facts = json.loads((tmp_path / "levir_cd" / "samples.jsonl").read_text(encoding="utf-8"))
    assert facts == {"name": "one", "scene": "one", "split": "train", "direction": "appear", "gsd_m": 0.5}
    with pytest.raises(DataError, match="wanted one called levir_cd"):
        write_set(tmp_path / "mine", iter([made_pair()]))
    with pytest.raises(DataError, match="found no pair"):
        write_set(tmp_path / "oscd", iter([]))
    assert [path.name for path in tmp_path.iterdir()] == ["levir_cd"]
