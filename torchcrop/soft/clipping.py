"""Soft clipping: modules that squeeze the real line into an interval by a bounded function."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from torchcrop.soft import checks

__all__ = ["RescaledSoftClipping", "SoftClipping"]

#: Powers of 2 at which a function is looked at in search of its limits: up to 1e15, where 1 / x is below rounding.
LARGEST_POWER = 50
#: A function has a limit if its last step, a doubling of the argument, is below this share of its range. [-]
SETTLED = 1e-9


class SoftClipping(nn.Module):
    """``x_min + (x_max - x_min) clip_func(x)``.

    Into [x_min, x_max] only where `clip_func` has the range [0, 1], and with a transition around x = 0 whatever the
    interval: `RescaledSoftClipping` has neither limitation.

    Parameters
    ----------
    x_min, x_max : float or Tensor
        Values of the result where `clip_func` is 0 and 1. Buffers of the module. [any unit]
    clip_func : callable
        Elementwise function of a tensor.

    Raises
    ------
    ValueError
        If `x_min` is not below `x_max`.
    """

    x_min: Tensor
    x_max: Tensor

    def __init__(
        self,
        x_min: float | Tensor = -1.0,
        x_max: float | Tensor = 1.0,
        clip_func: Callable[[Tensor], Tensor] = torch.sigmoid,
    ) -> None:
        super().__init__()
        low, high = (torch.as_tensor(bound, dtype=_dtype(bound)) for bound in (x_min, x_max))
        if not bool((low < high).all()):
            raise ValueError(
                f"{type(self).__name__}: x_min is {x_min} and x_max {x_max}; x_min must be below x_max: exchange them?"
            )
        self.register_buffer("x_min", low.detach().clone())
        self.register_buffer("x_max", high.detach().clone())
        self.clip_func = clip_func

    def forward(self, x: Tensor) -> Tensor:
        """Return x clipped, in its own dtype; integers in torch's default dtype."""
        x, low, high = self._operands(x)
        return low + (high - low) * self.clip_func(x)

    def extra_repr(self) -> str:
        name = getattr(self.clip_func, "__name__", type(self.clip_func).__name__)
        return f"x_min={_shown(self.x_min)}, x_max={_shown(self.x_max)}, clip_func={name}"

    def _operands(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = checks.floating(type(self).__name__, "x", x)
        return x, self.x_min.to(x.dtype), self.x_max.to(x.dtype)


class RescaledSoftClipping(SoftClipping):
    """Into [x_min, x_max] by any bounded monotone function, with value and slope of the identity at the middle.

    With m the middle of [x_min, x_max] and w its width, g the function, a and b its limits at minus and plus infinity,
    and u where it is (a + b) / 2::

        x_min + w (g(u + k (x - m)) - a) / (b - a),    k = (b - a) / (w g'(u))

    Parameters
    ----------
    x_min, x_max : float or Tensor
        The interval. Buffers of the module. [any unit]
    clip_func : callable
        Elementwise function of a tensor, monotone, with a limit at either end and a slope in the middle.

    Raises
    ------
    ValueError
        If `x_min` is not below `x_max`; if `clip_func` has no finite limits, is not monotone, or is flat or has a
        step in the middle of its range.

    Notes
    -----
    The limits are read off where the function has settled at powers of 2 up to 2^50, the middle is found by
    bisection, the slope by automatic differentiation, all three in float64 and once, when the module is made: they
    belong to the function, not to the state of the module. A function that approaches its limits more slowly than
    1 / x is taken as one without limits.

    Examples
    --------
    >>> clip = RescaledSoftClipping(0.0, 5.0, torch.tanh)
    >>> clip(torch.tensor([-100.0, 2.5, 100.0]))
    tensor([0.0000, 2.5000, 5.0000])
    """

    def __init__(
        self,
        x_min: float | Tensor = -1.0,
        x_max: float | Tensor = 1.0,
        clip_func: Callable[[Tensor], Tensor] = torch.sigmoid,
    ) -> None:
        super().__init__(x_min, x_max, clip_func)
        self._limits, self._reach = _limits(clip_func)
        self._middle, self._slope = _middle(clip_func, *self._limits)

    def forward(self, x: Tensor) -> Tensor:
        """Return x clipped, in its own dtype; integers in torch's default dtype."""
        x, low, high = self._operands(x)
        first, last = self._limits
        scale = (last - first) / self._slope / (high - low)
        # No further out than where the function has settled: x / sqrt(1 + x x) overflows there.
        at = (self._middle + scale * (x - (low / 2 + high / 2))).clamp(*self._reach)
        # Rounding of the limits must not lead out of the interval.
        return torch.lerp(low, high, ((self.clip_func(at) - first) / (last - first)).clamp(0.0, 1.0))


def _dtype(bound: float | Tensor) -> torch.dtype:
    floating = isinstance(bound, Tensor) and bound.dtype.is_floating_point
    return bound.dtype if isinstance(bound, Tensor) and floating else torch.get_default_dtype()


def _shown(bound: Tensor) -> str:
    return f"{bound.item():g}" if bound.ndim == 0 else f"<shape {tuple(bound.shape)}>"


def _limits(clip_func: Callable[[Tensor], Tensor]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the values that a function tends to at minus and plus infinity, and where it has come that far."""
    powers = 2.0 ** torch.arange(LARGEST_POWER + 1, dtype=torch.float64)
    points = torch.cat([-powers.flip(0), powers.new_zeros(1), powers])
    with torch.no_grad():
        values = clip_func(points)
    # Expressions such as exp(x) / (1 + exp(x)) have settled long before they overflow.
    points, values = points[values.isfinite()], values[values.isfinite()]
    if len(values) < 5:
        raise ValueError(f"RescaledSoftClipping: {_named(clip_func)} is not finite; give one such as torch.sigmoid")
    first, last, steps = float(values[0]), float(values[-1]), values.diff()
    size = abs(last - first)
    if float(steps.min()) < -1e-12 * size and float(steps.max()) > 1e-12 * size:
        raise ValueError(f"RescaledSoftClipping: {_named(clip_func)} is not monotone; give one such as torch.sigmoid")
    if size == 0 or max(abs(float(steps[0])), abs(float(steps[-1]))) > SETTLED * size:
        raise ValueError(
            f"RescaledSoftClipping: {_named(clip_func)} has no two different finite limits: it goes from {first:g} "
            f"to {last:g} up to where it is last finite; give one such as torch.sigmoid"
        )
    rounding = torch.finfo(torch.float64).eps * size
    low = points[(values - first).abs() <= rounding].max()
    high = points[(values - last).abs() <= rounding].min()
    return (first, last), (float(low), float(high))


def _middle(clip_func: Callable[[Tensor], Tensor], first: float, last: float) -> tuple[float, float]:
    """Return where a monotone function is halfway between its limits, and its slope there."""
    half, rising = first / 2 + last / 2, last > first
    low, high, at = -(2.0**LARGEST_POWER), 2.0**LARGEST_POWER, 0.0
    while low < at < high:
        value = float(clip_func(torch.tensor(at, dtype=torch.float64)))
        if value == half:
            break
        # Where an expression overflows it is NaN, on the side of zero that it is on.
        below = (value < half) == rising if math.isfinite(value) else at < 0
        low, high = (at, high) if below else (low, at)
        at = low / 2 + high / 2
    slope = _slope(clip_func, at)
    if not 0 < (slope if rising else -slope) < math.inf:
        raise ValueError(
            f"RescaledSoftClipping: {_named(clip_func)} has the slope {slope:g} in the middle of its range, at "
            f"{at:g}; it must have a finite one other than 0 there: give one such as torch.sigmoid"
        )
    return at, slope


def _slope(clip_func: Callable[[Tensor], Tensor], at: float) -> float:
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    try:
        with torch.enable_grad():
            return float(torch.autograd.grad(clip_func(x), x)[0])
    except RuntimeError as error:
        raise ValueError(
            f"RescaledSoftClipping: {_named(clip_func)} has no derivative in torch; give one such as torch.sigmoid"
        ) from error


def _named(clip_func: Callable[[Tensor], Tensor]) -> str:
    return f"clip_func {getattr(clip_func, '__name__', clip_func)!r}"
