"""What a change model is: thirty lines to implement, numpy in and out, so that no caller needs to know of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from geomtrs.models.enlarging import enlarged, reduced
from geomtrs.query import Query

# What a family keeps between its steps is its own affair; only the family that made it reads it.
Prepared = Any
Features = Any

LARGEST_PX = 2048  # of a picture's side that a model is given whole


@dataclass(frozen=True, slots=True)
class TileSpec:
    """How a model wants its tiles.

    tile_px     side of the square that is read, pixels
    halo_px     context read around the answer, dropped afterwards
    feather_px  band cross-faded with the neighbouring tiles
    dates       acquisitions it looks at together
    gsd_m       (finest, coarsest) ground resolution it was trained at, metres per pixel
    batch       tiles answered at once; fixed, since another batch may round differently
    double_m    pixels as coarse as this, metres, are shown to it twice as large
    """

    tile_px: int
    halo_px: int
    feather_px: int
    dates: int = 2
    gsd_m: tuple[float, float] = (0.0, float("inf"))
    batch: int = 1
    double_m: float = float("inf")

    def __post_init__(self) -> None:
        """Raise ValueError when nothing of a tile is left after halo and feather."""
        if min(self.halo_px, self.feather_px) < 0 or self.tile_px <= 2 * (self.halo_px + self.feather_px):
            raise ValueError(
                f"tile_px {self.tile_px} leaves no core beside halo {self.halo_px} and feather {self.feather_px}"
            )
        if self.dates < 1 or self.batch < 1:
            raise ValueError(f"dates {self.dates} and batch {self.batch} must be at least 1")

    def times(self, gsd_m: float | None) -> int:
        """How many times as large it is shown pixels of a ground resolution; None: that is not known."""
        return 2 if gsd_m is not None and gsd_m >= self.double_m else 1


class Answer(NamedTuple):
    """What a model says of N tiles and Q sentences.

    probability  (N, Q, H, W) float32 in [0, 1], of the mask alone
    existence    (N, Q) float32 in [0, 1]: the sentence holds somewhere in the tile
    """

    probability: NDArray[np.float32]
    existence: NDArray[np.float32]


@runtime_checkable
class ChangeModel(Protocol):
    """A family implements this and registers under the entry point group `geomtrs.models`."""

    @property
    def name(self) -> str:
        """As the catalog lists it."""

    @property
    def weights_hash(self) -> str:
        """Hex digest of everything learned; equal hashes give equal answers."""

    @property
    def tile_spec(self) -> TileSpec:
        """How it wants its tiles."""

    def prepare(self, queries: Sequence[Query]) -> Prepared:
        """The sentences, once per run."""

    def features(self, tiles: NDArray[np.uint8]) -> Features:
        """Tiles (N, T, C, H, W) uint8, C = 3, once per tile however many sentences."""

    def answer(self, features: Features, prepared: Prepared) -> Answer:
        """What holds where."""


@runtime_checkable
class KeepsFeatures(Protocol):
    """A model whose features can be put aside, so that a further sentence costs only `answer`."""

    def ready(self) -> None:
        """All that `features` needs is in memory; where only kept features are answered, this is not called."""

    def pack(self, features: Features) -> dict[str, NDArray[np.generic]]:
        """Features of N tiles as arrays (N, …), small enough to keep."""

    def unpack(self, arrays: Mapping[str, NDArray[np.generic]]) -> Features:
        """The features that `pack` made arrays of, within the rounding that the family states."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a user should know before trusting a model.

    weights_hash is None where weights are not installed; languages are ISO 639-1 codes where it reads no
    others (none: none is warned of).
    A model that `asks_beside` is asked for a thing and its neighbour apart (geomtrs.beside).
    """

    name: str
    summary: str
    licence: str
    trained_on: str
    tile_spec: TileSpec
    languages: tuple[str, ...] = ()
    asks_beside: bool = False
    weights: str | None = None
    weights_hash: str | None = None
    size_bytes: int = 0
    text: str = ""

    def to_dict(self) -> dict[str, object]:
        """JSON-able; an open end of the resolution range is null."""
        document = asdict(self)
        finest, coarsest = self.tile_spec.gsd_m
        document["tile_spec"]["gsd_m"] = [finest, None if coarsest == float("inf") else coarsest]
        if self.tile_spec.double_m == float("inf"):
            document["tile_spec"]["double_m"] = None
        document["languages"] = list(self.languages)
        return document


@dataclass(frozen=True, slots=True)
class PairAnswers:
    """A model asked several sentences of several pairs of dates: tiles in, final probability out.

    Channel p * Q + q holds sentence q of pair p. Features are computed once per pair and serve every sentence.
    The model is shown the pixels `times` as large.
    """

    model: ChangeModel
    prepared: Prepared
    pairs: tuple[tuple[int, int], ...]
    times: int = 1

    def __call__(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Tiles (N, T, C, H, W) uint8 → mask × existence (N, P * Q, H, W) float32, existence (N, P * Q) float32."""
        return self.tell(self.look(tiles))

    def look(self, tiles: NDArray[np.uint8]) -> list[Features]:
        """Tiles (N, T, C, H, W) uint8 → features of each pair."""
        return [self.model.features(enlarged(tiles[:, list(pair)], self.times)) for pair in self.pairs]

    def tell(self, features: Sequence[Features]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features of each pair → what the call gives."""
        answers = [self.model.answer(one, self.prepared) for one in features]
        probability = np.concatenate([a.probability * a.existence[:, :, None, None] for a in answers], axis=1)
        return reduced(probability, self.times), np.concatenate([a.existence for a in answers], axis=1)
