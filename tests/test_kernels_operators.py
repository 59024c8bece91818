"""The season kernel under torch's transforms, compiler and checks of operators: as the eager loop, or refused."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as fwad
from torch import Tensor
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import torchcrop as tc
from tests.seasons import SWITCHES, quick_cases
from torchcrop.kernels import backend as kernels
from torchcrop.kernels.kernel import Inputs, SeasonKernel, kernel_named
from torchcrop.kernels.operators import run

F64 = torch.float64
FREE = {"lintul2": ("LUE", "TSUMEND", "LAII"), "lintul5-water": ("TSUM2", "RGRLAI", "RRI")}
NAMES = ("shared", "own", "events", "raw", "base", "last")
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, -1.0], dtype=F64)
slow_water = pytest.mark.parametrize("name", ["lintul2", pytest.param("lintul5-water", marks=pytest.mark.slow)])


def presets(name: str) -> Tensor:
    crop = quick_cases()[name].crop
    by_symbol = {q.symbol: getattr(crop, n) for n, q in crop.quantities().items()}
    return torch.stack([by_symbol[symbol] for symbol in FREE[name]])


def several(name: str, size: int = 3) -> Tensor:
    """Values around the presets, ``[size, 3]``, that move apart in all directions."""
    steps = torch.linspace(-0.01, 0.01, size, dtype=F64)[:, None] * torch.tensor([1.0, -0.6, 0.8], dtype=F64)
    return presets(name) * (1 + steps)


def outcome(name: str, backend: str = "kernel", mode: str = "smooth") -> Callable[[Tensor], Tensor]:
    """Parameters ``[3]`` to grain, leaf area (largest, and of one day) and maturity, ``[4]``."""
    case = quick_cases()[name]

    def simulated(values: Tensor) -> Tensor:
        crop = case.crop.with_values(**dict(zip(FREE[name], values.unbind(-1), strict=True)))
        outputs = ["LAI", "max(LAI)"]
        done = tc.simulate(case.model, crop, case.season, switches=SWITCHES[mode], outputs=outputs, backend=backend)
        assert backend == "auto" or done.backend == backend
        results = (done.final["WSO"], done["max(LAI)"], done["LAI"][..., 30], done.dates["maturity"])
        return torch.stack([r if values.dim() > 1 else r.squeeze(0) for r in results], -1)

    return simulated


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-9) -> None:
    """Equal to a share of the largest number of each row."""
    assert torch.isfinite(theirs).all()
    assert theirs.abs().max() > 0
    scale = theirs.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    torch.testing.assert_close(ours / scale, theirs / scale, rtol=0.0, atol=tolerance)


# --- simulate under torch.func ------------------------------------------------------------------------------

Simulated = Callable[[Tensor], Tensor]


def loss(f: Simulated) -> Simulated:
    return lambda values: (f(values) * WEIGHTS).sum()


TRANSFORMS: dict[str, Callable[[Simulated, Tensor, Tensor], Tensor]] = {
    "grad": lambda f, x, X: grad(loss(f))(x),
    "vjp": lambda f, x, X: vjp(f, x)[1](WEIGHTS)[0],
    "jvp": lambda f, x, X: torch.stack(jvp(f, (x,), (0.1 * x,))),
    "jacrev": lambda f, x, X: jacrev(f)(x),
    "jacfwd": lambda f, x, X: jacfwd(f)(x),
    "vmap": lambda f, x, X: vmap(f)(X),
    "vmap of vmap": lambda f, x, X: vmap(vmap(f))(torch.stack([X, 1.001 * X])),
    "vmap of grad": lambda f, x, X: vmap(grad(loss(f)))(X),
    "grad of vmap": lambda f, x, X: grad(loss(vmap(f)))(X),
    "vmap of jvp": lambda f, x, X: torch.stack(vmap(lambda a, b: jvp(f, (a,), (b,)))(X, 0.1 * X)),
    "jvp of vmap": lambda f, x, X: torch.stack(jvp(vmap(f), (X,), (0.1 * X,))),
    "vmap of jacfwd": lambda f, x, X: vmap(jacfwd(f))(X),
    "vmap of jacrev": lambda f, x, X: vmap(jacrev(f))(X),
    "a batch": lambda f, x, X: jacrev(f)(X),
    "vmap over one parameter": lambda f, x, X: vmap(lambda v: f(torch.cat([v[None], x[1:]])))(X[:, 0]),
    "jacobian, vectorised": lambda f, x, X: torch.autograd.functional.jacobian(f, x, vectorize=True),
    "jacobian, forward": lambda f, x, X: torch.autograd.functional.jacobian(
        f, x, vectorize=True, strategy="forward-mode"
    ),
    "a factor within": lambda f, x, X: grad(lambda a: (jvp(f, (x,), (x,))[1] * a * WEIGHTS).sum())(x.sum())[None],
}


@slow_water
@pytest.mark.parametrize("which", TRANSFORMS)
def test_a_transform_is_that_of_the_eager_loop(name: str, which: str) -> None:
    of, x, many = TRANSFORMS[which], presets(name), several(name)
    close(of(outcome(name), x, many), of(outcome(name, "eager"), x, many))


@pytest.mark.parametrize("mode", ["hard", pytest.param("straight", marks=pytest.mark.slow)])
def test_transforms_in_the_other_modes(mode: str) -> None:
    x = presets("lintul2")
    for of in (jacfwd, jacrev):
        close(of(outcome("lintul2", mode=mode))(x)[:3], of(outcome("lintul2", "eager", mode))(x)[:3])


@pytest.mark.parametrize("of", [jacfwd, jacrev, vmap])
def test_a_season_may_be_traced_within_a_transform(of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_SEASONS", OrderedDict())
    monkeypatch.setattr(kernels, "_KERNELS", OrderedDict())
    at = several("lintul2") if of is vmap else presets("lintul2")
    close(of(outcome("lintul2"))(at), of(outcome("lintul2", "eager"))(at))


@pytest.mark.parametrize("batched", [False, True])
def test_dual_numbers(batched: bool) -> None:
    at = several("lintul2") if batched else presets("lintul2")
    found = {}
    for backend in ("kernel", "eager"):
        with fwad.dual_level():
            found[backend] = fwad.unpack_dual(outcome("lintul2", backend)(fwad.make_dual(at, 0.1 * at)))
    close(found["kernel"].primal, found["eager"].primal)
    close(found["kernel"].tangent, found["eager"].tangent)


def test_events_and_a_scenario_under_transforms() -> None:
    case = quick_cases()["lintul5-water"]
    days = (case.season.end - case.season.start).days + 1

    def grain(factor: Tensor, backend: str) -> Tensor:
        more: dict[str, Any] = {
            "events": {"irrigation": factor * torch.linspace(0.0, 4.0, days, dtype=F64)},
            "scenario": {"rain": factor, "co2": 400 * factor},
        }
        done = tc.simulate(
            case.model, case.crop, case.season, switches=tc.Smooth(), outputs=[], backend=backend, **more
        )
        return done.final["WSO"].squeeze(0)

    factors = torch.tensor([0.9, 1.0, 1.1], dtype=F64)
    for of in (lambda f: vmap(f)(factors), lambda f: vmap(grad(f))(factors), lambda f: vmap(jacfwd(f))(factors)):
        close(of(lambda v: grain(v, "kernel")), of(lambda v: grain(v, "eager")))


# --- second derivatives -------------------------------------------------------------------------------------

SECOND: dict[str, Callable[[Simulated, Tensor], Any]] = {
    "forward over reverse": lambda f, x: hessian(f)(x),
    "reverse over reverse": lambda f, x: jacrev(jacrev(f))(x),
    "forward over forward": lambda f, x: jacfwd(jacfwd(f))(x),
    "reverse over forward": lambda f, x: jacrev(jacfwd(f))(x),
    "double backward": lambda f, x: torch.autograd.functional.hessian(loss(f), x),
}


@pytest.mark.parametrize("which", SECOND)
def test_a_second_derivative_is_refused(which: str) -> None:
    with pytest.raises(RuntimeError, match=r'derivative of a derivative is asked for: .*backend="eager"'):
        SECOND[which](outcome("lintul2"), presets("lintul2"))


def test_auto_takes_the_eager_loop_for_nested_derivatives() -> None:
    x = presets("lintul2")
    along = [jvp(grad(loss(outcome("lintul2", backend))), (x,), (x,))[1] for backend in ("auto", "eager")]
    close(along[0], along[1], 1e-12)


# --- the operators ------------------------------------------------------------------------------------------


@cache
def prepared(size: int = 3) -> tuple[SeasonKernel, Inputs]:
    """A kernel of LINTUL2 with three active inputs, and a run's inputs."""
    taken: list[tuple[SeasonKernel, Inputs]] = []

    def spy(kernel: SeasonKernel, inputs: Inputs) -> tuple[Tensor, Tensor]:
        taken.append((kernel, inputs))
        return run(kernel, inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "run", spy)
        outcome("lintul2")(several("lintul2", size).requires_grad_())
    kernel, inputs = taken[0]
    return kernel, replace(inputs, own=inputs.own.detach())


def tensors(inputs: Inputs) -> dict[str, Tensor]:
    return {name: getattr(inputs, name) for name in NAMES}


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(len(shape)))


def calls(kernel: SeasonKernel, inputs: Inputs) -> dict[str, tuple[Any, dict[str, Tensor]]]:
    """All three operators, with tensors for them by name."""
    days, size = inputs.events.shape[-2:]
    season = kernel.season
    given = tensors(inputs)
    back = {"by_daily": random(days, len(season.kept), size), "by_carried": random(len(season.after), size)}
    along = {"own_tangents": inputs.own * random(2, 3, size), "event_tangents": random(2, *inputs.events.shape)}
    ops = torch.ops.torchcrop
    return {
        "season": (ops.season, given),
        "season_reverse": (ops.season_reverse, given | back),
        "season_tangents": (ops.season_tangents, given | along),
    }


OPERATORS = ("season", "season_reverse", "season_tangents")
every_operator = pytest.mark.parametrize("operator", OPERATORS)


def varied(kernel: SeasonKernel, name: str, value: Tensor, many: int) -> Tensor:
    """Several of an input, ``[many, ...]``, all of which a season can have."""
    if name in ("base", "last"):
        return torch.stack([value + (k if name == "base" else -k) for k in range(many)])
    new = torch.stack([value.clone() for _ in range(many)])
    for k in range(many):
        if name == "shared":
            scalars = [n[0] == "params" and len(n) == 3 for n in kernel.binding.shared]
            new[k, torch.tensor(scalars)] *= 1 + 0.001 * k
        elif name == "raw":
            new[k, kernel.binding.raw.index(("weather", "tmax"))] += 0.3 * k
        else:
            new[k] *= 1 + 0.01 * k
    return new


@every_operator
@pytest.mark.parametrize("name", NAMES)
def test_vmap_over_an_input_is_a_loop(operator: str, name: str) -> None:
    kernel, inputs = prepared()
    op, given = calls(kernel, inputs)[operator]
    many = varied(kernel, name, given[name], 2)
    dim = many.dim() - 1
    mapped = vmap(lambda x: op(kernel.handle, *(given | {name: x}).values()), in_dims=dim)(many.movedim(0, -1))
    looped = [op(kernel.handle, *(given | {name: x}).values()) for x in many]
    for ours, theirs in zip(mapped, zip(*looped, strict=True), strict=True):
        expected = torch.stack(theirs)
        assert expected.shape == ours.shape
        if name in ("own", "events"):
            assert torch.equal(ours, expected)  # the same kernel, in other lanes
        elif expected.numel():
            close(ours, expected, 1e-12)
            assert name == "last" or not torch.equal(expected[0], expected[1])


def test_vmap_over_two_inputs_at_once() -> None:
    kernel, inputs = prepared()
    given = tensors(inputs)
    shared, raw = (varied(kernel, name, given[name], 2) for name in ("shared", "raw"))
    mapped = vmap(lambda s, r: run(kernel, replace(inputs, shared=s, raw=r)))(shared, raw)
    for k in range(2):
        daily, carried = run(kernel, replace(inputs, shared=shared[k], raw=raw[k]))
        close(mapped[0][k], daily, 1e-12)
        close(mapped[1][k], carried, 1e-12)


@every_operator
def test_a_batch_is_a_loop_bit_for_bit(operator: str) -> None:
    kernel, inputs = prepared(7)
    op, given = calls(kernel, inputs)[operator]
    whole = op(kernel.handle, *given.values())
    columns = [name for name in given if name not in ("shared", "raw", "base", "last")]
    for b in range(7):
        one = op(kernel.handle, *(given | {name: given[name][..., b : b + 1] for name in columns}).values())
        for all_of_them, alone in zip(whole, one, strict=True):
            assert torch.equal(all_of_them[..., b : b + 1], alone)


def test_tangents_mapped_over_run_the_season_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, inputs = prepared()
    ran: list[int] = []
    job = SeasonKernel.tangents

    def spy(self: SeasonKernel, inputs: Inputs, own: Tensor, events: Tensor) -> Any:
        ran.append(own.shape[0])
        return job(self, inputs, own, events)

    monkeypatch.setattr(SeasonKernel, "tangents", spy)
    jacfwd(lambda own: run(kernel, replace(inputs, own=own))[1])(inputs.own)
    assert ran == [inputs.own.numel()]


def test_batched_cotangents_are_a_loop() -> None:
    kernel, inputs = prepared()
    own = inputs.own.clone().requires_grad_()
    daily, _ = run(kernel, replace(inputs, own=own))
    weights = random(4, *daily.shape)
    (together,) = torch.autograd.grad(daily, own, weights, is_grads_batched=True, retain_graph=True)
    for k in range(4):
        (alone,) = torch.autograd.grad(daily, own, weights[k], retain_graph=True)
        assert torch.equal(together[k], alone)


@every_operator
@pytest.mark.parametrize("size", [3, 8])
def test_torch_finds_no_fault(operator: str, size: int) -> None:
    kernel, inputs = prepared(size)
    op, given = calls(kernel, inputs)[operator]
    if operator == "season":
        given |= {"own": given["own"].clone().requires_grad_()}
    torch.library.opcheck(op.default, (kernel.handle, *given.values()))


@pytest.mark.filterwarnings("ignore:.*torch._prims_common.check:FutureWarning")  # torch's own
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_without_a_break(compiler: str) -> None:
    kernel, inputs = prepared()

    def value(own: Tensor) -> Tensor:
        daily, carried = run(kernel, replace(inputs, own=own * 1.0))
        return daily.square().sum() + carried[3].sum()

    found = []
    for f in (value, torch.compile(value, fullgraph=True, backend=compiler)):
        own = inputs.own.clone().requires_grad_()
        f(own).backward()
        assert own.grad is not None
        found.append(own.grad)
    close(found[1], found[0], 1e-12)
    for transform in (grad, jacfwd):
        compiled = torch.compile(transform(value), fullgraph=True, backend=compiler)
        close(compiled(inputs.own), found[0], 1e-12)


def test_a_float32_kernel_has_derivatives_too() -> None:
    kernel, inputs = prepared()
    single = SeasonKernel(kernel.season, kernel.binding, torch.float32)
    low = replace(inputs, **{name: getattr(inputs, name).float() for name in ("shared", "own", "events", "raw")})

    def value(kernel: SeasonKernel, inputs: Inputs) -> Callable[[Tensor], Tensor]:
        return lambda own: run(kernel, replace(inputs, own=own))[1][3]

    exact = jacrev(value(kernel, inputs))(inputs.own)
    for of in (jacrev, jacfwd):
        rough = of(value(single, low))(low.own)
        assert rough.dtype == torch.float32
        torch.testing.assert_close(rough.double(), exact, rtol=1e-2, atol=1e-4 * float(exact.abs().max()))


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shared", "raw"])
@pytest.mark.parametrize("of", [jacrev, jacfwd])
def test_a_derivative_by_what_is_not_bound_for_it_is_refused(name: str, of: Any) -> None:
    kernel, inputs = prepared()
    with pytest.raises(RuntimeError, match=f"no derivative by '{name}': bind what has one as own"):
        of(lambda x: run(kernel, replace(inputs, **{name: x}))[1].sum())(getattr(inputs, name))


def test_a_tangent_of_a_constant_is_refused() -> None:
    kernel, inputs = prepared()
    first, *others = kernel.binding.own
    held = kernel.rebound(active=tuple(others))
    for row, moves in ((first, False), (others[0], True)):
        tangent = torch.zeros_like(inputs.own)
        tangent[kernel.binding.own.index(row)] = 1.0
        with fwad.dual_level():
            given = replace(inputs, own=fwad.make_dual(inputs.own, tangent))
            if moves:
                assert fwad.unpack_dual(run(held, given)[1]).tangent.abs().max() > 0
            else:
                with pytest.raises(RuntimeError, match="has a tangent, but is not active"):
                    run(held, given)


WRONG: list[tuple[str, Callable[[Tensor], Tensor], str]] = [
    ("shared", lambda x: x[1:], "shared has shape"),
    ("own", lambda x: x[:, :2], "own has shape"),
    ("raw", lambda x: x[1:], "raw has shape"),
    ("base", lambda x: x.int(), "base is torch.int32"),
    ("base", lambda x: x.repeat(2), r"expected int64 of \[1\] or \[3\]"),
    ("base", lambda x: x - 1, "base has rows -1 to -1; raw has rows 0 to"),
    ("last", lambda x: x + 1000, "last has rows"),
]


@pytest.mark.parametrize(("name", "wrong", "message"), WRONG)
def test_arrays_that_do_not_fit_are_refused(name: str, wrong: Callable[[Tensor], Tensor], message: str) -> None:
    kernel, inputs = prepared()
    with pytest.raises(ValueError, match=message):
        run(kernel, replace(inputs, **{name: wrong(getattr(inputs, name))}))


@pytest.fixture
def twins() -> list[SeasonKernel]:
    kernel, _ = prepared()
    binding = replace(kernel.binding, active=kernel.binding.active[:1])
    return [SeasonKernel(kernel.season, binding, torch.float64) for _ in range(2)]


def test_a_handle_means_a_kernel_while_one_of_its_content_lives(twins: list[SeasonKernel]) -> None:
    handle = twins[0].handle
    assert twins[1].handle == handle
    assert handle != prepared()[0].handle
    twins.pop()
    gc.collect()
    assert kernel_named(handle) is twins[0]
    twins.pop()
    gc.collect()
    with pytest.raises(RuntimeError, match=f"season kernel {handle} is no longer in memory"):
        kernel_named(handle)
