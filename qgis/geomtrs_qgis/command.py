"""The program `geomtrs` of an environment of its own: found, run, listened to, stopped. Knows nothing of QGIS."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable

# What QGIS tells its own Python and GDAL would mislead those of the other environment.
_NOT_HANDED_ON = {
    "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_DATA", "PROJ_LIB", "PYTHONEXECUTABLE", "PYTHONHOME", "PYTHONPATH",
    "__PYVENV_LAUNCHER__",
}  # fmt: skip
_LOOK_S = 0.2  # how often it is asked whether to stop
_GRACE_S = 15.0  # what a program that is told to stop may take to put its work away
_REMEDY = (
    "pip install geomtrs into an environment of its own, then name it in "
    "Settings › Options › Processing › Providers › geomtrs"
)


class CommandError(Exception):
    """What went wrong, in one line that ends with a remedy."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, what it printed, and the line that says why it failed ("" if it did not)."""

    code: int
    printed: str
    error: str

    @property
    def facts(self) -> dict[str, Any]:
        """What it printed, as JSON. Raises CommandError for anything else."""
        try:
            facts: dict[str, Any] = json.loads(self.printed)
        except ValueError as error:
            raise CommandError(
                f"geomtrs: found an answer that does not read ({error}); wanted JSON; remedy: update geomtrs"
            ) from error
        return facts


def find_program(setting: str) -> str:
    """The program that answers: that of the setting (itself, or the folder of its environment), else that on PATH.

    Raises CommandError where there is none.
    """
    name = setting.strip().strip('"')
    if not name:
        found = shutil.which("geomtrs")
        if found is None:
            raise CommandError(f"geomtrs: found none on PATH; wanted the program; remedy: {_REMEDY}")
        return found
    place = Path(name).expanduser()
    candidates = [place, *(place / folder / "geomtrs" for folder in ("bin", "Scripts", "."))]
    for candidate in candidates:
        found = None if candidate.is_dir() else shutil.which(str(candidate))
        if found is not None:
            return found
    raise CommandError(f"{name}: found no program geomtrs there; wanted it, or its environment; remedy: {_REMEDY}")


def run(
    program: str, arguments: list[str], on_event: Callable[[dict[str, Any]], None], stopped: Callable[[], bool]
) -> Ended:
    """The command has ended, by itself or because it was stopped.

    on_event  is told of every line of progress (--log-json), as a dictionary
    stopped   is asked now and then; once it says so, the command is told to stop, and killed if it does not

    Raises CommandError where it cannot be started.
    """
    try:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**{k: v for k, v in os.environ.items() if k not in _NOT_HANDED_ON}, "PYTHONUTF8": "1"},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # no console pops up on Windows
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandError(f"{program}: found {reason}; wanted a program that runs; remedy: {_REMEDY}") from error
    with process:
        lines: queue.Queue[str | None] = queue.Queue()
        printed: list[str] = []
        threads = [
            threading.Thread(target=_drain, args=(process.stderr, lines.put), daemon=True),
            threading.Thread(target=_drain, args=(process.stdout, printed.append), daemon=True),
        ]
        for thread in threads:
            thread.start()
        error = _listen(process, lines, on_event, stopped)
        for thread in threads:
            thread.join()
    return Ended(process.returncode, "".join(part for part in printed if part), error)


def _drain(pipe: IO[str], put: Callable[[str | None], None]) -> None:
    for line in pipe:
        put(line)
    put(None)


def _listen(
    process: subprocess.Popen[str],
    lines: queue.Queue[str | None],
    on_event: Callable[[dict[str, Any]], None],
    stopped: Callable[[], bool],
) -> str:
    """Hears the command to its end; returns the line of its error."""
    error, stopping = "", False
    while True:
        if stopped() and not stopping:
            stopping = True
            _stop(process)
        try:
            line = lines.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
        if line is None:
            return error
        try:
            event = json.loads(line)
        except ValueError:
            event = {"text": line.strip()}
        if line.startswith("error:"):
            error = line.partition(":")[2].strip()
        elif isinstance(event, dict):
            on_event(event)


def _stop(process: subprocess.Popen[str]) -> None:
    """Told to stop as Ctrl-C does, so that what is finished is kept; after a while killed: that is kept then, too."""

    def kill() -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            return
        process.kill()

    if os.name == "posix":
        process.send_signal(signal.SIGINT)
        threading.Thread(target=kill, daemon=True).start()
    else:
        process.kill()
