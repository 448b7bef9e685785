"""`geomtrs batch`: the main job over many scenes."""

from __future__ import annotations

import json as json_
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geomtrs.cli.detect import (
    Alpha,
    Aoi,
    AoiCrs,
    Asked,
    AssumeCrs,
    Bands,
    Debug,
    Device,
    Engine,
    LogJson,
    MaxArea,
    MaxShift,
    Model,
    Nodata,
    Precision,
    Queries,
    Quiet,
    Register,
    Regularize,
    Resampling,
    SignWith,
    Simplify,
    Threads,
    Threshold,
    Weights,
    Workers,
)
from geomtrs.cli.progress import listener

if TYPE_CHECKING:
    from geomtrs.archive.batch import BatchResult

_SOURCE, _ANSWER, _RUN = "What of the source", "Answer", "How it runs"

# What a batch leaves, in the order it is told.
_LEFT = (
    "all.gpkg", "all.parquet", "collection.json", "failures.geojson", "ledger.gpkg", "project.qgz", "summary.html",
)  # fmt: skip


def batch(
    source: Annotated[
        str, typer.Argument(help="Folder of rasters, CSV or Parquet of pairs, or STAC catalogue (JSON, file or URL).")
    ],
    query: Asked = None,
    queries: Queries = None,
    scope: Annotated[
        str,
        typer.Option(
            help="scene: apply words of rank, size and place to each scene; tile: ask them too.",
            rich_help_panel=_ANSWER,
        ),
    ] = "scene",
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
    pairs: Annotated[
        str, typer.Option(help="Of a series: consecutive, first-last or all.", rich_help_panel=_SOURCE)
    ] = "consecutive",
    aoi: Aoi = None,
    aoi_crs: AoiCrs = None,
    bands: Bands = None,
    nodata: Nodata = None,
    alpha: Alpha = "auto",
    assume_crs: AssumeCrs = None,
    register: Register = "check",
    max_shift: MaxShift = 16.0,
    resampling: Resampling = "bilinear",
    sign: SignWith = None,
    model: Model = "nano",
    weights: Weights = None,
    threshold: Threshold = 0.5,
    format: Annotated[
        list[str] | None, typer.Option(help="shp, parquet, fgb, geojson of each scene.", rich_help_panel=_ANSWER)
    ] = None,
    min_area: Annotated[float, typer.Option(help="Smallest polygon, m².", rich_help_panel=_ANSWER)] = 0.0,
    max_area: MaxArea = None,
    fill_holes: Annotated[float, typer.Option(help="Fill holes up to this, m².", rich_help_panel=_ANSWER)] = 0.0,
    simplify: Simplify = 0.0,
    regularize: Regularize = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget an earlier batch here, replace its outputs.", rich_help_panel=_RUN)
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave out blocks of a scene that fail.", rich_help_panel=_RUN)
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    memory: Annotated[str | None, typer.Option(help="Promise for all processes: 2GB.", rich_help_panel=_RUN)] = None,
    workers: Workers = None,
    threads: Threads = None,
    scheduler: Annotated[str | None, typer.Option(help="tcp://… of a Dask cluster.", rich_help_panel=_RUN)] = None,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON object on stdout.")] = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
    debug: Debug = False,
) -> int:
    """Answer sentences about every scene of an archive; killed, the same command goes on.

    In a folder, two rasters are a scene when they share half their ground and their names, tags or folders tell dates that follow each other. A table has the columns before and after, and may have scene_id, date_before, date_after, aoi.

    [bold]geomtrs batch archive/ -q "the buildings that appeared" -o answers/ --dry-run[/bold]

    [bold]geomtrs batch pairs.csv -q "new water" -o answers/ --aoi park.gpkg[/bold]

    [bold]geomtrs batch catalog.json -q "felled trees" -o answers/ --asset visual --max-cloud 10[/bold]
    """
    from geomtrs.archive.batch import batch as run
    from geomtrs.archive.plan import plan_batch

    options: dict[str, Any] = {  # Any: values of every option
        "queries": queries, "scope": scope, "pattern": pattern, "series": series, "asset": asset, "max_cloud": max_cloud, "collections": collection or (),
        "bbox": bbox, "datetime": datetime, "pairs": pairs, "aoi": aoi, "aoi_crs": aoi_crs, "bands": bands, "nodata": nodata, "alpha": alpha,
        "assume_crs": assume_crs, "register": register, "max_shift_px": max_shift, "resampling": resampling, "model": model,
        "weights": weights, "threshold": threshold, "formats": format or (), "min_area_m2": min_area, "max_area_m2": max_area,
        "fill_holes_m2": fill_holes, "simplify_m": simplify, "regularize": regularize, "device": device, "precision": precision,
        "engine": engine, "memory": memory, "workers": workers, "threads": threads, "scheduler": scheduler, "sign": sign, "keep_going": keep_going,
    }  # fmt: skip
    if dry_run:
        planned = plan_batch(source, query=query or [], out=out, limit=limit, **options)
        print(json_.dumps(planned.to_dict(), ensure_ascii=False, indent=2) if json else planned)
        return 0
    with listener(quiet=quiet, log_json=log_json, unit="scenes") as on_event:
        result = run(
            source, query=query or [], out=out, limit=limit, fresh=fresh, at_once=at_once, on_event=on_event, **options
        )
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
    return result.exit_code
