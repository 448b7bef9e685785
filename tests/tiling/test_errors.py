"""Errors say file, found, wanted and remedy in one line, and survive a trip to another process."""

from __future__ import annotations

import pickle

import pytest

from tiling.errors import (
    BlockError,
    DiskFullError,
    ExistsError,
    GridError,
    OptionError,
    OutputError,
    SourceError,
    StoreError,
    TilingError,
)

KINDS: list[tuple[type[TilingError], type[Exception]]] = [
    (SourceError, ValueError),
    (GridError, ValueError),
    (OptionError, ValueError),
    (StoreError, RuntimeError),
    (DiskFullError, OSError),
    (BlockError, RuntimeError),
    (OutputError, OSError),
    (ExistsError, OSError),
]


@pytest.mark.parametrize(("kind", "builtin"), KINDS)
def test_an_error_is_one_line_with_file_found_wanted_and_remedy(
    kind: type[TilingError], builtin: type[Exception]
) -> None:
    """E10: one line on stderr, also where GDAL's own message holds a line break."""
    error = kind("a b.tif", found="no\nCRS", wanted="a CRS", remedy="--assume-crs EPSG:32633")
    assert str(error) == "a b.tif: found no CRS; wanted a CRS; remedy: --assume-crs EPSG:32633"
    assert isinstance(error, builtin)


@pytest.mark.parametrize(("kind", "builtin"), KINDS)
def test_an_error_is_the_same_after_pickling(kind: type[TilingError], builtin: type[Exception]) -> None:
    error = pickle.loads(pickle.dumps(kind("x", found="f", wanted="w", remedy="r")))  # noqa: S301 (our own bytes)
    assert type(error) is kind
    assert (error.file, error.found, error.wanted, error.remedy) == ("x", "f", "w", "r")
    assert str(error) == "x: found f; wanted w; remedy: r"


def test_a_kind_with_an_extra_fact_keeps_it_after_pickling() -> None:
    error = BlockError("x", found="f", wanted="w", remedy="r")
    error.__dict__["window"] = (0, 0, 2, 2)
    assert pickle.loads(pickle.dumps(error)).__dict__["window"] == (0, 0, 2, 2)  # noqa: S301 (our own bytes)
