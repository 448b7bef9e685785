"""How the embedded checkpoint was made: pack, stage 1 without words, stage 2 with them, export.

python examples/train_nano.py --data TRAIN_FOLDER --encoder efficientnet-lite0.pth --language MINILM_FOLDER --out RUN [--minutes 28 44]

A run that is killed goes on where it saved last. Needs no GDAL.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader

from geomtrs.data.expressions import all_expressions
from geomtrs.data.pairs import read_folder, write_pack
from geomtrs.data.scenes import draw_scene
from geomtrs.models.mtrefseg import NanoParams, build_nano
from geomtrs.nn.efficientnet import convert_lite0
from geomtrs.nn.language import BertParams, convert_minilm
from geomtrs.nn.mask_decoder import SentenceQuery
from geomtrs.nn.reader import WordReader
from geomtrs.training.codes import CodeTable
from geomtrs.training.depthwise import speed_up_depthwise
from geomtrs.training.export import write_checkpoint, write_language
from geomtrs.training.loop import Settings, train
from geomtrs.training.samples import BatchStream
from geomtrs.training.stages import SentenceBank, start_stage2, teach_meanings, training_expressions

BATCH = 12
DRAWN = 320


def drawn_samples(count: int) -> Iterator[tuple[dict[str, object], dict[str, NDArray[np.uint8]]]]:
    """Drawn pairs as samples of a set of their own; one in sixteen is for validation."""
    for i in range(count):
        rng = np.random.default_rng([77, i])
        gsd = float(np.exp(rng.uniform(np.log(0.3), np.log(1.2))))
        pair = draw_scene(rng, (384, 384), gsd_m=gsd)
        facts: dict[str, object] = {
            "set": "drawn",
            "name": f"d{i}",
            "scene": f"d{i}",
            "gsd_m": gsd,
            "direction": "mixed",
        }
        facts["split"] = "val" if i % 16 == 0 else "train"
        yield facts, {"A": pair.before, "B": pair.after, "labelA": pair.labels_before, "labelB": pair.labels_after}


def loader(pack: Path, seed: int) -> DataLoader[object]:
    """Batches made in a process of their own."""
    return DataLoader(BatchStream(str(pack), batch=BATCH, seed=seed), batch_size=None, num_workers=1, prefetch_factor=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--data", "--encoder", "--language", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs=2, default=(28, 44), help="of stage 1 and stage 2")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    pack, params = arguments.out / "pack", NanoParams()
    if not (pack / "index.json").exists():

        def everything() -> Iterator[tuple[dict[str, object], dict[str, NDArray[np.uint8]]]]:
            yield from read_folder(arguments.data)
            yield from drawn_samples(DRAWN)

        print("packed", write_pack(pack, everything()), "samples")
    model = build_nano(params)
    model.encoder.load_state_dict(convert_lite0(torch.load(arguments.encoder, weights_only=True)))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    speed_up_depthwise(model)
    codes = CodeTable(params.width)
    bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    stage1 = Settings(seconds=60 * arguments.minutes[0], bf16=bf16)
    train(model, codes, codes, iter(loader(pack, 1)), stage1, arguments.out, stage="stage1")

    tower = convert_minilm(load_file(arguments.language / "model.safetensors"), BertParams())
    reader = model.language
    assert isinstance(reader, WordReader)
    reader.tower.load_state_dict(tower)
    codes = start_stage2(model, arguments.out / "stage1.pt", params.width)
    bank = SentenceBank(
        reader.tower, Tokenizer.from_file(str(arguments.language / "tokenizer.json")), training_expressions(), seed=3
    )
    print("sentence head at", teach_meanings(reader.head, bank, codes, steps=1200))

    def ask(questions: Tensor) -> SentenceQuery:
        return bank.ask(reader.head, bank.pick(questions))

    stage2 = Settings(seconds=60 * arguments.minutes[1], rate=6e-4, bf16=bf16)
    average = train(model, torch.nn.Identity(), ask, iter(loader(pack, 2)), stage2, arguments.out, stage="stage2")

    folder = arguments.out / "nano"
    tokenizer = (arguments.language / "tokenizer.json").read_text(encoding="utf-8")
    words = write_language(folder, tower, tokenizer, [e.text for e in all_expressions()])
    params = replace(params, language=replace(params.language, vocabulary=words))
    calibration = {"mask_temperature": 1.0, "existence_temperature": 1.0}
    write_checkpoint(
        folder,
        average.state_dict(),
        params,
        calibration=calibration,
        training={"minutes": list(arguments.minutes), "seed": 0},
    )
    print(json.dumps({file.name: file.stat().st_size for file in folder.iterdir()}))


if __name__ == "__main__":
    main()
