"""Samples of the published training: a split of MTRefSeg-21K in the model's square, in an order that seeds decide."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from geomtrs.data.measured import fitting
from geomtrs.data.mtrefseg21k import Sample, read_split
from geomtrs.data.pictures import read_mask, read_picture
from geomtrs.device import Device
from geomtrs.errors import JobError, QueryError
from geomtrs.models.letterbox import Letterbox
from geomtrs.models.prompt import expression_ids
from geomtrs.training.config import StageConfig
from tiling.errors import TilingError

# What stands after the expression, "<seg>" left out (§2.4): " [/INST] \nSure. It is .  <|endoftext|>".
ANSWER = (46581, 38604, 60, 220, 198, 19457, 13, 632, 318, 220, 13, 50286, 50256)
UNASKED = 3  # tokens of it without a label

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Samples of one process at one time; in stage 1 there are no ids."""

    dates: Tensor  # (B, 2, 3, S, S) float32, normalised
    mask: Tensor  # (B, 1, S, S) uint8
    ids: Tensor  # (B, L) int64: the expression, its closing token and ANSWER; 0 after them
    lengths: Tensor  # (B,) int64: of the expression with its closing token


@dataclass(frozen=True, slots=True)
class Place:
    """One of the processes that train together, and its device."""

    rank: int
    world: int
    device: Device


class Samples(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Dates (2, 3, S, S), mask (1, S, S) and ids (L,) of the samples of a split, in the model's square."""

    def __init__(self, triplets: tuple[Sample, ...], ids: list[list[int]], side_px: int) -> None:
        """`ids` of each sample's expression, empty where nothing is asked."""
        self.triplets, self.ids, self.side_px = triplets, ids, side_px

    def __len__(self) -> int:
        """Sentences in stage 2."""
        return len(self.triplets)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        one = self.triplets[index]
        assert one.mask is not None
        pictures = [torch.from_numpy(read_picture(path)).permute(2, 0, 1) for path in (one.before, one.after)]
        mask = torch.from_numpy(read_mask(one.mask).astype(np.uint8))
        dates = [self._square(picture).enter(picture[None])[0] for picture in pictures]
        ids = torch.tensor(self.ids[index], dtype=torch.int64)
        return torch.stack(dates), self._square(mask).enter_mask(mask[None]), ids

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor, Tensor]] | TilingError:
        """The samples of a batch, or what is wrong with one: raised here it would end as a traceback in a text."""
        try:
            return [self[index] for index in indices]
        except TilingError as error:
            return error

    def _square(self, plane: Tensor) -> Letterbox:
        return Letterbox.of(plane.shape[-2], plane.shape[-1], self.side_px)


def read_samples(
    config: StageConfig, place: Place, side_px: int, *, tokenizer: Tokenizer | None, sentence: str | None
) -> Samples:
    """Those of the config's split that have a mask, of the size of both pictures; others are told as passed over.

    tokenizer  of the sentences; None: nothing is asked
    sentence   asked of every sample instead of its own

    Raises JobError where they do not suffice for one step, DataError where there is no split, QueryError for a
    schedule by the clock.
    """
    if config.minutes is not None:
        raise QueryError(
            "config: minutes", found=str(config.minutes), wanted="steps or epochs", remedy="the schedule is by steps"
        )
    listing = fitting(read_split(Path(config.data)))  # each alone would be brought into the square, and not fit there
    if listing.broken:
        log.warning("%s: %d are passed over, the first %s", config.data, len(listing.broken), listing.broken[0])
    triplets = tuple(one for one in listing.samples if one.mask is not None)
    least = config.batch * config.accumulate * place.world
    if len(triplets) < least:
        raise JobError(
            config.data,
            found=f"{len(triplets)} samples with a mask",
            wanted=f"{least} at least: a step ({config.batch} x {config.accumulate} x {place.world} processes)",
            remedy="check data in the config, or lower batch or accumulate",
        )
    said = [sentence or one.sentence for one in triplets]
    ids = [[] if tokenizer is None else [*expression_ids(tokenizer, text), *ANSWER] for text in said]
    return Samples(triplets, ids, side_px)


def batches(config: StageConfig, samples: Samples, place: Place, first: int, steps: int) -> Iterator[Batch]:
    """The batches of one process from step `first` on.

    The order of an epoch is shuffled by (seed, epoch); what makes no whole step at its end is dropped.
    """
    each = config.batch * config.accumulate * place.world
    indices: list[list[int]] = []
    for step in range(first, steps):
        epoch, done = divmod(step, len(samples) // each)
        order = np.random.default_rng([config.seed, epoch]).permutation(len(samples))
        mine = order[done * each : (done + 1) * each].reshape(config.accumulate, place.world, config.batch)
        indices += mine[:, place.rank].tolist()
    return map(
        _right, iter(DataLoader(samples, batch_sampler=indices, num_workers=config.workers, collate_fn=_together))
    )


def _right(batch: Batch | TilingError) -> Batch:
    if isinstance(batch, TilingError):
        raise batch
    return batch


def _together(samples: list[tuple[Tensor, Tensor, Tensor]] | TilingError) -> Batch | TilingError:
    if isinstance(samples, TilingError):
        return samples
    dates, masks, ids = zip(*samples, strict=True)
    lengths = torch.tensor([len(one) - len(ANSWER) for one in ids])
    return Batch(torch.stack(dates), torch.stack(masks), pad_sequence(list(ids), batch_first=True), lengths)
