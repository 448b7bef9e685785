"""What a run leaves to be read by others and by itself: a QGIS project, item.json, run.json, checksums.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomtrs.device import Device
from geomtrs.errors import JobError, QueryError
from geomtrs.finish import Answered, Written, failure_facts
from geomtrs.outputs.checksums import write_checksums
from geomtrs.outputs.record import Output, QueryAnswer, RunRecord, role_of, versions, write_run
from geomtrs.outputs.stac import ItemFacts, write_item
from geomtrs.showing import write_run_project
from geomtrs.state import JobState
from tiling.engine import BlockFailure

_AFTER = ("item.json", "run.json")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took: seconds by part, the peak of memory in bytes, what was given up (--keep-going), and what the
    image features take that it kept.
    """

    timing_s: Mapping[str, float]
    peak_bytes: int
    failed: Sequence[BlockFailure]
    features_bytes: int = 0


def write_record(job: Answered, written: Written, state: JobState, device: Device, cost: Cost) -> None:
    """project.qgz, item.json, run.json and checksums.json, in this order: a folder with checksums is whole.

    Raises OutputError where one cannot be written.
    """
    files = (*written.files, write_run_project(job, written.bounds))
    outputs = (*(_output(job, path) for path in files), Output("item.json", "item"))
    record = RunRecord(
        job=state.to_dict(),
        dates=job.scene.dates,
        pairs=job.scene.pairs,
        geobox=job.plan.geobox,
        stack=job.scene.stack.to_dict(),
        plan=_plan(job),
        device=device.to_dict(),
        queries=[
            QueryAnswer(query.text, query.model_text, str(query.scene_part), layer, written.polygons[layer])
            for query, layer in zip(job.spec.queries, job.names.layers, strict=True)
        ],
        coverage=written.coverage,
        timing_s=cost.timing_s,
        outputs=outputs,
        peak_bytes=cost.peak_bytes,
        features_bytes=cost.features_bytes,
        warnings=(*job.scene.notes, *written.notes),
        failed_blocks=[failure_facts(failure) for failure in cost.failed],
    )
    facts = ItemFacts(
        name=job.folder.name,
        geobox=job.plan.geobox,
        dates=job.scene.dates,
        inputs=[file for files in job.spec.images for file in files],
        queries=[query.text for query in job.spec.queries],
        created=record.created,
        software=versions(),
    )
    write_item(job.folder, facts, outputs)
    write_run(job.folder, record)
    write_checksums(job.folder, [*files, *(job.folder / name for name in _AFTER)])


def read_record(path: Path) -> tuple[JobState, Device]:
    """What a run.json says was asked of what, and where it was computed.

    Raises JobError for a file that is no record of a run.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return JobState.from_dict(document["job"]), Device(**document["device"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, QueryError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise JobError(
            path,
            found="no such file" if missing else f"a record that does not read ({type(error).__name__}: {error})",
            wanted="the run.json of a finished run",
            remedy="check the path",
        ) from error


def _output(job: Answered, path: Path) -> Output:
    """A file and what it is about; those of one answer say of which."""
    for channel in job.names.channels():
        if path.name in {channel.file(kind, suffix) for kind, suffix in _OF_CHANNEL}:
            before, after = job.dates_of(channel)
            return Output(path.name, role_of(path.name), job.spec.queries[channel.query].text, before, after)
    return Output(path.name, role_of(path.name))


_OF_CHANNEL = (("mask", "tif"), ("mask", "qml"), ("probability", "tif"), ("probability", "qml"), ("preview", "png"))


def _plan(job: Answered) -> dict[str, Any]:
    plan = job.plan
    return {
        "id": plan.id,
        "tile_px": plan.tile_px,
        "halo_px": plan.halo_px,
        "feather_px": plan.feather_px,
        "enlarge": job.scene.times,
        "block_tiles": plan.block_tiles,
        "blocks": len(plan.blocks),
        "tiles": plan.tile_count,
    }
