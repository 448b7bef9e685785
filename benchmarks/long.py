"""A long run under a promise of memory: its peak, and how well its end was known after a tenth.

python benchmarks/long.py --side 30000 --memory 2GB [--model nano] [--folder DIR]

The pair is one drawing of 2048 px, repeated. Memory is watched from outside: the sum of the proportional set sizes of
the command and everything it starts. Time is that of this machine with whatever else it does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import rasterio
from rasterio.windows import Window

from geomtrs.data.scenes import draw_scene
from geomtrs.demo import ORIGIN, SENTENCE

DRAWN_PX = 2048
WATCH_S = 0.5


def draw(folder: Path, side: int) -> list[str]:
    """A pair of so many pixels a side, written piece by piece."""
    pair = draw_scene(np.random.default_rng(5), (min(side, DRAWN_PX),) * 2, gsd_m=0.5)
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8", "transform": ORIGIN, "crs": "EPSG:32633",
               "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "bigtiff": "if_safer"}  # fmt: skip
    paths = []
    for name, pixels in (("before", pair.before), ("after", pair.after)):
        path = folder / f"{name}.tif"
        with rasterio.open(path, "w", **profile) as target:
            for top in range(0, side, DRAWN_PX):
                for left in range(0, side, DRAWN_PX):
                    height, width = min(DRAWN_PX, side - top), min(DRAWN_PX, side - left)
                    target.write(np.moveaxis(pixels[:height, :width], -1, 0), window=Window(left, top, width, height))
        paths.append(str(path))
    return paths


@dataclass
class Watched:
    """What was seen of a run: when blocks ended, the stages after them, the most memory by stage."""

    began: float = field(default_factory=time.perf_counter)
    started: float = 0.0
    total: int = 0
    blocks: list[float] = field(default_factory=list)
    stage: str = "begin"
    peaks: dict[str, int] = field(default_factory=dict)

    def hear(self, line: str) -> None:
        """Takes in one line of --log-json."""
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="", file=sys.stderr)
            return
        now = time.perf_counter() - self.began
        if event["event"] == "Started":
            self.started, self.total, self.stage = now, event["total"], "blocks"
        elif event["event"] == "BlockDone":
            self.blocks.append(now)
        elif event["event"] == "Stage":
            self.stage = event["name"]

    def look(self, process: psutil.Process) -> None:
        """Takes in what the processes hold now."""
        held = 0
        for one in (process, *process.children(recursive=True)):
            try:
                held += one.memory_full_info().pss
            except psutil.Error:  # it ended while we looked
                continue
        self.peaks[self.stage] = max(held, self.peaks.get(self.stage, 0))


def watch(words: list[str]) -> tuple[Watched, float]:
    """The command run to its end; what was seen of it, and its seconds."""
    seen, over = Watched(), threading.Event()
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        root = psutil.Process(process.pid)

        def keep_looking() -> None:
            while not over.wait(WATCH_S):
                seen.look(root)

        threading.Thread(target=keep_looking, daemon=True).start()
        for line in process.stderr or ():
            seen.hear(line)
    over.set()
    if process.returncode:
        sys.exit(f"the run ended with {process.returncode}")
    return seen, time.perf_counter() - seen.began


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--folder", type=Path, help="where pair and answer lie and stay; else they go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        pair, out = draw(folder, arguments.side), folder / "out"
        words = ["detect", *pair, "-q", SENTENCE, "-o", str(out), "--model", arguments.model]
        seen, taken = watch([sys.executable, "-m", "geomtrs", *words, "--memory", arguments.memory, "--log-json"])
        told = json.loads((out / "run.json").read_text(encoding="utf-8"))["peak_bytes"]
    tenth = max(1, -(-seen.total // 10))
    pace = (seen.blocks[tenth - 1] - seen.started) / tenth
    foretold, blocks = seen.started + pace * seen.total, seen.blocks[-1]
    print(
        f"scene        {arguments.side} x {arguments.side} px, {seen.total} blocks, {arguments.model}, --memory {arguments.memory}"
    )
    print(f"peak         {max(seen.peaks.values()) / 1e9:.2f} GB, all processes (run.json: {told / 1e9:.2f} GB)")
    print("peak by part " + ", ".join(f"{name} {size / 1e9:.2f}" for name, size in seen.peaks.items()))
    print(f"end          {taken:.0f} s, of which the blocks until {blocks:.0f} s")
    print(
        f"at a tenth   the blocks' end foretold for {foretold:.0f} s: {foretold / blocks - 1:+.0%}; against the whole {foretold / taken - 1:+.0%}"
    )


if __name__ == "__main__":
    main()
