"""Weights on disk: what is damaged, foreign or dangerous is refused before it is used."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from geomtrs.device import choose
from geomtrs.errors import ModelError
from geomtrs.models.checkpoint import dequantise, quantise, read_config, read_weights, write_config, write_weights
from geomtrs.models.nano import FAMILY, PACKAGED, load_nano
from geomtrs.training.export import cut_vocabulary


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packaged checkpoint that may be damaged."""
    return Path(shutil.copytree(PACKAGED, tmp_path / "nano"))


def test_rows_are_quantised_within_half_a_step() -> None:
    weight = torch.randn(80, 64, generator=torch.Generator().manual_seed(0))
    back = dequantise(quantise({"w": weight}))["w"]
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((back - weight).abs() <= 0.5 * step + 1e-3).all()


def test_vectors_and_small_matrices_keep_half_precision() -> None:
    packed = quantise({"bias": torch.randn(5000), "small": torch.randn(8, 8)})
    assert {t.dtype for t in packed.values()} == {torch.float16}


def test_a_flipped_byte_is_refused_by_name_e7(copy: Path) -> None:
    path = copy / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"model\.safetensors.*found hash"):
        load_nano(copy, choose("cpu", "fp32"))


def test_weights_of_another_model_are_refused_e7(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, "family": "another"}), encoding="utf-8")
    with pytest.raises(ModelError, match="weights of another"):
        read_config(copy, FAMILY)


def test_a_missing_key_is_named_with_found_and_wanted_e7(copy: Path) -> None:
    config = read_config(copy, FAMILY)
    weights = read_weights(copy, "model.safetensors", config)
    weights.pop("mask_decoder.refine.bias")
    write_weights(copy / "model.safetensors", weights)
    write_config(copy, {k: v for k, v in config.items() if k != "files"})
    with pytest.raises(ModelError, match=r"mask_decoder\.refine\.bias: nothing"):
        load_nano(copy, choose("cpu", "fp32"))


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """What a malicious checkpoint does."""
        return open, (self.path, "w")


def test_a_pickle_under_the_weights_name_is_never_executed_e8(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").write_bytes(pickle.dumps(Bomb(str(tmp_path / "fired"))))
    config = read_config(copy, FAMILY)
    write_config(copy, {k: v for k, v in config.items() if k != "files"})
    with pytest.raises(ModelError, match="not safetensors"):
        load_nano(copy, choose("cpu", "fp32"))
    assert not (tmp_path / "fired").exists()


def test_the_packaged_checkpoint_is_at_most_25_megabytes() -> None:
    assert sum(f.stat().st_size for f in PACKAGED.iterdir()) <= 25_000_000


def test_a_cut_vocabulary_still_spells_every_word() -> None:
    text = (PACKAGED / "tokenizer.json").read_text(encoding="utf-8")
    cut, kept = cut_vocabulary(text, ["the new houses"], common=500)
    tokenizer = Tokenizer.from_str(cut)
    assert len(kept) == tokenizer.get_vocab_size()
    tokens = tokenizer.encode("the new houses of zyxwvut").tokens
    assert tokens[:4] == ["[CLS]", "the", "new", "houses"]
    assert "[UNK]" not in tokens
