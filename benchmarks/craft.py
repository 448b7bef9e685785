"""Figures of crafting, in one table: spoiled triplets that are caught, masks of a model against labels, speed.

python benchmarks/craft.py TRAIN [--sets levir_cd,gz_cd,cd_figures,urban_trees_ca] [--pairs 60] [--without nano]

TRAIN is a folder of labelled sets; their val pairs are taken.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from scipy import ndimage

from geomtrs.craft.chat import ChatPerceiver
from geomtrs.craft.endpoint import Endpoint
from geomtrs.craft.grid import CELLS
from geomtrs.craft.judge import RuleJudge
from geomtrs.craft.look import SecondLook
from geomtrs.craft.pairs import Listed, list_pairs, read_pair
from geomtrs.craft.perceive import SENTENCES, LabelPerceiver, noun_of
from geomtrs.craft.phrase import GrammarPhraser
from geomtrs.craft.protocols import Candidate, Check, Pair, Phrased, Question, Reply, Segmenter, Verifier
from geomtrs.craft.refine import refine
from geomtrs.craft.run import Parts, craft
from geomtrs.craft.segment import LabelSegmenter, ModelSegmenter
from geomtrs.craft.verify import RuleVerifier, iou
from geomtrs.data.labels import ANYTHING, THINGS
from geomtrs.models import catalog
from geomtrs.models.differencing import Differencing

RULES = RuleVerifier()
LATE_S, AT_ONCE = 0.2, 8
GROWN_PX, SHIFT_PX = 6, 12


def no_model(question: Question, call: object) -> str:
    """Nobody is asked here."""
    raise AssertionError(question.stage)


def chosen(train: Path, sets: list[str], count: int, draw: int) -> list[Listed]:
    """Val pairs of some sets, as many of each."""
    out = []
    for name in sets:
        some = [one for one in list_pairs(train / name) if one.facts.get("split") == "val"]
        order = np.random.default_rng(draw).permutation(len(some))[: count // len(sets)]
        out += [some[i] for i in sorted(order)]
    return out


def spoiled(pair: Pair, true: list[Candidate], one: Candidate) -> Iterator[tuple[str, Pair, Candidate]]:
    """Each way to spoil a true candidate that this pair allows."""
    finding, mask = one.finding, one.mask
    if finding.way in ("appeared", "disappeared") and finding.thing != ANYTHING:
        way = "disappeared" if finding.way == "appeared" else "appeared"
        turned = replace(finding, way=way, sentence=SENTENCES[way].format(noun=finding.noun))
        yield "wrong kind", pair, replace(one, finding=turned)
        back = None if pair.labels is None else replace(
            pair.labels, before=pair.labels.after, after=pair.labels.before
        )  # fmt: skip
        swapped = replace(pair, id=f"{pair.id} turned", before=pair.after, after=pair.before, labels=back)
        yield "mask of the other date", swapped, one
    if len(finding.cells) < 5:
        away = tuple(cell for cell in CELLS if cell not in finding.cells)[-2:]
        yield "wrong cell", pair, replace(one, finding=replace(finding, cells=away))
    others = [other for other in true if iou(other.mask, mask) < 0.5 and other is not one]
    if others:
        yield "neighbour's mask", pair, replace(one, mask=others[0].mask)
    yield "grown mask", pair, replace(one, mask=ndimage.binary_dilation(mask, iterations=GROWN_PX))
    yield "shifted mask", pair, replace(one, mask=np.roll(mask, (SHIFT_PX, SHIFT_PX), (0, 1)))
    thing = next((t for t in range(len(THINGS)) if t not in {other.finding.thing for other in true}), 0)
    if finding.way == "appeared":
        absent = replace(finding, thing=thing, noun=noun_of(thing), sentence=f"the {noun_of(thing)} that appeared")
        yield "thing that is not there", pair, replace(one, finding=absent)


def passes(checks: tuple[Check, ...]) -> bool:
    """Every rule is content."""
    return all(check.passed for check in checks)


def injected(pairs: list[Pair], looks: Verifier | None) -> dict[str, list[int]]:
    """By kind of error: refused and tried with labels, by the pictures alone, and by what a model sees in them as well;
    "true" stands first.
    """
    counts: dict[str, list[int]] = {"true": [0] * 6}

    def look(kind: str, pair: Pair, candidate: Candidate) -> None:
        row = counts.setdefault(kind, [0] * 6)
        blind = replace(pair, labels=None)
        for place, verifier, seen in ((0, RULES, pair), (2, RULES, blind), (4, looks, blind)):
            if verifier is not None:
                row[place] += not passes(verifier.candidate(seen, candidate, []))
                row[place + 1] += 1

    for pair in pairs:
        true = [LabelSegmenter().segment(pair, one) for one in LabelPerceiver().perceive(pair, no_model)]
        for one in true:
            look("true", pair, one)
            for kind, other, candidate in spoiled(pair, true, one):
                look(kind, other, candidate)
            labels, count = ndimage.label(one.mask)
            if count > 1 and pair.labels is not None:
                said = Phrased(0, one.finding.kind, one.finding.sentence, "direction", labels == 1, one.known)
                row = counts.setdefault("sentence that fits two", [0] * 6)
                row[0] += not passes(RULES.sentence(pair, said, []))
                row[1] += 1
    return counts


def closed_loop(pairs: list[Pair], segmenter: Segmenter) -> dict[str, float]:
    """A model cuts out what labels name; rules see the pictures alone. IoU with the labels, of all and of the kept."""
    found = []
    for pair in pairs:
        hidden = replace(pair, labels=None)
        for finding in LabelPerceiver().perceive(pair, no_model):
            truth = LabelSegmenter().segment(pair, finding)
            made, checks = refine(
                hidden, finding, [], no_model, segmenter=segmenter, verifier=RULES, judge=RuleJudge(), rounds=2
            )
            found.append((iou(made.mask & truth.known, truth.mask & truth.known), passes(checks)))
    kept = [score for score, good in found if good]
    return {
        "findings": len(found),
        "kept": len(kept) / max(1, len(found)),
        "IoU of all": float(np.mean([score for score, _ in found])),
        "IoU of the kept": float(np.mean(kept)) if kept else 0.0,
        "IoU of the refused": float(np.mean([score for score, good in found if not good] or [0.0])),
    }


def label_speed(source: Path, limit: int) -> tuple[int, float, float]:
    """Triplets, how many a second and how many a second of a core: all of `geomtrs craft run`, two pairs at once."""
    parts = Parts(LabelPerceiver(), LabelSegmenter(), RULES, GrammarPhraser())
    with tempfile.TemporaryDirectory() as folder:
        begun, busy = time.perf_counter(), time.process_time()
        counts = craft(source, Path(folder) / "out", parts, limit=limit, at_once=2)
        made = sum(counts["triplets"].values())
        return made, made / (time.perf_counter() - begun), made / (time.process_time() - busy)


class Late(BaseHTTPRequestHandler):
    """Answers that nothing differs, after LATE_S."""

    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """One call."""
        begun = time.perf_counter()
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"content": json.dumps({"findings": []})}
        body = json.dumps({"choices": [{"message": message}], "usage": {}}).encode()
        time.sleep(max(0.0, LATE_S - (time.perf_counter() - begun)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def chat_overhead(source: Path, limit: int) -> tuple[int, float, float]:
    """Calls, the share of a call's 200 ms that is spent beside it with 8 pairs at once, and a core's ms for a call."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, args=(0.01,), daemon=True)
    process.start()  # a process of its own: its work is not ours
    speaker = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "late")
    parts = Parts(ChatPerceiver(speaker), ModelSegmenter(Differencing()), RULES, GrammarPhraser())
    with tempfile.TemporaryDirectory() as folder:
        begun, busy = time.perf_counter(), time.process_time()
        calls = craft(source, Path(folder) / "out", parts, limit=limit, at_once=AT_ONCE)["calls"]["made"]
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    process.terminate()
    process.join()
    server.server_close()
    return calls, seconds * AT_ONCE / calls / LATE_S - 1, 1000 * busy / calls


def prompt_size(pair: Pair) -> Mapping[str, float]:
    """Of a call that perceives: characters of words, and tokens of two pictures by Qwen2.5-VL's 28 px a token."""
    sizes: list[Question] = []

    class Counts:
        name = "counts"

        def say(self, question: Question, schema: Mapping[str, object]) -> Reply:
            return Reply('{"findings": []}')

    def ask(question: Question, call: object) -> str:
        sizes.append(question)
        return '{"findings": []}'

    ChatPerceiver(Counts()).perceive(pair, ask)
    import io

    from PIL import Image

    shapes = [Image.open(io.BytesIO(picture)).size for picture in sizes[0].pictures]
    tokens = sum(round(w / 28) * round(h / 28) for w, h in shapes)
    return {"calls a pair": len(sizes), "characters": len(sizes[0].prompt), "picture tokens": tokens}


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("--sets", default="levir_cd,gz_cd,cd_figures,urban_trees_ca")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--without", choices=["nano"], default=None)
    parser.add_argument("--spoiled-only", action="store_true")
    parser.add_argument("--draw", type=int, default=0, help="which val pairs")
    asked = parser.parse_args()
    names = asked.sets.split(",")
    pairs = [read_pair(one) for one in chosen(asked.train, names, asked.pairs, asked.draw)]
    looks = None if asked.without == "nano" else SecondLook(catalog.load("nano"))
    print("| error | refused, by labels | by the pictures alone | and by what nano sees |\n|---|---:|---:|---:|")
    for kind, row in injected(pairs, looks).items():
        told = [f"{row[i] / row[i + 1]:.0%} of {row[i + 1]}" if row[i + 1] else "-" for i in (0, 2, 4)]
        print(f"| {kind} | {' | '.join(told)} |", flush=True)
    if asked.spoiled_only:
        return
    if asked.without != "nano":
        for name in names[:2]:
            some = [pair for pair in pairs if pair.id.startswith(f"{name}/")]
            told = closed_loop(some, ModelSegmenter(catalog.load("nano")))
            print(
                name, "closed loop, nano:", ", ".join(f"{key} {value:.2f}" for key, value in told.items()), flush=True
            )
    for name in names[:2]:
        made, rate, of_core = label_speed(asked.train / name, 60)
        print(f"{name}: {made} triplets from labels, {rate:.0f} a second, {of_core:.0f} a core's second", flush=True)
    calls, over, busy = chat_overhead(asked.train / names[1], 16)
    print(f"chat: {calls} calls of 200 ms, 8 at once: {over:.0%} beside, {busy:.0f} ms of a core a call", flush=True)
    print("a call that perceives:", ", ".join(f"{key} {value}" for key, value in prompt_size(pairs[0]).items()))


if __name__ == "__main__":
    main()
