"""The answers of a run as items: every polygon in a window of both dates, and places where nothing was found."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from geomtrs.craft.audit.items import Item, Side, lot
from geomtrs.craft.audit.sample import Sample, draw
from geomtrs.craft.protocols import Bool
from geomtrs.errors import DataError
from geomtrs.outputs.encoding import jpeg
from geomtrs.outputs.look import mean_of, reduce_pieces
from geomtrs.result import ChangeResult, area_text
from tiling.ground import apply_affine
from tiling.mosaic import GDAL_CACHE_BYTES
from tiling.stack import OBSERVED, Stack

FOUND, NOTHING = "found", "nothing here"
CONTEXT_PX = 256  # a window is never narrower, and twice as wide as its polygon
SHOWN_PX = 1280  # of a window; a larger one is made smaller by a whole factor


@dataclass(frozen=True, slots=True)
class Answer:
    """One sentence between two dates; `outlines` are its polygons in pixels of the grid, row for row of `table`."""

    query: str
    name: str
    dates: tuple[int, int]
    when: str
    table: geopandas.GeoDataFrame
    outlines: NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item lies on the grid: its window, how much smaller it is shown, the row of its polygon, if any."""

    answer: Answer
    window: Window
    factor: int
    row: int | None
    points: tuple[tuple[int, int], ...] = ()  # of the sample, rows and columns of the grid

    @property
    def outline(self) -> shapely.Geometry | None:
        """Its polygon, in pixels of the grid."""
        return None if self.row is None else self.answer.outlines[self.row]


class RunAnswers:
    """The polygons of a run, or a stratified sample of what it found and of where it found nothing."""

    mends_words = False

    def __init__(self, folder: Path, sample: Sample | None = None) -> None:
        """Read the record and the polygons. Raises OutputError where the folder holds no finished run."""
        result = ChangeResult(folder)
        self.folder, self.run, self.title = folder, result.run, folder.resolve().name
        self.stack = Stack.from_dict(self.run["stack"])
        self.answers = _answers(result, self.stack)
        self.places: dict[str, Place] = {}
        if sample is None:
            for answer in self.answers:
                for row in np.argsort(-answer.table["area_px"].to_numpy(), kind="stable").tolist():
                    self._add(answer, row)
            self.items: Sequence[Item] = [self._item(name) for name in self.places]
        else:
            for answer in self.answers:
                self._add_sample(answer, sample)
            shuffled = sorted(self.places, key=lambda name: lot(sample.seed, name))
            self.items = [self._item(name) for name in shuffled]

    @property
    def observed_px(self) -> int:
        """Pixels that were looked at."""
        return sum(int(total["pixels"]) for total in self.run["coverage"] if total["code"] == OBSERVED)

    @property
    def observed_m2(self) -> float | None:
        """Their ground; None for plain pictures."""
        areas = [total["area_m2"] for total in self.run["coverage"] if total["code"] == OBSERVED]
        return None if any(area is None for area in areas) else float(sum(areas))

    def picture(self, item: Item, side: Side) -> bytes:
        """JPEG of one date in the item's window. Raises SourceError where the run's input no longer reads."""
        place = self.places[item.id]
        date = place.answer.dates[side == "after"]

        def read(piece: Window) -> NDArray[np.uint8]:
            return np.asarray(self.stack.read(piece).pixels[date])

        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            pixels = reduce_pieces(read, place.window, place.factor, mean_of)
        return jpeg(np.moveaxis(pixels, 0, -1))

    def mask(self, item: Item) -> Bool:
        """(H, W): the polygon in its window, nothing where nothing was found."""
        place = self.places[item.id]
        return np.zeros(item.shape, bool) if place.outline is None else burnt(place.outline, place.window, place.factor)

    def polygon_id(self, answer: Answer, row: int) -> str:
        """The same for the same polygon in every look; another once the run was made anew and it came out otherwise."""
        geometry = answer.table.geometry.iloc[row]
        digest = hashlib.blake2b(shapely.to_wkb(geometry), digest_size=6).hexdigest()
        return f"{answer.name}-{int(answer.table['id'].iloc[row])}-{digest}"

    def _add(self, answer: Answer, row: int, points: tuple[tuple[int, int], ...] = ()) -> None:
        left, top, right, bottom = shapely.bounds(answer.outlines[row])
        side = max(CONTEXT_PX, 2 * (right - left), 2 * (bottom - top))
        window = self._window((top + bottom) / 2, (left + right) / 2, math.ceil(side))
        factor = math.ceil(max(window.width, window.height) / SHOWN_PX)
        self.places[self.polygon_id(answer, row)] = Place(answer, window, factor, row, points)

    def _add_sample(self, answer: Answer, sample: Sample) -> None:
        with rasterio.open(self.folder / "coverage.tif") as coverage:
            drawn = draw(answer.name, answer.outlines, answer.table["area_px"].to_numpy(), coverage, sample)
        for row, points in drawn.inside.items():
            self._add(answer, row, tuple(points))
        for row, column in drawn.outside:
            place = Place(answer, self._window(row, column, CONTEXT_PX), 1, None, ((row, column),))
            self.places[f"{answer.name}-none-{row}-{column}"] = place

    def _window(self, row: float, column: float, side: int) -> Window:
        """About so large around a point, moved and cut to lie in the grid."""
        height, width = self.stack.geobox.shape
        down, across = min(side, height), min(side, width)
        top = min(max(0, round(row - down / 2)), height - down)
        left = min(max(0, round(column - across / 2)), width - across)
        return Window(left, top, across, down)

    def _item(self, name: str) -> Item:
        place = self.places[name]
        window, factor = place.window, place.factor
        points = tuple((row - window.row_off, column - window.col_off) for row, column in place.points)
        return Item(
            id=name,
            sentence=place.answer.query,
            kind=NOTHING if place.row is None else FOUND,
            thing=place.answer.query,
            pictures=name,
            note=self._note(name),
            shape=(math.ceil(window.height / factor), math.ceil(window.width / factor)),
            points=points if place.row is None else (),
        )

    def _note(self, name: str) -> str:
        place = self.places[name]
        if place.row is None:
            row, column = place.points[0]
            return f"nothing was found at row {row}, column {column} · {place.answer.when}"
        one = place.answer.table.iloc[place.row]
        size = f"{one.area_px:,} px" if np.isnan(one.area_m2) else area_text(one.area_m2)
        return f"polygon {one.id} · {size} · probability {one.prob_mean:.2f} · {place.answer.when}"


def burnt(outline: shapely.Geometry, window: Window, factor: int = 1) -> Bool:
    """(H, W): pixels of a window, or of the smaller picture of it, whose centre lies in a polygon of the grid."""
    shape = (math.ceil(window.height / factor), math.ceil(window.width / factor))
    there = shapely.transform(outline, lambda xy: (xy - (window.col_off, window.row_off)) / factor)
    if there.is_empty:
        return np.zeros(shape, bool)
    return np.asarray(rasterize([there], shape, transform=Affine.identity()) > 0)


def _answers(result: ChangeResult, stack: Stack) -> list[Answer]:
    """Sentence by sentence and pair by pair."""
    run, polygons, inverse = result.run, result.polygons, ~stack.geobox.affine
    pairs: Mapping[tuple[Any, Any], tuple[int, int]] = {
        (run["dates"][first], run["dates"][last]): (first, last) for first, last in run["pairs"]
    }
    if len(pairs) < len(run["pairs"]):
        raise DataError(
            result.folder, found="several pairs of the same dates, or of none", wanted="dates that tell them apart",
            remedy="run detect again with --dates, or a pair at a time",
        )  # fmt: skip
    found = []
    for query in run["queries"]:
        for (first, last), dates in pairs.items():
            own = polygons["query"] == query["text"]
            if len(pairs) > 1:
                own &= (polygons["date_from"] == first) & (polygons["date_to"] == last)
            table = polygons[own].reset_index(drop=True)
            outlines = shapely.transform(
                table.geometry.to_numpy(), lambda xy: np.stack(apply_affine(inverse, xy[:, 0], xy[:, 1]), 1)
            )
            name = query["layer"] if len(pairs) == 1 else f"{query['layer']}-{dates[0]}-{dates[1]}"
            when = " → ".join(date or ("before", "after")[i] for i, date in enumerate((first, last)))
            found.append(Answer(query["text"], name, dates, when, table, outlines))
    return found
