"""The authors' layouts become a folder of ours; what is damaged, foreign or hostile is refused by name."""

from __future__ import annotations

import gzip
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from geomtrs.errors import ModelError
from geomtrs.models import catalog, convert, published
from geomtrs.models.mtrefseg import BaseParams, MTRefSeg
from geomtrs.models.published import published_key
from geomtrs.nn.phi import PhiParams
from tests.geomtrs.parity import seeded_weight

GPT2 = Path(__file__).parents[1] / "data" / "gpt2"
SMALL = BaseParams(language=PhiParams(layers=2))


def give_tokenizer(folder: Path) -> None:
    for packed in GPT2.glob("*.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A whole state of the authors' layout whose large parts take no memory: one zero, seen as the full shape."""
    shapes = published.published_shapes(SMALL)
    return {key: torch.zeros((), dtype=torch.bfloat16).expand(shape) for key, shape in shapes.items()}


def saved(folder: Path, state: dict[str, Tensor], name: str = "pytorch_model.bin") -> Path:
    give_tokenizer(folder)
    torch.save(state, folder / name)  # a tensor that repeats one number is stored as one
    return folder


def test_a_renamed_key_is_named_with_what_is_wanted_e7(state: dict[str, Tensor], tmp_path: Path) -> None:
    moved = {("text_projektor.bias" if k == "text_projector.bias" else k): v for k, v in state.items()}
    with pytest.raises(ModelError, match=r"text_projector\.bias: nothing; wanted \(512,\)"):
        convert.convert(saved(tmp_path, moved), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_shape_is_named_with_both_e7(state: dict[str, Tensor], tmp_path: Path) -> None:
    other = {**state, "local_project.weight": torch.zeros(512, 512)}
    with pytest.raises(ModelError, match=r"local_project\.weight: \(512, 512\); wanted \(512, 1024\)"):
        convert.convert(saved(tmp_path, other), tmp_path / "out")


def test_a_truncated_file_is_refused_e7(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(tmp_path, state) / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ModelError, match=r"does not read|more than tensors"):
        convert.convert(tmp_path, tmp_path / "out")


def test_a_truncated_safetensors_file_is_refused_e7(tmp_path: Path) -> None:
    give_tokenizer(tmp_path)
    save_file({"a": torch.ones(1000)}, tmp_path / "model.safetensors")
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="does not read"):
        convert.convert(tmp_path, tmp_path / "out")


class Hostile:
    """Would make a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("writer", [torch.save, pickle.dump], ids=["torch", "plain pickle"])
def test_a_pickle_that_would_run_something_is_refused_and_does_not_run_e8(tmp_path: Path, writer: object) -> None:
    give_tokenizer(tmp_path)
    with (tmp_path / "pytorch_model.bin").open("wb") as file:
        writer({"a": Hostile(str(tmp_path / "owned"))}, file)  # type: ignore[operator]  # both take object and file
    with pytest.raises(ModelError, match="more than tensors"):
        convert.convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "owned").exists()


def test_a_checkpoint_without_a_tokenizer_is_told_which_files_it_needs(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"tokenizer\.json, or vocab\.json and merges\.txt"):
        convert.convert(tmp_path, tmp_path / "out")


def test_a_folder_without_weights_says_which_names_are_known(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
        convert.convert(tmp_path, tmp_path / "out")


def test_the_kind_of_fusion_is_read_from_the_keys(tmp_path: Path) -> None:
    for kind in ("change_aware", "concat_conv", "abs_diff", "avg"):
        shapes = published.published_shapes(BaseParams(fusion=kind, language=PhiParams(layers=2)))
        state = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
        found = convert.params_of(state, tmp_path)
        assert (found.fusion, found.language.layers, found.language.vocabulary) == (kind, 2, 50297)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["single", "shards", "deepspeed"])
def test_every_layout_converts_to_the_same_network(tmp_path: Path, layout: str) -> None:
    shapes = published.published_shapes(SMALL)
    state = {
        key: published_index() if key.endswith("relative_position_index") else seeded_weight(key, shape).bfloat16()
        for key, shape in shapes.items()
    }
    state["model.rotary.inv_freq"] = torch.ones(16)  # what older files hold besides
    give_tokenizer(tmp_path)
    if layout == "single":
        torch.save(state, tmp_path / "pytorch_model.bin")
    elif layout == "deepspeed":
        torch.save({"module": state, "epoch": 3}, tmp_path / "mp_rank_00_model_states.pt")
    else:
        keys = sorted(state)
        parts = {"model-1.safetensors": keys[:500], "model-2.safetensors": keys[500:]}
        for name, mine in parts.items():
            save_file({key: state[key].contiguous() for key in mine}, tmp_path / name)
        index = {"weight_map": {key: name for name, mine in parts.items() for key in mine}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert convert.convert(tmp_path, tmp_path / "out") == ["model.rotary.inv_freq"]
    model = catalog.load("base", weights=tmp_path / "out", device="cpu", precision="bf16")
    network = model.network  # type: ignore[attr-defined]  # a PublishedModel
    assert isinstance(network, MTRefSeg)
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[published_key(key)])


def published_index() -> Tensor:
    from geomtrs.nn.swin import relative_places

    return relative_places(12)
