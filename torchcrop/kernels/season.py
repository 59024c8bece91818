"""A season as one program: what a run puts in, what a day carries over to the next, what is kept.

The engine's own day is traced, so that the kernel is the engine by construction: rates, reductions, dates, the end of
life. Inputs have names: of a parameter its path, of a table's point its path, axis and place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table
from torchcrop.kernels.lowerings import lower
from torchcrop.kernels.program import Program
from torchcrop.kernels.trace import Symbol, Untraceable, places_of, recording, symbols
from torchcrop.models.model import Day, Model, Weather
from torchcrop.quantities import Record
from torchcrop.simulation.batch import EVENT_KINDS, modified
from torchcrop.simulation.engine import Carry, DayLoop, Recording

__all__ = ["Layout", "SeasonProgram", "trace_season"]

Name = tuple[Any, ...]


@dataclass(frozen=True)
class Layout:
    """What decides a season's list of operations, beside the values.

    Attributes
    ----------
    model : Model
        With its choices; reliefs that are tensors are inputs.
    switches : Switches
        Treatment of thresholds.
    recording : Recording
        What is kept.
    points : tuple of (path, (int, int), str)
        Of every table of the parameters: number of breakpoints and its ends.
    events : tuple of str
        Kinds of events by day.
    stages : tuple of (str, int)
        Kinds of events by stage, with the points of their tables.
    modifiers : tuple of str
        Changes of the weather.
    overrides : tuple of str
        States that start from given values.
    same : tuple of (name, name)
        Breakpoints of shared tables that are the same number as another, which stands for them: many tables of a crop
        turn at the same stages, and where a day stands to a breakpoint is then computed once.
    """

    model: Model
    switches: Switches
    recording: Recording
    points: tuple[tuple[Name, int, str], ...]
    events: tuple[str, ...] = ()
    stages: tuple[tuple[str, int], ...] = ()
    modifiers: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    same: tuple[tuple[Name, Name], ...] = ()


@dataclass(frozen=True)
class SeasonProgram:
    """The operations of a season.

    Attributes
    ----------
    layout : Layout
        What was traced.
    program : Program
        All operations, of the start and of a day.
    start : list of int
        Places of what is carried at the start of the first day.
    carried : list of int
        Inputs of the day: what is carried, at its start.
    after : list of int
        Places of the same at its end.
    kept : list of int
        Places of the day's row.
    names : list of str
        What is carried, by name.
    held : list of bool
        Of each column of the row, whether it keeps its last value after the end of life.
    live : int
        Which of the carried values is 1 while the simulation lives.
    """

    layout: Layout
    program: Program
    start: list[int]
    carried: list[int]
    after: list[int]
    kept: list[int]
    names: list[str]
    held: list[bool]
    live: int

    def content(self) -> tuple[Any, ...]:
        """What the season computes, to be compared and hashed."""
        places = (self.start, self.carried, self.after, self.kept)
        return (tuple(self.program.operations), *(tuple(p) for p in places), tuple(self.names), tuple(self.held))


def trace_season(layout: Layout) -> SeasonProgram:
    """Trace a model's start and its day, with the engine's step around it.

    Raises
    ------
    Untraceable
        If the model asks for a number, or uses an operation that has no rule.
    """
    try:
        return _traced(layout)
    except Untraceable:
        raise
    except Exception as problem:
        # What fails on the way is the model's own affair with tensors that have no numbers.
        raise Untraceable(f"tracing the day failed: {type(problem).__name__}: {problem}") from problem


def _traced(layout: Layout) -> SeasonProgram:
    program = Program()
    with recording(program, lower):
        model = _with_reliefs(program, layout.model)
        params = _parameters(program, model.Parameters, layout, ("params",))
        switches = layout.switches
        loop = DayLoop(model, params, None, _lane(program, "length"), switches, layout.recording, {})
        first = model.initial(params, switches)
        first = first.replace(**{name: symbols(program, [("initial", name)]) for name in layout.overrides})
        began = loop.start(first, 1, torch.zeros((), dtype=torch.float64))
        t = symbols(program, [("t",)])
        carry = _inputs(program, began)
        ended, row = loop.day(carry, t, _day(program, model, params, layout, t))
    start, carried, after = (_flat(program, c) for c in (began, carry, ended))
    names = _carried_names(model, layout.recording)
    return SeasonProgram(
        layout=layout,
        program=program,
        start=start,
        carried=carried,
        after=after,
        kept=[int(p) for p in np.ravel(places_of(program, row))],
        names=names,
        held=[name in loop.held for name in layout.recording.daily],
        live=names.index("live"),
    )


def _with_reliefs(program: Program, model: Model) -> Model:
    shares = {
        stress: symbols(program, [("relief", stress)]) if isinstance(share, torch.Tensor) else share
        for stress, share in model.relief.items()
    }
    return replace(model, relief=shares)


def _parameters(program: Program, kind: type[Record], layout: Layout, path: Name) -> Any:
    values: dict[str, Any] = {}
    tables = {path: (n, ends) for path, n, ends in layout.points}
    for name, quantity in kind.quantities().items():
        here = (*path, name)
        if quantity.record is not None:
            values[name] = _parameters(program, quantity.record, layout, here)
        elif here in tables:
            values[name] = _table(program, here, *tables[here], dict(layout.same)).prepared()
        else:
            values[name] = symbols(program, [here])
    return kind._rebuild(values.values(), None)


def _table(program: Program, path: Name, points: int, ends: str, same: Mapping[Name, Name]) -> Table:
    x, y = ([(*path, axis, i) for i in range(points)] for axis in ("x", "y"))
    return Table(symbols(program, [same.get(name, name) for name in x]), symbols(program, y), ends)


def _lane(program: Program, what: str) -> Symbol:
    return symbols(program, [("lane", what)])


def _day(program: Program, model: Model, params: Any, layout: Layout, t: Symbol) -> Day:
    names = Weather.quantities()
    weather = Weather(**{name: symbols(program, [("weather", name)]) for name in names})
    if layout.modifiers:
        weather = modified(weather, {name: symbols(program, [("modifier", name)]) for name in layout.modifiers})
    doy = symbols(program, [("weather", "doy")])
    time = _lane(program, "time") + t
    zero = torch.zeros(1, dtype=torch.float64)
    events = {kind: symbols(program, [("event", kind)]) if kind in layout.events else zero for kind in EVENT_KINDS}
    return Day(
        weather=weather,
        drivers=model.drivers(weather, doy, time, params, layout.switches),
        doy=doy,
        time=time,
        sown=(_lane(program, "sown") <= t).to(torch.float64),
        by_stage={kind: _table(program, ("stage", kind), n, "hold", {}) for kind, n in layout.stages},
        **events,
    )


def _inputs(program: Program, like: Carry) -> Carry:
    def of(name: str, value: Any) -> Symbol:
        array = np.empty(tuple(value.shape), dtype=object)
        for index in np.ndindex(array.shape):
            array[index] = ("carried", name, *index)
        return symbols(program, array)

    return Carry(
        states=of("states", like.states),
        live=of("live", like.live),
        shares=of("shares", like.shares),
        rows=of("rows", like.rows),
        reduced=tuple(of(f"reduced {i}", value) for i, value in enumerate(like.reduced)),
    )


def _flat(program: Program, carry: Carry) -> list[int]:
    parts = (carry.states, carry.live, carry.shares, carry.rows, *carry.reduced)
    return [int(p) for part in parts for p in np.ravel(places_of(program, part))]


def _carried_names(model: Model, recording: Recording) -> list[str]:
    reduced = [f"{how}({name})" for how, name in recording.reduced]
    return [*model.State.quantities(), "live", *(f"beyond {e}" for e in model.events), "rows", *reduced]
