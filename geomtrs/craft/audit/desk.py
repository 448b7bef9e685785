"""The desk without its server: items, what each auditor said of them, and how a further word gets to the disk."""

from __future__ import annotations

import functools
import io
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geomtrs.craft.audit import decisions
from geomtrs.craft.audit.decisions import Decision, keep_mask, mended_mask, standing
from geomtrs.craft.audit.items import Audited, Item, Side
from geomtrs.craft.protocols import Bool
from geomtrs.data.pictures import UNREADABLE
from geomtrs.errors import QueryError
from geomtrs.outputs.encoding import png

CACHED = 64  # pictures


class Desk:
    """What is audited and what each auditor said so far; safe to ask from several threads."""

    def __init__(
        self, folder: Path, audited: Audited, auditors: Sequence[str], note: Callable[[str], None] = print
    ) -> None:
        """Read what is decided already; `note` tells of a line that was torn."""
        self.folder, self.audited = folder, audited
        self.items = {item.id: item for item in audited.items}
        self.tokens = {secrets.token_urlsafe(18): auditor for auditor in auditors}
        self._said = {auditor: decisions.read(folder, auditor, note) for auditor in auditors}
        self._lock = threading.Lock()
        self.picture: Callable[[str, Side], bytes] = functools.lru_cache(maxsize=CACHED)(self._picture)

    def listed(self, auditor: str) -> dict[str, Any]:
        """All items with what this auditor said; of the others only who decided, so that no word sways another."""
        with self._lock:
            own = standing(self._said[auditor])
        others = {
            name: standing(lines).keys() for name, lines in decisions.read_all(self.folder).items() if name != auditor
        }
        items = [
            item.to_dict()
            | {"said": _told(own.get(item.id)), "by": [name for name, said in others.items() if item.id in said]}
            for item in self.items.values()
        ]
        return {
            "title": self.audited.title, "auditor": auditor, "words": self.audited.mends_words, "items": items,
            "last": next((item for item in reversed(own) if item in self.items), None),
        }  # fmt: skip

    def decide(self, auditor: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """The decision is on disk. Raises QueryError where it is none."""
        told = {key: document[key] for key in ("item", "verdict", "reason", "sentence", "mask") if key in document}
        if told.get("item") not in self.items or told.get("verdict") not in ("accept", "reject"):
            raise _wrong(str(told), "accept or reject of an item that is here")
        decision = Decision(**told, auditor=auditor)
        if decision.mask is not None:
            mended_mask(self.folder, decision.mask)
        with self._lock:
            decisions.append(self.folder, [decision])
            self._said[auditor].append(decision)
        return {"item": decision.item, "said": _told(decision)}

    def undo(self, auditor: str) -> dict[str, Any]:
        """The auditor's last word is taken back, on disk; what stands of its item now, nothing where none was left."""
        with self._lock:
            last = next((item for item in reversed(standing(self._said[auditor])) if item in self.items), None)
            if last is None:
                return {"item": None, "said": None}
            decision = Decision(last, "undo", auditor)
            decisions.append(self.folder, [decision])
            self._said[auditor].append(decision)
            return {"item": last, "said": _told(standing(self._said[auditor]).get(last))}

    def keep(self, item: str, content: bytes) -> dict[str, str]:
        """The PNG's mask is on disk. Raises QueryError where it does not fit the item or is empty."""
        return {"mask": keep_mask(self.folder, _read_mask(content, self._item(item)))}

    def mask(self, item: str, name: str | None) -> bytes:
        """PNG of the mask as it was proposed, or of a mended one by its hash."""
        found = self.audited.mask(self._item(item)) if name is None else mended_mask(self.folder, name)
        return png(found.astype(np.uint8) * np.uint8(255))

    def _picture(self, item: str, side: Side) -> bytes:
        return self.audited.picture(self._item(item), side)

    def _item(self, name: str) -> Item:
        if name not in self.items:
            raise _wrong(name, "an item that is here")
        return self.items[name]


def _told(decision: Decision | None) -> dict[str, Any] | None:
    """What the page shows of a word."""
    if decision is None:
        return None
    return {
        "verdict": decision.verdict, "reason": decision.reason, "sentence": decision.sentence, "mask": decision.mask,
    }  # fmt: skip


def _read_mask(content: bytes, item: Item) -> Bool:
    """(H, W) of a PNG: where it is opaque, or bright where it knows no transparency."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if (image.height, image.width) == item.shape:
                return np.asarray(image.getchannel("A") if "A" in image.getbands() else image.convert("L")) > 127
            found = f"{image.height} × {image.width} px"
    except UNREADABLE as error:
        found = f"no PNG that reads ({error})"
    raise _wrong(found, f"a PNG of {item.shape[0]} × {item.shape[1]} px")


def _wrong(found: str, wanted: str) -> QueryError:
    return QueryError("the desk", found=found, wanted=wanted, remedy="load the page again")
