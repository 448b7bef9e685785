"""`geomtrs train stage1|stage2`."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train in two stages: change without words, then language.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="A TOML file, such as configs/nano_stage1.toml.")]
Data = Annotated[str | None, typer.Option(help="Instead of the config's.")]
Out = Annotated[str | None, typer.Option("--out", "-o", help="Instead of the config's.")]
Start = Annotated[str | None, typer.Option(help="What to begin with, instead of the config's.")]
Language = Annotated[str | None, typer.Option(help="Folder of MiniLM, instead of the config's.")]
Steps = Annotated[int | None, typer.Option(help="How many steps, instead of the config's length.")]
Minutes = Annotated[
    float | None, typer.Option(help="How long, instead of the config's length; `agree` comes after it.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No lines of progress.")]


@app.command("stage1")
def first(
    config: Config,
    data: Data = None,
    out: Out = None,
    start: Start = None,
    language: Language = None,
    steps: Steps = None,
    minutes: Minutes = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Learn change without words; a run that died is continued.

    [bold]geomtrs train stage1 configs/nano_stage1.toml --data train/ -o runs/one[/bold]
    """
    told = {
        "data": data,
        "out": out,
        "start": start,
        "language": language,
        "steps": steps,
        "minutes": minutes,
        "device": device,
    }
    _run(1, config, told, quiet=quiet)


@app.command("stage2")
def second(
    config: Config,
    data: Data = None,
    out: Out = None,
    start: Start = None,
    language: Language = None,
    steps: Steps = None,
    minutes: Minutes = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Learn language; the folder it leaves is named with --weights.

    [bold]geomtrs train stage2 configs/nano_stage2.toml --data train/ --start runs/one/stage1.pt -o runs/two[/bold]

    [bold]torchrun --nproc-per-node 4 -m geomtrs train stage2 configs/base_stage2.toml[/bold]
    """
    told = {
        "data": data,
        "out": out,
        "start": start,
        "language": language,
        "steps": steps,
        "minutes": minutes,
        "device": device,
    }
    _run(2, config, told, quiet=quiet)


def _run(stage: int, config: Path, told: Mapping[str, object], *, quiet: bool) -> None:
    from geomtrs.data.whole import refuse_unwritable
    from geomtrs.errors import JobError
    from geomtrs.training.config import read_config

    # What is passed over, and where a run goes on, is said nowhere else.
    logging.getLogger("geomtrs.training").setLevel(logging.WARNING if quiet else logging.INFO)
    settings = read_config(config, **told)
    out = Path(settings.out)
    refuse_unwritable(out)  # before anything is packed or computed
    nano = settings.model == "nano"
    if nano and (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise JobError(
            "torchrun", found=f"{processes} processes", wanted="one: nano learns in one alone",
            remedy="run geomtrs train itself, WORLD_SIZE unset",
        )  # fmt: skip
    family = importlib.import_module("geomtrs.training." + ("nano" if nano else "published"))
    with _alone(out):
        made = getattr(family, f"stage{stage}")(settings, None if quiet else _line)
    print(made)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other training writes in the folder; of the processes that torchrun begins together, the first holds it."""
    from geomtrs.lock import only_one
    from geomtrs.state import hidden

    if os.environ.get("RANK", "0") != "0":
        yield
        return
    made = [folder for folder in (hidden(out), out) if not folder.exists()]
    try:
        with only_one(hidden(out) / "lock"):
            yield
    finally:
        for folder in made:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _line(facts: dict[str, float]) -> None:
    share = facts["share"]
    left = f" · {facts['s'] * (1 / share - 1) / 60:.0f} min left" if share else ""
    part = next((name for name in ("packed", "words", "calibration") if name in facts), None)
    if part is not None:
        print(f"{part} {facts[part]:.0f} of {facts['of']:.0f}{left}", file=sys.stderr)
        return
    val = f" · val {facts['val_loss']:.3f}" if "val_loss" in facts else ""
    then = ", then words" if facts.get("words_after") else ""
    print(f"step {facts['step']:.0f} · {share:.0%} · loss {facts['loss']:.3f}{val}{left}{then}", file=sys.stderr)
