"""MTRefSeg-21K as its two published readers list it, what they pass over, and splits of our own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from geomtrs.cli import main
from geomtrs.data.measured import statistics
from geomtrs.data.mtrefseg21k import (
    SENTENCE,
    Listing,
    ReferringPairs,
    Rule,
    Sample,
    read_split,
    splits,
)
from geomtrs.data.pairs import Pack
from geomtrs.data.pictures import mask_kind, read_mask, read_picture
from geomtrs.data.triplets import Triplet, write_split
from geomtrs.errors import DataError, QueryError

Tree = Mapping[str, object]
CASES = json.loads((Path(__file__).parents[1] / "data/parity/reader.json").read_text(encoding="utf-8"))["cases"]
PAIR = {"A/s.jpg": "img", "B/s.jpg": "img"}
RNG_SEED = 7


def planted(root: Path, tree: Tree) -> Path:
    """The folder that a fixture describes: pictures of 6 × 4 px, empty folders, JSON."""
    root.mkdir(exist_ok=True)
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content == "dir":
            path.mkdir(exist_ok=True)
        elif content == "img":
            Image.new("L", (6, 4), 255).save(path)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_text(json.dumps(content), encoding="utf-8")
    return root


def listed(root: Path, samples: Sequence[Sample]) -> list[dict[str, str | None]]:
    """Samples in the fixture's words."""
    return [
        {
            "img_name": one.name,
            "img_A_path": one.before.relative_to(root).as_posix(),
            "img_B_path": one.after.relative_to(root).as_posix(),
            "mask_path": one.mask.relative_to(root).as_posix() if one.mask else None,
            "expression": one.sentence,
        }
        for one in samples
    ]


def saved(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def triplets() -> list[Triplet]:
    """Three sentences about two pairs of unlike sizes; one mask is empty, one name has a dot."""
    rng = np.random.default_rng(RNG_SEED)
    made = []
    for name, shape, sentences in (("b.v1", (9, 14), ("new roofs", "a drained «pond» 東")), ("a", (20, 6), ("",))):
        before, after = (rng.integers(0, 256, (*shape, 3), np.uint8) for _ in range(2))
        for place, sentence in enumerate(sentences):
            mask = rng.random(shape) > (0.5 if place == 0 else 1)
            made.append(Triplet(name, before, after, mask, sentence))
    return made


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_both_rules_list_what_the_published_readers_list(case: dict[str, Any], rule: Rule, tmp_path: Path) -> None:
    root = planted(tmp_path / "split", case["tree"])
    wanted = case["train" if rule is Rule.TRAINING else "eval"]
    if isinstance(wanted, dict):
        file = root if wanted["error"] == "FileNotFoundError" else root / "referring_expression" / "s.json"
        with pytest.raises(DataError) as raised:
            read_split(root, rule=rule, split="val")
        assert raised.value.file == str(file)
    else:
        assert listed(root, read_split(root, rule=rule, split="val").samples) == wanted


def test_training_is_the_rule_by_default_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    root = planted(tmp_path / "split", PAIR | {"masks/s.png": "img"})
    assert read_split(root) == read_split(root, rule="training")
    with pytest.raises(QueryError, match="training or evaluation"):
        read_split(root, rule="both")


@pytest.mark.parametrize(
    ("tree", "file", "words"),
    [
        (PAIR | {"referring_expression/s.json": {"referring_expressions": []}}, "s.json", ("[]", "list of sentences")),
        (PAIR | {"referring_expression/s.json": {"referring_expressions": 3}}, "s.json", ("3", "list of sentences")),
        (
            PAIR | {"referring_expression/s.json": {"referring_expressions": [{"a": 1}]}},
            "s.json",
            ("an object", "text"),
        ),
        (PAIR | {"referring_expression/s.json": {"referring_expressions": ["e"]}}, "s.json", ("no mask", "masks/s")),
        (PAIR | {"referring_expression/t.json": {"referring_expressions": ["e"]}}, "t.json", ("no picture", "A/t")),
        (PAIR | {"referring_expression/s.json": "{"}, "s.json", ("JSONDecodeError", "JSON")),
        (PAIR | {"referring_expression/s.json": ["e"]}, "s.json", ('["e"]', "an object")),
        (PAIR | {"referring_expression": "dir"}, "referring_expression", ("no JSON", "each pair")),
        ({"A/s.JPG": "img", "B/s.jpg": "img", "masks/s.png": "img"}, "s.JPG", ("found s.JPG", ".jpg")),
        ({"A/s.jpg": "img", "B/t.jpg": "img"}, "s.jpg", ("no picture", "B/s")),
        (PAIR | {"masks/s.jpg": "img"}, "s.jpg", ("no mask", ".png .tif .tiff")),
    ],
)
@pytest.mark.parametrize("rule", Rule)
def test_what_is_passed_over_in_silence_is_listed_with_a_reason(
    tree: Tree, file: str, words: tuple[str, str], rule: Rule, tmp_path: Path
) -> None:
    root = planted(tmp_path / "split", {"masks": "dir", **tree})
    listing = read_split(root, rule=rule)
    assert listing.samples == ()
    assert [one.path.name for one in listing.broken] == [file]
    assert all(word in str(listing.broken[0]) for word in words)


def test_a_sentence_without_mask_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    sentences = {"referring_expressions": ["e0", "e1", "e2"]}
    tree = PAIR | {"masks/s/1.png": "img", "referring_expression/s.json": sentences}
    listing = read_split(planted(tmp_path / "split", tree), rule=Rule.EVALUATION)
    assert [one.sentence for one in listing.samples] == ["e1"]
    assert [one.reason.split(";")[0] for one in listing.broken] == [
        "found no mask for sentence 0",
        "found no mask for sentence 2",
    ]


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("told", ["mask", "sample_id", "absolute"])
def test_a_mask_outside_its_split_is_listed_and_not_read(told: str, rule: Rule, tmp_path: Path) -> None:
    outside = saved(tmp_path / "private" / "0.png", np.full((4, 6), 255, np.uint8))
    names = {"sample_id": "../../private", "mask": "../../private/0.png", "absolute": str(outside)}
    facts = {"img_A": "s.jpg", "img_B": "s.jpg", "referring_expressions": ["e"]}
    facts |= {"sample_id": names[told]} if told == "sample_id" else {"mask": [names[told]]}
    root = planted(tmp_path / "split", PAIR | {"masks": "dir", "referring_expression/s.json": facts})
    listing = read_split(root, rule=rule)
    assert listing.samples == ()
    assert [one.path.name for one in listing.broken] == ["s.json"]
    assert "private" in listing.broken[0].reason
    assert f"wanted a file in {root}" in listing.broken[0].reason


def test_a_mask_is_found_wherever_it_lies_in_its_split(tmp_path: Path) -> None:
    facts = {"referring_expressions": ["e"], "mask": ["../marks/x.png"]}
    tree = PAIR | {"masks": "dir", "marks/x.png": "img", "referring_expression/s.json": facts}
    listing = read_split(planted(tmp_path / "split", tree), rule=Rule.EVALUATION)
    assert (len(listing.samples), listing.broken) == (1, ())


def test_text_in_place_of_a_list_is_read_by_character_and_told(tmp_path: Path) -> None:
    tree = PAIR | {"masks/s.png": "img", "referring_expression/s.json": {"referring_expressions": "ab"}}
    listing = read_split(planted(tmp_path / "split", tree))
    assert [one.sentence for one in listing.samples] == ["a", "b"]
    assert "each character" in listing.broken[0].reason


def test_a_split_without_a_folder_of_masks_has_samples_without_masks(tmp_path: Path) -> None:
    sample = read_split(planted(tmp_path / "split", PAIR)).samples[0]
    assert (sample.mask, sample.sentence) == (None, SENTENCE)


@pytest.mark.parametrize("rule", Rule)
def test_a_folder_that_is_not_there_is_named(rule: Rule, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read_split(tmp_path / "nowhere", rule=rule)


def test_splits_are_found_by_name_or_by_their_folders_the_published_first(tmp_path: Path) -> None:
    names = ("mine", "val_FINAL_CLEAN", "train_FINAL_CLEAN", "NS_FINAL_CLEAN_val", ".mine.part")
    for name in names:
        planted(tmp_path / name, {"A": "dir", "B": "dir"})
    planted(tmp_path / "notes", {"A": "dir"})
    (tmp_path / "readme.txt").touch()
    assert [path.name for path in splits(tmp_path)] == [names[2], names[1], names[3], "mine"]
    assert splits(tmp_path / "mine") == (tmp_path / "mine",)
    assert splits(tmp_path / "nowhere") == ()


@pytest.mark.parametrize(
    ("values", "kind", "truth"),
    [
        (np.array([[0, 1, 1]], np.uint8), "0/1", [0, 1, 1]),
        (np.array([[0, 255, 0]], np.uint8), "0/255", [0, 1, 0]),
        (np.array([[0, 0, 0]], np.uint8), "0/255", [0, 0, 0]),
        (np.array([[127, 128, 1]], np.uint8), "other", [0, 1, 0]),
        (np.array([[0, 1, 0]], np.uint16), "0/1", [0, 1, 0]),
        (np.array([[0, 65535, 0]], np.uint16), "0/255", [0, 1, 0]),
        (np.array([[False, True, True]]), "0/255", [0, 1, 1]),
        (np.array([[[0] * 3, [255] * 3, [200] * 3]], np.uint8), "other", [0, 1, 1]),
    ],
)
def test_masks_of_0_and_1_and_of_0_and_255_are_told_apart_and_read(
    values: np.ndarray, kind: str, truth: list[int], tmp_path: Path
) -> None:
    path = saved(tmp_path / "mask.png", values)
    assert mask_kind(path) == kind
    assert read_mask(path).tolist() == [[bool(value) for value in truth]]


@pytest.mark.parametrize("grey", [0, 255])
def test_a_mask_that_transparency_alone_tells_is_listed_and_not_read_as_empty_or_full(
    grey: int, tmp_path: Path
) -> None:
    values = np.full((4, 6, 2), grey, np.uint8)
    values[..., 1] = 0
    values[1:3, 1:3, 1] = 255
    path = tmp_path / "split" / "masks" / "s.png"
    planted(tmp_path / "split", PAIR | {"masks": "dir"})
    Image.fromarray(values, "LA").save(path)
    (broken,) = statistics(read_split(tmp_path / "split")).broken
    assert "marked by its transparency alone" in str(broken)
    with pytest.raises(DataError, match="flatten it"):
        read_mask(path)


def test_a_mask_with_a_second_band_is_read_by_its_first(tmp_path: Path) -> None:
    values = np.stack([[[0, 255]], [[255, 128]]], axis=-1).astype(np.uint8)
    Image.fromarray(values, "LA").save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[False, True]]


def test_a_mask_of_dark_colours_is_listed_since_it_is_read_as_empty(tmp_path: Path) -> None:
    root = planted(tmp_path / "split", PAIR | {"masks": "dir"})
    Image.new("RGB", (6, 4), (255, 0, 0)).save(root / "masks" / "s.png")
    (broken,) = statistics(read_split(root)).broken
    assert (broken.path.name, broken.reason) == (
        "s.png", "found no grey above 76, which is read as empty; wanted 0 and 255",
    )  # fmt: skip


@pytest.mark.parametrize("read", [read_picture, read_mask])
def test_fractions_of_one_are_refused_and_not_read_as_black(read: Callable[[Path], np.ndarray], tmp_path: Path) -> None:
    path = saved(tmp_path / "reflectance.tif", np.array([[0.25, np.nan, 0.5]], np.float32))
    with pytest.raises(DataError, match=r"found ValueError: numbers from 0 to 0\.5, not 0 to 255"):
        read(path)


def test_pixels_that_are_no_number_are_black_without_a_warning(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.tif", np.array([[1, np.nan, 0]], np.float32))
    assert read_mask(path).tolist() == [[True, False, False]]


@pytest.mark.parametrize("key", ["mask", "sample_id"])
def test_a_name_that_no_file_can_have_is_listed(key: str, tmp_path: Path) -> None:
    facts = {
        "img_A": "s",
        "img_B": "s",
        "referring_expressions": ["e"],
        key: "x" * 300 if key != "mask" else ["x" * 300],
    }
    root = planted(tmp_path / "split", PAIR | {"masks": "dir", "referring_expression/s.json": facts})
    (broken,) = read_split(root, rule=Rule.EVALUATION).broken
    assert broken.path.name == "s.json"


@pytest.mark.parametrize("rule", Rule)
def test_a_written_split_reads_back_to_the_same_triplets(rule: Rule, tmp_path: Path) -> None:
    made = triplets()
    assert write_split(tmp_path / "mine", made) == len(made)
    listing = read_split(tmp_path / "mine", rule=rule)
    assert listing.broken == ()
    names = ["a", "b.v1", "b.v1"] if rule is Rule.TRAINING else ["a_0", "b.v1_0", "b.v1_1"]
    assert [one.name for one in listing.samples] == names
    for sample, triplet in zip(listing.samples, (made[2], made[0], made[1]), strict=True):
        assert sample.sentence == triplet.sentence
        assert sample.mask is not None
        assert np.array_equal(read_mask(sample.mask), triplet.mask)
        assert set(np.unique(np.asarray(Image.open(sample.mask)))) <= {0, 255}
        assert np.array_equal(read_picture(sample.before), triplet.before)
        assert np.array_equal(read_picture(sample.after), triplet.after)


def test_photographs_are_copied_as_they_are_and_other_formats_become_png(tmp_path: Path) -> None:
    pixels = np.random.default_rng(RNG_SEED).integers(0, 256, (8, 12, 3), np.uint8)
    before, after = saved(tmp_path / "one.JPG", pixels), saved(tmp_path / "two.webp", pixels)
    write_split(tmp_path / "mine", [Triplet("street", before, after, np.ones((8, 12), np.bool_), "the bus left")])
    sample = read_split(tmp_path / "mine").samples[0]
    assert sample.before.read_bytes() == before.read_bytes()
    assert (sample.before.name, sample.after.name) == ("street.jpg", "street.png")
    assert np.array_equal(read_picture(sample.after), read_picture(after))


def spoilt(change: str) -> list[Triplet]:
    one = triplets()[0]
    other = Triplet(one.name, one.before, one.after, one.mask, "again")
    match change:
        case "name":
            return [Triplet("../one", one.before, one.after, one.mask, "e")]
        case "mask":
            return [one, Triplet(one.name, one.before, one.after, one.mask.T, "e")]
        case "sizes":
            return [Triplet("c", one.before, triplets()[2].after, one.mask, "e")]
        case "bands":
            return [Triplet("c", one.mask.astype(np.uint8), one.after, one.mask, "e")]
        case "case":
            return [other, Triplet(one.name.upper(), one.before, one.after, one.mask, "e")]
        case _:
            return [other, Triplet(one.name, one.after, one.before, one.mask, "e")]


@pytest.mark.parametrize("change", ["name", "mask", "sizes", "bands", "case", "pictures"])
def test_what_would_not_read_back_is_refused_and_nothing_is_left(change: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_split(tmp_path / "mine", spoilt(change))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="something there"):
        write_split(tmp_path, triplets())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_statistics_count_pairs_sentences_sizes_and_masks(tmp_path: Path) -> None:
    made = triplets()
    write_split(tmp_path / "mine", made)
    facts = statistics(read_split(tmp_path / "mine"))
    assert (facts.pairs, facts.sentences, facts.words) == (2, 3, (0, 2, 4))
    assert facts.sizes == {"6 × 20": 1, "14 × 9": 1}
    assert facts.mask_kinds == {"0/255": 3}
    assert facts.empty_share == pytest.approx(1 / 3)
    assert facts.mask_share == pytest.approx(np.mean([one.mask.mean() for one in made]))
    assert facts.broken == ()


def test_statistics_of_nothing_are_told_as_none() -> None:
    facts = statistics(Listing((), ()))
    assert (facts.pairs, facts.words, facts.empty_share, facts.mask_share) == (0, None, None, None)


def test_statistics_list_pictures_that_cannot_be_read_or_do_not_fit(tmp_path: Path) -> None:
    root = planted(tmp_path / "split", {f"{side}/{name}.png": "img" for side in ("A", "B", "masks") for name in "abcd"})
    (root / "B" / "a.png").write_bytes(b"no picture")
    saved(root / "B" / "b.png", np.zeros((5, 6), np.uint8))
    (root / "masks" / "c.png").write_bytes((root / "masks" / "c.png").read_bytes()[:45])
    saved(root / "masks" / "d.png", np.ones((4, 7), np.uint8))
    facts = statistics(read_split(root))
    where = [one.path.relative_to(root).as_posix() for one in facts.broken]
    assert where == ["B/a.png", "B/b.png", "masks/c.png", "masks/d.png"]
    assert "found 6 × 5 px; wanted 6 × 4 px" in facts.broken[1].reason
    assert facts.mask_kinds == {"0/255": 2, "0/1": 1}
    assert json.loads(json.dumps(facts.to_dict()))["broken"][0]["path"] == str(root / "B" / "a.png")


def test_pairs_are_items_for_a_loader_each_at_its_own_size(tmp_path: Path) -> None:
    made = triplets()
    write_split(tmp_path / "mine", made)
    pairs = ReferringPairs(tmp_path / "mine", rule=Rule.EVALUATION)
    loader: DataLoader[Any] = DataLoader(pairs, batch_size=None)
    items = list(loader)
    assert isinstance(pairs, Dataset)
    assert [item["name"] for item in items] == ["a_0", "b.v1_0", "b.v1_1"]
    for item, triplet in zip(items, (made[2], made[0], made[1]), strict=True):
        assert item["sentence"] == triplet.sentence
        assert (item["image"].dtype, item["mask"].dtype) == (torch.float32, torch.int64)
        dates = item["image"].permute(0, 2, 3, 1).numpy()
        assert np.array_equal(dates[0], triplet.before)
        assert np.array_equal(dates[1], triplet.after)
        assert np.array_equal(item["mask"].numpy(), triplet.mask[None])


def test_transforms_are_given_the_item_and_a_split_without_masks_has_none(tmp_path: Path) -> None:
    pairs = ReferringPairs(planted(tmp_path / "split", PAIR), transforms=lambda item: {key: item[key] for key in item})
    assert sorted(pairs[0]) == ["image", "name", "sentence"]


def test_an_unreadable_picture_is_named_when_its_item_is_asked_for(tmp_path: Path) -> None:
    root = planted(tmp_path / "split", PAIR)
    (root / "B" / "s.jpg").write_bytes(b"no picture")
    pairs = ReferringPairs(root)
    with pytest.raises(DataError, match=r"s\.jpg: found UnidentifiedImageError"):
        pairs[0]


def test_a_photograph_is_turned_as_its_camera_held_it(tmp_path: Path) -> None:
    image = Image.new("RGB", (12, 8))
    exif = image.getexif()
    exif[0x0112] = 6
    for side in "AB":
        (tmp_path / side).mkdir()
        image.save(tmp_path / side / "street.jpg", exif=exif)
    assert read_picture(tmp_path / "A" / "street.jpg").shape == (12, 8, 3)
    assert statistics(read_split(tmp_path)).sizes == {"8 × 12": 1}


def ran(*arguments: str) -> int:
    """The exit code of the command line, run in this process."""
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    return int(done.value.code or 0)


def test_info_prints_what_a_person_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_split(tmp_path / "val_FINAL_CLEAN", triplets())
    planted(tmp_path / "mine", {f"A/{number:02}.jpg": "img" for number in range(23)} | {"B": "dir", "masks": "dir"})
    assert ran("data", "info", str(tmp_path)) == 0
    out = capsys.readouterr().out
    for words in ("val_FINAL_CLEAN\n", "3, of 0 to 4 words (mean 2.0)", "14 × 9 (1)", "0/255 (3)", "33.3%"):
        assert words in out
    assert out.count("wanted B/") == 20
    assert "broken     23" in out
    assert "and 3 more" in out


def test_info_tells_that_the_published_code_reads_masks_of_0_and_1_as_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(planted(tmp_path, PAIR) / "masks" / "s.png", np.eye(4, 6, dtype=np.uint8))
    assert ran("data", "info", str(tmp_path)) == 0
    assert "reads masks of 0 and 1 as empty" in capsys.readouterr().out


def test_info_as_json_follows_the_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = PAIR | {"masks/s/5.png": "img", "referring_expression/s.json": {"referring_expressions": ["e"]}}
    planted(tmp_path / "mine", tree)
    counts = {}
    for rule in Rule:
        assert ran("data", "info", str(tmp_path), "--json", "--rule", rule) == 0
        facts = json.loads(capsys.readouterr().out)["mine"]
        counts[facts["rule"]] = facts["sentences"], len(facts["broken"])
    assert counts == {"training": (1, 0), "evaluation": (0, 1)}


def test_info_of_a_folder_without_splits_is_one_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("data", "info", str(tmp_path / "nowhere")) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert ran("data", "info", str(tmp_path)) == 1
    assert "found no folder with A and B" in capsys.readouterr().err


def test_info_sends_a_labelled_set_to_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("data", "info", str(labelled(tmp_path))) == 0
    assert "drawn is a labelled set: geomtrs data pack reads its samples.jsonl" in capsys.readouterr().err


def labelled(root: Path) -> Path:
    """A set of two labelled pairs in the folder format that is packed."""
    for name in ("one", "two"):
        saved(root / "drawn" / "mask" / f"{name}.png", np.full((4, 6), 255, np.uint8))
        for side in "AB":
            saved(root / "drawn" / side / f"{name}.webp", np.zeros((4, 6, 3), np.uint8))
    lines = [json.dumps({"name": name, "scene": name, "split": "train", "gsd_m": 10}) for name in ("one", "two")]
    (root / "drawn" / "samples.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return root


def test_pack_makes_one_file_of_labelled_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("data", "pack", str(labelled(tmp_path / "sets")), "-o", str(tmp_path / "pack")) == 0
    assert "2 samples" in capsys.readouterr().out
    pack = Pack(tmp_path / "pack")
    mask = pack.plane(pack.samples[1], "mask")
    assert mask is not None
    assert mask.all()


def test_pack_leaves_nothing_of_a_set_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = labelled(tmp_path / "sets")
    (sets / "drawn" / "A" / "two.webp").unlink()
    assert ran("data", "pack", str(sets), "-o", str(tmp_path / "pack")) == 1
    assert "two.webp: found no such file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sets"]
    assert ran("data", "pack", str(tmp_path / "nowhere"), "-o", str(tmp_path / "pack")) == 1
    assert "no such folder" in capsys.readouterr().err
