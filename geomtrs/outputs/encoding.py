"""Pictures as the bytes of a file, and as part of a page."""

from __future__ import annotations

import base64
import io
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture: TypeAlias = "Image.Image | NDArray[np.uint8] | NDArray[np.bool_]"


def png(picture: Picture, *, level: int = 6) -> bytes:
    """As PNG: equal pixels give equal bytes. At level 3 a photograph is 3 % larger, in two fifths of the time."""
    return _saved(picture, "PNG", compress_level=level)


def jpeg(picture: Picture, *, quality: int = 90, sharp: bool = False) -> bytes:
    """As JPEG, a tenth of the PNG's size.

    sharp  lines of two pixels keep their colour, for a third more
    """
    return _saved(picture, "JPEG", quality=quality, **({"subsampling": 0} if sharp else {}))


def webp(picture: Picture, *, quality: int | None = None) -> bytes:
    """As WebP; without a quality every pixel is kept."""
    how = {"lossless": True, "method": 0} if quality is None else {"quality": quality, "method": 2}
    return _saved(picture, "WEBP", **how)


def data_uri(content: bytes, kind: Literal["jpeg", "png", "webp"]) -> str:
    """The file as an address that holds it whole."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _saved(picture: Picture, kind: str, **told: int) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    buffer = io.BytesIO()
    image.save(buffer, kind, **told)
    return buffer.getvalue()
