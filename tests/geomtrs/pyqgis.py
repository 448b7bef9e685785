"""The QGIS of the system, run without a display as its users run it; tests that need it are skipped where it is not."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

SYSTEM_PYTHON = Path("/usr/bin/python3")
_START = """
import json, sys
from qgis.core import *
from qgis.PyQt.QtCore import QDateTime, QSize, Qt
from qgis.PyQt.QtGui import QColor
app = QgsApplication([], {gui})
app.initQgis()
def draw(layers, extent, crs, rows, columns, path="", moments=None):
    settings = QgsMapSettings()
    settings.setLayers(layers); settings.setExtent(extent); settings.setDestinationCrs(crs)
    settings.setOutputSize(QSize(columns, rows)); settings.setBackgroundColor(QColor("white"))
    if moments is not None:
        settings.setIsTemporal(True)
        settings.setTemporalRange(QgsDateTimeRange(*(QDateTime.fromString(one, Qt.ISODate) for one in moments)))
    job = QgsMapRendererParallelJob(settings); job.start(); job.waitForFinished()
    assert not job.errors(), [error.message for error in job.errors()]
    image = job.renderedImage()
    if path: image.save(path)
    return image
def shown(project):
    return [node.layer() for node in project.layerTreeRoot().findLayers() if node.isVisible()]
"""


@functools.cache
def _missing() -> bool:
    probe = [SYSTEM_PYTHON, "-c", "import qgis.core"]
    return not SYSTEM_PYTHON.exists() or bool(subprocess.run(probe, capture_output=True, check=False).returncode)


def environment(home: Path | None = None, **more: str) -> dict[str, str]:
    """Without a display and without what tests tell Python; `home` is where QGIS keeps its settings."""
    told = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    custom = {} if home is None else {"QGIS_CUSTOM_CONFIG_PATH": str(home)}
    return {**told, "QT_QPA_PLATFORM": "offscreen", "QT_LOGGING_RULES": "*=false", **custom, **more}


def require_qgis() -> None:
    """Skips the test, with the reason, where there is no QGIS."""
    if _missing():
        pytest.skip("no PyQGIS in the system's Python")


def qgis(script: str, *arguments: str | Path, gui: bool = False) -> Any:  # noqa: ANN401 (JSON)
    """What a script prints last, as JSON; `draw` and `shown` are there for it."""
    require_qgis()
    ran = subprocess.run(
        [SYSTEM_PYTHON, "-c", _START.replace("{gui}", str(gui)) + script, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])
