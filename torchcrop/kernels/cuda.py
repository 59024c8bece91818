"""The season kernel on an NVIDIA device: compiled by NVRTC, launched on torch's stream.

The source is `torchcrop.kernels.c_code`'s. The package `cuda-core` (extra ``gpu``) compiles and launches it; what is
compiled is kept on disk like the processor's kernels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchcrop.kernels.c_code import SEGMENT, THREADS, Printed, printed
from torchcrop.kernels.cache import kept
from torchcrop.kernels.kernel import Inputs, SeasonKernel, apart
from torchcrop.kernels.llvm import ARGUMENTS
from torchcrop.kernels.plans import Binding
from torchcrop.kernels.season import SeasonProgram

__all__ = ["GpuKernel", "against_cuda"]

# Bytes of the checkpoints of one launch of the way back; more simulations take several launches.
_LARGEST_SCRATCH = 2**31


def _core() -> Any:
    """Package `cuda.core`.

    Raises
    ------
    ImportError
        If it is missing, with the remedy.
    """
    try:
        import cuda.core as core
    except ImportError as problem:
        raise ImportError(
            f"a season kernel on an NVIDIA device needs the package cuda-core ({problem}): in the "
            "checkout, pip install -e '.[gpu]'; or run with backend='eager'"
        ) from problem
    return core


def against_cuda() -> str:
    """What keeps season kernels from NVIDIA devices here, or an empty text."""
    try:
        _core()
    except ImportError as problem:
        return str(problem)
    return ""


class _Stream:
    """Torch's stream, as `cuda.core` takes those of others."""

    def __init__(self, device: torch.device) -> None:
        self._address = torch.cuda.current_stream(device).cuda_stream

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._address


@dataclass
class _Module:
    """A job's source, and its functions on a device."""

    printed: Printed
    functions: dict[str, Any]


class GpuKernel(SeasonKernel):
    """A season's list of operations, ready to be run on an NVIDIA device, one simulation in each thread.

    Parameters
    ----------
    season : SeasonProgram
    binding : Binding
    dtype : torch.dtype
        float32 or float64.
    device : torch.device
        Of type ``cuda``, with an index.

    Raises
    ------
    ImportError
        When a job is first run, if `cuda-core` is missing.
    """

    def __init__(self, season: SeasonProgram, binding: Binding, dtype: torch.dtype, device: torch.device) -> None:
        self.device = device
        self._modules: dict[str, _Module] = {}
        super().__init__(season, binding, dtype)
        self.lanes = 1

    def __reduce__(self) -> Any:
        from torchcrop.kernels.backend import kernel_of

        return kernel_of, (self.season.layout, self.binding, self.dtype, self.device)

    def source_of(self, job: str) -> str:
        """Generated code of a job, ``forward``, ``reverse`` or ``tangents``: CUDA C."""
        return self._printed(job).text

    def _bound(self, binding: Binding) -> GpuKernel:
        return GpuKernel(self.season, binding, self.dtype, self.device)

    def _digest(self) -> str:
        return hashlib.sha256(f"{super()._digest()} {self.device}".encode()).hexdigest()[:32]

    # --- compiling ----------------------------------------------------------------------------------------------

    def _printed(self, job: str) -> Printed:
        return apart(_printed_for_cuda, self.season, self.binding, self.bits, job)

    def _module(self, job: str) -> _Module:
        with self._lock:
            found = self._modules.get(job)
            if found is None:
                source = self._printed(job)
                names = ["once", *(["rows"] if self.binding.by_row else []), job]
                found = self._modules[job] = _Module(source, self._functions(source, names))
            return found

    def _functions(self, source: Printed, names: Sequence[str]) -> dict[str, Any]:
        code = _core().ObjectCode.from_cubin(self._cubin(source.text))
        return {name: code.get_kernel(name) for name in names}

    def _cubin(self, text: str) -> bytes:
        """Machine code of the device; products and sums are not fused, so that x - x is 0 and dates are the eager's."""
        core = _core()
        device = core.Device(self.device.index)
        device.set_current()
        options = {"arch": f"sm_{device.arch}", "fma": False, "ftz": self.bits == 32, "std": "c++17"}

        def compiler(source: str) -> bytes:
            program = core.Program(source, "c++", core.ProgramOptions(**options))
            return bytes(program.compile("cubin").code)

        return kept(text, f"{options} cuda-core {core.__version__}", compiler)

    # --- running ------------------------------------------------------------------------------------------------

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def _run(self, name: str, inputs: Inputs, arrays: Mapping[str, Tensor], several: int = 0) -> None:
        if not inputs.size:
            return
        if name == "tangents" and not several:
            name = "forward"
        module = self._module(name)
        plan = module.printed.plan
        rows = inputs.raw.shape[-1]
        once = {"days": inputs.days, "size": inputs.size, "rows": rows}
        call = module.functions
        given = {field: self._pad(getattr(inputs, field), inputs.size) for field in ("own", "events")}
        raw, shared = self._pad(inputs.raw, rows), self._empty(len(plan.shared))
        self._launch(call["once"], once, {"own": self._of_type(inputs.shared), "shared": shared}, (0, 1))
        table = raw
        if self.binding.by_row:
            table = self._empty(len(plan.table), rows)
            self._launch(call["rows"], once, {"raw": raw, "shared": shared, "table": table}, (0, rows))
        calendars = {"base": inputs.base, "last": inputs.last}
        if not self.binding.one_calendar:
            calendars = {field: value.expand(inputs.size) for field, value in calendars.items()}
        calendars = {field: value.contiguous() for field, value in calendars.items()}
        whole = {**once, "tangents": several}
        self._season_of(module, name, whole, {**arrays, **given, **calendars, "shared": shared, "table": table})

    def _season_of(self, module: _Module, name: str, whole: Mapping[str, int], arrays: Mapping[str, Tensor]) -> None:
        """Launch the job itself: the way back in parts that its checkpoints have room for."""
        size = part = whole["size"]
        checkpoints = -(-whole["days"] // SEGMENT) * module.printed.kept
        if checkpoints:
            part = min(size, max(THREADS, _LARGEST_SCRATCH // (checkpoints * self.bits // 8)))
        scratch = self._empty(checkpoints, part)
        for first in range(0, size, part):
            last = min(first + part, size)
            self._launch(module.functions[name], whole, {**arrays, "scratch": scratch}, (first, last))

    def _launch(
        self, function: Any, whole: Mapping[str, int], arrays: Mapping[str, Tensor], span: tuple[int, int]
    ) -> None:
        """Launch a function over simulations, or rows, of a span; every tangent has threads of its own."""
        core = _core()
        device = core.Device(self.device.index)
        device.set_current()
        blocks = -(-(span[1] - span[0]) // THREADS)
        config = core.LaunchConfig(grid=(blocks, max(1, whole.get("tangents", 0)), 1), block=THREADS)
        values = [arrays[a].data_ptr() if a in arrays else np.int64(whole.get(a, 0)) for a in ARGUMENTS]
        stream = device.create_stream(_Stream(self.device))
        core.launch(stream, config, function, *values, *(np.int64(i) for i in span))

    def _of_type(self, values: Tensor) -> Tensor:
        return values.detach().to(self.dtype).contiguous()


def _printed_for_cuda(season: SeasonProgram, binding: Binding, bits: int, job: str) -> Printed:
    return printed(season, binding, bits, job, cuda=True)
