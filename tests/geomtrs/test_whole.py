"""A folder is whole or is not there, however many processes make it and whichever of them die."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from geomtrs.data.whole import whole_folder
from geomtrs.errors import DataError

HOST = socket.gethostname()[:30]
# Begins the folder named first, says so, and is at it until its input ends.
MAKER = """
import sys
from pathlib import Path
from geomtrs.data.whole import whole_folder
with whole_folder(Path(sys.argv[1])) as temporary:
    (temporary / "theirs").touch()
    print("begun", flush=True)
    sys.stdin.read()
"""


def maker(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_of_two_processes_that_make_a_folder_the_first_has_it_and_the_other_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "pack"

    def make() -> None:
        with whole_folder(folder) as temporary:
            (temporary / "mine").touch()
            other.communicate()

    with maker(folder) as other, pytest.raises(DataError, match="something there"):
        make()
    assert other.returncode == 0
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "pack [1]"
    with maker(folder) as killed:
        killed.kill()
    (left,) = tmp_path.iterdir()
    with whole_folder(folder):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("whose", ["elsewhere", f"old.{HOST}"])
def test_what_another_machine_writes_or_is_of_another_folder_is_left(whose: str, tmp_path: Path) -> None:
    left = tmp_path / f".pack.{whose}-{os.getpid()}.part"
    left.mkdir()
    with whole_folder(tmp_path / "pack"):
        pass
    assert left.is_dir()


def test_a_folder_may_have_the_longest_name_there_is(tmp_path: Path) -> None:
    folder = tmp_path / ("p" * 255)
    with whole_folder(folder) as temporary:
        (temporary / "mine").touch()
    assert (folder / "mine").is_file()
