"""Time the peer "SoftTorch 0.1.1": its operators along an axis.

Run by the Python of the peer's own environment (see ``make_env.py``), never by ours. It answers one JSON line for each
JSON line on its standard input, so that ``benchmarks.soft`` can take turns between it and us, call by call.

A request is a setting of ``soft_calls.Axis``; with ``limit`` [s] the answer says how many rows fit into that time,
without it how long one call takes.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import importlib.metadata
import json
import platform
import sys
from pathlib import Path

import torch

VERSION = "0.1.1"
REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Serve until the standard input ends; the one argument is the number of threads."""
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    if importlib.metadata.version("softtorch") != VERSION:
        raise SystemExit(f"softtorch is {importlib.metadata.version('softtorch')}; expected {VERSION}")
    peer = importlib.import_module("softtorch")
    # Appended, hence searched after the environment's own packages, and only once the peer is loaded.
    sys.path.append(str(REPOSITORY))
    calls = importlib.import_module("benchmarks.soft_calls")
    packages = ("softtorch", "torch", "numba", "POT", "torchopt")
    versions = {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}}
    print(json.dumps({"versions": versions, "threads": torch.get_num_threads()}), flush=True)
    prepared = None
    for line in sys.stdin:
        request = json.loads(line)
        limit = request.pop("limit", None)
        setting = calls.Axis(**request)
        try:
            if limit is not None:
                answer = {"rows": calls.fitting_rows(peer, setting, limit)}
            else:
                if prepared is None or prepared[0] != setting:
                    prepared = (setting, calls.axis_call(peer, setting))
                gc.collect()
                answer = {"seconds": calls.seconds(prepared[1])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}", "setting": dataclasses.asdict(setting)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
