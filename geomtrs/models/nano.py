"""`nano` as a model of tiles: numpy in, numpy out; torch, precision and threads stay inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from geomtrs.beside import read_beside
from geomtrs.device import Device
from geomtrs.errors import ModelError
from geomtrs.models.base import Answer
from geomtrs.models.cards import NANO_CARD, weights_hash
from geomtrs.models.checkpoint import read_config, read_weights, verified_bytes
from geomtrs.models.mtrefseg import TOWER, MTRefSeg, NanoParams, outline
from geomtrs.nn.beside import keep_beside
from geomtrs.nn.language import BertParams
from geomtrs.nn.layers import fold_batch_norms
from geomtrs.nn.mask_decoder import Answer as Logits
from geomtrs.nn.mask_decoder import ImageMaps, SentenceQuery, softmin
from geomtrs.query import Query

if TYPE_CHECKING:
    from geomtrs.models.compiled import CompiledLook

FAMILY = "mtrefseg-nano"
PACKAGED = Path(__file__).parent / "weights" / "nano"
STRIDE = 32  # of the coarsest map: tiles are padded to a multiple of it
TILE_SPEC = NANO_CARD.tile_spec


class Features(NamedTuple):
    """Image maps of a batch and the size its answers have."""

    maps: ImageMaps
    shape: tuple[int, int]


class Asked(NamedTuple):
    """What sentences ask, Q of them; `others` is what some must lie beside, with the numbers of these."""

    sentences: SentenceQuery  # fields (1, Q, …)
    others: SentenceQuery | None  # fields (1, K, …)
    beside: tuple[tuple[int, bool], ...]  # K: number of the sentence, and whether the other has to have come


class Nano:
    """The embedded MTRefSeg-R1: implements `ChangeModel`."""

    name = "nano"
    tile_spec = TILE_SPEC

    def __init__(
        self,
        network: MTRefSeg,
        tokenizer: Tokenizer,
        device: Device,
        *,
        weights_hash: str,
        temperature: tuple[float, float],
    ) -> None:
        """`temperature` divides mask and existence logits (calibration on val)."""
        self.device, self.weights_hash, self.temperature = device, weights_hash, temperature
        self.tokenizer = tokenizer
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(device.precision)
        self.network = network.to(device.name).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it

    def prepare(self, queries: Sequence[Query]) -> Asked:
        """What the sentences ask, once a run."""
        texts, others, beside = [], [], []
        for number, query in enumerate(queries):
            parts = None if query.whole else read_beside(query.model_text)
            texts.append(query.model_text if parts is None else parts.head)
            if parts is not None:
                others.append(f"new {parts.other}")
                beside.append((number, parts.arrived))
        return Asked(self._ask(texts), self._ask(others) if others else None, tuple(beside))

    def _ask(self, texts: Sequence[str]) -> SentenceQuery:
        limit = self.network.language.tower.params.max_tokens
        self.tokenizer.enable_truncation(int(limit))
        encoded = [self.tokenizer.encode(text.lower()) for text in texts]
        with torch.inference_mode():
            # One by one: a sentence's answer must not depend on its neighbours' length (B6).
            fields = [self.network.ask(torch.tensor(e.ids, device=self.device.name)) for e in encoded]
        return SentenceQuery(*(torch.cat(parts)[None] for parts in zip(*fields, strict=True)))

    def features(self, tiles: NDArray[np.uint8]) -> Features:
        """(N, 2, 3, H, W) uint8 → maps that serve every sentence; sides are reflected up to a multiple of 32."""
        height, width = tiles.shape[-2:]
        down, right = -height % STRIDE, -width % STRIDE
        if down or right:
            tiles = np.pad(tiles, ((0, 0),) * 3 + ((0, down), (0, right)), mode="symmetric")
        if self.device.engine == "openvino":
            return Features(self._compiled(tiles), (height, width))
        with torch.inference_mode(), self._precision():
            dates = torch.from_numpy(np.ascontiguousarray(tiles)).to(self.device.name).float()
            maps = self.network.maps(dates)
            return Features(ImageMaps(*(m.float() for m in maps)), (height, width))

    def answer(self, features: Features, prepared: Asked) -> Answer:
        """Probability (N, Q, H, W) float32 and existence (N, Q) float32."""
        height, width = features.shape
        with torch.inference_mode():
            answer = self._answer(features, prepared.sentences)
            if prepared.others is not None:
                others = self._answer(features, prepared.others)
                before, after = others.presence_before, others.presence_after
                assert before is not None
                assert after is not None
                for k, (number, arrived) in enumerate(prepared.beside):
                    # By presence: where all has changed, the maps of change are less sure of a road than of houses.
                    other = softmin(after[:, k], -before[:, k]) if arrived else after[:, k]
                    answer.mask[:, number] = keep_beside(answer.mask[:, number], other)
            logits = torch.nn.functional.interpolate(
                answer.mask / self.temperature[0], scale_factor=4, mode="bilinear", align_corners=False
            )[..., :height, :width]
            existence = (answer.existence / self.temperature[1]).sigmoid()
            return Answer(logits.sigmoid().cpu().numpy(), existence.cpu().numpy())

    def _answer(self, features: Features, sentences: SentenceQuery) -> Logits:
        pairs = len(features.maps.before)
        query = SentenceQuery(*(f.expand(pairs, *f.shape[1:]) for f in sentences))
        logits: Logits = self.network.answer(features.maps, query)
        return logits

    def presence(self, features: Features, prepared: Asked) -> NDArray[np.bool_]:
        """(N, 2, Q, H, W): the thing that each sentence refers to is there at the first and at the second date.

        Inside the network, change is read from it; what labels of one date say can be held against it alone.
        """
        height, width = features.shape
        with torch.inference_mode():
            answer = self._answer(features, prepared.sentences)
            dates = [
                torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
                for logits in (answer.presence_before, answer.presence_after)
                if logits is not None
            ]
            there: NDArray[np.bool_] = (torch.stack(dates, 1)[..., :height, :width] > 0).cpu().numpy()
            return there

    def ready(self) -> None:
        """The image network is compiled, where it is."""
        if self.device.engine == "openvino":
            _ = self._compiled

    def pack(self, features: Features) -> dict[str, NDArray[np.generic]]:
        """Maps as int8 with a scale for each channel, 21 MB per Mpx; float16 would be 42.

        Measured over 33 tiles and eight sentences: probability within 0.007, 3.4e-5 of the mask flipped.
        """
        maps = torch.stack(features.maps[:4], 1)  # (N, 4, D, H/4, W/4)
        scales = maps.abs().amax((-2, -1)).clamp_min(1e-12) / 127  # (N, 4, D)
        coarse = torch.stack(features.maps[4:], 1).half()  # (N, 2, D, H/32, W/32)
        shape = np.tile(np.array(features.shape, np.int32), (len(maps), 1))
        packed = (maps / scales[..., None, None]).round().to(torch.int8)
        return {
            "maps": packed.cpu().numpy(), "scales": scales.cpu().numpy(), "coarse": coarse.cpu().numpy(), "shape": shape
        }  # fmt: skip

    def unpack(self, arrays: Mapping[str, NDArray[np.generic]]) -> Features:
        """The features, on the device."""
        maps, scales, coarse = (
            torch.from_numpy(arrays[name]).to(self.device.name).float() for name in ("maps", "scales", "coarse")
        )
        height, width = (int(side) for side in arrays["shape"][0])
        fine = maps.mul_(scales[..., None, None]).unbind(1)
        return Features(ImageMaps(*fine, *coarse.unbind(1)), (height, width))

    @cached_property
    def _compiled(self) -> CompiledLook:
        """Made when the first tile is looked at: sentences about kept features need none, and it takes a second."""
        from geomtrs.models.compiled import CompiledLook  # an extra, and a tenth of a second to import

        return CompiledLook(self.network, self.device, TILE_SPEC.tile_px)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.name.split(":")[0], dtype=self.dtype, enabled=self.dtype is not None)


def load_nano(weights: Path | None, device: Device) -> Nano:
    """The embedded model from `weights` (the packaged folder when None), on a device.

    Raises ModelError where a file is missing, damaged or of another model: before any pixel is read (E7).
    """
    folder = weights or PACKAGED
    config = read_config(folder, FAMILY)
    network = outline(_params_of(config))
    network.load_state_dict(_state_of(folder, config, network), strict=True, assign=True)
    network.eval()
    fold_batch_norms(network)
    tokenizer = Tokenizer.from_str(verified_bytes(folder, "tokenizer.json", config).decode("utf-8"))
    calibration = config["calibration"]
    if device.threads:
        torch.set_num_threads(device.threads)
    temperature = float(calibration["mask_temperature"]), float(calibration["existence_temperature"])
    return Nano(network, tokenizer, device, weights_hash=weights_hash(config), temperature=temperature)


def weights_of(folder: Path, config: dict[str, Any]) -> tuple[NanoParams, dict[str, Tensor]]:  # Any: JSON values
    """What a checkpoint of nano is, and its state: every key of the network once and of its shape.

    Raises ModelError naming the first that is not.
    """
    params = _params_of(config)
    return params, _state_of(folder, config, outline(params))


def _params_of(config: dict[str, Any]) -> NanoParams:  # Any: JSON values
    return NanoParams(
        fusion_widths=tuple(config["params"]["fusion_widths"]),
        width=config["params"]["width"],
        fusion=config["params"].get("fusion", "change_aware"),
        language=BertParams(**config["params"]["language"]),
    )


def _state_of(folder: Path, config: dict[str, Any], network: MTRefSeg) -> dict[str, Tensor]:  # Any: JSON values
    """The weights in a folder, every key of the network once and of its shape."""
    state = read_weights(folder, "model.safetensors", config)
    state |= {f"{TOWER}{k}": v for k, v in read_weights(folder, "language.safetensors", config).items()}
    _refuse_other_keys(network, state, folder)
    counters = [k for k in network.state_dict() if k.endswith("num_batches_tracked")]
    return state | {k: torch.zeros((), dtype=torch.long) for k in counters}


def _refuse_other_keys(network: MTRefSeg, state: dict[str, Tensor], folder: Path) -> None:
    """Every key once and of its shape; ModelError names the first that is not."""
    wanted = {k: v.shape for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for key in sorted(wanted.keys() | state.keys()):
        if key not in state or key not in wanted or state[key].shape != wanted[key]:
            found = tuple(state[key].shape) if key in state else "nothing"
            expected = tuple(wanted[key]) if key in wanted else "no such key"
            raise ModelError(
                folder / "model.safetensors",
                found=f"{key}: {found}",
                wanted=str(expected),
                remedy="take the weights of this model",
            )


def config_of(
    params: NanoParams, *, calibration: dict[str, float], training: dict[str, Any]
) -> dict[str, Any]:  # Any: JSON values
    """What `config.json` says of a nano checkpoint."""
    return {"family": FAMILY, "params": asdict(params), "calibration": calibration, "training": training}
