"""What needs a process of its own: compiling from nothing, peak memory, two threads.

``python -m benchmarks.kernels_process compile|memory|threads LEVEL SWITCHES SIZE`` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.contenders import REPOSITORY, Unavailable

# Before torch is loaded: its thread pools are sized at first use.
os.environ.update(machine.ONE_THREAD)

import torch

from benchmarks.kernels_cases import lintul5, prepared, whole
from benchmarks.kernels_timing import minima, pinned

#: Rounds of the comparison of threads.
ROUNDS = 5


def compile_all(level: str, switches: str, size: int) -> dict[str, float]:
    """Return the times of the first call and of the other two jobs, elapsed and of the processor. [s]

    The package is imported, the crop and the trial are read and a run of the eager loop has loaded what torch loads at
    its first operations: none of that is in the times.
    """
    case = lintul5(level)
    whole(case, 1, switches, "eager", torch.float32, backward=True)()
    values = case.values(size, torch.float32, gradient=True)
    times = [(time.perf_counter(), time.process_time())]
    with pinned():
        kernel = case.run(values, switches, "kernel", torch.float32).kernel
        times.append((time.perf_counter(), time.process_time()))
        for job in ("reverse", "tangents"):
            kernel.source_of(job)
            times.append((time.perf_counter(), time.process_time()))
    found = {}
    for name, begin, end in (("forward", 0, 1), ("reverse", 1, 2), ("tangents", 2, 3), ("all", 0, 3)):
        for k, clock in enumerate(("elapsed", "processor")):
            found[f"{name} {clock}"] = times[end][k] - times[begin][k]
    return found


def peak_memory(level: str, switches: str, size: int) -> dict[str, float]:
    """Return what a run with its gradient adds to the peak of this process's memory. [MB]

    The kernel is compiled before, by a run of a small batch.

    Raises
    ------
    Unavailable
        If the system does not tell the peak since a moment.
    """
    case = lintul5(level)
    whole(case, 100, switches, "kernel", torch.float32, backward=True)()
    call = whole(case, size, switches, "kernel", torch.float32, backward=True)
    before = _resident("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        raise Unavailable(f"the peak of this process cannot be reset: {error}") from error
    call()
    return {"before": before, "peak": _resident("VmHWM"), "added": _resident("VmHWM") - before}


def _resident(field: str) -> float:
    """Return a field of this process's status. [MB]"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def two_threads(level: str, switches: str, size: int) -> dict[str, float]:
    """Return the elapsed times of one and of two threads, in turns. [s]"""
    found = prepared(lintul5(level), size, switches, torch.float32)

    def with_threads(number: int, call: Callable[[], None]) -> Callable[[], None]:
        def counted() -> None:
            torch.set_num_threads(number)
            call()

        return counted

    jobs = {"forward": found.forward, "forward + backward": found.forward_and_backward}
    calls = {f"{name} {n}": with_threads(n, call) for name, call in jobs.items() for n in (1, 2)}
    return minima(calls, ROUNDS, budget=15.0, clock=time.perf_counter)


TASKS: dict[str, Callable[[str, str, int], dict[str, float]]] = {
    "compile": compile_all,
    "memory": peak_memory,
    "threads": two_threads,
}


def asked(task: str, level: str, switches: str, size: int, cache: str | None = None) -> dict[str, Any]:
    """Return the answer of a fresh process.

    Parameters
    ----------
    task : str
        One of `TASKS`.
    level, switches : str
    size : int
        Simulations.
    cache : str, optional
        Folder of compiled kernels; the user's own by default.

    Raises
    ------
    Unavailable
        If the process failed; the text is its last line.
    """
    command = [sys.executable, "-m", "benchmarks.kernels_process", task, level, switches, str(size)]
    environment = {**os.environ, **({} if cache is None else {"TORCHCROP_CACHE": cache})}
    answer = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        message = answer.stderr.strip().splitlines()[-1:] or [f"status {answer.returncode}"]
        raise Unavailable(message[0][:300])
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def main() -> None:
    """Command line."""
    task, level, switches, size = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(TASKS[task](level, switches, int(size))))


if __name__ == "__main__":
    main()
