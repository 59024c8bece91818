"""A kernel's list of operations as plain scalar C, compiled by the system's compiler: what vectors are measured by."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.contenders import Unavailable
from torchcrop.kernels.c_code import printed
from torchcrop.kernels.kernel import Inputs, SeasonKernel
from torchcrop.kernels.llvm import ARGUMENTS

#: Without vectors; what helps scalar code is on: this processor's instructions, fused products and sums, no errno.
FLAGS = ("-O3", "-march=native", "-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-fno-math-errno")


class ScalarC:
    """The forward job of a kernel as plain C.

    Parameters
    ----------
    kernel : SeasonKernel
    inputs : Inputs

    Raises
    ------
    Unavailable
        If there is no C compiler.
    """

    def __init__(self, kernel: SeasonKernel, inputs: Inputs) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise Unavailable("no C compiler: install gcc")
        source = printed(kernel.season, kernel.binding, kernel.bits, "forward", cuda=False)
        self.version = _output(compiler, "--version").splitlines()[0]
        self._library = _compiled(compiler, source.text)
        season, plan, dtype = kernel.season, source.plan, kernel.dtype
        self._size, self._rows, self._by_row = inputs.size, inputs.raw.shape[-1], kernel.binding.by_row
        self.carried = torch.empty(len(season.after), inputs.size, dtype=dtype)
        arrays = {
            "own": inputs.own.to(dtype).contiguous(),
            "raw": inputs.raw.to(dtype).contiguous(),
            "shared": torch.empty(len(plan.shared), dtype=dtype),
            "base": inputs.base.contiguous(),
            "last": inputs.last.contiguous(),
            "events": inputs.events.to(dtype).contiguous(),
            "daily": torch.empty(inputs.days, len(season.kept), inputs.size, dtype=dtype),
            "carried": self.carried,
        }
        arrays["table"] = torch.empty(len(plan.table), self._rows, dtype=dtype) if self._by_row else arrays["raw"]
        given = inputs.shared.to(dtype).contiguous()
        whole = {"days": inputs.days, "size": inputs.size, "rows": self._rows}
        self._season, self._once = _table(arrays, whole), _table({**arrays, "own": given}, whole)
        self._alive = (arrays, given)

    def forward(self) -> Tensor:
        """Run the season, and return what is carried at its end, ``[n, size]``."""
        self._library.once(self._once, 0, 1)
        if self._by_row:
            self._library.rows(self._season, 0, self._rows)
        self._library.forward(self._season, 0, self._size)
        return self.carried


def _table(arrays: dict[str, Tensor], whole: dict[str, int]) -> Any:
    """The structure of arguments: 64-bit whole numbers and addresses."""
    values = [whole.get(name, 0) if name not in arrays else arrays[name].data_ptr() for name in ARGUMENTS]
    return (ctypes.c_int64 * len(values))(*values)


def _compiled(compiler: str, text: str) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "season.c", Path(folder) / "season.so"
        source.write_text(text)
        _output(compiler, *FLAGS, "-shared", "-fPIC", str(source), "-o", str(library), "-lm")
        loaded = ctypes.CDLL(str(library))
    for name in ("once", "rows", "forward"):
        if hasattr(loaded, name):
            function = getattr(loaded, name)
            function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_longlong, ctypes.c_longlong], None
    return loaded


def _output(*command: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{command[0]} ended with status {answer.returncode}: {answer.stderr.strip()[:300]}")
    return answer.stdout
