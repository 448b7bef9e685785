"""The command line on a disk that fails: a shim between it and the system, compiled where there is a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

On = Literal["read", "write", "fsync"]


@dataclass(frozen=True)
class FailingDisk:
    """Runs commands with the shim."""

    shim: Path

    def run(self, on: On, file: str, after: int, *words: str) -> subprocess.CompletedProcess[str]:
        """`geomtrs` with these words, where this of the file fails with EIO once so many bytes went well."""
        code = "import sys; from geomtrs.cli import main; main(sys.argv[1:])"
        told = {"LD_PRELOAD": str(self.shim), "EIO_ON": on, "EIO_FILE": file, "EIO_AFTER": str(after)}
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            env={**os.environ, **told},
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
        )


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> FailingDisk:
    """Skips where nothing can be put between a program and Linux."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a disk that fails is a shim of Linux's linker, and wants a C compiler")
    shim = tmp_path_factory.mktemp("shim") / "eio.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"], check=True)
    return FailingDisk(shim)
