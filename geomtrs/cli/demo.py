"""`geomtrs demo`: the main job on a drawn scene and on a small real pair that ships with the package."""

from __future__ import annotations

from typing import Annotated

import typer

from geomtrs.cli.options import Debug


def demo(
    folder: Annotated[str, typer.Argument(help="Folder of the demo's files.")] = "geomtrs-demo",
    model: Annotated[str, typer.Option(help="nano or differencing.")] = "nano",
    debug: Debug = False,
) -> None:
    """Draw a scene, ask it a sentence, compare with the truth; then ask a real pair. A minute or two.

    [bold]geomtrs demo[/bold]
    """
    from pathlib import Path

    from geomtrs.demo import run_demo

    run_demo(Path(folder), model=model, report=print)
