"""The same ground in another light, season or sensor: what changes is the colours, and how far."""

from __future__ import annotations

import numpy as np

from geomtrs.data.light import false_colours, recolour, stretch, wither


def test_a_stretched_picture_fills_its_range_in_every_band_and_keeps_the_order_of_its_pixels() -> None:
    rng = np.random.default_rng(0)
    dull = rng.integers(90, 140, (64, 64, 3), dtype=np.uint8)
    bright = stretch(dull, rng)
    assert all(np.ptp(bright[..., band]) == 255 for band in range(3))
    order = np.argsort(dull[..., 0].ravel(), kind="stable")
    assert (np.diff(bright[..., 0].ravel()[order].astype(int)) >= 0).all()


def test_a_recoloured_picture_comes_as_near_to_the_colours_of_another_as_its_share_says() -> None:
    rng = np.random.default_rng(8)
    mine = rng.normal((90, 110, 70), 20, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    other = rng.normal((150, 120, 100), 30, (32, 48, 3)).clip(0, 255).astype(np.uint8)
    apart = [abs(recolour(mine, other, share).mean((0, 1)) - other.mean((0, 1))).max() for share in (0.0, 0.5, 1.0)]
    assert apart[2] < 2 < apart[1] < 0.6 * apart[0]
    assert np.array_equal(recolour(mine, other, 0.0), mine)


def test_withered_ground_loses_its_green_and_roofs_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    picture = np.full((8, 8, 3), (120, 122, 124), np.uint8)
    picture[:, :4] = 60, 130, 50
    dry = wither(picture, rng).astype(int)
    assert (dry[:, :4, 1] - dry[:, :4, 0] < 45).all()  # 70 before
    assert (abs(dry[:, 4:] - picture[:, 4:]) <= 1).all()


def test_in_false_colours_leaves_outshine_water_at_both_dates_alike() -> None:
    leaves, water, soil = (70, 110, 60), (40, 60, 90), (140, 120, 100)
    ground = np.array([leaves, water, soil], np.uint8).repeat(16, 0)[:, None].repeat(16, 1)
    bands = set()
    for seed in range(30):
        first, second = false_colours([ground, ground], np.random.default_rng(seed))
        assert np.array_equal(first, second)
        green, wet = first[:12].mean((0, 1)), first[20:28].mean((0, 1))
        brightest = int((green - wet).argmax())
        assert green[brightest] > wet[brightest] + 40
        bands.add(brightest)
    assert bands == {0, 1}  # where infrared is shown, in turn
