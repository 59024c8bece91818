"""The functions of FST: at zero exactly the original's, smooth when asked."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from torchcrop.functions import fst
from torchcrop.functions.switches import Hard, Smooth, StraightThrough
from torchcrop.functions.tables import Table

F64 = torch.float64
HARD_VALUES = [pytest.param(Hard(), id="Hard"), pytest.param(StraightThrough(), id="StraightThrough")]
finite = st.floats(-1e6, 1e6)


def t(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=F64)


X = t(-2.0, -5e-324, -0.0, 0.0, 5e-324, 3.0)


@pytest.mark.parametrize("switches", HARD_VALUES)
def test_insw_takes_its_second_branch_at_zero(switches) -> None:
    assert fst.insw(switches, X, 10.0, 20.0, 1.0).tolist() == [10, 10, 20, 20, 20, 20]
    assert fst.insw(switches, X, t(10.0), -X, 1.0).tolist() == [10, 10, 0, 0, -5e-324, -3]


@pytest.mark.parametrize("switches", HARD_VALUES)
def test_fcnsw_has_a_branch_of_its_own_at_zero(switches) -> None:
    assert fst.fcnsw(switches, X, 10.0, 20.0, 30.0, 1.0).tolist() == [10, 10, 20, 20, 30, 30]
    below, zero, above = t(1.5), t(2.5), t(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert fst.fcnsw(switches, X, below, zero, above, 1.0).tolist() == [1.5, 1.5, 2.5, 2.5, 0.5, 0.6]


@given(finite, finite, finite, finite)
def test_fcnsw_is_one_of_its_arguments(x: float, below: float, zero: float, above: float) -> None:
    expected = below if x < 0 else zero if x == 0 else above
    assert fst.fcnsw(Hard(), t(x), below, zero, above, 1.0).item() == expected


@given(finite, finite, finite)
def test_limit_is_fortrans(low: float, high: float, x: float) -> None:
    low, high = sorted((low, high))
    expected = low if x < low else high if x > high else x
    assert fst.limit(Hard(), low, high, t(x)).item() == expected
    assert fst.limit(Hard(), t(low), t(high), t(x)).item() == expected


def test_limit_refuses_its_arguments_in_another_order() -> None:
    for switches in (Hard(), Smooth(), StraightThrough()):
        with pytest.raises(ValueError, match=r"LIMIT: low 3.0 is above high 1; the order is LIMIT\(low, high, x\)"):
            fst.limit(switches, 3.0, 1, t(2.0))
        assert fst.limit(switches, 1.0, 1, t(2.0)) == 1.0  # equal limits are no error
        assert fst.limit(switches, 0, 1, t(0.5)).item() == pytest.approx(0.5)
        assert fst.limit(switches, 0.0, 1.0, 2.5).item() == 1.0  # nothing but numbers


def test_notnul_guards_exactly_zero_in_every_mode() -> None:
    for switches in (Hard(), Smooth(), Smooth(kinks=0.02), StraightThrough()):
        assert fst.notnul(switches, X).tolist() == [-2, -5e-324, 1, 1, 5e-324, 3]
        leaf = X.clone().requires_grad_()
        assert torch.autograd.grad(fst.notnul(switches, leaf).sum(), leaf)[0].tolist() == [1.0] * 6


@pytest.mark.parametrize("switches", HARD_VALUES)
def test_logical_functions_test_strictly(switches) -> None:
    sides = t(-1.0, 0.0, 1.0)
    a, b = (v.reshape(-1) for v in torch.meshgrid(sides, sides, indexing="ij"))
    assert fst.reaand(switches, a, b, 1.0).tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert fst.reanor(switches, a, b, 1.0).tolist() == [1, 1, 0, 1, 1, 0, 0, 0, 0]
    assert fst.reaand(switches, t(-0.0), t(1.0), 1.0) == 0
    assert fst.reanor(switches, t(-0.0), t(0.0), 1.0) == 1


@pytest.mark.parametrize("switches", [*HARD_VALUES, pytest.param(Smooth(), id="Smooth")])
@given(values=st.lists(finite, min_size=2, max_size=5))
def test_min_and_max_take_any_number_of_arguments(switches, values: list[float]) -> None:
    tensors = [t(v) for v in values]
    assert fst.min(switches, *tensors).item() == min(values)
    assert fst.max(switches, *tensors).item() == max(values)
    # one tensor, anywhere, sets the precision of all numbers
    for i in range(len(values)):
        mixed = [*values[:i], tensors[i], *values[i + 1 :]]
        assert fst.min(switches, *mixed).item() == min(values)
        assert fst.max(switches, *mixed).item() == max(values)


def test_min_of_three_shares_its_derivative_at_a_tie() -> None:
    a, b, c = (t(1.0).requires_grad_() for _ in range(3))
    for form in (fst.min, fst.max):
        gradients = torch.autograd.grad(form(Hard(), a, b, c), (a, b, c))
        assert sum(g.item() for g in gradients) == 1.0
        assert all(g > 0 for g in gradients)


def test_look_ups_take_the_table_first_and_keep_its_ends() -> None:
    pairs = [(0, 10), (10, 20), (20, 0)]
    x = t(-5.0, 0.0, 5.0, 10.0, 25.0)
    for switches in (Hard(), Smooth(), StraightThrough()):
        assert fst.afgen(switches, Table.from_pairs(pairs), x).tolist() == [10, 10, 15, 20, 0]
        assert fst.afgen(switches, Table.from_pairs(pairs, "extrapolate"), x).tolist() == [5, 10, 15, 20, -10]
        assert fst.cspline(switches, Table.from_pairs(pairs), x)[[1, 3]].tolist() == [10, 20]
        # by hand, at equal distances h: the middle curvature is 6 (y0 - 2 y1 + y2) / (4 h^2)
        curvature = 6 * (10 - 2 * 20 + 0) / (4 * 10**2)
        expected = 15 - curvature * 100 / 16
        assert fst.cspline(switches, Table.from_pairs(pairs), x)[2].item() == pytest.approx(expected)


# --- under Smooth ---------------------------------------------------------------------------------------

FORMS = {
    "insw": lambda s, x, a, b: fst.insw(s, x, a, b, 0.5),
    "fcnsw": lambda s, x, a, b: fst.fcnsw(s, x, a, a * b, b, 0.5),
    "limit": lambda s, x, a, b: fst.limit(s, a - 1, b + 1, x),
    "notnul": lambda s, x, a, b: a / fst.notnul(s, x) + b,
    "reaand": lambda s, x, a, b: fst.reaand(s, x, a - b, 0.5),
    "reanor": lambda s, x, a, b: fst.reanor(s, x, a - b, 0.5),
    "min": lambda s, x, a, b: fst.min(s, x, a, b),
    "max": lambda s, x, a, b: fst.max(s, x, a, b),
    "afgen": lambda s, x, a, b: fst.afgen(s, Table(t(-1.0, 0.3, 2.0), torch.stack([a, b, a * b], -1)), x),
    "cspline": lambda s, x, a, b: fst.cspline(s, Table(t(-1.0, 0.3, 2.0), torch.stack([a, b, a * b], -1)), x),
}


def test_every_function_is_tried() -> None:
    assert set(FORMS) == set(fst.__all__)


@pytest.mark.parametrize("name", sorted(FORMS))
@pytest.mark.parametrize("switches", [Smooth(), Smooth(0.02), Smooth(kinks=0.1)], ids=["0.1", "0.02", "kinks"])
def test_gradients_flow(name: str, switches: Smooth) -> None:
    x, a, b = (
        t(-0.08, 0.01, 0.05).requires_grad_(),
        t(0.3, 0.03, 0.4).requires_grad_(),
        t(0.2, 0.02, 0.44).requires_grad_(),
    )
    form = FORMS[name]
    assert gradcheck(lambda x, a, b: form(switches, x, a, b), (x, a, b), eps=1e-7, atol=1e-5)
    if name in ("insw", "fcnsw", "reaand", "reanor"):
        # what jumps in the original has a slope here, for Smooth and for StraightThrough alike
        for soft in (switches, StraightThrough(switches.softness)):
            assert torch.autograd.grad(form(soft, x, a, b).sum(), x)[0].abs().max() > 0.1
        assert not form(Hard(), x, t(0.3), t(0.2)).requires_grad


@pytest.mark.parametrize("name", sorted(FORMS))
def test_smooth_becomes_hard(name: str) -> None:
    x, a, b = t(-0.4, -0.02, 0.03, 0.7), t(0.3, 0.3, -0.2, 0.4), t(0.1, 0.4, 0.3, -0.6)
    expected = FORMS[name](Hard(), x, a, b)
    torch.testing.assert_close(FORMS[name](Smooth(1e-3), x, a, b), expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(FORMS[name](StraightThrough(), x, a, b), expected, rtol=1e-15, atol=1e-16)


def test_smooth_fcnsw_passes_through_its_branch_at_zero() -> None:
    smooth = Smooth(0.1)
    x = torch.linspace(-1, 1, 201, dtype=F64)
    path = fst.fcnsw(smooth, x, 1.0, 5.0, 2.0, 1.0)
    assert path[100] == 5.0
    assert path.argmax() == 100
    assert path[0].item() == pytest.approx(1, abs=1e-3)
    assert path[-1].item() == pytest.approx(2, abs=1e-3)
    # with the middle half-way it is the one smooth step
    plain = fst.fcnsw(smooth, x, 1.0, 1.5, 2.0, 1.0)
    assert bool((plain.diff() > 0).all())
    assert fst.insw(smooth, t(0.0), 1.0, 2.0, 1.0) == 1.5


def test_logical_functions_are_products_of_shares() -> None:
    smooth, a, b = Smooth(0.1), t(0.05, -0.1), t(0.02, 0.3)
    one, other = torch.sigmoid(a / 0.1), torch.sigmoid(b / 0.1)
    torch.testing.assert_close(fst.reaand(smooth, a, b, 1.0), one * other)
    torch.testing.assert_close(fst.reanor(smooth, a, b, 1.0), (1 - one) * (1 - other))


def test_the_scale_is_mandatory_where_something_jumps() -> None:
    for call in (
        lambda: fst.insw(Smooth(), t(1.0), 0.0, 1.0),
        lambda: fst.fcnsw(Smooth(), t(1.0), 0.0, 0.5, 1.0),
        lambda: fst.reaand(Smooth(), t(1.0), t(1.0)),
        lambda: fst.reanor(Smooth(), t(1.0), t(1.0)),
    ):
        with pytest.raises(TypeError, match="scale"):
            call()


def test_branches_not_taken_may_overflow() -> None:
    assert fst.insw(Hard(), t(1.0), math.inf, 2.0, 1.0) == 2.0
    assert fst.fcnsw(Hard(), t(1.0), math.inf, math.nan, 2.0, 1.0) == 2.0
    assert fst.fcnsw(Hard(), t(0.0), math.inf, 3.0, math.nan, 1.0) == 3.0
