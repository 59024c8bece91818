"""From the traced list to the list that is printed: what only derivatives need is gone.

Quotients stay quotients. Products with reciprocals are faster, and an ulp away: enough to part a soil at field
capacity, or a stress factor of exactly 1, from its tie, and from the derivative that the eager functions have there.
"""

from __future__ import annotations

from collections.abc import Sequence

from torchcrop.kernels.program import Program

__all__ = ["plain"]


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
    places: dict[int, int] = {}
    for place in _order(program, results):
        operation = program.operations[place]
        if operation.name == "input":
            places[place] = new.input(operation.value)
        elif operation.name == "constant":
            places[place] = new.constant(operation.value[2])
        elif operation.name in ("call", "instead"):
            places[place] = places[operation.arguments[0]]
        else:
            places[place] = new.add(operation.name, *(places[a] for a in operation.arguments))
    return new, places


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
