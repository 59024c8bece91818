"""Losses explained: how much yield each stress cost, by re-simulation and by gradient."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from torchcrop.functions.switches import Smooth
from torchcrop.quantities import nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from torchcrop.simulation.run import Run

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What stresses cost, of `Run.explain`.

    Attributes
    ----------
    output : str
        Final state explained.
    unit : str
        Its unit, of all amounts.
    treatments : tuple of str
        Switches of `levels`, and of everything else.
    levels : DataFrame
        One row per simulation, one column per production level from potential down to the run's own: the output, by
        re-simulation with the run's own switches; and ``cost of <level>``, the difference that each level makes.
    stresses : DataFrame
        Indexed by ``(sim, stress)``: ``mean_factor`` (mean of the daily factor while the crop is growing, 1 without
        stress), ``marginal`` (derivative of the output to the share of the stress that is taken away, at 0),
        ``alone`` (gain if this stress alone is taken away wholly, by re-simulation) and ``attributed`` (its part of
        the gain if all are taken away: the gradient, integrated along the way there).
    total : DataFrame
        One row per simulation: the output as simulated (``actual``) and with no stress (``unstressed``), by
        re-simulation; ``attributed``, the sum over stresses; ``unexplained``, what the sum misses of the difference,
        the error of the numerical integration.
    """

    output: str
    unit: str
    treatments: tuple[str, str]
    levels: pd.DataFrame
    stresses: pd.DataFrame
    total: pd.DataFrame

    def plot(self, **options: Any) -> Figure:
        """Draw the losses, one bar per simulation; see `torchcrop.plotting.plot_explanation`."""
        from torchcrop.plotting import plot_explanation

        return plot_explanation(self, **options)

    def __str__(self) -> str:
        parts = {
            f"Levels, by re-simulation with {self.treatments[0]}": self.levels.round(1),
            f"Stresses, with {self.treatments[1]}": self.stresses.round(3),
            "Sum": self.total.round(2),
        }
        tables = (f"{title}\n{table.to_string()}" for title, table in parts.items())
        return "\n\n".join((f"{self.output} [{self.unit}]", *tables))


_GAUSS = tuple(zip(*(v.tolist() for v in np.polynomial.legendre.leggauss(4)), strict=True))
"""Nodes and weights of an interval of the integration."""
_SMALLEST = 1e-6
"""Gain below which nothing is to be explained, in units of the output."""


def explain(
    run: Run,
    output: str = "storage_organs",
    stresses: Sequence[str] | None = None,
    tolerance: float = 0.02,
    most: int = 64,
) -> Explanation:
    """Attribute the loss of a final state to stresses; arguments and result as of `Run.explain`."""
    model = run.model
    if not model.stresses:
        raise ValueError(f"{model!r} knows no stress; there is nothing to explain")
    known = [stress for stress, shown in model.stresses.items() if shown in model.Outputs.quantities()]
    chosen = tuple(known if stresses is None else stresses)
    for stress in chosen:
        if stress not in known:
            raise KeyError(f"{model!r} has no stress {stress!r}{nearest(stress, known)}; it has {', '.join(known)}")
    name = run.final.readable(output)
    unit = run.final.record.quantities()[name].unit
    size = len(run)
    smooth = run.switches if isinstance(run.switches, Smooth) else Smooth()

    def relieved(shares: dict[str, Any], switches: Any = smooth, keep: Sequence[str] = ()) -> Run:
        return run.again(
            model=dataclasses.replace(model, relief={**model.relief, **shares}), switches=switches, outputs=list(keep)
        )

    def slopes(at: float) -> Tensor:
        """Derivative to the relief of each stress when all are relieved by one share, ``[n, B]``."""
        shares = torch.full((len(chosen), size), at, dtype=run.rows.dtype, device=run.rows.device, requires_grad=True)
        with torch.enable_grad():
            value = relieved(dict(zip(chosen, shares.unbind(0), strict=True))).final[name]
            return torch.autograd.grad(value.sum(), shares)[0]

    def value_at(at: float) -> Tensor:
        with torch.no_grad():
            return relieved(dict.fromkeys(chosen, at)).final[name]

    actual, unstressed = value_at(0.0), value_at(1.0)
    attributed = _integrated(value_at, slopes, actual, unstressed, tolerance, most)
    marginal = slopes(0.0)
    with torch.no_grad():
        alone = torch.stack([relieved({stress: 1.0}).final[name] - actual for stress in chosen])
        factors = _mean_factors(run, chosen)
        levels = _levels(run, name)
    table = pd.DataFrame(
        {
            "mean_factor": factors.T.reshape(-1).cpu().numpy(),
            "marginal": marginal.T.reshape(-1).cpu().numpy(),
            "alone": alone.T.reshape(-1).cpu().numpy(),
            "attributed": attributed.T.reshape(-1).cpu().numpy(),
        },
        index=pd.MultiIndex.from_product([range(size), chosen], names=["sim", "stress"]),
    )
    summed = attributed.sum(0)
    missed = (unstressed - actual - summed).abs() > tolerance * (unstressed - actual).abs() + _SMALLEST
    if bool(missed.any()):
        warnings.warn(
            f"{int(missed.sum())} of {size} attributions miss more than {tolerance:g} of the gain after {most} "
            "gradients: see total['unexplained'], raise most, or read `alone` instead",
            stacklevel=3,
        )
    total = pd.DataFrame(
        {
            "actual": actual.cpu().numpy(),
            "unstressed": unstressed.cpu().numpy(),
            "attributed": summed.cpu().numpy(),
            "unexplained": (unstressed - actual - summed).cpu().numpy(),
        },
        index=pd.RangeIndex(size, name="sim"),
    )
    return Explanation(name, unit, (repr(run.switches), repr(smooth)), levels, table, total)


def _integrated(
    value_at: Callable[[float], Tensor],
    slopes: Callable[[float], Tensor],
    start: Tensor,
    end: Tensor,
    tolerance: float,
    most: int,
) -> Tensor:
    """Integral of the slopes from 0 to 1, ``[n, B]``; the interval that misses most of its difference is halved."""

    def interval(a: float, b: float, at_a: Tensor, at_b: Tensor) -> _Interval:
        middle, half = (a + b) / 2, (b - a) / 2
        parts = torch.stack([half * weight * slopes(middle + half * node) for node, weight in _GAUSS]).sum(0)
        return _Interval(a, b, at_a, at_b, parts, at_b - at_a - parts.sum(0))

    wanted = tolerance * (end - start).abs() + _SMALLEST
    intervals = [interval(0.0, 1.0, start, end)]
    while len(_GAUSS) * (len(intervals) + 1) <= most:
        missed = torch.stack([i.missed for i in intervals])
        if bool((missed.sum(0).abs() <= wanted).all()):
            break
        worst = int((missed.abs() / wanted).amax(1).argmax())
        i = intervals.pop(worst)
        middle = (i.a + i.b) / 2
        at_middle = value_at(middle)
        intervals += [interval(i.a, middle, i.at_a, at_middle), interval(middle, i.b, at_middle, i.at_b)]
    return torch.stack([i.parts for i in intervals]).sum(0)


class _Interval(NamedTuple):
    """A part of the way from the run as it is (0) to the run without stress (1)."""

    a: float
    b: float
    at_a: Tensor
    at_b: Tensor
    parts: Tensor
    """Integral of the slopes, by stress and simulation."""
    missed: Tensor
    """What their sum misses of the difference of the ends."""


def _mean_factors(run: Run, stresses: Sequence[str]) -> Tensor:
    """Mean factor of each stress over the days with growth, ``[n, B]``."""
    shown = [run.model.stresses[stress] for stress in stresses]
    daily = run.again(outputs=[*dict.fromkeys(shown), "growth"])
    growing = (daily["growth"] > 0).to(run.rows.dtype)
    days = growing.sum(1).clamp(min=1.0)
    return torch.stack([(daily[name] * growing).sum(1) / days for name in shown])


def _levels(run: Run, name: str) -> pd.DataFrame:
    """The output at the run's own level and at all less limited ones."""
    found = {run.model.production_level: run.final[name]}
    model = run.model.less_limited()
    while model is not None:
        found[model.production_level] = run.again(model=model, outputs=[]).final[name]
        model = model.less_limited()
    names = list(reversed(found))
    columns = {level: found[level].detach().cpu().numpy() for level in names}
    for higher, lower in pairwise(names):
        columns[f"cost of {lower}"] = columns[higher] - columns[lower]
    return pd.DataFrame(columns, index=pd.RangeIndex(len(run), name="sim"))
