"""`geomtrs view`: an answer as a page that any browser opens."""

from __future__ import annotations

from typing import Annotated

import typer

from geomtrs.cli.options import Debug


def view(
    folder: Annotated[str, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="The page, else FOLDER/page.html; one that exists is replaced."),
    ] = None,
    debug: Debug = False,
) -> int:
    """Write one page of HTML that needs no network: swipe between the dates, polygons and their table.

    [bold]geomtrs view out/[/bold]
    """
    from pathlib import Path

    from geomtrs.result import ChangeResult

    print(ChangeResult(folder).to_html(out or Path(folder) / "page.html"))
    return 0
