"""What an archive is made of: images, scenes of two or more of them, and what is wanted of a source."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import shapely

NAME_CHARACTERS = 80

_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]", re.IGNORECASE)  # no folder can be called so on Windows
_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d(?:\d\d\d\d|-\d\d-\d\d)?(?:T\d{4,6}Z?)?(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images of a source are meant.

    pattern     file names in a folder (`*_rgb.tif`), None: every raster
    series      all dates of a place as one scene, instead of two that follow each other
    asset       key of the STAC asset to read; the first raster of an item that has none of this name
    max_cloud   largest eo:cloud_cover of a STAC item, percent
    bbox, datetime, collections   what a STAC API is asked for
    assume_crs  CRS of files that have none
    without     a folder that is not looked into: that of the outputs
    """

    pattern: str | None = None
    series: bool = False
    asset: str = "visual"
    max_cloud: float = 20.0
    bbox: str | None = None
    datetime: str | None = None
    collections: tuple[str, ...] = ()
    assume_crs: str | None = None
    without: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """One raster of an archive.

    href    path or URL
    name    what scenes are called after: folder and file, without date and suffix
    place   names of one place are alike at all dates; two images of a place and a date are told apart by it
    date    `YYYY-MM-DD`, `YYYY`, None where it is unknown
    ground  outline in lon/lat
    pixels  rows × columns, None where that is not known without reading it
    told    the date is not one that `detect` would find in the file, so it must be told
    note    why there is no date
    """

    href: str
    name: str
    place: str
    date: str | None
    ground: shapely.Geometry
    pixels: int | None = None
    told: bool = False
    note: str = "no date in its name, its tags or its folder"


@dataclass(frozen=True, slots=True)
class Scene:
    """Two or more dates of one place, to be asked; or something found that is not, and why.

    dates   as `detect` is told them, None: it finds them itself
    ground  outline in lon/lat, empty where it is not known
    aoi     its own area of interest, None: that of the whole batch
    status  pending; skipped or failed with the reason
    """

    id: str
    images: tuple[str, ...]
    dates: tuple[str | None, ...] | None = None
    ground: shapely.Geometry = field(default_factory=shapely.Polygon)
    aoi: str | None = None
    status: Literal["pending", "skipped", "failed"] = "pending"
    reason: str = ""
    pixels: int | None = None


def place_of(stem: str) -> str:
    """A name without its dates: `north_2019-06-01_rgb` → `north_rgb`."""
    return re.sub(r"[-_. ]*\x00[-_. ]*", "_", _DATE.sub("\x00", stem)).strip("_-. ")


def safe_name(*parts: str) -> str:
    """Parts of a path as one name for a folder, the same on every system: never a way out of one, nor a device."""
    words = "-".join(re.sub(r"[^\w.-]+", "-", part, flags=re.ASCII).strip("-._") for part in parts if part)
    name = re.sub(r"-{2,}", "-", words).strip("-.")[-NAME_CHARACTERS:].lstrip("-._") or "scene"
    return f"scene-{name}" if _DEVICE.fullmatch(name.partition(".")[0]) else name


def scene_name(images: Sequence[Image]) -> str:
    """`north-tile_20190601-20230601`: folder and name of the first image, first and last date."""
    span = "-".join(dict.fromkeys((image.date or "").replace("-", "") for image in (images[0], images[-1])))
    return safe_name(images[0].name) + (f"_{span}" if span.strip("-") else "")


def told_apart(scenes: Iterable[Scene]) -> list[Scene]:
    """The scenes, those of one name told apart by a digest of what they are made of."""
    made = list(scenes)
    count: dict[str, int] = {}
    for scene in made:
        count[scene.id.casefold()] = count.get(scene.id.casefold(), 0) + 1
    return [
        replace(scene, id=f"{scene.id}-{_digest(scene.images)}") if count[scene.id.casefold()] > 1 else scene
        for scene in made
    ]


def _digest(images: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(images).encode(), digest_size=4).hexdigest()
