"""Where the time of a run went, part by part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Wall seconds of named parts; a part that is entered again adds up."""

    def __init__(self) -> None:
        """Starts now."""
        self._start = time.perf_counter()
        self._parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens inside is counted under `name`, also when it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._parts[name] = self._parts.get(name, 0.0) + time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """Seconds by part and in total so far, to the millisecond."""
        total = time.perf_counter() - self._start
        return {name: round(value, 3) for name, value in {**self._parts, "total": total}.items()}


def time_text(seconds: float) -> str:
    """`8 s`, `1 min 5 s`, `2 h 3 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
