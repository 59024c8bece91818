"""Selection by soft truth values and indices: one-hot weights give torch's own operator, others its mean."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from torchcrop.soft import selection
from torchcrop.soft.checks import NotATensorError

F64 = torch.float64
one_hot = torch.nn.functional.one_hot


def values(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def weights(*shape: int, seed: int = 1) -> Tensor:
    return values(*shape, seed=seed).softmax(-1)


# --- where ----------------------------------------------------------------------------------------------


def test_where_is_the_weighted_mean_and_broadcasts() -> None:
    c, x, y = torch.tensor([[0.25], [1.0]], dtype=F64), torch.tensor([1.0, 2.0, 3.0], dtype=F64), 10.0
    expected = torch.tensor([[7.75, 8.0, 8.25], [1.0, 2.0, 3.0]], dtype=F64)
    torch.testing.assert_close(selection.where(c, x, y), expected)
    assert torch.equal(selection.where(torch.tensor([True, False]), torch.tensor([1, 2]), 7), torch.tensor([1.0, 7.0]))


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_an_alternative_of_weight_zero_contributes_nothing(bad: float) -> None:
    for as_x in (True, False):
        c = torch.tensor([1.0 - as_x, 1.0 - as_x], dtype=F64, requires_grad=True)
        good = torch.tensor([2.0, 3.0], dtype=F64, requires_grad=True)
        worse = torch.tensor([bad, 5.0], dtype=F64, requires_grad=True)
        result = selection.where(c, *((worse, good) if as_x else (good, worse)))
        assert result.tolist() == [2.0, 3.0]
        first = torch.autograd.grad(result.sum(), (c, good, worse), create_graph=True)
        sign = 1.0 if as_x else -1.0
        # x - y where both are finite; what is not finite is left out.
        assert first[0].tolist() == [sign * -2.0, sign * (5.0 - 3.0)]
        assert first[1].tolist() == [1.0, 1.0]
        assert first[2].tolist() == [0.0, 0.0]
        second = torch.autograd.grad(sum(g.sum() for g in first), (c, good, worse))
        assert all(g.isfinite().all() for g in second)
        number = selection.where(c, *((bad, good) if as_x else (good, bad)))
        assert number.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_an_alternative_with_weight_shows_that_it_is_not_finite(weight: float) -> None:
    c = torch.tensor(weight)
    assert selection.where(c, torch.tensor(math.inf), 0.0).item() == math.inf
    assert math.isnan(selection.where(c, torch.tensor(math.nan), 0.0).item())


def test_where_has_right_derivatives_also_at_weights_zero_and_one() -> None:
    c = torch.tensor([0.0, 0.3, 1.0], dtype=F64, requires_grad=True)
    operands = c, values(3).requires_grad_(), values(2, 1, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(selection.where, operands)
    assert torch.autograd.gradgradcheck(selection.where, operands)


def test_where_is_finite_for_large_numbers() -> None:
    c = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    result = selection.where(c, torch.full((3,), 1e30), torch.full((3,), -1e30))
    torch.testing.assert_close(result, torch.tensor([-1e30, 0.0, 1e30]))
    assert torch.autograd.grad(result.sum(), c)[0].tolist() == pytest.approx([2e30] * 3, rel=1e-6)


# --- one-hot weights are torch's operators --------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_take_along_dim_with_one_hot_weights_is_torchs(dim: int) -> None:
    x = values(3, 4)
    index = torch.randint(0, x.shape[dim], (2, 4) if dim == 0 else (3, 2), generator=torch.Generator().manual_seed(3))
    soft = one_hot(index, x.shape[dim])
    assert torch.equal(selection.take_along_dim(x, soft, dim), torch.take_along_dim(x, index, dim))
    flat = torch.tensor([11, 0, 5])
    assert torch.equal(selection.take_along_dim(x, one_hot(flat, 12)), x.flatten()[flat])
    assert selection.take_along_axis is selection.take_along_dim


def test_take_along_dim_broadcasts_the_other_axes() -> None:
    x, shared, partly = values(3, 4, 5), weights(1, 2, 1, 4), weights(3, 2, 1, 4)
    for soft in (shared, partly):
        full = soft.expand(3, 2, 5, 4)
        expected = torch.einsum("bnc,bkcn->bkc", x, full)
        torch.testing.assert_close(selection.take_along_dim(x, soft, 1), expected)
    torch.testing.assert_close(
        selection.take_along_dim(values(1, 4, 5), partly, 1),
        torch.einsum("bnc,bkcn->bkc", values(1, 4, 5).expand(3, 4, 5), partly.expand(3, 2, 5, 4)),
    )


@pytest.mark.parametrize("dim", [0, 1, -2])
def test_take_and_index_select_with_one_hot_weights_are_torchs(dim: int) -> None:
    x = values(3, 4)
    n = x.shape[dim]
    positions = torch.tensor([n - 1, 0, 1, 1, 0])
    assert torch.equal(selection.take(x, one_hot(positions, n), dim), x.index_select(dim, positions))
    single = one_hot(torch.tensor(1), n)
    assert torch.equal(selection.index_select(x, single, dim), x.index_select(dim, torch.tensor([1])))
    assert torch.equal(selection.index_select(x, single, dim, keepdim=False), x.select(dim, 1))
    assert torch.equal(selection.take(x, one_hot(torch.tensor([7, 2]), 12)), x.flatten()[[7, 2]])
    assert selection.dynamic_index_in_dim is selection.index_select


@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_narrow_with_a_one_hot_start_is_a_slice_of_the_circle(start: int, length: int) -> None:
    x = values(4, 3)
    soft = one_hot(torch.tensor(start), 4)
    assert torch.equal(selection.narrow(x, soft, length), x.roll(-start, 0)[:length])
    assert torch.equal(selection.narrow(x.T, soft, length, dim=-1), x.roll(-start, 0)[:length].T)
    assert selection.dynamic_slice_in_dim is selection.narrow


def test_narrow_is_the_mean_of_the_slices() -> None:
    x, p = values(5, 2), weights(5)
    expected = sum(p[i] * x.roll(-i, 0)[:3] for i in range(5))
    torch.testing.assert_close(selection.narrow(x, p, 3), expected)
    assert torch.equal(selection.narrow(x[:1], torch.ones(1, dtype=F64), 1), x[:1])


def test_narrow_holds_no_square_of_the_axis() -> None:
    n = 40_000  # 12.8 GB as a square of float64, 0.6 MB as two rows
    x = torch.arange(n, dtype=F64)
    result = selection.narrow(x, one_hot(torch.tensor(n - 1), n), 2)
    assert result.tolist() == [n - 1, 0]


def test_dynamic_slice_is_a_block() -> None:
    x = values(3, 4)
    starts = [one_hot(torch.tensor(1), 3), one_hot(torch.tensor(2), 4)]
    assert torch.equal(selection.dynamic_slice(x, starts, [2, 2]), x[1:3, 2:4])


def test_choose_picks_among_alternatives() -> None:
    choices, index = values(3, 5), torch.tensor([2, 0, 1, 1, 2])
    assert torch.equal(selection.choose(one_hot(index, 3), choices), choices[index, torch.arange(5)])
    soft = weights(1, 3)
    torch.testing.assert_close(selection.choose(soft, choices), (soft[0, :, None] * choices).sum(0))


# --- derivatives and transforms -------------------------------------------------------------------------

OPERATORS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "where": (selection.where, (weights(3, 4)[..., :1], values(3, 4), values(4, seed=2))),
    "take_along_dim": (lambda x, p: selection.take_along_dim(x, p, 1), (values(3, 4), weights(3, 2, 4))),
    "take_along_dim_shared": (lambda x, p: selection.take_along_dim(x, p, 1), (values(3, 4), weights(1, 2, 4))),
    "take": (lambda x, p: selection.take(x, p, 1), (values(3, 4), weights(2, 4))),
    "index_select": (lambda x, p: selection.index_select(x, p, 1), (values(3, 4), weights(4))),
    "narrow": (lambda x, p: selection.narrow(x, p, 3, 1), (values(3, 4), weights(4))),
    "dynamic_slice": (
        lambda x, p, q: selection.dynamic_slice(x, [p, q], [2, 2]),
        (values(3, 4), weights(3), weights(4)),
    ),
    "choose": (selection.choose, (weights(2, 4), values(4, 2))),
}
every_operator = pytest.mark.parametrize("name", OPERATORS)


@every_operator
def test_derivatives_of_first_and_second_order(name: str) -> None:
    fn, operands = OPERATORS[name]
    live = [t.clone().requires_grad_() for t in operands]
    assert torch.autograd.gradcheck(fn, live)
    assert torch.autograd.gradgradcheck(fn, live)


@every_operator
def test_vmap_is_a_loop(name: str) -> None:
    fn, operands = OPERATORS[name]
    batches = [torch.stack([t, t.flip(-1), 0.5 * t]) for t in operands]
    looped = torch.stack([fn(*slices) for slices in zip(*batches, strict=True)])
    torch.testing.assert_close(torch.func.vmap(fn)(*batches), looped)
    torch.testing.assert_close(torch.func.jacfwd(fn)(*operands), torch.func.jacrev(fn)(*operands))


@every_operator
def test_compiled_without_a_break_with_the_same_gradient(name: str) -> None:
    fn, operands = OPERATORS[name]
    live = [t.clone().requires_grad_() for t in operands]
    compiled = torch.compile(fn, fullgraph=True, backend="aot_eager")(*live)
    torch.testing.assert_close(compiled, fn(*live))
    for mine, eager in zip(
        torch.autograd.grad(compiled.square().sum(), live),
        torch.autograd.grad(fn(*live).square().sum(), live),
        strict=True,
    ):
        torch.testing.assert_close(mine, eager)


@every_operator
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes_are_kept(name: str, dtype: torch.dtype) -> None:
    fn, operands = OPERATORS[name]
    result = fn(*[t.to(dtype) for t in operands])
    assert result.dtype == dtype
    torch.testing.assert_close(result.double(), fn(*operands), rtol=3e-2, atol=3e-2)


# --- errors ---------------------------------------------------------------------------------------------

X = torch.rand(3, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: selection.take_along_dim(X, torch.rand(3, 4), 1),
            r"take_along_dim: soft_index has 2 axes, .* have 3, one",
        ),
        (
            lambda: selection.take_along_dim(X, torch.rand(3, 2, 5), 1),
            "take_along_dim: .* holds 5 weights, but x has 4",
        ),
        (lambda: selection.take_along_dim(X, torch.rand(2, 2, 4), 1), r"soft_index has shape \(2, 2, 4\); .*broadcast"),
        (lambda: selection.take_along_dim(X, torch.rand(3, 2, 4), 2), "take_along_dim: dim 2 is out of bounds"),
        (lambda: selection.take(X, torch.rand(4), 1), r"take: soft_index has 1 axes, shape \(4,\); it must have 2"),
        (lambda: selection.take(X, torch.rand(2, 3), 1), "take: .* holds 3 weights, but x has 4 entries along axis 1"),
        (lambda: selection.take(X, torch.rand(2, 3), -3), "take: dim -3 is out of bounds"),
        (lambda: selection.index_select(X, torch.rand(2, 4), 1), "index_select: soft_index has 2 axes"),
        (
            lambda: selection.index_select(X, torch.rand(3), 1),
            "index_select: .* 3 weights, but x has 4 .* one weight for",
        ),
        (lambda: selection.index_select(X, torch.rand(3), 2), "index_select: dim 2 is out of bounds"),
        (lambda: selection.narrow(X, torch.rand(3), 0), r"narrow: length is 0; it must satisfy 0 < length <= .* = 3"),
        (lambda: selection.narrow(X, torch.rand(3), 4), "narrow: length is 4; it must satisfy"),
        (lambda: selection.narrow(X, torch.rand(4), 2), "narrow: the last axis of soft_start holds 4"),
        (lambda: selection.narrow(X, torch.rand(3), 2, dim=2), "narrow: dim 2 is out of bounds"),
        (
            lambda: selection.dynamic_slice(X, [torch.rand(3)], [1]),
            "dynamic_slice: 1 soft_starts and 1 lengths .* 2 axes",
        ),
        (lambda: selection.choose(torch.rand(2, 3), torch.rand(2, 2)), r"choose: soft_index has shape \(2, 3\)"),
        (lambda: selection.choose(torch.rand(3), torch.rand(3, 2)), "choose: .* as many axes"),
        (
            lambda: selection.choose(torch.rand(4, 3), torch.rand(3, 2)),
            "choose: .* do not broadcast; make them equal or 1",
        ),
    ],
)
def test_operands_that_do_not_fit_are_refused(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_tensor_integer_or_real_is_refused() -> None:
    with pytest.raises(NotATensorError, match=r"where: condition is True .*as_tensor"):
        selection.where(True, X, X)  # type: ignore[arg-type]
    with pytest.raises(NotATensorError, match=r"take: soft_index is 1 "):
        selection.take(X, 1, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"take: soft_index is complex"):
        selection.take(X, torch.ones(2, 3) * 1j, 0)
    with pytest.raises(TypeError, match=r"narrow: length is 1\.5; it must be an integer"):
        selection.narrow(X, torch.rand(3), 1.5)  # type: ignore[arg-type]
