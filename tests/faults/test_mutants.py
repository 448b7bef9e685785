"""Damaged rasters, areas and tables through the command line: no crash, no hang, no traceback, no wrong answer."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling

from tests.faults import judge
from tests.faults.mutants import Ended, alone, command, damage
from tests.tiling.rasters import Pixels

log = logging.getLogger(__name__)

HEIGHT, WIDTH = 96, 130
PLACE = Affine(2.0, 0.0, 500_003.5, 0.0, -2.0, 5_100_007.25)
GTIFF = {"driver": "GTiff", "dtype": "uint8", "crs": "EPSG:32633", "transform": PLACE}
TILED = {"tiled": True, "blockxsize": 32, "blockysize": 32}


_AREAS = {
    "geojson": "GeoJSON", "gpkg": "GPKG", "shp": "ESRI Shapefile", "kml": "KML", "gml": "GML", "fgb": "FlatGeobuf",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One damaged file: of which kind, how the command that names it ended, and what is wrong with that."""

    kind: str
    ended: Ended
    wrong: str


@dataclass(frozen=True)
class Seed:
    """A whole file to damage, and the command about it: `{}` stands for the file; `plain` is its name rewritten."""

    kind: str
    file: Path
    words: tuple[str, ...]
    plain: str


def pixels(*, after: bool) -> Pixels:
    made = np.random.default_rng(3).integers(90, 104, (3, HEIGHT, WIDTH), dtype=np.uint8)
    if after:
        made[:, 20:50, 40:90] = 245
    return made


def write(path: Path, made: Pixels, **options: object) -> Path:
    count, height, width = made.shape
    with rasterio.open(path, "w", count=count, height=height, width=width, **{**GTIFF, **options}) as out:
        out.write(made)
    return path


def rasters(folder: Path) -> list[Seed]:
    """A date in each of the forms that analysts have it in."""
    before, after = write(folder / "before.tif", pixels(after=False)), pixels(after=True)
    plain = write(folder / "plain.tif", after)
    made = [
        plain,
        write(folder / "big.tif", after, BIGTIFF="YES", compress="packbits"),
        write(folder / "tiled.tif", after, **TILED, compress="deflate", nodata=0),
        write(folder / "band.tif", after, **TILED, compress="lzw", predictor=2, interleave="band"),
        write(folder / "lzw.tif", after, compress="lzw", blockysize=16),
        write(folder / "jpeg.tif", after, **TILED, compress="jpeg", photometric="ycbcr", interleave="pixel"),
        write(folder / "webp.tif", after, **TILED, compress="webp", WEBP_LOSSLESS=True, interleave="pixel"),
        write(folder / "zstd.tif", after.astype(np.uint16) * 9, dtype="uint16", **TILED, compress="zstd"),
        write(
            folder / "float.tif", after.astype(np.float32), dtype="float32", **TILED, compress="deflate", predictor=3
        ),
    ]
    alpha = np.concatenate([after, np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
    made.append(write(folder / "alpha.tif", alpha, photometric="rgb", alpha="unspecified", compress="deflate"))
    with rasterio.open(folder / "palette.tif", "w", count=1, height=HEIGHT, width=WIDTH, **GTIFF) as out:
        out.write(after[:1])
        out.write_colormap(1, {value: (value, value, value, 255) for value in range(256)})
        out.colorinterp = [ColorInterp.palette]
    made.append(folder / "palette.tif")
    points = [GroundControlPoint(row, col, 5e5 + 2 * col, 5.1e6 - 2 * row) for row in (0, 90) for col in (0, 120)]
    made.append(write(folder / "gcp.tif", after, transform=None, gcps=points))
    rasterio.shutil.copy(plain, folder / "cog.tif", driver="COG", blocksize=64, compress="deflate")
    made.append(folder / "cog.tif")
    with rasterio.open(plain) as source, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(folder / "mask.tif", "w", **{**source.profile, **TILED}) as out:
            out.write(after)
            out.write_mask(np.ones((HEIGHT, WIDTH), bool))
        with rasterio.open(folder / "mask.tif", "r+") as out:
            out.build_overviews([2, 4], Resampling.nearest)
    made.append(folder / "mask.tif")
    rasterio.shutil.copy(plain, folder / "virtual.vrt", driver="VRT")
    made.append(folder / "virtual.vrt")
    places = [
        Seed(one.stem, one, _detect(str(before), "{}", *(["--pixels"] if one.stem == "gcp" else [])), "rewritten.tif")
        for one in made
    ]
    for driver, name in (("PNG", "png"), ("JPEG", "jpg")):
        for made_of, stem in ((before, "a"), (plain, "b")):
            rasterio.shutil.copy(made_of, folder / f"{stem}.{name}", driver=driver)
        words = _detect(str(folder / f"a.{name}"), "{}", "--pixels")
        places.append(Seed(name, folder / f"b.{name}", words, "rewritten.tif"))
    return places


def vectors(folder: Path) -> list[Seed]:
    """An area of interest in the forms it comes in, and pairs in a table."""
    pair = [str(write(folder / f"{year}.tif", pixels(after=year == 2023))) for year in (2019, 2023)]
    ground = shapely.box(500_050, 5_099_840, 500_170, 5_099_960)
    area = geopandas.GeoDataFrame({"name": ["north", "south"]}, geometry=[ground, ground.buffer(9)], crs="EPSG:32633")
    seeds = []
    for suffix, driver in _AREAS.items():
        file = folder / f"area.{suffix}"
        told = area.to_crs(4326) if suffix in {"geojson", "kml"} else area
        told.to_file(file, driver=driver, engine="pyogrio")
        seeds.append(Seed(suffix, file, _detect(*pair, "--aoi", "{}"), "rewritten.gpkg"))
    area.to_parquet(folder / "park.parquet")
    seeds.append(Seed("parquet", folder / "park.parquet", _detect(*pair, "--aoi", "{}"), "rewritten.gpkg"))
    table = pd.DataFrame([{"before": pair[0], "after": pair[1], "scene_id": "one"}])
    table.to_csv(folder / "pairs.csv", index=False)
    table.to_parquet(folder / "pairs.parquet")
    words = ("batch", "{}", "-q", "the roofs that appeared", "--model", "differencing", "-o", "OUT")
    seeds += [Seed(f"table {s}", folder / f"pairs.{s}", words, "rewritten.parquet") for s in ("csv", "parquet")]
    return seeds


def _detect(*words: str) -> tuple[str, ...]:
    asked = ("-q", "the roofs that appeared", "--model", "differencing", "-o", "OUT", "--quiet")
    return ("detect", *words, *asked)


def mutants(seeds: list[Seed], count: int, folder: Path, start: int) -> Iterator[Case]:
    """So many damaged files, each with what became of it."""
    for number in range(start, start + count):
        yield meet(seeds[number % len(seeds)], Random(number), folder / str(number))


def meet(seed: Seed, random: Random, folder: Path) -> Case:
    """The seed, damaged, asked about; where there is an answer, whether it is the one to what the file still says."""
    folder.mkdir(parents=True)
    for part in seed.file.parent.glob(f"{seed.file.stem}.*"):
        shutil.copy(part, folder)
    hurt = random.choice(sorted(folder.glob(f"{seed.file.stem}.*"))) if seed.kind == "shp" else folder / seed.file.name
    whole = hurt.read_bytes()
    while hurt.read_bytes() == whole:
        hurt.write_bytes(damage(whole, random))
    target, out, again, plain = folder / seed.file.name, folder / "out", folder / "again", folder / seed.plain
    words = [{"{}": str(target), "OUT": str(out)}.get(word, word) for word in seed.words]
    ended = alone(command, *words, log=folder / "log")
    wrong = ended.fault
    if not wrong and ended.code == 0:
        words = [str(again) if word == str(out) else word for word in words]
        judged = alone(judge.answer_again, words, {str(target): str(plain)}, log=folder / "judged")
        if judged.code != 0:
            wrong = "answered what GDAL does not read"
        elif not judge.same_answer(out, again):
            wrong = "another answer"
    if not wrong:
        shutil.rmtree(folder)
    return Case(seed.kind, ended, wrong)


def told(cases: Iterable[Case]) -> list[str]:
    """What went wrong, each in a line; all counts go to the log."""
    done = list(cases)
    log.info("%d files: exit codes %s", len(done), dict(Counter(case.ended.code for case in done)))
    return [
        f"{case.kind}: {case.wrong} (exit {case.ended.code}) {case.ended.said[-300:]}" for case in done if case.wrong
    ]


@pytest.fixture(scope="module")
def raster_seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    return rasters(tmp_path_factory.mktemp("rasters"))


@pytest.fixture(scope="module")
def vector_seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    return vectors(tmp_path_factory.mktemp("vectors"))


def test_a_few_damaged_rasters_end_in_an_error_or_in_what_they_still_say_e11(
    raster_seeds: list[Seed], tmp_path: Path
) -> None:
    assert told(mutants(raster_seeds, 8, tmp_path, start=1000)) == []


def test_a_few_damaged_areas_and_tables_end_in_an_error_or_in_what_they_still_say_e11(
    vector_seeds: list[Seed], tmp_path: Path
) -> None:
    assert told(mutants(vector_seeds, 6, tmp_path, start=1000)) == []


@pytest.mark.slow
def test_200_damaged_rasters_end_in_an_error_or_in_what_they_still_say_e11(
    raster_seeds: list[Seed], tmp_path: Path
) -> None:
    assert told(mutants(raster_seeds, 200, tmp_path, start=0)) == []


@pytest.mark.slow
def test_200_damaged_areas_and_tables_end_in_an_error_or_in_what_they_still_say_e11(
    vector_seeds: list[Seed], tmp_path: Path
) -> None:
    assert told(mutants(vector_seeds, 200, tmp_path, start=0)) == []
