"""Season kernels against limits of their own: arithmetic, derivatives, threads, compilation, memory; and all times."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.contenders import Unavailable
from benchmarks.kernels_against import LEVELS, Extent
from benchmarks.kernels_cases import SWITCHES, Prepared, every_model, lintul5, prepared, whole
from benchmarks.kernels_floor import cost, counted, floor
from benchmarks.kernels_process import asked
from benchmarks.kernels_report import Row, absent
from benchmarks.kernels_timing import minima

DTYPES = (torch.float32, torch.float64)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# --- arithmetic ---------------------------------------------------------------------------------------------


def above_floor(extent: Extent) -> list[Row]:
    """Return the time of a forward run over the arithmetic of its days; and what single operations cost."""
    rows = []
    for level in LEVELS:
        for switches in SWITCHES:
            ours = prepared(lintul5(level), extent.large, switches, torch.float32)
            days = _days_of_blocks(ours)
            least = minima({"forward": ours.forward}, max(extent.rounds, 2), extent.budget)["forward"]
            bottom = floor(ours.kernel)
            lanes, number = ours.kernel.lanes, counted(ours.kernel)
            detail: dict[str, float | str] = {
                "measured [ns per simulated day]": 1e9 * least / days / lanes,
                "floor": bottom / lanes,
                "operations a day": float(sum(number.values())),
                "of them": " ".join(f"{name} {n}" for name, n in number.most_common()),
            }
            what = f"LINTUL5 {level}, {switches}, forward"
            at = f"B = {extent.large:,}, float32"
            rows.append(Row(what, at, 1e9 * least / days / bottom, limit=2.5, least=False, detail=detail))
    return rows + _costs()


def _days_of_blocks(ours: Prepared) -> int:
    """Days that all blocks go through: each those of its simulation that lives longest."""
    lanes = ours.kernel.lanes
    return int(sum(block.max() for block in ours.rows.detach().split(lanes)))


def _costs() -> list[Row]:
    rows = []
    names = (
        "add",
        "mul",
        "fma",
        "div",
        "sqrt",
        "min",
        "lt",
        "select",
        "exp",
        "expm1",
        "log",
        "log1p",
        "sigmoid",
        "pow",
    )
    for bits in (32, 64):
        detail: dict[str, float | str] = {name: cost(name, bits) for name in names}
        rows.append(Row("one operation on a vector [ns]", f"float{bits}", None, detail=detail))
    return rows


# --- derivatives --------------------------------------------------------------------------------------------


def derivatives(extent: Extent) -> list[Row]:
    """Return the cost of a gradient and of a Jacobian, in forward runs."""
    size, rows = 1000, []
    for level in LEVELS:
        for switches in SWITCHES:
            for dtype in DTYPES:
                ours = prepared(lintul5(level), size, switches, dtype)
                calls = {"forward": ours.forward, "gradient": ours.reverse, "Jacobian": ours.jacobian(8)}
                least = minima(calls, 2 * extent.rounds, extent.budget)
                for what, limit in (("gradient", 3.5), ("Jacobian", 4.0)):
                    detail: dict[str, float | str] = {
                        f"{what} [µs per season]": 1e6 * least[what] / size,
                        "forward": 1e6 * least["forward"] / size,
                    }
                    name = "Jacobian of 8 tangents" if what == "Jacobian" else what
                    rows.append(
                        Row(
                            f"LINTUL5 {level}, {switches}, {name}",
                            f"B = {size:,}, {_name(dtype)}",
                            least[what] / least["forward"],
                            limit=limit,
                            least=False,
                            detail=detail,
                        )
                    )
    return rows


# --- threads ------------------------------------------------------------------------------------------------


def threads(extent: Extent) -> list[Row]:
    """Return the elapsed time of one thread over that of two."""
    rows, at = [], f"B = {extent.largest:,}, float32"
    for level in LEVELS:
        what = f"LINTUL5 {level}, smooth"
        if (os.cpu_count() or 1) < 2:
            rows.append(absent(what, at, "this machine has one core", 1.6))
            continue
        try:
            found = asked("threads", level, "smooth", extent.largest)
        except Unavailable as reason:
            rows.append(absent(what, at, str(reason), 1.6))
            continue
        for kind in ("forward", "forward + backward"):
            one, two = found[f"{kind} 1"], found[f"{kind} 2"]
            detail: dict[str, float | str] = {"one thread [s]": one, "two": two, "cores": _cores()}
            rows.append(Row(f"{what}, {kind}", at, one / two, limit=1.6, detail=detail))
    return rows


def _cores() -> str:
    """Say what the system knows of its cores; a guest knows what it was told."""
    folder = Path("/sys/devices/system/cpu")
    siblings = [path.read_text().strip() for path in folder.glob("cpu[0-9]*/topology/thread_siblings_list")]
    if not siblings:
        return "unknown"
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    guest = ", as a virtual machine shows them: whether they are physical cores it does not know"
    alone = all(text.isdecimal() for text in siblings)
    each = "one thread each" if alone else "several threads each"
    return f"{len(siblings)} with {each}{guest if ' hypervisor' in flags else ''}"


# --- compilation, memory ------------------------------------------------------------------------------------


def compilation(extent: Extent) -> list[Row]:
    """Return the time of the first call in a fresh process: nothing compiled before, and all of it on disk."""
    rows = []
    for switches in SWITCHES:
        with tempfile.TemporaryDirectory() as folder:
            for how, limit in (("cold", 8.0), ("warm from disk", 0.3)):
                what = f"LINTUL5 npk, {switches}, {how}"
                try:
                    found = asked("compile", "npk", switches, 16, cache=folder)
                except Unavailable as reason:
                    rows.append(absent(what, "float32", str(reason), limit))
                    continue
                detail: dict[str, float | str] = {f"{name} [s]": value for name, value in found.items()}
                total = found["all processor"]
                rows.append(Row(what, "float32", total, "s", limit=limit, least=False, detail=detail))
    return rows


def memory(extent: Extent) -> list[Row]:
    """Return what a batch with its gradient adds to the peak memory of a process."""
    rows, at = [], f"B = {extent.largest:,}, float32"
    for level in LEVELS:
        what = f"LINTUL5 {level}, smooth, forward and backward"
        try:
            found = asked("memory", level, "smooth", extent.largest)
        except Unavailable as reason:
            rows.append(absent(what, at, str(reason), 500.0))
            continue
        detail: dict[str, float | str] = {"before [MB]": found["before"], "peak": found["peak"]}
        rows.append(Row(what, at, found["added"], "MB", limit=500.0, least=False, detail=detail))
    return rows


# --- for the record -----------------------------------------------------------------------------------------


def seasons(extent: Extent) -> list[Row]:
    """Return the time of a season of every model and level, whole calls."""
    rows = []
    for case in every_model():
        for size in (1, 100, extent.large, extent.largest):
            calls = {
                kind: whole(case, size, "smooth", "kernel", torch.float32, backward=backward)
                for kind, backward in (("forward", False), ("forward + backward", True))
            }
            least = minima(calls, 2, extent.budget / 4)
            for kind, taken in least.items():
                detail: dict[str, float | str] = {"seasons per second": size / taken}
                what = f"{case.name}, smooth, {kind}"
                rows.append(Row(what, f"B = {size:,}, float32", 1e6 * taken / size, "µs per season", detail=detail))
    return rows


PARTS: dict[str, tuple[str, str, Callable[[Extent], list[Row]]]] = {
    "floor": (
        "Above the arithmetic floor, forward",
        "The floor is the sum over the day's operations of what each takes on this core, one vector at a time, in "
        "loops of nothing else. Times are of one simulated day of one simulation; at the end what single operations "
        "take on a whole vector.",
        above_floor,
    ),
    "derivatives": (
        "Cost of derivatives, in forward runs",
        "The gradient is the reverse job, which runs the season itself first; the Jacobian carries eight tangents "
        "along. The integration alone, eight parameters active.",
        derivatives,
    ),
    "threads": (
        "Two threads over one",
        "Elapsed time, the integration alone, in a process that is not kept on one core.",
        threads,
    ),
    "compile": (
        "Compilation",
        "A fresh process with a cache folder of its own. Counted is the processor time from the call of `simulate` (16 "
        "simulations) to its end, and until the reverse and the tangent job are there: tracing, derivatives, printing, "
        "compiling or loading. Not counted: imports, reading crop and trial, and a run of the eager loop before, which "
        "loads what torch loads at its first operations.",
        compilation,
    ),
    "memory": (
        "Peak memory",
        "What a run with final states alone and its gradient to eight parameters adds to the memory of a process that "
        "has compiled the kernel before.",
        memory,
    ),
    "seasons": (
        "Times for the record",
        "Whole calls. LINTUL1 to 3: spring wheat in central Iowa 2001, until maturity; LINTUL5: as above. Published "
        "elsewhere for scalar C++, and not compared here: about 50 000 LINTUL2 and 10 000 LINTUL5 seasons per second "
        "and core.",
        seasons,
    ),
}
