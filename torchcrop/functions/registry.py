"""The registry of the functions that models may use: name, eager body, derivative.

Everything that can bend or jump in a model's day is entered here and called through its entry. Eagerly a
call runs the body, plain PyTorch. Under `tracing` a call is handed to the tracer as one node, for
instance ``afgen(table, x)``, so that a compiler of seasons sees the function and not its insides; the
entry's derivative is then the rule by which the compiler differentiates that node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

__all__ = ["REGISTRY", "Function", "function", "is_tracing", "tracing"]

REGISTRY: dict[str, Function] = {}
"""All registered functions by name."""

_tracer: Callable[[Function, tuple[Any, ...]], Any] | None = None
_thread = 0  # that traces; others compute meanwhile


class Function:
    """A registered function.

    Attributes
    ----------
    name : str
        Name of the node that a tracer sees.
    body : callable
        Eager implementation, elementwise over the batch.
    derivative : callable
        Called with the arguments of `body`; gives one partial derivative per tensor argument, in the
        order of the arguments (a `Table` counts as its breakpoints and its ordinates), each a function of
        the arguments alone. At a kink it is what autograd of the body gives.
    """

    def __init__(self, body: Callable[..., Any], derivative: Callable[..., tuple[Any, ...]]) -> None:
        self.name = body.__name__
        self.body = body
        self.derivative = derivative
        self.__name__ = body.__name__
        self.__qualname__ = body.__qualname__
        self.__module__ = body.__module__
        self.__doc__ = body.__doc__
        self.__wrapped__ = body

    def __call__(self, *args: Any) -> Any:
        return self.body(*args) if _tracer is None or _thread != get_ident() else _tracer(self, args)

    def __repr__(self) -> str:
        return f"<torchcrop function {self.name}>"


def function(derivative: Callable[..., tuple[Any, ...]]) -> Callable[[Callable[..., Any]], Function]:
    """Enter a function into the registry, with its derivative."""

    def enter(body: Callable[..., Any]) -> Function:
        if body.__name__ in REGISTRY:
            raise ValueError(f"function {body.__name__!r} is registered already")
        entry = Function(body, derivative)
        REGISTRY[entry.name] = entry
        return entry

    return enter


@contextmanager
def tracing(tracer: Callable[[Function, tuple[Any, ...]], Any]) -> Iterator[None]:
    """Hand every call of a registered function to `tracer(function, args)` within the context."""
    global _tracer, _thread
    before, _tracer, _thread = (_tracer, _thread), tracer, get_ident()
    try:
        yield
    finally:
        _tracer, _thread = before


def is_tracing() -> bool:
    """Whether a tracer is at work; then what is done for several at once must be done one by one."""
    return _tracer is not None and _thread == get_ident()
