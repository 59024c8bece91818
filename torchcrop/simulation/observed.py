"""What was observed beside what was simulated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd

from torchcrop.quantities import Quantity, nearest
from torchcrop.simulation.run import Run, find_output

__all__ = ["first_day", "labels_of", "observed_events", "observed_variables", "pair", "readable"]

_COLUMNS = ("date", "variable", "value")
_LABELS = ("experiment", "treatment")
_TIMES = {"start": 0, "end": 1}
_DATES = ("date", "d")
"""Units of an observed date of development: the date itself, or days of the run."""


def pair(run: Run, observations: pd.DataFrame, variable: str) -> pd.DataFrame:
    """Put the observations of one variable beside what a run has for the same simulation and day.

    Parameters
    ----------
    run : Run
    observations : DataFrame
        Columns ``date, variable, value``. An observation belongs to every simulation whose labels agree with its
        ``experiment`` and ``treatment``, as far as both have them. A column ``unit`` is compared with the model's unit.
        An observation of date d is compared with row d, the state at the start of that day; where a column ``time``
        says ``end``, with the next row.
    variable : str
        State, output of the day or observable, by name or symbol, or an event whose date was observed (unit ``date``).

    Returns
    -------
    DataFrame
        Columns ``sim, date, row, observed, simulated, unit, after_end``. Missing values and observations outside the
        season are left out. Dates of events are days since the run's first day [d].

    Raises
    ------
    KeyError
        If the observations or the model have no such variable, or the run did not keep it.
    ValueError
        If a column is missing, or the unit is not the model's.

    Notes
    -----
    Fields are harvested after maturity: an observation after the end of a simulation is compared with its last value,
    and `after_end` says so. The date of an event that was not reached is NaN.
    """
    for column in _COLUMNS:
        if column not in observations:
            raise ValueError(f"observations have no column {column!r}; expected {', '.join(_COLUMNS)}, treatment, unit")
    if variable in observed_events(run, observations):
        return _pair_dates(run, observations, variable)
    here = _of_variable(run, observations, variable)
    unit, _ = run.describe(variable)
    for other in here["unit"].dropna().unique() if "unit" in here else ():
        if other != unit:
            raise ValueError(f"{variable} is observed in {other!r} but simulated in {unit!r}: convert the observations")
    parts = []
    for sim in range(len(run)):
        row = _days(run, sim, here)
        if "time" in here:
            row = row + here["time"].map(_TIMES).fillna(0).to_numpy(dtype=int)
        mine = (row >= 0) & (row <= _length(run, sim)) & _belongs(run, sim, here) & here["value"].notna().to_numpy()
        simulated = _values(run, variable, sim)[row[mine]]
        table = _table(sim, here[mine], row[mine], here["value"][mine], simulated, unit)
        parts.append(table.assign(after_end=row[mine] >= int(run.rows[sim])))
    return pd.concat(parts, ignore_index=True)


def observed_events(run: Run, observations: pd.DataFrame) -> list[str]:
    """Events of the model whose dates were observed."""
    dates = observations["variable"][_are_dates(run, observations)].unique()
    return [name for name in run.dates if name in dates]


def observed_variables(run: Run, observations: pd.DataFrame) -> dict[str, list[str]]:
    """Observed variables that the model has, dates of events apart, each with its spellings in the observations."""
    values = ~_are_dates(run, observations)
    found: dict[str, list[str]] = {}
    for name in observations["variable"][values].unique():
        try:
            found.setdefault(readable(run, name), []).append(name)
        except KeyError:  # observed, but nothing that this model simulates
            continue
    return found


def readable(run: Run, name: str) -> str:
    """Give the one name of what a user calls by name or symbol."""
    known = find_output(run.model, name)
    return known.name if isinstance(known, Quantity) else name


def first_day(run: Run, sim: int) -> date:
    """First day of a simulation."""
    starts = run.calendar.starts
    return starts[sim] if len(starts) > 1 else starts[0]


def labels_of(run: Run, sim: int) -> Mapping[str, str]:
    """Labels of a simulation; one season simulated with many parameters has one set of them."""
    return run.labels[sim] if len(run.labels) > 1 else run.labels[0]


def _pair_dates(run: Run, observations: pd.DataFrame, event: str) -> pd.DataFrame:
    here = observations[(observations["variable"] == event) & _are_dates(run, observations)]
    simulated = run.dates[event].detach().cpu().numpy()
    parts = []
    for sim in range(len(run)):
        row = _days(run, sim, here)
        mine = (row >= 0) & (row <= _length(run, sim)) & _belongs(run, sim, here)
        parts.append(_table(sim, here[mine], row[mine], row[mine], simulated[sim], "d").assign(after_end=False))
    return pd.concat(parts, ignore_index=True)


def _are_dates(run: Run, observations: pd.DataFrame) -> np.ndarray:
    """Rows that are dates of events; without units there are none."""
    if "unit" not in observations:
        return np.zeros(len(observations), dtype=bool)
    return (observations["unit"].isin(_DATES) & observations["variable"].isin(list(run.dates))).to_numpy()


def _table(sim: int, of: pd.DataFrame, row: object, observed: object, simulated: object, unit: str) -> pd.DataFrame:
    columns = {"date": pd.to_datetime(of["date"]), "row": row, "observed": observed, "simulated": simulated}
    table = pd.DataFrame(columns, index=of.index).astype({"observed": float, "simulated": float})
    return table.assign(sim=sim, unit=unit)[["sim", "date", "row", "observed", "simulated", "unit"]]


def _days(run: Run, sim: int, observations: pd.DataFrame) -> np.ndarray:
    """Days from the simulation's first to each observation's."""
    days = pd.to_datetime(observations["date"]).to_numpy().astype("datetime64[D]")
    return (days - np.datetime64(first_day(run, sim), "D")).astype(int)


def _length(run: Run, sim: int) -> int:
    """Rows that the season of a simulation has."""
    lengths = run.calendar.lengths
    return lengths[sim] if len(lengths) > 1 else lengths[0]


def _values(run: Run, variable: str, sim: int) -> np.ndarray:
    """Daily values up to the day after the season; beyond the simulation's end the last one."""
    rows = int(run.rows[sim])
    lived = run[variable][sim, :rows].detach().cpu().numpy()
    name = readable(run, variable)
    last = float(run.final[name][sim].detach()) if name in run.final else lived[-1]
    return np.concatenate([lived, np.full(_length(run, sim) + 1 - rows, last)])


def _belongs(run: Run, sim: int, observations: pd.DataFrame) -> np.ndarray:
    labels = labels_of(run, sim)
    agrees = np.ones(len(observations), dtype=bool)
    for key in _LABELS:
        if key in observations and key in labels:
            agrees &= (observations[key].astype(str) == labels[key]).to_numpy()
    return agrees


def _of_variable(run: Run, observations: pd.DataFrame, variable: str) -> pd.DataFrame:
    known = observed_variables(run, observations)
    wanted = readable(run, variable)
    if wanted not in known:
        names = [str(name) for name in observations["variable"].unique()]
        raise KeyError(f"{variable!r} was not observed{nearest(variable, names)}; observed are {', '.join(names)}")
    return observations[observations["variable"].isin(known[wanted])]
