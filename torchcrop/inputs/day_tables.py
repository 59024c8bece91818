"""Management from files of assignments: tables of LINTUL5 and LINTUL3 by day number, dates as day numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from torchcrop.inputs.assignments import Assigned
from torchcrop.inputs.management import Management, ManagementError
from torchcrop.inputs.parameter_checks import RECORDS
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import nearest

__all__ = ["DayTables"]

_NAMES: dict[str, tuple[str, ...]] = {
    "lintul5": (
        *("FERNTAB", "FERPTAB", "FERKTAB", "NRFTAB", "PRFTAB", "KRFTAB"),
        *("IRRI", "IRRTAB", "IYEAR", "IDEM", "IDPL", "IFINIT"),
    ),
    "lintul3": ("FERNTAB", "NRFTAB", "IRRIGF", "WMFAC", "IYEAR", "DOYEM", "STTIME", "FINTIM"),
}
_POWER = {"lintul5": -1, "lintul3": 0}
"""Power of ten that turns amounts of fertiliser into g m-2."""
_PASSED = ("SPA", "SSATB", "CRPNAM", "SOLNAM", "RNMIN")
"""Names in the same files that other functions read, beside the symbols of crop and soil."""
_SETTINGS = {"IOPT": "the level of the model", "CO2": "the co2 of the site"}


class DayTables:
    """Names of management in files of assignments, and what they mean.

    Parameters
    ----------
    model : {"lintul5", "lintul3"}
    given : mapping of str to Assigned
    beside_agro : bool
        Whether an agro file has the dates and applications, so that only the choices of irrigation are left.
    problems : list of str
        What is wrong is added to it, now and later.
    """

    def __init__(self, model: str, given: Mapping[str, Assigned], beside_agro: bool, problems: list[str]) -> None:
        self.model, self.given, self.problems = model, given, problems
        known = _NAMES[model] if not beside_agro else ("IRRIGF", "WMFAC")
        passed = {q.symbol for kind in RECORDS.values() if model in kind for q in kind[model].quantities().values()}
        for name, assigned in given.items():
            if name in known or name in passed or name in _PASSED:
                continue
            remedy = f"it is {_SETTINGS[name]}" if name in _SETTINGS else f"no such name{nearest(name, known)}"
            problems.append(f"{name} ({assigned.place}): {remedy}; leave it out with ignore=[{name!r}]")

    def irrigation(self) -> dict[str, Any]:
        """Irrigation that refills every day, and flooding (LINTUL3)."""
        factor, flooded = self._number("IRRIGF", 0), self._number("WMFAC", 0)
        chosen: dict[str, Any] = {"irrigation_factor": float(factor)} if factor else {}
        return chosen | ({"flooded": True} if flooded else {})

    def management(self) -> list[Management]:
        """One season of the tables."""
        before = len(self.problems)
        chosen = self.irrigation() | self._dates()
        if len(self.problems) > before:
            return []
        start = chosen["start"]
        for nutrient in NUTRIENTS if self.model == "lintul5" else ("nitrogen",):
            letter = {"nitrogen": "N", "phosphorus": "P", "potassium": "K"}[nutrient]
            recovery = self._points(f"{letter}RFTAB")
            amounts = self._daily(f"FER{letter}TAB", start, _POWER[self.model])
            chosen[nutrient] = [
                (day, amount, *([float(_between(recovery, Decimal(number)))] if recovery else []))
                for day, number, amount in amounts
            ]
        chosen |= self._irrigation_of_lintul5(start)
        if len(self.problems) > before:
            return []
        try:
            return [Management(**chosen)]
        except ManagementError as failure:
            self.problems += failure.problems
            return []

    def _dates(self) -> dict[str, Any]:
        year = self._number("IYEAR")
        if self.model == "lintul3":
            emergence, start, end = self._number("DOYEM"), self._number("STTIME", 0), self._number("FINTIM", 0)
            sown = Decimal(0)
        else:
            sown = self._number("IDPL", 0) or Decimal(0)
            emergence = self._number("IDEM") if sown <= 0 else Decimal(0)
            start = end = Decimal(0)
        if year is None or emergence is None:
            return {}
        first = date(int(year), 1, 1) - timedelta(days=1)
        begun = first + timedelta(days=int(sown if sown > 0 else emergence))
        dates = {
            "sowing" if sown > 0 else "emergence": begun,
            "start": first + timedelta(int(start)) if start else begun,
        }
        if end:
            dates["end"] = first + timedelta(days=int(end))
        if self.model == "lintul5" and (days := self._number("IFINIT", 0)):
            dates["end"] = begun + timedelta(days=int(days) - 1)
        return dates

    def _irrigation_of_lintul5(self, start: date) -> dict[str, Any]:
        if self.model != "lintul5" or "IRRI" not in self.given:
            if "IRRTAB" in self.given:
                self.problems.append(
                    "IRRI: missing; it says what IRRTAB is for: values={'IRRI': 0} none, 1 automatic, 2 by the table"
                )
            return {}
        match self._number("IRRI"):
            case 0:
                return {}
            case 1:
                return {"automatic_irrigation": True}
            case 2:
                return {"irrigation_table": [(day, amount) for day, _, amount in self._daily("IRRTAB", start, 1)]}
            case other:
                self.problems.append(f"IRRI: is {other}; expected 0 none, 1 automatic or 2 by the table IRRTAB")
                return {}

    def _number(self, name: str, default: int | None = None) -> Decimal | None:
        if name not in self.given:
            if default is None:
                self.problems.append(f"{name}: missing; give it with values={{{name!r}: ...}}")
            return None if default is None else Decimal(default)
        items = self.given[name].items
        if len(items) != 1 or not isinstance(items[0], Decimal):
            self.problems.append(f"{name} ({self.given[name].place}): is {items}; expected one number")
            return None
        return items[0]

    def _points(self, name: str) -> list[tuple[Decimal, Decimal]]:
        if name not in self.given:
            return []
        numbers = [item for item in self.given[name].items if isinstance(item, Decimal)]
        if len(numbers) % 2 or len(numbers) < 4 or len(numbers) < len(self.given[name].items):
            self.problems.append(f"{name} ({self.given[name].place}): expected pairs of day number and value")
            return []
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        for (x, _), (following, _) in pairwise(points):
            if following <= x:
                self.problems.append(f"{name} ({self.given[name].place}): day {following} follows day {x}")
                return []
        return points

    def _daily(self, name: str, start: date, power: int) -> list[tuple[date, int, float]]:
        """Applications of a table: date, day number and amount in our unit, wherever the table is not 0."""
        points = self._points(name)
        if not points:
            return []
        if points[0][1] or points[-1][1]:
            self.problems.append(
                f"{name} ({self.given[name].place}): does not begin and end with 0, so that its amounts have no end"
            )
            return []
        first, found = date(start.year, 1, 1), []
        for number in range(int(points[0][0].to_integral_value("ROUND_CEILING")), int(points[-1][0]) + 1):
            amount = _between(points, Decimal(number))
            day = first + timedelta(days=number - 1)
            if amount:
                following = date(start.year + 1, 1, 1) + timedelta(days=number - 1)
                found.append((day if day >= start else following, number, float(amount.scaleb(power))))
        if not found and any(amount for _, amount in points):
            self.problems.append(
                f"{name} ({self.given[name].place}): its amounts lie between two whole days and are never given: "
                "put them on a day"
            )
        return found


def _between(points: list[tuple[Decimal, Decimal]], x: Decimal) -> Decimal:
    """Value of a table, linear between its points; the end value beyond."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 if x <= x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]
