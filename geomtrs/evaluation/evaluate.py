"""An evaluation from beginning to end: a model or several on the same cases, and the files that tell of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

from geomtrs.device import choose
from geomtrs.errors import DataError, QueryError
from geomtrs.evaluation.classes import class_rows, class_tables
from geomtrs.evaluation.controls import NAMES as CONTROLS
from geomtrs.evaluation.controls import load_control
from geomtrs.evaluation.gallery import Gallery
from geomtrs.evaluation.measures import Measures, Outcome, finite, measure, outcome
from geomtrs.evaluation.published import evaluate_published
from geomtrs.evaluation.report import Table, bench_table, published_table, write_report, write_tables
from geomtrs.evaluation.runner import Progress, answers
from geomtrs.evaluation.source import Source
from geomtrs.models import catalog
from geomtrs.models.base import ChangeModel


def load(name: str, *, weights: Path | None = None, device: str = "auto") -> ChangeModel:
    """A model of the catalog, or a control; raises ModelError as the catalog does."""
    if name in CONTROLS:
        return load_control(name, weights=weights, device=choose(device) if name == "clipseg" else None)
    return catalog.load(name, weights=weights, device=device)


def evaluate(
    model: ChangeModel,
    source: Source,
    out: Path,
    *,
    threshold: float = 0.5,
    tiled_px: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Measures, tuple[Path, ...]]:
    """All measures of the model on the source, and the files of the report that were written to `out`.

    tiled_px  pictures larger than this are asked once more, in tiles of so many pixels
    limit  only the first sentences
    seed   draws the places of the intervals and the cases that are shown

    Raises DataError where no case has a known pixel.
    """
    gallery = Gallery(seed)
    measures = _measured(
        model, source, gallery, threshold=threshold, tiled_px=tiled_px, limit=limit, seed=seed, progress=progress
    )
    facts = _facts(model, source, limit) | {"threshold": threshold, "seed": seed}
    return measures, write_report(out, measures, gallery, facts, title=f"{model.name} on {source.name}")


def evaluate_by_protocol(
    model: ChangeModel, source: Source, out: Path, *, limit: int | None = None, progress: Progress | None = None
) -> tuple[Table, tuple[Path, ...]]:
    """The published protocol alone, and its files in `out`; raises QueryError where the source is no such split."""
    if source.listing is None:
        raise QueryError(
            "--published", found=f"{source.name}, a labelled set", wanted="a split of MTRefSeg-21K",
            remedy="leave --published out",
        )  # fmt: skip
    score = evaluate_published(model, source.listing, limit=limit, progress=progress)
    table, facts = published_table(model.name, score), _facts(model, source, limit)
    document = {**facts, "published": finite(score), "broken": [str(one) for one in source.listing.broken]}
    return table, write_tables(out, document, [table], facts, title=f"{model.name} on {source.name}")


def evaluate_by_class(
    model: ChangeModel, source: Source, out: Path, *, seed: int = 0, progress: Progress | None = None
) -> tuple[tuple[Table, ...], tuple[Path, ...]]:
    """Each class of each set on all tiles, and its files in `out`; raises QueryError where the source has no labels,
    DataError where they tell no class.

    seed  draws the places of the intervals
    """
    if source.pack is None:
        raise QueryError(
            "--classes", found=f"{source.name}, a split of MTRefSeg-21K", wanted="labelled sets",
            remedy="leave --classes out",
        )  # fmt: skip
    rows = class_rows(model, source.pack, split=source.split, sets=source.sets, seed=seed, progress=progress)
    if not rows:
        raise DataError(
            source.name, found="no class that its labels tell and some tile shows", wanted="at least one",
            remedy="check its labels and --split",
        )  # fmt: skip
    tables, facts = class_tables(rows), _facts(model, source, None) | {"seed": seed}
    document = {**facts, "classes": [finite(row) for row in rows]}
    return tables, write_tables(out, document, tables, facts, title=f"{model.name} on {source.name} by class")


def bench(
    models: Sequence[tuple[str, ChangeModel]],
    source: Source,
    out: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Table, tuple[Path, ...]]:
    """All models on the same cases in one table, by the names they are given, and its files in `out`."""
    found = {name: _measured(model, source, None, limit=limit, seed=seed, progress=progress) for name, model in models}
    facts = {"data": source.name, "limit": limit, "seed": seed}
    hashes = {name: model.weights_hash for name, model in models}
    document = {**facts, "weights_hashes": hashes, "measures": {name: one.to_dict() for name, one in found.items()}}
    table = bench_table(found)
    return table, write_tables(out, document, [table], facts, title=f"Models on {source.name}")


def _measured(
    model: ChangeModel,
    source: Source,
    gallery: Gallery | None,
    *,
    threshold: float = 0.5,
    tiled_px: int | None = None,
    limit: int | None,
    seed: int,
    progress: Progress | None,
) -> Measures:
    outcomes = _outcomes(
        model, source, gallery, threshold=threshold, tiled_px=tiled_px, limit=limit, progress=progress
    )  # fmt: skip
    measures = measure(outcomes, seed=seed)
    if measures is None:
        raise DataError(
            source.name,
            found="no case with a known pixel",
            wanted="at least one",
            remedy="check its labels and --split",
        )
    return measures


def _outcomes(
    model: ChangeModel,
    source: Source,
    gallery: Gallery | None,
    *,
    threshold: float,
    tiled_px: int | None,
    limit: int | None,
    progress: Progress | None,
) -> Iterator[Outcome]:
    """A pair at a time: pixels are let go as soon as they are counted."""
    cases = islice(source.cases(), limit)
    answered = answers(model, cases, threshold=threshold, tiled_px=tiled_px, progress=progress)
    for _, group in groupby(answered, key=lambda one: one.pair):
        of_pair = list(group)
        for place, one in enumerate(of_pair):
            found = outcome(of_pair, place)
            if gallery is not None:
                gallery.add(one, found)
            yield found


def _facts(model: ChangeModel, source: Source, limit: int | None) -> dict[str, object]:
    return {"model": model.name, "weights_hash": model.weights_hash, "data": source.name, "limit": limit}
