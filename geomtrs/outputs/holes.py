"""Small holes of polygons filled; what lies inside one becomes part of the polygon around it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray


def fill_holes(
    geometry: NDArray[np.object_],
    statistics: pd.DataFrame,
    limit: float,
    sizes: Callable[[NDArray[np.object_]], NDArray[np.float64]],
) -> tuple[NDArray[np.object_], pd.DataFrame, int]:
    """(polygons, their statistics, how many holes were filled): holes smaller than the limit are gone.

    geometry    polygons (N,) that do not overlap
    statistics  prob_mean, prob_max, exist_p, edge and weight (pixels that prob_mean is over), a row a polygon
    sizes       polygons (M,) → their sizes, in the unit of the limit

    A polygon inside a filled hole would overlap the one around it: it is merged into that one instead.
    """
    rings, owner = shapely.get_rings(geometry, return_index=True)
    shell = np.diff(owner, prepend=-1) > 0
    holes, around = shapely.polygons(rings[~shell]), owner[~shell]
    size = sizes(holes)
    small = size < limit
    if not small.any():
        return geometry, statistics, 0
    kept = shell.copy()
    kept[~shell] = ~small
    filled = shapely.polygons(rings[kept], indices=owner[kept])
    host = _hosts(geometry, holes[small], around[small], size[small])
    return filled[host == np.arange(len(host))], _merged(statistics, host), int(small.sum())


def _hosts(
    geometry: NDArray[np.object_], holes: NDArray[np.object_], around: NDArray[np.intp], size: NDArray[np.float64]
) -> NDArray[np.intp]:
    """The polygon that each polygon (N,) becomes part of: mostly itself."""
    host = np.arange(len(geometry))
    inside, hole = shapely.STRtree(holes).query(shapely.point_on_surface(geometry), predicate="within")
    # Holes around one polygon lie in each other; the largest is the outermost, and nothing surrounds its owner.
    largest_last = np.argsort(size[hole], kind="stable")
    host[inside[largest_last]] = around[hole[largest_last]]
    return host


def _merged(statistics: pd.DataFrame, host: NDArray[np.intp]) -> pd.DataFrame:
    """One row a host, in the order of the hosts."""
    weighted = statistics.assign(prob_mean=statistics["prob_mean"] * statistics["weight"]).groupby(host)
    merged = weighted.agg(
        {"prob_mean": "sum", "prob_max": "max", "exist_p": "max", "edge": "max", "weight": "sum"}
    ).reset_index(drop=True)
    merged["prob_mean"] /= merged["weight"]
    return merged
