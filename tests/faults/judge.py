"""Whether an answer to a damaged file is the answer to what the file still says, read by others and written anew."""

from __future__ import annotations

import warnings
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning

from tests.faults.mutants import command

UNOBSERVED = 255


def answer_again(arguments: list[str], damaged: dict[str, str]) -> None:
    """The command once more, with the damaged files read whole by GDAL and written plainly under other names."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    for path, plain in damaged.items():
        if plain.endswith(".tif"):
            rasterio.shutil.copy(path, plain, driver="GTiff")
        elif plain.endswith(".gpkg"):
            read = geopandas.read_parquet if path.endswith(".parquet") else geopandas.read_file
            read(path).dropna(subset="geometry").to_file(plain, driver="GPKG", engine="pyogrio")
        else:
            frame = pd.read_csv(path, dtype=str) if path.endswith(".csv") else pd.read_parquet(path)
            frame.to_parquet(plain)
    command(*(damaged.get(word, word) for word in arguments))


def same_answer(out: Path, again: Path) -> bool:
    """Whether each pixel says what the other run says, or nothing: what was not observed is no wrong answer."""
    names = sorted(path.relative_to(out) for path in out.rglob("mask*.tif"))
    if names != sorted(path.relative_to(again) for path in again.rglob("mask*.tif")):
        return False
    for name in names:
        with rasterio.open(out / name) as mine, rasterio.open(again / name) as other:
            here, there = mine.read(1), other.read(1)
            if here.shape != there.shape or mine.transform != other.transform:
                return False
            if not ((here == there) | (here == UNOBSERVED)).all():
                return False
    return True


def same_pixels(path: Path, other: Path) -> bool:
    """Whether plain GDAL reads the same from two rasters."""
    with rasterio.open(path) as one, rasterio.open(other) as two:
        return bool(one.shape == two.shape and one.count == two.count and np.array_equal(one.read(), two.read()))
