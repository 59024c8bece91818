"""The season kernel: compiled jobs of one list of operations, run on arrays.

Jobs are compiled when they are first asked for. Blocks of simulations are spread over as many threads as torch is set
to use; a block's result does not depend on the others.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor

from torchcrop.kernels import jobs
from torchcrop.kernels.cache import loaded
from torchcrop.kernels.jobs import Job
from torchcrop.kernels.listing import listing
from torchcrop.kernels.llvm import ARGUMENTS, module
from torchcrop.kernels.native import Native, machine
from torchcrop.kernels.plans import Binding
from torchcrop.kernels.season import SeasonProgram

__all__ = ["Inputs", "SeasonKernel", "apart", "kernel_named"]

Result = TypeVar("Result")

_JOBS: dict[str, Callable[[SeasonProgram, Binding, int, int], Job]] = {
    "forward": jobs.forward,
    "reverse": jobs.reverse,
    "tangents": jobs.tangents,
}
# Blocks for each thread below which starting threads costs more than they save.
_BLOCKS_FOR_A_THREAD = 4


@dataclass(frozen=True)
class Inputs:
    """Values of a run.

    Attributes
    ----------
    days : int
    size : int
        Simulations.
    shared : Tensor
        ``[n]``; this and the following in the order of the binding.
    own : Tensor
        ``[n, size]``.
    events : Tensor
        ``[n, days, size]``.
    raw : Tensor
        Weather and time of all calendars' rows, ``[n, rows]``.
    base, last : Tensor
        First and last row of each simulation, ``[size]`` (or ``[1]``), int64.
    """

    days: int
    size: int
    shared: Tensor
    own: Tensor
    events: Tensor
    raw: Tensor
    base: Tensor
    last: Tensor


# Several kernels may have one content, and then one handle: any of them that is alive will do.
_KERNELS: dict[str, WeakSet[SeasonKernel]] = {}


def kernel_named(handle: str) -> SeasonKernel:
    """Give the kernel that has a handle.

    Raises
    ------
    RuntimeError
        If it is no longer in memory.
    """
    for kernel in _KERNELS.get(handle, ()):
        return kernel
    raise RuntimeError(
        f"the season kernel {handle} is no longer in memory: keep a reference to it (`run.kernel`) for as long as what "
        "was traced or compiled with it is used"
    )


@dataclass
class _Compiled:
    job: Job
    native: Native
    text: str


class SeasonKernel:
    """A season's list of operations, ready to be run.

    Parameters
    ----------
    season : SeasonProgram
    binding : Binding
    dtype : torch.dtype
        float32 or float64.
    """

    def __init__(self, season: SeasonProgram, binding: Binding, dtype: torch.dtype) -> None:
        self.season, self.binding, self.dtype = season, binding, dtype
        self.bits = 32 if dtype == torch.float32 else 64
        self.lanes = machine().lanes(self.bits)
        self._compiled: dict[str, _Compiled] = {}
        self._lock = Lock()
        self._scratch: list[Tensor] = []
        self._others: dict[Binding, SeasonKernel] = {}
        self.handle = self._digest()
        _KERNELS.setdefault(self.handle, WeakSet()).add(self)

    def __reduce__(self) -> Any:
        from torchcrop.kernels.backend import kernel_of

        return kernel_of, (self.season.layout, self.binding, self.dtype)

    @property
    def source(self) -> str:
        """Generated code of the forward job: LLVM IR."""
        return self.source_of("forward")

    def source_of(self, job: str) -> str:
        """Generated code of a job, ``forward``, ``reverse`` or ``tangents``: LLVM IR."""
        return self._of(job).text

    def listing(self, job: str = "forward") -> str:
        """Operations of a job as readable lines, stage by stage, with the model's names."""
        return listing(self.season, self._of(job).job)

    def rebound(self, **changes: Any) -> SeasonKernel:
        """Give the kernel of the same season with a binding that differs in some fields; it lives as long as this."""
        binding = replace(self.binding, **changes)
        if binding == self.binding:
            return self
        if binding not in self._others:
            self._others[binding] = self._bound(binding)
        return self._others[binding]

    def _bound(self, binding: Binding) -> SeasonKernel:
        return SeasonKernel(self.season, binding, self.dtype)

    # What is compiled elsewhere holds the name as a constant, so it must mean the same in every process.
    def _digest(self) -> str:
        season = self.season
        results = (season.start, season.carried, season.after, season.kept, season.held)
        needed = season.program.needed([*season.start, *season.carried, *season.after, *season.kept])
        operations = [(place, season.program.operations[place]) for place in needed]
        rules = (season.layout.switches, season.layout.model.processes)  # of derivatives, which no operation shows
        content = repr((operations, results, rules, self.binding, self.bits, self.lanes))
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def _of(self, name: str) -> _Compiled:
        with self._lock:
            found = self._compiled.get(name)
            if name not in _JOBS:
                raise KeyError(f"a season kernel has no job {name!r}; it has {', '.join(_JOBS)}")
            if found is None:
                job = apart(_JOBS[name], self.season, self.binding, self.bits, self.lanes)
                text = module(job.functions, flush=machine().x86)
                native = Native(loaded(text), tuple(f.name for f in job.functions))
                found = self._compiled[name] = _Compiled(job, native, text)
            return found

    # --- jobs -------------------------------------------------------------------------------------------------

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Daily rows ``[days, n, size]`` and what is carried at the end ``[n, size]``."""
        size = self._padded(inputs.size)
        daily = self._empty(inputs.days, len(self.season.kept), size)
        carried = self._empty(len(self.season.after), size)
        self._run("forward", inputs, {"daily": daily, "carried": carried})
        return _cut(daily, inputs.size), _cut(carried, inputs.size)

    def reverse(self, inputs: Inputs, by_daily: Tensor, by_carried: Tensor) -> tuple[Tensor, Tensor]:
        """Cotangents of the active own inputs ``[n, size]`` and events ``[n, days, size]``."""
        size = self._padded(inputs.size)
        by_own = self._empty(len(self.binding.active), size)
        by_events = self._empty(len(self.binding.active_events), inputs.days, size)
        arrays = {
            "by_daily": self._pad(by_daily, size),
            "by_carried": self._pad(by_carried, size),
            "by_own": by_own,
            "by_events": by_events,
        }
        self._run("reverse", inputs, arrays)
        return _cut(by_own, inputs.size), _cut(by_events, inputs.size)

    def tangents(self, inputs: Inputs, own: Tensor, events: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `forward`, and the tangents ``[p, days, n, size]`` and ``[p, n, size]``.

        Parameters
        ----------
        inputs : Inputs
        own : Tensor
            Tangents of the active own inputs, ``[p, n, size]``.
        events : Tensor
            Tangents of the active events, ``[p, n, days, size]``.
        """
        size, several = self._padded(inputs.size), own.shape[0]
        daily = self._empty(inputs.days, len(self.season.kept), size)
        carried = self._empty(len(self.season.after), size)
        d_daily = self._empty(several, *daily.shape)
        d_carried = self._empty(several, *carried.shape)
        arrays = {
            "daily": daily,
            "carried": carried,
            "own_tangents": self._pad(own, size),
            "event_tangents": self._pad(events, size),
            "daily_tangents": d_daily,
            "carried_tangents": d_carried,
        }
        self._run("tangents", inputs, arrays, several)
        daily, carried, d_daily, d_carried = (_cut(x, inputs.size) for x in (daily, carried, d_daily, d_carried))
        return daily, carried, d_daily, d_carried

    # --- arrays -----------------------------------------------------------------------------------------------

    def _padded(self, size: int) -> int:
        return -(-size // self.lanes) * self.lanes

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype)

    def _pad(self, values: Tensor, size: int) -> Tensor:
        """Contiguous, of the kernel's type, the last dimension padded by repeating its last element."""
        values = values.detach().to(self.dtype)
        missing = size - values.shape[-1]
        if missing and values.numel():
            values = torch.cat([values, values[..., -1:].expand(*values.shape[:-1], missing)], -1)
        elif missing:
            values = values.new_empty(*values.shape[:-1], size)
        return values.contiguous()

    def _run(self, name: str, inputs: Inputs, arrays: Mapping[str, Tensor], several: int = 0) -> None:
        compiled = self._of(name)
        job = compiled.job
        size = self._padded(inputs.size)
        whole = {"days": inputs.days, "size": size, "tangents": several}
        shared = self._empty(len(job.shared))
        given = inputs.shared.detach().to(self.dtype).contiguous()
        _call(compiled.native, "once", {"own": given, "shared": shared}, whole, 0, 1)

        whole["rows"] = self._padded(inputs.raw.shape[-1])
        raw = table = self._pad(inputs.raw, whole["rows"])
        if self.binding.by_row:
            table = self._empty(len(job.table), whole["rows"])
            blocks = whole["rows"] // self.lanes
            _call(compiled.native, "rows", {"raw": raw, "shared": shared, "table": table}, whole, 0, blocks)
        self._season(compiled, inputs, whole, {"shared": shared, "table": table, **arrays})

    def _season(self, compiled: _Compiled, inputs: Inputs, whole: dict[str, int], arrays: dict[str, Tensor]) -> None:
        size = whole["size"]
        arrays["own"] = self._pad(inputs.own, size)
        arrays["events"] = self._pad(inputs.events, size)
        for name in ("base", "last"):
            value = getattr(inputs, name)
            if not self.binding.one_calendar:
                value = torch.cat([value, value[-1:].expand(size - len(value))])
            arrays[name] = value.contiguous()
        fixed, each_day, each_tangent = compiled.job.scratch
        vectors = fixed + each_day * (inputs.days + 1) + each_tangent * whole["tangents"]
        job = compiled.job.functions[-1].name
        blocks = size // self.lanes
        threads = max(1, min(torch.get_num_threads(), blocks // _BLOCKS_FOR_A_THREAD))

        def part(k: int) -> None:
            scratch = self._take(vectors * self.lanes)
            try:
                first, last = blocks * k // threads, blocks * (k + 1) // threads
                _call(compiled.native, job, {**arrays, "scratch": scratch}, whole, first, last)
            finally:
                self._scratch.append(scratch)

        if threads == 1:
            part(0)
        else:
            list(_pool(threads).map(part, range(threads)))

    def _take(self, numbers: int) -> Tensor:
        """Scratch memory, kept from call to call."""
        try:
            scratch = self._scratch.pop()
        except IndexError:
            return self._empty(numbers)
        return scratch if len(scratch) >= numbers else self._empty(numbers)


def _cut(padded: Tensor, size: int) -> Tensor:
    """Leave the simulations out that fill the last vector; the result owns its memory, as operators' results must."""
    return padded if padded.shape[-1] == size else padded[..., :size].contiguous()


def _call(
    native: Native, name: str, arrays: Mapping[str, Tensor], whole: Mapping[str, int], first: int, last: int
) -> None:
    values = [whole.get(a, 0) if a not in arrays else arrays[a].data_ptr() for a in ARGUMENTS]
    native(name, (ctypes.c_int64 * len(values))(*values), first, last)


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that traces in a thread of its own: no transform, mode or level of torch is at work there."""
    with ThreadPoolExecutor(1) as one:
        return one.submit(function, *arguments).result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="torchcrop-kernel")
