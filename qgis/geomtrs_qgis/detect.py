"""Detect changes: `geomtrs detect` over rasters of the project or of the disk."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterExtent,
    QgsProcessingParameterMultipleLayers,
)

from .algorithm import GeomtrsAlgorithm

IMAGES, EXTENT, KEEP = "IMAGES", "EXTENT", "KEEP"


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
        keep = "Keep what the model saw, for “Ask again” (21 MB per million pixels)"
        self.add_advanced(QgsProcessingParameterBoolean(KEEP, keep, False))
        self.add_output_parameter()
        self.add_run_results()

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Asks, and has the answers loaded."""
        arguments = ["detect", *self._images(parameters, context), *self.answer_arguments(parameters, context)]
        arguments += self._area(parameters, context)
        if self.parameterAsBoolean(parameters, KEEP, context):
            arguments.append("--keep-features")
        return self.answered(arguments, parameters, context, feedback)

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
