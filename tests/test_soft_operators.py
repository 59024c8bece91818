"""What holds for every soft operator: derivatives, transforms, compilation, extremes, dtypes, limits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import hessian, jacfwd, jacrev, jvp, vmap

import torchcrop.soft as soft
from tests.soft_operators import (
    ELEMENTWISE,
    INDICES,
    OTHERS,
    SERIES,
    SOFT_MODES,
    VALUE_METHODS,
    VALUES,
    Call,
    calls,
    points,
)
from torchcrop.soft import blocks, curves, simplex

EVERY = calls()


def each(chosen: Iterable[Call], *, slow: bool | None = None) -> pytest.MarkDecorator:
    """Return a parametrisation over calls; without a choice those that are not quick are marked slow."""
    marked = [(c, not c.quick if slow is None else slow) for c in chosen]
    return pytest.mark.parametrize(
        "call", [pytest.param(c, id=str(c), marks=[pytest.mark.slow] if late else []) for c, late in marked]
    )


# --- derivatives -----------------------------------------------------------------------------------------


@each(EVERY)
def test_first_and_second_derivatives_are_those_of_the_value(call: Call) -> None:
    x = points().requires_grad_()
    torch.autograd.gradcheck(call, (x,))
    if call.mode != "c0":  # the first derivative of c0 has jumps
        torch.autograd.gradgradcheck(call, (x,), rtol=1e-3, atol=1e-5)


@each(EVERY)
def test_third_derivatives_are_finite(call: Call) -> None:
    x, direction = points(), points().flip(0)

    def along(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: jvp(f, (x,), (direction,))[1]

    assert along(along(along(call)))(x).isfinite().all()
    assert along(along(lambda x: jacrev(call)(x)))(x).isfinite().all()


@pytest.mark.parametrize("mode", SOFT_MODES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_softness_may_be_a_tensor_with_one_value_for_each_element(name: str, mode: str) -> None:
    call, x = Call(name, ELEMENTWISE[name], mode), points()
    softness = (0.2 + 0.1 * points().abs()).requires_grad_()
    together = call.softer(softness)(x)
    one_by_one = [call.softer(float(s))(x)[i // 5, i % 5] for i, s in enumerate(softness.detach().reshape(-1))]
    torch.testing.assert_close(together, torch.stack(one_by_one).reshape(3, 5), rtol=1e-12, atol=1e-12)
    torch.autograd.gradcheck(lambda s: call.softer(s)(x), (softness,))


@pytest.mark.parametrize("mode", ["smooth", "c1"])
@pytest.mark.parametrize("method", VALUE_METHODS)
@pytest.mark.parametrize("name", ["sort", "quantile", "rank", "topk", "max"])
def test_softness_may_be_a_tensor_with_one_value_for_each_slice(name: str, method: str, mode: str) -> None:
    call, x = Call(name, VALUES[name], mode, method), points()
    softness = torch.tensor([[0.2], [0.3], [0.5]], dtype=torch.float64, requires_grad=True)
    together = call.softer(softness)(x)
    for i in range(3):
        alone = call.softer(float(softness.detach()[i]))(x[i : i + 1])[0]
        torch.testing.assert_close(together[i], alone, rtol=1e-9, atol=1e-9)
    torch.autograd.gradcheck(lambda s: call.softer(s)(x), (softness,))


# --- transforms ------------------------------------------------------------------------------------------


@each(EVERY)
def test_vmap_is_a_loop(call: Call) -> None:
    x = torch.stack([points(), points() + 0.37, 2 * points()])
    torch.testing.assert_close(vmap(call)(x), torch.stack([call(part) for part in x]), rtol=1e-9, atol=1e-10)


@each(EVERY)
def test_dual_numbers_are_forward_mode(call: Call) -> None:
    x, direction = points(), points().flip(0)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(call(forward_ad.make_dual(x, direction))).tangent
    torch.testing.assert_close(tangent, jvp(call, (x,), (direction,))[1], rtol=1e-8, atol=1e-9)


@each(EVERY)
def test_forward_and_reverse_jacobians_agree_and_the_hessian_is_symmetric(call: Call) -> None:
    x = points()
    torch.testing.assert_close(jacrev(call)(x), jacfwd(call)(x), rtol=1e-8, atol=1e-9)
    second = hessian(lambda x: call(x).square().sum())(x).reshape(15, 15)
    torch.testing.assert_close(second, second.T, rtol=1e-7, atol=1e-7)


def _compiled_equals_eager(call: Callable[[Tensor], Tensor]) -> None:
    torch._dynamo.reset()
    x, y = points().requires_grad_(), points().requires_grad_()
    result, expected = torch.compile(call, fullgraph=True, backend="aot_eager")(x), call(y)
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-10)
    weight = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).reshape(result.shape)
    (result * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-8, atol=1e-9)


@each(
    [
        *(Call(n, ELEMENTWISE[n], "c1") for n in ("relu", "round", "clamp-tensors", "isclose")),
        *(Call("sort", VALUES["sort"], "c2", method) for method in VALUE_METHODS),
        *(Call(n, SERIES[n], "c1") for n in ("interp", "cummax", "event_time", "masked_max")),
        *(Call(n, OTHERS[n]) for n in ("where", "all", "take_along_dim", "narrow")),
    ],
    slow=False,
)
def test_compiles_into_one_graph(call: Call) -> None:
    _compiled_equals_eager(call)


@each(EVERY, slow=True)
def test_every_mode_and_method_compiles_into_one_graph(call: Call) -> None:
    _compiled_equals_eager(call)


@pytest.mark.parametrize("name", ["relu", "round", "eq", "sort", "quantile"])
def test_a_tensor_softness_breaks_no_graph(name: str) -> None:
    call = Call(name, {**ELEMENTWISE, **VALUES}[name], "c1")
    softness = torch.tensor(0.3, dtype=torch.float64)
    _compiled_equals_eager(call.softer(softness))
    _compiled_equals_eager(lambda x: call.softer(0.2 + 0.01 * x.square().sum())(x))


def test_transforms_compile() -> None:
    x = points()
    for transform in (vmap, jacrev, jacfwd):
        for operator in (soft.relu, lambda x: soft.sort(x, dim=-1).values):
            torch._dynamo.reset()
            compiled = torch.compile(transform(operator), fullgraph=True, backend="aot_eager")
            torch.testing.assert_close(compiled(x), transform(operator)(x))


# --- extremes --------------------------------------------------------------------------------------------

ROWS = {
    "large": [1e30, -1e30, 1e29, 3.0, -2.0],
    "all large": [1e30, 1e30, 1e30, 1e30, 1e30],
    "small": [1e-30, -1e-30, 0.0, 1e-38, -1e-38],
    "constant": [0.7, 0.7, 0.7, 0.7, 0.7],
    "ties": [1.0, 1.0, -2.0, -2.0, 1.0],
    "zeros": [0.0, -0.0, 0.0, 0.0, 0.0],
    "integers": [-2.0, -1.0, 0.0, 1.0, 2.0],
}


@pytest.mark.parametrize("standardize", [True, False], ids=("standardised", "raw"))
@each([c for c in EVERY if c.mode not in ("c0",) and c.name not in OTHERS and "tensors" not in c.name])
def test_values_and_gradients_are_finite_at_the_extremes_of_float32(call: Call, standardize: bool) -> None:
    if not call.method and not standardize:
        pytest.skip("elementwise")
    x = torch.tensor([*ROWS.values()], dtype=torch.float32, requires_grad=True)
    options: dict[str, Any] = {"standardize": standardize} if call.method else {}
    result = call.function(
        x, mode=call.mode, softness=0.1, **({"method": call.method} if call.method else {}), **options
    )
    assert result.isfinite().all()
    result.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@each([c for c in EVERY if c.method])
def test_an_axis_of_one_element(call: Call) -> None:
    if call.name == "topk":
        pytest.skip("asks for two")
    x = torch.tensor([[2.0], [-1.0]], dtype=torch.float64, requires_grad=True)
    result = call(x)
    assert result.isfinite().all()
    gradient = torch.autograd.grad(result.sum(), x)[0]
    assert gradient.isfinite().all()
    # The network pads one element with the end of the squashed range, which enters where the modes are wide.
    if call.name in ("max", "min", "sort", "sort-plain", "quantile") and call.method != "sorting_network":
        torch.testing.assert_close(result.reshape(-1), x.detach().reshape(-1), rtol=1e-6, atol=1e-8)


def test_empty_axes() -> None:
    x = torch.zeros(3, 0)
    assert soft.argmax(x, dim=-1).shape == (3, 0)
    for method in VALUE_METHODS:
        assert soft.sort(x, dim=-1, method=method).values.shape == (3, 0)
        assert soft.rank(x, dim=-1, method=method).shape == (3, 0)
    assert soft.relu(x).shape == (3, 0)
    assert soft.sort(torch.zeros(0, 4), dim=-1).indices.shape == (0, 4, 4)
    with pytest.raises(ValueError, match="no elements along dim 1"):
        soft.max(x, dim=-1)


def test_nan_stays_in_its_row() -> None:
    x = points()
    x[1, 2] = math.nan
    for method in VALUE_METHODS:
        for mode in SOFT_MODES:
            values = soft.sort(x, dim=-1, method=method, mode=mode).values
            assert values[1].isnan().any()
            torch.testing.assert_close(
                values[[0, 2]], soft.sort(x[[0, 2]], dim=-1, method=method, mode=mode).values, rtol=1e-9, atol=1e-9
            )


# --- dtypes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@each(EVERY)
def test_lower_precision_stays_near_double(call: Call, dtype: torch.dtype) -> None:
    if call.name in ("norm", "log", "div", "sqrt", "arcsin", "arccos") or "logarithm" in call.name:
        pytest.skip("functions with unbounded slopes")
    x = points().to(dtype)
    result = call(x)
    assert result.dtype == dtype
    tolerance = {torch.float16: 0.02, torch.bfloat16: 0.15, torch.float32: 1e-4}[dtype]
    torch.testing.assert_close(result.double(), call(x.double()), rtol=tolerance, atol=tolerance)


def test_integers_are_taken_in_the_default_dtype() -> None:
    x = torch.tensor([3, 1, 2])
    assert soft.relu(x).dtype == torch.get_default_dtype()
    assert soft.sort(x).values.dtype == torch.get_default_dtype()
    assert soft.greater(x, 2).dtype == torch.get_default_dtype()
    assert soft.argmax(x, mode="hard").dtype == x.dtype


# --- limits ----------------------------------------------------------------------------------------------

HARD: dict[str, Callable[..., Tensor]] = {
    **ELEMENTWISE,
    **VALUES,
    "argmax": INDICES["argmax"],
    "argsort": INDICES["argsort"],
}


@pytest.mark.parametrize("mode", SOFT_MODES)
@pytest.mark.parametrize("name", [n for n in HARD if n not in ("sigmoidal", "softrelu", "softrelu-gated")])
def test_tends_to_the_hard_operator(name: str, mode: str) -> None:
    x = points()
    torch.testing.assert_close(
        HARD[name](x, mode=mode, softness=1e-5), HARD[name](x, mode="hard"), rtol=1e-4, atol=1e-4
    )


STRAIGHT_THROUGH = [n for n in soft.__all__ if n.endswith("_st") and n[:-3] in (ELEMENTWISE | INDICES | VALUES)]


def test_every_operator_has_its_straight_through_form() -> None:
    modal = set(ELEMENTWISE | INDICES | VALUES) & set(soft.__all__) - {"sigmoidal", "softrelu"}
    assert {n + "_st" for n in modal} <= set(soft.__all__)


@pytest.mark.parametrize("name", STRAIGHT_THROUGH)
def test_straight_through_is_the_hard_value_to_the_bit(name: str) -> None:
    calls = ELEMENTWISE | INDICES | VALUES
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 5, generator=generator)
    x[0] = torch.tensor([-0.0, 0.0, -0.3, 1e30, -1e-30])
    through, function = getattr(soft, name), getattr(soft, name[:-3])
    arguments = {
        "clamp": (-0.4, 0.5),
        "clip": (-0.4, 0.5),
        "remainder": (0.9,),
        "topk": (2,),
        "quantile": (0.3,),
        "argquantile": (0.3,),
    }.get(name[:-3], () if name[:-3] not in COMPARED else (x.flip(-1),))
    assert name[:-3] in calls
    kept = {} if name[:-3] in ELEMENTWISE else {"dim": -1}
    hard, soft_valued = function(x, *arguments, **kept, mode="hard"), through(x.requires_grad_(), *arguments, **kept)
    for a, b in zip(_leaves(hard), _leaves(soft_valued), strict=True):
        assert torch.equal(a.view(torch.int32) if a.dtype == torch.float32 else a, b.detach().view(torch.int32))
    gradient = torch.autograd.grad(_leaves(soft_valued)[0].sum(), x)[0]
    expected = torch.autograd.grad(_leaves(function(x, *arguments, **kept))[0].sum(), x)[0]
    torch.testing.assert_close(gradient, expected)


COMPARED = {"greater", "greater_equal", "less", "less_equal", "eq", "not_equal", "isclose", "maximum", "minimum"}


def _leaves(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


# --- large tensors go in blocks --------------------------------------------------------------------------


@each([c for c in EVERY if c.name in ELEMENTWISE or c.method in ("softsort", "neuralsort")])
def test_blocks_are_the_whole(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = points().requires_grad_(), None
    results: list[tuple[Tensor, ...]] = []
    for size in (10**9, 4):
        monkeypatch.setattr(curves, "BLOCK", size)
        monkeypatch.setattr(blocks, "BLOCK", size)
        value = call(x)
        weight = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)
        first = torch.autograd.grad((value * weight).sum(), x, create_graph=True)[0]
        plain = torch.autograd.grad((call(x) * weight).sum(), x)[0]
        second = torch.autograd.grad(first.square().sum(), x)[0] if first.requires_grad else torch.zeros_like(x)
        forward = jvp(call, (x.detach(),), (points().flip(0),))[1]
        mapped = vmap(call)(torch.stack([x.detach(), x.detach() + 0.1]))
        rows = jacrev(call)(x.detach())
        every = torch.eye(value.numel(), dtype=value.dtype).reshape(-1, *value.shape)
        batched = torch.autograd.grad(call(x), x, every, is_grads_batched=True)[0].reshape(rows.shape)
        results.append((value, first, plain, second, forward, mapped, rows, batched))
    for whole, blocked in zip(*results, strict=True):
        torch.testing.assert_close(blocked, whole, rtol=1e-8, atol=1e-9)


def test_default_softness_holds_within_its_block_only() -> None:
    x = points()
    with soft.default_softness(0.5):
        inside = soft.relu(x)
    torch.testing.assert_close(inside, soft.relu(x, softness=0.5))
    torch.testing.assert_close(soft.relu(x), soft.relu(x, softness=0.1))


@pytest.mark.parametrize("schedule", [soft.linear_schedule, soft.exponential_schedule, soft.cosine_schedule])
def test_schedules_fall_from_start_to_end(schedule: Any) -> None:
    softness = [schedule(1.0, 0.01, steps=11)(step) for step in range(13)]
    assert softness[0] == pytest.approx(1.0)
    assert softness[10:] == [0.01, 0.01, 0.01]
    assert all(a > b for a, b in itertools.pairwise(softness[:11]))
    with pytest.raises(ValueError, match="end is 0"):
        schedule(1.0, 0.0, steps=11)
    with pytest.raises(ValueError, match="steps is 1"):
        schedule(1.0, 0.5, steps=1)


# --- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: soft.relu(x, softness=0.0), ValueError, "relu: softness must be positive and finite, got 0.0"),
        (lambda x: soft.sort(x, softness=-1.0), ValueError, "sort: softness must be positive"),
        (lambda x: soft.relu(x, softness=torch.tensor([0.1, 0.0])), ValueError, "relu: softness must be positive"),
        (lambda x: soft.relu(x, mode="smoth"), ValueError, "Did you mean 'smooth'"),
        (lambda x: soft.sort(x, mode="entropic"), ValueError, "sort: Invalid mode: 'entropic'"),
        (lambda x: soft.sigmoidal(x, mode="hard"), ValueError, "sigmoidal: Invalid mode: 'hard'"),
        (lambda x: soft.argsort(x, method="fast_soft_sort"), ValueError, "gives sorted values and no index"),
        (lambda x: soft.sort(x, method="smooth_sort"), NotImplementedError, "fast_soft_sort"),
        (lambda x: soft.relu(0.5), AttributeError, r"relu: x is 0.5 \(float\); it must be a Tensor"),
        (lambda x: soft.relu(0.5), TypeError, "must be a Tensor"),
        (lambda x: soft.relu(x * 1j), TypeError, "complex"),
        (lambda x: soft.topk(x, 0), ValueError, "topk: k is 0; it must be positive and at most 5"),
        (lambda x: soft.topk(x, 6), ValueError, "k is 6"),
        (lambda x: soft.topk(x, 2.0), TypeError, "topk: k is 2.0; it must be an integer"),
        (lambda x: soft.relu(x, softness="0.1"), TypeError, "relu: softness is '0.1'; it must be a number"),
        (lambda x: soft.argmax(x, dim=2), ValueError, "argmax: dim 2 is out of bounds"),
        (lambda x: soft.quantile(x, torch.zeros(1, 1)), ValueError, r"q has shape \(1, 1\)"),
        (lambda x: soft.quantile(x, 0.5, interpolation="cubic"), ValueError, "Invalid interpolation: 'cubic'"),
        (lambda x: soft.median(x, keepdim=True), ValueError, "keepdim=True goes with a dim only"),
        (lambda x: soft.median(x, dim=0, method="fast_soft_sort"), ValueError, "gives no index"),
        (lambda x: soft.argmax(x, log_prob_eps=0.1), ValueError, "goes with return_log_probs=True only"),
        (
            lambda x: soft.argmax(x, return_log_probs=True, log_prob_eps=2.0),
            ValueError,
            r"must be a number in \(0, 1\]",
        ),
        (lambda x: soft.max(x, dim=-1, method="ot", ot_kwargs={"tol": 1}), TypeError, "tol"),
        (lambda x: soft.round(x, neighbor_radius=-1), ValueError, "neighbor_radius is -1"),
        (lambda x: soft.sort(x, softness=torch.ones(5)), ValueError, "one softness for each slice"),
    ],
)
def test_bad_arguments_are_named(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(points())


def test_public_names_are_listed() -> None:
    public = {n for n in vars(soft) if not n.startswith("_")}
    modules = {n for n in public if type(vars(soft)[n]).__name__ == "module"} - {"random"}
    assert public - modules == set(soft.__all__)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_the_threshold_by_sorting_is_newtons(power: int) -> None:
    v = 2 * points()
    v = v - v.amax(-1, keepdim=True)
    torch.testing.assert_close(simplex._by_sorting(v, power), simplex.threshold(v, power), rtol=1e-12, atol=1e-12)


def test_without_gated_gradients_a_quantile_moves_with_q_alone_through_the_values() -> None:
    x, q = points()[0].requires_grad_(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    options = {"softness": 0.3, "gated_grad": False, "return_argquantile": True}
    value, index = soft.quantile(x, q, **options)
    by_x, by_q = torch.autograd.grad(value, (x, q))
    torch.testing.assert_close(by_x, index.detach())
    step = 1e-6
    up, down = (soft.quantile(x.detach(), 0.3 + s, softness=0.3) for s in (step, -step))
    torch.testing.assert_close(by_q, (up - down) / (2 * step), rtol=1e-6, atol=1e-8)
