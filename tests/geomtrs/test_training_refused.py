"""What `geomtrs train` refuses, keeps and says: nothing unlearned is written, no other run is gone on with."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import geomtrs.cli.app as cli
from geomtrs.cli.train import _line
from geomtrs.data.labels import ABSENT
from geomtrs.data.pairs import Pack
from geomtrs.errors import DataError, JobError, QueryError
from geomtrs.lock import only_one
from geomtrs.models.checkpoint import write_weights
from geomtrs.state import hidden
from geomtrs.training import loop, nano
from geomtrs.training.calibration import calibrate
from geomtrs.training.config import StageConfig, read_config
from geomtrs.training.export import write_checkpoint
from geomtrs.training.stages import meaning_of, training_expressions
from tests.geomtrs.test_learning import write_set
from tests.geomtrs.test_training import CONFIGS, WEIGHTS, config


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_set(tmp_path / "sets", pairs=3)
    return tmp_path / "sets"


def poison(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Every loss but the first so many is no number."""
    whole, calls = loop.step_loss, 0

    def poisoned(*told: Any, **options: Any) -> tuple[torch.Tensor, dict[str, float]]:  # noqa: ANN401 - as it came
        nonlocal calls
        calls += 1
        loss, parts = whole(*told, **options)
        return (loss * math.nan if calls > after else loss), parts

    monkeypatch.setattr(loop, "step_loss", poisoned)


@pytest.mark.parametrize("rate", [math.nan, math.inf])
def test_a_rate_that_is_no_number_is_refused(rate: float) -> None:
    with pytest.raises(QueryError, match=r"rate: found (nan|inf); wanted more than 0"):
        config(Path("d"), Path("o"), rate=rate)


@pytest.mark.parametrize(("after", "steps"), [(0, 1), (1, 3)])
def test_a_run_that_ends_without_finite_gradients_is_no_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, steps: int
) -> None:
    poison(monkeypatch, after=after)
    with pytest.raises(JobError, match="without a finite gradient"):
        nano.stage2(config(data, tmp_path / "out", steps=steps, start=str(WEIGHTS)))
    assert not (tmp_path / "out" / "nano" / "config.json").exists()


def test_one_bad_step_at_the_end_moves_nothing_and_costs_no_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, after=1)
    state = torch.load(nano.stage1(config(data, tmp_path / "out", steps=2, rate=1e-4)), weights_only=True)
    assert all(value.isfinite().all() for value in state["average"].values())


def test_weights_that_are_no_numbers_are_kept_by_no_checkpoint(data: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="weights that are no numbers"):
        nano.stage1(config(data, tmp_path / "out", steps=2, rate=1e30, warmup=0.0))
    assert not (tmp_path / "out" / "stage1.pt").exists()


def test_weights_that_float16_cannot_hold_are_not_exported(tmp_path: Path) -> None:
    network, params, _ = nano._go_on(WEIGHTS)
    state = network.state_dict() | {"encoder.stem.weight": torch.full((32, 3, 3, 3), 1e6)}
    with pytest.raises(JobError, match=r"encoder\.stem\.weight"):
        write_checkpoint(tmp_path, state, params, calibration={}, training={})
    assert list(tmp_path.iterdir()) == []


def otherwise(folder: Path) -> Path:
    """A folder of nano's weights that are others than those that ship by one number."""
    copy = Path(shutil.copytree(WEIGHTS, folder))
    network, params, _ = nano._go_on(WEIGHTS)
    state = network.state_dict()
    state["encoder.stem.bias"] = state["encoder.stem.bias"] + 1
    write_checkpoint(copy, state, params, calibration={}, training={})
    return copy


@pytest.mark.parametrize("other", ["data", "start", "fusion"])
def test_a_stage_that_learned_otherwise_is_not_gone_on_with(data: Path, tmp_path: Path, other: str) -> None:
    begun = config(nano.packed(config(data, tmp_path / "one")), tmp_path / "out", steps=1, batch=1, start=str(WEIGHTS))
    nano.stage2(begun)
    write_set(tmp_path / "more", pairs=4)
    told = {
        "data": str(nano.packed(config(tmp_path / "more", tmp_path / "two"))),
        "start": str(otherwise(tmp_path / "start")),
        "fusion": "avg",
    }
    with pytest.raises(JobError, match=f"a stage of other settings \\({other}: "):
        nano.stage2(replace(begun, **{other: told[other]}))


def test_a_folder_that_is_a_set_itself_is_not_passed_over_for_drawn_scenes(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fotbcd: found a single set; .*remedy: name the folder around it"):
        nano.packed(config(data / "fotbcd", tmp_path / "out", drawn=2))


def test_a_set_that_a_config_names_and_nobody_has_is_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no levir_cd;"):
        nano.packed(config(data, tmp_path / "out", sets=("fotbcd", "levir_cd")))


def test_sets_that_say_nothing_are_not_trained_on(data: Path, tmp_path: Path) -> None:
    (data / "fotbcd").rename(data / "mystery")
    with pytest.raises(JobError, match="found no sample to learn from that says anything"):
        nano.stage1(config(data, tmp_path / "out", steps=1))


def test_packing_tells_how_far_it_is(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "_PACKED_EVERY", 2)
    lines: list[dict[str, float]] = []
    nano.packed(config(data, tmp_path / "out", drawn=1), lines.append)
    assert [(line["packed"], line["of"]) for line in lines] == [(2, 4), (4, 4)]


def test_a_stage_goes_on_when_its_pack_and_its_start_were_moved(data: Path, tmp_path: Path) -> None:
    begun = config(nano.packed(config(data, tmp_path / "one")), tmp_path / "out", steps=1, batch=1, start=str(WEIGHTS))
    nano.stage2(begun)
    there = str(shutil.move(begun.data, tmp_path / "elsewhere"))
    copy = str(shutil.copytree(WEIGHTS, tmp_path / "start"))
    assert nano.stage2(replace(begun, data=there, start=copy)).is_dir()


@pytest.mark.parametrize("plane", ["mask", "labelA"])
def test_masks_drawn_anew_in_place_are_not_learned_from_by_an_old_pack(data: Path, tmp_path: Path, plane: str) -> None:
    begun = config(data, tmp_path / "out")
    nano.packed(begun)
    file = next((data / "fotbcd" / plane).iterdir())
    file.touch()
    nano.packed(begun)
    Image.new("L", (256, 256), 1).save(file)
    with pytest.raises(JobError, match=r"files: '16 files, \w+', not '16 files"):
        nano.packed(begun)


def test_a_picture_of_equal_size_in_place_of_another_is_not_learned_from_by_an_old_pack(
    data: Path, tmp_path: Path
) -> None:
    file = next((data / "fotbcd" / "B").iterdir())
    for name, blue in (("one", 10), ("two", 20)):
        Image.new("RGB", (256, 256), (0, 0, blue)).save(tmp_path / f"{name}.webp", lossless=True)
    assert (tmp_path / "one.webp").stat().st_size == (tmp_path / "two.webp").stat().st_size
    shutil.copyfile(tmp_path / "one.webp", file)
    begun = config(data, tmp_path / "out")
    nano.packed(begun)
    file.touch()
    nano.packed(begun)
    shutil.copyfile(tmp_path / "two.webp", file)
    with pytest.raises(JobError, match=r"\(pictures: '6 files, \w+', not '6 files"):
        nano.packed(begun)


def test_a_pack_of_masks_drawn_anew_is_not_gone_on_with(data: Path, tmp_path: Path) -> None:
    begun = config(nano.packed(config(data, tmp_path / "one")), tmp_path / "out", steps=1, batch=1, start=str(WEIGHTS))
    nano.stage2(begun)
    Image.new("L", (256, 256), 255).save(next((data / "fotbcd" / "mask").iterdir()))
    other = str(nano.packed(config(data, tmp_path / "two")))
    with pytest.raises(JobError, match=r"data: '3 samples, \w+', not '3 samples"):
        nano.stage2(replace(begun, data=other))


@pytest.mark.parametrize("untold", [("pictures",), ("files", "pictures")])
def test_a_pack_from_before_files_were_told_is_gone_on_with(
    data: Path, tmp_path: Path, untold: tuple[str, ...]
) -> None:
    begun = config(data, tmp_path / "out")
    made = nano.packed(begun) / "made_of.json"
    told = json.loads(made.read_text(encoding="utf-8"))
    for name in untold:
        del told[name]
    made.write_text(json.dumps(told), encoding="utf-8")
    assert nano.packed(begun) == made.parent


def test_a_mistake_in_the_data_leaves_nothing_behind_that_spoils_the_next_run(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"samples\.jsonl"):
        nano.packed(config(tmp_path / "empty", tmp_path / "out"))
    assert len(Pack(nano.packed(config(data, tmp_path / "out"))).samples) == 3


@pytest.mark.parametrize("stage", [nano.stage1, nano.stage2])
@pytest.mark.parametrize(
    ("start", "said"), [("nope", "no such file"), ("junk.pt", "no weights that read"), ("sets", "a folder")]
)
def test_a_start_that_is_not_there_or_does_not_read_is_named_before_anything_is_packed(
    data: Path, tmp_path: Path, stage: Callable[[StageConfig], Path], start: str, said: str
) -> None:
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(JobError, match=f"{start}: found {said}"):
        stage(config(data, tmp_path / "out", start=str(tmp_path / start)))
    assert not (tmp_path / "out").exists()


def test_the_first_stage_begins_with_no_folder(data: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="nano: found a folder; wanted EfficientNet-Lite0"):
        nano.stage1(config(data, tmp_path / "out", start=str(WEIGHTS)))


@pytest.mark.slow
def test_the_last_steps_of_a_stage_tell_how_far_they_are(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_each = list({meaning_of(e): e for e in training_expressions()}.values())
    monkeypatch.setattr(nano, "training_expressions", lambda: one_each)  # the whole grammar takes a minute to read
    lines = (data / "fotbcd" / "samples.jsonl").read_text(encoding="utf-8")
    (data / "fotbcd" / "samples.jsonl").write_text(lines.replace('"train"', '"val"', 1), encoding="utf-8")
    told: list[dict[str, float]] = []
    nano.stage2(config(data, tmp_path / "out", steps=1, batch=1, start=str(WEIGHTS), agree=2), told.append)
    assert told[0]["words_after"] == 2
    words = [facts["words"] for facts in told if "words" in facts]
    calibration = [facts["calibration"] / facts["of"] for facts in told if "calibration" in facts]
    assert (words[0], words[-1], calibration[0], calibration[-1]) == (0, 2, 0, 1)
    assert told[-1]["share"] == 1


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"step": 20, "share": 0.25, "s": 60, "loss": 1}, "step 20 · 25% · loss 1.000 · 3 min left"),
        ({"step": 1, "share": 1.0, "s": 6, "loss": 1, "words_after": 9}, "100% · loss 1.000 · 0 min left, then words"),
        ({"words": 0, "of": 1500, "share": 0, "s": 0}, "words 0 of 1500"),
        ({"words": 300, "of": 1500, "share": 0.2, "s": 105}, "words 300 of 1500 · 7 min left"),
    ],
)
def test_a_line_of_progress_says_what_is_left(
    capsys: pytest.CaptureFixture[str], facts: dict[str, float], said: str
) -> None:
    _line(facts)
    assert capsys.readouterr().err.endswith(f"{said}\n")


def test_no_more_than_the_whole_of_a_schedule_by_the_clock_is_done(data: Path, tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    nano.stage1(config(data, tmp_path / "out", steps=None, minutes=1e-4, batch=1), told.append)
    assert told[-1]["share"] == 1


def test_exported_weights_are_as_readable_as_their_config(tmp_path: Path) -> None:
    write_weights(tmp_path / "model.safetensors", {"a": torch.zeros(1)})
    (tmp_path / "config.json").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def write_nothing_known(data: Path) -> None:
    """The same pairs in a set without a rule, some of them for validation, beside a pair to learn from."""
    lines = (data / "fotbcd" / "samples.jsonl").read_text(encoding="utf-8")
    (data / "fotbcd" / "samples.jsonl").write_text(lines.replace('"train"', '"val"', 1), encoding="utf-8")
    (data / "fotbcd").rename(data / "mine")
    write_set(data, pairs=1)


def test_pictures_of_which_nothing_is_known_calibrate_nothing(data: Path, tmp_path: Path) -> None:
    write_nothing_known(data)
    folder = nano.stage2(config(data, tmp_path / "out", steps=1, batch=2, start=str(WEIGHTS)))
    told = [json.loads((one / "config.json").read_text("utf-8"))["calibration"] for one in (folder, WEIGHTS)]
    assert told[0] == told[1]


def test_scenes_where_nothing_changed_leave_the_certainty_of_change_alone(data: Path, tmp_path: Path) -> None:
    lines = (data / "fotbcd" / "samples.jsonl").read_text(encoding="utf-8")
    (data / "fotbcd" / "samples.jsonl").write_text(lines.replace('"train"', '"val"', 1), encoding="utf-8")
    pack = nano.packed(config(data, tmp_path / "out"))
    batches = nano.val_batches(pack, 2, 2)
    for batch in batches:
        batch.answers[:], batch.existence[:] = ABSENT, ABSENT
    network, _, tokenizer = nano._go_on(WEIGHTS)
    assert calibrate(network.eval(), nano._asking(network, nano._bank(network, tokenizer, 0)), batches) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["detect", "a.tif"], "the same command goes on, or geomtrs resume DIR"),
        (["train", "stage1", "c.toml"], "the same command goes on from the last checkpoint, if there is one"),
        (["craft", "run"], "what is finished is kept: the same command goes on"),
        (["batch", "in"], "what is finished is kept: the same command goes on"),
        (["evaluate", "pack"], "the same command begins anew"),
        (["data", "pack", "sets"], "the same command begins anew"),
    ],
)
def test_who_interrupts_a_command_is_told_what_it_kept(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 130
    assert capsys.readouterr().err.endswith(f"{said}\n")


def test_the_config_for_few_pictures_keeps_checkpoints_on_the_way() -> None:
    going = read_config(CONFIGS / "nano_go_on.toml")
    assert going.steps is not None
    assert going.save_every < going.steps


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sets = [1, 2]", "sets: found .*wanted a list of names"),
        ("drawn = -5", "drawn: found -5; wanted 0 or more"),
        ("agree = -3", "agree: found -3"),
        ("clip = -1.0", "clip: found"),
        ("encoder_rate = -1.0", "encoder_rate: found"),
        ("weight_decay = nan", "weight_decay: found nan"),
        ("seed = -1", "seed: found -1"),
        ("workers = -1", "workers: found -1"),
        ("warmup = -1", "warmup: found -1; wanted 0 to 1"),
        ("ema = 2.0", r"ema: found 2\.0; wanted 0 to 1"),
        ("frozen_blocks = 99", "frozen_blocks: found 99; wanted 0 to 16"),
        ("lora_rank = 4", "lora_rank: found 4; wanted it of base alone"),
        ("end_to_end = true", "end_to_end: found True; wanted it of base alone"),
    ],
)
def test_a_number_that_no_training_can_mean_is_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "run.toml").write_text(f'model = "nano"\ndata = "d"\nout = "o"\nsteps = 3\n{line}\n', "utf-8")
    with pytest.raises(QueryError, match=said):
        read_config(tmp_path / "run.toml")


def test_a_pack_of_other_sets_or_scenes_than_the_config_asks_for_is_refused(data: Path, tmp_path: Path) -> None:
    pack = nano.packed(config(data, tmp_path / "out", drawn=1))
    assert nano.packed(config(pack, tmp_path / "two", sets=("fotbcd",))) == pack
    with pytest.raises(JobError, match="found samples of fotbcd; wanted levir_cd alone"):
        nano.packed(config(pack, tmp_path / "two", sets=("levir_cd",)))
    (tmp_path / "val.json").write_text('{"fotbcd": ["s1"]}', encoding="utf-8")
    with pytest.raises(JobError, match="found fotbcd/1 to train"):
        nano.packed(config(pack, tmp_path / "two", val=str(tmp_path / "val.json")))


def trained(tmp_path: Path, data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`geomtrs train stage1` in a process of its own, whose loader is another one."""
    (tmp_path / "run.toml").write_text(
        'model = "nano"\ndata = "d"\nout = "o"\nsteps = 1\nbatch = 1\ndrawn = 0\nworkers = 1\n', encoding="utf-8"
    )
    command = [sys.executable, "-m", "geomtrs", "train", "stage1", str(tmp_path / "run.toml"), "--data", str(data)]
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


def test_pictures_without_any_to_train_on_are_told_in_one_line(data: Path, tmp_path: Path) -> None:
    lines = (data / "fotbcd" / "samples.jsonl").read_text(encoding="utf-8")
    (data / "fotbcd" / "samples.jsonl").write_text(lines.replace('"train"', '"val"'), encoding="utf-8")
    done = trained(tmp_path, data, "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: split train: found no sample; wanted one at least")


def test_an_out_folder_under_a_file_is_refused_before_anything_is_packed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    done = trained(tmp_path, data, "-o", str(tmp_path / "afile" / "x" / "y"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'afile'}: found a file; wanted a place for y")


def test_two_trainings_do_not_write_into_one_folder(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with only_one(hidden(out) / "lock"):
        done = trained(tmp_path, data, "-o", str(out))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {out}: found another run in this folder (process {os.getpid()} on ")
    assert [path.name for path in out.rglob("*")] == [".geomtrs"]


def test_a_folder_that_was_there_stays_where_a_training_cannot_begin(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert trained(tmp_path, data / "fotbcd", "-o", str(tmp_path / "out")).returncode == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_nano_refuses_to_be_one_of_several_processes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    done = trained(tmp_path, data, "-o", str(tmp_path / "out"))
    assert done.stderr.startswith("error: torchrun: found 2 processes; wanted one")
    assert not (tmp_path / "out").exists()


def test_a_training_that_cannot_begin_leaves_no_folder(data: Path, tmp_path: Path) -> None:
    done = trained(tmp_path, data / "fotbcd", "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert not (tmp_path / "out").exists()
