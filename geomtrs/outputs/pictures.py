"""The dates of a scene as small pictures for a page."""

from __future__ import annotations

import math

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

from geomtrs.outputs.encoding import data_uri, webp
from geomtrs.outputs.furniture import hatch
from geomtrs.outputs.look import mean_of, reduce_pieces
from geomtrs.outputs.tones import Tones
from tiling.mosaic import GDAL_CACHE_BYTES
from tiling.stack import OBSERVED, Stack

LONGEST_PX = 2000
# Of all pictures of a page together, as text: with polygons and code the page stays below 5 MB.
MOST_BYTES = 3_300_000
QUALITIES = (82, 70, 55, 40)
SMALLER = 0.7
_UNSEEN = 255


def read_pictures(stack: Stack) -> list[Image.Image]:
    """Each date of a stack, at most 2000 px on its longer side, hatched where not every date was observed.

    Read in pieces, so memory follows the picture, not the scene. Raises SourceError where a file cannot be read.
    """
    height, width = stack.geobox.shape
    factor = max(1, math.ceil(max(height, width) / LONGEST_PX))

    def piece(window: Window) -> NDArray[np.uint8]:
        tile = stack.read(window)
        unseen = np.where(tile.coverage == OBSERVED, 0, _UNSEEN).astype(np.uint8)
        return np.concatenate([tile.pixels.reshape(-1, *unseen.shape), unseen[None]])  # (3 · T + 1, h, w)

    # Bounded here as elsewhere: GDAL's own default is a share of the machine's memory.
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        reduced = reduce_pieces(piece, Window(0, 0, width, height), factor, mean_of)
    unseen = reduced[-1] == _UNSEEN
    dates = np.moveaxis(reduced[:-1].reshape(-1, 3, *unseen.shape), 1, -1)  # (T, H', W', 3)
    return [Image.fromarray(hatch(Tones.of(date, ~unseen).apply(date), unseen)) for date in dates]


def encoded(pictures: list[Image.Image], *, most_bytes: int = MOST_BYTES) -> tuple[list[str], float]:
    """Data URIs of WebP, together below `most_bytes`, and how much smaller they had to become for it.

    Of lower quality first; smaller only where that does not do.
    """
    quality, scale = 0, 1.0
    while True:
        smaller = [_scaled(picture, scale) for picture in pictures]
        texts = [data_uri(webp(picture, quality=QUALITIES[quality]), "webp") for picture in smaller]
        if sum(map(len, texts)) <= most_bytes:
            return texts, scale
        if quality < len(QUALITIES) - 1:
            quality += 1
        else:
            scale *= SMALLER


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    if scale == 1:
        return picture
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
