"""The season kernel as operators of torch.

`season` runs a season, `season_reverse` takes cotangents back through it and `season_tangents` carries tangents along;
they are registered under ``torch.ops.torchcrop`` for autograd in both modes, `torch.func`, `torch.compile` and
`torch.export`. A kernel is passed by its handle. A dimension of `vmap` becomes further simulations, or, where tangents
alone have it, further tangents. Derivatives are the kernel's own, once: a second one is refused, not left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.autograd.forward_ad as fwAD
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd.function import _SingleLevelFunction

from torchcrop.kernels.kernel import Inputs, SeasonKernel, kernel_named
from torchcrop.quantities import is_wrapped

__all__ = ["run"]

_OPS = torch.ops.torchcrop
_INPUTS = ("shared", "own", "events", "raw", "base", "last")
_GIVEN = f"str kernel, {', '.join(f'Tensor {name}' for name in _INPUTS)}"
_SCHEMAS = {
    "season": f"({_GIVEN}) -> (Tensor daily, Tensor carried)",
    "season_reverse": f"({_GIVEN}, Tensor by_daily, Tensor by_carried) -> (Tensor by_own, Tensor by_events)",
    "season_tangents": (
        f"({_GIVEN}, Tensor own_tangents, Tensor event_tangents) "
        "-> (Tensor daily, Tensor carried, Tensor daily_tangents, Tensor carried_tangents)"
    ),
}


def run(kernel: SeasonKernel, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Daily rows ``[days, n, size]`` and what is carried at the end ``[n, size]``, differentiable once.

    Derivatives are by the own inputs and events that the kernel's binding calls active.

    Raises
    ------
    RuntimeError
        If a derivative by another input is asked for, or a second derivative.
    ValueError
        If an array is not as the binding says.
    """
    daily, carried = _OPS.season(kernel.handle, *(getattr(inputs, name) for name in _INPUTS))
    return daily, carried


# --- jobs ---------------------------------------------------------------------------------------------------


def _inputs(kernel: SeasonKernel, tensors: Sequence[Tensor]) -> Inputs:
    """Check arrays against a binding; a kernel reads memory by these numbers."""
    shared, own, events, raw, base, last = tensors
    binding, rows = kernel.binding, raw.shape[-1]
    days, size = events.shape[-2:]
    expected = {
        "shared": (shared, (len(binding.shared),)),
        "own": (own, (len(binding.own), size)),
        "events": (events, (len(binding.events), days, size)),
        "raw": (raw, (len(binding.raw), rows)),
    }
    for name, (value, shape) in expected.items():
        if value.shape != shape:
            raise ValueError(f"{name} has shape {list(value.shape)}; the kernel's binding expects {list(shape)}")
    for name, value in (("base", base), ("last", last)):
        if value.shape not in ((1,), (size,)) or value.dtype != torch.int64:
            raise ValueError(f"{name} is {value.dtype} {list(value.shape)}; expected int64 of [1] or [{size}]")
        if size and not 0 <= int(value.min()) <= int(value.max()) < rows:
            raise ValueError(f"{name} has rows {int(value.min())} to {int(value.max())}; raw has rows 0 to {rows - 1}")
    return Inputs(days, size, shared, own, events, raw, base, last)


def _rows(given: Sequence[Any], chosen: Sequence[Any]) -> list[int]:
    """Where the active ones stand among those given."""
    return [given.index(name) for name in chosen]


def _season(handle: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
    kernel = kernel_named(handle)
    return kernel.forward(_inputs(kernel, tensors))


def _season_reverse(handle: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
    kernel, binding = kernel_named(handle), kernel_named(handle).binding
    *given, by_daily, by_carried = tensors
    inputs = _inputs(kernel, given)
    by_own, by_events = (x.new_zeros(x.shape, dtype=kernel.dtype) for x in (inputs.own, inputs.events))
    own, events = kernel.reverse(inputs, by_daily, by_carried)
    by_own[_rows(binding.own, binding.active)] = own
    by_events[_rows(binding.events, binding.active_events)] = events
    return by_own, by_events


def _season_tangents(handle: str, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    kernel, binding = kernel_named(handle), kernel_named(handle).binding
    *given, own, events = tensors
    active, active_events = _rows(binding.own, binding.active), _rows(binding.events, binding.active_events)
    return kernel.tangents(_inputs(kernel, given), own[:, active], events[:, active_events])


# --- shapes, without numbers --------------------------------------------------------------------------------


def _fake_season(handle: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
    kernel, events = kernel_named(handle), tensors[_INPUTS.index("events")]
    _, days, size = events.shape
    daily = events.new_empty(days, len(kernel.season.kept), size, dtype=kernel.dtype)
    return daily, events.new_empty(len(kernel.season.after), size, dtype=kernel.dtype)


def _fake_season_reverse(handle: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
    kernel, own, events = kernel_named(handle), tensors[1], tensors[2]
    return own.new_empty(own.shape, dtype=kernel.dtype), events.new_empty(events.shape, dtype=kernel.dtype)


def _fake_season_tangents(handle: str, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    several = tensors[-1].shape[0]
    daily, carried = _fake_season(handle, *tensors[: len(_INPUTS)])
    return daily, carried, daily.new_empty(several, *daily.shape), carried.new_empty(several, *carried.shape)


# --- derivatives --------------------------------------------------------------------------------------------


def _below(name: str, keys: Any, arguments: Sequence[Any]) -> Any:
    """Call an operator below this level of autograd; levels further out keep theirs."""
    with torch.enable_grad(), fwAD._set_fwd_grad_enabled(mode=True), torch._C._AutoDispatchBelowAutograd():
        return getattr(_OPS, name).default.redispatch(keys & torch._C._after_autograd_keyset, *arguments)


def _refuse_others(by: Sequence[Any]) -> None:
    """Refuse derivatives by inputs that are neither own nor events."""
    for name, wanted in zip(_INPUTS, by, strict=True):
        if wanted and name not in ("own", "events"):
            raise RuntimeError(
                f"the season kernel has no derivative by {name!r}: bind what has one as own and active (Binding.own, "
                'Binding.active), or use backend="eager"'
            )


def _refuse_inactive(names: Sequence[Any], active: Sequence[Any], tangents: Tensor | None) -> None:
    """Refuse tangents, where they have numbers, of inputs that the kernel holds constant."""
    if tangents is None or is_wrapped(tangents):
        return
    for name, row in zip(names, tangents, strict=True):
        if name not in active and bool(row.any()):
            raise RuntimeError(
                f"{name} has a tangent, but is not active in the kernel's binding: name it in Binding.active, or let "
                'it require a gradient, or use backend="eager"'
            )


class _Season(_SingleLevelFunction):
    """Level of autograd of `season`."""

    @staticmethod
    def forward(ctx: Any, keys: Any, handle: str, *tensors: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        ctx.kernel = kernel_named(handle)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        return _below("season", keys, (handle, *tensors))

    @staticmethod
    def backward(ctx: Any, by_daily: Tensor | None, by_carried: Tensor | None) -> Any:
        _refuse_others(ctx.needs_input_grad[2:])
        kernel, tensors = ctx.kernel, ctx.saved_tensors
        _, _, events, *_ = tensors
        _, days, size = events.shape
        if by_daily is None:
            by_daily = events.new_zeros(days, len(kernel.season.kept), size)
        if by_carried is None:
            by_carried = events.new_zeros(len(kernel.season.after), size)
        by_own, by_events = _OPS.season_reverse(kernel.handle, *tensors, by_daily, by_carried)
        return None, None, None, by_own, by_events, None, None, None

    @staticmethod
    def jvp(ctx: Any, _keys: Any, _handle: Any, *tangents: Tensor | None) -> Any:
        _refuse_others([t is not None for t in tangents])
        kernel, binding, tensors = ctx.kernel, ctx.kernel.binding, ctx.saved_tensors
        _, own, events, *_ = tangents
        _refuse_inactive(binding.own, binding.active, own)
        _refuse_inactive(binding.events, binding.active_events, events)
        own, events = (
            torch.zeros_like(value) if tangent is None else tangent
            for value, tangent in zip(tensors[1:3], (own, events), strict=True)
        )
        results = _OPS.season_tangents(kernel.handle, *tensors, own[None], events[None])
        return results[2][0], results[3][0]


def _once(name: str) -> type[_SingleLevelFunction]:
    """Level of autograd of an operator that is a derivative itself."""

    def refuse(*_: Any) -> Any:
        raise RuntimeError(
            "the season kernel has first derivatives alone, and the derivative of a derivative is asked for: "
            'simulate(..., backend="eager") has it'
        )

    def forward(ctx: Any, keys: Any, *arguments: Any) -> Any:
        return _below(name, keys, arguments)

    functions = {"forward": staticmethod(forward), "backward": staticmethod(refuse), "jvp": staticmethod(refuse)}
    return type(f"_{name}", (_SingleLevelFunction,), functions)


# --- vmap ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Folded:
    """Inputs with a dimension of `vmap`, as those of a run with more simulations.

    Attributes
    ----------
    kernel : SeasonKernel
        Of the binding that they now need.
    inputs : tuple of Tensor
        In the order of `_INPUTS`.
    many : int
        Size of the dimension.
    """

    kernel: SeasonKernel
    inputs: tuple[Tensor, ...]
    many: int

    @classmethod
    def of(cls, handle: str, many: int, dims: Sequence[int | None], tensors: Sequence[Tensor]) -> _Folded:
        """Fold; `dims` says where each tensor has the dimension."""
        kernel = kernel_named(handle)
        by = dict(zip(_INPUTS, dims, strict=True))
        shared, own, events, raw, base, last = tensors
        size = events.movedim(by["events"], 0).shape[-1] if by["events"] is not None else events.shape[-1]
        own, events = (_as_lanes(x, by[name], many) for name, x in (("own", own), ("events", events)))
        if by["shared"] is not None:
            # As own inputs, since a simulation has now another value than the next.
            binding = kernel.binding
            columns = shared.movedim(by["shared"], -1)[..., None]
            own = torch.cat([own, columns.expand(*columns.shape[:-1], size).flatten(-2)])
            shared = own.new_zeros(0)
            kernel = kernel.rebound(shared=(), own=(*binding.own, *binding.shared))
        calendars = [by[name] for name in ("raw", "base", "last")]
        if any(dim is not None for dim in calendars):
            raw, base, last = _as_calendars((raw, base, last), calendars, many, size)
            kernel = kernel.rebound(one_calendar=False)
        elif not kernel.binding.one_calendar:
            base, last = (x.expand(size).repeat(many) for x in (base, last))
        return cls(kernel, (shared, own, events, raw, base, last), many)

    def lanes(self, x: Tensor, dim: int | None) -> Tensor:
        """Fold a tensor whose last dimension is that of simulations."""
        return _as_lanes(x, dim, self.many)

    def apart(self, *results: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Results with the dimension restored, and where it is."""
        new = tuple(x.unflatten(-1, (self.many, x.shape[-1] // self.many)) for x in results)
        return new, tuple(x.dim() - 2 for x in new)


def _as_lanes(x: Tensor, dim: int | None, many: int) -> Tensor:
    if dim is None:
        x = x[..., None, :].expand(*x.shape[:-1], many, x.shape[-1])
    else:
        x = x.movedim(dim, -2)
    return x.flatten(-2)


def _as_calendars(
    tensors: Sequence[Tensor], dims: Sequence[int | None], many: int, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Lay calendars end to end, and let each simulation begin in its own."""
    raw, *places = tensors
    rows = 0
    if dims[0] is not None:
        raw = raw.movedim(dims[0], 1)
        rows = raw.shape[-1]
        raw = raw.flatten(1)
    moved = torch.arange(many, device=raw.device)[:, None] * rows
    columns = (x if dim is None else x.movedim(dim, 0) for x, dim in zip(places, dims[1:], strict=True))
    base, last = ((x.expand(many, size) + moved).flatten() for x in columns)
    return raw, base, last


def _map_season(info: Any, dims: Sequence[Any], handle: str, *tensors: Tensor) -> Any:
    folded = _Folded.of(handle, info.batch_size, dims[1:], tensors)
    return folded.apart(*_OPS.season(folded.kernel.handle, *folded.inputs))


def _map_season_reverse(info: Any, dims: Sequence[Any], handle: str, *tensors: Tensor) -> Any:
    n = len(_INPUTS)
    _, *dims = dims
    folded = _Folded.of(handle, info.batch_size, dims[:n], tensors[:n])
    given = (folded.lanes(x, dim) for x, dim in zip(tensors[n:], dims[n:], strict=True))
    by_own, by_events = _OPS.season_reverse(folded.kernel.handle, *folded.inputs, *given)
    return folded.apart(by_own[: len(kernel_named(handle).binding.own)], by_events)


def _map_season_tangents(info: Any, dims: Sequence[Any], handle: str, *tensors: Tensor) -> Any:
    n, many = len(_INPUTS), info.batch_size
    _, *dims = dims
    if all(dim is None for dim in dims[:n]):
        return _more_tangents(many, dims[n:], handle, tensors[:n], tensors[n:])
    folded = _Folded.of(handle, many, dims[:n], tensors[:n])
    own, events = (folded.lanes(x, dim) for x, dim in zip(tensors[n:], dims[n:], strict=True))
    constant = len(folded.kernel.binding.own) - own.shape[1]
    own = torch.cat([own, own.new_zeros(own.shape[0], constant, own.shape[2])], 1)
    return folded.apart(*_OPS.season_tangents(folded.kernel.handle, *folded.inputs, own, events))


def _more_tangents(
    many: int, dims: Sequence[int | None], handle: str, inputs: Sequence[Tensor], tangents: Sequence[Tensor]
) -> Any:
    """Tangents alone are mapped over: the season is run once for all of them."""
    columns = (
        x.expand(many, *x.shape) if dim is None else x.movedim(dim, 0) for x, dim in zip(tangents, dims, strict=True)
    )
    results = _OPS.season_tangents(handle, *inputs, *(x.flatten(0, 1) for x in columns))
    daily, carried, *moved = results
    return (daily, carried, *(x.unflatten(0, (many, x.shape[0] // many)) for x in moved)), (None, None, 0, 0)


# --- registration -------------------------------------------------------------------------------------------

_LIBRARY = torch.library.Library("torchcrop", "FRAGMENT")


def _register(
    name: str,
    job: Callable[..., Any],
    fake: Callable[..., Any],
    autograd: Any,
    mapped: Callable[..., Any],
) -> None:
    def differentiable(keys: Any, *arguments: Any) -> Any:
        with enable_single_level_autograd_function():
            return autograd.apply(keys, *arguments)

    _LIBRARY.define(name + _SCHEMAS[name], tags=(torch.Tag.pt2_compliant_tag,))
    for device in ("CPU", "CUDA"):
        _LIBRARY.impl(name, job, device)
    # `torch.library.register_autograd` knows the reverse mode only, and would lose tangents without a word.
    _LIBRARY.impl(name, differentiable, "Autograd", with_keyset=True)
    torch.library.register_fake(f"torchcrop::{name}", fake, lib=_LIBRARY)
    torch.library.register_vmap(f"torchcrop::{name}", mapped, lib=_LIBRARY)


_register("season", _season, _fake_season, _Season, _map_season)
_register("season_reverse", _season_reverse, _fake_season_reverse, _once("season_reverse"), _map_season_reverse)
_register("season_tangents", _season_tangents, _fake_season_tangents, _once("season_tangents"), _map_season_tangents)
