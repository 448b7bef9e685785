"""`geomtrs detect`: the main job."""

from __future__ import annotations

import typer

from geomtrs.cli import options as o
from geomtrs.cli.progress import listener, report


def detect(
    context: typer.Context,
    images: o.Images = None,
    query: o.Asked = None,
    queries: o.Queries = None,
    scope: o.Scope = "scene",
    out: o.Out = "geomtrs-out",
    date: o.DateFiles = None,
    dates: o.Dates = None,
    pairs: o.Pairs = "consecutive",
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
    overwrite: o.Overwrite = False,
    fresh: o.Fresh = False,
    keep_store: o.KeepStore = False,
    keep_features: o.KeepFeatures = False,
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
    """Answer sentences about two or more images of one place with masks, probabilities and polygons.

    [bold]geomtrs detect 2019.tif 2023.tif -q "the buildings that appeared" -o out/[/bold]

    [bold]geomtrs detect 2019.tif 2023.tif -q "new water" -q "felled trees" -o out/ --format shp --aoi 11.2,46.1,11.4,46.2[/bold]

    [bold]geomtrs detect 2019.tif 2023.tif -q "the two largest new buildings over 500 m² in the north" -o out/[/bold]

    [bold]geomtrs detect --date t1_a.tif,t1_b.tif --date t2_a.tif,t2_b.tif -q "new houses" -o out/[/bold]
    """
    from geomtrs.job import detect as run

    with listener(quiet=quiet, log_json=log_json) as on_event:
        result = run(*o.dates_of(images, date), **{"query": [], **o.told(context)}, on_event=on_event)
    return report(result, quiet=quiet, as_json=json, log_json=log_json)
