"""Ask a sentence of two satellite images, get the changed things back as GIS layers.

>>> import geomtrs
>>> answer = geomtrs.detect("2019.tif", "2023.tif", query="the buildings that appeared", out="out")  # doctest: +SKIP
>>> answer.polygons  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geomtrs.again import ask
    from geomtrs.archive.batch import batch
    from geomtrs.job import detect, plan, rerun, resume
    from geomtrs.models.catalog import load as load_model
    from geomtrs.query import Query
    from geomtrs.result import ChangeResult

    __version__: str

__all__ = ["ChangeResult", "Query", "__version__", "ask", "batch", "detect", "load_model", "plan", "rerun", "resume"]

_HOMES = {
    "ChangeResult": ("geomtrs.result", "ChangeResult"),
    "Query": ("geomtrs.query", "Query"),
    "ask": ("geomtrs.again", "ask"),
    "batch": ("geomtrs.archive.batch", "batch"),
    "detect": ("geomtrs.job", "detect"),
    "load_model": ("geomtrs.models.catalog", "load"),
    "plan": ("geomtrs.job", "plan"),
    "rerun": ("geomtrs.job", "rerun"),
    "resume": ("geomtrs.job", "resume"),
}


def __getattr__(name: str) -> object:
    """The public names, imported when first used, so that `import geomtrs` and `geomtrs --help` cost nothing."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # brings all of email along

        try:
            return version("geomtrs")
        except PackageNotFoundError:  # run from a folder of sources that was never installed
            return "0.0.0"
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    found: object = getattr(import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted(__all__)
