"""Arithmetic that takes no new memory where no derivative goes through it.

Large tensors are evaluated without autograd, in blocks, and there half of the time of an operation is that of the
memory for its result. The first argument is always the caller's own: a fresh tensor, used nowhere else, that has the
shape of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import hardtanh_


def times(own: Tensor, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    """Return ``own other``, in `out` if that is given."""
    if out is not None:
        return torch.mul(own, other, out=out)
    return own * other if torch.is_grad_enabled() else own.mul_(other)


def over(own: Tensor, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    """Return ``own / other``, in `out` if that is given."""
    if out is not None:
        return torch.div(own, other, out=out)
    return own / other if torch.is_grad_enabled() else own.div_(other)


def plus(own: Tensor, other: Tensor | float, factor: float = 1, out: Tensor | None = None) -> Tensor:
    """Return ``own + factor other``, in `out` if that is given."""
    if out is not None:
        return torch.add(own, other, alpha=factor, out=out)
    return torch.add(own, other, alpha=factor) if torch.is_grad_enabled() else own.add_(other, alpha=factor)


def limited(own: Tensor, low: float | None, high: float | None, out: Tensor | None = None) -> Tensor:
    """Return `own`, no lower than `low` and no higher than `high`, in `out` if that is given."""
    if out is not None:
        return torch.clamp(own, low, high, out=out)
    if torch.is_grad_enabled():
        return own.clamp(low, high)
    # In place, vmap knows these three, and no clamp_.
    if low is not None and high is not None:
        return hardtanh_(own, low, high)
    if high is not None:
        return own.clamp_max_(high)
    return own if low is None else own.clamp_min_(low)
