"""`geomtrs craft run|status|export`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from geomtrs.craft.run import Parts

app = typer.Typer(help="A training set of one's own: pairs in, sentences with masks out.", no_args_is_help=True)

Crafted = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a crafted set.")]
Json = Annotated[bool, typer.Option("--json", help="As one JSON object.")]

SHOWN = 10  # pairs that failed; the rest is counted


@app.command("run")
def run(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="Folder with A and B, or of such folders; labels and masks beside.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write, or to go on in.")],
    seed: Annotated[int, typer.Option(help="Of the words that are chosen.")] = 0,
    per_pair: Annotated[int, typer.Option(min=1, help="Sentences about a pair, at most.")] = 6,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N pairs.")] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Pairs in work together.")] = 2,
    quiet: Annotated[bool, typer.Option("--quiet", help="No lines of progress.")] = False,
) -> int:
    """Make sentences with masks of pairs; a run that died is continued.

    [bold]geomtrs craft run pairs/ -o crafted/[/bold]
    """
    from geomtrs.craft.run import craft

    def progress(over: int, of: int, last: str) -> None:
        if not quiet:
            print(f"{over:,} of {of:,} pairs · {last}", file=sys.stderr)

    counts = craft(pairs, out, _parts(per_pair), seed=seed, limit=limit, at_once=at_once, progress=progress)
    _tell(out, counts)
    return 3 if counts["failed"] else 0


@app.command("status")
def status(folder: Crafted, json: Json = False) -> None:
    """Tell how far a crafted set is, and which rules refused what.

    [bold]geomtrs craft status crafted/[/bold]
    """
    import json as json_

    from geomtrs.craft.ledger import Ledger

    with Ledger(folder) as ledger:
        counts = ledger.counts()
    if json:
        print(json_.dumps(counts, ensure_ascii=False))
    else:
        _tell(folder, counts)


@app.command("export")
def export(
    folder: Crafted,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    format: Annotated[str, typer.Option(help="mtrefseg21k, coco or labelstudio.")] = "mtrefseg21k",
    val: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the second split, by whole places.")] = 0.2,
    licence: Annotated[str, typer.Option(help="Of the pictures, for the datasheet.")] = "not stated",
) -> None:
    """Write what was kept as a set that others read, split by place.

    [bold]geomtrs craft export crafted/ -o mine/[/bold]

    [bold]geomtrs craft export crafted/ --format coco -o coco/[/bold]
    """
    from geomtrs.craft.export import export as export_

    count = export_(folder, out, format, val=val, licence=licence)
    print(f"{out}: {count:,} sentences")


def _parts(per_pair: int) -> Parts:
    from geomtrs.craft.perceive import LabelPerceiver
    from geomtrs.craft.phrase import GrammarPhraser
    from geomtrs.craft.run import Parts
    from geomtrs.craft.segment import LabelSegmenter
    from geomtrs.craft.verify import RuleVerifier

    return Parts(LabelPerceiver(), LabelSegmenter(), RuleVerifier(), GrammarPhraser(per_pair))


def _tell(folder: Path, counts: Mapping[str, Any]) -> None:
    print(folder)
    for name in ("pairs", "findings", "triplets", "kinds", "failed_rules"):
        told = ", ".join(f"{count:,} {what}" for what, count in counts[name].items())
        print(f"  {name.replace('_', ' '):13} {told or 'none'}")
    if counts["calls"]["made"]:
        print("  {0:13} {made:,}, {tokens_in:,} tokens in, {tokens_out:,} out".format("calls", **counts["calls"]))
    for pair, reason in list(counts["failed"].items())[:SHOWN]:
        print(f"    {pair}: {reason}")
    if len(counts["failed"]) > SHOWN:
        print(f"    and {len(counts['failed']) - SHOWN} more; --json of craft status has them all")
