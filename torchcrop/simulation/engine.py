"""The engine: days in order, all simulations at once.

All rates of a day come from the states at its start; then ``state = state + rate``. Row t of a run is the
state at the start of day t with the rates of day t. A simulation ends after the row that fulfils the model's
`finished`, or at the end of its season; its states then stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recomputed

from torchcrop.functions.switches import Switches
from torchcrop.models.model import Day, Model
from torchcrop.simulation.batch import Forcing

__all__ = ["Carry", "DayLoop", "Integration", "Recording", "integrate", "transforms"]

# Days of a block: drivers are computed for a block at once, and between blocks the loop looks at whether every
# simulation has ended (which costs a synchronisation on a GPU).
_LOOK_EVERY = 16

_REDUCTIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "max": lambda so_far, value, live: torch.where(live > 0, torch.maximum(so_far, value), so_far),
    "min": lambda so_far, value, live: torch.where(live > 0, torch.minimum(so_far, value), so_far),
    "sum": lambda so_far, value, live: so_far + live * value,
}
_START = {"max": -float("inf"), "min": float("inf"), "sum": 0.0}


@dataclass(frozen=True)
class Recording:
    """What a run keeps.

    Attributes
    ----------
    daily : tuple of str
        States and outputs kept for every day.
    reduced : tuple of (str, str)
        Pairs (``max``, ``min`` or ``sum``; name), accumulated without keeping days.
    """

    daily: tuple[str, ...]
    reduced: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Integration:
    """What the engine gives back.

    Attributes
    ----------
    daily : Tensor
        ``[T, n, B]``, in the order of `Recording.daily`; after the end of a simulation states, and outputs that follow
        from them, keep their last value; other outputs of the day are 0.
    reduced : list of Tensor
        ``[B]`` each.
    final : Record
        Last states, ``[B]`` each.
    shares : Tensor
        Share beyond each of the model's events on the last row, ``[n_events, B]``.
    rows : Tensor
        Number of rows that each simulation lived, ``[B]``.
    """

    daily: Tensor
    reduced: list[Tensor]
    final: Any
    shares: Tensor
    rows: Tensor


@dataclass
class Carry:
    """What a day hands to the next: states ``[n, B]``, 1 while alive ``[B]``, and what is accumulated."""

    states: Tensor
    live: Tensor
    shares: Tensor
    rows: Tensor
    reduced: tuple[Tensor, ...]


def integrate(
    model: Model,
    params: Any,
    forcing: Forcing,
    lengths: Sequence[int],
    switches: Switches,
    recording: Recording,
    modules: Mapping[tuple[str, ...], torch.nn.Module],
    initial: Mapping[str, Tensor],
    checkpoint: int | None = None,
) -> Integration:
    """Run a model over its season.

    Parameters
    ----------
    model : Model
    params : Record
        The model's parameters, scalars or ``[B]``, tables prepared.
    forcing : Forcing
        Drivers and events.
    lengths : sequence of int
        Rows of each simulation.
    switches : Switches
        Treatment of thresholds.
    recording : Recording
        What to keep.
    modules : mapping
        Parameters given as `nn.Module`, by path: evaluated every day as ``module(state, day)``.
    initial : mapping of str to Tensor
        Initial states in place of the model's own, scalars or ``[B]``.
    checkpoint : int, optional
        Recompute, in the backward pass, from states kept every so many days.
    """
    size, days = forcing.size, forcing.days
    first = model.initial(_with_modules(params, modules, None, None), switches)
    like = forcing.table
    first = first.replace(**{name: value.to(like) for name, value in initial.items()})
    same = len(set(lengths)) == 1
    length = torch.tensor(lengths[0] if same else list(lengths), device=like.device)
    loop = DayLoop(model, params, forcing, length, switches, recording, modules)
    start = loop.start(first, size, like)
    may_stop = not (torch.compiler.is_compiling() or transforms())
    if checkpoint and "Grad" in transforms():
        raise ValueError(
            "checkpoint does not work under torch.func.grad, vjp, jacrev and hessian, which torch gives no hooks for "
            "saved tensors: leave it out, or use torch.autograd"
        )
    kept: list[Tensor] = []
    carry, t = start, 0
    block = checkpoint or _LOOK_EVERY
    while t < days:
        n = min(block, days - t)
        if checkpoint and torch.is_grad_enabled():
            flat = recomputed(loop.flat_block, t, n, *_flat(carry), use_reentrant=False, preserve_rng_state=False)
            carry, daily = _unflat(flat[:-1]), flat[-1]
        else:
            carry, daily = loop.block(carry, t, n)
        kept.append(daily)
        t += n
        if may_stop and t < days and not bool(carry.live.any()):
            kept.append(loop.after_end(daily[-1], days - t))
            break
    return Integration(
        daily=torch.cat(kept),
        reduced=list(carry.reduced),
        final=model.State._rebuild(carry.states.unbind(0), None),
        shares=carry.shares,
        rows=carry.rows,
    )


class DayLoop:
    """The days of one run; `forcing` may be None where days are given one by one."""

    def __init__(
        self,
        model: Model,
        params: Any,
        forcing: Forcing | None,
        length: Tensor,
        switches: Switches,
        recording: Recording,
        modules: Mapping[tuple[str, ...], torch.nn.Module],
    ) -> None:
        self.model, self.params, self.forcing = model, params, forcing
        self.length, self.switches, self.recording, self.modules = length, switches, recording, modules
        self.state_names = set(model.State.quantities())
        self.held = self.state_names | {n for n, q in model.Outputs.quantities().items() if q.held}

    def start(self, states: Any, size: int, like: Tensor) -> Carry:
        """What is carried at the start of the first day, given the states; `like`: a tensor of the run's kind."""
        return Carry(
            states=torch.stack([_full(value, size, like) for _, value in states.items()]),
            live=like.new_ones(size),
            shares=like.new_zeros(len(self.model.events), size),
            rows=like.new_zeros(size),
            reduced=tuple(like.new_full((size,), _START[how]) for how, _ in self.recording.reduced),
        )

    def block(self, carry: Carry, start: int, days: int) -> tuple[Carry, Tensor]:
        """Advance `days` days from row `start`; also give the rows to keep, ``[days, n, B]``."""
        assert self.forcing is not None
        kept = []
        for t, day in enumerate(self.forcing.block(start, days), start):
            carry, row = self.day(carry, t, day)
            kept.append(row)
        return carry, torch.stack(kept)

    def flat_block(self, start: int, days: int, *flat: Tensor) -> tuple[Tensor, ...]:
        """`block` for tensors alone, as checkpointing needs it."""
        carry, daily = self.block(_unflat(flat), start, days)
        return (*_flat(carry), daily)

    def day(self, carry: Carry, t: int | Tensor, day: Day) -> tuple[Carry, Tensor]:
        """Evaluate one day and advance."""
        model, switches = self.model, self.switches
        state = model.State._rebuild(carry.states.unbind(0), None)
        params = self.params
        if self.modules:
            assert self.forcing is not None
            params = _with_modules(params, self.modules, state, day)
            day = self.forcing.driven(day, params)
        rates, outputs = model.rates(state, day, params, switches)
        live = carry.live
        row = self._row(state, outputs, live)
        reduced = tuple(
            _REDUCTIONS[how](so_far, self._value(name, state, outputs), live)
            for so_far, (how, name) in zip(carry.reduced, self.recording.reduced, strict=True)
        )
        shares = _rows([getattr(outputs, e.share) for e in model.events.values()], live)
        ended = model.finished(state, params, switches)
        going = live * (1 - ended) * (t + 1 < self.length).to(live.dtype)
        change = torch.stack([_full(value, live.shape[0], live) for _, value in rates.items()])
        return (
            Carry(
                states=torch.addcmul(carry.states, going, change),
                live=going,
                shares=carry.shares + live * (shares - carry.shares),
                rows=carry.rows + live,
                reduced=reduced,
            ),
            row,
        )

    def _value(self, name: str, state: Any, outputs: Any) -> Tensor:
        return getattr(state if name in self.state_names else outputs, name)

    def _row(self, state: Any, outputs: Any, live: Tensor) -> Tensor:
        values = []
        for name in self.recording.daily:
            value = self._value(name, state, outputs)
            values.append(value if name in self.held else value * live)
        return _rows(values, live)

    def after_end(self, last: Tensor, days: int) -> Tensor:
        """Rows after the end of every simulation, given the last one, ``[n, B]``."""
        held = torch.tensor([name in self.held for name in self.recording.daily], dtype=last.dtype, device=last.device)
        return (last * held[:, None]).expand(days, -1, -1)


def _rows(values: Sequence[Tensor], like: Tensor) -> Tensor:
    """Stack values, one row each, ``[n, B]``; n may be 0."""
    size = like.shape[0]
    return torch.stack([_full(value, size, like) for value in values]) if values else like.new_zeros(0, size)


def _full(value: Tensor, size: int, like: Tensor) -> Tensor:
    """Give one number per simulation."""
    return value if value.shape == (size,) else value.to(like.dtype).expand(size)


def _flat(carry: Carry) -> tuple[Tensor, ...]:
    return (carry.states, carry.live, carry.shares, carry.rows, *carry.reduced)


def _unflat(flat: Sequence[Tensor]) -> Carry:
    return Carry(flat[0], flat[1], flat[2], flat[3], tuple(flat[4:]))


def _with_modules(params: Any, modules: Mapping[tuple[str, ...], torch.nn.Module], state: Any, day: Day | None) -> Any:
    """Put the day's values of parameters that are modules in their place."""
    for (record, name), module in modules.items():
        inner = getattr(params, record)
        params = params.replace(**{record: inner.replace(**{name: module(state, day)})})
    return params


def transforms() -> set[str]:
    """Name the transforms of `torch.func` at work (Vmap, Jvp, Grad); under Vmap a tensor has no truth value."""
    return {level.key().name for level in torch._C._functorch.get_interpreter_stack() or []}
