"""Projections onto the permutahedron: against the definition, on hard inputs, and under torch's transforms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from torchcrop.soft.isotonic import isotonic_blocks, projected, soft_ranks, soft_sorted

MODES = ("smooth", "c0", "c1", "c2")
EXPONENT = {"c1": 2, "c2": 3}
SIZES = (1, 2, 3, 5, 8, 13)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def power(x: float, exponent: int) -> float:
    return math.copysign(abs(x) ** exponent, x)


def block_value(z: list[float], w: list[float], mode: str) -> float:
    """v of one block, by its definition; c1 and c2 by bisection."""
    if mode == "c0":
        return (sum(z) - sum(w)) / len(z)
    if mode == "smooth":
        return math.log(sum(map(math.exp, z))) - math.log(sum(map(math.exp, w)))
    r, reach = EXPONENT[mode], 1 + max(abs(x) for x in w)
    low, high = min(z) - reach, max(z) + reach
    for _ in range(120):
        middle = (low + high) / 2
        if sum(power(x - middle, r) for x in z) > sum(w):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def by_minimax(z: Tensor, w: Tensor, softness: float, mode: str) -> Tensor:
    """The projection of one row by v_k = min over a <= k of max over b >= k of v of the block a, ..., b."""
    ordered, order = (z / softness).sort(descending=True, stable=True)
    zs, ws = ordered.tolist(), w.sort(descending=True).values.tolist()
    n = len(zs)
    of = {(a, b): block_value(zs[a : b + 1], ws[a : b + 1], mode) for a in range(n) for b in range(a, n)}
    v = [min(max(of[a, b] for b in range(k, n)) for a in range(k + 1)) for k in range(n)]
    difference = [a - b for a, b in zip(zs, v, strict=True)]
    values = [power(d, EXPONENT[mode]) if mode in EXPONENT else d for d in difference]
    result = torch.empty_like(z)
    result[order] = torch.tensor(values, dtype=z.dtype)
    return result


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", SIZES)
def test_agrees_with_the_minimax_formula(mode: str, n: int) -> None:
    for seed, softness in enumerate((0.03, 0.3, 1.0, 3.0)):
        z, w = random(n, seed=seed), random(n, seed=100 + seed)
        expected = by_minimax(z, w, softness, mode)
        torch.testing.assert_close(projected(z, w, softness, mode), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_agrees_with_the_minimax_formula_on_a_bump_in_a_falling_curve(mode: str) -> None:
    place = torch.linspace(0, 1, 40, dtype=torch.float64)
    z = 1 - place + 0.3 * torch.exp(-(((place - 0.6) / 0.1) ** 2))
    w = 0.9 - 0.8 * place
    z = z.sort(descending=True).values * 2
    expected = by_minimax(z, w, 1.0, mode)
    torch.testing.assert_close(projected(z, w, 1.0, mode), expected, rtol=1e-10, atol=1e-10)
    start, _ = isotonic_blocks(z, w, mode)
    assert 1 < start.unique().numel() < 40


@pytest.mark.parametrize("mode", MODES)
def test_finds_the_blocks_of_a_long_row_that_plain_pooling_takes_thousands_of_sweeps_for(mode: str) -> None:
    n = 20_001
    z = torch.sin(torch.linspace(0, 7, n, dtype=torch.float64))
    ranks = soft_ranks(z, 0.5, mode)
    assert (ranks[z.argsort()].diff() <= 1e-9).all()
    w = torch.arange(n, 0, -1, dtype=torch.float64) / (n - 1)
    zs = (-z / 0.5).sort(descending=True, stable=True).values
    start, root = isotonic_blocks(zs, w, mode)
    # v of a block, from 0, falls from each block to the next; within a block no cut would make it rise to the left.
    v = root + zs[start]
    assert (v.diff() <= 1e-9).all()
    inside = zs - v
    if mode == "smooth":
        excess = inside.exp() - w.exp()
    else:
        excess = (inside.sign() * inside.abs() ** EXPONENT[mode] if mode in EXPONENT else inside) - w
    total = excess.cumsum(0)
    assert total.max() <= 1e-6
    ends = torch.cat([start[1:] != start[:-1], torch.tensor([True])])
    assert total[ends].abs().max() <= 1e-6


@pytest.mark.parametrize("mode", ["c0", "c1", "c2"])
@pytest.mark.parametrize("softness", [0.05, 1.0, 20.0])
def test_lies_in_the_permutahedron(mode: str, softness: float) -> None:
    z, w = random(6, 30), random(6, 30, seed=1)
    got = projected(z, w, softness, mode).sort(descending=True).values.cumsum(-1)
    hull = w.sort(descending=True).values.cumsum(-1)
    assert (got <= hull + 1e-10).all()
    torch.testing.assert_close(got[:, -1], hull[:, -1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("softness", [0.05, 1.0, 20.0])
def test_exponentials_lie_in_the_permutahedron_of_exponentials_in_mode_smooth(softness: float) -> None:
    z, w = random(6, 30), random(6, 30, seed=1)
    got = projected(z, w, softness, "smooth").sort(descending=True).values.exp().cumsum(-1)
    hull = w.sort(descending=True).values.exp().cumsum(-1)
    assert (got <= hull + 1e-10).all()
    torch.testing.assert_close(got[:, -1], hull[:, -1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_is_in_the_order_of_z(mode: str) -> None:
    z = random(50, 17)
    assert (soft_sorted(z, 1.0, mode).diff() >= -1e-12).all()
    assert (soft_sorted(z, 1.0, mode, descending=True).diff() <= 1e-12).all()
    assert (soft_ranks(z, 0.5, mode, descending=False).gather(-1, z.argsort(-1)).diff() >= -1e-10).all()


@pytest.mark.parametrize("mode", MODES)
def test_small_softness_is_the_exact_sort_and_the_exact_rank(mode: str) -> None:
    z = random(20, 9)
    assert torch.equal(soft_sorted(z, 1e-3, mode), z.sort(-1).values)
    assert torch.equal(soft_sorted(z, 1e-3, mode, descending=True), z.sort(-1, descending=True).values)
    rank = z.argsort(-1).argsort(-1).double() + 1
    torch.testing.assert_close(soft_ranks(z, 1e-6, mode, descending=False), rank, rtol=0, atol=1e-12)
    torch.testing.assert_close(soft_ranks(z, 1e-6, mode), 10 - rank, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["c0", "c1", "c2"])
def test_large_softness_is_the_mean(mode: str) -> None:
    z = random(4, 7)
    expected = z.mean(-1, keepdim=True).expand(4, 7)
    torch.testing.assert_close(soft_sorted(z, 1e6, mode), expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("mode", MODES)
def test_equal_elements_share_their_rank(mode: str) -> None:
    ranks = soft_ranks(torch.tensor([3.0, 1.0, 3.0, 1.0, 1.0], dtype=torch.float64), 1e-3, mode)
    assert ranks[0] == ranks[2]
    assert ranks[1] == ranks[3] == ranks[4]
    if mode != "smooth":
        expected = torch.tensor([1.5, 4.0, 1.5, 4.0, 4.0], dtype=torch.float64)
        torch.testing.assert_close(ranks, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("function", [soft_sorted, soft_ranks])
def test_constant_rows_have_finite_values_and_derivatives(mode: str, function: Callable[..., Tensor]) -> None:
    for value, softness in itertools.product((0.0, 2.0, -1e30), (0.01, 1.0, 100.0)):
        z = torch.full((2, 6), value, requires_grad=True)
        result = function(z, softness, mode)
        (first,) = torch.autograd.grad((result * random(2, 6).float()).sum(), z, create_graph=True)
        assert result.isfinite().all()
        assert first.isfinite().all()
        if mode != "c0":  # linear
            (second,) = torch.autograd.grad((first * random(2, 6, seed=1).float()).sum(), z)
            assert second.isfinite().all()


@pytest.mark.parametrize("mode", ["c1", "c2"])
def test_a_block_of_zeros_passes_their_derivative_on(mode: str) -> None:
    # v is z itself there, and the slope of sign(z - v) abs(z - v)^r with it 0.
    w = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64, requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(lambda w: soft_sorted(w, 1e-3, mode, descending=True), w)
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64))
    z = torch.zeros(4, dtype=torch.float64)
    w = torch.tensor([-1.0, 2.0, -2.0, 1.0], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda w: projected(z, w, 1.0, mode), w)
    torch.testing.assert_close(jacobian, torch.full((4, 4), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("softness", [0.1, 2.0, 10.0])
def test_first_and_second_derivatives(mode: str, n: int, softness: float) -> None:
    z, w = random(2, n).requires_grad_(), random(2, n, seed=7).requires_grad_()
    s = torch.tensor([[softness], [1.3 * softness]], dtype=torch.float64, requires_grad=True)

    def function(z: Tensor, w: Tensor, s: Tensor) -> Tensor:
        return projected(z, w, s, mode)

    assert gradcheck(function, (z, w, s))
    assert gradgradcheck(function, (z, w, s), atol=1e-4, rtol=1e-4)
    for operator in (soft_sorted, soft_ranks):
        assert gradcheck(lambda z, s, operator=operator: operator(z, s, mode), (z, s))
        assert gradgradcheck(lambda z, s, operator=operator: operator(z, s, mode), (z, s), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", ["smooth", "c2"])
def test_third_derivative_agrees_with_a_difference_of_second_derivatives(mode: str) -> None:
    z, direction = random(6), random(6, seed=3)

    def second(t: Tensor) -> Tensor:
        def value(u: Tensor) -> Tensor:
            return (soft_ranks(z + u * direction, 10.0, mode) * random(6, seed=4)).sum()

        return torch.func.grad(torch.func.grad(value))(t)

    at = torch.tensor(0.0, dtype=torch.float64)
    third = torch.func.grad(second)(at)
    difference = (second(at + 1e-5) - second(at - 1e-5)) / 2e-5
    assert third.abs() > 1e-3
    torch.testing.assert_close(third, difference, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("softness", [0.1, 2.0])
def test_a_batch_is_its_rows_one_by_one(mode: str, softness: float) -> None:
    z = random(3, 4, 11)
    for operator in (soft_sorted, soft_ranks):
        rows = torch.stack([operator(row, softness, mode) for row in z.reshape(12, 11)]).reshape(3, 4, 11)
        torch.testing.assert_close(operator(z, softness, mode), rows, rtol=1e-13, atol=1e-13)
        mapped = torch.func.vmap(torch.func.vmap(lambda z, operator=operator: operator(z, softness, mode)))(z)
        torch.testing.assert_close(mapped, rows, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_vmap_over_the_softness_alone_and_over_another_axis(mode: str) -> None:
    z, softness = random(5, 7), torch.tensor([0.1, 1.0, 4.0], dtype=torch.float64)
    mapped = torch.func.vmap(lambda s: soft_sorted(z, s, mode))(softness)
    torch.testing.assert_close(mapped, torch.stack([soft_sorted(z, s, mode) for s in softness]))
    columns = torch.func.vmap(lambda z: soft_ranks(z, 1.0, mode), in_dims=1, out_dims=1)(z)
    torch.testing.assert_close(columns, torch.stack([soft_ranks(c, 1.0, mode) for c in z.T], 1))


@pytest.mark.parametrize("mode", MODES)
def test_forward_and_reverse_mode_agree(mode: str) -> None:
    z = random(6)
    for operator in (soft_sorted, soft_ranks):

        def function(z: Tensor, operator: Callable[..., Tensor] = operator) -> Tensor:
            return operator(z, 1.5, mode)

        reverse = torch.func.jacrev(function)(z)
        torch.testing.assert_close(torch.func.jacfwd(function)(z), reverse)
        _, tangent = torch.func.jvp(function, (z,), (random(6, seed=2),))
        torch.testing.assert_close(tangent, reverse @ random(6, seed=2))
        hessian = torch.func.hessian(function)(z)
        torch.testing.assert_close(hessian, torch.func.jacfwd(torch.func.jacfwd(function))(z))
        torch.testing.assert_close(hessian, hessian.mT)


@pytest.mark.parametrize("mode", MODES)
def test_compiles_without_a_graph_break(mode: str) -> None:
    torch._dynamo.reset()
    z, softness = random(3, 6).requires_grad_(), torch.tensor(1.5, dtype=torch.float64, requires_grad=True)

    def function(z: Tensor, softness: Tensor) -> Tensor:
        return soft_sorted(z, softness, mode) + soft_ranks(z, softness, mode)

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    expected, got = function(z, softness), compiled(z, softness)
    torch.testing.assert_close(got, expected)
    for a, b in zip(
        torch.autograd.grad(got.square().sum(), (z, softness)),
        torch.autograd.grad(expected.square().sum(), (z, softness)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_empty_axes_and_batches(mode: str) -> None:
    for shape in ((0,), (3, 0), (0, 5)):
        z = torch.zeros(shape, requires_grad=True)
        for operator in (soft_sorted, soft_ranks):
            result = operator(z, 0.1, mode)
            assert result.shape == shape
            result.sum().backward()


@pytest.mark.parametrize("mode", MODES)
def test_one_element_is_its_own_sort_and_has_rank_one(mode: str) -> None:
    z = torch.tensor([[-3.5], [2.0]], dtype=torch.float64)
    assert torch.equal(soft_sorted(z, 0.1, mode), z)
    assert torch.equal(soft_ranks(z, 0.1, mode), torch.ones_like(z))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("function", [soft_sorted, soft_ranks])
def test_large_inputs_in_float32_are_finite_with_their_derivatives(mode: str, function: Callable[..., Tensor]) -> None:
    rows = [[1e30, -1e30, 0.0, 1.0, 1e30, -1e30], [1e30, 1e29, 1e20, 1e10, 1.0, 0.0], [1e15, 1e15, 1e15, 0, 1e-30, -2]]
    for softness in (0.1, 1.0, 100.0):
        z = torch.tensor(rows, requires_grad=True)
        result = function(z, softness, mode)
        (gradient,) = torch.autograd.grad((result * random(3, 6).float()).sum(), z)
        assert result.isfinite().all()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_ranks_of_large_inputs_are_right(mode: str) -> None:
    z = torch.tensor([1e30, -1e30, 0.0, 2e30, -1e30])
    ranks = soft_ranks(z, 0.1, mode)
    if mode != "smooth":
        torch.testing.assert_close(ranks, torch.tensor([2.0, 4.5, 3.0, 1.0, 4.5]))
    assert ranks[1] == ranks[4]
    torch.testing.assert_close(ranks[[3, 0, 2]], torch.tensor([1.0, 2.0, 3.0]))


def test_small_shares_of_a_row_keep_their_blocks_in_mode_smooth() -> None:
    # In exponentials the second element is 1e-43 of the first.
    z = torch.tensor([100.0, 0.0], dtype=torch.float64)
    w = torch.tensor([100.0, 1.0], dtype=torch.float64)
    assert torch.equal(projected(z, w, 1.0, "smooth"), w)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("function", [soft_sorted, soft_ranks])
def test_nan_stays_in_its_row(mode: str, function: Callable[..., Tensor]) -> None:
    z = random(3, 6)
    alone = function(z[[0, 2]], 1.0, mode)
    z[1, 2] = torch.nan
    result = function(z.requires_grad_(), 1.0, mode)
    torch.testing.assert_close(result[[0, 2]], alone, rtol=1e-14, atol=0)
    assert result[1].isnan().any()
    (gradient,) = torch.autograd.grad(result[[0, 2]].sum(), z)
    assert gradient[[0, 2]].isfinite().all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_precisions_give_the_float64_result(mode: str, dtype: torch.dtype) -> None:
    z = random(4, 9).to(dtype)
    for operator in (soft_sorted, soft_ranks):
        result = operator(z, 1.5, mode)
        assert result.dtype == dtype
        expected = operator(z.double(), 1.5, mode)
        scale = 9 if operator is soft_ranks else 3
        assert (result.double() - expected).abs().max() <= 4 * scale * torch.finfo(dtype).eps


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_at_the_end_of_its_range(mode: str) -> None:
    z = torch.tensor([60000.0, 59000.0, -60000.0, 58000.0] * 16, dtype=torch.float16, requires_grad=True)
    for operator in (soft_sorted, soft_ranks):
        result = operator(z, 0.1, mode)
        result.sum().backward()
        assert result.isfinite().all()
        assert z.grad is not None
        assert z.grad.isfinite().all()
