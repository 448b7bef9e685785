"""A cloud mask's name is taken apart where its band and bits begin, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from tiling.clouds import CloudName, cloud_name


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
        ("scl.tif=8", ("scl.tif", 1, None, (8,))),
        ("qa.tif:2=3,8,10", ("qa.tif", 2, None, (3, 8, 10))),
        ("scl.tif=3, 8", ("scl.tif", 1, None, (3, 8))),
        ("a=1.tif", ("a=1.tif", 1, None)),
        ("https://host/q?scene=5", ("https://host/q?scene=5", 1, None)),
        ("https://host/q?scene=5:1=8,9", ("https://host/q?scene=5", 1, None, (8, 9))),
        ("https://host/q?a=1&b2", ("https://host/q?a=1&b2", 1, None)),
        ("https://host:8080/q.tif", ("https://host:8080/q.tif", 1, None)),
    ],
)
def test_band_bits_and_values_are_numbers_at_the_end_of_the_name_a21(text: str, parts: tuple[Any, ...]) -> None:
    assert cloud_name(text) == CloudName(*parts)
