"""`geomtrs verify`: are the outputs of a run still what was written."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from geomtrs.cli.detect import Debug


def verify(folder: Annotated[str, typer.Argument(help="Folder of a finished run.")], debug: Debug = False) -> int:
    """Check every output of a run: checksums, COG structure, geometries, provenance.

    [bold]geomtrs verify out/[/bold]
    """
    from pathlib import Path

    from geomtrs.outputs.verify import input_notes
    from geomtrs.outputs.verify import verify as check

    findings = check(Path(folder))
    if not findings:
        for note in input_notes(Path(folder)):
            print(f"note  {note}", file=sys.stderr)
    for finding in findings:
        print(finding)
    print(f"{folder}: {'sound' if not findings else f'{len(findings)} faults'}")
    return 1 if findings else 0
