"""Depthwise convolutions whose gradient is quick on a CPU.

oneDNN has no fast data gradient for them (4-20 x the forward pass, worse in bf16), and such layers took 60 % of a
training step. That gradient is itself a depthwise convolution, with the kernel turned half round, over gradients set
apart by the stride; the weight gradient stays with the library, in float32.
"""

from __future__ import annotations

import torch
import torch.nn.grad
from torch import Tensor, nn


class _Depthwise(torch.autograd.Function):
    """y = depthwise conv of x, with a square kernel and equal strides and paddings on both axes."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding  # type: ignore[attr-defined]  # a context takes what is kept
        return nn.functional.conv2d(x, weight.to(x.dtype), stride=stride, padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]  # set by save_for_backward
        stride, padding = ctx.stride, ctx.padding  # type: ignore[attr-defined]  # set by forward
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]  # set by autograd
            kernel = weight.flip(-2, -1).to(grad.dtype)
            rows, columns = (side + 2 * padding - weight.shape[-1] + 1 for side in x.shape[-2:])
            apart = grad.new_zeros(*grad.shape[:2], rows, columns).contiguous(memory_format=torch.channels_last)
            apart[..., ::stride, ::stride] = grad
            grad_x = nn.functional.conv2d(apart, kernel, padding=weight.shape[-1] - 1 - padding, groups=x.shape[1])
        if ctx.needs_input_grad[1]:  # type: ignore[attr-defined]  # set by autograd
            grad_weight = torch.nn.grad.conv2d_weight(  # type: ignore[no-untyped-call]  # torch leaves it untyped
                x.float(), list(weight.shape), grad.float(), stride=stride, padding=padding, groups=x.shape[1]
            )
        return grad_x, grad_weight, None, None


def speed_up_depthwise(model: nn.Module) -> int:
    """Every depthwise convolution in the model gets the quick gradient, in place; returns how many."""
    count = 0
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
            module._conv_forward = _QuickForward(module)  # type: ignore[method-assign, assignment]
            count += 1
    return count


class _QuickForward:
    """A layer's convolution with the quick gradient; a class, so that models still copy and pickle."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.stride, self.padding = conv.stride[0], int(conv.padding[0])

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        y: Tensor = _Depthwise.apply(x, weight, self.stride, self.padding)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return y if bias is None else y + bias.to(y.dtype)[:, None, None]
