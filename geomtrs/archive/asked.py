"""What every scene of a batch is asked, and whether one is answered already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Unpack

from geomtrs.archive.discover import discover
from geomtrs.archive.scene import Scene, Selection
from geomtrs.errors import GeomtrsError, JobError, QueryError
from geomtrs.inputs import InputFile
from geomtrs.job import Start
from geomtrs.options import Options, job_spec, located
from geomtrs.outputs import checksums, record
from geomtrs.query import Query
from geomtrs.recording import read_record
from geomtrs.scene import area_of
from geomtrs.spec import JobSpec
from geomtrs.state import JobState, read_state

# Stand for the images of a scene where only the questions count; nothing is read of them.
_ANY = ("/vsimem/before", "/vsimem/after")
# Has no say in the answers, or is each scene's own.
_NOT_KEPT = frozenset({"images", "out", "run", "dates", "keep_features", "features"})
_OF_A_SCENE = ("dates", "cloud_masks", "pixels")


class SceneOptions(Options, total=False):
    """Options of every scene (without dates, cloud masks and plain pictures), and what of the source is meant.

    pattern, series, asset, max_cloud, bbox, datetime, collections   see Selection
    """

    pattern: str | None
    series: bool
    asset: str
    max_cloud: float
    bbox: str | None
    datetime: str | None
    collections: Sequence[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to all scenes of a source: a spec that still lacks images, and which of the source are meant."""

    source: str
    spec: JobSpec
    selection: Selection

    @property
    def folder(self) -> Path:
        """Of all outputs."""
        return Path(self.spec.out)

    def scenes(self) -> list[Scene]:
        """What the source holds.

        Raises QueryError for no source, OptionError for an area that does not read, GeomtrsError where there is nothing
        to ask.
        """
        found = discover(self.source, self.selection, area_of(self.spec))
        if not any(scene.status == "pending" for scene in found):
            why = "; ".join(f"{scene.id}: {scene.reason}" for scene in found[:3])
            raise GeomtrsError(
                self.source,
                found=f"no scene to ask{f' ({why})' if why else ''}",
                wanted="two dates of one place",
                remedy="see geomtrs batch --help for how scenes are found",
            )
        return found

    def of(self, scene: Scene) -> JobSpec:
        """The spec of one scene, as `detect` would make it of the same words (F6)."""
        return replace(
            self.spec,
            images=tuple((located(image),) for image in scene.images),
            out=str(self.folder / scene.id),
            dates=scene.dates,
            aoi=scene.aoi or self.spec.aoi,
            aoi_crs=None if scene.aoi else self.spec.aoi_crs,
        )

    def record(self, model_hash: str) -> dict[str, Any]:
        """What decides the answers, as the ledger keeps it."""
        spec = self.spec.to_dict()
        told = {name: value for name, value in spec.items() if name not in _NOT_KEPT}
        return {"source": located(self.source), **told, "weights_hash": model_hash}


def asked_of(
    source: str, query: str | Query | Sequence[str | Query], out: str, **options: Unpack[SceneOptions]
) -> Asked:
    """What was said, checked. Raises QueryError for what cannot be asked of many scenes."""
    told: dict[str, Any] = dict(options)
    for name in _OF_A_SCENE:
        if told.pop(name, None):
            raise QueryError(
                name, found="said for all scenes", wanted="said of each", remedy="name them in a table of pairs"
            )
    chosen = {one.name: told.pop(one.name) for one in fields(Selection) if told.get(one.name) is not None}
    told = {name: value for name, value in told.items() if name not in {one.name for one in fields(Selection)}}
    told["assume_crs"] = chosen.get("assume_crs")
    chosen["collections"] = tuple(chosen.get("collections", ()))
    spec = job_spec(_ANY, query, out, **told)
    return Asked(source, spec, Selection(**chosen, without=spec.out))


def start_of(spec: JobSpec, model_hash: str, *, replaces: bool) -> Start | None:
    """How a scene begins; None where its folder holds the whole answer of the same spec, images and weights.

    replaces  what lies there of other questions may go: the batch was begun afresh

    A run that died goes on. An answer is made again where it lacks a file, or its images are no longer what they were.
    """
    folder = Path(spec.out)
    try:
        begun = read_state(folder)
    except JobError:  # detect says it better
        return Start(fresh=replaces)
    if begun is not None:
        same = not begun.spec.differences(spec) and begun.model_hash == model_hash
        if same and not _touched(begun.inputs):
            return Start(overwrite=replaces)
        return Start(overwrite=same or replaces, fresh=same or replaces)
    found = _answered(folder)
    if found is None:
        return Start(overwrite=replaces)
    same = not found.spec.differences(spec) and found.model_hash == model_hash
    if same and not _touched(found.inputs) and checksums.complete(folder):
        return None
    return Start(overwrite=same or replaces)


def _answered(folder: Path) -> JobState | None:
    """What a finished run in a folder was; its checksums are written last."""
    if not (folder / checksums.NAME).is_file():
        return None
    try:
        return read_record(folder / record.NAME)[0]
    except JobError:
        return None


def _touched(inputs: Sequence[InputFile]) -> bool:
    """Whether an image was written to since. One that is gone was not: its answer stays."""
    for file in inputs:
        try:
            facts = Path(file.path).stat()
        except OSError:
            continue
        if file.size is not None and (facts.st_size, facts.st_mtime_ns) != (file.size, file.mtime_ns):
            return True
    return False
