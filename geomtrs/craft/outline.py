"""What the outline of a mask tells without a model: how much of it is solid, whether its patches are one thing each,
and how distinct they are from what is around them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from geomtrs.craft.protocols import Bool

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
    """The least share of its hull that a patch of the mask fills; 0 of an empty mask."""
    shapes = rasterio.features.shapes(mask.astype(np.uint8), mask=mask)
    patches = [shapely.geometry.shape(patch) for patch, _ in shapes]
    return min((float(patch.area / patch.convex_hull.area) for patch in patches), default=0.0)


def distinct(patches: NDArray[np.int32], dates: Sequence[NDArray[np.uint8]]) -> Values:
    """(dates, n): by how many deviations the colour along the edge of a patch 1 … n differs from that around it.

    patches  (H, W), 0 around them
    dates    (H, W, bands) each

    Of the bands the one that tells most; 0 where nothing is around a patch.
    """
    count = int(patches.max())
    about = _about(patches > 0, RING_PX[1])
    patches, dates = patches[about], [date[about] for date in dates]
    inside = ndimage.distance_transform_cdt(np.pad(patches > 0, 1, mode="edge"))[1:-1, 1:-1]
    far, (rows, columns) = ndimage.distance_transform_cdt(patches == 0, return_indices=True)
    rim, ring = (patches > 0) & (inside <= RIM_PX), (far >= RING_PX[0]) & (far <= RING_PX[1])
    within, around = patches[rim], patches[rows[ring], columns[ring]]
    out = np.zeros((len(dates), count))
    for date, picture in zip(out, dates, strict=True):
        for own, other in zip(picture[rim].T, picture[ring].T, strict=True):
            (mean, spread), (mean_around, spread_around) = _moments(own, within, count), _moments(other, around, count)
            apart = np.abs(mean - mean_around) / np.sqrt((spread + spread_around) / 2 + NOISE**2)
            np.maximum(date, apart, out=date)
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
