"""Further sentences about a scene whose image features were kept: each a run of its own, at the cost of the head."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from geomtrs.earlier import ASKED
from geomtrs.errors import JobError, QueryError
from geomtrs.events import silent
from geomtrs.features import OF_THE_ANSWER, read_kept
from geomtrs.job import Start, run_job
from geomtrs.options import AskOptions, job_spec
from geomtrs.outputs import record
from geomtrs.query import Query, slugs
from geomtrs.recording import read_record
from geomtrs.result import ChangeResult
from geomtrs.state import read_state
from tiling.errors import OutputError


def ask(
    folder: str | os.PathLike[str],
    query: str | Query | Sequence[str | Query] = (),
    **options: Unpack[AskOptions],
) -> ChangeResult:
    """The answers to further sentences about the scene of a finished run that kept its image features.

    folder   of that run (`detect` with keep_features)
    options  see AskOptions

    The images are read for the picture alone. Probabilities are those of a full run but for the rounding of what was
    kept. Raises JobError where no features were kept, or images, weights or grid are no longer those; as `detect` else.
    """
    first = Path(folder).absolute()
    told: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    out, on_event = told.pop("out", None), told.pop("on_event", silent)
    start = Start(told.pop("overwrite", False), told.pop("fresh", False))
    record.read_run(first)  # says it best where there is none
    spec = read_kept(first).state.spec
    sentences = [query] if isinstance(query, str | Query) else list(query)
    said = job_spec([list(files) for files in spec.images], sentences, first, **told)
    changed = {name: getattr(said, name) for name in {"queries", "run", *(OF_THE_ANSWER & told.keys())}}
    asked = replace(spec, **changed, keep_features=False, features=str(first))
    target = Path(out).absolute() if out else _own_folder(first, asked.queries)
    if target == first:
        wanted = "a folder of its own: the first run's outputs, and its features, stay as they are"
        raise QueryError("--out", found="the folder of the first run", wanted=wanted, remedy="leave it out")
    return run_job(replace(asked, out=str(target)), start, on_event)


def _own_folder(first: Path, queries: Sequence[Query]) -> Path:
    """`ask-<slug>` of the first sentence, numbered where other sentences lie there.

    A run is a folder with a record and checksums of its own: what was sealed before stays as it is.
    """
    more = f"-and-{len(queries) - 1}-more" if len(queries) > 1 else ""
    name = f"{ASKED}{slugs(queries)[0]}{more}"
    folders = (first / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    return next(folder for folder in folders if _asked_in(folder) in {None, tuple(queries)})


def _asked_in(folder: Path) -> tuple[Query, ...] | None:
    """The sentences of the run that lies, or was begun, in a folder; none where there is no run."""
    try:
        begun = read_state(folder)
        return (begun or read_record(folder / record.NAME)[0]).spec.queries
    except (JobError, OutputError):
        return None
