"""`geomtrs ask`: a further sentence about a scene whose image features were kept."""

from __future__ import annotations

from typing import Annotated

import typer

from geomtrs.cli.detect import (
    AsJson,
    Asked,
    Debug,
    Device,
    Formats,
    Fresh,
    LogJson,
    MaxArea,
    Overwrite,
    Queries,
    Quiet,
    Scope,
    SignWith,
    Threads,
)
from geomtrs.cli.progress import listener, report

_ANSWER, _RUN = "Answer", "How it runs"


def ask(
    folder: Annotated[str, typer.Argument(help="Folder of a run with --keep-features.")],
    query: Asked = None,
    queries: Queries = None,
    scope: Scope = "scene",
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Folder of the outputs; else FOLDER/ask-….", rich_help_panel=_ANSWER),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Another than that of the first run.", rich_help_panel=_ANSWER)
    ] = None,
    format: Formats = None,
    min_area: Annotated[float | None, typer.Option(help="Smallest polygon, m².", rich_help_panel=_ANSWER)] = None,
    max_area: MaxArea = None,
    fill_holes: Annotated[
        float | None, typer.Option(help="Fill holes up to this, m².", rich_help_panel=_ANSWER)
    ] = None,
    overwrite: Overwrite = False,
    fresh: Fresh = False,
    device: Device = "auto",
    sign: SignWith = None,
    threads: Threads = None,
    json: AsJson = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
    debug: Debug = False,
) -> int:
    """Ask a further sentence of a scene whose image features were kept: it costs only the head of the model.

    [bold]geomtrs detect 2019.tif 2023.tif -q "the buildings that appeared" -o out/ --keep-features[/bold]

    [bold]geomtrs ask out/ -q "new roads"[/bold]
    """
    from geomtrs.again import ask as run

    with listener(quiet=quiet, log_json=log_json) as on_event:
        result = run(
            folder,
            query or [],
            queries=queries,
            scope=scope,  # type: ignore[arg-type]  # checked by job_spec, whose error names the choices
            out=out,
            threshold=threshold,
            min_area_m2=min_area,
            max_area_m2=max_area,
            fill_holes_m2=fill_holes,
            overwrite=overwrite,
            fresh=fresh,
            device=device,
            threads=threads,
            sign=sign,
            on_event=on_event,
            **({"formats": format} if format else {}),  # type: ignore[arg-type]  # as above
        )
    return report(result, quiet=quiet, as_json=json)
