"""`geomtrs data info|pack|torchgeo`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from geomtrs.data.measured import Statistics

app = typer.Typer(help="Data to train and test on: what a folder holds, and packing it.", no_args_is_help=True)

T = TypeVar("T")

SHOWN = 20  # broken entries of a split; the rest is counted


@app.command("info")
def info(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A split of MTRefSeg-21K, or the folder of several.")],
    rule: Annotated[str, typer.Option(help="Whose way to find masks: training or evaluation.")] = "training",
    json: Annotated[bool, typer.Option("--json", help="As one JSON object, a key for each split.")] = False,
) -> None:
    """Tell what a data set in the format of MTRefSeg-21K holds, and which of its files are not read.

    [bold]geomtrs data info MTRefSeg-21K/[/bold]

    [bold]geomtrs data info MTRefSeg-21K/val_FINAL_CLEAN --rule evaluation --json[/bold]
    """
    import json as json_

    from geomtrs.data.measured import statistics
    from geomtrs.data.mtrefseg21k import read_split, splits
    from geomtrs.data.pairs import unread_labels
    from geomtrs.errors import DataError

    found = splits(folder)
    if not found:
        there = "no folder with A and B" if folder.is_dir() else "no such folder"
        raise DataError(folder, found=there, wanted="a split, or a folder of splits", remedy="name another folder")
    documents = {}
    for split in found:
        facts = statistics(read_split(split, rule=rule))
        documents[split.name] = {"rule": rule, **facts.to_dict()}
        labelled = (split / "samples.jsonl").is_file()
        if not json and (facts.pairs or not labelled):
            _print_split(split.name, facts)
        if labelled:
            print(f"note  {split.name} is a labelled set: geomtrs data pack reads its samples.jsonl", file=sys.stderr)
            for line in unread_labels(split):
                print(f"note  {line}", file=sys.stderr)
        elif facts.pairs and not (split / "masks").is_dir():
            there = ", ".join(sorted(one.name for one in split.iterdir() if one.is_dir()))
            print(f"note  {split}: found {there}; wanted masks, without which nothing is learned", file=sys.stderr)
    if json:
        print(json_.dumps(documents, ensure_ascii=False))


@app.command("pack")
def pack(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Sets with A, B, mask, labelA, labelB and samples.jsonl.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    val: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of each set's scenes to validate on; else its own list's.")
    ] = None,
) -> None:
    """Pack labelled pairs into one file that training maps into memory.

    [bold]geomtrs data pack pairs/ -o pack/[/bold]

    [bold]geomtrs data pack train/ --val configs/nano_val.json -o pack/[/bold]
    """
    from geomtrs.data.pairs import (
        Pack,
        count_folder,
        read_folder,
        read_places,
        unkept,
        unread_labels,
        untaught,
        write_pack,
    )
    from geomtrs.data.whole import whole_folder

    total = count_folder(folder)
    places = None if val is None else read_places(val)
    with whole_folder(out) as temporary:
        count = write_pack(temporary, _tracked(read_folder(folder, val=places), "packing", total))
    samples = Pack(out).samples
    sets = (folder / name for name in dict.fromkeys(one.set for one in samples))
    lost = [] if places is None else unkept(samples, places)
    for one in (*(line for found in sets for line in unread_labels(found)), *untaught(samples), *lost):
        print(f"note  {one}", file=sys.stderr)
    splits = ", ".join(f"{number} {split}" for split, number in Counter(one.split for one in samples).items())
    print(f"{out}: {count} samples ({splits}), {(out / 'pixels.bin').stat().st_size / 1e6:.1f} MB")


@app.command("torchgeo")
def torchgeo(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="LEVIRCD, LEVIRCDPlus, OSCD, XView2, BRIGHTDFC2025, CaBuAr or ChaBuD.")
    ],
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="Its folder, as torchgeo expects it; nothing is downloaded.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    published: Annotated[
        bool,
        typer.Option("--published", help="A, B and masks as the published stage 1 reads them; else a labelled set."),
    ] = False,
    split: Annotated[str | None, typer.Option(help="One of the set's splits; else all of them.")] = None,
) -> None:
    """Write a bi-temporal set of torchgeo as pairs for stage 1.

    [bold]geomtrs data torchgeo LEVIRCD LEVIR-CD/ -o sets/levir_cd[/bold]   then [bold]geomtrs data pack sets/ -o pack/[/bold]

    [bold]geomtrs data torchgeo OSCD OSCD/ --published --split train -o stage1/oscd[/bold]
    """
    from geomtrs.data.pairs import torn_scenes
    from geomtrs.data.torchgeo import read_pairs, write_published, write_set

    pairs = _tracked(read_pairs(name, root, split=split), "writing pairs")
    count = write_published(out, pairs) if published else write_set(out, pairs)
    print(f"{out}: {count} pairs")
    for one in () if published else torn_scenes(out):
        print(f"note  {one}", file=sys.stderr)


def _tracked(samples: Iterable[T], doing: str, total: int | None = None) -> Iterator[T]:
    """The same, with a bar where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import track

    return iter(track(samples, doing, total=total, console=Console(stderr=True), disable=not sys.stderr.isatty()))


def _print_split(name: str, facts: Statistics) -> None:
    print(name)
    print(f"  pairs      {facts.pairs}")
    words = "" if facts.words is None else ", of {0} to {2} words (mean {1:.1f})".format(*facts.words)
    print(f"  sentences  {facts.sentences}{words}")
    if facts.sizes:
        print(f"  sizes      {_counts(facts.sizes)}")
    if facts.mask_kinds:
        print(f"  masks      {_counts(facts.mask_kinds)}")
    if facts.mask_kinds.get("0/1"):
        print("             the published code takes grey above 127, so it reads masks of 0 and 1 as empty")
    if facts.empty_share is not None and facts.mask_share is not None:
        print(
            f"  empty      {facts.empty_share:.1%} of the sentences; a mask covers {facts.mask_share:.1%} in the mean"
        )
    print(f"  broken     {len(facts.broken)}")
    for one in facts.broken[:SHOWN]:
        print(f"    {one}")
    if len(facts.broken) > SHOWN:
        print(f"    and {len(facts.broken) - SHOWN} more; --json has them all")


def _counts(counts: Mapping[str, int], shown: int = 5) -> str:
    """`640 × 480 (12), 512 × 512 (3) and 7 others`."""
    text = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:shown])
    return text if len(counts) <= shown else f"{text} and {len(counts) - shown} others"
