"""What a season kernel's jobs compute, before anything is printed: their operations, by stage, and their results.

A plan is the same for every machine. The printers (`torchcrop.kernels.jobs` for LLVM, `torchcrop.kernels.c_code` for C
and CUDA) lay the loops around its lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchcrop.kernels.derivatives import adjoint, linearised, tangent
from torchcrop.kernels.plain import plain
from torchcrop.kernels.program import Program
from torchcrop.kernels.season import SeasonProgram
from torchcrop.kernels.stages import Stage, Stages, staged

__all__ = ["Binding", "Plan", "followed", "forward", "index_of", "reverse", "tangents"]

_FORWARD_STAGES = (Stage.ROW, Stage.LANE, Stage.DAY, Stage.TANGENT_START, Stage.TANGENT_DAY, Stage.END)


@dataclass(frozen=True)
class Binding:
    """How the inputs of a season are given.

    Attributes
    ----------
    shared : tuple of names
        Inputs that all simulations share, in the order of their array.
    raw : tuple of names
        Weather and time by row of a calendar, in the order of their array.
    own : tuple of names
        Inputs that differ between simulations, in the order of their array.
    active : tuple of names
        Those with a derivative.
    events : tuple of names
        Events by day of single simulations, in the order of their array.
    active_events : tuple of names
        Those with a derivative.
    by_row : bool
        Whether drivers are computed once for each row of a calendar.
    one_calendar : bool
        Whether all simulations have the same rows.
    """

    shared: tuple[Any, ...]
    raw: tuple[Any, ...]
    own: tuple[Any, ...]
    active: tuple[Any, ...] = ()
    events: tuple[Any, ...] = ()
    active_events: tuple[Any, ...] = ()
    by_row: bool = True
    one_calendar: bool = True


@dataclass(kw_only=True)
class Plan:
    """A job's operations by stage, what a stage hands over to later ones, and the results.

    Attributes
    ----------
    program : Program
        Plain.
    stages : Stages
    binding : Binding
    shared, table, lane, coefficients : list of int
        Places of values handed over by the stages ONCE, ROW, LANE and DAY.
    results : dict of str to list of int
        Places of the results, by what they are: ``start``, ``after``, ``kept``, ``by_carried``, ...
    """

    program: Program
    stages: Stages
    binding: Binding
    shared: list[int] = field(default_factory=list)
    table: list[int] = field(default_factory=list)
    lane: list[int] = field(default_factory=list)
    coefficients: list[int] = field(default_factory=list)
    results: dict[str, list[int]] = field(default_factory=dict)

    def within(self, stage: Stage, results: Sequence[int]) -> list[int]:
        """Operations of a stage that results need, in order."""
        return self.stages.places(stage, self.program.needed(results))


def _planned(program: Program, groups: Mapping[str, Sequence[int]], binding: Binding) -> Plan:
    """Simplify and stage what leads to groups of results."""
    own = frozenset(binding.own) | frozenset(binding.events)
    results = [place for group in groups.values() for place in group]
    new, places = plain(program, results)
    wanted = [places[r] for r in results]
    stages = staged(new, wanted, lambda name: name in own, binding.by_row)
    later = {stage: [s for s in _FORWARD_STAGES if s > stage] for stage in Stage}
    return Plan(
        program=new,
        stages=stages,
        binding=binding,
        shared=stages.handed(new, Stage.ONCE, later[Stage.ONCE], wanted),
        table=stages.handed(new, Stage.ROW, later[Stage.ROW], wanted),
        lane=stages.handed(new, Stage.LANE, later[Stage.LANE], wanted),
        coefficients=stages.handed(new, Stage.DAY, [Stage.TANGENT_DAY], ()),
        results={name: [places[p] for p in group] for name, group in groups.items()},
    )


def index_of(program: Program, carried: Sequence[int]) -> dict[Any, int]:
    """Number of each carried value, by the name of its input."""
    return {program.operations[place].value: i for i, place in enumerate(carried)}


# --- forward ------------------------------------------------------------------------------------------------


def forward(season: SeasonProgram, binding: Binding) -> Plan:
    """Run a season: daily rows (``kept``), and what is carried (``start``, ``after``)."""
    groups = {"start": season.start, "after": season.after, "kept": season.kept}
    return _planned(season.program, groups, binding)


# --- reverse ------------------------------------------------------------------------------------------------


def _cut(season: SeasonProgram, binding: Binding) -> set[int]:
    """Places that do not change during a season and depend on an active input: the day's derivative stops there."""
    own = frozenset(binding.own) | frozenset(binding.events)
    results = [*season.start, *season.after, *season.kept]
    stages = staged(season.program, results, lambda name: name in own, binding.by_row)
    active = {season.program.input(name) for name in binding.active}
    found: set[int] = set()
    for place in season.program.needed(results):
        arguments = season.program.operations[place].arguments
        if stages.of.get(place) == Stage.LANE and (place in active or any(a in found for a in arguments)):
            found.add(place)
    return found


def _seeds(program: Program, results: Sequence[int], names: Sequence[Any]) -> dict[int, int]:
    """Cotangents of results as inputs; those of a place that is twice a result are added."""
    seeds: dict[int, int] = {}
    for place, name in zip(results, names, strict=True):
        if program.operations[place].name == "constant":
            continue
        seed = program.input(name)
        seeds[place] = seed if place not in seeds else program.add("add", seeds[place], seed)
    return seeds


def reverse(season: SeasonProgram, binding: Binding) -> Plan:
    """Cotangents of the active inputs, from those of the daily rows and of what is carried at the end.

    The season is run first (``start``, ``after``); then each day is recomputed from what was carried at its start, from
    the last to the first, and gone through backwards: ``by_carried``, ``by_events``, and ``by_cut`` of what a
    simulation computes once, from which ``by_own`` follows after the first day.
    """
    p = season.program
    results = [*season.after, *season.kept]
    names: list[Any] = [("cotangent", "carried", i) for i in range(len(season.after))]
    names += [("cotangent", "row", j) for j in range(len(season.kept))]
    cut = _cut(season, binding)
    events = [p.input(name) for name in binding.active_events]
    inputs = [*season.carried, *events]
    graph = linearised(p, results, inputs, cut)
    found = adjoint(graph, _seeds(p, results, names), [*inputs, *cut])
    frontier = sorted(c for c in cut if c in found)
    zero = p.constant(0.0)

    active = [p.input(name) for name in binding.active]
    ends = [*season.start, *frontier]
    names = [("cotangent cut", i) for i in range(len(ends))]
    at_start = adjoint(linearised(p, ends, active), _seeds(p, ends, names), active)
    groups = {
        "start": season.start,
        "after": season.after,
        "by_carried": [found.get(c, zero) for c in season.carried],
        "by_events": [found.get(e, zero) for e in events],
        "by_cut": [found[c] for c in frontier],
        "by_own": [at_start.get(a, zero) for a in active],
    }
    return _planned(p, groups, binding)


def followed(plan: Plan, index: Mapping[Any, int], wanted: Sequence[int], live: int) -> tuple[list[int], list[int]]:
    """What is carried that the way back reads, and what must be followed forward for it."""
    after = plan.results["after"]

    def read(results: Sequence[int]) -> set[int]:
        operations = (plan.program.operations[place] for place in plan.program.needed(results))
        return {index[o.value] for o in operations if o.name == "input" and o.value in index}

    backwards = read(wanted)
    found, more = set(), backwards | {live}
    while more:
        found |= more
        more = read([after[i] for i in found]) - found
    return sorted(backwards), sorted(found)


# --- tangents -----------------------------------------------------------------------------------------------


def tangents(season: SeasonProgram, binding: Binding) -> Plan:
    """Run a season and carry a tangent of the active inputs along.

    Beside the results of `forward`: ``d_start`` and ``d_cut`` before the first day, ``d_after`` and ``d_kept`` every
    day.
    """
    p = season.program
    results = [*season.after, *season.kept]
    cut = _cut(season, binding)
    events = [p.input(name) for name in binding.active_events]
    graph = linearised(p, results, [*season.carried, *events], cut)
    frontier = sorted({a for edges in graph.into.values() for a in edges if a in cut} | (cut & set(results)))
    graph = graph.contracted([*results, *season.carried, *events, *frontier])
    seeds = {place: p.input(("tangent", "carried", i)) for i, place in enumerate(season.carried)}
    seeds |= {place: p.input(("tangent", "event", k)) for k, place in enumerate(events)}
    seeds |= {place: p.input(("tangent", "cut", k)) for k, place in enumerate(frontier)}
    found = tangent(graph, seeds, results)
    zero = p.constant(0.0)

    active = [p.input(name) for name in binding.active]
    ends = [*season.start, *frontier]
    at_start = linearised(p, ends, active).contracted([*ends, *active])
    begun = tangent(at_start, {a: p.input(("tangent", "own", k)) for k, a in enumerate(active)}, ends)
    groups = {
        "start": season.start,
        "after": season.after,
        "kept": season.kept,
        "d_start": [begun.get(e, zero) for e in season.start],
        "d_cut": [begun.get(e, zero) for e in frontier],
        "d_after": [found.get(r, zero) for r in season.after],
        "d_kept": [found.get(r, zero) for r in season.kept],
    }
    return _planned(p, groups, binding)
