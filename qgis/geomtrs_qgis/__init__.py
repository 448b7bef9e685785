"""geomtrs in QGIS: the command line of an environment of its own, as algorithms of the Processing toolbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .plugin import GeomtrsPlugin


def classFactory(_interface: object) -> GeomtrsPlugin:
    """The plugin; QGIS calls this name when it is switched on."""
    from .plugin import GeomtrsPlugin

    return GeomtrsPlugin()
