"""`geomtrs audit` on the outputs of a run: polygons as items, a sample with its estimate, labels to learn from."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.windows import Window

from geomtrs.craft.audit import answers as answers_
from geomtrs.craft.audit.answers import FOUND, NOTHING, RunAnswers, burnt
from geomtrs.craft.audit.decisions import Decision, append, keep_mask
from geomtrs.craft.audit.labels import write_labels
from geomtrs.craft.audit.report import report, report_lines
from geomtrs.craft.audit.sample import Sample, draw, settle_sample
from geomtrs.data.pairs import Pack, read_folder, write_pack
from geomtrs.errors import DataError, QueryError
from geomtrs.evaluation.area import stratified_accuracy
from geomtrs.training.samples import PairSampler
from tests.geomtrs.conftest import APPEARED, GONE, HEIGHT, WIDTH, ask, changed, ground, read, write
from tests.geomtrs.test_audit import main_code

SENTENCE = "whatever changed"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("run")
    before = ground()
    dates = [str(write(base / f"{year}.tif", pixels)) for year, pixels in ((2019, before), (2023, changed(before)))]
    return ask(*dates, query=SENTENCE, out=base / "out").folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def say(folder: Path, *said: tuple[str, str], auditor: str = "ann") -> None:
    append(folder, [Decision(item, "accept" if verdict == "a" else "reject", auditor) for item, verdict in said])


def test_every_polygon_is_an_item_with_its_pixels_of_the_mask_k6(run: Path) -> None:
    audited = RunAnswers(run)
    whole = read(run / "mask.tif") == 1
    there = np.zeros_like(whole)
    for item in audited.items:
        window = audited.places[item.id].window
        there[window.toslices()] |= audited.mask(item)
    assert {item.kind for item in audited.items} == {FOUND}
    assert len(audited.items) == 2
    assert (there == whole).all()
    sizes = [int(audited.mask(item).sum()) for item in audited.items]
    assert sizes == sorted(sizes, reverse=True)


def test_an_item_shows_both_dates_in_its_window(run: Path) -> None:
    audited = RunAnswers(run)
    item = audited.items[0]
    inside = audited.mask(item)
    means = {}
    for side in ("before", "after"):
        with Image.open(io.BytesIO(audited.picture(item, side))) as picture:
            assert (picture.height, picture.width) == item.shape
            means[side] = np.asarray(picture)[inside].mean()
    assert means["before"] == pytest.approx(97, abs=4)
    assert means["after"] > 200


def test_a_large_window_is_shown_smaller_and_its_mask_with_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_, "SHOWN_PX", 80)
    audited = RunAnswers(run)
    item = audited.items[0]
    with Image.open(io.BytesIO(audited.picture(item, "after"))) as picture:
        assert (
            (picture.height, picture.width) == item.shape == audited.mask(item).shape == (HEIGHT // 3, -(-WIDTH // 3))
        )
    assert audited.mask(item).sum() * 9 == pytest.approx((read(run / "mask.tif")[APPEARED] == 1).sum(), rel=0.1)


def test_a_polygon_keeps_its_name_until_it_is_another(run: Path) -> None:
    names = [item.id for item in RunAnswers(run).items]
    audited = RunAnswers(run)
    assert [item.id for item in audited.items] == names
    answer = audited.answers[0]
    answer.table.geometry = answer.table.geometry.buffer(1)
    assert audited.polygon_id(answer, 0) not in names


def test_the_sample_lies_half_in_polygons_and_half_on_observed_ground_without_k6(run: Path) -> None:
    audited = RunAnswers(run, Sample(60, 3))
    whole, coverage = read(run / "mask.tif") == 1, read(run / "coverage.tif")
    points = {True: 0, False: 0}
    for item in audited.items:
        for row, column in audited.places[item.id].points:
            assert whole[row, column] == (item.kind == FOUND)
            assert coverage[row, column] == 1
            points[item.kind == FOUND] += 1
    assert points == {True: 30, False: 30}
    assert [item.id for item in RunAnswers(run, Sample(60, 3)).items] == [item.id for item in audited.items]
    assert {item.id for item in RunAnswers(run, Sample(60, 4)).items} != {item.id for item in audited.items}
    nothing = next(item for item in audited.items if item.kind == NOTHING)
    window = audited.places[nothing.id].window
    ((row, column),) = nothing.points
    assert nothing.id.endswith(f"-{window.row_off + row}-{window.col_off + column}")


def test_pixels_are_drawn_with_equal_chance_in_both_strata(run: Path) -> None:
    outlines = np.array([shapely.box(10, 10, 30, 20), shapely.box(100, 50, 150, 130)])
    sizes = np.array([200, 4000])
    hits = np.zeros((HEIGHT, WIDTH), int)
    with rasterio.open(run / "coverage.tif") as coverage:
        for seed in range(40):
            drawn = draw("water", outlines, sizes, coverage, Sample(200, seed))
            for row, column in [*drawn.outside, *(one for some in drawn.inside.values() for one in some)]:
                hits[row, column] += 1
    inside = burnt(shapely.union_all(outlines), Window(0, 0, WIDTH, HEIGHT))
    assert hits[inside].sum() == 4000
    assert hits[10:20, 10:30].sum() == pytest.approx(4000 * 200 / 4200, rel=0.25)
    left = np.zeros_like(inside)
    left[:, : WIDTH // 2] = True
    share = (left & ~inside).sum() / (~inside).sum()
    assert hits[left & ~inside].sum() == pytest.approx(4000 * share, rel=0.06)


def test_another_sample_is_refused_once_one_was_begun(run: Path) -> None:
    assert settle_sample(run, None) is None
    assert settle_sample(run, Sample(40, 1)) == settle_sample(run, None) == settle_sample(run, Sample(40, 1))
    with pytest.raises(QueryError, match="--sample 40 --seed 1"):
        settle_sample(run, Sample(80, 1))


def test_accuracy_and_area_are_those_of_the_published_example() -> None:
    """Olofsson et al. 2014, section 5: 640 pixels of a map of 900,000 ha with four classes."""
    counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    found = stratified_accuracy(counts, (0.02, 0.015, 0.32, 0.645))
    hectares = [(round(one.value * 9e5), round(one.half_width * 9e5)) for one in found.shares]  # type: ignore[operator]
    assert hectares == [(21158, 6158), (11686, 3756), (285770, 15510), (581386, 16282)]
    assert str(found.overall) == "0.95 ± 0.02"
    assert [str(one) for one in found.users] == ["0.88 ± 0.07", "0.73 ± 0.10", "0.93 ± 0.04", "0.96 ± 0.02"]
    assert str(found.producers[0]) == "0.75 ± 0.21"


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    changed_in = (0.8, 0.05)  # of what the map calls changed, and of the rest
    truth = 0.1 * changed_in[0] + 0.9 * changed_in[1]
    held = 0
    for _ in range(400):
        right = [int(rng.binomial(150, share)) for share in changed_in]
        share = stratified_accuracy(np.array([[n, 150 - n] for n in right]), (0.1, 0.9)).shares[0]
        assert share.value is not None
        assert share.half_width is not None
        held += abs(share.value - truth) <= share.half_width
    assert 0.90 < held / 400 < 0.98


def test_a_class_without_a_pixel_in_the_sample_is_not_known() -> None:
    found = stratified_accuracy(np.array([[0, 0], [0, 5]]), (0.1, 0.9))
    assert found.overall.value is None
    assert found.users[1].value == 1
    assert str(found.users[0]) == "not known"


def test_the_report_of_a_sample_counts_pixels_by_what_people_said_k6(run: Path) -> None:
    settle_sample(run, Sample(40, 1))
    audited = RunAnswers(run, Sample(40, 1))
    found = [item for item in audited.items if item.kind == FOUND]
    nothing = [item for item in audited.items if item.kind == NOTHING]
    large, small = sorted(found, key=lambda item: -len(audited.places[item.id].points))
    drawn = np.ones(nothing[1].shape, bool)
    say(run, (large.id, "a"), (small.id, "r"), (nothing[0].id, "r"), *((item.id, "a") for item in nothing[3:]))
    append(run, [Decision(nothing[1].id, "reject", "ann", mask=keep_mask(run, drawn))])
    beside = np.zeros(nothing[2].shape, bool)
    beside[0, 0] = True
    append(run, [Decision(nothing[2].id, "reject", "ann", mask=keep_mask(run, beside))])
    (estimate,) = report(run, audited)["estimates"]
    right, wrong = (len(audited.places[item.id].points) for item in (large, small))
    assert right + wrong == 20
    assert estimate["pixels"] == [[right, wrong], [2, 18]]
    assert estimate["waiting"] == 0
    assert estimate["users"]["value"] == pytest.approx(right / 20)
    mapped = float((read(run / "mask.tif") == 1).mean())
    assert estimate["mapped_share"] == pytest.approx(mapped)
    assert estimate["changed_share"]["value"] == pytest.approx(mapped * right / 20 + (1 - mapped) * 0.1)
    assert "user's accuracy" in "\n".join(report_lines(report(run, audited)))


def test_what_waits_or_is_disputed_is_not_in_the_estimate(run: Path) -> None:
    audited = RunAnswers(run, Sample(40, 1))
    nothing = [item.id for item in audited.items if item.kind == NOTHING]
    say(run, *((item, "a") for item in nothing[:10]))
    say(run, (nothing[0], "r"), auditor="ben")
    (estimate,) = report(run, audited)["estimates"]
    assert estimate["pixels"] == [[0, 0], [0, 9]]
    assert estimate["waiting"] == 31


def test_the_command_reports_the_sample_that_was_begun(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_code("audit", str(run), "--report", "--json", "--sample", "30") == 0
    first = json.loads(capsys.readouterr().out)
    assert main_code("audit", str(run), "--report", "--json") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert first["estimates"][0]["waiting"] == 30
    assert main_code("audit", str(run), "--report", "--sample", "31") == 2


def test_audited_polygons_become_pairs_that_training_reads_k6(run: Path, tmp_path: Path) -> None:
    large, small = (item.id for item in RunAnswers(run).items)
    say(run, (large, "a"), (small, "r"))
    written = write_labels(run, tmp_path / "labels")
    assert (written.squares, written.waiting) == (1, 0)
    ((facts, planes),) = read_folder(tmp_path / "labels")
    mask, whole = planes["mask"] > 0, read(run / "mask.tif") == 1
    assert (mask[APPEARED] == whole[APPEARED]).all()
    assert mask[APPEARED].any()
    assert not mask[GONE].any()
    assert (planes["A"][APPEARED] < 110).all()
    assert (planes["B"][APPEARED] == 245).all()
    assert facts["gsd_m"] == pytest.approx(2, rel=0.01)
    write_pack(tmp_path / "pack", read_folder(tmp_path / "labels"))
    sampler = PairSampler(Pack(tmp_path / "pack"), np.random.default_rng(0), split=str(facts["split"]))
    assert sampler.draw().questions


def test_a_mended_polygon_teaches_what_was_drawn(run: Path, tmp_path: Path) -> None:
    audited = RunAnswers(run)
    large, small = audited.items
    drawn = np.zeros(large.shape, bool)
    drawn[100:110, 5:25] = True
    say(run, (small.id, "r"))
    append(run, [Decision(large.id, "accept", "ann", mask=keep_mask(run, drawn))])
    write_labels(run, tmp_path / "labels")
    ((_, planes),) = read_folder(tmp_path / "labels")
    window = audited.places[large.id].window
    assert ((planes["mask"] > 0)[window.toslices()] == drawn).all()
    assert (planes["mask"] > 0).sum() == 200


def test_a_square_in_which_something_waits_is_left_out(run: Path, tmp_path: Path) -> None:
    say(run, (RunAnswers(run).items[0].id, "a"))
    with pytest.raises(DataError, match="no square in which everything is decided"):
        write_labels(run, tmp_path / "labels")
    assert not (tmp_path / "labels").exists()
