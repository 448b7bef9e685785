"""Work that may fail once and go well the next time."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import TypeVar

T = TypeVar("T")


def tried(
    work: Callable[[], T],
    *,
    attempts: int,
    pause_s: float,
    failures: tuple[type[Exception], ...],
    between: Callable[[], None] = lambda: None,
) -> T:
    """What `work` makes, tried again after one of these failures; raises what the last attempt raised.

    pause_s  before the second attempt; doubled each time
    between  what is done after a failure, before the pause
    """
    for _ in range(attempts - 1):
        try:
            return work()
        except failures:
            between()
        sleep(pause_s)
        pause_s *= 2
    return work()
