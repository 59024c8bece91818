"""The problem: observations, and the residuals of a simulation against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from torchcrop.calibration.parameters import FreeParameter, with_parameters
from torchcrop.functions.switches import Hard, Switches
from torchcrop.inputs.experiments import Experiment
from torchcrop.inputs.units import UnitError, convert
from torchcrop.models.model import Model
from torchcrop.quantities import Record
from torchcrop.simulation.run import Run, find_output
from torchcrop.simulation.seasons import Season
from torchcrop.simulation.simulate import simulate

__all__ = ["Observed", "Problem"]


@dataclass(frozen=True, eq=False)
class Observed:
    """Observations of one variable, over all simulations.

    Attributes
    ----------
    variable, unit : str
        Name and the model's unit.
    sim, row : Tensor
        Simulation and row of each, ``[n]``.
    value, spread : Tensor
        Value and the scale of its residual, ``[n]``, in `unit`.
    """

    variable: str
    unit: str
    sim: Tensor
    row: Tensor
    value: Tensor
    spread: Tensor


@dataclass(frozen=True, eq=False)
class Problem:
    """What is calibrated on what.

    Attributes
    ----------
    model : Model
    records : mapping of str to Record
        Presets: ``crop`` and ``soil``.
    free : list of FreeParameter
    seasons : list of Season
        One simulation each.
    observed : list of Observed
        By variable.
    unused : mapping of str to str
        Observed variables that are left out, with the reason.
    table : DataFrame
        The observations used, tidy.
    """

    model: Model
    records: Mapping[str, Record]
    free: Sequence[FreeParameter]
    seasons: Sequence[Season]
    observed: Sequence[Observed]
    unused: Mapping[str, str]
    table: pd.DataFrame

    def run(self, values: Tensor, switches: Switches, everything: bool = False, fitted: bool = False) -> Run:
        """Simulate with values ``[P]`` of the free parameters; keep what was observed, or `everything`."""
        records = with_parameters(self.records, self.free, values, fitted)
        return simulate(
            self.model,
            records["crop"],
            list(self.seasons),
            soil=records.get("soil"),
            switches=switches,
            outputs=None if everything else [o.variable for o in self.observed if o.variable not in self.model.events],
        )

    def residuals(self, run: Run) -> list[Tensor]:
        """Simulated less observed, per variable ``[n_j]``."""
        found = []
        for o in self.observed:
            if o.variable in self.model.events:
                simulated = run.dates[o.variable][o.sim]
            else:
                simulated = run[o.variable][o.sim, o.row]
            found.append(simulated - o.value)
        return found

    def presets(self) -> Tensor:
        """Preset values of the free parameters, ``[P]``."""
        return torch.tensor([p.preset for p in self.free], dtype=torch.float64)


def observations_of(
    model: Model,
    trials: Sequence[Experiment],
    variables: Sequence[str] | None,
    probe: Run,
) -> tuple[list[Observed], dict[str, str], pd.DataFrame]:
    """Collect what was observed in all trials and can be compared with the model.

    Parameters
    ----------
    variables : sequence of str, optional
        Which to use; default: all that the model simulates.
    probe : Run
        A run of the seasons, for their labels and dates.

    Raises
    ------
    KeyError, ValueError
        If a variable that is asked for was not observed or cannot be simulated, a unit does not fit, or an
        observation lies outside the season.
    """
    tables = []
    for trial in trials:
        if trial.observations is None or trial.observations.empty:
            raise ValueError(f"experiment {trial.id} has no observations to calibrate on")
        tables.append(trial.observations.assign(experiment=trial.id))
    everything = pd.concat(tables, ignore_index=True)
    names = list(dict.fromkeys(everything["variable"]))
    unused: dict[str, str] = {}
    if variables is None:
        wanted = []
        for name in names:
            reason = _cannot(model, name, probe)
            if reason:
                unused[name] = reason
            else:
                wanted.append(name)
        if not wanted:
            raise ValueError(f"none of the observed variables can be simulated: {unused}")
    else:
        wanted = list(variables)
        for name in wanted:
            if name not in names:
                raise KeyError(
                    f"{name!r} was not observed in {', '.join(t.id for t in trials)}; observed are {', '.join(names)}"
                )
            reason = _cannot(model, name, probe)
            if reason:
                raise ValueError(f"{name} cannot be calibrated on: {reason}")
        unused = dict.fromkeys((n for n in names if n not in wanted), "not asked for")
    found, used = [], []
    for name in wanted:
        observed, rows = _collect(model, everything[everything["variable"] == name], name, probe)
        found.append(observed)
        used.append(rows)
    return found, unused, pd.concat(used, ignore_index=True)


def _cannot(model: Model, name: str, probe: Run) -> str:
    """Reason why a variable cannot be compared, or nothing."""
    if name in model.events:
        return ""
    try:
        known = find_output(model, name)
        check = getattr(known, "check", None)
        if check is not None:
            check(probe.params)
    except (KeyError, ValueError) as error:
        return str(error.args[0])
    return ""


def _collect(model: Model, table: pd.DataFrame, name: str, probe: Run) -> tuple[Observed, pd.DataFrame]:
    sims, rows, values, deviations, kept = [], [], [], [], []
    event = name in model.events
    unit = "d" if event else find_output(model, name).unit
    labels = {(str(label.get("experiment")), str(label.get("treatment"))): i for i, label in enumerate(probe.labels)}
    for record in table.to_dict("records"):
        sim = labels.get((str(record["experiment"]), str(record["treatment"])))
        if sim is None:
            continue
        start = probe.calendar.starts[sim]
        row = (pd.Timestamp(record["date"]).date() - start).days
        number = float(record["value"])
        if event:
            number = float(row)
        else:
            row += 1 if record.get("time") == "end" else 0
            if not 0 <= row < probe.calendar.lengths[sim]:
                raise ValueError(
                    f"{name} was observed on {pd.Timestamp(record['date']).date()} in {record['treatment']}, outside "
                    f"the season from {start}, {probe.calendar.lengths[sim]} days: lengthen the season or leave it out"
                )
            try:
                number = float(convert(number, str(record["unit"]), unit, what=name))
            except UnitError:
                if str(record["unit"]) != unit:
                    raise
        deviation = record.get("sd")
        deviations.append(float("nan") if event or deviation is None else float(deviation))
        sims.append(sim)
        rows.append(row)
        values.append(number)
        kept.append(record if event else record | {"value": number, "unit": unit})
    value = torch.tensor(values, dtype=torch.float64)
    own = value.std() if value.numel() > 1 else value.abs().max()
    own = torch.where(own > 0, own, torch.ones_like(own))
    given = torch.tensor(deviations, dtype=torch.float64)
    spread = torch.where(torch.isnan(given) | (given <= 0), 5.0 if event else float(own), given)
    return Observed(name, unit, torch.tensor(sims), torch.tensor(rows), value, spread), pd.DataFrame(kept)


def errors(problem: Problem, values: Tensor) -> tuple[Run, pd.DataFrame]:
    """Score values of the free parameters with Hard switches.

    Returns
    -------
    run, table : Run, DataFrame
        One row per variable: unit, n, rmse, bias, efficiency (Nash & Sutcliffe 1970), after_end. Observations after
        the end of a simulation are compared with the last state, and counted in ``after_end``.
    """
    with torch.no_grad():
        run = problem.run(values, Hard(), everything=True, fitted=True)
        rows: list[dict[str, Any]] = []
        for o, residual in zip(problem.observed, problem.residuals(run), strict=True):
            valid = ~torch.isnan(residual)
            r = residual[valid].numpy()
            spread = float(((o.value - o.value.mean()) ** 2).mean())
            after = 0 if o.variable in problem.model.events else int((o.row >= run.rows[o.sim]).sum())
            rows.append(
                {
                    "variable": o.variable,
                    "unit": o.unit,
                    "n": len(r),
                    "rmse": float(np.sqrt((r**2).mean())) if len(r) else float("nan"),
                    "bias": float(r.mean()) if len(r) else float("nan"),
                    "efficiency": 1 - float((r**2).mean()) / spread if len(r) and spread > 0 else float("nan"),
                    "after_end": after,
                }
            )
    return run, pd.DataFrame(rows).set_index("variable")
