"""Which three bands of a raster are its red, green and blue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiling.errors import SourceError

_COLOURS = ("red", "green", "blue")
_NAMES = {"r": "red", "g": "green", "b": "blue", "nir": "nir", "near infrared": "nir", "near-infrared": "nir"}
_WAVELENGTH_UM = {"blue": (0.43, 0.53), "green": (0.53, 0.60), "red": (0.60, 0.70), "nir": (0.76, 0.95)}
_LANDSAT_TM = {"blue": "1", "green": "2", "red": "3", "nir": "4"}
_OLI_OR_SENTINEL_2 = {"blue": "2", "green": "3", "red": "4", "nir": "8"}

_RED_EDGE = re.compile(r"red[ _-]?edge", re.IGNORECASE)  # a colour of its own
_WAVELENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(micrometers?|microns?|[uµμ]m|nanometers?|nm)\b", re.IGNORECASE)
_CODE = re.compile(r"(?<![a-z0-9])(?:sr_?)?b(?:and)?[ _]?(0?)(\d{1,2}a?)(?![a-z0-9])", re.IGNORECASE)
_TM_NAME = re.compile(r"(?<![a-z0-9])(?:L[TEM]0[4-7](?![0-9])|ETM|TM(?![a-z0-9])|L7\d{4,})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BandLabels:
    """What a raster says of its bands: all it takes to find red, green and blue.

    name          the file, for errors
    colours       colour interpretation of each band ("red", "gray", "alpha", …)
    descriptions  description of each band, "" where there is none; file stems where a band is a file
    alpha         index (from 1) of the band that holds transparency, None where there is none
    """

    name: str
    colours: tuple[str, ...]
    descriptions: tuple[str, ...]
    alpha: int | None = None


@dataclass(frozen=True, slots=True)
class BandChoice:
    """Bands (from 1) shown as red, green, blue, and how they were found.

    known  the raster itself says which band is which colour; else they are taken by position
    """

    bands: tuple[int, int, int]
    known: bool


def choose_bands(labels: BandLabels, wanted: Sequence[int | str] | None) -> BandChoice:
    """The three bands a model is shown.

    wanted  one band (repeated) or three, each a number from 1 or a name: a colour, a description, a code such as "B4".
            None: by colour interpretation, else names, wavelengths or sensor codes in the descriptions, else the first
            three; fewer than three bands: the first, repeated.

    Raises SourceError naming the bands there are.
    """
    if wanted is not None:
        if len(wanted) not in (1, 3):
            raise SourceError(
                labels.name, found=f"{len(wanted)} bands asked for", wanted="one or three", remedy="--bands R,G,B"
            )
        found = [_resolve(labels, one) for one in wanted]
        return BandChoice((found[0], found[-2] if len(found) == 3 else found[0], found[-1]), known=True)
    by_colour = [find_band(labels, colour) for colour in _COLOURS]
    red, green, blue = by_colour
    if red and green and blue:
        return BandChoice((red, green, blue), known=True)
    data = [band for band in range(1, len(labels.colours) + 1) if band != labels.alpha]
    if len(data) >= 3:
        return BandChoice((data[0], data[1], data[2]), known=False)
    return BandChoice((data[0], data[0], data[0]), known=False)


def find_band(labels: BandLabels, colour: str) -> int | None:
    """The band (from 1) that the raster says is red, green, blue or nir; None where it does not say."""
    if colour in labels.colours:
        return labels.colours.index(colour) + 1
    texts = [_RED_EDGE.sub("edge", text).strip().lower() for text in labels.descriptions]
    names = [_NAMES.get(text, text) for text in texts]
    for test in (lambda text: text == colour, lambda text: re.search(rf"(?<![a-z]){colour}(?![a-z])", text)):
        hits = [index for index, text in enumerate(names, 1) if test(text)]
        if len(hits) == 1:
            return hits[0]
    return _by_wavelength(labels, colour) or _by_code(labels, colour)


def _by_wavelength(labels: BandLabels, colour: str) -> int | None:
    low, high = _WAVELENGTH_UM[colour]
    waves = [_wavelength_um(text) for text in labels.descriptions]
    hits = [(abs(wave - (low + high) / 2), index) for index, wave in enumerate(waves, 1) if wave and low <= wave < high]
    return min(hits)[1] if hits else None


def _wavelength_um(text: str) -> float | None:
    match = _WAVELENGTH.search(text)
    if match is None:
        return None
    value = float(match[1])
    return value / 1000 if match[2].lower().startswith("n") else value


def _by_code(labels: BandLabels, colour: str) -> int | None:
    """By band codes (B2, SR_B4, band3): those of Landsat 4–7 where names or the lack of a band 6 say so."""
    codes = [_code(text) for text in labels.descriptions]
    if codes.count(None) == len(codes):
        return None
    texts = (Path(labels.name).name, *labels.descriptions)
    is_tm = any(map(_TM_NAME.search, texts)) or ("1" in codes and "7" in codes and "6" not in codes)
    code = (_LANDSAT_TM if is_tm else _OLI_OR_SENTINEL_2)[colour]
    return codes.index(code) + 1 if codes.count(code) == 1 else None


def _code(text: str) -> str | None:
    match = _CODE.search(text)
    return match[2].upper() if match else None


def _resolve(labels: BandLabels, wanted: int | str) -> int:
    count = len(labels.colours)
    text = str(wanted).strip()
    if text.isdecimal():
        if 1 <= int(text) <= count:
            return int(text)
    else:
        lowered = text.lower()
        exact = [i for i, one in enumerate(labels.descriptions, 1) if one.strip().lower() == lowered]
        if exact:
            return exact[0]
        name = _NAMES.get(lowered, lowered)
        band = find_band(labels, name) if name in _WAVELENGTH_UM else None
        code = _code(text)
        codes = [_code(one) for one in labels.descriptions]
        if band is None and code is not None and codes.count(code) == 1:
            band = codes.index(code) + 1
        if band is not None:
            return band
    told = ", ".join(text or colour for text, colour in zip(labels.descriptions, labels.colours, strict=True))
    raise SourceError(
        labels.name,
        found=f"{count} band{'s' * (count != 1)} ({told})",
        wanted=f"band {text}",
        remedy="give --bands as numbers from 1",
    )
