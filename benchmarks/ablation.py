"""Ablations of the small model, each row by the same small budget: what is it that teaches?

    python benchmarks/ablation.py PACK --encoder efficientnet_lite0.pth --language MiniLM/ -o runs/ablation

PACK is what `geomtrs data pack` writes. Every row takes as many steps, a third of them in stage 1 where it has one; a
row that lies in the folder already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from geomtrs.data.cases import Case
from geomtrs.evaluation.evaluate import bench, load
from geomtrs.evaluation.report import markdown
from geomtrs.evaluation.source import Source, open_source
from geomtrs.training.config import StageConfig
from geomtrs.training.nano import stage1, stage2

# Name of a row → what its configs say beside the common ones; stage 2 alone begins with the encoder's ImageNet weights.
ROWS: dict[str, dict[str, object]] = {
    "both stages, change_aware": {},
    "stage 2 alone": {},
    "concat_conv": {"fusion": "concat_conv"},
    "abs_diff": {"fusion": "abs_diff"},
    "avg": {"fusion": "avg"},
    "without absent sentences": {"absent": False},
}


def main() -> None:
    """Trains and measures every row, and the first once more on sentences of other pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--encoder", required=True, help="EfficientNet-Lite0 weights (.pth)")
    parser.add_argument("--language", required=True, help="folder of MiniLM")
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/ablation"))
    told = parser.parse_args()
    for name, differs in ROWS.items():
        train(name, differs, told)
    models = [(name, load("nano", weights=told.out / name / "nano")) for name in ROWS]
    with open_source(told.pack, per_pair=4) as source:
        for title, cases, asked in (("rows", source, models), ("shuffled", shuffled(source), models[:1])):
            table, _ = bench(asked, cases, told.out / title)
            print(f"\n## {title}\n\n{markdown(table)}")


def train(name: str, differs: dict[str, object], told: argparse.Namespace) -> None:
    """The folder of a row gets `nano/`, and the minutes of processor time that it took."""
    folder: Path = told.out / name
    if (folder / "minutes.json").is_file():
        return
    begun = os.times()
    first = 0 if name == "stage 2 alone" else told.steps // 3
    common = StageConfig(
        model="nano", data=str(told.pack), out=str(folder), steps=told.steps - first, start=told.encoder,
        language=told.language, workers=0, seed=5, look_every=told.steps, **differs,
    )  # fmt: skip
    if first:
        common = replace(common, start=str(stage1(replace(common, steps=first))))
    stage2(common)
    spent = os.times()
    minutes = round((spent.user + spent.system - begun.user - begun.system) / 60, 1)
    (folder / "minutes.json").write_text(json.dumps(minutes), encoding="utf-8")
    print(f"{name}: {minutes} min of processor time", flush=True)


def shuffled(source: Source) -> Source:
    """The same pictures and truths, each with the sentence of another pair."""

    def cases() -> Iterator[Case]:
        everything = list(source.cases())
        half = len(everything) // 2
        for one, other in zip(everything, everything[half:] + everything[:half], strict=True):
            yield replace(one, sentence=other.sentence)

    return replace(source, cases=cases)


if __name__ == "__main__":
    main()
