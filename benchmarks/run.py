"""Figures of one machine, side by side in one run: speed of the whole job against its bare parts.

python benchmarks/run.py [--side 4096] [--memory-side 20000]

Absolute times depend on the machine, whose cores and instruction sets are printed; ratios are the ones to compare.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import rasterio.features
import torch
from numpy.typing import NDArray

import geomtrs
from geomtrs.data.scenes import draw_scene
from geomtrs.demo import ORIGIN, SENTENCE, write_drawn
from geomtrs.device import ENGINES, choose, cores, with_engine
from geomtrs.models.nano import TILE_SPEC, load_nano
from geomtrs.query import Query
from tiling.plan import plan as make_plan
from tiling.stack import Stack, open_stack

TEN = [
    f"the {thing} that {verb}"
    for thing in ("buildings", "roads", "trees", "fields", "ponds")
    for verb in ("appeared", "disappeared")
]


def median_of(action: Callable[[], object], repeats: int = 3) -> float:
    """Median wall seconds of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def machine() -> str:
    """Cores and the instruction sets that matter."""
    flags: set[str] = set()
    if Path("/proc/cpuinfo").exists():
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    sets = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{cores()} cores, {', '.join(sets) or torch.backends.cpu.get_cpu_capability()}, {with_engine(choose()).description}"


def draw(folder: Path, side: int) -> tuple[str, str]:
    """A drawn pair of `side` pixels: one drawing of up to 2048, repeated."""
    pair = draw_scene(np.random.default_rng(5), (min(side, 2048),) * 2, gsd_m=0.5)
    paths = []
    for name, pixels in (("before.tif", pair.before), ("after.tif", pair.after)):
        repeats = -(-side // pixels.shape[0])
        write_drawn(folder / name, np.tile(pixels, (repeats, repeats, 1))[:side, :side])
        paths.append(str(folder / name))
    return paths[0], paths[1]


def tiles_of(stack: Stack) -> list[NDArray[np.uint8]]:
    """Every tile's pixels as the job cuts them, each (1, 2, 3, h, w)."""
    spec = TILE_SPEC
    plan = make_plan(
        stack.geobox, tile_px=spec.tile_px, halo_px=spec.halo_px, feather_px=spec.feather_px, block_tiles=4
    )
    return [stack.read(tile.read).pixels[None] for block in plan.blocks for tile in block.tiles]


def speed(folder: Path, side: int) -> None:
    """The whole job against the sum of its bare parts, and what a further sentence costs."""
    before, after = draw(folder, side)
    megapixels = side * side / 1e6
    model = load_nano(None, with_engine(choose()))
    stack = open_stack([[before], [after]])
    tiles = tiles_of(stack)
    one, ten = model.prepare([Query(SENTENCE)]), model.prepare([Query(s) for s in TEN])
    sample = tiles[: max(1, 64_000_000 // (tiles[0].size))]
    share = sum(t.shape[-1] * t.shape[-2] for t in tiles) / sum(t.shape[-1] * t.shape[-2] for t in sample)

    def forward(prepared: object) -> None:
        for tile in sample:
            model.answer(model.features(tile), prepared)  # type: ignore[arg-type]  # what prepare gave

    forward(one)
    model_one, model_ten = median_of(lambda: forward(one)) * share, median_of(lambda: forward(ten)) * share
    plain = load_nano(None, choose())  # the encoder alone is only torch's: both by torch
    encoder = _encoder_seconds(plain.network, sample[len(sample) // 2])
    whole = _network_seconds(plain, sample[len(sample) // 2], one)

    def detect(sentences: list[str]) -> geomtrs.ChangeResult:
        return geomtrs.detect(before, after, query=sentences, out=folder / "out", overwrite=True, fresh=True)

    end_one = median_of(lambda: detect([SENTENCE]))
    timing = json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))["timing_s"]
    end_ten = median_of(lambda: detect(TEN), 1)
    bare_read = median_of(lambda: _read_all(before, after))
    detect([SENTENCE])
    with rasterio.open(next((folder / "out").glob("mask*.tif"))) as raster:
        mask = raster.read(1)
    with rasterio.open(next((folder / "out").glob("probability*.tif"))) as raster:
        probability = raster.read(1)
    bare_write = median_of(lambda: [_write_cog(folder / "bare.tif", a) for a in (mask, probability, mask)])
    bare_shapes = median_of(lambda: list(rasterio.features.shapes(mask, mask=mask == 1, transform=ORIGIN)))
    bare = model_one + bare_read + bare_write + bare_shapes
    print(f"scene                 {side} x {side} px, {megapixels:.1f} Mpx, {len(tiles)} tiles")
    print(f"end to end            {end_one:.2f} s = {megapixels / end_one:.2f} Mpx/s")
    print(
        f"bare parts            {bare:.2f} s: forward {model_one:.2f}, read {bare_read:.2f}, COGs {bare_write:.2f}, polygons {bare_shapes:.2f}"
    )
    print(f"end to end / bare     {end_one / bare:.2f} (target 1.15)")
    print(f"network / encoder     {whole / encoder:.2f} (target 2)")
    print(f"ten sentences / one   model {model_ten / model_one:.2f} (target 2), end to end {end_ten / end_one:.2f}")
    print("time by part          " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in timing.items()))
    _engines(tiles[len(tiles) // 2])


def _encoder_seconds(network: torch.nn.Module, tile: NDArray[np.uint8]) -> float:
    dates = torch.from_numpy(tile[0]).float().contiguous(memory_format=torch.channels_last)
    bf16 = choose().precision == "bf16"
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        return median_of(lambda: network.encoder(dates), 9)


def _network_seconds(model: object, tile: NDArray[np.uint8], prepared: object) -> float:
    return median_of(lambda: model.answer(model.features(tile), prepared), 9)  # type: ignore[attr-defined]  # a Nano


def _read_all(*paths: str) -> None:
    for path in paths:
        with rasterio.open(path) as raster:
            for _, window in raster.block_windows(1):
                raster.read(window=window)


def _write_cog(path: Path, array: NDArray[np.uint8]) -> None:
    plain = path.with_suffix(".plain.tif")
    profile = {
        "driver": "GTiff",
        "height": array.shape[0],
        "width": array.shape[1],
        "count": 1,
        "dtype": "uint8",
        "transform": ORIGIN,
        "crs": "EPSG:32633",
    }
    with rasterio.open(plain, "w", tiled=True, **profile) as target:
        target.write(array, 1)
    rasterio.shutil.copy(plain, path, driver="COG", compress="DEFLATE")


def _engines(tile: NDArray[np.uint8]) -> None:
    """The same image network by each engine that is installed, on the same tile."""
    area, told = tile.shape[-1] * tile.shape[-2] / 1e6, []
    for engine in ENGINES:
        if engine == "openvino" and importlib.util.find_spec("openvino") is None:
            told.append("OpenVINO not installed: pip install 'geomtrs[openvino]'")
            continue
        model = load_nano(None, with_engine(choose(), engine))
        model.features(tile)
        told.append(f"{engine} {area / median_of(lambda: model.features(tile), 9):.2f} Mpx/s")  # noqa: B023 - called at once
    print(f"image network         {', '.join(told)} on a tile of {tile.shape[-1]} px")


def memory(side: int) -> None:
    """Peak memory of a sparse drawn pair with differencing, against one of a quarter of the side."""
    peaks = {}
    for size in (side // 4, side):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            before, after = _sparse(folder, size)
            call = f"geomtrs.detect({before!r}, {after!r}, query='what changed', model='differencing', out={str(folder / 'out')!r})"
            code = f"import geomtrs; {call}"
            subprocess.run([sys.executable, "-c", code], check=True)
            peaks[size] = json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))["peak_bytes"]
    print(
        f"peak memory           {peaks[side] / 1e9:.2f} GB at {side} px (target 1.5), {peaks[side // 4] / 1e9:.2f} GB at {side // 4} px"
    )
    print(f"growth                {peaks[side] / peaks[side // 4]:.2f} (target 1.20)")


def _sparse(folder: Path, side: int) -> tuple[str, str]:
    """Flat ground with a bright square every 500 px at the second date, written window by window."""
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8", "transform": ORIGIN, "crs": "EPSG:32633",
               "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}  # fmt: skip
    paths = []
    for name in ("before", "after"):
        path = folder / f"{name}.tif"
        with rasterio.open(path, "w", **profile) as target:
            for _, window in target.block_windows(1):
                rows = np.arange(window.row_off, window.row_off + window.height) % 500
                columns = np.arange(window.col_off, window.col_off + window.width) % 500
                ground = np.full((3, window.height, window.width), 90, np.uint8)
                if name == "after":
                    ground[:, (rows[:, None] < 40) & (columns[None] < 40)] = 230
                target.write(ground, window=window)
        paths.append(str(path))
    return paths[0], paths[1]


def help_seconds() -> None:
    """How long `geomtrs --help` takes."""
    seconds = median_of(
        lambda: subprocess.run([sys.executable, "-m", "geomtrs", "--help"], check=True, capture_output=True), 5
    )
    print(f"geomtrs --help        {seconds:.2f} s (target 0.5)")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument(
        "--memory-side", type=int, default=0, help="measure peak memory of a pair of this side; 20000 for the target"
    )
    arguments = parser.parse_args()
    print(f"machine               {machine()}")
    help_seconds()
    with tempfile.TemporaryDirectory() as folder:
        speed(Path(folder), arguments.side)
    if arguments.memory_side:
        memory(arguments.memory_side)


if __name__ == "__main__":
    main()
