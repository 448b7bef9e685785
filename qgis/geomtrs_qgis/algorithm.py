"""What the algorithms have in common: how they ask, what they tell, which parameters they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsProcessingUtils,
)
from qgis.PyQt.QtGui import QIcon

from .command import CommandError, Ended, find_program, run

ICON = Path(__file__).parent / "icon.svg"
SETTING = "GEOMTRS_PROGRAM"
QUERY, MODEL, ENLARGE, THRESHOLD, MIN_AREA = "QUERY", "MODEL", "ENLARGE", "THRESHOLD", "MIN_AREA"
REPLACE, RASTERS, OUTPUT = "REPLACE", "RASTERS", "OUTPUT"
AS_IT_WANTS = "as the model wants"
DONE, FAILED, IN_PART, INTERRUPTED = 0, 1, 3, 130


class GeomtrsAlgorithm(QgsProcessingAlgorithm):
    """One command of geomtrs; `replaces` are its options that start over."""

    replaces: tuple[str, ...] = ()

    def createInstance(self) -> GeomtrsAlgorithm:
        """QGIS runs a copy."""
        return type(self)()

    def icon(self) -> QIcon:
        """That of the provider."""
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:
        """The same for where QGIS wants a path."""
        return str(ICON)

    def canExecute(self) -> tuple[bool, str]:
        """Whether there is a geomtrs to ask; QGIS shows the reason instead of the dialogue where there is none."""
        try:
            find_program(_setting())
        except CommandError as error:
            return False, str(error)
        return True, ""

    def ask(self, arguments: list[str], feedback: QgsProcessingFeedback) -> Ended:
        """How the command ended; its progress is shown, and it stops when the user says so.

        Raises QgsProcessingException with the command's own line where it failed or was stopped.
        """
        try:
            program = find_program(_setting())
            feedback.pushCommandInfo(" ".join(f'"{part}"' if " " in part else part for part in [program, *arguments]))
            ended = run(program, arguments, lambda event: _tell(event, feedback), feedback.isCanceled)
        except CommandError as error:
            raise QgsProcessingException(str(error)) from error
        if feedback.isCanceled() or ended.code == INTERRUPTED:
            raise QgsProcessingException("stopped; what is finished is kept: the same once more goes on")
        if ended.code not in {DONE, IN_PART} and (ended.error or ended.code != FAILED):
            raise QgsProcessingException(ended.error or f"geomtrs ended with code {ended.code} and without a word")
        return ended

    def add_answer_parameters(self, *, further: bool = False) -> None:
        """Sentences, threshold, smallest area, model and size of its pixels: as `answer_arguments` reads them.

        further  of an earlier run: its model answers, and what is left empty is as it was there
        """
        query = QgsProcessingParameterString(QUERY, "What to look for, a sentence a line", multiLine=True)
        query.setHelp(
            "“the buildings that appeared”, “the two largest new lakes over 1 ha”. Each line is asked by itself."
        )
        threshold = QgsProcessingParameterNumber(
            THRESHOLD, "Probability from which a pixel is in the mask", _real(), None if further else 0.5,
            optional=further, minValue=0.01, maxValue=1.0,
        )  # fmt: skip
        area = QgsProcessingParameterNumber(
            MIN_AREA, "Smallest polygon, m²", _real(), None if further else 0.0, optional=further, minValue=0.0
        )
        self.addParameter(query)
        self.addParameter(threshold)
        self.addParameter(area)
        if not further:
            model = QgsProcessingParameterString(MODEL, "Model", "nano")
            model.setHelp("nano, differencing, … : `geomtrs model list` names those of the environment.")
            self.add_advanced(model)
            enlarge = QgsProcessingParameterEnum(
                ENLARGE, "Show the model the pixels so many times as large", [AS_IT_WANTS, "1", "2", "4"],
                defaultValue=AS_IT_WANTS, usesStaticStrings=True,
            )  # fmt: skip
            enlarge.setHelp("Finer, and slower by its square. nano wants 2 from pixels of 4 m on, else 1.")
            self.add_advanced(enlarge)

    def add_advanced(self, parameter: QgsProcessingParameterDefinition) -> None:
        """The parameter, folded away at first."""
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        self.addParameter(parameter)

    def add_output_parameter(self, *, optional: bool = False) -> None:
        """The folder of the answers, and whether what lies there is replaced."""
        words = f"Replace what an earlier run left in the folder ({', '.join(self.replaces)})"
        self.add_advanced(QgsProcessingParameterBoolean(REPLACE, words, False))
        self.addParameter(
            QgsProcessingParameterFolderDestination(
                OUTPUT, "Folder of the answers", optional=optional, createByDefault=not optional
            )
        )

    def add_run_results(self) -> None:
        """Whether rasters are loaded, and what `answered` returns."""
        self.add_advanced(QgsProcessingParameterBoolean(RASTERS, "Load masks and probabilities, too", False))
        self.addOutput(QgsProcessingOutputVectorLayer("POLYGONS", "Polygons, a layer a sentence"))
        self.addOutput(QgsProcessingOutputFile("PROJECT", "QGIS project of the answers"))
        self.addOutput(QgsProcessingOutputNumber("FOUND", "Number of polygons"))

    def answered(
        self,
        arguments: list[str],
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Results of a command that answers sentences about one place; its polygons are loaded."""
        run = self.ask(arguments, feedback).facts
        for warning in run.get("warnings", ()):
            feedback.pushWarning(warning)
        folder = Path(run["job"]["spec"]["out"])
        for query in run["queries"]:
            feedback.pushInfo(f"found {query['polygons']} for “{query['text']}”")
            load(context, f"{folder / 'changes.gpkg'}|layername={query['layer']}", query["text"])
        if self.parameterAsBoolean(parameters, RASTERS, context):
            for output in run["outputs"]:
                if output["role"] in {"mask", "probability"}:
                    load(context, str(folder / output["file"]), f"{output['role']}: {output['query']}", raster=True)
        return {
            OUTPUT: str(folder),
            "POLYGONS": str(folder / "changes.gpkg"),
            "PROJECT": str(folder / "project.qgz"),
            "FOUND": sum(query["polygons"] for query in run["queries"]),
        }

    def answer_arguments(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        """What the command is told of the shared parameters."""
        sentences = [line.strip() for line in self.parameterAsString(parameters, QUERY, context).splitlines()]
        if not any(sentences):
            raise QgsProcessingException(
                "What to look for: found nothing; wanted a sentence; remedy: write what changed"
            )
        told = {
            "model": self.parameterAsString(parameters, MODEL, context).strip(),
            "enlarge": self.parameterAsEnumString(parameters, ENLARGE, context).replace(AS_IT_WANTS, ""),
            "threshold": self._number(parameters, THRESHOLD, context),
            "min-area": self._number(parameters, MIN_AREA, context),
            "out": self.parameterAsString(parameters, OUTPUT, context),
        }
        return [
            *(f"--query={sentence}" for sentence in sentences if sentence),
            *(f"--{option}={value}" for option, value in told.items() if value),
            *(self.replaces if self.parameterAsBoolean(parameters, REPLACE, context) else ()),
            "--log-json",
            "--json",
        ]

    def _number(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> str:
        """As the command line reads it; nothing where it was left empty, which Processing would take for 0."""
        given = parameters.get(name, self.parameterDefinition(name).defaultValue())
        return "" if given is None else str(self.parameterAsDouble(parameters, name, context))


def load(context: QgsProcessingContext, source: str, name: str, *, raster: bool = False) -> None:
    """The layer is added to the map when the algorithm has ended, in the style that lies in or beside it."""
    hint = QgsProcessingUtils.LayerHint.Raster if raster else QgsProcessingUtils.LayerHint.Vector
    details = QgsProcessingContext.LayerDetails(name, context.project(), name, hint)
    context.addLayerToLoadOnCompletion(source, details)


def _real() -> Any:  # noqa: ANN401 (an enum of QGIS that moved between its versions)
    return QgsProcessingParameterNumber.Double


def _setting() -> str:
    return str(ProcessingConfig.getSetting(SETTING) or "")


def _tell(event: dict[str, Any], feedback: QgsProcessingFeedback) -> None:
    """One line of progress: text for the log, a share for the bar."""
    if event.get("text"):
        feedback.pushInfo(event["text"])
    total, done = event.get("total"), event.get("n_done", event.get("reused"))
    if total and isinstance(done, int):
        feedback.setProgress(100.0 * done / total)
    failure = event.get("failure")
    if failure:
        feedback.pushWarning(f"block {failure['block_id']}: {failure['reason']}")
