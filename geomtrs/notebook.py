"""What a run says in a notebook: one line with a bar and the time that is left, renewed in place, without widgets."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

from geomtrs.clock import time_text
from geomtrs.events import Listener, silent

# A page that is renewed more often flickers, and a saved notebook need not carry every step.
RENEWED_S = 0.2


def listener(unit: str = "blocks") -> Listener:
    """A line in the notebook that runs this; outside of one, nothing.

    unit  what the bar counts
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:  # a plain Python, or IPython at a terminal
        return silent
    return _Line(unit)


class _Line:
    """The line, its place on the page made with the first event."""

    def __init__(self, unit: str) -> None:
        self.unit, self.stage = unit, ""
        self.done, self.total, self.reused = 0, 0, 0
        self.began = self.renewed = 0.0
        self.handle: Any = None  # Any: IPython ships no types

    def __call__(self, event: object) -> None:
        now = time.monotonic()
        self.began = self.began or now
        self.stage = getattr(event, "text", None) or self.stage
        total, done = getattr(event, "total", None), getattr(event, "n_done", getattr(event, "reused", None))
        if isinstance(total, int) and isinstance(done, int):
            if not self.total:  # the work begins; what an earlier run left is done
                self.reused, self.began = done, now
            self.total, self.done = total, done
        if now - self.renewed > RENEWED_S or self.done == self.total:
            self.renewed = now
            self._show(now)

    def _show(self, now: float) -> None:
        from IPython.display import display

        line = {"text/plain": self._text(now), "text/html": self._html(now)}
        if self.handle is None:
            self.handle = display(line, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # ships no types
        else:
            self.handle.update(line, raw=True)

    def _text(self, now: float) -> str:
        if self.done == self.total:  # before the work, and after it
            return self.stage
        spent, fresh = now - self.began, self.done - self.reused
        left = f" · {time_text(spent / fresh * (self.total - self.done))} left" if fresh else ""
        return f"{self.done:,} of {self.total:,} {self.unit} · {time_text(spent)}{left}"

    def _html(self, now: float) -> str:
        going = self.done < self.total
        bar = f'<progress value="{self.done}" max="{self.total}" style="vertical-align:middle"></progress> '
        return f'<div style="font:13px system-ui,sans-serif">{bar if going else ""}{html.escape(self._text(now))}</div>'
