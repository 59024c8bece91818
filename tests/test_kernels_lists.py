"""Lists of operations: simplification keeps values, every rule of the derivative is autograd's, at ties too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.seasons import quick_cases
from torchcrop.functions import smoothing
from torchcrop.functions.switches import Smooth
from torchcrop.kernels.derivatives import _RULES, adjoint, linearised, tangent
from torchcrop.kernels.lowerings import lower
from torchcrop.kernels.plain import plain
from torchcrop.kernels.program import _FOLD, ARITY, TRUTHS, Program
from torchcrop.kernels.stages import Stage, staged
from torchcrop.kernels.trace import Symbol, Untraceable, recording, symbols
from torchcrop.simulation.simulate import simulate

# What torch computes for each operation. Independent of the folding of constants.
TORCH: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, name) for name in ("neg", "abs", "exp", "expm1", "log", "log1p", "sqrt", "sigmoid")},
    **{name: getattr(torch, name) for name in ("sin", "cos", "tan", "asin", "acos", "atan", "tanh", "floor")},
    **{name: getattr(torch, name) for name in ("add", "sub", "mul", "div", "pow", "lt", "le", "eq")},
    "softplus": lambda x: torch.nn.functional.softplus(x, threshold=40.0),
    "min": torch.minimum,
    "max": torch.maximum,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "not": torch.logical_not,
    "select": torch.where,
    "instead": lambda value, gradient: value.detach() + gradient - gradient.detach(),
}


def number(value: Any) -> Tensor:
    return torch.tensor(value, dtype=torch.bool if isinstance(value, bool) else torch.float64)


def evaluated(program: Program, results: Sequence[int], inputs: Mapping[Any, Tensor]) -> list[Tensor]:
    """Results of a list, operation by operation, in torch."""
    values: dict[int, Tensor] = {}
    for place in program.needed(results):
        operation = program.operations[place]
        if operation.name == "constant":
            values[place] = number(operation.value[2])
        elif operation.name == "input":
            values[place] = inputs[operation.value]
        elif operation.name == "call":
            values[place] = values[operation.arguments[0]]
        else:
            values[place] = TORCH[operation.name](*(values[a] for a in operation.arguments))
    return [values[place] for place in results]


def test_every_operation_is_known_to_the_tests() -> None:
    assert set(TORCH) == set(ARITY) - {"constant", "input", "call"}
    assert set(_FOLD) == set(TORCH)
    assert set(_RULES) == set(TORCH) - TRUTHS - {"floor"}


# --- simplification -----------------------------------------------------------------------------------------

UNARY = ("neg", "abs", "exp", "sqrt", "sigmoid", "softplus", "tanh", "floor", "log1p", "expm1")
BINARY = ("add", "sub", "mul", "div", "min", "max")
NAMES = ("a", "b", "c")
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 0.1, 7.25])

Tree = Any


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> Tree:
    """An expression, as nested tuples."""
    kind = draw(st.integers(0, 9 if depth else 3))
    if kind < 4:
        return draw(st.one_of(st.sampled_from(NAMES), NUMBERS))
    if kind < 6:
        return (draw(st.sampled_from(UNARY)), draw(trees(depth - 1)))
    if kind < 9:
        return (draw(st.sampled_from(BINARY)), draw(trees(depth - 1)), draw(trees(depth - 1)))
    return ("select", draw(truths(depth - 1)), draw(trees(depth - 1)), draw(trees(depth - 1)))


@st.composite
def truths(draw: st.DrawFn, depth: int) -> Tree:
    """A comparison, or several joined."""
    kind = draw(st.integers(0, 5))
    if kind == 0 and depth:
        return ("not", draw(truths(depth - 1)))
    if kind == 1 and depth:
        return (draw(st.sampled_from(("and", "or"))), draw(truths(depth - 1)), draw(truths(depth - 1)))
    depth = max(depth - 1, 0)
    return (draw(st.sampled_from(("lt", "le", "eq"))), draw(trees(depth)), draw(trees(depth)))


def entered(program: Program, tree: Tree) -> int:
    if isinstance(tree, str):
        return program.input(tree)
    if isinstance(tree, float):
        return program.constant(tree)
    return program.add(tree[0], *(entered(program, t) for t in tree[1:]))


def direct(tree: Tree, inputs: Mapping[str, Tensor]) -> Tensor:
    if isinstance(tree, str):
        return inputs[tree]
    if isinstance(tree, float):
        return number(tree)
    return TORCH[tree[0]](*(direct(t, inputs) for t in tree[1:]))


def close(a: Tensor, b: Tensor) -> bool:
    # An identity may take the sign of a zero; and a sum of several may be another in its last place.
    return bool(torch.isclose(a, b, rtol=1e-12, atol=1e-300, equal_nan=True))


finite = st.floats(-20, 20, allow_subnormal=False).map(float)
points = st.fixed_dictionaries({n: st.one_of(finite, st.sampled_from([0.0, 1.0, -1.0])) for n in NAMES})


@given(trees(), points)
def test_simplifying_keeps_the_value(tree: Tree, point: dict[str, float]) -> None:
    inputs = {n: number(point[n]) for n in NAMES}
    expected = direct(tree, inputs)
    program = Program()
    place = entered(program, tree)
    (found,) = evaluated(program, [place], inputs)
    # A product of an input and 0 is 0: the border has seen to it that inputs are finite. What overflows is no input.
    assert close(found.double(), expected.double()) or not bool(torch.isfinite(expected))
    new, places = plain(program, [place])
    assert not {o.name for o in new.operations} & {"call", "instead"}
    (again,) = evaluated(new, [places[place]], inputs)
    assert close(again.double(), found.double())


@pytest.mark.parametrize(
    ("written", "simple"),
    [
        (("add", "a", 0.0), "a"),
        (("sub", "a", 0.0), "a"),
        (("sub", 0.0, "a"), ("neg", "a")),
        (("mul", "a", 1.0), "a"),
        (("mul", "a", -1.0), ("neg", "a")),
        (("mul", ("neg", "a"), ("neg", "b")), ("mul", "a", "b")),
        (("div", "a", 1.0), "a"),
        (("div", "a", 4.0), ("mul", "a", 0.25)),
        (("neg", ("neg", "a")), "a"),
        (("neg", ("sub", "a", "b")), ("sub", "b", "a")),
        (("add", "a", ("neg", "b")), ("sub", "a", "b")),
        (("add", "b", "a"), ("add", "a", "b")),
        (("min", "a", "a"), "a"),
        (("select", ("lt", "a", "b"), "c", "c"), "c"),
        (("select", ("not", ("lt", "a", "b")), "a", "c"), ("select", ("lt", "a", "b"), "c", "a")),
        (("exp", 0.0), 1.0),
        (("sub", 2.0, 0.5), 1.5),
    ],
)
def test_what_is_equal_is_one_place(written: Tree, simple: Tree) -> None:
    program = Program()
    assert entered(program, written) == entered(program, simple)


def test_a_quotient_that_no_product_gives_exactly_stays() -> None:
    """A tie at ``x / 3 == y / 3`` is one of the eager functions too."""
    program = Program()
    assert program.operations[entered(program, ("div", "a", 3.0))].name == "div"


@pytest.mark.parametrize("tree", [("log", -1.0), ("exp", 1e4), ("sqrt", -1.0), ("log", 0.0)])
def test_what_python_refuses_is_left_to_the_kernel(tree: Tree) -> None:
    program = Program()
    assert program.operations[entered(program, tree)].name == tree[0]


# --- derivatives ------------------------------------------------------------------------------------------

_ANYWHERE = [(0.0,), (0.7,), (-3.0,)]
_PAIRS = [(2.0, -3.0), (0.0, 1.5)]
_TIES = [(1.0, 2.0), (2.0, 1.0), (1.5, 1.5), (0.0, 0.0)]
POINTS: dict[str, list[tuple[float, ...]]] = {
    **dict.fromkeys(("neg", "exp", "expm1", "sigmoid", "sin", "cos", "tan", "atan", "tanh", "abs"), _ANYWHERE),
    **{name: [(0.3,), (5.0,)] for name in ("log", "sqrt")},
    "log1p": [(0.0,), (-0.5,), (4.0,)],
    "softplus": [(0.0,), (-50.0,), (39.9,), (40.1,), (700.0,)],
    **{name: [(0.0,), (0.9,), (-0.5,)] for name in ("asin", "acos")},
    **dict.fromkeys(("add", "sub", "mul", "div"), _PAIRS),
    "pow": [(2.0, 3.0), (2.5, -1.3), (0.0, 2.0), (1.0, 0.0)],
    **dict.fromkeys(("min", "max"), _TIES),
    "instead": [(1.0, 5.0)],
}


def by_list(program: Program, result: int, inputs: Mapping[str, Tensor], contracted: bool) -> dict[str, list[float]]:
    """Derivatives of a result by each input, by tangents and by cotangents."""
    places = [program.input(name) for name in inputs]
    graph = linearised(program, [result], places)
    if contracted:
        graph = graph.contracted([result, *places])
    found: dict[str, list[float]] = {}
    seed = program.input("seed")
    backwards = adjoint(graph, {result: seed}, places)
    known = {**inputs, "seed": number(1.0)}
    for name, place in zip(inputs, places, strict=True):
        forwards = tangent(graph, {place: seed}, [result])
        wanted = [forwards.get(result), backwards.get(place)]
        found[name] = [0.0 if w is None else float(evaluated(program, [w], known)[0]) for w in wanted]
    return found


def by_autograd(function: Callable[..., Tensor], inputs: Mapping[str, Tensor]) -> dict[str, float]:
    leaves = [v.clone().requires_grad_() for v in inputs.values()]
    y = function(*leaves)
    grads = torch.autograd.grad(y, leaves, allow_unused=True, materialize_grads=True)
    return {name: float(g) for name, g in zip(inputs, grads, strict=True)}


@pytest.mark.parametrize("name", sorted(set(_RULES) - {"select"}))
def test_every_rule_is_autograds_at_ties_and_kinks_too(name: str) -> None:
    for point in POINTS[name]:
        inputs = {n: number(v) for n, v in zip(NAMES, point, strict=False)}
        program = Program()
        result = program.add(name, *(program.input(n) for n in inputs))
        expected = by_autograd(TORCH[name], inputs)
        for contracted in (False, True):
            for leaf, both in by_list(program, result, inputs, contracted).items():
                assert both == pytest.approx([expected[leaf]] * 2, rel=1e-14), (name, point, leaf)


@pytest.mark.parametrize("a", [0.0, 1.0])
def test_a_choice_passes_on_to_what_it_chose(a: float) -> None:
    inputs = {"a": number(a), "b": number(2.0), "c": number(3.0)}
    program = Program()
    result = entered(program, ("select", ("le", "a", 0.5), "b", "c"))
    found = by_list(program, result, inputs, contracted=False)
    chosen = {"b": 1.0 - a, "c": a, "a": 0.0}
    assert found == {n: [chosen[n]] * 2 for n in NAMES}


TRACED: dict[str, tuple[Callable[..., Tensor], list[tuple[float, ...]]]] = {
    "relu": (torch.relu, [(0.0,), (1.0,), (-1.0,)]),
    "clamp": (lambda x: x.clamp(0.0, 1.0), [(0.0,), (1.0,), (0.5,), (2.0,), (-1.0,)]),
    "detach": (lambda x: x * x.detach(), [(3.0,)]),
    "square": (lambda x: x**2 + x**-3 + x**0.5, [(3.0,)]),
    "where": (lambda x, y: torch.where(x < y, x * y, x - y), [(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)]),
    "minimum": (torch.minimum, [(2.0, 2.0)]),
    "hard_limit": (lambda x, y: smoothing.hard_limit(0.0, y, x), [(0.0, 1.0), (1.0, 1.0), (0.5, 1.0), (2.0, 1.0)]),
    "choose": (lambda x, y: smoothing.choose(x, y, 2 * y), [(0.0, 3.0), (-1.0, 3.0)]),
    "rounded_min": (lambda x, y: smoothing.rounded_min(x, y, 0.02), [(0.0, 0.0), (0.0, 2.0), (1.0, 1.0), (3.0, 1.0)]),
    "rounded_max": (lambda x, y: smoothing.rounded_max(x, y, 0.02), [(0.0, 0.0), (0.0, 2.0), (1.0, 1.0)]),
    "rounded_limit": (
        lambda x, y: smoothing.rounded_limit(0.0, y, x, 0.02),
        [(0.0, 1.0), (1.0, 1.0), (0.5, 1.0), (0.0, 0.0)],
    ),
    "gate": (lambda x, y: smoothing.gate(x, y), [(0.0, 1.0), (-90.0, 1.0), (5.0, 0.3)]),
    "event_share": (
        lambda x, y: smoothing.event_share(x, y, 1.5, 1e-3),
        [(-3.0, 4.0), (0.0, 0.0), (-40.0, 12.0), (60.0, 12.0), (-2.0, 4.0), (-2.0005, 4.0)],
    ),
    "replace_gradient": (lambda x, y: smoothing.replace_gradient(x * x, x * y), [(2.0, 5.0)]),
}


@pytest.mark.parametrize("name", TRACED)
def test_what_is_traced_has_autograds_value_and_derivative(name: str) -> None:
    function, cases = TRACED[name]
    for point in cases:
        inputs = {n: number(v) for n, v in zip(NAMES, point, strict=False)}
        program = Program()
        with recording(program, lower):
            symbol = function(*(symbols(program, [n]) for n in inputs))
        (result,) = symbol.places.ravel().tolist()
        new, places = plain(program, [result])
        (value,) = evaluated(new, [places[result]], inputs)
        assert float(value) == pytest.approx(float(function(*inputs.values())), rel=1e-13, abs=1e-300), (name, point)
        expected = by_autograd(function, inputs)
        for leaf, both in by_list(program, int(result), inputs, contracted=True).items():
            assert both == pytest.approx([expected[leaf]] * 2, rel=1e-11, abs=1e-15), (name, point, leaf)


@given(trees(), points, st.booleans())
def test_forwards_is_backwards_is_autograd(tree: Tree, point: dict[str, float], contracted: bool) -> None:
    inputs = {n: number(point[n]) for n in NAMES}
    expected = by_autograd(
        lambda *leaves: direct(tree, dict(zip(NAMES, leaves, strict=True))) + 0 * sum(leaves), inputs
    )
    if not all(math.isfinite(v) and abs(v) < 1e8 for v in expected.values()):
        return
    program = Program()
    result = entered(program, tree)
    if program.value(result) is not None:
        return
    for leaf, (forwards, backwards) in by_list(program, result, inputs, contracted).items():
        assert forwards == pytest.approx(backwards, rel=1e-9, abs=1e-9)
        assert backwards == pytest.approx(expected[leaf], rel=1e-9, abs=1e-9)


# --- stages -----------------------------------------------------------------------------------------------


def test_each_operation_stands_in_the_earliest_stage_that_knows_its_arguments() -> None:
    p = Program()
    shared, own = p.input(("params", "shared")), p.input(("params", "own"))
    weather, carried = p.input(("weather", "tmin")), p.input(("carried", "states", 0))
    once = p.add("exp", shared)
    lane = p.add("mul", once, own)
    row = p.add("sub", weather, once)
    day = p.add("add", row, p.add("mul", lane, carried))
    mixed = p.add("mul", row, lane)
    results = [day, mixed]
    found = staged(p, results, lambda name: name == ("params", "own"), by_row=True)
    assert {found.of[x] for x in (shared, once)} == {Stage.ONCE}
    assert {found.of[x] for x in (own, lane)} == {Stage.LANE}
    assert {found.of[x] for x in (weather, row)} == {Stage.ROW}
    assert {found.of[x] for x in (carried, day, mixed)} == {Stage.DAY}
    assert found.handed(p, Stage.ONCE, [Stage.ROW, Stage.LANE, Stage.DAY], results) == [once]
    assert found.handed(p, Stage.LANE, [Stage.DAY], results) == [lane]
    by_day = staged(p, results, lambda name: name == ("params", "own"), by_row=False)
    assert {by_day.of[x] for x in (weather, row)} == {Stage.DAY}


def test_what_depends_on_no_simulation_is_not_computed_every_day() -> None:
    case = quick_cases()["lintul2"]
    run = simulate(case.model, case.crop, case.season, switches=Smooth(), backend="kernel")
    season, binding = run.kernel.season, run.kernel.binding
    new, places = plain(season.program, [*season.after, *season.kept])
    wanted = [places[p] for p in (*season.after, *season.kept)]
    found = staged(new, wanted, lambda name: name in binding.own, binding.by_row)
    for place, stage in found.of.items():
        arguments = [found.of[a] for a in new.operations[place].arguments if a in found.of]
        if arguments and stage != Stage.DAY:
            assert max(arguments) <= stage
    by_stage = [sum(1 for s in found.of.values() if s == stage) for stage in (Stage.ONCE, Stage.ROW, Stage.DAY)]
    assert min(by_stage) > 20


# --- the tracer ---------------------------------------------------------------------------------------------


def test_an_operation_without_a_rule_is_named_with_its_line() -> None:
    program = Program()
    with recording(program, lower), pytest.raises(Untraceable, match=r"erfinv.*test_kernels_lists\.py"):
        torch.erfinv(symbols(program, ["a"]))


def test_a_symbol_has_no_number() -> None:
    program = Program()
    with recording(program, lower):
        symbol = symbols(program, ["a"])
        assert isinstance(symbol, Symbol)
        with pytest.raises(Untraceable, match="a number was asked"):
            symbol.item()
