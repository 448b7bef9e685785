"""A batch as one QGIS project: all polygons of all scenes, and the ledger, which shows what became of each scene."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import geopandas
import shapely
from odc.geo.crs import CRS

from geomtrs.archive import ledger
from geomtrs.archive.ledger import Row
from geomtrs.archive.summary import COLOURS
from geomtrs.naming import names
from geomtrs.outputs import project, style
from geomtrs.outputs.project import Group, Layer, Project
from geomtrs.query import Query

_LONLAT = CRS("EPSG:4326")
_WORLD = (-180.0, -90.0, 180.0, 90.0)


def show_batch(folder: Path, queries: Sequence[Query], rows: Sequence[Row], found: geopandas.GeoDataFrame) -> None:
    """project.qgz of a batch's folder; `found` are all its polygons. Raises OutputError."""
    layers = names(queries, ("", ""), ((0, 1),)).layers
    days = found[["date_from", "date_to"]]
    dated = len(found) > 0 and not days.isna().any(axis=None)
    polygons = [
        Layer(
            query.text,
            "polygons",
            f"./all.gpkg|layername={layer}",
            _LONLAT,
            style.polygon_renderer(query.text),
            dated=dated,
        )
        for query, layer in zip(queries, layers, strict=True)
    ]
    scenes = Layer("scenes", "polygons", f"./{ledger.NAME}|layername=scenes", _LONLAT, style.status_renderer(COLOURS))
    ground = [row.scene.ground for row in rows if not row.scene.ground.is_empty]
    left, bottom, right, top = shapely.total_bounds(ground).tolist() if ground else _WORLD
    title = "; ".join(query.text for query in queries)
    project.write_project(
        folder / project.NAME,
        Project(
            title,
            _LONLAT,
            (left, bottom, right, top),
            (Group("polygons", polygons), scenes),
            (min(days["date_from"]), max(days["date_to"])) if dated else None,
            token=hashlib.blake2b(f"{title} {[row.scene.id for row in rows]}".encode(), digest_size=8).hexdigest(),
        ),
    )
