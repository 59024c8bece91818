"""What is done to a crop acts as it should: fertiliser, recovery, stages, triggers, and their derivatives."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

import torchcrop as tc
from tests.seasons import SWITCHES, maize, soil2, soil5, station, wheat1, wheat2
from torchcrop.functions.tables import Table
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.simulation.run import Run
from torchcrop.simulation.seasons import Season

MODES = SWITCHES | {"rounded": tc.Smooth(kinks=0.02)}
every_mode = pytest.mark.parametrize("mode", MODES)

SOWN = date(2019, 12, 20)
DAYS = 62
DRY = {"rain": 0.3}


@cache
def crop(**values: float) -> tc.Lintul5Crop:
    """A vigorous maize that matures within 60 days of a warm season."""
    return maize(TSUMEM=60.0, TSUM1=450.0, TSUM2=500.0, RGRLAI=0.09, TDWI=60.0, **values)


def season(*, poor: bool = True, **management: Any) -> Season:
    """A season across New Year, on a soil with little nitrogen of its own."""
    soil = soil5(SMI=0.34, SMLOWI=0.3, NMINS=0.5 if poor else 30.0)
    return tc.Management(sowing=SOWN, longest=DAYS - 1, **management).season(station("south"), soil)


def day(after: int) -> date:
    return SOWN + timedelta(days=after)


def run(managed: Season, level: str = "nitrogen", mode: str = "hard", **options: Any) -> Run:
    return tc.simulate(tc.Lintul5(level=level), crop(), managed, switches=MODES[mode], **options)


def final(result: Run, name: str) -> float:
    return float(result.final[name])


# --- fertiliser -----------------------------------------------------------------------------------------


def test_fertiliser_raises_uptake_and_yield() -> None:
    runs = [run(season(nitrogen=[(day(12), amount)]), outputs=[]) for amount in (0.0, 1.0, 2.5)]
    for name in ("total_nitrogen_uptake", "storage_organs"):
        none, some, more = (final(r, name) for r in runs)
        assert none < some < more, name
    assert final(runs[0], "total_nitrogen_uptake") == pytest.approx(0.5, abs=0.1)  # what the soil mineralises


def test_fertiliser_acts_on_its_own_nutrient() -> None:
    before = run(season(), "npk")
    after = run(season(phosphorus=[(day(12), 4.0)]), "npk")
    assert final(after, "total_phosphorus_supply") == pytest.approx(4.0 * 0.2, rel=1e-14)
    assert final(after, "total_nitrogen_supply") == final(before, "total_nitrogen_supply") == 0.0
    assert final(after, "total_phosphorus_uptake") > final(before, "total_phosphorus_uptake")


@every_mode
def test_recovery_scales_supply_exactly_on_its_day(mode: str) -> None:
    managed = season(
        nitrogen=[(day(10), 4.0, 0.25), (day(11), 2.0), (day(20), 3.0, 1.0), (day(20), 1.0, 0.5), (day(30), 8.0)],
        nitrogen_recovery=[(day(11), 0.625), (day(29), 0.5), (day(31), 0.75)],
    )
    supplied = run(managed, mode=mode)["total_nitrogen_supply"][0].diff()
    expected = torch.zeros_like(supplied)
    # The third: the mean of two weighted by their amounts. The last: between the points of the table.
    expected[[10, 11, 20, 30]] = torch.tensor([1.0, 1.25, 3.5, 8 * 0.625], dtype=supplied.dtype)
    assert torch.allclose(supplied, expected, rtol=0, atol=1e-13)


def test_a_batch_of_seasons_keeps_each_one_its_own_recovery() -> None:
    managed = [
        season(nitrogen=[(day(12), 5.0)]),
        season(nitrogen=[(day(12), 5.0, 0.4)]),
        season(nitrogen=[(day(12), 5.0)], nitrogen_recovery=0.9),
        season(nitrogen=[(day(12), 5.0, 0.1), (day(25), 5.0)]),
    ]
    supplied = tc.simulate(tc.Lintul5(level="nitrogen"), crop(), managed, outputs=[]).final["total_nitrogen_supply"]
    expected = torch.tensor([3.5, 2.0, 4.5, 0.5 + 3.5], dtype=torch.float64)
    assert torch.allclose(supplied, expected, rtol=0, atol=1e-13)


@every_mode
def test_every_nutrient_is_accounted_for(mode: str) -> None:
    managed = season(
        nitrogen=[(day(5), 3.0, 0.4), (day(20), 4.0)],
        nitrogen_by_stage=[(0.5, 2.0)],
        phosphorus=[(day(1), 2.0)],
        potassium_by_stage=[(0.2, 6.0), (1.1, 2.0)],
        irrigation_trigger=0.5,
        irrigation_dose=20.0,
    )
    fixing = crop(NFIXF=0.3)
    result = tc.simulate(tc.Lintul5(level="npk"), fixing, managed, switches=MODES[mode], scenario=DRY)
    for nutrient in NUTRIENTS:
        places = [f"{place}_{nutrient}" for place in ("mineral", "organic", "leaf", "stem", "root", "storage", "lost")]
        held = sum((result[name] for name in places), torch.zeros(()))
        entered = result[f"total_{nutrient}_supply"]
        assert float(entered[0, -1]) > 0.3
        if nutrient == "nitrogen":
            assert float(result["total_fixed_nitrogen"][0, -1]) > 0.1
            entered = entered + result["total_fixed_nitrogen"]
        assert float((held - held[:, :1] - entered).abs().max()) < 1e-10, nutrient


# --- stages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "amount"), [("nitrogen", 5.0), ("irrigation", 30.0)])
def test_an_application_by_stage_is_the_dated_one_of_that_day(kind: str, amount: float) -> None:
    reached = run(season(), scenario=DRY)["stage"][0] >= 0.6
    dated = run(season(**{kind: [(day(int(reached.nonzero()[0])), amount)]}), scenario=DRY)
    staged = run(season(**{f"{kind}_by_stage": [(0.6, amount)]}), scenario=DRY)
    for name in dated.daily:
        assert torch.equal(staged[name], dated[name]), name
    given = {"nitrogen": "total_nitrogen_supply", "irrigation": "total_irrigation"}[kind]
    assert final(staged, given) == pytest.approx(amount * (0.7 if kind == "nitrogen" else 1.0))


@every_mode
def test_an_application_by_stage_is_given_in_full(mode: str) -> None:
    given = run(season(nitrogen_by_stage=[(0.3, 2.0), (1.2, 4.0)]), mode=mode)
    assert final(given, "total_nitrogen_supply") == pytest.approx(6.0 * 0.7, rel=1e-12)


def test_a_stage_that_the_crop_does_not_reach_gives_nothing() -> None:
    assert final(run(season(nitrogen_by_stage=[(2.3, 5.0)])), "total_nitrogen_supply") == 0.0


# --- irrigation by a trigger ----------------------------------------------------------------------------


def available_share(result: Run) -> Tensor:
    """Share of the rooted zone's available water that is left, on the days that the crop lives [-]."""
    return ((result["water_content"] - 0.2) / (0.35 - 0.2))[0, : int(result.rows[0])]


@pytest.mark.parametrize("amount", [{"irrigation_dose": 25.0}, {"irrigation_refill": 1.0}])
def test_a_trigger_keeps_the_soil_above_it(amount: dict[str, float]) -> None:
    without = run(season(), "water", scenario=DRY)
    result = run(season(irrigation_trigger=0.5, **amount), "water", scenario=DRY)
    left, before = available_share(result), available_share(without)
    assert float(before.min()) < 0.2
    # Decided on a day that begins below it, given on the next: the soil is below on these two at most.
    below = left < 0.5
    assert 4 <= int(below.sum()) < int((before < 0.5).sum()) / 2
    assert not bool((below[:-2] & below[1:-1] & below[2:]).any())
    irrigated = result["irrigation"][0, : len(left)] > 0
    assert not bool((irrigated[1:] & irrigated[:-1]).any()), "one drought, one irrigation"
    assert torch.equal(irrigated[1:], (below & ~irrigated)[:-1])
    assert final(result, "storage_organs") > final(without, "storage_organs")


def test_a_dose_is_given_as_it_is() -> None:
    irrigation = run(season(irrigation_trigger=0.5, irrigation_dose=25.0), "water", scenario=DRY)["irrigation"]
    assert irrigation.unique().tolist() == [0.0, 25.0]


@pytest.mark.parametrize("name", ["irrigation_trigger", "irrigation_dose"])
def test_a_trigger_is_differentiable_in_when_and_how_much(name: str) -> None:
    managed = season(irrigation_trigger=0.3, irrigation_dose=8.0)

    def harvested(value: Tensor) -> Tensor:
        changed = dataclasses.replace(managed, management={**managed.management, name: value})
        return run(changed, "water", "smooth", scenario={"rain": 0.1}, outputs=[]).final["storage_organs"].sum()

    at = torch.tensor(managed.management[name], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(harvested(at), at)
    assert float(gradient) > 0
    with torch.no_grad():
        step = 1e-5
        difference = (harvested(at + step) - harvested(at - step)) / (2 * step)
    assert float(gradient) == pytest.approx(float(difference), rel=1e-6)


# --- plans ----------------------------------------------------------------------------------------------


def planned(kind: str, plan: Tensor) -> Tensor:
    """Yield of every row of a plan [g m-2]."""
    scenario = None if kind == "nitrogen" else {"rain": 0.1}
    managed = season(poor=kind == "nitrogen")
    result = run(managed, "nitrogen", "smooth", events={kind: plan}, scenario=scenario, outputs=[])
    return result.final["storage_organs"]


@pytest.mark.parametrize(("kind", "low", "high"), [("nitrogen", 0.02, 0.2), ("irrigation", 10.0, 14.0)])
def test_the_gradient_to_a_plan_is_true(kind: str, low: float, high: float) -> None:
    generator = torch.Generator().manual_seed(3)
    days = list(range(8, 33, 6))
    plan = torch.zeros(2, DAYS, dtype=torch.float64)
    plan[:, days] = low + (high - low) * torch.rand(2, len(days), generator=generator, dtype=torch.float64)
    plan.requires_grad_()
    (gradient,) = torch.autograd.grad(planned(kind, plan).sum(), plan)
    assert bool(gradient.isfinite().all())
    assert float(gradient[:, days].abs().min()) > 0.01
    step = 1e-4 * low
    for t in days:
        one = torch.zeros(DAYS, dtype=torch.float64)
        one[t] = step
        with torch.no_grad():
            difference = (planned(kind, plan + one) - planned(kind, plan - one)) / (2 * step)
        assert torch.allclose(gradient[:, t], difference, rtol=1e-5), t


def test_a_plan_by_stage_is_differentiable_in_amounts_and_stages() -> None:
    managed = season()

    def harvested(stages: Tensor, amounts: Tensor) -> Tensor:
        events = {"nitrogen": Table(stages, amounts)}
        return run(managed, mode="smooth", events=events, outputs=[]).final["storage_organs"].sum()

    stages = torch.tensor([0.3, 0.9], dtype=torch.float64, requires_grad=True)
    amounts = torch.tensor([2.0, 2.0], dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(harvested(stages, amounts), (stages, amounts))
    with torch.no_grad():
        for which, gradient in enumerate(gradients):
            for i in range(2):
                step = torch.zeros(2, dtype=torch.float64)
                step[i] = 1e-5
                up, down = ([stages, amounts], [stages, amounts])
                up[which], down[which] = up[which] + step, down[which] - step
                difference = float(harvested(*up) - harvested(*down)) / 2e-5
                assert difference != 0
                assert float(gradient[i]) == pytest.approx(difference, rel=1e-5)


def test_an_optimiser_finds_a_more_profitable_plan() -> None:
    days = torch.tensor([4, 12, 20])
    grain, fertiliser = 0.15, 4.0  # prices by g
    managed = season()

    def profit(amounts: Tensor, mode: str) -> Tensor:
        plan = torch.zeros(DAYS, dtype=torch.float64).index_put((days,), amounts)
        harvested = run(managed, mode=mode, events={"nitrogen": plan}, outputs=[]).final["storage_organs"].sum()
        return grain * harvested - fertiliser * amounts.sum()

    free = torch.full((3,), 4.0, dtype=torch.float64, requires_grad=True)
    start = softplus(free.detach())
    optimiser = torch.optim.Adam([free], lr=1.0)
    for _ in range(8):
        optimiser.zero_grad()
        (-profit(softplus(free), "smooth")).backward()
        optimiser.step()
    found = softplus(free.detach())
    # Judged by the hard model, against the start and against none.
    assert float(profit(found, "hard")) > 1.05 * float(profit(start, "hard"))
    assert float(profit(found, "hard")) > float(profit(torch.zeros(3, dtype=torch.float64), "hard"))


# --- how a crop starts and ends -------------------------------------------------------------------------


def test_a_transplanted_crop_stands_on_the_first_day() -> None:
    weather, soil = station("north"), soil5()
    managed = tc.Management(transplanting="2020-05-01", longest=160)
    seedlings = maize(DVSI=0.15, TDWI=12.0)
    result = tc.simulate(tc.Lintul5(), seedlings, weather=weather, management=managed, soil=soil)
    assert float(result["stage"][0, 0]) == pytest.approx(0.15)
    assert float(sum(result[organ][0, 0] for organ in ("leaves", "stems", "roots"))) == pytest.approx(12.0)
    assert float(result.dates["emergence"]) == 0.0
    assert float(result["lai_growth"][0, 0]) > 0
    sown = tc.simulate(
        tc.Lintul5(), seedlings, weather=weather, management=tc.Management(sowing="2020-05-01"), soil=soil
    )
    assert float(result.dates["maturity"]) < float(sown.dates["maturity"])


def test_the_longest_life_and_the_harvest_end_a_run_before_maturity() -> None:
    weather, soil = station("north"), soil5()

    def rows(**given: Any) -> int:
        managed = tc.Management(sowing="2020-05-01", start="2020-04-25", **given)
        return int(tc.simulate(tc.Lintul5(), maize(), weather=weather, management=managed, soil=soil, outputs=[]).rows)

    full = rows()
    assert 120 < full < 250
    assert rows(longest=100) == 6 + 101  # days from sowing, and the six before
    assert rows(harvest="2020-07-09") == 76
    assert rows(longest=100, harvest="2020-07-09") == 76
    assert rows(longest=full + 20) == full


# --- who listens ----------------------------------------------------------------------------------------


def test_fertiliser_at_the_level_of_water_names_the_level_that_takes_it() -> None:
    managed = season(nitrogen=[(day(12), 5.0, 0.5)])
    with pytest.raises(ValueError, match=r"does not act on 'nitrogen'.*use Lintul5\(level='nitrogen'\) or"):
        run(managed, "water")
    with pytest.raises(ValueError, match=r"does not act on 'nitrogen'.*use Lintul5\(level='nitrogen'\) or"):
        run(season(nitrogen_by_stage=[(0.5, 5.0)]), "water")
    with pytest.raises(ValueError, match=r"does not act on 'potassium'.*use Lintul5\(level='npk'\)"):
        run(season(potassium=[(day(12), 5.0)]), "nitrogen")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"irrigation_trigger": 0.5, "irrigation_dose": 20.0},
            "LINTUL1 has no management 'irrigation_trigger'; it knows emergence_day: leave it out, or choose a model",
        ),
        ({"nitrogen": [("2020-03-20", 5.0)]}, "Lintul1.*does not act on 'nitrogen'; it acts on no events: use"),
    ],
)
def test_a_choice_that_a_model_does_not_know_is_named(given: dict[str, Any], expected: str) -> None:
    managed = tc.Management(emergence="2020-03-10", **given)
    with pytest.raises((KeyError, ValueError), match=expected):
        tc.simulate(tc.Lintul1(), wheat1(), weather=station(), management=managed)


def test_a_model_that_takes_a_kind_by_date_only_refuses_it_by_stage() -> None:
    by_stage = Table.from_pairs([(0.5, 20.0), (0.8, 20.0)])
    with pytest.raises(ValueError, match="does not act on 'irrigation_table' by stage; it acts by stage on irrigation"):
        run(season(), "water", events={"irrigation_table": by_stage})
    managed = tc.Management(emergence="2020-03-10", irrigation_by_stage=[(0.5, 20.0)]).season(station())
    with pytest.raises(ValueError, match=r"'irrigation' by stage; it acts by stage on nothing: give dates"):
        tc.simulate(tc.Lintul2(), wheat2(), managed, soil=soil2())
