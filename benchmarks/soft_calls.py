"""The calls of the soft operators that are timed, for us and for the peer alike.

Nothing of ours is imported: the peer's program loads this file inside the peer's own environment, so that both sides
prepare and time the same thing by the same lines. Both have the same names, arguments and defaults.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: Elements of the elementwise operators.
ELEMENTS = 1_000_000

#: Slices and length of the operators along an axis.
ROWS, LENGTH = 1000, 64

Call = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Axis:
    """An operator along the last axis, forward and backward.

    Attributes
    ----------
    operator, method, mode : str
        What is called.
    rows : int
        Slices of length `LENGTH`.
    """

    operator: str
    method: str
    mode: str
    rows: int = ROWS


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Return the float32 numbers that all contenders get, from -3 to 3."""
    return 6 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 3


def axis_call(library: Any, setting: Axis) -> Call:
    """Prepare an operator along an axis: its values (of argsort the weights), and the gradient of their squares."""
    x = numbers(setting.rows, LENGTH).requires_grad_()
    operator = getattr(library, setting.operator)
    arguments: dict[str, tuple[Any, ...]] = {"quantile": (0.3,), "topk": (8,)}
    options: dict[str, Any] = {"dim": -1, "method": setting.method, "mode": setting.mode, "softness": 0.1}

    def call() -> None:
        answer = operator(x, *arguments.get(setting.operator, ()), **options)
        values = answer if isinstance(answer, Tensor) else answer[0]
        torch.autograd.grad(values.square().sum(), x)

    return call


def seconds(call: Call, number: int = 1) -> float:
    """Time calls and return the mean of one."""
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def fitting_rows(library: Any, setting: Axis, limit: float) -> int:
    """Return how many rows, 1, 10, 100 or those of the setting, a call does in about `limit` seconds."""
    rows = 1
    while True:
        call = axis_call(library, dataclasses.replace(setting, rows=rows))
        call()
        if rows >= setting.rows or 10 * seconds(call) > limit:
            return rows
        rows = min(10 * rows, setting.rows)
