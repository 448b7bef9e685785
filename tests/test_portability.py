"""Analysts work on Windows and macOS as well: nothing leans on POSIX alone (F7)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomtrs.query import Query

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for package in ("geomtrs", "tiling") for path in (ROOT / package).rglob("*.py"))
POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "crypt"}
# A call of os or signal that Windows lacks, and what there is instead.
POSIX_NAMES = {"fork", "getuid", "geteuid", "uname", "killpg", "setsid", "mkfifo", "SIGKILL", "SIGALRM", "SIGHUP"}
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)


def guarded(tree: ast.Module) -> set[int]:
    """Lines below an `if` that asks for the system, or in a `try`."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) or (
            isinstance(node, ast.If) and any(word in ast.unparse(node.test) for word in ("platform", "os.name"))
        ):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def posix_only(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports and names that only POSIX has, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in POSIX_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in POSIX_MODULES:
            yield node.lineno, node.module
        elif isinstance(node, ast.Attribute) and node.attr in POSIX_NAMES:
            yield node.lineno, node.attr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_only_posix_has_is_used_behind_a_question_for_the_system_f7(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    safe = guarded(tree)
    assert [found for found in posix_only(tree) if found[0] not in safe] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_read_and_written_as_utf8_whatever_the_system_prefers_f7(path: Path) -> None:
    """Windows would take its code page where no encoding is named."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr in ("read_text", "write_text"):
            named = {keyword.arg for keyword in node.keywords} | ({"encoding"} if len(node.args) > 1 else set())
            assert "encoding" in named, f"line {node.lineno}"


@given(st.text(min_size=1, max_size=80))
def test_a_file_name_made_of_any_sentence_is_one_on_windows_f7(text: str) -> None:
    try:
        slug = Query(text).slug
    except ValueError:
        return
    name = f"mask_{slug}.tif"
    assert PureWindowsPath(name).name == name
    assert not set(name) & set('<>:"/\\|?*')
    assert not RESERVED.match(name)
    assert len(name) < 200
