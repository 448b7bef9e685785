"""Finished blocks and finished runs of known answers, made without a model: what tests of the outputs start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyogrio
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from geomtrs.inputs import fingerprint
from geomtrs.outputs import project, vector
from geomtrs.outputs.checksums import write_checksums
from geomtrs.outputs.look import Look, SceneReader
from geomtrs.outputs.preview import Caption, write_preview
from geomtrs.outputs.raster import write_answer, write_coverage
from geomtrs.outputs.record import Output, QueryAnswer, RunRecord, role_of, write_run
from geomtrs.outputs.stac import ItemFacts, write_item
from tiling.mosaic import windows
from tiling.plan import Plan, plan
from tiling.stack import CLOUD, HOLE_AT_DATE, OBSERVED, open_stack
from tiling.store import BlockStore
from tiling.vectorize import polygons

SHAPE = (96, 140)
GEOBOX = GeoBox(SHAPE, Affine(10, 0, 500_003.5, 0, -10, 5_100_007.25), "EPSG:32633")
SENTENCE = 'the "big" buildings that appeared: été'
THRESHOLD = 125
ABOUT_ONE = {"mask", "probability", "preview", "style"}


@dataclass(frozen=True)
class KnownAnswer:
    """Probability (H, W) uint8 and coverage (H, W) uint8 of one sentence."""

    probability: NDArray[np.uint8]
    coverage: NDArray[np.uint8]


def known_answer(shape: tuple[int, int] = SHAPE) -> KnownAnswer:
    """Two changed things, one of them with a hole; a corner without data at the second date, a cloud."""
    height, width = shape
    probability = np.full(shape, 20, np.uint8)
    probability[height // 4 : height // 2, width // 4 : width // 2] = 200
    probability[height // 3 : height // 3 + 3, width // 3 : width // 3 + 4] = 30
    probability[height * 3 // 4 : height * 3 // 4 + 4, width * 3 // 4 : width * 3 // 4 + 6] = 125
    probability[height * 3 // 4 - 10, width // 2] = 124
    coverage = np.full(shape, OBSERVED, np.uint8)
    coverage[: height // 8, : width // 8] = HOLE_AT_DATE + 1
    coverage[height * 7 // 8 :, width * 7 // 8 :] = CLOUD
    probability[coverage != OBSERVED] = 255
    return KnownAnswer(probability, coverage)


def stored(folder: Path, answer: KnownAnswer, geobox: GeoBox = GEOBOX) -> tuple[BlockStore, Plan]:
    """The answer as finished blocks of 2 × 2 tiles."""
    work = plan(geobox, tile_px=32, halo_px=4, feather_px=0, block_tiles=2, token="known")
    store = BlockStore(folder, work.id)
    for block in work.blocks:
        rows, cols = block.core.toslices()
        sums = np.where(answer.probability == 255, 0, answer.probability).astype(np.uint16) * np.uint16(256)
        meta = {"tiles": [[tile.row, tile.col] for tile in block.tiles], "existence": [[0.75] for _ in block.tiles]}
        store.put(block.id, {"core/0": sums[rows, cols], "coverage": answer.coverage[rows, cols]}, meta)
    return store, work


@dataclass(frozen=True)
class DrawnStack:
    """Two dates of noise on a grid, cut from arrays: pixels (2, 3, H, W) uint8."""

    geobox: GeoBox
    pixels: NDArray[np.uint8]

    def read(self, window: Window) -> SimpleNamespace:
        rows, cols = window.toslices()
        return SimpleNamespace(pixels=self.pixels[:, :, rows, cols])


def drawn_stack(geobox: GeoBox = GEOBOX) -> DrawnStack:
    return DrawnStack(geobox, np.random.default_rng(3).integers(40, 220, (2, 3, *geobox.shape), dtype=np.uint8))


def drawn_look(geobox: GeoBox = GEOBOX, probability: NDArray[np.uint8] | None = None) -> Look:
    before, after = np.moveaxis(drawn_stack(geobox).pixels, 1, -1)
    return Look(
        before, after, known_answer(tuple(geobox.shape)).probability if probability is None else probability, geobox
    )


def image(path: Path, seed: int, geobox: GeoBox = GEOBOX) -> str:
    """An input of the run: noise on the grid."""
    pixels = np.random.default_rng(seed).integers(0, 255, (3, *geobox.shape), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = geobox.shape
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": height, "width": width}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=geobox.affine, **profile) as raster:
        raster.write(pixels)
    return str(path)


def finished_run(
    base: Path, answer: KnownAnswer | None = None, formats: tuple[str, ...] = ("gpkg",), geobox: GeoBox = GEOBOX
) -> Path:
    """A folder with every output of a run, in `base / "out"`, written by the writers that a run uses."""
    answer = answer or known_answer()
    folder = base / "out"
    folder.mkdir(parents=True)
    inputs = [image(base / "in" / name, seed) for seed, name in enumerate(("2019.tif", "2023.tif"))]
    store, work = stored(base / "blocks", answer, geobox)
    rasters = write_answer(folder, store=store, plan=work, query=0, sentence=SENTENCE, threshold=THRESHOLD)
    totals = write_coverage(folder / "coverage.tif", store=store, plan=work, dates=2)
    found = polygons(windows(store, work, 0), geobox, threshold=THRESHOLD)
    frame = vector.table(found, geobox, query=SENTENCE, dates=("2019", "2023"))
    for suffix in formats:
        vector.write(folder / f"changes.{suffix}", {"changes": frame}, {"changes": SENTENCE})
    look = SceneReader(drawn_stack(geobox), rasters.probability).whole()
    write_preview(folder / "preview.png", look, Caption(SENTENCE, "2019", "2023"), threshold=THRESHOLD)
    bounds = geobox.boundingbox
    shown = project.Layer(SENTENCE, "polygons", "./changes.gpkg|layername=changes", geobox.crs)
    project.write_project(
        folder / project.NAME, project.Project(SENTENCE, geobox.crs, tuple(bounds), (shown,), None, work.id)
    )
    files = sorted(path for path in folder.iterdir())
    outputs = [
        Output(path.name, role_of(path.name), SENTENCE if role_of(path.name) in ABOUT_ONE else None) for path in files
    ] + [Output("item.json", "item")]
    record = RunRecord(
        job={"spec": {"queries": [SENTENCE]}, "inputs": [file.to_dict() for file in fingerprint(inputs)]},
        dates=("2019", "2023"),
        pairs=((0, 1),),
        geobox=geobox,
        stack=open_stack([[path] for path in inputs]).to_dict(),
        plan={"id": work.id, "blocks": len(work.blocks)},
        device={"name": "cpu"},
        queries=[QueryAnswer(SENTENCE, SENTENCE, "", "changes", len(frame))],
        coverage=totals,
        timing_s={"total": 1.23456},
        outputs=outputs,
    )
    facts = ItemFacts("out", geobox, ("2019", "2023"), inputs, [SENTENCE], record.created, {"geomtrs": "0.1.0"})
    write_item(folder, facts, outputs)
    write_run(folder, record)
    write_checksums(folder, [path for path in folder.iterdir() if path.is_file()])
    return folder


def layer_names(path: Path) -> set[str]:
    return {str(name) for name in pyogrio.list_layers(path)[:, 0]}
