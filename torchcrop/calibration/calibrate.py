"""The verb `calibrate`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from torchcrop.calibration.fit import AT_BOUND, Fit, identifiability
from torchcrop.calibration.objectives import Concentrated, Objective
from torchcrop.calibration.parameters import free_parameters
from torchcrop.calibration.problem import Problem, errors, observations_of
from torchcrop.calibration.solvers import LBFGS, Solution
from torchcrop.calibration.transforms import Box
from torchcrop.functions.switches import Smooth, Switches
from torchcrop.inputs.experiments import Experiment
from torchcrop.models.model import Model
from torchcrop.quantities import Record
from torchcrop.simulation.batch import stack_records
from torchcrop.simulation.simulate import simulate

__all__ = ["calibrate"]

# Parameters that move rain across the gates that depend on rain alone.
_RAIN_PARAMETERS = {"runoff_fraction"}


def calibrate(
    model: Model,
    crop: Record,
    trials: Sequence[Experiment],
    free: Mapping[str, tuple[float, float]] | Sequence[str],
    *,
    solver: LBFGS | None = None,
    objective: Objective | None = None,
    switches: Switches | None = None,
    variables: Sequence[str] | None = None,
    soil: Record | None = None,
    progress: bool | None = None,
) -> Fit:
    """Calibrate parameters of crop and soil on field observations, by their gradients.

    Parameters
    ----------
    model : Model
        What is calibrated, such as ``Lintul5(level="water")``.
    crop : Record
        Preset: the start of the search and what is compared with.
    trials : sequence of Experiment
        Experiments with observations; all treatments take part, in one batch.
    free : mapping of str to (float, float), or sequence of str
        Bounds of the free parameters by name, shared by all trials: ``tsum1``, ``soil.smfc``, ``slatb*`` (a factor
        on a table), ``fotb[1.0]`` (an ordinate). Names alone take default bounds.
    solver : LBFGS
        Default ``LBFGS()``: one start, from the preset.
    objective : Objective
        Default `Concentrated()`, the likelihood with an unknown variance per variable.
    switches : Switches
        Treatment of thresholds during the search, default `Smooth()`. Scores are always those of `Hard()`.
    variables : sequence of str, optional
        Observed variables to use; default all that the model simulates. What is left out is said in the summary.
    soil : Record, optional
        In place of the trials' own soil.
    progress : bool, optional
        Progress bar; default: on a terminal.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError, KeyError, TypeError
        If names, bounds, units or observations do not fit; each text says what would.

    Notes
    -----
    The optimiser moves ``u`` in ``x = lower + (upper - lower) / (1 + exp(-u))``. A start at or beyond a bound is
    moved 5 % of the range inside.
    """
    trials = [trials] if isinstance(trials, Experiment) else list(trials)
    if not trials:
        raise ValueError("there is no trial: give at least one experiment with observations")
    solver = solver or LBFGS()
    objective = objective or Concentrated()
    switches = Smooth() if switches is None else switches
    seasons = [season for trial in trials for season in trial.seasons()]
    records: dict[str, Record] = {"crop": crop}
    soil_kind = model.Parameters.quantities()["soil"].record
    if soil_kind is not None and soil_kind.quantities():
        given = [s.soil for s in seasons if s.soil is not None]
        if soil is None and len(given) != len(seasons):
            raise ValueError(f"{model.name} needs a soil, and a trial has none: give `soil=`")
        records["soil"] = stack_records(given) if soil is None else soil
    parameters = free_parameters(model, records, free)
    notes = []
    if isinstance(switches, Smooth) and any(p.field in _RAIN_PARAMETERS for p in parameters):
        switches = dataclasses.replace(switches, rain_gates=True)
        notes.append("Gates on rain were smoothed too, because the runoff fraction is free.")

    with torch.no_grad():
        probe = simulate(model, crop, seasons, soil=records.get("soil"), outputs=[])
    observed, unused, table = observations_of(model, trials, variables, probe)
    problem = Problem(model, records, parameters, seasons, observed, unused, table)
    box = Box(
        torch.tensor([p.lower for p in parameters], dtype=torch.float64),
        torch.tensor([p.upper for p in parameters], dtype=torch.float64),
    )
    for p in parameters:
        if not p.lower <= p.preset <= p.upper:
            notes.append(f"The preset of {p.name}, {p.preset:g}, lies outside its bounds; the search starts inside.")

    def cost(latent: Tensor) -> Tensor:
        run = problem.run(box.natural(latent), switches)
        return objective(problem.residuals(run), [o.spread for o in observed])

    solutions = _search(solver, cost, box.latent(problem.presets()), progress)
    best = solutions[0]
    values = box.natural(best.latent)
    before, errors_before = errors(problem, problem.presets())
    after, errors_after = errors(problem, values)
    if best.status == "non-finite":
        determined = sd = torch.full_like(values, torch.nan)
    else:
        determined, sd = identifiability(problem, box, best.latent, switches)
    share = box.share(values)
    shown = (
        errors_before[["unit", "n"]]
        .assign(
            **{f"{column}_before": errors_before[column] for column in ("rmse", "bias", "efficiency")},
            **{f"{column}_after": errors_after[column] for column in ("rmse", "bias", "efficiency", "after_end")},
        )
        .rename(columns={"after_end_after": "after_end"})
    )
    notes += _remarks(problem, shown)
    return Fit(
        problem=problem,
        values=values.detach(),
        solutions=solutions,
        before=before,
        after=after,
        errors=shown,
        parameters=pd.DataFrame(
            {
                "name": [p.name for p in parameters],
                "field": [f"{p.record}.{p.field}" for p in parameters],
                "symbol": [p.symbol for p in parameters],
                "unit": [p.unit for p in parameters],
                "before": [p.preset for p in parameters],
                "after": values.tolist(),
                "sd": sd.tolist(),
                "lower": [p.lower for p in parameters],
                "upper": [p.upper for p in parameters],
                "at_bound": ((share < AT_BOUND) | (share > 1 - AT_BOUND)).tolist(),
                "determined": determined.tolist(),
            }
        ).set_index("name"),
        switches=switches,
        notes=notes,
    )


def _search(solver: LBFGS, cost: Callable[[Tensor], Tensor], first: Tensor, progress: bool | None) -> list[Solution]:
    starts = solver.points(first)
    show = sys.stderr.isatty() if progress is None else progress
    solutions = []
    with tqdm(desc="L-BFGS", unit="evaluation", disable=not show) as bar:
        for i, start in enumerate(starts):

            def step(value: float, i: int = i) -> None:
                bar.update()
                bar.set_postfix_str(f"start {i + 1}/{len(starts)}, objective {value:.5g}")

            solutions.append(solver.minimise(cost, start, step))
    return sorted(solutions, key=lambda s: s.value)


def _remarks(problem: Problem, table: pd.DataFrame) -> list[str]:
    remarks = []
    late = table["after_end"]
    for name in table.index[late > 0]:
        remarks.append(
            f"{late[name]} of {table['n'][name]} observations of {name} are later than the simulated maturity and were "
            "compared with the last state."
        )
    for reason in dict.fromkeys(problem.unused.values()):
        names = [n for n, r in problem.unused.items() if r == reason]
        remarks.append(f"Observed but not used: {', '.join(names)} ({reason}).")
    used = {o.variable for o in problem.observed}
    if not used & {"storage_organs", "wso", "yield"}:
        remarks.append("Yield was not observed here: nothing in this fit tests it.")
    return remarks
