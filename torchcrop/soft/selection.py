"""Selection by soft truth values and soft indices: every result is a mean under the weights of the selector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from torchcrop.soft import checks
from torchcrop.soft.curves import Curve
from torchcrop.soft.logic import SoftBool

__all__ = [
    "SoftIndex",
    "choose",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "index_select",
    "narrow",
    "take",
    "take_along_axis",
    "take_along_dim",
    "where",
]

#: A tensor of weights: its last axis is as long as the axis it points into, and sums to 1. [-]
SoftIndex: TypeAlias = Tensor


def where(condition: SoftBool, x: Tensor | float, y: Tensor | float) -> Tensor:
    """Return condition x + (1 - condition) y.

    Parameters
    ----------
    condition : SoftBool
        Weight of `x`. [-]
    x, y : Tensor or float
        Alternatives, of one unit. All three broadcast against each other. [unit of x]

    Returns
    -------
    Tensor
        Of the shape the three broadcast to. An alternative of weight exactly 0 contributes 0 to the value and to the
        gradient, also where it is infinite or NaN.

    Raises
    ------
    NotATensorError, TypeError
        If `condition` is no tensor, or complex.

    Notes
    -----
    The gradient with respect to `condition` is x - y, also at 0 and 1; an alternative of weight 0 that is not finite
    is left out of it.
    """
    weight = checks.floating("where", "condition", condition)
    if isinstance(x, Tensor) and isinstance(y, Tensor) and weight.dtype == x.dtype == y.dtype:
        return _MEAN((weight, x, y))
    return _mean(weight, x, y)


def _mean(weight: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
    return _weighted(weight, x) + _weighted(1 - weight, y)


def _weighted(weight: Tensor, x: Tensor | float) -> Tensor:
    if not isinstance(x, Tensor):
        if math.isfinite(x):
            return weight * x
        x = weight.new_tensor(x)
    return weight * (_kept(weight, x) if x.dtype.is_floating_point else x)


def _kept(weight: Tensor, x: Tensor) -> Tensor:
    """Return x, and 0 where it is not finite and has no weight."""
    # x - x is 0 where x is finite and NaN elsewhere: two vectorised operations where `isfinite` is a slow one. A
    # finite x stays in place under weight 0, since it is the derivative with respect to the weight.
    value = x.detach()
    dropped = (weight == 0) & (value - value).isnan()
    return x.masked_fill(dropped, 0.0)


def _mean_plain(weight: Tensor, x: Tensor, y: Tensor, out: Tensor) -> Tensor:
    if not (_visibly_finite(x) and _visibly_finite(y)):
        return out.copy_(_mean(weight, x, y))
    return torch.mul(weight, x, out=out).addcmul_(1 - weight, y)


def _mean_slopes(weight: Tensor, x: Tensor, y: Tensor) -> Iterator[Tensor]:
    if not torch.is_grad_enabled() and _visibly_finite(x) and _visibly_finite(y):
        yield x - y
    else:
        yield _kept(weight, x) - _kept(1 - weight, y)
    yield weight
    yield 1 - weight


def _visibly_finite(x: Tensor) -> bool:
    """Return whether all of x is finite, so far as looking is free: False where it is not."""
    if x.device.type != "cpu":
        return False
    try:
        return math.isfinite(x.sum(dtype=torch.promote_types(x.dtype, torch.float32)))
    except RuntimeError:  # under vmap
        return False


_MEAN = Curve(_mean, _mean_slopes, _mean_plain)


def take_along_dim(x: Tensor, soft_index: SoftIndex, dim: int | None = None) -> Tensor:
    """Return the means of `x` along an axis, each under its own weights.

    Parameters
    ----------
    x : Tensor
        Values of shape ``(..., n, ...)``. [unit of x]
    soft_index : SoftIndex
        Weights of shape ``(..., k, ..., [n])``: one axis more than `x`, `k` in the place of n, the other axes
        broadcastable to those of `x`. [-]
    dim : int, optional
        Axis of length n; None flattens `x`, and `soft_index` is then ``(k, [n])``.

    Returns
    -------
    Tensor
        Of shape ``(..., k, ...)``. [unit of x]

    Raises
    ------
    NotATensorError, TypeError
        If one of the two is no tensor, or complex.
    ValueError
        If `dim` is out of range, the index has not one axis more than `x`, its last axis is not n long, or its other
        axes do not broadcast to those of `x`.
    """
    operator = "take_along_dim"
    x, weights, dim = _operands(operator, x, soft_index, dim, None)
    _last_axis(operator, weights, x, dim)
    x, weights = x.movedim(dim, -1), weights.movedim(dim, -2)
    try:
        torch.broadcast_shapes(x.shape[:-1], weights.shape[:-2])
    except RuntimeError:
        raise ValueError(
            f"{operator}: soft_index has shape {tuple(soft_index.shape)}; all but its last axis and axis {dim} must "
            f"broadcast to the axes {tuple(x.shape[:-1])} of x"
        ) from None
    if weights.shape[:-2].numel() == 1:  # shared by all rows: one matrix, not one per row
        return (x @ weights.reshape(weights.shape[-2:]).mT).movedim(-1, dim)
    return (weights @ x.unsqueeze(-1)).squeeze(-1).movedim(-1, dim)


def take(x: Tensor, soft_index: SoftIndex, dim: int | None = None) -> Tensor:
    """Return the means of `x` along an axis, under k sets of weights that every row shares.

    Parameters
    ----------
    x : Tensor
        Values of shape ``(..., n, ...)``. [unit of x]
    soft_index : SoftIndex
        Weights of shape ``(k, [n])``. [-]
    dim : int, optional
        Axis of length n; None flattens `x`.

    Returns
    -------
    Tensor
        Of shape ``(..., k, ...)``, k in the place of n. [unit of x]

    Raises
    ------
    NotATensorError, TypeError
        If one of the two is no tensor, or complex.
    ValueError
        If `dim` is out of range, or the index is not of shape ``(k, [n])``.
    """
    x, weights, dim = _operands("take", x, soft_index, dim, 2)
    _last_axis("take", weights, x, dim)
    return (x.movedim(dim, -1) @ weights.mT).movedim(-1, dim)


def index_select(x: Tensor, soft_index: SoftIndex, dim: int, keepdim: bool = True) -> Tensor:
    """Return the mean of `x` along an axis, under weights that every row shares.

    Parameters
    ----------
    x : Tensor
        Values of shape ``(..., n, ...)``. [unit of x]
    soft_index : SoftIndex
        Weights of shape ``([n],)``. [-]
    dim : int
        Axis of length n.
    keepdim : bool
        Keep the axis with length 1.

    Returns
    -------
    Tensor
        Of shape ``(..., 1, ...)`` or without the axis. [unit of x]

    Raises
    ------
    NotATensorError, TypeError
        If one of the two is no tensor, or complex.
    ValueError
        If `dim` is out of range, or the index is not of shape ``([n],)``.
    """
    x, weights, dim = _operands("index_select", x, soft_index, dim, 1)
    _last_axis("index_select", weights, x, dim)
    mean = x.movedim(dim, -1) @ weights
    return mean.unsqueeze(dim) if keepdim else mean


def narrow(x: Tensor, soft_start: SoftIndex, length: int, dim: int = 0) -> Tensor:
    """Return a slice of `x` that begins at a soft index: ``out[j] = sum_i p_i x[(i + j) mod n]``.

    Parameters
    ----------
    x : Tensor
        Values of shape ``(..., n, ...)``; the axis is a circle. [unit of x]
    soft_start : SoftIndex
        Weights p of shape ``([n],)`` of the first entry. [-]
    length : int
        Entries of the slice, 1 to n.
    dim : int
        Axis of length n.

    Returns
    -------
    Tensor
        Of shape ``(..., length, ...)``. [unit of x]

    Raises
    ------
    NotATensorError, TypeError
        If one of the two is no tensor, or complex; if `length` is no integer.
    ValueError
        If `dim` or `length` is out of range, or the index is not of shape ``([n],)``.

    Notes
    -----
    One product with ``(n, length)`` weights, which all rows of `x` share.
    """
    x, start, dim = _operands("narrow", x, soft_start, dim, 1, name="soft_start")
    _last_axis("narrow", start, x, dim, name="soft_start")
    n = x.shape[dim]
    if not isinstance(length, int) or isinstance(length, bool):
        raise TypeError(f"narrow: length is {length!r}; it must be an integer")
    if not 0 < length <= n:
        raise ValueError(f"narrow: length is {length}; it must satisfy 0 < length <= x.shape[{dim}] = {n}")
    # Entry j takes x_m with the weight of the start that is j before m, once round the axis.
    places = torch.arange(n, device=x.device)
    weights = start[(places - places[:length, None]) % n]
    return (x.movedim(dim, -1) @ weights.mT).movedim(-1, dim)


def dynamic_slice(x: Tensor, soft_starts: Sequence[SoftIndex], lengths: Sequence[int]) -> Tensor:
    """Return a block of `x` that begins at one soft index per axis: `narrow` along every axis.

    Parameters
    ----------
    x : Tensor
        Values of shape ``(n_1, ..., n_d)``. [unit of x]
    soft_starts : sequence of SoftIndex
        d sets of weights, of shapes ``([n_1],)`` to ``([n_d],)``. [-]
    lengths : sequence of int
        d numbers of entries.

    Returns
    -------
    Tensor
        Of shape `lengths`. [unit of x]

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `narrow`; a ValueError also if there is not one start and one length for every axis.
    """
    ndim = checks.tensor("dynamic_slice", "x", x).ndim
    if not len(soft_starts) == len(lengths) == ndim:
        raise ValueError(
            f"dynamic_slice: {len(soft_starts)} soft_starts and {len(lengths)} lengths for an x of {ndim} axes; give "
            "one of each per axis"
        )
    for dim, (start, length) in enumerate(zip(soft_starts, lengths, strict=True)):
        x = narrow(x, start, length, dim)
    return x


def choose(soft_index: SoftIndex, choices: Tensor) -> Tensor:
    """Return for every entry the mean of n alternatives: ``sum_i p[..., i] choices[i, ...]``.

    Parameters
    ----------
    soft_index : SoftIndex
        Weights p of shape ``(..., [n])``. [-]
    choices : Tensor
        Alternatives of shape ``(n, ...)``, with as many axes as `soft_index`; all but the n broadcast. [unit of
        choices]

    Returns
    -------
    Tensor
        Of the shape that the axes other than n broadcast to. [unit of choices]

    Raises
    ------
    NotATensorError, TypeError
        If one of the two is no tensor, or complex.
    ValueError
        If the numbers of axes differ, the index's last axis is not as long as the first of `choices`, or the others
        do not broadcast.
    """
    weights = checks.floating("choose", "soft_index", soft_index)
    values = checks.tensor("choose", "choices", choices)
    if weights.ndim != values.ndim or weights.ndim == 0 or weights.shape[-1] != values.shape[0]:
        raise ValueError(
            f"choose: soft_index has shape {tuple(weights.shape)} and choices {tuple(values.shape)}; they must have "
            "as many axes, and the last of soft_index must be as long as the first of choices"
        )
    try:
        torch.broadcast_shapes(weights.shape[:-1], values.shape[1:])
    except RuntimeError:
        raise ValueError(
            f"choose: the axes {tuple(weights.shape[:-1])} of soft_index and {tuple(values.shape[1:])} of choices do "
            "not broadcast; make them equal or 1"
        ) from None
    return (weights.movedim(-1, 0) * values).sum(0)


def _operands(
    operator: str, x: Tensor, soft_index: Tensor, dim: int | None, ndim: int | None, name: str = "soft_index"
) -> tuple[Tensor, Tensor, int]:
    """Return `x`, flat if `dim` is None, and the index in one dtype, and `dim` counted from 0.

    The index must have `ndim` axes, or one more than `x`.
    """
    x = checks.floating(operator, "x", x)
    weights = checks.tensor(operator, name, soft_index)
    if weights.dtype.is_complex:
        raise TypeError(f"{operator}: {name} is complex ({weights.dtype}); weights are real numbers that sum to 1")
    if dim is None:
        x, dim = x.flatten(), 0
    dim = checks.axis(operator, dim, x.ndim)
    needed = x.ndim + 1 if ndim is None else ndim
    if weights.ndim != needed:
        raise ValueError(
            f"{operator}: {name} has {weights.ndim} axes, shape {tuple(weights.shape)}; it must have {needed}"
            + (", one more than x" if ndim is None else "")
            + ": the last holds the weights"
        )
    kind = torch.promote_types(x.dtype, weights.dtype)
    return x.to(kind), weights.to(kind), dim


def _last_axis(operator: str, weights: Tensor, x: Tensor, dim: int, name: str = "soft_index") -> None:
    if weights.shape[-1] != x.shape[dim]:
        raise ValueError(
            f"{operator}: the last axis of {name} holds {weights.shape[-1]} weights, but x has {x.shape[dim]} entries "
            f"along axis {dim}; there must be one weight for each"
        )


take_along_axis = take_along_dim
dynamic_index_in_dim = index_select
dynamic_slice_in_dim = narrow
