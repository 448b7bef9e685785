"""Models that every other should beat: classical change detection that reads no sentence, and a finder of things asked
of each date alone.

Celik 2009 (IEEE GRSL 6, 772–776): principal components of blocks of the difference image, k-means with two means.
Nielsen 2007 (IEEE TIP 16, 463–478): iteratively reweighted multivariate alteration detection.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, ndimage, special
from scipy.cluster.vq import kmeans2

from geomtrs.device import Device, choose
from geomtrs.errors import ModelError
from geomtrs.hashing import file_hash
from geomtrs.models.base import Answer, ChangeModel, TileSpec
from geomtrs.models.differencing import Direction, direction
from geomtrs.query import Query

if TYPE_CHECKING:
    import torch

BLOCK_PX = 5  # Celik's h, odd so that a block has a middle
COMPONENTS = 3  # Celik's S
ROUNDS = 30  # of reweighting; Nielsen stops when correlations move by less than STILL
STILL = 1e-3
SAMPLE_PX = 40_000  # pixels that the reweighting looks at

Look = Callable[[NDArray[np.uint8], Sequence[str]], NDArray[np.float32]]
NAMES = ("pca-kmeans", "ir-mad", "clipseg")


class Wordless:
    """A map of change between two dates, the same for every sentence; existence is always 1.

    change  tiles (2, C, H, W) uint8 → probability (H, W)
    """

    tile_spec = TileSpec(tile_px=512, halo_px=16, feather_px=16)

    def __init__(self, name: str, change: Callable[[NDArray[np.uint8]], NDArray[np.float64]]) -> None:
        self.name, self._change = name, change
        self.weights_hash = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()

    def prepare(self, queries: Sequence[Query]) -> int:
        """How many sentences there are."""
        return len(queries)

    def features(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tiles (N, 2, C, H, W) uint8 → probability of change (N, H, W)."""
        return np.stack([self._change(tile) for tile in tiles]).astype(np.float32)

    def answer(self, features: NDArray[np.float32], prepared: int) -> Answer:
        """The same for each sentence."""
        probability = np.repeat(features[:, None], prepared, axis=1)
        return Answer(probability, np.ones(probability.shape[:2], np.float32))


class OnEachDate:
    """A model that finds things in one picture, asked of both dates: what is there on one of them and not on the other.

    look  pictures (N, 3, H, W) uint8 and names of things → probability (N, Q, H, W)

    Words of appearing and disappearing are read here and taken out of what the model is asked.
    """

    tile_spec = TileSpec(tile_px=512, halo_px=32, feather_px=16)

    def __init__(self, name: str, look: Look, *, weights_hash: str) -> None:
        self.name, self.weights_hash, self._look = name, weights_hash, look

    def prepare(self, queries: Sequence[Query]) -> list[tuple[str, Direction]]:
        """The thing and the direction of each sentence."""
        return [(thing_of(query.model_text), direction(query.model_text)) for query in queries]

    def features(self, tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The tiles: what they show depends on what is asked."""
        return tiles

    def answer(self, features: NDArray[np.uint8], prepared: list[tuple[str, Direction]]) -> Answer:
        """Difference of both dates in the direction that was asked for."""
        before, after = (self._look(features[:, date], [thing for thing, _ in prepared]) for date in range(2))
        gained = after - before
        signs = {"appeared": gained.clip(min=0), "disappeared": (-gained).clip(min=0), "either": np.abs(gained)}
        probability = np.stack([signs[way][:, q] for q, (_, way) in enumerate(prepared)], axis=1)
        return Answer(probability, np.ones(probability.shape[:2], np.float32))


def load_control(name: str, *, weights: Path | None, device: Device | None) -> ChangeModel:
    """One of NAMES, clipseg alone on a device; raises ModelError for weights that are not wanted, or missing."""
    if name == "clipseg":
        if weights is None:
            raise ModelError(
                "model clipseg", found="no weights", wanted="the folder of a CLIPSeg in the format of transformers",
                remedy="name it with --weights",
            )  # fmt: skip
        return load_clipseg(weights, device or choose("cpu"))
    if weights is not None:
        raise ModelError(weights, found="weights", wanted=f"none: {name} learns nothing", remedy="leave them out")
    return Wordless(name, {"pca-kmeans": pca_kmeans, "ir-mad": ir_mad}[name])


def pca_kmeans(dates: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(2, C, H, W) → (H, W) in [0, 1], at least one half where the block around a pixel is nearer to the changed mean.

    Two means are found wherever anything differs, so something is always marked there.
    """
    difference = np.abs(dates[1].astype(np.float64) - dates[0]).mean(axis=0)  # (H, W)
    if not difference.any():
        return np.zeros_like(difference)
    height, width = difference.shape
    rows, cols = max(1, height // BLOCK_PX), max(1, width // BLOCK_PX)
    even = np.pad(
        difference, ((0, BLOCK_PX), (0, BLOCK_PX)), mode="reflect" if min(height, width) > BLOCK_PX else "edge"
    )
    blocks = even[: rows * BLOCK_PX, : cols * BLOCK_PX].reshape(rows, BLOCK_PX, cols, BLOCK_PX)
    vectors = blocks.transpose(0, 2, 1, 3).reshape(-1, BLOCK_PX**2)
    mean = vectors.mean(axis=0)
    _, axes = np.linalg.eigh((vectors - mean).T @ (vectors - mean))
    kernels = axes[:, : -COMPONENTS - 1 : -1].T.reshape(-1, BLOCK_PX, BLOCK_PX)
    space = np.stack(
        [ndimage.correlate(difference, kernel, mode="reflect") - (kernel.ravel() @ mean) for kernel in kernels], axis=-1
    ).reshape(-1, COMPONENTS)
    local = ndimage.uniform_filter(difference, BLOCK_PX, mode="reflect").ravel()
    begin = np.stack([space[local.argmin()], space[local.argmax()]])
    if np.allclose(begin[0], begin[1]):  # the same difference everywhere: no second mean
        return np.zeros_like(difference)
    means, label = kmeans2(space, begin, iter=50, minit="matrix", missing="raise")
    changed = int(local[label == 1].mean() > local[label == 0].mean())
    far = [np.linalg.norm(space - means[k], axis=1) for k in (1 - changed, changed)]
    return np.asarray(far[0] / np.maximum(far[0] + far[1], 1e-12), np.float64).reshape(height, width)


def ir_mad(dates: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(2, C, H, W) → (H, W) in [0, 1]: by the distance of a pixel's variates from those of unchanged ones.

    One half lies between the two means of that distance. Nielsen's chi-squared would call much more changed wherever
    the unchanged ground is not normally distributed.
    """
    bands, shape = dates.shape[1], dates.shape[2:]
    if np.array_equal(dates[0], dates[1]):
        return np.zeros(shape)
    pixels = dates.reshape(2 * bands, -1).astype(np.float64)  # earlier bands, then later ones
    some = pixels[:, :: max(1, pixels.shape[1] // SAMPLE_PX)]
    weight, correlation = np.ones(some.shape[1]), np.zeros(bands)
    for _ in range(ROUNDS):
        mean = np.average(some, axis=1, weights=weight)
        centred = some - mean[:, None]
        covariance = (centred * weight) @ centred.T / weight.sum()
        # A grey level of rounding in each band, so that flat or equal pictures stay solvable.
        covariance[np.diag_indices(2 * bands)] += 1 / 12
        one, other, cross = covariance[:bands, :bands], covariance[bands:, bands:], covariance[:bands, bands:]
        squared, a = linalg.eigh(cross @ linalg.solve(other, cross.T), one)
        found = np.sqrt(squared.clip(1e-12, 1 - 1e-9))
        toward = np.concatenate([a, -linalg.solve(other, cross.T @ a) / found]) / np.sqrt(2 * (1 - found))
        weight = special.gammaincc(bands / 2, ((toward.T @ centred) ** 2).sum(axis=0) / 2)
        if np.abs(found - correlation).max() < STILL or weight.sum() < bands:
            break
        correlation = found
    distance = np.linalg.norm(toward.T @ (pixels - mean[:, None]), axis=0)
    if np.allclose(distance.min(), distance.max()):
        return np.zeros(shape)
    # In the logarithm, since a few pixels far out would draw a mean to themselves.
    level = np.log(distance + 1)
    means, _ = kmeans2(level, np.array([level.min(), level.max()]), iter=50, minit="matrix", missing="raise")
    half = np.exp(means.mean()) - 1
    probability: NDArray[np.float64] = (distance**2 / (distance**2 + half**2)).reshape(shape)
    return probability


_CHANGE_WORDS = re.compile(
    r"\b(all|the|every|any|new(ly)?|recent(ly)?|added|removed|lost|vanished|missing|demolished|destroyed|cleared|built"
    r"|constructed|appeared|disappeared|gone|former|changed?|show( me)?|find|highlight|segment|please mark|map)\b",
    re.IGNORECASE,
)


def thing_of(text: str) -> str:
    """What a sentence is about, without words of change: `buildings` of `the new buildings that were added`."""
    head = re.split(r"\b(?:that|which|who|where|between|since)\b", text, maxsplit=1, flags=re.IGNORECASE)[0]
    words = " ".join(_CHANGE_WORDS.sub(" ", head).split()).strip(" ,.;:?!")
    return words or " ".join(text.split())


def load_clipseg(folder: Path, device: Device) -> OnEachDate:
    """CLIPSeg (Lüddecke and Ecker 2022) from a folder in the format of transformers, asked of each date.

    Weights are read from safetensors alone: nothing is unpickled. Raises ModelError where the folder does not load.
    """
    from transformers import AutoTokenizer, CLIPSegForImageSegmentation

    try:
        network: Any = CLIPSegForImageSegmentation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        facts = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            folder, found=f"no CLIPSeg that loads ({' '.join(str(error).split())[:200]})",
            wanted="config.json, model.safetensors, a tokenizer and preprocessor_config.json",
            remedy="take the folder again from where it came",
        ) from error  # fmt: skip
    digest = file_hash(folder / "model.safetensors")
    network = network.to(device.name).eval()
    return OnEachDate("clipseg", _clipseg_look(network, tokenizer, facts, device.name), weights_hash=digest)


def _clipseg_look(
    network: torch.nn.Module,
    tokenizer: Callable[..., Any],  # Any: an untyped library
    facts: dict[str, Any],  # Any: JSON values
    device: str,
) -> Look:
    """Pictures in the square the model was trained at, and back."""
    import torch
    from torch.nn.functional import interpolate

    size = facts["size"]
    side = int(size if isinstance(size, int) else size.get("height") or size["shortest_edge"])
    mean, std = (torch.tensor(facts[key], device=device)[:, None, None] for key in ("image_mean", "image_std"))

    def look(pictures: NDArray[np.uint8], things: Sequence[str]) -> NDArray[np.float32]:
        tokens = tokenizer(list(things), padding=True, truncation=True, return_tensors="pt").to(device)
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(pictures)).to(device).float() / 255
            x = interpolate(x, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
            found = []
            for picture in (x.clamp(0, 1) - mean) / std:
                many = picture.expand(len(things), *picture.shape)
                logits = network(
                    input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=many
                ).logits
                found.append(logits.reshape(1, len(things), *logits.shape[-2:]).sigmoid())
            answer = interpolate(torch.cat(found), size=pictures.shape[-2:], mode="bilinear", align_corners=False)
            return np.asarray(answer.float().cpu().numpy(), np.float32)

    return look
