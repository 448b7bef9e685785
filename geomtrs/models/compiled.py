"""The image side of a network through OpenVINO: on processors two to three times as fast as torch.

Measured by benchmarks/run.py on the machine at hand; what the network computes stays the same but for rounding.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from openvino import CompiledModel, Core, Model
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from geomtrs.device import Device
from geomtrs.models.mtrefseg import MTRefSeg
from geomtrs.nn.mask_decoder import ImageMaps

_TRACED_PX = 64  # smaller is quicker to trace; the graph takes any multiple of 32


class CompiledLook:
    """`MTRefSeg.maps` of uint8 tiles, compiled once for whole tiles and once for all other shapes.

    A shape always takes the same way, so equal tiles give equal maps wherever they lie.
    """

    def __init__(self, network: MTRefSeg, device: Device, tile_px: int) -> None:
        """The network in evaluation mode, float32, on the CPU; `tile_px` is the side of a whole tile."""
        graph = _graph_of(network)
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if device.precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": device.threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        core = Core()
        self._any: CompiledModel = core.compile_model(graph, "CPU", hints)
        self._shape = (1, 2, 3, tile_px, tile_px)
        graph.reshape(list(self._shape))  # a fixed shape is a quarter faster
        self._whole: CompiledModel = core.compile_model(graph, "CPU", hints)

    def __call__(self, tiles: NDArray[np.uint8]) -> ImageMaps:
        """Tiles (B, 2, 3, H, W), sides divisible by 32 → float32 maps."""
        compiled = self._whole if tiles.shape == self._shape else self._any
        # A request of its own for each call: threads may share the network, not a request.
        found = compiled.create_infer_request().infer([np.ascontiguousarray(tiles)], share_inputs=True)
        return ImageMaps(*(torch.from_numpy(found[output]) for output in compiled.outputs))


class _Look(nn.Module):
    """The look at two dates as a module of its own, bytes in."""

    def __init__(self, network: MTRefSeg) -> None:
        super().__init__()
        self.network = network

    def forward(self, tiles: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.maps(tiles.float()))


def _graph_of(network: MTRefSeg) -> Model:
    """The traced network as OpenVINO reads it.

    The front end is asked directly: `openvino.convert_model` reports every conversion to its makers, and a run on
    somebody's imagery tells nobody.
    """
    example = torch.zeros((1, 2, 3, _TRACED_PX, _TRACED_PX), dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.trace says that it is old; OpenVINO reads nothing newer as well
        traced = torch.jit.trace(_Look(network).eval(), example, check_trace=False)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        decoder = TorchScriptPythonDecoder(traced, example_input=(example,))
        front = FrontEndManager().load_by_framework("pytorch")
        graph: Model = front.convert(front.load(decoder))
    return graph
