"""Rows of a weather table become days: read, put in order, converted, filled and checked.

What is wrong is collected in `Findings`, a sentence each, so that a source's problems come in one `WeatherError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from torchcrop.inputs.units import UnitError, convert, known_units, shortest
from torchcrop.models.model import Site, Weather
from torchcrop.quantities import nearest

__all__ = [
    "MISSING_CODES",
    "NAMES",
    "QUANTITIES",
    "UNITS",
    "VARIABLES",
    "Asked",
    "Daily",
    "Findings",
    "Place",
    "Rows",
    "WeatherError",
    "and_more",
    "check_complete",
    "check_options",
    "check_site",
    "check_values",
    "day_length",
    "extraterrestrial_radiation",
    "fill_gaps",
    "find_constants",
    "marks_within",
    "notes_of",
    "order_days",
    "read_rows",
    "split_flags",
    "tell_days",
    "tell_marks",
    "to_our_units",
]

QUANTITIES = Weather.quantities()
VARIABLES = tuple(QUANTITIES)
UNITS = {name: quantity.unit for name, quantity in QUANTITIES.items()}
NAMES = {spelling: name for name, quantity in QUANTITIES.items() for spelling in quantity.spellings()}

# What other programs call the variables, lower case without punctuation: for hints only, never for reading.
_RESEMBLING = {
    "tmin": ("tmin", "mint", "tempmin", "temperaturemin", "t2mmin", "tmn"),
    "tmax": ("tmax", "maxt", "tempmax", "temperaturemax", "t2mmax", "tmx"),
    "srad": ("rad", "swdw"),
    "rain": ("rain", "prec", "prcp"),
    "wind": ("wind", "wnd", "ws2m", "ws10m"),
    "vap": ("vap", "vp"),
}
MISSING_CODES = (-99.0, -99.9, -999.0, -999.9, -9999.0)
_METHODS = ("linear", "climatology")

# Limits of the checks. They were chosen by looking at data: 46 field experiments, 24 reference cases, 24 years of
# Wageningen, 31 years of Iowa, LIRF and Maricopa. The largest values seen in them are given here.
_RADIATION_SHARE = 1.05  # of extraterrestrial radiation: 1.034 (Wageningen, 8 March 1988), 0.84 otherwise;
_RADIATION_EXCESS = 0.5  # [MJ m-2 d-1] twilight where the sun hardly rises, and coordinates that are approximate
_VAPOUR_SHARE = 1.3  # of saturation at tmax: 0.99, but 1.35 (0.66 kPa at -3 degC) and thrice 1.2-1.3 in Wageningen,
_VAPOUR_EXCESS = 0.1  # [kPa] read at 9 h when tmax belongs to other 24 h. hPa for kPa is ten times, and every day
_MONTH, _SEASON = 28, 90  # [d] from which means are judged
_CLEARNESS = (0.2, 0.78)  # mean of a season: 0.36-0.66
_CLEARNESS_MONTH = (0.15, 0.78)  # mean of a month: 0.18 (Wageningen, December 1988)-0.72 (Maricopa, June)
_WIND = (0.4, 8.0)  # [m s-1] mean: 1.5-4.0
_WET_DAY = 0.5  # [mm d-1] least mean of the days with rain: 1.7
_WET_DAYS = 20  # that many, to judge it


class WeatherError(ValueError):
    """Weather that cannot be used.

    Attributes
    ----------
    problems : tuple of str
        Every problem of the source, one sentence each.
    """

    def __init__(self, title: str, problems: Sequence[str]) -> None:
        super().__init__(title, tuple(problems))
        self.title = title
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.title}: {self.problems[0]}"
        return f"{self.title} has {len(self.problems)} problems:" + "".join(f"\n- {p}" for p in self.problems)


# ---------------------------------------------------------------- what was asked, what was found


@dataclass
class Findings:
    """Problems of one source, collected so that its user reads them all at once."""

    title: str
    problems: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        self.problems.append(problem)

    def error(self) -> WeatherError:
        return WeatherError(self.title, self.problems)

    def stop(self) -> None:
        if self.problems:
            raise self.error()


@dataclass(frozen=True)
class Place:
    """Where the weather is: latitude and longitude [degree], elevation [m]."""

    latitude: float
    longitude: float
    elevation: float


@dataclass(frozen=True)
class Asked:
    """The options of a reader, by our names; `unreadable` variables have a unit that is unknown."""

    units: dict[str, str]
    unreadable: frozenset[str]
    defaults: dict[str, float]
    fill: dict[str, str | float]
    wind_height: float


@dataclass(frozen=True)
class Rows:
    """Rows as they came: values in the source's units, NaN where missing.

    `days` is None if they could not be read; `empty` columns have no value, `spoiled` ones hold text.
    """

    days: pd.DatetimeIndex | None
    raw: dict[str, np.ndarray]
    codes: dict[str, list[float]]
    flags: list[str]
    empty: list[str]
    spoiled: list[str]
    unused: list[str]


@dataclass(frozen=True)
class Daily:
    """The same on every day from the first to the last; `absent` days have no row."""

    raw: pd.DataFrame
    absent: np.ndarray
    flags: pd.Series


def check_site(latitude: float, longitude: float, elevation: float, findings: Findings) -> Place:
    """Give the place; a latitude that is missing, or a number beyond its bounds, is a problem."""
    place = Place(float(latitude), float(longitude), float(elevation))
    if np.isnan(place.latitude):
        findings.add('the latitude is missing: pass latitude=..., or begin a CSV file with "# latitude: 42.035"')
    elif not -90 <= place.latitude <= 90:
        findings.add(f"the latitude is {place.latitude:g}; expected -90 to 90 degree, north positive")
    if not (np.isnan(place.longitude) or -180 <= place.longitude <= 360):
        findings.add(f"the longitude is {place.longitude:g}; expected -180 to 180 degree, east positive")
    low, high = Site.quantities()["elevation"].bounds
    if not low <= place.elevation <= high:
        findings.add(f"the elevation is {place.elevation:g}; expected {low:g} to {high:g} m")
    return place


def check_options(
    units: Mapping[str, str] | None,
    defaults: Mapping[str, float] | None,
    fill: str | Mapping[str, str | float] | None,
    wind_height: float,
    findings: Findings,
) -> Asked:
    """Give the options by our names; names, units and methods that are unknown are problems."""
    by_name = _by_variable(units or {}, "units", findings)
    unreadable = set()
    for v, unit in by_name.items():
        try:
            convert(0.0, unit, UNITS[v], what=f"weather.{v}")
        except UnitError as error:
            findings.add(str(error))
            unreadable.add(v)
    # FAO-56 eq. 47 has no meaning near the ground.
    if not wind_height >= 0.5:
        findings.add(f"the wind_height is {wind_height:g}; expected 0.5 m or more")
        unreadable.add("wind")
    return Asked(
        units={v: unit for v, unit in by_name.items() if v not in unreadable},
        unreadable=frozenset(unreadable),
        defaults=_by_variable(defaults or {}, "defaults", findings),
        fill=_methods(fill, findings),
        wind_height=wind_height,
    )


def _by_variable(given: Mapping[str, Any], option: str, findings: Findings) -> dict[str, Any]:
    for key in given:
        if str(key).lower() not in NAMES:
            findings.add(f"{option} names {key!r}, which is no weather variable{nearest(str(key), NAMES)}")
    return {NAMES[key.lower()]: value for key, value in given.items() if str(key).lower() in NAMES}


def _methods(fill: str | Mapping[str, str | float] | None, findings: Findings) -> dict[str, str | float]:
    """Give the method of filling by variable."""
    if fill is None:
        return {}
    if not isinstance(fill, str | Mapping):
        findings.add(f'fill={fill!r} names no variable: say which it is for, as in fill={{"rain": 0.0}}')
        return {}
    # Interpolating between two dry days or two wet ones says nothing of the rain between them.
    spared = "rain" if fill == "linear" else ""
    asked = (
        {v: fill for v in VARIABLES if v != spared} if isinstance(fill, str) else _by_variable(fill, "fill", findings)
    )
    methods: dict[str, str | float] = {}
    for v, method in asked.items():
        if isinstance(method, str) and method not in _METHODS:
            text = f"fill={method!r} is unknown{nearest(method, _METHODS)}; known are {', '.join(_METHODS)} and numbers"
            if text not in findings.problems:
                findings.add(text)
        else:
            methods[v] = method
    return methods


def notes_of(asked: Asked, unused: list[str]) -> dict[str, str]:
    """Say what was converted, from which height wind was reduced and which columns were not used."""
    notes: dict[str, str] = {}
    converted = {v: unit for v, unit in asked.units.items() if convert(1.0, unit, UNITS[v]) != 1.0}
    if converted:
        notes["converted"] = ", ".join(f"{v} from {unit}" for v, unit in converted.items())
    if asked.wind_height != 2.0:
        notes["wind_height"] = f"{asked.wind_height:g} m, reduced to 2 m"
    if unused:
        notes["unused_columns"] = ", ".join(unused)
    return notes


# ---------------------------------------------------------------- rows


def read_rows(frame: pd.DataFrame, columns: Mapping[str, str], findings: Findings) -> Rows:
    """Find days, variables and flags in the columns, and read the numbers."""
    found = _find_columns(frame, columns, findings)
    days = _read_days(frame, found, findings)
    raw: dict[str, np.ndarray] = {}
    codes: dict[str, list[float]] = {}
    empty, spoiled = [], []
    for v in VARIABLES:
        if v not in found:
            continue
        values, texts = _numbers(frame.iloc[:, found[v]])
        coded = np.isin(values, MISSING_CODES)
        if texts:
            row, text = texts[0]
            day = f"in row {row + 1}" if days is None else f"on {days[row]:%Y-%m-%d}"
            findings.add(f"weather.{v} {day} is {text!r}; expected a number{and_more(len(texts) - 1, 'such cells')}")
            spoiled.append(v)
        elif np.isnan(values[~coded]).all():
            empty.append(v)
        else:
            raw[v] = np.where(coded, np.nan, values)
        if coded.any():
            codes[v] = sorted({float(code) for code in values[coded]}, reverse=True)
    flags = frame.iloc[:, found["flags"]].tolist() if "flags" in found else [""] * len(frame)
    return Rows(
        days=days,
        raw=raw,
        codes=codes,
        flags=["" if pd.isna(flag) else str(flag) for flag in flags],
        empty=empty,
        spoiled=spoiled,
        unused=[str(column) for place, column in enumerate(frame.columns) if place not in found.values()],
    )


def _find_columns(frame: pd.DataFrame, columns: Mapping[str, str], findings: Findings) -> dict[str, int]:
    """Give the place of the frame's columns by our name."""
    roles = {**NAMES, **{name: name for name in ("date", "year", "doy", "flags")}}
    for theirs, ours in columns.items():
        if theirs not in frame.columns:
            turned = (
                f'; write it the other way round, columns={{"{ours}": "{theirs}"}}' if ours in frame.columns else ""
            )
            hint = turned or nearest(str(theirs), map(str, frame.columns))
            findings.add(f"columns names {theirs!r}, which the source does not have{hint}")
        if ours.lower() not in roles:
            findings.add(f"columns maps {theirs!r} to {ours!r}, which is no weather variable{nearest(ours, roles)}")
    found: dict[str, int] = {}
    for place, column in enumerate(frame.columns):
        role = roles.get(str(columns.get(column, column)).strip().lower())
        if role in found:
            other = frame.columns[found[role]]
            findings.add(f"columns {other!r} and {column!r} are both {role}; drop one of them")
        elif role is not None:
            found[role] = place
    return found


def _read_days(frame: pd.DataFrame, found: Mapping[str, int], findings: Findings) -> pd.DatetimeIndex | None:
    """Give the day of every row; None, with a problem, if that cannot be told."""
    if len(frame) == 0:
        findings.add("there are no rows")
        return None
    if isinstance(frame.index, pd.DatetimeIndex):
        days = frame.index.tz_localize(None)
    elif "date" in found:
        days = _parse_dates(frame.iloc[:, found["date"]].tolist(), findings)
    elif str(frame.index.name).lower() == "date":
        days = _parse_dates(frame.index.tolist(), findings)
    elif "year" in found and "doy" in found:
        days = _count_days(frame.iloc[:, found["year"]], frame.iloc[:, found["doy"]], findings)
    else:
        findings.add("there is no column 'date', nor 'year' and 'doy'; it has " + ", ".join(map(str, frame.columns)))
        return None
    if days is not None and days.isna().any():
        findings.add(f"the date of row {int(np.argmax(days.isna())) + 1} is missing")
        return None
    return None if days is None else pd.DatetimeIndex(days).normalize().as_unit("ns")


def _parse_dates(cells: Sequence[Any], findings: Findings) -> pd.DatetimeIndex | None:
    texts = [str(cell).strip() for cell in cells]
    # Strict, since 202011 and 01/02/2020 can be read in two ways.
    iso = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?|\d{8}")
    plain = [text[:10].replace("-", "") if iso.fullmatch(text) else "" for text in texts]
    days = pd.to_datetime(pd.Series(plain, dtype=object), format="%Y%m%d", errors="coerce")
    wrong = np.flatnonzero(days.isna())
    if wrong.size:
        row = int(wrong[0])
        findings.add(
            f"the date of row {row + 1} is {texts[row]!r}; expected a day written as 2019-05-03 or 20190503"
            + and_more(wrong.size - 1, "such rows")
        )
        return None
    return pd.DatetimeIndex(days)


def _count_days(year: pd.Series, doy: pd.Series, findings: Findings) -> pd.DatetimeIndex | None:
    years, bad_years = _numbers(year)
    doys, bad_doys = _numbers(doy)
    whole = (years % 1 == 0) & (doys % 1 == 0) & (years >= 1700) & (years <= 2200) & (doys >= 1)
    start = pd.to_datetime(pd.Series(np.where(whole, years, 2000).astype(int).astype(str)), format="%Y")
    whole &= doys <= 365 + start.dt.is_leap_year.to_numpy()
    wrong = np.flatnonzero(~whole)
    if wrong.size:
        row = int(wrong[0])
        texts = dict(bad_years).get(row, f"{years[row]:g}"), dict(bad_doys).get(row, f"{doys[row]:g}")
        findings.add(
            f"row {row + 1} has year {texts[0]} and doy {texts[1]}; expected a year in full and a day of that year, "
            f"1 to 365 or 366{and_more(wrong.size - 1, 'such rows')}"
        )
        return None
    return pd.DatetimeIndex(start + pd.to_timedelta(doys - 1, unit="D"))


def _numbers(cells: pd.Series) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Read numbers, NaN for empty cells; cells that hold other text come by row."""
    if pd.api.types.is_numeric_dtype(cells):
        return cells.to_numpy(dtype=np.float64, na_value=np.nan), []
    values = np.full(len(cells), np.nan)
    texts = []
    for row, cell in enumerate(cells.tolist()):
        text = "" if cell is None or cell is pd.NA else str(cell).strip()
        if text.lower() in ("", "nan", "na", "none", "null"):
            continue
        try:
            values[row] = float(text)
        except ValueError:
            texts.append((row, text))
    return values, texts


def find_constants(rows: Rows, asked: Asked, findings: Findings) -> dict[str, float]:
    """Give the constants of absent variables; an absent variable that no default was asked for is a problem."""
    constants = {}
    for v in VARIABLES:
        if v in rows.raw or v in rows.spoiled:
            continue
        similar = [c for c in rows.unused if _resembles(c, v)]
        if similar:
            renamed = f'columns={{"{similar[0]}": "{v}"}}'
            findings.add(f"there is no column {v!r}; if {similar[0]!r} is meant, pass {renamed}, else drop it")
        elif v in asked.defaults:
            constants[v] = float(asked.defaults[v])
        else:
            lack = f"column {v!r} is empty" if v in rows.empty else f"there is no column {v!r}"
            remedy = f'; for a constant, ask for it: defaults={{"{v}": 2.0}}' if v == "wind" else ""
            findings.add(f"{lack} ({QUANTITIES[v].doc} [{UNITS[v]}]){remedy}")
    return constants


def _resembles(column: str, variable: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", column.lower())
    return any(part in plain for part in _RESEMBLING[variable]) or bool(nearest(column, [variable]))


# ---------------------------------------------------------------- days


def order_days(rows: Rows, days: pd.DatetimeIndex, findings: Findings) -> Daily:
    """Put the rows in order, every day once."""
    again = days.duplicated()
    if again.any():
        twice = days[again].unique().sort_values()
        findings.add(
            f"there is more than one row for {_ranges(twice)}; expected one per day (hourly data: sum or average "
            "them first)"
        )
    every = pd.date_range(days.min(), days.max(), freq="D", name="date", unit="ns")
    raw = pd.DataFrame(rows.raw, index=days)[~again].reindex(every)
    flags = pd.Series(rows.flags, index=days, dtype=object)[~again].reindex(every, fill_value="")
    return Daily(raw, ~every.isin(days), flags)


def to_our_units(raw: pd.DataFrame, constants: Mapping[str, float], asked: Asked) -> pd.DataFrame:
    """Convert to our units and put in the constants. What could not be read is left out."""
    data = pd.DataFrame(index=raw.index)
    for v in VARIABLES:
        if v in asked.unreadable:
            continue
        if v in constants:
            data[v] = constants[v]
        elif v in raw:
            data[v] = convert(raw[v], asked.units.get(v, UNITS[v]), UNITS[v])
            if v == "wind" and asked.wind_height != 2.0:
                data[v] *= 4.87 / np.log(67.8 * asked.wind_height - 5.42)
    return data


def fill_gaps(data: pd.DataFrame, methods: Mapping[str, str | float]) -> dict[str, tuple[date, ...]]:
    """Fill gaps in place, as asked; give the days filled by variable."""
    filled = {}
    for v in data.columns:
        values = data[v].to_numpy(copy=True)
        gaps = np.flatnonzero(np.isnan(values))
        if v not in methods or not gaps.size:
            continue
        method = methods[v]
        if method == "linear":
            known = np.flatnonzero(~np.isnan(values))
            values[gaps] = np.interp(gaps, known, values[known], left=np.nan, right=np.nan)
        elif method == "climatology":
            values[gaps] = _climatology(values, gaps, data.index)
        else:
            values[gaps] = float(method)
        data[v] = values
        done = gaps[~np.isnan(values[gaps])]
        if done.size:
            filled[v] = tuple(data.index[done].date)
    return filled


def _climatology(values: np.ndarray, gaps: np.ndarray, days: pd.DatetimeIndex) -> np.ndarray:
    """Mean of the 15 days around the same day of year in all other years; NaN where there are none."""
    doy = days.day_of_year.to_numpy()
    means = np.full(gaps.size, np.nan)
    for place, gap in enumerate(gaps):
        apart = np.abs(doy - doy[gap])
        near = np.minimum(apart, 365 - apart) <= 7
        # Neighbours of the same season are no climate: at least half a year away.
        elsewhere = np.abs(np.arange(values.size) - gap) > 182
        sample = values[near & elsewhere & ~np.isnan(values)]
        if sample.size:
            means[place] = sample.mean()
    return means


def split_flags(
    flags: pd.Series, variables: Iterable[str]
) -> tuple[dict[str, tuple[date, ...]], dict[str, tuple[date, ...]]]:
    """Give the days filled by the source, by variable, and the days of other flags, by flag."""
    filled: dict[str, list[date]] = {}
    others: dict[str, list[date]] = {}
    for day, text in flags[flags != ""].items():
        for flag in (part.strip() for part in text.split(";")):
            which = variables if flag == "filled" else [flag.removeprefix("filled:")]
            if flag.startswith("filled") and all(v in VARIABLES for v in which):
                for v in which:
                    filled.setdefault(v, []).append(day.date())
            elif flag:
                others.setdefault(flag, []).append(day.date())
    return {v: tuple(d) for v, d in filled.items()}, {f: tuple(d) for f, d in others.items()}


# ---------------------------------------------------------------- checks


def check_complete(
    data: pd.DataFrame, daily: Daily, asked: Asked, codes: Mapping[str, list[float]], findings: Findings
) -> None:
    """Name the days that lack values, all of them."""
    gaps = data.isna()
    measured = [v for v in data.columns if v in daily.raw]
    whole = daily.absent & gaps[measured].all(axis=1).to_numpy()
    if whole.any():
        days = data.index[whole]
        findings.add(
            f"{_days(days.size)} of {len(data)} missing: {_ranges(days)}; complete the source, or ask for a fill of "
            'every variable: fill={"tmin": "linear", ..., "rain": 0.0}'
        )
    for v in measured:
        days = data.index[gaps[v].to_numpy() & ~whole]
        if days.size:
            written = f" (written {' or '.join(f'{code:g}' for code in codes[v])})" if v in codes else ""
            findings.add(
                f"weather.{v} is missing on {_days(days.size)}{written}: {_ranges(days)}"
                + _fill_remedy(asked.fill.get(v), v)
            )


def _fill_remedy(method: str | float | None, variable: str) -> str:
    if method == "linear":
        return "; linear filling needs a value on both sides"
    if method == "climatology":
        return "; filling by climatology needs the same days of another year"
    example = "0.0" if variable == "rain" else '"linear"'
    return f'; complete the source, or ask for a fill: fill={{"{variable}": {example}}}'


def check_values(data: pd.DataFrame, raw: pd.DataFrame, asked: Asked, latitude: float, findings: Findings) -> None:
    """Compare the values with what is possible, and their means with what is plausible."""
    top = extraterrestrial_radiation(latitude if abs(latitude) <= 90 else np.nan, data.index.day_of_year.to_numpy())
    units = _Units(raw, asked.units, top)
    # What is out of bounds has been named, and is not to cause further complaints.
    checked = {v: _check_bounds(v, data[v], units, findings) for v in data.columns}
    possible = pd.DataFrame({v: values for v, values in checked.items() if values is not None})
    if {"tmin", "tmax"} <= set(possible.columns):
        _check_order(possible, findings)
    if "srad" in possible:
        _check_radiation(possible["srad"].dropna(), pd.Series(top, data.index), latitude, units, findings)
    if {"tmax", "vap"} <= set(possible.columns):
        _check_vapour(possible.dropna(subset=["tmax", "vap"]), units, findings)
    for v in ("rain", "wind"):
        if v in possible and v in raw and v not in asked.units:
            _check_mean(v, possible[v].dropna(), units, findings)


class _Units:
    """Which units the raw values could have: for hints, judged by medians, which one bad day does not move."""

    def __init__(self, raw: pd.DataFrame, used: Mapping[str, str], top: np.ndarray) -> None:
        self._raw = raw
        self._used = used
        self._top = top
        self._saturation = np.full(len(raw), np.nan)
        if "tmax" in raw:
            fitting = self._fitting("tmax") if self.wrong("tmax") else []
            unit = fitting[0] if fitting else used.get("tmax", UNITS["tmax"])
            self._saturation = _saturation(np.clip(convert(raw["tmax"].to_numpy(), unit, UNITS["tmax"]), -90, 90))

    def wrong(self, v: str) -> bool:
        """Whether the values are not plausible in the unit used, but are in another."""
        return v in self._raw and not self._plausible(v, self._used.get(v, UNITS[v])) and bool(self._fitting(v))

    def hint(self, v: str) -> str:
        """Name the units that would fit, if it is not the one used."""
        fitting = self._fitting(v) if v in self._raw else []
        if not fitting:
            return ""
        options = " or ".join(f'units={{"{v}": "{shortest(unit, UNITS[v])}"}}' for unit in fitting)
        return f" (looks like {' or '.join(fitting)}: pass {options})"

    def _fitting(self, v: str) -> list[str]:
        used = shortest(self._used.get(v, UNITS[v]), UNITS[v])
        others = [unit for unit in known_units(UNITS[v]) if shortest(unit, UNITS[v]) != used]
        return [unit for unit in others if self._plausible(v, unit)]

    def _plausible(self, v: str, unit: str) -> bool:
        values = convert(self._raw[v].to_numpy(), unit, UNITS[v])
        if v == "srad":
            sun = self._top > 1
            values, low, high = values[sun] / self._top[sun], 0.17, 0.78
        elif v == "vap":
            values, low, high = values / self._saturation, 0.08, 1.05
        elif v == "rain":
            values, low, high = values[values > 0], 0.5, 30.0
        elif v == "wind":
            low, high = _WIND
        else:
            low, high = -45.0, 45.0
        values = values[~np.isnan(values)]
        return bool(values.size and low <= np.median(values) <= high)


def _check_bounds(v: str, values: pd.Series, units: _Units, findings: Findings) -> pd.Series | None:
    """Name the values beyond the bounds of the variable.

    Returns
    -------
    Series or None
        The values with NaN in place of those; None if the unit is wrong, so that a further check would only say the
        same again.
    """
    low, high = QUANTITIES[v].bounds
    bad = (values < low) | (values > high)
    if not bad.any():
        return values
    to = "-" if low >= 0 else " to "
    wrong = units.wrong(v)
    findings.add(
        f"weather.{v} on {_first(values[bad])}; expected {low:g}{to}{high:g} {UNITS[v]}"
        + (units.hint(v) if wrong else "")
        + _further(values[bad], wrong)
    )
    return None if wrong else values.mask(bad)


def _check_radiation(values: pd.Series, top: pd.Series, latitude: float, units: _Units, findings: Findings) -> None:
    top = top[values.index]
    bad = (values > _RADIATION_SHARE * top + _RADIATION_EXCESS).to_numpy()
    if bad.any():
        day = values.index[bad][0]
        cause = units.hint("srad") if units.wrong("srad") else ""
        if not cause and bad.sum() > 1:
            other = extraterrestrial_radiation(-latitude, values.index.day_of_year.to_numpy())
            fits = not (values > _RADIATION_SHARE * other + _RADIATION_EXCESS).any()
            cause = f" (latitude {-latitude:g} would fit: south is negative)" if fits else ""
        findings.add(
            f"weather.srad on {_first(values[bad])}, more than the extraterrestrial radiation of {top[day]:.4g} "
            f"{UNITS['srad']} at latitude {latitude:g}{cause or ' (check that day, the latitude and the unit)'}"
            + _further(values[bad], bool(cause))
        )
        if cause:
            return
    days = int((top[~bad] > 0).sum())
    if days < _MONTH:
        return
    share = float(values[~bad].sum() / top[~bad].sum())
    low, high = _CLEARNESS if days >= _SEASON else _CLEARNESS_MONTH
    if not low <= share <= high:
        findings.add(
            f"weather.srad is {share:.2g} of the extraterrestrial radiation on average; expected {low:g}-{high:g}"
            + (units.hint("srad") or " (check the unit, the latitude and the dates)")
        )


def _check_vapour(data: pd.DataFrame, units: _Units, findings: Findings) -> None:
    saturated = _saturation(data["tmax"])
    bad = (data["vap"] > _VAPOUR_SHARE * saturated + _VAPOUR_EXCESS).to_numpy()
    if bad.any():
        day = data.index[bad][0]
        wrong = units.wrong("vap")
        findings.add(
            f"weather.vap on {_first(data['vap'][bad])}, more than the {saturated[day]:.3g} kPa of saturated air at "
            f"tmax {data['tmax'][day]:g} degC"
            + (units.hint("vap") if wrong else " (check that day)")
            + _further(data["vap"][bad], wrong)
        )


def _check_mean(v: str, values: pd.Series, units: _Units, findings: Findings) -> None:
    """Judge the mean of wind, or of rain on the days that have some."""
    if v == "wind":
        enough, (low, high), when, expected = values.size >= _MONTH, _WIND, "on average", f"{_WIND[0]:g}-{_WIND[1]:g}"
    else:
        days, values = values.size, values[values > 0]
        enough, low, high = days >= _SEASON and values.size >= _WET_DAYS, _WET_DAY, np.inf
        when, expected = "on wet days", f"{_WET_DAY:g} or more"
    if enough and not low <= values.mean() <= high:
        vouched = f'units={{"{v}": "{shortest(UNITS[v], UNITS[v])}"}}'
        findings.add(
            f"weather.{v} is {values.mean():.3g} {UNITS[v]} {when}; expected {expected}{units.hint(v)}; "
            f"if it is right, say so: {vouched}"
        )


def _check_order(data: pd.DataFrame, findings: Findings) -> None:
    turned = data[data["tmin"] > data["tmax"]]
    if len(turned):
        first = turned.iloc[0]
        swapped = len(turned) > len(data) / 2
        hint = ' (they look exchanged: pass columns={"tmin": "tmax", "tmax": "tmin"})' if swapped else ""
        findings.add(
            f"weather.tmin on {turned.index[0]:%Y-%m-%d} is {first['tmin']:g}, above tmax {first['tmax']:g} degC{hint}"
            + _further(turned, swapped)
        )


# ---------------------------------------------------------------- sun and air


def extraterrestrial_radiation(latitude: float, doy: np.ndarray) -> np.ndarray:
    """Daily radiation at the top of the atmosphere, FAO-56 eq. 21.

    Parameters
    ----------
    latitude : float
        [degree], north positive.
    doy : ndarray
        Day of the year. [d]

    Returns
    -------
    ndarray
        [MJ m-2 d-1]
    """
    phi, distance, declination, sunset = _sun(latitude, doy)
    day = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return 24 * 60 / np.pi * 0.0820 * distance * day


def day_length(latitude: float, doy: np.ndarray) -> np.ndarray:
    """Hours from sunrise to sunset, FAO-56 eq. 34. [h]"""
    return 24 / np.pi * _sun(latitude, doy)[3]


def _sun(latitude: float, doy: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Latitude [rad], inverse relative distance [-], declination and sunset angle [rad]: FAO-56 eqs. 22-25."""
    phi = np.radians(latitude)
    angle = 2 * np.pi * np.asarray(doy, dtype=np.float64) / 365
    declination = 0.409 * np.sin(angle - 1.39)
    # Beyond +-1 the sun does not set, or does not rise.
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    return phi, 1 + 0.033 * np.cos(angle), declination, sunset


def _saturation(temperature: np.ndarray) -> np.ndarray:
    """Saturation vapour pressure over water, FAO-56 eq. 11. [kPa]"""
    return 0.6108 * np.exp(17.27 * temperature / (temperature + 237.3))


# ---------------------------------------------------------------- wording


def _first(values: pd.Series) -> str:
    return f"{values.index[0]:%Y-%m-%d} is {values.iloc[0]:.6g}"


def _further(rows: pd.Series | pd.DataFrame, every: bool) -> str:
    """Tell of the other days: their number, and which they are unless it is (nearly) every day."""
    others = rows.index[1:]
    return and_more(len(others), "days") + ("" if every or not len(others) else f": {_ranges(others)}")


def and_more(number: int, what: str) -> str:
    """Tell of others, if any: ``; 3 more days``."""
    return f"; {number} more {what if number > 1 else what.removesuffix('s')}" if number else ""


def _days(number: int) -> str:
    return f"{number} day{'s' if number != 1 else ''}"


def tell_days(days: Sequence[date]) -> str:
    """Give the number of days, and which they are."""
    return f"{_days(len(days))} ({_ranges(pd.DatetimeIndex(pd.to_datetime(list(days))))})"


def _ranges(days: pd.DatetimeIndex, most: int = 12) -> str:
    """Write sorted days as ranges: ``1987-03-11, 1987-03-31 to 1987-04-02``."""
    starts = np.flatnonzero(np.diff(days.to_numpy(), prepend=np.datetime64("NaT")) != np.timedelta64(1, "D"))
    ends = [*(starts[1:] - 1), len(days) - 1]
    runs = [
        f"{days[a]:%Y-%m-%d}" + (f" to {days[b]:%Y-%m-%d}" if b > a else "") for a, b in zip(starts, ends, strict=True)
    ]
    rest = len(days) - starts[most] if len(runs) > most else 0
    return ", ".join(runs[:most]) + (f" and {_days(int(rest))} more" if rest else "")


def tell_marks(marked: Mapping[str, tuple[date, ...]]) -> str:
    """Tell which marks are on which days; marks of the same days together."""
    together: dict[tuple[date, ...], list[str]] = {}
    for mark, days in marked.items():
        together.setdefault(days, []).append(mark)
    return "; ".join(f"{', '.join(marks)}: {tell_days(days)}" for days, marks in together.items())


def marks_within(marked: Mapping[str, tuple[date, ...]], since: date, until: date) -> dict[str, tuple[date, ...]]:
    """Keep the days from `since` to `until`, and the marks that then have any."""
    kept = {key: tuple(day for day in days if since <= day <= until) for key, days in marked.items()}
    return {key: days for key, days in kept.items() if days}
