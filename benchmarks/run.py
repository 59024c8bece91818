"""Run the registered benchmarks in one process and write results and tables.

``python -m benchmarks.run [--only lintul5_water] [--out benchmarks/results]``; the rules are in README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import fnmatch
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.cases import BENCHMARKS, Benchmark
from benchmarks.clock import Sample, Season, Setting, calls_for, summary
from benchmarks.contenders import REPOSITORY, Session, Unavailable
from benchmarks.report import to_markdown

#: Where the default season's weather may lie: shipped with the repository, or in the material beside it.
WEATHER_PLACES = (
    REPOSITORY / "weather" / "central_iowa_1990_2020.csv",
    REPOSITORY.parent / "shared" / "weather-iowa" / "central_iowa_1990_2020.csv",
)

#: That file has no wind: the figure is asked for here and stands in every result.
WEATHER_WIND = 2.0

#: A measurement shorter than this is repeated inside the clock until it is not. [s]
SHORTEST = 0.2


def default_season() -> Season:
    """Return the season of maize in central Iowa, 2001.

    Raises
    ------
    FileNotFoundError
        If the weather is in none of the known places.
    """
    for path in WEATHER_PLACES:
        if path.exists():
            return Season(weather=str(path), wind=WEATHER_WIND)
    raise FileNotFoundError(f"no weather in {' or '.join(map(str, WEATHER_PLACES))}: pass --weather")


def time_setting(
    sessions: dict[str, Session], setting: Setting, season: Season, reference: str, warmup: int, repeats: int
) -> dict[str, Any]:
    """Time one setting, all contenders in turns.

    Turns rather than blocks, and the order reversed every round: what else the machine does then falls on
    everyone.

    Returns
    -------
    dict of str to dict
        Per contender its summary with ``ratio``, the reference's median over its own, and ``ratio_range``
        over the rounds; or a ``status`` that says why there is none.
    """
    results: dict[str, Any] = {}
    number: dict[str, int] = {}
    rounds: dict[str, list[Sample]] = {}

    def attempt(name: str, calls: int) -> Sample | None:
        """Return a measurement, or None where the contender drops out; the others go on."""
        try:
            return sessions[name].sample(setting, calls)
        except Unavailable as reason:
            results[name] = {"status": f"not run: {reason}"}
        except Exception as error:
            results[name] = {"status": f"failed: {type(error).__name__}: {error}"}
        rounds.pop(name, None)
        return None

    for name in sessions:
        for _ in range(warmup):
            sample = attempt(name, 1)
            if sample is None:
                break
            number[name] = calls_for(sample, SHORTEST)
            rounds[name] = []
    for turn in range(repeats):
        for name in sorted(rounds, key=list(sessions).index, reverse=turn % 2 == 1):
            sample = attempt(name, number[name])
            if sample is not None:
                rounds[name].append(sample)
    for name, samples in rounds.items():
        results[name] = summary(samples, season.days, setting.batch)
        if reference in rounds:
            theirs = [sample.wall_s for sample in rounds[reference]]
            ours = [sample.wall_s for sample in samples]
            pairs = [their / our for their, our in zip(theirs, ours, strict=True)]
            results[name]["ratio"] = statistics.median(theirs) / statistics.median(ours)
            results[name]["ratio_range"] = [min(pairs), max(pairs)]
    return {name: results[name] for name in sessions}


def run_benchmark(
    benchmark: Benchmark, season: Season, settings: Sequence[Setting], warmup: int, repeats: int
) -> dict[str, Any]:
    """Run one benchmark and return its part of the document."""
    entries: list[dict[str, Any]] = []
    absent: dict[str, Any] = {}
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for contender in benchmark.contenders:
            try:
                sessions[contender.name] = stack.enter_context(contender.open(season))
            except Unavailable as reason:
                absent[contender.name] = {"status": f"not run: {reason}"}
            except Exception as error:
                absent[contender.name] = {"status": f"failed: {type(error).__name__}: {error}"}
        for setting in settings:
            print(f"{benchmark.name}: {setting.label}", file=sys.stderr, flush=True)
            timed = time_setting(sessions, setting, season, benchmark.reference, warmup, repeats)
            entries.append({"setting": dataclasses.asdict(setting), "contenders": {**timed, **absent}})
        facts = {name: session.facts for name, session in sessions.items()}
    # Only the file's name: where it lies on this machine is nobody's business.
    shown = {**dataclasses.asdict(season), "weather": Path(season.weather).name}
    return {
        "name": benchmark.name,
        "title": benchmark.title,
        "reference": benchmark.reference,
        "season": shown,
        "contenders": facts,
        "settings": entries,
    }


def own_versions() -> dict[str, str | None]:
    """Return the commit and the versions that our own cases run with."""

    def git(*what: str) -> str | None:
        answer = subprocess.run(["git", *what], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD")
    if commit is not None and git("status", "--porcelain", "--untracked-files=no"):
        commit += " with local changes"
    try:
        torch_version: str | None = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch_version = None
    return {"commit": commit, "python": platform.python_version(), "torch": torch_version}


def main() -> int:
    """Command line; returns 1 where a contender failed."""
    parser = argparse.ArgumentParser(description="Run the benchmarks; the rules are in benchmarks/README.md.")
    parser.add_argument("--only", action="append", metavar="NAME", help="benchmark to run, * allowed; repeatable")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and stop")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results")
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="+", help="only these batch sizes")
    parser.add_argument("--dtype", nargs="+", help="only these dtypes")
    parser.add_argument("--switches", nargs="+", help="only these switches")
    parser.add_argument("--weather", help="CSV: date,tmin,tmax,srad,rain,wind,vap; default: central Iowa")
    parser.add_argument("--wind", type=float, help="wind [m s-1] for a file without that column")
    parser.add_argument("--start", default="2001-05-05", help="first day, ISO date")
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--name", help="name of this machine in the file name; default: from its processor or GPU")
    options = parser.parse_args()
    if options.warmup < 1 or options.repeats < 1:
        parser.error("--warmup and --repeats must be at least 1: the first call pays for loading")

    chosen = [b for b in BENCHMARKS if any(fnmatch.fnmatch(b.name, pattern) for pattern in options.only or ["*"])]
    if options.list:
        print("\n".join(f"{b.name}: {b.title}" for b in chosen))
        return 0
    if not chosen:
        parser.error(f"--only {options.only} fits none of {', '.join(b.name for b in BENCHMARKS)}")
    if options.weather:
        season = Season(weather=str(Path(options.weather).resolve()), wind=options.wind)
    else:
        season = default_season()
    season = dataclasses.replace(season, start=options.start, days=options.days)

    # Before anything of ours loads torch: its thread pools are sized at first use.
    os.environ.update(machine.ONE_THREAD)
    facts = machine.describe()
    document: dict[str, Any] = {
        "date": dt.date.today().isoformat(),
        "machine": facts,
        "versions": own_versions(),
        "threads": 1,
        "warmup": options.warmup,
        "repeats": options.repeats,
        "benchmarks": [],
    }
    for benchmark in chosen:
        settings = [
            setting
            for setting in benchmark.settings
            if (options.batch is None or setting.batch in options.batch)
            and (options.dtype is None or setting.dtype in options.dtype)
            and (options.switches is None or setting.switches in options.switches)
        ]
        document["benchmarks"].append(run_benchmark(benchmark, season, settings, options.warmup, options.repeats))

    options.out.mkdir(parents=True, exist_ok=True)
    stem = f"{document['date']}-{options.name or machine.slug(facts)}"
    if options.only or options.batch or options.dtype or options.switches:
        stem += "-partial"  # must not take the place of the full run of the same day
    (options.out / f"{stem}.json").write_text(json.dumps(document, indent=1) + "\n")
    table = to_markdown(document)
    (options.out / f"{stem}.md").write_text(table)
    print(table)
    return int('"failed: ' in json.dumps(document))


if __name__ == "__main__":
    raise SystemExit(main())
