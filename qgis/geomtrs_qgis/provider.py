"""The geomtrs branch of the Processing toolbox, and its one setting: which environment answers."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .again import AgainAlgorithm
from .algorithm import ICON, SETTING
from .batch import BatchAlgorithm
from .detect import DetectAlgorithm
from .verify import VerifyAlgorithm


class GeomtrsProvider(QgsProcessingProvider):
    """Detect changes, ask again, batch over a folder, verify."""

    def id(self) -> str:
        """As in `geomtrs:detect`."""
        return "geomtrs"

    def name(self) -> str:
        """As users read it."""
        return "geomtrs"

    def longName(self) -> str:
        """As the options name it."""
        return "geomtrs: changed things by sentence"

    def icon(self) -> QIcon:
        """Two dates, one of them with something more."""
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:
        """The same for where QGIS wants a path."""
        return str(ICON)

    def load(self) -> bool:
        """The setting is in Settings › Options › Processing › Providers › geomtrs, the algorithms in the toolbox."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        what = "Program geomtrs, or the folder of its environment (empty: the one on PATH)"
        # A plain text: of FILE and FOLDER, QGIS would only let one be chosen.
        ProcessingConfig.addSetting(
            Setting(self.name(), SETTING, what, "", placeholder=str(Path("…") / "bin" / "geomtrs"))
        )
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """The setting is no longer shown."""
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self) -> None:
        """QGIS asks for them."""
        for algorithm in (DetectAlgorithm, AgainAlgorithm, BatchAlgorithm, VerifyAlgorithm):
            self.addAlgorithm(algorithm())
