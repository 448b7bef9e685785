"""Depthwise convolutions whose gradient is quick on a CPU.

oneDNN has no fast data gradient for depthwise 5 x 5 (4-10 x the forward pass, worse in bf16), and such a layer took
60 % of a training step. At stride 1 that gradient is itself a depthwise convolution, with the kernel turned half
round; the weight gradient stays with the library, in float32.
"""

from __future__ import annotations

import torch
import torch.nn.grad
from torch import Tensor, nn


class _Depthwise(torch.autograd.Function):
    """y = depthwise conv of x at stride 1 with padding k // 2."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return nn.functional.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] // 2, groups=x.shape[1])

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]  # set by save_for_backward
        pad = weight.shape[-1] // 2
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]  # set by autograd
            grad_x = nn.functional.conv2d(grad, weight.flip(-2, -1).to(grad.dtype), padding=pad, groups=x.shape[1])
        if ctx.needs_input_grad[1]:  # type: ignore[attr-defined]  # set by autograd
            grad_weight = torch.nn.grad.conv2d_weight(  # type: ignore[no-untyped-call]  # torch leaves it untyped
                x.float(), list(weight.shape), grad.float(), padding=pad, groups=x.shape[1]
            )
        return grad_x, grad_weight


def speed_up_depthwise(model: nn.Module) -> int:
    """Every depthwise convolution at stride 1 in the model gets the quick gradient, in place; returns how many."""
    count = 0
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels and module.stride == (1, 1):
            module.forward = _QuickForward(module)  # type: ignore[method-assign, assignment]  # the layer keeps weights and name
            count += 1
    return count


class _QuickForward:
    """The layer's forward with the quick gradient; a class, so that models still copy and pickle."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv

    def __call__(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        y: Tensor = _Depthwise.apply(x, self.conv.weight)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return y if self.conv.bias is None else y + self.conv.bias.to(y.dtype)[:, None, None]
