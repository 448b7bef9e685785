"""The published network as a whole: keys, sizes, and its answer with two language layers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from geomtrs.errors import ModelError
from geomtrs.models.mtrefseg import BaseParams, build_base
from geomtrs.models.prompt import AFTER_IMAGES, BEFORE_IMAGES, BETWEEN_IMAGES, expression_ids, load_tokenizer
from geomtrs.models.published import published_key, published_shapes
from geomtrs.nn.masked_attention import MaskedAttentionDecoder
from geomtrs.nn.phi import PhiParams
from geomtrs.nn.reader import ImageReader
from geomtrs.nn.swin import relative_places
from tests.geomtrs.parity import seeded_input, seeded_weight

PARITY = Path(__file__).parents[1] / "data" / "parity"
KEYS = json.loads((PARITY / "checkpoint_keys.json").read_text(encoding="utf-8"))
PROMPT = json.loads((PARITY / "prompt.json").read_text(encoding="utf-8"))


def test_every_key_of_the_published_checkpoint_has_one_place_of_its_shape() -> None:
    assert published_shapes() == {key: tuple(shape) for key, shape in KEYS["keys"].items()}


def test_the_network_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = build_base(BaseParams())
    parameters = list(network.parameters())
    assert sum(p.numel() for p in parameters) == 1_648_059_576
    assert len(parameters) == 1003
    assert {published_key(name) for name, _ in network.named_buffers()} == set(KEYS["buffers"])
    assert len(KEYS["buffers"]) == 24


@pytest.mark.parametrize("kind", KEYS["fusion_variants"])
def test_other_fusions_have_their_published_keys(kind: str) -> None:
    found = {k: v for k, v in published_shapes(BaseParams(fusion=kind)).items() if k.startswith("change_feature")}
    wanted = KEYS["fusion_variants"][kind]["keys"]
    assert found == {key: tuple(shape) for key, shape in wanted.items()}


def test_the_prompt_has_the_published_ids() -> None:
    images, refer = PROMPT["special_ids"]["<image>"], PROMPT["special_ids"]["<refer>"]
    upto = PROMPT["prompt_ids"].index(refer)
    assert [*BEFORE_IMAGES, images, *BETWEEN_IMAGES, images, *AFTER_IMAGES] == PROMPT["prompt_ids"][:upto]


@pytest.fixture(scope="module")
def phi_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with GPT-2's two files, as Phi-1.5 ships them."""
    folder = tmp_path_factory.mktemp("phi")
    for packed in (PARITY.parent / "gpt2").glob("*.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


@pytest.mark.parametrize("expression", PROMPT["expressions"], ids=lambda e: e["text"][:30])
def test_a_sentence_has_the_published_ids(phi_folder: Path, expression: dict[str, Any]) -> None:
    assert expression_ids(load_tokenizer(phi_folder), expression["text"]) == expression["refer_ids"]


def test_the_prompts_text_has_the_ids_that_are_kept(phi_folder: Path) -> None:
    tokenizer = load_tokenizer(phi_folder)
    pieces = PROMPT["prompt_text"].split("<refer>")[0].split("<image>")
    assert [tuple(tokenizer.encode(text).ids) for text in pieces] == [BEFORE_IMAGES, BETWEEN_IMAGES, AFTER_IMAGES]


def test_a_folder_without_a_tokenizer_is_told_which_files_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"vocab\.json and merges\.txt"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_that_does_not_read_is_refused_e7(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="does not read"):
        load_tokenizer(tmp_path)


def images() -> tuple[Tensor, Tensor]:
    """The pair of parity.md §4.3."""
    coarse = seeded_input("whole.coarse1", (1, 3, 32, 32), -1.5, 1.5)
    before = coarse.repeat_interleave(32, 2).repeat_interleave(32, 3)
    before = before + 0.25 * seeded_input("whole.fine1", (1, 3, 1024, 1024), -1, 1)
    patch = seeded_input("whole.coarse2", (1, 3, 16, 16), -1.5, 1.5)
    patch = patch.repeat_interleave(16, 2).repeat_interleave(32, 3)  # 256 rows, 512 columns
    after = before.clone()
    after[..., 256:512, 384:768] = patch[..., :384]
    return before, after


@pytest.mark.slow
@torch.inference_mode()
def test_the_whole_network_agrees_with_two_language_layers() -> None:
    with torch.device("meta"):
        network = build_base(BaseParams(language=PhiParams(layers=2)))
    buffers = {name: relative_places(12) for name, _ in network.named_buffers()}
    state = {k: seeded_weight(published_key(k), tuple(v.shape)) for k, v in network.named_parameters()}
    network.load_state_dict(state | buffers, assign=True)
    network.eval()
    stored = np.load(PARITY / "whole_model_2layers.npz")
    before, after = images()
    look = network.look(torch.stack([before, after], 1))
    expression = torch.tensor(PROMPT["expressions"][0]["refer_ids"])
    reader = network.language
    assert isinstance(reader, ImageReader)
    states, _ = reader.phi(reader.phi.embed_tokens(expression)[None], prefix=look.seen)
    assert np.abs(states.mean(1)[0].numpy() - stored["refer_hidden_mean"]).max() <= 5e-5
    query = network.ask(expression, look)
    assert np.abs(query[0].numpy() - stored["seg_embedding"]).max() <= 5e-5
    logits = network.answer(look.maps, query).mask
    assert np.abs(logits[0, 0, ::4, ::4].numpy() - stored["logits_256_every4"]).max() <= 5e-4
    large = torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    mask = (large[0, 0] > 0).numpy()
    wanted = np.unpackbits(stored["mask_1024_packbits"]).reshape(1024, 1024).astype(bool)
    assert (mask & wanted).sum() / (mask | wanted).sum() >= 0.9999
    assert np.abs(look.coarse[0, ::16, ::2, ::2].numpy() - stored["fused_res5"]).max() <= 5e-5
    decoder = network.mask_decoder
    assert isinstance(decoder, MaskedAttentionDecoder)
    heads = decoder.heads(look.maps, query)
    auxiliary = torch.stack([head[0, 0, ::8, ::8] for head in heads[:-1]]).numpy()
    assert np.abs(auxiliary - stored["aux_logits_64"]).max() <= 5e-4
    wordless = decoder.heads(network.maps(torch.stack([before, after], 1)))[-1]
    assert np.abs(wordless[0, 0, ::4, ::4].numpy() - stored["visual_q0_logits_every4"]).max() <= 5e-4
