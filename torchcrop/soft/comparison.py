"""Soft comparisons: shares from 0 (false) to 1 (true) instead of truth values.

`softness` is a distance on the axis of the operands; `epsilon` decides ties: as the softness goes to 0, ``greater`` of
equals goes to 0 and ``greater_equal`` to 1.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from torchcrop.soft.arithmetic import over, plus, times
from torchcrop.soft.checks import Softness, floating
from torchcrop.soft.curves import Curve, Number, Shape, slope, step, step_and_slope
from torchcrop.soft.elementwise import ABS, abs_and_slope, paired, shape_of

__all__ = [
    "eq",
    "equal",
    "greater",
    "greater_equal",
    "isclose",
    "less",
    "less_equal",
    "not_equal",
]

#: Shift of a threshold that decides ties. [unit of the operands]
EPSILON = 1e-10


def _beyond(x: Tensor, y: Number, shift: float, less: bool, shape: Shape, out: Tensor | None = None) -> Tensor:
    return step(_difference(x, y, shift, less), shape, out)


def _beyond_slopes(x: Tensor, y: Number, shift: float, less: bool, shape: Shape) -> Iterator[Tensor]:
    rise = slope(_difference(x, y, shift, less), shape)
    rise = times(rise, -1.0) if less else rise
    yield rise
    if isinstance(y, Tensor):
        yield -rise


def _difference(x: Tensor, y: Number, shift: float, less: bool) -> Tensor:
    # 1 - S(d) is S(-d), to the last digit where S is small.
    difference = torch.rsub(x, y) if less else x - y
    return plus(difference, shift) if shift else difference


_BEYOND = Curve(_beyond, _beyond_slopes, _beyond)


def _same(x: Tensor, y: Tensor, epsilon: float, shape: Shape, out: Tensor | None = None) -> Tensor:
    """Return ``2 L(|x - y| <= 0)``, with the soft absolute value and L(d <= t) = S(t - d + epsilon)."""
    return times(step(epsilon - ABS.value(x - y, shape), shape), 2.0, out)


def _same_slopes(x: Tensor, y: Tensor, epsilon: float, shape: Shape) -> Iterator[Tensor]:
    distance = x - y
    (turn,) = ABS.slopes(distance, shape)
    fall = times(times(slope(epsilon - ABS.value(distance, shape), shape), turn), -2.0)
    yield fall
    yield -fall


def _same_joint(x: Tensor, y: Tensor, epsilon: float, shape: Shape, out: Tensor, rise: Tensor) -> None:
    size, turn = abs_and_slope(x - y, shape)
    within, fall = step_and_slope(size.mul_(-1).add_(epsilon), shape)
    torch.mul(within, 2, out=out)
    torch.mul(fall.mul_(-2), turn, out=rise)


def _opposite(_gradient: Tensor, first: Tensor) -> Tensor:
    return -first


_EQUAL = Curve(_same, _same_slopes, _same, _same_joint, _opposite)


def _close(
    x: Tensor, y: Tensor, rtol: float, atol: float, epsilon: float, shape: Shape, out: Tensor | None = None
) -> Tensor:
    """Return ``L(|x - y| <= tol) / L(0 <= tol)``, with soft absolute values and L(d <= t) = S(t - d + epsilon)."""
    tolerance = _tolerance(y, rtol, atol + epsilon, shape)
    within = step(tolerance - ABS.value(x - y, shape), shape)
    return over(within, _at_equality(tolerance, y, shape), out)


def _tolerance(y: Tensor, rtol: float, atol: float, shape: Shape) -> Number:
    return plus(times(ABS.value(y, shape), rtol), atol) if rtol else atol


def _at_equality(tolerance: Number, like: Tensor, shape: Shape) -> Tensor:
    return step(tolerance if isinstance(tolerance, Tensor) else like.new_full((), tolerance), shape)


def _close_slopes(x: Tensor, y: Tensor, rtol: float, atol: float, epsilon: float, shape: Shape) -> Iterator[Tensor]:
    distance = x - y
    tolerance = _tolerance(y, rtol, atol + epsilon, shape)
    inside = tolerance - ABS.value(distance, shape)
    full = _at_equality(tolerance, y, shape)
    (turn,) = ABS.slopes(distance, shape)
    fall = over(slope(inside, shape), full)
    yield -(fall * turn)
    if not isinstance(tolerance, Tensor):
        yield fall * turn
        return
    (turn_of_y,) = ABS.slopes(y, shape)
    widening = rtol * turn_of_y
    share = over(step(inside, shape), full)
    yield fall * (turn + widening) - share * slope(tolerance, shape) / full * widening


def _close_joint(
    x: Tensor, y: Tensor, rtol: float, atol: float, epsilon: float, shape: Shape, out: Tensor, rise: Tensor
) -> None:
    size, turn = abs_and_slope(x - y, shape)
    tolerance = _tolerance(y, rtol, atol + epsilon, shape)
    full = _at_equality(tolerance, y, shape)
    within, fall = step_and_slope(tolerance - size, shape)
    torch.div(within, full, out=out)
    torch.div(fall.mul_(turn).neg_(), full, out=rise)


_CLOSE = Curve(_close, _close_slopes, _close, _close_joint)


def greater(
    x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth", epsilon: float = EPSILON
) -> Tensor:
    """Share to which x > y: ``S(x - y - epsilon)``.

    Parameters
    ----------
    x : Tensor
        Any shape; integers are taken in torch's default dtype.
    y : Tensor or float
        Broadcasts with x.
    softness : float or Tensor, optional
        Greater than 0; broadcasts with x. Without: the default of `default_softness`, 0.1. [unit of x]
    mode : str
        See `sigmoidal`; "hard" compares.
    epsilon : float
        Decides ties. [unit of x]

    Returns
    -------
    Tensor
        Broadcast shape, from 0 to 1, floating point.

    Raises
    ------
    NotATensorError, ValueError
        If x is no tensor, the softness not positive, the mode unknown.
    """
    return _compared("greater", torch.gt, x, y, softness, mode, -epsilon)


def greater_equal(
    x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth", epsilon: float = EPSILON
) -> Tensor:
    """Share to which x >= y: ``S(x - y + epsilon)``. Parameters, errors: as `greater`."""
    return _compared("greater_equal", torch.ge, x, y, softness, mode, epsilon)


def less(
    x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth", epsilon: float = EPSILON
) -> Tensor:
    """Share to which x < y: ``1 - greater_equal(x, y)``. Parameters, errors: as `greater`."""
    return _compared("less", torch.lt, x, y, softness, mode, -epsilon)


def less_equal(
    x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth", epsilon: float = EPSILON
) -> Tensor:
    """Share to which x <= y: ``1 - greater(x, y)``. Parameters, errors: as `greater`."""
    return _compared("less_equal", torch.le, x, y, softness, mode, epsilon)


def eq(
    x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth", epsilon: float = EPSILON
) -> Tensor:
    r"""Share to which x equals y: twice that of ``|x - y| <= 0``, with the soft absolute value.

    1 where they are equal, falling to 0 over a few softnesses. Parameters, errors: as `greater`.
    """
    return _equal("eq", x, y, softness, mode, epsilon)


def not_equal(
    x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth", epsilon: float = EPSILON
) -> Tensor:
    """Share to which x differs from y: ``1 - eq(x, y)``. Parameters, errors: as `greater`."""
    return 1 - _equal("not_equal", x, y, softness, mode, epsilon)


def isclose(
    x: Tensor,
    y: Tensor,
    softness: Softness = None,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    mode: str = "smooth",
    epsilon: float = EPSILON,
) -> Tensor:
    r"""Share to which x and y are close: ``L(|x - y| <= tol) / L(0 <= tol)`` with ``tol = atol + rtol |y|``.

    L is `less_equal`, and the absolute values are soft. 1 where x equals y, never above 1, and `eq` where tol is 0.

    Parameters
    ----------
    x, softness, mode, epsilon
        As in `greater`.
    y : Tensor
        Broadcasts with x.
    rtol, atol : float
        Relative and absolute tolerance, at least 0. [1], [unit of x]

    Returns
    -------
    Tensor
        Broadcast shape, from 0 to 1; `torch.isclose` in hard mode.

    Raises
    ------
    NotATensorError, ValueError
        As `greater`.
    """
    x, y = paired("isclose", floating("isclose", "x", x), floating("isclose", "y", y))
    shape, _ = shape_of("isclose", softness, mode, x)
    if shape is None:
        return torch.isclose(x, y, rtol=rtol, atol=atol).to(x.dtype)
    return _CLOSE((x, y), rtol, atol, epsilon, shape)


def _compared(
    operator: str,
    hard: Callable[..., Tensor],
    x: Tensor,
    y: Tensor | float,
    softness: Softness,
    mode: str,
    shift: float,
) -> Tensor:
    x = floating(operator, "x", x)
    shape, _ = shape_of(operator, softness, mode, x)
    if isinstance(y, Tensor):
        x, y = paired(operator, x, y)
    if shape is None:
        return hard(x, y).to(x.dtype)
    less = operator.startswith("less")
    if not isinstance(shape.width, Tensor) and builtins.abs(shift) < torch.finfo(x.dtype).eps * shape.width / 8:
        shift = 0.0  # nothing of it is left after rounding
    if isinstance(y, Tensor):
        return _BEYOND((x, y), shift, less, shape)
    return _BEYOND((x,), float(y), shift, less, shape)


def _equal(operator: str, x: Tensor, y: Tensor | float, softness: Softness, mode: str, epsilon: float) -> Tensor:
    x = floating(operator, "x", x)
    shape, _ = shape_of(operator, softness, mode, x)
    x, y = paired(operator, x, y)
    if shape is None:
        return torch.eq(x, y).to(x.dtype)
    return _EQUAL((x, y), epsilon, shape)


equal = eq
