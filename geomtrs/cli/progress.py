"""What a run says while it goes: a bar with ETA on a terminal, JSON lines for a log, nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from geomtrs.events import Stage

if TYPE_CHECKING:
    from geomtrs.result import ChangeResult

# What people open; the rest (styles, sidecars, records) lies beside it.
_TOLD = {"mask", "probability", "coverage", "polygons", "tracks", "preview", "project", "failures"}
_SIDECARS = (".shx", ".dbf", ".prj", ".cpg")

Listener = Callable[[object], None]


@contextmanager
def listener(*, quiet: bool, log_json: bool, unit: str = "blocks") -> Iterator[Listener]:
    """The listener that fits: JSON lines on request, a bar where stderr is a terminal, else only the stages' lines.

    unit  what the bar counts
    """
    if log_json:
        yield _json_line
    elif quiet:
        yield _nothing
    elif sys.stderr.isatty():
        with _bar(unit) as on_event:
            yield on_event
    else:
        yield _stage_line


def report(result: ChangeResult, *, quiet: bool, as_json: bool, log_json: bool) -> int:
    """Prints what was found and where it lies; returns the exit code."""
    say = _json_line if log_json else _stage_line
    run: dict[str, Any] = result.run  # Any: JSON
    code = 3 if run.get("failed_blocks") else 0
    if as_json:
        print(json.dumps(run, ensure_ascii=False))
    elif not quiet:
        from geomtrs.outputs.vector import polygons_text

        for warning in run.get("warnings", ()):
            say(Stage("note", f"note  {warning}"))
        pairs = len(run.get("pairs", ()))
        over = f" over {pairs} pairs of dates" if pairs > 1 else ""
        for answer in run.get("queries", ()):
            say(Stage("found", f"found {polygons_text(answer['polygons'])} for “{answer['text']}”{over}"))
        kept = run.get("features_bytes")
        if kept:
            height, width = run["grid"]["shape"]
            size = f"{kept / 1e6:,.0f} MB ({kept / (height * width):,.0f} MB per Mpx)"
            say(Stage("kept", f"kept  image features, {size}: geomtrs ask {result.folder} -q …"))
        for output in sorted(run["outputs"], key=itemgetter("file")):
            if output["role"] in _TOLD and not output["file"].endswith(_SIDECARS):
                print(result.folder / output["file"])
    return code


def _nothing(event: object) -> None:
    """Listens to nothing."""


def _json_line(event: object) -> None:
    facts = asdict(event) if is_dataclass(event) and not isinstance(event, type) else {"text": str(event)}
    print(json.dumps({"event": type(event).__name__, **facts}, default=str, ensure_ascii=False), file=sys.stderr)


def _stage_line(event: object) -> None:
    text = getattr(event, "text", None)
    if text:
        print(text, file=sys.stderr)


@contextmanager
def _bar(unit: str) -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(unit, total=None)

        def on_event(event: object) -> None:
            text, total = getattr(event, "text", None), getattr(event, "total", None)
            done = getattr(event, "n_done", getattr(event, "reused", None))  # blocks of a run that is resumed are done
            if text:
                progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
            if total is not None:
                progress.update(task, total=total)
            if isinstance(done, int):
                progress.update(task, completed=done)

        yield on_event
