"""Soft running extremes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from torchcrop.soft.cumulative import cummax, cummin
from torchcrop.soft.elementwise import relu
from torchcrop.soft.indices import argmax

SOFT = ("smooth", "c0", "c1", "c2")
POWERS = {"c0": 1, "c1": 2, "c2": 3}


def series(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", SOFT)
def test_the_indices_are_the_argmax_of_what_came_before(mode: str) -> None:
    x = series(7)
    rows = cummax(x, 0, 0.4, mode).indices
    for t in range(7):
        expected = argmax(x[: t + 1], softness=0.4, mode=mode, standardize=False)
        close(rows[t, : t + 1], expected)
        assert torch.equal(rows[t, t + 1 :], torch.zeros(6 - t).double())


@pytest.mark.parametrize("mode", SOFT)
def test_the_derivative_of_the_values_is_the_index(mode: str) -> None:
    x = series(9)
    close(torch.func.jacrev(lambda v: cummax(v, 0, 0.4, mode, False).values)(x), cummax(x, 0, 0.4, mode).indices)


def test_mode_smooth_is_a_logarithm_of_a_sum_of_exponentials() -> None:
    x = series(3, 11)
    close(cummax(x, -1, 0.3).values, 0.3 * (x / 0.3).logcumsumexp(-1))


def test_mode_c0_of_two_is_a_rounded_maximum() -> None:
    x = torch.tensor([0.2, 0.37], dtype=torch.float64)
    # With two values the transition of the projection ends at a gap of s, that of the step at 5 s.
    close(cummax(x, 0, 0.5, "c0").values[1], x[0] + relu(x[1] - x[0], 0.1, "c0"))


@pytest.mark.parametrize("mode", SOFT)
def test_it_bounds_the_hard_one_and_does_not_fall(mode: str) -> None:
    x = series(5, 40)
    values = cummax(x, -1, 0.3, mode).values
    assert (values >= x.cummax(-1).values - 1e-12).all()
    assert (values.diff(dim=-1) >= -1e-12).all()
    assert (cummax(x, -1, 0.3, mode).indices >= 0).all(), "monotone in every x"


@pytest.mark.parametrize("mode", SOFT)
def test_what_it_is_above_equal_values(mode: str) -> None:
    n = 50
    above = cummax(torch.full((n,), 2.0, dtype=torch.float64), 0, 0.1, mode).values[-1] - 2
    r = POWERS.get(mode, 0)
    expected = 0.1 * (r / (r + 1) * (1 - n ** (-1 / r)) if r else math.log(n))
    assert above.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("mode", SOFT)
def test_it_does_not_depend_on_the_order_nor_on_what_comes_later(mode: str) -> None:
    x = series(8)
    close(cummax(x.flip(0), 0, 0.5, mode).values[-1], cummax(x, 0, 0.5, mode).values[-1])
    later = torch.cat([x, torch.tensor([math.nan, math.inf, 1e30], dtype=torch.float64)]).requires_grad_()
    values = cummax(later, 0, 0.5, mode, False).values
    close(values[:8], cummax(x, 0, 0.5, mode).values)
    if mode != "smooth":  # the scan joins values and derivatives of whole stretches
        assert torch.equal(torch.autograd.grad(values[7], later)[0][8:], torch.zeros(3).double())


@pytest.mark.parametrize("mode", SOFT)
def test_it_goes_to_the_hard_one(mode: str) -> None:
    x = series(4, 20)
    close(cummax(x, -1, 1e-9, mode).values, x.cummax(-1).values, 1e-8)
    hard = cummax(x, -1, mode="hard")
    close(hard.values, x.cummax(-1).values)
    assert torch.equal(hard.indices.argmax(-1), x.cummax(-1).indices)


@pytest.mark.parametrize("mode", ["hard", *SOFT])
def test_cummin_is_its_mirror(mode: str) -> None:
    x = series(3, 6)
    found, mirrored = cummin(x, 0, 0.2, mode), cummax(-x, 0, 0.2, mode)
    close(found.values, -mirrored.values)
    close(found.indices, mirrored.indices)
    assert isinstance(found, torch.return_types.cummin)


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("softness", [0.4, [[0.3], [0.5]]])
def test_derivatives(mode: str, softness: object) -> None:
    x, s = series(2, 6).requires_grad_(), torch.tensor(softness, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, s: cummax(x, 1, s, mode).values, (x, s))
    if mode != "c0":
        assert gradcheck(lambda x, s: cummax(x, 1, s, mode).indices, (x, s))
        assert gradgradcheck(lambda x, s: cummin(x, 1, s, mode, False).values, (x, s))
    if mode in ("smooth", "c2"):
        assert gradgradcheck(lambda x, s: cummax(x, 1, s, mode).indices, (x, s))


@pytest.mark.parametrize("mode", SOFT)
def test_derivatives_of_many_come_in_blocks(mode: str) -> None:
    x = series(500).requires_grad_()
    long = cummax(x, 0, 0.2, mode, False).values
    weight = torch.linspace(0, 1, 500, dtype=torch.float64)
    expected = torch.matmul(weight, cummax(x.detach(), 0, 0.2, mode).indices)
    close(torch.autograd.grad((long * weight).sum(), x)[0], expected, 1e-9)


@pytest.mark.parametrize("mode", ["hard", *SOFT])
def test_transforms(mode: str) -> None:
    x = series(4, 9)
    whole = cummax(x, -1, 0.3, mode)
    close(torch.func.vmap(lambda v: cummax(v, 0, 0.3, mode).values)(x), whole.values)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: cummax(v, 0, 0.3, mode).values))(x)
    close(jacobian, whole.indices)
    _, slope = torch.func.jvp(lambda v: cummax(v, -1, 0.3, mode).values, (x,), (torch.ones_like(x),))
    close(slope, torch.ones_like(x))
    compiled = torch.compile(lambda v, s: cummax(v, -1, s, mode), fullgraph=True, backend="aot_eager")
    close(compiled(x, torch.tensor(0.3).double()).indices, whole.indices, 1e-6)


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("softness", [1e-3, torch.tensor(1e-3, requires_grad=True)])
def test_extremes_of_single_precision(mode: str, softness: Tensor | float) -> None:
    x = torch.tensor([-1e30, 1e30, 0.0, 1e30], requires_grad=True)
    found = cummax(x, 0, softness, mode)
    assert torch.equal(found.values, x.cummax(0).values)
    slope = torch.autograd.grad(found.values.sum(), x, retain_graph=True)[0]
    close(slope, torch.tensor([1.0, 2.5, 0.0, 0.5]), 1e-6)
    assert torch.autograd.grad(found.indices[:, 1].sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("mode", ["hard", *SOFT])
def test_shapes_and_dtypes(mode: str) -> None:
    empty = cummax(torch.zeros(2, 0), 1, mode=mode)
    assert (empty.values.shape, empty.indices.shape) == ((2, 0), (2, 0, 0))
    one = cummax(torch.tensor([[3], [4]]), 1, mode=mode)
    assert one.values.tolist() == [[3.0], [4.0]]
    assert one.indices.tolist() == [[[1.0]], [[1.0]]]
    half = cummax(torch.ones(3, 2, dtype=torch.float16), 0, mode=mode)
    assert half.values.dtype == half.indices.dtype == torch.float16
    assert half.indices.shape == (3, 2, 3)
    assert cummax(torch.ones(3), 0, mode=mode, return_indices=False).indices is None


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="cummax: dim 1 is out of bounds"):
        cummax(torch.zeros(3), 1)
    with pytest.raises(ValueError, match="cummin: Invalid mode: 'c3'"):
        cummin(torch.zeros(3), 0, mode="c3")
    with pytest.raises(ValueError, match="cummax: softness has shape"):
        cummax(torch.zeros(3), 0, torch.ones(3))
    with pytest.raises(ValueError, match="softness must be positive"):
        cummax(torch.zeros(3), 0, 0.0)
