"""Soft running extremes of a series: cummax and cummin.

The running maximum at t is ``m_t = max over shares p of sum_i p_i x_i - s Omega(p)``, i from 1 to t, p on the simplex,
with the regulariser Omega of the mode (`torchcrop.soft.simplex`), 0 where one share is 1. In mode smooth this is
``s log(sum_i exp(x_i / s))``. Its derivative to x_i is the share p_i of the soft index, the projection of x / s.

Why not the expectation of x under that index, which `max` gives: it falls when a value somewhat below the maximum is
added or raised, so it is neither monotone in t nor in x. Why not ``m_t = maximum(m_(t-1), x_t)``: in mode smooth it is
the same; in the others it depends on the order of the values.

* ``m_t`` depends on x_1 ... x_t only, and not on their order; it does not fall with t, nor when an x_i rises.
* It has one continuous derivative more than the mode's index: C1, C2, C3 in modes c0, c1, c2.
* It is at least the hard maximum, and equal to it where that is further than s ahead of the rest in modes c0, c1, c2.
  It is highest above it where all are equal: by ``s log t`` (smooth) or ``s r/(r+1) (1 - t^(-1/r))``, r = 1, 2, 3 (c0,
  c1, c2), which stays below 0.5, 0.67, 0.75 softnesses however long the series is.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from torchcrop.soft.blocks import by_rows
from torchcrop.soft.checks import MODES, axis, floating, one_of, softness_of_slices
from torchcrop.soft.elementwise import maximum
from torchcrop.soft.simplex import plain_project, project

__all__ = ["cummax", "cummin"]

_POWERS = {"c0": 1, "c1": 2, "c2": 3}
# Softnesses below the maximum where nothing has a share: in modes c0, c1, c2 from 1 on, in mode smooth the
# exponential is 0 even in float64.
_OUT_OF_REACH = 1000.0


def cummax(
    x: Tensor,
    dim: int,
    softness: Tensor | float | None = None,
    mode: str = "smooth",
    return_indices: bool = True,
) -> Any:
    """Soft running maximum of a series: at each place of everything up to it.

    Parameters
    ----------
    x : Tensor
        At least one dimension.
    dim : int
        The axis.
    softness : float or Tensor, optional
        Greater than 0; a tensor broadcasts to x with length 1 along `dim`, and may be differentiated. Without: the
        default of `default_softness`, 0.1. x is not standardised, for that would let later values act on earlier
        results. [unit of x]
    mode : {"hard", "smooth", "c0", "c1", "c2"}
        The regulariser; see `torchcrop.soft.cumulative` for what each costs at ties. "hard": `torch.cummax`.
    return_indices : bool
        Give the soft indices as well. Without, the memory needed is of the order of n, not n².

    Returns
    -------
    torch.return_types.cummax
        ``values``, shape of x [unit of x], and ``indices``, shape of x and ``[n]``, or None. In row t the elements
        after t have no share. The values' derivatives are the indices.

    Raises
    ------
    NotATensorError, TypeError, ValueError
        If x is no tensor, complex or without a dimension, `dim` out of range, the softness not positive or not one
        for each slice, or the mode unknown.

    Notes
    -----
    The values take time n log n in mode smooth, n² log n in modes c0, c1, c2.
    """
    return _cumulative("cummax", x, dim, softness, mode, return_indices, torch.return_types.cummax, negative=False)


def cummin(
    x: Tensor,
    dim: int,
    softness: Tensor | float | None = None,
    mode: str = "smooth",
    return_indices: bool = True,
) -> Any:
    """Soft running minimum of a series, ``-cummax(-x)``. Parameters, errors: as `cummax`."""
    return _cumulative("cummin", x, dim, softness, mode, return_indices, torch.return_types.cummin, negative=True)


def _cumulative(
    operator: str,
    x: Tensor,
    dim: int,
    softness: Tensor | float | None,
    mode: str,
    return_indices: bool,
    result: Any,
    *,
    negative: bool,
) -> Any:
    x = floating(operator, "x", x)
    one_of(operator, "mode", mode, MODES)
    place = axis(operator, dim, x.ndim)
    work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    series = (-work if negative else work).movedim(place, -1)
    if mode == "hard":
        positions = series.detach().cummax(-1).indices
        values = series.gather(-1, positions)  # cummax has no backward under vmap
        elements = torch.arange(series.shape[-1], device=x.device)
        shares = (positions[..., None] == elements) if return_indices else None
    else:
        spread = softness_of_slices(operator, softness, work, place)
        if isinstance(spread, Tensor):
            spread = spread.movedim(place, -1) if spread.ndim else spread.reshape(1)
        values, shares = _running(series, spread, mode, index=return_indices)
    values = (-values if negative else values).movedim(-1, place).to(x.dtype)
    return result((values, None if shares is None else shares.movedim(-2, place).to(x.dtype)))


def _running(x: Tensor, softness: Tensor | float, mode: str, *, index: bool) -> tuple[Tensor, Tensor | None]:
    """Return the running maxima of the last axis, and their indices if asked for."""
    n = x.shape[-1]
    scanned = mode == "smooth"
    if n == 0 or (scanned and not index):
        return _scanned(x, softness), x.new_empty(*x.shape, n) if index else None
    places = torch.arange(n, dtype=x.dtype, device=x.device)
    fixed = None if isinstance(softness, Tensor) else softness

    def rows(place: Tensor, series: Tensor, *others: Tensor, projection: Any = project) -> tuple[Tensor, ...]:
        spread = others[0] if fixed is None else fixed
        gaps, highest = _gaps(place, series, places, others[0][..., None] if fixed is None else fixed)
        shares = projection(gaps, mode)
        values = () if scanned else (highest + spread * _excess(gaps, shares, _POWERS[mode]),)
        return (*values, shares) if index else values

    spreads = [softness] if isinstance(softness, Tensor) else []
    reference = partial(rows, projection=plain_project)
    found = by_rows(rows, n, places.expand_as(x), x, *spreads, reference=reference)
    values = _scanned(x, softness) if scanned else found[0]
    return values, found[-1] if index else None


def _scanned(x: Tensor, softness: Tensor | float) -> Tensor:
    """Return running maxima in mode smooth, in which the maximum of maxima is that of all.

    After a step of length k the entry at t stands for the 2k values up to t; no value enters twice.
    """
    step = 1
    while step < x.shape[-1]:
        merged = maximum(x[..., step:], x[..., :-step], softness, "smooth")
        x = torch.cat([x[..., :step], merged], -1)
        step *= 2
    return x


def _gaps(place: Tensor, x: Tensor, places: Tensor, softness: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return each row's x less its running maximum, in softnesses, shape ``[..., k, n]``; and that, ``[..., k]``.

    What is after the row's place, or further down than any share reaches, is put where none does: a value that is not
    finite, or overflows in units of the softness, then enters no product.
    """
    seen = x[..., None, :].masked_fill(places > place[..., :, None], -torch.inf)
    highest = seen.detach().amax(-1, keepdim=True)
    lowest = -_OUT_OF_REACH * (softness.detach() if isinstance(softness, Tensor) else softness)
    gaps = seen - highest
    gaps = torch.maximum(gaps, lowest) if isinstance(lowest, Tensor) else gaps.clamp(min=lowest)
    return gaps / softness, highest[..., 0]


def _excess(gaps: Tensor, shares: Tensor, power: int) -> Tensor:
    """Return ``max over p of sum p_i g_i - Omega(p)`` with the largest g at 0.

    With ``p_i = max(0, g_i - theta)^r`` it is ``(sum p_i g_i + r (theta + 1)) / (r + 1)``, theta from the largest.
    """
    threshold = gaps.amax(-1) - shares.amax(-1) ** (1 / power)
    return ((shares * gaps).sum(-1) + power * (threshold + 1)) / (power + 1)
