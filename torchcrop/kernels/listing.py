"""Show a plan as text: a line for each operation, stage by stage, with the names of the model."""

from __future__ import annotations

from typing import Any

from torchcrop.kernels.plans import Plan, index_of
from torchcrop.kernels.program import Program
from torchcrop.kernels.season import SeasonProgram
from torchcrop.kernels.stages import Stage

__all__ = ["listing"]

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "eq": "==", "and": "and", "or": "or"}
_HEADS = {
    Stage.ONCE: "once for all simulations",
    Stage.ROW: "once for each day of a calendar",
    Stage.LANE: "once for each simulation",
    Stage.DAY: "every day of every simulation",
    Stage.TANGENT_START: "every tangent, before the first day",
    Stage.TANGENT_DAY: "every tangent, every day",
    Stage.END: "after the last day, back through the start",
}


def listing(season: SeasonProgram, plan: Plan) -> str:
    """Text of a plan.

    Parameters
    ----------
    season : SeasonProgram
        Whose job it is; names what is carried.
    plan : Plan

    Returns
    -------
    str
        A line for each operation, ``v17 = crop.base_temperature - v16``, under the head of its stage, then what is
        handed to the next day and out of the season.
    """
    p = plan.program
    named = {place: _readable(season, p.operations[place].value) for place in plan.stages.of if _is_input(p, place)}
    results = [place for group in plan.results.values() for place in group]
    lines: list[str] = []
    for stage in Stage:
        places = [place for place in plan.within(stage, results) if place not in named]
        if places:
            lines += [f"# {_HEADS[stage]}", *(f"v{place} = {_text(p, place, named)}" for place in places), ""]
    for what, group in plan.results.items():
        labels = _labels(season, plan, what)
        lines.append(f"# {what}")
        lines += [f"{label} = {_operand(p, place, named)}" for label, place in zip(labels, group, strict=True)]
        lines.append("")
    return "\n".join(lines)


def _is_input(p: Program, place: int) -> bool:
    return p.operations[place].name == "input"


def _readable(season: SeasonProgram, name: Any) -> str:
    kind, *rest = name
    if kind == "params":
        path = [str(part) for part in rest]
        return ".".join(path[:2]) + (f".{path[2]}[{path[3]}]" if len(path) > 2 else "")
    if kind == "carried":
        return season.names[index_of(season.program, season.carried)[name]]
    if kind == "cotangent cut":
        return f"cotangent of cut {rest[0]}"
    if kind in ("cotangent", "tangent"):
        what, i = rest
        of = season.names[i] if what == "carried" else f"{what} {i}"
        return f"{kind}({of})"
    return ".".join(str(part) for part in name)


def _labels(season: SeasonProgram, plan: Plan, what: str) -> list[str]:
    if what.endswith(("start", "after", "carried")):
        return [f"{what}({name})" for name in season.names]
    return [f"{what}({i})" for i in range(len(plan.results[what]))]


def _operand(p: Program, place: int, named: dict[int, str]) -> str:
    value = p.value(place)
    if value is not None:
        return f"{value:g}" if isinstance(value, float) else str(value)
    return named.get(place, f"v{place}")


def _text(p: Program, place: int, named: dict[int, str]) -> str:
    operation = p.operations[place]
    operands = [_operand(p, a, named) for a in operation.arguments]
    if operation.name in _INFIX:
        return f"{operands[0]} {_INFIX[operation.name]} {operands[1]}"
    if operation.name == "select":
        return f"{operands[1]} if {operands[0]} else {operands[2]}"
    if operation.name == "neg":
        return f"-{operands[0]}"
    return f"{operation.name}({', '.join(operands)})"
