"""`geomtrs ask`: a further sentence about a scene whose image features were kept."""

from __future__ import annotations

from typing import Annotated

import typer

from geomtrs.cli import options as o
from geomtrs.cli.progress import listener, report


def ask(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(help="Folder of a run with --keep-features.")],
    query: o.Asked = None,
    queries: o.Queries = None,
    scope: o.Scope = "scene",
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Folder of the outputs; else FOLDER/ask-….", rich_help_panel="Answer"),
    ] = None,
    threshold: o.Threshold = None,
    format: o.Formats = None,
    min_area: o.MinArea = None,
    max_area: o.MaxArea = None,
    fill_holes: o.FillHoles = None,
    simplify: o.Simplify = None,
    regularize: o.Regularize = None,
    overwrite: o.Overwrite = False,
    fresh: o.Fresh = False,
    device: o.Device = "auto",
    sign: o.SignWith = None,
    workers: o.Workers = None,
    threads: o.Threads = None,
    json: o.AsJson = False,
    quiet: o.Quiet = False,
    log_json: o.LogJson = False,
    debug: o.Debug = False,
) -> int:
    """Ask a further sentence of a scene whose image features were kept: it costs only the head of the model.

    What is not said of the answer (threshold, formats, outlines) is as it was in the first run.

    [bold]geomtrs detect 2019.tif 2023.tif -q "the buildings that appeared" -o out/ --keep-features[/bold]

    [bold]geomtrs ask out/ -q "new roads"[/bold]
    """
    from geomtrs.again import ask as run

    with listener(quiet=quiet, log_json=log_json) as on_event:
        result = run(**o.told(context), on_event=on_event)
    return report(result, quiet=quiet, as_json=json, log_json=log_json)
