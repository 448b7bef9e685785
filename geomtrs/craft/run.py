"""`craft`: every pair of a source through the stages, each result in the ledger before the next pair's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from geomtrs.craft.calls import Budget
from geomtrs.craft.judge import RuleJudge
from geomtrs.craft.ledger import KEPT, NAME, Crafted, Judged, Ledger
from geomtrs.craft.pairs import list_pairs
from geomtrs.craft.perceive import quiet
from geomtrs.craft.protocols import (
    Ask,
    Candidate,
    Judge,
    Pair,
    Perceiver,
    Phrased,
    Phraser,
    Segmenter,
    StoppedError,
    Verifier,
)
from geomtrs.craft.rasters import Sources, is_raster_source, list_tiles
from geomtrs.craft.refine import refine
from geomtrs.errors import JobError
from geomtrs.lock import only_one
from geomtrs.state import hidden
from tiling.errors import OutputError, TilingError

Progress = Callable[[int, int, str], None]  # pairs over, of how many, the last one
SEEN = 0.5  # of a pair's pixels at both dates; of less nothing is said


class Waiting(Protocol):
    """A pair that was not read yet."""

    @property
    def id(self) -> str:
        """The same in every run."""

    def read(self) -> Pair:
        """The pair. Raises DataError or SourceError where it cannot be read."""

    def changed(self, hashes: Mapping[str, str]) -> list[str]:
        """Which of its masks and labels are others than when a pair of these hashes was read."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Who does what; what the judge finds wrong is mended `rounds` times at most."""

    perceiver: Perceiver
    segmenter: Segmenter
    verifier: Verifier
    phraser: Phraser
    judge: Judge = field(default_factory=RuleJudge)
    rounds: int = 2

    def names(self) -> dict[str, str]:
        """For the ledger."""
        told = {part: getattr(self, part).name for part in ("perceiver", "segmenter", "verifier", "phraser")}
        return {**told, "judge": f"{self.judge.name}, {self.rounds} rounds"}


def craft(
    source: Path | Sources,
    out: Path,
    parts: Parts,
    *,
    seed: int = 0,
    limit: int | None = None,
    at_once: int = 1,
    budget: Budget = Budget(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every pair of the source that is not done yet; what `Ledger.counts` says afterwards, and why it stopped.

    source   a folder of pairs, or rasters to be cut in tiles
    limit    only the first so many pairs
    at_once  pairs in work together, in threads
    budget   of calls of models, over all runs in this folder; then the run stops and the rest waits

    A pair that fails is recorded with its reason, and tried again by the next run. Raises DataError where there is no
    pair, JobError where another set is crafted in `out`, or masks or labels of pairs that are done are others now.
    """
    sources = source if isinstance(source, Sources) else Sources((source,))
    asked = {**sources.to_dict(), "seed": seed, **parts.names()}
    pairs = _list(sources, out)[:limit]  # rather now than in a folder that another source would be refused for
    with only_one(hidden(out) / "lock"), _open(out, asked) as ledger:
        ledger.list_pairs(one.id for one in pairs)
        done = {name for name, status in ledger.statuses().items() if status == "done"}
        todo = [one for one in pairs if one.id not in done]
        _refuse_changed(out, ledger, [one for one in pairs if one.id in done])

        def work(one: Waiting) -> Crafted:
            return craft_pair(one.read(), parts, ledger.asking(one.id, budget=budget), seed=seed)

        over, stopped = len(pairs) - len(todo), ""
        for one, made in _each(work, todo, at_once):
            try:
                ledger.record(made.result(), parts.names())
            except OutputError:
                raise
            except StoppedError as error:
                stopped = str(error)
                break
            except TilingError as error:
                ledger.fail(one.id, str(error))
            over += 1
            if progress is not None:
                progress(over, len(pairs), one.id)
        return {**ledger.counts(), "stopped": stopped}


def craft_pair(pair: Pair, parts: Parts, ask: Ask, *, seed: int = 0) -> Crafted:
    """All that can be made of a pair, each with what was said of it; the same parts, answers and seed give the same."""
    begun = time.perf_counter()
    candidates: list[tuple[Candidate, Judged]] = []
    for finding in parts.perceiver.perceive(pair, ask) if pair.seen >= SEEN else ():
        candidate, checks = refine(
            pair, finding, [one for one, _ in candidates], ask,
            segmenter=parts.segmenter, verifier=parts.verifier, judge=parts.judge, rounds=parts.rounds,
        )  # fmt: skip
        candidates.append((candidate, Judged(checks)))
    checked = {i: one for i, (one, judged) in enumerate(candidates) if judged.decision == KEPT}
    sentences: list[tuple[Phrased, Judged]] = []
    for phrased in parts.phraser.phrase(pair, checked, pair.rng(seed), ask):
        checks = parts.verifier.sentence(pair, phrased, [one for one, _ in sentences])
        sentences.append((phrased, Judged((*phrased.held, *checks))))
    known = {} if pair.labels is None else quiet(pair.labels)
    return Crafted(pair, candidates, sentences, time.perf_counter() - begun, known)


def _list(sources: Sources, out: Path) -> Sequence[Waiting]:
    return list_tiles(sources, out) if is_raster_source(sources) else list_pairs(sources.paths[0])


def _open(out: Path, asked: dict[str, Any]) -> Ledger:
    if not (out / NAME).exists():
        return Ledger.create(out, asked)
    ledger = Ledger(out)
    other = [name for name, value in asked.items() if ledger.asked.get(name) != value]
    if other:
        ledger.__exit__()
        raise JobError(
            out, found=f"a set crafted with another {', '.join(other)}", wanted="the same, to go on",
            remedy="choose another --out",
        )  # fmt: skip
    return ledger


def _refuse_changed(out: Path, ledger: Ledger, done: Sequence[Waiting]) -> None:
    hashes = ledger.hashes()
    for one in done:
        if other := one.changed(hashes[one.id]):
            raise JobError(
                out, found=f"{one.id} crafted with another {', '.join(other)}", wanted="the same, to go on",
                remedy="choose another --out, or put it back",
            )  # fmt: skip


def _each(
    work: Callable[[Waiting], Crafted], todo: list[Waiting], at_once: int
) -> Iterator[tuple[Waiting, Future[Crafted]]]:
    """What comes of each pair; few wait to be recorded, so memory follows the pairs in work."""
    waiting = iter(todo)
    with ThreadPoolExecutor(at_once) as pool:
        running: dict[Future[Crafted], Waiting] = {}
        try:
            while True:
                while len(running) < 2 * at_once and (one := next(waiting, None)) is not None:
                    running[pool.submit(work, one)] = one
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future
        finally:
            pool.shutdown(cancel_futures=True)
