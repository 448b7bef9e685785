"""Cases to look at: the worst, the best, and a fair draw of all, small enough to keep while an evaluation runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from geomtrs.evaluation.measures import Outcome
from geomtrs.evaluation.runner import Answered
from geomtrs.outputs.lettering import font_of, wrap

EXTREMES, SHEET = 12, 60
SIDE_PX, LINE_PX = 220, 2
LEAST_PX = 160  # of the place that is shown, so that a house is seen with what is around it
TRUTH, ANSWER = (0, 214, 255), (255, 45, 130)
COLUMNS, CELL_PX = 5, 156


@dataclass(frozen=True, slots=True)
class Picture:
    """A case made small: before, after (h, w, 3) uint8 with the outlines of truth and answer, and what was asked."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    sentence: str
    set: str
    kind: str
    iou: float

    @property
    def caption(self) -> str:
        """Set, kind and IoU in a line."""
        return f"{self.set} · {self.kind} · IoU {self.iou:.2f}"


@dataclass(slots=True)
class Gallery:
    """What was kept so far. One case of a pair among the worst, one among the best; the draw is of all cases alike."""

    seed: int = 0
    seen: int = 0
    _worst: list[tuple[tuple[float, int], int, Picture]] = field(default_factory=list)
    _best: list[tuple[tuple[float, int], int, Picture]] = field(default_factory=list)
    _drawn: list[tuple[int, Picture]] = field(default_factory=list)
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        """The generator of the draw."""
        self._random = np.random.default_rng(self.seed)

    def add(self, answered: Answered, outcome: Outcome) -> None:
        """Looks at a case; it is made small only if it is kept."""
        if not outcome.known_px:
            return
        made: list[Picture] = []

        def picture() -> Picture:
            if not made:
                made.append(draw(answered, outcome))
            return made[0]

        # Of equal IoU the largest area between answer and truth is the worst, the largest target the best.
        wrong = outcome.sample.union - outcome.sample.intersection
        for kept, key in (
            (self._worst, (outcome.iou, -wrong)),
            (self._best, (-outcome.iou, -outcome.sample.target)),
        ):
            if kept is self._best and outcome.absent:
                continue
            same = next((entry for entry in kept if entry[1] == outcome.pair), None)
            rival = same or (max(kept, key=lambda entry: entry[0]) if len(kept) == EXTREMES else None)
            if rival is None or key < rival[0]:
                if rival is not None:
                    kept.remove(rival)
                kept.append((key, outcome.pair, picture()))
        place = self.seen if self.seen < SHEET else int(self._random.integers(self.seen + 1))
        if place < SHEET:
            self._drawn[place : place + 1] = [(self.seen, picture())]
        self.seen += 1

    @property
    def worst(self) -> list[Picture]:
        """The worst first."""
        return [entry[2] for entry in sorted(self._worst, key=lambda entry: entry[0])]

    @property
    def best(self) -> list[Picture]:
        """The best first; of cases with a target, since answering nothing with nothing is always perfect."""
        return [entry[2] for entry in sorted(self._best, key=lambda entry: entry[0])]

    @property
    def drawn(self) -> list[Picture]:
        """In the order of the evaluation."""
        return [picture for _, picture in sorted(self._drawn, key=lambda entry: entry[0])]


def draw(answered: Answered, outcome: Outcome) -> Picture:
    """The case where something is, with outlines; ground whose labels are not known is faded."""
    case = answered.case
    rows, cols = _window((case.mask & case.known) | (answered.mask & case.known))
    known, truth, said = (mask[rows, cols] for mask in (case.known, case.mask & case.known, answered.mask & case.known))
    height, width = known.shape
    scale = SIDE_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    known, truth, said = (_resized(mask, size) for mask in (known, truth, said))
    before, after = (
        _outlined(
            np.array(Image.fromarray(date[rows, cols]).resize(size, Image.Resampling.LANCZOS)), known, truth, said
        )
        for date in (case.before, case.after)
    )
    return Picture(before, after, case.sentence, case.set, case.kind, outcome.iou)


def sheet(pictures: Sequence[Picture]) -> Image.Image:
    """All pictures on one, COLUMNS wide: before and after beside each other, the sentence and IoU below."""
    font, gap, text = font_of(12), 8, 52
    cell = 2 * CELL_PX + 2
    lines = max(1, -(-len(pictures) // COLUMNS))
    made = Image.new("RGB", (COLUMNS * (cell + gap) + gap, lines * (CELL_PX + text + gap) + gap), "white")
    pen = ImageDraw.Draw(made)
    for number, picture in enumerate(pictures):
        x = gap + number % COLUMNS * (cell + gap)
        y = gap + number // COLUMNS * (CELL_PX + text + gap)
        for k, date in enumerate((picture.before, picture.after)):
            small = Image.fromarray(date)
            small.thumbnail((CELL_PX, CELL_PX))
            made.paste(small, (x + k * (CELL_PX + 2), y))
        said = wrap(picture.sentence, font, cell, most=2)
        for k, line in enumerate([*said, wrap(picture.caption, font, cell, most=1)[0]]):
            pen.text((x, y + CELL_PX + 1 + 15 * k), line, fill="black" if k < len(said) else "dimgrey", font=font)
    return made


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """A square around what is marked, half as large again and LEAST_PX at least; the whole where nothing is."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    side = max(LEAST_PX, int(1.5 * max(np.ptp(rows), np.ptp(cols))) + 1)

    def around(found: NDArray[np.intp], length: int) -> slice:
        start = min(max(0, int(found[0] + found[-1]) // 2 - side // 2), max(0, length - side))
        return slice(start, min(length, start + side))

    return around(rows, mask.shape[0]), around(cols, mask.shape[1])


def _resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A pixel is in where a quarter of it is, so that small things do not vanish."""
    grey = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX))
    resized: NDArray[np.bool_] = grey >= 64
    return resized


def _outlined(
    picture: NDArray[np.uint8], known: NDArray[np.bool_], truth: NDArray[np.bool_], said: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    picture[~known] = picture[~known] // 3 + 150
    # The answer's line lies inside, the truth's outside, so that both are seen where they run along each other.
    picture[ndimage.binary_dilation(truth, iterations=LINE_PX) & ~truth] = TRUTH
    picture[said & ~ndimage.binary_erosion(said, iterations=LINE_PX, border_value=1)] = ANSWER
    return picture
