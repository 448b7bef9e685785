"""Images of an archive → scenes: those of one place that follow each other in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import shapely

from geomtrs.archive.scene import Image, Scene, scene_name, told_apart

# Share of the smaller of two images that must be common ground for them to show one place.
SAME_PLACE = 0.5


def scenes_of(images: Sequence[Image], *, series: bool = False) -> list[Scene]:
    """Every two images that follow each other at a place, in order of their names; what is left over, skipped.

    Two images show one place when they share half the ground of the smaller. Of several of one date, those with the
    same name go together (one band a file); a second one of the same name is skipped.

    series  all dates of a place are one scene, where they are a plain row: no branches, no tiles of different sizes
    """
    ordered = sorted(images, key=lambda image: image.href)
    near = _near(ordered)
    twin = _twins(ordered, near)
    dated = [n for n, image in enumerate(ordered) if image.date and n not in twin]
    pairs = _consecutive(ordered, near, dated)
    rows = _rows(pairs) if series else [list(pair) for pair in pairs]
    used = {n for row in rows for n in row}
    found = [_scene([ordered[n] for n in row]) for row in rows]
    for n, image in enumerate(ordered):
        if n in twin:
            reason = f"the same place and date as {ordered[twin[n]].href}"
        elif image.date is None:
            reason = image.note
        elif n not in used:
            reason = "no other date of this place"
        else:
            continue
        found.append(replace(_scene([image]), status="skipped", reason=reason))
    return told_apart(found)


def _scene(row: Sequence[Image]) -> Scene:
    ground = shapely.intersection_all([image.ground for image in row])
    whole, pixels = row[0].ground.area, row[0].pixels
    return Scene(
        id=scene_name(row),
        images=tuple(image.href for image in row),
        dates=tuple(image.date for image in row) if any(image.told for image in row) else None,
        ground=ground,
        pixels=round(pixels * ground.area / whole) if pixels is not None and whole else None,
    )


def _near(images: Sequence[Image]) -> list[set[int]]:
    """For each image those that show its place."""
    grounds = np.array([image.ground for image in images], object)
    near: list[set[int]] = [set() for _ in images]
    first, second = shapely.STRtree(grounds).query(grounds, predicate="intersects")
    first, second = first[first < second], second[first < second]
    area = shapely.area(grounds)
    # Two footprints of one place are measured alike in degrees: their ratio is that on the ground.
    shared = shapely.area(shapely.intersection(grounds[first], grounds[second]))
    enough = shared >= SAME_PLACE * np.minimum(area[first], area[second])
    for a, b in zip(first[enough].tolist(), second[enough].tolist(), strict=True):
        near[a].add(b)
        near[b].add(a)
    return near


def _twins(images: Sequence[Image], near: Sequence[set[int]]) -> dict[int, int]:
    """Images that another one stands for: of the same place, name and date."""
    twins: dict[int, int] = {}
    for n, image in enumerate(images):
        for other in sorted(near[n]):
            same = images[other].date == image.date and images[other].place == image.place
            if other < n and other not in twins and image.date and same:
                twins[n] = other
                break
    return twins


def _consecutive(images: Sequence[Image], near: Sequence[set[int]], dated: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs (before, after) with no third image between them that goes with both."""
    usable = set(dated)
    # Names of all images of a date around an image: does one of them carry the same name as the other's?
    named: list[Mapping[str | None, set[str]]] = []
    for n in range(len(images)):
        around: dict[str | None, set[str]] = {}
        for other in near[n] & usable:
            around.setdefault(images[other].date, set()).add(images[other].place)
        named.append(around)

    def fit(a: int, b: int) -> bool:
        one, two = images[a], images[b]
        strangers = one.place not in named[a].get(two.date, ()) and two.place not in named[b].get(one.date, ())
        return one.place == two.place or strangers

    later = {
        a: sorted(
            (b for b in near[a] & usable if _before(images[a].date, images[b].date) and fit(a, b)),
            key=lambda b: (images[b].date, b),
        )
        for a in dated
    }
    follows = {a: set(bs) for a, bs in later.items()}
    return [
        (a, b)
        for a in dated
        for k, b in enumerate(later[a])
        if not any(b in follows[c] for c in later[a][:k])
    ]  # fmt: skip


def _rows(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Pairs joined end to end where there is one way to go on; in order of their first image."""
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    for a, b in pairs:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    rows = []
    for a, b in pairs:
        if len(before.get(a, ())) == 1 and len(after[a]) == 1:
            continue  # in the middle of a row
        row = [a, b]
        while len(after.get(row[-1], ())) == 1 and len(before[row[-1]]) == 1:
            row.append(after[row[-1]][0])
        rows.append(row)
    return rows


def _before(one: str | None, two: str | None) -> bool:
    """Earlier beyond doubt: `2019` and `2019-06-01` are one date."""
    length = min(len(one or ""), len(two or ""))
    return bool(length) and (one or "")[:length] < (two or "")[:length]
