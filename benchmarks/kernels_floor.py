"""The arithmetic floor of a core: what the operations of a day's list cost when nothing else is done.

Every operation is measured as the kernel prints it, in a loop of chains that do not depend on each other, as many as
keep the units busy. The time is the slope between a short and a long loop body, so that loads, stores and the loop
itself are not in it.
"""

from __future__ import annotations

import ctypes
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.kernels_timing import seconds
from torchcrop.kernels.kernel import SeasonKernel
from torchcrop.kernels.llvm import ARGUMENTS, Function, module
from torchcrop.kernels.native import Native, compiled, machine
from torchcrop.kernels.plans import forward
from torchcrop.kernels.program import Program
from torchcrop.kernels.stages import Stage

#: Chains of a loop body, values that they combine with, comparisons known before.
CHAINS, OTHERS, MASKS = 12, 12, 4

Step = Callable[[Program, int, Sequence[int], Sequence[int]], int]


def _binary(name: str) -> Step:
    return lambda p, v, w, m: p.add(name, v, w[0])


def _unary(name: str) -> Step:
    return lambda p, v, w, m: p.add(name, v)


def _choice(p: Program, v: int, w: Sequence[int], m: Sequence[int]) -> int:
    return p.add("select", m[0], w[0], v)


def _comparison(name: str) -> Step:
    return lambda p, v, w, m: p.add("select", p.add(name, v, w[0]), w[1], v)


def _logic(p: Program, v: int, w: Sequence[int], m: Sequence[int]) -> int:
    return p.add("select", p.add("and", p.add("lt", v, w[0]), m[0]), w[1], v)


def _after(name: str) -> Step:
    """An operation that would vanish when repeated, with a difference after it."""
    return lambda p, v, w, m: p.add("sub", w[0], p.add(name, v))


def _fused(p: Program, v: int, w: Sequence[int], m: Sequence[int]) -> int:
    return p.add("add", p.add("mul", v, w[0]), w[1])


# Of every operation: what is timed, and what of it is not the operation's own.
_SIMPLE: dict[str, tuple[Step, tuple[str, ...]]] = {
    "add": (_binary("add"), ()),
    "sub": (_binary("sub"), ()),
    "mul": (_binary("mul"), ()),
    "fma": (_fused, ()),
    "div": (lambda p, v, w, m: p.add("div", w[0], v), ()),
    "sqrt": (_unary("sqrt"), ()),
    "min": (_binary("min"), ()),
    "max": (_binary("max"), ()),
    "select": (_choice, ()),
    "lt": (_comparison("lt"), ("select",)),
    "le": (_comparison("le"), ("select",)),
    "eq": (_comparison("eq"), ("select",)),
    "and": (_logic, ("select", "lt")),
    "abs": (_after("abs"), ("sub",)),
    "floor": (_after("floor"), ("sub",)),
}
# What costs as much as another: one operation on masks, or on the sign.
_ALIKE = {"or": "and", "not": "and", "neg": "abs"}


@functools.cache
def cost(name: str, bits: int) -> float:
    """Return the time of an operation on one vector. [ns]"""
    if name in _ALIKE:
        return cost(_ALIKE[name], bits)
    if name in _SIMPLE:
        step, besides = _SIMPLE[name]
        whole = _slope(step, bits, 10, 30, fused=name == "fma")
        return max(0.0, whole - sum(cost(other, bits) for other in besides))
    # Elementary functions are long: few of them, so that the loop stays in the cache of instructions.
    step = _binary("pow") if name == "pow" else _unary(name)
    return _slope(step, bits, 1, 3, fused=False)


def _slope(step: Step, bits: int, few: int, many: int, fused: bool) -> float:
    short, long = (_timed(step, bits, steps, fused) for steps in (few, many))
    return 1e9 * (long - short) / (CHAINS * (many - few))


def _timed(step: Step, bits: int, steps: int, fused: bool) -> float:
    """Return the time of one pass through the loop. [s]"""
    lanes = machine().lanes(bits)
    f = Function("micro", bits, lanes)
    raw, table = f.argument("raw", "ptr"), f.argument("table", "ptr")
    program, results = _chains(step, steps)

    def outside(place: int) -> str:
        return f.load(f.at(raw, str(lanes * program.operations[place].value[1])))

    def body(_: str) -> None:
        places = program.needed(results)
        name = f.operations(program, places, outside, frozenset(places) if fused else ())
        for k, place in enumerate(results):
            f.store(name(place), f.at(table, str(lanes * k)))

    f.loop("again", "%first", "%last", body)
    native = Native(compiled(module([f])), ("micro",))
    dtype = torch.float32 if bits == 32 else torch.float64
    values = 1 + 0.5 * torch.rand(CHAINS + OTHERS, lanes, dtype=dtype, generator=torch.Generator().manual_seed(1))
    given = _aligned(values), _aligned(torch.empty(CHAINS, lanes, dtype=dtype))
    addresses = {"raw": given[0].data_ptr(), "table": given[1].data_ptr()}
    arguments = (ctypes.c_int64 * len(ARGUMENTS))(*[addresses.get(name, 0) for name in ARGUMENTS])
    passes = 1000
    while _seconds(native, arguments, passes) < 1e-3:
        passes *= 2
    return min(_seconds(native, arguments, passes) for _ in range(60)) / passes


def _seconds(native: Native, arguments: Any, passes: int) -> float:
    return seconds(lambda: native("micro", arguments, 0, passes))


def _aligned(values: torch.Tensor) -> torch.Tensor:
    """The same values at an address that is a multiple of 64, as the printed loads expect."""
    size = values.element_size()
    room = torch.empty(values.numel() + 64 // size, dtype=values.dtype)
    begin = -room.data_ptr() % 64 // size
    place = room[begin : begin + values.numel()].view(values.shape)
    return place.copy_(values)


def _chains(step: Step, steps: int) -> tuple[Program, list[int]]:
    p = Program()
    chains = [p.input(("x", k)) for k in range(CHAINS)]
    others = [p.input(("x", CHAINS + k)) for k in range(OTHERS)]
    masks = [p.add("lt", others[k], others[(k + 5) % OTHERS]) for k in range(MASKS)]
    for n in range(steps):
        for k in range(CHAINS):
            # Other operands at every step: the same twice in a row could be simplified.
            w = [others[(k + n + shift) % OTHERS] for shift in (0, 5)]
            chains[k] = step(p, chains[k], w, [masks[(k + n) % MASKS]])
    return p, chains


def counted(kernel: SeasonKernel) -> Counter[str]:
    """Return how many operations of every name the day of a kernel's forward job has."""
    plan = forward(kernel.season, kernel.binding)
    places = plan.within(Stage.DAY, [*plan.results["after"], *plan.results["kept"]])
    return Counter(plan.program.operations[place].name for place in places if _counts(plan.program, place))


def _counts(program: Program, place: int) -> bool:
    return program.operations[place].name not in ("constant", "input")


def floor(kernel: SeasonKernel) -> float:
    """Return the least time of a day of one block of simulations. [ns]"""
    return sum(number * cost(name, kernel.bits) for name, number in counted(kernel).items())
