"""Soft forms of the elementwise operators: steps, ramps, limits and roundings.

All of them are made of two curves, the soft step S and its antiderivative R (`torchcrop.soft.curves`), in the unit of
x: the softness is a length on the axis of x. As it goes to 0 every operator goes to torch's own.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from torchcrop.soft.arithmetic import limited, over, plus, times
from torchcrop.soft.checks import (
    GATED,
    LEGACY_MODES,
    LEGACY_SOFTNESS,
    MODES,
    PROJECTED_MODES,
    Softness,
    floating,
    lowest_visible,
    one_of,
    positive_softness,
)
from torchcrop.soft.curves import Curve, Number, Shape, ramp, slope, step, step_and_tail, tail

__all__ = [
    "abs",
    "ceil",
    "clamp",
    "clip",
    "floor",
    "heaviside",
    "maximum",
    "minimum",
    "relu",
    "remainder",
    "round",
    "sigmoidal",
    "sign",
    "softrelu",
    "trunc",
]


_ELEMENTWISE = (*MODES, *PROJECTED_MODES, *LEGACY_MODES, *(GATED + mode for mode in LEGACY_MODES))


def shape_of(
    operator: str, softness: Softness, mode: str, like: Tensor, *, hard: bool = True
) -> tuple[Shape | None, bool]:
    """Return the shape of the step that `softness` and `mode` name, and whether the mode's name says gated.

    Parameters
    ----------
    operator : str
        For the messages.
    softness : float, Tensor or None
        Greater than 0; not looked at in hard mode. [unit of x]
    mode : str
        A mode of `elementwise` operators, legacy ones included.
    like : Tensor
        A tensor softness takes its dtype and device.
    hard : bool
        Whether the operator has a hard mode.

    Returns
    -------
    Shape or None
        None in hard mode.
    bool
        True for ``gated_*``.

    Raises
    ------
    ValueError
        If the mode is unknown, or the softness not positive.
    """
    one_of(operator, "mode", mode, _ELEMENTWISE if hard else [m for m in _ELEMENTWISE if m != "hard"])
    if mode == "hard":
        return None, False
    gated = mode.startswith(GATED)
    name = mode.removeprefix(GATED)
    positive = positive_softness(operator, softness, like)
    if name in LEGACY_MODES:
        return Shape.of(LEGACY_MODES[name], positive / LEGACY_SOFTNESS), gated
    return Shape.of(name, positive), gated


# --- curves ----------------------------------------------------------------------------------------------


def _sign(x: Tensor, shape: Shape, out: Tensor | None = None) -> Tensor:
    if shape.mode == "c0" and not torch.is_grad_enabled():
        return shape.limited(x, out)
    if shape.mode == "c1":
        u = shape.limited(x)
        return times(torch.rsub(u * u, 1.5, alpha=0.5), u, out)
    if shape.mode == "c2":
        u = shape.limited(x)
        square = u * u
        return times(torch.addcmul(torch.rsub(square, 1.875, alpha=1.25), square, square, value=0.375), u, out)
    return plus(times(step(x, shape), 2.0), -1.0, out=out)


def _abs(x: Tensor, shape: Shape, out: Tensor | None = None) -> Tensor:
    return times(_sign(x, shape), x, out)


def _abs_slope(x: Tensor, shape: Shape) -> Tensor:
    # sign(x) + 2 x S'(x): beyond the transition the polynomials are the sign.
    if shape.mode == "c0" and not torch.is_grad_enabled():
        u = shape.scaled(x)
        return times(torch.rsub(torch.sign(u.abs() - 1), 1.5, alpha=0.5), limited(u, -1, 1))
    if shape.mode == "c1":
        u = shape.limited(x)
        return times(torch.rsub(u * u, 3, alpha=2), u)
    if shape.mode == "c2":
        u = shape.limited(x)
        square = u * u
        return times(torch.addcmul(torch.rsub(square, 3.75, alpha=5), square, square, value=2.25), u)
    if shape.mode == "smooth":
        share = step(x, shape)
        return torch.addcmul(2 * share - 1, torch.addcmul(share, share, share, value=-1), x * (2 / shape.width))
    return _sign(x, shape) + 2 * x * slope(x, shape)


def abs_and_slope(x: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Return the soft absolute value of x and its slope, for which no derivative may be taken."""
    if shape.mode not in ("c1", "c2"):
        return _abs(x, shape), _abs_slope(x, shape)
    u = shape.limited(x)
    square = u * u
    if shape.mode == "c1":
        sign, turn = torch.rsub(square, 1.5, alpha=0.5), torch.rsub(square, 3, alpha=2)
    else:
        sign, turn = torch.rsub(square, 1.875, alpha=1.25), torch.rsub(square, 3.75, alpha=5)
        square.mul_(square)
        sign.add_(square, alpha=0.375)
        turn.add_(square, alpha=2.25)
    return sign.mul_(u).mul_(x), turn.mul_(u)


def _gated(x: Tensor, shape: Shape, out: Tensor | None = None) -> Tensor:
    return times(step(x, shape), x, out)


def _gated_slope(x: Tensor, shape: Shape) -> Tensor:
    return plus(times(slope(x, shape), x), step(x, shape))


def _clamp(x: Tensor, low: Number, high: Number, shape: Shape, gated: bool) -> Tensor:
    part = _gated if gated else ramp
    if x.dtype == torch.float64:
        return low + part(x - low, shape) - part(x - high, shape)
    # In single precision the difference of two ramps loses the third digit behind the point at x = 10 000. So their
    # hard parts go together, and R(d) - max(0, d) = R(-|d|), the same for the gated form, is added.
    above_low, above_high = (x >= low).to(x.dtype), (x >= high).to(x.dtype)
    hard = low * (1 - above_low) + x * (above_low - above_high) + high * above_high
    by_low, by_high = (x - low) * (2 * above_low - 1), (x - high) * (2 * above_high - 1)
    if gated:
        return hard + _gated(-by_low, shape) - _gated(-by_high, shape)
    return hard + tail(by_low, shape) - tail(by_high, shape)


def _clamp_slope(x: Tensor, low: Number, high: Number, shape: Shape, gated: bool) -> Tensor:
    part = _gated_slope if gated else step
    return part(x - low, shape) - part(x - high, shape)


def _clamp_plain(x: Tensor, low: Number, high: Number, shape: Shape, gated: bool, out: Tensor) -> Tensor:
    if gated or not (isinstance(low, int | float) and isinstance(high, int | float) and low <= high):
        return out.copy_(_clamp(x, low, high, shape, gated))
    torch.clamp(x, low, high, out=out)
    return out.add_(tail((x - low).abs_(), shape)).sub_(tail((x - high).abs_(), shape))


def _far_clamp(x: Tensor, low: float, high: float, shape: Shape, gated: bool) -> Tensor:
    if x.dtype == torch.float64:
        return _clamp(x, low, high, shape, gated)
    # As `_clamp`, with the nearer limit alone.
    upper = (x >= (low + high) / 2).to(x.dtype)
    limit, side = low * (1 - upper) + high * upper, 2 * upper - 1
    beyond = (x - limit) * side
    outside = (beyond >= 0).to(x.dtype)
    return x * (1 - outside) + limit * outside - side * tail(beyond * (2 * outside - 1), shape)


def _far_clamp_plain(x: Tensor, low: float, high: float, shape: Shape, _gated: bool, out: Tensor) -> Tensor:
    y = x - (low + high) / 2
    distance = y.abs().sub_((high - low) / 2).abs_()
    return torch.clamp(x, low, high, out=out).addcmul_(tail(distance, shape), y.sign_(), value=-1)


def _far_clamp_joint(x: Tensor, low: float, high: float, shape: Shape, _gated: bool, out: Tensor, rise: Tensor) -> None:
    y = x - (low + high) / 2
    inside = y.abs().mul_(-1).add_((high - low) / 2)
    torch.clamp(x, low, high, out=out).addcmul_(step_and_tail(inside, shape, rise), y.sign_(), value=-1)


def _far_clamp_slope(x: Tensor, low: float, high: float, shape: Shape, _gated: bool) -> Tensor:
    inside = plus(times((x - (low + high) / 2).abs(), -1.0), (high - low) / 2)
    return step(inside, shape)


def _larger(x: Tensor, y: Tensor, shape: Shape) -> Tensor:
    # R is added to the larger of the two, or the smaller would be lost beside it. Which one is taken for the larger
    # makes no difference to value or derivatives: R(d) = d + R(-d).
    difference = x - y
    first = (difference >= 0).to(difference.dtype)
    return x * first + y * (1 - first) + tail(difference * (2 * first - 1), shape)


def _larger_plain(x: Tensor, y: Tensor, shape: Shape, out: Tensor) -> Tensor:
    return torch.maximum(x, y, out=out).add_(tail((x - y).abs_(), shape))


def _smaller_plain(x: Tensor, y: Tensor, shape: Shape, out: Tensor) -> Tensor:
    return torch.minimum(x, y, out=out).sub_(tail((x - y).abs_(), shape))


def _larger_joint(x: Tensor, y: Tensor, shape: Shape, out: Tensor, rise: Tensor) -> None:
    torch.maximum(x, y, out=out).add_(step_and_tail(x - y, shape, rise))


def _smaller_joint(x: Tensor, y: Tensor, shape: Shape, out: Tensor, rise: Tensor) -> None:
    torch.minimum(x, y, out=out).sub_(step_and_tail(y - x, shape, rise))


def _larger_slopes(x: Tensor, y: Tensor, shape: Shape) -> Iterator[Tensor]:
    share = step(x - y, shape)
    yield share
    yield 1 - share


STEP = Curve(step, lambda x, shape: (slope(x, shape),), step)
RAMP = Curve(ramp, lambda x, shape: (step(x, shape),), ramp)
_SIGN = Curve(_sign, lambda x, shape: (times(slope(x, shape), 2.0),), _sign)
ABS = Curve(_abs, lambda x, shape: (_abs_slope(x, shape),), _abs)
_GATED_RAMP = Curve(_gated, lambda x, shape: (_gated_slope(x, shape),), _gated)
_CLAMP = Curve(_clamp, lambda *arguments: (_clamp_slope(*arguments),), _clamp_plain)
# Limits so far apart that at most one of them is felt at any x: one curve instead of two.
_FAR_CLAMP = Curve(_far_clamp, lambda *arguments: (_far_clamp_slope(*arguments),), _far_clamp_plain, _far_clamp_joint)
# Their slopes add up to 1.
_LARGER = Curve(_larger, _larger_slopes, _larger_plain, _larger_joint, torch.sub)
_SMALLER = Curve(
    lambda x, y, shape: -_larger(-x, -y, shape),
    lambda x, y, shape: _larger_slopes(y, x, shape),
    _smaller_plain,
    _smaller_joint,
    torch.sub,
)


# --- operators -------------------------------------------------------------------------------------------


def sigmoidal(x: Tensor, softness: Softness = None, mode: str = "smooth") -> Tensor:
    """Soft step from 0 to 1 at 0, the share S(x).

    Parameters
    ----------
    x : Tensor
        Any shape; integers are taken in torch's default dtype.
    softness : float or Tensor, optional
        Greater than 0; a tensor broadcasts with x and may be differentiated. Without: the default of
        `default_softness`, 0.1. [unit of x]
    mode : {"smooth", "c0", "c1", "c2"}
        smooth: logistic, ``1 / (1 + exp(-x/softness))``. c0, c1, c2: exactly 0 below ``-5 softness``, exactly 1 above
        ``5 softness``, and a polynomial with no, one, two continuous derivatives between. Or an earlier name:
        entropic, euclidean, cubic, quartic, quintic, pseudohuber, whose softness means softness/10.

    Returns
    -------
    Tensor
        Shape of x and softness broadcast, in [0, 1].

    Raises
    ------
    NotATensorError, ValueError
        If x is no tensor, the softness not positive, the mode unknown (or "hard": see `heaviside`).
    """
    x = floating("sigmoidal", "x", x)
    shape, _ = shape_of("sigmoidal", softness, mode, x, hard=False)
    return STEP((x,), shape)


def softrelu(x: Tensor, softness: Softness = None, mode: str = "smooth", gated: bool = False) -> Tensor:
    """Soft ramp R(x), the antiderivative of the soft step; or, gated, ``x S(x)``.

    R is at least max(0, x), and one derivative smoother than S. The gated form is below 0 for x < 0 and not monotone.

    Parameters
    ----------
    x, softness, mode
        As in `sigmoidal`; ``gated_*`` modes are gated whatever `gated` says.
    gated : bool
        Give ``x S(x)``.

    Returns
    -------
    Tensor
        Shape of x and softness broadcast. [unit of x]

    Raises
    ------
    NotATensorError, ValueError
        As `sigmoidal`.
    """
    x = floating("softrelu", "x", x)
    shape, by_name = shape_of("softrelu", softness, mode, x, hard=False)
    return (_GATED_RAMP if gated or by_name else RAMP)((x,), shape)


def heaviside(x: Tensor, softness: Softness = None, mode: str = "smooth") -> Tensor:
    """Soft unit step, 1/2 at 0: `sigmoidal`, and in hard mode 0, 1/2 or 1, with derivative 0.

    Parameters, errors: as `sigmoidal`.
    """
    x = floating("heaviside", "x", x)
    shape, _ = shape_of("heaviside", softness, mode, x)
    return (torch.sign(x) + 1) / 2 if shape is None else STEP((x,), shape)


def relu(x: Tensor, softness: Softness = None, mode: str = "smooth", gated: bool = False) -> Tensor:
    """Soft ``max(0, x)``: `softrelu`, and `torch.relu` in hard mode.

    Parameters, errors: as `softrelu`.
    """
    x = floating("relu", "x", x)
    shape, by_name = shape_of("relu", softness, mode, x)
    if shape is None:
        return torch.relu(x)
    return (_GATED_RAMP if gated or by_name else RAMP)((x,), shape)


def sign(x: Tensor, softness: Softness = None, mode: str = "smooth") -> Tensor:
    """Soft sign, ``2 S(x) - 1``; `torch.sign` in hard mode.

    Parameters, errors: as `sigmoidal`.
    """
    x = floating("sign", "x", x)
    shape, _ = shape_of("sign", softness, mode, x)
    return torch.sign(x) if shape is None else _SIGN((x,), shape)


def abs(x: Tensor, softness: Softness = None, mode: str = "smooth") -> Tensor:
    """Soft absolute value, ``x sign(x)``: 0 at 0, and below the absolute value elsewhere.

    Parameters, errors: as `sigmoidal`. [unit of x]
    """
    x = floating("abs", "x", x)
    shape, _ = shape_of("abs", softness, mode, x)
    return torch.abs(x) if shape is None else ABS((x,), shape)


def clamp(
    x: Tensor,
    a: Tensor | float,
    b: Tensor | float,
    softness: Softness = None,
    mode: str = "smooth",
    gated: bool = False,
) -> Tensor:
    """Soft limit of x to ``[a, b]``: ``a + R(x - a) - R(x - b)``.

    The limits are approached from inside; gated they are overstepped a little. With ``a > b`` it mirrors the range,
    where `torch.clamp` gives b. In float64 this is the sum as it stands, so that x is rounded to its 16th digit (the
    result is wrong by 1e-6 at x = 1e10, and lost beyond 1e15 times the range); float32 and below are exact at any x.

    Parameters
    ----------
    x, softness, mode, gated
        As in `softrelu`.
    a, b : float or Tensor
        Lower and upper limit; broadcast with x. Derivatives flow to tensors. [unit of x]

    Returns
    -------
    Tensor
        Broadcast shape. [unit of x]

    Raises
    ------
    NotATensorError, ValueError
        As `sigmoidal`.
    """
    x = floating("clamp", "x", x)
    shape, by_name = shape_of("clamp", softness, mode, x)
    if shape is None:
        return torch.minimum(torch.maximum(x, _like(a, x)), _like(b, x))
    gated = gated or by_name
    numbers = not (isinstance(a, Tensor) or isinstance(b, Tensor) or isinstance(shape.width, Tensor))
    apart = numbers and not gated and shape.ends and b - a >= 2 * shape.width
    return (_FAR_CLAMP if apart else _CLAMP)((x,), a, b, shape, gated)


def maximum(x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth") -> Tensor:
    """Soft larger of two, ``y + R(x - y)``: never below either, above by R(0) where they are equal.

    Parameters
    ----------
    x, softness, mode
        As in `sigmoidal`.
    y : Tensor or float
        Broadcasts with x. [unit of x]

    Returns
    -------
    Tensor
        Broadcast shape; in hard mode `torch.maximum`. [unit of x]

    Raises
    ------
    NotATensorError, ValueError
        As `sigmoidal`.
    """
    return _extreme("maximum", x, y, softness, mode)


def minimum(x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth") -> Tensor:
    """Soft smaller of two, ``x - R(x - y)``: never above either, below by R(0) where they are equal.

    Parameters, errors: as `maximum`.
    """
    return _extreme("minimum", x, y, softness, mode)


def _extreme(operator: str, x: Tensor, y: Tensor | float, softness: Softness, mode: str) -> Tensor:
    x = floating(operator, "x", x)
    shape, _ = shape_of(operator, softness, mode, x)
    x, y = paired(operator, x, y)
    if shape is None:
        return torch.maximum(x, y) if operator == "maximum" else torch.minimum(x, y)
    return (_LARGER if operator == "maximum" else _SMALLER)((x, y), shape)


def paired(operator: str, x: Tensor, y: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return two tensors of one dtype."""
    if not isinstance(y, Tensor):
        return x, torch.full((), float(y), dtype=x.dtype, device=x.device)
    y = floating(operator, "y", y)
    dtype = torch.promote_types(x.dtype, y.dtype)
    return x.to(dtype), y.to(dtype)


def _like(value: Tensor | float, x: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.full((), float(value), dtype=x.dtype, device=x.device)


# --- roundings -------------------------------------------------------------------------------------------


def _staircase(x: Tensor, shift: float, radius: int, shape: Shape) -> Tensor:
    """Round ``x + shift`` to the nearest integer by soft steps.

    The mean of the integers up to `radius` from the nearest, weighted with ``S(d - n + 1/2) - S(d - n - 1/2)``.
    """
    nearest, d = _nearest(x, shift)
    total, weight = _window(step, d, radius, shape, 1.0)
    return plus(_share(total, weight), nearest)


def _staircase_slope(x: Tensor, shift: float, radius: int, shape: Shape) -> Tensor:
    _, d = _nearest(x, shift)
    total_slope, weight_slope = _window(slope, d, radius, shape, 0.0)
    if not isinstance(weight_slope, Tensor):
        return total_slope
    total, weight = _window(step, d, radius, shape, 1.0)
    return (total_slope - total / weight * weight_slope) / weight


def _nearest(x: Tensor, shift: float) -> tuple[Tensor, Tensor]:
    """Return the integer nearest to ``x + shift``, and the way to it from there."""
    x = x + shift if shift else x
    nearest = torch.round(x).detach()
    return nearest, plus(x, nearest, -1) if shift else x - nearest


def _trunc(x: Tensor, radius: int, shape: Shape) -> Tensor:
    return _staircase(x, -0.5, radius, shape) + (1 - step(x, shape))


def _trunc_slope(x: Tensor, radius: int, shape: Shape) -> Tensor:
    return _staircase_slope(x, -0.5, radius, shape) - slope(x, shape)


def _remainder(x: Tensor, y: Number, radius: int, shape: Shape, lowest: float) -> Tensor:
    nearest, d = _nearest(x / y, -0.5)
    size = _size(y, shape, radius, x.dtype)
    # In the unit of x, where the width of the steps is the same everywhere, and the integers are `size` apart.
    total, weight = _window(step, d * size, radius, shape, 1.0, size, lowest)
    return x - times(plus(_share(total, weight), nearest), y)


def _remainder_slopes(x: Tensor, y: Number, radius: int, shape: Shape, lowest: float) -> Iterator[Tensor]:
    ratio = x / y
    nearest, d = _nearest(ratio, -0.5)
    size = _size(y, shape, radius, x.dtype)
    distance = d * size

    def share() -> tuple[Tensor, Tensor | float]:
        total, weight = _window(step, distance, radius, shape, 1.0, size, lowest)
        return _share(total, weight), weight

    def share_slope(part: Callable[[Tensor, Shape], Tensor]) -> Tensor:
        total, by_weight = _window(part, distance, radius, shape, 0.0, size, lowest)
        if not isinstance(by_weight, Tensor):
            return total
        value, weight = share()
        return over(total - value * by_weight, weight)

    by_ratio = times(share_slope(slope), size)
    yield 1 - by_ratio
    # The divisor sets the ratio, and the distance between two integers unless that is held.
    by_size = share_slope(lambda t, shape: t * slope(t, shape)) * (y.abs() == size) if isinstance(y, Tensor) else 0.0
    yield ratio * by_ratio - nearest - share()[0] - by_size


def _size(y: Number, shape: Shape, radius: int, dtype: torch.dtype) -> Number:
    """Return the distance between two integers times y, held where the steps are so wide that weights are lost."""
    least = shape.width / _widest(radius, dtype)
    if not isinstance(y, Tensor):
        y = builtins.abs(y)
        return least.clamp(min=y) if isinstance(least, Tensor) else builtins.max(y, least)
    return torch.maximum(y.abs(), least) if isinstance(least, Tensor) else y.abs().clamp(min=least)


def _share(total: Tensor, weight: Tensor | float) -> Tensor:
    return total / weight if isinstance(weight, Tensor) else total


def _window(
    part: Callable[[Tensor, Shape], Tensor],
    d: Tensor,
    radius: int,
    shape: Shape,
    above: float,
    size: Number = 1.0,
    lowest: float = 1.0,
) -> tuple[Tensor, Tensor | float]:
    """Sum n times the weights, and the weights (or their derivatives), over the window around the nearest integer.

    By summation by parts ``sum n (s_n - s_(n+1))`` is ``sum s_n`` less the ends' share, with ``s_n = S(d - n + 1/2)``:
    one step for each edge between two integers. Edges out of reach are 0 or `above`. `size` is the distance between two
    integers in the unit of d and of the shape, and nowhere below `lowest`.
    """
    reach = (_reach(shape, d.dtype) / lowest if lowest else math.inf) + 0.5

    def edge(h: float) -> Tensor | float:
        if h <= -reach:
            return above
        if h >= reach:
            return 0.0
        return part(torch.sub(d, size, alpha=h) if isinstance(size, Tensor) else d - h * size, shape)

    low, high = edge(-radius - 0.5), edge(radius + 0.5)
    inner: Tensor | float = -radius * (low + high)
    for n in range(1 - radius, radius + 1):
        one = edge(n - 0.5)
        inner = plus(inner, one) if isinstance(inner, Tensor) else inner + one
    return inner if isinstance(inner, Tensor) else torch.full_like(d, inner), low - high


def _reach(shape: Shape, dtype: torch.dtype) -> float:
    """Return the distance from 0 where S is 0 or 1 to the last digit."""
    if isinstance(shape.width, Tensor) or shape.mode == "pseudohuber":
        return math.inf
    return shape.width * (-math.log(torch.finfo(dtype).eps / 4) if shape.mode == "smooth" else 1.0)


_STAIRCASE = Curve(_staircase, lambda *arguments: (_staircase_slope(*arguments),))
_TRUNC = Curve(_trunc, lambda *arguments: (_trunc_slope(*arguments),))
_REMAINDER = Curve(_remainder, _remainder_slopes)


def round(x: Tensor, softness: Softness = None, mode: str = "smooth", neighbor_radius: int = 5) -> Tensor:
    """Soft rounding to the nearest integer: a staircase with soft steps.

    With the nearest integer c, and ``w_n = S(x - n + 1/2) - S(x - n - 1/2)`` for the integers n from c - r to c + r:
    ``c + sum((n - c) w_n) / sum(w_n)``.

    Parameters
    ----------
    x, softness, mode
        As in `sigmoidal`. From a softness of about 0.3 the staircase is nearly straight.
    neighbor_radius : int
        r, the number of integers on either side, at least 0.

    Returns
    -------
    Tensor
        `torch.round` (halves to even) in hard mode. [unit of x]

    Raises
    ------
    NotATensorError, ValueError
        As `sigmoidal`; or if `neighbor_radius` is negative.
    """
    return _rounded("round", torch.round, 0.0, x, softness, mode, neighbor_radius)


def floor(x: Tensor, softness: Softness = None, mode: str = "smooth", neighbor_radius: int = 5) -> Tensor:
    """Soft floor, the soft staircase of `round` with its steps at the integers: ``round(x - 1/2)``.

    Parameters, errors: as `round`; `torch.floor` in hard mode.
    """
    return _rounded("floor", torch.floor, -0.5, x, softness, mode, neighbor_radius)


def ceil(x: Tensor, softness: Softness = None, mode: str = "smooth", neighbor_radius: int = 5) -> Tensor:
    """Soft ceiling, the soft staircase of `round` with its steps at the integers: ``round(x + 1/2)``.

    Parameters, errors: as `round`; `torch.ceil` in hard mode.
    """
    return _rounded("ceil", torch.ceil, 0.5, x, softness, mode, neighbor_radius)


def trunc(x: Tensor, softness: Softness = None, mode: str = "smooth", neighbor_radius: int = 5) -> Tensor:
    """Soft rounding towards 0: `floor` without its step at 0, ``floor(x) + 1 - S(x)``.

    Parameters, errors: as `round`; `torch.trunc` in hard mode.
    """
    return _rounded("trunc", torch.trunc, -0.5, x, softness, mode, neighbor_radius)


def remainder(
    x: Tensor, y: Tensor | float, softness: Softness = None, mode: str = "smooth", neighbor_radius: int = 5
) -> Tensor:
    """Soft remainder ``x - y floor(x / y)``, with the sign of y: a saw-tooth whose drops are soft.

    Parameters
    ----------
    x, softness, mode, neighbor_radius
        As in `round`.
    y : Tensor or float
        Divisor, not 0; broadcasts with x. [unit of x]

    Returns
    -------
    Tensor
        Broadcast shape; `torch.remainder` in hard mode. [unit of x]

    Raises
    ------
    NotATensorError, ValueError
        As `round`.
    """
    x = floating("remainder", "x", x)
    check_radius("remainder", neighbor_radius)
    shape, _ = shape_of("remainder", softness, mode, x)
    if shape is None:
        return torch.remainder(x, y)
    if isinstance(y, Tensor):
        x, y = paired("remainder", x, y)
        lowest = lowest_visible(y.abs()) or 0.0
        return _REMAINDER((x, y), neighbor_radius, shape, lowest)
    if y == 0:
        raise ValueError("remainder: y is 0; a divisor must not be 0")
    return _REMAINDER((x,), float(y), neighbor_radius, shape, builtins.abs(y))


def _rounded(
    operator: str,
    hard: Callable[[Tensor], Tensor],
    shift: float,
    x: Tensor,
    softness: Softness,
    mode: str,
    neighbor_radius: int,
) -> Tensor:
    x = floating(operator, "x", x)
    check_radius(operator, neighbor_radius)
    shape, _ = shape_of(operator, softness, mode, x)
    if shape is None:
        return hard(x)
    shape = _no_wider(shape, x, neighbor_radius)
    if operator == "trunc":
        return _TRUNC((x,), neighbor_radius, shape)
    return _STAIRCASE((x,), shift, neighbor_radius, shape)


def check_radius(operator: str, neighbor_radius: int) -> None:
    """Refuse a window of negative size.

    Raises
    ------
    ValueError
        Then.
    """
    if neighbor_radius < 0:
        raise ValueError(f"{operator}: neighbor_radius is {neighbor_radius}; it must be at least 0")


def _no_wider(shape: Shape, x: Tensor, radius: int) -> Shape:
    """Hold the width of steps where they make all weights of the window equal; their sum would be lost in rounding."""
    widest = _widest(radius, x.dtype)
    width = shape.width.clamp(max=widest) if isinstance(shape.width, Tensor) else builtins.min(shape.width, widest)
    return Shape(shape.mode, width)


def _widest(radius: int, dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).eps ** (-1 / 3) * (radius + 1))


clip = clamp
