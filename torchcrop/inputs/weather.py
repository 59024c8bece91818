"""Daily weather: read, converted and checked once, where it enters.

Every reader gives a `Weather`: six variables, daily, without gaps, in our units. What is wrong with a source is said in
ONE `WeatherError` that lists all problems. Nothing is filled, defaulted or converted unless asked for by name, and
what was is on record in the result.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from torchcrop.inputs.units import UnitError, convert, known_units, shortest
from torchcrop.models.model import Site
from torchcrop.models.model import Weather as WeatherRecord
from torchcrop.quantities import nearest
from torchcrop.simulation.seasons import Station

__all__ = [
    "Weather",
    "WeatherError",
    "extraterrestrial_radiation",
    "load_weather",
    "read_cabo",
    "read_weather",
    "read_weather_csv",
]

_log = logging.getLogger(__name__)

_QUANTITIES = WeatherRecord.quantities()
_VARIABLES = tuple(_QUANTITIES)
_UNITS = {name: quantity.unit for name, quantity in _QUANTITIES.items()}
_NAMES = {spelling: name for name, quantity in _QUANTITIES.items() for spelling in quantity.spellings()}

# What other programs call the variables, lower case without punctuation: for hints only, never for reading.
_RESEMBLING = {
    "tmin": ("tmin", "mint", "tempmin", "temperaturemin", "t2mmin", "tmn"),
    "tmax": ("tmax", "maxt", "tempmax", "temperaturemax", "t2mmax", "tmx"),
    "srad": ("rad", "swdw"),
    "rain": ("rain", "prec", "prcp"),
    "wind": ("wind", "wnd", "ws2m", "ws10m"),
    "vap": ("vap", "vp"),
}
_MISSING_CODES = (-99.0, -99.9, -999.0, -999.9, -9999.0)
_METHODS = ("linear", "climatology")

# Limits of the checks. They were chosen by looking at data: 46 field experiments, 24 reference cases, 24 years of
# Wageningen, 31 years of Iowa, LIRF and Maricopa. The largest values seen in them are given here.
_RADIATION_SHARE = 1.05  # of extraterrestrial radiation: 1.034 (Wageningen, 8 March 1988), 0.84 otherwise;
_RADIATION_EXCESS = 0.5  # [MJ m-2 d-1] twilight where the sun hardly rises, and coordinates that are approximate
_VAPOUR_SHARE = 1.3  # of saturation at tmax: 0.99, but 1.35, 1.28, 1.21 and 1.17 on single days of Wageningen: read
_VAPOUR_EXCESS = 0.1  # [kPa] at 9 h when tmax belongs to other 24 h. hPa instead of kPa is ten times, on all days
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


@dataclass(frozen=True, eq=False)
class Weather:
    """Daily weather of one place, checked, without gaps.

    Made by `from_frame`, `from_xarray`, `read_weather` and the other readers, which check; the class itself does
    not.

    Attributes
    ----------
    data : DataFrame
        Index: DatetimeIndex ``date``, every day once. Columns: tmin, tmax [degC], srad [MJ m-2 d-1], rain [mm d-1],
        wind [m s-1 at 2 m], vap [kPa]; float64.
    name : str
        Name for messages and provenance.
    latitude, longitude : float
        [degree], north and east positive; the longitude may be NaN.
    elevation : float
        [m]
    source : str
        Where the data came from.
    defaults : mapping of str to float
        Constants that stand for variables the source does not have.
    filled : mapping of str to tuple of date
        By variable: days whose value was filled, here or by the source.
    flags : mapping of str to tuple of date
        Other flags of the source, by name.
    notes : mapping of str to str
        Further provenance: licence, conversions, columns that were not used.
    """

    data: pd.DataFrame
    name: str
    latitude: float
    longitude: float = float("nan")
    elevation: float = 0.0
    source: str = ""
    defaults: Mapping[str, float] = field(default_factory=dict)
    filled: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    flags: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        latitude: float,
        longitude: float = float("nan"),
        elevation: float = 0.0,
        name: str = "station",
        source: str = "a data frame",
        units: Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        wind_height: float = 2.0,
        defaults: Mapping[str, float] | None = None,
        fill: str | Mapping[str, str | float] | None = None,
    ) -> Weather:
        """Take weather from a data frame.

        Parameters
        ----------
        frame : DataFrame
            One row per day in any order. Days: a DatetimeIndex, a column ``date`` (dates, or text as 2019-05-03 or
            20190503), or columns ``year`` and ``doy``. Variables: columns tmin, tmax, srad, rain, wind, vap, or
            their FST symbols; case does not matter. A column ``flags`` holds marks of the source separated by
            ``;`` (``filled``: all variables of the row were filled there; ``filled:rain``: this one). NaN, empty
            cells and the codes -99, -99.9, -999, -999.9, -9999 are missing values.
        latitude, longitude : float
            [degree], north and east positive.
        elevation : float
            [m]
        name, source : str
            For messages and provenance.
        units : mapping of str to str, optional
            Units that differ from ours: ``{"srad": "kJ", "vap": "hPa"}``. A unit given for wind or rain, ours
            included, also vouches for means that are unusual.
        columns : mapping of str to str, optional
            Their name to ours: ``{"irrad_kJ_m2_d": "srad"}``.
        wind_height : float
            Height of the wind measurement. [m] Other than 2 m, it is reduced by FAO-56 eq. 47 (10 m: times 0.748).
        defaults : mapping of str to float, optional
            Constants for variables that the source does not have at all, in our units: ``{"wind": 2.0}``.
        fill : str or mapping, optional
            How to fill gaps; without it a gap is an error. ``"linear"``: between the neighbours, all variables but
            rain. ``"climatology"``: mean of the 15 days around that day of year in other years. By variable, with
            numbers as constants in our units: ``{"rain": 0.0, "tmin": "linear"}``.

        Returns
        -------
        Weather

        Raises
        ------
        WeatherError
            With all problems of the source.

        References
        ----------
        Allen, R. G., Pereira, L. S., Raes, D., & Smith, M. (1998). Crop evapotranspiration. FAO Irrigation and
        Drainage Paper 56, eqs. 21, 11 and 47.
        """
        findings = _Findings(f"weather {name!r} from {source}")
        site = _site(latitude, longitude, elevation, findings)
        asked = _asked(units, defaults, fill, wind_height, findings)
        table = _table(frame, columns or {}, findings)
        constants = _constants(table, asked, findings)
        if table.days is None:
            raise findings.error()
        daily = _daily(table, table.days, findings)
        data = _converted(daily.raw, constants, asked)
        filled = _fill(data, asked.fill)
        _check_complete(data, daily, asked, table.codes, findings)
        _check_values(data, daily.raw, asked, site.latitude, findings)
        findings.stop()

        notes = _notes(asked, table.unused)
        for variable, days in filled.items():
            _log.info("weather %r: filled %s of %s (%s)", name, _count(days), variable, asked.fill[variable])
        for variable, value in constants.items():
            _log.info("weather %r: %s = %g %s throughout", name, variable, value, _UNITS[variable])
        if table.unused:
            _log.info("weather %r: columns not used: %s", name, ", ".join(table.unused))
        at_source, flags = _split_flags(daily.flags, list(daily.raw))
        every = {v: tuple(sorted({*filled.get(v, ()), *at_source.get(v, ())})) for v in _VARIABLES}
        return cls(
            data=data[list(_VARIABLES)],
            name=name,
            latitude=site.latitude,
            longitude=site.longitude,
            elevation=site.elevation,
            source=source,
            defaults=constants,
            filled={v: days for v, days in every.items() if days},
            flags=flags,
            notes=notes,
        )

    @classmethod
    def from_xarray(
        cls,
        ds: xr.Dataset,
        *,
        latitude: float | None = None,
        longitude: float | None = None,
        elevation: float | None = None,
        name: str | None = None,
        source: str | None = None,
        units: Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        wind_height: float = 2.0,
        defaults: Mapping[str, float] | None = None,
        fill: str | Mapping[str, str | float] | None = None,
    ) -> Weather:
        """Take weather from a dataset of one place.

        Parameters
        ----------
        ds : Dataset
            Variables along one dimension, of time; others must have length 1.
        latitude, longitude, elevation, name, source : optional
            As in `from_frame`; otherwise from the dataset's attributes, or its coordinates ``latitude``/``lat``.
        units : mapping of str to str, optional
            As in `from_frame`; a variable not named here is in the unit of its attribute ``units``, if it has one.
        columns, wind_height, defaults, fill : optional
            As in `from_frame`.

        Raises
        ------
        WeatherError
            With all problems of the source.
        """
        name = str(name or ds.attrs.get("name", "station"))
        source = str(source or ds.attrs.get("source", "a dataset"))
        findings = _Findings(f"weather {name!r} from {source}")
        ds = ds.squeeze()
        if len(ds.dims) != 1:
            findings.add(f"it has dimensions {dict(ds.sizes)}; expected time alone (select a place: ds.sel(...))")
            raise findings.error()
        (dim,) = ds.dims
        index = ds.indexes.get(dim)
        if not isinstance(index, pd.DatetimeIndex):
            findings.add(f"its dimension {dim!r} has no dates (other calendars: ds.convert_calendar('standard'))")
            raise findings.error()
        names = {key: _NAMES.get((columns or {}).get(key, key).lower()) for key in map(str, ds.data_vars)}
        written = {v: str(ds[key].attrs["units"]) for key, v in names.items() if v and "units" in ds[key].attrs}
        given = {_NAMES.get(key.lower(), key): unit for key, unit in (units or {}).items()}
        header = {str(key): str(value) for key, value in ds.attrs.items()}
        weather = cls.from_frame(
            pd.DataFrame({key: ds[key].to_numpy() for key in names}, index=index),
            latitude=_stated(latitude, header, "latitude", _coordinate(ds, "latitude", "lat")),
            longitude=_stated(longitude, header, "longitude", _coordinate(ds, "longitude", "lon")),
            elevation=_stated(elevation, header, "elevation", 0.0),
            name=name,
            source=source,
            units={**written, **given},
            columns=columns,
            wind_height=wind_height,
            defaults=defaults,
            fill=fill,
        )
        return _with_header(weather, header)

    def station(self) -> Station:
        """Give the weather as the engine takes it."""
        return Station(
            name=self.name,
            latitude=self.latitude,
            longitude=self.longitude,
            elevation=self.elevation,
            first=self.data.index[0].date(),
            values={v: self.data[v].to_numpy(dtype=np.float64, copy=True) for v in _VARIABLES},
            attributes=self.attributes,
        )

    @property
    def attributes(self) -> dict[str, str]:
        """Provenance as text: source, notes, constants used for absent variables, days filled, flags."""
        told = {
            "source": self.source,
            **self.notes,
            "defaults": ", ".join(f"{v} = {value:g} {_UNITS[v]}" for v, value in self.defaults.items()),
            "filled": _listed(self.filled),
            "flags": _listed(self.flags),
        }
        return {key: text for key, text in told.items() if text}

    def between(self, start: date | str, end: date | str) -> Weather:
        """Cut out the days from `start` to `end`, both included.

        Raises
        ------
        WeatherError
            If a day asked for is not in the record.
        """
        first, last = self.data.index[0], self.data.index[-1]
        since, until = pd.Timestamp(start), pd.Timestamp(end)
        if not first <= since <= until <= last:
            raise WeatherError(
                f"weather {self.name!r}",
                [f"{since:%Y-%m-%d} to {until:%Y-%m-%d} is not within the record, {first:%Y-%m-%d} to {last:%Y-%m-%d}"],
            )
        return replace(
            self,
            data=self.data.loc[since:until],
            filled=_within(self.filled, since.date(), until.date()),
            flags=_within(self.flags, since.date(), until.date()),
        )

    def to_xarray(self) -> xr.Dataset:
        """Give a dataset along ``date``: variables with units, the site and provenance as attributes."""
        ds = xr.Dataset(
            {
                v: ("date", self.data[v].to_numpy(copy=True), {"units": _UNITS[v], "long_name": _QUANTITIES[v].doc})
                for v in _VARIABLES
            },
            coords={"date": self.data.index},
            attrs=self._header(),
        )
        marks = self._marks()
        return ds.assign(flags=("date", marks)) if any(marks) else ds

    def to_csv(self, path: str | Path) -> None:
        """Write the file that `read_weather_csv` reads: the site and provenance as ``#`` lines, then the table."""
        table = self.data.copy()
        marks = self._marks()
        if any(marks):
            table["flags"] = marks
        header = "".join(f"# {key}: {' '.join(str(value).split())}\n" for key, value in self._header().items())
        body = table.to_csv(index_label="date", date_format="%Y-%m-%d", lineterminator="\n")
        Path(path).write_text(header + body, encoding="utf-8", newline="\n")

    def __repr__(self) -> str:
        first, last = self.data.index[0], self.data.index[-1]
        told = {k: v for k, v in self.attributes.items() if k in ("defaults", "filled")}
        return (
            f"Weather({self.name!r}, {first:%Y-%m-%d} to {last:%Y-%m-%d}, latitude {self.latitude:g}, "
            f"longitude {self.longitude:g}, {self.elevation:g} m"
            + "".join(f", {key}: {text}" for key, text in told.items())
            + ")"
        )

    def _header(self) -> dict[str, Any]:
        header: dict[str, Any] = {"name": self.name, "latitude": self.latitude}
        if not np.isnan(self.longitude):
            header["longitude"] = self.longitude
        header |= {"elevation": self.elevation, "source": self.source, **self.notes}
        if self.defaults:
            header["defaults"] = "; ".join(f"{v}={value!r}" for v, value in self.defaults.items())
        return {key: value for key, value in header.items() if value != ""}

    def _marks(self) -> list[str]:
        """Flags and fills per day, as the column ``flags`` holds them."""
        marks: dict[date, list[str]] = {}
        marked = {**self.flags, **{f"filled:{v}": days for v, days in self.filled.items()}}
        for mark, days in marked.items():
            for day in days:
                marks.setdefault(day, []).append(mark)
        return [";".join(sorted(marks.get(day, ()))) for day in self.data.index.date]


def read_weather_csv(
    path: str | Path,
    *,
    latitude: float | None = None,
    longitude: float | None = None,
    elevation: float | None = None,
    name: str | None = None,
    units: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    wind_height: float = 2.0,
    defaults: Mapping[str, float] | None = None,
    fill: str | Mapping[str, str | float] | None = None,
) -> Weather:
    """Read our CSV file: ``date,tmin,tmax,srad,rain,wind,vap``, in any order, with ``#`` lines for the site.

    ``year`` and ``doy`` may stand in place of ``date``. The header may hold lines ``# key: value``: ``latitude``,
    ``longitude``, ``elevation``, ``name``, ``source`` and any further provenance, which is kept as notes.

    Parameters
    ----------
    path : str or Path
        Comma-separated, decimal points.
    latitude, longitude, elevation, name : optional
        Instead of those of the header. The name is otherwise the file's.
    units, columns, wind_height, defaults, fill : optional
        As in `Weather.from_frame`.

    Raises
    ------
    WeatherError
        With all problems of the file.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    header = _read_header(line for line in lines if line.startswith("#"))
    body = [(n, line) for n, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    weather = Weather.from_frame(
        _read_table(path, body),
        latitude=_stated(latitude, header, "latitude", float("nan")),
        longitude=_stated(longitude, header, "longitude", float("nan")),
        elevation=_stated(elevation, header, "elevation", 0.0),
        name=name or header.get("name", path.stem),
        source=str(path),
        units=units,
        columns=columns,
        wind_height=wind_height,
        defaults=defaults,
        fill=fill,
    )
    return _with_header(weather, header)


def read_cabo(
    paths: str | Path | Sequence[str | Path],
    *,
    name: str | None = None,
    wind_height: float = 2.0,
    defaults: Mapping[str, float] | None = None,
    fill: str | Mapping[str, str | float] | None = None,
) -> Weather:
    """Read CABO weather, the format of FST, WOFOST and the Wageningen archive: a file per year, ``NL1.987``.

    Parameters
    ----------
    paths : str, Path or sequence of them
        One or several years of one station.
    name : str, optional
        Otherwise from the comments of the file.
    wind_height, defaults, fill : optional
        As in `Weather.from_frame`.

    Raises
    ------
    WeatherError
        With all problems of the files; also if they disagree about the site, or a file about its year.

    Notes
    -----
    Irradiation is converted from kJ m-2 d-1. With positive Angstrom coefficients A, B in the location line the column
    holds hours of bright sunshine n, and srad = Ra (A + B n / N), with Ra the extraterrestrial radiation and N the
    day length; negative coefficients, and 0 0, mean that it is radiation. Lines that begin with -999, or hold six
    codes from 0 to 3 before a day, tell its status; these days get the flag ``status``. -99 is a missing value.
    """
    files = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    source = ", ".join(map(str, files))
    findings = _Findings(f"weather {name!r} from {source}" if name else f"weather from {source or 'no file'}")
    years = [year for path in files if (year := _read_cabo_file(path, findings)) is not None]
    for year in years[1:]:
        if year.site != years[0].site:
            findings.add(
                f"{year.path.name} is for longitude, latitude, elevation {year.site}, {years[0].path.name} for "
                f"{years[0].site}; read one station at a time"
            )
    if not files:
        findings.add("no file was given")
    findings.stop()
    longitude, latitude, elevation = years[0].site
    weather = Weather.from_frame(
        pd.concat([year.table for year in years], ignore_index=True),
        latitude=latitude,
        longitude=longitude,
        elevation=elevation,
        name=name or years[0].name,
        source=source,
        units={"srad": "kJ m-2 d-1"},
        wind_height=wind_height,
        defaults=defaults,
        fill=fill,
    )
    angstrom = {f"A={year.angstrom[0]:g}, B={year.angstrom[1]:g}": None for year in years if year.angstrom[0] > 0}
    notes = {"sunshine": f"srad from hours of sunshine, {'; '.join(angstrom)}"} if angstrom else {}
    return replace(weather, notes={**weather.notes, **notes})


def read_weather(path: str | Path | Sequence[str | Path], **options: Any) -> Weather:
    """Read a weather file, or the yearly files of a station, by the reader that fits.

    Parameters
    ----------
    path : str, Path or sequence of them
        Our CSV (`read_weather_csv`), CABO (`read_cabo`, several years too) or netCDF (`Weather.from_xarray`).
    **options
        As that reader takes them.

    Raises
    ------
    WeatherError
        If no reader fits, or with all problems of the file.
    """
    if not isinstance(path, str | Path):
        return read_cabo(path, **options)
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith((b"CDF", b"\x89HDF")):
        with xr.open_dataset(path) as ds:
            return Weather.from_xarray(ds.load(), **{"source": str(path), **options})
    named_for_year = re.fullmatch(r"\.\d{3}", path.suffix)
    if named_for_year or (start.startswith(b"*") and not start.upper().startswith(b"*WEATHER")):
        return read_cabo(path, **options)
    if path.suffix.lower() == ".csv":
        return read_weather_csv(path, **options)
    raise WeatherError(
        f"weather from {path}",
        [
            "this is none of the formats read: CSV (.csv with date,tmin,tmax,srad,rain,wind,vap), CABO (NL1.987), "
            "netCDF (read others with pandas and pass the table to Weather.from_frame)"
        ],
    )


def load_weather(
    name: str,
    defaults: Mapping[str, float] | None = None,
    fill: str | Mapping[str, str | float] | None = None,
) -> Weather:
    """Load weather that ships with torchcrop.

    Parameters
    ----------
    name : str
        Such as ``central_iowa_1990_2020``.
    defaults, fill : optional
        As in `Weather.from_frame`. The Iowa file has no wind: ``defaults={"wind": 2.0}``.

    Raises
    ------
    WeatherError
        If what it lacks was not asked for.
    """
    from torchcrop.inputs.shipped import data_path

    return read_weather_csv(data_path("weather", name), defaults=defaults, fill=fill)


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


def _day_length(latitude: float, doy: np.ndarray) -> np.ndarray:
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


# ---------------------------------------------------------------- what was asked, what was found


@dataclass
class _Findings:
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
class _Place:
    latitude: float
    longitude: float
    elevation: float


@dataclass(frozen=True)
class _Asked:
    """The options of a reader, by our names; `unreadable` variables have a unit that is unknown."""

    units: dict[str, str]
    unreadable: frozenset[str]
    defaults: dict[str, float]
    fill: dict[str, str | float]
    wind_height: float


@dataclass(frozen=True)
class _Table:
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
class _Daily:
    """The same on every day from the first to the last; `absent` days have no row."""

    raw: pd.DataFrame
    absent: np.ndarray
    flags: pd.Series


def _site(latitude: float, longitude: float, elevation: float, findings: _Findings) -> _Place:
    place = _Place(float(latitude), float(longitude), float(elevation))
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


def _asked(
    units: Mapping[str, str] | None,
    defaults: Mapping[str, float] | None,
    fill: str | Mapping[str, str | float] | None,
    wind_height: float,
    findings: _Findings,
) -> _Asked:
    by_name = _by_variable(units or {}, "units", findings)
    unreadable = set()
    for v, unit in by_name.items():
        try:
            convert(0.0, unit, _UNITS[v], what=f"weather.{v}")
        except UnitError as error:
            findings.add(str(error))
            unreadable.add(v)
    # FAO-56 eq. 47 has no meaning near the ground.
    if not wind_height >= 0.5:
        findings.add(f"the wind_height is {wind_height:g}; expected 0.5 m or more")
        unreadable.add("wind")
    return _Asked(
        units={v: unit for v, unit in by_name.items() if v not in unreadable},
        unreadable=frozenset(unreadable),
        defaults=_by_variable(defaults or {}, "defaults", findings),
        fill=_methods(fill, findings),
        wind_height=wind_height,
    )


def _by_variable(given: Mapping[str, Any], option: str, findings: _Findings) -> dict[str, Any]:
    for key in given:
        if str(key).lower() not in _NAMES:
            findings.add(f"{option} names {key!r}, which is no weather variable{nearest(str(key), _NAMES)}")
    return {_NAMES[key.lower()]: value for key, value in given.items() if str(key).lower() in _NAMES}


def _methods(fill: str | Mapping[str, str | float] | None, findings: _Findings) -> dict[str, str | float]:
    """Give the method of filling by variable."""
    if fill is None:
        return {}
    if not isinstance(fill, str | Mapping):
        findings.add(f'fill={fill!r} names no variable: say which it is for, as in fill={{"rain": 0.0}}')
        return {}
    # Interpolating between two dry days or two wet ones says nothing of the rain between them.
    spared = "rain" if fill == "linear" else ""
    asked = (
        {v: fill for v in _VARIABLES if v != spared} if isinstance(fill, str) else _by_variable(fill, "fill", findings)
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


def _notes(asked: _Asked, unused: list[str]) -> dict[str, str]:
    notes: dict[str, str] = {}
    converted = {v: unit for v, unit in asked.units.items() if convert(1.0, unit, _UNITS[v]) != 1.0}
    if converted:
        notes["converted"] = ", ".join(f"{v} from {unit}" for v, unit in converted.items())
    if asked.wind_height != 2.0:
        notes["wind_height"] = f"{asked.wind_height:g} m, reduced to 2 m"
    if unused:
        notes["unused_columns"] = ", ".join(unused)
    return notes


# ---------------------------------------------------------------- rows


def _table(frame: pd.DataFrame, columns: Mapping[str, str], findings: _Findings) -> _Table:
    """Find days, variables and flags in the columns, and read the numbers."""
    found = _find_columns(frame, columns, findings)
    days = _read_days(frame, found, findings)
    raw: dict[str, np.ndarray] = {}
    codes: dict[str, list[float]] = {}
    empty, spoiled = [], []
    for v in _VARIABLES:
        if v not in found:
            continue
        values, texts = _numbers(frame.iloc[:, found[v]])
        coded = np.isin(values, _MISSING_CODES)
        if texts:
            row, text = texts[0]
            day = f"in row {row + 1}" if days is None else f"on {days[row]:%Y-%m-%d}"
            findings.add(f"weather.{v} {day} is {text!r}; expected a number{_more(len(texts) - 1, 'such cells')}")
            spoiled.append(v)
        elif np.isnan(values[~coded]).all():
            empty.append(v)
        else:
            raw[v] = np.where(coded, np.nan, values)
        if coded.any():
            codes[v] = sorted({float(code) for code in values[coded]}, reverse=True)
    flags = frame.iloc[:, found["flags"]].tolist() if "flags" in found else [""] * len(frame)
    return _Table(
        days=days,
        raw=raw,
        codes=codes,
        flags=["" if pd.isna(flag) else str(flag) for flag in flags],
        empty=empty,
        spoiled=spoiled,
        unused=[str(column) for place, column in enumerate(frame.columns) if place not in found.values()],
    )


def _find_columns(frame: pd.DataFrame, columns: Mapping[str, str], findings: _Findings) -> dict[str, int]:
    """Give the place of the frame's columns by our name."""
    roles = {**_NAMES, **{name: name for name in ("date", "year", "doy", "flags")}}
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


def _read_days(frame: pd.DataFrame, found: Mapping[str, int], findings: _Findings) -> pd.DatetimeIndex | None:
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


def _parse_dates(cells: Sequence[Any], findings: _Findings) -> pd.DatetimeIndex | None:
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
            + _more(wrong.size - 1, "such rows")
        )
        return None
    return pd.DatetimeIndex(days)


def _count_days(year: pd.Series, doy: pd.Series, findings: _Findings) -> pd.DatetimeIndex | None:
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
            f"1 to 365 or 366{_more(wrong.size - 1, 'such rows')}"
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


def _constants(table: _Table, asked: _Asked, findings: _Findings) -> dict[str, float]:
    """Give the constants of absent variables; an absent variable that no default was asked for is a problem."""
    constants = {}
    for v in _VARIABLES:
        if v in table.raw or v in table.spoiled:
            continue
        similar = [c for c in table.unused if _resembles(c, v)]
        if similar:
            renamed = f'columns={{"{similar[0]}": "{v}"}}'
            findings.add(f"there is no column {v!r}; if {similar[0]!r} is meant, pass {renamed}, else drop it")
        elif v in asked.defaults:
            constants[v] = float(asked.defaults[v])
        else:
            lack = f"column {v!r} is empty" if v in table.empty else f"there is no column {v!r}"
            remedy = f'; for a constant, ask for it: defaults={{"{v}": 2.0}}' if v == "wind" else ""
            findings.add(f"{lack} ({_QUANTITIES[v].doc} [{_UNITS[v]}]){remedy}")
    return constants


def _resembles(column: str, variable: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", column.lower())
    return any(part in plain for part in _RESEMBLING[variable]) or bool(nearest(column, [variable]))


# ---------------------------------------------------------------- days


def _daily(table: _Table, days: pd.DatetimeIndex, findings: _Findings) -> _Daily:
    """Put the rows in order, every day once."""
    again = days.duplicated()
    if again.any():
        twice = days[again].unique().sort_values()
        findings.add(
            f"there is more than one row for {_ranges(twice)}; expected one per day (hourly data: sum or average "
            "them first)"
        )
    every = pd.date_range(days.min(), days.max(), freq="D", name="date", unit="ns")
    raw = pd.DataFrame(table.raw, index=days)[~again].reindex(every)
    flags = pd.Series(table.flags, index=days, dtype=object)[~again].reindex(every, fill_value="")
    return _Daily(raw, ~every.isin(days), flags)


def _converted(raw: pd.DataFrame, constants: Mapping[str, float], asked: _Asked) -> pd.DataFrame:
    """Convert to our units and put in the constants. What could not be read is left out."""
    data = pd.DataFrame(index=raw.index)
    for v in _VARIABLES:
        if v in asked.unreadable:
            continue
        if v in constants:
            data[v] = constants[v]
        elif v in raw:
            data[v] = convert(raw[v], asked.units.get(v, _UNITS[v]), _UNITS[v])
            if v == "wind" and asked.wind_height != 2.0:
                data[v] *= 4.87 / np.log(67.8 * asked.wind_height - 5.42)
    return data


def _fill(data: pd.DataFrame, methods: Mapping[str, str | float]) -> dict[str, tuple[date, ...]]:
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


def _split_flags(
    flags: pd.Series, variables: Iterable[str]
) -> tuple[dict[str, tuple[date, ...]], dict[str, tuple[date, ...]]]:
    """Give the days filled by the source, by variable, and the days of other flags, by flag."""
    filled: dict[str, list[date]] = {}
    others: dict[str, list[date]] = {}
    for day, text in flags[flags != ""].items():
        for flag in (part.strip() for part in text.split(";")):
            which = variables if flag == "filled" else [flag.removeprefix("filled:")]
            if flag.startswith("filled") and all(v in _VARIABLES for v in which):
                for v in which:
                    filled.setdefault(v, []).append(day.date())
            elif flag:
                others.setdefault(flag, []).append(day.date())
    return {v: tuple(d) for v, d in filled.items()}, {f: tuple(d) for f, d in others.items()}


# ---------------------------------------------------------------- checks


def _check_complete(
    data: pd.DataFrame, daily: _Daily, asked: _Asked, codes: Mapping[str, list[float]], findings: _Findings
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


def _check_values(data: pd.DataFrame, raw: pd.DataFrame, asked: _Asked, latitude: float, findings: _Findings) -> None:
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
            unit = fitting[0] if fitting else used.get("tmax", _UNITS["tmax"])
            self._saturation = _saturation(np.clip(convert(raw["tmax"].to_numpy(), unit, _UNITS["tmax"]), -90, 90))

    def wrong(self, v: str) -> bool:
        """Whether the values are not plausible in the unit used, but are in another."""
        return v in self._raw and not self._plausible(v, self._used.get(v, _UNITS[v])) and bool(self._fitting(v))

    def hint(self, v: str) -> str:
        """Name the units that would fit, if it is not the one used."""
        fitting = self._fitting(v) if v in self._raw else []
        if not fitting:
            return ""
        options = " or ".join(f'units={{"{v}": "{shortest(unit, _UNITS[v])}"}}' for unit in fitting)
        return f" (looks like {' or '.join(fitting)}: pass {options})"

    def _fitting(self, v: str) -> list[str]:
        used = shortest(self._used.get(v, _UNITS[v]), _UNITS[v])
        others = [unit for unit in known_units(_UNITS[v]) if shortest(unit, _UNITS[v]) != used]
        return [unit for unit in others if self._plausible(v, unit)]

    def _plausible(self, v: str, unit: str) -> bool:
        values = convert(self._raw[v].to_numpy(), unit, _UNITS[v])
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


def _check_bounds(v: str, values: pd.Series, units: _Units, findings: _Findings) -> pd.Series | None:
    """Name the values beyond the bounds of the variable.

    Returns
    -------
    Series or None
        The values with NaN in place of those; None if the unit is wrong, so that a further check would only say the
        same again.
    """
    low, high = _QUANTITIES[v].bounds
    bad = (values < low) | (values > high)
    if not bad.any():
        return values
    to = "-" if low >= 0 else " to "
    wrong = units.wrong(v)
    findings.add(
        f"weather.{v} on {_first(values[bad])}; expected {low:g}{to}{high:g} {_UNITS[v]}"
        + (units.hint(v) if wrong else "")
        + _further(values[bad], wrong)
    )
    return None if wrong else values.mask(bad)


def _check_radiation(values: pd.Series, top: pd.Series, latitude: float, units: _Units, findings: _Findings) -> None:
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
            f"{_UNITS['srad']} at latitude {latitude:g}{cause or ' (check that day, the latitude and the unit)'}"
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


def _check_vapour(data: pd.DataFrame, units: _Units, findings: _Findings) -> None:
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


def _check_mean(v: str, values: pd.Series, units: _Units, findings: _Findings) -> None:
    """Judge the mean of wind, or of rain on the days that have some."""
    if v == "wind":
        enough, (low, high), when, expected = values.size >= _MONTH, _WIND, "on average", f"{_WIND[0]:g}-{_WIND[1]:g}"
    else:
        days, values = values.size, values[values > 0]
        enough, low, high = days >= _SEASON and values.size >= _WET_DAYS, _WET_DAY, np.inf
        when, expected = "on wet days", f"{_WET_DAY:g} or more"
    if enough and not low <= values.mean() <= high:
        vouched = f'units={{"{v}": "{shortest(_UNITS[v], _UNITS[v])}"}}'
        findings.add(
            f"weather.{v} is {values.mean():.3g} {_UNITS[v]} {when}; expected {expected}{units.hint(v)}; "
            f"if it is right, say so: {vouched}"
        )


def _check_order(data: pd.DataFrame, findings: _Findings) -> None:
    turned = data[data["tmin"] > data["tmax"]]
    if len(turned):
        first = turned.iloc[0]
        swapped = len(turned) > len(data) / 2
        hint = ' (they look exchanged: pass columns={"tmin": "tmax", "tmax": "tmin"})' if swapped else ""
        findings.add(
            f"weather.tmin on {turned.index[0]:%Y-%m-%d} is {first['tmin']:g}, above tmax {first['tmax']:g} degC{hint}"
            + _further(turned, swapped)
        )


# ---------------------------------------------------------------- wording


def _first(values: pd.Series) -> str:
    return f"{values.index[0]:%Y-%m-%d} is {values.iloc[0]:.6g}"


def _further(rows: pd.Series | pd.DataFrame, every: bool) -> str:
    """Tell of the other days: their number, and which they are unless it is (nearly) every day."""
    others = rows.index[1:]
    return _more(len(others), "days") + ("" if every or not len(others) else f": {_ranges(others)}")


def _more(number: int, what: str) -> str:
    return f"; {number} more {what if number > 1 else what.removesuffix('s')}" if number else ""


def _days(number: int) -> str:
    return f"{number} day{'s' if number != 1 else ''}"


def _count(days: Sequence[date]) -> str:
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


def _listed(marked: Mapping[str, tuple[date, ...]]) -> str:
    """Tell which marks are on which days; marks of the same days together."""
    together: dict[tuple[date, ...], list[str]] = {}
    for mark, days in marked.items():
        together.setdefault(days, []).append(mark)
    return "; ".join(f"{', '.join(marks)}: {_count(days)}" for days, marks in together.items())


def _within(marked: Mapping[str, tuple[date, ...]], since: date, until: date) -> dict[str, tuple[date, ...]]:
    kept = {key: tuple(day for day in days if since <= day <= until) for key, days in marked.items()}
    return {key: days for key, days in kept.items() if days}


# ---------------------------------------------------------------- files


def _read_header(lines: Iterable[str]) -> dict[str, str]:
    """Read ``# key: value`` lines; a key that comes again continues its text."""
    header: dict[str, str] = {}
    for line in lines:
        if match := re.fullmatch(r"#\s*([A-Za-z]\w*)\s*:\s*(.*?)\s*", line):
            key = match[1].lower()
            header[key] = f"{header[key]} {match[2]}" if key in header else match[2]
    return header


def _stated(given: float | None, header: Mapping[str, str], key: str, otherwise: float) -> float:
    """Give the user's value, else the header's, else another."""
    if given is not None:
        return float(given)
    try:
        return float(header.get(key, otherwise))
    except ValueError:
        raise WeatherError("weather", [f"the header says {key}: {header[key]}; expected a number"]) from None


def _coordinate(ds: xr.Dataset, *names: str) -> float:
    found = [float(ds.coords[n]) for n in names if n in ds.coords and ds.coords[n].size == 1]
    return found[0] if found else float("nan")


def _with_header(weather: Weather, header: Mapping[str, str]) -> Weather:
    """Keep what a header tells beside the site: the source, constants that it says the values are, notes."""
    told = re.findall(r"(\w+)=([^;\s]+)", header.get("defaults", ""))
    defaults = {v: float(value) for v, value in told if v in _VARIABLES}
    site = ("name", "latitude", "longitude", "elevation", "source", "defaults")
    notes = {key: text for key, text in header.items() if key not in site}
    return replace(
        weather,
        source=header.get("source", weather.source),
        defaults={**defaults, **weather.defaults},
        notes={**notes, **weather.notes},
    )


def _read_table(path: Path, lines: Sequence[tuple[int, str]]) -> pd.DataFrame:
    """Split numbered lines, the names first, at their commas."""
    title = f"weather from {path}"
    if not lines:
        raise WeatherError(title, ["the file holds no table"])
    if ";" in lines[0][1] and "," not in lines[0][1]:
        instead = f'pandas.read_csv({str(path)!r}, sep=";", decimal=",")'
        remedy = f"read it with {instead} and pass the table to Weather.from_frame"
        raise WeatherError(title, [f"its columns are separated by ';'; expected commas and decimal points ({remedy})"])
    names, *rows = csv.reader((line for _, line in lines), skipinitialspace=True)
    uneven = [
        f"line {number} has {len(row)} values; expected {len(names)}, as there are columns"
        for (number, _), row in zip(lines[1:], rows, strict=True)
        if len(row) != len(names)
    ]
    if uneven:
        raise WeatherError(title, [uneven[0] + _more(len(uneven) - 1, "such lines")])
    return pd.DataFrame(rows, columns=[name.strip() for name in names], dtype=object)


@dataclass(frozen=True)
class _CaboYear:
    """A CABO file: longitude, latitude and elevation; Angstrom's A and B; the table in its units."""

    path: Path
    name: str
    site: tuple[float, float, float]
    angstrom: tuple[float, float]
    table: pd.DataFrame


_CABO_COLUMNS = ("station", "year", "doy", "srad", "tmin", "tmax", "vap", "wind", "rain")


def _read_cabo_file(path: Path, findings: _Findings) -> _CaboYear | None:
    """Read one year; None, with problems, if it cannot be used."""
    # Files of the DOS years end in bytes 26.
    text = path.read_bytes().decode("latin-1").replace("\x1a", "").replace("\x00", "")
    lines = list(enumerate(text.splitlines(), start=1))
    comments = [line for _, line in takewhile(lambda numbered: numbered[1].startswith("*"), lines)]
    records = [(number, line.split()) for number, line in lines if line.strip() and not line.startswith("*")]
    site = _floats(records[0][1], 5) if records else None
    if site is None:
        findings.add(f"{path.name} has no location line: longitude, latitude, elevation, Angstrom A and B")
        return None
    rows: list[list[float]] = []
    status: set[tuple[float, float]] = set()
    before = len(findings.problems)
    for number, tokens in records[1:]:
        row = _floats(tokens, len(_CABO_COLUMNS))
        if row is None:
            findings.add(f"{path.name} line {number} is {' '.join(tokens)!r}; expected {', '.join(_CABO_COLUMNS)}")
        elif row[0] == -999:
            status.add((row[1], row[2]))
        else:
            rows.append(row)
    if not rows:
        findings.add(f"{path.name} has no days")
    if len(findings.problems) > before:
        return None
    # NL1.989 has status lines with the station's number: six codes, then the day itself. (No day has 3 kJ m-2.)
    coded = {
        place
        for place, (row, following) in enumerate(pairwise(rows))
        if row[1:3] == following[1:3] and set(row[3:]) <= {0.0, 1.0, 2.0, 3.0}
    }
    status |= {(rows[place][1], rows[place][2]) for place in coded}
    rows = [row for place, row in enumerate(rows) if place not in coded]
    table = pd.DataFrame(rows, columns=_CABO_COLUMNS).drop(columns="station")
    table["flags"] = ["status" if day in status else "" for day in zip(table["year"], table["doy"], strict=True)]
    _check_year(path, comments, table, findings)
    a, b = site[3], site[4]
    if a * b < 0 or (a == 0) != (b == 0):
        findings.add(f"{path.name} has Angstrom coefficients {a:g} and {b:g}; expected both of one sign, or 0 0")
    elif a > 0:
        table["srad"] = _from_sunshine(path, table, site[1], a, b, findings)
    return _CaboYear(path, _cabo_name(comments, path), (site[0], site[1], site[2]), (a, b), table)


def _floats(tokens: list[str], number: int) -> list[float] | None:
    try:
        values = [float(token) for token in tokens]
    except ValueError:
        return None
    return values if len(values) == number else None


def _check_year(path: Path, comments: list[str], table: pd.DataFrame, findings: _Findings) -> None:
    """A CABO file is one year, the one of its comments and of its name (the last three digits)."""
    years = sorted({int(year) for year in table["year"]})
    if len(years) > 1:
        findings.add(f"{path.name} has days of {', '.join(map(str, years))}; expected one year per file")
        return
    for line in comments:
        said = re.search(r"WCCYEARNR\s*=\s*(\d+)", line)
        if said and int(said[1]) != years[0]:
            findings.add(f"{path.name} says WCCYEARNR={said[1]}, but its days are of {years[0]}; correct one of them")
    suffix = path.suffix[1:]
    if re.fullmatch(r"\d{3}", suffix) and years[0] % 1000 != int(suffix):
        findings.add(f"{path.name} is named for year .{suffix}, but its days are of {years[0]}; correct one of them")


def _from_sunshine(
    path: Path, table: pd.DataFrame, latitude: float, a: float, b: float, findings: _Findings
) -> np.ndarray:
    """Radiation from hours of bright sunshine: Ra (A + B n / N), Angstrom's formula. [kJ m-2 d-1]"""
    doy, hours = table["doy"].to_numpy(), table["srad"].to_numpy()
    known = ~np.isin(hours, _MISSING_CODES)
    longest = _day_length(latitude, doy)
    # Recorders of bright sunshine need the sun some degrees up: more than the day length is no sunshine.
    beyond = np.flatnonzero(known & (hours > 1.05 * longest))
    if beyond.size:
        day = int(beyond[0])
        findings.add(
            f"{path.name} has {hours[day]:g} h of sunshine on day {doy[day]:g}, which has {longest[day]:.1f} h"
            f"{_more(beyond.size - 1, 'days')} (if it is radiation, make the Angstrom coefficients negative: "
            f"{-a:g} {-b:g})"
        )
    radiation = extraterrestrial_radiation(latitude, doy) * (a + b * hours / np.maximum(longest, 0.1))
    return np.where(known, 1000 * radiation, hours)


def _cabo_name(comments: list[str], path: Path) -> str:
    for pattern in (r"\*\*\s*WCCDESCRIPTION\s*=\s*(.+)", r"\*\s*Station(?: name)?\s*:\s*(.+)"):
        for line in comments:
            if match := re.match(pattern, line, re.IGNORECASE):
                return match[1].strip()
    return path.stem
