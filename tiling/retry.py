"""Work that may fail once and go well the next time."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic, sleep
from typing import TypeVar

T = TypeVar("T")


def tried(
    work: Callable[[], T],
    *,
    attempts: int,
    pause_s: float,
    failures: tuple[type[Exception], ...],
    final: tuple[type[Exception], ...] = (),
    between: Callable[[], None] = lambda: None,
    within_s: float = inf,
) -> T:
    """What `work` makes, tried again after one of these failures; raises what the last attempt raised.

    final     those of the failures after which nothing is tried again
    pause_s   before the second attempt; doubled each time
    between   what is done after a failure, before the pause
    within_s  no attempt begins later than so long after the first
    """
    began = monotonic()
    for _ in range(attempts - 1):
        try:
            return work()
        except final:
            raise
        except failures:
            between()
            if monotonic() - began + pause_s > within_s:
                raise
        sleep(pause_s)
        pause_s *= 2
    return work()
