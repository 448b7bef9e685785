"""Both stages of the small model, from a config to a folder that `--weights` takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from geomtrs.data.composite import log_uniform
from geomtrs.data.expressions import all_expressions
from geomtrs.data.labels import PRESENT
from geomtrs.data.pairs import (
    Facts,
    Pack,
    Planes,
    count_folder,
    folder_content,
    read_folder,
    read_places,
    tells,
    write_pack,
)
from geomtrs.data.scenes import draw_scene
from geomtrs.data.whole import whole_folder
from geomtrs.device import choose, cpu_has_bf16
from geomtrs.errors import JobError
from geomtrs.hashing import file_hash
from geomtrs.models.checkpoint import read_config as read_checkpoint
from geomtrs.models.checkpoint import verified_bytes
from geomtrs.models.mtrefseg import MTRefSeg, NanoParams, build_nano
from geomtrs.models.nano import FAMILY, weights_of
from geomtrs.nn.efficientnet import convert_lite0
from geomtrs.nn.language import BertParams, convert_minilm
from geomtrs.nn.reader import WordReader
from geomtrs.training.agreeing import agree
from geomtrs.training.calibration import calibrate
from geomtrs.training.codes import CodeTable
from geomtrs.training.config import StageConfig
from geomtrs.training.depthwise import speed_up_depthwise
from geomtrs.training.export import cut_vocabulary, write_checkpoint
from geomtrs.training.loop import Ask, Batches, Settings, Told, counted, refuse_other_settings, step_loss, train
from geomtrs.training.samples import Batch, BatchStream, PairSampler, batch_of
from geomtrs.training.stages import (
    START_1,
    START_2,
    SentenceBank,
    read_state,
    start_stage2,
    teach_meanings,
    training_expressions,
)

UNCALIBRATED = {"mask_temperature": 1.0, "existence_temperature": 1.0}
_PACKED_EVERY = 100  # samples of which somebody is told
VAL_BATCHES, CALIBRATION_BATCHES = 4, 24


def stage1(config: StageConfig, told: Told | None = None) -> Path:
    """Change without words: a learned query per thing; `out` gets stage1.pt.

    Raises JobError for data or a start that is not there, an empty split and a loss that is no number.
    """
    state = None if config.start is None else convert_lite0(_lite0(Path(config.start)))
    pack = packed(config, told)
    torch.manual_seed(config.seed)
    params = NanoParams(fusion=config.fusion)
    model = build_nano(params)
    if state is not None:
        model.encoder.load_state_dict(state)
    model = _quick(model)
    codes = CodeTable(params.width)
    _train(config, model, codes, codes, pack, stage="stage1", told=told)
    return Path(config.out) / "stage1.pt"


def stage2(config: StageConfig, told: Told | None = None) -> Path:
    """Change with words; `out` gets stage2.pt and `nano/`, a folder for --weights.

    Begins with a stage1.pt and a MiniLM folder (`language`), or goes on from a folder of nano's weights.
    """
    if config.start is None:
        raise JobError("start", found="nothing", wanted=START_2, remedy="name it in the config")
    start, folder = Path(config.start), Path(config.out) / "nano"
    if not (start / "config.json").is_file():
        read_state(start, START_2)  # rather now than after the packing
    pack = packed(config, told)
    torch.manual_seed(config.seed)
    if start.is_dir():
        model, params, tokenizer = _go_on(start)
        bank = _bank(model, tokenizer, config.seed)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(start / "tokenizer.json", folder / "tokenizer.json")
    else:
        model, params, bank = _begin(start, config, folder)
    model = _quick(model)
    then = told and (lambda facts: told({**facts, "words_after": config.agree}))
    average = _train(config, model, nn.Identity(), _asking(model, bank), pack, stage="stage2", told=then).cpu()
    if config.agree:
        torch.manual_seed(config.seed)
        bf16 = config.precision != "fp32" and cpu_has_bf16()  # it looks at no picture, so the processor will do
        agree(_reader(average), bank, steps=config.agree, seed=config.seed, bf16=bf16, told=told)
    calibration = read_checkpoint(start, FAMILY)["calibration"] if start.is_dir() else UNCALIBRATED
    if any(sample.split == "val" and tells(sample) for sample in Pack(pack).samples):
        unseen = val_batches(pack, config.batch, CALIBRATION_BATCHES)
        calibration = calibration | calibrate(average, _asking(average, bank), unseen, told)
    training = {
        key: value for key, value in config.to_dict().items() if key not in ("data", "out", "start", "language")
    }
    write_checkpoint(folder, average.state_dict(), params, calibration=calibration, training=training)
    (folder / "card.md").write_text(_CARD, encoding="utf-8")
    return folder


_CARD = """# nano, trained by `geomtrs train`

Calibrated by temperature on scenes that training did not see (config.json). Licence: that of the data it learned from.
"""


def packed(config: StageConfig, told: Told | None = None) -> Path:
    """The pack of a config's data: itself, or one made in `out` of its folder of sets and drawn scenes.

    Raises JobError where the folder is not there or what was packed is another, DataError where it holds no set.
    """
    data, pack = Path(config.data), Path(config.out) / "pack"
    if (data / "index.json").is_file():
        _refuse_other_samples(config, data)
        return data
    made, of = pack / "made_of.json", {name: config.to_dict()[name] for name in ("data", "sets", "val", "drawn")}
    if data.is_dir():
        of |= folder_content(data, config.sets or None)
    if (pack / "index.json").is_file():
        now = json.loads(json.dumps(of))  # lists where the config has tuples
        before = json.loads(made.read_text(encoding="utf-8")) if made.is_file() else {}
        refuse_other_settings(pack, {**now, **before}, now, ())  # packs of before tell no files
        return pack
    if not data.is_dir():
        raise JobError(data, found="no folder", wanted="sets, or a pack of them", remedy="check data in the config")
    count = counted(told, "packed", count_folder(data, config.sets or None) + config.drawn)

    def everything() -> Iterator[tuple[Facts, Planes]]:
        val = None if config.val is None else read_places(Path(config.val))
        samples = chain(read_folder(data, config.sets or None, val=val), drawn_samples(config.drawn))
        for number, sample in enumerate(samples, 1):
            yield sample
            if number % _PACKED_EVERY == 0:
                count(number)

    with whole_folder(pack) as temporary:
        write_pack(temporary, everything())
        (temporary / made.name).write_text(json.dumps(of), encoding="utf-8")
    return pack


def _refuse_other_samples(config: StageConfig, pack: Path) -> None:
    """Raises JobError where a pack has other sets, or other scenes to validate on, than the config asks for."""
    samples = [sample for sample in Pack(pack).samples if sample.set != "drawn"]
    others = sorted({sample.set for sample in samples} - set(config.sets or (sample.set for sample in samples)))
    if others:
        raise JobError(
            pack, found=f"samples of {', '.join(others)}", wanted=f"{', '.join(config.sets)} alone",
            remedy="leave sets out of the config, or name the folder of sets as data",
        )  # fmt: skip
    places = {} if config.val is None else read_places(Path(config.val))
    for sample in samples:
        kept = sample.scene in places.get(sample.set, ())
        if sample.set in places and kept != (sample.split == "val"):
            raise JobError(
                pack, found=f"{sample.set}/{sample.name} to {'train' if kept else 'validate on'}",
                wanted=f"the scenes that {config.val} keeps", remedy="leave val out of the config, or pack with it",
            )  # fmt: skip


def drawn_samples(count: int) -> Iterator[tuple[Facts, Planes]]:
    """Drawn pairs as samples of a set of their own; one in sixteen is for validation."""
    for i in range(count):
        rng = np.random.default_rng([77, i])
        gsd = log_uniform(rng, (0.3, 1.2))
        pair = draw_scene(rng, (384, 384), gsd_m=gsd)
        facts: Facts = {
            "set": "drawn",
            "name": f"d{i}",
            "scene": f"d{i}",
            "gsd_m": gsd,
            "direction": "mixed",
            "split": "val" if i % 16 == 0 else "train",
        }
        yield facts, {"A": pair.before, "B": pair.after, "labelA": pair.labels_before, "labelB": pair.labels_after}


def _train(
    config: StageConfig, model: MTRefSeg, extra: nn.Module, ask: Ask, pack: Path, *, stage: str, told: Told | None
) -> MTRefSeg:
    if config.epochs is not None:
        count = sum(sample.split == "train" for sample in Pack(pack).samples)
        config = replace(config, epochs=None, steps=max(1, round(config.epochs * count / config.batch)))
    device = choose(config.device, config.precision)
    settings = Settings(
        steps=config.steps,
        seconds=None if config.minutes is None else 60 * config.minutes,
        rate=config.rate,
        encoder_rate=config.encoder_rate,
        weight_decay=config.weight_decay,
        warmup=config.warmup,
        clip=config.clip,
        ema=config.ema,
        frozen_blocks=config.frozen_blocks,
        keep_norms=config.keep_norms,
        bf16=device.precision == "bf16",
        device=device.name,
        seed=config.seed,
        accumulate=config.accumulate,
        save_every=config.save_every,
        look_every=config.look_every,
    )
    look = _validation(config, ask, pack, device.name)
    return train(
        model,
        extra,
        ask,
        _batches(config, pack),
        settings,
        Path(config.out),
        stage=stage,
        learns_from={"batch": config.batch, "absent": config.absent, **_learned_from(config, pack, stage)},
        look=look,
        told=told,
    )


def _learned_from(config: StageConfig, pack: Path, stage: str) -> dict[str, object]:
    """What a stage learns from and begins with, told by what is in it: files that were moved are the same."""
    start = None if config.start is None else Path(config.start)
    language = config.language if stage == "stage2" and start is not None and not start.is_dir() else None
    return {
        "data": f"{len(Pack(pack).samples)} samples, {file_hash(pack / 'index.json')[:12]}",
        "start": start and _marked(start),
        "language": language and _marked(Path(language)),
        "fusion": config.fusion,
    }


def _marked(weights: Path) -> str:
    return f"weights {file_hash(weights / 'model.safetensors' if weights.is_dir() else weights)[:12]}"


def _batches(config: StageConfig, pack: Path) -> Batches:
    PairSampler(Pack(pack), np.random.default_rng(0))  # an empty split is told here, not from another process
    if not any(tells(one) or one.absent or one.unchanged for one in Pack(pack).samples if one.split == "train"):
        raise JobError(
            pack, found="no sample to learn from that says anything", remedy="see what geomtrs data pack notes of them",
            wanted="labels with a rule, or a mask with a meaning, in geomtrs/data/labels.py",
        )  # fmt: skip

    def batches(first: int) -> Iterator[Batch]:
        stream = BatchStream(str(pack), batch=config.batch, seed=config.seed, first=first, absent=config.absent)
        prefetch = 6 if config.workers else None
        loader: Any = DataLoader(stream, batch_size=None, num_workers=config.workers, prefetch_factor=prefetch)
        return iter(loader)

    return batches


def _validation(
    config: StageConfig, ask: Ask, pack: Path, device: str
) -> Callable[[MTRefSeg, int], Mapping[str, float]] | None:
    """The loss on a few batches of the other scenes, and a picture of the first; None where there are none."""
    batches = val_batches(pack, config.batch, VAL_BATCHES)
    if not batches:
        return None

    @torch.inference_mode()
    def look(model: MTRefSeg, step: int) -> Mapping[str, float]:
        losses = [float(step_loss(model, ask, batch, bf16=False, device=device)[0]) for batch in batches]
        draw_samples(model, ask, batches[0].to(device), Path(config.out) / f"look-{step:06d}.png")
        return {"val_loss": sum(losses) / len(losses)}

    return look


def val_batches(pack: Path, size: int, count: int) -> list[Batch]:
    """The same batches of the scenes that are kept out, every time; none where there are no such scenes."""
    if not any(sample.split == "val" for sample in Pack(pack).samples):
        return []
    sampler = PairSampler(Pack(pack), np.random.default_rng(0), split="val")
    return [batch_of(sampler, np.random.default_rng([9, i]), size) for i in range(count)]


@torch.inference_mode()
def draw_samples(model: MTRefSeg, ask: Ask, batch: Batch, path: Path, rows: int = 6) -> None:
    """A picture: of each pair both dates, then two answers, each beside what is true (white) and not known (grey)."""
    answer = model.answer(model.maps(batch.images.float()), ask(batch.questions))
    lines = []
    for pair in range(min(rows, len(batch.images))):
        size = batch.images.shape[-1]
        tiles = [batch.images[pair, date].permute(1, 2, 0).cpu().numpy() for date in range(2)]
        true_first = torch.argsort((batch.existence[pair] != PRESENT).int(), stable=True)[:2].tolist()
        for question in true_first:
            found = (answer.mask[pair, question].sigmoid() * 255).byte().cpu().numpy()
            states = batch.answers[pair, question].cpu().numpy()
            truth = np.choose(states, [0, 255, 128]).astype(np.uint8)
            for plane in (truth, found):
                grey = Image.fromarray(plane).resize((size, size), Image.Resampling.NEAREST)
                tiles.append(np.repeat(np.asarray(grey)[..., None], 3, -1))
        lines.append(np.concatenate(tiles, 1))
    Image.fromarray(np.concatenate(lines)).save(path)


def _begin(checkpoint: Path, config: StageConfig, folder: Path) -> tuple[MTRefSeg, NanoParams, SentenceBank]:
    """Stage 2 after stage 1: its image parts, a language tower, and a sentence head that knows what words mean.

    After ImageNet alone, nothing is known yet.
    """
    if config.language is None or not (Path(config.language) / "model.safetensors").is_file():
        raise JobError(
            config.language or "language",
            found="no MiniLM",
            wanted="a folder with model.safetensors and tokenizer.json",
            remedy="name it as language in the config",
        )
    language = Path(config.language)
    source = (language / "tokenizer.json").read_text(encoding="utf-8")
    text, kept = cut_vocabulary(source, [e.text for e in all_expressions()])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    params = NanoParams(fusion=config.fusion, language=BertParams(vocabulary=len(kept)))
    model = build_nano(params)
    tower = convert_minilm(load_file(language / "model.safetensors"), params.language)
    reader = _reader(model)
    reader.tower.load_state_dict({**tower, "words.weight": tower["words.weight"][kept]})
    codes = start_stage2(model, checkpoint, params.width)
    bank = _bank(model, Tokenizer.from_str(text), config.seed)
    if codes is not None:
        teach_meanings(reader.head, bank, codes, steps=1200)
    return model, params, bank


def _lite0(path: Path) -> dict[str, Tensor]:
    state = read_state(path, START_1)
    if "_conv_stem.weight" not in state:
        raise JobError(path, found="weights of another network", wanted=START_1, remedy="check start in the config")
    return state


def _go_on(folder: Path) -> tuple[MTRefSeg, NanoParams, Tokenizer]:
    """Nano as it was exported, in float32, with fresh statistics of nothing."""
    config = read_checkpoint(folder, FAMILY)
    params, state = weights_of(folder, config)
    model = build_nano(params)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model, params, Tokenizer.from_str(verified_bytes(folder, "tokenizer.json", config).decode("utf-8"))


def _bank(model: MTRefSeg, tokenizer: Tokenizer, seed: int) -> SentenceBank:
    return SentenceBank(_reader(model).tower, tokenizer, training_expressions(), seed=seed + 3)


def _asking(model: MTRefSeg, bank: SentenceBank) -> Ask:
    head = _reader(model).head
    return lambda questions: bank.ask(head, bank.pick(questions))


def _reader(model: MTRefSeg) -> WordReader:
    return cast("WordReader", model.language)


def _quick(model: MTRefSeg) -> MTRefSeg:
    """Ready for a processor: channels last, and the quick gradient of depthwise convolutions."""
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    if not torch.cuda.is_available():
        speed_up_depthwise(model)
    return model
