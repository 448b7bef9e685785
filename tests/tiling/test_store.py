"""The store: what it says is there is there whole, whoever was killed and whatever the disk did."""

from __future__ import annotations

import logging
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tiling.errors import DiskFullError, StoreError
from tiling.store import BlockStore


def some_arrays() -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(0)
    return {
        "core/0": rng.integers(0, 64_001, (37, 23), dtype=np.uint16),
        "n/0": rng.integers(0, 64_001, (0, 23), dtype=np.uint16),
        "coverage": rng.integers(0, 4, (37, 23), dtype=np.uint8),
        "score": rng.normal(size=(2, 3)).astype(np.float32),
    }


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    made = BlockStore(tmp_path / "blocks of été", "plan-a")
    made.put("r000c000", some_arrays(), {"existence": [[0.25, 1.0]], "seconds": {"read": 0.5}})
    return made


def only_file(store: BlockStore) -> Path:
    (path,) = store.folder.glob("*.block")
    return path


@pytest.mark.parametrize("name", ["core/0", "n/0", "coverage", "score"])
def test_an_array_comes_back_as_it_was_put(store: BlockStore, name: str) -> None:
    back, put = store.get("r000c000", name), some_arrays()[name]
    assert back.dtype == put.dtype
    assert np.array_equal(back, put)
    assert back.flags.writeable


def test_arrays_may_be_kept_without_compression(store: BlockStore) -> None:
    put = {"zeros": np.zeros((100, 100), np.int8), "turned": np.arange(12.0, dtype=">f4").reshape(3, 4).T}
    store.put("plain", put, {}, compressed=False)
    for name, array in put.items():
        back = store.get("plain", name)
        assert (back.dtype, back.flags.writeable) == (array.dtype, True)
        assert np.array_equal(back, array)
    assert list(store.arrays("plain")) == ["zeros", "turned"]
    assert np.array_equal(store.arrays("plain")["turned"], array)
    assert array.astype(">f4").tobytes() in (store.folder / "plain.block").read_bytes()
    assert store.has("plain")


def test_meta_and_names_come_back_as_they_were_put(store: BlockStore) -> None:
    assert store.meta("r000c000") == {"existence": [[0.25, 1.0]], "seconds": {"read": 0.5}}
    assert store.names("r000c000") == ("core/0", "n/0", "coverage", "score")


def test_another_process_that_opens_the_folder_finds_the_blocks(store: BlockStore) -> None:
    assert BlockStore(store.folder, "plan-a").done() == {"r000c000"}


def test_a_store_survives_pickling(store: BlockStore) -> None:
    assert pickle.loads(pickle.dumps(store)).done() == {"r000c000"}  # noqa: S301 - our own bytes


def test_a_folder_of_another_plan_is_refused_naming_both(store: BlockStore) -> None:
    with pytest.raises(StoreError, match=r"plan plan-a.*plan plan-b"):
        BlockStore(store.folder, "plan-b")


def test_a_block_file_of_another_plan_counts_as_not_there(store: BlockStore, tmp_path: Path) -> None:
    other = BlockStore(tmp_path / "other", "plan-b")
    only_file(store).rename(other.folder / "r000c000.block")
    assert not other.has("r000c000")


def test_one_flipped_byte_anywhere_makes_a_block_not_there(store: BlockStore, caplog: pytest.LogCaptureFixture) -> None:
    whole = only_file(store).read_bytes()
    caplog.set_level(logging.WARNING)
    for place in range(0, len(whole), 11):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        only_file(store).write_bytes(flipped)
        assert not store.has("r000c000"), place
    assert "computed again" in caplog.text


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_truncated_block_counts_as_not_there(store: BlockStore, share: float) -> None:
    whole = only_file(store).read_bytes()
    only_file(store).write_bytes(whole[: int(len(whole) * share)])
    assert store.done() == set()


def test_a_block_with_bytes_added_counts_as_not_there(store: BlockStore) -> None:
    with only_file(store).open("ab") as file:
        file.write(b"x")
    assert not store.has("r000c000")


def test_reading_a_damaged_array_is_refused_and_a_sound_one_beside_it_is_not(store: BlockStore) -> None:
    whole = bytearray(only_file(store).read_bytes())
    whole[-1] ^= 1  # in the last array, "score"
    only_file(store).write_bytes(whole)
    with pytest.raises(StoreError, match="damaged"):
        store.get("r000c000", "score")
    assert np.array_equal(store.get("r000c000", "core/0"), some_arrays()["core/0"])


def test_a_missing_block_is_named(store: BlockStore) -> None:
    with pytest.raises(StoreError, match="r009c009"):
        store.get("r009c009", "core/0")
    assert not store.has("r009c009")


def test_a_missing_array_is_a_key_error(store: BlockStore) -> None:
    with pytest.raises(KeyError, match="core/7"):
        store.get("r000c000", "core/7")


def test_a_failed_block_is_known_but_not_done(store: BlockStore) -> None:
    store.put_failed("r000c001", "the model said no")
    assert store.done() == {"r000c000"}
    assert store.failed() == {"r000c001": "the model said no"}


def test_clearing_leaves_no_block_and_no_temporary_file(store: BlockStore) -> None:
    (store.folder / ".r1.block.7-7.tmp").write_bytes(b"half")
    store.clear()
    assert [path.name for path in store.folder.iterdir()] == ["store.json"]


def test_a_block_put_twice_is_the_second(store: BlockStore) -> None:
    store.put("r000c000", {"core/0": np.zeros((2, 2), np.uint16)}, {})
    assert store.names("r000c000") == ("core/0",)
    assert store.has("r000c000")


def test_a_folder_below_a_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="remedy"):
        BlockStore(tmp_path / "file" / "store", "plan-a")


def test_a_full_disk_is_named_with_the_bytes_and_leaves_finished_blocks_alone(store: BlockStore) -> None:
    noise = np.random.default_rng(1).integers(0, 255, 200_000, dtype=np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(DiskFullError, match=r"r000c001.*File too large.*room for 200,\d{3} bytes"):
            store.put("r000c001", {"core/0": noise}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.done() == {"r000c000"}
    assert not list(store.folder.glob(".*.tmp"))


_KILLED_WRITER = """
import os, signal, sys
import numpy as np
from pathlib import Path
from tiling.store import BlockStore
real = os.fsync
def killed(descriptor):
    os.kill(os.getpid(), signal.SIGKILL)
store = BlockStore(Path(sys.argv[1]), "plan-a")
os.fsync = killed
store.put("r000c001", {"core/0": np.arange(100_000)}, {})
"""


def test_a_killed_writer_leaves_nothing_under_a_name_of_a_block_e2(store: BlockStore) -> None:
    ended = subprocess.run([sys.executable, "-c", _KILLED_WRITER, os.fspath(store.folder)], check=False)
    assert ended.returncode == -9
    assert store.done() == {"r000c000"}
    assert [path.name for path in store.folder.glob("*.block")] == ["r000c000.block"]
    store.sweep()
    assert not list(store.folder.glob(".*.tmp"))
