"""What a run of ``benchmarks.kernels`` found: rows with their limits, and the tables of a run."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    Attributes
    ----------
    what : str
        What was measured: model, level, switches, kind of call.
    at : str
        Batch and precision.
    value : float or None
        The figure; None where it could not be measured.
    unit : str
        ``x`` for a ratio.
    limit : float or None
        What is asked for.
    least : bool
        Whether the limit is the least, else the most.
    status : str
        Why there is no figure, or what is special about it.
    detail : dict
        The figures behind it, by name with unit.
    """

    what: str
    at: str
    value: float | None
    unit: str = "x"
    limit: float | None = None
    least: bool = True
    status: str = ""
    detail: dict[str, float | str] = dataclasses.field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the limit is met; None where there is none, or no figure."""
        if self.limit is None or self.value is None:
            return None
        return self.value >= self.limit if self.least else self.value <= self.limit

    def as_dict(self) -> dict[str, Any]:
        """Return the row for the results file."""
        return {**dataclasses.asdict(self), "met": self.met}


def absent(what: str, at: str, reason: str, limit: float | None = None) -> Row:
    """Return the row of what could not be measured."""
    return Row(what, at, None, limit=limit, status=f"not run: {reason}")


def to_markdown(document: dict[str, Any]) -> str:
    """Return the tables of a run.

    Parameters
    ----------
    document : dict
        As `benchmarks.kernels` writes it.
    """
    machine, versions = document["machine"], document["versions"]
    lines = [
        f"# Season kernels, {document['date']}",
        "",
        f"* machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"GPU: {machine['gpu'] or 'none'}, load before the run: {machine['load_1min']}",
        f"* compiled for: {document['target']}",
        f"* ours: commit {versions['commit']}, python {versions['python']}, torch {versions['torch']}",
        "* one thread on one core where nothing else is said; least processor time of the rounds, contenders in turns",
        *(f"* {line}" for line in document["remarks"]),
        "",
        _verdict(document["parts"]),
    ]
    for part in document["parts"]:
        lines += ["", f"## {part['title']}", "", part["text"], "", *_table(part["rows"])]
    return "\n".join(lines) + "\n"


def _verdict(parts: list[dict[str, Any]]) -> str:
    lines = ["| limits | met | not met | not measured |", "|---|--:|--:|--:|"]
    for part in parts:
        judged = [row["met"] for row in part["rows"] if row["limit"] is not None]
        if judged:
            numbers = [sum(met is verdict for met in judged) for verdict in (True, False, None)]
            met, missed, unknown = (f"{n}" for n in numbers)
            lines.append(f"| {part['title']} | {met} | {f'**{missed}**' if numbers[1] else '0'} | {unknown} |")
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| what | at | measured | limit | met | behind it |", "|---|---|--:|--:|---|---|"]
    for row in rows:
        limit = "" if row["limit"] is None else f"{'at least' if row['least'] else 'at most'} {row['limit']:g}"
        met = {None: "", True: "yes", False: "**no**"}[row["met"]]
        measured = row["status"] if row["value"] is None else _figure(row["value"], row["unit"])
        behind = [f"{name} {_detail(value)}" for name, value in row["detail"].items()]
        if row["value"] is not None and row["status"]:
            behind.append(row["status"])
        lines.append(f"| {row['what']} | {row['at']} | {measured} | {limit} | {met} | {', '.join(behind)} |")
    return lines


def _figure(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{shown} ×" if unit == "x" else f"{shown} {unit}"


def _detail(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
