"""Daily weather of one place, and how it is read: data frames, xarray, our CSV, and what ships with us.

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
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from torchcrop.inputs.weather_checks import (
    NAMES,
    QUANTITIES,
    UNITS,
    VARIABLES,
    Findings,
    WeatherError,
    and_more,
    check_complete,
    check_options,
    check_site,
    check_values,
    fill_gaps,
    find_constants,
    marks_within,
    notes_of,
    order_days,
    read_rows,
    split_flags,
    tell_days,
    tell_marks,
    to_our_units,
)
from torchcrop.simulation.seasons import Station

__all__ = ["Weather", "load_weather", "read_weather", "read_weather_csv"]

_log = logging.getLogger(__name__)


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
        findings = Findings(f"weather {name!r} from {source}")
        site = check_site(latitude, longitude, elevation, findings)
        asked = check_options(units, defaults, fill, wind_height, findings)
        rows = read_rows(frame, columns or {}, findings)
        constants = find_constants(rows, asked, findings)
        if rows.days is None:
            raise findings.error()
        daily = order_days(rows, rows.days, findings)
        data = to_our_units(daily.raw, constants, asked)
        filled = fill_gaps(data, asked.fill)
        check_complete(data, daily, asked, rows.codes, findings)
        check_values(data, daily.raw, asked, site.latitude, findings)
        findings.stop()

        notes = notes_of(asked, rows.unused)
        for variable, days in filled.items():
            _log.info("weather %r: filled %s of %s (%s)", name, tell_days(days), variable, asked.fill[variable])
        for variable, value in constants.items():
            _log.info("weather %r: %s = %g %s throughout", name, variable, value, UNITS[variable])
        if rows.unused:
            _log.info("weather %r: columns not used: %s", name, ", ".join(rows.unused))
        at_source, flags = split_flags(daily.flags, list(daily.raw))
        every = {v: tuple(sorted({*filled.get(v, ()), *at_source.get(v, ())})) for v in VARIABLES}
        return cls(
            data=data[list(VARIABLES)],
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
        header = {str(key): str(value) for key, value in ds.attrs.items()}
        if source is not None:
            header["source"] = source
        name = name or header.get("name", "station")
        findings = Findings(f"weather {name!r} from {header.get('source', 'a dataset')}")
        single = [d for d in ds.dims if ds.sizes[d] == 1 and not isinstance(ds.indexes.get(d), pd.DatetimeIndex)]
        ds = ds.squeeze(single)
        if len(ds.dims) != 1:
            findings.add(f"it has dimensions {dict(ds.sizes)}; expected time alone (select a place: ds.sel(...))")
            raise findings.error()
        (dim,) = ds.dims
        index = ds.indexes.get(dim)
        if not isinstance(index, pd.DatetimeIndex):
            findings.add(f"its dimension {dim!r} has no dates (other calendars: ds.convert_calendar('standard'))")
            raise findings.error()
        names = {key: NAMES.get((columns or {}).get(key, key).lower()) for key in map(str, ds.data_vars)}
        written = {v: str(ds[key].attrs["units"]) for key, v in names.items() if v and "units" in ds[key].attrs}
        given = {NAMES.get(key.lower(), key): unit for key, unit in (units or {}).items()}
        weather = cls.from_frame(
            pd.DataFrame({key: ds[key].to_numpy() for key in names}, index=index),
            latitude=_stated(latitude, header, "latitude", _coordinate(ds, "latitude", "lat")),
            longitude=_stated(longitude, header, "longitude", _coordinate(ds, "longitude", "lon")),
            elevation=_stated(elevation, header, "elevation", 0.0),
            name=name,
            source=header.get("source", "a dataset"),
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
            values={v: self.data[v].to_numpy(dtype=np.float64, copy=True) for v in VARIABLES},
            attributes=self.attributes,
        )

    @cached_property
    def attributes(self) -> dict[str, str]:
        """Provenance as text: source, notes, constants used for absent variables, days filled, flags."""
        told = {
            "source": self.source,
            **self.notes,
            "defaults": ", ".join(f"{v} = {value:g} {UNITS[v]}" for v, value in self.defaults.items()),
            "filled": tell_marks(self.filled),
            "flags": tell_marks(self.flags),
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
            filled=marks_within(self.filled, since.date(), until.date()),
            flags=marks_within(self.flags, since.date(), until.date()),
        )

    def to_xarray(self) -> xr.Dataset:
        """Give a dataset along ``date``: variables with units, the site and provenance as attributes."""
        ds = xr.Dataset(
            {
                v: ("date", self.data[v].to_numpy(copy=True), {"units": UNITS[v], "long_name": QUANTITIES[v].doc})
                for v in VARIABLES
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
    # Not at the top: it imports this module, whose Weather it makes.
    from torchcrop.inputs.cabo import read_cabo

    if not isinstance(path, str | Path):
        return read_cabo(path, **options)
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith((b"CDF", b"\x89HDF")):
        with xr.open_dataset(path) as ds:
            weather = Weather.from_xarray(ds.load(), **{"source": str(path), **options})
        return weather if "source" in options else replace(weather, source=str(ds.attrs.get("source", path)))
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
    defaults = {v: float(value) for v, value in told if v in VARIABLES}
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
        for (number, _), row in zip(lines[1:], rows, strict=False)  # an open quotation mark joins lines
        if len(row) != len(names)
    ]
    if uneven:
        raise WeatherError(title, [uneven[0] + and_more(len(uneven) - 1, "such lines")])
    return pd.DataFrame(rows, columns=[name.strip() for name in names], dtype=object)
