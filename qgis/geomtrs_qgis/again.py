"""Ask again: `geomtrs ask` over the folder of a finished run that kept what its model saw."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProcessingParameterFile

from .algorithm import GeomtrsAlgorithm

FOLDER = "FOLDER"


class AgainAlgorithm(GeomtrsAlgorithm):
    """The answers to further sentences about the scene of a run."""

    replaces = ("--overwrite", "--fresh")

    def name(self) -> str:
        """As in `geomtrs:ask`."""
        return "ask"

    def displayName(self) -> str:
        """As users read it."""
        return "Ask again"

    def shortDescription(self) -> str:
        """One line."""
        return "Further sentences about a scene, without looking at its images again"

    def tags(self) -> list[str]:
        """What users search for."""
        return ["change detection", "satellite", "text", "another sentence", "features"]

    def shortHelpString(self) -> str:
        """Beside the dialogue."""
        return (
            "Asks a further sentence of a run that kept what its model saw (“Detect changes”, advanced), and loads the "
            "changed things as polygons. It costs a fraction of the first run.\n\n"
            "What is left empty is as it was in that run. Without a folder of their own the answers lie in the folder "
            "of the run, in one that is called after the sentence."
        )

    def initAlgorithm(self, _configuration: object = None) -> None:
        """Parameters and results."""
        self.addParameter(
            QgsProcessingParameterFile(FOLDER, "Folder of a finished run", QgsProcessingParameterFile.Folder)
        )
        self.add_answer_parameters(further=True)
        self.add_output_parameter(optional=True)
        self.add_run_results()

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Asks, and has the answers loaded."""
        folder = self.parameterAsString(parameters, FOLDER, context)
        return self.answered(
            ["ask", folder, *self.answer_arguments(parameters, context)], parameters, context, feedback
        )
