"""What QGIS switches on and off: nothing but the provider of the algorithms."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import GeomtrsProvider


class GeomtrsPlugin:
    """Holds the provider while the plugin is on."""

    def __init__(self) -> None:
        self.provider: GeomtrsProvider | None = None

    def initProcessing(self) -> None:
        """The algorithms are in the toolbox; `qgis_process` calls this alone."""
        self.provider = GeomtrsProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """As `initProcessing`: there are no menus of ours."""
        self.initProcessing()

    def unload(self) -> None:
        """The algorithms are gone."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
