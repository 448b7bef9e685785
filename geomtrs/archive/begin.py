"""How a batch begins in a folder: with a new ledger, or with that of one that died; another one is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from geomtrs.archive.ledger import NAME, Ledger, add, create, read_asked, rows
from geomtrs.archive.scene import Scene
from geomtrs.errors import JobError
from geomtrs.lock import only_one
from geomtrs.outputs import checksums
from geomtrs.state import clear, hidden


@contextmanager
def only_batch(folder: Path) -> Iterator[None]:
    """The folder is there and no other batch works in it."""
    try:
        with only_one(hidden(folder) / "lock"):
            yield
    finally:
        with suppress(OSError):  # another batch holds it
            hidden(folder).rmdir()


def open_ledger(folder: Path, asked: Mapping[str, Any], scenes: Sequence[Scene], *, fresh: bool) -> Ledger:
    """The ledger of a batch, with the scenes that are new in its source; begun where there is none, or `fresh`.

    asked  what decides the answers, JSON-able

    A scene that is told otherwise than before is a new one. Raises JobError naming one of them that is done, or what is
    asked otherwise.
    """
    path = folder / NAME
    if fresh or not path.exists():
        create(path, asked, scenes, fresh=fresh)
        return Ledger(path)
    _refuse_other(path, read_asked(path), asked)
    known = {row.scene.id: row for row in rows(path)}
    listed = {scene.id: scene for scene in scenes}
    both = sorted(known.keys() & listed.keys())
    anew = {name: words for name in both if (words := _difference(known[name].scene, listed[name]))}
    for name, difference in anew.items():
        if known[name].status == "done" and checksums.complete(folder / name):
            raise _other(path, f"scene {name}: {difference}", f"tell it as before, or remove {folder / name}")
    ledger = Ledger(path)
    for name in anew:
        clear(folder / name)
        ledger.forget(name)
        del known[name]
    add(path, [scene for scene in scenes if scene.id not in known])
    for name, row in known.items():
        scene_now = listed.get(name)
        if row.status == "done":  # it is answered, whatever is wanted now
            if not checksums.complete(folder / name):
                ledger.set(name, "pending" if name in listed else "skipped", "its folder is gone, or a file in it")
            continue
        if scene_now is None:
            ledger.set(name, "skipped", "no longer in the source")
        elif scene_now.status != "pending" or row.status in {"running", "skipped"}:
            ledger.set(name, scene_now.status, scene_now.reason)
    return ledger


def _refuse_other(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if names:
        raise _other(
            path, "; ".join(f"{name}: {_words(then.get(name))}, not {_words(now.get(name))}" for name in names[:3])
        )


def _difference(then: Scene, now: Scene) -> str:
    """How a scene is told otherwise than before, "" where it is not."""
    words = [
        f"{name} {_words(getattr(then, name))}, not {_words(getattr(now, name))}"
        for name in ("images", "dates", "aoi")
        if getattr(then, name) != getattr(now, name)
    ]
    return "; ".join(words)


def _other(
    path: Path, difference: str, remedy: str = "ask the same, choose another --out, or start over with --fresh"
) -> JobError:
    return JobError(
        path,
        found=f"a batch of other questions ({difference})",
        wanted="the same questions, model and settings",
        remedy=remedy,
    )


def _words(value: Any) -> str:  # noqa: ANN401 - whatever a spec holds
    """A value of a spec for people: sentences in quotes, lists with commas, nothing as `none`."""
    if isinstance(value, list | tuple):
        text = ", ".join(f"“{one['text']}”" if isinstance(one, dict) else str(one) for one in value) or "none"
    else:
        text = "none" if value is None else str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
