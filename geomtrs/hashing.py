"""The hash of a file: one way to read it, whoever writes the hash down."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path


def file_hash(path: Path, *, digest_size: int = 16) -> str:
    """BLAKE2b of a file's bytes, hexadecimal; read piece by piece, since it may be larger than the memory.

    digest_size  in bytes. Raises OSError where it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=digest_size)).hexdigest()
