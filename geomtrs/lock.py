"""One run at a time in a folder: the system holds the lock, so it ends with the process, however that dies."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import psutil

from geomtrs.errors import JobError
from tiling.room import unwritten

log = logging.getLogger(__name__)

# Windows locks bytes against reading too; this one lies far behind the words that tell who holds the lock.
_LOCKED_BYTE = 1 << 30
_WORDS_BYTES = 4096
_NOT_SUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Inside, no other run holds `path`; the file names the pid and host that do and is gone afterwards.

    A lock left by a process that died is noticed and taken over. Raises JobError naming pid and host of a living one,
    OutputError where the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path)
    except OSError as error:
        raise unwritten(path, error, _WORDS_BYTES, remedy="choose another --out") from error
    try:
        yield
    finally:
        # Where an open file can go: while it is still held, since nobody can lock a file that is no longer at its name
        # (_acquire looks). Once it is let go, the file at that name may be another run's.
        if os.name != "posix":
            os.close(descriptor)
        with suppress(OSError):
            path.unlink()
        if os.name == "posix":
            os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            held = _try(descriptor)
            owner = _owner(descriptor)
            if held is False or (held is None and _alive(owner)):
                raise _refusal(path, owner)
            if not _same_file(descriptor, path):
                # Its last holder removed it between our opening and our locking.
                os.close(descriptor)
                continue
            if owner:
                log.warning("%s: left by process %s, which is gone; taken over", path, owner.get("pid"))
            _write(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _try(descriptor: int) -> bool | None:
    """True when the lock is ours, False when another has it, None where the file system knows no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in _NOT_SUPPORTED else False
    return True


def _owner(descriptor: int) -> MappingProxyType[str, object]:
    """What the file tells of its holder; nothing when it is new or does not read."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        told = json.loads(os.read(descriptor, _WORDS_BYTES))
    except (OSError, ValueError):
        told = {}
    return MappingProxyType(told if isinstance(told, dict) else {})


def _write(descriptor: int) -> None:
    me = psutil.Process()
    words = json.dumps({"pid": me.pid, "host": socket.gethostname(), "started": _started(me)})
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, words.encode())
    os.fsync(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return bool(os.path.samestat(os.fstat(descriptor), path.stat()))
    except FileNotFoundError:
        return False


def _alive(owner: MappingProxyType[str, object]) -> bool:
    """Without locks of the file system: a process of this host is asked for, one of another host is believed."""
    if not owner:
        return False
    if owner.get("host") != socket.gethostname():
        return True
    try:
        started = _started(psutil.Process(int(str(owner.get("pid")))))
    except (psutil.Error, ValueError):
        return False
    return bool(abs(started - float(str(owner.get("started", started)))) < 1.0)


def _started(process: psutil.Process) -> float:
    """When a process began, the same whoever asks and however the clock was set in between.

    Linux knows it in seconds since the machine started, and psutil adds the hour of that, which moves with the clock.
    """
    return float(process.create_time() - (psutil.boot_time() if sys.platform == "linux" else 0.0))


def _refusal(path: Path, owner: MappingProxyType[str, object]) -> JobError:
    return JobError(
        path.parent.parent,
        found=f"another run in this folder (process {owner.get('pid', '?')} on {owner.get('host', 'an unknown host')})",
        wanted="a folder that no other run uses",
        remedy=f"wait for it, stop it, or choose another --out; if it is gone for sure, remove {path}",
    )
