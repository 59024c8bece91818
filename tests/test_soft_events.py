"""The time of a threshold crossing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from torchcrop.soft.curves import Shape, slope, step
from torchcrop.soft.events import _mean_step, event_time

SOFT = ("smooth", "c0", "c1", "c2")
BUMP = [0.0, 0.3, 0.9, 0.97, 0.6, 0.4, 0.8, 1.3, 1.2, 2.0]
STAGE = [(0.1 * i) ** 1.3 for i in range(21)]


def double(values: object, *, differentiate: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=differentiate)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


# --- hard -------------------------------------------------------------------------------------------------------


def test_hard_times_by_hand() -> None:
    time, reached = event_time(
        double(BUMP), double([-1.0, 0.0, 0.15, 0.9, 1.05, 1.3, 5.0]), mode="hard", return_reached=True
    )
    close(time, double([0.0, 0.0, 0.5, 2.0, 6.5, 7.0, math.nan]))
    assert reached.tolist() == [1.0] * 6 + [0.0]


def test_hard_derivative_is_that_of_the_interpolation() -> None:
    series = double([0.0, 0.4, 0.8, 1.2], differentiate=True)
    threshold = double(1.0, differentiate=True)
    by_series, by_threshold = torch.autograd.grad(event_time(series, threshold, mode="hard"), (series, threshold))
    close(by_series, double([0.0, 0.0, -0.5 / 0.4, -0.5 / 0.4]))
    close(by_threshold, double(1 / 0.4))
    never = torch.autograd.grad(event_time(series, 9.0, mode="hard"), series)[0]
    at_once = torch.autograd.grad(event_time(series, -9.0, mode="hard"), series)[0]
    assert torch.equal(never, torch.zeros(4).double())
    assert torch.equal(at_once, torch.zeros(4).double())


@pytest.mark.parametrize("mode", ["hard", *SOFT])
def test_down_is_the_mirror_of_up(mode: str) -> None:
    water = 1 - double(BUMP)
    close(event_time(water, 0.05, direction="down", mode=mode), event_time(-water, -0.05, mode=mode))
    close(event_time(water, 1 - 1.05, direction="down", softness=1e-6, mode=mode), double(6.5), 1e-5)


@pytest.mark.parametrize("mode", ["hard", *SOFT])
def test_times_may_be_days_of_the_year(mode: str) -> None:
    days = double([100.0, 101.0, 103.0, 110.0])
    series = double([0.0, 1.0, 2.0, 3.0])
    close(event_time(series, 1.5, times=days, softness=0.01, mode=mode), double(102.0), 1e-6)
    both = event_time(series.expand(2, 4), 1.5, times=torch.stack([days, 2 * days]), softness=0.01, mode=mode)
    close(both, double([102.0, 204.0]), 1e-6)


# --- soft -------------------------------------------------------------------------------------------------------


def mean_of_hard_times(series: Tensor, threshold: float, softness: float, mode: str) -> float:
    """By summation over very many thresholds."""
    offsets = torch.linspace(-40 * softness, 40 * softness, 200_001, dtype=torch.float64)
    share = step(offsets, Shape.of(mode, softness)).diff()
    times = event_time(series, threshold + (offsets[1:] + offsets[:-1]) / 2, mode="hard")
    times = times.nan_to_num(nan=len(series) - 1.0)
    return ((share * times).sum() / share.sum()).item()


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("softness", [0.003, 0.05, 0.3])
@pytest.mark.parametrize("values", [BUMP, STAGE, [0.5, 0.5, 0.95, 0.95, 0.95, 1.2, 0.2]])
def test_it_is_the_mean_over_spread_thresholds(values: list[float], softness: float, mode: str) -> None:
    found = event_time(double(values), 0.95, softness=softness, mode=mode).item()
    assert found == pytest.approx(mean_of_hard_times(double(values), 0.95, softness, mode), abs=3e-4)


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("softness", [1e-6, 0.01, 0.1])
def test_where_the_series_is_straight_it_is_the_hard_time(softness: float, mode: str) -> None:
    stage = torch.linspace(-8, 8, 41, dtype=torch.float64)
    for threshold in (0.0, 0.123, 0.4):
        hard = event_time(stage, threshold, mode="hard")
        close(event_time(stage, threshold, softness=softness, mode=mode), hard, 1e-9)


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("threshold", [0.15, 0.95, 0.97, 1.1, 1.25])
def test_it_goes_to_the_hard_time(threshold: float, mode: str) -> None:
    if threshold == 0.97:  # the top of the bump: half of the thresholds around it are reached only after it
        expected = (3 + 6 + 0.17 / 0.5) / 2
    else:
        expected = event_time(double(BUMP), threshold, mode="hard").item()
    assert event_time(double(BUMP), threshold, softness=1e-8, mode=mode).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("mode", SOFT)
def test_a_bump_makes_no_jump(mode: str) -> None:
    thresholds = torch.linspace(0.9, 1.05, 301, dtype=torch.float64)
    soft = event_time(double(BUMP), thresholds, softness=0.01, mode=mode)
    hard = event_time(double(BUMP), thresholds, mode="hard")
    assert hard.diff().max() > 3, "or there is no jump to smear"
    assert soft.diff().min() >= 0
    assert soft.diff().max() < 0.06


@pytest.mark.parametrize("mode", SOFT)
def test_what_is_not_reached_counts_with_the_last_time(mode: str) -> None:
    time, reached = event_time(double(BUMP), double([2.0, 9.0, -9.0]), softness=0.01, mode=mode, return_reached=True)
    close(reached, double([0.5, 0.0, 1.0]))
    close(time[1:], double([9.0, 0.0]))
    assert 8.9 < time[0] < 9
    series = double(BUMP, differentiate=True)
    pull = torch.autograd.grad(event_time(series, 2.05, softness=0.05, mode=mode), series)[0]
    assert pull[-1] < 0, "a higher end brings the event nearer"


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("values", [BUMP, STAGE])
@pytest.mark.parametrize("softness", [0.003, 0.05, 0.3])
def test_derivatives(values: list[float], softness: float, mode: str) -> None:
    arguments = (
        double(values, differentiate=True),
        double(0.95, differentiate=True),
        torch.arange(len(values), dtype=torch.float64).requires_grad_(),
        double(softness, differentiate=True),
    )

    def event(series: Tensor, threshold: Tensor, times: Tensor, softness: Tensor) -> tuple[Tensor, ...]:
        found = event_time(series, threshold, times=times, softness=softness, mode=mode, return_reached=True)
        assert isinstance(found, tuple)
        return found

    assert gradcheck(event, arguments)
    if mode != "c0":
        assert gradgradcheck(event, arguments)


@pytest.mark.parametrize("mode", SOFT)
def test_a_threshold_that_is_met_exactly(mode: str) -> None:
    series, threshold = double([0.0, 0.5, 1.0, 1.5], differentiate=True), double(1.0, differentiate=True)
    time = event_time(series, threshold, softness=0.02, mode=mode)
    close(time, double(2.0), 1e-9)
    close(torch.autograd.grad(time, threshold)[0], double(2.0), 1e-6)
    assert gradcheck(lambda s, c: event_time(s, c, softness=0.02, mode=mode), (series, threshold))


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("length", [1e-3, 1e-8, 1e-14, 0.0])
def test_the_mean_of_the_step_over_a_short_interval_loses_no_digits(length: float, mode: str) -> None:
    low = double([0.1, -0.31, 0.02], differentiate=True)
    high = (low.detach() + length).requires_grad_()
    shape = Shape.of(mode, 0.1)
    mean = _mean_step(low, high, shape)
    close(mean, step((low + high) / 2, shape), 1e-12 + length)
    for derivative in torch.autograd.grad(mean.sum(), (low, high)):
        close(derivative, slope(low, shape) / 2, 1e-10 + 100 * length)


# --- batches, transforms, extremes ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hard", *SOFT])
def test_batches_and_transforms(mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(4, 20, dtype=torch.float64, generator=generator).cumsum(-1)
    threshold = torch.rand(4, dtype=torch.float64, generator=generator)
    whole = event_time(series, threshold, mode=mode)
    close(whole, torch.stack([event_time(series[i], threshold[i], mode=mode) for i in range(4)]))
    close(torch.func.vmap(lambda s, c: event_time(s, c, mode=mode))(series, threshold), whole)
    close(event_time(series.T, threshold, dim=0, mode=mode), whole)
    compiled = torch.compile(lambda s, c: event_time(s, c, mode=mode), fullgraph=True, backend="aot_eager")
    close(compiled(series, threshold), whole, 1e-9)
    jacobian = torch.func.jacrev(lambda s: event_time(s, threshold, mode=mode))(series)
    _, moved = torch.func.jvp(lambda s: event_time(s, threshold, mode=mode), (series,), (series,))
    close(torch.nan_to_num(moved), (jacobian * series).sum((-1, -2)), 1e-9)
    assert torch.func.hessian(lambda s: event_time(s, 0.5, mode=mode))(double(BUMP)).isfinite().all()


@pytest.mark.parametrize("mode", SOFT)
@pytest.mark.parametrize("softness", [1e-3, torch.tensor(0.1, requires_grad=True)])
def test_extremes_of_single_precision(mode: str, softness: Tensor | float) -> None:
    for values in ([-1e30, 1e30, 0.0, -1e30], [1e30] * 3, [0.0, 0.0, 0.0], [-1e30, -1e30, 1e30], [0.0]):
        series, threshold = torch.tensor(values, requires_grad=True), torch.tensor(0.0, requires_grad=True)
        time = event_time(series, threshold, softness=softness, mode=mode)
        assert time.isfinite()
        assert all(g.isfinite().all() for g in torch.autograd.grad(time, (series, threshold), allow_unused=True))


@pytest.mark.parametrize("mode", ["hard", *SOFT])
def test_one_value_and_other_dtypes(mode: str) -> None:
    time, reached = event_time(torch.tensor([2]), 1.0, softness=0.01, mode=mode, return_reached=True)
    assert time.item() == 0
    assert reached.item() == pytest.approx(1)
    half = event_time(torch.tensor([0.0, 1.0, 2.0], dtype=torch.float16), 0.5, softness=0.01, mode=mode)
    assert half.dtype == torch.float16
    assert half.item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "upwards"}, "Invalid direction: 'upwards'; it must be one of up, down"),
        ({"mode": "cubic"}, "Invalid mode"),
        ({"dim": 2}, "dim 2 is out of bounds"),
        ({"times": torch.zeros(5)}, "times has shape"),
        ({"softness": 0.0}, "softness must be positive"),
        ({"softness": torch.ones(2, 4)}, "softness has shape"),
    ],
)
def test_bad_arguments_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"event_time: .*{message}"):
        event_time(torch.zeros(2, 4), 0.5, **options)


def test_an_empty_series_is_named() -> None:
    with pytest.raises(ValueError, match="event_time: series has no values"):
        event_time(torch.zeros(2, 0), 0.5)
