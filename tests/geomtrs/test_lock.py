"""Two runs never share a folder, and a dead one never blocks it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from geomtrs import lock
from geomtrs.errors import JobError
from geomtrs.lock import only_one

HOLD = """
import sys, time
from pathlib import Path
from geomtrs.lock import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that has the lock now."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Kill it without a word and clear up."""
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_naming_pid_and_host_e6(tmp_path: Path) -> None:
    path = tmp_path / "out" / ".geomtrs" / "lock"
    other = holder(path)
    try:
        with pytest.raises(JobError, match=rf"process {other.pid} on {socket.gethostname()}"), only_one(path):
            pass
    finally:
        end(other)


def test_two_runs_of_one_process_exclude_each_other_e6(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with only_one(path), pytest.raises(JobError, match=f"process {os.getpid()}"), only_one(path):
        pass


def test_the_lock_of_a_killed_process_is_taken_over_with_a_word_e6(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lock"
    other = holder(path)
    end(other)
    with only_one(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert f"left by process {other.pid}" in caplog.text


def test_nothing_is_left_when_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with only_one(path):
        assert path.exists()
    assert list(tmp_path.iterdir()) == []


def test_it_is_released_when_the_run_fails(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), only_one(path):
        _ = 1 / 0
    with only_one(path):
        assert path.exists()


def test_a_stopped_process_still_holds_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = holder(path)
    try:
        psutil.Process(other.pid).suspend()
        with pytest.raises(JobError), only_one(path):
            pass
    finally:
        end(other)


def test_a_damaged_lock_file_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"\xff not json")
    with only_one(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_without_locks_of_the_file_system_a_living_process_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_try", lambda descriptor: None)
    path = tmp_path / "lock"
    with only_one(path), pytest.raises(JobError, match=f"process {os.getpid()}"), only_one(path):
        pass


def test_without_locks_of_the_file_system_a_dead_process_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    end(holder(path))
    monkeypatch.setattr(lock, "_try", lambda descriptor: None)
    with only_one(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_without_locks_of_the_file_system_another_host_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_try", lambda descriptor: None)
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "started": 0}))
    with pytest.raises(JobError, match="on elsewhere"), only_one(path):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system keeps the moment itself")
def test_a_clock_that_is_set_takes_no_lock_from_a_living_process_e6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_try", lambda descriptor: None)  # where the file system has locks, no clock is asked
    boot = psutil.boot_time()
    with only_one(tmp_path / "lock"):
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot + 3600)  # what setting the clock does to it
        with pytest.raises(JobError, match=f"process {os.getpid()}"), only_one(tmp_path / "lock"):
            pass


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a file that is open cannot be removed")
def test_a_run_that_ends_leaves_the_lock_of_the_next_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, close = tmp_path / "lock", os.close
    following = ExitStack()

    def close_and_let_in(descriptor: int) -> None:
        close(descriptor)
        monkeypatch.setattr(os, "close", close)
        following.enter_context(only_one(path))  # the moment after the lock is let go

    with only_one(path):
        monkeypatch.setattr(os, "close", close_and_let_in)
    with following:
        assert path.exists()
        with pytest.raises(JobError), only_one(path):
            pass
    assert not path.exists()
