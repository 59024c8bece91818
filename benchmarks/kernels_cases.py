"""The seasons on which season kernels are timed, and the calls: whole runs, and the integration alone."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

import torchcrop as tc
from benchmarks.cases import our_package
from benchmarks.clock import GRADIENT_SYMBOLS, WEATHER_COLUMNS, lane_factors, read_weather
from benchmarks.clock import Season as PeerSeason
from torchcrop.kernels import backend as kernel_backend
from torchcrop.kernels.kernel import Inputs, SeasonKernel
from torchcrop.simulation import backends
from torchcrop.simulation.engine import Integration, integrate

Call = Callable[[], Any]

SWITCHES: dict[str, tc.Switches] = {"smooth": tc.Smooth(), "hard": tc.Hard()}
DAYS = 200
#: Relative spread of the free parameters over a batch.
SPREAD = 0.05
#: Of maize, so that all days are simulated: the crop of the trial matures after 129 days.
LATE = 1.5
#: Given in all where nutrients limit. [g m-2]
FERTILISER = {"nitrogen": 40.0, "phosphorus": 10.0, "potassium": 40.0}

_FREE_MAIZE = (
    *("tsum_anthesis", "tsum_maturity", "relative_lai_growth", "critical_lai"),
    *("tsum_emergence", "initial_weight", "drought_death_rate", "maximum_root_depth"),
)
_FREE_WHEAT = (
    *("tsum_anthesis", "tsum_maturity", "relative_lai_growth", "critical_lai"),
    *("shading_death_rate", "light_use_efficiency", "extinction", "specific_leaf_area"),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model with a crop and a season, and the parameters that differ between the simulations of a batch.

    Attributes
    ----------
    name : str
    model : Model
    crop : Record
    season : Season
        With its soil.
    free : mapping of str to callable
        By name of a crop parameter: its factors for a batch of a size, ``[size]``.
    """

    name: str
    model: Any
    crop: Any
    season: tc.Season
    free: Mapping[str, Callable[[int], Tensor]]

    def values(self, size: int, dtype: torch.dtype, gradient: bool = False) -> dict[str, Tensor]:
        """Return the free parameters of a batch, ``[size]`` each."""
        return {
            name: (getattr(self.crop, name) * factors(size)).to(dtype).requires_grad_(gradient)
            for name, factors in self.free.items()
        }

    def run(self, values: Mapping[str, Tensor], switches: str, backend: str, dtype: torch.dtype) -> tc.Run:
        """Simulate, keeping final states alone."""
        return tc.simulate(
            self.model,
            self.crop.replace(**values),
            self.season,
            switches=SWITCHES[switches],
            outputs=[],
            backend=backend,
            dtype=dtype,
        )


def _spread(place: int) -> Callable[[int], Tensor]:
    """Factors of the free parameter at a place: normal, no two simulations alike."""

    def factors(size: int) -> Tensor:
        generator = torch.Generator().manual_seed(place)
        return 1 + SPREAD * torch.randn(size, generator=generator, dtype=torch.float64).clamp(-3, 3)

    return factors


def _free(names: tuple[str, ...]) -> dict[str, Callable[[int], Tensor]]:
    return {name: _spread(place) for place, name in enumerate(names)}


# --- seasons ------------------------------------------------------------------------------------------------


def lintul5(level: str) -> Case:
    """Return LINTUL5 on the maize trial of Greeley 2023, fully irrigated, 200 days from sowing.

    TSUM1 and TSUM2 are `LATE` times those of the crop file, and the season goes on past the harvest of the trial, so
    that 200 days are really simulated. Where nutrients limit they are given, `FERTILISER`.
    """
    (season,) = our_package().load_experiment("maize_lirf_2023").seasons()
    crop = tc.load_crop("maize")
    late = {name: LATE * getattr(crop, name) for name in ("tsum_anthesis", "tsum_maturity")}
    events = {} if level == "potential" else dict(season.events)
    events |= _fertiliser(level, season.start)
    season = dataclasses.replace(season, end=season.start + dt.timedelta(days=DAYS - 1), events=events)
    return Case(f"LINTUL5 {level}", tc.Lintul5(level=level), crop.replace(**late), season, _free(_FREE_MAIZE))


def _fertiliser(level: str, start: dt.date) -> dict[str, list[tuple[dt.date, float]]]:
    """Fertiliser of the nutrients that limit at a level, in three parts."""
    limiting = {"nitrogen": ("nitrogen",), "npk": tuple(FERTILISER)}.get(level, ())
    days = [start + dt.timedelta(days=n) for n in (10, 40, 60)]
    return {kind: [(day, FERTILISER[kind] / 3) for day in days] for kind in limiting}


def wheat(model: Any, crop: str, soil: str | None) -> Case:
    """Return a model of spring wheat in central Iowa 2001, 200 days from emergence or until maturity."""
    weather = our_package().load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
    start = dt.date(2001, 4, 10)
    nitrogen = [(start + dt.timedelta(days=10), 10.0)] if model.name == "LINTUL3" else []
    end = start + dt.timedelta(days=DAYS - 1)
    management = tc.Management(start=start, emergence=start, end=end, nitrogen=nitrogen)
    season = management.season(weather, None if soil is None else tc.load_soil(soil))
    return Case(model.name, model, tc.load_crop(crop), season, _free(_FREE_WHEAT))


def every_model() -> list[Case]:
    """Return a case of every model and level."""
    return [
        wheat(tc.Lintul1(), "spring_wheat", None),
        wheat(tc.Lintul2(), "spring_wheat", "lintul2_wageningen"),
        wheat(tc.Lintul3(), "spring_wheat_lintul3", "lintul3_wageningen"),
        *(lintul5(level) for level in ("potential", "water", "nitrogen", "npk")),
    ]


def peer_case(level: str, given: PeerSeason) -> Case:
    """Return LINTUL5 on the season, soil, crop and lanes that ``peers/torchcrop_111.py`` simulates.

    The peer's nutrients, which it computes at every level, do not limit; ours are given `FERTILISER` where they do.
    """
    package, days = our_package(), read_weather(given)
    start = dt.date.fromisoformat(given.start)
    values = {name: np.array(days[name]) for name in WEATHER_COLUMNS}
    station = tc.Station("benchmark", given.latitude, float("nan"), given.altitude, start, values)
    end = start + dt.timedelta(days=given.days - 1)
    soil, site = package.load_soil("lintul5_p1"), {"co2": given.co2}
    season = tc.Season(station, start, end, sowing=start, soil=soil, site=site, events=_fertiliser(level, start))
    crop = tc.load_crop(given.crop)
    free = [name for name, q in crop.quantities().items() if q.symbol in GRADIENT_SYMBOLS]

    def factors(size: int) -> Tensor:
        return torch.tensor(lane_factors(size), dtype=torch.float64)

    return Case(f"LINTUL5 {level}", tc.Lintul5(level=level), crop, season, dict.fromkeys(free, factors))


def pcse_case(files: Path) -> Case:
    """Return LINTUL3 on the spring wheat of 1997 that PCSE brings along, from PCSE's own files."""
    data = files / "lintul3_springwheat"
    package = our_package()
    crop = package.import_crop(data.with_suffix(".crop"), model="lintul3")
    soil = package.import_soil(data.with_suffix(".soil"), data.with_suffix(".site"), model="lintul3")
    (management,) = package.import_management(data.with_suffix(".agro"), data.with_suffix(".site"), model="lintul3")
    season = management.season(package.read_cabo(files / "NL1.997"), soil)
    return Case("LINTUL3", tc.Lintul3(variant="pcse"), crop, season, _free(_FREE_WHEAT))


# --- calls --------------------------------------------------------------------------------------------------


def whole(case: Case, size: int, switches: str, backend: str, dtype: torch.dtype, *, backward: bool) -> Call:
    """Return a run as a user writes it: `simulate`, a loss, and its gradient where `backward`."""
    values = case.values(size, dtype, gradient=backward)

    def forward() -> None:
        with torch.no_grad():
            case.run(values, switches, backend, dtype)

    def forward_and_backward() -> None:
        for value in values.values():
            value.grad = None
        _storage(case.run(values, switches, backend, dtype)).sum().backward()

    return forward_and_backward if backward else forward


def _storage(run: tc.Run) -> Tensor:
    return run.final["wso"]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A kernel with the inputs of a run.

    Attributes
    ----------
    kernel : SeasonKernel
        Of a binding in which the free parameters are active.
    inputs : Inputs
    by_daily, by_carried : Tensor
        Cotangents of the results, here ones.
    rows : Tensor
        Days that each simulation lived, ``[size]``.
    """

    kernel: SeasonKernel
    inputs: Inputs
    by_daily: Tensor
    by_carried: Tensor
    rows: Tensor

    def forward(self) -> None:
        """Run the season."""
        self.kernel.forward(self.inputs)

    def reverse(self) -> None:
        """Take cotangents back; the season is run first, as part of it."""
        self.kernel.reverse(self.inputs, self.by_daily, self.by_carried)

    def forward_and_backward(self) -> None:
        """Do what a loss with a gradient does: the values, then the cotangents."""
        self.forward()
        self.reverse()

    def jacobian(self, several: int) -> Call:
        """Return the call that carries tangents along, one for each of so many free parameters."""
        inputs, dtype = self.inputs, self.kernel.dtype
        one = torch.eye(len(self.kernel.binding.active), dtype=dtype)[:several]
        own = one[:, :, None].expand(-1, -1, inputs.size).contiguous()
        events = torch.zeros(several, 0, inputs.days, inputs.size, dtype=dtype)
        return lambda: self.kernel.tangents(inputs, own, events)


def prepared(case: Case, size: int, switches: str, dtype: torch.dtype) -> Prepared:
    """Return the kernel and the inputs of a run, as `simulate` hands them over."""
    found: list[tuple[SeasonKernel, Inputs]] = []
    run = kernel_backend.run

    # What `simulate` prepares for its kernel has no public name.
    def kept(kernel: SeasonKernel, inputs: Inputs) -> tuple[Tensor, Tensor]:
        found.append((kernel, inputs))
        return run(kernel, inputs)

    with mock.patch.object(kernel_backend, "run", kept):
        result = case.run(case.values(size, dtype, gradient=True), switches, "kernel", dtype)
    ((kernel, inputs),) = found
    inputs = dataclasses.replace(
        inputs, **{name: getattr(inputs, name).detach() for name in ("shared", "own", "events")}
    )
    daily, carried = kernel.forward(inputs)
    return Prepared(kernel, inputs, torch.ones_like(daily), torch.ones_like(carried), result.rows)


def prepared_eager(case: Case, size: int, switches: str, dtype: torch.dtype) -> Call:
    """Return the integration of a run by the eager loop alone, forward and backward."""
    found: list[tuple[Any, ...]] = []

    def kept(*arguments: Any) -> Integration:
        found.append(arguments)
        raise _Prepared

    with mock.patch.object(backends, "integrate", kept), contextlib.suppress(_Prepared):
        case.run(case.values(size, dtype, gradient=True), switches, "eager", dtype)
    ((model, params, forcing, *rest),) = found
    leaves = {name: getattr(params.crop, name).detach().requires_grad_() for name in case.free}
    # The drivers of a day depend on parameters too.
    forcing.params = params = params.replace(crop=params.crop.replace(**leaves))

    def forward_and_backward() -> None:
        result = integrate(model, params, forcing, *rest)
        # Under `Hard` a sum that only decides whether a threshold is passed has no derivative.
        torch.autograd.grad(_grain(case, result).sum(), list(leaves.values()), allow_unused=True)

    return forward_and_backward


class _Prepared(Exception):
    """All that the integration is given is known."""


def _grain(case: Case, result: Integration) -> Tensor:
    states = case.model.State.quantities()
    (name,) = (name for name, q in states.items() if "wso" in q.spellings())
    value: Tensor = getattr(result.final, name)
    return value
