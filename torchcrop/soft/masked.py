"""Operators along an axis for ragged batches: of the elements that are valid, or with weights.

The result is that of the plain operator on the valid elements alone, standardised among themselves, and elements with
weight 0 have no part in it, whatever they are, NaN and inf included: values and derivatives. A slice without any
valid element gives `fill`, with derivative 0.

A mask is a bool tensor or shares from 0 to 1; weights are any numbers from 0 on. In the operators with an order only
the ratios of weights count: `torchcrop.soft.weighted` says how.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchcrop.soft import checks
from torchcrop.soft.checks import Softness
from torchcrop.soft.weighted import Group, WeightedOrder

__all__ = [
    "masked_argmax",
    "masked_argmin",
    "masked_max",
    "masked_mean",
    "masked_min",
    "masked_rank",
    "masked_sort",
    "masked_sum",
    "masked_var",
    "weighted_median",
    "weighted_quantile",
]

# --- sums ------------------------------------------------------------------------------------------------


def masked_sum(x: Tensor, mask: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Sum of the valid elements, ``sum_i w_i x_i``; 0 where none is.

    Parameters
    ----------
    x : Tensor
        Any shape. [any unit]
    mask : Tensor
        bool, or shares or weights of at least 0; broadcasts with x. Derivatives flow to weights above 0.
    dim : int, optional
        The axis; without, all elements are one.
    keepdim : bool
        Keep the axis with length 1.

    Returns
    -------
    Tensor
        Broadcast shape without the axis. [unit of x]

    Raises
    ------
    NotATensorError, TypeError, ValueError
        If x or mask is no tensor or complex, they do not broadcast, or `dim` is out of range.
    """
    group = Group.of("masked_sum", x, mask, dim)
    return group.reduced((group.x * group.weight).sum(-1), keepdim)


def masked_mean(
    x: Tensor, mask: Tensor, dim: int | None = None, keepdim: bool = False, fill: float = torch.nan
) -> Tensor:
    """Mean of the valid elements, ``sum_i w_i x_i / sum_i w_i``; `fill` where none is.

    Parameters, errors: as `masked_sum`. [unit of x]
    """
    group = Group.of("masked_mean", x, mask, dim)
    return group.reduced((group.x * group.share).sum(-1), keepdim, fill)


def masked_var(
    x: Tensor,
    mask: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    correction: float = 1,
    fill: float = torch.nan,
) -> Tensor:
    """Variance of the valid elements, ``sum_i w_i (x_i - mean)² / (sum_i w_i - correction)``.

    Parameters, errors: as `masked_sum`; `correction` as in `torch.var`, and `fill` where the weights do not exceed it.
    [unit of x, squared]
    """
    group = Group.of("masked_var", x, mask, dim)
    centred = group.x - (group.x * group.share).sum(-1, keepdim=True)
    freedom = group.weight.sum(-1) - correction
    short = freedom.detach() <= 0
    variance = (group.weight * centred * centred).sum(-1) / freedom.masked_fill(short, 1.0)
    return group.reduced(variance.masked_fill(short, fill), keepdim, fill)


# --- extremes --------------------------------------------------------------------------------------------


def masked_max(
    x: Tensor,
    mask: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
    standardize: bool = True,
    fill: float = torch.nan,
) -> Any:
    """Soft largest of the valid elements, `max` of them alone.

    Parameters
    ----------
    x, mask, dim, keepdim
        As in `masked_sum`.
    softness, mode, standardize
        As in `argmax`; mean and deviation are those of the valid elements.
    method : {"softsort", "neuralsort"}
        See `torchcrop.soft.orders`.
    fill : float
        Value of a slice without valid elements. Its indices are 0.

    Returns
    -------
    Tensor or torch.return_types.max
        Without `dim` the value [unit of x]. With `dim` the fields ``values`` and ``indices``.

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `masked_sum`; or if the softness is not positive, or mode or method unknown.
    """
    order = WeightedOrder.of("masked_max", x, mask, dim, softness, mode, method, standardize)
    return _extreme(order, order.best(), dim, keepdim, fill, torch.return_types.max)


def masked_min(
    x: Tensor,
    mask: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
    standardize: bool = True,
    fill: float = torch.nan,
) -> Any:
    """Soft smallest of the valid elements. Parameters, errors: as `masked_max`."""
    order = WeightedOrder.of("masked_min", x, mask, dim, softness, mode, method, standardize)
    return _extreme(order, order.negated().best(), dim, keepdim, fill, torch.return_types.min)


def _extreme(order: WeightedOrder, index: Tensor, dim: int | None, keepdim: bool, fill: float, result: Any) -> Any:
    values = order.group.reduced((index * order.group.x).sum(-1), keepdim, fill)
    return values if dim is None else result((values, order.group.index(index, keepdim)))


def masked_argmax(
    x: Tensor,
    mask: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
    standardize: bool = True,
) -> Tensor:
    """Soft index of the largest of the valid elements; all 0 where none is. Parameters, errors: as `masked_max`.

    Shape of the hard index and ``[n]``.
    """
    order = WeightedOrder.of("masked_argmax", x, mask, dim, softness, mode, method, standardize)
    return order.group.index(order.best(), keepdim)


def masked_argmin(
    x: Tensor,
    mask: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
    standardize: bool = True,
) -> Tensor:
    """Soft index of the smallest of the valid elements. Parameters, errors: as `masked_argmax`."""
    order = WeightedOrder.of("masked_argmin", x, mask, dim, softness, mode, method, standardize)
    return order.group.index(order.negated().best(), keepdim)


# --- sorted values ---------------------------------------------------------------------------------------


def masked_sort(
    x: Tensor,
    mask: Tensor,
    dim: int = -1,
    descending: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    standardize: bool = True,
    fill: float = torch.nan,
    return_indices: bool = True,
) -> Any:
    """Soft sorted values of the valid elements, followed by as many times `fill` as elements are not valid.

    Parameters
    ----------
    x, softness, mode, method, standardize
        As in `masked_max`.
    mask : Tensor
        bool; broadcasts with x.
    dim : int
        The axis.
    descending : bool
        Largest first.
    fill : float
        What stands behind the valid ones, with derivative 0. [unit of x]
    return_indices : bool
        Give the soft permutation as well; its rows are 0 where the values are `fill`. Without, the memory needed is of
        the order of n, not n².

    Returns
    -------
    torch.return_types.sort
        ``values``, the broadcast shape [unit of x], and ``indices``, that shape and ``[n]``, or None.

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `masked_max`; TypeError if the mask is not bool: half an element has no place.
    """
    if checks.tensor("masked_sort", "mask", mask).dtype != torch.bool:
        raise TypeError(f"masked_sort: mask is {mask.dtype}; it must be bool (mask > 0.5), for a share has no place")
    order = WeightedOrder.of("masked_sort", x, mask, dim, softness, mode, method, standardize)
    group = order.group
    values, rows = order.expected(descending=descending, index=return_indices)
    unused = torch.arange(group.x.shape[-1], device=x.device) >= group.valid.sum(-1, keepdim=True)
    values = values.masked_fill(unused, fill).movedim(-1, group.dim).to(group.dtype)
    if rows is not None:
        rows = rows.masked_fill(unused[..., None], 0.0).movedim(-2, group.dim).to(group.dtype)
    result: Any = torch.return_types.sort
    return result((values, rows))


def masked_rank(
    x: Tensor,
    mask: Tensor,
    dim: int | None = None,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    descending: bool = True,
    standardize: bool = True,
    fill: float = torch.nan,
) -> Tensor:
    """Soft ranks of the valid elements among themselves, counted from 1.

    Parameters
    ----------
    x, mask, softness, mode, method, standardize
        As in `masked_max`. With weights, an element's place is the middle of its cell and 1/2.
    dim : int, optional
        The axis; without, x is flattened, and so is the result.
    descending : bool
        Rank 1 is the largest.
    fill : float
        Rank of the elements that are not valid, with derivative 0.

    Returns
    -------
    Tensor
        The broadcast shape.

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `masked_max`.
    """
    order = WeightedOrder.of("masked_rank", x, mask, dim, softness, mode, method, standardize)
    group = order.group
    ranks = order.ranks(descending=descending).masked_fill(~group.valid, fill)
    return ranks.movedim(-1, group.dim).to(group.dtype)


def weighted_quantile(
    x: Tensor,
    weight: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    standardize: bool = True,
    fill: float = torch.nan,
) -> Tensor:
    """Soft quantile of weighted elements, `quantile` where all weights are equal.

    The mean of the sorted values over a window of length 1 on the axis of cumulated weights, from ``q (n - 1)`` on
    (Akinshin 2023, type 7): over the cells of width ``w_(i)``, which the window cuts.

    Parameters
    ----------
    x, dim, keepdim, softness, mode, method, standardize, fill
        As in `masked_max`.
    weight : Tensor
        At least 0, or a mask; broadcasts with x. Only ratios count; derivatives flow to weights above 0.
    q : float or Tensor
        From 0 to 1, held there; a number, or several in one dimension. Derivatives flow to a tensor.

    Returns
    -------
    Tensor
        The quantile; several stand in front. [unit of x]

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `masked_max`; or if q has two dimensions or more.

    References
    ----------
    Akinshin, A. (2023). Weighted quantile estimators. arXiv:2304.07265.
    """
    order = WeightedOrder.of("weighted_quantile", x, weight, dim, softness, mode, method, standardize)
    group = order.group
    wanted = q if isinstance(q, Tensor) else torch.tensor(q, dtype=torch.float64)
    wanted = checks.floating("weighted_quantile", "q", wanted).to(group.x)
    if wanted.ndim > 1:
        raise ValueError(
            f"weighted_quantile: q has shape {tuple(wanted.shape)}; it must be a number or one-dimensional"
        )
    values, _ = order.expected(descending=False, index=False)
    begin = wanted.clamp(0, 1).reshape(-1, *[1] * values.ndim) * (group.count[..., None] - 1)
    edges = order.edges()
    parts = torch.relu(torch.minimum(edges[..., 1:], begin + 1) - torch.maximum(edges[..., :-1], begin))
    # The parts add up to 1 but for rounding: a quantile of equal numbers is that number.
    found = [group.reduced(v, keepdim, fill) for v in (parts * values).sum(-1) / parts.sum(-1)]
    return torch.stack(found) if wanted.ndim else found[0]


def weighted_median(
    x: Tensor,
    weight: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    standardize: bool = True,
    fill: float = torch.nan,
) -> Tensor:
    """Soft median of weighted elements, `weighted_quantile` at 0.5: of two in the middle the mean, not the lower.

    Parameters, errors: as `weighted_quantile`.
    """
    return weighted_quantile(x, weight, 0.5, dim, keepdim, softness, mode, method, standardize, fill)
