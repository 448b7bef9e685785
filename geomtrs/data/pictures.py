"""Pictures and masks of any kind that Pillow reads: upright, in 8 bits, and what went wrong with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from geomtrs.errors import DataError

ORIENTATION, SWAPPED_SIDES = 0x0112, (5, 6, 7, 8)  # the tag of EXIF, and its values for a camera held upright

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    Image.DecompressionBombError,
)  # what Pillow raises of a damaged file

MaskKind = Literal["0/1", "0/255", "other"]


def read_mask(path: Path) -> NDArray[np.bool_]:
    """(H, W), True where the mask is; raises DataError where it cannot be read, and as `grey_of`.

    The published rule is grey above 127, under which a mask of 0 and 1 is empty. Here a mask of 0 and 1 is read as it
    was meant; `mask_kind` tells them apart.
    """
    return truth_of(grey_of(path))


def mask_kind(path: Path) -> MaskKind:
    """The values of a mask; one of zeros alone is read the same either way and counts as 0/255."""
    return kind_of(grey_of(path))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3), turned as its camera held it; raises DataError where it cannot be read, and for fractions of 1."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode[0] in "IF":
                return np.repeat(_as_bytes(np.asarray(upright))[:, :, None], 3, axis=2)
            if "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return np.array(upright.convert("RGB"))
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def grey_of(path: Path) -> NDArray[np.uint8]:
    """(H, W), 8-bit grey; of deeper masks the upper byte, unless no value needs it.

    Raises DataError where it cannot be read, for fractions of 1, and where transparency alone tells what is marked:
    some programs mean what is opaque, some what is white.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode[0] in "IF":
                return _as_bytes(np.asarray(upright))
            if "transparency" in upright.info:
                upright = upright.convert("RGBA")
            grey = upright.convert("L")
            if upright.has_transparency_data and _alike(grey) and not _alike(upright.getchannel("A")):
                raise ValueError("one grey all over, marked by its transparency alone: flatten it")
            return np.asarray(grey)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def marks_of(path: Path) -> NDArray[np.uint8]:
    """(H, W), 0 where a mask marks nothing: the indices of a palette, whose first colour need not be black, or grey."""
    try:
        with Image.open(path) as image:
            palette = image.mode == "P"
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    return read_labels(path) if palette else grey_of(path)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """(H, W) class numbers as they were written: of a palette its indices, of grey in three bands one of them.

    Raises DataError for colours, for numbers that are no byte, and where it cannot be read.
    """
    try:
        with Image.open(path) as image:
            bands, values = image.getbands(), np.asarray(image)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    if values.ndim == 3:
        values = values[..., : len(bands) - (bands[-1] == "A")]
        if (values != values[..., :1]).any():
            raise _no_labels(path, f"colours ({''.join(bands)})")
        values = values[..., 0]
    with np.errstate(invalid="ignore"):  # said below
        labels = values.astype(np.uint8)
    if (values != labels).any():
        raise _no_labels(path, f"numbers from {values.min()} to {values.max()}")
    return labels


def _no_labels(path: Path, found: str) -> DataError:
    wanted = "labels: one band of class numbers 0 to 255"
    return DataError(path, found=found, wanted=wanted, remedy="write them so; 255 means not known")


def content_of(pictures: Iterable[Path], masks: Iterable[Path]) -> str:
    """How many files, and a digest of their names, of the masks' bytes and of the pictures' sizes.

    Masks are small and drawn anew in place; reading all pictures would take as long as packing them. Where files lie
    and when they were copied makes no difference.
    """
    digest, count = hashlib.blake2b(digest_size=8), 0
    for path in pictures:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        count += 1
    for path in masks:
        digest.update(f"{path.name} {hashlib.blake2b(path.read_bytes()).hexdigest()}\n".encode())
        count += 1
    return f"{count} files, {digest.hexdigest()}"


def _alike(band: Image.Image) -> bool:
    least, most = band.getextrema()
    return bool(least == most)


def _as_bytes(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Raises ValueError for fractions of 1, of which nothing would be left."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values)
        if values.max(initial=0) <= 1 and (values % 1).any():
            raise ValueError(f"numbers from {values.min():.3g} to {values.max():.3g}, not 0 to 255")
    whole = values.astype(np.int64)
    return (whole if whole.max(initial=0) <= 255 else whole >> 8).clip(0, 255).astype(np.uint8)


def kind_of(grey: NDArray[np.uint8]) -> MaskKind:
    """The values of a grey mask (H, W)."""
    used = set(np.flatnonzero(np.bincount(grey.ravel(), minlength=256)).tolist())
    if used <= {0, 255}:
        return "0/255"
    return "0/1" if used <= {0, 1} else "other"


def truth_of(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a grey mask (H, W) means yes: 1 of a mask of 0 and 1, else above 127."""
    return grey == 1 if kind_of(grey) == "0/1" else grey > 127


def shape_of(path: Path) -> tuple[int, int]:
    """(H, W) of a picture as its camera held it, from its header alone."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # Only of photographs: Pillow turns TIFF itself, and would decode a whole PNG to look.
            turned = image.format in ("JPEG", "MPO") and image.getexif().get(ORIENTATION) in SWAPPED_SIDES
            return (width, height) if turned else (height, width)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DataError:
    """What to raise for a picture that Pillow does not read."""
    found = "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
    return DataError(path, found=found, wanted="a readable picture", remedy="replace the file, or take the pair out")
