"""Ctrl-C at a terminal: a real signal to a real process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import geomtrs
from geomtrs.outputs.verify import verify

# Blocks of half a second, so that the signal comes while some are done and some are not.
SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where the tests were started in the background
from geomtrs.cli import main
from geomtrs.models.differencing import Differencing
whole = Differencing.features
def features(self, tiles):
    time.sleep(0.5)
    return whole(self, tiles)
Differencing.features = features
main(sys.argv[1:])
"""


def test_ctrl_c_stops_within_five_seconds_and_says_how_to_go_on_e9(pair: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["detect", *pair, "-q", "the roofs that appeared", "-o", str(out), "--model", "differencing", "--log-json"]
    with subprocess.Popen([sys.executable, "-c", SLOW, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if '"tiles"' in line:
                break
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        rest = process.stderr.read()
        process.wait(10)
    assert process.returncode == 130
    assert time.monotonic() - start < 5
    assert "geomtrs resume" in rest.splitlines()[-1]
    assert [path.name for path in out.iterdir()] == [".geomtrs"]
    geomtrs.resume(out)
    assert verify(out) == []
