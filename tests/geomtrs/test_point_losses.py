"""The published losses against numbers of the published code, and one step of training with the real modules."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from geomtrs.models.mtrefseg import MTRefSeg
from geomtrs.models.prompt import AFTER_IMAGES, BEFORE_IMAGES, BETWEEN_IMAGES
from geomtrs.models.published import published_key
from geomtrs.nn.deformable import DeformablePixelDecoder
from geomtrs.nn.fusion import OneWayFusion
from geomtrs.nn.masked_attention import MaskedAttentionDecoder
from geomtrs.nn.phi import Phi, PhiParams
from geomtrs.nn.projector import TokenProjector
from geomtrs.nn.swin import Swin
from geomtrs.training.point_losses import (
    IGNORED,
    Draw,
    SetLoss,
    bce_loss,
    chosen_points,
    dice_loss,
    language_loss,
    sampled,
    set_loss,
)
from tests.geomtrs.parity import seed_by_name, seeded_input, seeded_weight
from tests.geomtrs.test_published import images

PARITY = Path(__file__).parents[1] / "data" / "parity"
LOSSES = json.loads((PARITY / "losses.json").read_text(encoding="utf-8"))
STEP = json.loads((PARITY / "train_step_visual.json").read_text(encoding="utf-8"))
WIDTHS = (128, 256, 512, 1024)


def numbered_draws(tag: str, shapes: list[list[int]]) -> Draw:
    """The random draws of a fixture, in order; notes the shape of each in `shapes`."""
    numbers = count()

    def draw(shape: tuple[int, ...]) -> Tensor:
        shapes.append(list(shape))
        return seeded_input(f"{tag}.rand{next(numbers)}", shape, 0, 1)

    return draw


def disk_and_nothing() -> Tensor:
    """(2, 1, 128, 128): a disk in the first image, nothing in the second."""
    row, col = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    disk = (row - 40) ** 2 + (col - 60) ** 2 < 900
    return torch.stack([disk, torch.zeros_like(disk)])[:, None].float()


def of_case(name: str, points: int | None = None) -> tuple[SetLoss, list[list[int]]]:
    """What a case of `losses.json` costs, and the shapes of its draws."""
    case = LOSSES["cases"][name]
    order = [*map(str, range(case["aux"])), "F"]
    heads = [seeded_input(f"loss.{name}.logits{n}", (2, case["Q"], 32, 32), -4, 4) for n in order]
    shapes: list[list[int]] = []
    draw = numbered_draws(f"loss.{name}", shapes)
    return set_loss(heads, disk_and_nothing(), draw=draw, points=points or case["num_points"]), shapes


def in_the_order_of_heads(last_first: list[Any]) -> list[Any]:
    return [*last_first[1:], last_first[0]]


@pytest.mark.parametrize("name", ["referring", "visual"])
def test_every_head_costs_what_it_cost_the_authors(name: str) -> None:
    case, (found, shapes) = LOSSES["cases"][name], of_case(name)
    assert shapes == case["rand_call_shapes"]
    for kind, values in (("mask", found.bce), ("dice", found.dice)):
        wanted = [case["losses"][f"loss_{kind}{end}"] for end in (*(f"_{i}" for i in range(case["aux"])), "")]
        assert values.tolist() == pytest.approx(wanted, rel=1e-5)
    assert found.total.item() == pytest.approx(case["weighted_total"], rel=1e-5)


@pytest.mark.parametrize("name", ["referring", "visual"])
def test_every_target_is_given_to_the_query_the_authors_gave_it_to(name: str) -> None:
    pairs = in_the_order_of_heads(LOSSES["cases"][name]["matched_indices_final_then_aux"])
    wanted = [[queries for queries, _ in image] for image in pairs]
    assert of_case(name)[0].matched.tolist() == wanted


@pytest.mark.parametrize("name", ["referring", "visual"])
def test_masks_are_compared_at_the_points_of_the_authors(name: str) -> None:
    case = LOSSES["cases"][name]
    logits = seeded_input(f"loss.{name}.logitsF", (2, case["Q"], 32, 32), -4, 4)
    queries = [image[0][0] for image in case["matched_indices_final_then_aux"][0]]
    draw = numbered_draws(f"loss.{name}", [])
    for _ in range(2):  # the matcher's
        draw((1, case["num_points"], 2))
    places = chosen_points(logits[torch.arange(2), queries], draw, case["num_points"])
    with np.load(PARITY / "losses.npz") as stored:
        assert np.array_equal(places[:, ::7].numpy(), stored[f"{name}_coords_final"])


def test_fixed_points_cost_what_they_cost_the_authors() -> None:
    wanted = LOSSES["fixed_points"]
    logits = seeded_input("loss.points.logits", (3, 200), -4, 4)
    labels = (seeded_input("loss.points.labels", (3, 200), 0, 1) > 0.6).float()
    labels[2] = 0
    assert bce_loss(logits, labels, 3).item() == pytest.approx(wanted["bce"], rel=1e-5)
    assert bce_loss(logits, labels, 1).item() == pytest.approx(wanted["bce_nm1"], rel=1e-5)
    assert dice_loss(logits, labels, 3).item() == pytest.approx(wanted["dice"], rel=1e-5)
    for loss, name in ((bce_loss, "bce_per_row"), (dice_loss, "dice_per_row")):
        rows = [loss(logits[i : i + 1], labels[i : i + 1], 1).item() for i in range(3)]
        assert rows == pytest.approx(wanted[name], rel=1e-5)


def test_places_run_from_edge_to_edge_x_before_y() -> None:
    mask = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    centres = torch.tensor([[[0.5 / 3, 0.25], [2.5 / 3, 0.25], [0.5 / 3, 0.75]]])
    assert sampled(mask, centres)[0, 0].tolist() == pytest.approx([1, 3, 4], abs=1e-5)
    assert sampled(mask, torch.zeros(1, 1, 2)).item() == pytest.approx(0.25)  # a corner: three quarters lie outside


def test_two_targets_that_want_the_same_query_get_one_each() -> None:
    top = torch.zeros(16, 16)
    top[:8] = 1
    targets = torch.stack([top, top])[None]
    heads = [(torch.stack([1 - top, top, top * 0.6])[None] - 0.5) * 20]  # the first query says the opposite
    found = set_loss(heads, targets, draw=numbered_draws("alike", []), points=64)
    assert sorted(found.matched.flatten().tolist()) == [1, 2]


def test_a_query_that_is_not_matched_gets_no_gradient() -> None:
    logits = seeded_input("loss.visual.logitsF", (2, 5, 32, 32), -4, 4).requires_grad_()
    found = set_loss([logits], disk_and_nothing(), draw=numbered_draws("few", []), points=64)
    found.total.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    touched = logits.grad.abs().sum((2, 3)) > 0
    assert touched.nonzero().tolist() == [[i, int(found.matched[0, i, 0])] for i in range(2)]


def test_more_targets_than_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="2 targets cannot be given to 1 queries"):
        set_loss([torch.zeros(1, 1, 4, 4)], torch.zeros(1, 2, 8, 8))


def test_words_cost_what_stands_before_them_says_and_only_where_they_are_labelled() -> None:
    hidden, head = seeded_input("words", (2, 5, 8)), seeded_input("head", (7, 8))
    labels = torch.tensor([[6, IGNORED, 3, 2, IGNORED], [IGNORED, 1, IGNORED, IGNORED, IGNORED]])
    scores = (hidden @ head.T).log_softmax(-1)  # the label at the first position has nothing before it
    wanted = -(scores[0, 1, 3] + scores[0, 2, 2] + scores[1, 0, 1]) / 3
    assert language_loss(hidden, head, labels).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_words_without_a_label_cost_nothing() -> None:
    hidden = torch.ones(1, 3, 4, requires_grad=True)
    language_loss(hidden, torch.ones(5, 4), torch.full((1, 3), IGNORED)).backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert not hidden.grad.any()


@pytest.mark.slow
@torch.inference_mode()
def test_the_published_answer_costs_two_language_layers_what_it_cost_the_authors() -> None:
    prompt = json.loads((PARITY / "prompt.json").read_text(encoding="utf-8"))
    whole = json.loads((PARITY / "whole_model_2layers.json").read_text(encoding="utf-8"))
    special = prompt["special_ids"]
    encoder, projector = (
        seed_by_name(Swin(), "model.vision_tower."),
        seed_by_name(TokenProjector(), "model.mm_projector."),
    )
    phi = Phi(PhiParams(layers=2))
    seed_by_name(phi, "model.")
    first, second = (projector(encoder(image)[-1])[0] for image in images())
    answer = prompt["prompt_ids"].index(special["<refer>"]) + 1
    tail = [i for i in range(answer, len(prompt["prompt_ids"])) if prompt["prompt_ids"][i] != special["<seg>"]]
    words = [*AFTER_IMAGES, *prompt["expressions"][0]["refer_ids"], *(prompt["prompt_ids"][i] for i in tail)]
    embedded = [phi.embed_tokens(torch.tensor(ids)) for ids in (BEFORE_IMAGES, BETWEEN_IMAGES, words)]
    hidden, _ = phi(torch.cat([embedded[0], first, embedded[1], second, embedded[2]])[None])
    labels = torch.full((1, whole["sequence_length"]), IGNORED)
    labels[0, -len(tail) :] = torch.tensor([prompt["prompt_labels"][i] for i in tail])
    assert (labels != IGNORED).sum() == 10
    found = language_loss(hidden, seeded_weight("lm_head.weight", (special["vocab_rows"], 2048)), labels)
    assert found.item() == pytest.approx(whole["llm_cross_entropy"], rel=1e-5)


# One step of the visual path: two pairs of 128 px, a hundred queries, ten heads.


@pytest.fixture(scope="module")
def stepped() -> tuple[SetLoss, dict[str, Tensor | None]]:
    """What the step cost, and the gradient of every parameter by its published key."""
    network = MTRefSeg(
        encoder=Swin(),
        fusion=OneWayFusion(WIDTHS),
        pixel_decoder=DeformablePixelDecoder(WIDTHS),
        language=nn.Identity(),
        mask_decoder=MaskedAttentionDecoder(),
    )
    seed_by_name(network, "", published_key)
    dates = torch.stack([seeded_input(f"train.t{t}", (2, 3, 128, 128)) for t in (1, 2)], 1)
    decoder = network.mask_decoder
    assert isinstance(decoder, MaskedAttentionDecoder)
    shapes: list[list[int]] = []
    found = set_loss(decoder.heads(network.maps(dates)), disk_and_nothing(), draw=numbered_draws("train", shapes))
    assert len(shapes) == STEP["number_of_random_draws"]
    assert shapes[:4] == STEP["first_draw_shapes"]
    found.total.backward()  # type: ignore[no-untyped-call]
    return found, {published_key(name): p.grad for name, p in network.named_parameters()}


def norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([t.double().square().sum() for t in tensors]).sum().sqrt())


@pytest.mark.slow
def test_a_step_costs_what_it_cost_the_authors(stepped: tuple[SetLoss, dict[str, Tensor | None]]) -> None:
    found, _ = stepped
    assert found.total.item() == pytest.approx(STEP["loss"], rel=1e-5)
    assert 5 * found.bce.sum().item() == pytest.approx(STEP["loss_mask"], rel=1e-5)
    assert 5 * found.dice.sum().item() == pytest.approx(STEP["loss_dice"], rel=1e-5)
    wanted = in_the_order_of_heads(STEP["matched_query_per_head_final_then_aux0_8"])
    assert found.matched[..., 0].tolist() == wanted


@pytest.mark.slow
def test_a_step_has_the_gradients_of_the_authors(stepped: tuple[SetLoss, dict[str, Tensor | None]]) -> None:
    _, of = stepped
    for part, wanted in STEP["groups"].items():
        prefix = f"model.{part}." if part == "vision_tower" else f"{part}."
        found = [g for name, g in of.items() if g is not None and name.startswith(prefix)]
        assert len(found) == wanted["tensors_with_grad"]
        assert norm(found) == pytest.approx(wanted["grad_l2"], rel=5e-4)
    for wanted in STEP["selected"]:
        gradient = of[wanted["key"]]
        assert gradient is not None
        assert norm([gradient]) == pytest.approx(wanted["grad_l2"], rel=5e-4), wanted["key"]


@pytest.mark.slow
def test_the_parameters_that_nothing_reads_get_no_gradient(
    stepped: tuple[SetLoss, dict[str, Tensor | None]],
) -> None:
    _, of = stepped
    without = [name for name, gradient in of.items() if gradient is None]
    wanted = {part: n for part, n in STEP["no_gradient_counts"].items() if part.startswith("predictor.")}
    assert {part: sum(name.startswith(f"{part}.") for name in without) for part in wanted} == wanted
    assert len(without) == sum(wanted.values()) == 10
