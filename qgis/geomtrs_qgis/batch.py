"""Batch over a folder: `geomtrs batch` over all pairs that a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterFile,
    QgsVectorLayer,
)

from .algorithm import OUTPUT, GeomtrsAlgorithm, load

INPUT = "INPUT"


class BatchAlgorithm(GeomtrsAlgorithm):
    """The answers to sentences about every scene of a folder."""

    replaces = ("--fresh",)

    def name(self) -> str:
        """As in `geomtrs:batch`."""
        return "batch"

    def displayName(self) -> str:
        """As users read it."""
        return "Batch over a folder"

    def shortDescription(self) -> str:
        """One line."""
        return "Changed things in every pair of images that a folder holds"

    def tags(self) -> list[str]:
        """What users search for."""
        return ["change detection", "satellite", "archive", "many scenes"]

    def shortHelpString(self) -> str:
        """Beside the dialogue."""
        return (
            "Asks a sentence of every scene of a folder, loads all changed things and the ledger of the scenes.\n\n"
            "Two rasters are a scene when they share half their ground and their names, tags or folders tell dates "
            "that follow each other. One bad scene does not stop the others: the ledger says why it failed.\n\n"
            "A batch that was stopped goes on when the same is asked once more into the same folder."
        )

    def initAlgorithm(self, _configuration: object = None) -> None:
        """Parameters and results."""
        self.addParameter(QgsProcessingParameterFile(INPUT, "Folder of the images", QgsProcessingParameterFile.Folder))
        self.add_answer_parameters()
        self.add_output_parameter()
        self.addOutput(QgsProcessingOutputVectorLayer("POLYGONS", "Polygons of all scenes"))
        self.addOutput(QgsProcessingOutputVectorLayer("LEDGER", "Scenes and what became of them"))
        self.addOutput(QgsProcessingOutputFile("PROJECT", "QGIS project of the batch"))
        self.addOutput(QgsProcessingOutputNumber("DONE", "Scenes done"))
        self.addOutput(QgsProcessingOutputNumber("FAILED", "Scenes that failed"))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Asks scene by scene, and has the answers loaded."""
        source = self.parameterAsString(parameters, INPUT, context)
        facts = self.ask(["batch", source, *self.answer_arguments(parameters, context)], feedback).facts
        for scene, reason in facts["failed"].items():
            feedback.pushWarning(f"{scene}: {reason}")
        folder = Path(self.parameterAsString(parameters, OUTPUT, context))
        polygons, ledger = folder / "all.gpkg", folder / "ledger.gpkg"
        load(context, f"{ledger}|layername=scenes", "scenes")
        for layer in _layers(polygons):
            load(context, f"{polygons}|layername={layer}", layer)
        counts = facts["counts"]
        return {
            OUTPUT: str(folder),
            "POLYGONS": str(polygons),
            "LEDGER": str(ledger),
            "PROJECT": str(folder / "project.qgz"),
            "DONE": counts.get("done", 0),
            "FAILED": counts.get("failed", 0),
        }


def _layers(path: Path) -> list[str]:
    """Names of the polygon layers of a GeoPackage: `number!!::!!name!!::!!count…`, as QGIS lists them."""
    opened = QgsVectorLayer(str(path), "all", "ogr")  # held by a name: its provider goes with it
    parts = [text.split("!!::!!") for text in opened.dataProvider().subLayers()]
    return [part[1] for part in parts if part[1] != "layer_styles"]
