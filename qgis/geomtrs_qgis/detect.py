"""Detect changes: `geomtrs detect` over rasters of the project or of the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterExtent,
    QgsProcessingParameterMultipleLayers,
)

from .algorithm import OUTPUT, GeomtrsAlgorithm, load

IMAGES, EXTENT, RASTERS = "IMAGES", "EXTENT", "RASTERS"


class DetectAlgorithm(GeomtrsAlgorithm):
    """The answers to sentences about two or more rasters of one place."""

    replaces = ("--overwrite", "--fresh")

    def name(self) -> str:
        """As in `geomtrs:detect`."""
        return "detect"

    def displayName(self) -> str:
        """As users read it."""
        return "Detect changes"

    def shortDescription(self) -> str:
        """One line."""
        return "Changed things that a sentence names, as polygons, masks and probabilities"

    def tags(self) -> list[str]:
        """What users search for."""
        return ["change detection", "satellite", "text", "referring segmentation", "deep learning"]

    def shortHelpString(self) -> str:
        """Beside the dialogue."""
        return (
            "Asks a sentence of two or more images of one place and loads the changed things as polygons.\n\n"
            "The order of the images is the order of time: drag them in the list. The grid of the answer is that of "
            "the first image.\n\n"
            "The folder also holds masks, probabilities, what was and was not looked at (coverage.tif), a picture, and "
            "project.qgz, which opens all of them over the images. A run that was stopped goes on when the same is "
            "asked once more into the same folder."
        )

    def initAlgorithm(self, _configuration: object = None) -> None:
        """Parameters and results."""
        images = QgsProcessingParameterMultipleLayers(
            IMAGES, "Images of one place, in order of time", QgsProcessing.TypeRaster
        )
        images.setMinimumNumberInputs(2)
        self.addParameter(images)
        self.add_answer_parameters()
        self.addParameter(QgsProcessingParameterExtent(EXTENT, "Area of interest", optional=True))
        self.add_advanced(QgsProcessingParameterBoolean(RASTERS, "Load masks and probabilities, too", False))
        self.add_output_parameter()
        self.addOutput(QgsProcessingOutputVectorLayer("POLYGONS", "Polygons, a layer a sentence"))
        self.addOutput(QgsProcessingOutputFile("PROJECT", "QGIS project of the answers"))
        self.addOutput(QgsProcessingOutputNumber("FOUND", "Number of polygons"))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Asks, and has the answers loaded."""
        arguments = ["detect", *self._images(parameters, context), *self.answer_arguments(parameters, context)]
        arguments += self._area(parameters, context)
        run = self.ask(arguments, feedback).facts
        for warning in run.get("warnings", ()):
            feedback.pushWarning(warning)
        folder = Path(self.parameterAsString(parameters, OUTPUT, context))
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

    def _images(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        """What GDAL reads the layers from."""
        layers = self.parameterAsLayerList(parameters, IMAGES, context)
        sources = []
        for layer in layers:
            if layer.providerType() != "gdal":
                raise QgsProcessingException(
                    f"{layer.name()}: found a layer of {layer.providerType()}; wanted a raster that GDAL reads; "
                    "remedy: export it as GeoTIFF"
                )
            sources.append(layer.source())
        if len(sources) < 2:
            raise QgsProcessingException(
                f"Images: found {len(sources)} that can be read; wanted two or more of one place; "
                "remedy: check the paths"
            )
        return sources

    def _area(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        box = self.parameterAsExtent(parameters, EXTENT, context)
        if box.isNull():
            return []
        crs = self.parameterAsExtentCrs(parameters, EXTENT, context)
        if not crs.isValid():
            raise QgsProcessingException(
                "Area of interest: found an extent without a CRS; wanted one; remedy: write it as W,E,S,N [EPSG:32633]"
            )
        corners = (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())
        return [f"--aoi={','.join(map(repr, corners))}", f"--aoi-crs={crs.authid() or crs.toWkt()}"]
