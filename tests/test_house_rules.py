"""The rules of the house hold: where thresholds may live, and which floor may stand on which (ARCHITECTURE 2 and 3).

Every rule has a test that plants a violation, so that a rule which sees nothing is seen.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import torchcrop as tc
from tests.conftest import ROOT
from tests.seasons import CASES, SWITCHES, Case, quick_cases
from torchcrop.models.model import Day, Model, Weather

PACKAGE = ROOT / "torchcrop"
every_case = pytest.mark.parametrize("name", CASES)
every_mode = pytest.mark.parametrize("mode", SWITCHES)


# --- syntax: models and processes are straight lines ----------------------------------------------------

FORBIDDEN = frozenset(
    "where clamp clip minimum maximum fmin fmax relu heaviside sign abs floor round bool item".split()  # noqa: SIM905
)
# Their result hangs on a tensor's value (min and max as methods reduce over the batch).
OF_PLAIN_VALUES_ONLY = frozenset({"min", "max", "float", "int", "any", "all", "sorted"})
PLAIN_TYPES = frozenset({"str", "float", "int", "bool", "None", "date"})
# The check of an observable looks at parameters once, before the run.
OUTSIDE_THE_DAY = frozenset(
    {"check", "__repr__", "__post_init__", "less_limited", "production_level", "removed", "unused_management"}
)

Function = ast.FunctionDef | ast.Lambda


class Reader(ast.NodeVisitor):
    """Collects what a module of models or processes must not do.

    A branch may hang on plain values alone: constants and imports, `self` (a model is a value), arguments annotated
    with plain types, and what is made of these.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[str] = []
        self.scopes: list[set[str]] = [_module_names(tree) | set(dir(builtins)) | {"self", "cls"}]
        self.names: list[str] = []
        self.visit(tree)

    def plain(self, node: ast.AST) -> bool:
        """Whether an expression is made of plain values, or asks whether something is there or of what type."""
        if isinstance(node, ast.Compare) and all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            return all(isinstance(other, ast.Constant) and other.value is None for other in node.comparators)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            return True
        if isinstance(node, ast.BoolOp):
            return all(self.plain(value) for value in node.values)
        inner = {n.id for c in ast.walk(node) if isinstance(c, ast.comprehension) for n in _names(c.target)}
        return all(n.id in inner or any(n.id in scope for scope in self.scopes) for n in _names(node))

    def report(self, node: ast.AST, what: str) -> None:
        self.found.append(f"line {node.lineno}: {what}: {ast.unparse(node)[:80]}")  # type: ignore[attr-defined]

    def branch(self, node: ast.AST, test: ast.AST) -> None:
        if not self.plain(test) and not OUTSIDE_THE_DAY & set(self.names):
            self.report(node, "a branch or comparison on what may be a tensor")

    def _function(self, node: Function, name: str) -> None:
        plain = {a.arg for a in _arguments(node.args) if a.annotation is not None and _is_plain(a.annotation)}
        # An argument hides what its name means outside.
        hidden = {a.arg for a in _arguments(node.args)} - plain
        outer = self.scopes
        local = {n.id for n in _names(node) if isinstance(n.ctx, ast.Store)}
        self.scopes = [scope - (hidden - {"self", "cls"}) - local for scope in outer] + [plain]
        self.names.append(name)
        for field, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and field != "returns":
                    self.visit(child)
        self.names.pop()
        self.scopes = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, "<lambda>")

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            for name in _names(target):
                (self.scopes[-1].add if self.plain(node.value) else self.scopes[-1].discard)(name.id)

    def visit_arg(self, node: ast.arg) -> None:
        """Say nothing of an annotation."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_For(self, node: ast.For) -> None:
        if self.plain(node.iter):
            self.scopes[-1].update(n.id for n in _names(node.target))
        else:
            self.report(node, "a loop over what may be a tensor")
        self.generic_visit(node)

    def visit_If(self, node: ast.If | ast.IfExp | ast.While | ast.Assert) -> None:
        self.branch(node, node.test)
        self.generic_visit(node)

    visit_IfExp = visit_While = visit_Assert = visit_If

    def visit_Compare(self, node: ast.Compare | ast.BoolOp) -> None:
        self.branch(node, node)
        self.generic_visit(node)

    visit_BoolOp = visit_Compare

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.branch(node, node)
        self.generic_visit(node)

    def visit_Match(self, node: ast.Match) -> None:
        self.branch(node, node.subject)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.branch(test, test)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in FORBIDDEN:
            self.report(node, "a forbidden name")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in FORBIDDEN:
            self.report(node, "a forbidden name")
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name in FORBIDDEN:
                self.report(node, "a forbidden name")

    def visit_Call(self, node: ast.Call) -> None:
        called, given = node.func, [*node.args, *(k.value for k in node.keywords)]
        if not OUTSIDE_THE_DAY & set(self.names):
            if isinstance(called, ast.Name) and called.id in OF_PLAIN_VALUES_ONLY and not all(map(self.plain, given)):
                self.report(node, "Python's own choice of what may be a tensor")
            if isinstance(called, ast.Attribute) and called.attr in OF_PLAIN_VALUES_ONLY:
                by_switches = isinstance(called.value, ast.Name) and called.value.id == "switches"
                if not by_switches:
                    self.report(node, "a reduction over the batch")
        self.generic_visit(node)


def _names(node: ast.AST) -> list[ast.Name]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Name)]


def _arguments(node: ast.arguments) -> list[ast.arg]:
    optional = [a for a in (node.vararg, node.kwarg) if a is not None]
    return [*node.posonlyargs, *node.args, *node.kwonlyargs, *optional]


def _is_plain(annotation: ast.expr) -> bool:
    return {n.id for n in _names(annotation)} <= PLAIN_TYPES


def _module_names(tree: ast.Module) -> set[str]:
    """Names that a module binds: imports, functions, classes, constants."""
    bound: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        else:
            bound |= {n.id for n in _names(node) if isinstance(n.ctx, ast.Store)}
    return bound


def straight_lines() -> list[Path]:
    return sorted([*(PACKAGE / "models").glob("**/*.py"), *(PACKAGE / "processes").glob("**/*.py")])


@pytest.mark.parametrize("path", straight_lines(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_models_and_processes_do_not_branch_on_tensors(path: Path) -> None:
    assert Reader(ast.parse(path.read_text())).found == []


VIOLATIONS = {
    "torch.where": "y = torch.where(x > 0, x, 0 * x)",
    "a method": "y = x.clamp(min=0)",
    "a function by name": "y = relu(x)",
    "abs": "y = abs(x)",
    "a property used as a flag": "y = x if state.lai.bool() else 2 * x",
    "if": "y = x\n    if x > 0:\n        y = 2 * x",
    "if on a level of another": "y = x\n    if state.level == 1:\n        y = 2 * x",
    "a conditional": "y = x if x.sum() else 2 * x",
    "a comparison": "y = x * (x >= state.lai)",
    "and": "y = x and state.lai",
    "not": "y = not x",
    "while": "y = x\n    while y:\n        y = y - 1",
    "python's min": "y = min(x, state.lai)",
    "a minimum over the batch": "y = x - x.min()",
    "a number of a tensor": "y = float(x)",
    "through a name": "late = state.stage - 1\n    y = 2 * x if late else x",
    "a filter": "y = sum(v for v in (x, state.lai) if v is not state)",
    "an assertion": "assert state.lai\n    y = x",
    "a lambda": "y = (lambda v: v if v else x)(state.lai)",
    "a hidden choice": "level = state.stage\n    y = x if level else -x",
}

SNIPPET = """
import torch
from torch import relu_ as _

def rates(self, x: Tensor, state: State, switches: Switches, level: str) -> Tensor:
    {body}
    return y
"""


@pytest.mark.parametrize("body", VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_planted_branch_is_found(body: str) -> None:
    assert Reader(ast.parse(SNIPPET.format(body=body))).found


@pytest.mark.parametrize(
    "body",
    [
        "y = x if self.level == 'water' else 2 * x",
        "y = switches.min(x, state.lai) + switches.max(x, 0.0)",
        "y = x\n    if level in ('potential', 'water') and level is not None:\n        y = 2 * x",
        "wet = level == 'water'\n    y = x if wet else 2 * x",
        "y = x\n    for name in self.processes:\n        if name not in self.replaceable:\n            y = y + 1",
        "y = switches.branch(x - 3.0, x, 2 * x)",
    ],
)
def test_a_choice_of_the_model_is_no_branch(body: str) -> None:
    assert Reader(ast.parse(SNIPPET.format(body=body))).found == []


@pytest.mark.parametrize("path", straight_lines(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_branch_planted_in_a_copy_of_the_file_is_found(path: Path) -> None:
    functions = [f for f in ast.walk(ast.parse(path.read_text())) if isinstance(f, ast.FunctionDef)]
    if not functions:
        assert path.name == "__init__.py" or path.stem.endswith("_records")
    for index in range(len(functions)):
        tree = ast.parse(path.read_text())
        function = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)][index]
        if function.name in OUTSIDE_THE_DAY:
            continue
        function.body[:0] = ast.parse("if unheard_of > 0:\n    pass").body
        assert len(Reader(ast.fix_missing_locations(tree)).found) == 2, function.name  # the branch, the comparison


# --- run time: thresholds are crossed in functions/ and soft/ alone -------------------------------------

SELECTION = frozenset(
    {
        *("lt", "le", "gt", "ge", "eq", "ne", "isclose", "equal", "allclose"),
        *("logical_and", "logical_or", "logical_not"),
        *("where", "minimum", "maximum", "fmin", "fmax", "min", "max", "amin", "amax", "aminmax", "argmin", "argmax"),
        *("clamp", "clamp_", "clamp_min", "clamp_max", "clip", "relu", "relu_", "threshold", "hardtanh", "leaky_relu"),
        *("heaviside", "sign", "sgn", "abs", "floor", "ceil", "round", "trunc", "frac", "fmod", "remainder"),
        *("bucketize", "searchsorted", "sort", "topk", "nonzero", "masked_fill", "masked_select", "softplus"),
        *("_local_scalar_dense", "is_nonzero", "bitwise_and", "bitwise_or", "bitwise_not", "isnan", "isfinite"),
    }
)  # fmt: skip
ALLOWED = (PACKAGE / "functions", PACKAGE / "soft")


class Watch(TorchDispatchMode):
    """Notes every comparison or selection that is asked for from outside the two folders."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in SELECTION:
            self.seen.add(name)
            asked = _asked_from()
            if asked is not None and not any(asked[0].is_relative_to(folder) for folder in ALLOWED):
                self.found.add(f"{name} at {asked[0].name}:{asked[1]}")
        return func(*args, **(kwargs or {}))


def _asked_from() -> tuple[Path, int] | None:
    """Place in the package, or in a file of tests, from which the present operator is called."""
    frame = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE) or (path.is_relative_to(ROOT / "tests") and path != Path(__file__)):
            return path, frame.f_lineno
        if frame.f_code.co_name.startswith("planted"):
            return path, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def watched(model: Model, watch: Watch) -> Model:
    """The same model, whose own functions run under the watch."""
    kind = type(model)

    def under_watch(name: str) -> Any:
        def method(self: Any, *arguments: Any) -> Any:
            with watch:
                return getattr(kind, name)(self, *arguments)

        return method

    names = ("initial", "rates", "finished", "drivers")
    watching = type(kind.__name__, (kind,), {name: under_watch(name) for name in names})
    return watching(**{f.name: getattr(model, f.name) for f in dataclasses.fields(model)})  # type: ignore[arg-type]


@every_mode
@every_case
def test_thresholds_are_crossed_in_two_folders_alone(name: str, mode: str) -> None:
    case, watch = quick_cases()[name], Watch()
    switches = SWITCHES[mode] if mode != "smooth" else tc.Smooth(kinks=0.02, rain_gates=True)
    short = dataclasses.replace(case.season, end=case.season.start.replace(year=2020, month=1, day=22))
    run = tc.simulate(watched(case.model, watch), case.crop, short, switches=switches, backend="eager")
    with watch:
        names = [
            *case.model.observables,
            *(["soil_water_0_60cm", "soil_moisture_20_40cm"] if "lintul5" in name else []),
        ]
        for observable in names:
            known = case.model.observable(observable)
            assert known is not None
            known.compute(run.daily, run.params)
    assert watch.found == set()
    assert "ge" in watch.seen or "gt" in watch.seen or "where" in watch.seen, "thresholds must have been crossed"


def planted_rates(self: Any, state: Any, day: Day, params: Any, switches: Any) -> Any:
    rates, outputs = tc.Lintul1.rates(self, state, day, params, switches)
    growth = torch.where(state.lai > 1.0, rates.total_growth, rates.total_growth)
    return rates.replace(total_growth=growth), outputs


def test_a_planted_selection_is_found() -> None:
    case, watch = quick_cases()["lintul1"], Watch()
    planted = type("Planted", (tc.Lintul1,), {"rates": planted_rates})()
    tc.simulate(watched(planted, watch), case.crop, case.season, outputs=[], backend="eager")
    assert {entry.partition(" ")[0] for entry in watch.found} == {"where", "gt"}


# --- tracing: the day of every model is one graph -------------------------------------------------------


def days_of(case: Case, switches: tc.Switches) -> Iterator[tuple[Any, Day, Any]]:
    """States, days and parameters of a season, as tensors ``[1]``."""
    from torchcrop.simulation.engine import DayLoop

    seen = []
    original = DayLoop.day

    def day(self: Any, carry: Any, t: int, today: Day) -> Any:
        seen.append((self.model.State._rebuild(carry.states.unbind(0), None), today, self.params))
        return original(self, carry, t, today)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DayLoop, "day", day)
        tc.simulate(case.model, case.crop, case.season, switches=switches, outputs=[], backend="eager")
    yield from seen


def assert_equal_trees(ours: Any, theirs: Any) -> None:
    for mine, other in zip(pytree.tree_leaves(ours), pytree.tree_leaves(theirs), strict=True):
        torch.testing.assert_close(mine, other, rtol=0.0, atol=0.0, equal_nan=True)


@every_mode
@every_case
def test_the_traced_day_is_the_day_of_any_state(name: str, mode: str) -> None:
    """A graph that was traced on one day gives every other day, so that nothing of a state was baked in."""
    case, switches = quick_cases()[name], SWITCHES[mode]
    model, days = case.model, list(days_of(case, switches))

    def whole(state: Any, day: Day, params: Any) -> Any:
        return *model.rates(state, day, params, switches), model.finished(state, params, switches)

    graph = make_fx(whole)(*days[1])
    assert len(graph.graph.nodes) > 50
    for today in days[::4]:
        assert_equal_trees(graph(*today), whole(*today))


@every_case
def test_the_traced_initial_states_and_drivers_are_those_of_any_crop(name: str) -> None:
    case, switches = quick_cases()[name], tc.Smooth()
    model = case.model
    _, day, params = next(days_of(case, switches))
    other = params.map(lambda value: value * 1.01)
    initial = make_fx(lambda p: model.initial(p, switches))(params)
    assert_equal_trees(initial(other), model.initial(other, switches))

    def drivers(weather: Weather, doy: Tensor, time: Tensor, p: Any) -> Any:
        return model.drivers(weather, doy, time, p, switches)

    graph = make_fx(drivers)(day.weather, day.doy, day.time, params)
    warm = day.weather.map(lambda value: value * 1.3)
    assert_equal_trees(
        graph(warm, day.doy + 90, day.time + 90, other), drivers(warm, day.doy + 90, day.time + 90, other)
    )


def test_a_branch_cannot_be_traced() -> None:
    case = quick_cases()["lintul1"]
    first = next(days_of(case, tc.Hard()))

    def whole(state: Any, day: Day, params: Any) -> Any:
        rates, _ = case.model.rates(state, day, params, tc.Hard())
        return rates.total_growth * (2.0 if state.lai.sum() > 0 else 1.0)

    with pytest.raises(RuntimeError, match="tracing tensor"):
        make_fx(whole)(*first)


# --- floors ---------------------------------------------------------------------------------------------

FLOORS = (
    ("soft",),
    ("functions",),
    ("quantities",),
    ("processes",),
    ("models",),
    ("simulation",),
    ("kernels",),
    ("inputs",),
    ("calibration",),
    ("ensembles",),
    ("plotting", "cli", "demo", "__main__"),
)
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}
#: Imports at the moment of use, from a lower floor: file, function and what it reaches up to.
LAZY = {
    ("quantities.py", "save", "inputs"),
    ("simulation/run.py", "plot", "plotting"),
    ("simulation/explain.py", "plot", "plotting"),
    ("simulation/run.py", "provenance", "__init__"),  # the version
    ("calibration/fit.py", "plot", "plotting"),
    ("simulation/backends.py", "integrated", "kernels"),
    ("simulation/backends.py", "_against_kernel", "kernels"),
}


def imports(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Floor imported from, name of the function that imports (empty at the top), line."""

    def walk(node: ast.AST, inside: str) -> Iterator[tuple[str, str, int]]:
        for child in ast.iter_child_nodes(node):
            name = child.name if isinstance(child, ast.FunctionDef) else inside
            if isinstance(child, ast.Import):
                modules = [a.name for a in child.names]
            elif isinstance(child, ast.ImportFrom) and child.level == 0 and child.module == "torchcrop":
                modules = [f"torchcrop.{a.name}" for a in child.names]
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"line {child.lineno}: a relative import"
                modules = [child.module or ""]
            else:
                modules = []
            for module in modules:
                root, _, rest = module.partition(".")
                if root == "torchcrop":
                    floor = rest.partition(".")[0]
                    yield floor if floor in HEIGHT else "__init__", name, child.lineno  # type: ignore[attr-defined]
            yield from walk(child, name)

    yield from walk(tree, "")


def wrong_imports(package: Path) -> list[str]:
    found = []
    for path in sorted(package.glob("**/*.py")):
        inside = path.relative_to(package)
        own = inside.parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        assert own in HEIGHT, f"{inside} stands on no floor: add it to FLOORS"
        for floor, function, line in imports(ast.parse(path.read_text())):
            lazy = (inside.as_posix(), function, floor) in LAZY
            # The house's own door may be used from the top floor alone.
            height = HEIGHT.get(floor, len(FLOORS) - 1)
            if height > HEIGHT[own] and not lazy:
                found.append(f"{inside}:{line} imports {floor}")
    return found


def test_each_floor_imports_only_floors_below() -> None:
    assert wrong_imports(PACKAGE) == []


def test_the_exceptions_are_in_use() -> None:
    used = {
        (path.relative_to(PACKAGE).as_posix(), function, floor)
        for path in PACKAGE.glob("**/*.py")
        for floor, function, _ in imports(ast.parse(path.read_text()))
    }
    assert {entry for entry in LAZY if (PACKAGE / entry[0]).exists()} <= used


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("functions/planted.py", "from torchcrop.quantities import Record"),
        ("processes/planted.py", "import torchcrop.models.lintul1"),
        ("models/planted.py", "def f():\n    from torchcrop.simulation import engine"),
        ("simulation/planted.py", "from torchcrop import simulate"),
        ("simulation/run.py", "def save(self):\n    from torchcrop.plotting import plot_run"),
        ("inputs/planted.py", "import torchcrop as tc"),
    ],
)
def test_a_planted_import_is_found(file: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert len(wrong_imports(tmp_path)) == 1


def test_a_file_on_no_floor_is_found(tmp_path: Path) -> None:
    (tmp_path / "cellar").mkdir()
    (tmp_path / "cellar" / "wine.py").write_text("")
    with pytest.raises(AssertionError, match="stands on no floor"):
        wrong_imports(tmp_path)
