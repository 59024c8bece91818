"""When each operation of a season is done: once, once a weather row, once a simulation, every day.

What an operation depends on decides. A value that a later stage needs is handed over in an array.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from torchcrop.kernels.program import Program

__all__ = ["Stage", "Stages", "staged"]


class Stage(IntEnum):
    """Stages in the order in which a kernel goes through them."""

    ONCE = 0
    """From shared values alone: once for all simulations."""
    ROW = 1
    """From shared values and a day's weather: once for each row of a calendar."""
    LANE = 2
    """From a simulation's own values: once for each simulation."""
    DAY = 3
    """Every day of every simulation."""
    TANGENT_START = 4
    """Of every tangent, before the first day."""
    TANGENT_DAY = 5
    """Of every tangent, every day."""
    END = 6
    """After the last day, backwards through the start."""


# What inputs depend on, as bits.
_LANE, _ROW, _TIME, _DAY, _TANGENT, _TANGENT_DAY, _END = (1 << i for i in range(7))


@dataclass(frozen=True)
class Stages:
    """Stage of every operation that is needed.

    Attributes
    ----------
    of : dict of int to Stage
        By place; constants are in none.
    """

    of: dict[int, Stage]

    def handed(self, program: Program, earlier: Stage, later: Collection[Stage], results: Iterable[int]) -> list[int]:
        """Values of one stage that others need, in order; of the results those that stand in it too."""
        found = {r for r in results if self.of.get(r) == earlier}
        for place, stage in self.of.items():
            if stage in later:
                found.update(a for a in program.operations[place].arguments if self.of.get(a) == earlier)
        return sorted(found)

    def places(self, stage: Stage, within: Collection[int]) -> list[int]:
        """Places of a stage, in order."""
        return sorted(p for p in within if self.of.get(p) == stage)


def staged(program: Program, results: Iterable[int], own: Callable[[Any], bool], by_row: bool) -> Stages:
    """Assign stages.

    Parameters
    ----------
    program : Program
        Without `call` and `instead`.
    results : iterable of int
        Places that are wanted.
    own : callable
        ``own(name)``: whether an input differs between simulations.
    by_row : bool
        Whether the drivers of a day are computed once for each row of a calendar; else every day.
    """
    depends: dict[int, int] = {}
    of: dict[int, Stage] = {}
    for place in program.needed(results):
        operation = program.operations[place]
        if operation.name == "constant":
            continue
        if operation.name == "input":
            bits = _bits(operation.value, own, by_row)
        else:
            bits = 0
            for argument in operation.arguments:
                bits |= depends.get(argument, 0)
        depends[place] = bits
        of[place] = _stage(bits, by_row)
    return Stages(of)


def _bits(name: Any, own: Callable[[Any], bool], by_row: bool) -> int:
    kind = name[0]
    if kind == "weather":
        return _ROW
    if kind == "t":
        return _TIME
    # The calendar of a row knows its time and its sowing; the length is a simulation's own.
    if kind == "lane" and by_row and name[1] != "length":
        return _TIME
    if kind in ("carried", "cotangent"):
        return _DAY
    if kind == "event":
        return _DAY if own(name) or not by_row else _ROW
    if kind == "tangent":
        return _TANGENT_DAY if name[1] in ("carried", "cut", "event") else _TANGENT
    if kind == "cotangent cut":
        return _END
    return _LANE if own(name) else 0


def _stage(bits: int, by_row: bool) -> Stage:
    if bits & _END:
        return Stage.END
    if bits & _TANGENT_DAY:
        return Stage.TANGENT_DAY
    if bits & _TANGENT:
        return Stage.TANGENT_START
    if not bits:
        return Stage.ONCE
    if bits == _LANE:
        return Stage.LANE
    if by_row and not bits & (_LANE | _DAY):
        return Stage.ROW
    return Stage.DAY
