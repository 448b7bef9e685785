"""Does a crafted set teach? Nano before and after some steps on it, on held-out pairs that neither saw.

    python benchmarks/teaching.py TRAIN/levir_cd TRAIN/gz_cd -o runs/teaching [--steps 60] [--rates 2e-4,5e-5]
    python benchmarks/teaching.py TRAIN/naip_potholes -o runs/teaching --learn REGEX --held REGEX

Of labelled sets the val pairs are taken, which nano did not learn from: half of the places (or the pairs whose names
match --learn) are crafted and learned from, the rest is asked. "Labels" learns the same pairs from the labels as the
sets have them, with the sentences that training draws anew each time; "blind" learns the crafted set without what it
knows to be absent. What lies in the folder is not trained again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

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
LIST = Path("crafted") / "samples.jsonl"
PER_PAIR = 6
KINDS = ((True, False), (True,), (False,))  # has a sentence a target: of all, of some, of the others
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


def linked(source: Path, lines: list[dict[str, object]], folder: Path, split: str) -> None:
    """A folder of sets gets some of a set's pairs, all in one split."""
    mine = folder / source.name
    mine.mkdir(parents=True, exist_ok=True)
    for plane in PLANES:
        if (source / plane).exists() and not (mine / plane).exists():
            (mine / plane).symlink_to((source / plane).resolve())
    text = "".join(json.dumps({**one, "split": split}) + "\n" for one in lines)
    (mine / "samples.jsonl").write_text(text, encoding="utf-8")


def crafted(pairs: Path, out: Path, *, second_look: bool) -> int:
    """How many triplets were made; what nano learns from them lies in `set`, and in `blind` without what is absent."""
    verifier = SecondLook(load("nano")) if second_look else RuleVerifier()
    craft(pairs, out / "crafted", Parts(LabelPerceiver(), LabelSegmenter(), verifier, GrammarPhraser(10)))
    with Ledger(out / "crafted") as ledger:
        count = len(ledger.triplets())
    if not (out / "set").exists():
        export(out / "crafted", out / "set", "pairs", val=0)
        shutil.copytree(out / "set", out / "blind")
        lines = [json.loads(line) for line in (out / "set" / LIST).read_text(encoding="utf-8").splitlines()]
        spoken = [one for one in lines if np.asarray(Image.open(out / "set/crafted/mask" / f"{one['name']}.png")).any()]
        plain = [{key: one[key] for key in one if key not in ("absent", "unchanged")} for one in spoken]
        (out / "blind" / LIST).write_text("".join(json.dumps(one) + "\n" for one in plain), encoding="utf-8")
    return count


def taught(data: Path, out: Path, steps: int, rate: float) -> Path:
    """Folder of weights."""
    config = StageConfig(
        model="nano", data=str(data), out=str(out), start=str(SHIPPED), steps=steps, batch=4, rate=rate,
        drawn=0, ema=0.95, workers=0, save_every=10_000, look_every=10_000, seed=1, keep_norms=True,
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
    """Mean IoU of all, of those with a target and of those without, and by how much the first two are more than before,
    with their intervals.
    """
    scores = [np.mean([score for _, there, score in rows if there in which]) for which in KINDS]
    gains = []
    for which in KINDS[:2]:
        some = [(place, score - old) for (place, there, score), (*_, old) in zip(rows, before, strict=True)
                if there in which]  # fmt: skip
        values = np.array([gain for _, gain in some])
        low, high = bootstrap_interval(values, [place for place, _ in some], seed=0)
        gains.append(f"{values.mean():+.1f} ({low:+.1f} to {high:+.1f})")
    return " | ".join([*(f"{score:.1f}" for score in scores), *gains])


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/teaching"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rates", default="2e-4,5e-5")
    parser.add_argument("--learn")
    parser.add_argument("--held")
    parser.add_argument("--second-look", action="store_true")
    given = parser.parse_args()
    out = given.out / "-".join(source.name for source in given.sources)
    mine, others = out / "learn", out / "held"
    split = [halves(source, given.learn, given.held) for source in given.sources]
    for source, (learn, held) in zip(given.sources, split, strict=True):
        linked(source, learn, mine, "train")
        linked(source, held, others, "val")
    before = asked(None, others)
    places = len({place for place, *_ in before})
    learned, kept = (sum(len(one[i]) for one in split) for i in (0, 1))
    print(f"{out.name}: {learned} pairs learned from; {kept} pairs of {places} places, {len(before)} "
          f"sentences asked, {sum(there for _, there, _ in before)} of them with a target")  # fmt: skip
    print(
        "| nano | all | with a target | with none | all, more | with a target, more |\n|---|---:|---:|---:|---:|---:|"
    )
    print(f"| as shipped | {told(before, before)} |", flush=True)
    count = crafted(mine, out, second_look=given.second_look)
    arms = {f"{count} crafted": out / "set", "the labels": mine, "blind": out / "blind"}
    for rate in map(float, given.rates.split(",")):
        for arm, data in arms.items():
            weights = taught(data, out / f"{data.name}-{rate:g}-{given.steps}", given.steps, rate)
            print(f"| {arm}, {rate:g} | {told(asked(weights, others), before)} |", flush=True)


if __name__ == "__main__":
    main()
