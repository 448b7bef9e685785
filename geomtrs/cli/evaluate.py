"""`geomtrs evaluate` and `geomtrs bench`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="A pack, a folder of labelled sets, or a split of MTRefSeg-21K.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many sentences.")]
Sets = Annotated[str | None, typer.Option(help="Of labelled sets these alone, by comma.")]
Split = Annotated[str, typer.Option(help="Which part of the data.")]
PerPair = Annotated[int, typer.Option(min=1, help="Sentences about a pair of a labelled set.")]
Seed = Annotated[int, typer.Option(min=0, help="Of what is asked, of the intervals, of what is shown.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write into a folder that holds something.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No lines of progress.")]

PER_PAIR, THRESHOLD = 8, 0.5
EVERY_S = 20.0  # a line of a log; a terminal's line changes twice a second


def evaluate(
    data: Data,
    out: Out,
    model: Annotated[str, typer.Option(help="A name of geomtrs model list, or pca-kmeans, ir-mad, clipseg.")] = "nano",
    weights: Annotated[Path | None, typer.Option(help="Folder of a checkpoint.")] = None,
    limit: Limit = None,
    sets: Sets = None,
    split: Split = "val",
    per_pair: PerPair = PER_PAIR,
    threshold: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="Probability from which a pixel counts.")
    ] = THRESHOLD,
    published: Annotated[
        bool, typer.Option("--published", help="The published protocol alone; needs a split of MTRefSeg-21K.")
    ] = False,
    classes: Annotated[
        bool,
        typer.Option("--classes", help="F1 of each class of each set on all tiles, and presence at one date, alone."),
    ] = False,
    tiled: Annotated[
        int | None, typer.Option(min=128, metavar="PX", help="Ask larger pictures once more in tiles, and compare.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model: masks, whether it reads the sentence and the order, absence, calibration; with a page to look at.

    [bold]geomtrs evaluate pack/ --model nano -o report/[/bold]

    [bold]geomtrs evaluate pack/ --classes -o classes/[/bold]

    [bold]geomtrs evaluate MTRefSeg-21K/val_FINAL_CLEAN --model base --weights base/ --published -o report/[/bold]
    """
    _refuse_out(out, overwrite)
    alone = "--published" if published else "--classes" if classes else None
    _refuse_beside(alone, classes=published and classes, limit=classes and limit is not None, tiled=tiled is not None,
                   threshold=threshold != THRESHOLD, per_pair=per_pair != PER_PAIR)  # fmt: skip
    from geomtrs.evaluation.evaluate import evaluate as evaluate_
    from geomtrs.evaluation.evaluate import evaluate_by_class, evaluate_by_protocol, load
    from geomtrs.evaluation.report import markdown, tables
    from geomtrs.evaluation.source import open_source

    with open_source(data, split=split, per_pair=per_pair, seed=seed, sets=_listed(sets)) as source:
        asked = load(model, weights=weights, device=device)
        line = _Line(source.pairs, limit, quiet=quiet)
        if published:
            table, files = evaluate_by_protocol(asked, source, out, limit=limit, progress=line)
            shown = [table]
        elif classes:
            by_class, files = evaluate_by_class(asked, source, out, seed=seed, progress=line)
            shown = list(by_class)
        else:
            measures, files = evaluate_(
                asked, source, out, threshold=threshold, tiled_px=tiled, limit=limit, seed=seed, progress=line
            )
            shown = list(tables(measures)[:2])
        line.end()
    _tell([markdown(table) for table in shown], files)


def bench(
    data: Data,
    out: Out,
    models: Annotated[
        str, typer.Option(help="By comma; NAME=DIR for a folder of weights, so one name may stand twice.")
    ] = "nano,differencing,pca-kmeans,ir-mad",
    limit: Limit = None,
    sets: Sets = None,
    split: Split = "val",
    per_pair: PerPair = PER_PAIR,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure several models on the same cases, in one table.

    [bold]geomtrs bench pack/ --models nano,differencing,pca-kmeans,ir-mad -o bench/[/bold]

    [bold]geomtrs bench pack/ --models nano,nano=runs/two/nano --limit 500 -o bench/[/bold]
    """
    _refuse_out(out, overwrite)
    from geomtrs.evaluation.evaluate import bench as bench_
    from geomtrs.evaluation.evaluate import load
    from geomtrs.evaluation.report import markdown
    from geomtrs.evaluation.source import open_source

    loaded = []
    for wanted in _models(models):
        name, _, folder = wanted.partition("=")
        loaded.append((wanted, load(name, weights=Path(folder) if folder else None, device=device)))
    with open_source(data, split=split, per_pair=per_pair, seed=seed, sets=_listed(sets)) as source:
        line = _Line(source.pairs, limit, quiet=quiet, rounds=len(loaded))
        table, files = bench_(loaded, source, out, limit=limit, seed=seed, progress=line)
        line.end()
    _tell([markdown(table)], files)


class _Line:
    """How far it is and how long it will take, on stderr: one line that changes on a terminal, now and then a new one
    in a log.
    """

    def __init__(self, pairs: int, limit: int | None, *, quiet: bool, rounds: int = 1) -> None:
        self._pairs, self._limit, self._quiet, self._rounds = pairs, limit, quiet, rounds
        self._begun = self._said = time.monotonic()
        self._before = 0  # rounds that are over
        self._last = 0
        self._terminal = sys.stderr.isatty()

    def __call__(self, sentences: int, pairs: int) -> None:
        if pairs <= self._last:  # the next model begins
            self._before += 1
        self._last = pairs
        here = time.monotonic()
        if self._quiet or here - self._said < (0.5 if self._terminal else EVERY_S):
            return
        self._said = here
        share = min(1.0, max(pairs / max(1, self._pairs), sentences / self._limit if self._limit else 0.0))
        whole = (self._before + share) / self._rounds
        left = (here - self._begun) * (1 / whole - 1) / 60
        model = f"model {self._before + 1} of {self._rounds} · " if self._rounds > 1 else ""
        text = f"{model}pair {pairs:,} of {self._pairs:,} · {sentences:,} sentences · {left:.0f} min left"
        print(
            f"\r{text:78}" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr, flush=True
        )

    def end(self) -> None:
        """Leaves a terminal on an empty line."""
        if self._terminal and not self._quiet:
            print(f"\r{'':78}\r", end="", file=sys.stderr, flush=True)


def _refuse_out(out: Path, overwrite: bool) -> None:
    """Before anything is computed."""
    from geomtrs.data.whole import refuse_unwritable
    from tiling.errors import ExistsError

    if not overwrite and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExistsError(out, found="something there", wanted="a new folder", remedy="name another, or --overwrite")
    refuse_unwritable(out)


def _refuse_beside(alone: str | None, **told: bool) -> None:
    """What a measure of its own does not follow is not passed over in silence."""
    from geomtrs.errors import QueryError

    for name, given in told.items():
        if alone and given:
            option = f"--{name.replace('_', '-')}"
            raise QueryError(option, found=f"beside {alone}", wanted=f"{alone} alone", remedy=f"leave {option} out")


def _models(text: str) -> list[str]:
    """The models to compare: one at least, each once."""
    from geomtrs.errors import QueryError

    wanted = _listed(text) or []
    twice = next((name for name in wanted if wanted.count(name) > 1), None)
    bare = next((name for name in wanted if name.endswith("=")), None)
    if not wanted or twice or bare:
        found = f"{twice} twice" if twice else f"{bare} without a folder" if bare else "no model"
        raise QueryError("--models", found=found, wanted="NAME or NAME=DIR, each once", remedy="name them by comma")
    return wanted


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _tell(parts: list[str], files: tuple[Path, ...]) -> None:
    for part in parts:
        print(part)
    for file in files:
        print(file)
