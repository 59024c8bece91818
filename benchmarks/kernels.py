"""Speed of season kernels, in one run: ``python -m benchmarks.kernels``; the rules are in README.md.

Times are least processor times of one thread on one core; what is compared takes turns.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.contenders import REPOSITORY
from benchmarks.run import own_versions

# Before torch is loaded: its thread pools are sized at first use.
os.environ.update(machine.ONE_THREAD)

import torch

from benchmarks import kernels_against, kernels_alone
from benchmarks.kernels_against import FULL, QUICK, Extent
from benchmarks.kernels_cases import DAYS, LATE
from benchmarks.kernels_report import Row, to_markdown
from benchmarks.kernels_timing import pinned
from torchcrop.kernels.native import machine as target

PARTS = {**kernels_against.PARTS, **kernels_alone.PARTS}
#: Processes of their own choose their core, or cores, themselves.
UNPINNED = ("threads", "compile", "memory")


def measured(name: str, extent: Extent) -> dict[str, Any]:
    """Return a part of the document."""
    title, text, part = PARTS[name]
    print(f"{name}: {title}", file=sys.stderr, flush=True)
    begin = time.perf_counter()
    rows = _rows(part, extent, pin=name not in UNPINNED)
    taken = time.perf_counter() - begin
    return {"name": name, "title": title, "text": text, "seconds": taken, "rows": [row.as_dict() for row in rows]}


def _rows(part: Callable[[Extent], list[Row]], extent: Extent, pin: bool) -> list[Row]:
    try:
        if not pin:
            return part(extent)
        with pinned():
            return part(extent)
    except Exception as error:  # what failed stands in the results, the other parts go on
        return [Row("all", "", None, status=f"failed: {type(error).__name__}: {str(error)[:300]}")]


def main() -> int:
    """Command line; returns 1 where a part failed."""
    parser = argparse.ArgumentParser(description="Measure season kernels; the rules are in benchmarks/README.md.")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="only these parts")
    parser.add_argument("--quick", action="store_true", help="small batches, one round: whether all runs, not how fast")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "kernels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts, here = machine.describe(), target()
    document: dict[str, Any] = {
        "date": dt.date.today().isoformat(),
        "machine": facts,
        "target": f"{here.cpu}, vectors of {here.vector_bytes} bytes",
        "versions": own_versions(),
        "quick": options.quick,
        "remarks": [
            f"LINTUL5, where nothing else is said: maize, Greeley 2023, fully irrigated, at npk also fertilised; TSUM1 "
            f"and TSUM2 are {LATE} times those of the crop file, so that all {DAYS} days are simulated",
            "eight crop parameters differ between simulations, and have a gradient where one is taken",
            *(["a quick run, small batches and one round: its figures are no results"] if options.quick else []),
        ],
        "parts": [],
    }
    extent = QUICK if options.quick else FULL
    document["parts"] = [measured(name, extent) for name in PARTS if name in options.only]
    options.out.mkdir(parents=True, exist_ok=True)
    stem = f"{document['date']}-{machine.slug(facts)}"
    # Neither must take the place of the full run of the same day.
    stem += "-quick" if options.quick else "-partial" if len(document["parts"]) < len(PARTS) else ""
    (options.out / f"{stem}.json").write_text(json.dumps(document, indent=1) + "\n")
    table = to_markdown(document)
    (options.out / f"{stem}.md").write_text(table)
    print(table)
    return int(any(row["status"].startswith("failed") for part in document["parts"] for row in part["rows"]))


if __name__ == "__main__":
    raise SystemExit(main())
