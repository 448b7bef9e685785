"""Any per-tile function over rasters of any size: a grid, a plan, workers, rasters and polygons out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiling.engine import run
    from tiling.errors import TilingError
    from tiling.stack import Stack, StackOptions, open_stack
    from tiling.store import BlockStore

__all__ = ["BlockStore", "Stack", "StackOptions", "TilingError", "open_stack", "run"]

# Imported on first use, so that `import tiling.errors` costs neither GDAL nor Dask. `plan` is not among them: the
# attribute `tiling.plan` is the module of that name as soon as anyone imports it; say `from tiling.plan import plan`.
_HOMES = {
    "BlockStore": "tiling.store",
    "Stack": "tiling.stack",
    "StackOptions": "tiling.stack",
    "TilingError": "tiling.errors",
    "open_stack": "tiling.stack",
    "run": "tiling.engine",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tiling' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
