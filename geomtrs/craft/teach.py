"""What was crafted about a pair as the labels that training of nano reads: `A/ B/ labelA/ labelB/ mask/` of one set.

Nano learns things that come and go. A finding tells that its thing is at one date and not at the other, and nothing of
other things; the rule "crafted" of `geomtrs.data.labels` reads the values that are written here. What the labels of the
input know to be nowhere stands beside them in samples.jsonl ("absent", "unchanged"): who is only ever asked for what is
there learns to answer everything with something.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geomtrs.craft.ledger import Quiet, Triplet, read_mask
from geomtrs.craft.protocols import Bool
from geomtrs.data.labels import ANYTHING, CRAFTED_NOT
from geomtrs.data.pictures import read_picture
from geomtrs.outputs.encoding import png, webp

SET = "crafted"  # the rule by which the labels are read
ALL_KNOWN = 0.999  # of the picture, for the rest of it to be told as without change


def write_taught(
    folder: Path, name: str, split: str, quiet: Quiet, told: Sequence[tuple[Triplet, Bool]], crafted: Path
) -> dict[str, Any] | None:
    """The pair's line of samples.jsonl, once its planes are written; None where nothing of it can be learned.

    quiet    what its labels know to be nowhere; where that is all, it teaches what is no change
    told     its triplets with their masks, as people left them
    crafted  the set's folder, for the masks of findings
    """
    before, after = (np.zeros(quiet.shape, np.uint8) for _ in range(2))
    changed = np.zeros(before.shape, bool)
    seen: dict[str, tuple[Triplet, Bool]] = {}  # by finding: its whole mask, mended where that was
    for triplet, mask in told:
        whole = triplet.found == triplet.crafted_mask
        if whole or triplet.found not in seen:
            seen[triplet.found] = triplet, mask if whole else read_mask(crafted, triplet.found)
    for triplet, mask in seen.values():
        changed |= mask
        thing, source, way = (triplet.finding[key] for key in ("thing", "source", "way"))
        if thing is None or thing == ANYTHING or way == "changed":
            continue
        without, with_it = (after, before) if way == "disappeared" else (before, after)
        with_it[mask] = thing + 1
        if source is None:
            without[mask & ((without == 0) | (without > CRAFTED_NOT))] = CRAFTED_NOT + thing + 1
        else:
            without[mask] = source + 1
    if not before.any() and not after.any() and (told or not any(quiet.things.values())):
        return None
    sure = all(triplet.known >= ALL_KNOWN for triplet, _ in told)
    planes = {"labelA": before, "labelB": after, "mask": np.where(changed | (not sure), 255, 0).astype(np.uint8)}
    for plane, values in planes.items():
        (folder / plane).mkdir(parents=True, exist_ok=True)
        (folder / plane / f"{name}.png").write_bytes(png(values))
    for side, file in zip("AB", quiet.files, strict=True):
        (folder / side).mkdir(exist_ok=True)
        (folder / side / f"{name}.webp").write_bytes(webp(read_picture(file)))
    facts = {"name": name, "scene": quiet.place, "gsd_m": quiet.gsd_m, "split": split, "direction": "mixed"}
    return facts | {key: list(things) for key, things in quiet.things.items()}
