"""ledger.gpkg: every scene of a batch with its state, a layer that a GIS opens while the batch runs.

Each change is one SQLite transaction, so a batch that is killed leaves the state of the last one. Killed within one,
SQLite takes it back when the file is next opened for writing; until then GDAL, opening it only to read, may refuse.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import geopandas
import pandas as pd
import pyogrio
import shapely

from geomtrs.archive.scene import Scene
from geomtrs.errors import JobError
from geomtrs.outputs.vector import UNWRITABLE
from tiling.room import unwritten
from tiling.store import sync_folder

NAME = "ledger.gpkg"
FORMAT = 1
Status = Literal["pending", "running", "done", "failed", "skipped"]

# How long a change waits for somebody who reads, e.g. a GIS that draws the layer.
_WAIT_S = 60.0
_LAYER = "scenes"
_EMPTY_BYTES, _ROW_BYTES = 120_000, 2_000  # measured, rounded up
_CHANGE_BYTES = 64 * 1024  # the pages of one change, in the journal and in the file
# Version 1.2: QGIS 3.22 warns of the 1.4 that GDAL writes by itself.
_OPTIONS = {
    "dataset_options": {"VERSION": "1.2"},
    "layer_options": {"GEOMETRY_NAME": "geom", "SPATIAL_INDEX": "NO"},
}
_FIELDS = {
    "scene_id": "string", "status": "string", "reason": "string", "polygons": "Int64", "area_m2": "Float64",
    "seconds": "Float64", "pixels": "Int64", "images": "string", "dates": "string", "aoi": "string",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger says of a scene; polygons, area_m2 and seconds are None until it is done."""

    scene: Scene
    status: Status
    reason: str
    polygons: int | None
    area_m2: float | None
    seconds: float | None


class Ledger:
    """The open ledger of a batch, for the changes of one scene after the other."""

    def __init__(self, path: Path) -> None:
        """Open a ledger that exists."""
        self.path = path
        self._database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closed: no journal is left beside it."""
        self._database.close()

    def set(self, scene_id: str, status: Status, reason: str = "", **facts: float | None) -> None:
        """The state of one scene, on disk when this returns. Raises OutputError where it is not, and is as before."""
        values = {"status": status, "reason": reason, "polygons": None, "area_m2": None, "seconds": None, **facts}
        columns = ", ".join(f'"{name}" = ?' for name in values)
        self._change(f"UPDATE {_LAYER} SET {columns} WHERE scene_id = ?", (*values.values(), scene_id))

    def forget(self, scene_id: str) -> None:
        """The scene is no longer in it. Raises as `set` does."""
        self._change(f"DELETE FROM {_LAYER} WHERE scene_id = ?", (scene_id,))

    def _change(self, words: str, values: Sequence[object]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            with self._database:
                self._database.execute(words, values)
        except sqlite3.Error as error:
            remedy = "close what has it open, then run the same again"
            raise unwritten(self.path, error, _CHANGE_BYTES, remedy=remedy) from error

    def statuses(self) -> dict[str, str]:
        """The state of every scene by its name."""
        return dict(self._database.execute(f"SELECT scene_id, status FROM {_LAYER}").fetchall())

    @property
    def replaces(self) -> bool:
        """Whether the batch was begun afresh, over what lay in its folder."""
        return bool(self._database.execute("SELECT fresh FROM batch").fetchone()[0])


def create(path: Path, asked: Mapping[str, Any], scenes: Sequence[Scene], *, fresh: bool) -> None:
    """A new ledger, written beside its place and renamed: it is there whole, or not at all.

    asked  what decides the answers, JSON-able

    Raises OutputError where it cannot be written, DiskFullError for want of room.
    """
    temporary = path.with_name(f".ledger.{os.getpid()}-{secrets.token_hex(4)}.gpkg")
    for left in path.parent.glob(".ledger.*.gpkg*"):  # by a batch that was killed here
        left.unlink(missing_ok=True)
    try:
        _append(temporary, scenes)
        words = json.dumps(asked, ensure_ascii=False)
        told = pd.DataFrame({"format": [FORMAT], "asked": [words], "fresh": [int(fresh)]})
        pyogrio.write_dataframe(told, temporary, layer="batch", driver="GPKG", append=True, use_arrow=True)
        with closing(sqlite3.connect(temporary)) as database, database:
            database.execute(f"CREATE UNIQUE INDEX scenes_by_id ON {_LAYER} (scene_id)")
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        temporary.replace(path)
        sync_folder(path.parent)
    except UNWRITABLE as error:
        raise unwritten(path, error, _EMPTY_BYTES + _ROW_BYTES * len(scenes)) from error
    finally:
        temporary.unlink(missing_ok=True)


def add(path: Path, scenes: Sequence[Scene]) -> None:
    """Scenes as new rows of a ledger that is there. Raises OutputError, DiskFullError for want of room."""
    try:
        if scenes:
            _append(path, scenes)
    except UNWRITABLE as error:
        raise unwritten(path, error, _ROW_BYTES * len(scenes)) from error


def _append(path: Path, scenes: Sequence[Scene]) -> None:
    """No spatial index: its triggers need GDAL's functions at every change of a row."""
    records = [
        {
            **dict.fromkeys(_FIELDS),
            "scene_id": scene.id,
            "status": scene.status,
            "reason": scene.reason,
            "images": json.dumps(scene.images, ensure_ascii=False),
            "dates": json.dumps(scene.dates),
            "aoi": scene.aoi,
            "pixels": scene.pixels,
        }
        for scene in scenes
    ]
    ground = [_areas(scene.ground) for scene in scenes]
    frame = geopandas.GeoDataFrame(
        pd.DataFrame(records, columns=list(_FIELDS)).astype(_FIELDS), geometry=ground, crs="EPSG:4326"
    )
    pyogrio.write_dataframe(
        frame,
        path,
        layer=_LAYER,
        driver="GPKG",
        append=path.exists(),
        use_arrow=True,
        geometry_type="MultiPolygon",
        promote_to_multi=True,
        **({} if path.exists() else _OPTIONS),
    )


def rows(path: Path) -> list[Row]:
    """Every scene, in the order in which they were found. Raises JobError for a file that is no ledger."""
    read_asked(path)  # takes back what a batch that was killed half wrote; GDAL alone, reading, could not
    frame = pyogrio.read_dataframe(path, layer=_LAYER, use_arrow=True)
    return [_row(record) for record in frame.to_dict("records")]


def read_asked(path: Path) -> dict[str, Any]:
    """What the batch of a ledger was asked. Raises JobError for a file that is no ledger."""
    try:
        with closing(sqlite3.connect(path)) as database:
            ((number, text),) = database.execute("SELECT format, asked FROM batch").fetchall()
        if number != FORMAT:
            raise ValueError(f"format {number}")
        asked: dict[str, Any] = json.loads(text)
    except (sqlite3.Error, ValueError) as error:
        raise JobError(
            path, found=f"no ledger that reads ({error})", wanted="that of a batch", remedy="start over with --fresh"
        ) from error
    return asked


def _areas(ground: shapely.Geometry) -> shapely.Geometry | None:
    """What of an outline has an area."""
    parts = [part for part in shapely.get_parts(ground) if part.geom_type == "Polygon" and not part.is_empty]
    return shapely.multipolygons(parts) if parts else None


def _row(record: Mapping[str, Any]) -> Row:
    def known(name: str) -> Any:  # noqa: ANN401 - a cell of any column
        return None if pd.isna(record[name]) else record[name]

    def whole(name: str) -> int | None:
        return None if known(name) is None else int(record[name])

    dates = json.loads(known("dates") or "null")
    scene = Scene(
        id=str(record["scene_id"]),
        images=tuple(json.loads(record["images"])),
        dates=None if dates is None else tuple(dates),
        ground=record["geometry"] if record["geometry"] is not None else shapely.Polygon(),
        aoi=known("aoi"),
        pixels=whole("pixels"),
    )
    return Row(scene, record["status"], known("reason") or "", whole("polygons"), known("area_m2"), known("seconds"))
