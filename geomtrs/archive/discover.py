"""SOURCE → scenes: a folder of rasters, a table of pairs, a STAC catalogue."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import shapely
from odc.geo.crs import CRS
from odc.geo.geom import Geometry
from shapely.geometry import shape

from geomtrs.archive.pairing import scenes_of
from geomtrs.archive.scene import Image, Scene, Selection, place_of, safe_name, told_apart
from geomtrs.archive.table import read_table
from geomtrs.dates import Dated, in_name
from geomtrs.errors import QueryError
from geomtrs.inputs import date_of
from geomtrs.outputs.checksums import listed
from geomtrs.outputs.stac import footprint
from tiling.errors import TilingError
from tiling.grid import source_geobox
from tiling.ground import aoi_in

SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")
TABLES = (".csv", ".parquet", ".pq", ".geoparquet")


def discover(source: str, selection: Selection, aoi: Geometry | None = None) -> list[Scene]:
    """The scenes of a source, each with a name of its own; those beside the area of interest are skipped.

    Raises QueryError for a source that is none, or a table that lacks a column.
    """
    path = Path(source)
    if "://" not in source and path.is_dir():
        scenes = _folder(path, selection)
    elif path.suffix.lower() in TABLES and "://" not in source:
        scenes = read_table(path, selection.assume_crs)
    elif "://" in source or path.suffix.lower() == ".json":
        from geomtrs.archive.stac import stac_images

        images, left = stac_images(source, selection)
        scenes = told_apart([*scenes_of(images, series=selection.series), *left])
    else:
        raise QueryError(
            source,
            found="no such folder" if not path.exists() else "another file",
            wanted="a folder of rasters, a CSV or Parquet of pairs, or a STAC catalogue (JSON)",
            remedy="check the path",
        )
    return scenes if aoi is None else _inside(scenes, aoi)


def _folder(folder: Path, selection: Selection) -> list[Scene]:
    images, broken = [], []
    unlisted: list[OSError] = []
    for path in _rasters(folder, selection, unlisted):
        name = safe_name(*path.relative_to(folder.absolute()).parent.parts, place_of(path.stem))
        try:
            images.append(_image(path, folder, name, selection.assume_crs))
        except TilingError as error:
            whole = safe_name(*path.relative_to(folder.absolute()).parent.parts, path.stem)
            broken.append(Scene(whole, (str(path),), status="failed", reason=str(error)))
    for shut in unlisted:
        whole = safe_name(*Path(shut.filename).relative_to(folder.absolute()).parts)
        reason = f"{shut.filename}: a folder that cannot be listed ({shut.strerror})"
        broken.append(Scene(whole, (shut.filename,), status="failed", reason=reason))
    return told_apart([*scenes_of(images, series=selection.series), *broken])


def _rasters(folder: Path, selection: Selection, unlisted: list[OSError]) -> Iterator[Path]:
    """Rasters of a tree in order of their paths; nothing hidden, nothing of an earlier answer.

    unlisted  gets the errors of folders that cannot be looked into
    """
    top = folder.resolve()
    seen = {top, *([Path(selection.without).resolve()] if selection.without else [])}
    for here, folders, files in os.walk(folder.absolute(), followlinks=True, onerror=unlisted.append):
        folders[:] = [n for n in sorted(folders) if not n.startswith(".") and _first(Path(here, n), top, seen)]
        for name in sorted(set(files) - listed(Path(here))):
            known = name.lower().endswith(SUFFIXES) if selection.pattern is None else True
            if known and not name.startswith(".") and fnmatch.fnmatch(name, selection.pattern or "*"):
                yield Path(here, name)


def _first(folder: Path, top: Path, seen: set[Path]) -> bool:
    """Whether a folder was not looked into yet, nor will be by its own name; `seen` are those that were."""
    real = folder.resolve()
    if real in seen or (folder.is_symlink() and real.is_relative_to(top)):
        return False
    seen.add(real)
    return True


def _image(path: Path, top: Path, name: str, assume_crs: str | None) -> Image:
    geobox = source_geobox(path, assume_crs)
    dated, told = _date(path, top)
    note = {"note": dated.note} if dated.note else {}
    return Image(
        href=str(path),
        name=name,
        place=place_of(path.stem),
        date=dated.text,
        ground=shape(footprint(geobox)[0]),
        pixels=int(geobox.height * geobox.width),
        told=told,
        **note,
    )


def _date(path: Path, top: Path) -> tuple[Dated, bool]:
    """By name and tags, as detect does; else by the nearest folder that is called after one date."""
    named = in_name(path.name)
    found = named if named.text else date_of([str(path)])
    if found.text or found.note:
        return found, False
    inside = path.parent.relative_to(top.absolute()).parts
    return next(((dated, True) for part in reversed(inside) if (dated := in_name(part)).text), (found, False))


def _inside(scenes: Sequence[Scene], aoi: Geometry) -> list[Scene]:
    """Scenes that share no ground with the area of interest are skipped."""
    area = aoi_in(aoi, CRS("EPSG:4326"))
    shapely.prepare(area)
    return [
        replace(scene, status="skipped", reason="outside the area of interest")
        if scene.status == "pending"
        and not scene.aoi
        and not scene.ground.is_empty
        and not area.intersects(scene.ground)
        else scene
        for scene in scenes
    ]
