"""Hashes of files: what was written down before is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from geomtrs.hashing import file_hash


@pytest.mark.parametrize(
    ("digest_size", "written"),
    [
        (16, "cf4ab791c62b8d2b2109c90275287816"),
        (32, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
    ],
)
def test_a_hash_is_blake2b_of_the_bytes(digest_size: int, written: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")  # digests by b2sum --length
    assert file_hash(tmp_path / "file", digest_size=digest_size) == written
