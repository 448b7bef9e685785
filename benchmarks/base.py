"""The published network with random weights: seconds of one tile, and of a further sentence on it.

python benchmarks/base.py [--layers 24] [--precision fp32 bf16] [--device cpu] [--batch 1]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from geomtrs.device import choose
from geomtrs.models.letterbox import Letterbox
from geomtrs.models.mtrefseg import BaseParams, Look, MTRefSeg, build_base
from geomtrs.models.published import SIDE_PX
from geomtrs.nn.phi import PhiParams
from geomtrs.nn.swin import relative_places

WORDS = (262, 12420, 6832, 1474, 262, 8222, 5743, 326, 4120, 50296)  # ids of one expression


def median_s(action: Callable[[], object], device: str, repeats: int) -> float:
    """Median wall seconds; a GPU is waited for."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def random_network(layers: int, dtype: torch.dtype, device: str) -> MTRefSeg:
    """The network at full width with small random weights, made where it will run and nowhere else."""
    with torch.device("meta"):
        network = build_base(BaseParams(language=PhiParams(layers=layers)))
    generator = torch.Generator(device).manual_seed(0)
    state = {
        key: relative_places(12).to(device)
        if key.endswith("relative_position_index")
        else torch.empty(value.shape, dtype=dtype, device=device).normal_(0, 0.02, generator=generator)
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    return network.eval()


@torch.inference_mode()
def measure(precision: str, arguments: argparse.Namespace) -> None:
    """Prints one line of figures."""
    device = choose(arguments.device, precision)
    torch.set_num_threads(device.threads)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(device.precision, torch.float32)
    network = random_network(arguments.layers, dtype, device.name)
    images = torch.randint(0, 255, (arguments.batch, 3, SIDE_PX, SIDE_PX), dtype=torch.uint8, device=device.name)
    image = Letterbox.of(SIDE_PX, SIDE_PX, SIDE_PX).enter(images).to(dtype)
    words = torch.tensor(WORDS, device=device.name)
    looks: list[Look] = []

    def look() -> None:
        looks[:] = [network.look(torch.stack([image, image.flip(-1)], 1))]

    look()
    look_s = median_s(look, device.name, arguments.repeats)
    sentence_s = median_s(
        lambda: network.answer(looks[0].maps, network.ask(words, looks[0])), device.name, arguments.repeats
    )
    first = (look_s + sentence_s) / arguments.batch
    print(
        f"{device.description}, {arguments.layers} language layers, batch {arguments.batch}: {first:.2f} s a tile "
        f"({SIDE_PX * SIDE_PX / 1e6 / first:.3f} Mpx/s), a further sentence {sentence_s / arguments.batch / first:.2f} of that"
    )


def main() -> None:
    """Prints the figures of each precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for precision in arguments.precision:
        measure(precision, arguments)


if __name__ == "__main__":
    main()
