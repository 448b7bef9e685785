"""The published network on a GPU, random weights: tiles a second, share of the card's own matrix rate, a second sentence.

python benchmarks/base_gpu.py [--device cuda] [--batch 1 4 8 16] [--layers 24]

The first line is how the authors evaluate: fp32, one tile at a time, each image encoded twice (so the comparison
halves our own fp32 rate of the encoder by counting it twice). Proven on a CPU with --device cpu --layers 2 --batch 1.
"""

from __future__ import annotations

import argparse

import torch
from base import WORDS, median_s, random_network

from geomtrs.models.mtrefseg import Look, MTRefSeg
from geomtrs.models.published import SIDE_PX
from geomtrs.nn.reader import ImageReader


def matrix_rate(device: str, dtype: torch.dtype, side: int) -> float:
    """Floating-point operations a second of one large product: the peak that this card reaches, not its leaflet's."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    a @ b
    return 2 * side**3 / median_s(lambda: a @ b, device, 5)


@torch.inference_mode()
def measure(network: MTRefSeg, dtype: torch.dtype, arguments: argparse.Namespace, batch: int) -> dict[str, float]:
    """Seconds a tile of the first sentence, of a second one, and of the language model's prompt; the encoder's alone."""
    device = arguments.device
    dates = torch.randn(batch, 2, 3, SIDE_PX, SIDE_PX, dtype=dtype, device=device)
    words = torch.tensor(WORDS, device=device)
    looks: list[Look] = []

    def look() -> None:
        looks[:] = [network.look(dates)]

    def answer() -> None:
        network.answer(looks[0].maps, network.ask(words, looks[0]))

    reader = network.language
    assert isinstance(reader, ImageReader)
    prompt = torch.randn(batch, 206, reader.phi.params.width, dtype=dtype, device=device)
    actions = {
        "look": look,
        "answer": answer,
        "prompt": lambda: reader.phi(prompt),
        "encoder": lambda: network.encoder(dates.flatten(0, 1)),
    }
    for action in actions.values():
        action()
    return {name: median_s(action, device, arguments.repeats) / batch for name, action in actions.items()}


def main() -> None:
    """Prints a line a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    published = 0.0
    for dtype, batches in ((torch.float32, [1]), (torch.bfloat16, arguments.batch)):
        network = random_network(arguments.layers, dtype, arguments.device)
        reader = network.language
        assert isinstance(reader, ImageReader)
        rate = matrix_rate(arguments.device, dtype, 8192 if arguments.device.startswith("cuda") else 1024)
        for batch in batches:
            took = measure(network, dtype, arguments, batch)
            first = took["look"] + took["answer"]
            published = published or 1 / (first + took["encoder"])
            weights = sum(p.numel() for p in reader.phi.layers.parameters())
            share = 2 * weights * 206 / took["prompt"] / rate
            print(
                f"{str(dtype).removeprefix('torch.')}, batch {batch}: {1 / first:.2f} tiles/s, "
                f"{1 / first / published:.1f} x the published way, language model at {share:.0%} of "
                f"{rate / 1e12:.1f} Tflop/s, a second sentence {took['answer'] / first:.2f} of the first"
            )
        del network, reader


if __name__ == "__main__":
    main()
