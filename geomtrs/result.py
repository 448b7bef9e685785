"""What a run left in its folder, opened when it is looked at: arrays, polygons, picture, record."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from geomtrs.errors import MissingExtra
from geomtrs.options import AskOptions
from geomtrs.outputs.encoding import data_uri
from geomtrs.outputs.record import read_run
from geomtrs.query import Query
from tiling.errors import OutputError

if TYPE_CHECKING:
    import folium
    import geopandas
    import xarray
    from PIL import Image

# Rows of the table that a notebook shows, the largest first; previews that it embeds, each about 1 MB.
TABLE_ROWS = 10
PREVIEWS = 4
CHUNK_PX = 2048
_FRAME = "width:100%;height:600px;border:1px solid #d9dce1;border-radius:4px"


@dataclass(frozen=True)
class ChangeResult:
    """The answers in a folder; nothing is read before it is asked for.

    >>> answer = ChangeResult(Path("out"))  # doctest: +SKIP
    >>> answer.polygons.area_m2.sum()  # doctest: +SKIP

    Raises OutputError, at first use, where the folder holds no finished run.
    """

    folder: Path

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """A path of any kind becomes a Path."""
        object.__setattr__(self, "folder", Path(folder))

    @cached_property
    def run(self) -> dict[str, Any]:
        """What run.json says (geomtrs.outputs.record tells of its keys)."""
        return read_run(self.folder)

    @property
    def queries(self) -> tuple[str, ...]:
        """The sentences, in the order they were asked."""
        return tuple(query["text"] for query in self.run["queries"])

    @property
    def mask(self) -> xarray.DataArray:
        """1 where the sentence holds, 0 where not, 255 where not observed: uint8, read when computed.

        (y, x) for one answer; (answer, y, x) for several sentences or pairs, with `query`, `date_from` and `date_to`
        along `answer`.
        """
        return self._rasters("mask")

    @property
    def probability(self) -> xarray.DataArray:
        """0 to 1, NaN where not observed: float32, dimensions as those of `mask`."""
        return self._rasters("probability")

    @property
    def coverage(self) -> xarray.DataArray:
        """Why a pixel was or was not looked at, (y, x) uint8: codes as in `run["coverage"]`."""
        return self._rasters("coverage")

    @cached_property
    def polygons(self) -> geopandas.GeoDataFrame:
        """All changed things, one row each; `query` tells the sentences apart, an empty answer has all columns."""
        path = self.folder / self._files("polygons", ".gpkg")[0]["file"]
        return _layers(path, [query["layer"] for query in self.run["queries"]])

    def area_m2(self) -> float:
        """Ground of all polygons together, by their column alone; 0 for plain pictures, whose polygons have none."""
        import numpy as np
        import pyogrio

        path = self.folder / self._files("polygons", ".gpkg")[0]["file"]
        columns = [
            pyogrio.raw.read(path, layer=query["layer"], columns=["area_m2"], read_geometry=False)[3][0]
            for query in self.run["queries"]
        ]
        return float(sum(np.nansum(column) for column in columns))

    @cached_property
    def tracks(self) -> geopandas.GeoDataFrame:
        """The polygons of three or more dates, `track` telling which are one thing, with `first_seen`, `last_seen`.

        >>> answer.tracks.groupby(["query", "track", "date_to"]).area_m2.sum()  # doctest: +SKIP

        Raises OutputError for two dates, between which nothing can be followed.
        """
        files = self._files("tracks")
        if not files:
            raise OutputError(
                self.folder, found="one pair of dates", wanted="several", remedy="run detect over three dates or more"
            )
        layers = [query["layer"].replace("changes", "tracks", 1) for query in self.run["queries"]]
        return _layers(self.folder / files[0]["file"], layers)

    @property
    def preview(self) -> Image.Image:
        """The picture of the first answer; all of them lie in the folder as preview*.png."""
        from PIL import Image

        with Image.open(self.folder / self._files("preview")[0]["file"]) as picture:
            picture.load()
            return picture

    def ask(self, query: str | Query | Sequence[str | Query], **options: Unpack[AskOptions]) -> ChangeResult:
        """The answers to further sentences about this scene, from the image features that its run kept.

        See geomtrs.ask: they lie in a folder inside this one. Raises JobError where none were kept.
        """
        # A layer above this one: found when it is needed, as the public names are.
        answered: ChangeResult = import_module("geomtrs.again").ask(self.folder, query, **options)
        return answered

    def to_file(self, path: str | os.PathLike[str]) -> Path:
        """All polygons in one layer of another file; its suffix (.gpkg, .shp, .parquet, .fgb, .geojson) is the format.

        Those of several sentences are numbered through: their layers begin at 1 each. The path that is returned has
        the suffix in small letters. Raises OutputError where it cannot be written.
        """
        from geomtrs.outputs import vector

        target, table = Path(path), self.polygons
        target = target.with_suffix(target.suffix.lower())
        if len(self.queries) > 1:
            table = table.assign(id=range(1, len(table) + 1))
        vector.write(target, {target.stem: table}, {target.stem: "; ".join(self.queries)})
        return target

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """The answer as one page that works without a network: swipe between dates, polygons, their table.

        Raises OutputError where it cannot be written.
        """
        from geomtrs.outputs.publish import publish

        target = Path(path)
        publish(target, self._page.encode())
        return target

    def explore(self) -> folium.Map:
        """The polygons on a map that can be moved; its background comes from the internet.

        Raises MissingExtra without folium, OutputError for plain pictures, which have no place on it.
        """
        try:
            import folium
        except ImportError as error:
            raise MissingExtra(
                "folium", found="not installed", wanted="a map", remedy="pip install 'geomtrs[notebook]'"
            ) from error
        from geomtrs.outputs.lonlat import in_lonlat

        if self.polygons.crs is None:
            wanted, remedy = "a place on the ground", "look at .preview, or write a page with .to_html"
            raise OutputError(self.folder, found="polygons without a CRS", wanted=wanted, remedy=remedy)
        drawn = folium.Map()
        fields = ["query", "date_from", "date_to", "area_m2", "prob_mean"]
        shown = in_lonlat(self.polygons[[*fields, "geometry"]])
        if len(shown):
            west, south, east, north = (float(side) for side in shown.total_bounds)
            folium.GeoJson(shown, tooltip=folium.GeoJsonTooltip(fields)).add_to(drawn)
            drawn.fit_bounds([(south, west), (north, east)])
        return drawn

    def __repr__(self) -> str:
        """The folder alone: a run in progress may be there."""
        return f"ChangeResult({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """A map, totals, and folded away pictures and the largest polygons: one piece of HTML that needs no network.

        The map is a page in a frame of its own, which may run its script and nothing else. Where a notebook is shown
        without scripts, what is folded away remains.
        """
        page = html.escape(self._page)
        map_ = f'<iframe sandbox="allow-scripts" title="map" style="{_FRAME}" srcdoc="{page}"></iframe>'
        pictures = "".join(_picture(self.folder / output["file"]) for output in self._files("preview")[:PREVIEWS])
        place = f"<p><code>{html.escape(str(self.folder))}</code></p>"
        folded = f"<details><summary>pictures, largest polygons</summary>{pictures}{_table(self.polygons)}</details>"
        return f"<div>{map_}<p>{_totals(self.run)}</p>{folded}{place}</div>"

    @cached_property
    def _page(self) -> str:
        from geomtrs.outputs.verify import input_notes
        from geomtrs.outputs.view import view_page

        return view_page(self.run, self.polygons, notes=input_notes(self.folder))

    def _files(self, role: str, suffix: str = "") -> list[dict[str, Any]]:
        return [one for one in self.run["outputs"] if one["role"] == role and one["file"].endswith(suffix)]

    def _rasters(self, role: str) -> xarray.DataArray:
        import xarray

        outputs = self._files(role)
        arrays = [_raster(self.folder / output["file"], scaled=role == "probability") for output in outputs]
        if len(arrays) == 1:
            return arrays[0].rename(role)
        joined = xarray.concat(arrays, dim="answer", join="override", combine_attrs="drop_conflicts")
        labels = {key: ("answer", [output[key] for output in outputs]) for key in ("query", "date_from", "date_to")}
        return joined.assign_coords(labels).rename(role)


def _layers(path: Path, names: Sequence[str]) -> geopandas.GeoDataFrame:
    """Layers of a GeoPackage below each other."""
    import geopandas
    import pandas as pd

    layers = [geopandas.read_file(path, layer=name, use_arrow=True) for name in names]
    # An empty layer has no say in the types of the whole; one of them stands for all when nothing was found.
    filled = [layer for layer in layers if len(layer)] or layers[:1]
    return geopandas.GeoDataFrame(pd.concat(filled, ignore_index=True), crs=layers[0].crs)


def _raster(path: Path, *, scaled: bool) -> xarray.DataArray:
    """One band, lazily: (y, x), as stored, or as true values with NaN for nodata."""
    import odc.geo.xr  # .odc of what is returned
    import rioxarray
    import xarray

    from geomtrs.outputs.raster import may_lack_place

    del odc
    with may_lack_place():
        array = rioxarray.open_rasterio(path, chunks={"x": CHUNK_PX, "y": CHUNK_PX}, mask_and_scale=scaled)
    assert isinstance(array, xarray.DataArray)  # several datasets come of formats that these files are not
    return array.squeeze("band", drop=True)


def _picture(path: Path) -> str:
    data = data_uri(path.read_bytes(), "png")
    return f'<img alt="{html.escape(path.name)}" style="max-width:100%" src="{data}">'


def _totals(run: dict[str, Any]) -> str:
    """How much was found for each sentence, and how much ground was and was not observed."""
    counts = [f"“{html.escape(query['text'])}”: {query['polygons']} found" for query in run["queries"]]
    grounds = [f"{html.escape(total['meaning'])} {_amount(total)}" for total in run["coverage"]]
    return "<br>".join([*counts, " · ".join(grounds)])


def _amount(total: dict[str, Any]) -> str:
    return f"{total['pixels']:,} px" if total["area_m2"] is None else area_text(total["area_m2"])


def area_text(area_m2: float) -> str:
    """An area in the unit that reads best: "320 m²", "4.1 ha", "12.0 km²"."""
    if area_m2 < 10_000:
        return f"{area_m2:,.0f} m²"
    return f"{area_m2 / 1e4:,.1f} ha" if area_m2 < 1e6 else f"{area_m2 / 1e6:,.1f} km²"


def _table(polygons: geopandas.GeoDataFrame) -> str:
    """The largest polygons as an HTML table; words when there are none."""
    if not len(polygons):
        return "<p>nothing found</p>"
    size = "area_m2" if polygons["area_m2"].notna().any() else "area_px"
    rows = polygons.nlargest(TABLE_ROWS, size)
    head = ("sentence", "from", "to", "size", "mean probability", "at the edge of what was observed")
    lines = [_row("th", head)]
    for row in rows.itertuples():
        area = area_text(row.area_m2) if size == "area_m2" else f"{row.area_px:,} px"
        edge = "yes" if row.edge else ""
        lines.append(
            _row("td", (row.query, row.date_from or "", row.date_to or "", area, f"{row.prob_mean:.2f}", edge))
        )
    more = f"<p>and {len(polygons) - len(rows):,} smaller ones</p>" if len(polygons) > len(rows) else ""
    return f"<table>{''.join(lines)}</table>{more}"


def _row(tag: str, cells: Sequence[object]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
