"""Soft values along an axis: max, min, sort, quantile, median, topk, and ranks.

With a method that gives an index, the values are expectations of x under it. The other two, fast_soft_sort and
sorting_network, give sorted values directly, and no index.
"""

from __future__ import annotations

import builtins
from typing import Any

import torch
from torch import Tensor

from torchcrop.soft import isotonic
from torchcrop.soft.axis import VALUE_METHODS, Axis, check_logarithm, finished
from torchcrop.soft.checks import Softness
from torchcrop.soft.indices import place_of, quantile_index, shaped_quantile

__all__ = ["max", "median", "min", "percentile", "quantile", "rank", "ranking", "sort", "top_k", "topk"]

ValuesAndIndices = Any  # a torch.return_types structure; its types have no common name


def max(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Any:
    """Soft largest element, the expectation of x under `argmax`: never above the hard one.

    Parameters
    ----------
    x, dim, softness, mode, standardize, ot_kwargs
        As in `argmax`.
    keepdim : bool
        Keep the axis with length 1.
    method : str
        A method of `argmax`, or "fast_soft_sort".
    gated_grad : bool
        Let the values' derivative go through the index as well. Without, it is the index itself: not negative, and
        the same as for a fixed selection.
    return_log_probs, log_prob_eps
        As in `argmax`; for the indices.

    Returns
    -------
    Tensor or torch.return_types.max
        Without `dim` the value. With `dim` the fields ``values`` and ``indices``; None for methods without an index.

    Raises
    ------
    NotATensorError, TypeError, ValueError, NotImplementedError
        If an argument is not one of those allowed.
    """
    check_logarithm("max", return_log_probs, log_prob_eps)
    axis = Axis.of("max", x, dim, softness, mode, method, standardize, ot_kwargs, values=True)
    return _extreme(
        "max", axis, keepdim, gated_grad, dim, return_log_probs, log_prob_eps, torch.return_types.max, negative=False
    )


def min(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Any:
    """Soft smallest element, ``-max(-x)``: never below the hard one. Parameters, errors: as `max`."""
    check_logarithm("min", return_log_probs, log_prob_eps)
    axis = Axis.of("min", x, dim, softness, mode, method, standardize, ot_kwargs, values=True).negated()
    return _extreme(
        "min", axis, keepdim, gated_grad, dim, return_log_probs, log_prob_eps, torch.return_types.min, negative=True
    )


def _extreme(
    operator: str,
    axis: Axis,
    keepdim: bool,
    gated: bool,
    dim: int | None,
    log: bool,
    floor: float | None,
    result: Any,
    *,
    negative: bool,
) -> Any:
    if axis.size == 0:
        raise ValueError(f"{operator}: x has no elements along dim {axis.dim} (shape {tuple(axis.given.shape)})")
    indices = None
    if axis.hard:
        values, positions = axis.given.max(axis.dim)
        indices = axis.hard_index(positions, log, floor)
    elif axis.order.method in VALUE_METHODS:
        values = axis.sorted_values(descending=True)[..., 0]
    else:
        shares = axis.order.best()
        values = _mean(shares[..., None, :], axis.x, gated)[..., 0].to(axis.dtype)
        indices = finished(axis.order.best(log=True) if log else shares, axis.dtype, log, floor)
    values = -values if negative else values
    if dim is None and keepdim and axis.order.method in VALUE_METHODS:
        return values.reshape([1] * axis.ndim)
    if keepdim:
        values = values.unsqueeze(axis.dim)
        indices = None if indices is None else indices.unsqueeze(axis.dim)
    return values if dim is None else _structure(result, values, indices)


def sort(
    x: Tensor,
    dim: int | None = -1,
    descending: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_indices: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> ValuesAndIndices:
    """Soft sorted values.

    Parameters
    ----------
    x, softness, mode, method, standardize, ot_kwargs, gated_grad, return_log_probs, log_prob_eps
        As in `max`.
    dim : int, optional
        The axis; without, the last.
    descending : bool
        Largest first.
    return_indices : bool
        Give the soft permutation as well. Without, softsort and neuralsort need memory for n elements, not n².

    Returns
    -------
    torch.return_types.sort
        ``values``, shape of x [unit of x], and ``indices``, shape of x and ``[n]``, or None.

    Raises
    ------
    NotATensorError, TypeError, ValueError, NotImplementedError
        As `max`.
    """
    check_logarithm("sort", return_log_probs, log_prob_eps)
    axis = Axis.of("sort", x, dim, softness, mode, method, standardize, ot_kwargs, values=True, none_is_last=True)
    if axis.hard:
        values, positions = axis.given.sort(axis.dim, descending=descending)
        indices = axis.hard_index(positions, return_log_probs, log_prob_eps) if return_indices else None
        return _structure(torch.return_types.sort, values, indices)
    ranks = range(axis.size)[::-1] if descending else range(axis.size)
    if axis.order.method in VALUE_METHODS:
        return _structure(
            torch.return_types.sort, axis.sorted_values(descending=descending).movedim(-1, axis.dim), None
        )
    if axis.order.method == "ot":
        shares: Tensor | None = axis.order.sorted(descending=descending)
        values = _mean(shares, axis.x, gated_grad)
    else:
        values, shares = axis.order.expected(axis.x, ranks, index=return_indices, gated=gated_grad)
    logarithms = return_log_probs and return_indices
    indices = axis.order.sorted(descending=descending, log=True) if logarithms else shares
    return _structure(
        torch.return_types.sort, *_placed(axis, values, indices if return_indices else None, logarithms, log_prob_eps)
    )


def topk(
    x: Tensor,
    k: int,
    dim: int | None = None,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> ValuesAndIndices:
    """Soft k largest elements, the largest first.

    Parameters
    ----------
    x, softness, mode, method, standardize, ot_kwargs, gated_grad, return_log_probs, log_prob_eps
        As in `max`.
    k : int
        From 1 to n.
    dim : int, optional
        The axis; without, the last.

    Returns
    -------
    torch.return_types.topk
        ``values`` and ``indices`` (or None); the axis has length k.

    Raises
    ------
    NotATensorError, TypeError, ValueError, NotImplementedError
        As `max`; or if k is out of range.
    """
    check_logarithm("topk", return_log_probs, log_prob_eps)
    axis = Axis.of("topk", x, dim, softness, mode, method, standardize, ot_kwargs, values=True, none_is_last=True)
    if not isinstance(k, int):
        raise TypeError(f"topk: k is {k!r}; it must be an integer")
    if not 0 < k <= axis.size:
        raise ValueError(f"topk: k is {k}; it must be positive and at most {axis.size}, the size of dim {axis.dim}")
    if axis.hard:
        values, positions = axis.given.topk(k, axis.dim)
        return _structure(torch.return_types.topk, values, axis.hard_index(positions, return_log_probs, log_prob_eps))
    if axis.order.method in VALUE_METHODS:
        values = axis.sorted_values(descending=True)[..., :k]
        return _structure(torch.return_types.topk, values.movedim(-1, axis.dim), None)
    if axis.order.method == "ot":
        shares: Tensor | None = axis.order.top(k)
        values = _mean(shares, axis.x, gated_grad)
    else:
        ranks = range(axis.size - 1, axis.size - k - 1, -1)
        values, shares = axis.order.expected(axis.x, ranks, index=True, gated=gated_grad)
    indices = axis.order.top(k, log=True) if return_log_probs else shares
    return _structure(torch.return_types.topk, *_placed(axis, values, indices, return_log_probs, log_prob_eps))


def quantile(
    x: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    interpolation: str = "linear",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_argquantile: bool = False,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Any:
    """Soft quantile, the expectation of x under `argquantile`.

    Parameters
    ----------
    x, q, dim, softness, mode, interpolation, standardize, ot_kwargs
        As in `argquantile`.
    keepdim : bool
        Keep the axis with length 1.
    method : str
        A method of `argmax`, or "fast_soft_sort".
    return_argquantile : bool
        Give the soft index as well.
    gated_grad, return_log_probs, log_prob_eps
        As in `max`.

    Returns
    -------
    Tensor, or a pair of Tensor
        The quantile, several in front [unit of x]; and the index.

    Raises
    ------
    NotATensorError, TypeError, ValueError, NotImplementedError
        As `argquantile`; or if an index is asked of a method without one.
    """
    check_logarithm("quantile", return_log_probs, log_prob_eps)
    axis = Axis.of("quantile", x, dim, softness, mode, method, standardize, ot_kwargs, values=True)
    if return_argquantile and method in VALUE_METHODS:
        raise ValueError(f"quantile: method {method!r} gives no index; return_argquantile=True needs another method")
    place = place_of("quantile", axis, q, interpolation)
    if axis.hard:
        values = torch.quantile(axis.x, _as_quantile(q, axis.x), -1, interpolation=interpolation)
        values = values.to(axis.dtype)
        values = values.unsqueeze(axis.dim + (0 if place.scalar else 1)) if keepdim else values
    else:
        values = shaped_quantile(_quantiles(axis, place, gated_grad).to(axis.dtype), axis, place, keepdim, -1)
    if keepdim and axis.flattened:
        values = values.reshape(([] if place.scalar else [-1]) + [1] * axis.ndim)
    if not return_argquantile:
        return values
    return values, quantile_index(axis, place, keepdim, return_log_probs, log_prob_eps)


def percentile(x: Tensor, q: Tensor | float, *arguments: Any, **options: Any) -> Any:
    """Soft percentile, ``quantile(x, q / 100, ...)``. Parameters, errors: as `quantile`."""
    return quantile(x, q / 100, *arguments, **options)


def median(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Any:
    """Soft median, the lower one where n is even, as in `torch.median`.

    Parameters
    ----------
    x, dim, keepdim, softness, mode, method, standardize, ot_kwargs, gated_grad, return_log_probs, log_prob_eps
        As in `max`; `keepdim` needs a `dim`, and `dim` a method with an index.

    Returns
    -------
    Tensor or torch.return_types.median
        Without `dim` the value. With `dim` the fields ``values`` and ``indices``.

    Raises
    ------
    NotATensorError, TypeError, ValueError, NotImplementedError
        As `max`.
    """
    check_logarithm("median", return_log_probs, log_prob_eps)
    axis = Axis.of("median", x, dim, softness, mode, method, standardize, ot_kwargs, values=True)
    if dim is None and keepdim:
        raise ValueError("median: keepdim=True goes with a dim only; for all elements use quantile(x, 0.5, ...)")
    if dim is not None and method in VALUE_METHODS:
        raise ValueError(
            f"median: method {method!r} gives no index, which dim={dim} returns; use quantile(x, 0.5, ...)"
        )
    place = place_of("median", axis, 0.5, "lower")
    if axis.hard:
        values, positions = axis.given.median(axis.dim, keepdim)
        if dim is None:
            return values
        return _structure(torch.return_types.median, values, axis.hard_index(positions, return_log_probs, log_prob_eps))
    values = shaped_quantile(_quantiles(axis, place, gated_grad).to(axis.dtype), axis, place, keepdim, -1)
    if dim is None:
        return values
    index = quantile_index(axis, place, keepdim, return_log_probs, log_prob_eps)
    return _structure(torch.return_types.median, values, index)


def rank(
    x: Tensor,
    dim: int | None = None,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    descending: bool = True,
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
) -> Tensor:
    """Soft ranks, counted from 1: the expectation of an element's position when all are sorted.

    Parameters
    ----------
    x, softness, mode, standardize, ot_kwargs
        As in `argmax`.
    dim : int, optional
        The axis; without, x is flattened, and so is the result.
    method : str
        A method of `argmax`, or "fast_soft_sort".
    descending : bool
        Rank 1 is the largest.

    Returns
    -------
    Tensor
        Shape of x, from 1 to n.

    Raises
    ------
    NotATensorError, TypeError, ValueError, NotImplementedError
        As `max`.
    """
    axis = Axis.of("rank", x, dim, softness, mode, method, standardize, ot_kwargs, values=True)
    places = torch.arange(1, axis.size + 1, dtype=axis.x.dtype, device=axis.x.device)
    if axis.hard:
        positions = axis.x.argsort(-1, descending=descending)
        ranks = torch.zeros_like(axis.x).scatter(-1, positions, places.expand_as(positions).contiguous())
    elif method == "fast_soft_sort":
        ranks = isotonic.soft_ranks(axis.order.z, axis.order.softness, mode, descending=descending)
    else:
        ranks = torch.matmul(axis.order.memberships(descending=descending), places[:, None])[..., 0]
    return ranks.movedim(-1, axis.dim).to(axis.dtype)


def _mean(shares: Tensor | None, x: Tensor, gated: bool) -> Tensor:
    """Return the expectations of x ``[..., n]`` under rows ``[..., k, n]``."""
    assert shares is not None
    return torch.matmul(shares if gated else shares.detach(), x[..., :, None])[..., 0]


def _quantiles(axis: Axis, place: Any, gated: bool) -> Tensor:
    """Return soft quantiles, shape ``[..., Q]``."""
    if axis.order.method in VALUE_METHODS:
        ordered = axis.sorted_values(descending=False)
        ranks = torch.stack([place.low, (place.low + 1).clamp(max=axis.size - 1)], -1)
        return place.mixed(ordered[..., ranks], -1)
    rows = place.mixed(axis.order.neighbours(place.low, single=place.single), -2)
    if gated or place.share is None or not place.share.requires_grad:
        return _mean(rows, axis.x, gated)
    still = axis.order.neighbours(place.low, single=place.single).detach()
    return _mean(place.mixed(still, -2), axis.x, gated=True)


def _placed(
    axis: Axis, values: Tensor, indices: Tensor | None, log: bool, floor: float | None
) -> tuple[Tensor, Tensor | None]:
    """Bring ranks from the last dimension back to the axis."""
    index = None if indices is None else finished(indices.movedim(-2, axis.dim), axis.dtype, log, floor)
    return values.movedim(-1, axis.dim).to(axis.dtype), index


def _structure(kind: Any, values: Tensor, indices: Tensor | None) -> Any:
    # torch declares these as pairs of tensors; None is the index that a method does not give.
    return kind((values, indices))


def _as_quantile(q: Tensor | float, like: Tensor) -> Tensor:
    if isinstance(q, Tensor):
        return q.to(like.dtype)
    return torch.full((), builtins.float(q), dtype=like.dtype, device=like.device)


top_k = topk
ranking = rank
