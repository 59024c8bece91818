"""Logic of soft truth values: conjunction is the product, negation the complement, and the rest follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from torchcrop.soft import checks

__all__ = ["SoftBool", "all", "any", "logical_and", "logical_not", "logical_or", "logical_xor"]

#: A tensor of truth values in [0, 1]. [-]
SoftBool: TypeAlias = Tensor

#: Floor of a truth value under the logarithm of a geometric mean. [-]
EPSILON = 1e-10


def logical_not(x: SoftBool) -> SoftBool:
    """Return 1 - x.

    Parameters
    ----------
    x : SoftBool
        Truth values of any shape. [-]

    Returns
    -------
    SoftBool
        Of the shape of `x`.

    Raises
    ------
    NotATensorError, TypeError
        If `x` is no tensor, or complex.
    """
    return 1 - checks.floating("logical_not", "x", x)


def logical_and(x: SoftBool, y: SoftBool | float | bool, use_geometric_mean: bool = False) -> SoftBool:
    """Return x y, or the geometric mean of the two.

    Parameters
    ----------
    x, y : SoftBool
        Truth values that broadcast against each other; `y` may be a number. [-]
    use_geometric_mean : bool
        sqrt(x y) in place of x y, each truth value no lower than 1e-10: two half-truths make one half-truth.

    Returns
    -------
    SoftBool
        Of the shape that `x` and `y` broadcast to.

    Raises
    ------
    NotATensorError, TypeError
        If `x` is no tensor, or one of the two is complex.

    References
    ----------
    .. [1] Hájek, P. (1998). Metamathematics of Fuzzy Logic. Kluwer. Section 4.1, product logic.
    """
    return _and(*_pair("logical_and", x, y), use_geometric_mean)


def logical_or(x: SoftBool, y: SoftBool | float | bool, use_geometric_mean: bool = False) -> SoftBool:
    """Return 1 - (1 - x) (1 - y), the negation of "neither"; see `logical_and`."""
    x, y = _pair("logical_or", x, y)
    return _or(x, y, use_geometric_mean)


def logical_xor(x: SoftBool, y: SoftBool | float | bool, use_geometric_mean: bool = False) -> SoftBool:
    """Return "x and not y, or y and not x"; see `logical_and`.

    With products 1 - (1 - x (1 - y)) (1 - (1 - x) y), which is not x + y - 2 x y: the two alternatives are combined
    as if they were independent.
    """
    x, y = _pair("logical_xor", x, y)
    return _or(_and(x, 1 - y, use_geometric_mean), _and(1 - x, y, use_geometric_mean), use_geometric_mean)


def all(
    x: SoftBool,
    dim: int | Sequence[int] | None = -1,
    epsilon: float = EPSILON,
    use_geometric_mean: bool = False,
    keepdim: bool = False,
) -> SoftBool:
    """Return the product of truth values along one or more axes, or their geometric mean.

    Parameters
    ----------
    x : SoftBool
        Truth values of any shape. [-]
    dim : int, sequence of int or None
        Axes; None is all of them.
    epsilon : float
        Floor of a truth value in the geometric mean, at least 0; in float16, and for 0, the smallest normal number
        of the dtype at least. A truth value below it has gradient 0. [-]
    use_geometric_mean : bool
        Take the geometric mean: it does not fall with the number of truth values, as the product does.
    keepdim : bool
        Keep reduced axes with length 1.

    Returns
    -------
    SoftBool
        Of the shape of `x` without the axes. Over no values it is 1, as in `torch.all`.

    Raises
    ------
    NotATensorError, TypeError
        If `x` is no tensor, or complex; if `dim` is no integer.
    ValueError
        If an axis is out of range or named twice, if no axis is named, or if `epsilon` is negative.
    """
    return _all("all", x, dim, epsilon, use_geometric_mean, keepdim)


def any(
    x: SoftBool,
    dim: int | Sequence[int] | None = -1,
    use_geometric_mean: bool = False,
    keepdim: bool = False,
) -> SoftBool:
    """Return 1 - all(1 - x); over no values it is 0. See `all`."""
    return 1 - _all("any", 1 - checks.floating("any", "x", x), dim, EPSILON, use_geometric_mean, keepdim)


def _and(x: Tensor, y: Tensor | float, use_geometric_mean: bool) -> Tensor:
    if not use_geometric_mean:
        return x * y
    y = y if isinstance(y, Tensor) else x.new_tensor(y)
    # Two roots, not the root of a product: the product of two floors is 0 in float16.
    return _floored(x, EPSILON).sqrt() * _floored(y, EPSILON).sqrt()


def _or(x: Tensor, y: Tensor | float, use_geometric_mean: bool) -> Tensor:
    return 1 - _and(1 - x, 1 - y, use_geometric_mean)


def _all(
    operator: str,
    x: Tensor,
    dim: int | Sequence[int] | None,
    epsilon: float,
    use_geometric_mean: bool,
    keepdim: bool,
) -> Tensor:
    x = checks.floating(operator, "x", x)
    if not epsilon >= 0:
        raise ValueError(f"{operator}: epsilon is {epsilon}; it must be at least 0, such as {EPSILON}")
    dims = _axes(operator, dim, x.ndim)
    if not dims:
        return x
    if use_geometric_mean and 0 not in [x.shape[d] for d in dims]:
        return _floored(x, epsilon).log().mean(dims, keepdim=keepdim).exp()
    for d in dims:  # from the last axis to the first, so that those to come keep their place
        x = _product(x, d, keepdim)
    return x


def _floored(x: Tensor, epsilon: float) -> Tensor:
    return x.clamp(min=max(epsilon, torch.finfo(x.dtype).tiny))


def _product(x: Tensor, dim: int, keepdim: bool) -> Tensor:
    # Halves times halves: `torch.prod` divides by its factors in the backward pass, or looks at the data to find the
    # zeros among them. Here there is no division, hence a derivative of every order at 0.
    if x.shape[dim] == 0:
        return 1 + x.sum(dim, keepdim=keepdim)
    while (n := x.shape[dim]) > 1:
        first, second, rest = x.split([n // 2, n // 2, n % 2], dim)
        x = first * second
        if n % 2:
            x = torch.cat([x, rest], dim)
    return x if keepdim else x.squeeze(dim)


def _axes(operator: str, dim: int | Sequence[int] | None, ndim: int) -> list[int]:
    if dim is None:
        return list(range(ndim))[::-1]
    if isinstance(dim, int):
        return [checks.axis(operator, dim, ndim)]
    dims = sorted((checks.axis(operator, d, ndim) for d in dim), reverse=True)
    if not dims:
        raise ValueError(f"{operator}: dim is {dim!r}; name at least one axis, or give None for all of them")
    if len(set(dims)) < len(dims):
        raise ValueError(f"{operator}: dim {tuple(dim)} names an axis of {ndim} twice; name it once")
    return dims


def _pair(operator: str, x: Tensor, y: Tensor | float) -> tuple[Tensor, Tensor | float]:
    x = checks.tensor(operator, "x", x)
    if not isinstance(y, Tensor):
        return checks.floating(operator, "x", x), float(y)
    kind = torch.promote_types(x.dtype, y.dtype)
    if kind.is_complex:
        raise TypeError(f"{operator}: one of x and y is complex ({kind}); truth values are real numbers in [0, 1]")
    if not kind.is_floating_point:
        kind = torch.get_default_dtype()
    # Two floating-point operands are left to torch, for which a tensor without axes gives way to one with axes.
    return x if x.dtype.is_floating_point else x.to(kind), y if y.dtype.is_floating_point else y.to(kind)
