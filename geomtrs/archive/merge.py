"""What the scenes of a batch add up to: one table of polygons without doubles, one STAC collection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from geomtrs.archive.ledger import Row
from geomtrs.naming import names
from geomtrs.outputs import vector
from geomtrs.outputs.lonlat import in_lonlat
from geomtrs.outputs.publish import json_bytes, publish
from geomtrs.outputs.stac import STAC_VERSION
from geomtrs.query import Query
from geomtrs.result import ChangeResult
from tiling.errors import OutputError

# Two answers to one question that share more than this part of their common area are one thing seen twice.
SAME_THING = 0.5
FIELDS = {"id": "int64", "scene_id": "string", "scene_fid": "int64", **vector.FIELDS}


def merge(folder: Path, queries: Sequence[Query], rows: Iterable[Row]) -> geopandas.GeoDataFrame:
    """all.parquet, all.gpkg (a layer a sentence) and collection.json of all scenes that are done; the table.

    Raises OutputError where one cannot be written.
    """
    done = [row for row in rows if row.status == "done"]
    found = without_doubles(together(folder, done))
    vector.write(folder / "all.parquet", {"all": found}, {"all": ""})
    layers = names(queries, ("", ""), ((0, 1),)).layers
    tables = {layer: found[found["query"] == query.text] for layer, query in zip(layers, queries, strict=True)}
    vector.write(folder / "all.gpkg", tables, dict(zip(layers, (query.text for query in queries), strict=True)))
    publish(folder / "collection.json", json_bytes(collection(folder, queries, done)))
    return found


def together(folder: Path, rows: Sequence[Row]) -> geopandas.GeoDataFrame:
    """All polygons of the scenes in lon/lat: FIELDS, `scene_fid` is the id within the scene.

    Raises OutputError naming a scene whose polygons were damaged.
    """
    tables = []
    for row in rows:
        try:
            table = ChangeResult(folder / row.scene.id).polygons
        except (DataSourceError, DataLayerError) as error:
            raise OutputError(
                folder / row.scene.id,
                found=f"polygons that do not read ({error})",
                wanted="those that were written",
                remedy="remove this folder: the same command asks the scene again",
            ) from error
        if len(table):
            table = in_lonlat(table)
            tables.append(table.assign(scene_id=row.scene.id, scene_fid=table["id"]))
    if not tables:
        empty = {name: pd.Series(dtype=kind) for name, kind in FIELDS.items()}
        return geopandas.GeoDataFrame(empty, geometry=geopandas.GeoSeries([], crs="EPSG:4326"), crs="EPSG:4326")
    return _numbered(geopandas.GeoDataFrame(pd.concat(tables, ignore_index=True), crs="EPSG:4326"))


def without_doubles(found: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The table less what is in it twice: of things of two scenes, of one question and the same dates, that lie on
    each other (IoU > 0.5), the one of the highest `prob_mean` stays.

    IoU is a ratio of areas, so it is in degrees what it is on the ground.
    """
    geometry = found.geometry.to_numpy()
    words = [found[name].fillna("") for name in ("query", "date_from", "date_to")]
    question = (words[0] + "\x00" + words[1] + "\x00" + words[2]).to_numpy(object)
    scene = found["scene_id"].to_numpy(object)
    first, second = shapely.STRtree(geometry).query(geometry, predicate="intersects")
    rival = (first < second) & (scene[first] != scene[second]) & (question[first] == question[second])
    first, second = first[rival], second[rival]
    shared = shapely.area(shapely.intersection(geometry[first], geometry[second]))
    area = shapely.area(geometry)
    same = shared > SAME_THING * (area[first] + area[second] - shared)
    return _numbered(found[~_outdone(found["prob_mean"].to_numpy(float), first[same], second[same])])


def _outdone(probability: NDArray[np.float64], first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which ones a surer one stands for; of equally sure ones the first stays."""
    gone = np.zeros(len(probability), bool)
    rivals: dict[int, list[int]] = {}
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        rivals.setdefault(a, []).append(b)
        rivals.setdefault(b, []).append(a)
    for one in sorted(rivals, key=lambda n: (-probability[n], n)):
        if not gone[one]:
            gone[rivals[one]] = True
    return gone


def collection(folder: Path, queries: Sequence[Query], rows: Sequence[Row]) -> dict[str, Any]:
    """A STAC collection of the scenes; plain JSON as the items are, with relative addresses."""
    bounds = [shapely.bounds(row.scene.ground) for row in rows if not row.scene.ground.is_empty]
    west, south, east, north = np.array(bounds).T if bounds else np.array([[-180.0], [-90.0], [180.0], [90.0]])
    box = [float(west.min()), float(south.min()), float(east.max()), float(north.max())]
    items = [json.loads((folder / row.scene.id / "item.json").read_bytes()) for row in rows]
    starts = [item["properties"]["start_datetime"] for item in items if "start_datetime" in item["properties"]]
    ends = [item["properties"]["end_datetime"] for item in items if "end_datetime" in item["properties"]]
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": folder.name,
        "title": "; ".join(query.text for query in queries),
        "description": f"Answers to {'; '.join(query.text for query in queries)} over {len(rows)} scenes.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [box]},
            "temporal": {"interval": [[min(starts, default=None), max(ends, default=None)]]},
        },
        "links": [
            {"rel": "root", "href": "./collection.json", "type": "application/json"},
            *(_link(row.scene.id) for row in rows),
        ],
        "assets": {
            "polygons": {
                "href": "./all.parquet",
                "type": "application/vnd.apache.parquet",
                "title": "all changes of all scenes",
                "roles": ["data"],
            },
            "summary": {"href": "./summary.html", "type": "text/html", "title": "summary", "roles": ["overview"]},
        },
    }


def _link(scene_id: str) -> dict[str, str]:
    return {"rel": "item", "href": f"./{scene_id}/item.json", "type": "application/geo+json", "title": scene_id}


def _numbered(found: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Ids from 1, and the fields in their order."""
    numbered = found.assign(id=np.arange(1, len(found) + 1))[[*FIELDS, "geometry"]].reset_index(drop=True)
    return numbered.astype(FIELDS)
