"""Are the outputs of a run still what was written: checksums, COGs, values, geometries, records that agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from odc.geo.crs import CRS
from rasterio.errors import RasterioError

from geomtrs.inputs import InputFile, changes, fingerprint
from geomtrs.outputs import checksums, record, stac
from geomtrs.outputs.raster import may_lack_place, pieces
from tiling.blend import SCALE, UNOBSERVED
from tiling.errors import OutputError
from tiling.stack import OBSERVED


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written: the file (relative to the folder) and what is wrong, in a few words."""

    file: str
    what: str

    def __str__(self) -> str:
        """`mask.tif: other bytes than were written`."""
        return f"{self.file}: {self.what}"


def verify(folder: Path) -> list[Finding]:
    """Everything that is wrong with the outputs of a finished run; empty when they are sound.

    Raises OutputError when the folder is not that of a finished run.
    """
    if not (folder / record.NAME).exists() and not (folder / checksums.NAME).exists():
        raise OutputError(
            folder, found=f"no {record.NAME}", wanted="the folder of a finished run", remedy="check the path"
        )
    findings = list(_bytes(folder))
    damaged = {finding.file for finding in findings}
    try:
        run = record.read_run(folder)
    except OutputError as error:
        return findings if record.NAME in damaged else [*findings, Finding(record.NAME, error.found)]
    # What is damaged is named once; reading it would only say the same in worse words.
    sound = [output for output in run["outputs"] if output["file"] not in damaged]
    for output in sound:
        if not (folder / output["file"]).exists():
            findings.append(Finding(output["file"], "missing, though run.json names it"))
        elif output["role"] in {"mask", "probability", "coverage"}:
            findings += _raster(folder, output, run)
        elif output["role"] == "polygons":
            findings += _polygons(folder, output, run)
        elif output["role"] == "item":
            findings += _item(folder, output)
    return list(dict.fromkeys(findings))


def input_notes(folder: Path) -> tuple[str, ...]:
    """Which images are no longer what they were when the run read them; no fault of the outputs, but worth a word."""
    job = record.read_run(folder)["job"]
    before = [InputFile.from_dict(file) for file in job["inputs"]]
    return changes(before, fingerprint(file.path for file in before))


def _bytes(folder: Path) -> Iterator[Finding]:
    try:
        entries = checksums.read_checksums(folder)
    except FileNotFoundError:
        yield Finding(checksums.NAME, "missing")
        return
    except (OSError, ValueError) as error:
        yield Finding(checksums.NAME, f"does not read: {error}")
        return
    for name, wanted in entries.items():
        path = folder / name
        what = checksums.difference(path, wanted) if path.exists() else "missing"
        if what:
            yield Finding(name, what)
    if record.NAME not in entries:
        yield Finding(checksums.NAME, f"does not hold {record.NAME}")


def _raster(folder: Path, output: dict[str, Any], run: dict[str, Any]) -> Iterator[Finding]:
    name = output["file"]
    try:
        with may_lack_place(), rasterio.open(folder / name) as raster:
            if raster.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") != "COG":
                yield Finding(name, "not a Cloud Optimized GeoTIFF")
            grid = run["grid"]
            crs = None if grid["crs"] is None else CRS(grid["crs"])
            if list(raster.shape) != grid["shape"] or raster.transform != Affine(*grid["transform"]):
                yield Finding(name, "on another grid than run.json says")
            elif (CRS(raster.crs.to_wkt()) if raster.crs else None) != crs:
                yield Finding(name, "in another CRS than run.json says")
            if output["query"] is not None and raster.descriptions[0] != output["query"]:
                yield Finding(name, "answers another sentence than run.json says")
            what = _values(raster, output["role"], folder / "coverage.tif")
            if what:
                yield Finding(name, what)
    except RasterioError as error:
        yield Finding(name, f"does not read ({error})")


def _values(raster: rasterio.DatasetReader, role: str, coverage: Path) -> str | None:
    """What is wrong with the values of a raster, read piece by piece."""
    if role == "coverage":
        return None
    highest = 1 if role == "mask" else SCALE
    for window in pieces(raster.height, raster.width):
        values = raster.read(1, window=window)
        if ((values > highest) & (values != UNOBSERVED)).any():
            return f"values other than 0..{highest} and {UNOBSERVED}"
        if coverage.exists():
            with rasterio.open(coverage) as codes:
                if not np.array_equal(codes.read(1, window=window) != OBSERVED, values == UNOBSERVED):
                    return f"observed elsewhere than {coverage.name} says"
    return None


def _polygons(folder: Path, output: dict[str, Any], run: dict[str, Any]) -> Iterator[Finding]:
    """Geometries valid, and in a GeoPackage as many for each sentence and pair as run.json says."""
    name = output["file"]
    if not name.endswith((".gpkg", ".fgb", ".shp", ".geojson")):
        return  # a Parquet file is covered by its checksum; its geometries are those of the GeoPackage
    path = folder / name
    try:
        layers = [str(layer) for layer in pyogrio.list_layers(path)[:, 0] if layer != "layer_styles"]
        count = 0
        for layer in layers:
            _, _, geometry, _ = pyogrio.raw.read(path, layer=layer, columns=[])
            count += len(geometry)
            if not shapely.is_valid(shapely.from_wkb(geometry)).all():
                yield Finding(name, f"layer {layer} holds invalid geometries")
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, shapely.errors.ShapelyError) as error:
        yield Finding(name, f"does not read ({error})")
        return
    wanted = sum(query["polygons"] for query in run["queries"])
    if name.endswith(".gpkg") and count != wanted:
        yield Finding(name, f"{count} polygons, {wanted} in run.json")


def _item(folder: Path, output: dict[str, Any]) -> Iterator[Finding]:
    name = output["file"]
    try:
        document = json.loads((folder / name).read_bytes())
        missing = [asset["href"] for asset in document["assets"].values() if not (folder / asset["href"]).exists()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield Finding(name, f"does not read ({error})")
        return
    if document.get("stac_version") != stac.STAC_VERSION:
        yield Finding(name, f"not a STAC {stac.STAC_VERSION} item")
    for href in missing:
        yield Finding(name, f"names {href}, which is missing")
