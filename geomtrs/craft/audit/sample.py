"""A stratified random sample of an answer: pixels in its polygons, and observed pixels in none of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geomtrs.craft.audit.decisions import FOLDER
from geomtrs.errors import DataError, QueryError
from geomtrs.outputs.publish import json_bytes, publish
from tiling.stack import OBSERVED

NAME = "sample.json"
TRIES = 1000  # for a pixel outside: so little observed ground is not worth more

Pixel = tuple[int, int]  # row, column


@dataclass(frozen=True, slots=True)
class Sample:
    """So many pixels of each answer, half of them in its polygons; the same seed draws the same."""

    size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pixels by the polygon that they lie in, and pixels in none."""

    inside: Mapping[int, Sequence[Pixel]]
    outside: Sequence[Pixel]


def draw(
    name: str, outlines: NDArray[np.object_], sizes: NDArray[np.int64], coverage: DatasetReader, sample: Sample
) -> Drawn:
    """Pixels drawn at random within each of the two strata, with equal chance for each pixel.

    outlines  polygons in pixels of the grid; `sizes` are their pixels
    coverage  why a pixel was looked at or not

    Polygons are drawn by their size and then a pixel in each, so a large one may be drawn more than once: its decision
    then answers for several pixels.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    rng = np.random.default_rng([sample.seed, *digest])
    wanted = sample.size // 2 if len(outlines) else 0
    inside: dict[int, list[Pixel]] = {}
    if wanted:
        for row in rng.choice(len(outlines), wanted, p=sizes / sizes.sum()).tolist():
            inside.setdefault(row, []).append(_pixel_in(outlines[row], rng))
    return Drawn(inside, _outside(outlines, coverage, rng, sample.size - wanted))


def settle_sample(folder: Path, asked: Sample | None) -> Sample | None:
    """The sample of a run that is audited: written once, the same for everybody from then on; None where there is none.

    Raises QueryError where another was begun: two samples in one estimate would be no sample.
    """
    path = folder / FOLDER / NAME
    if not path.is_file():
        if asked is not None:
            path.parent.mkdir(exist_ok=True)
            publish(path, json_bytes(asdict(asked)))
        return asked
    try:
        there = Sample(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(path, found=str(error), wanted="a sample's size and seed", remedy="restore it") from error
    if asked not in (None, there):
        begun = f"--sample {there.size} --seed {there.seed}"
        raise QueryError(
            "--sample", found=f"{asked}", wanted=f"the one that is audited here: {begun}",
            remedy=f"give it, or move {path} away to begin another",
        )  # fmt: skip
    return there


def _pixel_in(outline: shapely.Geometry, rng: np.random.Generator) -> Pixel:
    left, top, right, bottom = (int(side) for side in shapely.bounds(outline))
    shape = (bottom - top + 1, right - left + 1)
    there = rasterize([outline], shape, transform=Affine.translation(left, top)) > 0
    rows, columns = np.nonzero(there)
    if not len(rows):  # clipped or simplified to less than a pixel
        point = outline.representative_point()
        return int(point.y), int(point.x)
    one = rng.integers(len(rows))
    return top + int(rows[one]), left + int(columns[one])


def _outside(
    outlines: NDArray[np.object_], coverage: DatasetReader, rng: np.random.Generator, wanted: int
) -> list[Pixel]:
    tree = shapely.STRtree(outlines)
    found: list[Pixel] = []
    for _ in range(TRIES * wanted):
        if len(found) == wanted:
            break
        row, column = int(rng.integers(coverage.height)), int(rng.integers(coverage.width))
        within = tree.query(shapely.Point(column + 0.5, row + 0.5), predicate="intersects")
        if not len(within) and coverage.read(1, window=Window(column, row, 1, 1))[0, 0] == OBSERVED:
            found.append((row, column))
    return list(dict.fromkeys(found))
