"""What a season kernel can do: run a season, take cotangents back through it, carry tangents along.

Each job is a plan (`torchcrop.kernels.plans`), lists of the start, the day and the end, here printed as one function of
LLVM IR with the loops around them. A value that is needed later than it is known stands in an array: `shared` and
`table` for all simulations, sections of `scratch` for a block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchcrop.kernels import plans
from torchcrop.kernels.llvm import Function
from torchcrop.kernels.plans import Binding, Plan, followed, index_of
from torchcrop.kernels.program import Program
from torchcrop.kernels.schedule import early, late
from torchcrop.kernels.season import SeasonProgram
from torchcrop.kernels.stages import Stage

__all__ = ["Job", "forward", "reverse", "tangents"]


@dataclass(kw_only=True)
class Job(Plan):
    """A plan and its functions.

    Attributes
    ----------
    bits, lanes : int
        Width of a number, numbers of a vector.
    functions : list of Function
        ``once``, ``rows`` and the job itself.
    scratch : tuple of int
        Vectors of scratch memory for a block: fixed, for each day, for each tangent.
    """

    bits: int
    lanes: int
    functions: list[Function] = field(default_factory=list)
    scratch: tuple[int, int, int] = (0, 0, 0)


# --- the parts that all jobs have ---------------------------------------------------------------------------


def _job(plan: Plan, bits: int, lanes: int) -> Job:
    """A plan with the functions that all jobs begin with."""
    job = Job(**vars(plan), bits=bits, lanes=lanes)
    job.functions += [_once(job), *([_rows(job)] if job.binding.by_row else [])]
    return job


def _once(job: Job) -> Function:
    """``shared`` from ``own`` (here: the shared inputs, one number each)."""
    f = Function("once", job.bits, job.lanes)
    inputs, shared = f.argument("own", "ptr"), f.argument("shared", "ptr")
    places = {name: i for i, name in enumerate(job.binding.shared)}

    def outside(place: int) -> str:
        return f.load_one(f.at(inputs, str(places[job.program.operations[place].value])))

    name = f.operations(job.program, job.within(Stage.ONCE, job.shared), outside)
    for k, place in enumerate(job.shared):
        one = f.let(f"extractelement {f.vector} {f.as_number(job.program, place, name(place))}, i64 0")
        f.do(f"store {f.scalar} {one}, ptr {f.at(shared, str(k))}")
    return f


def _rows(job: Job) -> Function:
    """``table`` from ``raw`` and ``shared``, rows in the lanes."""
    f = Function("rows", job.bits, job.lanes)
    raw, table, shared, rows = (f.argument(n, k) for n, k in _kinds("raw", "table", "shared", "rows"))
    columns = {name: i for i, name in enumerate(job.binding.raw)}

    def body(block: str) -> None:
        column = f.times(block, job.lanes)

        def outside(place: int) -> str:
            if job.stages.of[place] == Stage.ONCE:
                value = f.load_one(f.at(shared, str(job.shared.index(place))))
                return f.from_number(job.program, place, value)
            i = columns[job.program.operations[place].value]
            return f.load(f.at(raw, f.sum(f.times(i, rows), column)))

        name = f.operations(job.program, job.within(Stage.ROW, job.table), outside)
        for k, place in enumerate(job.table):
            f.store(f.as_number(job.program, place, name(place)), f.at(table, f.sum(f.times(k, rows), column)))

    f.loop("block", "%first", "%last", body)
    return f


def _kinds(*names: str) -> list[tuple[str, str]]:
    whole = ("days", "size", "rows", "tangents")
    return [(name, "i64" if name in whole else "ptr") for name in names]


class _Season:
    """A function over blocks of simulations, with what its parts share: where values stand."""

    def __init__(self, job: Job, name: str, arguments: Sequence[str]) -> None:
        self.job = job
        self.f = f = Function(name, job.bits, job.lanes)
        common = ("days", "size", "rows", "shared", "own", "table", "base", "last", "events", "scratch")
        self.args = {n: f.argument(n, kind) for n, kind in _kinds(*common, *arguments)}
        self.stopped = f.let("alloca i64")
        self.shared_places = {place: k for k, place in enumerate(job.shared)}
        self.table_places = {place: k for k, place in enumerate(job.table)}
        self.lane_places = {place: k for k, place in enumerate(job.lane)}
        self.columns = {name: k for k, name in enumerate(job.binding.raw)}
        self.fixed = 0
        self.lane_section = self.section(len(job.lane))
        buffered = 0 if job.binding.one_calendar else max(len(job.table), len(job.binding.raw))
        self.row_section = self.section(buffered)
        self.column = ""
        self.t = ""
        self.time = ""
        self.row = ""

    def section(self, vectors: int) -> int:
        """Reserve a part of the scratch memory of a block."""
        begin, self.fixed = self.fixed, self.fixed + vectors
        return begin

    def scratch(self, offset: int | str, more: str = "0") -> str:
        """Address of a vector of the scratch memory."""
        f = self.f
        return f.at(self.args["scratch"], f.times(f.sum(more, str(offset)) if more != "0" else offset, f.lanes))

    def of_size(self, array: str, *rows: str) -> str:
        """Address, in an array of ``[row, size]``, of this block."""
        f = self.f
        return f.at(self.args[array], f.sum(f.times(f.sum(*rows), self.args["size"]), self.column))

    # --- where values come from -------------------------------------------------------------------------------

    def early(self, place: int) -> str:
        """Load what an earlier stage has handed over."""
        f, stage = self.f, self.job.stages.of[place]
        if stage == Stage.ONCE:
            value = f.load_one(f.at(self.args["shared"], str(self.shared_places[place])))
        elif stage == Stage.LANE:
            value = f.load(self.scratch(self.lane_section + self.lane_places[place]))
        else:
            assert stage == Stage.ROW
            value = self.of_row(self.table_places[place])
        return f.from_number(self.job.program, place, value)

    def own(self, place: int) -> str:
        """Load an input of the simulations, or what the stage ONCE has handed over."""
        if self.job.stages.of[place] == Stage.ONCE:
            return self.early(place)
        i = self.job.binding.own.index(self.job.program.operations[place].value)
        return self.f.load(self.of_size("own", str(i)))

    def of_row(self, column: int) -> str:
        """Load a column of today's row of the calendar."""
        f = self.f
        if not self.job.binding.one_calendar:
            return f.load(self.scratch(self.row_section + column))
        return f.load_one(f.at(self.args["table"], f.sum(f.times(column, self.args["rows"]), self.row)))

    def of_day(self, place: int, carried: Callable[[int], str], seeds: Callable[[Any], str] | None = None) -> str:
        """Load an input of the day; `carried` gives the address of what is carried."""
        job, f = self.job, self.f
        if job.stages.of[place] < Stage.DAY:
            return self.early(place)
        name = job.program.operations[place].value
        if name[0] == "t":
            return self.time
        if name[0] == "weather":
            return self.of_row(self.columns[name])
        if name[0] == "event":
            i = job.binding.events.index(name)
            return f.load(self.of_size("events", f.times(i, self.args["days"]), self.t))
        if name[0] == "carried":
            return f.load(carried(self.carried_index[name]))
        assert seeds is not None
        return seeds(name)

    carried_index: dict[Any, int]

    # --- parts ------------------------------------------------------------------------------------------------

    def begin(self, block: str) -> None:
        """Start a block."""
        f = self.f
        self.column = f.times(block, f.lanes)
        if self.job.binding.one_calendar:
            self.base = f.let(f"load i64, ptr {self.args['base']}")
            self.last = f.let(f"load i64, ptr {self.args['last']}")
        else:
            index = f"<{f.lanes} x i64>"
            for name in ("base", "last"):
                place = f.let(f"getelementptr i64, ptr {self.args[name]}, i64 {self.column}")
                setattr(self, name, f.let(f"load {index}, ptr {place}, align 8"))

    def lanes_start(self, start: Mapping[int, int], carried: Callable[[int], str]) -> None:
        """Stage LANE: hand its values over, and set what is carried (`start`: place by number)."""
        f, job = self.f, self.job
        name = f.operations(job.program, job.within(Stage.LANE, [*job.lane, *start.values()]), self.own)
        for k, place in enumerate(job.lane):
            f.store(f.as_number(job.program, place, name(place)), self.scratch(self.lane_section + k))
        for i, place in start.items():
            f.store(name(place), carried(i))

    def begin_day(self, t: str) -> None:
        """Find today's row."""
        f = self.f
        self.t = t
        self.time = f.splat(f.let(f"sitofp i64 {t} to {f.scalar}"))
        if self.job.binding.one_calendar:
            row = f.let(f"add i64 {self.base}, {t}")
            beyond = f.let(f"icmp sgt i64 {row}, {self.last}")
            self.row = f.let(f"select i1 {beyond}, i64 {self.last}, i64 {row}")
            return
        index = f"<{f.lanes} x i64>"
        row = f.let(f"add {index} {self.base}, {f.splat(t, 'i64')}")
        beyond = f.let(f"icmp sgt {index} {row}, {self.last}")
        row = f.let(f"select <{f.lanes} x i1> {beyond}, {index} {self.last}, {index} {row}")
        width = len(self.job.table) if self.job.binding.by_row else len(self.job.binding.raw)

        def gather(k: str) -> None:
            column = f.at(self.args["table"], f.times(k, self.args["rows"]))
            addresses = f.let(f"getelementptr {f.scalar}, ptr {column}, {index} {row}")
            found = f.let(
                f"call {f.vector} @llvm.masked.gather.v{f.lanes}f{f.bits}.v{f.lanes}p0(<{f.lanes} x ptr> {addresses}, "
                f"i32 {f.bits // 8}, {f.mask} splat (i1 true), {f.vector} poison)"
            )
            f.store(found, self.scratch(self.row_section, k))

        f.loop("column", "0", str(width), gather)

    def lives(self, live: str) -> str:
        """Whether any simulation of the block lives on."""
        f = self.f
        some = f.let(f"fcmp one {f.vector} {live}, zeroinitializer")
        bits = f.let(f"bitcast {f.mask} {some} to i{f.lanes}")
        return f.let(f"icmp ne i{f.lanes} {bits}, 0")

    def days(self, day: Callable[[str], str]) -> None:
        """Write the loop over days; `day` gives whether to go on. The number of days gone through is in `stopped`."""
        f = self.f
        f._count += 1
        n = f._count
        before, head, inside, latch, after = (f"days_{part}{n}" for part in ("start", "head", "body", "latch", "after"))
        f.do(f"br label %{before}")
        f.label(before)
        f.do(f"br label %{head}")
        f.label(head)
        f.do(f"%t{n} = phi i64 [ 0, %{before} ], [ %t_next{n}, %{latch} ]")
        f.do(f"%lives{n} = phi i1 [ true, %{before} ], [ %lives_next{n}, %{latch} ]")
        f.do(f"store i64 %t{n}, ptr {self.stopped}")
        within = f.let(f"icmp slt i64 %t{n}, {self.args['days']}")
        going = f.let(f"and i1 {within}, %lives{n}")
        f.do(f"br i1 {going}, label %{inside}, label %{after}")
        f.label(inside)
        lives = day(f"%t{n}")
        f.do(f"br label %{latch}")
        f.label(latch)
        f.do(f"%t_next{n} = add i64 %t{n}, 1")
        f.do(f"%lives_next{n} = or i1 {lives}, false")
        f.do(f"br label %{head}")
        f.label(after)


def _led_to(program: Program, places: Sequence[int], kind: str) -> set[int]:
    """Operations that depend on inputs of a kind."""
    found: set[int] = set()
    for place in places:
        arguments = program.operations[place].arguments
        if any(a in found or _is_input(program, a, kind) for a in arguments):
            found.add(place)
    return found


def _is_input(program: Program, place: int, kind: str) -> bool:
    operation = program.operations[place]
    return operation.name == "input" and operation.value[0] == kind


# --- forward ------------------------------------------------------------------------------------------------


def forward(season: SeasonProgram, binding: Binding, bits: int, lanes: int) -> Job:
    """Run a season: daily rows, and what is carried at the end."""
    job = _job(plans.forward(season, binding), bits, lanes)
    start, after, kept = job.results.values()
    s = _Season(job, "forward", ("daily", "carried"))
    s.carried_index = index_of(season.program, season.carried)
    f = s.f
    section = s.section(len(after))
    width = len(kept)

    def carried(i: int) -> str:
        return s.scratch(section + i)

    def day(t: str) -> str:
        s.begin_day(t)
        name = f.operations(job.program, job.within(Stage.DAY, [*after, *kept]), lambda p: s.of_day(p, carried))
        for j, place in enumerate(kept):
            f.store(name(place), s.of_size("daily", f.times(t, width), str(j)))
        values = [name(place) for place in after]
        for i, value in enumerate(values):
            f.store(value, carried(i))
        return s.lives(values[season.live])

    def block(b: str) -> None:
        s.begin(b)
        s.lanes_start(dict(enumerate(start)), carried)
        s.days(day)
        if kept:
            _fill(s, season.held)
        for i in range(len(after)):
            f.store(f.load(carried(i)), s.of_size("carried", str(i)))

    f.loop("block", "%first", "%last", block)
    job.functions.append(f)
    job.scratch = (s.fixed, 0, 0)
    return job


def _fill(s: _Season, held: Sequence[bool]) -> None:
    """Rows after the end of all simulations of a block: the last one's, or 0."""
    f, width = s.f, len(held)
    stop = f.let(f"load i64, ptr {s.stopped}")
    last = f.let(f"sub i64 {stop}, 1")

    def row(t: str) -> None:
        for j, keeps in enumerate(held):
            value = f.load(s.of_size("daily", f.times(last, width), str(j))) if keeps else "zeroinitializer"
            f.store(value, s.of_size("daily", f.times(t, width), str(j)))

    f.loop("rest", stop, s.args["days"], row)


# --- reverse ------------------------------------------------------------------------------------------------


def reverse(season: SeasonProgram, binding: Binding, bits: int, lanes: int) -> Job:
    """Cotangents of the active inputs, from those of the daily rows and of what is carried at the end.

    The season is run first, keeping what is carried at the start of every day; then each day is recomputed from it,
    from the last to the first, and gone through backwards.
    """
    job = _job(plans.reverse(season, binding), bits, lanes)
    start, after, by_carried, by_events, by_cut, by_own = job.results.values()
    s = _Season(job, "reverse", ("by_daily", "by_carried", "by_own", "by_events"))
    s.carried_index = index_of(season.program, season.carried)
    f, n, width = s.f, len(after), len(season.kept)
    cotangents, cuts, rows = s.section(n), s.section(len(by_cut)), s.section(width)
    read, forwards = followed(job, s.carried_index, [*by_carried, *by_events, *by_cut], season.live)
    passing = {i: s.section(1) for i in forwards if i not in read}
    places_of_read = {i: k for k, i in enumerate(read)}
    trajectory, each = s.section(len(read)), len(read)

    def at(t: str) -> Callable[[int], str]:
        """Addresses on a day: what the way back reads is kept for every day, the rest has one place."""

        def address(i: int) -> str:
            if i in passing:
                return s.scratch(passing[i])
            return s.scratch(trajectory + places_of_read[i], f.times(t, each))

        return address

    def day(t: str) -> str:
        s.begin_day(t)
        wanted = [after[i] for i in forwards]
        name = f.operations(job.program, job.within(Stage.DAY, wanted), lambda q: s.of_day(q, at(t)))
        values = {i: name(after[i]) for i in forwards}
        tomorrow = at(f.let(f"add i64 {t}, 1"))
        for i, value in values.items():
            f.store(value, tomorrow(i))
        return s.lives(values[season.live])

    def seed(name: Any) -> str:
        _, what, i = name
        if what == "carried":
            return f.load(s.scratch(cotangents + i))
        later = f.load(s.scratch(rows + i))
        today = f.load(s.of_size("by_daily", f.times(s.t, width), str(i)))
        return f.let(f"fadd {f.vector} {today}, {later}")

    def backwards(t: str) -> None:
        s.begin_day(t)
        wanted = [*by_carried, *by_events, *by_cut]
        places = job.within(Stage.DAY, wanted)
        back = _led_to(job.program, places, "cotangent")
        places = late(job.program, places, back | set(job.program.needed(after)))
        name = f.operations(job.program, places, lambda q: s.of_day(q, at(t), seed), fused=back)
        values = [name(place) for place in wanted]
        for i, value in enumerate(values[:n]):
            if job.program.operations[by_carried[i]].value != ("cotangent", "carried", i):
                f.store(value, s.scratch(cotangents + i))
        for k, value in enumerate(values[n : n + len(by_events)]):
            f.store(value, s.of_size("by_events", f.times(k, s.args["days"]), t))
        for k, value in enumerate(values[n + len(by_events) :]):
            address = s.scratch(cuts + k)
            f.store(f.let(f"fadd {f.vector} {f.load(address)}, {value}"), address)
        for j in range(width):
            f.store("zeroinitializer", s.scratch(rows + j))

    def outside_end(place: int) -> str:
        if job.stages.of[place] < Stage.END:
            return s.early(place)
        i = job.program.operations[place].value[1]
        return f.load(s.scratch(cotangents + i if i < n else cuts + i - n))

    def block(b: str) -> None:
        s.begin(b)
        s.lanes_start({i: start[i] for i in forwards}, at("0"))
        s.days(day)
        for i in range(n):
            f.store(f.load(s.of_size("by_carried", str(i))), s.scratch(cotangents + i))
        for k in range(len(by_cut)):
            f.store("zeroinitializer", s.scratch(cuts + k))
        stop = f.let(f"load i64, ptr {s.stopped}")
        _later_rows(s, season.held, rows, stop)
        if by_events:
            _no_later_events(s, len(by_events), stop)
        f.loop("day", "0", stop, backwards, down=True)
        name = f.operations(job.program, job.within(Stage.END, by_own), outside_end)
        for k, place in enumerate(by_own):
            f.store(name(place), s.of_size("by_own", str(k)))

    f.loop("block", "%first", "%last", block)
    job.functions.append(f)
    job.scratch = (s.fixed, each, 0)
    return job


def _later_rows(s: _Season, held: Sequence[bool], rows: int, stop: str) -> None:
    """Add the cotangents of the rows after the end, which repeat the last one."""
    f, width = s.f, len(held)
    for j in range(width):
        f.store("zeroinitializer", s.scratch(rows + j))

    def row(t: str) -> None:
        for j, keeps in enumerate(held):
            if keeps:
                more = f.load(s.of_size("by_daily", f.times(t, width), str(j)))
                f.store(f.let(f"fadd {f.vector} {f.load(s.scratch(rows + j))}, {more}"), s.scratch(rows + j))

    if any(held):
        f.loop("rest", stop, s.args["days"], row)


def _no_later_events(s: _Season, kinds: int, stop: str) -> None:
    f = s.f

    def row(t: str) -> None:
        for k in range(kinds):
            f.store("zeroinitializer", s.of_size("by_events", f.times(k, s.args["days"]), t))

    f.loop("rest", stop, s.args["days"], row)


# --- tangents -----------------------------------------------------------------------------------------------


def tangents(season: SeasonProgram, binding: Binding, bits: int, lanes: int) -> Job:
    """Run a season and carry tangents of the active inputs along, as many as are given.

    Every day its factors are computed once and then applied to one tangent after the other.
    """
    job = _job(plans.tangents(season, binding), bits, lanes)
    start, after, kept, d_start, d_cut, d_after, d_kept = job.results.values()
    outputs = ("daily", "carried", "tangents", "own_tangents", "event_tangents", "carried_tangents", "daily_tangents")
    s = _Season(job, "tangents", outputs)
    s.carried_index = index_of(season.program, season.carried)
    f, n, width = s.f, len(after), len(kept)
    section, factors = s.section(n), s.section(len(job.coefficients))
    each = n + len(d_cut)
    of_tangents = s.fixed
    factor_places = {place: k for k, place in enumerate(job.coefficients)}

    def carried(i: int) -> str:
        return s.scratch(section + i)

    def of_tangent(q: str, k: int) -> str:
        return s.scratch(of_tangents + k, f.times(q, each))

    def begin_tangent(q: str) -> None:
        def outside(place: int) -> str:
            if job.stages.of[place] < Stage.DAY:
                return s.early(place)
            k = job.program.operations[place].value[2]
            return f.load(s.of_size("own_tangents", f.times(q, len(job.binding.active)), str(k)))

        wanted = [*d_start, *d_cut]
        name = f.operations(job.program, job.within(Stage.TANGENT_START, wanted), outside)
        for k, place in enumerate(wanted):
            f.store(name(place), of_tangent(q, k))

    def day_of_tangent(q: str) -> None:
        def outside(place: int) -> str:
            if place in factor_places:
                return f.from_number(job.program, place, f.load(s.scratch(factors + factor_places[place])))
            if job.stages.of[place] < Stage.DAY:
                return s.early(place)
            _, what, k = job.program.operations[place].value
            if what == "event":
                rows = f.times(f.sum(f.times(q, len(job.binding.active_events)), str(k)), s.args["days"])
                return f.load(s.of_size("event_tangents", rows, s.t))
            return f.load(of_tangent(q, k if what == "carried" else n + k))

        wanted = [*d_after, *d_kept]
        places = job.within(Stage.TANGENT_DAY, wanted)
        name = f.operations(job.program, places, outside, fused=frozenset(places))
        values = [name(place) for place in wanted]
        for k, value in enumerate(values[:n]):
            if job.program.operations[d_after[k]].value != ("tangent", "carried", k):
                f.store(value, of_tangent(q, k))
        for j, value in enumerate(values[n:]):
            f.store(value, _tangent_row(s, q, s.t, width, j))

    def day(t: str) -> str:
        s.begin_day(t)
        wanted = [*after, *kept, *job.coefficients]
        places = job.within(Stage.DAY, wanted)
        places = early(job.program, places, set(job.program.needed([*after, *kept])))
        name = f.operations(job.program, places, lambda x: s.of_day(x, carried))
        for j, place in enumerate(kept):
            f.store(name(place), s.of_size("daily", f.times(t, width), str(j)))
        for k, place in enumerate(job.coefficients):
            f.store(f.as_number(job.program, place, name(place)), s.scratch(factors + k))
        values = [name(place) for place in after]
        for i, value in enumerate(values):
            f.store(value, carried(i))
        lives = s.lives(values[season.live])
        f.loop("tangent", "0", s.args["tangents"], day_of_tangent)
        return lives

    def finish_tangent(q: str) -> None:
        for i in range(n):
            f.store(f.load(of_tangent(q, i)), s.of_size("carried_tangents", f.times(q, n), str(i)))
        if width:
            _fill_tangent(s, q, season.held)

    def block(b: str) -> None:
        s.begin(b)
        s.lanes_start(dict(enumerate(start)), carried)
        f.loop("tangent", "0", s.args["tangents"], begin_tangent)
        s.days(day)
        if width:
            _fill(s, season.held)
        for i in range(n):
            f.store(f.load(carried(i)), s.of_size("carried", str(i)))
        f.loop("tangent", "0", s.args["tangents"], finish_tangent)

    f.loop("block", "%first", "%last", block)
    job.functions.append(f)
    job.scratch = (s.fixed, 0, each)
    return job


def _tangent_row(s: _Season, q: str, t: str, width: int, j: int) -> str:
    f = s.f
    day = f.times(f.sum(f.times(q, s.args["days"]), t), width)
    return s.of_size("daily_tangents", day, str(j))


def _fill_tangent(s: _Season, q: str, held: Sequence[bool]) -> None:
    """Tangents of the rows after the end, which repeat the last one."""
    f, width = s.f, len(held)
    stop = f.let(f"load i64, ptr {s.stopped}")
    last = f.let(f"sub i64 {stop}, 1")

    def row(t: str) -> None:
        for j, keeps in enumerate(held):
            value = f.load(_tangent_row(s, q, last, width, j)) if keeps else "zeroinitializer"
            f.store(value, _tangent_row(s, q, t, width, j))

    f.loop("rest", stop, s.args["days"], row)
