"""The network of nano with fresh weights: what holds by construction, before any training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomtrs.models.mtrefseg import MTRefSeg, NanoParams, build_nano
from geomtrs.nn.language import BertParams
from geomtrs.nn.layers import fold_batch_norms
from geomtrs.nn.mask_decoder import DIRECTIONS, Answer, SentenceQuery, softmin
from geomtrs.nn.reader import WordReader

TINY = NanoParams(
    fusion_widths=(8, 8, 16, 16), width=16, language=BertParams(vocabulary=50, width=24, layers=1, heads=2, hidden=32)
)


@pytest.fixture
def network() -> MTRefSeg:
    """A tiny nano in evaluation mode."""
    torch.manual_seed(0)
    return build_nano(TINY).eval()


def dates(side: int = 64) -> Tensor:
    """One pair of noise, (1, 2, 3, side, side)."""
    return torch.rand(1, 2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 255


def query(network: MTRefSeg, direction: str, *, count: int = 1) -> SentenceQuery:
    """`count` sentences about different things that ask for one direction, surely."""
    reader = network.language
    assert isinstance(reader, WordReader)
    ids = torch.arange(count * 5).view(count, 5) % 50
    real = torch.ones_like(ids, dtype=torch.bool)
    asked = reader.head(reader.tower(ids, real), real)
    sure = torch.full((1, count, len(DIRECTIONS)), -50.0)
    sure[..., DIRECTIONS.index(direction)] = 50.0
    return SentenceQuery(asked.thing[None], asked.source[None], asked.change[None], sure)


def answer(network: MTRefSeg, pair: Tensor, asked: SentenceQuery) -> Answer:
    """The network's answer to one pair."""
    with torch.inference_mode():
        return network.answer(network.maps(pair), asked)


def test_mask_logits_come_at_a_quarter_of_the_resolution(network: MTRefSeg) -> None:
    found = answer(network, dates(96), query(network, "appeared", count=3))
    assert found.mask.shape == (1, 3, 24, 24)
    assert found.existence.shape == (1, 3)


def test_swapped_dates_swap_appeared_and_disappeared_b7(network: MTRefSeg) -> None:
    pair = dates()
    appeared = answer(network, pair, query(network, "appeared"))
    swapped = answer(network, pair.flip(1), query(network, "disappeared"))
    assert torch.allclose(appeared.mask, swapped.mask, atol=1e-4)
    assert torch.allclose(appeared.existence, swapped.existence, atol=1e-4)


def test_appeared_and_disappeared_are_different_questions_b2(network: MTRefSeg) -> None:
    appeared = answer(network, dates(), query(network, "appeared"))
    disappeared = answer(network, dates(), query(network, "disappeared"))
    assert (appeared.mask - disappeared.mask).abs().max() > 1e-3


def test_nothing_changes_between_equal_dates_without_a_change_query(network: MTRefSeg) -> None:
    pair = dates()[:, :1].expand(-1, 2, -1, -1, -1)
    asked = query(network, "appeared")._replace(change=torch.zeros(1, 1, TINY.width))
    assert answer(network, pair, asked).mask.max() < 0  # softmin(l, -l) is below zero for every l


def test_a_sentence_is_answered_alike_alone_and_among_others_b6(network: MTRefSeg) -> None:
    asked = query(network, "changed", count=4)
    alone = SentenceQuery(*(f[:, :1] for f in asked))
    assert torch.allclose(answer(network, dates(), asked).mask[:, :1], answer(network, dates(), alone).mask, atol=1e-5)


def test_softmin_is_below_both_and_near_the_lower() -> None:
    low, high = torch.tensor(-3.0), torch.tensor(4.0)
    assert softmin(low, high) <= low
    assert torch.isclose(softmin(low, high), low, atol=1e-3)


def test_folded_batch_norms_answer_alike(network: MTRefSeg) -> None:
    network.train()
    for _ in range(3):
        network.maps(dates())  # moves the running statistics away from 0 and 1
    network.eval()
    asked = query(network, "appeared")
    before = answer(network, dates(), asked).mask
    fold_batch_norms(network)
    assert torch.allclose(before, answer(network, dates(), asked).mask, atol=1e-3)


def test_padding_tokens_do_not_reach_the_query(network: MTRefSeg) -> None:
    ids, real = torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.bool)
    padded = torch.tensor([[3, 4, 5, 9, 9]])
    some = torch.tensor([[True, True, True, False, False]])
    reader = network.language
    assert isinstance(reader, WordReader)
    alone = reader.head(reader.tower(ids, real), real)
    among = reader.head(reader.tower(padded, some), some)
    assert torch.allclose(alone.thing, among.thing, atol=1e-5)
