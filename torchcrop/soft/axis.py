"""An axis of a tensor and how its order is to be softened: what every operator along an axis looks at first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torchcrop.soft import isotonic, network, transport
from torchcrop.soft.checks import MODES, Softness, axis, floating, one_of, softness_of_slices, tensor
from torchcrop.soft.orders import Order
from torchcrop.soft.simplex import log_of
from torchcrop.soft.standardise import Standardised

#: Methods that give an index, and with it values as expectations.
INDEX_METHODS = ("softsort", "neuralsort", "ot", "sorting_network")
#: Methods that give sorted values and no index.
VALUE_METHODS = ("fast_soft_sort", "sorting_network")


@dataclass(frozen=True)
class Axis:
    """A tensor with the axis in question moved last, and the choices of the call.

    Attributes
    ----------
    given : Tensor
        As the caller gave it, flattened where `dim` was None; for hard mode.
    x : Tensor
        Shape ``[..., n]``, floating point, half precision in float32. [unit of x]
    dim : int
        Place of the axis in `given`.
    ndim : int
        Dimensions of the caller's tensor.
    flattened : bool
        Whether `dim` was None.
    dtype : torch.dtype
        Of the results.
    standard : Standardised or None
        Squashed values, unless `standardize` is off.
    order : Order
        The elements and how their order is softened.
    """

    given: Tensor
    x: Tensor
    dim: int
    ndim: int
    flattened: bool
    dtype: torch.dtype
    standard: Standardised | None
    order: Order

    @classmethod
    def of(
        cls,
        operator: str,
        x: Any,
        dim: int | None,
        softness: Softness,
        mode: str,
        method: str,
        standardize: bool,
        ot_kwargs: dict[str, Any] | None = None,
        *,
        values: bool = False,
        none_is_last: bool = False,
    ) -> Axis:
        """Check the arguments of an operator.

        Parameters
        ----------
        operator, x, dim, softness, mode, method, standardize, ot_kwargs
            Of the call.
        values : bool
            Whether methods that give no index will do.
        none_is_last : bool
            Whether ``dim=None`` means the last axis instead of all elements.

        Raises
        ------
        NotATensorError, TypeError, ValueError, NotImplementedError
            If an argument is not one of those allowed.
        """
        given = tensor(operator, "x", x)
        one_of(operator, "mode", mode, MODES)
        check_method(operator, method, values=values)
        ndim, flattened = given.ndim, dim is None and not none_is_last
        if flattened:
            given, place = given.reshape(-1), 0
        else:
            place = axis(operator, -1 if dim is None else dim, given.ndim)
        options = transport.options(operator, mode, ot_kwargs)
        soft = floating(operator, "x", given)
        work = soft.float() if soft.dtype in (torch.float16, torch.bfloat16) else soft
        moved = work.movedim(place, -1)
        if mode == "hard":
            order = Order(moved, math.nan, mode, method, options, squashed=False)
            return cls(given, moved, place, ndim, flattened, soft.dtype, None, order)
        if flattened and isinstance(softness, Tensor) and softness.ndim > 0 and softness.numel() == 1:
            softness = softness.reshape(())
        spread = softness_of_slices(operator, softness, work, place)
        if isinstance(spread, Tensor):
            spread = spread.movedim(place, -1) if spread.ndim else spread.reshape(1)
        standard = Standardised.of(moved) if standardize else None
        z = moved if standard is None else standard.z
        order = Order(z, spread, mode, method, options, squashed=standard is not None)
        return cls(given, moved, place, ndim, flattened, soft.dtype, standard, order)

    @property
    def size(self) -> int:
        """Number of elements along the axis."""
        return self.x.shape[-1]

    @property
    def hard(self) -> bool:
        """Whether torch's own operator is meant."""
        return self.order.mode == "hard"

    def negated(self) -> Axis:
        """Return the axis of ``-x``: standardised values are antisymmetric."""
        standard, order = self.standard, self.order
        x = -self.x
        if standard is not None:
            standard = Standardised.of(x)
        z = x if standard is None else standard.z
        order = Order(z, order.softness, order.mode, order.method, order.options, order.squashed)
        return Axis(-self.given, x, self.dim, self.ndim, self.flattened, self.dtype, standard, order)

    def sorted_values(self, *, descending: bool) -> Tensor:
        """Return sorted values of a method that gives no index, shape ``[..., n]``. [unit of x]"""
        order = self.order
        if order.method == "fast_soft_sort":
            y = isotonic.soft_sorted(order.z, order.softness, order.mode, descending=descending)
        else:
            y = network.network_sorted(order.z, order.softness, order.mode, descending=descending, pad=order.pad)
        return (y if self.standard is None else self.standard.restore(y)).to(self.dtype)

    def hard_index(self, positions: Tensor, log: bool, floor: float | None) -> Tensor:
        """Return a one-hot index in the dtype of the caller's tensor, or its logarithm.

        Shape of `positions` and ``[n]``.
        """
        index = as_logarithm(torch.nn.functional.one_hot(positions, self.size).to(self.given.dtype), log)
        return finished(index, index.dtype, log, floor)


def check_method(operator: str, method: str, *, values: bool) -> None:
    """Refuse a method that an operator does not have.

    Raises
    ------
    NotImplementedError
        For ``smooth_sort``, a name without a method behind it.
    ValueError
        For every other.
    """
    if method == "smooth_sort" and values:
        raise NotImplementedError(
            f"{operator}: method 'smooth_sort' does not exist; 'fast_soft_sort' with mode 'smooth' is what it names"
        )
    allowed = (*INDEX_METHODS, "fast_soft_sort") if values else INDEX_METHODS
    if method == "fast_soft_sort" and not values:
        raise ValueError(
            f"{operator}: Invalid method: 'fast_soft_sort' gives sorted values and no index; "
            f"it must be one of {', '.join(allowed)}"
        )
    one_of(operator, "method", method, allowed)


def check_logarithm(operator: str, return_log_probs: bool, log_prob_eps: float | None) -> None:
    """Refuse a floor of probabilities without logarithms, or one outside of (0, 1].

    Raises
    ------
    ValueError
        Then.
    """
    if log_prob_eps is None:
        return
    if not return_log_probs:
        raise ValueError(f"{operator}: log_prob_eps is {log_prob_eps}; it goes with return_log_probs=True only")
    if isinstance(log_prob_eps, Tensor) or not 0 < log_prob_eps <= 1:
        raise ValueError(f"{operator}: log_prob_eps is {log_prob_eps}; it must be a number in (0, 1]")


def finished(index: Tensor, dtype: torch.dtype, log: bool, floor: float | None) -> Tensor:
    """Return an index, or its logarithm after no probability is below `floor`, in the dtype of the results."""
    if log and floor is not None:
        index = index.clamp(min=math.log(floor))
        index = index - index.logsumexp(-1, keepdim=True)
    return index.to(dtype)


def as_logarithm(index: Tensor, log: bool) -> Tensor:
    """Return a hard index or its logarithm."""
    return log_of(index.to(torch.get_default_dtype()) if not index.dtype.is_floating_point else index) if log else index
