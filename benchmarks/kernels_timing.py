"""The clock of the kernels' benchmarks: the least processor time of a call, contenders in turns."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: A round repeats a call until it has taken so long [s], and so often at most.
SHORTEST, MOST = 0.05, 50

Clock = Callable[[], float]


@contextmanager
def pinned() -> Iterator[None]:
    """Keep this process on one core, where the system lets one choose."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def seconds(call: Callable[[], Any], clock: Clock = time.process_time) -> float:
    """Return the time of one call."""
    begin = clock()
    call()
    return clock() - begin


def minima(
    calls: Mapping[str, Callable[[], Any]], rounds: int, budget: float = 8.0, clock: Clock = time.process_time
) -> dict[str, float]:
    """Return the least time of each call over rounds in which they take turns, the order reversed every round. [s]

    Parameters
    ----------
    calls : mapping of str to callable
    rounds : int
        How many, beside one that warms up.
    budget : float
        Elapsed time after which no further round begins; one is always finished after the warm-up. [s]
    clock : callable
        Processor time by default: one thread waits for nothing but the processor, and what else the machine does then
        has less to say. Threads need the elapsed time.
    """
    for call in calls.values():
        call()
    least = dict.fromkeys(calls, float("inf"))
    begin = time.perf_counter()
    for turn in range(rounds):
        if turn and time.perf_counter() - begin > budget:
            break
        gc.collect()
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            least[name] = min(least[name], _least(calls[name], clock))
    return least


def _least(call: Callable[[], Any], clock: Clock) -> float:
    """Return the least time of a call that is repeated for a while."""
    least, spent = float("inf"), 0.0
    for _ in range(MOST):
        taken = seconds(call, clock)
        least, spent = min(least, taken), spent + taken
        if spent >= SHORTEST:
            break
    return least
