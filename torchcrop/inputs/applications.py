"""Applications: what is given to a crop, when or at which stage, and how much; read and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from numbers import Real
from typing import Any

import numpy as np

from torchcrop.models.lintul5_records import Lintul5Management
from torchcrop.processes.crop_nutrients import NUTRIENTS

__all__ = [
    "LIMITS",
    "STAGED",
    "Limit",
    "as_date",
    "read_applications",
    "read_date",
    "read_recovery",
    "read_staged",
    "recovery_points",
    "slip",
    "within",
]


@dataclass(frozen=True)
class Limit:
    """Unit of an application, and the largest that is taken for no slip."""

    unit: str
    most: float


LIMITS = {
    "irrigation": Limit("mm", 500.0),
    "irrigation_table": Limit("mm", 500.0),
    "nitrogen": Limit("g m-2", 40.0),
    "phosphorus": Limit("g m-2", 20.0),
    "potassium": Limit("g m-2", 50.0),
}
"""Kinds of applications. Fertiliser is counted as the element: N, P and K."""
STAGED = ("irrigation", *NUTRIENTS)
"""Kinds that may be given at a development stage."""

_LAST_STAGE = 2.5
_LAST_DAY_NUMBER = 731

Day = date | str
Applications = tuple[tuple[Any, ...], ...]
"""(date, amount), of fertiliser perhaps (date, amount, recovery), by date."""
Staged = tuple[tuple[float, float], ...]
Recovery = float | tuple[tuple[Any, float], ...] | None
"""One share, or points (date or day number, share)."""


def as_date(given: Any) -> date | None:
    """Read ``datetime.date``, ISO text such as ``2023-05-02``, or a timestamp at midnight; None if it is no date."""
    if isinstance(given, datetime):  # pandas' Timestamp too
        return given.date() if given.time() == datetime.min.time() else None
    if isinstance(given, date):
        return given
    if isinstance(given, str):
        try:
            return date.fromisoformat(given)
        except ValueError:
            return None
    return None


def read_date(what: str, given: Any, problems: list[str]) -> date | None:
    """Read a date; if it is none, say so in `problems`."""
    found = as_date(given)
    if found is None:
        problems.append(f"{what} is {given!r}; expected a date such as 2023-05-02")
    return found


def read_applications(kind: str, given: Any, problems: list[str]) -> Applications:
    """Read dated applications of a kind.

    Parameters
    ----------
    kind : str
        One of `LIMITS`.
    given : iterable of (date, amount)
        Of fertiliser also (date, amount, recovery): [mm] or [g m-2], and the share that reaches the crop [-].
    problems : list of str
        What is wrong is added to it.

    Returns
    -------
    tuple of tuple
        By date.
    """
    items = _items(given)
    lengths = (2, 3) if kind in NUTRIENTS else (2,)
    if items is None or any(len(item) not in lengths for item in items):
        third = " or triples (date, amount, recovery [-])" if kind in NUTRIENTS else ""
        problems.append(f"{kind} is {given!r}; expected pairs (date, amount [{LIMITS[kind].unit}]){third}")
        return ()
    found = []
    for day, amount, *recovery in items:
        before = len(problems)
        when = read_date(kind, day, problems)
        _check_amount(kind, f"{kind} on {day}", amount, problems)
        for share in recovery:
            if not within(share, 0.0, 1.0):
                problems.append(f"recovery of {kind} on {day} is {share!r}; expected a share, 0 to 1")
        if len(problems) == before:
            found.append((when, float(amount), *(float(share) for share in recovery)))
    return tuple(sorted(found))


def read_staged(kind: str, given: Any, problems: list[str]) -> Staged:
    """Read applications by stage, (stage, amount); those of one stage are added up."""
    items = _items(given)
    if items is None or any(len(item) != 2 for item in items):
        problems.append(f"{kind}_by_stage is {given!r}; expected pairs (stage [-], amount [{LIMITS[kind].unit}])")
        return ()
    found: dict[float, float] = {}
    for stage, amount in items:
        before = len(problems)
        if not within(stage, 0.0, _LAST_STAGE) or stage == 0:
            dated = f"; what is given at the start has a date: {kind}=[(date, amount)]" if stage == 0 else ""
            problems.append(
                f"{kind}_by_stage has the stage {stage!r}; expected one above 0 (emergence), up to {_LAST_STAGE:g} "
                f"(1 is anthesis, 2 maturity){dated}"
            )
        _check_amount(kind, f"{kind} at stage {stage}", amount, problems)
        if len(problems) == before:
            found[float(stage)] = found.get(float(stage), 0.0) + float(amount)
    return tuple(sorted(found.items()))


def read_recovery(nutrient: str, given: Any, problems: list[str]) -> Recovery:
    """Read the recovery of a nutrient: a share, or points by date or by day number."""
    if given is None:
        return None
    what = f"{nutrient}_recovery"
    if isinstance(given, Real) and not isinstance(given, bool):
        if within(given, 0.0, 1.0):
            return float(given)
        problems.append(f"{what} is {given!r}; expected a share, 0 to 1")
        return None
    items = _items(given)
    if not items or any(len(item) != 2 for item in items):
        problems.append(f"{what} is {given!r}; expected a share, 0 to 1, or points (date or day number, share)")
        return None
    found: dict[Any, float] = {}
    for day, share in items:
        number = isinstance(day, Real) and within(day, 0, _LAST_DAY_NUMBER) and float(day).is_integer()
        when = int(day) if number else as_date(day)
        if when is None:
            problems.append(
                f"{what} has the day {day!r}; expected a date such as 2023-05-02 or a day number, 1 on 1 January of "
                f"the year in which the run starts, at most {_LAST_DAY_NUMBER}"
            )
        elif when in found:
            problems.append(f"{what} has two points on {day}")
        elif not within(share, 0.0, 1.0):
            problems.append(f"{what} on {day} is {share!r}; expected a share, 0 to 1")
        else:
            found[when] = float(share)
    if len({type(day) for day in found}) > 1:
        problems.append(f"{what} has points by date and by day number; expected one of the two")
        return None
    return tuple(sorted(found.items()))


def slip(kind: str, amount: Any) -> str:
    """What a fertiliser rate too large for g m-2 looks like, for a message; an empty string if it looks like nothing.

    Rates are spoken of in kg ha-1, ten times the number in g m-2.
    """
    most = LIMITS[kind].most
    return " (kg ha-1? divide by 10)" if kind in NUTRIENTS and within(amount, most, 10 * most) else ""


def recovery_points(
    nutrient: str, applied: Applications, recovery: Recovery, start: date
) -> tuple[tuple[float, float], ...] | None:
    """Points of a table of recovery (NRFTAB, PRFTAB, KRFTAB) with the applications' own recoveries on their days.

    Parameters
    ----------
    nutrient : str
    applied : tuple
        As of `read_applications`.
    recovery : float, points or None
        On all other days; None: the model's default.
    start : date
        First day of the run.

    Returns
    -------
    tuple of (day number [d], share [-]), or None
        Day 1 is 1 January of the year of the run's first day. None if the model's default holds on all days.

    Notes
    -----
    Applications of one day share a recovery, the mean of theirs weighted by the amounts. The day before and the day
    after stand in the table too, so that an own recovery changes no other day.
    """
    first = date(start.year, 1, 1)

    def number(day: date | int) -> int:
        return (day - first).days + 1 if isinstance(day, date) else day

    own: dict[int, list[tuple[float, float | None]]] = {}
    for day, amount, *share in applied:
        own.setdefault(number(day), []).append((amount, share[0] if share else None))
    own = {day: parts for day, parts in own.items() if any(share is not None for _, share in parts)}
    if recovery is None and not own:
        return None
    points = dict(_base(nutrient, recovery, number))
    x, y = list(points), list(points.values())
    for day in own:
        for neighbour in (day - 1, day + 1):
            points.setdefault(neighbour, float(np.interp(neighbour, x, y)))
    for day, parts in own.items():
        amounts = [amount for amount, _ in parts]
        shares = [float(np.interp(day, x, y)) if share is None else share for _, share in parts]
        # One share is taken as it is: weighted by its amount it would lose its last digit.
        points[day] = shares[0] if len(set(shares)) == 1 else _weighted(shares, amounts)
    return tuple((float(day), share) for day, share in sorted(points.items()))


def _weighted(shares: Sequence[float], amounts: Sequence[float]) -> float:
    """Mean of shares; amounts that are all 0 weigh the same."""
    return float(np.average(shares, weights=amounts if sum(amounts) else None))


def _base(nutrient: str, recovery: Recovery, number: Callable[[Any], int]) -> list[tuple[int, float]]:
    """Points by day number, two at least, in order."""
    if recovery is None:
        default = Lintul5Management.quantities()[f"{nutrient}_recovery"].default
        recovery = tuple((int(day), share) for day, share in default.pairs())
    if isinstance(recovery, float):
        recovery = ((1, recovery),)
    points = [(number(day), share) for day, share in recovery]
    return points if len(points) > 1 else [points[0], (points[0][0] + 1, points[0][1])]


def _items(given: Any) -> list[tuple[Any, ...]] | None:
    """The entries of what should be a list of tuples, or None."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return None
    found = list(given)
    if any(isinstance(item, str) or not isinstance(item, Iterable) for item in found):
        return None
    return [tuple(item) for item in found]


def _check_amount(kind: str, what: str, amount: Any, problems: list[str]) -> None:
    limit = LIMITS[kind]
    if not within(amount, 0.0, limit.most):
        problems.append(f"{what} is {amount!r} {limit.unit}; expected 0 to {limit.most:g}{slip(kind, amount)}")


def within(value: Any, low: float, high: float) -> bool:
    """Whether a value is a number from low to high; NaN is none."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(low <= value <= high)  # type: ignore[operator]
