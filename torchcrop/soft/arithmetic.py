"""Arithmetic that takes no new memory where no derivative goes through it.

Large tensors are evaluated without autograd, in blocks, and there half of the time of an operation is that of the
memory for its result. The first argument is always the caller's own: a fresh tensor, used nowhere else, that has the
shape of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor


def times(own: Tensor, other: Tensor | float) -> Tensor:
    """Return ``own other``."""
    return own * other if torch.is_grad_enabled() else own.mul_(other)


def plus(own: Tensor, other: Tensor | float, factor: float = 1) -> Tensor:
    """Return ``own + factor other``."""
    return torch.add(own, other, alpha=factor) if torch.is_grad_enabled() else own.add_(other, alpha=factor)


def limited(own: Tensor, low: float | None, high: float | None) -> Tensor:
    """Return ``own``, no lower than `low` and no higher than `high`."""
    return own.clamp(low, high) if torch.is_grad_enabled() else own.clamp_(low, high)


def plus_product(own: Tensor, a: Tensor, b: Tensor | float, factor: float = 1) -> Tensor:
    """Return ``own + factor a b``."""
    if isinstance(b, float):
        return plus(own, a, factor * b)
    return torch.addcmul(own, a, b, value=factor) if torch.is_grad_enabled() else own.addcmul_(a, b, value=factor)


def over(own: Tensor, other: Tensor | float) -> Tensor:
    """Return ``own / other``."""
    return own / other if torch.is_grad_enabled() else own.div_(other)
