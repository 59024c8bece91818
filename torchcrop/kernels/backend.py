"""The season kernel as a back end of `simulate`: from a run's parameters and forcing to arrays, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table
from torchcrop.kernels.cuda import GpuKernel
from torchcrop.kernels.kernel import Inputs, SeasonKernel, apart
from torchcrop.kernels.operators import run
from torchcrop.kernels.plans import Binding
from torchcrop.kernels.season import Layout, SeasonProgram, trace_season
from torchcrop.models.model import Model
from torchcrop.quantities import Record, is_wrapped
from torchcrop.simulation.batch import Forcing, check_finite
from torchcrop.simulation.engine import Integration, Recording

__all__ = ["integrate_by_kernel", "kernel_of"]

Name = tuple[Any, ...]

# Bytes of the drivers of all calendars above which they are computed every day instead.
_LARGEST_TABLE = 2**28
_COLUMNS = 32  # of a table of drivers, for that estimate


def integrate_by_kernel(
    model: Model,
    params: Any,
    forcing: Forcing,
    lengths: Sequence[int],
    switches: Switches,
    recording: Recording,
    initial: Mapping[str, Tensor],
) -> tuple[Integration, SeasonKernel]:
    """Run a model over its season by a season kernel; as `torchcrop.simulation.engine.integrate`.

    Raises
    ------
    Untraceable
        If the model's day cannot become a list of operations; the text names the operation and the line.
    """
    calendars = _calendars(forcing)
    leaves = [
        *_parameters(params, ("params",)),
        *_others(model, forcing, initial),
        *_lanes(forcing, lengths, calendars),
    ]
    shared = [leaf for leaf in leaves if not leaf.own]
    own = [leaf for leaf in leaves if leaf.own]
    events = {("event", kind): v for kind, v in forcing.events.items() if _own_event(v, calendars)}
    binding = Binding(
        shared=_names(shared),
        raw=calendars.names,
        own=_names(own),
        active=_names([leaf for leaf in own if leaf.active]),
        events=tuple(events),
        active_events=tuple(name for name, v in events.items() if _is_active(v)),
        by_row=calendars.by_row,
        one_calendar=calendars.one,
    )
    layout = Layout(
        model=model,
        switches=switches,
        recording=recording,
        points=_points(params, ("params",)),
        events=tuple(forcing.events),
        stages=tuple((kind, t.x.shape[-1]) for kind, t in forcing.by_stage.items()),
        modifiers=tuple(forcing.modifiers),
        overrides=tuple(initial),
        same=_same(shared),
    )
    kernel = kernel_of(layout, binding, forcing.dtype, forcing.table.device)
    like, size = forcing.table, forcing.size
    inputs = Inputs(
        days=forcing.days,
        size=size,
        shared=torch.cat([leaf.value.reshape(-1) for leaf in shared]) if shared else like.new_zeros(0),
        own=torch.cat([leaf.rows(size) for leaf in own]) if own else like.new_zeros(0, size),
        events=_event_rows(list(events.values()), size, forcing),
        raw=calendars.raw,
        base=calendars.base,
        last=calendars.last,
    )
    for packed in (inputs.shared, inputs.own):
        if not is_wrapped(packed) and not bool(torch.isfinite(packed.detach()).all()):
            check_finite(params, model.name)  # finds which, and says so
    daily, carried = run(kernel, inputs)
    return _integration(model, recording, daily, carried), kernel


# --- values -------------------------------------------------------------------------------------------------


class _Leaf:
    """A value of a run and the names of its numbers: ``[]`` or ``[B]``, of a table's axis ``[n]`` or ``[B, n]``."""

    __slots__ = ("active", "names", "own", "points", "value")

    def __init__(self, names: tuple[Name, ...], value: Tensor, *, points: bool = False) -> None:
        self.names, self.value, self.points = names, value, points
        self.active = _is_active(value)
        self.own = self.active or (value.dim() > points and value.shape[0] != 1)

    def rows(self, size: int) -> Tensor:
        """One row of numbers for each name, ``[n, size]``."""
        value = self.value if self.points else self.value[..., None]
        value = value if value.dim() == 2 else value[None]
        return value.T.expand(len(self.names), size)


def _is_active(value: Tensor) -> bool:
    if value.requires_grad or is_wrapped(value):
        return True
    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(value).tangent is not None


def _names(leaves: Sequence[_Leaf]) -> tuple[Name, ...]:
    return tuple(name for leaf in leaves for name in leaf.names)


def _axes(path: Name, table: Table) -> Iterator[_Leaf]:
    for axis, values in (("x", table.x), ("y", table.y)):
        yield _Leaf(_of_points(path, axis, values.shape[-1]), values, points=True)


@cache
def _of_points(path: Name, axis: str, number: int) -> tuple[Name, ...]:
    return tuple((*path, axis, i) for i in range(number))


def _parameters(record: Any, path: Name) -> Iterator[_Leaf]:
    for name, value in record.items():
        here = (*path, name)
        if isinstance(value, Record):
            yield from _parameters(value, here)
        elif isinstance(value, Table):
            yield from _axes(here, value)
        else:
            yield _Leaf((here,), value)


def _points(record: Any, path: Name) -> tuple[tuple[Name, int, str], ...]:
    found: list[tuple[Name, int, str]] = []
    for name, value in record.items():
        if isinstance(value, Record):
            found.extend(_points(value, (*path, name)))
        elif isinstance(value, Table):
            found.append(((*path, name), value.x.shape[-1], value.ends))
    return tuple(found)


def _same(shared: Sequence[_Leaf]) -> tuple[tuple[Name, Name], ...]:
    """Breakpoints that are the same number as an earlier one."""
    axes = [leaf for leaf in shared if leaf.points and leaf.names[0][0] == "params" and leaf.names[0][-2] == "x"]
    if not axes:
        return ()
    numbers = torch.cat([leaf.value for leaf in axes]).tolist()
    first: dict[float, Name] = {}
    return tuple(
        (name, first[x]) for name, x in zip(_names(axes), numbers, strict=True) if first.setdefault(x, name) != name
    )


def _others(model: Model, forcing: Forcing, initial: Mapping[str, Tensor]) -> Iterator[_Leaf]:
    like = forcing.table
    for stress, share in model.relief.items():
        if isinstance(share, Tensor):
            yield _Leaf((("relief", stress),), share.to(like))
    for name, value in forcing.modifiers.items():
        yield _Leaf((("modifier", name),), value)
    for name, value in initial.items():
        yield _Leaf((("initial", name),), value)
    for kind, table in forcing.by_stage.items():
        yield from _axes(("stage", kind), table)


# --- calendars ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Calendars:
    """Rows of weather and time, and where each simulation begins in them."""

    names: tuple[Name, ...]
    raw: Tensor
    base: Tensor
    last: Tensor
    by_row: bool
    one: bool


def _calendars(forcing: Forcing) -> _Calendars:
    days, like, seasons = forcing.days, forcing.table, len(forcing.base)
    weather = tuple(("weather", name) for name in (*forcing.names, "doy"))
    time, sown = (v.expand(seasons) for v in (forcing.time, forcing.sown))
    starts = torch.stack([v.to(torch.float64) for v in (forcing.base, time, sown)], -1)
    begins, number = starts, torch.zeros_like(forcing.base)
    if seasons > 1:
        begins, number = torch.unique(starts, dim=0, return_inverse=True)
    calendars = len(begins)
    if calendars * days * _COLUMNS * like.element_size() > _LARGEST_TABLE:
        return _Calendars(weather, like, forcing.base, forcing.last, by_row=False, one=False)
    last = torch.zeros(calendars, dtype=torch.int64, device=like.device).scatter_reduce(0, number, forcing.last, "amax")
    t = torch.arange(days, device=like.device)
    rows = torch.minimum(begins[:, :1].long() + t, last[:, None]).reshape(-1)
    of_calendar = [
        begins[:, 1:2].to(like).expand(-1, days),
        begins[:, 2:3].to(like).expand(-1, days),
        t.to(like).expand(calendars, -1),
    ]
    names = [*weather, ("lane", "time"), ("lane", "sown"), ("t",)]
    for kind, amounts in forcing.events.items():
        if not _own_event(amounts):
            names.append(("event", kind))
            of_calendar.append(amounts.reshape(days).expand(calendars, -1))
    raw = torch.cat([like[:, rows], torch.stack(of_calendar).reshape(len(of_calendar), -1)])
    base = number * days
    return _Calendars(tuple(names), raw, base, base + days - 1, by_row=True, one=calendars == 1)


def _own_event(amounts: Tensor, calendars: _Calendars | None = None) -> bool:
    """Whether amounts are of single simulations, or have a derivative; with drivers by day all are taken for such."""
    several = amounts.dim() == 2 and amounts.shape[1] != 1
    return several or _is_active(amounts) or (calendars is not None and not calendars.by_row)


def _event_rows(events: Sequence[Tensor], size: int, forcing: Forcing) -> Tensor:
    if not events:
        return forcing.table.new_zeros(0, forcing.days, size)
    columns = [v[:, None] if v.dim() == 1 else v for v in events]
    return torch.stack([v.expand(forcing.days, size) for v in columns])


def _lanes(forcing: Forcing, lengths: Sequence[int], calendars: _Calendars) -> Iterator[_Leaf]:
    like = forcing.table
    values = {"length": torch.tensor(lengths).to(like)}
    if not calendars.by_row:
        values |= {"time": forcing.time, "sown": forcing.sown}
    for name, value in values.items():
        one = value.dim() == 0 or bool((value == value[0]).all())
        yield _Leaf((("lane", name),), value.reshape(-1)[0] if one else value)


# --- kernels ------------------------------------------------------------------------------------------------

_SEASONS: OrderedDict[Any, SeasonProgram] = OrderedDict()
_KERNELS: OrderedDict[Any, SeasonKernel] = OrderedDict()
_KEPT = 64
_CPU = torch.device("cpu")


def kernel_of(layout: Layout, binding: Binding, dtype: torch.dtype, device: torch.device = _CPU) -> SeasonKernel:
    """Give the kernel of a layout and binding, from memory if it is known.

    A day that is not the package's own is traced every time: what it reads beside its fields might have changed.
    """
    key = _key(layout)
    if key is None:
        season = apart(trace_season, layout)
        key = season.content()
        if key not in _SEASONS:
            _kept(_SEASONS, key, season)
    elif key not in _SEASONS:
        _kept(_SEASONS, key, apart(trace_season, layout))
    if (key, binding, dtype, device) not in _KERNELS:
        _kept(_KERNELS, (key, binding, dtype, device), _kernel(_SEASONS[key], binding, dtype, device))
    return _KERNELS[key, binding, dtype, device]


def _kernel(season: SeasonProgram, binding: Binding, dtype: torch.dtype, device: torch.device) -> SeasonKernel:
    if device.type == "cuda":
        return GpuKernel(season, binding, dtype, device)
    return SeasonKernel(season, binding, dtype)


def _kept(store: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    store[key] = value
    while len(store) > _KEPT:
        store.popitem(last=False)


def _key(layout: Layout) -> Any:
    """What identifies a layout; None where code that is not the package's own might change from call to call."""
    model = layout.model
    if model.processes or not type(model).__module__.startswith("torchcrop."):
        return None
    choices = tuple((f.name, getattr(model, f.name)) for f in fields(model) if f.name not in ("processes", "relief"))
    relief = tuple((k, "tensor" if isinstance(v, Tensor) else v) for k, v in model.relief.items())
    rest = tuple(getattr(layout, f.name) for f in fields(layout) if f.name != "model")
    return (type(model), choices, relief, rest)


def _is_lasting(value: Any) -> bool:
    """Whether a value is a number, a text or the like, which cannot change behind a key."""
    if isinstance(value, tuple | frozenset):
        return all(_is_lasting(part) for part in value)
    return value is None or isinstance(value, str | bytes | int | float | Enum)


def _integration(model: Model, recording: Recording, daily: Tensor, carried: Tensor) -> Integration:
    states, events = len(model.State.quantities()), len(model.events)
    reduced = carried[states + 1 + events + 1 :]
    return Integration(
        daily=daily,
        reduced=list(reduced.unbind(0)) if recording.reduced else [],
        final=model.State._rebuild(carried[:states].unbind(0), None),
        shares=carried[states + 1 : states + 1 + events],
        rows=carried[states + 1 + events],
    )
