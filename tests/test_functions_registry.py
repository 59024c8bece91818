"""Every registered function: its derivative is autograd's, and a tracer sees it as one node."""

import importlib
import pkgutil

import pytest
import torch
from torch import Tensor

import torchcrop
from torchcrop.functions.registry import REGISTRY, Function, function, tracing
from torchcrop.functions.smoothing import hard_limit, hard_max, hard_min
from torchcrop.functions.switches import Hard, Smooth
from torchcrop.functions.tables import Table

for module in pkgutil.walk_packages(torchcrop.functions.__path__, "torchcrop.functions."):
    importlib.import_module(module.name)  # whatever registers functions has registered them now

F64 = torch.float64


def t(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=F64)


def uniform(seed: int, n: int, low: float, high: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(n, dtype=F64, generator=generator)


def tables(ends: str) -> list[Table]:
    """Shared and batched breakpoints times shared and batched ordinates, for six lanes; and the two-point table."""
    shared_x = t(-1.0, 0.2, 0.5, 0.5003, 2.0)
    batched_x = torch.sort(uniform(1, 30, -2, 3).reshape(6, 5), -1).values
    shared_y = t(0.3, -1.0, 0.0, 1.0, 0.7)
    batched_y = uniform(2, 30, -1, 1).reshape(6, 5)
    full = [Table(x, y, ends) for x in (shared_x, batched_x) for y in (shared_y, batched_y)]
    return [*full, Table(t(0.0, 1.0), t(2.0, -1.0), ends), full[1].prepared()]


QUERY = uniform(3, 6, -3, 4)
BOTH_ENDS = [table for ends in ("hold", "extrapolate") for table in tables(ends)]

A, B, C = (uniform(seed, 6, -1, 1) for seed in (4, 5, 6))
POSITIVE, WIDTH = uniform(7, 6, 0.1, 2), uniform(8, 6, 0.2, 1)

#: For each function argument lists away from ties. A new function has to bring its own.
EXAMPLES: dict[str, list[tuple]] = {
    "indicator": [(A,)],
    "exceeds": [(A,)],
    "is_zero": [(A,), (t(0.0, 1.0),)],
    "choose": [(A, B, C), (A, 1.0, C), (A, t(0.3), 2.0)],
    "hard_min": [(A, B), (A, 0.1), (t(0.1), B)],
    "hard_max": [(A, B), (A, 0.1), (t(0.1), B)],
    "hard_limit": [(A - 1, B + 1, 3 * C), (t(-0.2), t(0.2), A), (-0.2, 0.2, A), (A, 0.1, B)],
    "gate": [(A, WIDTH), (A, 0.1), (10 * A, t(0.3))],
    "event_share": [
        (5 * A, POSITIVE, WIDTH, t(0.01)),
        (5 * A - 3, 9 * POSITIVE, WIDTH, 0.01),
        (50 * A, t(0.0), t(1.5), t(1.5e-3)),
        (5 * A, 1.0, 0.1, 1e-4),
        (200 * A, 0.0, WIDTH, 1e-3),
    ],
    "rounded_min": [(POSITIVE, WIDTH, 0.02), (POSITIVE, 0.3, 0.5), (t(0.0), POSITIVE, 0.1), (A, -POSITIVE, 0.1)],
    "rounded_max": [(POSITIVE, WIDTH, 0.02), (POSITIVE, 0.3, 0.5), (t(0.0), POSITIVE, 0.1), (A, -POSITIVE, 0.1)],
    "rounded_limit": [(A - 1, B + 1, 3 * C, 0.1), (t(-0.2), t(0.2), A, 0.02), (-0.2, 0.2, A, 0.02)],
    "replace_gradient": [(A, B)],
    "afgen": [(table, query) for table in BOTH_ENDS for query in (QUERY, t(0.4))],
    "cspline": [(table, query) for table in BOTH_ENDS for query in (QUERY, t(0.4))],
    "window_mean": [
        (table, start, length)
        for table in BOTH_ENDS
        for start, length in ((QUERY, POSITIVE), (QUERY, t(1e-3)), (t(-1.3), t(3.6)), (t(2.5), WIDTH))
    ],
}


def leaves(arguments: tuple) -> list[Tensor]:
    found: list[Tensor] = []
    for argument in arguments:
        if isinstance(argument, Table):
            found += [argument.x, argument.y]
        elif isinstance(argument, Tensor):
            found.append(argument)
    return found


def rebuilt(arguments: tuple, dtype: torch.dtype = F64, device: str = "cpu") -> tuple:
    """The same arguments as fresh leaves; a prepared table stays one."""

    def leaf(value: Tensor) -> Tensor:
        return value.to(dtype=dtype, device=device).clone().requires_grad_()

    def fresh(argument):
        if isinstance(argument, Table):
            table = Table(leaf(argument.x), leaf(argument.y), argument.ends)
            return table.prepared() if argument._slopes is not None else table
        return leaf(argument) if isinstance(argument, Tensor) else argument

    return tuple(map(fresh, arguments))


def partials(entry: Function, arguments: tuple) -> list[Tensor]:
    """The registered derivatives of the tensor arguments; those of numbers are passed over."""
    given = list(entry.derivative(*arguments))
    asked = []
    for argument in arguments:
        if isinstance(argument, Table):
            asked += [given.pop(0), given.pop(0)]
        else:
            partial = given.pop(0)
            if isinstance(argument, Tensor):
                asked.append(partial)
    assert not given, f"{entry.name} has more derivatives than arguments"
    return asked


def pulled_back(partial: Tensor, cotangent: Tensor, leaf: Tensor, of_table: bool) -> Tensor:
    """Cotangent of the result, through an elementwise partial, to the leaf's own shape."""
    if of_table:
        cotangent = cotangent[..., None]
    full = cotangent * partial
    return full.sum_to_size(leaf.shape) if leaf.dim() else full.sum()


def check(entry: Function, arguments: tuple, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    result = entry(*arguments)
    inputs = leaves(arguments)
    generator = torch.Generator().manual_seed(9)
    cotangent = torch.rand(result.shape, dtype=F64, generator=generator).to(result) + 0.5
    if result.requires_grad:
        expected = torch.autograd.grad(result, inputs, cotangent, allow_unused=True)
    else:
        expected = (None,) * len(inputs)
    given = partials(entry, arguments)
    assert len(given) == len(inputs)
    of_table = [
        flag
        for a in arguments
        if isinstance(a, Table | Tensor)
        for flag in [isinstance(a, Table)] * (1 + isinstance(a, Table))
    ]
    for leaf, gradient, partial, table in zip(inputs, expected, given, of_table, strict=True):
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        assert partial.dtype == leaf.dtype
        assert partial.device == leaf.device
        torch.testing.assert_close(pulled_back(partial, cotangent, leaf, table), gradient, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_registered_derivative_is_autograds(name: str) -> None:
    assert name in EXAMPLES, f"{name} is registered but has no examples here"
    for arguments in EXAMPLES[name]:
        check(REGISTRY[name], rebuilt(arguments))


def test_every_example_belongs_to_a_function() -> None:
    assert set(EXAMPLES) == set(REGISTRY)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_single_precision_stays_single(name: str) -> None:
    for arguments in EXAMPLES[name][:6]:
        arguments = rebuilt(arguments, torch.float32)
        assert REGISTRY[name](*arguments).dtype == torch.float32
        for leaf, partial in zip(leaves(arguments), partials(REGISTRY[name], arguments), strict=True):
            assert partial.dtype == leaf.dtype


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_everything_stays_on_the_device(name: str) -> None:
    for arguments in EXAMPLES[name]:
        on_gpu = rebuilt(arguments, device="cuda")
        result = REGISTRY[name](*on_gpu)
        assert result.device.type == "cuda"
        torch.testing.assert_close(result.cpu(), REGISTRY[name](*rebuilt(arguments)), rtol=1e-12, atol=1e-12)
        check(REGISTRY[name], on_gpu)


# --- ties -----------------------------------------------------------------------------------------------

TABLE = (t(0.0, 1.0, 3.0), t(2.0, 5.0, 1.0))  # slopes 3 and -2
TIES = [
    # function, arguments, derivative to each of them, breakpoints and ordinates of tables apart
    (hard_min, (t(0.3), t(0.3)), (0.5, 0.5)),
    (hard_max, (t(0.3), t(0.3)), (0.5, 0.5)),
    (hard_min, (t(0.0), 0.0), (0.5,)),
    (hard_max, (t(-0.0), 0.0), (0.5,)),
    (hard_limit, (t(0.0), t(1.0), t(1.0)), (0.0, 0.5, 0.5)),
    (hard_limit, (t(0.0), t(1.0), t(0.0)), (0.5, 0.0, 0.5)),
    (hard_limit, (0.0, 1.0, t(1.0)), (0.5,)),
    (hard_limit, (t(2.0), t(2.0), t(2.0)), (0.5, 0.25, 0.25)),
    (hard_limit, (t(2.0), t(2.0), t(5.0)), (0.5, 0.5, 0.0)),
    (REGISTRY["choose"], (t(0.0), t(3.0), t(7.0)), (0.0, 0.0, 1.0)),
    (REGISTRY["indicator"], (t(0.0),), (0.0,)),
    (REGISTRY["exceeds"], (t(0.0),), (0.0,)),
    (REGISTRY["rounded_min"], (t(0.0), t(0.0), 0.1), (0.5, 0.5)),
    (REGISTRY["rounded_max"], (t(0.0), t(0.0), 0.1), (0.5, 0.5)),
    (REGISTRY["rounded_limit"], (t(0.5), t(0.5), t(0.5), 0.1), (0.5, 0.5, 0.0)),
    # at a breakpoint the right segment's slope, at a held end half of the end segment's
    (REGISTRY["afgen"], (Table(*TABLE), t(1.0)), ((0, 2.0, 0), (0, 1, 0), -2.0)),
    (REGISTRY["afgen"], (Table(*TABLE), t(0.0)), ((-1.5, 0, 0), (1, 0, 0), 1.5)),
    (REGISTRY["afgen"], (Table(*TABLE), t(3.0)), ((0, 0, 1.0), (0, 0, 1), -1.0)),
    (REGISTRY["afgen"], (Table(*TABLE), t(-4.0)), ((0, 0, 0), (1, 0, 0), 0.0)),
    (REGISTRY["afgen"], (Table(*TABLE), t(9.0)), ((0, 0, 0), (0, 0, 1), 0.0)),
    (REGISTRY["afgen"], (Table(*TABLE, "extrapolate"), t(3.0)), ((0, 0, 2.0), (0, 0, 1), -2.0)),
    # windows that begin and end on breakpoints: the mean is C1, so there is but one derivative
    (REGISTRY["window_mean"], (Table(*TABLE), t(0.0), t(1.0)), ((-1.5, -1.5, 0), (0.5, 0.5, 0), 3.0, 1.5)),
    (REGISTRY["window_mean"], (Table(*TABLE), t(1.0), t(2.0)), ((0, 1.0, 1.0), (0, 0.5, 0.5), -2.0, -1.0)),
    (REGISTRY["window_mean"], (Table(*TABLE), t(-2.0), t(2.0)), ((0, 0, 0), (1, 0, 0), 0.0, 0.0)),
    (REGISTRY["window_mean"], (Table(*TABLE), t(3.0), t(2.0)), ((0, 0, 0), (0, 0, 1), 0.0, 0.0)),
    (REGISTRY["window_mean"], (Table(*TABLE, "extrapolate"), t(-2.0), t(2.0)), ((-6, 3, 0), (2, -1, 0), 3.0, 1.5)),
    (REGISTRY["window_mean"], (Table(*TABLE, "extrapolate"), t(3.0), t(2.0)), ((0, -1, 3), (0, -0.5, 1.5), -2.0, -1.0)),
]


@pytest.mark.parametrize(
    ("entry", "arguments", "expected"), TIES, ids=[f"{i}-{entry.name}" for i, (entry, *_) in enumerate(TIES)]
)
def test_derivatives_at_a_tie(entry: Function, arguments: tuple, expected: tuple) -> None:
    arguments = rebuilt(arguments)
    result = entry(*arguments)
    inputs = leaves(arguments)
    by_autograd = (
        torch.autograd.grad(result, inputs, allow_unused=True) if result.requires_grad else (None,) * len(inputs)
    )
    for leaf, gradient, partial, value in zip(inputs, by_autograd, partials(entry, arguments), expected, strict=True):
        value = torch.tensor(value, dtype=F64)
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        torch.testing.assert_close(gradient, value, rtol=0, atol=1e-14)
        torch.testing.assert_close(partial.expand(value.shape), value, rtol=0, atol=1e-14)


def test_half_a_derivative_is_what_a_central_difference_sees() -> None:
    for form in (hard_min, hard_max):
        x = t(0.4)
        assert ((form(x + 0.125, x) - form(x - 0.125, x)) / 0.25).item() == pytest.approx(0.5)


# --- tracing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_tracer_sees_one_node_with_its_name(name: str) -> None:
    arguments, entry, seen = EXAMPLES[name][0], REGISTRY[name], []

    def tracer(called: Function, args: tuple) -> Tensor:
        seen.append((called, args))
        return called.body(*args)  # a registered function inside the body would be seen as well

    with tracing(tracer):
        result = entry(*arguments)
    assert [called.name for called, _ in seen] == [name]
    assert seen[0][0] is entry
    assert all(a is b for a, b in zip(seen[0][1], arguments, strict=True))
    assert torch.equal(result, entry.body(*arguments))
    assert len(seen) == 1  # outside the context nothing is seen


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_derivative_does_not_call_the_tracer_back(name: str) -> None:
    # A compiler differentiates a node while it traces; a node inside a rule would be traced in turn.
    def refuse(called: Function, args: tuple) -> Tensor:
        raise AssertionError(f"{called.name} was called")

    with tracing(refuse):
        REGISTRY[name].derivative(*EXAMPLES[name][0])


def test_a_tracer_decides_the_result_and_is_undone() -> None:
    x = t(1.0)
    with tracing(lambda called, args: f"{called.name}({len(args)})"):
        assert hard_min(x, 2.0) == "hard_min(2)"
        with tracing(lambda called, args: called.name.upper()):
            assert hard_min(x, 2.0) == "HARD_MIN"
        assert hard_min(x, 2.0) == "hard_min(2)"
        with pytest.raises(ZeroDivisionError), tracing(lambda called, args: 1 / 0):
            hard_min(x, 2.0)
        assert hard_min(x, 2.0) == "hard_min(2)"
    assert hard_min(x, 2.0) == 1.0


def test_switches_call_the_registered_functions() -> None:
    """What a run's switches do to a threshold is one node, or few, never loose operations."""
    x, table = t(0.3, -0.2), Table(t(0.0, 1.0), t(0.0, 1.0))
    seen: list[str] = []

    def tracer(called: Function, args: tuple) -> Tensor:
        seen.append(called.name)
        return called.body(*args)

    for switches, expected in (
        (Hard(), ["indicator", "exceeds", "choose", "hard_min", "hard_limit", "afgen", "hard_max"]),
        (Smooth(), ["event_share", "gate", "gate", "hard_min", "hard_limit", "window_mean", "hard_max"]),
        (
            Smooth(kinks=0.02),
            ["event_share", "gate", "gate", "rounded_min", "rounded_limit", "window_mean", "hard_max"],
        ),
    ):
        seen.clear()
        with tracing(tracer):
            switches.crossed(x, 0.1, 1.0, t(1.0), t(1.0))
            switches.step(x, 1.0, strict=True)
            switches.select(x, 0.0, 1.0, 1.0)
            switches.min(x, 0.1)
            switches.limit(0.0, 1.0, x)
            switches.table_mean(table, x, t(1.0), t(1.0), 1.0)
            switches.positive(x)
        assert seen == expected


# --- the registry itself --------------------------------------------------------------------------------


def test_a_name_is_taken_once() -> None:
    before = dict(REGISTRY)
    with pytest.raises(ValueError, match="'hard_min' is registered already"):

        @function(derivative=lambda a, b: (a, b))
        def hard_min(a: Tensor, b: Tensor) -> Tensor:
            return a

    assert before == REGISTRY


def test_an_entry_looks_like_its_function() -> None:
    for name, entry in REGISTRY.items():
        assert entry.name == entry.__name__ == entry.body.__name__ == name
        assert entry.__doc__
        assert repr(entry) == f"<torchcrop function {name}>"
