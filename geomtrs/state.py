"""What a run in a folder is, from its start: `.geomtrs/job.json`. The same goes on there, another is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomtrs.errors import JobError
from geomtrs.inputs import InputFile, changes
from geomtrs.outputs.publish import json_bytes, publish
from geomtrs.spec import JobSpec
from tiling.errors import ExistsError

FORMAT = 1
HIDDEN = ".geomtrs"
DONE = "done.json"  # what job.json becomes when a run is over and its blocks are kept


def hidden(folder: Path) -> Path:
    """Where a run keeps what is not for its user: lock, job.json, finished blocks."""
    return folder / HIDDEN


@dataclass(frozen=True, slots=True)
class JobState:
    """Everything that decides the answer: what was asked, of which bytes, of which weights, how exactly computed."""

    spec: JobSpec
    inputs: tuple[InputFile, ...]
    model_hash: str
    precision: str
    engine: str
    batch: int

    def token(self, scene: Mapping[str, Any], *, leave: frozenset[str] = frozenset()) -> str:
        """Hash for the plan: equal ones give equal blocks. `scene` is what the stack found in the files.

        leave  fields of the spec that have no say
        """
        asked = {key: value for key, value in self.spec.to_dict().items() if key not in {"out", "run", *leave}}
        document = [
            asked,
            [file.content for file in self.inputs],
            self.model_hash,
            self.precision,
            self.engine,
            self.batch,
            scene,
        ]
        return hashlib.blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=16).hexdigest()

    def differences(self, other: JobState) -> tuple[str, ...]:
        """What is not the same in the other one, each as `name: mine, not theirs`."""
        facts = ("model_hash", "precision", "engine", "batch")
        told = [
            f"{name}: {getattr(self, name)}, not {getattr(other, name)}"
            for name in facts
            if getattr(self, name) != getattr(other, name)
        ]
        # Another question says enough: its inputs or weights differ because of it.
        return self.spec.differences(other.spec) or (*told, *changes(self.inputs, other.inputs))

    def to_dict(self) -> dict[str, Any]:
        """As job.json keeps it."""
        return {
            "format": FORMAT,
            "spec": self.spec.to_dict(),
            "inputs": [file.to_dict() for file in self.inputs],
            "model_hash": self.model_hash,
            "precision": self.precision,
            "engine": self.engine,
            "batch": self.batch,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> JobState:
        """What `to_dict` wrote. Raises KeyError, TypeError or QueryError for anything else."""
        return cls(
            spec=JobSpec.from_dict(document["spec"]),
            inputs=tuple(InputFile.from_dict(file) for file in document["inputs"]),
            model_hash=str(document["model_hash"]),
            precision=str(document["precision"]),
            engine=str(document["engine"]),
            batch=int(document["batch"]),
        )


def read_state(folder: Path, name: str = "job.json") -> JobState | None:
    """The unfinished run of a folder, None where there is none. Raises JobError for a job.json that does not read."""
    path = hidden(folder) / name
    try:
        return JobState.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(
            path,
            found=f"a job that does not read ({type(error).__name__}: {error})",
            wanted="the job that geomtrs wrote",
            remedy="start over with detect --fresh",
        ) from error


def begin(
    folder: Path,
    state: JobState,
    targets: Iterable[Path],
    *,
    overwrite: bool,
    fresh: bool,
    replacing: str | None = "--overwrite",
) -> bool:
    """True when an unfinished run of the same state lies there and goes on; else a new one is written down.

    replacing  the option by which the user says `overwrite`; None: there is none

    Raises JobError naming the difference when another run lies there (unless `fresh`), ExistsError when a target exists
    (unless `overwrite`).
    """
    if fresh:
        clear(folder)
    found = read_state(folder)
    if found is not None:
        differences = found.differences(state)
        if differences:
            raise JobError(
                folder,
                found=f"an unfinished run of another job ({'; '.join(differences[:3])})",
                wanted="the same job, or an empty folder",
                remedy="ask the same, choose another --out, or start over with --fresh",
            )
        return True
    existing = [target for target in targets if target.exists()]
    if existing and not overwrite:
        raise ExistsError(
            existing[0],
            found="an output of an earlier run",
            wanted="a new file",
            remedy=f"choose another --out{f', or {replacing}' if replacing else ''}",
        )
    kept = read_state(folder, DONE)
    if kept is None or kept.differences(state):
        clear(folder)  # blocks of another run, or of one that was killed while it tidied up
    publish(hidden(folder) / "job.json", json_bytes(state.to_dict()))
    return False


def blocks_folder(folder: Path) -> Path:
    """Where the finished blocks lie."""
    return hidden(folder) / "blocks"


def end(folder: Path, *, keep_store: bool) -> None:
    """The run is over: its blocks go, or stay (`--keep-store`) for the same run once more."""
    if keep_store:
        (hidden(folder) / "job.json").replace(hidden(folder) / DONE)
    else:
        clear(folder)


def clear(folder: Path) -> None:
    """No job and no blocks are left; the lock stays, since it is held."""
    for name in ("job.json", DONE):
        with suppress(FileNotFoundError):
            (hidden(folder) / name).unlink()
    shutil.rmtree(blocks_folder(folder), ignore_errors=True)
