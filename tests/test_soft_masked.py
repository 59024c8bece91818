"""Masked and weighted operators: what is not valid is as if it were not there."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import torchcrop.soft as soft
from torchcrop.soft.masked import (
    masked_argmax,
    masked_argmin,
    masked_max,
    masked_mean,
    masked_min,
    masked_rank,
    masked_sort,
    masked_sum,
    masked_var,
    weighted_median,
    weighted_quantile,
)
from torchcrop.soft.simplex import project
from torchcrop.soft.weighted import project_weighted

SOFT = ("smooth", "c0", "c1", "c2")
MODES = ("hard", *SOFT)
METHODS = ("softsort", "neuralsort")
X = torch.tensor([0.3, 5.0, -0.7, 0.45, 5.0, 1.2, -0.1, 5.0], dtype=torch.float64)
VALID = torch.tensor([1, 0, 1, 1, 0, 1, 1, 0]).bool()
COUNT = int(VALID.sum())


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def alike(masked: Callable[[Tensor], Tensor], plain: Callable[[Tensor], Tensor]) -> None:
    """Compare values and derivatives on elements that are bad where not valid, and on the valid ones alone."""
    bad = X.clone()
    bad[~VALID] = torch.tensor([math.nan, math.inf, -math.inf], dtype=torch.float64)
    bad.requires_grad_()
    alone = X[VALID].requires_grad_()
    found, expected = masked(bad), plain(alone)
    close(found, expected)
    if not expected.requires_grad:
        return
    weight = torch.linspace(0.5, 2, found.numel(), dtype=torch.float64).reshape(found.shape)
    (by_bad,) = torch.autograd.grad((found * weight).sum(), bad)
    (by_alone,) = torch.autograd.grad((expected * weight).sum(), alone)
    close(by_bad[VALID], by_alone, 1e-8)
    assert torch.equal(by_bad[~VALID], torch.zeros(3).double())


@pytest.fixture(params=[(m, k, s) for m in MODES for k in METHODS for s in (True, False)], ids=str)
def options(request: pytest.FixtureRequest) -> dict:
    mode, method, standardize = request.param
    softness = 0.15 if method == "softsort" else 0.5
    return {"softness": softness, "mode": mode, "method": method, "standardize": standardize}


# --- as if it were not there ------------------------------------------------------------------------------------


def test_extremes_are_those_of_the_valid(options: dict) -> None:
    alike(lambda x: masked_max(x, VALID, 0, **options).values, lambda x: soft.max(x, 0, **options).values)
    alike(lambda x: masked_min(x, VALID, **options), lambda x: soft.min(x, **options))
    alike(lambda x: masked_max(x, VALID, 0, **options).indices[VALID], lambda x: soft.argmax(x, 0, **options))
    alike(lambda x: masked_argmax(x, VALID, **options)[VALID], lambda x: soft.argmax(x, **options))
    alike(lambda x: masked_argmin(x, VALID, **options)[VALID], lambda x: soft.argmin(x, **options))
    assert masked_argmax(X, VALID, **options)[~VALID].abs().sum() == 0


@pytest.mark.parametrize("descending", [False, True])
def test_sorted_values_are_those_of_the_valid(options: dict, descending: bool) -> None:
    options["descending"] = descending
    alike(lambda x: masked_sort(x, VALID, **options).values[:COUNT], lambda x: soft.sort(x, **options).values)
    alike(lambda x: masked_sort(x, VALID, **options).indices[:COUNT, VALID], lambda x: soft.sort(x, **options).indices)
    alike(lambda x: masked_rank(x, VALID, **options)[VALID], lambda x: soft.rank(x, **options))
    found = masked_sort(X, VALID, fill=-9.0, **options)
    assert found.values[COUNT:].tolist() == [-9.0] * 3
    assert found.indices[COUNT:].abs().sum() == 0
    assert found.indices[:, ~VALID].abs().sum() == 0
    assert masked_rank(X, VALID, fill=0.0, **options)[~VALID].tolist() == [0.0] * 3
    assert masked_sort(X, VALID, return_indices=False, **options).indices is None


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_quantiles_with_equal_weights_are_those_of_the_valid(options: dict, q: float) -> None:
    alike(lambda x: weighted_quantile(x, VALID, q, **options), lambda x: soft.quantile(x, q, **options))
    alike(lambda x: weighted_quantile(x, 3.7 * VALID, q, **options), lambda x: soft.quantile(x, q, **options))


def test_sums_are_those_of_the_valid() -> None:
    alike(lambda x: masked_sum(x, VALID), torch.sum)
    alike(lambda x: masked_mean(x, VALID), torch.mean)
    alike(lambda x: masked_var(x, VALID), torch.var)
    alike(lambda x: masked_var(x, VALID, 0, correction=0), lambda x: torch.var(x, 0, correction=0))


def test_long_slices_come_in_blocks() -> None:
    x = torch.randn(600, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    valid = torch.arange(600) % 3 > 0
    for method in METHODS:
        given, alone = x.clone().requires_grad_(), x[valid].requires_grad_()
        found = masked_sort(given, valid, mode="c1", method=method, return_indices=False).values[:400]
        expected = soft.sort(alone, mode="c1", method=method).values
        close(found, expected)
        weight = torch.linspace(0, 1, 400, dtype=torch.float64)
        by_given = torch.autograd.grad((found * weight).sum(), given)[0]
        close(by_given[valid], torch.autograd.grad((expected * weight).sum(), alone)[0], 1e-8)


# --- weights ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", SOFT)
def test_a_projection_with_weights_1_is_the_plain_one(mode: str) -> None:
    v = 3 * torch.randn(50, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    close(project_weighted(v, torch.ones(9).double(), mode), project(v, mode), 1e-10)


@pytest.mark.parametrize("mode", SOFT)
def test_an_element_of_weight_2_stands_there_twice(mode: str) -> None:
    v = torch.tensor([0.1, 0.5, 0.3], dtype=torch.float64)
    twice = project(v[[0, 1, 1, 2]], mode)
    close(
        project_weighted(v, torch.tensor([1.0, 2.0, 1.0]).double(), mode),
        torch.stack([twice[0], twice[1] * 2, twice[3]]),
    )


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_projection_on_one_of_many_has_no_derivative(mode: str, dtype: torch.dtype) -> None:
    """Rounding must not count an entry in that is just out of reach."""
    for n in range(2, 60):
        v = torch.full((n,), -200.0, dtype=dtype)
        v[n // 2] = 0.3
        slope = torch.func.grad(lambda u, n=n: project_weighted(u, torch.ones_like(u), mode)[n // 2])(v)
        assert slope.abs().max() < 1e-5


@pytest.mark.parametrize("mode", SOFT)
def test_weights_of_any_size_sum_to_1(mode: str) -> None:
    v = torch.tensor([0.0, -0.5, -3.0, -50.0, 1e30])
    weight = torch.tensor([1e-6, 1.0, 100.0, 1e6, 0.0])
    shares = project_weighted(v, weight, mode)
    close(shares.sum(), torch.tensor(1.0), 1e-4)
    assert shares[-1] == 0


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("method", METHODS)
def test_derivatives_to_elements_weights_and_softness(mode: str, method: str) -> None:
    x = X.clone()
    x[~VALID] = torch.tensor([0.8, -1.4, 0.05], dtype=torch.float64)
    weight = torch.tensor([0.4, 1.1, 0.7, 0.9, 1.3, 0.6, 1.2, 0.5], dtype=torch.float64)
    arguments = [t.requires_grad_() for t in (x, weight, torch.tensor(0.4, dtype=torch.float64))]
    q = torch.tensor([0.1, 0.52], dtype=torch.float64, requires_grad=True)
    functions = [
        lambda x, w, s: masked_max(x, w, 0, softness=s, mode=mode, method=method).values,
        lambda x, w, s: masked_rank(x, w, softness=s, mode=mode, method=method),
        lambda x, w, s: weighted_quantile(x, w, q, softness=s, mode=mode, method=method),
    ]
    for function in functions:
        assert gradcheck(function, arguments)
        if mode in ("smooth", "c2"):
            assert gradgradcheck(function, arguments)
    assert gradcheck(lambda q: weighted_quantile(x, weight, q, mode=mode, method=method), q)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", SOFT)
def test_elements_of_unequal_weight_may_change_places(method: str, mode: str) -> None:
    weight = torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64)

    def results(gap: float) -> Tensor:
        x = torch.tensor([0.5, 0.5 + gap, 2.0], dtype=torch.float64)
        options = {"mode": mode, "method": method, "softness": 0.2}
        return torch.cat(
            [
                weighted_quantile(x, weight, torch.tensor([0.2, 0.5, 0.8]), **options),
                masked_rank(x, weight, **options),
                masked_max(x, weight, **options).reshape(1),
            ]
        )

    close(results(1e-9), results(-1e-9), 1e-7)


def test_only_ratios_of_weights_count_in_an_order() -> None:
    weight = torch.tensor([0.4, 1.1, 0.7, 0.9, 1.3, 0.6, 1.2, 0.5], dtype=torch.float64)
    for method in METHODS:
        for scale in (1e-30, 1e30):
            close(
                weighted_quantile(X, weight * scale, 0.3, mode="c1", method=method),
                weighted_quantile(X, weight, 0.3, mode="c1", method=method),
            )
            close(masked_max(X, weight * scale, method=method), masked_max(X, weight, method=method))


def test_weighted_numbers_by_hand() -> None:
    x, weight = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 0.0, 3.0])
    assert masked_sum(x, weight).item() == 13
    assert masked_mean(x, weight).item() == 3.25
    assert masked_var(x, weight).item() == pytest.approx((2.25**2 + 3 * 0.75**2) / 3)
    # n = 16 / 10; the cells are (0, 0.4), (0.4, 1.6), the window of the median (0.3, 1.3).
    assert weighted_median(x, weight, mode="hard").item() == pytest.approx(0.1 * 1 + 0.9 * 4)


def test_the_median_is_the_middle_of_two() -> None:
    x = torch.tensor([3.0, 1.0, 2.0, 9.0])
    assert weighted_median(x, torch.ones(4), mode="hard").item() == 2.5
    several = weighted_quantile(x, torch.ones(4), torch.tensor([0.0, 0.5, 1.0]), mode="hard")
    assert several.tolist() == [1.0, 2.5, 9.0]


# --- ragged batches ---------------------------------------------------------------------------------------------

BATCHED: dict[str, Callable[..., Tensor]] = {
    "sum": lambda x, m, mode: masked_sum(x, m, -1),
    "mean": lambda x, m, mode: masked_mean(x, m, -1),
    "var": lambda x, m, mode: masked_var(x, m, -1),
    "max": lambda x, m, mode: masked_max(x, m, -1, mode=mode).values,
    "argmin": lambda x, m, mode: masked_argmin(x, m, -1, mode=mode, method="neuralsort"),
    "sort": lambda x, m, mode: masked_sort(x, m, mode=mode).values,
    "rank": lambda x, m, mode: masked_rank(x, m, -1, mode=mode, method="softsort"),
    "quantile": lambda x, m, mode: weighted_quantile(x, m, 0.4, -1, mode=mode),
}


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.parametrize("mode", ["hard", "smooth", "c1"])
def test_a_ragged_batch(name: str, mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, dtype=torch.float64, generator=generator)
    mask = torch.rand(3, 6, generator=generator) > 0.4
    mask[1] = False
    given = x.masked_fill(~mask, math.nan).requires_grad_()

    def function(x: Tensor, mask: Tensor) -> Tensor:
        return BATCHED[name](x, mask, mode)

    whole = function(given, mask)
    if name == "argmin" or name == "sum":
        assert whole[1].abs().sum() == 0
    else:
        assert whole[1].isnan().all()
    close(torch.stack([function(given[i], mask[i]) for i in range(3)]), whole)
    close(torch.func.vmap(function)(given, mask), whole)
    torch.compiler.reset()  # the eight compilations that one function may have are for one program
    close(torch.compile(function, fullgraph=True, backend="aot_eager")(given, mask), whole)
    if whole.requires_grad:
        slope = torch.autograd.grad(torch.nan_to_num(whole).sum(), given)[0]
        assert slope.isfinite().all()
        assert torch.equal(slope[~mask], torch.zeros(int((~mask).sum())).double())
        filled = x.masked_fill(~mask, 7.0)
        _, moved = torch.func.jvp(lambda v: torch.nan_to_num(function(v, mask)).sum(), (filled,), (filled,))
        close(moved, (slope * filled).sum())
    if mode != "hard":
        hessian = torch.func.hessian(lambda v: torch.nan_to_num(function(v, mask)).sum())(torch.nan_to_num(given))
        assert hessian.isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_extremes_of_single_precision(mode: str) -> None:
    x = torch.tensor([1e30, -1e30, math.nan, 1.0], requires_grad=True)
    mask = torch.tensor([True, True, False, True])
    for function in (BATCHED[n] for n in BATCHED if n != "var"):  # a variance of 1e60 is none
        y = function(x, mask, mode)
        assert y.nan_to_num(nan=0.0).isfinite().all()
        if y.requires_grad:
            assert torch.autograd.grad(torch.nan_to_num(y).sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_axes_shapes_and_dtypes(mode: str) -> None:
    x, mask = torch.rand(4, 3, dtype=torch.float16), torch.tensor([[1], [1], [0], [1]]).bool()
    found = masked_max(x, mask, 0, keepdim=True, mode=mode)
    assert found.values.shape == (1, 3)
    assert found.indices.shape == (1, 3, 4)
    assert found.values.dtype == found.indices.dtype == torch.float16
    assert masked_min(x, mask, keepdim=True, mode=mode).shape == (1, 1)
    assert masked_argmax(x, mask, keepdim=True, mode=mode).shape == (1, 1, 12)
    assert masked_sort(x, mask, 0, mode=mode).indices.shape == (4, 3, 4)
    assert masked_rank(x, mask, mode=mode).shape == (12,)
    assert weighted_quantile(x, mask, torch.tensor([0.1, 0.9]), 0, keepdim=True, mode=mode).shape == (2, 1, 3)
    assert masked_max(torch.tensor([3, 4]), torch.tensor([True, False]), mode=mode).item() == 3.0
    softness = torch.tensor([[0.1, 0.2, 0.3]])
    together = masked_sort(x.float(), mask, 0, softness=softness, mode=mode, fill=0.0).values
    close(together[:, 2], masked_sort(x[:, 2].float(), mask[:, 0], 0, softness=0.3, mode=mode, fill=0.0).values, 1e-5)


def test_nothing_at_all() -> None:
    none, mask = torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool)
    assert masked_sum(none, mask, 1).tolist() == [0.0, 0.0]
    assert masked_mean(none, mask, 1).isnan().all()
    assert masked_mean(torch.ones(2), torch.zeros(2), fill=-1.0).item() == -1.0
    assert masked_var(torch.ones(2), torch.tensor([1.0, 0.0])).isnan()
    with pytest.raises(ValueError, match="masked_max: x has no elements along dim 1"):
        masked_max(none, mask, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: masked_sort(X, VALID.double()), TypeError, "masked_sort: mask is torch.float64; it must be bool"),
        (lambda: masked_sum(X, VALID[:3]), ValueError, "mask of shape \\(3,\\) does not broadcast"),
        (lambda: masked_mean(X, -1 * VALID), ValueError, "mask has -1.0 as its smallest value"),
        (lambda: weighted_median(X, X * math.nan), ValueError, "weighted_quantile: weight has nan"),
        (lambda: masked_max(X, VALID, method="ot"), ValueError, "masked_max: Invalid method: 'ot'"),
        (lambda: masked_max(X, VALID, mode="c9"), ValueError, "masked_max: Invalid mode"),
        (lambda: masked_max(X, VALID, 1), ValueError, "masked_max: dim 1 is out of bounds"),
        (lambda: masked_max(X, VALID, softness=0.0), ValueError, "masked_max: softness must be positive"),
        (lambda: masked_max(X, [True] * 8), TypeError, "masked_max: mask is"),
        (lambda: weighted_quantile(X, VALID, torch.zeros(1, 1)), ValueError, "weighted_quantile: q has shape"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
