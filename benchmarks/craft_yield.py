"""How many triplets labelled sets yield with a second look, what each rule refuses, and sheets to judge them by eye.

python benchmarks/craft_yield.py TRAIN [--sets gz_cd,naip_potholes,urban_trees_ca,levir_cd] [--sheet 60 --draw 1 --to DIR]

TRAIN is a folder of labelled sets; their val pairs are taken. Take another `--draw` for each sheet: who mends a rule with
a sheet in sight judges the next by another one.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from geomtrs.craft.ledger import KEPT, Judged
from geomtrs.craft.look import SecondLook
from geomtrs.craft.pairs import list_pairs, read_pair
from geomtrs.craft.perceive import LabelPerceiver
from geomtrs.craft.phrase import GrammarPhraser
from geomtrs.craft.protocols import Bool, Pair, Phrased, Question
from geomtrs.craft.run import Parts, craft_pair
from geomtrs.craft.segment import LabelSegmenter
from geomtrs.models import catalog

SIDE, ROWS, ACROSS, HEAD = 384, 3, 2, 30  # of a sheet: pixels of a picture, sentences down and across, a line of words
OUTLINE = (255, 40, 255)


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence about a pair, and every rule's word on it."""

    pair: Pair
    phrased: Phrased
    judged: Judged


def no_model(question: Question, call: object) -> str:
    """Nobody is asked here."""
    raise AssertionError(question.stage)


def told(name: str, said: Sequence[Said], kept: Sequence[Said], seconds: float) -> str:
    """A row of the table."""
    masks = {(one.pair.id, one.phrased.mask.tobytes()) for one in kept}
    refused, alone = Counter[str](), Counter[str]()
    for one in said:
        rules = [check.rule for check in one.judged.checks if not check.passed]
        refused.update(rules)
        alone.update(rules if len(rules) == 1 else [])
    rules = ", ".join(f"{rule} {count} ({alone[rule]})" for rule, count in refused.most_common())
    return f"| {name} | {len(said)} | {len(kept)} | {len(masks)} | {rules} | {seconds:.0f} s |"


def drawn(kept: Sequence[Sequence[Said]], count: int, draw: int) -> list[Said]:
    """As many of each set; where one has fewer, more of the others."""
    rng, out, left = np.random.default_rng(draw), [], count
    for place, some in enumerate(sorted(kept, key=len)):
        share = min(len(some), left // (len(kept) - place))
        out += [some[i] for i in rng.permutation(len(some))[:share]]
        left -= share
    return out


def picture(pixels: NDArray[np.uint8], mask: Bool) -> Image.Image:
    """Enlarged, with the outline of the mask around it."""
    scale = SIDE / max(mask.shape)
    size = round(mask.shape[1] * scale), round(mask.shape[0] * scale)
    large = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    within = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    large[ndimage.binary_dilation(within) & ~within] = OUTLINE
    return Image.fromarray(large)


def sheet(some: Sequence[Said], first: int, path: Path) -> None:
    """Both dates of each, numbered, with what was said."""
    page = Image.new("RGB", (ACROSS * (2 * SIDE + 8), ROWS * (SIDE + HEAD)), "white")
    pen = ImageDraw.Draw(page)
    for i, one in enumerate(some):
        left, top = i % ACROSS * (2 * SIDE + 8), i // ACROSS * (SIDE + HEAD)
        for j, pixels in enumerate((one.pair.before, one.pair.after)):
            page.paste(picture(pixels, one.phrased.mask), (left + j * (SIDE + 2), top + HEAD))
        words = f"{first + i}. [{one.phrased.kind}] {one.phrased.sentence}  ({one.pair.id})"
        pen.text((left + 2, top + 6), words, fill="black", font_size=14)
    page.save(path)


def main() -> None:
    """Prints Markdown; writes sheets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("--sets", default="gz_cd,naip_potholes,urban_trees_ca,levir_cd")
    parser.add_argument("--per-pair", type=int, default=16, help="sentences about a pair, at most")
    parser.add_argument("--sheet", type=int, default=0, help="so many sentences on sheets")
    parser.add_argument("--draw", type=int, default=0, help="which sentences")
    parser.add_argument("--to", type=Path, default=Path(), help="where sheets are written")
    asked = parser.parse_args()
    parts = Parts(LabelPerceiver(), LabelSegmenter(), SecondLook(catalog.load("nano")), GrammarPhraser(asked.per_pair))
    print(f"{parts.verifier.name}\n\n| set | said | kept | masks | refused by (by it alone) | a core's time |")
    print("|---|---:|---:|---:|---|---:|")
    kept = []
    for name in asked.sets.split(","):
        begun, said = time.process_time(), []
        for listed in list_pairs(asked.train / name):
            if listed.facts.get("split") == "val":
                pair = read_pair(listed)
                said += [Said(pair, *one) for one in craft_pair(pair, parts, no_model).sentences]
        kept.append([one for one in said if one.judged.decision == KEPT])
        print(told(name, said, kept[-1], time.process_time() - begun), flush=True)
    print(f"\n{sum(map(len, kept))} triplets")
    some = drawn(kept, asked.sheet, asked.draw)
    for first in range(0, len(some), ROWS * ACROSS):
        page = some[first : first + ROWS * ACROSS]
        sheet(page, first + 1, asked.to / f"sheet_{first // (ROWS * ACROSS) + 1:02}.png")


if __name__ == "__main__":
    main()
