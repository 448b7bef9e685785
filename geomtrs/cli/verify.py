"""`geomtrs verify`: are the outputs of a run, or of every scene of a batch, still what was written."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from geomtrs.cli.options import Debug


def verify(
    folder: Annotated[str, typer.Argument(help="Folder of a finished run, or of a batch.")], debug: Debug = False
) -> int:
    """Check every output of a run: checksums, COG structure, geometries, provenance.

    [bold]geomtrs verify out/[/bold]
    """
    from pathlib import Path

    from geomtrs.outputs.verify import input_notes
    from geomtrs.outputs.verify import verify as check

    batch = (Path(folder) / "ledger.gpkg").is_file()
    if batch:
        from geomtrs.archive.verify import verify_batch

    findings = verify_batch(Path(folder)) if batch else check(Path(folder))
    if not findings and not batch:
        for note in input_notes(Path(folder)):
            print(f"note  {note}", file=sys.stderr)
    for finding in findings:
        print(finding)
    print(f"{folder}: {'sound' if not findings else f'{len(findings)} faults'}")
    return 1 if findings else 0
