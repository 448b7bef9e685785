"""A table of pairs → scenes: columns before, after and, where they are told, scene_id, date_before, date_after, aoi."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
import shapely
from shapely.geometry import shape

from geomtrs.archive.scene import Image, Scene, place_of, safe_name, scene_name, told_apart
from geomtrs.dates import in_name, parse
from geomtrs.errors import QueryError
from geomtrs.options import located
from geomtrs.outputs.stac import footprint
from tiling.aoi import bbox_of
from tiling.errors import TilingError
from tiling.grid import source_geobox

_COLUMNS = ("before", "after")


def read_table(path: Path, assume_crs: str | None = None) -> list[Scene]:
    """A scene a row. Raises QueryError for a table that lacks a column, or names two rows alike."""
    try:
        frame = (
            pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            if path.suffix.lower() == ".csv"
            else pd.read_parquet(path)
        )
    except (OSError, ValueError) as error:
        found = "no such file" if not path.exists() else f"a table that does not read ({error})"
        raise QueryError(path, found=found, wanted="a CSV or Parquet", remedy="check the path") from error
    missing = [column for column in _COLUMNS if column not in frame.columns]
    if missing:
        raise QueryError(
            path,
            found=f"columns {', '.join(map(str, frame.columns))}",
            wanted="before, after (and scene_id, date_before, date_after, aoi)",
            remedy=f"add {', '.join(missing)}",
        )
    rows = [{str(key): _text(value) for key, value in row.items()} for row in frame.to_dict("records")]
    scenes = told_apart([_row(number, row, path, assume_crs) for number, row in enumerate(rows, start=1)])
    named = [row["scene_id"] for row in rows if row.get("scene_id")]
    twice = sorted({name for name in named if named.count(name) > 1}) if len(set(named)) < len(named) else []
    if twice:
        raise QueryError(path, found=f"scene_id {twice[0]} twice", wanted="one row each", remedy="name them apart")
    return scenes


def _row(number: int, row: dict[str, str], table: Path, assume_crs: str | None) -> Scene:
    paths = tuple(_beside(row[column], table) for column in _COLUMNS)
    told = [row.get("date_before"), row.get("date_after")]
    given = row.get("scene_id") or ""
    if given and safe_name(given) != given:
        raise QueryError(
            f"{table} row {number}",
            found=f"scene_id {given!r}",
            wanted="letters, digits, - _ . alone, at most 80",
            remedy=f"for example {safe_name(given)}",
        )
    aoi = row.get("aoi") or None
    if aoi is not None and bbox_of(aoi) is None:
        aoi = _beside(aoi, table)
    if not all(paths):
        missing = _COLUMNS[paths.index("")]
        return Scene(given or f"row-{number}", paths, status="failed", reason=f"row {number} names no {missing}")
    try:
        dates = parse(told, 2) if any(told) else None
    except QueryError as error:
        return Scene(given or f"row-{number}", paths, status="failed", reason=f"row {number}: {error}")
    found = [_probe(image, dates[n] if dates else None, assume_crs) for n, image in enumerate(paths)]
    ground = shapely.intersection(found[0].ground, found[1].ground)
    share = ground.area / found[0].ground.area if found[0].ground.area else 0.0
    pixels = round(found[0].pixels * share) if found[0].pixels is not None else None
    known = tuple(image.date for image in found) if dates else None
    return Scene(given or scene_name(found), paths, known, ground, aoi, pixels=pixels)


def _probe(href: str, date: str | None, assume_crs: str | None) -> Image:
    """What can be said of a named image; of one that does not open nothing, and detect will say why."""
    stem = PurePath(href.partition("?")[0]).stem
    named = Image(href, safe_name(place_of(stem)), place_of(stem), date or in_name(href).text, shapely.Polygon())
    try:
        geobox = source_geobox(href, assume_crs)
    except TilingError:
        return named
    return replace(named, ground=shape(footprint(geobox)[0]), pixels=int(geobox.height * geobox.width))


def _beside(path: str, table: Path) -> str:
    """A path of a table, relative to where the table lies."""
    if not path or "://" in path or path.startswith("/vsi"):
        return path
    return located(table.absolute().parent / path)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a cell of a table holds
    """A cell as text: days in ISO, whole numbers without a point, nothing for what is missing."""
    if value is None or pd.isna(value):
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())[:10]
    return f"{value:.0f}" if isinstance(value, float) else str(value).strip()
