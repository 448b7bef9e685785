"""Aircraft and boats drawn into real pictures: they lie where they are said to, on free ground, alike in a row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from geomtrs.data.composite import CROP_PX, Scene
from geomtrs.data.labels import ABSENT, PRESENT, THINGS, UNKNOWN
from geomtrs.data.parked import AIRCRAFT_PX, BOATS_PX, SHIPS_PX, park
from geomtrs.training.sets import RULE_NUMBERS, RULE_TABLES


def plain() -> Scene:
    zero = np.zeros((CROP_PX, CROP_PX), np.uint8)
    return Scene(np.full((CROP_PX, CROP_PX, 3), 110, np.uint8), zero, zero.copy())


@pytest.mark.parametrize("lengths_px", [SHIPS_PX, BOATS_PX, AIRCRAFT_PX], ids=["ships", "boats", "aircraft"])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_drawn_is_labelled_and_stays_on_free_ground(seed: int, lengths_px: tuple[float, float]) -> None:
    afloat = lengths_px != AIRCRAFT_PX
    scene = plain()
    free = np.zeros((CROP_PX, CROP_PX), bool)
    free[:, CROP_PX // 3 :] = True
    where = park(scene, free, np.random.default_rng(seed), RULE_NUMBERS["grown"], afloat=afloat, lengths_px=lengths_px)
    thing = THINGS.index("boat" if afloat else "aircraft")
    states = RULE_TABLES[scene.rule, :, scene.raw]
    assert where.any()
    assert not (where & ~free).any()
    assert (states[where][:, thing] == PRESENT).all()
    assert (np.delete(states[where], thing, axis=1) == ABSENT).all()
    assert (states[~where] == UNKNOWN).all()
    assert (scene.image != 110).any(-1)[where].mean() > 0.9


def test_nothing_is_drawn_where_it_would_not_fit() -> None:
    scene = plain()
    where = park(
        scene, np.zeros((CROP_PX, CROP_PX), bool), np.random.default_rng(0), 1, afloat=True, lengths_px=BOATS_PX
    )
    assert not where.any()
    assert (scene.image == 110).all()
    assert not scene.rule.any()


def test_a_row_is_of_one_kind_and_not_of_one_piece() -> None:
    rows = []
    for seed in range(40):
        where = park(
            plain(),
            np.ones((CROP_PX, CROP_PX), bool),
            np.random.default_rng(seed),
            1,
            afloat=False,
            lengths_px=AIRCRAFT_PX,
        )
        pieces, count = ndimage.label(ndimage.binary_dilation(where))  # thin wings come apart in small ones
        rows.append(count)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() < 1.5 * np.median(sizes)
    assert max(rows) >= 4
