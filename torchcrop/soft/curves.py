"""The soft step S(x) and its antiderivative R(x) in every mode, and the evaluation of such curves on large tensors.

With the width ``w`` of a mode (the softness, or five times the softness where the transition has an end) and
``u = x / w``, ``v = clamp((1 + u) / 2, 0, 1)``:

============  ===========================  ================================
mode          S                            R / w
============  ===========================  ================================
smooth        1 / (1 + exp(-u))            log(1 + exp(u))
pseudohuber   (1 + u / sqrt(1 + u²)) / 2   (u + sqrt(1 + u²)) / 2
c0            v                            v², u above 1
c1            v² (3 - 2v)                  v³ (2 - v), u above 1
c2            v³ (10 - 15v + 6v²)          v⁴ (5 - 6v + 2v²), u above 1
_c1_pnorm     sqrt(S) - sqrt(1 - S) = u    antiderivative
_c2_pnorm     cbrt(S) - cbrt(1 - S) = u    antiderivative
============  ===========================  ================================

S is a cumulative distribution: symmetric, S(0) = 1/2. R is convex, and exactly x where S is exactly 1.

Every curve is written in differentiable torch operators, so its derivatives are right to any order. On large tensors
`blocked` evaluates the same expression, and the curve's first derivative, on blocks that stay in the cache: the
intermediate tensors never reach the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from torchcrop.soft.arithmetic import limited, over, plus, times

Number = Tensor | float

#: Half width of the transition in units of the softness, where it has an end.
STRETCH = 5.0
#: Elements of a block: two cores hold a handful of its halves, in float32, in second-level caches of a megabyte.
BLOCK = 131_072
# Beyond this many widths every curve is flat or straight; a tensor softness is protected from overflow there.
_FAR = 1000.0
# torch's softplus turns straight above its threshold; at the default of 20 that costs 2e-9.
_STRAIGHT_ABOVE = 40.0


@dataclass(frozen=True)
class Shape:
    """A mode and its width: the softness as the curves need it.

    Attributes
    ----------
    mode : str
        One of the modes of the table above.
    width : float or Tensor
        Broadcasts with x. [unit of x]
    """

    mode: str
    width: Number

    @classmethod
    def of(cls, mode: str, softness: Number) -> Shape:
        """Return the shape of a mode at a softness."""
        return cls(mode, softness if mode in ("smooth", "pseudohuber") else STRETCH * softness)

    @property
    def ends(self) -> bool:
        """Whether the transition has an end, at one width from 0."""
        return self.mode not in ("smooth", "pseudohuber")

    def scaled(self, x: Tensor) -> Tensor:
        """Return ``u = x / w``."""
        if isinstance(self.width, Tensor):
            # The derivative to the width is -u/w times that of the curve, which is 0 far out: u must not overflow.
            limit = _FAR * self.width.detach()
            x = torch.minimum(torch.maximum(x, -limit), limit)
        return x / self.width

    def progress(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Return ``v = clamp((1 + x / w) / 2, 0, 1)``."""
        if isinstance(self.width, Tensor):
            return limited((self.scaled(x) + 1) / 2, 0, 1, out)
        # x / 2w + 1/2 in one pass.
        return limited(torch.rsub(x, 0.5, alpha=-0.5 / self.width), 0, 1, out)

    def limited(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Return ``u = clamp(x / w, -1, 1)``."""
        return limited(self.scaled(x) if isinstance(self.width, Tensor) else x * (1 / self.width), -1, 1, out)

    def hypotenuse(self, x: Tensor) -> Tensor:
        """Return ``sqrt(x² + w²)``, without overflow."""
        width = self.width if isinstance(self.width, Tensor) else torch.full_like(x, self.width)
        return torch.hypot(x, width)


def step(x: Tensor, shape: Shape, out: Tensor | None = None) -> Tensor:
    """Return S(x), a share from 0 to 1; in `out` if that is given, for which no derivative may be taken."""
    if shape.mode == "pseudohuber":
        return plus(x / shape.hypotenuse(x) / 2, 0.5, out=out)
    if shape.mode == "smooth":
        return torch.sigmoid(shape.scaled(x), out=out) if out is not None else torch.sigmoid(shape.scaled(x))
    if shape.mode in ("_c1_pnorm", "_c2_pnorm"):
        _, high = _roots(shape.scaled(x).clamp(-1, 1), shape.mode)
        return times(high**2, 1.0 if shape.mode == "_c1_pnorm" else high, out)
    if shape.mode == "c0":
        return _kinked_step(shape.scaled(x)) if torch.is_grad_enabled() else shape.progress(x, out)
    return _polynomial_step(shape.progress(x), shape.mode, out)


def step_and_slope(x: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Return S(x) and dS/dx, for which no derivative may be taken."""
    if shape.mode not in ("smooth", "c1", "c2"):
        return step(x, shape), slope(x, shape)
    v = torch.sigmoid(shape.scaled(x)) if shape.mode == "smooth" else shape.progress(x)
    rise = torch.addcmul(v, v, v, value=-1)
    if shape.mode == "smooth":
        return v, over(rise, shape.width)
    if shape.mode == "c1":
        return _polynomial_step(v, shape.mode, None), times(rise, 3 / shape.width)
    return _polynomial_step(v, shape.mode, None), times(times(rise, rise), 15 / shape.width)


def _polynomial_step(v: Tensor, mode: str, out: Tensor | None) -> Tensor:
    if mode == "c1":
        return times(times(torch.rsub(v, 3, alpha=2), v), v, out)
    square = v * v
    return times(times(plus(torch.rsub(v, 10, alpha=15), square, 6), v), square, out)


def _kinked_step(u: Tensor) -> Tensor:
    """Return ``clamp((1 + u) / 2, 0, 1)`` with, at its ends, half of either derivative: what a central difference sees.

    Value and slope stand apart, since the derivatives of `torch.clamp` are those of one side. The slope is a number
    and no mask: compiled code is slow at keeping masks for the backward pass.
    """
    fixed = u.detach()
    half = (torch.sign(1 - fixed.abs()) + 1) / 4
    near = u.clamp(-2, 2)  # infinity less infinity is not 0
    return ((fixed + 1) / 2).clamp(0, 1) + half * (near - near.detach())


def slope(x: Tensor, shape: Shape) -> Tensor:
    """Return dS/dx. [1/unit of x]"""
    if shape.mode == "pseudohuber":
        hypotenuse = shape.hypotenuse(x)
        return (shape.width / hypotenuse) ** 2 / (2 * hypotenuse)
    if shape.mode == "smooth":
        share = torch.sigmoid(shape.scaled(x))
        return over(torch.addcmul(share, share, share, value=-1), shape.width)
    if shape.mode == "c0":
        distance = shape.scaled(x).abs()
        return over(plus(torch.sign(1 - distance), 1.0), 4 * shape.width)
    if shape.mode in ("c1", "c2"):
        v = shape.progress(x)
        flat = torch.addcmul(v, v, v, value=-1)  # v (1 - v)
        if shape.mode == "c1":
            return times(flat, 3 / shape.width)
        return times(flat * flat, 15 / shape.width)
    u = shape.scaled(x).clamp(-1, 1)
    low, high = _roots(u, shape.mode)
    if shape.mode == "_c1_pnorm":
        return (1 - u) * (1 + u) / (low + high) / shape.width
    return 3 * high**2 * low**2 / (high**2 + low**2) / shape.width


def ramp(x: Tensor, shape: Shape, out: Tensor | None = None) -> Tensor:
    """Return R(x), the antiderivative of S that is 0 far below 0. [unit of x]

    In `out` if that is given, for which no derivative may be taken.
    """
    mode, width = shape.mode, shape.width
    if mode == "pseudohuber":
        return times(x + shape.hypotenuse(x), 0.5, out)
    if mode == "smooth" and torch.compiler.is_compiling():
        above = (x >= 0).to(x.dtype)
        return x * above + tail(x * (2 * above - 1), shape)
    # R is nowhere below x, and x itself at the end of the transition: exactly so beyond it.
    if mode == "smooth":
        curve = softplus(limited(shape.scaled(x), None, _FAR), threshold=_STRAIGHT_ABOVE)
    elif mode in ("_c1_pnorm", "_c2_pnorm"):
        curve = _projected_ramp(shape.scaled(x).clamp(-1, 1), mode)
    else:
        # Up to and with the end of the transition: there R is x, and the larger of the two has the slope 1.
        return _larger(_polynomial_ramp(shape.progress(x), shape), x, out)
    return _larger(times(curve, width), x, out)


def _larger(a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
    return torch.maximum(a, b) if out is None else torch.maximum(a, b, out=out)


def tail(distance: Tensor, shape: Shape) -> Tensor:
    """Return ``R(-distance)``, which is also ``R(distance) - distance``, for no distance below 0. [unit of x]"""
    if shape.mode == "smooth":
        return times(_softplus_of_negative(shape.scaled(distance)), shape.width)
    if shape.mode not in ("c0", "c1", "c2"):
        return ramp(-distance, shape)
    if isinstance(shape.width, Tensor):
        v = limited((1 - shape.scaled(distance)) / 2, 0, None)
    else:
        v = limited(torch.rsub(distance, 0.5, alpha=0.5 / shape.width), 0, None)
    return _polynomial_ramp(v, shape)


def step_and_tail(x: Tensor, shape: Shape, share: Tensor) -> Tensor:
    """Put S(x) in `share` and return ``R(-|x|)``, in fewer operations than one after the other; without derivatives."""
    if shape.mode not in ("c0", "c1", "c2"):
        step(x, shape, share)
        return tail(x.abs(), shape)
    if shape.mode == "c0":
        v = shape.progress(x, share)
    else:
        v = shape.progress(x)
        _polynomial_step(v, shape.mode, share)
    lower = 1 - v
    return _polynomial_ramp(torch.minimum(v, lower, out=lower), shape)


def _polynomial_ramp(v: Tensor, shape: Shape) -> Tensor:
    width = shape.width
    square, scale = v * v, 1.0 if isinstance(width, Tensor) else width
    if shape.mode == "c0":
        curve = times(square, scale)
    elif shape.mode == "c1":
        curve = times(times(torch.rsub(v, 2 * scale, alpha=scale), v), square)
    else:
        inner = plus(torch.rsub(v, 5 * scale, alpha=6 * scale), square, 2 * scale)
        curve = times(times(inner, square), square)
    return times(curve, width) if isinstance(width, Tensor) else curve


def _softplus_of_negative(distance: Tensor) -> Tensor:
    """Return ``log(1 + exp(-distance))``."""
    if not torch.compiler.is_compiling():
        return softplus(-distance)
    # log1p(share), for which compiled code takes several times as long: what rounding took from the sum is added.
    share = torch.exp(-distance)
    total = 1 + share
    return torch.log(total) + ((share - (total - 1)) / total).detach()


def _roots(u: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Return the square (cube) roots of ``1 - S`` and S in the modes that project on the simplex, for |u| <= 1."""
    if mode == "_c1_pnorm":  # a² + b² = 1, b - a = u
        middle = torch.sqrt(2 - u * u) / 2
    else:  # a³ + b³ = 1, b - a = u: (a + b)/2 = t solves t³ + 3pt = 1/4 · 2, p = u²/4, by Cardano without cancellation
        p = u * u / 4
        cube = (0.25 + torch.sqrt(0.0625 + p**3)) ** (2 / 3)
        middle = 0.5 / (cube + p + p * p / cube)
    return middle - u / 2, middle + u / 2


def _projected_ramp(u: Tensor, mode: str) -> Tensor:
    low, high = _roots(u, mode)
    if mode == "_c1_pnorm":
        return 2 / 3 + u / 2 - (low + high) ** 3 / 6
    return 0.75 + u * high**3 - 0.75 * (low**4 + high**4)


# --- evaluation ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A function of one or more tensors, elementwise, with its first derivatives.

    Attributes
    ----------
    value : callable
        ``value(*arguments, *constants)``, differentiable to any order.
    slopes : callable
        The derivatives of `value` to its arguments, one after the other; differentiable to any order. A generator is
        not asked for more than those that are wanted.
    plain : callable, optional
        ``plain(*arguments, *constants, out=result)``, the value where no derivative is taken through it, in fewer
        operations.
    joint : callable, optional
        ``joint(*arguments, *constants, out=result, rise=slope)``, the value and its derivative to the first argument,
        where they have much in common: the slope is then kept for the backward pass.
    second : callable, optional
        ``second(gradient, gradient times the first slope)``, the gradient of a second argument.
    """

    value: Callable[..., Tensor]
    slopes: Callable[..., Iterable[Tensor]]
    plain: Callable[..., Tensor] | None = None
    joint: Callable[..., Any] | None = None
    second: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, arguments: tuple[Tensor, ...], *constants: Any) -> Tensor:
        """Evaluate the curve.

        Parameters
        ----------
        arguments : tuple of Tensor
            Broadcast with each other.
        *constants
            What `value` and `slopes` take besides; any shape that broadcasts.
        """
        constant = not any(isinstance(c, Tensor) or isinstance(getattr(c, "width", None), Tensor) for c in constants)
        if not constant or torch.compiler.is_compiling() or max(a.numel() for a in arguments) <= BLOCK:
            return self.value(*arguments, *constants)
        if len({a.dtype for a in arguments}) > 1:
            dtype = torch.result_type(*arguments)
            arguments = tuple(a.to(dtype) for a in arguments)
        arguments = torch.broadcast_tensors(*arguments)
        if self._keeps_slope(arguments):
            return _Joint.apply(self, constants, *arguments)[0]
        return _Blocked.apply(self, constants, *arguments)

    def _keeps_slope(self, arguments: tuple[Tensor, ...]) -> bool:
        if self.joint is None or not torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            return False
        first, *others = [a.requires_grad for a in arguments]
        return (first or any(others)) if self.second is not None else (first and not any(others))


class _Blocked(torch.autograd.Function):
    """Curves on blocks. The first derivative is evaluated in blocks as well; higher ones by autograd on `slopes`."""

    @staticmethod
    def forward(curve: Curve, constants: tuple[Any, ...], *arguments: Tensor) -> Tensor:
        result = torch.empty(arguments[0].shape, dtype=arguments[0].dtype, device=arguments[0].device)
        flat = result.view(-1)
        for place, *blocks in _blocks(*arguments):
            if curve.plain is None:
                flat[place] = curve.value(*blocks, *constants)
            else:
                curve.plain(*blocks, *constants, out=flat[place])
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.curve, ctx.constants, *arguments = inputs
        ctx.save_for_backward(*arguments)
        ctx.save_for_forward(*arguments)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        arguments, wanted = ctx.saved_tensors, ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            slopes = ctx.curve.slopes(*arguments, *ctx.constants)
            return None, None, *(gradient * s if w else None for s, w in zip(slopes, wanted, strict=False))
        results = [torch.empty_like(gradient, memory_format=torch.contiguous_format) if w else None for w in wanted]
        last = max(i for i, w in enumerate(wanted) if w)
        for place, incoming, *blocks in _blocks(gradient, *arguments):
            slopes = ctx.curve.slopes(*blocks, *ctx.constants)
            for result, part in zip(results[: last + 1], slopes, strict=False):
                if result is not None:
                    _product_into(result.view(-1)[place], incoming, part)
        return None, None, *results

    @staticmethod
    def jvp(ctx: Any, _curve: None, _constants: None, *tangents: Tensor | None) -> Tensor:
        slopes = ctx.curve.slopes(*ctx.saved_tensors, *ctx.constants)
        first, *others = [s * t for s, t in zip(slopes, tangents, strict=False) if t is not None]
        return sum(others, first)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], curve: Curve, constants: tuple[Any, ...], *arguments: Tensor
    ) -> tuple[Tensor, int]:
        fronted = [a if d is None else a.movedim(d, 0) for a, d in zip(arguments, in_dims[2:], strict=True)]
        return _Blocked.apply(curve, constants, *torch.broadcast_tensors(*fronted)), 0


class _Joint(torch.autograd.Function):
    """Curves on blocks, with the slope from the same pass. Only outside `torch.func` transforms."""

    @staticmethod
    def forward(curve: Curve, constants: tuple[Any, ...], *arguments: Tensor) -> tuple[Tensor, Tensor]:
        assert curve.joint is not None
        result, rise = (arguments[0].new_empty(arguments[0].shape) for _ in range(2))
        for place, *blocks in _blocks(*arguments):
            curve.joint(*blocks, *constants, out=result.view(-1)[place], rise=rise.view(-1)[place])
        return result, rise

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.curve, ctx.constants, *arguments = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*arguments, output[1])
        ctx.save_for_forward(*arguments)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Any, ...]:
        *arguments, rise = ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:]
        if gradient is None:
            return None, None, *(None for _ in arguments)
        if torch.is_grad_enabled():
            slopes = ctx.curve.slopes(*arguments, *ctx.constants)
            return None, None, *(gradient * s if w else None for s, w in zip(slopes, wanted, strict=False))
        first = gradient * rise
        others = (ctx.curve.second(gradient, first) if w else None for w in wanted[1:])
        return None, None, first if wanted[0] else None, *others

    @staticmethod
    def jvp(ctx: Any, _curve: None, _constants: None, *tangents: Tensor | None) -> tuple[Tensor, None]:
        return _Blocked.jvp(ctx, None, None, *tangents), None


def _product_into(result: Tensor, a: Tensor, b: Tensor) -> None:
    try:
        torch.mul(a, b, out=result)
    except RuntimeError:  # under vmap, which knows no out=
        result.copy_(a * b)


def _blocks(*tensors: Tensor) -> list[tuple[Any, ...]]:
    """Cut tensors of one shape into blocks: the place of each in the flattened tensor, and its parts."""
    flat = [t.reshape(-1) for t in tensors]
    ends = range(0, flat[0].numel(), BLOCK)
    return [(slice(i, i + BLOCK), *(f[i : i + BLOCK] for f in flat)) for i in ends]
