"""Straight-through forms: the value of the hard operator with the derivatives of the soft one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

__all__ = ["grad_replace", "st"]

Operator = Callable[..., Any]


def st(fn: Operator) -> Operator:
    """Return the straight-through form of an operator: the value of ``mode="hard"``, the derivatives of `mode`.

    Parameters
    ----------
    fn : callable
        Takes `mode`, by name or by position, or passes keywords on to an operator that does. Returns a tensor or a
        nest of them.

    Returns
    -------
    callable
        With the arguments of `fn`; `mode` is the one whose derivatives it has. It calls `fn` twice, once in the mode
        "hard" on detached arguments. The values are those of the hard call to the bit, minus zeros included; the
        derivatives are those of the soft call in every order, 0 where the soft value is infinite or NaN. Where one of
        the two calls returns None, the value of the hard one is returned as it is.

    Raises
    ------
    TypeError
        If `fn` cannot be given a `mode`.
    ValueError
        When called, if hard and soft results differ in shape or nesting.

    Notes
    -----
    An operator made of operators should be written in their soft forms and decorated once, on the outside: inside of
    a product of two straight-through operators the product rule multiplies by hard values.

    References
    ----------
    .. [1] Bengio, Y., Léonard, N., Courville, A. (2013). Estimating or propagating gradients through stochastic
       neurons for conditional computation. arXiv:1308.3432.

    Examples
    --------
    >>> @st
    ... def both_positive(x, y, mode="smooth"):
    ...     return soft.greater(x, 0.0, mode=mode) * soft.greater(y, 0.0, mode=mode)
    """
    place, default = _mode_of(fn)

    @functools.wraps(fn)
    def straight_through(*args: Any, **kwargs: Any) -> Any:
        positional = 0 <= place < len(args)
        mode = args[place] if positional else kwargs.get("mode", default)

        def call(mode: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if positional:
                return fn(*args[:place], mode, *args[place + 1 :], **kwargs)
            return fn(*args, **{**kwargs, "mode": mode})

        if mode == "hard":
            return call("hard", args, kwargs)
        with torch.no_grad():
            hard = call("hard", *_detached(args, kwargs))
        return _combined(fn, hard, call(mode, args, kwargs))

    with_own_code(straight_through, fn)
    _describe(straight_through, fn, 'the values of ``mode="hard"``, the derivatives of `mode`')
    return straight_through


def grad_replace(fn: Operator) -> Operator:
    """Return a function with the values of ``fn(..., forward=True)`` and the derivatives of ``fn(..., forward=False)``.

    Parameters
    ----------
    fn : callable
        Takes a keyword `forward`. Returns a tensor or a nest of them.

    Returns
    -------
    callable
        With the arguments of `fn` but `forward`. Values and derivatives as in `st`.

    Raises
    ------
    TypeError
        If `fn` takes no `forward`.
    ValueError
        When called, if the two results differ in shape or nesting.

    Examples
    --------
    >>> @grad_replace
    ... def floor(x, forward):
    ...     return torch.floor(x) if forward else x
    >>> x = torch.tensor(1.7, requires_grad=True)
    >>> torch.autograd.grad(floor(x), x)
    (tensor(1.),)
    """
    _place(fn, "grad_replace", "forward")

    @functools.wraps(fn)
    def replaced(*args: Any, **kwargs: Any) -> Any:
        detached, detached_kwargs = _detached(args, kwargs)
        with torch.no_grad():
            forward = fn(*detached, **detached_kwargs, forward=True)
        return _combined(fn, forward, fn(*args, **kwargs, forward=False))

    with_own_code(replaced, fn)
    _describe(replaced, fn, "the values of ``forward=True``, the derivatives of ``forward=False``")
    return replaced


def with_own_code(form: Any, fn: Operator) -> None:
    """Give a wrapper a code object of its own.

    torch.compile counts recompilations by code object: one that all wrappers share fails at the ninth operator.
    """
    form.__code__ = form.__code__.replace(co_name=_name(fn))


def _mode_of(fn: Operator) -> tuple[int, Any]:
    """Return the position of `mode` among the positional arguments, -1 if it has none, and its default."""
    place = _place(fn, "st", "mode")
    mode = inspect.signature(fn).parameters.get("mode")
    return place, "smooth" if mode is None or mode.default is mode.empty else mode.default


def _place(fn: Operator, decorator: str, argument: str) -> int:
    parameters = inspect.signature(fn).parameters
    kinds = [parameter.kind for parameter in parameters.values()]
    if argument not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
        raise TypeError(
            f"{decorator}: {_name(fn)}({', '.join(parameters)}) takes no argument {argument!r}; add it, or **kwargs "
            "that are passed on to an operator that takes it"
        )
    if argument in parameters and parameters[argument].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return list(parameters).index(argument)
    return -1


def _detached(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # Without derivatives in sight an operator that has none, such as `torch.heaviside`, is no error in forward mode.
    return pytree.tree_map_only(Tensor, Tensor.detach, (args, kwargs))


def _combined(fn: Operator, hard: Any, soft: Any) -> Any:
    if isinstance(hard, Tensor) and isinstance(soft, Tensor):
        return _with_derivatives(fn, hard, soft)
    if hard is None or soft is None:
        return hard
    hard_leaves, nest = pytree.tree_flatten(hard)
    soft_leaves, soft_nest = pytree.tree_flatten(soft)
    if nest != soft_nest:
        raise ValueError(
            f"{_name(fn)}: the hard call returns a {type(hard).__name__} of {len(hard_leaves)}, the soft one a "
            f"{type(soft).__name__} of {len(soft_leaves)}; they must be nested alike"
        )
    leaves = [_with_derivatives(fn, h, s) for h, s in zip(hard_leaves, soft_leaves, strict=True)]
    return pytree.tree_unflatten(leaves, nest)


def _with_derivatives(fn: Operator, hard: Any, soft: Any) -> Any:
    if not (isinstance(hard, Tensor) and isinstance(soft, Tensor) and soft.dtype.is_floating_point):
        return hard
    if hard.shape != soft.shape:
        raise ValueError(
            f"{_name(fn)}: the hard result has shape {tuple(hard.shape)}, the soft one {tuple(soft.shape)}; they must "
            "be equal"
        )
    hard = hard.detach()
    if not hard.dtype.is_floating_point:
        hard = hard.to(soft.dtype)
    # Plus zero to the bit, NaN where soft is not finite. Subtracted, not added: -0.0 + 0.0 is 0.0, -0.0 - 0.0 is -0.0.
    zero = (soft.detach() - soft).nan_to_num(0.0)
    return hard - zero


def _describe(form: Operator, fn: Operator, what: str) -> None:
    form.__doc__ = f"Straight-through form of `{_name(fn)}`: {what}.\n\n{inspect.getdoc(fn) or ''}".rstrip() + "\n"


def _name(fn: Operator) -> str:
    return getattr(fn, "__name__", repr(fn))
