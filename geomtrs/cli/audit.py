"""`geomtrs audit`: people look at what was made or found, and their decisions are kept."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geomtrs.errors import JobError, QueryError

if TYPE_CHECKING:
    from geomtrs.craft.audit.items import Audited

_REPORT = "Instead of the desk"


def audit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A crafted set, or the outputs of a run.")],
    auditor: Annotated[
        list[str] | None, typer.Option(help="Whose decisions these are; repeat it for several at one desk.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=2, help="Only so many, drawn at random; of a run, pixels of each answer.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same for everybody.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any that is free.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open nothing.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Counts, agreement, accuracy and area.", rich_help_panel=_REPORT)
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="The report as one JSON object.", rich_help_panel=_REPORT)
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT", help="Write a run's audited polygons as pairs to learn from.", rich_help_panel=_REPORT
        ),
    ] = None,
) -> None:
    """Look at sentences and masks, or at the polygons of a run, and accept, reject or mend them.

    [bold]geomtrs audit crafted/[/bold]

    [bold]geomtrs audit out/ --sample 100 --seed 1 --auditor ann --auditor ben[/bold]

    [bold]geomtrs audit out/ --report[/bold]
    """
    if labels is not None:
        _write_labels(folder, labels)
        return
    audited = _open(folder, sample, seed)
    if report or json:
        _report(folder, audited, json)
    else:
        _serve(folder, audited, auditor or [_login()], port, browser=not no_browser)


def _open(folder: Path, sample: int | None, seed: int) -> Audited:
    from geomtrs.craft.ledger import NAME

    if (folder / NAME).is_file():  # without what reads vectors and rasters, which takes longer than all else here
        from geomtrs.craft.audit.items import TripletSet

        return TripletSet(folder, sample=sample, seed=seed)
    from geomtrs.outputs.record import NAME as RECORD

    if not (folder / RECORD).is_file():
        raise JobError(
            folder, found=f"neither {NAME} nor {RECORD}", wanted="a crafted set, or the outputs of a run",
            remedy="check the path",
        )  # fmt: skip
    from geomtrs.craft.audit.answers import RunAnswers
    from geomtrs.craft.audit.sample import Sample, settle_sample

    asked = None if sample is None else Sample(sample, seed)
    return RunAnswers(folder, settle_sample(folder, asked))


def _serve(folder: Path, audited: Audited, auditors: list[str], port: int, *, browser: bool) -> None:
    import webbrowser

    from geomtrs.craft.audit.desk import Desk
    from geomtrs.craft.audit.server import serve

    if len(set(auditors)) < len(auditors):
        raise QueryError("--auditor", found="a name twice", wanted="each once", remedy="leave one out")
    if not audited.items:
        raise JobError(folder, found="nothing", wanted="something to look at", remedy="there is nothing to audit")
    desk = Desk(folder, audited, auditors, lambda note: print(f"note  {note}", file=sys.stderr))

    def opened(addresses: Mapping[str, str]) -> None:
        for name, address in addresses.items():
            print(f"{name}  {address}", flush=True)
        print(f"{len(audited.items):,} items of {folder}; Ctrl-C closes the desk", file=sys.stderr)
        if browser:
            webbrowser.open(next(iter(addresses.values())))

    serve(desk, port=port, opened=opened)


def _report(folder: Path, audited: Audited, json: bool) -> None:
    import json as json_

    from geomtrs.craft.audit.report import report, report_lines

    found = report(folder, audited)
    print(json_.dumps(found, ensure_ascii=False) if json else "\n".join(report_lines(found)))


def _write_labels(folder: Path, out: Path) -> None:
    from geomtrs.craft.audit.labels import write_labels

    written = write_labels(folder, out)
    print(f"{out}: {written.squares} squares to learn from; {written.waiting} left out, where something still waits")


def _login() -> str:
    """The user's own name, as a file can be called."""
    import getpass
    import re

    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = ""
    return re.sub(r"[^\w-]+", "_", name).strip("_-")[:40] or "auditor"
