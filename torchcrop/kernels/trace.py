"""Trace tensor code into a list of scalar operations.

A `Symbol` is a tensor without numbers: an array of places in a `Program`. What torch does with it is entered there,
element by element, by the rules below; the functions that models use (`torchcrop.functions`) come as one call each and
are entered as `lowerings` says. Code that asks for a number (``if x > 0``, ``x.item()``), or for an operation that has
no rule, cannot be traced: `Untraceable` names the operation and the line.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchcrop.functions.registry import Function, tracing
from torchcrop.kernels.program import Program

__all__ = ["Symbol", "Untraceable", "recording", "symbols"]

Places = np.ndarray

_PACKAGE = Path(__file__).parent.parent
# Floors whose lines say nothing about a model.
_MACHINERY = {_PACKAGE / "kernels", _PACKAGE / "functions", _PACKAGE / "simulation"}


# There is one tracer of the registered functions.
_ONE_AT_A_TIME = RLock()


class Untraceable(Exception):
    """A model's day that cannot become a list of operations.

    No TypeError: torch would take one for an operand that it does not know, and hide it.
    """


def _line_of_model() -> str:
    """Give the line of the model, or of the user's code, that is being traced."""
    frames = [
        f
        for f in traceback.extract_stack()
        if f.filename != __file__ and "torch/" not in f.filename.replace("\\", "/").split("site-packages/")[-1]
    ]
    own = [f for f in frames if Path(f.filename).parent not in _MACHINERY and "thread" not in Path(f.filename).name]
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}"


class Symbol(Tensor):
    """A tensor whose elements are places in a program.

    Attributes
    ----------
    places : ndarray of int
        Of the tensor's shape.
    program : Program
        Where they are.
    """

    places: Places
    program: Program

    @staticmethod
    def __new__(cls, program: Program, places: Places, dtype: torch.dtype = torch.float64) -> Symbol:
        return Tensor._make_wrapper_subclass(cls, tuple(places.shape), dtype=dtype)

    def __init__(self, program: Program, places: Places, dtype: torch.dtype = torch.float64) -> None:
        self.places = places
        self.program = program

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Symbol{list(self.places.shape)}"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        name = func._schema.name.removeprefix("aten::")
        rule = _RULES.get(name)
        if rule is None:
            raise Untraceable(_refusal(name))
        program = _program_of(args)
        return rule(program, *args, **(kwargs or {}))


def _refusal(name: str) -> str:
    where = _line_of_model()
    if name in ("_local_scalar_dense", "is_nonzero", "equal", "nonzero"):
        return (
            f"a number was asked of a value that depends on the day ({where}): a season kernel has one list of "
            "operations for all days; write the branch with switches.select or switches.step"
        )
    known = ", ".join(sorted(n for n in _RULES if not n.startswith("_")))
    return f"the season kernel has no rule for the operation {name!r} ({where}); it knows {known}"


def _program_of(args: Any) -> Program:
    for arg in args:
        if isinstance(arg, Symbol):
            return arg.program
        if isinstance(arg, list | tuple):
            for one in arg:
                if isinstance(one, Symbol):
                    return one.program
    raise Untraceable(_refusal("an operation without a traced tensor"))


def symbols(program: Program, names: Sequence[Any] | np.ndarray, dtype: torch.dtype = torch.float64) -> Symbol:
    """Give inputs of a program as a tensor: one for each name of a list, or of the shape of an array of names."""
    if not isinstance(names, np.ndarray):
        array = np.empty(len(names), dtype=object)
        for i, name in enumerate(names):
            array[i] = name
    else:
        array = names
    places = np.empty(array.shape, dtype=np.int64)
    for index in np.ndindex(array.shape):
        places[index] = program.input(array[index])
    return Symbol(program, places, dtype)


@contextmanager
def recording(program: Program, lower: Callable[[Program, Function, tuple[Any, ...]], Any]) -> Iterator[None]:
    """Enter what is done with symbols into a program within the context; `lower` enters registered functions."""
    with _ONE_AT_A_TIME, torch.no_grad(), tracing(lambda function, args: lower(program, function, args)):
        yield


# --- from tensors and numbers to places -------------------------------------------------------------------


def places_of(program: Program, value: Any) -> Places:
    """Places of a symbol, or of constants."""
    if isinstance(value, Symbol):
        return value.places
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise Untraceable(
                f"a tensor that requires a gradient is used, but is no parameter of the model ({_line_of_model()}): "
                "its derivative would be lost in a season kernel"
            )
        array = value.detach().cpu().numpy()
    else:
        array = np.asarray(value)
    result = np.empty(array.shape, dtype=np.int64)
    for index in np.ndindex(array.shape):
        item = array[index].item()
        result[index] = program.constant(item if isinstance(item, bool) else float(item))
    return result


def _elementwise(name: str) -> Callable[..., Symbol]:
    def rule(program: Program, *args: Any) -> Symbol:
        return apply(program, name, *args)

    return rule


def apply(program: Program, name: str, *args: Any) -> Symbol:
    """Enter an operation for every element of broadcast arguments (symbols, tensors or numbers)."""
    arrays = np.broadcast_arrays(*(places_of(program, a) for a in args))
    result = np.empty(arrays[0].shape, dtype=np.int64)
    for index in np.ndindex(result.shape):
        result[index] = program.add(name, *(int(a[index]) for a in arrays))
    truth = result.size > 0 and program.is_truth(int(result.flat[0]))
    return Symbol(program, result, torch.bool if truth else torch.float64)


# --- rules --------------------------------------------------------------------------------------------------


def _add(program: Program, a: Any, b: Any, *, alpha: float = 1) -> Symbol:
    return apply(program, "add", a, b if alpha == 1 else apply(program, "mul", b, alpha))


def _sub(program: Program, a: Any, b: Any, *, alpha: float = 1) -> Symbol:
    return apply(program, "sub", a, b if alpha == 1 else apply(program, "mul", b, alpha))


def _rsub(program: Program, a: Any, b: Any, alpha: float = 1) -> Symbol:
    return _sub(program, b, a, alpha=alpha)


def _power(program: Program, base: Any, exponent: Any) -> Symbol:
    if isinstance(exponent, int | float) and exponent == int(exponent) and 0 < abs(exponent) <= 8:
        square, result, n = base, None, int(abs(exponent))
        while n:
            if n % 2:
                result = square if result is None else apply(program, "mul", result, square)
            n //= 2
            square = apply(program, "mul", square, square) if n else square
        assert result is not None
        return apply(program, "div", 1.0, result) if exponent < 0 else result
    if exponent == 0.5:
        return apply(program, "sqrt", base)
    return apply(program, "pow", base, exponent)


def _compare(name: str, swapped: bool = False, negated: bool = False) -> Callable[..., Symbol]:
    def rule(program: Program, a: Any, b: Any) -> Symbol:
        result = apply(program, name, *((b, a) if swapped else (a, b)))
        return apply(program, "not", result) if negated else result

    return rule


def _where(program: Program, mask: Any, a: Any, b: Any) -> Symbol:
    return apply(program, "select", mask, a, b)


def _clamp(program: Program, x: Any, low: Any = None, high: Any = None) -> Symbol:
    # As choices, not as minimum and maximum: at a limit the derivative is then 1, as torch's clamp has it.
    if low is not None:
        x = apply(program, "select", apply(program, "lt", x, low), low, x)
    if high is not None:
        x = apply(program, "select", apply(program, "lt", high, x), high, x)
    return x


def _relu(program: Program, x: Any) -> Symbol:
    return apply(program, "select", apply(program, "le", x, 0.0), 0.0, x)


def _softplus(program: Program, x: Any, beta: float = 1, threshold: float = 20) -> Symbol:
    if beta != 1 or threshold < 40:
        raise Untraceable(_refusal("softplus with a threshold below 40"))
    return apply(program, "softplus", x)


def _copy(program: Program, x: Symbol, dtype: Any = None, **_: Any) -> Symbol:
    if dtype is None or x.dtype == dtype or (dtype.is_floating_point and x.dtype.is_floating_point):
        return Symbol(program, x.places, x.dtype)
    if x.dtype == torch.bool and dtype.is_floating_point:
        return apply(program, "select", x, 1.0, 0.0)
    raise Untraceable(_refusal(f"conversion of {x.dtype} to {dtype}"))


def _detached(program: Program, x: Symbol) -> Symbol:
    return x if x.dtype == torch.bool else apply(program, "instead", x, 0.0)


def _filled(value: float) -> Callable[..., Tensor]:
    def rule(program: Program, x: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.full(tuple(x.shape), value, dtype=torch.float64)

    return rule


def _new_filled(value: float) -> Callable[..., Tensor]:
    def rule(program: Program, x: Tensor, size: Sequence[int], **_: Any) -> Tensor:
        return torch.full(tuple(size), value, dtype=torch.float64)

    return rule


def _new_full(program: Program, x: Tensor, size: Sequence[int], value: Any, **_: Any) -> Tensor:
    return torch.full(tuple(size), float(value), dtype=torch.float64)


def _shaped(change: Callable[..., Places]) -> Callable[..., Symbol]:
    """Rule for an operation that only moves elements."""

    def rule(program: Program, x: Any, *args: Any, **kwargs: Any) -> Symbol:
        dtype = x.dtype if isinstance(x, Tensor) else torch.float64
        return Symbol(program, np.ascontiguousarray(change(places_of(program, x), *args, **kwargs)), dtype)

    return rule


def _expanded(x: Places, size: Sequence[int], implicit: bool = False) -> Places:
    missing = len(size) - x.ndim
    full = [x.shape[i - missing] if n == -1 else n for i, n in enumerate(size)]
    return np.broadcast_to(x, full)


def _sliced(x: Places, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Places:
    index: list[Any] = [slice(None)] * x.ndim
    index[dim] = slice(start, None if end is None or end > x.shape[dim] else end, step)
    return x[tuple(index)]


def _many(program: Program, parts: Sequence[Places], dtype: torch.dtype) -> tuple[Symbol, ...]:
    return tuple(Symbol(program, np.ascontiguousarray(part), dtype) for part in parts)


def _select(program: Program, x: Symbol, dim: int, index: int) -> Symbol:
    _not_across(x, "indexing", dim)
    return Symbol(program, np.ascontiguousarray(np.take(x.places, index, axis=dim)), x.dtype)


def _unbind(program: Program, x: Symbol, dim: int = 0) -> tuple[Symbol, ...]:
    _not_across(x, "unbind", dim)
    return _many(program, [np.take(x.places, i, axis=dim) for i in range(x.places.shape[dim])], x.dtype)


def _split(program: Program, x: Symbol, size: Any, dim: int = 0) -> tuple[Symbol, ...]:
    cuts = np.cumsum(size)[:-1] if isinstance(size, list | tuple) else range(size, x.places.shape[dim], size)
    return _many(program, np.split(x.places, list(cuts), axis=dim), x.dtype)


def _stack(program: Program, parts: Sequence[Any], dim: int = 0) -> Symbol:
    return Symbol(program, np.stack([places_of(program, p) for p in parts], axis=dim), _common(parts))


def _cat(program: Program, parts: Sequence[Any], dim: int = 0) -> Symbol:
    for part in parts:
        _not_across(part, "cat", dim)
    arrays = [places_of(program, p) for p in parts]
    kept = [a for a in arrays if a.shape != (0,)]
    return Symbol(program, np.concatenate(kept or arrays, axis=dim), _common(parts))


def _common(parts: Sequence[Any]) -> torch.dtype:
    return parts[0].dtype if isinstance(parts[0], Symbol) else torch.float64


def _not_across(x: Any, name: str, dim: Any = None) -> None:
    """Refuse what takes simulations together: in the list there is one, and the result would be another."""
    shape = tuple(x.shape) if isinstance(x, Tensor) else ()
    if shape == (1,) or (dim is None and shape and shape[-1] == 1):
        raise Untraceable(
            f"{name!r} takes the simulations of a batch together ({_line_of_model()}): in a season kernel each is "
            "computed alone"
        )


def _sum(program: Program, x: Symbol, dim: Any = None, keepdim: bool = False, **_: Any) -> Symbol:
    _not_across(x, "sum", None if dim == [] else dim)
    axes = range(x.places.ndim) if dim is None or dim == [] else ([dim] if isinstance(dim, int) else dim)
    axes = sorted({a % max(x.places.ndim, 1) for a in axes})
    moved = np.moveaxis(x.places, axes, range(len(axes))) if axes else x.places[None]
    shape = moved.shape[max(len(axes), 1) :]
    flat = moved.reshape(-1, *shape)
    total = np.empty(shape, dtype=np.int64)
    for index in np.ndindex(shape):
        place = program.constant(0.0)
        for one in flat[(slice(None), *index)]:
            place = program.add("add", place, int(one))
        total[index] = place
    return Symbol(program, np.expand_dims(total, axes) if keepdim else total)


def _pad(program: Program, x: Any, widths: Sequence[int], value: float = 0.0) -> Symbol:
    array = places_of(program, x)
    around = [(0, 0)] * array.ndim
    for i in range(len(widths) // 2):
        around[-1 - i] = (widths[2 * i], widths[2 * i + 1])
    return Symbol(program, np.pad(array, around, constant_values=program.constant(float(value))))


def _addcmul(program: Program, x: Any, a: Any, b: Any, *, value: float = 1) -> Symbol:
    product = apply(program, "mul", a, b)
    return apply(program, "add", x, product if value == 1 else apply(program, "mul", product, value))


_RULES: dict[str, Callable[..., Any]] = {
    **{
        name: _elementwise(name)
        for name in (
            *("neg", "abs", "exp", "expm1", "log", "log1p", "sqrt", "sigmoid"),
            *("sin", "cos", "tan", "asin", "acos", "atan", "tanh", "floor", "mul", "div"),
        )
    },
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "pow": _power,
    "square": lambda p, x: apply(p, "mul", x, x),
    "reciprocal": lambda p, x: apply(p, "div", 1.0, x),
    "rsqrt": lambda p, x: apply(p, "div", 1.0, apply(p, "sqrt", x)),
    "minimum": _elementwise("min"),
    "maximum": _elementwise("max"),
    "lt": _compare("lt"),
    "le": _compare("le"),
    "gt": _compare("lt", swapped=True),
    "ge": _compare("le", swapped=True),
    "eq": _compare("eq"),
    "ne": _compare("eq", negated=True),
    "logical_and": _elementwise("and"),
    "logical_or": _elementwise("or"),
    "logical_not": _elementwise("not"),
    "bitwise_and": _elementwise("and"),
    "bitwise_or": _elementwise("or"),
    "bitwise_not": _elementwise("not"),
    "where": _where,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": lambda p, x, high: _clamp(p, x, None, high),
    "relu": _relu,
    "softplus": _softplus,
    "addcmul": _addcmul,
    "_to_copy": _copy,
    "clone": _copy,
    "detach": _detached,
    "alias": _copy,
    "contiguous": _copy,
    "lift_fresh": _copy,
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "full_like": lambda p, x, value, **_: torch.full(tuple(x.shape), float(value), dtype=torch.float64),
    "new_zeros": _new_filled(0.0),
    "new_ones": _new_filled(1.0),
    "new_full": _new_full,
    "expand": _shaped(_expanded),
    "view": _shaped(lambda x, size: x.reshape(size)),
    "_unsafe_view": _shaped(lambda x, size: x.reshape(size)),
    "reshape": _shaped(lambda x, size: x.reshape(size)),
    "unsqueeze": _shaped(lambda x, dim: np.expand_dims(x, dim)),
    "squeeze": _shaped(lambda x, dim=None: x.squeeze() if dim is None else _squeezed(x, dim)),
    "select": _select,
    "slice": _shaped(_sliced),
    "transpose": _shaped(lambda x, a, b: np.swapaxes(x, a, b)),
    "permute": _shaped(lambda x, dims: np.transpose(x, dims)),
    "t": _shaped(lambda x: x.T),
    "unbind": _unbind,
    "split": _split,
    "split_with_sizes": _split,
    "stack": _stack,
    "cat": _cat,
    "sum": _sum,
    "constant_pad_nd": _pad,
}


def _squeezed(x: Places, dims: Any) -> Places:
    axes = [d for d in ([dims] if isinstance(dims, int) else dims) if x.shape[d] == 1]
    return np.squeeze(x, axis=tuple(axes)) if axes else x
