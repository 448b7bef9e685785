"""What an evaluation says is right on cases small enough to count by hand, and its report opens anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from geomtrs.cli import main
from geomtrs.data.cases import Case
from geomtrs.data.mtrefseg21k import read_split
from geomtrs.data.triplets import Triplet, write_split
from geomtrs.device import choose
from geomtrs.errors import DataError, ModelError, QueryError
from geomtrs.evaluation.controls import Wordless, ir_mad, load_control, pca_kmeans, thing_of
from geomtrs.evaluation.evaluate import bench, evaluate, evaluate_by_protocol
from geomtrs.evaluation.gallery import Gallery
from geomtrs.evaluation.measures import Measures, Outcome, calibration, measure, outcome, poisson_rate, reliability
from geomtrs.evaluation.published import evaluate_published, in_square
from geomtrs.evaluation.report import bench_table
from geomtrs.evaluation.runner import Answered, answers, said
from geomtrs.evaluation.source import Source, cases_of, open_source
from geomtrs.grammar import Limit, Place, ScenePart
from geomtrs.models.base import LARGEST_PX, Answer, ChangeModel, TileSpec
from geomtrs.models.differencing import Differencing
from geomtrs.models.letterbox import Letterbox
from geomtrs.models.published_model import Features
from geomtrs.query import Query
from tests.geomtrs.test_learning import write_set

HEIGHT, WIDTH = 48, 64
LEFT, RIGHT = (slice(10, 30), slice(4, 24)), (slice(10, 30), slice(40, 60))


def mask_of(*parts: tuple[slice, slice]) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for part in parts:
        mask[part] = True
    return mask


def made_case(sentence: str, *parts: tuple[slice, slice], pair: int = 0, **facts: object) -> Case:
    """Something bright on the left, something dark on the right, and where the sentence holds."""
    ground = np.random.default_rng(pair).integers(100, 104, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    after = ground.copy()
    after[LEFT], after[RIGHT] = 250, 0
    known = np.ones((HEIGHT, WIDTH), bool)
    told = {"known": known, "set": "made", "place": f"place {pair}", "kind": "direction"} | facts
    return Case(before=ground, after=after, sentence=sentence, mask=mask_of(*parts), **told)


class Says:
    """A model that answers each sentence with what is written beside it: a mask, and existence where it is not 1."""

    name, weights_hash = "says", "0"
    tile_spec = TileSpec(tile_px=64, halo_px=0, feather_px=0)

    def __init__(self, book: dict[str, NDArray[np.bool_]], existence: dict[str, float] | None = None) -> None:
        self.book, self.existence, self.looks = book, existence or {}, 0

    def prepare(self, queries: Sequence[Query]) -> list[str]:
        return [query.model_text for query in queries]

    def features(self, tiles: NDArray[np.uint8]) -> object:
        """Whether the pair is in its true order: the bright thing is in the second date."""
        self.looks += 1
        return bool(tiles[0, 1].max() == 250)

    def answer(self, features: object, prepared: list[str]) -> Answer:
        nothing = np.zeros((HEIGHT, WIDTH), bool)
        masks = [self.book.get(text if features else f"swapped {text}", nothing) for text in prepared]
        existence = np.array([[self.existence.get(text, 1.0) for text in prepared]], np.float32)
        return Answer(np.stack(masks)[None].astype(np.float32) * 0.9, existence)


def measured(model: ChangeModel, cases: Sequence[Case]) -> Measures:
    found = measure(rows(model, cases))
    assert found is not None
    return found


def rows(model: ChangeModel, cases: Sequence[Case]) -> list[Outcome]:
    answered = list(answers(model, cases))
    by_pair: dict[int, list[Answered]] = {}
    for one in answered:
        by_pair.setdefault(one.pair, []).append(one)
    return [outcome(group, place) for group in by_pair.values() for place in range(len(group))]


def source_of(cases: Sequence[Case]) -> Source:
    return Source("made", len(cases), lambda: iter(cases))


# --- the runner ---


def test_a_pair_is_looked_at_once_for_all_its_sentences_and_once_swapped() -> None:
    model = Says({})
    cases = [made_case(text, LEFT, pair=pair, swapped_empty=True) for pair in range(2) for text in ("one", "two")]
    assert [one.pair for one in answers(model, cases)] == [0, 0, 1, 1]
    assert model.looks == 4


def test_existence_decides_with_the_mask_as_in_the_product() -> None:
    model = Says({"one": mask_of(LEFT), "two": mask_of(LEFT)}, {"one": 0.5, "two": 0.6})
    unsure, sure = answers(model, [made_case("one", LEFT), made_case("two", LEFT)])
    assert not unsure.mask.any()
    assert np.array_equal(sure.mask, mask_of(LEFT))


def test_words_about_the_scene_choose_among_the_parts_of_the_answer() -> None:
    small, large = (slice(2, 6), slice(2, 6)), (slice(30, 40), slice(40, 60))
    probability = mask_of(small, large).astype(np.float32)
    for part, left in (
        (ScenePart(largest=True, count=1), large),
        (ScenePart(place=Place("north")), small),
        (ScenePart(place=Place("lower", "right")), large),
        (ScenePart(most=Limit(16 * 4.0)), small),
    ):
        assert np.array_equal(said(probability, part, threshold=0.5, gsd_m=2.0), mask_of(left))
    without_ground = said(probability, ScenePart(most=Limit(1.0)), threshold=0.5, gsd_m=None)
    assert np.array_equal(without_ground, mask_of(small, large))


def test_the_largest_is_asked_for_by_the_sentence_alone() -> None:
    model = Says({"the new building": mask_of(LEFT, (slice(0, 3), slice(0, 3)))})
    (one,) = answers(model, [made_case("the largest new building", LEFT)])
    assert np.array_equal(one.mask, mask_of(LEFT))


def test_a_picture_larger_than_a_model_is_given_is_cut_without_a_seam() -> None:
    random = np.random.default_rng(0)
    dates = random.integers(0, 255, (2, 40, LARGEST_PX + 100, 3)).astype(np.uint8)
    nothing = np.zeros(dates.shape[1:3], bool)
    case = Case(dates[0], dates[1], "what changed", nothing, ~nothing, "made", "here", "other")
    (one,) = answers(Differencing(), [case])
    model = Differencing()
    whole = model.answer(model.features(dates.transpose(0, 3, 1, 2)[None]), model.prepare([Query("what changed")]))
    assert np.array_equal(one.probability, whole.probability[0, 0])


# --- the measures ---


def test_the_swap_score_is_the_iou_where_the_swapped_order_is_answered_empty() -> None:
    book = {"one": mask_of(LEFT), "two": mask_of(LEFT), "swapped two": mask_of(RIGHT)}
    cases = [made_case(text, LEFT, swapped_empty=True) for text in ("one", "two")]
    found = measured(Says(book), cases)
    assert found.swap.value == pytest.approx(0.5, abs=1e-6)
    assert found.swapped_empty.value == 0.5


def test_the_sentence_score_of_a_model_that_ignores_words_is_zero() -> None:
    cases = [made_case("left", LEFT), made_case("right", RIGHT), made_case("nothing")]
    deaf = measured(Says(dict.fromkeys(("left", "right", "nothing"), mask_of(LEFT, RIGHT))), cases)
    right = measured(Says({"left": mask_of(LEFT), "right": mask_of(RIGHT)}), cases)
    assert deaf.sentence.value == 0
    assert right.sentence.value == pytest.approx(1, abs=1e-6)
    assert (right.sentence.cases, right.sentence_of_perfect) == (2, 1)


def test_a_paraphrase_is_not_another_sentence() -> None:
    cases = [made_case("left", LEFT), made_case("on the left hand", LEFT)]
    assert measured(Says({}), cases).sentence.cases == 0


def test_absence_counts_what_is_answered_empty_and_the_false_ground() -> None:
    cases = [made_case("ships", gsd_m=2.0), made_case("cranes", gsd_m=2.0), made_case("left", LEFT, gsd_m=2.0)]
    found = measured(Says({"ships": mask_of(LEFT, RIGHT), "left": mask_of(LEFT)}), cases)
    assert found.absence.value == 0.5
    assert found.false_m2_per_km2 == pytest.approx(1e6 * 800 / (2 * HEIGHT * WIDTH))
    assert (found.false_polygons.events, found.false_polygons.exposure) == (2, 2 * HEIGHT * WIDTH / 512**2)


def test_pixels_that_are_not_known_count_nowhere() -> None:
    unknown = made_case("left", LEFT, known=~mask_of(RIGHT))
    found = measured(Says({"left": mask_of(LEFT, RIGHT)}), [unknown])
    assert found.all.score.miou == pytest.approx(1, abs=1e-6)
    assert sum(found.pixels.count) == HEIGHT * WIDTH - 400
    dark = made_case("left", LEFT, known=mask_of())
    assert measure(rows(Says({}), [dark])) is None
    assert measured(Says({}), [dark, unknown]).unlabelled == 1


def test_the_paraphrase_gap_is_of_the_same_pair_asked_the_same_in_other_words() -> None:
    half = (slice(10, 30), slice(4, 14))
    cases = [
        made_case("left", LEFT, pair=0, twin="port side"),
        made_case("larboard", LEFT, pair=1, held_out=True, twin="left"),
        made_case("a hard one", RIGHT, pair=2, held_out=True),  # no twin: how hard it is must not count
    ]
    found = measured(Says({"left": mask_of(LEFT), "port side": mask_of(half), "larboard": mask_of(LEFT)}), cases)
    assert found.seen.value == pytest.approx(1, abs=1e-6)
    assert found.held_out.value == pytest.approx((0.5 + 1) / 2, abs=1e-6)
    assert found.paraphrase_gap.value == pytest.approx(-0.25, abs=1e-6)
    assert (found.paraphrase_gap.cases, found.paraphrase_gap.places) == (2, 2)


def test_the_paraphrase_gap_has_an_interval_over_places() -> None:
    cases = [made_case("left", LEFT, pair=pair, twin="port side") for pair in range(6)]
    found = measured(Says({"left": mask_of(LEFT)}), cases).paraphrase_gap
    assert (found.value, found.low, found.high) == pytest.approx((-1, -1, -1), abs=1e-6)


class Narrow(Says):
    """Marks the first ten columns of what it is given, and the thing at column 200 of the whole picture."""

    def features(self, tiles: NDArray[np.uint8]) -> object:
        return tiles.shape[-1]

    def answer(self, features: object, prepared: list[str]) -> Answer:
        assert isinstance(features, int)
        probability = np.zeros((1, 1, HEIGHT, features), np.float32)
        probability[..., :10] = 0.9
        probability[..., 200:220] = 0.9
        return Answer(probability, np.ones((1, 1), np.float32))


def test_tiled_less_whole_is_what_cutting_costs() -> None:
    mask = np.zeros((HEIGHT, 300), bool)
    mask[:, :10] = mask[:, 200:220] = True
    ground = np.zeros((HEIGHT, 300, 3), np.uint8)
    case = Case(ground, ground, "left", mask, np.ones_like(mask), "made", "here", "direction")
    (one,) = answers(Narrow({}), [case], tiled_px=150)
    found = measure([outcome([one], 0)])
    assert found is not None
    assert (found.whole.value, found.tiled.value) == pytest.approx((1, 10 / 40), abs=1e-6)
    assert found.tiling_gap.value == pytest.approx(-0.75, abs=1e-6)
    (small,) = answers(Says({}), [made_case("left", LEFT)], tiled_px=128)
    assert small.tiled is None


def test_parts_of_which_the_halo_leaves_nothing_are_refused() -> None:
    class Wide(Says):
        tile_spec = TileSpec(tile_px=256, halo_px=60, feather_px=0)

    with pytest.raises(QueryError, match="--tiled: found 128 px; wanted more than 128 px"):
        list(answers(Wide({}), [made_case("left", LEFT)], tiled_px=128))


def test_calibration_is_the_distance_of_what_is_said_from_what_holds() -> None:
    found = calibration(reliability(np.array([0.9] * 8 + [0.1] * 2), np.array([True] * 4 + [False] * 6)))
    assert found.ece == pytest.approx(0.8 * abs(0.9 - 0.5) + 0.2 * 0.1)
    assert sum(found.count) == 10
    assert calibration(None).ece is None


def test_an_area_is_predicted_over_true_and_intervals_want_five_places() -> None:
    cases = [made_case("left", LEFT, pair=pair, thing="building") for pair in range(5)]
    found = measured(Says({"left": mask_of(LEFT, RIGHT)}), cases)
    assert [(area.thing, area.ratio) for area in found.areas] == [("building", 2.0)]
    assert found.all.miou.low == pytest.approx(0.5, abs=1e-6)
    few = measured(Says({}), cases[:4])
    assert few.all.miou.low is None


def test_no_event_still_has_an_upper_end() -> None:
    rate = poisson_rate(0, 10)
    assert (rate.value, rate.low) == (0, 0)
    assert rate.high == pytest.approx(3.689 / 10, abs=1e-3)


# --- the published protocol ---


def triplets(pairs: int) -> Iterator[Triplet]:
    for pair in range(pairs):
        for sentence, part in (("new buildings", [LEFT]), ("trees that disappeared", [RIGHT]), ("new pools", [])):
            case = made_case(sentence, *part, pair=pair)
            yield Triplet(f"p{pair}", case.before, case.after, case.mask, sentence)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    write_split(tmp_path / "split", triplets(2))
    return tmp_path / "split"


def test_a_split_is_read_as_cases(split: Path) -> None:
    cases = list(cases_of(read_split(split), "split"))
    assert [case.kind for case in cases[:3]] == ["appeared", "disappeared", "absent"]
    assert [case.place for case in cases[::3]] == ["p0", "p1"]
    assert cases[0].known.all()


def test_the_published_protocol_scores_masks_in_the_letterbox(split: Path) -> None:
    book = {"new buildings": mask_of(LEFT), "new pools": mask_of(LEFT)}
    score = evaluate_published(Says(book), read_split(split))
    assert (score.samples, score.empty_targets, score.empty_both) == (6, 2, 0)
    assert score.miou == pytest.approx(1 / 3, abs=1e-6)
    # 64 pixels become 1024, so each is 16 × 16 of the square.
    assert int(in_square(mask_of(LEFT)).sum()) == 400 * 256


def test_no_picture_beyond_the_limit_is_read(split: Path) -> None:
    listing = read_split(split)
    listing.samples[3].before.unlink()
    assert evaluate_published(Says({}), listing, limit=3).samples == 3


def test_base_is_scored_in_its_square_with_the_padding(split: Path) -> None:
    class Square(Says):
        name = "base"

        def features(self, tiles: NDArray[np.uint8]) -> object:
            self.looks += 1
            return Features([], Letterbox.of(tiles.shape[-2], tiles.shape[-1], 1024))

        def answer(self, features: object, prepared: list[str]) -> Answer:
            assert isinstance(features, Features)
            assert (features.letterbox.height, features.letterbox.width) == (1024, 1024)
            return Answer(np.full((1, 1, 1024, 1024), 0.5, np.float32), np.ones((1, 1), np.float32))

    model = Square({})
    score = evaluate_published(model, read_split(split), limit=3)
    assert model.looks == 1
    assert (score.samples, score.empty_predictions) == (3, 3)  # one half is not above the threshold there


# --- the report ---


def test_the_report_opens_without_a_network_and_its_numbers_are_json(tmp_path: Path) -> None:
    cases = [
        made_case(text, *part, pair=pair) for pair in range(6) for text, part in (("left <b>", [LEFT]), ("no", []))
    ]
    model = Says({"left <b>": mask_of(LEFT)})
    _, files = evaluate(model, source_of(cases), tmp_path / "report")
    assert {file.name for file in files} == {"report.json", "table.md", "report.html", "contact.png"}
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert "left &lt;b&gt;" in page
    assert page.count("<svg") == 2
    assert page.count("<img") == 2 * (6 + 6 + 12)
    document = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert document["measures"]["all"]["score"]["samples"] == 12
    assert "| with a target |" in (tmp_path / "report" / "table.md").read_text(encoding="utf-8")
    with Image.open(tmp_path / "report" / "contact.png") as contact:
        assert contact.width > contact.height


def test_the_gallery_keeps_few_of_many_and_one_of_a_pair_among_the_worst() -> None:
    gallery = Gallery()
    cases = [made_case(text, LEFT, pair=pair) for pair in range(40) for text in ("left", "missed")]
    answered = list(answers(Says({"left": mask_of(LEFT)}), cases))
    for place, one in enumerate(answered):
        gallery.add(one, outcome(answered[place // 2 * 2 : place // 2 * 2 + 2], place % 2))
    assert (len(gallery.worst), len(gallery.best), len(gallery.drawn)) == (12, 12, 60)
    assert {picture.iou for picture in gallery.worst} == {0.0}
    assert {round(picture.iou, 5) for picture in gallery.best} == {1.0}


def test_a_bench_asks_all_models_the_same(tmp_path: Path) -> None:
    cases = [made_case("left", LEFT, pair=pair) for pair in range(3)]
    models = [("right", Says({"left": mask_of(LEFT)})), ("silent", Says({}))]
    table, files = bench(models, source_of(cases), tmp_path / "bench")
    assert [row[:2] for row in table.rows] == [("right", "100.0"), ("silent", "0.0")]
    assert {file.name for file in files} == {"report.json", "table.md"}


def test_the_protocol_wants_a_split(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="wanted a split of MTRefSeg-21K"):
        evaluate_by_protocol(Says({}), source_of([]), tmp_path)


# --- controls ---


@pytest.mark.parametrize("control", [pca_kmeans, ir_mad])
def test_a_classical_control_finds_a_bright_square(control: Callable[[NDArray[np.uint8]], NDArray[np.float64]]) -> None:
    random = np.random.default_rng(1)
    dates = random.integers(90, 120, (2, 3, HEIGHT, WIDTH)).astype(np.uint8)
    dates[1, :, *LEFT] = 220
    found = control(dates) >= 0.5
    assert (found & mask_of(LEFT)).sum() / (found | mask_of(LEFT)).sum() > 0.9
    assert control(np.stack([dates[0], dates[0]])).max() == 0
    assert np.isfinite(control(random.integers(0, 255, (2, 3, 1, 7)).astype(np.uint8))).all()


def test_a_classical_control_answers_every_sentence_alike() -> None:
    model = Wordless("pca-kmeans", pca_kmeans)
    one, other = answers(model, [made_case("left", LEFT), made_case("nothing")])
    assert np.array_equal(one.mask, other.mask)
    assert one.mask[LEFT].mean() > 0.9


@pytest.mark.parametrize(
    ("sentence", "thing"),
    [("the new buildings that were added", "buildings"), ("felled trees", "felled trees"), ("what changed", "what")],
)
def test_a_finder_is_asked_of_the_thing_without_words_of_change(sentence: str, thing: str) -> None:
    assert thing_of(sentence) == thing


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIPSeg of two layers with random weights, in the format of transformers."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("clipseg")
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config={**size, "vocab_size": 8, "max_position_embeddings": 16, "eos_token_id": 7, "pad_token_id": 0},
        vision_config={**size, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        extract_layers=[0, 1],
    )
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "buildings": 2, "trees": 3, "<end>": 7}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # of transformers
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", eos_token="<end>", model_max_length=16
    ).save_pretrained(folder)
    facts = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def test_clipseg_is_asked_of_each_date_and_swapping_them_swaps_the_directions(clipseg: Path) -> None:
    model = load_control("clipseg", weights=clipseg, device=choose("cpu"))
    case = made_case("new buildings", LEFT)
    dates = np.stack([case.before, case.after]).transpose(0, 3, 1, 2)[None]
    prepared = model.prepare([Query("new buildings"), Query("buildings that disappeared"), Query("trees")])
    there, back = (model.answer(model.features(tiles), prepared).probability for tiles in (dates, dates[:, ::-1]))
    assert there.shape == (1, 3, HEIGHT, WIDTH)
    assert np.allclose(there[0, 0], back[0, 1], atol=1e-6)
    assert np.allclose(there[0, 2], back[0, 2], atol=1e-6)


def test_a_control_says_which_weights_it_wants(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="name it with --weights"):
        load_control("clipseg", weights=None, device=None)
    with pytest.raises(ModelError, match="learns nothing"):
        load_control("ir-mad", weights=tmp_path, device=None)
    with pytest.raises(ModelError, match="no CLIPSeg that loads"):
        load_control("clipseg", weights=tmp_path, device=None)


# --- sources and the command line ---


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A folder of one labelled set: a bright building appears in both pairs."""
    write_set(tmp_path / "sets", pairs=2)
    return tmp_path / "sets"


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def test_evaluate_measures_a_folder_of_sets(sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    asked = ("evaluate", str(sets), "--split", "train", "--model", "differencing", "-o", str(out))
    assert code_of(*asked) == 0
    assert str(out / "report.html") in capsys.readouterr().out
    document = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert document["measures"]["swap"]["value"] > 0.9
    assert code_of(*asked) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_bench_compares_models_on_a_split(split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("bench", str(split), "--models", "differencing,pca-kmeans,ir-mad", "--limit", "3", "--quiet")
    assert code_of(*asked, "-o", str(tmp_path / "bench")) == 0
    out, err = capsys.readouterr()
    assert all(f"| {name} |" in out for name in ("differencing", "pca-kmeans", "ir-mad"))
    assert not err


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ("differencing,differencing", "--models: found differencing twice"),
        ("", "--models: found no model"),
        ("differencing=", "--models: found differencing= without a folder"),
    ],
)
def test_bench_refuses_models_that_would_make_no_row(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], models: str, words: str
) -> None:
    assert code_of("bench", str(split), "--models", models, "-o", str(tmp_path / "bench")) == 2
    assert words in capsys.readouterr().err


def test_a_difference_of_nothing_has_no_sign() -> None:
    one = measured(Says({}), [made_case("left", LEFT)])
    table = bench_table({"one": replace(one, swap=replace(one.swap, value=-1e-6))})
    assert not any("-0.0" in cell for row in table.rows for cell in row)


def test_the_published_protocol_is_asked_on_the_command_line(split: Path, tmp_path: Path) -> None:
    asked = ("evaluate", str(split), "--model", "differencing", "--published", "-o", str(tmp_path / "report"))
    assert code_of(*asked) == 0
    document = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert document["published"]["samples"] == 6


def test_a_source_that_is_none_says_what_would_be(sets: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    (bare / "one").mkdir(parents=True)
    (bare / "one" / "samples.jsonl").touch()
    for folder, options, words in (
        (tmp_path / "nowhere", {}, "found nothing to evaluate on"),
        (sets, {"split": "test"}, "found no sample of split test; wanted one of train"),
        (bare, {}, "found no sample of split val; wanted samples of a split"),
        (sets, {"sets": ["levir"]}, "found no set levir; wanted of fotbcd"),
    ):
        with pytest.raises(DataError, match=words), open_source(folder, **options):
            pass
