"""The peak counts every process of the run."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from geomtrs.memory import PeakMemory, now

MB = 1 << 20


def test_the_peak_stays_after_the_memory_is_given_back() -> None:
    with PeakMemory() as peak:
        held = np.ones(64 * MB, np.uint8)
        with_it = now()
        peak._look()
        del held
    assert peak.bytes >= with_it - 10 * MB


def test_children_are_counted() -> None:
    code = "held = bytearray(b'x') * (64 << 20); print('held', flush=True); input()"
    before = now()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        grown = now() - before
        child.communicate("\n")
    assert grown >= 60 * MB
