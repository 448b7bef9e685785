"""Models of transformers in a folder: one that sees and speaks, one that cuts out what a box holds. No network.

Only the image processors that need no torchvision are used; SAM's pictures are prepared here.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate, pad

from geomtrs.craft.endpoint import ANSWER_TOKENS
from geomtrs.craft.grid import around
from geomtrs.craft.protocols import Bool, Box, Candidate, CraftError, Finding, Pair, Prompt, Question, Reply
from geomtrs.craft.refine import within
from geomtrs.craft.segment import ONCE, refuse_large
from geomtrs.device import Device
from geomtrs.errors import ModelError

_HEAD_BYTES = 1 << 20
_DATES: Mapping[str, tuple[int, ...]] = {"appeared": (1,), "disappeared": (0,), "changed": (0, 1), "replaced": (1,)}


class LocalModel:
    """An image-text-to-text model in a folder (Qwen2-VL and kin, LLaVA), asked one question at a time."""

    def __init__(self, folder: Path, device: Device, *, answer_tokens: int = ANSWER_TOKENS) -> None:
        """Raises ModelError for a folder that does not load. `answer_tokens` at most are said."""
        from transformers import AutoModelForImageTextToText, AutoTokenizer
        from transformers.models.auto import image_processing_auto, processing_auto

        # Any: neither is typed.
        images: Any = image_processing_auto.AutoImageProcessor
        processor: Any = processing_auto.AutoProcessor
        self.name = f"{folder.name} {digest(folder)}"
        self._lock, self._device, self._most = threading.Lock(), device.name, answer_tokens
        try:
            network: Any = AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._images: Any = images.from_pretrained(folder, local_files_only=True)
            # That of Qwen2-VL and kin wants a reader of videos, which wants torchvision; their merging of patches says
            # how many tokens a picture is, which is all that is needed of it.
            merged = hasattr(self._images, "merge_size")
            self._processor: Any = None if merged else processor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise _does_not_load(
                folder, error, "an image-text-to-text model, its tokenizer and its processor"
            ) from error
        self._network = network.to(device.name).eval()

    def say(self, question: Question, schema: Mapping[str, Any]) -> Reply:
        """Its answer, the likeliest; what the schema wants is told in words. Raises CraftError where it cannot."""
        told = f"{question.prompt}\nAnswer with JSON of this schema alone: {json.dumps(schema)}"
        pictures = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in question.pictures]
        content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": told}]
        messages = [{"role": "user", "content": content}]
        with self._lock, torch.inference_mode():
            try:
                inputs = self._inputs(messages, pictures)
                length = inputs["input_ids"].shape[1]
                # The likeliest answer first; asked again, another one of a seed of its own.
                torch.manual_seed(question.turn)
                out = self._network.generate(**inputs, max_new_tokens=self._most, do_sample=question.turn > 0)
            except (RuntimeError, ValueError, IndexError) as error:
                raise CraftError(
                    self.name, found=f"{type(error).__name__}: {str(error)[:200]}", wanted="an answer",
                    remedy="try another model, or smaller pictures",
                ) from error  # fmt: skip
            text = self._tokenizer.decode(out[0, length:], skip_special_tokens=True)
        return Reply(text, length, out.shape[1] - length)

    def _inputs(self, messages: list[dict[str, Any]], pictures: list[Image.Image]) -> dict[str, Any]:
        speaker = self._processor or self._tokenizer
        text: str = speaker.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        if self._processor is not None:
            found = self._processor(images=pictures or None, text=[text], return_tensors="pt")
            return dict(found.to(self._device))
        token = self._tokenizer.decode([self._network.config.image_token_id])
        seen: dict[str, Any] = dict(self._images(images=pictures, return_tensors="pt")) if pictures else {}
        parts = text.split(token)
        counts = [int(grid.prod()) // self._images.merge_size**2 for grid in seen.get("image_grid_thw", ())]
        text = parts[0] + "".join(token * n + part for n, part in zip(counts, parts[1:], strict=True))
        found = dict(self._tokenizer([text], return_tensors="pt")) | seen
        ids = found["input_ids"]
        found["mm_token_type_ids"] = (ids == self._network.config.image_token_id).int()
        return {key: value.to(self._device) for key, value in found.items()}


class SamSegmenter:
    """The mask of a finding is what a SAM or SAM 2 in a folder cuts out of the box of its cells, at the date it is at.

    Of the three masks that it proposes the one it trusts most is taken; asked for more or less, the next larger or
    smaller one.
    """

    def __init__(self, folder: Path, device: Device) -> None:
        """Raises ModelError for a folder that does not load."""
        from transformers import AutoModelForMaskGeneration

        self.name = f"{folder.name} {digest(folder)}"
        self._lock, self._device = threading.Lock(), device.name
        try:
            network: Any = AutoModelForMaskGeneration.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
            facts = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
            self._side = int(facts["size"].get("longest_edge") or facts["size"]["height"])
            self._padded = "longest_edge" in facts["size"]  # SAM keeps the shape of a picture, SAM 2 does not
            self._mean, self._std = (torch.tensor(facts[key])[:, None, None] for key in ("image_mean", "image_std"))
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise _does_not_load(folder, error, "a SAM or SAM 2 with preprocessor_config.json") from error
        self._network = network.to(device.name).eval()
        self._seen: tuple[str, dict[int, Any]] = ("", {})  # what was made of the dates of the pair looked at last

    def segment(self, pair: Pair, finding: Finding, prompt: Prompt = ONCE) -> Candidate:
        """Of a change of state both dates' masks together. Raises CraftError for a pair that is too large."""
        refuse_large(pair)
        box = prompt.box or around(finding.cells)
        mask = np.zeros(pair.shape, bool)
        with self._lock, torch.inference_mode():
            for date in _DATES[finding.way]:
                mask |= self._cut(pair, date, box, prompt.more)
        return Candidate(finding, mask, np.ones(pair.shape, bool))

    def _cut(self, pair: Pair, date: int, box: Box, more: int) -> Bool:
        height, width = pair.shape
        scale = (self._side / max(pair.shape),) * 2 if self._padded else (self._side / width, self._side / height)
        across, down = width * scale[0], height * scale[1]  # of the picture as it is shown
        corners = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
        boxes = torch.tensor([[corners]], device=self._device)
        if self._seen[0] != pair.digest:
            self._seen = pair.digest, {}
        if date not in self._seen[1]:
            pixels = self._prepared((pair.before, pair.after)[date], scale)
            self._seen[1][date] = self._network.get_image_embeddings(pixels)
        out = self._network(image_embeddings=self._seen[1][date], input_boxes=boxes, multimask_output=True)
        logits = out.pred_masks[:, 0].float()  # (1, 3, h, w)
        # The shape that was shown, then without the border, then the picture's own.
        shown = interpolate(logits, size=(self._side, self._side), mode="bilinear", align_corners=False)
        shown = shown[..., : round(down), : round(across)]
        full = interpolate(shown, size=pair.shape, mode="bilinear", align_corners=False)[0] > 0
        masks = np.asarray(full.cpu().numpy(), bool) & within(box, pair.shape)
        by_size = masks.sum((1, 2)).argsort(kind="stable").tolist()
        best = by_size.index(int(out.iou_scores[0, 0].argmax()))
        mask: Bool = masks[by_size[min(max(best + more, 0), len(by_size) - 1)]]
        return mask

    def _prepared(self, picture: NDArray[np.uint8], scale: tuple[float, float]) -> torch.Tensor:
        """(1, 3, side, side) as the model was trained, at the left and top of a square where shapes are kept."""
        size = round(picture.shape[0] * scale[1]), round(picture.shape[1] * scale[0])
        x = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float() / 255
        x = interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
        return pad((x - self._mean) / self._std, (0, self._side - size[1], 0, self._side - size[0])).to(self._device)


def digest(folder: Path) -> str:
    """Of the configuration and the weights: their names, sizes and beginnings, since the whole of them takes minutes.

    Raises ModelError where there are none.
    """
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("config.json")])
    if len(files) < 2:
        raise _does_not_load(folder, FileNotFoundError("no config.json with safetensors"), "a folder of transformers")
    told = hashlib.blake2b(digest_size=6)
    for file in files:
        told.update(f"{file.name} {file.stat().st_size}".encode())
        with file.open("rb") as opened:
            told.update(opened.read(_HEAD_BYTES))
    return told.hexdigest()


def _does_not_load(folder: Path, error: Exception, wanted: str) -> ModelError:
    found = f"nothing that loads ({type(error).__name__}: {' '.join(str(error).split())[:160]})"
    return ModelError(folder, found=found, wanted=wanted, remedy="take the folder again from where it came")
