"""Change as plain difference of colours: no learning, no torch. The control for every model, and the smallest family.

The magnitude of the change vector (Malila 1980) of two dates, smoothed over 5 x 5 pixels. The sentence is hardly read:
words of appearing keep ground that became brighter, words of disappearing ground that became darker, any other sentence
keeps both. A thing that is absent is therefore *not* answered with nothing; existence is always 1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geomtrs.models.base import Answer, ModelCard, TileSpec
from geomtrs.query import Query

RADIUS_PX = 2
# A change of 48 grey levels in every band has probability one half: above light and season after the stretch.
HALF_LEVELS = 48.0

Direction = Literal["appeared", "disappeared", "either"]

_APPEARED = re.compile(
    r"\b(appear(ed|s|ing)?|new(ly)?|built|added|constructed|grown?|grew|gained|expanded|brighter)\b", re.IGNORECASE
)
_GONE = re.compile(
    r"\b(disappear(ed|s|ing)?|gone|removed?|cleared|demolished|destroyed|lost|shrunk|shrank|darker|no longer"
    r"|(that|which|have|has) left|were there)\b",
    re.IGNORECASE,
)

CARD = ModelCard(
    name="differencing",
    summary="colour difference of two dates, smoothed; a control, it hardly reads the sentence",
    licence="Apache-2.0",
    trained_on="nothing",
    tile_spec=TileSpec(tile_px=512, halo_px=RADIUS_PX, feather_px=0, batch=1),
    text=__doc__,
)


def direction(text: str) -> Direction:
    """Which way the sentence asks; either when it says neither or both."""
    appeared, gone = bool(_APPEARED.search(text)), bool(_GONE.search(text))
    if appeared == gone:
        return "either"
    return "appeared" if appeared else "disappeared"


class Differencing:
    """A local filter: a pixel's answer depends on the 5 x 5 pixels around it, bit for bit the same in any tile."""

    name = CARD.name
    tile_spec = CARD.tile_spec
    weights_hash = hashlib.blake2b(f"differencing 1 {RADIUS_PX} {HALF_LEVELS}".encode(), digest_size=16).hexdigest()

    def prepare(self, queries: Sequence[Query]) -> tuple[Direction, ...]:
        """The direction of each sentence."""
        return tuple(direction(query.model_text) for query in queries)

    def features(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tiles (N, 2, C, H, W) uint8 → mean brightness change and probability, (N, 2, H, W) float32.

        Raises ValueError for another number of dates.
        """
        if tiles.ndim != 5 or tiles.shape[1] != self.tile_spec.dates:
            raise ValueError(f"tiles have shape {tiles.shape}; wanted (N, {self.tile_spec.dates}, C, H, W)")
        change = _box_sums(tiles[:, 1].astype(np.int32) - tiles[:, 0])  # (N, C, H, W)
        scale = (2 * RADIUS_PX + 1) ** 2
        # Sums of integers are exact in any order; one rounding follows, so that a tile's place cannot change a bit.
        squares = (change.astype(np.int64) ** 2).sum(axis=1)
        magnitude = np.sqrt(squares.astype(np.float64) / tiles.shape[2]) / scale
        probability = np.minimum(magnitude / (2 * HALF_LEVELS), 1.0)
        return np.stack([change.sum(axis=1), probability], axis=1).astype(np.float32)

    def answer(self, features: NDArray[np.float32], prepared: tuple[Direction, ...]) -> Answer:
        """What changed the way each sentence asks."""
        brightness, change = features[:, 0], features[:, 1]
        keep = {"appeared": brightness > 0, "disappeared": brightness < 0, "either": np.ones_like(brightness, bool)}
        probability = np.stack([np.where(keep[way], change, np.float32(0)) for way in prepared], axis=1)
        return Answer(probability, np.ones(probability.shape[:2], np.float32))


def _box_sums(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums over the (2 r + 1)² pixels around each, (…, H, W); outside the tile the edge is repeated."""
    width = 2 * RADIUS_PX + 1
    for axis in (-2, -1):
        pad = [(0, 0)] * values.ndim
        pad[axis] = (RADIUS_PX + 1, RADIUS_PX)
        sums = np.cumsum(np.pad(values, pad, mode="edge"), axis=axis, dtype=np.int32)
        stop = sums.shape[axis]
        values = np.take(sums, range(width, stop), axis) - np.take(sums, range(stop - width), axis)
    return values
