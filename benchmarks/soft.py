"""Time and memory of the soft operators, in one run: ``python -m benchmarks.soft``; the rules are in README.md.

Four parts: elementwise operators against `torch.sigmoid`, the same compiled, operators along an axis against SoftTorch
0.1.1, and peak memory of long axes.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.contenders import REPOSITORY, Unavailable
from benchmarks.peers.make_env import SOFTTORCH
from benchmarks.run import own_versions

# Before torch is loaded: its thread pools are sized at first use.
os.environ.update(dict.fromkeys(machine.ONE_THREAD, os.environ.get("SOFT_BENCHMARK_THREADS", "2")))

import torch
from torch import Tensor

import torchcrop.soft as soft
from benchmarks.soft_calls import ELEMENTS, LENGTH, ROWS, Axis, Call, axis_call, fitting_rows, numbers, seconds
from benchmarks.soft_report import to_markdown

THREADS = int(os.environ["OMP_NUM_THREADS"])

MODES = ("smooth", "c0", "c1", "c2")
AXIS_MODES = ("smooth", "c1")
METHODS = ("softsort", "neuralsort", "ot", "sorting_network", "fast_soft_sort")
AXIS_OPERATORS = ("sort", "argsort", "max", "quantile", "topk", "rank")
LENGTHS = (5_000, 10_000, 20_000)

#: A call that takes longer is measured on fewer rows, and given for the row. [s]
LONGEST = 1.0
#: A measurement shorter than this is repeated inside the clock until it is not. [s]
SHORTEST = 0.02

Operator = Callable[..., Tensor]


def elementwise() -> dict[str, Operator]:
    """The operators as functions of x (differentiated) and options; the other operands are constants."""
    y = numbers(ELEMENTS, seed=1)
    positive = y.abs() + 0.5

    def of_two(operator: Operator, other: Tensor = y) -> Operator:
        return lambda x, **options: operator(x, other, **options)

    operators: dict[str, Operator] = {
        name: getattr(soft, name)
        for name in ("sigmoidal", "softrelu", "heaviside", "relu", "abs", "sign", "round", "floor", "ceil", "trunc")
    }
    operators["clamp"] = lambda x, **options: soft.clamp(x, -1.0, 1.0, **options)
    operators["remainder"] = of_two(soft.remainder, positive)
    for name in ("maximum", "minimum", "greater", "less_equal", "eq", "isclose"):
        operators[name] = of_two(getattr(soft, name))
    return operators


ROUNDINGS = ("round", "floor", "ceil", "trunc", "remainder")


def limit_of(operator: str, mode: str, compiled: bool) -> float | None:
    """How many times the time of its baseline an operator may take; None where no limit is set."""
    if operator == "logical_and" or compiled:
        return 2.0
    if operator in ROUNDINGS:
        return 20.0
    return None if mode == "smooth" else 6.0


def backward_of(function: Operator, *inputs: Tensor) -> Call:
    """Forward and backward, with a gradient of ones for every output."""
    live = [x for x in inputs if x.requires_grad]
    ones = torch.ones(ELEMENTS)

    def call() -> None:
        torch.autograd.grad(function(*inputs), live, ones)

    return call


def medians(calls: dict[str, Call], repeats: int) -> dict[str, float]:
    """Median seconds of each call, the calls in turns with the order reversed every round."""
    number = {}
    for name, call in calls.items():
        call()
        number[name] = max(1, round(SHORTEST / max(seconds(call), 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats):
        gc.collect()
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            times[name].append(seconds(calls[name], number[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def run_elementwise(chosen: Sequence[str], repeats: int, compiled: bool) -> list[dict[str, Any]]:
    """Time the elementwise operators, with their baseline in the same turns."""

    def prepared(function: Operator) -> Operator:
        if not compiled:
            return function
        torch.compiler.reset()
        return torch.compile(function, fullgraph=True)  # type: ignore[no-any-return]

    rows = []
    x, share = numbers(ELEMENTS).requires_grad_(), (numbers(ELEMENTS, seed=2) / 6 + 0.5).requires_grad_()
    other = numbers(ELEMENTS, seed=1).requires_grad_()

    def timed(name: str, baseline: tuple[str, Call], calls: dict[str, Call]) -> None:
        print(f"{'compiled ' if compiled else ''}{name}", file=sys.stderr, flush=True)
        found = medians({"baseline": baseline[1], **calls}, repeats)
        for mode in calls:
            ratio, limit = found[mode] / found["baseline"], limit_of(name, mode, compiled)
            rows.append(
                {
                    "operator": name,
                    "mode": mode,
                    "baseline": baseline[0],
                    "ms": 1e3 * found[mode],
                    "baseline_ms": 1e3 * found["baseline"],
                    "ratio": ratio,
                    "limit": limit,
                    "met": None if limit is None else ratio <= limit,
                }
            )

    sigmoid = backward_of(prepared(torch.sigmoid), x)
    for name, operator in elementwise().items():
        if name in chosen:
            calls = {
                mode: backward_of(prepared(lambda v, f=operator, m=mode: f(v, softness=0.1, mode=m)), x)
                for mode in MODES
            }
            timed(name, ("torch.sigmoid", sigmoid), calls)
    if "logical_and" in chosen:
        product = backward_of(prepared(torch.mul), x, share)
        timed("logical_and", ("multiply", product), {"-": backward_of(prepared(soft.logical_and), x, share)})
    if "where" in chosen:
        timed("where", ("torch.sigmoid", sigmoid), {"-": backward_of(prepared(soft.where), share, x, other)})
    return rows


# --- along an axis ----------------------------------------------------------------------------------------------


class Peer:
    """SoftTorch's process, which waits for requests."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.facts = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unavailable(f"its process ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, setting: Axis, **options: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises
        ------
        Unavailable
            If the peer failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**dataclasses.asdict(setting), **options}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise Unavailable(answer["error"][:200])
        return answer


@contextmanager
def peer() -> Iterator[Peer]:
    """Start the peer, and end it."""
    if not SOFTTORCH.python.exists():
        raise Unavailable("no environment: make it with `python -m benchmarks.peers.make_env softtorch`")
    program = REPOSITORY / "benchmarks" / "peers" / "softtorch_011.py"
    # Its FutureWarnings, one per row, are no message of this run.
    command = [str(SOFTTORCH.python), "-I", "-W", "ignore", str(program), str(THREADS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Peer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


#: How many times faster than the peer a sort has to be.
AIMS = {"neuralsort": 4.0, "sorting_network": 100.0, "ot": 100.0}


def run_axis(chosen: Sequence[str], repeats: int) -> dict[str, Any]:
    """Time the operators along an axis, the peer and us in turns."""
    rows: list[dict[str, Any]] = []
    with peer() as other:
        for operator in chosen:
            for method in METHODS:
                if method == "fast_soft_sort" and operator == "argsort":
                    continue  # it gives values only
                for mode in AXIS_MODES:
                    print(f"{operator} {method} {mode}", file=sys.stderr, flush=True)
                    rows.append(_axis_row(Axis(operator, method, mode), other, repeats))
        facts = other.facts
    return {"peer": {"name": SOFTTORCH.name, **facts}, "rows": rows}


def _axis_row(setting: Axis, other: Peer, repeats: int) -> dict[str, Any]:
    row: dict[str, Any] = {**dataclasses.asdict(setting)}
    try:
        row["rows"] = fitting_rows(soft, setting, LONGEST)
        ours = axis_call(soft, dataclasses.replace(setting, rows=row["rows"]))
        try:
            row["peer_rows"] = other.ask(setting, limit=LONGEST)["rows"]
        except Unavailable as reason:  # some of its calls have no gradient
            alone = medians({"ours": ours}, repeats)["ours"]
            return {**row, "us_per_row": 1e6 * alone / row["rows"], "status": f"the peer fails: {reason}"}
        theirs = dataclasses.replace(setting, rows=row["peer_rows"])
        ours()
        other.ask(theirs)
        pairs: list[tuple[float, float]] = []
        for turn in range(repeats):
            gc.collect()
            if turn % 2:
                their = other.ask(theirs)["seconds"]
                pairs.append((seconds(ours), their))
            else:
                our = seconds(ours)
                pairs.append((our, other.ask(theirs)["seconds"]))
    except Exception as error:  # what failed stands in the table, the others go on
        return {**row, "status": f"failed: {type(error).__name__}: {str(error)[:200]}"}
    per_row = [(our / row["rows"], their / row["peer_rows"]) for our, their in pairs]
    our, their = (statistics.median(values) for values in zip(*per_row, strict=True))
    ratios = [t / o for o, t in per_row]
    aim = AIMS.get(setting.method) if setting.operator == "sort" else None
    return {
        **row,
        "us_per_row": 1e6 * our,
        "peer_us_per_row": 1e6 * their,
        "ratio": their / our,
        "ratio_range": [min(ratios), max(ratios)],
        "aim": aim,
        "met": None if aim is None else their / our >= aim,
    }


# --- memory -------------------------------------------------------------------------------------------------------

LONG: dict[str, Callable[[Tensor, str], Tensor]] = {
    "argmax": lambda x, method: soft.argmax(x, dim=-1, method=method),
    "quantile": lambda x, method: soft.quantile(x, 0.3, dim=-1, method=method),
    "topk": lambda x, method: soft.topk(x, 8, dim=-1, method=method).values,
    "sort": lambda x, method: soft.sort(x, dim=-1, method=method, return_indices=False).values,
}


def peak(operator: str, method: str, length: int) -> dict[str, float]:
    """What a call forward and backward adds to the peak of this process's memory [MB], and its time [s]."""
    torch.set_num_threads(THREADS)

    def call(n: int) -> None:
        x = numbers(n).requires_grad_()
        torch.autograd.grad(LONG[operator](x, method).square().sum(), x)

    call(64)  # what torch loads at first use is not the operator's
    # The peak that `getrusage` tells is that of the process which started this one, if it was larger.
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    start = time.perf_counter()
    call(length)
    used = time.perf_counter() - start
    return {"mb": (_resident("VmHWM") - before) / 1024, "seconds": used}


def _resident(field: str) -> int:
    """Return a field of this process's status. [kB]"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def run_memory(lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Peak memory of every case in a process of its own."""
    rows = []
    for operator in LONG:
        for method in ("softsort", "neuralsort"):
            for length in lengths:
                print(f"memory {operator} {method} {length}", file=sys.stderr, flush=True)
                command = [sys.executable, "-m", "benchmarks.soft", "--peak", operator, method, str(length)]
                row: dict[str, Any] = {"operator": operator, "method": method, "n": length}
                answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
                if answer.returncode:
                    message = answer.stderr.strip().splitlines()[-1:] or [f"status {answer.returncode}"]
                    rows.append({**row, "status": f"failed: {message[0][:200]}"})
                else:
                    rows.append({**row, **json.loads(answer.stdout), "matrix_mb": 4 * length**2 / 2**20})
    return rows


# --- the run ------------------------------------------------------------------------------------------------------

PARTS = ("elementwise", "compiled", "axis", "memory")


def main() -> int:
    """Command line; returns 1 where something failed."""
    operators = [*elementwise(), "logical_and", "where"]
    parser = argparse.ArgumentParser(description="Run the benchmarks of the soft operators; rules in README.md.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--operators", nargs="+", choices=[*operators, *AXIS_OPERATORS], help="only these operators")
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS), help="of the axes, for the memory")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "soft")
    parser.add_argument("--peak", nargs=3, metavar=("OPERATOR", "METHOD", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps(peak(options.peak[0], options.peak[1], int(options.peak[2]))))
        return 0
    torch.set_num_threads(THREADS)
    facts = machine.describe()
    document: dict[str, Any] = {
        "date": dt.date.today().isoformat(),
        "machine": facts,
        "versions": own_versions(),
        "threads": THREADS,
        "repeats": options.repeats,
        "elements": ELEMENTS,
        "shape": [ROWS, LENGTH],
        "parts": {},
    }
    parts = document["parts"]
    chosen = [name for name in operators if options.operators is None or name in options.operators]
    along = [name for name in AXIS_OPERATORS if options.operators is None or name in options.operators]
    for part in options.parts:
        if part == "axis":
            try:
                parts[part] = run_axis(along, options.repeats)
            except Unavailable as reason:
                parts[part] = {"status": f"not run: {reason}"}
        elif part == "memory":
            parts[part] = run_memory(options.lengths)
        else:
            parts[part] = run_elementwise(chosen, options.repeats, part == "compiled")
    options.out.mkdir(parents=True, exist_ok=True)
    stem = f"{document['date']}-{machine.slug(facts)}"
    if options.operators or set(options.parts) != set(PARTS) or options.lengths != list(LENGTHS):
        stem += "-partial"  # must not take the place of the full run of the same day
    (options.out / f"{stem}.json").write_text(json.dumps(document, indent=1) + "\n")
    table = to_markdown(document)
    (options.out / f"{stem}.md").write_text(table)
    print(table)
    return int('"failed: ' in json.dumps(document))


if __name__ == "__main__":
    raise SystemExit(main())
