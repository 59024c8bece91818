"""Observations: a tidy table of what was measured in the field, checked.

One row per value: ``date, treatment, variable, value, unit`` and, where known, ``sd`` and ``time``. Variables are named
as the models name their states, outputs and observables (``lai``, ``storage_organs``, ``canopy_cover``), water by depth
as ``soil_water_0_105cm`` [mm] and ``soil_moisture_15_45cm`` [m3 m-3]; dates of development (``emergence``,
``anthesis``, ``maturity``) have the unit ``date`` and no value: the row's date is what was observed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from torchcrop.inputs.units import UnitError, convert
from torchcrop.inputs.yaml_files import FileError
from torchcrop.models.lintul1 import Lintul1
from torchcrop.models.lintul2 import Lintul2
from torchcrop.models.lintul5 import Lintul5
from torchcrop.models.model import Model
from torchcrop.quantities import Quantity, nearest
from torchcrop.simulation.run import find_output

__all__ = ["COLUMNS", "DATE", "ObservationError", "check_observations", "read_observations"]

COLUMNS = ("date", "treatment", "variable", "value", "unit", "sd", "time")
"""Columns of a table of observations."""
DATE = "date"
"""Unit of an observed date of development."""

_REQUIRED = ("date", "treatment", "variable", "value", "unit")
_TIMES = ("start", "end")
_SHOWN = 3
_MODELS: tuple[Model, ...] = (Lintul1(), Lintul2(), Lintul5())
_FACTORS = {("%", "-"): 0.01, ("%", "m3 m-3"): 0.01, ("cm3 cm-3", "m3 m-3"): 1.0}
"""Conversions beside those of `torchcrop.inputs.units`."""
_RANGES = {"m3 m-3": (0.0, 1.0), "m2 m-2": (0.0, 25.0), "g m-2": (0.0, 20000.0), "mm": (0.0, 10000.0), "m": (0.0, 10.0)}
"""Limits of an observed value by unit."""
_SHARES = ("canopy_cover",)
"""Variables without unit that lie between 0 and 1."""


class ObservationError(FileError):
    """A table of observations that cannot be used; `problems` lists everything that is wrong with it."""


def read_observations(
    path: str | Path,
    *,
    variables: Mapping[str, str] | None = None,
    treatments: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Read observations from a CSV file; lines that begin with ``#`` are remarks.

    Parameters
    ----------
    path : str or Path
    variables, treatments : optional
        As of `check_observations`.

    Returns
    -------
    DataFrame
        As of `check_observations`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ObservationError
        With everything that is wrong.
    """
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    kept = [(number, line) for number, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    try:
        table = pd.read_csv(io.StringIO("\n".join(line for _, line in kept)), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as failure:
        raise ObservationError(path, [f"not a table of comma-separated values: {str(failure).strip()}"]) from failure
    table.index = pd.Index([number for number, _ in kept[1:]], name="line")
    return check_observations(table, variables=variables, treatments=treatments, source=str(path))


def check_observations(
    table: pd.DataFrame,
    *,
    variables: Mapping[str, str] | None = None,
    treatments: Iterable[str] | None = None,
    source: str = "observations",
) -> pd.DataFrame:
    """Check a table of observations and bring it to our units.

    Parameters
    ----------
    table : DataFrame
        Columns ``date, treatment, variable, value, unit``, and optionally ``sd`` (standard deviation of the value, in
        the same unit; of a date in days) and ``time`` (``start`` or ``end`` of the day; default ``start``).
    variables : mapping of str to str, optional
        Unit of variables that no model knows; without it such a variable is an error.
    treatments : iterable of str, optional
        The treatments there are; another is an error.
    source : str
        For the message.

    Returns
    -------
    DataFrame
        All of `COLUMNS`, sorted by treatment, variable and date. Units that differ from ours are converted; their
        names stand in ``attrs["converted"]`` by variable.

    Raises
    ------
    ObservationError
        With everything that is wrong: columns that are missing or unknown, dates that are none, a treatment, variable
        or unit that is unknown, values that are no number or out of range, and values given twice.
    """
    problems = _check_columns(table)
    if problems:
        raise ObservationError(source, problems)
    problems = []
    data = pd.DataFrame(index=table.index)
    data["date"] = _dates(table, problems)
    data["treatment"] = table["treatment"].astype(str)
    known = {name.lower(): (name, unit) for name, unit in (variables or {}).items()}
    named = {spelled: _unit_of(spelled, known) for spelled in table["variable"].astype(str).unique()}
    problems += _check_names(table, data, named, known, treatments)
    spelled = table["variable"].astype(str)
    ours = {v: found or (v, "") for v, found in named.items()}
    data["variable"], data["unit"] = spelled.map(lambda v: ours[v][0]), spelled.map(lambda v: ours[v][1])
    data["value"] = _numbers(table["value"])
    data["sd"] = _numbers(table["sd"]) if "sd" in table else np.nan
    data["time"] = table["time"].replace("", "start").fillna("start") if "time" in table else "start"
    converted = _convert(data, table, problems)
    problems += _check_values(data, table)
    problems += _check_twice(data)
    if problems:
        raise ObservationError(source, problems)
    data = data.sort_values(["treatment", "variable", "date"], kind="stable", ignore_index=True)[list(COLUMNS)]
    data.attrs["converted"] = converted
    return data


def _check_columns(table: pd.DataFrame) -> list[str]:
    columns = [str(column) for column in table.columns]
    return [
        f"column {column!r} is unknown{nearest(column, COLUMNS)}; known are {', '.join(COLUMNS)}"
        for column in columns
        if column not in COLUMNS
    ] + [f"column {column!r} is missing" for column in _REQUIRED if column not in columns]


def _unit_of(spelled: str, declared: Mapping[str, tuple[str, str]]) -> tuple[str, str] | None:
    """Our name and unit of a variable, or None if neither a model nor the experiment knows it."""
    if spelled.lower() in declared:
        return declared[spelled.lower()]
    for model in _MODELS:
        if spelled.lower() in model.events:
            return spelled.lower(), DATE
        try:
            found = find_output(model, spelled)
        except (KeyError, ValueError):
            continue
        return (found.name if isinstance(found, Quantity) else spelled), found.unit
    return None


def _known_names(declared: Iterable[str]) -> list[str]:
    names = [*declared, "soil_water_0_100cm", "soil_moisture_0_30cm"]
    for model in _MODELS:
        quantities = [*model.State.quantities().values(), *model.Outputs.quantities().values()]
        names += [s for q in quantities for s in q.spellings()] + [*model.observables, *model.events]
    return names


def _check_names(
    table: pd.DataFrame,
    data: pd.DataFrame,
    named: Mapping[str, tuple[str, str] | None],
    declared: Mapping[str, tuple[str, str]],
    treatments: Iterable[str] | None,
) -> list[str]:
    problems = [
        f"variable {spelled!r} is unknown{nearest(spelled, _known_names(declared))}; a variable that no model has is "
        f"declared with its unit under observations: variables in experiment.yaml"
        for spelled, found in named.items()
        if found is None
    ]
    if treatments is not None:
        there = list(treatments)
        problems += [
            f"treatment {given!r} is unknown{nearest(given, there)}; there are {', '.join(there)}"
            for given in data["treatment"].unique()
            if given not in there
        ]
    return problems


def _dates(table: pd.DataFrame, problems: list[str]) -> pd.Series:
    dates = pd.to_datetime(table["date"].astype(str).str.slice(0, 19), format="ISO8601", errors="coerce")
    wrong = dates.isna() | (dates != dates.dt.normalize())
    if wrong.any():
        problems.append(f"date is no date such as 2023-06-05 in {_rows(table, wrong, lambda r: repr(r['date']))}")
    return dates


def _numbers(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column.replace("", np.nan), errors="coerce").astype(np.float64)


def _convert(data: pd.DataFrame, table: pd.DataFrame, problems: list[str]) -> dict[str, str]:
    """Convert values and standard deviations to our units, in place; say which variables from which unit."""
    converted = {}
    given = table["unit"].astype(str).str.split().str.join(" ")
    for (variable, ours, theirs), rows in data.groupby([data["variable"], data["unit"], given]).groups.items():
        if theirs == ours or not ours:  # a variable that is unknown has no unit of ours
            continue
        try:
            if DATE in (ours, theirs):
                raise UnitError
            factor = _FACTORS.get((theirs, ours)) or convert(1.0, theirs, ours)
        except UnitError:
            problems.append(
                f"unit of {variable} is {theirs!r}; expected {ours!r}, as in {_rows(table.loc[rows[:1]], None)}"
            )
            continue
        data.loc[rows, ["value", "sd"]] = data.loc[rows, ["value", "sd"]] * factor
        converted[variable] = theirs
    return converted


def _check_values(data: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    problems = []
    dates = data["unit"] == DATE
    empty = table["value"].isna() | (table["value"].astype(str).str.strip() == "")
    no_number = ~dates & ~np.isfinite(data["value"])
    if no_number.any():
        rows = _rows(table, no_number, lambda r: repr(r["value"]))
        problems.append(f"value is no number in {rows}: leave out what was not measured")
    if (dates & ~empty).any():
        rows = _rows(table, dates & ~empty, lambda r: repr(r["value"]))
        problems.append(f"value of an observed date must be empty (the date is that of the row), but is not in {rows}")
    for variable, rows in data.groupby("variable").groups.items():
        low, high = (0.0, 1.0) if variable in _SHARES else _RANGES.get(data.loc[rows[0], "unit"], (-np.inf, np.inf))
        values = data.loc[rows, "value"]
        outside = (values < low) | (values > high)
        if outside.any():
            shown = _rows(table.loc[rows], outside, lambda r: str(r["value"]))
            problems.append(f"{variable} is outside {low:g} to {high:g} {data.loc[rows[0], 'unit']} in {shown}")
    return problems + _check_spread(data, table)


def _check_spread(data: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    problems = []
    if "sd" in table:
        given = table["sd"].notna() & (table["sd"].astype(str).str.strip() != "")
        wrong = given & ~((data["sd"] > 0) & np.isfinite(data["sd"]))
        if wrong.any():
            shown = _rows(table, wrong, lambda r: repr(r["sd"]))
            problems.append(f"sd is no number above 0 in {shown}: leave it empty")
    wrong = ~data["time"].isin(_TIMES)
    if wrong.any():
        problems.append(f"time is neither start nor end in {_rows(table, wrong, lambda r: repr(r['time']))}")
    return problems


def _check_twice(data: pd.DataFrame) -> list[str]:
    # A date of development is one per treatment, on whatever day it is said to be.
    day = data["date"].astype(str).where(data["unit"] != DATE, "")
    keys = pd.DataFrame({"date": day, **{c: data[c] for c in ("treatment", "variable", "time")}})
    twice = keys.duplicated(keep="first")
    if not twice.any():
        return []
    return [f"given twice: {_rows(data, twice)}; keep one, or their mean with its sd"]


def _rows(table: pd.DataFrame, which: pd.Series | None, text: Callable[[Any], str] | None = None) -> str:
    """Name the first rows of a selection: line or index, date, treatment, variable."""
    chosen = table if which is None else table[which]
    unit = "line" if table.index.name == "line" else "row"
    named = []
    for index, row in chosen.head(_SHOWN).iterrows():
        date = row["date"] if isinstance(row["date"], str) else f"{row['date']:%Y-%m-%d}"
        value = f": {text(row)}" if text is not None else ""
        named.append(f"{unit} {index} ({date} {row['treatment']} {row['variable']}{value})")
    more = f" and {len(chosen) - _SHOWN} more" if len(chosen) > _SHOWN else ""
    return ", ".join(named) + more
