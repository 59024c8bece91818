"""Scans of a threshold: how smooth a run is along a parameter, and how near to the hard model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tests.trials import Trial
from torchcrop.functions.smoothing import smooth_step, soft_clamp, soft_if, soft_max, soft_min
from torchcrop.functions.switches import Hard, Number, Smooth, Switches
from torchcrop.functions.tables import Table, afgen
from torchcrop.models.lintul2 import Lintul2Crop
from torchcrop.models.lintul3 import Lintul3Crop
from torchcrop.models.lintul5 import Lintul5Crop
from torchcrop.simulation.simulate import simulate

POINTS = 400
SPAN = 120.0
"""Width of a scan [degC d]."""
DAY = 15.0
"""One warm day [degC d]."""
PROMINENT = 1e-3
"""Share of the mean by which values must move back for an extreme to be a turning point."""


def at(trial: Trial, values: dict[str, Tensor], switches: Switches) -> dict[str, Tensor]:
    """Outputs of a trial at given values of parameters of its crop, ``[N]`` each, in one batch."""
    crop = trial.crop.replace(**values)
    run = simulate(trial.model, crop, trial.season, switches=switches, outputs=["max(lai)"])
    return {
        "yield": run.final["wso"],
        "anthesis": run.dates["anthesis"],
        "maturity": run.dates["maturity"],
        "max LAI": run["max(lai)"],
    }


def axis(trial: Trial, name: str, span: float = SPAN, points: int = POINTS) -> Tensor:
    """Values of a temperature sum around its preset."""
    centre = float(getattr(trial.crop, name))
    return torch.linspace(centre - span / 2, centre + span / 2, points, dtype=torch.float64)


def scan(trial: Trial, name: str, switches: Switches) -> dict[str, np.ndarray]:
    """Outputs along a threshold."""
    with torch.no_grad():
        return {k: v.numpy() for k, v in at(trial, {name: axis(trial, name)}, switches).items()}


def phases(trial: Trial, seed: int = 0) -> dict[str, Tensor]:
    """Every threshold of a crop's development drawn within one warm day, or one day of root growth, either side.

    A daily model tests its thresholds once a day: a preset stands at some place within the days of its season, and
    Hard's result depends on it. Over such draws that place is averaged out.
    """
    generator = torch.Generator().manual_seed(seed)

    def days() -> Tensor:
        return DAY * (2 * torch.rand(POINTS, generator=generator, dtype=torch.float64) - 1)

    crop = trial.crop
    drawn = {name: getattr(crop, name) + days() for name in ("tsum_anthesis", "tsum_maturity")}
    drawn["juvenile_lai"] = crop.juvenile_lai * torch.exp(crop.relative_lai_growth * days())
    if isinstance(crop, Lintul5Crop):
        drawn["tsum_emergence"] = crop.tsum_emergence + days()
        drawn["juvenile_stage"] = crop.juvenile_stage + days() / crop.tsum_anthesis
        drawn["ageing_stage"] = crop.ageing_stage + days() / crop.tsum_maturity
    elif isinstance(crop, Lintul3Crop):
        drawn["ageing_tsum"] = crop.ageing_tsum + days()
        for stage in ("juvenile_stage", "translocation_stage", "uptake_end_stage", "root_death_stage"):
            drawn[stage] = getattr(crop, stage) + days() / crop.tsum_anthesis
    else:
        drawn["juvenile_tsum"] = crop.juvenile_tsum + days()
    if isinstance(crop, Lintul2Crop | Lintul3Crop):
        drawn["maximum_root_depth"] = crop.maximum_root_depth + crop.root_growth * days() / DAY
    return drawn


def calmed(trial: Trial, days: int) -> Trial:
    """A trial in weather of which temperature and radiation are running means over an odd number of days."""
    place = trial.season.station
    kernel = np.full(days, 1 / days)
    means = {
        name: np.convolve(np.pad(place.values[name], days // 2, mode="edge"), kernel, mode="valid")
        for name in ("tmin", "tmax", "srad")
    }
    return replace(trial, season=replace(trial.season, station=replace(place, values={**place.values, **means})))


# --- measures of a scan ---------------------------------------------------------------------------------


def peak_to_peak(values: np.ndarray) -> float:
    """Largest range of values inside any one warm day of a scan."""
    n = round(DAY / (SPAN / (POINTS - 1))) + 1
    windows = np.lib.stride_tricks.sliding_window_view(values, n)
    return float((windows.max(axis=1) - windows.min(axis=1)).max())


def turns(values: np.ndarray, threshold: float) -> list[int]:
    """Turning points: extremes after which, and before which, the values move by more than a threshold."""
    found: list[int] = []
    low = high = 0
    direction = 0
    for i, v in enumerate(values):
        if v > values[high]:
            high = i
        if v < values[low]:
            low = i
        if direction >= 0 and values[high] - v > threshold:
            if direction > 0:
                found.append(high)
            direction, low, high = -1, i, i
        elif direction <= 0 and v - values[low] > threshold:
            if direction < 0:
                found.append(low)
            direction, low, high = 1, i, i
    return found


def unexplained(smooth: np.ndarray, soft: np.ndarray) -> int:
    """Turning points of a scan beyond those that are there at softness 1 too."""
    threshold = PROMINENT * smooth.mean()
    return max(0, len(turns(smooth, threshold)) - len(turns(soft, threshold)))


def relative_range(values: np.ndarray) -> float:
    return float((values.max() - values.min()) / abs(values.mean()))


def largest_step(values: np.ndarray) -> float:
    """Largest step over the mean absolute step."""
    steps = np.abs(np.diff(values))
    return float(steps.max() / steps.mean())


@dataclass(frozen=True)
class Bias:
    """Smooth less Hard along a scan, as shares of Hard's mean."""

    mean: float
    rms: float
    largest: float
    allowance: float
    """Hard's own largest range inside one warm day: no continuous curve can be nearer."""

    @classmethod
    def of(cls, smooth: np.ndarray, hard: np.ndarray) -> Bias:
        mean = hard.mean()
        deviation = (smooth - hard) / mean
        return cls(
            float(deviation.mean()),
            float(np.sqrt((deviation**2).mean())),
            float(np.abs(deviation).max()),
            peak_to_peak(hard) / float(mean),
        )


# --- what smoothing without the recipe would be ---------------------------------------------------------


class Naive(Switches):
    """Every operator rounded with one sharpness in the unit of its argument.

    Parameters
    ----------
    k : float
        Sharpness.
    jumps, kinks : bool
        Round the steps; round minimum, maximum and limit.
    """

    def __init__(self, k: float = 50.0, jumps: bool = True, kinks: bool = True) -> None:
        self.k, self.jumps, self.kinks = k, jumps, kinks
        self.hard = Hard()

    def crossed(
        self,
        clock: Tensor,
        threshold: Number,
        scale: Number,
        now: Number,
        before: Number | None = None,
        strict: bool = False,
    ) -> Tensor:
        return self.step(clock - threshold, scale, strict)

    def passed(self, clock: Tensor, threshold: Number, scale: Number, now: Number, before: Number) -> Tensor:
        return self.step(clock - threshold, scale) - self.step(clock - before - threshold, scale)

    def alive(self, ended: Tensor) -> Tensor:
        return 1 - ended

    def finished(self, clock: Tensor, threshold: Number, scale: Number, strict: bool = False) -> Tensor:
        return self.hard.finished(clock - 28.0 / self.k, threshold, scale, strict)

    def abandoned(self, ended: Tensor, rule: Callable[[], Tensor]) -> Tensor:
        return ended

    def step(self, x: Tensor, scale: Number, strict: bool = False) -> Tensor:
        return smooth_step(x, 0.0, self.k) if self.jumps else self.hard.step(x, scale, strict)

    def data_step(self, x: Tensor, scale: Number) -> Tensor:
        return self.step(x, scale)

    def select(self, x: Tensor, below: Number, above: Number, scale: Number, strict: bool = False) -> Tensor:
        return soft_if(x, above, below, self.k) if self.jumps else self.hard.select(x, below, above, scale, strict)

    def outstanding(self, done: Tensor, level: Tensor) -> Tensor:
        return 1 - done

    def supplied(self, supply: Tensor, demand: Tensor) -> Tensor:
        return Smooth().supplied(supply, demand)

    def min(self, a: Number, b: Number) -> Tensor:
        return soft_min(a, b, self.k) if self.kinks else self.hard.min(a, b)

    def max(self, a: Number, b: Number) -> Tensor:
        return soft_max(a, b, self.k) if self.kinks else self.hard.max(a, b)

    def positive(self, x: Tensor) -> Tensor:
        return self.max(x, 0.0)

    def limit(self, lo: Number, hi: Number, x: Number) -> Tensor:
        x = torch.as_tensor(x)
        return soft_clamp(x, lo, hi, self.k) if self.kinks else self.hard.limit(lo, hi, x)

    def table_mean(self, table: Table, clock: Tensor, now: Number, before: Number, scale: Number) -> Tensor:
        return afgen(table, clock)
