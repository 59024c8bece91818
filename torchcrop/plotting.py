"""Pictures of runs, fits and ensembles.

Every function returns a `matplotlib.figure.Figure`, made without pyplot: it needs no display, leaves matplotlib's
settings as they are, and shows itself in a notebook. Save one with ``figure.savefig("run.png")``.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from torchcrop.models.model import Observable
from torchcrop.simulation.explain import Explanation
from torchcrop.simulation.observed import (
    first_day,
    labels_of,
    observed_events,
    observed_variables,
    pair,
    readable,
)
from torchcrop.simulation.run import Run, find_output

__all__ = ["plot_ensemble", "plot_explanation", "plot_fit_comparison", "plot_run"]

# Okabe & Ito (2008): told apart with every kind of colour vision. Yellow, too pale for a line, is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#767676"

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.color": GREY,
    "ytick.labelcolor": "black",
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.dpi": 150,
}

# More simulations than colours are drawn as a spread.
_FEW = len(COLOURS)
_QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
# Shown when nobody says what to show.
_FIRST_CHOICE = ("lai", "aboveground", "storage_organs", "root_depth", "water_content", "transpiration_ratio")
_MARKERS = {"emergence": "^", "anthesis": "o", "maturity": "D"}
_MARKED = ("anthesis", "maturity")
_PANEL = (3.6, 2.5)
# Unit of what stays on the field when a simulation has ended.
_MATTER = "g m-2"
# Letters of an axis label that stand beside a panel.
_WIDEST_LABEL = 27
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class _Picture(Figure):
    """A figure that shows itself in a notebook, also where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=110)
        return image.getvalue()


# --- a run ----------------------------------------------------------------------------------------------


def plot_run(
    run: Run,
    variables: Sequence[str] | None = None,
    *,
    sims: Sequence[int] | None = None,
    observations: pd.DataFrame | None = None,
    events: bool = True,
    title: str | None = None,
) -> Figure:
    """Draw daily values over time, one panel per variable.

    Up to seven simulations are drawn as lines, more as their spread: median, and the bands that hold 50 % and 90 % of
    them. The axis has dates where the simulations share days of the calendar, otherwise days since the start of each.

    Parameters
    ----------
    run : Run
    variables : sequence of str, optional
        States, outputs of the day and observables that the run kept, by name or symbol. Default: what is observed,
        and leaf area, dry matter, roots and soil water as far as the model has them.
    sims : sequence of int, optional
        Simulations to draw; default all.
    observations : DataFrame, optional
        Columns ``date, variable, value, unit`` and, to say which simulation they belong to, ``treatment`` and
        ``experiment`` as in the run's labels. Drawn as points in the panels of their variables.
    events : bool
        Whether to mark anthesis and maturity, and, on the axis, the dates of events that were observed.
    title : str, optional
        Default: the model and, if they share it, the simulations' experiment and treatment.

    Returns
    -------
    Figure

    Raises
    ------
    KeyError
        If the model has no such variable (the text names the nearest) or the run did not keep it.
    IndexError
        If there is no such simulation.
    ValueError
        If the run kept no daily values, or observations have another unit than the model's variable.

    Notes
    -----
    After a simulation's end states and dry matter keep their last value in the spread, as a crop that waits for its
    harvest does; an output of the day is drawn as long as at least half of the simulations live.
    """
    chosen = _chosen_sims(run, sims)
    names = _chosen_variables(run, variables, observations)
    time = _Time.of(run, chosen)
    few = len(chosen) <= _FEW
    with mpl.rc_context(STYLE):
        figure, panels = _panels(len(names))
        for axes, name in zip(panels, names, strict=True):
            if axes is not panels[0]:
                axes.sharex(panels[0])
            values = _daily(run, name, chosen)
            if few:
                _lines(axes, run, values, chosen, time, events)
            else:
                _spread(axes, run, name, values, chosen, time)
            if observations is not None and readable(run, name) in observed_variables(run, observations):
                _points(axes, run, observations, name, chosen, time, few)
            axes.set_ylabel(_label(*reversed(run.describe(name))))
            time.format(axes)
        if events and (len(chosen) == 1 or not few):
            _event_lines(panels, run, chosen, time)
        if events and observations is not None:
            _observed_events(panels, run, observations, chosen, time, few)
        _legend(figure, panels)
        figure.suptitle(_title(run, chosen) if title is None else title, x=0.01, ha="left", fontsize=10)
    return figure


def plot_explanation(explanation: Explanation, *, sims: Sequence[int] | None = None, width: float = 7.0) -> Figure:
    """Draw what each stress cost: one bar per simulation, from what it reached to what it would without stress.

    Parameters
    ----------
    explanation : Explanation
        Of `Run.explain`.
    sims : sequence of int, optional
        Simulations to draw; default the first 24.
    width : float
        Width of the figure [inch].

    Returns
    -------
    Figure
        Stacked parts above the grey bar are losses; a stress whose removal would lower the output hangs below its top.
    """
    size = len(explanation.total)
    chosen = list(range(min(size, 24))) if sims is None else list(sims)
    for sim in chosen:
        if not 0 <= sim < size:
            raise IndexError(f"sims has {sim}; the explanation has simulations 0 to {size - 1}")
    parts = explanation.stresses["attributed"].unstack("stress").loc[chosen]
    parts = parts[list(dict.fromkeys(explanation.stresses.index.get_level_values("stress")))]
    actual = explanation.total["actual"].loc[chosen].to_numpy()
    with mpl.rc_context(STYLE):
        figure = _Picture(figsize=(width, 3.2), layout="constrained")
        axes = figure.subplots()
        place = np.arange(len(chosen))
        axes.bar(place, actual, color="#c8c8c8", width=0.7, label="simulated")
        up, down = actual.copy(), actual.copy()
        for colour, (stress, column) in zip(COLOURS, parts.items(), strict=False):
            lost = column.to_numpy()
            if not (np.abs(lost) > 0.002 * np.maximum(np.abs(actual), 1e-9)).any():
                continue
            gained, hidden = np.maximum(lost, 0.0), np.minimum(lost, 0.0)
            axes.bar(place, gained, bottom=up, color=colour, width=0.7, label=str(stress))
            axes.bar(place, hidden, bottom=down, color=colour, width=0.3)
            up, down = up + gained, down + hidden
        axes.plot(
            place,
            explanation.total["unstressed"].loc[chosen],
            "_",
            color="black",
            markersize=14,
            label="without stress",
        )
        axes.set_xticks(place, [str(sim) for sim in chosen])
        axes.set_xlabel("simulation")
        axes.set_ylabel(f"{explanation.output.replace('_', ' ')} [{explanation.unit}]")
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _chosen_sims(run: Run, sims: Sequence[int] | None) -> list[int]:
    if sims is None:
        return list(range(len(run)))
    for sim in sims:
        if not 0 <= sim < len(run):
            raise IndexError(f"there is no simulation {sim}; the run has {len(run)}, numbered from 0")
    if not len(sims):
        raise ValueError("sims is empty; give at least one simulation, or None for all")
    return list(sims)


def _chosen_variables(run: Run, variables: Sequence[str] | None, observations: pd.DataFrame | None) -> list[str]:
    if isinstance(variables, str):
        raise TypeError(f"variables is the text {variables!r}; give a list of names, [{variables!r}]")
    if variables is not None:
        if not len(variables):
            raise ValueError("variables is empty; give at least one name, or None for the usual ones")
        for name in variables:
            _ = run[name]  # raises for what the model or the run does not have
        return list(variables)
    if not run.daily:
        raise ValueError("the run kept no daily values, so there is nothing to draw: ask for them with outputs=[...]")
    observed = [] if observations is None else list(observed_variables(run, observations))
    usual = [name for name in dict.fromkeys([*observed, *_FIRST_CHOICE]) if _has(run, name)]
    return usual or list(run.daily)[:6]


def _has(run: Run, name: str) -> bool:
    try:
        return run[name].dim() == 2
    except (KeyError, ValueError):
        return False


def _daily(run: Run, name: str, sims: Sequence[int]) -> np.ndarray:
    """Values ``[sims, T]``, as the run holds them: beyond the end, states keep their last value."""
    values = run[name]
    if values.dim() != 2:
        raise KeyError(f"{name!r} is one number per simulation, not a daily value: see run.summary() or plot_ensemble")
    return values.detach().cpu().numpy()[list(sims)].astype(np.float64)


def _rows(run: Run, sims: Sequence[int]) -> np.ndarray:
    return run.rows.detach().cpu().numpy().astype(int)[list(sims)]


@dataclass(frozen=True)
class _Time:
    """The time axis: real dates where all simulations share days, else days since the start of each.

    Attributes
    ----------
    origin : date
        Date of place 0, for an axis of dates.
    offsets : dict of int to int
        Place of each simulation's first day.
    calendar : bool
        Whether the axis has dates.
    label : str
        Label of an axis without dates.
    """

    origin: date
    offsets: dict[int, int]
    calendar: bool
    label: str = ""

    @classmethod
    def of(cls, run: Run, sims: Sequence[int]) -> _Time:
        starts = {sim: first_day(run, sim) for sim in sims}
        origin = min(starts.values())
        offsets = {sim: (start - origin).days for sim, start in starts.items()}
        ends = [offsets[sim] + rows for sim, rows in zip(sims, _rows(run, sims), strict=True)]
        if max(offsets.values()) < min(ends):
            return cls(origin, offsets, calendar=True)
        days = {(start.month, start.day) for start in starts.values()}
        since = f"{origin.day} {origin:%B}" if len(days) == 1 else "the first day of the run"
        return cls(origin, dict.fromkeys(sims, 0), calendar=False, label=f"days since {since} [d]")

    def x(self, places: Any) -> Any:
        """Places on the axis of days counted from `origin`, fractions included."""
        days = np.asarray(places, dtype=np.float64)
        if not self.calendar:
            return days
        return np.datetime64(self.origin, "s") + (days * 86400).astype("timedelta64[s]")

    def format(self, axes: Axes) -> None:
        if self.calendar:
            locator = AutoDateLocator(minticks=3, maxticks=6)
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        else:
            axes.set_xlabel(self.label)


def _lines(axes: Axes, run: Run, values: np.ndarray, sims: Sequence[int], time: _Time, events: bool) -> None:
    labels = _sim_labels(run, sims)
    for i, (sim, rows) in enumerate(zip(sims, _rows(run, sims), strict=True)):
        place = time.offsets[sim] + np.arange(rows)
        axes.plot(time.x(place), values[i, :rows], color=COLOURS[i], label=labels[i])
        if events and len(sims) > 1:
            _event_markers(axes, run, values[i, :rows], sim, COLOURS[i], time)


def _event_markers(axes: Axes, run: Run, values: np.ndarray, sim: int, colour: str, time: _Time) -> None:
    for name, day in _event_days(run, sim).items():
        height = np.interp(day, np.arange(len(values)), values)
        x = time.x(time.offsets[sim] + day)
        axes.plot(x, height, _MARKERS[name], color=colour, mfc="white", ms=4.5, mew=1.1, gid=name)


def _event_days(run: Run, sim: int) -> dict[str, float]:
    days = {name: float(run.dates[name][sim].detach()) for name in _MARKED if name in run.dates}
    return {name: day for name, day in days.items() if np.isfinite(day)}


def _event_lines(panels: Sequence[Axes], run: Run, sims: Sequence[int], time: _Time) -> None:
    """Mark the events of one simulation, or the medians of many, across all panels."""
    for name in _MARKED:
        places = [time.offsets[s] + days[name] for s in sims if name in (days := _event_days(run, s))]
        if len(places) < len(sims) / 2 or not places:
            continue
        x = time.x(np.median(places))
        for axes in panels:
            axes.axvline(x, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0.9)
            if axes in _top_row(panels):
                text = name if len(sims) == 1 else f"median {name}"
                axes.annotate(
                    text,
                    (x, 1.0),
                    xycoords=("data", "axes fraction"),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7.5,
                    color=GREY,
                )


def _top_row(panels: Sequence[Axes]) -> list[Axes]:
    return [axes for axes in panels if axes.get_subplotspec().is_first_row()]  # type: ignore[union-attr]


def _spread(axes: Axes, run: Run, name: str, values: np.ndarray, sims: Sequence[int], time: _Time) -> None:
    rows = _rows(run, sims)
    offsets = [time.offsets[sim] for sim in sims]
    ends = [offset + n for offset, n in zip(offsets, rows, strict=True)]
    grid = np.full((len(sims), max(ends)), np.nan)
    held = _is_held(run, name)
    for i, (offset, n) in enumerate(zip(offsets, rows, strict=True)):
        grid[i, offset : offset + n] = values[i, :n]
        if held:
            grid[i, offset + n :] = values[i, n - 1]
    enough = np.isfinite(grid).sum(0) >= len(sims) / 2
    grid = grid[:, enough]
    x = time.x(np.flatnonzero(enough))
    low, lower, median, upper, high = np.nanquantile(grid, _QUANTILES, axis=0)
    axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.15, linewidth=0, label=f"90 % of {len(sims)} simulations")
    axes.fill_between(x, lower, upper, color=COLOURS[0], alpha=0.30, linewidth=0, label="50 %")
    axes.plot(x, median, color=COLOURS[0], label="median")


def _is_held(run: Run, name: str) -> bool:
    """Whether a value stays after the end: matter, a state, or an observable of states alone."""
    known = find_output(run.model, name)
    states = run.model.State.quantities()
    return known.unit == _MATTER or all(
        n in states for n in (known.needs if isinstance(known, Observable) else (known.name,))
    )


def _points(
    axes: Axes,
    run: Run,
    observations: pd.DataFrame,
    name: str,
    sims: Sequence[int],
    time: _Time,
    few: bool,
) -> None:
    found = pair(run, observations, name)
    found = found[found["sim"].isin(sims)]
    for colour, group in _coloured(found, sims, few):
        axes.plot(
            time.x(_places(group, time)),
            group["observed"],
            linestyle="none",
            marker="o",
            markersize=3.5,
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label="observed" if colour == "black" else "_",
        )


def _observed_events(
    panels: Sequence[Axes],
    run: Run,
    observations: pd.DataFrame,
    sims: Sequence[int],
    time: _Time,
    few: bool,
) -> None:
    for name in observed_events(run, observations):
        found = pair(run, observations, name)
        for colour, group in _coloured(found[found["sim"].isin(sims)], sims, few):
            for axes in panels:
                axes.plot(
                    time.x(_places(group, time)),
                    np.zeros(len(group)),
                    linestyle="none",
                    marker=_MARKERS[name],
                    markersize=4.5,
                    color=colour,
                    transform=axes.get_xaxis_transform(),
                    clip_on=False,
                    gid=f"observed {name}",
                )


def _coloured(found: pd.DataFrame, sims: Sequence[int], few: bool) -> list[tuple[str, pd.DataFrame]]:
    """Observations by colour: that of their line where every one has but one line, else black."""
    if found.empty:
        return []
    if len(sims) == 1 or not few or found.duplicated(["date", "observed"]).any():
        return [("black", found.drop_duplicates(["date", "observed"]))]
    return [(COLOURS[list(sims).index(sim)], group) for sim, group in found.groupby("sim")]


def _places(found: pd.DataFrame, time: _Time) -> np.ndarray:
    """Places on the time axis of observations."""
    return np.array([time.offsets[sim] for sim in found["sim"]]) + found["row"].to_numpy()


# --- a fit ----------------------------------------------------------------------------------------------


def plot_fit_comparison(
    before: Run,
    after: Run,
    observations: pd.DataFrame,
    variables: Sequence[str] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw what was observed and what was simulated before and after a fit.

    Up to four simulations: over time, one row of panels per variable, one column per simulation; dates of events are
    marked on the curves, and where they were observed on the axis. More simulations, or events alone: simulated
    against observed, one panel per variable. Each panel gives the root mean square error before and after.

    Parameters
    ----------
    before, after : Run
        Of the same seasons.
    observations : DataFrame
        Columns ``date, variable, value, unit, treatment``, as for `plot_run`.
    variables : sequence of str, optional
        States, outputs of the day, observables, and events with observed dates. Default: all that were observed and
        that both runs have.
    title : str
        Title of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    KeyError
        If a variable was not observed, the model does not know it or a run did not keep it.
    ValueError
        If the runs have different seasons, or no observation belongs to them.
    """
    if (before.calendar.starts, before.calendar.lengths) != (after.calendar.starts, after.calendar.lengths):
        raise ValueError("the runs before and after have different seasons: simulate both on the same experiment")
    names = _chosen_observed(before, after, observations, variables)
    pairs = {name: _paired(before, after, observations, name) for name in names}
    daily = [name for name in names if name not in observed_events(before, observations)]
    with mpl.rc_context(STYLE):
        if len(before) <= _MOST_COLUMNS and daily:
            figure = _over_time(before, after, observations, pairs, daily)
        else:
            figure = _against_observed(before, observations, pairs)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


_MOST_COLUMNS = 4
_BEFORE: dict[str, Any] = {"color": "#a0a0a0", "label": "before"}
_AFTER: dict[str, Any] = {"color": COLOURS[0], "label": "after"}


def _chosen_observed(before: Run, after: Run, observations: pd.DataFrame, variables: Sequence[str] | None) -> list[str]:
    if isinstance(variables, str):
        raise TypeError(f"variables is the text {variables!r}; give a list of names, [{variables!r}]")
    if variables is not None:
        return list(variables)
    names = [name for name in observed_variables(before, observations) if _has(before, name) and _has(after, name)]
    names += observed_events(before, observations)
    if not names:
        observed = ", ".join(map(str, observations["variable"].unique()))
        raise ValueError(f"the runs have none of the observed variables: {observed or 'the table is empty'}")
    return names


def _paired(before: Run, after: Run, observations: pd.DataFrame, name: str) -> pd.DataFrame:
    """Observations with both simulated values; where one of the two is NaN, neither error counts the day."""
    both = pair(before, observations, name).rename(columns={"simulated": "simulated_before"})
    both["simulated_after"] = pair(after, observations, name)["simulated"]
    if both.empty:
        raise ValueError(f"no observation of {name} belongs to a day and simulation of the runs: check their labels")
    return both


def _error_text(pairs: pd.DataFrame) -> str:
    both = pairs.dropna()
    if both.empty:
        return "nothing to compare"
    first, second = (
        np.sqrt(np.mean((both[f"simulated_{which}"] - both["observed"]) ** 2)) for which in ("before", "after")
    )
    return f"RMSE {first:.3g} → {second:.3g} {_pretty(str(pairs['unit'].iloc[0]))}".removesuffix(" –")


def _over_time(
    before: Run, after: Run, observations: pd.DataFrame, pairs: dict[str, pd.DataFrame], daily: list[str]
) -> Figure:
    sims = range(len(before))
    figure, panels = _panels(len(daily) * len(sims), columns=len(sims) if len(sims) > 1 else None)
    labels = _sim_labels(before, sims)
    for i, name in enumerate(daily):
        for sim in sims:
            first, axes = panels[i * len(sims)], panels[i * len(sims) + sim]
            if sim == 0:
                axes.set_ylabel(_label(*reversed(before.describe(name))))
            else:
                axes.sharey(first)
                axes.tick_params(labelleft=False)
            if i > 0:
                axes.sharex(panels[sim])
            mine = pairs[name][pairs[name]["sim"] == sim]
            _curves(axes, before, after, name, sim, mine)
            head = [labels[sim]] if i == 0 and len(sims) > 1 else []
            axes.set_title("\n".join([*head, _error_text(mine) if len(mine) else "not observed"]))
    for sim in sims:
        _observed_events(panels[sim :: len(sims)], before, observations, [sim], _Time.of(before, [sim]), few=True)
    _legend(figure, panels)
    return figure


def _curves(axes: Axes, before: Run, after: Run, name: str, sim: int, observed: pd.DataFrame) -> None:
    """Draw one simulation before and after, its events, and what was observed."""
    time = _Time.of(before, [sim])
    for run, look in ((before, _BEFORE), (after, _AFTER)):
        rows = int(run.rows[sim])
        values = _daily(run, name, [sim])[0, :rows]
        axes.plot(time.x(np.arange(rows)), values, **look)
        _event_markers(axes, run, values, sim, look["color"], time)
    x = time.x(observed["row"].to_numpy())
    axes.plot(x, observed["observed"], "o", color="black", ms=3, mew=0, label="observed")
    time.format(axes)


def _against_observed(before: Run, observations: pd.DataFrame, pairs: dict[str, pd.DataFrame]) -> Figure:
    events = observed_events(before, observations)
    figure, panels = _panels(len(pairs), square=True)
    for axes, (name, found) in zip(panels, pairs.items(), strict=True):
        for which, look in (("before", _BEFORE), ("after", _AFTER)):
            x, y = found["observed"], found[f"simulated_{which}"]
            axes.plot(x, y, linestyle="none", marker="o", markersize=3.5, markeredgewidth=0, alpha=0.8, **look)
        values = found[["observed", "simulated_before", "simulated_after"]].to_numpy()
        ends = [np.nanmin(values), np.nanmax(values)]
        axes.plot(ends, ends, color=GREY, linewidth=0.8, zorder=0.9, label="1 : 1")
        axes.set_title(_error_text(found))
        unit = str(found["unit"].iloc[0])
        meaning = f"day of {name}, counted from the first of the run" if name in events else before.describe(name)[1]
        axes.set_xlabel(f"observed [{_pretty(unit)}]")
        axes.set_ylabel(_label(f"simulated {meaning}", unit))
        axes.set_aspect("equal", adjustable="datalim")
    _legend(figure, panels)
    return figure


# --- an ensemble ----------------------------------------------------------------------------------------


def plot_ensemble(
    values: Any,
    by: Sequence[Any],
    *,
    label: str | None = None,
    unit: str | None = None,
    by_label: str = "",
    title: str = "",
) -> Figure:
    """Draw the distribution of one number per simulation, by group: a box and every value as a point.

    Parameters
    ----------
    values : Tensor, ndarray, Series or DataArray
        One number per simulation, such as ``run.final["wso"]``, ``[B]``. NaN (an event not reached) is counted, not
        drawn.
    by : sequence
        Group of each simulation, such as its sowing date, ``[B]``. Groups are drawn in the order of their appearance.
    label, unit : str, optional
        What the values are and their unit. A DataArray brings its own.
    by_label : str
        What the groups are, for the axis.
    title : str
        Title of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If label or unit are missing, or `values` and `by` do not have the same length.

    Notes
    -----
    The box spans the quartiles with the median in it; whiskers reach to the furthest value within 1.5 times the box.

    Examples
    --------
    >>> plot_ensemble(run.final["wso"], sowing_dates, label="grain", unit="g m-2", by_label="sowing")
    """
    label, unit = _named_values(values, label, unit)
    numbers = _numbers(values)
    if numbers.ndim != 1 or len(numbers) != len(by):
        raise ValueError(
            f"values have shape {numbers.shape} and by has length {len(by)}; expected one number and one group each"
        )
    groups = {str(g): numbers[[str(b) == str(g) for b in by]] for g in by}
    random = np.random.default_rng(0)
    with mpl.rc_context(STYLE):
        figure = _Picture(figsize=(max(3.2, 1.2 + 1.0 * len(groups)), 3.4), layout="constrained")
        axes = figure.add_subplot()
        for place, found in enumerate(groups.values()):
            drawn, colour = found[np.isfinite(found)], COLOURS[0]
            axes.boxplot(
                drawn,
                positions=[place],
                widths=0.5,
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": colour, "alpha": 0.2, "edgecolor": colour, "linewidth": 0.8},
                medianprops={"color": colour, "linewidth": 2.0},
                whiskerprops={"color": colour, "linewidth": 0.8},
                capprops={"color": colour, "linewidth": 0.8},
            )
            beside = place + random.uniform(-0.16, 0.16, len(drawn))
            axes.plot(beside, drawn, "o", color=colour, ms=3, mew=0, alpha=0.55)
        axes.set_xticks(range(len(groups)), [_group_text(name, found) for name, found in groups.items()])
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(by_label)
        axes.set_ylabel(_label(label, unit))
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _named_values(values: Any, label: str | None, unit: str | None) -> tuple[str, str]:
    if isinstance(values, xr.DataArray):
        label = values.attrs.get("long_name", values.name) if label is None else label
        unit = values.attrs.get("units") if unit is None else unit
    for given, name, example in ((label, "label", "grain"), (unit, "unit", "g m-2")):
        if given is None:
            raise ValueError(f'the values do not say their {name}: give {name}=, such as {name}="{example}"')
    return str(label), str(unit)


def _numbers(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _group_text(name: str, values: np.ndarray) -> str:
    missing = int((~np.isfinite(values)).sum())
    return f"{name}\nn = {len(values) - missing}" + (f"\n{missing} without value" if missing else "")


# --- common ---------------------------------------------------------------------------------------------


def _panels(n: int, columns: int | None = None, square: bool = False) -> tuple[Figure, list[Axes]]:
    """Make a figure of `n` panels, as wide as two or three of them unless told otherwise."""
    columns = columns or (1 if n == 1 else 2 if n in (2, 4) else 3)
    rows = -(-n // columns)
    width, height = (_PANEL[1] * 1.25, _PANEL[1] * 1.25) if square else _PANEL
    figure = _Picture(figsize=(columns * width + 0.4, rows * height + 0.6), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(n)]


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, below them; none where it would say nothing."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    drawn = {line.get_gid() for axes in panels for line in axes.get_lines()}
    for name, marker in _MARKERS.items():
        look: dict[str, Any] = {"color": GREY, "linestyle": "none", "marker": marker, "markersize": 4.5}
        if name in drawn:
            entries[name] = Line2D([], [], markerfacecolor="white", **look)
        if f"observed {name}" in drawn:
            entries[f"observed {name}"] = Line2D([], [], **look)
    if len(entries) > 1:
        longest = max(len(label) for label in entries)
        columns = max(1, min(len(entries), int(figure.get_figwidth() * 13 / (longest + 8))))
        figure.legend(entries.values(), entries.keys(), loc="outside lower left", ncols=columns)
        figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(entries) // columns))


def _sim_labels(run: Run, sims: Sequence[int]) -> list[str]:
    """Say of each simulation what distinguishes it: its labels, else the start, else its number."""
    if len(sims) == 1:
        return ["simulated"]
    labels = [dict(labels_of(run, sim)) for sim in sims]
    keys = [k for k in dict.fromkeys(k for label in labels for k in label) if len({lb.get(k) for lb in labels}) > 1]
    texts = [", ".join(str(label.get(key, "")) for key in keys) for label in labels]
    if len(set(texts)) == len(sims):
        return texts
    starts = [f"from {first_day(run, sim):%Y-%m-%d}" for sim in sims]
    texts = [f"{text}, {start}" if text else start for text, start in zip(texts, starts, strict=True)]
    return texts if len(set(texts)) == len(sims) else [f"simulation {sim}" for sim in sims]


def _title(run: Run, sims: Sequence[int]) -> str:
    """The model, its crop, and the labels that all simulations share."""
    labels = [labels_of(run, sim) for sim in sims]
    shared = [value for key, value in labels[0].items() if all(label.get(key) == value for label in labels)]
    level = getattr(run.model, "level", "")
    told = [f"{run.model.name}, {level}" if level else run.model.name, str(run.attributes.get("crop", "")), *shared]
    return " · ".join(text for text in told if text)


def _label(meaning: str, unit: str) -> str:
    """Text of an axis: what it is, wrapped, and its unit."""
    lines = -(-len(meaning) // _WIDEST_LABEL)
    # The narrowest width of so many lines: no last line of a single word.
    wrapped = next(w for n in range(-(-len(meaning) // lines), 99) if len(w := textwrap.wrap(meaning, n)) <= lines)
    return "\n".join([*wrapped, f"[{_pretty(unit)}]"])


def _pretty(unit: str) -> str:
    """Unit as it is printed: exponents raised, degrees as a sign."""
    if unit in ("", "-"):
        return "–"
    words = []
    for word in unit.replace("degC", "°C").split():
        stem = word.rstrip("-0123456789")
        words.append(stem + word[len(stem) :].translate(_SUPERSCRIPT) if stem else word)
    return " ".join(words)
