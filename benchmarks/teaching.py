"""Does a crafted set teach? Nano before and after some steps on it, on held-out pairs that neither saw.

    python benchmarks/teaching.py TRAIN/urban_trees_ca -o runs/teaching [--steps 100] [--second-look]
    python benchmarks/teaching.py TRAIN/naip_potholes -o runs/teaching --learn REGEX --held REGEX

Of a labelled set the val pairs are taken, which nano did not learn from: half of the places (or the pairs whose names
match --learn) are crafted and learned from, the rest is asked. "Labels" learns the same pairs from the labels as the
set has them, with the sentences that training draws anew each time. What lies in the folder is not trained again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np

from geomtrs.craft.export import export
from geomtrs.craft.ledger import Ledger
from geomtrs.craft.look import SecondLook
from geomtrs.craft.perceive import LabelPerceiver
from geomtrs.craft.phrase import GrammarPhraser
from geomtrs.craft.protocols import Pair
from geomtrs.craft.run import Parts, craft
from geomtrs.craft.segment import LabelSegmenter, Sight
from geomtrs.craft.verify import RuleVerifier, iou
from geomtrs.evaluation.evaluate import load
from geomtrs.evaluation.metrics import bootstrap_interval
from geomtrs.evaluation.source import open_source
from geomtrs.query import Query
from geomtrs.training.config import StageConfig
from geomtrs.training.nano import stage2

PLANES = ("A", "B", "mask", "labelA", "labelB", "classes.json")
PER_PAIR = 6
SHIPPED = Path(str(resources.files("geomtrs.models") / "weights" / "nano"))


def halves(
    source: Path, learn: str | None, held: str | None
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Lines of samples.jsonl to learn from and to be asked."""
    lines = [json.loads(line) for line in (source / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    val = [one for one in lines if one["split"] == "val"]
    if learn and held:
        first, second = ([one for one in val if re.match(of, one["name"])] for of in (learn, held))
        return first, second
    odd = [hashlib.blake2b(one["scene"].encode()).digest()[0] % 2 for one in val]
    return [one for one, i in zip(val, odd, strict=True) if i], [one for one, i in zip(val, odd, strict=True) if not i]


def linked(source: Path, lines: list[dict[str, object]], folder: Path, split: str) -> Path:
    """A folder of sets with some of a set's pairs, all in one split."""
    mine = folder / source.name
    mine.mkdir(parents=True, exist_ok=True)
    for plane in PLANES:
        if (source / plane).exists() and not (mine / plane).exists():
            (mine / plane).symlink_to((source / plane).resolve())
    text = "".join(json.dumps({**one, "split": split}) + "\n" for one in lines)
    (mine / "samples.jsonl").write_text(text, encoding="utf-8")
    return folder


def crafted(pairs: Path, out: Path, *, second_look: bool) -> tuple[Path, int]:
    """What nano learns from, and how many triplets it holds."""
    verifier = SecondLook(load("nano")) if second_look else RuleVerifier()
    craft(pairs, out / "crafted", Parts(LabelPerceiver(), LabelSegmenter(), verifier, GrammarPhraser(10)))
    if (out / "set").exists():
        with Ledger(out / "crafted") as ledger:
            return out / "set", len(ledger.triplets())
    return out / "set", export(out / "crafted", out / "set", "pairs", val=0)


def taught(data: Path, out: Path, steps: int) -> Path:
    """Folder of weights."""
    config = StageConfig(
        model="nano", data=str(data), out=str(out), start=str(SHIPPED), steps=steps, batch=4, rate=2e-4,
        drawn=0, ema=0.95, workers=0, save_every=10_000, look_every=10_000, seed=1,
    )  # fmt: skip
    return out / "nano" if (out / "nano").is_dir() else stage2(config)


def asked(weights: Path | None, held: Path) -> list[tuple[str, bool, float]]:
    """Place, whether something is there, and IoU of each sentence about the held pairs."""
    sight, out = Sight(load("nano", weights=weights)), []
    with open_source(held, per_pair=PER_PAIR) as source:
        for case in source.cases():
            name = hashlib.blake2b(case.before.tobytes() + case.after.tobytes()).hexdigest()
            pair = Pair(name, case.place, case.before, case.after, (Path(), Path()), {})
            found = sight.probability(pair, Query(case.sentence, whole=True)) >= 1 / 2
            out.append((case.place, not case.empty, 100 * iou(found & case.known, case.mask & case.known)))
    return out


def told(rows: list[tuple[str, bool, float]], before: list[tuple[str, bool, float]]) -> str:
    """Mean IoU of all, of those with a target, and by how much that is more than before, with its interval."""
    there = [(place, score - old) for (place, present, score), (*_, old) in zip(rows, before, strict=True) if present]
    gains = np.array([gain for _, gain in there])
    low, high = bootstrap_interval(gains, [place for place, _ in there], seed=0)
    scores = [np.mean([score for _, present, score in rows if present or every]) for every in (True, False)]
    return f"{scores[0]:.1f} | {scores[1]:.1f} | {gains.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/teaching"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--learn")
    parser.add_argument("--held")
    parser.add_argument("--second-look", action="store_true")
    given = parser.parse_args()
    out = given.out / given.source.name
    learn, held = halves(given.source, given.learn, given.held)
    mine, others = linked(given.source, learn, out / "learn", "train"), linked(given.source, held, out / "held", "val")
    before = asked(None, others)
    places = len({place for place, *_ in before})
    print(f"{given.source.name}: {len(learn)} pairs learned from; {len(held)} pairs of {places} places, {len(before)} "
          f"sentences asked, {sum(there for _, there, _ in before)} of them with a target")  # fmt: skip
    print("| nano | mIoU of all | mIoU where there is a target | more than as shipped |\n|---|---:|---:|---:|")
    print(f"| as shipped | {told(before, before)} |", flush=True)
    set_, count = crafted(mine, out / "rules", second_look=False)
    print(f"| {count} crafted | {told(asked(taught(set_, out / 'rules', given.steps), others), before)} |", flush=True)
    print(f"| the labels | {told(asked(taught(mine, out / 'labels', given.steps), others), before)} |", flush=True)
    if given.second_look:
        set_, count = crafted(mine, out / "looked", second_look=True)
        after = asked(taught(set_, out / "looked", given.steps), others)
        print(f"| {count} crafted, second look | {told(after, before)} |", flush=True)


if __name__ == "__main__":
    main()
