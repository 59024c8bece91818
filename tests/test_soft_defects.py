"""Where another program with these operators is wrong, `torchcrop.soft` is right.

One test for each defect in ../shared/softops/DEFECTS.md, without that folder.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import torchcrop.soft as soft

SOFT = ("smooth", "c0", "c1", "c2")
STEPS = (*SOFT, "_c1_pnorm", "_c2_pnorm")
X = [0.3, -0.5, 1.2, 0.1, 0.7]


def double(values: object, *, differentiate: bool = True) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=differentiate)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# --- isclose ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("atol", [0.0, 1e-3, 0.5, 100.0])
def test_isclose_is_a_share(mode: str, atol: float) -> None:
    x = torch.linspace(-3, 3, 121, dtype=torch.float64)
    share = soft.isclose(x, torch.zeros(()).double(), softness=0.1, atol=atol, mode=mode)
    assert share.max() <= 1 + 1e-12
    assert share.min() >= -1e-12
    close(share[60], torch.ones((), dtype=torch.float64))
    assert (share[61:].diff() <= 1e-12).all(), "further apart cannot be closer"


@pytest.mark.parametrize("mode", SOFT)
def test_isclose_without_tolerance_is_eq(mode: str) -> None:
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)
    y = torch.full_like(x, 0.2)
    exact = soft.isclose(x, y, softness=0.1, rtol=0.0, atol=0.0, mode=mode, epsilon=0.0)
    close(exact, soft.eq(x, y, softness=0.1, mode=mode, epsilon=0.0))


# --- round ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", STEPS)
@pytest.mark.parametrize("softness", [0.05, 0.5, 1.0])
def test_round_is_the_same_at_every_integer(mode: str, softness: float) -> None:
    """So it is unbiased for large arguments, too."""
    x = torch.linspace(-0.5, 0.5, 42, dtype=torch.float64)[1:-1]
    for far in (7.0, -3.0, 40_000.0):
        close(soft.round(x + far, softness, mode), far + soft.round(x, softness, mode), 1e-8)
    close(soft.round(-x, softness, mode), -soft.round(x, softness, mode))


@pytest.mark.parametrize("mode", STEPS)
def test_round_does_not_jump_at_an_integer(mode: str) -> None:
    around = torch.tensor([3 - 1e-9, 3.0, 3 + 1e-9], dtype=torch.float64)
    for softness in (0.3, 1.0):
        assert soft.round(around, softness, mode).diff().abs().max() < 1e-7


@pytest.mark.parametrize("radius", [0, 1, 8])
def test_round_has_weights_that_sum_to_1(radius: int) -> None:
    x = torch.tensor([2.0, 2.0 + 1e-6], dtype=torch.float64)
    close(soft.round(x, 0.3, "smooth", neighbor_radius=radius)[0], x[0])


# --- where ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("chosen", [0.0, 1.0])
def test_where_lets_nothing_through_of_a_branch_without_weight(bad: float, chosen: float) -> None:
    good, other = double([2.0]), double([bad])
    x, y = (good, other) if chosen else (other, good)
    result = soft.where(double([chosen], differentiate=False), x, y)
    assert result.item() == 2.0
    slopes = torch.autograd.grad(result.sum(), [good, other])
    assert [slope.item() for slope in slopes] == [1.0, 0.0]


# --- sorting network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("standardize", [False, True])
def test_rows_of_a_sorting_network_do_not_see_each_other(mode: str, standardize: bool) -> None:
    rows = torch.tensor([X, [x + 50 for x in X]], dtype=torch.float64)
    options = {"mode": mode, "method": "sorting_network", "standardize": standardize}
    together = soft.argsort(rows, **options)
    for i in range(2):
        close(together[i], soft.argsort(rows[i], **options))


@pytest.mark.parametrize("mode", ["smooth", "c1", "c2"])
@pytest.mark.parametrize("n", [3, 5, 6])
def test_the_gradient_of_a_sorting_network_is_right_at_the_largest(mode: str, n: int) -> None:
    x = double((X + [-0.2])[:n])
    options = {"mode": mode, "method": "sorting_network", "standardize": False, "softness": 0.05}
    assert gradcheck(lambda v: soft.sort(v, **options).values, x)
    assert gradcheck(lambda v: soft.argsort(v, **options), x)


# --- the index with gated_grad=False -----------------------------------------------------------------------------

WITH_INDEX: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "max": lambda x, **o: soft.max(x, dim=0, **o),
    "min": lambda x, **o: soft.min(x, dim=0, **o),
    "sort": soft.sort,
    "topk": lambda x, **o: soft.topk(x, 2, **o),
    "median": lambda x, **o: soft.median(x, dim=0, **o),
}


@pytest.mark.parametrize("method", ["softsort", "neuralsort", "ot"])
@pytest.mark.parametrize("operator", WITH_INDEX)
def test_values_use_a_detached_index_and_the_index_stays_live(operator: str, method: str) -> None:
    x = double(X)
    values, index = WITH_INDEX[operator](x, gated_grad=False, method=method)
    weight = torch.linspace(1, 2, values.numel(), dtype=torch.float64).reshape(values.shape)
    slope = torch.autograd.grad((values * weight).sum(), x, retain_graph=True)[0]
    close(slope, (index * weight.unsqueeze(-1)).reshape(-1, len(X)).sum(0).detach())
    probe = torch.linspace(-1, 1, index.numel(), dtype=torch.float64).reshape(index.shape)
    live = torch.autograd.grad((index * probe).sum(), x)[0]
    gated = WITH_INDEX[operator](x, gated_grad=True, method=method)[1]
    close(live, torch.autograd.grad((gated * probe).sum(), x)[0])
    assert live.abs().max() > 0


# --- derivatives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["c1", "c2"])
@pytest.mark.parametrize("method", ["softsort", "neuralsort"])
@pytest.mark.parametrize("operator", ["argsort", "argmax", "rank", "argmedian", "sort"])
def test_second_derivatives_of_an_order(operator: str, method: str, mode: str) -> None:
    # No two distances are equal, and none is 0: there the projections have a kink in some derivative.
    x = double([0.31, -0.52, 1.23, 0.12, 0.74])

    def ordered(v: Tensor) -> Tensor:
        answer = getattr(soft, operator)(v, mode=mode, method=method, softness=0.7)
        return answer if isinstance(answer, Tensor) else answer.values

    assert gradcheck(ordered, x)
    assert gradgradcheck(ordered, x)


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("method", ["softsort", "neuralsort", "ot"])
def test_quantile_has_a_derivative_in_q(method: str, mode: str) -> None:
    q = double(0.4)
    value = soft.quantile(double(X, differentiate=False), q, method=method, mode=mode, softness=0.3)
    slope = torch.autograd.grad(value, q)[0]

    def at(share: float) -> Tensor:
        return soft.quantile(double(X, differentiate=False), share, method=method, mode=mode, softness=0.3)

    close(slope, (at(0.4 + 1e-6) - at(0.4 - 1e-6)) / 2e-6, 1e-5)
    assert slope > 0


def test_hard_quantile_has_the_derivative_of_the_line_between_two_values() -> None:
    q = double(0.4)
    value = soft.quantile(double(X, differentiate=False), q, mode="hard")
    # 0.4 of the way from 0 to 4 is 1.6, between 0.1 and 0.3; the slope is 4 times their difference.
    close(value, double(0.22, differentiate=False))
    close(torch.autograd.grad(value, q)[0], double(0.8, differentiate=False))


def test_hard_heaviside_is_flat() -> None:
    x = double([-1.0, 0.0, 2.0])
    value = soft.heaviside(x, mode="hard")
    assert value.tolist() == [0.0, 0.5, 1.0]
    assert torch.autograd.grad(value.sum(), x)[0].tolist() == [0.0, 0.0, 0.0]


FAR = [10.0**power for power in (7, 10, 15, 20, 30)]
FAR_OUT: dict[str, Callable[..., Tensor]] = {
    "sigmoidal": soft.sigmoidal,
    "softrelu": soft.softrelu,
    "gated": lambda x, **o: soft.relu(x, gated=True, **o),
    "abs": soft.abs,
    "sign": soft.sign,
    "clamp": lambda x, **o: soft.clamp(x, -1.0, 1.0, **o),
    "round": soft.round,
    "greater": lambda x, **o: soft.greater(x, 0.0, **o),
    "eq": lambda x, **o: soft.eq(x, 0.0, **o),
    "isclose": lambda x, **o: soft.isclose(x, torch.zeros_like(x), **o),
}


@pytest.mark.parametrize("mode", STEPS)
@pytest.mark.parametrize("operator", FAR_OUT)
def test_values_and_gradients_are_finite_far_out(operator: str, mode: str) -> None:
    x = torch.tensor([-far for far in FAR] + FAR, requires_grad=True)
    value = FAR_OUT[operator](x, softness=0.1, mode=mode)
    slope = torch.autograd.grad(value.sum(), x)[0]
    assert value.isfinite().all()
    assert slope.isfinite().all()
    assert slope.abs().max() <= 1


@pytest.mark.parametrize("mode", ["c1", "c2"])
@pytest.mark.parametrize("method", ["softsort", "neuralsort"])
@pytest.mark.parametrize("standardize", [False, True])
def test_an_order_of_far_values_has_finite_gradients(method: str, mode: str, standardize: bool) -> None:
    x = torch.tensor([1e30, -1e20, 1e10, 0.0, 3.0], requires_grad=True)
    values, index = soft.sort(x, method=method, mode=mode, standardize=standardize)
    slopes = torch.autograd.grad((values / 1e30).sum() + index[0].sum(), x)[0]
    assert values.isfinite().all()
    assert slopes.isfinite().all()


# --- straight through -------------------------------------------------------------------------------------------

BIT_FOR_BIT: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor], Tensor]]] = {
    "relu": (lambda x: soft.relu_st(x), torch.relu),
    "abs": (lambda x: soft.abs_st(x), torch.abs),
    "sign": (lambda x: soft.sign_st(x), torch.sign),
    "round": (lambda x: soft.round_st(x), torch.round),
    "clamp": (lambda x: soft.clamp_st(x, -0.3, 0.4), lambda x: torch.clamp(x, -0.3, 0.4)),
    "sort": (lambda x: soft.sort_st(x.reshape(-1, 50)).values, lambda x: torch.sort(x.reshape(-1, 50)).values),
    "max": (lambda x: soft.max_st(x.reshape(-1, 50), dim=-1).values, lambda x: x.reshape(-1, 50).max(-1).values),
}


@pytest.mark.parametrize("operator", BIT_FOR_BIT)
def test_straight_through_is_the_hard_value_to_the_bit(operator: str) -> None:
    straight, exact = BIT_FOR_BIT[operator]
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    found, expected = straight(x), exact(x)
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))


# --- legacy modes -----------------------------------------------------------------------------------------------

LEGACY = {"entropic": "smooth", "euclidean": "c0", "cubic": "c1", "quintic": "c2"}


@pytest.mark.parametrize("legacy", LEGACY)
def test_a_legacy_mode_has_a_tenth_of_the_softness(legacy: str) -> None:
    x = torch.linspace(-2, 2, 31, dtype=torch.float64)
    close(soft.heaviside(x, softness=1.0, mode=legacy), soft.heaviside(x, softness=0.1, mode=LEGACY[legacy]))
    close(soft.relu(x, 1.0, f"gated_{legacy}"), soft.relu(x, 0.1, LEGACY[legacy], gated=True))
    close(soft.greater(x, 0.5, 1.0, legacy), soft.greater(x, 0.5, 0.1, LEGACY[legacy]))


@pytest.mark.parametrize("legacy", [*LEGACY, "pseudohuber", "gated_entropic"])
@pytest.mark.parametrize("operator", ["argmax", "max", "argsort", "sort", "rank", "median"])
def test_an_order_has_no_legacy_mode(operator: str, legacy: str) -> None:
    with pytest.raises(ValueError, match=legacy):
        getattr(soft, operator)(torch.tensor(X), mode=legacy)
