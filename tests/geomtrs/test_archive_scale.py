"""Archives of many scenes: how long they take to plan and to keep the books of, and what stays in memory (G2, G5)."""

from __future__ import annotations

import logging
import statistics
import time
from pathlib import Path

import pytest
import rasterio
from affine import Affine

import geomtrs
from geomtrs import memory
from geomtrs.archive import batch
from geomtrs.archive.batch import SceneEnded
from geomtrs.archive.ledger import rows
from geomtrs.archive.plan import plan_batch
from geomtrs.result import ChangeResult
from tests.geomtrs.test_archive import SENTENCE, archive, ask

log = logging.getLogger(__name__)

# nano over 1024 x 1024 px on one core, docs/scale.md.
SCENE_S = 0.96


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_200_scenes_with_two_broken_ones_end_with_198_answers_and_flat_memory_g2(tmp_path: Path) -> None:
    archive(tmp_path / "in", 200)
    for name in ("tile7_2023.tif", "tile150_2019.tif"):
        path = tmp_path / "in" / name
        path.write_bytes(path.read_bytes()[:2000])  # its header is whole: found as a scene, and fails when it is read
    held: list[int] = []
    began, used = time.monotonic(), time.process_time()
    result = geomtrs.batch(
        tmp_path / "in",
        query=SENTENCE,
        model="differencing",
        out=tmp_path / "out",
        on_event=lambda event: held.append(memory.now()) if isinstance(event, SceneEnded) else None,
    )
    taken, used = time.monotonic() - began, time.process_time() - used
    early, late = statistics.median(held[20:40]) / 1e6, statistics.median(held[-20:]) / 1e6
    log.info("%.2f s a scene, %.2f s of a core; %.0f MB early, %.0f MB late", taken / 200, used / 200, early, late)
    assert result.exit_code == 3
    assert result.counts == {"done": 198, "failed": 2}
    assert {row.scene.id for row in result.rows if row.status == "failed"} == {"tile7_2019-2023", "tile150_2019-2023"}
    assert all(row.polygons == 1 for row in result.rows if row.status == "done")
    assert len(result.polygons) == 198
    assert late < 1.1 * early


def wide_archive(folder: Path, count: int) -> Path:
    """Places of 1024 x 1024 px beside each other, two dates each, of which no pixel is written."""
    folder.mkdir()
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": 1024, "width": 1024, "sparse_ok": True}
    for n in range(count):
        place = Affine(0.5, 0, 500_000 + 600 * (n % 40), 0, -0.5, 5_100_000 - 600 * (n // 40))
        for year in (2019, 2023):
            with rasterio.open(
                folder / f"p{n:04}_{year}.tif", "w", crs="EPSG:32633", transform=place, tiled=True, **profile
            ):
                pass
    return folder


class EnoughError(Exception):
    """Ends a batch when its last scene has."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_scenes_are_planned_in_ten_seconds_and_their_books_cost_a_hundredth_g5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = wide_archive(tmp_path / "in", 1000)
    began = time.process_time()  # of this process: others share the machine
    assert len(plan_batch(source, out=tmp_path / "out").scenes) == 1000
    planned = time.process_time() - began
    # The books alone: every scene is answered at once, by the answer to one that was asked before.
    archive(tmp_path / "one", 1)
    answer = tmp_path / "answered" / "tile0_2019-2023"
    ask(tmp_path / "one", tmp_path / "answered")
    monkeypatch.setattr(batch, "run_job", lambda *_: ChangeResult(answer))
    ended, held = list[float](), list[int]()

    def look(event: object) -> None:
        if isinstance(event, SceneEnded):
            ended.append(time.process_time())
            held.append(memory.now())
            if event.n_done == event.total:
                raise EnoughError

    with pytest.raises(EnoughError):
        ask(source, tmp_path / "out", on_event=look)
    early, late = statistics.median(held[50:100]) / 1e6, statistics.median(held[-50:]) / 1e6
    looking = time.process_time()
    memory.now()
    looked = time.process_time() - looking
    books = (ended[-1] - ended[0]) / 999 - looked
    words = "planned in %.1f s; books %.1f ms a scene, %.2f %% of nano's time; %.0f MB early, %.0f MB late"
    log.info(words, planned, 1e3 * books, 100 * books / SCENE_S, early, late)
    assert {row.status for row in rows(tmp_path / "out" / "ledger.gpkg")} == {"done"}
    assert planned < 10
    assert books < 0.01 * SCENE_S
    assert late < 1.05 * early
