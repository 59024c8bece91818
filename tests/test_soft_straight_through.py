"""Straight-through forms: the hard value to the bit, the soft derivatives in every order."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from torchcrop.soft.straight_through import grad_replace, st

F64 = torch.float64


def step(x: Tensor, softness: float = 0.1, mode: str = "smooth") -> Tensor:
    """One from zero on.

    Parameters: x.
    """
    if mode == "hard":
        return torch.heaviside(x, x.new_tensor(0.5))  # torch has no derivative of it, in neither direction
    return torch.sigmoid(x / softness)


def rounded(x: Tensor, mode: str = "smooth") -> Tensor:
    return x.round() if mode == "hard" else x + 0.1 * torch.sin(6 * x)


def cut(x: Tensor, mode: str = "smooth") -> Tensor:
    return torch.nn.functional.hardtanh(x, -0.0, 1.0) if mode == "hard" else torch.sigmoid(x) ** 2


OPERATORS = {fn.__name__: fn for fn in (step, rounded, cut)}
every_operator = pytest.mark.parametrize("fn", OPERATORS.values(), ids=OPERATORS)
X = torch.tensor([-1.5, -0.3, -0.0, 0.0, 0.2, 0.5, 1.5, 2.5], dtype=F64)


def bits(x: Tensor) -> Tensor:
    return x.detach().view({torch.float64: torch.int64, torch.float32: torch.int32}.get(x.dtype, torch.int16))


@every_operator
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64])
def test_the_value_is_the_hard_one_to_the_bit(fn: Callable[..., Tensor], dtype: torch.dtype) -> None:
    noise = 3 * torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=F64)
    x = torch.cat([noise, X, torch.tensor([1e4, -1e4], dtype=F64)]).to(dtype).requires_grad_()
    result = st(fn)(x)
    assert torch.equal(bits(result), bits(fn(x.detach(), mode="hard")))
    assert result.requires_grad


def test_a_negative_zero_keeps_its_sign() -> None:
    assert math.copysign(1, st(rounded)(torch.tensor(-0.3)).item()) == -1
    assert math.copysign(1, st(rounded)(torch.tensor(0.3)).item()) == 1


@every_operator
def test_derivatives_of_three_orders_are_those_of_the_soft_operator(fn: Callable[..., Tensor]) -> None:
    mine, soft = X.clone().requires_grad_(), X.clone().requires_grad_()
    a, b = st(fn)(mine), fn(soft)
    for _ in range(3):
        (a,), (b,) = (torch.autograd.grad(y.sum(), x, create_graph=True) for y, x in ((a, mine), (b, soft)))
        assert torch.equal(a, b)


@every_operator
def test_func_transforms_see_the_soft_derivatives(fn: Callable[..., Tensor]) -> None:
    form = st(fn)
    looped = torch.stack([form(x) for x in X])
    assert torch.equal(bits(torch.func.vmap(form)(X)), bits(looped))
    value, tangent = torch.func.jvp(form, (X,), (torch.ones_like(X),))
    _, soft_tangent = torch.func.jvp(fn, (X,), (torch.ones_like(X),))
    assert torch.equal(bits(value), bits(looped))
    torch.testing.assert_close(tangent, soft_tangent)
    torch.testing.assert_close(torch.func.jacrev(form)(X), torch.func.jacrev(fn)(X))
    hessian = torch.func.hessian(lambda x: form(x).sum())(X)
    torch.testing.assert_close(hessian, torch.func.hessian(lambda x: fn(x).sum())(X))
    assert hessian.abs().max() > 0.01
    per_row = torch.func.vmap(torch.func.grad(lambda x: form(x).sum()))(X[:, None])
    torch.testing.assert_close(per_row[:, 0], soft_tangent)


@every_operator
def test_compiled_without_a_break_value_and_gradient_are_the_same(fn: Callable[..., Tensor]) -> None:
    form, x = st(fn), X.clone().requires_grad_()
    compiled = torch.compile(form, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(bits(compiled), bits(form(x)))
    torch.testing.assert_close(torch.autograd.grad(compiled.sum(), x), torch.autograd.grad(fn(x).sum(), x))


def test_more_operators_compile_than_one_code_object_may_be_recompiled_for() -> None:
    torch.compiler.reset()
    operators = [eval(f"lambda x, mode='smooth': x + {k}") for k in range(12)]
    for k, form in enumerate([st(fn) for fn in operators]):
        assert torch.equal(torch.compile(form, fullgraph=True, backend="eager")(X), X + k)


def test_the_product_rule_multiplies_by_soft_values_if_decorated_outside() -> None:
    x = torch.tensor([0.3, -0.3], dtype=F64, requires_grad=True)
    product = st(lambda x, mode="smooth": cut(x, mode=mode) * cut(-x, mode=mode))
    naive = st(cut)(x) * st(cut)(-x)
    soft = torch.autograd.grad((cut(x) * cut(-x)).sum(), x)[0]
    assert torch.equal(torch.autograd.grad(product(x).sum(), x)[0], soft)
    assert not torch.allclose(torch.autograd.grad(naive.sum(), x)[0], soft)
    inner = st(lambda x, mode="smooth": st(cut)(x, mode=mode) * st(cut)(-x, mode=mode))
    torch.testing.assert_close(
        torch.autograd.grad(inner(x).sum(), x)[0], torch.autograd.grad((st(cut)(x) * st(cut)(-x)).sum(), x)[0]
    )


# --- how the mode is given ------------------------------------------------------------------------------


def test_mode_by_name_by_position_and_by_default() -> None:
    seen: list[str] = []

    def fn(x: Tensor, mode: str = "c1", scale: float = 1.0) -> Tensor:
        seen.append(mode)
        return scale * x

    form, x = st(fn), torch.ones(2)
    for args, kwargs, soft in (
        ((x,), {}, "c1"),
        ((x, "c2"), {}, "c2"),
        ((x, "c2", 2.0), {}, "c2"),
        ((x,), {"mode": "smooth", "scale": 2.0}, "smooth"),
    ):
        seen.clear()
        form(*args, **kwargs)
        assert seen == ["hard", soft]
    seen.clear()
    form(x, mode="hard")
    assert seen == ["hard"]


def test_mode_is_passed_on_through_keywords_and_is_smooth_by_default() -> None:
    def passed_on(x: Tensor, **kwargs: Any) -> Tensor:
        return step(x, **kwargs)

    def without_default(x: Tensor, mode: str) -> Tensor:
        return step(x, mode=mode)

    x = torch.tensor([0.2], requires_grad=True)
    for fn in (passed_on, without_default, functools.partial(step, softness=0.1)):
        assert st(fn)(x).item() == 1
        torch.testing.assert_close(torch.autograd.grad(st(fn)(x), x), torch.autograd.grad(step(x), x))


def test_name_signature_and_description_say_what_it_is() -> None:
    form = st(step)
    assert form.__name__ == "step"
    first, _, rest = (form.__doc__ or "").partition("\n\n")
    assert first == 'Straight-through form of `step`: the values of ``mode="hard"``, the derivatives of `mode`.'
    assert rest == "One from zero on.\n\nParameters: x.\n"
    assert (grad_replace(lambda x, forward: x).__doc__ or "").startswith("Straight-through form of `<lambda>`")


# --- nests, None, and values that are not finite --------------------------------------------------------


def order(x: Tensor, mode: str = "smooth", indices: bool = True) -> Any:
    if mode == "hard":
        found = x.sort()
        return torch.return_types.sort((found.values, torch.nn.functional.one_hot(found.indices, len(x)).to(x.dtype)))
    return torch.return_types.sort((2 * x, x[:, None] * x if indices else None))


def test_structured_results_are_combined_leaf_by_leaf() -> None:
    x = torch.tensor([3.0, 1.0, 2.0], dtype=F64, requires_grad=True)
    result = st(order)(x)
    assert isinstance(result, torch.return_types.sort)
    assert result.values.tolist() == [1.0, 2.0, 3.0]
    assert result.indices.argmax(-1).tolist() == [1, 2, 0]
    assert torch.autograd.grad(result.values.sum(), x)[0].tolist() == [2.0] * 3
    assert torch.autograd.grad(st(order)(x).indices.sum(), x)[0].tolist() == [12.0] * 3
    nested = st(lambda x, mode="smooth": {"a": [step(x, mode=mode), None], "b": 3})(x)
    assert nested["a"][0].requires_grad
    assert nested["a"][1] is None
    assert nested["b"] == 3
    compiled = torch.compile(st(order), fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(compiled.values, result.values)


def test_where_one_side_is_none_the_hard_one_is_returned() -> None:
    x = torch.tensor([3.0, 1.0], requires_grad=True)
    result = st(order)(x, indices=False)
    assert torch.equal(result.indices, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert not result.indices.requires_grad
    assert st(lambda x, mode="smooth": None if mode == "hard" else x)(x) is None
    assert torch.equal(st(lambda x, mode="smooth": x if mode == "hard" else None)(x), x)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_where_the_soft_value_is_not_finite_the_hard_one_stands_with_zero_gradient(value: float) -> None:
    form = st(lambda x, mode="smooth": 0 * x + 5 if mode == "hard" else x)
    x = torch.tensor([value, 1.0], requires_grad=True)
    result = st(lambda x, mode="smooth": torch.full_like(x, 5.0) if mode == "hard" else x)(x)
    assert result.tolist() == [5.0, 5.0]
    assert torch.autograd.grad(result.sum(), x)[0].tolist() == [0.0, 1.0]
    both = form(torch.tensor([value]))
    assert torch.equal(both.isnan(), torch.tensor([True]))  # 0 inf is what the hard operator says itself


def test_a_hard_minus_infinity_is_kept() -> None:
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    logarithm = st(lambda x, mode="smooth": x.round().log() if mode == "hard" else (x + 0.1).log())(x)
    assert logarithm.tolist() == [-math.inf, 0.0]
    assert torch.autograd.grad(logarithm[1], x)[0].isfinite().all()


def test_hard_truth_values_and_integers_take_the_dtype_of_the_soft_ones() -> None:
    x = torch.tensor([-1.0, 1.0], requires_grad=True)
    result = st(lambda x, mode="smooth": x > 0 if mode == "hard" else x.sigmoid())(x)
    assert result.dtype == torch.float32
    assert result.tolist() == [0.0, 1.0]
    assert result.requires_grad


# --- grad_replace ---------------------------------------------------------------------------------------


def test_grad_replace_has_the_value_of_one_function_and_the_derivatives_of_another() -> None:
    floor = grad_replace(lambda x, forward: torch.floor(x) if forward else 2 * x**2)
    x = torch.tensor([1.7, -0.2], dtype=F64, requires_grad=True)
    assert floor(x).tolist() == [1.0, -1.0]
    (first,) = torch.autograd.grad(floor(x).sum(), x, create_graph=True)
    torch.testing.assert_close(first, 4 * x)
    assert torch.autograd.grad(first.sum(), x)[0].tolist() == [4.0, 4.0]
    torch.testing.assert_close(torch.func.vmap(floor)(x), floor(x))
    torch.testing.assert_close(torch.compile(floor, fullgraph=True, backend="aot_eager")(x), floor(x))


# --- errors ---------------------------------------------------------------------------------------------


def test_what_takes_no_mode_or_no_forward_is_refused() -> None:
    def plain(x: Tensor) -> Tensor:
        return x

    with pytest.raises(TypeError, match=r"st: plain\(x\) takes no argument 'mode'; add it, or \*\*kwargs"):
        st(plain)
    with pytest.raises(TypeError, match=r"grad_replace: plain\(x\) takes no argument 'forward'; add it"):
        grad_replace(plain)


def test_results_that_do_not_match_are_refused() -> None:
    def shapes(x: Tensor, mode: str = "smooth") -> Tensor:
        return x if mode == "hard" else x[:, None]

    def nests(x: Tensor, mode: str = "smooth") -> Any:
        return (x, x) if mode == "hard" else [x]

    with pytest.raises(ValueError, match=r"shapes: the hard result has shape \(3,\), the soft one \(3, 1\); .* equal"):
        st(shapes)(torch.rand(3))
    with pytest.raises(
        ValueError,
        match=r"nests: the hard call returns a tuple of 2, the soft one a list of 1; they must be nested alike",
    ):
        st(nests)(torch.rand(3))
