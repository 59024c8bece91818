"""LINTUL3: what its two variants do, that matter is kept in every mode, and that its derivatives are right.

Agreement with the originals is in test_reference.py. The weather is made up (tests/seasons.py) unless a test says
otherwise; crop and soil are those that ship.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import torchcrop as tc
from tests import gradients
from tests.reference_cases import load_case, station
from tests.seasons import season, soil2, wheat2
from tests.trials import Trial
from torchcrop.functions.tables import Table
from torchcrop.processes import astro, partitioning, penman, soil_water
from torchcrop.simulation.run import Run
from torchcrop.simulation.seasons import Season

START, EMERGENCE = date(2019, 1, 5), date(2019, 3, 31)
MODES = {
    "hard": tc.Hard(),
    "smooth": tc.Smooth(),
    "rounded": tc.Smooth(kinks=0.02),
    "straight": tc.StraightThrough(),
}
VARIANTS = ("fst", "pcse")


def crop(**values: Any) -> Any:
    return tc.load_crop("spring_wheat_lintul3").with_values(**values)


def soil(**values: Any) -> Any:
    return tc.load_soil("lintul3_wageningen").with_values(**values)


def field(ground: Any = None, **more: Any) -> Season:
    """A season of spring wheat with 10 g of nitrogen on two dates."""
    nitrogen = [(EMERGENCE + timedelta(days=10), 6.0), (EMERGENCE + timedelta(days=35), 4.0)]
    given: dict[str, Any] = {"soil": ground or soil(), "emergence": EMERGENCE, "events": {"nitrogen": nitrogen}}
    return season(START, 270, **given | more)


def balances(run: Run, crop: Any, soil: Any) -> dict[str, float]:
    """What is missing of water [mm], dry matter and nitrogen [g m-2] at the end of a season."""
    final = run.final

    def total(names: str) -> Tensor:
        return torch.stack([final[name] for name in names.split()]).sum(0)

    in_soil = 1000.0 * crop.initial_root_depth * soil.initial
    matter = crop.initial_leaves + crop.initial_stems + crop.initial_roots + crop.initial_storage
    nitrogen = (
        crop.initial_nitrogen_leaves * crop.initial_leaves
        + crop.initial_nitrogen_stems * crop.initial_stems
        + crop.initial_nitrogen_roots * crop.initial_roots
    )
    missing = {
        "water": total("WA TRUNOF TTRAN TEVAP TDRAIN") - total("TRAIN TEXPLO TIRRIG") - in_soil,
        "dry matter": total("WLVG WLVD WST WSO WRT WDRT") - final["GTSUM"] - matter,
        "nitrogen of the crop": total("ANLV ANST ANRT ANSO NLOSSL NLOSSR") - final["NUPTT"] - nitrogen,
        "nitrogen of the soil": total("TNSOIL NUPTT") - final["total_nitrogen_supply"],
    }
    return {name: float(value.abs().max()) for name, value in missing.items()}


# --- choices --------------------------------------------------------------------------------------------


def test_an_unknown_variant_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"LINTUL3 has no variant 'psce' \(did you mean 'pcse'\?\); it has fst, pcse"):
        tc.Lintul3(variant="psce")


@pytest.mark.parametrize(
    ("model", "kind", "remedy"),
    [
        (tc.Lintul3(), "phosphorus", r"use Lintul5\(level='npk'\)"),
        (tc.Lintul2(), "nitrogen", r"use Lintul3\(\)"),
        (tc.Lintul1(), "irrigation", r"use Lintul2\(\)"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_fertiliser_that_the_model_does_not_act_on_is_refused_with_one_that_does(
    model: Any, kind: str, remedy: str
) -> None:
    given = {"LINTUL1": wheat2(), "LINTUL2": wheat2(), "LINTUL3": crop()}[model.name]
    if model.name == "LINTUL1":
        given = tc.Lintul1Crop(**{name: getattr(given, name) for name in tc.Lintul1Crop.quantities()})
    ground = {"LINTUL1": None, "LINTUL2": soil2(), "LINTUL3": soil()}[model.name]
    plan = season(START, 200, soil=ground, emergence=EMERGENCE, events={kind: [(EMERGENCE, 2.0)]})
    with pytest.raises(ValueError, match=remedy):
        tc.simulate(model, given, plan)


# --- phenology ------------------------------------------------------------------------------------------


def test_the_vegetative_part_of_the_stage_stays_as_it_was_on_the_last_day_before_anthesis() -> None:
    run = tc.simulate(tc.Lintul3(), crop(), field())
    tsum, stage = run["TSUM"][0].numpy(), run["DVS"][0].numpy()
    after = int(np.argmax(tsum > 800.0))
    assert tsum[after] > 800.0 > tsum[after - 1]
    frozen = tsum[after - 1] / 800.0
    lived = slice(after, int(run.rows[0]))
    assert stage[lived] == pytest.approx(frozen + (tsum[lived] - 800.0) / 1030.0, rel=1e-12)
    assert stage[:after] == pytest.approx(tsum[:after] / 800.0, rel=1e-12)
    assert float(run.dates["anthesis"]) == after


def test_pcse_sets_the_stage_to_one_at_anthesis_and_to_two_at_maturity() -> None:
    run = tc.simulate(tc.Lintul3(variant="pcse"), crop(), field())
    tsum, stage = run["TSUM"][0].numpy(), run["DVS"][0].numpy()
    after = int(np.argmax(tsum >= 800.0))
    assert tsum[after] > 800.0
    assert stage[after] == 1.0
    assert stage[after + 3] == pytest.approx(1.0 + (tsum[after + 3] - tsum[after]) / 1030.0, rel=1e-12)
    last = int(run.rows[0]) - 1
    assert stage[last] == 2.0
    assert stage[last - 1] < 2.0
    assert tsum[last] - tsum[after] > 1030.0


def test_a_rounded_kink_leaves_the_stage_of_pcse_alone() -> None:
    stages = [
        tc.simulate(tc.Lintul3(variant="pcse"), crop(), field(), switches=switches)["DVS"][0, :250]
        for switches in (tc.Smooth(), tc.Smooth(kinks=0.02))
    ]
    torch.testing.assert_close(stages[0], stages[1], rtol=1e-6, atol=1e-6)


def test_daylength_slows_development_before_anthesis_alone() -> None:
    slow = crop(PHOTTB=[(0.0, 0.5), (24.0, 0.5)])
    for variant in VARIANTS:
        model = tc.Lintul3(variant=variant)
        usual, slowed = tc.simulate(model, crop(), field()), tc.simulate(model, slow, field())
        before = slice(0, int(usual.dates["anthesis"]) + 1)
        torch.testing.assert_close(slowed["TSUM"][0, before], 0.5 * usual["TSUM"][0, before])
        first = int(slowed.dates["anthesis"])
        increments = slowed["TSUM"][0, first + 1 : first + 20].diff()
        warmth = slowed["DAVTMP"][0, first + 1 : first + 19]
        torch.testing.assert_close(increments, warmth)


def test_a_transplanted_crop_starts_at_its_temperature_sum() -> None:
    for variant in VARIANTS:
        stage = tc.simulate(tc.Lintul3(variant=variant), crop(TSUMI=200.0), field())["DVS"][0]
        assert float(stage[0]) == 0.25


# --- matter ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_water_dry_matter_and_nitrogen_are_kept(variant: str, mode: str) -> None:
    more = {
        "events": {"nitrogen": [(EMERGENCE, 5.0)], "irrigation": [(EMERGENCE + timedelta(days=30), 20.0)]},
        "by_stage": {"nitrogen": [(0.3, 4.0)], "irrigation": [(0.6, 15.0)]},
        "management": {"irrigation_trigger": 0.3, "irrigation_dose": 10.0},
    }
    run = tc.simulate(tc.Lintul3(variant=variant), crop(), field(**more), switches=MODES[mode])
    assert float(run.final["WSO"]) > 100.0
    for what, missing in balances(run, crop(), soil()).items():
        assert missing < 1e-9, what


def test_below_wilting_point_the_listing_gains_dead_matter_and_a_smooth_run_does_not() -> None:
    # Nothing but evaporation dries a soil below wilting point, and little rain wets it again.
    dry = soil(WCFC=0.26, WCSUBS=0.2005, WCI=0.25)
    plan, scenario = field(dry), {"rain": 0.35}
    runs = {
        mode: tc.simulate(tc.Lintul3(), crop(), plan, switches=MODES[mode], scenario=scenario)
        for mode in ("hard", "smooth")
    }
    emerged = runs["hard"]["EMERG"][0, (EMERGENCE - START).days : int(runs["hard"].rows[0])]
    assert float((emerged == 0).sum()) > 10
    assert balances(runs["hard"], crop(), dry)["dry matter"] > 0.1
    assert balances(runs["smooth"], crop(), dry)["dry matter"] < 1e-9
    # Of nitrogen and water there is no such gain.
    for mode in runs:
        others = balances(runs[mode], crop(), dry)
        assert max(v for name, v in others.items() if name != "dry matter") < 1e-9


def test_nothing_grows_in_soil_below_wilting_point() -> None:
    dry = soil(WCFC=0.26, WCSUBS=0.2005, WCI=0.25)
    run = tc.simulate(tc.Lintul3(), crop(), field(dry), scenario={"rain": 0.35})
    idle = (run["EMERG"][0] == 0)[: int(run.rows[0])]
    for name in ("GTOTAL", "RWLVG", "RROOTD", "GLAI"):
        assert (run[name][0, : int(run.rows[0])][idle] == 0).all(), name


def test_the_date_share_of_emergence_does_not_starve_a_smooth_crop() -> None:
    index = tc.simulate(tc.Lintul3(), crop(), field(), switches=tc.Smooth())["NNI"][0]
    day = (EMERGENCE - START).days
    assert (index[day - 3 : day + 3] > 0.999).all()
    hard = tc.simulate(tc.Lintul3(), crop(), field())["NNI"][0]
    assert (hard[:day] == 0).all()
    assert float(hard[day]) == 1.0


# --- water ----------------------------------------------------------------------------------------------


def test_evaporation_declines_with_the_root_of_the_days_since_rain() -> None:
    rain = [0.0, 0.0, 0.2, 0.5, 0.4999, 0.0, 3.0]
    found, days = [], torch.zeros((), dtype=torch.float64)
    for amount in rain:
        value, days = soil_water.evaporation_since_rain(
            tc.Hard(), torch.tensor(2.0, dtype=torch.float64), days, torch.tensor(amount, dtype=torch.float64)
        )
        found.append((float(value), float(days)))
    expected = [
        (2.0, 1.0),
        (2.0 * (2**0.5 - 1.0), 2.0),
        (2.0 * (3**0.5 - 2**0.5) + 0.2, 3.0),
        (2.0, 1.0),
        (2.0 * (2**0.5 - 1.0) + 0.4999, 2.0),
        (2.0 * (3**0.5 - 2**0.5), 3.0),
        (2.0, 1.0),
    ]
    assert found == [pytest.approx(pair, rel=1e-12) for pair in expected]


def test_the_count_of_dry_days_has_finite_derivatives_at_its_start() -> None:
    def evaporation(days: Tensor) -> Tensor:
        potential, rain = days.new_tensor(2.0), days.new_tensor(0.0)
        return soil_water.evaporation_since_rain(tc.Smooth(), potential, days, rain)[0]

    zero = torch.zeros((), dtype=torch.float64)
    assert torch.isfinite(torch.func.grad(evaporation)(zero))
    assert torch.isfinite(torch.func.jvp(evaporation, (zero,), (zero,))[1])


@pytest.mark.parametrize("model", [tc.Lintul2(), tc.Lintul3()], ids=lambda m: m.name)
def test_a_trigger_irrigates_on_the_day_on_which_too_little_water_is_left(model: Any) -> None:
    values, ground = (wheat2(), soil2()) if model.name == "LINTUL2" else (crop(), soil())
    plan = season(
        START,
        200,
        soil=ground,
        emergence=EMERGENCE,
        management={"irrigation_trigger": 0.6, "irrigation_dose": 3.0, "irrigation_refill": 0.1},
    )
    run = tc.simulate(model, values, plan, scenario={"rain": 0.3})
    rows = slice(0, int(run.rows[0]))
    content, given = run["WC"][0, rows], run["IRRIG"][0, rows]
    depth = run["ROOTD"][0, rows]
    low, high = float(ground.wilting_point), float(ground.field_capacity)
    short = content <= low + 0.6 * (high - low)
    assert 3 < int(short.sum()) < len(short) / 2
    expected = torch.where(short, 3.0 + 0.1 * 1000.0 * depth * (high - content), 0.0)
    torch.testing.assert_close(given, expected)


def test_a_flooded_soil_is_refilled_to_saturation_and_does_not_suffocate_roots() -> None:
    def run(flooded: float) -> Run:
        return tc.simulate(tc.Lintul3(), crop(), field(management={"IRRIGF": 1.0, "WMFAC": flooded}))

    rice, wheat = run(1.0), run(0.0)
    late = (EMERGENCE - START).days + 60
    # Up to what the roots of the day find in the drier soil below.
    assert float(rice["WC"][0, late]) > 0.49
    assert float(wheat["WC"][0, late]) < 0.41
    assert (rice["oxygen_factor"] == 1).sum() == int(rice.rows[0])
    assert float(rice["TRANRF"][0, late]) == 1.0


def test_wet_soil_without_air_stops_transpiration() -> None:
    wet = soil(WCI=0.5, WCSUBS=0.5, DRATE=0.0)
    run = tc.simulate(tc.Lintul3(variant="pcse"), crop(), field(wet))
    day = (EMERGENCE - START).days
    content, factor = float(run["WC"][0, day]), float(run["oxygen_factor"][0, day])
    assert factor == pytest.approx((0.5 - content) / 0.05, abs=1e-12)
    assert factor < 0.5
    assert float(run["TRANRF"][0, day]) == pytest.approx(factor)


@pytest.mark.parametrize("variant", VARIANTS)
def test_evaporative_demand_can_be_given(variant: str) -> None:
    seen = []

    def demand(weather: Any, doy: Tensor, time: Tensor, site: Any) -> tuple[Tensor, Tensor]:
        seen.append((float(site.latitude), float(doy[0, 0]), float(time[0, 0])))
        return torch.full_like(weather.rain, 1.5), torch.full_like(weather.rain, 4.0)

    run = tc.simulate(tc.Lintul3(variant=variant, processes={"reference_evaporation": demand}), crop(), field())
    assert seen[0] == (52.0, 5.0, 5.0)
    rows = slice((EMERGENCE - START).days, int(run.rows[0]))
    lai = run["LAI"][0, rows]
    torch.testing.assert_close(run["PEVAP"][0, rows], 1.5 * torch.exp(-0.5 * lai))
    torch.testing.assert_close(run["PTRAN"][0, rows], 4.0 * (1 - torch.exp(-0.5 * lai)))


@pytest.mark.shared
def test_the_demand_of_the_variant_pcse_is_near_that_of_pcse_s_weather_provider(shared: Path) -> None:
    """PCSE estimates sunshine from coefficients of its station file; ours gives 4 % more here."""
    folder = shared / "reference" / "pcse_lintul3_rainfed_1994"
    given, weather = pd.read_csv(folder / "weather.csv"), station(folder)
    values = {name: torch.tensor(np.array(v, dtype=float)) for name, v in weather.values.items()}
    doy = torch.arange(1.0, weather.days + 1, dtype=torch.float64)
    _, _, extraterrestrial = astro.sun(tc.Hard(), doy, torch.tensor(weather.latitude, dtype=torch.float64))
    elevation = torch.tensor(weather.elevation, dtype=torch.float64)
    del values["rain"]
    es0, et0 = penman.wofost_evaporation(
        tc.Hard(),
        values["tmin"],
        values["tmax"],
        values["srad"],
        values["vap"],
        values["wind"],
        elevation,
        extraterrestrial,
    )
    for ours, theirs in ((es0, given.es0_cm_d), (et0, given.et0_cm_d)):
        assert float(ours.sum()) == pytest.approx(10 * theirs.sum(), rel=0.05)
        assert np.abs(ours.numpy() - 10 * theirs).max() < 0.2


# --- nitrogen -------------------------------------------------------------------------------------------


def test_shortage_of_nitrogen_moves_growth_from_leaves_to_all_others() -> None:
    leaves, factor = partitioning.nitrogen_shift(
        torch.tensor([0.4, 1.0, 0.0], dtype=torch.float64), torch.tensor(1.5), torch.tensor(0.6)
    )
    kept = np.exp(-1.5 * 0.4)
    assert leaves.tolist() == pytest.approx([0.4 * kept, 1.0, 0.0], rel=1e-6)
    assert factor.tolist() == pytest.approx([(1 - 0.4 * kept) / 0.6, 1.0, 1.0], rel=1e-6)


def test_a_crop_that_grows_leaves_alone_keeps_its_matter() -> None:
    """The listing divides 0 by 0 where the fraction of leaves is 1."""
    early = {
        "FRTTB": [(0, 0), (0.2, 0), (0.4, 0.5), (0.8, 0.1), (1, 0), (2, 0)],
        "FLVTB": [(0, 1), (0.2, 1), (0.4, 0.45), (0.8, 0.36), (1, 0.1), (1.01, 0), (2, 0)],
        "FSTTB": [(0, 0), (0.2, 0), (0.4, 0.05), (0.8, 0.54), (1, 0.9), (1.01, 0.25), (2, 0)],
    }
    leafy = crop(**early, FRNX=1.0)
    for mode in MODES.values():
        run = tc.simulate(tc.Lintul3(), leafy, field(events={}), switches=mode)
        assert float(run["NNI"][0, 100]) < 0.9
        assert balances(run, leafy, soil())["dry matter"] < 1e-9


def test_fertiliser_becomes_available_at_its_recovery_and_is_taken_up() -> None:
    recovery = {"NRFTAB": [(0.0, 0.5), (366.0, 0.5)]}
    run = tc.simulate(tc.Lintul3(), crop(), field(soil(RTMIN=0.0), management=recovery))
    assert float(run["FERTN"].sum()) == pytest.approx(10.0)
    assert float(run["FERTNS"].sum()) == pytest.approx(5.0)
    assert float(run.final["NUPTT"] + run.final["TNSOIL"]) == pytest.approx(5.0)
    day = (EMERGENCE - START).days + 10
    assert run["FERTN"][0, day - 1 : day + 2].tolist() == [0.0, 6.0, 0.0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mode", MODES)
def test_fertiliser_by_stage_is_applied_once(variant: str, mode: str) -> None:
    plan = field(events={}, by_stage={"nitrogen": [(0.25, 6.0), (0.5, 3.0)]})
    run = tc.simulate(tc.Lintul3(variant=variant), crop(), plan, switches=MODES[mode])
    applied, stage = run["FERTN"][0], run["DVS"][0]
    assert float(applied.sum()) == pytest.approx(9.0, rel=1e-6)
    if mode == "hard":
        first = int((stage >= 0.25).nonzero()[0])
        assert float(applied[first]) == 6.0


def test_the_soil_of_the_listing_stops_mineralising_when_uptake_ends_and_pcse_s_does_not() -> None:
    late = {}
    for variant in VARIANTS:
        run = tc.simulate(tc.Lintul3(variant=variant), crop(), field())
        rows = slice(int((run["DVS"][0] >= 1).nonzero()[0]), int(run.rows[0]))
        assert float(run["NUPTR"][0, rows].max()) == 0
        late[variant] = run["RNSOIL"][0, rows]
    assert (late["fst"] == 0).all()
    assert (late["pcse"] == 0.1).all()


def test_storage_organs_are_filled_from_their_stage_on() -> None:
    # Storage organs of the start lack nitrogen from the first day.
    run = tc.simulate(tc.Lintul3(), crop(WSOI=1.0, DVSNT=0.5), field())
    stage, held = run["DVS"][0], run["ANSO"][0]
    first = int((stage >= 0.5).nonzero()[0])
    assert float(held[first]) == 0.0
    assert float(held[first + 1]) == pytest.approx(0.0165 / 10)


# --- stress ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_scarcer_of_water_and_nitrogen_limits_growth(variant: str) -> None:
    dry = soil(WCFC=0.28, WCI=0.26, WCSUBS=0.22)
    poor = field(dry, events={"nitrogen": [(EMERGENCE, 2.0)]})
    run = tc.simulate(tc.Lintul3(variant=variant), crop(), poor, scenario={"rain": 0.6})
    rows = slice((EMERGENCE - START).days, int(run.rows[0]))
    ratio, index = run["TRANRF"][0, rows], run["NNI"][0, rows]
    starved = torch.exp(-0.2 * (1 - index))
    drier = ratio <= (index if variant == "fst" else starved)
    assert 5 < int(drier.sum()) < len(drier) - 5
    potential = 2.8 * run["PARINT"][0, rows]
    torch.testing.assert_close(run["GTOTAL"][0, rows], potential * torch.where(drier, ratio, starved))
    fractions = sum(run[name][0, rows] for name in ("FRT", "FLV", "FST", "FSO"))
    torch.testing.assert_close(fractions, torch.ones_like(ratio))


def test_a_stress_that_is_taken_away_costs_nothing() -> None:
    dry = soil(WCFC=0.28, WCI=0.26, WCSUBS=0.22)
    poor = field(dry, events={"nitrogen": [(EMERGENCE, 2.0)]})

    def run(**relief: float) -> Run:
        return tc.simulate(tc.Lintul3(relief=relief), crop(), poor, scenario={"rain": 0.6})

    usual, fed, watered = run(), run(nitrogen=1.0), run(drought=1.0)
    rows = slice((EMERGENCE - START).days, int(fed.rows[0]))
    assert (fed["NNI"][0, rows] == 1).all()
    assert float(usual["NNI"][0, rows].min()) < 0.5
    assert (watered["drought_factor"][0, rows] == 1).all()
    assert float(fed.final["WSO"]) > 1.02 * float(usual.final["WSO"])
    assert float(watered.final["TTRAN"]) > 1.02 * float(usual.final["TTRAN"])


# --- smooth thresholds ----------------------------------------------------------------------------------


def reference_trial(shared: Path, name: str) -> Trial:
    case = load_case(shared / "reference" / name)
    last = case.season.station.first + timedelta(days=min(case.season.station.days, 300) - 1)
    return Trial(case.model, case.crop, replace(case.season, end=last))


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["lintul3_fst_wag1987", "lintul3_oracle_wag1987_rerun2", "lintul3_oracle_wag1995_lowN"]
)
def test_smooth_yield_is_hard_yield_on_average_over_a_scan_of_anthesis(shared: Path, name: str) -> None:
    trial = reference_trial(shared, name)
    anthesis = torch.linspace(740.0, 860.0, 121, dtype=torch.float64)
    hard, smooth = (
        tc.simulate(
            trial.model, trial.crop.with_values(TSUMAN=anthesis), trial.season, switches=switches, outputs=["max(lai)"]
        ).final["WSO"]
        for switches in (tc.Hard(), tc.Smooth())
    )
    assert abs(float((smooth - hard).mean() / hard.mean())) < 0.005
    # Hard moves in steps, of which single points say little.
    assert float(hard.diff().abs().max()) > 0.01 * float(hard.mean())


@pytest.mark.shared
@pytest.mark.parametrize("name", ["lintul3_oracle_wag1987_rerun2", "pcse_lintul3_lowN_drought_1992"])
def test_derivatives_are_those_of_differences(shared: Path, name: str) -> None:
    trial = reference_trial(shared, name)
    symbols = {
        *("TSUMAN", "TSUMMT", "TSUMAG", "DVSNT", "DVSNLT", "LUE", "NLUE", "NPART", "FRNX", "TCNT", "WLVGI", "NFRLVI"),
        *("WCWP", "WCFC", "WCSUBS", "RTMIN", "TRANCO", "DOYEM", "IRRIGF", "NRFTAB", "FLVTB"),
    }
    found = gradients.matrix(trial, gradients.drawn(trial, seed=3), only=symbols)
    assert found.mismatches() == []
    flat = found.without_effect(found.exact)
    assert flat <= {"TRANCO"}, "without drought TRANCO has no effect; all others have one"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_is_its_simulations_one_by_one(variant: str) -> None:
    model = tc.Lintul3(variant=variant)
    effects = torch.tensor([0.1, 0.2, 0.6], dtype=torch.float64)
    grounds = [soil(), soil(WCFC=0.3, WCI=0.28, WCSUBS=0.25), soil(RTMIN=0.02)]
    plans = [
        field(grounds[0]),
        field(grounds[1], management={"irrigation_trigger": 0.5, "irrigation_refill": 1.0}),
        field(grounds[2], by_stage={"nitrogen": [(0.4, 3.0)]}, where="south"),
    ]
    for switches in (tc.Hard(), tc.Smooth()):
        together = tc.simulate(model, crop(NLUE=effects), plans, switches=switches).final
        for b, plan in enumerate(plans):
            alone = tc.simulate(model, crop(NLUE=effects[b]), plan, switches=switches).final
            for name in together:
                torch.testing.assert_close(together[name][b], alone[name][0], rtol=1e-12, atol=1e-12, msg=name)


def test_development_of_the_variant_pcse_follows_its_table_of_temperature() -> None:
    capped = crop(DTSMTB=Table.from_pairs([(0.0, 0.0), (10.0, 10.0), (50.0, 10.0)]))
    usual, slowed = (tc.simulate(tc.Lintul3(variant="pcse"), values, field()) for values in (crop(), capped))
    assert float(slowed["TSUM"][0].diff().max()) == pytest.approx(10.0)
    assert float(slowed.dates["anthesis"]) > float(usual.dates["anthesis"])
    # The listing has a base temperature instead.
    runs = [tc.simulate(tc.Lintul3(), values, field()) for values in (crop(), capped)]
    torch.testing.assert_close(runs[0]["TSUM"], runs[1]["TSUM"])
