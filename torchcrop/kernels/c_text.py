"""Print operations as statements of C: one statement each, values under the names that the program knows.

The operations of a day read alike on a processor and on a device, in single and in double precision: C's own operators,
its mathematics, ``?:`` for choices, and two functions that C lacks (``sigmoid``, ``softplus``).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torchcrop.kernels import plans
from torchcrop.kernels.llvm import ARGUMENTS
from torchcrop.kernels.plans import Plan
from torchcrop.kernels.season import SeasonProgram

__all__ = ["LOCAL", "Names", "Text", "of_width"]

LOCAL = {"shared_to": "shared", "table_to": "table", "last_of": "last"}
"""Arrays inside functions whose names differ from those of `ARGUMENTS`."""

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "eq": "==", "and": "&&", "or": "||"}


# --- names --------------------------------------------------------------------------------------------------


class Names:
    """Variables of what a program knows by name: its inputs and what it carries.

    Each has an underscore, which no word of C, no function of its mathematics and no other variable has.
    """

    def __init__(self, season: SeasonProgram) -> None:
        self.season = season
        self.index = plans.index_of(season.program, season.carried)
        self._given: dict[Any, str] = {}
        self._used = {*ARGUMENTS, *LOCAL, "base_row", "last_row"}

    def input(self, name: Any) -> str:
        """Variable of an input."""
        if name not in self._given:
            self._given[name] = self._fresh(self._spoken(name))
        return self._given[name]

    def carried(self, i: int) -> str:
        """Variable of what is carried."""
        return self.input(self.season.program.operations[self.season.carried[i]].value)

    def path(self, i: int) -> str:
        """Variable of what was carried on the days of a segment."""
        return self.input(("path", i))

    def _spoken(self, name: Any) -> str:
        kind, *rest = name
        if name in self.index:
            return f"state_{self.season.names[self.index[name]]}"
        if kind == "path":
            return f"path_{self.season.names[rest[0]]}"
        if kind in ("cotangent", "tangent"):
            before = "by" if kind == "cotangent" else "d"
            what, i = rest
            if what == "carried":
                return f"{before}_{self.season.names[i]}"
            return f"{before}_{what}_{self.season.layout.recording.daily[i] if what == 'row' else i}"
        if kind == "params" and len(rest) > 1:
            return "_".join(map(str, rest))
        return "_".join(("input", *map(str, name)) if len(name) == 1 else map(str, name))

    def _fresh(self, spoken: str) -> str:
        stem = re.sub(r"\W+", "_", spoken).strip("_")
        if re.fullmatch(r"(cut|later)_\d+", stem):
            stem = f"input_{stem}"
        name, n = stem, 1
        while name in self._used:
            n += 1
            name = f"{stem}_{n}"
        self._used.add(name)
        return name


# --- statements ---------------------------------------------------------------------------------------------


class Text:
    """Lines of a function, in the making."""

    def __init__(self, plan: Plan, names: Names, bits: int) -> None:
        self.plan, self.program, self.names, self.bits = plan, plan.program, names, bits
        self.lines: list[str] = []
        self.depth = 1
        self.lane: dict[int, str] = {}

    def do(self, line: str) -> None:
        """Write a line."""
        self.lines.append("    " * self.depth + line)

    def block(self, head: str, body: Callable[[], None]) -> None:
        """Write ``head { body }``."""
        self.do(f"{head} {{".lstrip())
        self.depth += 1
        body()
        self.depth -= 1
        self.do("}")

    def number(self, value: float | bool) -> str:
        """Text of a constant."""
        if isinstance(value, bool):
            return "true" if value else "false"
        value = float(value)
        if math.isnan(value):
            return "NOT_A_NUMBER"
        if self.bits == 32:
            value = _rounded(value)
        if math.isinf(value):
            return "INFINITE" if value > 0 else "(-INFINITE)"
        text = repr(value) if self.bits == 64 else f"{_shortest(value)}f"
        return f"({text})" if value < 0 or text.startswith("-") else text

    def let(self, place: int, name: str, text: str) -> None:
        """Write the definition of a value."""
        kind = "bool" if self.program.is_truth(place) else "real"
        self.do(f"const {kind} {name} = {text};")

    def operations(self, places: Iterable[int], outside: Callable[[int, str], str]) -> Callable[[int], str]:
        """Write operations, and give what finds the variable, or the number, of a place.

        Parameters
        ----------
        places : iterable of int
            What to write, in order.
        outside : callable
            ``outside(place, name)`` gives where the value of a place that is not among them is found: an expression,
            which is assigned to a variable of that name, or the name of a variable that holds it already.
        """
        found: dict[int, str] = {}

        def name(place: int) -> str:
            if place not in found:
                found[place] = self._outside(place, outside)
            return found[place]

        for place in places:
            operation = self.program.operations[place]
            if operation.name in ("constant", "input"):
                continue
            text = self._operation(place, [name(a) for a in operation.arguments])
            found[place] = f"v{place}"
            self.let(place, found[place], text)
        return name

    def _outside(self, place: int, outside: Callable[[int, str], str]) -> str:
        value = self.program.value(place)
        if value is not None:
            return self.number(value)
        operation = self.program.operations[place]
        variable = self.names.input(operation.value) if operation.name == "input" else f"v{place}"
        text = outside(place, variable)
        if re.fullmatch(r"[A-Za-z]\w*", text):
            return text
        truth = self.program.is_truth(place)
        self.let(place, variable, f"{text} != 0" if truth else text)
        return variable

    def _operation(self, place: int, values: Sequence[str]) -> str:
        operation = self.program.operations[place]
        what = operation.name
        if what in _INFIX:
            return f"{values[0]} {_INFIX[what]} {values[1]}"
        if what in ("min", "max"):
            return self._extreme(operation.arguments, values, what)
        if what == "select":
            return f"{values[0]} ? {values[1]} : {values[2]}"
        if what in ("neg", "not"):
            return f"{'-' if what == 'neg' else '!'}{values[0]}"
        if what in ("sigmoid", "softplus"):
            return f"{what}({values[0]})"
        what = "fabs" if what == "abs" else what
        return f"{of_width(what, self.bits)}({', '.join(values)})"

    def _extreme(self, arguments: Sequence[int], values: Sequence[str], what: str) -> str:
        """Smaller or larger of two; NaN where either is: the second is taken then, so a constant goes first."""
        a, b = values
        constants = [self.program.value(argument) is not None for argument in arguments]
        if constants[1]:
            a, b = b, a
        first = f"{a} {'<' if what == 'min' else '>'} {b}" + ("" if any(constants) else f" || {a} != {a}")
        return f"{first} ? {a} : {b}"

    def assign(self, variables: Sequence[str], values: Sequence[str]) -> None:
        """Write assignments as if all were done at once."""
        changed = {variable for variable, value in zip(variables, values, strict=True) if variable != value}
        kept: dict[str, str] = {}
        for value in values:
            if value in changed and value not in kept:
                kept[value] = f"before_{value}"
                self.do(f"const real {kept[value]} = {value};")
        for variable, value in zip(variables, values, strict=True):
            if variable != value:
                self.do(f"{variable} = {kept.get(value, value)};")


def of_width(function: str, bits: int) -> str:
    """Name of a function of C's mathematics for a width of numbers."""
    return f"{function}f" if bits == 32 else function


def _rounded(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _shortest(value: float) -> str:
    """Fewest digits that are read as this number in single precision."""
    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        if _rounded(float(text)) == value:
            break
    return text if re.search(r"[.e]", text) else f"{text}.0"
