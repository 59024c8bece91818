"""Print a season as C, one simulation at a time: plain C for a processor, CUDA C with one thread per simulation.

Both have the same functions, ``once``, ``rows`` and the job itself, over the arrays that
`torchcrop.kernels.llvm.ARGUMENTS` names, in a structure of that order. What is carried from day to day stands in local
variables under its own name, as do inputs; ``v12`` is the value of operation 12. In a processor's code each function is
``void (const Arguments *, first, last)``; in CUDA each is a kernel that is given the arrays one after the other, first
and last, and each of its threads does one simulation, or one of its tangents (``rows``: one row; ``once``: all).

The way back keeps what is carried every `SEGMENT` days in ``scratch``, of ``[segments, n, last - first]``, and runs the
days of a segment again before it goes through them backwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torchcrop.kernels import plans
from torchcrop.kernels.c_text import LOCAL, Names, Text, of_width
from torchcrop.kernels.llvm import ARGUMENTS
from torchcrop.kernels.plans import Binding, Plan
from torchcrop.kernels.season import SeasonProgram
from torchcrop.kernels.stages import Stage

__all__ = ["SEGMENT", "THREADS", "Printed", "printed"]

SEGMENT = 14
"""Days between two checkpoints of the way back."""
THREADS = 128
"""Threads of a block."""

_WHOLE = ("days", "size", "rows", "tangents")
_INDICES = ("base", "last")
# What is written to; in the structure all arrays of numbers are alike.
_WRITTEN = frozenset(
    (*LOCAL, "daily", "carried", "by_own", "by_events", "daily_tangents", "carried_tangents", "scratch")
)


# --- a season -----------------------------------------------------------------------------------------------


class _Season(Text):
    """A function of one simulation, with what its parts share: where values stand."""

    def begin(self) -> None:
        """Find the simulation's calendar."""
        i = "0" if self.plan.binding.one_calendar else "i"
        self.do(f"const whole base_row = base[{i}], last_row = last_of[{i}];")
        self.shared = {place: k for k, place in enumerate(self.plan.shared)}
        self.table = {place: k for k, place in enumerate(self.plan.table)}
        self.columns = {name: k for k, name in enumerate(self.plan.binding.raw)}

    def of_size(self, array: str, row: str) -> str:
        """Element, in an array of ``[row, size]``, of this simulation."""
        return f"{array}[({row}) * size + i]"

    def early(self, place: int, name: str) -> str:
        """Find what an earlier stage has handed over."""
        stage = self.plan.stages.of[place]
        if stage == Stage.ONCE:
            return f"shared[{self.shared[place]}]"
        if stage == Stage.LANE:
            return self.lane[place]
        return f"table[{self.table[place]} * rows + row]"

    def own(self, place: int, name: str) -> str:
        """Find an input of the simulation, or what the stage ONCE has handed over."""
        if self.plan.stages.of[place] == Stage.ONCE:
            return self.early(place, name)
        k = self.plan.binding.own.index(self.program.operations[place].value)
        return self.of_size("own", str(k))

    def of_day(self, place: int, name: str) -> str:
        """Find an input of the day; what is carried, and its cotangents, are variables."""
        if self.plan.stages.of[place] < Stage.DAY:
            return self.early(place, name)
        kind, *rest = self.program.operations[place].value
        if kind == "t":
            return "(real)t"
        if kind == "weather":
            return f"table[{self.columns[kind, *rest]} * rows + row]"
        if kind == "event":
            k = self.plan.binding.events.index((kind, *rest))
            return self.of_size("events", f"{k} * days + t")
        return name

    def lanes_start(self, carried: Sequence[int]) -> None:
        """Stage LANE; then define what is carried, by number."""
        start = self.plan.results["start"]
        wanted = [*self.plan.lane, *(start[i] for i in carried)]
        name = self.operations(self.plan.within(Stage.LANE, wanted), self.own)
        self.lane = {place: name(place) for place in self.plan.lane}
        for i in carried:
            self.do(f"real {self.names.carried(i)} = {name(start[i])};")

    def begin_day(self) -> None:
        """Find today's row."""
        self.do("const whole row = base_row + t < last_row ? base_row + t : last_row;")

    def days(self, day: Callable[[], None]) -> None:
        """Write the loop over days, until the simulation no longer lives; the number of days is then in ``stop``."""
        self.do("whole t = 0;")
        self.do("bool lives = true;")
        self.block("for (; t < days && lives; t++)", day)
        self.do("const whole stop = t;")

    def step(self, carried: Sequence[int], more: Sequence[int] = ()) -> Callable[[int], str]:
        """Write a day's operations, for what is carried (by number) and for further results."""
        after = self.plan.results["after"]
        return self.operations(self.plan.within(Stage.DAY, [*(after[i] for i in carried), *more]), self.of_day)

    def carry(self, name: Callable[[int], str], carried: Sequence[int]) -> None:
        """End a day: what is carried changes."""
        after = self.plan.results["after"]
        self.assign([self.names.carried(i) for i in carried], [name(after[i]) for i in carried])

    def see_whether_it_lives(self) -> None:
        """A simulation whose life is no number goes on."""
        self.do(f"lives = !({self.names.carried(self.names.season.live)} == 0);")

    def fill(self, array: str, before: str = "") -> None:
        """Rows after the end: the last one's, or 0."""
        held = self.names.season.held
        width = len(held)

        def row() -> None:
            for j, keeps in enumerate(held):
                last = self.of_size(array, f"({before}stop - 1) * {width} + {j}") if keeps else "0"
                self.do(f"{self.of_size(array, f'({before}t) * {width} + {j}')} = {last};")

        if held:
            self.block("for (t = stop; t < days; t++)", row)


# --- jobs ---------------------------------------------------------------------------------------------------


def _once(plan: Plan, names: Names, bits: int) -> Text:
    """``shared`` from ``own``, here the shared inputs."""
    text = Text(plan, names, bits)
    places = {name: k for k, name in enumerate(plan.binding.shared)}

    def outside(place: int, name: str) -> str:
        return f"own[{places[plan.program.operations[place].value]}]"

    name = text.operations(plan.within(Stage.ONCE, plan.shared), outside)
    for k, place in enumerate(plan.shared):
        text.do(f"shared_to[{k}] = {name(place)};")
    return text


def _rows(plan: Plan, names: Names, bits: int) -> Text:
    """``table`` from ``raw`` and ``shared``, of row i."""
    text = Text(plan, names, bits)
    shared = {place: k for k, place in enumerate(plan.shared)}
    columns = {name: k for k, name in enumerate(plan.binding.raw)}

    def outside(place: int, name: str) -> str:
        if plan.stages.of[place] == Stage.ONCE:
            return f"shared[{shared[place]}]"
        return f"raw[{columns[plan.program.operations[place].value]} * rows + i]"

    name = text.operations(plan.within(Stage.ROW, plan.table), outside)
    for k, place in enumerate(plan.table):
        text.do(f"table_to[{k} * rows + i] = {name(place)};")
    return text


def _forward(plan: Plan, names: Names, bits: int) -> _Season:
    s = _Season(plan, names, bits)
    everything = range(len(plan.results["after"]))
    kept = plan.results["kept"]

    def day() -> None:
        s.begin_day()
        name = s.step(everything, kept)
        for j, place in enumerate(kept):
            s.do(f"{s.of_size('daily', f't * {len(kept)} + {j}')} = {name(place)};")
        s.carry(name, everything)
        s.see_whether_it_lives()

    s.begin()
    s.lanes_start(everything)
    s.days(day)
    s.fill("daily")
    for k in everything:
        s.do(f"{s.of_size('carried', str(k))} = {names.carried(k)};")
    return s


def _followed(season: SeasonProgram, plan: Plan) -> tuple[list[int], list[int]]:
    """What is carried that the way back reads, and what is kept at its checkpoints."""
    wanted = [place for group in ("by_carried", "by_events", "by_cut") for place in plan.results[group]]
    return plans.followed(plan, plans.index_of(season.program, season.carried), wanted, season.live)


def _reverse(plan: Plan, names: Names, bits: int) -> _Season:
    s = _Season(plan, names, bits)
    read, forwards = _followed(names.season, plan)

    def checkpoint(k: int) -> str:
        return f"scratch[((t / {SEGMENT}) * {len(forwards)} + {k}) * (last - first) + i - first]"

    def keep() -> None:
        for k, i in enumerate(forwards):
            s.do(f"{checkpoint(k)} = {names.carried(i)};")

    def day() -> None:
        s.block(f"if (t % {SEGMENT} == 0)", keep)
        s.begin_day()
        s.carry(s.step(forwards), forwards)
        s.see_whether_it_lives()

    def again() -> None:
        for i in read:
            s.do(f"{names.path(i)}[t - begin] = {names.carried(i)};")
        s.begin_day()
        s.carry(s.step(forwards), forwards)

    def segment() -> None:
        s.do(f"const whole end = begin + {SEGMENT} < stop ? begin + {SEGMENT} : stop;")
        s.do("t = begin;")
        for k, i in enumerate(forwards):
            s.do(f"{names.carried(i)} = {checkpoint(k)};")
        s.block("for (; t < end; t++)", again)
        s.block("for (t = end - 1; t >= begin; t--)", lambda: _back(s, read))

    s.begin()
    s.lanes_start(forwards)
    s.days(day)
    _begin_back(s)
    for i in read:
        s.do(f"real {names.path(i)}[{SEGMENT}];")
    s.block(f"for (whole begin = (stop - 1) / {SEGMENT} * {SEGMENT}; begin >= 0; begin -= {SEGMENT})", segment)
    _finish_back(s)
    return s


def _begin_back(s: _Season) -> None:
    """Cotangents at the end, and those of the rows after it, which repeat the last one."""
    season, results = s.names.season, s.plan.results
    for i in range(len(results["after"])):
        s.do(f"real {s.names.input(('cotangent', 'carried', i))} = {s.of_size('by_carried', str(i))};")
    for k in range(len(results["by_cut"])):
        s.do(f"real cut_{k} = 0;")
    held = [j for j, keeps in enumerate(season.held) if keeps]
    for j in held:
        s.do(f"real later_{j} = 0;")

    def row() -> None:
        for j in held:
            s.do(f"later_{j} += {s.of_size('by_daily', f't * {len(season.held)} + {j}')};")
        for k in range(len(results["by_events"])):
            s.do(f"{s.of_size('by_events', f'{k} * days + t')} = 0;")

    if held or results["by_events"]:
        s.block("for (t = stop; t < days; t++)", row)


def _back(s: _Season, read: Sequence[int]) -> None:
    """Go through a day backwards."""
    season, names, results = s.names.season, s.names, s.plan.results
    width = len(season.held)
    for i in read:
        s.do(f"const real {names.carried(i)} = {names.path(i)}[t - begin];")
    s.begin_day()

    def outside(place: int, name: str) -> str:
        value = s.program.operations[place].value
        if s.plan.stages.of[place] == Stage.DAY and value is not None and value[:2] == ("cotangent", "row"):
            j = value[2]
            today = s.of_size("by_daily", f"t * {width} + {j}")
            return f"{today} + later_{j}" if season.held[j] else today
        return s.of_day(place, name)

    wanted = [*results["by_carried"], *results["by_events"], *results["by_cut"]]
    name = s.operations(s.plan.within(Stage.DAY, wanted), outside)
    for k, place in enumerate(results["by_events"]):
        s.do(f"{s.of_size('by_events', f'{k} * days + t')} = {name(place)};")
    for k, place in enumerate(results["by_cut"]):
        s.do(f"cut_{k} += {name(place)};")
    variables = [names.input(("cotangent", "carried", i)) for i in range(len(results["after"]))]
    s.assign(variables, [name(place) for place in results["by_carried"]])
    for j, keeps in enumerate(season.held):
        if keeps:
            s.do(f"later_{j} = 0;")


def _finish_back(s: _Season) -> None:
    """From the cotangents of the start and of what was computed once to those of the inputs."""
    n = len(s.plan.results["after"])

    def outside(place: int, name: str) -> str:
        if s.plan.stages.of[place] < Stage.END:
            return s.early(place, name)
        _, i = s.program.operations[place].value
        return s.names.input(("cotangent", "carried", i)) if i < n else f"cut_{i - n}"

    def inputs() -> None:
        by_own = s.plan.results["by_own"]
        name = s.operations(s.plan.within(Stage.END, by_own), outside)
        for k, place in enumerate(by_own):
            s.do(f"{s.of_size('by_own', str(k))} = {name(place)};")

    s.block("", inputs)


def _tangents(plan: Plan, names: Names, bits: int) -> _Season:
    """A thread carries one tangent along, number ``q``; that of the first writes the season too."""
    s = _Season(plan, names, bits)
    results = plan.results
    everything, width = range(len(results["after"])), len(results["kept"])
    tangents_carried = [names.input(("tangent", "carried", k)) for k in everything]
    tangents_cut = [names.input(("tangent", "cut", k)) for k in range(len(results["d_cut"]))]

    def outside(place: int, name: str) -> str:
        """Find an input of a tangent."""
        if plan.stages.of[place] == Stage.DAY:
            return name  # the day's operations stand before
        if plan.stages.of[place] < Stage.DAY:
            return s.early(place, name)
        _, what, k = plan.program.operations[place].value
        if what == "own":
            return s.of_size("own_tangents", f"q * {len(plan.binding.active)} + {k}")
        if what == "event":
            return s.of_size("event_tangents", f"(q * {len(plan.binding.active_events)} + {k}) * days + t")
        return name

    def start() -> None:
        wanted = [*results["d_start"], *results["d_cut"]]
        name = s.operations(plan.within(Stage.TANGENT_START, wanted), outside)
        s.assign([*tangents_carried, *tangents_cut], [name(place) for place in wanted])

    def row(values: Sequence[str]) -> None:
        for j, value in enumerate(values):
            s.do(f"{s.of_size('daily', f't * {width} + {j}')} = {value};")

    def of_tangent() -> None:
        name = s.operations(plan.within(Stage.TANGENT_DAY, [*results["d_after"], *results["d_kept"]]), outside)
        for j, place in enumerate(results["d_kept"]):
            s.do(f"{s.of_size('daily_tangents', f'(q * days + t) * {width} + {j}')} = {name(place)};")
        s.assign(tangents_carried, [name(place) for place in results["d_after"]])

    def day() -> None:
        s.begin_day()
        name = s.step(everything, [*results["kept"], *plan.coefficients])
        values = [name(place) for place in (*results["kept"], *plan.coefficients)]
        if width:
            s.block("if (q == 0)", partial(row, values[:width]))
        s.block("", of_tangent)
        s.carry(name, everything)
        s.see_whether_it_lives()

    def of_season() -> None:
        s.fill("daily")
        for k in everything:
            s.do(f"{s.of_size('carried', str(k))} = {names.carried(k)};")

    s.begin()
    s.lanes_start(everything)
    for variable in (*tangents_carried, *tangents_cut):
        s.do(f"real {variable};")
    s.block("", start)
    s.days(day)
    s.block("if (q == 0)", of_season)
    s.fill("daily_tangents", "q * days + ")
    for k, variable in enumerate(tangents_carried):
        s.do(f"{s.of_size('carried_tangents', f'q * {len(everything)} + {k}')} = {variable};")
    return s


# --- modules ------------------------------------------------------------------------------------------------

_JOBS: dict[str, tuple[Callable[[SeasonProgram, Binding], Plan], Callable[[Plan, Names, int], Text]]] = {
    "forward": (plans.forward, _forward),
    "reverse": (plans.reverse, _reverse),
    "tangents": (plans.tangents, _tangents),
}
_PLAIN = """\
#include <math.h>
#include <stdbool.h>

#define INLINE static inline
#define INFINITE INFINITY
#define NOT_A_NUMBER NAN
"""
_CUDA = """\
#define INLINE static __device__ __forceinline__
#define INFINITE __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fffffff)
"""


@dataclass(frozen=True)
class Printed:
    """Source of a job.

    Attributes
    ----------
    text : str
        ``once``, ``rows`` (where the binding has drivers by row) and the job.
    plan : Plan
        What it was printed from: as long as its ``shared`` and ``table`` are those arrays.
    kept : int
        Numbers of a checkpoint of the way back; 0 for other jobs.
    """

    text: str
    plan: Plan
    kept: int


def printed(season: SeasonProgram, binding: Binding, bits: int, job: str, *, cuda: bool) -> Printed:
    """Print a job (``"forward"``, ``"reverse"``, ``"tangents"``) as CUDA C, or as plain C."""
    planned, body = _JOBS[job]
    plan = planned(season, binding)
    names = Names(season)
    functions = {"once": _once(plan, names, bits)}
    if binding.by_row:
        functions["rows"] = _rows(plan, names, bits)
    functions[job] = body(plan, names, bits)
    parts = [_CUDA if cuda else _PLAIN, _declarations(bits)]
    for name, text in functions.items():
        parts += [_function(name, text.lines), _kernel(name) if cuda else _loop(name)]
    kept = len(_followed(season, plan)[1]) if job == "reverse" else 0
    return Printed("\n".join(parts), plan, kept)


def _declarations(bits: int) -> str:
    """Types, and the functions that C does not have."""
    exp, log1p, fabs = (of_width(name, bits) for name in ("exp", "log1p", "fabs"))
    fields = "\n".join(f"    {_kind(name)}{name};" for name in ARGUMENTS)
    return (
        f"typedef long long whole;\ntypedef {'float' if bits == 32 else 'double'} real;\n\n"
        f"typedef struct {{\n{fields}\n}} Arguments;\n\n"
        f"INLINE real sigmoid(real x) {{\n    return 1 / (1 + {exp}(-x));\n}}\n\n"
        f"INLINE real softplus(real x) {{\n    return (0 > x ? 0 : x) + {log1p}({exp}(-{fabs}(x)));\n}}\n"
    )


def _kind(name: str) -> str:
    if name in _WHOLE:
        return "whole "
    return "const whole *" if name in _INDICES else "real *"


def _function(name: str, lines: Sequence[str]) -> str:
    """A function of one simulation, with the arrays that it uses as local names."""
    used = set(re.findall(r"\b[a-z_]\w*\b", "\n".join(lines)))
    head = [f"INLINE void {name}_of(Arguments given, whole first, whole last, whole i, whole q) {{"]
    head += [f"    const whole {whole} = given.{whole};" for whole in ("days", "size", "rows") if whole in used]
    for local in (*ARGUMENTS, *LOCAL):
        if local in used and local not in _WHOLE and local != "last":
            field = LOCAL.get(local, local)
            kind = "const whole" if field in _INDICES else "real" if local in _WRITTEN else "const real"
            head.append(f"    {kind} *__restrict__ {local} = given.{field};")
    return "\n".join([*head, *lines, "}\n"])


def _loop(name: str) -> str:
    return (
        f"void {name}(const Arguments *given, whole first, whole last) {{\n"
        f"    for (whole i = first; i < last; i++) {name}_of(*given, first, last, i, 0);\n}}\n"
    )


def _kernel(name: str) -> str:
    """A kernel, given one number or address after the other; ``q`` is a tangent's number."""
    given = ", ".join(f"{_kind(field)}{field}" for field in ARGUMENTS)
    return (
        f'extern "C" __global__ void __launch_bounds__({THREADS}) {name}(\n    {given},\n'
        f"    whole from_first, whole to_last) {{\n"
        f"    const Arguments given = {{{', '.join(ARGUMENTS)}}};\n"
        f"    const whole i = from_first + (whole)blockIdx.x * blockDim.x + threadIdx.x;\n"
        f"    if (i < to_last) {name}_of(given, from_first, to_last, i, blockIdx.y);\n}}\n"
    )
