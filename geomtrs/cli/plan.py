"""`geomtrs plan`, `resume`, `rerun`: what would be done, what was not finished, what was done once more."""

from __future__ import annotations

from typing import Annotated

import typer

from geomtrs.cli.detect import (
    Alpha,
    Aoi,
    AoiCrs,
    AsJson,
    AssumeCrs,
    Bands,
    CloudMask,
    DateFiles,
    Debug,
    Images,
    LogJson,
    MaxShift,
    Nodata,
    Pixels,
    Quiet,
    Register,
    Resampling,
    dates_of,
)  # fmt: skip
from geomtrs.cli.progress import listener, report


def plan(
    images: Images = None,
    date: DateFiles = None,
    bands: Bands = None,
    nodata: Nodata = None,
    alpha: Alpha = "auto",
    assume_crs: AssumeCrs = None,
    aoi: Aoi = None,
    aoi_crs: AoiCrs = None,
    cloud_mask: CloudMask = None,
    register: Register = "check",
    max_shift: MaxShift = 16.0,
    resampling: Resampling = "bilinear",
    pixels: Pixels = False,
    model: Annotated[str, typer.Option(help="Whose tiles: nano, differencing, …")] = "nano",
    json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Show what detect would do: grid, how each date lies on it, shift between dates, tiles; nothing is computed.

    [bold]geomtrs plan 2019.tif 2023.tif[/bold]
    """
    import json as json_

    from geomtrs.job import plan as make

    found = make(
        *dates_of(images, date), bands=bands, nodata=nodata, alpha=alpha, assume_crs=assume_crs, aoi=aoi, aoi_crs=aoi_crs,  # type: ignore[arg-type]  # checked by JobSpec, whose error names the choices
        cloud_masks=[m or None for m in cloud_mask or ()], register=register, max_shift_px=max_shift, resampling=resampling, pixels=pixels, model=model,  # type: ignore[arg-type]  # as above
    )  # fmt: skip
    if json:
        print(json_.dumps(found.to_dict(), indent=2))
    else:
        print(found)
    return 0


def resume(
    folder: Annotated[str, typer.Argument(help="Folder of a run that did not end.")],
    json: AsJson = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
    debug: Debug = False,
) -> int:
    """Go on with a run that was killed: finished blocks are kept, only the missing ones are computed.

    [bold]geomtrs resume out/[/bold]
    """
    from geomtrs.job import resume as go_on

    with listener(quiet=quiet, log_json=log_json) as on_event:
        result = go_on(folder, on_event=on_event)
    return report(result, quiet=quiet, as_json=json)


def rerun(
    record: Annotated[str, typer.Argument(help="run.json of a finished run.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the new outputs.")],
    json: AsJson = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
    debug: Debug = False,
) -> int:
    """Do a run again from its record: the same masks, bit by bit, on the same processor.

    [bold]geomtrs rerun out/run.json -o again/[/bold]
    """
    from geomtrs.job import rerun as repeat

    with listener(quiet=quiet, log_json=log_json) as on_event:
        result = repeat(record, out=out, on_event=on_event)
    return report(result, quiet=quiet, as_json=json)
