"""`geomtrs verify`: are the outputs of a run still what was written."""

from __future__ import annotations

from typing import Annotated

import typer

from geomtrs.cli.detect import Debug


def verify(folder: Annotated[str, typer.Argument(help="Folder of a finished run.")], debug: Debug = False) -> int:
    """Check every output of a run: checksums, COG structure, geometries, provenance.

    [bold]geomtrs verify out/[/bold]
    """
    from pathlib import Path

    from geomtrs.outputs.verify import verify as check

    findings = check(Path(folder))
    for finding in findings:
        print(finding)
    print(f"{folder}: {'sound' if not findings else f'{len(findings)} faults'}")
    return 1 if findings else 0
