"""Management: when a crop is sown, emerges and is harvested, and what it is given.

`Management` is a checked value; with weather it becomes a `Season`, what the engine runs. `seasons` makes the same
management into one season per year and sowing date.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from torchcrop.inputs.applications import (
    LIMITS,
    STAGED,
    Applications,
    Day,
    Recovery,
    Staged,
    read_applications,
    read_date,
    read_recovery,
    read_staged,
    recovery_points,
    within,
)
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import Record, nearest
from torchcrop.simulation.seasons import Season, Station

__all__ = ["LONGEST", "Management", "ManagementError", "seasons", "to_date"]

LONGEST = 300
"""Days of a season that says no end [d]."""
_BEFORE_EMERGENCE = 2
"""Days that a season starts before a date of emergence, so that the event lies inside the run [d]."""
_STARTS = ("sowing", "emergence", "transplanting")
_TRIGGERS = {"irrigation_trigger": ("-", 1.0), "irrigation_dose": ("mm", 200.0), "irrigation_refill": ("-", 1.0)}
"""Irrigation by a trigger: unit and largest value."""


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
        With a sowing date a model that knows emergence simulates it; with a date of emergence alone the crop emerges
        on it. Both together are allowed.
    transplanting : date or str, optional
        Instead of the two: the run starts on this day, with a crop that stands as its parameters' initial weight and
        stage say.
    start : date or str, optional
        First day of the run. Default: the sowing or transplanting, or two days before emergence.
    end : date or str, optional
        Last day that may be simulated. Default: the harvest, or the 300th day if the weather reaches so far, or its
        last day.
    harvest : date or str, optional
        Day on which the crop is taken, unless it is mature before: the run goes no further.
    longest : int, optional
        The run ends this many days after sowing, transplanting or emergence, if not before [d].
    irrigation : sequence of (date, amount)
        Dated irrigation [mm].
    irrigation_table : sequence of (date, amount)
        Irrigation through the capped table of LINTUL5, IRRTAB [mm].
    nitrogen, phosphorus, potassium : sequence of (date, amount) or (date, amount, recovery)
        Dated fertiliser, as the element [g m-2], and the share of it that becomes available to the crop [-].
    nitrogen_recovery, phosphorus_recovery, potassium_recovery : float or sequence of (day, share), optional
        Recovery of fertiliser that has none of its own: a share, or shares by date or day number between which the
        model interpolates [-]. Default: the model's.
    irrigation_by_stage, nitrogen_by_stage, phosphorus_by_stage, potassium_by_stage : sequence of (stage, amount)
        Applications on the day on which the crop reaches a development stage, above 0 [mm], [g m-2].
    automatic_irrigation : bool
        Irrigate whenever the soil falls below its critical water content (LINTUL5).
    irrigation_trigger : float, optional
        Irrigate when less than this share of the rooted zone's available water is left, above 0 to 1 [-]: on the day
        after (LINTUL5), or on the same day (LINTUL2, LINTUL3).
    irrigation_dose : float, optional
        Amount of an irrigation that the trigger decides [mm].
    irrigation_refill : float, optional
        Share of the deficit to field capacity that it gives, beside or instead of the dose, above 0 to 1 [-].
    flooded : bool
        Flooded rice: irrigation by `irrigation_factor` refills to saturation, and roots do not lack oxygen (LINTUL3).
    irrigation_factor : float
        Share of the deficit to field capacity refilled every day, 0 to 1 [-] (LINTUL2, LINTUL3).

    Raises
    ------
    ManagementError
        With all contradictions: dates that are none or out of order, amounts that are negative or look like another
        unit, an application outside the season, a stage that cannot be, a trigger without an amount.

    Notes
    -----
    Applications of one day, or of one stage, add up. Fertiliser of one day has one recovery, the mean of the
    applications' own weighted by their amounts.

    Examples
    --------
    >>> Management(
    ...     sowing="2023-05-02",
    ...     harvest="2023-11-01",
    ...     irrigation=[("2023-06-29", 33.0)],
    ...     nitrogen=[("2023-05-02", 5.0), ("2023-06-15", 10.0, 0.8)],
    ... )
    """

    sowing: date | None
    emergence: date | None
    transplanting: date | None
    start: date | None
    end: date | None
    harvest: date | None
    longest: int | None
    irrigation: Applications
    irrigation_table: Applications
    nitrogen: Applications
    phosphorus: Applications
    potassium: Applications
    nitrogen_recovery: Recovery
    phosphorus_recovery: Recovery
    potassium_recovery: Recovery
    irrigation_by_stage: Staged
    nitrogen_by_stage: Staged
    phosphorus_by_stage: Staged
    potassium_by_stage: Staged
    automatic_irrigation: bool
    flooded: bool
    irrigation_trigger: float | None
    irrigation_dose: float | None
    irrigation_refill: float | None
    irrigation_factor: float

    def __init__(
        self,
        *,
        sowing: Day | None = None,
        emergence: Day | None = None,
        transplanting: Day | None = None,
        start: Day | None = None,
        end: Day | None = None,
        harvest: Day | None = None,
        longest: int | None = None,
        irrigation: Iterable[tuple[Day, float]] = (),
        irrigation_table: Iterable[tuple[Day, float]] = (),
        nitrogen: Iterable[tuple[Any, ...]] = (),
        phosphorus: Iterable[tuple[Any, ...]] = (),
        potassium: Iterable[tuple[Any, ...]] = (),
        nitrogen_recovery: float | Iterable[tuple[Day | int, float]] | None = None,
        phosphorus_recovery: float | Iterable[tuple[Day | int, float]] | None = None,
        potassium_recovery: float | Iterable[tuple[Day | int, float]] | None = None,
        irrigation_by_stage: Iterable[tuple[float, float]] = (),
        nitrogen_by_stage: Iterable[tuple[float, float]] = (),
        phosphorus_by_stage: Iterable[tuple[float, float]] = (),
        potassium_by_stage: Iterable[tuple[float, float]] = (),
        automatic_irrigation: bool = False,
        flooded: bool = False,
        irrigation_trigger: float | None = None,
        irrigation_dose: float | None = None,
        irrigation_refill: float | None = None,
        irrigation_factor: float = 0.0,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        problems: list[str] = []
        for name in (*_STARTS, "start", "end", "harvest"):
            given[name] = None if given[name] is None else read_date(name, given[name], problems)
        for kind in LIMITS:
            given[kind] = read_applications(kind, given[kind], problems)
        for nutrient in NUTRIENTS:
            name = f"{nutrient}_recovery"
            given[name] = read_recovery(nutrient, given[name], problems)
        for kind in STAGED:
            given[f"{kind}_by_stage"] = read_staged(kind, given[f"{kind}_by_stage"], problems)
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if sowing is None and emergence is None and transplanting is None:
            problems.append("neither sowing nor emergence nor transplanting is given; a season needs one of them")
        if transplanting is not None and (sowing is not None or emergence is not None):
            problems.append("transplanting goes with neither sowing nor emergence: a transplanted crop stands already")
        problems += self._choices()
        if not problems:
            problems += self._order() + self._outside()
        if problems:
            raise ManagementError(problems)

    @property
    def first_day(self) -> date:
        """First day of the run: `start`, else the sowing or transplanting, else two days before emergence."""
        given = self.start or self.sowing or self.transplanting
        if given is not None:
            return given
        assert self.emergence is not None
        return self.emergence - timedelta(days=_BEFORE_EMERGENCE)

    @property
    def last_day(self) -> date | None:
        """Last day that may be simulated: the earliest of `end`, `harvest` and the `longest` life, or None."""
        begun = self.sowing or self.transplanting or self.emergence
        assert begun is not None
        longest = None if self.longest is None else begun + timedelta(days=self.longest)
        return min((day for day in (self.end, self.harvest, longest) if day is not None), default=None)

    def _order(self) -> list[str]:
        dates = [(name, getattr(self, name)) for name in (*_STARTS, "end", "harvest")]
        given = [("start", self.first_day), *((name, day) for name, day in dates if day is not None)]
        problems = [
            f"{later} on {after} is before {earlier} on {before}; expected start, sowing, emergence or transplanting, "
            f"end, harvest in this order"
            for (earlier, before), (later, after) in pairwise(given)
            if after < before
        ]
        if self.transplanting is not None and self.transplanting > self.first_day:
            problems.append(
                f"start on {self.start} is before transplanting on {self.transplanting}; a transplanted crop stands on "
                f"the run's first day: leave start out"
            )
        return problems

    def _outside(self) -> list[str]:
        start, last = self.first_day, self.last_day
        problems = []
        for kind, limit in LIMITS.items():
            for day, amount, *_ in getattr(self, kind):
                if day < start or (last is not None and day > last):
                    problems.append(
                        f"{kind} of {amount:g} {limit.unit} on {day} lies outside the season, {start} to "
                        f"{last or 'its end'}: move start or end, or leave it out"
                    )
        return problems

    def _choices(self) -> list[str]:
        problems = []
        longest = self.longest
        if longest is not None and (isinstance(longest, bool) or not isinstance(longest, int) or longest < 1):
            problems.append(f"longest is {longest!r}; expected a whole number of days, at least 1")
        for name in ("automatic_irrigation", "flooded"):
            if not isinstance(getattr(self, name), bool):
                problems.append(f"{name} is {getattr(self, name)!r}; expected true or false")
        if not within(self.irrigation_factor, 0.0, 1.0):
            problems.append(f"irrigation_factor is {self.irrigation_factor!r}; expected a number, 0 to 1")
        return problems + self._trigger()

    def _trigger(self) -> list[str]:
        given = {name: getattr(self, name) for name in _TRIGGERS if getattr(self, name) is not None}
        problems = []
        for name, value in given.items():
            unit, most = _TRIGGERS[name]
            if not within(value, 0.0, most) or value == 0:
                problems.append(f"{name} is {value!r}; expected a number above 0, up to {most:g} {unit}")
        if given and "irrigation_trigger" not in given:
            problems.append(f"{' and '.join(given)} without irrigation_trigger: say below which share of the water")
        if list(given) == ["irrigation_trigger"]:
            problems.append("irrigation_trigger without an amount: give irrigation_dose [mm] or irrigation_refill [-]")
        if given and self.automatic_irrigation is True:
            problems.append(f"automatic_irrigation and {next(iter(given))}: give one of the two rules")
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
        end = self.last_day or min(start + timedelta(days=LONGEST - 1), last)
        if start < station.first or start > last or end > last:
            raise ManagementError(
                [
                    f"the season of {start} to {end} needs weather of these days; {station.name} has "
                    f"{station.first} to {last}"
                ]
            )
        # An end that follows from the weather bounds the applications too.
        dataclasses.replace(self, end=end)
        return Season(
            station=station,
            start=start,
            end=end,
            sowing=self.sowing,
            emergence=self.transplanting or self.emergence,
            management=self._values(),
            events={
                kind: tuple((day, amount) for day, amount, *_ in getattr(self, kind))
                for kind in LIMITS
                if getattr(self, kind)
            },
            by_stage={kind: applied for kind in STAGED if (applied := getattr(self, f"{kind}_by_stage"))},
            site=dict(site or {}),
            soil=soil,
            labels=dict(labels or {}),
        )

    def _values(self) -> dict[str, Any]:
        """Choices that are made, by the names of the models' management records: others are no model's to know."""
        values: dict[str, Any] = {
            "automatic_irrigation": float(self.automatic_irrigation),
            "flooded": float(self.flooded),
            "irrigation_factor": float(self.irrigation_factor),
        }
        values |= {name: float(getattr(self, name) or 0.0) for name in _TRIGGERS}
        for nutrient in NUTRIENTS:
            name = f"{nutrient}_recovery"
            values[name] = recovery_points(nutrient, getattr(self, nutrient), getattr(self, name), self.first_day)
        return {name: value for name, value in values.items() if value}


def seasons(
    weather: Any,
    *,
    sowing: Day | Iterable[Day] = (),
    emergence: Day | Iterable[Day] = (),
    transplanting: Day | Iterable[Day] = (),
    years: Iterable[int] | None = None,
    length: int = LONGEST,
    incomplete: str = "error",
    soil: Record | None = None,
    site: Mapping[str, float] | None = None,
    **management: Any,
) -> list[Season]:
    """Make one season per year and date of sowing (emergence, transplanting), all on the same weather.

    Parameters
    ----------
    weather : Weather or Station
        Held once, however many seasons.
    sowing, emergence, transplanting : str, date or iterable of them
        One of the three: days ``"04-20"`` of every year in `years`, or full dates.
    years : iterable of int, optional
        Years of these days; refused with full dates.
    length : int
        Days of each season [d]; a harvest or the longest life may end it before.
    incomplete : {"error", "drop"}
        What to do with a season that the weather does not cover.
    soil, site
        As of `Management.season`.
    **management
        As of `Management`: harvest, longest, irrigation, nitrogen, irrigation_trigger and others. A day ``"07-15"`` in
        them is the first one on or after the start of each season.

    Returns
    -------
    list of Season
        Labelled ``year`` and ``sowing`` (or ``emergence``, ``transplanting``), by date.

    Raises
    ------
    ManagementError
        If a date is none, an application cannot be, or the weather does not cover a season, unless these are dropped;
        if none is left.
    TypeError
        If `Management` has no such argument.
    """
    starts = {"sowing": sowing, "emergence": emergence, "transplanting": transplanting}
    begun = [name for name, several in starts.items() if several]
    if len(begun) != 1:
        raise ManagementError(["give the dates of either sowing or emergence or transplanting"])
    kind, several = begun[0], starts[begun[0]]
    given = [several] if isinstance(several, str | date) else list(several)
    if length < 1:
        raise ManagementError([f"length is {length} d; expected at least 1"])
    if incomplete not in ("error", "drop"):
        raise ManagementError([f"incomplete is {incomplete!r}; expected 'error' or 'drop'"])
    _check_names(management)
    # Read more than once: an iterator would be empty in the second season.
    every_season = {
        name: list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value
        for name, value in management.items()
    }
    station = station_of(weather)
    found, short = [], []
    for day in sorted(_days(kind, given, years)):
        start = day - timedelta(days=_BEFORE_EMERGENCE if kind == "emergence" else 0)
        practice: dict[str, Any] = {name: _in_season(name, value, start) for name, value in every_season.items()}
        managed = Management(**practice | {kind: day})
        end = min(managed.last_day or date.max, start + timedelta(days=length - 1))
        if start < station.first or end > _last_day(station):
            short.append(f"{start} to {end}")
            continue
        labels = {"year": str(day.year), kind: f"{day:%m-%d}"}
        found.append(dataclasses.replace(managed, end=end).season(station, soil, site, labels))
    if short and (incomplete == "error" or not found):
        shown = ", ".join(short[:3]) + (f" and {len(short) - 3} more" if len(short) > 3 else "")
        remedy = "" if incomplete == "drop" else ": shorten `length`, or leave them out with incomplete='drop'"
        has = f"{station.name} has weather of {station.first} to {_last_day(station)}"
        raise ManagementError([f"{has}, not of the season of {shown}{remedy}"])
    return found


def _check_names(management: Mapping[str, Any]) -> None:
    """Names of what is done in every season; its dates follow from `length`."""
    known = [name for name in inspect.signature(Management).parameters if name not in (*_STARTS, "start", "end")]
    for name in management:
        if name in ("start", "end"):
            raise TypeError(f"seasons() takes no {name!r}: say `length`, or make a Management of every season")
        if name not in known:
            raise TypeError(f"seasons() and Management have no {name!r}{nearest(name, known)}; {', '.join(known)}")


def _days(kind: str, given: Sequence[Day], years: Iterable[int] | None) -> set[date]:
    """Dates of sowing, emergence or transplanting: full dates, or days of every year."""
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


def _in_season(name: str, given: Any, start: date) -> Any:
    """Give what has a day without a year its date, the first on or after the start: harvest, applications."""

    def dated(day: Any) -> Any:
        if not _is_day_of_year(day):
            return day
        this_year = to_date(f"{start.year}-{day}", name)
        return this_year if this_year >= start else to_date(f"{start.year + 1}-{day}", name)

    if isinstance(given, list):
        return [(dated(item[0]), *item[1:]) if isinstance(item, list | tuple) and item else item for item in given]
    return dated(given)


def _is_day_of_year(day: Any) -> bool:
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
    problems: list[str] = []
    found = read_date(what, given, problems)
    if found is None:
        raise ManagementError(problems)
    return found
