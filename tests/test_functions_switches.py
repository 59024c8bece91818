"""Switches: what Hard, Smooth and StraightThrough make of every threshold."""

import math
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.utils import _pytree as pytree

import torchcrop
from torchcrop.functions.registry import tracing
from torchcrop.functions.switches import Hard, Smooth, StraightThrough, Switches
from torchcrop.functions.tables import Shelf, Table, afgen, window_mean

F64 = torch.float64
WARM_DAY = 15.0


def t(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=F64)


AROUND_ZERO = t(-1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0)
TABLE = Table(t(0.0, 500.0, 505.0, 1000.0), t(0.5, 0.3, 0.0, 0.0))


# --- construction ---------------------------------------------------------------------------------------


def test_they_are_values() -> None:
    assert Hard() == Hard()
    assert Smooth() == Smooth(softness=0.1, kinks=None, rain_gates=False) != Smooth(0.2)
    assert StraightThrough() == StraightThrough(0.1) != StraightThrough(0.2)
    assert hash(Smooth(0.3)) == hash(Smooth(0.3))
    with pytest.raises(AttributeError):
        Smooth().softness = 0.2
    assert all(isinstance(s, Switches) for s in (Hard(), Smooth(), StraightThrough()))
    assert torchcrop.functions.Smooth is Smooth


@pytest.mark.parametrize("softness", [0.0, -0.1, float("nan")])
@pytest.mark.parametrize("kind", [Smooth, StraightThrough])
def test_softness_must_be_positive(kind, softness: float) -> None:
    with pytest.raises(ValueError, match=r"softness is .*; it must be > 0 \(for the limit 0 use Hard\(\)\)"):
        kind(softness)


@pytest.mark.parametrize("kinks", [0.0, -0.02, 1.0, 2.0, float("nan")])
def test_kinks_must_be_a_share(kinks: float) -> None:
    with pytest.raises(ValueError, match=r"kinks is .*; expected a number between 0 and 1 such as 0.02, or None"):
        Smooth(kinks=kinks)


def test_every_kind_fills_in_the_whole_interface() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Switches()


# --- Hard, at zero and at ties --------------------------------------------------------------------------


@pytest.mark.parametrize("switches", [Hard(), StraightThrough()], ids=["Hard", "StraightThrough"])
def test_hard_steps_at_zero(switches: Switches) -> None:
    reached, passed = [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1]
    x = AROUND_ZERO
    assert switches.step(x, 0.1).tolist() == reached
    assert switches.step(x, 0.1, strict=True).tolist() == passed
    assert switches.data_step(x, 0.1).tolist() == reached
    for clock, threshold in ((x, 0.0), (x, t(0.0)), (300 + t(-1.0, -1e-13, 0.0, 0.0, 1e-13, 1.0), 300.0)):
        assert switches.crossed(clock, threshold, WARM_DAY, t(12.0), t(10.0)).tolist() == reached
        assert switches.crossed(clock, threshold, WARM_DAY, t(12.0), t(10.0), strict=True).tolist() == passed
        assert switches.crossed(clock, threshold, 1.0, 1.0).tolist() == reached
        assert switches.finished(clock, threshold, WARM_DAY).tolist() == reached
        assert switches.finished(clock, threshold, WARM_DAY, strict=True).tolist() == passed


def test_hard_choices_at_zero() -> None:
    hard, x = Hard(), AROUND_ZERO
    below, above = t(1.1, 2.2, 3.3, 4.4, 5.5, 6.6), t(-0.1, -0.2, -0.3, -0.4, -0.5, -0.6)
    assert hard.select(x, below, above, 1.0).tolist() == [1.1, 2.2, -0.3, -0.4, -0.5, -0.6]
    assert hard.select(x, below, above, 1.0, strict=True).tolist() == [1.1, 2.2, 3.3, 4.4, -0.5, -0.6]
    assert hard.select(x, 7.0, 8.0, 1.0).tolist() == [7, 7, 8, 8, 8, 8]
    # the branch not taken may be anything
    assert hard.select(t(-1.0, 1.0), t(1.0, math.inf), t(math.nan, 2.0), 1.0).tolist() == [1, 2]
    for switches in (Hard(), Smooth(), StraightThrough()):
        assert switches.branch(x, 7.0, below).tolist() == [7, 7, 3.3, 4.4, 5.5, 6.6]


def test_hard_limits_and_their_order() -> None:
    hard, x = Hard(), t(-1.0, 0.0, 0.5, 1.0, 7.0)
    assert hard.limit(0.0, 1.0, x).tolist() == [0, 0, 0.5, 1, 1]
    assert hard.limit(t(0.0), t(1.0), x).tolist() == [0, 0, 0.5, 1, 1]
    assert hard.min(x, 0.5).tolist() == [-1, 0, 0.5, 0.5, 0.5]
    assert hard.max(0.5, x).tolist() == [0.5, 0.5, 0.5, 1, 7]
    assert hard.positive(x).tolist() == [0, 0, 0.5, 1, 7]
    leaf = t(0.0, 1.0).requires_grad_()
    assert torch.autograd.grad(hard.limit(0.0, 1.0, leaf).sum(), leaf)[0].tolist() == [0.5, 0.5]


def test_hard_is_alive_on_its_last_day_and_emerges_while_nothing_is_there() -> None:
    hard = Hard()
    assert hard.alive(t(0.0, 1.0)).tolist() == 1.0  # the day that fulfils FINISH counts in full
    assert hard.outstanding(t(0.3, 0.3), t(0.0, 1e-300)).tolist() == [1, 0]
    assert hard.table_mean(TABLE, t(0.0, 250.0, 502.5), t(10.0), t(10.0), WARM_DAY).tolist() == [0.5, 0.4, 0.15]


# --- a demand and its supply ----------------------------------------------------------------------------


def test_hard_supply_divides_by_notnul_whatever_the_sign() -> None:
    supply, demand = t(3.0, 1.0, 0.4, 3.0, 0.0), t(2.0, 4.0, 0.0, -2.0, 5.0)
    expected = [1.0, 0.25, 0.4, -1.5, 0.0]
    assert Hard().supplied(supply, demand).tolist() == expected
    assert StraightThrough().supplied(supply, demand).tolist() == expected


def test_smooth_supply_leaves_a_demand_that_is_not_positive_alone() -> None:
    supply = t(3.0, 1.0, 0.4, 3.0, 0.0, 0.0, 2.0).requires_grad_()
    demand = t(2.0, 4.0, 0.0, -2.0, 5.0, 0.0, 1e-10).requires_grad_()
    share = Smooth().supplied(supply, demand)
    assert share.tolist() == [1.0, 0.25, 1.0, 1.0, 0.0, 1.0, 1.0]
    for gradient in torch.autograd.grad(share.sum(), (supply, demand)):
        assert bool(gradient.isfinite().all())
        assert gradient[[2, 3, 5, 6]].tolist() == [0, 0, 0, 0]


@given(st.floats(0, 100), st.floats(-10, 100))
def test_no_supply_meets_more_than_the_demand(supply: float, demand: float) -> None:
    share = Smooth().supplied(t(supply), t(demand)).item()
    assert 0 <= share <= 1
    assert share * demand <= max(supply, 1e-9) * (1 + 1e-15)


# --- Smooth becomes Hard --------------------------------------------------------------------------------


@given(st.floats(0, 1000), st.floats(100, 900), st.floats(0, 30), st.floats(0, 30), st.sampled_from([1e-3, 1e-5, 1e-7]))
def test_an_event_becomes_the_share_of_its_window(
    clock: float, threshold: float, now: float, before: float, softness: float
) -> None:
    smooth = Smooth(softness)
    start, end = clock - before / 2, clock + now / 2
    floor = 1e-4 * WARM_DAY
    share = smooth.crossed(t(clock), threshold, WARM_DAY, t(now), t(before)).item()
    sharp = min(max((end + floor - threshold) / (end + floor - start), 0), 1)
    assert abs(share - sharp) <= min(1, 2 * softness * WARM_DAY / (end + floor - start)) + 1e-10
    # and where the whole window is beyond or short of the threshold, that is what Hard says
    outside = not start <= threshold <= end
    if outside and min(abs(start - threshold), abs(end - threshold)) > 40 * softness * WARM_DAY + floor:
        hard = Hard().crossed(t(clock), threshold, WARM_DAY, t(now), t(before)).item()
        assert share == pytest.approx(hard, abs=1e-12)


@pytest.mark.parametrize("softness", [0.1, 1e-3, 1e-6])
def test_whole_dates_are_hard_dates(softness: float) -> None:
    # A date uses the day itself as its window: at softness -> 0 an integer date is Hard's, to the floor.
    days = torch.arange(60, dtype=F64)
    smooth = Smooth(softness).crossed(days, 31.0, 1.0, 1.0)
    hard = Hard().crossed(days, 31.0, 1.0, 1.0)
    # half of the sigmoid's width leaks over the threshold: s ln 2 on either side, and the floor
    assert (smooth - hard).abs().max() <= softness * math.log(2) + 1.1e-4
    assert (1 - smooth).sum().item() == pytest.approx(31.0, abs=2e-4)
    assert (1 - hard).sum().item() == 31


@given(st.lists(st.floats(0.5, 25), min_size=60, max_size=60), st.floats(150, 350), st.floats(0.02, 1))
def test_the_date_of_an_event_is_half_a_day_after_its_crossing(
    increments: list[float], threshold: float, softness: float
) -> None:
    """Windows from half of yesterday to half of today tile the axis: the shares add up to the date, no matter what."""
    steps = t(*increments, *[12.0] * 30)
    clock = torch.cumsum(steps, 0) - steps
    before = torch.cat([t(0.0)[None], steps[:-1]])
    share = Smooth(softness).crossed(clock, threshold, WARM_DAY, steps, before)
    hard = Hard().crossed(clock, threshold, WARM_DAY, steps, before)
    date, hard_date = (1 - share).sum().item(), (1 - hard).sum().item()
    assert share[-1] > 1 - 1e-6 or softness > 0.5
    if softness <= 0.1:
        # within the day on which Hard says so, but for the sigmoid's width in days
        assert abs(date - hard_date + 0.0) <= 0.5 + 2 * softness * WARM_DAY / steps.min().item()
    assert bool((share[1:] >= share[:-1] - 1e-12).all())


@pytest.mark.parametrize("softness", [1e-2, 1e-4, 1e-6])
def test_steps_and_choices_become_hard(softness: float) -> None:
    smooth, hard = Smooth(softness), Hard()
    x = torch.linspace(-3.05, 2.95, 61, dtype=F64)  # no point nearer to zero than 0.05
    a, b = torch.sin(x), torch.cos(x)
    tail = 1.001 * math.exp(-0.5 / softness)
    for strict in (False, True):
        for call in (lambda s, k=strict: s.step(x, 0.1, k), lambda s, k=strict: s.select(x, a, b, 0.1, k)):
            torch.testing.assert_close(call(smooth), call(hard), rtol=0, atol=2 * tail)
    assert smooth.step(t(0.0), 0.1) == smooth.step(t(0.0), 0.1, strict=True) == 0.5
    assert smooth.select(t(0.0), 2.0, 4.0, 0.1) == 3.0


def test_kinks_stay_unless_asked_and_shrink_with_k() -> None:
    x, y = torch.linspace(0, 2, 41, dtype=F64), t(0.7)
    for call in (
        lambda s: s.min(x, y),
        lambda s: s.max(x, y),
        lambda s: s.limit(0.2, 0.9, x),
        lambda s: s.positive(x - y),
        lambda s: s.table(TABLE, 400 * x),
    ):
        assert torch.equal(call(Smooth()), call(Hard()))
        assert torch.equal(call(StraightThrough()), call(Hard()))
        for k in (0.1, 0.02, 1e-4):
            assert (call(Smooth(kinks=k)) - call(Hard())).abs().max() <= k * 0.71


def test_rounded_kinks_are_exact_at_rest() -> None:
    smooth = Smooth(kinks=0.02)
    rest, other = t(0.0), t(0.0, 1e-6, 0.03, 1.0, 250.0)
    # max(0, 0, 0) of leaf death rates, min(supply, 0) of a soil at rest
    assert smooth.max(smooth.max(rest, rest), rest) == 0
    assert torch.equal(smooth.max(rest, other), other)
    assert torch.equal(smooth.max(other, 0.0), other)
    assert smooth.min(rest, other).tolist() == [0.0] * 5
    assert smooth.min(other, 0.0).tolist() == [0.0] * 5
    # min(1, 1) of stress factors, written as 1 - max(1 - a, 1 - b)
    assert 1 - smooth.max(1 - t(1.0), 1 - t(1.0)) == 1
    assert smooth.positive(t(-0.0, -3.0, 2.0)).tolist() == [0, 0, 2]


def test_nothing_can_drain_through_coinciding_limits() -> None:
    for switches in (Hard(), Smooth(), Smooth(kinks=0.02), StraightThrough()):
        assert switches.limit(0.0, t(0.0), t(-1.0, 0.0, 3.0)).tolist() == [0, 0, 0]


def test_stage_tables_are_averaged_over_the_window_of_the_events() -> None:
    clock, now, before = t(0.0, 497.0, 502.0, 600.0), t(0.0, 12.0, 8.0, 15.0), t(0.0, 9.0, 10.0, 11.0)
    found = Smooth().table_mean(TABLE, clock, now, before, WARM_DAY)
    expected = window_mean(TABLE, clock - before / 2, (now + before) / 2 + 1e-3 * WARM_DAY)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)
    # numbers are windows too
    torch.testing.assert_close(Smooth().table_mean(TABLE, t(497.0), 12.0, 9.0, WARM_DAY), found[1], rtol=0, atol=1e-15)
    # without the steep segment inside the window it is the value half-way
    torch.testing.assert_close(found[[0, 3]], afgen(TABLE, clock[[0, 3]]), rtol=0, atol=1e-5)


# --- gates ----------------------------------------------------------------------------------------------


def test_a_gate_is_no_softer_than_a_tenth() -> None:
    x = torch.linspace(-0.5, 0.5, 11, dtype=F64)
    torch.testing.assert_close(Smooth(0.05).step(x, 0.2), torch.sigmoid(x / 0.01))
    torch.testing.assert_close(Smooth(0.1).step(x, 0.2), torch.sigmoid(x / 0.02))
    for softness in (0.2, 1.0, 50.0):
        smooth = Smooth(softness)
        assert torch.equal(smooth.step(x, 0.2), Smooth(0.1).step(x, 0.2))
        assert torch.equal(smooth.select(x, 0.3, 0.7, 0.2), Smooth(0.1).select(x, 0.3, 0.7, 0.2))
        # events do widen
        wide, narrow = (s.crossed(t(-20.0), 0.0, WARM_DAY, t(0.0), t(0.0)) for s in (smooth, Smooth(0.1)))
        assert wide > narrow
    assert StraightThrough(1.0)._smooth.softness == 1.0


def test_rain_gates_are_hard_unless_asked() -> None:
    x = t(-0.3, 0.0, 0.1)
    assert Smooth().data_step(x, 1.0).tolist() == StraightThrough().data_step(x, 1.0).tolist() == [0, 1, 1]
    assert torch.equal(Smooth(rain_gates=True).data_step(x, 1.0), Smooth().step(x, 1.0))


@given(st.floats(-5, 5), st.floats(-10, 10), st.floats(-10, 10), st.sampled_from([0.01, 0.1, 1.0]))
def test_alternatives_are_complementary_shares_of_one_flow(x: float, a: float, b: float, softness: float) -> None:
    for switches in (Smooth(softness), StraightThrough(softness), Hard()):
        found = switches.select(t(x), a, b, 0.3).item()
        assert min(a, b) - 1e-14 <= found <= max(a, b) + 1e-14
        assert switches.select(t(x), a, a, 0.3).item() == pytest.approx(a, rel=1e-15)
        assert found + switches.select(t(x), b, a, 0.3).item() == pytest.approx(a + b, abs=1e-14)


# --- the end of life ------------------------------------------------------------------------------------


@given(
    st.floats(0, 2000),
    st.floats(0, 1500),
    st.floats(0, 30),
    st.floats(0, 30),
    st.sampled_from([0.01, 0.05, 0.1, 0.5, 1.0]),
    st.sampled_from([WARM_DAY, 15 / 800]),
)
def test_nothing_is_finished_before_its_end(
    clock: float, threshold: float, now: float, before: float, softness: float, scale: float
) -> None:
    unit = scale / WARM_DAY
    clock, threshold, now, before = clock * unit, threshold * unit, now * unit, before * unit
    for switches in (Hard(), Smooth(softness), StraightThrough(softness)):
        done = switches.finished(t(clock), threshold, scale).item()
        assert done in (0.0, 1.0)
        if done:
            assert clock >= threshold
            left = 1 - switches.crossed(t(clock), threshold, scale, t(now), t(before)).item()
            assert left <= 2e-12
        if not isinstance(switches, Smooth):
            assert done == float(clock >= threshold)
            continue
        # once finished, finished: the clock runs on
        assert switches.finished(t(clock + now), threshold, scale) >= done
        # nor does it take for ever: a warm week, and three days for each tenth of softness
        assert switches.finished(t(threshold + (2 + 30 * softness) * scale), threshold, scale) == 1


def test_life_ends_with_the_share_beyond_the_end() -> None:
    ended = t(0.0, 0.3, 1.0).requires_grad_()
    assert Smooth().alive(ended).tolist() == [1.0, 0.7, 0.0]
    through = StraightThrough().alive(ended)
    assert through.tolist() == [1.0, 1.0, 1.0]
    assert torch.autograd.grad(through.sum(), ended)[0].tolist() == [-1.0] * 3
    assert Smooth().outstanding(t(0.25), t(3.0)) == 0.75
    done = t(0.25).requires_grad_()
    left = StraightThrough().outstanding(done, t(0.0))
    assert left == 1.0
    assert torch.autograd.grad(left, done)[0] == -1.0


# --- straight through -----------------------------------------------------------------------------------


def calls(x: Tensor, y: Tensor) -> dict:
    """Every method as a function of the switches, of two leaves."""
    day = (t(12.0), t(9.0))
    return {
        "crossed": lambda s: s.crossed(300 + 20 * x, 300 + y, WARM_DAY, *day),
        "crossed strict": lambda s: s.crossed(300 + 20 * x, 300 + y, WARM_DAY, *day, strict=True),
        "crossed date": lambda s: s.crossed(x, y, 1.0, 1.0),
        "step": lambda s: s.step(x - y, 0.3),
        "step strict": lambda s: s.step(x - y, 0.3, strict=True),
        "select": lambda s: s.select(x - y, 1.0 + x, 2.0 * y, 0.3),
        "table_mean": lambda s: s.table_mean(TABLE, 500 + 10 * x + y, *day, WARM_DAY),
        "min": lambda s: s.min(x, y),
        "max": lambda s: s.max(x, y),
        "limit": lambda s: s.limit(-0.5, y, x),
        "positive": lambda s: s.positive(x - y),
        "table": lambda s: s.table(TABLE, 500 + 10 * x + y),
        "branch": lambda s: s.branch(x, y, 2 * y),
    }


@pytest.mark.parametrize("name", sorted(calls(t(0.0), t(0.0))))
@pytest.mark.parametrize("softness", [0.05, 0.1, 0.7])
def test_straight_through_has_hard_values_and_smooth_derivatives(name: str, softness: float) -> None:
    generator = torch.Generator().manual_seed(11)
    x = torch.cat([torch.rand(20, dtype=F64, generator=generator) * 4 - 2, t(0.0, 1.0, 0.1)]).requires_grad_()
    y = torch.cat([torch.rand(20, dtype=F64, generator=generator) - 0.5, t(0.0, 1.0, 0.0)]).requires_grad_()
    call = calls(x, y)[name]
    through, hard, smooth = (call(s) for s in (StraightThrough(softness), Hard(), Smooth(softness)))
    if name == "select":  # shares of one flow: hard shares, so the value is Hard's to the last digit only
        torch.testing.assert_close(through, hard, rtol=1e-15, atol=0)
    else:
        assert torch.equal(through, hard)
    expected = torch.autograd.grad(smooth.sum(), (x, y), allow_unused=True)
    found = torch.autograd.grad(through.sum(), (x, y), allow_unused=True)
    if name == "select":
        # of a product of share and alternative, the derivative of the alternative sees the hard share
        share = Hard().step(x - y, 0.3)
        slope = torch.autograd.grad(Smooth(softness).step(x - y, 0.3).sum(), x)[0]
        jump = (2 * y - 1 - x).detach()
        expected = (slope * jump + 1 - share, -slope * jump + 2 * share)
    for one, other in zip(found, expected, strict=True):
        if other is None:
            assert one is None
        else:
            torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)


def test_straight_through_under_forward_mode() -> None:
    x, ones = t(-0.1, 0.0, 0.2), t(1.0, 1.0, 1.0)
    value, slope = torch.func.jvp(lambda v: StraightThrough().step(v, 1.0), (x,), (ones,))
    assert value.tolist() == [0, 1, 1]
    torch.testing.assert_close(slope, torch.func.jvp(lambda v: Smooth().step(v, 1.0), (x,), (ones,))[1])


# --- derivatives of Smooth ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(calls(t(0.0), t(0.0))))
@pytest.mark.parametrize("kinks", [None, 0.1])
def test_derivatives_through_every_method(name: str, kinks: float | None) -> None:
    x, y = t(0.31, 0.05, 0.62).requires_grad_(), t(0.17, 0.13, 0.45).requires_grad_()
    assert gradcheck(lambda x, y: calls(x, y)[name](Smooth(kinks=kinks)), (x, y), eps=1e-7, atol=1e-5)


def test_every_lane_has_its_own_threshold_and_scale() -> None:
    clock, threshold, scale = t(290.0, 300.0, 310.0), t(295.0, 300.0, 280.0), t(15.0, 7.5, 30.0)
    now, before = t(10.0, 5.0, 0.0), t(12.0, 0.0, 3.0)
    for switches in (Hard(), Smooth(), StraightThrough()):
        together = switches.crossed(clock, threshold, scale, now, before)
        steps = switches.step(clock - threshold, scale)
        ended = switches.finished(clock, threshold, scale)
        assert together.shape == steps.shape == ended.shape == (3,)
        for i in range(3):
            alone = switches.crossed(clock[i], threshold[i].item(), scale[i].item(), now[i], before[i])
            torch.testing.assert_close(together[i], alone, rtol=1e-14, atol=1e-300)
            torch.testing.assert_close(steps[i], switches.step(clock[i] - threshold[i], scale[i].item()))


# --- several at once ------------------------------------------------------------------------------------

ALL = [Hard(), Smooth(), Smooth(0.02, kinks=0.02), StraightThrough()]


def stage_tables(batched: bool) -> list[Table]:
    """Three tables of one abscissa, of different lengths, one of them batched or not, and with steep steps."""
    x = t(0.0, 1.0, 1.01, 2.0)
    y = t(0.5, 0.5, 0.1, 0.0)
    many = torch.stack([y, 2 * y, y + 0.1, y * y, 1 - y]) if batched else y
    leaves = [
        (x, many),
        (t(0.2, 1.5), t(1.0, 0.3)),
        (t(0.0, 0.5, 1.0, 1.5, 1.5001, 2.5), t(0.1, 0.2, 0.9, 0.9, 0.0, 0.3)),
    ]
    return [Table(x.clone().requires_grad_(), y.clone().requires_grad_()) for x, y in leaves]


@pytest.mark.parametrize("switches", ALL, ids=repr)
@pytest.mark.parametrize("batched", [False, True])
def test_tables_read_together_are_tables_read_one_by_one(switches: Switches, batched: bool) -> None:
    clocks = [
        (t(-0.1, 0.6, 1.0, 1.5, 7.0), t(0.03, 0.02, 0.0, 0.01, 0.03), t(0.01, 0.0, 0.02, 0.03, 0.03)),
        (t(0.0, 0.2, 2.0, 2.5, 1.5001), t(0.0), t(0.0)),  # windows and look-ups that begin on breakpoints
        (t(1.003), t(0.02), t(0.01)),
        (t(1.003), 0.02, 0.01),
    ]
    weights = t(1.0, -2.0, 0.5, 3.0, 0.7)
    for clock, now, before in clocks:
        results = []
        for together in (True, False):
            tables = stage_tables(batched)
            shelf = Shelf.prepare(tables) if together else tables
            values = switches.table_means(shelf, clock, now, before, 15 / 800)
            assert len(values) == 3
            total = sum(k * (v * weights).sum() for k, v in enumerate(values, start=1))
            gradients = torch.autograd.grad(total, [leaf for table in tables for leaf in (table.x, table.y)])
            results.append((values, gradients))
        (values, gradients), (expected, by_one) = results
        for one, other in zip(values, expected, strict=True):
            # on a shelf with a batched table every table is
            torch.testing.assert_close(*torch.broadcast_tensors(one, other), rtol=0, atol=1e-14)
        for one, other in zip(gradients, by_one, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-9)
        # one alone, or in another order, or of two shelves
        tables = Shelf.prepare(stage_tables(batched))
        torch.testing.assert_close(switches.table_means(tables[1:2], clock, now, before, 15 / 800)[0], values[1])
        for one, other in zip(
            switches.table_means(tables[::-1], clock, now, before, 15 / 800), values[::-1], strict=True
        ):
            torch.testing.assert_close(one, other)
        mixed = [tables[0], Shelf.prepare([table.scaled(2.0) for table in stage_tables(batched)])[2]]
        found = switches.table_means(mixed, clock, now, before, 15 / 800)
        for one, other in zip(found, (values[0], 2 * values[2]), strict=True):
            torch.testing.assert_close(*torch.broadcast_tensors(one, other), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_tables_read_together_lose_no_digits(dtype: torch.dtype) -> None:
    tables = [Table(table.x.detach().to(dtype), table.y.detach().to(dtype)) for table in stage_tables(False)]
    shelf = Shelf.prepare(tables)
    for last in (1.0, 3.0):  # at and beyond the last breakpoint the last ordinate, to the last digit
        values = Hard().table_means(shelf, torch.tensor([2.5, 1e6], dtype=dtype) * last, 0.0, 0.0, 1.0)
        for value, table in zip(values, tables, strict=True):
            assert bool((value == table.y[-1]).all())
    # a cold day long after the steps
    for clock in (1.9, 2.2):
        values = Smooth().table_means(shelf, torch.tensor(clock, dtype=dtype), 0.0, 0.0, 15 / 800)
        for value, table in zip(values, tables, strict=True):
            expected = afgen(pytree.tree_map(lambda v: v.double(), table), t(clock) + 15 / 800 * 5e-4).item()
            assert value.item() == pytest.approx(expected, abs=20 * torch.finfo(dtype).eps)


def test_a_table_replaced_leaves_its_shelf() -> None:
    tables = Shelf.prepare(stage_tables(False))
    changed = [tables[0].scaled(2.0), *tables[1:]]
    plain = Hard().table_means(tables, t(0.7), t(0.0), t(0.0), 1.0)
    found = Hard().table_means(changed, t(0.7), t(0.0), t(0.0), 1.0)
    assert found[0] == 2 * plain[0]
    assert found[1:] == plain[1:]


def test_tables_that_extrapolate_are_read_apart() -> None:
    first, second = (Table(t(0.0, 1.0), t(0.0, 1.0), ends) for ends in ("hold", "extrapolate"))
    found = Hard().table_means(Shelf.prepare([first, second]), t(2.0), t(0.0), t(0.0), 1.0)
    assert [v.item() for v in found] == [1.0, 2.0]
    found = Hard().table_means(Shelf.prepare([first, second, first]), t(2.0), t(0.0), t(0.0), 1.0)
    assert [v.item() for v in found] == [1.0, 2.0, 1.0]


@pytest.mark.parametrize("switches", ALL, ids=repr)
def test_events_taken_together_are_events_taken_one_by_one(switches: Switches) -> None:
    now, before = t(10.0, 5.0, 0.0), t(12.0, 0.0, 3.0)
    for clock in (t(290.0, 300.0, 310.0), t(300.0)):
        thresholds = [300.0, t(300.0), t(295.0, 300.0, 280.0)]
        together = switches.crossed_each(clock, thresholds, WARM_DAY, now, before)
        assert len(together) == 3
        for share, threshold in zip(together, thresholds, strict=True):
            alone = switches.crossed(clock, threshold, WARM_DAY, now, before)
            torch.testing.assert_close(*torch.broadcast_tensors(share, alone))


@pytest.mark.parametrize("switches", ALL, ids=repr)
@pytest.mark.parametrize("traced", [False, True])
def test_events_of_several_clocks(switches: Switches, traced: bool) -> None:
    clocks = [t(290.0, 300.0, 310.0), t(40.0, 41.0, 42.0)]
    thresholds, nows, befores = [300.0, t(41.0, 41.0, 50.0)], [t(10.0, 5.0, 0.0), 3.0], [t(12.0, 0.0, 3.0), t(1.0)]
    with tracing(lambda called, args: called.body(*args)) if traced else nullcontext():
        together = switches.crossed_each(clocks, thresholds, WARM_DAY, nows, befores)
        shared = switches.crossed_each(clocks, thresholds, WARM_DAY, 5.0, t(4.0))
    for i, share in enumerate(together):
        torch.testing.assert_close(share, switches.crossed(clocks[i], thresholds[i], WARM_DAY, nows[i], befores[i]))
        torch.testing.assert_close(shared[i], switches.crossed(clocks[i], thresholds[i], WARM_DAY, 5.0, t(4.0)))


def test_only_hard_follows_a_rule_that_stops_the_program() -> None:
    ended, rule = t(0.0, 0.0, 1.0, 1.0), t(0.0, 1.0, 0.0, 1.0)
    for switches in (Hard(), StraightThrough()):
        assert switches.abandoned(ended, lambda: rule).tolist() == [0, 1, 1, 1]

    def unasked() -> Tensor:
        raise AssertionError("a smooth run has no such rule")

    assert Smooth().abandoned(ended, unasked) is ended


def test_a_tracer_sees_tables_and_events_one_by_one() -> None:
    seen: list[str] = []

    def tracer(called, args):
        seen.append(called.name)
        return called.body(*args)

    tables = Shelf.prepare(stage_tables(False))
    with tracing(tracer):
        Smooth().table_means(tables, t(0.7), t(0.1), t(0.1), 1.0)
        Hard().table_means(tables, t(0.7), t(0.1), t(0.1), 1.0)
        Smooth().crossed_each(t(0.7), [0.5, 0.6], 1.0, t(0.1), t(0.1))
    assert seen == ["window_mean"] * 3 + ["afgen"] * 3 + ["event_share"] * 2
