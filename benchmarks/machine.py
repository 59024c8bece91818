"""Which machine a result was measured on. Standard library only: peers' programs use it too."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

#: Set before torch is loaded: the pools of OpenMP and MKL are sized at their first use.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def cpu_model() -> str:
    """Return the processor's name as the system gives it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def gpu_name() -> str | None:
    """Return the names of the NVIDIA GPUs, or None where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    answer = subprocess.run(
        [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return ", ".join(names) if answer.returncode == 0 and names else None


def describe() -> dict[str, Any]:
    """Return what a reader needs to judge a timing: processor, cores, load, system, GPU.

    The host's name is left out: a result is committed, and the name says nothing about speed.
    """
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": gpu_name(),
    }


def slug(facts: dict[str, Any]) -> str:
    """Return a short name of a machine, fit for a file name: ``amd-epyc-2core``."""
    name = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*", " ", str(facts["gpu"] or facts["cpu"]).lower())
    return f"{re.sub(r'[^a-z0-9]+', '-', name).strip('-')}-{facts['cores']}core"
