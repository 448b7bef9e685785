"""Are the answers of a whole batch still what was written: every scene that is done, and what they add up to."""

from __future__ import annotations

from pathlib import Path

import pyogrio
from pyarrow.lib import ArrowException
from pyarrow.parquet import read_metadata
from pyogrio.errors import DataLayerError, DataSourceError

from geomtrs.archive import ledger
from geomtrs.outputs import verify as outputs
from geomtrs.outputs.verify import Finding
from tiling.errors import OutputError

_ADDED_UP = ("all.gpkg", "all.parquet", "collection.json", "summary.html")


def verify_batch(folder: Path) -> list[Finding]:
    """Everything that is wrong with the outputs of a batch, files named with their scene; empty when they are sound.

    Raises JobError for a ledger that does not read.
    """
    rows = [row for row in ledger.rows(folder / ledger.NAME) if row.status == "done"]
    findings = [Finding(name, "missing") for name in _ADDED_UP if not (folder / name).exists()]
    for row in rows:
        try:
            found = outputs.verify(folder / row.scene.id)
        except OutputError as error:
            found = [Finding("", f"{error.found}, though the ledger says that it is done")]
        findings += [Finding(f"{row.scene.id}/{one.file}".rstrip("/"), one.what) for one in found]
    return [*findings, *_together(folder)]


def _together(folder: Path) -> list[Finding]:
    """Whether the two tables of all polygons hold as many."""
    table, parquet = folder / "all.gpkg", folder / "all.parquet"
    if not (table.exists() and parquet.exists()):
        return []
    try:
        wanted = read_metadata(parquet).num_rows
        layers = [str(layer) for layer in pyogrio.list_layers(table)[:, 0] if layer != "layer_styles"]
        found = sum(pyogrio.read_info(table, layer=layer)["features"] for layer in layers)
    except (DataSourceError, DataLayerError, ArrowException, OSError) as error:
        return [Finding("all.gpkg, all.parquet", f"do not read ({error})")]
    return [] if found == wanted else [Finding("all.gpkg", f"{found} polygons, {wanted} in all.parquet")]
