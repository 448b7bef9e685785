"""Nothing that lasts is measured by a clock that somebody may set while it lasts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# These tell an hour, and measure nothing.
TELL_THE_HOUR = {
    "geomtrs/outputs/record.py",  # when a run was
    "geomtrs/craft/audit/decisions.py",  # when somebody decided
    "geomtrs/craft/endpoint.py",  # a server may say until which hour to wait
}
WALL = {"time.time", "time.time_ns", "time.localtime", "datetime.now", "datetime.today", "datetime.utcnow"}


def wall_clocks(path: Path) -> Iterator[str]:
    """Calls that read the clock on the wall, and imports that would hide them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and any(ast.unparse(node.func).endswith(name) for name in WALL):
            yield f"{path.name}:{node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "time" and {one.name for one in node.names} & {"time"}:
            yield f"{path.name}:{node.lineno}"


def test_times_waits_and_progress_do_not_depend_on_the_hour_e6() -> None:
    sources = [path for package in ("geomtrs", "tiling") for path in (ROOT / package).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix(): list(wall_clocks(path)) for path in sources}
    assert {name for name, calls in found.items() if calls} == TELL_THE_HOUR
