"""The rasters of an answer: probability, mask and coverage as Cloud Optimized GeoTIFFs, with their QGIS styles.

The mask is made from the finished probability raster, so the two can never disagree.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize
from rasterio.windows import Window

from geomtrs.outputs.publish import publish
from geomtrs.outputs.style import ANSWER_COLOUR, mask_qml, probability_qml
from geomtrs.outputs.vector import measure
from tiling.blend import SCALE, UNOBSERVED
from tiling.grid import window_geobox
from tiling.ground import apply_affine
from tiling.mosaic import RasterSpec, coverage_windows, windows, write_cog
from tiling.plan import Plan
from tiling.stack import CLOUD, FAILED, HOLE_AT_DATE, OBSERVED, OUTSIDE_AOI
from tiling.store import BlockStore

PIECE_PX = 2048
# Ground areas are summed over at most so many cells a side: pixels of one cell are taken to be of one size.
CELLS_PER_SIDE = 64

_MASK_COLOURS = {0: (0, 0, 0, 0), 1: (*ANSWER_COLOUR, 255), UNOBSERVED: (160, 160, 160, 0)}
_COVERAGE_COLOURS = {
    OUTSIDE_AOI: (0, 0, 0, 0),
    OBSERVED: (190, 225, 190, 255),
    CLOUD: (235, 240, 250, 255),
    FAILED: (215, 25, 28, 255),
}


@dataclass(frozen=True, slots=True)
class AnswerRasters:
    """The files of one sentence and one pair of dates."""

    mask: Path
    probability: Path
    styles: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class CoverageTotal:
    """How much ground has one coverage code; `area_m2` is None for a picture without a CRS."""

    code: int
    meaning: str
    pixels: int
    area_m2: float | None


def stem(kind: str, *, slug: str | None = None, span: str | None = None) -> str:
    """Name of an output without its suffix: `mask[_<slug>][_<from>-<to>]`."""
    return "_".join(part for part in (kind, slug, span) if part)


def stored_threshold(threshold: float) -> int:
    """The least stored value (0..250) whose probability is at least `threshold` (0..1]; never 0."""
    # 0.3 * 250 is 75.00000000000001 or 74.99999999999999 by the way it was computed; neither may move the threshold.
    return max(1, math.ceil(threshold * SCALE - 1e-6))


def write_answer(
    folder: Path,
    *,
    store: BlockStore,
    plan: Plan,
    query: int,
    sentence: str,
    threshold: int,
    slug: str | None = None,
    span: str | None = None,
    keep: NDArray[np.object_] | None = None,
) -> AnswerRasters:
    """probability.tif, mask.tif and a `.qml` beside each.

    query       number of the sentence in the store
    threshold   on stored values, see `stored_threshold`
    slug, span  parts of the names where there are several sentences or pairs of dates
    keep        polygons that the mask is left with, where words about the scene chose among them; None = all

    Raises OutputError when a file cannot be written, StoreError when blocks are missing.
    """
    probability = folder / f"{stem('probability', slug=slug, span=span)}.tif"
    mask = folder / f"{stem('mask', slug=slug, span=span)}.tif"
    tags = {"GEOMTRS_QUERY": sentence, "GEOMTRS_PLAN": plan.id}
    spec = RasterSpec(
        dtype="uint8", nodata=UNOBSERVED, description=sentence, scale=1 / SCALE, resampling="average", tags=tags
    )
    parts = ((answer.window, answer.probability) for answer in windows(store, plan, query))
    with may_lack_place():
        write_cog(probability, plan.geobox, parts, spec=spec)
    write_mask(mask, probability, plan.geobox, sentence=sentence, threshold=threshold, tags=tags, keep=keep)
    styles = (mask.with_suffix(".qml"), probability.with_suffix(".qml"))
    for path, text in zip(styles, (mask_qml(sentence), probability_qml(sentence)), strict=True):
        publish(path, text.encode())
    return AnswerRasters(mask, probability, styles)


def write_mask(
    path: Path,
    probability: Path,
    geobox: GeoBox,
    *,
    sentence: str,
    threshold: int,
    tags: Mapping[str, str] | None = None,
    keep: NDArray[np.object_] | None = None,
) -> None:
    """mask.tif of a finished probability raster: 1 from the threshold on, 0 below, 255 where not observed.

    keep  polygons, (N,) in coordinates of the grid: what lies in none of them is 0 as well; None = no such choice
    """
    spec = RasterSpec(
        dtype="uint8",
        nodata=UNOBSERVED,
        description=sentence,
        colormap=_MASK_COLOURS,
        resampling="mode",
        tags={**(tags or {}), "GEOMTRS_THRESHOLD": f"{threshold / SCALE:g}"},
    )
    with may_lack_place(), rasterio.open(probability) as raster:
        parts = _masked(raster, threshold)
        write_cog(path, geobox, parts if keep is None else _chosen(parts, geobox, keep), spec=spec)


def write_coverage(path: Path, *, store: BlockStore, plan: Plan, dates: int) -> tuple[CoverageTotal, ...]:
    """coverage.tif, and how much ground has each of its codes.

    dates  how many there are: each has its own code for holes
    """
    holes = {HOLE_AT_DATE + k: (*_hole_colour(k, dates), 255) for k in range(dates)}
    spec = RasterSpec(
        dtype="uint8",
        description="why a pixel was or was not looked at",
        colormap={**_COVERAGE_COLOURS, **holes},
        resampling="mode",
        tags={f"GEOMTRS_CODE_{code}": meaning for code, meaning in coverage_codes(dates).items()},
    )
    totals = _Totals.over(plan.geobox)
    with may_lack_place():
        write_cog(path, plan.geobox, totals.counting(coverage_windows(store, plan)), spec=spec)
    return totals.result(coverage_codes(dates))


def coverage_codes(dates: int) -> dict[int, str]:
    """What each value of coverage.tif means."""
    return {
        OUTSIDE_AOI: "outside the area of interest",
        OBSERVED: "observed",
        CLOUD: "cloud by the mask given",
        FAILED: "failed",
        **{HOLE_AT_DATE + k: f"no data at date {k + 1}" for k in range(dates)},
    }


@contextmanager
def may_lack_place() -> Iterator[None]:
    """Rasters of plain pictures are opened inside without a word: they have no place on the ground, and need not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def pieces(height: int, width: int) -> Iterator[Window]:
    """Windows of at most 2048 × 2048 px that partition a raster, in row-major order."""
    for top in range(0, height, PIECE_PX):
        for left in range(0, width, PIECE_PX):
            yield Window(left, top, min(PIECE_PX, width - left), min(PIECE_PX, height - top))


def _masked(raster: rasterio.DatasetReader, threshold: int) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    for window in pieces(raster.height, raster.width):
        stored = raster.read(1, window=window)
        mask = (stored >= threshold).astype(np.uint8)
        mask[stored == UNOBSERVED] = UNOBSERVED
        yield window, mask


def _chosen(
    parts: Iterator[tuple[Window, NDArray[np.uint8]]], geobox: GeoBox, keep: NDArray[np.object_]
) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """The same parts of a mask, 0 instead of 1 at pixels whose middle lies in none of the polygons."""
    tree = shapely.STRtree(keep)
    for window, mask in parts:
        place = window_geobox(geobox, window)
        near = keep[np.sort(tree.query(place.extent.geom))] if len(keep) else keep
        inside = np.zeros(mask.shape, np.uint8)
        if len(near):
            rasterize(list(near), out=inside, transform=place.affine, default_value=1)
        mask[(mask == 1) & (inside == 0)] = 0
        yield window, mask


def _hole_colour(date: int, dates: int) -> tuple[int, int, int]:
    """Greys, darker for later dates."""
    grey = 150 - round(110 * date / max(1, dates - 1))
    return grey, grey, grey


@dataclass(frozen=True, slots=True)
class _Totals:
    """Pixels by code in each cell of a coarse lattice over the grid, counted while a raster streams by."""

    rows: NDArray[np.int64]  # where cells begin, and the end
    cols: NDArray[np.int64]
    counts: NDArray[np.int64]  # (R, C, 256)
    geobox: GeoBox

    @classmethod
    def over(cls, geobox: GeoBox) -> _Totals:
        height, width = geobox.shape
        rows, cols = (_edges(size) for size in (height, width))
        return cls(rows, cols, np.zeros((len(rows) - 1, len(cols) - 1, 256), np.int64), geobox)

    def counting(self, parts: Iterator[tuple[Window, NDArray[np.uint8]]]) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        """The same parts, counted as they pass."""
        for window, codes in parts:
            self._count(window, codes)
            yield window, codes

    def _count(self, window: Window, codes: NDArray[np.uint8]) -> None:
        row_spans = _spans(self.rows, window.row_off, window.height)
        col_spans = _spans(self.cols, window.col_off, window.width)
        for row, over in row_spans:
            for col, across in col_spans:
                self.counts[row, col] += np.bincount(codes[over, across].ravel(), minlength=256)

    def result(self, meanings: Mapping[int, str]) -> tuple[CoverageTotal, ...]:
        pixels = self.counts.sum(axis=(0, 1))
        if self.geobox.crs is None:
            areas: Sequence[float | None] = [None] * 256
        else:
            areas = (self.counts * self._pixel_m2()[..., None]).sum(axis=(0, 1)).tolist()
        return tuple(
            CoverageTotal(code, meaning, int(pixels[code]), areas[code])
            for code, meaning in meanings.items()
            if pixels[code]
        )

    def _pixel_m2(self) -> NDArray[np.float64]:
        """Mean area of a pixel in each cell, (R, C) m² on the ellipsoid."""
        left, top = (grid.ravel() for grid in np.meshgrid(self.cols[:-1], self.rows[:-1]))
        right, bottom = (grid.ravel() for grid in np.meshgrid(self.cols[1:], self.rows[1:]))
        columns = np.stack([left, right, right, left, left], axis=1).astype(np.float64)
        rows = np.stack([top, top, bottom, bottom, top], axis=1).astype(np.float64)
        rings = np.stack(apply_affine(self.geobox.affine, columns, rows), axis=-1)  # (R * C, 5, 2)
        area = measure(shapely.polygons(rings), self.geobox)[0]
        result: NDArray[np.float64] = (area / ((right - left) * (bottom - top))).reshape(self.counts.shape[:2])
        return result


def _edges(size: int) -> NDArray[np.int64]:
    count = min(CELLS_PER_SIDE, size)
    return np.arange(count + 1, dtype=np.int64) * size // count


def _spans(edges: NDArray[np.int64], start: int, length: int) -> list[tuple[int, slice]]:
    """Cells that a run of pixels meets, and their part of the run."""
    first = int(np.searchsorted(edges, start, side="right")) - 1
    last = int(np.searchsorted(edges, start + length, side="left"))
    return [
        (cell, slice(max(0, int(edges[cell]) - start), min(length, int(edges[cell + 1]) - start)))
        for cell in range(first, last)
    ]
