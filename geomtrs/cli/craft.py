"""`geomtrs craft run|status|export|import`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geomtrs.cli import craft_options as o
from geomtrs.errors import QueryError

if TYPE_CHECKING:
    from geomtrs.craft.protocols import Judge, Perceiver, Phraser, Segmenter, Speaker, Verifier
    from geomtrs.craft.rasters import Sources
    from geomtrs.craft.run import Parts

app = typer.Typer(help="A training set of one's own: pairs in, sentences with masks out.", no_args_is_help=True)

Crafted = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a crafted set.")]
Json = Annotated[bool, typer.Option("--json", help="As one JSON object.")]

_ABLE = frozenset(("perceive", "judge", "phrase"))
SHOWN = 10  # pairs that failed; the rest is counted


@app.command("run")
def run(
    pairs: o.Pairs,
    out: o.Out,
    labels: o.LabelRasters = None,
    classes: o.Classes = None,
    tile_px: o.TilePx = 512,
    seed: o.Seed = 0,
    per_pair: o.PerPair = 6,
    limit: o.Limit = None,
    at_once: o.AtOnce = 2,
    rounds: o.Rounds = 2,
    query: o.Asked = None,
    segmenter: o.Segmenter = None,
    weights: o.Weights = None,
    device: o.Device = "auto",
    second_look: o.SecondLook = None,
    chat: o.Chat = None,
    chat_model: o.ChatModel = "",
    chat_does: o.ChatDoes = "perceive,judge",
    key_env: o.KeyEnv = None,
    allow_upload: o.AllowUpload = None,
    max_calls: o.MaxCalls = None,
    max_cost: o.MaxCost = None,
    price_in: o.PriceIn = 0.0,
    price_out: o.PriceOut = 0.0,
    timeout: o.Timeout = 120.0,
    quiet: o.Quiet = False,
) -> int:
    """Make sentences with masks of pairs; a run that died is continued.

    What differs is read from labels, or from --query, or asked of a --chat model.

    [bold]geomtrs craft run pairs/ -o crafted/[/bold]

    [bold]geomtrs craft run 2019.tif 2021.tif --labels 2019_labels.tif --labels 2021_labels.tif -o crafted/[/bold]

    [bold]geomtrs craft run pairs/ -o crafted/ -q "the new houses" -q "trees that were felled"[/bold]

    [bold]geomtrs craft run pairs/ -o crafted/ --chat http://127.0.0.1:11434/v1 --chat-model qwen2.5vl[/bold]
    """
    from geomtrs.craft.calls import Budget
    from geomtrs.craft.nothing import why_nothing
    from geomtrs.craft.rasters import Sources
    from geomtrs.craft.run import craft

    if max_cost is not None and not price_in + price_out:
        raise _asked_wrongly("--max-cost", "no price", "--price-in and --price-out", "say what 1,000 tokens cost")
    sources = Sources(tuple(pairs), tuple(labels or ()), classes, tile_px)
    endpoint = partial(_endpoint, model=chat_model, key_env=key_env, allow_upload=allow_upload, timeout_s=timeout)
    speaker = None if chat is None else endpoint(chat) if "://" in chat else _local(Path(chat), device)
    does = frozenset(one.strip() for one in chat_does.split(",")) if speaker is not None else frozenset()
    cuts = _segmenter(segmenter or ("nano" if query or "perceive" in does else "labels"), weights, device)
    parts = _parts(speaker, does, query or [], cuts, _verifier(second_look, cuts, device), per_pair, rounds)
    by_labels = not query and "perceive" not in does
    if by_labels:
        _note_unread(sources)

    def progress(over: int, of: int, last: str) -> None:
        if not quiet:
            print(f"{over:,} of {of:,} pairs · {last}", file=sys.stderr)

    counts = craft(
        sources, out, parts, seed=seed, limit=limit, at_once=at_once, progress=progress,
        budget=Budget(max_calls, max_cost, price_in, price_out),
    )  # fmt: skip
    _tell(out, counts)
    if by_labels and counts["pairs"].get("done") and not counts["findings"]:
        print(f"note  nothing was found: {why_nothing(sources)}", file=sys.stderr)
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
    format: Annotated[
        str, typer.Option(help="mtrefseg21k, coco, labelstudio, or pairs for geomtrs train.")
    ] = "mtrefseg21k",
    val: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the second split, by whole places.")] = 0.2,
    licence: Annotated[str, typer.Option(help="Of the pictures, for the datasheet.")] = "not stated",
    audited_only: Annotated[bool, typer.Option("--audited-only", help="Nothing that no person accepted.")] = False,
    absent: Annotated[
        int,
        typer.Option(min=0, help="Sentences about what is nowhere in a pair, at most: empty masks, of mtrefseg21k."),
    ] = 0,
) -> None:
    """Write what was kept, and not rejected at the desk, as a set that others read, split by place.

    [bold]geomtrs craft export crafted/ -o mine/[/bold]

    [bold]geomtrs craft export crafted/ --format coco -o coco/[/bold]
    """
    from geomtrs.craft.export import export as export_

    count = export_(folder, out, format, val=val, licence=licence, audited_only=audited_only, absent=absent)
    print(f"{out}: {count:,} sentences")


@app.command("import")
def take(
    folder: Crafted,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON of Label Studio, or a COCO file.")],
    auditor: Annotated[str | None, typer.Option(help="Whose word it is; else whom the file names.")] = None,
) -> None:
    """Take back what people decided in Label Studio, or in a tool that writes COCO.

    [bold]geomtrs craft import crafted/ project-1.json --auditor anna[/bold]
    """
    from geomtrs.craft.incoming import take_in

    counts = take_in(folder, file, auditor=auditor)
    print(f"{folder}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


def _note_unread(sources: Sources) -> None:
    from geomtrs.craft.pairs import unread
    from geomtrs.craft.rasters import is_raster_source

    for line in () if is_raster_source(sources) else unread(sources.paths[0]):
        print(f"note  {line}", file=sys.stderr)


def _parts(
    speaker: Speaker | None,
    does: frozenset[str],
    query: list[str],
    cuts: Segmenter,
    verifier: Verifier,
    per_pair: int,
    rounds: int,
) -> Parts:
    from geomtrs.craft.chat import ChatPerceiver
    from geomtrs.craft.judge import ChatJudge, RuleJudge
    from geomtrs.craft.perceive import LabelPerceiver, SentencePerceiver
    from geomtrs.craft.phrase import ChatPhraser, GrammarPhraser
    from geomtrs.craft.run import Parts
    from geomtrs.query import Query

    if does - _ABLE:
        raise _asked_wrongly("--chat-does", ", ".join(sorted(does)), "perceive, judge, phrase", "name some of them")
    if query and "perceive" in does:
        raise _asked_wrongly("--chat and --query", "both", "one that finds", "--chat-does judge, or leave one out")
    finds: Perceiver = SentencePerceiver(tuple(Query(text).text for text in query)) if query else LabelPerceiver()
    words: Phraser = GrammarPhraser(per_pair)
    judge: Judge = RuleJudge()
    if speaker is not None:
        finds = ChatPerceiver(speaker) if "perceive" in does else finds
        words = ChatPhraser(speaker, GrammarPhraser(per_pair)) if "phrase" in does else words
        judge = ChatJudge(speaker) if "judge" in does else judge
    return Parts(finds, cuts, verifier, words, judge, rounds)


def _local(folder: Path, device: str) -> Speaker:
    from geomtrs.craft.local import LocalModel
    from geomtrs.device import choose

    return LocalModel(folder, choose(device))


def _endpoint(url: str, *, model: str, key_env: str | None, allow_upload: str | None, timeout_s: float) -> Speaker:
    from geomtrs.craft.endpoint import Endpoint

    if not model:
        raise _asked_wrongly("--chat-model", "none", "the model's name", "name it as the server does")
    key = None if key_env is None else os.environ.get(key_env, "").strip()
    if key == "":
        raise _asked_wrongly(f"--key-env {key_env}", "no such variable", "one that holds the key", "set it")
    return Endpoint(url, model, key=key, allow_upload=allow_upload, timeout_s=timeout_s)


def _segmenter(name: str, weights: Path | None, device: str) -> Segmenter:
    from geomtrs.craft.segment import LabelSegmenter, ModelSegmenter

    if name == "labels":
        return LabelSegmenter()
    if name == "sam":
        from geomtrs.craft.local import SamSegmenter
        from geomtrs.device import choose

        if weights is None:
            raise _asked_wrongly("--segmenter sam", "no --weights", "the folder of a SAM or SAM 2", "name it")
        return SamSegmenter(weights, choose(device))
    from geomtrs.evaluation.evaluate import load

    return ModelSegmenter(load(name, weights=weights, device=device))


def _verifier(model: str | None, cuts: Segmenter, device: str) -> Verifier:
    from geomtrs.craft.verify import RuleVerifier

    if model is None:
        return RuleVerifier()
    from geomtrs.craft.look import SecondLook
    from geomtrs.evaluation.evaluate import load

    looks = SecondLook(load(model, device=device))
    if looks.sight == cuts.name:
        raise _asked_wrongly("--second-look", f"{model}, which cuts out the masks", "another model", "choose another")
    return looks


def _asked_wrongly(option: str, found: str, wanted: str, remedy: str) -> QueryError:
    return QueryError(option, found=found, wanted=wanted, remedy=remedy)


def _tell(folder: Path, counts: Mapping[str, Any]) -> None:
    print(folder)
    for name in ("pairs", "findings", "triplets", "kinds", "failed_rules"):
        told = ", ".join(f"{count:,} {what}" for what, count in counts[name].items())
        print(f"  {name.replace('_', ' '):13} {told or 'none'}")
    if counts["calls"]["made"]:
        print("  {0:13} {made:,}, {tokens_in:,} tokens in, {tokens_out:,} out".format("calls", **counts["calls"]))
    if counts["calls"]["unanswered"]:
        print(f"  {'':13} {counts['calls']['unanswered']:,} more sent whose answer is not here: under way, or cut off")
    for pair, reason in list(counts["failed"].items())[:SHOWN]:
        print(f"    {reason}" if reason.startswith(f"{pair}: ") else f"    {pair}: {reason}")
    if len(counts["failed"]) > SHOWN:
        print(f"    and {len(counts['failed']) - SHOWN} more; --json of craft status has them all")
