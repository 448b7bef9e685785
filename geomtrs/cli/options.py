"""What verbs may be told, each option once; and what was told, by the names that the library has for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.models import OptionInfo

_IMAGES, _ANSWER, _RUN, _TALK = "Images", "Answer", "How it runs", "What it says"


def _one_of(*words: str) -> Callable[[str], list[str]]:
    """What a shell offers where these words may stand."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]  # Typer knows it by this name


def _choice(help: str, panel: str, *words: str) -> OptionInfo:
    """An option that takes one of these words."""
    option: OptionInfo = typer.Option(help=help, autocompletion=_one_of(*words), rich_help_panel=panel)
    return option


def _model(incomplete: str) -> list[str]:
    from geomtrs.models.catalog import names

    return _one_of(*names())(incomplete)


# --- Images

Images = Annotated[
    list[str] | None,
    typer.Argument(help="Two or more rasters, or STAC items, of one place, in order of time.", show_default=False),
]
DateFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--date", help="FILE,FILE,… of one date (tiles, or one band a file); once per date.", rich_help_panel=_IMAGES
    ),
]
Dates = Annotated[str | None, typer.Option(help="D1,D2,… where names and tags do not tell.", rich_help_panel=_IMAGES)]
Pairs = Annotated[
    str, _choice("Of a series: consecutive, first-last or all.", _IMAGES, "consecutive", "first-last", "all")
]
Bands = Annotated[
    str | None, typer.Option(help="Red, green and blue, by number or name: 4,3,2.", rich_help_panel=_IMAGES)
]
Nodata = Annotated[
    float | None, typer.Option(help="A value that means no data, in all bands.", rich_help_panel=_IMAGES)
]
Alpha = Annotated[str, _choice("Is the alpha band one: auto, yes, no.", _IMAGES, "auto", "yes", "no")]
AssumeCrs = Annotated[str | None, typer.Option(help="CRS of images that have none.", rich_help_panel=_IMAGES)]
Aoi = Annotated[str | None, typer.Option(help="Area of interest: a vector file, or W,S,E,N.", rich_help_panel=_IMAGES)]
AoiCrs = Annotated[
    str | None, typer.Option(help="CRS of W,S,E,N (else EPSG:4326), or of a file without one.", rich_help_panel=_IMAGES)
]
CloudMask = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RASTER",
        help="Not 0 in clouds, or with one of these bits set there, or of these values, once per date: clouds.tif:2 "
        "(a band), 'qa.tif&0x28', scl.tif=3,8,9,10.",
        rich_help_panel=_IMAGES,
    ),
]
Register = Annotated[
    str, _choice("check, translation (correct a shift) or off.", _IMAGES, "check", "translation", "off")
]
MaxShift = Annotated[float, typer.Option(help="Largest shift to correct, in pixels.", rich_help_panel=_IMAGES)]
Resampling = Annotated[str, _choice("bilinear, cubic or nearest.", _IMAGES, "bilinear", "cubic", "nearest")]
Pixels = Annotated[
    bool, typer.Option("--pixels", help="Plain pictures: no CRS, areas in pixels.", rich_help_panel=_IMAGES)
]
SignWith = Annotated[
    str | None,
    typer.Option(
        "--sign", help="module:function that signs an address, called whenever it is opened.", rich_help_panel=_IMAGES
    ),
]

# --- Answer

Asked = Annotated[
    list[str] | None, typer.Option("--query", "-q", help="What to look for; repeat for more.", rich_help_panel=_ANSWER)
]
Queries = Annotated[str | None, typer.Option(help="File of sentences, one a line.", rich_help_panel=_ANSWER)]
Scope = Annotated[
    str, _choice("scene: apply words of rank, size and place; tile: ask them too.", _ANSWER, "scene", "tile")
]
Out = Annotated[str, typer.Option("--out", "-o", help="Folder of the outputs.", rich_help_panel=_ANSWER)]
Model = Annotated[
    str, typer.Option(help="nano, differencing, …: geomtrs model list.", autocompletion=_model, rich_help_panel=_ANSWER)
]
Weights = Annotated[str | None, typer.Option(help="Folder of a checkpoint.", rich_help_panel=_ANSWER)]
Enlarge = Annotated[
    int | None,
    typer.Option(
        help="Show the model the pixels 1, 2 or 4 times as large: finer, and slower by its square. nano: 2 from 4 m on.",
        rich_help_panel=_ANSWER,
    ),
]
Threshold = Annotated[
    float | None, typer.Option(help="Probability from which a pixel is in the mask.", rich_help_panel=_ANSWER)
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        help="shp, parquet, fgb, geojson beside gpkg; repeat.",
        autocompletion=_one_of("shp", "parquet", "fgb", "geojson"),
        rich_help_panel=_ANSWER,
    ),
]
MinArea = Annotated[float | None, typer.Option(help="Smallest polygon, m².", rich_help_panel=_ANSWER)]
MaxArea = Annotated[float | None, typer.Option(help="Largest polygon, m².", rich_help_panel=_ANSWER)]
FillHoles = Annotated[
    float | None,
    typer.Option(
        help="Fill holes up to this, m²; ground that was not observed counts as a hole.", rich_help_panel=_ANSWER
    ),
]
Simplify = Annotated[
    float | None, typer.Option(help="Drop details of outlines up to about this, m.", rich_help_panel=_ANSWER)
]
Regularize = Annotated[
    bool | None,
    typer.Option(
        "--regularize/--no-regularize", help="Right angles, for buildings (extra: shapes).", rich_help_panel=_ANSWER
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace outputs that exist, those of ask among them.", rich_help_panel=_ANSWER),
]

# --- How it runs

Fresh = Annotated[bool, typer.Option("--fresh", help="Forget a run that did not end.", rich_help_panel=_RUN)]
KeepStore = Annotated[bool, typer.Option("--keep-store", help="Keep the finished blocks.", rich_help_panel=_RUN)]
KeepFeatures = Annotated[
    bool,
    typer.Option(
        "--keep-features",
        help="Keep what nano saw, for geomtrs ask (21 MB per Mpx; 84 where it is shown twice as large).",
        rich_help_panel=_RUN,
    ),
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="Leave out blocks that fail (exit 3).", rich_help_panel=_RUN)
]
Device = Annotated[str, _choice("auto, cpu, cuda, cuda:N.", _RUN, "auto", "cpu", "cuda")]
Precision = Annotated[str, _choice("auto, fp32, bf16, fp16.", _RUN, "auto", "fp32", "bf16", "fp16")]
Engine = Annotated[str, _choice("auto, torch, openvino (nano on a CPU).", _RUN, "auto", "torch", "openvino")]
Memory = Annotated[str | None, typer.Option(help="Promise for all processes together: 2GB.", rich_help_panel=_RUN)]
Workers = Annotated[
    int | None,
    typer.Option(help="Blocks at work at once: one at the model, the others read or write.", rich_help_panel=_RUN),
]
Threads = Annotated[int | None, typer.Option(help="Threads of the model.", rich_help_panel=_RUN)]
Scheduler = Annotated[str | None, typer.Option(help="tcp://… of a running Dask cluster.", rich_help_panel=_RUN)]

# --- What it says

AsJson = Annotated[bool, typer.Option("--json", help="The result as one JSON object on stdout.", rich_help_panel=_TALK)]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar, no summary.", rich_help_panel=_TALK)]
LogJson = Annotated[bool, typer.Option("--log-json", help="Progress as JSON lines on stderr.", rich_help_panel=_TALK)]
Debug = Annotated[bool, typer.Option("--debug", help="Log everything; tracebacks of errors.", rich_help_panel=_TALK)]

# Where the library has another name: units belong to it, and several of a kind.
_CALLED = {
    "cloud_mask": "cloud_masks", "collection": "collections", "fill_holes": "fill_holes_m2", "format": "formats",
    "max_area": "max_area_m2", "max_shift": "max_shift_px", "min_area": "min_area_m2", "simplify": "simplify_m",
}  # fmt: skip
# For the command itself: dates are arguments of the library, and the rest is about the terminal.
_OWN = {"images", "date", "json", "quiet", "log_json", "debug"}


def told(context: typer.Context) -> dict[str, Any]:  # Any: values of every option
    """Options of a command that have a value, by the names that the library has for them."""
    said = {_CALLED.get(name, name): value for name, value in context.params.items() if name not in _OWN}
    if said.get("cloud_masks"):
        said["cloud_masks"] = [mask or None for mask in said["cloud_masks"]]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items() if _is_said(value)}


def _is_said(value: object) -> bool:
    return value not in (None, (), [])


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
