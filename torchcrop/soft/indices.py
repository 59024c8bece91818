"""Soft indices along an axis: argmax, argmin, argsort, argquantile, argmedian.

A soft index has the shape of the hard one and a last dimension of length n: for every position the shares of the n
elements, which add up to 1. `take_along_dim` and its relatives read values with it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchcrop.soft.axis import Axis, as_logarithm, check_logarithm, finished
from torchcrop.soft.checks import Softness
from torchcrop.soft.ranks import Place
from torchcrop.soft.simplex import log_of

__all__ = ["argmax", "argmedian", "argmin", "argpercentile", "argquantile", "argsort"]


def argmax(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Tensor:
    """Soft index of the largest element.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dim : int, optional
        The axis; without, all elements are one.
    keepdim : bool
        Keep the axis with length 1.
    softness : float or Tensor, optional
        Greater than 0; a tensor broadcasts to x with length 1 along `dim`, and may be differentiated. Without: the
        default of `default_softness`, 0.1. [1 with `standardize`, else unit of x]
    mode : {"hard", "smooth", "c0", "c1", "c2"}
        How a score becomes shares: softmax, or a projection with exact zeros and 0, 1, 2 continuous derivatives.
    method : {"softsort", "neuralsort", "ot", "sorting_network"}
        See `torchcrop.soft.orders`.
    standardize : bool
        Standardise and squash x along the axis before it is ordered, so that the softness has no unit.
    ot_kwargs : dict, optional
        Of the transport: ``sinkhorn_tol, sinkhorn_max_iter`` (smooth), ``lbfgs_tol, lbfgs_max_iter`` (c0, c1, c2).
    return_log_probs : bool
        Give logarithms of the shares, in mode smooth without underflow.
    log_prob_eps : float, optional
        Floor of the shares before the logarithm, in (0, 1].

    Returns
    -------
    Tensor
        Shape of the hard index and ``[n]``. In hard mode one-hot, in the dtype of x.

    Raises
    ------
    NotATensorError, TypeError, ValueError
        If an argument is not one of those allowed.
    """
    axis = _prepared("argmax", x, dim, softness, mode, method, standardize, ot_kwargs, return_log_probs, log_prob_eps)
    return _extreme_index(axis, keepdim, return_log_probs, log_prob_eps)


def argmin(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Tensor:
    """Soft index of the smallest element, ``argmax(-x)``. Parameters, errors: as `argmax`."""
    axis = _prepared("argmin", x, dim, softness, mode, method, standardize, ot_kwargs, return_log_probs, log_prob_eps)
    return _extreme_index(axis.negated(), keepdim, return_log_probs, log_prob_eps)


def _extreme_index(axis: Axis, keepdim: bool, log: bool, floor: float | None) -> Tensor:
    if axis.size == 0:
        index = axis.x
    elif axis.hard:
        index = axis.hard_index(axis.given.argmax(axis.dim), log, floor)
    else:
        index = finished(axis.order.best(log=log), axis.dtype, log, floor)
    if not keepdim:
        return index
    return index.reshape([1] * axis.ndim + [axis.size]) if axis.flattened else index.unsqueeze(axis.dim)


def argsort(
    x: Tensor,
    dim: int | None = -1,
    descending: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Tensor:
    """Soft indices that sort, a soft permutation matrix.

    Parameters
    ----------
    x, softness, mode, method, standardize, ot_kwargs, return_log_probs, log_prob_eps
        As in `argmax`.
    dim : int, optional
        The axis; without, the last.
    descending : bool
        Largest first.

    Returns
    -------
    Tensor
        Shape of x and ``[n]``.

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `argmax`.
    """
    axis = _prepared(
        "argsort",
        x,
        dim,
        softness,
        mode,
        method,
        standardize,
        ot_kwargs,
        return_log_probs,
        log_prob_eps,
        none_is_last=True,
    )
    if axis.hard:
        positions = axis.given.argsort(axis.dim, descending=descending)
        return axis.hard_index(positions, return_log_probs, log_prob_eps)
    rows = axis.order.sorted(descending=descending, log=return_log_probs).movedim(-2, axis.dim)
    return finished(rows, axis.dtype, return_log_probs, log_prob_eps)


def argquantile(
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
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Tensor:
    """Soft index of a quantile: a mixture of the two order statistics around it.

    Parameters
    ----------
    x, dim, keepdim, softness, mode, method, standardize, ot_kwargs, return_log_probs, log_prob_eps
        As in `argmax`.
    q : float or Tensor
        From 0 to 1, held there; a number, or several in one dimension. Between two order statistics derivatives flow
        to a tensor.
    interpolation : {"linear", "lower", "higher", "nearest", "midpoint"}
        As in `torch.quantile`.

    Returns
    -------
    Tensor
        Shape of the hard index and ``[n]``; several quantiles stand in front.

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `argmax`; or if q has two dimensions, x no elements, or the interpolation is unknown.
    """
    axis = _prepared(
        "argquantile", x, dim, softness, mode, method, standardize, ot_kwargs, return_log_probs, log_prob_eps
    )
    place = place_of("argquantile", axis, q, interpolation)
    index = quantile_index(axis, place, keepdim, return_log_probs, log_prob_eps)
    return _all_kept(index, axis, place) if keepdim else index


def argpercentile(x: Tensor, q: Tensor | float, *arguments: Any, **options: Any) -> Tensor:
    """Soft index of a percentile, ``argquantile(x, q / 100, ...)``. Parameters, errors: as `argquantile`."""
    return argquantile(x, q / 100, *arguments, **options)


def argmedian(
    x: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "neuralsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: float | None = None,
) -> Tensor:
    """Soft index of the median: of the lower one where n is even, as in `torch.median`.

    Parameters, errors: as `argmax`.
    """
    axis = _prepared(
        "argmedian", x, dim, softness, mode, method, standardize, ot_kwargs, return_log_probs, log_prob_eps
    )
    place = place_of("argmedian", axis, 0.5, "lower")
    index = quantile_index(axis, place, keepdim, return_log_probs, log_prob_eps)
    return _all_kept(index, axis, place) if keepdim else index


def _all_kept(index: Tensor, axis: Axis, place: Place) -> Tensor:
    """Keep every dimension of a flattened tensor with length 1."""
    if not axis.flattened:
        return index
    return index.reshape(([] if place.scalar else [-1]) + [1] * axis.ndim + [axis.size])


def _prepared(
    operator: str,
    x: Tensor,
    dim: int | None,
    softness: Softness,
    mode: str,
    method: str,
    standardize: bool,
    ot_kwargs: dict[str, Any] | None,
    return_log_probs: bool,
    log_prob_eps: float | None,
    *,
    none_is_last: bool = False,
) -> Axis:
    check_logarithm(operator, return_log_probs, log_prob_eps)
    return Axis.of(operator, x, dim, softness, mode, method, standardize, ot_kwargs, none_is_last=none_is_last)


def place_of(operator: str, axis: Axis, q: Tensor | float, interpolation: str) -> Place:
    """Return the place of quantiles on an axis.

    Raises
    ------
    ValueError
        If the axis has no elements, or as `Place.of`.
    """
    if axis.size == 0:
        raise ValueError(f"{operator}: x has no elements along dim {axis.dim} (shape {tuple(axis.given.shape)})")
    return Place.of(operator, q, axis.size, interpolation, axis.x)


def quantile_index(axis: Axis, place: Place, keepdim: bool, log: bool, floor: float | None) -> Tensor:
    """Return the soft (or hard) index of quantiles."""
    if axis.hard:
        # Two-hot. torch.sort, because an order statistic has one position.
        positions = axis.x.sort(-1).indices
        ranks = torch.stack([place.low, (place.low + 1).clamp(max=axis.size - 1)], -1)
        rows = torch.nn.functional.one_hot(positions[..., ranks], axis.size).to(axis.x.dtype)
        index = as_logarithm(place.mixed(rows, -2), log)
    elif log and axis.order.mode == "smooth":
        index = place.mixed(axis.order.neighbours(place.low, single=place.single, log=True), -2, log=True)
    else:
        index = place.mixed(axis.order.neighbours(place.low, single=place.single), -2)
        index = log_of(index) if log else index
    index = finished(index, axis.dtype, log, floor)
    return shaped_quantile(index, axis, place, keepdim, -2)


def shaped_quantile(result: Tensor, axis: Axis, place: Place, keepdim: bool, dim: int) -> Tensor:
    """Bring the quantiles at `dim` to the front, or drop that dimension where one was asked for."""
    front = result.movedim(dim, 0)
    if keepdim:
        front = front.unsqueeze(axis.dim + 1)
    return front[0] if place.scalar else front
