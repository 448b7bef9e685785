"""Every notebook runs from top to bottom."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def marks(path: Path) -> list[pytest.MarkDecorator]:
    """All but the first answer take more than a minute where the machine is busy."""
    return [] if path.stem.startswith("01") else [pytest.mark.slow]


@pytest.mark.timeout(1200)
# jupyter_client and zmq leave sockets and loops to the interpreter's end; nothing of ours is open there
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", [pytest.param(path, marks=marks(path)) for path in NOTEBOOKS], ids=lambda p: p.stem)
def test_notebook_runs_from_top_to_bottom(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat leaves it untyped
    for cell in notebook.cells:
        cell.source = cell.source.replace("MINUTES = 2.0", "MINUTES = 0.17")  # ten seconds of learning show the way
    NotebookClient(notebook, timeout=1000, kernel_name="python3").execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat leaves it untyped
    assert all(not cell.get("outputs") for cell in notebook.cells)
