"""Batch: many seasons as tensors, each with its own calendar, station, soil and parameters.

Weather is held once per station and indexed by simulation and day, never copied per simulation. What a scenario changes
is changed on the day's drivers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Shelf, Table
from torchcrop.models.model import Day, Model, Site, Weather
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import Record, is_wrapped, nearest
from torchcrop.simulation.seasons import Season, Station

__all__ = [
    "EVENT_KINDS",
    "Calendar",
    "Forcing",
    "assemble_parameters",
    "batch_size",
    "modified",
    "prepare_tables",
    "stack_records",
]

EVENT_KINDS = ("irrigation", "irrigation_table", *NUTRIENTS)
SCENARIO = {
    "temperature": ("tmin and tmax", "added [degC]"),
    "rain": ("rain", "factor [-]"),
    "radiation": ("srad", "factor [-]"),
    "wind": ("wind", "factor [-]"),
    "vapour_pressure": ("vap", "factor [-]"),
    "co2": ("the site's CO2", "value [ppm]"),
}
"""Scenario modifiers: what each changes and how."""
# Added to the last stage of applications by stage: a table has two points more, at stages that no crop reaches.
_NEVER_REACHED = 1000.0


# --- parameters -----------------------------------------------------------------------------------------


def stack_records(records: Sequence[Record]) -> Record:
    """Stack records of one type into a batch; equal values stay shared.

    Tables whose breakpoints differ in number are padded with further points at their held end.
    """
    first = records[0]
    for other in records[1:]:
        if type(other) is not type(first):
            raise TypeError(f"cannot batch {type(first).__name__} with {type(other).__name__}")
    if all(r is first for r in records):
        return first
    values: dict[str, Any] = {}
    for name in first.quantities():
        column = [getattr(r, name) for r in records]
        if isinstance(column[0], Record):
            values[name] = stack_records(column)
        elif isinstance(column[0], Table):
            values[name] = _stack_tables(name, column)
        elif all(torch.equal(v, column[0]) for v in column[1:]):
            values[name] = column[0]
        else:
            values[name] = torch.stack(column)
    return type(first)(**values)


def _stack_tables(name: str, tables: Sequence[Table]) -> Table:
    first = tables[0]
    if all(t is first or (torch.equal(t.x, first.x) and torch.equal(t.y, first.y)) for t in tables):
        return first
    if len({t.ends for t in tables}) > 1:
        raise ValueError(f"{name}: tables that hold and tables that extrapolate cannot share a batch")
    longest = max(t.x.shape[-1] for t in tables)
    if first.ends == "extrapolate" and any(t.x.shape[-1] != longest for t in tables):
        raise ValueError(f"{name}: extrapolating tables of different length cannot share a batch")

    def padded(t: Table) -> tuple[Tensor, Tensor]:
        missing = longest - t.x.shape[-1]
        beyond = t.x[-1] + torch.arange(1, missing + 1, dtype=t.x.dtype, device=t.x.device)
        return torch.cat([t.x, beyond]), torch.cat([t.y, t.y[-1:].expand(missing)])

    x, y = zip(*(padded(t) for t in tables), strict=True)
    return Table(torch.stack(x), torch.stack(y), first.ends)


def batch_size(tree: Any, names: str) -> int | None:
    """Size of the batch that a record's values carry, or None if all are shared.

    Raises
    ------
    ValueError
        If two values disagree or a value has more than one dimension beside a table's points.
    """
    found: tuple[str, int] | None = None
    for name, value in _named_values(tree, names):
        if isinstance(value, Table):
            shapes = [value.x.shape[:-1], value.y.shape[:-1]]
        elif isinstance(value, Tensor):
            shapes = [value.shape]
        else:
            continue
        for shape in shapes:
            if len(shape) > 1:
                raise ValueError(
                    f"{name} has shape {tuple(shape)}; a value is a scalar or one number per simulation, [B]"
                )
            if len(shape) == 1 and shape[0] != 1:
                if found is not None and found[1] != shape[0]:
                    raise ValueError(f"{name} has a batch of {shape[0]}, but {found[0]} has one of {found[1]}")
                found = (name, int(shape[0]))
    return found[1] if found else None


def _named_values(tree: Any, prefix: str) -> Any:
    for name, value in tree.items():
        if isinstance(value, Record):
            yield from _named_values(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", value


def prepare_tables(params: Any) -> Any:
    """Compute the slopes of all tables once, for all days of a run; tables of one abscissa are read together."""
    new: dict[str, Any] = {}
    shelves: dict[str, list[str]] = {}
    for name, value in params.items():
        if isinstance(value, Record):
            new[name] = prepare_tables(value)
        elif isinstance(value, Table):
            shelves.setdefault(params.quantities()[name].x, []).append(name)
    for names in shelves.values():
        new.update(zip(names, Shelf.prepare([getattr(params, name) for name in names]), strict=True))
    return params.replace(**new)


def check_finite(params: Any, names: str) -> None:
    """Raise ValueError if a value of a record is not a finite number; what a transform of torch traces has none."""
    found: list[tuple[str, Tensor]] = []
    for name, value in _named_values(params, names):
        tensors = (value.x, value.y) if isinstance(value, Table) else (value,)
        for tensor in tensors:
            if isinstance(tensor, Tensor) and not is_wrapped(tensor) and tensor.device.type != "meta":
                found.append((name, tensor.detach()))
    kinds: dict[Any, list[Tensor]] = {}
    for _, tensor in found:
        kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor.reshape(-1))
    if all(bool(torch.isfinite(torch.cat(tensors)).all()) for tensors in kinds.values()):
        return
    for name, tensor in found:
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} is {tensor.tolist()}; expected finite numbers")


def _check_amounts(kind: str, amounts: Tensor) -> None:
    """Raise ValueError if amounts are not numbers, or negative."""
    if is_wrapped(amounts) or amounts.device.type == "meta":
        return
    given = amounts.detach()
    if not bool((given >= 0).all()):
        wrong = given[~(given >= 0)][0]
        raise ValueError(
            f"events: {kind} has an amount of {float(wrong):g}; expected numbers of at least 0 (for a search without "
            "bounds, optimise their softplus)"
        )


def assemble_parameters(
    model: Model,
    crop: Record,
    seasons: Sequence[Season],
    soil: Record | None,
    site: Mapping[str, Any] | None,
    scenario: Mapping[str, Any],
) -> Any:
    """Bring crop, soil, site and management of all seasons into the model's record of parameters.

    Raises
    ------
    TypeError
        If crop or soil are not of the model's kind.
    ValueError, KeyError
        If a season lacks what the model needs, or names what the model does not know.
    """
    kinds = {name: q.record for name, q in model.Parameters.quantities().items()}
    crop_kind, soil_kind, management_kind = kinds["crop"], kinds["soil"], kinds["management"]
    assert crop_kind is not None
    assert soil_kind is not None
    assert management_kind is not None
    if not isinstance(crop, crop_kind):
        raise TypeError(
            f"{model.name} needs a {crop_kind.__name__}, got a {type(crop).__name__}: choose a crop made for it"
        )
    if not soil_kind.quantities():
        if soil is not None:
            raise TypeError(f"{model.name} has no soil: leave `soil=` out, or choose a model with a water balance")
        soil = soil_kind()
    elif soil is None:
        missing = [s for s in seasons if s.soil is None]
        if missing:
            raise ValueError(f"{model.name} needs a soil, and {_label(missing[0])} has none: give `soil=`")
        soil = stack_records([s.soil for s in seasons if s.soil is not None])
    if not isinstance(soil, soil_kind):
        raise TypeError(
            f"{model.name} needs a {soil_kind.__name__}, got a {type(soil).__name__}: choose a soil made for it"
        )
    managements = []
    for season in seasons:
        first = date(season.start.year, 1, 1)

        def number(day: date | None, first: date = first) -> float | None:
            return None if day is None else float((day - first).days + 1)

        values: dict[str, Any] = dict(
            model.management(number(season.emergence), number(season.sowing), float(season.start.timetuple().tm_yday))
        )
        for name, value in season.management.items():
            if not any(name.lower() in q.spellings() for q in management_kind.quantities().values()):
                known = [s for q in management_kind.quantities().values() for s in q.spellings()]
                raise KeyError(
                    f"{_label(season)}: {model.name} has no management {name!r}{nearest(name, known)}; "
                    f"it knows {', '.join(management_kind.quantities())}: leave it out, or choose a model that has it"
                )
            unheard = next((n for n, q in management_kind.quantities().items() if name.lower() in q.spellings()), "")
            applied = {*season.events, *season.by_stage}  # which are refused with the level that takes them
            if unheard in model.unused_management and unheard.removesuffix("_recovery") not in applied:
                raise ValueError(f"{_label(season)}: {unheard} is given, but {model!r} does not use it: leave it out")
            values[name] = value
        managements.append(_complete(management_kind, values))
    sites = []
    for season in seasons:
        base: dict[str, Any] = {"latitude": season.station.latitude, "elevation": season.station.elevation}
        sites.append(_complete(Site, base | dict(season.site)))
    place = stack_records(_deduplicated(sites))
    changes = dict(site or {})
    if "co2" in scenario:
        changes["co2"] = scenario["co2"]
    if changes:
        place = place.with_values(**changes)
    bundle = {"crop": crop, "soil": soil, "site": place, "management": stack_records(_deduplicated(managements))}
    return model.Parameters(**bundle)


def _complete(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """Build a record from values by any spelling, and defaults."""
    tensors: dict[str, Any] = {}
    for name, q in kind.quantities().items():
        given = next((v for k, v in values.items() if k.lower() in q.spellings()), None)
        if given is None and not q.required:
            given = q.default
        if isinstance(given, Table):
            tensors[name] = given
        elif given is not None and q.kind == "table":
            tensors[name] = Table.from_pairs(given, name=name)
        elif given is not None:
            tensors[name] = torch.as_tensor(given, dtype=torch.float64)
            if tensors[name].dim() > 0:
                raise ValueError(
                    f"{kind.__name__}: {name} has shape {list(tensors[name].shape)}; a season has one number: give one "
                    "season for every simulation"
                )
        else:
            raise ValueError(f"{kind.__name__} needs {name} ({q.symbol}) [{q.unit}]: {q.doc}")
    return kind(**tensors)


def _deduplicated(records: Sequence[Record]) -> list[Record]:
    """Let equal records be one object, so that a batch of them stays shared."""
    seen: dict[tuple[Any, ...], Record] = {}

    def numbers(value: Any) -> Any:
        if isinstance(value, Table):
            return tuple(value.pairs())
        # A value with a derivative, or one that a transform traces, is like no other.
        return id(value) if is_wrapped(value) or value.requires_grad else value.item()

    return [seen.setdefault(tuple(numbers(v) for _, v in r.items()), r) for r in records]


def _label(season: Season) -> str:
    named = ", ".join(f"{k} {v}" for k, v in season.labels.items())
    return f"the season at {season.station.name} from {season.start}" + (f" ({named})" if named else "")


# --- time and weather -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calendar:
    """When each simulation runs.

    Attributes
    ----------
    starts : list of datetime.date
        First day of each, B entries.
    lengths : list of int
        Number of rows of each.
    """

    starts: list[date]
    lengths: list[int]

    @property
    def days(self) -> int:
        """Rows of the longest."""
        return max(self.lengths)

    @classmethod
    def of(cls, seasons: Sequence[Season]) -> Calendar:
        """Check the dates of seasons against their weather and take them over."""
        for season in seasons:
            station = season.station
            last = station.first + timedelta(days=station.days - 1)
            if season.end < season.start:
                raise ValueError(f"{_label(season)} ends on {season.end}, before it starts")
            if season.start < station.first or season.end > last:
                raise ValueError(
                    f"{_label(season)} runs to {season.end}, but the weather of {station.name} covers "
                    f"{station.first} to {last}"
                )
        return cls([s.start for s in seasons], [(s.end - s.start).days + 1 for s in seasons])


class Forcing:
    """Drivers and events of all simulations, served day by day."""

    def __init__(
        self,
        model: Model,
        seasons: Sequence[Season],
        calendar: Calendar,
        params: Any,
        scenario: Mapping[str, Tensor],
        events: Mapping[str, Tensor | Table],
        switches: Switches,
        size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.model, self.switches, self.size = model, switches, size
        self.dtype, self.device = dtype, device
        self.days = calendar.days
        self.modifiers = {name: value for name, value in scenario.items() if name != "co2"}
        self._stations(seasons, calendar)
        self.params = params
        self.modular = any(
            isinstance(value, torch.nn.Module) for _, record in params.items() for _, value in record.items()
        )
        self._events(model, seasons, calendar, events)

    # Stations are laid end to end; `base` is the place of each simulation's first day.
    def _stations(self, seasons: Sequence[Season], calendar: Calendar) -> None:
        stations: list[Station] = []
        places: dict[int, int] = {}
        place = 0
        for season in seasons:
            if id(season.station) not in places:
                places[id(season.station)] = place
                place += season.station.days
                stations.append(season.station)
        self.names = list(Weather.quantities())
        rows = [np.concatenate([np.asarray(s.values[n], dtype=np.float64) for s in stations]) for n in self.names]
        rows.append(np.concatenate([_days_of_year(s) for s in stations]))
        self.table = torch.tensor(np.stack(rows), dtype=self.dtype, device=self.device)
        base = [places[id(s.station)] + (s.start - s.station.first).days for s in seasons]
        time = [float(s.start.timetuple().tm_yday) for s in seasons]
        sown = [float(((s.sowing or s.emergence or s.start) - s.start).days) for s in seasons]
        # One calendar for all: the day is a view, not a gather.
        self.shared = len(set(base)) == 1
        self.base_number = base[0]
        self.base = torch.tensor(base, device=self.device)
        self.last = self.base + torch.tensor(calendar.lengths, device=self.device) - 1
        self.time = torch.tensor(_one_if_equal(time), dtype=self.dtype, device=self.device)
        self.sown = torch.tensor(_one_if_equal(sown), dtype=self.dtype, device=self.device)
        self.all_sown = all(s <= 0 for s in sown)

    def _events(
        self, model: Model, seasons: Sequence[Season], calendar: Calendar, given: Mapping[str, Tensor | Table]
    ) -> None:
        self.events: dict[str, Tensor] = {}
        self.by_stage = self._staged(model, seasons)
        dense: dict[str, np.ndarray] = {}
        for b, season in enumerate(seasons):
            for kind, applications in season.events.items():
                self._listened(model, kind, f"{_label(season)}: ")
                for day, amount in applications:
                    t = (day - season.start).days
                    if not 0 <= t < calendar.lengths[b]:
                        raise ValueError(
                            f"{_label(season)}: {kind} on {day} lies outside the run, {season.start} to {season.end}"
                        )
                    if t == calendar.lengths[b] - 1:
                        raise ValueError(
                            f"{_label(season)}: {kind} on {day}, the last day of the run, would not be given: the run "
                            "ends with the states of that day's start. Leave it out, or end the run later"
                        )
                    array = dense.setdefault(kind, np.zeros((calendar.days, len(seasons))))
                    array[t, b] += amount
        for kind, array in dense.items():
            same = (array == array[:, :1]).all()
            self.events[kind] = torch.tensor(array[:, 0] if same else array, dtype=self.dtype, device=self.device)
        for kind, amounts in given.items():
            self._listened(model, kind, "events: ")
            _check_amounts(kind, amounts.y if isinstance(amounts, Table) else amounts)
            if isinstance(amounts, Table):
                self._listened(model, kind, "events: ", by_stage=True)
                if not is_wrapped(amounts.x) and float(amounts.x.detach().min()) <= 0:
                    raise ValueError(
                        f"events: {kind} at stage {float(amounts.x.detach().min()):g}; a stage must be above 0, and an "
                        "application at the start is one by date"
                    )
                if kind in self.by_stage:
                    raise ValueError(f"events: {kind} by stage is given here and in the season; give it once")
                self.by_stage[kind] = amounts
                continue
            value = amounts[None] if amounts.dim() == 1 else amounts
            if value.dim() != 2 or value.shape[0] not in (1, self.size) or value.shape[1] != calendar.days:
                raise ValueError(
                    f"events: {kind} has shape {tuple(value.shape)}; expected [B, T] = [{self.size}, {calendar.days}]"
                )
            old = self.events.get(kind)
            new = value.T
            if old is not None:
                new = new + (old[:, None] if old.dim() == 1 else old)
            self.events[kind] = new

    def _staged(self, model: Model, seasons: Sequence[Season]) -> dict[str, Table]:
        """Applications by stage of all seasons, by kind; empty for most runs."""
        kinds = dict.fromkeys(kind for season in seasons for kind in season.by_stage)
        tables: dict[str, Table] = {}
        for kind in kinds:
            column = []
            for season in seasons:
                if kind in season.by_stage:
                    self._listened(model, kind, f"{_label(season)}: ", by_stage=True)
                points = sorted(season.by_stage.get(kind, ()))
                beyond = max([stage for stage, _ in points], default=0.0) + _NEVER_REACHED
                column.append(Table.from_pairs([*points, (beyond, 0.0), (beyond + 1.0, 0.0)], name=kind))
            stacked = _stack_tables(kind, column)
            tables[kind] = Table(stacked.x.to(self.device, self.dtype), stacked.y.to(self.device, self.dtype))
        return tables

    @staticmethod
    def _listened(model: Model, kind: str, where: str, by_stage: bool = False) -> None:
        if by_stage and kind in model.listens and kind not in model.listens_by_stage:
            known = ", ".join(sorted(model.listens_by_stage)) or "nothing"
            raise ValueError(
                f"{where}{model!r} does not act on {kind!r} by stage; it acts by stage on {known}: give dates instead"
            )
        if kind in model.listens:
            return
        known = ", ".join(sorted(model.listens)) or "no events"
        others = " or ".join(model.listeners(kind))
        remedy = f"use {others}, or leave {kind} out" if others else f"leave {kind} out, or choose a model that does"
        raise ValueError(
            f"{where}{model!r} does not act on {kind!r}{nearest(kind, model.listens)}; it acts on {known}: {remedy}"
        )

    def block(self, start: int, days: int) -> list[Day]:
        """Rows `start` to `start + days`: what follows from weather and parameters alone, computed for all at once.

        Tensors are ``[1]`` where all simulations share them, else ``[B]``. With parameters that are modules the
        drivers are left to `driven`.
        """
        rows = torch.arange(start, start + days, device=self.device)
        if self.shared:
            first = self.base_number + start
            values = self.table[:, first : first + days, None]
        else:
            values = self.table[:, torch.minimum(self.base + rows[:, None], self.last)]
        *raw, doy = values.unbind(0)
        weather = Weather(**dict(zip(self.names, raw, strict=True)))
        if self.modifiers:
            weather = modified(weather, self.modifiers)
        time = self.time + rows[:, None].to(self.dtype)
        drivers: list[Any] = [None] * days
        if not self.modular:
            derived = self.model.drivers(weather, doy, time, self.params, self.switches)
            drivers = [type(derived)._rebuild(values, None) for values in _by_day(derived, days)]
        sown = (self.sown <= rows[:, None]).to(self.dtype)
        zero = self.table.new_zeros(days, 1)
        events = {}
        for kind in EVENT_KINDS:
            amounts = self.events[kind][start : start + days] if kind in self.events else zero
            events[kind] = amounts[:, None] if amounts.dim() == 1 else amounts
        return [
            Day(
                weather=Weather._rebuild(today[0], None),
                drivers=today[1],
                doy=today[2],
                time=today[3],
                sown=today[4],
                by_stage=self.by_stage,
                **dict(zip(EVENT_KINDS, today[5:], strict=True)),
            )
            for today in zip(
                _by_day(weather, days),
                drivers,
                doy.unbind(0),
                time.unbind(0),
                sown.unbind(0),
                *(events[kind].unbind(0) for kind in EVENT_KINDS),
                strict=True,
            )
        ]

    def driven(self, day: Day, params: Any) -> Day:
        """The same day with drivers of other parameters (those of a module, which change by the day)."""
        return day.replace(drivers=self.model.drivers(day.weather, day.doy, day.time, params, self.switches))


def modified(weather: Weather, modifiers: Mapping[str, Tensor]) -> Weather:
    """Give the weather of a scenario; `modifiers` by the names in `SCENARIO`."""
    new: dict[str, Tensor] = {}
    shift = modifiers.get("temperature")
    if shift is not None:
        new["tmin"], new["tmax"] = weather.tmin + shift, weather.tmax + shift
    for name, target in (
        ("rain", "rain"),
        ("radiation", "srad"),
        ("wind", "wind"),
        ("vapour_pressure", "vap"),
    ):
        if name in modifiers:
            new[target] = getattr(weather, target) * modifiers[name]
    return weather.replace(**new)


def _by_day(record: Record, days: int) -> list[tuple[Tensor, ...]]:
    """Values of a record by day, in the order of its fields."""
    columns = [value.expand(days, *value.shape[1:]).unbind(0) for _, value in record.items()]
    return list(zip(*columns, strict=True)) if columns else [()] * days


def _days_of_year(station: Station) -> np.ndarray:
    days = np.datetime64(station.first) + np.arange(station.days)
    return (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.float64) + 1.0


def _one_if_equal(values: list[float]) -> Any:
    return values[0] if len(set(values)) == 1 else values
