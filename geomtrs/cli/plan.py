"""`geomtrs plan`, `resume`, `rerun`: what would be done, what was not finished, what was done once more."""

from __future__ import annotations

from typing import Annotated

import typer

from geomtrs.cli import options as o
from geomtrs.cli.progress import listener, report


def plan(
    context: typer.Context,
    images: o.Images = None,
    date: o.DateFiles = None,
    bands: o.Bands = None,
    nodata: o.Nodata = None,
    alpha: o.Alpha = "auto",
    assume_crs: o.AssumeCrs = None,
    aoi: o.Aoi = None,
    aoi_crs: o.AoiCrs = None,
    cloud_mask: o.CloudMask = None,
    register: o.Register = "check",
    max_shift: o.MaxShift = 16.0,
    resampling: o.Resampling = "bilinear",
    pixels: o.Pixels = False,
    model: Annotated[str, typer.Option(help="Whose tiles: nano, differencing, …")] = "nano",
    enlarge: o.Enlarge = None,
    json: o.AsJson = False,
    debug: o.Debug = False,
) -> int:
    """Show what detect would do: grid, how each date lies on it, shift between dates, tiles; nothing is computed.

    [bold]geomtrs plan 2019.tif 2023.tif[/bold]
    """
    import json as json_

    from geomtrs.job import plan as make

    found = make(*o.dates_of(images, date), **o.told(context))
    print(json_.dumps(found.to_dict(), indent=2) if json else found)
    return 0


def resume(
    folder: Annotated[str, typer.Argument(help="Folder of a run that did not end.")],
    scheduler: Annotated[str | None, typer.Option(help="tcp://… of another Dask cluster than it began on.")] = None,
    json: o.AsJson = False,
    quiet: o.Quiet = False,
    log_json: o.LogJson = False,
    debug: o.Debug = False,
) -> int:
    """Go on with a run that was killed: finished blocks are kept, only the missing ones are computed.

    [bold]geomtrs resume out/[/bold]
    """
    from geomtrs.job import resume as go_on

    with listener(quiet=quiet, log_json=log_json) as on_event:
        result = go_on(folder, scheduler=scheduler, on_event=on_event)
    return report(result, quiet=quiet, as_json=json, log_json=log_json)


def rerun(
    record: Annotated[str, typer.Argument(help="run.json of a finished run.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the new outputs.")],
    json: o.AsJson = False,
    quiet: o.Quiet = False,
    log_json: o.LogJson = False,
    debug: o.Debug = False,
) -> int:
    """Do a run again from its record: the same masks, bit by bit, on the same processor.

    [bold]geomtrs rerun out/run.json -o again/[/bold]
    """
    from geomtrs.job import rerun as repeat

    with listener(quiet=quiet, log_json=log_json) as on_event:
        result = repeat(record, out=out, on_event=on_event)
    return report(result, quiet=quiet, as_json=json, log_json=log_json)
