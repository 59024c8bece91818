"""Contenders: a program that can be asked for one measurement at a time, in this process or in its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.clock import Call, Sample, Season, Setting, measure
from benchmarks.machine import ONE_THREAD

REPOSITORY = Path(__file__).resolve().parents[1]


class Unavailable(Exception):
    """A contender cannot run here; the text says why and what would help. It is reported, not hidden."""


class Session(Protocol):
    """A contender that has started."""

    facts: dict[str, Any]

    def sample(self, setting: Setting, number: int) -> Sample:
        """Return one measurement, the mean of `number` calls."""
        ...


class Contender(Protocol):
    """A program that takes part, by the name that tables give it."""

    @property
    def name(self) -> str:
        """Name in tables and results."""
        ...

    def open(self, season: Season) -> Any:
        """Return a context manager that yields a `Session`; may raise `Unavailable`."""
        ...


class _OwnSession:
    """One of our own cases, in this process."""

    def __init__(self, case: Callable[[int, bool, str, str, Season], Call], season: Season) -> None:
        self.facts: dict[str, Any] = {}
        self._case = case
        self._season = season
        self._current: tuple[Setting, Call] | None = None

    def sample(self, setting: Setting, number: int) -> Sample:
        """Prepare the case where the setting is new, outside the clock, and measure it."""
        if self._current is None or self._current[0] != setting:
            self._current = None
            try:
                call = self._case(setting.batch, setting.backward, setting.dtype, setting.switches, self._season)
            except NotImplementedError as error:
                raise Unavailable(str(error) or "not implemented") from error
            self._current = (setting, call)
        return measure(self._current[1], number)


@dataclasses.dataclass(frozen=True)
class Own:
    """One of our own cases.

    Attributes
    ----------
    name : str
        Name in tables and results.
    case : callable
        ``case(B, backward, dtype, switches, season)`` prepares everything outside the clock and returns the
        call that is timed; ``NotImplementedError`` says that there is no such case yet.
    """

    name: str
    case: Callable[[int, bool, str, str, Season], Call]

    @contextmanager
    def open(self, season: Season) -> Iterator[Session]:
        """Yield a session in this process."""
        yield _OwnSession(self.case, season)


class _PeerSession:
    """A peer's program that waits for requests on its standard input."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self._process = process
        self._name = name
        self.facts = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with status {self._process.wait()}; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def sample(self, setting: Setting, number: int) -> Sample:
        """Ask the peer for one measurement and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"setting": dataclasses.asdict(setting), "number": number}) + "\n")
        self._process.stdin.flush()
        return Sample(**self._answer())


@dataclasses.dataclass(frozen=True)
class Peer:
    """A peer's program, run by the Python of the peer's own environment.

    Attributes
    ----------
    name : str
        Name in tables and results.
    python : Path
        Interpreter of that environment.
    program : Path
        Script with the option ``--serve``, such as ``peers/torchcrop_111.py``.
    make : str
        Command that makes the environment, named where it is absent.
    """

    name: str
    python: Path
    program: Path
    make: str

    @contextmanager
    def open(self, season: Season) -> Iterator[Session]:
        """Yield a session with the peer's process, which ends with it."""
        if not self.python.exists():
            raise Unavailable(f"no environment: make it with `{self.make}`")
        options = [
            f"--{field.name}={value}"
            for field in dataclasses.fields(season)
            if (value := getattr(season, field.name)) is not None
        ]
        # -I: neither PYTHONPATH nor the working directory, where our package of the same name lies, may
        # answer in the peer's place.
        process = subprocess.Popen(
            [str(self.python), "-I", str(self.program), "--serve", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, **ONE_THREAD},
        )
        with process:
            try:
                yield _PeerSession(process, self.name)
            except BaseException:
                process.kill()
                raise
