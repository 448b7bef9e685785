"""Whatever happens to a run, it goes on where it was: killed, out of room, its server dead or its key expired."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geomtrs.cli import main
from geomtrs.craft.export import export
from geomtrs.craft.ledger import Ledger
from tests.geomtrs.test_craft import HOUSE, KEY, LABELS, Stub, content, kept, write_pairs

POSIX = pytest.mark.skipif(os.name != "posix", reason="no SIGKILL and no limits on files there")


def craft_command(pairs: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "geomtrs", "craft", "run", str(pairs), "-o", str(out), "--quiet", *more]


def chat_options(stub: Stub) -> list[str]:
    return ["--chat", stub.url, "--chat-model", "eyes", "--chat-does", "perceive", "--segmenter", "differencing"]


@POSIX
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_ten_random_moments_no_call_is_made_twice_and_the_export_is_the_same_k2(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, pairs=12, places=4, labels=False)
    clock = random.Random(7)
    with Stub(always={"findings": [HOUSE], "late": 0.05}) as stub:
        subprocess.run(craft_command(pairs, tmp_path / "whole", *chat_options(stub)), check=True, capture_output=True)
        wanted = sorted(json.dumps(one) for one in stub.asked)
        stub.asked.clear()
        stub.same.clear()
        answered = []
        for _ in range(10):
            command = craft_command(pairs, tmp_path / "cut", *chat_options(stub))
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                before = len(stub.asked)
                while process.poll() is None and len(stub.asked) == before:  # not in its imports, where nothing happens
                    time.sleep(0.005)
                time.sleep(clock.uniform(0, 0.5))
                process.send_signal(signal.SIGKILL)
            with Ledger(tmp_path / "cut") as ledger:
                answered.append(ledger.counts()["calls"]["made"])
        subprocess.run(craft_command(pairs, tmp_path / "cut", *chat_options(stub)), check=True, capture_output=True)
        asked = sorted(json.dumps(one) for one in stub.asked)
    assert answered == sorted(answered)
    assert 0 < answered[-1] < len(wanted)
    # No answer that was written down is asked for again. What was under way when the run died is, under the same key,
    # and the ledger says how many those were: two pairs are in work together.
    assert set(asked) == set(wanted)
    assert len(set(stub.same)) == len(set(wanted))
    with Ledger(tmp_path / "cut") as ledger:
        calls = ledger.counts()["calls"]
    assert calls["made"] == len(wanted)
    assert len(asked) <= calls["made"] + calls["unanswered"]
    assert 0 < calls["unanswered"] <= 10 * 2
    for name in ("whole", "cut"):
        export(tmp_path / name, tmp_path / f"{name}-set", "mtrefseg21k", val=0.3)
    assert content(tmp_path / "whole-set") == content(tmp_path / "cut-set")
    found = kept(tmp_path / "cut")
    assert len({one.id for one in found}) == len(found) > 0


@POSIX
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room_k2(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path)
    out = tmp_path / "out"
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (45_000, 45_000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from geomtrs.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", limited, *craft_command(pairs, out)[3:]]
    full = subprocess.run(command, capture_output=True, text=True, check=False)
    assert full.returncode == 1, full.stderr
    assert len(full.stderr.strip().splitlines()) == 1
    assert "free some space" in full.stderr
    again = subprocess.run(craft_command(pairs, out), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    from geomtrs.craft.run import craft

    craft(pairs, tmp_path / "whole", LABELS, at_once=2)
    for name in ("whole", "out"):
        export(tmp_path / name, tmp_path / f"{name}-set", "coco")
    assert content(tmp_path / "whole-set") == content(tmp_path / "out-set")


@pytest.mark.parametrize("status", [401, 404, None], ids=["expired key", "no such model", "dead"])
def test_a_server_that_takes_nobody_stops_the_run_in_one_line_and_it_goes_on_later_k2(
    status: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, out = write_pairs(tmp_path, labels=False), tmp_path / "out"
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("CRAFT_TEST_KEY", KEY)
    with Stub(always={"status": status or 200, "body": f"sent {KEY}"}) as stub:
        options = [*chat_options(stub), "--key-env", "CRAFT_TEST_KEY", "--at-once", "1"]
        if status is None:
            stub.server.shutdown()
            stub.server.server_close()
        with pytest.raises(SystemExit) as ended:
            main(craft_command(pairs, out, *options)[3:])
        assert len(stub.asked) <= 2  # the pair after it may have begun
    assert ended.value.code == 3
    told = capsys.readouterr()
    assert len(told.err.strip().splitlines()) == 1
    assert told.err.startswith("stopped: ")
    assert (f"status {status}" if status else "ConnectionRefused") in told.err
    assert "run the same again" in told.err
    assert KEY not in told.out + told.err
    assert not [name for name, bytes_ in content(tmp_path).items() if KEY.encode() in bytes_]
    with Ledger(out) as ledger:
        assert set(ledger.statuses().values()) == {"pending"}
