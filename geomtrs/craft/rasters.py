"""Two rasters, a table of such pairs, or the scenes of an archive run, cut in tiles on the first raster's grid.

A tile's pictures are written into the set's own folder, since whoever looks at them later wants pictures; where it lies
on the ground stays in its record. Files without a place on the ground are taken pixel on pixel, and the record says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import rasterio.warp
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geomtrs.archive.ledger import NAME as ARCHIVE
from geomtrs.archive.ledger import rows as archive_rows
from geomtrs.archive.scene import place_of, safe_name
from geomtrs.craft.pairs import read_classes
from geomtrs.craft.protocols import Ground, Pair
from geomtrs.data.labels import LabelRule, Labels
from geomtrs.errors import DataError, QueryError
from geomtrs.hashing import file_hash
from geomtrs.outputs.encoding import png
from geomtrs.outputs.publish import publish
from tiling.errors import SourceError
from tiling.grid import geobox_to_dict, ground_resolution_m, open_quietly, unreadable, window_geobox
from tiling.stack import OBSERVED, Stack, StackOptions, open_stack

TABLES = (".csv", ".parquet", ".pq")
COLUMNS = ("before", "after", "before_labels", "after_labels", "place")
NO_LABEL = 255  # which every rule ignores


@dataclass(frozen=True, slots=True)
class Sources:
    """What is crafted: one folder or table, or two rasters with the labels of both, where there are some.

    classes  a file of value → name for labels; None = classes.json beside the table or the first labels
    tile_px  the longer side of a tile, at most
    """

    paths: tuple[Path, ...]
    labels: tuple[Path, ...] = ()
    classes: Path | None = None
    tile_px: int = 512

    def __post_init__(self) -> None:
        """Check once; nobody checks again."""
        if len(self.paths) not in (1, 2) or len(self.labels) not in (0, 2) or (self.labels and len(self.paths) == 1):
            raise QueryError(
                "PAIRS", found=f"{len(self.paths)} paths and {len(self.labels)} label rasters",
                wanted="a folder, a table, or two rasters with none or two label rasters", remedy="name them so",
            )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """What decides which pairs there are, as the ledger keeps it."""
        told: dict[str, Any] = {"source": " ".join(str(path.resolve()) for path in self.paths)}
        if is_raster_source(self):
            told |= {
                "labels": [str(path.resolve()) for path in self.labels],
                "classes": None if self.classes is None else str(self.classes.resolve()),
                "tile_px": self.tile_px,
            }
        return told


@dataclass(frozen=True, slots=True)
class _Row:
    """Two rasters of one place, and their labels."""

    name: str
    place: str
    images: tuple[str, str]
    labels: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Tile:
    """A window of two rasters, before anything of it is read; its pictures will lie in `folder`."""

    id: str
    row: _Row
    stack: Stack
    window: Window
    rule: LabelRule | None
    folder: Path
    labelled: str  # by what: see _content; nothing where it has no labels that lie here

    def changed(self, hashes: Mapping[str, str]) -> list[str]:
        """Its labels or their classes, where they are others than those of these hashes, which may not tell."""
        return [] if hashes.get("labels", self.labelled) == self.labelled else ["labels"]

    def read(self) -> Pair:
        """The tile with its labels; its pictures are on disk when this returns.

        Raises SourceError where pixels cannot be read.
        """
        found = self.stack.read(self.window)
        geobox = window_geobox(self.stack.geobox, self.window)
        seen = found.coverage == OBSERVED
        dates = [np.ascontiguousarray(date.transpose(1, 2, 0)) for date in found.pixels]
        files = [self.folder / side / f"{_digest(self.id)}.png" for side in "AB"]
        for file, date in zip(files, dates, strict=True):
            content = png(date)
            if not file.is_file() or file.read_bytes() != content:
                file.parent.mkdir(parents=True, exist_ok=True)
                publish(file, content)
        hashes = {side: file_hash(file) for side, file in zip("AB", files, strict=True)}
        labels = None
        if self.row.labels is not None and self.rule is not None:
            planes = [_labels_on(path, geobox, self.window, seen) for path in self.row.labels]
            hashes |= {f"label{side}": _digest(plane.tobytes()) for side, plane in zip("AB", planes, strict=True)}
            hashes |= {"labels": self.labelled}
            labels = Labels.by_rule(self.rule, planes[0], planes[1], np.zeros(geobox.shape, bool))
        placed = geobox.crs is not None
        told = geobox_to_dict(geobox)
        return Pair(
            id=self.id,
            place=self.row.place,
            before=dates[0],
            after=dates[1],
            files=(files[0], files[1]),
            hashes=hashes,
            gsd_m=float(np.mean(ground_resolution_m(geobox))) if placed else None,
            labels=labels,
            ground=Ground(told["crs"], tuple(told["transform"])) if placed else None,
            seen=float(seen.mean()),
        )


def is_raster_source(sources: Sources) -> bool:
    """It is to be cut in tiles: two rasters, a table, or an archive run."""
    (first, *more) = sources.paths
    return bool(more) or first.suffix.lower() in TABLES or (first / ARCHIVE).is_file()


def list_tiles(sources: Sources, out: Path) -> list[Tile]:
    """Every tile of a source, pair by pair, row by row; tiles of a pair partition the ground that its dates share.

    Raises DataError where there is none, SourceError or GridError where rasters do not open or share no ground.
    """
    found: list[Tile] = []
    for row in _rows(sources):
        rule = _rule(sources, row)
        for path in row.labels or ():
            _refuse_no_labels(path)
        content = "" if row.labels is None else _content((*row.labels, str(_classes(sources, row))))
        found += _cut(row, rule, content, sources.tile_px, out.resolve() / "tiles")
    if not found:
        raise DataError(sources.paths[0], found="no pair", wanted="two dates of a place", remedy="check the source")
    return found


def first_labels(sources: Sources) -> tuple[tuple[str, str], LabelRule] | None:
    """Those of both dates of the first pair that has them, and how they read; None where no pair has."""
    for row in _rows(sources):
        rule = _rule(sources, row)
        if row.labels is not None and rule is not None:
            return row.labels, rule
    return None


def _rows(sources: Sources) -> Iterator[_Row]:
    first = sources.paths[0]
    if len(sources.paths) == 2:
        name = safe_name(place_of(first.stem))
        labels = (str(sources.labels[0]), str(sources.labels[1])) if sources.labels else None
        yield _Row(name, name, (str(first), str(sources.paths[1])), labels)
    elif first.suffix.lower() in TABLES:
        yield from _table(first)
    else:
        for one in archive_rows(first / ARCHIVE):
            if one.status in ("failed", "skipped"):
                continue
            for i, images in enumerate(zip(one.scene.images, one.scene.images[1:], strict=False)):
                yield _Row(f"{one.scene.id}-{i}", one.scene.id, images, None)


def _table(path: Path) -> Iterator[_Row]:
    """A row a pair; paths are relative to the table. Raises DataError for a table that does not tell pairs."""
    try:
        frame = pd.read_csv(path, dtype=str) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise DataError(path, found=found, wanted="a CSV or Parquet", remedy="check the path") from error
    told = [{str(k): str(v) for k, v in row.items() if not pd.isna(v) and str(v)} for row in frame.to_dict("records")]
    for number, row in enumerate(told, 1):
        if not {"before", "after"} <= row.keys() or ("before_labels" in row) != ("after_labels" in row):
            raise DataError(
                path, found=f"row {number}: {', '.join(row)}", wanted=f"{', '.join(COLUMNS)}; labels of both dates",
                remedy="mend the row",
            )  # fmt: skip
        files = {name: _beside(row[name], path) for name in COLUMNS[:-1] if name in row}
        place = row.get("place") or safe_name(place_of(Path(row["before"]).stem))
        labels = (files["before_labels"], files["after_labels"]) if "before_labels" in files else None
        yield _Row(f"{safe_name(place)}-{number}", place, (files["before"], files["after"]), labels)


def _beside(told: str, table: Path) -> str:
    return told if "://" in told or told.startswith("/vsi") else str(table.absolute().parent / told)


def _rule(sources: Sources, row: _Row) -> LabelRule | None:
    """How the labels of a row read; None where it has none. Raises DataError where nothing says what values mean."""
    if row.labels is None:
        return None
    path = _classes(sources, row)
    if not path.is_file():
        raise DataError(
            path, found="no such file", wanted="value → name of the labels", remedy="write it, or --classes"
        )
    return read_classes(path)


def _classes(sources: Sources, row: _Row) -> Path:
    assert row.labels is not None
    near = Path(row.labels[0]).parent if len(sources.paths) == 2 else sources.paths[0].parent
    return sources.classes or near / "classes.json"


def _content(files: Iterable[str]) -> str:
    """Of the bytes of those that lie on this machine."""
    return _digest("".join(file_hash(path) for path in map(Path, files) if path.is_file()))


def _cut(row: _Row, rule: LabelRule | None, labelled: str, tile_px: int, folder: Path) -> Iterator[Tile]:
    pixels = not any(_placed(image) for image in row.images)
    stack = open_stack([[image] for image in row.images], StackOptions(registration="off", pixels=pixels))
    edges = [np.linspace(0, n, -(-n // tile_px) + 1).round().astype(int).tolist() for n in stack.geobox.shape]
    for top, bottom in zip(edges[0], edges[0][1:], strict=False):
        for left, right in zip(edges[1], edges[1][1:], strict=False):
            window = Window(left, top, right - left, bottom - top)
            yield Tile(f"{row.name}/{top:05}_{left:05}", row, stack, window, rule, folder, labelled)


def _placed(path: str) -> bool:
    try:
        with open_quietly(path) as dataset:
            return dataset.crs is not None
    except (RasterioError, OSError) as error:
        raise unreadable(path, error) from error


def _labels_on(path: str, geobox: GeoBox, window: Window, seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W) nearest labels on a grid.

    NO_LABEL where the raster does not reach, at nodata and values that are no byte, where a date was not observed.
    """
    found = np.full(geobox.shape, np.nan)
    try:
        with open_quietly(path) as dataset:
            outside = np.iinfo(np.int8).min if dataset.dtypes[0] == "int8" else NO_LABEL  # neither is a label
            nodata = outside if dataset.nodata is None else dataset.nodata
            if geobox.crs is None:
                found = dataset.read(1, window=window, boundless=True, fill_value=nodata, out_dtype=found.dtype)
            else:
                rasterio.warp.reproject(
                    rasterio.band(dataset, 1), found, src_nodata=nodata, dst_nodata=np.nan,
                    dst_transform=geobox.affine, dst_crs=str(geobox.crs), resampling=Resampling.nearest,
                )  # fmt: skip
    except (RasterioError, OSError) as error:
        raise unreadable(path, error) from error
    known = seen & (found != nodata) & (found >= 0) & (found < NO_LABEL)
    return np.where(known, found, NO_LABEL).astype(np.uint8)


def _refuse_no_labels(path: str) -> None:
    try:
        with open_quietly(path) as dataset:
            bands = dataset.count
    except (RasterioError, OSError) as error:
        raise unreadable(path, error) from error
    if bands != 1:
        raise SourceError(path, found=f"{bands} bands", wanted="labels of one band", remedy="replace the file")


def _digest(content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.blake2b(raw, digest_size=16).hexdigest()
