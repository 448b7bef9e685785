"""What a training of the published size begins with: Mask2Former's Swin-B and decoders, Phi-1.5, the rest fresh.

Names and departures: mtrefseg-r1 §9.4; fresh weights: §3.2, §3.3, §3.5; new vocabulary rows: §6. Nothing is executed:
the Mask2Former file is a plain pickle, read by an Unpickler that admits arrays and nothing else.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geomtrs.errors import ModelError
from geomtrs.models.convert import read_file, weight_files
from geomtrs.models.mtrefseg import BaseParams, build_base
from geomtrs.models.published_model import config_of, tokenizer_files, write_folder
from geomtrs.nn.conditioning import Conditioning
from geomtrs.nn.deformable import DeformablePixelDecoder
from geomtrs.nn.fusion import OneWayFusion
from geomtrs.nn.masked_attention import MaskedAttentionDecoder
from geomtrs.nn.projector import TokenProjector

_ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict"), ("_codecs", "encode"),
}  # fmt: skip
# Of the decoders, what the Mask2Former file does not have: two biases, and what nothing reads.
_FRESH = ("adapter_1.0.bias", "layer_1.0.bias", "SEG_query_embed.", "new_query_embed.", "SEG_proj.", "CLASS_proj.")
_PARTS = {
    "backbone.": "encoder.",
    "sem_seg_head.pixel_decoder.": "pixel_decoder.",
    "sem_seg_head.predictor.": "mask_decoder.",
}
_CONV_AND_NORM = re.compile(r"(pixel_decoder\.(?:adapter_1|layer_1))\.(norm\.)?(weight|bias)$")
PAD_ROW, SEG_ROW = 50295, 50296


def start(mask2former: Path, phi: Path, out: Path, *, params: BaseParams | None = None, seed: int = 42) -> list[str]:
    """Writes a folder that stage 1 begins with; returns keys of the Mask2Former file that have no place in it.

    mask2former  `model_final_9d7f02.pkl` (COCO panoptic, Swin-B)
    phi          folder of Phi-1.5: fused, split or first-release (Wqkv) projections
    params       sizes; the published ones when None

    Raises ModelError naming the key, what was found and what was wanted.
    """
    params = params or BaseParams()
    state, unused = image_side(mask2former)
    state |= dict(language_side(phi, params, seed))
    torch.manual_seed(seed)
    fresh = _fresh(params)
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in build_base(params).state_dict().items()}
    weights = {}
    for key, shape in wanted.items():
        from_files = not key.startswith(_FRESH_PARTS) and not any(name in key for name in _FRESH)
        value = state.pop(key, None) if from_files else fresh.get(key)
        if value is None or tuple(value.shape) != shape:
            raise ModelError(
                phi if key.startswith("language.") else mask2former,
                found=f"{key}: {'nothing' if value is None else tuple(value.shape)}",
                wanted=str(shape),
                remedy="take the files that mtrefseg-r1 §9.4 names",
            )
        weights[key] = value.contiguous()
    document = config_of(params, source=f"start: {mask2former.name}, {phi.name}")
    write_folder(out, weights, document, tokenizer=tokenizer_files(phi))
    return sorted(unused + list(state))


def image_side(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Encoder and decoders of a Mask2Former file under our names, and the keys that are of neither."""
    found, unused = {}, []
    for key, array in _arrays(path).items():
        part = next((p for p in _PARTS if key.startswith(p)), None)
        if part is None:
            unused.append(key)
            continue
        ours = _PARTS[part] + key.removeprefix(part).replace("static_query", "query_feat")
        conv_or_norm = _CONV_AND_NORM.match(ours)
        if conv_or_norm:
            stem, norm, kind = conv_or_norm.groups()
            ours = f"{stem}.{1 if norm else 0}.{kind}"
        found[ours] = torch.from_numpy(np.array(array))
    return found, unused


def language_side(folder: Path, params: BaseParams, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Phi-1.5 under our names: fused rows head by head, a vocabulary with the rows of [PAD] and [SEG]."""
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, dict[str, Tensor]] = {}
    for file in weight_files(folder):
        for key, value in read_file(file):
            split = re.match(r"model\.(layers\.\d+\.self_attn)\.([qkv])_proj\.(weight|bias)$", key)
            if split:
                layer, letter, kind = split.groups()
                ready = parts.setdefault(f"language.phi.{layer}.query_key_value.{kind}", {})
                ready[letter] = value
                if len(ready) == 3:
                    name = f"language.phi.{layer}.query_key_value.{kind}"
                    yield name, by_head(ready["q"], ready["k"], ready["v"], params.language.heads)
                continue
            ours = _phi_key(key)
            if ours is None:
                continue
            if key.endswith((".Wqkv.weight", ".Wqkv.bias")):
                q, k, v = value.chunk(3)  # the first release: three blocks
                yield ours, by_head(q, k, v, params.language.heads)
            elif ours in ("language.phi.embed_tokens.weight", "language.lm_head.weight"):
                yield ours, with_new_rows(value, params.language.vocabulary, generator)
            else:
                yield ours, value


def by_head(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Query, key and value rows (D, …) as one (3 D, …): of each head its queries, keys, values (§3.4)."""
    return torch.stack([part.view(heads, -1, *part.shape[1:]) for part in (q, k, v)], 1).flatten(0, 2)


def with_new_rows(table: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """A vocabulary table cut to `rows`: the last but one is the mean of those before, the last N(0, 0.02) (§6)."""
    old = table[: rows - 2]
    closing = torch.randn(1, table.shape[1], generator=generator) * 0.02
    return torch.cat([old, old.float().mean(0, keepdim=True).to(table.dtype), closing.to(table.dtype)])


_FRESH_PARTS = ("fusion.", "language.projector.", "language.conditioning.", "language.seg_query")
_FIRST_RELEASE = {
    "transformer.embd.wte.weight": "phi.embed_tokens.weight",
    "lm_head.linear.weight": "lm_head.weight",
    "lm_head.ln.weight": "phi.final_layernorm.weight",
    "lm_head.ln.bias": "phi.final_layernorm.bias",
}


def _phi_key(key: str) -> str | None:
    """Our name of a key of Phi, None for what has no place (rotary tables, the bias of the language head)."""
    if key in _FIRST_RELEASE:
        return f"language.{_FIRST_RELEASE[key]}"
    first = re.match(r"transformer\.h\.(\d+)\.(ln|mixer\.Wqkv|mixer\.out_proj|mlp\.fc[12])\.(weight|bias)$", key)
    if first:
        names = {
            "ln": "input_layernorm",
            "mixer.Wqkv": "self_attn.query_key_value",
            "mixer.out_proj": "self_attn.dense",
        }
        return f"language.phi.layers.{first[1]}.{names.get(first[2], first[2])}.{first[3]}"
    if key == "lm_head.weight":
        return "language.lm_head.weight"
    return f"language.phi.{key.removeprefix('model.')}" if key.startswith("model.") else None


def _fresh(params: BaseParams) -> dict[str, Tensor]:
    """Weights of the parts that no file has, as their training begins."""
    widths = [params.encoder.width << level for level in range(4)]
    width = params.language.width
    conditioning = Conditioning(language=width, coarse=widths[-1])
    for module in conditioning.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    pixel_decoder = DeformablePixelDecoder((widths[0], widths[1], widths[2], widths[3]))
    for name, parameter in pixel_decoder.named_parameters():
        if name in _FRESH:
            nn.init.zeros_(parameter)
    parts = {
        "fusion": OneWayFusion(widths, params.fusion),
        "language.projector": TokenProjector(widths[-1], width),
        "language.conditioning": conditioning,
        "pixel_decoder": pixel_decoder,
        "mask_decoder": MaskedAttentionDecoder(),
    }
    state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    return state | {"language.seg_query": torch.randn(100, width) * 0.02}


class _ArraysOnly(pickle.Unpickler):
    """Admits what rebuilds arrays; anything else in a pickle is refused before it is called (E8)."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base class has it
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


def _arrays(path: Path) -> Mapping[str, Any]:  # Any: arrays of any type
    try:
        with path.open("rb") as file:
            document = _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError:
        raise ModelError(path, found="no such file", wanted="the Mask2Former file", remedy="check the path") from None
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(
            path,
            found=f"a pickle of more than arrays, or a damaged one ({error})",
            wanted="arrays alone: nothing in a file of weights is executed",
            remedy="take it from the Mask2Former model zoo again",
        ) from None
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict) or not all(isinstance(a, np.ndarray) for a in model.values()):
        raise ModelError(
            path, found="no arrays under 'model'", wanted="a Mask2Former file of arrays", remedy="check the path"
        )
    return model
