"""The softness that operators take when none is given, and how it falls in the course of an optimisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

__all__ = ["cosine_schedule", "default_softness", "exponential_schedule", "linear_schedule"]

#: The softness of an operator that is given none, outside of every `default_softness`.
SOFTNESS = 0.1

# A plain list: torch.compile guards what it holds, and so compiles anew when the default changes.
_current: list[float | Tensor] = [SOFTNESS]


@contextmanager
def default_softness(softness: float | Tensor) -> Iterator[float | Tensor]:
    """Set the softness of every operator that is given none, for the length of a ``with`` block.

    Parameters
    ----------
    softness : float or Tensor
        Greater than 0. [unit of the operators' arguments]

    Raises
    ------
    ValueError
        If it is not greater than 0.

    Notes
    -----
    One default for the process, not for the thread.

    Examples
    --------
    >>> schedule = exponential_schedule(1.0, 0.01, steps=100)
    >>> for step in range(100):  # doctest: +SKIP
    ...     with default_softness(schedule(step)):
    ...         loss = soft.relu(model(x)).sum()
    """
    if not isinstance(softness, Tensor) and not 0 < softness < math.inf:
        raise ValueError(f"default_softness: softness is {softness}; it must be positive and finite")
    before = _current[0]
    _current[0] = softness
    try:
        yield softness
    finally:
        _current[0] = before


def current_softness() -> float | Tensor:
    """Return the softness of an operator that is given none."""
    return _current[0]


def linear_schedule(start: float, end: float, steps: int) -> Callable[[int], float]:
    """Return a function of the step that goes from `start` to `end` in a straight line.

    Parameters
    ----------
    start, end : float
        Softness at step 0 and from step ``steps - 1`` on, both greater than 0.
    steps : int
        Length of the way, at least 2.

    Raises
    ------
    ValueError
        If a softness is not positive and finite, or `steps` is below 2.
    """
    return _schedule("linear_schedule", start, end, steps, lambda share: start + (end - start) * share)


def exponential_schedule(start: float, end: float, steps: int) -> Callable[[int], float]:
    """Return a function of the step that goes from `start` to `end` by a constant factor; see `linear_schedule`."""
    return _schedule("exponential_schedule", start, end, steps, lambda share: start * (end / start) ** share)


def cosine_schedule(start: float, end: float, steps: int) -> Callable[[int], float]:
    """Return a function of the step that goes from `start` to `end` along half a cosine; see `linear_schedule`."""
    return _schedule(
        "cosine_schedule", start, end, steps, lambda share: end + (start - end) * (1 + math.cos(math.pi * share)) / 2
    )


def _schedule(
    name: str, start: float, end: float, steps: int, along: Callable[[float], float]
) -> Callable[[int], float]:
    for which, value in (("start", start), ("end", end)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: {which} is {value}; a softness must be positive and finite")
    if steps < 2:
        raise ValueError(f"{name}: steps is {steps}; it must be at least 2")

    def softness(step: int) -> float:
        share = min(max(step, 0) / (steps - 1), 1.0)
        return along(share) if share < 1 else end

    return softness
