"""Run: the result of a simulation, as tensors and as labelled tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from torchcrop.functions.switches import Smooth, Switches
from torchcrop.models.model import Model, Observable
from torchcrop.quantities import Quantity, Record, nearest
from torchcrop.simulation.batch import Calendar
from torchcrop.simulation.engine import transforms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from torchcrop.simulation.explain import Explanation

__all__ = ["Final", "Run", "compare", "open_run"]

REACHED = 0.999
"""Share beyond an event from which its date counts as reached."""

REDUCTION = re.compile(r"^(max|min|sum)\((\w+)\)$")
"""How a reduction of daily values is asked for."""


class Final(Mapping[str, Tensor]):
    """Last states of all simulations, ``[B]`` each, by readable name or symbol."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def __getitem__(self, name: str) -> Tensor:
        value = getattr(self.record, self.readable(name))
        assert isinstance(value, Tensor)
        return value

    def readable(self, name: str) -> str:
        """Give the readable name of a state, from it or its symbol; KeyError names the nearest."""
        for known, quantity in self.record.quantities().items():
            if name.lower() in quantity.spellings():
                return known
        spellings = [s for q in self.record.quantities().values() for s in q.spellings()]
        raise KeyError(f"no state {name!r}{nearest(name, spellings)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.record.quantities())

    def __len__(self) -> int:
        return len(self.record.quantities())


@dataclass(frozen=True, eq=False)
class Run:
    """Result of `torchcrop.simulate`.

    Attributes
    ----------
    model : Model
        What was simulated.
    switches : Switches
        How thresholds were treated.
    params : Record
        Parameters of the run, as used.
    calendar : Calendar
        First day and number of rows of each simulation.
    daily : mapping of str to Tensor
        Values of every day by readable name, ``[T, B]``. `run["lai"]` gives ``[B, T]``.
    reduced : mapping of str to Tensor
        Maxima and sums that were asked for, by ``"max(lai)"``, ``[B]``.
    final : Final
        Last states by name or symbol, ``[B]``.
    dates : mapping of str to Tensor
        Days from the run's first day to each event, ``[B]``: under Smooth the place of the crossing inside the day,
        under Hard the first whole day; NaN where it was not reached.
    rows : Tensor
        Number of rows that each simulation lived, ``[B]``.
    labels : list of mapping
        Experiment, treatment and other labels of each simulation.
    attributes : mapping
        Provenance.
    backend : Backend
        What ran, "eager" or "kernel"; ``backend.why`` says why.
    kernel : SeasonKernel or None
        The kernel that ran; ``kernel.source`` is its generated code, ``kernel.listing()`` the list of operations.
    observables : sequence of str
        Observables that were asked for; they follow from daily values.
    again : callable
        ``again(**changes)`` repeats the simulation with some arguments of `simulate` changed:
        ``run.again(switches=tc.Smooth())``.
    """

    model: Model
    switches: Switches
    params: Any
    calendar: Calendar
    daily: Mapping[str, Tensor]
    reduced: Mapping[str, Tensor]
    final: Final
    dates: Mapping[str, Tensor]
    rows: Tensor
    labels: Sequence[Mapping[str, str]]
    again: Callable[..., Run]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    backend: str = "eager"
    kernel: Any = None
    observables: Sequence[str] = ()

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def __getitem__(self, name: str) -> Tensor:
        """Daily values ``[B, T]`` of a state, an output or an observable, or a reduction such as ``max(lai)``, ``[B]``.

        After the end of a simulation states, and outputs that follow from them, keep their last value; other outputs
        of the day are 0.

        Raises
        ------
        KeyError
            If the run did not keep it, or the model does not know it.
        """
        reduction = REDUCTION.match(name)
        known = find_output(self.model, reduction[2] if reduction else name)
        if reduction:
            key = f"{reduction[1]}({known.name})" if isinstance(known, Quantity) else ""
            if key in self.reduced:
                return self.reduced[key]
        elif isinstance(known, Observable):
            missing = [n for n in known.needs if n not in self.daily]
            if not missing:
                check_reach(known, self.params)
                return known.compute(self.daily, self.params).T
        elif known.name in self.daily:
            return self.daily[known.name].T
        raise KeyError(f"the run did not keep {name!r}: ask for it with outputs=[{name!r}, ...]")

    def describe(self, name: str) -> tuple[str, str]:
        """Give unit and meaning of a daily value or an observable."""
        known = find_output(self.model, name)
        return known.unit, known.doc

    def to_xarray(self) -> xr.Dataset:
        """Labelled result with dimensions ``(sim, day)``.

        Days after the end of a simulation are NaN; the last states are in ``final_<name>``. Coordinates are
        ``date(sim, day)`` and the labels of the simulations, such as experiment and treatment.
        """
        size = len(self)
        days = max(self.calendar.days, 1)
        rows = self.rows.detach().cpu().numpy().astype(int)
        alive = np.arange(days)[None, :] < rows[:, None]
        starts = np.array(self.calendar.starts, dtype="datetime64[ns]")
        starts = np.broadcast_to(starts, (size,))
        dates = starts[:, None] + np.arange(days).astype("timedelta64[D]")[None, :]
        variables: dict[str, Any] = {}
        quantities = _quantities(self.model)
        for name, value in self.daily.items():
            values = value.detach().cpu().numpy().T
            variables[name] = (("sim", "day"), np.where(alive, values, np.nan), _attributes(quantities[name]))
        for name in self.observables:
            unit, doc = self.describe(name)
            values = self[name].detach().cpu().numpy()
            attributes = {"units": unit, "long_name": doc}
            variables[name] = (("sim", "day"), np.where(alive, values, np.nan), attributes)
        for name, value in self.reduced.items():
            inner = quantities[name[name.index("(") + 1 : -1]]
            key = name.replace("(", "_").replace(")", "")
            attributes = _attributes(inner) | {"long_name": f"{name.partition('(')[0]} of {inner.doc}"}
            variables[key] = (("sim",), value.detach().cpu().numpy(), attributes)
        for name in self.final:
            if quantities[name].symbol and not name.endswith("_before"):
                attributes = _attributes(quantities[name]) | {"long_name": f"at the end: {quantities[name].doc}"}
                variables[f"final_{name}"] = (("sim",), self.final[name].detach().cpu().numpy(), attributes)
        for name, value in self.dates.items():
            attributes = {
                "long_name": f"day of {name}",
                "units": "d",
                "comment": "days from the run's first day",
            }
            variables[name + "_day"] = (("sim",), value.detach().cpu().numpy(), attributes)
        coordinates: dict[str, Any] = {
            "sim": np.arange(size),
            "day": np.arange(days),
            "date": (("sim", "day"), dates),
        }
        for key in sorted({k for label in self.labels for k in label}):
            coordinates[key] = ("sim", [str(label.get(key, "")) for label in self._all_labels()])
        return xr.Dataset(variables, coordinates, attrs={k: _attribute(v) for k, v in self.attributes.items()})

    def _all_labels(self) -> list[Mapping[str, str]]:
        return list(self.labels) if len(self.labels) == len(self) else [self.labels[0]] * len(self)

    def to_pandas(self) -> pd.DataFrame:
        """Daily values as a table, one row per simulation and day that it lived, indexed by ``sim`` and ``date``."""
        data = self.to_xarray()
        rows = self.rows.detach().cpu().numpy().astype(int)
        parts = []
        for b in range(len(self)):
            here = {name: data[name].values[b, : rows[b]] for name in (*self.daily, *self.observables)}
            frame = pd.DataFrame(here)
            frame.insert(0, "date", data["date"].values[b, : rows[b]])
            for key in reversed([k for k in data.coords if data[k].dims == ("sim",) and k != "sim"]):
                frame.insert(0, str(key), data[key].values[b])
            frame.insert(0, "sim", b)
            parts.append(frame)
        return pd.concat(parts).set_index(["sim", "date"])

    def summary(self) -> pd.DataFrame:
        """One row per simulation: labels, rows lived, dates of events, final states with a symbol."""
        table: dict[str, Any] = {}
        for key in sorted({k for label in self.labels for k in label}):
            table[key] = [label.get(key, "") for label in self._all_labels()]
        starts = (
            list(self.calendar.starts)
            if len(self.calendar.starts) == len(self)
            else [self.calendar.starts[0]] * len(self)
        )
        table["start"] = starts
        table["days"] = self.rows.detach().cpu().numpy().astype(int)
        for name, value in self.dates.items():
            table[name] = value.detach().cpu().numpy()
        quantities = _quantities(self.model)
        for name in self.final:
            if quantities[name].symbol and not name.endswith("_before"):
                table[name] = self.final[name].detach().cpu().numpy()
        return pd.DataFrame(table, index=pd.RangeIndex(len(self), name="sim"))

    def save(self, path: str | Path) -> Path:
        """Write the run as netCDF; `torchcrop.open_run` reads it."""
        path = Path(path)
        data = self.to_xarray()
        for name in data.variables:
            if data[name].dtype == object or data[name].dtype.kind == "U":
                data[name] = data[name].astype(str)
        data.to_netcdf(path, engine="h5netcdf")
        return path

    def explain(
        self,
        output: str = "storage_organs",
        stresses: Sequence[str] | None = None,
        tolerance: float = 0.02,
        most: int = 64,
    ) -> Explanation:
        """Say how much of a final state each stress cost.

        Three answers, each checked against re-simulation: by production level (what water, then nitrogen, then
        phosphorus and potassium take away); by taking away one stress alone; and by gradient: the derivative of the
        output to the share of each stress that is taken away, integrated from the run as it is to the run without any
        stress. The last one divides the whole loss among stresses that act together.

        Parameters
        ----------
        output : str
            Final state to explain, by name or symbol.
        stresses : sequence of str, optional
            Stresses among the model's own, `Model.stresses`; default all.
        tolerance : float
            Share of the whole gain that the attribution by gradient may miss; the result says what it misses.
        most : int
            Largest number of gradients computed for it.

        Returns
        -------
        Explanation

        Notes
        -----
        Levels are re-simulated with the run's own switches. Everything else needs derivatives and uses the run's
        `Smooth`, or its default for a run with other switches. Integrated gradients: Sundararajan, Taly & Yan 2017,
        Axiomatic attribution for deep networks.
        """
        from torchcrop.simulation.explain import explain  # it re-simulates, so it stands above this file

        return explain(self, output, stresses, tolerance, most)

    def plot(self, variables: Sequence[str] | None = None, **options: Any) -> Figure:
        """Draw daily values over time; see `torchcrop.plotting.plot_run`."""
        from torchcrop.plotting import plot_run

        return plot_run(self, variables, **options)

    def __repr__(self) -> str:
        return (
            f"<Run of {self.model!r}: {len(self)} simulation{'s' * (len(self) != 1)}, {self.calendar.days} days, "
            f"{len(self.daily)} daily values, {self.switches!r}, {self.backend}>"
        )


def open_run(path: str | Path) -> xr.Dataset:
    """Read a run that `Run.save` wrote.

    Raises
    ------
    ValueError
        If the file is not a run of torchcrop.
    """
    data = xr.load_dataset(path, engine="h5netcdf")
    if "torchcrop_version" not in data.attrs:
        raise ValueError(f"{path} is not a run saved by torchcrop: it has no attribute torchcrop_version")
    return data


def compare(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Put the summaries of several runs side by side.

    Parameters
    ----------
    runs : mapping of str to Run
        By the name that each gets in the table.

    Returns
    -------
    DataFrame
        Index ``(sim, quantity)``, one column per run: dates of events and final states that all runs share.
    """
    if not runs:
        raise ValueError("compare needs at least one run")
    columns = {}
    for name, run in runs.items():
        numeric = run.summary().select_dtypes("number")
        columns[name] = numeric.stack()
    table = pd.concat(columns, axis=1, join="inner")
    table.index.names = ["sim", "quantity"]
    return table


# --- names ----------------------------------------------------------------------------------------------


def _quantities(model: Model) -> dict[str, Quantity]:
    return {**model.State.quantities(), **model.Outputs.quantities()}


def find_output(model: Model, name: str) -> Quantity | Observable:
    """Find what a user means by the name of a state, an output of the day, or an observable.

    Raises
    ------
    KeyError
        If the model has none of that name; the text names the nearest.
    """
    quantities = _quantities(model)
    for quantity in quantities.values():
        if name.lower() in quantity.spellings():
            return quantity
    observable = model.observable(name)
    if observable is not None:
        return observable
    known = [s for q in quantities.values() for s in q.spellings()] + list(model.observables)
    raise KeyError(f"{model.name} has no state, output or observable {name!r}{nearest(name, known)}")


def check_reach(observable: Observable, params: Any) -> None:
    """Raise ValueError if the parameters do not reach what is observed; not under vmap, where they have no numbers."""
    if observable.check is not None and "Vmap" not in transforms():
        observable.check(params)


def event_dates(model: Model, final: Any, shares: Tensor, switches: Switches) -> dict[str, Tensor]:
    """Dates of events from the counters of days before them."""
    dates = {}
    half_day = isinstance(switches, Smooth)
    for share, (name, event) in zip(shares, model.events.items(), strict=True):
        days = getattr(final, event.counter)
        if half_day and event.centred:
            # The window is centred on the instant at which Hard tests, half a day late on average.
            days = (days - 0.5).clamp(min=0.0)
        dates[name] = torch.where(share >= REACHED, days, torch.full_like(days, torch.nan))
    return dates


def provenance() -> dict[str, str]:
    """Give what every result says of its origin."""
    from torchcrop import __version__

    return {
        "torchcrop_version": __version__,
        "torch_version": str(torch.__version__),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _attributes(quantity: Quantity) -> dict[str, str]:
    return {"units": quantity.unit, "long_name": quantity.doc, "symbol": quantity.symbol}


def _attribute(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else str(value)
