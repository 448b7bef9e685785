"""`geomtrs detect`: the main job."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from geomtrs.cli.progress import listener, report

_IMAGES, _ANSWER, _RUN, _TALK = "Images", "Answer", "How it runs", "What it says"

Out = Annotated[str, typer.Option("--out", "-o", help="Folder of the outputs.", rich_help_panel=_ANSWER)]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar, no summary.", rich_help_panel=_TALK)]
LogJson = Annotated[bool, typer.Option("--log-json", help="Progress as JSON lines on stderr.", rich_help_panel=_TALK)]
Debug = Annotated[bool, typer.Option("--debug", help="Log everything; tracebacks of errors.", rich_help_panel=_TALK)]
AsJson = Annotated[bool, typer.Option("--json", help="The result as one JSON object on stdout.", rich_help_panel=_TALK)]
Images = Annotated[
    list[str] | None, typer.Argument(help="Two or more rasters of one place, in order of time.", show_default=False)
]
DateFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--date", help="FILE,FILE,… of one date (tiles, or one band a file); once per date.", rich_help_panel=_IMAGES
    ),
]
Bands = Annotated[
    str | None, typer.Option(help="Red, green and blue, by number or name: 4,3,2.", rich_help_panel=_IMAGES)
]
Nodata = Annotated[
    float | None, typer.Option(help="A value that means no data, in all bands.", rich_help_panel=_IMAGES)
]
Alpha = Annotated[str, typer.Option(help="Is the alpha band one: auto, yes, no.", rich_help_panel=_IMAGES)]
AssumeCrs = Annotated[str | None, typer.Option(help="CRS of images that have none.", rich_help_panel=_IMAGES)]
Aoi = Annotated[str | None, typer.Option(help="Area of interest: a vector file, or W,S,E,N.", rich_help_panel=_IMAGES)]
AoiCrs = Annotated[str | None, typer.Option(help="CRS of the area, EPSG:4326 for W,S,E,N.", rich_help_panel=_IMAGES)]
CloudMask = Annotated[
    list[str] | None,
    typer.Option(help="Raster (or raster:band) that is not 0 in clouds; once per date.", rich_help_panel=_IMAGES),
]
Register = Annotated[str, typer.Option(help="check, translation (correct a shift) or off.", rich_help_panel=_IMAGES)]
MaxShift = Annotated[float, typer.Option(help="Largest shift to correct, in pixels.", rich_help_panel=_IMAGES)]
Simplify = Annotated[float, typer.Option(help="Drop details of outlines up to about this, m.", rich_help_panel=_ANSWER)]
Regularize = Annotated[
    bool, typer.Option("--regularize", help="Right angles, for buildings (extra: shapes).", rich_help_panel=_ANSWER)
]
Resampling = Annotated[str, typer.Option(help="bilinear, cubic or nearest.", rich_help_panel=_IMAGES)]

Pixels = Annotated[
    bool, typer.Option("--pixels", help="Plain pictures: no CRS, areas in pixels.", rich_help_panel=_IMAGES)
]
SignWith = Annotated[
    str | None,
    typer.Option(
        "--sign", help="module:function that signs an address, called whenever it is opened.", rich_help_panel=_IMAGES
    ),
]
Asked = Annotated[
    list[str] | None, typer.Option("--query", "-q", help="What to look for; repeat for more.", rich_help_panel=_ANSWER)
]
Queries = Annotated[str | None, typer.Option(help="File of sentences, one a line.", rich_help_panel=_ANSWER)]
Scope = Annotated[
    str, typer.Option(help="scene: apply words of rank, size and place; tile: ask them too.", rich_help_panel=_ANSWER)
]
Model = Annotated[str, typer.Option(help="nano, differencing, …: geomtrs model list.", rich_help_panel=_ANSWER)]
Weights = Annotated[str | None, typer.Option(help="Folder of a checkpoint.", rich_help_panel=_ANSWER)]
Threshold = Annotated[
    float, typer.Option(help="Probability from which a pixel is in the mask.", rich_help_panel=_ANSWER)
]
Formats = Annotated[
    list[str] | None, typer.Option(help="shp, parquet, fgb, geojson beside gpkg; repeat.", rich_help_panel=_ANSWER)
]
MaxArea = Annotated[float | None, typer.Option(help="Largest polygon, m².", rich_help_panel=_ANSWER)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.", rich_help_panel=_ANSWER)]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget a run that did not end.", rich_help_panel=_RUN)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.", rich_help_panel=_RUN)]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.", rich_help_panel=_RUN)]
Engine = Annotated[str, typer.Option(help="auto, torch, openvino (nano on a CPU).", rich_help_panel=_RUN)]
Workers = Annotated[int | None, typer.Option(help="Threads that read and write.", rich_help_panel=_RUN)]
Threads = Annotated[int | None, typer.Option(help="Threads of the model.", rich_help_panel=_RUN)]


def detect(
    images: Images = None,
    query: Asked = None,
    queries: Queries = None,
    scope: Scope = "scene",
    out: Out = "geomtrs-out",
    date: DateFiles = None,
    dates: Annotated[
        str | None, typer.Option(help="D1,D2,… where names and tags do not tell.", rich_help_panel=_IMAGES)
    ] = None,
    pairs: Annotated[
        str, typer.Option(help="consecutive, first-last or all.", rich_help_panel=_IMAGES)
    ] = "consecutive",
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
    sign: SignWith = None,
    model: Model = "nano",
    weights: Weights = None,
    threshold: Threshold = 0.5,
    format: Formats = None,
    min_area: Annotated[float, typer.Option(help="Smallest polygon, m².", rich_help_panel=_ANSWER)] = 0.0,
    max_area: MaxArea = None,
    fill_holes: Annotated[
        float,
        typer.Option(
            help="Fill holes up to this, m²; ground that was not observed counts as a hole.", rich_help_panel=_ANSWER
        ),
    ] = 0.0,
    simplify: Simplify = 0.0,
    regularize: Regularize = False,
    overwrite: Overwrite = False,
    fresh: Fresh = False,
    keep_store: Annotated[
        bool, typer.Option("--keep-store", help="Keep the finished blocks.", rich_help_panel=_RUN)
    ] = False,
    keep_features: Annotated[
        bool,
        typer.Option(
            "--keep-features", help="Keep what nano saw, for geomtrs ask (21 MB per Mpx).", rich_help_panel=_RUN
        ),
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave out blocks that fail (exit 3).", rich_help_panel=_RUN)
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    memory: Annotated[
        str | None, typer.Option(help="Promise for all processes together: 2GB.", rich_help_panel=_RUN)
    ] = None,
    workers: Workers = None,
    threads: Threads = None,
    scheduler: Annotated[
        str | None, typer.Option(help="tcp://… of a running Dask cluster.", rich_help_panel=_RUN)
    ] = None,
    json: AsJson = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
    debug: Debug = False,
) -> int:
    """Answer sentences about two or more images of one place with masks, probabilities and polygons.

    [bold]geomtrs detect 2019.tif 2023.tif -q "the buildings that appeared" -o out/[/bold]

    [bold]geomtrs detect 2019.tif 2023.tif -q "new water" -q "felled trees" -o out/ --format shp --aoi 11.2,46.1,11.4,46.2[/bold]

    [bold]geomtrs detect 2019.tif 2023.tif -q "the two largest new buildings over 500 m² in the north" -o out/[/bold]

    [bold]geomtrs detect --date t1_a.tif,t1_b.tif --date t2_a.tif,t2_b.tif -q "new houses" -o out/[/bold]
    """
    from geomtrs.job import detect as run

    options: dict[str, Any] = {  # Any: values of every option
        "queries": queries, "scope": scope, "dates": dates, "pairs": pairs, "bands": bands, "nodata": nodata, "alpha": alpha,
        "assume_crs": assume_crs, "aoi": aoi, "aoi_crs": aoi_crs, "cloud_masks": [m or None for m in cloud_mask or ()],
        "register": register, "max_shift_px": max_shift, "resampling": resampling, "pixels": pixels, "model": model,
        "weights": weights, "threshold": threshold, "formats": format or (), "min_area_m2": min_area,
        "max_area_m2": max_area, "fill_holes_m2": fill_holes, "simplify_m": simplify, "regularize": regularize, "device": device,
        "precision": precision, "engine": engine, "memory": memory, "workers": workers, "threads": threads, "scheduler": scheduler,
        "sign": sign, "keep_store": keep_store, "keep_going": keep_going, "keep_features": keep_features,
    }  # fmt: skip
    with listener(quiet=quiet, log_json=log_json) as on_event:
        result = run(
            *dates_of(images, date),
            query=query or [],
            out=out,
            overwrite=overwrite,
            fresh=fresh,
            on_event=on_event,
            **options,
        )
    return report(result, quiet=quiet, as_json=json)


def dates_of(images: list[str] | None, date: list[str] | None) -> list[str | list[str]]:
    """The acquisitions as they were named: plain arguments, or one `--date` each."""
    from geomtrs.errors import QueryError

    if images and date:
        raise QueryError(
            "--date", found="images as arguments, too", wanted="one or the other", remedy="put every date behind --date"
        )
    if date:
        return [[part for part in files.split(",") if part] for files in date]
    return list(images or [])
