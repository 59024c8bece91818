"""Print a season as LLVM IR: vectors of simulations, the loop over days inside.

One function per job (`rows`, `forward`, `reverse`, `tangent`), each ``void (ptr arguments, i64 first, i64 last)`` over
blocks of as many simulations as a vector of the machine has lanes. `arguments` points to a table of 64-bit numbers and
addresses, by the places in `ARGUMENTS`. Arrays have simulations last, padded to whole blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Sequence

from torchcrop.kernels.elementary import definitions
from torchcrop.kernels.program import Program

__all__ = ["ARGUMENTS", "Function", "module"]

ARGUMENTS = (
    "days",
    "size",  # simulations, padded
    "rows",  # rows of all calendars, padded
    "shared",  # [n]: values of stage ONCE
    "own",  # [n, size]: inputs of single simulations
    "raw",  # [n, rows]: weather, time
    "table",  # [n, rows]: values of stage ROW
    "base",  # [size], int64: row of a simulation's first day
    "last",  # [size], int64: row of its last day
    "events",  # [n, days, size]: amounts of single simulations
    "scratch",
    "daily",  # [days, n, size]
    "carried",  # [n, size]: at the end
    "by_daily",  # cotangent of `daily`
    "by_carried",  # cotangent of `carried`
    "by_own",  # [n, size]: cotangent of the active inputs
    "by_events",  # [n, days, size]: cotangent of the active amounts
    "tangents",  # how many
    "own_tangents",  # [tangents, n, size]
    "event_tangents",  # [tangents, n, days, size]
    "carried_tangents",  # [tangents, n, size]
    "daily_tangents",  # [tangents, days, n, size]
)
"""What a kernel is given, in order."""

_ELEMENTARY = frozenset(
    ("exp", "expm1", "log", "log1p", "sigmoid", "softplus", "sin", "cos", "tan", "asin", "acos", "atan", "tanh", "pow")
)
_BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
# A day of gates and shares far from their thresholds is full of subnormal numbers, at twice the time of others.
_FLUSH = """  %modes = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %modes)
  %mode = load i32, ptr %modes
  %flushing = or i32 %mode, 32832
  %flushing_modes = alloca i32
  store i32 %flushing, ptr %flushing_modes
  call void @llvm.x86.sse.ldmxcsr(ptr %flushing_modes)
"""
_RESTORE = "  call void @llvm.x86.sse.ldmxcsr(ptr %modes)\n"
_COMPARE = {"lt": "olt", "le": "ole", "eq": "oeq"}
_DECIDING = frozenset({*_COMPARE, "floor"})


class Function:
    """Text of one function, in the making.

    Parameters
    ----------
    name : str
    bits : {32, 64}
        Width of a number.
    lanes : int
        Numbers of a vector.
    """

    def __init__(self, name: str, bits: int, lanes: int) -> None:
        self.name, self.bits, self.lanes = name, bits, lanes
        self.scalar = "float" if bits == 32 else "double"
        self.vector = f"<{lanes} x {self.scalar}>"
        self.mask = f"<{lanes} x i1>"
        self.elementary: set[str] = set()
        self.lines: list[str] = []
        self._count = 0
        self._arguments: dict[str, str] = {}

    # --- text -----------------------------------------------------------------------------------------------

    def new(self, stem: str = "v") -> str:
        """Give a fresh name."""
        self._count += 1
        return f"%{stem}{self._count}"

    def let(self, text: str, stem: str = "v") -> str:
        """Write ``name = text`` and give the name."""
        name = self.new(stem)
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        """Write a line."""
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        """Start a basic block."""
        self.lines.append(f"{name}:")

    def argument(self, name: str, kind: str = "i64") -> str:
        """Give an argument of the table; must first be asked for in the entry block."""
        if name not in self._arguments:
            place = self.let(f"getelementptr i64, ptr %arguments, i64 {ARGUMENTS.index(name)}")
            self._arguments[name] = self.let(f"load {kind}, ptr {place}", name)
        return self._arguments[name]

    def number(self, value: float | bool) -> str:
        """Text of a constant vector."""
        if isinstance(value, bool):
            return f"splat (i1 {'true' if value else 'false'})"
        if self.bits == 32:
            value = _to_float32(value)
        return f"splat ({self.scalar} 0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X})"

    def splat(self, scalar: str, kind: str | None = None) -> str:
        """Give a vector of one number."""
        kind = kind or self.scalar
        one = self.let(f"insertelement <{self.lanes} x {kind}> poison, {kind} {scalar}, i64 0")
        return self.let(
            f"shufflevector <{self.lanes} x {kind}> {one}, <{self.lanes} x {kind}> poison, "
            f"<{self.lanes} x i32> zeroinitializer"
        )

    # --- memory ---------------------------------------------------------------------------------------------

    def sum(self, *terms: str) -> str:
        """Sum of whole numbers."""
        total = terms[0]
        for term in terms[1:]:
            total = term if total == "0" else total if term == "0" else self.let(f"add i64 {total}, {term}")
        return total

    def times(self, a: str | int, b: str | int) -> str:
        """Product of whole numbers."""
        if 0 in (a, b):
            return "0"
        return str(b) if a == 1 else str(a) if b == 1 else self.let(f"mul i64 {a}, {b}")

    def at(self, pointer: str, offset: str) -> str:
        """Address of a number."""
        return pointer if offset == "0" else self.let(f"getelementptr {self.scalar}, ptr {pointer}, i64 {offset}")

    def load(self, address: str) -> str:
        """Load a vector from an address that is a multiple of its size."""
        return self.let(f"load {self.vector}, ptr {address}, align {self.lanes * self.bits // 8}")

    def store(self, value: str, address: str) -> None:
        """Store a vector."""
        self.do(f"store {self.vector} {value}, ptr {address}, align {self.lanes * self.bits // 8}")

    def load_one(self, address: str) -> str:
        """Load a number and spread it over the lanes."""
        return self.splat(self.let(f"load {self.scalar}, ptr {address}"))

    def as_number(self, program: Program, place: int, value: str) -> str:
        """Give a truth value as 1 or 0, for memory; a number as it is."""
        return self.let(f"uitofp {self.mask} {value} to {self.vector}") if program.is_truth(place) else value

    def from_number(self, program: Program, place: int, value: str) -> str:
        """Undo `as_number`."""
        return self.let(f"fcmp one {self.vector} {value}, zeroinitializer") if program.is_truth(place) else value

    # --- loops ----------------------------------------------------------------------------------------------

    def loop(self, stem: str, first: str, last: str, body: Callable[[str], None], down: bool = False) -> None:
        """Write ``for i in first..last``, or downwards from ``last - 1``; the body may have blocks of its own."""
        self._count += 1
        n = self._count
        head, inside, after, before = (f"{stem}_{part}{n}" for part in ("head", "body", "after", "before"))
        counter, following = f"%{stem}{n}", f"%{stem}_next{n}"
        begin = self.let(f"sub i64 {last}, 1") if down else first
        self.do(f"br label %{before}")
        self.label(before)
        self.do(f"br label %{head}")
        self.label(head)
        self.do(f"{counter} = phi i64 [ {begin}, %{before} ], [ {following}, %{stem}_latch{n} ]")
        bound, comparison = (first, "sge") if down else (last, "slt")
        going = self.let(f"icmp {comparison} i64 {counter}, {bound}")
        self.do(f"br i1 {going}, label %{inside}, label %{after}")
        self.label(inside)
        body(counter)
        self.do(f"br label %{stem}_latch{n}")
        self.label(f"{stem}_latch{n}")
        self.do(f"{following} = add i64 {counter}, {-1 if down else 1}")
        self.do(f"br label %{head}")
        self.label(after)

    # --- arithmetic -----------------------------------------------------------------------------------------

    def operations(
        self,
        program: Program,
        places: Iterable[int],
        outside: Callable[[int], str],
        fused: Collection[int] = (),
    ) -> Callable[[int], str]:
        """Write operations, and give what finds the name of a place.

        Parameters
        ----------
        program : Program
        places : iterable of int
            What to write, in order.
        outside : callable
            ``outside(place)`` writes the load of what is not among them.
        fused : collection of int
            Operations whose products and sums the compiler may fuse; none that a comparison follows from, which would
            part a tie.
        """
        names: dict[int, str] = {}

        def name(place: int) -> str:
            if place not in names:
                value = program.value(place)
                names[place] = self.number(value) if value is not None else outside(place)
            return names[place]

        for place in places:
            operation = program.operations[place]
            if operation.name not in ("constant", "input"):
                names[place] = self._operation(program, place, [name(a) for a in operation.arguments], place in fused)
        return name

    def _operation(self, program: Program, place: int, values: Sequence[str], fused: bool) -> str:
        operation = program.operations[place]
        what, vector = operation.name, self.vector
        flags = "contract " if fused else ""
        if what in _BINARY:
            return self.let(f"{_BINARY[what]} {flags}{vector} {values[0]}, {values[1]}")
        if what in _COMPARE:
            return self.let(f"fcmp {_COMPARE[what]} {vector} {values[0]}, {values[1]}")
        if what in ("min", "max"):
            return self._extreme(program, operation.arguments, values, what)
        if what == "select":
            kind = self.mask if program.is_truth(operation.arguments[1]) else vector
            return self.let(f"select {self.mask} {values[0]}, {kind} {values[1]}, {kind} {values[2]}")
        if what == "neg":
            return self.let(f"fneg {vector} {values[0]}")
        if what in ("and", "or"):
            return self.let(f"{what} {self.mask} {values[0]}, {values[1]}")
        if what == "not":
            return self.let(f"xor {self.mask} {values[0]}, splat (i1 true)")
        if what in ("sqrt", "abs", "floor"):
            intrinsic = {"abs": "fabs"}.get(what, what)
            return self.let(f"call {vector} @llvm.{intrinsic}.v{self.lanes}f{self.bits}({vector} {values[0]})")
        self.elementary.add(what)
        arguments = ", ".join(f"{vector} {value}" for value in values)
        return self.let(f"call fastcc {vector} @tc_{what}({arguments})")

    def _extreme(self, program: Program, arguments: Sequence[int], values: Sequence[str], what: str) -> str:
        """Smaller or larger of two; NaN where either is: the second is taken then, so constants go first."""
        a, b = values
        constants = [program.value(argument) is not None for argument in arguments]
        if constants[1]:
            a, b = b, a
        smaller = self.let(f"fcmp {'olt' if what == 'min' else 'ogt'} {self.vector} {a}, {b}")
        if not any(constants):
            smaller = self.let(f"or {self.mask} {smaller}, {self.let(f'fcmp uno {self.vector} {a}, {a}')}")
        return self.let(f"select {self.mask} {smaller}, {self.vector} {a}, {self.vector} {b}")

    def text(self, flush: bool = False) -> str:
        """Text of the function; with `flush` numbers below the smallest normal one count as 0 in it (x86)."""
        head = f"define void @{self.name}(ptr noalias %arguments, i64 %first, i64 %last) nounwind {{\nentry:\n"
        begin, end = (_FLUSH, _RESTORE) if flush else ("", "")
        return head + begin + "\n".join(self.lines) + f"\n{end}  ret void\n}}\n"


def _compared(program: Program, places: Iterable[int]) -> frozenset[int]:
    """What the comparisons among some operations follow from."""
    operations = (program.operations[place] for place in places)
    return frozenset(program.needed(a for o in operations if o.name in _DECIDING for a in o.arguments))


def _to_float32(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def module(functions: Sequence[Function], flush: bool = False) -> str:
    """Text of a module: functions, and the elementary functions that they use; `flush` is as in `Function.text`."""
    bits, lanes = functions[0].bits, functions[0].lanes
    used: set[str] = set().union(*(f.elementary for f in functions))
    vector = f"<{lanes} x {functions[0].scalar}>"
    declared = {
        name: f"declare {vector} @llvm.{name}.v{lanes}f{bits}({vector})\n"
        for name in ("sqrt", "fabs", "floor")
        if any(f"@llvm.{name}.v{lanes}f{bits}(" in line for f in functions for line in f.lines)
    }
    gather = f"@llvm.masked.gather.v{lanes}f{bits}.v{lanes}p0"
    if any(gather in line for f in functions for line in f.lines):
        declared["gather"] = f"declare {vector} {gather}(<{lanes} x ptr>, i32 immarg, <{lanes} x i1>, {vector})\n"
    elementary = definitions(sorted(used), bits, lanes) if used else ""
    known = "".join(text for text in declared.values() if text.strip() not in elementary)
    return known + elementary + "\n" + "\n".join(f.text(flush) for f in functions)
