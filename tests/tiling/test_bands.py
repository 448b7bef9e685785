"""Red, green and blue are found by what a raster says: colours, names, wavelengths, sensors' codes."""

from __future__ import annotations

import pytest

from tiling.bands import BandLabels, choose_bands, find_band
from tiling.errors import SourceError


def labels(
    *descriptions: str, name: str = "scene.tif", colours: tuple[str, ...] = (), alpha: int | None = None
) -> BandLabels:
    """Labels with these descriptions; colours untold unless given."""
    return BandLabels(name, colours or ("undefined",) * len(descriptions), descriptions, alpha)


@pytest.mark.parametrize(
    ("raster", "bands"),
    [
        (labels("", "", "", colours=("blue", "green", "red")), (3, 2, 1)),
        (labels("Blue", "Green", "Red", "NIR"), (3, 2, 1)),
        (labels("surface blue band", "surface green band", "surface red band", "red edge"), (3, 2, 1)),
        (
            labels("(0.4825 Micrometers)", "(0.5650 Micrometers)", "(0.6600 Micrometers)", "(0.8250 Micrometers)"),
            (3, 2, 1),
        ),
        (labels("blue 490 nm", "560 nm", "665 nm"), (3, 2, 1)),
        (labels("B2", "B3", "B4", "B8"), (3, 2, 1)),
        (labels("B04", "B03", "B02", "B8A"), (1, 2, 3)),
        (labels("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"), (3, 2, 1)),
        (labels("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7"), (4, 3, 2)),
        (labels("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", name="/data/LE07_2001.tif"), (3, 2, 1)),
        (labels("B1", "B2", "B3", "B4", "B6", name="/tm/etm/LC08_2020.tif"), (4, 3, 2)),
    ],
)
def test_colours_are_found_by_what_the_raster_says(raster: BandLabels, bands: tuple[int, int, int]) -> None:
    choice = choose_bands(raster, None)
    assert choice.bands == bands
    assert choice.known


@pytest.mark.parametrize(
    ("raster", "bands"),
    [
        (labels("", "", "", ""), (1, 2, 3)),
        (labels(""), (1, 1, 1)),
        (labels("", ""), (1, 1, 1)),
        (labels("", "", "", "", alpha=1), (2, 3, 4)),
    ],
)
def test_bands_are_taken_by_position_where_nothing_is_said(raster: BandLabels, bands: tuple[int, int, int]) -> None:
    """NAIP tells no roles: red, green, blue, near infrared."""
    choice = choose_bands(raster, None)
    assert choice.bands == bands
    assert not choice.known


def test_a_wavelength_between_the_colours_is_none_of_them() -> None:
    assert find_band(labels("1.65 Micrometers", "2.22 Micrometers"), "red") is None


def test_codes_and_descriptions_can_be_asked_for_in_any_case() -> None:
    raster = labels("sr_band5", "sr_band4", "swir 1")
    assert choose_bands(raster, ("B5", "b4", "SWIR 1")).bands == (1, 2, 3)


@pytest.mark.parametrize("wanted", [(0,), (4,), ("9",), ("pink",), (1, 2)])
def test_bands_that_cannot_be_are_refused(wanted: tuple[int | str, ...]) -> None:
    with pytest.raises(SourceError, match=r"scene\.tif: found"):
        choose_bands(labels("red", "green", "blue"), wanted)
