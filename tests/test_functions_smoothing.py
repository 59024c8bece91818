"""Smooth forms of steps, limits and choices, and the share of a day beyond an event."""

import functools
import gzip
import json
import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import torchcrop
from tests.conftest import SHARED
from torchcrop.functions import smoothing
from torchcrop.functions.smoothing import (
    event_share,
    gate,
    hard_limit,
    hard_max,
    hard_min,
    replace_gradient,
    rounded_limit,
    rounded_max,
    rounded_min,
    smooth_step,
    soft_clamp,
    soft_if,
    soft_max,
    soft_min,
)

FORMS = {f.__name__: f for f in (smooth_step, soft_clamp, soft_if, soft_max, soft_min)}


def f64(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)


# --- the stored cases -----------------------------------------------------------------------------------


def stored_cases() -> list:
    if SHARED is None:
        return [pytest.param(None, marks=pytest.mark.shared, id="softops/cases.jsonl.gz")]
    with gzip.open(SHARED / "softops" / "cases.jsonl.gz", "rt") as lines:
        cases = [case for case in map(json.loads, lines) if case["group"] == "torchcrop"]
    return [pytest.param(case, marks=pytest.mark.shared, id=case["id"]) for case in cases]


def test_stored_cases_cover_every_form(shared) -> None:
    assert {p.values[0]["op"] for p in stored_cases()} == set(FORMS)


@pytest.mark.parametrize("case", stored_cases())
def test_stored_case(case) -> None:
    tensors = [
        torch.tensor(t["data"], dtype=getattr(torch, t["dtype"])).reshape(t["shape"]).requires_grad_(t["grad"])
        for t in case["tensors"]
    ]

    def value(v):
        return tensors[v["t"]] if isinstance(v, dict) else v

    result = FORMS[case["op"]](*map(value, case["args"]), **{k: value(v) for k, v in case["kwargs"].items()})
    (out,), (cotangent,) = case["out"], case["cot"]
    expected = torch.tensor(out["data"], dtype=torch.float64).reshape(out["shape"])
    torch.testing.assert_close(result.detach(), expected, rtol=case["rtol"], atol=case["atol"])
    assert case["strict_grad"]
    cotangent = torch.tensor(cotangent, dtype=torch.float64).reshape(result.shape)
    asked = [(t, g) for t, g in zip(tensors, case["grads"], strict=True) if g is not None]
    assert asked
    gradients = torch.autograd.grad(result, [t for t, _ in asked], cotangent)
    for (tensor, stored), gradient in zip(asked, gradients, strict=True):
        stored = torch.tensor(stored, dtype=torch.float64).reshape(tensor.shape)
        torch.testing.assert_close(gradient, stored, rtol=case["grad_rtol"], atol=case["grad_atol"])


# --- broadcasting, ties, limits -------------------------------------------------------------------------


def test_two_arguments_broadcast_and_numbers_are_taken() -> None:
    a, b = f64(0.1, -0.2, 0.3)[:, None], f64(0.05, 0.3, -0.1, 0.2)
    for soft, hard in ((soft_max, torch.maximum), (soft_min, torch.minimum)):
        result = soft(a, b, 2000.0)
        assert result.shape == (3, 4)
        torch.testing.assert_close(result, hard(a, b).expand(3, 4), rtol=0, atol=1e-3)
        torch.testing.assert_close(soft(a, 0.05, 7.0), soft(a, f64(0.05), 7.0))
        torch.testing.assert_close(soft(0.05, a, 7.0), soft(f64(0.05), a, 7.0))
        by_lane = soft(a, b, f64(1.0, 10.0, 100.0, 1000.0))
        for j, k in enumerate((1.0, 10.0, 100.0, 1000.0)):
            torch.testing.assert_close(by_lane[:, j], soft(a[:, 0], b[j], k))
    x = f64(-1.0, 0.2, 3.0)
    lo, hi = f64(0.0, 0.1)[:, None], f64(1.0, 0.4)[:, None]
    assert soft_clamp(x, lo, hi).shape == (2, 3)
    torch.testing.assert_close(soft_clamp(x, lo, hi)[1], soft_clamp(x, 0.1, 0.4))
    torch.testing.assert_close(soft_if(x, lo, hi)[0], soft_if(x, 0.0, 1.0))


@pytest.mark.parametrize("k", [1e-3, 1.0, 50.0, 1e4])
def test_a_tie_costs_ln_2_over_k(k: float) -> None:
    for value in (0.0, 0.3, -7.0):
        a = f64(value)
        torch.testing.assert_close(soft_max(a, a, k), a + math.log(2) / k, rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(soft_min(a, a, k), a - math.log(2) / k, rtol=1e-14, atol=1e-15)
    assert smooth_step(f64(0.3), 0.3, k) == 0.5
    assert soft_if(f64(0.0), 3.0, 5.0, k) == 4.0


def test_the_second_derivative_at_a_tie_is_that_of_the_curve() -> None:
    # max and |.| inside a stable log-sum-exp can leave 0 here, where k/4 is right.
    a, k = f64(0.7), 12.0
    for form, sign in ((soft_max, 1), (soft_min, -1)):
        hessian = torch.autograd.functional.hessian(lambda v, form=form: form(v[0], v[1], k), torch.stack([a, a]))
        torch.testing.assert_close(hessian, sign * k / 4 * f64(1.0, -1.0)[:, None] * f64(1.0, -1.0))


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e4),
)
def test_soft_maximum_is_the_log_sum_exp(a: float, b: float, k: float) -> None:
    with mpmath.workdps(40):
        large = mpmath.log(mpmath.exp(mpmath.mpf(k) * a) + mpmath.exp(mpmath.mpf(k) * b)) / k
        small = -mpmath.log(mpmath.exp(-mpmath.mpf(k) * a) + mpmath.exp(-mpmath.mpf(k) * b)) / k
    for dtype, rtol in ((torch.float64, 1e-14), (torch.float32, 1e-5)):
        x, y = (torch.tensor(v, dtype=dtype) for v in (a, b))
        if dtype is torch.float32:
            x, y = torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype)
        # float32 rounds a and b themselves
        atol = rtol * (max(abs(a), abs(b)) if dtype is torch.float32 else 1e-9) + rtol / k
        assert abs(soft_max(x, y, k).item() - float(large)) <= rtol * abs(float(large)) + atol
        assert abs(soft_min(x, y, k).item() - float(small)) <= rtol * abs(float(small)) + atol


def test_far_from_the_tie_the_result_is_the_argument_itself() -> None:
    a, b = torch.tensor([5.0, -1e5, 1e30]), torch.tensor([-1e5, 5.0, -1e30])
    for k in (1e-2, 1.0, 1e4):
        assert torch.equal(soft_max(a, b, k), torch.maximum(a, b))
        assert torch.equal(soft_min(a, b, k), torch.minimum(a, b))


@given(st.floats(-50, 50), st.floats(-10, 10), st.floats(0.1, 20), st.floats(0.5, 1e3))
def test_soft_clamp_stays_above_its_lower_limit(x: float, lo: float, width: float, k: float) -> None:
    hi = lo + width
    result = soft_clamp(f64(x), lo, hi, k).item()
    assert result >= lo
    # Above the limits by no more than ln(1 + exp(k width)) / k - width; nowhere further off than two ties.
    assert result <= hi + math.log1p(math.exp(-k * width)) / k + 1e-12
    assert abs(result - min(max(x, lo), hi)) <= 2 * math.log(2) / k + 1e-12


# --- nothing overflows ----------------------------------------------------------------------------------

EXTREMES = (-1e30, -1e5, -1.0, -1e-30, 0.0, 1e-30, 1.0, 1e5, 1e30)
LARGEST = torch.finfo(torch.float32).max


def two_derivatives(form, *arguments: Tensor) -> list[Tensor]:
    """Value, gradients, and the gradients of every gradient, with respect to every argument."""
    arguments = tuple(a.clone().requires_grad_() for a in arguments)
    value = form(*arguments)
    first = torch.autograd.grad(value.sum(), arguments, create_graph=True)
    second = []
    for gradient in first:
        if gradient.requires_grad:
            second += torch.autograd.grad(gradient.sum(), arguments, retain_graph=True, allow_unused=True)
    return [value, *first, *(s for s in second if s is not None)]


def assert_finite(results: list[Tensor], what: object) -> None:
    for result in results:
        assert bool(result.isfinite().all()), what


@pytest.mark.parametrize("k", [1e-3, 1.0, 50.0, 1e4])
@pytest.mark.parametrize("form", ["smooth_step", "soft_max", "soft_min"])
def test_two_arguments_give_no_overflow_in_float32(form: str, k: float) -> None:
    a, b = (v.reshape(-1) for v in torch.meshgrid(*(torch.tensor(EXTREMES),) * 2, indexing="ij"))
    sharpness = torch.full_like(a, k)
    results = two_derivatives(FORMS[form], a, b, sharpness)
    assert results[0].dtype == torch.float32
    assert_finite(results, form)
    value, by_a, by_b = results[:3]
    if form == "smooth_step":
        assert bool((value[a < b] <= 0.5).all())
        assert bool((value[a > b] >= 0.5).all())
        return
    torch.testing.assert_close(by_a + by_b, torch.ones_like(a))
    hard = torch.maximum(a, b) if form == "soft_max" else torch.minimum(a, b)
    assert bool(((value - hard).abs() <= math.log(2) / k * 1.0001 + 1e-7 * hard.abs()).all())


@pytest.mark.parametrize("k", [1e-3, 1.0, 50.0, 1e4])
@pytest.mark.parametrize("form", ["smooth_step", "soft_max", "soft_min"])
def test_the_largest_numbers_give_a_value_and_derivatives(form: str, k: float) -> None:
    # Here even the difference of two arguments overflows.
    a = torch.tensor([-LARGEST, LARGEST, LARGEST, -LARGEST, 0.0, LARGEST])
    b = torch.tensor([LARGEST, -LARGEST, LARGEST, -LARGEST, LARGEST, 1.0])
    assert_finite(two_derivatives(FORMS[form], a, b, torch.full_like(a, k)), form)


@pytest.mark.parametrize("k", [1e-3, 1.0, 50.0, 1e4])
def test_limits_and_choices_give_no_overflow_in_float32(k: float) -> None:
    x, lo, hi = (v.reshape(-1) for v in torch.meshgrid(*(torch.tensor(EXTREMES),) * 3, indexing="ij"))
    sharpness = torch.full_like(x, k)
    ordered = lo <= hi
    results = two_derivatives(soft_clamp, x[ordered], lo[ordered], hi[ordered], sharpness[ordered])
    assert_finite(results, "soft_clamp")
    assert bool((results[0] >= lo[ordered]).all())
    results = two_derivatives(soft_if, x, lo, hi, sharpness)
    assert_finite(results, "soft_if")
    far = x * k > 200
    assert torch.equal(results[0][far], lo[far])
    assert torch.equal(results[0][x * k < -200], hi[x * k < -200])


# --- derivatives at ordinary points ---------------------------------------------------------------------


def ordinary(n: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(n)
    return tuple(torch.rand(5, dtype=torch.float64, generator=generator) * 2 - 1 for _ in range(n))


@pytest.mark.parametrize("form", sorted(FORMS))
def test_first_and_second_derivatives_of_every_argument(form: str) -> None:
    *values, sharpness = ordinary({"smooth_step": 3, "soft_max": 3, "soft_min": 3}.get(form, 4))
    if form == "soft_clamp":
        x, lo, hi = values
        values = [x, lo / 2 - 0.4, hi / 2 + 0.4]
    arguments = tuple(v.clone().requires_grad_() for v in (*values, 4 + 3 * sharpness))
    assert gradcheck(FORMS[form], arguments, atol=1e-7)
    assert gradgradcheck(FORMS[form], arguments, atol=1e-6)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_scalars_share_their_gradient_over_the_lanes(form: str) -> None:
    x = f64(-0.3, 0.1, 0.4).requires_grad_()
    others = [f64(v).requires_grad_() for v in ((0.05, 6.0) if form[-1] in "pxn" and form != "soft_clamp" else ())]
    others = others or [f64(v).requires_grad_() for v in (-0.2, 0.3, 6.0)]
    assert gradcheck(FORMS[form], (x, *others), atol=1e-7)


def test_derivatives_far_apart_are_exactly_those_of_the_hard_form() -> None:
    a, b = f64(3.0, -40.0).requires_grad_(), f64(-40.0, 3.0).requires_grad_()
    by_a, by_b = torch.autograd.grad(soft_max(a, b).sum(), (a, b))
    assert by_a.tolist() == [1.0, 0.0]
    assert by_b.tolist() == [0.0, 1.0]


# --- numbers among the arguments ------------------------------------------------------------------------


def test_a_number_leaves_nothing_behind() -> None:
    # A 0-d tensor kept from inference mode, from a transform or from a tracer would poison the next call.
    x = f64(1.0, 2.0)
    with torch.inference_mode():
        hard_max(x, 1.5)
        hard_limit(0.0, 1.5, x)
    leaf = x.clone().requires_grad_()
    hard_max(leaf, 1.5).sum().backward()
    assert leaf.grad.tolist() == [0.0, 1.0]
    torch.func.grad(lambda v: hard_max(v, 1.25).sum())(x)
    torch.func.jvp(lambda v: hard_min(v, 1.25), (x,), (x,))
    (constant,) = set(map(type, smoothing._as_tensors(x, 1.25)))
    assert constant is Tensor
    assert "GradTracking" not in repr(smoothing._as_tensors(x, 1.25)[1])
    with torch._subclasses.FakeTensorMode():
        hard_max(torch.ones(2, dtype=torch.float64), 1.125)
    assert hard_max(x, 1.125).tolist() == [1.125, 2.0]


def test_numbers_take_the_precision_of_the_tensor() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([0.05, 0.3], dtype=dtype)
        for result in (hard_max(x, 0.1), hard_min(0.1, x), hard_limit(0.1, 0.2, x), rounded_min(x, 0.1, 0.02)):
            assert result.dtype == dtype
        assert hard_max(x, 0.1)[0] == torch.tensor(0.1, dtype=dtype)


def test_torch_compile_takes_the_forms() -> None:
    def day(x: Tensor) -> Tensor:
        return hard_max(x, 0.1) * event_share(x, 0.5, 0.1, 1e-4) + soft_max(x, 0.2) + rounded_min(x, 0.3, 0.02)

    x = f64(0.05, 0.3)
    torch.testing.assert_close(torch.compile(day, backend="eager", fullgraph=True)(x), day(x))


# --- the share of a day beyond an event -----------------------------------------------------------------


@functools.cache
def exact_share(start: float, increment: float, width: float, floor: float) -> dict[str, mpmath.mpf]:
    """The mean of the sigmoid over the window, what is left of it, and its derivatives, with digits to lose."""
    with mpmath.workdps(230):
        start, increment, width, floor = map(mpmath.mpf, (start, increment, width, floor))
        length = increment + floor
        a, b = start / width, (start + length) / width

        def softplus(u):
            return mpmath.log1p(mpmath.exp(u)) if u < 100 else u + mpmath.log1p(mpmath.exp(-u))

        def sigmoid(u):
            return 1 / (1 + mpmath.exp(-u))

        share = (softplus(b) - softplus(a)) / (b - a)
        rest = (softplus(-a) - softplus(-b)) / (b - a)
        by_start = (sigmoid(b) - sigmoid(a)) / length
        by_increment = (sigmoid(b) - share) / length
        return {
            "share": share,
            "rest": rest,
            "start": by_start,
            "increment": by_increment,
            "width": -(by_start * start + by_increment * length) / width,
            "start start": (sigmoid(b) * sigmoid(-b) - sigmoid(a) * sigmoid(-a)) / (length * width),
        }


# Dyadic, so that the mirrored window is exactly the mirrored window.
FLOOR = 2.0**-9
WINDOWS = [
    (start, increment, width)
    for width in (1.5, 0.25, 16.0)
    for increment in (0.0, 2.0**-6, 7.5, 24.0)
    for start in (-103.5, -60.25, -24.0, -17.5, -8.0, -3.5, -0.125, 0.0, 2.0, 9.75, 33.0, 101.0)
]


def test_share_and_rest_have_twelve_digits_in_both_tails() -> None:
    smallest = 1.0
    for start, increment, width in WINDOWS:
        truth = exact_share(start, increment, width, FLOOR)
        share = event_share(f64(start), increment, width, FLOOR).item()
        # The mirrored window: the same form gives what is left, however little that is.
        rest = event_share(f64(-(start + increment + FLOOR)), increment, width, FLOOR).item()
        for value, expected in ((share, truth["share"]), (rest, truth["rest"])):
            if expected < 1e-300:  # near the end of the normal numbers
                assert value <= 1e-300
                continue
            assert abs(mpmath.mpf(value) - expected) <= 1e-12 * expected, (start, increment, width)
            smallest = min(smallest, value)
        # One number holds both to round-off of 1.
        assert abs(mpmath.mpf(1 - share) - truth["rest"]) <= 5e-16
        assert abs(share + rest - 1) <= 5e-16
    assert smallest < 1e-100


def test_derivatives_of_the_share_have_their_digits_in_both_tails() -> None:
    for start, increment, width in WINDOWS:
        truth = exact_share(start, increment, width, FLOOR)
        if min(truth["share"], truth["rest"]) < 1e-290:
            continue
        arguments = [f64(v).requires_grad_() for v in (start, increment, width)]
        share = event_share(*arguments, FLOOR)
        gradients = torch.autograd.grad(share, arguments, create_graph=True)
        (second,) = torch.autograd.grad(gradients[0], arguments[0])
        small = float(min(truth["share"], truth["rest"]))
        length = increment + FLOOR
        # A derivative to the increment is a difference of two means one window apart: it has eps/length absolute.
        for name, value, slack in (
            ("start", gradients[0], 1e-12 * float(truth["start"])),
            ("increment", gradients[1], 1e-11 * float(truth["start"]) + 1e-14 * small / length),
            ("width", gradients[2], (1e-11 * float(truth["start"]) + 2e-14 * small / length) * (abs(start) + length)),
            ("start start", second, 1e-10 * float(truth["start"]) / width),
        ):
            scale = 1.0 if name != "width" else 1 / width
            assert abs(value.item() - float(truth[name])) <= slack * scale, (name, start, increment, width)


@pytest.mark.parametrize("width", [1e-3, 1e-6, 1e-12])
def test_share_becomes_the_sharp_clamp(width: float) -> None:
    start = torch.linspace(-12.03, 3.01, 57, dtype=torch.float64)
    for increment in (0.5, 9.0):
        end = start + increment + 1e-9
        sharp = (end / (end - start)).clamp(0, 1)
        # Within a few widths of either end of the window the sigmoid still rounds the corner.
        share = event_share(start, increment, width, 1e-9)
        torch.testing.assert_close(share, sharp, rtol=0, atol=1e-13 + width)


def test_a_day_without_progress_is_harmless() -> None:
    for dtype, rtol in ((torch.float64, 1e-7), (torch.float32, 1e-3)):
        start = torch.tensor([-40.0, -3.0, -0.3, 0.0, 0.3, 3.0, 40.0], dtype=dtype)
        increment, width = torch.zeros_like(start), torch.full_like(start, 1.5)
        results = two_derivatives(lambda s, d, w: event_share(s, d, w, 1.5e-3), start, increment, width)
        assert_finite(results, dtype)
        truths = [exact_share(s, 0.0, 1.5, 1.5e-3) for s in start.tolist()]
        for name, result in zip(("share", "start", "increment", "width"), results, strict=False):
            expected = f64(*(float(t[name]) for t in truths))
            torch.testing.assert_close(result.double(), expected, rtol=rtol, atol=rtol / 10)
        # and the second derivatives stay of the size of the curve's
        assert max(float(r.abs().max()) for r in results[4:]) < 10


def test_single_precision_keeps_its_digits() -> None:
    for start, increment, width in WINDOWS:
        truth = exact_share(start, increment, width, FLOOR)
        if truth["share"] < 1e-37:
            continue
        leaf = torch.tensor(start).requires_grad_()
        share = event_share(leaf, increment, width, FLOOR)
        (slope,) = torch.autograd.grad(share, leaf)
        assert share.dtype == torch.float32
        assert share.item() == pytest.approx(float(truth["share"]), rel=1e-5)
        assert slope.item() == pytest.approx(float(truth["start"]), rel=1e-4, abs=1e-37)


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0, 30)), min_size=20, max_size=40),
    st.floats(0, 300),
    st.floats(0.15, 15),
)
def test_windows_tile_the_axis(increments: list[float], threshold: float, width: float) -> None:
    # Each window weighted by its length: together the integral of the step from first to last, whatever the days.
    floor = 1e-9
    ends = torch.cumsum(f64(*increments) + floor, 0)
    starts = ends - f64(*increments) - floor
    shares = event_share(starts - threshold, f64(*increments), width, floor)
    total = ((f64(*increments) + floor) * shares).sum().item()
    whole = event_share(f64(-threshold), ends[-1] - floor, width, floor).item() * ends[-1].item()
    assert total == pytest.approx(whole, rel=1e-12, abs=1e-12 * ends[-1].item())


@given(st.floats(30, 60), st.floats(0.01, 0.5))
def test_the_sum_of_what_is_left_is_the_date(threshold: float, width: float) -> None:
    days = torch.arange(90, dtype=torch.float64)
    shares = event_share(days - threshold, 1.0, width, 1e-13)
    assert (1 - shares).sum().item() == pytest.approx(threshold, abs=1e-9)


@given(st.floats(-60, 60), st.floats(0, 30), st.floats(0.1, 15), st.floats(1e-3, 5))
def test_share_rises_with_the_clock(start: float, increment: float, width: float, step: float) -> None:
    at = event_share(f64(start, start + step), f64(increment), width, 1.5e-3)
    assert 0 <= at[0] <= at[1] <= 1
    longer = event_share(f64(start), f64(increment, increment + step), width, 1.5e-3)
    assert longer[0] <= longer[1] + 1e-15


@given(st.floats(-60, 60), st.floats(0, 30), st.floats(0.1, 15))
def test_share_and_mirrored_share_make_one(start: float, increment: float, width: float) -> None:
    mirrored = -(f64(start) + (increment + 1.5e-3))
    total = event_share(f64(start), increment, width, 1.5e-3) + event_share(mirrored, increment, width, 1.5e-3)
    # A window of 1.5e-3 moved by one rounding of its start moves the share by as much.
    assert abs(total.item() - 1) <= 1e-14 / min(width, 1)


def test_derivatives_of_the_share_at_ordinary_points() -> None:
    start = f64(-20.0, -4.0, -3.0, -1.0, 0.4, 6.0).requires_grad_()
    increment = f64(8.0, 12.0, 0.5, 3.0, 1.0, 9.0).requires_grad_()
    width = f64(1.5, 0.7, 2.0, 1.0, 0.5, 3.0).requires_grad_()
    floor = f64(0.01).requires_grad_()
    assert gradcheck(event_share, (start, increment, width, floor), atol=1e-8)
    assert gradgradcheck(event_share, (start, increment, width, floor), atol=1e-7)


# --- gate, rounded kinks, replaced gradient -------------------------------------------------------------


def test_gate_is_a_sigmoid_of_its_width() -> None:
    x, width = f64(-0.3, 0.0, 0.02, 5.0).requires_grad_(), f64(0.1).requires_grad_()
    torch.testing.assert_close(gate(x, width), 1 / (1 + torch.exp(-x / width)))
    assert gate(f64(0.0), 0.1) == 0.5
    assert gradcheck(gate, (x, width), atol=1e-8)
    assert gradgradcheck(gate, (x, width), atol=1e-7)


def square_is_normal(b: float) -> bool:
    return b == 0 or b > 1e-18


@given(
    st.floats(0, 1e4).filter(square_is_normal),
    st.sampled_from([1e-3, 0.02, 0.1, 0.5]),
    st.sampled_from([torch.float64, torch.float32]),
)
def test_rounded_kinks_are_exact_at_rest(b: float, k: float, dtype: torch.dtype) -> None:
    rest, other = torch.tensor(0.0, dtype=dtype), torch.tensor(b, dtype=dtype)
    assert rounded_min(rest, other, k) == 0
    assert rounded_min(other, rest, k) == 0
    assert rounded_max(rest, other, k) == other
    assert rounded_max(other, rest, k) == other


@given(st.floats(0, 1e3).filter(square_is_normal), st.floats(0, 1e3).filter(square_is_normal), st.floats(0.01, 0.5))
def test_rounded_kinks_are_near_and_sum_to_both(a: float, b: float, k: float) -> None:
    low, high = rounded_min(f64(a), b, k).item(), rounded_max(f64(a), b, k).item()
    assert low + high == pytest.approx(a + b, rel=1e-14)
    # At a tie min and max are off by k of it, elsewhere by less.
    assert low <= min(a, b) + 1e-13 * (a + b)
    assert min(a, b) - low <= k * math.sqrt(a * b) + 1e-13 * (a + b)
    assert low >= -1e-13 * (a + b)


def test_rounded_minimum_at_the_origin_has_both_halves() -> None:
    a, b = f64(0.0).requires_grad_(), f64(0.0).requires_grad_()
    for form in (rounded_min, rounded_max):
        results = two_derivatives(lambda p, q, form=form: form(p, q, 0.02), a.detach(), b.detach())
        assert_finite(results, form)
        assert results[1] == results[2] == 0.5


def test_rounded_limit_is_near_and_takes_limits_that_coincide() -> None:
    x = torch.linspace(-3, 4, 141, dtype=torch.float64)
    rounded = rounded_limit(0.0, 1.0, x, 0.02)
    assert (rounded - x.clamp(0, 1)).abs().max() <= 0.02 * math.log(2) + 1e-12
    assert rounded.min() >= 0
    assert rounded.max() <= 1 + 1e-14
    assert rounded_limit(0.0, 1.0, f64(0.5), 0.02).item() == pytest.approx(0.5, abs=1e-11)
    # nothing can drain: LIMIT(0, 0, x)
    for dtype in (torch.float64, torch.float32):
        lo, x = torch.zeros(5, dtype=dtype), torch.tensor([-7.0, -1e-3, 0.0, 1e-3, 7.0], dtype=dtype)
        results = two_derivatives(lambda lo, hi, x: rounded_limit(lo, hi, x, 0.02), lo, lo, x)
        assert_finite(results[:4], dtype)
        assert results[0].tolist() == [0.0] * 5


@pytest.mark.parametrize("form", [rounded_min, rounded_max])
def test_derivatives_of_rounded_minimum_and_maximum(form) -> None:
    a, b = f64(0.3, 1.0, 2.0, 0.0).requires_grad_(), f64(0.31, 1.0, 0.1, 0.5).requires_grad_()
    assert gradcheck(lambda a, b: form(a, b, 0.1), (a, b), atol=1e-7)
    assert gradgradcheck(lambda a, b: form(a, b, 0.1), (a, b), atol=1e-6)


def test_derivatives_of_rounded_limit() -> None:
    lo, hi = f64(0.1).requires_grad_(), f64(0.9).requires_grad_()
    x = f64(-0.2, 0.1, 0.13, 0.5, 0.95, 1.4).requires_grad_()
    assert gradcheck(lambda lo, hi, x: rounded_limit(lo, hi, x, 0.1), (lo, hi, x), atol=1e-7)
    assert gradgradcheck(lambda lo, hi, x: rounded_limit(lo, hi, x, 0.1), (lo, hi, x), atol=1e-6)


def test_replaced_gradient_keeps_the_value_to_the_bit() -> None:
    value = f64(0.1, 1e300, -3.3, 0.0)
    gradient = f64(0.7, 1e-300, 1e17, 0.3).requires_grad_()
    result = replace_gradient(value, 3 * gradient)
    assert torch.equal(result, value)
    assert torch.autograd.grad(result.sum(), gradient)[0].tolist() == [3.0] * 4


def test_the_forms_stand_at_the_top_of_the_package() -> None:
    for name, form in FORMS.items():
        assert getattr(torchcrop.functions, name) is form
