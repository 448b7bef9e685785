"""What the outline of a mask tells without a model: how much of it is broad, whether its patches are one thing each,
and how unlike what is around them they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.craft.protocols import Bool

STAIR_PX = 2**0.5 / 4  # how far the stairs of a slanting edge stick out of it
RIM_PX, RING_PX, LEAST_PX = 4, (2, 6), 8  # within a patch along its edge; around it, and so many pixels at least
NOISE = 3.0  # of a band: smaller differences are none

Values = NDArray[np.float64]


def opened(mask: Bool, radius: float) -> Bool:
    """(H, W) of the mask where a disc fits into it; the picture's edge is no edge of the mask."""
    far, out = int(np.ceil(radius)), np.zeros_like(mask)
    about = _about(mask, far)
    inside = ndimage.distance_transform_edt(np.pad(mask[about], far, mode="edge")) > radius
    if inside.any():
        near = ndimage.distance_transform_edt(~inside) <= radius
        out[about] = near[far:-far, far:-far] & mask[about]
    return out


def fullness(mask: Bool) -> float:
    """The least share of its hull that a patch of the mask fills, up to 1; 0 of an empty mask.

    The stairs of its pixels are no notches: a small house that stands slantwise fills its hull as a large one does.
    """
    shapes = rasterio.features.shapes(mask.astype(np.uint8), mask=mask)
    patches = [shapely.geometry.shape(patch) for patch, _ in shapes]
    hulls = [patch.convex_hull.buffer(-STAIR_PX, join_style="mitre") for patch in patches]
    return min((min(1.0, patch.area / (hull.area or 1)) for patch, hull in zip(patches, hulls, strict=True)), default=0)


def contrast(patches: NDArray[np.int32], dates: Sequence[NDArray[np.uint8]]) -> Values:
    """(dates, bands, n): by how many deviations a patch 1 … n is brighter along its edge than what is around it.

    patches  (H, W), 0 around them
    dates    (H, W, bands) each

    Below 0 it is darker; 0 where nothing is around a patch.
    """
    count = int(patches.max())
    about = _about(patches > 0, RING_PX[1])
    patches, dates = patches[about], [date[about] for date in dates]
    inside = ndimage.distance_transform_cdt(np.pad(patches > 0, 1, mode="edge"))[1:-1, 1:-1]
    far, (rows, columns) = ndimage.distance_transform_cdt(patches == 0, return_indices=True)
    rim, ring = (patches > 0) & (inside <= RIM_PX), (far >= RING_PX[0]) & (far <= RING_PX[1])
    within, around = patches[rim], patches[rows[ring], columns[ring]]
    out = np.zeros((len(dates), dates[0].shape[-1], count))
    for date, picture in zip(out, dates, strict=True):
        for band, own, other in zip(date, picture[rim].T, picture[ring].T, strict=True):
            (mean, spread), (mean_around, spread_around) = _moments(own, within, count), _moments(other, around, count)
            band[:] = (mean - mean_around) / np.sqrt((spread + spread_around) / 2 + NOISE**2)
    return out * (np.bincount(around, minlength=count + 1)[1:] >= LEAST_PX)


def _about(mask: Bool, far: int) -> tuple[slice, slice]:
    """The rectangle of a mask and so much around it, within the picture."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    top, left = max(0, int(rows[0]) - far), max(0, int(columns[0]) - far)
    return slice(top, int(rows[-1]) + far + 1), slice(left, int(columns[-1]) + far + 1)


def _moments(band: NDArray[np.uint8], of: NDArray[np.int32], count: int) -> tuple[Values, Values]:
    """(n,) mean and variance of the values of each of 1 … n; 0 of nothing."""
    values = band.astype(np.float64)
    sizes = np.maximum(np.bincount(of, minlength=count + 1)[1:], 1)
    sums, squares = (np.bincount(of, weights=x, minlength=count + 1)[1:] for x in (values, values**2))
    mean = sums / sizes
    return mean, squares / sizes - mean**2
