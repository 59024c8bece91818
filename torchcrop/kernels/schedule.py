"""In which order operations are written, so that few values wait long for their use.

A list grows in the order in which it was derived: the day, then its factors, then what is done with them. Written so,
the day's values would all wait, in memory, for their factors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torchcrop.kernels.program import Program

__all__ = ["early", "late"]


def early(program: Program, places: Sequence[int], trunk: Collection[int]) -> list[int]:
    """Put what is not of the trunk as early as it can be: right after the last of the trunk that it needs."""
    ready: dict[int, int] = {}
    for place in places:
        arguments = program.operations[place].arguments
        ready[place] = place if place in trunk else max((ready.get(a, 0) for a in arguments), default=0)
    return sorted(places, key=lambda place: (ready[place], place))


def late(program: Program, places: Sequence[int], trunk: Collection[int]) -> list[int]:
    """Put what is not of the trunk as late as it can be: right before the first of the trunk that needs it."""
    among = set(places)
    written: dict[int, None] = {}
    for place in places:
        if place not in trunk:
            continue
        stack = [place]
        while stack:
            top = stack[-1]
            missing = [a for a in program.operations[top].arguments if a in among and a not in written]
            if missing:
                stack.extend(reversed(missing))
            else:
                written[stack.pop()] = None
    written.update(dict.fromkeys(p for p in places if p not in written))
    return list(written)
