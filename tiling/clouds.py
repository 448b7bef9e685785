"""How a cloud mask is named: the raster, which of its bands, which bits or values of that; and what is no mask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tiling.errors import SourceError
from tiling.source import samples

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_NAME = re.compile(r"(.*?)(?::(\d+))?(?:&(0[xX][0-9a-fA-F]+|\d+)|=(\d+(?:, ?\d+)*))?", re.DOTALL)
# Classes of Sentinel-2's scene classification that no mask has beside clouds: bare ground, water, unclassified.
_SCL_GROUND, _SCL_LAST = (5, 6, 7), 11  # of 0 to 11


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
    classes = bool(found.size) and found.max() <= _SCL_LAST and bool(np.isin(_SCL_GROUND, found).any())
    if not classes and (clear or found.size < 2):
        return
    few = ", ".join(f"{value:g}" for value in found[:6]) + (" …" if found.size > 6 else "")
    raise SourceError(
        name.path,
        found=f"the values {few}{', classes as those of Sentinel-2’s SCL' if classes else ', none of them 0'}",
        wanted="0 where it is clear, or a word on what is cloud",
        remedy="name the values of clouds: --cloud-mask scl.tif=3,8,9,10 (shadow, cloud, cirrus), or its bits: "
        "'qa.tif&0x18', 'udm.tif&0xff' where all but 0 is cloud",
    )
