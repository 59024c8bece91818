"""The season kernel gives what the eager loop gives: values, gradients and tangents, on every model and switch.

Tolerances are those of ARCHITECTURE section 6; `tests.kernel_cases` holds them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import torchcrop as tc
from tests.conftest import shared_files
from tests.kernel_cases import (
    DERIVATIVES,
    FLOOR,
    LAST_PLACE,
    ROUNDED,
    SWITCHES,
    VALUES,
    Given,
    assert_same,
    bits,
    deviations,
    directions,
    equal_bits,
    everything,
    given,
    gradient_deviations,
    gradients,
    losses,
    pushed,
    subnormal,
)
from tests.reference_cases import load_case
from tests.seasons import CASES, cases, quick_cases
from torchcrop.kernels import backend
from torchcrop.kernels.kernel import Inputs, SeasonKernel
from torchcrop.simulation.run import Run

FAST_VALUES = {
    ("lintul1", "hard"),
    ("lintul1", "smooth"),
    ("lintul2", "straight"),
    ("lintul2", "rounded"),
    ("lintul3", "hard"),
    ("lintul3", "smooth"),
    ("lintul3-pcse", "straight"),
    ("lintul5-potential", "rounded"),
    ("lintul5-water", "rain"),
    ("lintul5-npk", "hard"),
    ("lintul5-npk", "smooth"),
}
FAST_DERIVATIVES = {("lintul1", "straight"), ("lintul2", "rounded"), ("lintul5-npk", "smooth")}


def matrix(fast: set[tuple[str, str]]) -> list:
    """Every case with every treatment of thresholds; those that are not `fast` are marked slow."""
    return [
        pytest.param(
            case, switches, marks=[] if (case, switches) in fast else pytest.mark.slow, id=f"{case}-{switches}"
        )
        for case in CASES
        for switches in SWITCHES
    ]


def tolerance(switches: str) -> float:
    return ROUNDED if switches == "rounded" else VALUES


def season_run(name: str, how: str, switches: str = "smooth", **more: Any) -> Run:
    """All seasons of a case: other calendars, stations, soils and lengths side by side."""
    case = cases()[name]
    arguments = {"outputs": everything(case.model), **more}
    seasons = arguments.pop("seasons", case.seasons)
    return tc.simulate(case.model, case.crop, seasons, switches=SWITCHES[switches], backend=how, **arguments)


# --- values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "switches"), matrix(FAST_VALUES))
def test_the_kernel_gives_what_the_eager_loop_gives(name: str, switches: str) -> None:
    assert_same(season_run(name, "eager", switches), season_run(name, "kernel", switches), tolerance(switches))


REFERENCE = shared_files("reference/*/params.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("switches", ["hard", "smooth"])
@pytest.mark.parametrize("path", REFERENCE)
def test_the_kernel_gives_the_reference_cases(path: Path, switches: str, record_property: Any) -> None:
    case = load_case(path.parent, nutrients=True)
    model = replace(case.model, processes={})
    runs = [
        tc.simulate(model, case.crop, case.season, switches=SWITCHES[switches], outputs=everything(model), backend=how)
        for how in ("eager", "kernel")
    ]
    # No lane of a Hard run passes so close to a switch that round-off decides it: none is excepted.
    assert_same(runs[0], runs[1])
    left_out = int(subnormal(runs[0]).sum())
    record_property("days left out", left_out)
    assert left_out == 0 if switches == "hard" else left_out <= 10


def test_float32_is_float32() -> None:
    a = season_run("lintul2", "kernel", dtype=torch.float32)
    assert {v.dtype for v in bits(a)} == {torch.float32}
    assert "float" in a.kernel.source
    assert "double" not in a.kernel.source


@pytest.mark.parametrize(
    "name", ["lintul2", *(pytest.param(name, marks=pytest.mark.slow) for name in CASES if name != "lintul2")]
)
def test_float32_is_within_1e_4_of_float64(name: str, record_property: Any) -> None:
    exact, single = (season_run(name, "kernel", dtype=dtype) for dtype in (torch.float64, torch.float32))
    # Ratios of a crop that is not there yet are of nothing to nothing, and float32 has another nothing: a share of
    # emergence below its smallest number is none.
    stands = (exact["lai"] >= 1e-6) & (exact["emergence"] >= 1e-30)
    states = exact.model.State.quantities()
    shares = {}
    for variable in exact.daily:
        a, b = exact[variable], single[variable].double()
        scale = float(a.abs().max())
        if scale:
            compared = torch.ones_like(stands) if variable in states else stands
            shares[variable] = (a - b).abs()[compared] / scale
    every = torch.cat(list(shares.values())).sort().values
    quantiles = {level: f"{every[int(level * len(every))]:.1e}" for level in (0.5, 0.9, 0.99, 0.999)}
    worst = sorted(((float(s.max()), n) for n, s in shares.items()), reverse=True)[:3]
    print(f"{name}: {quantiles}; largest {worst}")
    record_property("quantiles", str(quantiles))
    assert worst[0][0] <= 1e-4


# --- batches --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lintul2", pytest.param("lintul5-npk", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_batch_is_its_simulations_bit_by_bit(name: str, dtype: torch.dtype) -> None:
    case, size = cases()[name], 21
    generator = torch.Generator().manual_seed(0)
    spread = 1 + 0.05 * torch.randn(size, generator=generator, dtype=torch.float64)
    seasons = [case.seasons[i % len(case.seasons)] for i in range(size)]
    longest = max((s.end - s.start).days for s in seasons)
    field = next(n for n in ("light_use_efficiency", "tsum_anthesis") if n in case.crop.quantities())

    def run(part: slice) -> Run:
        crop = case.crop.replace(**{field: getattr(case.crop, field) * spread[part]})
        return tc.simulate(case.model, crop, seasons[part], switches=tc.Smooth(), dtype=dtype, backend="kernel")

    whole = run(slice(0, size))
    for cuts in ([0, 21], [0, 1, 2, 21], [0, 5, 13, 21], [0, 8, 16, 21], list(range(22))):
        for first, last in pairwise(cuts):
            part = run(slice(first, last))
            for name_ in part.daily:
                alone = part[name_]
                assert torch.equal(alone, whole[name_][first:last, : alone.shape[1]]), (name_, first, last)
            for state, value in part.final.items():
                assert torch.equal(value, whole.final[state][first:last]), (state, first, last)
            assert torch.equal(part.rows, whole.rows[first:last])
    assert whole.rows.max() <= longest + 1


@pytest.mark.parametrize("name", ["lintul2", pytest.param("lintul5-npk", marks=pytest.mark.slow)])
@pytest.mark.parametrize("switches", ["hard", "smooth"])
def test_drivers_by_day_are_drivers_by_row_bit_by_bit(
    name: str, switches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_row = season_run(name, "kernel", switches)
    monkeypatch.setattr(backend, "_LARGEST_TABLE", 0)
    by_day = season_run(name, "kernel", switches)
    assert by_row.kernel.binding.by_row
    assert not by_day.kernel.binding.by_row
    assert equal_bits(bits(by_row), bits(by_day))


def test_gradients_with_drivers_by_day_are_those_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    by = given(quick_cases()["lintul2"])
    by_row = gradients(by, by.run(tc.Smooth(), "kernel"))
    monkeypatch.setattr(backend, "_LARGEST_TABLE", 0)
    by_day = gradients(by, by.run(tc.Smooth(), "kernel"))
    assert max(gradient_deviations(by, by_row, by_day).values()) <= 1


def test_two_threads_give_the_bits_of_one() -> None:
    case = quick_cases()["lintul2"]
    size = 100
    spread = torch.linspace(0.9, 1.1, size, dtype=torch.float64)

    def run() -> tuple[Run, Tensor]:
        value = (case.crop.tsum_anthesis * spread).requires_grad_()
        run = tc.simulate(
            case.model,
            case.crop.replace(tsum_anthesis=value),
            case.season,
            switches=tc.Smooth(),
            backend="kernel",
        )
        return run, torch.autograd.grad(losses(run)["daily"], value)[0]

    before = torch.get_num_threads()
    one, by_one = run()
    torch.set_num_threads(2)
    try:
        two, by_two = run()
    finally:
        torch.set_num_threads(before)
    assert before == 1
    assert equal_bits(bits(one), bits(two))
    assert torch.equal(by_one, by_two)


# --- what is asked for ------------------------------------------------------------------------------------


def test_reductions_and_an_empty_list_give_what_the_days_give() -> None:
    days = season_run("lintul2", "kernel")
    asked = ["max(lai)", "min(water)", "sum(transpiration)", "lai", "canopy_cover"]
    some = season_run("lintul2", "kernel", outputs=asked)
    assert_same(season_run("lintul2", "eager", outputs=asked), some)
    lived = torch.arange(days["lai"].shape[1])[None] < days.rows[:, None]
    assert torch.equal(some["max(lai)"], days["lai"].masked_fill(~lived, -torch.inf).amax(1))
    assert torch.equal(some["min(water)"], days["water"].masked_fill(~lived, torch.inf).amin(1))
    torch.testing.assert_close(some["sum(transpiration)"], days["transpiration"].sum(1), rtol=1e-12, atol=0.0)
    none = season_run("lintul2", "kernel", outputs=[])
    assert none.daily == {}
    assert none.kernel.season.kept == []
    assert all(torch.equal(none.final[n], v) for n, v in days.final.items())


@pytest.mark.parametrize("switches", ["hard", "smooth"])
def test_after_the_end_states_stay_and_rates_are_zero(switches: str) -> None:
    run = season_run("lintul1", "kernel", switches)
    ended = [i for i in range(len(run.rows)) if int(run.rows[i]) < run["lai"].shape[1]]
    assert len(ended) >= 3
    for i in ended:
        last = int(run.rows[i]) - 1
        for state in ("leaves", "storage_organs", "temperature_sum"):
            assert (run[state][i, last:] == run[state][i, last]).all()
        assert (run["growth"][i, last + 1 :] == 0).all()
        assert (run["storage_organs"][i, -1] == run.final["storage_organs"][i]).all()


@pytest.mark.parametrize("switches", ["hard", "smooth"])
def test_a_batch_that_dies_early_has_true_gradients(switches: str) -> None:
    case = quick_cases()["lintul1"]
    spread = torch.linspace(0.05, 0.3, 19, dtype=torch.float64)
    found = {}
    for how in ("eager", "kernel"):
        end = (case.crop.tsum_maturity * spread).requires_grad_()
        lue = (case.crop.light_use_efficiency * torch.ones(19)).double().requires_grad_()
        crop = case.crop.replace(tsum_maturity=end, light_use_efficiency=lue, tsum_anthesis=0.5 * end)
        run = tc.simulate(
            case.model, crop, case.season, switches=SWITCHES[switches], outputs=everything(case.model), backend=how
        )
        loss = losses(run)["daily"] + losses(run)["final"]
        found[how] = run, torch.autograd.grad(loss, [lue, end], allow_unused=True, materialize_grads=True)
    (eager, by_eager), (kernel, by_kernel) = found["eager"], found["kernel"]
    assert int(kernel.rows.max()) < kernel["lai"].shape[1] - 10
    assert_same(eager, kernel)
    for a, b in zip(by_eager, by_kernel, strict=True):
        torch.testing.assert_close(a, b, rtol=DERIVATIVES, atol=DERIVATIVES * float(a.abs().max()))


# --- derivatives --------------------------------------------------------------------------------------------


def worst(found: dict[str, float]) -> dict[str, float]:
    return {name: share for name, share in found.items() if not share <= 1}


@pytest.mark.parametrize(("name", "switches"), matrix(FAST_DERIVATIVES))
def test_gradients_by_everything_are_the_eager_loops(name: str, switches: str) -> None:
    """By every number of crop, soil, site, management, tables, events, scenario and initial states."""
    everywhere = given(quick_cases()[name])
    runs = {how: everywhere.run(SWITCHES[switches], how) for how in ("eager", "kernel")}
    assert_same(runs["eager"], runs["kernel"], tolerance(switches))
    eager, kernel = (gradients(everywhere, run) for run in runs.values())
    felt = {leaf for by_leaf in eager.values() for leaf, g in by_leaf.items() if bool((g != 0).any())}
    # Hard dates and stages have no derivative; a level has none by what it leaves out.
    assert len(felt) >= 0.4 * len(everywhere.leaves)
    assert worst(gradient_deviations(everywhere, eager, kernel)) == {}


@pytest.mark.parametrize(("name", "switches"), matrix({("lintul1", "smooth")}))
def test_tangents_are_the_eager_loops(name: str, switches: str) -> None:
    everywhere = given(quick_cases()[name])
    along = directions(everywhere)
    eager, kernel = (pushed(everywhere, SWITCHES[switches], how, along) for how in ("eager", "kernel"))
    for variable, (value, a) in eager.items():
        season = eager.get(variable.removeprefix("final "), (value, a))
        size, scale = (float(x.abs().max()) for x in season)
        allowed = DERIVATIVES * max(scale, float(a.abs().max())) + FLOOR * max(size, float(value.abs().max()))
        # Totals of a crop that never grew are round-off, and so are their tangents.
        allowed += 10 * LAST_PLACE
        assert float((a - kernel[variable][1]).abs().max()) <= allowed, variable


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[SeasonKernel, Inputs]]:
    """Kernels and arrays of the runs of a test."""
    seen: list[tuple[SeasonKernel, Inputs]] = []
    run = backend.run

    def spy(kernel: SeasonKernel, inputs: Inputs) -> Any:
        seen.append((kernel, inputs))
        return run(kernel, inputs)

    monkeypatch.setattr(backend, "run", spy)
    return seen


@pytest.mark.parametrize(
    ("name", "switches"),
    [
        ("lintul1", "smooth"),
        ("lintul2", "hard"),
        *(pytest.param(n, s, marks=pytest.mark.slow) for n in CASES[2:] for s in ("smooth", "straight")),
    ],
)
@pytest.mark.parametrize("several", [1, 11])
def test_the_jacobian_by_tangents_is_the_one_by_cotangents(
    name: str, switches: str, several: int, jobs: list[tuple[SeasonKernel, Inputs]]
) -> None:
    """``w (J v) = (w J) v`` for random v, in one call, and random w, of all rows and of what is carried at the end."""
    given(quick_cases()[name], size=5).run(SWITCHES[switches], "kernel")
    ((kernel, inputs),) = jobs
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rows = [kernel.binding.own.index(n) for n in kernel.binding.active]
    own = random(several, len(rows), inputs.size) * inputs.own[rows].detach()
    events = random(several, len(kernel.binding.active_events), inputs.days, inputs.size)
    daily, carried, d_daily, d_carried = kernel.tangents(inputs, own, events)
    again = kernel.forward(inputs)
    finite = torch.isfinite(carried)
    torch.testing.assert_close(daily, again[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(carried, again[1], rtol=1e-12, atol=1e-12)
    assert bool(finite.all())
    w_daily, w_carried = random(*daily.shape), random(*carried.shape)
    by_own, by_events = kernel.reverse(inputs, w_daily, w_carried)
    forward = [(w_daily * d_daily).sum((1, 2)), (w_carried * d_carried).sum(1)]
    reverse = [(by_own * own).sum(1), (by_events * events).sum((1, 2))]
    size = sum(x.abs().max() for x in (*forward, *reverse))
    assert float((sum(forward) - sum(reverse)).abs().max()) <= DERIVATIVES * float(size)


def test_a_simulations_gradient_does_not_depend_on_its_batch(jobs: list[tuple[SeasonKernel, Inputs]]) -> None:
    everywhere = given(quick_cases()["lintul2"], size=13)
    everywhere.run(tc.Smooth(), "kernel")
    ((kernel, inputs),) = jobs
    by_daily = torch.ones(inputs.days, len(kernel.season.kept), inputs.size, dtype=torch.float64)
    by_carried = torch.ones(len(kernel.season.after), inputs.size, dtype=torch.float64)
    whole, _ = kernel.reverse(inputs, by_daily, by_carried)
    for i in (0, 7, 12):
        one = slice(i, i + 1)
        alone = replace(inputs, size=1, own=inputs.own[:, one], events=inputs.events[..., one])
        by_own, _ = kernel.reverse(alone, by_daily[..., one], by_carried[:, one])
        assert torch.equal(by_own[:, 0], whole[:, i])


def test_the_comparison_finds_a_wrong_digit() -> None:
    run, other = season_run("lintul1", "kernel"), season_run("lintul1", "kernel")
    assert max(deviations(run, other).values()) == 0
    other.daily["lai"] = other.daily["lai"] * (1 + 1e-11)
    assert deviations(run, other)["lai"] > 1
    assert set(worst(deviations(run, other))) == {"lai"}


def test_the_comparison_of_gradients_finds_a_wrong_digit() -> None:
    everywhere = given(quick_cases()["lintul1"])
    found = gradients(everywhere, everywhere.run(tc.Smooth(), "kernel"))
    wrong = {loss: {n: g.clone() for n, g in by_leaf.items()} for loss, by_leaf in found.items()}
    wrong["daily"]["crop.extinction"] *= 1 + 1e-8
    assert set(worst(gradient_deviations(everywhere, found, wrong))) == {"daily by crop.extinction"}


def test_everything_is_given_once() -> None:
    everywhere: Given = given(quick_cases()["lintul5-npk"])
    kinds = {name.partition(".")[0] for name in everywhere.leaves}
    assert kinds == {"crop", "soil", "site", "management", "scenario", "events", "initial"}
    assert sum(name.endswith(".x") for name in everywhere.leaves) > 20
