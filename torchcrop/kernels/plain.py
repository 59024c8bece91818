"""From the traced list to the list that is printed: what only derivatives need is gone, quotients are cheap.

A quotient by something that does not change from day to day becomes a product with its reciprocal, which is hoisted; so
does one of several quotients by the same divisor. Each is within two units in the last place of the quotient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torchcrop.kernels.program import Program

__all__ = ["plain"]

# A division takes the time of some five multiplications: from two quotients by one divisor on, a reciprocal pays.
_SEVERAL = 2
_MOVING = frozenset({"carried", "cotangent", "cotangent cut", "tangent"})


def plain(program: Program, results: Sequence[int]) -> tuple[Program, dict[int, int]]:
    """Copy what some results need into a new program without `call` and `instead`.

    Parameters
    ----------
    program : Program
    results : sequence of int
        Places that are wanted.

    Returns
    -------
    Program
    dict of int to int
        New place of every old one that was copied.
    """
    new = Program()
    moving = _moving(program, results)
    places: dict[int, int] = {}
    order = _order(program, results)
    divisors = Counter(
        operation.arguments[1] for place in order if (operation := program.operations[place]).name == "div"
    )
    for place in order:
        operation = program.operations[place]
        if operation.name == "input":
            places[place] = new.input(operation.value)
        elif operation.name == "constant":
            places[place] = new.constant(operation.value[2])
        elif operation.name in ("call", "instead"):
            places[place] = places[operation.arguments[0]]
        else:
            arguments = [places[a] for a in operation.arguments]
            divisor = operation.arguments[-1] if operation.name == "div" else None
            if divisor is not None and (divisors[divisor] >= _SEVERAL or divisor not in moving):
                reciprocal = new.add("div", new.constant(1.0), arguments[1])
                places[place] = new.add("mul", arguments[0], reciprocal)
            else:
                places[place] = new.add(operation.name, *arguments)
    return new, places


def _moving(program: Program, results: Sequence[int]) -> set[int]:
    """Places that depend on what changes within a season by itself: no calendar and no binding decides it, so that one
    simulation is computed alike in every batch.
    """
    found: set[int] = set()
    for place in program.needed(results):
        operation = program.operations[place]
        if operation.name == "input":
            if operation.value[0] in _MOVING:
                found.add(place)
        elif any(a in found for a in operation.arguments):
            found.add(place)
    return found


def _order(program: Program, results: Sequence[int]) -> list[int]:
    """Places that the values of results follow from, in order; what only derivatives need is left out."""
    keep: set[int] = set()
    stack = list(results)
    while stack:
        place = stack.pop()
        if place not in keep:
            keep.add(place)
            operation = program.operations[place]
            only_first = operation.name in ("call", "instead")
            stack.extend(operation.arguments[:1] if only_first else operation.arguments)
    return sorted(keep)
