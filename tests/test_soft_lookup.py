"""Soft look-ups: tables with rounded kinks, counts below a value, histograms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from torchcrop.soft.elementwise import relu, sigmoidal
from torchcrop.soft.lookup import histogram, interp, searchsorted

SOFT = ("smooth", "c0", "c1", "c2")
SMOOTH = ("smooth", "c1", "c2")
KNOTS, VALUES = [0.0, 1.0, 1.5, 4.0], [1.0, 3.0, -2.0, 0.5]


def double(values: object, *, differentiate: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=differentiate)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# --- interp -----------------------------------------------------------------------------------------------------


def test_hard_interp_is_that_of_numpy() -> None:
    x = torch.linspace(-2, 6, 41, dtype=torch.float64)
    close(interp(x, double(KNOTS), double(VALUES), mode="hard"), torch.from_numpy(np.interp(x, KNOTS, VALUES)))
    far = double([-1e30, 1e30, float("inf"), float("nan")])
    close(interp(far, double(KNOTS), double(VALUES), mode="hard")[:3], double([1.0, 0.5, 0.5]))
    assert interp(far, double(KNOTS), double(VALUES), mode="hard")[3].isnan()


def test_hard_interp_has_half_of_either_slope_at_a_knot() -> None:
    x = double(KNOTS, differentiate=True)
    (slope,) = torch.autograd.grad(interp(x, double(KNOTS), double(VALUES), mode="hard").sum(), x)
    close(slope, double([(0 + 2) / 2, (2 - 10) / 2, (-10 + 1) / 2, (1 + 0) / 2]))


@pytest.mark.parametrize("mode", SOFT)
def test_interp_is_the_sum_of_its_rounded_kinks(mode: str) -> None:
    x = torch.linspace(-2, 6, 83, dtype=torch.float64)
    kinks = [2.0, -12.0, 11.0, -1.0]
    expected = VALUES[0] + sum(k * relu(x - knot, 0.1, mode) for k, knot in zip(kinks, KNOTS, strict=True))
    close(interp(x, double(KNOTS), double(VALUES), 0.1, mode), expected)


@pytest.mark.parametrize("mode", SOFT)
def test_interp_goes_to_the_table(mode: str) -> None:
    x = torch.linspace(-2, 6, 41, dtype=torch.float64)
    hard = interp(x, double(KNOTS), double(VALUES), mode="hard")
    assert (interp(x, double(KNOTS), double(VALUES), 1e-7, mode) - hard).abs().max() < 2e-6


@pytest.mark.parametrize("mode", SOFT)
def test_interp_is_exact_far_out_in_single_precision(mode: str) -> None:
    knots = torch.linspace(0, 1, 101)
    values = torch.randn(101, generator=torch.Generator().manual_seed(0))
    x = torch.tensor([-1e30, -1e6, 1e6, 1e30], requires_grad=True)
    y = interp(x, knots, values, 1e-4, mode)
    assert torch.equal(y, values[[0, 0, -1, -1]])
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.zeros(4))


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("shift", [0.0, 0.0137])
def test_derivatives_of_interp(mode: str, shift: float) -> None:
    """At the knots, too."""
    x = (double([-1.0, *KNOTS, 0.3, 1.27, 5.0]) + shift).requires_grad_()
    arguments = (x, double(KNOTS, differentiate=True), double(VALUES, differentiate=True))
    softness = double(0.05, differentiate=True)
    assert gradcheck(lambda *a: interp(*a, mode), (*arguments, softness))
    if mode in SMOOTH:
        assert gradgradcheck(lambda *a: interp(*a, mode), (*arguments, softness))


@pytest.mark.parametrize("mode", SOFT)
def test_curvature_of_interp_at_a_knot(mode: str) -> None:
    curvature = torch.func.hessian(lambda x: interp(x, double(KNOTS), double(VALUES), 0.01, mode).sum())(double(KNOTS))
    slope = torch.func.grad(lambda x: sigmoidal(x, 0.01, mode))(double(0.0))
    close(curvature.diag(), slope * double([2.0, -12.0, 11.0, -1.0]), 1e-9)


def test_interp_with_a_table_for_each_slice() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 5, generator=generator)
    knots = torch.rand(3, 4, generator=generator).cumsum(-1)
    values = torch.randn(3, 4, generator=generator)
    for mode in ("hard", "c1"):
        single = [interp(x[i], knots[i], values[i], 0.05, mode) for i in range(3)]
        together = interp(x, knots, values, 0.05, mode)
        close(together, torch.stack(single), 1e-6)
        close(torch.func.vmap(lambda *a, mode=mode: interp(*a, 0.05, mode))(x, knots, values), together, 1e-6)
        close(interp(x[0], knots, values, 0.05, mode)[1], interp(x[0], knots[1], values[1], 0.05, mode), 1e-6)
        close(interp(x, knots[0], values, 0.05, mode)[1], interp(x[1], knots[0], values[1], 0.05, mode), 1e-6)
        softness = torch.tensor([[0.05], [0.1], [0.2]])
        close(interp(x, knots, values, softness, mode)[2], interp(x[2], knots[2], values[2], 0.2, mode), 1e-6)


def test_interp_of_one_knot_is_constant() -> None:
    x = double([[-1.0, 3.0]], differentiate=True)
    y = interp(x, double([1.0]), double([7.0]), 0.1)
    assert y.tolist() == [[7.0, 7.0]]
    assert torch.autograd.grad(y.sum(), x)[0].abs().sum() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_interp_keeps_the_dtype(dtype: torch.dtype) -> None:
    table = [torch.tensor(v, dtype=dtype) for v in (KNOTS, VALUES)]
    for mode in ("hard", "smooth"):
        y = interp(torch.tensor([0.5, 3.0], dtype=dtype), *table, 0.01, mode)
        assert y.dtype == dtype
        torch.testing.assert_close(y, torch.tensor([2.0, -0.5], dtype=dtype), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("mode", ["hard", *SOFT])
def test_one_number_is_looked_up_as_a_number(mode: str) -> None:
    x = torch.tensor(3)
    found = interp(x, torch.tensor(KNOTS), torch.tensor(VALUES), 0.01, mode)
    assert found.shape == ()
    assert found.item() == pytest.approx(-0.5)
    place = searchsorted(torch.tensor(KNOTS), x, 0.01, mode)
    assert place.shape == ()
    assert place.item() == pytest.approx(3)


def test_interp_compiles() -> None:
    arguments = (torch.linspace(-1, 5, 7), torch.tensor(KNOTS), torch.tensor(VALUES), torch.tensor(0.1))
    for mode in ("hard", "smooth", "c2"):
        compiled = torch.compile(lambda *a, mode=mode: interp(*a, mode), fullgraph=True, backend="aot_eager")
        close(compiled(*arguments), interp(*arguments, mode), 1e-6)


def test_jvp_of_interp_is_its_slope() -> None:
    _, slope = torch.func.jvp(
        lambda x: interp(x, double(KNOTS), double(VALUES), 0.01, "c2"), (double([0.5, 3.0]),), (double([1.0, 1.0]),)
    )
    close(slope, double([2.0, 1.0]))


@pytest.mark.parametrize(
    ("xp", "fp", "x", "message"),
    [
        ([0.0, 0.0, 1.0], [1.0, 2.0, 3.0], [0.5], "xp must increase"),
        ([0.0, 2.0, 1.0], [1.0, 2.0, 3.0], [0.5], "smallest step is -1.0"),
        ([0.0, 1.0], [1.0, 2.0, 3.0], [0.5], "xp has 2 knots and fp 3"),
        ([], [], [0.5], "at least one knot"),
        ([[0.0, 1.0]] * 2, [[0.0, 1.0]] * 2, 0.5, "x\\[..., None\\]"),
        ([[0.0, 1.0]] * 2, [[0.0, 1.0]] * 2, [[0.5]] * 3, "must broadcast"),
    ],
)
def test_a_bad_table_is_named(xp: object, fp: object, x: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interp(torch.tensor(x), torch.tensor(xp), torch.tensor(fp))


def test_other_bad_arguments_of_interp_are_named() -> None:
    table = (torch.tensor(KNOTS), torch.tensor(VALUES))
    with pytest.raises(ValueError, match="interp: softness must be positive"):
        interp(torch.tensor(1.0), *table, -1.0)
    with pytest.raises(ValueError, match="interp: Invalid mode"):
        interp(torch.tensor(1.0), *table, mode="smoth")
    with pytest.raises(TypeError, match="interp: xp"):
        interp(torch.tensor(1.0), KNOTS, table[1])  # type: ignore[arg-type]


# --- searchsorted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("right", [False, True])
def test_searchsorted_goes_to_that_of_torch(right: bool) -> None:
    sequence, values = double([0.0, 1.0, 1.0, 2.0]), double([-1.0, 0.0, 0.5, 1.0, 3.0])
    expected = torch.searchsorted(sequence, values, right=right).double()
    close(searchsorted(sequence, values, mode="hard", right=right), expected)
    close(searchsorted(sequence, values, 1e-13, right=right), expected)


@pytest.mark.parametrize("mode", SOFT)
def test_searchsorted_counts_shares(mode: str) -> None:
    sequence, values = double([0.0, 0.4, 1.0], differentiate=True), double([[0.31], [0.9]], differentiate=True)
    expected = sum(sigmoidal(values - s, 0.1, mode) for s in sequence)
    close(searchsorted(sequence, values, 0.1, mode), expected, 1e-8)
    softness = double([[0.1], [0.2]], differentiate=True)
    assert gradcheck(lambda *a: searchsorted(*a, mode), (sequence, values, softness))


def test_searchsorted_with_a_sequence_for_each_slice() -> None:
    sequence, values = double([[0.0, 1.0], [2.0, 5.0]]), double([[0.5, 3.0], [0.5, 3.0]])
    for mode in ("hard", "c1"):
        together = searchsorted(sequence, values, 0.01, mode)
        assert together.tolist() == [[1.0, 2.0], [0.0, 1.0]]
        close(torch.func.vmap(lambda s, v, mode=mode: searchsorted(s, v, 0.01, mode))(sequence, values), together)
    compiled = torch.compile(lambda s, v: searchsorted(s, v, 0.1), fullgraph=True, backend="aot_eager")
    close(compiled(sequence, values), searchsorted(sequence, values, 0.1))
    with pytest.raises(ValueError, match="searchsorted: sorted_sequence of shape"):
        searchsorted(sequence, double([[1.0]] * 3))


# --- histogram --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [False, True])
def test_hard_histogram_is_that_of_torch(density: bool) -> None:
    x = torch.tensor([0.0, 0.5, 1.0, 1.0, 2.5, 3.0, 3.0, -1.0, 7.0])
    weight = torch.linspace(1, 2, 9)
    edges = torch.tensor([0.0, 1.0, 2.0, 3.0])
    for options in ({}, {"weight": weight}):
        expected = torch.histogram(x, edges, density=density, **options)
        close(histogram(x, edges, density=density, mode="hard", **options).hist, expected.hist, 1e-6)
    for options in ({}, {"range": (0.0, 4.0)}):
        expected = torch.histogram(x, 8, density=density, **options)
        found = histogram(x, 8, density=density, mode="hard", **options)
        close(found.hist, expected.hist, 1e-6)
        close(found.bin_edges, expected.bin_edges, 1e-6)
    close(histogram(x[2:4], 4, mode="hard").bin_edges, torch.histogram(x[2:4], 4).bin_edges, 1e-6)


@pytest.mark.parametrize("mode", SOFT)
def test_histogram_keeps_what_lies_between_the_outer_edges(mode: str) -> None:
    x, edges = double([0.1, 0.5, 1.9, 2.4]), double([0.0, 1.0, 1.5, 2.0])
    weight = double([1.0, 2.0, 3.0, 4.0])
    found = histogram(x, edges, weight=weight, softness=0.1, mode=mode).hist
    inside = sigmoidal(x, 0.1, mode) - sigmoidal(x - 2, 0.1, mode)
    close(found.sum(), (weight * inside).sum())
    close(found[1], (weight * (sigmoidal(x - 1, 0.1, mode) - sigmoidal(x - 1.5, 0.1, mode))).sum())
    wide = histogram(x, double([-50.0, 1.0, 60.0]), weight=weight, softness=0.1, mode=mode).hist
    close(wide.sum(), weight.sum())
    close(histogram(x, edges, softness=1e-6, mode=mode).hist, histogram(x, edges, mode="hard").hist)


@pytest.mark.parametrize("mode", SOFT)
def test_derivatives_of_histogram(mode: str) -> None:
    x = double([[0.12, 0.53, 1.91], [0.3, 0.31, 0.7]], differentiate=True)
    edges, weight = double([0.0, 1.047, 2.06], differentiate=True), double([1.0, 2.0, 3.0], differentiate=True)
    softness = double(0.1, differentiate=True)

    def counts(x: Tensor, edges: Tensor, weight: Tensor, softness: Tensor) -> Tensor:
        return histogram(x, edges, weight=weight, softness=softness, mode=mode).hist

    assert gradcheck(counts, (x, edges, weight, softness))
    if mode in SMOOTH:
        assert gradgradcheck(counts, (x, edges, weight, softness))
    assert gradcheck(lambda x: histogram(x, 3, softness=0.1, mode=mode).hist, x)


def test_histogram_of_slices() -> None:
    x = double([[0.1, 0.5, 1.9], [0.3, 0.3, 0.7]])
    edges = double([[0.0, 1.0, 2.0], [0.0, 0.5, 1.0]])
    for mode in ("hard", "smooth"):
        together = histogram(x, edges, softness=0.1, mode=mode).hist
        close(together, torch.stack([histogram(x[i], edges[i], softness=0.1, mode=mode).hist for i in range(2)]))
        mapped = torch.func.vmap(lambda a, e, mode=mode: histogram(a, e, softness=0.1, mode=mode).hist)(x, edges)
        close(mapped, together)
        compiled = torch.compile(
            lambda a, e, mode=mode: histogram(a, e, softness=0.1, mode=mode).hist, fullgraph=True, backend="aot_eager"
        )
        close(compiled(x, edges), together)
    assert histogram(x[:, :0], edges, softness=0.1).hist.tolist() == [[0.0, 0.0]] * 2


def test_histogram_stays_finite_in_single_precision() -> None:
    x = torch.tensor([-1e30, 1e30, 0.0], requires_grad=True)
    for mode in SOFT:
        counts = histogram(x, torch.tensor([-1.0, 0.0, 1.0]), softness=1e-3, mode=mode).hist
        assert torch.equal(counts, torch.tensor([0.5, 0.5]))
        assert torch.autograd.grad(counts[0], x)[0].isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 0}, "bins is 0"),
        ({"bins": torch.tensor([1.0])}, "at least two edges"),
        ({"bins": torch.tensor([0.0, 1.0]), "range": (0.0, 1.0)}, "goes with a number"),
        ({"bins": 3, "range": (1.0, 1.0)}, "below the highest"),
        ({"bins": torch.zeros(3, 2)}, "do not fit"),
    ],
)
def test_a_bad_histogram_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        histogram(torch.zeros(2, 4), **options)
