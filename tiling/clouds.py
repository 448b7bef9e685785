"""How a cloud mask is named: the raster, which of its bands, which bits or values of that; and what is no mask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tiling.errors import SourceError
from tiling.source import samples

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

_NAME = re.compile(r"(.*?)(?::(\d+))?(?:&(0[xX][0-9a-fA-F]+|\d+)|=(\d+(?:, ?\d+)*))?", re.DOTALL)
# Classes of Sentinel-2's scene classification, 0 to 11, that are no cloud: plants, soil, water, unclassified, snow.
# Where all of 1 to 4 are there and nothing beyond, it is a scale of clouds as others write it.
_SCL_GROUND, _SCL_LAST, _SCALE = (4, 5, 6, 7, 11), 11, (1, 2, 3, 4)
# Clear ground and clear water in Landsat's QA_PIXEL, which has some dozens of values; of a finer scale any may occur.
_LANDSAT_CLEAR, _LANDSAT_MOST = (21824, 21952), 64
_MOST = 255  # of a mask that is cloud everywhere; beyond, one value alone is a quality band's


class CloudName(NamedTuple):
    """A cloud mask before it is opened; see CloudMask."""

    path: str
    band: int
    bits: int | None
    values: tuple[int, ...] = ()


def cloud_name(text: str) -> CloudName:
    """What ``PATH[:BAND][&BITS]`` or ``PATH[:BAND]=VALUE,VALUE…`` names; band 1 and neither where it tells none.

    Bits are decimal or as 0x28. An address may end like values (``…?scene=5``): they need the band before them there.
    """
    match = _NAME.fullmatch(text)
    assert match is not None, "the pattern takes any text"
    path, band, bits, values = match.groups()
    if values and not band and "?" in path:
        return CloudName(text, 1, None)
    chosen = tuple(int(value) for value in values.split(",")) if values else ()
    return CloudName(path, int(band or 1), int(bits, 16 if "x" in bits.lower() else 10) if bits else None, chosen)


def refuse_classes(dataset: DatasetReader, name: CloudName) -> None:
    """Raises SourceError for classes or bits that are given whole: "not 0" would be cloud nearly everywhere.

    Looked up in up to 16 windows of 512 px.
    """
    found = np.unique(np.concatenate([one.ravel() for one in samples(dataset, name.band)]))
    clear = 0 in found  # though it be declared nodata
    found = found[~np.isnan(found) & (found != dataset.nodatavals[name.band - 1])]
    what = _kind(found, clear)
    if what is None:
        return
    few = ", ".join(f"{value:g}" for value in found[:6]) + (" …" if found.size > 6 else "")
    raise SourceError(
        name.path,
        found=f"the value{'s' if found.size > 1 else ''} {few}, {what}",
        wanted="0 where it is clear, or a word on what is cloud",
        remedy="name the values of clouds: --cloud-mask scl.tif=3,8,9,10 (shadow, cloud, cirrus), or its bits: "
        "'qa.tif&0x18', 'udm.tif&0xff' where all but 0 is cloud",
    )


def _kind(found: NDArray[np.generic], clear: bool) -> str | None:
    """What the values of a band are, where they are no mask; `clear` where 0 is among them, which `found` may lack."""
    above = found[found != 0]
    if not above.size:
        return None
    if above.max() <= _SCL_LAST and np.isin(_SCL_GROUND, above).any() and not np.array_equal(above, _SCALE):
        return "classes as those of Sentinel-2’s SCL"
    if above.size <= _LANDSAT_MOST and np.isin(_LANDSAT_CLEAR, above).any():
        return "bits as those of Landsat’s QA_PIXEL"
    if not clear and (above.size > 1 or above.max() > _MOST):
        return "none of them 0" if above.size > 1 else "and nowhere 0"
    return None
