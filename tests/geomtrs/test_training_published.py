"""`geomtrs train` of the published size, by a network of its parts made small, in a square of 128 pixels."""

from __future__ import annotations

import gzip
import json
import math
import multiprocessing
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from geomtrs.data.triplets import Triplet, write_split
from geomtrs.device import choose
from geomtrs.errors import JobError, QueryError
from geomtrs.models import catalog, mtrefseg
from geomtrs.models.checkpoint import read_config, write_config, write_weights
from geomtrs.models.mtrefseg import BaseParams, MTRefSeg, build_base
from geomtrs.models.published_model import FAMILY, WEIGHTS, config_of
from geomtrs.nn import deformable
from geomtrs.nn.masked_attention import MaskedAttentionDecoder
from geomtrs.nn.phi import PhiParams
from geomtrs.nn.projector import TokenProjector
from geomtrs.nn.reader import ImageReader
from geomtrs.nn.swin import SwinParams
from geomtrs.training import loop, published
from geomtrs.training.config import StageConfig
from geomtrs.training.lora import add_adapters, merge_adapters
from geomtrs.training.point_losses import IGNORED, language_loss, set_loss
from geomtrs.training.published_samples import ANSWER, UNASKED, Batch, Place, Samples, batches, read_samples
from tiling.errors import TilingError

DATA = Path(__file__).parents[1] / "data"
PROMPT = json.loads((DATA / "parity" / "prompt.json").read_text(encoding="utf-8"))
SMALL = BaseParams(
    encoder=SwinParams(32, (1, 1, 1, 1), (1, 2, 4, 8), 4),
    language=PhiParams(width=32, layers=2, heads=2, hidden=64, rotary=8),
)
SIDE_PX = 128
READ_BY_NOTHING = ("SEG_query_embed", "new_query_embed", "SEG_proj", "CLASS_proj")
_encoder = deformable.DeformableEncoder
SENTENCES = ("the new house", "what was felled in the wood", "nothing")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A projector for maps of four places a side, and decoders with little in them; one thread."""
    make_small(monkeypatch)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtrefseg, "TokenProjector", partial(TokenProjector, side=SIDE_PX // 32))
    monkeypatch.setattr(mtrefseg, "MaskedAttentionDecoder", partial(MaskedAttentionDecoder, hidden=32, layers=3))
    monkeypatch.setattr(deformable, "DeformableEncoder", lambda width, hidden, layers: _encoder(width, 32, layers // 6))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patches:
        make_small(patches)
        return write_start(tmp_path_factory.mktemp("base") / "start")


def write_start(folder: Path) -> Path:
    """What `geomtrs model start` would write, of the parts as they are now."""
    folder.mkdir()
    torch.manual_seed(0)
    write_weights(folder / WEIGHTS, build_base(SMALL).state_dict())
    for packed in (DATA / "gpt2").glob("*.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    write_config(folder, config_of(SMALL, source="fresh"), (WEIGHTS, "vocab.json", "merges.txt"))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of 40 x 56 pixels, three sentences, the last about nothing."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "split"
    triplets = []
    for name, sentences in (("one", SENTENCES[:2]), ("two", SENTENCES[2:])):
        before, after = random.integers(0, 255, (2, 40, 56, 3), np.uint8)
        for sentence in sentences:
            mask = np.zeros((40, 56), bool)
            mask[5:20, 10 : 10 + 6 * len(sentence.split())] = sentence != "nothing"
            triplets.append(Triplet(name, before, after, mask, sentence))
    assert write_split(folder, triplets) == 3
    return folder


def config(start: Path, data: Path, out: Path, **told: Any) -> StageConfig:  # noqa: ANN401 - values of a config
    values: dict[str, Any] = {
        "steps": 2, "batch": 2, "workers": 0, "precision": "fp32", "device": "cpu", "warmup": 0.0, "clip": 0.0,
        "weight_decay": 0.0, "rate": 1e-4, "save_every": 100,
    }  # fmt: skip
    return StageConfig(model="base", data=str(data), out=str(out), start=str(start), **(values | told))


def moved(start: Path, folder: Path) -> set[str]:
    """Keys whose weights are others now."""
    before, after = load_file(start / WEIGHTS), load_file(folder / WEIGHTS)
    return {key for key in after if key not in before or not torch.equal(before[key], after[key])}


def of_parts(keys: set[str]) -> set[str]:
    return {key.split(".")[1] if key.startswith("language.") else key.split(".")[0] for key in keys}


LANGUAGE = {"phi", "lm_head", "projector", "conditioning"}
IMAGES = {"encoder", "fusion", "pixel_decoder", "mask_decoder"}


def test_stage_1_trains_the_image_side_and_its_folder_is_taken_by_weights(
    start: Path, data: Path, tmp_path: Path
) -> None:
    lines: list[dict[str, float]] = []
    folder = published.stage1(config(start, data, tmp_path), lines.append, side_px=64)
    assert [line["step"] for line in lines] == [1, 2]
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert {"step", "s", "loss", "share"} <= lines[-1].keys()
    changed = moved(start, folder)
    assert of_parts(changed) == IMAGES
    assert {"mask_decoder.query_feat.weight", "mask_decoder.query_embed.weight"} <= changed
    assert not any(name in key for key in changed for name in READ_BY_NOTHING)
    assert catalog.load("base", weights=folder, device="cpu", precision="fp32").name == "base"


def test_stage_2_trains_everything_and_its_folder_is_taken_by_weights(start: Path, data: Path, tmp_path: Path) -> None:
    lines: list[dict[str, float]] = []
    folder = published.stage2(config(start, data, tmp_path, accumulate=1), lines.append, side_px=SIDE_PX)
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert lines[0]["language"] == pytest.approx(math.log(50297), rel=0.1)  # fresh weights know no words
    assert lines[1]["rate"] == pytest.approx(0.5e-4)  # half-way down the cosine
    changed = moved(start, folder)
    assert of_parts(changed) == IMAGES | LANGUAGE
    assert not any("query_feat" in key or "seg_query" in key for key in changed)
    assert catalog.load("base", weights=folder, device="cpu", precision="fp32").name == "base"


@pytest.mark.parametrize("kind", ["concat_conv", "abs_diff", "avg"])
def test_every_other_fusion_starts_fresh_in_stage_1_and_stays_in_stage_2(
    start: Path, data: Path, tmp_path: Path, kind: str
) -> None:
    told: dict[str, Any] = {"steps": 1, "batch": 1, "fusion": kind}
    lines: list[dict[str, float]] = []
    first = published.stage1(config(start, data, tmp_path / "one", **told), lines.append, side_px=64)
    assert math.isfinite(lines[0]["loss"])
    assert read_config(first, FAMILY)["params"]["fusion"] == kind
    if kind == "abs_diff":  # one of them on to stage 2, by a config that says nothing of fusion
        second = published.stage2(
            config(first, data, tmp_path / "two", steps=1, batch=1), lines.append, side_px=SIDE_PX
        )
        assert read_config(second, FAMILY)["params"]["fusion"] == kind
        assert math.isfinite(lines[1]["loss"])


def test_end_to_end_trains_everything_on_one_sentence(start: Path, data: Path, tmp_path: Path) -> None:
    lines: list[dict[str, float]] = []
    folder = published.stage1(config(start, data, tmp_path, steps=1, end_to_end=True), lines.append, side_px=SIDE_PX)
    assert math.isfinite(lines[0]["language"])
    assert of_parts(moved(start, folder)) == IMAGES | LANGUAGE


def test_adapters_train_alone_and_are_merged_into_linear_layers(start: Path, data: Path, tmp_path: Path) -> None:
    folder = published.stage2(config(start, data, tmp_path, lora_rank=2, rate=1e-2), side_px=SIDE_PX)
    changed = moved(start, folder)
    linear = {f"{name}.weight" for name, module in build_base(SMALL).named_modules() if isinstance(module, nn.Linear)}
    assert changed <= linear - {"language.lm_head.weight"}
    assert of_parts(changed) == {"encoder", "pixel_decoder", "mask_decoder", "phi", "conditioning"}
    assert not any("out_proj" in key for key in changed)
    catalog.load("base", weights=folder, device="cpu", precision="fp32")


@pytest.mark.parametrize(("rank", "millions"), [(8, 8.63), (16, 17.26), (32, 34.51), (64, 69.02)])
def test_adapters_are_as_many_as_published(monkeypatch: pytest.MonkeyPatch, rank: int, millions: float) -> None:
    monkeypatch.undo()
    with torch.device("meta"):
        network = build_base(BaseParams())
    add_adapters(network, rank)
    learned = [p for p in network.parameters() if p.requires_grad]
    assert len(learned) == 2 * 283
    assert sum(p.numel() for p in learned) / 1e6 == pytest.approx(millions, abs=0.005)


def test_a_merged_layer_says_what_it_said_with_its_adapter() -> None:
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    keys = list(network.state_dict())
    add_adapters(network, 2)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(4, 6)
    wanted = network.eval()(x)
    merge_adapters(network)
    assert list(network.state_dict()) == keys
    assert torch.allclose(network(x), wanted, atol=1e-5)


def test_the_answer_is_the_prompts_after_the_expression_without_its_seg() -> None:
    special = PROMPT["special_ids"]
    after = PROMPT["prompt_ids"].index(special["<refer>"]) + 1
    kept = [i for i in range(after, len(PROMPT["prompt_ids"])) if PROMPT["prompt_ids"][i] != special["<seg>"]]
    assert [PROMPT["prompt_ids"][i] for i in kept] == list(ANSWER)
    assert [PROMPT["prompt_labels"][i] for i in kept] == [IGNORED] * UNASKED + list(ANSWER[UNASKED:])


@torch.inference_mode()
def test_a_batch_costs_what_its_sequences_cost_in_one_go_and_asks_what_inference_asks() -> None:
    torch.manual_seed(1)
    network = build_base(SMALL).eval()
    reader = network.language
    assert isinstance(reader, ImageReader)
    dates = torch.randn(2, 2, 3, SIDE_PX, SIDE_PX)
    sentences = [[262, 12420, 50296], [262, 6832, 1474, 50296]]
    ids = nn.utils.rnn.pad_sequence([torch.tensor([*s, *ANSWER]) for s in sentences], batch_first=True)
    batch = Batch(dates, torch.zeros(2, 1, SIDE_PX, SIDE_PX, dtype=torch.uint8), ids, torch.tensor([3, 4]))
    asked: list[Tensor] = []
    reader.conditioning.register_forward_hook(lambda *told: asked.append(told[2]))
    found = published.referring_loss(network, batch, choose("cpu", "fp32"))
    look = network.look(dates)
    for row, sentence in enumerate(sentences):
        alone = reader(torch.tensor(sentence), look.seen, look.coarse)
        assert torch.allclose(alone[row], asked[0][row], atol=1e-5)
    tokens = reader.projector(network.encoder(dates.transpose(0, 1).flatten(0, 1))[-1])
    costs = []
    for row, sentence in enumerate(sentences):
        before, between, after = (torch.tensor(part) for part in reader.prompt)
        words = [before, between, torch.cat([after, torch.tensor([*sentence, *ANSWER])])]
        texts = [reader.phi.embed_tokens(one) for one in words]
        hidden, _ = reader.phi(torch.cat([texts[0], tokens[row], texts[1], tokens[2 + row], texts[2]])[None])
        labels = torch.full((1, hidden.shape[1]), IGNORED)
        labels[0, -10:] = torch.tensor(ANSWER[UNASKED:])
        costs.append(language_loss(hidden, reader.lm_head.weight, labels))
    assert found["language"].item() == pytest.approx(sum(costs).item() / 2, rel=1e-5)  # type: ignore[union-attr]


def test_a_start_that_is_no_folder_of_weights_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"nowhere: found no config\.json; .*geomtrs model start"):
        published.stage1(config(tmp_path / "nowhere", data, tmp_path / "out"))


def test_masks_drawn_anew_in_place_are_not_gone_on_with(start: Path, data: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "split"))
    begun = config(start, copy, tmp_path / "out", steps=1)
    published.stage1(begun, side_px=64)
    moved_ = Path(shutil.copytree(copy, tmp_path / "moved"))
    published.stage1(config(start, moved_, tmp_path / "out", steps=1), side_px=64)
    Image.new("L", (56, 40), 255).save(copy / "masks" / "one" / "0.png")
    with pytest.raises(JobError, match=r"files: '7 files, \w+', not '7 files"):
        published.stage1(begun, side_px=64)


@pytest.mark.parametrize("misfit", ["B/two.png", "masks/two/0.png"])
def test_pairs_and_masks_of_several_sizes_are_passed_over_and_told(
    start: Path, data: Path, tmp_path: Path, misfit: str, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "split"))
    Image.open(copy / misfit).resize((90, 30)).save(copy / misfit)
    place = Place(0, 1, choose("cpu", "fp32"))
    samples = read_samples(config(start, copy, tmp_path / "out"), place, 64, tokenizer=None, sentence=None)
    assert [one.name for one in samples.triplets] == ["one", "one"]
    assert f"1 are passed over, the first {copy / misfit}: found 90 × 30 px; wanted 56 × 40 px" in caplog.text


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_run_that_stopped_goes_on_to_the_same_numbers(start: Path, data: Path, tmp_path: Path, stage: str) -> None:
    going = partial(getattr(published, stage), side_px=64 if stage == "stage1" else SIDE_PX)
    told = {"steps": 2, "batch": 1, "save_every": 1, "lora_rank": 2 if stage == "stage2" else 0}
    whole: list[dict[str, float]] = []
    parts: list[dict[str, float]] = []

    class StoppedError(Exception):
        pass

    def stop(line: dict[str, float]) -> None:
        if line["step"] == 2:
            raise StoppedError

    folder = going(config(start, data, tmp_path / "whole", **told), whole.append)
    with pytest.raises(StoppedError):
        going(config(start, data, tmp_path / "parts", **told), stop)
    again = going(config(start, data, tmp_path / "parts", **told), parts.append)
    assert [line["step"] for line in parts] == [2]
    assert [line["loss"] for line in parts] == [line["loss"] for line in whole[1:]]
    assert load_file(folder / WEIGHTS).keys() == load_file(again / WEIGHTS).keys()
    assert not moved(folder, again)
    with pytest.raises(JobError, match=r"rate: 0\.0001, not 0\.1"):
        going(config(start, data, tmp_path / "parts", **told, rate=0.1))


def test_a_stage_of_other_sentences_or_another_start_is_not_gone_on_with(
    start: Path, data: Path, tmp_path: Path
) -> None:
    begun = config(start, data, tmp_path / "out", steps=1, batch=1)
    first = published.stage1(begun, side_px=64)
    with pytest.raises(JobError, match="start: 'weights "):
        published.stage1(replace(begun, start=str(first)), side_px=64)
    other = shutil.copytree(data, tmp_path / "other")
    refer = next(other.rglob("*.json*"))
    refer.write_text(refer.read_text(encoding="utf-8").replace("the new house", "the old house"), encoding="utf-8")
    with pytest.raises(JobError, match="data: '3 samples, "):
        published.stage1(replace(begun, data=str(other)), side_px=64)
    moved_data = str(shutil.copytree(data, tmp_path / "moved"))
    assert published.stage1(replace(begun, data=moved_data), side_px=64) == first


def test_a_picture_that_does_not_read_is_named_from_the_process_that_loads(
    start: Path, data: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(data, tmp_path / "broken")
    for picture in (broken / "A").iterdir():
        picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(TilingError, match=r"^/.*/A/(one|two)[^ ]*: found "):
        published.stage1(config(start, broken, tmp_path / "out", workers=1), side_px=64)


def test_a_gradient_that_is_no_number_moves_nothing_and_stops_after_a_while(
    start: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = MTRefSeg.maps
    maps = []

    def poisoned(self: MTRefSeg, dates: Tensor) -> Any:  # noqa: ANN401 - as it came
        maps.append(0)
        return whole(self, dates * (float("nan") if len(maps) > 1 else 1.0))

    monkeypatch.setattr(MTRefSeg, "maps", poisoned)
    monkeypatch.setattr(loop, "_BAD_STEPS", 2)
    with pytest.raises(JobError, match="without a finite gradient"):
        published.stage1(config(start, data, tmp_path, steps=9, batch=1, save_every=1), side_px=64)
    state = torch.load(tmp_path / "stage1.pt", weights_only=True)
    assert state["steps"] == 1
    assert all(value.isfinite().all() for value in state["learned"].values())


def test_data_that_make_no_step_and_a_start_that_is_not_named_are_told(start: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"found 3 samples with a mask; wanted 8 at least: a step \(4 x 2 x 1 processes"):
        published.stage1(config(start, data, tmp_path, batch=4, accumulate=2))
    (tmp_path / "empty" / "A").mkdir(parents=True)
    (tmp_path / "empty" / "B").mkdir()
    with pytest.raises(JobError, match="found 0 samples"):
        published.stage2(config(start, tmp_path / "empty", tmp_path))
    with pytest.raises(JobError, match="geomtrs model start"):
        published.stage1(StageConfig(model="base", data=str(data), out=str(tmp_path), steps=1))
    with pytest.raises(QueryError, match="wanted steps or epochs"):
        published.stage1(config(start, data, tmp_path, steps=None, minutes=1.0))


def test_an_epoch_asks_every_sample_once_in_an_order_of_its_own_whatever_the_processes() -> None:
    class Numbers(Samples):
        def __init__(self) -> None:
            self.triplets = (None,) * 16  # type: ignore[assignment]

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
            return torch.tensor(index), torch.tensor(0), torch.tensor([0] * len(ANSWER))

    def asked(world: int, accumulate: int) -> list[list[list[int]]]:
        told = StageConfig(model="base", data="d", out="o", steps=4, batch=2, accumulate=accumulate, workers=0)
        device = choose("cpu", "fp32")
        return [
            [batch.dates.tolist() for batch in batches(told, Numbers(), Place(rank, world, device), 0, 4)]
            for rank in range(world)
        ]

    (alone,), (first, second) = asked(1, 4), asked(2, 2)
    flat = [[*chain(*alone[4 * step : 4 * step + 4])] for step in range(4)]
    assert sorted(flat[0] + flat[1]) == sorted(flat[2] + flat[3]) == list(range(16))
    assert flat[:2] != flat[2:]
    for step in range(4):
        mine, theirs = (one[2 * step : 2 * step + 2] for one in (first, second))
        assert sorted(chain(*mine, *theirs)) == sorted(flat[step])


def same_points(shape: tuple[int, ...], device: object = None) -> Tensor:
    """The same places for every mask, so that it does not matter who draws."""
    del device
    return torch.rand((1, *shape[1:]), generator=torch.Generator().manual_seed(shape[1])).expand(shape)


def together(rank: int, world: int, port: int, told: StageConfig) -> None:
    """One of the processes, with the small parts."""
    with pytest.MonkeyPatch.context() as patches:
        make_small(patches)
        for name, value in (("RANK", rank), ("WORLD_SIZE", world), ("LOCAL_RANK", rank), ("MASTER_PORT", port)):
            patches.setenv(name, str(value))
        patches.setenv("MASTER_ADDR", "127.0.0.1")
        patches.setattr(published, "set_loss", lambda heads, mask, draw: set_loss(heads, mask, draw=same_points))
        torch.set_num_threads(1)
        published.stage2(told, side_px=SIDE_PX)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_of_the_same_samples(start: Path, data: Path, tmp_path: Path) -> None:
    together(0, 1, 0, config(start, data, tmp_path / "one", accumulate=2, batch=1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    two = config(start, data, tmp_path / "two", batch=1)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=together, args=(rank, 2, port, two)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(250)
    assert [process.exitcode for process in processes] == [0, 0]
    logs = [(tmp_path / name / "log.jsonl").read_text(encoding="utf-8").splitlines() for name in ("one", "two")]
    alone, both = ([json.loads(line)["loss"] for line in lines] for lines in logs)
    assert both == pytest.approx(alone, rel=1e-4)
    catalog.load("base", weights=tmp_path / "two" / "base", device="cpu", precision="fp32")


@pytest.mark.slow
def test_a_step_in_bf16_costs_about_what_it_costs_in_fp32(start: Path, data: Path, tmp_path: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        lines: list[dict[str, float]] = []
        going = config(start, data, tmp_path / precision, steps=1, precision=precision)
        published.stage2(going, lines.append, side_px=SIDE_PX)
        losses[precision] = lines[0]["loss"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_step_of_stage_2_in_the_published_square(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # whole decoders, ten heads
    begin = write_start(tmp_path / "start")
    lines: list[dict[str, float]] = []
    published.stage2(config(begin, data, tmp_path / "out", steps=1, batch=1), lines.append)
    assert math.isfinite(lines[0]["loss"])
    assert {"encoder", "phi", "projector"} <= of_parts(moved(begin, tmp_path / "out" / "base"))
