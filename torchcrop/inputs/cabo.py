"""CABO weather files, the format of FST, WOFOST and the Wageningen archive: years of a station become a `Weather`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np
import pandas as pd

from torchcrop.inputs.weather import Weather
from torchcrop.inputs.weather_checks import MISSING_CODES, Findings, and_more, day_length, extraterrestrial_radiation

__all__ = ["read_cabo"]

_COLUMNS = ("station", "year", "doy", "srad", "tmin", "tmax", "vap", "wind", "rain")


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
    findings = Findings(f"weather {name!r} from {source}" if name else f"weather from {source or 'no file'}")
    years = [year for path in files if (year := _read_year(path, findings)) is not None]
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


@dataclass(frozen=True)
class _Year:
    """A CABO file: longitude, latitude and elevation; Angstrom's A and B; the table in its units."""

    path: Path
    name: str
    site: tuple[float, float, float]
    angstrom: tuple[float, float]
    table: pd.DataFrame


def _read_year(path: Path, findings: Findings) -> _Year | None:
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
        row = _floats(tokens, len(_COLUMNS))
        if row is None:
            findings.add(f"{path.name} line {number} is {' '.join(tokens)!r}; expected {', '.join(_COLUMNS)}")
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
    table = pd.DataFrame(rows, columns=_COLUMNS).drop(columns="station")
    table["flags"] = ["status" if day in status else "" for day in zip(table["year"], table["doy"], strict=True)]
    _check_year(path, comments, table, findings)
    a, b = site[3], site[4]
    if a * b < 0 or (a == 0) != (b == 0):
        findings.add(f"{path.name} has Angstrom coefficients {a:g} and {b:g}; expected both of one sign, or 0 0")
    elif a > 0:
        table["srad"] = _from_sunshine(path, table, site[1], a, b, findings)
    return _Year(path, _station_name(comments, path), (site[0], site[1], site[2]), (a, b), table)


def _floats(tokens: list[str], number: int) -> list[float] | None:
    try:
        values = [float(token) for token in tokens]
    except ValueError:
        return None
    return values if len(values) == number else None


def _check_year(path: Path, comments: list[str], table: pd.DataFrame, findings: Findings) -> None:
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
    path: Path, table: pd.DataFrame, latitude: float, a: float, b: float, findings: Findings
) -> np.ndarray:
    """Radiation from hours of bright sunshine: Ra (A + B n / N), Angstrom's formula. [kJ m-2 d-1]"""
    doy, hours = table["doy"].to_numpy(), table["srad"].to_numpy()
    known = ~np.isin(hours, MISSING_CODES)
    longest = day_length(latitude, doy)
    # Recorders of bright sunshine need the sun some degrees up: more than the day length is no sunshine.
    beyond = np.flatnonzero(known & (hours > 1.05 * longest))
    if beyond.size:
        day = int(beyond[0])
        findings.add(
            f"{path.name} has {hours[day]:g} h of sunshine on day {doy[day]:g}, which has {longest[day]:.1f} h"
            f"{and_more(beyond.size - 1, 'days')} (if it is radiation, make the Angstrom coefficients negative: "
            f"{-a:g} {-b:g})"
        )
    radiation = extraterrestrial_radiation(latitude, doy) * (a + b * hours / np.maximum(longest, 0.1))
    return np.where(known, 1000 * radiation, hours)


def _station_name(comments: list[str], path: Path) -> str:
    for pattern in (r"\*\*\s*WCCDESCRIPTION\s*=\s*(.+)", r"\*\s*Station(?: name)?\s*:\s*(.+)"):
        for line in comments:
            if match := re.match(pattern, line, re.IGNORECASE):
                return match[1].strip()
    return path.stem
