"""The list of scalar operations that a day of a model becomes, simplified as it grows.

A `Program` is a list in which every operation stands after its arguments. Equal operations are one entry, constants
are folded and identities applied when an operation is added, so that no later pass has to. What no result needs is
left out by `needed`.

Numbers and truth values (results of comparisons) are both entries; `TRUTHS` names the operations that give the latter.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ARITY", "TRUTHS", "Operation", "Program"]

TRUTHS = frozenset({"lt", "le", "eq", "and", "or", "not"})
"""Operations whose result is a truth value."""

_UNARY = (
    *("neg", "abs", "exp", "expm1", "log", "log1p", "sqrt", "sigmoid", "softplus"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "tanh", "floor"),
)
_BINARY = ("add", "sub", "mul", "div", "pow", "min", "max", "instead", "lt", "le", "eq", "and", "or")

ARITY: dict[str, int] = {
    **dict.fromkeys(("constant", "input"), 0),
    **dict.fromkeys((*_UNARY, "not"), 1),
    **dict.fromkeys(_BINARY, 2),
    "select": 3,
    "call": -1,
}
"""Number of arguments of every operation.

`instead` has the value of its first argument and the derivative of its second. `call` is a function whose derivative is
known: it has the value of its first argument and depends on the others by the partial derivatives that the program's
`rules` give."""

_COMMUTES = frozenset({"add", "mul", "eq", "and", "or"})


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _divided(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


_FOLD: dict[str, Callable[..., Any]] = {
    "neg": operator.neg,
    "abs": abs,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "sigmoid": _sigmoid,
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "tanh": math.tanh,
    "floor": lambda x: float(math.floor(x)),
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": _divided,
    "pow": math.pow,
    "min": min,
    "max": max,
    "instead": lambda value, gradient: value,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": operator.not_,
    "select": lambda m, a, b: a if m else b,
}


@dataclass(frozen=True)
class Operation:
    """One line of a program.

    Attributes
    ----------
    name : str
        What is done; a key of `ARITY`.
    arguments : tuple of int
        Places of the arguments in the list.
    value : float, bool or hashable
        Of a constant its value, of an input its name; else None.
    """

    name: str
    arguments: tuple[int, ...] = ()
    value: Any = None


@dataclass
class Program:
    """A list of operations that simplifies itself.

    Attributes
    ----------
    operations : list of Operation
        In an order in which arguments come first.
    rules : dict of int to callable
        Of every `call`: ``rule(k)`` gives the place of the derivative by its k-th argument after the first.
    """

    operations: list[Operation] = field(default_factory=list)
    rules: dict[int, Callable[[int], int]] = field(default_factory=dict)
    _places: dict[Operation, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.operations)

    def constant(self, value: float | bool) -> int:
        """Give the place of a constant."""
        return self._enter(Operation("constant", (), (type(value).__name__, repr(value), value)))

    def input(self, name: Any) -> int:
        """Give the place of an input; the same name is the same input."""
        return self._enter(Operation("input", (), name))

    def value(self, place: int) -> Any:
        """Value of the constant at a place, or None if there is none."""
        operation = self.operations[place]
        return operation.value[2] if operation.name == "constant" else None

    def add(self, name: str, *arguments: int) -> int:
        """Enter an operation, or what it simplifies to, and give its place."""
        values = [self.value(a) for a in arguments]
        if all(v is not None for v in values):
            folded = _folded(name, values)
            if folded is not None:
                return self.constant(folded)
        simple = self._identity(name, arguments, values)
        if simple is not None:
            return simple
        if name in _COMMUTES:
            arguments = tuple(sorted(arguments))
        return self._enter(Operation(name, arguments))

    def call(self, value: int, arguments: Sequence[int], rule: Callable[[int], int]) -> int:
        """Enter a value whose partial derivatives a rule gives."""
        if self.value(value) is not None:
            return value
        place = self._enter(Operation("call", (value, *arguments)))
        self.rules.setdefault(place, rule)
        return place

    def _enter(self, operation: Operation) -> int:
        place = self._places.get(operation)
        if place is None:
            place = len(self.operations)
            self.operations.append(operation)
            self._places[operation] = place
        return place

    def _identity(self, name: str, arguments: Sequence[int], values: Sequence[Any]) -> int | None:
        """Give the place of what an operation is equal to, or None. A product with 0 stays: it may be of infinity."""
        rule = _IDENTITIES.get(name)
        return rule(self, arguments, values) if rule else None

    def is_truth(self, place: int) -> bool:
        """Whether a place holds a truth value."""
        operation = self.operations[place]
        if operation.name == "constant":
            return isinstance(operation.value[2], bool)
        return operation.name in TRUTHS

    def needed(self, results: Iterable[int]) -> list[int]:
        """Places that results follow from, in order."""
        keep: set[int] = set()
        stack = list(results)
        while stack:
            place = stack.pop()
            if place not in keep:
                keep.add(place)
                stack.extend(self.operations[place].arguments)
        return sorted(keep)


def _folded(name: str, values: Sequence[Any]) -> Any:
    try:
        result = _FOLD[name](*values)
    except (ValueError, OverflowError):
        return None  # left to the kernel, which gives infinity or NaN as torch does
    return result if isinstance(result, bool) else float(result)


def _add(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    if v[0] == 0:
        return a[1]
    if v[1] == 0:
        return a[0]
    for x, y in ((a[0], a[1]), (a[1], a[0])):
        if p.operations[y].name == "neg":
            return p.add("sub", x, p.operations[y].arguments[0])
    return None


def _sub(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    if v[1] == 0:
        return a[0]
    if v[0] == 0:
        return p.add("neg", a[1])
    if p.operations[a[1]].name == "neg":
        return p.add("add", a[0], p.operations[a[1]].arguments[0])
    return None


def _mul(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    for i in (0, 1):
        if v[i] == 1:
            return a[1 - i]
        if v[i] == -1:
            return p.add("neg", a[1 - i])
        # A parameter is finite, the border has seen to it.
        if v[i] == 0 and p.operations[a[1 - i]].name == "input":
            return p.constant(0.0)
    if v[1] is not None or v[0] is not None:
        c, x = (0, 1) if v[0] is not None else (1, 0)
        inner = p.operations[a[x]]
        if inner.name == "neg":
            return p.add("mul", p.constant(-v[c]), inner.arguments[0])
    negated = [p.operations[place].name == "neg" for place in a]
    if all(negated):
        return p.add("mul", *(p.operations[place].arguments[0] for place in a))
    if any(negated):
        i = negated.index(True)
        return p.add("neg", p.add("mul", p.operations[a[i]].arguments[0], a[1 - i]))
    return None


def _div(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    if v[1] == 1:
        return a[0]
    if v[1] is not None and math.frexp(v[1])[0] in (0.5, -0.5):
        return p.add("mul", a[0], p.constant(1 / v[1]))  # exact, for a power of two
    return None


def _neg(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    inner = p.operations[a[0]]
    if inner.name == "neg":
        return inner.arguments[0]
    if inner.name == "sub":
        return p.add("sub", inner.arguments[1], inner.arguments[0])
    return None


def _select(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    if v[0] is not None:
        return a[1] if v[0] else a[2]
    if a[1] == a[2]:
        return a[1]
    if p.operations[a[0]].name == "not":
        return p.add("select", p.operations[a[0]].arguments[0], a[2], a[1])
    # A choice between two numbers of the same truth value.
    for i in (1, 2):
        inner = p.operations[a[i]]
        if inner.name == "select" and inner.arguments[0] == a[0]:
            rest = [a[0], a[1], a[2]]
            rest[i] = inner.arguments[i]
            return p.add("select", *rest)
    return None


def _same(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    return a[0] if a[0] == a[1] else None


def _not(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    inner = p.operations[a[0]]
    return inner.arguments[0] if inner.name == "not" else None


def _and(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    for i in (0, 1):
        if v[i] is not None:
            return a[1 - i] if v[i] else a[i]
    return _same(p, a, v)


def _or(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    for i in (0, 1):
        if v[i] is not None:
            return a[i] if v[i] else a[1 - i]
    return _same(p, a, v)


def _is_indicator(p: Program, place: int) -> tuple[int, bool] | None:
    """Truth value whose number (1 and 0, or 0 and 1) stands at a place."""
    operation = p.operations[place]
    if operation.name != "select":
        return None
    on, off = (p.value(i) for i in operation.arguments[1:])
    if (on, off) == (1.0, 0.0):
        return operation.arguments[0], True
    if (on, off) == (0.0, 1.0):
        return operation.arguments[0], False
    return None


def _lt(p: Program, a: Sequence[int], v: Sequence[Any]) -> int | None:
    # 0 < (1 where m, else 0): the truth value itself
    if v[0] == 0:
        found = _is_indicator(p, a[1])
        if found is not None:
            return found[0] if found[1] else p.add("not", found[0])
    return None


_IDENTITIES: dict[str, Callable[[Program, Sequence[int], Sequence[Any]], int | None]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "select": _select,
    "min": _same,
    "max": _same,
    "not": _not,
    "and": _and,
    "or": _or,
    "lt": _lt,
}
