"""The border of the soft operators: every argument is looked at once, here, and a bad one named."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from torchcrop.soft.annealing import current_softness

Softness = Tensor | float | None

#: Modes of every operator. `hard` is torch's own operator.
MODES = ("hard", "smooth", "c0", "c1", "c2")
#: The two-class simplex projections, elementwise only.
PROJECTED_MODES = ("_c1_pnorm", "_c2_pnorm")
#: Names of earlier releases of SoftJAX, elementwise only, and what they are now; their softness is ten times ours.
LEGACY_MODES = {
    "entropic": "smooth",
    "euclidean": "c0",
    "cubic": "c1",
    "quartic": "c1",
    "quintic": "c2",
    "pseudohuber": "pseudohuber",
}
#: Softness of a legacy mode, in the softness of the mode it is now.
LEGACY_SOFTNESS = 10.0
GATED = "gated_"


class NotATensorError(AttributeError, TypeError):
    """The first argument of an operator is not a tensor. Both an AttributeError, as elsewhere, and a TypeError."""


def tensor(operator: str, name: str, value: Any) -> Tensor:
    """Return `value` if it is a tensor.

    Raises
    ------
    NotATensorError
        If it is none.
    """
    if not isinstance(value, Tensor):
        raise NotATensorError(
            f"{operator}: {name} is {reprlib.repr(value)} ({type(value).__name__}); "
            f"it must be a Tensor: torch.as_tensor({name})"
        )
    return value


def floating(operator: str, name: str, value: Any) -> Tensor:
    """Return a tensor as a floating-point one: integers and booleans in torch's default dtype.

    Raises
    ------
    NotATensorError, TypeError
        If it is no tensor, or complex.
    """
    x = tensor(operator, name, value)
    if x.dtype.is_complex:
        raise TypeError(f"{operator}: {name} is complex ({x.dtype}); soft operators need an order, hence real numbers")
    return x if x.dtype.is_floating_point else x.to(torch.get_default_dtype())


def one_of(operator: str, name: str, value: Any, allowed: Iterable[str]) -> None:
    """Refuse a name that is none of the allowed.

    Raises
    ------
    ValueError
        With the nearest of the allowed.
    """
    names = list(allowed)
    if value in names:
        return
    near = difflib.get_close_matches(str(value), names, 1)
    shown = [n for n in names if not n.startswith("_")]
    raise ValueError(
        f"{operator}: Invalid {name}: {value!r}; it must be one of {', '.join(shown)}"
        + (f". Did you mean {near[0]!r}?" if near else "")
    )


def lowest_visible(x: Tensor) -> float | None:
    """Return the smallest entry of a tensor where looking is free, infinity if there is none.

    None on a GPU, which would have to wait, and under `torch.compile` and `torch.func.vmap`, which cannot look.
    """
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return None
    try:
        return float(x.detach().min()) if x.numel() else math.inf
    except RuntimeError:  # under vmap
        return None


def positive_softness(operator: str, softness: float | Tensor | None, like: Tensor | None = None) -> float | Tensor:
    """Return the softness to use: the one given, or the current default.

    Parameters
    ----------
    operator : str
        For the message.
    softness : float, Tensor or None
        Greater than 0; None is the default of `default_softness`.
    like : Tensor, optional
        A tensor softness is moved to its dtype and device.

    Raises
    ------
    ValueError
        If it is not greater than 0. The values of a tensor are looked at where that is free: on the CPU, outside of
        `torch.compile` and `torch.func.vmap`. Elsewhere a softness that is not positive makes the result NaN.
    """
    if softness is None:
        softness = current_softness()
    if isinstance(softness, Tensor):
        if not softness.dtype.is_floating_point:
            softness = softness.to(torch.get_default_dtype())
        if like is not None:
            softness = softness.to(dtype=like.dtype, device=like.device)
        lowest = lowest_visible(softness)
        if lowest is None:
            return torch.where(softness > 0, softness, math.nan)
        if not lowest > 0:
            raise ValueError(f"{operator}: softness must be positive, got {lowest} as its smallest value")
        return softness
    if isinstance(softness, str):
        raise TypeError(f"{operator}: softness is {softness!r}; it must be a number or a Tensor")
    if not softness > 0 or math.isinf(softness):
        raise ValueError(f"{operator}: softness must be positive and finite, got {softness}")
    return float(softness)


def softness_of_slices(operator: str, softness: float | Tensor | None, x: Tensor, dim: int) -> float | Tensor:
    """Return a softness that is a number, or a tensor that broadcasts to `x` and is the same all along `dim`.

    Raises
    ------
    ValueError
        If it is not positive, does not broadcast, or varies along `dim`: an order has one softness.
    """
    softness = positive_softness(operator, softness, x)
    if isinstance(softness, Tensor) and softness.ndim > 0:
        shape, needed = tuple(softness.shape), list(x.shape)
        needed[dim] = 1
        fits = len(shape) <= x.ndim and all(a in (1, b) for a, b in zip(shape[::-1], needed[::-1], strict=False))
        if not fits:
            raise ValueError(
                f"{operator}: softness has shape {shape}; for x of shape {tuple(x.shape)} and dim {dim} it must "
                f"broadcast to {tuple(needed)} (one softness for each slice)"
            )
        softness = softness.reshape((1,) * (x.ndim - len(shape)) + shape)
    return softness


def axis(operator: str, dim: Any, ndim: int) -> int:
    """Return `dim` counted from 0.

    Raises
    ------
    TypeError, ValueError
        If it is no integer, or out of range.
    """
    if not isinstance(dim, int) or isinstance(dim, bool):
        raise TypeError(f"{operator}: dim is {dim!r}; it must be an integer")
    if not -ndim <= dim < ndim:
        raise ValueError(f"{operator}: dim {dim} is out of bounds for a tensor of {ndim} dimensions")
    return dim % ndim
