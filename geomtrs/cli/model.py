"""`geomtrs model list|show|read|convert|start`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SURE = 0.9  # cosine to the plain sentence about the same thing

app = typer.Typer(help="The models that can be asked.", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """Name every model, in a line each.

    [bold]geomtrs model list[/bold]
    """
    from geomtrs.models import catalog

    for name in catalog.names():
        card = catalog.describe(name)
        there = (
            "no weights needed" if name == "differencing" else "installed" if card.weights_hash else "weights missing"
        )
        print(f"{name:14} {there:18} {card.summary}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A name of geomtrs model list.")],
    weights: Annotated[str | None, typer.Option(help="Folder of a checkpoint.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Tell what a model is: licence, training data, tiles, resolution, hash and card.

    [bold]geomtrs model show nano[/bold]
    """
    import json as json_

    from geomtrs.errors import ModelError
    from geomtrs.models import catalog

    card = catalog.describe(name, weights=weights)
    if weights is not None and card.weights_hash is None:
        raise ModelError(
            weights, found="nothing", wanted=f"weights of {name}", remedy="check the path given to --weights"
        )
    if json:
        print(json_.dumps(card.to_dict(), indent=2))
        return
    spec = card.tile_spec
    finest, coarsest = spec.gsd_m
    print(f"{card.name}: {card.summary}")
    unless = "" if weights is None else ", unless its card says otherwise"
    print(f"licence     {card.licence}{unless}")
    print(f"trained on  {card.trained_on}{unless}")
    print(f"tiles       {spec.tile_px} px, halo {spec.halo_px}, feather {spec.feather_px}")
    if coarsest < 1e6:
        twice = f"; from {spec.double_m:g} m on shown twice as large" if spec.double_m < coarsest else ""
        print(f"resolution  {finest:g} to {coarsest:g} m a pixel{twice}")
    if card.languages:
        print(f"languages   {', '.join(card.languages)}")
    if card.weights:
        print(f"weights     {card.size_bytes / 1e6:.1f} MB, hash {card.weights_hash}")
    if card.text:
        print(f"\n{card.text}")


@app.command("read")
def read(
    sentences: Annotated[list[str], typer.Argument(help="What might be asked.")],
    weights: Annotated[str | None, typer.Option(help="Folder of a checkpoint.")] = None,
) -> None:
    """Tell what nano takes sentences for, before any image is looked at.

    [bold]geomtrs model read "forest turned into fields" "the two largest new ponds near the road"[/bold]
    """
    from geomtrs.data.understood import understand
    from geomtrs.device import choose
    from geomtrs.models import catalog
    from geomtrs.models.nano import load_nano
    from geomtrs.query import Query
    from geomtrs.scene import sentence_notes

    nano = load_nano(None if weights is None else Path(weights), choose("cpu", "fp32"))
    card = catalog.describe("nano", weights=weights)
    width = max(map(len, sentences))
    for one in understand(nano, sentences):
        print(f"{one.sentence:{width}}  {one}{'' if one.likeness > SURE else '  (not sure)'}")
        for line in sentence_notes([Query(one.sentence)], card):
            print(f"{'':{width}}  {line}")


@app.command("convert")
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="The authors' file, or a folder with it and the tokenizer.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; name it with --weights afterwards.")],
) -> None:
    """Make a folder for --model base of the authors' checkpoint; nothing in it is executed.

    [bold]geomtrs model convert mtrefseg-r1/ -o base/[/bold]

    [bold]geomtrs detect a.tif b.tif -q "new houses" -o out --model base --weights base/[/bold]
    """
    from geomtrs.models.convert import convert as convert_

    unknown = convert_(checkpoint, out)
    for key in unknown:
        print(f"not used: {key}")
    print(f"{out}: --model base --weights {out}")


@app.command("start")
def start(
    mask2former: Annotated[Path, typer.Option(help="The Mask2Former COCO panoptic Swin-B file, a .pkl.")],
    phi: Annotated[Path, typer.Option(help="Folder of Phi-1.5 with its tokenizer.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    seed: Annotated[int, typer.Option(help="Of the parts that begin fresh.")] = 42,
) -> None:
    """Gather what a training of the published size begins with; nothing in the files is executed.

    [bold]geomtrs model start --mask2former model_final_9d7f02.pkl --phi phi-1_5/ -o start/[/bold]
    """
    from geomtrs.models.start import start as start_

    for key in start_(mask2former, phi, out, seed=seed):
        print(f"not used: {key}")
    print(f"{out}: what stage 1 begins with")
