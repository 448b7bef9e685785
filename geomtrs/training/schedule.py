"""The published learning rate: a short climb, then half a cosine down to 0 (mtrefseg-r1 §6)."""

from __future__ import annotations

import math


def learning_rate(step: int, *, steps: int, warmup: int, base: float) -> float:
    """The rate in force after `step` optimiser steps, of `steps` in all; the next step is made with it.

    It rises evenly from 0 to `base` at `warmup`, published 5 % of the steps, and is 0 after the last. The published
    logs print this value at each step. Raises ValueError for a step that is not in 0 to `steps`.
    """
    if not 0 <= step <= steps:
        raise ValueError(f"step {step} of a run of {steps}; wanted 0 to {steps}")
    if step < warmup:
        return base * step / warmup
    return base * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))
