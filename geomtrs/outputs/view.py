"""An answer as one page of HTML that needs no network: both dates under a swipe, polygons, their table."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, TypeAlias

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image

from geomtrs.outputs.furniture import ground_of
from geomtrs.outputs.outlines import Outlines, outlines
from geomtrs.outputs.pictures import encoded, read_pictures
from geomtrs.outputs.record import crs_name
from geomtrs.outputs.style import ANSWER_COLOUR
from tiling.errors import TilingError
from tiling.grid import geobox_from_dict
from tiling.ground import lonlat
from tiling.stack import Stack

# Sentence, date before, date after.
_Asked: TypeAlias = tuple[str, str | None, str | None]
# Degrees are told between nodes of a lattice: over a scene of 50 km in UTM they are off by less than 1e-5 of it.
LATTICE = 16
# Of each polygon, in this order; the sentence and the dates are those of its answer.
SHOWN = ("id", "area_m2", "area_px", "perimeter", "prob_mean", "prob_max", "exist_p", "edge", "sliver")
_DIGITS = {"area_m2": 1, "perimeter": 1, "prob_mean": 3, "prob_max": 3, "exist_p": 3}


def view_page(run: Mapping[str, Any], polygons: geopandas.GeoDataFrame, *, notes: Sequence[str] = ()) -> str:
    """A whole page of at most 5 MB, on its own or as the `srcdoc` of an iframe; nothing in it is fetched.

    run       what run.json says; the images that it names are read again, and left out with a note where they are gone
    polygons  of all sentences and pairs
    notes     what else the reader should know

    Only the script of the page may run: its hash is in the page's policy, so no sentence can become code.
    """
    geobox = geobox_from_dict(run["grid"])
    pictures, missing = _pictures(run)
    sources, scale = encoded(pictures)
    reduction = geobox.shape.x / (pictures[0].width * scale) if pictures else 1.0
    drawn = outlines(polygons, geobox, finest_px=reduction)
    rows = _rows(polygons, drawn)
    pairs = [(run["dates"][before], run["dates"][after]) for before, after in run["pairs"]]
    document = {
        "grid": _grid(geobox),
        "dates": list(run["dates"]),
        "pictures": sources,
        "pairs": [list(pair) for pair in run["pairs"]],
        "answers": [
            {"text": query["text"], "pair": number, "rows": rows.get((query["text"], *dates), [])}
            for query in run["queries"]
            for number, dates in enumerate(pairs)
        ],
        "fields": list(SHOWN),
        "outlines": drawn.rings,
        "step": drawn.step,
        "colour": list(ANSWER_COLOUR),
        "notes": [*notes, *missing, *_unclear(pairs), *_reduced(geobox, reduction), *drawn.notes],
    }
    return _assembled(document, title=run["queries"][0]["text"])


def _pictures(run: Mapping[str, Any]) -> tuple[list[Image.Image], list[str]]:
    """The dates in the order of the run; none, and a note, where they cannot be read any more."""
    try:
        return read_pictures(Stack.from_dict(run["stack"])), []
    except TilingError as error:
        return [], [f"the images cannot be read any more: {error}"]


def _unclear(pairs: Sequence[tuple[str | None, str | None]]) -> list[str]:
    """Polygons carry dates, not the number of their pair."""
    if len(set(pairs)) == len(pairs):
        return []
    return ["several pairs have the same dates, or none: each of them shows the polygons of all"]


def _rows(polygons: geopandas.GeoDataFrame, drawn: Outlines) -> dict[_Asked, list[list[float | None]]]:
    """By answer: what is told of each polygon, its outline's number first, the largest polygon first."""
    rows: dict[_Asked, list[list[float | None]]] = defaultdict(list)
    table = polygons.drop(columns="geometry").iloc[drawn.rows]
    for number, row in enumerate(table.to_dict("records")):
        dates = (None if pd.isna(row[name]) else row[name] for name in ("date_from", "date_to"))
        rows[row["query"], *dates].append([number, *(_plain(row[name], _DIGITS.get(name)) for name in SHOWN)])
    return rows


def _plain(value: float | None, digits: int | None) -> float | None:
    if value is None or pd.isna(value):  # without a CRS there is no area
        return None
    return int(value) if digits is None else round(float(value), digits)


def _grid(geobox: GeoBox) -> dict[str, Any]:
    """Where pixels lie: in the CRS by six numbers, in degrees at the nodes of a lattice."""
    height, width = geobox.shape
    ground = ground_of(geobox)
    return {
        "width": width,
        "height": height,
        "aspect": ground.pixel_aspect,
        "metres": ground.metres and ground.metres[1],
        "north": ground.north,
        "crs": crs_name(geobox.crs) or ("CRS" if geobox.crs else None),
        "transform": list(geobox.affine)[:6],
        "lattice": None if geobox.crs is None else _lattice(geobox),
    }


def _lattice(geobox: GeoBox) -> dict[str, Any]:
    height, width = geobox.shape
    rows, columns = np.mgrid[0 : LATTICE + 1, 0 : LATTICE + 1] / LATTICE
    lon, lat = lonlat(geobox, columns.ravel() * width, rows.ravel() * height)
    lon = np.unwrap(lon.reshape(rows.shape), period=360, axis=1)  # a scene across 180 degrees has no jump inside
    return {"n": LATTICE, "lon": _degrees(lon.ravel()), "lat": _degrees(lat)}


def _degrees(values: NDArray[np.float64]) -> list[float | None]:
    return [round(value, 7) if np.isfinite(value) else None for value in values.tolist()]


def _reduced(geobox: GeoBox, reduction: float) -> list[str]:
    if reduction <= 1:
        return []
    height, width = geobox.shape
    return [
        f"images of {width:,} × {height:,} px, shown at 1:{reduction:.3g}; polygons and figures are those of the whole"
    ]


def _assembled(document: Mapping[str, object], *, title: str) -> str:
    """Template, style, script and data in one page; the data cannot end its own element."""
    parts = resources.files("geomtrs.outputs") / "page"
    style, script = ((parts / name).read_text(encoding="utf-8") for name in ("view.css", "view.js"))
    data = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = (parts / "view.html").read_text(encoding="utf-8")
    # The data last: what it holds is never searched for the others' places.
    for place, text in (("title", html.escape(title)), ("allowed", allowed), ("style", style), ("script", script)):
        page = page.replace(f"{{{{{place}}}}}", text, 1)
    head, _, tail = page.partition("{{data}}")
    return f"{head}{data}{tail}"
