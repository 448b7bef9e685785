"""What a batch would do, before it does: its scenes, how much there is to read, how long that may take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from geomtrs.archive.asked import SceneOptions, asked_of
from geomtrs.archive.scene import Scene
from geomtrs.query import Query

# Scene megapixels a second, end to end, one sentence, on two busy cores without a GPU (2048 x 2048 px; base from its
# card): an order of magnitude for any other machine. Models that are not here are not guessed.
SPEED_MPX_S = {"nano": 0.33, "differencing": 1.2, "base": 0.035}
SHOWN = 40


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The scenes of a source: `scenes` would be asked, `left` are not, each with its reason."""

    model: str
    scenes: Sequence[Scene]
    left: Sequence[Scene]

    @property
    def bytes(self) -> int | None:
        """Of all images that are local files, each once; None where none is."""
        sizes = [size for image in {image for scene in self.scenes for image in scene.images} if (size := _size(image))]
        return sum(sizes) if sizes else None

    @property
    def megapixels(self) -> float | None:
        """Of the output grids; None where a scene's is not known before it is read."""
        known = [scene.pixels for scene in self.scenes]
        return None if None in known else sum(pixels or 0 for pixels in known) / 1e6

    @property
    def seconds(self) -> float | None:
        """About how long that takes on two cores; None where nobody knows."""
        speed, size = SPEED_MPX_S.get(self.model), self.megapixels
        return size / speed if speed and size is not None else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, all scenes."""
        return {
            "model": self.model,
            "scenes": [
                {
                    "scene_id": scene.id,
                    "images": list(scene.images),
                    "dates": list(scene.dates) if scene.dates else None,
                    "megapixels": None if scene.pixels is None else scene.pixels / 1e6,
                }
                for scene in self.scenes
            ],
            "left_out": [{"scene_id": scene.id, "status": scene.status, "reason": scene.reason} for scene in self.left],
            "bytes": self.bytes,
            "megapixels": self.megapixels,
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """Lines for people: a table of the scenes, then the totals."""
        width = max(len(scene.id) for scene in self.scenes[:SHOWN])
        lines = [f"{'scene':{width}}  {'Mpx':>9}  {'size':>9}  images"]
        lines += [_line(scene, width) for scene in self.scenes[:SHOWN]]
        if len(self.scenes) > SHOWN:
            lines.append(f"… and {len(self.scenes) - SHOWN:,} more (--json lists all)")
        size, pixels, seconds = self.bytes, self.megapixels, self.seconds
        facts = [
            f"{len(self.scenes):,} scene{'' if len(self.scenes) == 1 else 's'}",
            *([f"{pixels:,.1f} Mpx"] if pixels is not None else []),
            *([_bytes(size)] if size is not None else []),
            *([f"about {_time(seconds)} with {self.model} on two cores"] if seconds is not None else []),
        ]
        lines.append(" · ".join(facts))
        reasons = [scene.reason for scene in self.left]
        for reason in sorted(set(reasons), key=lambda reason: -reasons.count(reason))[:SHOWN]:
            names = [scene.id for scene in self.left if scene.reason == reason]
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            lines.append(f"left out  {', '.join(names[:3])}{more}: {reason}")
        return "\n".join(lines)


def plan_batch(
    source: str | os.PathLike[str],
    *,
    query: str | Query | Sequence[str | Query] = "change",
    out: str | os.PathLike[str] = ".",
    limit: int | None = None,
    **options: Unpack[SceneOptions],
) -> BatchPlan:
    """What `batch` would ask; nothing is written, no model is loaded. Raises as `batch` does for a wrong source."""
    asked = asked_of(os.fspath(source), query, os.fspath(out), **options)
    scenes = asked.scenes()
    wanted = [scene for scene in scenes if scene.status == "pending"]
    left = [scene for scene in scenes if scene.status != "pending"]
    return BatchPlan(asked.spec.model, wanted[:limit], left)


def _line(scene: Scene, width: int) -> str:
    pixels = "?" if scene.pixels is None else f"{scene.pixels / 1e6:,.2f}"
    sizes = [_size(image) for image in scene.images]
    size = "?" if None in sizes else _bytes(sum(one or 0 for one in sizes))
    names = ", ".join(image.replace("\\", "/").rsplit("/", 1)[-1] for image in scene.images)
    return f"{scene.id:{width}}  {pixels:>9}  {size:>9}  {names}"


def _size(image: str) -> int | None:
    """None for what is no local file."""
    try:
        return Path(image).stat().st_size
    except OSError:
        return None


def _bytes(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"


def _time(seconds: float) -> str:
    return (
        f"{seconds / 3600:,.1f} h"
        if seconds >= 5400
        else f"{seconds / 60:,.0f} min"
        if seconds >= 90
        else f"{seconds:.0f} s"
    )
