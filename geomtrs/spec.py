"""Everything a run was told, as one frozen value: the same from the command line, Python and run.json (F6)."""

from __future__ import annotations

import datetime as dt
import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, Unpack, get_args

from geomtrs.arrays import PREFIX
from geomtrs.dates import Pairing, parse
from geomtrs.errors import QueryError
from geomtrs.events import Listener
from geomtrs.outputs.vector import FORMATS
from geomtrs.query import Query, parse_queries
from geomtrs.signing import Sign, name_of
from tiling.aoi import bbox_of, numbers_of
from tiling.clouds import cloud_name
from tiling.source import AlphaRule
from tiling.stack import Registration
from tiling.warp import Kernel

if TYPE_CHECKING:
    import xarray

Scope = Literal["scene", "tile"]


class OpenRaster(Protocol):
    """An open rasterio dataset; only where it lies is of interest."""

    @property
    def name(self) -> str:
        """Its path or URL."""


Source: TypeAlias = "str | os.PathLike[str] | OpenRaster | xarray.DataArray | xarray.Dataset"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a run goes, not what it answers: may differ when it is resumed.

    device        auto, cpu, cuda or cuda:N; precision auto, fp32, bf16 or fp16
    engine        auto, torch or openvino: what computes the images on a CPU (nano)
    threads       intra-op threads of the model; None: one per core that this process may use
    workers       blocks at work at once in each process: one at the model, the others reading or saving
    processes     worker processes of a local cluster; None: threads of this process
    memory_bytes  promise for all processes together (`--memory`)
    scheduler     address of a running Dask cluster
    retries       how often a failed block is tried again; with keep_going its ground is then reported and left out
    keep_store    keep the finished blocks after the outputs are verified
    sign          makes a readable address of one that is not: `module:function`, or the function
    """

    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    batch: int | None = None
    workers: int = 2
    processes: int | None = None
    memory_bytes: int | None = None
    scheduler: str | None = None
    retries: int = 2
    keep_going: bool = False
    keep_store: bool = False
    sign: str | Sign | None = None

    def __post_init__(self) -> None:
        """Raise QueryError for numbers that mean nothing."""
        for name in ("threads", "batch", "workers", "processes"):
            _at_least(name, getattr(self, name), 1)
        _at_least("retries", self.retries, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What is asked of which images, and where the answer goes.

    images       the acquisitions in order, each the files it is made of
    dates        what the user said of them, None: from names and tags
    threshold    probability from which a pixel is in the mask
    bands        numbers from 1 or names, None: chosen by role
    pixels       plain pictures: no CRS is looked for, areas are in pixels
    simplify_m, regularize   outlines of the vectors, not of the mask: details dropped, right angles
    tile_px, block_tiles   None and 4: the model's tile, 4 x 4 of them in a block
    enlarge      how many times as large the model is shown the pixels: 1, 2 or 4; None: as it wants them
    keep_features   keep what the model saw in each tile, for further sentences
    features     the folder of a run that kept them: they are asked instead of the images
    """

    images: tuple[tuple[str, ...], ...]
    queries: tuple[Query, ...]
    out: str
    dates: tuple[str | None, ...] | None = None
    pairs: Pairing = "consecutive"
    model: str = "nano"
    weights: str | None = None
    threshold: float = 0.5
    bands: tuple[int | str, ...] | None = None
    nodata: float | None = None
    alpha: AlphaRule = "auto"
    assume_crs: str | None = None
    resampling: Kernel = "bilinear"
    cloud_masks: tuple[str | None, ...] = ()
    register: Registration = "check"
    max_shift_px: float = 16.0
    aoi: str | None = None
    aoi_crs: str | None = None
    pixels: bool = False
    formats: tuple[str, ...] = ("gpkg",)
    min_area_m2: float | None = None
    max_area_m2: float | None = None
    fill_holes_m2: float | None = None
    simplify_m: float | None = None
    regularize: bool = False
    tile_px: int | None = None
    block_tiles: int = 4
    enlarge: int | None = None
    keep_features: bool = False
    features: str | None = None
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        """Raise QueryError for what cannot be asked."""
        if len(self.images) < 2:
            raise QueryError(
                "images",
                found=str(len(self.images)),
                wanted="two or more dates of one place",
                remedy="give before and after",
            )
        if not 0 < self.threshold <= 1:
            raise QueryError("--threshold", found=repr(self.threshold), wanted="above 0, at most 1", remedy="try 0.5")
        kinds = {"pairs": Pairing, "alpha": AlphaRule, "resampling": Kernel, "register": Registration}
        for name, kind in kinds.items():
            _one_of(name, getattr(self, name), get_args(kind))
        for name in self.formats:
            _one_of("format", name, FORMATS)
        for name in ("min_area_m2", "max_area_m2", "fill_holes_m2", "simplify_m", "max_shift_px"):
            _at_least(name, getattr(self, name), 0)
        if self.max_area_m2 == 0:
            raise QueryError("--max-area", found="0", wanted="above 0", remedy="leave it out for no limit")
        if self.min_area_m2 is not None and self.max_area_m2 is not None and self.min_area_m2 > self.max_area_m2:
            raise QueryError(
                "--min-area",
                found=f"{self.min_area_m2:g} m², above --max-area {self.max_area_m2:g} m²",
                wanted="at most --max-area",
                remedy="swap them, or leave one out",
            )
        _at_least("block_tiles", self.block_tiles, 1)
        _at_least("tile_px", self.tile_px, 1)
        if self.nodata is not None and not math.isfinite(self.nodata):
            remedy = "leave it out: NaN and infinity are holes whatever is said"
            raise QueryError("--nodata", found=repr(self.nodata), wanted="a finite number", remedy=remedy)
        if self.enlarge not in (None, 1, 2, 4):
            raise QueryError("--enlarge", found=repr(self.enlarge), wanted="1, 2 or 4", remedy="choose one of them")
        if self.pixels and "geojson" in self.formats:
            raise QueryError(
                "--format",
                found="geojson with --pixels",
                wanted="a format without lon/lat",
                remedy="use gpkg, shp, parquet or fgb",
            )
        if self.cloud_masks and len(self.cloud_masks) != len(self.images):
            found, wanted = f"{len(self.cloud_masks)} cloud masks", f"{len(self.images)}, one for each date"
            raise QueryError("--cloud-mask", found=found, wanted=wanted, remedy="give an empty one where there is none")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able and complete."""
        document = asdict(self)
        document["queries"] = [query.to_dict() for query in self.queries]
        return {key: _plain(value) for key, value in document.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> JobSpec:
        """The spec that `to_dict` wrote. Raises QueryError for keys or values that are not a spec's."""
        known = {one.name for one in fields(cls)}
        _no_unknown(document, known)
        try:
            values: dict[str, Any] = {key: _tuples(value) for key, value in document.items()}
            values["queries"] = tuple(Query(**query) for query in document["queries"])
            values["run"] = RunSettings(**document["run"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise QueryError(
                "job",
                found=f"a spec that does not read: {error}",
                wanted="one that geomtrs wrote",
                remedy="run detect anew",
            ) from error

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the answer depends on: images, cloud masks, the area of interest."""
        masks = tuple(cloud_name(mask).path for mask in self.cloud_masks if mask)
        area = (self.aoi,) if self.aoi is not None and bbox_of(self.aoi) is None else ()
        return (*(file for files in self.images for file in files), *masks, *area)

    def differences(self, other: JobSpec) -> tuple[str, ...]:
        """What the other one asks differently, each as `name: mine, not theirs`; how it runs is not compared."""
        mine, theirs = self.to_dict(), other.to_dict()
        names = [name for name in mine if name not in {"run", "out"} and mine[name] != theirs[name]]
        return tuple(f"{name}: {_short(mine[name])}, not {_short(theirs[name])}" for name in names)

    def running(self, run: RunSettings) -> JobSpec:
        """The same question, run otherwise."""
        return replace(self, run=run)


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
    _no_unknown(told, set(Options.__annotations__))
    sentences = [query] if isinstance(query, str | Query) else list(query)
    told["queries"] = parse_queries(sentences, told.get("queries"))
    scope = told.pop("scope", None) or "scene"
    _one_of("scope", scope, get_args(Scope))
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


def _one_of(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        near = difflib.get_close_matches(str(value), known, 1)
        remedy = f"did you mean {near[0]}?" if near else "choose one of them"
        raise QueryError(f"--{name}", found=repr(value), wanted=", ".join(known), remedy=remedy)


def _at_least(name: str, value: float | None, least: float) -> None:
    if value is not None and not least <= value < math.inf:  # written so that NaN fails
        option = re.sub("_(m2?|px)$", "", name).replace("_", "-")  # as the command line calls it, without the unit
        raise QueryError(f"--{option}", found=repr(value), wanted=f"a number, at least {least}", remedy="correct it")


def _no_unknown(told: Mapping[str, Any], known: set[str]) -> None:
    for name in told:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            remedy = f"did you mean {near[0]}?" if near else "see help(geomtrs.detect)"
            raise QueryError(
                f"option {name}", found="an unknown option", wanted="one that geomtrs knows", remedy=remedy
            )


def _plain(value: object) -> object:
    """Tuples as lists and functions as their names, all the way down: what JSON gives back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if callable(value):
        return name_of(value)
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
