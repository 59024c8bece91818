"""Make the environment in which the peer "torchcrop 1.1.1" runs.

The peer has our import name, so it can never share an environment with us: it gets a virtual environment of
its own under ``benchmarks/.envs`` (ignored by git) and is only ever started through that environment's
Python.

Run it as ``python -m benchmarks.peers.make_env [--force]``; an environment that is already right is left as
it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PEER = "torchcrop"
VERSION = "1.1.1"

#: Both programs run on this torch, so that a ratio compares the two models and not two releases of torch.
TORCH_VERSION = "2.13.0"

#: The peer's run-time needs beside torch, pinned: the peer itself is installed without its dependencies,
#: because its ``torch>=2.0`` would let pip replace the pinned torch by a newer one.
NEEDS = ("numpy==2.4.6", "pyyaml==6.0.3")

PYTHON = "3.11"

ENV = Path(__file__).resolve().parents[1] / ".envs" / f"{PEER}-{VERSION}"

# Asked of the environment itself and in isolated mode (-I): neither PYTHONPATH nor the working directory,
# where OUR package of the same name lies, may answer in the peer's place.
_FACTS = f"""
import importlib.metadata as m, json, platform
names = ("torch", "{PEER}", "numpy", "pyyaml")
print(json.dumps({{"python": platform.python_version(), **{{n: m.version(n) for n in names}}}}))
"""


def env_python(env: Path = ENV) -> Path:
    """Return the path of the environment's Python interpreter."""
    if os.name == "nt":
        return env / "Scripts" / "python.exe"
    return env / "bin" / "python"


def installed(env: Path = ENV) -> dict[str, str] | None:
    """Return the versions that an environment holds.

    Parameters
    ----------
    env : Path
        Folder of the virtual environment.

    Returns
    -------
    dict of str to str, or None
        Versions of python, torch, the peer, numpy and pyyaml; None where the environment is absent or
        incomplete.
    """
    python = env_python(env)
    if not python.exists():
        return None
    answer = subprocess.run([str(python), "-I", "-c", _FACTS], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return None
    facts: dict[str, str] = json.loads(answer.stdout)
    return facts


def is_right(facts: dict[str, str] | None) -> bool:
    """Tell whether an environment holds the pinned python, torch and peer."""
    if facts is None:
        return False
    # A local wheel calls itself "2.13.0+cpu": the public part of the version is what counts.
    torch_release = facts["torch"].split("+")[0]
    return (
        facts["python"].startswith(f"{PYTHON}.")
        and torch_release == TORCH_VERSION
        and facts[PEER] == VERSION
        and all(facts[name] == version for name, version in (need.split("==") for need in NEEDS))
    )


def find_python() -> str:
    """Return a Python of the pinned minor version, this process's own where it fits.

    Raises
    ------
    RuntimeError
        If no such Python is on the path.
    """
    if "{}.{}".format(*sys.version_info[:2]) == PYTHON:
        return sys.executable
    found = shutil.which(f"python{PYTHON}")
    if found is None:
        raise RuntimeError(f"the peer's environment needs python{PYTHON}: install it, or put it on PATH")
    return found


def make_env(env: Path = ENV, *, force: bool = False) -> dict[str, str]:
    """Make the peer's environment, unless it is already there and right.

    Parameters
    ----------
    env : Path
        Folder of the virtual environment.
    force : bool
        Make it anew in any case.

    Returns
    -------
    dict of str to str
        The versions installed.

    Raises
    ------
    RuntimeError
        If Python is missing, or the finished environment does not hold the pinned versions.
    subprocess.CalledProcessError
        If an installation step fails.
    """
    facts = installed(env)
    if facts is not None and is_right(facts) and not force:
        return facts
    if env.exists():
        shutil.rmtree(env)
    subprocess.run([find_python(), "-m", "venv", str(env)], check=True)

    def install(*what: str) -> None:
        # stdout is left to the caller's own output; pip's progress is a message and goes to stderr.
        subprocess.run([str(env_python(env)), "-m", "pip", "install", "--quiet", *what], check=True, stdout=sys.stderr)

    install(f"torch=={TORCH_VERSION}")
    install(*NEEDS)
    install("--no-deps", f"{PEER}=={VERSION}")
    facts = installed(env)
    if facts is None or not is_right(facts):
        raise RuntimeError(
            f"{env} holds {facts}; expected python {PYTHON}, torch {TORCH_VERSION}, {PEER} {VERSION}, "
            f"{', '.join(NEEDS)}"
        )
    return facts


def main() -> None:
    """Command line: make the environment and print what it holds."""
    parser = argparse.ArgumentParser(description=f'Make the environment of the peer "{PEER} {VERSION}".')
    parser.add_argument("--force", action="store_true", help="make it anew even if it is right")
    facts = make_env(force=parser.parse_args().force)
    print(json.dumps({"env": str(ENV), **facts}, indent=2))


if __name__ == "__main__":
    main()
