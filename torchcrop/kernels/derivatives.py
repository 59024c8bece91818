"""The derivative of a list of operations, as a list: forward and reverse from one set of rules.

`partials` gives the derivative of an operation by each of its arguments; at ties and kinks it is the one that the eager
functions have: half for a minimum or maximum, one branch for a choice, none for a comparison. Forward mode multiplies
tangents by them in the order of the list, reverse mode cotangents against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

from torchcrop.kernels.program import TRUTHS, Program

__all__ = ["Graph", "adjoint", "linearised", "partials", "tangent"]

# Above it softplus is its argument, as torch computes it with the threshold that the switches use.
_LINEAR_ABOVE = 40.0


def partials(p: Program, place: int, active: Collection[int]) -> list[tuple[int, int]]:
    """Pairs (argument, place of the derivative by it); arguments that are not active may be left out."""
    operation = p.operations[place]
    if operation.name in ("constant", "input", "floor") or operation.name in TRUTHS:
        return []
    if operation.name == "call":
        rule = p.rules[place]
        return [(a, rule(k)) for k, a in enumerate(operation.arguments[1:]) if a in active]
    return _RULES[operation.name](p, place, *operation.arguments)


def _half(p: Program, a: int, b: int) -> int:
    """1 where a < b, one half where they are equal, else 0."""
    tie = p.add("select", p.add("eq", a, b), p.constant(0.5), p.constant(0.0))
    return p.add("select", p.add("lt", a, b), p.constant(1.0), tie)


def _one(p: Program) -> int:
    return p.constant(1.0)


def _by_pow(p: Program, y: int, a: int, b: int) -> list[tuple[int, int]]:
    by_base = p.add("mul", b, p.add("pow", a, p.add("sub", b, _one(p))))
    # 0 ** b does not change with b, for b > 0
    base_is_zero = p.add("eq", a, p.constant(0.0))
    by_exponent = p.add("select", base_is_zero, p.constant(0.0), p.add("mul", y, p.add("log", a)))
    return [(a, by_base), (b, by_exponent)]


def _by_div(p: Program, y: int, a: int, b: int) -> list[tuple[int, int]]:
    reciprocal = p.add("div", _one(p), b)
    return [(a, reciprocal), (b, p.add("neg", p.add("mul", y, reciprocal)))]


def _by_select(p: Program, y: int, m: int, a: int, b: int) -> list[tuple[int, int]]:
    on = p.add("select", m, _one(p), p.constant(0.0))
    off = p.add("select", m, p.constant(0.0), _one(p))
    return [(a, on), (b, off)]


def _by_abs(p: Program, y: int, a: int) -> list[tuple[int, int]]:
    zero, one = p.constant(0.0), _one(p)
    below = p.add("select", p.add("lt", a, zero), p.constant(-1.0), zero)
    return [(a, p.add("select", p.add("lt", zero, a), one, below))]


def _by_softplus(p: Program, y: int, a: int) -> list[tuple[int, int]]:
    linear = p.add("lt", p.constant(_LINEAR_ABOVE), a)
    return [(a, p.add("select", linear, _one(p), p.add("sigmoid", a)))]


def _root_of_one_less_square(p: Program, a: int) -> int:
    return p.add("sqrt", p.add("sub", _one(p), p.add("mul", a, a)))


_RULES: dict[str, Callable[..., list[tuple[int, int]]]] = {
    "add": lambda p, y, a, b: [(a, _one(p)), (b, _one(p))],
    "sub": lambda p, y, a, b: [(a, _one(p)), (b, p.constant(-1.0))],
    "mul": lambda p, y, a, b: [(a, b), (b, a)],
    "div": _by_div,
    "pow": _by_pow,
    "min": lambda p, y, a, b: [(a, _half(p, a, b)), (b, p.add("sub", _one(p), _half(p, a, b)))],
    "max": lambda p, y, a, b: [(b, _half(p, a, b)), (a, p.add("sub", _one(p), _half(p, a, b)))],
    "instead": lambda p, y, a, b: [(b, _one(p))],
    "select": _by_select,
    "neg": lambda p, y, a: [(a, p.constant(-1.0))],
    "abs": _by_abs,
    "exp": lambda p, y, a: [(a, y)],
    "expm1": lambda p, y, a: [(a, p.add("add", y, _one(p)))],
    "log": lambda p, y, a: [(a, p.add("div", _one(p), a))],
    "log1p": lambda p, y, a: [(a, p.add("div", _one(p), p.add("add", _one(p), a)))],
    "sqrt": lambda p, y, a: [(a, p.add("div", p.constant(0.5), y))],
    "sigmoid": lambda p, y, a: [(a, p.add("mul", y, p.add("sub", _one(p), y)))],
    "softplus": _by_softplus,
    "sin": lambda p, y, a: [(a, p.add("cos", a))],
    "cos": lambda p, y, a: [(a, p.add("neg", p.add("sin", a)))],
    "tan": lambda p, y, a: [(a, p.add("add", _one(p), p.add("mul", y, y)))],
    "asin": lambda p, y, a: [(a, p.add("div", _one(p), _root_of_one_less_square(p, a)))],
    "acos": lambda p, y, a: [(a, p.add("neg", p.add("div", _one(p), _root_of_one_less_square(p, a))))],
    "atan": lambda p, y, a: [(a, p.add("div", _one(p), p.add("add", _one(p), p.add("mul", a, a))))],
    "tanh": lambda p, y, a: [(a, p.add("sub", _one(p), p.add("mul", y, y)))],
}


class Graph:
    """The linear part of a list: which place depends on which, and by what factor.

    Attributes
    ----------
    into : dict of int to dict of int to int
        Of each place, its arguments and the places of the factors.
    """

    def __init__(self, program: Program, into: dict[int, dict[int, int]]) -> None:
        self.program = program
        self.into = into

    def contracted(self, keep: Collection[int]) -> Graph:
        """Leave out, at no cost, what has one argument or one user; `keep` stays.

        A factor is then the product of two, computed once for all tangents.
        """
        p = self.program
        into = {place: dict(edges) for place, edges in self.into.items()}
        users: dict[int, set[int]] = defaultdict(set)
        for place, edges in into.items():
            for argument in edges:
                users[argument].add(place)
        kept = set(keep)
        for place in sorted(into):
            edges = into[place]
            if place in kept or not users[place] or min(len(edges), len(users[place])) > 1:
                continue
            for user in users[place]:
                factor = into[user].pop(place)
                for argument, inner in edges.items():
                    product = p.add("mul", factor, inner)
                    old = into[user].get(argument)
                    into[user][argument] = product if old is None else p.add("add", old, product)
                    users[argument].add(user)
            for argument in edges:
                users[argument].discard(place)
            del into[place]
        return Graph(p, into)


def linearised(program: Program, results: Sequence[int], inputs: Collection[int], stop: Collection[int] = ()) -> Graph:
    """Give the linear part of what leads from inputs to results.

    Parameters
    ----------
    program : Program
        Derivatives are entered into it.
    results, inputs : sequences of int
        Places.
    stop : collection of int
        Places taken for inputs too: what they follow from is left aside.
    """
    sources = set(inputs) | set(stop)
    active: set[int] = set(sources)
    order = [place for place in program.needed(results) if place not in sources]
    for place in order:
        if any(a in active for a in program.operations[place].arguments):
            active.add(place)
    wanted = {r for r in results if r in active}
    into: dict[int, dict[int, int]] = {}
    for place in reversed(order):
        if place not in wanted or place not in active:
            continue
        edges: dict[int, int] = {}
        for argument, factor in partials(program, place, active):
            if argument in active and program.value(factor) != 0:
                old = edges.get(argument)
                edges[argument] = factor if old is None else program.add("add", old, factor)
        if edges:
            into[place] = edges
            wanted.update(edges)
    return Graph(program, into)


def tangent(graph: Graph, seeds: Mapping[int, int], results: Sequence[int]) -> dict[int, int]:
    """Tangents of results, from those of the inputs (`seeds`); a result without one has none."""
    p = graph.program
    tangents = dict(seeds)
    for place in sorted(graph.into):
        total: int | None = None
        for argument, factor in graph.into[place].items():
            if argument in tangents:
                term = p.add("mul", factor, tangents[argument])
                total = term if total is None else p.add("add", total, term)
        if total is not None and place not in seeds:
            tangents[place] = total
    return {r: tangents[r] for r in results if r in tangents}


def adjoint(graph: Graph, seeds: Mapping[int, int], inputs: Collection[int]) -> dict[int, int]:
    """Cotangents of inputs, from those of the results (`seeds`); an input that no result depends on has none."""
    p = graph.program
    cotangents = dict(seeds)
    for place in sorted(graph.into, reverse=True):
        seed = cotangents.get(place)
        if seed is None:
            continue
        for argument, factor in graph.into[place].items():
            term = _scaled(p, factor, seed)
            old = cotangents.get(argument)
            cotangents[argument] = term if old is None else p.add("add", old, term)
    return {i: cotangents[i] for i in inputs if i in cotangents}


def _scaled(p: Program, factor: int, seed: int) -> int:
    """``factor * seed``; where the factor is 1 or 0 the seed is chosen, not multiplied."""
    operation = p.operations[factor]
    if operation.name == "select":
        on, off = (p.value(a) for a in operation.arguments[1:])
        if (on, off) in ((1.0, 0.0), (0.0, 1.0)):
            zero = p.constant(0.0)
            branches = (seed, zero) if on == 1.0 else (zero, seed)
            return p.add("select", operation.arguments[0], *branches)
    return p.add("mul", factor, seed)
