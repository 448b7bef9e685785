"""Sentences about a thing beside another: read in two, and kept where the two are near."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import geomtrs
from geomtrs.beside import read_beside
from geomtrs.data.scenes import draw_scene
from geomtrs.device import choose
from geomtrs.models.nano import Nano, load_nano
from geomtrs.nn.beside import NEAR_CELLS, REACH_CELLS, keep_beside
from geomtrs.options import Options
from geomtrs.query import Query

HEAD = "the buildings that appeared"


@pytest.fixture(scope="module")
def nano() -> Nano:
    """The packaged model in float32."""
    return load_nano(None, choose("cpu", "fp32", threads=1))


@pytest.mark.parametrize(
    ("sentence", "head", "other", "arrived"),
    [
        ("the buildings that appeared along the new road", HEAD, "roads", True),
        ("the buildings that appeared beside a newly built street", HEAD, "roads", True),
        ("the buildings that appeared which stand near to the river.", HEAD, "water", False),
        ("the buildings that appeared at the water's edge", HEAD, "water", False),
        ("the buildings along the new road that appeared", HEAD, "roads", True),
        ("houses that are not there any more near the river", "houses that are not there any more", "water", False),
        ("trees visible now but not before beside fields", "trees visible now but not before", "fields", False),
        ("new fields on the edge of the forest", "new fields", "trees", False),
        ("The trees that were felled next to fields?", "The trees that were felled", "fields", False),
    ],
)
def test_a_neighbour_is_read_out_of_a_sentence(sentence: str, head: str, other: str, arrived: bool) -> None:
    assert read_beside(sentence) == (head, other, arrived)


@pytest.mark.parametrize(
    "sentence",
    [
        "the buildings that appeared",
        "the buildings that appeared near the stadium",  # no thing that nano knows
        "buildings burned by the fire",
        "fields that were replaced by roads",
        "new buildings next to houses",  # beside its own kind
        "the buildings at the road",
        "trees along the road that was built",  # the road was built, not the trees
        "new houses between the roads",
        "new buildings not near the road",
        "new buildings that aren’t next to the river",
        "new buildings that do not stand along the road",
        "new houses, but nowhere near water",
        "everything new except houses near the road",
        "new buildings near a road and near water",
    ],
)
def test_what_is_not_surely_about_a_neighbour_is_asked_whole(sentence: str) -> None:
    assert read_beside(sentence) is None


def test_a_patch_near_the_other_is_kept_whole_and_one_afar_is_not() -> None:
    asked, road = torch.full((1, 64, 64), -9.0), torch.full((1, 64, 64), -9.0)
    asked[:, 10 : 10 + REACH_CELLS, 5:9] = 4.0  # begins beside the road
    asked[:, 40:48, 40:48] = 4.0
    road[:, 10 - NEAR_CELLS] = 6.0
    kept = keep_beside(asked, road) > 0
    assert kept[:, 10 : 10 + REACH_CELLS, 5:9].all()
    assert not kept[:, 40:48, 40:48].any()


def test_a_neighbour_raises_no_probability() -> None:
    generator = torch.Generator().manual_seed(1)
    asked, other = torch.randn(2, 3, 32, 32, generator=generator).unbind()
    kept = keep_beside(asked, other)
    assert (kept <= asked).all()
    assert torch.equal(keep_beside(asked, torch.full_like(other, 99.0)), asked)


def test_buildings_beside_the_road_are_some_of_those_that_appeared(nano: Nano) -> None:
    pair = draw_scene(np.random.default_rng(6), (256, 256), gsd_m=0.5)
    tile = np.stack([pair.before, pair.after]).transpose(0, 3, 1, 2)[None]
    sentences = (HEAD, f"{HEAD} along the road", f"{HEAD} beside the river")
    both = nano.answer(nano.features(tile), nano.prepare([Query(s) for s in sentences])).probability[0] > 0.5
    everything, along, river = both
    assert 0 < along.sum() < everything.sum()
    assert not (along & ~everything).any()
    assert river.sum() < along.sum()


def test_a_sentence_for_each_tile_keeps_its_neighbour(nano: Nano) -> None:
    sentence = f"{HEAD} along the road"
    assert nano.prepare([Query(sentence)]).beside == ((0, False),)
    assert nano.prepare([Query(sentence, whole=True)]).beside == ()


def test_a_neighbour_of_one_sentence_leaves_the_others_as_they_were_b6(nano: Nano) -> None:
    pair = draw_scene(np.random.default_rng(4), (128, 128), gsd_m=0.5)
    features = nano.features(np.stack([pair.before, pair.after]).transpose(0, 3, 1, 2)[None])
    alone = nano.answer(features, nano.prepare([Query(HEAD)]))
    beside = nano.answer(features, nano.prepare([Query(f"{HEAD} along the road"), Query(HEAD)]))
    np.testing.assert_allclose(beside.probability[:, 1:], alone.probability, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"query": f"{HEAD} along the new road"}, f"“{HEAD}” is kept within a few pixels of new roads"),
        ({"query": f"{HEAD} near the stadium"}, "“near” may go unheeded"),
        ({"query": f"{HEAD} away from the road"}, "“away from” may go unheeded"),
        ({"query": f"{HEAD} near a road and near water"}, "“near” may go unheeded"),
        ({"query": f"{HEAD} along the road", "scope": "tile"}, "“along” may go unheeded"),
        ({"query": f"{HEAD} along the road", "model": "differencing"}, "“along” is judged within a tile"),
    ],
)
def test_what_becomes_of_a_neighbour_is_told(pair: tuple[str, str], options: Options, told: str) -> None:
    assert any(note.startswith(told) for note in geomtrs.plan(*pair, **options).scene.notes)
