"""A run inside a real kernel: a line that renews itself, and Ctrl-C that leaves the kernel alive."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

import geomtrs
from geomtrs.clock import time_text
from geomtrs.events import silent
from geomtrs.notebook import listener
from geomtrs.outputs.verify import verify

# jupyter_client and zmq leave sockets and loops to the interpreter's end; nothing of ours is open there
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# Blocks of half a second, so that something is seen while some are done and some are not.
SLOW = """
import time, geomtrs
from geomtrs.models.differencing import Differencing
whole = Differencing.features
def features(self, tiles):
    time.sleep(0.5)
    return whole(self, tiles)
Differencing.features = features
def ask(out):
    options = dict(model="differencing", tile_px=64, block_tiles=2)
    return geomtrs.detect({pair}, query="the roofs that appeared", out=out, **options)
"""


@pytest.fixture
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    root = str(Path(__file__).parents[2])
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "PYTHONPATH": root})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def said(client: BlockingKernelClient, request: str, *, until: str = "") -> list[dict[str, Any]]:
    """Messages of a cell until it is idle, or until one of them holds some words."""
    messages: list[dict[str, Any]] = []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            message = client.get_iopub_msg(timeout=1)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != request:
            continue
        messages.append(message)
        if message["content"].get("execution_state") == "idle" or (until and until in str(message["content"])):
            return messages
    raise AssertionError(f"the cell was not over in time: {messages[-3:]}")


def plain(messages: list[dict[str, Any]]) -> list[str]:
    """What a cell displayed, first and renewed."""
    kinds = {"display_data", "update_display_data", "execute_result"}
    return [message["content"]["data"]["text/plain"] for message in messages if message["msg_type"] in kinds]


def test_f2_a_notebook_sees_one_line_with_the_time_that_is_left(
    kernel: tuple[KernelManager, BlockingKernelClient], pair: tuple[str, str], tmp_path: Path
) -> None:
    _, client = kernel
    said(client, client.execute(SLOW.format(pair=", ".join(map(repr, pair)))))
    messages = said(client, client.execute(f"result = ask({str(tmp_path / 'out')!r})"))
    assert len([message for message in messages if message["msg_type"] == "display_data"]) == 1
    lines = plain(messages)
    assert any(" of " in line and line.endswith("left") for line in lines)
    assert lines[-1].startswith("done    4 of 4 blocks")
    assert [message for message in messages if message["msg_type"] in {"stream", "error"}] == []


def test_e9_an_interrupted_cell_leaves_the_kernel_alive_and_the_run_to_be_resumed(
    kernel: tuple[KernelManager, BlockingKernelClient], pair: tuple[str, str], tmp_path: Path
) -> None:
    manager, client = kernel
    out = tmp_path / "out"
    said(client, client.execute(SLOW.format(pair=", ".join(map(repr, pair)))))
    cell = client.execute(f"ask({str(out)!r})")
    said(client, cell, until="1 of 4 blocks")
    start = time.monotonic()
    manager.interrupt_kernel()
    (error,) = [message for message in said(client, cell) if message["msg_type"] == "error"]
    assert time.monotonic() - start < 5
    assert error["content"]["ename"] == "KeyboardInterrupt"
    assert plain(said(client, client.execute("20 + 22"))) == ["42"]
    lines = plain(said(client, client.execute(f"geomtrs.resume({str(out)!r})")))
    assert any(line.startswith("done    4 of 4 blocks") for line in lines)
    assert verify(out) == []
    assert geomtrs.ChangeResult(out).run["queries"][0]["polygons"] > 0


def test_f2_outside_a_notebook_nothing_is_said() -> None:
    assert listener() is silent


@pytest.mark.parametrize(("seconds", "text"), [(8.2, "8 s"), (65, "1 min 5 s"), (7380, "2 h 3 min")])
def test_times_are_told_in_two_units(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
