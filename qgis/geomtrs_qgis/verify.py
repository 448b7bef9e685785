"""Verify: `geomtrs verify` over the folder of a finished run."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputBoolean,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFile,
)

from .algorithm import DONE, GeomtrsAlgorithm

FOLDER = "FOLDER"


class VerifyAlgorithm(GeomtrsAlgorithm):
    """Whether the outputs of a run still are what was written."""

    def name(self) -> str:
        """As in `geomtrs:verify`."""
        return "verify"

    def displayName(self) -> str:
        """As users read it."""
        return "Verify"

    def shortDescription(self) -> str:
        """One line."""
        return "Are the outputs of a run still what was written"

    def shortHelpString(self) -> str:
        """Beside the dialogue."""
        return (
            "Checks every output of a run: checksums, structure of the rasters, geometries, records that agree. Each "
            "fault is a line of the log.\n\nA project.qgz that you saved yourself is no fault."
        )

    def initAlgorithm(self, _configuration: object = None) -> None:
        """Parameters and results."""
        self.addParameter(
            QgsProcessingParameterFile(FOLDER, "Folder of a finished run", QgsProcessingParameterFile.Folder)
        )
        self.addOutput(QgsProcessingOutputBoolean("SOUND", "Everything is as it was written"))
        self.addOutput(QgsProcessingOutputNumber("FAULTS", "Number of faults"))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Asks, and tells every fault."""
        ended = self.ask(["verify", self.parameterAsString(parameters, FOLDER, context)], feedback)
        *faults, summary = ended.printed.splitlines() or [""]
        for fault in faults:
            feedback.pushWarning(fault)
        feedback.pushInfo(summary)
        return {"SOUND": ended.code == DONE, "FAULTS": len(faults)}
