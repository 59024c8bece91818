"""Compile a module of LLVM IR for this machine."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

__all__ = ["Machine", "Native", "compiled", "machine"]


@dataclass(frozen=True)
class Machine:
    """What is compiled for.

    Attributes
    ----------
    cpu, features : str
        As LLVM names them.
    vector_bytes : int
        Width of the machine's native vectors; wider ones are several times slower.
    x86 : bool
        Whether it is an x86 processor.
    """

    cpu: str
    features: str
    vector_bytes: int
    x86: bool

    def lanes(self, bits: int) -> int:
        """Numbers of a vector."""
        return 8 * self.vector_bytes // bits


@cache
def machine() -> Machine:
    """Describe this machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    has = {name for name, on in features.items() if on}
    width = 64 if "avx512f" in has else 32 if "avx" in has else 16
    flags = features.flatten()
    if width == 64:
        flags += ",-prefer-256-bit"  # LLVM takes half of the width by default on many processors
    return Machine(llvm.get_host_cpu_name(), flags, width, llvm.get_process_triple().startswith(("x86_64", "i686")))


class Native:
    """Compiled functions, called with a table of arguments; they run without Python's lock."""

    def __init__(self, object_code: bytes, names: tuple[str, ...]) -> None:
        target = _target()
        self._engine: Any = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(object_code))
        self._engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self._functions = {name: kind(self._engine.get_function_address(name)) for name in names}

    def __call__(self, name: str, arguments: Any, first: int, last: int) -> None:
        self._functions[name](arguments, first, last)


def _target(level: int = 3) -> Any:
    found = machine()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=found.cpu, features=found.features, opt=level, jit=True, codemodel="small"
    )


def compiled(text: str) -> bytes:
    """Machine code of a module, as an object file."""
    target = _target()
    parsed = llvm.parse_assembly(text)
    parsed.triple = llvm.get_process_triple()
    parsed.data_layout = str(target.target_data)
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(parsed, builder)
    return bytes(target.emit_object(parsed))
