"""`geomtrs craft run|status|export`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geomtrs.errors import QueryError

if TYPE_CHECKING:
    from geomtrs.craft.protocols import Perceiver, Segmenter

app = typer.Typer(help="A training set of one's own: pairs in, sentences with masks out.", no_args_is_help=True)

Crafted = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a crafted set.")]
Json = Annotated[bool, typer.Option("--json", help="As one JSON object.")]

_WHO, _CHAT = "Who finds and cuts out", "A chat model that sees"

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
    query: Annotated[
        list[str] | None,
        typer.Option("--query", "-q", help="A sentence to ask of every pair; repeat for more.", rich_help_panel=_WHO),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            help="labels, or a name of geomtrs model list; else labels, or nano for sentences and chat.",
            rich_help_panel=_WHO,
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Folder of a checkpoint.", rich_help_panel=_WHO)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.", rich_help_panel=_WHO)] = "auto",
    chat: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Base of a server of OpenAI's protocol: http://127.0.0.1:8000/v1.",
            rich_help_panel=_CHAT,
        ),
    ] = None,
    chat_model: Annotated[str, typer.Option(help="As the server names it.", rich_help_panel=_CHAT)] = "",
    key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable that holds the key.", rich_help_panel=_CHAT)
    ] = None,
    allow_upload: Annotated[
        str | None,
        typer.Option(
            metavar="HOST", help="Pictures may be sent to this host; else they stay here.", rich_help_panel=_CHAT
        ),
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option(min=1, help="Over all runs in this folder; then it stops.", rich_help_panel=_CHAT)
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Of one call, s.", rich_help_panel=_CHAT)] = 120.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No lines of progress.")] = False,
) -> int:
    """Make sentences with masks of pairs; a run that died is continued.

    What differs is read from labels, or from --query, or asked of a --chat model.

    [bold]geomtrs craft run pairs/ -o crafted/[/bold]

    [bold]geomtrs craft run pairs/ -o crafted/ -q "the new houses" -q "trees that were felled"[/bold]

    [bold]geomtrs craft run pairs/ -o crafted/ --chat http://127.0.0.1:11434/v1 --chat-model qwen2.5vl[/bold]
    """
    from geomtrs.craft.phrase import GrammarPhraser
    from geomtrs.craft.run import Parts, craft
    from geomtrs.craft.verify import RuleVerifier

    if chat is not None and query:
        raise _asked_wrongly("--chat and --query", "both", "one of them", "leave one out")
    if chat is not None:
        finds = _chat(chat, chat_model, key_env=key_env, allow_upload=allow_upload, timeout_s=timeout)
    else:
        finds = _perceiver(query or [])
    cuts = _segmenter(segmenter or ("nano" if chat or query else "labels"), weights, device)
    parts = Parts(finds, cuts, RuleVerifier(), GrammarPhraser(per_pair))

    def progress(over: int, of: int, last: str) -> None:
        if not quiet:
            print(f"{over:,} of {of:,} pairs · {last}", file=sys.stderr)

    counts = craft(pairs, out, parts, seed=seed, limit=limit, at_once=at_once, max_calls=max_calls, progress=progress)
    _tell(out, counts)
    if counts["stopped"]:
        print(f"stopped: {counts['stopped']}", file=sys.stderr)
    return 3 if counts["failed"] or counts["stopped"] else 0


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
    audited_only: Annotated[bool, typer.Option("--audited-only", help="Nothing that no person accepted.")] = False,
) -> None:
    """Write what was kept, and not rejected at the desk, as a set that others read, split by place.

    [bold]geomtrs craft export crafted/ -o mine/[/bold]

    [bold]geomtrs craft export crafted/ --format coco -o coco/[/bold]
    """
    from geomtrs.craft.export import export as export_

    count = export_(folder, out, format, val=val, licence=licence, audited_only=audited_only)
    print(f"{out}: {count:,} sentences")


def _perceiver(sentences: list[str]) -> Perceiver:
    from geomtrs.craft.perceive import LabelPerceiver, SentencePerceiver
    from geomtrs.query import Query

    return SentencePerceiver(tuple(Query(text).text for text in sentences)) if sentences else LabelPerceiver()


def _chat(url: str, model: str, *, key_env: str | None, allow_upload: str | None, timeout_s: float) -> Perceiver:
    from geomtrs.craft.perceive import ChatPerceiver, Endpoint

    if not model:
        raise _asked_wrongly("--chat-model", "none", "the model's name", "name it as the server does")
    key = None if key_env is None else os.environ.get(key_env, "").strip()
    if key == "":
        raise _asked_wrongly(f"--key-env {key_env}", "no such variable", "one that holds the key", "set it")
    return ChatPerceiver(Endpoint(url, model, key=key, allow_upload=allow_upload, timeout_s=timeout_s))


def _segmenter(name: str, weights: Path | None, device: str) -> Segmenter:
    from geomtrs.craft.segment import LabelSegmenter, ModelSegmenter

    if name == "labels":
        return LabelSegmenter()
    from geomtrs.models import catalog

    return ModelSegmenter(catalog.load(name, weights=weights, device=device))


def _asked_wrongly(option: str, found: str, wanted: str, remedy: str) -> QueryError:
    return QueryError(option, found=found, wanted=wanted, remedy=remedy)


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
