"""Each part of the published network against numbers of the published code, at the tolerances they were given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geomtrs.nn.conditioning import Conditioning, pooled
from geomtrs.nn.deformable import DeformablePixelDecoder, LevelMaps
from geomtrs.nn.fusion import FUSIONS
from geomtrs.nn.masked_attention import MaskedAttentionDecoder, blocked_places
from geomtrs.nn.phi import Phi, PhiParams
from geomtrs.nn.projector import TokenProjector
from geomtrs.nn.swin import Swin
from tests.geomtrs.parity import seed_by_name, seeded_input

PARITY = Path(__file__).parents[1] / "data" / "parity"
LEVELS = ("res2", "res3", "res4", "res5")
TINY = PhiParams(vocabulary=8, width=64, layers=2, heads=4, hidden=256, rotary=8)


def fixture(name: str) -> dict[str, NDArray[np.float32]]:
    with np.load(PARITY / f"{name}.npz") as stored:
        return {key: stored[key] for key in stored}


def apart(found: Tensor, wanted: NDArray[np.float32]) -> float:
    """Largest absolute difference; shapes must agree."""
    assert tuple(found.shape) == wanted.shape
    return float(np.abs(found.detach().numpy() - wanted).max())


# Parts seeded by name, each made once: some are large.


@pytest.fixture(scope="module")
def swin() -> nn.Module:
    return seed_by_name(Swin(), "model.vision_tower.")


@pytest.fixture(scope="module")
def pixel_decoder() -> nn.Module:
    return seed_by_name(DeformablePixelDecoder(), "pixel_decoder.")


@pytest.fixture(scope="module")
def mask_decoder() -> MaskedAttentionDecoder:
    decoder = MaskedAttentionDecoder()
    seed_by_name(decoder, "predictor.")
    return decoder


@pytest.fixture(scope="module")
def conditioning() -> nn.Module:
    return seed_by_name(Conditioning(), "")


@pytest.fixture
def tiny_phi() -> nn.Module:
    return seed_by_name(Phi(TINY), "tiny.model.")


def swin_distance(model: nn.Module) -> float:
    stored = fixture("swin")
    with torch.inference_mode():
        maps = model(seeded_input("swin.image", (1, 3, 128, 128)))
    return max(
        apart(m[:, ::4] if level == "res2" else m, stored[f"sq_{level}"]) for level, m in zip(LEVELS, maps, strict=True)
    )


def phi_distance(model: nn.Module) -> float:
    with torch.inference_mode():
        found, _ = model(seeded_input("llm.tiny", (2, 10, 64), -1, 1))
    return apart(found, fixture("llm")["tiny_hidden_nomask"])


def fusion_distance(block: nn.Module, *, swapped: bool = False) -> float:
    first, second = (seeded_input(f"fusion.res2.t{t}", (2, 32, 16, 16)) for t in (1, 2))
    with torch.inference_mode():
        found = block(second, first) if swapped else block(first, second)
    return apart(found, fixture("fusion_change_aware")["y_res2"])


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize(
    ("level", "channels", "side"), [("res2", 32, 16), ("res3", 64, 8), ("res4", 24, 4), ("res5", 128, 2)]
)
def test_every_fusion_agrees(kind: str, level: str, channels: int, side: int) -> None:
    block = seed_by_name(FUSIONS[kind](channels), f"change_feature_fusion.blocks.{level}.")
    first, second = (seeded_input(f"fusion.{level}.t{t}", (2, channels, side, side)) for t in (1, 2))
    stored = fixture(f"fusion_{kind}")
    tolerance = 1e-6 if kind == "avg" else 5e-5
    with torch.inference_mode():
        assert apart(block(first, second), stored[f"y_{level}"]) <= tolerance
        if level == "res2":
            assert apart(block(first, first), stored["same_res2"]) <= tolerance


def test_fusion_agrees_at_its_full_widths() -> None:
    stored = fixture("fusion_change_aware_full")
    for level, channels, side in zip(LEVELS, (128, 256, 512, 1024), (8, 8, 4, 4), strict=True):
        block = seed_by_name(FUSIONS["change_aware"](channels), f"change_feature_fusion.blocks.{level}.")
        first, second = (seeded_input(f"fusion_full.{level}.t{t}", (1, channels, side, side)) for t in (1, 2))
        with torch.inference_mode():
            assert apart(block(first, second), stored[f"y_{level}"]) <= 5e-5


def test_the_encoder_agrees_on_a_square_image(swin: nn.Module) -> None:
    assert swin_distance(swin) <= 5e-5


def test_the_encoder_agrees_on_sides_that_nothing_divides(swin: nn.Module) -> None:
    stored = fixture("swin")
    with torch.inference_mode():
        maps = swin(seeded_input("swin.image_odd", (1, 3, 104, 150)))
    for level, found in zip(LEVELS, maps, strict=True):
        assert apart(found[:, ::4], stored[f"odd_{level}"]) <= 5e-5


def test_the_projector_agrees() -> None:
    projector = seed_by_name(TokenProjector(), "model.mm_projector.")
    stored = fixture("projector")
    with torch.inference_mode():
        tokens = projector(seeded_input("projector.x", (1, 1024, 32, 32)))
    assert apart(tokens[:, ::4], stored["y_tok_every4"]) <= 5e-5
    assert apart(tokens.mean(-1), stored["token_mean"]) <= 5e-5


def test_the_language_model_agrees_at_full_width() -> None:
    phi = seed_by_name(Phi(PhiParams(vocabulary=8, layers=2)), "model.")
    with torch.inference_mode():
        found, _ = phi(seeded_input("llm.full", (1, 24, 2048), -1, 1))
    assert apart(found[:, ::4], fixture("llm")["full_hidden_tok4"]) <= 2e-5


def test_a_padded_sequence_agrees_in_its_real_part(tiny_phi: nn.Module) -> None:
    real = torch.ones(2, 10, dtype=torch.bool)
    real[1, 7:] = False
    with torch.inference_mode():
        found, _ = tiny_phi(seeded_input("llm.tiny", (2, 10, 64), -1, 1), real)
    stored = fixture("llm")["tiny_hidden"]
    assert phi_distance(tiny_phi) <= 2e-5
    assert apart(found[real], stored[real.numpy()]) <= 2e-5


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_sentence_after_a_kept_prefix_is_read_as_in_one_go(tiny_phi: nn.Module, cut: int) -> None:
    embeddings = seeded_input("llm.tiny", (2, 10, 64), -1, 1)
    with torch.inference_mode():
        first, kept = tiny_phi(embeddings[:, :cut])
        second, _ = tiny_phi(embeddings[:, cut:], prefix=kept)
    assert apart(torch.cat([first, second], 1), fixture("llm")["tiny_hidden_nomask"]) <= 2e-5


def test_conditioning_agrees(conditioning: nn.Module) -> None:
    stored = fixture("conditioning")
    with torch.inference_mode():
        means = pooled(seeded_input("cond.hidden", (2, 40, 2048)), [(20, 29), (12, 16)])
        query = conditioning(means, seeded_input("cond.res5", (2, 1024, 4, 4)))
    assert apart(means, stored["pooled"]) <= 2e-5
    assert apart(query, stored["y"]) <= 2e-5


@pytest.mark.parametrize(("shape", "size"), [("sq", (32, 32)), ("rect", (24, 40))])
def test_the_pixel_decoder_agrees(pixel_decoder: nn.Module, shape: str, size: tuple[int, int]) -> None:
    stored = fixture("pixel_decoder")
    pyramid = [
        seeded_input(f"pixdec.{shape}.{level}", (1, 128 << i, size[0] >> i, size[1] >> i))
        for i, level in enumerate(LEVELS)
    ]
    with torch.inference_mode():
        features, levels, _ = pixel_decoder(pyramid)
    assert apart(features[:, ::4], stored[f"{shape}_mask_features_c4"]) <= 5e-5
    for i, level in enumerate(levels):
        wanted = stored[f"{shape}_ms{i}"]
        assert apart(level[:, :: 256 // wanted.shape[1]], wanted) <= 5e-5


def decoder_inputs() -> tuple[LevelMaps, Tensor]:
    features = seeded_input("maskdec.mf", (2, 256, 32, 32), -1, 1)
    levels = [seeded_input(f"maskdec.ms{i}", (2, 256, 4 << i, 4 << i)) for i in range(3)]
    return LevelMaps(features, levels, levels[0]), seeded_input("maskdec.seg", (2, 1, 256))


def test_the_mask_decoder_agrees_on_a_sentence(mask_decoder: MaskedAttentionDecoder) -> None:
    stored = fixture("mask_decoder")
    with torch.inference_mode():
        heads = mask_decoder.heads(*decoder_inputs())
    for number, size in enumerate((4, 8, 16, 4)):
        blocked = blocked_before_rule(heads[number], size)
        assert np.array_equal(np.packbits(blocked.numpy()), stored[f"ref_attnmask_{number}"])
    assert apart(torch.stack(heads[:-1])[..., ::2, ::2], stored["ref_aux_masks"]) <= 2e-4
    assert apart(heads[-1], stored["ref_pred_masks"]) <= 2e-4


def blocked_before_rule(logits: Tensor, size: int) -> Tensor:
    smaller = nn.functional.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False)
    return (smaller.sigmoid() < 0.5).flatten()


def test_the_mask_decoder_agrees_without_words(mask_decoder: MaskedAttentionDecoder) -> None:
    maps, _ = decoder_inputs()
    with torch.inference_mode():
        heads = mask_decoder.heads(maps)
    assert apart(heads[-1][:1, ::10], fixture("mask_decoder")["vis_pred_masks_q10"]) <= 2e-4


def test_a_query_that_would_see_nothing_sees_everything() -> None:
    nowhere = torch.full((1, 1, 8, 8), -9.0)
    assert not blocked_places(nowhere, torch.Size([4, 4])).any()


# What a careless change would do: each must be noticed by a wide margin.


def other_epsilon(model: nn.Module, name: str) -> None:
    norm = model.get_submodule(name)
    assert isinstance(norm, nn.LayerNorm)
    norm.eps = 1e-2


def test_another_epsilon_of_one_norm_is_noticed(swin: nn.Module, tiny_phi: nn.Module) -> None:
    other_epsilon(tiny_phi, "layers.1.input_layernorm")
    assert phi_distance(tiny_phi) > 10 * 2e-5
    changed = seed_by_name(Swin(), "model.vision_tower.")
    other_epsilon(changed, "layers.2.blocks.7.norm1")
    assert swin_distance(changed) > 10 * 5e-5


def test_swapped_dates_are_noticed() -> None:
    block = seed_by_name(FUSIONS["change_aware"](32), "change_feature_fusion.blocks.res2.")
    assert fusion_distance(block) <= 5e-5
    assert fusion_distance(block, swapped=True) > 1


def test_a_dropped_gate_is_noticed() -> None:
    block = seed_by_name(FUSIONS["change_aware"](32), "change_feature_fusion.blocks.res2.")

    class Open(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.new_ones(len(x), x.shape[1] // 2, 1, 1)

    block.gate = Open()
    assert fusion_distance(block) > 100 * 5e-5


def test_a_place_shifted_by_one_is_noticed(tiny_phi: nn.Module) -> None:
    attention = tiny_phi.get_submodule("layers.0.self_attn")
    turned: Callable[[Tensor, int], Tensor] = attention._turned  # type: ignore[assignment]  # a method of PhiAttention
    calls = 0

    def shifted_keys(x: Tensor, start: int) -> Tensor:
        nonlocal calls
        calls += 1
        return turned(x, start + (calls % 2 == 0))  # queries first, then keys

    attention._turned = shifted_keys  # type: ignore[assignment]  # for this one module
    assert phi_distance(tiny_phi) > 10 * 2e-5
