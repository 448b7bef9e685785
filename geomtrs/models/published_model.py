"""`base` as a model of tiles: numpy in, numpy out; letterbox, precision and memory stay inside."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from torch import Tensor

from geomtrs.device import Device
from geomtrs.errors import ModelError
from geomtrs.hashing import file_hash
from geomtrs.models.base import Answer
from geomtrs.models.cards import BASE_CARD, weights_hash
from geomtrs.models.checkpoint import read_config, write_config, write_weights
from geomtrs.models.letterbox import Letterbox
from geomtrs.models.mtrefseg import BaseParams, Look, MTRefSeg, build_base
from geomtrs.models.prompt import expression_ids, load_tokenizer
from geomtrs.models.published import SIDE_PX
from geomtrs.nn.phi import PhiParams
from geomtrs.nn.swin import SwinParams
from geomtrs.query import Query

FAMILY = "mtrefseg-base"
WEIGHTS = "model.safetensors"
TOKENIZER = ("tokenizer.json", "vocab.json", "merges.txt")

_log = logging.getLogger(__name__)


class Features(NamedTuple):
    """Looks at the tiles of a batch, some at a time, and how they lie in the square."""

    looks: list[Look]
    letterbox: Letterbox


class PublishedModel:
    """The published MTRefSeg-R1: implements `ChangeModel`."""

    name = "base"
    tile_spec = BASE_CARD.tile_spec

    def __init__(self, network: MTRefSeg, tokenizer: Tokenizer, device: Device, *, weights_hash: str) -> None:
        """`network` on the CPU, in evaluation mode."""
        self.device, self.weights_hash, self.tokenizer = device, weights_hash, tokenizer
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(device.precision, torch.float32)
        self.network = network.to(device.name, self.dtype)

    def prepare(self, queries: Sequence[Query]) -> list[Tensor]:
        """Ids of each sentence, as it was typed."""
        return [
            torch.tensor(expression_ids(self.tokenizer, query.model_text), device=self.device.name) for query in queries
        ]

    def features(self, tiles: NDArray[np.uint8]) -> Features:
        """(N, 2, 3, H, W) uint8 → what serves every sentence."""
        letterbox = Letterbox.of(tiles.shape[-2], tiles.shape[-1], SIDE_PX)
        with torch.inference_mode():
            return Features(self._looks(torch.from_numpy(np.ascontiguousarray(tiles)), letterbox), letterbox)

    def answer(self, features: Features, prepared: list[Tensor]) -> Answer:
        """Probability (N, Q, H, W) float32, and existence (N, Q): 1, since an empty mask is this model's way of no."""
        with torch.inference_mode():
            parts = []
            for look in features.looks:
                logits = [self.network.answer(look.maps, self.network.ask(ids, look)).mask for ids in prepared]
                parts.append(features.letterbox.leave(torch.cat(logits, 1).float()).sigmoid().cpu().numpy())
        probability: NDArray[np.float32] = np.concatenate(parts)
        return Answer(probability, np.ones(probability.shape[:2], np.float32))

    def _looks(self, tiles: Tensor, letterbox: Letterbox) -> list[Look]:
        """All tiles at once, or in halves where the GPU's memory does not suffice; any other error is raised."""
        try:
            dates = tiles.to(self.device.name)
            entered = [letterbox.enter(dates[:, t]).to(self.dtype) for t in range(2)]
            return [self.network.look(torch.stack(entered, 1))]
        except torch.cuda.OutOfMemoryError as error:
            if len(tiles) == 1:
                raise ModelError(
                    f"model {self.name}",
                    found=f"not enough memory on {self.device.name} for one tile in {self.device.precision}",
                    wanted="about 6 GB in bf16, 12 GB in fp32",
                    remedy="use --precision bf16, free the GPU, or --device cpu; geomtrs resume goes on",
                ) from error
        half = len(tiles) // 2
        _log.warning("not enough memory on %s for %d tiles: going on with %d", self.device.name, len(tiles), half)
        torch.cuda.empty_cache()
        return self._looks(tiles[:half], letterbox) + self._looks(tiles[half:], letterbox)


def load_published(folder: Path, device: Device) -> PublishedModel:
    """The published model from a folder that `geomtrs model convert` made.

    Weights are mapped from the file into a network without memory of its own: never two copies. Raises ModelError
    where a file is missing, damaged or of another model (E7); nothing is unpickled (E8).
    """
    config = read_config(folder, FAMILY, (WEIGHTS, "tokenizer.json"))
    network = network_of(folder, config)
    network.eval()
    if device.threads:
        torch.set_num_threads(device.threads)
    return PublishedModel(network, load_tokenizer(folder), device, weights_hash=weights_hash(config))


def network_of(folder: Path, config: Mapping[str, Any]) -> MTRefSeg:  # Any: JSON values
    """The network of a folder with the weights in it, in their own type; `config` is what `read_config` said of it.

    Nothing is held twice: the weights are mapped from the file. Raises ModelError as `load_published` does.
    """
    path, wanted = folder / WEIGHTS, str(config.get("files", {}).get(WEIGHTS))
    found = file_hash(path) if path.is_file() else "no file"
    if found != wanted:
        raise ModelError(
            path,
            found=f"hash {found[:12]}",
            wanted=f"hash {wanted[:12]} (config.json)",
            remedy="convert the checkpoint again: this file is damaged or of another one",
        )
    with torch.device("meta"):
        network = build_base(params_from(config["params"]))
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    try:
        with safe_open(path, "pt") as stored:
            _same_keys(path, shapes, {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()})  # noqa: SIM118 - no mapping
            network.load_state_dict({key: stored.get_tensor(key) for key in shapes}, assign=True)
    except SafetensorError as error:
        raise ModelError(
            path, found=f"not safetensors ({error})", wanted="converted weights", remedy="convert the checkpoint again"
        ) from None
    return network


def params_from(document: dict[str, Any]) -> BaseParams:  # Any: JSON values
    """What `asdict` made of the parameters and JSON of that."""
    encoder = document["encoder"]
    swin = SwinParams(encoder["width"], tuple(encoder["depths"]), tuple(encoder["heads"]), encoder["window"])
    return BaseParams(document["fusion"], swin, PhiParams(**document["language"]))


def tokenizer_files(folder: Path) -> list[Path]:
    """Those of a tokenizer's files that lie in a folder."""
    return [path for name in TOKENIZER if (path := folder / name).is_file()]


def write_folder(
    folder: Path,
    weights: dict[str, Tensor],
    document: dict[str, Any],  # Any: JSON values
    *,
    tokenizer: Sequence[Path],
    card: str | None = None,
) -> None:
    """A folder for --weights: weights under our names, the tokenizer's files, a card, and `document` as config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / WEIGHTS, weights)
    for path in tokenizer:
        shutil.copyfile(path, folder / path.name)
    if card is not None:
        (folder / "card.md").write_text(card, encoding="utf-8")
    write_config(folder, document, (WEIGHTS, *(path.name for path in tokenizer)))


def config_of(params: BaseParams, *, source: str) -> dict[str, Any]:  # Any: JSON values
    """What `config.json` says of a converted checkpoint; `source` names what it was made of."""
    return {"family": FAMILY, "params": asdict(params), "source": source}


def _same_keys(path: Path, wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    """Every key once and of its shape; ModelError names the first that is not."""
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise ModelError(
                path,
                found=f"{key}: {found.get(key, 'nothing')}",
                wanted=str(wanted.get(key, "no such key")),
                remedy="convert the checkpoint again",
            )
