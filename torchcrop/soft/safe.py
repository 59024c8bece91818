"""Functions with a singular derivative, made finite where it is singular.

At the singular point the value is the limit where that is finite and 0 where it is not, and every derivative is 0.
Elsewhere value and derivatives are those of the function; outside of its domain it is NaN, as in torch.

============ ================ =====
function     singular at      value
============ ================ =====
sqrt(x)      x = 0            0
log(x)       x = 0            0
div(x, y)    y = 0            0
norm(x)      x = 0 throughout 0
arcsin(x)    x = -1, 1        -π/2, π/2
arccos(x)    x = -1, 1        π, 0
============ ================ =====

The singular point is moved to a regular one before the function sees it, and its result taken out by a factor 0:
no NaN arises that a later selection would have to hide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchcrop.soft import checks

__all__ = ["arccos", "arcsin", "div", "log", "norm", "sqrt"]

#: Orders of `norm`.
ORDERS = (1, 2, math.inf)


def sqrt(x: Tensor) -> Tensor:
    """Return the square root, 0 with derivative 0 at 0.

    Parameters
    ----------
    x : Tensor
        At least 0, any shape. [any unit]

    Returns
    -------
    Tensor
        Of the shape of `x`. [square root of the unit of x]

    Raises
    ------
    NotATensorError, TypeError
        If `x` is no tensor, or complex.
    """
    x = checks.floating("sqrt", "x", x)
    zero = (x == 0).to(x.dtype)
    return (x + zero).sqrt() * (1 - zero)


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm, 0 with derivative 0 at 0: x log x is then 0 there, as its limit is.

    Parameters
    ----------
    x : Tensor
        At least 0, any shape. [-]

    Returns
    -------
    Tensor
        Of the shape of `x`. [-]

    Raises
    ------
    NotATensorError, TypeError
        If `x` is no tensor, or complex.
    """
    x = checks.floating("log", "x", x)
    zero = (x == 0).to(x.dtype)
    return (x + zero).log() * (1 - zero)


def div(x: Tensor, y: Tensor | float) -> Tensor:
    """Return x / y, 0 with derivatives 0 where y is 0.

    Parameters
    ----------
    x : Tensor
        Dividend. [any unit]
    y : Tensor or float
        Divisor; broadcasts against `x`. [any unit]

    Returns
    -------
    Tensor
        Of the shape the two broadcast to. [unit of x / unit of y]

    Raises
    ------
    NotATensorError, TypeError
        If `x` is no tensor, or one of the two is complex.
    """
    x = checks.floating("div", "x", x)
    y = checks.floating("div", "y", y) if isinstance(y, Tensor) else x.new_tensor(y)
    zero = y == 0
    # By masks, not by factors: an infinite dividend times 0 is NaN.
    return x.masked_fill(zero, 0.0) / y.masked_fill(zero, 1.0)


def norm(x: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, ord: float = 2) -> Tensor:
    """Return the norm of `x` along one or more axes, 0 with derivative 0 where all entries are 0.

    Parameters
    ----------
    x : Tensor
        Any shape. [any unit]
    dim : int, sequence of int or None
        Axes; None is all of them.
    keepdim : bool
        Keep reduced axes with length 1.
    ord : float
        1: sum of absolute values; 2: root of the sum of squares; inf: largest absolute value.

    Returns
    -------
    Tensor
        Of the shape of `x` without the axes; 0 over no entries. [unit of x]

    Raises
    ------
    NotATensorError, TypeError
        If `x` is no tensor, or complex; if `dim` is no integer.
    ValueError
        If an axis is out of range, or `ord` is none of the three.

    Notes
    -----
    Squares are taken of x over its largest absolute value, so that they neither overflow nor vanish. Where an entry
    is 0 the derivative of its absolute value is taken as 0, and equal largest entries share the derivative.
    """
    x = checks.floating("norm", "x", x)
    if ord not in ORDERS:
        raise ValueError(f"norm: ord is {ord!r}; it must be 1, 2 or math.inf")
    named = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    dims = [checks.axis("norm", d, x.ndim) for d in named]
    if not dims or ord == 1 or 0 in [x.shape[d] for d in dims]:
        size = x.abs()
        return size.sum(dims, keepdim=keepdim) if dims else size
    largest = x.abs().amax(dims, keepdim=True)
    if ord == math.inf:
        return largest if keepdim else largest.squeeze(dims)
    # A constant factor taken out before the root and put back after it has no derivative of its own.
    scale = largest.detach()
    scale = (scale + (scale == 0).to(x.dtype)).clamp(max=torch.finfo(x.dtype).max)
    return sqrt((x / scale).square().sum(dims, keepdim=keepdim)) * (scale if keepdim else scale.squeeze(dims))


def arcsin(x: Tensor) -> Tensor:
    """Return the angle whose sine is x; at -1 and 1 its derivative is 0.

    Parameters
    ----------
    x : Tensor
        From -1 to 1, any shape. [-]

    Returns
    -------
    Tensor
        Of the shape of `x`, from -π/2 to π/2. [rad]

    Raises
    ------
    NotATensorError, TypeError
        If `x` is no tensor, or complex.
    """
    x = checks.floating("arcsin", "x", x)
    end = _end(x)
    return (x - end).arcsin() * (1 - end.abs()) + end * (math.pi / 2)


def arccos(x: Tensor) -> Tensor:
    """Return the angle whose cosine is x, from 0 to π; at -1 and 1 its derivative is 0. See `arcsin`. [rad]"""
    x = checks.floating("arccos", "x", x)
    end = _end(x)
    inside = 1 - end.abs()
    return (x - end).arccos() * inside + (1 - inside - end) * (math.pi / 2)


def _end(x: Tensor) -> Tensor:
    """Return x where it is -1 or 1 and 0 elsewhere, as a constant."""
    return (x == 1).to(x.dtype) - (x == -1).to(x.dtype)
