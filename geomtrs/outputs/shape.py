"""Outlines that a map keeps: fewer corners over shared edges, right angles for buildings. The mask stays as it is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec

import geopandas
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geomtrs.errors import MissingExtra
from geomtrs.outputs.furniture import ground_of
from tiling.ground import apply_affine, compose

# A regularized outline stands for the polygon only where both are mostly the same ground.
LEAST_IOU = 0.75
# In pixels: stairs of a mask that a wall is drawn through, and walls this close that become one.
STAIRS_PX, WALLS_PX = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class Shaping:
    """What becomes of outlines.

    simplify_m  details up to about this size are dropped (metres; without a CRS pixels); None: none
    regularize  right angles, as of buildings
    """

    simplify_m: float | None = None
    regularize: bool = False

    def __bool__(self) -> bool:
        """False where outlines stay as they are."""
        return self.simplify_m is not None or self.regularize


def check_regularizer() -> None:
    """Raise MissingExtra where outlines cannot be regularized."""
    if find_spec("buildingregulariser") is None:
        raise MissingExtra(
            "buildingregulariser",
            found="not installed",
            wanted="right angles (--regularize)",
            remedy="pip install 'geomtrs[shapes]'",
        )


def shaped(
    geometry: NDArray[np.object_], geobox: GeoBox, shaping: Shaping
) -> tuple[NDArray[np.object_], tuple[str, ...]]:
    """Polygons (N,) in new outlines, all valid, none over another, and notes for the user.

    geometry  polygons of a mask, in coordinates of the grid: they share corners and edges, and do not overlap

    Worked out on the ground in metres around the grid's centre, so that a tolerance and a right angle mean the same
    in every CRS. Regularizing needs its library (`check_regularizer`), and silences warnings of all threads meanwhile.
    """
    ground = moved(geometry, compose(_metres(geobox), ~geobox.affine))
    notes: tuple[str, ...] = ()
    if shaping.simplify_m is not None:
        # One coverage: an edge or a corner that two polygons share is one line, simplified once.
        ground = shapely.coverage_simplify(ground, shaping.simplify_m)
    if shaping.regularize:
        ground, kept = _regularized(ground, pixel_m=max(ground_of(geobox).metres or (1.0, 1.0)))
        notes = (f"{kept} of {len(ground)} outlines stay: right angles would not make them simpler",) if kept else ()
    return moved(ground, compose(geobox.affine, ~_metres(geobox))), notes


def moved(geometry: NDArray[np.object_], affine: Affine) -> NDArray[np.object_]:
    """Geometries with their coordinates mapped."""
    mapped: NDArray[np.object_] = shapely.transform(
        geometry, lambda xy: np.stack(apply_affine(affine, xy[:, 0], xy[:, 1]), 1)
    )
    return mapped


def _regularized(ground: NDArray[np.object_], *, pixel_m: float) -> tuple[NDArray[np.object_], int]:
    """Right angles where they fit: a valid polygon, no more corners, mostly the same ground, none of a neighbour's."""
    from buildingregulariser import regularize_geodataframe

    frame = geopandas.GeoDataFrame({"row": np.arange(len(ground))}, geometry=ground)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of each outline that it gives back as it was: counted below
        straight = regularize_geodataframe(
            frame,
            parallel_threshold=WALLS_PX * pixel_m,
            simplify_tolerance=STAIRS_PX * pixel_m,
            allow_45_degree=False,
            allow_circles=False,
            num_cores=1,
            include_metadata=True,
        )
    once = straight[~straight["row"].duplicated(keep=False) & (straight["iou"] > 0)]  # 0: given back as it was
    rows, outlines = once["row"].to_numpy(), once.geometry.to_numpy()
    made = ground.copy()
    made[rows] = outlines
    shared, both = shapely.area(shapely.intersection(ground, made)), shapely.area(shapely.union(ground, made))
    fits = np.isin(np.arange(len(ground)), rows) & shapely.is_valid(made) & (shared >= LEAST_IOU * both)
    fits &= shapely.get_num_coordinates(made) <= shapely.get_num_coordinates(ground)
    fits &= shapely.get_type_id(made) == shapely.GeometryType.POLYGON
    while True:
        made = np.where(fits, made, ground)
        over = _overlapping(made) & fits
        if not over.any():
            return made, int((~fits).sum())
        fits &= ~over


def _overlapping(polygons: NDArray[np.object_]) -> NDArray[np.bool_]:
    """(N,) which of them share ground with another."""
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    others = first != second
    first, second = first[others], second[others]
    shared = shapely.relate_pattern(polygons[first], polygons[second], "T********")
    over = np.zeros(len(polygons), bool)
    over[first[shared]] = True
    return over


def _metres(geobox: GeoBox) -> Affine:
    """From pixels to metres on the ground, axes along the grid's; without a CRS to pixels."""
    x, y = ground_of(geobox).metres or (1.0, 1.0)
    return Affine.scale(x, y)
