"""What a training of the published size begins with, gathered from made files of small encoders and language models."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from geomtrs.errors import ModelError
from geomtrs.models import start
from geomtrs.models.mtrefseg import BaseParams, build_base
from geomtrs.nn.phi import PhiParams
from geomtrs.nn.swin import SwinParams

SMALL = BaseParams(
    encoder=SwinParams(32, (1, 1, 1, 1), (1, 2, 4, 8), 12),
    language=PhiParams(vocabulary=50297, width=64, layers=2, heads=4, hidden=128, rotary=8),
)


def numbers(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return dict(build_base(SMALL).state_dict())


@pytest.fixture(scope="module")
def mask2former(network: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as its authors pickled it: arrays under their own names."""
    arrays: dict[str, Any] = {"sem_seg_head.predictor.class_embed.weight": np.zeros((3, 256), np.float32)}
    parts = {
        "encoder.": "backbone.",
        "pixel_decoder.": "sem_seg_head.pixel_decoder.",
        "mask_decoder.": "sem_seg_head.predictor.",
    }
    for key, value in network.items():
        for ours, theirs in parts.items():
            if key.startswith(ours) and not any(name in key for name in start._FRESH):
                name = theirs + key.removeprefix(ours)
                for layer in ("adapter_1", "layer_1"):
                    name = name.replace(f"{layer}.0.", f"{layer}.").replace(f"{layer}.1.", f"{layer}.norm.")
                arrays[name] = value.numpy()
    path = tmp_path_factory.mktemp("m2f") / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Mask2Former", "matching_heuristics": True}))
    return path


def phi_layers(layout: str, network: dict[str, Tensor]) -> dict[str, Tensor]:
    """The language model of the network as each release of Phi-1.5 names and orders it."""
    heads = SMALL.language.heads
    state = {"model.embed_tokens.weight": numbers((51200, 64), 2), "lm_head.weight": numbers((51200, 64), 3)}
    for key, value in network.items():
        name = key.removeprefix("language.phi.")
        if not key.startswith("language.phi.") or "embed" in name:
            continue
        if "query_key_value" not in name or layout == "fused":
            state[f"model.{name}"] = value
            continue
        q, k, v = (part.flatten(0, 1) for part in value.view(heads, 3, -1, *value.shape[1:]).unbind(1))
        if layout == "split":
            for letter, part in zip("qkv", (q, k, v), strict=True):
                state["model." + name.replace("query_key_value", f"{letter}_proj")] = part
        else:
            state[f"model.{name}"] = torch.cat([q, k, v])
    if layout == "first":
        names = {"embed_tokens.": "transformer.embd.wte.", "final_layernorm.": "lm_head.ln."}
        renamed = {"lm_head.linear.weight": state.pop("lm_head.weight")}
        for key, value in state.items():
            name = key.removeprefix("model.")
            for now, then in names.items():
                name = name.replace(now, then) if name.startswith(now) else name
            name = name.replace("layers.", "transformer.h.").replace("input_layernorm", "ln")
            name = name.replace("self_attn.query_key_value", "mixer.Wqkv").replace("self_attn.dense", "mixer.out_proj")
            renamed[name] = value
        return renamed
    return state | {"lm_head.bias": torch.zeros(51200)}


@pytest.mark.parametrize("layout", ["fused", "split", "first"])
def test_every_release_of_phi_gives_the_same_start(
    network: dict[str, Tensor], mask2former: Path, tmp_path: Path, layout: str
) -> None:
    phi = tmp_path / "phi"
    phi.mkdir()
    save_file({k: v.contiguous() for k, v in phi_layers(layout, network).items()}, phi / "model.safetensors")
    unused = start.start(mask2former, phi, tmp_path / "out", params=SMALL)
    assert unused == ["mask_decoder.class_embed.weight"]
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == network.keys()
    for key, value in network.items():
        from_files = key.startswith(
            ("encoder.", "language.phi.layers", "pixel_decoder.transformer", "mask_decoder.query")
        )
        if from_files:
            assert torch.equal(found[key], value), key


def test_the_vocabulary_ends_with_the_rows_of_pad_and_seg(
    network: dict[str, Tensor], mask2former: Path, tmp_path: Path
) -> None:
    phi = tmp_path / "phi"
    phi.mkdir()
    state = phi_layers("fused", network)
    save_file({k: v.contiguous() for k, v in state.items()}, phi / "model.safetensors")
    start.start(mask2former, phi, tmp_path / "out", params=SMALL)
    table = load_file(tmp_path / "out" / "model.safetensors")["language.phi.embed_tokens.weight"]
    before = state["model.embed_tokens.weight"][: start.PAD_ROW]
    assert torch.equal(table[: start.PAD_ROW], before)
    assert torch.allclose(table[start.PAD_ROW], before.mean(0), atol=1e-6)
    assert 0 < table[start.SEG_ROW].std() < 0.05


def test_a_key_that_is_missing_is_named(network: dict[str, Tensor], mask2former: Path, tmp_path: Path) -> None:
    phi = tmp_path / "phi"
    phi.mkdir()
    state = phi_layers("fused", network)
    del state["model.layers.1.mlp.fc1.bias"]
    save_file({k: v.contiguous() for k, v in state.items()}, phi / "model.safetensors")
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.fc1\.bias: nothing"):
        start.start(mask2former, phi, tmp_path / "out", params=SMALL)
    assert not (tmp_path / "out").exists()


class Hostile:
    """Would run a command where a pickle is trusted."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.sign}",)


def test_a_pickle_that_would_run_something_is_refused_and_does_not_run_e8(tmp_path: Path) -> None:
    path, sign = tmp_path / "model.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"model": Hostile(sign)}))
    with pytest.raises(ModelError, match="more than arrays"):
        start.image_side(path)
    assert not sign.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04", json.dumps({}).encode(), pickle.dumps([1]), pickle.dumps({"model": 3})]
)
def test_a_file_of_something_else_is_refused_e7(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="arrays"):
        start.image_side(path)
