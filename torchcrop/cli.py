"""The command ``torchcrop``: simulate, calibrate, and look at what is there, without writing Python.

Exit codes: 0 all went well; 1 the data or the run has a problem; 2 the command line is wrong. Errors are one line on
stderr; ``--debug`` shows where they came from.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch

import torchcrop as tc
from torchcrop.calibration.parameters import free_parameters
from torchcrop.inputs.experiments import Experiment, check_experiment, load_experiment
from torchcrop.inputs.parameter_checks import RECORDS
from torchcrop.inputs.parameters import ParameterError, load_crop, save_parameters
from torchcrop.inputs.provenance import provenance_of
from torchcrop.inputs.shipped import data_path, names
from torchcrop.inputs.yaml_files import looks_like_path, read_yaml
from torchcrop.models.model import Model, Observable
from torchcrop.plotting import plot_run
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import Record, nearest
from torchcrop.simulation.observed import first_day, labels_of, pair
from torchcrop.simulation.run import Run, find_output
from torchcrop.simulation.seasons import Season

__all__ = ["main"]

MODELS: dict[str, type[Model]] = {
    "lintul1": tc.Lintul1,
    "lintul2": tc.Lintul2,
    "lintul3": tc.Lintul3,
    "lintul5": tc.Lintul5,
}
SWITCHES: dict[str, type[Any]] = {"hard": tc.Hard, "smooth": tc.Smooth, "straight-through": tc.StraightThrough}

# tsum1, tsum1=500:1100, slatb*=0.5:2, fotb[1.0]=0:1
_FREE = re.compile(r"^(?P<name>[^=\[]+(?:\[[^\]]*\])?)(?:=(?P<low>[^:]+):(?P<high>.+))?$")
_REDUCTION = re.compile(r"^(?:max|min|sum)\((\w+)\)$")
# Final states that are printed: matter, water, depth. All others are in summary.csv.
_PRINTED_UNITS = ("g m-2", "mm", "m")
_WIDTH = 110


class UsageError(Exception):
    """The command line asks for something that does not exist or does not make sense."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default: those of the process.

    Returns
    -------
    int
        0 all went well, 1 the data or the run has a problem, 2 the command line is wrong.
    """
    debug = False
    torch.set_num_threads(1)  # a few seasons at a time: threads would only wait for each other
    try:
        arguments = _parser().parse_args(argv)
        debug = arguments.debug
        return int(arguments.command(arguments))
    except SystemExit as stop:  # --help, --version
        return int(stop.code or 0)
    except BrokenPipeError:  # `torchcrop crops | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except UsageError as error:
        if debug:
            raise
        return _fail(str(error), 2)
    except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        if debug:
            raise
        return _fail(_one_line(error), 1)


def _fail(message: str, code: int) -> int:
    print(f"torchcrop: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    problems: Sequence[str] = getattr(error, "problems", ())
    where = getattr(error, "file", "") or getattr(error, "title", "")
    if where and len(problems) == 1:
        return f"{where}: {problems[0]}"
    if where and problems:
        return f"{where} has {len(problems)} problems; the first: {problems[0]} (torchcrop check lists all)"
    text = str(error).strip()
    if isinstance(error, KeyError):  # whose text is its argument in quotes
        text = " ".join(str(argument) for argument in error.args)
    return text or type(error).__name__


# --- arguments ------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations, and whose errors end `main` as every other error does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def _parser() -> _Parser:
    parser = _Parser(
        prog="torchcrop",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Differentiable, batched crop models: simulate and calibrate field experiments.",
        epilog=(
            "examples:\n"
            "  torchcrop crops\n"
            "  torchcrop check maize_lirf_2023\n"
            "  torchcrop simulate maize_lirf_2023 --crop maize --out out/maize\n"
            "  torchcrop calibrate maize_lirf_2023 --crop maize --free tsum1=500:1100 --free rgrlai=0.005:0.05\n\n"
            "exit codes: 0 all went well; 1 the data or the run has a problem; 2 the command line is wrong"
        ),
    )
    parser.add_argument("--version", action="version", version=f"torchcrop {tc.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the Python traceback of an error")
    for add in (_add_simulate, _add_calibrate, _add_crops, _add_check, _add_import):
        add(commands, common)
    return parser


def _command(commands: Any, common: _Parser, name: str, run: Any, summary: str, text: str, example: str) -> _Parser:
    parser = commands.add_parser(
        name,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help=summary,
        description=text,
        epilog=f"example:\n  {example}",
    )
    parser.set_defaults(command=run)
    return parser


def _add_simulate(commands: Any, common: _Parser) -> None:
    parser = _command(
        commands,
        common,
        "simulate",
        _simulate,
        "simulate an experiment",
        "Simulate all treatments of an experiment. Prints dates of development, the last states, and how\n"
        "far the run is from the observations.",
        "torchcrop simulate maize_lirf_2023 --crop maize --level water --set tsum1=800 --out out/maize",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help="name of an experiment that ships, or a folder")
    _add_model(parser)
    parser.add_argument(
        "--switches",
        metavar="KIND",
        default="hard",
        help="treatment of thresholds: hard as the original programs (default), smooth, straight-through",
    )
    parser.add_argument(
        "--softness", type=float, metavar="NUMBER", help="of smooth and straight-through switches [-]; default 0.1"
    )
    parser.add_argument(
        "--outputs",
        type=_listed,
        metavar="NAMES",
        help="what to keep and draw for every day, such as lai,wso; default: everything is kept, the usual is drawn",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for run.nc, summary.csv and run.png")


def _add_calibrate(commands: Any, common: _Parser) -> None:
    parser = _command(
        commands,
        common,
        "calibrate",
        _calibrate,
        "fit parameters to the observations of experiments",
        "Fit parameters to all observations of one or several experiments, by gradients, from many starts at once.\n"
        "Prints the fitted values and the errors before and after.",
        "torchcrop calibrate maize_lirf_2023 --crop maize --free tsum1=500:1100 --free rgrlai=0.005:0.05 \\\n"
        "      --starts 32 --out out/fit",
    )
    parser.add_argument(
        "experiments", nargs="+", metavar="EXPERIMENT", help="names of experiments that ship, or folders"
    )
    _add_model(parser)
    parser.add_argument(
        "--free",
        type=_bounded,
        action="append",
        required=True,
        metavar="NAME[=LOW:HIGH]",
        help="a parameter to fit and its bounds (default: the crop file's); may be repeated. By FST symbol or name: "
        "tsum1, soil.smfc; slatb* is a factor on a table, fotb[1.0] its value at 1.0",
    )
    parser.add_argument(
        "--variables", type=_listed, metavar="NAMES", help="observed variables to fit; default: all that are observed"
    )
    parser.add_argument("--starts", type=_count, metavar="N", help="number of starting points")
    parser.add_argument(
        "--softness", type=float, default=0.1, metavar="NUMBER", help="of the switches [-]; default 0.1"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the fitted crop (yaml), summary.txt, tables and fit.png"
    )


def _add_model(parser: _Parser) -> None:
    parser.add_argument(
        "--crop",
        metavar="CROP",
        help="name of a crop that ships (torchcrop crops), or a file; default: the experiment's",
    )
    parser.add_argument(
        "--model", metavar="MODEL", help=f"{', '.join(MODELS)}; default: the model that the crop is for"
    )
    parser.add_argument("--level", metavar="LEVEL", help="production level of LINTUL5: potential, water, nitrogen, npk")
    parser.add_argument(
        "--set",
        type=_assigned,
        nargs="+",
        action="extend",
        default=[],
        dest="assigned",
        metavar="NAME=VALUE",
        help="values of the crop in place of the file's, by FST symbol or name, in the units of torchcrop",
    )


def _add_crops(commands: Any, common: _Parser) -> None:
    parser = _command(
        commands,
        common,
        "crops",
        _crops,
        "list the crops that ship",
        "List the crops that ship, with the model that each is made for.",
        "torchcrop crops --json",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def _add_check(commands: Any, common: _Parser) -> None:
    parser = _command(
        commands,
        common,
        "check",
        _check,
        "check the folder of an experiment",
        "Check the folder of an experiment: all its problems at once, or what was found in it.",
        "torchcrop check my_experiment/",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help="name of an experiment that ships, or a folder")


def _add_import(commands: Any, common: _Parser) -> None:
    parser = _command(
        commands,
        common,
        "import",
        _import,
        "make a parameter file from files of another program",
        "Make a crop or soil of files of TTUTIL, CABO, Rlintul or PCSE, in the units of torchcrop.",
        "torchcrop import CROPP1.DAT --model lintul5 -o my_wheat.yaml",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files that complement each other")
    parser.add_argument("--model", required=True, metavar="MODEL", help=", ".join(RECORDS["crop"]))
    parser.add_argument("--kind", choices=sorted(RECORDS), default="crop", help="what to make; default: crop")
    parser.add_argument("--variety", metavar="NAME", help="which variety of a YAML crop of PCSE")
    parser.add_argument(
        "--set",
        type=_assigned,
        nargs="+",
        action="extend",
        default=[],
        dest="assigned",
        metavar="NAME=VALUE",
        help="values that the files lack, or in place of theirs, by their names and in their units",
    )
    parser.add_argument(
        "--ignore", type=_listed, default=[], metavar="NAMES", help="names to leave out, separated by commas"
    )
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="FILE", help="parameter file to write (yaml)")


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _assigned(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER, such as tsum1=800") from None


def _bounded(text: str) -> tuple[str, tuple[float, float] | None]:
    match = _FREE.match(text)
    try:
        if match is None:
            raise ValueError
        bounds = None if match["low"] is None else (float(match["low"]), float(match["high"]))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=LOW:HIGH, such as tsum1=500:1100") from None
    if bounds is not None and not bounds[0] < bounds[1]:
        raise argparse.ArgumentTypeError(f"{text!r}: the lower bound must be below the upper")
    return match["name"].strip(), bounds


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


# --- what the arguments name ----------------------------------------------------------------------------


def _find_experiment(name: str) -> str:
    """Name or folder of an experiment that exists."""
    if not looks_like_path(name) and not Path(name).is_dir():
        try:
            data_path("experiments", name)
        except ValueError as error:
            raise UsageError(str(error)) from None
    elif not Path(name).exists():
        raise UsageError(f"there is no folder {name}")
    return name


def _find_crop(arguments: argparse.Namespace, experiments: Sequence[Experiment]) -> Record:
    name = arguments.crop
    if name is None:
        name = str(experiments[0].attributes.get("crop", ""))
        if name not in names("crops"):
            raise UsageError(f"{experiments[0].id} does not name a crop that ships: say which with --crop")
    if looks_like_path(name) or Path(name).is_file():
        if not Path(name).is_file():
            raise UsageError(f"there is no file {name}")
    elif name not in names("crops"):
        try:
            data_path("crops", name)
        except ValueError as error:
            raise UsageError(str(error)) from None
    crop = load_crop(name)
    if not arguments.assigned:
        return crop
    known = [s for q in type(crop).quantities().values() for s in q.spellings()]
    for key, _ in arguments.assigned:
        if key.lower() not in known:
            raise UsageError(f"crop {name} has no value {key!r}{nearest(key, known)}")
    try:
        return load_crop(name, dict(arguments.assigned))
    except ValueError as error:
        raise UsageError(f"--set: {'; '.join(getattr(error, 'problems', [str(error)]))}") from error


def _find_model(arguments: argparse.Namespace, crop: Record) -> Model:
    origin = provenance_of(crop)
    name = arguments.model or (origin.model if origin else "")
    if name not in MODELS:
        raise UsageError(f"there is no model {name!r}{nearest(name, MODELS)}; there are {', '.join(MODELS)}")
    kind = MODELS[name]
    needed = kind.Parameters.quantities()["crop"].record
    assert needed is not None
    if not isinstance(crop, needed):
        raise UsageError(f"{kind.name} needs a {needed.__name__}, but the crop is a {type(crop).__name__}")
    if arguments.level is None:
        return kind()
    if "level" not in {field.name for field in dataclasses.fields(kind)}:
        raise UsageError(f"--level: {kind.name} has no levels")
    try:
        return kind(level=arguments.level)  # type: ignore[call-arg]
    except ValueError as error:
        raise UsageError(f"--level: {error}") from None


def _find_switches(arguments: argparse.Namespace) -> tc.Switches:
    name, softness = arguments.switches, arguments.softness
    if name not in SWITCHES:
        raise UsageError(f"there are no switches {name!r}{nearest(name, SWITCHES)}; there are {', '.join(SWITCHES)}")
    if softness is None:
        return SWITCHES[name]()
    if name == "hard":
        raise UsageError("--softness goes with --switches smooth or straight-through; hard switches have none")
    return _softened(SWITCHES[name], softness)


def _softened(kind: type[Any], softness: float) -> Any:
    try:
        return kind(softness=softness)
    except ValueError as error:
        raise UsageError(f"--softness: {error}") from None


def _known_outputs(model: Model, wanted: Iterable[str]) -> list[str]:
    for name in wanted:
        reduction = _REDUCTION.match(name)
        try:
            find_output(model, reduction[1] if reduction else name)
        except (KeyError, ValueError) as error:
            raise UsageError(f"--outputs: {_one_line(error)}") from None
    return list(wanted)


# --- simulate -------------------------------------------------------------------------------------------


def _simulate(arguments: argparse.Namespace) -> int:
    switches = _find_switches(arguments)
    experiment = load_experiment(_find_experiment(arguments.experiment))
    crop = _find_crop(arguments, [experiment])
    model = _find_model(arguments, crop)
    wanted = None if arguments.outputs is None else _known_outputs(model, arguments.outputs)
    observations = experiment.observations
    kept = None if wanted is None else [*wanted, *_needed(model, observations)]
    run = tc.simulate(model, crop, experiment, switches=switches, outputs=kept)

    print(f"{experiment.title}\n{_choices(run, crop)}\n")
    _print_summary(run)
    if observations is not None:
        _print_errors(run, observations)
    if arguments.out is not None:
        drawn = None if wanted is None else [name for name in wanted if not _REDUCTION.match(name)]
        _write_run(run, arguments.out, drawn, observations)
    return 0


def _needed(model: Model, observations: pd.DataFrame | None) -> list[str]:
    """States and outputs from which all observed variables follow."""
    needed: dict[str, None] = {}
    for name in () if observations is None else observations["variable"].unique():
        try:
            known = find_output(model, name)
        except (KeyError, ValueError):  # reported beside the errors
            continue
        needed.update(dict.fromkeys(known.needs if isinstance(known, Observable) else (known.name,)))
    return list(needed)


def _choices(run: Run, crop: Record) -> str:
    origin = provenance_of(crop)
    assert origin is not None  # it was loaded
    level = getattr(run.model, "level", "")
    units = {name: quantity.unit for name, quantity in type(crop).quantities().items()}
    changed = [f"{n} = {e.value} {units[n]}" for n, e in origin.entries.items() if e.changed_by == "user"]
    model = f"{run.model.name}, level {level}" if level else run.model.name
    return "; ".join([model, f"crop {origin.name}", repr(run.switches), *changed])


def _print_summary(run: Run) -> None:
    """Dates, last states and reductions: one row per quantity, one column per simulation."""
    rows = [["run from", "", "date", *(f"{first_day(run, b)}" for b in range(len(run)))]]
    rows.append(["days simulated", "", "d", *(str(int(n)) for n in run.rows)])
    for name, days in run.dates.items():
        rows.append([name, "", "date", *(_date(run, b, float(day)) for b, day in enumerate(days))])
    for name, quantity in type(run.final.record).quantities().items():
        if quantity.symbol and quantity.unit in _PRINTED_UNITS and not name.endswith("_before"):
            rows.append([name, quantity.symbol, quantity.unit, *(_number(float(v)) for v in run.final[name])])
    for name, value in run.reduced.items():
        unit, _ = run.describe(name[name.index("(") + 1 : -1])
        rows.append([name, "", unit, *(_number(float(v)) for v in value)])
    header = ["at the end", "symbol", "unit", *(_sim_name(run, b) for b in range(len(run)))]
    for block in _blocks([header, *rows], fixed=3):
        print(_table(block, left=3), end="\n\n")


def _sim_name(run: Run, sim: int) -> str:
    labels = labels_of(run, sim)
    return labels.get("treatment") or ", ".join(labels.values()) or str(sim)


def _date(run: Run, sim: int, days: float) -> str:
    return "not reached" if math.isnan(days) else str(first_day(run, sim) + timedelta(days=int(days)))


def _print_errors(run: Run, observations: pd.DataFrame) -> None:
    """Errors of every observed variable, how many observations are later than the run, and what was not compared."""
    rows: list[list[str]] = []
    left_out: dict[str, list[str]] = {}
    for name in dict.fromkeys(observations["variable"]):
        try:
            found = pair(run, observations, name)
        except (KeyError, ValueError) as error:
            left_out.setdefault(_one_line(error), []).append(name)
            continue
        both = found.dropna(subset=["observed", "simulated"])
        if both.empty:
            left_out.setdefault("nothing of it was simulated", []).append(name)
            continue
        deviation = both["simulated"] - both["observed"]
        numbers = np.sqrt((deviation**2).mean()), deviation.mean(), both["observed"].mean()
        counts = str(len(both)), str(both["after_end"].sum())
        rows.append([name, str(both["unit"].iloc[0]), *counts, *(_number(float(v)) for v in numbers)])
    if rows:
        print(
            _table([["observed", "unit", "n", "after end", "RMSE", "bias", "mean observed"], *rows], left=2), end="\n\n"
        )
    for reason, variables in left_out.items():
        print(f"not compared: {', '.join(variables)}: {reason}")


def _write_run(run: Run, folder: Path, drawn: Sequence[str] | None, observations: pd.DataFrame | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    written = [run.save(folder / "run.nc"), folder / "summary.csv"]
    units = {name: f"{name} [{run.describe(name)[0]}]" for name in run.final} | {"days": "days [d]"}
    units |= {name: f"{name} [d after start]" for name in run.dates}
    run.summary().rename(columns=units).to_csv(written[1])
    if run.daily and drawn != []:
        written.append(folder / "run.png")
        plot_run(run, drawn, observations=observations).savefig(written[-1])
    _print_written(folder, written)


def _print_written(folder: Path, written: Iterable[Path]) -> None:
    print(f"written to {folder}: {', '.join(path.name for path in written)}")


# --- calibrate ------------------------------------------------------------------------------------------


def _calibrate(arguments: argparse.Namespace) -> int:
    switches = _softened(tc.Smooth, arguments.softness)
    trials = [load_experiment(name) for name in [_find_experiment(name) for name in arguments.experiments]]
    crop = _find_crop(arguments, trials)
    model = _find_model(arguments, crop)
    free = _known_parameters(model, crop, trials, arguments.free)
    variables = None if arguments.variables is None else _known_observed(trials, arguments.variables)
    solver = tc.LBFGS() if arguments.starts is None else tc.LBFGS(starts=arguments.starts)
    fit = tc.calibrate(model, crop, trials, free, solver=solver, switches=switches, variables=variables)
    print(fit.summary())
    if arguments.out is not None:
        _write_fit(fit, crop, arguments.out)
    return 1 if fit.status == "non-finite" else 0


def _known_parameters(
    model: Model, crop: Record, trials: Sequence[Experiment], free: Sequence[tuple[str, Any]]
) -> dict[str, Any]:
    for name, _ in free:
        if [other for other, _ in free].count(name) > 1:
            raise UsageError(f"--free: {name} is given twice")
    soils = [trial.soil for trial in trials if trial.soil is not None]
    records = {"crop": crop} | ({"soil": soils[0]} if soils else {})
    try:
        free_parameters(model, records, dict(free))
    except ValueError as error:
        raise UsageError(f"--free: {str(error).removeprefix('free parameters: ')}") from None
    return dict(free)


def _known_observed(trials: Iterable[Experiment], wanted: Sequence[str]) -> list[str]:
    tables = [trial.observations for trial in trials if trial.observations is not None]
    observed = [str(name) for name in dict.fromkeys(name for table in tables for name in table["variable"])]
    for name in wanted:
        if name not in observed:
            there = ", ".join(observed) or "nothing"
            raise UsageError(f"--variables: {name!r} was not observed{nearest(name, observed)}; observed is {there}")
    return list(wanted)


def _write_fit(fit: tc.Fit, crop: Record, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    origin = provenance_of(crop)
    written = [folder / name for name in ("summary.txt", "parameters.csv", "errors.csv", "fit.png")]
    written[0].write_text(fit.summary() + "\n", encoding="utf-8")
    fit.parameters.to_csv(written[1])
    fit.errors.to_csv(written[2])
    fit.plot().savefig(written[3])
    written.append(save_parameters(fit.crop, folder / f"{origin.name if origin else 'crop'}_fitted.yaml"))
    _print_written(folder, written)


# --- crops and check ------------------------------------------------------------------------------------


def _crops(arguments: argparse.Namespace) -> int:
    keys = ("name", "title", "model")
    heads = [read_yaml(data_path("crops", name)) for name in names("crops")]
    rows = [{key: str(head[key]) for key in keys} for head in heads]
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        print(_table([list(keys), *([row[key] for key in keys] for row in rows)], left=len(keys)))
    return 0


def _import(arguments: argparse.Namespace) -> int:
    choices: dict[str, Any] = {"model": arguments.model, "name": arguments.out.stem, "ignore": arguments.ignore}
    choices["values"] = dict(arguments.assigned)
    try:
        if arguments.kind == "crop":
            record = tc.import_crop(*arguments.files, variety=arguments.variety, **choices)
        else:
            record = tc.import_soil(*arguments.files, **choices)
    except ParameterError as failure:  # whose problems are the work to be done
        print(failure)
        return 1
    written = save_parameters(record, arguments.out)
    print(f"wrote {written}")
    origin = provenance_of(record)
    for note in origin.notes if origin else ():
        print(f"- {note}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    where = _find_experiment(arguments.experiment)
    check = check_experiment(where)
    if check.problems:
        print(f"{where} has {len(check.problems)} problem{'s' * (len(check.problems) > 1)}:")
        for problem in check.problems:
            print(f"- {problem}")
        return 1
    experiment = load_experiment(where)
    print(f"ok: {experiment.id}: {experiment.title}\n")
    _print_found(experiment)
    if check.notes:
        print("notes")
        for note in check.notes:
            print(f"- {note}")
    return 0


def _print_found(experiment: Experiment) -> None:
    weather = experiment.weather.data
    print(
        f"weather from {weather.index[0]:%Y-%m-%d} to {weather.index[-1]:%Y-%m-%d}, {len(weather)} days, "
        f"{experiment.weather.name}\n"
    )
    seasons = experiment.seasons()
    columns: dict[str, tuple[str, ...]] = {"irrigation [mm]": ("irrigation", "irrigation_table")}
    columns |= {f"{n} [g m-2]": (n,) for n in NUTRIENTS if any(n in s.events or n in s.by_stage for s in seasons)}
    rows = [["treatment", "sowing", "emergence", "run from", "to", *columns]]
    for season, treatment in zip(seasons, experiment.treatments.values(), strict=True):
        dates = [str(day or "-") for day in (season.sowing, season.emergence, season.start, season.end)]
        rows.append([treatment.id, *dates, *(_applied(season, kinds) for kinds in columns.values())])
    print(_table(rows, left=5), end="\n\n")
    table = experiment.observations
    if table is None:
        return
    rows = [["observed", "treatment", "unit", "n", "first", "last"]]
    for (variable, treatment), found in table.groupby(["variable", "treatment"], sort=False):
        days = found["date"]
        rows.append(
            [
                variable,
                treatment,
                found["unit"].iloc[0],
                str(len(found)),
                f"{days.min():%Y-%m-%d}",
                f"{days.max():%Y-%m-%d}",
            ]
        )
    print(_table(rows, left=3), end="\n\n")


def _applied(season: Season, kinds: Sequence[str]) -> str:
    """Sum and number of a season's applications, dated or by stage."""
    lists = [applied.get(kind, ()) for kind in kinds for applied in (season.events, season.by_stage)]
    amounts = [amount for applications in lists for _, amount in applications]
    return f"{sum(amounts):g} in {len(amounts)}" if amounts else "none"


# --- text -----------------------------------------------------------------------------------------------


def _table(rows: Sequence[Sequence[str]], left: int) -> str:
    """Lay out rows as columns, the first `left` of them aligned at their left, the others at their right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _blocks(rows: Sequence[Sequence[str]], fixed: int) -> list[list[list[str]]]:
    """Cut a wide table into tables as wide as the terminal, each with the first `fixed` columns."""
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(len(rows[0]))]
    room = shutil.get_terminal_size((_WIDTH, 24)).columns - sum(widths[:fixed])
    blocks: list[list[int]] = [[]]
    for i in range(fixed, len(widths)):
        if blocks[-1] and sum(widths[j] for j in blocks[-1]) + widths[i] > room:
            blocks.append([])
        blocks[-1].append(i)
    return [[[*row[:fixed], *(row[i] for i in block)] for row in rows] for block in blocks]


def _number(value: float) -> str:
    """Four significant digits, without an exponent."""
    if math.isnan(value):
        return "-"
    if abs(value) < 1e-9:  # what rounding leaves of zero
        return "0"
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


if __name__ == "__main__":
    sys.exit(main())
