"""What `geomtrs craft run` may be told, each option once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_WHO, _CHAT = "Who finds and cuts out", "A chat model that sees"

# --- Pairs

Pairs = Annotated[
    list[Path],
    typer.Argument(
        metavar="PAIRS",
        help="Folder with A and B, or of such folders; a CSV or Parquet with before, after, before_labels, "
        "after_labels, place; an archive run; or two rasters.",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write, or to go on in.")]
LabelRasters = Annotated[
    list[Path] | None, typer.Option(help="Label raster of each date of two rasters: name it twice.")
]
Classes = Annotated[Path | None, typer.Option(help="JSON of label value → name; else classes.json beside them.")]
TilePx = Annotated[int, typer.Option(min=64, max=2048, help="Side of the tiles of rasters, at most.")]
Seed = Annotated[int, typer.Option(help="Of the words that are chosen.")]
PerPair = Annotated[int, typer.Option(min=1, help="Sentences about a pair, at most.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N pairs.")]
AtOnce = Annotated[int, typer.Option(min=1, help="Pairs in work together.")]
Rounds = Annotated[int, typer.Option(min=0, help="How often a mask is mended at most.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No lines of progress.")]

# --- Who finds and cuts out

Asked = Annotated[
    list[str] | None,
    typer.Option("--query", "-q", help="A sentence to ask of every pair; repeat for more.", rich_help_panel=_WHO),
]
Segmenter = Annotated[
    str | None,
    typer.Option(
        help="labels, sam, clipseg, or a name of geomtrs model list; else labels, or nano for sentences and chat.",
        rich_help_panel=_WHO,
    ),
]
Weights = Annotated[Path | None, typer.Option(help="Folder of the segmenter.", rich_help_panel=_WHO)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.", rich_help_panel=_WHO)]
SecondLook = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A change model that has to see every sentence in the pictures, such as nano; what it does not see "
        "goes to the audit desk.",
        rich_help_panel=_WHO,
    ),
]

# --- A chat model that sees

Chat = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Base of a server of OpenAI's protocol, http://127.0.0.1:8000/v1, or the folder of a model.",
        rich_help_panel=_CHAT,
    ),
]
ChatModel = Annotated[str, typer.Option(help="As the server names it.", rich_help_panel=_CHAT)]
ChatDoes = Annotated[str, typer.Option(help="What it does, by comma: perceive, judge, phrase.", rich_help_panel=_CHAT)]
KeyEnv = Annotated[
    str | None, typer.Option(metavar="NAME", help="Environment variable that holds the key.", rich_help_panel=_CHAT)
]
AllowUpload = Annotated[
    str | None,
    typer.Option(metavar="HOST", help="Pictures may be sent to this host; else they stay here.", rich_help_panel=_CHAT),
]
MaxCalls = Annotated[
    int | None, typer.Option(min=1, help="Over all runs in this folder; then it stops.", rich_help_panel=_CHAT)
]
MaxCost = Annotated[
    float | None, typer.Option(min=0.0, help="The same in money, by the prices.", rich_help_panel=_CHAT)
]
PriceIn = Annotated[float, typer.Option(min=0.0, help="Of 1,000 tokens in.", rich_help_panel=_CHAT)]
PriceOut = Annotated[float, typer.Option(min=0.0, help="Of 1,000 tokens out.", rich_help_panel=_CHAT)]
Timeout = Annotated[float, typer.Option(min=0.1, help="Of one call, s.", rich_help_panel=_CHAT)]
