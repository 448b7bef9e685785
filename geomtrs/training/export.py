"""From a training state to the checkpoint folder that ships: cut vocabulary, int8 matrices, hashes, a card."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from geomtrs.models.checkpoint import quantise, write_config, write_weights
from geomtrs.models.mtrefseg import TOWER, NanoParams
from geomtrs.models.nano import config_of
from geomtrs.training.loop import refuse_no_numbers

COMMON = 16000  # BERT's vocabulary is ordered by how often a word occurs


def cut_vocabulary(tokenizer_json: str, sentences: Iterable[str], common: int = COMMON) -> tuple[str, list[int]]:
    """A tokenizer that keeps the most common words, every piece that the sentences use and every single ASCII sign.

    Returns its JSON and the kept ids of the source in their new order. A word that is cut falls to its pieces, as any
    unknown word does, so nothing a user types is lost.
    """
    spec = json.loads(tokenizer_json)
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    tokenizer = Tokenizer.from_str(tokenizer_json)
    used = {i for s in sentences for i in tokenizer.encode(s).ids}
    special = {t["id"] for t in spec["added_tokens"]}
    used |= special

    def keep(token: str, index: int) -> bool:
        bare = token.removeprefix("##")
        ascii_only = bare.isascii() and not token.startswith("[unused")
        return index in used or (ascii_only and (index < common or len(bare) == 1))

    kept = sorted(i for token, i in vocabulary.items() if keep(token, i))
    new = {old: i for i, old in enumerate(kept)}
    spec["model"]["vocab"] = {token: new[i] for token, i in sorted(vocabulary.items(), key=lambda x: x[1]) if i in new}
    for added in spec["added_tokens"]:
        added["id"] = new[added["id"]]
    for token in spec["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [new[i] for i in token["ids"]]
    for name in ("truncation", "padding"):
        spec[name] = None
    return json.dumps(spec, ensure_ascii=False), kept


def write_checkpoint(
    folder: Path,
    state: dict[str, Tensor],
    params: NanoParams,
    *,
    calibration: dict[str, float],
    training: dict[str, Any],
) -> None:  # Any: JSON values
    """`model.safetensors` in float16, `language.safetensors` in int8 and `config.json`; the tokenizer must be there.

    Raises JobError for weights that float16 cannot hold.
    """
    learned = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    tower = {k.removeprefix(TOWER): v for k, v in learned.items() if k.startswith(TOWER)}
    weights = {k: v.half() if v.dtype == torch.float32 else v for k, v in learned.items() if not k.startswith(TOWER)}
    refuse_no_numbers(folder, weights | {k: v.half() for k, v in tower.items()})
    write_weights(folder / "language.safetensors", quantise(tower))
    write_weights(folder / "model.safetensors", weights)
    write_config(folder, config_of(params, calibration=calibration, training=training))
