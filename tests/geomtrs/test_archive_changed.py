"""Archives that are not as the last run left them: answers that lack files, rows that were corrected, links, rights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pystac
import pytest

import geomtrs
from geomtrs.archive.plan import plan_batch
from geomtrs.archive.verify import verify_batch
from geomtrs.errors import JobError
from tests.geomtrs.test_archive import archive, ask, catalogue, names, pair, stamps, table
from tiling.errors import OutputError


@pytest.mark.parametrize("name", ["changes.gpkg", "item.json", "mask.tif"])
def test_a_scene_of_which_a_file_is_gone_is_asked_again_and_no_other_g3(tmp_path: Path, name: str) -> None:
    archive(tmp_path / "in", 2)
    ask(tmp_path / "in", tmp_path / "out")
    before = stamps(tmp_path / "out" / "tile0_2019-2023")
    (tmp_path / "out" / "tile1_2019-2023" / name).unlink()
    assert ask(tmp_path / "in", tmp_path / "out").counts == {"done": 2}
    assert verify_batch(tmp_path / "out") == []
    assert stamps(tmp_path / "out" / "tile0_2019-2023") == before


def test_a_scene_of_which_a_file_was_cut_short_is_asked_again_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 1)
    ask(tmp_path / "in", tmp_path / "out")
    os.truncate(tmp_path / "out" / "tile0_2019-2023" / "item.json", 10)
    assert ask(tmp_path / "in", tmp_path / "out").counts == {"done": 1}
    assert verify_batch(tmp_path / "out") == []


def test_polygons_that_no_longer_read_are_named_with_their_scene_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    ask(tmp_path / "in", tmp_path / "out")
    scene = tmp_path / "out" / "tile1_2019-2023"
    os.truncate(scene / "changes.gpkg", 4000)
    with pytest.raises(OutputError, match="tile1_2019-2023: found polygons that do not read"):
        ask(tmp_path / "in", tmp_path / "out")
    shutil.rmtree(scene)  # as the line says
    assert ask(tmp_path / "in", tmp_path / "out").counts == {"done": 2}


def test_a_scene_that_something_else_was_asked_of_is_left_and_the_remedy_is_one_that_a_batch_has_g3(
    tmp_path: Path,
) -> None:
    archive(tmp_path / "in", 1)
    ask(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "ledger.gpkg").unlink()
    (row,) = ask(tmp_path / "in", tmp_path / "out", threshold=0.9).rows
    assert row.reason.endswith("remedy: choose another --out, or --fresh")
    again = ask(tmp_path / "in", tmp_path / "out", threshold=0.9, fresh=True)
    assert again.counts == {"done": 1}


def test_a_row_that_was_corrected_is_asked_as_it_is_now_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 2)
    lines = [{"before": f"in/tile{n}_2019.tif", "after": f"in/tile{n}_2023.tif", "scene_id": f"s{n}"} for n in (0, 1)]
    wrong = {**lines[1], "after": "in/tile1_2032.tif"}
    assert ask(table(tmp_path / "pairs.csv", [lines[0], wrong]), tmp_path / "out").counts == {"done": 1, "failed": 1}
    before = stamps(tmp_path / "out" / "s0")
    result = ask(table(tmp_path / "pairs.csv", lines), tmp_path / "out")
    assert {row.scene.id: row.scene.images[1] for row in result.rows}["s1"] == str(tmp_path / "in" / "tile1_2023.tif")
    assert result.counts == {"done": 2}
    assert stamps(tmp_path / "out" / "s0") == before


def test_an_answered_row_that_is_told_otherwise_keeps_its_answer_and_is_refused_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 1)
    line = {"before": "in/tile0_2019.tif", "after": "in/tile0_2023.tif", "scene_id": "s0"}
    ask(table(tmp_path / "pairs.csv", [line]), tmp_path / "out")
    before = stamps(tmp_path / "out" / "s0")
    dated = table(tmp_path / "pairs.csv", [{**line, "date_before": "2018-05-01", "date_after": "2023-05-01"}])
    with pytest.raises(JobError, match="scene s0: dates none, not 2018-05-01, 2023-05-01"):
        ask(dated, tmp_path / "out")
    assert stamps(tmp_path / "out" / "s0") == before
    shutil.rmtree(tmp_path / "out" / "s0")  # as the line says
    assert set(ask(dated, tmp_path / "out").polygons["date_from"]) == {"2018-05-01"}


def test_what_items_in_one_file_name_lies_beside_it_wherever_the_command_runs_g1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(tmp_path / "in", 1)
    items = []
    for item in pystac.Catalog.from_file(str(catalogue(tmp_path, {}))).get_items(recursive=True):
        document = item.to_dict(include_self_link=False)
        document["links"] = []
        document["assets"]["image"]["href"] = f"./{item.id}.tif"
        items.append(document)
    source = tmp_path / "in" / "items.json"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": items}), encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (scene,) = plan_batch(source).scenes
    assert scene.images == (str(tmp_path / "in" / "tile0_2019.tif"), str(tmp_path / "in" / "tile0_2023.tif"))


def test_a_link_to_a_folder_is_looked_into_and_a_ring_of_them_once_g1(tmp_path: Path) -> None:
    pair(tmp_path / "disk" / "years", "far")
    pair(tmp_path / "in" / "near", "here", east_px=500)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "in" / "also").symlink_to("near")
    (tmp_path / "disk" / "ring").symlink_to(tmp_path / "in")
    found = plan_batch(tmp_path / "in", out=tmp_path / "out")
    assert names(found.scenes) == ["linked-years-far_2019-2023", "near-here_2019-2023"]
    assert found.left == []


def test_a_folder_that_cannot_be_listed_is_named_and_failed_g2(tmp_path: Path) -> None:
    pair(tmp_path / "in", "open")
    pair(tmp_path / "in" / "shut", "closed", east_px=500)
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if unprivileged and shutil.which(unprivileged[0]) is None:
        pytest.skip("root may list everything, and setpriv is not there to take that away")
    code = "import sys; from geomtrs.archive.plan import plan_batch; print(plan_batch(sys.argv[1], out=sys.argv[2]))"
    (tmp_path / "in" / "shut").chmod(0)
    try:
        done = subprocess.run(
            [*unprivileged, sys.executable, "-c", code, str(tmp_path / "in"), str(tmp_path / "out")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    finally:
        (tmp_path / "in" / "shut").chmod(0o755)
    assert "open_2019-2023" in done.stdout
    assert (
        f"left out  shut: {tmp_path / 'in' / 'shut'}: a folder that cannot be listed (Permission denied)" in done.stdout
    )


def test_a_batch_is_not_resumed_as_a_run_and_the_line_says_how_it_goes_on_g3(tmp_path: Path) -> None:
    archive(tmp_path / "in", 1)
    ask(tmp_path / "in", tmp_path / "out")
    with pytest.raises(JobError, match="a batch goes on by its own command"):
        geomtrs.resume(tmp_path / "out")
