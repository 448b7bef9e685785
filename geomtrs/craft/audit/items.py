"""What an auditor is shown: the triplets of a crafted set, or anything else that has pictures, words and a mask."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from geomtrs.craft.ledger import KEPT, UNCORRECTED, Ledger, Triplet, read_mask
from geomtrs.craft.protocols import Bool, Check
from geomtrs.data.labels import ANYTHING, THINGS
from geomtrs.data.pictures import read_picture, shape_of
from geomtrs.outputs.encoding import jpeg

Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be judged, as a list tells of it; pictures and mask are asked for when it is looked at.

    pictures  items of one such key show the same two pictures
    shape     rows and columns of pictures and mask
    points    (row, column) at which the question is asked; none: the whole mask is asked about
    """

    id: str
    sentence: str
    kind: str
    thing: str
    pictures: str
    note: str
    shape: tuple[int, int]
    checks: tuple[Check, ...] = ()
    points: tuple[tuple[int, int], ...] = ()

    @property
    def failed(self) -> int:
        """How many rules are not content."""
        return sum(not check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """As the page reads it: what failed comes first."""
        checks = sorted(self.checks, key=lambda check: check.passed)
        return {
            "id": self.id, "sentence": self.sentence, "kind": self.kind, "thing": self.thing,
            "pictures": self.pictures, "note": self.note, "shape": self.shape, "points": self.points,
            "checks": [{"rule": one.rule, "passed": one.passed, "saw": one.saw} for one in checks],
        }  # fmt: skip


class Audited(Protocol):
    """Something that people look through."""

    @property
    def title(self) -> str:
        """What the page calls it."""

    @property
    def mends_words(self) -> bool:
        """Whether its sentences may be changed."""

    @property
    def items(self) -> Sequence[Item]:
        """In the order in which they are shown."""

    def picture(self, item: Item, side: Side) -> bytes:
        """JPEG of one date, of the item's shape."""

    def mask(self, item: Item) -> Bool:
        """(H, W) as it was proposed."""


class TripletSet:
    """The triplets of a crafted set, kept and uncorrected ones; those that failed a rule come first."""

    mends_words = True

    def __init__(self, folder: Path, *, sample: int | None = None, seed: int = 0) -> None:
        """Read the ledger. `sample`: only so many, the same for everybody who gives the same seed."""
        self.folder, self.title = folder, folder.resolve().name
        with Ledger(folder) as ledger:
            triplets, checks = [*ledger.triplets(KEPT), *ledger.triplets(UNCORRECTED)], ledger.checks()
        if sample is not None:
            triplets = sorted(triplets, key=lambda one: lot(seed, one.id))[:sample]
        self._triplets = {one.id: one for one in triplets}
        shapes: dict[Path, tuple[int, int]] = {}
        found = [_item(one, checks[one.id], shapes) for one in triplets]
        self.items: Sequence[Item] = sorted(found, key=lambda item: -item.failed)

    def picture(self, item: Item, side: Side) -> bytes:
        """JPEG of one date. Raises DataError where the file no longer reads."""
        return jpeg(read_picture(self._triplets[item.id].files[side == "after"]))

    def mask(self, item: Item) -> Bool:
        """(H, W) as it was crafted."""
        return read_mask(self.folder, self._triplets[item.id].mask)


def _item(triplet: Triplet, checks: tuple[Check, ...], shapes: dict[Path, tuple[int, int]]) -> Item:
    file = triplet.files[0]
    if file not in shapes:
        shapes[file] = shape_of(file)
    ground = "" if triplet.gsd_m is None else f" · {triplet.gsd_m:g} m"
    return Item(
        id=triplet.id,
        sentence=triplet.sentence,
        kind=triplet.kind,
        thing=thing_of(triplet),
        pictures=hashlib.blake2b(triplet.pair.encode(), digest_size=8).hexdigest(),
        note=f"{triplet.pair}{ground} · {triplet.pixels:,} px",
        shape=shapes[file],
        checks=checks,
    )


def thing_of(triplet: Triplet) -> str:
    """The thing's name where it is one of ours, else the noun that was found."""
    thing = triplet.finding["thing"]
    return str(triplet.finding["noun"]) if thing is None or thing == ANYTHING else THINGS[thing]


def lot(seed: int, name: str) -> bytes:
    """A random order that does not change when triplets are added."""
    return hashlib.blake2b(f"{seed}\n{name}".encode(), digest_size=8).digest()
