"""Management: when a crop is sown, emerges and is harvested, and what it is given.

`Management` is a checked value; with weather it becomes a `Season`, what the engine runs. `seasons` makes the same
management into one season per year and sowing date.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from numbers import Real
from typing import Any

from torchcrop.quantities import Record
from torchcrop.simulation.seasons import Season, Station

__all__ = ["LONGEST", "Management", "ManagementError", "seasons", "to_date"]

LONGEST = 300
"""Days of a season that says no end [d]."""
_BEFORE_EMERGENCE = 2
"""Days that a season starts before a date of emergence, so that the event lies inside the run [d]."""
_MOST_IRRIGATION = 500.0
"""Largest single irrigation [mm]."""
_EVENTS = ("irrigation", "irrigation_table")

Day = date | str
Applications = tuple[tuple[date, float], ...]


class ManagementError(ValueError):
    """Management that contradicts itself or its weather.

    Attributes
    ----------
    problems : tuple of str
        One sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True, init=False)
class Management:
    """Dates and applications of one season.

    Parameters
    ----------
    sowing, emergence : date or str, optional
        At least one of the two. With a sowing date a model that knows emergence simulates it; with a date of
        emergence alone the crop emerges on it.
    start : date or str, optional
        First day of the run. Default: the sowing, or two days before emergence.
    end : date or str, optional
        Last day that may be simulated. Default: the harvest, or the 300th day if the weather reaches so far, or its
        last day.
    harvest : date or str, optional
        Day on which the crop is taken: the run goes no further.
    irrigation : sequence of (date, amount)
        Dated irrigation [mm].
    irrigation_table : sequence of (date, amount)
        Irrigation through the capped table of LINTUL5, IRRTAB [mm].
    automatic_irrigation : bool
        Irrigate whenever the soil falls below its critical water content (LINTUL5).
    irrigation_factor : float
        Share of the deficit to field capacity refilled every day, 0 to 1 [-] (LINTUL2).

    Raises
    ------
    ManagementError
        With all contradictions: dates that are none or out of order, amounts that are negative, an application
        outside the season.

    Examples
    --------
    >>> Management(sowing="2023-05-02", harvest="2023-11-01", irrigation=[("2023-06-29", 33.0)])
    """

    sowing: date | None
    emergence: date | None
    start: date | None
    end: date | None
    harvest: date | None
    irrigation: Applications
    irrigation_table: Applications
    automatic_irrigation: bool
    irrigation_factor: float

    def __init__(
        self,
        *,
        sowing: Day | None = None,
        emergence: Day | None = None,
        start: Day | None = None,
        end: Day | None = None,
        harvest: Day | None = None,
        irrigation: Iterable[tuple[Day, float]] = (),
        irrigation_table: Iterable[tuple[Day, float]] = (),
        automatic_irrigation: bool = False,
        irrigation_factor: float = 0.0,
    ) -> None:
        problems: list[str] = []
        dates = {"sowing": sowing, "emergence": emergence, "start": start, "end": end, "harvest": harvest}
        for name, given in dates.items():
            self._set(name, None if given is None else _read_date(name, given, problems))
        for kind, applied in {"irrigation": irrigation, "irrigation_table": irrigation_table}.items():
            self._set(kind, _read_applications(kind, applied, problems))
        self._set("automatic_irrigation", automatic_irrigation)
        self._set("irrigation_factor", irrigation_factor)
        if sowing is None and emergence is None:
            problems.append("neither sowing nor emergence is given; a season needs one of the two")
        if not problems:
            problems += self._order() + self._outside()
        problems += self._choices()
        if problems:
            raise ManagementError(problems)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def first_day(self) -> date:
        """First day of the run: `start`, else the sowing, else two days before emergence."""
        if self.start is not None or self.sowing is not None:
            return self.start or self.sowing  # type: ignore[return-value]
        assert self.emergence is not None
        return self.emergence - timedelta(days=_BEFORE_EMERGENCE)

    def _order(self) -> list[str]:
        dates = [(name, getattr(self, name)) for name in ("sowing", "emergence", "end", "harvest")]
        given = [("start", self.first_day), *((name, day) for name, day in dates if day is not None)]
        return [
            f"{later} on {after} is before {earlier} on {before}; expected start, sowing, emergence, end, harvest "
            f"in this order"
            for (earlier, before), (later, after) in pairwise(given)
            if after < before
        ]

    def _outside(self) -> list[str]:
        start, last = self.first_day, self.end or self.harvest
        problems = []
        for kind in _EVENTS:
            for day, amount in getattr(self, kind):
                if day < start or (last is not None and day > last):
                    problems.append(
                        f"{kind} of {amount:g} mm on {day} lies outside the season, {start} to {last or 'its end'}: "
                        f"move start or end, or leave it out"
                    )
        return problems

    def _choices(self) -> list[str]:
        problems = []
        if not isinstance(self.automatic_irrigation, bool):
            problems.append(f"automatic_irrigation is {self.automatic_irrigation!r}; expected true or false")
        factor = self.irrigation_factor
        if isinstance(factor, bool) or not isinstance(factor, Real) or not 0.0 <= factor <= 1.0:
            problems.append(f"irrigation_factor is {factor!r}; expected a number, 0 to 1")
        return problems

    def season(
        self,
        weather: Any,
        soil: Record | None = None,
        site: Mapping[str, float] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Season:
        """Make the season that a run needs.

        Parameters
        ----------
        weather : Weather or Station
        soil : Record, optional
            Soil of the season.
        site : mapping of str to float, optional
            Values of the site, ``{"co2": 420.0}``.
        labels : mapping of str to str, optional
            Coordinates of the result.

        Raises
        ------
        ManagementError
            If the weather does not cover the season, or an application lies after its end.
        """
        station = station_of(weather)
        last = _last_day(station)
        start = self.first_day
        end = self.end or self.harvest or min(start + timedelta(days=LONGEST - 1), last)
        if start < station.first or start > last or end > last:
            raise ManagementError(
                [
                    f"the season of {start} to {end} needs weather of these days; {station.name} has "
                    f"{station.first} to {last}"
                ]
            )
        bounded = dataclasses.replace(self, end=end)
        return Season(
            station=station,
            start=start,
            end=end,
            sowing=self.sowing,
            emergence=self.emergence,
            management=bounded._numbers(),
            events={kind: getattr(self, kind) for kind in _EVENTS if getattr(self, kind)},
            site=dict(site or {}),
            soil=soil,
            labels=dict(labels or {}),
        )

    def _numbers(self) -> dict[str, float]:
        """Choices that differ from none, by the names of the models' management records."""
        numbers = {
            "automatic_irrigation": float(self.automatic_irrigation),
            "irrigation_factor": float(self.irrigation_factor),
        }
        return {name: value for name, value in numbers.items() if value}


def seasons(
    weather: Any,
    *,
    sowing: Day | Iterable[Day] = (),
    emergence: Day | Iterable[Day] = (),
    years: Iterable[int] | None = None,
    length: int = LONGEST,
    incomplete: str = "error",
    soil: Record | None = None,
    site: Mapping[str, float] | None = None,
    irrigation: Iterable[tuple[Day, float]] = (),
    irrigation_table: Iterable[tuple[Day, float]] = (),
    automatic_irrigation: bool = False,
    irrigation_factor: float = 0.0,
) -> list[Season]:
    """Make one season per year and date of sowing (or emergence), all on the same weather.

    Parameters
    ----------
    weather : Weather or Station
        Held once, however many seasons.
    sowing, emergence : str, date or iterable of them
        One of the two: days ``"04-20"`` of every year in `years`, or full dates.
    years : iterable of int, optional
        Years of sowing or emergence; needed with days, refused with full dates.
    length : int
        Days of each season [d].
    incomplete : {"error", "drop"}
        What to do with a season that the weather does not cover.
    soil, site, automatic_irrigation, irrigation_factor
        As of `Management` and `Management.season`.
    irrigation, irrigation_table : iterable of (day, amount)
        As of `Management`; a day ``"07-15"`` is the first one on or after the start of each season [mm].

    Returns
    -------
    list of Season
        Labelled ``year`` and ``sowing`` (or ``emergence``), by date.

    Raises
    ------
    ManagementError
        If a date is none or the weather does not cover a season, unless these are dropped; if none is left.
    """
    kind, several = ("sowing", sowing) if sowing else ("emergence", emergence)
    given = [several] if isinstance(several, str | date) else list(several)
    if not given or (sowing and emergence):
        raise ManagementError(["give the dates of either sowing or emergence"])
    if length < 1:
        raise ManagementError([f"length is {length} d; expected at least 1"])
    if incomplete not in ("error", "drop"):
        raise ManagementError([f"incomplete is {incomplete!r}; expected 'error' or 'drop'"])
    station = station_of(weather)
    found, short = [], []
    for day in sorted(_days(kind, given, years)):
        start = day if kind == "sowing" else day - timedelta(days=_BEFORE_EMERGENCE)
        end = start + timedelta(days=length - 1)
        if start < station.first or end > _last_day(station):
            short.append(f"{start} to {end}")
            continue
        management = Management(
            sowing=day if kind == "sowing" else None,
            emergence=day if kind == "emergence" else None,
            end=end,
            irrigation=_in_season(irrigation, start),
            irrigation_table=_in_season(irrigation_table, start),
            automatic_irrigation=automatic_irrigation,
            irrigation_factor=irrigation_factor,
        )
        found.append(management.season(station, soil, site, {"year": str(day.year), kind: f"{day:%m-%d}"}))
    if short and (incomplete == "error" or not found):
        shown = ", ".join(short[:3]) + (f" and {len(short) - 3} more" if len(short) > 3 else "")
        remedy = "" if incomplete == "drop" else ": shorten `length`, or leave them out with incomplete='drop'"
        has = f"{station.name} has weather of {station.first} to {_last_day(station)}"
        raise ManagementError([f"{has}, not of the season of {shown}{remedy}"])
    return found


def _days(kind: str, given: Sequence[Day], years: Iterable[int] | None) -> set[date]:
    """Dates of sowing or emergence: full dates, or days of every year."""
    full = [not _is_day_of_year(day) for day in given]
    if all(full) and years is None:
        return {to_date(day, kind) for day in given}
    if any(full):
        raise ManagementError(
            [f"{kind} has full dates such as {given[full.index(True)]}; `years` goes with days such as '04-20' only"]
        )
    if years is None:
        raise ManagementError([f"{kind} has days without a year such as {given[0]!r}: say which `years`"])
    return {to_date(f"{year:04d}-{day}", kind) for year in years for day in given}


def _in_season(applications: Iterable[tuple[str | date, float]], start: date) -> tuple[tuple[str | date, float], ...]:
    """Give applications on a day without a year their date: the first on or after the start."""

    def dated(day: Day) -> Day:
        if not _is_day_of_year(day):
            return day
        this_year = to_date(f"{start.year}-{day}", "irrigation")
        return this_year if this_year >= start else to_date(f"{start.year + 1}-{day}", "irrigation")

    return tuple((dated(day), amount) for day, amount in applications)


def _is_day_of_year(day: Day) -> bool:
    return isinstance(day, str) and len(day) == 5 and day[2] == "-"


def station_of(weather: Any) -> Station:
    """Take the station of weather, or the station itself."""
    return weather if isinstance(weather, Station) else weather.station()


def _last_day(station: Station) -> date:
    return station.first + timedelta(days=station.days - 1)


def to_date(given: Any, what: str) -> date:
    """Read a date: ``datetime.date``, ISO text such as ``2023-05-02``, or a timestamp at midnight.

    Raises
    ------
    ManagementError
        If it is none.
    """
    if isinstance(given, datetime):  # pandas' Timestamp too
        if given.time() == datetime.min.time():
            return given.date()
    elif isinstance(given, date):
        return given
    elif isinstance(given, str):
        try:
            return date.fromisoformat(given)
        except ValueError:
            pass
    raise ManagementError([f"{what} is {given!r}; expected a date such as 2023-05-02"])


def _read_date(what: str, given: Any, problems: list[str]) -> date | None:
    try:
        return to_date(given, what)
    except ManagementError as failure:
        problems += failure.problems
        return None


def _read_applications(kind: str, given: Any, problems: list[str]) -> Applications:
    try:
        pairs = [(day, amount) for day, amount in given]
    except (TypeError, ValueError):
        problems.append(f"{kind} is {given!r}; expected pairs (date, amount [mm])")
        return ()
    found = []
    for day, amount in pairs:
        when = _read_date(kind, day, problems)
        number = isinstance(amount, Real) and not isinstance(amount, bool)
        if not number or not 0.0 <= amount <= _MOST_IRRIGATION:
            problems.append(f"{kind} on {day} is {amount!r} mm; expected 0 to {_MOST_IRRIGATION:g}")
        elif when is not None:
            found.append((when, float(amount)))
    return tuple(sorted(found))
