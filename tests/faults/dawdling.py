"""A strip of blocks and a model that takes half a second for each, so that workers die at work."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from tests.tiling.fakes import ArraySource, BoxModel, noise_source
from tiling.answer import TileModel
from tiling.plan import Plan, plan


def strip(blocks: int) -> tuple[ArraySource, Plan]:
    """So many blocks of 64 px in a row, each a tile."""
    source = noise_source(64, 64 * blocks)
    return source, plan(source.geobox, tile_px=68, halo_px=2, feather_px=0, block_tiles=1)


def dawdling() -> TileModel:
    """A filter that takes half a second a block."""
    return Dawdler(2)


class Dawdler(BoxModel):
    """See dawdling."""

    def __call__(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The filter's answer, after a while."""
        time.sleep(0.5)
        return super().__call__(tiles)
