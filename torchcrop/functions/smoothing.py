"""Smooth forms of steps, limits and choices, and the hard ones beside them.

Three families, all elementwise with broadcasting:

* ``smooth_step, soft_clamp, soft_if, soft_max, soft_min``: the textbook forms with one sharpness `k` in
  the native unit of their argument. General tools; models do not use them, because one `k` cannot suit a
  temperature sum and a water content alike.
* the hard forms ``indicator, exceeds, choose, hard_min, hard_max, hard_limit``. At a tie a minimum or
  maximum takes half of either derivative, which is what a central difference sees.
* the forms of the switch recipe: ``gate`` (a state that moves slowly), ``event_share`` (the part of a day
  beyond a threshold), ``rounded_min, rounded_max, rounded_limit`` (kinks rounded so that they are exact at
  rest) and ``replace_gradient`` (one function's value with another's derivative).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from torchcrop.functions.registry import function

__all__ = [
    "choose",
    "event_share",
    "exceeds",
    "gate",
    "hard_limit",
    "hard_max",
    "hard_min",
    "indicator",
    "replace_gradient",
    "rounded_limit",
    "rounded_max",
    "rounded_min",
    "smooth_step",
    "soft_clamp",
    "soft_if",
    "soft_max",
    "soft_min",
]

# torch's softplus turns linear above its threshold; at the default 20 that costs 2e-9.
_LINEAR_ABOVE = 40.0


def _softplus(x: Tensor) -> Tensor:
    return softplus(x, threshold=_LINEAR_ABOVE)


def _as_tensors(*values: Tensor | float) -> tuple[Tensor, ...]:
    """Turn numbers into 0-d tensors of the dtype and device of the first tensor.

    Made anew each time: a tensor kept from inference mode, a transform or a tracer would poison later calls.
    """
    like = next((v for v in values if isinstance(v, Tensor)), None)
    if like is None:
        like = torch.zeros((), dtype=torch.get_default_dtype())
    dtype = like.dtype if like.dtype.is_floating_point else torch.get_default_dtype()
    return tuple(
        v if isinstance(v, Tensor) else torch.full((), float(v), dtype=dtype, device=like.device) for v in values
    )


# --- the textbook forms, sharpness k in native units ----------------------------------------------------


def smooth_step(x: Tensor, x0: Tensor | float = 0.0, k: Tensor | float = 50.0) -> Tensor:
    """Smooth step from 0 to 1 at `x0`: ``sigmoid(k (x - x0))``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    x0, k : Tensor or float
        Place and sharpness [1/unit of x]; broadcast with `x`.

    Returns
    -------
    Tensor
        Broadcast shape, in [0, 1]; without overflow for any finite float32 input.
    """
    return torch.sigmoid(_exponent(k, _difference(x, x0)))


def soft_clamp(x: Tensor, lo: Tensor | float, hi: Tensor | float, k: Tensor | float = 50.0) -> Tensor:
    """Smooth limit of `x` to ``[lo, hi]``.

    ``up = hi - softplus(k (hi - x)) / k``, then ``lo + softplus(k (up - lo)) / k``. The result is not below `lo`; it
    exceeds `hi` a little where ``hi - lo`` is not large against ``1/k``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    lo, hi, k : Tensor or float
        Limits and sharpness [1/unit of x]; broadcast with `x`.
    """
    x, lo, hi, k = _as_tensors(x, lo, hi, k)
    return _soft_lower(_soft_upper(x, hi, k), lo, k)


def soft_if(condition: Tensor, true_val: Tensor | float, false_val: Tensor | float, k: Tensor | float = 50.0) -> Tensor:
    """Smooth choice: ``w true_val + (1 - w) false_val`` with ``w = sigmoid(k condition)``.

    Parameters
    ----------
    condition : Tensor
        Positive where `true_val` is meant.
    true_val, false_val, k : Tensor or float
        Alternatives and sharpness; broadcast with `condition`.
    """
    condition, true_val, false_val, k = _as_tensors(condition, true_val, false_val, k)
    exponent = _exponent(k, condition)
    return torch.sigmoid(exponent) * true_val + torch.sigmoid(-exponent) * false_val


def soft_max(a: Tensor | float, b: Tensor | float, k: Tensor | float = 50.0) -> Tensor:
    """Smooth maximum ``logsumexp(k a, k b) / k``; above the maximum by ``ln 2 / k`` where a = b.

    Written so that nothing overflows: where one is far above the other, it is the result. Broadcasts.
    """
    a, b, k = _as_tensors(a, b, k)
    return _soft_lower(a, b, k)


def soft_min(a: Tensor | float, b: Tensor | float, k: Tensor | float = 50.0) -> Tensor:
    """Smooth minimum ``-logsumexp(-k a, -k b) / k``; below the minimum by ``ln 2 / k`` where a = b."""
    a, b, k = _as_tensors(a, b, k)
    return _soft_upper(a, b, k)


def _difference(x: Tensor, x0: Tensor | float) -> Tensor:
    """Give ``x - x0``, held to the largest number where it overflows."""
    difference = x - x0
    largest = torch.finfo(difference.dtype).max
    return difference.clamp(-largest, largest)


def _exponent(k: Tensor | float, difference: Tensor) -> Tensor:
    """Give ``k difference``, held where its exponential is exactly 0 and no derivative is left to overflow."""
    exponent = k * difference
    limit = 2 * math.log(torch.finfo(exponent.dtype).max)
    return exponent.clamp(-limit, limit)


def _soft_lower(x: Tensor, lo: Tensor, k: Tensor) -> Tensor:
    """``lo + softplus(k (x - lo)) / k``, added to the larger of the two: exact, and finite, far from the tie."""
    difference = _difference(x, lo)
    above = difference > 0
    return torch.where(above, x, lo) + _softplus(_exponent(k, torch.where(above, -difference, difference))) / k


def _soft_upper(x: Tensor, hi: Tensor, k: Tensor) -> Tensor:
    """``hi - softplus(k (hi - x)) / k``, taken from the smaller of the two."""
    difference = _difference(hi, x)
    below = difference > 0
    return torch.where(below, x, hi) - _softplus(_exponent(k, torch.where(below, -difference, difference))) / k


# --- hard forms -----------------------------------------------------------------------------------------


def _zero(x: Tensor) -> tuple[Tensor]:
    return (torch.zeros_like(x),)


@function(derivative=_zero)
def indicator(x: Tensor) -> Tensor:
    """1 where x >= 0, else 0 (the branch that FST's INSW takes at zero)."""
    return (x >= 0).to(x.dtype)


@function(derivative=_zero)
def exceeds(x: Tensor) -> Tensor:
    """1 where x > 0, else 0."""
    return (x > 0).to(x.dtype)


@function(derivative=_zero)
def is_zero(x: Tensor) -> Tensor:
    """1 where x is exactly 0, else 0."""
    return (x == 0).to(x.dtype)


def _d_choose(x: Tensor, below: Tensor, above: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    share = (x >= 0).to(x.dtype)
    return torch.zeros_like(x), 1 - share, share


@function(derivative=_d_choose)
def choose(x: Tensor, below: Tensor | float, above: Tensor | float) -> Tensor:
    """Choose `below` where x < 0, else `above`."""
    _, below, above = _as_tensors(x, below, above)
    return torch.where(x < 0, below, above)


def _half(x: Tensor) -> Tensor:
    """1 where x > 0, one half where x = 0, else 0."""
    return ((x > 0).to(x.dtype) + (x >= 0).to(x.dtype)) / 2


@function(derivative=lambda a, b: (_half(b - a), _half(a - b)))
def hard_min(a: Tensor | float, b: Tensor | float) -> Tensor:
    """Give the smaller of two; half of either derivative at a tie."""
    return torch.minimum(*_as_tensors(a, b))


@function(derivative=lambda a, b: (_half(a - b), _half(b - a)))
def hard_max(a: Tensor | float, b: Tensor | float) -> Tensor:
    """Give the larger of two; half of either derivative at a tie."""
    return torch.maximum(*_as_tensors(a, b))


def _d_hard_limit(lo: Tensor | float, hi: Tensor | float, x: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    lo, hi, x = _as_tensors(lo, hi, x)
    upper = torch.minimum(hi, x)
    outer_lo, outer_upper = _half(lo - upper), _half(upper - lo)
    return outer_lo, outer_upper * _half(x - hi), outer_upper * _half(hi - x)


@function(derivative=_d_hard_limit)
def hard_limit(lo: Tensor | float, hi: Tensor | float, x: Tensor | float) -> Tensor:
    """Limit `x` to [lo, hi]; half of either derivative at a tie."""
    lo, hi, x = _as_tensors(lo, hi, x)
    return torch.maximum(lo, torch.minimum(hi, x))


# --- forms of the switch recipe -------------------------------------------------------------------------


def _d_gate(x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    share = torch.sigmoid(x / width)
    slope = share * (1 - share) / width
    return slope, -slope * x / width


@function(derivative=_d_gate)
def gate(x: Tensor, width: Tensor | float) -> Tensor:
    """Smooth step ``sigmoid(x / width)`` for a state that moves slowly; `width` in the unit of x."""
    return torch.sigmoid(x / width)


def _d_event_share(start: Tensor, increment: Tensor, width: Tensor, floor: Tensor) -> tuple[Tensor, ...]:
    half = (increment + floor) / (2 * width)
    middle = start / width + half
    beyond = middle > 0
    near = torch.where(beyond, -middle, middle)
    mean = _mean_sigmoid(near, half)
    at_start, at_end = torch.sigmoid(near - half), torch.sigmoid(near + half)
    # sigmoid(near + half) - sigmoid(near - half), without its cancellation
    by_middle = -torch.expm1(-2 * half * mean) * torch.sigmoid(half - near) / (2 * half)
    by_half = ((at_start + at_end) / 2 - mean) / half
    by_half = torch.where(beyond, -by_half, by_half)
    by_start = by_middle / width
    by_increment = (by_middle + by_half) / (2 * width)
    by_width = -(by_start * start + by_increment * (increment + floor)) / width
    return by_start, by_increment, by_width, by_increment


def _mean_sigmoid(middle: Tensor, half: Tensor | float) -> Tensor:
    """Mean of a sigmoid over ``middle -+ half``, middle not positive.

    The difference of two softplus, ``ln(1 + (1 - exp(-2 half)) exp(middle + half) / (1 + exp(middle - half)))``,
    as one: no digit is lost in a narrow window or far below the threshold, nothing overflows in a wide one.
    """
    middle, half = _as_tensors(middle, half)
    exponent = middle + half + torch.log(-torch.expm1(-2 * half)) - _softplus(middle - half)
    return _softplus(exponent) / (2 * half)


@function(derivative=_d_event_share)
def event_share(start: Tensor, increment: Tensor | float, width: Tensor | float, floor: Tensor | float) -> Tensor:
    """Share of a day's window that lies beyond a threshold: the mean of a sigmoid over the window.

    One closed form contains the sharp clamp (width -> 0: ``clamp(end / (end - start), 0, 1)``), the soft one and
    the day on which nothing accumulates (``increment = 0``).

    Parameters
    ----------
    start : Tensor
        Start of the window less the threshold [unit of the clock].
    increment : Tensor
        Length of the window, not negative.
    width : Tensor or float
        Width of the sigmoid, softness times the natural scale of the threshold.
    floor : Tensor or float
        Small addition to the increment that keeps a day without progress harmless in value and derivatives.

    Notes
    -----
    The mean is evaluated on the side of the threshold on which it is small, to the last digits however small it
    is, and taken from 1 on the other.
    """
    half = (increment + floor) / (2 * width)
    middle = start / width + half
    beyond = middle > 0
    near = torch.where(beyond, -middle, middle)
    small = _mean_sigmoid(near, half)
    return torch.where(beyond, 1 - small, small)


def _rounding_root(a: Tensor, b: Tensor, k: float) -> Tensor:
    """``sqrt((a-b)^2 + 4 k^2 a b)``, with the derivative 0 where both are zero."""
    radicand = (a - b) ** 2 + 4 * k**2 * a * b
    some = radicand > 0
    return torch.where(some, torch.sqrt(torch.where(some, radicand, 1.0)), 0.0)


def _d_rounded(a: Tensor | float, b: Tensor | float, k: float) -> tuple[Tensor, Tensor]:
    """Derivatives of the root."""
    a, b = _as_tensors(a, b)
    root = _rounding_root(a, b, k)
    divisor = torch.where(root > 0, root, torch.inf)
    return (a - b + 2 * k**2 * b) / divisor, (b - a + 2 * k**2 * a) / divisor


def _d_rounded_min(a: Tensor | float, b: Tensor | float, k: float) -> tuple[Tensor, Tensor, None]:
    by_a, by_b = _d_rounded(a, b, k)
    return (1 - by_a) / 2, (1 - by_b) / 2, None


@function(derivative=_d_rounded_min)
def rounded_min(a: Tensor | float, b: Tensor | float, k: float) -> Tensor:
    """Rounded minimum of two non-negative numbers: ``(a + b - sqrt((a-b)^2 + 4 k^2 a b)) / 2``.

    Dimensionless in its rounding and exact where either is zero, the resting value of most processes.
    """
    a, b = _as_tensors(a, b)
    return (a + b - _rounding_root(a, b, k)) / 2


def _d_rounded_max(a: Tensor | float, b: Tensor | float, k: float) -> tuple[Tensor, Tensor, None]:
    by_a, by_b = _d_rounded(a, b, k)
    return (1 + by_a) / 2, (1 + by_b) / 2, None


@function(derivative=_d_rounded_max)
def rounded_max(a: Tensor | float, b: Tensor | float, k: float) -> Tensor:
    """Rounded maximum of two non-negative numbers, the counterpart of `rounded_min` (they sum to a + b)."""
    a, b = _as_tensors(a, b)
    return (a + b + _rounding_root(a, b, k)) / 2


# Keeps limits that coincide (nothing can drain) from dividing zero by zero.
_NARROWEST_LIMIT = 1e-12


def _d_rounded_limit(
    lo: Tensor | float, hi: Tensor | float, x: Tensor | float, k: float
) -> tuple[Tensor, Tensor, Tensor, None]:
    lo, hi, x = _as_tensors(lo, hi, x)
    width = k * (hi - lo) + _NARROWEST_LIMIT
    p, q = (x - lo) / width, (x - hi) / width
    by_x = torch.sigmoid(p) - torch.sigmoid(q)
    by_width = _softplus(p) - _softplus(q) - (torch.sigmoid(p) * p - torch.sigmoid(q) * q)
    return 1 - torch.sigmoid(p) - k * by_width, torch.sigmoid(q) + k * by_width, by_x, None


@function(derivative=_d_rounded_limit)
def rounded_limit(lo: Tensor | float, hi: Tensor | float, x: Tensor | float, k: float) -> Tensor:
    """Rounded limit ``lo + w sp((x-lo)/w) - w sp((x-hi)/w)`` with ``w = k (hi - lo)``, sp = softplus."""
    lo, hi, x = _as_tensors(lo, hi, x)
    width = k * (hi - lo) + _NARROWEST_LIMIT
    return lo + width * (_softplus((x - lo) / width) - _softplus((x - hi) / width))


@function(derivative=lambda value, gradient: (torch.zeros_like(value), torch.ones_like(gradient)))
def replace_gradient(value: Tensor, gradient: Tensor) -> Tensor:
    """Give `value` bit by bit, with the derivative of `gradient`."""
    return value.detach() + (gradient - gradient.detach())
