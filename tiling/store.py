"""Finished blocks on disk: durable, checksummed, one file a block.

A file holds a header (JSON) and arrays, each compressed and hashed on its own, so that one can be read alone:

    magic · length of header · hash of header · header · array · array …

It is written under a temporary name, flushed to the disk and renamed, so a killed writer leaves nothing under a block's
name; what a failing disk leaves there is found by the hashes and counts as not there. Nothing else is state.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NotRequired, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from tiling.errors import StoreError
from tiling.room import unwritten

Json: TypeAlias = Any  # whatever json can write: a recursive type would have to be cast away at every use
Bytes: TypeAlias = bytes | bytearray | memoryview

_MAGIC = b"GTBLOCK1"
_LENGTH = struct.Struct("<I")
_HASH_BYTES = 16
_HEAD_BYTES = len(_MAGIC) + _LENGTH.size + _HASH_BYTES
_SUFFIX = ".block"
_FAILED = "failed"  # key of the meta of a block that has no answer

_log = logging.getLogger(__name__)


class _Array(TypedDict):
    """What the header says of one array; offset counts from the end of the header. `raw`: its bytes as they are."""

    name: str
    dtype: str
    shape: list[int]
    offset: int
    nbytes: int
    blake2b: str
    raw: NotRequired[bool]


class _Header(TypedDict):
    plan: str
    block: str
    meta: dict[str, Json]
    arrays: list[_Array]


class _DamagedError(Exception):
    """A block file that does not hold what it says; the text says how."""


@dataclass(frozen=True, slots=True)
class BlockStore:
    """Blocks of one plan in one folder, which is made when it is not there. Picklable; any process may write.

    Raises StoreError when the folder holds blocks of another plan or cannot be written, DiskFullError.
    """

    folder: Path
    plan_id: str

    def __post_init__(self) -> None:
        """Claims the folder for the plan."""
        object.__setattr__(self, "folder", Path(self.folder))
        claim = self.folder / "store.json"
        words = json.dumps({"format": 1, "plan": self.plan_id}).encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not claim.exists():
                _write_durably(claim, [words])
            found = json.loads(claim.read_text(encoding="utf-8")).get("plan")
        except (OSError, ValueError, AttributeError) as error:
            raise unwritten(self.folder, error, len(words), kind=StoreError) from error
        if found != self.plan_id:
            raise StoreError(
                self.folder,
                found=f"blocks of plan {found}",
                wanted=f"plan {self.plan_id}",
                remedy="take another folder, or start over in this one",
            )

    def put(
        self,
        block_id: str,
        arrays: Mapping[str, NDArray[np.generic]],
        meta: Mapping[str, Json],
        *,
        compressed: bool = True,
    ) -> None:
        """Keeps a block for good: when this returns, the block survives a crash of the machine.

        compressed  False for arrays that would shrink little for the time it takes

        Raises DiskFullError, StoreError when the folder cannot be written; nothing is left behind then.
        """
        described: list[_Array] = []
        packed: list[Bytes] = []
        offset = 0
        for name, array in arrays.items():
            data = _pack(array) if compressed else np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            described.append(
                {
                    "name": name,
                    "dtype": array.dtype.str,
                    "shape": list(array.shape),
                    "offset": offset,
                    "nbytes": len(data),
                    "blake2b": _hash(data).hex(),
                    "raw": not compressed,
                }
            )
            packed.append(data)
            offset += len(data)
        header = json.dumps({"plan": self.plan_id, "block": block_id, "meta": meta, "arrays": described}).encode()
        head = _MAGIC + _LENGTH.pack(len(header)) + _hash(header)
        try:
            _write_durably(self._path(block_id), [head, header, *packed])
        except OSError as error:
            size = offset + len(header) + len(head)
            raise unwritten(self._path(block_id), error, size, kind=StoreError) from error

    def put_failed(self, block_id: str, reason: str) -> None:
        """Records that the block has no answer, and why: it is not done, yet a mosaic can be made without it."""
        self.put(block_id, {}, {_FAILED: reason})

    def get(self, block_id: str, name: str) -> NDArray[np.generic]:
        """One array of a block, as it was put.

        Raises StoreError when the block is missing or damaged, KeyError when it has no array of this name.
        """
        try:
            with self._path(block_id).open("rb") as file:
                header = self._read_header(file, block_id)
                array = next((array for array in header["arrays"] if array["name"] == name), None)
                if array is None:
                    raise KeyError(f"block {block_id} has no array {name!r}; it has {[*_names(header)]}")
                return _read_array(file, array)
        except (OSError, _DamagedError) as error:
            raise self._missing(block_id, error) from error

    def arrays(self, block_id: str) -> dict[str, NDArray[np.generic]]:
        """All arrays of a block by name, in the order they were put. Raises StoreError as `get` does."""
        try:
            with self._path(block_id).open("rb") as file:
                header, found = self._read_header(file, block_id), dict[str, NDArray[np.generic]]()
                start = file.tell()
                for array in header["arrays"]:
                    file.seek(start)
                    found[array["name"]] = _read_array(file, array)
                return found
        except (OSError, _DamagedError) as error:
            raise self._missing(block_id, error) from error

    def names(self, block_id: str) -> tuple[str, ...]:
        """Names of the arrays of a block. Raises StoreError when the block is missing or damaged."""
        return _names(self._described(block_id))

    def meta(self, block_id: str) -> dict[str, Json]:
        """What was put beside the arrays of a block. Raises StoreError when the block is missing or damaged."""
        return self._described(block_id)["meta"]

    def has(self, block_id: str) -> bool:
        """True when the block is there, answered, and every byte of it is as it was written."""
        header = self._verified(block_id)
        return header is not None and _FAILED not in header["meta"]

    def done(self) -> set[str]:
        """Ids of all blocks that `has` holds true for. Reads every byte of the store."""
        return {block_id for block_id in self._ids() if self.has(block_id)}

    def failed(self) -> dict[str, str]:
        """Ids of blocks that were recorded as failed, with the reason."""
        headers = {block_id: self._verified(block_id) for block_id in self._ids()}
        return {k: str(h["meta"][_FAILED]) for k, h in headers.items() if h is not None and _FAILED in h["meta"]}

    def sweep(self) -> None:
        """Removes what killed writers left under temporary names. Not while anybody writes."""
        for path in self.folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes all blocks. Not while anybody writes."""
        self.sweep()
        for path in self.folder.glob(f"*{_SUFFIX}"):
            path.unlink(missing_ok=True)

    def _path(self, block_id: str) -> Path:
        return self.folder / f"{block_id}{_SUFFIX}"

    def _ids(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob(f"*{_SUFFIX}"))

    def _read_header(self, file: BufferedReader, block_id: str) -> _Header:
        """The header, with the file left at its end; the plan it names is ours."""
        head = file.read(_HEAD_BYTES)
        if len(head) < _HEAD_BYTES or not head.startswith(_MAGIC):
            raise _DamagedError("no header")
        (length,) = _LENGTH.unpack_from(head, len(_MAGIC))
        text = file.read(length)
        if _hash(text) != head[-_HASH_BYTES:]:
            raise _DamagedError("the header does not have its hash")
        header: _Header = json.loads(text)
        if (header["plan"], header["block"]) != (self.plan_id, block_id):
            raise _DamagedError(f"it is block {header['block']} of plan {header['plan']}")
        return header

    def _described(self, block_id: str) -> _Header:
        try:
            with self._path(block_id).open("rb") as file:
                return self._read_header(file, block_id)
        except (OSError, _DamagedError) as error:
            raise self._missing(block_id, error) from error

    def _verified(self, block_id: str) -> _Header | None:
        """The header when all of the file is sound, None when it is not there; damage is logged."""
        try:
            with self._path(block_id).open("rb") as file:
                header = self._read_header(file, block_id)
                for array in header["arrays"]:
                    _read_payload(file, array)
                if file.read(1):
                    raise _DamagedError("bytes after the last array")
                return header
        except FileNotFoundError:
            return None
        except (OSError, _DamagedError) as error:
            _log.warning("%s: damaged (%s); it will be computed again", self._path(block_id), error)
            return None

    def _missing(self, block_id: str, error: Exception) -> StoreError:
        missing = isinstance(error, FileNotFoundError)
        return StoreError(
            self._path(block_id),
            found="no such block" if missing else f"a damaged block ({error})",
            wanted=f"block {block_id} of plan {self.plan_id}",
            remedy="continue the run, which computes the blocks that are missing",
        )


def _names(header: _Header) -> tuple[str, ...]:
    return tuple(array["name"] for array in header["arrays"])


def _hash(data: Bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_HASH_BYTES).digest()


def _pack(array: NDArray[np.generic]) -> bytes:
    # Bytes of equal rank side by side: sums are multiples of 256 away from the cross-fade, so half of them are zeros.
    planes = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize).T
    return zlib.compress(planes.tobytes(), level=1)


def _read_payload(file: BufferedReader, array: _Array) -> bytearray:
    """The bytes of an array as they are kept, from a file that stands where they begin."""
    data = bytearray(array["nbytes"])
    if file.readinto(data) != array["nbytes"] or _hash(data).hex() != array["blake2b"]:
        raise _DamagedError(f"array {array['name']!r} does not have its hash")
    return data


def _read_array(file: BufferedReader, array: _Array) -> NDArray[np.generic]:
    """An array that its owner may write to, from a file that stands at the end of its header."""
    file.seek(array["offset"], os.SEEK_CUR)
    dtype, payload = np.dtype(array["dtype"]), _read_payload(file, array)
    if array.get("raw"):
        return np.frombuffer(payload, dtype).reshape(array["shape"])
    planes = np.frombuffer(zlib.decompress(payload), np.uint8).reshape(dtype.itemsize, -1)
    return np.array(planes.T, order="C").reshape(-1).view(dtype).reshape(array["shape"])  # a copy


def _write_durably(path: Path, parts: Sequence[Bytes]) -> None:
    """The file holds these bytes for good, or is as it was before."""
    own = f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{own}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Names in the folder survive a crash of the machine, where the system can promise that (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
