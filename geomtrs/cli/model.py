"""`geomtrs model list|show`."""

from __future__ import annotations

from typing import Annotated

import typer

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

    from geomtrs.models import catalog

    card = catalog.describe(name, weights=weights)
    if json:
        print(json_.dumps(card.to_dict(), indent=2))
        return
    spec = card.tile_spec
    finest, coarsest = spec.gsd_m
    print(f"{card.name}: {card.summary}")
    print(f"licence     {card.licence}")
    print(f"trained on  {card.trained_on}")
    print(f"tiles       {spec.tile_px} px, halo {spec.halo_px}, feather {spec.feather_px}")
    if coarsest < 1e6:
        print(f"resolution  {finest:g} to {coarsest:g} m a pixel")
    if card.languages:
        print(f"languages   {', '.join(card.languages)}")
    if card.weights:
        print(f"weights     {card.size_bytes / 1e6:.1f} MB, hash {card.weights_hash}")
    if card.text:
        print(f"\n{card.text}")
