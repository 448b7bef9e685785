"""Scale bar, north arrow and hatching: what makes a picture of the ground a map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from PIL import Image, ImageDraw

from geomtrs.outputs.lettering import Font
from tiling.grid import ground_resolution_m
from tiling.ground import apply_affine, lonlat

INK = (32, 32, 36)
PAPER = (255, 255, 255)
# Steps of the scale bar: round lengths that divide well by two.
ROUND = (1, 2, 5, 10)
# A step towards the pole for the north arrow: 1e-4 degrees is 11 m, far above rounding in any CRS.
NORTH_STEP_DEG = 1e-4


@dataclass(frozen=True, slots=True)
class Ground:
    """How a grid lies on the ground: metres a pixel (x, y) and where north is, in pixels; None without a CRS."""

    metres: tuple[float, float] | None
    north: tuple[float, float] | None

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel on the ground over its height; 1 without a CRS."""
        return 1.0 if self.metres is None else self.metres[0] / self.metres[1]


def ground_of(geobox: GeoBox) -> Ground:
    """Metres and north at the centre of a grid."""
    if geobox.crs is None:
        return Ground(None, None)
    return Ground(ground_resolution_m(geobox), _north(geobox))


def scale_bar(metres_per_px: float, most_px: float) -> tuple[float, str]:
    """A round length of at most `most_px` on the picture: its pixels and its name ("50 m", "2 km")."""
    length = round_length(metres_per_px * most_px)
    return length / metres_per_px, metres_text(length)


def round_length(most: float) -> float:
    """The largest of 1, 2, 5 × 10ⁿ not above `most` (> 0)."""
    power = 10.0 ** math.floor(math.log10(most))
    # The tolerance keeps 2 when the logarithm or a sum of pixels gives 1.9999999.
    return max(step * power for step in ROUND if step * power <= most * (1 + 1e-9))


def metres_text(length: float) -> str:
    """A length as on a map: `2 km`, `50 m`, `5 cm`."""
    if length >= 1000:
        return f"{length / 1000:g} km"
    return f"{length:g} m" if length >= 1 else f"{length * 100:g} cm"


def draw_scale_bar(draw: ImageDraw.ImageDraw, right: float, middle: float, bar: tuple[float, str], font: Font) -> float:
    """The bar with its name left of it, ending at x = `right`; returns the x where it begins."""
    length, name = bar
    left = right - length
    draw.line((left, middle, right, middle), fill=INK, width=4)
    for x in (left, right):
        draw.line((x, middle - 8, x, middle + 8), fill=INK, width=3)
    draw.text((left - 12, middle), name, font=font, fill=INK, anchor="rm")
    return left - 12 - draw.textlength(name, font=font)


def draw_north(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], towards: tuple[float, float], font: Font
) -> None:
    """An arrow around `centre` that points along `towards` (x right, y down), N at its tip."""
    norm = math.hypot(*towards)
    ux, uy = towards[0] / norm, towards[1] / norm
    half, wide = 13.0, 7.0
    # The letter belongs to it: arrow and letter together lie around the centre.
    x, y = centre[0] - 7 * ux, centre[1] - 7 * uy
    tip = (x + ux * half, y + uy * half)
    tail = (x - ux * half, y - uy * half)
    notch = (x - ux * half * 0.45, y - uy * half * 0.45)
    for side, fill in ((1.0, INK), (-1.0, PAPER)):
        wing = (tail[0] - uy * wide * side, tail[1] + ux * wide * side)
        draw.polygon((tip, wing, notch), fill=fill, outline=INK)
    draw.text((x + ux * (half + 11), y + uy * (half + 11)), "N", font=font, fill=INK, anchor="mm")


def hatch(image: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with grey diagonal stripes where `where` (H, W) is true."""
    rows, cols = np.indices(where.shape, dtype=np.int32)
    stripes = np.where((rows + cols) % 12 < 3, 110, 205).astype(np.uint8)
    hatched: NDArray[np.uint8] = np.where(where[..., None], stripes[..., None], image)
    return hatched


def hatch_swatch(size: tuple[int, int]) -> Image.Image:
    """A sample of the hatching for the legend, (width, height) in pixels."""
    width, height = size
    return Image.fromarray(hatch(np.zeros((height, width, 3), np.uint8), np.ones((height, width), bool)))


def centre_lonlat(geobox: GeoBox) -> tuple[float, float]:
    """Degrees east and north of the grid's centre, not finite where the CRS does not reach it. It must have a CRS."""
    height, width = geobox.shape
    lon, lat = lonlat(geobox, np.array([width / 2]), np.array([height / 2]))
    return float(lon[0]), float(lat[0])


def _north(geobox: GeoBox) -> tuple[float, float] | None:
    """The direction of north at the grid's centre, in pixels (x right, y down); None where the CRS does not reach."""
    crs = geobox.crs
    if crs is None:
        return None
    lon, lat = centre_lonlat(geobox)
    # At the pole a step north leaves the sphere: the step that ends there then.
    south, north = (lat, lat + NORTH_STEP_DEG) if lat + NORTH_STEP_DEG <= 90 else (lat - NORTH_STEP_DEG, lat)
    from_lonlat = CRS("EPSG:4326").transformer_to_crs(crs)
    x, y = from_lonlat(np.array([lon, lon]), np.array([south, north]))
    columns, rows = apply_affine(~geobox.affine, x, y)
    dx, dy = float(columns[1] - columns[0]), float(rows[1] - rows[0])
    return (dx, dy) if 0 < math.hypot(dx, dy) < math.inf else None
