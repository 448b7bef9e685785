"""What became of a batch: summary.html for people, failures.geojson for the next one who looks after it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from pathlib import Path

import geopandas
import shapely
from shapely.geometry import mapping

from geomtrs.archive.ledger import Row
from geomtrs.clock import time_text
from geomtrs.outputs.encoding import data_uri, jpeg
from geomtrs.outputs.publish import json_bytes, publish
from geomtrs.query import Query
from geomtrs.result import ChangeResult, area_text

# Some 30 kB each: a page of more of them no longer opens at once.
PICTURES = 120
PICTURE_PX = 640
ROWS = 5000
MAP_PX = (680, 300)
COLOURS = {"done": "#2a7de1", "failed": "#d92d20", "skipped": "#98a2b3", "pending": "#c9a227", "running": "#c9a227"}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #6b7280; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.totals { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: 1rem 0 }
.totals b { display: block; font-size: 1.5rem; line-height: 1.2 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top } td.number, th.number { text-align: right }
img { width: 320px; display: block; border-radius: 3px } td.picture { width: 332px } .faint { color: var(--faint) }
.reason { color: #d92d20 } svg { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 3px }
path { stroke-width: 2; stroke-linejoin: round } a { color: inherit }
"""


def write_failures(folder: Path, rows: Sequence[Row]) -> None:
    """failures.geojson: each failed scene with its reason; without one the file is not there.

    Raises OutputError where it cannot be written.
    """
    path = folder / "failures.geojson"
    failed = [row for row in rows if row.status == "failed"]
    if not failed:
        path.unlink(missing_ok=True)
        return
    features = [
        {
            "type": "Feature",
            "geometry": None if row.scene.ground.is_empty else mapping(row.scene.ground),
            "properties": {"scene_id": row.scene.id, "reason": row.reason, "images": list(row.scene.images)},
        }
        for row in failed
    ]
    publish(path, json_bytes({"type": "FeatureCollection", "features": features}))


def summarize(folder: Path, queries: Sequence[Query], rows: Sequence[Row], found: geopandas.GeoDataFrame) -> None:
    """summary.html: totals, a map of the scenes, failures with their reasons, a row and a picture a scene.

    found  the polygons of all scenes, each thing once

    One page that needs no network. Raises OutputError where it cannot be written.
    """
    done = sorted((row for row in rows if row.status == "done"), key=lambda row: -(row.area_m2 or 0))
    title = html.escape(folder.name)
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style><h1>{title}</h1>",
        "".join(f"<div>“{html.escape(query.text)}”</div>" for query in queries),
        _totals(rows, found),
        _map(rows),
        _reasons("Failed", [row for row in rows if row.status == "failed"]),
        _scenes(folder, done),
        _reasons("Left out", [row for row in rows if row.status == "skipped"]),
        "</html>\n",
    ]
    publish(folder / "summary.html", "\n".join(part for part in parts if part).encode())


def _totals(rows: Sequence[Row], found: geopandas.GeoDataFrame) -> str:
    done = [row for row in rows if row.status == "done"]
    states = [row.status for row in rows]
    facts = [
        (f"{len(done):,}", "scenes done"),
        *(
            (f"{states.count(state):,}", label)
            for state, label in (("failed", "failed"), ("skipped", "left out"), ("pending", "pending"))
            if state in states
        ),
        (f"{len(found):,}", "things found"),
        (area_text(float(found["area_m2"].sum())), "of changed ground"),
        (time_text(sum(row.seconds or 0.0 for row in done)), "of computing"),
    ]
    return '<div class="totals">' + "".join(f"<div><b>{value}</b>{label}</div>" for value, label in facts) + "</div>"


def _map(rows: Sequence[Row]) -> str:
    """Outlines of the scenes, north up, degrees of longitude as short as they are at that latitude."""
    placed = [row for row in rows if not row.scene.ground.is_empty][:ROWS]
    if not placed:
        return ""
    west, south, east, north = shapely.total_bounds([row.scene.ground for row in placed])
    narrow = math.cos(math.radians((south + north) / 2))
    scale = min(MAP_PX[0] / max((east - west) * narrow, 1e-9), MAP_PX[1] / max(north - south, 1e-9))
    width, height = (east - west) * narrow * scale, (north - south) * scale
    shapes = []
    for row in placed:
        outline = "".join(
            "M" + " ".join(f"{(x - west) * narrow * scale:.1f},{(north - y) * scale:.1f}" for x, y in ring.coords) + "Z"
            for ring in shapely.get_exterior_ring(shapely.get_parts(row.scene.ground))
        )
        colour, label = COLOURS[row.status], html.escape(f"{row.scene.id}: {row.status}")
        shapes.append(
            f'<path d="{outline}" fill="{colour}" fill-opacity=".25" stroke="{colour}"><title>{label}</title></path>'
        )
    box = f"-4 -4 {width + 8:.0f} {height + 8:.0f}"
    states = [state for state in COLOURS if any(row.status == state for row in placed)]
    legend = " · ".join(f'<span style="color:{COLOURS[state]}">■</span> {state}' for state in states)
    place = f"{west:.4f} to {east:.4f} lon, {south:.4f} to {north:.4f} lat"
    drawing = f'<svg viewBox="{box}" width="{width + 8:.0f}" height="{height + 8:.0f}">{"".join(shapes)}</svg>'
    return f'<h2>Where</h2>{drawing}<div class="faint">{legend} · {place}</div>'


def _scenes(folder: Path, done: Sequence[Row]) -> str:
    """A row a scene, those with most changed ground first."""
    if not done:
        return ""
    head = "<tr><th></th><th>scene</th><th>dates</th><th class='number'>found</th><th class='number'>area</th></tr>"
    lines = []
    for number, row in enumerate(done[:ROWS]):
        result = ChangeResult(folder / row.scene.id)
        dates = " → ".join(date or "?" for date in result.run["dates"])
        picture = _picture(result) if number < PICTURES else ""
        name, note = (
            html.escape(row.scene.id),
            f"<div class='reason'>{html.escape(row.reason)}</div>" if row.reason else "",
        )
        cells = [
            f"<td class='picture'>{picture}</td>",
            f"<td><a href='{name}/{_preview(result)}'>{name}</a>{note}</td>",
            f"<td>{html.escape(dates)}</td>",
            f"<td class='number'>{row.polygons or 0:,}</td>",
            f"<td class='number'>{area_text(row.area_m2 or 0.0)}</td>",
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    more = f"<p>and {len(done) - ROWS:,} more, in ledger.gpkg</p>" if len(done) > ROWS else ""
    return f"<h2>Scenes, most changed ground first</h2><table>{head}{''.join(lines)}</table>{more}"


def _preview(result: ChangeResult) -> str:
    return html.escape(next(output["file"] for output in result.run["outputs"] if output["role"] == "preview"))


def _picture(result: ChangeResult) -> str:
    """The preview, small, as part of the page."""
    picture = result.preview.convert("RGB")
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    return f'<img alt="" src="{data_uri(jpeg(picture, quality=72), "jpeg")}">'


def _reasons(heading: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td>{html.escape(row.scene.id)}</td><td>{html.escape(_briefly(row))}</td></tr>" for row in rows[:ROWS]
    )
    return f"<h2>{heading}: {len(rows):,}</h2><table>{lines}</table>"


def _briefly(row: Row) -> str:
    """Why a scene was not answered, its images by their names alone: ledger.gpkg has their whole paths."""
    reason = row.reason
    for image in row.scene.images:
        reason = reason.replace(image, re.split(r"[/\\]", image)[-1])
    return reason
