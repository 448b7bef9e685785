"""What can be said of a run, from the command line or Python, and the spec that it makes."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, Unpack, get_args

from geomtrs.arrays import PREFIX
from geomtrs.dates import Pairing, parse
from geomtrs.errors import QueryError
from geomtrs.events import Listener
from geomtrs.query import Query, parse_queries
from geomtrs.signing import Sign
from geomtrs.spec import JobSpec, RunSettings, no_unknown, one_of
from tiling.aoi import bbox_of, numbers_of
from tiling.source import AlphaRule
from tiling.stack import Registration
from tiling.warp import Kernel

if TYPE_CHECKING:
    import pystac
    import xarray

Scope = Literal["scene", "tile"]


class OpenRaster(Protocol):
    """An open rasterio dataset; only where it lies is of interest."""

    @property
    def name(self) -> str:
        """Its path or URL."""


Source: TypeAlias = "str | os.PathLike[str] | OpenRaster | xarray.DataArray | xarray.Dataset | pystac.Item"
# One acquisition: a raster, or the several files it is made of (tiles of a mosaic, one file a band).
DateSource: TypeAlias = "Source | Sequence[Source]"


class Options(TypedDict, total=False):
    """What can be said beside images, sentence and folder; the fields of JobSpec and RunSettings tell more."""

    queries: str | os.PathLike[str] | None
    scope: Scope
    dates: str | Sequence[str | int | dt.date | None] | None
    pairs: Pairing
    model: str
    weights: str | os.PathLike[str] | None
    threshold: float
    bands: str | Sequence[int | str] | None
    nodata: float | None
    alpha: AlphaRule
    assume_crs: str | None
    resampling: Kernel
    cloud_masks: Sequence[str | None]
    register: Registration
    max_shift_px: float
    aoi: str | os.PathLike[str] | None
    aoi_crs: str | None
    pixels: bool
    formats: str | Sequence[str]
    min_area_m2: float | None
    max_area_m2: float | None
    fill_holes_m2: float | None
    simplify_m: float | None
    regularize: bool
    tile_px: int | None
    block_tiles: int
    enlarge: int | None
    device: str
    precision: str
    engine: str
    threads: int | None
    batch: int | None
    workers: int | None
    processes: int | None
    memory: int | str | None
    scheduler: str | None
    retries: int
    keep_going: bool
    keep_store: bool
    keep_features: bool
    sign: str | Sign | None


class AskOptions(TypedDict, total=False):
    """What may differ from the first run (see Options); what is not said is as it was there.

    out  folder of the new outputs; else `ask-<slug>` inside that of the first run
    """

    queries: str | os.PathLike[str] | None
    scope: Scope
    threshold: float | None
    formats: str | Sequence[str]
    min_area_m2: float | None
    max_area_m2: float | None
    fill_holes_m2: float | None
    simplify_m: float | None
    regularize: bool | None
    device: str
    threads: int | None
    workers: int | None
    sign: str | Sign | None
    overwrite: bool
    fresh: bool
    out: str | os.PathLike[str] | None
    on_event: Listener


def job_spec(
    images: Sequence[DateSource],
    query: str | Query | Sequence[str | Query],
    out: str | os.PathLike[str],
    **options: Unpack[Options],
) -> JobSpec:
    """What was said, checked and brought into one form: paths absolute, sizes in bytes, dates in ISO.

    Raises QueryError naming what was asked wrongly; no file is opened but that of the sentences.
    """
    told: dict[str, Any] = dict(options)
    no_unknown(told, set(Options.__annotations__))
    sentences = [query] if isinstance(query, str | Query) else list(query)
    told["queries"] = parse_queries(sentences, told.get("queries"))
    scope = told.pop("scope", None) or "scene"
    one_of("scope", scope, get_args(Scope))
    if scope == "tile":
        told["queries"] = tuple(replace(one, whole=True) for one in told["queries"])
    told["images"] = tuple(_files(date) for date in images)
    if told.get("dates") is not None:
        told["dates"] = parse(told["dates"], len(told["images"]))
    _refuse_half_a_box(told.get("aoi"))
    for name in ("weights", "aoi"):
        if told.get(name) is not None and (name == "weights" or bbox_of(str(told[name])) is None):
            told[name] = located(told[name])
    bands = told.get("bands")
    if bands is not None:
        told["bands"] = tuple(_band(band) for band in (bands.split(",") if isinstance(bands, str) else bands))
    told["cloud_masks"] = tuple(located(mask) if mask else None for mask in told.get("cloud_masks") or ())
    if "formats" in told:
        # gpkg always: it is the one that carries all sentences and the style.
        formats = told["formats"]
        told["formats"] = tuple(dict.fromkeys(("gpkg", *([formats] if isinstance(formats, str) else formats))))
    for name in ("min_area_m2", "fill_holes_m2", "simplify_m"):
        told[name] = told.get(name) or None  # 0 leaves nothing out
    told["memory_bytes"] = parse_bytes(told.pop("memory", None))
    if told.get("workers") is None:
        told.pop("workers", None)
    how = {one.name for one in fields(RunSettings)}
    run = RunSettings(**{name: told.pop(name) for name in list(told) if name in how})
    return JobSpec(out=str(Path(out).absolute()), run=run, **told)


def located(source: Source) -> str:
    """A path that holds from any folder; URLs and /vsi paths as they are."""
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    if not isinstance(text, str):
        raise QueryError(
            "input",
            found=f"a {type(source).__name__}",
            wanted="a path; of images an open dataset or an xarray.DataArray, too; of an area 'W,S,E,N'",
            remedy="write it to a file and name that",
        )
    return text if "://" in text or text.startswith(("/vsi", PREFIX)) else str(Path(text).absolute())


def parse_bytes(text: int | str | None) -> int | None:
    """`2GB`, `512 MiB` or a number → bytes. Raises QueryError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", str(text).lower())
    size = int(float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2] or " ")) if match else 0
    if size <= 0:
        raise QueryError("--memory", found=repr(text), wanted="a size", remedy="write it like 2GB or 1500MB")
    return size


def _refuse_half_a_box(aoi: object) -> None:
    """Raises QueryError for numbers with commas that are not four: no file is called so."""
    numbers = numbers_of(str(aoi))
    if len(numbers) not in {0, 1, 4}:
        wanted = "W,S,E,N: four numbers, or a vector file"
        raise QueryError(
            "--aoi", found=f"{len(numbers)} numbers", wanted=wanted, remedy="for example 11.2,46.1,11.4,46.2"
        )


def _files(date: DateSource) -> tuple[str, ...]:
    files = (date,) if isinstance(date, str | os.PathLike) or not isinstance(date, Sequence) else tuple(date)
    if not files or any(isinstance(file, str) and not file.strip() for file in files):
        raise QueryError("images", found="a date without a file", wanted="at least one raster", remedy="name its files")
    return tuple(located(file) for file in files)


def _band(band: int | str) -> int | str:
    text = str(band).strip()
    if text.isdigit() and int(text) > 0:
        return int(text)
    if not text or text.lstrip("-").isdigit():
        raise QueryError("--bands", found=repr(band), wanted="numbers from 1 or names", remedy="for example 4,3,2")
    return text
