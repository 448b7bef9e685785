"""A cloud mask's name is taken apart where its band and bits begin, and nowhere else."""

from __future__ import annotations

import pytest

from tiling.clouds import cloud_name


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("q.tif", ("q.tif", 1, None)),
        ("q.tif:3", ("q.tif", 3, None)),
        ("q.tif&8", ("q.tif", 1, 8)),
        ("q.tif&08", ("q.tif", 1, 8)),
        ("q.tif:4&0x28", ("q.tif", 4, 40)),
        ("fog&haze", ("fog&haze", 1, None)),
        ("fog&haze:2&0X1f", ("fog&haze", 2, 31)),
        ("https://host/q?a=1&b2", ("https://host/q?a=1&b2", 1, None)),
        ("https://host:8080/q.tif", ("https://host:8080/q.tif", 1, None)),
    ],
)
def test_band_and_bits_are_numbers_at_the_end_of_the_name_a21(text: str, parts: tuple[str, int, int | None]) -> None:
    assert cloud_name(text) == parts
