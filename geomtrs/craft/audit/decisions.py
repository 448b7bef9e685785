"""What people decided about items of a folder: a line a decision, a file an auditor, nothing ever rewritten.

`audit/<auditor>.jsonl` in the folder that is audited; mended masks lie beside them under their hash. A line is on disk
before `append` returns. An undo is a line of its own: it takes back that auditor's last word on the item.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, get_args

from geomtrs.craft.ledger import read_mask, write_mask
from geomtrs.craft.protocols import Bool
from geomtrs.errors import DataError, QueryError
from geomtrs.query import MAX_CHARACTERS, Query
from tiling.errors import OutputError
from tiling.store import sync_folder

log = logging.getLogger(__name__)

FOLDER = "audit"
Verdict = Literal["accept", "reject", "undo"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

_NAME = re.compile(r"\w[\w-]{0,39}(\.[\w-]{1,20})*")  # one that every system takes as a file's
_MASK = re.compile(r"[0-9a-f]{32}")
_TAIL_BYTES = 65_536  # no line is longer


def now() -> str:
    """The time, UTC, to the millisecond, so that words of two auditors have an order."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Decision:
    """An auditor's word on an item; raises QueryError where it cannot be one.

    item      the triplet's id, or that of a polygon or window of a run
    reason    of a rejection
    sentence  mended words of an accepted item; None = as they were
    mask      hash of its mended mask (`keep_mask`); None = as it was
    source    where it was decided: desk, label studio, coco
    """

    item: str
    verdict: Verdict
    auditor: str
    reason: str = ""
    sentence: str | None = None
    mask: str | None = None
    source: str = "desk"
    at: str = field(default_factory=now)

    def __post_init__(self) -> None:
        """Check each field; nobody checks again."""
        texts = (self.item, self.auditor, self.reason, self.source, self.at, self.sentence or "", self.mask or "")
        if not all(isinstance(text, str) for text in texts):
            raise _wrong("decision", str(texts), "nothing but text")
        if self.verdict not in VERDICTS:
            raise _wrong("verdict", self.verdict, ", ".join(VERDICTS))
        if not _NAME.fullmatch(self.auditor):
            raise _wrong("auditor", self.auditor, "letters, digits, - and _, 40 at most")
        if self.sentence is not None:
            object.__setattr__(self, "sentence", Query(self.sentence).text)
        if self.mask is not None and not _MASK.fullmatch(self.mask):
            raise _wrong("mask", self.mask, "the hash of a mask that was kept")
        if not self.item or len(self.reason) > MAX_CHARACTERS:
            raise _wrong("reason", self.reason[:40], f"{MAX_CHARACTERS} characters at most, about an item")

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """What a line says."""
        return cls(**document)


def decisions_file(folder: Path, auditor: str) -> Path:
    """Where an auditor's decisions about a folder are, or will be."""
    return folder / FOLDER / f"{auditor}.jsonl"


def append(folder: Path, decisions: Iterable[Decision]) -> None:
    """The decisions of one auditor stand in the file, in order, and on the disk, when this returns.

    What a writer that was killed left of its last line goes first. Raises OutputError where they cannot be written.
    """
    decisions = list(decisions)
    (auditor,) = {one.auditor for one in decisions}
    path = decisions_file(folder, auditor)
    lines = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in decisions).encode()
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("ab+") as file:
            _mend_end(file)
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            path, found=error.strerror or str(error), wanted=f"{len(lines)} bytes written",
            remedy="free some space, then decide again",
        ) from error  # fmt: skip


def read(folder: Path, auditor: str, note: Callable[[str], None] = log.warning) -> list[Decision]:
    """An auditor's lines in their order; none where there is no file.

    A last line that is torn was never answered for, and is dropped with a note. Raises DataError for any other line
    that does not read.
    """
    path = decisions_file(folder, auditor)
    if not path.is_file():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    if last and _decision(last) is None:
        note(f"{path}: its last line is torn and was dropped ({len(last)} bytes)")
        last = b""
    found = []
    for number, line in enumerate([*lines, last] if last else lines, 1):
        decision = _decision(line)
        if decision is None or decision.auditor != auditor:
            raise DataError(
                path, found=f"line {number}: {line[:60]!r}", wanted=f"a decision of {auditor}",
                remedy="take the line out",
            )  # fmt: skip
        found.append(decision)
    return found


def read_all(folder: Path) -> dict[str, list[Decision]]:
    """The lines of every auditor, by name."""
    names = sorted(path.stem for path in (folder / FOLDER).glob("*.jsonl"))
    return {name: read(folder, name) for name in names}


def standing(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The last word on each item that was not taken back, in the order in which they were said."""
    words: list[Decision] = []
    for one in decisions:
        if one.verdict != "undo":
            words.append(one)
            continue
        last = next((i for i in reversed(range(len(words))) if words[i].item == one.item), None)
        if last is not None:
            del words[last]
    found: dict[str, Decision] = {}
    for one in words:
        found.pop(one.item, None)
        found[one.item] = one
    return found


def keep_mask(folder: Path, mask: Bool) -> str:
    """The mended mask is on disk under its hash, which is returned. Raises QueryError for an empty one."""
    if not mask.any():
        raise QueryError("mask", found="nothing in it", wanted="a pixel at least", remedy="reject the item instead")
    return write_mask(folder / FOLDER, mask)


def mended_mask(folder: Path, name: str) -> Bool:
    """(H, W) of a mended mask. Raises DataError where it is missing or no longer what was kept."""
    return read_mask(folder / FOLDER, name)


def _mend_end(file: BinaryIO) -> None:
    """The file ends with a whole line."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    last = file.read().rpartition(b"\n")[2]
    if last and _decision(last) is None:
        file.truncate(size - len(last))
    elif last:
        file.write(b"\n")


def _decision(line: bytes) -> Decision | None:
    try:
        return Decision.from_dict(json.loads(line))
    except (ValueError, TypeError, QueryError):
        return None


def _wrong(what: str, found: str, wanted: str) -> QueryError:
    return QueryError(what, found=repr(found), wanted=wanted, remedy="say it anew")
