"""Which back end runs a season: the plain loop, or the season kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torchcrop.functions.switches import Switches
from torchcrop.models.model import Model
from torchcrop.quantities import nearest
from torchcrop.simulation.batch import Forcing, check_finite, prepare_tables
from torchcrop.simulation.engine import Integration, Recording, integrate

__all__ = ["BACKENDS", "Backend", "check_backend", "integrated"]

BACKENDS = ("auto", "eager", "kernel")


class Backend(str):
    """Name of what ran, ``"eager"`` or ``"kernel"``.

    Attributes
    ----------
    why : str
        Why this one.
    """

    why: str

    def __new__(cls, name: str, why: str) -> Backend:
        new = super().__new__(cls, name)
        new.why = why
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        return Backend, (str(self), self.why)


def check_backend(backend: str) -> None:
    """Raise ValueError if there is no such back end."""
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}{nearest(backend, BACKENDS)}; expected one of {', '.join(BACKENDS)}")


def integrated(
    backend: str,
    model: Model,
    params: Any,
    forcing: Forcing,
    lengths: Sequence[int],
    switches: Switches,
    recording: Recording,
    modules: Mapping[tuple[str, ...], torch.nn.Module],
    initial: Mapping[str, Tensor],
    checkpoint: int | None,
) -> tuple[Integration, Backend, Any]:
    """Run a season by the back end asked for, or the better of those that can; also the kernel, if one ran.

    Raises
    ------
    ValueError
        If the season kernel is asked for and cannot run this; the text says why.
    """
    against = _against_kernel(forcing, modules, checkpoint)
    if backend == "eager":
        against = "asked for"
    elif backend == "auto" and not against and _derivatives() > 1:
        against = "a derivative of a derivative may be wanted, and a season kernel has the first"
    elif backend == "kernel" and against:
        raise ValueError(f"backend='kernel' cannot run this: {against}. Use backend='auto' or 'eager'")
    if not against:
        from torchcrop.kernels.backend import integrate_by_kernel
        from torchcrop.kernels.trace import Untraceable

        try:
            result, kernel = integrate_by_kernel(model, params, forcing, lengths, switches, recording, initial)
        except Untraceable as problem:
            if backend == "kernel":
                raise ValueError(f"backend='kernel' cannot run {model!r}: {problem}") from problem
            against = str(problem)
        else:
            why = "asked for" if backend == "kernel" else "the model's day is a list of operations"
            return result, Backend("kernel", why), kernel
    check_finite(params, model.name)
    forcing.params = params = prepare_tables(params)
    result = integrate(model, params, forcing, lengths, switches, recording, modules, initial, checkpoint)
    return result, Backend("eager", against), None


def _against_kernel(
    forcing: Forcing, modules: Mapping[tuple[str, ...], torch.nn.Module], checkpoint: int | None
) -> str:
    """What keeps a run from the season kernel, or an empty text."""
    if modules:
        return f"the parameter {'.'.join(next(iter(modules)))} is a module, evaluated every day"
    if forcing.device.type == "cuda":
        from torchcrop.kernels.cuda import against_cuda

        missing = against_cuda()
        if missing:
            return missing
    elif forcing.device.type != "cpu":
        return f"the device is {forcing.device}"
    if forcing.dtype not in (torch.float32, torch.float64):
        return f"the dtype is {forcing.dtype}"
    if checkpoint is not None:
        return "checkpoint is given, which belongs to the eager loop"
    if torch.compiler.is_compiling():
        return "torch.compile is at work"
    return ""


def _derivatives() -> int:
    """Number of derivatives of `torch.func` that are at work, one within the other."""
    levels = torch._C._functorch.get_interpreter_stack() or []
    return sum(level.key().name in ("Grad", "Jvp") for level in levels)
