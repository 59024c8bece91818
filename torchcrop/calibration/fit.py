"""Fit: the result of a calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from torchcrop.calibration.parameters import with_parameters
from torchcrop.calibration.problem import Problem
from torchcrop.calibration.solvers import Solution
from torchcrop.calibration.transforms import Box
from torchcrop.functions.switches import Switches
from torchcrop.quantities import Record
from torchcrop.simulation.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Fit"]

AT_BOUND = 0.01
"""A parameter within this share of its range from a bound is reported as at the bound."""
DETERMINED = 0.5
"""The data determine a parameter if they remove at least this share of its latent prior variance."""
PRIOR_SD = 1.8
"""Standard deviation of a uniform distribution in the box, on the logit scale (pi / sqrt 3)."""


@dataclass(frozen=True, eq=False)
class Fit:
    """Result of `torchcrop.calibrate`.

    Attributes
    ----------
    problem : Problem
    values : Tensor
        Fitted values of the free parameters, ``[P]``.
    solutions : list of Solution
        Of every start, best first.
    before, after : Run
        Runs with Hard switches at the preset and at the fit.
    errors : DataFrame
        Per variable unit, n, and rmse, bias, efficiency before and after, under Hard.
    parameters : DataFrame
        Per free parameter symbol, unit, before, after, lower, upper, at_bound, determined (share of its latent prior
        variance that the data remove) and sd (of the latent posterior, mapped to the parameter).
    switches : Switches
        Used for the fit.
    notes : list of str
        What a reader must know.
    """

    problem: Problem
    values: Tensor
    solutions: Sequence[Solution]
    before: Run
    after: Run
    errors: pd.DataFrame
    parameters: pd.DataFrame
    switches: Switches
    notes: Sequence[str]

    @property
    def records(self) -> Mapping[str, Record]:
        """Records with the fitted values."""
        return with_parameters(self.problem.records, self.problem.free, self.values, fitted=True)

    @property
    def crop(self) -> Record:
        """Crop with the fitted values; ``fit.crop.save(path)`` writes it."""
        return self.records["crop"]

    @property
    def soil(self) -> Record | None:
        """Soil with the fitted values."""
        return self.records.get("soil")

    @property
    def status(self) -> str:
        """Status of the best start."""
        return self.solutions[0].status

    @property
    def undetermined(self) -> list[str]:
        """Names of the parameters that the data do not determine, those at a bound apart."""
        p = self.parameters
        return list(p.index[(p["determined"] < DETERMINED) & ~p["at_bound"]])

    def summary(self) -> str:
        """Give the fit as text: status, errors before and after, parameters, what the data leave open."""
        best = self.solutions[0]
        lines = [f"{self.problem.model.name}, {len(self.problem.seasons)} season(s): {best.status}, {best.message}"]
        if len(self.solutions) > 1:
            lines.append("starts: " + ", ".join(f"{s.status} {s.value:.4g}" for s in self.solutions))
        lines += ["", "Errors, scored with hard switches"]
        errors = self.errors
        table = pd.DataFrame(
            {
                "variable": errors.index,
                "unit": errors["unit"],
                "n": errors["n"],
                "RMSE before": errors["rmse_before"].map("{:.4g}".format),
                "after": errors["rmse_after"].map("{:.4g}".format),
                "bias before": errors["bias_before"].map("{:+.3g}".format),
                "bias after": errors["bias_after"].map("{:+.3g}".format),
                "efficiency": errors["efficiency_after"].map("{:.2f}".format),
            }
        )
        lines += [table.to_string(index=False), "", "Parameters"]
        p = self.parameters
        table = pd.DataFrame(
            {
                "name": p.index,
                "symbol": p["symbol"],
                "unit": p["unit"],
                "before": p["before"].map("{:.4g}".format),
                "after": p["after"].map("{:.4g}".format),
                "sd": ["-" if at else f"{sd:.2g}" for sd, at in zip(p["sd"], p["at_bound"], strict=True)],
                "bounds": [f"{lo:g} to {hi:g}" for lo, hi in zip(p["lower"], p["upper"], strict=True)],
                "at bound": p["at_bound"].map({True: "yes", False: ""}),
                "determined": [
                    "-" if at else f"{100 * v:.0f} %" for v, at in zip(p["determined"], p["at_bound"], strict=True)
                ],
            }
        )
        lines += [table.to_string(index=False), ""]
        if self.undetermined:
            lines.append(
                f"The data do not determine {', '.join(self.undetermined)}: less than {100 * DETERMINED:.0f} % of the "
                "variance that the bounds leave is removed; the values given are one choice among many."
            )
        for name in p.index[p["at_bound"]]:
            end = "lower" if p["after"][name] - p["lower"][name] < p["upper"][name] - p["after"][name] else "upper"
            lines.append(f"{name} is at its {end} bound: the data ask for more than the bounds allow.")
        lines += list(self.notes)
        return "\n".join(lines)

    def plot(self, **options: Any) -> Figure:
        """Draw observed and simulated values, before and after the fit."""
        from torchcrop.plotting import plot_fit_comparison

        return plot_fit_comparison(
            self.before, self.after, self.problem.table, [o.variable for o in self.problem.observed], **options
        )

    def __repr__(self) -> str:
        return f"<Fit of {self.problem.model!r}: {len(self.problem.free)} parameters, {self.status}>"


def identifiability(problem: Problem, box: Box, latent: Tensor, switches: Switches) -> tuple[Tensor, Tensor]:
    """How far the data determine each parameter.

    Parameters
    ----------
    latent : Tensor
        The fit, ``[P]``.

    Returns
    -------
    determined, sd : Tensor
        Share of the latent prior variance that the data remove, and standard deviation in the parameters' units,
        ``[P]``.

    Notes
    -----
    With J the Jacobian of the residuals, each divided by its variable's root mean square, to the latent parameters, the
    Laplace covariance is ``C = (J'J + 1/s^2)^-1`` with the variance s^2 of a uniform prior in the box; the data remove
    ``1 - C_ii / s^2``.
    """

    def residuals(point: Tensor) -> Tensor:
        return torch.cat(problem.residuals(problem.run(box.natural(point), switches)))

    jacobian = torch.func.jacfwd(residuals)(latent)
    with torch.no_grad():
        parts = problem.residuals(problem.run(box.natural(latent), switches))
        noise = torch.cat([r.square().mean().sqrt().clamp(min=1e-9).expand(len(r)) for r in parts])
        valid = torch.isfinite(jacobian).all(1)
        scaled = (jacobian / noise[:, None])[valid]
        prior = torch.eye(len(latent), dtype=latent.dtype) / PRIOR_SD**2
        covariance = torch.linalg.inv(scaled.T @ scaled + prior)
        variance = covariance.diagonal()
        share = torch.sigmoid(latent)
        slope = (box.upper - box.lower) * share * (1 - share)
        return 1 - variance / PRIOR_SD**2, variance.sqrt() * slope
