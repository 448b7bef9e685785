"""What an evaluation asks: two dates, a sentence, and where it holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Case:
    """One sentence about one pair, with its truth.

    known  where the labels tell at all; outside it no answer is right or wrong
    place  samples of one place count together in intervals
    kind   what the sentence is made of: direction, from-to, place, rank, size, count, several, absent-thing, …
    twin   the same meaning in words that training has seen where it has not seen these, or the other way
    swapped_empty  with the dates swapped nothing is right: the sentence is directional, and nothing went the other way
    """

    before: NDArray[np.uint8]  # (H, W, 3)
    after: NDArray[np.uint8]  # (H, W, 3)
    sentence: str
    mask: NDArray[np.bool_]  # (H, W)
    known: NDArray[np.bool_]  # (H, W)
    set: str
    place: str
    kind: str
    gsd_m: float | None = None
    thing: str | None = None
    direction: str | None = None
    held_out: bool = False  # its surface form was kept out of training
    swapped_empty: bool = False
    twin: str | None = None

    @property
    def empty(self) -> bool:
        """Nothing is there to be found."""
        return not self.mask.any()
