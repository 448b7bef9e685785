"""ledger.sqlite: every pair, finding, triplet and call of a crafted set, with what proposed it and what judged it.

A pair's findings and triplets come in one transaction, after their masks; an answer of a model comes before it is
used. Killed anywhere, the file holds what was finished, and the next run asks nothing that was answered.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from PIL import Image

from geomtrs.craft.calls import CALLS, CHANGE_BYTES, Budget, Calls, Changing
from geomtrs.craft.protocols import Ask, Bool, Candidate, Check, Ground, Pair, Phrased
from geomtrs.errors import DataError, JobError
from geomtrs.outputs.encoding import png
from geomtrs.outputs.publish import publish
from tiling.room import unwritten

NAME, MASKS = "ledger.sqlite", "masks"
FORMAT = 4
Status = Literal["pending", "done", "failed"]
KEPT, UNCORRECTED = "kept", "uncorrected"  # decisions; people's come later, beside these

_WAIT_S = 60.0
_SCHEMA = f"""
CREATE TABLE craft (format INTEGER, asked TEXT);
CREATE TABLE pairs (
    id TEXT PRIMARY KEY, position INTEGER, status TEXT, reason TEXT, place TEXT, gsd_m REAL, rows INTEGER,
    columns INTEGER, before_file TEXT, after_file TEXT, hashes TEXT, ground TEXT, digest TEXT, quiet TEXT,
    seconds REAL);
CREATE TABLE findings (
    pair TEXT REFERENCES pairs, number INTEGER, kind TEXT, facts TEXT, mask TEXT, pixels INTEGER, perceiver TEXT,
    segmenter TEXT, verifier TEXT, checks TEXT, decision TEXT, PRIMARY KEY (pair, number));
CREATE TABLE triplets (
    id TEXT PRIMARY KEY, pair TEXT REFERENCES pairs, number INTEGER, finding INTEGER, kind TEXT, sentence TEXT,
    wording TEXT, mask TEXT, pixels INTEGER, known REAL, phraser TEXT, verifier TEXT, checks TEXT, decision TEXT);
{CALLS}
CREATE INDEX triplets_of_pairs ON triplets (pair, number);
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """Something proposed and every rule's word on it."""

    checks: tuple[Check, ...]

    @property
    def decision(self) -> str:
        """Kept where every rule is content."""
        return KEPT if all(check.passed for check in self.checks) else UNCORRECTED


@dataclass(frozen=True, slots=True)
class Crafted:
    """All that was made of a pair."""

    pair: Pair
    candidates: Sequence[tuple[Candidate, Judged]]
    sentences: Sequence[tuple[Phrased, Judged]]
    seconds: float
    quiet: Mapping[str, Sequence[str]] = field(default_factory=dict)  # as `perceive.quiet`


@dataclass(frozen=True, slots=True)
class Triplet:
    """A sentence about a pair, its mask by hash, and where both come from."""

    id: str
    pair: str
    kind: str
    sentence: str
    wording: str
    mask: str
    pixels: int
    finding: Mapping[str, Any]  # Any: JSON
    place: str
    gsd_m: float | None
    files: tuple[Path, Path]
    hashes: Mapping[str, str]
    ground: Ground | None = None
    found: str = ""  # the mask of its finding, by hash
    crafted_mask: str = ""  # its own, before anybody mended it
    known: float = 1.0  # share of the picture


@dataclass(frozen=True, slots=True)
class Quiet:
    """A pair, what its labels know to be absent and unchanged, and whether anything was found in it."""

    pair: str
    place: str
    gsd_m: float | None
    shape: tuple[int, int]
    files: tuple[Path, Path]
    hashes: Mapping[str, str]
    things: Mapping[str, Sequence[str]]
    changed: bool


class Ledger:
    """The open ledger of a crafted set; calls may come from several threads, all else from one."""

    def __init__(self, folder: Path) -> None:
        """Open the ledger in a folder. Raises JobError where there is none that reads."""
        self.folder, self.path = folder, folder / NAME
        self._lock = threading.Lock()
        if not self.path.is_file():
            raise JobError(folder, found=f"no {NAME}", wanted="a crafted set", remedy="check the path")
        self._database = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            ((number, asked),) = self._database.execute("SELECT format, asked FROM craft").fetchall()
            if number != FORMAT:
                raise ValueError(f"format {number}")
            self.asked: dict[str, Any] = json.loads(asked)
        except (sqlite3.Error, ValueError) as error:
            self._database.close()
            raise JobError(
                self.path, found=f"no ledger that reads ({error})", wanted="that of a crafted set",
                remedy="name another folder",
            ) from error  # fmt: skip
        self._calls = Calls(self._database, self._lock, self.path)

    @classmethod
    def create(cls, folder: Path, asked: Mapping[str, Any]) -> Self:
        """A new ledger, written beside its place and renamed: it is there whole, or not at all."""
        temporary = folder / f".{NAME}.part"
        temporary.unlink(missing_ok=True)
        try:
            database = sqlite3.connect(temporary)
            with database:
                database.executescript(_SCHEMA)
                database.execute("INSERT INTO craft VALUES (?, ?)", (FORMAT, json.dumps(asked, ensure_ascii=False)))
            database.close()
            temporary.replace(folder / NAME)
        except (OSError, sqlite3.Error) as error:
            remedy = "free some space, or choose another --out"  # a quota is told by no number
            raise unwritten(folder / NAME, error, CHANGE_BYTES, remedy=remedy) from error
        return cls(folder)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closed."""
        self._database.close()

    def list_pairs(self, ids: Iterable[str]) -> None:
        """Pairs that are not in the ledger yet, after those that are."""
        there = {row[0] for row in self._rows("SELECT id FROM pairs")}
        new = [(one, len(there) + i) for i, one in enumerate(one for one in ids if one not in there)]
        with self._changing():
            self._database.executemany(
                "INSERT INTO pairs (id, position, status, reason) VALUES (?, ?, 'pending', '')", new
            )

    def statuses(self) -> dict[str, Status]:
        """By pair, in the order in which they were found."""
        return dict(self._rows("SELECT id, status FROM pairs ORDER BY position"))

    def hashes(self) -> dict[str, dict[str, str]]:
        """Of the files of each pair that is done, by plane."""
        rows = self._rows("SELECT id, hashes FROM pairs WHERE status = 'done'")
        return {pair: json.loads(told) for pair, told in rows}

    def fail(self, pair: str, reason: str) -> None:
        """Nothing was made of the pair."""
        with self._changing():
            self._database.execute("UPDATE pairs SET status = 'failed', reason = ? WHERE id = ?", (reason, pair))

    def record(self, crafted: Crafted, parts: Mapping[str, str]) -> None:
        """All that was made of a pair, masks first; on disk when this returns.

        parts  names of perceiver, segmenter, verifier and phraser
        """
        masks = [*(one.mask for one, _ in crafted.candidates), *(one.mask for one, _ in crafted.sentences)]
        hashes = [write_mask(self.folder, mask) for mask in masks]
        pair = crafted.pair
        facts = (
            pair.place, pair.gsd_m, *pair.shape, *map(self._relative, pair.files), json.dumps(dict(pair.hashes)),
            json.dumps("pixels" if pair.ground is None else asdict(pair.ground)), pair.digest,
            json.dumps(dict(crafted.quiet)), crafted.seconds, pair.id,
        )  # fmt: skip
        by = [parts[name] for name in ("perceiver", "segmenter", "verifier")]
        findings = [
            (pair.id, i, one.finding.kind, json.dumps(one.finding.to_dict(), ensure_ascii=False), name,
             int(one.mask.sum()), *by, _told(judged.checks), judged.decision)
            for i, ((one, judged), name) in enumerate(zip(crafted.candidates, hashes, strict=False))
        ]  # fmt: skip
        triplets = [
            (_id(pair.id, said.sentence, name), pair.id, i, said.number, said.kind, said.sentence,
             said.wording, name, int(said.mask.sum()), float(said.known.mean()), parts["phraser"], parts["verifier"],
             _told(judged.checks), judged.decision)
            for i, ((said, judged), name) in enumerate(zip(crafted.sentences, hashes[len(findings) :], strict=True))
        ]  # fmt: skip
        with self._changing():
            for table in ("findings", "triplets"):
                self._database.execute(f"DELETE FROM {table} WHERE pair = ?", (pair.id,))
            self._database.executemany(f"INSERT INTO findings VALUES ({_marks(11)})", findings)
            # A sentence said twice of one mask is one triplet; the first says more of how it was judged.
            self._database.executemany(f"INSERT OR IGNORE INTO triplets VALUES ({_marks(14)})", triplets)
            self._database.execute(
                "UPDATE pairs SET status = 'done', reason = '', place = ?, gsd_m = ?, rows = ?, columns = ?, "
                "before_file = ?, after_file = ?, hashes = ?, ground = ?, digest = ?, quiet = ?, seconds = ? "
                "WHERE id = ?",
                facts,
            )

    def _relative(self, file: Path) -> str:
        """A file of the set's own folder by its place in it, so that the folder can be moved."""
        own = self.folder.resolve()
        return file.relative_to(own).as_posix() if file.is_relative_to(own) else str(file)

    def asking(self, pair: str, *, budget: Budget) -> Ask:
        """How a stage asks about a pair; beyond the budget StoppedError."""
        return self._calls.asking(pair, budget=budget)

    def triplets(self, decision: str = KEPT) -> list[Triplet]:
        """Those with that decision, pair by pair in the order of their ids, then in that of their sentences."""
        rows = self._rows(
            "SELECT t.id, t.pair, t.kind, t.sentence, t.wording, t.mask, t.pixels, f.facts, p.place, p.gsd_m, "
            "p.before_file, p.after_file, p.hashes, p.ground, f.mask, t.mask, t.known "
            "FROM triplets t JOIN pairs p ON p.id = t.pair JOIN findings f ON f.pair = t.pair AND f.number = t.finding "
            "WHERE t.decision = ? ORDER BY t.pair, t.number",
            decision,
        )
        return [_triplet(self.folder, row) for row in rows]

    def quiet(self) -> list[Quiet]:
        """Of every pair that is done, in the order of their ids."""
        rows = self._rows(
            "SELECT id, place, gsd_m, rows, columns, before_file, after_file, hashes, quiet, "
            "EXISTS (SELECT * FROM findings WHERE pair = pairs.id) FROM pairs WHERE status = 'done' ORDER BY id"
        )
        return [
            Quiet(
                pair, place, gsd_m, (height, width), (self.folder / before, self.folder / after), json.loads(hashes),
                json.loads(told), changed=bool(changed),
            )
            for pair, place, gsd_m, height, width, before, after, hashes, told, changed in rows
        ]  # fmt: skip

    def checks(self) -> dict[str, tuple[Check, ...]]:
        """Every rule's word on each triplet, by its id."""
        rows = self._rows("SELECT id, checks FROM triplets")
        return {name: tuple(Check(**one) for one in json.loads(told)) for name, told in rows}

    def counts(self) -> dict[str, Any]:
        """How far it is: pairs by status, triplets by decision, kind and failed rule, calls and tokens, reasons."""
        failed: dict[str, int] = {}
        for (checks,) in self._rows("SELECT checks FROM triplets UNION ALL SELECT checks FROM findings"):
            for check in json.loads(checks):
                if not check["passed"]:
                    failed[check["rule"]] = failed.get(check["rule"], 0) + 1
        grouped = "SELECT {0}, count(*) FROM {1} GROUP BY {0} ORDER BY 2 DESC, 1"
        return {
            "pairs": dict(self._rows(grouped.format("status", "pairs"))),
            "findings": dict(self._rows(grouped.format("decision", "findings"))),
            "triplets": dict(self._rows(grouped.format("decision", "triplets"))),
            "kinds": dict(self._rows("SELECT kind, count(*) FROM triplets WHERE decision = ? GROUP BY kind", KEPT)),
            "failed_rules": failed,
            "calls": self._calls.counts(),
            "failed": dict(self._rows("SELECT id, reason FROM pairs WHERE status = 'failed' ORDER BY position")),
        }

    def _rows(self, words: str, *values: object) -> list[Any]:
        with self._lock:
            return self._database.execute(words, values).fetchall()

    def _changing(self) -> Changing:
        return Changing(self._database, self._lock, self.path)


def write_mask(folder: Path, mask: Bool) -> str:
    """The mask as a PNG of 0 and 255 under its hash, which is returned; equal masks are one file."""
    name = _hash(mask)
    path = _mask_path(folder, name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, png(mask.astype(np.uint8) * np.uint8(255)))
    return name


def read_mask(folder: Path, name: str) -> Bool:
    """(H, W). Raises DataError where the file is missing or no longer what was written."""
    path = _mask_path(folder, name)
    try:
        with Image.open(path) as image:
            mask = np.asarray(image) > 127
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(path, found=str(error), wanted="a mask", remedy="craft into a new folder") from error
    if _hash(mask) != name:
        raise DataError(path, found="another mask", wanted="the one written", remedy="craft into a new folder")
    return mask


def _mask_path(folder: Path, name: str) -> Path:
    return folder / MASKS / name[:2] / f"{name}.png"


def _hash(mask: Bool) -> str:
    content = repr(mask.shape).encode() + np.packbits(mask).tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _triplet(folder: Path, row: tuple[Any, ...]) -> Triplet:
    """A row of the query in `Ledger.triplets`."""
    id_, pair, kind, sentence, wording, mask, pixels, finding, place, gsd_m, before, after, hashes, ground, *more = row
    files = folder / before, folder / after
    told = json.loads(finding), place, gsd_m, files, json.loads(hashes), _ground(json.loads(ground)), *more
    return Triplet(id_, pair, kind, sentence, wording, mask, pixels, *told)


def _ground(told: Any) -> Ground | None:  # noqa: ANN401 - JSON
    return None if told == "pixels" else Ground(told["crs"], tuple(told["transform"]))


def _id(pair: str, sentence: str, mask: str) -> str:
    return hashlib.blake2b(f"{pair}\n{sentence}\n{mask}".encode(), digest_size=8).hexdigest()


def _told(checks: Sequence[Check]) -> str:
    return json.dumps([{"rule": c.rule, "passed": c.passed, "saw": c.saw} for c in checks], ensure_ascii=False)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
