"""Why labels told of nothing: the values that are in them beside those that are things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio.errors import RasterioError

from geomtrs.craft import pairs, rasters
from geomtrs.craft.rasters import Sources, is_raster_source
from geomtrs.data.labels import THINGS
from tiling.grid import open_quietly, unreadable

_SHOWN = 12


def why_nothing(sources: Sources) -> str:
    """What is in the labels of the first pair that has any, and which of it would have been a thing.

    Raises SourceError where they cannot be read.
    """
    found = rasters.first_labels(sources) if is_raster_source(sources) else pairs.first_labels(sources.paths[0])
    if found is None:
        return "no label of both dates was read, and no mask shows a change"
    files, rule = found
    seen = [_values(file) for file in files]
    told = "; ".join(f"{Path(file).name} has {_named(values)}" for file, values in zip(files, seen, strict=True))
    if not rule.present:
        return f"{told}; no class is called as a thing is ({', '.join(THINGS)})"
    things = ", ".join(f"{value} ({name})" for value, name in sorted(rule.present.items()))
    if rule.present.keys().isdisjoint(seen[0] | seen[1]):
        return f"{told}; none of them is a thing: those are {things}"
    return f"{told}; of {things} nothing came or went in one piece that is large enough"


def _values(file: str) -> set[int]:
    """All that are in a raster, read piece by piece."""
    found: set[int] = set()
    try:
        with open_quietly(file) as raster:
            for _, window in raster.block_windows(1):
                found |= set(np.unique(raster.read(1, window=window)).tolist())
    except (RasterioError, OSError) as error:
        raise unreadable(file, error) from error
    return found


def _named(values: set[int]) -> str:
    told = ", ".join(map(str, sorted(values)[:_SHOWN]))
    return told if len(values) <= _SHOWN else f"{told} and {len(values) - _SHOWN} more"
