"""The one prompt of the published model, and an expression as its tokens (mtrefseg-r1 §2.2, §2.3).

The prompt never changes: a sentence does not enter its text but stands in it as embeddings. Its ids are therefore kept
here as data, as much a part of the checkpoint as its weights. What follows the expression cannot reach the mask.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from geomtrs.errors import ModelError

SEG = 50296  # closes every expression; an ordinary token added by the authors, as is [PAD]
PAD = 50295

# "[INST] <<SYS>> … <</SYS>>\n\nThese are two temporal remote sensing images <image> and <image>. Please do Referring
# Change Detection Segmentation according to the following instruction:\n<refer>"
BEFORE_IMAGES = (
    58, 38604, 60, 9959, 50, 16309, 4211, 198, 1639, 389, 257, 7613, 3303, 290, 5761, 8796, 13, 921, 389, 1498,
    284, 1833, 262, 5874, 2695, 326, 262, 2836, 3769, 11, 290, 3342, 262, 2836, 351, 257, 4996, 286, 8861, 1262,
    3288, 3303, 13, 198, 27, 3556, 50, 16309, 4211, 198, 198, 4711, 389, 734, 21964, 6569, 34244, 4263, 220,
)  # fmt: skip
BETWEEN_IMAGES = (
    290, 220,
)  # fmt: skip
AFTER_IMAGES = (
    13, 4222, 466, 33973, 1806, 9794, 46254, 1001, 5154, 341, 1864, 284, 262, 1708, 12064, 25, 198,
)  # fmt: skip

_WHOLE = "tokenizer.json"
_PARTS = ("vocab.json", "merges.txt")
# CodeGen's tokens of white space: 31 spaces to 2, then 9 tabs to 2, after GPT-2's 50257.
_SPACES = [" " * count for count in range(31, 1, -1)] + ["\t" * count for count in range(9, 1, -1)]


def load_tokenizer(folder: Path) -> Tokenizer:
    """The checkpoint's tokenizer, from `tokenizer.json` or GPT-2's two files; nothing is fetched.

    Raises ModelError naming the files that are wanted where neither lies there or they do not read.
    """
    try:
        if (folder / _WHOLE).is_file():
            return Tokenizer.from_file(str(folder / _WHOLE))
        if all((folder / name).is_file() for name in _PARTS):
            return _from_parts(folder)
    except Exception as error:  # tokenizers raises bare Exception for anything it cannot read
        raise ModelError(
            folder,
            found=f"a tokenizer that does not read ({error})",
            wanted=f"{_WHOLE}, or {' and '.join(_PARTS)}",
            remedy="copy them again from the folder of Phi-1.5 that the checkpoint began with",
        ) from error
    raise ModelError(
        folder,
        found="no tokenizer",
        wanted=f"{_WHOLE}, or {' and '.join(_PARTS)}",
        remedy="copy them from the folder of Phi-1.5 that the checkpoint began with",
    )


def expression_ids(tokenizer: Tokenizer, sentence: str) -> list[int]:
    """A space and the sentence as it is, then the closing token (§2.3)."""
    ids: list[int] = tokenizer.encode(f" {sentence}", add_special_tokens=False).ids
    return [*ids, SEG]


def _from_parts(folder: Path) -> Tokenizer:
    vocabulary = json.loads((folder / _PARTS[0]).read_text(encoding="utf-8"))
    tokenizer = Tokenizer(BPE.from_file(*(str(folder / name) for name in _PARTS)))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    first = len(vocabulary)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in [*_SPACES, "[PAD]", "[SEG]"]])
    if tokenizer.token_to_id("[SEG]") != first + len(_SPACES) + 1:
        raise ValueError(f"a vocabulary of {first} pieces that is not GPT-2's")
    return tokenizer
