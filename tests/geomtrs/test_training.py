"""`geomtrs train` on made pairs: the loss falls, a killed run goes on to the same numbers, a bad one says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import geomtrs
from geomtrs.cli import main
from geomtrs.errors import DataError, JobError, QueryError
from geomtrs.models import catalog
from geomtrs.models.mtrefseg import NanoParams, build_nano
from geomtrs.nn.efficientnet import EfficientNetLite0
from geomtrs.query import Query
from geomtrs.training import loop, nano
from geomtrs.training.config import StageConfig, read_config
from geomtrs.training.stages import SentenceBank, start_stage2, training_expressions
from tests.geomtrs.test_learning import write_set

CONFIGS = Path(__file__).parents[2] / "configs"
WEIGHTS = Path(geomtrs.__file__).parent / "models" / "weights" / "nano"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_set(tmp_path / "sets", pairs=3)
    return tmp_path / "sets"


def config(data: Path, out: Path, **told: Any) -> StageConfig:  # noqa: ANN401 - values of a config
    values: dict[str, Any] = {"drawn": 0, "steps": 4, "batch": 2, "workers": 0, "precision": "fp32", "save_every": 2}
    return StageConfig(model="nano", data=str(data), out=str(out), **(values | told))


def imagenet_state() -> dict[str, torch.Tensor]:
    """Random weights under the names of the published EfficientNet-Lite0, batch norms apart."""
    ours = {"stem": ("_conv_stem", "_bn0")}
    for i in range(16):
        ours[f"blocks.{i}.expand"] = (f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        ours[f"blocks.{i}.depthwise"] = (f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        ours[f"blocks.{i}.project"] = (f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    state = {}
    for key, value in EfficientNetLite0().state_dict().items():
        layer, _, part = key.rpartition(".")
        conv, norm = ours[layer]
        if part == "weight":
            state[f"{conv}.weight"] = torch.rand_like(value)
        else:
            state |= {f"{norm}.{name}": torch.rand_like(value) for name in ("weight", "bias", "running_mean")}
            state[f"{norm}.running_var"] = torch.rand_like(value) + 1
    return state


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_every_config_that_ships_is_read(path: Path) -> None:
    assert read_config(path).out.startswith("runs/")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rates = 1.0", "did you mean rate"),
        ('model = "huge"', "nano, base"),
        ("batch = 0", "more than 0"),
        ('batch = "many"', "int"),
        ("minutes = 3", "exactly one"),
        ("steps =", "does not read"),
    ],
)
def test_a_config_that_means_nothing_is_refused_by_name(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "run.toml"
    written = {"model": 'model = "nano"', "data": 'data = "d"', "out": 'out = "o"', "steps": "steps = 3"}
    key = line.split(" ", maxsplit=1)[0]
    path.write_text("\n".join([*(v for k, v in written.items() if k != key), line]), encoding="utf-8")
    with pytest.raises(QueryError, match=said):
        read_config(path)


def test_what_the_command_line_says_goes_before_the_file() -> None:
    found = read_config(CONFIGS / "nano_stage1.toml", minutes=2.0, out="elsewhere", start=None)
    assert (found.minutes, found.steps, found.out) == (2.0, None, "elsewhere")


def test_both_stages_of_the_small_model_train_and_their_weights_answer(data: Path, tmp_path: Path) -> None:
    nano.stage1(config(data, tmp_path / "one", steps=2))
    going = config(tmp_path / "one" / "pack", tmp_path / "two", steps=2, start=str(WEIGHTS))
    folder = nano.stage2(going)
    model = catalog.load("nano", weights=folder, device="cpu", precision="fp32")
    asked = model.prepare([Query("the buildings that appeared")])
    answer = model.answer(model.features(np.zeros((1, 2, 3, 64, 64), np.uint8)), asked)
    assert np.isfinite(answer.probability).all()


def test_without_unseen_scenes_weights_stay_as_sure_as_they_were(data: Path, tmp_path: Path) -> None:
    folder = nano.stage2(config(data, tmp_path / "out", steps=1, batch=1, start=str(WEIGHTS)))
    told = [json.loads((one / "config.json").read_text("utf-8"))["calibration"] for one in (folder, WEIGHTS)]
    assert told[0] == told[1]


@pytest.mark.parametrize("kept", [True, False])
def test_statistics_of_a_few_pictures_take_the_place_of_those_of_the_start_unless_they_are_kept(
    kept: bool, data: Path, tmp_path: Path
) -> None:
    nano.stage2(config(data, tmp_path / "out", steps=1, batch=1, start=str(WEIGHTS), keep_norms=kept))
    state = torch.load(tmp_path / "out" / "stage2.pt", weights_only=True)["model"]
    start = nano._go_on(WEIGHTS)[0].state_dict()
    norms = [key for key in start if key.endswith("running_var")]
    assert norms
    assert all(torch.equal(state[key], start[key].to(state[key].dtype)) for key in norms) is kept


@pytest.mark.parametrize("fusion", ["concat_conv", "abs_diff", "avg"])
def test_the_small_model_trains_with_every_published_fusion(data: Path, tmp_path: Path, fusion: str) -> None:
    nano.stage1(config(data, tmp_path / "out", steps=2, fusion=fusion))
    assert all(np.isfinite(losses(tmp_path / "out")))


def test_a_first_stage_of_another_fusion_is_refused(data: Path, tmp_path: Path) -> None:
    network = build_nano(NanoParams(fusion="avg"))
    checkpoint = nano.stage1(config(data, tmp_path / "one", steps=1, batch=1))
    with pytest.raises(JobError, match="the same fusion"):
        start_stage2(network, checkpoint, 64)


def test_the_second_stage_may_begin_with_the_encoder_alone(tmp_path: Path) -> None:
    network = build_nano(NanoParams())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.save(imagenet_state(), tmp_path / "lite0.pth")
    assert start_stage2(network, tmp_path / "lite0.pth", 64) is None
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {key for key in before if key.startswith("encoder.")}


def test_sentences_that_were_asked_before_are_not_read_again() -> None:
    network, _, tokenizer = nano._go_on(WEIGHTS)
    reader = nano._reader(network.eval())
    bank = SentenceBank(reader.tower, tokenizer, training_expressions()[:4], seed=0)
    first, again = (bank.ask(reader.head, torch.arange(4)) for _ in range(2))
    assert torch.equal(first.thing, again.thing)


def test_the_loss_falls_on_twenty_steps_over_the_same_pairs(data: Path, tmp_path: Path) -> None:
    nano.stage1(config(data, tmp_path / "out", steps=20, rate=3e-3, seed=1))
    state = torch.load(tmp_path / "out" / "stage1.pt", weights_only=True)
    assert state["steps"] == 20
    first = tmp_path / "short"
    nano.stage1(config(data, first, steps=1, rate=1e-9, seed=1))
    assert losses(tmp_path / "out")[-1] < losses(first)[0]


def test_a_run_that_stopped_goes_on_to_the_same_numbers(data: Path, tmp_path: Path) -> None:
    told: dict[str, list[dict[str, float]]] = {"whole": [], "parts": []}
    nano.packed(config(data, tmp_path / "whole"))
    pack = tmp_path / "whole" / "pack"
    whole = config(pack, tmp_path / "whole", steps=6)
    nano.stage1(whole, told["whole"].append)

    class StoppedError(Exception):
        pass

    def stop(_: object, step: int) -> dict[str, float]:
        if step == 4:
            raise StoppedError
        return {}

    parts = config(pack, tmp_path / "parts", steps=6, look_every=1)
    original = nano._validation
    try:
        nano._validation = lambda *_: stop  # dies in the middle of a step
        with pytest.raises(StoppedError):
            nano.stage1(parts)
    finally:
        nano._validation = original
    nano.stage1(parts, told["parts"].append)
    assert told["parts"][-1]["loss"] == pytest.approx(told["whole"][-1]["loss"], abs=1e-6)
    states = [torch.load(tmp_path / name / "stage1.pt", weights_only=True) for name in ("whole", "parts")]
    for key, value in states[0]["average"].items():
        assert torch.allclose(value.float(), states[1]["average"][key].float(), atol=1e-6), key


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_loss_curve(data: Path, tmp_path: Path) -> None:
    nano.packed(config(data, tmp_path))
    path = tmp_path / "run.toml"
    small = 'model = "nano"\ndata = "x"\nout = "y"\nsteps = 30\nbatch = 2\ndrawn = 0\nsave_every = 5\n'
    path.write_text(small, encoding="utf-8")
    words = ["train", "stage1", str(path), "--data", str(tmp_path / "pack")]
    main_args = [sys.executable, "-m", "geomtrs", *words]
    for name in ("whole", "killed"):
        out = tmp_path / name
        with subprocess.Popen([*main_args, "-o", str(out)], stderr=subprocess.DEVNULL) as process:
            while name == "killed" and not (out / "stage1.pt").exists():
                time.sleep(0.05)
            if name == "killed":
                os.kill(process.pid, signal.SIGKILL)
            process.wait(600)
        subprocess.run([*main_args, "-o", str(out)], check=True, stderr=subprocess.DEVNULL)
    assert losses(tmp_path / "killed")[-1] == pytest.approx(losses(tmp_path / "whole")[-1], abs=1e-5)


def test_an_empty_split_and_data_that_are_not_there_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no folder"):
        nano.stage1(config(tmp_path / "nowhere", tmp_path / "out"))
    with pytest.raises(DataError, match=r"samples\.jsonl"):
        nano.stage1(config(tmp_path, tmp_path / "out"))
    lines = (data / "fotbcd" / "samples.jsonl").read_text(encoding="utf-8")
    (data / "fotbcd" / "samples.jsonl").write_text(lines.replace('"train"', '"val"'), encoding="utf-8")
    with pytest.raises(JobError, match="split train"):
        nano.stage1(config(data, tmp_path / "empty"))


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = loop.step_loss, 0

    def poisoned(*told: Any, **options: Any) -> tuple[torch.Tensor, dict[str, float]]:  # noqa: ANN401 - as it came
        nonlocal calls
        calls += 1
        loss, parts = whole(*told, **options)
        return (loss * float("nan") if calls > 2 else loss), parts

    monkeypatch.setattr(loop, "step_loss", poisoned)
    monkeypatch.setattr(loop, "_BAD_STEPS", 3)
    with pytest.raises(JobError, match="without a finite gradient"):
        nano.stage1(config(data, tmp_path / "out", steps=40))
    state = torch.load(tmp_path / "out" / "stage1.pt", weights_only=True)
    assert state["steps"] == 2
    assert all(value.isfinite().all() for value in state["model"].values())


@pytest.mark.parametrize(
    ("other", "said"), [({"rate": 0.1}, r"rate: 0\.001, not 0\.1"), ({"absent": False}, "absent: True, not False")]
)
def test_a_stage_of_other_settings_is_not_gone_on_with(
    data: Path, tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    nano.stage1(config(data, tmp_path / "out", steps=1))
    with pytest.raises(JobError, match=said):
        nano.stage1(config(tmp_path / "out" / "pack", tmp_path / "out", steps=1, **other))


def test_a_pack_of_other_sets_is_not_learned_from(data: Path, tmp_path: Path) -> None:
    nano.packed(config(data, tmp_path / "out", steps=1, drawn=2))
    assert nano.packed(config(data, tmp_path / "out", steps=1, drawn=2)) == tmp_path / "out" / "pack"
    with pytest.raises(JobError, match="drawn: 2, not 3"):
        nano.packed(config(data, tmp_path / "out", steps=1, drawn=3))


def test_the_command_trains_and_says_where_it_left_the_weights_and_where_it_goes_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        'model = "nano"\ndata = "x"\nout = "y"\nsteps = 2\nbatch = 2\nworkers = 0\ndrawn = 0\n', encoding="utf-8"
    )
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            main(["train", "stage1", str(path), "--data", str(data), "-o", str(tmp_path / "out")])
        assert stopped.value.code == 0
    told = capsys.readouterr()
    assert "stage1.pt" in told.out
    assert "step 1 · 50%" in told.err
    assert caplog.text.count("stage1.pt: continued at") == 1
