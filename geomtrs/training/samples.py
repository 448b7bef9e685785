"""Endless training batches from a pack of labelled tiles: images, and what is true of them for K questions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from geomtrs.data.composite import CROP_PX, TARGET_STRIDE, Scene, crop, log_uniform
from geomtrs.data.labels import ABSENT, ANYTHING, PRESENT, THINGS, UNKNOWN, UNLABELLED, mask_means, rule_of
from geomtrs.data.light import false_colours, light, recolour, stretch, wither
from geomtrs.data.pairs import Pack, Sample
from geomtrs.data.peaks import raise_peaks
from geomtrs.errors import JobError
from geomtrs.training.composing import compose
from geomtrs.training.sets import (
    COARSE,
    MASK_ABSENT,
    MASK_PRESENT,
    MAY_GROW,
    RULE_NUMBERS,
    RULE_TABLES,
    WEIGHTS,
    alike,
)
from geomtrs.training.truth import (
    APPEARED,
    CHANGED,
    DISAPPEARED,
    REPLACED,
    Question,
    Truth,
    about_of,
    anything_of,
    told,
)

QUESTIONS = 12  # a pair: every sentence of a pair shares one look at its images
_ZOOMS, _ZOOMS_COARSE = (0.7, 1.6), (0.45, 2.2)
_COMPOSED, _COMPOSED_AFAR = 0.2, 0.4  # of the labelled pairs; single dates always are
_PEAKS_SHARE = 0.2  # of the single dates from afar
_UNLABELLED_SHARE = 0.5  # of the pairs
_STRETCHED, _STRETCHED_COARSE = 0.1, 0.4  # of the pairs: what is deeper than eight bits is read so
_RECOLOURED_SHARE = 0.35  # of the pairs
_SEASON_SHARE = 0.12  # of the pairs
_INFRARED, _INFRARED_COARSE = 0.03, 0.25  # of the pairs: both dates in false colours
_CHANGED_SHARE = 0.3  # of what came or went: whether it changed is asked, too
_TWO_SHARE = 0.12  # of the questions about what came or went


@dataclass(frozen=True, slots=True)
class Drawn:
    """One pair and K questions; states are ABSENT, PRESENT or UNKNOWN, at half the resolution of the images."""

    images: NDArray[np.uint8]  # (2, 3, H, W)
    questions: list[Question]
    presence: NDArray[np.uint8]  # (K, 2, h, w) of the asked thing at both dates
    answers: NDArray[np.uint8]  # (K, h, w)
    existence: NDArray[np.uint8]  # (K,)


class PairSampler:
    """Draws pairs of dates with their labels; the only state is the pack and a generator."""

    def __init__(self, pack: Pack, rng: np.random.Generator, *, split: str = "train", absent: bool = True) -> None:
        """`split` of the samples that are drawn; without `absent`, what holds nowhere is not known."""
        self.pack, self.rng, self.absent = pack, rng, absent
        self.by_set: dict[str, list[Sample]] = {}
        for sample in pack.samples:
            if sample.split == split:
                self.by_set.setdefault(sample.set, []).append(sample)
        if not self.by_set:
            raise JobError(
                f"split {split}", found="no sample", wanted="one at least", remedy="check the sets and their splits"
            )
        self.sets = sorted(self.by_set)
        weights = np.array([WEIGHTS.get(name, 1.0) for name in self.sets])
        self.probabilities = weights / weights.sum()

    def draw(self) -> Drawn:
        """One pair of a set chosen by weight, composed, lit, turned, with its questions and their answers."""
        rng = self.rng
        name = self.sets[rng.choice(len(self.sets), p=self.probabilities)]
        sample = self._pick(name)
        before, after, still = self._read(sample)
        laid = np.zeros((CROP_PX, CROP_PX), bool)
        composed = sample.alone or rng.random() < (_COMPOSED_AFAR if name in MAY_GROW else _COMPOSED)
        if sample.alone and name in MAY_GROW and rng.random() < _PEAKS_SHARE:
            laid = raise_peaks(before, after, rng, RULE_NUMBERS["grown"])
        elif composed:
            laid = compose(name, before, after, lambda lender: self._read(self._pick(lender))[0], self.sets, rng)
        if rng.random() < (0.5 if sample.alone or name == "drawn" else 0.3):
            before, after = after, before
        strength = 1.0 if sample.alone else 0.6
        pictures = [before.image, after.image]
        if rng.random() < (_INFRARED_COARSE if name in COARSE else _INFRARED):
            pictures = false_colours(pictures, rng)
        if rng.random() < (_STRETCHED_COARSE if name in COARSE else _STRETCHED):
            pictures = [stretch(picture, rng) for picture in pictures]
        if rng.random() < _SEASON_SHARE:
            dry = int(rng.integers(2))
            pictures[dry] = wither(pictures[dry], rng)
        if rng.random() < _RECOLOURED_SHARE:
            self._recolour(name, pictures)
        images = np.stack([light(picture, rng, strength) for picture in pictures])
        step = slice(TARGET_STRIDE // 2, None, TARGET_STRIDE)
        first, last = (
            RULE_TABLES[scene.rule[step, step], :, scene.raw[step, step]].transpose(2, 0, 1)
            for scene in (before, after)
        )
        quiet = ((), ()) if composed else (sample.absent, sample.unchanged)  # what was laid in may be such a thing
        absent, unchanged = ([THINGS.index(thing) for thing in things] for things in quiet)
        first[absent] = last[absent] = ABSENT
        anything = anything_of(sample, before, after, still, laid)[step, step]
        truth = Truth(
            first, last, (still & ~laid)[step, step], (~still & ~laid)[step, step], anything, about_of(sample),
            tuple(unchanged),
        )  # fmt: skip
        questions = self._ask(truth)
        presence, answers, existence = told(questions, truth)
        if not self.absent:
            nowhere = existence != PRESENT
            answers[nowhere], existence[nowhere] = UNKNOWN, UNKNOWN
        flips, turns = rng.random() < 0.5, int(rng.integers(4))

        def turn(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return np.ascontiguousarray(np.rot90(x[..., ::-1] if flips else x, turns, (-2, -1)))

        return Drawn(turn(images.transpose(0, 3, 1, 2)), questions, turn(presence), turn(answers), existence)

    def _recolour(self, name: str, pictures: list[NDArray[np.uint8]]) -> None:
        """One date or both, in part, in the colours of some picture of like ground resolution."""
        rng = self.rng
        near = alike(name, self.sets)
        sample = self._pick(near[int(rng.integers(len(near)))])
        other = self.pack.plane(sample, "B" if not sample.alone and rng.random() < 0.5 else "A")
        assert other is not None
        for date in (0, 1) if rng.random() < 0.4 else (int(rng.integers(2)),):
            pictures[date] = recolour(pictures[date], other[::4, ::4], float(rng.uniform(0.2, 0.9)))

    def _pick(self, name: str) -> Sample:
        samples = self.by_set[name]
        return samples[int(self.rng.integers(len(samples)))]

    def _read(self, sample: Sample) -> tuple[Scene, Scene, NDArray[np.bool_]]:
        """A crop of both dates (the same twice for a single date) and where its set says that nothing changed."""
        rng = self.rng
        if sample.set in COARSE | MAY_GROW:  # some are enlarged: at half their size a crop shows them twice, reflected
            zoom, most = log_uniform(rng, _ZOOMS_COARSE), 2.0
        else:
            zoom, most = rng.uniform(*_ZOOMS), 1.05
        side = min(CROP_PX / zoom, max(sample.height, sample.width) * most)
        top = rng.uniform(min(0, sample.height - side), max(0, sample.height - side))
        left = rng.uniform(min(0, sample.width - side), max(0, sample.width - side))
        aside = rng.normal(0, 0.7, 2)  # registration differs between dates

        def take(plane: str, *, shift: bool = False) -> NDArray[np.uint8] | None:
            pixels = self.pack.plane(sample, plane)
            dy, dx = aside if shift else (0.0, 0.0)
            return None if pixels is None else crop(pixels, top + dy, left + dx, side, nearest=plane not in "AB")

        image_a, image_b = take("A"), take("B", shift=True)
        assert image_a is not None
        if image_b is None:
            image_b = take("A", shift=True)
            assert image_b is not None
        mask, label_a, label_b = take("mask"), take("labelA"), take("labelB")
        rule = rule_of(sample.set, sample.name)
        zero = np.zeros((CROP_PX, CROP_PX), np.uint8)
        still = np.full((CROP_PX, CROP_PX), sample.alone) if mask is None else mask == 0  # shown twice
        if rule is not None and label_a is not None:
            key = f"{sample.set}/{sample.name.split('_')[0]}"
            number = np.full_like(zero, RULE_NUMBERS[key if key in RULE_NUMBERS else sample.set])
            # A copy: what is laid into one date must not reach the labels of the other.
            second = label_b if label_b is not None else (label_a.copy() if sample.alone else zero + 255)
            return Scene(image_a, label_a, number), Scene(image_b, second, number.copy()), still
        thing = mask_means(sample.set, sample.name)
        if thing in (None, "anything"):
            return Scene(image_a, zero, zero.copy()), Scene(image_b, zero.copy(), zero.copy()), still
        number = np.full_like(zero, RULE_NUMBERS[f"mask/{thing}"])
        raw_a, raw_b = zero.copy(), zero.copy()
        if sample.direction in ("appear", "disappear") and mask is not None:
            first, last = (raw_a, raw_b) if sample.direction == "appear" else (raw_b, raw_a)
            first[mask > 0], last[mask > 0] = MASK_ABSENT, MASK_PRESENT
        return Scene(image_a, raw_a, number), Scene(image_b, raw_b, number.copy()), still

    def _ask(self, truth: Truth) -> list[Question]:
        """K questions whose answers are known in part: true ones, their opposites, other things, absent ones."""
        rng = self.rng
        come, gone = truth.come, truth.gone
        true: list[Question] = []
        known: list[Question] = []
        for t in range(len(THINGS)):
            for direction, states in ((APPEARED, come[t]), (DISAPPEARED, gone[t]), (CHANGED, truth.changed(t))):
                if (states == PRESENT).sum() >= 8:
                    true.append(Question(t, direction))
                elif (states == ABSENT).mean() > 0.3:
                    known.append(Question(t, direction))
        changed = [(q.thing, q.direction) for q in true if q.direction != CHANGED]
        known += [Question(t, DISAPPEARED if d == APPEARED else APPEARED) for t, d in changed]
        came_or_went = {t for t, _ in changed}  # else the mask tells that something changed, not which way
        true = [
            q for q in true if q.direction != CHANGED or q.thing not in came_or_went or rng.random() < _CHANGED_SHARE
        ]
        arrived = [t for t, d in changed if d == APPEARED]
        left = [t for t, d in changed if d == DISAPPEARED]
        true += [Question(t, REPLACED, s) for t in arrived for s in left if t != s]
        # Only where all of it is known: masks of one thing alone would teach that change is everywhere.
        if (truth.anything != UNKNOWN).mean() > 0.98:
            true.append(Question(ANYTHING, CHANGED))
        opposites = [q for q in known if q.thing in came_or_went]
        standing = [q for q in known if q not in opposites and (truth.before[q.thing] == PRESENT).any()]
        others = [q for q in known if q not in opposites and q not in standing]
        for questions in (true, opposites, standing, others):
            rng.shuffle(questions)
        asked = true[:6] + opposites[:3] + standing[:3]
        asked += others[: min(3, QUESTIONS - len(asked))]  # things that are nowhere teach little after the first few
        if len(asked) < QUESTIONS and arrived and left:
            asked.append(
                Question(left[0], REPLACED, arrived[0]) if left[0] != arrived[0] else Question(ANYTHING, CHANGED)
            )
        while len(asked) < QUESTIONS:
            asked.append(Question(int(rng.integers(len(THINGS))), int(rng.integers(2))))
        if rng.random() < _UNLABELLED_SHARE:
            asked[QUESTIONS - 1] = Question(UNLABELLED, int(rng.integers(REPLACED)))
        return self._sometimes_two(asked[:QUESTIONS], known + [Question(*one) for one in changed])

    def _sometimes_two(self, asked: list[Question], known: list[Question]) -> list[Question]:
        """The same questions, some of them about one more thing of which that is known."""
        rng = self.rng

        def together(question: Question) -> Question:
            others = [q.thing for q in known if q.direction == question.direction and q.thing != question.thing]
            if question.direction == CHANGED or question not in known or not others or rng.random() >= _TWO_SHARE:
                return question
            first, second = rng.permutation([question.thing, others[int(rng.integers(len(others)))]]).tolist()
            return Question(first, question.direction, second)

        return [together(question) for question in asked]


@dataclass
class Batch:
    """B pairs with K questions each; states are ABSENT, PRESENT or UNKNOWN."""

    images: Tensor  # (B, 2, 3, H, W) uint8
    questions: Tensor  # (B, K, 3) int64: thing, direction, source (-1 = none)
    presence: Tensor  # (B, K, 2, h, w) uint8
    answers: Tensor  # (B, K, h, w) uint8
    existence: Tensor  # (B, K) uint8

    def to(self, device: str) -> Batch:
        """The same on a device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class BatchStream(IterableDataset[Batch]):
    """Endless batches; the one of number i is drawn from (seed, i), so that a stream can begin anywhere."""

    def __init__(
        self, pack_folder: str, *, batch: int, seed: int, split: str = "train", first: int = 0, absent: bool = True
    ) -> None:
        """The pack is opened in the process that draws; `first` is the number of the first batch."""
        self.pack_folder, self.batch, self.seed = pack_folder, batch, seed
        self.split, self.first, self.absent = split, first, absent

    def __iter__(self) -> Iterator[Batch]:
        """Batches of `batch` pairs, forever; with several loader processes each takes its turn."""
        info = torch.utils.data.get_worker_info()
        step, offset = (info.num_workers, info.id) if info else (1, 0)
        pack = Pack(Path(self.pack_folder))
        sampler = PairSampler(pack, np.random.default_rng(0), split=self.split, absent=self.absent)
        for number in itertools.count(self.first + offset, step):
            yield batch_of(sampler, np.random.default_rng([self.seed, number]), self.batch)


def batch_of(sampler: PairSampler, rng: np.random.Generator, size: int) -> Batch:
    """`size` pairs drawn with this generator."""
    sampler.rng = rng
    drawn = [sampler.draw() for _ in range(size)]
    return Batch(
        torch.from_numpy(np.stack([d.images for d in drawn])),
        torch.tensor([[(q.thing, q.direction, q.source) for q in d.questions] for d in drawn]),
        torch.from_numpy(np.stack([d.presence for d in drawn])),
        torch.from_numpy(np.stack([d.answers for d in drawn])),
        torch.from_numpy(np.stack([d.existence for d in drawn])),
    )
