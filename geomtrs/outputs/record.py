"""run.json: everything needed to know what a run did, and to repeat it.

format        1
created       when it ended, UTC, ISO 8601
versions      geomtrs, Python, GDAL (of rasterio and of pyogrio), PROJ and the packages that decide results
job           what decides the answer: spec, inputs (path, size, time, header hash), model hash, precision, batch
dates         text or null of each date; pairs: which are compared, as indices
grid          crs (EPSG code or WKT, null without), transform (six numbers), shape (rows, columns),
              pixel_m (metres of a pixel on the ground, x and y)
stack         what was found in the files: alignment, bands, stretch, shift of each date
plan          id, tile_px, halo_px, feather_px, block_tiles, blocks, tiles
device        where the model ran: whatever the caller tells of it
queries       one for each sentence: text, model_text (what the model was asked), layer, polygons
coverage      how much ground has each code of coverage.tif: code, meaning, pixels, area_m2 (null without a CRS)
timing_s      seconds by part
peak_bytes    most memory of all processes together, null when it was not watched
features_bytes   what the image features take that were kept (--keep-features); job.spec.features is the folder of the
              run whose kept features were asked instead of the images, null where the images were
warnings      lines for the user
failed_blocks id, window, file, reason of each block that was given up (--keep-going)
outputs       file, role, query, date_from, date_to of each file of the run but run.json and checksums.json
"""

from __future__ import annotations

import datetime as dt
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from geomtrs.outputs.publish import json_bytes, publish
from geomtrs.outputs.raster import CoverageTotal
from tiling.errors import OutputError
from tiling.grid import geobox_to_dict, ground_resolution_m

NAME = "run.json"
FORMAT = 1
Role = Literal[
    "mask", "probability", "coverage", "polygons", "tracks", "preview", "item", "style", "project", "failures"
]
# Those whose version can change a number in an output.
_PACKAGES = (
    "numpy", "scipy", "torch", "openvino", "rasterio", "pyogrio", "shapely", "pyproj", "odc-geo", "geopandas",
    "pyarrow", "pillow", "dask", "distributed", "tokenizers", "safetensors",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """One file of a run, relative to its folder; `query` is the sentence, None where it is about all of them."""

    file: str
    role: Role
    query: str | None = None
    date_from: str | None = None
    date_to: str | None = None


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """What was found for one sentence between all pairs of dates: `layer` is the name of its polygons."""

    text: str
    model_text: str
    kept: str  # of the finished polygons, by words about the scene; empty where there were none
    layer: str
    polygons: int


def now() -> str:
    """The time, UTC, to the second: `2026-11-24T11:37:05Z`."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What run.json says; the module tells of each field. JSON-able mappings where a field is another part's own."""

    job: Mapping[str, Any]
    dates: Sequence[str | None]
    pairs: Sequence[tuple[int, int]]
    geobox: GeoBox
    stack: Mapping[str, Any]
    plan: Mapping[str, Any]
    device: Mapping[str, Any]
    queries: Sequence[QueryAnswer]
    coverage: Sequence[CoverageTotal]
    timing_s: Mapping[str, float]
    outputs: Sequence[Output]
    peak_bytes: int | None = None
    features_bytes: int = 0
    warnings: Sequence[str] = ()
    failed_blocks: Sequence[Mapping[str, Any]] = ()
    created: str = field(default_factory=now)

    def to_dict(self) -> dict[str, Any]:
        """The document, with the versions of what runs now."""
        return {
            "format": FORMAT,
            "created": self.created,
            "versions": versions(),
            "job": dict(self.job),
            "dates": list(self.dates),
            "pairs": [list(pair) for pair in self.pairs],
            "grid": grid_to_dict(self.geobox),
            "stack": dict(self.stack),
            "plan": dict(self.plan),
            "device": dict(self.device),
            "queries": [asdict(query) for query in self.queries],
            "coverage": [asdict(total) for total in self.coverage],
            "timing_s": {part: round(seconds, 3) for part, seconds in self.timing_s.items()},
            "peak_bytes": self.peak_bytes,
            "features_bytes": self.features_bytes,
            "warnings": list(self.warnings),
            "failed_blocks": [dict(block) for block in self.failed_blocks],
            "outputs": [asdict(output) for output in self.outputs],
        }


def write_run(folder: Path, record: RunRecord) -> dict[str, Any]:
    """run.json of a folder; returns what it says. Raises OutputError when it cannot be written."""
    document = record.to_dict()
    publish(folder / NAME, json_bytes(document))
    return document


def read_run(folder: Path) -> dict[str, Any]:
    """What run.json says. Raises OutputError when there is none, or it does not read."""
    path = folder / NAME
    try:
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError("not a record of this format")
    except (OSError, ValueError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else f"a file that does not read ({error})"
        raise OutputError(
            path, found=found, wanted="the record of a finished run", remedy="check the folder, or run detect again"
        ) from error
    return document


def role_of(name: str) -> Role:
    """What a file is, by the names that product.md gives. Raises ValueError for a name that is no output's."""
    if name == "item.json":
        return "item"
    kind = name.partition(".")[0].partition("_")[0]
    if name.endswith(".qml"):
        return "style"
    roles: dict[str, Role] = {
        "mask": "mask", "probability": "probability", "coverage": "coverage", "changes": "polygons",
        "preview": "preview", "project": "project", "failures": "failures", "tracks": "tracks",
    }  # fmt: skip
    if kind not in roles:
        raise ValueError(f"{name} is not named like an output")
    return roles[kind]


@cache
def versions() -> dict[str, str]:
    """Versions of what decides results; nothing is imported for it that is not already."""
    import pyogrio
    import pyproj
    import rasterio

    found = {"python": platform.python_version(), "platform": platform.platform(), "machine": platform.machine()}
    for package in ("geomtrs", *_PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an optional part that is not installed had no say
    found["gdal (rasterio)"] = str(rasterio.__gdal_version__)
    found["gdal (pyogrio)"] = ".".join(map(str, pyogrio.__gdal_version__))
    found["proj"] = str(pyproj.proj_version_str)
    return found


def grid_to_dict(geobox: GeoBox) -> dict[str, Any]:
    """The grid, and `pixel_m`: metres of a pixel on the ground (x, y), null without a CRS."""
    pixel_m = None if geobox.crs is None else [round(side, 6) for side in ground_resolution_m(geobox)]
    return {**geobox_to_dict(geobox), "pixel_m": pixel_m}


def crs_name(crs: CRS | None) -> str | None:
    """`EPSG:32633`, or None where the CRS has no such code."""
    return f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else None
