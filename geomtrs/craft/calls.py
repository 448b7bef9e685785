"""Calls of models in the ledger: one is written down before it is made, and its answer before it is used.

Nothing that was answered is asked again. Of a call that was under way when the run was killed nobody can know whether
it was answered: it is made again, under the same idempotency key, and both count.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geomtrs.craft.protocols import Ask, Question, Reply, StoppedError
from tiling.errors import TilingError
from tiling.room import unwritten

CHANGE_BYTES = 64 * 1024  # the pages of one change, in the journal and in the file
CALLS = """
CREATE TABLE sent (key TEXT PRIMARY KEY, times INTEGER);
CREATE TABLE calls (
    key TEXT PRIMARY KEY, pair TEXT, stage TEXT, model TEXT, turn INTEGER, prompt TEXT, pictures TEXT, answer TEXT,
    tokens_in INTEGER, tokens_out INTEGER, seconds REAL);"""


@dataclass(frozen=True, slots=True)
class Budget:
    """What models may be asked over all runs of a set: calls, and money by the price of 1,000 tokens in and out.

    A call's cost is known when it is over, so those under way are counted as the dearest so far: a first batch of calls
    of `at_once` pairs may pass the limit, nothing after it does by more than one of them costs beyond that. Those that
    a kill cut off count as calls, and as the dearest.
    """

    calls: int | None = None
    cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """What so many tokens cost."""
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1000


class Calls:
    """The calls of an open ledger; from any thread."""

    def __init__(self, database: sqlite3.Connection, lock: threading.Lock, path: Path) -> None:
        """In a database that others change under the same lock."""
        self._database, self._lock, self._path = database, lock, path

    def asking(self, pair: str, *, budget: Budget) -> Ask:
        """How a stage asks about a pair; beyond the budget StoppedError."""

        def ask(question: Question, call: Callable[[], Reply]) -> str:
            told = (pair, question.stage, question.model, question.turn, question.prompt, *question.hashes)
            key = hashlib.blake2b(repr(told).encode(), digest_size=16).hexdigest()
            with self._lock:
                found = self._database.execute("SELECT answer FROM calls WHERE key = ?", (key,)).fetchone()
            if found:
                return str(found[0])
            self._send(key, budget)
            begun = time.perf_counter()
            try:
                reply = call()
            except Exception:
                self._not_sent(key)  # it is known that no answer came
                raise
            row = (
                key, *told[:4], question.prompt, json.dumps(question.hashes), reply.text, reply.tokens_in,
                reply.tokens_out, time.perf_counter() - begun,
            )  # fmt: skip
            with self._changing():
                self._database.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(row))})", row)
            return reply.text

        return ask

    def counts(self) -> dict[str, int]:
        """How many were answered, their tokens, and how many were sent whose answer is not here: under way, or cut off
        by a kill.
        """
        with self._lock:
            made, tokens_in, tokens_out, sent = self._spent()
        return {"made": made, "tokens_in": tokens_in, "tokens_out": tokens_out, "unanswered": sent - made}

    def _spent(self) -> tuple[int, int, int, int]:
        """Calls answered, tokens in and out, calls sent."""
        answered = "SELECT count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0) FROM calls"
        ((sent,),) = self._database.execute("SELECT coalesce(sum(times), 0) FROM sent").fetchall()
        ((made, tokens_in, tokens_out),) = self._database.execute(answered).fetchall()
        return made, tokens_in, tokens_out, sent

    def _send(self, key: str, budget: Budget) -> None:
        """One more call is written down as sent, unless that may be more than the budget."""
        dearest = "SELECT coalesce(max(tokens_in * ? + tokens_out * ?), 0) / 1000 FROM calls"
        with self._changing():
            made, *tokens, sent = self._spent()
            if budget.calls is not None and sent >= budget.calls:
                raise self._over(f"{sent} calls made", f"no more than {budget.calls}", "--max-calls")
            if budget.cost is not None:
                ((most,),) = self._database.execute(dearest, (budget.price_in, budget.price_out)).fetchall()
                cost = budget.of(*tokens)
                if cost + (sent - made + 1) * most > budget.cost:
                    raise self._over(f"{cost:.4g} spent, a call up to {most:.2g}", f"≤ {budget.cost:g}", "--max-cost")
            again = "INSERT INTO sent VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1"
            self._database.execute(again, (key,))

    def _not_sent(self, key: str) -> None:
        with self._changing():
            self._database.execute("UPDATE sent SET times = times - 1 WHERE key = ?", (key,))

    def _over(self, found: str, wanted: str, option: str) -> StoppedError:
        return StoppedError(
            self._path.parent, found=found, wanted=wanted, remedy=f"run the same again with a larger {option}"
        )

    def _changing(self) -> Changing:
        return Changing(self._database, self._lock, self._path)


class Changing:
    """One transaction, by one thread at a time; taken back where it fails."""

    def __init__(self, database: sqlite3.Connection, lock: threading.Lock, path: Path) -> None:
        """Begins when it is entered."""
        self._database, self._lock, self._path = database, lock, path

    def __enter__(self) -> None:
        """Nobody else changes anything until it is left."""
        self._lock.acquire()
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._lock.release()
            raise self._refusal(error) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """On disk, or as it was."""
        try:
            self._database.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as fault:
            raise self._refusal(fault) from fault
        finally:
            self._lock.release()
        if isinstance(error, sqlite3.Error):
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.Error) -> TilingError:
        remedy = "free some space, close what has it open, then run the same again"  # a quota is told by no number
        return unwritten(self._path, error, CHANGE_BYTES, remedy=remedy)
