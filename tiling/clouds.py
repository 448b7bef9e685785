"""How a cloud mask is named: the raster, which of its bands, which bits of that."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(r"(.*?)(?::(\d+))?(?:&(0[xX][0-9a-fA-F]+|\d+))?", re.DOTALL)


class CloudName(NamedTuple):
    """A cloud mask before it is opened; see CloudMask."""

    path: str
    band: int
    bits: int | None


def cloud_name(text: str) -> CloudName:
    """What ``PATH[:BAND][&BITS]`` names; band 1 and no bits where it tells none, bits decimal or as 0x28."""
    match = _NAME.fullmatch(text)
    assert match is not None, "the pattern takes any text"
    path, band, bits = match.groups()
    return CloudName(path, int(band or 1), int(bits, 16 if "x" in bits.lower() else 10) if bits else None)
