"""A place so small that a run over it takes a second."""

from __future__ import annotations

import pytest

from tests.geomtrs.conftest import ground, write


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two dates with one thing that appeared, over the borders of twelve blocks."""
    folder, before = tmp_path_factory.mktemp("in"), ground()[:, :84, :110]
    after = before.copy()
    after[:, 20:50, 40:90] = 245
    return str(write(folder / "2019.tif", before)), str(write(folder / "2023.tif", after))
