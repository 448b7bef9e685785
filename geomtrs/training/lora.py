"""Low-rank adapters on linear layers, as in the published LoRA ablation (Hu et al. 2021; mtrefseg-r1 §6).

An adapter listens to its layer by a hook, so the layer keeps its place, its key and its weight. The output projections
of the mask decoder's attention are computed from their weight without the layer being called: their adapters learn
nothing, here as in the published runs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

ALPHA = 2.0  # alpha is twice the rank at every rank, so this is the scale of what an adapter adds
DROPOUT = 0.05
_NAME = "adapter"


class Adapter(nn.Module):
    """What is added to a linear layer's output: nothing at first."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        """Of the layer's device and type; listens to it from now on."""
        super().__init__()
        self.down = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.up = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        self.dropout = nn.Dropout(DROPOUT)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.hook = linear.register_forward_hook(self._add)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return functional.linear(functional.linear(self.dropout(x), self.down), self.up) * ALPHA

    def weight(self) -> Tensor:
        """(out, in): what it does without dropout, as a matrix."""
        return self.up @ self.down * ALPHA

    def _add(self, _: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        added: Tensor = self(given[0])
        return output + added


def add_adapters(network: nn.Module, rank: int) -> None:
    """Every linear layer but those named `lm_head` has an adapter, and nothing else is trained any more."""
    network.requires_grad_(False)
    for linear in _linear_layers(network):
        linear.add_module(_NAME, Adapter(linear, rank))


@torch.no_grad()
def merge_adapters(network: nn.Module) -> None:
    """Weights hold what their adapters learned, and the adapters are gone: the keys are those of before."""
    for linear in _linear_layers(network):
        adapter = getattr(linear, _NAME, None)
        if isinstance(adapter, Adapter):
            linear.weight += adapter.weight()
            adapter.hook.remove()
            delattr(linear, _NAME)


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    named = network.named_modules()
    return [m for name, m in named if isinstance(m, nn.Linear) and not name.endswith("lm_head")]
