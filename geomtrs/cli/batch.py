"""`geomtrs batch`: the main job over many scenes."""

from __future__ import annotations

import json as json_
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from geomtrs.cli import options as o
from geomtrs.cli.progress import listener

if TYPE_CHECKING:
    from geomtrs.archive.batch import BatchResult

_SOURCE, _ANSWER, _RUN = "What of the source", "Answer", "How it runs"

# What a batch leaves, in the order it is told.
_LEFT = (
    "all.gpkg", "all.parquet", "collection.json", "failures.geojson", "ledger.gpkg", "project.qgz", "summary.html",
)  # fmt: skip


def batch(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="Folder of rasters, CSV or Parquet of pairs, or STAC catalogue (JSON, file or URL).")
    ],
    query: o.Asked = None,
    queries: o.Queries = None,
    scope: o.Scope = "scene",
    out: Annotated[
        str,
        typer.Option("--out", "-o", help="Folder of the outputs, one folder a scene in it.", rich_help_panel=_ANSWER),
    ] = "geomtrs-out",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the scenes; write nothing, ask no model.", rich_help_panel=_RUN)
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N scenes.", rich_help_panel=_RUN)] = None,
    at_once: Annotated[
        int | None,
        typer.Option(
            min=1, help="Scenes at work at once: one, with --scheduler all it can take.", rich_help_panel=_RUN
        ),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="File names in a folder: '*_rgb.tif'.", rich_help_panel=_SOURCE)
    ] = None,
    series: Annotated[
        bool, typer.Option("--series", help="All dates of a place as one scene; see --pairs.", rich_help_panel=_SOURCE)
    ] = False,
    asset: Annotated[
        str, typer.Option(help="STAC asset to read; else the first raster.", rich_help_panel=_SOURCE)
    ] = "visual",
    max_cloud: Annotated[
        float, typer.Option(help="Largest eo:cloud_cover of a STAC item, %.", rich_help_panel=_SOURCE)
    ] = 20.0,
    collection: Annotated[
        list[str] | None, typer.Option(help="Of a STAC API; repeat for more.", rich_help_panel=_SOURCE)
    ] = None,
    bbox: Annotated[str | None, typer.Option(help="W,S,E,N, of a STAC API.", rich_help_panel=_SOURCE)] = None,
    datetime: Annotated[
        str | None, typer.Option(help="2019-01-01/2023-12-31, of a STAC API.", rich_help_panel=_SOURCE)
    ] = None,
    pairs: o.Pairs = "consecutive",
    aoi: o.Aoi = None,
    aoi_crs: o.AoiCrs = None,
    bands: o.Bands = None,
    nodata: o.Nodata = None,
    alpha: o.Alpha = "auto",
    assume_crs: o.AssumeCrs = None,
    register: o.Register = "check",
    max_shift: o.MaxShift = 16.0,
    resampling: o.Resampling = "bilinear",
    sign: o.SignWith = None,
    model: o.Model = "nano",
    weights: o.Weights = None,
    enlarge: o.Enlarge = None,
    threshold: o.Threshold = 0.5,
    format: o.Formats = None,
    min_area: o.MinArea = None,
    max_area: o.MaxArea = None,
    fill_holes: o.FillHoles = None,
    simplify: o.Simplify = None,
    regularize: o.Regularize = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget an earlier batch here, replace its outputs.", rich_help_panel=_RUN)
    ] = False,
    keep_going: o.KeepGoing = False,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    engine: o.Engine = "auto",
    memory: o.Memory = None,
    workers: o.Workers = None,
    threads: o.Threads = None,
    scheduler: o.Scheduler = None,
    json: o.AsJson = False,
    quiet: o.Quiet = False,
    log_json: o.LogJson = False,
    debug: o.Debug = False,
) -> int:
    """Answer sentences about every scene of an archive; killed, the same command goes on.

    In a folder, two rasters are a scene when they share half their ground and their names, tags or folders tell dates that follow each other. A table has the columns before and after, and may have scene_id, date_before, date_after, aoi.

    [bold]geomtrs batch archive/ -q "the buildings that appeared" -o answers/ --dry-run[/bold]

    [bold]geomtrs batch pairs.csv -q "new water" -o answers/ --aoi park.gpkg[/bold]

    [bold]geomtrs batch catalog.json -q "felled trees" -o answers/ --asset visual --max-cloud 10[/bold]
    """
    from geomtrs.archive.batch import batch as run
    from geomtrs.archive.plan import plan_batch

    options = {"query": [], **o.told(context)}
    if options.pop("dry_run"):
        planned = plan_batch(**{name: value for name, value in options.items() if name not in {"fresh", "at_once"}})
        print(json_.dumps(planned.to_dict(), ensure_ascii=False, indent=2) if json else planned)
        return 0
    with listener(quiet=quiet, log_json=log_json, unit="scenes") as on_event:
        result = run(**options, on_event=on_event)
    return _report(result, quiet=quiet, as_json=json)


def _report(result: BatchResult, *, quiet: bool, as_json: bool) -> int:
    """Prints what became of the scenes and where it lies; returns the exit code."""
    counts = result.counts
    if as_json:
        failed = {row.scene.id: row.reason for row in result.rows if row.status == "failed"}
        print(json_.dumps({"folder": str(result.folder), "counts": counts, "failed": failed}, ensure_ascii=False))
    elif not quiet:
        for name in _LEFT:
            if (result.folder / name).exists():
                print(result.folder / name)
    if quiet and result.exit_code:
        failed_of = f"{counts.get('failed', 0)} of {sum(counts.values())} scenes failed"
        print(f"{failed_of}: {result.folder / 'summary.html'} says why", file=sys.stderr)
    return result.exit_code
