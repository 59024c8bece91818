"""What the pages do not copy by hand: tables from the declarations, the reference's modules, help texts, results.

Also excerpts of a season kernel, and the notebooks' places in the navigation.

A page holds a comment such as ``<!-- generate: states lintul5 -->``; the build puts a table in its place. What may be
asked for is the registry `GENERATORS` at the end. A request that cannot be met stops the build.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

import torchcrop as tc
from torchcrop.inputs.shipped import data_path, names
from torchcrop.inputs.yaml_files import read_yaml
from torchcrop.models.model import Day, Model, Weather
from torchcrop.quantities import Quantity, Record

ROOT = Path(__file__).resolve().parents[2]
REQUEST = re.compile(r"^<!-- generate: (?P<what>[\w-]+) ?(?P<arguments>[^>]*?) *-->$", re.MULTILINE)

# Where a quantity stands, in the order of the tables.
_COMMON: dict[str, type[Record]] = {"weather": Weather, "day": Day}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what a page asks for (called by mkdocs)."""
    return expand(markdown)


def on_config(config: Any) -> Any:
    """Put the notebooks that the navigation does not name into a section of their own (called by mkdocs)."""
    missing = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.name not in str(config["nav"])]
    if missing:
        section = [{notebook_title(path): f"notebooks/{path.name}"} for path in missing]
        config["nav"].insert(-2, {"Notebooks": section})
    return config


def notebook_title(path: Path) -> str:
    """Give the first heading of a notebook, or its name."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "markdown" for line in "".join(cell["source"]).splitlines()]
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), path.stem)


def expand(markdown: str) -> str:
    """Replace every request of a page.

    Raises
    ------
    ValueError
        If there is no such generator, model, record or command.
    """

    def generated(match: re.Match[str]) -> str:
        what, arguments = match["what"], match["arguments"].split()
        if what not in GENERATORS:
            raise ValueError(f"{match[0]}: no generator {what!r}; there are {', '.join(GENERATORS)}")
        return GENERATORS[what](*arguments)

    return REQUEST.sub(generated, markdown)


# --- what is declared -----------------------------------------------------------------------------------


def models() -> dict[str, type[Model]]:
    """Public models by the lower-case name, in the order of their names."""
    public = (getattr(tc, name) for name in tc.__all__)
    found = [m for m in public if isinstance(m, type) and issubclass(m, Model) and not inspect.isabstract(m)]
    return {m.name.lower(): m for m in sorted(found, key=lambda m: m.name)}


def records(model: type[Model]) -> dict[str, type[Record]]:
    """All records of a model by what they hold: crop, soil, site, management, state, output, driver."""
    parameters = {name: q.record for name, q in model.Parameters.quantities().items() if q.record is not None}
    return {**parameters, "state": model.State, "output": model.Outputs, "driver": model.Drivers}


def declared() -> Iterator[tuple[str, str, Quantity]]:
    """Model (or empty for what all share), place and declaration of every quantity."""
    for key, model in models().items():
        for place, record in records(model).items():
            for quantity in record.quantities().values():
                yield key, place, quantity
    for place, record in _COMMON.items():
        for quantity in record.quantities().values():
            if quantity.unit:  # not a nested record
                yield "", place, quantity


def _model(name: str) -> type[Model]:
    known = models()
    if name not in known:
        raise ValueError(f"there is no model {name!r}; there are {', '.join(known)}")
    return known[name]


# --- Markdown -------------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Give a Markdown table."""
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines += [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str) -> str:
    """Give text in code type, nothing for none."""
    return f"`{text}`" if text else ""


def _number(value: float) -> str:
    return f"{value:g}"


def _bounds(quantity: Quantity) -> str:
    lo, hi = quantity.bounds
    if quantity.kind == "switch":
        return "0 or 1"
    return "" if lo == -float("inf") and hi == float("inf") else f"{_number(lo)} to {_number(hi)}"


def _default(quantity: Quantity) -> str:
    return "" if quantity.required or quantity.kind == "table" else _number(float(quantity.default))


def _meaning(quantity: Quantity) -> str:
    if quantity.kind != "table":
        return quantity.doc
    unit = "" if quantity.x_unit in ("", "-") else f" [{quantity.x_unit}]"
    return f"{quantity.doc}; table of {quantity.x}{unit}"


def _quantities(record: type[Record]) -> str:
    declared = record.quantities().values()
    if not declared:
        return "None."
    return table(
        ["Name", "Symbol", "Unit", "Meaning"],
        ([code(q.name), code(q.symbol), q.unit, _meaning(q)] for q in declared),
    )


def states(model: str) -> str:
    """States of a model."""
    return _quantities(_model(model).State)


def outputs(model: str) -> str:
    """Outputs of the day of a model."""
    return _quantities(_model(model).Outputs)


def drivers(model: str) -> str:
    """Drivers of a model."""
    return _quantities(_model(model).Drivers)


def parameters(model: str, record: str) -> str:
    """Parameters of a model: crop, soil, site or management, with default and plausible range."""
    known = records(_model(model))
    if record not in known:
        raise ValueError(f"{model} has no record {record!r}; it has {', '.join(known)}")
    quantities = known[record].quantities().values()
    if not quantities:
        return "None."
    return table(
        ["Name", "Symbol", "Unit", "Default", "Plausible", "Meaning"],
        ([code(q.name), code(q.symbol), q.unit, _default(q), _bounds(q), _meaning(q)] for q in quantities),
    )


def weather() -> str:
    """Weather as models take it."""
    quantities = Weather.quantities().values()
    return table(
        ["Name", "Symbol", "Unit", "Accepted", "Meaning"],
        ([code(q.name), code(q.symbol), q.unit, _bounds(q), q.doc] for q in quantities),
    )


def beside(model: str) -> str:
    """What can be asked of a model beside its states and outputs: events, observables, processes."""
    kind = _model(model)
    rows = [
        [code(name), "date", "d", f"`run.dates[{name!r}]`, days from the run's first day; daily share: `{e.share}`"]
        for name, e in kind.events.items()
    ]
    rows += [[code(name), "observable", o.unit, o.doc] for name, o in kind.observables.items()]
    rows += [[code(name), "process", "", code(takes)] for name, takes in kind.replaceable.items()]
    return table(["Name", "What", "Unit", "Meaning"], rows)


# --- nomenclature ---------------------------------------------------------------------------------------


def nomenclature(order: str) -> str:
    """All names and symbols of all models, ``by-name`` or ``by-symbol``."""
    places: dict[tuple[str, str, str, str, str], list[str]] = {}
    for model, place, q in declared():
        key = (q.name, q.symbol, place, q.unit, _meaning(q))
        places.setdefault(key, []).append(model.removeprefix("lintul"))
    rows = [(key, ", ".join(m for m in found if m) or "all") for key, found in places.items()]
    if order == "by-name":
        rows.sort(key=lambda row: (row[0][0], row[0][2], row[0][1]))
        return table(
            ["Name", "Symbol", "What", "Unit", "LINTUL", "Meaning"],
            ([code(n), code(s), place, unit, used, doc] for (n, s, place, unit, doc), used in rows),
        )
    if order == "by-symbol":
        merged: dict[tuple[str, str, str, str], list[str]] = {}
        for (name, symbol, place, unit, _), used in rows:
            if symbol:
                merged.setdefault((symbol, name, place, unit), []).append(used)
        return table(
            ["Symbol", "Name", "What", "Unit", "LINTUL"],
            ([code(s), code(n), place, unit, ", ".join(used)] for (s, n, place, unit), used in sorted(merged.items())),
        )
    raise ValueError(f"nomenclature: {order!r}; expected by-name or by-symbol")


# --- what ships -----------------------------------------------------------------------------------------


def shipped(kind: str) -> str:
    """Crops, soils, weather or experiments that ship."""
    if kind == "weather":
        return table(["Name", "What"], ([code(n), _first_comment(data_path(kind, n))] for n in names(kind)))
    rows = []
    for name in names(kind):
        path = data_path(kind, name)
        file = read_yaml(path / "experiment.yaml" if kind == "experiments" else path)
        # An experiment names its crop, a parameter file its model.
        rows.append([code(name), str(file["title"]), str(file.get("model") or file.get("crop", "")).upper()])
    return table(["Name", "What", "Crop" if kind == "experiments" else "For"], rows)


def _first_comment(path: Path) -> str:
    """Give the name that a weather file carries, and its days."""
    lines = path.read_text(encoding="utf-8").splitlines()
    title = next(line.partition(":")[2].strip() for line in lines if line.startswith("# name:"))
    days = [line.partition(",")[0] for line in lines if re.match(r"\d{4}-", line)]
    return f"{title}, {days[0]} to {days[-1]}"


# --- reference, commands, results -----------------------------------------------------------------------


def public_names() -> dict[str, str]:
    """Where each public name of the package is defined, as a dotted path."""
    found = {}
    for name in tc.__all__:
        value = getattr(tc, name)
        found[name] = (
            f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else f"torchcrop.{name}"
        )
    return found


def index() -> str:
    """All names of the package, with a link and the first sentence of each."""
    rows = []
    for name, path in sorted(public_names().items(), key=lambda item: item[0].lower()):
        summary = (inspect.getdoc(getattr(tc, name)) or "").split("\n\n")[0].replace("\n", " ")
        rows.append([f"[`{name}`][{path}]", summary])
    return table(["`tc.`", "What"], rows)


def modules(package: str) -> str:
    """The reference of all modules of a package that say what is public."""
    root = importlib.import_module(package)
    found = sorted(
        info.name
        for info in pkgutil.iter_modules(root.__path__, package + ".")
        if getattr(importlib.import_module(info.name), "__all__", None)
    )
    return "\n\n".join(f"::: {name}" for name in found) or "The package has no public module yet."


def usage(*command: str) -> str:
    """The help text of the command ``torchcrop``, or of one of its commands."""
    from torchcrop.cli import main

    text = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(text):
            status = main([*command, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    if status:
        raise ValueError(f"torchcrop {' '.join(command)} --help ended with {status}")
    return f"```text\n{text.getvalue().rstrip()}\n```"


def results(part: str = "") -> str:
    """The newest file of benchmark results, of the seasons or of a part such as ``soft``, complete ones first."""
    folder = ROOT / "benchmarks" / "results" / part
    files = sorted(folder.glob("*.md"))
    # A quick run tells whether all is measured, not how fast it is.
    files = [f for f in files if "quick" not in f.name]
    files = [f for f in files if "partial" not in f.name] or files
    place = folder.relative_to(ROOT).as_posix()
    if not files:
        command = f"python -m benchmarks.{part or 'run'}"
        return f"No results are in the repository yet: `{command}` writes them to `{place}`."
    text = files[-1].read_text(encoding="utf-8")
    return f"From `{place}/{files[-1].name}`.\n\n" + re.sub(r"^(#+ )", r"##\1", text, flags=re.MULTILINE)


# --- season kernels -------------------------------------------------------------------------------------


def kernel(part: str) -> str:
    """LINTUL1's season kernel: a day's growth at every step, or the number of operations (``counts``)."""
    if part not in _KERNEL_PARTS:
        raise ValueError(f"kernel: no part {part!r}; there are {', '.join(_KERNEL_PARTS)}")
    return _KERNEL_PARTS[part]()


@cache
def _lintul1_kernel() -> Any:
    """Kernel of LINTUL1 with hard switches, a batched light use efficiency, and a gradient to it."""
    weather = tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
    season = tc.seasons(weather, emergence="04-10", years=[2012], length=110)
    efficiency = torch.linspace(2.5, 3.5, 3, dtype=torch.float64).requires_grad_()
    crop = tc.load_crop("spring_wheat").replace(light_use_efficiency=efficiency)
    return tc.simulate(tc.Lintul1(), crop, season, outputs=[], backend="kernel").kernel


def _growth_in_model() -> str:
    lines = inspect.getsource(tc.Lintul1.rates).splitlines()
    begin, end = _line(lines, "# Growth"), _line(lines, "# Partitioning")
    return _block("python", "torchcrop/models/lintul1.py", lines[begin + 1 : end])


def _growth_in_list() -> str:
    lines = _lintul1_kernel().listing().splitlines()
    begin, end = _line(lines, "crop.extinction * lai"), _line(lines, "crop.light_use_efficiency * ")
    return _block("text", "The list", lines[begin : end + 1])


def _growth_backwards() -> str:
    """From the cotangent of growth to that of the leaf area; the day itself, computed again, stands before."""
    lines = _lintul1_kernel().listing("reverse").splitlines()
    begin, end = _line(lines, "crop.light_use_efficiency * ", last=True), _line(lines, "crop.extinction * ", last=True)
    excerpt = lines[begin - 1 : end + 2]
    values = {line.partition(" = ")[0] for line in excerpt}
    results = [line for line in lines if line.startswith("by_") and line.partition(" = ")[2] in values]
    return _block("text", "Its derivative", [*excerpt, *results])


def _growth_in_llvm() -> str:
    lines = _lintul1_kernel().source.partition("@forward(")[2].splitlines()
    at = _line(lines, "@tc_exp(")
    products = [i for i, line in enumerate(lines) if "= fmul " in line]
    before, after = [i for i in products if i < at], [i for i in products if i > at]
    return _block("llvm", "Its code for a processor", lines[before[-1] : after[1] + 1])


def _growth_in_cuda() -> str:
    from torchcrop.kernels.cuda import GpuKernel

    here = _lintul1_kernel()
    there = GpuKernel(here.season, here.binding, here.dtype, torch.device("cuda", 0))  # prints without a card
    lines = there.source.partition(" forward_of(")[2].splitlines()
    begin, end = _line(lines, "* state_lai;"), _line(lines, "crop_light_use_efficiency * ")
    return _block("c", "Its code for an NVIDIA card", lines[begin : end + 1])


def _operations_by_stage() -> str:
    """Numbers of operations, by stage and job."""
    jobs = ("forward", "reverse", "tangents")
    counts: dict[str, dict[str, int]] = {}
    for job in jobs:
        for part in _lintul1_kernel().listing(job).split("\n\n"):
            head, *lines = part.strip().splitlines() or [""]
            number = sum(bool(re.match(r"v\d+ = ", line)) for line in lines)
            if number:
                counts.setdefault(head.removeprefix("# "), {})[job] = number
    return table(
        ["Stage", *(code(j) for j in jobs)], ([s, *(str(n.get(j, "")) for j in jobs)] for s, n in counts.items())
    )


def _line(lines: Sequence[str], part: str, *, last: bool = False) -> int:
    """Give the number of the first line, or the last, that holds a part."""
    found = [i for i, line in enumerate(lines) if part in line]
    if not found:
        raise ValueError(f"kernel: no line of LINTUL1 holds {part!r}; choose another excerpt in {Path(__file__).name}")
    return found[-1 if last else 0]


def _block(language: str, title: str, lines: Sequence[str]) -> str:
    text = textwrap.dedent("\n".join(lines)).strip("\n")
    return f'```{language} title="{title}"\n{text}\n```'


_KERNEL_PARTS: dict[str, Callable[[], str]] = {
    "model": _growth_in_model,
    "list": _growth_in_list,
    "derivative": _growth_backwards,
    "llvm": _growth_in_llvm,
    "cuda": _growth_in_cuda,
    "counts": _operations_by_stage,
}


GENERATORS: dict[str, Callable[..., str]] = {
    "beside": beside,
    "drivers": drivers,
    "index": index,
    "kernel": kernel,
    "modules": modules,
    "nomenclature": nomenclature,
    "outputs": outputs,
    "parameters": parameters,
    "results": results,
    "shipped": shipped,
    "states": states,
    "usage": usage,
    "weather": weather,
}
"""What a page may ask for, ``<!-- generate: NAME ARGUMENTS -->``."""
