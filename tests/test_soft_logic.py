"""Logic of soft truth values: tables of truth, broadcasting, derivatives where a factor is 0."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from torchcrop.soft import logic
from torchcrop.soft.checks import NotATensorError

PAIRS = {"logical_and": logic.logical_and, "logical_or": logic.logical_or, "logical_xor": logic.logical_xor}
REDUCTIONS = {"all": logic.all, "any": logic.any}
both_means = pytest.mark.parametrize("geometric", [False, True], ids=["product", "geometric"])
every_pair = pytest.mark.parametrize("name", PAIRS)
every_reduction = pytest.mark.parametrize("name", REDUCTIONS)


def truth(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (0.1 + 0.8 * torch.rand(*shape, generator=generator, dtype=torch.float64)).requires_grad_()


CRISP_X, CRISP_Y = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2))).T


@every_pair
def test_crisp_truth_values_give_the_table_of_truth(name: str) -> None:
    expected = getattr(torch, name)(CRISP_X, CRISP_Y).to(torch.float32)
    assert torch.equal(PAIRS[name](CRISP_X, CRISP_Y), expected)
    # A geometric mean has a floor of 1e-10 under each truth value: its false is 1e-5.
    assert torch.allclose(PAIRS[name](CRISP_X, CRISP_Y, use_geometric_mean=True), expected, atol=3e-5)


@pytest.mark.parametrize(
    ("name", "geometric", "expected"),
    [
        ("logical_and", False, 0.8 * 0.5),
        ("logical_or", False, 1 - 0.2 * 0.5),
        ("logical_xor", False, 1 - (1 - 0.8 * 0.5) * (1 - 0.2 * 0.5)),
        ("logical_and", True, math.sqrt(0.8 * 0.5)),
        ("logical_or", True, 1 - math.sqrt(0.2 * 0.5)),
        ("logical_xor", True, 1 - math.sqrt((1 - math.sqrt(0.8 * 0.5)) * (1 - math.sqrt(0.2 * 0.5)))),
    ],
)
def test_half_truths_follow_the_formulas(name: str, geometric: bool, expected: float) -> None:
    x, y = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    assert PAIRS[name](x, y, geometric).item() == pytest.approx(expected, rel=1e-12)


def test_not_is_the_complement() -> None:
    assert torch.equal(logic.logical_not(torch.tensor([0.0, 0.25, 1.0])), torch.tensor([1.0, 0.75, 0.0]))
    assert torch.equal(logic.logical_not(torch.tensor([True, False])), torch.tensor([0.0, 1.0]))


@every_pair
@both_means
def test_operands_broadcast_and_may_be_numbers_or_booleans(name: str, geometric: bool) -> None:
    fn, x, y = PAIRS[name], truth(2, 1).detach(), truth(3, seed=1).detach()
    expected = fn(x.expand(2, 3), y.expand(2, 3).contiguous(), geometric)
    assert torch.equal(fn(x, y, geometric), expected)
    assert torch.equal(fn(x, 1, geometric), fn(x, torch.ones_like(x), geometric))
    assert torch.equal(fn(x, False, geometric), fn(x, torch.zeros_like(x), geometric))
    mask = torch.tensor([[True], [False]])
    assert torch.equal(fn(x, mask, geometric), fn(x, mask.double(), geometric))
    assert torch.equal(fn(mask, x, geometric), fn(mask.double(), x, geometric))


@both_means
def test_reductions_along_one_several_and_all_axes(geometric: bool) -> None:
    x = truth(2, 3, 5).detach()
    mean = (lambda t, d: t.log().mean(d).exp()) if geometric else (lambda t, d: t.log().sum(d).exp())
    for dim in (0, 1, -1, (0, 2), (2, 0), [1], None):
        axes = (0, 1, 2) if dim is None else dim
        torch.testing.assert_close(logic.all(x, dim, use_geometric_mean=geometric), mean(x, axes))
        torch.testing.assert_close(logic.any(x, dim, use_geometric_mean=geometric), 1 - mean(1 - x, axes))
        kept = logic.all(x, dim, use_geometric_mean=geometric, keepdim=True)
        assert kept.shape == x.sum(axes, keepdim=True).shape
    assert logic.all(x, use_geometric_mean=geometric).shape == (2, 3)


@both_means
@pytest.mark.parametrize("dim", [-1, None, (0, 1)])
def test_over_no_values_all_is_true_and_any_false(geometric: bool, dim: int | None) -> None:
    x = torch.zeros(0, 0) if dim is None else torch.zeros(4, 0)
    assert (logic.all(x, dim, use_geometric_mean=geometric) == 1).all()
    assert (logic.any(x, dim, use_geometric_mean=geometric) == 0).all()
    assert logic.all(x, dim, use_geometric_mean=geometric).shape == torch.all(x, dim=dim).shape


def test_a_value_without_axes_is_all_of_itself() -> None:
    assert logic.all(torch.tensor(0.3), None).item() == pytest.approx(0.3)
    assert logic.any(torch.tensor([0.3])).item() == pytest.approx(0.3)


# --- derivatives ----------------------------------------------------------------------------------------


@every_pair
@both_means
def test_pairs_have_right_first_and_second_derivatives(name: str, geometric: bool) -> None:
    operands = truth(2, 1), truth(3, seed=1)
    fn = PAIRS[name]
    assert torch.autograd.gradcheck(lambda a, b: fn(a, b, geometric), operands)
    assert torch.autograd.gradgradcheck(lambda a, b: fn(a, b, geometric), operands)


@every_reduction
@both_means
@pytest.mark.parametrize("dim", [-1, (0, 1), None], ids=str)
def test_reductions_have_right_first_and_second_derivatives(name: str, geometric: bool, dim: int | None) -> None:
    fn = REDUCTIONS[name]
    assert torch.autograd.gradcheck(lambda a: fn(a, dim, use_geometric_mean=geometric), truth(2, 5))
    assert torch.autograd.gradgradcheck(lambda a: fn(a, dim, use_geometric_mean=geometric), truth(2, 5))


@pytest.mark.parametrize("zeros", [[0], [1, 4], [0, 2, 3], [0, 1, 2, 3, 4]], ids=str)
def test_products_with_zeros_have_right_derivatives_up_to_the_third(zeros: list[int]) -> None:
    x = truth(5).detach()
    x[zeros] = 0.0
    x.requires_grad_()
    assert torch.autograd.gradcheck(logic.all, x)
    assert torch.autograd.gradgradcheck(logic.all, x)
    assert torch.autograd.gradcheck(logic.any, (1 - x.detach()).requires_grad_())
    assert torch.autograd.gradgradcheck(logic.any, (1 - x.detach()).requires_grad_())
    # d3 / dx0 dx1 dx2 of a product of five is the product of the other two.
    third = torch.func.jacrev(torch.func.hessian(logic.all))(x.detach())
    assert third[0, 1, 2].item() == pytest.approx((x[3] * x[4]).item(), abs=1e-15)
    assert third[0, 0].abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@every_reduction
@both_means
def test_dtypes_are_kept_and_derivatives_finite_at_zero_and_one(dtype: torch.dtype, name: str, geometric: bool) -> None:
    x = torch.tensor([[0.0, 1.0, 0.5], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=dtype, requires_grad=True)
    result = REDUCTIONS[name](x, use_geometric_mean=geometric)
    assert result.dtype == dtype
    assert result.isfinite().all()
    assert torch.autograd.grad(result.sum(), x)[0].isfinite().all()
    pair = logic.logical_xor(x, 1 - x.detach(), geometric)
    assert pair.dtype == dtype
    assert torch.autograd.grad(pair.sum(), x)[0].isfinite().all()


def test_a_truth_value_below_the_floor_counts_as_the_floor_and_has_no_gradient() -> None:
    x = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    result = logic.all(x, epsilon=1e-4, use_geometric_mean=True)
    assert result.item() == pytest.approx(1e-2)
    assert torch.autograd.grad(result, x)[0].tolist() == [0.0, pytest.approx(0.5e-2)]


@pytest.mark.parametrize("kind", [torch.int64, torch.bool])
def test_integers_become_the_default_dtype(kind: torch.dtype) -> None:
    x = torch.tensor([0, 1], dtype=kind)
    for result in (logic.logical_not(x), logic.logical_and(x, x), logic.logical_or(x, True), logic.all(x)):
        assert result.dtype == torch.get_default_dtype()
    assert logic.logical_or(x, torch.tensor([0.5, 0.5], dtype=torch.float16)).dtype == torch.float16


# --- transforms -----------------------------------------------------------------------------------------


@every_pair
@both_means
def test_pairs_under_vmap_and_compile(name: str, geometric: bool) -> None:
    fn, x, y = PAIRS[name], truth(4, 3).detach(), truth(4, 3, seed=1).detach()
    looped = torch.stack([fn(a, b, geometric) for a, b in zip(x, y, strict=True)])
    assert torch.equal(torch.func.vmap(lambda a, b: fn(a, b, geometric))(x, y), looped)
    compiled = torch.compile(fn, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y, geometric), looped)


@every_reduction
@both_means
def test_reductions_under_vmap_hessian_and_compile(name: str, geometric: bool) -> None:
    def fn(a: Tensor) -> Tensor:
        return REDUCTIONS[name](a, use_geometric_mean=geometric)

    x = truth(4, 3).detach()
    looped = torch.stack([fn(a) for a in x])
    torch.testing.assert_close(torch.func.vmap(fn)(x), looped)
    torch.testing.assert_close(torch.compile(fn, fullgraph=True, backend="aot_eager")(x), looped)
    torch.testing.assert_close(torch.func.jacfwd(fn)(x), torch.func.jacrev(fn)(x))
    assert torch.func.hessian(lambda a: fn(a).sum())(x).abs().max() > 0.01


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PAIRS, *REDUCTIONS, "logical_not"])
def test_what_is_no_tensor_or_complex_is_refused(name: str) -> None:
    fn, rest = getattr(logic, name), ([0.5] if name in PAIRS else [])
    with pytest.raises(NotATensorError, match=rf"{name}: x is 0\.5 .*as_tensor"):
        fn(0.5, *rest)
    with pytest.raises(TypeError, match=f"{name}: .*complex"):
        fn(torch.tensor([1j]), *([torch.tensor([1.0])] if name in PAIRS else []))


@every_reduction
@pytest.mark.parametrize(
    ("dim", "error", "message"),
    [
        (2, ValueError, "dim 2 is out of bounds"),
        (-3, ValueError, "dim -3 is out of bounds"),
        ((0, -2), ValueError, r"dim \(0, -2\) names an axis of 2 twice; name it once"),
        ((), ValueError, r"dim is \(\); name at least one axis, or give None"),
        ((0.0,), TypeError, "dim is 0.0; it must be an integer"),
    ],
)
def test_bad_axes_are_refused(name: str, dim: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"{name}: {message}"):
        REDUCTIONS[name](torch.rand(2, 2), dim)


def test_a_negative_floor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"all: epsilon is -1; it must be at least 0, such as 1e-10"):
        logic.all(torch.rand(2), epsilon=-1, use_geometric_mean=True)
