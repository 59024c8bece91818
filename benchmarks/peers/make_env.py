"""Make the environments in which the peers run.

A peer never shares an environment with us: one has our import name, and the needs of another must not decide which
versions we are measured with. Each gets a virtual environment of its own under ``benchmarks/.envs`` (ignored by git)
and is only ever started through that environment's Python.

Run it as ``python -m benchmarks.peers.make_env [PEER ...] [--force]``; an environment that is already right is left as
it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

#: All programs run on this torch, so that a ratio compares the programs and not two releases of torch.
TORCH_VERSION = "2.13.0"

PYTHON = "3.11"

ENVIRONMENTS = Path(__file__).resolve().parents[1] / ".envs"


@dataclasses.dataclass(frozen=True)
class Environment:
    """A peer and what it needs.

    Attributes
    ----------
    peer, version : str
        The package on the index; it is installed without its dependencies, because its ``torch>=...`` would let pip
        replace the pinned torch by a newer one.
    needs : tuple of str
        Its run-time needs beside torch, pinned.
    any_python : bool
        The package asks for a newer Python than ours but runs on ours.
    """

    peer: str
    version: str
    needs: tuple[str, ...]
    any_python: bool = False

    @property
    def name(self) -> str:
        """Name in tables and results."""
        return f"{self.peer} {self.version}"

    @property
    def folder(self) -> Path:
        """Folder of the virtual environment."""
        return ENVIRONMENTS / f"{self.peer}-{self.version}"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def pins(self) -> dict[str, str]:
        """Version of each package that is compared or decides how fast the peer is."""
        return {
            "torch": TORCH_VERSION,
            self.peer: self.version,
            **dict(need.split("==") for need in self.needs),
        }

    def installed(self) -> dict[str, str] | None:
        """Versions of python and of `pins` that the environment holds; None where it is absent or incomplete."""
        if not self.python.exists():
            return None
        # Asked of the environment itself and in isolated mode (-I): neither PYTHONPATH nor the working directory,
        # where OUR package of the same name may lie, may answer in the peer's place.
        question = (
            "import importlib.metadata as m, json, platform; "
            f"print(json.dumps({{'python': platform.python_version(), **{{n: m.version(n) for n in {[*self.pins]}}}}}))"
        )
        answer = subprocess.run([str(self.python), "-I", "-c", question], capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            return None
        facts: dict[str, str] = json.loads(answer.stdout)
        return facts

    def is_right(self, facts: dict[str, str] | None) -> bool:
        """Tell whether these versions are the pinned ones."""
        # A local wheel calls itself "2.13.0+cpu": the public part of the version is what counts.
        return (
            facts is not None
            and facts["python"].startswith(f"{PYTHON}.")
            and all(facts[package].split("+")[0] == version for package, version in self.pins.items())
        )


TORCHCROP = Environment("torchcrop", "1.1.1", ("numpy==2.4.6", "pyyaml==6.0.3"))
SOFTTORCH = Environment(
    "softtorch", "0.1.1", ("numpy==2.4.6", "numba==0.68.1", "POT==0.9.7.post1", "torchopt==0.7.3"), any_python=True
)

#: By the name of the peer.
PEERS = {environment.peer: environment for environment in (TORCHCROP, SOFTTORCH)}


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
        raise RuntimeError(f"the peers' environments need python{PYTHON}: install it, or put it on PATH")
    return found


def make_env(environment: Environment, *, force: bool = False) -> dict[str, str]:
    """Make a peer's environment, unless it is already there and right.

    Parameters
    ----------
    environment : Environment
        The peer and its needs.
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
    facts = environment.installed()
    if facts is not None and environment.is_right(facts) and not force:
        return facts
    if environment.folder.exists():
        shutil.rmtree(environment.folder)
    subprocess.run([find_python(), "-m", "venv", str(environment.folder)], check=True)

    def install(*what: str) -> None:
        # stdout is left to the caller's own output; pip's progress is a message and goes to stderr.
        command = [str(environment.python), "-m", "pip", "install", "--quiet", *what]
        subprocess.run(command, check=True, stdout=sys.stderr)

    install(f"torch=={TORCH_VERSION}")
    install(*environment.needs)
    any_python = ["--ignore-requires-python"] if environment.any_python else []
    install("--no-deps", *any_python, f"{environment.peer}=={environment.version}")
    facts = environment.installed()
    if facts is None or not environment.is_right(facts):
        raise RuntimeError(f"{environment.folder} holds {facts}; expected python {PYTHON} and {environment.pins}")
    return facts


def main() -> None:
    """Command line: make the environments and print what they hold."""
    parser = argparse.ArgumentParser(description="Make the environments of the peers.")
    parser.add_argument("peer", nargs="*", help=f"of {', '.join(PEERS)}; default: all")
    parser.add_argument("--force", action="store_true", help="make them anew even if they are right")
    options = parser.parse_args()
    unknown = set(options.peer) - set(PEERS)
    if unknown:
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    for peer in options.peer or PEERS:
        facts = make_env(PEERS[peer], force=options.force)
        print(json.dumps({"env": str(PEERS[peer].folder), **facts}, indent=2))


if __name__ == "__main__":
    main()
