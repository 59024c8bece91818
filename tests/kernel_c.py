"""Season kernels from C and from CUDA C, compiled for this processor by a C compiler (``$CC``, or gcc).

Both are given their arrays by `GpuKernel`, so that what it hands over is run too. CUDA source is compiled as C++ with a
few words of CUDA defined away, and its blocks and threads are gone through one after the other.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from torchcrop.kernels.c_code import THREADS, Printed, printed
from torchcrop.kernels.cuda import GpuKernel
from torchcrop.kernels.kernel import SeasonKernel
from torchcrop.kernels.llvm import ARGUMENTS

# Optimising takes gcc seconds and changes no number: nothing is contracted, nothing reordered.
_FLAGS = ("-O1", "-ffp-contract=off")


def compiler() -> str | None:
    """Path of the C compiler, None where there is none."""
    return shutil.which(os.environ.get("CC", "gcc"))


class ScalarKernel(GpuKernel):
    """A season kernel as plain C, with the jobs ``forward`` and ``reverse``."""

    suffix = ".c"

    def __init__(self, kernel: SeasonKernel) -> None:
        super().__init__(kernel.season, kernel.binding, kernel.dtype, torch.device("cpu"))

    def _printed(self, job: str) -> Printed:
        return printed(self.season, self.binding, self.bits, job, cuda=False)

    def _functions(self, source: Printed, names: Sequence[str]) -> dict[str, Any]:
        found = compiler()
        if found is None:
            raise FileNotFoundError("no C compiler: set CC to one, or install gcc")
        with TemporaryDirectory() as folder:
            path = Path(folder, f"season{self.suffix}")
            path.write_text(self._text(source, names))
            library = path.with_suffix(".so")
            subprocess.run([found, *_FLAGS, "-shared", "-fPIC", "-o", library, path, "-lm"], check=True)
            loaded = ctypes.CDLL(str(library))
        return {name: getattr(loaded, self._symbol(name)) for name in names}

    def _text(self, source: Printed, names: Sequence[str]) -> str:
        return source.text

    def _symbol(self, name: str) -> str:
        return name

    def _launch(
        self, function: Any, whole: Mapping[str, int], arrays: Mapping[str, Tensor], span: tuple[int, int]
    ) -> None:
        values = [arrays[a].data_ptr() if a in arrays else whole.get(a, 0) for a in ARGUMENTS]
        table = (ctypes.c_int64 * len(values))(*values)
        function(table, *(ctypes.c_int64(i) for i in span))


_BEFORE = """\
#include <cmath>
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(n)
static float __int_as_float(int bits) { float x; __builtin_memcpy(&x, &bits, 4); return x; }
struct { unsigned x, y; } static blockIdx, blockDim, threadIdx;
"""


class HostKernel(ScalarKernel):
    """CUDA source on this processor: thread after thread, in blocks."""

    suffix = ".cpp"

    def _printed(self, job: str) -> Printed:
        return printed(self.season, self.binding, self.bits, job, cuda=True)

    def _text(self, source: Printed, names: Sequence[str]) -> str:
        return _BEFORE + source.text + "".join(_grid(name) for name in names)

    def _symbol(self, name: str) -> str:
        return f"grid_of_{name}"


def _grid(name: str) -> str:
    """A function that goes through the blocks of a kernel as `GpuKernel` launches it."""
    whole = ("days", "size", "rows", "tangents")
    pointers = {"base": "whole", "last": "whole"}
    values = ", ".join(
        f"a[{k}]" if field in whole else f"({pointers.get(field, 'real')} *)a[{k}]" for k, field in enumerate(ARGUMENTS)
    )
    q = f"a[{ARGUMENTS.index('tangents')}]"
    return f"""
extern "C" void grid_of_{name}(const whole *a, whole first, whole last) {{
    blockDim.x = {THREADS};
    for (blockIdx.y = 0; blockIdx.y < (unsigned)({q} > 0 ? {q} : 1); blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < (last - first + {THREADS} - 1) / {THREADS}; blockIdx.x++)
            for (threadIdx.x = 0; threadIdx.x < {THREADS}; threadIdx.x++) {name}({values}, first, last);
}}
"""
