"""Everything a run was told, as one frozen value: the same from the command line, Python and run.json (F6)."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_args

from geomtrs.dates import Pairing
from geomtrs.errors import QueryError
from geomtrs.outputs.vector import FORMATS
from geomtrs.query import Query
from geomtrs.signing import Sign, name_of
from tiling.aoi import bbox_of
from tiling.clouds import cloud_name
from tiling.source import AlphaRule
from tiling.stack import Registration
from tiling.warp import Kernel


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
            one_of(name, getattr(self, name), get_args(kind))
        for name in self.formats:
            one_of("format", name, FORMATS)
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
        no_unknown(document, known)
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


def one_of(name: str, value: object, known: Sequence[str]) -> None:
    """Raises QueryError for a value of an option that is none of those known, with the nearest."""
    if value not in known:
        near = difflib.get_close_matches(str(value), known, 1)
        remedy = f"did you mean {near[0]}?" if near else "choose one of them"
        raise QueryError(f"--{name}", found=repr(value), wanted=", ".join(known), remedy=remedy)


def no_unknown(told: Mapping[str, Any], known: set[str]) -> None:
    """Raises QueryError for an option that is none of those known, with the nearest."""
    for name in told:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            remedy = f"did you mean {near[0]}?" if near else "see help(geomtrs.detect)"
            raise QueryError(
                f"option {name}", found="an unknown option", wanted="one that geomtrs knows", remedy=remedy
            )


def _at_least(name: str, value: float | None, least: float) -> None:
    if value is not None and not least <= value < math.inf:  # written so that NaN fails
        option = re.sub("_(m2?|px)$", "", name).replace("_", "-")  # as the command line calls it, without the unit
        raise QueryError(f"--{option}", found=repr(value), wanted=f"a number, at least {least}", remedy="correct it")


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
