"""How the registered functions of `torchcrop.functions` become scalar operations.

Most are traced through their bodies, which are arithmetic. A lowering is written here for what a body does with
indices, for what differs between value and derivative, and for the two functions in which a smooth day spends its time.
Values and derivatives, at ties too, are those of the eager function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from torchcrop.functions.registry import Function
from torchcrop.functions.tables import Table
from torchcrop.kernels.program import Program
from torchcrop.kernels.trace import Symbol, Untraceable, apply, places_of, recording

__all__ = ["lower"]


def lower(program: Program, function: Function, args: tuple[Any, ...]) -> Any:
    """Enter the call of a registered function."""
    lowering = _LOWERINGS.get(function.name)
    return function.body(*args) if lowering is None else lowering(program, function, *args)


class _Scalars:
    """Arithmetic on places of a program, for formulas that are written for one simulation."""

    def __init__(self, program: Program) -> None:
        self.p = program

    def __getattr__(self, name: str) -> Callable[..., int]:
        return lambda *arguments: self.p.add(name, *(self._place(a) for a in arguments))

    def _place(self, value: int | float) -> int:
        return self.p.constant(value) if isinstance(value, float) else value

    def sum(self, terms: Sequence[int]) -> int:
        """Sum of several."""
        total = terms[0]
        for term in terms[1:]:
            total = self.p.add("add", total, term)
        return total


# --- the share of a day beyond a threshold ------------------------------------------------------------------


def _event_share(program: Program, function: Function, *args: Any) -> Symbol:
    arrays = np.broadcast_arrays(*(places_of(program, a) for a in args))
    result = np.empty(arrays[0].shape, dtype=np.int64)
    for index in np.ndindex(result.shape):
        result[index] = _one_event(program, *(int(a[index]) for a in arrays))
    return Symbol(program, result)


def _one_event(program: Program, start: int, increment: int, width: int, floor: int) -> int:
    """Mean of a sigmoid over a window, ``ln((1 + e^b) / (1 + e^a)) / (b - a)``, on the side where it is small.

    With ``e = exp(-|b|)``, the only large numbers are those of the window itself: for b <= 0 the logarithm is
    ``log1p(e q)``, for b > 0 it is ``b + log1p(q + expm1(-b))``, ``q = (1 - e^(a-b)) / (1 + e^a)``.
    """
    m = _Scalars(program)
    per_width = m.div(1.0, width)
    per_two = m.mul(per_width, 0.5)
    half = m.mul(m.add(increment, floor), per_two)
    middle = m.add(m.mul(start, per_width), half)
    beyond = m.lt(0.0, middle)
    near = m.select(beyond, m.neg(middle), middle)
    a, b = m.sub(near, half), m.add(near, half)
    shrunk = m.neg(m.expm1(m.mul(half, -2.0)))  # 1 - e^(a-b)
    one_and_a = m.add(1.0, m.exp(a))
    q = m.div(shrunk, one_and_a)
    apart = m.neg(m.abs(b))
    e, less = m.exp(apart), m.expm1(apart)  # less = e - 1, to the last digits where b is small
    wide = m.lt(0.0, b)
    inner = m.select(wide, m.add(q, less), m.mul(e, q))
    area = m.add(m.max(0.0, b), m.log1p(inner))
    reciprocal = m.div(0.5, half)
    small = m.mul(area, reciprocal)
    share = m.select(beyond, m.sub(1.0, small), small)

    @cache
    def partials() -> list[int]:
        # sigmoid(b) - sigmoid(a), without its cancellation, and their sum
        one_and_e = m.add(1.0, e)
        rise = m.mul(m.div(q, one_and_e), m.select(wide, 1.0, e))
        at_b = m.div(m.select(wide, 1.0, e), one_and_e)
        at_a = m.sub(1.0, m.div(1.0, one_and_a))
        by_middle = m.mul(rise, reciprocal)
        by_half = m.mul(m.sub(m.mul(m.add(at_a, at_b), 0.5), small), m.mul(reciprocal, 2.0))
        by_half = m.select(beyond, m.neg(by_half), by_half)
        by_start = m.mul(by_middle, per_width)
        by_increment = m.mul(m.add(by_middle, by_half), per_two)
        outer = m.add(m.mul(by_start, start), m.mul(by_increment, m.add(increment, floor)))
        return [by_start, by_increment, m.neg(m.mul(outer, per_width)), by_increment]

    return program.call(share, (start, increment, width, floor), lambda k: partials()[k])


# --- the mean of a table over a day -------------------------------------------------------------------------


def _window_mean(program: Program, function: Function, table: Table, start: Any, length: Any) -> Symbol:
    """``y_0 + sum_i slope_i min(max(a - x_i, 0), x_i+1 - x_i) + L/2 sum_j d_j share_j^2``.

    `d_j` is the change of slope at a breakpoint and `share_j` the share of the window beyond it. By the start the
    derivative is ``sum_j d_j share_j``, by the length that less half of the sum of squares.
    """
    if table.ends != "hold":
        return _by_rule(program, function, table, start, length)
    x, y, slopes = (_columns(program, part) for part in (table.x, table.y, table.slopes))
    arrays = np.broadcast_arrays(places_of(program, start), places_of(program, length), *x, *y, *slopes)
    generic = _partials(program, function, (table, start, length))
    n = len(x)
    result = np.empty(arrays[0].shape, dtype=np.int64)
    for index in np.ndindex(result.shape):
        a, span, *rest = (int(array[index]) for array in arrays)
        of_points = functools.partial(generic, index)
        result[index] = _one_mean(program, a, span, rest[:n], rest[n : 2 * n], rest[2 * n :], of_points)
    return Symbol(program, result)


def _one_mean(
    program: Program,
    start: int,
    length: int,
    x: Sequence[int],
    y: Sequence[int],
    slopes: Sequence[int],
    of_points: Callable[[int], int],
) -> int:
    """One mean; `of_points` gives the derivatives by breakpoints and ordinates."""
    m = _Scalars(program)
    per_length = m.div(1.0, length)
    low = [m.sub(start, point) for point in x]
    shares = [m.max(0.0, m.min(1.0, m.add(m.mul(one, per_length), 1.0))) for one in low]
    turns = [m.sub(right, left) for left, right in zip([0.0, *slopes], [*slopes, 0.0], strict=True)]
    widths = [m.sub(right, left) for left, right in pairwise(x)]
    passed = [m.max(0.0, m.min(width, one)) for width, one in zip(widths, low[:-1], strict=True)]
    begun = m.sum([m.mul(slope, part) for slope, part in zip(slopes, passed, strict=True)])
    squares = m.sum([m.mul(m.mul(share, share), turn) for share, turn in zip(shares, turns, strict=True)])
    value = m.add(m.add(y[0], begun), m.mul(m.mul(length, 0.5), squares))

    def rule(k: int) -> int:
        if k < len(x) + len(y):
            return of_points(k)
        by_start = m.sum([m.mul(share, turn) for share, turn in zip(shares, turns, strict=True)])
        return by_start if k == len(x) + len(y) else m.sub(by_start, m.mul(squares, 0.5))

    return program.call(value, (*x, *y, start, length), rule)


# --- functions whose derivative the registry knows ----------------------------------------------------------


def _by_rule(program: Program, function: Function, *args: Any) -> Symbol:
    """The value by the body, the derivatives by the registry's rule."""
    value = function.body(*args)
    generic = _partials(program, function, args)
    columns = [_broadcast(places, table, value.places.shape) for places, table in _tensors(program, args)]
    result = np.empty(value.places.shape, dtype=np.int64)
    for index in np.ndindex(result.shape):
        arguments = [int(place) for column in columns for place in np.ravel(column[index])]
        result[index] = program.call(int(value.places[index]), arguments, functools.partial(generic, index))
    return Symbol(program, result)


def _tensors(program: Program, args: Sequence[Any]) -> list[tuple[np.ndarray, bool]]:
    """Places of each argument, and whether they are points of a table, which counts as breakpoints and ordinates."""
    found: list[tuple[np.ndarray, bool]] = []
    for arg in args:
        parts = ((arg.x, True), (arg.y, True)) if isinstance(arg, Table) else ((arg, False),)
        found.extend((places_of(program, part), table) for part, table in parts)
    return found


def _partials(program: Program, function: Function, args: Sequence[Any]) -> Callable[[tuple[int, ...], int], int]:
    """Give what finds the derivative of an element by its k-th argument; all are entered when one is asked for."""
    tensors = _tensors(program, args)
    shape = np.broadcast_shapes(*(p.shape[:-1] if table else p.shape for p, table in tensors))

    @cache
    def entered() -> list[np.ndarray]:
        with recording(program, lower):
            derivatives = function.derivative(*args)
        zero = np.full((), program.constant(0.0))
        places = [zero if d is None else places_of(program, d) for d in derivatives]
        return [_broadcast(p, table, shape) for p, (_, table) in zip(places, tensors, strict=True)]

    def partial(index: tuple[int, ...], k: int) -> int:
        return [int(place) for array in entered() for place in np.ravel(array[index])][k]

    return partial


def _broadcast(places: np.ndarray, table: bool, shape: tuple[int, ...]) -> np.ndarray:
    """Spread an argument over the elements of a result; the points of a table stay together, last."""
    return np.broadcast_to(places, (*shape, places.shape[-1]) if table and places.ndim else shape)


# --- look-up ------------------------------------------------------------------------------------------------


def _afgen(program: Program, function: Function, table: Table, query: Any) -> Symbol:
    """From the last breakpoint that the query has passed, found by comparing it with one after the other."""
    x, y, slopes = (_columns(program, part) for part in (table.x, table.y, table.slopes))
    held = query
    if table.ends == "hold":
        held = apply(program, "max", _one(program, x[0]), apply(program, "min", _one(program, x[-1]), query))
    at_x, at_y, slope = _one(program, x[0]), _one(program, y[0]), _one(program, slopes[0])
    for i in range(1, len(x)):
        passed = apply(program, "le", _one(program, x[i]), held)
        at_x = apply(program, "select", passed, _one(program, x[i]), at_x)
        at_y = apply(program, "select", passed, _one(program, y[i]), at_y)
        if i < len(slopes):
            slope = apply(program, "select", passed, _one(program, slopes[i]), slope)
    return apply(program, "add", at_y, apply(program, "mul", slope, apply(program, "sub", held, at_x)))


def _columns(program: Program, values: Any) -> list[np.ndarray]:
    """Points of a table, each of the shape of a lane."""
    places = places_of(program, values)
    return [places[..., i] for i in range(places.shape[-1])]


def _one(program: Program, places: np.ndarray) -> Symbol:
    return Symbol(program, np.asarray(places))


def _replace_gradient(program: Program, function: Function, value: Any, gradient: Any) -> Symbol:
    return apply(program, "instead", value, gradient)


def _cspline(program: Program, function: Function, table: Table, query: Any) -> Symbol:
    raise Untraceable("the season kernel has no rule for cspline: read the table by afgen, or run with backend='eager'")


_LOWERINGS: dict[str, Callable[..., Symbol]] = {
    "event_share": _event_share,
    "window_mean": _window_mean,
    "rounded_limit": _by_rule,
    "afgen": _afgen,
    "cspline": _cspline,
    "replace_gradient": _replace_gradient,
}
