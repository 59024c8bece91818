"""The verb `simulate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from torchcrop.functions.switches import Hard, Switches
from torchcrop.functions.tables import Table
from torchcrop.models.model import Model, Observable
from torchcrop.quantities import Record, is_wrapped, nearest
from torchcrop.simulation.backends import check_backend, integrated
from torchcrop.simulation.batch import (
    SCENARIO,
    Calendar,
    Forcing,
    assemble_parameters,
    batch_size,
)
from torchcrop.simulation.engine import Recording
from torchcrop.simulation.run import REDUCTION, Final, Run, check_reach, event_dates, find_output, provenance
from torchcrop.simulation.seasons import Season

__all__ = ["Trials", "as_seasons", "simulate"]


@runtime_checkable
class HasSeasons(Protocol):
    """Something that knows its seasons: an experiment."""

    def seasons(self) -> Sequence[Season]:
        """Seasons to simulate."""


class HasSeason(Protocol):
    """Something that makes a season of weather: a management."""

    def season(self, weather: Any) -> Season:
        """Season on this weather."""


Trials = HasSeasons | Season | Sequence[HasSeasons | Season]


def simulate(
    model: Model,
    crop: Record,
    experiment: Trials | None = None,
    *,
    weather: Any = None,
    management: HasSeason | Sequence[HasSeason] | None = None,
    soil: Record | None = None,
    site: Mapping[str, Any] | None = None,
    switches: Switches | None = None,
    outputs: Sequence[str] | None = None,
    scenario: Mapping[str, Any] | None = None,
    events: Mapping[str, Tensor | Table] | None = None,
    initial: Mapping[str, Any] | None = None,
    checkpoint: int | None = None,
    backend: str = "auto",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Run:
    """Simulate a crop model, for one season or a batch of them.

    Parameters
    ----------
    model : Model
        What to simulate, such as ``Lintul5(level="water")``.
    crop : Record
        Crop parameters, of the model's kind. Values may be batched, ``[B]``, be tensors that require a gradient, or
        be an `nn.Module` that gives the value every day, ``module(state, day)`` (on the first day's initial
        states it is called with None).
    experiment : Experiment, Season, or a list of them
        One simulation per season (of an experiment: per treatment).
    weather, management : Weather and Management
        Instead of an experiment: management, or a list of them, on one weather.
    soil : Record, optional
        Soil parameters of the model's kind; in place of the seasons' own.
    site : mapping, optional
        Values of the site that differ from the station's: latitude, elevation, co2.
    switches : Switches
        Treatment of thresholds; default `Hard()`.
    outputs : sequence of str, optional
        States, outputs of the day and observables to keep for every day, by name or symbol; ``max(name)``,
        ``min(name)`` and ``sum(name)`` keep one number. Default: all states and outputs. An empty list keeps final
        states and dates alone, in memory that does not grow with the number of days.
    scenario : mapping, optional
        Changes of weather and air: ``{"temperature": +2, "rain": 0.8, "co2": 550}``; numbers or ``[B]``. Also
        ``radiation``, ``wind`` and ``vapour_pressure`` (factors).
    events : mapping of str to Tensor or Table, optional
        Amounts by day, ``[B, T]`` or ``[T]``, added to the seasons' own: ``{"irrigation": tensor}`` [mm],
        ``{"nitrogen": tensor}`` [g m-2]. A `Table` holds amounts by development stage instead. Both are
        differentiable, in amounts and in stages.
    initial : mapping, optional
        States at the start of the first day in place of the model's own, by name or symbol, numbers or ``[B]``:
        ``{"water": 40.0}``. With the `final` of a run that ended on this season's first day, that run goes on.
    checkpoint : int, optional
        In the backward pass, recompute from states kept every so many days: less memory, more time.
    backend : {"auto", "eager", "kernel"}
        What runs the days: the plain loop of tensors ("eager"), the season compiled as one loop ("kernel"), or the
        kernel where the model's day allows it ("auto"). `Run.backend` says what ran, and ``Run.backend.why`` why.
        Both give the same numbers; a second derivative needs "eager".
    dtype : torch.dtype
        Floating type; default float64.
    device : torch.device or str
        Where to compute.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError, KeyError
        If inputs do not fit the model or each other; nothing is ignored.

    Notes
    -----
    The batch has as many simulations as there are seasons, or, for one season, as the batched values say;
    both must agree or be 1. Works under `torch.func.vmap`, `jvp` and `vjp`.
    """
    given = {
        "model": model,
        "crop": crop,
        "experiment": experiment,
        "weather": weather,
        "management": management,
        "soil": soil,
        "site": site,
        "switches": switches,
        "outputs": outputs,
        "scenario": scenario,
        "events": events,
        "initial": initial,
        "checkpoint": checkpoint,
        "backend": backend,
        "dtype": dtype,
        "device": device,
    }
    if not isinstance(model, Model):
        raise TypeError(f"model is {model!r}; expected a model value such as Lintul5(level='water')")
    check_backend(backend)
    switches = Hard() if switches is None else switches
    seasons = _seasons(experiment, weather, management)
    device = torch.device(device)
    scenario = _checked_scenario(scenario or {}, dtype, device)
    applied = {
        kind: Table(value.x.to(device, dtype), value.y.to(device, dtype))
        if isinstance(value, Table)
        else torch.as_tensor(value, dtype=dtype, device=device)
        for kind, value in (events or {}).items()
    }
    first = _states(model, initial or {}, dtype, device)
    if checkpoint is not None and checkpoint < 1:
        raise ValueError(f"checkpoint is {checkpoint}; expected a number of days, at least 1, or None")
    calendar = Calendar.of(seasons)

    assembled = assemble_parameters(model, crop, seasons, soil, site, scenario)
    modules = _modules(assembled)
    params = assembled.to(device=device, dtype=dtype)
    size = _size(len(seasons), batch_size(params, model.name), scenario, applied, first)

    recording, observables = _recording(model, outputs)
    for observable in observables.values():
        check_reach(observable, params)
    forcing = Forcing(model, seasons, calendar, params, scenario, applied, switches, size, dtype, device)
    result, ran, kernel = integrated(
        backend, model, params, forcing, calendar.lengths, switches, recording, modules, first, checkpoint
    )
    final = result.final
    return Run(
        model=model,
        switches=switches,
        params=params,
        calendar=calendar,
        daily={name: result.daily[:, i] for i, name in enumerate(recording.daily)},
        reduced={f"{how}({name})": v for (how, name), v in zip(recording.reduced, result.reduced, strict=True)},
        final=Final(final),
        dates=event_dates(model, final, result.shares, switches),
        rows=result.rows,
        labels=[season.labels for season in seasons],
        again=partial(_again, given),
        attributes={
            "model": repr(model),
            "switches": repr(switches),
            "dtype": str(dtype),
            "backend": str(ran),
            **_origins(crop, seasons, scenario),
            **provenance(),
        },
        backend=ran,
        kernel=kernel,
        observables=tuple(observables),
    )


def _again(given: Mapping[str, Any], **changes: Any) -> Run:
    """Simulate with some arguments changed; a function of the module, so that a run can be pickled."""
    unknown = [name for name in changes if name not in given]
    if unknown:
        raise TypeError(f"simulate has no argument {unknown[0]!r}{nearest(unknown[0], given)}")
    return simulate(**{**given, **changes})


def _seasons(experiment: Any, weather: Any, management: Any) -> list[Season]:
    if (experiment is None) == (weather is None):
        raise TypeError("give either an experiment (or seasons), or weather and management")
    if experiment is None:
        if management is None:
            raise TypeError("weather alone is not a season: give `management=` too (sowing or emergence date)")
        several = management if isinstance(management, list | tuple) else [management]
        found = [one.season(weather) for one in several]
    elif management is not None:
        raise TypeError("an experiment has its own management: change the experiment, or give weather and management")
    else:
        return as_seasons(experiment)
    if not found:
        raise ValueError("there is no season to simulate")
    return found


def as_seasons(trials: Any) -> list[Season]:
    """Give the seasons of experiments, of a list of them, or of a list of seasons."""
    several = trials if isinstance(trials, list | tuple) else [trials]
    found: list[Season] = []
    for one in several:
        if isinstance(one, Season):
            found.append(one)
        elif isinstance(one, HasSeasons):
            found.extend(one.seasons())
        else:
            raise TypeError(f"{one!r} is neither an experiment nor a season")
    if not found:
        raise ValueError("there is no season to simulate")
    return found


def _checked_scenario(scenario: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    values = {}
    for name, value in scenario.items():
        if name not in SCENARIO:
            offered = "; ".join(f"{k}: {what}, {how}" for k, (what, how) in SCENARIO.items())
            raise KeyError(f"scenario has no {name!r}{nearest(name, SCENARIO)}; it has {offered}")
        values[name] = _one_per_simulation(f"scenario {name}", value, dtype, device)
    return values


def _one_per_simulation(what: str, value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    tensor = torch.as_tensor(value, dtype=dtype, device=device)
    if tensor.dim() > 1:
        raise ValueError(f"{what} has shape {tuple(tensor.shape)}; expected a scalar or one number per simulation, [B]")
    return tensor


def _modules(params: Any) -> dict[tuple[str, ...], torch.nn.Module]:
    return {
        (record, name): value
        for record, inner in params.items()
        for name, value in inner.items()
        if isinstance(value, torch.nn.Module)
    }


def _states(model: Model, initial: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """Given initial states by their readable names."""
    states: dict[str, Tensor] = {}
    known = model.State.quantities()
    for spelled, value in initial.items():
        name = next((n for n, q in known.items() if spelled.lower() in q.spellings()), None)
        if name is None:
            spellings = [s for q in known.values() for s in q.spellings()]
            raise KeyError(f"initial: {model.name} has no state {spelled!r}{nearest(spelled, spellings)}")
        if name in states:
            raise ValueError(f"initial: {spelled!r} gives the state {name} a second time")
        states[name] = _one_per_simulation(f"initial {spelled}", value, dtype, device)
    return states


def _size(
    seasons: int,
    batch: int | None,
    scenario: Mapping[str, Tensor],
    events: Mapping[str, Tensor | Table],
    initial: Mapping[str, Tensor],
) -> int:
    """Size of the batch; all sizes must agree or be 1."""
    sizes = {"seasons": seasons, "the batched parameters": batch or 1}
    for name, value in scenario.items():
        if value.dim() == 1:
            sizes[f"scenario {name}"] = len(value)
    for name, applied in events.items():
        amounts = applied.y if isinstance(applied, Table) else applied
        if amounts.dim() == 2:
            sizes[f"events {name}"] = amounts.shape[0]
    for name, value in initial.items():
        if value.dim() == 1:
            sizes[f"initial {name}"] = len(value)
    large = {name: n for name, n in sizes.items() if n != 1}
    if len(set(large.values())) > 1:
        raise ValueError(
            "the batch is ambiguous: "
            + ", ".join(f"{name} give {n}" for name, n in large.items())
            + "; each must be 1 or the same number"
        )
    return next(iter(large.values()), 1)


def _recording(model: Model, outputs: Sequence[str] | None) -> tuple[Recording, dict[str, Observable]]:
    if outputs is None:
        hidden = {e.counter for e in model.events.values()} | {"running"}
        names = [n for n in model.State.quantities() if not n.endswith("_before") and n not in hidden]
        return Recording((*names, *model.Outputs.quantities())), {}
    if isinstance(outputs, str):
        raise TypeError(f"outputs is the text {outputs!r}; give a list of names, [{outputs!r}]")
    daily: dict[str, None] = {}
    reduced: dict[tuple[str, str], None] = {}
    observables: dict[str, Observable] = {}
    for name in outputs:
        match = REDUCTION.match(name)
        known = find_output(model, match[2] if match else name)
        if isinstance(known, Observable):
            if match:
                raise KeyError(f"{name!r}: only states and outputs can be reduced, {match[2]} is an observable")
            observables[name] = known
            daily.update(dict.fromkeys(known.needs))
        elif match:
            reduced[match[1], known.name] = None
        else:
            daily[known.name] = None
    return Recording(tuple(daily), tuple(reduced)), observables


def _origins(crop: Record, seasons: Sequence[Season], scenario: Mapping[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    named = getattr(crop, "provenance", None)
    if named:
        found["crop"] = named.name
    stations = {id(s.station): s.station for s in seasons}
    found["weather"] = "; ".join(s.name for s in stations.values())
    for station in stations.values():
        for key, value in station.attributes.items():
            found[f"weather_{key}"] = str(value)
    for name, value in scenario.items():
        found[f"scenario_{name}"] = f"tensor{list(value.shape)}" if is_wrapped(value) else value.tolist()
    return found
