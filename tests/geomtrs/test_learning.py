"""Labels, sentences, losses and gradients of the training: what is not known adds nothing, no sentence is ambiguous."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from geomtrs.data.composite import Scene, blob, scorch
from geomtrs.data.expressions import Expression, all_expressions, paired_expressions, spoken, unlabelled_expressions
from geomtrs.data.labels import ABSENT, MASK_MEANS, PRESENT, RULES, THINGS, UNKNOWN, UNLABELLED, LabelRule, rule_of
from geomtrs.data.pairs import Pack, read_folder, read_places, write_pack
from geomtrs.device import choose
from geomtrs.errors import DataError
from geomtrs.models.nano import load_nano
from geomtrs.nn.efficientnet import EfficientNetLite0
from geomtrs.nn.mask_decoder import DIRECTIONS
from geomtrs.training.agreeing import ALIKE, agree
from geomtrs.training.calibration import temperature
from geomtrs.training.depthwise import speed_up_depthwise
from geomtrs.training.losses import existence_loss, mask_loss
from geomtrs.training.samples import QUESTIONS, PairSampler
from geomtrs.training.sets import RULE_NUMBERS, RULE_TABLES
from geomtrs.training.stages import SentenceBank, training_expressions
from geomtrs.training.truth import APPEARED, Question, Truth, told


def test_a_label_says_nothing_of_things_its_set_does_not_name() -> None:
    tables = LabelRule({1: "water"}, {"water": (4,)}).tables()
    water, tree = tables[THINGS.index("water")], tables[THINGS.index("tree")]
    assert (water[1], water[0], water[4], water[255]) == (PRESENT, ABSENT, UNKNOWN, UNKNOWN)
    assert (tree == UNKNOWN).all()


def test_every_rule_and_mask_names_known_things() -> None:
    named = {thing for rule in RULES.values() for thing in (*rule.present.values(), *rule.unknown)}
    assert named | set(MASK_MEANS.values()) <= {*THINGS, "anything"}


def test_parts_of_a_set_may_have_their_own_rule() -> None:
    brazil, columbia = rule_of("timelapse_weak", "brazil_1"), rule_of("timelapse_weak", "columbia_1")
    assert brazil is not None
    assert columbia is not None
    assert set(brazil.present.values()) == {"tree"}
    assert set(columbia.present.values()) == {"water", "ice"}


def test_no_sentence_has_two_directions() -> None:
    meanings: dict[str, set[str]] = {}
    for expression in all_expressions():
        meanings.setdefault(expression.text, set()).add(expression.direction)
    assert {text for text, directions in meanings.items() if len(directions) > 1} == set()


def test_every_thing_has_sentences_of_every_direction_and_a_tenth_is_held_out() -> None:
    expressions = list(all_expressions())
    for thing in range(len(THINGS)):
        assert {e.direction for e in expressions if e.thing == thing} == set(DIRECTIONS)
    assert 0.07 < sum(e.held_out for e in expressions) / len(expressions) < 0.13


def test_an_opener_keeps_the_sentence_whole() -> None:
    assert all(spoken("the new lake", opener).endswith("the new lake") for opener in range(20))


def test_unknown_pixels_do_not_move_the_mask_loss() -> None:
    logits = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    states = torch.full((2, 8, 8), ABSENT, dtype=torch.uint8)
    states[:, :3] = PRESENT
    states[:, 6:] = UNKNOWN
    other = logits.clone()
    other[:, 7:] += 100
    assert torch.isclose(mask_loss(logits, states), mask_loss(other, states), atol=1e-6)


def test_a_right_mask_costs_less_than_a_wrong_one() -> None:
    states = torch.full((1, 8, 8), ABSENT, dtype=torch.uint8)
    states[:, :4] = PRESENT
    right = torch.where(states == PRESENT, 5.0, -5.0)
    assert mask_loss(right, states) < 0.1 < mask_loss(-right, states)


def test_losses_of_nothing_known_are_zero() -> None:
    states = torch.full((2, 8, 8), UNKNOWN, dtype=torch.uint8)
    assert float(mask_loss(torch.randn(2, 8, 8), states)) == 0
    assert float(existence_loss(torch.randn(2), states[:, 0, 0])) == 0


def test_the_temperature_undoes_too_sure_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(20000, generator=generator) * 2
    truth = torch.rand(20000, generator=generator) < honest.sigmoid()
    assert abs(temperature(honest * 3, truth) - 3) < 0.2


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [(5, 1, 2, (12, 10)), (5, 2, 0, (15, 13)), (3, 2, 0, (13, 14)), (3, 2, 1, (9, 9))],
)
def test_the_quick_depthwise_gradient_equals_the_library_one(
    kernel: int, stride: int, padding: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    slow, quick = (nn.Conv2d(6, 6, kernel, stride, padding, groups=6) for _ in range(2))
    quick.load_state_dict(slow.state_dict())
    assert speed_up_depthwise(nn.Sequential(quick)) == 1
    x = torch.randn(2, 6, *size)
    gradients = []
    for conv in (slow, quick):
        leaf = x.clone().requires_grad_()
        (conv(leaf) ** 2).sum().backward()
        assert leaf.grad is not None
        assert conv.bias is not None
        gradients.append((leaf.grad, conv.weight.grad, conv.bias.grad))
    for a, b in zip(*gradients, strict=True):
        assert a is not None
        assert b is not None
        assert torch.allclose(a, b, atol=1e-4)


def test_the_encoder_keeps_maps_at_four_strides() -> None:
    with torch.inference_mode():
        maps = EfficientNetLite0().eval()(torch.zeros(1, 3, 64, 96))
    assert [m.shape[1:] for m in maps] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]


def write_set(root: Path, *, pairs: int) -> None:
    """A made set "fotbcd" in the folder format: a building appears in the second date."""
    from PIL import Image

    rng = np.random.default_rng(0)
    folder = root / "fotbcd"
    for plane in ("A", "B", "mask", "labelA", "labelB"):
        (folder / plane).mkdir(parents=True)
    lines = []
    for i in range(pairs):
        ground = rng.integers(90, 120, (256, 256, 3)).astype(np.uint8)
        built, label = ground.copy(), np.zeros((256, 256), np.uint8)
        built[80:160, 60:180], label[80:160, 60:180] = 220, 1
        Image.fromarray(ground).save(folder / "A" / f"{i}.webp", lossless=True)
        Image.fromarray(built).save(folder / "B" / f"{i}.webp", lossless=True)
        Image.fromarray(label * 255).save(folder / "mask" / f"{i}.png")
        Image.fromarray(label * 0).save(folder / "labelA" / f"{i}.png")
        Image.fromarray(label).save(folder / "labelB" / f"{i}.png")
        facts = {"name": str(i), "scene": f"s{i}", "split": "train", "direction": "appear", "gsd_m": 0.5}
        lines.append(json.dumps(facts))
    (folder / "samples.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_a_pack_gives_back_the_planes_of_its_folder(tmp_path: Path) -> None:
    write_set(tmp_path / "sets", pairs=2)
    assert write_pack(tmp_path / "pack", read_folder(tmp_path / "sets")) == 2
    pack = Pack(tmp_path / "pack")
    for (_, planes), sample in zip(read_folder(tmp_path / "sets"), pack.samples, strict=True):
        for name, pixels in planes.items():
            assert np.array_equal(pack.plane(sample, name), pixels)


def test_a_file_of_places_says_what_is_kept_for_validation(tmp_path: Path) -> None:
    write_set(tmp_path / "sets", pairs=3)
    (tmp_path / "val.json").write_text('{"fotbcd": ["s1"], "another": ["s0"]}', encoding="utf-8")
    read = read_folder(tmp_path / "sets", val=read_places(tmp_path / "val.json"))
    assert [facts["split"] for facts, _ in read] == ["train", "val", "train"]


def test_a_file_of_no_places_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "val.json").write_text('{"fotbcd": "s1"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"val\.json: found no list of scenes"):
        read_places(tmp_path / "val.json")


def test_the_places_that_ship_are_read() -> None:
    places = read_places(Path(__file__).parents[2] / "configs" / "nano_val.json")
    assert "levir_test_1" in places["levir_cd"]


def test_samples_ask_what_the_labels_answer(tmp_path: Path) -> None:
    write_set(tmp_path / "sets", pairs=2)
    write_pack(tmp_path / "pack", read_folder(tmp_path / "sets"))
    sampler = PairSampler(Pack(tmp_path / "pack"), np.random.default_rng(4))
    building = THINGS.index("building")
    asked = 0
    for _ in range(8):
        drawn = sampler.draw()
        assert drawn.images.shape == (2, 3, 256, 256)
        assert drawn.presence.shape[:2] == (QUESTIONS, 2)
        for k, question in enumerate(drawn.questions):
            if question.thing == building and question.direction < 2 and drawn.existence[k] == PRESENT:
                asked += 1
                there, (before, after) = drawn.answers[k] == PRESENT, drawn.presence[k]
                with_it, without_it = (
                    (before, after) if DIRECTIONS[question.direction] == "disappeared" else (after, before)
                )
                assert (with_it[there] == PRESENT).all()
                assert (without_it[there] == ABSENT).all()
    assert asked > 0


def sampler_of_masks(root: Path, direction: str, *, marked: bool, absent: bool = True) -> PairSampler:
    """Pairs of a set that says by its mask alone where buildings changed."""
    facts = {"set": "levir_cd", "scene": "s", "gsd_m": 0.5, "split": "train", "direction": direction}
    pixels = np.random.default_rng(0).integers(90, 120, (256, 256, 3)).astype(np.uint8)
    mask = np.zeros((256, 256), np.uint8)
    mask[80:160, 60:180] = 255 * marked
    write_pack(root, iter([({**facts, "name": "a"}, {"A": pixels, "B": pixels, "mask": mask})]))
    return PairSampler(Pack(root), np.random.default_rng(3), absent=absent)


def asked_of_buildings(sampler: PairSampler) -> dict[tuple[str, int], int]:
    """(direction, state of existence) → how often of buildings alone, over some pairs."""
    asked: dict[tuple[str, int], int] = {}
    for _ in range(30):
        drawn = sampler.draw()
        for question, state in zip(drawn.questions, drawn.existence.tolist(), strict=True):
            if question.thing == THINGS.index("building") and question.source < 0:  # not "buildings or trees"
                key = DIRECTIONS[question.direction], state
                asked[key] = asked.get(key, 0) + 1
    return asked


def test_a_mask_that_marks_nothing_teaches_that_nothing_was_built(tmp_path: Path) -> None:
    asked = asked_of_buildings(sampler_of_masks(tmp_path, "none", marked=False))
    assert asked["appeared", ABSENT] > 5
    assert asked["disappeared", ABSENT] > 5
    assert not any(state == PRESENT for _, state in asked)


def test_a_mask_without_a_direction_teaches_that_something_changed_but_not_which_way(tmp_path: Path) -> None:
    asked = asked_of_buildings(sampler_of_masks(tmp_path, "unknown", marked=True))
    assert asked["changed", PRESENT] > 5
    assert ("appeared", PRESENT) not in asked
    assert ("appeared", ABSENT) not in asked


def test_whether_something_changed_is_asked_in_vain_as_well(tmp_path: Path) -> None:
    """Asked only where it is true, "the buildings that changed" is believed anywhere."""
    asked = asked_of_buildings(sampler_of_masks(tmp_path / "none", "none", marked=False))
    assert asked["changed", ABSENT] > 0
    asked = asked_of_buildings(sampler_of_masks(tmp_path / "some", "appear", marked=True))
    assert asked["changed", PRESENT] > 5
    assert ("changed", ABSENT) not in asked


def test_scorched_ground_is_darker_and_burnt_and_nothing_else_is_known_of_it() -> None:
    rng = np.random.default_rng(0)
    scene = Scene(
        np.full((256, 256, 3), (60, 120, 50), np.uint8), np.ones((256, 256), np.uint8), np.ones((256, 256), np.uint8)
    )
    where = blob(rng, 0.2)
    before = scene.copy()
    scorch(scene, where, rng, RULE_NUMBERS["scorched"])
    states = RULE_TABLES[scene.rule, :, scene.raw]
    burnt = THINGS.index("burnt")
    assert 0.19 < where.mean() < 0.21
    assert (states[where][:, burnt] == PRESENT).all()
    assert (np.delete(states[where], burnt, 1) == UNKNOWN).all()
    assert scene.image[where].mean() < 0.8 * before.image[where].mean()
    assert np.array_equal(scene.raw[~where], before.raw[~where])


def test_things_that_no_set_labels_are_nowhere(tmp_path: Path) -> None:
    sampler = sampler_of_masks(tmp_path, "appear", marked=True)
    drawn = [sampler.draw() for _ in range(20)]
    asked = [(d, k) for d in drawn for k, q in enumerate(d.questions) if q.thing == UNLABELLED]
    assert len(asked) > 5
    assert all((d.answers[k] == ABSENT).all() and d.existence[k] == ABSENT for d, k in asked)


def test_two_things_at_once_are_where_either_came() -> None:
    water, road = THINGS.index("water"), THINGS.index("road")
    nothing = np.zeros((len(THINGS), 4, 4), np.uint8)
    after = nothing.copy()
    after[water, 0], after[road, 1], after[road, 3] = PRESENT, PRESENT, UNKNOWN
    nowhere = np.zeros((4, 4), bool)
    truth = Truth(nothing, after, nowhere, nowhere, nothing[0], None)
    presence, answers, _ = told([Question(water, APPEARED, road)], truth)
    assert [row.tolist() for row in answers[0]] == [[PRESENT] * 4, [PRESENT] * 4, [ABSENT] * 4, [UNKNOWN] * 4]
    assert np.array_equal(presence[0, 1], answers[0])
    assert not presence[0, 0].any()


def test_every_meaning_that_is_drawn_has_a_sentence_to_learn(tmp_path: Path) -> None:
    said = {(e.thing, e.direction, -1 if e.source is None else e.source) for e in training_expressions()}
    drawn = sampler_of_masks(tmp_path, "appear", marked=True)
    asked = [q for _ in range(40) for q in drawn.draw().questions]
    assert any(q.source >= 0 and q.direction == APPEARED for q in asked)
    assert {(q.thing, DIRECTIONS[q.direction], q.source) for q in asked} <= said
    things = range(len(THINGS))
    assert {(a, d, b) for a in things for b in things if a != b for d in ("appeared", "disappeared")} <= said


def test_no_sentence_about_a_known_thing_is_one_about_an_unlabelled_one() -> None:
    known = {e.text for e in (*all_expressions(), *paired_expressions())}
    assert not known & {e.text for e in unlabelled_expressions()}


def test_without_absent_things_nothing_is_known_to_be_nowhere(tmp_path: Path) -> None:
    asked = asked_of_buildings(sampler_of_masks(tmp_path, "appear", marked=True, absent=False))
    assert asked["appeared", PRESENT] > 5
    assert {state for _, state in asked} == {PRESENT, UNKNOWN}


def test_the_same_seed_draws_the_same_samples(tmp_path: Path) -> None:
    write_set(tmp_path / "sets", pairs=2)
    write_pack(tmp_path / "pack", read_folder(tmp_path / "sets"))
    first, second = (PairSampler(Pack(tmp_path / "pack"), np.random.default_rng(7)).draw() for _ in range(2))
    assert np.array_equal(first.images, second.images)
    assert first.questions == second.questions


def test_a_sentence_that_was_seldom_asked_comes_to_mean_what_the_others_do() -> None:
    road, tree = THINGS.index("road"), THINGS.index("tree")
    said = [Expression(text, road, "appeared") for text in ("new roads", "new streets", "roads that were built")]
    said += [Expression(text, tree, "disappeared") for text in ("felled trees", "trees that are gone", "lost forest")]
    nano = load_nano(None, choose("cpu", "fp32", threads=1))
    reader = nano.network.language
    bank = SentenceBank(reader.tower, nano.tokenizer, [*said, Expression("zebra stripes", road, "appeared")], seed=1)
    before = bank.ask(reader.head, torch.arange(7))
    assert agree(reader, bank, steps=40) == 1
    after = bank.ask(reader.head, torch.arange(7))
    likeness = torch.nn.functional.cosine_similarity(after.thing, before.thing)
    assert float(likeness[:6].detach().min()) > 0.95
    assert float(likeness[6].detach()) < 0.9
    assert float(torch.nn.functional.cosine_similarity(after.thing[6], before.thing[0], dim=0).detach()) > ALIKE
