"""Files damaged by a seeded hand, and the command line asked about each in a process with bounds of time and memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

PROCESSOR_S = 10
LIMIT_S = 60.0  # on a machine that is busy with other things
MEMORY_BYTES = 2 << 30

# Children of a process that has everything imported start in milliseconds, so that the time limit is the run's alone.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tests.faults.mutants",
        "tests.faults.judge",
        "geomtrs.cli.app",
        "geomtrs.models.differencing",
        "geomtrs.archive.batch",
    ]
)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal that killed it), None where it had to be stopped."""

    code: int | None
    said: str

    @property
    def fault(self) -> str:
        """What a user must never meet, in a word; nothing where the end was an orderly one."""
        if self.code is None or self.code == -signal.SIGXCPU:
            return "hang"
        if self.code < 0:
            return "crash"
        if "Traceback" in self.said or "a fault of geomtrs" in self.said:
            return "traceback"
        if self.code not in {0, 1, 2, 3}:
            return "exit code"
        reason = any(word in self.said for word in ("error:", "failed"))  # a batch says which scenes failed
        return "no reason" if self.code and not reason else ""


def alone(work: Callable[..., None], *arguments: object, log: Path) -> Ended:
    """`work` done in a process of its own, its streams in a file."""
    process = _CONTEXT.Process(target=_bounded, args=(work, arguments, log))
    process.start()
    process.join(LIMIT_S)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    return Ended(code, log.read_text("utf-8", "replace") if log.exists() else "")


def command(*words: str) -> None:
    """What a user types after `geomtrs`; ends the process."""
    from geomtrs.cli import main

    main(list(words))


def _bounded(work: Callable[..., None], arguments: Sequence[object], log: Path) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    work(*arguments)


def damage(content: bytes, random: Random) -> bytes:
    """The bytes of a file, damaged in one of the ways that disks, cables and people know."""
    return random.choice(_WAYS)(bytearray(content), random)


def _flip_in(first: int, last: int) -> Callable[[bytearray, Random], bytes]:
    def flip(content: bytearray, random: Random) -> bytes:
        end = min(len(content), last)
        for _ in range(random.choice((1, 2, 8))):
            content[random.randrange(min(first, end - 1), end)] ^= 1 << random.randrange(8)
        return bytes(content)

    return flip


def _cut(content: bytearray, random: Random) -> bytes:
    return bytes(content[: random.randrange(len(content))])


def _blank(content: bytearray, random: Random) -> bytes:
    """A stretch of zeros or ones, as a lost sector reads."""
    start = random.randrange(len(content))
    length = min(random.choice((4, 64, 512, 4096)), len(content) - start)
    content[start : start + length] = bytes([random.choice((0, 255))]) * length
    return bytes(content)


def _move(content: bytearray, random: Random) -> bytes:
    """A piece taken out here and put in there: tags swapped, lines out of order."""
    start, length = random.randrange(len(content)), random.choice((1, 12, 100))
    piece = content[start : start + length]
    del content[start : start + length]
    place = random.randrange(len(content) + 1)
    return bytes(content[:place] + piece + content[place:])


def _swap_entries(content: bytearray, random: Random) -> bytes:
    """Two entries of twelve bytes near the head exchanged: in a TIFF two tags, or parts of them."""
    one, two = (8 + 2 + 12 * random.randrange(20) for _ in range(2))
    content[one : one + 12], content[two : two + 12] = content[two : two + 12], content[one : one + 12]
    return bytes(content)


def _number(content: bytearray, random: Random) -> bytes:
    """A number near the head that is another one: a width, a count, an offset."""
    place = random.randrange(min(len(content) - 4, 600))
    value = random.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 65535, random.getrandbits(32)))
    content[place : place + 4] = value.to_bytes(4, "little")
    return bytes(content)


def _digits(content: bytearray, random: Random) -> bytes:
    """In a text, a number that means nothing or too much; in binary, what looks like one."""
    places = [at for at, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return _cut(content, random)
    at = random.choice(places)
    told = random.choice((b"-1", b"0", b"NaN", b"1e308", b"99999999999", b"", b"'", b"<", b"\xff\xfe"))
    return bytes(content[:at] + told + content[at + 1 :])


_WAYS = (_flip_in(0, 600), _flip_in(0, 1 << 30), _cut, _blank, _move, _swap_entries, _number, _digits)
