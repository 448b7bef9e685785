"""Models of transformers, tiny and random, loaded from a folder by the code that loads real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from geomtrs.craft.calls import Budget
from geomtrs.craft.chat import ChatPerceiver
from geomtrs.craft.local import LocalModel, SamSegmenter
from geomtrs.craft.pairs import list_pairs, read_pair
from geomtrs.craft.perceive import SentencePerceiver
from geomtrs.craft.phrase import GrammarPhraser
from geomtrs.craft.protocols import Finding, Pair, Prompt, Question
from geomtrs.craft.run import Parts, craft
from geomtrs.craft.segment import ModelSegmenter
from geomtrs.craft.verify import RuleVerifier
from geomtrs.device import choose
from geomtrs.errors import ModelError
from geomtrs.evaluation.controls import load_clipseg
from geomtrs.models.differencing import Differencing
from tests.geomtrs.test_craft import write_pairs

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # transformers warns of what it lacks

TURN = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def write_tokenizer(folder: Path, special: list[str], template: str) -> Any:  # noqa: ANN401 - an untyped library
    """Bytes as tokens, and a few of its own."""
    from transformers import PreTrainedTokenizerFast

    fast: Any = PreTrainedTokenizerFast
    bytes_ = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(vocab=bytes_, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    made = fast(tokenizer_object=plain, eos_token="<end>", pad_token="<end>", additional_special_tokens=special)
    made.chat_template = template
    made.save_pretrained(folder)
    return made


def write_qwen(folder: Path) -> Path:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    special = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    template = TURN.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    words = write_tokenizer(folder, special, template)
    start, stop, image, video = (words.convert_tokens_to_ids(one) for one in special)
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": None,
            "eos_token_id": words.eos_token_id, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
            "max_position_embeddings": 8192,
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 32,
            "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1],
        },
        image_token_id=image, video_token_id=video, vision_start_token_id=start, vision_end_token_id=stop,
    )  # fmt: skip
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=28 * 28 * 16).save_pretrained(folder)
    return folder


def write_llava(folder: Path) -> Path:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor: Any = LlavaProcessor
    words = write_tokenizer(folder, ["<image>"], TURN.replace("IMAGE", "<image>"))
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=56,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=8192, eos_token_id=words.eos_token_id,
        ),
        image_token_index=words.convert_tokens_to_ids("<image>"), vision_feature_layer=-1,
    )  # fmt: skip
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    processor(
        images, words, patch_size=14, vision_feature_select_strategy="default", chat_template=words.chat_template,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_sam(folder: Path) -> Path:
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    config = SamConfig(
        vision_config={
            "hidden_size": 32, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 64,
            "image_size": 128, "patch_size": 16, "global_attn_indexes": [1], "window_size": 4, "num_pos_feats": 16,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 128, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
    )  # fmt: skip
    SamModel(config).save_pretrained(folder)
    write_facts(folder, {"longest_edge": 128})
    return folder


def write_sam2(folder: Path) -> Path:
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[128, 128], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2], global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4], window_size_per_stage=[8, 8, 8, 8],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": 128, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
    )
    Sam2Model(config).save_pretrained(folder)
    write_facts(folder, {"height": 128, "width": 128})
    return folder


def write_clipseg(folder: Path) -> Path:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    words = write_tokenizer(folder, [], TURN)
    torch.manual_seed(0)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config={**shared, "vocab_size": len(words), "eos_token_id": words.eos_token_id},
        vision_config={**shared, "image_size": 64, "patch_size": 16},
        projection_dim=32, reduce_dim=16, extract_layers=[0, 1], conditional_layer=0, decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )  # fmt: skip
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    write_facts(folder, {"height": 64, "width": 64})
    return folder


def write_facts(folder: Path, size: dict[str, int]) -> None:
    facts = {"size": size, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_pairs(tmp_path, pairs=1, labels=False)


@pytest.fixture
def pair(plain: Path) -> Pair:
    return read_pair(list_pairs(plain)[0])


@pytest.mark.parametrize("write", [write_qwen, write_llava])
def test_a_model_in_a_folder_is_shown_pictures_and_answers_k1(write: Any, plain: Path, tmp_path: Path) -> None:  # noqa: ANN401
    speaker = LocalModel(write(tmp_path / "eyes"), choose("cpu"), answer_tokens=6)
    assert speaker.name.startswith("eyes ")
    pictures = tuple(path.read_bytes() for path in sorted(plain.glob("*/p0.png")))
    first, again = (speaker.say(Question("perceive", "eyes", "what changed?", pictures), {}) for _ in range(2))
    assert first == again
    assert 0 < first.tokens_out <= 6
    assert first.tokens_in > len("what changed?")
    assert speaker.say(Question("phrase", "eyes", "say it", ()), {}).tokens_in < first.tokens_in
    # A random model says no JSON: the first cell is asked anew, then the pair fails, and all of it is written down.
    parts = Parts(ChatPerceiver(speaker), ModelSegmenter(Differencing()), RuleVerifier(), GrammarPhraser())
    counts = craft(plain, tmp_path / "out", parts)
    assert counts["calls"]["made"] == 3
    assert "cannot be used" in counts["failed"]["yard/p0"]
    assert "stopped" in craft(plain, tmp_path / "out", parts, budget=Budget(calls=1))


@pytest.mark.parametrize("write", [write_sam, write_sam2])
def test_a_sam_cuts_out_of_the_box_of_the_cells_k1(write: Any, pair: Pair, tmp_path: Path) -> None:  # noqa: ANN401
    segmenter = SamSegmenter(write(tmp_path / "sam"), choose("cpu"))
    found = Finding("changed", "houses", ("top-right",), "the houses that changed")
    first, again = (segmenter.segment(pair, found) for _ in range(2))
    assert first.mask.shape == pair.shape
    assert np.array_equal(first.mask, again.mask)
    assert not first.mask[pair.shape[0] // 3 + 1 :].any()
    less, more = (segmenter.segment(pair, found, Prompt(step)).mask for step in (-2, 2))
    assert less.sum() <= first.mask.sum() <= more.sum()
    assert segmenter.segment(pair, found, Prompt(2, (0, 0.5, 0.5, 1))).mask[: pair.shape[0] // 2].sum() == 0


def test_clipseg_cuts_out_what_a_sentence_asks_for_k1(plain: Path, tmp_path: Path) -> None:
    segmenter = ModelSegmenter(load_clipseg(write_clipseg(tmp_path / "clipseg"), choose("cpu")), threshold=0.01)
    parts = Parts(SentencePerceiver(("the new houses",)), segmenter, RuleVerifier(), GrammarPhraser())
    assert craft(plain, tmp_path / "out", parts)["pairs"] == {"done": 1}


@pytest.mark.parametrize("load", [LocalModel, SamSegmenter])
def test_a_folder_that_is_no_model_is_refused_in_one_line(load: Any, tmp_path: Path) -> None:  # noqa: ANN401
    with pytest.raises(ModelError, match="remedy"):
        load(tmp_path, choose("cpu"))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="take the folder again"):
        load(tmp_path, choose("cpu"))
