"""What a run tells while it goes: stages of ours, blocks of the engine. A bar, a log, a notebook listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the run begins; `text` is one line for people, e.g. `device  CPU, 2 threads, bf16`."""

    name: str
    text: str


Listener = Callable[[object], None]


def silent(event: object) -> None:
    """Listens to nothing."""
